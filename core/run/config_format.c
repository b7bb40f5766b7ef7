/* SPDX-License-Identifier: MIT */
/* Formats of a config: named ones, texts, objects. */
#include "core/run/config_tables.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Where formats.json is ---- */

/* "FOLDER/TAIL" if there is such a file. The folder is the first `length` bytes of `path`. */
static char *existing(const char *path, size_t length, const char *tail)
{
    struct lb_text t = {0};
    lb_text_add(&t, "%.*s%s%s", (int)length, path, length ? "/" : "", tail);
    if (!lb_text_end(&t, NULL) && lb_exists(t.s))
        return t.s;
    lb_text_free(&t);
    return NULL;
}

/* Length of the folder of an absolute path; 0 for the root. */
static size_t folder(const char *path, size_t length)
{
    while (length && path[length - 1] != '/')
        length--;
    return length ? length - 1 : 0;
}

/* Beside the config, spelled as the config is; else in configs/ of its folder or of one above. */
static char *above_config(const char *config_path)
{
    const char *slash = config_path ? strrchr(config_path, '/') : NULL;
    errno = 0;
    size_t length = slash ? (size_t)(slash - config_path) : 0;
    char *found = slash && !length ? existing("/.", 2, "formats.json") : existing(config_path ? config_path : "", length, "formats.json");
    struct lb_text here = {0};
    lb_text_add(&here, "%.*s", length ? (int)length : 1, length ? config_path : slash ? "/" : ".");
    char *whole = found || here.failed ? NULL : realpath(here.s, NULL);
    if (!found && !whole && errno == ENOMEM)
        lb_mem_note_refused();
    lb_text_free(&here);
    length = whole ? strlen(whole) : 0;
    while (!found && length) {
        length = whole[length - 1] == '/' ? length - 1 : length;
        found = existing(whole, length, length ? "configs/formats.json" : "/configs/formats.json");
        length = folder(whole, length);
    }
    free(whole);
    return found;
}

/* In the source tree the executable lies in build/, installed in bin/. */
static char *near_program(void)
{
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || (size_t)n >= sizeof path)
        return NULL;
    char *found = existing(path, folder(path, (size_t)n), "../configs/formats.json");
    return found ? found : existing(path, folder(path, (size_t)n), "../share/lowbit/formats.json");
}

char *lb_config_formats_path(const char *config_path)
{
    char *found = above_config(config_path);
    if (!found)
        found = near_program();
    return found ? found : existing(LB_PREFIX "/share/lowbit", sizeof LB_PREFIX "/share/lowbit" - 1, "formats.json");
}

/* ---- formats.json ---- */

static int index_names(struct lb_formats_file *f, const struct lb_source *from, struct lb_err *err)
{
    const json_t *list = json_object_get(f->root, "formats");
    f->by_name = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *format = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(format, "name"));
        char path[64];
        snprintf(path, sizeof path, name ? "formats[%zu].name" : "formats[%zu]", i);
        if (!name)
            return lb_source_fail(from, path, NULL, err, "\"name\" is required");
        if (json_object_get(f->by_name, name))
            return lb_source_fail(from, path, NULL, err, "\"%.100s\" is there already", name);
        if (json_object_set(f->by_name, name, format))
            return lb_fail(err, "out of memory: JSON");
    }
    return f->by_name ? 0 : lb_fail(err, "out of memory: JSON");
}

int lb_formats_file_load(const char *config_path, struct lb_formats_file *out, struct lb_err *err)
{
    *out = (struct lb_formats_file){0};
    int r = -1;
    size_t n;
    char *text = NULL;
    const size_t refused = lb_mem_refused();
    out->path = lb_config_formats_path(config_path);
    if (lb_mem_refused() != refused) { /* another file might have been taken for it */
        lb_fail(err, "formats.json: out of memory");
        goto out;
    }
    if (!out->path)
        return 0;
    text = lb_read_file(out->path, &n, err);
    struct lb_source from = {.name = out->path, .text = text};
    if (!text)
        goto out;
    out->root = lb_json_parse(text, n, out->path, err);
    if (!out->root || lb_options_check(&lb_formats_file_table, out->root, "", &from, err) || index_names(out, &from, err))
        goto out;
    r = 0;
out:
    lb_free(text);
    if (r)
        lb_formats_file_finish(out);
    return r;
}

