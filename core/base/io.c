/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/map_watch.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Opens a regular file for reading and says how long it is. A pipe is not waited for. */
static int open_regular(const char *path, size_t *size, struct lb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return lb_fail(err, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return lb_fail(err, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return fd;
}

int lb_map_open(const char *path, struct lb_map *m, struct lb_err *err)
{
    *m = (struct lb_map){0};
    size_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0)
        return -1;
    if (size) {
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            close(fd);
            return lb_fail(err, "%s: cannot map %zu bytes: %s", path, size, strerror(errno));
        }
        m->data = p;
        m->size = size;
        lb_map_watch(m->data, size, path);
    }
    close(fd);
    return 0;
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
    size_t want, have = 0, room;
    int fd = open_regular(path, &want, err);
    if (fd < 0)
        return NULL;
    char *data = lb_add(want, 1, &room) ? NULL : lb_alloc(room, 1, err);
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
    close(fd);
    if (data && size)
        *size = want;
    return data;
}

int lb_out_open(struct lb_out *f, const char *path, struct lb_err *err)
{
    f->out = NULL;
    int n = snprintf(f->path, sizeof f->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof f->path)
        return lb_fail(err, "%.200s...: the path is too long", path);
    snprintf(f->temp, sizeof f->temp, "%s.%ld.tmp", path, (long)getpid());
    int fd = open(f->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
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
    int bad = ferror(f->out) || fflush(f->out) || fsync(fileno(f->out));
    int why = errno;
    bad |= fclose(f->out) != 0;
    f->out = NULL;
    if (!bad && rename(f->temp, f->path)) {
        bad = 1;
        why = errno;
    }
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
