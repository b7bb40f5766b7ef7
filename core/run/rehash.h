/* SPDX-License-Identifier: MIT */
/* rehash.h - whether the artifacts of a results folder are still those that its journal tells of. */
#ifndef LB_REHASH_H
#define LB_REHASH_H

#include "core/base/err.h"
#include <jansson.h>
#include <stdio.h>

/* Compares the SHA-256 of every file under trained/ and models/ with the journal's, a line each on `report`. *bad: how many are missing, unreadable
 * or changed. -1 only where the journal itself cannot be read. */
int lb_rehash(const char *folder, FILE *report, size_t *bad, struct lb_err *err);

/* The same of one file, without a word: 1 where it is what the journal's line of the training or trial says. */
int lb_rehash_is_whole(const char *folder, const json_t *line);

#endif
