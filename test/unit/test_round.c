/* SPDX-License-Identifier: MIT */
/* lb_round_matrix, the host's way for activations: what it makes of a matrix is what encoding it into a file and decoding it makes, bit for bit, for formats of every
 * kind; rows that go separately give what they give together; and a calibrated scale is the one that is given. */
#include "test/unit/nn_util.h"

#include "core/format/round.h"
#include "core/run/config.h"
#include "kernels/canon.h"

#include <math.h>

static const char *const formats[] = {
    "F32",
    "F64",
    "BF16",
    "MXFP4",
    "NVFP4",
    "INT8",
    "INT8_CHANNEL",
    "INT4_G32_MSE",
    "UINT8_ASYM",
    "UINT4_ASYM_G32",
    "NF4_DOUBLE",
    "I16_X1000",
    "U8_X100",
    "LOOM_F4A",
    "Q4_0",
    "Q8_0",
    "Q4_K",
    "IQ4_NL",
    "TQ1_0",
    "{\"codec\": \"I8\", \"overflow\": \"wrap\", \"scale\": {\"per\": \"row\", \"rule\": \"fixed\", \"value\": 0.01}}",
    "{\"codec\": \"F8_E4M3\", \"rounding\": \"stochastic\", \"scale\": {\"per\": \"row\"}}",
    "{\"codec\": \"I32\", \"rounding\": \"stochastic\", \"scale\": {\"multiply\": 100}}"};
static const size_t shapes[][2] = {{1, 1}, {1, 300}, {5, 33}, {7, 256}, {64, 10}, {3, 0}, {0, 4}};
enum { SEED = 7, STREAM = 0x30002 };

/* Threads, in the worst order. */
static void backwards(const struct lb_host *h, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    (void)h;
    while (n-- > 0)
        fn(arg, n);
}
static const struct lb_host host = {.threads = 3, .parallel = backwards};

static float number(size_t i)
{
    static const float special[] = {0.0f, -0.0f, 1.0f, -1.0f, 0x1p-149f, -0x1p-130f, 3e38f, NAN, INFINITY, -INFINITY};
    const uint32_t b = (uint32_t)i * 2654435761u ^ 0x9e3779b9u;
    return b % 37 == 0 ? special[b / 37 % COUNT(special)] : (canon_unit(b * 2246822519u) - 0.3f) * (i % 5 == 0 ? 8.0f : 0.5f);
}

static struct lb_format *open_format(const char *text, struct lb_format_config *config)
{
    struct lb_err err = {0};
    struct lb_format *f = NULL;
    cr_assert(!lb_config_format(text, NULL, config, &err) && !lb_format_create(config, &f, &err), "%s: %s", text, err.text);
    return f;
}

static void through_a_file(const struct lb_format *f, const float *x, const size_t *shape, float *y)
{
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    struct lb_err err = {0};
    cr_assert(!lb_format_encode(f, "x", x, 2, shape, SEED, STREAM, &st, &stats, &err), "%s: %s", f->config->name, err.text);
    cr_assert(!lb_format_decode(&st, "x", y, shape[0] * shape[1], &err), "%s: %s", f->config->name, err.text);
    lb_safetensors_finish(&st);
}

/* Whether what shares a scale lies in one row. */
static int by_rows(const struct lb_format *f)
{
    return f->config->per != LB_PER_TENSOR && !(f->scale && f->scale->config->rule != LB_SCALE_NONE);
}

static void one_case(const char *text, const size_t *shape, int special)
{
    const size_t n = shape[0] * shape[1];
    struct lb_format_config config;
    struct lb_err err = {0};
    struct lb_format *f = open_format(text, &config);
    struct lb_round r = {.f = f, .host = &host, .seed = SEED, .stream = STREAM};
    float *x = malloc(n * sizeof *x + 1), *want = malloc(n * sizeof *x + 1), *got = malloc(n * sizeof *x + 1);
    for (size_t i = 0; i < n; i++)
        x[i] = special ? number(i) : (canon_unit((uint32_t)i * 2246822519u) - 0.3f);
    through_a_file(f, x, shape, want);
    memcpy(got, x, n * sizeof *x);
    cr_assert(!lb_round_matrix(&r, got, shape[0], shape[1], &err), "%s", err.text);
    cr_expect(!memcmp(got, want, n * sizeof *x), "%s %zu x %zu: not what a file gives", text, shape[0], shape[1]);
    memcpy(got, x, n * sizeof *x);
    for (size_t i = 0; i < shape[0] && by_rows(f); i++) {
        r.first = i * shape[1];
        cr_assert(!lb_round_matrix(&r, got + i * shape[1], 1, shape[1], &err), "%s", err.text);
    }
    cr_expect(!by_rows(f) || !memcmp(got, want, n * sizeof *x), "%s %zu x %zu: rows alone", text, shape[0], shape[1]);
    free(x);
    free(want);
    free(got);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
}

Test(round, what_a_file_gives)
{
    load_plugins();
    for (size_t i = 0; i < COUNT(formats); i++)
        for (size_t k = 0; k < COUNT(shapes); k++)
            for (int special = 0; special < 2; special++)
                one_case(formats[i], shapes[k], special);
    drop_all();
}

Test(round, calibrated)
{
    struct lb_format_config config;
    struct lb_err err = {0};
    load_plugins();
    struct lb_format *f =
        open_format("{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\", \"calibrated\": true}}", &config);
    const struct lb_round r = {.f = f, .host = &host, .calibrated = 1, .s = 0.25f, .z = 100};
    float x[] = {0, 0.3f, -0.4f, 1000, -1000, NAN, 0.125f, 0.375f};
    const float want[] = {0, 0.25f, -0.5f, 38.75f, -25, -25, 0, 0.5f}; /* (q - 100) / 4, 0 <= q <= 255; halves to even; a NaN is code 0 */
    cr_assert(!lb_round_matrix(&r, x, 2, 4, &err), "%s", err.text);
    for (size_t i = 0; i < COUNT(x); i++)
        cr_expect_eq(x[i], want[i], "element %zu: %g, expected %g", i, (double)x[i], (double)want[i]);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    drop_all();
}
