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

/* Whether n decoded numbers at x are better written past the caches: when they would not fit, reading the lines first doubles the traffic. */
static int past_caches(const float *x, size_t n)
{
    enum { MANY = 1 << 22 };
    return n >= MANY && (size_t)x % 32 == 0;
}

static void store(float *x, __m256 v, int stream)
{
    if (stream)
        _mm256_stream_ps(x, v);
    else
        _mm256_storeu_ps(x, v);
}

void lb_f16_encode_avx2(const float *x, size_t n, void *codes)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)((char *)codes + 2 * i),
                         _mm256_cvtps_ph(one_nan(load(x + i)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    lb_f16_encode_c(x + i, n - i, (char *)codes + 2 * i);
}

void lb_f16_decode_avx2(const void *codes, size_t n, float *x)
{
    const int stream = past_caches(x, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        store(x + i, one_nan(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const char *)codes + 2 * i)))), stream);
    if (stream)
        _mm_sfence();
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
    const int stream = past_caches(x, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)((const char *)codes + 2 * i)));
        store(x + i, one_nan(_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))), stream);
    }
    if (stream)
        _mm_sfence();
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
    const int stream = past_caches(x, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        store(x + i, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)((const char *)codes + i)))), stream);
    if (stream)
        _mm_sfence();
    lb_i8_decode_c((const char *)codes + i, n - i, x + i);
}

/* 16 codes as 16-bit integers: of a, b [0..3] in the lower lane, of [4..7] in the upper. The comparisons work on the upper halves of the magnitudes,
 * whose lowest bit is set where the lower half is not zero: the thresholds have no more bits than that. */
static inline __m256i fp4_codes(__m256i a, __m256i b)
{
    const __m256i low = _mm256_set1_epi32(0xffff), one = _mm256_set1_epi16(1);
    const __m256i upper = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
    const __m256i lower = _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
    const __m256i more = _mm256_add_epi16(_mm256_cmpeq_epi16(lower, _mm256_setzero_si256()), one);
    const __m256i m = _mm256_or_si256(_mm256_and_si256(upper, _mm256_set1_epi16(0x7fff)), more);
    __m256i n = _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x3e80));              /* > 0.25 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x3f3f))); /* >= 0.75 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x3fa0))); /* > 1.25 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x3fdf))); /* >= 1.75 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x4020))); /* > 2.5 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x405f))); /* >= 3.5 */
    n = _mm256_add_epi16(n, _mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x40a0))); /* > 5 */
    const __m256i sign = _mm256_slli_epi16(_mm256_srli_epi16(upper, 15), 3);
    return _mm256_andnot_si256(_mm256_cmpgt_epi16(m, _mm256_set1_epi16(0x7f80)), _mm256_sub_epi16(sign, n));
}

/* 32 codes as 16 bytes of two in 16-bit integers, ordered as above. */
static inline __m256i fp4_pairs(const __m256i *x)
{
    const __m256i a = fp4_codes(_mm256_loadu_si256(x), _mm256_loadu_si256(x + 1));
    const __m256i b = fp4_codes(_mm256_loadu_si256(x + 2), _mm256_loadu_si256(x + 3));
    return _mm256_maddubs_epi16(_mm256_packus_epi16(a, b), _mm256_set1_epi16(0x1001));
}

void lb_fp4_encode_avx2(const float *x, size_t n, void *codes)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        const __m256i *in = (const __m256i *)(const void *)(x + i);
        const __m256i all = _mm256_packus_epi16(fp4_pairs(in), fp4_pairs(in + 4));
        const __m128i low = _mm256_castsi256_si128(all), high = _mm256_extracti128_si256(all, 1);
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
    const int stream = past_caches(x, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int four;
        __builtin_memcpy(&four, (const char *)codes + i / 2, sizeof four);
        const __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32(four), shift);
        const __m256 sign = _mm256_and_ps(_mm256_castsi256_ps(_mm256_slli_epi32(code, 28)), _mm256_set1_ps(-0.0f));
        store(x + i, _mm256_or_ps(_mm256_permutevar8x32_ps(value, code), sign), stream);
    }
    if (stream)
        _mm_sfence();
    lb_fp4_decode_c((const char *)codes + i / 2, n - i, x + i);
}
#endif
