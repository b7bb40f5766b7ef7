/* SPDX-License-Identifier: MIT */
/* Encoding many numbers at a time gives the codes of encoding them one by one: lb_encode_f32 beside lb_encode_f32_derived, and lb_format_codes, piece by piece,
 * beside docs/arithmetic.md 8.1 and 8.10 for each element, on every instruction set of this machine. */
#include "test/unit/codec_list.h"
#include "test/unit/nn_util.h"

#include "core/format/lanes.h"
#include "core/format/scale.h"
#include "core/run/config.h"
#include "kernels/canon.h"

enum { SEED = 77, STREAM = 5 };

static const unsigned sets[] = {0, LB_CPU_AVX2, LB_CPU_AVX2 | LB_CPU_AVX512};

struct opened {
    struct lb_format_config config;
    struct lb_format *f;
};

static void open_format(const char *text, struct opened *o)
{
    struct lb_err err = {0};
    *o = (struct opened){0};
    cr_assert(!lb_config_format(text, NULL, &o->config, &err) && !lb_format_create(&o->config, &o->f, &err), "%s: %s", text, err.text);
}

static void close_format(struct opened *o)
{
    lb_format_destroy(o->f);
    lb_config_format_finish(&o->config);
}

/* ---- Single codecs ---- */

/* Beside those of codec_list.h. */
static const char *const more_codecs[] = {"F32", "{\"name\": \"FLOAT\", \"e\": 2, \"m\": 5}", "{\"name\": \"FLOAT\", \"e\": 1, \"m\": 6}",
                                          "{\"name\": \"FLOAT\", \"e\": 7, \"m\": 0, \"nan\": \"none\"}"};

static float drawn(uint64_t i, uint32_t stream)
{
    const canon_words w = canon_random64(SEED, stream, i);
    switch (w.w[0] % 8) {
    case 0: /* any bits */
        return canon_float(w.w[1]);
    case 1: { /* what is special */
        static const uint32_t special[] = {0,          0x80000000u, 1,          0x80000001u, 0x7f800000u, 0xff800000u, 0x7fc00000u,
                                           0xffc00001, 0x007fffffu, 0x00800000, 0x7f7fffffu, 0xff7fffffu, 0x7f800001u, 0x3f800000};
        return canon_float(special[w.w[1] % COUNT(special)]);
    }
    default: /* about as large as what codecs hold */
        return (float)CANON_INT(w.w[1]) * canon_pow2(w.w[2] % 24 - 44u);
    }
}

/* Beside every value and every boundary of the codec, and drawn ones between. */
static size_t numbers_for(const struct lb_coder *c, float *x, size_t most)
{
    int32_t *first = NULL;
    uint32_t *code = NULL;
    size_t n = 0, k = 0;
    struct lb_err err = {0};
    if (lb_coder_codec(c)->bits <= 8)
        cr_assert_eq(lb_coder_intervals(c, NULL, &n, &first, &code, &err), 0, "%s", err.text);
    for (size_t i = 0; i < n && k + 12 < most; i++)
        for (int d = -2; d <= 2; d++) {
            const int32_t key = first[i] == INT32_MIN ? 0 : first[i] + d;
            x[k++] = canon_float((uint32_t)(key < 0 ? INT32_MIN - key - 1 : key));
        }
    for (size_t i = 0; lb_coder_codec(c)->bits <= 8 && i < (size_t)1 << lb_coder_codec(c)->bits && k + 12 < most; i++)
        for (int d = -1; d <= 1; d++)
            x[k++] = canon_float(canon_bits(lb_coder_values32(c)[i]) + (uint32_t)d);
    while (k < most) {
        x[k] = drawn(k, 1);
        k++;
    }
    lb_free(first);
    lb_free(code);
    return k;
}

static void check_codec(const char *text, const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n)
{
    static unsigned char fast[8 * 4096 + 1], plain[8 * 4096 + 1];
    size_t bytes;
    cr_assert_eq(lb_coder_bytes(c, n, &bytes), 0);
    memset(fast, 0xa5, bytes + 1);
    memset(plain, 0xa5, bytes + 1);
    lb_encode_f32(c, how, x, n, fast);
    lb_encode_f32_derived(c, how, x, n, plain);
    cr_assert(fast[bytes] == 0xa5, "%s: writes behind its end", text);
    for (size_t i = 0; i < n && memcmp(fast, plain, bytes) != 0; i++) {
        const uint64_t a = lb_code_get(fast, lb_coder_codec(c)->bits, i), b = lb_code_get(plain, lb_coder_codec(c)->bits, i);
        cr_assert(a == b, "%s, rounding %u, %zu numbers from %llu on: number %zu, %a, is 0x%llx, expected 0x%llx", text, how->rounding, n,
                  (unsigned long long)how->first, i, (double)x[i], (unsigned long long)a, (unsigned long long)b);
    }
    cr_assert(!memcmp(fast, plain, bytes), "%s: %zu numbers: the bits behind the last code", text, n);
}

