/* SPDX-License-Identifier: MIT */
/* bad_codec.c - codecs that misbehave in a run: each script row compiles it with NAME, and LOADED (as soon as it is loaded), VALUE or ENCODE set to what happens
 * there. With ENCODE it is 32 bits wide, and each of its codes is worth DECODED. */
#include "core/plugin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DECODED
#define DECODED 0
#endif

#ifdef LOADED
__attribute__((constructor)) static void loaded(void)
{
    LOADED;
}
#endif

#ifdef ENCODE

static void encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how;
    memset(codes, 0, 4 * n);
    if (n > 64) { /* not where the host tries it out on a few values */
        ENCODE;
    }
    (void)x;
}

static void decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c, (void)codes;
    for (size_t i = 0; i < n; i++)
        x[i] = DECODED;
}

static void encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n, void *codes)
{
    (void)c, (void)how, (void)x, (void)is_unsigned;
    memset(codes, 0, 4 * n);
}

static const struct lb_codec bad = {
    .base = {LB_ABI, LB_CODEC, sizeof bad, NAME, "misbehaves"},
    .bits = 32,
    .unit_elems = 1,
    .unit_bytes = 4,
    .kind = LB_FLOAT,
    .encode = encode,
    .decode = decode,
    .encode_int = encode_int,
};

#else

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
#ifdef VALUE
    VALUE;
#endif
    return code;
}

static const struct lb_codec bad = {
    .base = {LB_ABI, LB_CODEC, sizeof bad, NAME, "misbehaves"},
    .bits = 8,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_UNSIGNED,
    .value = value,
};

#endif

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
