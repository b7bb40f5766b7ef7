/* SPDX-License-Identifier: MIT */
/* GGUF's block codecs against test/data/gguf/ (the reference implementation's bytes and values), the errors of our own encoders against the plain
 * choice of scales, what is not finite, and what the host makes of block codecs: sizes, refusals, laws. */
#include "test/unit/nn_util.h"

#include "core/base/io.h"
#include "core/format/coder.h"
#include "core/format/laws.h"
#include "kernels/canon.h"

#include <inttypes.h>
#include <signal.h>

enum { LARGEST = 256, MOST_BYTES = 256 };

/* d (and where there is one a minimum's) as byte offsets, -1: none. pieces: elements that share a scale. */
static const struct gguf {
    const char *name;
    unsigned elems, bytes;
    int scale, min;
    int low, high, scale_top; /* of the K formats: codes, and the largest integer of a scale */
    unsigned piece;
} formats[] = {{"Q4_0", 32, 18, 0, -1, 0, 0, 0, 0},        {"Q4_1", 32, 20, 0, 2, 0, 0, 0, 0},
               {"Q5_0", 32, 22, 0, -1, 0, 0, 0, 0},        {"Q5_1", 32, 24, 0, 2, 0, 0, 0, 0},
               {"Q8_0", 32, 34, 0, -1, 0, 0, 0, 0},        {"Q2_K", 256, 84, 80, 82, 0, 3, 15, 16},
               {"Q3_K", 256, 110, 108, -1, -4, 3, 31, 16}, {"Q4_K", 256, 144, 0, 2, 0, 15, 63, 32},
               {"Q5_K", 256, 176, 0, 2, 0, 31, 63, 32},    {"Q6_K", 256, 210, 208, -1, -32, 31, 127, 16},
               {"IQ4_NL", 32, 18, 0, -1, 0, 0, 0, 0},      {"TQ1_0", 256, 54, 52, -1, 0, 0, 0, 0},
               {"TQ2_0", 256, 66, 64, -1, 0, 0, 0, 0},     {"GGUF_MXFP4", 32, 17, -1, -1, 0, 0, 0, 0},
               {"GGUF_NVFP4", 64, 36, -1, -1, 0, 0, 0, 0}};

struct opened {
    struct lb_codec *codec;
    struct lb_coder *coder;
};

static struct opened open_coder(const char *name)
{
    struct lb_err err = {0};
    struct opened o;
    const struct lb_entry *entry;
    cr_assert(!lb_plugins_codec(name, NULL, 0, &o.codec, &entry, &err) && !lb_coder_create(o.codec, &o.coder, &err), "%s", err.text);
    return o;
}

static void close_coder(struct opened *o)
{
    lb_coder_destroy(o->coder);
    lb_plugins_codec_free(o->codec);
}

/* ---- The reference's bytes and values --------------------------------------------------------------------------------------------- */

static size_t from_hex(const char *hex, size_t n, unsigned char *out)
{
    for (size_t i = 0; i < n / 2; i++) {
        unsigned byte;
        cr_assert(sscanf(hex + 2 * i, "%2x", &byte) == 1, "not hexadecimal: %.8s", hex + 2 * i);
        out[i] = (unsigned char)byte;
    }
    return n / 2;
}

static void check_row(const struct gguf *g, const struct lb_coder *c, int encodes, const unsigned char *bytes, const float *values, int row)
{
    float narrow[LARGEST];
    double wide[LARGEST];
    unsigned char codes[MOST_BYTES];
    lb_decode_f32(c, bytes, g->elems, narrow);
    lb_decode_f64(c, bytes, g->elems, wide);
    for (unsigned i = 0; !encodes && i < g->elems; i++)
        cr_expect(canon_bits(narrow[i]) == canon_bits(values[i]) && canon_bits(canon_nan((float)wide[i])) == canon_bits(values[i]),
                  "%s, row %d, element %u: expected %a, got %a and %a", g->name, row, i, (double)values[i], (double)narrow[i], wide[i]);
    if (!encodes)
        return;
    lb_encode_f32(c, NULL, values, g->elems, codes);
    cr_expect_arr_eq(codes, bytes, g->bytes, "%s, row %d: encoded", g->name, row);
    for (unsigned i = 0; i < g->elems; i++)
        wide[i] = (double)values[i];
    lb_encode_f64(c, NULL, wide, g->elems, codes);
    cr_expect_arr_eq(codes, bytes, g->bytes, "%s, row %d: encoded from binary64", g->name, row);
}

