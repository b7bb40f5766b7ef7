/* SPDX-License-Identifier: MIT */
/* q8_lanes.h - sixteen sums become bytes, in each instruction set. */
#ifndef LB_Q8_LANES_H
#define LB_Q8_LANES_H

#include "kernels/cpu/int8_lanes.h"
#include "kernels/cpu/q8.h"

/* A number of magnitude below 2^51 that is added to this is rounded to a whole one, half to even, whose last 32 bits are those of the sum. */
#define Q8_SHIFTER 0x1.8p52

/* How sums are rounded and held: R(v) within least and most, then zero is added; low and high are the same with it, and `is_signed` says of what type. */
struct q8_held {
    int32_t least, most, zero, low, high;
    int is_signed;
};

static inline struct q8_held q8_held_of(const struct q8_out *o)
{
    return (struct q8_held){o->low - o->zero, o->high - o->zero, o->zero, o->low, o->high, o->low < 0};
}

/* Four times 16 sums of 16 factors each, from place to place so many elements. */
struct q8_four {
    const int32_t *v;
    const double *f;
    unsigned char *y;
    size_t v_step, f_step, y_step;
};

#ifdef __AVX512VNNI__

static inline ivec ivec_xor(ivec a, ivec b)
{
    return _mm512_xor_si512(a, b);
}
static inline ivec ivec_sub(ivec a, ivec b)
{
    return _mm512_sub_epi32(a, b);
}

/* Eight sums times f, rounded: in the low halves of the lanes. */
static inline __attribute__((always_inline)) __m512i q8_rounded(const int32_t *v, const double *f, const struct q8_held *h, int small)
{
    const __m512d x = _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)(const void *)v)), shifter = _mm512_set1_pd(Q8_SHIFTER);
    if (small)
        return _mm512_castpd_si512(_mm512_fmadd_pd(x, _mm512_loadu_pd(f), shifter)); /* the product is exact: it is rounded once */
    const __m512d t = _mm512_min_pd(_mm512_mul_pd(x, _mm512_loadu_pd(f)), _mm512_set1_pd(h->most));
    return _mm512_castpd_si512(_mm512_add_pd(_mm512_max_pd(t, _mm512_set1_pd(h->least)), shifter));
}

/* The first n of the sums v[16] become bytes. */
static inline __attribute__((always_inline)) void q8_store(const int32_t *v, const double *f, const struct q8_held *h, int small,
                                                           unsigned char *y, size_t n)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i r = _mm512_permutex2var_epi32(q8_rounded(v, f, h, small), even, q8_rounded(v + 8, f + 8, h, small));
    const __m512i held = _mm512_max_epi32(_mm512_min_epi32(r, ivec_set(h->most)), ivec_set(h->least));
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(held, ivec_set(h->zero)));
    if (n >= 16)
        _mm_storeu_si128((__m128i *)(void *)y, bytes);
    else
        _mm_mask_storeu_epi8(y, (__mmask16)((1u << n) - 1), bytes);
}

/* Sixteen of the four, rounded, in the order that costs least: in each part of four lanes two of the first eight, two of the others. */
static inline __attribute__((always_inline)) __m512i q8_sixteen(const struct q8_four *q, size_t i, const struct q8_held *h, int small)
{
    const int32_t *v = q->v + i * q->v_step;
    const double *f = q->f + i * q->f_step;
    const __m512i a = q8_rounded(v, f, h, small), b = q8_rounded(v + 8, f + 8, h, small);
    return _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88));
}

