/* SPDX-License-Identifier: MIT */
/* bench.h - timing side by side. What is compared runs in turns in one process, so that a busy machine is busy for all; the median of
 * the turns counts. */
#ifndef LB_BENCH_H
#define LB_BENCH_H

#include "core/base/table.h"
#include "core/nn/backend.h"
#include <stddef.h>

enum { LB_BENCH_BACKENDS = 16 }; /* at most */

struct lb_bench_options {
    const char *op;     /* one of lb_bench_ops, or NULL: all */
    size_t m, n, k;     /* gemm, gemv: 0: the default shapes */
    const char *format; /* codec, gemm_packed, gemm_int8: one codec or format, or NULL: the usual ones */
    const char *const *backends;
    size_t n_backends;              /* 0: all that run here, without the reference, the skeletons and what is a peer */
    int no_peers;                   /* 1: without OpenBLAS and oneDNN */
    const char *model;              /* train, forward: "cnn" or "mlp", or NULL: both */
    size_t batch;                   /* train, forward, conv: 0: 64, and 1 for forward */
    double seconds;                 /* about so long for each comparison */
    struct lb_backend_options host; /* threads, CPU features, device */
};

/* The names of what can be measured, NULL-ended. */
extern const char *const lb_bench_ops[];

/* Measures and fills in `t`, whose columns it sets; the caller finishes it. Backends and peers that do not run here are left out with
 * a message on stderr; a single backend that was asked for by name and does not run is an error. */
int lb_bench(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);

#endif
