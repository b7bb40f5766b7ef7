/* SPDX-License-Identifier: MIT */
/* Whole steps of training against PyTorch's in binary64 (test/data/nn/README.md), and lb_train against the steps that it is made of. */
#include "test/unit/nn_util.h"

#include "core/base/log.h"
#include "core/nn/train.h"

static const char cnn[] = "{\"input\": [1, 10, 10], \"layers\": ["
                          "{\"type\": \"conv2d\", \"filters\": 4, \"kernel\": 3, \"stride\": 2, \"padding\": 1, \"activation\": \"relu\"},"
                          "{\"type\": \"flatten\"},"
                          "{\"type\": \"dense\", \"units\": 16, \"activation\": \"tanh\"},"
                          "{\"type\": \"dense\", \"units\": 5}]}";

enum { BATCH = 7, STEPS = 5, PIXELS = 100, CLASSES = 5 };

/* Sums here have at most 175 products (7 samples at 25 places), mostly below 1: binary32 loses 3e-7 of them (measured, in a logit).
 * What a wrong formula makes is larger: without the decay of biases 1e-5, with lr inside the momentum 1e-2. */
#define TOLERANCE 1e-6

static void compare(const char *what, const float *got, const double *want, size_t n)
{
    double most = 0;
    size_t worst = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= most)) {
            most = fabs((double)got[i] - want[i]);
            worst = i;
        }
    cr_expect(most <= TOLERANCE, "%s[%zu]: expected %.17g, got %.9g", what, worst, want[worst], (double)got[worst]);
}

static struct lb_model *dumped_model(void)
{
    struct lb_err err = {0};
    struct lb_model *m = model_of(experiment(cnn, "{\"batch\": 7, \"lr\": 0.1}"), CLASSES);
    cr_assert_eq(lb_model_load(m, "test/data/nn/cnn_before.safetensors", NULL, &err), 0, "%s", err.text);
    cr_assert_eq(m->n_params, 6);
    return m;
}

static void compare_parameters(const struct lb_model *m, const struct lb_safetensors *want)
{
    for (size_t i = 0; i < m->n_params; i++)
        compare(m->params[i].name, m->params[i].value, dumped_f64(want, m->params[i].name), m->params[i].elems);
}

