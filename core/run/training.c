/* SPDX-License-Identifier: MIT */
/* training.c - one training, plain or for a format, into a file. */
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/nn/train.h"
#include "core/run/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void warn_not_finite(const struct lb_model *m, const char *file)
{
    for (size_t i = 0; i < m->n_params; i++) {
        size_t n = 0;
        for (size_t j = 0; j < m->params[i].elems; j++)
            n += isfinite(m->params[i].value[j]) ? 0 : 1;
        if (n)
            lb_log(LB_LOG_WARN, "%s: %s holds %zu NaN or Inf", file, m->params[i].name, n);
    }
}

/* What a training works on. */
struct training {
    const struct lb_plan *p;
    const struct lb_training *t;
    struct lb_model *m;
    struct lb_dev *d;
    struct lb_format *format, *activations; /* that it knows, or NULL */
    struct lb_safetensors scales;           /* that it found for them */
    struct lb_train_result result;
};

static int create_formats(struct training *t, struct lb_err *err)
{
    const struct lb_format_fact *f = &t->p->formats[t->t->format];
    const struct lb_format_config *a = t->t->mode == LB_MODE_INTEGER ? f->codes : f->activations;
    return lb_format_create(f->config, &t->format, err) ||
                   (lb_plan_qat_reads(&f->config->qat, t->t->mode) && lb_format_create(a, &t->activations, err))
               ? -1
               : 0;
}

static int train(struct training *t, struct lb_err *err)
{
    const struct lb_plan *p = t->p;
    const struct lb_model_config *c = &p->e->models[t->t->model];
    const struct lb_samples *s = &p->data.train;
    const struct lb_backend_fact *b = &p->backends[t->t->backend];
    const uint64_t seed = (uint64_t)p->e->seeds[t->t->seed];
    const size_t samples = (size_t)p->e->calibration_samples, batch = (size_t)p->e->infer_batch;
    const int knows = t->t->format != LB_NO_FORMAT;
    char label[200];
    if (c->weights) {
        const int r = lb_model_load(t->m, c->weights, c->names, err);
        warn_not_finite(t->m, c->weights);
        return r;
    }
    if ((knows && create_formats(t, err)) || lb_backend_open((const struct lb_backend *)b->entry->plugin, &b->options, &t->d, err))
        return -1;
    const struct lb_qat q = {.config = knows ? &t->format->config->qat : NULL,
                             .format = t->format,
                             .activations = t->activations,
                             .biases = t->t->mode != LB_MODE_INTEGER,
                             .x = s->x,
                             .n = s->n < samples ? s->n : samples,
                             .batch = p->data.test.n < batch ? p->data.test.n : batch,
                             .seed = seed};
    snprintf(label, sizeof label, "train %.60s, seed %lld, %.40s%s%.40s", c->name, (long long)seed, b->name, knows ? ", for " : "",
             knows ? t->format->config->name : "");
    return lb_train_for(t->m, t->d, lb_plan_train(p, t->t->model), s, seed, label, knows ? &q : NULL, &t->scales, &t->result, err);
}

static int save(struct training *t, const char *path, char sha256[65], struct lb_err *err)
{
    lb_model_ablate(t->m);
    return lb_model_tensors(t->m, &t->scales, err) || lb_safetensors_write(&t->scales, path, err) ||
                   lb_safetensors_sha256(&t->scales, sha256, err)
               ? -1
               : 0;
}

int lb_training_work(void *job, json_t *reply, struct lb_err *err)
{
    const struct lb_job *j = job;
    struct training t = {.p = j->plan, .t = &j->plan->trainings[j->index]};
    const struct lb_dataset *data = &t.p->data;
    char sha[65];
    char *path = lb_trained_path(j->folder, t.t->hash, err);
    int r = !path || lb_model_create(&t.p->e->models[t.t->model], data->channels, data->height, data->width, data->classes, &t.m, err) ||
                    train(&t, err) || save(&t, path, sha, err)
                ? -1
                : 0;
    if (!r) {
        const int lost = json_object_set_new(reply, "loss", lb_json_number(t.result.loss)) ||
                         json_object_set_new(reply, "seconds", lb_json_number(t.result.seconds)) ||
                         json_object_set_new(reply, "samples_per_s", lb_json_number(t.result.samples_per_s)) ||
                         json_object_set_new(reply, "weights_sha256", json_string(sha));
        r = lost ? lb_fail(err, "out of memory: reply") : 0;
    }
    lb_backend_close(t.d);
    lb_safetensors_finish(&t.scales);
    lb_format_destroy(t.format);
    lb_format_destroy(t.activations);
    lb_model_destroy(t.m);
    lb_free(path);
    return r;
}
