/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_cases.h"

#include <math.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const lb_op_acts[] = {"linear", "relu", "scaled_relu", "sigmoid", "tanh"};
static const float alpha = 1.1f;

void lb_op_add(struct op_case *c, const char *name, struct lb_ref *slot, int role, size_t n)
{
    c->array[c->n_arrays++] = (struct array){.name = name, .slot = slot, .role = role, .n = n};
}

/* ---- gemm ---- */

static const struct {
    size_t m, n, k;
} products[] = {{1, 1, 1},     {1, 2, 3},     {2, 3, 7},     {3, 1, 31},    {7, 33, 64},     {31, 7, 33},   {33, 64, 2},
                {13, 31, 255}, {1, 64, 256},  {16, 32, 256}, {17, 33, 257}, {5, 40, 300},    {3, 65, 513},  {1, 1, 513},
                {64, 10, 64},  {1, 784, 100}, {40, 3, 1},    {129, 5, 31},  {2, 130, 7},     {15, 31, 512}, {48, 48, 48},
                {1, 300, 33},  {300, 1, 256}, {33, 33, 33},  {8, 16, 768},  {100, 150, 257}, {3, 5, 0}};

static void make_gemm(struct op_case *c, size_t i)
{
    struct lb_gemm *o = &c->args.gemm;
    const size_t m = products[i / 8].m, n = products[i / 8].n, k = products[i / 8].k;
    const int bias = (i / 8 + i / 4 + i / 2 + i) % 2 == 0;
    *o = (struct lb_gemm){.m = m, .n = n, .k = k, .trans_a = i >> 1 & 1, .trans_b = i >> 2 & 1, .act = (uint32_t)(i % 5), .alpha = alpha};
    lb_op_add(c, "a", &o->a, ROLE_IN, m * k);
    lb_op_add(c, "b", &o->b, ROLE_IN, k * n);
    lb_op_add(c, "c", &o->c, ROLE_OUT, m * n);
    if (bias)
        lb_op_add(c, "bias", &o->bias, ROLE_IN, n);
    c->terms = k;
    c->rarity = 256;
    snprintf(c->text, sizeof c->text, "m=%zu n=%zu k=%zu trans_a=%d trans_b=%d bias=%d act=%s", m, n, k, o->trans_a, o->trans_b, bias,
             lb_op_acts[o->act]);
}

/* ---- Convolutions ---- */

