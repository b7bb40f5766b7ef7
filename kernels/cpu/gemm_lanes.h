/* SPDX-License-Identifier: MIT */
/* gemm_lanes.h - few rows times a y that is not by_k (batch 1: the weights are read once and nothing is used twice). Side by
 * side lie outputs, so blocks of VEC x VEC of y are turned in registers on their way to the products; nothing is packed. */
#ifndef LB_GEMM_LANES_H
#define LB_GEMM_LANES_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_micro.h"

enum { LANE_ROWS = 4, LANE_VECS = 2 };

/* VEC columns of y from `from` on, n of them real, nk products: r[k] is for product k. */
INLINE void turn(const float *from, size_t ld, size_t n, size_t nk, vec r[VEC])
{
    if (n == VEC && nk == VEC) {
        vec_load_turned(from, ld, r);
        return;
    }
    const vec_mask m = vec_first(nk);
    UNROLL for (int i = 0; i < VEC; i++)
    {
        const float *p = from + ((size_t)i < n ? (size_t)i : n - 1) * ld; /* lanes beyond the last are copies of it, and are not stored */
        r[i] = vec_load_masked(p, m);
    }
    vec_transpose(r);
}

/* acc[i] += the products k .. k + nk - 1 of row i and VEC columns. */
INLINE void lane_block(const struct gemm_task *t, int rows, size_t k, size_t nk, const float *y, size_t n, vec *acc)
{
    const size_t x_row = t->x.by_k ? 1 : t->x.ld, x_k = t->x.by_k ? t->x.ld : 1;
    const float *x = t->x.p + k * x_k;
    vec r[VEC];
    turn(y + k, t->y.ld, n, nk, r);
    if (nk == VEC) {
        UNROLL for (int l = 0; l < VEC; l++)
        {
            UNROLL for (int i = 0; i < rows; i++) acc[i] = vec_fma(vec_set(x[(size_t)i * x_row + (size_t)l * x_k]), r[l], acc[i]);
        }
        return;
    }
    float kept[VEC * VEC];
    for (int l = 0; l < VEC; l++)
        vec_store(kept + l * VEC, r[l]);
    for (size_t l = 0; l < nk; l++)
        for (int i = 0; i < rows; i++)
            acc[i] = vec_fma(vec_set(x[(size_t)i * x_row + l * x_k]), vec_load(kept + l * VEC), acc[i]);
}

/* out (rows, LANE_VECS * VEC) = the totals of the columns from j0 on, n of them real. */
INLINE void lane_tile(const struct gemm_task *t, int rows, size_t j0, size_t n, float *out)
{
    const size_t ld = t->y.ld;
    const float *y = t->y.p + j0 * ld;
    vec total[LANE_VECS * LANE_ROWS];
    UNROLL for (int i = 0; i < LANE_VECS * rows; i++) total[i] = vec_zero();
    for (size_t k0 = 0; k0 < t->k; k0 += 256) {
        const size_t end = t->k - k0 < 256 ? t->k : k0 + 256;
        vec acc[LANE_VECS * LANE_ROWS];
        UNROLL for (int i = 0; i < LANE_VECS * rows; i++) acc[i] = vec_zero();
        size_t k = k0;
        if (n == LANE_VECS * VEC)
            for (; k + VEC <= end; k += VEC) {
                UNROLL for (int j = 0; j < LANE_VECS; j++) lane_block(t, rows, k, VEC, y + (size_t)j * VEC * ld, VEC, acc + j * rows);
            }
        for (; k < end; k += VEC) {
            const size_t nk = end - k < VEC ? end - k : VEC;
            for (size_t j = 0; j * VEC < n; j++)
                lane_block(t, rows, k, nk, y + j * VEC * ld, n - j * VEC < VEC ? n - j * VEC : VEC, acc + j * (size_t)rows);
        }
        UNROLL for (int i = 0; i < LANE_VECS * rows; i++) total[i] = vec_add(total[i], acc[i]);
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < LANE_VECS; j++) vec_store(out + (i * LANE_VECS + j) * VEC, total[j * rows + i]);
    }
}

static void lane_tile_rows(const struct gemm_task *t, size_t j0, size_t n, float *out)
{
    switch (t->rows) {
    case 1:
        lane_tile(t, 1, j0, n, out);
        return;
    case 2:
        lane_tile(t, 2, j0, n, out);
        return;
    case 3:
        lane_tile(t, 3, j0, n, out);
        return;
    default:
        lane_tile(t, 4, j0, n, out);
    }
}

#endif
