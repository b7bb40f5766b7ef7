/* SPDX-License-Identifier: MIT */
/* again.h - trials of a results folder run again, and their bits compared with its journal. */
#ifndef LB_AGAIN_H
#define LB_AGAIN_H

#include "core/run/plan.h"
#include <stdio.h>

struct lb_again_options {
    size_t sample; /* so many trials, spread over the plan; 0: all, and all trainings too */
    size_t jobs;
};

/* `p`: the plan of the folder's config.json. Runs in a folder of its own, which is removed. Trials that are not ok in the journal, or whose backend is not
 * exact, are left out. A line each on `report`; *bad: how many gave other bits. -1 where nothing could be run. */
int lb_run_again(const struct lb_plan *p, const char *folder, const struct lb_again_options *o, FILE *report, size_t *bad,
                 struct lb_err *err);

/* The tables of a results folder, made again from its journal and compared. A line each on `report`; *bad: how many differ. */
int lb_report_again(const char *folder, FILE *report, size_t *bad, struct lb_err *err);

#endif
