/* SPDX-License-Identifier: MIT */
#ifdef __AVX512F__
#include "kernels/cpu/rows_body.h"

void rows_init_avx512(struct rows_kernels *k)
{
    *k = kernels;
}
#else
typedef int rows_avx512_is_not_for_this_machine;
#endif
