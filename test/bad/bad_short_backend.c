/* SPDX-License-Identifier: MIT */
/* A backend's struct without its ops. */
#include "core/plugin.h"

static const struct lb_backend bad = {.base = {LB_ABI, LB_BACKEND, sizeof(struct lb_codec) - 64, "bad", "a bad backend"}};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
