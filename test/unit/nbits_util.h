/* SPDX-License-Identifier: MIT */
/* nbits_util.h - drawn MatMulNBits for the tests of core/nn/nbits.h, and the operator's definition, in which codes are read one bit at a time. */
#ifndef LB_TEST_NBITS_UTIL_H
#define LB_TEST_NBITS_UTIL_H

#include "test/unit/nn_util.h"

#include "core/nn/nbits.h"
#include "kernels/canon.h"

/* ---- Drawn operators --------------------------------------------------------------------------------------------------------------- */

enum zeros { NO_ZEROS, CODES, FLOATS };

struct drawn {
    struct lb_nbits_attributes at;
    struct lb_tensor b, scales, zero_points, bias;
    struct lb_nbits_inputs in;
    size_t m, n, k, blocks, block;
    unsigned bits;
    const float *a, *s, *z, *add; /* (m, k), (n, blocks), (n, blocks), (n) */
};

static inline uint32_t word(uint64_t seed, uint32_t stream, size_t i)
{
    return canon_random64(seed, stream, i).w[0];
}

static inline struct lb_tensor tensor(enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, const void *data)
{
    struct lb_err err = {0};
    struct lb_tensor t;
    cr_assert_eq(lb_tensor_describe(&t, dtype, ndim, shape, &err), 0, "%s", err.text);
    t.data = (unsigned char *)(uintptr_t)data;
    return t;
}

/* Bit `at` of a stream. */
static inline unsigned bit(const unsigned char *p, size_t at)
{
    return p[at / 8] >> at % 8 & 1;
}

static inline unsigned code_at(const unsigned char *row, unsigned bits, size_t i)
{
    unsigned code = 0;
    for (unsigned j = 0; j < bits; j++)
        code |= bit(row, i * bits + j) << j;
    return code;
}

static const float specials[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-41f, -1e-45f, 3e38f};

static inline float *numbers(uint64_t seed, uint32_t stream, size_t n, int special)
{
    float *x = keep(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        const uint32_t w = word(seed, stream, i);
        x[i] = special && w % 16 == 0 ? specials[w / 16 % COUNT(specials)] : 2 * canon_unit(w) - 1;
    }
    return x;
}

static inline unsigned char *bytes(uint64_t seed, uint32_t stream, size_t n)
{
    unsigned char *p = keep(n, 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)word(seed, stream, i);
    return p;
}

static inline void draw_zeros(struct drawn *d, enum zeros zeros, uint64_t seed)
{
    float *z = keep(d->n * d->blocks, sizeof *z);
    const size_t row = (d->blocks * d->bits + 7) / 8;
    const unsigned char *packed = bytes(seed, 3, d->n * row);
    const float *drawn = numbers(seed, 4, d->n * d->blocks, 0);
    for (size_t i = 0; i < d->n; i++)
        for (size_t g = 0; g < d->blocks; g++)
            z[i * d->blocks + g] = zeros == NO_ZEROS ? (float)(1u << (d->bits - 1))
                                   : zeros == CODES  ? (float)code_at(packed + i * row, d->bits, g)
                                                     : 5 * drawn[i * d->blocks + g];
    d->z = z;
    if (zeros == CODES)
        d->zero_points = tensor(LB_U8, 1 + seed % 2, (const size_t[2]){seed % 2 ? d->n : d->n * row, row}, packed);
    if (zeros == FLOATS)
        d->zero_points = tensor(LB_F32, 1 + seed % 2, (const size_t[2]){seed % 2 ? d->n : d->n * d->blocks, d->blocks}, z);
    d->in.zero_points = zeros == NO_ZEROS ? NULL : &d->zero_points;
}