static const struct lb_conv convolutions[LB_OP_CONVOLUTIONS] = {
    {.n = 1, .c = 1, .h = 1, .w = 1, .o = 1, .kh = 1, .kw = 1, .stride = 1, .pad = 0},
    {.n = 1, .c = 1, .h = 3, .w = 3, .o = 1, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    {.n = 1, .c = 1, .h = 3, .w = 3, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 2, .c = 3, .h = 7, .w = 5, .o = 4, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    {.n = 2, .c = 3, .h = 7, .w = 5, .o = 4, .kh = 3, .kw = 3, .stride = 2, .pad = 1},
    {.n = 1, .c = 2, .h = 9, .w = 11, .o = 3, .kh = 1, .kw = 5, .stride = 1, .pad = 2},
    {.n = 3, .c = 2, .h = 11, .w = 9, .o = 5, .kh = 5, .kw = 1, .stride = 2, .pad = 2},
    {.n = 2, .c = 4, .h = 8, .w = 8, .o = 8, .kh = 2, .kw = 2, .stride = 2, .pad = 0},
    {.n = 1, .c = 8, .h = 13, .w = 13, .o = 16, .kh = 3, .kw = 3, .stride = 2, .pad = 0},
    {.n = 9, .c = 1, .h = 28, .w = 28, .o = 8, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    {.n = 3, .c = 8, .h = 26, .w = 26, .o = 16, .kh = 3, .kw = 3, .stride = 2, .pad = 0},
    {.n = 2, .c = 5, .h = 10, .w = 7, .o = 33, .kh = 3, .kw = 2, .stride = 3, .pad = 1},
    {.n = 1, .c = 33, .h = 6, .w = 6, .o = 7, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 2, .c = 31, .h = 5, .w = 5, .o = 3, .kh = 3, .kw = 3, .stride = 3, .pad = 2},
    {.n = 1, .c = 3, .h = 17, .w = 16, .o = 4, .kh = 4, .kw = 5, .stride = 3, .pad = 2},
    {.n = 3, .c = 1, .h = 5, .w = 33, .o = 2, .kh = 2, .kw = 7, .stride = 2, .pad = 1},
    {.n = 1, .c = 29, .h = 4, .w = 4, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    {.n = 1, .c = 57, .h = 3, .w = 3, .o = 57, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 1, .c = 2, .h = 10, .w = 10, .o = 2, .kh = 1, .kw = 1, .stride = 1, .pad = 0},
    {.n = 2, .c = 2, .h = 10, .w = 10, .o = 3, .kh = 1, .kw = 1, .stride = 2, .pad = 0},
    {.n = 2, .c = 3, .h = 9, .w = 9, .o = 2, .kh = 1, .kw = 1, .stride = 3, .pad = 1},
    {.n = 5, .c = 2, .h = 12, .w = 12, .o = 3, .kh = 5, .kw = 5, .stride = 1, .pad = 2},
    {.n = 40, .c = 1, .h = 4, .w = 4, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 1, .c = 2, .h = 2, .w = 9, .o = 2, .kh = 3, .kw = 3, .stride = 2, .pad = 2},
    {.n = 1, .c = 1, .h = 4, .w = 4, .o = 1, .kh = 1, .kw = 1, .stride = 1, .pad = 2},
};

struct lb_conv lb_op_convolution(struct op_case *c, size_t i)
{
    struct lb_conv s = convolutions[i];
    s.oh = (s.h + 2 * s.pad - s.kh) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    c->rarity = 256;
    snprintf(c->text, sizeof c->text, "n=%zu c=%zu h=%zu w=%zu o=%zu kh=%zu kw=%zu stride=%zu pad=%zu", s.n, s.c, s.h, s.w, s.o, s.kh, s.kw,
             s.stride, s.pad);
    return s;
}

static void make_conv2d(struct op_case *c, size_t i)
{
    struct lb_conv2d *o = &c->args.conv2d;
    const struct lb_conv s = lb_op_convolution(c, i / 4);
    const int bias = i / 2 % 2;
    *o = (struct lb_conv2d){.s = s, .act = (uint32_t)(i % 5), .alpha = alpha};
    lb_op_add(c, "x", &o->x, ROLE_IN, s.n * s.c * s.h * s.w);
    lb_op_add(c, "w", &o->w, ROLE_IN, s.o * s.c * s.kh * s.kw);
    lb_op_add(c, "y", &o->y, ROLE_OUT, s.n * s.o * s.oh * s.ow);
    if (bias)
        lb_op_add(c, "bias", &o->bias, ROLE_IN, s.o);
    c->terms = s.c * s.kh * s.kw;
    char shape[sizeof c->text];
    snprintf(shape, sizeof shape, "%.*s", 120, c->text);
    snprintf(c->text, sizeof c->text, "%.120s bias=%d act=%s", shape, bias, lb_op_acts[o->act]);
}

static void make_conv2d_dx(struct op_case *c, size_t i)
{
    struct lb_conv2d_grad *o = &c->args.grad;
    const struct lb_conv s = lb_op_convolution(c, i / 2);
    *o = (struct lb_conv2d_grad){.s = s};
    lb_op_add(c, "w", &o->w, ROLE_IN, s.o * s.c * s.kh * s.kw);
    lb_op_add(c, "dy", &o->dy, ROLE_IN, s.n * s.o * s.oh * s.ow);
    lb_op_add(c, "dx", &o->out, ROLE_OUT, s.n * s.c * s.h * s.w);
    c->terms = s.o * s.kh * s.kw;
}

static void make_conv2d_dw(struct op_case *c, size_t i)
{
    struct lb_conv2d_grad *o = &c->args.grad;
    const struct lb_conv s = lb_op_convolution(c, i / 2);
    *o = (struct lb_conv2d_grad){.s = s};
    lb_op_add(c, "x", &o->x, ROLE_IN, s.n * s.c * s.h * s.w);
    lb_op_add(c, "dy", &o->dy, ROLE_IN, s.n * s.o * s.oh * s.ow);
    lb_op_add(c, "dw", &o->out, ROLE_OUT, s.o * s.c * s.kh * s.kw);
    c->terms = s.n * s.oh * s.ow;
}

static const struct {
    size_t n, c, p;
} biases[] = {{1, 1, 1},   {1, 3, 1},   {2, 7, 31},   {64, 33, 1}, {3, 5, 100}, {255, 2, 1}, {256, 3, 1},
              {257, 4, 1}, {2, 1, 300}, {3, 16, 144}, {513, 1, 1}, {5, 8, 676}, {4, 40, 700}};

static void make_bias_grad(struct op_case *c, size_t i)
{
    struct lb_bias_grad *o = &c->args.bias;
    *o = (struct lb_bias_grad){.n = biases[i / 2].n, .c = biases[i / 2].c, .p = biases[i / 2].p};
    lb_op_add(c, "dy", &o->dy, ROLE_IN, o->n * o->c * o->p);
    lb_op_add(c, "db", &o->db, ROLE_OUT, o->c);
    c->terms = o->n * o->p;
    c->rarity = 256;
    snprintf(c->text, sizeof c->text, "n=%zu c=%zu p=%zu", o->n, o->c, o->p);
}

/* ---- Element by element ---- */

static const size_t lengths[] = {1, 2, 3, 7, 31, 33, 64, 255, 256, 257, 1000, 70001};

static void make_act(struct op_case *c, size_t i)
{
    struct lb_act_op *o = &c->args.act;
    *o = (struct lb_act_op){.n = lengths[i / 10], .act = (uint32_t)(i / 2 % 5), .alpha = alpha};
    lb_op_add(c, "x", &o->x, ROLE_IN, o->n);
    lb_op_add(c, "y", &o->y, ROLE_OUT, o->n);
    c->rarity = 16;
    snprintf(c->text, sizeof c->text, "n=%zu act=%s", o->n, lb_op_acts[o->act]);
}

static double act_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)which;
    return c->args.act.act >= LB_SIGMOID ? 1 : fabs((double)in[0][i]) * (double)alpha;
}

static void make_act_grad(struct op_case *c, size_t i)
{
    struct lb_act_op *o = &c->args.act;
    const int in_place = i / 2 % 2;
    *o = (struct lb_act_op){.n = lengths[i / 20], .act = (uint32_t)(i / 4 % 5), .alpha = alpha};
    lb_op_add(c, "y", &o->y, ROLE_IN, o->n);
    lb_op_add(c, "dy", &o->dy, in_place ? ROLE_BOTH : ROLE_IN, o->n);
    if (in_place)
        c->array[1].alias = &o->dx;
    else
        lb_op_add(c, "dx", &o->dx, ROLE_OUT, o->n);
    c->rarity = 16;
    snprintf(c->text, sizeof c->text, "n=%zu act=%s in_place=%d", o->n, lb_op_acts[o->act], in_place);
}

static double act_grad_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)c, (void)which;
    const double y = fabs((double)in[0][i]);
    return fabs((double)in[1][i]) * (1 + y) * (1 + y);
}

