/* SPDX-License-Identifier: MIT */
/* bench_peers.c - the ways in which OpenBLAS and oneDNN can do what is measured. Of each only the fastest counts. */
#include "core/base/log.h"
#include "core/run/bench_impl.h"

#include <stdio.h>
#include <string.h>

/* oneDNN's primitives for an op. */
static const struct {
    enum lb_dnnl_way way;
    const char *method;
    int conv;
    unsigned flags;
} primitives[] = {
    {LB_DNNL_MATMUL, "matmul", 0, BENCH_METHOD},
    {LB_DNNL_INNER_PRODUCT, "inner product", 0, BENCH_METHOD},
    {LB_DNNL_MATMUL_PACKED, "matmul, b packed beforehand", 0, BENCH_OTHER},
    {LB_DNNL_CONV_ANY, "convolution in its own layout", 1, BENCH_METHOD},
    {LB_DNNL_CONV_NHWC, "convolution, nhwc", 1, BENCH_METHOD},
    {LB_DNNL_CONV_NCHW, "convolution, nchw", 1, BENCH_METHOD},
};

static int fits(enum lb_dnnl_way way, const struct bench_problem *p)
{
    return way != LB_DNNL_INNER_PRODUCT || (p->trans_b && !p->trans_a && p->m == 1); /* with more rows it is the sgemm */
}

/* The matrix products that are a convolution once its patches lie in a matrix, with pixels P of all images, outputs O, patch K; the
 * making of that matrix is not timed. */
enum size { P, O, K };
static const struct {
    enum bench_kind kind;
    enum size m, n, k;
    int trans_a, trans_b;
} products[] = {
    {BENCH_CONV2D, P, O, K, 0, 1},    {BENCH_CONV2D, O, P, K, 0, 0},    {BENCH_CONV2D_DX, P, K, O, 0, 0}, {BENCH_CONV2D_DX, K, P, O, 1, 0},
    {BENCH_CONV2D_DW, O, K, P, 0, 0}, {BENCH_CONV2D_DW, O, K, P, 0, 1}, {BENCH_CONV2D_DW, K, O, P, 0, 1},
};
enum { N_PRODUCTS = sizeof products / sizeof *products };

static struct lb_dev *openblas(const struct bench *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!b->o->no_peers && !strcmp(b->d[i]->ops->base.name, lb_bench_peer[BENCH_OPENBLAS].backend))
            return b->d[i];
    return NULL;
}

/* Keeps the entry that was just made, or says why there is none; memory that ran out shows in the others as well. */
static void keep(struct bench_methods *m, int failed, const char *method, unsigned flags, const struct lb_err *why)
{
    if (failed) {
        lb_log(LB_LOG_WARN, "bench: left out: %s: %s", method, why->text);
        lb_bench_job_free(&m->job[m->n]);
        return;
    }
    m->e[m->n].method = method;
    m->e[m->n].flags = flags;
    m->n++;
}

static int add_product(const struct bench *b, const struct bench_problem *p, size_t row, size_t slot, struct bench_methods *m,
                       struct lb_err *err)
{
    const struct lb_conv *s = &p->s;
    const size_t size[] = {[P] = s->n * s->oh * s->ow, [O] = s->o, [K] = s->c * s->kh * s->kw};
    struct bench_problem *q = &m->product[slot];
    char *name = m->product_name[slot];
    struct lb_dev *blas = openblas(b);
    *q = (struct bench_problem){.kind = BENCH_GEMM,
                                .m = size[products[row].m],
                                .n = size[products[row].n],
                                .k = size[products[row].k],
                                .trans_a = products[row].trans_a,
                                .trans_b = products[row].trans_b};
    snprintf(name, sizeof m->product_name[slot], "sgemm %zux%zux%zu alone", q->m, q->n, q->k);
    if (lb_bench_problem_fill(q, err))
        return -1;
    for (int dnnl = 0; dnnl < 2; dnnl++) {
        struct bench_entry *e = &m->e[m->n];
        struct lb_err why = {0};
        if (dnnl ? !b->dnnl : !blas)
            continue;
        const int failed =
            dnnl ? lb_bench_job_sgemm(&m->job[m->n], q, b->dnnl, e, &why) : lb_bench_job_backend(&m->job[m->n], q, blas, e, &why);
        e->result = NULL; /* part of the work: not what the others compute */
        keep(m, failed, name, BENCH_METHOD | BENCH_PART, &why);
    }
    return 0;
}

static void add_sgemm(const struct bench *b, const struct bench_problem *p, struct bench_methods *m)
{
    struct lb_err why = {0};
    keep(m, lb_bench_job_sgemm(&m->job[m->n], p, b->dnnl, &m->e[m->n], &why), "sgemm", BENCH_METHOD, &why);
}

int lb_bench_methods(const struct bench *b, const struct bench_problem *p, struct bench_methods *m, struct lb_err *err)
{
    size_t slot = 0;
    *m = (struct bench_methods){.n = 0};
    if (b->dnnl && p->kind == BENCH_GEMM)
        add_sgemm(b, p, m);
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives && b->dnnl; i++)
        if (primitives[i].conv == (p->kind != BENCH_GEMM) && fits(primitives[i].way, p)) {
            struct lb_err why = {0};
            const int failed = lb_bench_job_primitive(&m->job[m->n], p, b->dnnl, primitives[i].way, &m->e[m->n], &why);
            keep(m, failed, primitives[i].method, primitives[i].flags, &why);
        }
    if (b->dnnl || openblas(b))
        for (size_t row = 0; row < N_PRODUCTS; row++)
            if (products[row].kind == p->kind && add_product(b, p, row, slot++, m, err))
                return -1;
    return 0;
}

void lb_bench_methods_free(struct bench_methods *m)
{
    for (size_t i = 0; i < m->n; i++)
        lb_bench_job_free(&m->job[i]);
    for (size_t i = 0; i < BENCH_PRODUCTS; i++)
        lb_bench_problem_free(&m->product[i]);
}
