/* SPDX-License-Identifier: MIT */
/* net_packed.c - a net whose weights stay in their formats, and whose layers may read formatted activations. */
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/format/scale.h"
#include "core/nn/net_impl.h"

#include <stdio.h>
#include <string.h>

void lb_net_free_packed(struct lb_net *n)
{
    for (size_t i = 0; n->packed && i < n->m->n_params; i++)
        if (n->packed[i])
            n->d->ops->weights_free(n->d->dev, n->packed[i]);
    for (size_t i = 0; n->formats && i < n->m->n_params; i++)
        lb_packed_finish(&n->formats[i]);
    for (size_t i = 0; n->quantizer && i < n->m->n_layers; i++)
        if (n->quantizer[i])
            n->d->ops->quantizer_free(n->d->dev, n->quantizer[i]);
    lb_free(n->packed);
    lb_free(n->formats);
    for (size_t i = 0; n->round && i < n->m->n_layers; i++)
        lb_free(n->round[i].x);
    lb_free(n->quantizer);
    lb_free(n->round);
}

int lb_net_unpacked(const struct lb_net *n)
{
    return n->unpacked;
}

/* The number in the names of a layer's parameters. */
static size_t number_of(const struct lb_model *m, size_t layer)
{
    return m->params[m->layers[layer].weight].layer;
}

/* ---- Parameters ---- */

enum { UNPACKED = 4096 }; /* elements at a time */

/* Parameter i as binary32 on the device. */
static int unpack(struct lb_net *n, size_t i, const struct lb_packed *w, struct lb_err *err)
{
    const struct lb_param_tensor *p = &n->m->params[i];
    float piece[UNPACKED];
    if (!n->w[i].ptr && lb_buf_create(n->d, p->elems, &n->w[i], err))
        return -1;
    for (size_t r = 0; r < w->rows; r++)
        for (size_t j = 0; j < w->cols; j += UNPACKED) {
            const size_t many = w->cols - j < UNPACKED ? w->cols - j : UNPACKED;
            lb_packed_row(w, r, j, many, piece);
            if (lb_buf_write(n->d, &n->w[i], r * w->cols + j, piece, many, err))
                return -1;
        }
    return 0;
}

static int is_binary32(const struct lb_packed *w)
{
    return w->q.codec->bits == 32 && w->q.codec->kind == LB_FLOAT && !w->scaled;
}

static int take_weight(struct lb_net *n, size_t i, const struct lb_packed *w, struct lb_err *err)
{
    const struct lb_backend *b = n->d->ops;
    char why[256] = "";
    size_t bytes = 0;
    if (!n->integer && (is_binary32(w) || !b->weights_create)) {
        n->unpacked += !is_binary32(w);
        return unpack(n, i, w, err);
    }
    if (n->integer && (!b->weights_create || !b->gemm_int8 || !b->conv2d_int8))
        return lb_fail(err, "unsupported: backend %s has no integer products", b->base.name);
    n->d->log[0] = 0;
    n->packed[i] = b->weights_create(n->d->dev, w, n->integer ? LB_USE_INT8 : LB_USE_F32, &bytes, why, sizeof why);
    if (n->packed[i])
        return 0;
    if (!why[0])
        return lb_backend_result(n->d, "weights_create", -1, err);
    if (n->integer)
        return lb_fail(err, "unsupported: backend %s: %s: %s", b->base.name, n->m->params[i].name, why);
    n->unpacked++;
    return unpack(n, i, w, err);
}

static int same_shape(const struct lb_safetensors *st, const struct lb_param_tensor *p, struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS];
    char found[128], wanted[128];
    if (lb_format_shape(st, p->name, &ndim, shape, err))
        return -1;
    if (ndim == p->ndim && !memcmp(shape, p->shape, ndim * sizeof *shape))
        return 0;
    return lb_fail(err, "tensor %s: shape %s, expected %s", p->name, lb_shape_text(ndim, shape, found, sizeof found),
                   lb_shape_text(p->ndim, p->shape, wanted, sizeof wanted));
}

