/* SPDX-License-Identifier: MIT */
/* # long */
/* The reference's kernels for formats, each against something simpler: products with packed weights against products with what those are worth, integer
 * products against sums in whole numbers and binary64, encoding against core/format, which makes files. */
#include "core/format/format.h"
#include "plugins/as_ref.h"
#include "test/unit/packed_util.h"

#include <math.h>

enum { CASES = 300 };

/* A copy as a device makes it; what it was made of is gone. */
static struct ref_packed copy_of(struct op_run *t, const struct lb_packed *w)
{
    const struct ref_packed p = as_ref_packed(w);
    struct ref_packed copy;
    const size_t bytes = ref_packed_bytes(&p);
    ref_packed_copy(&p, op_memory(t, (bytes + 3) / 4), &copy);
    op_assert(t, !w->scaled || copy.scales != w->scales, "%s", "not a copy");
    return copy;
}

static const struct ref_kernels *any_kernels(struct op_run *t)
{
    const int avx2 = (lb_cpu_features() & LB_CPU_AVX2) && ref_kernels_avx2.isa;
    return avx2 && op_draw(t, 0, 1) ? &ref_kernels_avx2 : &ref_kernels_c;
}

/* ---- Packed products ---- */

static void one_product(struct op_run *t)
{
    static const size_t ks[] = {1, 2, 31, 32, 33, 64, 70, 255, 256, 257, 300, 513};
    const size_t m = op_draw(t, 1, 5), n = op_draw(t, 1, 70), k = ks[op_draw(t, 0, 11)];
    char text[160];
    packed_load(t);
    const struct lb_ops_like like = packed_draw(t, n, k);
    lb_ops_packed_text(&like, text, sizeof text);
    op_name(t, "m=%zu n=%zu k=%zu %s", m, n, k, text);
    const struct lb_packed *w = packed_matrix(t, &like);
    const float *unpacked = packed_floats(t, w), *a = op_input(t, m * k, like.rarity), *bias = op_input(t, n, 0);
    const int act = (int)op_draw(t, 0, 4), with_bias = (int)op_draw(t, 0, 1);
    float *want = op_output(t, m * n), *got = op_output(t, m * n);
    ref_kernels_c.gemm(a, unpacked, with_bias ? bias : NULL, want, m, n, k, 0, 1, act, 1.1f);

    const struct ref_packed p = copy_of(t, w);
    const struct ref_rows rows = ref_packed_rows(&p, op_memory(t, REF_PANEL * ref_packed_room(&p)));
    any_kernels(t)->gemm_rows(a, &rows, with_bias ? bias : NULL, got, m, n, k, act, 1.1f);
    op_same(t, "c", want, got, m * n);
    float *row = op_output(t, k), *host = op_output(t, k);
    for (size_t i = 0; i < n; i++) {
        lb_packed_row(w, i, 0, k, host);
        for (size_t j = 0; j < k; j++)
            row[j] = unpacked[i * k + j];
        op_same(t, "what the host reads", row, host, k);
    }
    packed_end(t);
    lb_plugins_unload();
}

static struct ref_conv draw_conv(struct op_run *t)
{
    struct ref_conv s = {
        .n = op_draw(t, 1, 3), .c = op_draw(t, 1, 9), .h = op_draw(t, 3, 9), .w = op_draw(t, 3, 9), .o = op_draw(t, 1, 40)};
    s.kh = op_draw(t, 1, 3);
    s.kw = op_draw(t, 1, 3);
    s.stride = op_draw(t, 1, 3);
    s.pad = op_draw(t, 0, 2);
    s.oh = (s.h + 2 * s.pad - s.kh) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    return s;
}

