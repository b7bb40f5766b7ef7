/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_q.h"
#include "core/base/mem.h"
#include "kernels/canon.h"

enum { CODES, ZEROS, BIASES, SCALES };

static uint32_t draw(uint64_t seed, uint32_t stream, size_t i)
{
    return canon_random64(seed, 0x900u + stream, i).w[0];
}

/* How many bits more than a product of two bytes, which has 13 or so, a sum of them has: it grows with the root of their number. */
static int32_t sum_bits(size_t terms)
{
    int32_t n = 0;
    for (size_t t = terms; t > 1; t /= 4)
        n++;
    return n;
}

void lb_ops_q_scale(size_t terms, uint32_t random, int32_t *multiplier, int32_t *shift)
{
    const uint32_t kind = random % 16, bits = random >> 4;
    *multiplier = (int32_t)(1u << 21 | (bits & 0x1fffffu));
    *shift = 21 + 6 + sum_bits(terms) + (int32_t)(bits >> 21) % 3;
    if (kind == 0)
        *multiplier = 1 << 21;
    if (kind == 1)
        *shift = (int32_t)(bits % 63u);
    if (kind == 2) {
        *multiplier = (int32_t)(bits % 4u);
        *shift = (int32_t)(bits / 4 % 12u);
    }
}

/* Near the middle of the codes mostly, so that sums are about zero. */
static int32_t draw_zero(const struct lb_ops_q_like *like, uint32_t r)
{
    const int32_t middle = like->type == LB_Q_U8 ? 128 : like->type == LB_Q_U4 ? 8 : 0, most = like->type < LB_Q_U4 ? 12 : 1;
    return r % 8 == 0 ? (int32_t)(r / 8 % 511u) - 255 : middle + (int32_t)(r / 8 % (2u * (uint32_t)most + 1u)) - most;
}

static void fill(struct lb_ops_q *q, const struct lb_ops_q_like *like, uint64_t seed)
{
    for (size_t i = 0; i < like->rows * q->m.row_bytes; i++) {
        const uint32_t r = draw(seed, CODES, i);
        q->codes[i] = (unsigned char)r;
        if (like->extreme)
            q->codes[i] = like->type == LB_Q_S8 ? (r & 1 ? 0x80 : 0x7f) : like->type == LB_Q_S4 ? (r & 1 ? 0x88 : 0x77) : r & 1 ? 0xff : 0;
    }
    for (size_t i = 0; i < like->rows; i++) {
        q->zero[i] = draw_zero(like, draw(seed, ZEROS, i));
        q->bias[i] = (int32_t)draw(seed, BIASES, i) >> (19 - sum_bits(like->cols));
        lb_ops_q_scale(like->cols, draw(seed, SCALES, i), &q->multiplier[i], &q->shift[i]);
    }
}

int lb_ops_q_create(const struct lb_ops_q_like *like, uint64_t seed, struct lb_ops_q **out, struct lb_err *err)
{
    const size_t bits = like->type == LB_Q_U4 || like->type == LB_Q_S4 ? 4 : 8;
    struct lb_ops_q *q = *out = lb_alloc(1, sizeof *q, err);
    if (!q)
        return -1;
    q->m = (struct lb_q_matrix){.rows = like->rows, .cols = like->cols, .type = like->type};
    q->m.row_bytes = (like->cols * bits + 7) / 8 + like->row_gap;
    q->m.codes = q->codes = lb_alloc(like->rows * q->m.row_bytes + 1, 1, err);
    q->zero = lb_alloc(like->rows, sizeof *q->zero, err);
    q->bias = lb_alloc(like->rows, sizeof *q->bias, err);
    q->multiplier = lb_alloc(like->rows, sizeof *q->multiplier, err);
    q->shift = lb_alloc(like->rows, sizeof *q->shift, err);
    if (!q->codes || !q->zero || !q->bias || !q->multiplier || !q->shift) {
        lb_ops_q_destroy(q);
        *out = NULL;
        return -1;
    }
    fill(q, like, seed);
    q->m.zero = like->zeros ? q->zero : NULL;
    q->m.bias = like->bias ? q->bias : NULL;
    q->m.multiplier = like->scaled ? q->multiplier : NULL;
    q->m.shift = like->scaled ? q->shift : NULL;
    return 0;
}

void lb_ops_q_destroy(struct lb_ops_q *q)
{
    if (!q)
        return;
    lb_free(q->codes);
    lb_free(q->zero);
    lb_free(q->bias);
    lb_free(q->multiplier);
    lb_free(q->shift);
    lb_free(q);
}
