/* SPDX-License-Identifier: MIT */
/* What formats refuse: combinations that a codec cannot do, names that are taken, and files whose parts do not fit together. */
#include "test/unit/nn_util.h"

#include "core/format/format.h"
#include "core/run/config.h"

static void check_refused(const char *text, const char *part)
{
    struct lb_err err = {0};
    struct lb_format_config c = {0};
    struct lb_format *f = NULL;
    const int r = lb_config_format(text, NULL, &c, &err) || lb_format_create(&c, &f, &err);
    cr_expect(r && !f && strstr(err.text, part), "%s\n  expected: %s\n  found:    %s", text, part, r ? err.text : "no error");
    lb_format_destroy(f);
    lb_config_format_finish(&c);
}

Test(format_errors, cannot_do)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"{\"codec\": \"I8\", \"overflow\": \"inf\"}", "it has no infinity"},
        {"{\"codec\": \"U64\", \"overflow\": \"nan\"}", "it has no NaN"},
        {"{\"codec\": \"F4\", \"overflow\": \"inf\"}", "it has no infinity"},
        {"{\"codec\": \"F4\", \"overflow\": \"nan\"}", "it has no NaN"},
        {"{\"codec\": \"F16\", \"overflow\": \"wrap\"}", "is for integers"},
        {"{\"codec\": \"F64\", \"overflow\": \"wrap\"}", "is for integers"},
        {"{\"codec\": \"F32\", \"scale\": {\"per\": \"tensor\"}}", "absmax has no meaning for codec F32"},
        {"{\"codec\": \"F64\", \"scale\": {\"per\": \"tensor\"}}", "absmax has no meaning for codec F64"},
        {"{\"codec\": \"LOOM_F4\", \"rounding\": \"half_away\"}", "an encoder of its own"},
        {"{\"codec\": \"LOOM_F4\", \"overflow\": \"saturate\"}", "an encoder of its own"},
        {"{\"codec\": {\"name\": \"LOOM_F4\", \"encoder\": \"c\"}}", "\"a\" or \"b\""},
        {"{\"codec\": {\"name\": \"I8\", \"n\": 3}}", "I8"},
        {"{\"codec\": \"Q4_0\", \"scale\": {\"per\": \"tensor\"}}", "stores its scales in its blocks"},
        {"{\"codec\": \"Q4_0\", \"rounding\": \"half_away\"}", "rounds in its own way"},
        {"{\"codec\": \"F4\", \"scale\": {\"per\": \"row\", \"rule\": \"asymmetric\"}}", "codec F4 is no integer"},
        {"{\"codec\": \"F16\", \"scale\": {\"per\": \"row\", \"rule\": \"asymmetric\"}}", "codec F16 is no integer"},
        {"{\"codec\": \"I32\", \"scale\": {\"per\": \"row\", \"rule\": \"asymmetric\"}}", "asymmetric has no meaning for codec I32"},
        {"{\"codec\": \"I32\", \"scale\": {\"per\": \"row\", \"rule\": \"floor\"}}", "floor has no meaning for codec I32"},
        {"{\"codec\": \"F32\", \"scale\": {\"per\": \"row\", \"rule\": \"mse\"}}", "mse has no meaning for codec F32"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": \"Q8_0\"}}", "scale.format: codec Q8_0"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": \"F64\"}}", "scale.format: codec F64"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": \"INT4_G32_MSE\"}}", "scaled by mse/block 32"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": \"INT8_CHANNEL\"}}", "scaled by absmax/channel"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": \"NVFP4\"}}", "its own scale is stored as F32"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"F16\", \"rounding\": \"stochastic\"}}}",
         "not for scales"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"I8\", \"overflow\": \"wrap\"}}}", "not for scales"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"I8\", \"activations\": \"F16\"}}}",
         "\"activations\" is not for scales"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", "
         "\"calibrated\": true}}}}",
         "\"calibrated\" is not for scales"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 32, \"offset\": \"mean\"}}", "offset is for a scale's own format"},
        {"{\"codec\": \"F4\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"F8_E8M0\", \"scale\": {\"per\": \"tensor\"}}}}",
         "beyond F32"},
        {"{\"codec\": \"F4\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\", \"format\": "
         "{\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\", \"format\": {\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\", "
         "\"format\": "
         "{\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\", \"format\": \"F4\"}}}}}}}}}}",
         "more than 4 deep; does one hold itself?"},
        {"{\"codec\": \"F5\"}", "F5"}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++)
        check_refused(rows[i].text, rows[i].part);
    drop_all();
}

