/* SPDX-License-Identifier: MIT */
/* op_q_product.c - q_gemm, and what it shares with q_conv2d: ONNX's MatMulInteger and QLinearMatMul. */
#include "core/base/mem.h"
#include "core/cmd/op_q.h"
#include "core/format/floats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- What products share ---------------------------------------------------------------------------------------------------------- */

/* Scales of all three, or of none. */
static int check_scales(const struct lb_op_q_product *p, struct lb_err *err)
{
    if (p->y.scale)
        return lb_op_q_need_scale(&p->a, err) || lb_op_q_need_scale(&p->w, err) || lb_op_q_need_one_zero(&p->y, err) ? -1 : 0;
    const struct lb_op_q *other = p->a.scale ? &p->a : p->w.scale ? &p->w : NULL;
    return other ? lb_fail(err, "tensor %s_scale: of no use without %s_scale, without which sums are the result", other->name, p->y.name)
                 : 0;
}

static int read_bias(const struct lb_op_call *c, size_t n, struct lb_op_q_product *p, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, "bias");
    if (!t)
        return 0;
    if (lb_op_dtype(c, "bias", LB_I32, err) || lb_tensor_expect(t, "bias", 1, &n, "one an output", err) ||
        !(p->bias = lb_alloc(n, sizeof *p->bias, err)))
        return -1;
    memcpy(p->bias, t->data, t->bytes);
    return 0;
}

static int check_sums(const struct lb_op_q_product *p, size_t k, struct lb_err *err)
{
    const int64_t each = lb_op_q_reach(&p->a) * lb_op_q_reach(&p->w);
    int64_t most = 0;
    for (size_t j = 0; p->bias && j < p->n; j++) {
        const int64_t v = p->bias[j] < 0 ? -(int64_t)p->bias[j] : p->bias[j];
        most = v > most ? v : most;
    }
    const int64_t terms = most > INT32_MAX ? -1 : (INT32_MAX - most) / each;
    if (terms < 0)
        return lb_fail(err, "tensor bias: -2^31; sums with it may not fit 32 bits");
    return k <= (size_t)terms ? 0
                              : lb_fail(err,
                                        "tensor %s: %zu products in a sum; 32 bits hold %" PRId64 " of %s up to %" PRId64
                                        " and %s up to %" PRId64 " from their zero points%s",
                                        p->w.name, k, terms, lb_dtypes[lb_op_q_dtype(p->a.type)].name, lb_op_q_reach(&p->a),
                                        lb_dtypes[lb_op_q_dtype(p->w.type)].name, lb_op_q_reach(&p->w), most ? ", and the bias" : "");
}

static int make_out(const struct lb_op_call *c, struct lb_op_q_product *p, struct lb_err *err)
{
    int relu;
    if (lb_op_q_relu(c, &relu, err))
        return -1;
    if (!p->y.scale && relu)
        return lb_fail(err, "act: relu wants %s_scale, without which sums are the result", p->y.name);
    p->out = p->y.scale ? lb_op_q_out(&p->y, relu) : (struct lb_q_out){.type = LB_Q_S32};
    if (!(p->rows = lb_alloc(p->n, 3 * sizeof *p->rows, err)))
        return -1;
    for (size_t j = 0; j < p->n; j++)
        p->rows[2 * p->n + j] = lb_op_q_zero_of(&p->w, j);
    return p->y.scale ? lb_op_q_multipliers(&p->a, &p->w, 1, &p->y, p->n, p->rows, err) : 0;
}

int lb_op_q_product_open(const struct lb_op_call *c, const char *const names[3], int bits, size_t n, size_t k, struct lb_op_q_product *p,
                         struct lb_err *err)
{
    uint32_t a, w, y;
    p->n = n;
    if (lb_op_q_type(c, names[0], 0, &a, err) || lb_op_q_type(c, names[1], 0, &w, err) || lb_op_q_output_type(c, names[2], &y, err))
        return -1;
    if (bits == 4)
        w = w == LB_Q_S8 ? LB_Q_S4 : LB_Q_U4;
    if (lb_op_q_open(c, names[0], a, 1, &p->a, err) || lb_op_q_open(c, names[1], w, n, &p->w, err) ||
        lb_op_q_open(c, names[2], y, 1, &p->y, err))
        return -1;
    char zero[32];
    snprintf(zero, sizeof zero, "%s_zero_point", names[2]);
    if (!p->y.scale && lb_op_tensor(c, zero))
        return lb_fail(err, "tensor %s: of no use without %s_scale, without which sums are the result", zero, names[2]);
    return check_scales(p, err) || read_bias(c, n, p, err) || check_sums(p, k, err) || make_out(c, p, err) ? -1 : 0;
}

