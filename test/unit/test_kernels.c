/* SPDX-License-Identifier: MIT */
/* The kernels of kernels/cpu: plain C against AVX2, bit for bit, and the products against a triple loop straight from the rule. */
#include "kernels/canon.h"
#include "kernels/cpu/codec_kernels.h"
#include "kernels/cpu/ref.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MARGIN = 40 };

static const float untouched = -77.25f;

/* Skips, loudly, where this machine has no AVX2. */
static void need_avx2(void)
{
    if (!ref_kernels_avx2.isa || !lb_codec_avx2())
        cr_skip_test("this CPU has no AVX2 with FMA");
}

/* ---- Values ---- */

static float special(uint32_t r)
{
    static const uint32_t bits[] = {0x00000000u, 0x80000000u, 0x00000001u, 0x807fffffu, 0x00800000u, 0x7f7fffffu, 0xff7fffffu, 0x1c123456u,
                                    0x9c654321u, 0x3f800000u, 0xbf000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc12345u, 0x7f800001u};
    return canon_float(bits[r % COUNT(bits)]);
}

/* n seeded numbers in (-2, 2); where `rarity` is not 0, one in `rarity` is special. At an address that is a multiple of 4 and of nothing more. */
static float *numbers(uint32_t stream, size_t n, unsigned rarity)
{
    float *x = malloc((n + MARGIN) * sizeof *x);
    cr_assert_not_null(x);
    for (size_t i = 0; i < n; i++) {
        const canon_words r = canon_random64(n * 31 + rarity, stream, i);
        x[1 + stream % 3 + i] = rarity && r.w[1] % rarity == 0 ? special(r.w[2]) : 4.0f * canon_unit(r.w[0]) - 2.0f;
    }
    return x + 1 + stream % 3;
}

static void drop(float *x, uint32_t stream)
{
    free(x - 1 - stream % 3);
}

/* ---- Outputs, with a margin on both sides ---- */

struct output {
    float *base, *at;
    size_t n, off;
};

static struct output output(size_t n, size_t off)
{
    struct output o = {malloc((n + 2 * MARGIN) * sizeof(float)), NULL, n, off};
    cr_assert_not_null(o.base);
    for (size_t i = 0; i < n + 2 * MARGIN; i++)
        o.base[i] = untouched;
    o.at = o.base + MARGIN / 2 + off;
    return o;
}

static void expect_margins(const struct output *o, const char *what)
{
    for (size_t i = 0; i < o->n + 2 * MARGIN; i++)
        if (o->base + i < o->at || o->base + i >= o->at + o->n)
            cr_assert(o->base[i] == untouched, "%s: wrote element %td of %zu", what, o->base + i - o->at, o->n);
}

/* Compares and frees both. */
static void expect_same(struct output want, struct output got, const char *what)
{
    for (size_t i = 0; i < want.n; i++)
        cr_assert(canon_bits(want.at[i]) == canon_bits(got.at[i]), "%s: [%zu]: expected 0x%08x, got 0x%08x", what, i,
                  canon_bits(want.at[i]), canon_bits(got.at[i]));
    expect_margins(&want, what);
    expect_margins(&got, what);
    free(want.base);
    free(got.base);
}

/* ---- Products against the rule, written as it stands in docs/arithmetic.md ---- */

struct total {
    float sum, chain;
    size_t k;
};

static void step(struct total *t, float a, float b)
{
    if (t->k && t->k % 256 == 0) {
        t->sum += t->chain;
        t->chain = 0;
    }
    t->chain = fmaf(a, b, t->chain);
    t->k++;
}

static float finish(const struct total *t, const float *bias, int act, float alpha)
{
    float v = t->sum + t->chain;
    if (bias)
        v += *bias;
    if (act == REF_RELU || act == REF_SCALED_RELU)
        v = v < 0 ? 0.0f : v;
    if (act == REF_SCALED_RELU)
        v = alpha * v;
    v = act == REF_SIGMOID ? canon_sigmoid(v) : act == REF_TANH ? canon_tanh(v) : v;
    return v != v ? canon_float(0x7fc00000u) : v;
}

static const struct {
    size_t m, n, k;
} products[] = {{1, 1, 1},    {1, 2, 3},     {2, 3, 7},    {3, 1, 31},    {7, 33, 64},   {31, 7, 33},
                {33, 64, 2},  {13, 31, 255}, {1, 64, 256}, {16, 32, 256}, {17, 33, 257}, {5, 40, 300},
                {3, 65, 513}, {1, 1, 513},   {64, 10, 64}, {40, 3, 1},    {15, 31, 512}, {2, 97, 768}};

