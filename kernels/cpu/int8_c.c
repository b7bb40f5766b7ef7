/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/int8_body.h"

void int8_init_c(struct int8_kernels *k)
{
    int8_init(k);
}
