/* SPDX-License-Identifier: MIT */
/* The update, with momentum and without. */
#include "op_util.h"

static const float factors[] = {0, 0.01f, 0.9f, -0.0f, 1e-42f, INFINITY};

static float *copy(struct op_run *t, const float *x, size_t n)
{
    float *to = op_output(t, n);
    memcpy(to, x, n * sizeof *x);
    return to;
}

static void update(struct op_run *t)
{
    const size_t n = op_draw(t, 0, 2) ? op_draw(t, 1, 70) : op_draw(t, 71, 1500);
    const unsigned rarity = (unsigned)op_draw(t, 0, 2) * 10;
    const float lr = factors[op_draw(t, 0, 5)], momentum = factors[op_draw(t, 0, 5)], decay = factors[op_draw(t, 0, 5)];
    const int has_v = (int)op_draw(t, 0, 1);
    float *w = op_input(t, n, rarity), *g = op_input(t, n, rarity), *v = op_input(t, n, rarity);
    float *want = copy(t, w, n), *want_v = copy(t, v, n), *want_g = copy(t, g, n);
    op_name(t, "sgd n=%zu lr=%g momentum=%g decay=%g%s", n, (double)lr, (double)momentum, (double)decay, has_v ? " v" : "");
    ref_kernels_c.sgd(want, want_g, has_v ? want_v : NULL, n, lr, momentum, decay);
    t->k.rows.sgd(w, g, has_v ? v : NULL, n, lr, momentum, decay);
    op_same(t, "w", want, w, n);
    op_same(t, "v", want_v, v, n);
    op_same(t, "g", want_g, g, n);
}

static void threads(struct op_run *t)
{
    const size_t n = op_draw(t, 1, 120000);
    const uint32_t count = (uint32_t)op_draw(t, 1, 4);
    const int has_v = (int)op_draw(t, 0, 1);
    float *w = op_input(t, n, 20), *g = op_input(t, n, 20), *v = op_input(t, n, 20), *want = copy(t, w, n), *want_v = copy(t, v, n);
    struct lb_buf bw = {w, n * 4}, bg = {g, n * 4}, bv = {v, n * 4};
    const struct lb_sgd op = {
        .w = {&bw, 0}, .g = {&bg, 0}, .v = {has_v ? &bv : NULL, 0}, .n = n, .lr = 0.1f, .momentum = has_v ? 0.9f : 0, .decay = 0.01f};
    struct lb_dev *d = op_device(t, count);
    op_name(t, "sgd n=%zu%s, %u threads", n, has_v ? " v" : "", count);
    ref_kernels_c.sgd(want, g, has_v ? want_v : NULL, n, op.lr, op.momentum, op.decay);
    op_assert(t, d->ops->sgd(d->dev, &op) == 0, "sgd: %s", d->log);
    op_same(t, "w", want, w, n);
    op_same(t, "v", want_v, v, n);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_sgd, c)
{
    op_cases("op_sgd/c", "c", 400, update);
}
Test(op_sgd, avx2)
{
    op_cases("op_sgd/avx2", "avx2", 400, update);
}
Test(op_sgd, avx512)
{
    op_cases("op_sgd/avx512", "avx512", 400, update);
}
Test(op_sgd, threads_avx2)
{
    op_cases("op_sgd/threads_avx2", "avx2", 20, threads);
}
Test(op_sgd, threads_avx512)
{
    op_cases("op_sgd/threads_avx512", "avx512", 20, threads);
}
