/* SPDX-License-Identifier: MIT */
/* A codec of 8 bits without its value function. */
#include "core/plugin.h"

static const struct lb_codec bad = {
    .base = {LB_ABI, LB_CODEC, sizeof bad, "BAD", "a bad codec"}, .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_UNSIGNED};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