static void check_file(const struct gguf *g, const struct lb_coder *c)
{
    static char line[4 * MOST_BYTES + 16 * LARGEST];
    char path[100];
    snprintf(path, sizeof path, "test/data/gguf/%s.csv", g->name);
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s cannot be read", path);
    int rows = 0;
    cr_assert(fgets(line, sizeof line, f) && !strcmp(line, "kind,bytes,values\n"), "%s", path);
    while (fgets(line, sizeof line, f)) {
        unsigned char bytes[MOST_BYTES];
        float values[LARGEST];
        const char *hex = strchr(line, ',') + 1, *more = strchr(hex, ',') + 1;
        cr_assert(from_hex(hex, (size_t)(more - 1 - hex), bytes) == g->bytes, "%s", path);
        cr_assert(from_hex(more, strcspn(more, "\n"), (unsigned char *)values) == 4 * (size_t)g->elems, "%s", path);
        check_row(g, c, !strncmp(line, "encode,", 7), bytes, values, ++rows);
    }
    fclose(f);
    cr_expect(rows >= 4, "%s has %d rows", path, rows);
}

Test(codec_gguf, vectors)
{
    load_plugins();
    for (size_t k = 0; k < COUNT(formats); k++) {
        struct opened o = open_coder(formats[k].name);
        cr_expect(o.codec->unit_elems == formats[k].elems && o.codec->unit_bytes == formats[k].bytes && !o.codec->bits);
        check_file(&formats[k], o.coder);
        close_coder(&o);
    }
    drop_all();
}

/* ---- Half precision --------------------------------------------------------------------------------------------------------------- */

/* Q4_0's d is -1/8 of the largest element: all of half precision and what lies between, against the codec F16. */
Test(codec_gguf, half_precision)
{
    load_plugins();
    struct opened q = open_coder("Q4_0"), half = open_coder("F16");
    for (uint32_t d = 0; d < 65536; d++) {
        unsigned char block[18] = {(unsigned char)d, (unsigned char)(d >> 8), 9}, want[2];
        float x[32], value;
        lb_decode_f32(half.coder, block, 1, &value);
        lb_decode_f32(q.coder, block, 32, x);
        cr_expect(canon_bits(x[0]) == canon_bits(value), "half 0x%04x: expected %a, got %a", d, (double)value, (double)x[0]);
        if (!isfinite(value))
            continue;
        for (int k = -2; k <= 2; k++) { /* the middle of this half and the next in magnitude, and its neighbours */
            const float next =
                (d & 0x7fff) == 0x7bff ? 65536 : canon_float((canon_bits(value) & 0x7fffffffu) + (fabsf(value) < 0x1p-14f ? 0 : 0x2000));
            const float middle = fabsf(value) < 0x1p-14f ? fabsf(value) + 0x1p-25f : (fabsf(value) + next) / 2;
            const float wanted = copysignf(canon_float(canon_bits(middle) + (uint32_t)k), value);
            memset(x, 0, sizeof x);
            x[7] = wanted * -8;
            lb_encode_f32(q.coder, NULL, x, 32, block);
            lb_encode_f32(half.coder, &(struct lb_encode){.overflow = LB_TO_INF}, &wanted, 1, want);
            cr_expect(block[0] == want[0] && block[1] == want[1], "%a: expected 0x%02x%02x, got 0x%02x%02x", (double)wanted, want[1],
                      want[0], block[1], block[0]);
        }
    }
    close_coder(&q);
    close_coder(&half);
    drop_all();
}

