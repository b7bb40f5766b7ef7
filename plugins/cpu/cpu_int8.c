/* SPDX-License-Identifier: MIT */
/* cpu_int8.c - gemm_int8: activations become int8, then integer products; docs/arithmetic.md, 8.12. */
#include "plugins/cpu/cpu_int8.h"
#include "plugins/cpu/cpu_conv.h"

#include <stdio.h>

/* A thread is woken for no less than some ten microseconds of work. Activations of more rows than fit are quantized some at a time. */
enum { MACS_OF_A_THREAD = 1 << 20, NUMBERS_OF_A_THREAD = 1 << 16, BYTES_AT_ONCE = 32 << 20 };

/* ---- How a sum is cut ---- */

/* The end of the piece that begins at k. */
static size_t piece_end(const struct int8_plan *p, size_t k)
{
    const size_t cuts[] = {p->w->block, p->block, INT8_LONGEST};
    size_t end = p->w->cols;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        end = conv_min(end, (k / cuts[i] + 1) * cuts[i]);
    return end;
}

struct int8_plan int8_plan_of(const struct int8_matrix *w, size_t block)
{
    struct int8_plan p = {.w = w, .by_piece = block != 0, .in_order = 1};
    const size_t line_k = int8_line_k(w->form), k = w->cols;
    size_t bytes = 0;
    p.block = block && block < k ? block : k ? k : 1;
    p.blocks = k ? (k + p.block - 1) / p.block : 1;
    for (size_t at = 0, end; at < k; at = end, p.pieces++) {
        end = piece_end(&p, at);
        bytes += ((end + line_k - 1) / line_k - at / line_k) * line_k;
        p.in_order = p.in_order && at % line_k == 0;
    }
    p.ld = (bytes + 63) / 64 * 64 + 64; /* rows that lie a multiple of 4 KiB apart want the same places of the first cache */
    return p;
}

void int8_plan_take(struct int8_plan *p, char *at, size_t *used)
{
    const size_t line_k = int8_line_k(p->w->form);
    p->piece = conv_take(at, used, p->pieces, sizeof *p->piece);
    p->from = conv_take(at, used, p->pieces + 1, sizeof *p->from);
    size_t k = 0;
    for (size_t i = 0; i < p->pieces && at; i++) {
        const size_t end = piece_end(p, k), line = k / line_k;
        p->piece[i] = (struct int8_piece){.line = line, .lines = (end + line_k - 1) / line_k - line, .block = k / p->w->block};
        p->from[i] = k;
        k = end;
    }
    if (at)
        p->from[p->pieces] = k;
}

void int8_space_take(const struct int8_plan *p, struct int8_space *s, size_t rows, char *at, size_t *used)
{
    s->a = conv_take(at, used, rows, p->ld);
    const size_t grouped = (rows + INT8_GROUP - 1) / INT8_GROUP * INT8_GROUP;
    s->sums = conv_take(at, used, grouped * p->pieces, sizeof *s->sums);
    s->scale = conv_take(at, used, grouped * (p->by_piece ? p->pieces : 1), sizeof *s->scale);
}

void int8_lay_row(const struct cpu_device *d, const struct int8_plan *p, const int8_t *integers, const struct int8_space *s, size_t i)
{
    const size_t line_k = int8_line_k(p->w->form);
    int8_t *a = s->a + i * p->ld, *at = a;
    if (p->in_order && integers != a)
        memcpy(a, integers, p->w->cols);
    if (p->in_order)
        memset(a + p->w->cols, 0, p->ld - p->w->cols);
    for (size_t j = 0; j < p->pieces && !p->in_order; j++) {
        const size_t bytes = p->piece[j].lines * line_k, before = p->from[j] - p->piece[j].line * line_k;
        memset(at, 0, bytes);
        memcpy(at + before, integers + p->from[j], p->from[j + 1] - p->from[j]);
        at += bytes;
    }
    d->k.int8.sums(a, p->piece, p->pieces, line_k, p->w->zeros ? -1 : -p->w->shift, s->sums + int8_group_place(i, p->pieces, 0));
}

/* ---- The op ---- */

struct gemm {
    struct cpu_device *d;
    const struct lb_gemm_packed *o;
    struct int8_plan plan;
    struct int8_space space;
    size_t row, rows; /* at a time */
    size_t jobs;
    int8_t *integers; /* (jobs, cols), where rows are not in order */
    float *scales;    /* (jobs, blocks), where there is one a block */
    unsigned char *work;
    size_t work_each;
    int by_rows; /* jobs are runs of rows, not of outputs */
};

static void quantize_row(const struct gemm *g, size_t job, size_t i)
{
    const struct int8_plan *p = &g->plan;
    const size_t k = g->o->k;
    const float *x = lb_f32(g->o->a) + (g->row + i) * k;
    int8_t *integers = p->in_order ? g->space.a + i * p->ld : g->integers + job * k;
    float *scale = p->by_piece ? g->scales + job * p->blocks : g->space.scale + i;
    *scale = 0;
    g->d->k.int8.quantize(x, k, p->block, scale, integers);
    int8_lay_row(g->d, p, integers, &g->space, i);
    for (size_t j = 0; j < p->pieces && p->by_piece; j++)
        g->space.scale[int8_group_place(i, p->pieces, j)] = scale[p->from[j] / p->block];
}

