/* SPDX-License-Identifier: MIT */
/* op_q_conv.c - q_conv2d: ONNX's ConvInteger and QLinearConv, and transposed ones. */
#include "core/base/mem.h"
#include "core/cmd/op_q.h"
#include "core/format/floats.h"

#include <stdint.h>

enum { MOST = 1 << 20 };

/* ---- Sizes ------------------------------------------------------------------------------------------------------------------------ */

/* How many outputs a side has; reach: what the taps of an output span. */
static int places(const struct lb_q_conv *s, size_t side, size_t kernel, size_t more, const char *name, size_t *out, struct lb_err *err)
{
    const size_t most = SIZE_MAX / 4 / MOST;
    if (!side || side > most || kernel > most)
        return lb_fail(err, "tensor x: a %s of %zu and a kernel of %zu, expected 1 to %zu", name, side, kernel, most);
    const size_t reach = s->dilation * (kernel - 1) + 1, padded = s->transposed ? (side - 1) * s->stride + reach + more : side + 2 * s->pad;
    if (padded < (s->transposed ? 2 * s->pad + 1 : reach))
        return lb_fail(err,
                       s->transposed ? "tensor w: a %s of %zu, of which pad %zu leaves nothing"
                                     : "tensor w: a kernel of %s %zu does not fit with pad %zu",
                       name, s->transposed ? padded : reach, s->pad);
    *out = s->transposed ? padded - 2 * s->pad : (padded - reach) / s->stride + 1;
    return 0;
}

static int read_settings(const struct lb_op_call *c, struct lb_q_conv *s, size_t *more, int *bits, struct lb_err *err)
{
    int64_t stride, pad, dilation, groups, transposed, padding, width;
    if (lb_op_whole(c, "stride", 1, MOST, &stride, err) || lb_op_whole(c, "pad", 0, MOST, &pad, err) ||
        lb_op_whole(c, "dilation", 1, MOST, &dilation, err) || lb_op_whole(c, "groups", 1, MOST, &groups, err) ||
        lb_op_whole(c, "transposed", 0, 1, &transposed, err) ||
        lb_op_whole(c, "output_padding", 0, transposed ? stride - 1 : 0, &padding, err) || lb_op_whole(c, "bits", 4, 8, &width, err))
        return -1;
    *s = (struct lb_q_conv){.stride = (size_t)stride,
                            .pad = (size_t)pad,
                            .dilation = (size_t)dilation,
                            .groups = (size_t)groups,
                            .transposed = (int)transposed};
    *more = (size_t)padding;
    *bits = (int)width;
    return width == 4 || width == 8 ? 0 : lb_fail(err, "bits: expected 4 or 8, found %d", *bits);
}

static int find_sizes(const struct lb_op_call *c, struct lb_q_conv *s, int *bits, struct lb_err *err)
{
    size_t more;
    if (read_settings(c, s, &more, bits, err) || lb_op_dims(c, "x", 4, "(n, c, h, w)", err) ||
        lb_op_dims(c, "w", 4, s->transposed ? "(c, o / groups, kh, kw)" : "(o, c / groups, kh, kw)", err))
        return -1;
    const size_t *x = lb_op_tensor(c, "x")->shape, *w = lb_op_tensor(c, "w")->shape;
    s->n = x[0];
    s->c = x[1];
    s->h = x[2];
    s->w = x[3];
    s->kh = w[2];
    s->kw = w[3];
    if (!lb_op_tensor(c, "w")->elems || s->c % s->groups)
        return lb_fail(err, "tensor w: wanted one element at least, and groups that divide the %zu channels of x", s->c);
    const size_t wanted[] = {s->transposed ? s->c : w[0], s->transposed ? w[1] : s->c / s->groups, s->kh, s->kw};
    if (lb_tensor_expect(lb_op_tensor(c, "w"), "w", 4, wanted,
                         s->transposed ? "(c, o / groups, kh, kw), c being that of x" : "(o, c / groups, kh, kw), c being that of x", err))
        return -1;
    s->o = s->transposed ? w[1] * s->groups : w[0]; /* no larger than w */
    if (s->o % s->groups)
        return lb_fail(err, "groups: %zu, wanted one that divides the %zu outputs of w", s->groups, w[0]);
    return places(s, s->h, s->kh, more, "height", &s->oh, err) || places(s, s->w, s->kw, more, "width", &s->ow, err) ? -1 : 0;
}

/* ---- The op ----------------------------------------------------------------------------------------------------------------------- */

/* Weights of the file as (o, kh kw, c / groups). */
static void turn_weights(const struct lb_q_conv *s, const unsigned char *w, unsigned char *to)
{
    const size_t taps = s->kh * s->kw, channels = s->c / s->groups, outputs = s->o / s->groups;
    if (!s->transposed) {
        lb_op_q_turn(w, s->o, channels, taps, 1, to);
        return;
    }
    for (size_t c = 0; c < s->c; c++)
        for (size_t o = 0; o < outputs; o++)
            for (size_t t = 0; t < taps; t++)
                to[((c / channels * outputs + o) * taps + t) * channels + c % channels] = w[(c * outputs + o) * taps + t];
}

static int put_weights(const struct lb_op_call *c, const struct lb_q_conv *s, struct lb_op_q_product *p, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, "w");
    unsigned char *turned = lb_alloc(t->elems, 1, err);
    if (!turned)
        return -1;
    turn_weights(s, t->data, turned);
    const int r = lb_op_q_weights(c, p, turned, s->kh * s->kw * (s->c / s->groups), err);
    lb_free(turned);
    return r;
}

int lb_op_q_conv2d(struct lb_op_call *c, struct lb_err *err)
{
    static const char *const names[] = {"x", "w", "y"};
    struct lb_buffers b = {.d = c->dev};
    struct lb_op_q_product p = {.n = 0};
    struct lb_q_conv2d o = {.x_zero = 0};
    void *y;
    int bits;
    int r = find_sizes(c, &o.s, &bits, err) ||
                    lb_op_q_product_open(c, names, bits, o.s.o, o.s.kh * o.s.kw * (o.s.c / o.s.groups), &p, err) ||
                    lb_op_q_put_images(c, &b, LB_OP_Q_X, "x", err) || put_weights(c, &o.s, &p, err) ||
                    !(y = lb_op_q_output(c, &b, "y", p.out.type, 4, (const size_t[]){o.s.n, o.s.o, o.s.oh, o.s.ow}, err))
                ? -1
                : 0;
    if (!r && o.s.n) {
        o.x = lb_buffers_at(&b, LB_OP_Q_X);
        o.y = lb_buffers_at(&b, LB_OP_Q_Y);
        o.w = p.on_device;
        o.x_type = p.a.type;
        o.x_zero = p.a.zero[0];
        o.out = p.out;
        r = LB_RUN(c->dev, q_conv2d, &o, err) ||
                    lb_op_q_get_images(&b, o.s.n, o.s.o, o.s.oh * o.s.ow, p.out.type == LB_Q_S32 ? 4 : 1, y, err)
                ? -1
                : 0;
    }
    lb_op_q_product_finish(c, &p);
    lb_buffers_finish(&b);
    return r;
}
