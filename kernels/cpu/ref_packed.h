/* SPDX-License-Identifier: MIT */
/* ref_packed.h - matrices of codes, what they are worth, and integer products with them, literally as docs/arithmetic.md section 8 has it. For every
 * backend that decodes rows, and what other kernels are compared with. */
#ifndef LB_REF_PACKED_H
#define LB_REF_PACKED_H

#include "kernels/cpu/ref.h"

/* A way to read codes, whatever they are. */
struct ref_codes {
    /* Elements first .. first + n - 1 of a stream; of block codecs whole units. */
    void (*decode)(const struct ref_codes *c, const void *codes, size_t first, size_t n, float *x);
    const void *of;
    size_t bits; /* of a code; 0: a block codec, unit_elems elements in unit_bytes bytes */
    size_t unit_elems, unit_bytes;
};

/* (rows, cols). Element (i, j) is worth (q - z) s. Scale number g = i * scale_row + j / block is s = t, or t scale2[g / group2] with a second level,
 * and then plus `offset` where there is one; t is code g of `scales`. Each operation is rounded. */
struct ref_packed {
    size_t rows, cols;
    struct ref_codes q;
    const unsigned char *codes; /* rows of row_bytes */
    size_t row_bytes;
    int scaled;
    size_t block, scale_row, n_scales;
    struct ref_codes s;
    const unsigned char *scales;
    const float *scale2; /* NULL: no second level */
    size_t group2;
    int has_offset;
    float offset;
    const float *zeros; /* (n_scales), or NULL */
};

/* Bytes of a copy of all its arrays, 0 where they are too many; and the copy, in memory of that size that is aligned for floats. */
size_t ref_packed_bytes(const struct ref_packed *p);
void ref_packed_copy(const struct ref_packed *from, void *memory, struct ref_packed *to);

/* Room that a row needs: cols, of block codecs rounded up to whole units. */
size_t ref_packed_room(const struct ref_packed *p);
float ref_packed_scale(const struct ref_packed *p, size_t g);
void ref_packed_row(const struct ref_packed *p, size_t i, float *x);

/* The same for ref_kernels.gemm_rows and .conv2d_rows, with scratch for REF_PANEL rows of ref_packed_room. */
struct ref_rows ref_packed_rows(const struct ref_packed *p, float *panel);

/* ---- Integer products, docs/arithmetic.md 8.12 ---- */

/* The least f >= 0 for which all n values times 2^f are whole numbers that fit in 8 bits (all from -128 to 127, or all from 0 to 255); -1: there
 * is none. And whether all zero points times 2^f are whole numbers from -255 to 255. */
int ref_int8_shift(const float *values, size_t n);
int ref_int8_zeros(const struct ref_packed *p, int f);

/* Scratch: `a` for the activations' integers, `sa` for their scales, `w` for a row of weights, `q` for ref_packed_room floats. */
struct ref_int8 {
    const struct ref_packed *w;
    int f;
    int8_t *a;     /* gemm: (m, k); conv2d: (n, c, h, w), and behind it one patch (c kh kw) */
    float *sa;     /* gemm: (m, blocks of a row); conv2d: (n) */
    int16_t *ints; /* (k) */
    float *q;
};

/* c (m, n) = act(a (m, k) w (n, k) + bias (n)); `block` elements of a row of a share a scale, 0: all of them. */
void ref_gemm_int8(const struct ref_int8 *t, const float *a, const float *bias, float *c, size_t m, size_t n, size_t k, size_t block,
                   int act, float alpha);
void ref_conv2d_int8(const struct ref_int8 *t, const struct ref_conv *s, const float *x, const float *bias, float *y, int act, float alpha);

#endif
