/* SPDX-License-Identifier: MIT */
/* A 32-bit codec without decode. */
#include "core/plugin.h"

static void encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how, (void)x, (void)n, (void)codes;
}

static void encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n, void *codes)
{
    (void)c, (void)how, (void)x, (void)is_unsigned, (void)n, (void)codes;
}

static const struct lb_codec bad = {.base = {LB_ABI, LB_CODEC, sizeof bad, "BAD", "a bad codec"},
                                    .bits = 32,
                                    .unit_elems = 1,
                                    .unit_bytes = 4,
                                    .kind = LB_FLOAT,
                                    .encode = encode,
                                    .encode_int = encode_int};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
