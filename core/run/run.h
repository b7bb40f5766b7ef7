/* SPDX-License-Identifier: MIT */
/* run.h - a whole run: plan, trainings, trials, journal, report. */
#ifndef LB_RUN_H
#define LB_RUN_H

#include "core/run/plan.h"
#include "core/run/report.h"

struct lb_run_options {
    const char *folder;   /* results folder; made where it is missing */
    size_t jobs;          /* trials side by side, >= 1 */
    const char *mine;     /* of each trial of the plan: whether it is to run here; NULL: all */
    size_t shard, shards; /* that share of the trials, from 1, of so many; 0, 0: `mine` is no share */
    int wait;             /* for another process that is at work on the folder */
    int repair;           /* finished trials and trainings whose files are no longer what the journal says run again */
};

/* Runs what the journal lacks. Trials that fail become rows; -1 only where nothing can be recorded, or a signal ended it (lb_child_interrupted;
 * signals are held then until lb_child_signals(0), so that a second one does not cut the last words off). */
int lb_run(const struct lb_plan *p, const struct lb_run_options *o, struct lb_report *counts, struct lb_err *err);

/* Whether the journal has the trial, of this build, finished. Borrowed line or NULL. */
json_t *lb_run_done(const struct lb_plan *p, struct lb_journal *j, size_t trial);

/* run_describe.c: the experiment's line. NULL where memory is out. */
json_t *lb_run_describe(const struct lb_plan *p, const struct lb_run_options *run, struct lb_err *err);

#endif
