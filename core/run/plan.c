/* SPDX-License-Identifier: MIT */
#include "core/run/plan.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/round.h"
#include "core/nn/model.h"
#include "core/nn/q_params.h"
#include "core/nn/qat.h"
#include "core/version.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const double probe_timeout_s = 60;

/* Cut where it is too long, but never within a character of UTF-8: it goes into JSON. */
static void copy(char *to, size_t size, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    if (n >= size)
        for (n = size - 1; n && ((unsigned char)from[n] & 0xc0) == 0x80;)
            n--;
    if (n)
        memcpy(to, from, n);
    to[n] = 0;
}

/* ---- Facts, found in children ---- */

struct look {
    const struct lb_plan *plan;
    const struct lb_backend_fact *backend;
    const struct lb_format_fact *format;
};

static int look_at_backend(void *arg, json_t *reply, struct lb_err *err)
{
    const struct look *l = arg;
    const struct lb_backend *b = (const struct lb_backend *)l->backend->entry->plugin;
    char why[512];
    const struct lb_backend_options *options = &l->backend->options;
    if (!lb_backend_probe(b, options, why, sizeof why))
        return json_object_set_new(reply, "skipped", lb_json_text(why)) ? lb_fail(err, "out of memory: reply") : 0;
    struct lb_dev *d;
    if (lb_backend_open(b, options, &d, err))
        return -1;
    const int lost = json_object_set_new(reply, "isa", lb_json_text(d->info.isa ? d->info.isa : "")) ||
                     json_object_set_new(reply, "device", lb_json_text(d->info.device ? d->info.device : "")) ||
                     json_object_set_new(reply, "threads", json_integer(d->info.threads)) ||
                     json_object_set_new(reply, "fast", json_boolean(d->info.fast));
    lb_backend_close(d);
    return lost ? lb_fail(err, "out of memory: reply") : 0;
}

static int look_at_format(void *arg, json_t *reply, struct lb_err *err)
{
    const struct look *l = arg;
    struct lb_format *f;
    if (lb_format_create(l->format->config, &f, err))
        return -1;
    if (f->config->has_qat && lb_qat_check(&f->config->qat, f, err)) {
        lb_format_destroy(f);
        return lb_fail_in(err, "format %s", l->format->config->name);
    }
    struct lb_format *a = NULL;
    struct lb_err no = {0};
    unsigned bits, modes = 1u << LB_MODE_W;
    const int encodes = !lb_format_create(l->format->activations, &a, &no) && !lb_round_check(a, &no);
    modes |= encodes ? 1u << LB_MODE_WA : 0u;
    if (lb_format_is_integer(f, &bits))
        modes |= bits <= 4 ? 1u << LB_MODE_W4A8 : 1u << LB_MODE_W8A8;
    struct lb_format *codes = NULL;
    struct lb_err no_codes = {0};
    int integers = lb_q_is_integer(f);
    for (size_t i = 0; i < f->n_layers; i++)
        integers |= lb_q_is_integer(f->layers[i]);
    if (!integers)
        lb_fail(&no_codes, "its codec is not of whole numbers of at most 8 bits with one scale an output");
    else if (!lb_format_create(l->format->codes, &codes, &no_codes) && !lb_q_check_activations(codes, &no_codes))
        modes |= 1u << LB_MODE_INTEGER;
    const int overflow = f->config->overflow >= 0 ? f->config->overflow : (int)f->codec->overflow;
    const int lost = json_object_set_new(reply, "sha256", json_string(f->sha256)) ||
                     json_object_set_new(reply, "plugin", json_string(f->entry->file_sha256)) ||
                     json_object_set_new(reply, "wraps", json_boolean(overflow == LB_WRAP)) ||
                     json_object_set_new(reply, "modes", json_integer(modes)) ||
                     json_object_set_new(reply, "activations", json_string(encodes ? a->sha256 : "")) ||
                     json_object_set_new(reply, "why_not", lb_json_text(no.text)) ||
                     json_object_set_new(reply, "codes", json_string(modes >> LB_MODE_INTEGER & 1 ? codes->sha256 : "")) ||
                     json_object_set_new(reply, "no_codes", lb_json_text(no_codes.text));
    lb_format_destroy(codes);
    lb_format_destroy(a);
    lb_format_destroy(f);
    return lost ? lb_fail(err, "out of memory: reply") : 0;
}

