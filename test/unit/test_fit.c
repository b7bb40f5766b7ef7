/* SPDX-License-Identifier: MIT */
/* Fitting of whole networks: factors that change no function and lower the error, corrected biases, the same bits on every backend, and what is refused. */
#include "test/unit/nn_util.h"

#include "core/nn/fit_impl.h"
#include "core/run/config.h"
#include "kernels/canon.h"

enum { SAMPLES = 40, BATCH = 16, CLASSES = 5 };

static const char mlp[] = "{\"input\": [1, 1, 12], \"layers\": [{\"type\": \"dense\", \"units\": 20, \"activation\": \"relu\"}, "
                          "{\"type\": \"activation\", \"activation\": \"scaled_relu\", \"alpha\": 0.7}, "
                          "{\"type\": \"dense\", \"units\": 16, \"activation\": \"sigmoid\"}, {\"type\": \"dense\", \"units\": 5}]}";
static const char cnn[] =
    "{\"input\": [2, 7, 6], \"layers\": [{\"type\": \"dense\", \"units\": 90, \"activation\": \"relu\"}, "
    "{\"type\": \"reshape\", \"shape\": [3, 6, 5]}, "
    "{\"type\": \"conv2d\", \"filters\": 4, \"kernel\": [3, 2], \"stride\": 2, \"padding\": 1, \"activation\": \"scaled_relu\"}, "
    "{\"type\": \"conv2d\", \"filters\": 6, \"kernel\": 2, \"activation\": \"relu\"}, {\"type\": \"flatten\"}, "
    "{\"type\": \"dense\", \"units\": 5, \"activation\": \"softmax\"}]}";

static const struct lb_model *network(const char *text)
{
    struct lb_model *m = model_of(experiment(text, "{}"), CLASSES);
    lb_model_init(m, 3);
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t j = 0; m->params[i].is_bias && j < m->params[i].elems; j++)
            m->params[i].value[j] = 0.1f * canon_unit(canon_random64(5, (uint32_t)i, j).w[0]);
    return m;
}

/* Positive numbers; every third input is large. */
static float *samples_of(const struct lb_model *m)
{
    const size_t in = m->layers[0].in;
    float *x = keep(SAMPLES * in, sizeof *x);
    for (size_t i = 0; i < SAMPLES * in; i++)
        x[i] = canon_unit(canon_random64(9, 1, i).w[0]) * (i % 3 ? 0.2f : 5.0f);
    return x;
}

/* One format for all parameters. */
struct opened {
    struct lb_format_config config;
    struct lb_format *f;
    const struct lb_format **of; /* (params) */
    struct lb_fit *fit;
};

static int open_fit(const struct lb_model *m, const char *format, struct lb_dev *d, const float *x, struct opened *o, struct lb_err *err)
{
    *o = (struct opened){.of = keep(m->n_params, sizeof(struct lb_format *))};
    if (lb_config_format(format, NULL, &o->config, err) || lb_format_create(&o->config, &o->f, err))
        return -1;
    for (size_t i = 0; i < m->n_params; i++)
        o->of[i] = lb_format_for(o->f, m->params[i].name);
    const struct lb_fit_args a = {.f32 = m, .d = d, .formats = o->of, .x = x, .n = SAMPLES, .batch = BATCH};
    return lb_fit_create(&a, &o->fit, err);
}

static void start(const struct lb_model *m, const char *format, struct lb_dev *d, const float *x, struct opened *o)
{
    struct lb_err err = {0};
    cr_assert(!open_fit(m, format, d, x, o, &err), "%s: %s", format, err.text);
}

static void stop(struct opened *o)
{
    lb_fit_destroy(o->fit);
    lb_format_destroy(o->f);
    lb_config_format_finish(&o->config);
}

static void encode(const struct lb_model *m, const struct opened *o, struct lb_safetensors *st)
{
    struct lb_err err = {0};
    struct lb_format_stats stats = {0};
    *st = (struct lb_safetensors){0};
    for (size_t i = 0; i < m->n_params; i++)
        cr_assert_eq(lb_fit_encode(o->fit, i, 1, 0x20000 + (uint32_t)i, st, &stats, &err), 0, "%s", err.text);
}

