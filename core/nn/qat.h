/* SPDX-License-Identifier: MIT */
/* qat.h - training that knows a format: docs/arithmetic.md, 7.7 to 7.13. Straight-through fake quantization: B. Jacob et al. 2018; learned scales (LSQ):
 * S. Esser et al. 2020. */
#ifndef LB_QAT_H
#define LB_QAT_H

#include "core/format/format.h"
#include "core/nn/model.h"

struct lb_qat {
    const struct lb_qat_config *config;
    const struct lb_format *format;      /* of the parameters */
    const struct lb_format *activations; /* of what layers with weights read; NULL: it stays as it is */
    int biases;                          /* biases are in the format, too */
    const float *x;                      /* (n, in) samples that calibrated scales of activations are found from, `batch` at a time */
    size_t n, batch;
    uint64_t seed; /* of stochastic rounding */
};

/* Refuses what the format cannot do in training: errors of a config. */
int lb_qat_check(const struct lb_qat_config *c, const struct lb_format *f, struct lb_err *err);

/* From here on steps of the net know the format. `q` is copied; all that it points to outlives the net. `m`: the net's model, which receives the weights. */
int lb_qat_start(struct lb_net *n, const struct lb_qat *q, struct lb_model *m, struct lb_err *err);

/* Before an epoch: calibrated scales of activations are found, from the weights as they are now, which `m` receives. */
int lb_qat_epoch(struct lb_net *n, struct lb_model *m, struct lb_err *err);

/* After a step: the round trip where it is due. */
int lb_qat_stepped(struct lb_net *n, int ends_epoch, struct lb_err *err);

/* Scales that training found, calibrated or learned, as "<parameter>.scale" into `st`; none where scales are dynamic. */
int lb_qat_scales(const struct lb_net *n, struct lb_safetensors *st, struct lb_err *err);

/* As lb_format_encode of parameter i, by the scales that `trained` has for it; stochastic rounding draws where there are none. */
int lb_qat_encode(const struct lb_model *m, size_t i, const struct lb_format *f, const struct lb_safetensors *trained,
                  struct lb_safetensors *st, struct lb_format_stats *stats, struct lb_err *err);
int lb_qat_has_scales(const struct lb_safetensors *trained, const char *parameter);

#endif
