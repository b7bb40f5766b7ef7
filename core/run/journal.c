/* SPDX-License-Identifier: MIT */
#include "core/run/journal.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOCK_TRIES = 40 };

enum { KEY_SIZE = 128 };

/* "kind" or "kind:hash"; -1 where that is too long for any hash of ours. */
static int make_key(const char *kind, const char *hash, char key[KEY_SIZE])
{
    const int n = snprintf(key, KEY_SIZE, "%s%s%s", kind, hash ? ":" : "", hash ? hash : "");
    return n < 0 || n >= KEY_SIZE ? -1 : 0;
}

/* Takes over the reference to a line, also on error; it becomes the last of its kind and of its hash. */
static int keep(struct lb_journal *j, json_t *line)
{
    char key[KEY_SIZE];
    const char *kind = json_string_value(json_object_get(line, "kind"));
    const char *hash = kind ? json_string_value(json_object_get(line, !strcmp(kind, "train") ? "training" : "trial")) : NULL;
    int r = json_array_append_new(j->lines, line);
    if (!r && kind && !make_key(kind, NULL, key))
        r = json_object_set(j->last, key, line);
    if (!r && hash && !make_key(kind, hash, key))
        r = json_object_set(j->last, key, line);
    return r;
}

/* Reads whole lines; *good is where the last of them ends. */
static int read_lines(struct lb_journal *j, const char *text, size_t n, size_t *good, struct lb_err *err)
{
    *good = 0;
    for (size_t at = 0, number = 1; at < n; number++) {
        const char *end = memchr(text + at, '\n', n - at);
        json_error_t e;
        json_t *line = end ? json_loadb(text + at, (size_t)(end - text) - at, JSON_REJECT_DUPLICATES, &e) : NULL;
        if (!line) {
            const int last = !end || end + 1 == text + n;
            if (!last)
                return lb_fail(err, "%s:%zu: not a line of a journal: %s", j->path, number, e.text);
            lb_log(LB_LOG_WARN, "%s:%zu: the last line is torn (an earlier run was cut off); its trial will run again", j->path, number);
            return 0;
        }
        if (keep(j, line))
            return lb_fail(err, "out of memory: journal");
        at = (size_t)(end - text) + 1;
        *good = at;
    }
    return 0;
}

/* A run that was killed leaves children that hold its lock until they are gone, a moment later. */
static int lock(int fd)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (!flock(fd, LOCK_EX | LOCK_NB))
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        poll(NULL, 0, 50);
    }
    errno = EWOULDBLOCK;
    return -1;
}

static int open_for_append(struct lb_journal *j, struct lb_err *err)
{
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return lb_fail(err, "%s: %s", j->path, strerror(errno));
    if (lock(j->fd))
        return lb_fail(err, "%s: %s", j->path, errno == EWOULDBLOCK ? "another lowbit is at work on this folder" : strerror(errno));
    return 0;
}

/* Reads all, and cuts a torn end off where `write`. */
static int read_all(struct lb_journal *j, int write, struct lb_err *err)
{
    size_t size = 0, good = 0;
    char *text = lb_read_file(j->path, &size, err);
    const int r = text && j->lines ? read_lines(j, text, size, &good, err) : lb_fail(err, "out of memory: journal");
    lb_free(text);
    if (!r && write && good < size && ftruncate(j->fd, (off_t)good))
        return lb_fail(err, "%s: %s", j->path, strerror(errno));
    return r;
}

int lb_journal_open(const char *folder, int write, struct lb_journal *j, struct lb_err *err)
{
    *j = (struct lb_journal){.fd = -1, .lines = json_array(), .last = json_object()};
    int n = snprintf(j->path, sizeof j->path, "%s/trials.jsonl", folder);
    int r = 0;
    if (n < 0 || (size_t)n >= sizeof j->path)
        r = lb_fail(err, "%.200s...: the path is too long", folder);
    else if (write)
        r = open_for_append(j, err); /* the lock first: what is read without it may have grown when it is ours */
    else if (!lb_exists(j->path))
        r = lb_fail(err, "%s: no journal here", j->path);
    if (!r)
        r = read_all(j, write, err);
    if (r)
        lb_journal_close(j);
    return r;
}

void lb_journal_close(struct lb_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    json_decref(j->lines);
    json_decref(j->last);
    *j = (struct lb_journal){.fd = -1};
}

int lb_journal_append(struct lb_journal *j, json_t *line, struct lb_err *err)
{
    struct lb_text t = {0};
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int r = 0;
    if (!text) {
        json_decref(line);
        return lb_fail(err, "out of memory: journal");
    }
    lb_text_add(&t, "%s\n", text);
    free(text);
    if (lb_text_end(&t, err)) {
        json_decref(line);
        return -1;
    }
    /* One write; where it falls short, what was written is taken back. */
    const off_t before = lseek(j->fd, 0, SEEK_END);
    const ssize_t done = write(j->fd, t.s, t.n);
    if (done != (ssize_t)t.n || fsync(j->fd)) {
        r = lb_fail(err, "%s: cannot be written: %s", j->path, strerror(done >= 0 && done != (ssize_t)t.n ? ENOSPC : errno));
        if (before >= 0 && ftruncate(j->fd, before))
            lb_log(LB_LOG_WARN, "%s: its last line may be torn", j->path);
    }
    lb_text_free(&t);
    if (r)
        json_decref(line);
    else if (keep(j, line))
        r = lb_fail(err, "out of memory: journal");
    return r;
}

json_t *lb_journal_find(const struct lb_journal *j, const char *kind, const char *hash)
{
    char key[KEY_SIZE];
    return make_key(kind, hash, key) ? NULL : json_object_get(j->last, key);
}
