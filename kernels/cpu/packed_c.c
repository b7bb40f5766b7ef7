/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/packed_body.h"

void packed_init_c(struct packed_kernels *k)
{
    packed_init(k);
}
