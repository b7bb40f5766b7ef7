/* SPDX-License-Identifier: MIT */
/* gguf_table.c - blocks of 4-bit codes that look values up: IQ4_NL, MXFP4, NVFP4 (GGUF's, which are laid out unlike OCP's and NVIDIA's).
 *
 *   IQ4_NL  d, 16 bytes of nibbles          32 numbers d v, v one of 16 whole numbers
 *   MXFP4   e, 16 bytes of nibbles          32 numbers 2^(e - 128) v, v twice an E2M1; the reference knows no NaN, e = 255 is 2^127
 *   NVFP4   4 scales, 4 x 8 bytes of nibbles  4 x 16 numbers s / 2 v, s an E4M3 without its sign; 0x7F is 0
 *
 * The low nibble of byte j is element j, the high one j + 16 (of 16 numbers: j + 8). */
#include "plugins/codec_gguf/gguf.h"

enum { N = 32, NV = 16, TOP = 2688 /* of NVFP4: 224 x 12 */ };

static const float e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* The number of d v[k] nearest to x, the first of equals: of an E2M1 that is the smaller magnitude, and +0. */
static uint32_t nearest(const float *v, float d, float x)
{
    uint32_t best = 0;
    float least = fabsf(d * v[0] - x);
    for (uint32_t k = 1; k < 16; k++) {
        const float error = fabsf(d * v[k] - x);
        if (error < least) {
            least = error;
            best = k;
        }
    }
    return best;
}

