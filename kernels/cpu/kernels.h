/* SPDX-License-Identifier: MIT */
/* kernels.h - the fast exact kernels of each instruction set as one struct of pointers, chosen once: the plain C ones first, then those of each
 * instruction set that the machine has and --cpumask leaves, each over the one before. One text, a *_body.h, is compiled for each
 * (kernels/cpu/vec.h). All give the bits of docs/arithmetic.md. */
#ifndef LB_KERNELS_H
#define LB_KERNELS_H

#include "kernels/cpu/conv.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/int8.h"
#include "kernels/cpu/packed.h"
#include "kernels/cpu/q8_rows.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/rows.h"

struct cpu_kernels {
    const char *isa;
    struct gemm_kernels gemm;
    struct conv_kernels conv;
    struct rows_kernels rows;
    struct packed_kernels packed;
    struct quantize_kernels quantize;
    struct int8_kernels int8;
    struct q8_kernels q8;
    struct q8_rows_kernels q8_rows;
};

/* `avx2`, `avx512`, `vnni` (with VBMI): whether these may be used. */
static inline void cpu_kernels_init(struct cpu_kernels *k, int avx2, int avx512, int vnni)
{
    k->isa = "c";
    gemm_init_c(&k->gemm);
    conv_init_c(&k->conv);
    rows_init_c(&k->rows);
    packed_init_c(&k->packed);
    quantize_init_c(&k->quantize);
    int8_init_c(&k->int8);
    q8_init_c(&k->q8);
    q8_rows_init_c(&k->q8_rows);
#ifdef __x86_64__
    if (avx2) {
        k->isa = "avx2";
        gemm_init_avx2(&k->gemm);
        conv_init_avx2(&k->conv);
        rows_init_avx2(&k->rows);
        packed_init_avx2(&k->packed);
        quantize_init_avx2(&k->quantize);
        int8_init_avx2(&k->int8);
        q8_init_avx2(&k->q8);
        q8_rows_init_avx2(&k->q8_rows);
    }
    if (avx512) {
        k->isa = "avx512";
        gemm_init_avx512(&k->gemm);
        conv_init_avx512(&k->conv);
        rows_init_avx512(&k->rows);
        packed_init_avx512(&k->packed);
        quantize_init_avx512(&k->quantize);
    }
    if (avx512 && vnni) {
        int8_init_vnni(&k->int8);
        q8_init_vnni(&k->q8);
        q8_rows_init_vnni(&k->q8_rows);
    }
#else
    (void)avx2, (void)avx512, (void)vnni;
#endif
}

#endif
