/* SPDX-License-Identifier: MIT */
/* trial_encode.c - a trained network in its formats: which each parameter has, fitted or not, calibrated, and stored. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/calibrate.h"
#include "core/nn/metrics.h"
#include "core/nn/qat.h"
#include "core/nn/q_net.h"
#include "core/run/search.h"
#include "core/run/trial_impl.h"

#include <string.h>

static struct lb_calibration calibration(const struct lb_trial_at_work *w)
{
    const struct lb_samples *s = &w->p->data.train;
    const size_t most = (size_t)w->p->e->calibration_samples;
    return (struct lb_calibration){
        .m = w->fit ? lb_fit_model(w->fit) : w->f32, .d = w->d, .x = s->x, .n = s->n < most ? s->n : most, .batch = lb_trial_batch(w->p)};
}

/* The candidate of each parameter, where the format is searched for. */
static int search(struct lb_trial_at_work *w, size_t *choice, struct lb_err *err)
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
                                .batch = lb_trial_batch(w->p),
                                .seed = lb_trial_seed(w)};
    return lb_search_formats(&s, choice, &w->search, err);
}

/* What encoding did to one parameter: for plots, and the table by layer. */
static int note_layer(struct lb_trial_at_work *w, size_t i, const struct lb_format *f, const struct lb_format_stats *s, struct lb_err *err)
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
static int choose_formats(struct lb_trial_at_work *w, struct lb_err *err)
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

static int start_fit(struct lb_trial_at_work *w, struct lb_err *err)
{
    const struct lb_samples *x = &w->p->data.train;
    const size_t most = (size_t)w->p->e->calibration_samples;
    const struct lb_fit_args a = {
        .f32 = w->f32, .d = w->d, .formats = w->own, .x = x->x, .n = x->n < most ? x->n : most, .batch = lb_trial_batch(w->p)};
    return lb_config_format_fits(w->format->config) ? lb_fit_create(&a, &w->fit, err) : 0;
}

static int encode_one(struct lb_trial_at_work *w, size_t i, struct lb_err *err)
{
    struct lb_format_stats s = {0};
    const int own = lb_qat_has_scales(&w->trained, w->f32->params[i].name);
    const int r = w->fit ? lb_fit_encode(w->fit, i, lb_trial_seed(w), LB_STREAM_ROUNDING + (uint32_t)i, &w->st, &s, err)
                  : own  ? lb_qat_encode(w->f32, i, w->own[i], &w->trained, &w->st, &s, err)
                         : lb_encode_parameter(w->f32, i, w->own[i], lb_trial_seed(w), &w->st, &s, err);
    add_stats(&w->stats, &s);
    return r || note_layer(w, i, w->own[i], &s, err) ? -1 : 0;
}

static int encode_all(struct lb_trial_at_work *w, struct lb_err *err)
{
    w->layers = json_array();
    int r = choose_formats(w, err) || start_fit(w, err) ? -1 : 0;
    for (size_t i = 0; !r && i < w->f32->n_params; i++)
        r = encode_one(w, i, err);
    return r;
}

/* Weights, then what follows from them. */
static int encode_integer(struct lb_trial_at_work *w, struct lb_err *err)
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

int lb_trial_encode(struct lb_trial_at_work *w, struct lb_err *err)
{
    if (lb_trial_mode(w) == LB_MODE_INTEGER ? encode_integer(w, err) : encode_all(w, err))
        return -1;
    const struct lb_calibration c = calibration(w);
    if (lb_trial_mode(w) == LB_MODE_WA && w->activations->config->calibrated &&
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
