/* SPDX-License-Identifier: MIT */
/* Formats on whole tensors: the codes, scales, metadata and statistics that lb_format_encode makes, and what comes back from a file,
 * against brute.h and plain binary32 arithmetic. */
#include "test/unit/brute.h"
#include "test/unit/nn_util.h"

#include "core/format/format.h"
#include "core/run/config.h"
#include "kernels/canon.h"

enum { MAX_ELEMS = 600 };

static struct lb_format_config config;

/* A format from its text, one at a time. Closed by close_format. */
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

static int same(float a, float b)
{
    return canon_bits(a) == canon_bits(b);
}

/* ---- What a format must do, literally ---- */

struct expected {
    float scale, in[MAX_ELEMS], back[MAX_ELEMS];
    uint64_t code[MAX_ELEMS];
    struct lb_format_stats stats;
};

static float canonical(float x)
{
    return isnan(x) ? canon_float(0x7fc00000) : x;
}

static float forth(const struct lb_format_config *c, float s, float x)
{
    if (c->rule == LB_SCALE_NONE)
        return x;
    if (c->rule == LB_SCALE_MULTIPLY) {
        const float sum = x + (float)c->add;
        return sum * (float)c->multiply;
    }
    return s == 0 ? 0 : x / s;
}

static float back(const struct lb_format_config *c, float s, float q)
{
    if (c->rule == LB_SCALE_NONE)
        return canonical(q);
    if (c->rule == LB_SCALE_MULTIPLY) {
        const float ratio = q / (float)c->multiply;
        return canonical(ratio - (float)c->add);
    }
    return canonical(q * s);
}

/* A signed integer codec of up to 16 bits does without its least value where it is scaled. */
static int is_symmetric(const struct lb_format *f)
{
    return f->codec->kind == LB_SIGNED && f->codec->bits <= 16 && f->config->rule != LB_SCALE_NONE && f->config->rule != LB_SCALE_MULTIPLY;
}

static void expect(const struct lb_format *f, const struct brute *b, const float *x, size_t n, uint64_t seed, uint32_t stream,
                   struct expected *e)
{
    const struct lb_format_config *c = f->config;
    *e = (struct expected){.scale = (float)c->value};
    if (c->rule == LB_SCALE_ABSMAX) {
        float amax = 0;
        for (size_t i = 0; i < n; i++)
            amax = fmaxf(amax, fabsf(x[i]));
        e->scale = amax / (float)brute_largest(b);
    }
    for (size_t i = 0; i < n; i++) {
        e->in[i] = forth(c, e->scale, x[i]);
        if (is_symmetric(f) && e->in[i] < -(float)brute_largest(b))
            e->in[i] = -(float)brute_largest(b);
        e->code[i] = brute_encode(b, c->rounding, c->overflow, (long double)e->in[i],
                                  canon_random64(seed, stream, i / 4).w[i % 4] & ~UINT32_C(0xff));
        const float q = (float)brute_decode(b, e->code[i]);
        e->back[i] = back(c, e->scale, q);
        const double d = (double)x[i] - (double)e->back[i];
        e->stats.nan_codes += isnan(e->back[i]) != 0;
        e->stats.inf_codes += isinf(e->back[i]) != 0;
        e->stats.zeroed += x[i] != 0 && e->back[i] == 0;
        e->stats.clipped += brute_beyond(b, (long double)e->in[i]) != 0;
        e->stats.signal += (double)x[i] * (double)x[i];
        e->stats.noise += d * d;
    }
    e->stats.weights = n;
    e->stats.bytes = (n * (size_t)b->bits + 7) / 8 + (c->rule == LB_SCALE_FIXED || c->rule == LB_SCALE_ABSMAX ? 4 : 0);
}

static int same_stats(const struct lb_format_stats *a, const struct lb_format_stats *b)
{
    return a->weights == b->weights && a->nan_codes == b->nan_codes && a->inf_codes == b->inf_codes && a->zeroed == b->zeroed &&
           a->clipped == b->clipped && (a->signal == b->signal || (isnan(a->signal) && isnan(b->signal))) &&
           (a->noise == b->noise || (isnan(a->noise) && isnan(b->noise))) && a->bytes == b->bytes;
}

