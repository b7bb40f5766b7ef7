/* SPDX-License-Identifier: MIT */
/* figures.c - plot.svg and pareto.svg. */
#include "core/run/figures.h"
#include "core/run/columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Top-1 and quality of each format ---- */

/* Lines "place top1 quality name", one for each trial that has them; trials that differ in the seed alone share a place. How many places. */
static size_t put_points(struct lb_text *t, const json_t *experiment, const json_t *trials)
{
    const int models = json_array_size(json_object_get(experiment, "models")) > 1;
    const int backends = json_array_size(json_object_get(experiment, "backends")) > 1;
    json_t *places = json_object(), *trial;
    size_t i;
    json_array_foreach(trials, i, trial)
    {
        const json_t *row = json_object_get(trial, "row"), *top1 = json_object_get(row, "top1"), *quality = json_object_get(row, "quality");
        const char *format = json_string_value(json_object_get(trial, "format")),
                   *model = json_string_value(json_object_get(trial, "model"));
        const char *backend = json_string_value(json_object_get(trial, "backend"));
        const char *mode = lb_line_text(trial, "mode");
        if (json_object_get(trial, "only") || !json_is_number(top1) || !json_is_number(quality) || !format || !model || !backend)
            continue;
        struct lb_text name = {0};
        lb_text_add(&name, "%s%s%s%s%s%s%s", models ? model : "", models ? " " : "", format, strcmp(mode, "w") ? " " : "",
                    strcmp(mode, "w") ? mode : "", backends ? " " : "", backends ? backend : "");
        if (name.s && !json_object_get(places, name.s))
            json_object_set_new(places, name.s, json_integer((json_int_t)json_object_size(places)));
        lb_text_add(t, "%lld %.9g %.9g ", (long long)(name.s ? json_integer_value(json_object_get(places, name.s)) : 0),
                    json_number_value(top1), json_number_value(quality));
        lb_quoted(t, name.s ? name.s : "");
        lb_text_add(t, "\n");
        lb_text_free(&name);
    }
    const size_t n = json_object_size(places);
    json_decref(places);
    return n;
}

const json_t *lb_first_ok(const json_t *trials)
{
    size_t i;
    json_t *t;
    json_array_foreach(trials, i, t) if (!strcmp(lb_line_text(t, "status"), "ok")) return t;
    return NULL;
}

void lb_quoted(struct lb_text *t, const char *s)
{
    lb_text_add(t, "\"");
    for (; *s; s++)
        lb_text_add(t, "%c", *s == '"' || *s == '\\' || *s == '`' || (unsigned char)*s < ' ' ? '\'' : *s);
    lb_text_add(t, "\"");
}

int lb_figure_formats(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height)
{
    const char *title = lb_line_text(experiment, "title"), *name = lb_line_text(experiment, "name");
    lb_text_add(out, "$points << END_OF_POINTS\n");
    const size_t n = put_points(out, experiment, trials);
    *width = (unsigned)(28 * n + 200);
    (void)height;
    lb_text_add(out, "END_OF_POINTS\nset title ");
    lb_quoted(out, *title ? title : name);
    lb_text_add(out,
                "\nset ylabel \"percent\"\nset yrange [-4:104]\nset xrange [-1:%zu]\nset xtics rotate by -55 font \",10\"\nset grid\nset "
                "key outside top right\n"
                "plot $points using 1:2:xticlabels(4) with points pointtype 7 pointsize 0.7 title \"top-1\", "
                "$points using 1:3 with points pointtype 4 pointsize 0.9 title \"quality\"\n",
                n);
    return n > 0;
}

/* ---- What is lost against bits a weight ---- */

enum { LOSSES = 2 };

/* Ways of losing, each a panel; what is lost is drawn on a logarithmic axis, the least on top. */
static const struct loss {
    const char *key, *axis;
    double from;  /* what is lost is `from` less the figure; 0: the figure */
    double least; /* what is less is drawn as this much */
    int all;      /* every format's name, not those of the front alone */
} losses[LOSSES] = {{"top1", "top-1 error, percent (mean over seeds)", 100, 0.01, 0},
                    {"kl", "KL(F32 || format), nats (mean over seeds)", 0, 1e-9, 1}};

/* A cell of the sweep, over its seeds. */
struct place {
    const json_t *first;
    double bits, lost;
    size_t n;
};

static int same_place(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"model", "format", "mode"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(lb_line_text(a, keys[i]), lb_line_text(b, keys[i])) != 0)
            return 0;
    return 1;
}

