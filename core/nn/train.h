/* SPDX-License-Identifier: MIT */
/* train.h - epochs, shuffles and batches around lb_net_step. */
#ifndef LB_TRAIN_H
#define LB_TRAIN_H

#include "core/nn/dataset.h"
#include "core/nn/model.h"
#include "core/nn/qat.h"

struct lb_train_result {
    double loss;    /* mean over the samples of the last epoch */
    double seconds; /* wall time of all epochs */
    double samples_per_s;
};

/* Initialises and trains `m` on `d`. `label` goes before the progress line. */
int lb_train(struct lb_model *m, struct lb_dev *d, const struct lb_train_config *config, const struct lb_samples *s, uint64_t seed,
             const char *label, struct lb_train_result *out, struct lb_err *err);

/* The same for a format: from the epoch on that `qat` says, which lies within the training, steps know it. `scales` receives what lb_qat_scales has. */
int lb_train_for(struct lb_model *m, struct lb_dev *d, const struct lb_train_config *config, const struct lb_samples *s, uint64_t seed,
                 const char *label, const struct lb_qat *qat, struct lb_safetensors *scales, struct lb_train_result *out,
                 struct lb_err *err);

/* order (n): a permutation for `epoch`, drawn from Philox: docs/arithmetic.md, "Shuffles". */
void lb_shuffle(uint64_t seed, uint64_t epoch, size_t n, uint32_t *order);

#endif
