/* SPDX-License-Identifier: MIT */
/* watch.h - how far a plan is, by what its results folder and the shares in it (shard-I-of-N) hold, at rest or while others are at work on them. */
#ifndef LB_WATCH_H
#define LB_WATCH_H

#include "core/base/log.h"
#include "core/run/journal.h"
#include "core/run/plan.h"

struct lb_watch_place {
    char folder[4096];
    struct lb_journal journal;
    int at_work; /* another process holds its lock */
};

struct lb_watch {
    const struct lb_plan *p;
    struct lb_watch_place *place; /* those that have a journal */
    size_t n;
};

/* What a trial is: its status in a journal; what keeps it from running here; done by another build ("stale"); or still to do. */
enum lb_state {
    LB_STATE_DONE,
    LB_STATE_FAILED,
    LB_STATE_CRASHED,
    LB_STATE_TIMEOUT,
    LB_STATE_OOM,
    LB_STATE_UNSUPPORTED,
    LB_STATE_SKIPPED,
    LB_STATE_STALE,
    LB_STATE_TO_DO,
    LB_STATES
};
const char *lb_state_name(enum lb_state s);

struct lb_trial_state {
    enum lb_state state;
    const char *folder; /* of the line; "" where there is none */
    json_t *line;       /* the trial's, of the journal that tells most: borrowed, or NULL */
};

/* Reads the journals of `folder` and of the shares in it; a folder without any is no error. Close in every case. */
int lb_watch_open(const struct lb_plan *p, const char *folder, struct lb_watch *w, struct lb_err *err);
void lb_watch_close(struct lb_watch *w);

struct lb_trial_state lb_watch_trial(struct lb_watch *w, size_t trial);

struct lb_watched {
    size_t count[LB_STATES];
    size_t at_work;   /* processes */
    size_t jobs;      /* trials that they run side by side */
    const char *last; /* when the last line of any journal was written, or "": valid until lb_watch_close */
    struct lb_progress progress;
};

/* Counts all. The time left is, of the folder at work that needs longest, the median time of its finished trials times those that it has to do, over its
 * jobs; trainings are not in it. Not known (below 0) where nobody is at work or one of them has finished no trial yet. */
int lb_watch_count(struct lb_watch *w, struct lb_watched *out, struct lb_err *err);

#endif
