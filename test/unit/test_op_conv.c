/* SPDX-License-Identifier: MIT */
/* The convolutions of the backend `cpu`: random shapes, each instruction set, one to four threads, against the reference. */
#include "op_util.h"

enum { MULTIPLY_ADDS = 1500000 /* of a case */ };

static size_t one_of(struct op_run *t, const size_t *from, size_t n)
{
    return from[op_draw(t, 0, n - 1)];
}

/* Mostly small and odd; now and then what the planner treats apart: one or many channels, filters that fill vectors, wide kernels, long
 * sums. */
static struct lb_conv shape(struct op_run *t)
{
    static const size_t filters[] = {1, 2, 7, 8, 15, 16, 17, 24, 32, 33}, channels[] = {1, 2, 3, 8, 16, 20, 29, 40},
                        samples[] = {1, 1, 2, 3, 5, 64};
    struct lb_conv s;
    const int wide = op_draw(t, 0, 9) == 0;
    do {
        s = (struct lb_conv){.n = one_of(t, samples, 6), .h = op_draw(t, 1, 30), .w = op_draw(t, 1, 40), .pad = op_draw(t, 0, 3)};
        s.c = op_draw(t, 0, 1) ? op_draw(t, 1, 6) : one_of(t, channels, 8);
        s.o = op_draw(t, 0, 1) ? op_draw(t, 1, 40) : one_of(t, filters, 10);
        s.kh = op_draw(t, 1, wide ? 9 : 5);
        s.kw = op_draw(t, 0, 2) ? s.kh : op_draw(t, 1, wide ? 19 : 5);
        s.stride = op_draw(t, 1, 3);
        s.oh = s.h + 2 * s.pad < s.kh ? 0 : (s.h + 2 * s.pad - s.kh) / s.stride + 1;
        s.ow = s.w + 2 * s.pad < s.kw ? 0 : (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    } while (!s.oh || !s.ow || s.n * s.o * s.oh * s.ow * s.c * s.kh * s.kw > MULTIPLY_ADDS);
    return s;
}

/* Values whose products vanish: then only the signs of zeros are left to be wrong. */
static void shrink(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= 1e-30f;
}

struct arrays {
    size_t nx, nw, ny;
    float *x, *w, *bias, *dy;
};

static struct arrays inputs(struct op_run *t, const struct lb_conv *s)
{
    static const size_t rarity[] = {0, 0, 30, 300, 3000};
    struct arrays a = {.nx = s->n * s->c * s->h * s->w, .nw = s->o * s->c * s->kh * s->kw, .ny = s->n * s->o * s->oh * s->ow};
    a.x = op_input(t, a.nx, (unsigned)one_of(t, rarity, 5));
    a.w = op_input(t, a.nw, (unsigned)one_of(t, rarity, 5));
    a.dy = op_input(t, a.ny, (unsigned)one_of(t, rarity, 5));
    a.bias = op_input(t, s->o, (unsigned)one_of(t, rarity, 5));
    if (op_draw(t, 0, 5) == 0) {
        shrink(a.x, a.nx);
        shrink(a.w, a.nw);
        shrink(a.dy, a.ny);
        for (size_t i = 0; i < s->o; i += 2)
            a.bias[i] = -0.0f;
    }
    return a;
}

static void one_case(struct op_run *t)
{
    const struct lb_conv s = shape(t);
    const struct ref_conv r = {s.n, s.c, s.h, s.w, s.o, s.kh, s.kw, s.stride, s.pad, s.oh, s.ow};
    const struct arrays a = inputs(t, &s);
    const uint32_t act = (uint32_t)op_draw(t, 0, 4), threads = (uint32_t)op_draw(t, 1, 4);
    const int biased = op_draw(t, 0, 3) > 0;
    float *want_y = op_output(t, a.ny), *y = op_output(t, a.ny), *want_x = op_output(t, a.nx), *dx = op_output(t, a.nx);
    float *want_w = op_output(t, a.nw), *dw = op_output(t, a.nw);
    struct lb_buf bx = {a.x, a.nx * 4}, bw = {a.w, a.nw * 4}, bb = {a.bias, s.o * 4}, bdy = {a.dy, a.ny * 4}, by = {y, a.ny * 4};
    struct lb_buf bdx = {dx, a.nx * 4}, bdw = {dw, a.nw * 4};
    op_name(t, "n=%zu c=%zu h=%zu w=%zu o=%zu kh=%zu kw=%zu stride=%zu pad=%zu act=%u bias=%d, %u threads", s.n, s.c, s.h, s.w, s.o, s.kh,
            s.kw, s.stride, s.pad, act, biased, threads);
    ref_kernels_c.conv2d(&r, a.x, a.w, biased ? a.bias : NULL, want_y, (int)act, 1.1f);
    ref_kernels_c.conv2d_dx(&r, a.dy, a.w, want_x);
    ref_kernels_c.conv2d_dw(&r, a.dy, a.x, want_w);
    const struct lb_conv2d forward = {
        .x = {&bx, 0}, .w = {&bw, 0}, .bias = {biased ? &bb : NULL, 0}, .y = {&by, 0}, .s = s, .act = act, .alpha = 1.1f};
    struct lb_conv2d_grad grad = {.x = {&bx, 0}, .w = {&bw, 0}, .dy = {&bdy, 0}, .out = {&bdx, 0}, .s = s};
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->conv2d(d->dev, &forward) == 0, "conv2d: %s", d->log);
    op_same(t, "y", want_y, y, a.ny);
    op_assert(t, d->ops->conv2d_dx(d->dev, &grad) == 0, "conv2d_dx: %s", d->log);
    op_same(t, "dx", want_x, dx, a.nx);
    grad.out.buf = &bdw;
    op_assert(t, d->ops->conv2d_dw(d->dev, &grad) == 0, "conv2d_dw: %s", d->log);
    op_same(t, "dw", want_w, dw, a.nw);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_conv, c)
{
    op_cases("op_conv/c", "c", 75, one_case);
}
Test(op_conv, avx2)
{
    op_cases("op_conv/avx2", "avx2", 150, one_case);
}
Test(op_conv, avx512)
{
    op_cases("op_conv/avx512", "avx512", 150, one_case);
}
