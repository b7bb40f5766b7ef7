/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/format/floats.h"
#include "core/nn/buffers.h"
#include "core/nn/nbits.h"
#include "core/onnx/onnx_impl.h"
#include "kernels/canon.h"

#include <string.h>

/* ---- Attributes: in a file they say of which type they are --------------------------------------------------------------------------- */

enum { OF_FLOAT = 1, OF_INT = 2, OF_TENSOR = 4, OF_FLOATS = 6, OF_INTS = 7 };

static const Pb__Attribute *find(const Pb__Node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (!strcmp(node->attribute[i]->name, name))
            return node->attribute[i];
    return NULL;
}

static int is_a(const Pb__Attribute *a, int type, int there, struct lb_err *err)
{
    if (a->type == type && there)
        return 0;
    return lb_fail(err, "attribute %s: type %d, wanted %d with its value", a->name, (int)a->type, type);
}

/* `otherwise`: its default, or NULL where it must be there. */
static int whole(const Pb__Node *node, const char *name, const int64_t *otherwise, int64_t *v, struct lb_err *err)
{
    const Pb__Attribute *a = find(node, name);
    if (!a && !otherwise)
        return lb_fail(err, "attribute %s is missing", name);
    *v = a ? a->i : *otherwise;
    return a ? is_a(a, OF_INT, a->has_i, err) : 0;
}

/* ---- Inputs and outputs ----------------------------------------------------------------------------------------------------------- */

static float *input(const struct lb_onnx_call *c, size_t i, const char *name, struct lb_err *err)
{
    if (c->in[i]->dtype == LB_F32)
        return lb_floats(c->in[i], name, err);
    lb_fail(err, "input %s: dtype %s, wanted F32", name, lb_dtypes[c->in[i]->dtype].name);
    return NULL;
}

static float *output(struct lb_onnx_call *c, unsigned ndim, const size_t *shape, struct lb_err *err)
{
    return lb_tensor_init(&c->out, LB_F32, ndim, shape, err) ? NULL : (float *)(void *)c->out.data;
}

/* ---- Constant, Relu --------------------------------------------------------------------------------------------------------------- */

static int clone(struct lb_onnx_call *c, enum lb_dtype_id dtype, unsigned ndim, size_t n, const void *data, struct lb_err *err)
{
    if (lb_tensor_init(&c->out, dtype, ndim, &n, err))
        return -1;
    if (c->out.bytes)
        memcpy(c->out.data, data, c->out.bytes);
    return 0;
}

static int run_constant(struct lb_onnx_call *c, struct lb_err *err)
{
    const Pb__Attribute *a = c->node->n_attribute == 1 ? c->node->attribute[0] : NULL;
    if (!a)
        return lb_fail(err, "%zu attributes, wanted 1", c->node->n_attribute);
    if (!strcmp(a->name, "value_float"))
        return is_a(a, OF_FLOAT, a->has_f, err) ? -1 : clone(c, LB_F32, 0, 1, &a->f, err);
    if (!strcmp(a->name, "value_int"))
        return is_a(a, OF_INT, a->has_i, err) ? -1 : clone(c, LB_I64, 0, 1, &a->i, err);
    if (!strcmp(a->name, "value_floats"))
        return is_a(a, OF_FLOATS, 1, err) ? -1 : clone(c, LB_F32, 1, a->n_floats, a->floats, err);
    if (!strcmp(a->name, "value_ints"))
        return is_a(a, OF_INTS, 1, err) ? -1 : clone(c, LB_I64, 1, a->n_ints, a->ints, err);
    return is_a(a, OF_TENSOR, a->tensor != NULL, err) || lb_onnx_tensor(a->tensor, c->model->path, &c->out, err) ? -1 : 0;
}

static int run_relu(struct lb_onnx_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    const size_t n = c->in[0]->elems;
    float *x = input(c, 0, "X", err), *y = x ? output(c, c->in[0]->ndim, c->in[0]->shape, err) : NULL;
    int r = y ? 0 : -1;
    if (!r && n)
        r = lb_buffers_put(&b, 0, x, n, 1, err) || lb_buffers_put(&b, 1, NULL, n, 1, err) ? -1 : 0;
    const struct lb_act_op op = {.x = lb_buffers_at(&b, 0), .y = lb_buffers_at(&b, 1), .n = n, .act = LB_RELU};
    if (!r && n)
        r = LB_RUN(c->dev, act, &op, err) || lb_buf_read(c->dev, &b.buf[1], 0, y, n, err) ? -1 : 0;
    lb_buffers_finish(&b);
    lb_free(x);
    return r;
}

/* ---- Shapes that are broadcast ---------------------------------------------------------------------------------------------------- */

