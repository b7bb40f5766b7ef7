/* SPDX-License-Identifier: MIT */
/* report.h - the tables of a results folder, made from its journal alone. */
#ifndef LB_REPORT_H
#define LB_REPORT_H

#include "core/base/err.h"
#include "core/run/journal.h"

/* What a report counted. */
struct lb_report {
    size_t trials, done, ok, skipped;
};

/* Writes table.csv, table.md and measured.csv into `folder`, of the journal's last experiment. */
int lb_report_tables(const char *folder, struct lb_journal *j, struct lb_err *err);

/* Writes these and, where there is gnuplot, plot.svg. `counts` may be NULL. */
int lb_report_write(const char *folder, struct lb_journal *j, struct lb_report *counts, struct lb_err *err);

#endif
