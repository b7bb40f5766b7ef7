/* SPDX-License-Identifier: MIT */
/* plan_check.c - what can be known to be wrong with an experiment once its data and models are there. */
#include "core/base/child.h"
#include "core/base/log.h"
#include "core/format/format.h"
#include "core/nn/model.h"
#include "core/run/plan.h"
#include "core/run/search.h"

/* Every model is built once here, so that a bad one is an error of the config and not of a trial. */
static int check_models(const struct lb_plan *p, struct lb_err *err)
{
    for (size_t i = 0; i < p->e->n_models; i++) {
        const struct lb_model_config *c = &p->e->models[i];
        const struct lb_dataset *d = &p->data;
        struct lb_model *m;
        if (c->has_input && ((size_t)c->input[0] != d->channels || (size_t)c->input[1] != d->height || (size_t)c->input[2] != d->width))
            return lb_fail(err, "%s: model.input: [%lld, %lld, %lld], but the data is [%zu, %zu, %zu]", p->e->path, (long long)c->input[0],
                           (long long)c->input[1], (long long)c->input[2], d->channels, d->height, d->width);
        if (lb_model_create(c, d->channels, d->height, d->width, d->classes, &m, err))
            return lb_fail_in(err, "%s: model \"%s\"", p->e->path, c->name);
        const int r = c->weights ? lb_model_load(m, c->weights, c->names, err) : 0;
        lb_model_destroy(m);
        if (r)
            return lb_fail_in(err, "%s: model \"%s\"", p->e->path, c->name);
        if (c->weights && p->e->n_seeds > 1)
            lb_log(LB_LOG_WARN, "model %s: its weights come from a file, so the seeds all give the same rows", c->name);
    }
    return 0;
}

/* An expression that matches no parameter of any model is a slip. */
static int check_match(const struct lb_plan *p, const struct lb_format_config *f, const char *match, struct lb_err *err)
{
    const struct lb_dataset *d = &p->data;
    int found = 0;
    for (size_t i = 0; !found && i < p->e->n_models; i++) {
        struct lb_model *m;
        if (lb_model_shape(&p->e->models[i], d->channels, d->height, d->width, d->classes, &m, err))
            return -1;
        for (size_t k = 0; k < m->n_params && !found; k++)
            found = lb_format_match(match, m->params[k].name, err);
        lb_model_destroy(m);
    }
    return found > 0   ? 0
           : found < 0 ? -1
                       : lb_fail(err, "%s: format \"%s\": no parameter of a model matches \"%s\"", p->e->path, f->name, match);
}

static int check_layers(const struct lb_plan *p, struct lb_err *err)
{
    for (size_t i = 0; i < p->e->n_formats; i++) {
        const struct lb_format_config *f = &p->e->formats[i];
        for (size_t k = 0; f->only < 0 && !(f->search_bits > 0) && k < f->n_layers; k++)
            if (check_match(p, f, f->layers[k].match, err))
                return -1;
    }
    return 0;
}

/* ---- The budget of a search ---- */

struct budget {
    const struct lb_plan *p;
    const struct lb_format_config *format;
    const struct lb_model_config *model;
};

/* Bytes of a layer's parameters in candidate `format`. They do not depend on the numbers. */
static int layer_bytes(const struct lb_model *m, size_t layer, const struct lb_format *format, size_t *bytes, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    int r = 0;
    for (size_t i = 0; !r && i < m->n_params; i++)
        if (m->params[i].layer == layer)
            r = lb_encode_parameter(m, i, format, 1, &st, &stats, err);
    lb_safetensors_finish(&st);
    *bytes = stats.bytes;
    return r;
}

/* Bytes of a layer in the smallest candidate. */
static int smallest(const struct lb_model *m, size_t layer, const struct lb_format *f, size_t *least, struct lb_err *err)
{
    *least = SIZE_MAX;
    for (size_t k = 0; k < f->n_layers; k++) {
        size_t bytes;
        if (layer_bytes(m, layer, f->layers[k], &bytes, err))
            return -1;
        *least = bytes < *least ? bytes : *least;
    }
    return 0;
}

/* The fewest bits a weight that the candidates take. */
static int least_bits(void *arg, json_t *reply, struct lb_err *err)
{
    const struct budget *b = arg;
    const struct lb_dataset *d = &b->p->data;
    struct lb_format *f = NULL;
    struct lb_model *m = NULL;
    size_t sum = 0, least;
    int r =
        lb_format_create(b->format, &f, err) || lb_model_create(b->model, d->channels, d->height, d->width, d->classes, &m, err) ? -1 : 0;
    for (size_t i = 0; !r && i < m->n_params; i++) {
        if (m->params[i].is_bias)
            continue;
        r = smallest(m, m->params[i].layer, f, &least, err);
        sum += r ? 0 : least;
    }
    if (!r && json_object_set_new(reply, "bits", json_real(8 * (double)sum / (double)m->n_weights)))
        r = lb_fail(err, "out of memory: reply");
    lb_model_destroy(m);
    lb_format_destroy(f);
    return r;
}

/* A budget that cannot be met is known before anything is trained. */
static int check_budgets(const struct lb_plan *p, struct lb_err *err)
{
    for (size_t i = 0; i < p->e->n_formats; i++)
        for (size_t k = 0; k < p->e->n_models && p->e->formats[i].search_bits > 0; k++) {
            struct budget b = {p, &p->e->formats[i], &p->e->models[k]};
            struct lb_outcome o;
            lb_child_run(least_bits, &b, &(struct lb_child_limits){p->e->limits.timeout_s, (size_t)p->e->limits.process_bytes, 0}, &o);
            const double bits = json_real_value(json_object_get(o.reply, "bits"));
            json_decref(o.reply);
            if (o.status == LB_OK && bits > b.format->search_bits)
                return lb_fail(
                    err, "%s: search.bits: %.9g are too few: the smallest choice of these formats takes %.9g bits a weight of model \"%s\"",
                    p->e->path, b.format->search_bits, bits, b.model->name);
        } /* what fails otherwise fails as a trial */
    return 0;
}

/* ---- Trainings for formats ---- */

static int check_qat(const struct lb_plan *p, const struct lb_format_config *f, size_t model, struct lb_err *err)
{
    const struct lb_model_config *m = &p->e->models[model];
    const struct lb_train_config *t = lb_plan_train(p, model);
    if (m->weights)
        return lb_fail(err, "%s: format \"%s\": qat: the weights of model \"%s\" come from a file: nothing is trained", p->e->path, f->name,
                       m->name);
    if (f->qat.from_epoch >= t->epochs)
        return lb_fail(err, "%s: format \"%s\": qat.from_epoch: expected less than the %lld epochs of model \"%s\", found %lld", p->e->path,
                       f->name, (long long)t->epochs, m->name, (long long)f->qat.from_epoch);
    return 0;
}

static int check_qats(const struct lb_plan *p, struct lb_err *err)
{
    for (size_t i = 0; i < p->e->n_formats; i++)
        for (size_t k = 0; p->e->formats[i].has_qat && k < p->e->n_models; k++)
            if (check_qat(p, &p->e->formats[i], k, err))
                return -1;
    return 0;
}

int lb_plan_check(const struct lb_plan *p, struct lb_err *err)
{
    return check_qats(p, err) || check_models(p, err) || check_layers(p, err) || check_budgets(p, err) ? -1 : 0;
}
