/* SPDX-License-Identifier: MIT */
/* The gradients of cpu_ref against central differences of a forward pass in binary64. That pass is written here from the layers'
 * definitions and shares nothing with core/nn but the config and the order of the parameters. */
#include "test/unit/nn_util.h"

#include "kernels/canon.h"

enum { MAX_VALUES = 512, BATCH = 5 };

/* The step of a difference, and how far from its kink each relu must stay: no step reaches that far. */
#define STEP 0x1p-15
#define AWAY 0x1p-11

struct pass {
    const struct lb_model_config *config;
    double *const *param;
    int loss, reduction;
    double nearest_kink;
};

struct shape {
    size_t c, h, w;
};

static void dense(const double *w, const double *bias, size_t in, size_t out, const double *x, double *y)
{
    for (size_t o = 0; o < out; o++) {
        y[o] = bias[o];
        for (size_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
    }
}

/* Pads first, so that no tap can be outside. */
static struct shape conv2d(const struct lb_layer_config *l, const double *w, const double *bias, struct shape s, const double *x, double *y)
{
    const size_t pad = (size_t)l->padding, stride = (size_t)l->stride, kh = (size_t)l->kernel[0], kw = (size_t)l->kernel[1];
    const size_t h = s.h + 2 * pad, wide = s.w + 2 * pad;
    double padded[MAX_VALUES] = {0};
    cr_assert(s.c * h * wide <= MAX_VALUES);
    for (size_t c = 0; c < s.c; c++)
        for (size_t row = 0; row < s.h; row++)
            memcpy(&padded[(c * h + row + pad) * wide + pad], &x[(c * s.h + row) * s.w], s.w * sizeof *x);
    const struct shape out = {(size_t)l->filters, (h - kh) / stride + 1, (wide - kw) / stride + 1};
    cr_assert(out.c * out.h * out.w <= MAX_VALUES);
    for (size_t o = 0; o < out.c; o++)
        for (size_t row = 0; row < out.h; row++)
            for (size_t col = 0; col < out.w; col++) {
                double sum = bias[o];
                for (size_t c = 0; c < s.c; c++)
                    for (size_t i = 0; i < kh; i++)
                        for (size_t j = 0; j < kw; j++)
                            sum += w[((o * s.c + c) * kh + i) * kw + j] * padded[(c * h + row * stride + i) * wide + col * stride + j];
                y[(o * out.h + row) * out.w + col] = sum;
            }
    return out;
}

static void activate(struct pass *p, const struct lb_layer_config *l, double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double v = y[i];
        if (l->activation == LB_ACT_RELU || l->activation == LB_ACT_SCALED_RELU)
            p->nearest_kink = fmin(p->nearest_kink, fabs(v));
        switch (l->activation) {
        case LB_ACT_RELU:
            y[i] = fmax(v, 0);
            break;
        case LB_ACT_SCALED_RELU:
            y[i] = (double)(float)l->alpha * fmax(v, 0);
            break;
        case LB_ACT_SIGMOID:
            y[i] = 1 / (1 + exp(-v));
            break;
        case LB_ACT_TANH:
            y[i] = tanh(v);
            break;
        case LB_ACT_SOFTMAX:
            y[i] = exp(v);
            break;
        default:
            break;
        }
        sum += y[i];
    }
    for (size_t i = 0; l->activation == LB_ACT_SOFTMAX && i < n; i++)
        y[i] /= sum;
}

/* The outputs of one sample, in place. Returns how many. */
static size_t forward(struct pass *p, double *y)
{
    struct shape s = {(size_t)p->config->input[0], (size_t)p->config->input[1], (size_t)p->config->input[2]};
    double *const *param = p->param;
    for (size_t i = 0; i < p->config->n_layers; i++) {
        const struct lb_layer_config *l = &p->config->layers[i];
        double x[MAX_VALUES];
        memcpy(x, y, s.c * s.h * s.w * sizeof *x);
        if (l->type == LB_DENSE) {
            dense(param[0], param[1], s.c * s.h * s.w, (size_t)l->units, x, y);
            s = (struct shape){(size_t)l->units, 1, 1};
        } else if (l->type == LB_CONV2D) {
            s = conv2d(l, param[0], param[1], s, x, y);
        } else if (l->type == LB_RESHAPE) {
            s = (struct shape){(size_t)l->shape[0], (size_t)l->shape[1], (size_t)l->shape[2]};
        } else if (l->type == LB_FLATTEN) {
            s = (struct shape){s.c * s.h * s.w, 1, 1};
        }
        param += l->type == LB_DENSE || l->type == LB_CONV2D ? 2 : 0;
        if (l->type != LB_RESHAPE && l->type != LB_FLATTEN)
            activate(p, l, y, s.c * s.h * s.w);
    }
    return s.c * s.h * s.w;
}

