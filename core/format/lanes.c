/* SPDX-License-Identifier: MIT */
#include "core/format/lanes.h"
#include "kernels/canon.h"

#define INLINE static inline __attribute__((always_inline))

/* NAME for the machine from NAME_body, which is built for each instruction set. */
#ifdef __x86_64__
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512cd")))
static int wide(void)
{
    static int level = -1; /* finding it twice does no harm */
    if (level < 0)
        level = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")
                    ? 2
                    : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return level;
}
#define FORMS(NAME, PARAMS, ARGS)                                                                                                          \
    AVX512 static void NAME##_avx512 PARAMS { NAME##_body ARGS; }                                                                          \
    AVX2 static void NAME##_avx2 PARAMS { NAME##_body ARGS; }                                                                              \
    static void NAME##_plain PARAMS { NAME##_body ARGS; }                                                                                  \
    void lb_lanes_##NAME PARAMS                                                                                                            \
    {                                                                                                                                      \
        const int w = wide();                                                                                                              \
        if (w == 2)                                                                                                                        \
            NAME##_avx512 ARGS;                                                                                                            \
        else if (w)                                                                                                                        \
            NAME##_avx2 ARGS;                                                                                                              \
        else                                                                                                                               \
            NAME##_plain ARGS;                                                                                                             \
    }
#else
#define FORMS(NAME, PARAMS, ARGS)                                                                                                          \
    void lb_lanes_##NAME PARAMS { NAME##_body ARGS; }
#endif

/* ---- Scales ---- */

INLINE uint32_t amax_of(const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = canon_bits(x[i]) & 0x7fffffffu;
        most = a > most ? a : most;
    }
    return most;
}

/* Blocks of the usual sizes are unrolled. */
INLINE void amax_blocks(const float *x, size_t n, size_t block, uint32_t *most)
{
    size_t i = 0;
    for (; i + block <= n; i += block)
        *most++ = amax_of(x + i, block);
    if (i < n)
        *most = amax_of(x + i, n - i);
}

INLINE void amax_body(const float *x, size_t n, size_t block, uint32_t *most)
{
    if (block == 16)
        amax_blocks(x, n, 16, most);
    else if (block == 32)
        amax_blocks(x, n, 32, most);
    else
        amax_blocks(x, n, block, most);
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

FORMS(amax, (const float *x, size_t n, size_t block, uint32_t *most), (x, n, block, most))
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
INLINE void whole_side(const struct lb_lanes_whole *w, const float *x, size_t n, unsigned char *codes)
{
    numbers v;
    load(x, n, &v);
    const words is_nan = (words)(((keys)v & 0x7fffffff) > 0x7f800000);
    const numbers low = (numbers){0} + w->low, high = (numbers){0} + w->high;
    const keys below = v < low, above = v > high;
    v = (numbers)(((keys)low & below) | ((keys)high & above) | ((keys)v & ~(below | above)));
    words code = (words)(v * w->by + CANON_SHIFTER) & w->mask;
    code = (code & ~is_nan) | (is_nan & w->nan_code);
    store_codes(&code, n, codes);
}

INLINE void whole_body(const struct lb_lanes_whole *w, const float *x, size_t n, unsigned char *codes)
{
    size_t i = 0;
    for (; i + SIDE <= n; i += SIDE)
        whole_side(w, x + i, SIDE, codes + i);
    if (i < n)
        whole_side(w, x + i, n - i, codes + i);
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

/* Counters side by side. */
INLINE void random_body(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t at = index + i;
        const canon_words r = canon_random((uint32_t)seed, (uint32_t)(seed >> 32), stream, (uint32_t)at, (uint32_t)(at >> 32));
        for (size_t j = 0; j < 4; j++)
            out[4 * i + j] = r.w[j];
    }
}

/* A magnitude lies F / 2^24 of a step above the member below it, and goes away from zero where F and 2^24 - 1 - w / 2^8 carry over into the next; of a negative number, F and w
 * / 2^8. From 2^low on F has no more than the lower bits of the significand. Below, F is a number y of binary32 less a multiple of 2^24: it
 * is compared with a whole number as what is not below it, and for negative numbers 2^24 - F is rounded first, so that y becomes a whole number
 * like that. */
INLINE void stochastic_side(const struct lb_lanes_grid *g, const float *x, const uint32_t *word, size_t n, unsigned char *codes)
{
    numbers v;
    words w = {0};
    load(x, n, &v);
    memcpy(&w, word, n * sizeof *word);
    const words bits = (words)v, a = bits & 0x7fffffffu, negative = (words)((keys)bits >> 31);
    const uint32_t drop = 23 - g->digits;
    const words carry = (w ^ ~negative) >> 8;
    const words normal = ((a + (carry >> (g->digits + 1))) >> drop) - g->base;
    const numbers y = (numbers)a * g->fine, whole = (y + 0x1p23f) - 0x1p23f;
    const words more = (words)(whole < y) & ~negative;
    (void)normal;(void)more;
    (void)codes;
}
