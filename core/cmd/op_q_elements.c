/* SPDX-License-Identifier: MIT */
/* op_q_elements.c - ops on integer tensors element by element: to codes, from codes, between codes. */
#include "core/base/mem.h"
#include "core/cmd/op_q.h"
#include "core/format/floats.h"

#include <math.h>
#include <string.h>

/* The parameters of an op's tensors; a missing one has no scale. */
struct sides {
    struct lb_op_q x, x2, y;
    size_t rows, cols; /* of x: cols, its last dimension, are its channels */
    struct lb_buffers b;
};

static void finish(struct sides *s)
{
    lb_op_q_finish(&s->x);
    lb_op_q_finish(&s->x2);
    lb_op_q_finish(&s->y);
    lb_buffers_finish(&s->b);
}

static struct sides start(const struct lb_op_call *c, const char *name)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    struct sides s = {.cols = t->ndim ? t->shape[t->ndim - 1] : 1, .b = {.d = c->dev}};
    s.rows = s.cols ? t->elems / s.cols : 0;
    return s;
}

/* An input of codes: its parameters, a scale among them. */
static int open_input(const struct lb_op_call *c, const char *name, int sums, size_t channels, struct lb_op_q *q, struct lb_err *err)
{
    uint32_t type;
    return lb_op_q_type(c, name, sums, &type, err) || lb_op_q_open(c, name, type, channels, q, err) || lb_op_q_need_scale(q, err) ? -1 : 0;
}

static int open_output(const struct lb_op_call *c, size_t channels, struct lb_op_q *q, struct lb_err *err)
{
    uint32_t type;
    return lb_op_q_output_type(c, "y", &type, err) || lb_op_q_open(c, "y", type, channels, q, err) || lb_op_q_need_scale(q, err) ||
                   lb_op_q_need_one_zero(q, err)
               ? -1
               : 0;
}

static void *put_output(struct lb_op_call *c, struct sides *s, const char *like, uint32_t type, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, like);
    return lb_op_q_output(c, &s->b, "y", type, t->ndim, t->shape, err);
}

static int get_output(struct lb_op_call *c, struct sides *s, void *y, struct lb_err *err)
{
    return lb_op_q_get(&s->b, LB_OP_Q_Y, y, c->out.items[0].t.bytes, err);
}

static struct lb_ref at(struct sides *s, int i)
{
    return lb_buffers_at(&s->b, i);
}

/* ---- q_quantize ------------------------------------------------------------------------------------------------------------------- */

static int quantized_type(const struct lb_op_call *c, uint32_t *type, struct lb_err *err)
{
    const char *text = lb_op_text(c, "type");
    if (lb_op_tensor(c, "zero_point"))
        return *text ? lb_fail(err, "type: of no use with the tensor zero_point, whose dtype decides")
                     : lb_op_q_output_type(c, "", type, err);
    *type = !strcmp(text, "s8") ? LB_Q_S8 : LB_Q_U8;
    return !*text || !strcmp(text, "u8") || !strcmp(text, "s8") ? 0 : lb_fail(err, "type: expected u8 or s8, found \"%s\"", text);
}

int lb_op_q_quantize(struct lb_op_call *c, struct lb_err *err)
{
    struct sides s = start(c, "x");
    uint32_t type;
    float *x = NULL;
    void *y = NULL;
    int r = quantized_type(c, &type, err) || lb_op_q_open(c, "", type, s.cols, &s.y, err) || lb_op_q_need_one_zero(&s.y, err) ||
                    lb_op_floats(c, "x", &x, err) || lb_op_q_put(&s.b, LB_OP_Q_X, x, s.rows * s.cols * sizeof *x, err) ||
                    lb_op_q_put(&s.b, LB_OP_Q_ROWS, s.y.scale, s.y.n * sizeof *s.y.scale, err) || !(y = put_output(c, &s, "x", type, err))
                ? -1
                : 0;
    if (!r && s.rows && s.cols) {
        const struct lb_q_quantize o = {.x = at(&s, LB_OP_Q_X),
                                        .y = at(&s, LB_OP_Q_Y),
                                        .scale = at(&s, LB_OP_Q_ROWS),
                                        .rows = s.rows,
                                        .cols = s.cols,
                                        .per_column = s.y.n > 1,
                                        .out = lb_op_q_out(&s.y, 0)};
        r = LB_RUN(c->dev, q_quantize, &o, err) || get_output(c, &s, y, err) ? -1 : 0;
    }
    lb_free(x);
    finish(&s);
    return r;
}

/* ---- q_dequantize, q_requantize, q_scale ------------------------------------------------------------------------------------------- */

