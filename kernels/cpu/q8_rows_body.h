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

static void largest(const unsigned char *x, size_t n, unsigned char flip, unsigned char *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char a = x[i] ^ flip, b = y[i] ^ flip;
        y[i] = (a > b ? a : b) ^ flip;
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
                                  .largest = largest};
}

#endif
