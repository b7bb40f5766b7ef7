/* SPDX-License-Identifier: MIT */
/* core/run/columns.c: the columns that others rely on, and how a value is shown. */
#include "core/run/columns.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    int decimals;
    const char *json, *text;
} shown[] = {
    {4, "1.0", "1.0000"},
    {4, "99.99995", "99.9999"}, /* the double is below */
    {4, "99.99996", "100.0000"},
    {4, "-0.20000000000000284", "-0.2000"},
    {4, "-0.0", "0.0000"},
    {4, "-0.00001", "0.0000"},
    {4, "-0.00006", "-0.0001"},
    {2, "-0.001", "0.00"},
    {2, "-10.0", "-10.00"},
    {0, "-0.4", "0"},
    {0, "2.5", "2"},
    {1, "38653.84", "38653.8"},
    {4, "7", "7"}, /* an integer is a count, whatever the column */
    {0, "4611686018427387904", "4611686018427387904"},
    {0, "-3", "-3"},
    {-1, "0.1", "0.1"},
    {-1, "-0.0", "0"},
    {-1, "1e-10", "1e-10"},
    {-1, "-1e-10", "-1e-10"},
    {-1, "1234567890.123", "1.23456789e+09"},
    {-1, "3.0", "3"},
    {2, "\"inf\"", "inf"},
    {4, "\"nan\"", "nan"},
    {-1, "\"-inf\"", "-inf"},
    {0, "\"a, \\\"b\\\"\"", "a, \"b\""}, /* quotes are the CSV writer's work */
    {0, "\"\"", ""},
    {4, "null", ""},
    {4, "true", ""},
    {4, "[1]", ""},
    {4, "{}", ""},
};

Test(columns, text)
{
    for (size_t i = 0; i < COUNT(shown); i++) {
        const struct lb_column c = {"c", LB_FROM_ROW, shown[i].decimals, ""};
        json_t *v = json_loads(shown[i].json, JSON_DECODE_ANY, NULL);
        struct lb_text t = {0};
        cr_assert(v, "%s", shown[i].json);
        lb_column_text(&c, v, &t);
        cr_expect_str_eq(t.s, shown[i].text, "%s with %d decimals: \"%s\", expected \"%s\"", shown[i].json, shown[i].decimals, t.s,
                         shown[i].text);
        lb_text_free(&t);
        json_decref(v);
    }
}

Test(columns, no_value_is_an_empty_text)
{
    struct lb_text t = {0};
    lb_column_text(&lb_table_columns[0], NULL, &t);
    cr_expect(t.s && !*t.s);
    lb_text_free(&t);
}

Test(columns, the_largest_number_fits)
{
    const struct lb_column c = {"c", LB_FROM_ROW, 4, ""};
    json_t *v = json_real(-1.7976931348623157e308);
    struct lb_text t = {0};
    lb_column_text(&c, v, &t);
    cr_expect(strlen(t.s) == 1 + 309 + 5);
    cr_expect_str_eq(t.s + strlen(t.s) - 5, ".0000");
    lb_text_free(&t);
    json_decref(v);
}

/* Scripts of others read these by name and place: new columns go to the end. */
static const char *const table[] = {
    "format",     "codec",           "scale",      "mode",         "numerics",   "backend",      "seed",
    "quality",    "avg_dev",         "max_dev",    "top1",         "top1_delta", "agreement",    "kl",
    "sqnr_db",    "bits_per_weight", "file_bytes", "weight_bytes", "packed",     "max_abs_diff", "diff_elements",
    "max_ulp",    "hist_le10",       "hist_le20",  "hist_le30",    "hist_le40",  "hist_le50",    "hist_le100",
    "hist_gt100", "weights_sha256",  "status",     "trial"};
static const char *const measured[] = {"trial", "encode_s", "latency_s", "samples_per_s", "tensor_bytes", "rss_delta_bytes",
                                       "isa",   "threads",  "device",    "version",       "build"};

static void expect_columns(const struct lb_column *c, size_t n, const char *const *names, size_t n_names)
{
    cr_assert(n >= n_names && n <= 64, "report.c has room for 64");
    for (size_t i = 0; i < n; i++) {
        cr_expect(i >= n_names || !strcmp(c[i].name, names[i]), "column %zu is %s, expected %s", i, c[i].name, i < n_names ? names[i] : "");
        cr_expect(c[i].help && *c[i].help, "%s has no help", c[i].name);
        for (size_t k = 0; k < i; k++)
            cr_expect(strcmp(c[i].name, c[k].name), "%s stands there twice", c[i].name);
    }
}

Test(columns, order)
{
    expect_columns(lb_table_columns, lb_n_table_columns, table, COUNT(table));
    expect_columns(lb_measured_columns, lb_n_measured_columns, measured, COUNT(measured));
}

/* table.csv is the same on every machine: nothing that was measured, or that says what machine it was, may be in it. */
Test(columns, nothing_measured_in_the_table)
{
    for (size_t i = 0; i < lb_n_table_columns; i++)
        cr_expect(lb_table_columns[i].from != LB_FROM_MEASURED, "%s", lb_table_columns[i].name);
}
