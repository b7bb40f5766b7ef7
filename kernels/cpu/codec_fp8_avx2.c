/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/codec_fp8.h"

#ifdef __x86_64__
#include <immintrin.h>

/* 8 codes as 32-bit integers. */
static inline __m256i codes8(const struct lb_fp8 *t, __m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), a = _mm256_min_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(t->top));
    const __m256i field = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7f800000));
    const __m256i power = _mm256_max_epi32(_mm256_or_si256(field, _mm256_set1_epi32((int)t->constant)), _mm256_set1_epi32((int)t->least));
    const __m256i sum = _mm256_castps_si256(_mm256_fmadd_ps(a, _mm256_set1_ps(t->unit), _mm256_castsi256_ps(power)));
    const __m256i both = _mm256_add_epi32(sum, _mm256_srl_epi32(sum, _mm_cvtsi32_si128(23 - t->m)));
    const __m256i magnitude = _mm256_and_si256(both, _mm256_set1_epi32(127));
    __m256i code = _mm256_or_si256(magnitude, _mm256_srli_epi32(_mm256_castps_si256(_mm256_and_ps(x, sign)), 24));
    if (t->nan_code == 0x80)
        code = _mm256_andnot_si256(_mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256()), code);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(code, _mm256_set1_epi32((int)t->nan_code), nan);
}

void lb_fp8_encode_avx2(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i a = _mm256_packus_epi32(codes8(t, _mm256_loadu_ps(x + i)), codes8(t, _mm256_loadu_ps(x + i + 8)));
        const __m256i b = _mm256_packus_epi32(codes8(t, _mm256_loadu_ps(x + i + 16)), codes8(t, _mm256_loadu_ps(x + i + 24)));
        _mm256_storeu_si256((__m256i *)(codes + i), _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order));
    }
    lb_fp8_encode_c(t, x + i, n - i, codes + i);
}

/* Shifted into place, exponent and fraction are a binary32 number, subnormal where the code is, 2^(127 - bias) times too small. A block with a
 * code that is no finite number goes by the table. */
void lb_fp8_decode_avx2(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x)
{
    enum { MANY = 1 << 22 }; /* more than stays in a cache: written past it */
    const int stream = n >= MANY && (size_t)x % 32 == 0;
    const __m256 factor = _mm256_castsi256_ps(_mm256_set1_epi32((254 - t->bias) << 23)), sign = _mm256_set1_ps(-0.0f);
    const __m256i last = _mm256_set1_epi8((char)(t->finite - 1)), low = _mm256_set1_epi8(127), no_zero = _mm256_set1_epi8(-128);
    const __m128i shift = _mm_cvtsi32_si128(23 - t->m);
    size_t i = 0;
    for (; t->encodes && i + 32 <= n; i += 32) {
        const __m256i all = _mm256_loadu_si256((const __m256i *)(codes + i));
        const __m256i above = _mm256_cmpgt_epi8(_mm256_and_si256(all, low), last), zero = _mm256_cmpeq_epi8(all, no_zero);
        if (_mm256_movemask_epi8(above) || (t->nan_code == 0x80 && _mm256_movemask_epi8(zero))) {
            lb_fp8_decode_c(t, codes + i, 32, x + i);
            continue;
        }
        for (size_t j = i; j < i + 32; j += 8) {
            const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(codes + j)));
            const __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi32(127));
            const __m256 v = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_sll_epi32(magnitude, shift)), factor);
            const __m256 r = _mm256_or_ps(v, _mm256_and_ps(sign, _mm256_castsi256_ps(_mm256_slli_epi32(code, 24))));
            if (stream)
                _mm256_stream_ps(x + j, r);
            else
                _mm256_storeu_ps(x + j, r);
        }
    }
    if (stream)
        _mm_sfence();
    lb_fp8_decode_c(t, codes + i, n - i, x + i);
}
#endif
