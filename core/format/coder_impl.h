/* SPDX-License-Identifier: MIT */
/* coder_impl.h - what coder.c derives and encode.c uses. Known to these two files alone. */
#ifndef LB_CODER_IMPL_H
#define LB_CODER_IMPL_H

#include "core/format/coder.h"
#include <string.h>

/* Intervals of the real line, ascending. Interval i holds the numbers whose key is in [first[i], first[i + 1]) and becomes code[i]. At or above
 * `over` (below `under`) a number is too large: the overflow rule decides. A key orders all binary64 but NaN, -0 before +0. */
struct lb_intervals {
    size_t n;
    int64_t *first;
    uint32_t *code;
    int64_t over, under;
};

struct lb_coder {
    const struct lb_codec *codec;
    int table;        /* bits 1 to 16 */
    uint32_t n_codes; /* 2^bits */
    double *values;   /* by code */
    float *values32;
    size_t n_sorted; /* distinct finite values, ascending, -0 before +0 */
    double *sorted;
    uint32_t *sorted_code;       /* of duplicates the smallest code */
    struct lb_intervals ways[3]; /* by enum lb_rounding: nearest, toward zero, half away */
    int has_steps;
    int inf_code[2], has_nan; /* +Inf, -Inf: code or -1 */
};

static inline int64_t lb_key(double x)
{
    int64_t b;
    memcpy(&b, &x, sizeof b);
    return b < 0 ? (int64_t)(INT64_MIN - b) - 1 : b; /* -0 is -1, +0 is 0 */
}

#endif
