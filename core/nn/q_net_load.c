/* SPDX-License-Identifier: MIT */
/* q_net_load.c - integer layers of a net, as a file has them. */
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/nn/q_net_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int lb_q_is_model(const struct lb_safetensors *st)
{
    return json_object_get(st->metadata, "lowbit.activations") != NULL;
}

void lb_q_layers(const struct lb_model *m, const struct lb_safetensors *st, unsigned char *integer)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        char name[48];
        snprintf(name, sizeof name, "%zu.input.scale", m->layers[i].index);
        integer[i] = m->layers[i].act != LB_ACT_SOFTMAX && lb_safetensors_find(st, name) != NULL;
    }
}

/* ---- Layouts ---- */

static int same_image(struct image a, struct image b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

/* How layer i wants its input, `as` it comes where it takes any. */
static struct image wanted(const struct lb_model *m, const unsigned char *integer, size_t i, struct image as)
{
    while (i < m->n_layers && integer[i] && m->layers[i].type == LB_ACTIVATION)
        i++;
    if (i < m->n_layers && integer[i] && m->layers[i].type == LB_CONV2D)
        return (struct image){m->layers[i].conv.c, m->layers[i].conv.h, m->layers[i].conv.w};
    return as;
}

static struct image row(size_t n)
{
    return (struct image){n, 1, 1};
}

static void lay_out(const struct lb_model *m, const unsigned char *integer, struct lb_q_net *q)
{
    struct image comes = row(m->layers[0].in);
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct lb_layer *l = &m->layers[i];
        struct q_layer *y = &q->layer[i];
        if (!integer[i]) {
            comes = row(l->out);
            continue;
        }
        y->image = wanted(m, integer, i, comes);
        y->out_image = l->type == LB_CONV2D  ? (struct image){l->conv.o, l->conv.oh, l->conv.ow}
                       : l->type == LB_DENSE ? wanted(m, integer, i + 1, row(l->out))
                                             : y->image;
        comes = y->to_codes ? y->out_image : row(l->out);
    }
}

/* ---- Weights ---- */

/* k of a layer's weights, counted as the file has them, where the device has it. */
static size_t place_k(const struct lb_layer *l, struct image in, size_t k)
{
    if (l->type == LB_DENSE)
        return lb_q_place(in, k);
    const size_t taps = l->conv.kh * l->conv.kw;
    return k % taps * l->conv.c + k / taps;
}

static void put_code(unsigned char *row_codes, uint32_t type, size_t k, int32_t w)
{
    if (type == LB_Q_S8 || type == LB_Q_U8)
        row_codes[k] = (unsigned char)w;
    else
        row_codes[k / 2] |= (unsigned char)((w & 15) << (k % 2 ? 4 : 0));
}

/* |a - zero| at most. */
static int64_t reach(const struct lb_q_params *p)
{
    const int64_t below = (int64_t)p->zero - p->low, above = (int64_t)p->high - p->zero;
    return below > above ? below : above;
}

/* Sums must fit in 32 bits, whatever the input. */
static int check_sum(const char *name, const struct lb_q_weights *w, size_t j, int32_t bias, const struct lb_q_params *in,
                     struct lb_err *err)
{
    int64_t sum = 0, most = bias < 0 ? -(int64_t)bias : bias;
    for (size_t k = 0; k < w->cols; k++) {
        const int64_t v = (int64_t)w->w[j * w->cols + k] - (w->zero ? w->zero[j] : 0);
        sum += v < 0 ? -v : v;
    }
    most += sum * reach(in);
    return most <= INT32_MAX ? 0
                             : lb_fail(err, "tensor %s: output %zu: its sum of %zu products and the bias may reach %lld; 32 bits hold %d",
                                       name, j, w->cols, (long long)most, INT32_MAX);
}

/* The numbers of `name`, n of 4 bytes. */
static const void *numbers(const struct lb_safetensors *st, const char *name, enum lb_dtype_id dtype, size_t n, struct lb_err *err)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    if (t && t->dtype == dtype && t->elems == n)
        return t->data;
    lb_fail(err, "tensor %s: expected %zu numbers of %s, found %s", name, n, lb_dtypes[dtype].name,
            !t                  ? "no such tensor"
            : t->dtype == dtype ? "another number of them"
                                : lb_dtypes[t->dtype].name);
    return NULL;
}

