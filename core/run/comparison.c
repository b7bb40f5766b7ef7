/* SPDX-License-Identifier: MIT */
#include "core/run/comparison.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/columns.h"
#include "core/run/figures.h"

#include <stdio.h>
#include <string.h>

static const json_t *row_of(const json_t *trial, const char *key)
{
    return json_object_get(json_object_get(trial, "row"), key);
}

static double measured(const json_t *trial, const char *key)
{
    return json_number_value(json_object_get(json_object_get(trial, "measured"), key));
}

static const json_t *outputs_of(const json_t *trial)
{
    return strcmp(lb_line_text(trial, "status"), "ok") ? NULL : row_of(trial, "outputs");
}

/* The trial of the same network in F32 on the same backend. */
static const json_t *f32_of(const json_t *trials, const json_t *trial)
{
    size_t i;
    json_t *t;
    json_array_foreach(trials, i, t)
    {
        if (!strcmp(lb_line_text(t, "codec"), "F32") && !strcmp(lb_line_text(t, "scale"), "none") &&
            !strcmp(lb_line_text(t, "mode"), "w") && !strcmp(lb_line_text(t, "model"), lb_line_text(trial, "model")) &&
            !strcmp(lb_line_text(t, "backend"), lb_line_text(trial, "backend")) && !strcmp(lb_line_text(t, "status"), "ok") &&
            json_equal(json_object_get(t, "seed"), json_object_get(trial, "seed")))
            return t;
    }
    return NULL;
}

static void put_number(struct lb_text *out, const char *format, const json_t *v)
{
    if (json_is_number(v))
        lb_text_add(out, format, json_number_value(v));
    else
        lb_text_add(out, "%s", json_is_string(v) ? json_string_value(v) : "");
}

/* A line: F32, this, their quotient; without an F32 trial only this. */
static void put_line(struct lb_text *out, const char *name, const char *format, double f32, double own)
{
    char a[40] = "", b[40], ratio[40] = "";
    snprintf(b, sizeof b, format, own);
    if (f32 > 0 && own > 0) {
        snprintf(a, sizeof a, format, f32);
        snprintf(ratio, sizeof ratio, "%.2f", f32 / own);
    }
    lb_text_add(out, "| %s | %s | %s | %s |\n", name, a, b, ratio);
}

/* What is published of the format, or NULL. */
static const json_t *published_of(const json_t *experiment, const json_t *trial)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(experiment, "published"), i,
                       p) if (!strcmp(lb_line_text(p, "format"), lb_line_text(trial, "format"))) return p;
    return NULL;
}

static void put_published(const json_t *experiment, const json_t *trial, struct lb_text *out)
{
    const json_t *p = published_of(experiment, trial);
    const char *accuracy = p ? lb_line_text(p, "accuracy") : "", *size = p ? lb_line_text(p, "size") : "";
    if (*accuracy || *size)
        lb_text_add(out, "Published: %s%s%s.\n\n", accuracy, *accuracy && *size ? ", " : "", size);
}

static void put_whole(const json_t *trial, const json_t *f32, struct lb_text *out)
{
    const double own_bytes = json_number_value(row_of(trial, "weight_bytes")), bytes = json_number_value(row_of(f32, "weight_bytes"));
    lb_text_add(out, "| | F32 | this | F32 / this |\n|---|---|---|---|\n| accuracy, %% | ");
    put_number(out, "%.2f", row_of(trial, "top1_f32"));
    lb_text_add(out, " | ");
    put_number(out, "%.2f", row_of(trial, "top1"));
    lb_text_add(out, " | ");
    put_number(out, "%+.2f points", row_of(trial, "top1_delta"));
    lb_text_add(out, " |\n| same answer as F32, %% | | ");
    put_number(out, "%.2f", row_of(trial, "agreement"));
    lb_text_add(out, " | |\n| KL(F32 ‖ this), nats | | ");
    put_number(out, "%.3g", row_of(trial, "kl"));
    lb_text_add(out, " | |\n");
    put_line(out, "weights, bytes", "%.0f", bytes, own_bytes);
    put_line(out, "weights and numbers of a batch by formula, bytes", "%.0f", measured(f32, "formula_bytes"),
             measured(trial, "formula_bytes"));
    put_line(out, "allocated at most, bytes", "%.0f", measured(f32, "tensor_bytes"), measured(trial, "tensor_bytes"));
    put_line(out, "samples of a batch", "%.0f", measured(f32, "batch"), measured(trial, "batch"));
    put_line(out, "latency of a batch, s", "%.3g", measured(f32, "latency_s"), measured(trial, "latency_s"));
    put_line(out, "samples/s", "%.4g", measured(f32, "samples_per_s"), measured(trial, "samples_per_s"));
    lb_text_add(out, "\n");
}