void lb_formats_file_finish(struct lb_formats_file *f)
{
    lb_free(f->path);
    json_decref(f->root);
    json_decref(f->by_name);
    *f = (struct lb_formats_file){0};
}

/* ---- One format ---- */

static int fill_params(struct lb_format_config *f, const json_t *codec, struct lb_err *err)
{
    json_t *object = (json_t *)(uintptr_t)codec; /* jansson's iterators take no const */
    f->params = lb_alloc(json_object_size(codec), sizeof *f->params, err);
    for (void *i = json_object_iter(object); f->params && i; i = json_object_iter_next(object, i)) {
        const json_t *v = json_object_iter_value(i);
        if (!strcmp(json_object_iter_key(i), "name"))
            continue;
        struct lb_param *p = &f->params[f->n_params++];
        p->number = json_number_value(v);
        p->name = lb_strdup(json_object_iter_key(i), err);
        p->text = json_is_string(v) ? lb_strdup(json_string_value(v), err) : NULL;
        if (!p->name || (json_is_string(v) && !p->text))
            return -1;
    }
    return f->params ? 0 : -1;
}

/* The table's choice, by its place there. */
static const int rules[] = {LB_SCALE_ABSMAX, LB_SCALE_FIXED, LB_SCALE_ASYMMETRIC,    LB_SCALE_PERCENTILE,
                            LB_SCALE_MSE,    LB_SCALE_FLOOR, LB_SCALE_CEIL,          LB_SCALE_EVEN,
                            LB_SCALE_RCEIL,  LB_SCALE_KL,    LB_SCALE_MOVING_AVERAGE};
static const char *const rule_text[] = {[LB_SCALE_ABSMAX] = "absmax",
                                        [LB_SCALE_ASYMMETRIC] = "asymmetric",
                                        [LB_SCALE_MSE] = "mse",
                                        [LB_SCALE_FLOOR] = "floor",
                                        [LB_SCALE_CEIL] = "ceil",
                                        [LB_SCALE_EVEN] = "even",
                                        [LB_SCALE_RCEIL] = "rceil",
                                        [LB_SCALE_KL] = "kl",
                                        [LB_SCALE_MOVING_AVERAGE] = "moving_average"};
static const char *const per_text[] = {
    [LB_PER_TENSOR] = "tensor", [LB_PER_CHANNEL] = "channel", [LB_PER_ROW] = "row", [LB_PER_BLOCK] = "block"};

static void fill_rule(struct lb_format_config *f, const json_t *scale)
{
    f->per = f->per < 0 ? LB_PER_NONE : f->per;
    f->rule = json_object_get(scale, "multiply") ? LB_SCALE_MULTIPLY
              : f->per == LB_PER_NONE            ? LB_SCALE_NONE
                                                 : rules[f->rule < 0 ? 0 : f->rule];
    f->value = isnan(f->value) ? 1 : f->value;
    f->percentile = isnan(f->percentile) ? 100 : f->percentile;
    f->multiply = isnan(f->multiply) ? 1 : f->multiply;
    f->offset = f->offset > 0;
    f->zero_point = f->zero_point > 0;
}

/* "absmax/tensor", "floor/block 32 in F8_E8M0", "fixed 0.5/tensor", "x100" */
static char *scale_text(const struct lb_format_config *f, struct lb_err *err)
{
    struct lb_text t = {0};
    char number[40], add[40];
    if (f->n_layers)
        lb_text_add(&t, "by layer");
    else if (f->rule == LB_SCALE_NONE)
        lb_text_add(&t, "none");
    else if (f->rule == LB_SCALE_MULTIPLY && f->add == 0)
        lb_text_add(&t, "x%s", lb_number_text(f->multiply, number, sizeof number));
    else if (f->rule == LB_SCALE_MULTIPLY)
        lb_text_add(&t, "(w%s%s)x%s", f->add > 0 ? "+" : "", lb_number_text(f->add, add, sizeof add),
                    lb_number_text(f->multiply, number, sizeof number));
    else if (f->rule == LB_SCALE_FIXED)
        lb_text_add(&t, "fixed %s", lb_number_text(f->value, number, sizeof number));
    else if (f->rule == LB_SCALE_PERCENTILE)
        lb_text_add(&t, "percentile %s", lb_number_text(f->percentile, number, sizeof number));
    else
        lb_text_add(&t, "%s", rule_text[f->rule]);
    if (f->per != LB_PER_NONE)
        lb_text_add(&t, "/%s", per_text[f->per]);
    if (f->per == LB_PER_BLOCK)
        lb_text_add(&t, " %lld", (long long)f->block);
    if (f->zero_point)
        lb_text_add(&t, " with zero point");
    if (f->offset)
        lb_text_add(&t, " less mean");
    if (f->calibrated)
        lb_text_add(&t, " calibrated");
    if (f->scale)
        lb_text_add(&t, " in %s", f->scale->name);
    if (f->has_qat && f->qat.scales != LB_QAT_DYNAMIC && f->per != LB_PER_NONE)
        lb_text_add(&t, f->qat.scales == LB_QAT_LEARNED ? " learned" : " calibrated");
    return lb_text_end(&t, err) ? NULL : t.s;
}

