/* SPDX-License-Identifier: MIT */
/* An empty list. */
#include "core/plugin.h"

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {NULL};
