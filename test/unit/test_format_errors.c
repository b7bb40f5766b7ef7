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
    } rows[] = {{"{\"codec\": \"I8\", \"overflow\": \"inf\"}", "it has no infinity"},
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
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 0, 4, "tensor w.scale: expected one F32 value"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 2, 4, "tensor w.scale: expected one F32 value"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}, \"shape\": [4]}", 4, 3, 4, "tensor w.scale: expected one F32 value"},
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
