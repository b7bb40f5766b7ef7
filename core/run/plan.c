/* SPDX-License-Identifier: MIT */
#include "core/run/plan.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/nn/model.h"
#include "core/version.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const modes[LB_MODES] = {"w", "wa", "w8a8", "w4a8", "integer"};

const char *lb_mode_name(int mode)
{
    return modes[mode];
}

int lb_mode_find(const char *name)
{
    for (int i = 0; i < LB_MODES; i++)
        if (!strcmp(name, modes[i]))
            return i;
    return -1;
}

const struct lb_format_config *lb_plan_activations(const struct lb_experiment *e, size_t i)
{
    const struct lb_format_config *c = &e->formats[i];
    return c->activations ? c->activations : e->activations ? e->activations : c;
}

/* ---- Hashes ---- */

/* The SHA-256 of canonical JSON; takes over `o`. */
static int hash_json(json_t *o, char hex[65], struct lb_err *err)
{
    char *text = o ? lb_json_canonical(o, err) : NULL;
    json_decref(o);
    const int r = text ? lb_sha256(text, strlen(text), hex, err) : lb_fail(err, "out of memory: hash");
    lb_free(text);
    return r;
}

/* What decides the bits that a backend gives: for exact ones nothing but the arithmetic. The name is there all the same, so that each backend's
 * own training is run and can be compared; and so is what a config says of it, for the same end. */
static json_t *backend_identity(const struct lb_backend_fact *b)
{
    const struct lb_backend_config *c = b->config;
    if (!b->exact)
        return json_pack("{ss,ss,ss,si,ss}", "name", b->plugin, "isa", b->isa, "device", b->device, "threads", (int)b->threads, "plugin",
                         b->entry ? b->entry->file_sha256 : "");
    json_t *o = json_pack("{ss,sb}", "name", b->plugin, "exact", 1);
    int lost = !o;
    if (c && c->isa != LB_ISA_BEST)
        lost |= json_object_set_new(o, "isa", json_integer(c->isa));
    if (c && c->threads)
        lost |= json_object_set_new(o, "threads", json_integer((json_int_t)c->threads));
    if (c && c->device)
        lost |= json_object_set_new(o, "device", json_string(c->device));
    if (lost)
        json_decref(o);
    return lost ? NULL : o;
}

const struct lb_train_config *lb_plan_train(const struct lb_plan *p, size_t model)
{
    const struct lb_model_config *m = &p->e->models[model];
    return m->has_train ? &m->train : &p->e->train;
}

static int hash_training(const struct lb_plan *p, struct lb_training *t, struct lb_err *err)
{
    const struct lb_model_config *m = &p->e->models[t->model];
    char file[65] = "";
    if (m->weights && lb_sha256_file(m->weights, file, err))
        return lb_fail_in(err, "model.weights");
    if (m->weights)
        return hash_json(json_pack("{ss,ss,sO,ss}", "kind", "training", "arithmetic", LB_ARITHMETIC, "model", m->json, "weights", file),
                         t->hash, err);
    json_t *o =
        json_pack("{ss,ss,sO,sO,ss,sI,so}", "kind", "training", "arithmetic", LB_ARITHMETIC, "model", m->json, "train", m->train_json,
                  "data", p->data.sha256, "seed", (json_int_t)p->e->seeds[t->seed], "backend", backend_identity(&p->backends[t->backend]));
    if (o && t->format != LB_NO_FORMAT && lb_plan_qat_identity(p, t, o)) {
        json_decref(o);
        o = NULL;
    }
    return hash_json(o, t->hash, err);
}

