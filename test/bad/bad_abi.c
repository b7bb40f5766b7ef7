/* SPDX-License-Identifier: MIT */
/* An ABI that is not the host's. */
#include "core/plugin.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

static const struct lb_codec bad = {.base = {LB_ABI + 1, LB_CODEC, sizeof bad, "BAD", "a bad codec"},
                                    .bits = 8,
                                    .unit_elems = 1,
                                    .unit_bytes = 1,
                                    .kind = LB_UNSIGNED,
                                    .value = value};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
