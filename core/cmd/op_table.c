/* SPDX-License-Identifier: MIT */
#include "core/cmd/op.h"
#include "core/base/mem.h"
#include "core/format/floats.h"
#include "core/format/format.h"
#include "core/plugins.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NBITS_SETTINGS                                                                                                                     \
    {"K", NULL, "columns of A"}, {"N", NULL, "rows of B"}, {"bits", "4", "of a code, 2 to 8"},                                             \
    {                                                                                                                                      \
        "block_size", NULL, "codes of a row that share a scale"                                                                            \
    }

/* Tensors beside codes, and settings, that several ops have. */
#define PARAMETERS(of)                                                                                                                     \
    {of "_scale", 1},                                                                                                                      \
    {                                                                                                                                      \
        of "_zero_point", 1                                                                                                                \
    }
#define NEEDS_SCALE(of)                                                                                                                    \
    {of "_scale", 0},                                                                                                                      \
    {                                                                                                                                      \
        of "_zero_point", 1                                                                                                                \
    }
#define X_TO_Y       NEEDS_SCALE("x"), NEEDS_SCALE("y")
#define A_AND_B_TO_Y NEEDS_SCALE("a"), NEEDS_SCALE("b"), NEEDS_SCALE("y")
#define WINDOW                                                                                                                             \
    {"kernel", NULL, "height and width, or one number"}, {"stride", "1", "of both directions"},                                            \
    {                                                                                                                                      \
        "pad", "0", "on each side"                                                                                                         \
    }

