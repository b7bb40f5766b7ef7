/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/quantize_body.h"

void quantize_init_avx2(struct quantize_kernels *k)
{
    quantize_init(k);
}
#else
typedef int quantize_avx2_is_not_for_this_machine;
#endif