/* Two arrays as one of `shape`: how far each goes for a step in a dimension, 0 where it has one place for all. */
struct pair {
    unsigned ndim;
    size_t shape[LB_MAX_DIMS], step[2][LB_MAX_DIMS], n;
};

static int broadcast(const size_t *const shape[2], const unsigned ndim[2], struct pair *p, struct lb_err *err)
{
    char text[2][LB_MAX_DIMS * 24];
    size_t step[2] = {1, 1};
    *p = (struct pair){.ndim = ndim[0] > ndim[1] ? ndim[0] : ndim[1], .n = 1};
    for (unsigned i = 0; i < p->ndim; i++) {
        const unsigned at = p->ndim - 1 - i;
        const size_t a = i < ndim[0] ? shape[0][ndim[0] - 1 - i] : 1, b = i < ndim[1] ? shape[1][ndim[1] - 1 - i] : 1;
        if (a != b && a != 1 && b != 1)
            return lb_fail(err, "shapes %s and %s do not go together", lb_shape_text(ndim[0], shape[0], text[0], sizeof text[0]),
                           lb_shape_text(ndim[1], shape[1], text[1], sizeof text[1]));
        p->shape[at] = a == 1 ? b : a;
        p->step[0][at] = a == 1 ? 0 : step[0];
        p->step[1][at] = b == 1 ? 0 : step[1];
        step[0] *= a; /* both stay within what is there */
        step[1] *= b;
        if (lb_mul(p->n, p->shape[at], &p->n))
            return lb_fail(err, "the result has too many elements");
    }
    return 0;
}

/* Where element i of the result comes from. */
static size_t place(const struct pair *p, int which, size_t i)
{
    size_t at = 0;
    for (unsigned d = p->ndim; d-- > 0; i /= p->shape[d])
        at += i % p->shape[d] * p->step[which][d];
    return at;
}

/* One addition an element: on the host, since no backend has an op for it. */
static int run_add(struct lb_onnx_call *c, struct lb_err *err)
{
    struct pair p;
    float *a = input(c, 0, "A", err), *b = a ? input(c, 1, "B", err) : NULL, *y = NULL;
    const size_t *const shapes[2] = {c->in[0]->shape, c->in[1]->shape};
    const unsigned ndim[2] = {c->in[0]->ndim, c->in[1]->ndim};
    const int r = b && !broadcast(shapes, ndim, &p, err) && (y = output(c, p.ndim, p.shape, err)) ? 0 : -1;
    for (size_t i = 0; !r && i < p.n; i++)
        y[i] = canon_nan(a[place(&p, 0, i)] + b[place(&p, 1, i)]);
    lb_free(a);
    lb_free(b);
    return r;
}

/* ---- MatMul ----------------------------------------------------------------------------------------------------------------------- */

/* a (batch.., m, k) . b (batch.., k, n); a vector is one row of a or one column of b. */
struct product {
    size_t m, n, k;
    struct pair batch;
    unsigned ndim; /* of the result */
    size_t shape[LB_MAX_DIMS];
};

static int product_shape(const struct lb_tensor *a, const struct lb_tensor *b, struct product *p, struct lb_err *err)
{
    char text[2][LB_MAX_DIMS * 24];
    const unsigned more_a = a->ndim > 2 ? a->ndim - 2 : 0, more_b = b->ndim > 2 ? b->ndim - 2 : 0;
    if (!a->ndim || !b->ndim)
        return lb_fail(err, "input %s: a scalar, wanted one dimension at least", a->ndim ? "B" : "A");
    const size_t k = b->shape[b->ndim > 1 ? b->ndim - 2 : 0];
    p->m = a->ndim > 1 ? a->shape[a->ndim - 2] : 1;
    p->k = a->shape[a->ndim - 1];
    p->n = b->ndim > 1 ? b->shape[b->ndim - 1] : 1;
    if (p->k != k)
        return lb_fail(err, "shapes %s and %s: %zu columns of A, %zu rows of B", lb_shape_text(a->ndim, a->shape, text[0], sizeof text[0]),
                       lb_shape_text(b->ndim, b->shape, text[1], sizeof text[1]), p->k, k);
    if (broadcast((const size_t *const[2]){a->shape, b->shape}, (const unsigned[2]){more_a, more_b}, &p->batch, err))
        return -1;
    p->ndim = p->batch.ndim;
    memcpy(p->shape, p->batch.shape, sizeof p->shape);
    if (a->ndim > 1)
        p->shape[p->ndim++] = p->m;
    if (b->ndim > 1)
        p->shape[p->ndim++] = p->n;
    return 0;
}

