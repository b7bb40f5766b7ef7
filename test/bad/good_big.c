/* SPDX-License-Identifier: MIT */
/* A good codec of a later lowbit with the same ABI: its struct is longer than the host's, and its function reads what the host does not know. */
#include "core/plugin.h"

struct later {
    struct lb_codec codec;
    double factor;
};

static double value(const struct lb_codec *c, uint32_t code)
{
    return (double)code * ((const struct later *)c)->factor;
}

static const struct later good = {.codec = {.base = {LB_ABI, LB_CODEC, sizeof good, "GOOD_BIG", "a longer struct"},
                                            .bits = 8,
                                            .unit_elems = 1,
                                            .unit_bytes = 1,
                                            .kind = LB_FLOAT,
                                            .value = value},
                                  .factor = 0.5};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&good.codec.base, NULL};
