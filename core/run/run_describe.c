/* SPDX-License-Identifier: MIT */
/* run_describe.c - the experiment's line in the journal: what a run sets out to do, and all that its report says beside the trials. */
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/nn/model.h"
#include "core/plugins.h"
#include "core/run/run.h"
#include "core/run/trial.h"
#include "core/version.h"

#include <stdio.h>
#include <string.h>

static json_t *describe_model(const struct lb_plan *p, size_t i)
{
    static const char *const losses[] = {"cross-entropy", "mean squared error"}, *const shuffles[] = {"no shuffle", "shuffled once",
                                                                                                      "shuffled"};
    const struct lb_model_config *c = &p->e->models[i];
    const struct lb_train_config *t = lb_plan_train(p, i);
    struct lb_model *m = NULL;
    char text[512];
    size_t weights = 0;
    if (lb_model_create(c, p->data.channels, p->data.height, p->data.width, p->data.classes, &m, NULL) == 0)
        weights = m->n_weights;
    lb_model_destroy(m);
    if (c->weights)
        snprintf(text, sizeof text, "%zu parameters, loaded from a file", weights);
    else
        snprintf(text, sizeof text, "%zu parameters; trained on %s: %lld epochs, batch %lld, lr %g, momentum %g, weight decay %g, %s, %s",
                 weights, t->backend ? t->backend : "each backend", (long long)t->epochs, (long long)t->batch, t->lr, t->momentum, t->decay,
                 losses[t->loss], shuffles[t->shuffle]);
    return json_pack("{ss,ss}", "name", c->name, "described", text);
}

/* Both give -1 where memory is out. */
static int set_number(json_t *o, const char *key, double v)
{
    return v == v ? json_object_set_new(o, key, lb_json_number(v)) : 0;
}

static int set_text(json_t *o, const char *key, const char *text)
{
    return text ? json_object_set_new(o, key, lb_json_text(text)) : 0;
}

static json_t *describe_published(const struct lb_experiment *e)
{
    json_t *all = json_array();
    int lost = !all;
    for (size_t i = 0; i < e->n_published; i++) {
        const struct lb_published *p = &e->published[i];
        json_t *o = json_pack("{ss}", "format", p->format);
        lost |= set_text(o, "model", p->model) || set_text(o, "size", p->size) || set_text(o, "accuracy", p->accuracy) ||
                set_number(o, "quality", p->quality) || set_number(o, "avg_dev", p->avg_dev);
        lost |= json_array_append_new(all, o);
    }
    if (lost)
        json_decref(all);
    return lost ? NULL : all;
}

/* What was planned, in order: hashes, and the names that this config has for what they stand for. */
static json_t *describe_trials(const struct lb_plan *p)
{
    json_t *all = json_array();
    int lost = !all;
    for (size_t i = 0; i < p->n_trials; i++) {
        const struct lb_trial *t = &p->trials[i];
        lost |= json_array_append_new(all, json_pack("{ss,ss,ss,ss}", "trial", t->hash, "format", p->e->formats[t->format].name, "model",
                                                     p->e->models[t->model].name, "backend", p->backends[t->backend].name));
    }
    if (lost)
        json_decref(all);
    return lost ? NULL : all;
}

/* The plugins that are loaded: what the build hash of a row may cover. */
static json_t *describe_plugins(void)
{
    json_t *all = json_array();
    int lost = !all;
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        const char *slash = strrchr(e->file, '/');
        if (e->plugin && !e->shadowed)
            lost |= json_array_append_new(
                all, json_pack("{ss,ss,ss}", "name", e->name, "file", slash ? slash + 1 : e->file, "sha256", e->file_sha256));
    }
    if (lost)
        json_decref(all);
    return lost ? NULL : all;
}

/* The formats by their names here: what merging compares. */
static json_t *describe_formats(const struct lb_plan *p)
{
    json_t *all = json_object();
    int lost = !all;
    for (size_t i = 0; i < p->e->n_formats; i++)
        lost |= json_object_set_new(all, p->e->formats[i].name, json_string(p->formats[i].sha256));
    if (lost)
        json_decref(all);
    return lost ? NULL : all;
}

json_t *lb_run_describe(const struct lb_plan *p, const struct lb_run_options *run, struct lb_err *err)
{
    const struct lb_experiment *e = p->e;
    char config[65], at[32];
    if (lb_config_sha256(e, config, err))
        return NULL;
    lb_log_time(at);
    json_t *models = json_array(), *backends = json_array();
    int lost = 0;
    for (size_t i = 0; i < e->n_models; i++)
        lost |= json_array_append_new(models, describe_model(p, i));
    for (size_t i = 0; i < e->n_backends; i++)
        lost |= json_array_append_new(backends, json_string(e->backends[i].name));
    if (lost) {
        json_decref(models);
        models = NULL; /* and so the whole line is */
    }
    json_t *shard = run->shards ? json_pack("{sI,sI}", "index", (json_int_t)run->shard, "count", (json_int_t)run->shards) : NULL;
    return json_pack("{ss,ss,ss,ss,ss,ss,sI,ss,ss,ss,sb,ss,so,so,so*,so,so,so,so,so*,sI,ss,ss}", "kind", "experiment", "name", e->name,
                     "title", e->title ? e->title : "", "notes", e->notes ? e->notes : "", "data", p->data.described, "data_sha256",
                     p->data.sha256, "classes", (json_int_t)p->data.classes, "arithmetic", LB_ARITHMETIC, "version", LB_VERSION, "build",
                     p->build, "explain", e->explain, "published_source", e->published_source ? e->published_source : "", "published",
                     describe_published(e), "models", models, "trained_for", lb_plan_qat_describe(p), "backends", backends, "trials",
                     describe_trials(p), "formats", describe_formats(p), "plugins", describe_plugins(), "shard", shard, "jobs",
                     (json_int_t)run->jobs, "config_sha256", config, "at", at);
}
