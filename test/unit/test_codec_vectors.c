/* SPDX-License-Identifier: MIT */
/* Every codec against test/data/codecs/: codes computed in exact rational arithmetic, and the whole table of each codec of up to 16 bits. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/coder.h"
#include "core/plugins.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 4000 };

struct vectors {
    uint64_t input[MAX_ROWS], code[MAX_ROWS];
    size_t n;
};

/* The files are named after the case: a codec, or one with parameters. */
struct named {
    char name[24], codec[8], params[64];
};

/* Those wider than a table are first. */
static struct named cases[] = {{"F64", "", ""},
                               {"F32", "", ""},
                               {"I64", "", ""},
                               {"I32", "", ""},
                               {"U64", "", ""},
                               {"U32", "", ""},
                               {"F16", "", ""},
                               {"BF16", "", ""},
                               {"F4", "", ""},
                               {"I16", "", ""},
                               {"I8", "", ""},
                               {"I4", "", ""},
                               {"I2", "", ""},
                               {"U16", "", ""},
                               {"U8", "", ""},
                               {"U4", "", ""},
                               {"U2", "", ""},
                               {"F8_E4M3", "", ""},
                               {"F8_E5M2", "", ""},
                               {"F8_E4M3FNUZ", "", ""},
                               {"F8_E5M2FNUZ", "", ""},
                               {"F8_E4M3B11FNUZ", "", ""},
                               {"F8_E4M3_IEEE", "", ""},
                               {"F8_E3M4", "", ""},
                               {"F8_E8M0", "", ""},
                               {"F6_E2M3", "", ""},
                               {"F6_E3M2", "", ""},
                               {"NF4", "", ""},
                               {"TERNARY", "", ""},
                               {"BOOL", "", ""},
                               {"FIXED_8_6", "FIXED", "bits=8 frac=6"},
                               {"FIXED_5_3", "FIXED", "bits=5 frac=3"},
                               {"POSIT_8_2", "POSIT", "n=8 es=2"},
                               {"POSIT_8_0", "POSIT", "n=8 es=0"},
                               {"POSIT_5_1", "POSIT", "n=5 es=1"},
                               {"POSIT_12_2", "POSIT", "n=12 es=2"},
                               {"FLOAT_E3M2_FLUSHED", "FLOAT", "e=3 m=2 inf=none nan=none subnormals=0"},
                               {"FLOAT_E4M4_FNUZ_INF", "FLOAT", "e=4 m=4 bias=8 inf=1 nan=fnuz"},
                               {"FLOAT_E2M2_BOTH", "FLOAT", "e=2 m=2 inf=1 nan=one"}};
enum { WIDE = 6, CASES = sizeof cases / sizeof *cases, MAX_PARAMS = 6 };

/* "bits=8 nan=one", cut up in place. */
static size_t read_params(char *text, struct lb_param params[MAX_PARAMS])
{
    size_t n = 0;
    char *rest = NULL, *end;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        cr_assert(equals && n < MAX_PARAMS);
        *equals = 0;
        params[n] = (struct lb_param){.name = word, .number = strtod(equals + 1, &end)};
        params[n++].text = *end ? equals + 1 : NULL;
    }
    return n;
}

static struct lb_coder *coder_of(const struct named *wanted, struct lb_codec **codec)
{
    struct lb_param params[MAX_PARAMS];
    struct named copy = *wanted;
    const size_t n = read_params(copy.params, params);
    const char *name = *copy.codec ? copy.codec : copy.name;
    struct lb_err err = {0};
    struct lb_coder *coder = NULL;
    const char *build = getenv("BUILD");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/plugins", build ? build : "build");
    cr_assert(!lb_plugins_load(folder, &err), "%s", err.text);
    cr_assert(!lb_plugins_codec(name, params, n, codec, NULL, &err), "%s", err.text);
    cr_assert(!lb_coder_create(*codec, &coder, &err), "%s", err.text);
    return coder;
}

static void finish(struct lb_coder *coder, struct lb_codec *codec)
{
    lb_coder_destroy(coder);
    lb_plugins_codec_free(codec);
    lb_plugins_unload();
}

/* The rows of one type: "f32,3f800000,15360". */
static void read_rows(const char *name, const char *type, struct vectors *v)
{
    char path[128], line[128];
    snprintf(path, sizeof path, "test/data/codecs/encode_%s.csv", name);
    FILE *in = fopen(path, "r");
    cr_assert(in, "%s cannot be opened; tests run in the root of the tree", path);
    v->n = 0;
    while (fgets(line, sizeof line, in)) {
        char *end;
        if (strncmp(line, type, 3) || line[3] != ',')
            continue;
        cr_assert_lt(v->n, (size_t)MAX_ROWS);
        v->input[v->n] = strtoull(line + 4, &end, 16);
        v->code[v->n++] = strtoull(end + 1, NULL, 10);
    }
    fclose(in);
    cr_assert_gt(v->n, (size_t)60, "%s: only %zu rows of %s", path, v->n, type);
}

