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
    return (vec_mask)_bzhi_u32(0xffffu, (unsigned)n);
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

#else

#define VEC_ISA "c"
enum { VEC = 4, VEC_REGISTERS = 16 };
typedef struct {
    float lane[VEC];
} vec;
typedef struct {
    int lane[VEC];
} vec_mask;

#define VEC_EACH for (int i = 0; i < VEC; i++)

static inline vec vec_set(float x)
{
    vec r;
    VEC_EACH r.lane[i] = x;
    return r;
}
static inline vec vec_zero(void)
{
    return vec_set(0);
}
static inline vec vec_load(const float *p)
{
    vec r;
    VEC_EACH r.lane[i] = p[i];
    return r;
}
static inline void vec_store(float *p, vec v)
{
    VEC_EACH p[i] = v.lane[i];
}
static inline vec_mask vec_first(size_t n)
{
    vec_mask m;
    VEC_EACH m.lane[i] = (size_t)i < n;
    return m;
}
static inline vec vec_load_masked(const float *p, vec_mask m)
{
    vec r;
    VEC_EACH r.lane[i] = m.lane[i] ? p[i] : 0;
    return r;
}
static inline void vec_store_masked(float *p, vec_mask m, vec v)
{
    VEC_EACH if (m.lane[i]) p[i] = v.lane[i];
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    VEC_EACH c.lane[i] = canon_fma(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}
static inline vec vec_add(vec a, vec b)
{
    VEC_EACH a.lane[i] = a.lane[i] + b.lane[i];
    return a;
}
static inline vec vec_sub(vec a, vec b)
{
    VEC_EACH a.lane[i] = a.lane[i] - b.lane[i];
    return a;
}
static inline vec vec_mul(vec a, vec b)
{
    VEC_EACH a.lane[i] = a.lane[i] * b.lane[i];
    return a;
}
static inline vec_mask vec_less(vec a, vec b)
{
    vec_mask m;
    VEC_EACH m.lane[i] = a.lane[i] < b.lane[i];
    return m;
}
static inline vec_mask vec_is_nan(vec a)
{
    vec_mask m;
    VEC_EACH m.lane[i] = a.lane[i] != a.lane[i];
    return m;
}
static inline vec vec_select(vec_mask m, vec a, vec b)
{
    VEC_EACH b.lane[i] = m.lane[i] ? a.lane[i] : b.lane[i];
    return b;
}

#undef VEC_EACH
#endif

/* What is stored instead of a NaN (docs/arithmetic.md 1.4). */
static inline vec vec_nan(vec v)
{
    return vec_select(vec_is_nan(v), vec_set(canon_float(0x7fc00000u)), v);
}

#endif
