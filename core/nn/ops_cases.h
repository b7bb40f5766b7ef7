/* SPDX-License-Identifier: MIT */
/* ops_cases.h - the cases of lb_backend_verify, for ops_verify.c and ops_cases.c alone. */
#ifndef LB_OPS_CASES_H
#define LB_OPS_CASES_H

#include "core/nn/backend.h"
#include "core/nn/ops_q.h"
#include "core/nn/ops_quantizer.h"

enum role { ROLE_IN, ROLE_OUT, ROLE_BOTH /* read and written */, ROLE_LABELS /* int32 below `classes` */ };

/* What an array holds. Its elements are counted in 4 bytes: of bytes, the last element may be filled in part. */
enum fill {
    FILL_FLOATS,
    FILL_BYTES,
    FILL_INTS,   /* low to high */
    FILL_SCALES, /* positive binary32 */
    FILL_PAIRS   /* multipliers and shifts in turn */
};

/* An array of an op: the part [at, at + n) of a buffer that is larger on both sides. */
struct array {
    const char *name;
    struct lb_ref *slot, *alias; /* where its place stands in the args; alias: a second place that is the same array, or NULL */
    int role;
    size_t n, classes;
    int fill; /* enum fill */
    int32_t low, high;
};

union op_args {
    struct lb_gemm gemm;
    struct lb_conv2d conv2d;
    struct lb_conv2d_grad grad;
    struct lb_bias_grad bias;
    struct lb_act_op act;
    struct lb_softmax softmax;
    struct lb_loss loss;
    struct lb_sgd sgd;
    struct lb_gemm_packed gemm_packed;
    struct lb_conv2d_packed conv2d_packed;
    struct lb_quantize quantize;
    struct lb_q_dense q_dense;
    struct lb_q_conv2d q_conv2d;
    struct lb_q_gemm q_gemm;
    struct lb_q_table q_table;
    struct lb_q_binary q_binary;
    struct lb_q_pool q_pool;
    struct lb_q_copy q_copy;
    struct lb_q_columns q_columns;
    struct lb_q_col2im q_col2im;
    struct lb_q_requantize q_requantize;
    struct lb_q_quantize q_quantize;
    struct lb_q_dequantize q_dequantize;
};

enum { MAX_ARRAYS = 6 };

struct op_case {
    union op_args args;
    struct array array[MAX_ARRAYS];
    size_t n_arrays;
    size_t terms;    /* of the longest sum */
    unsigned rarity; /* special cases: one element in so many is an infinity or a NaN */
    char text[192];  /* its shape and flags */

    /* What the device holds beside its buffers: weights where like.codec is set, a quantizer where by.codec is, integer weights where q.rows is; and where it
     * stands in the args. */
    struct lb_ops_like like;
    uint32_t uses;
    struct lb_ops_quantizer_like by;
    struct lb_ops_q_like q;
    void **object;
    const float *unpacked; /* what the weights are worth; only for `magnitude` */
    int spread;            /* numbers of many sizes, half of them with few digits, so that there are ties */
};

struct op_kind {
    const char *name;
    size_t cases;
    void (*make)(struct op_case *c, size_t i);
    int (*run)(struct lb_dev *d, const union op_args *a, struct lb_err *err);
    /* The magnitude that rounding errors are relative to, of element i of the array `which`; `in`: each array's values before the op, NULL where it has none.
     * NULL: the sum of magnitudes, which is the op without its activation on the absolute values of its inputs. */
    double (*magnitude)(const struct op_case *c, const float *const *in, size_t which, size_t i);
    int always_exact; /* bit for bit of every backend */
};

extern const struct op_kind lb_op_kinds[];
extern const size_t lb_op_kinds_n;

/* Shared by the files with cases. */
extern const char *const lb_op_acts[];
void lb_op_add(struct op_case *c, const char *name, struct lb_ref *slot, int role, size_t n);
enum { LB_OP_CONVOLUTIONS = 25 };
struct lb_conv lb_op_convolution(struct op_case *c, size_t i); /* and its text and rarity */

/* ops_cases_packed.c, ops_cases_quantize.c */
enum {
    LB_OP_GEMM_PACKED = 6 * 56,
    LB_OP_CONV2D_PACKED = 4 * LB_OP_CONVOLUTIONS,
    LB_OP_GEMM_INT8 = 8 * 16,
    LB_OP_CONV2D_INT8 = 2 * LB_OP_CONVOLUTIONS
};
void lb_op_make_gemm_packed(struct op_case *c, size_t i);
void lb_op_make_conv2d_packed(struct op_case *c, size_t i);
void lb_op_make_gemm_int8(struct op_case *c, size_t i);
void lb_op_make_conv2d_int8(struct op_case *c, size_t i);
double lb_op_gemm_packed_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i);
double lb_op_conv2d_packed_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i);
double lb_op_gemm_int8_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i);
double lb_op_conv2d_int8_magnitude(const struct op_case *c, const float *const *in, size_t which, size_t i);
enum { LB_OP_QUANTIZE = 6 * 36 };
void lb_op_make_quantize(struct op_case *c, size_t i);

/* ops_cases_q.c: integer tensors */
enum {
    LB_OP_Q_DENSE = 132,
    LB_OP_Q_CONV2D = 78,
    LB_OP_Q_GEMM = 72,
    LB_OP_Q_TABLE = 9,
    LB_OP_Q_BINARY = 48,
    LB_OP_Q_POOL = 48,
    LB_OP_Q_COPY = 18,
    LB_OP_Q_COLUMNS = 36,
    LB_OP_Q_REQUANTIZE = 36
};
void lb_op_make_q_dense(struct op_case *c, size_t i);
void lb_op_make_q_conv2d(struct op_case *c, size_t i);
void lb_op_make_q_gemm(struct op_case *c, size_t i);
void lb_op_make_q_table(struct op_case *c, size_t i);
void lb_op_make_q_binary(struct op_case *c, size_t i);
void lb_op_make_q_pool(struct op_case *c, size_t i);
void lb_op_make_q_copy(struct op_case *c, size_t i);
void lb_op_make_q_im2col(struct op_case *c, size_t i);
void lb_op_make_q_col2im(struct op_case *c, size_t i);
void lb_op_make_q_requantize(struct op_case *c, size_t i);
void lb_op_make_q_quantize(struct op_case *c, size_t i);
void lb_op_make_q_dequantize(struct op_case *c, size_t i);

#endif
