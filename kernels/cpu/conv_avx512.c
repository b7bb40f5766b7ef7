/* SPDX-License-Identifier: MIT */
/* dw_narrow stays what AVX2 made it: half as many lanes, twice as many multiply-adds a cycle. */
#ifdef __AVX512F__
#include "kernels/cpu/conv_body.h"

void conv_init_avx512(struct conv_kernels *k)
{
    k->isa = VEC_ISA;
    k->max_rows = ROWS_MAX;
    k->product = conv_product;
    k->lanes = VEC;
    k->direct_width = DIRECT_MIN;
    k->direct = conv_direct;
    k->lower = conv_lower;
    k->weave = conv_weave;
    k->dw_wide = (struct conv_dw_kernel){VEC, dw_segment, dw_transpose};
}
#else
typedef int conv_avx512_is_not_for_this_machine;
#endif