/* The tensor, the scale and the metadata as they are to be in a file. */
static void check_tensors(const char *what, const struct lb_format *f, const struct brute *b, const struct lb_safetensors *st,
                          const struct expected *e, unsigned ndim, const size_t *shape, size_t n)
{
    struct lb_err err = {0};
    const struct lb_tensor *t = lb_safetensors_find(st, "w"), *s = lb_safetensors_find(st, "w.scale");
    const int whole = n * (size_t)b->bits % 8 == 0, scaled = f->config->rule == LB_SCALE_FIXED || f->config->rule == LB_SCALE_ABSMAX;
    const char *text;
    cr_assert(t && !lb_format_text(st, "w", &text, &err), "%s", what);
    cr_expect_eq((int)t->dtype, whole ? lb_dtype_find(b->name) : LB_U8, "%s: %s", what, lb_dtypes[t->dtype].name);
    cr_expect_eq(t->bytes, (n * (size_t)b->bits + 7) / 8, "%s: %zu bytes", what, t->bytes);
    if (whole)
        cr_expect(t->ndim == ndim && !memcmp(t->shape, shape, ndim * sizeof *shape), "%s: shape", what);
    else
        cr_expect(t->ndim == 1 && t->shape[0] == t->bytes && t->data[t->bytes - 1] >> (n * (size_t)b->bits % 8) == 0, "%s: padding bits",
                  what);
    cr_expect_eq(text != NULL, f->config->rule != LB_SCALE_NONE || !whole, "%s: metadata %s", what, text ? text : "none");
    cr_assert_eq(s != NULL, scaled, "%s: a scale", what);
    cr_expect(!s || (s->dtype == LB_F32 && s->ndim == 0 && !memcmp(s->data, &e->scale, 4)), "%s: scale, expected %a", what,
              (double)e->scale);
    for (size_t i = 0; i < n; i++) { /* a little-endian stream of bits: element i begins at bit i * bits */
        uint64_t code = 0;
        for (size_t k = 0; k < (size_t)b->bits; k++)
            code |= (uint64_t)(t->data[(i * (size_t)b->bits + k) / 8] >> (i * (size_t)b->bits + k) % 8 & 1) << k;
        cr_expect_eq(code, e->code[i], "%s: [%zu] %a scaled: expected code 0x%llx, got 0x%llx", what, i, (double)e->in[i],
                     (unsigned long long)e->code[i], (unsigned long long)code);
    }
}

static void check_decoded(const char *what, const struct lb_safetensors *st, const struct expected *e, unsigned ndim, const size_t *shape,
                          size_t n)
{
    struct lb_err err = {0};
    float x[MAX_ELEMS];
    unsigned got_ndim;
    size_t got[LB_MAX_DIMS];
    cr_assert(!lb_format_shape(st, "w", &got_ndim, got, &err) && !lb_format_decode(st, "w", x, n, &err), "%s: %s", what, err.text);
    cr_expect(got_ndim == ndim && !memcmp(got, shape, ndim * sizeof *shape), "%s: the shape that is meant", what);
    for (size_t i = 0; i < n; i++)
        cr_expect(same(x[i], e->back[i]), "%s: [%zu]: expected %a, got %a", what, i, (double)e->back[i], (double)x[i]);
}

/* Encodes x and decodes it; where `through_file`, once more from a file. */
static void check(const struct lb_format *f, const struct brute *b, int through_file, const float *x, unsigned ndim, const size_t *shape)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0}, file = {0};
    struct lb_format_stats stats = {0};
    static struct expected e;
    char path[200], what[400];
    size_t n = 1;
    for (unsigned i = 0; i < ndim; i++)
        n *= shape[i];
    snprintf(what, sizeof what, "%.200s, rounding %u, overflow %d, %zu elements", config.name, config.rounding, config.overflow, n);
    expect(f, b, x, n, 99, 3, &e);
    cr_assert_eq(lb_format_encode(f, "w", x, ndim, shape, 99, 3, &st, &stats, &err), 0, "%s: %s", what, err.text);
    cr_expect(same_stats(&stats, &e.stats),
              "%s: weights %zu, NaN %zu, Inf %zu, zeroed %zu, clipped %zu, %g/%g, %zu bytes; expected %zu %zu %zu %zu %zu %g/%g %zu", what,
              stats.weights, stats.nan_codes, stats.inf_codes, stats.zeroed, stats.clipped, stats.signal, stats.noise, stats.bytes,
              e.stats.weights, e.stats.nan_codes, e.stats.inf_codes, e.stats.zeroed, e.stats.clipped, e.stats.signal, e.stats.noise,
              e.stats.bytes);
    check_tensors(what, f, b, &st, &e, ndim, shape, n);
    check_decoded(what, &st, &e, ndim, shape, n);
    if (through_file) {
        cr_assert(!lb_safetensors_write(&st, temp_file(path, "", 0), &err) && !lb_safetensors_open(path, &file, &err), "%s: %s", what,
                  err.text);
        check_tensors(what, f, b, &file, &e, ndim, shape, n);
        check_decoded(what, &file, &e, ndim, shape, n);
        lb_safetensors_finish(&file);
        unlink(path);
    }
    lb_safetensors_finish(&st);
}

