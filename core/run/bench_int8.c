/* SPDX-License-Identifier: MIT */
/* bench_int8.c - products of weights in a format with int8 activations, beside the products of bytes that the processor makes at most; with more weights than
 * the caches hold, beside reading as many bytes. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/format/packed.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { COLD_BYTES = 512 << 20, MOST_COPIES = 4096 };

/* ---- The weights ---- */

struct weights {
    struct lb_format_config config;
    struct lb_format *format;
    struct lb_safetensors st;
    struct lb_packed_tensor tensor;
    size_t n, k;
};

static int make_weights(struct weights *w, const char *format, size_t n, size_t k, struct lb_err *err)
{
    const size_t shape[2] = {n, k};
    struct lb_format_stats stats = {0};
    w->n = n;
    w->k = k;
    float *x = lb_alloc(n * k, sizeof *x, err);
    if (!x)
        return -1;
    for (size_t i = 0; i < n * k; i++) {
        const uint32_t a = (uint32_t)i * 2654435761u, b = a ^ a >> 15;
        x[i] = canon_unit(b * 2246822519u) + canon_unit(b * 3266489917u) - 1.0f;
    }
    const int r = lb_config_format(format, NULL, &w->config, err) || lb_format_create(&w->config, &w->format, err) ||
                  lb_format_encode(w->format, "w", x, 2, shape, 0, 0, &w->st, &stats, err) || lb_packed_open(&w->st, "w", &w->tensor, err);
    lb_free(x);
    return r ? -1 : 0;
}

static void free_weights(struct weights *w)
{
    lb_packed_finish(&w->tensor);
    lb_safetensors_finish(&w->st);
    lb_format_destroy(w->format);
    lb_config_format_finish(&w->config);
}

/* ---- On a backend ---- */

struct job {
    struct lb_dev *d;
    struct lb_buf a, c;
    void *w[MOST_COPIES]; /* multiplied one after the other */
    size_t copies, bytes; /* of all of them on the device */
    struct lb_gemm_packed op;
};

static int run_job(void *arg, struct lb_err *err)
{
    struct job *j = arg;
    for (size_t i = 0; i < j->copies; i++) {
        j->op.w = j->w[i];
        if (LB_RUN(j->d, gemm_int8, &j->op, err))
            return -1;
    }
    return j->d->ops->sync ? lb_backend_result(j->d, "sync", j->d->ops->sync(j->d->dev), err) : 0;
}

static int add_copy(struct job *j, const struct weights *w, struct lb_err *err)
{
    char why[256] = "";
    size_t bytes = 0;
    void *made = j->d->ops->weights_create(j->d->dev, &w->tensor.p, LB_USE_INT8, &bytes, why, sizeof why);
    if (!made)
        return lb_fail(err, "%s: gemm_int8: %s", j->d->ops->base.name, why);
    j->w[j->copies++] = made;
    j->bytes += bytes;
    return 0;
}

static int make_job(struct job *j, struct lb_dev *d, const struct weights *w, size_t m, int cold, struct lb_err *err)
{
    *j = (struct job){.d = d};
    if (!d->ops->gemm_int8 || !d->ops->weights_create)
        return lb_fail(err, "%s: gemm_int8: unsupported", d->ops->base.name);
    float *a = lb_alloc(m * w->k, sizeof *a, err);
    int r = a ? 0 : -1;
    for (size_t i = 0; i < m * w->k && !r; i++)
        a[i] = canon_unit((uint32_t)i * 2246822519u) - 0.5f;
    r = r || lb_buf_create(d, m * w->k, &j->a, err) || lb_buf_write(d, &j->a, 0, a, m * w->k, err) ||
        lb_buf_create(d, m * w->n, &j->c, err);
    lb_free(a);
    do
        r = r || add_copy(j, w, err);
    while (!r && cold && j->bytes < COLD_BYTES && j->copies < MOST_COPIES);
    j->op = (struct lb_gemm_packed){.a = {&j->a, 0}, .c = {&j->c, 0}, .m = m, .n = w->n, .k = w->k};
    return r ? -1 : 0;
}

static void free_job(struct job *j)
{
    for (size_t i = 0; i < j->copies; i++)
        j->d->ops->weights_free(j->d->dev, j->w[i]);
    lb_buf_destroy(j->d, &j->a);
    lb_buf_destroy(j->d, &j->c);
}

/* ---- The race ---- */

/* The limit of a job: reading its bytes, or making its products. */
struct limit {
    struct lb_pool *pool;
    struct lb_bench_peak peak;
    struct lb_bench_stream stream;
    void *bytes;
};

