/* SPDX-License-Identifier: MIT */
#include "core/run/bench.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/plugins.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TURNS = 101, MIN_TURNS = 3, MAX_CONTENDERS = 40 };

static const char *const columns[] = {"op",   "shape", "format", "backend", "isa",     "threads", "seconds",
                                      "rate", "unit",  "ratio",  "of",      "speedup", "over"};

static const struct {
    const char *name;
    int (*run)(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err);
} ops[] = {{"gemm", lb_bench_gemm},   {"gemv", lb_bench_gemv},       {"conv", lb_bench_conv},
           {"train", lb_bench_train}, {"forward", lb_bench_forward}, {"codec", lb_bench_codec}};
const char *const lb_bench_ops[] = {"gemm", "gemv", "conv", "train", "forward", "codec", NULL};

int lb_bench(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    *t = (struct lb_table){.columns = columns, .n_columns = sizeof columns / sizeof *columns};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if ((!o->op || !strcmp(o->op, ops[i].name)) && ops[i].run(o, t, err))
            return -1;
    return 0;
}

/* ---- Timing ---- */

static int turn(struct contender *c, double *seconds, struct lb_err *err)
{
    const double start = lb_seconds();
    for (size_t i = 0; i < c->repeats; i++)
        if (c->run(c->arg, err))
            return -1;
    *seconds = (lb_seconds() - start) / (double)c->repeats;
    return 0;
}

/* Warms up, and finds how many runs make a turn of a few milliseconds. */
static int calibrate(struct contender *c, double *seconds, struct lb_err *err)
{
    const double least = 4e-3;
    c->repeats = 1;
    if (turn(c, seconds, err) || turn(c, seconds, err))
        return -1;
    while (*seconds * (double)c->repeats < least) {
        c->repeats *= 4;
        if (turn(c, seconds, err))
            return -1;
    }
    return 0;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int lb_bench_race(struct contender *c, size_t n, double budget, struct lb_err *err)
{
    static const char too_many[] = "bench: more than %d backends at a time; choose one with --backend";
    double times[MAX_CONTENDERS][MAX_TURNS], start = lb_seconds(), seconds;
    size_t turns = 0;
    if (n > MAX_CONTENDERS)
        return lb_fail(err, too_many, MAX_CONTENDERS);
    for (size_t i = 0; i < n; i++)
        if (calibrate(&c[i], &seconds, err))
            return -1;
    for (; turns < MAX_TURNS && (turns < MIN_TURNS || lb_seconds() - start < budget); turns++)
        for (size_t i = 0; i < n; i++)
            if (turn(&c[i], &times[i][turns], err))
                return -1;
    for (size_t i = 0; i < n; i++) {
        qsort(times[i], turns, sizeof times[i][0], ascending);
        c[i].seconds = times[i][turns / 2];
    }
    return 0;
}

/* ---- Devices ---- */

static int open_one(const struct lb_bench_options *o, const struct lb_backend *b, struct lb_bench_devices *all, struct lb_err *err)
{
    char why[256];
    if (!lb_backend_probe(b, &o->host, why, sizeof why)) {
        lb_log(LB_LOG_WARN, "backend %s: not on this machine: %s", b->base.name, why);
        return 0;
    }
    if (lb_backend_open(b, &o->host, &all->d[all->n], err))
        return -1;
    all->n++;
    return 0;
}

int lb_bench_open(const struct lb_bench_options *o, struct lb_bench_devices *all, struct lb_err *err)
{
    *all = (struct lb_bench_devices){.n = 0};
    if (o->backend) {
        const struct lb_entry *e = lb_plugins_find(LB_BACKEND, o->backend, err);
        return e ? open_one(o, (const struct lb_backend *)e->plugin, all, err) : -1;
    }
    for (size_t i = 0; i < lb_plugins_count() && all->n < sizeof all->d / sizeof *all->d; i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (e->plugin && !e->shadowed && e->plugin->kind == LB_BACKEND && !strstr(e->name, "skeleton") &&
            open_one(o, (const struct lb_backend *)e->plugin, all, err))
            return -1;
    }
    return 0;
}

void lb_bench_close(struct lb_bench_devices *all)
{
    for (size_t i = 0; i < all->n; i++)
        lb_backend_close(all->d[i]);
    all->n = 0;
}

/* ---- Rows ---- */

int lb_bench_row(struct lb_table *t, const struct bench_row *r, struct lb_err *err)
{
    char threads[16], seconds[32], rate[32], ratio[32] = "", speedup[32] = "";
    snprintf(threads, sizeof threads, "%u", r->threads);
    snprintf(seconds, sizeof seconds, "%.4g", r->seconds);
    snprintf(rate, sizeof rate, "%.4g", r->rate);
    if (r->ratio > 0)
        snprintf(ratio, sizeof ratio, "%.3f", r->ratio);
    if (r->speedup > 0)
        snprintf(speedup, sizeof speedup, "%.2f", r->speedup);
    const char *const cells[] = {r->op, r->shape, r->format, r->backend, r->isa,  threads, seconds,
                                 rate,  r->unit,  ratio,     r->of,      speedup, r->over};
    return lb_table_add(t, cells, err);
}
