/* SPDX-License-Identifier: MIT */
/* columns.h - the columns of table.csv and measured.csv, as tables: adding a row adds the column to the files and to docs/results.md's check. */
#ifndef LB_COLUMNS_H
#define LB_COLUMNS_H

#include "core/base/mem.h"
#include <jansson.h>

enum lb_column_from {
    LB_FROM_TRIAL,    /* the trial line itself: format, codec, ... */
    LB_FROM_ROW,      /* its "row" */
    LB_FROM_MEASURED, /* its "measured" */
    LB_FROM_PUBLISHED /* the experiment's published figures */
};

struct lb_column {
    const char *name;
    int from;     /* enum lb_column_from */
    int decimals; /* of a number; -1: as short as %.9g */
    const char *help;
};

extern const struct lb_column lb_table_columns[], lb_measured_columns[];
extern const size_t lb_n_table_columns, lb_n_measured_columns;

/* A finite number with `decimals` (-1: as short as %.9g), never "-0.00". */
void lb_column_number(double v, int decimals, struct lb_text *out);

/* The text that a journal line holds under `key`, or "". */
const char *lb_line_text(const json_t *line, const char *key);

/* A value as the tables show it: text as it is, numbers with `decimals`, missing or null as "". */
void lb_column_text(const struct lb_column *c, const json_t *value, struct lb_text *out);

#endif