static void one_convolution(struct op_run *t)
{
    const struct ref_conv s = draw_conv(t);
    const size_t k = s.c * s.kh * s.kw, in = s.n * s.c * s.h * s.w, out = s.n * s.o * s.oh * s.ow;
    char text[160];
    packed_load(t);
    const struct lb_ops_like like = packed_draw(t, s.o, k);
    lb_ops_packed_text(&like, text, sizeof text);
    op_name(t, "n=%zu c=%zu h=%zu w=%zu o=%zu kh=%zu kw=%zu stride=%zu pad=%zu %s", s.n, s.c, s.h, s.w, s.o, s.kh, s.kw, s.stride, s.pad,
            text);
    const struct lb_packed *w = packed_matrix(t, &like);
    const float *unpacked = packed_floats(t, w), *x = op_input(t, in, like.rarity), *bias = op_input(t, s.o, 0);
    float *want = op_output(t, out), *got = op_output(t, out);
    ref_kernels_c.conv2d(&s, x, unpacked, bias, want, REF_RELU, 0);
    const struct ref_packed p = copy_of(t, w);
    const struct ref_rows rows = ref_packed_rows(&p, op_memory(t, REF_PANEL * ref_packed_room(&p)));
    any_kernels(t)->conv2d_rows(&s, x, &rows, bias, got, REF_RELU, 0);
    op_same(t, "y", want, got, out);
    packed_end(t);
    lb_plugins_unload();
}

Test(packed_ref, gemm)
{
    op_cases("packed_ref/gemm", "c", CASES, one_product);
}

Test(packed_ref, conv2d)
{
    op_cases("packed_ref/conv2d", "c", CASES, one_convolution);
}

/* ---- Integer products ---- */

static const struct {
    const char *codec;
    int f;
    int zeros;
} integer_codecs[] = {{"I8", 0, LB_OPS_NO_ZEROS},      {"I4", 0, LB_OPS_NO_ZEROS},     {"I2", 0, LB_OPS_NO_ZEROS},
                      {"U4", 0, LB_OPS_WHOLE_ZEROS},   {"F4", 1, LB_OPS_NO_ZEROS},     {"U8", 0, LB_OPS_WHOLE_ZEROS},
                      {"F6_E2M3", 3, LB_OPS_NO_ZEROS}, {"TERNARY", 0, LB_OPS_NO_ZEROS}};

/* The scale of n activations, and theirs as whole numbers in binary64. */
static float integers_of(const float *x, size_t n, double *a)
{
    float amax = 0;
    for (size_t i = 0; i < n; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const float s = amax / 127.0f;
    for (size_t i = 0; i < n; i++) {
        const double q = s == 0 ? 0 : nearbyint((double)(x[i] / s)); /* a division rounded to binary32, then to a whole number */
        a[i] = q != q ? 0 : fmax(-127, fmin(127, q));
    }
    return s;
}

/* One output: terms are added up until a scale changes or 32768 are together. */
static float integer_sum(const struct lb_packed *w, const struct ref_packed *p, int f, size_t row, const double *a, const float *sa,
                         size_t block, const float *q, size_t k)
{
    float acc = 0;
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        const size_t g = w->scaled ? row * w->scale_row + i / w->block : 0;
        const double z = w->zeros ? (double)w->zeros[g] : 0;
        sum += a[i] * ((double)q[i] - z) * ldexp(1, f);
        const size_t next = i + 1;
        if (next < k && next % 32768 && (!block || next % block) && (!w->scaled || next % w->block))
            continue;
        const float sw = (w->scaled ? ref_packed_scale(p, g) : 1.0f) * (float)ldexp(1, -f);
        acc = fmaf((float)sum, block ? sa[i / block] * sw : sw, acc);
        sum = 0;
    }
    return canon_nan(block ? acc : acc * sa[0]);
}

/* Activations whose quotients by their scale lie between two whole numbers, so that the last bit of a division shows. */
static void make_halves(struct op_run *t, float *x, size_t n)
{
    const float s = (1.0f + canon_unit((uint32_t)op_draw(t, 0, UINT32_MAX))) / 127.0f;
    for (size_t i = 0; i < n; i++)
        x[i] = i % 16 == 0 ? 127.0f * s : ((float)(op_words(t, 0x301, i).w[0] % 254) - 126.5f) * s;
}

