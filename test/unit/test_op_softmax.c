/* SPDX-License-Identifier: MIT */
/* Softmax and its gradient: rows from one column to several segments. */
#include "op_util.h"

static void draw_shape(struct op_run *t, size_t *rows, size_t *cols)
{
    static const size_t edges[] = {255, 256, 257, 511, 512, 513};
    const size_t kind = op_draw(t, 0, 4);
    *rows = op_draw(t, 1, 40);
    *cols = kind == 0 ? edges[op_draw(t, 0, 5)] : kind == 1 ? op_draw(t, 1, 700) : op_draw(t, 1, 40);
}

/* Logits: near each other, or so far apart that some exponentials are subnormal or zero; some rows equal throughout. */
static float *logits(struct op_run *t, size_t rows, size_t cols)
{
    float *x = op_input(t, rows * cols, (unsigned)op_draw(t, 0, 2) * 40);
    for (size_t r = 0; r < rows; r++) {
        static const float scales[] = {1, 10, 60, 0};
        const float scale = scales[op_words(t, 1000, r).w[0] % 4];
        for (size_t j = 0; j < cols; j++)
            x[r * cols + j] = scale == 1 ? x[r * cols + j] : scale * x[r * cols + j];
    }
    return x;
}

static void forward(struct op_run *t)
{
    size_t rows, cols;
    draw_shape(t, &rows, &cols);
    const size_t n = rows * cols;
    const float *x = logits(t, rows, cols);
    float *want = op_output(t, n), *got = op_output(t, n);
    op_name(t, "softmax rows=%zu cols=%zu", rows, cols);
    ref_kernels_c.softmax(x, want, rows, cols);
    t->k.rows.softmax(x, got, rows, cols);
    op_same(t, "y", want, got, n);
}

static void backward(struct op_run *t)
{
    size_t rows, cols;
    draw_shape(t, &rows, &cols);
    const size_t n = rows * cols;
    const float *y = op_input(t, n, (unsigned)op_draw(t, 0, 2) * 40), *dy = op_input(t, n, (unsigned)op_draw(t, 0, 2) * 40);
    float *want = op_output(t, n), *got = op_output(t, n);
    op_name(t, "softmax_grad rows=%zu cols=%zu", rows, cols);
    ref_kernels_c.softmax_grad(y, dy, want, rows, cols);
    t->k.rows.softmax_grad(y, dy, got, rows, cols);
    op_same(t, "dx", want, got, n);
}

static void threads(struct op_run *t)
{
    const size_t rows = op_draw(t, 1, 3000), cols = op_draw(t, 1, 30), n = rows * cols;
    const uint32_t count = (uint32_t)op_draw(t, 1, 4);
    float *x = logits(t, rows, cols), *dy = op_input(t, n, 40), *want = op_output(t, n), *got = op_output(t, n);
    struct lb_buf bx = {x, n * 4}, bdy = {dy, n * 4}, bgot = {got, n * 4};
    struct lb_softmax op = {.x = {&bx, 0}, .y = {&bgot, 0}, .rows = rows, .cols = cols};
    struct lb_dev *d = op_device(t, count);
    op_name(t, "softmax rows=%zu cols=%zu, %u threads", rows, cols, count);
    ref_kernels_c.softmax(x, want, rows, cols);
    op_assert(t, d->ops->softmax(d->dev, &op) == 0, "softmax: %s", d->log);
    op_same(t, "y", want, got, n);
    op = (struct lb_softmax){.y = {&bx, 0}, .dy = {&bdy, 0}, .dx = {&bgot, 0}, .rows = rows, .cols = cols};
    ref_kernels_c.softmax_grad(x, dy, want, rows, cols);
    op_assert(t, d->ops->softmax_grad(d->dev, &op) == 0, "softmax_grad: %s", d->log);
    op_same(t, "dx", want, got, n);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_softmax, c)
{
    op_cases("op_softmax/c", "c", 300, forward);
}
Test(op_softmax, avx2)
{
    op_cases("op_softmax/avx2", "avx2", 300, forward);
}
Test(op_softmax, avx512)
{
    op_cases("op_softmax/avx512", "avx512", 300, forward);
}
Test(op_softmax, grad_c)
{
    op_cases("op_softmax/grad_c", "c", 300, backward);
}
Test(op_softmax, grad_avx2)
{
    op_cases("op_softmax/grad_avx2", "avx2", 300, backward);
}
Test(op_softmax, grad_avx512)
{
    op_cases("op_softmax/grad_avx512", "avx512", 300, backward);
}
Test(op_softmax, threads_avx2)
{
    op_cases("op_softmax/threads_avx2", "avx2", 20, threads);
}
Test(op_softmax, threads_avx512)
{
    op_cases("op_softmax/threads_avx512", "avx512", 20, threads);
}
