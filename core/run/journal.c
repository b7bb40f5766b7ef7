/* SPDX-License-Identifier: MIT */
#include "core/run/journal.h"
#include "core/base/child.h"
#include "core/base/json.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

enum { LOCK_TRIES = 40, KEY_SIZE = 128, MARK_SIZE = 20 }; /* MARK_SIZE: ,"crc32":"01234567" and } */

/* ---- Lines ---- */

/* "kind" or "kind:hash"; -1 where that is too long for any hash of ours. */
static int make_key(const char *kind, size_t kind_n, const char *hash, size_t hash_n, char key[KEY_SIZE])
{
    if (kind_n + hash_n + 2 > KEY_SIZE)
        return -1;
    memcpy(key, kind, kind_n);
    if (hash) {
        key[kind_n] = ':';
        memcpy(key + kind_n + 1, hash, hash_n);
    }
    key[kind_n + (hash ? 1 + hash_n : 0)] = 0;
    return 0;
}

static const char *hash_member(const char *kind, size_t n)
{
    return n == 5 && !memcmp(kind, "train", 5) ? "training" : "trial";
}

/* A text's length and its begin behind `before`, which must stand at *at; NULL where it does not. *at moves behind the text. */
static const char *text_at(const char **at, const char *end, const char *before, size_t *n)
{
    const size_t skip = strlen(before);
    if ((size_t)(end - *at) < skip || memcmp(*at, before, skip) != 0)
        return NULL;
    const char *from = *at + skip, *quote = memchr(from, '"', (size_t)(end - from));
    if (!quote || memchr(from, '\\', (size_t)(quote - from)))
        return NULL;
    *n = (size_t)(quote - from);
    *at = quote + 1;
    return from;
}

/* Enters a line into j->last under its kind and hash. They stand first in a line, so that it need not be read whole for them. */
static int enter(struct lb_journal *j, size_t index, const char *text, size_t n)
{
    char key[KEY_SIZE], member[KEY_SIZE];
    size_t kind_n, hash_n;
    const char *at = text, *end = text + n, *kind = text_at(&at, end, "{\"kind\":\"", &kind_n);
    if (!kind || make_key(kind, kind_n, NULL, 0, key))
        return 0;
    int r = json_object_set_new(j->last, key, json_integer((json_int_t)index));
    snprintf(member, sizeof member, ",\"%s\":\"", hash_member(kind, kind_n));
    const char *hash = text_at(&at, end, member, &hash_n);
    if (!r && hash && !make_key(kind, kind_n, hash, hash_n, key))
        r = json_object_set_new(j->last, key, json_integer((json_int_t)index));
    return r;
}

/* Takes over the reference to `json`, also on error. */
static int keep(struct lb_journal *j, const char *text, size_t n, json_t *json)
{
    if (j->n == j->cap) {
        const size_t cap = j->cap ? 2 * j->cap : 64;
        struct lb_journal_line *more = lb_alloc(cap, sizeof *more, NULL);
        if (!more) {
            json_decref(json);
            return -1;
        }
        if (j->n)
            memcpy(more, j->line, j->n * sizeof *more);
        lb_free(j->line);
        j->line = more;
        j->cap = cap;
    }
    j->line[j->n] = (struct lb_journal_line){json ? NULL : text, n, json};
    return enter(j, j->n++, text, n);
}

static void mark_of(const char *text, size_t n, char mark[MARK_SIZE + 1])
{
    snprintf(mark, MARK_SIZE + 1, ",\"crc32\":\"%08lx\"}", crc32_z(0, (const unsigned char *)text, n));
}

/* Whether the line, without its end, is what was written. */
static int is_whole(const char *text, size_t n)
{
    char mark[MARK_SIZE + 1];
    if (n <= MARK_SIZE || text[0] != '{')
        return 0;
    mark_of(text, n - MARK_SIZE, mark);
    return !memcmp(mark, text + n - MARK_SIZE, MARK_SIZE);
}

/* Reads lines; *good is where the last whole one ends. */
static int read_lines(struct lb_journal *j, size_t n, size_t *good, struct lb_err *err)
{
    size_t damaged = 0, number = 1, first = 0, torn = 0;
    *good = 0;
    for (size_t at = 0; at < n; number++) {
        const char *text = (const char *)j->map.data + at, *end = memchr(text, '\n', n - at);
        const size_t length = end ? (size_t)(end - text) : n - at;
        at += length + 1;
        if (end && is_whole(text, length)) {
            if (keep(j, text, length, NULL))
                return lb_fail(err, "out of memory: journal");
            *good = at;
        } else if (at < n) {
            first = damaged++ ? first : number;
        } else {
            torn = number;
        }
    }
    if (!j->n && (damaged || (n && j->map.data[0] != '{')))
        return lb_fail(err, "%s:%zu: not a journal: expected lines that end in a checksum, such as ...\"crc32\":\"89abcdef\"}", j->path,
                       first ? first : 1);
    if (damaged)
        lb_log(LB_LOG_WARN, "%s:%zu: damaged (%zu line%s of %zu) and left out; what is lost will run again", j->path, first, damaged,
               damaged == 1 ? "" : "s", number - 1);
    if (torn)
        lb_log(LB_LOG_WARN, "%s:%zu: the last line is torn (an earlier run was cut off); its trial will run again", j->path, torn);
    return 0;
}

json_t *lb_journal_line(struct lb_journal *j, size_t i)
{
    struct lb_journal_line *l = &j->line[i];
    json_error_t e;
    if (!l->json)
        l->json = lb_json_load(l->text, l->n, 0, &e);
    json_object_del(l->json, "crc32"); /* of the text, not of what it says */
    return l->json;
}

