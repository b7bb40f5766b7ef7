/* SPDX-License-Identifier: MIT */
#include "core/run/markdown.h"
#include "core/run/columns.h"
#include "core/base/io.h"
#include "core/run/by_layer.h"
#include "core/run/parity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The trials that differ in the seed alone. */
struct group {
    const json_t *first; /* the first of them: names */
    json_t *trials;
};

struct page {
    const json_t *experiment, *trials;
    struct group *groups;
    size_t n;
    struct lb_text out;
};

static int same(const json_t *a, const json_t *b, const char *key)
{
    return !strcmp(lb_line_text(a, key), lb_line_text(b, key));
}

static int make_groups(struct page *p, struct lb_err *err)
{
    const size_t most = json_array_size(p->trials);
    p->groups = lb_alloc(most ? most : 1, sizeof *p->groups, err);
    if (!p->groups)
        return -1;
    for (size_t i = 0; i < most; i++) {
        json_t *t = json_array_get(p->trials, i);
        size_t g = 0;
        if (json_object_get(t, "only")) /* one layer alone: by_layer.c */
            continue;
        while (g < p->n && !(same(t, p->groups[g].first, "model") && same(t, p->groups[g].first, "backend") &&
                             same(t, p->groups[g].first, "mode") && same(t, p->groups[g].first, "format")))
            g++;
        if (g == p->n)
            p->groups[p->n++] = (struct group){t, json_array()};
        json_array_append(p->groups[g].trials, t);
    }
    return 0;
}

/* ---- Mean and interval ---- */