struct rows { /* by output, where the device has it */
    unsigned char *codes;
    int32_t *zero, *bias, *multiplier, *shift;
    float *unit;
};

/* What decides the scale of output j's codes. */
static int scale_row(const struct lb_layer *l, const struct q_layer *y, const struct lb_q_params *to, const char *name, size_t j,
                     float unit, int32_t *multiplier, int32_t *shift, struct lb_err *err)
{
    const double alpha = l->act == LB_ACT_SCALED_RELU ? (double)l->alpha : 1;
    if (!isfinite(unit) || !(unit > 0))
        return lb_fail(err, "tensor %s.scale: expected finite numbers above 0, found %g", name, (double)unit);
    if (y->to_codes && lb_q_multiplier((double)unit * alpha / (double)to->scale, multiplier, shift))
        return lb_fail(err, "tensor %s.scale: output %zu: %g is too large for outputs in units of %g", name, j, (double)unit,
                       (double)to->scale);
    return 0;
}

static int fill_rows(const struct lb_net *n, const struct lb_safetensors *st, size_t i, const struct lb_q_weights *w, struct q_layer *y,
                     const struct lb_q_params *to, struct rows *r, size_t row_bytes, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    const char *weight = n->m->params[l->weight].name, *bias = n->m->params[l->bias].name;
    char name[48];
    snprintf(name, sizeof name, "%s.scale", bias);
    const int32_t *biases = numbers(st, bias, LB_I32, w->rows, err);
    const float *units = biases ? numbers(st, name, LB_F32, w->rows, err) : NULL;
    if (!units)
        return -1;
    for (size_t j = 0; j < w->rows; j++) {
        const size_t at = l->type == LB_DENSE ? lb_q_place(y->out_image, j) : j;
        memcpy(&r->bias[at], &biases[j], sizeof *biases); /* tensors of a file may lie anywhere */
        memcpy(&r->unit[at], &units[j], sizeof *units);
        if (check_sum(weight, w, j, r->bias[at], &y->in, err) ||
            scale_row(l, y, to, bias, j, r->unit[at], &r->multiplier[at], &r->shift[at], err))
            return -1;
        r->zero[at] = w->zero ? w->zero[j] : 0;
        for (size_t k = 0; k < w->cols; k++)
            put_code(r->codes + at * row_bytes, w->type, place_k(l, y->image, k), w->w[j * w->cols + k]);
    }
    return 0;
}

static int create_weights(struct lb_net *n, const struct lb_safetensors *st, size_t i, const struct lb_q_weights *w, struct q_layer *y,
                          const struct lb_q_params *to, struct lb_err *err)
{
    const size_t bits = w->type == LB_Q_S4 || w->type == LB_Q_U4 ? 4 : 8, row_bytes = (w->cols * bits + 7) / 8;
    struct rows r = {0};
    size_t bytes;
    r.codes = lb_mul(w->rows, row_bytes, &bytes) ? NULL : lb_alloc(bytes + 1, 1, err);
    r.zero = lb_alloc(w->rows, sizeof *r.zero, err);
    r.bias = lb_alloc(w->rows, sizeof *r.bias, err);
    r.multiplier = lb_alloc(w->rows, sizeof *r.multiplier, err);
    r.shift = lb_alloc(w->rows, sizeof *r.shift, err);
    r.unit = lb_alloc(w->rows, sizeof *r.unit, err);
    int failed =
        !r.codes || !r.zero || !r.bias || !r.multiplier || !r.shift || !r.unit || fill_rows(n, st, i, w, y, to, &r, row_bytes, err);
    if (!failed) {
        const struct lb_q_matrix m = {.rows = w->rows,
                                      .cols = w->cols,
                                      .type = w->type,
                                      .codes = r.codes,
                                      .row_bytes = row_bytes,
                                      .zero = w->zero ? r.zero : NULL,
                                      .bias = r.bias,
                                      .multiplier = y->to_codes ? r.multiplier : NULL,
                                      .shift = y->to_codes ? r.shift : NULL};
        y->w = n->d->ops->q_weights_create(n->d->dev, &m, &bytes);
        failed = y->w ? 0 : lb_backend_result(n->d, "q_weights_create", -1, err);
    }
    failed = failed || lb_buf_create(n->d, w->rows, &y->unit, err) || lb_buf_write(n->d, &y->unit, 0, r.unit, w->rows, err);
    lb_free(r.codes);
    lb_free(r.zero);
    lb_free(r.bias);
    lb_free(r.multiplier);
    lb_free(r.shift);
    lb_free(r.unit);
    return failed ? -1 : 0;
}