/* Whether the outputs are already probabilities. */
static int softmax_last(const struct pass *p)
{
    return p->config->layers[p->config->n_layers - 1].activation == LB_ACT_SOFTMAX;
}

static double loss_of(const struct pass *p, const double *y, size_t n, size_t label)
{
    double sum = 0;
    if (p->loss == LB_CROSS_ENTROPY) {
        for (size_t i = 0; i < n; i++)
            sum += softmax_last(p) ? y[i] : exp(y[i]);
        return log(sum) - (softmax_last(p) ? log(y[label]) : y[label]);
    }
    for (size_t i = 0; i < n; i++)
        sum += (y[i] - (i == label)) * (y[i] - (i == label));
    return p->reduction == LB_HALF ? sum / 2 : sum / (double)n;
}

/* The mean over the samples x (n, in); `each`, if not NULL, receives their losses. */
static double mean_loss(struct pass *p, const float *x, const int32_t *labels, size_t n, size_t in, double *each)
{
    double total = 0;
    for (size_t s = 0; s < n; s++) {
        double y[MAX_VALUES];
        for (size_t i = 0; i < in; i++)
            y[i] = (double)x[s * in + i];
        const size_t outputs = forward(p, y);
        const double loss = loss_of(p, y, outputs, (size_t)labels[s]);
        total += loss / (double)n;
        if (each)
            each[s] = loss;
    }
    return total;
}

/* ---- The comparison ---- */

/* Binary32 loses a few U of the terms of a gradient's sums, which are of the size of the tensor's largest gradient here; a difference
 * loses STEP^2 of the third derivative, about 1e-9. Measured: 7e-7 of the largest. A wrong factor, index or order is off by far more.
 * */
#define TOLERANCE 2e-6

static void check_parameter(struct pass *p, struct lb_net *net, const struct lb_model *m, size_t i, const float *x, const int32_t *labels,
                            const char *name)
{
    struct lb_err err = {0};
    const size_t elems = m->params[i].elems, in = m->layers[0].in;
    float *got = keep(elems, sizeof *got);
    double *want = keep(elems, sizeof *want), largest = 0;
    cr_assert_eq(lb_net_gradient(net, i, got, &err), 0, "%s", err.text);
    for (size_t j = 0; j < elems; j++) {
        double *at = &p->param[i][j];
        const double was = *at;
        *at = was + STEP;
        const double up = mean_loss(p, x, labels, BATCH, in, NULL);
        *at = was - STEP;
        want[j] = (up - mean_loss(p, x, labels, BATCH, in, NULL)) / (2 * STEP);
        *at = was;
        largest = fmax(largest, fabs(want[j]));
    }
    cr_expect(largest > 1e-3, "%s: %s: no gradient is larger than %g, so nothing is shown", name, m->params[i].name, largest);
    for (size_t j = 0; j < elems; j++)
        cr_expect(fabs((double)got[j] - want[j]) <= TOLERANCE * largest, "%s: %s[%zu]: expected %.12g, got %.9g", name, m->params[i].name,
                  j, want[j], (double)got[j]);
}

static void check_net(const char *name, const char *layers, const char *train, size_t classes, uint64_t seed)
{
    struct lb_err err = {0};
    char model[2000];
    snprintf(model, sizeof model, "{%s}", layers);
    const struct lb_experiment *e = experiment(model, train);
    struct lb_model *m = model_of(e, classes);
    const size_t in = m->layers[0].in;
    lb_model_init(m, seed);
    float *x = keep(BATCH * in, sizeof *x), loss[BATCH];
    int32_t labels[BATCH];
    for (size_t i = 0; i < BATCH * in; i++)
        x[i] = 2 * canon_unit(canon_random64(seed, 7, i).w[0]) - 1;
    for (size_t i = 0; i < BATCH; i++)
        labels[i] = (int32_t)(i * 2 % classes);
    double **param = keep(m->n_params, sizeof *param), each[BATCH];
    for (size_t i = 0; i < m->n_params; i++) {
        param[i] = keep(m->params[i].elems, sizeof **param);
        for (size_t j = 0; j < m->params[i].elems; j++)
            param[i][j] = (double)m->params[i].value[j];
    }
    struct pass p = {&e->models[0], param, e->train.loss, e->train.reduction, INFINITY};
    mean_loss(&p, x, labels, BATCH, in, each);
    cr_assert(p.nearest_kink > AWAY, "%s: seed %llu puts a relu %g from its kink: take another", name, (unsigned long long)seed,
              p.nearest_kink);

    struct lb_net *net = net_of(m, held.dev, BATCH + 2); /* larger than the batch of the step */
    const struct lb_step_args args = {e->train.loss, e->train.reduction, 0, 0, 0};
    cr_assert_eq(lb_net_step(net, &args, x, labels, BATCH, loss, &err), 0, "%s", err.text);
    for (size_t i = 0; i < BATCH; i++)
        cr_expect(fabs((double)loss[i] - each[i]) <= 2e-6 * (1 + each[i]), "%s: loss of sample %zu: expected %.12g, got %.9g", name, i,
                  each[i], (double)loss[i]);
    for (size_t i = 0; i < m->n_params; i++)
        check_parameter(&p, net, m, i, x, labels, name);
}

