/* SPDX-License-Identifier: MIT */
/* gemm_lanes.h - few rows times a y that is not by_k (batch 1: the weights are read once and nothing is used twice). Side by side lie outputs,
 * so blocks of STRIP columns x STRIP_K products of y are turned in registers on their way to the products; nothing is packed. Several strips
 * share the elements of x, and their chains hide each other's latency. Where the columns or products do not fill the last block, it begins
 * earlier: columns are computed twice, products that were made already are left out. */
#ifndef LB_GEMM_LANES_H
#define LB_GEMM_LANES_H

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_micro.h"

enum {
    LANE_ROWS = 4,
    LANE_STRIPS = 4, /* of a tile with one row; more rows have chains enough, and no registers left */
    LANE_COLS = LANE_STRIPS * STRIP,
    LANE_AHEAD = 32,          /* products between asking for a line of y and using it */
    LANE_STEPS = 16 / STRIP_K /* that use one line of each row */
};

/* The compiler is to keep p itself. Else it keeps the address of each row that is reached from p, in more registers than there are. */
#define KEEP(p) __asm__("" : "+r"(p))

/* acc += STRIP_K products, but for the first `skip`, of the rows of x (rows, ldx) and the strips at y[0], y[1] ... */
INLINE void lane_products(const float *x, size_t ldx, const float *const *y, size_t ld, int rows, int strips, size_t skip, strip *acc)
{
    UNROLL for (int j = 0; j < strips; j++)
    {
        strip r[STRIP_K];
        strip_load_turned(y[j], ld, r);
        UNROLL for (int l = 0; l < STRIP_K; l++)
        {
            if ((size_t)l < skip)
                continue;
            UNROLL for (int i = 0; i < rows; i++) acc[j * rows + i] =
                strip_fma(strip_set(x[(size_t)i * ldx + (size_t)l]), r[l], acc[j * rows + i]);
        }
    }
}

/* Asks in step number `step` for its part of the lines that lie `ahead` elements further. */
INLINE void lane_prefetch(const float *const *y, size_t ld, int strips, size_t step, size_t ahead)
{
    const size_t from = step % LANE_STEPS * (STRIP / LANE_STEPS) * ld + ahead;
    UNROLL for (int j = 0; j < strips; j++)
    {
        UNROLL for (int i = 0; i < STRIP / LANE_STEPS; i++) __builtin_prefetch(y[j] + from + (size_t)i * ld);
    }
}

/* out (rows, LANE_COLS) = the totals of k products of x (rows, ldx) and n columns from y on, in so many strips; k >= STRIP_K, n >= STRIP. The last
 * strips may lie over those before them. `more`: the next tile will be asked for. */
INLINE void lane_tile(const float *x, size_t ldx, const float *y, size_t ld, size_t k, size_t n, int rows, int strips, int more, float *out)
{
    size_t first[LANE_STRIPS]; /* columns */
    strip total[LANE_STRIPS * 2];
    UNROLL for (int j = 0; j < strips; j++) first[j] = (size_t)j * STRIP < n - STRIP ? (size_t)j * STRIP : n - STRIP;
    UNROLL for (int i = 0; i < strips * rows; i++) total[i] = strip_zero();
    const size_t next = more ? n * ld - k : 0; /* from a column's end to the beginning of that of the next tile */
    for (size_t k0 = 0; k0 < k; k0 += 256) {
        const size_t end = k - k0 < 256 ? k : k0 + 256;
        const float *at[LANE_STRIPS];
        strip acc[LANE_STRIPS * 2];
        UNROLL for (int i = 0; i < strips * rows; i++) acc[i] = strip_zero();
        UNROLL for (int j = 0; j < strips; j++) at[j] = y + first[j] * ld + k0;
        size_t l = k0;
        for (; l + STRIP_K <= end; l += STRIP_K) {
            UNROLL for (int j = 0; j < strips; j++) KEEP(at[j]);
            lane_prefetch(at, ld, strips, l / STRIP_K, LANE_AHEAD + (l + LANE_AHEAD < k ? 0 : next));
            lane_products(x + l, ldx, at, ld, rows, strips, 0, acc);
            UNROLL for (int j = 0; j < strips; j++) at[j] += STRIP_K;
        }
        if (l < end) {
            const size_t skip = STRIP_K - (end - l);
            UNROLL for (int j = 0; j < strips; j++) at[j] -= skip;
            lane_products(x + l - skip, ldx, at, ld, rows, strips, skip, acc);
        }
        UNROLL for (int i = 0; i < strips * rows; i++) total[i] = strip_add(total[i], acc[i]);
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < strips; j++) strip_store(out + (size_t)i * LANE_COLS + first[j], total[j * rows + i]);
    }
}

/* One strip after the other: where rows of y lie a multiple of 4 KiB apart they all want the same eight places of the first cache. */
static void lane_strips(const struct gemm_task *t, const float *x, size_t ldx, size_t j0, size_t n, float *out)
{
    for (size_t j = 0; j < n; j += STRIP) {
        const size_t first = j < n - STRIP ? j : n - STRIP;
        const float *y = t->y.p + (j0 + first) * t->y.ld;
        const int more = t->cols - j0 - first >= 2 * STRIP;
        switch (t->rows) {
#define LANES(rows)                                                                                                                        \
    case rows:                                                                                                                             \
        lane_tile(x, ldx, y, t->y.ld, t->k, STRIP, rows, 1, more, out + first);                                                            \
        break
            LANES(1);
            LANES(2);
            LANES(3);
            LANES(4);
#undef LANES
        }
    }
}

/* The totals of n columns from j0 on, at most LANE_COLS and with more rows than one, half of that; x as in lane_tile. */
static void lane_totals(const struct gemm_task *t, const float *x, size_t ldx, size_t j0, size_t n, float *out)
{
    const float *y = t->y.p + j0 * t->y.ld;
    const size_t ld = t->y.ld, k = t->k;
    const int more = t->cols - j0 >= 2 * n;
    if (ld * sizeof *y % 4096 == 0) {
        lane_strips(t, x, ldx, j0, n, out);
        return;
    }
    const size_t strips = n > 2 * STRIP ? 4 : n > STRIP ? 2 : 1;
    switch (t->rows * 8 + strips) {
#define LANES(rows, strips)                                                                                                                \
    case (rows)*8 + (strips):                                                                                                              \
        lane_tile(x, ldx, y, ld, k, n, rows, strips, more, out);                                                                           \
        return
        LANES(1, 1);
        LANES(1, 2);
        LANES(1, 4);
        LANES(2, 1);
        LANES(2, 2);
        LANES(3, 1);
        LANES(3, 2);
        LANES(4, 1);
        LANES(4, 2);
#undef LANES
    }
}

#endif