static int take_parameters(struct lb_net *n, const struct lb_safetensors *st, struct lb_err *err)
{
    int r = 0;
    const struct lb_packed_tensor *like = NULL; /* that stays: most weights are in one format */
    for (size_t i = 0; !r && i < n->m->n_params; i++) {
        struct lb_packed_tensor *t = &n->formats[i]; /* stays where it is: codes point into it */
        r = same_shape(st, &n->m->params[i], err) || lb_packed_open_like(st, n->m->params[i].name, like, t, err) ? -1 : 0;
        if (!r)
            r = n->m->params[i].is_bias ? unpack(n, i, &t->p, err) : take_weight(n, i, &t->p, err);
        if (!n->packed[i]) {
            lb_packed_finish(t);
            continue;
        }
        lb_packed_drop(t);
        like = t->borrowed ? like : t;
    }
    return r;
}

/* ---- Activations ---- */

/* "<layer>.input.scale" and, of an asymmetric format, "<layer>.input.zero_point". */
static void calibrated_name(size_t layer, const char *what, char name[48])
{
    snprintf(name, 48, "%zu.input.%s", layer, what);
}

static int calibrated_value(const struct lb_safetensors *st, size_t layer, const char *what, float *value, struct lb_err *err)
{
    char name[48];
    calibrated_name(layer, what, name);
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    if (!t || t->dtype != LB_F32 || t->elems != 1)
        return lb_fail(err, "tensor %s: expected one F32 value, the calibrated %s of what layer %zu reads", name, what, layer);
    memcpy(value, t->data, sizeof *value);
    return 0;
}

/* A quantizer of the device, or 1 where it has none for the format. */
static int ask_device(struct lb_net *n, size_t layer, const struct lb_format *f, float s, struct lb_err *err)
{
    const struct lb_backend *b = n->d->ops;
    struct lb_quantizer_tables *tables = NULL;
    char why[256] = "";
    if (!b->quantizer_create || !b->quantize || lb_quantizer_lacks(f))
        return 1;
    if (lb_quantizer_create(f, s, &tables, err))
        return -1;
    const struct lb_quantizer *q = lb_quantizer_data(tables);
    n->unlike |= q->stochastic;
    n->d->log[0] = 0;
    n->quantizer[layer] = b->quantizer_create(n->d->dev, q, why, sizeof why);
    lb_quantizer_destroy(tables);
    if (n->quantizer[layer] || why[0])
        return n->quantizer[layer] ? 0 : 1;
    return lb_fail(err, "backend %s: activations: %s", b->base.name, n->d->log);
}

/* Numbers are binary32 already, a stored NaN being the one that it makes. */
static int changes_nothing(const struct lb_format *f)
{
    const int overflow = f->config->overflow;
    return f->codec->bits == 32 && f->codec->kind == LB_FLOAT && f->config->rule == LB_SCALE_NONE &&
           (overflow < 0 || (uint32_t)overflow == f->codec->overflow);
}

static int take_input(struct lb_net *n, size_t layer, const struct lb_net_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->activations->config;
    const size_t number = number_of(n->m, layer);
    struct lb_round r = {.f = f->activations, .host = &n->d->host, .calibrated = c->calibrated};
    size_t elems;
    if (c->calibrated && (calibrated_value(f->weights, number, "scale", &r.s, err) ||
                          (c->rule == LB_SCALE_ASYMMETRIC && calibrated_value(f->weights, number, "zero_point", &r.z, err))))
        return -1;
    if (changes_nothing(f->activations))
        return 0;
    const int left = ask_device(n, layer, f->activations, r.s, err);
    if (left <= 0)
        return left;
    if (lb_mul(n->batch, n->m->layers[layer].in, &elems))
        return lb_fail(err, "layer %zu: its inputs are too many", number);
    n->round[layer] = (struct lb_net_round){.r = r, .x = lb_alloc(elems, sizeof(float), err)};
    n->unlike = 1;
    n->unpacked++;
    return n->round[layer].x ? 0 : -1;
}

