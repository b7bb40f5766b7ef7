/* SPDX-License-Identifier: MIT */
/* bench_net.c - whole networks: training steps and inference. */
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

static int train(void *arg, struct lb_err *err)
{
    static const struct lb_step_args step = {.loss = LB_CROSS_ENTROPY, .reduction = LB_MEAN, .lr = 0.01f};
    const struct job *j = arg;
    return lb_net_step(j->net, &step, j->data->x, j->data->labels, j->data->batch, NULL, err);
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

static int measure(const struct lb_bench_options *o, const struct lb_model *m, int training, struct lb_table *t, struct lb_err *err)
{
    struct lb_bench_devices all;
    struct job job[sizeof all.d / sizeof *all.d] = {0};
    void *arg[sizeof all.d / sizeof *all.d];
    struct data data = {0};
    char shape[64];
    snprintf(shape, sizeof shape, "%s, batch %zu", m->config->name, o->batch);
    const struct bench_work w = {.op = training ? "train" : "forward",
                                 .shape = shape,
                                 .samples = (double)o->batch,
                                 .flops = 2 * multiplications(m, training) * (double)o->batch};
    int r = lb_bench_open(o, &all, err) || fill(&data, o->batch, err) ? -1 : 0;
    for (size_t i = 0; i < all.n && !r; i++) {
        arg[i] = &job[i];
        job[i].data = &data;
        r = lb_net_create(m, all.d[i], o->batch, training, &job[i].net, err);
    }
    if (!r)
        r = lb_bench_compare(o, &w, &all, training ? train : forward, arg, t, err);
    for (size_t i = 0; i < all.n; i++)
        lb_net_destroy(job[i].net);
    lb_bench_close(&all);
    lb_free(data.x);
    lb_free(data.y);
    lb_free(data.labels);
    return r;
}

static int with_model(const struct lb_bench_options *o, int training, struct lb_table *t, struct lb_err *err)
{
    static char cnn_name[] = "cnn", mlp_name[] = "mlp";
    const int small = o->model && !strcmp(o->model, mlp_name);
    const struct lb_model_config config = {.name = small ? mlp_name : cnn_name,
                                           .layers = small ? mlp : cnn,
                                           .n_layers = small ? sizeof mlp / sizeof *mlp : sizeof cnn / sizeof *cnn};
    struct lb_model *m;
    if (lb_model_create(&config, 1, IMAGE, IMAGE, CLASSES, &m, err))
        return -1;
    lb_model_init(m, 1);
    const int r = measure(o, m, training, t, err);
    lb_model_destroy(m);
    return r;
}

int lb_bench_train(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    return with_model(o, 1, t, err);
}

int lb_bench_forward(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    return with_model(o, 0, t, err);
}