static void put_layers(const json_t *trial, struct lb_text *out)
{
    size_t i;
    json_t *o;
    lb_text_add(out, "| layer | | computes with | SQNR of its output, dB | largest error | saturated, %% |\n|---|---|---|---|---|---|\n");
    json_array_foreach(outputs_of(trial), i, o)
    {
        lb_text_add(out, "| %lld | %s | %s | ", (long long)json_integer_value(json_object_get(o, "layer")), lb_line_text(o, "kind"),
                    json_is_true(json_object_get(o, "integer")) ? "integers" : "F32");
        put_number(out, "%.2f", json_object_get(o, "sqnr_db"));
        lb_text_add(out, " | ");
        put_number(out, "%.4g", json_object_get(o, "max_error"));
        lb_text_add(out, " | ");
        put_number(out, "%.3f", json_object_get(o, "saturated"));
        lb_text_add(out, " |\n");
    }
    lb_text_add(out, "\n");
}

static void put_head(const json_t *experiment, struct lb_text *out)
{
    const char *title = lb_line_text(experiment, "title");
    lb_text_add(
        out,
        "# %s: float beside quantized\n\nOf each network its first seed, each network in each format and mode beside itself in F32. "
        "Accuracy, "
        "agreement, KL and the errors of layers can be made again bit for bit; times and memory are those of one run on one machine. "
        "A layer's output is compared as the next layer reads it, over the first calibration samples of the test set; saturated: codes at "
        "an end of "
        "their range that is not their zero.\n\n![SQNR of each layer's output](outputs.svg)\n\n",
        *title ? title : lb_line_text(experiment, "name"));
}

/* Whether an earlier trial is the same with another seed. */
static int is_repeated(const json_t *trials, size_t index)
{
    static const char *const keys[] = {"model", "backend", "mode", "format"};
    const json_t *t = json_array_get(trials, index);
    for (size_t i = 0; i < index; i++) {
        size_t same = 0;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            same += !strcmp(lb_line_text(json_array_get(trials, i), keys[k]), lb_line_text(t, keys[k]));
        if (same == sizeof keys / sizeof *keys && outputs_of(json_array_get(trials, i)))
            return 1;
    }
    return 0;
}

int lb_comparison_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    struct lb_text out = {0};
    char path[4200];
    size_t i, n = 0;
    json_t *t;
    put_head(experiment, &out);
    json_array_foreach(trials, i, t)
    {
        const json_t *f32 = f32_of(trials, t);
        if (!outputs_of(t) || t == f32 || is_repeated(trials, i))
            continue;
        lb_text_add(&out, "## %s, %s, mode %s, on %s\n\n", lb_line_text(t, "model"), lb_line_text(t, "format"), lb_line_text(t, "mode"),
                    lb_line_text(t, "backend"));
        put_published(experiment, t, &out);
        put_whole(t, f32, &out);
        put_layers(t, &out);
        n++;
    }
    snprintf(path, sizeof path, "%s/comparison.md", folder);
    const int r = lb_text_end(&out, err) || (n && lb_write_file(path, out.s, out.n, err)) ? -1 : 0;
    lb_text_free(&out);
    return r;
}

/* ---- outputs.svg ---- */

int lb_figure_outputs(const json_t *experiment, const json_t *trials, struct lb_text *out, unsigned *width, unsigned *height)
{
    const char *model = lb_line_text(json_array_get(json_object_get(experiment, "models"), 0), "name");
    struct lb_text plot = {0};
    size_t i, l, drawn = 0;
    json_t *t, *o;
    json_array_foreach(trials, i, t)
    {
        if (!outputs_of(t) || strcmp(lb_line_text(t, "model"), model) != 0 || is_repeated(trials, i))
            continue;
        size_t points = 0;
        lb_text_add(out, "$o%zu << END\n", i);
        json_array_foreach(outputs_of(t), l, o)
        {
            const json_t *sqnr = json_object_get(o, "sqnr_db");
            if (!json_is_number(sqnr))
                continue;
            lb_text_add(out, "%zu %.6g ", l, json_number_value(sqnr));
            lb_quoted(out, lb_line_text(o, "kind"));
            lb_text_add(out, "\n");
            points++;
        }
        lb_text_add(out, "END\n");
        if (!points)
            continue;
        lb_text_add(&plot, "%s$o%zu using 1:2:xticlabels(3) with linespoints linecolor %zu pointtype %zu title ", drawn ? ", " : "plot ", i,
                    drawn % 8 + 1, drawn / 8 + 1);
        char name[200];
        snprintf(name, sizeof name, "%.80s, %.20s, %.60s", lb_line_text(t, "format"), lb_line_text(t, "mode"), lb_line_text(t, "backend"));
        lb_quoted(&plot, name);
        drawn++;
    }
    *width = 1000;
    *height = (unsigned)(400 + 14 * drawn);
    lb_text_add(
        out,
        "set title \"Signal to quantization noise of each layer's output\"\nset ylabel \"dB\"\nset xtics rotate by -30\nset grid\nset key "
        "outside right\n%s\n",
        plot.s ? plot.s : "");
    lb_text_free(&plot);
    return drawn > 0;
}
