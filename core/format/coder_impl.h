/* SPDX-License-Identifier: MIT */
/* coder_impl.h - what coder.c and quick.c derive and encode.c uses. Known to these files alone. */
#ifndef LB_CODER_IMPL_H
#define LB_CODER_IMPL_H

#include "core/format/coder.h"
#include "core/format/lanes.h"
#include <string.h>

/* Intervals of the real line, ascending. Interval i holds the numbers whose key is in [first[i], first[i + 1]) and becomes code[i]. At or above
 * `over` (below `under`) a number is too large: the overflow rule decides. A key orders all binary64 but NaN, -0 before +0. */
struct lb_intervals {
    size_t n;
    int64_t *first;
    uint32_t *code;
    int64_t over, under;
};

/* Fast ways for codecs of up to 8 bits and their default overflow: to nearest by one of three, and of some also stochastic. */
enum { LB_QUICK_PARTS = 4096 /* of the keys, by their upper bits */ };
enum lb_quick_way { LB_QUICK_WHOLE, LB_QUICK_STEPS, LB_QUICK_SEARCH };
struct lb_quick {
    enum lb_quick_way way;
    struct lb_lanes_whole whole;
    struct lb_lanes_steps steps; /* as lb_coder_intervals gives them */
    int32_t *first;
    uint32_t *code, *change;
    uint16_t start[LB_QUICK_PARTS + 1]; /* the interval of a part's first key, and behind them the last */
    int has_grid;
    struct lb_lanes_grid grid;
};
struct lb_coder;
/* *out stays NULL where there is none. */
int lb_quick_create(const struct lb_coder *c, struct lb_quick **out, struct lb_err *err);
void lb_quick_destroy(struct lb_quick *q);
void lb_quick_nearest(const struct lb_quick *q, const float *x, size_t n, unsigned char *codes);

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
    struct lb_quick *quick;   /* NULL: none */
};

static inline int64_t lb_key(double x)
{
    int64_t b;
    memcpy(&b, &x, sizeof b);
    return b < 0 ? (int64_t)(INT64_MIN - b) - 1 : b; /* -0 is -1, +0 is 0 */
}

#endif
