/* SPDX-License-Identifier: MIT */
/* gguf_simple.c - blocks of 32 whole numbers of 4, 5 or 8 bits: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
 *
 *   Q4_0  d, 16 bytes of nibbles                    d (q - 8)
 *   Q4_1  d, m, 16 bytes of nibbles                 d q + m
 *   Q5_0  d, 32 fifth bits, 16 bytes of nibbles     d (q - 16)
 *   Q5_1  d, m, 32 fifth bits, 16 bytes of nibbles  d q + m
 *   Q8_0  d, 32 signed bytes                        q d
 *
 * The low nibble of byte j is element j, the high one element j + 16; bit j of the fifth bits is element j. */
#include "plugins/codec_gguf/gguf.h"

enum { N = 32 };

static void put_nibbles(uint8_t *bytes, const uint32_t *q)
{
    for (int j = 0; j < N / 2; j++)
        bytes[j] = (uint8_t)((q[j] & 15) | (q[j + N / 2] & 15) << 4);
}

static uint32_t nibble(const uint8_t *bytes, int i)
{
    return (uint32_t)bytes[i % (N / 2)] >> (i < N / 2 ? 0 : 4) & 15;
}

static void put_fifth_bits(uint8_t *bytes, const uint32_t *q)
{
    for (int i = 0; i < N; i++)
        bytes[i / 8] = (uint8_t)(bytes[i / 8] | (q[i] >> 4) << i % 8);
}

static uint32_t five_bits(const uint8_t *bits, const uint8_t *bytes, int i)
{
    return nibble(bytes, i) | ((uint32_t)bits[i / 8] >> i % 8 & 1) << 4;
}

/* Symmetric: the element of the largest magnitude, the first of several, becomes q = 0. Returns d. */
static float quantize_symmetric(const float *x, uint32_t middle, uint32_t *q)
{
    float amax = 0, at = x[0];
    for (int i = 0; i < N; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            at = x[i];
        }
    const float d = at / -(float)middle, inverse = gguf_inverse(d), half = (float)middle + 0.5f;
    for (int i = 0; i < N; i++) {
        const uint32_t whole = (uint32_t)(x[i] * inverse + half);
        q[i] = whole < 2 * middle ? whole : 2 * middle - 1;
    }
    return d;
}

/* With a least value m: 0 is m and `top` the largest. Returns d. */
static float quantize_from(const float *x, uint32_t top, uint32_t *q, float *m)
{
    float low = x[0], high = x[0];
    for (int i = 1; i < N; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float d = (high - low) / (float)top, inverse = gguf_inverse(d);
    for (int i = 0; i < N; i++) {
        const uint32_t whole = inverse == 0 ? 0 : (uint32_t)((x[i] - low) * inverse + 0.5f);
        q[i] = whole < top ? whole : top;
    }
    *m = low;
    return d;
}

/* ---- Q4_0 and Q4_1 ---------------------------------------------------------------------------------------------------------------- */

static void encode_q4_0(const float *x, uint8_t *b)
{
    uint32_t q[N];
    gguf_put_half(b, quantize_symmetric(x, 8, q));
    put_nibbles(b + 2, q);
}

static void decode_q4_0(const uint8_t *b, float *x)
{
    const float d = gguf_half(b);
    for (int i = 0; i < N; i++)
        x[i] = d * (float)((int)nibble(b + 2, i) - 8);
}

static void encode_q4_1(const float *x, uint8_t *b)
{
    uint32_t q[N];
    float m;
    gguf_put_half(b, quantize_from(x, 15, q, &m));
    gguf_put_half(b + 2, m);
    put_nibbles(b + 4, q);
}

static void decode_q4_1(const uint8_t *b, float *x)
{
    const float d = gguf_half(b), m = gguf_half(b + 2);
    for (int i = 0; i < N; i++)
        x[i] = d * (float)nibble(b + 4, i) + m;
}

/* ---- Q5_0 and Q5_1 ---------------------------------------------------------------------------------------------------------------- */

static void encode_q5_0(const float *x, uint8_t *b)
{
    uint32_t q[N];
    gguf_put_half(b, quantize_symmetric(x, 16, q));
    put_fifth_bits(b + 2, q);
    put_nibbles(b + 6, q);
}

static void decode_q5_0(const uint8_t *b, float *x)
{
    const float d = gguf_half(b);
    for (int i = 0; i < N; i++)
        x[i] = d * (float)((int)five_bits(b + 2, b + 6, i) - 16);
}

static void encode_q5_1(const float *x, uint8_t *b)
{
    uint32_t q[N];
    float m;
    gguf_put_half(b, quantize_from(x, 31, q, &m));
    gguf_put_half(b + 2, m);
    put_fifth_bits(b + 4, q);
    put_nibbles(b + 8, q);
}

static void decode_q5_1(const uint8_t *b, float *x)
{
    const float d = gguf_half(b), m = gguf_half(b + 2);
    for (int i = 0; i < N; i++)
        x[i] = d * (float)five_bits(b + 4, b + 8, i) + m;
}

/* ---- Q8_0 ------------------------------------------------------------------------------------------------------------------------- */

static void encode_q8_0(const float *x, uint8_t *b)
{
    float amax = 0;
    for (int i = 0; i < N; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const float d = amax / 127.0f, inverse = gguf_inverse(d);
    gguf_put_half(b, d);
    for (int i = 0; i < N; i++) {
        const float t = x[i] * inverse, a = fabsf(t);
        const int whole = (int)a, up = whole + (a - (float)whole >= 0.5f); /* half away from zero */
        b[2 + i] = (uint8_t)(t < 0 ? -up : up);
    }
}

static void decode_q8_0(const uint8_t *b, float *x)
{
    const float d = gguf_half(b);
    for (int i = 0; i < N; i++)
        x[i] = (float)(int8_t)b[2 + i] * d;
}

/* ---- The codecs ------------------------------------------------------------------------------------------------------------------- */

#define GLSL_NIBBLE                                                                                                                        \
    "uint lb_nibble(uint at, uint i)\n"                                                                                                    \
    "{\n"                                                                                                                                  \
    "    return lb_byte(at + (i & 15u)) >> ((i >> 4u) * 4u) & 15u;\n"                                                                      \
    "}\n"
#define GLSL_FIVE_BITS                                                                                                                     \
    "uint lb_five_bits(uint at, uint i)\n"                                                                                                 \
    "{\n"                                                                                                                                  \
    "    return lb_nibble(at + 4u, i) | (lb_byte(at + (i >> 3u)) >> (i & 7u) & 1u) << 4u;\n"                                               \
    "}\n"

const struct gguf_type gguf_q4_0 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q4_0", "GGUF: 32 numbers of 4 bits and a half-precision scale"},
              .unit_elems = 32,
              .unit_bytes = 18,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_NIBBLE "float lb_element(uint at, uint i)\n"
                                                 "{\n"
                                                 "    int q = CANON_INT(lb_nibble(at + 2u, i)) - 8;\n"
                                                 "    return canon_nan(lb_half(at) * CANON_REAL(q));\n"
                                                 "}\n"},
    .encode = encode_q4_0,
    .decode = decode_q4_0};

