/* SPDX-License-Identifier: MIT */
/* measure.h - the memory that one inference takes, in a fresh process: `lowbit measure`. */
#ifndef LB_MEASURE_H
#define LB_MEASURE_H

#include "core/run/plan.h"

/* What the fresh process is told. */
struct lb_measure {
    const struct lb_model_config *model;
    size_t channels, height, width, classes, batch;
    const struct lb_backend_config *backend;
    const char *file;
    const struct lb_format_config *activations; /* mode wa, else NULL */
    int integer;                                /* modes w8a8, w4a8 */
    size_t integer_block;
    int sums; /* mode wa: infer.quantize_sums */
    struct lb_backend_options options;
};

/* In the fresh process: maps the file, infers one batch of zeros. reply: tensor_bytes (most that was allocated at once), rss_delta_bytes (by how much the
 * resident size rose at most). */
int lb_measure(const struct lb_measure *m, json_t *reply, struct lb_err *err);

/* From a trial: the same in a fresh process; `batch`: samples of the one inference. */
int lb_measure_fresh(const struct lb_plan *p, const struct lb_trial *t, size_t batch, const char *file, size_t *tensor_bytes, size_t *rss,
                     struct lb_err *err);

#endif
