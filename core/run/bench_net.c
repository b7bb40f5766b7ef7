/* SPDX-License-Identifier: MIT */
/* bench_net.c - whole networks: training steps and inference. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/nn/model.h"
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
    struct job job[LB_BENCH_BACKENDS + 1];
    struct bench_entry e[LB_BENCH_BACKENDS + 1];
    struct data data = {0};
    size_t n = 0;
    char shape[64];
    snprintf(shape, sizeof shape, "%s, batch %zu", m->config->name, batch);
    const struct bench_work w = {.op = training ? "train" : "forward",
                                 .shape = shape,
                                 .samples = (double)batch,
                                 .flops = 2 * multiplications(m, training) * (double)batch};
    const int r = fill(&data, batch, err) || add_backends(b, m, &data, training, job, e, &n, err) || lb_bench_compare(b, &w, e, n, err);
    for (size_t i = 0; i < n; i++)
        lb_net_destroy(job[i].net);
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