/* ---- Errors ----------------------------------------------------------------------------------------------------------------------- */

enum { SHAPES = 6 };

/* Numbers of several shapes: about normal, even, long-tailed, of one sign, sparse, two clusters. */
static void draw(int shape, uint32_t block, size_t n, float *x)
{
    for (uint32_t i = 0; i < n; i++) {
        const canon_words w = canon_random64(40 + block, (uint32_t)shape, i), v = canon_random64(41 + block, (uint32_t)shape, i);
        const float u = canon_unit(w.w[0]) - 0.5f, bell = u + canon_unit(w.w[1]) + canon_unit(w.w[2]) + canon_unit(w.w[3]) - 1.5f;
        const float rows[SHAPES] = {bell, u, bell * bell * bell, 1 + u, v.w[0] % 8 ? 0 : bell, (v.w[0] & 1 ? 2.0f : -1.0f) + 0.1f * bell};
        x[i] = 0.02f * rows[shape];
    }
}

static double squared(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

static float nearest(float t, int low, int high)
{
    const float r = rintf(t);
    return r < (float)low ? (float)low : r > (float)high ? (float)high : r;
}

static float half(const struct lb_coder *f16, float x)
{
    unsigned char code[2];
    float y;
    lb_encode_f32(f16, NULL, &x, 1, code);
    lb_decode_f32(f16, code, 1, &y);
    return y;
}

/* The plain choice: each piece's scale and minimum by its range, rounded to the integers that the block's largest gives; then codes to nearest. */
static void plain(const struct gguf *g, const struct lb_coder *f16, const float *x, float *y)
{
    float scale[16], min[16], most = 0, least = 0;
    const unsigned pieces = g->elems / g->piece;
    for (unsigned p = 0; p < pieces; p++) {
        float low = 0, high = 0;
        for (unsigned i = p * g->piece; i < (p + 1) * g->piece; i++) {
            low = fminf(low, x[i]);
            high = fmaxf(high, x[i]);
        }
        min[p] = g->min < 0 ? 0 : -low;
        scale[p] = g->min < 0 ? fmaxf(high, -low) / (float)g->high : (high - low) / (float)g->high;
        most = fmaxf(most, scale[p]);
        least = fmaxf(least, min[p]);
    }
    const float d = half(f16, most / (float)g->scale_top), dmin = half(f16, least / (float)g->scale_top);
    for (unsigned i = 0; i < g->elems; i++) {
        const unsigned p = i / g->piece;
        const float s = d > 0 ? d * nearest(scale[p] / d, 0, g->scale_top) : 0,
                    m = dmin > 0 ? dmin * nearest(min[p] / dmin, 0, g->scale_top) : 0;
        y[i] = (s > 0 ? s * nearest((x[i] + m) / s, g->low, g->high) : 0) - m;
    }
}

/* Block by block our error is not above the plain choice's, and in sum well below. */
Test(codec_gguf, k_errors)
{
    enum { BLOCKS = 40 };
    load_plugins();
    struct opened f16 = open_coder("F16");
    for (size_t k = 0; k < COUNT(formats); k++) {
        const struct gguf *g = &formats[k];
        if (!g->piece)
            continue;
        struct opened o = open_coder(g->name);
        for (int shape = 0; shape < SHAPES; shape++) {
            double ours = 0, theirs = 0;
            for (uint32_t b = 0; b < BLOCKS; b++) {
                float x[LARGEST], y[LARGEST], z[LARGEST];
                unsigned char codes[MOST_BYTES];
                draw(shape, b, g->elems, x);
                lb_encode_f32(o.coder, NULL, x, g->elems, codes);
                lb_decode_f32(o.coder, codes, g->elems, y);
                plain(g, f16.coder, x, z);
                const double a = squared(x, y, g->elems), p = squared(x, z, g->elems);
                ours += a;
                theirs += p;
                cr_expect(a <= p, "%s, shape %d, block %u: squared error %g, by the plain choice %g", g->name, shape, b, a, p);
            }
            cr_expect(ours < 0.97 * theirs, "%s, shape %d: squared error %g, by the plain choice %g", g->name, shape, ours, theirs);
        }
        close_coder(&o);
    }
    close_coder(&f16);
    drop_all();
}

/* 4-bit tables: no single scale of those the format has near amax / largest value does better by much; here against that one. */
Test(codec_gguf, table_errors)
{
    static const float e2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6},
                       nl[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    load_plugins();
    struct opened iq = open_coder("IQ4_NL"), nv = open_coder("GGUF_NVFP4");
    for (int shape = 0; shape < SHAPES; shape++) {
        double ours[2] = {0, 0}, theirs[2] = {0, 0};
        for (uint32_t b = 0; b < 100; b++) {
            float x[64], y[64], z[64];
            unsigned char codes[36];
            for (int t = 0; t < 2; t++) {
                const struct lb_coder *c = t ? nv.coder : iq.coder;
                const size_t n = t ? 64 : 32, piece = t ? 16 : 32;
                draw(shape, b, n, x);
                for (size_t i = 0; i < n; i++) {
                    float amax = 0, least = INFINITY;
                    x[i] *= 50;
                    for (size_t j = i / piece * piece; j < i / piece * piece + piece; j++)
                        amax = fmaxf(amax, fabsf(j <= i ? x[j] : 50 * x[j]));
                    for (size_t v = 0; v < (t ? COUNT(e2m1) : COUNT(nl)); v++) {
                        const float to = t ? copysignf(amax / 6 * e2m1[v], x[i]) : amax / 113 * nl[v];
                        if (fabsf(to - x[i]) < least) {
                            least = fabsf(to - x[i]);
                            z[i] = to;
                        }
                    }
                }
                lb_encode_f32(c, NULL, x, n, codes);
                lb_decode_f32(c, codes, n, y);
                ours[t] += squared(x, y, n);
                theirs[t] += squared(x, z, n);
            }
        }
        cr_expect(ours[0] < theirs[0] && ours[1] < 1.05 * theirs[1], "shape %d: IQ4_NL %g and %g, NVFP4 %g and %g", shape, ours[0],
                  theirs[0], ours[1], theirs[1]);
    }
    close_coder(&iq);
    close_coder(&nv);
    drop_all();
}

/* ---- What is not finite ----------------------------------------------------------------------------------------------------------- */

/* Half-precision scales: all of the block is NaN. MXFP4: all infinite. NVFP4: NaN is 0, an infinity the largest value, the others are untouched. */
static void check_not_finite(const struct gguf *g, const struct lb_coder *c, float special)
{
    float x[3 * LARGEST], y[3 * LARGEST], clean[3 * LARGEST];
    unsigned char codes[3 * MOST_BYTES], alone[MOST_BYTES];
    for (unsigned i = 0; i < 3 * g->elems; i++)
        x[i] = (float)(i % 7) - 3;
    lb_encode_f32(c, NULL, x, g->elems, alone);
    lb_decode_f32(c, alone, g->elems, clean);
    const unsigned at = g->elems + g->elems / 3;
    x[at] = special;
    lb_encode_f32(c, NULL, x, 3 * g->elems, codes);
    lb_decode_f32(c, codes, 3 * g->elems, y);
    cr_expect_arr_eq(codes, alone, g->bytes, "%s: the block before", g->name);
    for (unsigned i = g->elems; i < 2 * g->elems; i++) {
        if (g->scale >= 0)
            cr_expect(isnan(y[i]), "%s: element %u is %g", g->name, i, (double)y[i]);
        else if (g->elems == 32)
            cr_expect(isinf(y[i]) && (!signbit(y[i]) || x[i] < 0), "%s: element %u is %g", g->name, i, (double)y[i]);
        else if (i == at)
            cr_expect(y[i] == (isnan(special) ? 0 : copysignf(2688, special)), "%s: element %u is %g", g->name, i, (double)y[i]);
        else
            cr_expect(isfinite(y[i]) && (i / 16 == at / 16 || y[i] == x[i]), "%s: element %u is %g", g->name, i, (double)y[i]);
    }
    for (unsigned i = 2 * g->elems; i < 3 * g->elems; i++)
        cr_expect(isfinite(y[i]), "%s: element %u is %g", g->name, i, (double)y[i]);
}

Test(codec_gguf, not_finite)
{
    load_plugins();
    for (size_t k = 0; k < COUNT(formats); k++) {
        struct opened o = open_coder(formats[k].name);
        check_not_finite(&formats[k], o.coder, NAN);
        check_not_finite(&formats[k], o.coder, INFINITY);
        check_not_finite(&formats[k], o.coder, -INFINITY);
        close_coder(&o);
    }
    drop_all();
}

/* ---- The host's side -------------------------------------------------------------------------------------------------------------- */

Test(codec_gguf, host)
{
    load_plugins();
    char sha[COUNT(formats)][65];
    for (size_t k = 0; k < COUNT(formats); k++) {
        const struct gguf *g = &formats[k];
        struct opened o = open_coder(g->name);
        struct lb_err err = {0};
        size_t bytes = 0, n = 1;
        double low, high;
        const double *values;
        const uint32_t *codes;
        char again[65];
        cr_expect(!lb_coder_bytes(o.coder, 10 * g->elems, &bytes) && bytes == 10 * g->bytes && !lb_coder_bytes(o.coder, 0, &bytes) &&
                  !bytes);
        cr_expect(lb_coder_bytes(o.coder, g->elems + 1, &bytes) &&
                      lb_coder_bytes(o.coder, SIZE_MAX / g->elems * g->elems, &bytes) == (g->bytes > g->elems ? -1 : 0),
                  "%s", g->name);
        lb_coder_range(o.coder, &low, &high);
        cr_expect(isinf(low) && isinf(high) && low < high && !lb_coder_beyond(o.coder, 1e300) && !lb_coder_values(o.coder));
        lb_coder_members(o.coder, &n, &values, &codes);
        cr_expect(n == 0);
        for (uint32_t rounding = 0; rounding <= LB_STOCHASTIC; rounding++)
            for (int overflow = -1; overflow <= LB_WRAP; overflow++) {
                const struct lb_encode how = {.rounding = rounding, .overflow = overflow};
                const int fine = rounding == LB_NEAREST && (overflow < 0 || (uint32_t)overflow == o.codec->overflow);
                cr_expect(lb_coder_check(o.coder, &how, &err) == (fine ? 0 : -1), "%s: rounding %u, overflow %d", g->name, rounding,
                          overflow);
                err.set = 0;
            }
        cr_expect(!lb_coder_sha256(o.coder, sha[k], &err) && !lb_coder_sha256(o.coder, again, &err) && !strcmp(sha[k], again));
        for (size_t j = 0; j < k; j++)
            cr_expect_str_neq(sha[j], sha[k], "%s and %s", formats[j].name, g->name);
        close_coder(&o);
    }
    drop_all();
}

/* ---- Laws of block codecs --------------------------------------------------------------------------------------------------------- */

/* A sound block codec of 8 numbers in 9 bytes: a signed byte each, times a power of two. The faults are one each. */
enum fault { SOUND, GREEDY, ZERO, NEIGHBOUR, LONG, WIDE, TYPE, FAST_ENCODE, FAST_DECODE, RANDOM };
static enum fault fault;
static unsigned calls;

static void toy_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const signed char *unit = (const signed char *)codes + i / 8 * 9;
        x[i] = (double)ldexpf(unit[1 + i % 8], unit[0]) * (fault == WIDE ? 1 + 0x1p-40 : 1) + (fault == ZERO ? 0x1p-60 : 0);
    }
}

