/* SPDX-License-Identifier: MIT */
/* comparison.h - comparison.md: the F32 network beside each formatted one, as a whole and layer by layer, with times and memory; outputs.svg. */
#ifndef LB_COMPARISON_H
#define LB_COMPARISON_H

#include "core/base/err.h"
#include <jansson.h>

/* Writes the page where trials have looked at layers ("report": {"layers": true}); else nothing. */
int lb_comparison_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err);

#endif
