/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/codec_fp8.h"
#include "kernels/cpu/codec_kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

/* What the rounding takes, in registers. */
struct constants {
    __m512 top, unit, least, one; /* one: the bits of the constant */
    __m128i shift;
    __m512i low_bytes, high_words, even_bytes, odd_bytes, halves;
};

static inline struct constants constants(const struct lb_fp8 *t)
{
    const __m512i fours = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60);
    const __m512i count =
        _mm512_add_epi8(_mm512_mullo_epi32(fours, _mm512_set1_epi32(0x01010101)), _mm512_set1_epi32(0x03020100)); /* 0 .. 63 */
    const __m512i even = _mm512_add_epi8(count, count), one = _mm512_set1_epi8(1);
    const __m512i words = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(even));
    return (struct constants){.top = _mm512_set1_ps(t->top),
                              .unit = _mm512_set1_ps(t->unit),
                              .least = _mm512_castsi512_ps(_mm512_set1_epi32((int)t->least)),
                              .one = _mm512_castsi512_ps(_mm512_set1_epi32((int)t->constant)),
                              .shift = _mm_cvtsi32_si128(7 - t->m),
                              .low_bytes = _mm512_add_epi8(even, even),
                              .high_words = _mm512_add_epi16(words, _mm512_set1_epi16(1)),
                              .even_bytes = even,
                              .odd_bytes = _mm512_add_epi8(even, one),
                              .halves = _mm512_mask_add_epi8(count, UINT64_C(0xffffffff00000000), count, _mm512_set1_epi8(32))};
}

/* The sum of codec_fp8.h, with the sign of x. */
static inline __m512i sum(const struct constants *k, __m512 x)
{
    enum { LESS = 2, MORE = 3 }; /* of two magnitudes, with the sign of the first */
    const __m512i field = _mm512_set1_epi32((int)0xff800000u);
    const __m512 a = _mm512_range_ps(x, k->top, LESS);
    const __m512i power = _mm512_ternarylogic_epi32(_mm512_castps_si512(a), field, _mm512_castps_si512(k->one), 0xea); /* (a & b) | c */
    return _mm512_castps_si512(_mm512_fmadd_ps(a, k->unit, _mm512_range_ps(_mm512_castsi512_ps(power), k->least, MORE)));
}

/* 64 codes without their signs, and bytes whose top bits are the signs. */
static inline __m512i magnitudes(const struct constants *k, const __m512 x[4], __m512i *signs)
{
    const __m512i a = sum(k, x[0]), b = sum(k, x[1]), c = sum(k, x[2]), d = sum(k, x[3]);
    const __m512i low =
        _mm512_permutex2var_epi8(_mm512_permutex2var_epi8(a, k->low_bytes, b), k->halves, _mm512_permutex2var_epi8(c, k->low_bytes, d));
    const __m512i u = _mm512_permutex2var_epi16(a, k->high_words, b), v = _mm512_permutex2var_epi16(c, k->high_words, d);
    *signs = _mm512_permutex2var_epi8(u, k->odd_bytes, v);
    return _mm512_add_epi8(low, _mm512_permutex2var_epi8(_mm512_srl_epi16(u, k->shift), k->even_bytes, _mm512_srl_epi16(v, k->shift)));
}

static inline int any_nan(const __m512 x[4])
{
    const __mmask16 a = _mm512_cmp_ps_mask(x[0], x[1], _CMP_UNORD_Q), b = _mm512_cmp_ps_mask(x[2], x[3], _CMP_UNORD_Q);
    return !_kortestz_mask16_u8(a, b);
}

static inline __mmask64 nans(const __m512 x[4])
{
    __mmask64 m = 0;
    for (int i = 4; i-- > 0;)
        m = m << 16 | _mm512_cmp_ps_mask(x[i], x[i], _CMP_UNORD_Q);
    return m;
}

static inline __m512i fp8_codes(const struct lb_fp8 *t, const struct constants *k, const __m512 x[4], int no_zero)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    __m512i signs, code = magnitudes(k, x, &signs);
    code = _mm512_ternarylogic_epi32(code, signs, sign, 0xf8); /* a | (b & c) */
    if (no_zero)
        code = _mm512_maskz_mov_epi8(_mm512_cmpneq_epi8_mask(code, sign), code);
    if (__builtin_expect(any_nan(x), 0))
        code = _mm512_mask_mov_epi8(code, nans(x), _mm512_set1_epi8((char)t->nan_code));
    return code;
}

static inline void load(const float *x, __m512 v[4])
{
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_loadu_ps(x + 16 * i);
}

