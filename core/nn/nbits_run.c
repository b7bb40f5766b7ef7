/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/nn/buffers.h"
#include "core/nn/nbits_impl.h"
#include "kernels/canon.h"

#include <string.h>

enum { PANEL = 1 << 18 /* elements of weights that are in F32 at a time, at least one row or column */, SEGMENT = 256 };

/* Buffers of one call, and a panel of weights with the products that it gives, in host memory. */
struct work {
    struct lb_buffers on;
    float *panel, *part;
};

static void work_finish(struct work *s)
{
    lb_buffers_finish(&s->on);
    lb_free(s->panel);
    lb_free(s->part);
}

/* How many rows of `length` elements are a panel. */
static size_t panel_rows(size_t rows, size_t length)
{
    const size_t n = PANEL / length ? PANEL / length : 1;
    return n < rows ? n : rows;
}

/* Columns j .. j + n of `to` (rows, cols) from `from` (rows, n), or the other way round. */
static void put_columns(float *to, size_t rows, size_t cols, size_t j, size_t n, const float *from)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * cols + j, from + i * n, n * sizeof *to);
}

static void take_columns(const float *from, size_t rows, size_t cols, size_t j, size_t n, float *to)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * n, from + i * cols + j, n * sizeof *to);
}

static int alloc_panels(struct work *s, size_t panel, size_t rows, size_t cols, struct lb_err *err)
{
    return (s->panel = lb_alloc(panel, sizeof(float), err)) && (s->part = lb_alloc(rows, cols * sizeof(float), err)) ? 0 : -1;
}

/* ---- Forward ---------------------------------------------------------------------------------------------------------------------- */

/* Products with weights that stay packed: buffers 0 a, 1 bias, 2 y. */
static int run_packed(const struct lb_nbits *w, struct work *s, void *weights, size_t m, float *y, struct lb_err *err)
{
    if (lb_buffers_put(&s->on, 2, NULL, m, w->n, err))
        return -1;
    const struct lb_gemm_packed op = {.a = lb_buffers_at(&s->on, 0),
                                      .bias = lb_buffers_at(&s->on, 1),
                                      .c = lb_buffers_at(&s->on, 2),
                                      .w = weights,
                                      .m = m,
                                      .n = w->n,
                                      .k = w->k,
                                      .act = LB_LINEAR,
                                      .block = w->block_size};
    return (w->int8 ? LB_RUN(s->on.d, gemm_int8, &op, err) : LB_RUN(s->on.d, gemm_packed, &op, err)) ||
                   lb_buf_read(s->on.d, &s->on.buf[2], 0, y, m * w->n, err)
               ? -1
               : 0;
}

/* Panels of rows of the weights, unpacked. */
static int run_panels(const struct lb_nbits *w, struct work *s, size_t m, float *y, struct lb_err *err)
{
    const size_t rows = panel_rows(w->n, w->k);
    if (alloc_panels(s, rows * w->k, m, rows, err) || lb_buffers_put(&s->on, 2, NULL, m, rows, err) ||
        lb_buffers_put(&s->on, 3, NULL, rows, w->k, err))
        return -1;
    for (size_t i = 0; i < w->n; i += rows) {
        const size_t n = w->n - i < rows ? w->n - i : rows;
        for (size_t j = 0; j < n; j++)
            lb_packed_row(&w->p, i + j, 0, w->k, s->panel + j * w->k);
        const struct lb_gemm op = {.a = lb_buffers_at(&s->on, 0),
                                   .b = lb_buffers_at(&s->on, 3),
                                   .bias = {w->bias ? &s->on.buf[1] : NULL, i},
                                   .c = lb_buffers_at(&s->on, 2),
                                   .m = m,
                                   .n = n,
                                   .k = w->k,
                                   .trans_b = 1,
                                   .act = LB_LINEAR};
        if (lb_buf_write(s->on.d, &s->on.buf[3], 0, s->panel, n * w->k, err) || LB_RUN(s->on.d, gemm, &op, err) ||
            lb_buf_read(s->on.d, &s->on.buf[2], 0, s->part, m * n, err))
            return -1;
        put_columns(y, m, w->n, i, n, s->part);
    }
    return 0;
}

int lb_nbits_forward(const struct lb_nbits *w, struct lb_dev *d, const float *a, size_t m, float *y, struct lb_err *err)
{
    struct work s = {.on = {.d = d}};
    char why[256] = "";
    size_t bytes;
    const int int8 = lb_nbits_int8(w);
    const struct lb_backend *ops = d->ops;
    if (m == 0)
        return 0;
    if (int8 && !(ops->weights_create && ops->gemm_int8))
        return lb_fail(err, "unsupported: backend %s has no op gemm_int8, which accuracy_level 4 wants", ops->base.name);
    int r = lb_buffers_put(&s.on, 0, a, m, w->k, err) || (w->bias && lb_buffers_put(&s.on, 1, w->bias, 1, w->n, err)) ? -1 : 0;
    const int packed = !r && ops->weights_create && (int8 || ops->gemm_packed);
    void *weights = packed ? ops->weights_create(d->dev, &w->p, int8 ? LB_USE_INT8 : LB_USE_F32, &bytes, why, sizeof why) : NULL;
    if (weights)
        r = run_packed(w, &s, weights, m, y, err);
    else if (packed && !why[0])
        r = lb_backend_result(d, "weights_create", -1, err);
    else if (int8 && !r)
        r = lb_fail(err, "unsupported: backend %s: accuracy_level 4: %s", ops->base.name, why);
    else if (!r)
        r = run_panels(w, &s, m, y, err);
    if (weights)
        ops->weights_free(d->dev, weights);
    else if (!r)
        lb_log(LB_LOG_INFO, "backend %s multiplies these weights in panels of F32%s%s", ops->base.name, why[0] ? ": " : "", why);
    work_finish(&s);
    return r;
}

