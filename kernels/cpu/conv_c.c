/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/conv_body.h"

void conv_init_c(struct conv_kernels *k)
{
    k->isa = VEC_ISA;
}
