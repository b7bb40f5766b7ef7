/* SPDX-License-Identifier: MIT */
/* A backend with integer products, but no weights to make them with. */
#include "core/plugin.h"

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return 1;
}

static void *start(const struct lb_host *h, char *why, size_t why_size)
{
    (void)why, (void)why_size;
    return h->alloc(h, 1);
}

static void stop(void *dev)
{
    (void)dev;
}

static void info(void *dev, struct lb_device_info *out)
{
    (void)dev;
    *out = (struct lb_device_info){.device = "bad", .isa = "none", .threads = 1};
}

static int gemm(void *dev, const struct lb_gemm_packed *o)
{
    (void)dev, (void)o;
    return -1;
}

static int conv2d(void *dev, const struct lb_conv2d_packed *o)
{
    (void)dev, (void)o;
    return -1;
}

static const struct lb_backend bad = {.base = {LB_ABI, LB_BACKEND, sizeof bad, "bad", "a bad backend"},
                                      .probe = probe,
                                      .open = start,
                                      .close = stop,
                                      .info = info,
                                      .gemm_int8 = gemm,
                                      .conv2d_int8 = conv2d};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
