/* SPDX-License-Identifier: MIT */
/* ops_cases.h - the cases of lb_backend_verify, for ops_verify.c and ops_cases.c alone. */
#ifndef LB_OPS_CASES_H
#define LB_OPS_CASES_H

#include "core/nn/backend.h"

enum role { ROLE_IN, ROLE_OUT, ROLE_BOTH /* read and written */, ROLE_LABELS /* int32 below `classes` */ };

/* An array of an op: the part [at, at + n) of a buffer that is larger on both sides. */
struct array {
    const char *name;
    struct lb_ref *slot, *alias; /* where its place stands in the args; alias: a second place that is the same array, or NULL */
    int role;
    size_t n, classes;
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
};

enum { MAX_ARRAYS = 4 };

struct op_case {
    union op_args args;
    struct array array[MAX_ARRAYS];
    size_t n_arrays;
    size_t terms;    /* of the longest sum */
    unsigned rarity; /* special cases: one element in so many is an infinity or a NaN */
    char text[192];  /* its shape and flags */
};

struct op_kind {
    const char *name;
    size_t cases;
    void (*make)(struct op_case *c, size_t i);
    int (*run)(struct lb_dev *d, const union op_args *a, struct lb_err *err);
    /* The magnitude that rounding errors are relative to, of element i of the array `which`; `in`: each array's values before the op, NULL where it has none.
     * NULL: the sum of magnitudes, which is the op without its activation on the absolute values of its inputs. */
    double (*magnitude)(const struct op_case *c, const float *const *in, size_t which, size_t i);
};

extern const struct op_kind lb_op_kinds[];
extern const size_t lb_op_kinds_n;

#endif
