/* SPDX-License-Identifier: MIT */
#include "core/run/trial.h"
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

static char *path_of(const char *folder, const char *kind, const char *hash, struct lb_err *err)
{
    struct lb_text t = {0};
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

struct outputs {
    float *y, *logits; /* (samples, classes) */
};

struct work {
    const struct lb_plan *p;
    const struct lb_trial *t;
    const char *folder;
    struct lb_model *f32, *m;      /* as trained; the shapes alone, for formatted weights */
    struct lb_model *plain;        /* what metrics compare with, where f32 was trained for its format; else NULL */
    struct lb_safetensors trained; /* f32's file, then */
    struct lb_dev *d;
    struct lb_format *format, *activations; /* activations: of mode wa */
    const struct lb_format **own;           /* of each parameter */
    struct lb_fit *fit;                     /* NULL: weights become the nearest values */
    struct lb_format_stats stats;
    struct lb_safetensors st, stored; /* the formatted weights: in memory, and in their file */
    json_t *outputs;                  /* of each layer, beside the F32 network's; NULL: not looked at */
    json_t *layers, *search;          /* what encoding did to each parameter; why each layer has its format */
    int unpacked;                     /* weights that the device could not keep packed */
    char *file;
    struct outputs base, after, reference;
    double latency_s;
    size_t file_bytes, batch, formula_bytes; /* formula_bytes: weights, and the numbers of a batch */
    int lost;                                /* memory for a value of the row was out */
};

static size_t n_outputs(const struct work *w)
{
    return w->p->data.test.n * w->p->data.classes;
}

/* Samples at a time: `infer.batch`, where there are so many. */
static size_t batch_of(const struct lb_plan *p)
{
    const size_t batch = (size_t)p->e->infer_batch;
    return p->data.test.n < batch ? p->data.test.n : batch;
}

static uint64_t seed_of(const struct work *w)
{
    return (uint64_t)w->p->e->seeds[w->t->seed];
}

static int mode_of(const struct work *w)
{
    return lb_mode_find(w->p->e->modes[w->t->mode]);
}

/* The net of the stored weights, or with `f32` of the trained ones. */
static int create_net(const struct work *w, int f32, struct lb_dev *d, struct lb_net **net, struct lb_err *err)
{
    const struct lb_net_format f = {.weights = &w->stored,
                                    .activations = mode_of(w) == LB_MODE_WA ? w->activations : NULL,
                                    .sums = w->p->e->quantize_sums,
                                    .integer = mode_of(w) == LB_MODE_W8A8 || mode_of(w) == LB_MODE_W4A8,
                                    .integer_block = (size_t)w->p->e->integer_block,
                                    .seed = seed_of(w)};
    return f32 ? lb_net_create(w->plain ? w->plain : w->f32, d, batch_of(w->p), 0, net, err)
               : lb_net_create_packed(w->m, d, w->batch, &f, net, err);
}

/* All test outputs of one of the two nets on device `d`. */
static int run_on(struct work *w, int f32, struct lb_dev *d, struct outputs *o, struct lb_err *err)
{
    struct lb_net *net = NULL;
    o->y = lb_alloc(n_outputs(w), sizeof *o->y, err);
    o->logits = w->f32->logits ? lb_alloc(n_outputs(w), sizeof *o->logits, err) : NULL;
    if (!o->y || (w->f32->logits && !o->logits) || create_net(w, f32, d, &net, err))
        return -1;
    const int r = lb_net_infer(net, w->p->data.test.x, w->p->data.test.n, o->y, o->logits, err);
    w->unpacked = d == w->d && !f32 ? lb_net_unpacked(net) : w->unpacked;
    lb_net_destroy(net);
    return r;
}

static void free_outputs(struct outputs *o)
{
    lb_free(o->y);
    lb_free(o->logits);
}

static struct lb_calibration calibration(const struct work *w)
{
    const struct lb_samples *s = &w->p->data.train;
    const size_t most = (size_t)w->p->e->calibration_samples;
    return (struct lb_calibration){
        .m = w->fit ? lb_fit_model(w->fit) : w->f32, .d = w->d, .x = s->x, .n = s->n < most ? s->n : most, .batch = batch_of(w->p)};
}

/* The candidate of each parameter, where the format is searched for. */
static int search(struct work *w, size_t *choice, struct lb_err *err)
{
    const struct lb_samples *x = &w->p->data.train;
    const size_t most = (size_t)w->p->e->calibration_samples;
    const struct lb_search s = {.f32 = w->f32,
                                .shape = w->m,
                                .d = w->d,
                                .format = w->format,
                                .bits = w->format->config->search_bits,
                                .x = x->x,
                                .n = x->n < most ? x->n : most,
                                .batch = batch_of(w->p),
                                .seed = seed_of(w)};
    return lb_search_formats(&s, choice, &w->search, err);
}

/* What encoding did to one parameter: for plots, and the table by layer. */
static int note_layer(struct work *w, size_t i, const struct lb_format *f, const struct lb_format_stats *s, struct lb_err *err)
{
    const struct lb_param_tensor *p = &w->f32->params[i];
    json_t *codes = f->codec->bits && f->codec->bits <= 8 && !p->is_bias ? json_array() : NULL;
    int lost = 0;
    for (size_t c = 0; codes && c < (size_t)1 << f->codec->bits; c++)
        lost |= json_array_append_new(codes, json_integer((json_int_t)s->codes[c])) != 0;
    const char *fitted = w->fit ? lb_fit_text(w->fit, i) : "";
    json_t *o = json_pack("{ss,ss,sI,sI,so,so*,ss*}", "name", p->name, "format", f->config->name, "weights", (json_int_t)s->weights,
                          "bytes", (json_int_t)s->bytes, "sqnr_db", lb_json_number(lb_sqnr_db(s->signal, s->noise)), "codes", codes, "fit",
                          *fitted ? fitted : NULL);
    return lost || json_array_append_new(w->layers, o) ? lb_fail(err, "out of memory: JSON") : 0;
}

static void add_stats(struct lb_format_stats *all, const struct lb_format_stats *s)
{
    all->weights += s->weights;
    all->nan_codes += s->nan_codes;
    all->inf_codes += s->inf_codes;
    all->zeroed += s->zeroed;
    all->clipped += s->clipped;
    all->signal += s->signal;
    all->noise += s->noise;
    all->bytes += s->bytes;
    all->seconds += s->seconds;
}

/* The format of each parameter. */
static int choose_formats(struct work *w, struct lb_err *err)
{
    const struct lb_format *f = w->format;
    const int searched = f->config->search_bits > 0;
    size_t *choice = lb_alloc(w->f32->n_params, sizeof *choice, err);
    w->own = lb_alloc(w->f32->n_params, sizeof *w->own, err);
    const int r = !choice || !w->own || (searched && search(w, choice, err)) ? -1 : 0;
    for (size_t i = 0; !r && i < w->f32->n_params; i++)
        w->own[i] = searched ? f->layers[choice[i]] : lb_format_for(f, w->f32->params[i].name);
    lb_free(choice);
    return r;
}

static int start_fit(struct work *w, struct lb_err *err)
{
    const struct lb_samples *x = &w->p->data.train;
    const size_t most = (size_t)w->p->e->calibration_samples;
    const struct lb_fit_args a = {
        .f32 = w->f32, .d = w->d, .formats = w->own, .x = x->x, .n = x->n < most ? x->n : most, .batch = batch_of(w->p)};
    return lb_config_format_fits(w->format->config) ? lb_fit_create(&a, &w->fit, err) : 0;
}

static int encode_one(struct work *w, size_t i, struct lb_err *err)
{
    struct lb_format_stats s = {0};
    const int own = lb_qat_has_scales(&w->trained, w->f32->params[i].name);
    const int r = w->fit ? lb_fit_encode(w->fit, i, seed_of(w), LB_STREAM_ROUNDING + (uint32_t)i, &w->st, &s, err)
                  : own  ? lb_qat_encode(w->f32, i, w->own[i], &w->trained, &w->st, &s, err)
                         : lb_encode_parameter(w->f32, i, w->own[i], seed_of(w), &w->st, &s, err);
    add_stats(&w->stats, &s);
    return r || note_layer(w, i, w->own[i], &s, err) ? -1 : 0;
}

static int encode_all(struct work *w, struct lb_err *err)
{
    w->layers = json_array();
    int r = choose_formats(w, err) || start_fit(w, err) ? -1 : 0;
    for (size_t i = 0; !r && i < w->f32->n_params; i++)
        r = encode_one(w, i, err);
    return r;
}

/* Weights, then what follows from them. */
static int encode_integer(struct work *w, struct lb_err *err)
{
    unsigned char *integer = lb_alloc(w->f32->n_layers, 1, err);
    w->layers = json_array();
    int r = !integer || choose_formats(w, err) || start_fit(w, err) ? -1 : 0;
    const struct lb_calibration c = calibration(w); /* of the network whose weights are encoded */
    for (size_t i = 0; !r && i < w->f32->n_layers; i++)
        r = w->f32->layers[i].weight >= 0 ? encode_one(w, (size_t)w->f32->layers[i].weight, err) : 0;
    r = r || lb_q_choose(w->f32, &w->st, integer, err) || (w->fit && lb_fit_correct(w->fit, &w->st, err)) ? -1 : 0;
    for (size_t i = 0; !r && i < w->f32->n_layers; i++)
        r = w->f32->layers[i].bias >= 0 && !integer[i] ? encode_one(w, (size_t)w->f32->layers[i].bias, err) : 0;
    lb_free(integer);
    return r || lb_q_make(&c, w->fit ? lb_fit_biases(w->fit) : NULL, w->activations, &w->st, &w->stats, err) ? -1 : 0;
}

/* Encodes all parameters into w->st and stores them. */
static int encode_and_store(struct work *w, struct lb_err *err)
{
    if (mode_of(w) == LB_MODE_INTEGER ? encode_integer(w, err) : encode_all(w, err))
        return -1;
    const struct lb_calibration c = calibration(w);
    if (mode_of(w) == LB_MODE_WA && w->activations->config->calibrated &&
        lb_calibrate(&c, w->activations, w->p->e->quantize_sums, &w->st, err))
        return -1;
    w->file = lb_formatted_path(w->folder, w->t->hash, err);
    if (!w->file || lb_safetensors_write(&w->st, w->file, err))
        return -1;
    struct lb_map map;
    if (lb_map_open(w->file, &map, err))
        return -1;
    w->file_bytes = map.size;
    lb_map_close(&map);
    return 0;
}

/* The weights as they were encoded and as the file gives them back must be equal, bit for bit. */
static int check_stored(const struct work *w, struct lb_err *err)
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
static double activation_bits(const struct work *w)
{
    const struct lb_codec *k = w->activations ? w->activations->codec : NULL;
    return !k ? 32 : k->bits ? k->bits : 8.0 * k->unit_bytes / k->unit_elems;
}

/* The batch that the limits allow: weights, and for each sample its input and the outputs of the layers. */
static int choose_batch(struct work *w, struct lb_err *err)
{
    const struct lb_limits_config *l = &w->p->e->limits;
    size_t numbers = w->f32->layers[0].in;
    for (size_t i = 0; i < w->f32->n_layers; i++)
        numbers += w->f32->layers[i].weight >= 0 ? w->f32->layers[i].out : 0;
    const double sample = (double)numbers * activation_bits(w) / 8, weights = (double)w->stats.bytes;
    w->batch = batch_of(w->p);
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

static int run_formatted(struct work *w, struct lb_err *err)
{
    return choose_batch(w, err) || lb_safetensors_open(w->file, &w->stored, err) || check_stored(w, err) ||
                   run_on(w, 0, w->d, &w->after, err)
               ? -1
               : 0;
}

/* What each layer gives, on as many test samples as calibration takes. */
static int look_at_layers(struct work *w, struct lb_err *err)
{
    const struct lb_samples *s = &w->p->data.test;
    const size_t most = (size_t)w->p->e->calibration_samples;
    struct lb_net *f32 = NULL, *net = NULL;
    if (!w->p->e->layers)
        return 0;
    const struct lb_model *migrated = w->fit ? lb_fit_model(w->fit) : NULL; /* whose layers give what the formatted ones are to give */
    const int made = migrated ? lb_net_create(migrated, w->d, batch_of(w->p), 0, &f32, err) : create_net(w, 1, w->d, &f32, err);
    const int r =
        made || create_net(w, 0, w->d, &net, err) || lb_outputs_compare(f32, net, w->f32, s->x, s->n < most ? s->n : most, &w->outputs, err)
            ? -1
            : 0;
    lb_net_destroy(net);
    lb_net_destroy(f32);
    return r;
}

/* The same trial's outputs on cpu_ref. */
static int run_reference(struct work *w, struct lb_err *err)
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
static int measure_latency(struct work *w, struct lb_err *err)
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

static void put_json(struct work *w, json_t *row, const char *column, json_t *value)
{
    w->lost |= json_object_set_new(row, column, value) != 0;
}

static void put(struct work *w, json_t *row, const char *column, double v)
{
    put_json(w, row, column, lb_json_number(v));
}

static void put_count(struct work *w, json_t *row, const char *column, uint64_t v)
{
    put_json(w, row, column, json_integer((json_int_t)v));
}

static void put_text(struct work *w, json_t *row, const char *column, const char *text)
{
    put_json(w, row, column, lb_json_text(text ? text : ""));
}

static int fill_row(struct work *w, json_t *row, struct lb_err *err)
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
        lb_difference(w->reference.y, w->after.y, n_outputs(w), &d);
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

static int fill_measured(struct work *w, json_t *o, struct lb_err *err)
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
    put_text(w, o, "build", w->p->build);
    return 0;
}

/* The trained networks: the plain one, and the one that was trained for the format. */
static int load_trained(struct work *w, struct lb_err *err)
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

static int do_trial(struct work *w, json_t *row, json_t *measured, struct lb_err *err)
{
    const struct lb_plan *p = w->p;
    const int compare = p->with_reference && !p->backends[w->t->backend].is_reference;
    const struct lb_format_fact *f = &p->formats[w->t->format];
    const struct lb_dataset *data = &p->data;
    const int r =
        load_trained(w, err) ||
                lb_model_shape(&p->e->models[w->t->model], data->channels, data->height, data->width, data->classes, &w->m, err) ||
                open_backend(p, w->t->backend, &w->d, err) || lb_format_create(f->config, &w->format, err) ||
                (mode_of(w) == LB_MODE_WA && lb_format_create(f->activations, &w->activations, err)) ||
                (mode_of(w) == LB_MODE_INTEGER && lb_format_create(f->codes, &w->activations, err)) || run_on(w, 1, w->d, &w->base, err) ||
                encode_and_store(w, err) || run_formatted(w, err) || look_at_layers(w, err) || (compare && run_reference(w, err)) ||
                fill_row(w, row, err) || fill_measured(w, measured, err)
            ? -1
            : 0;
    return !r && w->lost ? lb_fail(err, "out of memory: row") : r;
}

int lb_trial_work(void *job, json_t *reply, struct lb_err *err)
{
    const struct lb_job *j = job;
    struct work w = {.p = j->plan, .t = &j->plan->trials[j->index], .folder = j->folder};
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
