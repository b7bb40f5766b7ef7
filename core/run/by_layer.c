/* SPDX-License-Identifier: MIT */
#include "core/run/by_layer.h"
#include "core/run/columns.h"

#include <string.h>

static int is_ok(const json_t *trial)
{
    return !strcmp(lb_line_text(trial, "status"), "ok");
}

/* ---- One layer alone ---- */

static int same_cell(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"model", "backend", "mode", "format"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(lb_line_text(a, keys[i]), lb_line_text(b, keys[i])) != 0)
            return 0;
    return 1;
}

/* Whether an earlier trial stands for the same cell with another seed. */
static int is_repeated(const json_t *trials, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same_cell(json_array_get(trials, i), json_array_get(trials, index)))
            return 1;
    return 0;
}

/* What encoding did to the weights of the layer: an item of the row's "layers". */
static const json_t *layer_of(const json_t *trial)
{
    size_t i;
    json_t *l;
    char name[40];
    snprintf(name, sizeof name, "%lld.weight", (long long)json_integer_value(json_object_get(trial, "only")));
    json_array_foreach(json_object_get(json_object_get(trial, "row"), "layers"), i, l) if (!strcmp(lb_line_text(l, "name"), name)) return l;
    return NULL;
}

struct sums {
    size_t n;
    double kl, top1_delta, sqnr_db, bytes;
    int has_kl, has_sqnr;
};

static struct sums sum_cell(const json_t *trials, const json_t *first)
{
    struct sums s = {.has_kl = 1, .has_sqnr = 1};
    size_t i;
    json_t *t;
    json_array_foreach(trials, i, t)
    {
        const json_t *row = json_object_get(t, "row"), *layer = layer_of(t);
        if (!same_cell(t, first) || !is_ok(t))
            continue;
        s.n++;
        s.has_kl &= json_is_number(json_object_get(row, "kl"));
        s.kl += json_number_value(json_object_get(row, "kl"));
        s.top1_delta += json_number_value(json_object_get(row, "top1_delta"));
        s.has_sqnr &= json_is_number(json_object_get(layer, "sqnr_db"));
        s.sqnr_db += json_number_value(json_object_get(layer, "sqnr_db"));
        s.bytes += json_number_value(json_object_get(layer, "bytes"));
    }
    return s;
}

static void put_alone(const json_t *trials, size_t index, struct lb_text *out)
{
    const json_t *first = json_array_get(trials, index);
    const struct sums s = sum_cell(trials, first);
    const char *format = lb_line_text(first, "format"), *at = strrchr(format, '@');
    const double n = (double)s.n;
    lb_text_add(out, "| %s | %.*s | %s | %s | %s |", lb_line_text(first, "model"), (int)(at ? at - format : 0), format, at ? at + 1 : "",
                lb_line_text(first, "mode"), lb_line_text(first, "backend"));
    if (s.n && s.has_kl) {
        lb_text_add(out, " ");
        lb_column_number(s.kl / n, -1, out);
    }
    if (s.n) {
        lb_text_add(out, " | %.2f | ", s.top1_delta / n);
        lb_text_add(out, s.has_sqnr ? "%.1f" : "inf", s.sqnr_db / n);
        lb_text_add(out, " | %.0f |\n", s.bytes / n);
    } else
        lb_text_add(out, " | | | |\n");
}

static void put_sensitivity(const json_t *trials, struct lb_text *out)
{
    int any = 0;
    for (size_t i = 0; i < json_array_size(trials); i++) {
        if (!json_object_get(json_array_get(trials, i), "only") || is_repeated(trials, i))
            continue;
        if (!any)
            lb_text_add(out, "## One layer alone\n\nAll other layers are as they were trained. Means over the seeds.\n\n"
                             "| model | format | layer | mode | backend | KL (nats) | Δ points | SQNR of its weights, dB | its bytes |\n"
                             "|---|---|---|---|---|---|---|---|---|\n");
        any = 1;
        put_alone(trials, i, out);
    }
    if (any)
        lb_text_add(out, "\n");
}

/* ---- Searches ---- */

static void put_search(const json_t *trial, struct lb_text *out)
{
    const json_t *search = json_object_get(json_object_get(trial, "row"), "search");
    size_t i;
    json_t *o;
    lb_text_add(out, "### %s: %s, mode %s, seed %lld, %s\n\n", lb_line_text(trial, "format"), lb_line_text(trial, "model"),
                lb_line_text(trial, "mode"), (long long)json_integer_value(json_object_get(trial, "seed")), lb_line_text(trial, "backend"));
    json_array_foreach(json_object_get(search, "measured"), i, o) if (json_is_true(json_object_get(o, "chosen")))
        lb_text_add(out, "- layer %lld: **%s**, %lld bytes\n", (long long)json_integer_value(json_object_get(o, "layer")),
                    lb_line_text(o, "format"), (long long)json_integer_value(json_object_get(o, "bytes")));
    lb_text_add(out, "\nEvery layer began with the format of least KL. Then, while the budget of %.9g bits a weight was not met:\n\n",
                json_number_value(json_object_get(search, "budget")));
    json_array_foreach(json_object_get(search, "steps"), i, o)
    {
        lb_text_add(out, "%zu. layer %lld: %s instead of %s, KL alone ", i + 1, (long long)json_integer_value(json_object_get(o, "layer")),
                    lb_line_text(o, "format"), lb_line_text(o, "instead_of"));
        if (json_is_number(json_object_get(o, "kl")))
            lb_column_number(json_number_value(json_object_get(o, "kl")), -1, out);
        else
            lb_text_add(out, "inf");
        lb_text_add(out, ": %.4f bits a weight\n", json_number_value(json_object_get(o, "bits")));
    }
    lb_text_add(out, json_array_size(json_object_get(search, "steps")) ? "\n" : "(it was met at once)\n\n");
}

void lb_by_layer_add(const json_t *trials, struct lb_text *out)
{
    size_t i, any = 0;
    json_t *t;
    put_sensitivity(trials, out);
    json_array_foreach(trials, i, t)
    {
        if (!json_object_get(json_object_get(t, "row"), "search"))
            continue;
        if (!any++)
            lb_text_add(out, "## Formats by layer, searched\n\n");
        put_search(t, out);
    }
}
