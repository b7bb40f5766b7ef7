/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/int8_body.h"

void int8_init_avx2(struct int8_kernels *k)
{
    int8_init(k);
}
#else
typedef int int8_avx2_is_not_for_this_machine;
#endif
