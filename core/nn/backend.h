/* SPDX-License-Identifier: MIT */
/* backend.h - an open backend: its device, its memory, its ops, with the host's side of the contract. */
#ifndef LB_BACKEND_H
#define LB_BACKEND_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stddef.h>

/* What is asked of every backend: the common options of the command line. */
struct lb_backend_options {
    const char *device;
    unsigned cpumask;    /* enum lb_cpu bits that may be used; ~0u: all */
    unsigned threads;    /* 0: one a CPU */
    int numerics;        /* enum lb_numerics */
    const char *plugins; /* --plugins, for the processes that lowbit starts */
    int guard;           /* run --guard: buf_guard.h, where the backend works on host memory */
};

struct lb_dev {
    const struct lb_backend *ops;
    void *dev;
    struct lb_host host;
    struct lb_device_info info;
    char log[512]; /* the last error that the backend logged */
    int guard;
};

/* CPU features of this machine, enum lb_cpu. */
unsigned lb_cpu_features(void);

/* Probes. 1: can run here; 0: no, with the reason in `why`. */
int lb_backend_probe(const struct lb_backend *b, const struct lb_backend_options *o, char *why, size_t why_size);

/* Opens. *d must stay where it is until close. */
int lb_backend_open(const struct lb_backend *b, const struct lb_backend_options *o, struct lb_dev **d, struct lb_err *err);
void lb_backend_close(struct lb_dev *d);

/* Zeroed device memory of n binary32 (or int32) elements. */
int lb_buf_create(struct lb_dev *d, size_t n, struct lb_buf *b, struct lb_err *err);
void lb_buf_destroy(struct lb_dev *d, struct lb_buf *b);
int lb_buf_write(struct lb_dev *d, struct lb_buf *b, size_t at, const void *data, size_t n, struct lb_err *err);
int lb_buf_read(struct lb_dev *d, const struct lb_buf *b, size_t at, void *data, size_t n, struct lb_err *err);

/* Runs an op: LB_RUN(d, gemm, &args, err). -1 where the backend lacks it ("unsupported") or it failed. */
#define LB_RUN(d, op, args, err)                                                                                                           \
    ((d)->ops->op ? (lb_backend_enter((d), #op, (args)), lb_backend_result((d), #op, (d)->ops->op((d)->dev, (args)), (err)))               \
                  : lb_backend_result((d), #op, -2, (err)))
void lb_backend_enter(const struct lb_dev *d, const char *op, const void *args);
int lb_backend_result(struct lb_dev *d, const char *op, int result, struct lb_err *err);

/* The op table by name: whether the backend has op i, and its name; NULL behind the last. */
const char *lb_backend_op(const struct lb_backend *b, size_t i, int *has);

#endif
