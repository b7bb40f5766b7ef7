/* SPDX-License-Identifier: MIT */
/* fit.h - weights fitted to their formats with samples, before and while they are encoded: docs/arithmetic.md, 8.14. GPTQ: E. Frantar et al. 2022,
 * AWQ: J. Lin et al. 2023, scale migration: SmoothQuant, G. Xiao et al. 2022, bias correction: M. Nagel et al. 2019. */
#ifndef LB_FIT_H
#define LB_FIT_H

#include "core/format/format.h"
#include "core/nn/model.h"

struct lb_fit_args {
    const struct lb_model *f32;             /* as trained */
    struct lb_dev *d;                       /* runs it, for what its layers read */
    const struct lb_format *const *formats; /* (params) the format of each; the weights' says how a layer is fitted */
    const float *x;                         /* (n, in) samples */
    size_t n, batch;
};

/* Scales are migrated at once; codes and biases are found parameter after parameter. All that `a` points to outlives the fit. Fails where weights or what a layer
 * reads are not finite. */
struct lb_fit;
int lb_fit_create(const struct lb_fit_args *a, struct lb_fit **out, struct lb_err *err);
void lb_fit_destroy(struct lb_fit *f);

/* The network as trained, but for migrated scales: the same function, in binary32. */
const struct lb_model *lb_fit_model(const struct lb_fit *f);

/* Encodes parameter i into `st`, as lb_format_encode does, fitted; the weights of a layer before its bias. stats: added to; may be NULL. */
int lb_fit_encode(struct lb_fit *f, size_t i, uint64_t seed, uint32_t stream, struct lb_safetensors *st, struct lb_format_stats *stats,
                  struct lb_err *err);

/* Finds all corrected biases once the weights are in `st`; lb_fit_encode finds each by itself where this was not called. */
int lb_fit_correct(struct lb_fit *f, const struct lb_safetensors *st, struct lb_err *err);
/* By parameter: the corrected biases that have been found; NULL where there is none. */
const float *const *lb_fit_biases(const struct lb_fit *f);

/* What was done to parameter i: "gptq", "awq 0.35", "awq, no factors: no layer before it takes them", "corrected"; "" where nothing was. */
const char *lb_fit_text(const struct lb_fit *f, size_t i);

#endif
