/* SPDX-License-Identifier: MIT */
/* bench_qat.c - steps of a training that knows a format, beside plain ones. */
#include "core/run/bench_impl.h"

#include <string.h>

static int create(struct bench_qat *q, const struct lb_model *m, struct lb_dev *d, size_t batch, const float *x, int reads,
                  struct lb_err *err)
{
    const struct lb_qat_config *c = &q->config.qat;
    struct lb_model *copy = NULL; /* the start writes into a model what the net holds already */
    if (lb_config_format(q->text, NULL, &q->config, err) || lb_format_create(&q->config, &q->format, err) ||
        (q->config.activations && lb_format_create(q->config.activations, &q->activations, err)))
        return -1;
    if (!q->config.has_qat)
        q->config.qat = (struct lb_qat_config){.activations = 1, .clip = 1};
    const struct lb_qat qat = {.config = c,
                               .format = q->format,
                               .activations = !reads           ? NULL
                                              : q->activations ? q->activations
                                                               : q->format,
                               .biases = 1,
                               .x = x,
                               .n = batch,
                               .batch = batch};
    const int r = lb_qat_check(c, q->format, err) || lb_model_create(m->config, m->channels, m->height, m->width, m->classes, &copy, err) ||
                          lb_net_create(m, d, batch, 1, &q->net, err) || lb_qat_start(q->net, &qat, copy, err) ||
                          lb_qat_epoch(q->net, copy, err)
                      ? -1
                      : 0;
    lb_model_destroy(copy);
    return r;
}

int lb_bench_qat_create(struct bench_qat *q, const struct lb_model *m, struct lb_dev *d, size_t batch, const float *x, int reads,
                        struct lb_err *err)
{
    if (!create(q, m, d, batch, x, reads, err))
        return 0;
    lb_bench_qat_free(q);
    return -1;
}

void lb_bench_qat_free(struct bench_qat *q)
{
    lb_net_destroy(q->net);
    lb_format_destroy(q->format);
    lb_format_destroy(q->activations);
    lb_config_format_finish(&q->config);
    *q = (struct bench_qat){.text = q->text};
}
