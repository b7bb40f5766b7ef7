/* SPDX-License-Identifier: MIT */
/* codec_bfp16.c - BFP16: block floating point, 16 numbers with one exponent. An outsider's block codec: test/sh/dropin_codec.sh builds it beside lowbit,
 * with plugin.h alone. BFP16_PLAIN is the same without a text for GPUs.
 *
 *   byte 0: e;  bytes 1 to 8: q of two numbers each, 4 bits in two's complement, the first number in the low bits.  Values: q 2^(e - 131) */
#include <math.h>
#include <plugin.h>

enum { N = 16, BYTES = 9, BIAS = 131, TOP = 7 };

/* NaN becomes 0, and what no exponent reaches the largest number that there is. */
static double within(double x)
{
    const double most = ldexp(TOP, 255 - BIAS);
    return x != x ? 0 : x > most ? most : x < -most ? -most : x;
}

static void encode_unit(const double *x, uint8_t *b)
{
    double amax = 0;
    int e = 0;
    for (int i = 0; i < N; i++)
        amax = fmax(amax, fabs(within(x[i])));
    while (ldexp(TOP, e - BIAS) < amax)
        e++;
    b[0] = (uint8_t)e;
    for (int i = 0; i < N / 2; i++) {
        const int low = (int)rint(ldexp(within(x[2 * i]), BIAS - e)), high = (int)rint(ldexp(within(x[2 * i + 1]), BIAS - e));
        b[1 + i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
}

static void encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how;
    for (size_t u = 0; u < n / N; u++)
        encode_unit(x + u * N, (uint8_t *)codes + u * BYTES);
}

static void decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    const uint8_t *b = codes;
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *unit = b + i / N * BYTES;
        const int q = unit[1 + i % N / 2] >> i % 2 * 4 & 15;
        x[i] = ldexp(q & 8 ? q - 16 : q, unit[0] - BIAS);
    }
}

/* 2^(e - 131) is subnormal below e = 5. */
static const char glsl[] = "float lb_element(uint at, uint i)\n"
                           "{\n"
                           "    uint e = lb_byte(at), q = lb_byte(at + 1u + i / 2u) >> i % 2u * 4u & 15u;\n"
                           "    float unit = canon_float(e < 5u ? 1u << (e + 18u) : (e - 4u) << 23);\n"
                           "    return unit * CANON_REAL((CANON_INT(q) - (q < 8u ? 0 : 16)));\n"
                           "}\n";

static const struct lb_codec bfp16 = {
    .base = {LB_ABI, LB_CODEC, sizeof bfp16, "BFP16", "16 numbers of 4 bits with one exponent"},
    .bits = 0,
    .unit_elems = N,
    .unit_bytes = BYTES,
    .kind = LB_FLOAT,
    .encode = encode,
    .decode = decode,
    .glsl = glsl,
};

static const struct lb_codec bfp16_plain = {
    .base = {LB_ABI, LB_CODEC, sizeof bfp16_plain, "BFP16_PLAIN", "BFP16 without a text for GPUs"},
    .bits = 0,
    .unit_elems = N,
    .unit_bytes = BYTES,
    .kind = LB_FLOAT,
    .encode = encode,
    .decode = decode,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bfp16.base, &bfp16_plain.base, NULL};