void lb_op_q_product_finish(const struct lb_op_call *c, struct lb_op_q_product *p)
{
    if (p->on_device)
        c->dev->ops->q_weights_free(c->dev->dev, p->on_device);
    lb_op_q_finish(&p->a);
    lb_op_q_finish(&p->w);
    lb_op_q_finish(&p->y);
    lb_free(p->bias);
    lb_free(p->rows);
    lb_free(p->codes);
}

/* Codes of 4 bits, two a byte, from one a byte. */
static int pack(const struct lb_op_q_product *p, const unsigned char *w, size_t k, size_t row_bytes, struct lb_err *err)
{
    for (size_t i = 0; i < p->n * k; i++) {
        const int32_t v = p->w.type == LB_Q_S4 ? (int8_t)w[i] : w[i];
        if (v < p->w.low || v > p->w.high)
            return lb_fail(err, "tensor %s: a code of output %zu is %d; 4 bits hold %d to %d", p->w.name, i / k, v, p->w.low, p->w.high);
        p->codes[i / k * row_bytes + i % k / 2] |= (unsigned char)((v & 15) << (i % k % 2 ? 4 : 0));
    }
    return 0;
}

int lb_op_q_weights(const struct lb_op_call *c, struct lb_op_q_product *p, const unsigned char *w, size_t k, struct lb_err *err)
{
    const int half = p->w.type == LB_Q_S4 || p->w.type == LB_Q_U4;
    const struct lb_q_matrix m = {.rows = p->n,
                                  .cols = k,
                                  .type = p->w.type,
                                  .codes = half ? (p->codes = lb_alloc(p->n, (k + 1) / 2, err)) : w,
                                  .row_bytes = half ? (k + 1) / 2 : k,
                                  .zero = p->rows + 2 * p->n,
                                  .bias = p->bias,
                                  .multiplier = p->y.scale ? p->rows : NULL,
                                  .shift = p->y.scale ? p->rows + p->n : NULL};
    size_t bytes;
    if (half && (!p->codes || pack(p, w, k, m.row_bytes, err)))
        return -1;
    if (!c->dev->ops->q_weights_create)
        return lb_backend_result(c->dev, "q_weights_create", -2, err);
    p->on_device = c->dev->ops->q_weights_create(c->dev->dev, &m, &bytes);
    return p->on_device ? 0 : lb_backend_result(c->dev, "q_weights_create", -1, err);
}

/* ---- q_gemm ----------------------------------------------------------------------------------------------------------------------- */

struct sizes {
    size_t batch, m, n, k, a_step, b_step;
    int trans_b, bits, stack, whole; /* stack: there is a batch; whole: all of a are rows of one matrix */
};

/* Two or three dimensions: the batch, or 1, and the others. */
static int split(const struct lb_op_call *c, const char *name, const char *meaning, size_t *batch, const size_t **rest, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    char shape[LB_MAX_DIMS * 24];
    if (t->ndim != 2 && t->ndim != 3)
        return lb_fail(err, "tensor %s: shape %s, wanted %s or (batch, %s", name, lb_shape_text(t->ndim, t->shape, shape, sizeof shape),
                       meaning, meaning + 1);
    *batch = t->ndim == 3 ? t->shape[0] : 1;
    *rest = t->shape + t->ndim - 2;
    return 0;
}

static int find_sizes(const struct lb_op_call *c, struct sizes *s, struct lb_err *err)
{
    const size_t *a = NULL, *b = NULL;
    size_t a_batch = 1, b_batch = 1;
    int64_t trans_b, bits;
    if (lb_op_whole(c, "trans_b", 0, 1, &trans_b, err) || lb_op_whole(c, "bits", 4, 8, &bits, err) ||
        split(c, "a", "(m, k)", &a_batch, &a, err) || split(c, "b", trans_b ? "(n, k)" : "(k, n)", &b_batch, &b, err))
        return -1;
    const int b_stack = lb_op_tensor(c, "b")->ndim == 3, a_stack = lb_op_tensor(c, "a")->ndim == 3;
    *s = (struct sizes){.m = a[0], .k = a[1], .n = b[trans_b ? 0 : 1], .trans_b = (int)trans_b, .bits = (int)bits};
    if (b[trans_b ? 1 : 0] != s->k)
        return lb_fail(err, "tensor b: k is %zu, wanted %zu, that of a", b[trans_b ? 1 : 0], s->k);
    if (a_stack && b_stack && a_batch != b_batch)
        return lb_fail(err, "tensor b: a batch of %zu, wanted %zu, that of a", b_batch, a_batch);
    if (bits != 4 && bits != 8)
        return lb_fail(err, "bits: expected 4 or 8, found %d", (int)bits);
    s->stack = a_stack || b_stack;
    s->whole = bits == 4 || lb_op_tensor(c, "bias");
    if (s->whole && b_stack)
        return lb_fail(err, "tensor b: with a bias, or 4 bits, wanted in two dimensions");
    s->batch = a_stack ? a_batch : b_batch;
    s->a_step = a_stack ? s->m * s->k : 0;
    s->b_step = b_stack ? s->n * s->k : 0;
    return 0;
}

