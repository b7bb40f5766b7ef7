/* SPDX-License-Identifier: MIT */
/* bench_compare.c - entries in turns with each other and with what the machine can do at most. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LIMITS = 4 };

/* The limit on so many threads. */
struct limit {
    unsigned threads;
    int integer; /* of products of bytes */
    struct lb_pool *pool;
    struct lb_bench_peak peak;
    struct lb_bench_stream stream;
    const struct contender *time;
    char text[96];
};

struct limits {
    struct limit one[MAX_LIMITS];
    size_t n;
    void *bytes;
};

static struct limit *find_limit(struct limits *all, unsigned threads, int integer)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->one[i].threads == threads && all->one[i].integer == integer)
            return &all->one[i];
    return NULL;
}

/* 0 threads: not on the processor, so its limit is another. */
static int add_limit(struct limits *all, const struct bench_work *w, unsigned threads, int integer, unsigned cpu, struct lb_err *err)
{
    if (threads == 0 || find_limit(all, threads, integer) || all->n == MAX_LIMITS || (integer && !(cpu & LB_CPU_VNNI)))
        return 0;
    struct limit *l = &all->one[all->n++];
    struct lb_bench_stream ways[BENCH_STREAMS];
    l->threads = threads;
    l->integer = integer;
    l->pool = lb_pool_create(threads);
    if (!l->pool || (w->bytes && !all->bytes && !(all->bytes = lb_alloc(w->bytes, 1, err))))
        return lb_fail(err, "bench: %u threads could not be started", threads);
    if (!integer || !lb_bench_byte_peak(&l->peak, l->pool, threads, cpu))
        lb_bench_peak(&l->peak, l->pool, threads, cpu);
    const size_t n = lb_bench_streams(ways, all->bytes, w->bytes, NULL, 0, cpu);
    l->stream = ways[n > 1]; /* the second reads by vectors where there are any */
    l->stream.pool = l->pool;
    l->stream.threads = w->bytes < 1 << 20 ? 1 : threads; /* waking a thread takes longer than reading so little */
    return 0;
}

/* Seconds that the limit takes for this work, and its text. */
static double limit_seconds(struct limit *l, const struct bench_work *w)
{
    const unsigned threads = w->bytes ? l->stream.threads : l->threads;
    const double seconds = l->time->seconds;
    const char *s = threads == 1 ? "" : "s";
    if (w->bytes) {
        snprintf(l->text, sizeof l->text, "reading the weights, %u thread%s (%.3g GB/s)", threads, s, (double)w->bytes / seconds * 1e-9);
        return seconds;
    }
    const double rate = l->peak.flops / seconds;
    snprintf(l->text, sizeof l->text,
             l->integer ? "peak of products of bytes, %s, %u thread%s (%.4g GOP/s)" : "multiply-add peak, %s, %u thread%s (%.4g GFLOP/s)",
             l->peak.isa, threads, s, rate * 1e-9);
    return w->flops / rate;
}

/* The least seconds of a peer in any way that does the work, 0 where it does not take part. */
static double fastest(const struct bench_entry *e, const struct contender *c, size_t n, const char *backend)
{
    double least = 0;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(e[i].backend, backend) && !(e[i].flags & BENCH_OTHER) && (least == 0 || c[i].seconds < least))
            least = c[i].seconds;
    return least;
}

/* Whether a like way of the same backend was faster. */
static int beaten(const struct bench_entry *e, const struct contender *c, size_t n, size_t i)
{
    for (size_t j = 0; j < n && (e[i].flags & BENCH_METHOD); j++)
        if (!strcmp(e[j].backend, e[i].backend) && e[j].flags == e[i].flags && c[j].seconds < c[i].seconds)
            return 1;
    return 0;
}

/* The seconds of the same backend in binary32; 0: it does not take part. */
static double in_f32(const struct bench_entry *e, const struct contender *c, size_t n, size_t i)
{
    double least = 0;
    for (size_t j = 0; j < n && e[i].format; j++)
        if (!e[j].format && !strcmp(e[j].backend, e[i].backend) && !(e[j].flags & BENCH_OTHER) && (least == 0 || c[j].seconds < least))
            least = c[j].seconds;
    return least;
}

static int add_row(const struct bench *b, const struct bench_work *w, const struct bench_entry *e, const struct contender *c, size_t n,
                   size_t i, struct limits *limits, struct lb_err *err)
{
    struct limit *l = find_limit(limits, e[i].threads, (e[i].flags & BENCH_INTEGER) != 0);
    struct bench_row r = {.op = w->op,
                          .shape = w->shape,
                          .format = e[i].format ? e[i].format : "F32",
                          .backend = e[i].backend,
                          .isa = e[i].isa,
                          .threads = e[i].threads,
                          .rate = w->samples > 0 ? w->samples / c[i].seconds : w->flops / c[i].seconds * 1e-9,
                          .unit = w->samples > 0               ? "samples/s"
                                  : e[i].flags & BENCH_INTEGER ? "GOP/s"
                                                               : "GFLOP/s",
                          .vs_f32 = in_f32(e, c, n, i) / c[i].seconds,
                          .ratio = l ? limit_seconds(l, w) / c[i].seconds : 0,
                          .time = &c[i],
                          .method = e[i].method,
                          .of = l ? l->text : NULL};
    for (size_t p = 0; p < BENCH_PEERS; p++)
        if (strcmp(e[i].backend, lb_bench_peer[p].backend) != 0)
            r.vs[p] = fastest(e, c, n, lb_bench_peer[p].backend) / c[i].seconds;
    return lb_bench_row(b->t, &r, err);
}

static int add_rows(const struct bench *b, const struct bench_work *w, const struct bench_entry *e, const struct contender *c, size_t n,
                    struct limits *limits, struct lb_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!beaten(e, c, n, i) && add_row(b, w, e, c, n, i, limits, err))
            return -1;
    return 0;
}

int lb_bench_compare(const struct bench *b, const struct bench_work *w, const struct bench_entry *e, size_t n, struct lb_err *err)
{
    struct contender c[BENCH_ENTRIES + MAX_LIMITS];
    struct limits limits = {.n = 0};
    int r = 0;
    if (n > BENCH_ENTRIES)
        return lb_fail(err, "bench: more than %d at a time; choose backends with --backend", BENCH_ENTRIES);
    lb_progress("bench: %s %s", w->op, w->shape);
    for (size_t i = 0; i < n && !r; i++) {
        c[i] = (struct contender){.run = e[i].run, .arg = e[i].arg};
        r = add_limit(&limits, w, e[i].threads, (e[i].flags & BENCH_INTEGER) != 0, b->cpu, err);
    }
    for (size_t i = 0; i < limits.n; i++) {
        struct limit *l = &limits.one[i];
        l->time = &c[n + i];
        c[n + i] = w->bytes ? (struct contender){.run = lb_bench_stream_run, .arg = &l->stream}
                            : (struct contender){.run = lb_bench_peak_run, .arg = &l->peak};
    }
    if (!r && n)
        r = lb_bench_race(c, n + limits.n, b->o->seconds, err) || add_rows(b, w, e, c, n, &limits, err) ? -1 : 0;
    for (size_t i = 0; i < limits.n; i++)
        lb_pool_destroy(limits.one[i].pool);
    lb_free(limits.bytes);
    return r;
}
