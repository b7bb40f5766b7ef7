/* SPDX-License-Identifier: MIT */
/* Integer models: how ratios become multipliers, tables of activations against long double, what a net of one computes against binary32, and what a
 * file that is none is told. */
#include "test/unit/nn_util.h"

#include "core/nn/q_net.h"
#include "core/nn/q_params.h"
#include "kernels/canon.h"

#include <math.h>

/* ---- Ratios ---- */

Test(q_model, multiplier)
{
    static const struct {
        double r;
        int32_t multiplier, shift;
    } rows[] = {{1, 1 << 21, 21},
                {0.5, 1 << 21, 22},
                {0, 0, 0},
                {1.9999999999, 1 << 21, 20}, /* rounds up to the next power of two */
                {0x1.000004p0, 2097152, 21}, /* half a step above: to even */
                {0x1.00000cp0, 2097154, 21},
                {0x1p21 * 1.999999, 4194302, 0},
                {0x1p-41, 1 << 21, 62},
                {0x1p-42, 1 << 20, 62},
                {0x1.8p-62, 2, 62},
                {0x1p-63, 0, 0},
                {0x1p-1000, 0, 0},
                {0x1.4p-62, 1, 62}};
    int32_t m, s;
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(lb_q_multiplier(rows[i].r, &m, &s), 0, "row %zu", i);
        cr_expect(m == rows[i].multiplier && s == rows[i].shift, "row %zu: %a: %d / 2^%d, expected %d / 2^%d", i, rows[i].r, m, s,
                  rows[i].multiplier, rows[i].shift);
    }
    static const double refused[] = {0x1p22, -1, NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < COUNT(refused); i++)
        cr_expect_eq(lb_q_multiplier(refused[i], &m, &s), -1, "%g", refused[i]);
    for (uint32_t i = 0; i < 100000; i++) {
        const canon_words r = canon_random64(5, 1, i);
        const double x = ldexp(1 + (double)r.w[0] * 0x1p-32, (int)(r.w[1] % 60) - 40);
        cr_assert_eq(lb_q_multiplier(x, &m, &s), 0);
        cr_assert(fabs(ldexp((double)m, -s) - x) <= x * 0x1p-22, "%a: %d / 2^%d", x, m, s);
    }
}

/* ---- Tables ---- */

static long double exact(uint32_t act, long double x)
{
    switch (act) {
    case LB_SIGMOID:
        return 1 / (1 + expl(-x));
    case LB_TANH:
        return tanhl(x);
    case LB_RELU:
        return x < 0 ? 0 : x;
    case LB_SCALED_RELU:
        return x < 0 ? 0 : x * (long double)1.1f;
    default:
        return x;
    }
}

/* Every code of every table is the nearest one to the exact value; y lies on no tie but where that is exact. */
Test(q_model, tables)
{
    size_t codes = 0;
    for (uint32_t i = 0; i < 400; i++) {
        const canon_words r = canon_random64(7, 2, i);
        const uint32_t act = i % 5;
        struct lb_q_params in = {LB_Q_U8, 0x1p-6f * (1 + canon_unit(r.w[0]) * 7), (int32_t)(r.w[1] % 256), 0, 255}, out = in;
        if (i % 2)
            in = (struct lb_q_params){LB_Q_S8, in.scale, in.zero - 128, -127, 127};
        out.scale = act >= LB_SIGMOID ? (1 + canon_unit(r.w[2])) / 255 : in.scale * (0.5f + canon_unit(r.w[2]));
        out.zero = act == LB_SIGMOID ? 0 : 128;
        unsigned char table[256];
        lb_q_table_fill(&in, &out, act, 1.1f, table);
        for (int q = 0; q < 256; q++, codes++) {
            const int32_t code = in.type == LB_Q_S8 ? (int8_t)q : q;
            const long double y = exact(act, (long double)(code - in.zero) * (long double)in.scale) / (long double)out.scale;
            const long double want = rintl(y) + out.zero, inside = want < 0 ? 0 : want > 255 ? 255 : want;
            cr_assert(table[q] == (unsigned char)inside, "act %u, code %d: %d, expected %.0Lf (%.20Lf)", act, code, table[q], inside, y);
        }
    }
    cr_expect_eq(codes, 400 * 256);
}

/* ---- A network ---- */

static const char layers[] =
    "{\"input\": [1, 8, 8], \"layers\": ["
    "{\"type\": \"dense\", \"units\": 48, \"activation\": \"relu\"}, {\"type\": \"reshape\", \"shape\": [3, 4, 4]},"
    "{\"type\": \"conv2d\", \"filters\": 5, \"kernel\": 3, \"padding\": 1, \"activation\": \"scaled_relu\"},"
    "{\"type\": \"conv2d\", \"filters\": 4, \"kernel\": 2, \"stride\": 2, \"activation\": \"tanh\"}, {\"type\": \"flatten\"},"
    "{\"type\": \"dense\", \"units\": 7, \"activation\": \"sigmoid\"}, {\"type\": \"dense\", \"units\": 6}]}";
