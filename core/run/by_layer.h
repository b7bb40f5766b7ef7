/* SPDX-License-Identifier: MIT */
/* by_layer.h - the parts of table.md that look at single layers: "sensitivity" and "search". */
#ifndef LB_BY_LAYER_H
#define LB_BY_LAYER_H

#include "core/base/mem.h"
#include <jansson.h>

/* Adds a table of what each layer alone in each format does, means over the seeds, and what each search chose and why; nothing where there is neither. */
void lb_by_layer_add(const json_t *trials, struct lb_text *out);

#endif
