/* SPDX-License-Identifier: MIT */
/* q8_rows_body.h - the text of q8_rows_*.c. The plain loops are such as compilers make vectors of. */
#ifndef LB_Q8_ROWS_BODY_H
#define LB_Q8_ROWS_BODY_H

#include "kernels/cpu/q8_lanes.h"
#include "kernels/cpu/q8_rows.h"

static vec load_some(const float *x, size_t n)
{
    return n >= VEC ? vec_load(x) : vec_load_masked(x, vec_first(n));
}

static void store_some(float *y, size_t n, vec v)
{
    if (n >= VEC)
        vec_store(y, v);
    else
        vec_store_masked(y, vec_first(n), v);
}

static void quantize(const float *x, size_t n, const float *scale, int one, const struct q8_out *o, unsigned char *y)
{
    const struct q8_held h = q8_held_of(o);
    const vec same = vec_set(n && one ? *scale : 1);
    for (size_t i = 0; i < n; i += VEC) {
        const vec s = one ? same : load_some(scale + i, n - i);
        vec_store_held(y + i, n - i, vec_div(load_some(x + i, n - i), s), &h);
    }
}

static void dequantize(const unsigned char *x, size_t n, unsigned char flip, int32_t zero, const float *scale, int one, float *y)
{
    const vec same = vec_set(n && one ? *scale : 1);
    const ivec flips = ivec_set(flip), zeros = ivec_set(zero);
    for (size_t i = 0; i < n; i += VEC) {
        unsigned char some[4 * VEC] = {0};
        const int whole = n - i >= VEC;
        if (!whole)
            memcpy(some, x + i, n - i);
        const ivec codes = ivec_widen(whole ? x + i : some, 0, 1);
        const vec s = one ? same : load_some(scale + i, n - i);
        store_some(y + i, n - i, vec_nan(vec_mul(ivec_float(ivec_sub(ivec_xor(codes, flips), zeros)), s)));
    }
}

static void dequantize_s32(const int32_t *x, size_t n, int32_t zero, const float *scale, int one, float *y)
{
    const vec same = vec_set(n && one ? *scale : 1);
    const ivec zeros = ivec_set(zero);
    for (size_t i = 0; i < n; i += VEC) {
        int32_t some[VEC] = {0};
        const int whole = n - i >= VEC;
        if (!whole)
            memcpy(some, x + i, (n - i) * sizeof *x);
        const vec s = one ? same : load_some(scale + i, n - i);
        store_some(y + i, n - i, vec_nan(vec_mul(ivec_float(ivec_sub(ivec_load(whole ? x + i : some), zeros)), s)));
    }
}

static void table(const unsigned char *x, size_t n, const unsigned char *t, unsigned char *y)
{
    size_t i = 0;
#ifdef __AVX512VBMI__
    const __m512i a = ivec_load(t), b = ivec_load(t + 64), c = ivec_load(t + 128), d = ivec_load(t + 192);
    for (; i + 64 <= n; i += 64) {
        const __m512i at = ivec_load(x + i);
        const __m512i low = _mm512_permutex2var_epi8(a, at, b), high = _mm512_permutex2var_epi8(c, at, d);
        ivec_store(y + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high));
    }
#endif
    for (; i < n; i++)
        y[i] = t[x[i]];
}

static void add(const struct q8_side *a, const struct q8_side *b, size_t n, int32_t *restrict v)
{
    const unsigned char *x = a->x, *y = b->x;
    const int32_t fx = a->flip, fy = b->flip, zx = a->zero, zy = b->zero, mx = a->factor, my = b->factor;
    for (size_t i = 0; i < n; i++)
        v[i] = (int32_t)((uint32_t)((x[i] ^ fx) - zx) * (uint32_t)mx + (uint32_t)((y[i] ^ fy) - zy) * (uint32_t)my);
}