/* Seeds decide shapes of scales and zero points, in one dimension or two, and whether there is a bias. */
static inline struct drawn *draw(uint64_t seed, unsigned bits, size_t block, enum zeros zeros, size_t m, size_t n, size_t k, int special)
{
    struct drawn *d = keep(1, sizeof *d);
    *d = (struct drawn){.m = m, .n = n, .k = k, .blocks = (k + block - 1) / block, .block = block, .bits = bits};
    d->at = (struct lb_nbits_attributes){(int64_t)k, (int64_t)n, bits, (int64_t)block, 1};
    const size_t blob = block * bits / 8, shape[] = {n, d->blocks, blob}, flat[] = {n * d->blocks};
    d->a = numbers(seed, 0, m * k, special);
    d->s = numbers(seed, 1, n * d->blocks, special);
    d->add = numbers(seed, 5, n, special);
    d->b = tensor(LB_U8, 3, shape, bytes(seed, 2, n * d->blocks * blob));
    d->scales = seed % 3 ? tensor(LB_F32, 2, shape, d->s) : tensor(LB_F32, 1, flat, d->s);
    d->bias = tensor(LB_F32, 1, &n, d->add);
    d->in = (struct lb_nbits_inputs){&d->b, &d->scales, NULL, NULL, seed % 2 ? &d->bias : NULL};
    draw_zeros(d, zeros, seed);
    return d;
}

static inline struct lb_nbits *create(const struct drawn *d)
{
    struct lb_err err = {0};
    struct lb_nbits *w;
    cr_assert_eq(lb_nbits_create(&d->at, &d->in, &w, &err), 0, "%s", err.text);
    return w;
}

/* ---- The definition ----------------------------------------------------------------------------------------------------------------- */

static inline float store(float x)
{
    return x != x ? NAN : x;
}

static inline unsigned code_of(const struct drawn *d, size_t i, size_t k)
{
    return code_at(d->b.data + i * d->blocks * d->block * d->bits / 8, d->bits, k);
}

static inline float difference(const struct drawn *d, size_t i, size_t k)
{
    return store((float)code_of(d, i, k) - d->z[i * d->blocks + k / d->block]);
}

static inline float weight(const struct drawn *d, size_t i, size_t k)
{
    return store(difference(d, i, k) * d->s[i * d->blocks + k / d->block]);
}

/* docs/arithmetic.md 2.1, of x[k step] and y[k]. */
static inline float sum(const float *x, size_t step, const float *y, size_t n)
{
    float total = 0, acc = 0;
    for (size_t k = 0; k < n; k++) {
        acc = fmaf(x[k * step], y[k], acc);
        if (k % 256 == 255 || k + 1 == n) {
            total += acc;
            acc = 0;
        }
    }
    return total;
}

/* 8.12, with one scale a block on both sides. */
static inline float sum_int8(const struct drawn *d, const float *a, size_t i)
{
    float acc = 0;
    for (size_t from = 0, end; from < d->k; from = end) {
        const size_t first = from / d->block * d->block, last = first + d->block < d->k ? first + d->block : d->k;
        float amax = 0;
        int64_t whole = 0;
        end = from + 32768 < last ? (from / 32768 + 1) * 32768 : last;
        for (size_t k = first; k < last; k++)
            amax = fabsf(a[k]) > amax ? fabsf(a[k]) : amax;
        const float sa = amax / 127;
        for (size_t k = from; k < end; k++) {
            const float q = sa == 0 ? 0 : rintf(a[k] / sa);
            whole += (int64_t)(q != q ? 0 : q > 127 ? 127 : q < -127 ? -127 : q) * (int64_t)difference(d, i, k);
        }
        acc = fmaf((float)whole, sa * d->s[i * d->blocks + from / d->block], acc);
    }
    return acc;
}

static inline float expected(const struct drawn *d, size_t row, size_t i)
{
    float w[40000];
    cr_assert(d->k <= COUNT(w));
    for (size_t k = 0; k < d->k; k++)
        w[k] = weight(d, i, k);
    const float y = d->at.accuracy_level == 4 && (!d->in.zero_points || d->in.zero_points->dtype == LB_U8)
                        ? sum_int8(d, d->a + row * d->k, i)
                        : sum(d->a + row * d->k, 1, w, d->k);
    return store(d->in.bias ? y + d->add[i] : y);
}

static inline int same(float a, float b)
{
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}

#endif
