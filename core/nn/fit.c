/* SPDX-License-Identifier: MIT */
#include "core/nn/fit.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/fit_impl.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct note {
    char text[80];
};

struct lb_fit {
    struct lb_fit_args a;
    struct lb_model *m;   /* migrated */
    struct lb_net *net;   /* as trained */
    float *y;             /* (batch, classes) room */
    float **factors;      /* by layer: (k) what each column of its weights was multiplied by; NULL: nothing */
    struct note *notes;   /* by parameter */
    const float **biases; /* by parameter: corrected; NULL: not, or not yet */
    double seconds;       /* of fitting, not yet told */
};

static const struct lb_fit_config *method_of(const struct lb_fit *f, int weight)
{
    static const struct lb_fit_config none;
    const struct lb_format_config *c = weight < 0 ? NULL : f->a.formats[weight]->config;
    return c && c->has_fit ? &c->fit : &none;
}

static int check_finite(const float *x, size_t n, const char *name, const char *what, struct lb_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return lb_fail(err, "fit: %s: %s NaN or infinity", name, what);
    return 0;
}

/* ---- What a layer reads ---- */

/* Fills in `in`; the samples in in->x are freed by the caller. */
static int read_inputs(const struct lb_fit *f, size_t layer, struct lb_fit_inputs *in, struct lb_err *err)
{
    const struct lb_layer *l = &f->m->layers[layer];
    const char *name = f->m->params[l->weight].name;
    size_t elems;
    float *x = lb_mul(f->a.n, l->in, &elems) ? NULL : lb_alloc(elems, sizeof *x, err);
    if (!x)
        return lb_fail(err, "fit: %s: %zu samples of what it is multiplied with: too many", name, f->a.n);
    lb_fit_inputs_init(l, &f->a.d->host, x, f->a.n, in);
    return lb_net_layer_inputs(f->net, layer, f->a.x, f->a.n, x, f->y, err) ||
                   check_finite(x, elems, name, "what it is multiplied with holds", err)
               ? -1
               : 0;
}

static void free_inputs(struct lb_fit_inputs *in)
{
    lb_free((float *)(uintptr_t)in->x);
}

/* (k, k); NULL with an error. */
static double *make_products(const struct lb_fit_inputs *in, const char *name, struct lb_err *err)
{
    size_t elems;
    double *h = lb_mul(in->k, in->k, &elems) ? NULL : lb_alloc(elems, sizeof *h, err);
    if (!h)
        lb_fail(err, "fit: %s: the products of its %zu inputs do not fit into memory", name, in->k);
    else if (lb_fit_products(in, h, err)) {
        lb_free(h);
        h = NULL;
    }
    return h;
}

/* ---- Migration ---- */

static int find_factors(struct lb_fit *f, const struct lb_fit_place *place, const struct lb_fit_inputs *in, float *s, struct lb_err *err)
{
    const int weight = in->layer->weight;
    const struct lb_format *format = f->a.formats[weight];
    char *note = f->notes[weight].text;
    double exponent = 0;
    if (method_of(f, weight)->method == LB_FIT_SMOOTH) {
        snprintf(note, sizeof f->notes->text, "smooth");
        return lb_fit_smooth(format, f->m, place, in, s, err);
    }
    double *h = make_products(in, f->m->params[weight].name, err);
    const int r = h ? lb_fit_awq(format, f->m, place, in, h, s, &exponent, err) : -1;
    snprintf(note, sizeof f->notes->text, "awq %.9g", exponent);
    lb_free(h);
    return r;
}

/* What each column was multiplied by: its inputs are divided by it. */
static int keep_factors(struct lb_fit *f, const struct lb_fit_place *place, const struct lb_fit_inputs *in, const float *s,
                        struct lb_err *err)
{
    float *columns = lb_alloc(in->k, sizeof *columns, err);
    for (size_t k = 0; columns && k < in->k; k++)
        columns[k] = s[lb_fit_group(in->layer, place, k)];
    f->factors[place->layer] = columns;
    return columns ? 0 : -1;
}

