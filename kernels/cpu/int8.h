/* SPDX-License-Identifier: MIT */
/* int8.h - products of weights that are integers of at most 8 bits with activations in int8: docs/arithmetic.md, 8.12. One thread; the caller splits
 * the outputs.
 *
 * The instructions for such products take one unsigned and one signed factor: u = W + shift is unsigned, A signed, and what the shift adds, shift
 * times the sum of the A, is known before a tile begins. 16 outputs side by side are a panel, 64 bytes of it a line, the same on every machine.
 * Bytes 4 o to 4 o + 3 of a line are output o; line l holds
 *
 *     INT8_BYTES      k = 4 l + i in byte i
 *     INT8_NIBBLES    k = 8 l + i in the low half of byte i, 8 l + 4 + i in the high one
 *     INT8_QUARTERS   k = 16 l + 4 f + i in bits 2 f and 2 f + 1 of byte i */
#ifndef LB_INT8_H
#define LB_INT8_H

#include "kernels/canon.h"
#include <stddef.h>

enum { INT8_PANEL = 16, INT8_LINE = 64, INT8_LONGEST = 32768 /* terms of a whole number */ };
enum int8_form { INT8_BYTES, INT8_NIBBLES, INT8_QUARTERS };

/* How a scale is stored: a number that is multiplied by `factor` when it is used. */
enum int8_scale {
    INT8_F32,
    INT8_BF16,
    INT8_F16,
    INT8_POWER,    /* a byte e: 2^(e - 127), e < 255 */
    INT8_HALF_BYTE /* a byte: bits 7 to 14 of an F16 number, the others being 0 */
};

struct int8_matrix {
    size_t rows, cols; /* outputs, k */
    size_t panels, lines;
    enum int8_form form;
    int mapped;                     /* a code c is u = table[c]; else it is u */
    int narrow;                     /* no u is above INT8_NARROW */
    unsigned char table[INT8_LINE]; /* 16 entries, four times */
    unsigned char *codes;           /* (panels, lines, 64) */
    int32_t shift;                  /* where there are no zeros */
    void *zeros;                    /* (panels, blocks, 16): W = u - zero; or NULL */
    unsigned zero_bytes;            /* of one: unsigned bytes, or 2: int16_t */
    size_t block, blocks;           /* k that share a scale; how many blocks */
    enum int8_scale scale;
    float factor;
    void *scales; /* (panels, blocks, 16) */
};
enum { INT8_NARROW = 129 /* 2 x 129 x 127 fits in 16 bits */ };

/* How many k a line has. */
static inline size_t int8_line_k(enum int8_form form)
{
    return (size_t)4 << form;
}

/* The terms of a whole number: lines line .. line + lines - 1; where they hold k of other pieces, A is 0. */
struct int8_piece {
    size_t line, lines, block;
};

/* Activations, (rows, ld): of one piece after the other int8_line_k() times its lines. What rows have of a piece lies side by side for the rows of a tile:
 * (groups, pieces, INT8_GROUP). */
enum { INT8_GROUP = 6 /* a multiple of the rows of any tile but those of the last rows */ };
struct int8_rows {
    const int8_t *a;
    size_t ld;
    const int32_t *sums; /* (groups, pieces, INT8_GROUP): the sums of the A, times -shift; times -1 where there are zeros */
    const float *scale;  /* (groups, pieces, INT8_GROUP), or (rows) where there is one scale a row */
    int by_piece;
};

/* Where row `row` has its number for piece `piece`, and how far apart a row's are. */
static inline size_t int8_group_place(size_t row, size_t pieces, size_t piece)
{
    return (row / INT8_GROUP * pieces + piece) * INT8_GROUP + row % INT8_GROUP;
}

/* out[i][j], i < rows, for the outputs j of panels first .. end - 1; out[i][j] is at out[i * ld + j - 16 first]. */
struct int8_task {
    const struct int8_matrix *w;
    const struct int8_piece *piece;
    size_t pieces;
    struct int8_rows x;
    size_t rows, first, end;
    float *out;
    size_t ld;
    const float *bias; /* (w->rows), or NULL */
};

struct int8_kernels {
    const char *isa;
    /* Each `block` of the n numbers x gets a scale and its integers; the last block may be shorter. */
    void (*quantize)(const float *x, size_t n, size_t block, float *scale, int8_t *a);
    /* The sums of the pieces of a row times `factor`, INT8_GROUP apart; a line has line_k of it. */
    void (*sums)(const int8_t *a, const struct int8_piece *piece, size_t pieces, size_t line_k, int32_t factor, int32_t *sums);
    /* How many bytes of scratch memory `product` needs. */
    size_t (*work)(const struct int8_task *t);
    void (*product)(const struct int8_task *t, unsigned char *work); /* `work`: 64-byte aligned */
};

void int8_init_c(struct int8_kernels *k);
void int8_init_avx2(struct int8_kernels *k);
void int8_init_vnni(struct int8_kernels *k); /* AVX-512; without VNNI the AVX2 ones are as good */

/* ---- Scales, one by one ---- */

/* The number of an F16 code. */
static inline float int8_half(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 1023u;
    if (exponent == 0)
        return canon_float(canon_bits((float)fraction * 0x1p-24f) | sign);
    return canon_float(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13);
}

/* Scale number i before it is multiplied by the factor. */
static inline float int8_scale_at(enum int8_scale kind, const void *scales, size_t i)
{
    uint16_t wide;
    memcpy(&wide, (const char *)scales + (kind == INT8_BF16 || kind == INT8_F16 ? 2 * i : 0), sizeof wide);
    const uint32_t byte = ((const unsigned char *)scales)[kind == INT8_POWER || kind == INT8_HALF_BYTE ? i : 0];
    switch (kind) {
    case INT8_BF16:
        return canon_float((uint32_t)wide << 16);
    case INT8_F16:
        return int8_half(wide);
    case INT8_POWER:
        return canon_float(byte ? byte << 23 : 0x00400000u);
    case INT8_HALF_BYTE:
        return int8_half(byte << 7);
    default:
        return ((const float *)scales)[i];
    }
}

#endif
