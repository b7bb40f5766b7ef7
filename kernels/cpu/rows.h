/* SPDX-License-Identifier: MIT */
/* rows.h - the element-wise operations and those that go along rows (docs/arithmetic.md 5.5 to 5.13), for one part of the work: a caller
 * with several threads gives each its elements, its rows or its segments. Arrays are binary32, row-major, and may begin at any multiple of
 * 4 bytes. Activations and reductions are those of ref.h. */
#ifndef LB_ROWS_H
#define LB_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum { ROWS_SEGMENT = 256 };

struct rows_kernels {
    const char *isa;
    void (*act)(const float *x, float *y, size_t n, int act, float alpha);                        /* y may be x */
    void (*act_grad)(const float *y, const float *dy, float *dx, size_t n, int act, float alpha); /* dx may be dy */

    /* db (c): the sums of the columns of dy (n, c), whose rows are ld elements apart. */
    void (*bias_grad)(const float *dy, float *db, size_t n, size_t c, size_t ld);
    /* The same from dy (n, c, p) by way of its segments: sums (segments, c), of which the `count` from `first` on are made; segments =
     * (n p) / 256, rounded up. Then db (c) = their sum. */
    void (*segment_sums)(const float *dy, float *sums, size_t n, size_t c, size_t p, size_t first, size_t count);
    void (*add_segments)(const float *sums, float *db, size_t segments, size_t c);

    void (*softmax)(const float *x, float *y, size_t rows, size_t cols);
    void (*softmax_grad)(const float *y, const float *dy, float *dx, size_t rows, size_t cols);
    /* These rows are part of a batch of `batch`. */
    void (*cross_entropy)(const float *x, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, size_t batch);
    void (*mse)(const float *y, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, size_t batch, int reduction);

    void (*sgd)(float *w, const float *g, float *v, size_t n, float lr, float momentum, float decay); /* v may be NULL */
};

void rows_init_c(struct rows_kernels *k);
void rows_init_avx2(struct rows_kernels *k);
void rows_init_avx512(struct rows_kernels *k);

#endif
