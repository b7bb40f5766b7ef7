/* SPDX-License-Identifier: MIT */
/* net_packed.c - a net whose weights stay in their formats, and whose layers may read formatted activations. */
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/nn/calibrate.h"
#include "core/nn/net_impl.h"
#include "core/nn/q_net.h"

#include <stdio.h>
#include <string.h>

void lb_net_free_packed(struct lb_net *n)
{
    for (size_t i = 0; n->packed && i < n->m->n_params; i++)
        if (n->packed[i])
            n->d->ops->weights_free(n->d->dev, n->packed[i]);
    for (size_t i = 0; n->formats && i < n->m->n_params; i++)
        lb_packed_finish(&n->formats[i]);
    struct lb_net_place *places[] = {n->reads, n->sums};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        for (size_t i = 0; places[p] && i < n->m->n_layers; i++) {
            if (places[p][i].quantizer)
                n->d->ops->quantizer_free(n->d->dev, places[p][i].quantizer);
            lb_free(places[p][i].x);
        }
        lb_free(places[p]);
    }
    lb_free(n->packed);
    lb_free(n->formats);
}

int lb_net_unpacked(const struct lb_net *n)
{
    return n->unpacked;
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

int lb_net_same_shape(const struct lb_safetensors *st, const struct lb_param_tensor *p, struct lb_err *err)
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

static int is_of_integer_layer(const struct lb_model *m, const unsigned char *integer, size_t param)
{
    for (size_t i = 0; i < m->n_layers; i++)
        if (integer[i] && (m->layers[i].weight == (int)param || m->layers[i].bias == (int)param))
            return 1;
    return 0;
}

/* Of the layers that are not integer ones. */
static int take_parameters(struct lb_net *n, const struct lb_safetensors *st, const unsigned char *integer, struct lb_err *err)
{
    int r = 0;
    const struct lb_packed_tensor *like = NULL; /* that stays: most weights are in one format */
    for (size_t i = 0; !r && i < n->m->n_params; i++) {
        struct lb_packed_tensor *t = &n->formats[i]; /* stays where it is: codes point into it */
        if (is_of_integer_layer(n->m, integer, i))
            continue;
        r = lb_net_same_shape(st, &n->m->params[i], err) || lb_packed_open_like(st, n->m->params[i].name, like, t, err) ? -1 : 0;
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

/* A quantizer of the device, or 1 where it has none for the format. */
static int ask_device(struct lb_net *n, struct lb_net_place *p, const struct lb_format *f, float s, struct lb_err *err)
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
    p->quantizer = b->quantizer_create(n->d->dev, q, why, sizeof why);
    lb_quantizer_destroy(tables);
    if (p->quantizer || why[0])
        return p->quantizer ? 0 : 1;
    return lb_fail(err, "backend %s: activations: %s", b->base.name, n->d->log);
}

/* Numbers are binary32 already, a stored NaN being the one that it makes. */
static int changes_nothing(const struct lb_format *f)
{
    const int overflow = f->config->overflow;
    return f->codec->bits == 32 && f->codec->kind == LB_FLOAT && f->config->rule == LB_SCALE_NONE &&
           (overflow < 0 || (uint32_t)overflow == f->codec->overflow);
}

/* How what layer `layer` has at `of` ("input" or "sum": `width` numbers a sample) is taken into the format. */
static int make_place(struct lb_net *n, size_t layer, const char *of, size_t width, const struct lb_net_format *f, struct lb_net_place *p,
                      struct lb_err *err)
{
    const struct lb_format_config *c = f->activations->config;
    const size_t number = n->m->layers[layer].index;
    struct lb_round r = {.f = f->activations, .host = &n->d->host, .calibrated = c->calibrated};
    size_t elems;
    if (c->calibrated && lb_calibrate_read(f->weights, number, of, f->activations, &r.s, &r.z, err))
        return -1;
    if (changes_nothing(f->activations))
        return 0;
    const int left = ask_device(n, p, f->activations, r.s, err);
    if (left <= 0)
        return left;
    if (lb_mul(n->batch, width, &elems))
        return lb_fail(err, "layer %zu: its numbers are too many", number);
    *p = (struct lb_net_place){.r = r, .x = lb_alloc(elems, sizeof(float), err)};
    n->unlike = 1;
    n->unpacked++;
    return p->x ? 0 : -1;
}

static int take_activations(struct lb_net *n, const struct lb_net_format *f, struct lb_err *err)
{
    int r = lb_round_check(f->activations, err);
    for (size_t i = 0; !r && i < n->m->n_layers; i++) {
        const struct lb_layer *l = &n->m->layers[i];
        if (l->weight >= 0)
            r = make_place(n, i, "input", l->in, f, &n->reads[i], err) || (f->sums && make_place(n, i, "sum", l->out, f, &n->sums[i], err));
    }
    return r ? -1 : 0;
}

/* What is there in binary32, where some layers are integer ones: biases and outputs of the others, and outputs that an integer layer hands to them. */
static void choose_parts(const struct lb_model *m, const unsigned char *integer, unsigned char *f32, unsigned char *numbers)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        numbers[i] = !lb_q_to_codes(m, integer, i);
        if (m->layers[i].bias >= 0)
            f32[m->layers[i].bias] = !integer[i];
    }
}

