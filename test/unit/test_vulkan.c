/* SPDX-License-Identifier: MIT */
/* The backend vulkan beside its ops: memory, the order of what is recorded, lists. `lowbit verify` and test/unit/test_op_*.c compare the ops. */
#include "kernels/canon.h"
#include "nn_util.h"

static struct lb_err err;

static struct lb_dev *open_vulkan(void)
{
    load_plugins();
    return open_device("vulkan", ~0u);
}

static float *numbers(size_t n, uint32_t stream)
{
    float *x = keep(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = canon_unit(canon_random64(7, stream, i).w[0]) - 0.5f;
    return x;
}

#define run_op(d, op, args) cr_assert_eq(LB_RUN(d, op, args, &err), 0, "%s", err.text)

/* ---- Memory ---- */

Test(vulkan, buffers_are_zero_and_keep_what_is_written)
{
    enum { N = 9000001 }; /* more than the ring and the buffer of reads hold */
    struct lb_dev *d = open_vulkan();
    const struct lb_ref r = on_device(d, NULL, N);
    const float *x = numbers(N, 1), *zero = from_device(d, r, N);
    for (size_t i = 0; i < N; i++)
        cr_assert(canon_bits(zero[i]) == 0, "element %zu is not +0 at first", i);
    cr_assert_eq(lb_buf_write(d, r.buf, 0, x, N, &err), 0, "%s", err.text);
    cr_assert_eq(lb_buf_write(d, r.buf, 5, x + 100, 3, &err), 0, "%s", err.text);
    const float *y = from_device(d, r, N);
    cr_assert_eq(memcmp(y, x, 5 * sizeof *x), 0);
    cr_assert_eq(memcmp(y + 5, x + 100, 3 * sizeof *x), 0);
    cr_assert_eq(memcmp(y + 8, x + 8, (N - 8) * sizeof *x), 0);
    const struct lb_ref tail = {r.buf, N - 3};
    cr_assert_eq(memcmp(from_device(d, tail, 3), x + N - 3, 3 * sizeof *x), 0);
    drop_all();
}

Test(vulkan, no_memory_is_an_error_and_the_device_goes_on)
{
    struct lb_dev *d = open_vulkan();
    struct lb_buf huge;
    cr_assert_eq(lb_buf_create(d, (size_t)1 << 42, &huge, &err), -1);
    cr_assert(strstr(err.text, "memory"), "%s", err.text);
    cr_assert_null(huge.ptr);
    const float one = 1;
    cr_assert_eq(*from_device(d, on_device(d, &one, 1), 1), 1.0f);
    drop_all();
}

/* w = w - g, where w and g change hands: each op and each write must see the one before. */
Test(vulkan, writes_and_ops_keep_their_order)
{
    enum { N = 1000, TURNS = 200 };
    struct lb_dev *d = open_vulkan();
    const struct lb_ref a = on_device(d, NULL, N), b = on_device(d, NULL, N);
    float *g = keep(N, sizeof *g), want_a = 0, want_b = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        for (size_t i = 0; i < N; i++)
            g[i] = (float)turn;
        cr_assert_eq(lb_buf_write(d, b.buf, 0, g, N, &err), 0, "%s", err.text);
        memset(g, 0xff, N * sizeof *g); /* the caller's array is free again */
        const struct lb_sgd down = {.w = a, .g = b, .n = N, .lr = 1}, up = {.w = b, .g = a, .n = N, .lr = 0.5f};
        run_op(d, sgd, &down);
        run_op(d, sgd, &up);
        want_b = (float)turn;
        want_a -= want_b;
        want_b -= 0.5f * want_a;
    }
    const float *got_a = from_device(d, a, N), *got_b = from_device(d, b, N);
    for (size_t i = 0; i < N; i++)
        cr_assert(got_a[i] == want_a && got_b[i] == want_b, "element %zu: %g, %g; expected %g, %g", i, (double)got_a[i], (double)got_b[i],
                  (double)want_a, (double)want_b);
    drop_all();
}

/* ---- Lists ---- */

/* A convolution's forward pass, its weight gradient and an update. */
struct step {
    struct lb_conv2d forward;
    struct lb_conv2d_grad dw;
    struct lb_sgd update;
};

