/* SPDX-License-Identifier: MIT */
/* trial_impl.h - what trial.c and trial_encode.c share: a trial at work. Known to these files alone. */
#ifndef LB_TRIAL_IMPL_H
#define LB_TRIAL_IMPL_H

#include "core/format/format.h"
#include "core/nn/fit.h"
#include "core/nn/model.h"
#include "core/run/trial.h"

struct lb_trial_outputs {
    float *y, *logits; /* (samples, classes) */
};

struct lb_trial_at_work {
    const struct lb_plan *p;
    const struct lb_trial *t;
    const char *folder;
    struct lb_model *f32, *m;      /* as trained; the shapes alone, for formatted weights */
    struct lb_model *plain;        /* what metrics compare with, where f32 was trained for its format; else NULL */
    struct lb_safetensors trained; /* f32's file, then */
    struct lb_dev *d;
    struct lb_format *format, *activations; /* activations: of mode wa */
    const struct lb_format **own;           /* of each parameter */
    struct lb_fit *fit;                     /* NULL: weights become the nearest values */
    struct lb_format_stats stats;
    struct lb_safetensors st, stored; /* the formatted weights: in memory, and in their file */
    json_t *outputs;                  /* of each layer, beside the F32 network's; NULL: not looked at */
    json_t *layers, *search;          /* what encoding did to each parameter; why each layer has its format */
    int unpacked;                     /* weights that the device could not keep packed */
    char *file;
    struct lb_trial_outputs base, after, reference;
    double latency_s;
    size_t file_bytes, batch, formula_bytes; /* formula_bytes: weights, and the numbers of a batch */
    int lost;                                /* memory for a value of the row was out */
};

static inline size_t lb_trial_n_outputs(const struct lb_trial_at_work *w)
{
    return w->p->data.test.n * w->p->data.classes;
}

/* Samples at a time: `infer.batch`, where there are so many. */
static inline size_t lb_trial_batch(const struct lb_plan *p)
{
    const size_t batch = (size_t)p->e->infer_batch;
    return p->data.test.n < batch ? p->data.test.n : batch;
}

static inline uint64_t lb_trial_seed(const struct lb_trial_at_work *w)
{
    return (uint64_t)w->p->e->seeds[w->t->seed];
}

static inline int lb_trial_mode(const struct lb_trial_at_work *w)
{
    return lb_mode_find(w->p->e->modes[w->t->mode]);
}

/* trial_encode.c: encodes the trained network into w->st and stores it in w->file. */
int lb_trial_encode(struct lb_trial_at_work *w, struct lb_err *err);

#endif
