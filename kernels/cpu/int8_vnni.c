/* SPDX-License-Identifier: MIT */
#ifdef __AVX512VNNI__
#include "kernels/cpu/int8_body.h"

void int8_init_vnni(struct int8_kernels *k)
{
    int8_init(k);
}
#else
typedef int int8_vnni_is_not_for_this_machine;
#endif
