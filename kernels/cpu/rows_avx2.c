/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/rows_body.h"

void rows_init_avx2(struct rows_kernels *k)
{
    *k = kernels;
}
#else
typedef int rows_avx2_is_not_for_this_machine;
#endif
