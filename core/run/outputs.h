/* SPDX-License-Identifier: MIT */
/* outputs.h - what a formatted network's layers give, beside the F32 network's: layer by layer. */
#ifndef LB_OUTPUTS_H
#define LB_OUTPUTS_H

#include "core/nn/model.h"
#include <jansson.h>

/* Runs both nets, which are of model `m`, on x (n, in) and compares what each layer gives, as the next one reads it. *out: a list, a layer an item: "layer" (its number in the config),
 * "kind", "integer", "sqnr_db" (over all values), "max_error", and of codes "saturated" (percent at an end of their range that is not their zero). */
int lb_outputs_compare(struct lb_net *f32, struct lb_net *net, const struct lb_model *m, const float *x, size_t n, json_t **out,
                       struct lb_err *err);

#endif
