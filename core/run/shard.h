/* SPDX-License-Identifier: MIT */
/* shard.h - a share of an experiment's trials, and its place: DIR/shard-I-of-N. */
#ifndef LB_SHARD_H
#define LB_SHARD_H

#include "core/run/plan.h"

struct lb_shard {
    size_t index, count; /* 1 to count; 0, 0: all trials */
};

/* "I/N", or "none". -1 with what was wanted. */
int lb_shard_parse(const char *text, struct lb_shard *s, struct lb_err *err);

/* What Slurm's array says of this task (SLURM_ARRAY_TASK_ID and _COUNT, _MIN, _STEP); 0, 0 outside of an array. */
int lb_shard_of_slurm(struct lb_shard *s, struct lb_err *err);

/* Which trials are the shard's: a block of the plan, so that few trainings are needed by several. Freed with lb_free. */
char *lb_shard_trials(const struct lb_shard *s, size_t n_trials, struct lb_err *err);

/* "DIR/shard-I-of-N", or DIR. -1 where it is too long. */
int lb_shard_folder(const struct lb_shard *s, const char *folder, char out[4096], struct lb_err *err);

/* Whether a folder's name is a shard's. */
int lb_shard_is_folder(const char *name);

#endif