/* ---- Every rule on every codec ---- */

/* Weights as a network has them, and a few that it should not have. */
static void make_weights(float *x, size_t n, int special)
{
    static const float odd[] = {0.0f,   -0.0f,    0x1p-149f, -0x1p-140f, 1e-20f, -3.0f,    7.0f,  1e6f,
                                -1e30f, INFINITY, -INFINITY, NAN,        0.125f, -0.0625f, 1.275f};
    for (size_t i = 0; i < n; i++) {
        x[i] = canon_unit(canon_random64(5, 9, i).w[0]) - 0.5f;
        if (special && i % 3 == 0)
            x[i] = odd[i / 3 % COUNT(odd)];
    }
}

static const struct brute *brute_of(const char *name)
{
    for (size_t i = 0; i < BRUTES; i++)
        if (!strcmp(brutes[i].name, name))
            return &brutes[i];
    cr_assert(0, "%s", name);
    return NULL;
}

Test(format, every_rule)
{
    static const char *const scales[] = {"{\"per\": \"none\"}",
                                         "{\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.0078125}",
                                         "{\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.3}",
                                         "{\"per\": \"tensor\"}",
                                         "{\"multiply\": 100}",
                                         "{\"multiply\": 8, \"add\": 1}",
                                         "{\"multiply\": 1e6, \"add\": 1}"};
    static const char *const roundings[] = {"nearest", "toward_zero", "half_away", "stochastic"};
    static const size_t shapes[][2] = {{3, 4}, {3, 5}, {1, 1}, {0, 7}, {25, 21}};
    float x[MAX_ELEMS];
    load_plugins();
    for (size_t i = 0; i < BRUTES; i++)
        for (size_t s = 0; s < COUNT(scales); s++)
            for (size_t r = 0; r < 2; r++) {
                char text[300];
                if (s == 3 && brutes[i].exponent && brutes[i].bits > 16)
                    continue; /* absmax has no meaning there */
                snprintf(text, sizeof text, "{\"codec\": \"%s\", \"scale\": %s, \"rounding\": \"%s\"}", brutes[i].name, scales[s],
                         roundings[r ? 1 + (s + i) % 3 : 0]);
                struct lb_format *f = open_format(text);
                for (size_t k = brutes[i].bits == 16 ? COUNT(shapes) - 1 : 0; k < COUNT(shapes);
                     k++) { /* 16 bits take 10 ms a tensor to derive */
                    make_weights(x, shapes[k][0] * shapes[k][1], k == 4);
                    check(f, &brutes[i], r == 0 && s % 3 == 0 && k % 3 == 1, x, 2, shapes[k]);
                }
                close_format(f);
            }
    drop_all();
}

