/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/codec_kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

static __m256 load(const float *x)
{
    return _mm256_loadu_ps(x);
}

/* v, and 0x7FC00000 where v is a NaN. */
static __m256 one_nan(__m256 v)
{
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
    return _mm256_blendv_ps(v, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

void lb_f16_encode_avx2(const float *x, size_t n, void *codes)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)((char *)codes + 2 * i), _mm256_cvtps_ph(one_nan(load(x + i)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    lb_f16_encode_c(x + i, n - i, (char *)codes + 2 * i);
}

void lb_f16_decode_avx2(const void *codes, size_t n, float *x)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, one_nan(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const char *)codes + 2 * i)))));
    lb_f16_decode_c((const char *)codes + 2 * i, n - i, x + i);
}

/* The upper halves of 8 binary32, rounded to nearest even, as 32-bit integers. */
static __m256i bf16_codes(__m256 v)
{
    const __m256i b = _mm256_castps_si256(one_nan(v));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(b, _mm256_set1_epi32(0x7fff)), odd), 16);
}

void lb_bf16_encode_avx2(const float *x, size_t n, void *codes)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i p = _mm256_packus_epi32(bf16_codes(load(x + i)), bf16_codes(load(x + i + 8)));
        _mm256_storeu_si256((__m256i *)((char *)codes + 2 * i), _mm256_permute4x64_epi64(p, 0xd8));
    }
    lb_bf16_encode_c(x + i, n - i, (char *)codes + 2 * i);
}

void lb_bf16_decode_avx2(const void *codes, size_t n, float *x)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)((const char *)codes + 2 * i)));
        _mm256_storeu_ps(x + i, one_nan(_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))));
    }
    lb_bf16_decode_c((const char *)codes + 2 * i, n - i, x + i);
}

/* 8 binary32 rounded to nearest even in -128 .. 127; a NaN becomes 0. */
static __m256i i8_codes(__m256 v)
{
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    v = _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(127.0f)), _mm256_set1_ps(-128.0f));
    return _mm256_cvtps_epi32(_mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

void lb_i8_encode_avx2(const float *x, size_t n, void *codes)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i a = _mm256_packs_epi32(i8_codes(load(x + i)), i8_codes(load(x + i + 8)));
        const __m256i b = _mm256_packs_epi32(i8_codes(load(x + i + 16)), i8_codes(load(x + i + 24)));
        _mm256_storeu_si256((__m256i *)((char *)codes + i), _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order));
    }
    lb_i8_encode_c(x + i, n - i, (char *)codes + i);
}

void lb_i8_decode_avx2(const void *codes, size_t n, float *x)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)((const char *)codes + i)))));
    lb_i8_decode_c((const char *)codes + i, n - i, x + i);
}

/* 8 codes in 4 bytes, one in the low byte of each 64-bit lane: the number of thresholds passed, and the sign. */
static __m256i fp4_pairs(__m256 v)
{
    const __m256 number = _mm256_cmp_ps(v, v, _CMP_ORD_Q), a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
    __m256i m = _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(0.25f), _CMP_GT_OQ));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(0.75f), _CMP_GE_OQ)));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(1.25f), _CMP_GT_OQ)));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(1.75f), _CMP_GE_OQ)));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(2.5f), _CMP_GT_OQ)));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(3.5f), _CMP_GE_OQ)));
    m = _mm256_add_epi32(m, _mm256_castps_si256(_mm256_cmp_ps(a, _mm256_set1_ps(5.0f), _CMP_GT_OQ)));
    const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(_mm256_castps_si256(_mm256_and_ps(v, number)), 31), 3);
    const __m256i code = _mm256_sub_epi32(sign, m);
    return _mm256_and_si256(_mm256_or_si256(code, _mm256_srli_epi64(code, 28)), _mm256_set1_epi64x(0xff));
}

void lb_fp4_encode_avx2(const float *x, size_t n, void *codes)
{
    const __m256i zip = _mm256_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m256i all = _mm256_setzero_si256(); /* byte v of 64-bit lane j: pair j of vector v */
        for (int v = 7; v >= 0; v--)
            all = _mm256_or_si256(_mm256_slli_epi64(all, 8), fp4_pairs(load(x + i + 8 * (size_t)v)));
        const __m256i z = _mm256_shuffle_epi8(all, zip);
        const __m128i low = _mm256_castsi256_si128(z), high = _mm256_extracti128_si256(z, 1);
        char *out = (char *)codes + i / 2;
        _mm_storeu_si128((__m128i *)out, _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128((__m128i *)(out + 16), _mm_unpackhi_epi16(low, high));
    }
    lb_fp4_encode_c(x + i, n - i, (char *)codes + i / 2);
}

void lb_fp4_decode_avx2(const void *codes, size_t n, float *x)
{
    const __m256 value = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    const __m256i shift = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int four;
        __builtin_memcpy(&four, (const char *)codes + i / 2, sizeof four);
        const __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32(four), shift);
        const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(_mm256_slli_epi32(code, 28), 31), 31);
        _mm256_storeu_ps(x + i, _mm256_or_ps(_mm256_permutevar8x32_ps(value, code), _mm256_castsi256_ps(sign)));
    }
    lb_fp4_decode_c((const char *)codes + i / 2, n - i, x + i);
}
#endif
