/* SPDX-License-Identifier: MIT */
/* cpu_q_gemm.c - products of two integer tensors: the second becomes panels first. Many small products are dealt to the threads whole. */
#include "plugins/cpu/cpu_q.h"

/* What one product needs. */
struct space {
    int8_t *w;
    int32_t *sums, *start; /* of B */
    int32_t *of_rows;      /* the sums of A */
    unsigned char *copied;
};

struct gemm {
    struct cpu_device *d;
    const struct lb_q_gemm *o;
    size_t lines, panels, jobs, threads; /* threads: of one product */
    uint32_t *lines_at;
    double *f;
    int32_t *zeros; /* (n), padded; NULL: all 0 */
    int8_t *ones;
    int small;
    struct space *space; /* (jobs) */
    size_t at;           /* number of the product at hand, where jobs are its parts */
};

static size_t lay_out(struct gemm *g, char *at)
{
    const struct lb_q_gemm *o = g->o;
    size_t used = 0;
    const size_t padded = g->panels * Q8_PANEL;
    g->space = conv_take(at, &used, g->jobs, sizeof *g->space);
    g->lines_at = conv_take(at, &used, g->lines, sizeof *g->lines_at);
    g->f = conv_take(at, &used, padded, sizeof *g->f);
    g->zeros = conv_take(at, &used, padded, sizeof *g->zeros);
    g->ones = conv_take(at, &used, g->lines, Q8_LINE);
    for (size_t i = 0; i < g->jobs; i++) {
        const struct space s = {.w = conv_take(at, &used, g->panels * g->lines, Q8_LINE),
                                .sums = conv_take(at, &used, padded, sizeof *s.sums),
                                .start = conv_take(at, &used, padded, sizeof *s.start),
                                .of_rows = conv_take(at, &used, o->m, sizeof *s.of_rows),
                                .copied = conv_take(at, &used, q_product_copies(o->k), 1)};
        if (at)
            g->space[i] = s;
    }
    return used;
}

/* What the columns share in all products. */
static void prepare(struct gemm *g)
{
    const struct lb_q_gemm *o = g->o;
    const int32_t *multiplier = lb_i32(o->multiplier), *shift = lb_i32(o->shift), *b_zeros = lb_i32(o->b_zeros);
    const int32_t taken = o->b_type == LB_Q_U8 ? 128 : 0;
    int some = 0;
    q_lines(g->lines_at, g->lines);
    g->small = 1;
    for (size_t j = 0; j < g->panels * Q8_PANEL; j++) {
        const size_t from = o->per_column ? j : 0;
        const int inside = j < o->n;
        g->f[j] = !inside ? 0 : multiplier ? q_factor(multiplier[from], shift[from]) : 1;
        g->small = g->small && g->f[j] <= 1;
        g->zeros[j] = inside ? (b_zeros ? b_zeros[j] : o->b_zero) - taken : 0;
        some |= g->zeros[j] != 0;
    }
    for (size_t i = 0; i < g->lines * Q8_LINE && some; i++)
        g->ones[i] = i / Q8_LINE * Q8_K + i % Q8_K < o->k;
    g->zeros = some ? g->zeros : NULL;
}

/* The group that begins with panel p, of product `at`. Returns where the next one begins. */
static size_t pack(const struct gemm *g, struct space *s, size_t at, size_t p)
{
    const struct lb_q_gemm *o = g->o;
    size_t first;
    const size_t group = q8_group(p, g->panels, &first), j0 = p * Q8_PANEL, n = conv_min(o->n - j0, group * Q8_PANEL);
    const unsigned char *b = q_bytes(o->b) + at * o->b_step + j0 * (o->trans_b ? o->b_row : 1);
    const uint32_t a_zero = (uint32_t)(o->a_zero + q_flip(o->a_type));
    g->d->k.q8.pack(b, o->b_row, o->trans_b, n, o->k, o->b_type == LB_Q_U8 ? 0x80 : 0, group, s->w + p * g->lines * Q8_LINE, s->sums + j0);
    for (size_t j = j0; j < j0 + group * Q8_PANEL; j++)
        s->start[j] = (int32_t)(0 - a_zero * ((uint32_t)s->sums[j] - (uint32_t)o->k * (g->zeros ? (uint32_t)g->zeros[j] : 0)));
    return p + group;
}

static void pack_job(void *arg, size_t job)
{
    const struct gemm *g = arg;
    const size_t groups = (g->panels + Q8_WIDE - 1) / Q8_WIDE, end = groups * (job + 1) / g->threads * Q8_WIDE;
    for (size_t p = groups * job / g->threads * Q8_WIDE; p < conv_min(end, g->panels);)
        p = pack(g, &g->space[0], g->at, p);
}

static void multiply(const struct gemm *g, const struct space *s, size_t at)
{
    const struct lb_q_gemm *o = g->o;
    struct q8_task t = {.a = q_bytes(o->a) + at * o->a_step,
                        .ld = o->a_row,
                        .rows = o->m,
                        .outers = 1,
                        .flip = q_flip(o->a_type),
                        .at = g->lines_at,
                        .lines = g->lines,
                        .w = s->w,
                        .start = s->start,
                        .zeros = g->zeros,
                        .f = g->f,
                        .end = g->panels,
                        .panels = g->panels,
                        .n = o->n,
                        .out = q_out(&o->out, g->small),
                        .ldc = o->c_row};
    t.c = q_bytes(o->c) + at * o->c_step * t.out.bytes;
    struct q_product p = {.d = g->d, .t = t, .ones = g->ones, .sums = g->zeros ? s->of_rows : NULL, .cols = o->k};
    q_product_copy(&p, o->a, at * o->a_step, s->copied);
    q_product_run(&p, g->threads);
}

/* Whole products, one after the other. */
static void run_job(void *arg, size_t job)
{
    struct gemm *g = arg;
    const size_t first = g->o->batch * job / g->jobs, end = g->o->batch * (job + 1) / g->jobs;
    for (size_t at = first; at < end; at++) {
        for (size_t p = 0; p < g->panels && (at == first || g->o->b_step);)
            p = pack(g, &g->space[job], at, p);
        multiply(g, &g->space[job], at);
    }
}

static void run_in_parts(struct gemm *g)
{
    for (g->at = 0; g->at < g->o->batch; g->at++) {
        if (g->at == 0 || g->o->b_step)
            g->d->host->parallel(g->d->host, g->threads, pack_job, g);
        multiply(g, &g->space[0], g->at);
    }
}

int cpu_q_gemm(void *dev, const struct lb_q_gemm *o)
{
    struct gemm g = {.d = dev, .o = o, .lines = (o->k + Q8_K - 1) / Q8_K, .panels = (o->n + Q8_PANEL - 1) / Q8_PANEL};
    if (o->batch == 0 || o->m == 0 || o->n == 0)
        return 0;
    const double macs = (double)o->m * (double)o->n * (double)o->k;
    const size_t all = q_jobs(g.d, macs * (double)o->batch, Q_MACS_OF_A_THREAD);
    g.threads = o->batch >= all ? 1 : q_jobs(g.d, macs, Q_MACS_OF_A_THREAD);
    g.jobs = g.threads > 1 ? 1 : conv_min(all, o->batch);
    char *work = cpu_work(g.d, lay_out(&g, NULL));
    if (!work)
        return -1;
    lay_out(&g, work);
    prepare(&g);
    if (g.threads > 1)
        run_in_parts(&g);
    else
        g.d->host->parallel(g.d->host, g.jobs, run_job, &g);
    return 0;
}
