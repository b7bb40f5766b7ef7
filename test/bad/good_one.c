/* SPDX-License-Identifier: MIT */
/* A good codec, which must load whatever lies beside it. */
#include "core/plugin.h"

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

static const struct lb_codec good = {.base = {LB_ABI, LB_CODEC, sizeof good, "GOOD_ONE", "a good codec"},
                                     .bits = 8,
                                     .unit_elems = 1,
                                     .unit_bytes = 1,
                                     .aliases = "good1 1good",
                                     .kind = LB_UNSIGNED,
                                     .value = value};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&good.base, NULL};