/* Overflow by name, in all four kinds, and a scalar. */
Test(format, overflow)
{
    static const float x[] = {-0.5f, -1.5f,    -3,        0,   1.56f, 1.5549f, 700,     1e5f,
                              -1e5f, INFINITY, -INFINITY, NAN, 4e4f,  655.2f,  655.19f, -0.004f};
    static const struct {
        const char *text, *codec;
    } rows[] = {
        {"{\"codec\": \"U8\", \"scale\": {\"multiply\": 100, \"add\": 1}, \"overflow\": \"wrap\", \"rounding\": \"toward_zero\"}", "U8"},
        {"{\"codec\": \"I8\", \"scale\": {\"multiply\": 100}, \"overflow\": \"wrap\"}", "I8"},
        {"{\"codec\": \"U16\", \"scale\": {\"multiply\": 1000, \"add\": 1}, \"overflow\": \"wrap\"}", "U16"},
        {"{\"codec\": \"U32\", \"scale\": {\"multiply\": 1e6, \"add\": 1}, \"overflow\": \"wrap\"}", "U32"},
        {"{\"codec\": \"U64\", \"scale\": {\"multiply\": 1e6, \"add\": 1}, \"overflow\": \"wrap\"}", "U64"},
        {"{\"codec\": \"U8\", \"scale\": {\"multiply\": 100, \"add\": 1}, \"overflow\": \"saturate\"}", "U8"},
        {"{\"codec\": \"F16\", \"scale\": {\"multiply\": 100}, \"overflow\": \"saturate\"}", "F16"},
        {"{\"codec\": \"F16\", \"scale\": {\"multiply\": 100}, \"overflow\": \"nan\"}", "F16"},
        {"{\"codec\": \"F16\", \"scale\": {\"multiply\": 100}, \"overflow\": \"inf\"}", "F16"}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lb_format *f = open_format(rows[i].text);
        check(f, brute_of(rows[i].codec), 1, x, 1, (const size_t[]){COUNT(x)});
        check(f, brute_of(rows[i].codec), 1, x + 4, 0, (const size_t[]){1});
        close_format(f);
    }
    drop_all();
}

/* Nothing to scale by: all zeros, or so small that the scale is 0. Everything becomes 0, whatever the codec. */
Test(format, absmax_of_nothing)
{
    static const char *const codecs[] = {"F4", "F16", "BF16", "I8", "U16", "I32", "U64"};
    static const float x[][4] = {{0, -0.0f, 0, 0}, {0x1p-149f, 0, -0x1p-149f, 0x1p-148f}};
    load_plugins();
    for (size_t i = 0; i < COUNT(codecs); i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"codec\": \"%s\", \"scale\": {\"per\": \"tensor\"}}", codecs[i]);
        struct lb_format *f = open_format(text);
        for (size_t k = 0; k < COUNT(x); k++)
            check(f, brute_of(codecs[i]), 0, x[k], 1, (const size_t[]){4});
        close_format(f);
    }
    drop_all();
}

/* ---- Cases worked out by hand ---- */

/* Encodes x and gives what comes back. */
static void round_trip(const char *text, const float *x, size_t n, float *out, struct lb_format_stats *stats)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_format *f = open_format(text);
    *stats = (struct lb_format_stats){0};
    cr_assert(!lb_format_encode(f, "w", x, 1, &n, 1, 1, &st, stats, &err) && !lb_format_decode(&st, "w", out, n, &err), "%s: %s", text,
              err.text);
    lb_safetensors_finish(&st);
    close_format(f);
}

