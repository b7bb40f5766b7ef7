/* SPDX-License-Identifier: MIT */
/* plugins_trust.h - whether only those wrote a plugin's file who may run code as the user: docs/security.md has the rule and its reasons. */
#ifndef LB_PLUGINS_TRUST_H
#define LB_PLUGINS_TRUST_H

#include "core/base/err.h"

/* Opens the regular file behind all links of `file` for reading; *real is its path without links, freed with lb_free in every case. -1 with the reason in
 * `why`, without the file's name: it cannot be opened, or somebody else can write to it or to a folder on its way. The latter is only a
 * warning where LOWBIT_TRUST_PLUGINS=1 is in the environment. */
int lb_plugins_trust(const char *file, char **real, struct lb_err *why);

/* What --trust-plugins does; processes that lowbit starts inherit it. */
void lb_plugins_trust_all(void);

#endif
