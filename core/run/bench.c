/* SPDX-License-Identifier: MIT */
#include "core/run/bench.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/plugins.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct bench_peer lb_bench_peer[BENCH_PEERS] = {[BENCH_OPENBLAS] = {"vs_openblas", "cpu_blas"},
                                                      [BENCH_ONEDNN] = {"vs_onednn", "onednn"},
                                                      [BENCH_REFERENCE] = {"vs_cpu_ref", "cpu_ref"}};

static const char *const columns[] = {"op",     "shape", "format", "backend",     "isa",       "threads",    "seconds",
                                      "rate",   "unit",  "ratio",  "vs_openblas", "vs_onednn", "vs_cpu_ref", "vs_f32",
                                      "spread", "best",  "turns",  "method",      "of"};

enum needs { NOBODY, BACKENDS, BACKENDS_AND_ONEDNN };
static const struct {
    const char *name;
    int (*run)(const struct bench *b, struct lb_err *err);
    enum needs needs;
} ops[] = {{"gemm", lb_bench_gemm, BACKENDS_AND_ONEDNN},
           {"gemv", lb_bench_gemv, BACKENDS_AND_ONEDNN},
           {"gemm_packed", lb_bench_gemm_packed, BACKENDS},
           {"gemm_int8", lb_bench_gemm_int8, BACKENDS},
           {"gemm_u8s8", lb_bench_gemm_u8s8, BACKENDS_AND_ONEDNN},
           {"conv", lb_bench_conv, BACKENDS_AND_ONEDNN},
           {"train", lb_bench_train, BACKENDS},
           {"forward", lb_bench_forward, BACKENDS},
           {"codec", lb_bench_codec, NOBODY}};
const char *const lb_bench_ops[] = {"gemm", "gemv", "gemm_packed", "gemm_int8", "gemm_u8s8", "conv", "train", "forward", "codec", NULL};

/* ---- Who takes part ---- */

static int has(const struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->n; i++)
        if (!strcmp(b->d[i]->ops->base.name, name))
            return 1;
    return 0;
}

/* Opens it; where it does not run here, that is an error if it `must`, else a message. */
static int add(struct bench *b, const struct lb_backend *ops_of, int must, struct lb_err *err)
{
    char why[256];
    if (b->n == LB_BENCH_BACKENDS || has(b, ops_of->base.name))
        return 0;
    if (!must && !lb_backend_probe(ops_of, &b->o->host, why, sizeof why)) {
        lb_log(LB_LOG_WARN, "bench: left out: %s: not on this machine: %s", ops_of->base.name, why);
        return 0;
    }
    if (lb_backend_open(ops_of, &b->o->host, &b->d[b->n], err))
        return -1;
    b->n++;
    return 0;
}

static int add_named(struct bench *b, struct lb_err *err)
{
    for (size_t i = 0; i < b->o->n_backends; i++) {
        const struct lb_entry *e = lb_plugins_find(LB_BACKEND, b->o->backends[i], err);
        if (!e || add(b, (const struct lb_backend *)e->plugin, b->o->n_backends == 1, err))
            return -1;
    }
    return 0;
}

/* The reference would take minutes, and the skeletons are for reading. */
static int usual(const char *name)
{
    for (size_t i = 0; i < BENCH_PEERS; i++)
        if (!strcmp(name, lb_bench_peer[i].backend))
            return 0;
    return !strstr(name, "skeleton");
}

static int add_usual(struct bench *b, struct lb_err *err)
{
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (e->plugin && !e->shadowed && e->plugin->kind == LB_BACKEND && usual(e->name) &&
            add(b, (const struct lb_backend *)e->plugin, 0, err))
            return -1;
    }
    return 0;
}

/* A machine without them has no such rows. */
static int add_peers(struct bench *b, int onednn, struct lb_err *err)
{
    struct lb_err none = {0};
    char why[256];
    const struct lb_entry *e = lb_plugins_find(LB_BACKEND, lb_bench_peer[BENCH_OPENBLAS].backend, &none);
    if (!e)
        lb_log(LB_LOG_WARN, "bench: left out: OpenBLAS: %s", none.text);
    else if (add(b, (const struct lb_backend *)e->plugin, 0, err))
        return -1;
    if (onednn && !(b->dnnl = lb_dnnl_load(b->o->host.threads, b->cpu, why, sizeof why)))
        lb_log(LB_LOG_WARN, "bench: left out: oneDNN: %s", why);
    return 0;
}

static int open_all(struct bench *b, enum needs needs, struct lb_err *err)
{
    if (b->o->n_backends ? add_named(b, err) : add_usual(b, err))
        return -1;
    return b->o->no_peers ? 0 : add_peers(b, needs == BACKENDS_AND_ONEDNN, err);
}

int lb_bench(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    struct bench b = {.o = o, .t = t, .cpu = lb_cpu_features() & o->host.cpumask};
    enum needs needs = NOBODY;
    int r = 0;
    *t = (struct lb_table){.columns = columns, .n_columns = sizeof columns / sizeof *columns};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if ((!o->op || !strcmp(o->op, ops[i].name)) && ops[i].needs > needs)
            needs = ops[i].needs;
    if (needs != NOBODY)
        r = open_all(&b, needs, err);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && !r; i++)
        if (!o->op || !strcmp(o->op, ops[i].name))
            r = ops[i].run(&b, err);
    lb_progress_end();
    for (size_t i = 0; i < b.n; i++)
        lb_backend_close(b.d[i]);
    lb_dnnl_unload(b.dnnl);
    return r;
}

/* ---- Rows ---- */

int lb_bench_row(struct lb_table *t, const struct bench_row *r, struct lb_err *err)
{
    char threads[16] = "", seconds[32], rate[32], ratio[32] = "", vs[BENCH_PEERS][32] = {""}, vs_f32[32] = "", spread[32], best[32],
         turns[16];
    if (r->threads)
        snprintf(threads, sizeof threads, "%u", r->threads);
    snprintf(seconds, sizeof seconds, "%.4g", r->time->seconds);
    snprintf(rate, sizeof rate, "%.4g", r->rate);
    if (r->ratio > 0)
        snprintf(ratio, sizeof ratio, "%.4g", r->ratio);
    for (size_t i = 0; i < BENCH_PEERS; i++)
        if (r->vs[i] > 0)
            snprintf(vs[i], sizeof vs[i], "%.4g", r->vs[i]);
    if (r->vs_f32 > 0)
        snprintf(vs_f32, sizeof vs_f32, "%.4g", r->vs_f32);
    snprintf(spread, sizeof spread, "%.3f", r->time->spread);
    snprintf(best, sizeof best, "%.4g", r->time->best);
    snprintf(turns, sizeof turns, "%zu", r->time->turns);
    const char *const cells[] = {
        r->op, r->shape,           r->format,        r->backend,          r->isa, threads, seconds, rate,  r->unit,
        ratio, vs[BENCH_OPENBLAS], vs[BENCH_ONEDNN], vs[BENCH_REFERENCE], vs_f32, spread,  best,    turns, r->method,
        r->of};
    return lb_table_add(t, cells, err);
}
