/* SPDX-License-Identifier: MIT */
/* bench_ops.c - single ops: products, products with a vector, convolutions. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/bench_impl.h"

#include <math.h>
#include <stdio.h>

static struct bench_work work_of(const char *op, const struct bench_problem *p, int by_bytes, char *shape, size_t size)
{
    const struct lb_conv *s = &p->s;
    struct bench_work w = {.op = op, .shape = shape};
    if (p->kind == BENCH_GEMM) {
        snprintf(shape, size, "%zux%zux%zu%s%s", p->m, p->n, p->k, p->trans_a ? " aT" : "", p->trans_b ? " bT" : "");
        w.flops = 2.0 * (double)p->m * (double)p->n * (double)p->k;
        w.bytes = by_bytes ? p->n * p->k * sizeof(float) : 0;
    } else {
        snprintf(shape, size, "%zux%zux%zux%zu o%zu k%zux%zu s%zu p%zu", s->n, s->c, s->h, s->w, s->o, s->kh, s->kw, s->stride, s->pad);
        w.flops = 2.0 * (double)(s->n * s->o * s->oh * s->ow) * (double)(s->c * s->kh * s->kw);
    }
    return w;
}

/* Speed says nothing where the result is another: all that compute the whole op must agree but for rounding. The first `ran` have run. */
static int agree(const struct bench_work *w, const struct bench_problem *p, const struct bench_entry *e, size_t n, size_t ran,
                 struct lb_err *err)
{
    float *first = lb_alloc(p->n_out, sizeof *first, err), *other = lb_alloc(p->n_out, sizeof *other, err);
    const struct bench_entry *reference = NULL;
    int r = first && other ? 0 : -1;
    for (size_t i = 0; i < n && !r; i++) {
        double most = 0, apart = 0;
        if (!e[i].result)
            continue;
        r = (i >= ran && e[i].run(e[i].arg, err)) || e[i].result(e[i].arg, reference ? other : first, err) ? -1 : 0;
        for (size_t j = 0; reference && j < p->n_out && !r; j++) {
            most = fmax(most, fabs((double)first[j]));
            apart = fmax(apart, fabs((double)first[j] - (double)other[j]));
        }
        if (reference && !r && !(apart <= 1e-3 * most))
            r = lb_fail(err, "bench: %s %s: %s (%s) is %.3g away from %s, of at most %.3g", w->op, w->shape, e[i].backend,
                        e[i].method ? e[i].method : e[i].isa, apart, reference->backend, most);
        reference = reference ? reference : &e[i];
    }
    lb_free(first);
    lb_free(other);
    return r;
}

/* The backends' entries, run once. One that lacks the op is left out, unless it is the only one that was asked for. */
static int add_backends(const struct bench *b, const struct bench_problem *p, struct bench_job *job, struct bench_entry *e, size_t *n,
                        struct lb_err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        struct lb_err why = {0};
        const size_t at = *n;
        if (!lb_bench_job_backend(&job[at], p, b->d[i], &e[at], &why) && !e[at].run(e[at].arg, &why)) {
            (*n)++;
            continue;
        }
        lb_bench_job_free(&job[at]);
        if (b->o->n_backends == 1 && i == 0)
            return lb_fail(err, "%s", why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
    return 0;
}

int lb_bench_problem_race(const struct bench *b, const char *op, const struct bench_problem *p, int by_bytes,
                          const struct bench_entry *more, size_t n_more, struct lb_err *err)
{
    struct bench_job job[LB_BENCH_BACKENDS + 1] = {0};
    struct bench_entry e[BENCH_ENTRIES];
    struct bench_methods methods = {.n = 0};
    size_t n = 0, jobs = 0;
    char shape[96];
    const struct bench_work w = work_of(op, p, by_bytes, shape, sizeof shape);
    int r = add_backends(b, p, job, e, &n, err) || lb_bench_methods(b, p, &methods, err) ? -1 : 0;
    jobs = n;
    for (size_t i = 0; i < n_more; i++)
        e[n++] = more[i];
    for (size_t i = 0; i < methods.n; i++)
        e[n++] = methods.e[i];
    if (!r)
        r = agree(&w, p, e, n, jobs + n_more, err) || lb_bench_compare(b, &w, e, n, err) ? -1 : 0;
    for (size_t i = 0; i < jobs; i++)
        lb_bench_job_free(&job[i]);
    lb_bench_methods_free(&methods);
    return r;
}

static int measure(const struct bench *b, const char *op, struct bench_problem p, int by_bytes, struct lb_err *err)
{
    const int r = lb_bench_problem_fill(&p, err) || lb_bench_problem_race(b, op, &p, by_bytes, NULL, 0, err) ? -1 : 0;
    lb_bench_problem_free(&p);
    return r;
}

struct bench_problem lb_bench_chosen(const struct lb_bench_options *o, const struct bench_problem *standard)
{
    struct bench_problem p = *standard;
    p.m = o->m ? o->m : p.m;
    p.n = o->n ? o->n : p.n;
    p.k = o->k ? o->k : p.k;
    return p;
}

int lb_bench_gemm(const struct bench *b, struct lb_err *err)
{
    static const struct bench_problem standard[] = {{.m = 64, .n = 784, .k = 784, .trans_b = 1},
                                                    {.m = 512, .n = 512, .k = 512, .trans_b = 1},
                                                    {.m = 1024, .n = 1024, .k = 1024, .trans_b = 1},
                                                    {.m = 2048, .n = 2048, .k = 2048, .trans_b = 1},
                                                    {.m = 1024, .n = 1024, .k = 1024}};
    const int own = b->o->m || b->o->n || b->o->k;
    for (size_t i = 0; i < (own ? 1 : sizeof standard / sizeof *standard); i++)
        if (measure(b, "gemm", lb_bench_chosen(b->o, &standard[i]), 0, err))
            return -1;
    return 0;
}

int lb_bench_gemv(const struct bench *b, struct lb_err *err)
{
    static const struct bench_problem standard[] = {{.m = 1, .n = 784, .k = 784, .trans_b = 1},
                                                    {.m = 1, .n = 4096, .k = 4096, .trans_b = 1}};
    const int own = b->o->n || b->o->k;
    for (size_t i = 0; i < (own ? 1 : sizeof standard / sizeof *standard); i++) {
        struct bench_problem p = lb_bench_chosen(b->o, &standard[i]);
        p.m = 1;
        if (measure(b, "gemv", p, 1, err))
            return -1;
    }
    return 0;
}

/* The two convolutions of the CNN, forward and backward. */
int lb_bench_conv(const struct bench *b, struct lb_err *err)
{
    static const struct lb_conv shapes[] = {{.c = 1, .h = 28, .w = 28, .o = 8, .kh = 3, .kw = 3, .stride = 1, .oh = 26, .ow = 26},
                                            {.c = 8, .h = 26, .w = 26, .o = 16, .kh = 3, .kw = 3, .stride = 2, .oh = 12, .ow = 12}};
    static const char *const names[] = {[BENCH_CONV2D] = "conv2d", [BENCH_CONV2D_DX] = "conv2d_dx", [BENCH_CONV2D_DW] = "conv2d_dw"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum bench_kind kind = BENCH_CONV2D; kind <= BENCH_CONV2D_DW; kind++) {
            struct bench_problem p = {.kind = kind, .s = shapes[i]};
            p.s.n = b->o->batch ? b->o->batch : 64;
            if (measure(b, names[kind], p, 0, err))
                return -1;
        }
    return 0;
}
