/* SPDX-License-Identifier: MIT */
/* Bias gradients: of dense layers (columns) and of convolutions (segments of a channel's samples and positions). */
#include "op_util.h"

static void dense(struct op_run *t)
{
    static const size_t depths[] = {1, 7, 64, 255, 256, 257, 513};
    const size_t n = depths[op_draw(t, 0, 6)], c = op_draw(t, 1, op_draw(t, 0, 1) ? 40 : 300), cut = op_draw(t, 0, 1) * op_draw(t, 0, c);
    const float *dy = op_input(t, n * c, (unsigned)op_draw(t, 0, 2) * 200);
    float *want = op_output(t, c), *got = op_output(t, c);
    op_name(t, "bias_grad n=%zu c=%zu cut at %zu", n, c, cut);
    ref_kernels_c.bias_grad(dy, want, n, c, 1);
    t->k.rows.bias_grad(dy, got, n, cut, c);
    t->k.rows.bias_grad(dy + cut, got + cut, n, c - cut, c);
    op_same(t, "db", want, got, c);
}

/* Any p, multiples of 4 and of 256 among them; the segments in two parts. */
static void conv(struct op_run *t)
{
    static const size_t positions[] = {1, 2, 3, 4, 144, 256, 255, 512, 676, 1024};
    const size_t p = op_draw(t, 0, 1) ? positions[op_draw(t, 0, 9)] : op_draw(t, 1, 900);
    const size_t n = op_draw(t, 1, p > 100 ? 7 : 70), c = op_draw(t, 1, 20), segments = (n * p + 255) / 256;
    const size_t cut = op_draw(t, 0, 1) * op_draw(t, 0, segments * c);
    const float *dy = op_input(t, n * c * p, (unsigned)op_draw(t, 0, 2) * 500);
    float *sums = op_output(t, segments * c), *want = op_output(t, c), *got = op_output(t, c);
    op_name(t, "bias_grad n=%zu c=%zu p=%zu cut at %zu", n, c, p, cut);
    ref_kernels_c.bias_grad(dy, want, n, c, p);
    t->k.rows.segment_sums(dy, sums, n, c, p, 0, cut);
    t->k.rows.segment_sums(dy, sums, n, c, p, cut, segments * c - cut);
    t->k.rows.add_segments(sums, got, segments, c);
    op_same(t, "db", want, got, c);
}

static void threads(struct op_run *t)
{
    const size_t p = op_draw(t, 0, 1) ? 1 : op_draw(t, 1, 700), n = op_draw(t, 1, 70), c = op_draw(t, 1, p == 1 ? 2000 : 20);
    const uint32_t count = (uint32_t)op_draw(t, 1, 4);
    float *dy = op_input(t, n * c * p, 1000), *want = op_output(t, c), *got = op_output(t, c);
    struct lb_buf bdy = {dy, n * c * p * 4}, bgot = {got, c * 4};
    const struct lb_bias_grad op = {.dy = {&bdy, 0}, .db = {&bgot, 0}, .n = n, .c = c, .p = p};
    struct lb_dev *d = op_device(t, count);
    op_name(t, "bias_grad n=%zu c=%zu p=%zu, %u threads", n, c, p, count);
    ref_kernels_c.bias_grad(dy, want, n, c, p);
    op_assert(t, d->ops->bias_grad(d->dev, &op) == 0, "bias_grad: %s", d->log);
    op_same(t, "db", want, got, c);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_bias_grad, dense_c)
{
    op_cases("op_bias_grad/dense_c", "c", 150, dense);
}
Test(op_bias_grad, dense_avx2)
{
    op_cases("op_bias_grad/dense_avx2", "avx2", 150, dense);
}
Test(op_bias_grad, dense_avx512)
{
    op_cases("op_bias_grad/dense_avx512", "avx512", 150, dense);
}
Test(op_bias_grad, conv_c)
{
    op_cases("op_bias_grad/conv_c", "c", 200, conv);
}
Test(op_bias_grad, conv_avx2)
{
    op_cases("op_bias_grad/conv_avx2", "avx2", 200, conv);
}
Test(op_bias_grad, conv_avx512)
{
    op_cases("op_bias_grad/conv_avx512", "avx512", 200, conv);
}
Test(op_bias_grad, threads_avx2)
{
    op_cases("op_bias_grad/threads_avx2", "avx2", 20, threads);
}
Test(op_bias_grad, threads_avx512)
{
    op_cases("op_bias_grad/threads_avx512", "avx512", 20, threads);
}
