/* SPDX-License-Identifier: MIT */
/* Products with integer weights and int8 activations of backend `cpu`, through the ops, with each instruction set and one to three threads, against
 * docs/arithmetic.md 8.12 as it is written, bit for bit. */
#include "test/unit/packed_util.h"

#include <math.h>

enum { CASES = 200, CONV_CASES = 100 };

/* ---- The rule ---- */

/* Activations that share a scale become integers. */
static float quantize(const float *x, size_t n, int *a)
{
    float amax = 0;
    for (size_t i = 0; i < n; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const float s = amax / 127.0f;
    for (size_t i = 0; i < n; i++) {
        const double t = s == 0 ? 0 : rint((double)(x[i] / s)); /* the tests do not change the rounding mode */
        a[i] = t != t ? 0 : t > 127 ? 127 : t < -127 ? -127 : (int)t;
    }
    return s;
}

/* (q - z) 2^f of row i, and 2^f: f is the least that makes all values whole. */
static float integers(const struct lb_packed *w, size_t i, int *out)
{
    float two_f = 1, q;
    for (size_t c = 0; c < (size_t)1 << w->q.codec->bits;)
        if (w->q.values[c] * two_f == floorf(w->q.values[c] * two_f))
            c++;
        else
            two_f *= 2;
    for (size_t j = 0; j < w->cols; j++) {
        w->q.decode(&w->q, w->codes + i * w->row_bytes, j, 1, &q);
        out[j] = (int)((q - (w->zeros ? w->zeros[i * w->scale_row + j / w->block] : 0)) * two_f);
    }
    return two_f;
}

/* The sum of the products of row i of the weights (k) and of integers a, whose scales are sa[j / block], or with block == 0 sa[0]. */
static float sum(const struct lb_packed *w, const int *W, float two_f, size_t i, const int *a, const float *sa, size_t block)
{
    float acc = 0;
    int64_t whole = 0;
    for (size_t j = 0; j < w->cols; j++) {
        whole += (int64_t)a[j] * W[j];
        const size_t next = j + 1;
        if (next < w->cols && next % 32768 && !(block && next % block == 0) && !(w->scaled && next % w->block == 0))
            continue;
        float s = (w->scaled ? lb_packed_scale(w, i * w->scale_row + j / w->block) : 1.0f) * (1.0f / two_f);
        if (block)
            s = sa[j / block] * s;
        acc = canon_fma((float)whole, s, acc);
        whole = 0;
    }
    return block ? acc : acc * sa[0];
}

/* ---- Weights ---- */

static const char *const codecs[] = {"I8", "U8", "F4", "I4", "U4", "I2", "TERNARY", "BOOL", "F6_E2M3"};

static struct lb_ops_like draw_weights(struct op_run *t, size_t rows, size_t cols)
{
    static const size_t blocks[] = {32, 16, 64, 128, 256, 32, 7, 33, 100, 24};
    struct lb_ops_like like = {.rows = rows, .cols = cols};
    like.codec = packed_draw_name(t, codecs, sizeof codecs / sizeof *codecs);
    like.per = op_draw(t, 0, 1) ? (int)LB_OPS_PER_BLOCK : (int)op_draw(t, 0, 3);
    like.block = blocks[op_draw(t, 0, 9)];
    like.row_align = op_draw(t, 0, 1) ? 4 : 0;
    like.scale_codec = packed_draw_name(t, packed_scale_codecs, sizeof packed_scale_codecs / sizeof *packed_scale_codecs);
    like.per = cols ? like.per : (int)LB_OPS_NO_SCALE;
    like.second = like.per == LB_OPS_NO_SCALE ? 0 : (int)op_draw(t, 0, 5) % 3;
    like.offset = like.second && op_draw(t, 0, 2) == 0;
    like.zeros = like.per != LB_OPS_NO_SCALE && op_draw(t, 0, 2) == 0;
    like.rarity = op_draw(t, 0, 3) ? 0 : (unsigned)(2 * cols + 3);
    return like;
}

/* Zero points that the rule allows: whole numbers, mostly within the codec's range. */
static void whole_zeros(struct op_run *t, struct lb_packed *w)
{
    float *zeros = w->zeros ? op_memory(t, w->n_scales) : NULL;
    const int far = op_draw(t, 0, 3) == 0;
    float low = 0, high = 0;
    for (size_t c = 0; c < (size_t)1 << w->q.codec->bits; c++) {
        low = fminf(low, w->q.values[c]);
        high = fmaxf(high, w->q.values[c]);
    }
    for (size_t g = 0; zeros && g < w->n_scales; g++) {
        const float u = canon_unit(op_words(t, 0x300, g).w[0]);
        zeros[g] = rintf(far ? 20.0f * u - 10.0f : low + (high - low) * u);
    }
    w->zeros = zeros;
}

static struct lb_buf host(float *p, size_t n)
{
    return (struct lb_buf){.ptr = p, .bytes = n * sizeof *p};
}

static void *create(struct op_run *t, struct lb_dev *d, const struct lb_packed *w)
{
    size_t bytes = 0;
    char why[256] = "";
    void *made = d->ops->weights_create(d->dev, w, LB_USE_INT8, &bytes, why, sizeof why);
    op_assert(t, made, "%s", why);
    return made;
}

/* Rows of zeros, NaN, infinities, the smallest and the largest numbers. */
static void special_rows(struct op_run *t, float *a, size_t rows, size_t k)
{
    for (size_t i = 0; i < rows && k; i++) {
        const size_t way = op_draw(t, 0, 11);
        for (size_t j = 0; j < k && way < 3; j++)
            a[i * k + j] = way == 0 ? 0.0f : way == 1 ? a[i * k + j] * 0x1p-147f : a[i * k + j] * 0x1p126f;
        if (way >= 3 && way < 6)
            a[i * k + op_draw(t, 0, k - 1)] = canon_float(way == 3 ? 0x7fc00001u : way == 4 ? 0x7f800000u : 0xff800000u);
    }
}

/* ---- Cases ---- */

static size_t draw_k(struct op_run *t)
{
    static const size_t some[] = {0, 1, 3, 4, 8, 15, 16, 17, 32, 64, 100, 256, 257, 300, 784};
    return op_draw(t, 0, 40) == 0 ? 32768 + op_draw(t, 0, 300) : op_draw(t, 0, 1) ? op_draw(t, 1, 300) : some[op_draw(t, 0, 14)];
}

static void one_product(struct op_run *t)
{
    static const size_t blocks[] = {0, 0, 0, 32, 32, 16, 64, 7, 100, 4096};
    packed_load(t);
    const size_t k = draw_k(t), m = op_draw(t, 0, 1) ? op_draw(t, 1, 9) : op_draw(t, 1, k > 1000 ? 9 : 40);
    const size_t n = op_draw(t, 1, k > 1000 ? 20 : 100), block = blocks[op_draw(t, 0, 9)];
    const int with_bias = (int)op_draw(t, 0, 1), act = (int)op_draw(t, 0, 4);
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    const struct lb_ops_like like = draw_weights(t, n, k);
    struct lb_packed w = *packed_matrix(t, &like);
    whole_zeros(t, &w);
    char text[160];
    lb_ops_packed_text(&like, text, sizeof text);
    op_name(t, "%s m=%zu n=%zu k=%zu block=%zu bias=%d act=%d threads=%u", text, m, n, k, block, with_bias, act, threads);
    float *a = op_input(t, m * k, op_draw(t, 0, 2) ? 0 : 40), *bias = op_input(t, n, 0), *want = op_output(t, m * n),
          *got = op_output(t, m * n);
    special_rows(t, a, m, k);

    int *x = malloc((m * k + k + 1) * sizeof *x), *row = x + m * k;
    float *sa = calloc(m * (k + 1), sizeof *sa);
    const size_t width = block ? block : k;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k; j += width)
            sa[i * (k + 1) + j / width] = quantize(a + i * k + j, k - j < width ? k - j : width, x + i * k + j);
    for (size_t j = 0; j < n; j++) {
        const float two_f = integers(&w, j, row);
        for (size_t i = 0; i < m; i++) {
            const float v = sum(&w, row, two_f, j, x + i * k, sa + i * (k + 1), block);
            want[i * n + j] = with_bias ? v + bias[j] : v;
        }
    }
    ref_kernels_c.act(want, want, m * n, act, 1.1f);
    free(x);
    free(sa);

    struct lb_dev *d = op_device(t, threads);
    struct lb_buf buf[] = {host(a, m * k), host(bias, n), host(got, m * n)};
    void *made = create(t, d, &w);
    const struct lb_gemm_packed op = {.a = {&buf[0], 0},
                                      .bias = {with_bias ? &buf[1] : NULL, 0},
                                      .c = {&buf[2], 0},
                                      .w = made,
                                      .m = m,
                                      .n = n,
                                      .k = k,
                                      .act = (uint32_t)act,
                                      .alpha = 1.1f,
                                      .block = block};
    op_assert(t, d->ops->gemm_int8(d->dev, &op) == 0, "%s", "gemm_int8 failed");
    op_same(t, "c", want, got, m * n);
    d->ops->weights_free(d->dev, made);
    lb_backend_close(d);
    packed_end(t);
    lb_plugins_unload();
}