/* A plugin that hangs here costs no more than a trial may. */
static double patience(const struct lb_plan *p)
{
    return p->e->limits.timeout_s < probe_timeout_s ? p->e->limits.timeout_s : probe_timeout_s;
}

/* A plugin by name. A file of that name that was refused makes its trials failed, or skipped where this machine lacks a library; a name that nothing
 * here has is an error of the config. */
static int find(const struct lb_plan *p, uint32_t kind, const char *name, const struct lb_entry **entry, enum lb_status *status, char *why,
                size_t size, struct lb_err *err)
{
    struct lb_err unknown = {0};
    const struct lb_entry *refused = lb_plugins_refused(name);
    *entry = lb_plugins_find(kind, name, &unknown);
    for (size_t i = 0; *entry && i < lb_plugins_count(); i++) /* a plugin that stands before another of its name is no secret */
        if (lb_plugins_at(i)->shadowed && lb_plugins_at(i)->plugin->kind == kind && !strcmp(lb_plugins_at(i)->name, (*entry)->name))
            lb_log(LB_LOG_WARN, "%s %s is %s, not %s", kind == LB_CODEC ? "codec" : "backend", (*entry)->name, (*entry)->file,
                   lb_plugins_at(i)->file);
    *status = *entry ? LB_OK : refused && refused->missing ? LB_SKIPPED : LB_FAILED;
    if (!*entry && !refused)
        return lb_fail(err, "%s: %s", p->e->path, unknown.text);
    copy(why, size, unknown.text);
    return 0;
}

int lb_plan_backend_options(const struct lb_backend_config *c, const struct lb_backend_options *given, struct lb_backend_options *out,
                            char *why, size_t why_size)
{
    static const unsigned features[] = {[LB_ISA_BEST] = ~0u,
                                        [LB_ISA_C] = 0,
                                        [LB_ISA_AVX2] = LB_CPU_AVX2,
                                        [LB_ISA_AVX512] = LB_CPU_AVX2 | LB_CPU_AVX512 | LB_CPU_VNNI | LB_CPU_VBMI};
    static const unsigned needed[] = {[LB_ISA_AVX2] = LB_CPU_AVX2, [LB_ISA_AVX512] = LB_CPU_AVX2 | LB_CPU_AVX512};
    const unsigned needs = c->isa < LB_ISA_AVX2 ? 0 : needed[c->isa];
    *out = *given;
    out->numerics = c->numerics;
    out->cpumask &= features[c->isa];
    out->threads = c->threads ? (unsigned)c->threads : given->threads;
    out->device = c->device ? c->device : given->device;
    if (!(needs & ~(lb_cpu_features() & given->cpumask)))
        return 0;
    snprintf(why, why_size, "isa %s: this machine lacks it, or --cpumask hides it", c->isa == LB_ISA_AVX2 ? "avx2" : "avx512");
    return -1;
}

/* A backend may have no use for what a config says of it; the name of its rows must not mislead. */
static void warn_other(const struct lb_backend_fact *b)
{
    static const char *const isa[] = {[LB_ISA_C] = "c", [LB_ISA_AVX2] = "avx2", [LB_ISA_AVX512] = "avx512"};
    const struct lb_backend_config *c = b->config;
    if (!c || b->status != LB_OK)
        return;
    if (c->isa != LB_ISA_BEST && strcmp(isa[c->isa], b->isa) != 0)
        lb_log(LB_LOG_WARN, "backend %s: isa %s is asked for, %s it is", b->name, isa[c->isa], b->isa);
    if (c->threads && c->threads != b->threads)
        lb_log(LB_LOG_WARN, "backend %s: %lld threads are asked for, %u it has", b->name, (long long)c->threads, b->threads);
}