static void compare(const struct lb_coder *coder, const char *what, const struct vectors *v, const void *codes)
{
    const struct lb_codec *c = lb_coder_codec(coder);
    for (size_t i = 0; i < v->n; i++) {
        const uint64_t got = lb_code_get(codes, c->bits, i);
        cr_expect(got == v->code[i], "%s: %s of bits %" PRIx64 ": expected code %" PRIu64 ", got %" PRIu64, c->base.name, what, v->input[i],
                  v->code[i], got);
    }
}

static void check_type(const struct lb_coder *coder, const char *name, const char *type)
{
    const struct lb_encode overflow = {.rounding = LB_NEAREST, .overflow = strcmp(type, "inf") ? LB_TO_NAN : LB_TO_INF};
    static struct vectors v;
    static unsigned char codes[MAX_ROWS * 8];
    static float f[MAX_ROWS];
    static double d[MAX_ROWS];
    static int64_t whole[MAX_ROWS];
    read_rows(name, type, &v);
    for (size_t i = 0; i < v.n; i++) {
        const uint32_t low = (uint32_t)v.input[i];
        memcpy(&f[i], &low, 4);
        memcpy(&d[i], &v.input[i], 8);
        memcpy(&whole[i], &v.input[i], 8);
    }
    if (!strcmp(type, "f32")) {
        lb_encode_f32_derived(coder, NULL, f, v.n, codes);
        compare(coder, "f32 (derived)", &v, codes);
        lb_encode_f32(coder, NULL, f, v.n, codes);
    } else if (!strcmp(type, "f64"))
        lb_encode_f64(coder, NULL, d, v.n, codes);
    else if (!strcmp(type, "inf") || !strcmp(type, "nan"))
        lb_encode_f32(coder, &overflow, f, v.n, codes);
    else
        lb_encode_int(coder, NULL, whole, type[0] == 'u', v.n, codes);
    compare(coder, type, &v, codes);
}

ParameterizedTestParameters(codec_vectors, encode)
{
    return cr_make_param_array(struct named, cases, CASES);
}

ParameterizedTest(const struct named *wanted, codec_vectors, encode)
{
    static const char *const types[] = {"f32", "f64", "i64", "u64"};
    struct lb_codec *c = NULL;
    struct lb_coder *coder = coder_of(wanted, &c);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_type(coder, wanted->name, types[i]);
    finish(coder, c);
}

/* Overflow to infinity and to NaN, of small codecs that have one and saturate by default. */
ParameterizedTestParameters(codec_vectors, overflow)
{
    return cr_make_param_array(struct named, cases + WIDE, CASES - WIDE);
}

ParameterizedTest(const struct named *wanted, codec_vectors, overflow)
{
    static const char *const types[] = {"inf", "nan"};
    struct lb_codec *c = NULL;
    struct lb_coder *coder = coder_of(wanted, &c);
    for (int i = 0; i < 2; i++)
        if (c->overflow == LB_SATURATE && strcmp(wanted->name, "F8_E8M0") &&
            !lb_coder_check(coder, &(struct lb_encode){.overflow = i ? LB_TO_NAN : LB_TO_INF}, NULL))
            check_type(coder, wanted->name, types[i]);
    finish(coder, c);
}

/* What `lowbit show CODEC --csv` prints. */
static char *table_of(const struct lb_coder *coder, size_t *size)
{
    const double *values = lb_coder_values(coder);
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    cr_assert(out);
    fprintf(out, "code,value\n");
    for (uint32_t code = 0; code < 1u << lb_coder_codec(coder)->bits; code++) {
        if (isnan(values[code]))
            fprintf(out, "%" PRIu32 ",nan\n", code);
        else
            fprintf(out, "%" PRIu32 ",%.17g\n", code, values[code]);
    }
    fclose(out);
    return text;
}

ParameterizedTestParameters(codec_vectors, table)
{
    return cr_make_param_array(struct named, cases + WIDE, CASES - WIDE);
}

ParameterizedTest(const struct named *wanted, codec_vectors, table)
{
    struct lb_err err = {0};
    struct lb_codec *c = NULL;
    struct lb_coder *coder = coder_of(wanted, &c);
    size_t size = 0;
    char hex[65], line[128], name[128];
    char *text = table_of(coder, &size), *sums = lb_read_file("test/data/codecs/tables.sha256", NULL, &err);
    cr_assert(sums, "%s", err.text);
    cr_assert(!lb_sha256(text, size, hex, &err), "%s", err.text);
    snprintf(line, sizeof line, "%s  %s.csv\n", hex, wanted->name);
    snprintf(name, sizeof name, "  %s.csv\n", wanted->name);
    cr_expect(strstr(sums, name), "no sum of %s", wanted->name);
    cr_expect(strstr(sums, line), "the table of %s is not the one of tables.sha256", wanted->name);
    free(text);
    lb_free(sums);
    finish(coder, c);
}

/* ---- FLOAT with the parameters of another codec is that codec ---- */

