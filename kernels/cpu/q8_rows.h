/* SPDX-License-Identifier: MIT */
/* q8_rows.h - integer tensors element by element, for every instruction set: docs/arithmetic.md, 13. Bytes are unsigned; those of a signed tensor become so
 * with `flip` 0x80, and are then as much larger. No pointer needs an alignment. */
#ifndef LB_Q8_ROWS_H
#define LB_Q8_ROWS_H

#include "kernels/cpu/q8.h"

/* One side of a sum or product of two tensors. */
struct q8_side {
    const unsigned char *x;
    unsigned char flip;
    int32_t zero, factor;
};

/* rows x cols places, at least one: that in row i, column j begins at x + i row + j col. */
struct q8_window {
    const unsigned char *x;
    size_t rows, cols, row, col;
};

struct q8_rows_kernels {
    /* y = zero + x / scale, rounded half to even and held; a NaN counts as 0. scale: n, or one. */
    void (*quantize)(const float *x, size_t n, const float *scale, int one, const struct q8_out *o, unsigned char *y);
    /* y = ((x ^ flip) - zero) scale, a NaN being 0x7FC00000; dequantize_s32: x - zero modulo 2^32. */
    void (*dequantize)(const unsigned char *x, size_t n, unsigned char flip, int32_t zero, const float *scale, int one, float *y);
    void (*dequantize_s32)(const int32_t *x, size_t n, int32_t zero, const float *scale, int one, float *y);
    void (*table)(const unsigned char *x, size_t n, const unsigned char *table, unsigned char *y); /* x may be y */
    /* v[i] = ((a ^ flip) - zero) factor, of a and of b: their sum; or their product, without factors. */
    void (*add)(const struct q8_side *a, const struct q8_side *b, size_t n, int32_t *v);
    void (*multiply)(const struct q8_side *a, const struct q8_side *b, size_t n, int32_t *v);
    void (*sum)(const unsigned char *x, size_t n, unsigned char flip, int32_t *v); /* v += x ^ flip */
    /* Of the places of a window, c bytes each: y = the largest; v = start + the sum. */
    void (*largest)(const struct q8_window *w, size_t c, unsigned char flip, unsigned char *y);
    void (*sum_window)(const struct q8_window *w, size_t c, unsigned char flip, int32_t start, int32_t *v);
};

void q8_rows_init_c(struct q8_rows_kernels *k);
void q8_rows_init_avx2(struct q8_rows_kernels *k);
void q8_rows_init_vnni(struct q8_rows_kernels *k);

#endif