static const struct lb_op ops[] = {
    {"matmul_nbits",
     "Y = A . dequant(B)^T + bias: ONNX's MatMulNBits",
     {{"A", 0}, {"B", 0}, {"scales", 0}, {"zero_points", 1}, {"g_idx", 1}, {"bias", 1}},
     0,
     "Y",
     {NBITS_SETTINGS, {"accuracy_level", "0", "0 to 3: F32; 4: A in int8, one scale a block"}},
     1,
     lb_op_matmul_nbits},
    {"matmul_nbits_grad",
     "its gradients: dA, and dscales where A is there",
     {{"dY", 0}, {"A", 1}, {"B", 0}, {"scales", 0}, {"zero_points", 1}, {"g_idx", 1}},
     0,
     "dA, dscales",
     {NBITS_SETTINGS},
     1,
     lb_op_matmul_nbits_grad},
    {"pack_nbits",
     "codes, one a byte, to a little-endian bit stream a row",
     {{"codes", 0}},
     0,
     "B",
     {{"bits", "4", "of a code, 2 to 8"}, {"block_size", "0", "whole blocks a row, as in B; 0: whole bytes"}},
     0,
     lb_op_pack_nbits},
    {"unpack_nbits",
     "the other way round",
     {{"B", 0}},
     0,
     "codes",
     {{"K", NULL, "codes of a row"}, {"bits", "4", "of a code, 2 to 8"}, {"block_size", "0", "whole blocks a row; 0: whole bytes"}},
     0,
     lb_op_unpack_nbits},
    {"constant",
     "a tensor of given numbers",
     {{NULL, 0}},
     0,
     "Y",
     {{"value", NULL, "a number for all elements, or all of them: 1,2,3"},
      {"dtype", "F32", "its dtype"},
      {"shape", "", "as 2,3 (default: a scalar, or a list)"}},
     0,
     lb_op_constant},
    {"onnx", "runs a model.onnx; its inputs by their names", {{NULL, 0}}, 1, "the model's", {{"model", NULL, "the file"}}, 1, lb_op_onnx},
    {"gemm",
     "c = act(op(a) . op(b) + bias)",
     {{"a", 0}, {"b", 0}, {"bias", 1}},
     0,
     "c",
     {{"trans_a", "0", "1: a is (k, m)"},
      {"trans_b", "0", "1: b is (n, k)"},
      {"act", "linear", "linear, relu, scaled_relu, sigmoid, tanh"},
      {"alpha", "1", "factor of scaled_relu"}},
     1,
     lb_op_gemm},
    {"conv2d",
     "y = act(conv(x, w) + bias), x (n, c, h, w), w (o, c, kh, kw)",
     {{"x", 0}, {"w", 0}, {"bias", 1}},
     0,
     "y",
     {{"stride", "1", "of both directions"},
      {"pad", "0", "zeros on each side"},
      {"act", "linear", "linear, relu, scaled_relu, sigmoid, tanh"},
      {"alpha", "1", "factor of scaled_relu"}},
     1,
     lb_op_conv2d},
    {"act",
     "y = act(x)",
     {{"x", 0}},
     0,
     "y",
     {{"act", NULL, "linear, relu, scaled_relu, sigmoid, tanh"}, {"alpha", "1", "factor of scaled_relu"}},
     1,
     lb_op_act},
    {"softmax", "y = softmax(x) along the last dimension", {{"x", 0}}, 0, "y", {{NULL, NULL, NULL}}, 1, lb_op_softmax},
    {"q_gemm",
     "c = act(a . b + bias) of codes; without c_scale sums, I32: ONNX's MatMulInteger, QLinearMatMul",
     {{"a", 0}, {"b", 0}, PARAMETERS("a"), PARAMETERS("b"), PARAMETERS("c"), {"bias", 1}},
     0,
     "c",
     {{"trans_b", "0", "1: b is (n, k)"}, {"act", "linear", "linear, relu"}, {"bits", "8", "of codes of b: 8, or 4, held two a byte"}},
     1,
     lb_op_q_gemm},
    {"q_conv2d",
     "y = act(conv(x, w) + bias) of codes; without y_scale sums, I32: ONNX's ConvInteger, QLinearConv",
     {{"x", 0}, {"w", 0}, PARAMETERS("x"), PARAMETERS("w"), PARAMETERS("y"), {"bias", 1}},
     0,
     "y",
     {{"stride", "1", "of both directions"},
      {"pad", "0", "places with the zero point on each side"},
      {"dilation", "1", "from tap to tap"},
      {"groups", "1", "of channels"},
      {"transposed", "0", "1: as ONNX's ConvTranspose, w (c, o / groups, kh, kw)"},
      {"output_padding", "0", "transposed: rows and columns more, less than stride"},
      {"act", "linear", "linear, relu"},
      {"bits", "8", "of codes of w: 8, or 4, held two a byte"}},
     1,
     lb_op_q_conv2d},
    {"q_quantize",
     "y = zero_point + x / scale in codes: ONNX's QuantizeLinear",
     {{"x", 0}, {"scale", 0}, {"zero_point", 1}},
     0,
     "y",
     {{"type", "", "u8, s8: of y where there is no zero_point"}},
     1,
     lb_op_q_quantize},
    {"q_dequantize",
     "y = (x - zero_point) scale: ONNX's DequantizeLinear",
     {{"x", 0}, {"scale", 0}, {"zero_point", 1}},
     0,
     "y",
     {{NULL, NULL, NULL}},
     1,
     lb_op_q_dequantize},
    {"q_requantize", "codes or sums in other parameters", {{"x", 0}, X_TO_Y}, 0, "y", {{NULL, NULL, NULL}}, 1, lb_op_q_requantize},
    {"q_scale", "y = x factor", {{"x", 0}, X_TO_Y}, 0, "y", {{"factor", NULL, "a number"}}, 1, lb_op_q_scale},
    {"q_add", "y = a + b", {{"a", 0}, {"b", 0}, A_AND_B_TO_Y}, 0, "y", {{NULL, NULL, NULL}}, 1, lb_op_q_add},
    {"q_mul", "y = a b, element by element", {{"a", 0}, {"b", 0}, A_AND_B_TO_Y}, 0, "y", {{NULL, NULL, NULL}}, 1, lb_op_q_mul},
    {"q_act",
     "y = act(x), by a table of all codes",
     {{"x", 0}, X_TO_Y},
     0,
     "y",
     {{"act", NULL, "linear, relu, scaled_relu, sigmoid, tanh"}, {"alpha", "1", "factor of scaled_relu"}},
     1,
     lb_op_q_act},
    {"q_pool",
     "the largest codes, or means, of windows on x (n, c, h, w)",
     {{"x", 0}, PARAMETERS("x"), PARAMETERS("y")},
     0,
     "y",
     {{"kind", NULL, "max, average (of what lies inside; with all four parameters)"}, WINDOW},
     1,
     lb_op_q_pool},
    {"q_copy",
     "y = x (up to four dimensions), transposed, with steps",
     {{"x", 0}},
     0,
     "y",
     {{"order", "", "which dimension of x each of y is: 0,2,3,1 (default: as they are)"}, {"step", "1", "of x's dimensions: 1,1,2,2"}},
     1,
     lb_op_q_copy},
    {"q_im2col",
     "y (n oh ow, kh kw c): what each window on x (n, c, h, w) holds",
     {{"x", 0}, {"x_zero_point", 1}},
     0,
     "y",
     {WINDOW, {"dilation", "1", "from tap to tap"}},
     1,
     lb_op_q_im2col},
    {"q_col2im",
     "y (n, c, h, w): the sum of all that windows x (n oh ow, kh kw c) hold; without y_scale I32",
     {{"x", 0}, PARAMETERS("x"), PARAMETERS("y")},
     0,
     "y",
     {{"shape", NULL, "of y: n,c,h,w"}, WINDOW, {"dilation", "1", "from tap to tap"}},
     1,
     lb_op_q_col2im},
    {"q_model",
     "runs an integer model that `lowbit run` made, on x (n, values)",
     {{"x", 0}},
     0,
     "y",
     {{"model", NULL, "models/HASH.safetensors of mode integer"}},
     1,
     lb_op_q_model},
};