/* Half the 95 % interval of a mean of n values: t(0.975, n - 1) s / sqrt(n). */
static double half_interval(const double *v, size_t n, double mean)
{
    static const double t[] = {0,     12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201, 2.179,  2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080,
                               2.074, 2.069,  2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    const double df = (double)(n - 1);
    /* Beyond the table Cornish and Fisher's expansion about the normal quantile, right to all the digits that the table has. */
    const double factor = n - 1 < sizeof t / sizeof *t ? t[n - 1] : 1.959964 + 2.372271 / df + 2.822501 / (df * df);
    return factor * sqrt(sum / (double)(n - 1)) / sqrt((double)n);
}

/* Mean of a numeric column over the group's finished trials; how many there are. */
static size_t mean_of(const struct group *g, const char *column, double *mean_out, double *half)
{
    double *v = lb_alloc(json_array_size(g->trials) + 1, sizeof *v, NULL);
    size_t n = 0, i;
    json_t *t;
    *mean_out = *half = 0;
    if (!v)
        return 0;
    json_array_foreach(g->trials, i, t)
    {
        const json_t *x = json_object_get(json_object_get(t, "row"), column);
        const char *s = json_string_value(x);
        if (json_is_number(x))
            v[n++] = json_number_value(x);
        else if (s)
            v[n++] = !strcmp(s, "inf") ? (double)INFINITY : !strcmp(s, "-inf") ? (double)-INFINITY : (double)NAN;
    }
    for (size_t k = 0; k < n; k++)
        *mean_out += v[k];
    if (n)
        *mean_out /= (double)n;
    if (n > 1)
        *half = half_interval(v, n, *mean_out);
    lb_free(v);
    return n;
}

static double mean(const struct group *g, const char *column)
{
    double v, half;
    mean_of(g, column, &v, &half);
    return v;
}

static void put_mean(struct page *p, const struct group *g, const char *column, int decimals)
{
    double v, half;
    const size_t n = mean_of(g, column, &v, &half);
    if (n && isfinite(v)) {
        lb_text_add(&p->out, " ");
        lb_column_number(v, decimals, &p->out);
        lb_text_add(&p->out, n > 1 ? " ± %.*f |" : " |", decimals, half);
    } else
        lb_text_add(&p->out, " %s |", !n ? "" : v != v ? "nan" : v > 0 ? "inf" : "-inf");
}

/* A name as it may stand in a cell: a bar would end it. */
static void put_name(struct page *p, const char *name)
{
    for (; *name; name++)
        lb_text_add(&p->out, *name == '|' ? "\\%c" : "%c", *name);
}

static int all_ok(const struct group *g)
{
    size_t i;
    json_t *t;
    json_array_foreach(g->trials, i, t) if (strcmp(lb_line_text(t, "status"), "ok")) return 0;
    return 1;
}

/* ---- The parts of the page ---- */

static void put_head(struct page *p)
{
    const json_t *e = p->experiment;
    size_t i;
    json_t *m;
    lb_text_add(&p->out, "# %s\n\n", *lb_line_text(e, "title") ? lb_line_text(e, "title") : lb_line_text(e, "name"));
    if (*lb_line_text(e, "notes"))
        lb_text_add(&p->out, "%s\n\n", lb_line_text(e, "notes"));
    lb_text_add(&p->out, "- Data: %s (SHA-256 %.16s…)\n", lb_line_text(e, "data"), lb_line_text(e, "data_sha256"));
    json_array_foreach(json_object_get(e, "models"), i, m)
        lb_text_add(&p->out, "- Model %s: %s\n", lb_line_text(m, "name"), lb_line_text(m, "described"));
    json_array_foreach(json_object_get(e, "trained_for"), i, m)
        lb_text_add(&p->out, "- Trained for its format, %s: %s\n", lb_line_text(m, "format"), lb_line_text(m, "described"));
    lb_text_add(&p->out, "- Arithmetic version %s; made by `lowbit run` from %s\n", lb_line_text(e, "arithmetic"), lb_line_text(e, "name"));
    if (*lb_line_text(e, "published_source"))
        lb_text_add(&p->out, "- Published figures: %s\n", lb_line_text(e, "published_source"));
    lb_text_add(&p->out, "\n");
}

static int has_published(const struct page *p)
{
    return json_array_size(json_object_get(p->experiment, "published")) > 0;
}

static void put_size(struct page *p, const struct group *g)
{
    double bytes, half;
    if (mean_of(g, "file_bytes", &bytes, &half))
        lb_text_add(&p->out, bytes >= 1048576 ? " %.2f MiB" : " %.2f KiB", bytes / (bytes >= 1048576 ? 1048576 : 1024));
}

static void put_cell(struct page *p, const struct group *g, const char *column)
{
    for (size_t i = 0; i < lb_n_table_columns; i++)
        if (!strcmp(lb_table_columns[i].name, column)) {
            struct lb_text t = {0};
            lb_column_text(&lb_table_columns[i], lb_cell(p->experiment, g->first, &lb_table_columns[i]), &t);
            lb_text_add(&p->out, " %s |", t.s ? t.s : "");
            lb_text_free(&t);
        }
}

static int has_modes(const struct page *p)
{
    for (size_t i = 1; i < p->n; i++)
        if (!same(p->groups[i].first, p->groups[0].first, "mode"))
            return 1;
    return 0;
}

static void put_row(struct page *p, const struct group *g)
{
    lb_text_add(&p->out, "| ");
    put_name(p, lb_line_text(g->first, "format"));
    lb_text_add(&p->out, " | %s |", lb_line_text(g->first, "scale"));
    if (has_modes(p))
        lb_text_add(&p->out, " %s |", lb_line_text(g->first, "mode"));
    put_mean(p, g, "quality", 2);
    put_mean(p, g, "avg_dev", 4);
    put_mean(p, g, "top1", 2);
    put_mean(p, g, "top1_delta", 2);
    put_mean(p, g, "agreement", 2);
    put_mean(p, g, "sqnr_db", 1);
    put_mean(p, g, "bits_per_weight", 2);
    put_size(p, g);
    lb_text_add(&p->out, " |");
    if (has_published(p)) {
        put_cell(p, g, "published_quality");
        put_cell(p, g, "published_avg_dev");
        put_cell(p, g, "published_size");
    }
    size_t i, bad = 0;
    json_t *t;
    const char *status = "ok";
    json_array_foreach(g->trials, i, t) if (strcmp(lb_line_text(t, "status"), "ok"))
    {
        status = lb_line_text(t, "status");
        bad++;
    }
    lb_text_add(&p->out, bad && bad < json_array_size(g->trials) ? " %s (%zu of %zu) |\n" : " %s |\n", status, bad,
                json_array_size(g->trials));
}

static void put_table(struct page *p, size_t from, size_t to)
{
    const int with = has_published(p), modes = has_modes(p);
    lb_text_add(
        &p->out,
        "| format | scale |%s quality %% | avg dev %% | top-1 %% | Δ points | agreement %% | SQNR dB | bits/weight | file |%s status |\n",
        modes ? " mode |" : "", with ? " published quality | published dev | published size |" : "");
    lb_text_add(&p->out, "|---|%s---|---|---|---|---|---|---|---|---|%s---|\n", modes ? "---|" : "", with ? "---|---|---|" : "");
    for (size_t g = from; g < to; g++)
        put_row(p, &p->groups[g]);
    lb_text_add(&p->out, "\n");
}

/* Quality bought per MiB, as the published study has it. */
static double trade_off(const struct group *g)
{
    const double mib = mean(g, "file_bytes") / 1048576;
    return mean(g, "quality") / (mib > 0.01 ? mib : 0.01);
}

static double quality(const struct group *g)
{
    return mean(g, "quality");
}

static double small(const struct group *g)
{
    return -mean(g, "file_bytes");
}

/* The best group by `score`, the smaller file where two are equal; F32 and F64, which nothing can beat in quality, do not compete. */
static const struct group *pick(const struct page *p, size_t from, size_t to, double (*score)(const struct group *))
{
    const struct group *best = NULL;
    for (size_t i = from; i < to; i++) {
        const struct group *g = &p->groups[i];
        const char *codec = lb_line_text(g->first, "codec");
        const int whole = !strcmp(lb_line_text(g->first, "scale"), "none") && (!strcmp(codec, "F32") || !strcmp(codec, "F64"));
        if (!all_ok(g) || whole)
            continue;
        if (!best || score(g) > score(best) || (score(g) == score(best) && small(g) > small(best)))
            best = g;
    }
    return best;
}

static void put_pick(struct page *p, const char *what, const struct group *g)
{
    if (!g)
        return;
    lb_text_add(&p->out, "- %s: **%s** (quality %.2f %%, top-1 %.2f %%,", what, lb_line_text(g->first, "format"), mean(g, "quality"),
                mean(g, "top1"));
    put_size(p, g);
    lb_text_add(&p->out, ")\n");
}

static void put_picks(struct page *p, size_t from, size_t to)
{
    const struct group *best = pick(p, from, to, quality);
    if (!best)
        return;
    lb_text_add(&p->out, "Picks, F32 and F64 aside:\n\n");
    put_pick(p, "best quality", best);
    put_pick(p, "smallest", pick(p, from, to, small));
    put_pick(p, "best trade-off (quality per MiB)", pick(p, from, to, trade_off));
    lb_text_add(&p->out, "\n");
}

/* ---- Findings: a cause is named only where the counts show it ---- */

static int finished(const struct group *g)
{
    double weights, half;
    return mean_of(g, "weights", &weights, &half) > 0;
}

static void put_finding(struct page *p, const struct group *g)
{
    const int wraps = json_is_true(json_object_get(g->first, "wraps"));
    const struct {
        int holds;
        const char *text;
    } causes[] = {{mean(g, "nan_codes") > 0, "NaN among the weights"},
                  {mean(g, "inf_codes") > 0, "Inf among the weights"},
                  {mean(g, "clipped") > 0 && wraps, "weights wrapped around"},
                  {mean(g, "clipped") > 0 && !wraps, "weights beyond the range"},
                  {mean(g, "zeroed") > 0.5 * mean(g, "weights"), "most weights became zero"}};
    int n = 0;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].holds)
            lb_text_add(&p->out, "%s%s", n++ ? "; " : "", causes[i].text);
    if (!n)
        lb_text_add(&p->out, "%s", mean(g, "sqnr_db") == (double)INFINITY ? "nothing is lost" : "rounding only");
}

