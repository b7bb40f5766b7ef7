/* SPDX-License-Identifier: MIT */
/* blas_gemm.c - matrix products: each thread calls OpenBLAS on its part of the output. */
#include "plugins/cpu_blas/cpu_blas.h"

#include <limits.h>
#include <string.h>

struct range blas_range(size_t n, size_t grain, size_t parts, size_t i)
{
    const size_t grains = (n + grain - 1) / grain;
    const size_t begin = grains * i / parts * grain, end = grains * (i + 1) / parts * grain;
    return (struct range){begin < n ? begin : n, end < n ? end : n};
}

size_t blas_parts(const struct device *d, size_t work, size_t most)
{
    enum { WORTH = 1 << 19 }; /* about ten microseconds of multiplications: what it takes to wake a thread */
    size_t parts = work / WORTH;
    parts = parts < d->host->threads ? parts : d->host->threads;
    parts = parts < most ? parts : most;
    return parts ? parts : 1;
}

void blas_parallel(const struct device *d, size_t parts, void (*fn)(void *arg, size_t i), void *arg)
{
    if (parts == 1)
        fn(arg, 0);
    else
        d->host->parallel(d->host, parts, fn, arg);
}

enum { ROW_MAJOR = 101, AS_IT_IS = 111, TRANSPOSED = 112 };

void blas_sgemm(const struct device *d, int trans_a, int trans_b, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                size_t ldb, float beta, float *c, size_t ldc)
{
    d->blas.sgemm(ROW_MAJOR, trans_a ? TRANSPOSED : AS_IT_IS, trans_b ? TRANSPOSED : AS_IT_IS, (int)m, (int)n, (int)k, 1.0f, a, (int)lda, b,
                  (int)ldb, beta, c, (int)ldc);
}

struct job {
    const struct device *d;
    const struct lb_gemm *o;
    size_t parts;
};

/* c (n) += a row of a times n columns of b. */
static void row_product(const struct job *j, const float *a, const float *b, size_t n, float *c)
{
    const struct lb_gemm *o = j->o;
    const int step = o->trans_a ? (int)o->m : 1;
    if (o->trans_b)
        j->d->blas.sgemv(ROW_MAJOR, AS_IT_IS, (int)n, (int)o->k, 1.0f, b, (int)o->k, a, step, 1.0f, c, 1);
    else
        j->d->blas.sgemv(ROW_MAJOR, TRANSPOSED, (int)o->k, (int)n, 1.0f, b, (int)o->n, a, step, 1.0f, c, 1);
}

/* Rows [rows) and columns [cols) of the output. */
static void block(const struct job *j, struct range rows, struct range cols)
{
    const struct lb_gemm *o = j->o;
    const size_t m = rows.end - rows.begin, n = cols.end - cols.begin;
    const size_t lda = o->trans_a ? o->m : o->k, ldb = o->trans_b ? o->k : o->n;
    const float *a = lb_f32(o->a) + (o->trans_a ? rows.begin : rows.begin * lda), *bias = lb_f32(o->bias);
    const float *b = lb_f32(o->b) + (o->trans_b ? cols.begin * ldb : cols.begin);
    float *c = lb_f32(o->c) + rows.begin * o->n + cols.begin;
    for (size_t i = 0; bias && i < m; i++)
        memcpy(c + i * o->n, bias + cols.begin, n * sizeof *bias);
    if (m == 1 && !bias)
        memset(c, 0, n * sizeof *c); /* sgemv may scale what was there, even by zero */
    if (m == 1)
        row_product(j, a, b, n, c);
    else
        blas_sgemm(j->d, o->trans_a, o->trans_b, m, n, o->k, a, lda, b, ldb, bias ? 1.0f : 0.0f, c, o->n);
    for (size_t i = 0; o->act != LB_LINEAR && i < m; i++)
        blas_activate(j->d, c + i * o->n, n, 0.0f, o->act, o->alpha);
}

static void part(void *arg, size_t i)
{
    const struct job *j = arg;
    struct range rows = {0, j->o->m}, cols = {0, j->o->n};
    if (cols.end >= rows.end)
        cols = blas_range(cols.end, 16, j->parts, i);
    else
        rows = blas_range(rows.end, 16, j->parts, i);
    if (rows.end > rows.begin && cols.end > cols.begin)
        block(j, rows, cols);
}

int blas_gemm(void *dev, const struct lb_gemm *o)
{
    struct device *d = dev;
    if (o->m > INT_MAX || o->n > INT_MAX || o->k > INT_MAX)
        return blas_fail(d, "gemm: OpenBLAS takes sizes below 2^31");
    struct job j = {d, o, 1};
    if (o->m == 0 || o->n == 0)
        return 0;
    j.parts = blas_parts(d, o->m * o->n * o->k, ((o->m > o->n ? o->m : o->n) + 15) / 16);
    blas_parallel(d, j.parts, part, &j);
    return 0;
}