/* x less its zero points, as buffer LB_OP_Q_X, or with `minus` the other way round. */
static int put_differences(const struct lb_op_call *c, struct sides *s, int minus, struct lb_err *err)
{
    const unsigned char *data = lb_op_tensor(c, "x")->data;
    const size_t n = s->rows * s->cols;
    int32_t *v = lb_alloc(n, sizeof *v, err);
    int r = v ? 0 : -1;
    for (size_t i = 0; !r && i < n; i++) {
        int32_t x = s->x.type == LB_Q_S8 ? (int8_t)data[i] : data[i];
        if (s->x.type == LB_Q_S32)
            memcpy(&x, data + 4 * i, sizeof x);
        const int64_t d = ((int64_t)x - lb_op_q_zero_of(&s->x, i % s->cols)) * (minus ? -1 : 1);
        v[i] = (int32_t)d;
        if (d < INT32_MIN || d > INT32_MAX)
            r = lb_fail(err, "tensor x: element %zu is %d; 32 bits do not hold it less its zero point", i, x);
    }
    r = r ? -1 : lb_op_q_put(&s->b, LB_OP_Q_X, v, n * sizeof *v, err);
    lb_free(v);
    return r;
}

int lb_op_q_dequantize(struct lb_op_call *c, struct lb_err *err)
{
    struct sides s = start(c, "x");
    uint32_t type;
    int r = lb_op_q_type(c, "x", 1, &type, err) || lb_op_q_open(c, "", type, s.cols, &s.x, err) ? -1 : 0;
    const int differ = s.x.zeros_differ;
    float *y = NULL;
    r = r || (differ ? put_differences(c, &s, 0, err) : lb_op_q_put_input(c, &s.b, LB_OP_Q_X, "x", err)) ||
                lb_op_q_put(&s.b, LB_OP_Q_ROWS, s.x.scale, s.x.n * sizeof *s.x.scale, err)
            ? -1
            : 0;
    const struct lb_tensor *t = lb_op_tensor(c, "x");
    const size_t bytes = s.rows * s.cols * sizeof *y;
    r = r || !(y = lb_op_output(c, "y", LB_F32, t->ndim, t->shape, err)) || lb_op_q_put(&s.b, LB_OP_Q_Y, NULL, bytes, err) ? -1 : 0;
    if (!r && bytes) {
        const struct lb_q_dequantize o = {.x = at(&s, LB_OP_Q_X),
                                          .y = at(&s, LB_OP_Q_Y),
                                          .scale = at(&s, LB_OP_Q_ROWS),
                                          .rows = s.rows,
                                          .cols = s.cols,
                                          .per_column = s.x.n > 1,
                                          .x_type = differ ? LB_Q_S32 : type,
                                          .zero = differ ? 0 : s.x.zero[0]};
        r = LB_RUN(c->dev, q_dequantize, &o, err) || lb_op_q_get(&s.b, LB_OP_Q_Y, y, bytes, err) ? -1 : 0;
    }
    finish(&s);
    return r;
}

/* y = x factor in other parameters. */
static int rescale(struct lb_op_call *c, double factor, struct lb_err *err)
{
    struct sides s = start(c, "x");
    int32_t *rows = NULL;
    void *y = NULL;
    int r = open_input(c, "x", 1, s.cols, &s.x, err) || open_output(c, s.cols, &s.y, err) ? -1 : 0;
    const size_t n = !r && s.x.n == 1 && s.y.n == 1 ? 1 : s.cols;
    r = r || !(rows = lb_alloc(n, 2 * sizeof *rows, err)) || lb_op_q_multipliers(&s.x, NULL, fabs(factor), &s.y, n, rows, err) ||
                put_differences(c, &s, factor < 0, err) || lb_op_q_put(&s.b, LB_OP_Q_ROWS, rows, 2 * n * sizeof *rows, err) ||
                !(y = put_output(c, &s, "x", s.y.type, err))
            ? -1
            : 0;
    if (!r && s.rows && s.cols) {
        const struct lb_q_requantize o = {.x = at(&s, LB_OP_Q_X),
                                          .y = at(&s, LB_OP_Q_Y),
                                          .multiplier = at(&s, LB_OP_Q_ROWS),
                                          .shift = {at(&s, LB_OP_Q_ROWS).buf, n},
                                          .rows = s.rows,
                                          .cols = s.cols,
                                          .per_column = n > 1,
                                          .out = lb_op_q_out(&s.y, 0)};
        r = LB_RUN(c->dev, q_requantize, &o, err) || get_output(c, &s, y, err) ? -1 : 0;
    }
    lb_free(rows);
    finish(&s);
    return r;
}

int lb_op_q_requantize(struct lb_op_call *c, struct lb_err *err)
{
    return rescale(c, 1, err);
}

