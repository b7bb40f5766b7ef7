/* SPDX-License-Identifier: MIT */
/* int8_lanes.h - a vector of VEC 32-bit integers, or of four times as many bytes, beside that of vec.h. */
#ifndef LB_INT8_LANES_H
#define LB_INT8_LANES_H

#include "kernels/cpu/int8.h"
#include "kernels/cpu/vec.h"

#ifdef __AVX512VNNI__

#define VEC_NARROW 0 /* whether ivec_dot is faster where u is narrow */
typedef __m512i ivec;

static inline ivec ivec_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}
static inline ivec ivec_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
/* The first n bytes, n < 4 VEC, and zeros. */
static inline ivec ivec_load_some(const void *p, size_t n)
{
    return _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}
static inline int32_t ivec_sum(ivec a)
{
    return _mm512_reduce_add_epi32(a);
}
static inline void ivec_store(void *p, ivec v)
{
    _mm512_storeu_si512(p, v);
}
static inline ivec ivec_and(ivec a, ivec b)
{
    return _mm512_and_si512(a, b);
}
/* Bits n .. of each byte, with those of the next byte above them. */
static inline __attribute__((always_inline)) ivec ivec_right(ivec a, unsigned n)
{
    return _mm512_srl_epi16(a, _mm_cvtsi32_si128((int)n));
}
/* Each byte i < 16 becomes table[i]; `table` repeats itself every 16 bytes. */
static inline ivec ivec_look_up(ivec table, ivec i)
{
    return _mm512_shuffle_epi8(table, i);
}
/* VEC integers from number i on, of unsigned bytes or of two bytes each. */
static inline ivec ivec_widen(const void *p, size_t i, unsigned bytes)
{
    return bytes == 1 ? _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)((const char *)p + i)))
                      : _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)((const char *)p + 2 * i)));
}
/* a b */
static inline ivec ivec_product(ivec a, ivec b)
{
    return _mm512_mullo_epi32(a, b);
}
static inline vec ivec_float(ivec a)
{
    return _mm512_cvtepi32_ps(a);
}
/* acc + the four products of bytes u (unsigned) and a (signed) in each lane; `narrow`: no u is above INT8_NARROW. */
static inline __attribute__((always_inline)) ivec ivec_dot(ivec acc, ivec u, ivec a, int narrow)
{
    (void)narrow;
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(a)); /* gcc 12 copies every accumulator of the intrinsic's twice */
    return acc;
}
/* The whole numbers nearest to t, held within -127 and 127, NaN being 0, at a, the first n of them. */
static inline void vec_store_int8(int8_t *a, size_t n, vec t)
{
    const ivec whole = _mm512_maskz_cvtps_epi32((vec_mask)~vec_is_nan(t), t);
    _mm512_mask_cvtepi32_storeu_epi8(a, vec_first(n < VEC ? n : VEC),
                                     _mm512_max_epi32(_mm512_min_epi32(whole, ivec_set(127)), ivec_set(-127)));
}
/* The nearest whole number, of two the even one; |x| < 2^22. */
static inline vec vec_whole(vec x)
{
    return _mm512_roundscale_ps(x, 0);
}
static inline vec vec_abs(vec x)
{
    return _mm512_abs_ps(x);
}

/* VEC scales from number i on, as int8_scale_at. */
static inline vec vec_scale(enum int8_scale kind, const void *scales, size_t i)
{
    const __m128i *bytes = (const __m128i *)(const void *)((const char *)scales + i);
    const __m256i *pairs = (const __m256i *)(const void *)((const char *)scales + 2 * i);
    switch (kind) {
    case INT8_BF16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(pairs)), 16));
    case INT8_F16:
        return _mm512_cvtph_ps(_mm256_loadu_si256(pairs));
    case INT8_POWER:
        return _mm512_castsi512_ps(
            _mm512_max_epi32(_mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(bytes)), 23), _mm512_set1_epi32(0x00400000)));
    case INT8_HALF_BYTE:
        return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128(bytes)), 7));
    default:
        return vec_load((const float *)scales + i);
    }
}

#elif defined(__AVX2__) && defined(__FMA__)

#define VEC_NARROW 1
typedef __m256i ivec;

static inline ivec ivec_set(int32_t x)
{
    return _mm256_set1_epi32(x);
}
static inline ivec ivec_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline ivec ivec_load_some(const void *p, size_t n)
{
    unsigned char some[sizeof(ivec)] = {0};
    memcpy(some, p, n);
    return ivec_load(some);
}
static inline int32_t ivec_sum(ivec a)
{
    int32_t lane[VEC], sum = 0;
    memcpy(lane, &a, sizeof lane);
    for (int i = 0; i < VEC; i++)
        sum += lane[i];
    return sum;
}
static inline void ivec_store(void *p, ivec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}
static inline ivec ivec_and(ivec a, ivec b)
{
    return _mm256_and_si256(a, b);
}
static inline ivec ivec_right(ivec a, unsigned n)
{
    return _mm256_srli_epi16(a, (int)n);
}
static inline ivec ivec_look_up(ivec table, ivec i)
{
    return _mm256_shuffle_epi8(table, i);
}
static inline ivec ivec_widen(const void *p, size_t i, unsigned bytes)
{
    return bytes == 1 ? _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)((const char *)p + i)))
                      : _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)((const char *)p + 2 * i)));
}
static inline ivec ivec_product(ivec a, ivec b)
{
    return _mm256_mullo_epi32(a, b);
}
static inline vec ivec_float(ivec a)
{
    return _mm256_cvtepi32_ps(a);
}
static inline __attribute__((always_inline)) ivec ivec_dot(ivec acc, ivec u, ivec a, int narrow)
{
    if (narrow)
        return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, a), _mm256_set1_epi16(1)));
    const ivec even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8));
    const ivec odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(a, 8));
    return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
