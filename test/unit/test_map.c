/* SPDX-License-Identifier: MIT */
/* core/base/io.c, map_watch.c: files that become shorter while they are mapped, what is no file, and SIGBUS that is none of our business. */
#include "core/base/io.h"
#include "core/base/map_watch.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 1 << 16 /* at least one of this machine */, PAGES = 4 };

static char folder[256], path[300];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lowbit-map-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

TestSuite(map, .init = make_folder, .fini = remove_folder);

static void make_file(size_t n)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && !ftruncate(fd, (off_t)n) && !close(fd));
}

/* ---- Files that become shorter ----------------------------------------------------------------------------------------------------------- */

/* A child shortens the mapped file and reads behind its new end; what it ended with, and what it said. */
static int read_shortened(int (*reader)(void), char *said, size_t size)
{
    int ends[2], status = 0;
    size_t n = 0;
    ssize_t got;
    cr_assert(!pipe(ends));
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (!pid) {
        dup2(ends[1], 2);
        _exit(reader());
    }
    close(ends[1]);
    while (n + 1 < size && (got = read(ends[0], said + n, size - 1 - n)) > 0)
        n += (size_t)got;
    said[n] = 0;
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static int read_map(void)
{
    struct lb_map m;
    if (lb_map_open(path, &m, NULL) || truncate(path, PAGE))
        return 7;
    volatile const unsigned char *data = m.data;
    return data[PAGE - 1] + data[(PAGES - 1) * PAGE]; /* the first is there, the second no longer */
}

static int read_safetensors(void)
{
    struct lb_safetensors st = {0}, again;
    struct lb_tensor t;
    char hex[65];
    const size_t n = PAGES * PAGE;
    if (lb_tensor_init(&t, LB_U8, 1, &n, NULL) || lb_safetensors_add(&st, "w", &t, NULL) || lb_safetensors_write(&st, path, NULL) ||
        lb_safetensors_open(path, &again, NULL) || truncate(path, PAGE))
        return 7;
    return lb_safetensors_sha256(&again, hex, NULL) ? 8 : 0;
}

enum { MANY = 300 };

static int open_many(struct lb_map m[MANY])
{
    for (size_t i = 0; i < MANY; i++)
        if (lb_map_open(path, &m[i], NULL))
            return -1;
    return 0;
}

/* The last of many that are open. */
static int read_one_of_many(void)
{
    struct lb_map m[MANY];
    return open_many(m) ? 7 : read_map();
}

/* One in the midst, where others were closed and their places given to new ones. */
static int read_one_again(void)
{
    struct lb_map m[MANY];
    if (open_many(m))
        return 7;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < MANY; i += 2) {
            lb_map_close(&m[i]);
            if (lb_map_open(path, &m[i], NULL))
                return 7;
        }
    if (truncate(path, PAGE))
        return 7;
    volatile const unsigned char *data = m[MANY / 2].data;
    return data[(PAGES - 1) * PAGE];
}

/* Threads that open and close many at once. */
static void *open_and_close(void *failed)
{
    struct lb_map m[MANY];
    for (int round = 0; round < 20; round++) {
        if (open_many(m))
            *(volatile int *)failed = 1;
        for (size_t i = 0; i < MANY; i++)
            lb_map_close(&m[i]);
    }
    return NULL;
}

static int read_beside_threads(void)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    int failed[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, open_and_close, &failed[i]))
            return 7;
    struct lb_map m[MANY];
    if (open_many(m))
        return 7;
    for (int i = 0; i < THREADS; i++)
        if (pthread_join(thread[i], NULL) || failed[i])
            return 7;
    if (truncate(path, PAGE))
        return 7;
    volatile const unsigned char *data = m[MANY - 1].data;
    return data[(PAGES - 1) * PAGE];
}

/* What is mapped by somebody else, where a file of ours was before. */
static int read_foreign(void)
{
    struct lb_map m;
    if (lb_map_open(path, &m, NULL))
        return 7;
    unsigned char *at = (unsigned char *)(uintptr_t)m.data;
    lb_map_close(&m);
    const int fd = open(path, O_RDONLY);
    volatile const unsigned char *p = mmap(at, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED || truncate(path, 0))
        return 7;
    return p[PAGE];
}

static const struct {
    const char *name;
    int (*reader)(void);
    int watched;
} readers[] = {{"map", read_map, 1},
               {"safetensors", read_safetensors, 1},
               {"one of many", read_one_of_many, 1},
               {"one again", read_one_again, 1},
               {"beside threads", read_beside_threads, 1},
               {"foreign", read_foreign, 0}};

Test(map, becomes_shorter)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        char said[1000], want[400];
        make_file(PAGES * PAGE);
        const int status = read_shortened(readers[i].reader, said, sizeof said);
        snprintf(want, sizeof want, "error: %s: became shorter while it was read\n", path);
        if (readers[i].watched)
            cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 2 && !strcmp(said, want), "%s: status %x, said \"%s\"", readers[i].name,
                      (unsigned)status, said);
        else
            cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS && !*said, "%s: status %x, said \"%s\"", readers[i].name,
                      (unsigned)status, said);
    }
}

/* ---- What is no file --------------------------------------------------------------------------------------------------------------------- */

static void refused(const char *what, const char *name, const char *wanted)
{
    struct lb_err err[2] = {{0}, {0}};
    struct lb_map m;
    cr_expect_eq(lb_map_open(name, &m, &err[0]), -1, "%s", what);
    lb_map_close(&m);
    char *text = lb_read_file(name, NULL, &err[1]);
    cr_expect_null(text, "%s", what);
    lb_free(text);
    for (int i = 0; i < 2; i++)
        cr_expect(strstr(err[i].text, name) && strstr(err[i].text, wanted), "%s: %s", what, err[i].text);
}

/* None of them is waited for, or read without end. */
Test(map, no_file, .timeout = 10)
{
    cr_assert(!mkfifo(path, 0600));
    refused("a pipe that nobody writes to", path, "not a regular file");
    refused("a folder", folder, "not a regular file");
    refused("zeros without end", "/dev/zero", "not a regular file");
    unlink(path);
    refused("nothing", path, "No such file");
    cr_assert(!symlink("file", path));
    refused("a link to itself", path, "symbolic links");
}
