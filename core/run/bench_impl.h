/* SPDX-License-Identifier: MIT */
/* bench_impl.h - what the files bench_*.c share. */
#ifndef LB_BENCH_IMPL_H
#define LB_BENCH_IMPL_H

#include "core/nn/qat.h"
#include "core/run/bench.h"
#include "core/run/bench_dnnl.h"

/* One run of `lowbit bench`: what was asked, who takes part, and the rows so far. */
struct bench {
    const struct lb_bench_options *o;
    struct lb_table *t;
    struct lb_dev *d[LB_BENCH_BACKENDS + 1]; /* cpu_blas as a peer is the last */
    size_t n;
    struct lb_dnnl *dnnl; /* NULL: not here, or not wanted */
    unsigned cpu;         /* enum lb_cpu: features that may be used */
};

/* ---- Racing ---- */

/* One of those that run in turns. */
struct contender {
    int (*run)(void *arg, struct lb_err *err);
    void *arg;
    size_t repeats; /* runs in one turn, so that the clock's grain and a wake-up do not matter */
    double seconds; /* of one run: the median of the turns */
    double spread;  /* the distance of the quartiles, as a share of the median */
    double best;    /* the least of the turns, in seconds: on a busy machine the nearest to what an idle one would take */
    size_t turns;
};

/* Runs all in turns for about `budget` seconds in all, at least seven turns, and fills in the rest. One whose single run takes longer
 * than the budget runs once. */
int lb_bench_race(struct contender *c, size_t n, double budget, struct lb_err *err);

/* Who can be compared with by name: its column, and what it is called in the column `backend`. */
struct bench_peer {
    const char *column, *backend;
};
enum { BENCH_OPENBLAS, BENCH_ONEDNN, BENCH_REFERENCE, BENCH_PEERS };
extern const struct bench_peer lb_bench_peer[BENCH_PEERS];

/* One row. Empty: format, isa, method and `of` NULL, ratio and vs 0. */
struct bench_row {
    const char *op, *shape, *format, *backend, *isa;
    unsigned threads;
    double rate;
    const char *unit;
    double ratio, vs[BENCH_PEERS], vs_f32; /* vs_f32: the same backend with numbers in binary32 */
    const struct contender *time;
    const char *method, *of;
};
int lb_bench_row(struct lb_table *t, const struct bench_row *r, struct lb_err *err);

/* What runs in turns. The limit is `flops` multiplications and additions in registers, or, where `bytes` is not 0, the reading of so
 * many. */
struct bench_work {
    const char *op, *shape;
    double flops;
    size_t bytes;
    double samples; /* per run: the rate is samples/s; 0: GFLOP/s */
};

enum {
    BENCH_METHOD = 1, /* one of several ways to the same: of those with equal flags only a backend's fastest gets a row */
    BENCH_PART = 2,   /* only the part of the work that counts most */
    BENCH_OTHER = 4,  /* not quite the same work: nothing is compared with it */
    BENCH_INTEGER = 8 /* products of bytes, which is its limit */
};
struct bench_entry {
    const char *backend, *isa, *method;
    const char *format; /* of the weights; NULL: F32 */
    unsigned threads, flags;
    int (*run)(void *arg, struct lb_err *err);
    int (*result)(void *arg, float *out, struct lb_err *err); /* what `run` computed; NULL: not to be compared */
    void *arg;
};
enum { BENCH_ENTRIES = 40 };

/* Races the entries and their limits. */
int lb_bench_compare(const struct bench *b, const struct bench_work *w, const struct bench_entry *e, size_t n, struct lb_err *err);

/* ---- Single ops as entries ---- */

enum bench_kind { BENCH_GEMM, BENCH_CONV2D, BENCH_CONV2D_DX, BENCH_CONV2D_DW };
struct bench_problem {
    enum bench_kind kind;
    size_t m, n, k;
    int trans_a, trans_b;
    struct lb_conv s;
    float *in[2]; /* a, b | x, w | dy, w | dy, x */
    size_t n_in[2], n_out;
};
/* Fills in sizes and inputs: numbers in (-1, 1). */
int lb_bench_problem_fill(struct bench_problem *p, struct lb_err *err);
void lb_bench_problem_free(struct bench_problem *p);
/* The sizes of the command line; what is left open there is as in `standard`. */
struct bench_problem lb_bench_chosen(const struct lb_bench_options *o, const struct bench_problem *standard);
/* Races a problem that is filled in: the backends' ops, the peers, and `more`, which have run once. by_bytes: the limit is reading the weights. */
int lb_bench_problem_race(const struct bench *b, const char *op, const struct bench_problem *p, int by_bytes,
                          const struct bench_entry *more, size_t n_more, struct lb_err *err);

