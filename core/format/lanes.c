/* SPDX-License-Identifier: MIT */
#include "core/format/lanes.h"
#include "core/plugin.h"
#include "kernels/canon.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* NAME for the machine from NAME_body, which is built for each instruction set. */
#ifdef __x86_64__
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512cd")))
/* gcc 12 gives 64-byte vectors places in ASan's fake stack that are not aligned so (GCC bug 110027). */
#ifdef SANITIZED
enum { WIDEST = 1 };
#else
enum { WIDEST = 2 };
#endif
static int limit = WIDEST;

/* 2: AVX-512, 1: AVX2, 0: what every machine has. */
static int wide(void)
{
    if (limit == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        return 2;
    return limit && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

void lb_lanes_limit(unsigned cpu)
{
    limit = cpu & LB_CPU_AVX512 ? WIDEST : (cpu & LB_CPU_AVX2) != 0;
}

#define FORMS(NAME, PARAMS, ARGS)                                                                                                          \
    AVX512 static void NAME##_avx512 PARAMS                                                                                                \
    {                                                                                                                                      \
        NAME##_body ARGS;                                                                                                                  \
    }                                                                                                                                      \
    AVX2 static void NAME##_avx2 PARAMS                                                                                                    \
    {                                                                                                                                      \
        NAME##_body ARGS;                                                                                                                  \
    }                                                                                                                                      \
    static void NAME##_plain PARAMS                                                                                                        \
    {                                                                                                                                      \
        NAME##_body ARGS;                                                                                                                  \
    }                                                                                                                                      \
    void lb_lanes_##NAME PARAMS                                                                                                            \
    {                                                                                                                                      \
        const int by = wide();                                                                                                             \
        if (by == 2)                                                                                                                       \
            NAME##_avx512 ARGS;                                                                                                            \
        else if (by)                                                                                                                       \
            NAME##_avx2 ARGS;                                                                                                              \
        else                                                                                                                               \
            NAME##_plain ARGS;                                                                                                             \
    }
#else
void lb_lanes_limit(unsigned cpu)
{
    (void)cpu;
}
#define FORMS(NAME, PARAMS, ARGS)                                                                                                          \
    void lb_lanes_##NAME PARAMS                                                                                                            \
    {                                                                                                                                      \
        NAME##_body ARGS;                                                                                                                  \
    }
#endif

/* ---- Scales ---- */

INLINE float amax_of(const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = canon_bits(x[i]) & 0x7fffffffu;
        most = a > most ? a : most;
    }
    return canon_float(most); /* above infinity: a NaN */
}

/* Blocks of the usual sizes are unrolled. */
INLINE void amax_blocks(const float *x, size_t n, size_t block, float *amax)
{
    size_t i = 0;
    for (; i + block <= n; i += block)
        *amax++ = amax_of(x + i, block);
    if (i < n)
        *amax = amax_of(x + i, n - i);
}

INLINE void amax_body(const float *x, size_t n, size_t block, float *amax)
{
    if (block == 16)
        amax_blocks(x, n, 16, amax);
    else if (block == 32)
        amax_blocks(x, n, 32, amax);
    else
        amax_blocks(x, n, block, amax);
}

INLINE void power_body(float *amax, size_t n, uint32_t up, uint32_t ceil, int32_t emax)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t own = canon_bits(amax[i]), small = 0u - (own < 0x00800000u ? 1u : 0u);
        const uint32_t bits = (canon_bits(amax[i] * 0x1p24f) & small) | (own & ~small);
        const uint32_t more = ceil & ((bits & 0x007fffffu) ? 1u : 0u);
        int32_t e = CANON_INT(((bits + up) >> 23) + more - 127u - (24u & small)) - emax;
        e = own == 0 || e < -127 ? -127 : e;
        e = e > 127 ? 127 : e;
        const uint32_t power = e == -127 ? 0x00400000u : (uint32_t)(e + 127) << 23;
        amax[i] = canon_float(own >= CANON_INF ? CANON_NAN : power);
    }
}

/* x / s and x * (1 / s) are the same number, rounded once, where 1 / s is a number of binary32. */
INLINE int inverse(float s, float *by)
{
    const uint32_t b = canon_bits(s) & 0x7fffffffu;
    *by = canon_div(1.0f, s);
    return b == 0x00400000u || (b >= 0x00800000u && b < 0x7f800000u && !(b & 0x007fffffu));
}

/* A few numbers of binary32 side by side; functions take them by address, as the size of a register differs. */
enum { SIDE = 16 };
typedef float numbers __attribute__((vector_size(4 * SIDE)));
typedef int32_t keys __attribute__((vector_size(4 * SIDE)));
typedef uint32_t words __attribute__((vector_size(4 * SIDE)));

