/* SPDX-License-Identifier: MIT */
/* vec.h - a vector of VEC binary32 lanes in the instruction set that the including file is built for (its name's ending: the Makefile's ISA_*), so that
 * one text, a *_body.h, is compiled for each. Every operation is the IEEE one, lane by lane: nothing here changes a bit. */
#ifndef LB_VEC_H
#define LB_VEC_H

#include "kernels/canon.h"
#include <stddef.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

/* Loops over arrays of vectors must vanish, or the arrays do not become registers. A sanitizer has no registers to spare, and would take minutes. */
#ifdef SANITIZED
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(__AVX2__) && defined(__FMA__)

/* A strip: the STRIP lanes that are turned fastest, a half or the whole of a vector. */
enum { STRIP = 8, STRIP_K = 4 };
typedef __m256 strip;

static inline strip strip_zero(void)
{
    return _mm256_setzero_ps();
}
static inline strip strip_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline void strip_store(float *p, strip v)
{
    _mm256_storeu_ps(p, v);
}
static inline strip strip_fma(strip a, strip b, strip c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline strip strip_add(strip a, strip b)
{
    return _mm256_add_ps(a, b);
}

/* r[j], lane i, is p[i * ld + j]. Loads of 128 bits put the 4 x 4 parts where they belong, so that fewer shuffles than those of
 * vec_transpose suffice. */
static inline __attribute__((always_inline)) void strip_load_turned(const float *p, size_t ld, strip r[STRIP_K])
{
    strip t[4];
    for (size_t i = 0; i < 4; i++) {
        const float *q = p + i * ld;
        t[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(q)), _mm_loadu_ps(q + 4 * ld), 1);
    }
    const strip a = _mm256_unpacklo_ps(t[0], t[1]), b = _mm256_unpackhi_ps(t[0], t[1]);
    const strip c = _mm256_unpacklo_ps(t[2], t[3]), d = _mm256_unpackhi_ps(t[2], t[3]);
    r[0] = _mm256_shuffle_ps(a, c, 0x44);
    r[1] = _mm256_shuffle_ps(a, c, 0xee);
    r[2] = _mm256_shuffle_ps(b, d, 0x44);
    r[3] = _mm256_shuffle_ps(b, d, 0xee);
}

#endif

#if defined(__AVX512F__) && defined(__AVX512VL__)

#define VEC_ISA "avx512"
enum { VEC = 16, VEC_REGISTERS = 32 };
typedef __m512 vec;
typedef __mmask16 vec_mask;

