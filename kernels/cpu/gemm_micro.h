/* SPDX-License-Identifier: MIT */
/* gemm_micro.h - the innermost loops of gemm_body.h: a tile of outputs in registers, one for each number of rows and vectors. */
#ifndef LB_GEMM_MICRO_H
#define LB_GEMM_MICRO_H

#include "kernels/cpu/vec.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    MAX_ROWS = VEC_REGISTERS == 32 ? 14
               : VEC == 8          ? 6
                                   : 4, /* by 2 vectors; with 2 of y and 1 of x these are all registers */
    MAX_VECS = 8,
    MAX_ACC = 2 * MAX_ROWS
};

/* One segment of one tile. */
struct step {
    const float *x, *y;
    size_t ldx, ldy, nk;
    const float *in; /* the totals so far; NULL: +0 */
    float *out;
    size_t ld_in, ld_out;
    /* What is wanted soon: in step k the line at next + k % 16 * next_row + k / 16 * next_line, in bytes. */
    const char *next;
    size_t next_row, next_line;
};

/* out (rows, vecs * VEC) = in + the chains of nk products, as it may be stored in the end (one NaN is as good a total as another). Element
 * (i, k) of x is x[i * ldx + k], or x[k * ldx + i] where by_k is set; vector (k, j) of y is at y + k * ldy + j * VEC. All but s is constant
 * where it is inlined. Every step needs rows + vecs loads for rows * vecs multiplications. */
INLINE void micro(const struct step *s, int rows, int vecs, int by_k)
{
    vec acc[MAX_ACC];
    const float *x = s->x, *y = s->y;
    const size_t x_row = by_k ? 1 : s->ldx, x_k = by_k ? s->ldx : 1;
    const size_t ldy = s->ldy, nk = s->nk, next_row = s->next_row, next_line = s->next_line;
    const char *next = s->next;
    UNROLL for (int i = 0; i < rows * vecs; i++) acc[i] = vec_zero();
    for (size_t k = 0; k < nk; k++, x += x_k, y += ldy) {
        __builtin_prefetch(next + k % 16 * next_row + k / 16 * next_line);
        if (rows < vecs) {
            vec a[MAX_ROWS];
            UNROLL for (int i = 0; i < rows; i++) a[i] = vec_set(x[(size_t)i * x_row]);
            UNROLL for (int j = 0; j < vecs; j++)
            {
                const vec b = vec_load(y + j * VEC);
                UNROLL for (int i = 0; i < rows; i++) acc[i * vecs + j] = vec_fma(a[i], b, acc[i * vecs + j]);
            }
        } else {
            vec b[MAX_VECS];
            UNROLL for (int j = 0; j < vecs; j++) b[j] = vec_load(y + j * VEC);
            UNROLL for (int i = 0; i < rows; i++)
            {
                const vec a = vec_set(x[(size_t)i * x_row]);
                UNROLL for (int j = 0; j < vecs; j++) acc[i * vecs + j] = vec_fma(a, b[j], acc[i * vecs + j]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < vecs; j++)
        {
            const vec total = s->in ? vec_load(s->in + (size_t)i * s->ld_in + j * VEC) : vec_zero();
            vec_store(s->out + (size_t)i * s->ld_out + j * VEC, vec_nan(vec_add(total, acc[i * vecs + j])));
        }
    }
}

/* The instantiation for so many rows; what the registers do not hold is never asked for. */
INLINE void micro_rows(const struct step *s, size_t rows, int vecs, int by_k)
{
#define ROWS(n)                                                                                                                            \
    case n:                                                                                                                                \
        if (n <= MAX_ROWS && n * vecs <= MAX_ACC)                                                                                          \
            micro(s, n, vecs, by_k);                                                                                                       \
        return
    switch (rows) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
        ROWS(7);
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
        ROWS(12);
        ROWS(13);
        ROWS(14);
    }
#undef ROWS
}

static void micro_1(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 1, 0);
}

static void micro_2(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 2, 0);
}

static void micro_4(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 4, 0);
}

static void micro_8(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 8, 0);
}

static void micro_by_k_1(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 1, 1);
}

static void micro_by_k_2(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 2, 1);
}

static void micro_by_k_4(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 4, 1);
}

static void micro_by_k_8(const struct step *s, size_t rows)
{
    micro_rows(s, rows, 8, 1);
}

/* By x's order, then the logarithm of the number of vectors. */
static void (*const micro_of[2][4])(const struct step *s, size_t rows) = {{micro_1, micro_2, micro_4, micro_8},
                                                                          {micro_by_k_1, micro_by_k_2, micro_by_k_4, micro_by_k_8}};

#endif
