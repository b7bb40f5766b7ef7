/* SPDX-License-Identifier: MIT */
/* bench.h - timing side by side. What is compared runs in turns in one process, so that a busy machine is busy for all; the median of the turns counts. */
#ifndef LB_BENCH_H
#define LB_BENCH_H

#include "core/base/table.h"
#include "core/nn/backend.h"
#include <stddef.h>

struct lb_bench_options {
    const char *op;                 /* one of lb_bench_ops, or NULL: all */
    size_t m, n, k;                 /* gemm, gemv: 0: the default shapes */
    const char *format;             /* codec: one codec, or NULL: the usual ones */
    const char *backend;            /* one, or NULL: all that run here */
    const char *model;              /* train, forward: "cnn" (default) or "mlp" */
    size_t batch;                   /* train, forward, conv: default 64 */
    double seconds;                 /* about so long for each comparison */
    struct lb_backend_options host; /* threads, CPU features, device */
};

/* The names of what can be measured, NULL-ended. */
extern const char *const lb_bench_ops[];

/* Measures and fills in `t`, whose columns it sets; the caller finishes it. Backends that do not run here are left out with a message on stderr. */
int lb_bench(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);

#endif