static int hash_trial(const struct lb_plan *p, struct lb_trial *t, struct lb_err *err)
{
    const struct lb_backend_fact *b = &p->backends[t->backend];
    json_t *o = json_pack("{ss,ss,ss,ss,sO,ss,ss,sI,so,sb}", "kind", "trial", "arithmetic", LB_ARITHMETIC, "training",
                          p->trainings[t->training].hash, "data", p->data.sha256, "format", p->formats[t->format].config->json, "codec",
                          p->formats[t->format].sha256, "mode", p->e->modes[t->mode], "seed", (json_int_t)p->e->seeds[t->seed], "backend",
                          backend_identity(b), "reference", p->with_reference && !b->is_reference);
    const struct lb_format_fact *f = &p->formats[t->format];
    const int mode = lb_mode_find(p->e->modes[t->mode]), wa = mode == LB_MODE_WA; /* scales of activations may be those of a batch */
    int lost = !o || ((wa || !b->exact) && json_object_set_new(o, "batch", json_integer((json_int_t)p->e->infer_batch)));
    if (!lost && wa)
        lost = json_object_set(o, "activations", f->activations->json) ||
               json_object_set_new(o, "activations_codec", json_string(f->activations_sha256)) ||
               (f->activations->calibrated && json_object_set_new(o, "calibration", json_integer((json_int_t)p->e->calibration_samples)));
    const struct lb_limits_config *l = &p->e->limits;
    if (!lost && (wa || !b->exact) && l->memory_bytes) /* they decide the batch */
        lost = json_object_set_new(o, "memory_bytes", json_integer((json_int_t)l->memory_bytes));
    if (!lost && (wa || !b->exact) && l->batch)
        lost = json_object_set_new(o, "batch_limit", json_integer((json_int_t)l->batch));
    if (!lost && wa && p->e->quantize_sums)
        lost = json_object_set_new(o, "quantize_sums", json_true());
    if (!lost && mode == LB_MODE_INTEGER)
        lost = json_object_set(o, "activations", f->codes->json) ||
               json_object_set_new(o, "activations_codec", json_string(f->codes_sha256)) ||
               json_object_set_new(o, "calibration", json_integer((json_int_t)p->e->calibration_samples)) ||
               (f->codes->rule == LB_SCALE_MOVING_AVERAGE && json_object_set_new(o, "batch", json_integer((json_int_t)p->e->infer_batch)));
    if (!lost && (mode == LB_MODE_W8A8 || mode == LB_MODE_W4A8) && p->e->integer_block)
        lost = json_object_set_new(o, "integer_block", json_integer((json_int_t)p->e->integer_block));
    if (!lost && f->config->search_bits > 0)
        lost = json_object_set_new(o, "search_samples", json_integer((json_int_t)p->e->calibration_samples));
    if (!lost && t->qat >= 0)
        lost = json_object_set_new(o, "qat_training", json_string(p->trainings[t->qat].hash));
    if (!lost && lb_config_format_fits(f->config))
        lost = json_object_set_new(o, "fit_samples", json_integer((json_int_t)p->e->calibration_samples));
    if (lost) {
        json_decref(o);
        o = NULL;
    }
    return hash_json(o, t->hash, err);
}

/* SHA-256 over the executable's and others' SHA-256, as text; NULL and "" are left out. */
static int hash_build(const struct lb_plan *p, const char *const *more, size_t n, char hex[65], struct lb_err *err)
{
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    lb_sha256_add(h, p->build, 64);
    for (size_t i = 0; i < n; i++)
        if (more[i] && *more[i])
            lb_sha256_add(h, more[i], 64);
    lb_sha256_end(h, hex);
    return 0;
}

static const char *plugin_of(const struct lb_backend_fact *b)
{
    return b->entry ? b->entry->file_sha256 : NULL;
}

static int build_training(const struct lb_plan *p, struct lb_training *t, struct lb_err *err)
{
    const char *const of[] = {plugin_of(&p->backends[t->backend]), t->format == LB_NO_FORMAT ? NULL : p->formats[t->format].plugins_sha256};
    return hash_build(p, of, sizeof of / sizeof *of, t->build, err);
}

static int build_trial(const struct lb_plan *p, struct lb_trial *t, struct lb_err *err)
{
    const char *of[5] = {p->trainings[t->training].build, t->qat >= 0 ? p->trainings[t->qat].build : NULL,
                         plugin_of(&p->backends[t->backend]), p->formats[t->format].plugins_sha256};
    for (size_t i = 0; i < p->n_backends; i++)
        if (p->backends[i].is_reference) /* what the trial is compared with */
            of[4] = plugin_of(&p->backends[i]);
    return hash_build(p, of, sizeof of / sizeof *of, t->build, err);
}

/* ---- The plan ---- */

/* What trains: one of the config's backends by its name there, or another. */
static long training_backend(struct lb_plan *p, const char *name, struct lb_err *err)
{
    for (size_t i = 0; i < p->n_backends; i++)
        if (!strcmp(p->backends[i].name, name))
            return (long)i;
    return lb_plan_add_backend(p, name, name, NULL, err);
}

