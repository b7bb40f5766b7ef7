/* SPDX-License-Identifier: MIT */
/* op_q.h - private to core/cmd/op_q*.c: codes, scales and zero points of a file as the ops on integer tensors (core/plugin.h) take them. */
#ifndef LB_CMD_OP_Q_H
#define LB_CMD_OP_Q_H

#include "core/cmd/op.h"
#include "core/nn/buffers.h"
#include "core/nn/q_params.h"

/* ---- Parameters ------------------------------------------------------------------------------------------------------------------- */

/* Scale and zero point of a tensor, from "NAME_scale" and "NAME_zero_point" ("scale" and "zero_point" where NAME is ""): one for all, or one a channel. */
struct lb_op_q {
    const char *name;
    uint32_t type;     /* enum lb_q_type of its codes */
    int32_t low, high; /* the codes of the type */
    size_t n;          /* 1, or the channels */
    float *scale;      /* (n); NULL: there is none */
    int32_t *zero;     /* (n): 0 where there is none */
    int zeros_differ;
};

/* The type of the codes of an input: U8, I8, with `sums` I32. Errors name the tensor. */
int lb_op_q_type(const struct lb_op_call *c, const char *name, int sums, uint32_t *type, struct lb_err *err);
/* The type of an output: that of its zero point, U8 where there is none. */
int lb_op_q_output_type(const struct lb_op_call *c, const char *name, uint32_t *type, struct lb_err *err);
enum lb_dtype_id lb_op_q_dtype(uint32_t type);

/* Reads the parameters of a tensor of `channels` channels (1: one for all is all that there may be). Errors name "NAME_scale", "NAME_zero_point": shapes, dtypes, scales
 * that are not finite or not above 0, zero points beyond the type. Zero-initialise q; finish frees, whatever was returned. */
int lb_op_q_open(const struct lb_op_call *c, const char *name, uint32_t type, size_t channels, struct lb_op_q *q, struct lb_err *err);
void lb_op_q_finish(struct lb_op_q *q);

/* An error that names "NAME_scale" where there is none, or "NAME_zero_point" where they differ. */
int lb_op_q_need_scale(const struct lb_op_q *q, struct lb_err *err);
int lb_op_q_need_one_zero(const struct lb_op_q *q, struct lb_err *err);

/* Of channel j. */
static inline double lb_op_q_scale_of(const struct lb_op_q *q, size_t j)
{
    return (double)q->scale[q->n == 1 ? 0 : j];
}
static inline int32_t lb_op_q_zero_of(const struct lb_op_q *q, size_t j)
{
    return q->zero[q->n == 1 ? 0 : j];
}

/* The largest |code - zero|, whatever the channel. */
int64_t lb_op_q_reach(const struct lb_op_q *q);
/* As one tensor of activations has them. */
struct lb_q_params lb_op_q_params(const struct lb_op_q *q);
/* An output with all codes of its type, or with `relu` those from its zero point on. */
struct lb_q_out lb_op_q_out(const struct lb_op_q *y, int relu);

/* multiplier (n) and shift (n), one behind the other in `rows`: a (b) factor / y of each channel, b NULL: 1. Errors name the scales: 2^22 and more. */
int lb_op_q_multipliers(const struct lb_op_q *a, const struct lb_op_q *b, double factor, const struct lb_op_q *y, size_t n, int32_t *rows,
                        struct lb_err *err);

/* ---- Settings --------------------------------------------------------------------------------------------------------------------- */

/* n whole numbers from low to high, "3,2", or one for all, "3". */
int lb_op_q_sizes(const struct lb_op_call *c, const char *setting, size_t n, size_t low, size_t high, size_t *v, struct lb_err *err);
/* `act` of products: whether it is relu; or linear. */
int lb_op_q_relu(const struct lb_op_call *c, int *relu, struct lb_err *err);

/* ---- Devices ---------------------------------------------------------------------------------------------------------------------- */

/* Buffers of an op: its inputs, what belongs to channels, its output. */
enum { LB_OP_Q_X, LB_OP_Q_X2, LB_OP_Q_ROWS, LB_OP_Q_Y };

/* Bytes to and from buffer i; data NULL: room. */
int lb_op_q_put(struct lb_buffers *b, int i, const void *data, size_t bytes, struct lb_err *err);
int lb_op_q_get(struct lb_buffers *b, int i, void *data, size_t bytes, struct lb_err *err);
/* An input as buffer i. */
int lb_op_q_put_input(const struct lb_op_call *c, struct lb_buffers *b, int i, const char *name, struct lb_err *err);
/* Adds an output and room for it as buffer LB_OP_Q_Y. Returns its memory, or NULL. */
void *lb_op_q_output(struct lb_op_call *c, struct lb_buffers *b, const char *name, uint32_t type, unsigned ndim, const size_t *shape,
                     struct lb_err *err);

/* x (n, rows, cols), elements of `size` bytes -> y (n, cols, rows): images between channels first and channels last. */
void lb_op_q_turn(const void *x, size_t n, size_t rows, size_t cols, size_t size, void *y);
/* An input x (n, c, h, w) as buffer i, channels last. */
int lb_op_q_put_images(const struct lb_op_call *c, struct lb_buffers *b, int i, const char *name, struct lb_err *err);
/* Buffer LB_OP_Q_Y, channels last, into y (n, c, positions) with elements of `size` bytes. */
int lb_op_q_get_images(struct lb_buffers *b, size_t n, size_t c, size_t positions, size_t size, void *y, struct lb_err *err);

/* ---- Products: op_q_product.c ------------------------------------------------------------------------------------------------------ */

/* What a product is made with, (n) outputs of k terms. */
struct lb_op_q_product {
    struct lb_op_q a, w, y; /* y.scale NULL: sums */
    int32_t *bias;          /* (n), or NULL */
    int32_t *rows;          /* multiplier (n), shift (n), zero point of w (n) */
    struct lb_q_out out;
    size_t n;
    unsigned char *codes; /* what lb_op_q_weights made */
    void *on_device;
};

/* Reads what belongs to names[0] (activations), names[1] (weights of `bits` bits) and names[2] (the result), "bias" and the setting `act`. Sums that may not fit
 * 32 bits are an error that says how many terms do. Zero-initialise p; finish frees, whatever was returned. */
int lb_op_q_product_open(const struct lb_op_call *c, const char *const names[3], int bits, size_t n, size_t k, struct lb_op_q_product *p,
                         struct lb_err *err);
void lb_op_q_product_finish(const struct lb_op_call *c, struct lb_op_q_product *p);

/* Puts weights on the device: w (n, k), one code a byte. */
int lb_op_q_weights(const struct lb_op_call *c, struct lb_op_q_product *p, const unsigned char *w, size_t k, struct lb_err *err);

#endif
