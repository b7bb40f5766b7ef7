/* SPDX-License-Identifier: MIT */
#include "plugins/codec_gguf/gguf.h"

static const struct gguf_type *const types[] = {&gguf_q4_0,   &gguf_q4_1,  &gguf_q5_0,  &gguf_q5_1,  &gguf_q8_0,
                                                &gguf_q2_k,   &gguf_q3_k,  &gguf_q4_k,  &gguf_q5_k,  &gguf_q6_k,
                                                &gguf_iq4_nl, &gguf_tq1_0, &gguf_tq2_0, &gguf_mxfp4, &gguf_nvfp4};

/* The host works with copies of the codecs. */
static const struct gguf_type *type_of(const struct lb_codec *c)
{
    size_t i = 0;
    while (strcmp(types[i]->codec.base.name, c->base.name) != 0)
        i++;
    return types[i];
}

/* ---- Half precision --------------------------------------------------------------------------------------------------------------- */

float gguf_half_value(uint32_t half)
{
    const uint32_t m = half & 0x7fff;
    uint32_t u = (m << 13) + 0x38000000u;
    if (m >= 0x7c00)
        u = m << 13 | 0x7f800000u;
    if (m < 0x400)
        u = canon_bits((float)m * 0x1p-24f);
    return canon_float((half & 0x8000) << 16 | u);
}

uint32_t gguf_half_bits(float x)
{
    const uint32_t u = canon_bits(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000)
        return sign | 0x7e00;
    if (a >= 0x47800000) /* 2^16 */
        return sign | 0x7c00;
    if (a >= 0x38800000) /* 2^-14; a carry into the exponent is right, up to infinity */
        return sign | (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;
    if (a < 0x33000000) /* 2^-25, half of the smallest */
        return sign;
    const uint32_t m = (a & 0x7fffff) | 0x800000, shift = 126 - (a >> 23), half = m >> shift, rest = m & ((1u << shift) - 1);
    const uint32_t middle = 1u << (shift - 1);
    return sign | (half + (rest > middle || (rest == middle && (half & 1))));
}

/* ---- Arrays ----------------------------------------------------------------------------------------------------------------------- */

static int all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((canon_bits(x[i]) & CANON_INF) == CANON_INF)
            return 0;
    return 1;
}

static void encode_block(const struct gguf_type *t, const float *x, uint8_t *block)
{
    memset(block, 0, t->codec.unit_bytes);
    if (t->scale_at < 0 || all_finite(x, t->codec.unit_elems))
        t->encode(x, block);
    else
        gguf_put_half(block + t->scale_at, canon_float(CANON_NAN));
}

void gguf_encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    const struct gguf_type *t = type_of(c);
    uint8_t *block = codes;
    for (size_t i = 0; i < n; i += c->unit_elems, block += c->unit_bytes)
        encode_block(t, x + i, block);
}

void gguf_decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    const struct gguf_type *t = type_of(c);
    const uint8_t *block = codes;
    for (size_t i = 0; i < n; i += c->unit_elems, block += c->unit_bytes)
        t->decode(block, x + i);
    for (size_t i = 0; i < n; i++)
        x[i] = canon_nan(x[i]);
}

void gguf_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    const struct gguf_type *t = type_of(c);
    uint8_t *block = codes;
    float narrow[GGUF_LARGEST];
    (void)how;
    for (size_t i = 0; i < n; i += c->unit_elems, block += c->unit_bytes) {
        for (size_t j = 0; j < c->unit_elems; j++)
            narrow[j] = (float)x[i + j];
        encode_block(t, narrow, block);
    }
}

void gguf_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    const struct gguf_type *t = type_of(c);
    const uint8_t *block = codes;
    float narrow[GGUF_LARGEST];
    for (size_t i = 0; i < n; i += c->unit_elems, block += c->unit_bytes) {
        t->decode(block, narrow);
        for (size_t j = 0; j < c->unit_elems; j++)
            x[i + j] = (double)canon_nan(narrow[j]);
    }
}

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {
    &gguf_q4_0.codec.base,  &gguf_q4_1.codec.base,  &gguf_q5_0.codec.base,   &gguf_q5_1.codec.base,
    &gguf_q8_0.codec.base,  &gguf_q2_k.codec.base,  &gguf_q3_k.codec.base,   &gguf_q4_k.codec.base,
    &gguf_q5_k.codec.base,  &gguf_q6_k.codec.base,  &gguf_iq4_nl.codec.base, &gguf_tq1_0.codec.base,
    &gguf_tq2_0.codec.base, &gguf_mxfp4.codec.base, &gguf_nvfp4.codec.base,  NULL};