#define INIT ", \"init\": \"xavier_uniform\", \"bias_init\": {\"rule\": \"uniform\", \"low\": -0.3, \"high\": 0.3}"

static const struct {
    const char *name, *layers;
    size_t classes;
    uint64_t seed;
} nets[] = {
    {"dense",
     "\"input\": [6, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 7, \"activation\": \"relu\"" INIT "},"
     "{\"type\": \"dense\", \"units\": 4" INIT "}]",
     4, 1},
    {"conv and dense",
     "\"input\": [2, 7, 6], \"layers\": ["
     "{\"type\": \"conv2d\", \"filters\": 3, \"kernel\": [3, 2], \"stride\": 2, \"padding\": 1, \"activation\": \"tanh\"" INIT "},"
     "{\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 5, \"activation\": \"softmax\"" INIT "}]",
     5, 1},
    {"two convs",
     "\"input\": [1, 6, 6], \"layers\": ["
     "{\"type\": \"conv2d\", \"filters\": 2, \"kernel\": 2, \"activation\": \"scaled_relu\"" INIT "},"
     "{\"type\": \"conv2d\", \"filters\": 3, \"kernel\": 3, \"stride\": 3, \"padding\": 2, \"activation\": \"sigmoid\"" INIT "},"
     "{\"type\": \"dense\", \"units\": 3" INIT "}]",
     3, 1},
    {"sigmoids",
     "\"input\": [5, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 6, \"activation\": \"tanh\"" INIT "},"
     "{\"type\": \"dense\", \"units\": 6, \"activation\": \"sigmoid\"" INIT "},"
     "{\"type\": \"dense\", \"units\": 4, \"activation\": \"softmax\"" INIT "}]",
     4, 2},
    {"reshape",
     "\"input\": [3, 2, 2], \"layers\": [{\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 18, \"activation\": \"tanh\"" INIT "},"
     "{\"type\": \"reshape\", \"shape\": [2, 3, 3]}, {\"type\": \"conv2d\", \"filters\": 2, \"kernel\": 2, \"padding\": 1" INIT "},"
     "{\"type\": \"reshape\", \"shape\": [4, 2, 4]}, {\"type\": \"conv2d\", \"filters\": 3, \"kernel\": [2, 4], \"stride\": 2" INIT "}]",
     3, 1},
    {"activations of their own",
     "\"input\": [1, 4, 5], \"layers\": [{\"type\": \"activation\", \"activation\": \"sigmoid\"},"
     "{\"type\": \"dense\", \"units\": 6" INIT "}, {\"type\": \"activation\", \"activation\": \"scaled_relu\", \"alpha\": 0.7},"
     "{\"type\": \"activation\", \"activation\": \"linear\"}, {\"type\": \"dense\", \"units\": 4" INIT
     "}, {\"type\": \"activation\", \"activation\": \"tanh\"},"
     "{\"type\": \"dense\", \"units\": 3" INIT "}, {\"type\": \"activation\", \"activation\": \"softmax\"}]",
     3, 1},
};

static void every_net(const char *train)
{
    load_plugins();
    open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(nets); i++)
        check_net(nets[i].name, nets[i].layers, train, nets[i].classes, nets[i].seed);
    drop_all();
}

Test(gradients, cross_entropy)
{
    every_net("{\"loss\": \"cross_entropy\"}");
}

Test(gradients, mse_mean)
{
    every_net("{\"loss\": \"mse\"}");
}

Test(gradients, mse_half)
{
    every_net("{\"loss\": \"mse\", \"reduction\": \"half\"}");
}
