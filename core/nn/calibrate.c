/* SPDX-License-Identifier: MIT */
#include "core/nn/calibrate.h"
#include "core/base/mem.h"
#include "core/format/range.h"
#include "core/format/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The scale of seen (n, width), which is what layer `layer` of the config has at `of`. */
static int scale_of(const struct lb_calibration *c, size_t layer, const char *of, const float *seen, size_t width,
                    const struct lb_format *f, float *s, float *z, struct lb_err *err)
{
    for (size_t i = 0; i < c->n * width; i++)
        if (!isfinite(seen[i]))
            return lb_fail(err, "calibration: %zu.%s is %g in sample %zu; expected finite numbers", layer, of, (double)seen[i], i / width);
    return lb_range_scale(f, seen, c->n, width, c->batch, s, z, err);
}

static float *room(const struct lb_calibration *c, size_t width, struct lb_err *err)
{
    size_t elems;
    if (lb_mul(c->n, width, &elems)) {
        lb_fail(err, "calibration: %zu samples of %zu numbers: more than this machine can address", c->n, width);
        return NULL;
    }
    return lb_alloc(elems, sizeof(float), err);
}

int lb_calibrate_input(const struct lb_calibration *c, size_t i, const struct lb_format *f, float *s, float *z, struct lb_err *err)
{
    const struct lb_layer *l = &c->m->layers[i];
    struct lb_net *net = NULL;
    float *seen = room(c, l->in, err), *y = lb_alloc(c->batch * c->m->classes, sizeof *y, err);
    const int r = !seen || !y || lb_net_create(c->m, c->d, c->batch, 0, &net, err) ||
                          lb_net_layer_inputs(net, i, c->x, c->n, seen, y, err) || scale_of(c, l->index, "input", seen, l->in, f, s, z, err)
                      ? -1
                      : 0;
    lb_net_destroy(net);
    lb_free(seen);
    lb_free(y);
    return r;
}

int lb_calibrate_sum(const struct lb_calibration *c, size_t i, const struct lb_format *f, float *s, float *z, struct lb_err *err)
{
    const struct lb_layer *l = &c->m->layers[i];
    struct lb_model until = *c->m; /* the layers up to this one, the last without its activation */
    struct lb_net *net = NULL;
    until.n_layers = i + 1;
    until.classes = l->out;
    until.softmax_last = until.logits = 0;
    until.layers = lb_alloc(until.n_layers, sizeof *until.layers, err);
    float *seen = room(c, l->out, err);
    if (until.layers) {
        memcpy(until.layers, c->m->layers, until.n_layers * sizeof *until.layers);
        until.layers[i].act = LB_ACT_LINEAR;
    }
    const int r = !seen || !until.layers || lb_net_create(&until, c->d, c->batch, 0, &net, err) ||
                          lb_net_infer(net, c->x, c->n, seen, NULL, err) || scale_of(c, l->index, "sum", seen, l->out, f, s, z, err)
                      ? -1
                      : 0;
    lb_net_destroy(net);
    lb_free(until.layers);
    lb_free(seen);
    return r;
}

/* ---- In a file ---- */

static int add(struct lb_safetensors *st, size_t layer, const char *of, const char *what, float value, struct lb_err *err)
{
    struct lb_tensor t = {0};
    char name[64];
    snprintf(name, sizeof name, "%zu.%s.%s", layer, of, what);
    if (lb_tensor_init(&t, LB_F32, 0, NULL, err))
        return -1;
    memcpy(t.data, &value, sizeof value);
    const int r = lb_safetensors_add(st, name, &t, err);
    lb_tensor_finish(&t);
    return r;
}

static int take(const struct lb_safetensors *st, size_t layer, const char *of, const char *what, float *value, struct lb_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "%zu.%s.%s", layer, of, what);
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    if (!t || t->dtype != LB_F32 || t->elems != 1)
        return lb_fail(err, "tensor %s: expected one F32 value, the calibrated %s of the %s of layer %zu; found %s", name, what, of, layer,
                       t ? "another shape or dtype" : "no such tensor");
    memcpy(value, t->data, sizeof *value);
    return 0;
}

int lb_calibrate_add(struct lb_safetensors *st, size_t layer, const char *of, const struct lb_format *f, float s, float z,
                     struct lb_err *err)
{
    return add(st, layer, of, "scale", s, err) || (lb_scale_has_zero(f->config) && add(st, layer, of, "zero_point", z, err)) ? -1 : 0;
}

int lb_calibrate_read(const struct lb_safetensors *st, size_t layer, const char *of, const struct lb_format *f, float *s, float *z,
                      struct lb_err *err)
{
    *z = 0;
    return take(st, layer, of, "scale", s, err) || (lb_scale_has_zero(f->config) && take(st, layer, of, "zero_point", z, err)) ? -1 : 0;
}

int lb_calibrate(const struct lb_calibration *c, const struct lb_format *f, int sums, struct lb_safetensors *st, struct lb_err *err)
{
    for (size_t i = 0; i < c->m->n_layers; i++) {
        const struct lb_layer *l = &c->m->layers[i];
        float s, z;
        if (l->weight < 0)
            continue;
        if (lb_calibrate_input(c, i, f, &s, &z, err) || lb_calibrate_add(st, l->index, "input", f, s, z, err))
            return -1;
        if (sums && (lb_calibrate_sum(c, i, f, &s, &z, err) || lb_calibrate_add(st, l->index, "sum", f, s, z, err)))
            return -1;
    }
    return 0;
}
