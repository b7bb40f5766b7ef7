/* SPDX-License-Identifier: MIT */
/* # slow */
/* Training that knows a format (docs/arithmetic.md, 7.7 to 7.13): gradients against those of a plain network with the weights' worth, against sums written
 * from the rules, and the scales that are learned. */
#include "test/unit/nn_util.h"

#include "core/format/scale.h"
#include "core/nn/calibrate.h"
#include "core/nn/qat_impl.h"
#include "core/nn/train.h"
#include "kernels/canon.h"

enum { BATCH = 5, CLASSES = 4 };

#define INIT ", \"init\": \"xavier_uniform\", \"bias_init\": {\"rule\": \"uniform\", \"low\": -0.3, \"high\": 0.3}"
static const char conv_net[] =
    "{\"input\": [2, 7, 6], \"layers\": ["
    "{\"type\": \"conv2d\", \"filters\": 5, \"kernel\": [3, 2], \"stride\": 2, \"padding\": 1, \"activation\": \"tanh\"" INIT "},"
    "{\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 9, \"activation\": \"relu\"" INIT "},"
    "{\"type\": \"dense\", \"units\": 4, \"activation\": \"softmax\"" INIT "}]}";

/* A format from JSON, dropped by `drop_formats`. */
static struct {
    struct lb_format_config config[8];
    struct lb_format *format[8];
    size_t n;
} made;

static const struct lb_format *format_of(const char *text)
{
    struct lb_err err = {0};
    cr_assert_eq(lb_config_format(text, NULL, &made.config[made.n], &err), 0, "%s: %s", text, err.text);
    cr_assert_eq(lb_format_create(&made.config[made.n], &made.format[made.n], &err), 0, "%s: %s", text, err.text);
    return made.format[made.n++];
}

static void drop_formats(void)
{
    for (; made.n; made.n--) {
        lb_format_destroy(made.format[made.n - 1]);
        lb_config_format_finish(&made.config[made.n - 1]);
    }
}

/* Initial weights, samples in (-1, 1), labels. */
struct problem {
    struct lb_model *m;
    float *x;
    int32_t labels[BATCH];
};

static struct problem problem_of(const char *layers, size_t classes)
{
    struct problem p = {.m = model_of(experiment(layers, "{}"), classes)};
    const size_t in = p.m->layers[0].in;
    lb_model_init(p.m, 3);
    p.x = keep(BATCH * in, sizeof *p.x);
    for (size_t i = 0; i < BATCH * in; i++)
        p.x[i] = 2 * canon_unit(canon_random64(3, 7, i).w[0]) - 1;
    for (size_t i = 0; i < BATCH; i++)
        p.labels[i] = (int32_t)(i * 2 % classes);
    return p;
}

static struct lb_net *knowing_net(const struct problem *p, struct lb_dev *d, const struct lb_qat_config *c, const struct lb_format *f,
                                  const struct lb_format *activations)
{
    struct lb_err err = {0};
    const struct lb_qat q = {
        .config = c, .format = f, .activations = activations, .biases = 1, .x = p->x, .n = BATCH, .batch = BATCH, .seed = 3};
    struct lb_net *n = net_of(p->m, d, BATCH + 2);
    cr_assert_eq(lb_qat_check(c, f, &err) || lb_qat_start(n, &q, p->m, &err) || lb_qat_epoch(n, p->m, &err), 0, "%s", err.text);
    return n;
}

static void step(const struct problem *p, struct lb_net *n, float lr, float *loss)
{
    struct lb_err err = {0};
    const struct lb_step_args args = {LB_CROSS_ENTROPY, LB_MEAN, lr, 0, 0};
    cr_assert_eq(lb_net_step(n, &args, p->x, p->labels, BATCH, loss, &err), 0, "%s", err.text);
}

static float *gradient(struct lb_net *n, const struct lb_model *m, size_t i)
{
    struct lb_err err = {0};
    float *g = keep(m->params[i].elems, sizeof *g);
    cr_assert_eq(lb_net_gradient(n, i, g, &err), 0, "%s", err.text);
    return g;
}