static struct step make_step(struct lb_dev *d, size_t samples)
{
    const struct lb_conv s = {.n = samples, .c = 2, .h = 9, .w = 9, .o = 3, .kh = 3, .kw = 3, .stride = 1, .pad = 1, .oh = 9, .ow = 9};
    const size_t x = samples * 2 * 81, y = samples * 3 * 81, w = 3 * 2 * 9;
    const struct lb_ref rx = on_device(d, numbers(x, 1), x), rw = on_device(d, numbers(w, 2), w), ry = on_device(d, NULL, y),
                        rg = on_device(d, NULL, w);
    return (struct step){{.x = rx, .w = rw, .y = ry, .s = s, .act = LB_TANH},
                         {.x = rx, .dy = ry, .w = rw, .out = rg, .s = s},
                         {.w = rw, .g = rg, .n = w, .lr = 0.001f}};
}

static void run_step(struct lb_dev *d, const struct step *s)
{
    run_op(d, conv2d, &s->forward);
    run_op(d, conv2d_dw, &s->dw);
    run_op(d, sgd, &s->update);
}

static void *record_step(struct lb_dev *d, const struct step *s)
{
    void *list = d->ops->record(d->dev);
    cr_assert(list);
    run_step(d, s);
    cr_assert_eq(d->ops->record_end(d->dev, list), 0);
    return list;
}

/* Direct, by a list, and by lists of two sizes in turn with an op between (the larger one is recorded later: its scratch memory is another). */
Test(vulkan, lists_do_what_the_ops_do)
{
    enum { TURNS = 5, WEIGHTS = 54 };
    struct lb_dev *d = open_vulkan();
    const struct step direct = make_step(d, 4), listed = make_step(d, 4), large = make_step(d, 2000), large_direct = make_step(d, 2000);
    void *list = record_step(d, &listed), *large_list = record_step(d, &large);
    cr_assert_eq(memcmp(from_device(d, listed.forward.w, WEIGHTS), from_device(d, direct.forward.w, WEIGHTS), WEIGHTS * 4), 0,
                 "recording ran the ops");
    for (int turn = 0; turn < TURNS; turn++) {
        run_step(d, &direct);
        run_step(d, &large_direct);
        cr_assert_eq(d->ops->replay(d->dev, list), 0);
        cr_assert_eq(d->ops->replay(d->dev, large_list), 0);
        run_op(d, sgd, &direct.update); /* between lists, and on another's buffer */
        run_op(d, sgd, &listed.update);
    }
    const float *want = from_device(d, direct.forward.w, WEIGHTS), *before = numbers(WEIGHTS, 2);
    cr_assert_eq(memcmp(from_device(d, listed.forward.w, WEIGHTS), want, WEIGHTS * 4), 0);
    cr_assert_neq(memcmp(before, want, WEIGHTS * 4), 0, "nothing was learned");
    const float *want_large = from_device(d, large_direct.forward.w, WEIGHTS);
    cr_assert_eq(memcmp(from_device(d, large.forward.w, WEIGHTS), want_large, WEIGHTS * 4), 0);
    d->ops->record_free(d->dev, list);
    cr_assert_eq(d->ops->replay(d->dev, large_list), 0);
    d->ops->record_free(d->dev, large_list);
    drop_all();
}

Test(vulkan, a_list_with_a_bad_op_is_not_run)
{
    struct lb_dev *d = open_vulkan();
    const struct lb_ref x = on_device(d, NULL, 8), y = on_device(d, NULL, 8);
    const struct lb_act_op beyond = {.x = x, .y = y, .n = 1000};
    void *list = d->ops->record(d->dev);
    cr_assert(list);
    cr_assert_neq(LB_RUN(d, act, &beyond, &err), 0);
    cr_assert(strstr(err.text, "of a buffer of 8"), "%s", err.text);
    cr_assert_neq(d->ops->record_end(d->dev, list), 0);
    cr_assert_neq(d->ops->replay(d->dev, list), 0);
    d->ops->record_free(d->dev, list);
    const struct lb_act_op good = {.x = x, .y = y, .n = 8, .act = LB_SIGMOID};
    run_op(d, act, &good);
    cr_assert_eq(*from_device(d, y, 8), 0.5f);
    drop_all();
}
