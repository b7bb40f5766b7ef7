/* SPDX-License-Identifier: MIT */
#include "core/format/format.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/format/scale.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What a codec can carry ---- */

static int is_whole(const struct lb_codec *k)
{
    return k->kind == LB_SIGNED || k->kind == LB_UNSIGNED;
}

static int check_scaling(const struct lb_format *f, struct lb_err *err)
{
    static const char *const names[] = {[LB_SCALE_FIXED] = "fixed",
                                        [LB_SCALE_ABSMAX] = "absmax",
                                        [LB_SCALE_ASYMMETRIC] = "asymmetric",
                                        [LB_SCALE_PERCENTILE] = "percentile",
                                        [LB_SCALE_MSE] = "mse",
                                        [LB_SCALE_FLOOR] = "floor",
                                        [LB_SCALE_CEIL] = "ceil",
                                        [LB_SCALE_EVEN] = "even",
                                        [LB_SCALE_RCEIL] = "rceil",
                                        [LB_SCALE_KL] = "kl",
                                        [LB_SCALE_MOVING_AVERAGE] = "moving_average"};
    const struct lb_format_config *c = f->config;
    const struct lb_codec *k = f->codec;
    const int table = k->bits && k->bits <= 16;
    if (c->high_first > 0 && k->bits != 1 && k->bits != 2 && k->bits != 4)
        return lb_fail(err, "order high_first: codec %s has %u bits, expected 1, 2 or 4", k->base.name, k->bits);
    if (c->rule == LB_SCALE_NONE)
        return 0;
    if (!k->bits)
        return lb_fail(err, "codec %s stores its scales in its blocks; expected no \"scale\"", k->base.name);
    if (c->rule == LB_SCALE_MULTIPLY)
        return 0;
    if (!table && (!is_whole(k) || c->rule >= LB_SCALE_ASYMMETRIC))
        return c->rule == LB_SCALE_FIXED ? 0 : lb_fail(err, "scale %s has no meaning for codec %s", names[c->rule], k->base.name);
    if (lb_scale_has_zero(c) && !is_whole(k))
        return lb_fail(err, "scale %s%s: codec %s is no integer", names[c->rule], c->zero_point ? " with a zero point" : "", k->base.name);
    if ((c->rule == LB_SCALE_KL || c->rule == LB_SCALE_MOVING_AVERAGE || c->zero_point) && !c->calibrated)
        return lb_fail(err, "scale %s%s: expected \"calibrated\": true beside it", names[c->rule],
                       c->zero_point ? " with a zero point" : "");
    if (c->rule != LB_SCALE_FIXED && !((float)f->high > 0))
        return lb_fail(err, "scale %s: codec %s has no value above 0", names[c->rule], k->base.name);
    return 0;
}

/* Fitting knows what a code is worth before the next one is made. */
static int check_fit(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    const struct lb_codec *k = f->codec;
    const int overflow = c->overflow >= 0 ? c->overflow : (int)k->overflow;
    const int gptq = c->has_fit && c->fit.method == LB_FIT_GPTQ, awq = c->has_fit && c->fit.method == LB_FIT_AWQ;
    if (gptq && !k->bits)
        return lb_fail(err, "fit gptq: codec %s makes whole blocks at once; expected one of up to 16 bits", k->base.name);
    if (gptq && k->bits > 16)
        return lb_fail(err, "fit gptq: codec %s has %u bits, expected up to 16", k->base.name, k->bits);
    if ((gptq || awq) && c->rounding == LB_STOCHASTIC)
        return lb_fail(err, "fit %s: rounding stochastic; expected one that does not draw", gptq ? "gptq" : "awq");
    if (gptq && overflow == LB_WRAP)
        return lb_fail(err, "fit gptq: overflow wrap; expected one that keeps what is too large large");
    return 0;
}