/* Index of the training that gives the trial's model for its seed and backend, plain or (a format) for its format; adds it where it is new. */
static long training_index(struct lb_plan *p, const struct lb_trial *of, long format, struct lb_err *err)
{
    const size_t model = of->model, seed = of->seed;
    const char *own = lb_plan_train(p, model)->backend;
    const long on = own ? training_backend(p, own, err) : (long)of->backend;
    if (on < 0)
        return -1;
    struct lb_training t = {.model = model, .seed = seed, .backend = (size_t)on, .format = format};
    if (format != LB_NO_FORMAT)
        t.mode = lb_plan_qat_mode(&p->e->formats[format].qat, lb_mode_find(p->e->modes[of->mode]));
    for (size_t i = 0; i < p->n_trainings; i++) /* spares hashing a file of weights again for each trial */
        if (p->trainings[i].model == model && p->trainings[i].seed == seed && p->trainings[i].backend == t.backend &&
            p->trainings[i].format == format && p->trainings[i].mode == t.mode)
            return (long)i;
    if (hash_training(p, &t, err) || build_training(p, &t, err))
        return -1;
    for (size_t i = 0; i < p->n_trainings; i++)
        if (!strcmp(p->trainings[i].hash, t.hash))
            return (long)i;
    p->trainings[p->n_trainings] = t;
    return (long)p->n_trainings++;
}

/* Whether a format that is for one layer alone has it in this model. */
static int has_layer(const struct lb_model_config *m, int64_t only)
{
    return only < 0 || ((size_t)only < m->n_layers && (m->layers[only].type == LB_DENSE || m->layers[only].type == LB_CONV2D));
}

static int add_trials(struct lb_plan *p, struct lb_err *err)
{
    const struct lb_experiment *e = p->e;
    const size_t sizes[] = {e->n_models, e->n_seeds, e->n_backends, e->n_formats, e->n_modes};
    size_t most = 1;
    for (size_t i = 0; i < 5; i++)
        if (lb_mul(most, sizes[i], &most))
            return lb_fail(err, "%s: too many trials", e->path);
    p->trainings = lb_alloc(e->n_models * e->n_seeds * e->n_backends + most, sizeof *p->trainings, err);
    p->trials = lb_alloc(most, sizeof *p->trials, err);
    if (!p->trainings || !p->trials)
        return -1;
    for (size_t i = 0; i < most; i++) {
        struct lb_trial t = {0};
        size_t rest = i;
        t.mode = rest % e->n_modes, rest /= e->n_modes;
        t.format = rest % e->n_formats, rest /= e->n_formats;
        t.backend = rest % e->n_backends, rest /= e->n_backends;
        t.seed = rest % e->n_seeds, rest /= e->n_seeds;
        t.model = rest;
        if (!(p->formats[t.format].modes >> lb_mode_find(e->modes[t.mode]) & 1) ||
            !has_layer(&e->models[t.model], e->formats[t.format].only))
            continue;
        if (e->formats[t.format].only >= 0 && lb_mode_find(e->modes[t.mode]) != LB_MODE_W)
            continue; /* the inputs of all layers would be in the format, not those of one */
        const long training = training_index(p, &t, LB_NO_FORMAT, err);
        if (training < 0)
            return -1;
        t.training = (size_t)training;
        t.qat = e->formats[t.format].has_qat ? training_index(p, &t, (long)t.format, err) : -1;
        if (e->formats[t.format].has_qat && t.qat < 0)
            return -1;
        if (hash_trial(p, &t, err) || build_trial(p, &t, err))
            return -1;
        p->trials[p->n_trials++] = t;
    }
    if (!p->n_trials)
        return lb_fail(err, "%s: nothing to run: no format has a mode that \"modes\" asks for", e->path);
    return 0;
}

int lb_plan_create(const struct lb_experiment *e, const struct lb_backend_options *options, struct lb_plan **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_plan *p = lb_alloc(1, sizeof *p, err);
    if (!p)
        return -1;
    p->e = e;
    p->options = *options;
    struct lb_err data_err = {0};
    int r = 0;
    if (lb_dataset_load(&e->data, &p->data, &p->data_missing, &data_err)) {
        lb_plan_copy(p->data_why, sizeof p->data_why, data_err.text);
        if (!p->data_missing)
            r = lb_fail(err, "%s", data_err.text);
    }
    if (!r)
        r = lb_sha256_file("/proc/self/exe", p->build, err) || lb_plan_learn(p, err) ? -1 : 0;
    if (!r && !p->data_missing)
        r = lb_plan_check(p, err) || add_trials(p, err) ? -1 : 0;
    if (r) {
        lb_plan_destroy(p);
        return -1;
    }
    *out = p;
    return 0;
}

void lb_plan_destroy(struct lb_plan *p)
{
    if (!p)
        return;
    lb_dataset_finish(&p->data);
    lb_config_format_finish(&p->codes);
    lb_free(p->backends);
    lb_free(p->formats);
    lb_free(p->trainings);
    lb_free(p->trials);
    lb_free(p);
}