const struct lb_op *lb_op_at(size_t i)
{
    return i < sizeof ops / sizeof *ops ? &ops[i] : NULL;
}

/* ---- Settings --------------------------------------------------------------------------------------------------------------------- */

static size_t find_setting(const struct lb_op *op, const char *name, size_t n)
{
    size_t i = 0;
    while (i < LB_OP_SETTINGS && op->settings[i].name && (strlen(op->settings[i].name) != n || strncmp(op->settings[i].name, name, n)))
        i++;
    return i < LB_OP_SETTINGS && op->settings[i].name ? i : LB_OP_SETTINGS;
}

int lb_op_set(struct lb_op_call *c, const char *text, struct lb_err *err)
{
    const char *equals = strchr(text, '='), *names[LB_OP_SETTINGS];
    if (!equals || equals == text)
        return lb_fail(err, "--set %s: expected NAME=VALUE", text);
    const size_t i = find_setting(c->op, text, (size_t)(equals - text));
    if (i < LB_OP_SETTINGS) {
        c->set[i] = equals + 1;
        return 0;
    }
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(equals - text < 63 ? equals - text : 63), text);
    for (size_t j = 0; j < LB_OP_SETTINGS; j++)
        names[j] = c->op->settings[j].name;
    const char *near = lb_nearest(word, names, LB_OP_SETTINGS);
    return lb_fail(err, "--set %s: op %s has no setting \"%s\"%s%s%s", text, c->op->name, word, near ? "; did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
}

const char *lb_op_text(const struct lb_op_call *c, const char *setting)
{
    const size_t i = find_setting(c->op, setting, strlen(setting));
    return i == LB_OP_SETTINGS ? NULL : c->set[i] ? c->set[i] : c->op->settings[i].value;
}

int lb_op_whole(const struct lb_op_call *c, const char *setting, int64_t low, int64_t high, int64_t *v, struct lb_err *err)
{
    const char *text = lb_op_text(c, setting);
    char *end;
    errno = 0;
    *v = strtoll(text, &end, 10);
    if (errno || end == text || *end || *v < low || *v > high)
        return lb_fail(err, "%s: expected a whole number from %" PRId64 " to %" PRId64 ", found \"%s\"", setting, low, high, text);
    return 0;
}

int lb_op_number(const struct lb_op_call *c, const char *setting, double *v, struct lb_err *err)
{
    const char *text = lb_op_text(c, setting);
    char *end;
    *v = strtod(text, &end);
    if (end == text || *end || !isfinite(*v))
        return lb_fail(err, "%s: expected a number, found \"%s\"", setting, text);
    return 0;
}

int lb_op_activation(const struct lb_op_call *c, uint32_t *act, float *alpha, struct lb_err *err)
{
    static const char *const names[] = {
        [LB_LINEAR] = "linear", [LB_RELU] = "relu", [LB_SCALED_RELU] = "scaled_relu", [LB_SIGMOID] = "sigmoid", [LB_TANH] = "tanh"};
    const char *text = lb_op_text(c, "act");
    double factor;
    uint32_t i = 0;
    while (i <= LB_TANH && strcmp(names[i], text) != 0)
        i++;
    if (i > LB_TANH)
        return lb_fail(err, "act: expected linear, relu, scaled_relu, sigmoid or tanh, found \"%s\"", text);
    if (lb_op_number(c, "alpha", &factor, err))
        return -1;
    *act = i;
    *alpha = (float)factor;
    return 0;
}

