/* SPDX-License-Identifier: MIT */
#ifdef __AVX512F__
#include "kernels/cpu/conv_body.h"

void conv_init_avx512(struct conv_kernels *k)
{
    k->isa = VEC_ISA;
}
#else
typedef int conv_avx512_is_not_for_this_machine;
#endif
