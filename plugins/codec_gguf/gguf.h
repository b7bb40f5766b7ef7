/* SPDX-License-Identifier: MIT */
/* gguf.h - the block formats of GGUF files (llama.cpp), byte for byte. A block shares half-precision scales d; the formats named K cut their 256
 * elements into pieces that have small integers times d for scales. Half-precision fields are little-endian. Layouts and the order of the
 * operations: the GGUF reference implementation in Python (PyPI `gguf`, quants.py), which test/oracle/gguf_check.py holds this to.
 *
 * Decoding is the reference's, operation for operation in binary32. Encoding is the reference's bit for bit where it has one that IEEE 754 defines
 * (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, TQ1_0, TQ2_0), and our own search otherwise (gguf_search.h). */
#ifndef GGUF_H
#define GGUF_H

#include "core/plugin.h"
#include "kernels/canon.h"

enum { GGUF_LARGEST = 256 }; /* elements of a block */

struct gguf_type {
    struct lb_codec codec;
    int scale_at; /* the byte where d lies; -1: a format without a half-precision scale */
    void (*encode)(const float *x, uint8_t *block);
    void (*decode)(const uint8_t *block, float *x);
};

extern const struct gguf_type gguf_q4_0, gguf_q4_1, gguf_q5_0, gguf_q5_1, gguf_q8_0, gguf_tq1_0, gguf_tq2_0, gguf_iq4_nl, gguf_mxfp4,
    gguf_nvfp4, gguf_q2_k, gguf_q3_k, gguf_q4_k, gguf_q5_k, gguf_q6_k;

/* The codec's hooks, the same for all: whole blocks, one after the other. A NaN or an infinity in a block whose scale is d makes all of it NaN. */
void gguf_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes);
void gguf_decode(const struct lb_codec *c, const void *codes, size_t n, double *x);
void gguf_encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes);
void gguf_decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x);

#define GGUF_HOOKS .encode = gguf_encode, .decode = gguf_decode, .encode_f32 = gguf_encode_f32, .decode_f32 = gguf_decode_f32

/* IEEE 754 half precision: its value, and its bits for x rounded to nearest even. */
float gguf_half_value(uint32_t half);
uint32_t gguf_half_bits(float x);

static inline float gguf_half(const uint8_t *p)
{
    return gguf_half_value((uint32_t)p[0] | (uint32_t)p[1] << 8);
}

static inline void gguf_put_half(uint8_t *p, float x)
{
    const uint32_t half = gguf_half_bits(x);
    p[0] = (uint8_t)half;
    p[1] = (uint8_t)(half >> 8);
}

/* 1 / d, and 0 where that is no number: then d rounds to the half 0 as well. */
static inline float gguf_inverse(float d)
{
    const float inverse = 1.0f / d;
    return d == 0 || inverse - inverse != 0 ? 0 : inverse;
}

/* What the formats' GLSL begins with: the half at byte `at`. Small halves are an integer times 2^-24. */
#define GGUF_GLSL_HALF                                                                                                                     \
    "float lb_half(uint at)\n"                                                                                                             \
    "{\n"                                                                                                                                  \
    "    uint h = lb_byte(at) | lb_byte(at + 1u) << 8u;\n"                                                                                 \
    "    uint m = h & 0x7FFFu;\n"                                                                                                          \
    "    uint u = (m << 13u) + 0x38000000u;\n"                                                                                             \
    "    if (m >= 0x7C00u)\n"                                                                                                              \
    "        u = m << 13u | 0x7F800000u;\n"                                                                                                \
    "    if (m < 0x400u)\n"                                                                                                                \
    "        u = canon_bits(CANON_REAL(m) * 5.9604644775390625e-8f);\n"                                                                    \
    "    return canon_float((h & 0x8000u) << 16u | u);\n"                                                                                  \
    "}\n"

#endif
