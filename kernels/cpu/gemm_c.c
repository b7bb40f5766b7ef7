/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/gemm_body.h"

void gemm_init_c(struct gemm_kernels *k)
{
    gemm_init(k);
}