static int migrate(struct lb_fit *f, const struct lb_fit_place *place, struct lb_err *err)
{
    struct lb_fit_inputs in = {0};
    float *s = lb_alloc(place->groups, sizeof *s, err);
    const int r =
        !s || read_inputs(f, place->layer, &in, err) || find_factors(f, place, &in, s, err) || keep_factors(f, place, &in, s, err) ? -1 : 0;
    if (!r)
        lb_fit_migrate(f->m, place, s);
    free_inputs(&in);
    lb_free(s);
    return r;
}

static int migrate_all(struct lb_fit *f, struct lb_err *err)
{
    for (size_t i = 0; i < f->m->n_layers; i++) {
        const int weight = f->m->layers[i].weight, method = method_of(f, weight)->method;
        struct lb_fit_place place;
        if (method != LB_FIT_AWQ && method != LB_FIT_SMOOTH)
            continue;
        if (!lb_fit_find_place(f->m, i, &place)) {
            if (migrate(f, &place, err))
                return -1;
            continue;
        }
        snprintf(f->notes[weight].text, sizeof f->notes->text, "%s, no factors: no layer before it takes them",
                 method == LB_FIT_AWQ ? "awq" : "smooth");
    }
    return 0;
}

/* ---- The whole ---- */

static int copy_model(struct lb_fit *f, struct lb_err *err)
{
    const struct lb_model *m = f->a.f32;
    if (lb_model_create(m->config, m->channels, m->height, m->width, m->classes, &f->m, err))
        return -1;
    for (size_t i = 0; i < m->n_params; i++) {
        memcpy(f->m->params[i].value, m->params[i].value, m->params[i].elems * sizeof(float));
        if (check_finite(m->params[i].value, m->params[i].elems, m->params[i].name, "it holds", err))
            return -1;
    }
    return 0;
}

int lb_fit_create(const struct lb_fit_args *a, struct lb_fit **out, struct lb_err *err)
{
    const struct lb_model *m = a->f32;
    struct lb_fit *f = lb_alloc(1, sizeof *f, err);
    const double start = lb_seconds();
    *out = NULL;
    if (!f)
        return -1;
    f->a = *a;
    f->y = lb_alloc(a->batch * m->classes, sizeof *f->y, err);
    f->factors = lb_alloc(m->n_layers, sizeof *f->factors, err);
    f->notes = lb_alloc(m->n_params, sizeof *f->notes, err);
    f->biases = lb_alloc(m->n_params, sizeof *f->biases, err);
    if (!f->y || !f->factors || !f->notes || !f->biases || copy_model(f, err) || lb_net_create(m, a->d, a->batch, 0, &f->net, err) ||
        migrate_all(f, err)) {
        lb_fit_destroy(f);
        return -1;
    }
    f->seconds = lb_seconds() - start;
    *out = f;
    return 0;
}

void lb_fit_destroy(struct lb_fit *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->factors && i < f->a.f32->n_layers; i++)
        lb_free(f->factors[i]);
    for (size_t i = 0; f->biases && i < f->a.f32->n_params; i++)
        lb_free((float *)(uintptr_t)f->biases[i]);
    lb_free(f->biases);
    lb_free(f->factors);
    lb_free(f->notes);
    lb_free(f->y);
    lb_net_destroy(f->net);
    lb_model_destroy(f->m);
    lb_free(f);
}

const struct lb_model *lb_fit_model(const struct lb_fit *f)
{
    return f->m;
}

const char *lb_fit_text(const struct lb_fit *f, size_t i)
{
    return f->notes[i].text;
}

/* ---- One parameter ---- */

static size_t layer_of(const struct lb_fit *f, size_t parameter)
{
    size_t i = 0;
    while (f->m->layers[i].weight != (int)parameter && f->m->layers[i].bias != (int)parameter)
        i++;
    return i;
}

