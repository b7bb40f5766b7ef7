/* SPDX-License-Identifier: MIT */
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/format/format.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FORMAT = 0x2000, KEY_TENSOR, KEY_SEED };

struct args {
    const char *in, *out, *format, *tensor;
    unsigned long long seed;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case KEY_FORMAT:
        a->format = arg;
        return 0;
    case KEY_TENSOR:
        a->tensor = arg;
        return 0;
    case KEY_SEED: {
        char *end;
        errno = 0;
        a->seed = strtoull(arg, &end, 10);
        if (errno || *end || end == arg || *arg == '-')
            argp_error(state, "--seed: expected a whole number, found \"%s\"", arg);
        return 0;
    }
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "IN and OUT, found \"%s\" too", arg);
        *(state->arg_num ? &a->out : &a->in) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->in || !a->out || !a->format)
            argp_error(state, "IN, OUT and --format are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct conversion {
    const struct args *a;
    struct lb_safetensors in, out;
    struct lb_format_config config;
    struct lb_format *format;
    regex_t chosen;
    int has_regex;
    size_t converted, copied;
};

/* Each tensor has random words of its own, whatever else the file holds: FNV-1a of its name. */
static uint32_t stream_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h | 0x80000000u;
}

/* The expression must match the whole name: the leftmost and longest match is that one where there is one. */
static int is_chosen(const struct conversion *c, const char *name)
{
    regmatch_t m;
    return !c->has_regex || (regexec(&c->chosen, name, 1, &m, 0) == 0 && m.rm_so == 0 && !name[m.rm_eo]);
}

static int copy_tensor(struct conversion *c, const struct lb_named *item, struct lb_err *err)
{
    struct lb_tensor view = item->t;
    struct lb_text key = {0};
    const char *format;
    view.owned = 0;
    c->copied++;
    lb_text_add(&key, "lowbit:%s", item->name);
    const int r = lb_text_end(&key, err) || lb_format_text(&c->in, item->name, &format, err) ||
                          lb_safetensors_add(&c->out, item->name, &view, err) ||
                          (format && lb_safetensors_meta(&c->out, key.s, format, err))
                      ? -1
                      : 0;
    lb_text_free(&key);
    return r;
}

/* Straight from wide codes, so that nothing is rounded twice: F64 and integers to a codec without a scale or blocks. */
static int convert_wide(struct conversion *c, const struct lb_named *item, struct lb_err *err)
{
    const struct lb_encode how = {
        .rounding = c->config.rounding, .overflow = c->config.overflow, .seed = c->a->seed, .stream = stream_of(item->name)};
    struct lb_codec *codec = NULL;
    struct lb_coder *from = NULL;
    struct lb_tensor t = {0};
    void *wide = lb_alloc(item->t.elems, sizeof(double), err);
    const size_t n = item->t.elems;
    int r = !wide || lb_format_coder(item->t.dtype, &codec, &from, err) || lb_format_tensor(c->format, item->t.ndim, item->t.shape, &t, err)
                ? -1
                : 0;
    if (!r && codec->kind == LB_FLOAT) {
        lb_decode_f64(from, item->t.data, n, wide);
        lb_encode_f64(c->format->coder, &how, wide, n, t.data);
    } else if (!r) {
        lb_decode_int(from, item->t.data, n, wide);
        lb_encode_int(c->format->coder, &how, wide, codec->kind == LB_UNSIGNED, n, t.data);
    }
    if (!r)
        r = lb_format_add(c->format, item->name, &t, item->t.ndim, item->t.shape, &c->out, err);
    lb_tensor_finish(&t);
    lb_free(wide);
    lb_coder_destroy(from);
    lb_plugins_codec_free(codec);
    return r;
}

static int convert_f32(struct conversion *c, const struct lb_named *item, struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS], n = 1;
    if (lb_format_shape(&c->in, item->name, &ndim, shape, err))
        return -1;
    for (unsigned i = 0; i < ndim; i++)
        if (lb_mul(n, shape[i], &n))
            return lb_fail(err, "tensor %s: too many elements", item->name);
    float *x = lb_alloc(n, sizeof *x, err);
    const int r = !x || lb_format_decode(&c->in, item->name, x, n, err) ||
                          lb_format_encode(c->format, item->name, x, ndim, shape, c->a->seed, stream_of(item->name), &c->out, NULL, err)
                      ? -1
                      : 0;
    lb_free(x);
    return r;
}

