/* SPDX-License-Identifier: MIT */
#include "core/run/search.h"
#include "core/base/mem.h"
#include "core/nn/metrics.h"

#include <math.h>
#include <string.h>

int lb_encode_parameter(const struct lb_model *m, size_t i, const struct lb_format *f, uint64_t seed, struct lb_safetensors *st,
                        struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_param_tensor *p = &m->params[i];
    return lb_format_encode(f, p->name, p->value, p->ndim, p->shape, seed, LB_STREAM_ROUNDING + (uint32_t)i, st, stats, err);
}

/* One layer in one candidate. */
struct cell {
    double kl;
    size_t bytes;
};

struct table {
    const struct lb_search *s;
    size_t n_layers, n_formats;
    size_t *layer;      /* (n_layers) their numbers */
    struct cell *cells; /* (n_layers, n_formats) */
    size_t *chosen;     /* (n_layers) */
    float *y, *logits, *f32_y, *f32_logits;
    int32_t *labels; /* of no interest: zeros */
};

static struct cell *cell(const struct table *t, size_t layer, size_t format)
{
    return &t->cells[layer * t->n_formats + format];
}

static const char *name_of(const struct table *t, size_t format)
{
    return t->s->format->layers[format]->config->name;
}

/* All parameters as they were trained, but those of one layer. */
static int encode_one_layer(const struct table *t, size_t layer, size_t format, struct lb_safetensors *st, struct lb_err *err)
{
    const struct lb_search *s = t->s;
    struct lb_format_stats changed = {0}, rest = {0};
    for (size_t i = 0; i < s->f32->n_params; i++) {
        const int here = s->f32->params[i].layer == t->layer[layer];
        if (lb_encode_parameter(s->f32, i, here ? s->format->layers[format] : s->format, s->seed, st, here ? &changed : &rest, err))
            return -1;
    }
    cell(t, layer, format)->bytes = changed.bytes;
    return 0;
}

static int measure(const struct table *t, size_t layer, size_t format, struct lb_err *err)
{
    const struct lb_search *s = t->s;
    struct lb_safetensors st = {0};
    struct lb_net *net = NULL;
    struct lb_metrics m;
    const struct lb_net_format f = {.weights = &st, .seed = s->seed};
    const int r = encode_one_layer(t, layer, format, &st, err) || lb_net_create_packed(s->shape, s->d, s->batch, &f, &net, err) ||
                          lb_net_infer(net, s->x, s->n, t->y, t->logits, err)
                      ? -1
                      : 0;
    lb_net_destroy(net);
    lb_safetensors_finish(&st);
    if (r)
        return -1;
    lb_metrics_compute(t->f32_y, t->y, t->f32_logits, t->logits, t->labels, s->n, s->f32->classes, &m);
    cell(t, layer, format)->kl = m.kl == m.kl ? m.kl : INFINITY; /* a network of NaN is as far as can be */
    return 0;
}

static int measure_all(const struct table *t, struct lb_err *err)
{
    const struct lb_search *s = t->s;
    struct lb_net *net = NULL;
    int r = lb_net_create(s->f32, s->d, s->batch, 0, &net, err) || lb_net_infer(net, s->x, s->n, t->f32_y, t->f32_logits, err) ? -1 : 0;
    lb_net_destroy(net);
    for (size_t l = 0; !r && l < t->n_layers; l++)
        for (size_t k = 0; !r && k < t->n_formats; k++)
            r = measure(t, l, k, err);
    return r;
}

static size_t bytes_of(const struct table *t)
{
    size_t n = 0;
    for (size_t l = 0; l < t->n_layers; l++)
        n += cell(t, l, t->chosen[l])->bytes;
    return n;
}

/* The candidate with the least KL, of equals the smallest. */
static size_t best_of(const struct table *t, size_t layer)
{
    size_t best = 0;
    for (size_t k = 1; k < t->n_formats; k++) {
        const struct cell *a = cell(t, layer, k), *b = cell(t, layer, best);
        if (a->kl < b->kl || (!(a->kl > b->kl) && a->bytes < b->bytes))
            best = k;
    }
    return best;
}

/* The change that costs least KL for each byte that it saves; 0 where none saves any. */
static int find_change(const struct table *t, size_t *layer, size_t *format)
{
    double least = INFINITY;
    int found = 0;
    for (size_t l = 0; l < t->n_layers; l++)
        for (size_t k = 0; k < t->n_formats; k++) {
            const struct cell *now = cell(t, l, t->chosen[l]), *then = cell(t, l, k);
            if (then->bytes >= now->bytes)
                continue;
            const double price = (then->kl - now->kl) / (double)(now->bytes - then->bytes);
            if (found && !(price < least))
                continue;
            least = price;
            *layer = l;
            *format = k;
            found = 1;
        }
    return found;
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_string("inf");
}

