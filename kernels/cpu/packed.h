/* SPDX-License-Identifier: MIT */
/* packed.h - matrices in formats (docs/arithmetic.md, 8) as sources for the products of gemm.h and conv.h: they stay packed, and what a product needs of them
 * is decoded into its panels.
 *
 * Rows lie in lanes, in groups of `lanes` rows, and along k in blocks of 32 codes. A word of 32 bits has codes of even k in its low half and codes of
 * odd k in its high half; each half of a row's words is a little-endian stream of its own, 16 codes in `bits` halves:
 *
 *     group | block of 32 k | word 0 .. bits - 1 | lane             4 bits:   word 0 = k 7 5 3 1 | 6 4 2 0,   word 1 = k 15 13 11 9 | 14 12 10 8, ...
 *
 * so that one load has the same k of neighbouring rows, and one shift brings two k to the bottom of their halves. The last block of a group is as short as its
 * codes allow. */
#ifndef LB_PACKED_CPU_H
#define LB_PACKED_CPU_H

#include "kernels/cpu/gemm.h"

enum {
    PACKED_BLOCK = 32, /* k of a block */
    PACKED_STEP = 16,  /* scales change at multiples of this k */
    PACKED_SLACK = 32  /* words for each lane that may be read behind the last */
};

/* How a code becomes a number. */
enum packed_kind {
    PACKED_NARROW, /* up to 8 bits: a table whose numbers end in 16 bits of 0 */
    PACKED_WIDE,   /* up to 8 bits: any table */
    PACKED_TABLE,  /* 16 bits: any table */
    PACKED_UPPER,  /* 16 bits: the code is the number's upper half */
    PACKED_HALF,   /* 16 bits: IEEE 754's binary16 */
    PACKED_PLAIN,  /* 32 bits: the number itself */
    PACKED_KINDS
};

/* A matrix of codes in the order above. */
struct packed_codes {
    enum packed_kind kind;
    unsigned bits;         /* 1 .. 8, 16, 32; 0: no such matrix */
    size_t group;          /* words of a group: packed_group */
    const uint32_t *words; /* PACKED_SLACK lanes more than groups have */
    const float *table;    /* up to 8 bits: 256, the 1 << bits numbers again and again; 16 bits: 65536, or NULL where the kind needs none */
    const uint16_t *halves; /* up to 8 bits: the upper halves of `table`, then the lower */
};

/* Number (i, k) is v = (q - z) s, or q s, or q, each operation rounded; the scale's number is j = k / block. s = t, or with scale2 t scale2[(i scale_row + j) / group2],
 * plus the offset if there is one. */
struct packed_matrix {
    size_t rows, cols;
    struct packed_codes q;
    int scaled, zeroed;
    size_t block;          /* a multiple of PACKED_STEP, or cols and more */
    struct packed_codes t; /* (rows, scales of a row); bits == 0: t is `scale` everywhere */
    struct packed_codes z; /* likewise; bits == 0: `zero` */
    float scale, zero;
    const float *scale2; /* NULL: none */
    size_t group2, scale_row;
    int has_offset;
    float offset;
    /* Where it is not NULL it is all there is but for rows and cols: to[0 .. nk) = row i from k0 on. From any thread. */
    void (*row)(const struct packed_matrix *m, size_t i, size_t k0, size_t nk, float *to);
    const void *arg;
};

struct packed_kernels {
    const char *isa;
    size_t lanes;
    struct gemm_source codes, rows; /* for matrices without `row` and for those with it */
};

/* Words of a group of `lanes` rows with `cols` codes. */
size_t packed_group(unsigned bits, size_t cols, size_t lanes);

/* Brings rows first .. first + n - 1 (n <= lanes) of a matrix of codes in order: to (packed_group words) from the little-endian streams of codes at
 * `from`, element j of row i being code i * row_codes + j of the stream that begins row_bytes * i behind it. Lanes behind n are 0. */
void packed_order(uint32_t *to, unsigned bits, size_t cols, size_t lanes, const unsigned char *from, size_t row_bytes, size_t row_codes,
                  size_t first, size_t n);

void packed_init_c(struct packed_kernels *k);
void packed_init_avx2(struct packed_kernels *k);
void packed_init_avx512(struct packed_kernels *k);

#endif