/* Narrowed together. What is narrowed is held on the way, so that zero may be added between: signed bytes, to which unsigned ones are 128 away. */
static inline __attribute__((always_inline)) void q8_store_four(const struct q8_four *q, const struct q8_held *h, int small)
{
    const int apart = h->is_signed ? 0 : 128;
    const __m512i zero = _mm512_set1_epi16((short)(h->zero - apart));
    const __m512i a = _mm512_packs_epi32(q8_sixteen(q, 0, h, small), q8_sixteen(q, 1, h, small));
    const __m512i b = _mm512_packs_epi32(q8_sixteen(q, 2, h, small), q8_sixteen(q, 3, h, small));
    const __m512i mixed = _mm512_packs_epi16(_mm512_adds_epi16(a, zero), _mm512_adds_epi16(b, zero));
    const __m512i least = _mm512_set1_epi8((char)(h->low - apart)), most = _mm512_set1_epi8((char)(h->high - apart));
    const __m512i held = _mm512_xor_si512(_mm512_max_epi8(_mm512_min_epi8(mixed, most), least), _mm512_set1_epi8((char)apart));
    const __m512i order =
        _mm512_setr_epi32(0x11100100, 0x31302120, 0x13120302, 0x33322322, 0x15140504, 0x35342524, 0x17160706, 0x37362726, 0x19180908,
                          0x39382928, 0x1b1a0b0a, 0x3b3a2b2a, 0x1d1c0d0c, 0x3d3c2d2c, 0x1f1e0f0e, 0x3f3e2f2e); /* 16 part + 4 i + place */
    const __m512i y = _mm512_permutexvar_epi8(order, held);
    if (q->y_step == 16) {
        _mm512_storeu_si512(q->y, y);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)q->y, _mm512_castsi512_si128(y));
    _mm_storeu_si128((__m128i *)(void *)(q->y + q->y_step), _mm512_extracti32x4_epi32(y, 1));
    _mm_storeu_si128((__m128i *)(void *)(q->y + 2 * q->y_step), _mm512_extracti32x4_epi32(y, 2));
    _mm_storeu_si128((__m128i *)(void *)(q->y + 3 * q->y_step), _mm512_extracti32x4_epi32(y, 3));
}

/* The whole numbers nearest to t, held, zero added, at y, the first n of them; a NaN counts as 0. */
static inline __attribute__((always_inline)) void vec_store_held(unsigned char *y, size_t n, vec t, const struct q8_held *h)
{
    const vec number = _mm512_maskz_mov_ps((vec_mask)~vec_is_nan(t), t);
    const vec held = _mm512_max_ps(_mm512_min_ps(number, vec_set((float)h->most)), vec_set((float)h->least));
    const ivec whole = _mm512_add_epi32(_mm512_cvtps_epi32(held), ivec_set(h->zero));
    if (n >= VEC)
        _mm_storeu_si128((__m128i *)(void *)y, _mm512_cvtepi32_epi8(whole));
    else
        _mm512_mask_cvtepi32_storeu_epi8(y, vec_first(n), whole);
}

#elif defined(__AVX2__) && defined(__FMA__)

static inline ivec ivec_xor(ivec a, ivec b)
{
    return _mm256_xor_si256(a, b);
}
static inline ivec ivec_sub(ivec a, ivec b)
{
    return _mm256_sub_epi32(a, b);
}

static inline __attribute__((always_inline)) __m256 q8_rounded(const int32_t *v, const double *f, const struct q8_held *h, int small)
{
    const __m256d x = _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(const void *)v)), shifter = _mm256_set1_pd(Q8_SHIFTER);
    if (small)
        return _mm256_castpd_ps(_mm256_fmadd_pd(x, _mm256_loadu_pd(f), shifter));
    const __m256d t = _mm256_min_pd(_mm256_mul_pd(x, _mm256_loadu_pd(f)), _mm256_set1_pd(h->most));
    return _mm256_castpd_ps(_mm256_add_pd(_mm256_max_pd(t, _mm256_set1_pd(h->least)), shifter));
}

/* Eight of them, zero added. */
static inline __attribute__((always_inline)) __m256i q8_eight(const int32_t *v, const double *f, const struct q8_held *h, int small)
{
    const __m256 mixed = _mm256_shuffle_ps(q8_rounded(v, f, h, small), q8_rounded(v + 4, f + 4, h, small), 0x88);
    const __m256i r = _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xd8);
    return _mm256_add_epi32(_mm256_max_epi32(_mm256_min_epi32(r, ivec_set(h->most)), ivec_set(h->least)), ivec_set(h->zero));
}