/* Logits of all samples, or outputs where there are none. */
static float *outputs(const struct lb_model *m, struct lb_dev *d, const float *x)
{
    struct lb_err err = {0};
    struct lb_net *n;
    float *y = keep(SAMPLES * CLASSES, sizeof *y), *logits = keep(SAMPLES * CLASSES, sizeof *logits);
    cr_assert(!lb_net_create(m, d, BATCH, 0, &n, &err) && !lb_net_infer(n, x, SAMPLES, y, logits, &err), "%s", err.text);
    lb_net_destroy(n);
    return logits;
}

/* ---- Factors ---- */

/* Migration changes no function: outputs differ by roundings. And it does change weights, of the layers that it can reach alone. */
static void check_migration(const char *model, const char *format, const char *const *texts, struct lb_dev *d)
{
    struct opened o;
    const struct lb_model *m = network(model);
    const float *x = samples_of(m);
    start(m, format, d, x, &o);
    const struct lb_model *to = lb_fit_model(o.fit);
    const float *before = outputs(m, d, x), *after = outputs(to, d, x);
    double largest = 0;
    for (size_t i = 0; i < SAMPLES * CLASSES; i++)
        largest = fmax(largest, fabs((double)before[i]));
    for (size_t i = 0; i < SAMPLES * CLASSES; i++)
        cr_assert(fabs((double)before[i] - (double)after[i]) <= 2e-6 * largest, "%s: output %zu: %.9g, then %.9g", format, i,
                  (double)before[i], (double)after[i]);
    for (size_t i = 0; i < m->n_params; i++)
        cr_expect(m->params[i].is_bias ? !*lb_fit_text(o.fit, i) : !strncmp(lb_fit_text(o.fit, i), texts[i / 2], strlen(texts[i / 2])),
                  "%s: %s: \"%s\"", format, m->params[i].name, lb_fit_text(o.fit, i));
    cr_expect_neq(memcmp(m->params[0].value, to->params[0].value, m->params[0].elems * sizeof(float)), 0, "%s: nothing moved", format);
    stop(&o);
}

Test(fit, migration)
{
    static const char *const awq_mlp[] = {"awq, no factors", "awq 0.", "awq, no factors"},
                             *const awq_cnn[] = {"awq, no factors", "awq ", "awq ", "awq "},
                             *const smooth_mlp[] = {"smooth, no factors", "smooth", "smooth, no factors"},
                             *const smooth_cnn[] = {"smooth, no factors", "smooth", "smooth", "smooth"};
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    check_migration(mlp, "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8}, \"fit\": \"awq\"}", awq_mlp, d);
    check_migration(cnn, "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8}, \"fit\": \"awq\"}", awq_cnn, d);
    check_migration(cnn, "{\"codec\": \"Q4_0\", \"fit\": {\"method\": \"awq\", \"grid\": 3}}", awq_cnn, d);
    check_migration(mlp, "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"fit\": \"smooth\"}", smooth_mlp, d);
    check_migration(cnn, "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"smooth\", \"alpha\": 0.8}}",
                    smooth_cnn, d);
    drop_all();
}

/* Which elements share a factor: the coarser of what the layer before makes and of what this one reads at a time. */
Test(fit, places)
{
    static const struct {
        size_t layer, before, size, groups;
    } want[] = {{1, 0, 30, 3}, {2, 1, 9, 4}, {3, 2, 4, 6}};
    struct lb_fit_place p;
    load_plugins();
    const struct lb_model *m = network(cnn);
    cr_expect_eq(lb_fit_find_place(m, 0, &p), -1);
    for (size_t i = 0; i < COUNT(want); i++)
        cr_expect(!lb_fit_find_place(m, want[i].layer, &p) && p.before == want[i].before && p.size == want[i].size &&
                      p.groups == want[i].groups,
                  "layer %zu: %zu groups of %zu", want[i].layer, p.groups, p.size);
    cr_assert_eq(lb_fit_find_place(m, 1, &p), 0);
    const size_t taps = 6, group[] = {0, 1, 2};
    for (size_t i = 0; i < 3 * taps; i++)
        cr_expect_eq(lb_fit_group(&m->layers[1], &p, i), group[i / taps]);
    drop_all();
}

