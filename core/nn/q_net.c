/* SPDX-License-Identifier: MIT */
/* q_net.c - integer layers of a net at work: ops of the device. */
#include "core/base/mem.h"
#include "core/nn/q_net_impl.h"

int lb_q_net_is_integer(const struct lb_q_net *q, size_t layer)
{
    return q->layer[layer].integer;
}

static struct lb_ref ref(struct lb_buf *b)
{
    return (struct lb_ref){b, 0};
}

/* Images of `size` bytes an element, channels first, to channels last, or back. */
static int turn(struct lb_net *n, struct image m, size_t batch, size_t size, int back, struct lb_buf *from, struct lb_buf *to,
                struct lb_err *err)
{
    const size_t p = m.h * m.w, sample = lb_q_elems(m) * size;
    const struct lb_q_copy op = {.x = ref(from),
                                 .y = ref(to),
                                 .size = {batch, p, m.c, size},
                                 .x_stride = {sample, back ? m.c * size : size, back ? size : p * size, 1},
                                 .y_stride = {sample, back ? size : m.c * size, back ? p * size : size, 1}};
    return LB_RUN(n->d, q_copy, &op, err);
}

/* Numbers of the layer before become codes. */
static int quantize(struct lb_net *n, size_t i, size_t batch, struct q_layer *y, struct lb_err *err)
{
    struct lb_buf *to = y->turned.ptr ? &y->turned : &y->codes;
    const struct lb_q_quantize op = {.x = ref(lb_net_x(n, i)),
                                     .y = ref(to),
                                     .scale = ref(&y->in_scale),
                                     .rows = batch,
                                     .cols = n->m->layers[i].in,
                                     .out = {y->in.type, y->in.zero, y->in.low, y->in.high}};
    return LB_RUN(n->d, q_quantize, &op, err) || (y->turned.ptr && turn(n, y->image, batch, 1, 0, &y->turned, &y->codes, err)) ? -1 : 0;
}

/* Sums become numbers. */
static int dequantize(struct lb_net *n, size_t i, size_t batch, struct q_layer *y, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    const size_t outputs = l->type == LB_CONV2D ? l->conv.o : l->out;
    struct lb_buf *to = y->values.ptr ? &y->values : &n->y[i];
    const struct lb_q_dequantize op = {.x = ref(&y->sums),
                                       .y = ref(to),
                                       .scale = ref(&y->unit),
                                       .rows = batch * l->out / outputs,
                                       .cols = outputs,
                                       .per_column = 1,
                                       .x_type = LB_Q_S32};
    if (LB_RUN(n->d, q_dequantize, &op, err) || (y->values.ptr && turn(n, y->out_image, batch, 4, 1, &y->values, &n->y[i], err)))
        return -1;
    const struct lb_act_op act = {.x = ref(&n->y[i]), .y = ref(&n->y[i]), .n = batch * l->out, .act = lb_q_act(l->act), .alpha = l->alpha};
    return l->act == LB_ACT_LINEAR ? 0 : LB_RUN(n->d, act, &act, err);
}

static int multiply(struct lb_net *n, size_t i, size_t batch, struct q_layer *y, struct lb_buf *to, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    if (l->type == LB_DENSE) {
        const struct lb_q_dense op = {.a = ref(&y->codes),
                                      .c = ref(to),
                                      .w = y->w,
                                      .m = batch,
                                      .n = l->out,
                                      .k = l->in,
                                      .a_type = y->in.type,
                                      .a_zero = y->in.zero,
                                      .out = y->out};
        return LB_RUN(n->d, q_dense, &op, err);
    }
    const struct lb_conv *c = &l->conv;
    const struct lb_q_conv2d op = {.x = ref(&y->codes),
                                   .y = ref(to),
                                   .w = y->w,
                                   .s = {.n = batch,
                                         .h = c->h,
                                         .w = c->w,
                                         .c = c->c,
                                         .o = c->o,
                                         .kh = c->kh,
                                         .kw = c->kw,
                                         .stride = c->stride,
                                         .pad = c->pad,
                                         .dilation = 1,
                                         .groups = 1,
                                         .oh = c->oh,
                                         .ow = c->ow},
                                   .x_type = y->in.type,
                                   .x_zero = y->in.zero,
                                   .out = y->out};
    return LB_RUN(n->d, q_conv2d, &op, err);
}

int lb_q_net_layer(struct lb_net *n, size_t i, size_t batch, struct lb_err *err)
{
    struct lb_q_net *q = n->q;
    struct q_layer *y = &q->layer[i], *next = y->to_codes ? &q->layer[i + 1] : NULL;
    struct lb_buf *to = next ? &next->codes : &y->sums;
    const struct lb_layer *l = &n->m->layers[i];
    if (!(i && q->layer[i - 1].to_codes)) {
        if (quantize(n, i, batch, y, err))
            return -1;
    } else if (y->turned.ptr) { /* what the layer before left in `codes` lies the other way */
        const int back = lb_q_is_turned(q->layer[i - 1].out_image);
        if (turn(n, back ? q->layer[i - 1].out_image : y->image, batch, 1, back, &y->turned, &y->codes, err))
            return -1;
    }
    if (next && next->turned.ptr)
        to = &next->turned;
    if (l->weight >= 0 && multiply(n, i, batch, y, to, err))
        return -1;
    if (!next)
        return dequantize(n, i, batch, y, err);
    if (!y->table.ptr)
        return 0;
    const struct lb_q_table op = {.x = ref(l->weight >= 0 ? to : &y->codes), .y = ref(to), .table = ref(&y->table), .n = batch * l->out};
    return LB_RUN(n->d, q_table, &op, err);
}

/* ---- Looking at it ---- */

int lb_q_net_gives_codes(const struct lb_q_net *q, size_t layer)
{
    return q->layer[layer].to_codes;
}

int lb_q_net_output(struct lb_net *n, size_t layer, size_t batch, float *y, struct lb_layer_codes *codes, struct lb_err *err)
{
    struct q_layer *next = &n->q->layer[layer + 1];
    const struct lb_q_params *p = &next->in;
    const size_t width = n->m->layers[layer].out;
    unsigned char *bytes = lb_alloc(4 * lb_q_words(batch * width), 1, err);
    if (!bytes || lb_buf_read(n->d, &next->codes, 0, bytes, lb_q_words(batch * width), err)) {
        lb_free(bytes);
        return -1;
    }
    for (size_t i = 0; i < batch * width; i++) {
        const unsigned char byte = bytes[i / width * width + lb_q_place(next->image, i % width)];
        const int32_t q = p->type == LB_Q_S8 ? (int8_t)byte : byte;
        y[i] = (float)(q - p->zero) * p->scale;
        if (codes)
            codes->saturated += (q == p->low || q == p->high) && q != p->zero;
    }
    if (codes)
        codes->are = 1;
    lb_free(bytes);
    return 0;
}