/* Loads n of them, the others being 0. */
INLINE void load(const float *x, size_t n, numbers *v)
{
    *v = (numbers){0};
    memcpy(v, x, n * sizeof *x);
}

INLINE void divide_side(const float *x, size_t n, float s, float by, int exact, float least, float *t)
{
    numbers v;
    load(x, n, &v);
    v = exact ? v * by : v / s;
    const keys less = v < least;
    const numbers floor = (numbers){0} + least;
    v = (numbers)(((keys)floor & less) | ((keys)v & ~less));
    memcpy(t, &v, n * sizeof *t);
}

INLINE void divide_sides(const float *x, size_t n, float s, float by, int exact, float least, float *t)
{
    size_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        divide_side(x + i, SIDE, s, by, exact, least, t + i);
    if (i < n)
        divide_side(x + i, n - i, s, by, exact, least, t + i);
}

INLINE void divide_block(const float *x, size_t n, float s, float least, float *t)
{
    float by;
    if (s == 0)
        memset(t, 0, n * sizeof *t);
    else if (inverse(s, &by))
        divide_sides(x, n, s, by, 1, least, t);
    else
        divide_sides(x, n, s, by, 0, least, t);
}

INLINE void divide_blocks(const float *x, size_t n, size_t block, const float *s, float least, float *t)
{
    size_t i = 0;
    for (; i + block <= n; i += block)
        divide_block(x + i, block, *s++, least, t + i);
    if (i < n)
        divide_block(x + i, n - i, *s, least, t + i);
}

INLINE void divide_body(const float *x, size_t n, size_t block, const float *s, float least, float *t)
{
    if (block == 16)
        divide_blocks(x, n, 16, s, least, t);
    else if (block == 32)
        divide_blocks(x, n, 32, s, least, t);
    else
        divide_blocks(x, n, block, s, least, t);
}

FORMS(amax, (const float *x, size_t n, size_t block, float *amax), (x, n, block, amax))
FORMS(power, (float *amax, size_t n, uint32_t up, uint32_t ceil, int32_t emax), (amax, n, up, ceil, emax))
FORMS(divide, (const float *x, size_t n, size_t block, const float *s, float least, float *t), (x, n, block, s, least, t))

/* ---- Codes ---- */

typedef unsigned char bytes __attribute__((vector_size(SIDE)));

/* n <= SIDE codes, each in a word. */
INLINE void store_codes(const words *code, size_t n, unsigned char *codes)
{
    const bytes out = __builtin_convertvector(*code, bytes);
    memcpy(codes, &out, n);
}

/* Each step is taken by those who are beyond it. */
INLINE void steps_side(const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes)
{
    numbers v;
    load(x, n, &v);
    const keys bits = (keys)v, key = bits ^ ((bits >> 31) & 0x7fffffff);
    const words is_nan = (words)((bits & 0x7fffffff) > 0x7f800000);
    words code = (words){0} + s->code[0];
    for (size_t k = 1; k < s->n; k++)
        code ^= (words)(key >= s->first[k]) & s->change[k];
    code = (code & ~is_nan) | (is_nan & s->nan_code);
    store_codes(&code, n, codes);
}

INLINE void steps_body(const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes)
{
    size_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        steps_side(s, x + i, SIDE, codes + i);
    if (i < n)
        steps_side(s, x + i, n - i, codes + i);
}

/* The sum with 3 * 2^22 holds the whole number in its low bits. */
INLINE void whole_body(const struct lb_lanes_whole *w, const float *restrict x, size_t n, unsigned char *restrict codes)
{
    const struct lb_lanes_whole k = *w;
    for (size_t i = 0; i < n; i++) {
        const float above = x[i] < k.low ? k.low : x[i], t = above > k.high ? k.high : above;
        const uint32_t code = canon_bits(t * k.by + CANON_SHIFTER) & k.mask;
        codes[i] = (unsigned char)(canon_is_nan(x[i]) ? k.nan_code : code);
    }
}

INLINE void pack_body(const unsigned char *codes, unsigned bits, size_t n, unsigned char *out)
{
    if (bits == 4)
        for (size_t i = 0; i < n / 2; i++)
            out[i] = (unsigned char)(codes[2 * i] | codes[2 * i + 1] << 4);
    else if (bits == 2)
        for (size_t i = 0; i < n / 4; i++)
            out[i] = (unsigned char)(codes[4 * i] | codes[4 * i + 1] << 2 | codes[4 * i + 2] << 4 | codes[4 * i + 3] << 6);
    else if (bits == 1)
        for (size_t i = 0; i < n / 8; i++) {
            unsigned byte = 0;
            for (size_t j = 0; j < 8; j++)
                byte |= (unsigned)codes[8 * i + j] << j;
            out[i] = (unsigned char)byte;
        }
    else
        memcpy(out, codes, n);
}

