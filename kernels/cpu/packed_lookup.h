/* SPDX-License-Identifier: MIT */
/* packed_lookup.h - codes in vectors, and the numbers that they stand for, in the instruction set of the including file. A vector of words is VEC words of packed.h,
 * its lanes matrix rows: the lower halves are codes of one k, the upper halves of the next. */
#ifndef LB_PACKED_LOOKUP_H
#define LB_PACKED_LOOKUP_H

#include "kernels/cpu/gemm_micro.h"
#include "kernels/cpu/packed.h"

typedef uint16_t halves __attribute__((vector_size(VEC * 4)));
typedef uint32_t words __attribute__((vector_size(VEC * 4)));

INLINE halves load_halves(const uint32_t *p)
{
    halves h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* Pair c, 0 <= c < 16, of a block: the codes of k = 2 c and 2 c + 1 at the bottom of their halves, what is above them is not cleared. `bits` and c are
 * constants where it is inlined. */
INLINE words code_pair(const uint32_t *block, int bits, int c)
{
    const int at = c * bits / 16, shift = c * bits % 16;
    halves h = load_halves(block + at * VEC);
    if (shift)
        h >>= (uint16_t)shift;
    if (shift + bits > 16)
        h |= load_halves(block + (at + 1) * VEC) << (uint16_t)(16 - shift);
    return (words)h;
}

/* Two numbers of which h has the upper halves, and l the lower ones. */
INLINE void join_halves(words h, words l, vec *even, vec *odd)
{
    *even = (vec)(h << 16 | (l & 0xffffu));
    *odd = (vec)((h & 0xffff0000u) | l >> 16);
}

INLINE void upper_halves(words h, vec *even, vec *odd)
{
    *even = (vec)(h << 16);
    *odd = (vec)(h & 0xffff0000u);
}

#ifdef __AVX512F__

/* A table in registers: numbers, or halves of numbers, of which a register holds 32. */
struct lookup {
    vec numbers;
    __m512i upper[8], lower[8];
    const float *table;
};

enum { LOOKUP_NARROW = 1 }; /* whether it gains from short tables */

INLINE struct lookup lookup_of(const struct packed_codes *q, int kind, int bits)
{
    struct lookup l;
    const int registers = bits <= 5 ? 1 : bits <= 8 ? 1 << (bits - 5) : 0;
    l.table = q->table;
    if (kind == PACKED_WIDE && bits <= 4)
        l.numbers = vec_load(q->table);
    else if (kind == PACKED_NARROW || kind == PACKED_WIDE)
        UNROLL for (int i = 0; i < registers; i++)
        {
            l.upper[i] = _mm512_loadu_si512(q->halves + i * 32);
            if (kind == PACKED_WIDE)
                l.lower[i] = _mm512_loadu_si512(q->halves + 256 + i * 32);
        }
    return l;
}

/* The halves of a table that codes of `bits` bits choose. */
INLINE words choose_halves(const __m512i *t, int bits, words codes)
{
    const __m512i c = (__m512i)codes;
    if (bits <= 5)
        return (words)_mm512_permutexvar_epi16(c, t[0]);
    __m512i r[4];
    UNROLL for (int i = 0; i < 1 << (bits - 6); i++) r[i] = _mm512_permutex2var_epi16(t[2 * i], c, t[2 * i + 1]);
    if (bits > 6) {
        const __mmask32 m = _mm512_test_epi16_mask(c, _mm512_set1_epi16(0x40));
        UNROLL for (int i = 0; i < 1 << (bits - 7); i++) r[i] = _mm512_mask_blend_epi16(m, r[2 * i], r[2 * i + 1]);
    }
    if (bits > 7)
        r[0] = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(c, _mm512_set1_epi16(0x80)), r[0], r[1]);
    return (words)r[0];
}

INLINE vec gather(const float *table, words codes)
{
    return _mm512_i32gather_ps((__m512i)codes, table, 4);
}

INLINE vec half_numbers(words codes)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)codes));
}