/* *c: the contender; its run NULL where there is no limit. */
static int make_limit(struct limit *l, const struct bench *b, const struct job *j, int cold, struct contender *c, struct lb_err *err)
{
    const unsigned threads = j->d->info.threads;
    if (!threads)
        return 0;
    l->pool = lb_pool_create(threads);
    if (!l->pool)
        return lb_fail(err, "bench: %u threads could not be started", threads);
    if (!cold) {
        if (lb_bench_byte_peak(&l->peak, l->pool, threads, b->cpu))
            *c = (struct contender){.run = lb_bench_peak_run, .arg = &l->peak};
        return 0;
    }
    struct lb_bench_stream ways[BENCH_STREAMS];
    l->bytes = lb_alloc(j->bytes, 1, err);
    if (!l->bytes)
        return -1;
    memset(l->bytes, 1, j->bytes); /* pages that were never written are all the same one */
    const size_t n = lb_bench_streams(ways, l->bytes, j->bytes, NULL, 0, b->cpu);
    l->stream = ways[n > 1];
    l->stream.pool = l->pool;
    l->stream.threads = threads;
    *c = (struct contender){.run = lb_bench_stream_run, .arg = &l->stream};
    return 0;
}

static int add_row(const struct bench *b, const char *format, size_t m, const struct weights *w, const struct job *j, int cold,
                   const struct limit *l, const struct contender c[2], struct lb_err *err)
{
    char shape[96], of[96] = "";
    const double flops = 2.0 * (double)m * (double)w->n * (double)w->k * (double)j->copies;
    const unsigned threads = j->d->info.threads;
    const double peak = c[1].run && !cold ? l->peak.flops / c[1].seconds : 0;
    snprintf(shape, sizeof shape, "%zux%zux%zu%s", m, w->n, w->k, cold ? " from memory" : "");
    if (peak > 0)
        snprintf(of, sizeof of, "peak of products of bytes, %s, %u thread%s (%.4g GOP/s)", l->peak.isa, threads, threads == 1 ? "" : "s",
                 peak * 1e-9);
    else if (c[1].run)
        snprintf(of, sizeof of, "reading the weights, %u thread%s (%.3g GB/s)", threads, threads == 1 ? "" : "s",
                 (double)j->bytes / c[1].seconds * 1e-9);
    const struct bench_row r = {.op = "gemm_int8",
                                .shape = shape,
                                .format = format,
                                .backend = j->d->ops->base.name,
                                .isa = j->d->info.isa,
                                .threads = threads,
                                .rate = flops / c[0].seconds * 1e-9,
                                .unit = "GOP/s",
                                .ratio = peak > 0   ? flops / c[0].seconds / peak
                                         : c[1].run ? c[1].seconds / c[0].seconds
                                                    : 0,
                                .time = &c[0],
                                .of = *of ? of : NULL};
    return lb_bench_row(b->t, &r, err);
}

static int race(const struct bench *b, struct lb_dev *d, const char *format, const struct weights *w, size_t m, int cold,
                struct lb_err *err)
{
    static struct job j; /* of the size of its list of copies */
    struct limit l = {0};
    struct contender c[2] = {{.run = run_job, .arg = &j}};
    struct lb_err why = {0};
    if (make_job(&j, d, w, m, cold, &why) || run_job(&j, &why)) {
        free_job(&j);
        if (b->n == 1)
            return lb_fail(err, "%s", why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
        return 0;
    }
    lb_progress("bench: gemm_int8 %s %s", format, d->ops->base.name);
    int r = make_limit(&l, b, &j, cold, &c[1], err);
    r = r || lb_bench_race(c, c[1].run ? 2 : 1, b->o->seconds, err) || add_row(b, format, m, w, &j, cold, &l, c, err);
    lb_pool_destroy(l.pool);
    lb_free(l.bytes);
    free_job(&j);
    return r ? -1 : 0;
}

static int measure(const struct bench *b, const char *format, size_t m, size_t n, size_t k, int cold, struct lb_err *err)
{
    struct weights w = {0};
    int r = make_weights(&w, format, n, k, err);
    for (size_t i = 0; i < b->n && !r; i++)
        if (b->n == 1 || b->d[i]->ops->gemm_int8)
            r = race(b, b->d[i], format, &w, m, cold, err);
    free_weights(&w);
    return r;
}

int lb_bench_gemm_int8(const struct bench *b, struct lb_err *err)
{
    static const char *const usual[] = {"INT4_G32", "MXFP4", "INT8_CHANNEL"};
    static const struct {
        size_t m, n, k;
        int cold;
    } shapes[] = {{2048, 2048, 2048, 0}, {1, 4096, 4096, 0}, {1, 4096, 4096, 1}};
    const struct lb_bench_options *o = b->o;
    const int own = o->m || o->n || o->k;
    for (size_t f = 0; f < (o->format ? 1 : sizeof usual / sizeof *usual); f++)
        for (size_t i = 0; i < (own ? 1 : sizeof shapes / sizeof *shapes); i++)
            if (measure(b, o->format ? o->format : usual[f], o->m ? o->m : shapes[i].m, o->n ? o->n : shapes[i].n,
                        o->k ? o->k : shapes[i].k, shapes[i].cold, err))
                return -1;
    return 0;
}
