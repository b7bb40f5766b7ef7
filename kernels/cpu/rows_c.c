/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/rows_body.h"

void rows_init_c(struct rows_kernels *k)
{
    *k = kernels;
}
