/* SPDX-License-Identifier: MIT */
#include "core/nn/model.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { STREAM_PARAMS = 0x10000 }; /* + index of the parameter tensor */

struct shape {
    size_t c, h, w;
    int flat; /* a row of values that no image is made of, though 1 x 1 pixels of c channels look the same */
};

static size_t elems(struct shape s)
{
    return s.c * s.h * s.w;
}

static int add_param(struct lb_model *m, size_t layer, int is_bias, unsigned ndim, const size_t *shape, size_t fan_in, size_t fan_out,
                     const struct lb_init_config *init, struct lb_err *err)
{
    struct lb_param_tensor *p = &m->params[m->n_params];
    snprintf(p->name, sizeof p->name, "%zu.%s", layer, is_bias ? "bias" : "weight");
    p->layer = layer;
    p->ndim = ndim;
    p->elems = 1;
    for (unsigned i = 0; i < ndim; i++) {
        p->shape[i] = shape[i];
        if (lb_mul(p->elems, shape[i], &p->elems))
            return lb_fail(err, "model.layers[%zu]: more weights than this machine can address", layer);
    }
    p->is_bias = is_bias;
    p->fan_in = fan_in;
    p->fan_out = fan_out;
    p->init = *init;
    p->stream = STREAM_PARAMS + (uint32_t)m->n_params;
    m->n_weights += p->elems;
    return (int)m->n_params++;
}

static int add_dense(struct lb_model *m, size_t index, const struct lb_layer_config *c, struct lb_layer *l, struct shape *at,
                     struct lb_err *err)
{
    const size_t out = (size_t)c->units, in = elems(*at), shape[2] = {out, in};
    *at = (struct shape){out, 1, 1, 1};
    l->weight = add_param(m, index, 0, 2, shape, in, out, &c->init, err);
    l->bias = l->weight < 0 ? -1 : add_param(m, index, 1, 1, shape, in, out, &c->bias_init, err);
    return l->bias < 0 ? -1 : 0;
}

static int add_conv(struct lb_model *m, size_t index, const struct lb_layer_config *c, struct lb_layer *l, struct shape *at,
                    struct lb_err *err)
{
    struct lb_conv *s = &l->conv;
    *s = (struct lb_conv){.c = at->c,
                          .h = at->h,
                          .w = at->w,
                          .o = (size_t)c->filters,
                          .kh = (size_t)c->kernel[0],
                          .kw = (size_t)c->kernel[1],
                          .stride = (size_t)c->stride,
                          .pad = (size_t)c->padding};
    if (at->flat)
        return lb_fail(err, "model.layers[%zu]: conv2d needs an image, found %zu values; put a reshape layer before it", index, s->c);
    if (s->kh > s->h + 2 * s->pad || s->kw > s->w + 2 * s->pad)
        return lb_fail(err, "model.layers[%zu].kernel: %zux%zu is larger than the padded image %zux%zu", index, s->kh, s->kw,
                       s->h + 2 * s->pad, s->w + 2 * s->pad);
    s->oh = (s->h + 2 * s->pad - s->kh) / s->stride + 1;
    s->ow = (s->w + 2 * s->pad - s->kw) / s->stride + 1;
    *at = (struct shape){s->o, s->oh, s->ow, 0};
    const size_t shape[4] = {s->o, s->c, s->kh, s->kw}, taps = s->kh * s->kw;
    l->weight = add_param(m, index, 0, 4, shape, s->c * taps, s->o * taps, &c->init, err);
    l->bias = l->weight < 0 ? -1 : add_param(m, index, 1, 1, shape, s->c * taps, s->o * taps, &c->bias_init, err);
    return l->bias < 0 ? -1 : 0;
}

