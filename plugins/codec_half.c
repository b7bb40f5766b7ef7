/* SPDX-License-Identifier: MIT */
/* codec_half.c - F16 (IEEE 754 binary16) and BF16 (the upper half of binary32). */
#include "core/plugin.h"
#include "kernels/cpu/codec_kernels.h"
#include "kernels/cpu/codec_minifloat.h"

static double f16_value(const struct lb_codec *c, uint32_t code)
{
    static const struct lb_minifloat f = {5, 10, 15, 1, LB_NAN_IEEE, 0};
    (void)c;
    return lb_minifloat_value(&f, code);
}

static double bf16_value(const struct lb_codec *c, uint32_t code)
{
    static const struct lb_minifloat f = {8, 7, 127, 1, LB_NAN_IEEE, 0};
    (void)c;
    return lb_minifloat_value(&f, code);
}

static void f16_encode(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    (lb_codec_avx2() ? lb_f16_encode_avx2 : lb_f16_encode_c)(x, n, codes);
}

static void f16_decode(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    (lb_codec_avx2() ? lb_f16_decode_avx2 : lb_f16_decode_c)(codes, n, x);
}

static void bf16_encode(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    (lb_codec_avx2() ? lb_bf16_encode_avx2 : lb_bf16_encode_c)(x, n, codes);
}

static void bf16_decode(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    (lb_codec_avx2() ? lb_bf16_decode_avx2 : lb_bf16_decode_c)(codes, n, x);
}

static const struct lb_codec f16 = {
    .base = {LB_ABI, LB_CODEC, sizeof f16, "F16", "IEEE 754 binary16: 5 exponent bits, 10 fraction bits"},
    .tag = "F16",
    .aliases = "float16 half",
    .bits = 16,
    .unit_elems = 1,
    .unit_bytes = 2,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_TO_INF,
    .nan_code = 0x7e00,
    .value = f16_value,
    .encode_f32 = f16_encode,
    .decode_f32 = f16_decode,
};

static const struct lb_codec bf16 = {
    .base = {LB_ABI, LB_CODEC, sizeof bf16, "BF16", "bfloat16: 8 exponent bits, 7 fraction bits"},
    .tag = "BF16",
    .aliases = "bfloat16",
    .bits = 16,
    .unit_elems = 1,
    .unit_bytes = 2,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_TO_INF,
    .nan_code = 0x7fc0,
    .value = bf16_value,
    .encode_f32 = bf16_encode,
    .decode_f32 = bf16_decode,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&f16.base, &bf16.base, NULL};