static void make_sgd(struct op_case *c, size_t i)
{
    static const struct {
        float lr, momentum, decay;
    } rules[] = {{0.05f, 0, 0}, {0.01f, 0, 1e-4f}, {0.1f, 0.9f, 0}, {1.0f, 0.5f, 0.01f}};
    struct lb_sgd *o = &c->args.sgd;
    const size_t r = i / 2 % COUNT(rules);
    *o = (struct lb_sgd){.n = lengths[i / (2 * COUNT(rules))], .lr = rules[r].lr, .momentum = rules[r].momentum, .decay = rules[r].decay};
    lb_op_add(c, "g", &o->g, ROLE_IN, o->n);
    lb_op_add(c, "w", &o->w, ROLE_BOTH, o->n);
    if (o->momentum > 0)
        lb_op_add(c, "v", &o->v, ROLE_BOTH, o->n);
    c->rarity = 16;
    snprintf(c->text, sizeof c->text, "n=%zu lr=%g momentum=%g decay=%g", o->n, (double)o->lr, (double)o->momentum, (double)o->decay);
}

static double sgd_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    const struct lb_sgd *o = &c->args.sgd;
    const double w = fabs((double)in[1][i]), step = fabs((double)in[0][i]) + (double)o->decay * w;
    const double v = step + (c->n_arrays > 2 ? (double)o->momentum * fabs((double)in[2][i]) : 0);
    return which == 2 ? v : w + (double)o->lr * v;
}

/* ---- By rows ---- */

static const struct {
    size_t rows, cols;
} tables[] = {{1, 1}, {1, 2}, {3, 10}, {64, 10}, {7, 31}, {2, 64}, {5, 255}, {3, 256}, {2, 257}, {4, 300}, {1, 513}, {33, 3}, {1000, 11}};

