/* SPDX-License-Identifier: MIT */
/* ops_q.h - drawn integer weights: what q_dense and q_conv2d are tested with. */
#ifndef LB_OPS_Q_H
#define LB_OPS_Q_H

#include "core/base/err.h"
#include "core/plugin.h"

/* What weights are to be like; rows 0: there are none. */
struct lb_ops_q_like {
    size_t rows, cols;
    uint32_t type;
    size_t row_gap;  /* bytes between rows */
    int zeros, bias; /* there are some */
    int scaled;      /* there are multipliers, of such a size that sums of `cols` products fill a byte */
    int extreme;     /* every code is the first or the last */
};

struct lb_ops_q {
    struct lb_q_matrix m;
    unsigned char *codes; /* its memory; what m points to */
    int32_t *zero, *bias, *multiplier, *shift;
};

/* The weights that `seed` draws. The bits behind a row's last code are drawn too: nothing may depend on them. */
int lb_ops_q_create(const struct lb_ops_q_like *like, uint64_t seed, struct lb_ops_q **out, struct lb_err *err);
void lb_ops_q_destroy(struct lb_ops_q *q);

/* A multiplier and a shift that bring sums of `terms` products of bytes to some hundred: random bits; now and then a power of two (ties), or an extreme. */
void lb_ops_q_scale(size_t terms, uint32_t random, int32_t *multiplier, int32_t *shift);

#endif
