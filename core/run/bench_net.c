/* SPDX-License-Identifier: MIT */
/* bench_net.c - whole networks: training steps and inference. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/nn/q_net.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { IMAGE = 28, CLASSES = 10 };

/* The network of the published tables (FACTS 1a), and a small one without convolutions. */
static struct lb_layer_config cnn[] = {
    {.type = LB_DENSE, .units = IMAGE * IMAGE, .activation = LB_ACT_RELU},
    {.type = LB_RESHAPE, .shape = {1, IMAGE, IMAGE}},
    {.type = LB_CONV2D, .filters = 8, .kernel = {3, 3}, .stride = 1, .activation = LB_ACT_RELU},
    {.type = LB_CONV2D, .filters = 16, .kernel = {3, 3}, .stride = 2, .activation = LB_ACT_RELU},
    {.type = LB_FLATTEN},
    {.type = LB_DENSE, .units = 64, .activation = LB_ACT_RELU},
    {.type = LB_DENSE, .units = CLASSES, .activation = LB_ACT_SOFTMAX},
};
static struct lb_layer_config mlp[] = {
    {.type = LB_DENSE, .units = 64, .activation = LB_ACT_RELU},
    {.type = LB_DENSE, .units = CLASSES, .activation = LB_ACT_SOFTMAX},
};

/* One network on one backend. */
struct job {
    struct lb_net *net;
    const struct data *data;
    struct lb_safetensors st; /* of an integer model */
    struct bench_qat qat;     /* of a training that knows a format: its net is `net` */
};

struct data {
    size_t batch;
    float *x, *y;
    int32_t *labels;
};

/* The losses are read, as training does: a device has then done the step. */
static int train(void *arg, struct lb_err *err)
{
    static const struct lb_step_args step = {.loss = LB_CROSS_ENTROPY, .reduction = LB_MEAN, .lr = 0.01f};
    const struct job *j = arg;
    return lb_net_step(j->net, &step, j->data->x, j->data->labels, j->data->batch, j->data->y, err);
}

static int forward(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    return lb_net_infer(j->net, j->data->x, j->data->batch, j->data->y, NULL, err);
}

static int fill(struct data *d, size_t batch, struct lb_err *err)
{
    const size_t pixels = IMAGE * IMAGE;
    d->batch = batch;
    d->x = lb_alloc(batch * pixels, sizeof *d->x, err);
    d->y = lb_alloc(batch * CLASSES, sizeof *d->y, err);
    d->labels = lb_alloc(batch, sizeof *d->labels, err);
    if (!d->x || !d->y || !d->labels)
        return -1;
    for (size_t i = 0; i < batch * pixels; i++)
        d->x[i] = canon_unit((uint32_t)i * 2654435761u);
    for (size_t i = 0; i < batch; i++)
        d->labels[i] = (int32_t)(i % CLASSES);
    return 0;
}

/* Multiplications of one sample: forward, or a whole step. The first layer needs no input gradient. */
static double multiplications(const struct lb_model *m, int training)
{
    double sum = 0;
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct lb_layer *l = &m->layers[i];
        const struct lb_conv *s = &l->conv;
        const double one = l->type == LB_DENSE    ? (double)l->in * (double)l->out
                           : l->type == LB_CONV2D ? (double)(s->o * s->oh * s->ow) * (double)(s->c * s->kh * s->kw)
                                                  : 0;
        sum += one * (training ? (i ? 3 : 2) : 1);
    }
    return sum;
}

/* ---- Integer models ---- */

/* The network as an integer model: its weights in `format`, its inputs calibrated on the samples. */
static int encode_integer(struct job *j, const struct lb_model *m, struct lb_dev *d, const char *format, struct lb_err *err)
{
    struct lb_format_config weights = {0}, codes = {0};
    struct lb_format *w = NULL, *a = NULL;
    struct lb_format_stats stats = {0};
    const struct lb_calibration c = {.m = m, .d = d, .x = j->data->x, .n = j->data->batch, .batch = j->data->batch};
    int r = lb_config_format(format, NULL, &weights, err) ||
            lb_config_format("{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\"}}", NULL, &codes, err) ||
            lb_format_create(&weights, &w, err) || lb_format_create(&codes, &a, err);
    for (size_t i = 0; i < m->n_params && !r; i++) {
        const struct lb_param_tensor *p = &m->params[i];
        r = !p->is_bias && lb_format_encode(w, p->name, p->value, p->ndim, p->shape, 0, 0, &j->st, NULL, err);
    }
    r = r || lb_q_make(&c, NULL, a, &j->st, &stats, err);
    lb_format_destroy(w);
    lb_format_destroy(a);
    lb_config_format_finish(&weights);
    lb_config_format_finish(&codes);
    return r ? -1 : 0;
}

static int create_integer(struct job *j, const struct lb_model *m, struct lb_dev *d, const char *format, struct lb_err *err)
{
    const struct lb_net_format f = {.weights = &j->st};
    return encode_integer(j, m, d, format, err) || lb_net_create_packed(m, d, j->data->batch, &f, &j->net, err) ? -1 : 0;
}

/* ---- Who takes part ---- */

static const char *integer_format(const struct bench *b)
{
    return b->o->format ? b->o->format : "INT8_CHANNEL";
}

