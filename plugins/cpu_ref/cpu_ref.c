/* SPDX-License-Identifier: MIT */
/* cpu_ref.c - the reference backend: the operations of docs/arithmetic.md, one after the other, on one thread. Its bits are what `exact` means. */
#include "plugins/cpu_ref/cpu_ref.h"
#include "plugins/cpu_ref/ref_q.h"

#include <stdint.h>
#include <stdio.h>

_Static_assert((int)REF_TANH == (int)LB_TANH && (int)REF_SCALED_RELU == (int)LB_SCALED_RELU && (int)REF_HALF == (int)LB_HALF,
               "same numbers");

void *ref_alloc(const struct device *d, size_t n, size_t size)
{
    void *p = n <= SIZE_MAX / size ? d->host->alloc(d->host, n * size) : NULL;
    if (!p)
        d->host->log(d->host, LB_LOG_ERROR, "out of memory");
    return p;
}

struct ref_conv ref_shape(const struct lb_conv *s)
{
    return (struct ref_conv){s->n, s->c, s->h, s->w, s->o, s->kh, s->kw, s->stride, s->pad, s->oh, s->ow};
}

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    struct device *d = h->alloc(h, sizeof *d);
    if (!d) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    d->host = h;
    d->k = (h->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
    return d;
}

static void close_device(void *dev)
{
    struct device *d = dev;
    d->host->free(d->host, d);
}

static void info(void *dev, struct lb_device_info *out)
{
    *out = (struct lb_device_info){.device = "cpu", .isa = ((struct device *)dev)->k->isa, .threads = 1};
}

static const struct ref_kernels *kernels(void *dev)
{
    return ((struct device *)dev)->k;
}

static int gemm(void *dev, const struct lb_gemm *o)
{
    kernels(dev)->gemm(lb_f32(o->a), lb_f32(o->b), lb_f32(o->bias), lb_f32(o->c), o->m, o->n, o->k, o->trans_a, o->trans_b, (int)o->act,
                       o->alpha);
    return 0;
}

static int conv2d(void *dev, const struct lb_conv2d *o)
{
    const struct ref_conv s = ref_shape(&o->s);
    kernels(dev)->conv2d(&s, lb_f32(o->x), lb_f32(o->w), lb_f32(o->bias), lb_f32(o->y), (int)o->act, o->alpha);
    return 0;
}

static int conv2d_dx(void *dev, const struct lb_conv2d_grad *o)
{
    const struct ref_conv s = ref_shape(&o->s);
    kernels(dev)->conv2d_dx(&s, lb_f32(o->dy), lb_f32(o->w), lb_f32(o->out));
    return 0;
}

static int conv2d_dw(void *dev, const struct lb_conv2d_grad *o)
{
    const struct ref_conv s = ref_shape(&o->s);
    kernels(dev)->conv2d_dw(&s, lb_f32(o->dy), lb_f32(o->x), lb_f32(o->out));
    return 0;
}

static int bias_grad(void *dev, const struct lb_bias_grad *o)
{
    kernels(dev)->bias_grad(lb_f32(o->dy), lb_f32(o->db), o->n, o->c, o->p);
    return 0;
}

static int act(void *dev, const struct lb_act_op *o)
{
    kernels(dev)->act(lb_f32(o->x), lb_f32(o->y), o->n, (int)o->act, o->alpha);
    return 0;
}

static int act_grad(void *dev, const struct lb_act_op *o)
{
    kernels(dev)->act_grad(lb_f32(o->y), lb_f32(o->dy), lb_f32(o->dx), o->n, (int)o->act, o->alpha);
    return 0;
}

static int softmax(void *dev, const struct lb_softmax *o)
{
    kernels(dev)->softmax(lb_f32(o->x), lb_f32(o->y), o->rows, o->cols);
    return 0;
}

static int softmax_grad(void *dev, const struct lb_softmax *o)
{
    kernels(dev)->softmax_grad(lb_f32(o->y), lb_f32(o->dy), lb_f32(o->dx), o->rows, o->cols);
    return 0;
}

static int cross_entropy(void *dev, const struct lb_loss *o)
{
    kernels(dev)->cross_entropy(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols);
    return 0;
}

static int mse(void *dev, const struct lb_loss *o)
{
    kernels(dev)->mse(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols, (int)o->reduction);
    return 0;
}

static int sgd(void *dev, const struct lb_sgd *o)
{
    kernels(dev)->sgd(lb_f32(o->w), lb_f32(o->g), lb_f32(o->v), o->n, o->lr, o->momentum, o->decay);
    return 0;
}

static const struct lb_backend cpu_ref = {
    .base = {LB_ABI, LB_BACKEND, sizeof cpu_ref, "cpu_ref", "the exact arithmetic, literally, on one thread: the reference"},
    .exact = 1,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .gemm = gemm,
    .conv2d = conv2d,
    .conv2d_dx = conv2d_dx,
    .conv2d_dw = conv2d_dw,
    .bias_grad = bias_grad,
    .act = act,
    .act_grad = act_grad,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .cross_entropy = cross_entropy,
    .mse = mse,
    .sgd = sgd,
    .weights_create = ref_weights_create,
    .weights_free = ref_weights_free,
    .gemm_packed = ref_gemm_packed,
    .conv2d_packed = ref_conv2d_packed,
    .gemm_int8 = ref_run_gemm_int8,
    .conv2d_int8 = ref_run_conv2d_int8,
    .quantizer_create = ref_quantizer_create,
    .quantizer_free = ref_quantizer_free,
    .quantize = ref_run_quantize,
    .q_weights_create = ref_q_weights_create,
    .q_weights_free = ref_q_weights_free,
    .q_dense = ref_q_dense,
    .q_conv2d = ref_q_conv2d,
    .q_gemm = ref_q_gemm,
    .q_table = ref_q_table,
    .q_binary = ref_q_binary,
    .q_pool = ref_q_pool,
    .q_copy = ref_q_copy,
    .q_im2col = ref_q_im2col,
    .q_col2im = ref_q_col2im,
    .q_requantize = ref_q_requantize,
    .q_quantize = ref_q_quantize,
    .q_dequantize = ref_q_dequantize,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&cpu_ref.base, NULL};
