/* SPDX-License-Identifier: MIT */
/* bad_backend.c - backends that misbehave in a run: each script row compiles it with NAME and one of PROBE, OPEN, GEMM set to what happens there. The only
 * op is gemm, which computes nothing. */
#include "core/plugin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PROBE
#define PROBE
#endif
#ifndef OPEN
#define OPEN
#endif
#ifndef GEMM
#define GEMM
#endif

static const struct lb_host *host;

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    host = h;
    snprintf(why, why_size, "needs what nobody has");
    PROBE;
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    static int device;
    host = h;
    snprintf(why, why_size, "does not want to");
    OPEN;
    return &device;
}

static void close_device(void *dev)
{
    (void)dev;
}

static void info(void *dev, struct lb_device_info *out)
{
    (void)dev;
    *out = (struct lb_device_info){
        .device = "none caf\xe9", .isa = NULL, .threads = 1}; /* no UTF-8, and a text too few: both must be survived */
}

static int gemm(void *dev, const struct lb_gemm *o)
{
    (void)dev;
    memset(lb_f32(o->c), 0, o->m * o->n * sizeof(float));
    GEMM;
    return 0;
}

static const struct lb_backend bad = {
    .base = {LB_ABI, LB_BACKEND, sizeof bad, NAME, "misbehaves"},
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .gemm = gemm,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
