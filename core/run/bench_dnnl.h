/* SPDX-License-Identifier: MIT */
/* bench_dnnl.h - oneDNN, where its library is installed, as somebody to be compared with. */
#ifndef LB_BENCH_DNNL_H
#define LB_BENCH_DNNL_H

#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

struct bench_problem;
struct lb_dnnl;
struct lb_dnnl_op;

/* Loads the library LOWBIT_DNNL, or libdnnl.so.2, for calls from this thread; cpu: enum lb_cpu bits that may be used. NULL: the
 * reason is in `why`. What was loaded stays in the process. */
struct lb_dnnl *lb_dnnl_load(unsigned threads, unsigned cpu, char *why, size_t why_size);
void lb_dnnl_unload(struct lb_dnnl *d);
unsigned lb_dnnl_threads(const struct lb_dnnl *d);
const char *lb_dnnl_isa(const struct lb_dnnl *d);

/* c = op(a) op(b) for a BENCH_GEMM. */
int lb_dnnl_sgemm(const struct lb_dnnl *d, const struct bench_problem *p, float *c, struct lb_err *err);

/* c (m, n), sums of products of a (m, k) and b (k, n). */
int lb_dnnl_u8s8s32(const struct lb_dnnl *d, size_t m, size_t n, size_t k, const unsigned char *a, const signed char *b, int32_t *c,
                    struct lb_err *err);

/* A primitive, with the layouts of its arrays. What it reads is put into its layout when it is created, outside of any timing. */
enum lb_dnnl_way {
    LB_DNNL_MATMUL,        /* all as they are */
    LB_DNNL_MATMUL_PACKED, /* b as oneDNN likes it best */
    LB_DNNL_INNER_PRODUCT, /* all as they are; b must be transposed, a must not */
    LB_DNNL_CONV_ANY,      /* all as oneDNN likes it best */
    LB_DNNL_CONV_NHWC,     /* images with the channels innermost, weights as it likes */
    LB_DNNL_CONV_NCHW      /* images as they are, weights as it likes */
};
int lb_dnnl_op_create(struct lb_dnnl *d, enum lb_dnnl_way way, const struct bench_problem *p, struct lb_dnnl_op **op, struct lb_err *err);
int lb_dnnl_op_run(const struct lb_dnnl_op *op, struct lb_err *err);
int lb_dnnl_op_result(const struct lb_dnnl_op *op, float *out, struct lb_err *err); /* in the plain layout */
const char *lb_dnnl_op_isa(const struct lb_dnnl_op *op);                            /* the implementation that it chose */
void lb_dnnl_op_destroy(struct lb_dnnl_op *op);

#endif
