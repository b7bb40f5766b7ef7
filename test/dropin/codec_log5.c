/* SPDX-License-Identifier: MIT */
/* codec_log5.c - LOG5: a sign and one of sixteen magnitudes, 0 and steps of half an octave from 2^-7 to 1. An outsider's codec: test/sh/dropin_codec.sh
 * builds it beside lowbit, with plugin.h alone. */
#include <math.h>
#include <plugin.h>

/* Magnitude m is 2^((m - 15) / 2); between powers of two stands the binary32 number nearest to the square root of 2. */
static double value(const struct lb_codec *c, uint32_t code)
{
    const int m = (int)(code & 15), octave = (m + 1) / 2 - 8;
    const double magnitude = m ? ldexp(m % 2 ? 1 : 0x1.6a09e6p-1, m % 2 ? octave : octave + 1) : 0;
    (void)c;
    return code & 16 ? -magnitude : magnitude;
}

static const struct lb_codec log5 = {
    .base = {LB_ABI, LB_CODEC, sizeof log5, "LOG5", "a sign and 0 or 2^-7, 2^-6.5, ... 1"},
    .bits = 5,
    .unit_elems = 8,
    .unit_bytes = 5,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 0,
    .value = value,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&log5.base, NULL};
