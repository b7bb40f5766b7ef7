/* SPDX-License-Identifier: MIT */
/* cpu_blas.h - what the files of this plugin share. */
#ifndef CPU_BLAS_H
#define CPU_BLAS_H

#include "core/plugin.h"
#include "kernels/cpu/ref.h"

/* cblas_sgemm with the enums of cblas.h as numbers: order 101 = row-major; 111 = as it is, 112 = transposed. */
typedef void cblas_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                            int ldb, float beta, float *c, int ldc);

/* y (m, or n where transposed) = alpha op(a) x + beta y, a (m, n). */
typedef void cblas_sgemv_fn(int order, int trans_a, int m, int n, float alpha, const float *a, int lda, const float *x, int step_x,
                            float beta, float *y, int step_y);

struct blas {
    void *lib;
    cblas_sgemm_fn *sgemm;
    cblas_sgemv_fn *sgemv;
    char core[32]; /* the kernels that OpenBLAS uses, by its name for the CPU */
};

/* Memory that grows to what the largest op needs, then stays. */
struct scratch {
    float *at;
    size_t floats;
};

struct device {
    const struct lb_host *host;
    const struct ref_kernels *k;
    struct blas blas;
    struct scratch scratch, panel; /* panel: rows of packed weights */
};

/* Loads OpenBLAS on one thread of its own, with kernels that fit host->cpu. 0, or -1 with the reason. */
int blas_load(const struct lb_host *h, struct blas *b, char *why, size_t why_size);
void blas_unload(struct blas *b);

/* Room for n floats, contents undefined, valid until the next call; NULL after a log message. */
float *blas_scratch(const struct device *d, struct scratch *s, size_t n);
int blas_fail(const struct device *d, const char *text); /* logs; -1 */

/* Calls fn(arg, i) for i < parts. How many parts `work` multiplications are worth: 1 where waking threads costs more than it brings. */
void blas_parallel(const struct device *d, size_t parts, void (*fn)(void *arg, size_t i), void *arg);
size_t blas_parts(const struct device *d, size_t work, size_t most);

/* The i-th of `parts` ranges of 0 .. n - 1; bounds are multiples of `grain`. */
struct range {
    size_t begin, end;
};
struct range blas_range(size_t n, size_t grain, size_t parts, size_t i);

/* c (m, n) = op(a) op(b) + beta c, row-major. */
void blas_sgemm(const struct device *d, int trans_a, int trans_b, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                size_t ldb, float beta, float *c, size_t ldc);

/* x = act(x + bias). */
void blas_activate(const struct device *d, float *x, size_t n, float bias, uint32_t act, float alpha);
void blas_relu_grad(const float *y, const float *dy, size_t n, float factor, float *dx); /* dx may be dy */
void blas_add(float *restrict to, const float *restrict x, size_t n);                    /* to += x */
float blas_sum(const float *x, size_t n);

/* Deals the n elements of x to `stride` arrays in turn, and collects them again. */
void blas_split(const float *x, size_t n, size_t stride, float *const *out);
void blas_join(float *const *in, size_t n, size_t stride, float *x);

int blas_gemm(void *dev, const struct lb_gemm *o);
int blas_conv2d(void *dev, const struct lb_conv2d *o);
/* Output channels first .. first + n - 1 of `o`, whose weights are w (n, ld). */
int blas_conv2d_channels(struct device *d, const struct lb_conv2d *o, size_t first, size_t n, const float *w, size_t ld);
int blas_conv2d_dx(void *dev, const struct lb_conv2d_grad *o);
int blas_conv2d_dw(void *dev, const struct lb_conv2d_grad *o);

/* blas_weights.c: weights that stay packed, unpacked a panel of rows at a time. */
void *blas_weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size);
void blas_weights_free(void *dev, void *w);
int blas_gemm_packed(void *dev, const struct lb_gemm_packed *o);
int blas_conv2d_packed(void *dev, const struct lb_conv2d_packed *o);

#endif
