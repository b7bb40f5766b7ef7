/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/quantize_body.h"

void quantize_init_c(struct quantize_kernels *k)
{
    quantize_init(k);
}
