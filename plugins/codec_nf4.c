/* SPDX-License-Identifier: MIT */
/* codec_nf4.c - NF4: sixteen quantiles of the normal distribution, for numbers that an absmax scale has brought to -1 .. 1.
 *
 * With Q the inverse of the standard normal distribution function and d = 0.9677083, the code's value is one of: the 8 positive
 * Q(d + (0.5 - d) i / 8), i = 0 .. 7; the 7 negative -Q(d + (0.5 - d) i / 7), i = 0 .. 6; and 0; all divided by Q(d). The table holds them in
 * ascending order as the binary32 numbers that are in use, which are within 2 x 10^-7 of the definition. */
#include "core/plugin.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    static const double quantile[16] = {-1.0,
                                        -0.6961928009986877,
                                        -0.5250730514526367,
                                        -0.39491748809814453,
                                        -0.28444138169288635,
                                        -0.18477343022823334,
                                        -0.09105003625154495,
                                        0.0,
                                        0.07958029955625534,
                                        0.16093020141124725,
                                        0.24611230194568634,
                                        0.33791524171829224,
                                        0.44070982933044434,
                                        0.5626170039176941,
                                        0.7229568362236023,
                                        1.0};
    (void)c;
    return quantile[code];
}

static const struct lb_codec nf4 = {
    .base = {LB_ABI, LB_CODEC, sizeof nf4, "NF4", "16 quantiles of the normal distribution from -1 to 1, for absmax scales"},
    .aliases = "normalfloat4",
    .bits = 4,
    .unit_elems = 2,
    .unit_bytes = 1,
    .kind = LB_CODEBOOK,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 7,
    .value = value,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&nf4.base, NULL};