static int learn_backend(const struct lb_plan *p, struct lb_backend_fact *b, struct lb_err *err)
{
    if (find(p, LB_BACKEND, b->plugin, &b->entry, &b->status, b->why, sizeof b->why, err) || !b->entry)
        return err->set ? -1 : 0;
    b->exact = ((const struct lb_backend *)b->entry->plugin)->exact != 0;
    b->options = p->options;
    b->options.numerics = p->e->numerics;
    if (b->config && lb_plan_backend_options(b->config, &p->options, &b->options, b->why, sizeof b->why)) {
        b->status = LB_SKIPPED;
        return 0;
    }
    struct look l = {.plan = p, .backend = b};
    struct lb_outcome o;
    lb_child_run(look_at_backend, &l, patience(p), &o);
    b->status = o.status;
    copy(b->why, sizeof b->why, o.why);
    const char *skipped = json_string_value(json_object_get(o.reply, "skipped"));
    if (skipped) {
        b->status = LB_SKIPPED;
        copy(b->why, sizeof b->why, skipped);
    }
    copy(b->isa, sizeof b->isa, json_string_value(json_object_get(o.reply, "isa")));
    copy(b->device, sizeof b->device, json_string_value(json_object_get(o.reply, "device")));
    b->threads = (unsigned)json_integer_value(json_object_get(o.reply, "threads"));
    /* one that was asked to be fast and is not here might have been */
    b->exact = b->exact && !json_is_true(json_object_get(o.reply, "fast")) && !(b->status != LB_OK && b->options.numerics == LB_FAST);
    warn_other(b);
    json_decref(o.reply);
    return 0;
}

/* What the codec cannot do (a rounding, an overflow, a parameter) is an error of the config too; a codec that crashes is a fact. */
static int learn_format(const struct lb_plan *p, struct lb_format_fact *f, struct lb_err *err)
{
    const struct lb_entry *entry;
    f->modes = ~0u; /* of a format that cannot be had every row says why */
    if (find(p, LB_CODEC, f->config->codec, &entry, &f->status, f->why, sizeof f->why, err) || !entry)
        return err->set ? -1 : 0;
    struct look l = {.plan = p, .format = f};
    struct lb_outcome o;
    lb_child_run(look_at_format, &l, patience(p), &o);
    f->status = o.status;
    copy(f->why, sizeof f->why, o.why);
    copy(f->sha256, sizeof f->sha256, json_string_value(json_object_get(o.reply, "sha256")));
    copy(f->plugin_sha256, sizeof f->plugin_sha256, json_string_value(json_object_get(o.reply, "plugin")));
    copy(f->activations_sha256, sizeof f->activations_sha256, json_string_value(json_object_get(o.reply, "activations")));
    copy(f->why_not, sizeof f->why_not, json_string_value(json_object_get(o.reply, "why_not")));
    copy(f->codes_sha256, sizeof f->codes_sha256, json_string_value(json_object_get(o.reply, "codes")));
    copy(f->no_codes, sizeof f->no_codes, json_string_value(json_object_get(o.reply, "no_codes")));
    if (f->status == LB_OK)
        f->modes = (unsigned)json_integer_value(json_object_get(o.reply, "modes"));
    f->wraps = json_is_true(json_object_get(o.reply, "wraps"));
    json_decref(o.reply);
    return f->status == LB_FAILED ? lb_fail(err, "%s: %s", p->e->path, f->why) : 0;
}

const struct lb_format_config *lb_plan_activations(const struct lb_experiment *e, size_t i)
{
    const struct lb_format_config *c = &e->formats[i];
    return c->activations ? c->activations : e->activations ? e->activations : c;
}

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

