/* SPDX-License-Identifier: MIT */
/* Cross-entropy and mean square error, with their gradients: whole batches and parts of one. */
#include "op_util.h"

struct shape {
    size_t rows, cols, batch;
};

static struct shape draw_shape(struct op_run *t)
{
    static const size_t edges[] = {255, 256, 257, 512, 513};
    const size_t kind = op_draw(t, 0, 5), rows = op_draw(t, 1, 40);
    const size_t cols = kind == 0 ? edges[op_draw(t, 0, 4)] : kind == 1 ? op_draw(t, 1, 700) : kind == 2 ? op_draw(t, 1, 40) : 10;
    return (struct shape){rows, cols, rows};
}

static float *outputs(struct op_run *t, struct shape s)
{
    static const float scales[] = {1, 1, 10, 100};
    float *x = op_input(t, s.rows * s.cols, (unsigned)op_draw(t, 0, 2) * 40);
    const float scale = scales[op_draw(t, 0, 3)];
    for (size_t i = 0; scale > 1 && i < s.rows * s.cols; i++)
        x[i] = scale * x[i];
    return x;
}

static int32_t *labels(struct op_run *t, struct shape s)
{
    int32_t *y = (int32_t *)(void *)op_memory(t, s.rows);
    for (size_t r = 0; r < s.rows; r++)
        y[r] = (int32_t)op_draw(t, 0, s.cols - 1);
    return y;
}

/* The reference does not know of parts: it gets the whole, and the kernel each part. */
static void cross_entropy(struct op_run *t)
{
    const struct shape s = draw_shape(t);
    const size_t n = s.rows * s.cols, cut = op_draw(t, 0, 1) * op_draw(t, 0, s.rows), at = cut * s.cols;
    const float *x = outputs(t, s);
    const int32_t *y = labels(t, s);
    float *loss = op_output(t, s.rows), *dx = op_output(t, n), *want_loss = op_output(t, s.rows), *want = op_output(t, n);
    op_name(t, "cross_entropy rows=%zu cols=%zu cut at %zu", s.rows, s.cols, cut);
    ref_kernels_c.cross_entropy(x, y, want_loss, want, s.rows, s.cols);
    t->k.rows.cross_entropy(x, y, loss, dx, cut, s.cols, s.batch);
    t->k.rows.cross_entropy(x + at, y + cut, loss + cut, dx + at, s.rows - cut, s.cols, s.batch);
    op_same(t, "loss", want_loss, loss, s.rows);
    op_same(t, "dx", want, dx, n);
}

static void mse(struct op_run *t)
{
    const struct shape s = draw_shape(t);
    const size_t n = s.rows * s.cols, cut = op_draw(t, 0, 1) * op_draw(t, 0, s.rows), at = cut * s.cols;
    const float *x = outputs(t, s);
    const int32_t *y = labels(t, s);
    const int reduction = (int)op_draw(t, 0, 1);
    float *loss = op_output(t, s.rows), *dx = op_output(t, n), *want_loss = op_output(t, s.rows), *want = op_output(t, n);
    op_name(t, "mse rows=%zu cols=%zu cut at %zu reduction %d", s.rows, s.cols, cut, reduction);
    ref_kernels_c.mse(x, y, want_loss, want, s.rows, s.cols, reduction);
    t->k.rows.mse(x, y, loss, dx, cut, s.cols, s.batch, reduction);
    t->k.rows.mse(x + at, y + cut, loss + cut, dx + at, s.rows - cut, s.cols, s.batch, reduction);
    op_same(t, "loss", want_loss, loss, s.rows);
    op_same(t, "dx", want, dx, n);
}

static void threads(struct op_run *t)
{
    struct shape s = {.rows = op_draw(t, 1, 3000), .cols = op_draw(t, 1, 30)};
    const size_t n = s.rows * s.cols;
    const uint32_t count = (uint32_t)op_draw(t, 1, 4), reduction = (uint32_t)op_draw(t, 0, 1);
    float *x = outputs(t, s);
    int32_t *y = labels(t, s);
    float *loss = op_output(t, s.rows), *dx = op_output(t, n), *want_loss = op_output(t, s.rows), *want = op_output(t, n);
    struct lb_buf bx = {x, n * 4}, by = {y, s.rows * 4}, bloss = {loss, s.rows * 4}, bdx = {dx, n * 4};
    const struct lb_loss op = {
        .x = {&bx, 0}, .labels = {&by, 0}, .loss = {&bloss, 0}, .dx = {&bdx, 0}, .rows = s.rows, .cols = s.cols, .reduction = reduction};
    struct lb_dev *d = op_device(t, count);
    op_name(t, "losses rows=%zu cols=%zu reduction %u, %u threads", s.rows, s.cols, reduction, count);
    ref_kernels_c.cross_entropy(x, y, want_loss, want, s.rows, s.cols);
    op_assert(t, d->ops->cross_entropy(d->dev, &op) == 0, "cross_entropy: %s", d->log);
    op_same(t, "loss", want_loss, loss, s.rows);
    op_same(t, "dx", want, dx, n);
    ref_kernels_c.mse(x, y, want_loss, want, s.rows, s.cols, (int)reduction);
    op_assert(t, d->ops->mse(d->dev, &op) == 0, "mse: %s", d->log);
    op_same(t, "loss", want_loss, loss, s.rows);
    op_same(t, "dx", want, dx, n);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_loss, cross_entropy_c)
{
    op_cases("op_loss/cross_entropy_c", "c", 300, cross_entropy);
}
Test(op_loss, cross_entropy_avx2)
{
    op_cases("op_loss/cross_entropy_avx2", "avx2", 300, cross_entropy);
}
Test(op_loss, cross_entropy_avx512)
{
    op_cases("op_loss/cross_entropy_avx512", "avx512", 300, cross_entropy);
}
Test(op_loss, mse_c)
{
    op_cases("op_loss/mse_c", "c", 300, mse);
}
Test(op_loss, mse_avx2)
{
    op_cases("op_loss/mse_avx2", "avx2", 300, mse);
}
Test(op_loss, mse_avx512)
{
    op_cases("op_loss/mse_avx512", "avx512", 300, mse);
}
Test(op_loss, threads_avx2)
{
    op_cases("op_loss/threads_avx2", "avx2", 20, threads);
}
Test(op_loss, threads_avx512)
{
    op_cases("op_loss/threads_avx512", "avx512", 20, threads);
}
