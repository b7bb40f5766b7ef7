/* SPDX-License-Identifier: MIT */
/* Products with weights in a format: every width of codes, every kind of scales of struct lb_packed. */
#include "core/nn/ops_cases.h"

#include <math.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const float alpha = 1.1f;

/* ---- Formats ---- */

static const struct lb_param uint1[] = {{"bits", 1, NULL}}, uint3[] = {{"bits", 3, NULL}}, uint7[] = {{"bits", 7, NULL}};
static const struct lb_param posit3[] = {{"n", 3, NULL}, {"es", 0, NULL}}, posit5[] = {{"n", 5, NULL}, {"es", 1, NULL}};
static const struct lb_param posit7[] = {{"n", 7, NULL}, {"es", 1, NULL}}, posit12[] = {{"n", 12, NULL}, {"es", 2, NULL}};

#define WITH(p) .params = (p), .n_params = COUNT(p)

/* Of gemm_packed and conv2d_packed. Codecs whose plugins are not there are passed over. */
static const struct lb_ops_like formats[] = {
    {.codec = "F4"},
    {.codec = "F4", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"},
    {.codec = "F4", .per = LB_OPS_PER_BLOCK, .block = 16, .scale_codec = "F8_E4M3", .second = LB_OPS_SECOND_ALL},
    {.codec = "NF4", .per = LB_OPS_PER_BLOCK, .block = 64},
    {.codec = "NF4", .per = LB_OPS_PER_BLOCK, .block = 64, .scale_codec = "I8", .second = LB_OPS_SECOND_GROUPS, .offset = 1},
    {.codec = "NF4", .per = LB_OPS_PER_BLOCK, .block = 16, .scale_codec = "I8", .second = LB_OPS_SECOND_GROUPS, .group2 = 5},
    {.codec = "I4", .per = LB_OPS_PER_ROW, .row_align = 4},
    {.codec = "I4", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F16"},
    {.codec = "U4", .per = LB_OPS_PER_BLOCK, .block = 32, .zeros = LB_OPS_ZEROS},
    {.codec = "U4", .per = LB_OPS_PER_ROW, .scale_codec = "BF16", .zeros = LB_OPS_ZEROS, .row_align = 64},
    {.codec = "U4", .per = LB_OPS_PER_MATRIX, .zeros = LB_OPS_ZEROS},
    {.codec = "LOOM_F4", .per = LB_OPS_PER_BLOCK, .block = 128, .scale_codec = "F8_E4M3"},
    {.codec = "UINT", WITH(uint1)},
    {.codec = "UINT", WITH(uint1), .per = LB_OPS_PER_BLOCK, .block = 32, .zeros = LB_OPS_ZEROS},
    {.codec = "I2", .per = LB_OPS_PER_BLOCK, .block = 16, .scale_codec = "F16"},
    {.codec = "TERNARY", .per = LB_OPS_PER_MATRIX},
    {.codec = "UINT", WITH(uint3), .per = LB_OPS_PER_ROW, .zeros = LB_OPS_ZEROS},
    {.codec = "POSIT", WITH(posit3), .per = LB_OPS_PER_BLOCK, .block = 7},
    {.codec = "POSIT", WITH(posit5)},
    {.codec = "POSIT", WITH(posit5), .per = LB_OPS_PER_BLOCK, .block = 33, .scale_codec = "BF16"},
    {.codec = "F6_E2M3", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"},
    {.codec = "F6_E3M2", .row_align = 2},
    {.codec = "POSIT", WITH(posit7), .per = LB_OPS_PER_ROW, .second = LB_OPS_SECOND_ALL},
    {.codec = "UINT", WITH(uint7), .per = LB_OPS_PER_BLOCK, .block = 64, .zeros = LB_OPS_ZEROS},
    {.codec = "I8"},
    {.codec = "I8", .per = LB_OPS_PER_MATRIX},
    {.codec = "I8", .per = LB_OPS_PER_ROW, .scale_codec = "F16"},
    {.codec = "I8", .per = LB_OPS_PER_BLOCK, .block = 1},
    {.codec = "U8", .per = LB_OPS_PER_BLOCK, .block = 128, .zeros = LB_OPS_ZEROS},
    {.codec = "F8_E4M3", .per = LB_OPS_PER_MATRIX},
    {.codec = "F8_E4M3", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"},
    {.codec = "F8_E5M2", .per = LB_OPS_PER_ROW},
    {.codec = "F8_E8M0"},
    {.codec = "F8_E4M3FNUZ", .per = LB_OPS_PER_BLOCK, .block = 256, .scale_codec = "I8", .second = LB_OPS_SECOND_ALL, .offset = 1},
    {.codec = "BOOL"},
    {.codec = "POSIT", WITH(posit12), .per = LB_OPS_PER_BLOCK, .block = 32},
    {.codec = "F16"},
    {.codec = "F16", .per = LB_OPS_PER_BLOCK, .block = 64, .zeros = LB_OPS_ZEROS},
    {.codec = "BF16", .per = LB_OPS_PER_ROW},
    {.codec = "I16", .per = LB_OPS_PER_BLOCK, .block = 16},
    {.codec = "F32"},
    {.codec = "F32", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "BF16"},
    {.codec = "I32", .per = LB_OPS_PER_MATRIX},
    {.codec = "Q4_0"},
    {.codec = "Q4_1"},
    {.codec = "Q5_0"},
    {.codec = "Q5_1"},
    {.codec = "Q8_0"},
    {.codec = "Q2_K"},
    {.codec = "Q3_K"},
    {.codec = "Q4_K"},
    {.codec = "Q5_K"},
    {.codec = "Q6_K"},
    {.codec = "IQ4_NL"},
    {.codec = "TQ1_0"},
    {.codec = "TQ2_0"},
};

/* Of the integer products. */
static const struct lb_ops_like integers[] = {
    {.codec = "I8"},
    {.codec = "I8", .per = LB_OPS_PER_MATRIX},
    {.codec = "I8", .per = LB_OPS_PER_ROW},
    {.codec = "I8", .per = LB_OPS_PER_BLOCK, .block = 128, .scale_codec = "BF16"},
    {.codec = "I4", .per = LB_OPS_PER_ROW, .scale_codec = "F16"},
    {.codec = "I4", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F16"},
    {.codec = "I4", .per = LB_OPS_PER_BLOCK, .block = 64, .scale_codec = "I8", .second = LB_OPS_SECOND_GROUPS, .group2 = 3, .offset = 1},
    {.codec = "U4", .per = LB_OPS_PER_BLOCK, .block = 32, .zeros = LB_OPS_WHOLE_ZEROS},
    {.codec = "U4", .per = LB_OPS_PER_BLOCK, .block = 7, .zeros = LB_OPS_WHOLE_ZEROS},
    {.codec = "U8", .per = LB_OPS_PER_ROW, .zeros = LB_OPS_WHOLE_ZEROS},
    {.codec = "I2", .per = LB_OPS_PER_BLOCK, .block = 16},
    {.codec = "TERNARY", .per = LB_OPS_PER_MATRIX},
    {.codec = "F4", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"},
    {.codec = "F4", .per = LB_OPS_PER_BLOCK, .block = 16, .scale_codec = "F8_E4M3", .second = LB_OPS_SECOND_ALL},
    {.codec = "F6_E2M3", .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"},
    {.codec = "UINT", WITH(uint3), .per = LB_OPS_PER_BLOCK, .block = 33, .zeros = LB_OPS_WHOLE_ZEROS},
};

_Static_assert(6 * COUNT(formats) == LB_OP_GEMM_PACKED && 8 * COUNT(integers) == LB_OP_GEMM_INT8, "as many as the header says");

/* ---- Cases ---- */

static const struct {
    size_t m, n, k;
} products[] = {{1, 1, 1},   {1, 5, 70},    {3, 33, 257}, {17, 40, 64}, {2, 64, 300}, {33, 7, 31},
                {4, 3, 513}, {1, 300, 512}, {5, 16, 2},   {70, 48, 96}, {16, 9, 256}};

static void describe(struct op_case *c, const char *shape, int bias, uint32_t act)
{
    char format[80];
    lb_ops_packed_text(&c->like, format, sizeof format);
    snprintf(c->text, sizeof c->text, "%s, %.70s bias=%d act=%s", format, shape, bias, lb_op_acts[act]);
}

static void gemm(struct op_case *c, const struct lb_ops_like *like, uint32_t uses, size_t m, size_t n, size_t k, size_t i, size_t block)
{
    struct lb_gemm_packed *o = &c->args.gemm_packed;
    const int bias = i / 2 % 2;
    char shape[80];
    *o = (struct lb_gemm_packed){.m = m, .n = n, .k = k, .act = (uint32_t)(i % 5), .alpha = alpha, .block = block};
    c->like = *like;
    c->like.rows = n;
    c->like.cols = k;
    c->uses = uses;
    c->object = &o->w;
    lb_op_add(c, "a", &o->a, ROLE_IN, m * k);
    lb_op_add(c, "c", &o->c, ROLE_OUT, m * n);
    if (bias)
        lb_op_add(c, "bias", &o->bias, ROLE_IN, n);
    c->terms = k;
    c->rarity = 256;
    snprintf(shape, sizeof shape, "m=%zu n=%zu k=%zu block=%zu", m, n, k, block);
    describe(c, shape, bias, o->act);
}

void lb_op_make_gemm_packed(struct op_case *c, size_t i)
{
    const size_t p = (i + i / 6 * 5) % COUNT(products);
    gemm(c, &formats[i / 6], LB_USE_F32, products[p].m, products[p].n, products[p].k, i, 0);
}

void lb_op_make_gemm_int8(struct op_case *c, size_t i)
{
    static const size_t blocks[] = {0, 32, 0, 64, 0, 16, 33, 128};
    const size_t p = (i + i / 8 * 5) % COUNT(products), far = i % 64 == 5; /* now and then more terms than one whole number holds */
    gemm(c, &integers[i / 8], LB_USE_INT8, far ? 2 : products[p].m, far ? 3 : products[p].n, far ? 66000 : products[p].k, i,
         far ? 0 : blocks[i % 8]);
}

static void conv2d(struct op_case *c, const struct lb_ops_like *like, uint32_t uses, const struct lb_conv *s, size_t i)
{
    struct lb_conv2d_packed *o = &c->args.conv2d_packed;
    const int bias = i / 2 % 2;
    char shape[sizeof c->text];
    *o = (struct lb_conv2d_packed){.s = *s, .act = (uint32_t)(i % 5), .alpha = alpha};
    c->like = *like;
    c->like.rows = s->o;
    c->like.cols = s->c * s->kh * s->kw;
    c->uses = uses;
    c->object = &o->w;
    lb_op_add(c, "x", &o->x, ROLE_IN, s->n * s->c * s->h * s->w);
    lb_op_add(c, "y", &o->y, ROLE_OUT, s->n * s->o * s->oh * s->ow);
    if (bias)
        lb_op_add(c, "bias", &o->bias, ROLE_IN, s->o);
    c->terms = c->like.cols;
    snprintf(shape, sizeof shape, "%s", c->text);
    describe(c, shape, bias, o->act);
}

void lb_op_make_conv2d_packed(struct op_case *c, size_t i)
{
    const struct lb_conv s = lb_op_convolution(c, i / 4);
    conv2d(c, &formats[i * 5 % COUNT(formats)], LB_USE_F32, &s, i);
}

void lb_op_make_conv2d_int8(struct op_case *c, size_t i)
{
    const struct lb_conv s = lb_op_convolution(c, i / 2);
    conv2d(c, &integers[i * 3 % COUNT(integers)], LB_USE_INT8, &s, i);
}

/* ---- Magnitudes: the sum of |a| |w|, and what a bounded derivative lets through ---- */

/* sigmoid and tanh add errors of their own; scaled_relu multiplies. */
static double behind(double sum, uint32_t act)
{
    return 1.1 * sum + (act >= LB_SIGMOID ? 1 : 0);
}

static double largest(const float *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

/* An integer may be the next one where a division is not rounded as it should: a step of the scale for each term, in the unit of a rounding error. */
static double steps(const struct op_case *c, double most)
{
    return most / 127 / (((double)c->terms + 32) * 0x1p-23);
}

static double gemm_sum(const struct op_case *c, const float *const *in, size_t i, double step)
{
    const struct lb_gemm_packed *o = &c->args.gemm_packed;
    const float *a = in[0] + i / o->n * o->k, *w = c->unpacked + i % o->n * o->k;
    double sum = c->n_arrays > 2 ? fabs((double)in[2][i % o->n]) : 0;
    for (size_t k = 0; k < o->k; k++)
        sum += (fabs((double)a[k]) + step) * fabs((double)w[k]);
    return behind(sum, o->act);
}

double lb_op_gemm_packed_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)which;
    return gemm_sum(c, in, i, 0);
}

double lb_op_gemm_int8_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    const struct lb_gemm_packed *o = &c->args.gemm_packed;
    (void)which;
    return gemm_sum(c, in, i, steps(c, largest(in[0] + i / o->n * o->k, o->k)));
}

static double conv2d_sum(const struct op_case *c, const float *const *in, size_t i, double step)
{
    const struct lb_conv2d_packed *o = &c->args.conv2d_packed;
    const struct lb_conv *s = &o->s;
    const size_t ox = i % s->ow, oy = i / s->ow % s->oh, out = i / (s->ow * s->oh) % s->o, n = i / (s->ow * s->oh * s->o);
    const size_t taps = s->kh * s->kw;
    double sum = c->n_arrays > 2 ? fabs((double)in[2][out]) : 0;
    for (size_t k = 0; k < s->c * taps; k++) {
        const size_t y = oy * s->stride + k / s->kw % s->kh - s->pad, x = ox * s->stride + k % s->kw - s->pad; /* huge outside */
        if (y < s->h && x < s->w)
            sum += (fabs((double)in[0][((n * s->c + k / taps) * s->h + y) * s->w + x]) + step) *
                   fabs((double)c->unpacked[out * s->c * taps + k]);
    }
    return behind(sum, o->act);
}

double lb_op_conv2d_packed_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    (void)which;
    return conv2d_sum(c, in, i, 0);
}

double lb_op_conv2d_int8_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i)
{
    const struct lb_conv *s = &c->args.conv2d_packed.s;
    const size_t image = s->c * s->h * s->w;
    (void)which;
    return conv2d_sum(c, in, i, steps(c, largest(in[0] + i / (s->ow * s->oh * s->o) * image, image)));
}
