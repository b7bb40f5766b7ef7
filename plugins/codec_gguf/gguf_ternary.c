/* SPDX-License-Identifier: MIT */
/* gguf_ternary.c - blocks of 256 numbers -d, 0 and d: TQ1_0 and TQ2_0.
 *
 *   TQ1_0  48 bytes of five, 4 bytes of four, d   A byte holds digits t of base 3 as the fraction 0.t0 t1 t2 t3 t4: digit k is the whole part of 3 times
 *                                                 what 3^k leaves of it, in 8 bits. Elements in groups: element g + k w + j is digit k of a byte j of w.
 *   TQ2_0  64 bytes of four, d                    Element 128 h + 32 k + j is bits 2k, 2k + 1 of byte 32 h + j; 3 is worth 2 d. */
#include "plugins/codec_gguf/gguf.h"

enum { N = 256 };

/* x / d rounded, half away from zero, plus 1: 0, 1 or 2. */
static float quantize(const float *x, uint32_t *q)
{
    float d = 0;
    for (int i = 0; i < N; i++)
        d = fabsf(x[i]) > d ? fabsf(x[i]) : d;
    const float inverse = gguf_inverse(d);
    for (int i = 0; i < N; i++) {
        const float t = x[i] * inverse;
        q[i] = t <= -0.5f ? 0 : t < 0.5f ? 1 : 2;
    }
    return d;
}

/* ---- TQ1_0 ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
    int first, width, digits, at; /* elements from `first`; `width` bytes from `at` */
} groups[] = {{0, 32, 5, 0}, {160, 16, 5, 32}, {240, 4, 4, 48}};
enum { GROUPS = sizeof groups / sizeof *groups };
static const uint32_t power[] = {1, 3, 9, 27, 81};

static void encode_tq1_0(const float *x, uint8_t *b)
{
    uint32_t q[N];
    gguf_put_half(b + 52, quantize(x, q));
    for (int g = 0; g < GROUPS; g++)
        for (int j = 0; j < groups[g].width; j++) {
            uint32_t v = 0;
            for (int k = 0; k < groups[g].digits; k++)
                v += q[groups[g].first + k * groups[g].width + j] * power[4 - k];
            b[groups[g].at + j] = (uint8_t)((v * 256 + 242) / 243); /* v / 243 rounded up */
        }
}

static void decode_tq1_0(const uint8_t *b, float *x)
{
    const float d = gguf_half(b + 52);
    for (int g = 0; g < GROUPS; g++)
        for (int k = 0; k < groups[g].digits; k++)
            for (int j = 0; j < groups[g].width; j++) {
                const uint32_t rest = b[groups[g].at + j] * power[k] & 255;
                x[groups[g].first + k * groups[g].width + j] = d * (float)((int)(rest * 3 >> 8) - 1);
            }
}

/* ---- TQ2_0 ------------------------------------------------------------------------------------------------------------------------ */

static void encode_tq2_0(const float *x, uint8_t *b)
{
    uint32_t q[N];
    gguf_put_half(b + 64, quantize(x, q));
    for (int i = 0; i < N; i++) {
        uint8_t *byte = &b[i / 128 * 32 + i % 32];
        *byte = (uint8_t)(*byte | q[i] << i % 128 / 32 * 2);
    }
}

static void decode_tq2_0(const uint8_t *b, float *x)
{
    const float d = gguf_half(b + 64);
    for (int i = 0; i < N; i++)
        x[i] = d * (float)((b[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) - 1);
}

/* ---- The codecs ------------------------------------------------------------------------------------------------------------------- */

const struct gguf_type gguf_tq1_0 = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "TQ1_0",
                                                        "GGUF: 256 numbers -d, 0 or d, five in a byte, and a half-precision d"},
                                               .unit_elems = 256,
                                               .unit_bytes = 54,
                                               .kind = LB_FLOAT,
                                               GGUF_HOOKS,
                                               .glsl = GGUF_GLSL_HALF
                                               "float lb_element(uint at, uint i)\n"
                                               "{\n"
                                               "    uint j = i & 31u, k = i >> 5u, b = 0u;\n"
                                               "    if (i >= 160u) {\n"
                                               "        j = i & 15u;\n"
                                               "        k = (i - 160u) >> 4u;\n"
                                               "        b = 32u;\n"
                                               "    }\n"
                                               "    if (i >= 240u) {\n"
                                               "        j = i & 3u;\n"
                                               "        k = (i - 240u) >> 2u;\n"
                                               "        b = 48u;\n"
                                               "    }\n"
                                               "    uint p = k == 0u ? 1u : k == 1u ? 3u : k == 2u ? 9u : k == 3u ? 27u : 81u;\n"
                                               "    uint q = (lb_byte(at + b + j) * p & 255u) * 3u >> 8u;\n"
                                               "    return canon_nan(lb_half(at + 52u) * CANON_REAL(CANON_INT(q) - 1));\n"
                                               "}\n"},
                                     .scale_at = 52,
                                     .encode = encode_tq1_0,
                                     .decode = decode_tq1_0};

const struct gguf_type gguf_tq2_0 = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "TQ2_0",
                                                        "GGUF: 256 numbers -d, 0 or d of 2 bits, and a half-precision d"},
                                               .unit_elems = 256,
                                               .unit_bytes = 66,
                                               .kind = LB_FLOAT,
                                               GGUF_HOOKS,
                                               .glsl = GGUF_GLSL_HALF
                                               "float lb_element(uint at, uint i)\n"
                                               "{\n"
                                               "    uint b = lb_byte(at + (i >> 7u) * 32u + (i & 31u));\n"
                                               "    uint q = b >> ((i >> 5u & 3u) * 2u) & 3u;\n"
                                               "    return canon_nan(lb_half(at + 64u) * CANON_REAL(CANON_INT(q) - 1));\n"
                                               "}\n"},
                                     .scale_at = 64,
                                     .encode = encode_tq2_0,
                                     .decode = decode_tq2_0};
