/* SPDX-License-Identifier: MIT */
/* gemm_pack.h - rows of numbers turned into a panel. */
#ifndef LB_GEMM_PACK_H
#define LB_GEMM_PACK_H

#include "kernels/cpu/vec.h"

/* One vector of columns: to[k * width + lane] = from[lane * ld + k], k < nk; lanes from n on are 0. */
static void pack_vector(const float *from, size_t ld, size_t n, size_t nk, float *to, size_t width)
{
    vec r[VEC];
    size_t k = 0;
    if (n >= VEC)
        for (; k + VEC <= nk; k += VEC) {
            vec_load_turned(from + k, ld, r);
            for (int i = 0; i < VEC; i++)
                vec_store(to + (k + (size_t)i) * width, r[i]);
        }
    for (; k < nk; k += VEC) {
        const vec_mask m = vec_first(nk - k < VEC ? nk - k : VEC);
        for (int i = 0; i < VEC; i++)
            r[i] = (size_t)i < n ? vec_load_masked(from + (size_t)i * ld + k, m) : vec_zero();
        vec_transpose(r);
        for (int i = 0; i < VEC; i++)
            if (k + (size_t)i < nk)
                vec_store(to + (k + (size_t)i) * width, r[i]);
    }
}

#endif
