/* SPDX-License-Identifier: MIT */
/* journal.h - trials.jsonl: one JSON object a line, each written whole or not at all. Kinds: "experiment" (what a run set out to do), "train", "trial". */
#ifndef LB_JOURNAL_H
#define LB_JOURNAL_H

#include "core/base/err.h"
#include <jansson.h>

struct lb_journal {
    int fd; /* -1: read only */
    char path[4096];
    json_t *lines; /* array of all that was read or appended */
    json_t *last;  /* kind, or "kind:hash" of a trial or a training -> the last such line */
};

/* Reads the journal of a results folder; a torn last line is dropped with a notice. With `write`, takes the folder's lock first (an error where another
 * process still has it after two seconds), makes a missing journal, and cuts the torn line off. Without, a missing one is an error. */
int lb_journal_open(const char *folder, int write, struct lb_journal *j, struct lb_err *err);
void lb_journal_close(struct lb_journal *j);

/* Appends one line and syncs it. Takes over the reference to `line`, also on error. */
int lb_journal_append(struct lb_journal *j, json_t *line, struct lb_err *err);

/* The last line of that kind, or NULL. Borrowed. With `hash`, the last of that trial (kind "trial") or training (kind "train"). */
json_t *lb_journal_find(const struct lb_journal *j, const char *kind, const char *hash);

#endif
