/* SPDX-License-Identifier: MIT */
/* round.h - numbers that are taken into a format and back at once, on the host: activations in formats that no device encodes. */
#ifndef LB_ROUND_H
#define LB_ROUND_H

#include "core/format/format.h"

struct lb_round {
    const struct lb_format *f;
    const struct lb_host *host; /* whose threads share the rows */
    int calibrated;             /* all scales are s, and zero points z */
    float s, z;
    float *inside; /* (rows, cols) receives 1 where x lies within the codec's range (7.9), else +0; NULL: not wanted */
    uint64_t seed; /* stochastic rounding: x[0] has index `first` */
    uint32_t stream;
    uint64_t first;
};

/* x (rows, cols), a matrix, becomes what it is worth in the format (docs/arithmetic.md, 8.11), in place. */
int lb_round_matrix(const struct lb_round *r, float *x, size_t rows, size_t cols, struct lb_err *err);

/* Refuses what is not for activations: formats by layer. */
int lb_round_check(const struct lb_format *f, struct lb_err *err);

#endif