enum { SAMPLES = 40, INPUTS = 64, CLASSES = 6 };

struct made {
    struct lb_model *m;
    struct lb_format_config config[2];
    struct lb_format *weights, *codes;
    struct lb_safetensors st;
    float x[SAMPLES * INPUTS];
};

static void make(struct made *a, struct lb_dev *d)
{
    struct lb_err err = {0};
    struct lb_format_stats stats = {0};
    memset(a, 0, sizeof *a);
    a->m = model_of(experiment(layers, "{}"), CLASSES);
    lb_model_init(a->m, 3);
    for (uint32_t i = 0; i < SAMPLES * INPUTS; i++)
        a->x[i] = canon_unit(canon_random64(9, 3, i).w[0]) * 2 - 0.5f;
    cr_assert_eq(lb_config_format("{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\"}}", NULL, &a->config[0], &err), 0, "%s", err.text);
    cr_assert_eq(
        lb_config_format("{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\"}}", NULL, &a->config[1], &err), 0);
    cr_assert_eq(lb_format_create(&a->config[0], &a->weights, &err) || lb_format_create(&a->config[1], &a->codes, &err), 0, "%s", err.text);
    for (size_t i = 0; i < a->m->n_params; i++) {
        const struct lb_param_tensor *p = &a->m->params[i];
        if (!p->is_bias)
            cr_assert_eq(lb_format_encode(a->weights, p->name, p->value, p->ndim, p->shape, 0, 0, &a->st, NULL, &err), 0, "%s", err.text);
    }
    const struct lb_calibration c = {.m = a->m, .d = d, .x = a->x, .n = SAMPLES, .batch = 16};
    cr_assert_eq(lb_q_make(&c, NULL, a->codes, &a->st, &stats, &err), 0, "%s", err.text);
}

static void drop(struct made *a)
{
    lb_safetensors_finish(&a->st);
    lb_format_destroy(a->weights);
    lb_format_destroy(a->codes);
    lb_config_format_finish(&a->config[0]);
    lb_config_format_finish(&a->config[1]);
}

/* Eight bits are near binary32; every layer is an integer one. */
Test(q_model, near_binary32)
{
    static struct made a;
    struct lb_err err = {0};
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", 0);
    make(&a, d);
    const struct lb_net_format f = {.weights = &a.st};
    struct lb_net *net = NULL, *f32 = net_of(a.m, d, 16);
    float want[SAMPLES * CLASSES], got[SAMPLES * CLASSES];
    double signal = 0, noise = 0;
    cr_assert_eq(lb_net_create_packed(a.m, d, 16, &f, &net, &err), 0, "%s", err.text);
    cr_assert_eq(lb_net_infer(f32, a.x, SAMPLES, want, NULL, &err) || lb_net_infer(net, a.x, SAMPLES, got, NULL, &err), 0, "%s", err.text);
    for (size_t i = 0; i < COUNT(want); i++) {
        signal += (double)want[i] * (double)want[i];
        noise += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    }
    cr_expect(noise > 0 && noise < 1e-3 * signal, "noise %g of %g", noise, signal);
    struct lb_layer_codes codes = {0};
    float *y = keep(16 * 80, sizeof *y);
    for (size_t i = 0; i < a.m->n_layers; i++) {
        codes = (struct lb_layer_codes){0};
        cr_assert_eq(lb_net_layer_output(net, i, SAMPLES % 16, y, &codes, &err), 0, "%s", err.text);
        cr_expect(codes.integer && codes.are == (i + 1 < a.m->n_layers), "layer %zu", i);
    }
    lb_net_destroy(net);
    drop(&a);
}

/* ---- Files ---- */

static const float nan_f = NAN, zero_f = 0, inf_f = INFINITY, minus_f = -1, half_f = 7.5f, far_f = 256, huge_f = 1e30f;
static const int32_t huge_i = INT32_MAX;