/* "F4", "FLOAT(e=4,m=3)", "I8 absmax/tensor", "I4 absmax/tensor gptq" */
static char *default_name(const struct lb_format_config *f, struct lb_err *err)
{
    static const char *const methods[] = {[LB_FIT_NONE] = "", [LB_FIT_GPTQ] = " gptq", [LB_FIT_AWQ] = " awq", [LB_FIT_SMOOTH] = " smooth"};
    struct lb_text t = {0};
    char number[40];
    lb_text_add(&t, "%s", f->codec);
    for (size_t i = 0; i < f->n_params; i++)
        lb_text_add(&t, "%s%s=%s", i ? "," : "(", f->params[i].name,
                    f->params[i].text ? f->params[i].text : lb_number_text(f->params[i].number, number, sizeof number));
    lb_text_add(&t, "%s%s%s", f->n_params ? ")" : "", f->rule == LB_SCALE_NONE ? "" : " ", f->rule == LB_SCALE_NONE ? "" : f->scale_text);
    if (f->has_fit)
        lb_text_add(&t, "%s%s", methods[f->fit.method], f->fit.bias_correction ? " bias corrected" : "");
    if (f->has_qat)
        lb_text_add(&t, f->qat.method == LB_QAT_ROUND_TRIP ? " round trip" : " qat");
    if (f->activations)
        lb_text_add(&t, " x %s", f->activations->name);
    return lb_text_end(&t, err) ? NULL : t.s;
}

/* A format of formats.json by its name: as it is spelled, else in any case ("int8" is INT8 and not the codec's alias, which has no scale). */
static const json_t *find_named(const struct lb_formats_file *known, const char *name)
{
    const json_t *exact = json_object_get(known->by_name, name);
    const char *key;
    json_t *value;
    if (exact)
        return exact;
    json_object_foreach(known->by_name, key, value)
    {
        if (!strcasecmp(key, name))
            return value;
    }
    return NULL;
}

enum { DEEPEST = 4 }; /* formats within formats: one that holds itself never ends */

static int resolve(const json_t *value, const struct lb_formats_file *known, unsigned depth, struct lb_format_config *out,
                   struct lb_err *err);

/* The format under `key` of `owner`, resolved; in the canonical JSON `canonical` it stands as what its name means. */
static int resolve_below(const json_t *owner, const char *key, const struct lb_formats_file *known, struct lb_format_config **out,
                         unsigned depth, json_t *canonical, struct lb_err *err)
{
    const json_t *v = json_object_get(owner, key);
    if (!v)
        return 0;
    *out = lb_alloc(1, sizeof **out, err);
    if (depth == DEEPEST)
        return lb_fail(err, "\"%s\": formats within formats more than %d deep; does one hold itself?", key, DEEPEST);
    if (!*out || resolve(v, known, depth + 1, *out, err))
        return -1;
    return json_object_set(canonical, key, (*out)->json) ? lb_fail(err, "out of memory: JSON") : 0;
}

/* The formats of "layers". */
static int resolve_layers(const json_t *v, const struct lb_formats_file *known, struct lb_format_config *out, unsigned depth,
                          struct lb_err *err)
{
    const json_t *list = json_object_get(v, "layers"), *canonical = json_object_get(out->json, "layers");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (resolve_below(json_array_get(list, i), "format", known, &out->layers[i].format, depth, json_array_get(canonical, i), err))
            return -1;
    return 0;
}

