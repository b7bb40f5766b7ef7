/* SPDX-License-Identifier: MIT */
/* gguf_k.c - blocks of 256 with scales of their own for each 16 or 32 elements: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. Fields in the order of the bytes:
 *
 *   Q2_K  16 (scale, min) of 4 bits, 64 bytes of four, d, dmin             d scale q - dmin min       pieces of 16
 *   Q3_K  32 bytes of third bits, 64 of four, 12 of scales, d              d (scale - 32) (q - 4)                16
 *   Q4_K  d, dmin, 12 bytes of scales and mins, 128 of two                 d scale q - dmin min                  32
 *   Q5_K  d, dmin, 12 of scales and mins, 32 of fifth bits, 128 of two     d scale q - dmin min                  32
 *   Q6_K  128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d  d scale (q - 32)                      16
 *
 * Bits 0 to 1 of a byte of four belong to element 128 h + j of byte 32 h + j, the next to 32 elements on, and so forth; of two likewise,
 * 64 h + j and 32 on. Bit k of third and fifth bits' byte j is element 32 k + j. Q6_K has nibbles 64 elements apart, pairs 32. */
#include "plugins/codec_gguf/gguf_search.h"

enum { N = GGUF_K };

static void or_bits(uint8_t *byte, uint32_t bits, int shift)
{
    *byte = (uint8_t)(*byte | bits << shift);
}

/* Where the two low bits of element i lie, and their shift: bytes of four. */
static int four_at(int i)
{
    return i / 128 * 32 + i % 32;
}

static int four_shift(int i)
{
    return i % 128 / 32 * 2;
}

static int two_at(int i)
{
    return i / 64 * 32 + i % 32;
}

static int two_shift(int i)
{
    return i % 64 / 32 * 4;
}

/* ---- Q2_K ------------------------------------------------------------------------------------------------------------------------- */

static void encode_q2_k(const float *x, uint8_t *b)
{
    struct gguf_shifted f = {.piece = 16, .high = 3, .scale_top = 15};
    gguf_fit_shifted(x, &f);
    for (int p = 0; p < 16; p++)
        b[p] = (uint8_t)(f.scale[p] | f.min[p] << 4);
    for (int i = 0; i < N; i++)
        or_bits(&b[16 + four_at(i)], (uint32_t)f.q[i], four_shift(i));
    gguf_put_half(b + 80, gguf_half_value(f.d));
    gguf_put_half(b + 82, gguf_half_value(f.dmin));
}

static void decode_q2_k(const uint8_t *b, float *x)
{
    const float d = gguf_half(b + 80), dmin = gguf_half(b + 82);
    for (int p = 0; p < 16; p++) {
        const float scale = d * (float)(b[p] & 15), min = dmin * (float)(b[p] >> 4);
        for (int i = 16 * p; i < 16 * p + 16; i++)
            x[i] = scale * (float)(b[16 + four_at(i)] >> four_shift(i) & 3) - min;
    }
}

/* ---- Q3_K ------------------------------------------------------------------------------------------------------------------------- */

static void encode_q3_k(const float *x, uint8_t *b)
{
    struct gguf_scaled f = {.piece = 16, .low = -4, .high = 3, .scale_low = -32};
    gguf_fit_scaled(x, &f);
    for (int i = 0; i < N; i++) {
        const uint32_t q = (uint32_t)(f.q[i] + 4);
        or_bits(&b[i % 32], q >> 2, i / 32);
        or_bits(&b[32 + four_at(i)], q & 3, four_shift(i));
    }
    for (int p = 0; p < 16; p++) {
        const uint32_t scale = (uint32_t)(f.scale[p] + 32);
        or_bits(&b[96 + p % 8], scale & 15, p / 8 * 4);
        or_bits(&b[104 + p % 4], scale >> 4, p / 4 * 2);
    }
    gguf_put_half(b + 108, gguf_half_value(f.d));
}

