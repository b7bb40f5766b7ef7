/* SPDX-License-Identifier: MIT */
#include "core/run/config_tables.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 << 20 };

/* What is at hand while a config is read. */
struct reading {
    struct lb_source from;
    json_t *root;
    struct lb_formats_file known;
    struct lb_experiment *e;
    struct lb_err *err;
};

static const json_t *model_json(const json_t *root, size_t i)
{
    const json_t *one = json_object_get(root, "model");
    return one ? one : json_array_get(json_object_get(root, "models"), i);
}

static void model_path(const struct reading *r, size_t i, const char *tail, char *buf, size_t size)
{
    if (json_object_get(r->root, "model"))
        snprintf(buf, size, "model%s", tail);
    else
        snprintf(buf, size, "models[%zu]%s", i, tail);
}

static int apply_sets(struct reading *r)
{
    for (size_t i = 0; i < r->from.n_sets; i++) {
        const char *s = r->from.sets[i];
        size_t n = strcspn(s, "=");
        char path[1024];
        if (s[n] != '=' || n >= sizeof path)
            return lb_fail(r->err, "--set %.200s: expected PATH=VALUE, such as train.epochs=2", s);
        memcpy(path, s, n);
        path[n] = 0;
        if (lb_json_set(r->root, path, s + n + 1, r->err))
            return lb_fail_in(r->err, "--set %.200s", s);
    }
    return 0;
}

/* ---- Checks that no schema can express ---- */

/* Fails where `name` is in `seen` already; else puts it there. */
static int check_name(const struct reading *r, json_t *seen, const char *name, const char *path)
{
    if (json_object_get(seen, name))
        return lb_source_fail(&r->from, path, NULL, r->err, "the name \"%.100s\" is taken already; give each its own \"name\"", name);
    return json_object_set_new(seen, name, json_true()) ? lb_fail(r->err, "out of memory: JSON") : 0;
}

static int check_init(const struct reading *r, const struct lb_init_config *init, size_t model, size_t layer, const char *key)
{
    char tail[80], path[120];
    if (init->rule != LB_INIT_UNIFORM || init->low <= init->high)
        return 0;
    snprintf(tail, sizeof tail, ".layers[%zu].%s", layer, key);
    model_path(r, model, tail, path, sizeof path);
    return lb_source_fail(&r->from, path, NULL, r->err, "\"low\" is larger than \"high\"");
}

static int check_models(const struct reading *r, json_t *seen)
{
    for (size_t i = 0; i < r->e->n_models; i++) {
        const struct lb_model_config *m = &r->e->models[i];
        char path[120];
        model_path(r, i, ".name", path, sizeof path);
        if (check_name(r, seen, m->name, path))
            return -1;
        for (size_t k = 0; k < m->n_layers; k++)
            if (check_init(r, &m->layers[k].init, i, k, "init") || check_init(r, &m->layers[k].bias_init, i, k, "bias_init"))
                return -1;
    }
    return 0;
}

static int check_formats(const struct reading *r, json_t *seen)
{
    for (size_t i = 0; i < r->e->n_formats; i++) {
        char path[80];
        snprintf(path, sizeof path, "formats[%zu]", i);
        if (check_name(r, seen, r->e->formats[i].name, path))
            return -1;
    }
    return 0;
}

/* A published figure without a row of ours to stand beside would vanish without a word. */
static int check_published(const struct reading *r, const json_t *models, const json_t *formats)
{
    for (size_t i = 0; i < r->e->n_published; i++) {
        const struct lb_published *p = &r->e->published[i];
        int no_model = p->model && !json_object_get(models, p->model);
        char path[80];
        snprintf(path, sizeof path, "published.rows[%zu].%s", i, no_model ? "model" : "format");
        if (no_model || !json_object_get(formats, p->format))
            return lb_source_fail(&r->from, path, NULL, r->err, "no %s of this config is named \"%.100s\"", no_model ? "model" : "format",
                                  no_model ? p->model : p->format);
    }
    return 0;
}

static int check_backends(const struct reading *r, json_t *seen)
{
    for (size_t i = 0; i < r->e->n_backends; i++) {
        char path[80];
        snprintf(path, sizeof path, "backends[%zu]", i);
        if (check_name(r, seen, r->e->backends[i].name, path))
            return -1;
    }
    return 0;
}

