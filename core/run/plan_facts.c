/* SPDX-License-Identifier: MIT */
/* plan_facts.c - what a config's formats and backends are on this machine, found in children, and which trials that leaves out. */
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/round.h"
#include "core/nn/q_params.h"
#include "core/nn/qat.h"
#include "core/run/plan.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const double probe_timeout_s = 60;

void lb_plan_copy(char *to, size_t size, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    if (n >= size)
        for (n = size - 1; n && ((unsigned char)from[n] & 0xc0) == 0x80;)
            n--;
    if (n)
        memcpy(to, from, n);
    to[n] = 0;
}

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

static void hash_format(struct lb_sha256 *h, const struct lb_format *f)
{
    if (!f)
        return;
    lb_sha256_add(h, f->entry->file_sha256, 64);
    for (size_t i = 0; i < f->n_layers; i++)
        hash_format(h, f->layers[i]);
}

/* Over the files of all codecs that a trial of the format may use. */
static int hash_plugins(const struct lb_format *f, const struct lb_format *activations, const struct lb_format *codes, char hex[65])
{
    struct lb_sha256 *h = lb_sha256_create(NULL);
    if (!h)
        return -1;
    hash_format(h, f);
    hash_format(h, activations);
    hash_format(h, codes);
    lb_sha256_end(h, hex);
    return 0;
}

static int look_at_format(void *arg, json_t *reply, struct lb_err *err)
{
    const struct look *l = arg;
    const size_t refused = lb_mem_refused();
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
    if (lb_mem_refused() != refused) { /* not what the format is: another time it has more modes, and another build */
        lb_format_destroy(codes);
        lb_format_destroy(a);
        lb_format_destroy(f);
        return lb_fail(err, "out of memory: format %s", l->format->config->name);
    }
    const int overflow = f->config->overflow >= 0 ? f->config->overflow : (int)f->codec->overflow;
    char plugins[65];
    const int lost = hash_plugins(f, a, codes, plugins) || json_object_set_new(reply, "sha256", json_string(f->sha256)) ||
                     json_object_set_new(reply, "plugins", json_string(plugins)) ||
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

/* A plugin that hangs or takes memory here costs no more than a trial may, and a minute at most. */
static struct lb_child_limits patience(const struct lb_plan *p)
{
    const struct lb_limits_config *l = &p->e->limits;
    return (struct lb_child_limits){.seconds = l->timeout_s < probe_timeout_s ? l->timeout_s : probe_timeout_s,
                                    .bytes = (size_t)l->process_bytes};
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
    lb_plan_copy(why, size, unknown.text);
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
    const struct lb_child_limits limits = patience(p);
    lb_child_run(look_at_backend, &l, &limits, &o);
    if (lb_child_interrupted())
        return lb_fail(err, "interrupted");
    b->status = o.status;
    lb_plan_copy(b->said, sizeof b->said, o.said);
    lb_plan_copy(b->why, sizeof b->why, o.why);
    const char *skipped = json_string_value(json_object_get(o.reply, "skipped"));
    if (skipped) {
        b->status = LB_SKIPPED;
        lb_plan_copy(b->why, sizeof b->why, skipped);
    }
    lb_plan_copy(b->isa, sizeof b->isa, json_string_value(json_object_get(o.reply, "isa")));
    lb_plan_copy(b->device, sizeof b->device, json_string_value(json_object_get(o.reply, "device")));
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
    const struct lb_child_limits limits = patience(p);
    lb_child_run(look_at_format, &l, &limits, &o);
    if (lb_child_interrupted())
        return lb_fail(err, "interrupted");
    f->status = o.status;
    lb_plan_copy(f->said, sizeof f->said, o.said);
    lb_plan_copy(f->why, sizeof f->why, o.why);
    lb_plan_copy(f->sha256, sizeof f->sha256, json_string_value(json_object_get(o.reply, "sha256")));
    const char *plugins = json_string_value(json_object_get(o.reply, "plugins"));
    lb_plan_copy(f->plugin_sha256, sizeof f->plugin_sha256, entry->file_sha256);
    lb_plan_copy(f->plugins_sha256, sizeof f->plugins_sha256, plugins ? plugins : entry->file_sha256);
    lb_plan_copy(f->activations_sha256, sizeof f->activations_sha256, json_string_value(json_object_get(o.reply, "activations")));
    lb_plan_copy(f->why_not, sizeof f->why_not, json_string_value(json_object_get(o.reply, "why_not")));
    lb_plan_copy(f->codes_sha256, sizeof f->codes_sha256, json_string_value(json_object_get(o.reply, "codes")));
    lb_plan_copy(f->no_codes, sizeof f->no_codes, json_string_value(json_object_get(o.reply, "no_codes")));
    if (f->status == LB_OK)
        f->modes = (unsigned)json_integer_value(json_object_get(o.reply, "modes"));
    f->wraps = json_is_true(json_object_get(o.reply, "wraps"));
    json_decref(o.reply);
    return f->status == LB_FAILED ? lb_fail(err, "%s: %s", p->e->path, f->why) : 0;
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

long lb_plan_add_backend(struct lb_plan *p, const char *name, const char *plugin, const struct lb_backend_config *c, struct lb_err *err)
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

static int learn(struct lb_plan *p, struct lb_err *err)
{
    const struct lb_experiment *e = p->e;
    p->backends = lb_alloc(e->n_backends + e->n_models + 1, sizeof *p->backends, err);
    p->formats = lb_alloc(e->n_formats, sizeof *p->formats, err);
    if (!p->backends || !p->formats)
        return -1;
    for (size_t i = 0; i < e->n_backends; i++) {
        const struct lb_backend_config *c = &e->backends[i];
        if (lb_plan_add_backend(p, c->name, c->backend, c, err) < 0)
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

int lb_plan_learn(struct lb_plan *p, struct lb_err *err)
{
    lb_child_signals(1); /* what a plugin has started there ends as well */
    const int r = learn(p, err);
    if (!lb_child_interrupted())
        lb_child_signals(0);
    return r;
}