/* Adds the layers that one config layer stands for: none (flatten, reshape), one, or a softmax of its own behind a dense layer. */
static int add_layer(struct lb_model *m, size_t index, const struct lb_layer_config *c, struct shape *at, struct lb_err *err)
{
    const int last = index + 1 == m->config->n_layers;
    if (c->activation == LB_ACT_SOFTMAX && !last)
        return lb_fail(err, "model.layers[%zu].activation: softmax can only be the last", index);
    if (c->type == LB_FLATTEN) {
        *at = (struct shape){elems(*at), 1, 1, 1};
        return 0;
    }
    if (c->type == LB_RESHAPE) {
        const struct shape to = {(size_t)c->shape[0], (size_t)c->shape[1], (size_t)c->shape[2], 0};
        if (elems(to) != elems(*at))
            return lb_fail(err, "model.layers[%zu].shape: %zux%zux%zu are %zu values, expected %zu", index, to.c, to.h, to.w, elems(to),
                           elems(*at));
        *at = to;
        return 0;
    }
    struct lb_layer *l = &m->layers[m->n_layers++];
    *l = (struct lb_layer){
        .type = c->type, .act = c->activation, .alpha = (float)c->alpha, .in = elems(*at), .weight = -1, .bias = -1, .index = index};
    if (c->type == LB_DENSE && add_dense(m, index, c, l, at, err))
        return -1;
    if (c->type == LB_CONV2D && add_conv(m, index, c, l, at, err))
        return -1;
    l->out = elems(*at);
    if (c->type != LB_ACTIVATION && c->activation == LB_ACT_SOFTMAX) {
        l->act = LB_ACT_LINEAR;
        m->layers[m->n_layers++] = (struct lb_layer){
            .type = LB_ACTIVATION, .act = LB_ACT_SOFTMAX, .in = l->out, .out = l->out, .weight = -1, .bias = -1, .index = index};
    }
    return 0;
}

static int check_ablate(const struct lb_model *m, struct lb_err *err)
{
    for (size_t i = 0; i < m->config->n_ablate; i++) {
        size_t p = 0;
        while (p < m->n_params && m->params[p].layer != (size_t)m->config->ablate[i])
            p++;
        if (p == m->n_params)
            return lb_fail(err, "model.ablate[%zu]: layer %lld has no weights", i, (long long)m->config->ablate[i]);
    }
    return 0;
}

/* A name that is none of ours would be passed over, and the tensor that it was meant for be read under another. */
static int check_names(const struct lb_model *m, struct lb_err *err)
{
    const char *ours;
    json_t *theirs;
    json_object_foreach(m->config->names, ours, theirs)
    {
        size_t p = 0;
        while (p < m->n_params && strcmp(m->params[p].name, ours) != 0)
            p++;
        if (p == m->n_params)
            return lb_fail(err, "model.weight_names: no tensor of the model is named \"%.100s\"", ours);
    }
    return 0;
}

int lb_model_shape(const struct lb_model_config *config, size_t channels, size_t height, size_t width, size_t classes,
                   struct lb_model **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_model *m = lb_alloc(1, sizeof *m, err);
    if (!m)
        return -1;
    m->config = config;
    m->channels = channels;
    m->height = height;
    m->width = width;
    m->classes = classes;
    m->layers = lb_alloc(2 * config->n_layers, sizeof *m->layers, err);
    m->params = lb_alloc(2 * config->n_layers, sizeof *m->params, err);
    struct shape at = {channels, height, width, 0};
    int r = m->layers && m->params ? 0 : -1;
    for (size_t i = 0; !r && i < config->n_layers; i++)
        r = add_layer(m, i, &config->layers[i], &at, err);
    if (!r && m->n_layers == 0)
        r = lb_fail(err, "model.layers: no layer computes anything");
    if (!r && elems(at) != classes)
        r = lb_fail(err, "model.layers[%zu]: gives %zu outputs, but the data has %zu classes", config->n_layers - 1, elems(at), classes);
    if (!r)
        r = check_ablate(m, err) || check_names(m, err) ? -1 : 0;
    if (r) {
        lb_model_destroy(m);
        return -1;
    }
    const int act = m->layers[m->n_layers - 1].act;
    m->softmax_last = act == LB_ACT_SOFTMAX;
    m->logits = m->softmax_last || act == LB_ACT_LINEAR;
    *out = m;
    return 0;
}

int lb_model_create(const struct lb_model_config *config, size_t channels, size_t height, size_t width, size_t classes,
                    struct lb_model **out, struct lb_err *err)
{
    if (lb_model_shape(config, channels, height, width, classes, out, err))
        return -1;
    for (size_t i = 0; i < (*out)->n_params; i++) {
        struct lb_param_tensor *p = &(*out)->params[i];
        p->value = lb_alloc(p->elems, sizeof *p->value, err);
        if (p->value)
            continue;
        lb_fail_in(err, "model.layers[%zu]", p->layer);
        lb_model_destroy(*out);
        *out = NULL;
        return -1;
    }
    return 0;
}

void lb_model_destroy(struct lb_model *m)
{
    if (!m)
        return;
    for (size_t i = 0; m->params && i < m->n_params; i++)
        lb_free(m->params[i].value);
    lb_free(m->params);
    lb_free(m->layers);
    lb_free(m);
}