struct read {
    struct lb_fit_inputs in;
    double *products;
    float *x;
};

/* What layer `layer` of a network reads. */
static struct read read_layer(const struct lb_model *m, size_t layer, struct lb_dev *d, const float *x)
{
    struct lb_err err = {0};
    struct read r;
    struct lb_net *n;
    float *y = keep(BATCH * CLASSES, sizeof *y);
    r.x = keep(SAMPLES * m->layers[layer].in, sizeof *r.x);
    cr_assert(!lb_net_create(m, d, BATCH, 0, &n, &err) && !lb_net_layer_inputs(n, layer, x, SAMPLES, r.x, y, &err), "%s", err.text);
    lb_net_destroy(n);
    lb_fit_inputs_init(&m->layers[layer], &d->host, r.x, SAMPLES, &r.in);
    r.products = keep(r.in.k * r.in.k, sizeof *r.products);
    cr_assert_eq(lb_fit_products(&r.in, r.products, &err), 0, "%s", err.text);
    return r;
}

/* The error of layer 1 of `mlp` with its columns multiplied by s, by the outputs themselves. */
static double error_with(const struct lb_format *f, const struct lb_model *m, const struct read *r, const double *s)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    const struct lb_param_tensor *w = &m->params[m->layers[2].weight];
    const size_t k = r->in.k;
    float *scaled = keep(w->elems, sizeof *scaled), *v = keep(w->elems, sizeof *v);
    double error = 0;
    for (size_t i = 0; i < w->elems; i++)
        scaled[i] = w->value[i] * (float)s[i % k];
    cr_assert(!lb_format_encode(f, "w", scaled, 2, w->shape, 0, 0, &st, NULL, &err) && !lb_format_decode(&st, "w", v, w->elems, &err), "%s",
              err.text);
    for (size_t n = 0; n < SAMPLES; n++)
        for (size_t o = 0; o < w->shape[0]; o++) {
            double y = 0;
            for (size_t i = 0; i < k; i++)
                y += ((double)w->value[o * k + i] - (double)v[o * k + i] / (double)(float)s[i]) * (double)r->x[n * k + i];
            error += y * y;
        }
    lb_safetensors_finish(&st);
    return error;
}

/* AWQ's factors, found with libm: the exponent is the one of the least error of the outputs. */
Test(fit, awq)
{
    struct opened o;
    struct lb_err err = {0};
    struct lb_fit_place place;
    double least = INFINITY, exponent, best = -1;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_model *m = network(mlp);
    const float *x = samples_of(m);
    start(m, "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"awq\", \"grid\": 10}}", d, x, &o);
    const struct read r = read_layer(m, 2, d, x);
    const size_t k = r.in.k;
    double mean[20] = {0}, s[20], found[20];
    float got[20];
    cr_assert(k == 20 && !lb_fit_find_place(m, 2, &place) && place.groups == 20);
    cr_assert_eq(lb_fit_awq(o.f, m, &place, &r.in, r.products, got, &exponent, &err), 0, "%s", err.text);
    for (size_t i = 0; i < SAMPLES * k; i++)
        mean[i % k] += fabs((double)r.x[i]) / SAMPLES;
    for (int a = 0; a <= 10; a++) {
        double low = INFINITY, high = 0;
        for (size_t i = 0; i < k; i++)
            if (mean[i] > 0) {
                low = fmin(low, pow(mean[i], a / 10.0));
                high = fmax(high, pow(mean[i], a / 10.0));
            }
        for (size_t i = 0; i < k; i++)
            s[i] = mean[i] > 0 ? fmin(fmax(pow(mean[i], a / 10.0) / sqrt(low * high), 1e-4), 1e4) : 1;
        const double error = error_with(o.f, m, &r, s);
        if (error < least * (1 - 1e-9)) {
            least = error;
            best = a / 10.0;
            memcpy(found, s, sizeof s);
        }
    }
    cr_expect(best > 0 && fabs(best - exponent) < 1e-12, "exponent %.9g, expected %.9g", exponent, best);
    for (size_t i = 0; i < k; i++)
        cr_expect(fabs((double)got[i] - found[i]) <= 1e-6 * found[i], "factor %zu: %.9g, expected %.9g", i, (double)got[i], found[i]);
    stop(&o);
    drop_all();
}