/* Parameter i, stored and loaded. */
static void store_and_load(const struct lb_model *m, size_t i, const struct lb_format *f, float *v)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    const struct lb_param_tensor *p = &m->params[i];
    cr_assert_eq(lb_format_encode(f, p->name, p->value, p->ndim, p->shape, 0, 0, &st, NULL, &err) ||
                     lb_format_decode(&st, p->name, v, p->elems, &err),
                 0, "%s", err.text);
    lb_safetensors_finish(&st);
}

/* Where gradients go on, by the rule. */
static void find_inside(const struct lb_model *m, size_t i, const struct lb_format *f, float *inside)
{
    struct lb_err err = {0};
    const struct lb_param_tensor *p = &m->params[i];
    const int symmetric = lb_scale_is_symmetric(f), reaches_all = f->config->rule == LB_SCALE_ABSMAX && !f->config->scale;
    struct lb_groups g;
    struct lb_scales s = {0};
    cr_assert_eq(lb_groups_of(f, p->ndim, p->shape, &g, &err) || (f->scale && lb_scales_make(f, &g, p->value, &s, &err)), 0, "%s",
                 err.text);
    for (size_t e = 0; e < p->elems; e++) {
        const size_t group = g.per_row ? e / g.cols * g.per_row + e % g.cols / g.block : 0;
        const float scale = s.s ? s.s[group] : 1, low = symmetric ? -(float)f->high : (float)f->low;
        const float t =
            symmetric ? (scale == 0 ? 0 : p->value[e] / scale) : lb_scale_into(f, p->value[e], scale, s.zeros ? s.zeros[group] : 0);
        inside[e] = !f->codec->bits || (reaches_all && low <= -(float)f->high) || (scale > 0 && t >= low && t <= (float)f->high);
    }
    lb_scales_finish(&s);
}

static const char two_levels[] =
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 8, \"format\": {\"codec\": \"F8_E4M3\", \"scale\": {\"per\": "
    "\"tensor\"}}}}";
static const char *const formats[] = {
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}}",
    "{\"codec\": \"F4\", \"scale\": {\"multiply\": 30, \"add\": 0.01}}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 4, \"rule\": \"floor\", \"format\": \"F8_E8M0\"}}",
    two_levels,
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.03}}",
    "{\"codec\": \"U4\", \"scale\": {\"per\": \"block\", \"block\": 5, \"rule\": \"asymmetric\"}}",
    "{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\"}}",
    "{\"codec\": \"I8\", \"scale\": {\"per\": \"channel\", \"rule\": \"percentile\", \"percentile\": 80}}",
    "{\"codec\": \"I2\", \"scale\": {\"per\": \"channel\", \"rule\": \"mse\"}}",
    "{\"codec\": \"Q4_0\"}",
    "{\"codec\": \"BF16\"}",
    "{\"codec\": \"I32\", \"scale\": {\"per\": \"tensor\"}}"};

/* Gradients are those of a plain network whose weights are worth the same, but +0 beyond the range. */
static void straight_through(struct lb_dev *d, const char *text, size_t *beyond)
{
    struct lb_err err = {0};
    const struct lb_format *f = format_of(text);
    struct problem p = problem_of(conv_net, CLASSES), worth = problem_of(conv_net, CLASSES);
    static const struct lb_qat_config straight = {.activations = 1}, clipped = {.activations = 1, .clip = 1};
    float loss[3][BATCH];
    for (size_t i = 0; i < p.m->n_params; i++)
        store_and_load(p.m, i, f, worth.m->params[i].value);
    struct lb_net *plain = net_of(worth.m, d, BATCH), *s = knowing_net(&p, d, &straight, f, NULL),
                  *c = knowing_net(&p, d, &clipped, f, NULL);
    step(&worth, plain, 0, loss[0]);
    step(&p, s, 0, loss[1]);
    step(&p, c, 0, loss[2]);
    cr_expect_arr_eq(loss[0], loss[1], sizeof loss[0], "%s: losses", text);
    cr_expect_arr_eq(loss[0], loss[2], sizeof loss[0], "%s: losses, clipped", text);
    for (size_t i = 0; i < p.m->n_params; i++) {
        const size_t n = p.m->params[i].elems;
        const float *want = gradient(plain, p.m, i), *got = gradient(s, p.m, i), *cut = gradient(c, p.m, i);
        float *inside = keep(n, sizeof *inside);
        find_inside(p.m, i, f, inside);
        cr_expect_arr_eq(want, got, n * sizeof *got, "%s: %s", text, p.m->params[i].name);
        for (size_t e = 0; e < n; e++) {
            *beyond += inside[e] == 0;
            cr_expect_eq(canon_bits(cut[e]), inside[e] > 0 ? canon_bits(want[e]) : 0, "%s: %s[%zu], %s", text, p.m->params[i].name, e,
                         inside[e] > 0 ? "inside" : "beyond");
        }
    }
    float *w = keep(p.m->params[0].elems, sizeof *w);
    memcpy(w, p.m->params[0].value, p.m->params[0].elems * sizeof *w);
    cr_assert_eq(lb_net_download(s, p.m, &err), 0);
    cr_expect_arr_eq(w, p.m->params[0].value, p.m->params[0].elems * sizeof *w, "%s: the weights themselves stay binary32", text);
}