static void decode_q3_k(const uint8_t *b, float *x)
{
    const float d = gguf_half(b + 108);
    for (int p = 0; p < 16; p++) {
        const int bits = (b[96 + p % 8] >> p / 8 * 4 & 15) | (b[104 + p % 4] >> p / 4 * 2 & 3) << 4;
        const float scale = d * (float)(bits - 32);
        for (int i = 16 * p; i < 16 * p + 16; i++)
            x[i] = scale * (float)((b[32 + four_at(i)] >> four_shift(i) & 3) + (b[i % 32] >> i / 32 & 1) * 4 - 4);
    }
}

/* ---- Q4_K and Q5_K ---------------------------------------------------------------------------------------------------------------- */

/* Of 12 bytes s: scale j < 4 is 6 bits of s[j], min j of s[4 + j]; later ones have a nibble of s[4 + j] and the high pair of the byte of j - 4. */
static void put_scales(const struct gguf_shifted *f, uint8_t *s)
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(f->scale[j] | f->scale[j + 4] >> 4 << 6);
        s[4 + j] = (uint8_t)(f->min[j] | f->min[j + 4] >> 4 << 6);
        s[8 + j] = (uint8_t)((f->scale[j + 4] & 15) | (f->min[j + 4] & 15) << 4);
    }
}

static void get_scales(const uint8_t *s, int j, float *scale, float *min)
{
    *scale = (float)(j < 4 ? s[j] & 63 : (s[4 + j] & 15) | (s[j - 4] >> 6) << 4);
    *min = (float)(j < 4 ? s[4 + j] & 63 : s[4 + j] >> 4 | (s[j] >> 6) << 4);
}

static void encode_45(const float *x, int high, uint8_t *b, uint8_t *fifth, uint8_t *nibbles)
{
    struct gguf_shifted f = {.piece = 32, .high = high, .scale_top = 63};
    gguf_fit_shifted(x, &f);
    gguf_put_half(b, gguf_half_value(f.d));
    gguf_put_half(b + 2, gguf_half_value(f.dmin));
    put_scales(&f, b + 4);
    for (int i = 0; i < N; i++) {
        or_bits(&nibbles[two_at(i)], (uint32_t)f.q[i] & 15, two_shift(i));
        if (fifth)
            or_bits(&fifth[i % 32], (uint32_t)f.q[i] >> 4, i / 32);
    }
}

static void decode_45(const uint8_t *b, const uint8_t *fifth, const uint8_t *nibbles, float *x)
{
    const float d = gguf_half(b), dmin = gguf_half(b + 2);
    for (int j = 0; j < 8; j++) {
        float scale, min;
        get_scales(b + 4, j, &scale, &min);
        scale = d * scale;
        min = dmin * min;
        for (int i = 32 * j; i < 32 * j + 32; i++) {
            const int high = fifth ? (fifth[i % 32] >> j & 1) << 4 : 0;
            x[i] = scale * (float)((nibbles[two_at(i)] >> two_shift(i) & 15) | high) - min;
        }
    }
}

static void encode_q4_k(const float *x, uint8_t *b)
{
    encode_45(x, 15, b, NULL, b + 16);
}

static void decode_q4_k(const uint8_t *b, float *x)
{
    decode_45(b, NULL, b + 16, x);
}

static void encode_q5_k(const float *x, uint8_t *b)
{
    encode_45(x, 31, b, b + 16, b + 48);
}

static void decode_q5_k(const uint8_t *b, float *x)
{
    decode_45(b, b + 16, b + 48, x);
}

/* ---- Q6_K ------------------------------------------------------------------------------------------------------------------------- */

static int six_at(int i)
{
    return i / 128 * 64 + i % 64;
}

static int six_shift(int i)
{
    return i % 128 / 64 * 4;
}