static int convert_tensor(struct conversion *c, const struct lb_named *item, struct lb_err *err)
{
    const char *formatted;
    if (lb_format_text(&c->in, item->name, &formatted, err))
        return -1;
    const unsigned bits = lb_dtypes[item->t.dtype].bits;
    c->converted++;
    const int wide = !formatted && c->config.rule == LB_SCALE_NONE && c->format->codec->bits && bits >= 32 && item->t.dtype != LB_F32 &&
                     item->t.dtype != LB_C64;
    return (wide ? convert_wide : convert_f32)(c, item, err) ? lb_fail_in(err, "%s: %s", c->a->in, item->name) : 0;
}

/* Metadata that is not lowbit's own goes along. */
static int copy_metadata(struct conversion *c, struct lb_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(c->in.metadata, key, value)
    {
        if (strncmp(key, "lowbit:", 7) && lb_safetensors_meta(&c->out, key, json_string_value(value), err))
            return -1;
    }
    return 0;
}

static int convert_all(struct conversion *c, struct lb_err *err)
{
    if (copy_metadata(c, err))
        return -1;
    for (size_t i = 0; i < c->in.n; i++) {
        const struct lb_named *item = &c->in.items[i];
        char *of;
        if (lb_format_owner(&c->in, item->name, &of, err))
            return -1;
        const int chosen = is_chosen(c, of ? of : item->name), dropped = of && chosen;
        lb_free(of);
        if (!dropped && (chosen ? convert_tensor(c, item, err) : copy_tensor(c, item, err)))
            return -1;
    }
    if (c->converted == 0)
        return c->a->tensor ? lb_fail(err, "%s: no tensor matches \"%s\"", c->a->in, c->a->tensor)
                            : lb_fail(err, "%s: holds no tensor", c->a->in);
    return lb_safetensors_write(&c->out, c->a->out, err);
}

static int compile(struct conversion *c, struct lb_err *err)
{
    if (!c->a->tensor)
        return 0;
    const int e = regcomp(&c->chosen, c->a->tensor, REG_EXTENDED);
    char why[256];
    if (e) {
        regerror(e, &c->chosen, why, sizeof why);
        return lb_fail(err, "--tensor %s: %s", c->a->tensor, why);
    }
    c->has_regex = 1;
    return 0;
}

/* Fitting and training want a network and its samples: `lowbit run` has them. */
static int check_plain(const struct lb_format_config *f, struct lb_err *err)
{
    if (f->has_qat)
        return lb_fail(err, "format %s: \"qat\" needs a training; only `lowbit run` has any", f->name);
    return lb_config_format_fits(f) ? lb_fail(err, "format %s: \"fit\" needs training samples; only `lowbit run` has any", f->name) : 0;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"format", KEY_FORMAT, "F", 0, "A named format, a codec (no scale), or a format as JSON", 0},
        {"tensor", KEY_TENSOR, "ERE", 0, "Only tensors whose whole name matches (default: all)", 0},
        {"seed", KEY_SEED, "N", 0, "Of stochastic rounding (default 0)", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "IN.safetensors OUT.safetensors",
        "Stores tensors in a format. Tensors that are not chosen are copied byte for byte. A tensor that is in a format of lowbit's "
        "already is decoded first, so --format F32 undoes a conversion.",
        NULL,
        NULL,
        NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct conversion c = {.a = &a};
    lb_cmd_parse("convert", &argp, argc, argv, &a);
    if (lb_cmd_plugins())
        return 2;
    const int r = compile(&c, &err) || lb_config_format(a.format, NULL, &c.config, &err) || check_plain(&c.config, &err) ||
                          lb_format_create(&c.config, &c.format, &err) || lb_safetensors_open(a.in, &c.in, &err) || convert_all(&c, &err)
                      ? -1
                      : 0;
    if (!r)
        lb_log(LB_LOG_INFO, "%s: %zu tensors converted to %s, %zu copied", a.out, c.converted, c.config.name, c.copied);
    if (c.has_regex)
        regfree(&c.chosen);
    lb_safetensors_finish(&c.out);
    lb_safetensors_finish(&c.in);
    lb_format_destroy(c.format);
    lb_config_format_finish(&c.config);
    lb_plugins_unload();
    return r ? lb_cmd_fail(&err) : 0;
}

const struct lb_command lb_cmd_convert = {"convert", "store tensors of IN in another format: IN OUT --format F [--tensor ERE]", run};