Test(format, by_hand)
{
    struct lb_format_stats st;
    float y[8];
    load_plugins();
    round_trip("{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\"}}", (const float[]){-1.27f, 0.01f, 0.014f, 0.0049f}, 4, y,
               &st); /* scale 0.01 */
    cr_expect(fabsf(y[0] + 1.27f) < 1e-7f && fabsf(y[1] - 0.01f) < 1e-7f && fabsf(y[2] - 0.01f) < 1e-7f && y[3] == 0);
    cr_expect(st.zeroed == 1 && st.clipped == 0 && st.weights == 4 && st.bytes == 8 && st.nan_codes == 0 && st.inf_codes == 0);

    round_trip("{\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\"}}", (const float[]){0, -0.0f, 0, 0}, 4, y, &st); /* all zero: scale 0 */
    cr_expect(y[0] == 0 && y[1] == 0 && y[2] == 0 && st.zeroed == 0 && st.noise == 0 && st.signal == 0);

    round_trip("{\"codec\": \"F4\", \"scale\": {\"multiply\": 8}}",
               (const float[]){0.0625f, 0.03125f, 0.03126f, -0.875f, 0.8749f, 1, -0.03f}, 7, y, &st);
    static const float f4[] = {0.0625f, 0, 0.0625f, -0.75f, 0.75f, 0.75f, 0};
    for (size_t i = 0; i < 7; i++)
        cr_expect(y[i] == f4[i], "[%zu] %g", i, (double)y[i]);
    cr_expect(st.clipped == 2 && st.zeroed == 2, "7 = -0.875 * 8 is halfway to 8, which would be even: %zu clipped", st.clipped);
    cr_expect_eq(st.bytes, 4);

    round_trip("{\"codec\": \"U8\", \"scale\": {\"multiply\": 100, \"add\": 1}, \"overflow\": \"wrap\"}",
               (const float[]){-1.5f, 0.5f, 1.5549f, 1.56f, -1}, 5, y, &st);
    static const float u8[] = {1.06f, 0.5f, 1.55f, -1, -1}; /* -50 is 206, 256 is 0 */
    for (size_t i = 0; i < 5; i++)
        cr_expect(fabsf(y[i] - u8[i]) < 1e-6f, "[%zu] %g", i, (double)y[i]);
    cr_expect(st.clipped == 2, "%zu", st.clipped);

    round_trip("LOOM_F4", (const float[]){0.1f, 0.13f, 3.5f, 4, -5, NAN}, 6, y, &st);
    cr_expect(y[0] == 0 && y[1] == 0.75f && y[2] == 3 && isnan(y[3]) && isnan(y[4]) && isnan(y[5]) && st.nan_codes == 3 &&
              st.inf_codes == 0 && st.zeroed == 1);
    round_trip("{\"codec\": {\"name\": \"LOOM_F4\", \"encoder\": \"b\"}, \"scale\": {\"multiply\": 8}}",
               (const float[]){0.1f, 0.06f, 0.5f, 0.76f, -0.5f}, 5, y, &st);
    cr_expect(y[0] == 0.09375f && y[1] == 0.09375f && isinf(y[2]) && isnan(y[3]) && y[4] == -INFINITY && st.nan_codes == 1 &&
                  st.inf_codes == 2,
              "%g %g %g %g %g", (double)y[0], (double)y[1], (double)y[2], (double)y[3], (double)y[4]);
    drop_all();
}

/* Counts add up over tensors; two tensors of one file keep their own scales. */
Test(format, several_tensors)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    const float a[] = {6, -3, 1}, b[] = {0.06f, 0.0001f};
    float y[3];
    load_plugins();
    struct lb_format *f = open_format("{\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\"}}");
    cr_assert(!lb_format_encode(f, "a", a, 1, (const size_t[]){3}, 1, 1, &st, &stats, &err) &&
                  !lb_format_encode(f, "b", b, 1, (const size_t[]){2}, 1, 2, &st, &stats, &err),
              "%s", err.text);
    cr_expect(stats.weights == 5 && stats.zeroed == 1 && stats.bytes == 2 + 4 + 1 + 4);
    cr_assert_eq(lb_format_decode(&st, "a", y, 3, &err), 0, "%s", err.text);
    cr_expect(y[0] == 6 && y[1] == -3 && y[2] == 1);
    cr_assert_eq(lb_format_decode(&st, "b", y, 2, &err), 0, "%s", err.text);
    cr_expect(fabsf(y[0] - 0.06f) < 1e-8f && y[1] == 0);
    lb_safetensors_finish(&st);
    close_format(f);
    drop_all();
}

/* Random rounding depends on seed and stream, and on nothing else. */
Test(format, stochastic)
{
    enum { N = 200 };
    float x[N], y[4][N];
    struct lb_err err = {0};
    load_plugins();
    make_weights(x, N, 0);
    struct lb_format *f = open_format("{\"codec\": \"I8\", \"scale\": {\"multiply\": 10}, \"rounding\": \"stochastic\"}");
    for (uint32_t i = 0; i < 4; i++) {
        struct lb_safetensors st = {0};
        struct lb_format_stats stats = {0};
        cr_assert(!lb_format_encode(f, "w", x, 1, (const size_t[]){N}, i == 2 ? 8 : 7, i == 3 ? 2 : 1, &st, &stats, &err) &&
                      !lb_format_decode(&st, "w", y[i], N, &err),
                  "%s", err.text);
        lb_safetensors_finish(&st);
    }
    cr_expect_arr_eq(y[0], y[1], sizeof y[0]);
    cr_expect_arr_neq(y[0], y[2], sizeof y[0], "another seed");
    cr_expect_arr_neq(y[0], y[3], sizeof y[0], "another stream");
    close_format(f);
    drop_all();
}