static void straight_through_on(const char *backend, size_t first, size_t end)
{
    for (size_t i = first; i < end && i < COUNT(formats); i++) {
        size_t beyond = 0;
        load_plugins();
        straight_through(open_device(backend, ~0u), formats[i], &beyond);
        const int cuts =
            strstr(formats[i], "fixed") || strstr(formats[i], "percentile") || strstr(formats[i], "U8") || strstr(formats[i], "mse");
        cr_expect(!cuts || beyond > 0, "%s: nothing is beyond, so nothing is shown", formats[i]);
        drop_formats();
        drop_all();
    }
}

Test(qat, straight_through_cpu_ref)
{
    straight_through_on("cpu_ref", 0, COUNT(formats));
}

Test(qat, straight_through_cpu)
{
    straight_through_on("cpu", 0, COUNT(formats));
}

Test(qat, straight_through_vulkan)
{
    straight_through_on("vulkan", 0, COUNT(formats));
}

/* ---- What layers read ---- */

static const char two_dense[] = "{\"input\": [6, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 7, \"activation\": \"relu\"" INIT "},"
                                "{\"type\": \"dense\", \"units\": 4" INIT "}]}";

struct range {
    float s, z;
    int calibrated;
};

/* Of what a layer reads, by the rule itself: the network's own batch is what it is calibrated with. */
static struct range range_of(const struct problem *p, struct lb_dev *d, size_t layer, const struct lb_format *f)
{
    struct lb_err err = {0};
    const struct lb_calibration c = {.m = p->m, .d = d, .x = p->x, .n = BATCH, .batch = BATCH};
    struct range r = {.calibrated = f->config->calibrated};
    cr_assert_eq(r.calibrated ? lb_calibrate_input(&c, layer, f, &r.s, &r.z, &err) : 0, 0, "%s", err.text);
    return r;
}

/* x (BATCH, n): what it is worth, and where it is inside. */
static void worth_of(const struct lb_format *f, const struct lb_dev *d, struct range r, float *x, size_t n, float *inside)
{
    struct lb_err err = {0};
    const struct lb_round round = {.f = f, .host = &d->host, .calibrated = r.calibrated, .s = r.s, .z = r.z, .inside = inside};
    cr_assert_eq(lb_round_matrix(&round, x, BATCH, n, &err), 0, "%s", err.text);
}

/* The gradients of two dense layers whose inputs are formatted, in binary64. */
static void by_hand(const struct problem *p, const float *x0, const float *h, const float *hq, const float *inside, double *dw0,
                    double *dw1)
{
    const float *w1 = p->m->params[2].value, *b1 = p->m->params[3].value;
    for (size_t s = 0; s < BATCH; s++) {
        double y[4], sum = 0, dh[7] = {0};
        for (size_t o = 0; o < 4; o++) {
            y[o] = (double)b1[o];
            for (size_t k = 0; k < 7; k++)
                y[o] += (double)w1[o * 7 + k] * (double)hq[s * 7 + k];
            sum += exp(y[o]);
        }
        for (size_t o = 0; o < 4; o++) {
            const double dy = (exp(y[o]) / sum - ((int)o == p->labels[s])) / BATCH;
            for (size_t k = 0; k < 7; k++) {
                dw1[o * 7 + k] += dy * (double)hq[s * 7 + k];
                dh[k] += dy * (double)w1[o * 7 + k];
            }
        }
        for (size_t k = 0; k < 7; k++)
            for (size_t i = 0; h[s * 7 + k] > 0 && inside[s * 7 + k] > 0 && i < 6; i++)
                dw0[k * 6 + i] += dh[k] * (double)x0[s * 6 + i];
    }
}