INLINE void lookup_table(const struct lookup *l, int kind, int bits, words codes, vec *even, vec *odd)
{
    if (kind == PACKED_NARROW) {
        upper_halves(choose_halves(l->upper, bits, codes), even, odd);
    } else if (bits <= 4) {
        *even = _mm512_permutexvar_ps((__m512i)codes, l->numbers);
        *odd = _mm512_permutexvar_ps((__m512i)(codes >> 16), l->numbers);
    } else {
        join_halves(choose_halves(l->upper, bits, codes), choose_halves(l->lower, bits, codes), even, odd);
    }
}

#elif defined(__AVX2__)

struct lookup {
    vec numbers[2];
    const float *table;
};

enum { LOOKUP_NARROW = 0 };

INLINE struct lookup lookup_of(const struct packed_codes *q, int kind, int bits)
{
    struct lookup l;
    l.table = q->table;
    if (kind == PACKED_WIDE && bits <= 4)
        UNROLL for (int i = 0; i < 2; i++) l.numbers[i] = vec_load(q->table + i * 8);
    return l;
}

INLINE vec gather(const float *table, words codes)
{
    return _mm256_i32gather_ps(table, (__m256i)codes, 4);
}

INLINE vec half_numbers(words codes)
{
    const __m256i c = (__m256i)(codes & 0xffffu), twice = _mm256_permute4x64_epi64(_mm256_packus_epi32(c, c), 0xd8);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(twice));
}

INLINE vec lookup_lanes(const struct lookup *l, int bits, words codes)
{
    if (bits > 4)
        return gather(l->table, codes & ((1u << bits) - 1));
    const vec low = _mm256_permutevar8x32_ps(l->numbers[0], (__m256i)codes);
    if (bits <= 3)
        return low;
    return _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(l->numbers[1], (__m256i)codes), (vec)(codes << 28));
}

INLINE void lookup_table(const struct lookup *l, int kind, int bits, words codes, vec *even, vec *odd)
{
    (void)kind;
    *even = lookup_lanes(l, bits, codes);
    *odd = lookup_lanes(l, bits, codes >> 16);
}

#else

struct lookup {
    const float *table;
};

enum { LOOKUP_NARROW = 0 };

INLINE struct lookup lookup_of(const struct packed_codes *q, int kind, int bits)
{
    (void)kind, (void)bits;
    return (struct lookup){q->table};
}

INLINE vec gather(const float *table, words codes)
{
    return (vec){table[codes[0]], table[codes[1]], table[codes[2]], table[codes[3]]};
}

/* IEEE 754's binary16: what its exponent is worth comes from a product, subnormal numbers included. */
INLINE vec half_numbers(words codes)
{
    vec r;
    for (int i = 0; i < VEC; i++) {
        const uint32_t sign = (codes[i] & 0x8000u) << 16, rest = (codes[i] & 0x7fffu) << 13;
        const float v = canon_float(rest) * 0x1p112f;
        r[i] = canon_float(sign | canon_bits(rest >= 0x0f800000u ? canon_float(rest | 0x7f800000u) : v));
    }
    return r;
}

INLINE void lookup_table(const struct lookup *l, int kind, int bits, words codes, vec *even, vec *odd)
{
    (void)kind;
    const uint32_t mask = (1u << bits) - 1;
    *even = gather(l->table, codes & mask);
    *odd = gather(l->table, codes >> 16 & mask);
}

#endif

/* The numbers of a pair. */
INLINE void lookup_pair(const struct lookup *l, int kind, int bits, words codes, vec *even, vec *odd)
{
    if (kind == PACKED_UPPER) {
        upper_halves(codes, even, odd);
    } else if (kind == PACKED_HALF) {
        *even = half_numbers(codes);
        *odd = half_numbers(codes >> 16);
    } else if (kind == PACKED_TABLE) {
        *even = gather(l->table, codes & 0xffffu);
        *odd = gather(l->table, codes >> 16);
    } else {
        lookup_table(l, kind, bits, codes, even, odd);
    }
}

#endif