static int check_names(const struct reading *r)
{
    json_t *models = json_object(), *formats = json_object(), *backends = json_object();
    int result =
        check_models(r, models) || check_formats(r, formats) || check_backends(r, backends) || check_published(r, models, formats) ? -1 : 0;
    json_decref(models);
    json_decref(formats);
    json_decref(backends);
    return result;
}

/* ---- What the tables do not fill in ---- */

/* "configs/my run.json" -> "my_run" */
static char *name_of(const char *path, struct lb_err *err)
{
    const char *slash = strrchr(path, '/');
    char *name = lb_strdup(slash ? slash + 1 : path, err);
    if (!name)
        return NULL;
    size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".json"))
        name[n - 5] = 0;
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == name || !strchr("_.-", *p)))
            *p = '_';
    return name;
}

static int complete_formats(struct reading *r)
{
    const json_t *list = json_object_get(r->root, "formats"), *activations = json_object_get(r->root, "activations");
    if (activations) {
        r->e->activations = lb_alloc(1, sizeof *r->e->activations, r->err);
        if (!r->e->activations || lb_format_resolve(activations, &r->known, r->e->activations, r->err))
            return lb_fail_in(r->err, "%s: activations", r->from.name);
        if (lb_config_format_fits(r->e->activations))
            return lb_source_fail(&r->from, "activations", NULL, r->err, "\"fit\" is for weights");
        if (r->e->activations->has_qat)
            return lb_source_fail(&r->from, "activations", NULL, r->err,
                                  "\"qat\" is for the weights' format; its \"activations\" says what becomes of these");
    }
    for (size_t i = 0; i < r->e->n_formats; i++) {
        lb_config_format_finish(&r->e->formats[i]); /* filled in before the named formats were known */
        if (lb_format_resolve(json_array_get(list, i), &r->known, &r->e->formats[i], r->err))
            return lb_fail_in(r->err, "%s: formats[%zu]", r->from.name, i);
    }
    return 0;
}

/* Whether some model has a layer of that number with weights. */
static int has_layer(const struct lb_experiment *e, size_t layer)
{
    for (size_t m = 0; m < e->n_models; m++)
        if (layer < e->models[m].n_layers && (e->models[m].layers[layer].type == LB_DENSE || e->models[m].layers[layer].type == LB_CONV2D))
            return 1;
    return 0;
}

static size_t most_layers(const struct lb_experiment *e)
{
    size_t n = 0;
    for (size_t m = 0; m < e->n_models; m++)
        n = e->models[m].n_layers > n ? e->models[m].n_layers : n;
    return n;
}

/* One format more, from JSON that is ours. */
static int append_format(struct reading *r, json_t *format, json_t *layers)
{
    struct lb_experiment *e = r->e;
    struct lb_format_config *more = lb_alloc(e->n_formats + 1, sizeof *more, r->err);
    int result = -1;
    if (!format || !layers || json_object_set(format, "layers", layers))
        lb_fail(r->err, "out of memory: JSON");
    else if (more && !lb_format_resolve(format, &r->known, &more[e->n_formats], r->err)) {
        memcpy(more, e->formats, e->n_formats * sizeof *more);
        lb_free(e->formats);
        e->formats = more;
        e->n_formats++;
        more = NULL;
        result = 0;
    }
    lb_free(more);
    json_decref(format);
    json_decref(layers);
    return result;
}

/* Format i in one layer, and all others as they were trained. */
static int append_alone(struct reading *r, size_t i, size_t layer)
{
    const struct lb_format_config *f = &r->e->formats[i];
    char match[24];
    snprintf(match, sizeof match, "%zu", layer);
    json_t *layers = json_pack("[{ss,sO}]", "match", match, "format", f->json);
    json_t *format = json_pack("{so,ss}", "name", json_sprintf("%s@%zu", f->name, layer), "codec", "F32");
    if (append_format(r, format, layers))
        return -1;
    r->e->formats[r->e->n_formats - 1].only = (int64_t)layer;
    return 0;
}

