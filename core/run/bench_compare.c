/* SPDX-License-Identifier: MIT */
/* bench_compare.c - backends in turns with each other and with what the machine can do at most. */
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LIMITS = 2, MAX_DEVICES = sizeof((struct lb_bench_devices *)0)->d / sizeof(struct lb_dev *) };

/* The limit on so many threads. */
struct limit {
    unsigned threads;
    struct lb_pool *pool;
    struct lb_bench_peak peak;
    struct lb_bench_stream stream;
    size_t at; /* its contender */
    char text[96];
};

struct limits {
    struct limit one[MAX_LIMITS];
    size_t n;
    void *bytes;
};

static int add_limit(struct limits *all, const struct bench_work *w, unsigned threads, unsigned cpu, struct lb_err *err)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->one[i].threads == threads)
            return 0;
    if (all->n == MAX_LIMITS)
        return 0;
    struct limit *l = &all->one[all->n++];
    struct lb_bench_stream ways[BENCH_STREAMS];
    l->threads = threads;
    l->pool = lb_pool_create(threads);
    if (!l->pool || (w->bytes && !all->bytes && !(all->bytes = lb_alloc(w->bytes, 1, err))))
        return lb_fail(err, "bench: %u threads could not be started", threads);
    lb_bench_peak(&l->peak, l->pool, threads, cpu);
    const size_t n = lb_bench_streams(ways, all->bytes, w->bytes, NULL, 0, cpu);
    l->stream = ways[n > 1]; /* the second reads by vectors where there are any */
    l->stream.pool = l->pool;
    l->stream.threads = w->bytes < 1 << 20 ? 1 : threads; /* waking a thread takes longer than reading so little */
    return 0;
}

/* Speed of the limit for this work, in runs a second, and its text. */
static double limit_speed(struct limit *l, const struct bench_work *w, double seconds)
{
    const unsigned threads = w->bytes ? l->stream.threads : l->threads;
    const char *s = threads == 1 ? "" : "s";
    if (w->bytes) {
        snprintf(l->text, sizeof l->text, "reading the weights, %u thread%s (%.3g GB/s)", threads, s, (double)w->bytes / seconds * 1e-9);
        return 1 / seconds;
    }
    const double rate = l->peak.flops / seconds;
    snprintf(l->text, sizeof l->text, "multiply-add peak, %s, %u thread%s (%.4g GFLOP/s)", l->peak.isa, threads, s, rate * 1e-9);
    return rate / w->flops;
}

static int add_rows(const struct bench_work *w, const struct lb_bench_devices *all, const struct contender *c, struct limits *limits,
                    struct lb_table *t, struct lb_err *err)
{
    size_t ref = 0;
    while (ref < all->n && strcmp(all->d[ref]->ops->base.name, "cpu_ref") != 0)
        ref++;
    for (size_t i = 0; i < all->n; i++) {
        const struct lb_dev *d = all->d[i];
        struct limit *l = &limits->one[limits->n > 1 && limits->one[1].threads == d->info.threads];
        const double speed = limit_speed(l, w, c[l->at].seconds);
        const struct bench_row r = {.op = w->op,
                                    .shape = w->shape,
                                    .format = "F32",
                                    .backend = d->ops->base.name,
                                    .isa = d->info.isa,
                                    .threads = d->info.threads,
                                    .seconds = c[i].seconds,
                                    .rate = w->samples > 0 ? w->samples / c[i].seconds : w->flops / c[i].seconds * 1e-9,
                                    .unit = w->samples > 0 ? "samples/s" : "GFLOP/s",
                                    .ratio = 1 / c[i].seconds / speed,
                                    .of = l->text,
                                    .speedup = ref < all->n && ref != i ? c[ref].seconds / c[i].seconds : 0,
                                    .over = ref < all->n && ref != i ? "cpu_ref" : NULL};
        if (lb_bench_row(t, &r, err))
            return -1;
    }
    return 0;
}

int lb_bench_compare(const struct lb_bench_options *o, const struct bench_work *w, const struct lb_bench_devices *all,
                     int (*run)(void *arg, struct lb_err *err), void *const *arg, struct lb_table *t, struct lb_err *err)
{
    struct contender c[MAX_DEVICES + MAX_LIMITS];
    struct limits limits = {.n = 0};
    int r = 0;
    for (size_t i = 0; i < all->n; i++)
        c[i] = (struct contender){.run = run, .arg = arg[i]};
    for (size_t i = 0; i < all->n && !r; i++)
        r = add_limit(&limits, w, all->d[i]->info.threads, lb_cpu_features() & o->host.cpumask, err);
    for (size_t i = 0; i < limits.n; i++) {
        struct limit *l = &limits.one[i];
        l->at = all->n + i;
        c[l->at] = w->bytes ? (struct contender){.run = lb_bench_stream_run, .arg = &l->stream}
                            : (struct contender){.run = lb_bench_peak_run, .arg = &l->peak};
    }
    if (!r && all->n)
        r = lb_bench_race(c, all->n + limits.n, o->seconds, err) || add_rows(w, all, c, &limits, t, err) ? -1 : 0;
    for (size_t i = 0; i < limits.n; i++)
        lb_pool_destroy(limits.one[i].pool);
    lb_free(limits.bytes);
    return r;
}
