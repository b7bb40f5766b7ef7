/* SPDX-License-Identifier: MIT */
/* A size that no struct has. */
#include "core/plugin.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

static const struct lb_codec bad = {.base = {LB_ABI, LB_CODEC, UINT32_MAX, "BAD", "a bad codec"},
                                    .bits = 8,
                                    .unit_elems = 1,
                                    .unit_bytes = 1,
                                    .kind = LB_UNSIGNED,
                                    .value = value};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