static int take_activations(struct lb_net *n, const struct lb_net_format *f, struct lb_err *err)
{
    int r = lb_round_check(f->activations, err);
    for (size_t i = 0; !r && i < n->m->n_layers; i++)
        if (n->m->layers[i].weight >= 0)
            r = take_input(n, i, f, err);
    return r;
}

int lb_net_create_packed(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_format *f, struct lb_net **out,
                         struct lb_err *err)
{
    unsigned char *f32 = lb_alloc(m->n_params, 1, err);
    *out = NULL;
    if (!f32)
        return -1;
    for (size_t i = 0; i < m->n_params; i++)
        f32[i] = m->params[i].is_bias != 0;
    struct lb_net *n = NULL;
    int r = lb_net_allocate(m, d, batch, f32, 0, &n, err);
    lb_free(f32);
    if (r)
        return -1;
    n->integer = f->integer;
    n->integer_block = f->integer_block;
    n->seed = f->seed;
    n->packed = lb_alloc(m->n_params, sizeof *n->packed, err);
    n->formats = lb_alloc(m->n_params, sizeof *n->formats, err);
    n->quantizer = lb_alloc(m->n_layers, sizeof *n->quantizer, err);
    n->round = lb_alloc(m->n_layers, sizeof *n->round, err);
    if (!n->packed || !n->formats || !n->quantizer || !n->round || take_parameters(n, f->weights, err) ||
        (f->activations && take_activations(n, f, err))) {
        lb_net_destroy(n);
        return -1;
    }
    *out = n;
    return 0;
}

/* ---- Calibration ---- */

/* seen (n, in of the layer): what it reads. Layer by layer, so that no more than one layer's inputs are held. */
static int layer_inputs(struct lb_net *net, const struct lb_model *m, size_t layer, const float *x, size_t n, size_t batch, float *seen,
                        float *y, struct lb_err *err)
{
    const size_t in = m->layers[0].in, width = m->layers[layer].in;
    for (size_t at = 0; at < n; at += batch) {
        const size_t many = n - at < batch ? n - at : batch;
        if (lb_net_infer(net, x + at * in, many, y, NULL, err) || lb_net_layer_input(net, layer, many, seen + at * width, err))
            return -1;
    }
    return 0;
}

static int add_value(struct lb_safetensors *out, size_t layer, const char *what, float value, struct lb_err *err)
{
    struct lb_tensor t = {0};
    char name[48];
    calibrated_name(layer, what, name);
    if (lb_tensor_init(&t, LB_F32, 0, NULL, err))
        return -1;
    memcpy(t.data, &value, sizeof value);
    const int r = lb_safetensors_add(out, name, &t, err);
    lb_tensor_finish(&t);
    return r;
}

int lb_calibrate(const struct lb_model *m, struct lb_dev *d, const struct lb_format *f, const float *x, size_t n, size_t batch,
                 struct lb_safetensors *out, struct lb_err *err)
{
    struct lb_net *net = NULL;
    float *y = lb_alloc(batch * m->classes, sizeof *y, err);
    int r = !y || lb_net_create(m, d, batch, 0, &net, err) ? -1 : 0;
    for (size_t i = 0; !r && i < m->n_layers; i++) {
        if (m->layers[i].weight < 0)
            continue;
        const size_t shape[2] = {n, m->layers[i].in};
        struct lb_groups g;
        struct lb_scales s = {0};
        size_t elems;
        float *seen = lb_mul(n, m->layers[i].in, &elems) ? NULL : lb_alloc(elems, sizeof *seen, err);
        r = !seen || layer_inputs(net, m, i, x, n, batch, seen, y, err) || lb_groups_of(f, 2, shape, &g, err) ||
                    lb_scales_make(f, &g, seen, &s, err) || add_value(out, number_of(m, i), "scale", s.s[0], err) ||
                    (s.zeros && add_value(out, number_of(m, i), "zero_point", s.zeros[0], err))
                ? -1
                : 0;
        lb_scales_finish(&s);
        lb_free(seen);
    }
    lb_net_destroy(net);
    lb_free(y);
    return r;
}