static int create(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_format *f, const unsigned char *integer,
                  unsigned char *f32, unsigned char *numbers, struct lb_net **out, struct lb_err *err)
{
    const struct lb_net_parts parts = {.f32 = f32, .numbers = numbers};
    choose_parts(m, integer, f32, numbers);
    if (lb_net_allocate(m, d, batch, &parts, 0, out, err))
        return -1;
    struct lb_net *n = *out;
    n->integer = f->integer;
    n->integer_block = f->integer_block;
    n->seed = f->seed;
    n->packed = lb_alloc(m->n_params, sizeof *n->packed, err);
    n->formats = lb_alloc(m->n_params, sizeof *n->formats, err);
    n->reads = lb_alloc(m->n_layers, sizeof *n->reads, err);
    n->sums = lb_alloc(m->n_layers, sizeof *n->sums, err);
    if (!n->packed || !n->formats || !n->reads || !n->sums || take_parameters(n, f->weights, integer, err) ||
        (f->activations && take_activations(n, f, err)))
        return -1;
    return lb_q_is_model(f->weights) ? lb_q_net_create(n, f->weights, integer, &n->q, err) : 0;
}

int lb_net_create_packed(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_format *f, struct lb_net **out,
                         struct lb_err *err)
{
    unsigned char *f32 = lb_alloc(m->n_params, 1, err), *numbers = lb_alloc(m->n_layers, 1, err), *integer = lb_alloc(m->n_layers, 1, err);
    *out = NULL;
    if (integer && lb_q_is_model(f->weights))
        lb_q_layers(m, f->weights, integer);
    const int r = f32 && numbers && integer ? create(m, d, batch, f, integer, f32, numbers, out, err) : -1;
    lb_free(f32);
    lb_free(numbers);
    lb_free(integer);
    if (!r)
        return 0;
    lb_net_destroy(*out);
    *out = NULL;
    return -1;
}

/* ---- What layers read and give ---- */

size_t lb_net_batch(const struct lb_net *n)
{
    return n->batch;
}

int lb_net_layer_output(struct lb_net *n, size_t layer, size_t batch, float *y, struct lb_layer_codes *codes, struct lb_err *err)
{
    if (codes)
        codes->integer = n->q && lb_q_net_is_integer(n->q, layer);
    if (n->q && lb_q_net_gives_codes(n->q, layer))
        return lb_q_net_output(n, layer, batch, y, codes, err);
    return lb_buf_read(n->d, &n->y[layer], 0, y, batch * n->m->layers[layer].out, err);
}

int lb_net_layer_inputs(struct lb_net *net, size_t layer, const float *x, size_t n, float *seen, float *y, struct lb_err *err)
{
    const size_t in = net->m->layers[0].in, width = net->m->layers[layer].in;
    for (size_t at = 0; at < n; at += net->batch) {
        const size_t many = n - at < net->batch ? n - at : net->batch;
        if (lb_net_infer(net, x + at * in, many, y, NULL, err) || lb_net_layer_input(net, layer, many, seen + at * width, err))
            return -1;
    }
    return 0;
}