static float largest(const float *x, int n)
{
    float amax = 0;
    for (int i = 0; i < n; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    return amax;
}

/* ---- IQ4_NL ----------------------------------------------------------------------------------------------------------------------- */

static const float iq4_nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* The value nearest to t: how many middles between two values t is above. */
static float iq4_nl_value(float t)
{
    static const float middle[15] = {-115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f, 7, 19, 31.5f, 45.5f, 61, 79, 101};
    int k = 0;
    for (int i = 0; i < 15; i++)
        k += t > middle[i];
    return iq4_nl[k];
}

/* The codes that a scale gives have a scale of their own with the least squared error: the sum of x^2 less `most`. Keeps the best. */
static void try_scale(const float *x, float inverse, double *most, float *best)
{
    double xv = 0, vv = 0;
    for (int i = 0; i < N; i++) {
        const double v = (double)iq4_nl_value(x[i] * inverse);
        xv += (double)x[i] * v;
        vv += v * v;
    }
    if (xv * xv > *most * vv) {
        *most = xv * xv / vv;
        *best = (float)(xv / vv);
    }
}

/* Of scales that put the largest element at or near either end, and the best of them tried again. */
static float iq4_nl_scale(const float *x)
{
    enum { STEPS = 10, AGAIN = 3 };
    const float amax = largest(x, N);
    float best = 0;
    double most = 0;
    for (int k = -STEPS; k <= STEPS && amax > 0; k++) {
        try_scale(x, gguf_inverse(-amax / (float)(127 + k)), &most, &best);
        try_scale(x, gguf_inverse(amax / (float)(113 + k)), &most, &best);
    }
    for (int k = 0; k < AGAIN; k++)
        try_scale(x, gguf_inverse(best), &most, &best);
    return best;
}

static void encode_iq4_nl(const float *x, uint8_t *b)
{
    gguf_put_half(b, iq4_nl_scale(x));
    const float d = gguf_half(b);
    for (int j = 0; j < N / 2; j++)
        b[2 + j] = (uint8_t)(nearest(iq4_nl, d, x[j]) | nearest(iq4_nl, d, x[j + N / 2]) << 4);
}

static void decode_iq4_nl(const uint8_t *b, float *x)
{
    const float d = gguf_half(b);
    for (int j = 0; j < N / 2; j++) {
        x[j] = d * iq4_nl[b[2 + j] & 15];
        x[j + N / 2] = d * iq4_nl[b[2 + j] >> 4];
    }
}

/* ---- MXFP4 ------------------------------------------------------------------------------------------------------------------------ */

/* 2^(e - 128). */
static float half_power(uint32_t e)
{
    return canon_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

/* floor(log2(amax)) - 2 as a biased exponent, which puts amax at 4 to 8 (2 to 4 times a v of 2): too large a number saturates. */
static uint32_t exponent_of(float amax)
{
    const uint32_t u = canon_bits(amax), biased = u >> 23;
    return biased < 2 ? 0 : biased - 2;
}

/* A NaN or an infinity has e = 255, and all elements the largest code, which then is infinite. */
static void encode_mxfp4(const float *x, uint8_t *b)
{
    uint32_t q[N];
    int finite = 1;
    for (int i = 0; i < N; i++)
        finite &= (canon_bits(x[i]) & CANON_INF) != CANON_INF;
    b[0] = (uint8_t)(finite ? exponent_of(largest(x, N)) : 255);
    const float d = half_power(b[0]);
    for (int i = 0; i < N; i++)
        q[i] = finite ? nearest(e2m1, d, x[i]) : canon_bits(x[i]) >> 31 ? 15 : 7;
    for (int j = 0; j < N / 2; j++)
        b[1 + j] = (uint8_t)(q[j] | q[j + N / 2] << 4);
}

static void decode_mxfp4(const uint8_t *b, float *x)
{
    const float d = half_power(b[0]);
    for (int j = 0; j < N / 2; j++) {
        x[j] = d * e2m1[b[1 + j] & 15];
        x[j + N / 2] = d * e2m1[b[1 + j] >> 4];
    }
}

/* ---- NVFP4 ------------------------------------------------------------------------------------------------------------------------ */

/* Half of an E4M3 without its sign. */
static float half_e4m3(uint32_t s)
{
    const uint32_t e = s >> 3 & 15, m = s & 7;
    if (s == 0x7f)
        return 0;
    return e ? canon_float((e + 119) << 23 | m << 20) : (float)m * 0x1p-10f;
}

static double error_of(const float *x, float d)
{
    double sum = 0;
    for (int i = 0; i < NV; i++) {
        const double e = (double)(d * e2m1[nearest(e2m1, d, x[i])]) - (double)x[i];
        sum += e * e;
    }
    return sum;
}

/* The scale with the least squared error, of the smallest that reaches all numbers and those around it. */
static uint32_t nvfp4_scale(const float *x)
{
    enum { BELOW = 4, ABOVE = 2, LAST = 0x7e };
    const float amax = largest(x, NV);
    uint32_t reach = 0;
    while (reach < LAST && half_e4m3(reach) * 12 < amax)
        reach++;
    const uint32_t first = reach > BELOW ? reach - BELOW : 0, last = reach + ABOVE < LAST ? reach + ABOVE : LAST;
    uint32_t best = reach;
    double least = error_of(x, half_e4m3(reach));
    for (uint32_t s = first; s <= last; s++) {
        const double error = error_of(x, half_e4m3(s));
        if (error < least) {
            least = error;
            best = s;
        }
    }
    return best;
}

/* The format has no NaN and no infinity: a NaN becomes 0, and what is too large the largest value. */
static void encode_nvfp4(const float *x, uint8_t *b)
{
    float t[NV];
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < NV; i++) {
            const float v = x[s * NV + i];
            t[i] = canon_is_nan(v) ? 0 : v > TOP ? TOP : v < -TOP ? -TOP : v;
        }
        b[s] = (uint8_t)nvfp4_scale(t);
        const float d = half_e4m3(b[s]);
        for (int j = 0; j < NV / 2; j++)
            b[4 + s * NV / 2 + j] = (uint8_t)(nearest(e2m1, d, t[j]) | nearest(e2m1, d, t[j + NV / 2]) << 4);
    }
}

