/* SPDX-License-Identifier: MIT */
/* codec_fp4.c - F4: OCP E2M1. Bit 3 sign, bits 2-1 exponent (bias 1), bit 0 fraction; no infinity, no NaN; the largest value is 6. */
#include "core/plugin.h"
#include "kernels/cpu/codec_fp8.h"
#include "kernels/cpu/codec_kernels.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    static const double magnitude[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    (void)c;
    return code & 8 ? -magnitude[code & 7] : magnitude[code & 7];
}

static void encode(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    (lb_codec_vbmi() ? lb_fp4_encode_vbmi : lb_codec_avx2() ? lb_fp4_encode_avx2 : lb_fp4_encode_c)(x, n, codes);
}

static void decode(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    (lb_codec_avx2() ? lb_fp4_decode_avx2 : lb_fp4_decode_c)(codes, n, x);
}

static const struct lb_codec fp4 = {
    .base = {LB_ABI, LB_CODEC, sizeof fp4, "F4", "OCP E2M1: 0 0.5 1 1.5 2 3 4 6 and their negatives"},
    .tag = "F4",
    .aliases = "float4_e2m1fn F4_E2M1 E2M1",
    .bits = 4,
    .unit_elems = 2,
    .unit_bytes = 1,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 0,
    .value = value,
    .encode_f32 = encode,
    .decode_f32 = decode,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&fp4.base, NULL};