static void toy_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c;
    (void)how;
    calls++;
    for (size_t u = 0; u < n / 8; u++) {
        signed char *unit = (signed char *)codes + u * 9;
        float amax = 0;
        int e = -127;
        for (size_t i = 0; i < (fault == NEIGHBOUR && u + 1 < n / 8 ? 9 : 8); i++)
            if (isfinite((float)x[8 * u + i]))
                amax = fmaxf(amax, fabsf((float)x[8 * u + i]));
        while (e < 120 && ldexpf(127, e) < amax)
            e++;
        unit[0] = (signed char)e;
        for (size_t i = 0; i < 8; i++) {
            const double t = ldexp(x[8 * u + i], -e);
            unit[1 + i] = (signed char)(t > 127 ? 127 : t >= -127 ? rint(fault == GREEDY ? -t : t) : t < -127 ? -127 : 0);
        }
        unit[1] = (signed char)(unit[1] ^ (fault == RANDOM && calls % 5 == 0) ^
                                (fault == TYPE && x[8 * u] == floor(x[8 * u]) && how && n == 8 * 61 && calls % 2));
        if (fault == LONG)
            unit[9] = 0;
    }
}

static void toy_encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    for (size_t i = 0; i < n; i += 8) {
        double wide[8];
        for (size_t j = 0; j < 8; j++)
            wide[j] = (double)x[i + j];
        toy_encode(c, NULL, wide, 8, (char *)codes + i / 8 * 9);
    }
    if (fault == FAST_ENCODE)
        ((char *)codes)[3] ^= 1;
}