Test(fit, smooth)
{
    struct opened o;
    struct lb_err err = {0};
    struct lb_fit_place place;
    float s[4];
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_model *m = network(cnn);
    const float *x = samples_of(m);
    start(m, "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"smooth\", \"alpha\": 0.3}}", d, x, &o);
    const struct read r = read_layer(m, 2, d, x);
    cr_assert(!lb_fit_find_place(m, 2, &place) && place.groups == 4);
    cr_assert_eq(lb_fit_smooth(o.f, m, &place, &r.in, s, &err), 0, "%s", err.text);
    for (size_t c = 0; c < 4; c++) {
        const struct lb_param_tensor *w = &m->params[m->layers[2].weight];
        double input = 0, weight = 0;
        for (size_t n = 0; n < SAMPLES; n++)
            for (size_t i = 0; i < place.size; i++)
                input = fmax(input, fabs((double)r.x[n * m->layers[2].in + c * place.size + i]));
        for (size_t out = 0; out < w->shape[0]; out++)
            for (size_t i = 0; i < 4; i++)
                weight = fmax(weight, fabs((double)w->value[out * r.in.k + c * 4 + i]));
        const double want = input > 0 ? pow(input, 0.3) / pow(weight, 0.7) : 1;
        cr_expect(fabs((double)s[c] - want) <= 1e-6 * want, "factor %zu: %.9g, expected %.9g", c, (double)s[c], want);
    }
    stop(&o);
    drop_all();
}

/* ---- Biases ---- */

/* With biases in F32, the mean error of the outputs of each layer is gone: W' x + b' against W x + b, x being what the network reads as it was trained. */
static void check_bias(const char *model, const char *format, struct lb_dev *d)
{
    struct opened o;
    struct lb_err err = {0};
    struct lb_safetensors st;
    const struct lb_model *m = network(model);
    const float *x = samples_of(m);
    start(m, format, d, x, &o);
    encode(m, &o, &st);
    for (size_t l = 0; l < m->n_layers; l++) {
        if (m->layers[l].weight < 0)
            continue;
        const struct lb_param_tensor *w = &m->params[m->layers[l].weight], *b = &m->params[m->layers[l].bias];
        const struct read r = read_layer(m, l, d, x);
        float *v = keep(w->elems, sizeof *v), *bias = keep(b->elems, sizeof *bias);
        double *mean = keep(r.in.k, sizeof *mean), off = 0, was = 0;
        cr_assert(!lb_format_decode(&st, w->name, v, w->elems, &err) && !lb_format_decode(&st, b->name, bias, b->elems, &err), "%s",
                  err.text);
        cr_assert_eq(lb_fit_means(&r.in, mean, &err), 0, "%s", err.text);
        for (size_t i = 0; i < b->elems; i++) {
            double sum = 0;
            for (size_t k = 0; k < r.in.k; k++)
                sum += ((double)v[i * r.in.k + k] - (double)w->value[i * r.in.k + k]) * mean[k];
            was = fmax(was, fabs(sum));
            off = fmax(off, fabs(sum + (double)bias[i] - (double)b->value[i]));
        }
        cr_expect(was > 1e-3 && off < 1e-6, "%s: %s: mean errors up to %.3g, corrected %.3g", format, w->name, was, off);
    }
    lb_safetensors_finish(&st);
    stop(&o);
}