/* ---- Names ---- */

static int encode(const char *text, const char *name, struct lb_safetensors *st, struct lb_err *err)
{
    struct lb_format_config c = {0};
    struct lb_format *f = NULL;
    struct lb_format_stats stats = {0};
    static const float x[] = {1, -2, 3};
    cr_assert(!lb_config_format(text, NULL, &c, err) && !lb_format_create(&c, &f, err), "%s", err->text);
    const int r = lb_format_encode(f, name, x, 1, (const size_t[]){3}, 0, 0, st, &stats, err);
    lb_format_destroy(f);
    lb_config_format_finish(&c);
    return r;
}

static const char absmax[] = "{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}}";

/* A scale takes the name "w.scale": whoever comes second is refused. */
Test(format_errors, names_that_are_taken)
{
    static const char *const names[][2] = {{"w.scale", "w"}, {"w", "w.scale"}, {"w", "w"}};
    load_plugins();
    for (size_t i = 0; i < COUNT(names); i++) {
        struct lb_err err = {0};
        struct lb_safetensors st = {0};
        cr_assert_eq(encode(absmax, names[i][0], &st, &err), 0, "%s", err.text);
        cr_expect(encode(absmax, names[i][1], &st, &err) == -1 && strstr(err.text, i == 2 ? "\"w\"" : "w.scale"), "%s then %s: %s",
                  names[i][0], names[i][1], err.text);
        lb_safetensors_finish(&st);
    }
    drop_all();
}

/* ---- Files whose parts do not fit ---- */

/* A file of one tensor "w" (U8, `bytes` long), its format's text, and perhaps a scale. */
static void check_damaged(const char *format, size_t bytes, int scale, size_t elems, const char *part)
{
    struct lb_err err = {0}, none = {0};
    struct lb_safetensors st = {0};
    struct lb_tensor t, s;
    float x[64] = {0};
    cr_assert(!lb_tensor_init(&t, LB_U8, 1, &bytes, &none) &&
              !lb_tensor_init(&s, scale == 2 ? LB_F64 : LB_F32, scale == 3, (const size_t[]){2}, &none));
    cr_assert(!lb_safetensors_add(&st, "w", &t, &none) && (!scale || !lb_safetensors_add(&st, "w.scale", &s, &none)));
    lb_tensor_finish(&t);
    lb_tensor_finish(&s);
    cr_assert(!format || !lb_safetensors_meta(&st, "lowbit:w", format, &none));
    const int r = lb_format_decode(&st, "w", x, elems, &err);
    cr_expect(r == (part ? -1 : 0) && (!part || strstr(err.text, part)), "%s: expected %s, found %s", format, part ? part : "no error",
              r ? err.text : "no error");
    lb_safetensors_finish(&st);
}

