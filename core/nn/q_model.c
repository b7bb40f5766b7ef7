/* SPDX-License-Identifier: MIT */
/* q_model.c - a trained network becomes an integer model. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/nn/q_net.h"
#include "core/nn/q_params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Which layers ---- */

static int has_integer_weights(const struct lb_model *m, const struct lb_safetensors *st, size_t i, int *is, struct lb_err *err)
{
    struct lb_packed_tensor t = {0};
    struct lb_q_weights w = {0};
    struct lb_err no = {0};
    const char *name = m->params[m->layers[i].weight].name;
    if (lb_packed_open(st, name, &t, err))
        return -1;
    *is = !lb_q_weights_of(&t.p, name, &w, &no);
    lb_q_weights_finish(&w);
    lb_packed_finish(&t);
    return 0;
}

/* The next layer with weights behind i; n_layers: there is none. */
static size_t next_weights(const struct lb_model *m, size_t i)
{
    for (i++; i < m->n_layers && m->layers[i].weight < 0;)
        i++;
    return i;
}

int lb_q_choose(const struct lb_model *m, const struct lb_safetensors *st, unsigned char *integer, struct lb_err *err)
{
    memset(integer, 0, m->n_layers);
    for (size_t i = 0; i < m->n_layers; i++) {
        int is = 0;
        if (m->layers[i].weight >= 0 && has_integer_weights(m, st, i, &is, err))
            return -1;
        integer[i] = is != 0;
    }
    for (size_t i = 1; i < m->n_layers; i++) {
        const size_t next = next_weights(m, i);
        if (m->layers[i].weight < 0)
            integer[i] = integer[i - 1] && next < m->n_layers && integer[next];
    }
    return 0;
}

/* ---- Biases ---- */

/* The unit of output j's sums. Where weights are all 0 their scale may be, too: then the bias alone decides. */
static float unit_of(float in, float w, float bias)
{
    const float u = in * w;
    if (u > 0)
        return u;
    return bias != 0 ? fabsf(bias) * 0x1p-20f : 1.0f;
}

static int add_tensor(struct lb_safetensors *st, const char *name, enum lb_dtype_id dtype, size_t n, const void *data, struct lb_err *err)
{
    struct lb_tensor t = {0};
    if (lb_tensor_init(&t, dtype, 1, &n, err))
        return -1;
    memcpy(t.data, data, 4 * n);
    const int r = lb_safetensors_add(st, name, &t, err);
    lb_tensor_finish(&t);
    return r;
}

static int make_bias(const char *of, const float *bias, const struct lb_q_weights *w, float in, struct lb_safetensors *st,
                     struct lb_format_stats *stats, struct lb_err *err)
{
    char name[48];
    float *unit = lb_alloc(w->rows, sizeof *unit, err);
    int32_t *whole = lb_alloc(w->rows, sizeof *whole, err);
    int r = !unit || !whole ? -1 : 0;
    for (size_t j = 0; !r && j < w->rows; j++) {
        const float b = bias[j];
        unit[j] = unit_of(in, w->scale[j], b);
        const double v = rint((double)b / (double)unit[j]);
        if (!(fabs(v) <= INT32_MAX)) {
            r = lb_fail(err, "tensor %s: output %zu: bias %g is beyond 32 bits in units of %g", of, j, (double)b, (double)unit[j]);
            continue;
        }
        whole[j] = (int32_t)v;
        const double d = (double)b - v * (double)unit[j];
        stats->signal += (double)b * (double)b;
        stats->noise += d * d;
        stats->zeroed += b != 0 && whole[j] == 0;
    }
    stats->weights += w->rows;
    stats->bytes += 8 * w->rows;
    snprintf(name, sizeof name, "%s.scale", of);
    r = r || add_tensor(st, of, LB_I32, w->rows, whole, err) || add_tensor(st, name, LB_F32, w->rows, unit, err) ? -1 : 0;
    lb_free(unit);
    lb_free(whole);
    return r;
}

/* ---- A layer ---- */

static int has_table(const struct lb_layer *l)
{
    return l->type != LB_ACTIVATION && (l->act == LB_ACT_SIGMOID || l->act == LB_ACT_TANH);
}

/* A network whose inputs are all 0 has no scale: any will do. */
static float some_scale(float s)
{
    return s > 0 ? s : 1.0f;
}

static int make_layer(const struct lb_calibration *c, const float *const *biases, size_t i, int to_codes, const struct lb_format *a,
                      struct lb_safetensors *st, struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_layer *l = &c->m->layers[i];
    struct lb_packed_tensor t = {0};
    struct lb_q_weights w = {0};
    float s, z, sum_s, sum_z;
    if (lb_calibrate_input(c, i, a, &s, &z, err) || lb_calibrate_add(st, l->index, "input", a, some_scale(s), z, err))
        return -1;
    stats->bytes += 8;
    if (has_table(l) && to_codes &&
        (lb_calibrate_sum(c, i, a, &sum_s, &sum_z, err) || lb_calibrate_add(st, l->index, "sum", a, some_scale(sum_s), sum_z, err)))
        return -1;
    if (l->weight < 0)
        return 0;
    const char *name = c->m->params[l->weight].name;
    const struct lb_param_tensor *bias = &c->m->params[l->bias];
    const int r =
        lb_packed_open(st, name, &t, err) || lb_q_weights_of(&t.p, name, &w, err) ||
                make_bias(bias->name, biases && biases[l->bias] ? biases[l->bias] : bias->value, &w, some_scale(s), st, stats, err)
            ? -1
            : 0;
    lb_q_weights_finish(&w);
    lb_packed_finish(&t);
    return r;
}

static int add_json(struct lb_safetensors *st, const char *key, json_t *o, struct lb_err *err)
{
    char *text = o ? lb_json_canonical(o, err) : NULL;
    const int r = text ? lb_safetensors_meta(st, key, text, err) : lb_fail(err, "out of memory: JSON");
    lb_free(text);
    json_decref(o);
    return r;
}

int lb_q_make(const struct lb_calibration *c, const float *const *biases, const struct lb_format *activations, struct lb_safetensors *st,
              struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_model *m = c->m;
    unsigned char *integer = lb_alloc(m->n_layers, 1, err);
    int r = !integer || lb_q_check_activations(activations, err) || lb_q_choose(m, st, integer, err) ? -1 : 0;
    for (size_t i = 0; !r && i < m->n_layers; i++)
        r = integer[i] ? make_layer(c, biases, i, lb_q_to_codes(m, integer, i), activations, st, stats, err) : 0;
    lb_free(integer);
    json_t *model = json_pack("{sO*,s[III],sI}", "layers", json_object_get(m->config->json, "layers"), "input", (json_int_t)m->channels,
                              (json_int_t)m->height, (json_int_t)m->width, "classes", (json_int_t)m->classes);
    r = r || add_json(st, "lowbit.activations", json_incref(activations->config->json), err) ? -1 : 0;
    if (r)
        json_decref(model);
    return r || add_json(st, "lowbit.model", model, err) ? -1 : 0;
}
