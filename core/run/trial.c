/* SPDX-License-Identifier: MIT */
#include "core/run/trial_impl.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/nn/fit.h"
#include "core/nn/metrics.h"
#include "core/nn/q_net.h"
#include "core/nn/qat.h"
#include "core/run/measure.h"
#include "core/run/outputs.h"
#include "core/run/search.h"
#include "core/version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENCY_RUNS = 15 };

json_t *lb_json_number(double v)
{
    if (v != v)
        return json_string("nan");
    if (isinf(v))
        return json_string(v > 0 ? "inf" : "-inf");
    return json_real(v);
}

/* The hash may be a journal's: it must not lead out of the folder. */
static char *path_of(const char *folder, const char *kind, const char *hash, struct lb_err *err)
{
    struct lb_text t = {0};
    if (strspn(hash, "0123456789abcdef") != 64 || hash[64]) {
        lb_fail(err, "%s: \"%.80s\" is no hash: expected 64 hexadecimal digits", folder, hash);
        return NULL;
    }
    lb_text_add(&t, "%s/%s/%s.safetensors", folder, kind, hash);
    return lb_text_end(&t, err) ? NULL : t.s;
}

char *lb_trained_path(const char *folder, const char *hash, struct lb_err *err)
{
    return path_of(folder, "trained", hash, err);
}

char *lb_formatted_path(const char *folder, const char *hash, struct lb_err *err)
{
    return path_of(folder, "models", hash, err);
}

static int create_model(const struct lb_plan *p, size_t index, struct lb_model **m, struct lb_err *err)
{
    const struct lb_dataset *d = &p->data;
    return lb_model_create(&p->e->models[index], d->channels, d->height, d->width, d->classes, m, err);
}

static int open_backend(const struct lb_plan *p, size_t index, struct lb_dev **d, struct lb_err *err)
{
    return lb_backend_open((const struct lb_backend *)p->backends[index].entry->plugin, &p->backends[index].options, d, err);
}

/* ---- A trial ---- */

/* The net of the stored weights, or with `f32` of the trained ones. */
static int create_net(const struct lb_trial_at_work *w, int f32, struct lb_dev *d, struct lb_net **net, struct lb_err *err)
{
    const struct lb_net_format f = {.weights = &w->stored,
                                    .activations = lb_trial_mode(w) == LB_MODE_WA ? w->activations : NULL,
                                    .sums = w->p->e->quantize_sums,
                                    .integer = lb_trial_mode(w) == LB_MODE_W8A8 || lb_trial_mode(w) == LB_MODE_W4A8,
                                    .integer_block = (size_t)w->p->e->integer_block,
                                    .seed = lb_trial_seed(w)};
    return f32 ? lb_net_create(w->plain ? w->plain : w->f32, d, lb_trial_batch(w->p), 0, net, err)
               : lb_net_create_packed(w->m, d, w->batch, &f, net, err);
}

/* All test outputs of one of the two nets on device `d`. */
static int run_on(struct lb_trial_at_work *w, int f32, struct lb_dev *d, struct lb_trial_outputs *o, struct lb_err *err)
{
    struct lb_net *net = NULL;
    o->y = lb_alloc(lb_trial_n_outputs(w), sizeof *o->y, err);
    o->logits = w->f32->logits ? lb_alloc(lb_trial_n_outputs(w), sizeof *o->logits, err) : NULL;
    if (!o->y || (w->f32->logits && !o->logits) || create_net(w, f32, d, &net, err))
        return -1;
    const int r = lb_net_infer(net, w->p->data.test.x, w->p->data.test.n, o->y, o->logits, err);
    w->unpacked = d == w->d && !f32 ? lb_net_unpacked(net) : w->unpacked;
    lb_net_destroy(net);
    return r;
}

static void free_outputs(struct lb_trial_outputs *o)
{
    lb_free(o->y);
    lb_free(o->logits);
}

