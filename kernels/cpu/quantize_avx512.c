/* SPDX-License-Identifier: MIT */
#ifdef __AVX512F__
#include "kernels/cpu/quantize_body.h"

void quantize_init_avx512(struct quantize_kernels *k)
{
    quantize_init(k);
}
#else
typedef int quantize_avx512_is_not_for_this_machine;
#endif