/* Whether the F32 network had learned anything is said before anything is made of its table: quality compares with its outputs. */
static void put_learned(struct page *p, size_t from, size_t to)
{
    size_t g = from;
    while (g < to && !finished(&p->groups[g]))
        g++;
    const json_int_t classes = json_integer_value(json_object_get(p->experiment, "classes"));
    const double chance = classes > 0 ? 100 / (double)classes : 0, learned = g < to ? mean(&p->groups[g], "top1_f32") : 100;
    if (learned <= 2 * chance)
        lb_text_add(&p->out,
                    "**The F32 network itself is right on %.2f %% of the labels, where chance is %.0f %%: it had learned little or "
                    "nothing, so quality, "
                    "which compares with its outputs, says nothing about accuracy here.**\n\n",
                    learned, chance);
}

static void put_findings(struct page *p, size_t from, size_t to)
{
    lb_text_add(&p->out, "Claimed, reproduced, and what the counts show:\n\n| format | claimed quality %% | ours %% | top-1 %% | NaN codes "
                         "| Inf codes | became 0 | beyond range | of weights | "
                         "what the counts show |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = from; i < to; i++) {
        const struct group *g = &p->groups[i];
        lb_text_add(&p->out, "| ");
        put_name(p, lb_line_text(g->first, "format"));
        lb_text_add(&p->out, " |");
        put_cell(p, g, "published_quality");
        put_mean(p, g, "quality", 2);
        put_mean(p, g, "top1", 2);
        put_mean(p, g, "nan_codes", 0);
        put_mean(p, g, "inf_codes", 0);
        put_mean(p, g, "zeroed", 0);
        put_mean(p, g, "clipped", 0);
        put_mean(p, g, "weights", 0);
        lb_text_add(&p->out, " ");
        if (finished(g))
            put_finding(p, g);
        lb_text_add(&p->out, " |\n");
    }
    lb_text_add(&p->out, "\n");
}