static inline vec vec_zero(void)
{
    return _mm512_setzero_ps();
}
static inline vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vec_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
/* The first n lanes, 0 <= n <= VEC. */
static inline vec_mask vec_first(size_t n)
{
    return (vec_mask)((1u << n) - 1);
}
/* Lanes outside the mask are +0, and are not read. */
static inline vec vec_load_masked(const float *p, vec_mask m)
{
    return _mm512_maskz_loadu_ps(m, p);
}
static inline void vec_store_masked(float *p, vec_mask m, vec v)
{
    _mm512_mask_storeu_ps(p, m, v);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
static inline vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
static inline vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
/* Lanes where a < b (false where either is NaN). */
static inline vec_mask vec_less(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vec_mask vec_is_nan(vec a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
/* m ? a : b */
static inline vec vec_select(vec_mask m, vec a, vec b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

/* Lane j of r[i] becomes lane i of r[j]. */
static inline __attribute__((always_inline)) void vec_transpose(vec r[VEC])
{
    vec t[VEC];
    for (int i = 0; i < VEC; i += 4) { /* in each 128-bit part a 4 x 4 block */
        const vec a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const vec c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) { /* the 4 x 4 parts */
        const vec a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const vec c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

/* The lanes from lo to hi - 1, lo <= hi <= VEC. */
static inline vec_mask vec_between(size_t lo, size_t hi)
{
    return (vec_mask)((1u << hi) - (1u << lo));
}
/* Whether any lane is in the mask. */
static inline int vec_any(vec_mask m)
{
    return m != 0;
}
/* v < low ? low : v: a NaN and a zero of v stay as they are. */
static inline vec vec_raise(vec v, vec low)
{
    return _mm512_max_ps(low, v);
}
/* The lanes of even number of a, then those of b. */
static inline vec vec_even(vec a, vec b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
}
/* a0 b0 a1 b1 ..., first half and second half. */
static inline vec vec_zip_low(vec a, vec b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}
static inline vec vec_zip_high(vec a, vec b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
}

/* r[j], lane i, is p[i * ld + j]: a block is turned on its way in. */
static inline __attribute__((always_inline)) void vec_load_turned(const float *p, size_t ld, vec r[VEC])
{
    for (int i = 0; i < VEC; i++)
        r[i] = vec_load(p + (size_t)i * ld);
    vec_transpose(r);
}

#elif defined(__AVX2__) && defined(__FMA__)

#define VEC_ISA "avx2"
enum { VEC = 8, VEC_REGISTERS = 16 };
typedef __m256 vec;
typedef __m256i vec_mask; /* all ones or all zeros a lane */

static inline vec vec_zero(void)
{
    return _mm256_setzero_ps();
}
static inline vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
static inline vec_mask vec_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec vec_load_masked(const float *p, vec_mask m)
{
    return _mm256_maskload_ps(p, m);
}
static inline void vec_store_masked(float *p, vec_mask m, vec v)
{
    _mm256_maskstore_ps(p, m, v);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
static inline vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
static inline vec_mask vec_less(vec a, vec b)
{
    return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline vec_mask vec_is_nan(vec a)
{
    return _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
static inline vec vec_select(vec_mask m, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
}

/* Lane j of r[i] becomes lane i of r[j]. */
static inline __attribute__((always_inline)) void vec_transpose(vec r[VEC])
{
    vec t[VEC];
    for (int i = 0; i < VEC; i += 4) { /* in each 128-bit part a 4 x 4 block */
        const vec a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const vec c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) { /* the 2 x 2 parts */
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

/* The lanes from lo to hi - 1, lo <= hi <= VEC. */
static inline vec_mask vec_between(size_t lo, size_t hi)
{
    return _mm256_andnot_si256(vec_first(lo), vec_first(hi));
}
/* Whether any lane is in the mask. */
static inline int vec_any(vec_mask m)
{
    return !_mm256_testz_si256(m, m);
}
/* v < low ? low : v: a NaN and a zero of v stay as they are. */
static inline vec vec_raise(vec v, vec low)
{
    return _mm256_max_ps(low, v);
}
/* The lanes of even number of a, then those of b. */
static inline vec vec_even(vec a, vec b)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
}
/* a0 b0 a1 b1 ..., first half and second half. */
static inline vec vec_zip_low(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
static inline vec vec_zip_high(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

/* r[j], lane i, is p[i * ld + j]: a block is turned on its way in. */
static inline __attribute__((always_inline)) void vec_load_turned(const float *p, size_t ld, vec r[VEC])
{
    strip_load_turned(p, ld, r);
    strip_load_turned(p + STRIP_K, ld, r + STRIP_K);
}

#else

#define VEC_ISA "c"
enum { VEC = 4, VEC_REGISTERS = 16 };
typedef float vec __attribute__((vector_size(16)));
typedef int32_t vec_mask __attribute__((vector_size(16))); /* all ones or all zeros a lane */

#define VEC_EACH for (int i = 0; i < VEC; i++)

static inline vec vec_set(float x)
{
    return (vec){x, x, x, x};
}
static inline vec vec_zero(void)
{
    return vec_set(0);
}
static inline vec vec_load(const float *p)
{
    vec r;
    memcpy(&r, p, sizeof r);
    return r;
}
static inline void vec_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}
/* The lanes from lo to hi - 1, lo <= hi <= VEC. */
static inline vec_mask vec_between(size_t lo, size_t hi)
{
    vec_mask m;
    VEC_EACH m[i] = (size_t)i >= lo && (size_t)i < hi ? -1 : 0;
    return m;
}
static inline vec_mask vec_first(size_t n)
{
    return vec_between(0, n);
}
static inline vec vec_load_masked(const float *p, vec_mask m)
{
    vec r = {0};
    VEC_EACH if (m[i]) r[i] = p[i];
    return r;
}
static inline void vec_store_masked(float *p, vec_mask m, vec v)
{
    VEC_EACH if (m[i]) p[i] = v[i];
}
/* Where it is a library's function, four calls of that are not repeated in each of some hundred places. */
#ifndef FP_FAST_FMAF
__attribute__((noinline, unused))
#endif
static vec
vec_fma(vec a, vec b, vec c)
{
    VEC_EACH c[i] = canon_fma(a[i], b[i], c[i]);
    return c;
}
static inline vec vec_add(vec a, vec b)
{
    return a + b;
}
static inline vec vec_sub(vec a, vec b)
{
    return a - b;
}
static inline vec vec_mul(vec a, vec b)
{
    return a * b;
}
static inline vec vec_div(vec a, vec b)
{
    return a / b;
}
static inline vec_mask vec_less(vec a, vec b)
{
    return a < b;
}
static inline vec_mask vec_is_nan(vec a)
{
    return a != a;
}
static inline vec vec_select(vec_mask m, vec a, vec b)
{
    return (vec)((m & (vec_mask)a) | (~m & (vec_mask)b));
}

/* Lane j of r[i] becomes lane i of r[j]. */
static inline void vec_transpose(vec r[VEC])
{
    const vec a = r[0], b = r[1], c = r[2], d = r[3];
    VEC_EACH r[i] = (vec){a[i], b[i], c[i], d[i]};
}
/* Whether any lane is in the mask. */
static inline int vec_any(vec_mask m)
{
    return (m[0] | m[1] | m[2] | m[3]) != 0;
}
/* v < low ? low : v: a NaN and a zero of v stay as they are. */
static inline vec vec_raise(vec v, vec low)
{
    return vec_select(v < low, low, v);
}
/* The lanes of even number of a, then those of b. */
static inline vec vec_even(vec a, vec b)
{
    return (vec){a[0], a[2], b[0], b[2]};
}
/* a0 b0 a1 b1 ..., first half and second half. */
static inline vec vec_zip_low(vec a, vec b)
{
    return (vec){a[0], b[0], a[1], b[1]};
}
static inline vec vec_zip_high(vec a, vec b)
{
    return (vec){a[2], b[2], a[3], b[3]};
}

/* r[j], lane i, is p[i * ld + j]. */
static inline void vec_load_turned(const float *p, size_t ld, vec r[VEC])
{
    for (int i = 0; i < VEC; i++)
        r[i] = vec_load(p + (size_t)i * ld);
    vec_transpose(r);
}

enum { STRIP = VEC, STRIP_K = VEC };
typedef vec strip;
#define strip_zero        vec_zero
#define strip_set         vec_set
#define strip_store       vec_store
#define strip_fma         vec_fma
#define strip_add         vec_add
#define strip_load_turned vec_load_turned

#undef VEC_EACH
#endif

/* What is stored instead of a NaN (docs/arithmetic.md 1.4). */
static inline vec vec_nan(vec v)
{
    return vec_select(vec_is_nan(v), vec_set(canon_float(0x7fc00000u)), v);
}

#endif
