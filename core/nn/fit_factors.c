/* SPDX-License-Identifier: MIT */
/* fit_factors.c - factors of a layer's inputs, and how they go into the layer before. */
#include "core/base/mem.h"
#include "core/format/round.h"
#include "core/nn/fit_impl.h"
#include "kernels/canon.h"

#include <math.h>
#include <string.h>

static const double least_factor = 1e-4, largest_factor = 1e4;

/* ---- Where factors may go ---- */

/* Whether act(x / s) = act(x) / s for every s > 0. */
static int is_homogeneous(int act)
{
    return act == LB_ACT_LINEAR || act == LB_ACT_RELU || act == LB_ACT_SCALED_RELU;
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b;
    while (y) {
        const size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

int lb_fit_find_place(const struct lb_model *m, size_t layer, struct lb_fit_place *out)
{
    const struct lb_layer *l = &m->layers[layer];
    size_t at = layer;
    do {
        if (!at || !is_homogeneous(m->layers[at - 1].act))
            return -1;
        at--;
    } while (m->layers[at].type == LB_ACTIVATION);
    const struct lb_layer *b = &m->layers[at];
    const size_t outputs = b->type == LB_CONV2D ? b->conv.oh * b->conv.ow : 1, inputs = l->type == LB_CONV2D ? l->conv.h * l->conv.w : 1;
    const size_t size = common_multiple(outputs, inputs);
    *out = (struct lb_fit_place){.layer = layer, .before = at, .size = size, .groups = l->in / size};
    return out->groups > 1 ? 0 : -1;
}

size_t lb_fit_group(const struct lb_layer *l, const struct lb_fit_place *place, size_t col)
{
    const size_t element = l->type == LB_CONV2D ? col / (l->conv.kh * l->conv.kw) * l->conv.h * l->conv.w : col;
    return element / place->size;
}

/* w (rows, k) times s, by columns. */
static void multiply(const struct lb_layer *l, const struct lb_fit_place *place, const float *s, size_t rows, size_t k, const float *w,
                     float *out)
{
    for (size_t i = 0; i < k; i++) {
        const float factor = s[lb_fit_group(l, place, i)];
        for (size_t o = 0; o < rows; o++)
            out[o * k + i] = canon_nan(w[o * k + i] * factor);
    }
}

static void divide(float *x, size_t n, float s)
{
    for (size_t i = 0; i < n; i++)
        x[i] = canon_nan(canon_div(x[i], s));
}

void lb_fit_migrate(struct lb_model *m, const struct lb_fit_place *place, const float *s)
{
    const struct lb_layer *l = &m->layers[place->layer], *b = &m->layers[place->before];
    const struct lb_param_tensor *w = &m->params[l->weight], *to = &m->params[b->weight];
    const size_t rows = w->shape[0], outputs = to->shape[0], k = to->elems / outputs, each = b->out / outputs;
    multiply(l, place, s, rows, w->elems / rows, w->value, w->value);
    for (size_t o = 0; o < outputs; o++) {
        const float factor = s[o * each / place->size];
        divide(to->value + o * k, k, factor);
        divide(m->params[b->bias].value + o, 1, factor);
    }
}

/* ---- What is known of a group ---- */

/* The mean magnitude of each group's inputs. */
static void find_means(const struct lb_fit_inputs *in, const struct lb_fit_place *place, double *mean)
{
    const size_t width = in->layer->in;
    memset(mean, 0, place->groups * sizeof *mean);
    for (size_t r = 0; r < in->n; r++)
        for (size_t i = 0; i < width; i++)
            mean[i / place->size] += fabs((double)in->x[r * width + i]);
    for (size_t g = 0; in->n && g < place->groups; g++)
        mean[g] /= (double)(in->n * place->size);
}

static double power(double x, double exponent)
{
    return canon_exp64(exponent * canon_log64(x));
}

static float held(double s)
{
    return (float)(s < least_factor ? least_factor : s > largest_factor ? largest_factor : s);
}

/* ---- AWQ ---- */

/* mean^exponent, with the least and the largest as far below 1 as above; 1 of what is always 0. */
static void awq_factors(const double *mean, size_t groups, double exponent, float *s)
{
    double low = INFINITY, high = 0;
    for (size_t g = 0; g < groups; g++)
        if (mean[g] > 0) {
            const double p = power(mean[g], exponent);
            low = p < low ? p : low;
            high = p > high ? p : high;
        }
    for (size_t g = 0; g < groups; g++)
        s[g] = mean[g] > 0 ? held(power(mean[g], exponent) / sqrt(low * high)) : 1.0f;
}

struct trying {
    const struct lb_format *f;
    const struct lb_fit_place *place;
    const struct lb_fit_inputs *in;
    const double *products;
    const float *w; /* (rows, k) */
    size_t rows, k;
    float *v;                 /* (rows, k) what factors make of it */
    double *d;                /* (rows, k) w less that */
    double *diagonal, *error; /* (k) of the products; (rows) */
};

/* The error of the layer's outputs that factors s leave. */
static int try_factors(const struct trying *t, const float *s, double *sum, struct lb_err *err)
{
    const struct lb_round round = {.f = t->f, .host = t->in->host};
    multiply(t->in->layer, t->place, s, t->rows, t->k, t->w, t->v);
    if (lb_round_matrix(&round, t->v, t->rows, t->k, err))
        return -1;
    for (size_t i = 0; i < t->k; i++) {
        const double factor = (double)s[lb_fit_group(t->in->layer, t->place, i)];
        for (size_t o = 0; o < t->rows; o++)
            t->d[o * t->k + i] = (double)t->w[o * t->k + i] - (double)t->v[o * t->k + i] / factor;
    }
    if (lb_fit_errors(t->products, t->diagonal, t->d, t->rows, t->k, t->in->host, t->error, err))
        return -1;
    *sum = 0;
    for (size_t o = 0; o < t->rows; o++)
        *sum += t->error[o];
    return 0;
}

/* The exponent with the least error, of equal ones the least. */
static int find_exponent(const struct trying *t, const double *mean, float *s, double *best, struct lb_err *err)
{
    const int64_t grid = t->f->config->fit.grid;
    double least = INFINITY, error;
    *best = 0;
    for (int64_t i = 0; i <= grid; i++) {
        const double exponent = (double)i / (double)grid;
        awq_factors(mean, t->place->groups, exponent, s);
        if (try_factors(t, s, &error, err))
            return -1;
        if (error < least) {
            least = error;
            *best = exponent;
        }
    }
    awq_factors(mean, t->place->groups, *best, s);
    return 0;
}

int lb_fit_awq(const struct lb_format *f, const struct lb_model *m, const struct lb_fit_place *place, const struct lb_fit_inputs *in,
               const double *products, float *s, double *exponent, struct lb_err *err)
{
    const struct lb_param_tensor *w = &m->params[in->layer->weight];
    struct trying t = {.f = f, .place = place, .in = in, .products = products, .w = w->value, .rows = w->shape[0], .k = in->k};
    double *mean = lb_alloc(place->groups, sizeof *mean, err);
    t.v = lb_alloc(w->elems, sizeof *t.v, err);
    t.d = lb_alloc(w->elems, sizeof *t.d, err);
    t.diagonal = lb_alloc(t.k, sizeof *t.diagonal, err);
    t.error = lb_alloc(t.rows, sizeof *t.error, err);
    int r = mean && t.v && t.d && t.diagonal && t.error ? 0 : -1;
    for (size_t i = 0; !r && i < t.k; i++)
        t.diagonal[i] = products[i * t.k + i];
    if (!r) {
        find_means(in, place, mean);
        r = find_exponent(&t, mean, s, exponent, err);
    }
    lb_free(mean);
    lb_free(t.v);
    lb_free(t.d);
    lb_free(t.diagonal);
    lb_free(t.error);
    return r;
}

/* ---- SmoothQuant ---- */

int lb_fit_smooth(const struct lb_format *f, const struct lb_model *m, const struct lb_fit_place *place, const struct lb_fit_inputs *in,
                  float *s, struct lb_err *err)
{
    const struct lb_param_tensor *w = &m->params[in->layer->weight];
    const double alpha = f->config->fit.alpha;
    const size_t width = in->layer->in;
    double *x = lb_alloc(2 * place->groups, sizeof *x, err), *largest = x + place->groups;
    if (!x)
        return -1;
    for (size_t r = 0; r < in->n; r++)
        for (size_t i = 0; i < width; i++) {
            const double a = fabs((double)in->x[r * width + i]);
            x[i / place->size] = a > x[i / place->size] ? a : x[i / place->size];
        }
    for (size_t i = 0; i < w->elems; i++) {
        const size_t g = lb_fit_group(in->layer, place, i % in->k);
        const double a = fabs((double)w->value[i]);
        largest[g] = a > largest[g] ? a : largest[g];
    }
    for (size_t g = 0; g < place->groups; g++)
        s[g] = x[g] > 0 && largest[g] > 0 ? held(power(x[g], alpha) / power(largest[g], 1 - alpha)) : 1.0f;
    lb_free(x);
    return 0;
}
