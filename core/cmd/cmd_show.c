/* SPDX-License-Identifier: MIT */
#include "core/base/child.h"
#include "core/base/csv.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/format/format.h"

#include <math.h>
#include <stdio.h>

enum { KEY_CSV = 0x2000, SECONDS = 60 };

struct args {
    const char *codec;
    int csv;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case KEY_CSV:
        a->csv = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (a->codec)
            argp_error(state, "one CODEC, found \"%s\" and \"%s\"", a->codec, arg);
        a->codec = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->codec)
            argp_error(state, "CODEC is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void number(double v, char *out, size_t size)
{
    if (v != v)
        snprintf(out, size, "nan");
    else if (isinf(v))
        snprintf(out, size, v > 0 ? "inf" : "-inf");
    else
        snprintf(out, size, "%.17g", v);
}

static void print_csv(const double *values, uint32_t n)
{
    const char *fields[2] = {"code", "value"};
    char code[16], value[40];
    lb_csv_line(stdout, fields, 2);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(code, sizeof code, "%u", i);
        number(values[i], value, sizeof value);
        lb_csv_line(stdout, (const char *[]){code, value}, 2);
    }
}

static void print_table(const struct lb_format *f, const double *values, uint32_t n)
{
    static const char *const kinds[] = {"", "float", "signed integer", "unsigned integer", "codebook"};
    const struct lb_codec *c = f->codec;
    printf("%s: %s\n%u bits, %u in %u bytes, %s, safetensors tag %s\nSHA-256 of its table: %s\n\n", c->base.name, c->base.help, c->bits,
           c->unit_elems, c->unit_bytes, kinds[c->kind], c->tag ? c->tag : "none", f->sha256);
    char value[40];
    for (uint32_t i = 0; i < n; i++) {
        number(values[i], value, sizeof value);
        printf("  ");
        for (uint32_t b = c->bits; b-- > 0;)
            putchar('0' + (int)(i >> b & 1));
        printf("  %5u  %s\n", i, value);
    }
}

/* The format that is CODEC without a scale, as JSON. */
static int format_of(const char *codec, struct lb_text *json, struct lb_err *err)
{
    json_t *name = codec[0] == '{' ? NULL : lb_json_text(codec);
    char *quoted = name ? lb_json_canonical(name, err) : NULL;
    lb_text_add(json, "{\"codec\":%s}", quoted ? quoted : codec);
    const int r = name && !quoted ? -1 : lb_text_end(json, err);
    lb_free(quoted);
    json_decref(name);
    return r;
}

static int create(const struct args *a, struct lb_format_config *config, struct lb_format **f, struct lb_err *err)
{
    struct lb_text json = {0};
    const int r =
        format_of(a->codec, &json, err) || lb_config_format(json.s, NULL, config, err) || lb_format_create(config, f, err) ? -1 : 0;
    lb_text_free(&json);
    return r;
}

/* In a process of its own, since the codec's functions are called for the first time. */
static int try(void *arg, json_t *reply, struct lb_err *err)
{
    struct lb_format_config config = {0};
    struct lb_format *f = NULL;
    (void)reply;
    const int r = create(arg, &config, &f, err);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    return r;
}

static int survives(struct args *a, struct lb_err *err)
{
    struct lb_outcome o;
    lb_child_run(try, a, &(struct lb_child_limits){.seconds = SECONDS}, &o);
    json_decref(o.reply);
    if (o.status == LB_CRASHED || o.status == LB_TIMEOUT)
        lb_fail(err, "codec %s: %s: %s", a->codec, lb_status_name(o.status), o.why);
    else if (o.status != LB_OK)
        lb_fail(err, "%s", o.why);
    return o.status == LB_OK;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"csv", KEY_CSV, NULL, 0, "Columns code,value: code in decimal, value as %.17g, nan, inf or -inf", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "CODEC",
        "Shows every code of a codec of up to 16 bits. CODEC is a name, or JSON with parameters: {\"name\": \"LOOM_F4\", "
        "\"encoder\": \"b\"}.",
        NULL,
        NULL,
        NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct lb_format_config config = {0};
    struct lb_format *f = NULL;
    lb_cmd_parse("show", &argp, argc, argv, &a);
    if (lb_cmd_plugins())
        return 2;
    int r = survives(&a, &err) ? create(&a, &config, &f, &err) : -1;
    if (!r && !f->codec->bits)
        r = lb_fail(&err, "codec %s is a block codec, %u elements in %u bytes: only codecs of up to 16 bits are tables",
                    f->codec->base.name, f->codec->unit_elems, f->codec->unit_bytes);
    if (!r && f->codec->bits > 16)
        r = lb_fail(&err, "codec %s has %u bits: only codecs of up to 16 bits are tables", f->codec->base.name, f->codec->bits);
    if (!r && a.csv)
        print_csv(lb_coder_values(f->coder), 1u << f->codec->bits);
    else if (!r)
        print_table(f, lb_coder_values(f->coder), 1u << f->codec->bits);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    lb_plugins_unload();
    return r ? lb_cmd_fail(&err) : 0;
}

const struct lb_command lb_cmd_show = {"show", "show every code of CODEC and its value [--csv]", run};
