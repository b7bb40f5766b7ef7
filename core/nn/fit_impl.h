/* SPDX-License-Identifier: MIT */
/* fit_impl.h - what the fit*.c share, and their tests. */
#ifndef LB_FIT_IMPL_H
#define LB_FIT_IMPL_H

#include "core/format/scale.h"
#include "core/nn/fit.h"

/* ---- fit_inputs.c: what a layer reads ---- */

/* As rows of k numbers: each sample of a dense layer one, each output position of a convolution one, zeros outside the image among them. */
struct lb_fit_inputs {
    const struct lb_layer *layer;
    const struct lb_host *host;
    const float *x; /* (n, in of the layer), finite */
    size_t n, k, rows;
};
void lb_fit_inputs_init(const struct lb_layer *layer, const struct lb_host *host, const float *x, size_t n, struct lb_fit_inputs *out);

/* products (k, k): the sums over all rows of x_i x_j; mean (k): their means. */
int lb_fit_products(const struct lb_fit_inputs *in, double *products, struct lb_err *err);
int lb_fit_means(const struct lb_fit_inputs *in, double *mean, struct lb_err *err);

/* The lower half of h (k, k), symmetric, becomes L with L^T L = h; what is above the diagonal stays. Fails where h is not positive definite. */
int lb_fit_factor(double *h, size_t k, const struct lb_host *host, struct lb_err *err);

/* error (rows): d_o . h d_o of each row of d (rows, k). h (k, k) is read above its diagonal, which stands by itself. */
int lb_fit_errors(const double *h, const double *diagonal, const double *d, size_t rows, size_t k, const struct lb_host *host,
                  double *error, struct lb_err *err);

/* ---- fit_gptq.c ---- */

/* w (g->rows, g->cols) in the format of `f`, and what its inputs' products (cols, cols) are, which are overwritten. near (rows, cols): the numbers whose codes, by `scales`, are
 * w's. scales: zero-initialised; finished by the caller. */
struct lb_gptq {
    const struct lb_format *f;
    const struct lb_groups *g;
    const struct lb_host *host;
    const float *w;
    double *products;
    float *near;
    struct lb_scales *scales;
};
int lb_fit_gptq(const struct lb_gptq *q, struct lb_err *err);

/* ---- fit_factors.c: factors of a layer's inputs ---- */

/* Elements of what `layer` reads that share a factor: `in` / size groups; and the layer before that takes its inverse. -1: there is none, or all would share one. */
struct lb_fit_place {
    size_t layer, before, size, groups;
};
int lb_fit_find_place(const struct lb_model *m, size_t layer, struct lb_fit_place *out);

/* s (place->groups), positive. `products` (k, k) is for AWQ; *exponent: what AWQ chose. */
int lb_fit_awq(const struct lb_format *f, const struct lb_model *m, const struct lb_fit_place *place, const struct lb_fit_inputs *in,
               const double *products, float *s, double *exponent, struct lb_err *err);
int lb_fit_smooth(const struct lb_format *f, const struct lb_model *m, const struct lb_fit_place *place, const struct lb_fit_inputs *in,
                  float *s, struct lb_err *err);

/* The group of column `col` of the layer's weights. */
size_t lb_fit_group(const struct lb_layer *l, const struct lb_fit_place *place, size_t col);

/* Multiplies the layer's weights by s, and divides those of the layer before, and its bias. */
void lb_fit_migrate(struct lb_model *m, const struct lb_fit_place *place, const float *s);

#endif
