/* SPDX-License-Identifier: MIT */
#ifdef __AVX512VNNI__
#include "kernels/cpu/q8_body.h"

void q8_init_vnni(struct q8_kernels *k)
{
    q8_init(k);
}
#else
typedef int q8_vnni_is_not_for_this_machine;
#endif