static int take_weights(struct lb_net *n, const struct lb_safetensors *st, size_t i, struct q_layer *y, const struct lb_q_params *to,
                        struct lb_err *err)
{
    const struct lb_param_tensor *p = &n->m->params[n->m->layers[i].weight];
    struct lb_packed_tensor t = {0};
    struct lb_q_weights w = {0};
    const int r = lb_net_same_shape(st, p, err) || lb_packed_open(st, p->name, &t, err) || lb_q_weights_of(&t.p, p->name, &w, err) ||
                          create_weights(n, st, i, &w, y, to, err)
                      ? -1
                      : 0;
    lb_q_weights_finish(&w);
    lb_packed_finish(&t);
    return r;
}

/* ---- A layer ---- */

static int take_params(const struct lb_q_net *q, const struct lb_safetensors *st, const struct lb_layer *l, const char *of,
                       struct lb_q_params *out, struct lb_err *err)
{
    float s, z;
    char what[48];
    snprintf(what, sizeof what, "%zu.%s", l->index, of);
    return lb_calibrate_read(st, l->index, of, q->activations, &s, &z, err) || lb_q_params_of(q->activations, s, z, what, out, err) ? -1
                                                                                                                                    : 0;
}

/* The activation as a table of codes. */
static int create_table(struct lb_net *n, const struct lb_layer *l, const struct lb_q_params *from, const struct lb_q_params *to,
                        struct q_layer *y, struct lb_err *err)
{
    unsigned char table[256];
    lb_q_table_fill(from, to, lb_q_act(l->act), l->alpha, table);
    return lb_buf_create(n->d, lb_q_words(sizeof table), &y->table, err) ||
                   lb_buf_write(n->d, &y->table, 0, table, lb_q_words(sizeof table), err)
               ? -1
               : 0;
}

static int create_buffers(struct lb_net *n, size_t i, struct lb_q_net *q, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct q_layer *y = &q->layer[i];
    const int from_codes = i && q->layer[i - 1].to_codes;
    const struct image comes = from_codes ? q->layer[i - 1].out_image : row(l->in);
    if (lb_buf_create(n->d, lb_q_words(n->batch * l->in), &y->codes, err) || lb_buf_create(n->d, 1, &y->in_scale, err) ||
        lb_buf_write(n->d, &y->in_scale, 0, &y->in.scale, 1, err))
        return -1;
    if (!same_image(comes, y->image) && (lb_q_is_turned(comes) || lb_q_is_turned(y->image)) &&
        lb_buf_create(n->d, lb_q_words(n->batch * l->in), &y->turned, err))
        return -1;
    if (from_codes && y->turned.ptr && lb_q_is_turned(comes) && lb_q_is_turned(y->image))
        return lb_fail(
            err,
            "unsupported: layer %zu reads %zux%zux%zu channels last where %zux%zux%zu come: a reshape between two integer convolutions",
            l->index, y->image.c, y->image.h, y->image.w, comes.c, comes.h, comes.w);
    if (y->to_codes)
        return 0;
    return lb_buf_create(n->d, n->batch * l->out, &y->sums, err) ||
                   (lb_q_is_turned(y->out_image) && lb_buf_create(n->d, n->batch * l->out, &y->values, err))
               ? -1
               : 0;
}

