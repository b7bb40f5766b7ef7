/* SPDX-License-Identifier: MIT */
/* # long */
/* Scales: what lb_format_encode stores and what a file gives back, against docs/arithmetic.md 8.1 and 8.10 written down literally. The codec of single
 * numbers is taken from lb_encode_f32 (test_coder.c); grouping, rules, storage, padding, layout and the way back are written anew, in
 * scale_literal.h and here. */
#include "test/unit/nn_util.h"
#include "test/unit/scale_literal.h"

#include "core/format/packed.h"
#include "core/run/config.h"
#include "kernels/canon.h"

static struct lb_format_config config;

static struct lb_format *open_format(const char *text)
{
    struct lb_err err = {0};
    struct lb_format *f;
    config = (struct lb_format_config){0};
    cr_assert(!lb_config_format(text, NULL, &config, &err) && !lb_format_create(&config, &f, &err), "%s: %s", text, err.text);
    return f;
}

static void close_format(struct lb_format *f)
{
    lb_format_destroy(f);
    lb_config_format_finish(&config);
}

/* ---- What was made ---- */

static size_t bytes_of(size_t n, unsigned bits)
{
    return (n * bits + 7) / 8;
}

/* A tensor of n codes of `k`: under the tag and in its shape, or as so many bytes. */
static const struct lb_tensor *check_tensor(const char *what, const struct lb_safetensors *st, const char *name, const struct lb_codec *k,
                                            size_t n, unsigned ndim, const size_t *shape, int padded)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    cr_assert(t, "%s: no tensor %s", what, name);
    cr_expect_eq(t->bytes, bytes_of(n, k->bits), "%s: %s: %zu bytes, expected %zu", what, name, t->bytes, bytes_of(n, k->bits));
    if (k->tag && !padded && n * k->bits % 8 == 0)
        cr_expect((int)t->dtype == lb_dtype_find(k->tag) && t->ndim == ndim && !memcmp(t->shape, shape, ndim * sizeof *shape),
                  "%s: %s: dtype %s, %u dimensions", what, name, lb_dtypes[t->dtype].name, t->ndim);
    else
        cr_expect(t->dtype == LB_U8 && t->ndim == 1 && t->shape[0] == t->bytes, "%s: %s: dtype %s", what, name, lb_dtypes[t->dtype].name);
    if (t->bytes && n * k->bits % 8)
        cr_expect(t->data[t->bytes - 1] >> n * k->bits % 8 == 0, "%s: %s: bits behind the last code", what, name);
    return t;
}

static void check_numbers(const char *what, const struct lb_safetensors *st, const char *name, const float *x, size_t n, int scalar)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    cr_assert(t && t->dtype == LB_F32 && t->ndim == !scalar && t->elems == n, "%s: %s", what, name);
    cr_expect(!n || !memcmp(t->data, x, n * sizeof *x), "%s: %s: other numbers", what, name);
}

static void check_stored(const char *what, const struct lb_format *f, const struct literal *l, const struct lb_safetensors *st,
                         unsigned ndim, const size_t *shape)
{
    const size_t groups[] = {l->rows, l->per_row};
    const struct lb_tensor *t = check_tensor(what, st, "w", f->codec, l->rows * l->row, ndim, shape, l->row != l->cols);
    size_t wrong = 0;
    for (size_t i = 0; i < l->rows; i++)
        for (size_t j = 0; j < l->row; j++)
            wrong += lb_code_get(t->data, f->codec->bits, i * l->row + j) != (j < l->cols ? l->code[i * l->cols + j] : 0);
    cr_expect_eq(wrong, 0, "%s: %zu codes are others", what, wrong);
    if (!f->scale) {
        cr_expect(!lb_safetensors_find(st, "w.scale") && st->n == 1, "%s: %zu tensors", what, st->n);
        return;
    }
    const unsigned dims = f->config->per == LB_PER_BLOCK ? 2 : f->config->per == LB_PER_TENSOR ? 0 : 1;
    t = check_tensor(what, st, "w.scale", f->scale->codec, l->groups, dims, groups, 0);
    for (size_t g = 0; g < l->groups; g++)
        cr_expect_eq(lb_code_get(t->data, f->scale->codec->bits, g), l->scale_code[g], "%s: scale %zu: code %llx, expected %llx", what, g,
                     (unsigned long long)lb_code_get(t->data, f->scale->codec->bits, g), (unsigned long long)l->scale_code[g]);
    const struct lb_format_config *c = f->scale->config;
    size_t n = 2;
    if (c->rule != LB_SCALE_NONE && ++n)
        check_numbers(what, st, "w.scale2", l->scale2, l->n2, c->per == LB_PER_TENSOR);
    if (c->offset && ++n)
        check_numbers(what, st, "w.scale_offset", &l->offset, 1, 1);
    if (f->config->rule == LB_SCALE_ASYMMETRIC && ++n) {
        t = check_tensor(what, st, "w.zero_point", f->codec, l->groups, dims, groups, 0);
        for (size_t g = 0; g < l->groups; g++)
            cr_expect_eq(decode_one(f, lb_code_get(t->data, f->codec->bits, g)), l->z[g], "%s: zero point %zu", what, g);
    }
    cr_expect_eq(st->n, n, "%s: %zu tensors, expected %zu", what, st->n, n);
}

