/* SPDX-License-Identifier: MIT */
#ifndef LB_CONV_H
#define LB_CONV_H

#include <stddef.h>
#include <stdint.h>

struct conv_kernels {
    const char *isa;
};

void conv_init_c(struct conv_kernels *k);
void conv_init_avx2(struct conv_kernels *k);
void conv_init_avx512(struct conv_kernels *k);

#endif