static void one_integer_product(struct op_run *t)
{
    static const size_t blocks[] = {0, 0, 16, 32, 33, 64, 1000}, ks[] = {1, 2, 31, 32, 33, 64, 100, 256, 300, 32768, 32769, 65600};
    const size_t far = op_draw(t, 0, 9) == 0, m = op_draw(t, 1, far ? 2 : 5), n = op_draw(t, 1, far ? 3 : 20);
    const size_t k = ks[far ? op_draw(t, 9, 11) : op_draw(t, 0, 8)], block = blocks[op_draw(t, 0, 6)];
    const size_t c = op_draw(t, 0, sizeof integer_codecs / sizeof *integer_codecs - 1);
    char text[160];
    packed_load(t);
    struct lb_ops_like like = packed_draw(t, n, k);
    like.codec = integer_codecs[c].codec;
    like.zeros = integer_codecs[c].zeros;
    lb_ops_packed_text(&like, text, sizeof text);
    op_name(t, "m=%zu n=%zu k=%zu block=%zu %s", m, n, k, block, text);
    const struct lb_packed *w = packed_matrix(t, &like);
    const struct ref_packed p = as_ref_packed(w);
    const int f = ref_int8_shift(w->q.values, (size_t)1 << w->q.codec->bits);
    op_assert(t, f == integer_codecs[c].f && ref_int8_zeros(&p, f), "f is %d", f);

    const size_t scales = block ? (k + block - 1) / block : 1;
    float *x = op_input(t, m * k, op_draw(t, 0, 1) ? 60 : 0);
    if (op_draw(t, 0, 2) == 0)
        make_halves(t, x, m * k);
    float *want = op_output(t, m * n), *got = op_output(t, m * n), *sa = op_output(t, scales), *q = op_output(t, k);
    double *a = malloc(k * sizeof *a);
    cr_assert_not_null(a);
    for (size_t i = 0; i < m; i++) {
        for (size_t b = 0; b < scales; b++)
            sa[b] = integers_of(x + i * k + b * block, block && k - b * block > block ? block : k - b * block, a + b * block);
        for (size_t j = 0; j < n; j++) {
            w->q.decode(&w->q, w->codes + j * w->row_bytes, 0, k, q);
            want[i * n + j] = integer_sum(w, &p, f, j, a, sa, block, q, k);
        }
    }
    free(a);
    const struct ref_int8 r = {.w = &p,
                               .f = f,
                               .a = (int8_t *)op_memory(t, (m * k + 3) / 4),
                               .sa = op_memory(t, m * scales),
                               .ints = (int16_t *)op_memory(t, (k + 1) / 2),
                               .q = op_memory(t, k)};
    ref_gemm_int8(&r, x, NULL, got, m, n, k, block, REF_LINEAR, 0);
    op_same(t, "c", want, got, m * n);
    packed_end(t);
    lb_plugins_unload();
}

Test(packed_ref, gemm_int8)
{
    op_cases("packed_ref/gemm_int8", "c", CASES, one_integer_product);
}

/* A convolution of images of one pixel is a product; of larger ones, products with the patches that are gathered here. */
static void one_integer_convolution(struct op_run *t)
{
    const struct ref_conv s = draw_conv(t);
    const size_t k = s.c * s.kh * s.kw, image = s.c * s.h * s.w, positions = s.oh * s.ow, out = s.n * s.o * positions;
    const size_t c = op_draw(t, 0, sizeof integer_codecs / sizeof *integer_codecs - 1);
    packed_load(t);
    struct lb_ops_like like = packed_draw(t, s.o, k);
    like.codec = integer_codecs[c].codec;
    like.zeros = integer_codecs[c].zeros;
    op_name(t, "%s k=%zu", like.codec, k);
    const struct lb_packed *w = packed_matrix(t, &like);
    const struct ref_packed p = as_ref_packed(w);
    const float *x = op_input(t, s.n * image, 0), *bias = op_input(t, s.o, 0);
    float *want = op_output(t, out), *got = op_output(t, out), *q = op_output(t, k);
    double *a = calloc(image + k, sizeof *a), *patch = a + image;
    cr_assert_not_null(a);
    for (size_t n = 0; n < s.n; n++) {
        const float sa = integers_of(x + n * image, image, a);
        for (size_t i = 0; i < s.o * positions; i++) {
            const size_t o = i / positions, oy = i % positions / s.ow, ox = i % s.ow;
            for (size_t j = 0; j < k; j++) {
                const long y = (long)(oy * s.stride + j / s.kw % s.kh) - (long)s.pad, at = (long)(ox * s.stride + j % s.kw) - (long)s.pad;
                const int inside = y >= 0 && y < (long)s.h && at >= 0 && at < (long)s.w;
                patch[j] = inside ? a[(j / (s.kh * s.kw) * s.h + (size_t)y) * s.w + (size_t)at] : 0;
            }
            w->q.decode(&w->q, w->codes + o * w->row_bytes, 0, k, q);
            want[n * s.o * positions + i] = canon_nan(integer_sum(w, &p, integer_codecs[c].f, o, patch, &sa, 0, q, k) + bias[o]);
        }
    }
    free(a);
    const struct ref_int8 r = {.w = &p,
                               .f = integer_codecs[c].f,
                               .a = (int8_t *)op_memory(t, (s.n * image + k + 3) / 4),
                               .sa = op_memory(t, s.n),
                               .ints = (int16_t *)op_memory(t, (k + 1) / 2),
                               .q = op_memory(t, k)};
    ref_conv2d_int8(&r, &s, x, bias, got, REF_LINEAR, 0);
    op_same(t, "y", want, got, out);
    packed_end(t);
    lb_plugins_unload();
}

