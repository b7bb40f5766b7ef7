/* SPDX-License-Identifier: MIT */
#include "core/run/outputs.h"
#include "core/base/mem.h"
#include "core/nn/metrics.h"
#include "core/run/trial.h"

#include <math.h>

/* Of one layer, so far. */
struct sums {
    double signal, noise, max_error;
    size_t values, saturated;
    int integer, codes;
};

struct comparing {
    struct lb_net *f32, *net;
    const struct lb_model *m;
    struct sums *sums;
    float *y, *a, *b; /* outputs of the network, and of a layer */
};

/* Adds what layer i gave for `batch` samples. */
static int add(struct comparing *c, size_t i, size_t batch, struct lb_err *err)
{
    struct sums *s = &c->sums[i];
    struct lb_layer_codes codes = {0};
    const size_t n = batch * c->m->layers[i].out;
    if (lb_net_layer_output(c->f32, i, batch, c->a, NULL, err) || lb_net_layer_output(c->net, i, batch, c->b, &codes, err))
        return -1;
    for (size_t k = 0; k < n; k++) {
        const double x = (double)c->a[k], d = (double)c->b[k] - x;
        s->signal += x * x;
        s->noise += d * d;
        s->max_error = fabs(d) > s->max_error ? fabs(d) : s->max_error;
    }
    s->values += n;
    s->integer = codes.integer;
    s->codes = codes.are;
    s->saturated += codes.saturated;
    return 0;
}

static json_t *describe(const struct lb_layer *l, const struct sums *s)
{
    static const char *const kinds[] = {[LB_DENSE] = "dense", [LB_CONV2D] = "conv2d", [LB_ACTIVATION] = "activation"};
    static const char *const acts[] = {
        [LB_ACT_LINEAR] = "",      [LB_ACT_RELU] = " + relu",      [LB_ACT_SCALED_RELU] = " + scaled relu", [LB_ACT_SIGMOID] = " + sigmoid",
        [LB_ACT_TANH] = " + tanh", [LB_ACT_SOFTMAX] = " + softmax"};
    json_t *o =
        json_pack("{sI,so,sb,so,so}", "layer", (json_int_t)l->index, "kind", json_sprintf("%s%s", kinds[l->type], acts[l->act]), "integer",
                  s->integer, "sqnr_db", lb_json_number(lb_sqnr_db(s->signal, s->noise)), "max_error", lb_json_number(s->max_error));
    if (s->codes && json_object_set_new(o, "saturated", lb_json_number(100 * (double)s->saturated / (double)s->values))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static int compare(struct comparing *c, const float *x, size_t n, struct lb_err *err)
{
    const size_t in = c->m->layers[0].in, most = lb_net_batch(c->f32) < lb_net_batch(c->net) ? lb_net_batch(c->f32) : lb_net_batch(c->net);
    for (size_t at = 0; at < n; at += most) {
        const size_t batch = n - at < most ? n - at : most;
        if (lb_net_infer(c->f32, x + at * in, batch, c->y, NULL, err) || lb_net_infer(c->net, x + at * in, batch, c->y, NULL, err))
            return -1;
        for (size_t i = 0; i < c->m->n_layers; i++)
            if (add(c, i, batch, err))
                return -1;
    }
    return 0;
}

int lb_outputs_compare(struct lb_net *f32, struct lb_net *net, const struct lb_model *m, const float *x, size_t n, json_t **out,
                       struct lb_err *err)
{
    struct comparing c = {.f32 = f32, .net = net, .m = m};
    size_t widest = 0, elems;
    for (size_t i = 0; i < m->n_layers; i++)
        widest = m->layers[i].out > widest ? m->layers[i].out : widest;
    if (lb_mul(widest, lb_net_batch(f32), &elems))
        return lb_fail(err, "outputs: more than this machine can address");
    c.sums = lb_alloc(m->n_layers, sizeof *c.sums, err);
    c.y = lb_alloc(lb_net_batch(f32) * m->classes, sizeof *c.y, err);
    c.a = lb_alloc(elems, sizeof *c.a, err);
    c.b = lb_alloc(elems, sizeof *c.b, err);
    int r = !c.sums || !c.y || !c.a || !c.b || compare(&c, x, n, err) ? -1 : 0;
    *out = r ? NULL : json_array();
    for (size_t i = 0; !r && i < m->n_layers; i++)
        if (json_array_append_new(*out, describe(&m->layers[i], &c.sums[i])))
            r = lb_fail(err, "out of memory: JSON");
    lb_free(c.sums);
    lb_free(c.y);
    lb_free(c.a);
    lb_free(c.b);
    return r;
}
