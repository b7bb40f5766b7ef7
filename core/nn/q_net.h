/* SPDX-License-Identifier: MIT */
/* q_net.h - layers on integer tensors (docs/arithmetic.md, 13), and the files that hold them: docs/integer.md. */
#ifndef LB_Q_NET_H
#define LB_Q_NET_H

#include "core/nn/calibrate.h"
#include "core/nn/model.h"

/* An integer model is a safetensors file. Of each integer layer N of the config: "N.weight" in its format; "N.bias", I32, in units of "N.bias.scale" (F32, one
 * an output: round32(scale of the input * scale of the weights)); "N.input.scale" and "N.input.zero_point", of the codes it reads; where a table follows it (sigmoid, tanh)
 * "N.sum.scale" and "N.sum.zero_point". Other layers are as in any file. Metadata: "lowbit.activations", the format of what layers read; "lowbit.model", the network. */

/* Which layers of `m` are integer ones, by what `st` holds: those whose weights are whole numbers with one scale an output, and activations between two of them. */
int lb_q_choose(const struct lb_model *m, const struct lb_safetensors *st, unsigned char *integer, struct lb_err *err);

/* Adds to `st`, which holds the weights in their formats and float layers' biases, what makes it an integer model. biases: by parameter, in place of the
 * network's; NULL, or one of them NULL: its own. stats: biases are counted. */
int lb_q_make(const struct lb_calibration *c, const float *const *biases, const struct lb_format *activations, struct lb_safetensors *st,
              struct lb_format_stats *stats, struct lb_err *err);

/* Whether a file holds an integer model. */
int lb_q_is_model(const struct lb_safetensors *st);
/* The integer layers of such a file: those with "N.input.scale". */
void lb_q_layers(const struct lb_model *m, const struct lb_safetensors *st, unsigned char *integer);

/* For net.c and net_packed.c: */
struct lb_q_net;
int lb_q_net_create(struct lb_net *n, const struct lb_safetensors *st, const unsigned char *integer, struct lb_q_net **out,
                    struct lb_err *err);
void lb_q_net_destroy(struct lb_net *n, struct lb_q_net *q);
int lb_q_net_is_integer(const struct lb_q_net *q, size_t layer);
/* Whether the output of a layer goes to the next one as codes, and what these are worth. */
int lb_q_net_gives_codes(const struct lb_q_net *q, size_t layer);
int lb_q_net_output(struct lb_net *n, size_t layer, size_t batch, float *y, struct lb_layer_codes *codes, struct lb_err *err);
int lb_q_net_layer(struct lb_net *n, size_t layer, size_t batch, struct lb_err *err);

/* What reads and writes an integer layer: whether layer i's output goes to the next one as codes. */
static inline int lb_q_to_codes(const struct lb_model *m, const unsigned char *integer, size_t i)
{
    return integer[i] && i + 1 < m->n_layers && integer[i + 1];
}

#endif
