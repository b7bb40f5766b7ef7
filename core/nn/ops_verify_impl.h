/* SPDX-License-Identifier: MIT */
/* ops_verify_impl.h - a case while it runs, for ops_verify.c, ops_values.c and ops_objects.c alone. */
#ifndef LB_OPS_VERIFY_IMPL_H
#define LB_OPS_VERIFY_IMPL_H

#include "core/base/guard.h"
#include "core/nn/ops_cases.h"

/* Where a case runs: on cpu_ref; and on the tested backend, where that works on host memory with arrays that end and then begin at a page that cannot be touched,
 * and last with arrays within larger buffers. */
enum side { REFERENCE, AT_END, AT_START, LOOSE, SIDES };

enum {
    FRONT = 20,  /* elements before an array, at most, */
    MARGIN = 24, /* and behind it, that must stay */
    MAX_COPIES = 10
};

/* An array of the case at hand. */
struct filled {
    float *before; /* FRONT untouched elements, the array's own, MARGIN untouched ones */
    size_t at[SIDES], total[SIDES];
    struct lb_buf buf[SIDES];
    struct lb_guarded own[SIDES];    /* AT_END and AT_START: the buffer's memory */
    struct lb_guarded copied[SIDES]; /* what is copied to the buffer, and then what is copied from it */
};

struct run {
    struct lb_dev *d[SIDES];
    enum side first; /* it and those behind it are tried */
    const struct op_kind *kind;
    size_t index;
    uint64_t seed;
    int exact;
    struct op_case c;
    struct filled f[MAX_ARRAYS];
    float *magnitude; /* of the first output, where the kind has no formula */
    struct lb_ops_packed *weights;
    struct lb_ops_quantizer *quantizer;
    struct lb_ops_q *q;
    void *object[SIDES];                         /* the device's own of one of them, */
    struct lb_guarded copies[SIDES][MAX_COPIES]; /* and the arrays that it was made of */
    float *unpacked;
    char refused[256];    /* why the backend cannot do the last case that it refused */
    size_t calls, arrays; /* hooks and ops that were given guarded arrays, and how many those were */
};

/* An array of `bytes` that ends or begins at a page's edge. */
int lb_op_guard(struct run *t, enum side s, struct lb_guarded *g, const char *name, size_t bytes, struct lb_err *err);

/* ops_values.c: what array a holds before the op. An element of no array is LB_OP_UNTOUCHED, a NaN that no op stores. */
enum { LB_OP_UNTOUCHED = 0x7fa5c3e1 };
void lb_op_fill(struct run *t, size_t a);

/* ops_objects.c: weights and quantizers that a case needs beside its buffers. */
enum { EQUAL, DIFFERENT, REFUSED, NO_CODEC };
int lb_op_has_codecs(const struct op_case *c);
/* Draws what the case needs: 0 or -1. */
int lb_op_objects_draw(struct run *t, struct lb_err *err);
/* Makes the device's own: 0, -1 or REFUSED. */
int lb_op_object_create(struct run *t, enum side s, struct lb_err *err);
void lb_op_objects_free(struct run *t);
/* What the weights are worth, for `magnitude`. */
int lb_op_unpack(struct run *t, struct lb_err *err);

#endif
