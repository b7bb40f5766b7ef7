/* SPDX-License-Identifier: MIT */
/* plugins_file.h - a shared object as a file: whether it is a whole one, its hash, and the list that it exports. */
#ifndef LB_PLUGINS_FILE_H
#define LB_PLUGINS_FILE_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stddef.h>

/* Checks who can write to the file (plugins_trust.h), hashes, checks and maps it; the hash is of what was mapped. The loader maps what the headers promise
 * and dies of a file that is shorter, so they are read first. NULL with the reason in `why`, without the file's name; *missing is 1 where it is only a
 * library that the file needs which is not on this machine. `foreign`: it is loaded in a process of its own first, so that one that crashes, leaves or hangs then is
 * refused like any other. */
void *lb_plugins_open(const char *file, int foreign, char sha256[65], int *missing, struct lb_err *why);

/* The list `lb_plugins` and how many there are before the NULL at its end, or NULL with the reason. */
const struct lb_plugin *const *lb_plugins_list(void *so, size_t *n, struct lb_err *why);

#endif