static void make_softmax(struct op_case *c, size_t i)
{
    struct lb_softmax *o = &c->args.softmax;
    *o = (struct lb_softmax){.rows = tables[i / 2].rows, .cols = tables[i / 2].cols};
    lb_op_add(c, "x", &o->x, ROLE_IN, o->rows * o->cols);
    lb_op_add(c, "y", &o->y, ROLE_OUT, o->rows * o->cols);
    c->terms = o->cols;
    c->rarity = 64;
    snprintf(c->text, sizeof c->text, "rows=%zu cols=%zu", o->rows, o->cols);
}

static double one(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)c, (void)in, (void)which, (void)i;
    return 1;
}

static void make_softmax_grad(struct op_case *c, size_t i)
{
    struct lb_softmax *o = &c->args.softmax;
    *o = (struct lb_softmax){.rows = tables[i / 2].rows, .cols = tables[i / 2].cols};
    lb_op_add(c, "y", &o->y, ROLE_IN, o->rows * o->cols);
    lb_op_add(c, "dy", &o->dy, ROLE_IN, o->rows * o->cols);
    lb_op_add(c, "dx", &o->dx, ROLE_OUT, o->rows * o->cols);
    c->terms = o->cols;
    c->rarity = 64;
    snprintf(c->text, sizeof c->text, "rows=%zu cols=%zu", o->rows, o->cols);
}

static double softmax_grad_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)which;
    const size_t cols = c->args.softmax.cols, row = i / cols * cols;
    double sum = fabs((double)in[1][i]);
    for (size_t j = row; j < row + cols; j++)
        sum += fabs((double)in[0][j] * (double)in[1][j]);
    return fabs((double)in[0][i]) * sum;
}

static void make_loss(struct op_case *c, size_t i, uint32_t reduction)
{
    struct lb_loss *o = &c->args.loss;
    *o = (struct lb_loss){.rows = tables[i].rows, .cols = tables[i].cols, .reduction = reduction};
    lb_op_add(c, "x", &o->x, ROLE_IN, o->rows * o->cols);
    lb_op_add(c, "labels", &o->labels, ROLE_LABELS, o->rows);
    c->array[1].classes = o->cols;
    lb_op_add(c, "loss", &o->loss, ROLE_OUT, o->rows);
    lb_op_add(c, "dx", &o->dx, ROLE_OUT, o->rows * o->cols);
    c->terms = o->cols;
    c->rarity = 64;
    snprintf(c->text, sizeof c->text, "rows=%zu cols=%zu reduction=%s", o->rows, o->cols, reduction == LB_HALF ? "half" : "mean");
}

static void make_cross_entropy(struct op_case *c, size_t i)
{
    make_loss(c, i / 2, LB_MEAN);
}

static void make_mse(struct op_case *c, size_t i)
{
    make_loss(c, i / 4, i / 2 % 2 ? LB_HALF : LB_MEAN);
}

static double cross_entropy_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    const struct lb_loss *o = &c->args.loss;
    double most = 1;
    if (which == 3)
        return 2.0 / (double)o->rows;
    for (size_t j = i * o->cols; j < (i + 1) * o->cols; j++)
        most = fmax(most, fabs((double)in[0][j]));
    return 3 * most;
}

static double mse_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    const struct lb_loss *o = &c->args.loss;
    double sum = 0;
    if (which == 3)
        return 2 * (fabs((double)in[0][i]) + 1) / (double)o->rows;
    for (size_t j = i * o->cols; j < (i + 1) * o->cols; j++)
        sum += (fabs((double)in[0][j]) + 1) * (fabs((double)in[0][j]) + 1);
    return sum;
}

/* ---- The table ---- */

#define RUN(op, field)                                                                                                                     \
    static int run_##op(struct lb_dev *d, const union op_args *a, struct lb_err *err)                                                      \
    {                                                                                                                                      \
        return LB_RUN(d, op, &a->field, err);                                                                                              \
    }
RUN(gemm, gemm)
RUN(conv2d, conv2d)
RUN(conv2d_dx, grad)
RUN(conv2d_dw, grad)
RUN(bias_grad, bias)
RUN(act, act)
RUN(act_grad, act)
RUN(softmax, softmax)
RUN(softmax_grad, softmax)
RUN(cross_entropy, loss)
RUN(mse, loss)
RUN(sgd, sgd)
RUN(gemm_packed, gemm_packed)
RUN(conv2d_packed, conv2d_packed)
RUN(gemm_int8, gemm_packed)
RUN(conv2d_int8, conv2d_packed)
RUN(quantize, quantize)
RUN(q_dense, q_dense)
RUN(q_conv2d, q_conv2d)
RUN(q_gemm, q_gemm)
RUN(q_table, q_table)
RUN(q_binary, q_binary)
RUN(q_pool, q_pool)
RUN(q_copy, q_copy)
RUN(q_im2col, q_columns)
RUN(q_col2im, q_col2im)
RUN(q_requantize, q_requantize)
RUN(q_quantize, q_quantize)
RUN(q_dequantize, q_dequantize)