/* ---- Gradients -------------------------------------------------------------------------------------------------------------------- */

int lb_nbits_grad_input(const struct lb_nbits *w, struct lb_dev *d, const float *dy, size_t m, float *da, struct lb_err *err)
{
    struct work s = {.on = {.d = d}};
    const size_t cols = panel_rows(w->k, w->n);
    if (m == 0)
        return 0;
    int r = alloc_panels(&s, cols * w->n, m, cols, err) || lb_buffers_put(&s.on, 0, dy, m, w->n, err) ||
                    lb_buffers_put(&s.on, 2, NULL, m, cols, err) || lb_buffers_put(&s.on, 3, NULL, w->n, cols, err)
                ? -1
                : 0;
    for (size_t j = 0; !r && j < w->k; j += cols) {
        const size_t n = w->k - j < cols ? w->k - j : cols;
        for (size_t i = 0; i < w->n; i++)
            lb_packed_row(&w->p, i, j, n, s.panel + i * n);
        const struct lb_gemm op = {.a = lb_buffers_at(&s.on, 0),
                                   .b = lb_buffers_at(&s.on, 3),
                                   .c = lb_buffers_at(&s.on, 2),
                                   .m = m,
                                   .n = n,
                                   .k = w->n,
                                   .act = LB_LINEAR};
        r = lb_buf_write(d, &s.on.buf[3], 0, s.panel, w->n * n, err) || LB_RUN(d, gemm, &op, err) ||
                    lb_buf_read(d, &s.on.buf[2], 0, s.part, m * n, err)
                ? -1
                : 0;
        if (!r)
            put_columns(da, m, w->k, j, n, s.part);
    }
    work_finish(&s);
    return r;
}

/* A sum of products: docs/arithmetic.md, 2.1. */
static float dot(const float *a, const float *b, size_t n)
{
    float total = 0;
    for (size_t from = 0; from < n; from += SEGMENT) {
        const size_t end = n - from < SEGMENT ? n : from + SEGMENT;
        float acc = 0;
        for (size_t k = from; k < end; k++)
            acc = canon_fma(a[k], b[k], acc);
        total += acc;
    }
    return canon_nan(total);
}

/* Row i of ds from that of dw; q has room for K elements. */
static void scale_row(const struct lb_nbits *w, size_t i, const float *dw, float *q, float *ds)
{
    w->p.q.decode(&w->p.q, w->p.codes + i * w->p.row_bytes, 0, w->k, q);
    for (size_t g = 0; g < w->blocks; g++) {
        const size_t first = g * w->block_size, n = w->k - first < w->block_size ? w->k - first : w->block_size;
        for (size_t j = first; j < first + n; j++)
            q[j] = canon_nan(q[j] - w->zeros[i * w->blocks + g]);
        ds[g] = dot(dw + first, q + first, n);
    }
}

/* dW = dY^T . A in panels of rows, each then summed by blocks. */
int lb_nbits_grad_scales(const struct lb_nbits *w, struct lb_dev *d, const float *a, const float *dy, size_t m, float *ds,
                         struct lb_err *err)
{
    struct work s = {.on = {.d = d}};
    const size_t rows = panel_rows(w->n, w->k);
    float *q = lb_alloc(w->k, sizeof *q, err);
    int r = !q || alloc_panels(&s, rows * w->k, m, rows, err) || lb_buffers_put(&s.on, 0, a, m, w->k, err) ||
                    lb_buffers_put(&s.on, 2, NULL, m, rows, err) || lb_buffers_put(&s.on, 3, NULL, rows, w->k, err)
                ? -1
                : 0;
    for (size_t i = 0; !r && i < w->n; i += rows) {
        const size_t n = w->n - i < rows ? w->n - i : rows;
        const struct lb_gemm op = {.a = lb_buffers_at(&s.on, 2),
                                   .b = lb_buffers_at(&s.on, 0),
                                   .c = lb_buffers_at(&s.on, 3),
                                   .m = n,
                                   .n = w->k,
                                   .k = m,
                                   .trans_a = 1,
                                   .act = LB_LINEAR};
        take_columns(dy, m, w->n, i, n, s.part);
        r = lb_buf_write(d, &s.on.buf[2], 0, s.part, m * n, err) || LB_RUN(d, gemm, &op, err) ||
                    lb_buf_read(d, &s.on.buf[3], 0, s.panel, n * w->k, err)
                ? -1
                : 0;
        for (size_t j = 0; !r && j < n; j++)
            scale_row(w, i + j, s.panel + j * w->k, q, ds + (i + j) * w->blocks);
    }
    work_finish(&s);
    lb_free(q);
    return r;
}
