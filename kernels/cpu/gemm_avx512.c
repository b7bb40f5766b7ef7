/* SPDX-License-Identifier: MIT */
#ifdef __AVX512F__
#include "kernels/cpu/gemm_body.h"

void gemm_init_avx512(struct gemm_kernels *k)
{
    gemm_init(k);
}
#else
typedef int gemm_avx512_is_not_for_this_machine;
#endif
