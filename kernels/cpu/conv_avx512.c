/* SPDX-License-Identifier: MIT */
/* dw_narrow stays what AVX2 made it: half as many lanes, twice as many multiply-adds a cycle. */
#ifdef __AVX512F__
#include "kernels/cpu/conv_body.h"

void conv_init_avx512(struct conv_kernels *k)
{
    conv_init(k);
}
#else
typedef int conv_avx512_is_not_for_this_machine;
#endif
