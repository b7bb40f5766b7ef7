/* SPDX-License-Identifier: MIT */
/* net_impl.h - what net.c and net_packed.c share. Known to these files alone. */
#ifndef LB_NET_IMPL_H
#define LB_NET_IMPL_H

#include "core/format/packed.h"
#include "core/format/round.h"
#include "core/nn/model.h"

/* What a device has recorded: inference (no args) or a step of so many samples. */
struct recorded {
    void *list;
    size_t batch;
    int is_step;
    struct lb_step_args args;
};
enum { RECORDED = 4 }; /* a full and a last batch, with this epoch's learning rate and the one before */

struct lb_net {
    const struct lb_model *m;
    struct lb_dev *d;
    size_t batch;
    struct lb_buf input, labels, loss, grad[2]; /* grad: the gradient at a layer's output and at its input, in turn */
    struct lb_buf *y;                           /* of each layer */
    struct lb_buf *w, *g, *v;                   /* parameters, gradients, momenta */
    struct recorded recorded[RECORDED];
    size_t oldest;

    /* Weights in formats: net_packed.c. All NULL where parameters are binary32. */
    void **packed;                    /* by parameter: from weights_create; NULL: in w */
    struct lb_packed_tensor *formats; /* by parameter: what the codes of `packed` are worth */
    struct lb_net_place {
        void *quantizer;    /* from quantizer_create, or */
        struct lb_round r;  /* the host does it where r.f is not NULL, */
        float *x;           /* in this room */
    } * reads, *sums;       /* by layer: what becomes of its input, and of its output before the activation; neither: it is used as it is */
    int integer;            /* products of 8-bit integers, */
    size_t integer_block;   /* inputs of dense layers that share a scale; 0: a sample's */
    int unpacked;           /* weights that the device could not keep packed, and inputs that it could not format */
    int unlike;             /* no two batches run the same ops (stochastic rounding draws, the host formats), so nothing is recorded */
    struct lb_q_net *q;     /* integer layers, or NULL */
    struct lb_qat_net *qat; /* training that knows a format: qat.c; or NULL */
    uint64_t seed;
    size_t sample; /* index of the batch's first sample */
};

/* y[i] or the input: what layer i reads. */
static inline struct lb_buf *lb_net_x(struct lb_net *n, size_t i)
{
    return i ? &n->y[i - 1] : &n->input;
}

/* Frees what was recorded: the next steps run other ops. */
void lb_net_forget(struct lb_net *n);

/* Frees what net_packed.c made. */
void lb_net_free_packed(struct lb_net *n);

/* Which buffers a net has: NULL: all. */
struct lb_net_parts {
    const unsigned char *f32;     /* by parameter: it is held in binary32 */
    const unsigned char *numbers; /* by layer: its output is numbers */
};

/* A net with its buffers. */
int lb_net_allocate(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_parts *parts, int train,
                    struct lb_net **out, struct lb_err *err);

/* Whether the file has parameter p in its shape. */
int lb_net_same_shape(const struct lb_safetensors *st, const struct lb_param_tensor *p, struct lb_err *err);

#endif
