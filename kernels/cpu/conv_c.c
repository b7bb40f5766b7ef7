/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/conv_body.h"

void conv_init_c(struct conv_kernels *k)
{
    conv_init(k);
    k->dw_narrow = k->dw_wide;
}
