/* SPDX-License-Identifier: MIT */
/* q8_pack.h - rows of bytes become panels. */
#ifndef LB_Q8_PACK_H
#define LB_Q8_PACK_H

#include "kernels/cpu/q8_lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* Up to four k of up to 16 outputs, element by element; the others become 0. */
static void pack_some(const unsigned char *b, size_t of_output, size_t of_k, size_t n, size_t left, unsigned char flip, int8_t *line)
{
    memset(line, 0, Q8_LINE);
    for (size_t k = 0; k < Q8_K && k < left; k++)
        for (size_t j = 0; j < n; j++)
            line[j * Q8_K + k] = (int8_t)(b[j * of_output + k * of_k] ^ flip);
}

/* Four k of 16 outputs, which lie side by side. */
INLINE void pack_line(const unsigned char *b, size_t ld, unsigned char flip, int8_t *line)
{
    unsigned char t[Q8_LINE];
    for (size_t j = 0; j < Q8_PANEL; j++)
        for (size_t k = 0; k < Q8_K; k++)
            t[j * Q8_K + k] = b[k * ld + j] ^ flip;
    memcpy(line, t, sizeof t);
}

/* The same of the outputs of four panels. */
INLINE void pack_wide(const unsigned char *b, size_t ld, unsigned char flip, int8_t *line)
{
#ifdef __AVX512VNNI__
    const __m512i flips = _mm512_set1_epi8((char)flip);
    const __m512i r0 = ivec_xor(ivec_load(b), flips), r1 = ivec_xor(ivec_load(b + ld), flips);
    const __m512i r2 = ivec_xor(ivec_load(b + 2 * ld), flips), r3 = ivec_xor(ivec_load(b + 3 * ld), flips);
    const __m512i low01 = _mm512_unpacklo_epi8(r0, r1), high01 = _mm512_unpackhi_epi8(r0, r1);
    const __m512i low23 = _mm512_unpacklo_epi8(r2, r3), high23 = _mm512_unpackhi_epi8(r2, r3);
    /* Part j of each is of panel j: outputs 0 to 3, 4 to 7 and so on. */
    const __m512i w0 = _mm512_unpacklo_epi16(low01, low23), w1 = _mm512_unpackhi_epi16(low01, low23);
    const __m512i w2 = _mm512_unpacklo_epi16(high01, high23), w3 = _mm512_unpackhi_epi16(high01, high23);
    const __m512i even01 = _mm512_shuffle_i32x4(w0, w1, 0x88), odd01 = _mm512_shuffle_i32x4(w0, w1, 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(w2, w3, 0x88), odd23 = _mm512_shuffle_i32x4(w2, w3, 0xdd);
    ivec_store(line, _mm512_shuffle_i32x4(even01, even23, 0x88));
    ivec_store(line + Q8_LINE, _mm512_shuffle_i32x4(odd01, odd23, 0x88));
    ivec_store(line + 2 * Q8_LINE, _mm512_shuffle_i32x4(even01, even23, 0xdd));
    ivec_store(line + 3 * Q8_LINE, _mm512_shuffle_i32x4(odd01, odd23, 0xdd));
#else
    for (size_t p = 0; p < Q8_WIDE; p++)
        pack_line(b + p * Q8_PANEL, ld, flip, line + p * Q8_LINE);
#endif
}

/* Lines of 16 rows that lie one behind the other: VEC lines at a time; returns how many were made. */
static size_t pack_turned(const unsigned char *b, size_t ld, size_t k, unsigned char flip, int8_t *w, size_t step)
{
    const ivec flips = ivec_set((int32_t)(flip * 0x01010101u));
    size_t l = 0;
    for (; (l + VEC) * Q8_K <= k; l += VEC)
        for (size_t j = 0; j < Q8_PANEL; j += VEC) {
            vec turned[VEC];
            UNROLL for (size_t i = 0; i < VEC; i++)
            {
                const ivec r = ivec_xor(ivec_load(b + (j + i) * ld + l * Q8_K), flips);
                memcpy(&turned[i], &r, sizeof r);
            }
            vec_transpose(turned);
            UNROLL for (size_t i = 0; i < VEC; i++) memcpy(w + (l + i) * step + j * Q8_K, &turned[i], sizeof turned[i]);
        }
    return l;
}

/* Lines l, l + 1, ... of the n <= 16 outputs of one panel. */
static void pack_panel(const unsigned char *b, size_t ld, int turned, size_t n, size_t k, unsigned char flip, size_t l, int8_t *line,
                       size_t step)
{
    const size_t lines = (k + Q8_K - 1) / Q8_K, of_output = turned ? ld : 1, of_k = turned ? 1 : ld;
    if (n == Q8_PANEL && turned)
        l = pack_turned(b, ld, k, flip, line, step);
    for (; n == Q8_PANEL && !turned && (l + 1) * Q8_K <= k; l++)
        pack_line(b + l * Q8_K * ld, ld, flip, line + l * step);
    for (; l < lines; l++)
        pack_some(b + l * Q8_K * of_k, of_output, of_k, n, k - l * Q8_K, flip, line + l * step);
}

/* The sums of the W of a panel. */
static void sum_panel(const int8_t *line, size_t lines, size_t step, int32_t *sums)
{
    enum { PER = Q8_PANEL / VEC };
    ivec sum[PER];
    UNROLL for (int j = 0; j < PER; j++) sum[j] = ivec_set(0);
    for (size_t l = 0; l < lines; l++)
        UNROLL for (int j = 0; j < PER; j++) sum[j] =
            q8_dot(sum[j], ivec_set(0x01010101), ivec_load(line + l * step + (size_t)j * VEC * 4));
    UNROLL for (int j = 0; j < PER; j++) ivec_store(sums + (size_t)j * VEC, sum[j]);
}

static void pack(const unsigned char *b, size_t ld, int turned, size_t n, size_t k, unsigned char flip, size_t panels, int8_t *w,
                 int32_t *sums)
{
    const size_t step = panels * Q8_LINE;
    size_t l = 0;
    for (; panels == Q8_WIDE && n == Q8_WIDE * Q8_PANEL && !turned && (l + 1) * Q8_K <= k; l++)
        pack_wide(b + l * Q8_K * ld, ld, flip, w + l * step);
    for (size_t p = 0; p < panels; p++) {
        const size_t j = p * Q8_PANEL, left = n - j < Q8_PANEL ? n - j : Q8_PANEL;
        pack_panel(b + j * (turned ? ld : 1), ld, turned, left, k, flip, l, w + p * Q8_LINE, step);
        sum_panel(w + p * Q8_LINE, (k + Q8_K - 1) / Q8_K, step, sums + j);
    }
}

#endif
