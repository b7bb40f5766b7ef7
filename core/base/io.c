/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/map_watch.h"
#include "core/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long the open file is; -1 where it is no regular one. */
static int regular_size(int fd, const char *path, size_t *size, struct lb_err *err)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return lb_fail(err, "%s: not a regular file", path);
    *size = (size_t)st.st_size;
    return 0;
}

/* Opens a file for reading. A pipe is not waited for. */
static int open_to_read(const char *path, const char *name, struct lb_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? lb_fail(err, "%s: %s", name, strerror(errno)) : fd;
}

static int map_opened(int fd, const char *name, struct lb_map *m, struct lb_err *err)
{
    size_t size;
    if (regular_size(fd, name, &size, err))
        return -1;
    if (!size)
        return 0;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return lb_fail(err, "%s: cannot map %zu bytes: %s", name, size, strerror(errno));
    m->data = p;
    m->size = size;
    lb_map_watch(m->data, size, name);
    return 0;
}

int lb_map_open_as(const char *path, const char *name, struct lb_map *m, struct lb_err *err)
{
    *m = (struct lb_map){0};
    const int fd = open_to_read(path, name, err), r = fd < 0 ? -1 : map_opened(fd, name, m, err);
    if (fd >= 0)
        close(fd);
    return r;
}

int lb_map_open(const char *path, struct lb_map *m, struct lb_err *err)
{
    return lb_map_open_as(path, path, m, err);
}

void lb_map_close(struct lb_map *m)
{
    if (m->data) {
        lb_map_unwatch(m->data);
        munmap((void *)(uintptr_t)m->data, m->size);
    }
    *m = (struct lb_map){0};
}

char *lb_read_file(const char *path, size_t *size, struct lb_err *err)
{
    size_t want = 0, have = 0, room;
    const int fd = open_to_read(path, path, err), ready = fd >= 0 && !regular_size(fd, path, &want, err);
    char *data = !ready || lb_add(want, 1, &room) ? NULL : lb_alloc(room, 1, err);
    while (data && have < want) {
        ssize_t n = read(fd, data + have, want - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            lb_fail(err, "%s: %s", path, n ? strerror(errno) : "became shorter while it was read");
            lb_free(data);
            data = NULL;
            break;
        }
        have += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (data && size)
        *size = want;
    return data;
}

/* A file is locked while it is written, until it has its name. That alone says that its writer lives: who need not have the results folder's lock (`lowbit
 * report` has not), and may be on another machine, where the number in the name is no process of this one. Who comes between open and lock may have taken
 * the file away (lb_remove_unfinished). On a file system without locks it is written without one. */
static int open_unfinished(const char *name)
{
    int fd;
    struct stat st;
    while ((fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) >= 0) {
        while (flock(fd, LOCK_EX) && errno == EINTR)
            ;
        if (lb_exists(name))
            break;
        close(fd);
    }
    if (fd >= 0 && (fstat(fd, &st) || (st.st_size && ftruncate(fd, 0)))) { /* of a process that had the same number */
        const int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

int lb_out_open(struct lb_out *f, const char *path, struct lb_err *err)
{
    f->out = NULL;
    int n = snprintf(f->path, sizeof f->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof f->path)
        return lb_fail(err, "%.200s...: the path is too long", path);
    snprintf(f->temp, sizeof f->temp, "%s.%ld.tmp", path, (long)getpid());
    int fd = open_unfinished(f->temp);
    if (fd >= 0 && !(f->out = fdopen(fd, "wb"))) {
        close(fd);
        unlink(f->temp);
        errno = ENOMEM;
    }
    if (!f->out)
        return lb_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

void lb_sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path) : snprintf(folder, sizeof folder, ".");
    int fd = n > 0 && (size_t)n < sizeof folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int lb_out_commit(struct lb_out *f, struct lb_err *err)
{
    if (!f->out)
        return lb_fail(err, "%s: not open", f->path);
    const int bad = ferror(f->out) || fflush(f->out) || fsync(fileno(f->out)) || rename(f->temp, f->path);
    const int why = errno;
    fclose(f->out); /* last, for its lock; all of it is on the disk */
    f->out = NULL;
    if (bad) {
        unlink(f->temp);
        return lb_fail(err, "%s: cannot be written: %s", f->path, strerror(why));
    }
    lb_sync_folder(f->path);
    return 0;
}

void lb_out_abort(struct lb_out *f)
{
    if (!f->out)
        return;
    fclose(f->out);
    f->out = NULL;
    unlink(f->temp);
}

/* Whether the name is that of an unfinished file of ours: NAME.ENDING.NUMBER.tmp. */
static int is_unfinished(const char *name)
{
    static const char *const endings[] = {".csv", ".json", ".md", ".safetensors", ".svg"};
    const size_t length = strlen(name);
    const char *at = name + length - 4;
    if (length < 4 || strcmp(at, ".tmp") != 0)
        return 0;
    while (at > name && at[-1] >= '0' && at[-1] <= '9')
        at--;
    if (*at == '.' || at == name || *--at != '.')
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i]);
        if ((size_t)(at - name) > n && !memcmp(at - n, endings[i], n))
            return 1;
    }
    return 0;
}