static void naive_gemm(const float *a, const float *b, const float *bias, float *c, size_t m, size_t n, size_t k, int ta, int tb, int act,
                       float alpha)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            struct total t = {0};
            for (size_t p = 0; p < k; p++)
                step(&t, ta ? a[p * m + i] : a[i * k + p], tb ? b[j * k + p] : b[p * n + j]);
            c[i * n + j] = finish(&t, bias ? bias + j : NULL, act, alpha);
        }
}

static void check_gemm(const struct ref_kernels *k)
{
    for (size_t i = 0; i < 8 * COUNT(products); i++) {
        const size_t m = products[i / 8].m, n = products[i / 8].n, depth = products[i / 8].k;
        const int ta = i >> 1 & 1, tb = i >> 2 & 1, act = (int)(i % 5);
        const unsigned rarity = i & 1 ? 100 : 0;
        float *a = numbers(1, m * depth, rarity), *b = numbers(2, depth * n, rarity), *bias = numbers(3, n, rarity);
        const float *used = i % 3 ? bias : NULL;
        struct output want = output(m * n, 0), got = output(m * n, i % 7);
        char what[128];
        snprintf(what, sizeof what, "gemm %s m=%zu n=%zu k=%zu trans %d %d act %d special 1/%u", k->isa, m, n, depth, ta, tb, act, rarity);
        naive_gemm(a, b, used, want.at, m, n, depth, ta, tb, act, 1.1f);
        k->gemm(a, b, used, got.at, m, n, depth, ta, tb, act, 1.1f);
        expect_same(want, got, what);
        drop(a, 1);
        drop(b, 2);
        drop(bias, 3);
    }
}

Test(kernels, gemm_c_follows_the_rule)
{
    check_gemm(&ref_kernels_c);
}

Test(kernels, gemm_avx2_follows_the_rule)
{
    need_avx2();
    check_gemm(&ref_kernels_avx2);
}