static inline void vec_store_int8(int8_t *a, size_t n, vec t)
{
    const ivec whole = _mm256_cvtps_epi32(vec_select(vec_is_nan(t), vec_zero(), t));
    const ivec held = _mm256_max_epi32(_mm256_min_epi32(whole, ivec_set(127)), ivec_set(-127));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(held), _mm256_extracti128_si256(held, 1));
    const uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    memcpy(a, &bytes, n < VEC ? n : VEC);
}
static inline vec vec_whole(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec vec_abs(vec x)
{
    return _mm256_andnot_ps(vec_set(-0.0f), x);
}

static inline vec vec_scale(enum int8_scale kind, const void *scales, size_t i)
{
    const __m128i *bytes = (const __m128i *)(const void *)((const char *)scales + i);
    const __m128i *pairs = (const __m128i *)(const void *)((const char *)scales + 2 * i);
    switch (kind) {
    case INT8_BF16:
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(pairs)), 16));
    case INT8_F16:
        return _mm256_cvtph_ps(_mm_loadu_si128(pairs));
    case INT8_POWER:
        return _mm256_castsi256_ps(
            _mm256_max_epi32(_mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes)), 23), _mm256_set1_epi32(0x00400000)));
    case INT8_HALF_BYTE:
        return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(_mm_loadl_epi64(bytes)), 7));
    default:
        return vec_load((const float *)scales + i);
    }
}

#else

#define VEC_NARROW 0
typedef int32_t ivec __attribute__((vector_size(16)));
typedef uint32_t uvec __attribute__((vector_size(16)));

static inline ivec ivec_set(int32_t x)
{
    return (ivec){x, x, x, x};
}
static inline ivec ivec_load(const void *p)
{
    ivec r;
    memcpy(&r, p, sizeof r);
    return r;
}
static inline ivec ivec_load_some(const void *p, size_t n)
{
    unsigned char some[sizeof(ivec)] = {0};
    memcpy(some, p, n);
    return ivec_load(some);
}
static inline int32_t ivec_sum(ivec a)
{
    int32_t lane[VEC], sum = 0;
    memcpy(lane, &a, sizeof lane);
    for (int i = 0; i < VEC; i++)
        sum += lane[i];
    return sum;
}
static inline void ivec_store(void *p, ivec v)
{
    memcpy(p, &v, sizeof v);
}
static inline ivec ivec_and(ivec a, ivec b)
{
    return a & b;
}
static inline ivec ivec_right(ivec a, unsigned n)
{
    return (ivec)((uvec)a >> n);
}
static inline ivec ivec_look_up(ivec table, ivec i)
{
    unsigned char t[16], x[16];
    memcpy(t, &table, sizeof t);
    memcpy(x, &i, sizeof x);
    for (int j = 0; j < 16; j++)
        x[j] = t[x[j] & 15];
    return ivec_load(x);
}
static inline ivec ivec_widen(const void *p, size_t i, unsigned bytes)
{
    int16_t wide[VEC];
    const unsigned char *narrow = (const unsigned char *)p + i;
    memcpy(wide, (const char *)p + bytes * i, bytes * VEC);
    return bytes == 1 ? (ivec){narrow[0], narrow[1], narrow[2], narrow[3]} : (ivec){wide[0], wide[1], wide[2], wide[3]};
}
static inline ivec ivec_product(ivec a, ivec b)
{
    return (ivec)((uvec)a * (uvec)b);
}
static inline vec ivec_float(ivec a)
{
    return (vec){(float)a[0], (float)a[1], (float)a[2], (float)a[3]};
}
/* No faster inlined, in some hundred places. */
__attribute__((noinline, unused)) static ivec ivec_dot(ivec acc, ivec u, ivec a, int narrow)
{
    unsigned char x[16];
    int8_t y[16];
    (void)narrow;
    memcpy(x, &u, sizeof x);
    memcpy(y, &a, sizeof y);
    for (int i = 0; i < 4; i++) /* what the zeros add may go beyond 31 bits on the way */
        acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)(x[4 * i] * y[4 * i] + x[4 * i + 1] * y[4 * i + 1] + x[4 * i + 2] * y[4 * i + 2] +
                                                         x[4 * i + 3] * y[4 * i + 3]));
    return acc;
}
static inline vec vec_whole(vec x)
{
    return (x + vec_set(CANON_SHIFTER)) - vec_set(CANON_SHIFTER);
}
static inline void vec_store_int8(int8_t *a, size_t n, vec t)
{
    const vec held = vec_select(vec_less(t, vec_set(-127)), vec_set(-127), vec_select(vec_less(vec_set(127), t), vec_set(127), t));
    const vec whole = vec_whole(held);
    for (size_t i = 0; i < VEC && i < n; i++)
        a[i] = canon_is_nan(whole[i]) ? 0 : (int8_t)whole[i];
}
static inline vec vec_abs(vec x)
{
    return (vec)((vec_mask)x & 0x7fffffff);
}

__attribute__((noinline, unused)) static vec vec_scale(enum int8_scale kind, const void *scales, size_t i)
{
    vec r;
    for (size_t j = 0; j < VEC; j++)
        r[j] = int8_scale_at(kind, scales, i + j);
    return r;
}

#endif

/* Four bytes in each lane. */
static inline ivec ivec_quad(const int8_t *a)
{
    int32_t x;
    memcpy(&x, a, sizeof x);
    return ivec_set(x);
}

#endif
