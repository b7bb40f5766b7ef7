/* SPDX-License-Identifier: MIT */
/* q_net_impl.h - what q_net.c and q_net_load.c share. Known to these files alone. */
#ifndef LB_Q_NET_IMPL_H
#define LB_Q_NET_IMPL_H

#include "core/nn/net_impl.h"
#include "core/nn/q_net.h"
#include "core/nn/q_params.h"

/* How the elements of a sample lie: an image as codes is channels last; c alone: a row. */
struct image {
    size_t c, h, w;
};

struct q_layer {
    int integer, to_codes;  /* it is one; its output goes to the next layer as codes */
    struct lb_q_params in;  /* of the codes it reads, */
    struct image image;     /* which lie so */
    struct lb_buf codes;    /* (batch, in) */
    struct lb_buf in_scale; /* one */
    struct lb_buf turned;   /* (batch, in): codes in the other order, where what comes has it */
    void *w;                /* q_weights_create */
    struct lb_q_out out;
    struct image out_image; /* how its output lies */
    struct lb_buf sums;     /* (batch, out), where that are sums; */
    struct lb_buf unit;     /* (o): what one is worth */
    struct lb_buf values;   /* (batch, out): the same as numbers, where they lie channels last */
    struct lb_buf table;    /* of an activation */
};

struct lb_q_net {
    struct q_layer *layer; /* (n_layers) */
    struct lb_format_config config;
    struct lb_format *activations;
};

static inline size_t lb_q_elems(struct image i)
{
    return i.c * i.h * i.w;
}

static inline int lb_q_is_turned(struct image i)
{
    return i.c > 1 && i.h * i.w > 1;
}

/* Where element i of a sample, counted channels first, lies. */
static inline size_t lb_q_place(struct image m, size_t i)
{
    const size_t positions = m.h * m.w;
    return lb_q_is_turned(m) ? i % positions * m.c + i / positions : i;
}

static inline uint32_t lb_q_act(int act)
{
    static const uint32_t of[] = {[LB_ACT_LINEAR] = LB_LINEAR,
                                  [LB_ACT_RELU] = LB_RELU,
                                  [LB_ACT_SCALED_RELU] = LB_SCALED_RELU,
                                  [LB_ACT_SIGMOID] = LB_SIGMOID,
                                  [LB_ACT_TANH] = LB_TANH};
    return of[act];
}

static inline size_t lb_q_words(size_t bytes)
{
    return (bytes + 3) / 4;
}

#endif