static const struct ref_conv convolutions[] = {
    {.n = 1, .c = 1, .h = 1, .w = 1, .o = 1, .kh = 1, .kw = 1, .stride = 1, .pad = 0},
    {.n = 1, .c = 1, .h = 3, .w = 3, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 2, .c = 3, .h = 7, .w = 5, .o = 4, .kh = 3, .kw = 3, .stride = 2, .pad = 1},
    {.n = 1, .c = 2, .h = 9, .w = 11, .o = 3, .kh = 1, .kw = 5, .stride = 1, .pad = 2},
    {.n = 3, .c = 2, .h = 11, .w = 9, .o = 5, .kh = 5, .kw = 1, .stride = 2, .pad = 2},
    {.n = 2, .c = 1, .h = 28, .w = 28, .o = 8, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    {.n = 2, .c = 8, .h = 13, .w = 13, .o = 16, .kh = 3, .kw = 3, .stride = 2, .pad = 0},
    {.n = 2, .c = 5, .h = 10, .w = 7, .o = 33, .kh = 3, .kw = 2, .stride = 3, .pad = 1},
    {.n = 2, .c = 31, .h = 5, .w = 5, .o = 3, .kh = 3, .kw = 3, .stride = 3, .pad = 2},
    {.n = 3, .c = 1, .h = 5, .w = 33, .o = 2, .kh = 2, .kw = 7, .stride = 2, .pad = 1},
    {.n = 1, .c = 57, .h = 4, .w = 3, .o = 58, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 40, .c = 1, .h = 4, .w = 4, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
    {.n = 1, .c = 2, .h = 2, .w = 9, .o = 2, .kh = 3, .kw = 3, .stride = 2, .pad = 2},
};

/* The pixel that tap (ky, kx) of output (oy, ox) sees, or the zero outside the image. */
static float pixel(const struct ref_conv *s, const float *x, size_t n, size_t c, size_t oy, size_t ox, size_t ky, size_t kx)
{
    const long y = (long)(oy * s->stride + ky) - (long)s->pad, at = (long)(ox * s->stride + kx) - (long)s->pad;
    if (y < 0 || at < 0 || y >= (long)s->h || at >= (long)s->w)
        return 0;
    return x[((n * s->c + c) * s->h + (size_t)y) * s->w + (size_t)at];
}

static void naive_conv2d(const struct ref_conv *s, const float *x, const float *w, const float *bias, float *y, int act, float alpha)
{
    for (size_t n = 0; n < s->n; n++)
        for (size_t o = 0; o < s->o; o++)
            for (size_t oy = 0; oy < s->oh; oy++)
                for (size_t ox = 0; ox < s->ow; ox++) {
                    struct total t = {0};
                    for (size_t c = 0; c < s->c; c++)
                        for (size_t ky = 0; ky < s->kh; ky++)
                            for (size_t kx = 0; kx < s->kw; kx++)
                                step(&t, w[((o * s->c + c) * s->kh + ky) * s->kw + kx], pixel(s, x, n, c, oy, ox, ky, kx));
                    y[((n * s->o + o) * s->oh + oy) * s->ow + ox] = finish(&t, bias ? bias + o : NULL, act, alpha);
                }
}

/* The gradient at the output that tap `ky` of input row y feeds, or zero where there is none. */
static float fed(const struct ref_conv *s, const float *dy, size_t n, size_t o, size_t y, size_t x, size_t ky, size_t kx)
{
    const long a = (long)(y + s->pad) - (long)ky, b = (long)(x + s->pad) - (long)kx, stride = (long)s->stride;
    if (a < 0 || b < 0 || a % stride || b % stride || a / stride >= (long)s->oh || b / stride >= (long)s->ow)
        return 0;
    return dy[((n * s->o + o) * s->oh + (size_t)(a / stride)) * s->ow + (size_t)(b / stride)];
}

static void naive_conv2d_dx(const struct ref_conv *s, const float *dy, const float *w, float *dx)
{
    for (size_t n = 0; n < s->n; n++)
        for (size_t c = 0; c < s->c; c++)
            for (size_t y = 0; y < s->h; y++)
                for (size_t x = 0; x < s->w; x++) {
                    struct total t = {0};
                    for (size_t o = 0; o < s->o; o++)
                        for (size_t ky = 0; ky < s->kh; ky++)
                            for (size_t kx = 0; kx < s->kw; kx++)
                                step(&t, w[((o * s->c + c) * s->kh + ky) * s->kw + kx], fed(s, dy, n, o, y, x, ky, kx));
                    dx[((n * s->c + c) * s->h + y) * s->w + x] = finish(&t, NULL, REF_LINEAR, 0);
                }
}

static void naive_conv2d_dw(const struct ref_conv *s, const float *dy, const float *x, float *dw)
{
    for (size_t o = 0; o < s->o; o++)
        for (size_t c = 0; c < s->c; c++)
            for (size_t ky = 0; ky < s->kh; ky++)
                for (size_t kx = 0; kx < s->kw; kx++) {
                    struct total t = {0};
                    for (size_t n = 0; n < s->n; n++)
                        for (size_t oy = 0; oy < s->oh; oy++)
                            for (size_t ox = 0; ox < s->ow; ox++)
                                step(&t, dy[((n * s->o + o) * s->oh + oy) * s->ow + ox], pixel(s, x, n, c, oy, ox, ky, kx));
                    dw[((o * s->c + c) * s->kh + ky) * s->kw + kx] = finish(&t, NULL, REF_LINEAR, 0);
                }
}

static void check_convolution(const struct ref_kernels *k, size_t i)
{
    struct ref_conv s = convolutions[i / 4];
    s.oh = (s.h + 2 * s.pad - s.kh) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    const size_t nx = s.n * s.c * s.h * s.w, nw = s.o * s.c * s.kh * s.kw, ny = s.n * s.o * s.oh * s.ow;
    const unsigned rarity = i & 1 ? 100 : 0;
    float *x = numbers(1, nx, rarity), *w = numbers(2, nw, rarity), *bias = numbers(3, s.o, rarity), *dy = numbers(4, ny, rarity);
    char what[128];
    snprintf(what, sizeof what, "%s convolution %zu", k->isa, i);

    struct output want = output(ny, 0), got = output(ny, i % 5);
    naive_conv2d(&s, x, w, i & 2 ? bias : NULL, want.at, (int)(i % 5), 1.1f);
    k->conv2d(&s, x, w, i & 2 ? bias : NULL, got.at, (int)(i % 5), 1.1f);
    expect_same(want, got, what);

    want = output(nx, 0), got = output(nx, i % 5);
    naive_conv2d_dx(&s, dy, w, want.at);
    k->conv2d_dx(&s, dy, w, got.at);
    expect_same(want, got, what);

    want = output(nw, 0), got = output(nw, i % 5);
    naive_conv2d_dw(&s, dy, x, want.at);
    k->conv2d_dw(&s, dy, x, got.at);
    expect_same(want, got, what);
    drop(x, 1);
    drop(w, 2);
    drop(bias, 3);
    drop(dy, 4);
}

Test(kernels, convolutions_c_follow_the_rule)
{
    for (size_t i = 0; i < 4 * COUNT(convolutions); i++)
        check_convolution(&ref_kernels_c, i);
}

Test(kernels, convolutions_avx2_follow_the_rule)
{
    need_avx2();
    for (size_t i = 0; i < 4 * COUNT(convolutions); i++)
        check_convolution(&ref_kernels_avx2, i);
}

/* ---- The rest: AVX2 against plain C ---- */

static const size_t lengths[] = {1, 2, 3, 7, 8, 9, 31, 33, 64, 255, 256, 257, 1000};

/* Each calls one kernel on arrays a, b of n elements; outputs: out[0], and out[1] where the op has two. */
typedef void call_fn(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out);

static void call_act(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    (void)b;
    k->act(a, out[0].at, n, (int)(variant % 5), 1.1f);
}

static void call_act_grad(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    const int in_place = variant / 5 % 2;
    if (in_place)
        memcpy(out[0].at, b, n * sizeof *b);
    k->act_grad(a, in_place ? out[0].at : b, out[0].at, n, (int)(variant % 5), 1.1f);
}

static void call_bias_grad(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    static const size_t positions[] = {1, 3, 16};
    const size_t p = positions[variant % 3], c = n / p < 3 ? 1 : 3;
    (void)b;
    k->bias_grad(a, out[0].at, n / (p * c), c, p);
}

static size_t columns(size_t n, unsigned variant)
{
    return variant % 2 && n > 10 ? 10 : n;
}

static void call_softmax(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    (void)b;
    k->softmax(a, out[0].at, n / columns(n, variant), columns(n, variant));
}

static void call_softmax_grad(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    k->softmax_grad(a, b, out[0].at, n / columns(n, variant), columns(n, variant));
}

static int32_t *labels(size_t rows, size_t cols)
{
    int32_t *l = malloc(rows * sizeof *l);
    cr_assert_not_null(l);
    for (size_t i = 0; i < rows; i++)
        l[i] = (int32_t)(canon_random64(rows, 5, i).w[0] % cols);
    return l;
}

static void call_cross_entropy(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    const size_t cols = columns(n, variant), rows = n / cols;
    int32_t *l = labels(rows, cols);
    (void)b;
    k->cross_entropy(a, l, out[0].at, out[1].at, rows, cols);
    free(l);
}

static void call_mse(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    const size_t cols = columns(n, variant), rows = n / cols;
    int32_t *l = labels(rows, cols);
    (void)b;
    k->mse(a, l, out[0].at, out[1].at, rows, cols, variant / 2 % 2 ? REF_HALF : REF_MEAN);
    free(l);
}

static void call_sgd(const struct ref_kernels *k, const float *a, const float *b, size_t n, unsigned variant, struct output *out)
{
    memcpy(out[0].at, a, n * sizeof *a);
    memcpy(out[1].at, a, n * sizeof *a);
    k->sgd(out[0].at, b, variant % 2 ? out[1].at : NULL, n, 0.05f, variant % 2 ? 0.9f : 0.0f, variant / 2 % 2 ? 1e-4f : 0.0f);
}

Test(kernels, avx2_equals_c)
{
    static const struct {
        const char *name;
        call_fn *call;
        unsigned variants;
    } ops[] = {{"act", call_act, 5},
               {"act_grad", call_act_grad, 10},
               {"bias_grad", call_bias_grad, 3},
               {"softmax", call_softmax, 2},
               {"softmax_grad", call_softmax_grad, 2},
               {"cross_entropy", call_cross_entropy, 2},
               {"mse", call_mse, 4},
               {"sgd", call_sgd, 4}};
    need_avx2();
    for (size_t i = 0; i < COUNT(ops) * COUNT(lengths) * 20; i++) {
        const unsigned variant = (unsigned)(i % 10) % ops[i / 20 / COUNT(lengths)].variants, rarity = i / 10 % 2 ? 10 : 0;
        const size_t n = lengths[i / 20 % COUNT(lengths)], op = i / 20 / COUNT(lengths);
        float *a = numbers(1, n, rarity), *b = numbers(2, n, rarity);
        struct output want[2] = {output(n, 0), output(n, 0)}, got[2] = {output(n, 1), output(n, 3)};
        char what[96];
        snprintf(what, sizeof what, "%s n=%zu variant %u special 1/%u", ops[op].name, n, variant, rarity);
        ops[op].call(&ref_kernels_c, a, b, n, variant, want);
        ops[op].call(&ref_kernels_avx2, a, b, n, variant, got);
        expect_same(want[0], got[0], what);
        expect_same(want[1], got[1], what);
        drop(a, 1);
        drop(b, 2);
    }
}