static inline __attribute__((always_inline)) void q8_store(const int32_t *v, const double *f, const struct q8_held *h, int small,
                                                           unsigned char *y, size_t n)
{
    const __m256i words = _mm256_packs_epi32(q8_eight(v, f, h, small), q8_eight(v + 8, f + 8, h, small));
    const __m256i low = _mm256_and_si256(_mm256_permute4x64_epi64(words, 0xd8), _mm256_set1_epi16(255));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    if (n >= 16)
        _mm_storeu_si128((__m128i *)(void *)y, bytes);
    else
        memcpy(y, &bytes, n);
}

/* The whole numbers nearest to t, held, zero added, at y, the first n of them; a NaN counts as 0. */
static inline __attribute__((always_inline)) void vec_store_held(unsigned char *y, size_t n, vec t, const struct q8_held *h)
{
    const vec number = vec_select(vec_is_nan(t), vec_zero(), t);
    const vec held = _mm256_max_ps(_mm256_min_ps(number, vec_set((float)h->most)), vec_set((float)h->least));
    const ivec whole = _mm256_and_si256(_mm256_add_epi32(_mm256_cvtps_epi32(held), ivec_set(h->zero)), ivec_set(255));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    const uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    memcpy(y, &bytes, n < VEC ? n : VEC);
}

#else

static inline ivec ivec_xor(ivec a, ivec b)
{
    return a ^ b;
}
static inline ivec ivec_sub(ivec a, ivec b)
{
    return (ivec)((uvec)a - (uvec)b);
}

/* acc + the four products of bytes u (unsigned) and a (signed) in each lane: those of bytes 0 and 2 side by side, each in 16 bits, and those of bytes 1 and 3. */
static inline __attribute__((always_inline)) ivec q8_dot(ivec acc, ivec u, ivec a)
{
    typedef int16_t pairs __attribute__((vector_size(16)));
    typedef uint16_t upairs __attribute__((vector_size(16)));
    const pairs a_even = (pairs)((upairs)a << 8) >> 8, a_odd = (pairs)a >> 8;
    const ivec even = (ivec)((pairs)(u & 0x00ff00ff) * a_even), odd = (ivec)((pairs)((ivec)((uvec)u >> 8) & 0x00ff00ff) * a_odd);
    const ivec sum = ((ivec)((uvec)even << 16) >> 16) + (even >> 16) + ((ivec)((uvec)odd << 16) >> 16) + (odd >> 16);
    return (ivec)((uvec)acc + (uvec)sum);
}

static inline void q8_store(const int32_t *v, const double *f, const struct q8_held *h, int small, unsigned char *y, size_t n)
{
    unsigned char bytes[16];
    for (size_t i = 0; i < 16; i++) {
        const double x = v[i] * f[i], high = small || x < h->most ? x : h->most, t = small || high > h->least ? high : h->least;
        const double whole = t + Q8_SHIFTER;
        uint64_t bits;
        memcpy(&bits, &whole, sizeof bits);
        const int32_t r = (int32_t)(uint32_t)bits, held = r < h->least ? h->least : r > h->most ? h->most : r;
        bytes[i] = (unsigned char)(held + h->zero);
    }
    memcpy(y, bytes, n < 16 ? n : 16);
}

/* The whole numbers nearest to t, held, zero added, at y, the first n of them; a NaN counts as 0. */
static inline __attribute__((always_inline)) void vec_store_held(unsigned char *y, size_t n, vec t, const struct q8_held *h)
{
    const vec number = vec_select(vec_is_nan(t), vec_zero(), t), least = vec_set((float)h->least), most = vec_set((float)h->most);
    const vec low = vec_select(vec_less(number, least), least, number), whole = vec_whole(vec_select(vec_less(most, low), most, low));
    for (size_t i = 0; i < VEC && i < n; i++)
        y[i] = (unsigned char)((int32_t)whole[i] + h->zero);
}

#endif

#ifdef __AVX2__
static inline __attribute__((always_inline)) ivec q8_dot(ivec acc, ivec u, ivec a)
{
    return ivec_dot(acc, u, a, 0);
}
#endif

#ifndef __AVX512VNNI__
static inline __attribute__((always_inline)) void q8_store_four(const struct q8_four *q, const struct q8_held *h, int small)
{
    for (size_t i = 0; i < 4; i++)
        q8_store(q->v + i * q->v_step, q->f + i * q->f_step, h, small, q->y + i * q->y_step, 16);
}
#endif

#endif