static int run_products(struct lb_onnx_call *c, const struct product *p, struct lb_buffers *b, float *y, struct lb_err *err)
{
    struct lb_gemm op = {
        .a = lb_buffers_at(b, 0), .b = lb_buffers_at(b, 1), .c = lb_buffers_at(b, 2), .m = p->m, .n = p->n, .k = p->k, .act = LB_LINEAR};
    for (size_t i = 0; i < p->batch.n; i++) {
        op.a.at = place(&p->batch, 0, i) * p->m * p->k;
        op.b.at = place(&p->batch, 1, i) * p->k * p->n;
        op.c.at = i * p->m * p->n;
        if (LB_RUN(c->dev, gemm, &op, err))
            return -1;
    }
    return lb_buf_read(c->dev, &b->buf[2], 0, y, c->out.elems, err);
}

static int run_matmul(struct lb_onnx_call *c, struct lb_err *err)
{
    struct lb_buffers buffers = {.d = c->dev};
    struct product p;
    float *a = input(c, 0, "A", err), *b = a ? input(c, 1, "B", err) : NULL, *y = NULL;
    int r = b && !product_shape(c->in[0], c->in[1], &p, err) && (y = output(c, p.ndim, p.shape, err)) ? 0 : -1;
    if (!r && c->out.elems)
        r = lb_buffers_put(&buffers, 0, a, c->in[0]->elems, 1, err) || lb_buffers_put(&buffers, 1, b, c->in[1]->elems, 1, err) ||
                    lb_buffers_put(&buffers, 2, NULL, c->out.elems, 1, err) || run_products(c, &p, &buffers, y, err)
                ? -1
                : 0;
    lb_buffers_finish(&buffers);
    lb_free(a);
    lb_free(b);
    return r;
}

/* ---- MatMulNBits ------------------------------------------------------------------------------------------------------------------ */

static int run_nbits(struct lb_onnx_call *c, struct lb_err *err)
{
    const int64_t four = 4, zero = 0;
    struct lb_nbits_attributes at;
    const struct lb_nbits_inputs in = {c->in[1], c->in[2], c->in[3], c->in[4], c->in[5]};
    const struct lb_tensor *a = c->in[0];
    struct lb_nbits *w = NULL;
    size_t shape[LB_MAX_DIMS];
    char text[LB_MAX_DIMS * 24];
    float *x = NULL, *y;
    if (whole(c->node, "K", NULL, &at.k, err) || whole(c->node, "N", NULL, &at.n, err) || whole(c->node, "bits", &four, &at.bits, err) ||
        whole(c->node, "block_size", NULL, &at.block_size, err) || whole(c->node, "accuracy_level", &zero, &at.accuracy_level, err) ||
        lb_nbits_create(&at, &in, &w, err))
        return -1;
    int r = a->ndim && a->shape[a->ndim - 1] == (size_t)at.k ? 0
                                                             : lb_fail(err, "input A: shape %s, wanted (..., K), K being %zu",
                                                                       lb_shape_text(a->ndim, a->shape, text, sizeof text), (size_t)at.k);
    if (!r) {
        memcpy(shape, a->shape, sizeof shape);
        shape[a->ndim - 1] = (size_t)at.n;
        r = (x = input(c, 0, "A", err)) && (y = output(c, a->ndim, shape, err))
                ? lb_nbits_forward(w, c->dev, x, a->elems / (size_t)at.k, y, err)
                : -1;
    }
    lb_free(x);
    lb_nbits_destroy(w);
    return r;
}

/* ---- The table -------------------------------------------------------------------------------------------------------------------- */

static const struct lb_onnx_op ops[] = {
    {"", "MatMul", {"A", "B"}, 2, {NULL}, run_matmul},
    {"", "Add", {"A", "B"}, 2, {NULL}, run_add},
    {"", "Relu", {"X"}, 1, {NULL}, run_relu},
    {"", "Constant", {NULL}, 0, {"value", "value_float", "value_floats", "value_int", "value_ints"}, run_constant},
    {"com.microsoft",
     "MatMulNBits",
     {"A", "B", "scales", "zero_points", "g_idx", "bias"},
     3,
     {"K", "N", "bits", "block_size", "accuracy_level"},
     run_nbits},
};
enum { OPS = sizeof ops / sizeof *ops };

const struct lb_onnx_op *lb_onnx_find(const char *domain, const char *name)
{
    const char *d = strcmp(domain, "ai.onnx") ? domain : "";
    for (size_t i = 0; i < OPS; i++)
        if (!strcmp(ops[i].domain, d) && !strcmp(ops[i].name, name))
            return &ops[i];
    return NULL;
}

const char *lb_onnx_operator(size_t i, const char **domain)
{
    *domain = i < OPS ? ops[i].domain : NULL;
    return i < OPS ? ops[i].name : NULL;
}