Test(quick, codecs)
{
    enum { MOST = 4096 };
    static float x[MOST];
    load_plugins();
    for (size_t k = 0; k < COUNT(narrow_codecs) + COUNT(more_codecs); k++) {
        const char *codec = k < COUNT(narrow_codecs) ? narrow_codecs[k] : more_codecs[k - COUNT(narrow_codecs)];
        char text[200];
        struct opened o;
        snprintf(text, sizeof text, *codec == '{' ? "{\"codec\": %s}" : "{\"codec\": \"%s\"}", codec);
        open_format(text, &o);
        const size_t many = numbers_for(o.f->coder, x, MOST);
        for (size_t set = 0; set < COUNT(sets); set++) {
            lb_lanes_limit(sets[set]);
            for (uint32_t rounding = LB_NEAREST; rounding <= LB_STOCHASTIC; rounding++) {
                const struct lb_encode how = {.rounding = rounding, .overflow = -1, .seed = SEED, .stream = STREAM};
                struct lb_encode late = how;
                struct lb_err err = {0};
                if (lb_coder_check(o.f->coder, &how, &err))
                    continue;
                check_codec(codec, o.f->coder, &how, x, many);
                late.first = UINT64_C(0xffffffc01); /* the counter's lower word overflows */
                check_codec(codec, o.f->coder, &late, x, many);
                for (size_t n = 0; n < 80; n++) {
                    struct lb_encode from = how;
                    from.first = n * n + (n % 3 ? 0 : UINT64_C(0xffffffffe));
                    check_codec(codec, o.f->coder, &from, x + 41 * n % (many - 80), n);
                }
            }
        }
        close_format(&o);
    }
    lb_lanes_limit(~0u);
    drop_all();
}

/* Where the random word decides: beside the share of each of a few members' steps. */
Test(quick, shares)
{
    static const char *const few[] = {"F4", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F6_E2M3"};
    enum { MOST = 4096 };
    static float x[MOST];
    load_plugins();
    for (size_t k = 0; k < COUNT(few); k++) {
        char text[100];
        struct opened o;
        size_t n;
        const double *values;
        const uint32_t *codes;
        snprintf(text, sizeof text, "{\"codec\": \"%s\"}", few[k]);
        open_format(text, &o);
        lb_coder_members(o.f->coder, &n, &values, &codes);
        for (size_t i = 0; i < MOST; i++) {
            const canon_words w = canon_random64(SEED, STREAM, i / 4), pick = canon_random64(SEED, 3, i);
            const size_t m = i % 2 ? pick.w[0] % (n - 1) : (n / 2 + pick.w[0] % 6 - 3) % (n - 1);
            const double lo = values[m], step = values[m + 1] - lo;
            const float t = (float)(lo + step * (double)(w.w[i % 4] >> 8) * 0x1p-24);
            x[i] = canon_float(canon_bits(t) + pick.w[1] % 3 - 1);
        }
        for (size_t set = 0; set < COUNT(sets); set++) {
            const struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = SEED, .stream = STREAM};
            lb_lanes_limit(sets[set]);
            check_codec(few[k], o.f->coder, &how, x, MOST);
        }
        close_format(&o);
    }
    lb_lanes_limit(~0u);
    drop_all();
}

/* ---- Formats ---- */

