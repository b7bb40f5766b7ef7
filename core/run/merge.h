/* SPDX-License-Identifier: MIT */
/* merge.h - the shares of an experiment, run apart, become one results folder. */
#ifndef LB_MERGE_H
#define LB_MERGE_H

#include "core/run/report.h"
#include <stddef.h>

/* Puts the journals and artifacts of results folders together in `out`, and writes its tables. A folder stands for the shard-I-of-N within it, where there
 * are such. An error where two of them differ in arithmetic, config, data, formats or trials. Trials that none of them has are left out of the tables, and
 * named: then counts->done < counts->trials. */
int lb_merge(const char *const *folders, size_t n, const char *out, struct lb_report *counts, struct lb_err *err);

#endif