/* Trials of modes that a format does not have are left out, with a word; activations that were asked for by name must be possible. */
static int check_mode(const struct lb_plan *p, const char *name, struct lb_err *err)
{
    const int mode = lb_mode_find(name);
    struct lb_text without = {0};
    size_t n = 0;
    for (size_t i = 0; i < p->e->n_formats; i++) {
        const struct lb_format_fact *f = &p->formats[i];
        if (f->modes >> mode & 1)
            continue;
        const char *why = mode == LB_MODE_WA ? f->why_not : mode == LB_MODE_INTEGER ? f->no_codes : NULL;
        if ((mode == LB_MODE_WA && f->activations != f->config) || (mode == LB_MODE_INTEGER && f->config->activations)) {
            lb_text_free(&without);
            return lb_fail(err, "%s: format %s: %s", p->e->path, f->config->name, why);
        }
        lb_text_add(&without, "%s%s", n++ ? ", " : "", f->config->name);
        if (why)
            lb_text_add(&without, " (%s)", why);
    }
    const int r = lb_text_end(&without, err);
    if (!r && n)
        lb_log(LB_LOG_INFO, "mode %s: %zu of %zu formats do not have it: %s", name, n, p->e->n_formats, without.s);
    lb_text_free(&without);
    return r;
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

/* SHA-256 over the executable's and all plugins' SHA-256, in the order of their files. */
static int hash_build(struct lb_plan *p, struct lb_err *err)
{
    char exe[65];
    if (lb_sha256_file("/proc/self/exe", exe, err))
        return -1;
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    lb_sha256_add(h, exe, 64);
    const char *last = "";
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (e->plugin && !e->shadowed && strcmp(last, e->file_sha256)) {
            lb_sha256_add(h, e->file_sha256, 64);
            last = e->file_sha256;
        }
    }
    lb_sha256_end(h, p->build);
    return 0;
}

/* ---- The plan ---- */

static long add_backend(struct lb_plan *p, const char *name, const char *plugin, const struct lb_backend_config *c, struct lb_err *err)
{
    struct lb_backend_fact *b = &p->backends[p->n_backends];
    struct lb_err unknown = {0};
    if (strcasecmp(name, plugin) != 0 && lb_plugins_find(LB_BACKEND, name, &unknown))
        return lb_fail(err, "%s: a backend is named \"%s\", which is another backend's own name", p->e->path, name);
    *b = (struct lb_backend_fact){.name = name, .plugin = plugin, .config = c};
    if (learn_backend(p, b, err))
        return -1;
    b->plugin = b->entry ? b->entry->name : plugin; /* as the plugin spells it: that is what is hashed */
    b->is_reference = !p->with_reference && c && !strcmp(b->plugin, "cpu_ref");
    p->with_reference |= b->is_reference;
    return (long)p->n_backends++;
}

/* What trains: one of the config's backends by its name there, or another. */
static long training_backend(struct lb_plan *p, const char *name, struct lb_err *err)
{
    for (size_t i = 0; i < p->n_backends; i++)
        if (!strcmp(p->backends[i].name, name))
            return (long)i;
    return add_backend(p, name, name, NULL, err);
}

static int learn(struct lb_plan *p, struct lb_err *err)
{
    const struct lb_experiment *e = p->e;
    p->backends = lb_alloc(e->n_backends + e->n_models + 1, sizeof *p->backends, err);
    p->formats = lb_alloc(e->n_formats, sizeof *p->formats, err);
    if (!p->backends || !p->formats)
        return -1;
    for (size_t i = 0; i < e->n_backends; i++) {
        const struct lb_backend_config *c = &e->backends[i];
        if (add_backend(p, c->name, c->backend, c, err) < 0)
            return -1;
    }
    if (lb_config_format("{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\", \"calibrated\": true}}", e->path,
                         &p->codes, err))
        return -1;
    for (size_t i = 0; i < e->n_formats; i++) {
        p->formats[i].config = &e->formats[i];
        p->formats[i].activations = lb_plan_activations(e, i);
        p->formats[i].codes = p->formats[i].activations != &e->formats[i] ? p->formats[i].activations : &p->codes;
        if (learn_format(p, &p->formats[i], err))
            return -1;
    }
    for (size_t i = 0; i < e->n_modes; i++)
        if (check_mode(p, e->modes[i], err))
            return -1;
    return 0;
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
    if (hash_training(p, &t, err))
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
        if (hash_trial(p, &t, err))
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
        copy(p->data_why, sizeof p->data_why, data_err.text);
        if (!p->data_missing)
            r = lb_fail(err, "%s", data_err.text);
    }
    if (!r)
        r = hash_build(p, err) || learn(p, err) ? -1 : 0;
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
