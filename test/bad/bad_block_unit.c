/* SPDX-License-Identifier: MIT */
/* A block codec with too large a unit. */
#include "core/plugin.h"

static void encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how, (void)x, (void)n, (void)codes;
}

static const struct lb_codec bad = {
    .base = {LB_ABI, LB_CODEC, sizeof bad, "BAD", "a bad codec"}, .unit_elems = 513, .unit_bytes = 18, .kind = LB_FLOAT, .encode = encode};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
