/* SPDX-License-Identifier: MIT */
/* Activations and their gradients, apart and in place. */
#include "op_util.h"

static const char *const act_name[] = {"linear", "relu", "scaled_relu", "sigmoid", "tanh"};
static const float alphas[] = {1.1f, -0.5f, 0.0f, 1e-40f, INFINITY, NAN};

/* A few sizes around each vector, and some of several. */
static size_t draw_size(struct op_run *t)
{
    return op_draw(t, 0, 2) ? op_draw(t, 1, 70) : op_draw(t, 71, 1500);
}

/* Numbers where the functions have their curves and their ends. */
static float *spread(struct op_run *t, size_t n)
{
    float *x = op_input(t, n, (unsigned)op_draw(t, 0, 2) * 5);
    const float scale = canon_float((uint32_t)op_draw(t, 0x3f000000, 0x43000000));
    for (size_t i = 0; i < n; i++)
        x[i] = canon_bits(x[i]) % 3 ? x[i] * scale : x[i];
    return x;
}

static void forward(struct op_run *t)
{
    const size_t n = draw_size(t);
    const int act = (int)op_draw(t, 0, 4), in_place = (int)op_draw(t, 0, 1);
    const float alpha = alphas[op_draw(t, 0, 5)];
    float *x = spread(t, n), *want = op_output(t, n), *got = in_place ? x : op_output(t, n);
    op_name(t, "act %s n=%zu alpha=%g%s", act_name[act], n, (double)alpha, in_place ? " in place" : "");
    ref_kernels_c.act(x, want, n, act, alpha);
    t->k.rows.act(x, got, n, act, alpha);
    op_same(t, "y", want, got, n);
}

static void backward(struct op_run *t)
{
    const size_t n = draw_size(t);
    const int act = (int)op_draw(t, 0, 4), in_place = (int)op_draw(t, 0, 1);
    const float alpha = alphas[op_draw(t, 0, 5)], *y = op_input(t, n, (unsigned)op_draw(t, 0, 2) * 5);
    float *dy = op_input(t, n, (unsigned)op_draw(t, 0, 2) * 5), *want = op_output(t, n), *got = in_place ? dy : op_output(t, n);
    op_name(t, "act_grad %s n=%zu alpha=%g%s", act_name[act], n, (double)alpha, in_place ? " in place" : "");
    ref_kernels_c.act_grad(y, dy, want, n, act, alpha);
    t->k.rows.act_grad(y, dy, got, n, act, alpha);
    op_same(t, "dx", want, got, n);
}

/* Through the backend, on several threads. */
static void threads(struct op_run *t)
{
    const size_t n = op_draw(t, 1, 120000);
    const uint32_t act = (uint32_t)op_draw(t, 0, 4), count = (uint32_t)op_draw(t, 1, 4);
    float *x = spread(t, n), *dy = op_input(t, n, 20), *want = op_output(t, n), *got = op_output(t, n);
    struct lb_buf bx = {x, n * 4}, bdy = {dy, n * 4}, bgot = {got, n * 4};
    struct lb_act_op op = {.x = {&bx, 0}, .y = {&bgot, 0}, .n = n, .act = act, .alpha = 1.1f};
    struct lb_dev *d = op_device(t, count);
    op_name(t, "act %s n=%zu, %u threads", act_name[act], n, count);
    ref_kernels_c.act(x, want, n, (int)act, 1.1f);
    op_assert(t, d->ops->act(d->dev, &op) == 0, "act: %s", d->log);
    op_same(t, "y", want, got, n);
    op = (struct lb_act_op){.y = {&bx, 0}, .dy = {&bdy, 0}, .dx = {&bdy, 0}, .n = n, .act = act, .alpha = 1.1f};
    ref_kernels_c.act_grad(x, dy, want, n, (int)act, 1.1f);
    op_assert(t, d->ops->act_grad(d->dev, &op) == 0, "act_grad: %s", d->log);
    op_same(t, "dx", want, dy, n);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_act, c)
{
    op_cases("op_act/c", "c", 400, forward);
}
Test(op_act, avx2)
{
    op_cases("op_act/avx2", "avx2", 400, forward);
}
Test(op_act, avx512)
{
    op_cases("op_act/avx512", "avx512", 400, forward);
}
Test(op_act, grad_c)
{
    op_cases("op_act/grad_c", "c", 400, backward);
}
Test(op_act, grad_avx2)
{
    op_cases("op_act/grad_avx2", "avx2", 400, backward);
}
Test(op_act, grad_avx512)
{
    op_cases("op_act/grad_avx512", "avx512", 400, backward);
}
Test(op_act, threads_avx2)
{
    op_cases("op_act/threads_avx2", "avx2", 20, threads);
}
Test(op_act, threads_avx512)
{
    op_cases("op_act/threads_avx512", "avx512", 20, threads);
}
