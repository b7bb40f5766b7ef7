/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/q8_body.h"

void q8_init_c(struct q8_kernels *k)
{
    q8_init(k);
}
