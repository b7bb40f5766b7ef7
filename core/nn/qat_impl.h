/* SPDX-License-Identifier: MIT */
/* qat_impl.h - what qat*.c and net.c share. */
#ifndef LB_QAT_IMPL_H
#define LB_QAT_IMPL_H

#include "core/format/scale.h"
#include "core/nn/net_impl.h"
#include "core/nn/qat.h"

/* Scales that are not found anew: one a group, groups being runs of neighbours. */
struct lb_qat_own {
    struct lb_scales found; /* found.s: as they are now */
    struct lb_qat_segment {
        size_t at, n, group; /* elements at .. at + n - 1, up to 256 of the group */
    } * segment;             /* NULL: all are of one group */
    size_t n_segments;
    float *sum, *gain, *velocity; /* of learned ones: by segment; by group: 1 / sqrt(elements * top), and the momentum */
};

/* A parameter, or what a layer reads. */
struct lb_qat_item {
    struct lb_format f; /* as it is in training; NULL codec: numbers are used as they are */
    struct lb_format_config config;
    size_t rows, cols; /* rows 0: samples of the batch */
    uint32_t stream;
    int clips;                /* numbers may lie beyond the codec's range, and that counts */
    void *quantizer, *inside; /* of the device; NULL: the host does it, */
    struct lb_qat_own *own;   /* by scales that stay, or else */
    struct lb_round r;        /* by scales that it finds */
    struct lb_buf v, mask;    /* what numbers are worth; where gradients go on (above 0), unless `own` says it */
    float *room[2];           /* on the host, where the device has memory of its own */
};

struct lb_qat_net {
    struct lb_qat q;
    struct lb_qat_item *param, *read; /* by parameter, by layer */
    uint64_t step, since;             /* steps so far; since the last round trip */
};

/* ---- For net.c; nothing happens where the net knows no format ---- */

void lb_qat_free(struct lb_net *n);
int lb_qat_weights(struct lb_net *n, struct lb_err *err);                          /* before the forward pass */
int lb_qat_read(struct lb_net *n, size_t layer, size_t batch, struct lb_err *err); /* before the layer is computed */
struct lb_buf *lb_qat_w(struct lb_net *n, int param);                              /* what products use for a parameter, */
struct lb_buf *lb_qat_x(struct lb_net *n, size_t layer);                           /* and for what a layer reads */
/* dx (batch, in), the gradient of what the layer used, becomes that of what it read. */
int lb_qat_input_gradient(struct lb_net *n, size_t layer, size_t batch, struct lb_buf *dx, struct lb_err *err);
/* Before the update: gradients of what was used become those of the parameters, and learned scales make their step. */
int lb_qat_gradients(struct lb_net *n, const struct lb_step_args *a, struct lb_err *err);

/* ---- Among qat*.c ---- */

/* qat_own.c. Scales of a parameter's numbers x; or one for all numbers. */
int lb_qat_own_create(const struct lb_qat_item *it, int learned, const float *x, struct lb_qat_own **out, struct lb_err *err);
int lb_qat_own_create_one(float s, float z, struct lb_qat_own **out, struct lb_err *err);
void lb_qat_own_destroy(struct lb_qat_own *o);
/* v (n) = what x (n) is worth; `how` has the first index of what is drawn. */
void lb_qat_own_forward(const struct lb_qat_item *it, const struct lb_host *h, const float *x, size_t n, const struct lb_encode *how,
                        float *v);
/* g (n), the gradient at v, becomes that of x; sums for lb_qat_own_learn, a step of learned scales. */
void lb_qat_own_backward(const struct lb_qat_item *it, const struct lb_host *h, const float *x, size_t n, const struct lb_encode *how,
                         float *g);
void lb_qat_own_learn(const struct lb_qat_item *it, const struct lb_step_args *a);

#endif
