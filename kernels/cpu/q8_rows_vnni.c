/* SPDX-License-Identifier: MIT */
#ifdef __AVX512VNNI__
#include "kernels/cpu/q8_rows_body.h"

void q8_rows_init_vnni(struct q8_rows_kernels *k)
{
    q8_rows_init(k);
}
#else
typedef int q8_rows_vnni_is_not_for_this_machine;
#endif
