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

INLINE float no_less(float t, float least)
{
    return t < least ? least : t;
}

INLINE void divide_block(const float *x, size_t n, float s, float least, float *t)
{
    float by;
    if (s == 0)
        for (size_t i = 0; i < n; i++)
            t[i] = 0.0f;
    else if (inverse(s, &by))
        for (size_t i = 0; i < n; i++)
            t[i] = no_less(x[i] * by, least);
    else
        for (size_t i = 0; i < n; i++)
            t[i] = no_less(canon_div(x[i], s), least);
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

enum { SOME = 64 }; /* elements side by side */

INLINE void steps_of(const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes)
{
    int32_t key[SOME];
    uint32_t code[SOME];
    for (size_t i = 0; i < n; i++) {
        const uint32_t b = canon_bits(x[i]);
        key[i] = CANON_INT(b ^ ((0u - (b >> 31)) >> 1));
        code[i] = s->code[0];
    }
    for (size_t k = 1; k < s->n; k++) {
        const int32_t first = s->first[k];
        const uint32_t change = s->code[k] ^ s->code[k - 1];
        for (size_t i = 0; i < n; i++)
            code[i] ^= key[i] >= first ? change : 0;
    }
    for (size_t i = 0; i < n; i++)
        codes[i] = (unsigned char)(canon_is_nan(x[i]) ? s->nan_code : code[i]);
}

INLINE void steps_body(const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes)
{
    size_t i = 0;
    for (; i + SOME <= n; i += SOME)
        steps_of(s, x + i, SOME, codes + i);
    if (i < n)
        steps_of(s, x + i, n - i, codes + i);
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
