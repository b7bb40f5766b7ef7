/* SPDX-License-Identifier: MIT */
/* figures.h - gnuplot scripts of the figures. For plot.c and figure*.c alone. */
#ifndef LB_FIGURES_H
#define LB_FIGURES_H

#include "core/base/mem.h"
#include <jansson.h>

/* Adds a script to `out`, without terminal and output, and may change the size in pixels. 0 where there is nothing to draw. */
struct lb_figure {
    const char *name;
    int (*make)(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height);
};
int lb_figure_formats(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height);
int lb_figure_pareto(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height);
int lb_figure_layers(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height);
int lb_figure_outputs(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width,
                      unsigned *height); /* comparison.c */
int lb_figure_codes(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height);

/* The first finished trial, or NULL: figures are of its backend. */
const json_t *lb_first_ok(const json_t *trials);

/* Text between double quotes that is safe in gnuplot. */
void lb_quoted(struct lb_text *t, const char *s);

#endif
