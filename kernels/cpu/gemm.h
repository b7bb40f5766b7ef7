/* SPDX-License-Identifier: MIT */
/* gemm.h - products of matrices with the sums of docs/arithmetic.md 2.1, in blocks that the caches hold. One thread; the caller splits the
 * outputs. */
#ifndef LB_GEMM_H
#define LB_GEMM_H

#include <stddef.h>
#include <stdint.h>

struct packed_matrix;

/* What makes numbers of a matrix that is no array of them (packed.h). Vectors are counted in the matrix; i is a multiple of gemm_kernels' vec. */
struct gemm_source {
    /* to (nk, width) = vectors i .. i + n - 1 at k0 .. k0 + nk - 1; k0 is a multiple of 256. Lanes up to the next multiple of vec are filled with
     * anything. */
    void (*panel)(const struct packed_matrix *m, size_t i, size_t n, size_t k0, size_t nk, float *to, size_t width);
    /* NULL, or out (n) = the totals of x (k of the matrix) and vectors i .. i + n - 1, n <= dot_cols; up to the next multiple of vec anything is written. */
    void (*dot)(const struct packed_matrix *m, size_t i, size_t n, const float *x, float *out);
    size_t dot_cols;
};

/* A factor. Element k of its vector i is p[i * ld + k], or p[k * ld + i] where by_k is set. y may come from a source instead: vector i is vector
 * first + i of `packed`. */
struct gemm_factor {
    const float *p;
    size_t ld;
    int by_k;
    const struct gemm_source *source; /* NULL: p */
    const struct packed_matrix *packed;
    size_t first;
};

/* out[i][j] = act(sum over k of x[i][k] y[j][k] + bias), i < rows, j < cols. The kernels read single elements of x and vectors of
 * y along j, so y costs more to bring into order where it is not by_k. */
struct gemm_task {
    struct gemm_factor x, y;
    size_t rows, cols, k;
    float *out; /* out[i][j] is at out[i * ld + j], or at out[j * ld + i] where trans is set */
    size_t ld;
    int trans;
    const float *bias; /* NULL, or bias[j]; where trans is set bias[i] */
    int act;           /* as enum lb_act, ref_act */
    float alpha;
};

struct gemm_kernels {
    const char *isa;
    size_t vec;       /* outputs side by side */
    size_t lane_rows; /* up to so many rows a y that is not by_k costs little */
    /* How many floats of scratch memory `product` needs; a function of rows, cols, k and by_k of y. */
    size_t (*work)(const struct gemm_task *t);
    /* `work`: 64-byte aligned. */
    void (*product)(const struct gemm_task *t, float *work);
};

void gemm_init_c(struct gemm_kernels *k);
void gemm_init_avx2(struct gemm_kernels *k);
void gemm_init_avx512(struct gemm_kernels *k);

#endif
