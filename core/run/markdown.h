/* SPDX-License-Identifier: MIT */
/* markdown.h - table.md: what was run on which data, the table (over several seeds mean and 95 % interval), the picks, and the findings. */
#ifndef LB_MARKDOWN_H
#define LB_MARKDOWN_H

#include "core/base/err.h"
#include "core/run/columns.h"
#include <jansson.h>

/* `trials`: the finished ones, in the order of the plan. */
int lb_markdown_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err);

/* The value of a column for a trial, or NULL (report.c). */
const json_t *lb_cell(const json_t *experiment, const json_t *trial, const struct lb_column *c);

#endif
