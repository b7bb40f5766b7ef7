/* SPDX-License-Identifier: MIT */
#include "core/nn/train.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "kernels/canon.h"

#include <string.h>

enum { STREAM_SHUFFLE = 1 };

enum { LINE = 16 /* floats of a cache line */, GATHERED = 16 /* rows at a time */, AHEAD = 2 /* rows */ };

void lb_shuffle(uint64_t seed, uint64_t epoch, size_t n, uint32_t *order)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        const canon_words r = canon_random64(seed, STREAM_SHUFFLE, epoch << 32 | i);
        const size_t j = (size_t)((uint64_t)r.w[0] * (i + 1) >> 32);
        const uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

/* What an epoch needs; the arrays are one allocation each and live as long as the training. */
struct run {
    struct lb_net *net;
    struct lb_dev *d;
    struct lb_model *m;
    const struct lb_train_config *c;
    const struct lb_qat *qat; /* or NULL */
    const struct lb_samples *s;
    size_t in, batch;
    uint32_t *order;
    float *x, *own_x, *loss; /* x: the network's own input, or own_x */
    int32_t *y;
    const char *label;
    double started;
};

static void progress(const struct run *r, size_t epoch, size_t at, double loss)
{
    const size_t per_epoch = (r->s->n + r->batch - 1) / r->batch, total = per_epoch * (size_t)r->c->epochs;
    const size_t done = epoch * per_epoch + (at + r->batch - 1) / r->batch;
    const double seconds = lb_seconds() - r->started;
    lb_progress_training(&(struct lb_training_progress){.label = r->label,
                                                        .epoch = epoch + 1,
                                                        .epochs = (size_t)r->c->epochs,
                                                        .batch = (at + r->batch - 1) / r->batch,
                                                        .batches = per_epoch,
                                                        .loss = loss,
                                                        .per_s = seconds > 0 ? (double)(epoch * r->s->n + at) / seconds : 0,
                                                        .seconds = seconds,
                                                        .seconds_left = seconds / (double)done * (double)(total - done)});
}

/* Some rows of the batch at order[at]. */
struct gathering {
    const struct run *r;
    size_t at, n;
};

/* The rows come from all over the memory: while one is copied, another is on its way to the second-level cache. */
static void gather_rows(void *arg, size_t part)
{
    const struct gathering *g = arg;
    const struct run *r = g->r;
    const uint32_t *order = r->order + g->at;
    const size_t first = part * GATHERED, end = g->n - first < GATHERED ? g->n : first + GATHERED;
    for (size_t i = first; i < end; i++) {
        for (size_t j = 0; i + AHEAD < g->n && j < r->in; j += LINE)
            __builtin_prefetch(r->s->x + order[i + AHEAD] * r->in + j, 0, 2);
        memcpy(r->x + i * r->in, r->s->x + order[i] * r->in, r->in * sizeof *r->x);
        r->y[i] = r->s->y[order[i]];
    }
}

static void gather(const struct run *r, size_t at, size_t n)
{
    struct gathering g = {r, at, n};
    r->d->host.parallel(&r->d->host, (n + GATHERED - 1) / GATHERED, gather_rows, &g);
}

static int epoch(const struct run *r, size_t e, float lr, double *mean, struct lb_err *err)
{
    const struct lb_step_args args = {r->c->loss, r->c->reduction, lr, (float)r->c->momentum, (float)r->c->decay};
    const int knows = r->qat && e >= (size_t)r->qat->config->from_epoch;
    double sum = 0;
    if (knows && ((e == (size_t)r->qat->config->from_epoch && lb_qat_start(r->net, r->qat, r->m, err)) || lb_qat_epoch(r->net, r->m, err)))
        return -1;
    for (size_t at = 0; at < r->s->n; at += r->batch) {
        const size_t n = r->s->n - at < r->batch ? r->s->n - at : r->batch;
        gather(r, at, n);
        if (lb_net_step(r->net, &args, r->x, r->y, n, r->loss, err) || (knows && lb_qat_stepped(r->net, at + n == r->s->n, err)))
            return -1;
        for (size_t i = 0; i < n; i++)
            sum += (double)r->loss[i];
        progress(r, e, at + n, sum / (double)(at + n));
    }
    *mean = sum / (double)r->s->n;
    return 0;
}

static int epochs(struct run *r, uint64_t seed, struct lb_train_result *out, struct lb_err *err)
{
    float lr = (float)r->c->lr;
    for (size_t i = 0; i < r->s->n; i++)
        r->order[i] = (uint32_t)i;
    for (size_t e = 0; e < (size_t)r->c->epochs; e++) {
        if (r->c->shuffle == LB_SHUFFLE_EPOCH || (r->c->shuffle == LB_SHUFFLE_ONCE && e == 0))
            lb_shuffle(seed, e, r->s->n, r->order);
        if (epoch(r, e, lr, &out->loss, err))
            return -1;
        lr *= (float)r->c->lr_decay;
    }
    return 0;
}

int lb_train(struct lb_model *m, struct lb_dev *d, const struct lb_train_config *config, const struct lb_samples *s, uint64_t seed,
             const char *label, struct lb_train_result *out, struct lb_err *err)
{
    return lb_train_for(m, d, config, s, seed, label, NULL, NULL, out, err);
}

int lb_train_for(struct lb_model *m, struct lb_dev *d, const struct lb_train_config *config, const struct lb_samples *s, uint64_t seed,
                 const char *label, const struct lb_qat *qat, struct lb_safetensors *scales, struct lb_train_result *out,
                 struct lb_err *err)
{
    *out = (struct lb_train_result){0};
    lb_model_init(m, seed);
    if (s->n == 0 || s->n > UINT32_MAX)
        return lb_fail(err, "%zu training samples: expected 1 to 2^32 - 1", s->n);
    const size_t batch = (size_t)config->batch < s->n ? (size_t)config->batch : s->n;
    struct run r = {
        .d = d, .m = m, .c = config, .qat = qat, .s = s, .in = m->layers[0].in, .batch = batch, .label = label, .started = lb_seconds()};
    r.order = lb_alloc(s->n, sizeof *r.order, err);
    r.y = lb_alloc(batch, sizeof *r.y, err);
    r.loss = lb_alloc(batch, sizeof *r.loss, err);
    int result = r.order && r.y && r.loss ? lb_net_create(m, d, batch, 1, &r.net, err) : -1;
    if (!result) {
        r.x = lb_net_input(r.net);
        if (!r.x)
            r.x = r.own_x = lb_alloc(batch * r.in, sizeof *r.x, err);
        result = r.x ? 0 : -1;
    }
    if (!result)
        result = epochs(&r, seed, out, err) || lb_net_download(r.net, m, err) || (qat && lb_qat_scales(r.net, scales, err)) ? -1 : 0;
    lb_progress_end();
    out->seconds = lb_seconds() - r.started;
    out->samples_per_s = out->seconds > 0 ? (double)config->epochs * (double)s->n / out->seconds : 0;
    lb_net_destroy(r.net);
    lb_free(r.order);
    lb_free(r.own_x);
    lb_free(r.y);
    lb_free(r.loss);
    return result;
}