static const struct {
    const char *tensor; /* is changed: */
    const void *first;  /* its first element becomes this; NULL: it is left out, */
    int other;          /* 1: or of another dtype, 2: or of another shape */
    const char *message;
} broken[] = {
    {"0.input.scale", &nan_f, 0, "tensor 0.input.scale: expected a finite number above 0, found nan"},
    {"0.input.scale", &zero_f, 0, "tensor 0.input.scale: expected a finite number above 0, found 0"},
    {"2.input.scale", &inf_f, 0, "tensor 2.input.scale: expected a finite number above 0, found inf"},
    {"2.input.scale", &minus_f, 0, "tensor 2.input.scale: expected a finite number above 0, found -1"},
    {"2.input.scale", NULL, 0,
     "tensor 2.input.scale: expected one F32 value, since layer 2 has a bias in whole numbers; found no such tensor"},
    {"0.input.scale", NULL, 1, "tensor 0.input.scale: expected one F32 value"},
    {"5.input.scale", NULL, 2, "tensor 5.input.scale: expected one F32 value"},
    {"0.input.zero_point", &half_f, 0, "tensor 0.input.zero_point: expected a whole number from 0 to 255, found 7.5"},
    {"0.input.zero_point", &far_f, 0, "tensor 0.input.zero_point: expected a whole number from 0 to 255, found 256"},
    {"0.input.zero_point", &nan_f, 0, "tensor 0.input.zero_point: expected a whole number from 0 to 255, found nan"},
    {"0.input.zero_point", NULL, 0,
     "tensor 0.input.zero_point: expected one F32 value, the calibrated zero_point of the input of layer 0; found no such tensor"},
    {"3.sum.scale", NULL, 0, "tensor 3.sum.scale: expected one F32 value"},
    {"3.sum.scale", &zero_f, 0, "tensor 3.sum.scale: expected a finite number above 0"},
    {"2.bias", NULL, 0, "tensor 2.bias: expected 5 numbers of I32, found no such tensor"},
    {"2.bias", NULL, 1, "tensor 2.bias: expected 5 numbers of I32, found"},
    {"2.bias", NULL, 2, "tensor 2.bias: expected 5 numbers of I32, found another number of them"},
    {"0.bias", &huge_i, 0, "tensor 0.weight: output 0: its sum of 64 products and the bias may reach"},
    {"5.bias.scale", &nan_f, 0, "tensor 5.bias.scale: expected finite numbers above 0, found nan"},
    {"5.bias.scale", &minus_f, 0, "tensor 5.bias.scale: expected finite numbers above 0, found -1"},
    {"0.bias.scale", &huge_f, 0, "tensor 0.bias.scale: output 0: 1e+30 is too large for outputs in units of"},
    {"6.bias.scale", NULL, 0, "tensor 6.bias.scale: expected 6 numbers of F32, found no such tensor"},
    {"2.weight", NULL, 0, "2.weight"},
    {"2.weight", NULL, 2, "2.weight"},
};

/* The file with the change. */
static void change(const struct lb_safetensors *from, size_t row, struct lb_safetensors *to)
{
    static unsigned char room[1 << 16]; /* of all tensors */
    size_t used = 0;
    struct lb_err err = {0};
    const char *key;
    json_t *value;
    json_object_foreach(from->metadata, key, value) cr_assert_eq(lb_safetensors_meta(to, key, json_string_value(value), &err), 0);
    for (size_t i = 0; i < from->n; i++) {
        struct lb_tensor t = from->items[i].t;
        unsigned char *data = room + used;
        used += (t.bytes + 64) / 64 * 64;
        cr_assert(used <= sizeof room);
        memcpy(data, t.data, t.bytes);
        t.data = data;
        t.owned = 0;
        if (!strcmp(from->items[i].name, broken[row].tensor)) {
            if (!broken[row].first && !broken[row].other)
                continue;
            if (broken[row].first)
                memcpy(data, broken[row].first, 4);
            if (broken[row].other == 1)
                t.dtype = t.dtype == LB_F32 ? LB_I32 : LB_F32;
            if (broken[row].other == 2) {
                t.ndim = 1;
                t.shape[0] = t.elems = t.elems + (t.dtype == LB_I8 ? 8 : 1);
                t.bytes += t.dtype == LB_I8 ? 8 : 4;
            }
        }
        cr_assert_eq(lb_safetensors_add(to, from->items[i].name, &t, &err), 0, "%s", err.text);
    }
}

Test(q_model, broken_files)
{
    static struct made a;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", 0);
    make(&a, d);
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct lb_safetensors st = {0};
        struct lb_err err = {0};
        struct lb_net *net = NULL;
        change(&a.st, i, &st);
        const struct lb_net_format f = {.weights = &st};
        cr_expect_eq(lb_net_create_packed(a.m, d, 4, &f, &net, &err), -1, "row %zu (%s) is taken", i, broken[i].tensor);
        cr_expect(strstr(err.text, broken[i].message), "row %zu: found \"%s\", expected \"%s\"", i, err.text, broken[i].message);
        cr_expect_null(net);
        lb_safetensors_finish(&st);
    }
    drop(&a);
}

/* Inputs that calibration cannot use. */
Test(q_model, calibration_refuses)
{
    static struct made a;
    struct lb_err err = {0};
    float s, z;
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", 0);
    make(&a, d);
    a.x[3 * INPUTS + 5] = NAN;
    const struct lb_calibration c = {.m = a.m, .d = d, .x = a.x, .n = SAMPLES, .batch = 16};
    cr_expect_eq(lb_calibrate_input(&c, 0, a.codes, &s, &z, &err), -1);
    cr_expect_str_eq(err.text, "calibration: 0.input is nan in sample 3; expected finite numbers");
    err = (struct lb_err){0};
    cr_expect_eq(lb_calibrate_sum(&c, 2, a.codes, &s, &z, &err), -1);
    cr_expect(strstr(err.text, "calibration: 3.sum is nan in sample 3"), "%s", err.text);
    drop(&a);
}
