/* SPDX-License-Identifier: MIT */
#ifndef LB_ROWS_H
#define LB_ROWS_H

#include <stddef.h>
#include <stdint.h>

struct rows_kernels {
    const char *isa;
};

void rows_init_c(struct rows_kernels *k);
void rows_init_avx2(struct rows_kernels *k);
void rows_init_avx512(struct rows_kernels *k);

#endif