static void close_to(const char *what, const float *got, const double *want, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    cr_expect(largest > 1e-3, "%s: no gradient is larger than %g, so nothing is shown", what, largest);
    for (size_t i = 0; i < n; i++)
        cr_expect(fabs((double)got[i] - want[i]) <= 2e-6 * largest, "%s[%zu]: expected %.12g, got %.9g", what, i, want[i], (double)got[i]);
}

static void reads_on(const char *backend, const char *text, int cuts)
{
    load_plugins();
    struct lb_dev *d = open_device(backend, ~0u);
    struct problem p = problem_of(two_dense, CLASSES);
    const struct lb_format *f32 = format_of("F32"), *f = format_of(text);
    static const struct lb_qat_config c = {.activations = 1, .clip = 1};
    struct lb_net *n = knowing_net(&p, d, &c, f32, f);
    float loss[BATCH], x0[BATCH * 6], h[BATCH * 7], hq[BATCH * 7], inside[BATCH * 7], all[BATCH * 6];
    double dw0[7 * 6] = {0}, dw1[4 * 7] = {0};
    memcpy(x0, p.x, sizeof x0);
    worth_of(f, d, range_of(&p, d, 0, f), x0, 6, all);
    for (size_t i = 0; i < BATCH * 7; i++) {
        double v = (double)p.m->params[1].value[i % 7];
        for (size_t k = 0; k < 6; k++)
            v += (double)p.m->params[0].value[i % 7 * 6 + k] * (double)x0[i / 7 * 6 + k];
        hq[i] = h[i] = v > 0 ? (float)v : 0;
    }
    worth_of(f, d, range_of(&p, d, 1, f), hq, 7, inside);
    size_t beyond = 0;
    for (size_t i = 0; i < BATCH * 7; i++)
        beyond += h[i] > 0 && inside[i] == 0;
    cr_expect(!cuts == !beyond, "%s: %zu numbers are cut", text, beyond);
    for (size_t i = 0; i < BATCH * 7 && !cuts; i++)
        inside[i] = 1;
    by_hand(&p, x0, h, hq, inside, dw0, dw1);
    step(&p, n, 0, loss);
    close_to("0.weight", gradient(n, p.m, 0), dw0, COUNT(dw0));
    close_to("1.weight", gradient(n, p.m, 2), dw1, COUNT(dw1));
    drop_formats();
    drop_all();
}

static void reads(const char *backend)
{
    reads_on(backend, "{\"codec\": \"F4\", \"scale\": {\"per\": \"row\"}}", 0);
    reads_on(backend, "{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"fixed\", \"value\": 0.004}}", 1);
    reads_on(backend,
             "{\"codec\": \"I4\", \"scale\": {\"per\": \"tensor\", \"rule\": \"percentile\", \"percentile\": 90, \"calibrated\": true}}",
             1);
    reads_on(backend, "{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\", \"calibrated\": true}}", 0);
}

Test(qat, reads_cpu_ref)
{
    reads("cpu_ref");
}

Test(qat, reads_cpu)
{
    reads("cpu");
}

Test(qat, reads_vulkan)
{
    reads("vulkan");
}

/* ---- Scales that are learned ---- */

/* The gradient of a scale, in binary64, of what the rules call inside: x + s c with c = q - t held fast; beyond: s q. */
static double scale_gradient(const struct lb_format *f, const float *x, const float *g, size_t n, float s)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double t = (double)(x[i] / s), top = f->high,
                     q = fmin(fmax(nearbyint(t), -top), top); /* whether it is inside is decided in binary32 */
        sum += (double)g[i] * (fabs(t) <= top ? q - t : q);
    }
    return sum / sqrt((double)n * f->high);
}

