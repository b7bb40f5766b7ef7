/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/conv_body.h"

void conv_init_c(struct conv_kernels *k)
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
    k->dw_narrow = k->dw_wide;
}
