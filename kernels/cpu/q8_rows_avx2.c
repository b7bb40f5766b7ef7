/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/q8_rows_body.h"

void q8_rows_init_avx2(struct q8_rows_kernels *k)
{
    q8_rows_init(k);
}
#else
typedef int q8_rows_avx2_is_not_for_this_machine;
#endif