FORMS(steps, (const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes), (s, x, n, codes))
FORMS(pack, (const unsigned char *codes, unsigned bits, size_t n, unsigned char *out), (codes, bits, n, out))
FORMS(whole, (const struct lb_lanes_whole *w, const float *x, size_t n, unsigned char *codes), (w, x, n, codes))

/* ---- Stochastic rounding ---- */

#ifdef __x86_64__
enum { EIGHTS = 8 }; /* of counters side by side: a product waits for the one before it */

#define EACH for (int j = 0; j < EIGHTS; j++)

#ifdef __clang__
#define ROUNDS _Pragma("clang loop unroll(full)") for (int round = 0; round < 10; round++)
#else
#define ROUNDS _Pragma("GCC unroll 10") for (int round = 0; round < 10; round++)
#endif

/* Philox (kernels/canon.h) with a word in the lower half of a lane of 64 bits, where a product of two is one operation. The upper halves hold anything. What
 * is the same for all counters, as their upper words are, a compiler computes once. */
AVX512 static void random_eights(uint64_t seed, uint32_t stream, uint64_t index, uint32_t *out)
{
    const __m512i m0 = _mm512_set1_epi64(0xd2511f53), m1 = _mm512_set1_epi64(0xcd9e8d57);
    const __m512i count = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    __m512i r0[EIGHTS], r1[EIGHTS], r2[EIGHTS], r3[EIGHTS];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    EACH
    {
        r0[j] = _mm512_add_epi64(_mm512_set1_epi64((long long)(index + 8 * (uint64_t)j)), count);
        r1[j] = _mm512_set1_epi64((long long)(index >> 32));
        r2[j] = _mm512_set1_epi64(stream);
        r3[j] = _mm512_setzero_si512();
    }
    ROUNDS
    {
        const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
        EACH
        {
            const __m512i p0 = _mm512_mul_epu32(r0[j], m0), p1 = _mm512_mul_epu32(r2[j], m1);
            r0[j] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), r1[j], key0, 0x96); /* a ^ b ^ c */
            r2[j] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), r3[j], key1, 0x96);
            r1[j] = p1;
            r3[j] = p0;
        }
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    EACH
    {
        const __m512i a = _mm512_mask_shuffle_epi32(r0[j], 0xaaaa, r1[j], _MM_PERM_CCAA);
        const __m512i b = _mm512_mask_shuffle_epi32(r2[j], 0xaaaa, r3[j], _MM_PERM_CCAA);
        _mm512_storeu_si512(out + 32 * j, _mm512_permutex2var_epi64(a, first, b));
        _mm512_storeu_si512(out + 32 * j + 16, _mm512_permutex2var_epi64(a, second, b));
    }
}
#endif

INLINE void random_body(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t at = index + i;
        const canon_words r = canon_random((uint32_t)seed, (uint32_t)(seed >> 32), stream, (uint32_t)at, (uint32_t)(at >> 32));
        for (size_t j = 0; j < 4; j++)
            out[4 * i + j] = r.w[j];
    }
}

#ifdef __x86_64__
AVX2 static void random_avx2(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *out)
{
    random_body(seed, stream, index, n, out);
}
#endif

void lb_lanes_random(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *out)
{
    size_t i = 0;
#ifdef __x86_64__
    if (wide() == 2)
        for (; i + 8 * EIGHTS <= n && (uint32_t)(index + i) <= UINT32_MAX - 8 * EIGHTS; i += 8 * EIGHTS)
            random_eights(seed, stream, index + i, out + 4 * i);
    if (wide()) {
        random_avx2(seed, stream, index + i, n - i, out + 4 * i);
        return;
    }
#endif
    random_body(seed, stream, index + i, n - i, out + 4 * i);
}

/* Of a number that lies F / 2^24 steps beyond the member nearer to zero, it becomes the further one where F + C >= 2^24, with C = r of a negative number, else 2^24 - 1
 * - r, r = w / 2^8. From 2^low on F is whole, and the carry is that of the significand into its last bit that is kept. Below, y = F + 2^24 times the
 * member's code is no whole number: for positive numbers what matters is the next one above, and for negative ones the nearest, since 2^24 - F is
 * rounded before it is compared. */
#define EITHER(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))

