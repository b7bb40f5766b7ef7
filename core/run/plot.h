/* SPDX-License-Identifier: MIT */
/* plot.h - plot.svg: top-1 and quality of each format, one point a trial, drawn by gnuplot. */
#ifndef LB_PLOT_H
#define LB_PLOT_H

#include "core/base/err.h"
#include <jansson.h>

/* `trials`: the finished ones. Where there is no gnuplot or nothing to draw, nothing is written and a line is logged; that is no error. */
int lb_plot_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err);

#endif
