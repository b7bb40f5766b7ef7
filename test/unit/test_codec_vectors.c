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

static struct lb_coder *coder_of(const char *name, struct lb_codec **codec)
{
    struct lb_err err = {0};
    struct lb_coder *coder = NULL;
    const char *build = getenv("BUILD");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/plugins", build ? build : "build");
    cr_assert(!lb_plugins_load(folder, &err), "%s", err.text);
    cr_assert(!lb_plugins_codec(name, NULL, 0, codec, NULL, &err), "%s", err.text);
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
static void read_rows(const char *codec, const char *type, struct vectors *v)
{
    char path[128], line[128];
    snprintf(path, sizeof path, "test/data/codecs/encode_%s.csv", codec);
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
    cr_assert_gt(v->n, (size_t)100, "%s: only %zu rows of %s", path, v->n, type);
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

static void check_type(const struct lb_coder *coder, const char *type)
{
    static struct vectors v;
    static unsigned char codes[MAX_ROWS * 8];
    static float f[MAX_ROWS];
    static double d[MAX_ROWS];
    static int64_t whole[MAX_ROWS];
    read_rows(lb_coder_codec(coder)->base.name, type, &v);
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
    else
        lb_encode_int(coder, NULL, whole, type[0] == 'u', v.n, codes);
    compare(coder, type, &v, codes);
}

struct named {
    char name[8];
};

ParameterizedTestParameters(codec_vectors, encode)
{
    static struct named all[] = {{"F64"}, {"F32"}, {"F16"}, {"BF16"}, {"F4"},  {"I64"}, {"I32"},
                                 {"I16"}, {"I8"},  {"U64"}, {"U32"},  {"U16"}, {"U8"}};
    return cr_make_param_array(struct named, all, sizeof all / sizeof *all);
}

ParameterizedTest(const struct named *codec, codec_vectors, encode)
{
    static const char *const types[] = {"f32", "f64", "i64", "u64"};
    struct lb_codec *c = NULL;
    struct lb_coder *coder = coder_of(codec->name, &c);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_type(coder, types[i]);
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
    static struct named all[] = {{"F16"}, {"BF16"}, {"F4"}, {"I16"}, {"I8"}, {"U16"}, {"U8"}};
    return cr_make_param_array(struct named, all, sizeof all / sizeof *all);
}

ParameterizedTest(const struct named *codec, codec_vectors, table)
{
    struct lb_err err = {0};
    struct lb_codec *c = NULL;
    struct lb_coder *coder = coder_of(codec->name, &c);
    size_t size = 0;
    char hex[65], line[128], wanted[128];
    char *text = table_of(coder, &size), *sums = lb_read_file("test/data/codecs/tables.sha256", NULL, &err);
    cr_assert(sums, "%s", err.text);
    cr_assert(!lb_sha256(text, size, hex, &err), "%s", err.text);
    snprintf(line, sizeof line, "%s  %s.csv\n", hex, codec->name);
    snprintf(wanted, sizeof wanted, "  %s.csv\n", codec->name);
    cr_expect(strstr(sums, wanted), "no sum of %s", codec->name);
    cr_expect(strstr(sums, line), "the table of %s is not the one of tables.sha256", codec->name);
    free(text);
    lb_free(sums);
    finish(coder, c);
}
