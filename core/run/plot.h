/* SPDX-License-Identifier: MIT */
/* plot.h - the figures of a results folder, drawn by gnuplot: plot.svg (top-1 and quality of each format), pareto.svg (top-1 against bits a weight), layers.svg
 * (what encoding did to each layer's weights), codes.svg (how often each code of a small codec stands), outputs.svg (what it
 * did to what each layer gives). */
#ifndef LB_PLOT_H
#define LB_PLOT_H

#include "core/base/err.h"
#include <jansson.h>

/* `trials`: the finished ones. Where there is no gnuplot or nothing to draw in a figure, nothing is written and a line is logged; that is no error. */
int lb_plot_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err);

#endif
