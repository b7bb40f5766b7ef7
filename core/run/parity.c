/* SPDX-License-Identifier: MIT */
#include "core/run/parity.h"
#include "core/run/columns.h"

#include <math.h>
#include <string.h>

/* One model on one backend, over seeds, formats and modes. */
struct sum {
    const char *model, *backend, *numerics;
    size_t trials, finished, other_weights, compared;
    double elements, max_abs, max_ulp; /* NaN where an output is */
    const char *weights;               /* of the first trial: as trained, where its format is F32 */
};

static const char *weights_of(const json_t *trial)
{
    return lb_line_text(json_object_get(trial, "row"), "weights_sha256");
}

static int same_cell(const json_t *a, const json_t *b)
{
    return !strcmp(lb_line_text(a, "model"), lb_line_text(b, "model")) && !strcmp(lb_line_text(a, "format"), lb_line_text(b, "format")) &&
           !strcmp(lb_line_text(a, "mode"), lb_line_text(b, "mode")) && json_equal(json_object_get(a, "seed"), json_object_get(b, "seed"));
}

/* The same cell on the first backend. */
static const json_t *first_of(const json_t *trials, const json_t *trial, const char *backend)
{
    size_t i;
    json_t *t;
    json_array_foreach(trials, i, t) if (!strcmp(lb_line_text(t, "backend"), backend) && same_cell(t, trial)) return t;
    return NULL;
}

/* The larger, NaN being the largest. */
static double largest(double a, const json_t *value)
{
    const double b = json_is_number(value) ? json_number_value(value) : (double)NAN;
    return a != a || b <= a ? a : b;
}

static void add_trial(struct sum *s, const json_t *trial, const json_t *first)
{
    const json_t *row = json_object_get(trial, "row"), *elements = json_object_get(row, "diff_elements");
    s->trials++;
    if (strcmp(lb_line_text(trial, "status"), "ok"))
        return;
    s->finished++;
    s->numerics = lb_line_text(trial, "numerics");
    s->weights = s->weights ? s->weights : weights_of(trial);
    s->other_weights += !first || strcmp(weights_of(trial), weights_of(first)) != 0;
    if (!elements)
        return;
    s->compared++;
    s->elements += json_number_value(elements);
    s->max_abs = largest(s->max_abs, json_object_get(row, "max_abs_diff"));
    s->max_ulp = largest(s->max_ulp, json_object_get(row, "max_ulp"));
}

static void add_row(const struct sum *s, struct lb_text *out)
{
    lb_text_add(out, "| %s | %s | %s | %zu of %zu | ", s->model, s->backend, s->finished ? s->numerics : "", s->finished, s->trials);
    if (!s->finished) {
        lb_text_add(out, "| | | | |\n");
        return;
    }
    lb_text_add(out, "%.16s… | %zu | ", s->weights, s->other_weights);
    if (s->compared) {
        lb_column_number(s->elements, 0, out);
        lb_text_add(out, " | ");
        lb_column_number(s->max_abs, -1, out);
        lb_text_add(out, " | ");
        lb_column_number(s->max_ulp, 0, out);
        lb_text_add(out, " |\n");
    } else
        lb_text_add(out, "| | |\n");
}

static void add_model(const json_t *backends, const json_t *trials, const char *model, struct lb_text *out)
{
    const char *first = json_string_value(json_array_get(backends, 0));
    size_t b, i;
    json_t *backend, *t;
    json_array_foreach(backends, b, backend)
    {
        struct sum s = {.model = model, .backend = json_string_value(backend)};
        json_array_foreach(trials, i, t) if (!strcmp(lb_line_text(t, "model"), model) && !strcmp(lb_line_text(t, "backend"), s.backend))
            add_trial(&s, t, first_of(trials, t, first));
        add_row(&s, out);
    }
}

void lb_parity_add(const json_t *experiment, const json_t *trials, struct lb_text *out)
{
    const json_t *backends = json_object_get(experiment, "backends");
    size_t i;
    json_t *model;
    if (json_array_size(backends) < 2)
        return;
    lb_text_add(out,
                "## The same bits?\n\nOver all seeds and formats: trials whose stored weights are not those of %s, and how far outputs are "
                "from those that cpu_ref gives for the same weights (empty: not compared).\n\n"
                "| model | backend | numerics | finished | weights (SHA-256, first format) | other weights | outputs that differ | max abs "
                "diff | max "
                "ulp |\n|---|---|---|---|---|---|---|---|---|\n",
                json_string_value(json_array_get(backends, 0)));
    json_array_foreach(json_object_get(experiment, "models"), i, model) add_model(backends, trials, lb_line_text(model, "name"), out);
    lb_text_add(out, "\n");
}