static void put_page(struct page *p)
{
    const int models = json_array_size(json_object_get(p->experiment, "models")) > 1;
    const int backends = json_array_size(json_object_get(p->experiment, "backends")) > 1;
    put_head(p);
    const size_t done = json_array_size(p->trials), planned = json_array_size(json_object_get(p->experiment, "trials"));
    if (done < planned)
        lb_text_add(&p->out, "**Not complete: %zu of %zu trials.** Means and choices are of these alone.\n\n", done, planned);
    lb_parity_add(p->experiment, p->trials, &p->out);
    for (size_t from = 0, to; from < p->n; from = to) {
        for (to = from; to < p->n && same(p->groups[from].first, p->groups[to].first, "model") &&
                        same(p->groups[from].first, p->groups[to].first, "backend");)
            to++;
        const json_t *first = p->groups[from].first;
        if (models || backends)
            lb_text_add(&p->out, "## %s%s%s%s\n\n", models ? lb_line_text(first, "model") : "", models && backends ? ", " : "",
                        backends ? lb_line_text(first, "backend") : "",
                        backends && !strcmp(lb_line_text(first, "numerics"), "fast") ? " (fast)" : "");
        put_table(p, from, to);
        put_learned(p, from, to);
        put_picks(p, from, to);
        if (json_is_true(json_object_get(p->experiment, "explain")))
            put_findings(p, from, to);
    }
    lb_by_layer_add(p->trials, &p->out);
}

int lb_markdown_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    struct page p = {.experiment = experiment, .trials = trials};
    char path[4200];
    snprintf(path, sizeof path, "%s/table.md", folder);
    int r = make_groups(&p, err);
    if (!r) {
        put_page(&p);
        r = lb_text_end(&p.out, err) || lb_write_file(path, p.out.s, p.out.n, err) ? -1 : 0;
    }
    for (size_t i = 0; i < p.n; i++)
        json_decref(p.groups[i].trials);
    lb_free(p.groups);
    lb_text_free(&p.out);
    return r;
}