static int encode_gptq(struct lb_fit *f, size_t i, struct lb_safetensors *st, struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_param_tensor *p = &f->m->params[i];
    const struct lb_format *format = f->a.formats[i];
    struct lb_fit_inputs in = {0};
    struct lb_groups g;
    struct lb_scales scales = {0};
    const double start = lb_seconds();
    float *near = lb_alloc(p->elems, sizeof *near, err);
    int r = !near || read_inputs(f, layer_of(f, i), &in, err) || lb_groups_of(format, p->ndim, p->shape, &g, err) ? -1 : 0;
    double *h = r ? NULL : make_products(&in, p->name, err);
    r = r || !h ? -1 : 0;
    const struct lb_gptq q = {.f = format, .g = &g, .host = &f->a.d->host, .w = p->value, .products = h, .near = near, .scales = &scales};
    if (!r && lb_fit_gptq(&q, err))
        r = lb_fail_in(err, "fit gptq: %s", p->name);
    f->seconds += lb_seconds() - start;
    if (!r)
        r = lb_format_encode_near(format, p->name, p->value, near, &scales, p->ndim, p->shape, st, stats, err);
    snprintf(f->notes[i].text, sizeof f->notes->text, "gptq");
    lb_scales_finish(&scales);
    free_inputs(&in);
    lb_free(near);
    lb_free(h);
    return r;
}

/* The bias less the mean of (w' - w) x, w' being what is stored. */
static int correct(const struct lb_fit *f, size_t layer, const struct lb_safetensors *st, float *bias, struct lb_err *err)
{
    const struct lb_param_tensor *w = &f->m->params[f->m->layers[layer].weight], *b = &f->m->params[f->m->layers[layer].bias];
    const float *factors = f->factors[layer];
    struct lb_fit_inputs in = {0};
    float *v = lb_alloc(w->elems, sizeof *v, err);
    int r = !v || lb_format_decode(st, w->name, v, w->elems, err) || read_inputs(f, layer, &in, err) ? -1 : 0;
    double *mean = r ? NULL : lb_alloc(in.k, sizeof *mean, err);
    r = r || !mean || lb_fit_means(&in, mean, err) ? -1 : 0;
    for (size_t k = 0; !r && factors && k < in.k; k++)
        mean[k] /= (double)factors[k];
    for (size_t o = 0; !r && o < b->elems; o++) {
        double sum = 0;
        for (size_t k = 0; k < in.k; k++)
            sum += ((double)v[o * in.k + k] - (double)w->value[o * in.k + k]) * mean[k];
        bias[o] = canon_nan((float)((double)b->value[o] - sum));
    }
    free_inputs(&in);
    lb_free(mean);
    lb_free(v);
    return r;
}

/* Bias i, which is a layer's whose format corrects it. */
static int find_bias(struct lb_fit *f, size_t i, const struct lb_safetensors *st, struct lb_err *err)
{
    const double start = lb_seconds();
    float *bias = lb_alloc(f->m->params[i].elems, sizeof *bias, err);
    const int r = !bias || correct(f, layer_of(f, i), st, bias, err) ? -1 : 0;
    f->biases[i] = bias;
    f->seconds += lb_seconds() - start;
    snprintf(f->notes[i].text, sizeof f->notes->text, "corrected");
    return r;
}

static int is_corrected(const struct lb_fit *f, size_t i)
{
    return f->m->params[i].is_bias && method_of(f, f->m->layers[layer_of(f, i)].weight)->bias_correction;
}

int lb_fit_correct(struct lb_fit *f, const struct lb_safetensors *st, struct lb_err *err)
{
    int r = 0;
    for (size_t i = 0; !r && i < f->m->n_params; i++)
        r = is_corrected(f, i) && !f->biases[i] ? find_bias(f, i, st, err) : 0;
    return r;
}

const float *const *lb_fit_biases(const struct lb_fit *f)
{
    return f->biases;
}

int lb_fit_encode(struct lb_fit *f, size_t i, uint64_t seed, uint32_t stream, struct lb_safetensors *st, struct lb_format_stats *stats,
                  struct lb_err *err)
{
    const struct lb_param_tensor *p = &f->m->params[i];
    const int gptq = !p->is_bias && method_of(f, (int)i)->method == LB_FIT_GPTQ;
    int r = is_corrected(f, i) && !f->biases[i] ? find_bias(f, i, st, err) : 0;
    if (!r)
        r = gptq ? encode_gptq(f, i, st, stats, err)
                 : lb_format_encode(f->a.formats[i], p->name, f->biases[i] ? f->biases[i] : p->value, p->ndim, p->shape, seed, stream, st,
                                    stats, err);
    if (stats)
        stats->seconds += f->seconds;
    f->seconds = 0;
    return r;
}
