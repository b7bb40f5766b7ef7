/* SPDX-License-Identifier: MIT */
/* bench_impl.h - what the files bench_*.c share. */
#ifndef LB_BENCH_IMPL_H
#define LB_BENCH_IMPL_H

#include "core/run/bench.h"

/* One of those that run in turns. */
struct contender {
    int (*run)(void *arg, struct lb_err *err);
    void *arg;
    size_t repeats; /* runs in one turn, so that the clock's grain and a wake-up do not matter */
    double seconds; /* of one run: the median of the turns */
};

/* Runs all in turns for about `budget` seconds in all, at least three turns, and fills in `seconds`. */
int lb_bench_race(struct contender *c, size_t n, double budget, struct lb_err *err);

/* An open backend of the benchmark; n of them. */
struct lb_bench_devices {
    struct lb_dev *d[16];
    size_t n;
};
int lb_bench_open(const struct lb_bench_options *o, struct lb_bench_devices *all, struct lb_err *err);
void lb_bench_close(struct lb_bench_devices *all);

/* One row. Empty: format NULL, ratio 0, speedup 0. */
struct bench_row {
    const char *op, *shape, *format, *backend, *isa;
    unsigned threads;
    double seconds, rate;
    const char *unit;
    double ratio; /* to `of` */
    const char *of;
    double speedup; /* over `over` */
    const char *over;
};
int lb_bench_row(struct lb_table *t, const struct bench_row *r, struct lb_err *err);

/* What the backends do in turns. The limit is `flops` multiplications and additions in registers, or, where `bytes` is not 0, the reading of so many. */
struct bench_work {
    const char *op, *shape;
    double flops;
    size_t bytes;
    double samples; /* per run: the rate is samples/s; 0: GFLOP/s */
};
/* Races run(arg[i]) of each device and its limit; one row for each device. */
int lb_bench_compare(const struct lb_bench_options *o, const struct bench_work *w, const struct lb_bench_devices *all,
                     int (*run)(void *arg, struct lb_err *err), void *const *arg, struct lb_table *t, struct lb_err *err);

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

/* ---- What can be measured ---- */

int lb_bench_gemm(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
int lb_bench_gemv(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
int lb_bench_conv(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
int lb_bench_train(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
int lb_bench_forward(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
int lb_bench_codec(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);

#endif