/* A scale's format: a codec of up to 16 bits or F32, scaled itself at most once. `top`: the largest value of the codec that it scales. */
static int check_scale_format(const struct lb_format *scale, double top, struct lb_err *err)
{
    const struct lb_format_config *c = scale->config;
    const struct lb_codec *k = scale->codec;
    const int fixed = c->rule == LB_SCALE_FIXED && c->per == LB_PER_TENSOR;
    const int absmax = c->rule == LB_SCALE_ABSMAX && (c->per == LB_PER_TENSOR || c->per == LB_PER_BLOCK);
    if (!k->bits || (k->bits > 16 && strcmp(k->base.name, "F32") != 0))
        return lb_fail(err, "scale.format: codec %s; expected one of up to 16 bits, or F32", k->base.name);
    if (c->rounding == LB_STOCHASTIC || c->overflow == LB_WRAP)
        return lb_fail(err, "scale.format: rounding stochastic and overflow wrap are not for scales");
    if (c->rule != LB_SCALE_NONE && !fixed && !absmax)
        return lb_fail(err, "scale.format: scaled by %s; expected nothing, or fixed or absmax per tensor, or absmax per block",
                       c->scale_text);
    if (c->rule != LB_SCALE_NONE && c->scale)
        return lb_fail(err, "scale.format: its own scale is stored as F32; found \"format\" there");
    if (c->calibrated || c->activations || c->has_fit || c->n_layers)
        return lb_fail(err, "scale.format: \"%s\" is not for scales",
                       c->calibrated    ? "calibrated"
                       : c->activations ? "activations"
                       : c->has_fit     ? "fit"
                                        : "layers");
    if (absmax && !isfinite((float)top * (float)scale->high))
        return lb_fail(err, "scale.format: codec %s scaled by absmax: its largest value times that of the scaled codec is beyond F32",
                       k->base.name);
    return 0;
}

enum use { FOR_SCALES = 1, FOR_READING = 2 };
static int create(const struct lb_format_config *config, int use, struct lb_format **out, struct lb_err *err);

static const struct lb_format_config as_binary32 = {
    .name = (char *)(uintptr_t) "F32", .codec = (char *)(uintptr_t) "F32", .overflow = -1, .scale_text = (char *)(uintptr_t) "none"};

static int create_scale(struct lb_format *f, int use, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    if (c->per == LB_PER_NONE)
        return 0;
    return create(c->scale ? c->scale : &as_binary32, use | FOR_SCALES, &f->scale, err) || check_scale_format(f->scale, f->high, err) ? -1
                                                                                                                                      : 0;
}

/* regcomp writes every repetition out: ((x{99}){99}){99} is a gigabyte. Whether there are at most MOST_COPIES of anything. */
enum { MOST_COPIES = 1000 };
static int is_short(const char *expression)
{
    unsigned long copies = 1;
    for (const char *p = strchr(expression, '{'); p; p = strchr(p + 1, '{')) {
        char *end;
        unsigned long low = strtoul(p + 1, &end, 10), high = *end == ',' ? strtoul(end + 1, &end, 10) : 0;
        high = high > low ? high : low;
        if (high > MOST_COPIES || (high && (copies *= high) > MOST_COPIES))
            return 0;
    }
    return 1;
}

int lb_format_match(const char *expression, const char *name, struct lb_err *err)
{
    struct lb_text whole = {0};
    char why[200], number[24];
    regex_t re;
    const size_t n = strcspn(name, ".");
    snprintf(number, sizeof number, "%.*s", (int)(n < 20 ? n : 20), name);
    if (!is_short(expression))
        return lb_fail(err, "layers: match \"%.200s\": its {} ask for more than %d repetitions", expression, MOST_COPIES);
    lb_text_add(&whole, "^(%s)$", expression);
    if (lb_text_end(&whole, err))
        return -1;
    const int bad = regcomp(&re, whole.s, REG_EXTENDED | REG_NOSUB);
    lb_text_free(&whole);
    if (bad) {
        regerror(bad, &re, why, sizeof why);
        return lb_fail(err, "layers: match \"%s\": %s", expression, why);
    }
    const int found = !regexec(&re, name, 0, NULL, 0) || !regexec(&re, number, 0, NULL, 0);
    regfree(&re);
    return found;
}