/* Integer models of the same network, where backends have integer tensors. */
static void add_integer(const struct bench *b, const struct lb_model *m, const struct data *data, struct job *job, struct bench_entry *e,
                        size_t *n)
{
    for (size_t i = 0; i < b->n; i++) {
        struct lb_err why = {0};
        struct job *j = &job[*n];
        struct lb_dev *d = b->d[i];
        *j = (struct job){.data = data};
        e[*n] = (struct bench_entry){.backend = d->ops->base.name,
                                     .isa = d->info.isa,
                                     .threads = d->info.threads,
                                     .format = integer_format(b),
                                     .method = "integer",
                                     .flags = BENCH_INTEGER,
                                     .run = forward,
                                     .arg = j};
        if (d->ops->q_dense && !create_integer(j, m, d, integer_format(b), &why) && !e[*n].run(j, &why)) {
            (*n)++;
            continue;
        }
        lb_net_destroy(j->net);
        lb_safetensors_finish(&j->st);
        if (d->ops->q_dense)
            lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
}

/* Trainings of the same network that know a format: of the weights, and of what layers read, too. */
static int add_qat(const struct bench *b, const struct lb_model *m, const struct data *data, struct job *job, struct bench_entry *e,
                   size_t *n, struct lb_err *err)
{
    for (size_t i = 0; i < 2 * b->n; i++) {
        struct lb_err why = {0};
        struct job *j = &job[*n];
        struct lb_dev *d = b->d[i / 2];
        *j = (struct job){.data = data, .qat = {.text = b->o->format ? b->o->format : "INT4_CHANNEL"}};
        e[*n] = (struct bench_entry){.backend = d->ops->base.name,
                                     .isa = d->info.isa,
                                     .threads = d->info.threads,
                                     .format = j->qat.text,
                                     .method = i % 2 ? "qat, weights and activations" : "qat, weights",
                                     .run = train,
                                     .arg = j};
        const int there = !lb_bench_qat_create(&j->qat, m, d, data->batch, data->x, i % 2, &why);
        j->net = j->qat.net;
        if (there && !e[*n].run(j, &why)) {
            (*n)++;
            continue;
        }
        lb_bench_qat_free(&j->qat);
        if (b->o->format && i == 0)
            return lb_fail(err, "--format %s: %s", b->o->format, why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
    return 0;
}

static void free_job(struct job *j)
{
    if (j->qat.net)
        lb_bench_qat_free(&j->qat);
    else
        lb_net_destroy(j->net);
    lb_safetensors_finish(&j->st);
}

/* The networks on the backends. One that lacks an op is left out, unless it is the only one that was asked for. */
static int add_backends(const struct bench *b, const struct lb_model *m, const struct data *data, int training, struct job *job,
                        struct bench_entry *e, size_t *n, struct lb_err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        struct lb_err why = {0};
        struct job *j = &job[*n];
        struct lb_dev *d = b->d[i];
        *j = (struct job){.data = data};
        e[*n] = (struct bench_entry){
            .backend = d->ops->base.name, .isa = d->info.isa, .threads = d->info.threads, .run = training ? train : forward, .arg = j};
        if (!lb_net_create(m, d, data->batch, training, &j->net, &why) && !e[*n].run(j, &why)) {
            (*n)++;
            continue;
        }
        lb_net_destroy(j->net);
        if (b->o->n_backends == 1 && i == 0)
            return lb_fail(err, "%s", why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
    return 0;
}

static int measure(const struct bench *b, const struct lb_model *m, size_t batch, int training, struct lb_err *err)
{
    struct job job[3 * (LB_BENCH_BACKENDS + 1)];
    struct bench_entry e[3 * (LB_BENCH_BACKENDS + 1)];
    struct data data = {0};
    size_t n = 0;
    char shape[64];
    snprintf(shape, sizeof shape, "%s, batch %zu", m->config->name, batch);
    const struct bench_work w = {.op = training ? "train" : "forward",
                                 .shape = shape,
                                 .samples = (double)batch,
                                 .flops = 2 * multiplications(m, training) * (double)batch};
    int r = fill(&data, batch, err) || add_backends(b, m, &data, training, job, e, &n, err);
    if (!r && !training)
        add_integer(b, m, &data, job, e, &n);
    r = r || (training && add_qat(b, m, &data, job, e, &n, err));
    r = r || lb_bench_compare(b, &w, e, n, err);
    for (size_t i = 0; i < n; i++)
        free_job(&job[i]);
    lb_free(data.x);
    lb_free(data.y);
    lb_free(data.labels);
    return r ? -1 : 0;
}

static int with_model(const struct bench *b, const struct lb_model_config *config, size_t batch, int training, struct lb_err *err)
{
    struct lb_model *m;
    if (lb_model_create(config, 1, IMAGE, IMAGE, CLASSES, &m, err))
        return -1;
    lb_model_init(m, 1);
    const int r = measure(b, m, batch, training, err);
    lb_model_destroy(m);
    return r;
}

static int measure_all(const struct bench *b, const size_t *batches, size_t n, int training, struct lb_err *err)
{
    static char cnn_name[] = "cnn", mlp_name[] = "mlp";
    static const struct lb_model_config configs[] = {{.name = cnn_name, .layers = cnn, .n_layers = sizeof cnn / sizeof *cnn},
                                                     {.name = mlp_name, .layers = mlp, .n_layers = sizeof mlp / sizeof *mlp}};
    for (size_t c = 0; c < sizeof configs / sizeof *configs; c++)
        for (size_t i = 0; i < n; i++)
            if ((!b->o->model || !strcmp(b->o->model, configs[c].name)) && with_model(b, &configs[c], batches[i], training, err))
                return -1;
    return 0;
}

int lb_bench_train(const struct bench *b, struct lb_err *err)
{
    const size_t batch = b->o->batch ? b->o->batch : 64;
    return measure_all(b, &batch, 1, 1, err);
}

int lb_bench_forward(const struct bench *b, struct lb_err *err)
{
    const size_t batches[] = {b->o->batch ? b->o->batch : 64, 1};
    return measure_all(b, batches, b->o->batch ? 1 : 2, 0, err);
}