/* n < 64; zeros behind. */
static inline void load_tail(const float *x, size_t n, __m512 v[4])
{
    const __mmask64 m = (UINT64_C(1) << n) - 1;
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_maskz_loadu_ps((__mmask16)(m >> 16 * i), x + 16 * i);
}

static inline void encode(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes, int no_zero)
{
    const struct constants k = constants(t);
    __m512 v[4];
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        load(x + i, v);
        _mm512_storeu_si512(codes + i, fp8_codes(t, &k, v, no_zero));
    }
    if (i < n) {
        load_tail(x + i, n - i, v);
        _mm512_mask_storeu_epi8(codes + i, (UINT64_C(1) << (n - i)) - 1, fp8_codes(t, &k, v, no_zero));
    }
}

void lb_fp8_encode_vbmi(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes)
{
    if (t->nan_code == 0x80)
        encode(t, x, n, codes, 1);
    else
        encode(t, x, n, codes, 0);
}

/* ---- Decoding --------------------------------------------------------------------------------------------------------------------- */

struct table {
    __m512i part[4];
};

static inline struct table table(const unsigned char byte[256])
{
    struct table t;
    for (int i = 0; i < 4; i++)
        t.part[i] = _mm512_loadu_si512(byte + 64 * i);
    return t;
}

static inline __m512i look_up(const struct table *t, __m512i code)
{
    const __m512i low = _mm512_permutex2var_epi8(t->part[0], code, t->part[1]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(code), _mm512_permutex2var_epi8(t->part[2], code, t->part[3]));
}

/* Unpacking goes by quarters, so the codes are brought into an order in which that is the right one. */
static inline void values(const struct table *byte3, const struct table *byte2, __m512i code, __m512i v[4])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), zero = _mm512_setzero_si512();
    code = _mm512_permutexvar_epi32(order, code);
    const __m512i high = look_up(byte3, code), low = look_up(byte2, code);
    const __m512i first = _mm512_unpacklo_epi8(low, high), second = _mm512_unpackhi_epi8(low, high);
    v[0] = _mm512_unpacklo_epi16(zero, first);
    v[1] = _mm512_unpackhi_epi16(zero, first);
    v[2] = _mm512_unpacklo_epi16(zero, second);
    v[3] = _mm512_unpackhi_epi16(zero, second);
}

void lb_fp8_decode_vbmi(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x)
{
    enum { MANY = 1 << 22 }; /* more than stays in a cache: written past it */
    const struct table byte3 = table(t->byte3), byte2 = table(t->byte2);
    const int stream = n >= MANY && (size_t)x % 64 == 0;
    __m512i v[4];
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        values(&byte3, &byte2, _mm512_loadu_si512(codes + i), v);
        for (int j = 0; j < 4; j++)
            if (stream)
                _mm512_stream_si512((__m512i *)(void *)(x + i + 16 * j), v[j]);
            else
                _mm512_storeu_si512(x + i + 16 * j, v[j]);
    }
    if (stream)
        _mm_sfence();
    if (i < n) {
        const __mmask64 m = (UINT64_C(1) << (n - i)) - 1;
        values(&byte3, &byte2, _mm512_maskz_loadu_epi8(m, codes + i), v);
        for (int j = 0; j < 4; j++)
            _mm512_mask_storeu_epi32(x + i + 16 * j, (__mmask16)(m >> 16 * j), v[j]);
    }
}

/* ---- E2M1 ------------------------------------------------------------------------------------------------------------------------- */

static inline __m256i fp4_pairs(const struct constants *k, const __m512 x[4])
{
    __m512i signs, code = magnitudes(k, x, &signs);
    code = _mm512_ternarylogic_epi32(code, _mm512_srli_epi16(signs, 4), _mm512_set1_epi8(8), 0xf8); /* a | (b & c) */
    if (__builtin_expect(any_nan(x), 0))
        code = _mm512_maskz_mov_epi8(~nans(x), code);
    return _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(code, _mm512_set1_epi16(0x1001)));
}

void lb_fp4_encode_vbmi(const float *x, size_t n, void *codes)
{
    static const struct lb_fp8 e2m1 = {.m = 1, .top = 6, .unit = 0x1p-22f, .constant = 2, .least = 127u << 23 | 2};
    const struct constants k = constants(&e2m1);
    __m512 v[4];
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        load(x + i, v);
        _mm256_storeu_si256((__m256i *)((char *)codes + i / 2), fp4_pairs(&k, v));
    }
    if (i < n) {
        load_tail(x + i, n - i, v);
        _mm256_mask_storeu_epi8((char *)codes + i / 2, (__mmask32)((UINT64_C(1) << (n - i) / 2) - 1), fp4_pairs(&k, v));
    }
}
#endif
