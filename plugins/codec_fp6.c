/* SPDX-License-Identifier: MIT */
/* codec_fp6.c - F6_E2M3 and F6_E3M2: OCP's 6-bit floating-point numbers. No infinity, no NaN: what is too large saturates, a NaN becomes 0. */
#include "core/plugin.h"
#include "kernels/cpu/codec_minifloat.h"

static double e2m3_value(const struct lb_codec *c, uint32_t code)
{
    static const struct lb_minifloat f = {2, 3, 1, 0, LB_NAN_NONE, 0};
    (void)c;
    return lb_minifloat_value(&f, code);
}

static double e3m2_value(const struct lb_codec *c, uint32_t code)
{
    static const struct lb_minifloat f = {3, 2, 3, 0, LB_NAN_NONE, 0};
    (void)c;
    return lb_minifloat_value(&f, code);
}

static const struct lb_codec e2m3 = {
    .base = {LB_ABI, LB_CODEC, sizeof e2m3, "F6_E2M3", "OCP E2M3: 2 exponent bits, 3 fraction bits, up to 7.5"},
    .tag = "F6_E2M3",
    .aliases = "float6_e2m3fn E2M3",
    .bits = 6,
    .unit_elems = 4,
    .unit_bytes = 3,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .value = e2m3_value,
};

static const struct lb_codec e3m2 = {
    .base = {LB_ABI, LB_CODEC, sizeof e3m2, "F6_E3M2", "OCP E3M2: 3 exponent bits, 2 fraction bits, up to 28"},
    .tag = "F6_E3M2",
    .aliases = "float6_e3m2fn E3M2",
    .bits = 6,
    .unit_elems = 4,
    .unit_bytes = 3,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .value = e3m2_value,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&e2m3.base, &e3m2.base, NULL};
