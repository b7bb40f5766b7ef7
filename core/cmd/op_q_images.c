/* SPDX-License-Identifier: MIT */
/* op_q_images.c - ops that move codes or look at windows of images: copies, pools, columns. */
#include "core/base/mem.h"
#include "core/cmd/op_q.h"
#include "core/format/floats.h"

#include <string.h>

enum { MOST = 1 << 20 };

/* ---- q_copy ----------------------------------------------------------------------------------------------------------------------- */

/* How x becomes y: dimension d of y is dimension order[d] of x, every step-th of it. y_shape has x's number of dimensions. */
static int plan_copy(const struct lb_op_call *c, struct lb_q_copy *o, size_t *y_shape, struct lb_err *err)
{
    const struct lb_tensor *x = lb_op_tensor(c, "x");
    size_t order[4], step[4], stride[4], seen = 0;
    const size_t n = x->ndim, first = 4 - n;
    for (size_t d = n; d-- > 0;)
        stride[d] = d + 1 < n ? stride[d + 1] * x->shape[d + 1] : 1;
    for (size_t d = 0; d < n; d++)
        order[d] = d;
    if ((*lb_op_text(c, "order") && lb_op_q_sizes(c, "order", n, 0, n - 1, order, err)) ||
        lb_op_q_sizes(c, "step", n, 1, SIZE_MAX / 2, step, err))
        return -1;
    for (size_t d = 0; d < n; d++) {
        const size_t from = order[d], size = x->shape[from];
        seen |= (size_t)1 << from;
        y_shape[d] = size ? (size - 1) / step[from] + 1 : 0;
        o->size[first + d] = y_shape[d];
        o->x_stride[first + d] = y_shape[d] > 1 ? stride[from] * step[from] : 0;
    }
    for (size_t d = 0; d < first; d++)
        o->size[d] = 1;
    for (size_t d = 4, last = 1; d-- > 0; last *= o->size[d])
        o->y_stride[d] = last;
    return seen == ((size_t)1 << n) - 1 ? 0 : lb_fail(err, "order: expected each dimension once, found \"%s\"", lb_op_text(c, "order"));
}

int lb_op_q_copy(struct lb_op_call *c, struct lb_err *err)
{
    const struct lb_tensor *x = lb_op_tensor(c, "x");
    struct lb_buffers b = {.d = c->dev};
    struct lb_q_copy o = {.x_at = 0};
    uint32_t type;
    size_t shape[4];
    void *y = NULL;
    if (lb_op_q_type(c, "x", 0, &type, err))
        return -1;
    if (!x->ndim || x->ndim > 4)
        return lb_fail(err, "tensor x: %u dimensions, wanted 1 to 4", x->ndim);
    int r = plan_copy(c, &o, shape, err) || lb_op_q_put_input(c, &b, LB_OP_Q_X, "x", err) ||
                    !(y = lb_op_q_output(c, &b, "y", type, x->ndim, shape, err))
                ? -1
                : 0;
    o.x = lb_buffers_at(&b, LB_OP_Q_X);
    o.y = lb_buffers_at(&b, LB_OP_Q_Y);
    if (!r && x->elems)
        r = LB_RUN(c->dev, q_copy, &o, err) || lb_op_q_get(&b, LB_OP_Q_Y, y, c->out.items[0].t.bytes, err) ? -1 : 0;
    lb_buffers_finish(&b);
    return r;
}

/* ---- Windows ---------------------------------------------------------------------------------------------------------------------- */

static int places(size_t side, size_t reach, const struct lb_q_conv *s, const char *name, size_t *out, struct lb_err *err)
{
    if (!side || side > SIZE_MAX / 4 || reach > side + 2 * s->pad)
        return lb_fail(err, "kernel: a %s of %zu, with dilation, does not fit %zu with pad %zu", name, reach, side, s->pad);
    *out = (side + 2 * s->pad - reach) / s->stride + 1;
    return 0;
}

/* Windows on images (n, c, h, w). */
static int find_windows(const struct lb_op_call *c, const size_t *image, int dilated, struct lb_q_conv *s, struct lb_err *err)
{
    int64_t stride, pad, dilation = 1;
    size_t kernel[2];
    if (lb_op_q_sizes(c, "kernel", 2, 1, MOST, kernel, err) || lb_op_whole(c, "stride", 1, MOST, &stride, err) ||
        lb_op_whole(c, "pad", 0, MOST, &pad, err) || (dilated && lb_op_whole(c, "dilation", 1, MOST, &dilation, err)))
        return -1;
    *s = (struct lb_q_conv){.n = image[0],
                            .c = image[1],
                            .h = image[2],
                            .w = image[3],
                            .o = image[1],
                            .kh = kernel[0],
                            .kw = kernel[1],
                            .stride = (size_t)stride,
                            .pad = (size_t)pad,
                            .dilation = (size_t)dilation,
                            .groups = 1};
    if (!s->c)
        return lb_fail(err, "tensor x: no channels");
    return places(s->h, s->dilation * (s->kh - 1) + 1, s, "height", &s->oh, err) ||
                   places(s->w, s->dilation * (s->kw - 1) + 1, s, "width", &s->ow, err)
               ? -1
               : 0;
}

