/* SPDX-License-Identifier: MIT */
/* op.h - the ops of `lowbit op`, as a table: a row says what an op takes and calls the function that runs it. */
#ifndef LB_CMD_OP_H
#define LB_CMD_OP_H

#include "core/base/err.h"
#include "core/format/safetensors.h"
#include "core/nn/backend.h"
#include <stdint.h>

enum { LB_OP_INPUTS = 10, LB_OP_SETTINGS = 8 };

struct lb_op_input {
    const char *name;
    int optional;
};

struct lb_op_setting {
    const char *name;
    const char *value; /* the default; NULL: it must be given */
    const char *help;
};

struct lb_op_call;

struct lb_op {
    const char *name, *help;
    struct lb_op_input inputs[LB_OP_INPUTS];
    int any_inputs; /* tensors of other names are the op's own business */
    const char *outputs;
    struct lb_op_setting settings[LB_OP_SETTINGS];
    int on_backend; /* wants call->dev */
    int (*run)(struct lb_op_call *c, struct lb_err *err);
};

/* An op at work. */
struct lb_op_call {
    const struct lb_op *op;
    struct lb_safetensors in, out;
    const char *set[LB_OP_SETTINGS]; /* as given, NULL: the default */
    struct lb_dev *dev;
};

/* The table; NULL behind the last. */
const struct lb_op *lb_op_at(size_t i);

/* Takes "K=V"; an unknown K is an error that suggests the nearest. */
int lb_op_set(struct lb_op_call *c, const char *text, struct lb_err *err);

/* Whether the file holds every input of the op and no other tensor, and every setting without a default is there. `path`: for messages. */
int lb_op_check(const struct lb_op_call *c, const char *path, struct lb_err *err);

/* ---- For the functions of the ops ------------------------------------------------------------------------------------------------- */

const char *lb_op_text(const struct lb_op_call *c, const char *setting);
int lb_op_whole(const struct lb_op_call *c, const char *setting, int64_t low, int64_t high, int64_t *v, struct lb_err *err);
int lb_op_number(const struct lb_op_call *c, const char *setting, double *v, struct lb_err *err);
/* An activation by name, and its factor, from the settings `act` and `alpha`. */
int lb_op_activation(const struct lb_op_call *c, uint32_t *act, float *alpha, struct lb_err *err);

/* An input: of any dtype, NULL where an optional one is not there; or its numbers in F32, freed by the caller. */
const struct lb_tensor *lb_op_tensor(const struct lb_op_call *c, const char *name);
int lb_op_floats(const struct lb_op_call *c, const char *name, float **x, struct lb_err *err); /* *x: NULL where it is not there */
int lb_op_dims(const struct lb_op_call *c, const char *name, unsigned ndim, const char *meaning, struct lb_err *err);
int lb_op_dtype(const struct lb_op_call *c, const char *name, enum lb_dtype_id dtype, struct lb_err *err);

/* Adds a zeroed output and returns its memory, or NULL. */
void *lb_op_output(struct lb_op_call *c, const char *name, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err);

int lb_op_gemm(struct lb_op_call *c, struct lb_err *err);
int lb_op_conv2d(struct lb_op_call *c, struct lb_err *err);
int lb_op_act(struct lb_op_call *c, struct lb_err *err);
int lb_op_softmax(struct lb_op_call *c, struct lb_err *err);
int lb_op_matmul_nbits(struct lb_op_call *c, struct lb_err *err);
int lb_op_matmul_nbits_grad(struct lb_op_call *c, struct lb_err *err);
int lb_op_pack_nbits(struct lb_op_call *c, struct lb_err *err);
int lb_op_unpack_nbits(struct lb_op_call *c, struct lb_err *err);
int lb_op_constant(struct lb_op_call *c, struct lb_err *err);
int lb_op_onnx(struct lb_op_call *c, struct lb_err *err);

/* On integer tensors. */
int lb_op_q_gemm(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_conv2d(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_quantize(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_dequantize(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_requantize(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_scale(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_add(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_mul(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_act(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_pool(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_copy(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_im2col(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_col2im(struct lb_op_call *c, struct lb_err *err);
int lb_op_q_model(struct lb_op_call *c, struct lb_err *err);

#endif