static const float *scales_of(const struct lb_net *n, const char *name, size_t *many)
{
    struct lb_err err = {0};
    struct lb_safetensors *st = &held.dump[held.dumps++];
    *st = (struct lb_safetensors){0};
    cr_assert_eq(lb_qat_scales(n, st, &err), 0, "%s", err.text);
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    cr_assert(t, "%s", name);
    *many = t->elems;
    return dumped_f32(st, name);
}

static void learned(const char *backend, const char *text)
{
    load_plugins();
    struct lb_dev *d = open_device(backend, ~0u);
    struct problem p = problem_of(conv_net, CLASSES);
    const struct lb_format *f = format_of(text);
    static const struct lb_qat_config c = {.scales = LB_QAT_LEARNED}; /* straight, so that gradients are those of what weights are worth */
    struct lb_net *n = knowing_net(&p, d, &c, f, NULL);
    const struct lb_param_tensor *w = &p.m->params[2]; /* (9, 75) */
    float loss[BATCH], *x = keep(w->elems, sizeof *x);
    size_t many;
    memcpy(x, w->value, w->elems * sizeof *x);
    const float *before = scales_of(n, "2.weight.scale", &many), lr = 0.05f;
    step(&p, n, lr, loss);
    const float *after = scales_of(n, "2.weight.scale", &many), *g = gradient(n, p.m, 2);
    const size_t each = w->elems / many;
    double moved = 0;
    for (size_t i = 0; i < many; i++) {
        const double want = (double)before[i] - (double)lr * scale_gradient(f, x + i * each, g + i * each, each, before[i]);
        moved = fmax(moved, fabs(want - (double)before[i]));
        cr_expect(fabs((double)after[i] - want) <= 2e-7, "%s: scale %zu of %g: expected %.9g, got %.9g", text, i, (double)before[i], want,
                  (double)after[i]);
    }
    cr_expect(moved > 1e-5, "%s: no scale moved by more than %g, so nothing is shown", text, moved);
    drop_formats();
    drop_all();
}

Test(qat, learned)
{
    static const char *const backends[] = {"cpu_ref", "cpu"};
    for (size_t i = 0; i < COUNT(backends); i++) {
        learned(backends[i], "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}}");
        learned(backends[i], "{\"codec\": \"I2\", \"scale\": {\"per\": \"tensor\", \"rule\": \"mse\"}}");
        learned(backends[i], "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\", \"rule\": \"percentile\", \"percentile\": 90}}");
    }
}

/* What a trial stores after training is what the last forward pass would use. */
Test(qat, stored)
{
    static const char *const texts[] = {"{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}}",
                                        "{\"codec\": \"NF4\", \"scale\": {\"per\": \"block\", \"block\": 7}}",
                                        "{\"codec\": \"I2\", \"scale\": {\"per\": \"tensor\", \"rule\": \"mse\"}}"};
    for (size_t i = 0; i < 2 * COUNT(texts); i++) {
        load_plugins();
        struct lb_err err = {0};
        struct lb_dev *d = open_device("cpu", ~0u);
        struct problem p = problem_of(conv_net, CLASSES);
        const struct lb_format *f = format_of(texts[i / 2]);
        const struct lb_qat_config c = {.scales = i % 2 ? LB_QAT_LEARNED : LB_QAT_CALIBRATED, .clip = 1};
        struct lb_net *n = knowing_net(&p, d, &c, f, NULL);
        struct lb_safetensors trained = {0}, st = {0};
        float loss[BATCH], *v = keep(p.m->params[2].elems, sizeof *v);
        step(&p, n, 0.1f, loss);
        step(&p, n, 0, loss);
        cr_assert_eq(lb_net_download(n, p.m, &err) || lb_qat_scales(n, &trained, &err) ||
                         lb_qat_encode(p.m, 2, f, &trained, &st, NULL, &err) ||
                         lb_format_decode(&st, "2.weight", v, p.m->params[2].elems, &err),
                     0, "%s", err.text);
        cr_expect_arr_eq(v, n->qat->param[2].v.ptr, p.m->params[2].elems * sizeof *v, "%s", texts[i / 2]);
        lb_safetensors_finish(&st);
        lb_safetensors_finish(&trained);
        drop_formats();
        drop_all();
    }
}

