/* SPDX-License-Identifier: MIT */
/* ref.h - the operations of docs/arithmetic.md on arrays in memory, literally: the reference that every other kernel is compared with. One text
 * (ref_body.h) is compiled for plain C and for AVX2; both give the same bits. All arrays are binary32, row-major. */
#ifndef LB_REF_H
#define LB_REF_H

#include <stddef.h>
#include <stdint.h>

enum ref_act { REF_LINEAR, REF_RELU, REF_SCALED_RELU, REF_SIGMOID, REF_TANH };
enum ref_reduction { REF_MEAN, REF_HALF };

/* x (n, c, h, w), w (o, c, kh, kw), y (n, o, oh, ow). */
struct ref_conv {
    size_t n, c, h, w, o, kh, kw, stride, pad, oh, ow;
};

/* A matrix of weights that is made row by row: `read` writes row i, with room for `ld` elements, of which the first k count. */
enum { REF_PANEL = 32 };
struct ref_rows {
    void (*read)(const struct ref_rows *w, size_t i, float *x);
    const void *of;
    float *panel; /* scratch for REF_PANEL * ld elements */
    size_t ld;    /* at least k */
};

struct ref_kernels {
    const char *isa;
    /* c (m, n) = act(op(a) op(b) + bias (n)); a (m, k), or (k, m) transposed; b (k, n), or (n, k). bias may be NULL. */
    void (*gemm)(const float *a, const float *b, const float *bias, float *c, size_t m, size_t n, size_t k, int trans_a, int trans_b,
                 int act, float alpha);
    /* gemm with b transposed, and conv2d, with weights made row by row. */
    void (*gemm_rows)(const float *a, const struct ref_rows *w, const float *bias, float *c, size_t m, size_t n, size_t k, int act,
                      float alpha);
    void (*conv2d_rows)(const struct ref_conv *s, const float *x, const struct ref_rows *w, const float *bias, float *y, int act,
                        float alpha);
    void (*conv2d)(const struct ref_conv *s, const float *x, const float *w, const float *bias, float *y, int act, float alpha);
    void (*conv2d_dx)(const struct ref_conv *s, const float *dy, const float *w, float *dx);
    void (*conv2d_dw)(const struct ref_conv *s, const float *dy, const float *x, float *dw);
    void (*bias_grad)(const float *dy, float *db, size_t n, size_t c, size_t p); /* dy (n, c, p) */
    void (*act)(const float *x, float *y, size_t n, int act, float alpha);
    void (*act_grad)(const float *y, const float *dy, float *dx, size_t n, int act, float alpha); /* dx may be dy */
    void (*softmax)(const float *x, float *y, size_t rows, size_t cols);
    void (*softmax_grad)(const float *y, const float *dy, float *dx, size_t rows, size_t cols);
    void (*cross_entropy)(const float *x, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols);
    void (*mse)(const float *y, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, int reduction);
    void (*sgd)(float *w, const float *g, float *v, size_t n, float lr, float momentum, float decay); /* v may be NULL */
};

extern const struct ref_kernels ref_kernels_c;
extern const struct ref_kernels ref_kernels_avx2; /* needs AVX2 and FMA; all NULL off x86-64 */

#endif