/* The weights as they were encoded and as the file gives them back must be equal, bit for bit. */
static int check_stored(const struct lb_trial_at_work *w, struct lb_err *err)
{
    int r = 0;
    for (size_t i = 0; !r && i < w->f32->n_params; i++) {
        const struct lb_param_tensor *p = &w->f32->params[i];
        float *encoded = lb_alloc(p->elems, sizeof *encoded, err), *stored = lb_alloc(p->elems, sizeof *stored, err);
        r = !encoded || !stored || lb_format_decode(&w->st, p->name, encoded, p->elems, err) ||
                    lb_format_decode(&w->stored, p->name, stored, p->elems, err)
                ? -1
                : 0;
        if (!r && memcmp(encoded, stored, p->elems * sizeof *encoded))
            r = lb_fail(err, "%s: changed by storing and loading", p->name);
        lb_free(encoded);
        lb_free(stored);
    }
    return r;
}

/* Bits of a number of activations, in the precision of the mode. */
static double activation_bits(const struct lb_trial_at_work *w)
{
    const struct lb_codec *k = w->activations ? w->activations->codec : NULL;
    return !k ? 32 : k->bits ? k->bits : 8.0 * k->unit_bytes / k->unit_elems;
}

/* The batch that the limits allow: weights, and for each sample its input and the outputs of the layers. */
static int choose_batch(struct lb_trial_at_work *w, struct lb_err *err)
{
    const struct lb_limits_config *l = &w->p->e->limits;
    size_t numbers = w->f32->layers[0].in;
    for (size_t i = 0; i < w->f32->n_layers; i++)
        numbers += w->f32->layers[i].weight >= 0 ? w->f32->layers[i].out : 0;
    const double sample = (double)numbers * activation_bits(w) / 8, weights = (double)w->stats.bytes;
    w->batch = lb_trial_batch(w->p);
    if (l->batch && (size_t)l->batch < w->batch)
        w->batch = (size_t)l->batch;
    if (l->memory_bytes && weights + sample > (double)l->memory_bytes)
        return lb_fail(err, "limits.memory_bytes: %lld hold no batch: the weights are %zu bytes, one sample's numbers %.0f",
                       (long long)l->memory_bytes, w->stats.bytes, ceil(sample));
    if (l->memory_bytes && ((double)l->memory_bytes - weights) / sample < (double)w->batch)
        w->batch = (size_t)(((double)l->memory_bytes - weights) / sample);
    w->formula_bytes = (size_t)ceil(weights + sample * (double)w->batch);
    return 0;
}

static int run_formatted(struct lb_trial_at_work *w, struct lb_err *err)
{
    return choose_batch(w, err) || lb_safetensors_open(w->file, &w->stored, err) || check_stored(w, err) ||
                   run_on(w, 0, w->d, &w->after, err)
               ? -1
               : 0;
}

/* What each layer gives, on as many test samples as calibration takes. */
static int look_at_layers(struct lb_trial_at_work *w, struct lb_err *err)
{
    const struct lb_samples *s = &w->p->data.test;
    const size_t most = (size_t)w->p->e->calibration_samples;
    struct lb_net *f32 = NULL, *net = NULL;
    if (!w->p->e->layers)
        return 0;
    const struct lb_model *migrated = w->fit ? lb_fit_model(w->fit) : NULL; /* whose layers give what the formatted ones are to give */
    const int made = migrated ? lb_net_create(migrated, w->d, lb_trial_batch(w->p), 0, &f32, err) : create_net(w, 1, w->d, &f32, err);
    const int r =
        made || create_net(w, 0, w->d, &net, err) || lb_outputs_compare(f32, net, w->f32, s->x, s->n < most ? s->n : most, &w->outputs, err)
            ? -1
            : 0;
    lb_net_destroy(net);
    lb_net_destroy(f32);
    return r;
}