const struct gguf_type gguf_q4_1 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q4_1", "GGUF: 32 numbers of 4 bits, a half-precision scale and minimum"},
              .unit_elems = 32,
              .unit_bytes = 20,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_NIBBLE "float lb_element(uint at, uint i)\n"
                                                 "{\n"
                                                 "    float t = lb_half(at) * CANON_REAL(lb_nibble(at + 4u, i));\n"
                                                 "    return canon_nan(t + lb_half(at + 2u));\n"
                                                 "}\n"},
    .encode = encode_q4_1,
    .decode = decode_q4_1};

const struct gguf_type gguf_q5_0 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q5_0", "GGUF: 32 numbers of 5 bits and a half-precision scale"},
              .unit_elems = 32,
              .unit_bytes = 22,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_NIBBLE GLSL_FIVE_BITS "float lb_element(uint at, uint i)\n"
                                                                "{\n"
                                                                "    int q = CANON_INT(lb_five_bits(at + 2u, i)) - 16;\n"
                                                                "    return canon_nan(lb_half(at) * CANON_REAL(q));\n"
                                                                "}\n"},
    .encode = encode_q5_0,
    .decode = decode_q5_0};

const struct gguf_type gguf_q5_1 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q5_1", "GGUF: 32 numbers of 5 bits, a half-precision scale and minimum"},
              .unit_elems = 32,
              .unit_bytes = 24,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_NIBBLE GLSL_FIVE_BITS "float lb_element(uint at, uint i)\n"
                                                                "{\n"
                                                                "    float t = lb_half(at) * CANON_REAL(lb_five_bits(at + 4u, i));\n"
                                                                "    return canon_nan(t + lb_half(at + 2u));\n"
                                                                "}\n"},
    .encode = encode_q5_1,
    .decode = decode_q5_1};

const struct gguf_type gguf_q8_0 = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q8_0", "GGUF: 32 numbers of 8 bits and a half-precision scale"},
              .unit_elems = 32,
              .unit_bytes = 34,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF "float lb_element(uint at, uint i)\n"
                                     "{\n"
                                     "    int q = CANON_INT((lb_byte(at + 2u + i) ^ 128u)) - 128;\n"
                                     "    return canon_nan(CANON_REAL(q) * lb_half(at));\n"
                                     "}\n"},
    .encode = encode_q8_0,
    .decode = decode_q8_0};