static void decode_nvfp4(const uint8_t *b, float *x)
{
    for (int s = 0; s < 4; s++) {
        const float d = half_e4m3(b[s]);
        for (int j = 0; j < NV / 2; j++) {
            x[s * NV + j] = d * e2m1[b[4 + s * NV / 2 + j] & 15];
            x[s * NV + NV / 2 + j] = d * e2m1[b[4 + s * NV / 2 + j] >> 4];
        }
    }
}

/* ---- The codecs ------------------------------------------------------------------------------------------------------------------- */

/* Twice the magnitudes of E2M1 are the digits of a number. */
#define GLSL_E2M1                                                                                                                          \
    "float lb_e2m1(uint q)\n"                                                                                                              \
    "{\n"                                                                                                                                  \
    "    int v = CANON_INT((0xC8643210u >> ((q & 7u) * 4u) & 15u));\n"                                                                     \
    "    return CANON_REAL(((q & 8u) != 0u ? -v : v));\n"                                                                                  \
    "}\n"

const struct gguf_type gguf_iq4_nl = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "IQ4_NL",
                       "GGUF: 32 numbers of 4 bits that are not evenly spaced, and a half-precision scale"},
              .unit_elems = 32,
              .unit_bytes = 18,
              .kind = LB_CODEBOOK,
              GGUF_HOOKS,
              /* The 16 values, plus 128, are the bytes of four numbers. */
              .glsl = GGUF_GLSL_HALF "float lb_element(uint at, uint i)\n"
                                     "{\n"
                                     "    uint q = lb_byte(at + 2u + (i & 15u)) >> ((i >> 4u) * 4u) & 15u;\n"
                                     "    uint w = q < 4u ? 0x3F2D1801u : q < 8u ? 0x766A5D4Fu : q < 12u ? 0xA6998D81u : 0xF1D9C5B5u;\n"
                                     "    int v = CANON_INT((w >> ((q & 3u) * 8u) & 255u)) - 128;\n"
                                     "    return canon_nan(lb_half(at) * CANON_REAL(v));\n"
                                     "}\n"},
    .encode = encode_iq4_nl,
    .decode = decode_iq4_nl};

const struct gguf_type gguf_mxfp4 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "GGUF_MXFP4", "GGUF: 32 E2M1 and the exponent of a power of two"},
              .unit_elems = 32,
              .unit_bytes = 17,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GLSL_E2M1 "float lb_element(uint at, uint i)\n"
                                "{\n"
                                "    uint e = lb_byte(at);\n"
                                "    uint q = lb_byte(at + 1u + (i & 15u)) >> ((i >> 4u) * 4u) & 15u;\n"
                                "    uint d = (e - 1u) << 23u;\n"
                                "    if (e < 2u)\n"
                                "        d = 0x00200000u << e;\n"
                                "    return canon_float(d) * lb_e2m1(q);\n"
                                "}\n"},
    .scale_at = -1,
    .encode = encode_mxfp4,
    .decode = decode_mxfp4};

const struct gguf_type gguf_nvfp4 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "GGUF_NVFP4", "GGUF: 64 E2M1, each 16 with an E4M3 for a scale"},
              .unit_elems = 64,
              .unit_bytes = 36,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GLSL_E2M1 "float lb_element(uint at, uint i)\n"
                                "{\n"
                                "    uint s = lb_byte(at + (i >> 4u));\n"
                                "    uint q = lb_byte(at + 4u + (i >> 4u) * 8u + (i & 7u)) >> ((i >> 3u & 1u) * 4u) & 15u;\n"
                                "    uint e = s >> 3u & 15u;\n"
                                "    float d = CANON_REAL((s & 7u)) * 0.0009765625f;\n"
                                "    if (e != 0u)\n"
                                "        d = canon_float((e + 119u) << 23u | (s & 7u) << 20u);\n"
                                "    if (s == 127u)\n"
                                "        d = 0.0f;\n"
                                "    return d * lb_e2m1(q);\n"
                                "}\n"},
    .scale_at = -1,
    .encode = encode_nvfp4,
    .decode = decode_nvfp4};