/* The rows and columns of im2col. */
static int column_shape(const struct lb_q_conv *s, size_t shape[2], struct lb_err *err)
{
    if (!lb_mul(s->n, s->oh, &shape[0]) && !lb_mul(shape[0], s->ow, &shape[0]) && !lb_mul(s->kh * s->kw, s->c, &shape[1]))
        return 0;
    return lb_fail(err, "kernel: more columns than this machine can address");
}

/* ---- q_pool ----------------------------------------------------------------------------------------------------------------------- */

/* Averages: for 1 to kh kw taps inside, what a sum is multiplied by. */
static int put_averages(struct lb_buffers *b, const struct lb_op_q *x, const struct lb_op_q *y, size_t taps, struct lb_err *err)
{
    int32_t *scales = lb_alloc(taps, 2 * sizeof *scales, err);
    int r = scales ? 0 : -1;
    for (size_t t = 1; !r && t <= taps; t++)
        r = lb_op_q_multipliers(x, NULL, 1 / (double)t, y, 1, scales + 2 * (t - 1), err);
    r = r ? -1 : lb_op_q_put(b, LB_OP_Q_ROWS, scales, 2 * taps * sizeof *scales, err);
    lb_free(scales);
    return r;
}

static int open_pool(const struct lb_op_call *c, struct lb_q_pool *o, struct lb_op_q *x, struct lb_op_q *y, struct lb_err *err)
{
    const char *kind = lb_op_text(c, "kind");
    uint32_t type;
    o->kind = !strcmp(kind, "max") ? LB_Q_MAX : LB_Q_AVERAGE;
    if (o->kind == LB_Q_AVERAGE && strcmp(kind, "average") != 0)
        return lb_fail(err, "kind: expected max or average, found \"%s\"", kind);
    if (lb_op_q_type(c, "x", 0, &o->x_type, err) || lb_op_dims(c, "x", 4, "(n, c, h, w)", err) ||
        find_windows(c, lb_op_tensor(c, "x")->shape, 0, &o->s, err))
        return -1;
    if (o->s.pad >= o->s.kh || o->s.pad >= o->s.kw)
        return lb_fail(err, "pad: %zu, wanted less than the kernel's %zu, %zu: a window may not lie outside", o->s.pad, o->s.kh, o->s.kw);
    for (size_t i = 0; o->kind == LB_Q_MAX && i < c->in.n; i++)
        if (strcmp(c->in.items[i].name, "x") != 0)
            return lb_fail(err, "tensor %s: of no use where kind is max", c->in.items[i].name);
    if (o->kind == LB_Q_MAX)
        return 0;
    if (o->s.kh * o->s.kw > INT32_MAX / 255)
        return lb_fail(err, "kernel: %zu taps; sums of more than %d may not fit 32 bits", o->s.kh * o->s.kw, INT32_MAX / 255);
    return lb_op_q_open(c, "x", o->x_type, 1, x, err) || lb_op_q_need_scale(x, err) || lb_op_q_output_type(c, "y", &type, err) ||
                   lb_op_q_open(c, "y", type, 1, y, err) || lb_op_q_need_scale(y, err)
               ? -1
               : 0;
}

int lb_op_q_pool(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    struct lb_q_pool o = {.x_zero = 0};
    struct lb_op_q x = {.n = 0}, y = {.n = 0};
    void *out = NULL;
    int r = open_pool(c, &o, &x, &y, err);
    const int average = o.kind == LB_Q_AVERAGE;
    const struct lb_q_conv *s = &o.s;
    if (!r && average) {
        o.x_zero = x.zero[0];
        o.out = lb_op_q_out(&y, 0);
    } else
        o.out.type = o.x_type;
    r = r || (average && put_averages(&b, &x, &y, s->kh * s->kw, err)) || lb_op_q_put_images(c, &b, LB_OP_Q_X, "x", err) ||
                !(out = lb_op_q_output(c, &b, "y", o.out.type, 4, (const size_t[]){s->n, s->c, s->oh, s->ow}, err))
            ? -1
            : 0;
    o.x = lb_buffers_at(&b, LB_OP_Q_X);
    o.y = lb_buffers_at(&b, LB_OP_Q_Y);
    o.scales = lb_buffers_at(&b, LB_OP_Q_ROWS);
    if (!r && s->n)
        r = LB_RUN(c->dev, q_pool, &o, err) || lb_op_q_get_images(&b, s->n, s->c, s->oh * s->ow, 1, out, err) ? -1 : 0;
    lb_op_q_finish(&x);
    lb_op_q_finish(&y);
    lb_buffers_finish(&b);
    return r;
}