static const char *const formats[] = {
    "MXFP4",
    "NVFP4",
    "MXFP8_E4M3",
    "MXFP6_E2M3",
    "INT4_G32",
    "INT8_CHANNEL",
    "INT8",
    "NF4",
    "NF4_DOUBLE",
    "UINT4_ASYM_G32",
    "U8_X100",
    "MXINT8",
    "F4",
    "Q4_0",
    "INT32",
    "INT4_G32_MSE",
    "F16_ABSMAX",
    "{\"codec\": \"F8_E4M3\", \"rounding\": \"stochastic\", \"scale\": {\"per\": \"block\", \"block\": 32, \"format\": \"F16\"}}",
    "{\"codec\": \"I4\", \"rounding\": \"stochastic\", \"scale\": {\"per\": \"block\", \"block\": 5}}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 7, \"rule\": \"ceil\", \"format\": \"F8_E8M0\"}}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 16, \"rule\": \"even\", \"format\": \"F8_E8M0\"}}",
    "{\"codec\": \"F8_E5M2\", \"scale\": {\"per\": \"block\", \"block\": 64, \"rule\": \"rceil\", \"format\": \"F8_E8M0\"}}",
    "{\"codec\": \"I8\", \"scale\": {\"per\": \"block\", \"block\": 6000}}",
    "{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.3}}",
    "{\"codec\": \"F6_E3M2\", \"scale\": {\"per\": \"channel\", \"rule\": \"floor\", \"format\": {\"codec\": \"F8_E4M3\", \"scale\": "
    "{\"per\": "
    "\"tensor\"}}}}"};

static const size_t shapes[][2] = {{1, 1}, {3, 31}, {2, 33}, {9, 64}, {17, 96}, {1, 5000}, {3, 8197}, {130, 160}, {0, 5}, {700, 7}};

/* R of a rule that looks at the largest magnitude, one number after the other. */
static float literal_scale(const struct lb_format *f, const float *x, size_t n)
{
    const int rule = f->config->rule;
    float amax = 0;
    int finite = 1;
    for (size_t i = 0; i < n; i++) {
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        finite &= isfinite(x[i]) != 0;
    }
    if (rule == LB_SCALE_FIXED)
        return (float)f->config->value;
    if (rule == LB_SCALE_ABSMAX)
        return amax / (float)f->high;
    const int fraction = rule == LB_SCALE_EVEN ? lb_scale_fraction(f) : 0;
    return finite ? lb_scale_power((uint32_t)rule, amax, (float)f->high, lb_scale_emax(f), fraction) : NAN;
}

/* Scales that are stored by themselves. */
static void check_scales(const char *what, const struct lb_format *f, const struct lb_groups *g, const float *x, const struct lb_scales *s)
{
    const int rule = f->config->rule;
    if (!f->scale || f->scale->config->rule != LB_SCALE_NONE || rule == LB_SCALE_MSE || rule == LB_SCALE_ASYMMETRIC)
        return;
    size_t lost = 0;
    for (size_t i = 0; i < g->n && g->rows; i++) {
        const size_t row = g->per_row ? i / g->per_row : 0, col = g->per_row ? i % g->per_row * g->block : 0;
        const size_t n = !g->per_row ? g->rows * g->cols : g->cols - col < g->block ? g->cols - col : g->block;
        const float r = literal_scale(f, x + row * g->cols + col, n);
        float worth;
        unsigned char code[8] = {0};
        const struct lb_encode how = {.rounding = f->scale->config->rounding, .overflow = f->scale->config->overflow};
        lb_encode_f32_derived(f->scale->coder, &how, &r, 1, code);
        lb_decode_f32_derived(f->scale->coder, code, 1, &worth);
        const uint64_t expected = lb_code_get(code, f->scale->codec->bits, 0), found = lb_code_get(s->codes, f->scale->codec->bits, i);
        cr_assert(found == expected && canon_bits(s->s[i]) == canon_bits(worth), "%s: scale %zu of %a: code 0x%llx, expected 0x%llx", what,
                  i, (double)r, (unsigned long long)found, (unsigned long long)expected);
        lost += r > 0 && isfinite(r) && !(worth > 0 && isfinite(worth));
    }
    cr_assert_eq(s->lost, lost, "%s: %zu scales lost, expected %zu", what, s->lost, lost);
}

