/* SPDX-License-Identifier: MIT */
/* 65 bits. */
#include "core/plugin.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

static const struct lb_codec bad = {.base = {LB_ABI, LB_CODEC, sizeof bad, "BAD", "a bad codec"},
                                    .bits = 65,
                                    .unit_elems = 8,
                                    .unit_bytes = 65,
                                    .kind = LB_UNSIGNED,
                                    .value = value};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