INLINE void stochastic_side(const struct lb_lanes_grid *g, const float *x, const uint32_t *word, size_t n, unsigned char *codes)
{
    numbers v;
    words w = {0};
    load(x, n, &v);
    memcpy(&w, word, n * sizeof *word);
    const words bits = (words)v, all = bits & 0x7fffffffu, negative = (words)((keys)bits >> 31);
    const words a = EITHER((words)(all < g->top), all, (words){0} + g->top);
    const words carry = (w ^ ~negative) >> 8;
    const words normal = ((a + (carry >> (g->digits + 1))) >> (23 - g->digits)) - g->base;
    const words below = (words)(a < g->least);
    const numbers y = (numbers)(a & below) * g->fine, sum = (y + 0x1p23f) - 0x1p23f;
    const words whole = EITHER((words)((words)y < 0x4b000000u), (words)sum, (words)y); /* bits of numbers above 0 ascend with them */
    const words up = (words)(whole < (words)y) & ~negative;
    const words subnormal = ((words) __builtin_convertvector((numbers)whole, keys) - up + carry) >> 24;
    words code = EITHER(below, subnormal, normal);
    code |= negative & (g->minus_zero | (words)(code != 0)) & g->sign;
    code = EITHER((words)(all >= g->over), EITHER(negative, (words){0} + g->over_code[1], (words){0} + g->over_code[0]), code);
    code = EITHER((words)(all > 0x7f800000u), (words){0} + g->nan_code, code);
    store_codes(&code, n, codes);
}

INLINE void stochastic_body(const struct lb_lanes_grid *grid, const float *x, const uint32_t *word, size_t n, unsigned char *codes)
{
    const struct lb_lanes_grid g = *grid;
    size_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        stochastic_side(&g, x + i, word + i, SIDE, codes + i);
    if (i < n)
        stochastic_side(&g, x + i, word + i, n - i, codes + i);
}

#ifdef __x86_64__
/* The same 16 at a time; what overflows and NaN are rare, and left to the caller by the mask that is returned. */
AVX512 static __mmask16 stochastic_16(const struct lb_lanes_grid *g, const float *x, const uint32_t *word, unsigned char *codes)
{
    const __m512i bits = _mm512_loadu_si512(x), all = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __m512i a = _mm512_min_epu32(all, _mm512_set1_epi32((int)g->top));
    const __mmask16 negative = _mm512_movepi32_mask(bits), positive = _knot_mask16(negative);
    const __m512i r = _mm512_srli_epi32(_mm512_loadu_si512(word), 8);
    const __m512i carry = _mm512_mask_xor_epi32(r, positive, r, _mm512_set1_epi32(0xffffff));
    const __m512i into = _mm512_srl_epi32(carry, _mm_cvtsi32_si128((int)g->digits + 1));
    const __m512i kept = _mm512_srl_epi32(_mm512_add_epi32(a, into), _mm_cvtsi32_si128(23 - (int)g->digits));
    const __mmask16 below = _mm512_cmplt_epu32_mask(a, _mm512_set1_epi32((int)g->least));
    const __m512 y = _mm512_maskz_mul_ps(below, _mm512_castsi512_ps(a), _mm512_set1_ps(g->fine));
    const __m512 near = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 whole = _mm512_mask_roundscale_ps(near, positive, y, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512i sum = _mm512_add_epi32(_mm512_cvtps_epi32(whole), carry);
    const __m512i code = _mm512_mask_srli_epi32(_mm512_sub_epi32(kept, _mm512_set1_epi32((int)g->base)), below, sum, 24);
    const __mmask16 sign = g->minus_zero ? negative : _mm512_mask_test_epi32_mask(negative, code, code);
    _mm_storeu_si128((__m128i *)(void *)codes,
                     _mm512_cvtepi32_epi8(_mm512_mask_or_epi32(code, sign, code, _mm512_set1_epi32((int)g->sign))));
    return _mm512_cmpge_epu32_mask(all, _mm512_set1_epi32((int)g->over));
}

AVX512 static size_t stochastic_16s(const struct lb_lanes_grid *g, const float *x, const uint32_t *word, size_t n, unsigned char *codes)
{
    const struct lb_lanes_grid own = *g; /* which no code can change */
    size_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        if (stochastic_16(&own, x + i, word + i, codes + i))
            stochastic_side(&own, x + i, word + i, SIDE, codes + i);
    return i;
}
#endif

void lb_lanes_stochastic(const struct lb_lanes_grid *g, const float *x, const uint32_t *word, size_t n, unsigned char *codes)
{
    size_t i = 0;
#ifdef __x86_64__
    if (wide() == 2)
        i = stochastic_16s(g, x, word, n, codes);
#endif
    stochastic_body(g, x + i, word + i, n - i, codes + i);
}