/* What a file gives back, whole and in pieces. */
static void check_back(const char *what, const struct lb_format *f, const struct literal *l, const struct lb_safetensors *st)
{
    static float x[MOST];
    struct lb_err err = {0};
    struct lb_packed_tensor t = {0};
    const size_t n = l->rows * l->cols;
    size_t wrong = 0;
    cr_assert_eq(lb_format_decode(st, "w", x, n, &err), 0, "%s: %s", what, err.text);
    for (size_t i = 0; i < n; i++)
        wrong += !same(x[i], l->v[i]);
    cr_expect_eq(wrong, 0, "%s: lb_format_decode: %zu others", what, wrong);
    cr_assert_eq(lb_packed_open(st, "w", &t, &err), 0, "%s: %s", what, err.text);
    cr_expect(t.p.rows == l->rows && t.p.cols == l->cols && t.p.scaled == (f->scale != NULL) && (!f->scale || t.p.n_scales == l->groups),
              "%s: the matrix", what);
    for (size_t g = 0; f->scale && g < l->groups; g++)
        cr_expect(same(canonical(lb_packed_scale(&t.p, g)), canonical(l->s[g])), "%s: scale %zu: %a, expected %a", what, g,
                  (double)lb_packed_scale(&t.p, g), (double)l->s[g]);
    for (size_t i = 0; i < l->rows; i++)
        for (size_t k = 0; k < 6; k++) {
            const canon_words w = canon_random64(i, 3, k);
            const size_t from = k ? w.w[0] % l->cols : 0, many = k ? w.w[1] % (l->cols - from) + 1 : l->cols;
            lb_packed_row(&t.p, i, from, many, x);
            for (size_t j = 0; j < many; j++)
                cr_expect(same(x[j], l->v[i * l->cols + from + j]), "%s: row %zu, %zu of (%zu, %zu): %a, expected %a", what, i, j, from,
                          many, (double)x[j], (double)l->v[i * l->cols + from + j]);
        }
    lb_packed_finish(&t);
}

static size_t all_bytes(const struct lb_safetensors *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->n; i++)
        n += st->items[i].t.bytes;
    return n;
}

/* Encodes x and takes it back; where `through_file`, once more from a file. */
static void check(const struct lb_format *f, const char *kind, int through_file, const float *x, unsigned ndim, const size_t *shape)
{
    static struct literal l;
    struct lb_err err = {0};
    struct lb_safetensors st = {0}, file = {0};
    struct lb_format_stats stats = {0};
    char what[400], path[] = "/tmp/lowbit-scale-XXXXXX";
    size_t cols = 1;
    for (unsigned i = ndim < 2 ? 0 : 1; i < ndim; i++)
        cols *= shape[i];
    snprintf(what, sizeof what, "%.150s, %.20s, %u: %zu x %zu", config.name, kind, ndim, ndim < 2 ? 1 : shape[0], cols);
    work_out(f, ndim < 2 ? 1 : shape[0], cols, x, &l);
    cr_assert_eq(lb_format_encode(f, "w", x, ndim, shape, SEED, STREAM, &st, &stats, &err), 0, "%s: %s", what, err.text);
    cr_expect(stats.weights == l.rows * l.cols && stats.bytes == all_bytes(&st), "%s: %zu weights, %zu bytes, the tensors have %zu", what,
              stats.weights, stats.bytes, all_bytes(&st));
    check_stored(what, f, &l, &st, ndim, shape);
    check_back(what, f, &l, &st);
    if (through_file) {
        close(mkstemp(path));
        cr_assert(!lb_safetensors_write(&st, path, &err) && !lb_safetensors_open(path, &file, &err), "%s: %s", what, err.text);
        check_stored(what, f, &l, &file, ndim, shape);
        check_back(what, f, &l, &file);
        lb_safetensors_finish(&file);
        unlink(path);
    }
    lb_safetensors_finish(&st);
}

