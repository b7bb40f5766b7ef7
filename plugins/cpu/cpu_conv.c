/* SPDX-License-Identifier: MIT */
#include "plugins/cpu/cpu.h"
#include "kernels/cpu/ref.h"

static const struct ref_kernels *kernels(void *dev)
{
    const struct cpu_device *d = dev;
    return (d->host->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
}

static struct ref_conv shape(const struct lb_conv *s)
{
    return (struct ref_conv){s->n, s->c, s->h, s->w, s->o, s->kh, s->kw, s->stride, s->pad, s->oh, s->ow};
}

int cpu_conv2d(void *dev, const struct lb_conv2d *o)
{
    const struct ref_conv s = shape(&o->s);
    kernels(dev)->conv2d(&s, lb_f32(o->x), lb_f32(o->w), lb_f32(o->bias), lb_f32(o->y), (int)o->act, o->alpha);
    return 0;
}

int cpu_conv2d_dx(void *dev, const struct lb_conv2d_grad *o)
{
    const struct ref_conv s = shape(&o->s);
    kernels(dev)->conv2d_dx(&s, lb_f32(o->dy), lb_f32(o->w), lb_f32(o->out));
    return 0;
}

int cpu_conv2d_dw(void *dev, const struct lb_conv2d_grad *o)
{
    const struct ref_conv s = shape(&o->s);
    kernels(dev)->conv2d_dw(&s, lb_f32(o->dy), lb_f32(o->x), lb_f32(o->out));
    return 0;
}
