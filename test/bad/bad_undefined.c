/* SPDX-License-Identifier: MIT */
/* Calls a function that nobody has. */
#include "core/plugin.h"

double nobody_has_this(uint32_t code);

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return nobody_has_this(code);
}

static const struct lb_codec bad = {.base = {LB_ABI, LB_CODEC, sizeof bad, "BAD", "a bad codec"},
                                    .bits = 8,
                                    .unit_elems = 1,
                                    .unit_bytes = 1,
                                    .kind = LB_UNSIGNED,
                                    .value = value};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