/* The same trial's outputs on cpu_ref. */
static int run_reference(struct lb_trial_at_work *w, struct lb_err *err)
{
    struct lb_dev *d = NULL;
    for (size_t i = 0; i < w->p->n_backends; i++)
        if (w->p->backends[i].is_reference && open_backend(w->p, i, &d, err))
            return -1;
    const int r = d ? run_on(w, 0, d, &w->reference, err) : lb_fail(err, "cpu_ref: not there");
    lb_backend_close(d);
    return r;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median time of one full batch. */
static int measure_latency(struct lb_trial_at_work *w, struct lb_err *err)
{
    const size_t n = w->batch;
    double seconds[LATENCY_RUNS] = {0};
    struct lb_net *net = NULL;
    if (create_net(w, 0, w->d, &net, err))
        return -1;
    int r = 0;
    for (int i = 0; !r && i < LATENCY_RUNS; i++) {
        const double start = lb_seconds();
        r = lb_net_infer(net, w->p->data.test.x, n, w->after.y, NULL, err);
        seconds[i] = lb_seconds() - start;
    }
    lb_net_destroy(net);
    qsort(seconds, LATENCY_RUNS, sizeof *seconds, by_value);
    w->latency_s = seconds[LATENCY_RUNS / 2];
    return r;
}

static void put_json(struct lb_trial_at_work *w, json_t *row, const char *column, json_t *value)
{
    w->lost |= json_object_set_new(row, column, value) != 0;
}

static void put(struct lb_trial_at_work *w, json_t *row, const char *column, double v)
{
    put_json(w, row, column, lb_json_number(v));
}

static void put_count(struct lb_trial_at_work *w, json_t *row, const char *column, uint64_t v)
{
    put_json(w, row, column, json_integer((json_int_t)v));
}

static void put_text(struct lb_trial_at_work *w, json_t *row, const char *column, const char *text)
{
    put_json(w, row, column, lb_json_text(text ? text : ""));
}

static int fill_row(struct lb_trial_at_work *w, json_t *row, struct lb_err *err)
{
    static const char *const hist[LB_HIST] = {"hist_le10", "hist_le20", "hist_le30", "hist_le40", "hist_le50", "hist_le100", "hist_gt100"};
    const struct lb_plan *p = w->p;
    struct lb_metrics m;
    char sha[65];
    lb_metrics_compute(w->base.y, w->after.y, w->base.logits, w->after.logits, p->data.test.y, p->data.test.n, p->data.classes, &m);
    if (lb_safetensors_sha256(&w->st, sha, err))
        return -1;
    put(w, row, "quality", m.quality);
    put(w, row, "avg_dev", m.avg_dev);
    put(w, row, "max_dev", m.max_dev);
    put(w, row, "top1", m.top1);
    put(w, row, "top1_delta", m.top1 - m.top1_f32);
    put(w, row, "agreement", m.agreement);
    if (w->base.logits)
        put(w, row, "kl", m.kl);
    put(w, row, "sqnr_db", lb_sqnr_db(w->stats.signal, w->stats.noise));
    put(w, row, "bits_per_weight", 8 * (double)w->stats.bytes / (double)w->stats.weights);
    put_count(w, row, "file_bytes", w->file_bytes);
    put_count(w, row, "weight_bytes", w->stats.bytes);
    put_text(w, row, "packed", w->unpacked ? "no" : "yes");
    if (w->reference.y) {
        struct lb_difference d;
        lb_difference(w->reference.y, w->after.y, lb_trial_n_outputs(w), &d);
        put(w, row, "max_abs_diff", d.max_abs);
        put_count(w, row, "diff_elements", d.elements);
        put_json(w, row, "max_ulp", d.max_ulp == UINT64_MAX ? json_string("nan") : json_integer((json_int_t)d.max_ulp));
    }
    for (int i = 0; i < LB_HIST; i++)
        put_count(w, row, hist[i], m.hist[i]);
    put_text(w, row, "weights_sha256", sha);
    put_count(w, row, "weights", w->stats.weights);
    put_count(w, row, "nan_codes", w->stats.nan_codes);
    put_count(w, row, "inf_codes", w->stats.inf_codes);
    put_count(w, row, "zeroed", w->stats.zeroed);
    put_count(w, row, "clipped", w->stats.clipped);
    put(w, row, "top1_f32", m.top1_f32);
    put_json(w, row, "layers", json_incref(w->layers));
    if (w->search)
        put_json(w, row, "search", json_incref(w->search));
    if (w->outputs)
        put_json(w, row, "outputs", json_incref(w->outputs));
    return 0;
}

static int fill_measured(struct lb_trial_at_work *w, json_t *o, struct lb_err *err)
{
    size_t tensor_bytes, rss;
    const size_t n = w->batch;
    if (measure_latency(w, err) || lb_measure_fresh(w->p, w->t, n, w->file, &tensor_bytes, &rss, err))
        return -1;
    put(w, o, "encode_s", w->stats.seconds);
    put(w, o, "latency_s", w->latency_s);
    put(w, o, "samples_per_s", (double)n / w->latency_s);
    put_count(w, o, "batch", n);
    put_count(w, o, "formula_bytes", w->formula_bytes);
    put(w, o, "limited_latency_s", w->latency_s / w->p->e->limits.compute_factor);
    put_count(w, o, "tensor_bytes", tensor_bytes);
    put_count(w, o, "rss_delta_bytes", rss);
    put_text(w, o, "isa", w->d->info.isa);
    put_count(w, o, "threads", w->d->info.threads);
    put_text(w, o, "device", w->d->info.device);
    put_text(w, o, "version", LB_VERSION);
    put_text(w, o, "build", w->t->build);
    return 0;
}

/* The trained networks: the plain one, and the one that was trained for the format. */
static int load_trained(struct lb_trial_at_work *w, struct lb_err *err)
{
    const struct lb_plan *p = w->p;
    const long own = w->t->qat;
    char *path = lb_trained_path(w->folder, p->trainings[w->t->training].hash, err);
    char *own_path = own < 0 ? NULL : lb_trained_path(w->folder, p->trainings[own].hash, err);
    struct lb_model **plain = own < 0 ? &w->f32 : &w->plain;
    int r = !path || create_model(p, w->t->model, plain, err) || lb_model_load(*plain, path, NULL, err) ? -1 : 0;
    if (!r && own >= 0)
        r = !own_path || create_model(p, w->t->model, &w->f32, err) || lb_model_load(w->f32, own_path, NULL, err) ||
                    lb_safetensors_open(own_path, &w->trained, err)
                ? -1
                : 0;
    lb_free(path);
    lb_free(own_path);
    return r;
}

static int do_trial(struct lb_trial_at_work *w, json_t *row, json_t *measured, struct lb_err *err)
{
    const struct lb_plan *p = w->p;
    const int compare = p->with_reference && !p->backends[w->t->backend].is_reference;
    const struct lb_format_fact *f = &p->formats[w->t->format];
    const struct lb_dataset *data = &p->data;
    const int r =
        load_trained(w, err) ||
                lb_model_shape(&p->e->models[w->t->model], data->channels, data->height, data->width, data->classes, &w->m, err) ||
                open_backend(p, w->t->backend, &w->d, err) || lb_format_create(f->config, &w->format, err) ||
                (lb_trial_mode(w) == LB_MODE_WA && lb_format_create(f->activations, &w->activations, err)) ||
                (lb_trial_mode(w) == LB_MODE_INTEGER && lb_format_create(f->codes, &w->activations, err)) ||
                run_on(w, 1, w->d, &w->base, err) || lb_trial_encode(w, err) || run_formatted(w, err) || look_at_layers(w, err) ||
                (compare && run_reference(w, err)) || fill_row(w, row, err) || fill_measured(w, measured, err)
            ? -1
            : 0;
    return !r && w->lost ? lb_fail(err, "out of memory: row") : r;
}

int lb_trial_work(void *job, json_t *reply, struct lb_err *err)
{
    const struct lb_job *j = job;
    struct lb_trial_at_work w = {.p = j->plan, .t = &j->plan->trials[j->index], .folder = j->folder};
    json_t *row = json_object(), *measured = json_object();
    int r = do_trial(&w, row, measured, err);
    const int lost = json_object_set_new(reply, "row", row), lost_too = json_object_set_new(reply, "measured", measured);
    if (!r && (lost || lost_too))
        r = lb_fail(err, "out of memory: reply");
    lb_fit_destroy(w.fit);
    lb_free(w.own);
    lb_safetensors_finish(&w.st);
    lb_safetensors_finish(&w.stored);
    lb_format_destroy(w.format);
    lb_format_destroy(w.activations);
    free_outputs(&w.base);
    free_outputs(&w.after);
    free_outputs(&w.reference);
    lb_backend_close(w.d);
    lb_model_destroy(w.f32);
    lb_model_destroy(w.plain);
    lb_safetensors_finish(&w.trained);
    lb_model_destroy(w.m);
    json_decref(w.layers);
    json_decref(w.search);
    json_decref(w.outputs);
    lb_free(w.file);
    return r;
}