/* 1 where the file in the folder was nobody's and is removed. */
static int remove_if_dead(int folder, const char *name)
{
    struct stat st, named;
    const int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    const int dead = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && !flock(fd, LOCK_EX | LOCK_NB) &&
                     !fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) && named.st_dev == st.st_dev && named.st_ino == st.st_ino &&
                     !unlinkat(folder, name, 0);
    if (fd >= 0)
        close(fd);
    return dead;
}

size_t lb_remove_unfinished(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0;
    for (const struct dirent *e; d && (e = readdir(d));)
        n += is_unfinished(e->d_name) && remove_if_dead(fd, e->d_name);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return n;
}

int lb_write_file(const char *path, const void *data, size_t n, struct lb_err *err)
{
    struct lb_out f;
    if (lb_out_open(&f, path, err))
        return -1;
    if (n && fwrite(data, 1, n, f.out) != n) {
        lb_fail(err, "%s: cannot be written: %s", path, strerror(errno));
        lb_out_abort(&f);
        return -1;
    }
    return lb_out_commit(&f, err);
}

int lb_make_dirs(const char *path, struct lb_err *err)
{
    char part[4096];
    int n = snprintf(part, sizeof part, "%s", path);
    if (n < 0 || (size_t)n >= sizeof part)
        return lb_fail(err, "%.200s...: the path is too long", path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char kept = *p;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return lb_fail(err, "%s: cannot be made: %s", part, strerror(errno));
        *p = kept;
        if (!kept)
            break;
    }
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return lb_fail(err, "%s: not a folder", path);
    return 0;
}

int lb_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

struct lb_sha256 *lb_sha256_create(struct lb_err *err)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(c);
        c = NULL;
    }
    if (!c) {
        lb_mem_note_refused();
        lb_fail(err, "out of memory: SHA-256");
    }
    return (struct lb_sha256 *)c;
}

void lb_sha256_add(struct lb_sha256 *h, const void *data, size_t n)
{
    EVP_DigestUpdate((EVP_MD_CTX *)h, data, n);
}

void lb_sha256_end(struct lb_sha256 *h, char hex[65])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char d[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex((EVP_MD_CTX *)h, d, NULL);
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digit[d[i] >> 4];
        hex[2 * i + 1] = digit[d[i] & 15];
    }
    hex[64] = 0;
}

int lb_sha256(const void *data, size_t n, char hex[65], struct lb_err *err)
{
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    lb_sha256_add(h, data, n);
    lb_sha256_end(h, hex);
    return 0;
}

int lb_sha256_file(const char *path, char hex[65], struct lb_err *err)
{
    struct lb_map m;
    if (lb_map_open(path, &m, err))
        return -1;
    int r = lb_sha256(m.data, m.size, hex, err);
    lb_map_close(&m);
    return r;
}

double lb_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