static void toy_decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const signed char *unit = (const signed char *)codes + i / 8 * 9;
        x[i] = ldexpf((float)unit[1 + i % 8], unit[0]);
    }
    if (fault == FAST_DECODE)
        x[n - 1] += 1;
}

static const struct lb_codec toy = {.base = {LB_ABI, LB_CODEC, sizeof toy, "TOY", "8 numbers in 9 bytes"},
                                    .unit_elems = 8,
                                    .unit_bytes = 9,
                                    .kind = LB_FLOAT,
                                    .encode = toy_encode,
                                    .decode = toy_decode,
                                    .encode_f32 = toy_encode_f32,
                                    .decode_f32 = toy_decode_f32};

Test(codec_gguf, laws_of_blocks)
{
    static const struct {
        enum fault fault;
        const char *law;
    } rows[] = {{SOUND, "TOY: 8 laws, 0 failed"},
                {GREEDY, "FAILED  TOY: what an ordinary unit"},
                {ZERO, "FAILED  TOY: zeros become"},
                {NEIGHBOUR, "FAILED  TOY: encoding: each unit"},
                {WIDE, "FAILED  TOY: any bytes"},
                {TYPE, "FAILED  TOY: binary32, binary64"},
                {FAST_ENCODE, "FAILED  TOY: the fast encoder"},
                {FAST_DECODE, "FAILED  TOY: the fast decoder"},
                {RANDOM, "FAILED  TOY: encoding: each unit"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *report;
        size_t size;
        struct lb_err err = {0};
        FILE *out = open_memstream(&report, &size);
        fault = rows[i].fault;
        calls = 0;
        const int r = lb_codec_laws(&toy, out, &err);
        fclose(out);
        cr_expect((r != 0) == (fault != SOUND) && strstr(report, rows[i].law), "fault %d: wanted \"%s\" in\n%s", fault, rows[i].law,
                  report);
        free(report);
    }
}

/* It writes behind its last unit, where there is a page that cannot be touched. */
Test(codec_gguf, a_unit_too_long_ends_the_process, .signal = SIGSEGV)
{
    char *report;
    size_t size;
    struct lb_err err = {0};
    FILE *out = open_memstream(&report, &size);
    fault = LONG;
    lb_codec_laws(&toy, out, &err);
}
