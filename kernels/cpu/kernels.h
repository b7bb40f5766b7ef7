/* SPDX-License-Identifier: MIT */
/* kernels.h - the fast exact kernels of each instruction set as one struct of pointers, chosen once: the plain C ones first, then those of each
 * instruction set that the machine has and --cpumask leaves, each over the one before. One text, a *_body.h, is compiled for each
 * (kernels/cpu/vec.h). All give the bits of docs/arithmetic.md. */
#ifndef LB_KERNELS_H
#define LB_KERNELS_H

#include "kernels/cpu/conv.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/rows.h"

struct cpu_kernels {
    const char *isa;
    struct gemm_kernels gemm;
    struct conv_kernels conv;
    struct rows_kernels rows;
};

/* `avx2`, `avx512`: whether these may be used. */
static inline void cpu_kernels_init(struct cpu_kernels *k, int avx2, int avx512)
{
    k->isa = "c";
    gemm_init_c(&k->gemm);
    conv_init_c(&k->conv);
    rows_init_c(&k->rows);
#ifdef __x86_64__
    if (avx2) {
        k->isa = "avx2";
        gemm_init_avx2(&k->gemm);
        conv_init_avx2(&k->conv);
        rows_init_avx2(&k->rows);
    }
    if (avx512) {
        k->isa = "avx512";
        gemm_init_avx512(&k->gemm);
        conv_init_avx512(&k->conv);
        rows_init_avx512(&k->rows);
    }
#else
    (void)avx2, (void)avx512;
#endif
}

#endif
