/* SPDX-License-Identifier: MIT */
/* trial.h - what one training and one trial do, in a child process. */
#ifndef LB_TRIAL_H
#define LB_TRIAL_H

#include "core/run/plan.h"

/* Argument of the works below. `folder` is the results folder; its trained/ and models/ exist. */
struct lb_job {
    const struct lb_plan *plan;
    const char *folder;
    size_t index; /* of the training, or of the trial */
};

/* trained/<hash>.safetensors; freed with lb_free. An error where it is no hash. */
char *lb_trained_path(const char *folder, const char *hash, struct lb_err *err);
char *lb_formatted_path(const char *folder, const char *hash, struct lb_err *err); /* models/<hash>.safetensors */

/* lb_work: trains (or loads) and writes the file. reply: loss, seconds, samples_per_s, weights_sha256. */
int lb_training_work(void *job, json_t *reply, struct lb_err *err);

/* lb_work: encodes, stores, loads back, runs, measures. reply: {"row": columns of table.csv, "measured": columns of measured.csv}. */
int lb_trial_work(void *job, json_t *reply, struct lb_err *err);

/* A number for the journal: NaN and infinities, which JSON lacks, become text. */
json_t *lb_json_number(double v);

#endif