static int create_layer(struct lb_net *n, const struct lb_safetensors *st, size_t i, struct lb_q_net *q, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct q_layer *y = &q->layer[i];
    const int by_table = l->act == LB_ACT_SIGMOID || l->act == LB_ACT_TANH || l->type == LB_ACTIVATION;
    struct lb_q_params to = {0}, sum;
    if (take_params(q, st, l, "input", &y->in, err) || (y->to_codes && take_params(q, st, &n->m->layers[i + 1], "input", &to, err)))
        return -1;
    sum = to;
    if (l->type == LB_ACTIVATION)
        sum = y->in;
    else if (by_table && y->to_codes && take_params(q, st, l, "sum", &sum, err))
        return -1;
    if (by_table && y->to_codes && create_table(n, l, &sum, &to, y, err))
        return -1;
    y->out = (struct lb_q_out){.type = sum.type, .zero = sum.zero, .low = sum.low, .high = sum.high};
    if (l->act == LB_ACT_RELU || l->act == LB_ACT_SCALED_RELU)
        y->out.low = sum.zero;
    if (!y->to_codes)
        y->out = (struct lb_q_out){.type = LB_Q_S32};
    return (l->weight >= 0 && take_weights(n, st, i, y, &sum, err)) || create_buffers(n, i, q, err) ? -1 : 0;
}

static int has_ops(const struct lb_backend *b)
{
    return b->q_weights_create && b->q_quantize && b->q_dequantize && b->q_table && b->q_copy;
}

/* A bias in whole numbers is of an integer layer: without the scale of its input it would be taken for numbers. */
static int check_biases(const struct lb_model *m, const struct lb_safetensors *st, const unsigned char *integer, struct lb_err *err)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        char name[48];
        if (m->layers[i].bias < 0 || integer[i])
            continue;
        snprintf(name, sizeof name, "%s.scale", m->params[m->layers[i].bias].name);
        const struct lb_tensor *t = lb_safetensors_find(st, m->params[m->layers[i].bias].name);
        if (t && t->dtype == LB_I32 && lb_safetensors_find(st, name))
            return lb_fail(
                err, "tensor %zu.input.scale: expected one F32 value, since layer %zu has a bias in whole numbers; found no such tensor",
                m->layers[i].index, m->layers[i].index);
    }
    return 0;
}

int lb_q_net_create(struct lb_net *n, const struct lb_safetensors *st, const unsigned char *integer, struct lb_q_net **out,
                    struct lb_err *err)
{
    const struct lb_model *m = n->m;
    const char *text = json_string_value(json_object_get(st->metadata, "lowbit.activations"));
    struct lb_q_net *q = *out = lb_alloc(1, sizeof *q, err);
    if (!has_ops(n->d->ops))
        return lb_fail(err, "unsupported: backend %s has no integer tensors", n->d->ops->base.name);
    if (!q || !text || !(q->layer = lb_alloc(m->n_layers, sizeof *q->layer, err)))
        return lb_fail(err, "metadata lowbit.activations: expected a format");
    if (lb_packed_config(text, "lowbit.activations", &q->config, err) || lb_format_create(&q->config, &q->activations, err) ||
        lb_q_check_activations(q->activations, err))
        return -1;
    for (size_t i = 0; i < m->n_layers; i++) {
        q->layer[i].integer = integer[i];
        q->layer[i].to_codes = lb_q_to_codes(m, integer, i);
        if (integer[i] && m->layers[i].type == LB_ACTIVATION && !q->layer[i].to_codes)
            return lb_fail(err, "tensor %zu.input.scale: layer %zu is an activation with no integer layer behind it", m->layers[i].index,
                           m->layers[i].index);
    }
    if (check_biases(m, st, integer, err))
        return -1;
    lay_out(m, integer, q);
    for (size_t i = 0; i < m->n_layers; i++)
        if (integer[i] && create_layer(n, st, i, q, err))
            return -1;
    return 0;
}

void lb_q_net_destroy(struct lb_net *n, struct lb_q_net *q)
{
    if (!q)
        return;
    for (size_t i = 0; q->layer && i < n->m->n_layers; i++) {
        struct q_layer *y = &q->layer[i];
        struct lb_buf *const buffers[] = {&y->codes, &y->in_scale, &y->turned, &y->sums, &y->unit, &y->values, &y->table};
        for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
            lb_buf_destroy(n->d, buffers[b]);
        if (y->w)
            n->d->ops->q_weights_free(n->d->dev, y->w);
    }
    lb_format_destroy(q->activations);
    lb_config_format_finish(&q->config);
    lb_free(q->layer);
    lb_free(q);
}