/* What is to be chosen from: the first n formats. */
static int append_search(struct reading *r, size_t n)
{
    char number[40];
    json_t *layers = json_array();
    for (size_t i = 0; layers && i < n; i++) {
        const struct lb_format_config *f = &r->e->formats[i];
        if (lb_config_format_fits(f) || f->has_qat) {
            json_decref(layers);
            return lb_source_fail(&r->from, "search", NULL, r->err, "format \"%.100s\" has a \"%s\": what a search measures is not %s",
                                  f->name, f->has_qat ? "qat" : "fit", f->has_qat ? "trained for it" : "fitted");
        }
        json_t *named = f->n_layers ? NULL : json_copy(f->json);
        json_object_set_new(named, "name", json_string(f->name));
        if (named)
            json_array_append_new(layers, json_pack("{ss,so}", "match", "", "format", named));
    }
    lb_number_text(r->e->search_bits, number, sizeof number);
    if (layers && !json_array_size(layers)) {
        json_decref(layers);
        return lb_source_fail(&r->from, "search", NULL, r->err, "no format to choose from: all have \"layers\"");
    }
    if (append_format(r, json_pack("{so,ss}", "name", json_sprintf("SEARCH_%s", number), "codec", "F32"), layers))
        return -1;
    struct lb_format_config *f = &r->e->formats[r->e->n_formats - 1];
    f->search_bits = r->e->search_bits;
    return json_object_set_new(f->json, "search", json_real(f->search_bits)) ? lb_fail(r->err, "out of memory: JSON") : 0;
}

/* The formats that "sensitivity" and "search" stand for. */
static int derive_formats(struct reading *r)
{
    const size_t n = r->e->n_formats, layers = most_layers(r->e);
    for (size_t i = 0; r->e->sensitivity && i < n; i++)
        for (size_t layer = 0; layer < layers; layer++)
            if (!r->e->formats[i].n_layers && !r->e->formats[i].has_qat && has_layer(r->e, layer) && append_alone(r, i, layer))
                return -1;
    return r->e->search_bits > 0 ? append_search(r, n) : 0;
}

/* "cpu-avx2-1t": the backend, and what is said of it. */
static char *backend_name(const struct lb_backend_config *b, struct lb_err *err)
{
    static const char *const isa[] = {[LB_ISA_BEST] = "", [LB_ISA_C] = "-c", [LB_ISA_AVX2] = "-avx2", [LB_ISA_AVX512] = "-avx512"};
    struct lb_text t = {0};
    lb_text_add(&t, "%s%s", b->backend, isa[b->isa]);
    if (b->threads)
        lb_text_add(&t, "-%lldt", (long long)b->threads);
    for (const char *c = b->device ? b->device : ""; *c; c++)
        lb_text_add(&t, "%s%c", c == b->device ? "-" : "", isalnum((unsigned char)*c) ? *c : '_');
    if (b->numerics >= 0)
        lb_text_add(&t, b->numerics == LB_FAST ? "-fast" : "-exact");
    return lb_text_end(&t, err) ? NULL : t.s;
}

static int complete_backends(struct reading *r)
{
    const json_t *list = json_object_get(r->root, "backends");
    for (size_t i = 0; i < r->e->n_backends; i++) {
        struct lb_backend_config *b = &r->e->backends[i];
        json_t *bare = list ? NULL : json_string(b->backend); /* the default */
        b->json = lb_options_canonical(&lb_backend_table, list ? json_array_get(list, i) : bare, r->err);
        json_decref(bare);
        if (!b->json || (!b->name && !(b->name = backend_name(b, r->err))))
            return r->err->set ? -1 : lb_fail(r->err, "out of memory: JSON");
        if (b->numerics < 0)
            b->numerics = r->e->numerics;
    }
    return 0;
}

/* The training that applies to a model, canonical; {} where its weights come from a file. */
static json_t *training_of(const struct reading *r, const struct lb_model_config *m, const json_t *model)
{
    const json_t *own = json_object_get(m->has_train ? model : r->root, "train");
    json_t *none = json_object(), *result = NULL;
    if (m->weights)
        result = json_incref(none);
    else if (none)
        result = lb_options_canonical(&lb_train_table, own ? own : none, r->err);
    json_decref(none);
    return result;
}

static int complete(struct reading *r, const char *path)
{
    struct lb_experiment *e = r->e;
    if (!(e->path = lb_strdup(path, r->err)) || (!e->name && !(e->name = name_of(path, r->err))))
        return -1;
    if (!(e->data_json = lb_options_canonical(&lb_data_table, json_object_get(r->root, "data"), r->err)))
        return -1;
    for (size_t i = 0; i < e->n_models; i++) {
        struct lb_model_config *m = &e->models[i];
        m->json = lb_options_canonical(&lb_model_table, model_json(r->root, i), r->err);
        m->train_json = training_of(r, m, model_json(r->root, i));
        if (!m->json || !m->train_json)
            return lb_fail(r->err, "out of memory: JSON");
    }
    e->search_bits = e->search_bits > 0 ? e->search_bits : 0; /* NAN where none is asked for */
    return complete_backends(r) || complete_formats(r) || derive_formats(r) ? -1 : 0;
}

