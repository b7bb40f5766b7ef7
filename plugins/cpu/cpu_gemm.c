/* SPDX-License-Identifier: MIT */
#include "plugins/cpu/cpu.h"
#include "kernels/cpu/ref.h"

static const struct ref_kernels *kernels(void *dev)
{
    const struct cpu_device *d = dev;
    return (d->host->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
}

int cpu_gemm(void *dev, const struct lb_gemm *o)
{
    kernels(dev)->gemm(lb_f32(o->a), lb_f32(o->b), lb_f32(o->bias), lb_f32(o->c), o->m, o->n, o->k, o->trans_a, o->trans_b, (int)o->act,
                       o->alpha);
    return 0;
}
