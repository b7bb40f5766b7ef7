/* SPDX-License-Identifier: MIT */
#include "core/base/table.h"
#include "core/base/csv.h"
#include "core/base/mem.h"

#include <string.h>

static int grow(struct lb_table *t, struct lb_err *err)
{
    const size_t cap = t->cap ? 2 * t->cap : 32;
    char **cells = lb_alloc(cap * t->n_columns, sizeof *cells, err);
    if (!cells)
        return -1;
    if (t->rows)
        memcpy(cells, t->cells, t->rows * t->n_columns * sizeof *cells);
    lb_free(t->cells);
    t->cells = cells;
    t->cap = cap;
    return 0;
}

int lb_table_add(struct lb_table *t, const char *const *cells, struct lb_err *err)
{
    if (t->rows == t->cap && grow(t, err))
        return -1;
    char **row = t->cells + t->rows++ * t->n_columns;
    for (size_t i = 0; i < t->n_columns; i++)
        if (!(row[i] = lb_strdup(cells[i] ? cells[i] : "", err)))
            return -1;
    return 0;
}

void lb_table_finish(struct lb_table *t)
{
    for (size_t i = 0; i < t->rows * t->n_columns; i++)
        lb_free(t->cells[i]);
    lb_free(t->cells);
    *t = (struct lb_table){0};
}

void lb_table_print_csv(const struct lb_table *t, FILE *out)
{
    lb_csv_line(out, t->columns, t->n_columns);
    for (size_t i = 0; i < t->rows; i++)
        lb_csv_line(out, (const char *const *)t->cells + i * t->n_columns, t->n_columns);
}

static void widths(const struct lb_table *t, size_t *most)
{
    for (size_t c = 0; c < t->n_columns; c++)
        most[c] = strlen(t->columns[c]);
    for (size_t i = 0; i < t->rows * t->n_columns; i++) {
        const size_t n = strlen(t->cells[i]);
        most[i % t->n_columns] = n > most[i % t->n_columns] ? n : most[i % t->n_columns];
    }
}

/* No blanks at the end of a line: what stands behind the last cell with text is left out. */
static void text_row(const struct lb_table *t, FILE *out, const size_t *width, const char *const *cells)
{
    size_t n = t->n_columns;
    while (n && !*cells[n - 1])
        n--;
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%-*s%s", i + 1 < n ? (int)width[i] : 0, cells[i], i + 1 < n ? "  " : "");
    fputc('\n', out);
}

void lb_table_print(const struct lb_table *t, FILE *out)
{
    size_t width[LB_TABLE_COLUMNS] = {0};
    widths(t, width);
    text_row(t, out, width, t->columns);
    for (size_t i = 0; i < t->rows; i++)
        text_row(t, out, width, (const char *const *)t->cells + i * t->n_columns);
}