static double mean(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

/* Trains on the first `steps` batches; `loss` receives each batch's mean before its step. */
static struct lb_net *train(struct lb_model *m, struct lb_dev *d, size_t steps, float momentum, float decay, float *loss)
{
    struct lb_err err = {0};
    const struct lb_safetensors *data = open_dump("cnn_data");
    const float *x = dumped_f32(data, "x");
    const int32_t *y = dumped_i32(data, "y");
    struct lb_net *net = net_of(m, d, BATCH);
    const struct lb_step_args args = {LB_CROSS_ENTROPY, LB_MEAN, 0.1f, momentum, decay};
    for (size_t i = 0; i < steps; i++) {
        float each[BATCH];
        cr_assert_eq(lb_net_step(net, &args, x + i * BATCH * PIXELS, y + i * BATCH, BATCH, each, &err), 0, "%s", err.text);
        loss[i] = (float)mean(each, BATCH);
    }
    cr_assert_eq(lb_net_download(net, m, &err), 0, "%s", err.text);
    return net;
}

static void one_step(const char *backend)
{
    struct lb_err err = {0};
    load_plugins();
    struct lb_dev *d = open_device(backend, ~0u);
    const struct lb_safetensors *want = open_dump("cnn_after1");
    struct lb_model *m = dumped_model();
    float logits[BATCH * CLASSES], y[BATCH * CLASSES], loss[1];
    struct lb_net *before = net_of(m, d, 3); /* in batches of 3, 3 and 1 */
    cr_assert_eq(lb_net_infer(before, dumped_f32(open_dump("cnn_data"), "x"), BATCH, y, logits, &err), 0, "%s", err.text);
    compare("logits", logits, dumped_f64(want, "logits"), COUNT(logits));
    cr_expect_arr_eq(y, logits, sizeof y, "the last layer is linear");

    struct lb_net *net = train(m, d, 1, 0, 0, loss);
    compare_parameters(m, want);
    compare("loss", loss, dumped_f64(want, "loss"), 1);
    for (size_t i = 0; i < m->n_params; i++) {
        char name[40];
        float *g = keep(m->params[i].elems, sizeof *g);
        snprintf(name, sizeof name, "%.30s.grad", m->params[i].name);
        cr_assert_eq(lb_net_gradient(net, i, g, &err), 0, "%s", err.text);
        compare(name, g, dumped_f64(want, name), m->params[i].elems);
    }
    drop_all();
}

static void five_steps(const char *backend)
{
    load_plugins();
    struct lb_dev *d = open_device(backend, ~0u);
    const struct lb_safetensors *want = open_dump("cnn_after5");
    struct lb_model *m = dumped_model();
    float loss[STEPS];
    train(m, d, STEPS, 0.9f, 1e-4f, loss);
    compare_parameters(m, want);
    compare("loss", loss, dumped_f64(want, "loss"), STEPS);
    drop_all();
}

Test(training, one_step_cpu_ref)
{
    one_step("cpu_ref");
}

Test(training, one_step_cpu_blas)
{
    one_step("cpu_blas");
}

Test(training, five_steps_cpu_ref)
{
    five_steps("cpu_ref");
}

Test(training, five_steps_cpu_blas)
{
    five_steps("cpu_blas");
}

/* ---- lb_train ---- */

/* What lb_train says it does, step by step: the same initial weights, order of samples (the last batch short), learning rates. */
static double train_by_hand(struct lb_model *m, struct lb_dev *d, const struct lb_train_config *c, const struct lb_samples *s,
                            uint64_t seed)
{
    struct lb_err err = {0};
    uint32_t *order = keep(s->n, sizeof *order);
    float *x = keep(s->n * PIXELS, sizeof *x), *loss = keep(s->n, sizeof *loss);
    int32_t *y = keep(s->n, sizeof *y);
    lb_model_init(m, seed);
    struct lb_net *net = net_of(m, d, (size_t)c->batch);
    struct lb_step_args args = {c->loss, c->reduction, (float)c->lr, (float)c->momentum, (float)c->decay};
    for (uint32_t i = 0; i < s->n; i++)
        order[i] = i;
    for (uint64_t e = 0; e < (uint64_t)c->epochs; e++) {
        if (c->shuffle == LB_SHUFFLE_EPOCH || (c->shuffle == LB_SHUFFLE_ONCE && e == 0))
            lb_shuffle(seed, e, s->n, order);
        for (size_t i = 0; i < s->n; i++) {
            memcpy(x + i * PIXELS, s->x + order[i] * PIXELS, PIXELS * sizeof *x);
            y[i] = s->y[order[i]];
        }
        for (size_t i = 0; i < s->n; i += (size_t)c->batch) {
            const size_t n = s->n - i < (size_t)c->batch ? s->n - i : (size_t)c->batch;
            cr_assert_eq(lb_net_step(net, &args, x + i * PIXELS, y + i, n, loss + i, &err), 0, "%s", err.text);
        }
        args.lr *= (float)c->lr_decay;
    }
    cr_assert_eq(lb_net_download(net, m, &err), 0, "%s", err.text);
    return c->epochs ? mean(loss, s->n) : 0;
}

Test(training, lb_train_is_its_steps)
{
    static const char *const trains[] = {
        "{\"epochs\": 3, \"batch\": 8, \"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.001, \"lr_decay\": 0.5, \"shuffle\": \"epoch\"}",
        "{\"epochs\": 3, \"batch\": 8, \"shuffle\": \"once\"}",
        "{\"epochs\": 2, \"batch\": 35, \"shuffle\": \"none\", \"loss\": \"mse\", \"reduction\": \"half\"}",
        "{\"epochs\": 2, \"batch\": 1000}", /* more than there are samples */
        "{\"epochs\": 0}"};
    char hashes[COUNT(trains)][65];
    load_plugins();
    lb_log_setup(0, 1);
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    const struct lb_safetensors *data = open_dump("cnn_data");
    const struct lb_samples s = {STEPS * BATCH, dumped_f32(data, "x"), dumped_i32(data, "y")};
    for (size_t i = 0; i < COUNT(trains); i++) {
        struct lb_err err = {0};
        struct lb_experiment *e = experiment(cnn, trains[i]);
        struct lb_model *m = model_of(e, CLASSES), *by_hand = model_of(e, CLASSES);
        struct lb_train_result out;
        cr_assert_eq(lb_train(m, d, &e->train, &s, 17, "test", &out, &err), 0, "%s", err.text);
        const double loss = train_by_hand(by_hand, d, &e->train, &s, 17);
        cr_expect_str_eq(sha256_of(m), sha256_of(by_hand), "%s", trains[i]);
        cr_expect_float_eq(out.loss, loss, 1e-12, "%s: loss %.17g and %.17g", trains[i], out.loss, loss);
        snprintf(hashes[i], sizeof hashes[i], "%s", sha256_of(m));
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(hashes[i], hashes[j], "%s and %s", trains[i], trains[j]);
    }
    drop_all();
}

/* What cannot be trained is refused with the reason. */
Test(training, refusals)
{
    struct lb_err err = {0};
    struct lb_train_result out;
    load_plugins();
    lb_log_setup(0, 1);
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    struct lb_experiment *e =
        experiment("{\"input\": [1, 10, 10], \"layers\": [{\"type\": \"dense\", \"units\": 5, \"activation\": \"sigmoid\"}]}", "{}");
    struct lb_model *m = model_of(e, CLASSES);
    const struct lb_safetensors *data = open_dump("cnn_data");
    struct lb_samples s = {STEPS * BATCH, dumped_f32(data, "x"), dumped_i32(data, "y")};
    cr_expect(lb_train(m, d, &e->train, &s, 1, "test", &out, &err) == -1 &&
                  strstr(err.text, "the last activation must be softmax or linear"),
              "%s", err.text);
    err = (struct lb_err){0};
    s.n = 0;
    cr_expect(lb_train(m, d, &e->train, &s, 1, "test", &out, &err) == -1 && strstr(err.text, "0 training samples"), "%s", err.text);
    drop_all();
}
