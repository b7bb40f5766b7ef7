/* SPDX-License-Identifier: MIT */
/* codec_fp8.c - 8-bit floating-point numbers: OCP's E4M3, E5M2 and E8M0, the FNUZ forms, and others. What is too large saturates unless a config says
 * otherwise, infinities too. E8M0 has one significant bit, so that a tie goes up: to the even significand; zero and negative numbers become 2^-127. */
#include "core/plugin.h"
#include "kernels/cpu/codec_fp8.h"
#include "kernels/cpu/codec_kernels.h"

#include <stdio.h>

/* What the fast forms read; they are there once init has made it. */
static int make_tables(struct lb_codec *self, double (*value)(uint32_t code), const struct lb_minifloat *f, const struct lb_param *params,
                       size_t n, char *why, size_t why_size)
{
    if (n) {
        snprintf(why, why_size, "takes no parameters, found \"%.40s\"", params[0].name);
        return -1;
    }
    lb_fp8_init(self->state, value, f);
    return 0;
}

static void encode(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (lb_codec_vbmi() ? lb_fp8_encode_vbmi : lb_codec_avx2() ? lb_fp8_encode_avx2 : lb_fp8_encode_c)(c->state, x, n, codes);
}

static void decode(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (lb_codec_vbmi() ? lb_fp8_decode_vbmi : lb_codec_avx2() ? lb_fp8_decode_avx2 : lb_fp8_decode_c)(c->state, codes, n, x);
}

/* PARTS: NULL, or a struct lb_minifloat for encoding by lb_fp8_encode. */
#define FP8_CODEC(id, NAME, TAG, ALIASES, TIES, NAN_CODE, PARTS, ENCODE, HELP)                                                             \
    static double id##_value(const struct lb_codec *c, uint32_t code)                                                                      \
    {                                                                                                                                      \
        (void)c;                                                                                                                           \
        return id##_number(code);                                                                                                          \
    }                                                                                                                                      \
    static int id##_init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)                       \
    {                                                                                                                                      \
        return make_tables(self, id##_number, PARTS, params, n, why, why_size);                                                            \
    }                                                                                                                                      \
    static const struct lb_codec id = {                                                                                                    \
        .base = {LB_ABI, LB_CODEC, sizeof id, NAME, HELP},                                                                                 \
        .tag = TAG,                                                                                                                        \
        .aliases = ALIASES,                                                                                                                \
        .bits = 8,                                                                                                                         \
        .unit_elems = 1,                                                                                                                   \
        .unit_bytes = 1,                                                                                                                   \
        .kind = LB_FLOAT,                                                                                                                  \
        .ties = TIES,                                                                                                                      \
        .overflow = LB_SATURATE,                                                                                                           \
        .nan_code = NAN_CODE,                                                                                                              \
        .value = id##_value,                                                                                                               \
        .state_size = sizeof(struct lb_fp8),                                                                                               \
        .init = id##_init,                                                                                                                 \
        .encode_f32 = ENCODE,                                                                                                              \
        .decode_f32 = decode,                                                                                                              \
    };
/* E, M, BIAS, INF, NANS: struct lb_minifloat. */
#define FP8(id, NAME, TAG, ALIASES, E, M, BIAS, INF, NANS, NAN_CODE, HELP)                                                                 \
    static const struct lb_minifloat id##_parts = {E, M, BIAS, INF, NANS, 0};                                                              \
    static double id##_number(uint32_t code)                                                                                               \
    {                                                                                                                                      \
        return lb_minifloat_value(&id##_parts, code);                                                                                      \
    }                                                                                                                                      \
    FP8_CODEC(id, NAME, TAG, ALIASES, LB_TIES_EVEN, NAN_CODE, &id##_parts, encode, HELP)

static double e8m0_number(uint32_t code)
{
    return code == 255 ? (double)NAN : ldexp(1, (int)code - 127);
}

/* clang-format off */
FP8(e4m3, "F8_E4M3", "F8_E4M3", "float8_e4m3fn F8_E4M3FN E4M3 E4M3FN", 4, 3, 7, 0, LB_NAN_ONE, 0x7f,
    "OCP E4M3: 4 exponent bits, 3 fraction bits, up to 448; NaN, no infinity")
FP8(e5m2, "F8_E5M2", "F8_E5M2", "float8_e5m2 E5M2", 5, 2, 15, 1, LB_NAN_IEEE, 0x7e,
    "OCP E5M2: 5 exponent bits, 2 fraction bits, up to 57344; infinities and NaN")
FP8(e4m3fnuz, "F8_E4M3FNUZ", "F8_E4M3FNUZ", "float8_e4m3fnuz E4M3FNUZ", 4, 3, 8, 0, LB_NAN_FNUZ, 0x80,
    "E4M3 with bias 8, up to 240; the code of -0 is NaN, no infinity")
FP8(e5m2fnuz, "F8_E5M2FNUZ", "F8_E5M2FNUZ", "float8_e5m2fnuz E5M2FNUZ", 5, 2, 16, 0, LB_NAN_FNUZ, 0x80,
    "E5M2 with bias 16, up to 57344; the code of -0 is NaN, no infinity")
FP8(e4m3b11, "F8_E4M3B11FNUZ", NULL, "float8_e4m3b11fnuz E4M3B11FNUZ", 4, 3, 11, 0, LB_NAN_FNUZ, 0x80,
    "E4M3 with bias 11, up to 30; the code of -0 is NaN, no infinity")
FP8(e4m3ieee, "F8_E4M3_IEEE", NULL, "float8_e4m3 E4M3_IEEE", 4, 3, 7, 1, LB_NAN_IEEE, 0x7c,
    "E4M3 as IEEE 754 would have it: up to 240; infinities and NaN")
FP8(e3m4, "F8_E3M4", NULL, "float8_e3m4 E3M4", 3, 4, 3, 1, LB_NAN_IEEE, 0x78,
    "3 exponent bits, 4 fraction bits, as IEEE 754 would have it: up to 15.5; infinities and NaN")
FP8_CODEC(e8m0, "F8_E8M0", "F8_E8M0", "float8_e8m0fnu E8M0", LB_TIES_AWAY, 0xff, NULL, NULL,
    "OCP E8M0: powers of two from 2^-127 to 2^127, for scales; NaN, no zero, no sign")
/* clang-format on */

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {
    &e4m3.base, &e5m2.base, &e4m3fnuz.base, &e5m2fnuz.base, &e4m3b11.base, &e4m3ieee.base, &e3m4.base, &e8m0.base, NULL};