static int run_gemm(struct lb_op_call *c, const struct sizes *s, struct lb_op_q_product *p, struct lb_buffers *b, struct lb_err *err)
{
    if (lb_op_q_put_input(c, b, LB_OP_Q_X2, "b", err) || lb_op_q_put(b, LB_OP_Q_ROWS, p->rows, 3 * p->n * sizeof *p->rows, err))
        return -1;
    struct lb_q_gemm o = {.a = lb_buffers_at(b, LB_OP_Q_X),
                          .b = lb_buffers_at(b, LB_OP_Q_X2),
                          .c = lb_buffers_at(b, LB_OP_Q_Y),
                          .batch = s->batch,
                          .m = s->m,
                          .n = s->n,
                          .k = s->k,
                          .a_row = s->k,
                          .b_row = s->trans_b ? s->k : s->n,
                          .c_row = s->n,
                          .a_step = s->a_step,
                          .b_step = s->b_step,
                          .c_step = s->m * s->n,
                          .trans_b = s->trans_b,
                          .per_column = p->w.n > 1,
                          .a_type = p->a.type,
                          .b_type = p->w.type,
                          .a_zero = p->a.zero[0],
                          .b_zero = p->w.zero[0],
                          .out = p->out};
    const struct lb_ref rows = lb_buffers_at(b, LB_OP_Q_ROWS);
    if (p->w.zeros_differ)
        o.b_zeros = (struct lb_ref){rows.buf, 2 * s->n};
    if (p->y.scale) {
        o.multiplier = rows;
        o.shift = (struct lb_ref){rows.buf, s->n};
    }
    return LB_RUN(c->dev, q_gemm, &o, err);
}

static int run_dense(struct lb_op_call *c, const struct sizes *s, struct lb_op_q_product *p, struct lb_buffers *b, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, "b");
    unsigned char *turned = s->trans_b ? NULL : lb_alloc(t->elems, 1, err);
    if (!s->trans_b && !turned)
        return -1;
    if (turned)
        lb_op_q_turn(t->data, 1, s->k, s->n, 1, turned);
    int r = lb_op_q_weights(c, p, turned ? turned : t->data, s->k, err);
    const struct lb_q_dense o = {.a = lb_buffers_at(b, LB_OP_Q_X),
                                 .c = lb_buffers_at(b, LB_OP_Q_Y),
                                 .w = p->on_device,
                                 .m = s->batch * s->m,
                                 .n = s->n,
                                 .k = s->k,
                                 .a_type = p->a.type,
                                 .a_zero = p->a.zero[0],
                                 .out = p->out};
    r = r ? -1 : LB_RUN(c->dev, q_dense, &o, err);
    lb_free(turned);
    return r;
}

int lb_op_q_gemm(struct lb_op_call *c, struct lb_err *err)
{
    static const char *const names[] = {"a", "b", "c"};
    struct lb_buffers b = {.d = c->dev};
    struct lb_op_q_product p = {.n = 0};
    struct sizes s;
    void *y = NULL;
    int r =
        find_sizes(c, &s, err) || lb_op_q_product_open(c, names, s.bits, s.n, s.k, &p, err) || lb_op_q_put_input(c, &b, LB_OP_Q_X, "a", err)
            ? -1
            : 0;
    if (!r) {
        const size_t shape[] = {s.batch, s.m, s.n};
        y = lb_op_q_output(c, &b, "c", p.out.type, s.stack ? 3 : 2, shape + !s.stack, err);
        r = y ? 0 : -1;
    }
    if (!r && s.batch && s.m && s.n)
        r = (s.whole ? run_dense(c, &s, &p, &b, err) : run_gemm(c, &s, &p, &b, err)) ||
                    lb_op_q_get(&b, LB_OP_Q_Y, y, c->out.items[0].t.bytes, err)
                ? -1
                : 0;
    lb_op_q_product_finish(c, &p);
    lb_buffers_finish(&b);
    return r;
}