/* ---- The round trip ---- */

Test(qat, round_trip)
{
    load_plugins();
    struct lb_err err = {0};
    struct lb_dev *d = open_device("cpu", ~0u);
    struct problem p = problem_of(conv_net, CLASSES);
    const struct lb_format *f = format_of(formats[0]);
    static const struct lb_qat_config c = {.method = LB_QAT_ROUND_TRIP, .every = 2};
    struct lb_net *n = knowing_net(&p, d, &c, f, NULL), *plain = net_of(p.m, d, BATCH + 2);
    float loss[BATCH], *w = keep(p.m->params[2].elems, sizeof *w);
    for (int i = 1; i <= 3; i++) {
        step(&p, n, 0.1f, loss);
        step(&p, plain, 0.1f, loss);
        cr_assert_eq(lb_qat_stepped(n, i == 3, &err) || lb_net_download(plain, p.m, &err), 0, "%s", err.text);
        if (i == 2) {
            for (size_t k = 0; k < p.m->n_params; k++)
                store_and_load(p.m, k, f, p.m->params[k].value);
            cr_assert_eq(lb_net_upload(plain, &err), 0, "%s", err.text);
        }
        memcpy(w, p.m->params[2].value, p.m->params[2].elems * sizeof *w);
        cr_assert_eq(lb_net_download(n, p.m, &err), 0, "%s", err.text);
        cr_expect_arr_eq(w, p.m->params[2].value, p.m->params[2].elems * sizeof *w, "after step %d", i);
    }
    drop_formats();
    drop_all();
}

/* ---- A whole training ---- */

/* Three epochs of one step each, the last two of which know the format. */
Test(qat, from_epoch)
{
    load_plugins();
    struct lb_err err = {0};
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    struct problem p = problem_of(conv_net, CLASSES), q = problem_of(conv_net, CLASSES);
    const struct lb_format *f = format_of(formats[0]),
                           *a = format_of("{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"calibrated\": true}}");
    static const struct lb_qat_config c = {.from_epoch = 1, .scales = LB_QAT_LEARNED, .activations = 1, .clip = 1};
    const struct lb_train_config train = {.epochs = 3, .batch = BATCH, .lr = 0.1, .lr_decay = 1, .shuffle = LB_SHUFFLE_NONE};
    const struct lb_samples samples = {.x = p.x, .y = p.labels, .n = BATCH};
    const struct lb_qat knows = {.config = &c, .format = f, .activations = a, .biases = 1, .x = p.x, .n = BATCH, .batch = BATCH, .seed = 3};
    struct lb_safetensors scales = {0};
    struct lb_train_result result;
    float loss[BATCH];
    cr_assert_eq(lb_train_for(p.m, d, &train, &samples, 3, "test", &knows, &scales, &result, &err), 0, "%s", err.text);
    struct lb_net *n = net_of(q.m, d, BATCH);
    step(&q, n, 0.1f, loss);
    cr_assert_eq(lb_qat_start(n, &knows, q.m, &err), 0, "%s", err.text);
    for (int e = 1; e < 3; e++) {
        cr_assert_eq(lb_qat_epoch(n, q.m, &err), 0, "%s", err.text);
        step(&q, n, 0.1f, loss);
        cr_assert_eq(lb_qat_stepped(n, 1, &err), 0, "%s", err.text);
    }
    cr_assert_eq(lb_net_download(n, q.m, &err), 0, "%s", err.text);
    for (size_t i = 0; i < p.m->n_params; i++)
        cr_expect_arr_eq(p.m->params[i].value, q.m->params[i].value, p.m->params[i].elems * sizeof(float), "%s", p.m->params[i].name);
    size_t many;
    cr_expect_arr_eq(dumped_f32(&scales, "3.weight.scale"), scales_of(n, "3.weight.scale", &many), CLASSES * sizeof(float));
    lb_safetensors_finish(&scales);
    drop_formats();
    drop_all();
}