/* A problem on a backend or on oneDNN. Creating fills in the entry, which points to the job; both the job and the problem stay where
 * they are. */
struct bench_job {
    const struct bench_problem *p;
    struct lb_dev *d;
    union {
        struct lb_gemm gemm;
        struct lb_conv2d conv2d;
        struct lb_conv2d_grad grad;
    } args;
    struct lb_buf buf[3]; /* in, in, out */
    struct lb_dnnl *dnnl;
    struct lb_dnnl_op *op;
    float *out;
};
int lb_bench_job_backend(struct bench_job *j, const struct bench_problem *p, struct lb_dev *d, struct bench_entry *e, struct lb_err *err);
int lb_bench_job_sgemm(struct bench_job *j, const struct bench_problem *p, struct lb_dnnl *d, struct bench_entry *e, struct lb_err *err);
int lb_bench_job_primitive(struct bench_job *j, const struct bench_problem *p, struct lb_dnnl *d, enum lb_dnnl_way way,
                           struct bench_entry *e, struct lb_err *err);
void lb_bench_job_free(struct bench_job *j);

/* What the peers can do for a problem, besides cpu_blas's own op. */
enum { BENCH_PRODUCTS = 3, BENCH_METHODS = 12 };
struct bench_methods {
    struct bench_problem product[BENCH_PRODUCTS]; /* a convolution's matrix products */
    char product_name[BENCH_PRODUCTS][64];
    struct bench_job job[BENCH_METHODS];
    struct bench_entry e[BENCH_METHODS];
    size_t n;
};
int lb_bench_methods(const struct bench *b, const struct bench_problem *p, struct bench_methods *m, struct lb_err *err);
void lb_bench_methods_free(struct bench_methods *m);

/* ---- Limits of the machine, as contenders ---- */

/* Fused multiply-adds that depend on nothing but registers: `flops` of them in one run. */
struct lb_bench_peak {
    struct lb_pool *pool; /* the caller's; of `threads` threads */
    unsigned threads;
    void (*loop)(void *arg, size_t i);
    const char *isa;
    double flops;
};
void lb_bench_peak(struct lb_bench_peak *p, struct lb_pool *pool, unsigned threads, unsigned cpu);
/* The same of products of bytes, summed up in 32 bits; 0 where this machine has no instruction for them. */
int lb_bench_byte_peak(struct lb_bench_peak *p, struct lb_pool *pool, unsigned threads, unsigned cpu);
int lb_bench_peak_run(void *peak, struct lb_err *err);

/* Reads `read` bytes and writes `write` bytes and does nothing with them: the least time for an op that must. */
struct lb_bench_stream {
    const char *name;
    struct lb_pool *pool; /* NULL: one thread */
    unsigned threads;
    const char *in;
    char *out;
    size_t read, write;
    void (*loop)(const char *in, size_t read, char *out, size_t write);
};
enum { BENCH_STREAMS = 3 };
/* Fills in, on one thread, the ways that this machine has, with 64-byte aligned arrays; how many. */
size_t lb_bench_streams(struct lb_bench_stream s[BENCH_STREAMS], const void *in, size_t read, void *out, size_t write, unsigned cpu);
int lb_bench_stream_run(void *stream, struct lb_err *err);

/* ---- Trainings that know a format ---- */

/* bench_qat.c. Set text: a format, whose "qat" counts where it has one. `reads`: what layers read is formatted, too, in the format's "activations" or in itself. */
struct bench_qat {
    const char *text;
    struct lb_format_config config;
    struct lb_format *format, *activations;
    struct lb_net *net;
};
int lb_bench_qat_create(struct bench_qat *q, const struct lb_model *m, struct lb_dev *d, size_t batch, const float *x, int reads,
                        struct lb_err *err);
void lb_bench_qat_free(struct bench_qat *q);

/* ---- What can be measured ---- */

int lb_bench_gemm(const struct bench *b, struct lb_err *err);
int lb_bench_gemv(const struct bench *b, struct lb_err *err);
int lb_bench_gemm_packed(const struct bench *b, struct lb_err *err); /* bench_packed.c */
int lb_bench_gemm_int8(const struct bench *b, struct lb_err *err);   /* bench_int8.c */
int lb_bench_gemm_u8s8(const struct bench *b, struct lb_err *err);   /* bench_q.c */
int lb_bench_conv(const struct bench *b, struct lb_err *err);
int lb_bench_train(const struct bench *b, struct lb_err *err);
int lb_bench_forward(const struct bench *b, struct lb_err *err);
int lb_bench_codec(const struct bench *b, struct lb_err *err);

#endif
