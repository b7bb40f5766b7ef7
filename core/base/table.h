/* SPDX-License-Identifier: MIT */
/* table.h - rows of text that are printed as aligned columns or as CSV. */
#ifndef LB_TABLE_H
#define LB_TABLE_H

#include "core/base/err.h"
#include <stddef.h>
#include <stdio.h>

enum { LB_TABLE_COLUMNS = 64 }; /* at most */

/* `columns` names the n columns and outlives the table; zero-initialise the rest. */
struct lb_table {
    const char *const *columns;
    size_t n_columns;
    char **cells; /* (rows, n_columns) */
    size_t rows, cap;
};

/* Adds a row of copies; NULL is an empty cell. */
int lb_table_add(struct lb_table *t, const char *const *cells, struct lb_err *err);
void lb_table_finish(struct lb_table *t);

void lb_table_print(const struct lb_table *t, FILE *out); /* two blanks between the columns */
void lb_table_print_csv(const struct lb_table *t, FILE *out);

#endif
