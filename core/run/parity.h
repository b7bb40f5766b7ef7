/* SPDX-License-Identifier: MIT */
/* parity.h - the part of a report that says which backends gave the same bits. */
#ifndef LB_PARITY_H
#define LB_PARITY_H

#include "core/base/mem.h"
#include <jansson.h>

/* Appends a table to `out`: for each model and backend its trials, how many of them stored other weights than the first backend did, and how far its
 * outputs lie from cpu_ref's. Nothing where there is one backend. `experiment` and `trials` are the journal's lines. */
void lb_parity_add(const json_t *experiment, const json_t *trials, struct lb_text *out);

#endif
