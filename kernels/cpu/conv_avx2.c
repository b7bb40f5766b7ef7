/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/conv_body.h"

void conv_init_avx2(struct conv_kernels *k)
{
    conv_init(k);
    k->dw_narrow = k->dw_wide;
}
#else
typedef int conv_avx2_is_not_for_this_machine;
#endif