Test(fit, bias_correction)
{
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    check_bias(cnn,
               "{\"codec\": \"I2\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"none\", \"bias_correction\": true}, "
               "\"layers\": [{\"match\": "
               "\".*bias\", \"format\": \"F32\"}]}",
               d);
    check_bias(mlp,
               "{\"codec\": \"I2\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"gptq\", \"bias_correction\": true}, "
               "\"layers\": [{\"match\": "
               "\".*bias\", \"format\": \"F32\"}]}",
               d);
    check_bias(mlp,
               "{\"codec\": \"Q4_0\", \"fit\": {\"method\": \"none\", \"bias_correction\": true}, \"layers\": [{\"match\": \".*bias\", "
               "\"format\": \"F32\"}]}",
               d);
    drop_all();
}

/* The same of a layer whose columns were multiplied: what it reads is divided. */
Test(fit, bias_behind_factors)
{
    struct opened o;
    struct lb_err err = {0};
    struct lb_safetensors st;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_model *m = network(cnn);
    const float *x = samples_of(m);
    start(m,
          "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"smooth\", \"bias_correction\": true}, "
          "\"layers\": [{\"match\": \".*bias\", "
          "\"format\": \"F32\"}]}",
          d, x, &o);
    encode(m, &o, &st);
    const struct lb_model *to = lb_fit_model(o.fit);
    for (size_t l = 1; l < m->n_layers; l++) {
        if (m->layers[l].weight < 0)
            continue;
        const struct lb_param_tensor *w = &to->params[m->layers[l].weight], *b = &to->params[m->layers[l].bias];
        const struct read r = read_layer(to, l, d, x);
        float *v = keep(w->elems, sizeof *v), *bias = keep(b->elems, sizeof *bias);
        double *mean = keep(r.in.k, sizeof *mean);
        cr_assert(!lb_format_decode(&st, w->name, v, w->elems, &err) && !lb_format_decode(&st, b->name, bias, b->elems, &err), "%s",
                  err.text);
        cr_assert_eq(lb_fit_means(&r.in, mean, &err), 0, "%s", err.text);
        for (size_t i = 0; i < b->elems; i++) {
            double sum = 0;
            for (size_t k = 0; k < r.in.k; k++)
                sum += ((double)v[i * r.in.k + k] - (double)w->value[i * r.in.k + k]) * mean[k];
            cr_assert(fabs(sum + (double)bias[i] - (double)b->value[i]) < 1e-5, "%s: output %zu", w->name, i);
        }
    }
    lb_safetensors_finish(&st);
    stop(&o);
    drop_all();
}

/* ---- The same bits ---- */

static const char *const everywhere[] = {
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8, \"format\": \"F16\"}, \"fit\": {\"method\": \"gptq\", "
    "\"bias_correction\": true}}",
    "{\"codec\": \"U4\", \"scale\": {\"per\": \"block\", \"block\": 16, \"rule\": \"asymmetric\"}, \"fit\": {\"method\": \"gptq\", "
    "\"order\": \"activation\"}}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"tensor\"}, \"fit\": {\"method\": \"awq\", \"grid\": 4}}",
    "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}, \"fit\": {\"method\": \"smooth\", \"bias_correction\": true}}"};

static void hash_all(const char *backend, unsigned cpumask, char hex[COUNT(everywhere)][65])
{
    struct lb_err err = {0};
    struct lb_dev *d = open_device(backend, cpumask);
    const struct lb_model *m = network(cnn);
    const float *x = samples_of(m);
    for (size_t i = 0; i < COUNT(everywhere); i++) {
        struct opened o;
        struct lb_safetensors st;
        start(m, everywhere[i], d, x, &o);
        encode(m, &o, &st);
        cr_assert_eq(lb_safetensors_sha256(&st, hex[i], &err), 0, "%s", err.text);
        lb_safetensors_finish(&st);
        stop(&o);
    }
    close_device();
}

