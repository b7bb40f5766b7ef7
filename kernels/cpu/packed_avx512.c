/* SPDX-License-Identifier: MIT */
#ifdef __AVX512F__
#include "kernels/cpu/packed_body.h"

void packed_init_avx512(struct packed_kernels *k)
{
    packed_init(k);
}
#else
typedef int packed_avx512_is_not_for_this_machine;
#endif
