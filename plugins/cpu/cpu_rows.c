/* SPDX-License-Identifier: MIT */
#include "plugins/cpu/cpu.h"
#include "kernels/cpu/ref.h"

static const struct ref_kernels *kernels(void *dev)
{
    const struct cpu_device *d = dev;
    return (d->host->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
}

int cpu_bias_grad(void *dev, const struct lb_bias_grad *o)
{
    kernels(dev)->bias_grad(lb_f32(o->dy), lb_f32(o->db), o->n, o->c, o->p);
    return 0;
}

int cpu_act(void *dev, const struct lb_act_op *o)
{
    kernels(dev)->act(lb_f32(o->x), lb_f32(o->y), o->n, (int)o->act, o->alpha);
    return 0;
}

int cpu_act_grad(void *dev, const struct lb_act_op *o)
{
    kernels(dev)->act_grad(lb_f32(o->y), lb_f32(o->dy), lb_f32(o->dx), o->n, (int)o->act, o->alpha);
    return 0;
}

int cpu_softmax(void *dev, const struct lb_softmax *o)
{
    kernels(dev)->softmax(lb_f32(o->x), lb_f32(o->y), o->rows, o->cols);
    return 0;
}

int cpu_softmax_grad(void *dev, const struct lb_softmax *o)
{
    kernels(dev)->softmax_grad(lb_f32(o->y), lb_f32(o->dy), lb_f32(o->dx), o->rows, o->cols);
    return 0;
}

int cpu_cross_entropy(void *dev, const struct lb_loss *o)
{
    kernels(dev)->cross_entropy(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols);
    return 0;
}

int cpu_mse(void *dev, const struct lb_loss *o)
{
    kernels(dev)->mse(lb_f32(o->x), lb_i32(o->labels), lb_f32(o->loss), lb_f32(o->dx), o->rows, o->cols, (int)o->reduction);
    return 0;
}

int cpu_sgd(void *dev, const struct lb_sgd *o)
{
    kernels(dev)->sgd(lb_f32(o->w), lb_f32(o->g), lb_f32(o->v), o->n, o->lr, o->momentum, o->decay);
    return 0;
}