/* ---- q_im2col, q_col2im ------------------------------------------------------------------------------------------------------------ */

int lb_op_q_im2col(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    struct lb_q_columns o = {.zero = 0};
    struct lb_op_q x = {.n = 0};
    uint32_t type;
    size_t shape[2];
    void *y = NULL;
    int r = lb_op_q_type(c, "x", 0, &type, err) || lb_op_dims(c, "x", 4, "(n, c, h, w)", err) ||
                    find_windows(c, lb_op_tensor(c, "x")->shape, 1, &o.s, err) || column_shape(&o.s, shape, err) ||
                    lb_op_q_open(c, "x", type, 1, &x, err) || lb_op_q_put_images(c, &b, LB_OP_Q_X, "x", err) ||
                    !(y = lb_op_q_output(c, &b, "y", type, 2, shape, err))
                ? -1
                : 0;
    o.x = lb_buffers_at(&b, LB_OP_Q_X);
    o.y = lb_buffers_at(&b, LB_OP_Q_Y);
    if (!r && o.s.n) {
        o.zero = x.zero[0];
        r = LB_RUN(c->dev, q_im2col, &o, err) || lb_op_q_get(&b, LB_OP_Q_Y, y, c->out.items[0].t.bytes, err) ? -1 : 0;
    }
    lb_op_q_finish(&x);
    lb_buffers_finish(&b);
    return r;
}

/* What sums become: codes of y where there are scales. */
static int open_col2im(const struct lb_op_call *c, struct lb_q_col2im *o, struct lb_err *err)
{
    struct lb_op_q x = {.n = 0}, y = {.n = 0};
    uint32_t type;
    int32_t factor[2] = {0};
    int r = lb_op_q_type(c, "x", 0, &o->x_type, err) || lb_op_q_open(c, "x", o->x_type, 1, &x, err) ||
                    lb_op_q_output_type(c, "y", &type, err) || lb_op_q_open(c, "y", type, 1, &y, err)
                ? -1
                : 0;
    if (!r && y.scale)
        r = lb_op_q_need_scale(&x, err) || lb_op_q_multipliers(&x, NULL, 1, &y, 1, factor, err) ? -1 : 0;
    else if (!r && (x.scale || lb_op_tensor(c, "y_zero_point")))
        r = lb_fail(err, "tensor %s: of no use without y_scale, without which sums are the result", x.scale ? "x_scale" : "y_zero_point");
    if (!r) {
        o->x_zero = x.zero[0];
        o->multiplier = factor[0];
        o->shift = factor[1];
        o->out = y.scale ? lb_op_q_out(&y, 0) : (struct lb_q_out){.type = LB_Q_S32};
    }
    lb_op_q_finish(&x);
    lb_op_q_finish(&y);
    return r;
}

int lb_op_q_col2im(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    struct lb_q_col2im o = {.x_zero = 0};
    size_t image[4], shape[2];
    void *y = NULL;
    if (open_col2im(c, &o, err) || lb_op_dims(c, "x", 2, "(n oh ow, kh kw c)", err) || lb_op_q_sizes(c, "shape", 4, 1, MOST, image, err) ||
        find_windows(c, image, 1, &o.s, err) || column_shape(&o.s, shape, err) ||
        lb_tensor_expect(lb_op_tensor(c, "x"), "x", 2, shape, "(n oh ow, kh kw c)", err))
        return -1;
    if (o.s.kh * o.s.kw > INT32_MAX / 255)
        return lb_fail(err, "kernel: %zu taps; sums of more than %d may not fit 32 bits", o.s.kh * o.s.kw, INT32_MAX / 255);
    int r = lb_op_q_put_input(c, &b, LB_OP_Q_X, "x", err) || !(y = lb_op_q_output(c, &b, "y", o.out.type, 4, image, err)) ? -1 : 0;
    o.x = lb_buffers_at(&b, LB_OP_Q_X);
    o.y = lb_buffers_at(&b, LB_OP_Q_Y);
    r = r || LB_RUN(c->dev, q_col2im, &o, err) ||
                lb_op_q_get_images(&b, o.s.n, o.s.c, o.s.h * o.s.w, o.out.type == LB_Q_S32 ? 4 : 1, y, err)
            ? -1
            : 0;
    lb_buffers_finish(&b);
    return r;
}