static void encode_q6_k(const float *x, uint8_t *b)
{
    struct gguf_scaled f = {.piece = 16, .low = -32, .high = 31, .scale_low = -128};
    gguf_fit_scaled(x, &f);
    for (int i = 0; i < N; i++) {
        const uint32_t q = (uint32_t)(f.q[i] + 32);
        or_bits(&b[six_at(i)], q & 15, six_shift(i));
        or_bits(&b[128 + four_at(i)], q >> 4, four_shift(i));
    }
    for (int p = 0; p < 16; p++)
        b[192 + p] = (uint8_t)f.scale[p];
    gguf_put_half(b + 208, gguf_half_value(f.d));
}

static void decode_q6_k(const uint8_t *b, float *x)
{
    const float d = gguf_half(b + 208);
    for (int p = 0; p < 16; p++) {
        const float scale = d * (float)(int8_t)b[192 + p];
        for (int i = 16 * p; i < 16 * p + 16; i++)
            x[i] = scale * (float)((b[six_at(i)] >> six_shift(i) & 15) + (b[128 + four_at(i)] >> four_shift(i) & 3) * 16 - 32);
    }
}

/* ---- The codecs ------------------------------------------------------------------------------------------------------------------- */

#define GLSL_FOUR                                                                                                                          \
    "uint lb_four(uint at, uint i)\n"                                                                                                      \
    "{\n"                                                                                                                                  \
    "    return lb_byte(at + (i >> 7u) * 32u + (i & 31u)) >> ((i >> 5u & 3u) * 2u) & 3u;\n"                                                \
    "}\n"
/* Scale (or, 4 bytes on, min) j of 8; `shift` is 0 (or 4). */
#define GLSL_45                                                                                                                            \
    "uint lb_six(uint at, uint j, uint shift)\n"                                                                                           \
    "{\n"                                                                                                                                  \
    "    uint first = lb_byte(at + shift + (j & 3u));\n"                                                                                   \
    "    if (j < 4u)\n"                                                                                                                    \
    "        return first & 63u;\n"                                                                                                        \
    "    return (lb_byte(at + 4u + j) >> shift & 15u) | (first >> 6u) << 4u;\n"                                                            \
    "}\n"                                                                                                                                  \
    "float lb_shifted(uint at, uint i, uint q)\n"                                                                                          \
    "{\n"                                                                                                                                  \
    "    float scale = lb_half(at) * CANON_REAL(lb_six(at + 4u, i >> 5u, 0u));\n"                                                          \
    "    float least = lb_half(at + 2u) * CANON_REAL(lb_six(at + 4u, i >> 5u, 4u));\n"                                                     \
    "    float t = scale * CANON_REAL(q);\n"                                                                                               \
    "    return canon_nan(t - least);\n"                                                                                                   \
    "}\n"                                                                                                                                  \
    "uint lb_two(uint at, uint i)\n"                                                                                                       \
    "{\n"                                                                                                                                  \
    "    return lb_byte(at + (i >> 6u) * 32u + (i & 31u)) >> ((i >> 5u & 1u) * 4u) & 15u;\n"                                               \
    "}\n"

const struct gguf_type gguf_q2_k = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q2_K",
                                                       "GGUF: 256 numbers of 2 bits, scales and minimums of 4 bits for each 16"},
                                              .unit_elems = 256,
                                              .unit_bytes = 84,
                                              .kind = LB_FLOAT,
                                              GGUF_HOOKS,
                                              .glsl =
                                                  GGUF_GLSL_HALF GLSL_FOUR "float lb_element(uint at, uint i)\n"
                                                                           "{\n"
                                                                           "    uint s = lb_byte(at + (i >> 4u));\n"
                                                                           "    float scale = lb_half(at + 80u) * CANON_REAL((s & 15u));\n"
                                                                           "    float least = lb_half(at + 82u) * CANON_REAL((s >> 4u));\n"
                                                                           "    float t = scale * CANON_REAL(lb_four(at + 16u, i));\n"
                                                                           "    return canon_nan(t - least);\n"
                                                                           "}\n"},
                                    .scale_at = 80,
                                    .encode = encode_q2_k,
                                    .decode = decode_q2_k};

