/* SPDX-License-Identifier: MIT */
/* calibrate.h - what layers read while a network runs on training samples, and the scales that follow. */
#ifndef LB_CALIBRATE_H
#define LB_CALIBRATE_H

#include "core/format/format.h"
#include "core/nn/model.h"

/* Which network (binary32), where, and on which samples x (n, in), `batch` at a time. */
struct lb_calibration {
    const struct lb_model *m;
    struct lb_dev *d;
    const float *x;
    size_t n, batch;
};

/* The scale in format `f` of what layer i reads, and its zero point (0 without). Errors name "<layer>.input": numbers that are not finite. */
int lb_calibrate_input(const struct lb_calibration *c, size_t i, const struct lb_format *f, float *s, float *z, struct lb_err *err);
/* The same of its output before the activation: "<layer>.sum". */
int lb_calibrate_sum(const struct lb_calibration *c, size_t i, const struct lb_format *f, float *s, float *z, struct lb_err *err);

/* Adds "<layer>.<of>.scale" and, where the format has zero points, "<layer>.<of>.zero_point": single F32 values. */
int lb_calibrate_add(struct lb_safetensors *st, size_t layer, const char *of, const struct lb_format *f, float s, float z,
                     struct lb_err *err);
/* Reads them back; z is 0 where the format has no zero points. */
int lb_calibrate_read(const struct lb_safetensors *st, size_t layer, const char *of, const struct lb_format *f, float *s, float *z,
                      struct lb_err *err);

/* The inputs of all layers with weights, and with `sums` their outputs before the activation, in format `f`: scales into `st`. */
int lb_calibrate(const struct lb_calibration *c, const struct lb_format *f, int sums, struct lb_safetensors *st, struct lb_err *err);

#endif
