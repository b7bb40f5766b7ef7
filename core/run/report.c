/* SPDX-License-Identifier: MIT */
#include "core/run/report.h"
#include "core/base/csv.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/columns.h"
#include "core/run/comparison.h"
#include "core/run/markdown.h"
#include "core/run/plot.h"

#include <stdio.h>
#include <string.h>

/* The published figures for a trial, or NULL. */
static const json_t *published(const json_t *experiment, const json_t *trial)
{
    size_t i;
    json_t *p;
    const char *format = json_string_value(json_object_get(trial, "format")), *model = json_string_value(json_object_get(trial, "model"));
    json_array_foreach(json_object_get(experiment, "published"), i, p)
    {
        const char *f = json_string_value(json_object_get(p, "format")), *m = json_string_value(json_object_get(p, "model"));
        if (f && format && !strcmp(f, format) && (!m || (model && !strcmp(m, model))))
            return p;
    }
    return NULL;
}

const json_t *lb_cell(const json_t *experiment, const json_t *trial, const struct lb_column *c)
{
    switch (c->from) {
    case LB_FROM_ROW:
        return json_object_get(json_object_get(trial, "row"), c->name);
    case LB_FROM_MEASURED:
        return json_object_get(json_object_get(trial, "measured"), c->name);
    case LB_FROM_PUBLISHED:
        return json_object_get(published(experiment, trial), c->name + strlen("published_"));
    default:
        return json_object_get(trial, c->name);
    }
}

static int write_csv(const char *folder, const char *name, const struct lb_column *columns, size_t n, const json_t *experiment,
                     const json_t *trials, struct lb_err *err)
{
    char path[4200];
    struct lb_out f;
    struct lb_text cell[64] = {{0}};
    const char *fields[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (lb_out_open(&f, path, err))
        return -1;
    for (size_t i = 0; i < n; i++)
        fields[i] = columns[i].name;
    lb_csv_line(f.out, fields, n);
    int failed = 0;
    for (size_t t = 0; t < json_array_size(trials); t++) {
        for (size_t i = 0; i < n; i++) {
            cell[i].n = 0;
            lb_column_text(&columns[i], lb_cell(experiment, json_array_get(trials, t), &columns[i]), &cell[i]);
            failed |= cell[i].failed;
            fields[i] = cell[i].s;
        }
        lb_csv_line(f.out, fields, n);
    }
    for (size_t i = 0; i < n; i++)
        lb_text_free(&cell[i]);
    if (failed) {
        lb_out_abort(&f);
        return lb_fail(err, "%s: out of memory", path);
    }
    return lb_out_commit(&f, err);
}

/* The planned trials in the order of the plan; those not yet run are left out. Their names are the plan's: names are no part of a hash, so the line may
 * have been written under another. */
static json_t *collect(struct lb_journal *j, const json_t *experiment, struct lb_report *counts, struct lb_err *err)
{
    json_t *trials = json_array(), *planned;
    size_t i;
    int lost = !trials;
    json_array_foreach(json_object_get(experiment, "trials"), i, planned)
    {
        const char *hash = json_string_value(json_object_get(planned, "trial"));
        json_t *line = hash ? lb_journal_find(j, "trial", hash) : NULL;
        const char *status = json_string_value(json_object_get(line, "status"));
        counts->trials++;
        counts->done += line != NULL;
        counts->ok += status && !strcmp(status, "ok");
        counts->skipped += status && !strcmp(status, "skipped");
        if (line) {
            json_t *named = json_copy(line);
            lost |= json_object_update_existing(named, planned) || json_array_append_new(trials, named);
        }
    }
    if (!lost)
        return trials;
    json_decref(trials);
    lb_fail(err, "%s: out of memory: report", j->path);
    return NULL;
}

static int write_tables(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    return write_csv(folder, "table.csv", lb_table_columns, lb_n_table_columns, experiment, trials, err) ||
                   write_csv(folder, "measured.csv", lb_measured_columns, lb_n_measured_columns, experiment, trials, err) ||
                   lb_markdown_write(folder, experiment, trials, err)
               ? -1
               : 0;
}

int lb_report_tables(const char *folder, struct lb_journal *j, struct lb_err *err)
{
    struct lb_report counts = {0};
    const json_t *experiment = lb_journal_find(j, "experiment", NULL);
    if (!experiment)
        return lb_fail(err, "%s: holds no experiment", j->path);
    json_t *trials = collect(j, experiment, &counts, err);
    const int r = trials ? write_tables(folder, experiment, trials, err) : -1;
    json_decref(trials);
    return r;
}

int lb_report_write(const char *folder, struct lb_journal *j, struct lb_report *counts, struct lb_err *err)
{
    struct lb_report own = {0};
    counts = counts ? counts : &own;
    *counts = own;
    const json_t *experiment = lb_journal_find(j, "experiment", NULL);
    if (!experiment)
        return lb_fail(err, "%s: holds no experiment", j->path);
    json_t *trials = collect(j, experiment, counts, err);
    const int r = !trials || write_tables(folder, experiment, trials, err) || lb_comparison_write(folder, experiment, trials, err) ||
                          lb_plot_write(folder, experiment, trials, err)
                      ? -1
                      : 0;
    json_decref(trials);
    return r;
}