static void quantize_rows(void *arg, size_t job)
{
    const struct gemm *g = arg;
    for (size_t i = g->rows * job / g->jobs; i < g->rows * (job + 1) / g->jobs; i++)
        quantize_row(g, job, i);
}

static void product(void *arg, size_t job)
{
    const struct gemm *g = arg;
    const struct lb_gemm_packed *o = g->o;
    const struct int8_matrix *w = g->plan.w;
    const size_t quad = w->panels >= 8 * g->jobs ? 4 : 1, quads = (w->panels + quad - 1) / quad;
    const size_t i0 = g->by_rows ? g->rows * job / g->jobs / INT8_GROUP * INT8_GROUP : 0;
    const size_t i1 = g->by_rows && job + 1 < g->jobs ? g->rows * (job + 1) / g->jobs / INT8_GROUP * INT8_GROUP : g->rows;
    const size_t p0 = g->by_rows ? 0 : quads * job / g->jobs * quad;
    const size_t p1 = g->by_rows ? w->panels : conv_min(quads * (job + 1) / g->jobs * quad, w->panels);
    const struct int8_plan *p = &g->plan;
    const size_t j0 = p0 * INT8_PANEL, n = conv_min(p1 * INT8_PANEL, o->n) - conv_min(j0, o->n);
    float *c = lb_f32(o->c) + (g->row + i0) * o->n + j0;
    if (i0 == i1 || n == 0)
        return;
    const struct int8_task t = {.w = w,
                                .piece = p->piece,
                                .pieces = p->pieces,
                                .x = {.a = g->space.a + i0 * p->ld,
                                      .ld = p->ld,
                                      .sums = g->space.sums + i0 * p->pieces, /* whole groups */
                                      .scale = g->space.scale + i0 * (p->by_piece ? p->pieces : 1),
                                      .by_piece = p->by_piece},
                                .rows = i1 - i0,
                                .first = p0,
                                .end = p1,
                                .out = c,
                                .ld = o->n,
                                .bias = lb_f32(o->bias)};
    g->d->k.int8.product(&t, g->work + job * g->work_each);
    for (size_t i = 0; i < i1 - i0 && o->act != LB_LINEAR; i++)
        g->d->k.rows.act(c + i * o->n, c + i * o->n, n, (int)o->act, o->alpha);
}

static size_t layout(struct gemm *g, size_t jobs, char *at)
{
    size_t used = 0;
    int8_plan_take(&g->plan, at, &used);
    int8_space_take(&g->plan, &g->space, g->rows, at, &used);
    g->integers = conv_take(at, &used, g->plan.in_order ? 0 : jobs, g->o->k);
    g->scales = conv_take(at, &used, jobs * g->plan.blocks, sizeof *g->scales);
    g->work = conv_take(at, &used, jobs, g->work_each);
    return used;
}

static size_t jobs_for(const struct cpu_device *d, double work, double each)
{
    return work < each ? 1 : (size_t)fmin(work / each + 1, d->host->threads);
}

static int run(struct gemm *g)
{
    const struct lb_gemm_packed *o = g->o;
    const size_t all = conv_min(BYTES_AT_ONCE / g->plan.ld + 1, o->m), threads = g->d->host->threads;
    const struct int8_task largest = {.w = g->plan.w, .rows = all, .end = g->plan.w->panels};
    g->rows = all;
    g->work_each = (g->d->k.int8.work(&largest) + 63) / 64 * 64;
    char *work = cpu_work(g->d, layout(g, threads, NULL));
    if (!work)
        return -1;
    layout(g, threads, work);
    for (g->row = 0; g->row < o->m; g->row += g->rows) {
        g->rows = conv_min(all, o->m - g->row);
        g->jobs = jobs_for(g->d, (double)g->rows * (double)o->k, NUMBERS_OF_A_THREAD);
        g->d->host->parallel(g->d->host, g->jobs, quantize_rows, g);
        g->jobs = jobs_for(g->d, (double)g->rows * (double)o->n * (double)o->k, MACS_OF_A_THREAD);
        g->by_rows = g->plan.w->panels < 2 * g->jobs && g->rows >= 8 * g->jobs;
        g->d->host->parallel(g->d->host, g->jobs, product, g);
    }
    return 0;
}

int cpu_gemm_int8(void *dev, const struct lb_gemm_packed *o)
{
    struct gemm g = {.d = dev, .o = o};
    const struct cpu_weights *w = o->w;
    if (!w->int8 || w->rows != o->n || w->cols != o->k) {
        g.d->host->log(g.d->host, LB_LOG_ERROR,
                       w->int8 ? "gemm_int8: weights of another shape" : "gemm_int8: weights that were not made for it");
        return -1;
    }
    if (o->m == 0 || o->n == 0)
        return 0;
    g.plan = int8_plan_of(&w->int8->m, o->block);
    return run(&g);
}
