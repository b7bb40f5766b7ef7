/* SPDX-License-Identifier: MIT */
/* range.h - calibrated scales: one scale, and a zero point, for what a layer reads, from samples of it; docs/arithmetic.md, 8.15. */
#ifndef LB_RANGE_H
#define LB_RANGE_H

#include "core/format/format.h"

/* The scale of x (rows, cols), a sample a row, by the rule of `f`, which is calibrated; `batch`: samples of a step of moving_average. *z: 0 where f has no zero
 * points. x must be finite. */
int lb_range_scale(const struct lb_format *f, const float *x, size_t rows, size_t cols, size_t batch, float *s, float *z,
                   struct lb_err *err);

#endif
