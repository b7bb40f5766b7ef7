/* SPDX-License-Identifier: MIT */
/* figures_codes.c - layers.svg and codes.svg: what encoding did, from the rows' "layers". */
#include "core/run/columns.h"
#include "core/run/figures.h"

#include <string.h>

/* The trials that are drawn: of the first model, and of the first finished trial's backend, mode and seed. */
static int is_shown(const json_t *experiment, const json_t *trials, const json_t *t)
{
    const json_t *first = lb_first_ok(trials), *model = json_array_get(json_object_get(experiment, "models"), 0);
    return !strcmp(lb_line_text(t, "model"), lb_line_text(model, "name")) &&
           !strcmp(lb_line_text(t, "backend"), lb_line_text(first, "backend")) &&
           !strcmp(lb_line_text(t, "mode"), lb_line_text(first, "mode")) && !json_object_get(t, "only") &&
           json_equal(json_object_get(t, "seed"), json_object_get(first, "seed")) && json_object_get(json_object_get(t, "row"), "layers");
}

static int is_weight(const json_t *layer)
{
    const char *name = lb_line_text(layer, "name"), *dot = strchr(name, '.');
    return dot && !strcmp(dot, ".weight");
}

/* Lines "place sqnr name" of one trial's weights; how many. */
static size_t put_layers(const json_t *trial, size_t index, struct lb_text *out)
{
    size_t i, place = 0, n = 0;
    json_t *l;
    lb_text_add(out, "$l%zu << END\n", index);
    json_array_foreach(json_object_get(json_object_get(trial, "row"), "layers"), i, l)
    {
        const json_t *sqnr = json_object_get(l, "sqnr_db");
        if (!is_weight(l))
            continue;
        if (json_is_number(sqnr)) {
            lb_text_add(out, "%zu %.6g ", place, json_number_value(sqnr));
            lb_quoted(out, lb_line_text(l, "name"));
            lb_text_add(out, "\n");
            n++;
        }
        place++;
    }
    lb_text_add(out, "END\n");
    return n;
}

int lb_figure_layers(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height)
{
    struct lb_text plot = {0};
    size_t i, drawn = 0;
    json_t *t;
    json_array_foreach(trials, i, t)
    {
        if (!is_shown(experiment, trials, t) || !put_layers(t, i, out))
            continue;
        lb_text_add(&plot, "%s$l%zu using 1:2:xticlabels(3) with linespoints linecolor %zu pointtype %zu title ", drawn ? ", " : "plot ", i,
                    drawn % 8 + 1, drawn / 8 + 1);
        lb_quoted(&plot, lb_line_text(t, "format"));
        drawn++;
    }
    *width = 1000;
    *height = (unsigned)(400 + 14 * drawn);
    lb_text_add(
        out, "set title \"Signal to quantization noise of each layer's weights\"\nset ylabel \"dB\"\nset grid\nset key outside right\n%s\n",
        plot.s ? plot.s : "");
    lb_text_free(&plot);
    return drawn > 0;
}

/* The counts of each code over all weights of a trial, where its codec has at most 4 bits: how many codes. */
static size_t sum_codes(const json_t *trial, double counts[16])
{
    size_t i, c, n = 0;
    json_t *l, *count;
    memset(counts, 0, 16 * sizeof *counts);
    json_array_foreach(json_object_get(json_object_get(trial, "row"), "layers"), i, l)
    {
        const json_t *codes = json_object_get(l, "codes");
        if (!json_array_size(codes) || json_array_size(codes) > 16)
            continue;
        n = json_array_size(codes);
        json_array_foreach(codes, c, count) counts[c] += json_number_value(count);
    }
    return n;
}

int lb_figure_codes(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height)
{
    enum { ACROSS = 4 };
    struct lb_text plots = {0};
    size_t i, drawn = 0;
    json_t *t;
    json_array_foreach(trials, i, t)
    {
        double counts[16], all = 0;
        const int mixed = !strcmp(lb_line_text(t, "scale"), "by layer");
        const size_t n = is_shown(experiment, trials, t) && !mixed ? sum_codes(t, counts) : 0;
        if (!n)
            continue;
        for (size_t c = 0; c < n; c++)
            all += counts[c];
        lb_text_add(out, "$c%zu << END\n", i);
        for (size_t c = 0; c < n; c++)
            lb_text_add(out, "%zu %.6g\n", c, all > 0 ? 100 * counts[c] / all : 0);
        lb_text_add(out, "END\n");
        lb_text_add(&plots, "set title ");
        lb_quoted(&plots, lb_line_text(t, "format"));
        lb_text_add(&plots, "\nplot $c%zu using 1:2 with boxes fillstyle solid 0.6 notitle\n", i);
        drawn++;
    }
    const size_t down = (drawn + ACROSS - 1) / ACROSS;
    *width = 1200;
    *height = (unsigned)(220 * (down ? down : 1));
    lb_text_add(out,
                "set multiplot layout %zu,%d\nset xlabel \"code\"\nset ylabel \"percent of codes\"\nset yrange [0:*]\nset boxwidth "
                "0.8\n%sunset multiplot\n",
                down ? down : 1, ACROSS, plots.s ? plots.s : "");
    lb_text_free(&plots);
    return drawn > 0;
}