/* What lb_config_save writes. The place of the schema is another there. */
static int keep_texts(struct reading *r)
{
    r->e->root = json_incref(r->root);
    r->e->named = json_incref(r->known.root);
    json_object_del(r->root, "$schema");
    return json_object_set_new(r->root, "name", json_string(r->e->name)) ? lb_fail(r->err, "out of memory: JSON") : 0;
}

static int save_json(const json_t *value, const char *folder, const char *name, struct lb_err *err)
{
    char path[4200];
    char *text = lb_json_dump(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int r = text ? lb_write_file(path, text, strlen(text), err) : lb_fail(err, "%s: out of memory", path);
    lb_free(text);
    return r;
}

int lb_config_save(const struct lb_experiment *e, const char *folder, struct lb_err *err)
{
    return save_json(e->root, folder, "config.json", err) || (e->named && save_json(e->named, folder, "formats.json", err)) ? -1 : 0;
}

int lb_config_sha256(const struct lb_experiment *e, char hex[65], struct lb_err *err)
{
    json_t *bare = json_copy(e->root);
    json_object_del(bare, "limits");
    char *text = bare ? lb_json_canonical(bare, err) : NULL;
    const int r = text ? lb_sha256(text, strlen(text), hex, err) : lb_fail(err, "out of memory: hash");
    json_decref(bare);
    lb_free(text);
    return r;
}

int lb_config_load(const char *path, const char *const *sets, size_t n_sets, struct lb_experiment **out, struct lb_err *err)
{
    struct reading r = {.err = err};
    int result = -1;
    size_t n = 0;
    *out = NULL;
    char *text = lb_read_file(path, &n, err);
    if (!text)
        return -1;
    r.from = (struct lb_source){.name = path, .text = text, .sets = sets, .n_sets = n_sets};
    if (n > MAX_FILE) {
        lb_fail(err, "%s: %zu bytes: too long for a config", path, n);
        goto out;
    }
    r.root = lb_json_parse(text, n, path, err);
    if (!r.root || apply_sets(&r) || lb_options_check(&lb_experiment_table, r.root, "", &r.from, err))
        goto out;
    r.e = lb_alloc(1, sizeof *r.e, err);
    if (r.e) {
        r.e->sets = sets;
        r.e->n_sets = n_sets;
    }
    if (!r.e || lb_options_fill(&lb_experiment_table, r.root, r.e, err) || lb_formats_file_load(path, &r.known, err))
        goto out;
    if (complete(&r, path) || check_names(&r) || keep_texts(&r))
        goto out;
    *out = r.e;
    r.e = NULL;
    result = 0;
out:
    lb_config_destroy(r.e);
    lb_formats_file_finish(&r.known);
    json_decref(r.root);
    lb_free(text);
    return result;
}

void lb_config_destroy(struct lb_experiment *e)
{
    if (!e)
        return;
    for (size_t i = 0; e->formats && i < e->n_formats; i++)
        lb_config_format_finish(&e->formats[i]);
    if (e->activations)
        lb_config_format_finish(e->activations);
    lb_free(e->activations);
    for (size_t i = 0; e->models && i < e->n_models; i++) {
        json_decref(e->models[i].json);
        json_decref(e->models[i].train_json);
    }
    for (size_t i = 0; e->backends && i < e->n_backends; i++)
        json_decref(e->backends[i].json);
    json_decref(e->data_json);
    json_decref(e->root);
    json_decref(e->named);
    lb_free(e->path);
    lb_options_free(&lb_experiment_table, e);
    lb_free(e);
}

/* ---- Help and schema ---- */

void lb_config_print_help(FILE *out)
{
    lb_options_help(&lb_experiment_table, out);
}

int lb_config_print_schema(FILE *out)
{
    json_t *schema = lb_options_schema(&lb_experiment_table, NULL);
    char *text = schema ? lb_json_dump(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    int r = text && fprintf(out, "%s\n", text) > 0 ? 0 : -1;
    lb_free(text);
    json_decref(schema);
    return r;
}