static const struct {
    const char *codec;
    char params[64];
} floats[] = {{"F16", "e=5 m=10"},
              {"BF16", "e=8 m=7 inf=1 nan=ieee"},
              {"F4", "e=2 m=1 inf=0 nan=none"},
              {"F6_E2M3", "e=2 m=3 nan=none"},
              {"F6_E3M2", "e=3 m=2 inf=none nan=none"},
              {"F8_E4M3", "e=4 m=3 nan=one"},
              {"F8_E5M2", "e=5 m=2"},
              {"F8_E4M3FNUZ", "e=4 m=3 bias=8 nan=fnuz"},
              {"F8_E5M2FNUZ", "e=5 m=2 bias=16 nan=fnuz"},
              {"F8_E4M3B11FNUZ", "e=4 m=3 bias=11 nan=fnuz"},
              {"F8_E4M3_IEEE", ""},
              {"F8_E3M4", "e=3 m=4"}};

Test(codec_vectors, float_is_every_float)
{
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        struct named other = {.codec = ""}, same = {.codec = "FLOAT"};
        struct lb_codec *c[2];
        strcpy(other.name, floats[i].codec);
        strcpy(same.params, floats[i].params);
        struct lb_coder *a = coder_of(&other, &c[0]);
        const size_t codes = (size_t)1 << c[0]->bits;
        double *values = malloc(codes * sizeof *values);
        const uint32_t facts[] = {c[0]->bits, c[0]->unit_elems, c[0]->unit_bytes, c[0]->nan_code};
        cr_assert(values);
        memcpy(values, lb_coder_values(a), codes * sizeof *values);
        finish(a, c[0]);
        struct lb_coder *b = coder_of(&same, &c[1]);
        cr_assert(c[1]->bits == facts[0] && c[1]->unit_elems == facts[1] && c[1]->unit_bytes == facts[2] && c[1]->nan_code == facts[3],
                  "%s: FLOAT with %s is laid out otherwise", floats[i].codec, floats[i].params);
        cr_expect(!memcmp(values, lb_coder_values(b), codes * sizeof *values), "%s: FLOAT with %s has other values", floats[i].codec,
                  floats[i].params);
        free(values);
        finish(b, c[1]);
    }
}

/* ---- Bad parameters ---- */

static const struct {
    const char *codec;
    char params[64];
    const char *why;
} refused[] = {
    {"FLOAT", "e=0", "e: found 0, wanted a whole number from 1 to 8"},
    {"FLOAT", "e=4 m=15", "m: found 15, wanted a whole number from 0 to 14"},
    {"FLOAT", "m=2.5", "m: found 2.5, wanted a whole number"},
    {"FLOAT", "e=8 m=8", "e and m: found 8 and 8, wanted at most 15 bits"},
    {"FLOAT", "inf=yes", "inf: found \"yes\", wanted a whole number from 0 to 1"},
    {"FLOAT", "nan=two", "nan: found \"two\", wanted \"none\", \"one\", \"ieee\" or \"fnuz\""},
    {"FLOAT", "nan=1", "nan: found a number, wanted \"none\""},
    {"FLOAT", "inf=0", "nan: found \"ieee\" with inf 0, wanted inf 1"},
    {"FLOAT", "m=0", "nan: found \"ieee\" with m 0, wanted inf 1 and m > 0"},
    {"FLOAT", "e=8 m=7 nan=none", "bias: found 127, wanted 128 to 143"},
    {"FLOAT", "bias=148", "bias: found 148, wanted -113 to 147"},
    {"FLOAT", "e=1 m=0 nan=one inf=1", "leave no number but zero"},
    {"FLOAT", "exponent=4", "there is no parameter \"exponent\"; it takes \"e\", \"m\", \"bias\""},
    {"POSIT", "n=1", "n: found 1, wanted a whole number from 2 to 16"},
    {"POSIT", "n=17", "n: found 17, wanted a whole number from 2 to 16"},
    {"POSIT", "es=5", "es: found 5, wanted a whole number from 0 to 4"},
    {"POSIT", "es=two", "es: found \"two\", wanted a whole number"},
    {"FIXED", "bits=1", "bits: found 1, wanted a whole number from 2 to 16"},
    {"FIXED", "frac=nan", "frac: found nan, wanted a whole number from 0 to 15"},
    {"FIXED", "frac=16", "frac: found 16, wanted a whole number from 0 to 15"},
    {"NF4", "block=64", "takes no parameters, found \"block\""},
};

Test(codec_vectors, refused_parameters)
{
    struct lb_err err = {0};
    const char *build = getenv("BUILD");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/plugins", build ? build : "build");
    cr_assert(!lb_plugins_load(folder, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct lb_param params[MAX_PARAMS];
        struct lb_codec *c = NULL;
        char text[64];
        strcpy(text, refused[i].params);
        const size_t n = read_params(text, params);
        err = (struct lb_err){0};
        cr_expect(lb_plugins_codec(refused[i].codec, params, n, &c, NULL, &err) == -1, "%s with %s is taken", refused[i].codec,
                  refused[i].params);
        cr_expect(strstr(err.text, refused[i].why), "%s with %s: \"%s\"", refused[i].codec, refused[i].params, err.text);
        lb_plugins_codec_free(c);
    }
    lb_plugins_unload();
}