static struct lb_conv draw_shape(struct op_run *t)
{
    struct lb_conv s = {
        .n = op_draw(t, 1, 3), .c = op_draw(t, 1, 9), .kh = op_draw(t, 1, 4), .kw = op_draw(t, 1, 4), .o = op_draw(t, 1, 40)};
    s.stride = op_draw(t, 1, 3);
    s.pad = op_draw(t, 0, 2);
    s.h = s.kh + op_draw(t, 0, 12);
    s.w = op_draw(t, 0, 9) ? s.kw + op_draw(t, 0, 12) : 9 + op_draw(t, 0, 3);
    s.kw = s.w >= 9 && op_draw(t, 0, 9) == 0 ? 9 : s.kw;
    s.oh = (s.h + 2 * s.pad - s.kh) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    return s;
}

/* What output position (oy, ox) sees. */
static void patch(const struct lb_conv *s, const int *image, size_t oy, size_t ox, int *out)
{
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++) {
                const size_t y = oy * s->stride + ky, x = ox * s->stride + kx;
                const int inside = y >= s->pad && x >= s->pad && y < s->h + s->pad && x < s->w + s->pad;
                *out++ = inside ? image[(c * s->h + y - s->pad) * s->w + x - s->pad] : 0;
            }
}

static void one_convolution(struct op_run *t)
{
    packed_load(t);
    const struct lb_conv s = draw_shape(t);
    const size_t k = s.c * s.kh * s.kw, image = s.c * s.h * s.w, plane = s.oh * s.ow;
    const int act = (int)op_draw(t, 0, 4);
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    const struct lb_ops_like like = draw_weights(t, s.o, k);
    struct lb_packed w = *packed_matrix(t, &like);
    whole_zeros(t, &w);
    char text[160];
    lb_ops_packed_text(&like, text, sizeof text);
    op_name(t, "%s x %zux%zux%zux%zu o%zu k%zux%zu s%zu p%zu act=%d threads=%u", text, s.n, s.c, s.h, s.w, s.o, s.kh, s.kw, s.stride, s.pad,
            act, threads);
    float *x = op_input(t, s.n * image, op_draw(t, 0, 2) ? 0 : 40), *bias = op_input(t, s.o, 0);
    float *want = op_output(t, s.n * s.o * plane), *got = op_output(t, s.n * s.o * plane);
    special_rows(t, x, s.n, image);

    int *a = malloc((image + 2 * k) * sizeof *a), *row = a + image, *seen = row + k;
    for (size_t i = 0; i < s.n; i++) {
        const float sa = quantize(x + i * image, image, a);
        for (size_t o = 0; o < s.o; o++) {
            const float two_f = integers(&w, o, row);
            for (size_t p = 0; p < plane; p++) {
                patch(&s, a, p / s.ow, p % s.ow, seen);
                want[(i * s.o + o) * plane + p] = sum(&w, row, two_f, o, seen, &sa, 0) + bias[o];
            }
        }
    }
    ref_kernels_c.act(want, want, s.n * s.o * plane, act, 1.1f);
    free(a);

    struct lb_dev *d = op_device(t, threads);
    struct lb_buf buf[] = {host(x, s.n * image), host(bias, s.o), host(got, s.n * s.o * plane)};
    void *made = create(t, d, &w);
    const struct lb_conv2d_packed op = {
        .x = {&buf[0], 0}, .bias = {&buf[1], 0}, .y = {&buf[2], 0}, .w = made, .s = s, .act = (uint32_t)act, .alpha = 1.1f};
    op_assert(t, d->ops->conv2d_int8(d->dev, &op) == 0, "%s", "conv2d_int8 failed");
    op_same(t, "y", want, got, s.n * s.o * plane);
    d->ops->weights_free(d->dev, made);
    lb_backend_close(d);
    packed_end(t);
    lb_plugins_unload();
}

