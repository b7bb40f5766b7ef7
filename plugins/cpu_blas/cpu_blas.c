/* SPDX-License-Identifier: MIT */
/* cpu_blas.c - a backend that is fast and not exact: OpenBLAS for the products, the reference kernels or plain loops for the rest, both spread over
 * the host's threads. */
#include "plugins/cpu_blas/cpu_blas.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)REF_TANH == (int)LB_TANH && (int)REF_SCALED_RELU == (int)LB_SCALED_RELU && (int)REF_HALF == (int)LB_HALF,
               "same numbers");

enum { GRAIN = 1 << 15 }; /* elements for which a second thread is worth waking: some microseconds of memory traffic */

int blas_fail(const struct device *d, const char *text)
{
    d->host->log(d->host, LB_LOG_ERROR, text);
    return -1;
}

float *blas_scratch(const struct device *d, struct scratch *s, size_t n)
{
    if (n <= s->floats)
        return s->at;
    d->host->free(d->host, s->at);
    s->at = n < SIZE_MAX / sizeof *s->at ? d->host->alloc(d->host, n * sizeof *s->at) : NULL;
    s->floats = s->at ? n : 0;
    if (!s->at)
        blas_fail(d, "out of memory");
    return s->at;
}

/* ---- The device ---- */

/* Loads the library and lets it go again: some milliseconds, and nothing of it stays in a process that only asks. */
static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    struct blas b;
    if (blas_load(h, &b, why, why_size))
        return 0;
    blas_unload(&b);
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    struct device *d = h->alloc(h, sizeof *d);
    if (!d) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    *d = (struct device){.host = h};
    d->k = (h->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
    if (blas_load(h, &d->blas, why, why_size)) {
        h->free(h, d);
        return NULL;
    }
    return d;
}

static void close_device(void *dev)
{
    struct device *d = dev;
    blas_unload(&d->blas);
    d->host->free(d->host, d->scratch.at);
    d->host->free(d->host, d->panel.at);
    d->host->free(d->host, d);
}

static void info(void *dev, struct lb_device_info *out)
{
    const struct device *d = dev;
    *out = (struct lb_device_info){.device = "cpu", .isa = d->blas.core, .threads = d->host->threads};
}

/* ---- Work on ranges of n elements (or rows), one for each thread ---- */

struct job {
    const struct device *d;
    const void *op;
    size_t n, grain, parts;
    void (*range)(const struct device *d, const void *op, struct range r);
};

static void run_range(void *arg, size_t i)
{
    const struct job *j = arg;
    const struct range r = blas_range(j->n, j->grain, j->parts, i);
    if (r.end > r.begin)
        j->range(j->d, j->op, r);
}

/* n rows of `width` elements. */
static int spread(struct device *d, const void *op, size_t n, size_t width,
                  void (*range)(const struct device *, const void *, struct range))
{
    const size_t cells = width < 1 ? 1 : width < GRAIN ? width : GRAIN;
    struct job j = {d, op, n, width < 16 ? 16 : 1, n / (GRAIN / cells), range};
    j.parts = j.parts < d->host->threads ? j.parts : d->host->threads;
    j.parts = j.parts ? j.parts : 1;
    blas_parallel(d, j.parts, run_range, &j);
    return 0;
}

static void act_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_act_op *o = op;
    float *y = lb_f32(o->y) + r.begin;
    memcpy(y, lb_f32(o->x) + r.begin, (r.end - r.begin) * sizeof *y);
    blas_activate(d, y, r.end - r.begin, 0.0f, o->act, o->alpha);
}

static int act(void *dev, const struct lb_act_op *o)
{
    return spread(dev, o, o->n, 1, act_range);
}

static void relu_grad_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_act_op *o = op;
    const size_t at = r.begin;
    (void)d;
    blas_relu_grad(lb_f32(o->y) + at, lb_f32(o->dy) + at, r.end - at, o->act == LB_RELU ? 1.0f : o->alpha, lb_f32(o->dx) + at);
}

static void act_grad_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_act_op *o = op;
    const size_t at = r.begin;
    d->k->act_grad(lb_f32(o->y) + at, lb_f32(o->dy) + at, lb_f32(o->dx) + at, r.end - at, (int)o->act, o->alpha);
}

static int act_grad(void *dev, const struct lb_act_op *o)
{
    return spread(dev, o, o->n, 1, o->act == LB_RELU || o->act == LB_SCALED_RELU ? relu_grad_range : act_grad_range);
}

static void softmax_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_softmax *o = op;
    const size_t at = r.begin * o->cols;
    d->k->softmax(lb_f32(o->x) + at, lb_f32(o->y) + at, r.end - r.begin, o->cols);
}

static int softmax(void *dev, const struct lb_softmax *o)
{
    return spread(dev, o, o->rows, o->cols, softmax_range);
}

static void softmax_grad_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_softmax *o = op;
    const size_t at = r.begin * o->cols;
    d->k->softmax_grad(lb_f32(o->y) + at, lb_f32(o->dy) + at, lb_f32(o->dx) + at, r.end - r.begin, o->cols);
}

static int softmax_grad(void *dev, const struct lb_softmax *o)
{
    return spread(dev, o, o->rows, o->cols, softmax_grad_range);
}

/* The losses divide by the number of rows, so they are not spread; a batch of logits is small. */
static int cross_entropy(void *dev, const struct lb_loss *o)
{
    const struct device *d = dev;
    d->k->cross_entropy(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols);
    return 0;
}

static int mse(void *dev, const struct lb_loss *o)
{
    const struct device *d = dev;
    d->k->mse(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols, (int)o->reduction);
    return 0;
}

static void sgd_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_sgd *o = op;
    float *v = lb_f32(o->v);
    d->k->sgd(lb_f32(o->w) + r.begin, lb_f32(o->g) + r.begin, v ? v + r.begin : NULL, r.end - r.begin, o->lr, o->momentum, o->decay);
}

static int sgd(void *dev, const struct lb_sgd *o)
{
    return spread(dev, o, o->n, 1, sgd_range);
}

static void bias_range(const struct device *d, const void *op, struct range r)
{
    const struct lb_bias_grad *o = op;
    float *db = lb_f32(o->db);
    (void)d;
    memset(db + r.begin, 0, (r.end - r.begin) * sizeof *db);
    for (size_t n = 0; n < o->n; n++) {
        const float *dy = lb_f32(o->dy) + n * o->c * o->p;
        if (o->p == 1)
            blas_add(db + r.begin, dy + r.begin, r.end - r.begin);
        else
            for (size_t c = r.begin; c < r.end; c++)
                db[c] += blas_sum(dy + c * o->p, o->p);
    }
}

static int bias_grad(void *dev, const struct lb_bias_grad *o)
{
    return spread(dev, o, o->c, o->n * o->p, bias_range);
}

static const struct lb_backend cpu_blas = {
    .base = {LB_ABI, LB_BACKEND, sizeof cpu_blas, "cpu_blas", "OpenBLAS for the products: fast, not exact"},
    .exact = 0,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .gemm = blas_gemm,
    .conv2d = blas_conv2d,
    .conv2d_dx = blas_conv2d_dx,
    .conv2d_dw = blas_conv2d_dw,
    .bias_grad = bias_grad,
    .act = act,
    .act_grad = act_grad,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .cross_entropy = cross_entropy,
    .mse = mse,
    .sgd = sgd,
    .weights_create = blas_weights_create,
    .weights_free = blas_weights_free,
    .gemm_packed = blas_gemm_packed,
    .conv2d_packed = blas_conv2d_packed,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&cpu_blas.base, NULL};