/* ---- Numbers of all kinds ---- */

static const char *const kinds[] = {"normal", "zero rows", "NaN", "Inf", "subnormal", "huge", "tiny and huge", "one sign", "powers"};

static float draw(size_t kind, uint64_t i)
{
    const canon_words w = canon_random64(SEED, 0x77, i);
    const float u = (float)CANON_INT(w.w[0]) * 0x1p-31f * ((float)(w.w[1] >> 8) * 0x1p-24f);
    switch (kind) {
    case 1:
        return i / 9 % 3 ? (w.w[2] & 1 ? 0.0f : -0.0f) : u;
    case 2:
        return w.w[2] % 23 ? u : w.w[2] % 2 ? NAN : canon_float(0xffc12345);
    case 3:
        return w.w[2] % 29 ? u : w.w[2] % 2 ? INFINITY : -INFINITY;
    case 4:
        return canon_float(w.w[0] & 0x80ffffff);
    case 5:
        return u * 0x1.8p127f;
    case 6:
        return canon_float(w.w[0]);
    case 7:
        return i / 40 % 2 ? -fabsf(u) : fabsf(u);
    case 8:
        return (w.w[1] & 1 ? -1.0f : 1.0f) * ldexpf(w.w[1] & 2 ? 1.0f : w.w[1] & 4 ? 1.75f : 0x1.fffffep0f, (int)(w.w[0] % 20) - 10);
    default:
        return u;
    }
}

static const struct {
    unsigned ndim;
    size_t shape[4];
} shapes[] = {{0, {0}},     {1, {1}},          {1, {7}},     {1, {64}},     {2, {3, 5}},       {2, {5, 70}},
              {2, {4, 33}}, {4, {2, 3, 3, 3}}, {2, {1, 32}}, {2, {3, 64}},  {1, {0}},          {2, {3, 0}},
              {2, {0, 5}},  {3, {2, 3, 7}},    {2, {9, 1}},  {2, {2, 257}}, {2, {1u << 30, 0}}};

static void check_format(const char *text)
{
    static float x[MOST];
    struct lb_format *f = open_format(text);
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (size_t kind = s % 4; kind < COUNT(kinds); kind += 4) {
            size_t n = 1;
            for (unsigned i = 0; i < shapes[s].ndim; i++)
                n *= shapes[s].shape[i];
            for (size_t i = 0; i < n; i++)
                x[i] = draw(kind, i + 1000 * s);
            check(f, kinds[kind], kind < 4, x, shapes[s].ndim, shapes[s].shape);
        }
    close_format(f);
}

#define BLOCK(codec, n, rest) "{\"codec\": " codec ", \"scale\": {\"per\": \"block\", \"block\": " #n rest "}}"
#define PER(codec, per, rest) "{\"codec\": \"" codec "\", \"scale\": {\"per\": \"" per "\"" rest "}}"

static void check_all(const char *const *texts, size_t n)
{
    load_plugins();
    for (size_t i = 0; i < n; i++)
        check_format(texts[i]);
    drop_all();
}

Test(scale, named)
{
    static const char *const texts[] = {"INT8",       "INT8_CHANNEL", "INT8_G32",   "INT4",       "INT4_CHANNEL", "INT4_G32",
                                        "INT4_G128",  "UINT8_ASYM",   "F4_CHANNEL", "F4_G32",     "FP8_E4M3",     "FP8_E5M2",
                                        "MXFP8_E4M3", "MXFP8_E5M2",   "MXFP6_E2M3", "MXFP6_E3M2", "MXFP4",        "MXINT8",
                                        "NVFP4",      "NF4",          "NF4_DOUBLE", "INT16",      "INT32",        "UINT4_ASYM_G32"};
    check_all(texts, COUNT(texts));
}

Test(scale, mean_squared_error)
{
    static const char *const texts[] = {"INT4_G32_MSE", "INT2_G32", "TERNARY_CHANNEL", PER("F8_E4M3", "tensor", ", \"rule\": \"mse\""),
                                        BLOCK("\"F4\"", 16,
                                              ", \"rule\": \"mse\", \"format\": {\"codec\": \"F8_E4M3\", \"scale\": "
                                              "{\"per\": \"tensor\"}}")};
    check_all(texts, COUNT(texts));
}