static int resolve(const json_t *value, const struct lb_formats_file *known, unsigned depth, struct lb_format_config *out,
                   struct lb_err *err)
{
    *out = (struct lb_format_config){.only = -1};
    const json_t *named = json_is_string(value) ? find_named(known, json_string_value(value)) : NULL;
    const json_t *v = named ? named : value, *scale = json_object_get(v, "scale");
    if (lb_options_fill(&lb_format_table, v, out, err) || fill_params(out, json_object_get(v, "codec"), err))
        goto fail;
    fill_rule(out, scale);
    out->json = lb_options_canonical(&lb_format_table, v, err);
    if (!out->json || resolve_below(scale, "format", known, &out->scale, depth, json_object_get(out->json, "scale"), err) ||
        resolve_below(v, "activations", known, &out->activations, depth, out->json, err) || resolve_layers(v, known, out, depth, err))
        goto fail;
    if (out->activations && lb_config_format_fits(out->activations)) {
        lb_fail(err, "activations: \"fit\" is for weights");
        goto fail;
    }
    if (out->has_qat && lb_config_format_fits(out)) {
        lb_fail(err, "\"qat\": a format of its \"layers\" has a \"fit\"; weights are trained or fitted, not both");
        goto fail;
    }
    if (out->has_qat && depth) {
        lb_fail(err, "\"qat\" is for a whole format, not for one within another");
        goto fail;
    }
    out->scale_text = scale_text(out, err);
    if (out->scale_text && !out->name)
        out->name = default_name(out, err);
    if (out->scale_text && out->name)
        return 0;
fail:
    lb_config_format_finish(out);
    return -1;
}

int lb_format_resolve(const json_t *value, const struct lb_formats_file *known, struct lb_format_config *out, struct lb_err *err)
{
    return resolve(value, known, 0, out, err);
}

int lb_config_format_fits(const struct lb_format_config *f)
{
    for (size_t i = 0; i < f->n_layers; i++)
        if (f->layers[i].format && f->layers[i].format->has_fit)
            return 1;
    return f->has_fit;
}

static void free_below(struct lb_format_config *f)
{
    if (f)
        lb_config_format_finish(f);
    lb_free(f);
}

void lb_config_format_finish(struct lb_format_config *f)
{
    for (size_t i = 0; i < f->n_params; i++) {
        lb_free((char *)(uintptr_t)f->params[i].name);
        lb_free((char *)(uintptr_t)f->params[i].text);
    }
    lb_free(f->params);
    lb_free(f->scale_text);
    free_below(f->scale);
    free_below(f->activations);
    for (size_t i = 0; f->layers && i < f->n_layers; i++)
        free_below(f->layers[i].format);
    json_decref(f->json);
    lb_options_free(&lb_format_table, f);
    *f = (struct lb_format_config){0};
}

int lb_config_format(const char *text, const char *path, struct lb_format_config *out, struct lb_err *err)
{
    struct lb_formats_file known = {0};
    struct lb_source from = {.name = "format", .text = text};
    *out = (struct lb_format_config){0};
    json_t *value = *text == '{' ? lb_json_parse(text, strlen(text), "format", err) : json_string(text);
    int r = -1;
    if (!value)
        lb_fail(err, "format: not UTF-8");
    else if (!lb_options_check(&lb_format_table, value, "", &from, err) && !lb_formats_file_load(path, &known, err))
        r = lb_format_resolve(value, &known, out, err);
    lb_formats_file_finish(&known);
    json_decref(value);
    return r;
}

int lb_config_formats(const char *config_path, struct lb_format_config **out, size_t *n, struct lb_err *err)
{
    struct lb_formats_file known;
    int r = -1;
    *out = NULL;
    *n = 0;
    if (lb_formats_file_load(config_path, &known, err))
        return -1;
    const json_t *list = json_object_get(known.root, "formats");
    *out = lb_alloc(json_array_size(list), sizeof **out, err);
    for (; *out && *n < json_array_size(list); ++*n)
        if (lb_format_resolve(json_array_get(list, *n), &known, &(*out)[*n], err))
            goto out;
    r = *out ? 0 : -1;
out:
    lb_formats_file_finish(&known);
    if (r) {
        lb_config_formats_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return r;
}

void lb_config_formats_free(struct lb_format_config *formats, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lb_config_format_finish(&formats[i]);
    lb_free(formats);
}
