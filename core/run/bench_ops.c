/* SPDX-License-Identifier: MIT */
/* bench_ops.c - single ops: products, products with a vector, convolutions; every backend in turns with the limit of the machine. */
#include "core/base/mem.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BUFFERS = 4, MAX_DEVICES = 16 };
static const double budget = 1.0; /* seconds for one shape */

union args {
    struct lb_gemm gemm;
    struct lb_conv2d conv2d;
    struct lb_conv2d_grad grad;
};

/* One op of one shape on one backend. */
struct job {
    struct lb_dev *d;
    int (*op)(struct lb_dev *d, const union args *a, struct lb_err *err);
    union args args;
    struct lb_buf buf[MAX_BUFFERS];
};

static int run_gemm(struct lb_dev *d, const union args *a, struct lb_err *err)
{
    return LB_RUN(d, gemm, &a->gemm, err);
}

static int run_conv2d(struct lb_dev *d, const union args *a, struct lb_err *err)
{
    return LB_RUN(d, conv2d, &a->conv2d, err);
}

static int run_conv2d_dx(struct lb_dev *d, const union args *a, struct lb_err *err)
{
    return LB_RUN(d, conv2d_dx, &a->grad, err);
}

static int run_conv2d_dw(struct lb_dev *d, const union args *a, struct lb_err *err)
{
    return LB_RUN(d, conv2d_dw, &a->grad, err);
}

static int run_job(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    if (j->op(j->d, &j->args, err))
        return -1;
    return j->d->ops->sync ? lb_backend_result(j->d, "sync", j->d->ops->sync(j->d->dev), err) : 0;
}

/* A buffer of n seeded numbers in (-1, 1), as the job's number i. */
static int add_buffer(struct job *j, size_t i, size_t n, struct lb_ref *slot, struct lb_err *err)
{
    float *x = lb_alloc(n, sizeof *x, err);
    if (!x)
        return -1;
    for (size_t e = 0; e < n; e++)
        x[e] = 2.0f * canon_unit(canon_philox_word(i, e)) - 1.0f;
    const int r = lb_buf_create(j->d, n, &j->buf[i], err) || lb_buf_write(j->d, &j->buf[i], 0, x, n, err) ? -1 : 0;
    lb_free(x);
    *slot = (struct lb_ref){&j->buf[i], 0};
    return r;
}

/* What is measured: its rows' names, its work, and how a job of it is made. */
struct work {
    const char *op;
    char shape[96];
    double flops, bytes; /* bytes: of the weights, where reading them is the limit; else 0 */
    size_t m, n, k;
    struct lb_conv s;
    int kind; /* 0 product, 1 forward, 2 input gradient, 3 weight gradient */
};

static int prepare(struct job *j, const struct work *w, struct lb_err *err)
{
    union args *a = &j->args;
    const struct lb_conv *s = &w->s;
    const size_t nx = s->n * s->c * s->h * s->w, nw = s->o * s->c * s->kh * s->kw, ny = s->n * s->o * s->oh * s->ow;
    if (w->kind == 0) {
        j->op = run_gemm;
        a->gemm = (struct lb_gemm){.m = w->m, .n = w->n, .k = w->k, .trans_b = 1};
        return add_buffer(j, 0, w->m * w->k, &a->gemm.a, err) || add_buffer(j, 1, w->n * w->k, &a->gemm.b, err) ||
               add_buffer(j, 2, w->m * w->n, &a->gemm.c, err);
    }
    if (w->kind == 1) {
        j->op = run_conv2d;
        a->conv2d = (struct lb_conv2d){.s = *s};
        return add_buffer(j, 0, nx, &a->conv2d.x, err) || add_buffer(j, 1, nw, &a->conv2d.w, err) || add_buffer(j, 2, ny, &a->conv2d.y, err);
    }
    j->op = w->kind == 2 ? run_conv2d_dx : run_conv2d_dw;
    a->grad = (struct lb_conv2d_grad){.s = *s};
    return add_buffer(j, 0, ny, &a->grad.dy, err) || add_buffer(j, 1, w->kind == 2 ? nw : nx, w->kind == 2 ? &a->grad.w : &a->grad.x, err) ||
           add_buffer(j, 2, w->kind == 2 ? nx : nw, &a->grad.out, err);
}

/* The limits that rows are compared with: peaks of one thread and of all, and the reading of `bytes`. */
struct limits {
    struct lb_bench_peak peak[2];
    struct lb_bench_stream read[BENCH_STREAMS];
    void *bytes;
    size_t n_read;
};