/* One initial value; u, v in [0, 1). */
static float initial(const struct lb_param_tensor *p, canon_words r)
{
    const float u = canon_unit(r.w[0]), in = (float)p->fan_in, both = (float)(p->fan_in + p->fan_out);
    const float sides = p->init.rule == LB_INIT_XAVIER_UNIFORM || p->init.rule == LB_INIT_XAVIER_NORMAL ? both : in;
    switch (p->init.rule) {
    case LB_INIT_HE_UNIFORM:
    case LB_INIT_XAVIER_UNIFORM:
        return canon_sqrt(canon_div(6.0f, sides)) * (2.0f * u - 1.0f);
    case LB_INIT_HE_NORMAL:
    case LB_INIT_XAVIER_NORMAL: {
        const float one_minus = ((float)(r.w[0] >> 8) + 1.0f) * 0x1p-24f; /* (0, 1] */
        const float normal = canon_sqrt(-2.0f * canon_log(one_minus)) * canon_cos(6.2831853f * canon_unit(r.w[1]));
        return canon_sqrt(canon_div(2.0f, sides)) * normal;
    }
    case LB_INIT_UNIFORM:
        return (float)p->init.low + ((float)p->init.high - (float)p->init.low) * u;
    case LB_INIT_FAN_IN:
        return canon_div(2.0f * u - 1.0f, in);
    default:
        return 0.0f;
    }
}

void lb_model_init(struct lb_model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t j = 0; j < m->params[i].elems; j++)
            m->params[i].value[j] = initial(&m->params[i], canon_random64(seed, m->params[i].stream, j));
}

void lb_model_ablate(struct lb_model *m)
{
    for (size_t i = 0; i < m->config->n_ablate; i++)
        for (size_t p = 0; p < m->n_params; p++)
            if (m->params[p].layer == (size_t)m->config->ablate[i])
                memset(m->params[p].value, 0, m->params[p].elems * sizeof *m->params[p].value);
}

int lb_model_tensors(const struct lb_model *m, struct lb_safetensors *st, struct lb_err *err)
{
    for (size_t i = 0; i < m->n_params; i++) {
        const struct lb_param_tensor *p = &m->params[i];
        struct lb_tensor t = {
            .dtype = LB_F32, .ndim = p->ndim, .elems = p->elems, .bytes = 4 * p->elems, .data = (unsigned char *)p->value};
        memcpy(t.shape, p->shape, sizeof p->shape);
        if (lb_safetensors_add(st, p->name, &t, err))
            return -1;
    }
    return 0;
}

int lb_model_save(const struct lb_model *m, const char *path, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    int r = lb_model_tensors(m, &st, err) || lb_safetensors_write(&st, path, err) ? -1 : 0;
    lb_safetensors_finish(&st);
    return r;
}

int lb_model_sha256(const struct lb_model *m, char hex[65], struct lb_err *err)
{
    struct lb_safetensors st = {0};
    int r = lb_model_tensors(m, &st, err) || lb_safetensors_sha256(&st, hex, err) ? -1 : 0;
    lb_safetensors_finish(&st);
    return r;
}

static int load_param(const struct lb_safetensors *st, struct lb_param_tensor *p, const char *theirs, struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS];
    if (!lb_safetensors_find(st, theirs))
        return lb_fail(err, "tensor %s is missing (for parameter %s; \"weight_names\" maps ours to the file's)", theirs, p->name);
    char found[128], wanted[128];
    if (lb_format_shape(st, theirs, &ndim, shape, err))
        return -1;
    if (ndim != p->ndim || memcmp(shape, p->shape, p->ndim * sizeof *p->shape))
        return lb_fail(err, "tensor %s: shape %s, expected %s", theirs, lb_shape_text(ndim, shape, found, sizeof found),
                       lb_shape_text(p->ndim, p->shape, wanted, sizeof wanted));
    return lb_format_decode(st, theirs, p->value, p->elems, err);
}

int lb_model_load(struct lb_model *m, const char *path, const json_t *names, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    if (lb_safetensors_open(path, &st, err))
        return -1;
    int r = 0;
    for (size_t i = 0; !r && i < m->n_params; i++) {
        const char *theirs = json_string_value(json_object_get(names, m->params[i].name));
        r = load_param(&st, &m->params[i], theirs ? theirs : m->params[i].name, err);
    }
    lb_safetensors_finish(&st);
    return r ? lb_fail_in(err, "%s", path) : 0;
}