Test(packed_ref, conv2d_int8)
{
    op_cases("packed_ref/conv2d_int8", "c", 60, one_integer_convolution);
}

Test(packed_ref, int8_shift)
{
    static const struct {
        float values[4];
        int f;
    } cases[] = {{{0, 1, -1, 127}, 0},         {{-128, 0, 1, 2}, 0},  {{0, 255, 1, 2}, 0},       {{0, 256, 0, 0}, -1},
                 {{-1, 128, 0, 0}, -1},        {{-129, 0, 0, 0}, -1}, {{0.5f, 6, -6, 0}, 1},     {{0.125f, 7.5f, -7.5f, 0}, 3},
                 {{0.0625f, 28, -28, 0}, -1},  {{NAN, 0, 1, 2}, -1},  {{0, INFINITY, 1, 0}, -1}, {{0.0078125f, 0, 0, 0.9921875f}, 7},
                 {{0.00390625f, 0, 0, 0}, -1}, {{0.3f, 0, 0, 1}, -1}, {{0, 0, 0, 0}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(ref_int8_shift(cases[i].values, 4), cases[i].f, "case %zu: %d", i, ref_int8_shift(cases[i].values, 4));
}

/* ---- Encoding ---- */

#define E4M3       ",\"format\":{\"codec\":\"F8_E4M3\"}"
#define ALL(codec) ",\"format\":{\"codec\":\"" codec "\",\"scale\":{\"per\":\"tensor\",\"rule\":\"absmax\"}}"
static const char *const encodings[] = {
    "\"codec\":\"F8_E4M3\"",
    "\"codec\":\"F8_E4M3\",\"overflow\":\"nan\"",
    "\"codec\":\"F8_E5M2\",\"overflow\":\"inf\",\"rounding\":\"stochastic\"",
    "\"codec\":\"BF16\",\"rounding\":\"stochastic\"",
    "\"codec\":\"I8\",\"scale\":{\"per\":\"tensor\",\"rule\":\"absmax\"}",
    "\"codec\":\"I8\",\"scale\":{\"per\":\"channel\",\"rule\":\"absmax\"},\"rounding\":\"half_away\"",
    "\"codec\":\"I8\",\"scale\":{\"per\":\"tensor\",\"rule\":\"fixed\",\"value\":0.0157},\"rounding\":\"stochastic\"",
    "\"codec\":\"I4\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"absmax\",\"format\":{\"codec\":\"F16\"}}",
    "\"codec\":\"U4\",\"scale\":{\"per\":\"block\",\"block\":7,\"rule\":\"absmax\",\"format\":{\"codec\":\"BF16\"}}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"floor\",\"format\":{\"codec\":\"F8_E8M0\"}}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"even\",\"format\":{\"codec\":\"F8_E8M0\"}}",
    "\"codec\":\"F6_E2M3\",\"scale\":{\"per\":\"block\",\"block\":16,\"rule\":\"even\"}",
    "\"codec\":\"F8_E5M2\",\"scale\":{\"per\":\"block\",\"block\":33,\"rule\":\"ceil\",\"format\":{\"codec\":\"F8_E8M0\"}}",
    "\"codec\":\"F8_E4M3\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"rceil\",\"format\":{\"codec\":\"F8_E8M0\"}}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"channel\",\"rule\":\"rceil\"}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":16,\"rule\":\"absmax\"" ALL("F8_E4M3") "}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":16,\"rule\":\"ceil\"" ALL("F8_E4M3") "}",
    "\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":16,\"rule\":\"absmax\"" E4M3 "}",
    "\"codec\":\"NF4\",\"scale\":{\"per\":\"block\",\"block\":64,\"rule\":\"absmax\"" ALL("I8") "}",
    "\"codec\":\"TERNARY\",\"scale\":{\"per\":\"channel\",\"rule\":\"even\"}",
    "\"codec\":\"LOOM_F4\",\"scale\":{\"per\":\"tensor\",\"rule\":\"fixed\",\"value\":2}",
    "\"codec\":{\"name\":\"POSIT\",\"n\":8,\"es\":2},\"scale\":{\"per\":\"block\",\"block\":1,\"rule\":\"absmax\"}",
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

/* Numbers of many sizes, some with few digits; now and then all of a matrix, or most of it, is zero or not finite. */
static float *draw_numbers(struct op_run *t, size_t n)
{
    float *x = op_input(t, n, op_draw(t, 0, 2) ? 40 : 0);
    const size_t way = op_draw(t, 0, 7);
    for (size_t i = 0; i < n; i++) {
        const canon_words r = op_words(t, 0x300, i);
        if (r.w[0] % 3 == 0)
            x[i] = canon_float(canon_bits(x[i]) & 0xfff80000u);
        if (way < 5)
            x[i] *= canon_float((127u - 8u + r.w[1] % 17) << 23);
        if (way == 6 && r.w[2] % 16)
            x[i] = 0;
        if (way == 7)
            x[i] *= 0x1p-140f;
    }
    return x;
}

static void one_encoding(struct op_run *t)
{
    struct lb_err err = {0};
    const char *text = encodings[t->index % ENCODINGS];
    const size_t shape[] = {op_draw(t, 1, 6), op_draw(t, 1, 150)}, rows = shape[0], cols = shape[1];
    const uint64_t seed = op_draw(t, 0, 1000);
    const uint32_t stream = (uint32_t)op_draw(t, 0, 1000);
    char json[300];
    snprintf(json, sizeof json, "{%s}", text);
    op_name(t, "%s rows=%zu cols=%zu", json, rows, cols);
    packed_load(t);
    float *x = draw_numbers(t, rows * cols), *want = op_output(t, rows * cols), *got = op_output(t, rows * cols);

    struct lb_format_config config;
    struct lb_format *f;
    struct lb_safetensors file = {0};
    struct lb_format_stats stats = {0};
    op_assert(t, !lb_config_format(json, NULL, &config, &err) && !lb_format_create(&config, &f, &err), "%s", err.text);
    op_assert(t, !lb_format_encode(f, "x", x, 2, shape, seed, stream, &file, &stats, &err), "%s", err.text);
    op_assert(t, !lb_format_decode(&file, "x", want, rows * cols, &err), "%s", err.text);

    struct lb_quantizer_tables *made;
    op_assert(t, !lb_quantizer_create(f, 0, &made, &err), "%s", err.text);
    const struct lb_quantizer *q = lb_quantizer_data(made);
    const struct ref_quantizer scale = q->scale ? as_ref_quantizer(q->scale, NULL) : (struct ref_quantizer){0};
    const struct ref_quantizer all = as_ref_quantizer(q, q->scale ? &scale : NULL);
    op_assert(t, !ref_quantizer_lacks(&all), "%s", ref_quantizer_lacks(&all));
    const size_t bytes = ref_quantizer_bytes(&all);
    void *memory = malloc(bytes);
    cr_assert_not_null(memory);
    const struct ref_quantizer *copy = ref_quantizer_copy(&all, memory);
    lb_quantizer_destroy(made);
    float *scales = op_memory(t, ref_quantizer_scales(copy, rows, cols));
    ref_quantize(copy, x, got, rows, cols, seed, stream, 0, scales);
    op_same(t, "y", want, got, rows * cols);
    ref_quantize(copy, x, x, rows, cols, seed, stream, 0, scales);
    op_same(t, "y in place", want, x, rows * cols);
    free(memory);
    lb_safetensors_finish(&file);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    lb_plugins_unload();
}

Test(packed_ref, quantize)
{
    op_cases("packed_ref/quantize", "c", 14 * ENCODINGS, one_encoding);
}

/* The tables that core/format makes are those that are found by asking for one code after the other. */
static void one_quantizer(struct op_run *t)
{
    static const struct {
        const char *codec, *rounding, *overflow;
        struct lb_encode how;
    } ways[] = {{"F4", "nearest", NULL, {.overflow = -1}},
                {"F8_E4M3", "nearest", "nan", {.overflow = LB_TO_NAN}},
                {"F8_E5M2", "toward_zero", "inf", {.rounding = LB_TOWARD_ZERO, .overflow = LB_TO_INF}},
                {"F8_E4M3", "half_away", "saturate", {.rounding = LB_HALF_AWAY, .overflow = LB_SATURATE}},
                {"F8_E5M2", "stochastic", "inf", {.rounding = LB_STOCHASTIC, .overflow = LB_TO_INF}},
                {"I8", "nearest", NULL, {.overflow = -1}},
                {"U8", "half_away", NULL, {.rounding = LB_HALF_AWAY, .overflow = -1}},
                {"NF4", "nearest", NULL, {.overflow = -1}},
                {"F16", "nearest", NULL, {.overflow = -1}},
                {"F8_E8M0", "nearest", NULL, {.overflow = -1}},
                {"LOOM_F4", NULL, NULL, {.overflow = -1}}};
    struct lb_err err = {0};
    const size_t i = t->index;
    char json[200];
    int at = snprintf(json, sizeof json, "{\"codec\":\"%s\"", ways[i].codec);
    if (ways[i].rounding)
        at += snprintf(json + at, sizeof json - (size_t)at, ",\"rounding\":\"%s\"", ways[i].rounding);
    if (ways[i].overflow)
        at += snprintf(json + at, sizeof json - (size_t)at, ",\"overflow\":\"%s\"", ways[i].overflow);
    snprintf(json + at, sizeof json - (size_t)at, "}");
    op_name(t, "%s", json);
    packed_load(t);
    struct lb_format_config config;
    struct lb_format *f;
    struct lb_quantizer_tables *made;
    op_assert(t, !lb_config_format(json, NULL, &config, &err) && !lb_format_create(&config, &f, &err), "%s", err.text);
    op_assert(t, !lb_quantizer_create(f, 0, &made, &err), "%s", err.text);
    const struct lb_ops_quantizer_like like = {.codec = ways[i].codec, .how = ways[i].how, .block = SIZE_MAX};
    const struct lb_quantizer *want = packed_quantizer(t, &like), *got = lb_quantizer_data(made);
    const struct ref_quantizer a = as_ref_quantizer(want, NULL), b = as_ref_quantizer(got, NULL);
    enum { N = 4096 };
    float *x = op_memory(t, N), *ya = op_output(t, N), *yb = op_output(t, N);
    for (size_t j = 0; j < N; j++) {
        const canon_words r = op_words(t, 7, j);
        x[j] = canon_float(r.w[0] % 4 ? r.w[1] & (0xffffffffu << r.w[2] % 24) : r.w[1]); /* any bits at all, many of them ties */
        if (r.w[3] % 2)
            x[j] = want->member[r.w[3] / 2 % want->n_members] * (r.w[0] % 2 ? 1.0f : 1.0f + 0x1p-20f * (float)(r.w[0] / 2 % 5));
    }
    ref_quantize(&a, x, ya, 1, N, 5, 6, 7, NULL);
    ref_quantize(&b, x, yb, 1, N, 5, 6, 7, NULL);
    op_same(t, "y", ya, yb, N);
    op_assert(t, want->nan_code == got->nan_code && want->top == got->top && want->emax == got->emax, "top %g, emax %d", (double)got->top,
              got->emax);
    lb_quantizer_destroy(made);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    packed_end(t);
    lb_plugins_unload();
}

Test(packed_ref, quantizers)
{
    op_cases("packed_ref/quantizers", "c", 11, one_quantizer);
}
