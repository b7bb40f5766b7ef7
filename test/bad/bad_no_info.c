/* SPDX-License-Identifier: MIT */
/* A backend that does not say what it is. */
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

static const struct lb_backend bad = {
    .base = {LB_ABI, LB_BACKEND, sizeof bad, "bad", "a bad backend"}, .probe = probe, .open = start, .close = stop};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