/* The places of one model on the first backend that ran; freed by the caller. */
static struct place *find_places(const json_t *trials, const char *model, const struct loss *by, size_t *n)
{
    struct place *p = lb_alloc(json_array_size(trials) + 1, sizeof *p, NULL);
    const char *backend = lb_line_text(lb_first_ok(trials), "backend");
    size_t i, k;
    json_t *t;
    *n = 0;
    json_array_foreach(trials, i, t)
    {
        const json_t *row = json_object_get(t, "row"), *bits = json_object_get(row, "bits_per_weight"), *v = json_object_get(row, by->key);
        if (!p || !json_is_number(bits) || !json_is_number(v) || json_object_get(t, "only") ||
            strcmp(lb_line_text(t, "model"), model) != 0 || strcmp(lb_line_text(t, "backend"), backend) != 0)
            continue;
        for (k = 0; k < *n && !same_place(p[k].first, t);)
            k++;
        if (k == *n)
            p[(*n)++].first = t;
        p[k].bits += json_number_value(bits);
        p[k].lost += by->from > 0 ? by->from - json_number_value(v) : json_number_value(v);
        p[k].n++;
    }
    for (k = 0; k < *n; k++) {
        p[k].bits /= (double)p[k].n;
        p[k].lost /= (double)p[k].n;
    }
    return p;
}

/* By bits, of equal ones the better first. */
static int by_bits(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->bits < y->bits || x->bits > y->bits)
        return x->bits < y->bits ? -1 : 1;
    return (x->lost > y->lost) - (x->lost < y->lost);
}

/* One model's points by mode, and the front: whatever no other beats in both. Lines "bits lost colour name named". */
static void put_places(struct lb_text *out, const struct loss *by, struct place *p, size_t n)
{
    struct lb_text front = {0};
    double best = HUGE_VAL;
    qsort(p, n, sizeof *p, by_bits);
    lb_text_add(out, "$points << END\n");
    for (size_t k = 0; k < n; k++) {
        const char *mode = lb_line_text(p[k].first, "mode");
        struct lb_text name = {0};
        const int colour = !strcmp(mode, "w") ? 1 : !strcmp(mode, "wa") ? 2 : 3, better = p[k].lost < best;
        const double lost = p[k].lost < by->least ? by->least : p[k].lost;
        lb_text_add(&name, "%s%s%s", lb_line_text(p[k].first, "format"), colour == 1 ? "" : " ", colour == 1 ? "" : mode);
        lb_text_add(out, "%.9g %.9g %d ", p[k].bits, lost, colour);
        lb_quoted(out, name.s && (better || (by->all && colour == 1)) ? name.s : "");
        lb_text_add(out, "\n");
        lb_text_free(&name);
        if (better)
            lb_text_add(&front, "%.9g %.9g\n", p[k].bits, lost);
        best = better ? p[k].lost : best;
    }
    lb_text_add(out, "END\n$front << END\n%sEND\n", front.s ? front.s : "");
    lb_text_free(&front);
}

static void put_panel(struct lb_text *out, const char *model, const struct loss *by, struct place *p, size_t n)
{
    put_places(out, by, p, n);
    lb_text_add(out, "set title ");
    lb_quoted(out, model);
    lb_text_add(out, "\nset ylabel ");
    lb_quoted(out, by->axis);
    lb_text_add(
        out,
        "\nplot $front using 1:2 with steps linewidth 2 linecolor 0 title \"Pareto front\", $points using 1:($3==1?$2:NaN) with points "
        "pointtype 7 pointsize 0.6 linecolor 1 title \"w\", $points using 1:($3==2?$2:NaN) with points pointtype 7 pointsize 0.6 "
        "linecolor 2 title \"wa\", $points using 1:($3==3?$2:NaN) with points pointtype 7 pointsize 0.6 linecolor 3 title "
        "\"w8a8, w4a8\", $points using 1:2:4 with labels left offset 0.6,0.3 font \",8\" notitle\n");
}

int lb_figure_pareto(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height)
{
    const json_t *models = json_object_get(experiment, "models");
    size_t i, drawn = 0;
    json_t *m;
    struct lb_text panels = {0};
    json_array_foreach(models, i, m) for (size_t k = 0; k < LOSSES; k++)
    {
        const char *name = lb_line_text(m, "name");
        size_t n;
        struct place *p = find_places(trials, name, &losses[k], &n);
        if (n > 1) {
            put_panel(&panels, name, &losses[k], p, n);
            drawn++;
        }
        lb_free(p);
    }
    *width = 1200;
    *height = (unsigned)(drawn ? 700 * drawn : 700);
    if (drawn)
        lb_text_add(out,
                    "set multiplot layout %zu,1\nset logscale x 2\nset xrange [1:40]\nset logscale y\nset yrange [*:*] reverse\nset xlabel "
                    "\"bits a weight, "
                    "scales and all\"\nset grid\nset key bottom right\n%sunset multiplot\n",
                    drawn, panels.s ? panels.s : "");
    lb_text_free(&panels);
    return drawn > 0;
}