Test(scale, powers_of_two)
{
    static const char *const texts[] = {
        BLOCK("\"F4\"", 32, ", \"rule\": \"ceil\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F4\"", 32, ", \"rule\": \"even\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F4\"", 32, ", \"rule\": \"rceil\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F8_E4M3\"", 32, ", \"rule\": \"even\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F8_E5M2\"", 32, ", \"rule\": \"rceil\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F6_E3M2\"", 5, ", \"rule\": \"even\", \"format\": \"F8_E8M0\""),
        BLOCK("\"F6_E2M3\"", 5, ", \"rule\": \"rceil\", \"format\": \"F8_E8M0\""),
        BLOCK("{\"name\": \"FIXED\", \"bits\": 8, \"frac\": 6}", 32, ", \"rule\": \"even\", \"format\": \"F8_E8M0\""),
        BLOCK("{\"name\": \"FIXED\", \"bits\": 8, \"frac\": 6}", 32, ", \"rule\": \"rceil\", \"format\": \"F8_E8M0\""),
        PER("I4", "row", ", \"rule\": \"floor\""),
        PER("I8", "tensor", ", \"rule\": \"even\""),
        PER("U8", "channel", ", \"rule\": \"ceil\"")};
    check_all(texts, COUNT(texts));
}

Test(scale, others)
{
    static const char *const texts[] = {
        "F4",
        "I4",
        PER("I4", "tensor", ", \"rule\": \"fixed\", \"value\": 0.02"),
        PER("F32", "row", ", \"rule\": \"fixed\", \"value\": 0.02"),
        PER("I8", "row", ", \"rule\": \"percentile\", \"percentile\": 50"),
        PER("I8", "tensor", ", \"rule\": \"percentile\", \"percentile\": 99.9, \"format\": \"BF16\""),
        PER("F4", "channel", ", \"rule\": \"percentile\", \"percentile\": 0.001"),
        PER("I8", "tensor", ", \"rule\": \"asymmetric\""),
        PER("U2", "tensor", ", \"rule\": \"asymmetric\", \"format\": \"F16\""),
        PER("I4", "row", ", \"rule\": \"asymmetric\", \"format\": {\"codec\": \"F8_E4M3\", \"scale\": {\"per\": \"tensor\"}}"),
        BLOCK("\"I2\"", 1, ""),
        BLOCK("\"I4\"", 7, ", \"format\": \"I4\""),
        BLOCK("\"F6_E2M3\"", 3, ", \"format\": \"F6_E3M2\""),
        BLOCK("\"U4\"", 3, ", \"rule\": \"asymmetric\", \"format\": {\"codec\": \"U4\", \"scale\": {\"per\": \"block\", \"block\": 3}}"),
        BLOCK("\"I4\"", 32,
              ", \"format\": {\"codec\": \"F8_E4M3\", \"scale\": {\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.001}}"),
        BLOCK("\"I8\"", 16, ", \"format\": {\"codec\": \"F16\", \"scale\": {\"per\": \"tensor\"}}"),
        BLOCK("\"NF4\"", 5, ", \"format\": {\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 4, \"offset\": \"mean\"}}"),
        BLOCK("\"I4\"", 1000000000, ", \"format\": \"F16\""),
        BLOCK("\"BF16\"", 32, ", \"format\": {\"codec\": \"F8_E5M2\", \"rounding\": \"toward_zero\", \"overflow\": \"inf\"}"),
        "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 32}, \"rounding\": \"stochastic\"}",
        "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 9, \"rule\": \"asymmetric\"}, \"rounding\": \"stochastic\"}",
        "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"rounding\": \"stochastic\"}",
        "{\"codec\": \"F8_E4M3\", \"scale\": {\"per\": \"block\", \"block\": 8, \"rule\": \"floor\"}, \"overflow\": \"nan\"}",
        "{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 8, \"rule\": \"floor\"}, \"overflow\": \"wrap\"}",
        ("{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"rule\": \"fixed\", \"value\": 0.001}, \"overflow\": \"wrap\", \"rounding\": "
         "\"toward_zero\"}"),
        "{\"codec\": \"F4\", \"scale\": {\"per\": \"row\", \"rule\": \"floor\"}, \"rounding\": \"half_away\"}"};
    check_all(texts, COUNT(texts));
}