static json_t *describe(const struct table *t, size_t layer, size_t format)
{
    const struct cell *c = cell(t, layer, format);
    return json_pack("{sI,ss,so,sI}", "layer", (json_int_t)t->layer[layer], "format", name_of(t, format), "kl", number(c->kl), "bytes",
                     (json_int_t)c->bytes);
}

static int choose(struct table *t, json_t *steps, struct lb_err *err)
{
    const double budget = t->s->bits * (double)t->s->f32->n_weights / 8;
    for (size_t l = 0; l < t->n_layers; l++)
        t->chosen[l] = best_of(t, l);
    while ((double)bytes_of(t) > budget) {
        size_t l = 0, k = 0;
        if (!find_change(t, &l, &k))
            return lb_fail(err, "search.bits: %.9g are too few: the smallest choice of these formats takes %.9g bits a weight", t->s->bits,
                           8 * (double)bytes_of(t) / (double)t->s->f32->n_weights);
        json_t *step = describe(t, l, k);
        json_object_set_new(step, "instead_of", json_string(name_of(t, t->chosen[l])));
        t->chosen[l] = k;
        json_object_set_new(step, "bits", json_real(8 * (double)bytes_of(t) / (double)t->s->f32->n_weights));
        if (json_array_append_new(steps, step))
            return lb_fail(err, "out of memory: JSON");
    }
    return 0;
}

static int allocate(struct table *t, struct lb_err *err)
{
    const struct lb_model *m = t->s->f32;
    const size_t outputs = t->s->n * m->classes;
    t->layer = lb_alloc(m->n_params, sizeof *t->layer, err);
    t->chosen = lb_alloc(m->n_params, sizeof *t->chosen, err);
    t->y = lb_alloc(outputs, sizeof *t->y, err);
    t->logits = lb_alloc(outputs, sizeof *t->logits, err);
    t->f32_y = lb_alloc(outputs, sizeof *t->f32_y, err);
    t->f32_logits = lb_alloc(outputs, sizeof *t->f32_logits, err);
    t->labels = lb_alloc(t->s->n, sizeof *t->labels, err);
    if (!t->layer || !t->chosen || !t->y || !t->logits || !t->f32_y || !t->f32_logits || !t->labels)
        return -1;
    for (size_t i = 0; i < m->n_params; i++)
        if (!m->params[i].is_bias)
            t->layer[t->n_layers++] = m->params[i].layer;
    t->cells = lb_alloc(t->n_layers * t->n_formats, sizeof *t->cells, err);
    return t->cells ? 0 : -1;
}

static int tell(const struct table *t, size_t *choice, json_t *steps, json_t **why, struct lb_err *err)
{
    const struct lb_model *m = t->s->f32;
    json_t *measured = json_array();
    int lost = !measured || !steps;
    for (size_t l = 0; l < t->n_layers; l++)
        for (size_t k = 0; k < t->n_formats; k++) {
            json_t *o = describe(t, l, k);
            lost |= json_object_set_new(o, "chosen", json_boolean(t->chosen[l] == k)) || json_array_append_new(measured, o);
        }
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t l = 0; l < t->n_layers; l++)
            if (t->layer[l] == m->params[i].layer)
                choice[i] = t->chosen[l];
    *why = json_pack("{sf,so,sO}", "budget", t->s->bits, "measured", measured, "steps", steps);
    return lost || !*why ? lb_fail(err, "out of memory: JSON") : 0;
}

int lb_search_formats(const struct lb_search *s, size_t *choice, json_t **why, struct lb_err *err)
{
    struct table t = {.s = s, .n_formats = s->format->n_layers};
    json_t *steps = json_array();
    *why = NULL;
    int r = s->f32->logits ? 0 : lb_fail(err, "search: KL needs logits: the last activation must be softmax or linear");
    r = r || allocate(&t, err) || measure_all(&t, err) || choose(&t, steps, err) || tell(&t, choice, steps, why, err) ? -1 : 0;
    json_decref(steps);
    lb_free(t.layer);
    lb_free(t.cells);
    lb_free(t.chosen);
    lb_free(t.y);
    lb_free(t.logits);
    lb_free(t.f32_y);
    lb_free(t.f32_logits);
    lb_free(t.labels);
    return r;
}