static int create_layers(struct lb_format *f, int use, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    f->layers = lb_alloc(c->n_layers, sizeof *f->layers, err);
    if (!f->layers)
        return -1;
    for (; f->n_layers < c->n_layers; f->n_layers++) {
        const struct lb_layer_format *l = &c->layers[f->n_layers];
        if (lb_format_match(l->match, "", err) < 0 || create(l->format, use, &f->layers[f->n_layers], err))
            return -1;
    }
    return 0;
}

const struct lb_format *lb_format_for(const struct lb_format *f, const char *name)
{
    for (size_t i = 0; i < f->n_layers; i++)
        if (lb_format_match(f->config->layers[i].match, name, NULL) > 0)
            return f->layers[i];
    return f;
}

/* The codec's hash, or where there are more codecs, that of all. */
static int identify(struct lb_format *f, struct lb_err *err)
{
    memcpy(f->sha256, f->codec_sha256, sizeof f->sha256);
    if (!f->config->scale && !f->n_layers)
        return 0;
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    lb_sha256_add(h, f->codec_sha256, 64);
    if (f->config->scale)
        lb_sha256_add(h, f->scale->codec_sha256, 64);
    for (size_t i = 0; i < f->n_layers; i++)
        lb_sha256_add(h, f->layers[i]->sha256, 64);
    lb_sha256_end(h, f->sha256);
    return 0;
}

static int create(const struct lb_format_config *config, int use, struct lb_format **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_format *f = lb_alloc(1, sizeof *f, err);
    if (!f)
        return -1;
    f->config = config;
    const struct lb_encode how = {.rounding = config->rounding, .overflow = config->overflow};
    int r = lb_plugins_codec(config->codec, config->params, config->n_params, &f->codec, &f->entry, err) ||
                    (use & FOR_READING ? lb_coder_create_reader : lb_coder_create)(f->codec, &f->coder, err) ||
                    lb_coder_check(f->coder, &how, err) || lb_coder_sha256(f->coder, f->codec_sha256, err)
                ? -1
                : 0;
    if (!r && f->codec->bits)
        lb_coder_range(f->coder, &f->low, &f->high);
    if (!r && config->offset && !(use & FOR_SCALES))
        r = lb_fail(err, "scale.offset is for a scale's own format");
    r = r || check_scaling(f, err) || check_fit(f, err) || create_scale(f, use, err) || create_layers(f, use, err) || identify(f, err) ? -1
                                                                                                                                       : 0;
    if (r) {
        lb_fail_in(err, "format %s", config->name);
        lb_format_destroy(f);
        return -1;
    }
    *out = f;
    return 0;
}

int lb_format_create(const struct lb_format_config *config, struct lb_format **out, struct lb_err *err)
{
    return create(config, 0, out, err);
}

int lb_format_create_reader(const struct lb_format_config *config, struct lb_format **out, struct lb_err *err)
{
    return create(config, FOR_READING, out, err);
}

int lb_format_is_integer(const struct lb_format *f, unsigned *bits)
{
    *bits = f->codec->bits;
    return !f->n_layers && lb_format_is_whole(f);
}

int lb_format_is_whole(const struct lb_format *f)
{
    if (!f->codec->bits || f->codec->bits > 8 || f->config->rule == LB_SCALE_MULTIPLY)
        return 0;
    const double *values = lb_coder_values(f->coder);
    const size_t n = (size_t)1 << f->codec->bits;
    for (double factor = 1; factor <= 256; factor *= 2) {
        const int fits = (f->low * factor >= -128 && f->high * factor <= 127) || (f->low >= 0 && f->high * factor <= 255);
        size_t whole = 0;
        for (size_t i = 0; i < n; i++)
            whole += isfinite(values[i]) && values[i] * factor == rint(values[i] * factor);
        if (whole == n)
            return fits;
    }
    return 0;
}

void lb_format_destroy(struct lb_format *f)
{
    if (!f)
        return;
    lb_format_destroy(f->scale);
    for (size_t i = 0; i < f->n_layers; i++)
        lb_format_destroy(f->layers[i]);
    lb_free(f->layers);
    lb_coder_destroy(f->coder);
    lb_plugins_codec_free(f->codec);
    lb_free(f);
}

