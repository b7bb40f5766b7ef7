/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/q8_rows_body.h"

void q8_rows_init_c(struct q8_rows_kernels *k)
{
    q8_rows_init(k);
}
