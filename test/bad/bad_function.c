/* SPDX-License-Identifier: MIT */
/* A symbol of the right name that is a function. */
#include "core/plugin.h"

void lb_plugins(void);

LB_EXPORT void lb_plugins(void)
{
}