json_t *lb_journal_find(struct lb_journal *j, const char *kind, const char *hash)
{
    char key[KEY_SIZE];
    const json_t *index = make_key(kind, strlen(kind), hash, hash ? strlen(hash) : 0, key) ? NULL : json_object_get(j->last, key);
    return index ? lb_journal_line(j, (size_t)json_integer_value(index)) : NULL;
}

/* ---- The file ---- */

/* A run that was killed leaves children that hold its lock until they are gone, a moment later. */
static int lock(const struct lb_journal *j, enum lb_journal_use use)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (!flock(j->fd, LOCK_EX | LOCK_NB))
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (lb_child_pause(0.05)) {
            errno = EINTR;
            return -1;
        }
    }
    errno = EWOULDBLOCK;
    if (use != LB_JOURNAL_WAIT)
        return -1;
    lb_log(LB_LOG_INFO, "%s: another lowbit is at work on this folder; waiting for it", j->path);
    while (flock(j->fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (lb_child_pause(0.2)) {
            errno = EINTR;
            return -1;
        }
    }
    return 0;
}

static int open_for_append(struct lb_journal *j, enum lb_journal_use use, struct lb_err *err)
{
    const int is_new = !lb_exists(j->path);
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return lb_fail(err, "%s: %s", j->path, strerror(errno));
    if (is_new)
        lb_sync_folder(j->path);
    const int unlocked = lock(j, use);
    if (unlocked && errno == EINTR)
        return lb_fail(err, "interrupted");
    if (unlocked && errno == EWOULDBLOCK)
        return lb_fail(err, "%s: another lowbit is at work on this folder; with --wait this one waits for it", j->path);
    return flock(j->fd, LOCK_EX | LOCK_NB) ? lb_fail(err, "%s: cannot be locked: %s", j->path, strerror(errno)) : 0;
}

/* Reads all, and cuts a torn end off where it is written to. */
static int read_all(struct lb_journal *j, struct lb_err *err)
{
    size_t good = 0;
    if (lb_map_open(j->path, &j->map, err))
        return -1;
    const int r = j->last ? read_lines(j, j->map.size, &good, err) : lb_fail(err, "out of memory: journal");
    if (!r && j->fd >= 0 && good < j->map.size && ftruncate(j->fd, (off_t)good))
        return lb_fail(err, "%s: %s", j->path, strerror(errno));
    return r;
}

static int make_path(const char *folder, char path[4096])
{
    const int n = snprintf(path, 4096, "%s/trials.jsonl", folder);
    return n < 0 || n >= 4096;
}

int lb_journal_open(const char *folder, enum lb_journal_use use, struct lb_journal *j, struct lb_err *err)
{
    *j = (struct lb_journal){.fd = -1, .last = json_object()};
    int r = 0;
    if (make_path(folder, j->path))
        r = lb_fail(err, "%.200s...: the path is too long", folder);
    else if (use != LB_JOURNAL_READ)
        r = open_for_append(j, use, err); /* the lock first: what is read without it may have grown when it is ours */
    else if (!lb_exists(j->path))
        r = lb_fail(err, "%s: no journal here", j->path);
    if (!r)
        r = read_all(j, err);
    if (r)
        lb_journal_close(j);
    return r;
}

void lb_journal_close(struct lb_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    for (size_t i = 0; i < j->n; i++)
        json_decref(j->line[i].json);
    lb_free(j->line);
    lb_map_close(&j->map);
    json_decref(j->last);
    *j = (struct lb_journal){.fd = -1};
}

/* The line's text with its mark and end; NULL where memory is out. */
static int line_text(const json_t *line, struct lb_text *t, struct lb_err *err)
{
    char mark[MARK_SIZE + 1];
    char *text = json_object_size(line) ? lb_json_dump(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    if (!text)
        return lb_fail(err, "out of memory: journal");
    const size_t n = strlen(text) - 1;
    mark_of(text, n, mark);
    lb_text_put(t, text, n);
    lb_text_add(t, "%s\n", mark);
    lb_free(text);
    return lb_text_end(t, err);
}

/* One write; where it falls short, what was written is taken back. */
static int write_line(const struct lb_journal *j, const struct lb_text *t, struct lb_err *err)
{
    const off_t before = lseek(j->fd, 0, SEEK_END);
    const ssize_t done = write(j->fd, t->s, t->n);
    if (done == (ssize_t)t->n && (j->lazy || !fsync(j->fd)))
        return 0;
    lb_fail(err, "%s: cannot be written: %s", j->path, strerror(done >= 0 && done != (ssize_t)t->n ? ENOSPC : errno));
    if (before >= 0 && ftruncate(j->fd, before))
        lb_log(LB_LOG_WARN, "%s: its last line may be torn", j->path);
    return -1;
}

int lb_journal_append(struct lb_journal *j, json_t *line, struct lb_err *err)
{
    struct lb_text t = {0};
    int r = line_text(line, &t, err) || write_line(j, &t, err) ? -1 : 0;
    if (r)
        json_decref(line);
    else if (keep(j, t.s, t.n, line))
        r = lb_fail(err, "out of memory: journal");
    lb_text_free(&t);
    return r;
}

int lb_journal_sync(struct lb_journal *j, struct lb_err *err)
{
    return fsync(j->fd) ? lb_fail(err, "%s: cannot be written: %s", j->path, strerror(errno)) : 0;
}

int lb_journal_locked(const char *folder)
{
    char path[4096];
    const int fd = make_path(folder, path) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    const int locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return locked;
}