static void check_format(const char *what, const struct lb_format *f, const size_t *shape, const float *x)
{
    struct lb_groups g;
    struct lb_err err = {0};
    struct lb_tensor t = {0};
    struct lb_scales s;
    const unsigned bits = f->codec->bits, unit = f->codec->unit_elems;
    const struct lb_encode how = {.rounding = f->config->rounding, .overflow = f->config->overflow, .seed = SEED, .stream = STREAM};
    cr_assert(!lb_groups_of(f, 2, shape, &g, &err) && !lb_format_tensor(f, 2, shape, &t, &err), "%s: %s", what, err.text);
    const size_t pad = !bits ? unit : f->config->per == LB_PER_BLOCK && g.block ? g.block : 1, row = (g.cols + pad - 1) / pad * pad;
    cr_assert_eq(lb_format_codes(f, &g, row, x, &how, t.data, &s, &err), 0, "%s: %s", what, err.text);
    check_scales(what, f, &g, x, &s);
    for (size_t i = 0; bits && i < g.rows; i++)
        for (size_t k = 0; k < row; k++) {
            const size_t e = i * g.cols + k, n = g.per_row ? i * g.per_row + k / g.block : 0;
            struct lb_encode one = how;
            one.first = e;
            uint64_t expected = 0;
            if (k < g.cols) {
                unsigned char code[8] = {0};
                const float in = lb_scale_into(f, x[e], s.s ? s.s[n] : 1, s.zeros ? s.zeros[n] : 0);
                lb_encode_f32_derived(f->coder, &one, &in, 1, code);
                expected = lb_code_get(code, bits, 0);
            }
            const uint64_t found = lb_code_get(t.data, bits, i * row + k);
            cr_assert(found == expected, "%s: (%zu, %zu), element %zu, %zu: %a is 0x%llx, expected 0x%llx", what, shape[0], shape[1], i, k,
                      k < g.cols ? (double)x[e] : 0.0, (unsigned long long)found, (unsigned long long)expected);
        }
    for (size_t i = 0; !bits && i < g.rows; i++)
        for (size_t k = 0; k < g.cols; k += unit) {
            unsigned char code[LB_BLOCK_BYTES_MAX];
            float in[LB_BLOCK_MAX] = {0};
            memcpy(in, x + i * g.cols + k, (g.cols - k < unit ? g.cols - k : unit) * sizeof *in);
            lb_encode_f32_derived(f->coder, &how, in, unit, code);
            cr_assert(!memcmp(code, t.data + (i * row + k) / unit * f->codec->unit_bytes, f->codec->unit_bytes), "%s: row %zu, unit at %zu",
                      what, i, k);
        }
    lb_scales_finish(&s);
    lb_tensor_finish(&t);
}

Test(quick, formats)
{
    enum { MOST = 3 * 8197 };
    static float x[3][MOST];
    load_plugins();
    for (size_t i = 0; i < MOST; i++) {
        const canon_words w = canon_random64(SEED, 2, i);
        x[0][i] = drawn(i, 4);
        x[1][i] = i / 37 % 5 ? (float)CANON_INT(w.w[0]) * canon_pow2((uint32_t)(i / 160 % 7) - 36u) : i % 2 ? -0.0f : 0.0f;
        x[2][i] = canon_float(w.w[1] & (i / 160 % 2 ? 0x80ffffffu : 0x8000ffffu)); /* about the smallest there are */
    }
    for (size_t k = 0; k < COUNT(formats); k++) {
        struct opened o;
        open_format(formats[k], &o);
        for (size_t set = 0; set < COUNT(sets); set++)
            for (size_t i = 0; i < COUNT(shapes); i++) {
                lb_lanes_limit(sets[set]);
                for (size_t way = 0; way < COUNT(x); way++)
                    check_format(formats[k], o.f, shapes[i], x[way]);
            }
        close_format(&o);
    }
    lb_lanes_limit(~0u);
    drop_all();
}

/* Nothing that is stored depends on whether it is counted. */
Test(quick, uncounted)
{
    enum { ROWS = 3, COLS = 65 };
    static float x[ROWS * COLS];
    const size_t shape[2] = {ROWS, COLS};
    load_plugins();
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = drawn(i, 6);
    for (size_t k = 0; k < COUNT(formats); k++) {
        struct opened o;
        struct lb_err err = {0};
        struct lb_safetensors st[2] = {{.n = 0}, {.n = 0}};
        struct lb_format_stats stats = {0};
        open_format(formats[k], &o);
        for (size_t i = 0; i < 2; i++)
            cr_assert_eq(lb_format_encode(o.f, "w", x, 2, shape, SEED, STREAM, &st[i], i ? &stats : NULL, &err), 0, "%s", err.text);
        cr_assert(st[0].n == st[1].n && stats.weights == ROWS * COLS, "%s", formats[k]);
        size_t bytes = 0;
        for (size_t i = 0; i < st[0].n; i++) {
            const struct lb_tensor *a = &st[0].items[i].t, *b = &st[1].items[i].t;
            cr_assert(a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes), "%s: tensor %zu", formats[k], i);
            bytes += a->bytes;
        }
        cr_assert_eq(stats.bytes, bytes, "%s: %zu bytes, expected %zu", formats[k], stats.bytes, bytes);
        lb_safetensors_finish(&st[0]);
        lb_safetensors_finish(&st[1]);
        close_format(&o);
    }
    drop_all();
}
