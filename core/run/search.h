/* SPDX-License-Identifier: MIT */
/* search.h - a format for each layer within a budget of bits. */
#ifndef LB_SEARCH_H
#define LB_SEARCH_H

#include "core/format/format.h"
#include "core/nn/model.h"
#include <jansson.h>

enum { LB_STREAM_ROUNDING = 0x20000 }; /* + index of the parameter */

/* Encodes parameter i of `m` in format `f` into `st`. stats: added to. */
int lb_encode_parameter(const struct lb_model *m, size_t i, const struct lb_format *f, uint64_t seed, struct lb_safetensors *st,
                        struct lb_format_stats *stats, struct lb_err *err);

struct lb_search {
    const struct lb_model *f32, *shape; /* as trained; its shapes alone */
    struct lb_dev *d;
    const struct lb_format *format; /* its `layers` are the candidates */
    double bits;                    /* the budget: bits a weight or bias, scales and all */
    const float *x;                 /* (n, in): samples of the training set that KL is measured on */
    size_t n, batch;
    uint64_t seed;
};

/* Measures KL(F32 || candidate) of the outputs with each layer alone in each candidate; begins with every layer's best one, and while that is above the budget
 * takes the change of one layer that adds the least KL for each byte that it saves (of equal ones the first). `choice` (parameters): the candidate of each.
 * `why`: a new reference; "measured": layer, format, kl, bytes; "steps": what was changed, and what for. */
int lb_search_formats(const struct lb_search *s, size_t *choice, json_t **why, struct lb_err *err);

#endif
