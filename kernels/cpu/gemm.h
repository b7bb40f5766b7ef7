/* SPDX-License-Identifier: MIT */
#ifndef LB_GEMM_H
#define LB_GEMM_H

#include <stddef.h>
#include <stdint.h>

struct gemm_kernels {
    const char *isa;
};

void gemm_init_c(struct gemm_kernels *k);
void gemm_init_avx2(struct gemm_kernels *k);
void gemm_init_avx512(struct gemm_kernels *k);

#endif
