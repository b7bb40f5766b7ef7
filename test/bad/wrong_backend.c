/* SPDX-License-Identifier: MIT */
/* A backend that loads and computes, and is wrong in four ways that `lowbit verify` must see: a last bit, a NaN's bits, an element beside the output,
 * an output that was not written. */
#include "core/plugin.h"

#include <math.h>
#include <stdlib.h>

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return malloc(1);
}

static void info(void *dev, struct lb_device_info *out)
{
    (void)dev;
    *out = (struct lb_device_info){.device = "cpu", .isa = "c", .threads = 1};
}

/* Without momentum it is right but for a NaN's bits; it is only asked about special values in every other case. */
static int sgd(void *dev, const struct lb_sgd *o)
{
    (void)dev;
    for (size_t i = 0; i < o->n; i++) {
        float step = fmaf(o->decay, lb_f32(o->w)[i], lb_f32(o->g)[i]);
        if (o->v.buf)
            lb_f32(o->v)[i] = step = fmaf(o->momentum, lb_f32(o->v)[i], step);
        lb_f32(o->w)[i] = fmaf(-o->lr, step, lb_f32(o->w)[i]);
    }
    return 0;
}

/* The sum in descending order: another last bit, now and then. */
static int bias_grad(void *dev, const struct lb_bias_grad *o)
{
    (void)dev;
    for (size_t c = 0; c < o->c; c++) {
        float sum = 0;
        for (size_t k = o->n * o->p; k-- > 0;)
            sum += lb_f32(o->dy)[(k / o->p * o->c + c) * o->p + k % o->p];
        lb_f32(o->db)[c] = sum;
    }
    return 0;
}

/* One element too many, before the first. */
static int act_grad(void *dev, const struct lb_act_op *o)
{
    (void)dev;
    for (ptrdiff_t i = -1; i < (ptrdiff_t)o->n; i++)
        lb_f32(o->dx)[i] = i >= 0 ? lb_f32(o->dy)[i] : 0;
    return 0;
}

/* Forgets the output. */
static int softmax(void *dev, const struct lb_softmax *o)
{
    (void)dev, (void)o;
    return 0;
}

static const struct lb_backend wrong = {
    .base = {LB_ABI, LB_BACKEND, sizeof wrong, "wrong_backend", "loads, computes, and is wrong"},
    .exact = 1,
    .probe = probe,
    .open = open_device,
    .close = free,
    .info = info,
    .act_grad = act_grad,
    .sgd = sgd,
    .bias_grad = bias_grad,
    .softmax = softmax,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&wrong.base, NULL};
