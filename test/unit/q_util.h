/* SPDX-License-Identifier: MIT */
/* q_util.h - what the tests of integer tensors share: the rules of docs/arithmetic.md 13 as loops, drawn types, zeros, factors and tensors of bytes, which end at
 * forbidden memory. */
#ifndef LB_TEST_Q_UTIL_H
#define LB_TEST_Q_UTIL_H

#include "test/unit/op_util.h"

#include <math.h>

/* A tensor: a buffer and the place in it where the tensor begins. */
struct q_tensor {
    struct lb_buf buf;
    struct lb_ref ref;
    unsigned char *bytes;
    size_t n; /* bytes from there on, rounded up to whole elements of 4 */
};

static inline uint32_t q_random(struct op_run *t)
{
    return op_words(t, 0x500, t->drawn++).w[0];
}

/* A tensor of n bytes, all of them drawn. */
static inline void q_make(struct op_run *t, struct q_tensor *x, size_t n)
{
    const size_t before = op_draw(t, 0, 2) ? 0 : op_draw(t, 1, 5), words = before + (n + 3) / 4;
    float *p = op_memory(t, words);
    *x = (struct q_tensor){.buf = {p, 4 * words}, .bytes = (unsigned char *)(p + before), .n = 4 * (words - before)};
    x->ref = (struct lb_ref){&x->buf, before};
    const uint32_t stream = 0x600 + (uint32_t)t->arrays;
    for (size_t i = 0; i < x->n; i += sizeof(canon_words)) {
        const canon_words drawn = op_words(t, stream, i);
        memcpy(x->bytes + i, &drawn, x->n - i < sizeof drawn ? x->n - i : sizeof drawn);
    }
}

/* A pair of equal ones: what is expected and what is got. */
struct q_pair {
    struct q_tensor want, got;
};

static inline void q_outputs(struct op_run *t, struct q_pair *p, size_t n)
{
    q_make(t, &p->want, n);
    q_make(t, &p->got, n);
    memcpy(p->got.bytes, p->want.bytes, p->got.n);
}

/* Bytes behind the last element are compared too. */
static inline void q_same(struct op_run *t, const struct q_pair *p)
{
    for (size_t i = 0; i < p->want.n; i++)
        op_assert(t, p->want.bytes[i] == p->got.bytes[i], "byte %zu of %zu: expected %d, got %d", i, p->want.n, p->want.bytes[i],
                  p->got.bytes[i]);
}

/* A buffer of n int32, each what the caller makes of it. */
static inline int32_t *q_ints(struct op_run *t, struct q_tensor *x, size_t n)
{
    q_make(t, x, 4 * n);
    return (int32_t *)(void *)x->bytes;
}

/* ---- Types and factors ---- */

static inline int32_t q_number(uint32_t type, unsigned char byte)
{
    return type == LB_Q_S8 ? (int8_t)byte : byte;
}

static inline uint32_t q_draw_type(struct op_run *t)
{
    return op_draw(t, 0, 1) ? LB_Q_S8 : LB_Q_U8;
}

static inline int32_t q_draw_zero(struct op_run *t, uint32_t type)
{
    return (int32_t)op_draw(t, 0, 255) - (type == LB_Q_S8 ? 128 : 0);
}

static inline struct lb_q_out q_draw_out(struct op_run *t, int may_be_s32)
{
    struct lb_q_out o = {.type = may_be_s32 && op_draw(t, 0, 2) == 0 ? LB_Q_S32 : q_draw_type(t)};
    const int32_t least = o.type == LB_Q_S8 ? -128 : 0;
    o.zero = q_draw_zero(t, o.type);
    o.low = op_draw(t, 0, 1) ? least : q_draw_zero(t, o.type);
    o.high = op_draw(t, 0, 1) ? least + 255 : o.low + (int32_t)op_draw(t, 0, (size_t)(least + 255 - o.low));
    return o;
}

/* A factor that brings a sum of `terms` products to about 8 bits; or one of few bits, so that there are ties; or any. */
static inline void q_draw_factor(struct op_run *t, size_t terms, int32_t *multiplier, int32_t *shift)
{
    const size_t way = op_draw(t, 0, 9), log = (size_t)(log2((double)terms + 1) / 2);
    *multiplier = (int32_t)op_draw(t, 1u << 21, (1u << 22) - 1);
    *shift = (int32_t)(28 + log + op_draw(t, 0, 3));
    if (way == 0) {
        *multiplier = (int32_t)op_draw(t, 0, (1u << 22) - 1);
        *shift = (int32_t)op_draw(t, 0, 62);
    } else if (way < 5) {
        *multiplier = 1 << op_draw(t, 0, 2);
        *shift = (int32_t)(op_draw(t, 5, 9) + log);
    }
}

/* ---- The rules ---- */

/* v m / 2^s, half to even. */
static inline int64_t q_rounded(int64_t v, int32_t multiplier, int32_t shift)
{
    const int64_t p = v * multiplier, one = (int64_t)1 << shift;
    int64_t whole = p / one, rest = p % one;
    if (rest < 0) {
        whole--;
        rest += one;
    }
    return whole + (rest > one - rest || (rest == one - rest && whole % 2 != 0));
}

static inline unsigned char q_held(const struct lb_q_out *o, int64_t v)
{
    const int64_t y = v + o->zero;
    return (unsigned char)(y < o->low ? o->low : y > o->high ? o->high : y);
}

/* Sum v becomes element i of y. */
static inline void q_put(const struct lb_q_out *o, struct q_tensor *y, size_t i, int32_t v, int32_t multiplier, int32_t shift)
{
    if (o->type == LB_Q_S32)
        memcpy(y->bytes + 4 * i, &v, sizeof v);
    else
        y->bytes[i] = q_held(o, q_rounded(v, multiplier, shift));
}

static inline size_t q_size(const struct lb_q_out *o, size_t n)
{
    return o->type == LB_Q_S32 ? 4 * n : n;
}

/* ---- Convolutions ---- */

/* The place on one side of the input that output `out` sees with tap `tap`; -1: outside. */
static inline ptrdiff_t q_place(const struct lb_q_conv *s, size_t out, size_t tap, size_t side)
{
    const ptrdiff_t reach = (ptrdiff_t)(s->dilation * tap), pad = (ptrdiff_t)s->pad, stride = (ptrdiff_t)s->stride;
    ptrdiff_t at = (ptrdiff_t)out * stride + reach - pad;
    if (s->transposed) {
        at = (ptrdiff_t)out + pad - reach;
        at = at % stride ? -1 : at / stride;
    }
    return at < (ptrdiff_t)side ? at : -1;
}

#endif