int lb_op_q_scale(struct lb_op_call *c, struct lb_err *err)
{
    double factor;
    return lb_op_number(c, "factor", &factor, err) || rescale(c, factor, err) ? -1 : 0;
}

/* ---- q_add, q_mul ----------------------------------------------------------------------------------------------------------------- */

/* The factors of a sum, in one unit: the larger one has all the bits that there are. */
static int sum_factors(const struct sides *s, struct lb_q_binary *o, struct lb_err *err)
{
    const double a = lb_op_q_scale_of(&s->x, 0) / lb_op_q_scale_of(&s->y, 0), b = lb_op_q_scale_of(&s->x2, 0) / lb_op_q_scale_of(&s->y, 0);
    int32_t largest;
    if (lb_q_multiplier(a > b ? a : b, &largest, &o->shift))
        return lb_fail(err, "tensor y_scale: %s_scale / y_scale is %g; it must be below 2^22", a > b ? "a" : "b", a > b ? a : b);
    o->a_multiplier = a > b ? largest : (int32_t)rint(ldexp(a, o->shift));
    o->b_multiplier = a > b ? (int32_t)rint(ldexp(b, o->shift)) : largest;
    return 0;
}

static int combine(struct lb_op_call *c, uint32_t kind, struct lb_err *err)
{
    struct sides s = start(c, "a");
    struct lb_q_binary o = {.kind = kind};
    int32_t factor[2];
    const struct lb_tensor *a = lb_op_tensor(c, "a");
    void *y = NULL;
    int r = open_input(c, "a", 0, 1, &s.x, err) || open_input(c, "b", 0, 1, &s.x2, err) || open_output(c, 1, &s.y, err) ||
                    lb_tensor_expect(lb_op_tensor(c, "b"), "b", a->ndim, a->shape, "as a", err) ||
                    (kind == LB_Q_ADD ? sum_factors(&s, &o, err) : lb_op_q_multipliers(&s.x, &s.x2, 1, &s.y, 1, factor, err)) ||
                    lb_op_q_put_input(c, &s.b, LB_OP_Q_X, "a", err) || lb_op_q_put_input(c, &s.b, LB_OP_Q_X2, "b", err) ||
                    !(y = put_output(c, &s, "a", s.y.type, err))
                ? -1
                : 0;
    if (!r && a->elems) {
        if (kind == LB_Q_MUL) {
            o.a_multiplier = factor[0];
            o.shift = factor[1];
        }
        o.a = at(&s, LB_OP_Q_X);
        o.b = at(&s, LB_OP_Q_X2);
        o.y = at(&s, LB_OP_Q_Y);
        o.n = a->elems;
        o.a_type = s.x.type;
        o.b_type = s.x2.type;
        o.a_zero = s.x.zero[0];
        o.b_zero = s.x2.zero[0];
        o.out = lb_op_q_out(&s.y, 0);
        r = LB_RUN(c->dev, q_binary, &o, err) || get_output(c, &s, y, err) ? -1 : 0;
    }
    finish(&s);
    return r;
}

int lb_op_q_add(struct lb_op_call *c, struct lb_err *err)
{
    return combine(c, LB_Q_ADD, err);
}

int lb_op_q_mul(struct lb_op_call *c, struct lb_err *err)
{
    return combine(c, LB_Q_MUL, err);
}

/* ---- q_act ------------------------------------------------------------------------------------------------------------------------ */

int lb_op_q_act(struct lb_op_call *c, struct lb_err *err)
{
    struct sides s = start(c, "x");
    unsigned char table[256];
    uint32_t act;
    float alpha;
    void *y = NULL;
    int r = lb_op_activation(c, &act, &alpha, err) || open_input(c, "x", 0, 1, &s.x, err) || open_output(c, 1, &s.y, err) ||
                    lb_op_q_put_input(c, &s.b, LB_OP_Q_X, "x", err) || !(y = put_output(c, &s, "x", s.y.type, err))
                ? -1
                : 0;
    if (!r && s.rows && s.cols) {
        const struct lb_q_params in = lb_op_q_params(&s.x), out = lb_op_q_params(&s.y);
        lb_q_table_fill(&in, &out, act, alpha, table);
        r = lb_op_q_put(&s.b, LB_OP_Q_ROWS, table, sizeof table, err);
        const struct lb_q_table o = {.x = at(&s, LB_OP_Q_X), .y = at(&s, LB_OP_Q_Y), .table = at(&s, LB_OP_Q_ROWS), .n = s.rows * s.cols};
        r = r || LB_RUN(c->dev, q_table, &o, err) || get_output(c, &s, y, err) ? -1 : 0;
    }
    finish(&s);
    return r;
}