/* Weights that are no integers of at most 8 bits are refused with the codec's name. */
static void one_refusal(struct op_run *t)
{
    static const char *const others[] = {"F16", "F8_E4M3", "NF4", "I16", "F32", "F6_E3M2"};
    packed_load(t);
    const struct lb_ops_like like = {.codec = others[t->index], .rows = 3, .cols = 40};
    const struct lb_packed *w = packed_matrix(t, &like);
    struct lb_dev *d = op_device(t, 1);
    size_t bytes;
    char why[256] = "";
    op_name(t, "%s", like.codec);
    op_assert(t, !d->ops->weights_create(d->dev, w, LB_USE_INT8, &bytes, why, sizeof why), "%s", "not refused");
    op_assert(t, strstr(why, like.codec), "\"%s\"", why);
    lb_backend_close(d);
    packed_end(t);
    lb_plugins_unload();
}

Test(op_int8, c)
{
    op_cases("op_int8/c", "c", CASES, one_product);
}

Test(op_int8, avx2)
{
    op_cases("op_int8/avx2", "avx2", CASES, one_product);
}

Test(op_int8, avx512)
{
    op_cases("op_int8/avx512", "avx512", CASES / 4, one_product);
}

Test(op_int8, vnni)
{
    op_cases("op_int8/vnni", "vnni", CASES, one_product);
}

Test(op_int8, conv_c)
{
    op_cases("op_int8/conv_c", "c", CONV_CASES, one_convolution);
}

Test(op_int8, conv_avx2)
{
    op_cases("op_int8/conv_avx2", "avx2", CONV_CASES, one_convolution);
}

Test(op_int8, conv_vnni)
{
    op_cases("op_int8/conv_vnni", "vnni", CONV_CASES, one_convolution);
}

Test(op_int8, refused)
{
    op_cases("op_int8/refused", "c", 6, one_refusal);
}