static void multiply(const struct q8_side *a, const struct q8_side *b, size_t n, int32_t *restrict v)
{
    const unsigned char *x = a->x, *y = b->x;
    const int32_t fx = a->flip, fy = b->flip, zx = a->zero, zy = b->zero;
    for (size_t i = 0; i < n; i++)
        v[i] = ((x[i] ^ fx) - zx) * ((y[i] ^ fy) - zy);
}

static void sum(const unsigned char *x, size_t n, unsigned char flip, int32_t *restrict v)
{
    const int32_t f = flip;
    for (size_t i = 0; i < n; i++)
        v[i] = (int32_t)((uint32_t)v[i] + (uint32_t)(x[i] ^ f));
}

/* ---- Windows, 16 bytes of each place at a time; what is left over goes with those before it, or one by one where there are none ---- */

enum { AT_ONCE = 16 };
typedef unsigned char bytes __attribute__((vector_size(AT_ONCE)));

#define EACH_PLACE(x, w, at)                                                                                                               \
    for (size_t i_ = 0; i_ < (w)->rows; i_++)                                                                                              \
        for (const unsigned char *x = (w)->x + i_ * (w)->row + (at), *end_ = x + (w)->cols * (w)->col; x < end_; x += (w)->col)

static void largest_16(const struct q8_window *w, size_t at, unsigned char flip, unsigned char *y)
{
    bytes most = {0}, a;
    EACH_PLACE(x, w, at)
    {
        memcpy(&a, x, sizeof a);
        a ^= flip;
        const bytes more = (bytes)(a > most);
        most = (a & more) | (most & ~more);
    }
    most ^= flip;
    memcpy(y + at, &most, sizeof most);
}

static void largest(const struct q8_window *w, size_t c, unsigned char flip, unsigned char *y)
{
    for (size_t at = 0; at < c && c >= AT_ONCE; at += AT_ONCE)
        largest_16(w, at + AT_ONCE <= c ? at : c - AT_ONCE, flip, y);
    for (size_t at = 0; at < c && c < AT_ONCE; at++) {
        unsigned char most = 0;
        EACH_PLACE(x, w, at) most = (*x ^ flip) > most ? *x ^ flip : most;
        y[at] = most ^ flip;
    }
}

static void sum_16(const struct q8_window *w, size_t at, unsigned char flip, int32_t start, int32_t *v)
{
    const ivec flips = ivec_set(flip);
    ivec less[AT_ONCE / VEC]; /* there is no ivec_add */
    UNROLL for (size_t j = 0; j < AT_ONCE / VEC; j++) less[j] = ivec_set(-start);
    EACH_PLACE(x, w, at)
    {
        UNROLL for (size_t j = 0; j < AT_ONCE / VEC; j++) less[j] = ivec_sub(less[j], ivec_xor(ivec_widen(x, j * VEC, 1), flips));
    }
    UNROLL for (size_t j = 0; j < AT_ONCE / VEC; j++) ivec_store(v + at + j * VEC, ivec_sub(ivec_set(0), less[j]));
}

static void sum_window(const struct q8_window *w, size_t c, unsigned char flip, int32_t start, int32_t *v)
{
    for (size_t at = 0; at < c && c >= AT_ONCE; at += AT_ONCE)
        sum_16(w, at + AT_ONCE <= c ? at : c - AT_ONCE, flip, start, v);
    for (size_t at = 0; at < c && c < AT_ONCE; at++) {
        v[at] = start;
        EACH_PLACE(x, w, at) v[at] += *x ^ flip;
    }
}

static void q8_rows_init(struct q8_rows_kernels *k)
{
    *k = (struct q8_rows_kernels){.quantize = quantize,
                                  .dequantize = dequantize,
                                  .dequantize_s32 = dequantize_s32,
                                  .table = table,
                                  .add = add,
                                  .multiply = multiply,
                                  .sum = sum,
                                  .largest = largest,
                                  .sum_window = sum_window};
}

#endif