Test(format_errors, damaged_files)
{
    static const struct {
        const char *format;
        size_t bytes;
        int scale; /* 0 none, 1 as it should be, 2 of another dtype, 3 of two elements */
        size_t elems;
        const char *part;
    } rows[] = {
        {"{\"codec\": \"F4\", \"shape\": [3]}", 2, 0, 3, NULL},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [2, 2]}", 4, 1, 4, NULL},
        {NULL, 4, 0, 4, NULL},
        {NULL, 4, 0, 5, "4 elements, expected 5"},
        {"{\"codec\": \"F4\", \"shape\": [3]}", 3, 0, 3, "holds 3 bytes, expected 2"},
        {"{\"codec\": \"F4\", \"shape\": [3]}", 2, 0, 4, "3 elements, expected 4"},
        {"{\"codec\": \"F4\", \"shape\": [4294967296, 4294967296, 4294967296]}", 2, 0, 4, "more elements than this machine can address"},
        {"{\"codec\": \"F4\", \"shape\": [1, 1, 1, 1, 1, 1, 1, 1, 3]}", 2, 0, 3, "\"shape\" is no list of at most 8"},
        {"{\"codec\": \"F4\", \"shape\": 3}", 2, 0, 3, "\"shape\" is no list"},
        {"{\"codec\": \"F4\", \"shape\": [-3]}", 2, 0, 3, "what is no size"},
        {"{\"codec\": \"F4\", \"shape\": [3.0]}", 2, 0, 3, "what is no size"},
        {"{\"codec\": \"F4\", \"shape\": [\"3\"]}", 2, 0, 3, "what is no size"},
        {"{\"codec\": \"F4\"}", 2, 0, 3, "\"shape\" is no list"},
        {"{\"shape\": [3]}", 2, 0, 3, "codec"},
        {"{\"codec\": \"F4\", \"shape\": [3], \"shape\": [3]}", 2, 0, 3, "duplicate key"},
        {"{\"codec\": \"NO_SUCH\", \"shape\": [3]}", 2, 0, 3, "NO_SUCH"},
        {"{\"codec\": \"F4\", \"colour\": 1, \"shape\": [3]}", 2, 0, 3, "colour"},
        {"[]", 2, 0, 3, "w"},
        {"{", 2, 0, 3, "w"},
        {"", 2, 0, 3, "w"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 0, 4, "tensor w.scale is missing"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 2, 4, "tensor w.scale: 8 bytes, expected 4"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 3, 4, "tensor w.scale: 8 bytes, expected 4"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\"}, \"shape\": [2, 2]}", 4, 2, 4, "tensor w.scale: F64, expected F32 or U8"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\"}, \"shape\": [2, 2]}", 4, 3, 4, NULL},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 0}, \"shape\": [4]}", 4, 1, 4, "block: expected an integer"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 1000000000}, \"shape\": [4]}", 4, 1, 4, NULL},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 9007199254740991}, \"shape\": [4]}", 4, 1, 4, "block: expected"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 3}, \"shape\": [4]}", 4, 1, 4, "holds 4 bytes, expected 6"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 2}, \"shape\": [4]}", 4, 1, 4, "w.scale: 4 bytes, expected 8"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"shape\": [1152921504606846976, 0]}", 0, 0, 0, "w.scale is missing"},
        {"{\"codec\": \"I8\", \"shape\": [1152921504606846976, 0]}", 0, 0, 0, NULL},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 3}, \"shape\": [6148914691236517205, 2]}", 4, 1, 4, "too many"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"format\": {\"codec\": \"F8_E4M3\", \"scale\": {\"per\": \"tensor\"}}}, "
         "\"shape\": [4]}",
         4, 1, 4, "w.scale: 4 bytes, expected 1"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 1, \"format\": {\"codec\": \"U8\", \"scale\": {\"per\": "
         "\"tensor\"}}}, "
         "\"shape\": [4]}",
         4, 1, 4, "w.scale: F32, expected U8 or U8"},
        {"{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\"}, \"shape\": [4]}", 4, 1, 4,
         "w.zero_point is missing"},
        {"{\"codec\": \"F32\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\"}, \"shape\": [1]}", 4, 1, 1,
         "asymmetric has no meaning"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"format\": \"MXFP4\"}, \"shape\": [4]}", 4, 1, 4, "MXFP4"},
        {"{\"codec\": \"Q4_0\", \"shape\": [33]}", 18, 0, 33, "holds 18 bytes, expected 36"},
        {"{\"codec\": \"Q4_0\", \"shape\": [2, 31]}", 36, 0, 62, NULL},
    };
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++)
        check_damaged(rows[i].format, rows[i].bytes, rows[i].scale, rows[i].elems, rows[i].part);
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    float x[1];
    cr_expect(lb_format_decode(&st, "w", x, 1, &err) == -1 && strstr(err.text, "tensor w is missing"), "%s", err.text);
    lb_safetensors_finish(&st);
    drop_all();
}

