/* SPDX-License-Identifier: MIT */
/* journal.h - trials.jsonl: one JSON object a line, each written whole or not at all. Kinds: "experiment" (what a run set out to do), "train", "trial".
 * A line's last member is "crc32", the CRC-32 (of zlib) of its bytes before `,"crc32"`, as 8 hexadecimal digits. */
#ifndef LB_JOURNAL_H
#define LB_JOURNAL_H

#include "core/base/io.h"
#include <jansson.h>

struct lb_journal_line {
    const char *text; /* within lb_journal.map; NULL where it was appended */
    size_t n;
    json_t *json; /* read when it is first asked for */
};

struct lb_journal {
    int fd;   /* -1: read only */
    int lazy; /* lines are synced by lb_journal_sync alone */
    char path[4096];
    struct lb_map map; /* the file as it was when it was opened; its lines stay as they are */
    struct lb_journal_line *line;
    size_t n, cap;
    json_t *last; /* kind, or "kind:hash" of a trial or a training -> the last such line's index */
};

enum lb_journal_use { LB_JOURNAL_READ, LB_JOURNAL_WRITE, LB_JOURNAL_WAIT };

/* Reads the journal of a results folder. A torn last line is dropped, and one that was damaged since is left out, both with a notice: their trials run
 * again. An error where no line is whole. To write, takes the folder's lock first (an error where another process still has it after two seconds; with
 * LB_JOURNAL_WAIT it waits), makes a missing journal, and cuts a torn line off. To read, a missing one is an error. */
int lb_journal_open(const char *folder, enum lb_journal_use use, struct lb_journal *j, struct lb_err *err);
void lb_journal_close(struct lb_journal *j);

/* Appends one line and syncs it. Takes over the reference to `line`, also on error. */
int lb_journal_append(struct lb_journal *j, json_t *line, struct lb_err *err);

int lb_journal_sync(struct lb_journal *j, struct lb_err *err);

/* Line i < j->n. Borrowed; NULL where memory is out. */
json_t *lb_journal_line(struct lb_journal *j, size_t i);

/* The last line of that kind, or NULL. Borrowed. With `hash`, the last of that trial (kind "trial") or training (kind "train"). */
json_t *lb_journal_find(struct lb_journal *j, const char *kind, const char *hash);

/* Whether another process is at work on the folder. */
int lb_journal_locked(const char *folder);

#endif