const struct gguf_type gguf_q3_k = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q3_K", "GGUF: 256 numbers of 3 bits, scales of 6 bits for each 16"},
              .unit_elems = 256,
              .unit_bytes = 110,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_FOUR "float lb_element(uint at, uint i)\n"
                                               "{\n"
                                               "    uint p = i >> 4u;\n"
                                               "    uint low = lb_byte(at + 96u + (p & 7u)) >> ((p >> 3u) * 4u) & 15u;\n"
                                               "    uint high = lb_byte(at + 104u + (p & 3u)) >> ((p >> 2u) * 2u) & 3u;\n"
                                               "    float scale = lb_half(at + 108u) * CANON_REAL(CANON_INT((low | high << 4u)) - 32);\n"
                                               "    uint q = lb_four(at + 32u, i) + (lb_byte(at + (i & 31u)) >> (i >> 5u) & 1u) * 4u;\n"
                                               "    return canon_nan(scale * CANON_REAL(CANON_INT(q) - 4));\n"
                                               "}\n"},
    .scale_at = 108,
    .encode = encode_q3_k,
    .decode = decode_q3_k};

const struct gguf_type gguf_q4_k = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q4_K",
                                                       "GGUF: 256 numbers of 4 bits, scales and minimums of 6 bits for each 32"},
                                              .unit_elems = 256,
                                              .unit_bytes = 144,
                                              .kind = LB_FLOAT,
                                              GGUF_HOOKS,
                                              .glsl = GGUF_GLSL_HALF GLSL_45 "float lb_element(uint at, uint i)\n"
                                                                             "{\n"
                                                                             "    return lb_shifted(at, i, lb_two(at + 16u, i));\n"
                                                                             "}\n"},
                                    .encode = encode_q4_k,
                                    .decode = decode_q4_k};

const struct gguf_type gguf_q5_k = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q5_K",
                                                       "GGUF: 256 numbers of 5 bits, scales and minimums of 6 bits for each 32"},
                                              .unit_elems = 256,
                                              .unit_bytes = 176,
                                              .kind = LB_FLOAT,
                                              GGUF_HOOKS,
                                              .glsl = GGUF_GLSL_HALF GLSL_45
                                              "float lb_element(uint at, uint i)\n"
                                              "{\n"
                                              "    uint high = lb_byte(at + 16u + (i & 31u)) >> (i >> 5u) & 1u;\n"
                                              "    return lb_shifted(at, i, lb_two(at + 48u, i) | high << 4u);\n"
                                              "}\n"},
                                    .encode = encode_q5_k,
                                    .decode = decode_q5_k};

const struct gguf_type gguf_q6_k = {
    .codec = {.base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), "Q6_K", "GGUF: 256 numbers of 6 bits, scales of 8 bits for each 16"},
              .unit_elems = 256,
              .unit_bytes = 210,
              .kind = LB_FLOAT,
              GGUF_HOOKS,
              .glsl = GGUF_GLSL_HALF GLSL_FOUR "float lb_element(uint at, uint i)\n"
                                               "{\n"
                                               "    int s = CANON_INT((lb_byte(at + 192u + (i >> 4u)) ^ 128u)) - 128;\n"
                                               "    float scale = lb_half(at + 208u) * CANON_REAL(s);\n"
                                               "    uint low = lb_byte(at + (i >> 7u) * 64u + (i & 63u)) >> ((i >> 6u & 1u) * 4u) & 15u;\n"
                                               "    int q = CANON_INT((low | lb_four(at + 128u, i) << 4u)) - 32;\n"
                                               "    return canon_nan(scale * CANON_REAL(q));\n"
                                               "}\n"},
    .scale_at = 208,
    .encode = encode_q6_k,
    .decode = decode_q6_k};