static int codec_of(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder,
                    int (*make)(const struct lb_codec *, struct lb_coder **, struct lb_err *), struct lb_err *err)
{
    const struct lb_entry *entry;
    *coder = NULL;
    return lb_plugins_codec(lb_dtypes[dtype].name, NULL, 0, codec, &entry, err) || make(*codec, coder, err) ? -1 : 0;
}

int lb_format_coder(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder, struct lb_err *err)
{
    return codec_of(dtype, codec, coder, lb_coder_create, err);
}

int lb_format_reader(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder, struct lb_err *err)
{
    return codec_of(dtype, codec, coder, lb_coder_create_reader, err);
}

int lb_format_text(const struct lb_safetensors *st, const char *name, const char **text, struct lb_err *err)
{
    struct lb_text key = {0};
    *text = NULL;
    if (!st->metadata)
        return 0;
    lb_text_add(&key, "lowbit:%s", name);
    if (lb_text_end(&key, err))
        return -1;
    *text = json_string_value(json_object_get(st->metadata, key.s));
    lb_text_free(&key);
    return 0;
}

/* Whether a format that is written as `text` has a tensor "w<part>" beside "w". */
static int has_part(const char *text, size_t part)
{
    struct lb_err none = {0};
    json_t *o = lb_json_parse(text, strlen(text), "", &none), *scale = json_object_get(o, "scale");
    const json_t *own = json_object_get(json_object_get(scale, "format"), "scale");
    const char *per = json_string_value(json_object_get(scale, "per")), *rule = json_string_value(json_object_get(scale, "rule"));
    const char *again = json_string_value(json_object_get(own, "per")), *offset = json_string_value(json_object_get(own, "offset"));
    const int has[] = {per && strcmp(per, "none"), again && strcmp(again, "none"), offset && strcmp(offset, "none"),
                       rule && !strcmp(rule, "asymmetric")};
    const int r = has[0] && has[part];
    json_decref(o);
    return r;
}

int lb_format_owner(const struct lb_safetensors *st, const char *name, char **of, struct lb_err *err)
{
    static const char *const parts[] = {".scale", ".scale2", ".scale_offset", ".zero_point"};
    const size_t n = strlen(name);
    *of = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t m = strlen(parts[i]);
        const char *text;
        if (n <= m || strcmp(name + n - m, parts[i]) != 0)
            continue;
        char *w = lb_strdup(name, err);
        if (!w)
            return -1;
        w[n - m] = 0;
        const int r = lb_format_text(st, w, &text, err);
        if (!r && text && lb_safetensors_find(st, w) && has_part(text, i)) {
            *of = w;
            return 0;
        }
        lb_free(w);
        return r;
    }
    return 0;
}

int lb_format_shape(const struct lb_safetensors *st, const char *name, unsigned *ndim, size_t shape[LB_MAX_DIMS], struct lb_err *err)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    const char *text;
    if (!t)
        return lb_fail(err, "tensor %s is missing", name);
    if (lb_format_text(st, name, &text, err))
        return -1;
    *ndim = t->ndim;
    memcpy(shape, t->shape, sizeof t->shape);
    if (!text)
        return 0;
    json_t *o = lb_json_parse(text, strlen(text), name, err), *dims = json_object_get(o, "shape");
    int r = o ? 0 : -1;
    if (o && (!json_is_array(dims) || json_array_size(dims) > LB_MAX_DIMS))
        r = lb_fail(err, "tensor %s: its format's \"shape\" is no list of at most %d numbers", name, LB_MAX_DIMS);
    *ndim = r ? 0 : (unsigned)json_array_size(dims);
    for (unsigned i = 0; !r && i < *ndim; i++) {
        const json_t *v = json_array_get(dims, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            r = lb_fail(err, "tensor %s: its format's \"shape\" holds what is no size", name);
        shape[i] = r ? 0 : (size_t)json_integer_value(v);
    }
    json_decref(o);
    return r;
}
