/* SPDX-License-Identifier: MIT */
/* run.h - a whole run: plan, trainings, trials, journal, report. */
#ifndef LB_RUN_H
#define LB_RUN_H

#include "core/run/plan.h"
#include "core/run/report.h"

struct lb_run_options {
    const char *folder; /* results folder; made where it is missing */
    size_t jobs;        /* trials side by side, >= 1 */
};

/* Runs what the journal lacks. Trials that fail become rows; -1 only where nothing can be recorded. */
int lb_run(const struct lb_plan *p, const struct lb_run_options *o, struct lb_report *counts, struct lb_err *err);

/* Whether the journal has the trial, of this build, finished. Borrowed line or NULL. */
json_t *lb_run_done(const struct lb_plan *p, const struct lb_journal *j, size_t trial);

#endif