static void check_same(const char *backend, unsigned cpumask)
{
    static char want[COUNT(everywhere)][65], found[COUNT(everywhere)][65];
    hash_all("cpu_ref", ~0u, want);
    hash_all(backend, cpumask, found);
    for (size_t i = 0; i < COUNT(everywhere); i++)
        cr_expect_str_eq(found[i], want[i], "%s, mask %u: %s", backend, cpumask, everywhere[i]);
}

Test(fit, same_bits)
{
    static const unsigned masks[] = {~0u, LB_CPU_AVX2, 0};
    load_plugins();
    for (size_t i = 0; i < COUNT(masks); i++)
        check_same("cpu", masks[i]);
    drop_all();
}

Test(fit, same_bits_vulkan)
{
    load_plugins();
    check_same("vulkan", ~0u);
    drop_all();
}

/* A fitted file is an ordinary file in the format: nothing in it says how its codes were found. */
Test(fit, ordinary_file)
{
    struct opened o;
    struct lb_err err = {0};
    struct lb_safetensors st;
    const char *text;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_model *m = network(mlp);
    start(m, everywhere[0], d, samples_of(m), &o);
    encode(m, &o, &st);
    cr_assert(!lb_format_text(&st, "0.weight", &text, &err) && text, "%s", err.text);
    cr_expect(!strstr(text, "fit"), "%s", text);
    lb_safetensors_finish(&st);
    stop(&o);
    drop_all();
}

/* ---- What is refused ---- */

static void check_refused(const char *text, const char *part)
{
    struct lb_err err = {0};
    struct lb_format_config c = {0};
    struct lb_format *f = NULL;
    const int r = lb_config_format(text, NULL, &c, &err) || lb_format_create(&c, &f, &err);
    cr_expect(r && !f && strstr(err.text, part), "%s\n  expected: %s\n  found:    %s", text, part, r ? err.text : "no error");
    lb_format_destroy(f);
    lb_config_format_finish(&c);
}

Test(fit, refused)
{
    static const struct {
        const char *text, *part;
    } rows[] = {{"{\"codec\": \"Q4_0\", \"fit\": \"gptq\"}", "fit gptq: codec Q4_0 makes whole blocks"},
                {"{\"codec\": \"F32\", \"fit\": \"gptq\"}", "fit gptq: codec F32 has 32 bits, expected up to 16"},
                {"{\"codec\": \"I4\", \"rounding\": \"stochastic\", \"fit\": \"gptq\"}", "fit gptq: rounding stochastic"},
                {"{\"codec\": \"I4\", \"rounding\": \"stochastic\", \"fit\": \"awq\"}", "fit awq: rounding stochastic"},
                {"{\"codec\": \"I4\", \"overflow\": \"wrap\", \"fit\": \"gptq\"}", "fit gptq: overflow wrap"},
                {"{\"codec\": \"I4\", \"scale\": {\"per\": \"row\", \"format\": {\"codec\": \"F16\", \"fit\": \"awq\"}}}",
                 "\"fit\" is not for scales"},
                {"{\"codec\": \"I4\", \"activations\": {\"codec\": \"I8\", \"fit\": \"gptq\"}}", "activations: \"fit\" is for weights"}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++)
        check_refused(rows[i].text, rows[i].part);
    drop_all();
}

Test(fit, not_finite)
{
    struct opened o;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_model *m = network(mlp);
    float *x = samples_of(m), *w = m->params[4].value;
    struct lb_err err = {0}, other = {0};
    w[3] = NAN;
    cr_expect(open_fit(m, everywhere[0], d, x, &o, &err) && strstr(err.text, "fit: 3.weight: it holds NaN or infinity"), "%s", err.text);
    stop(&o);
    w[3] = 0;
    x[5] = INFINITY;
    cr_expect(open_fit(m, everywhere[2], d, x, &o, &other) &&
                  strstr(other.text, "2.weight: what it is multiplied with holds NaN or infinity"),
              "%s", other.text);
    stop(&o);
    drop_all();
}