/* ---- Tensors ---------------------------------------------------------------------------------------------------------------------- */

static size_t count_inputs(const struct lb_op *op)
{
    size_t n = 0;
    while (n < LB_OP_INPUTS && op->inputs[n].name)
        n++;
    return n;
}

/* A misspelled optional input must not go unseen. */
static int check_known(const struct lb_op_call *c, const char *path, const char *name, struct lb_err *err)
{
    const char *names[LB_OP_INPUTS] = {NULL};
    char text[64];
    const size_t n = count_inputs(c->op);
    for (size_t i = 0; i < n; i++) {
        names[i] = c->op->inputs[i].name;
        if (!strcmp(names[i], name))
            return 0;
    }
    const char *near = lb_nearest(name, names, n);
    return lb_fail(err, "%s: tensor %s: op %s has no such input%s%s%s", path, lb_name_text(name, text, sizeof text), c->op->name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Codes in a format of lowbit's must not be taken for the numbers that they stand for. */
static int check_plain(const struct lb_op_call *c, const char *path, const char *name, struct lb_err *err)
{
    const char *format;
    char text[64];
    if (lb_format_text(&c->in, name, &format, err))
        return -1;
    if (!format)
        return 0;
    return lb_fail(err, "%s: tensor %s is stored in a format; `lowbit convert --format F32` makes plain numbers of it", path,
                   lb_name_text(name, text, sizeof text));
}

int lb_op_check(const struct lb_op_call *c, const char *path, struct lb_err *err)
{
    const size_t n = count_inputs(c->op);
    for (size_t i = 0; i < LB_OP_SETTINGS && c->op->settings[i].name; i++)
        if (!c->op->settings[i].value && !c->set[i])
            return lb_fail(err, "op %s: --set %s=... is needed: %s", c->op->name, c->op->settings[i].name, c->op->settings[i].help);
    for (size_t i = 0; i < n; i++)
        if (!c->op->inputs[i].optional && !lb_safetensors_find(&c->in, c->op->inputs[i].name))
            return lb_fail(err, "%s: tensor %s is missing, an input of op %s", path, c->op->inputs[i].name, c->op->name);
    for (size_t i = 0; i < c->in.n; i++)
        if (check_plain(c, path, c->in.items[i].name, err))
            return -1;
    for (size_t i = 0; i < c->in.n && !c->op->any_inputs; i++)
        if (check_known(c, path, c->in.items[i].name, err))
            return -1;
    return 0;
}

const struct lb_tensor *lb_op_tensor(const struct lb_op_call *c, const char *name)
{
    return lb_safetensors_find(&c->in, name);
}

int lb_op_floats(const struct lb_op_call *c, const char *name, float **x, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    *x = t ? lb_floats(t, name, err) : NULL;
    return t && !*x ? -1 : 0;
}

int lb_op_dims(const struct lb_op_call *c, const char *name, unsigned ndim, const char *meaning, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    char shape[LB_MAX_DIMS * 24];
    if (t->ndim == ndim)
        return 0;
    return lb_fail(err, "tensor %s: shape %s, wanted %u dimensions, %s", name, lb_shape_text(t->ndim, t->shape, shape, sizeof shape), ndim,
                   meaning);
}

int lb_op_dtype(const struct lb_op_call *c, const char *name, enum lb_dtype_id dtype, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    if (t->dtype == dtype)
        return 0;
    return lb_fail(err, "tensor %s: dtype %s, wanted %s", name, lb_dtypes[t->dtype].name, lb_dtypes[dtype].name);
}

void *lb_op_output(struct lb_op_call *c, const char *name, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err)
{
    struct lb_tensor t;
    if (lb_tensor_init(&t, dtype, ndim, shape, err)) {
        lb_fail_in(err, "output %s", name);
        return NULL;
    }
    if (!lb_safetensors_add(&c->out, name, &t, err))
        return t.data;
    lb_tensor_finish(&t);
    return NULL;
}