const struct op_kind lb_op_kinds[] = {
    {"gemm", 8 * COUNT(products), make_gemm, run_gemm, NULL, 0},
    {"conv2d", 4 * COUNT(convolutions), make_conv2d, run_conv2d, NULL, 0},
    {"conv2d_dx", 2 * COUNT(convolutions), make_conv2d_dx, run_conv2d_dx, NULL, 0},
    {"conv2d_dw", 2 * COUNT(convolutions), make_conv2d_dw, run_conv2d_dw, NULL, 0},
    {"bias_grad", 2 * COUNT(biases), make_bias_grad, run_bias_grad, NULL, 0},
    {"act", 10 * COUNT(lengths), make_act, run_act, act_magnitude, 0},
    {"act_grad", 20 * COUNT(lengths), make_act_grad, run_act_grad, act_grad_magnitude, 0},
    {"softmax", 2 * COUNT(tables), make_softmax, run_softmax, one, 0},
    {"softmax_grad", 2 * COUNT(tables), make_softmax_grad, run_softmax_grad, softmax_grad_magnitude, 0},
    {"cross_entropy", 2 * COUNT(tables), make_cross_entropy, run_cross_entropy, cross_entropy_magnitude, 0},
    {"mse", 4 * COUNT(tables), make_mse, run_mse, mse_magnitude, 0},
    {"sgd", 8 * COUNT(lengths), make_sgd, run_sgd, sgd_magnitude, 0},
    {"gemm_packed", LB_OP_GEMM_PACKED, lb_op_make_gemm_packed, run_gemm_packed, lb_op_gemm_packed_magnitude, 0},
    {"conv2d_packed", LB_OP_CONV2D_PACKED, lb_op_make_conv2d_packed, run_conv2d_packed, lb_op_conv2d_packed_magnitude, 0},
    {"gemm_int8", LB_OP_GEMM_INT8, lb_op_make_gemm_int8, run_gemm_int8, lb_op_gemm_int8_magnitude, 0},
    {"conv2d_int8", LB_OP_CONV2D_INT8, lb_op_make_conv2d_int8, run_conv2d_int8, lb_op_conv2d_int8_magnitude, 0},
    {"quantize", LB_OP_QUANTIZE, lb_op_make_quantize, run_quantize, NULL, 1},
    {"q_dense", LB_OP_Q_DENSE, lb_op_make_q_dense, run_q_dense, NULL, 1},
    {"q_conv2d", LB_OP_Q_CONV2D, lb_op_make_q_conv2d, run_q_conv2d, NULL, 1},
    {"q_gemm", LB_OP_Q_GEMM, lb_op_make_q_gemm, run_q_gemm, NULL, 1},
    {"q_table", LB_OP_Q_TABLE, lb_op_make_q_table, run_q_table, NULL, 1},
    {"q_binary", LB_OP_Q_BINARY, lb_op_make_q_binary, run_q_binary, NULL, 1},
    {"q_pool", LB_OP_Q_POOL, lb_op_make_q_pool, run_q_pool, NULL, 1},
    {"q_copy", LB_OP_Q_COPY, lb_op_make_q_copy, run_q_copy, NULL, 1},
    {"q_im2col", LB_OP_Q_COLUMNS, lb_op_make_q_im2col, run_q_im2col, NULL, 1},
    {"q_col2im", LB_OP_Q_COLUMNS, lb_op_make_q_col2im, run_q_col2im, NULL, 1},
    {"q_requantize", LB_OP_Q_REQUANTIZE, lb_op_make_q_requantize, run_q_requantize, NULL, 1},
    {"q_quantize", LB_OP_Q_REQUANTIZE, lb_op_make_q_quantize, run_q_quantize, NULL, 1},
    {"q_dequantize", LB_OP_Q_REQUANTIZE, lb_op_make_q_dequantize, run_q_dequantize, NULL, 1},
};
const size_t lb_op_kinds_n = COUNT(lb_op_kinds);
