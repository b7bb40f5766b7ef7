/* SPDX-License-Identifier: MIT */
/* bench_packed.c - products with weights in a format, beside the same products in binary32: those of the backends, and those of the peers on unpacked weights. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <string.h>

/* The weights of a problem, encoded; its own in binary32 become what they are worth. */
struct weights {
    struct lb_format_config config;
    struct lb_format *format;
    struct lb_safetensors st;
    struct lb_packed_tensor packed;
};

struct packed_job {
    struct lb_dev *d;
    struct lb_buf buf[2]; /* a, c */
    struct lb_gemm_packed args;
};

static int encode(const char *text, const struct bench_problem *p, struct weights *w, struct lb_err *err)
{
    const size_t shape[] = {p->n, p->k};
    struct lb_format_stats stats = {0};
    return lb_config_format(text, NULL, &w->config, err) || lb_format_create(&w->config, &w->format, err) ||
                   lb_format_encode(w->format, "w", p->in[1], 2, shape, 1, 0, &w->st, &stats, err) ||
                   lb_packed_open(&w->st, "w", &w->packed, err) || lb_format_decode(&w->st, "w", p->in[1], p->n * p->k, err)
               ? -1
               : 0;
}

static void finish(struct weights *w)
{
    lb_packed_finish(&w->packed);
    lb_safetensors_finish(&w->st);
    lb_format_destroy(w->format);
    lb_config_format_finish(&w->config);
}

static int run_packed(void *arg, struct lb_err *err)
{
    const struct packed_job *j = arg;
    struct lb_dev *d = j->d;
    const int r = LB_RUN(d, gemm_packed, &j->args, err);
    return r || (d->ops->sync && lb_backend_result(d, "sync", d->ops->sync(d->dev), err)) ? -1 : 0;
}

static int read_packed(void *arg, float *out, struct lb_err *err)
{
    const struct packed_job *j = arg;
    return lb_buf_read(j->d, &j->buf[1], 0, out, j->args.m * j->args.n, err);
}

static void free_job(struct packed_job *j)
{
    if (!j->d)
        return;
    if (j->args.w)
        j->d->ops->weights_free(j->d->dev, j->args.w);
    for (int i = 0; i < 2; i++)
        lb_buf_destroy(j->d, &j->buf[i]);
}

static int create(struct packed_job *j, const struct bench_problem *p, const struct weights *w, const char *format, struct lb_dev *d,
                  struct bench_entry *e, struct lb_err *err)
{
    char why[256] = "";
    size_t bytes;
    *j = (struct packed_job){.d = d};
    if (lb_buf_create(d, p->n_in[0], &j->buf[0], err) || lb_buf_write(d, &j->buf[0], 0, p->in[0], p->n_in[0], err) ||
        lb_buf_create(d, p->n_out, &j->buf[1], err))
        return -1;
    j->args = (struct lb_gemm_packed){.a = {&j->buf[0], 0}, .c = {&j->buf[1], 0}, .m = p->m, .n = p->n, .k = p->k};
    j->args.w = d->ops->weights_create(d->dev, &w->packed.p, LB_USE_F32, &bytes, why, sizeof why);
    if (!j->args.w)
        return lb_fail(err, "bench: %s: %s: %s", d->ops->base.name, format, *why ? why : d->log);
    *e = (struct bench_entry){.backend = d->ops->base.name,
                              .format = format,
                              .isa = d->info.isa,
                              .threads = d->info.threads,
                              .run = run_packed,
                              .result = read_packed,
                              .arg = j};
    return 0;
}

/* The backends' packed products. One that lacks the op is left out, unless it is the only one that was asked for. */
static int add_packed(const struct bench *b, const struct bench_problem *p, const struct weights *w, const char *format,
                      struct packed_job *job, struct bench_entry *e, size_t *n, struct lb_err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        struct lb_dev *d = b->d[i];
        struct lb_err why = {0};
        if (!d->ops->gemm_packed || !d->ops->weights_create)
            lb_fail(&why, "bench: %s: gemm_packed: unsupported", d->ops->base.name);
        else if (!create(&job[*n], p, w, format, d, &e[*n], &why) && !e[*n].run(e[*n].arg, &why)) {
            ++*n;
            continue;
        } else {
            free_job(&job[*n]);
        }
        if (b->o->n_backends == 1 && i == 0)
            return lb_fail(err, "%s", why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
    return 0;
}

static int measure(const struct bench *b, struct bench_problem p, const char *format, struct lb_err *err)
{
    struct packed_job job[LB_BENCH_BACKENDS + 1] = {0};
    struct bench_entry e[LB_BENCH_BACKENDS + 1];
    struct weights w = {.format = NULL};
    size_t n = 0;
    int r = lb_bench_problem_fill(&p, err) || encode(format, &p, &w, err) || add_packed(b, &p, &w, format, job, e, &n, err) ? -1 : 0;
    if (!r && n)
        r = lb_bench_problem_race(b, "gemm_packed", &p, 0, e, n, err);
    for (size_t i = 0; i < n; i++)
        free_job(&job[i]);
    finish(&w);
    lb_bench_problem_free(&p);
    return r;
}

int lb_bench_gemm_packed(const struct bench *b, struct lb_err *err)
{
    static const struct bench_problem standard[] = {{.m = 1, .n = 4096, .k = 4096, .trans_b = 1},
                                                    {.m = 2048, .n = 2048, .k = 2048, .trans_b = 1}};
    static const char *const usual[] = {"INT4_G32", "MXFP4", "NVFP4", "MXFP8_E4M3"};
    const int own = b->o->m || b->o->n || b->o->k;
    const size_t formats = b->o->format ? 1 : sizeof usual / sizeof *usual;
    for (size_t i = 0; i < (own ? 1 : sizeof standard / sizeof *standard); i++)
        for (size_t f = 0; f < formats; f++)
            if (measure(b, lb_bench_chosen(b->o, &standard[i]), b->o->format ? b->o->format : usual[f], err))
                return -1;
    return 0;
}
