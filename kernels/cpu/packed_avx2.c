/* SPDX-License-Identifier: MIT */
#ifdef __AVX2__
#include "kernels/cpu/packed_body.h"

void packed_init_avx2(struct packed_kernels *k)
{
    packed_init(k);
}
#else
typedef int packed_avx2_is_not_for_this_machine;
#endif