/* ---- Scales of all kinds: each of their tensors missing, of another type, or too short ---- */

static int decode_spoilt(const struct lb_safetensors *good, size_t which, int how, size_t elems, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    struct lb_err none = {0};
    float x[256];
    for (size_t i = 0; i < good->n; i++) {
        struct lb_tensor t = good->items[i].t, other = {0};
        t.owned = 0;
        if (i == which && how == 0)
            continue;
        if (i == which) {
            const size_t n = how == 1 ? t.elems : t.bytes - 1;
            cr_assert_eq(lb_tensor_init(&other, how == 1 ? (t.bytes == t.elems ? LB_BOOL : LB_I32) : LB_U8, 1, &n, &none), 0, "%s",
                         none.text);
        }
        cr_assert_eq(lb_safetensors_add(&st, good->items[i].name, i == which ? &other : &t, &none), 0, "%s", none.text);
        lb_tensor_finish(&other);
    }
    st.metadata = json_incref(good->metadata);
    const int r = lb_format_decode(&st, "w", x, elems, err);
    lb_safetensors_finish(&st);
    return r;
}

Test(format_errors, damaged_scales)
{
    static const char *const formats[] = {"NF4_DOUBLE", "NVFP4", "UINT8_ASYM", "UINT4_ASYM_G32", "INT8_G32", "MXFP4", "MXINT8"};
    enum { N = 192 };
    float x[N];
    load_plugins();
    for (size_t i = 0; i < N; i++)
        x[i] = (float)i - 100;
    for (size_t k = 0; k < COUNT(formats); k++) {
        struct lb_format_config c = {0};
        struct lb_format *f = NULL;
        struct lb_format_stats stats = {0};
        struct lb_safetensors st = {0};
        struct lb_err err = {0};
        cr_assert(!lb_config_format(formats[k], NULL, &c, &err) && !lb_format_create(&c, &f, &err) &&
                      !lb_format_encode(f, "w", x, 2, (const size_t[]){2, N / 2}, 0, 0, &st, &stats, &err),
                  "%s", err.text);
        cr_expect_eq(decode_spoilt(&st, st.n, 0, N, &err), 0, "%s: %s", formats[k], err.text);
        for (size_t i = 0; i < st.n; i++)
            for (int how = 0; how < 3; how++) {
                struct lb_err why = {0};
                const int r = decode_spoilt(&st, i, how, N, &why);
                cr_expect(r == -1 && strstr(why.text, st.items[i].name), "%s: %s %s: %s", formats[k], st.items[i].name,
                          how == 0   ? "missing"
                          : how == 1 ? "of another type"
                                     : "too short",
                          r ? why.text : "no error");
            }
        lb_safetensors_finish(&st);
        lb_format_destroy(f);
        lb_config_format_finish(&c);
    }
    drop_all();
}

/* ---- Expressions for layers ------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *expression, *name;
    int found; /* -1: refused */
} matches[] = {
    {"0", "0.weight", 1},
    {"[01].*", "1.bias", 1},
    {"weight", "0.weight", 0},
    {"(", "0.weight", -1},
    {"x{1000}", "0.weight", 0},
    {"x{1001}", "0.weight", -1},
    {"(0|x{0,31}){1,32}", "0.weight", 1},
    {"(x{32}){32}", "0.weight", -1},
    {"((x{1,99}){1,99}){1,99}", "0.weight", -1},
    {"(x{2,}){501,}", "0.weight", -1},
    {"x{99999999999999999999}", "0.weight", -1},
};

Test(format_errors, expressions, .timeout = 10)
{
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) {
        struct lb_err err = {0};
        const int found = lb_format_match(matches[i].expression, matches[i].name, &err);
        cr_expect(found == matches[i].found && !err.set == (found >= 0), "%s: %d, wanted %d: %s", matches[i].expression, found,
                  matches[i].found, err.text);
    }
}
