/* SPDX-License-Identifier: MIT */
/* cpu_q_product.c - rows of bytes times panels of weights, on all threads. Rows are taken so many at a time as stay in the second-level cache while all panels
 * pass by. */
#include "plugins/cpu/cpu_q.h"

enum { ROWS_BYTES = 128 << 10, ROWS_OF_TILES = 48 /* a multiple of the rows of tiles of four panels */ };

size_t q_product_unpacked(const struct q_panels *p)
{
    return p->w ? 0 : Q8_WIDE * p->lines * Q8_LINE;
}

size_t q_product_copies(size_t k)
{
    return (Q8_K - 1) * (k + Q8_K);
}

void q_product_copy(struct q_product *g, struct lb_ref a, size_t bytes, unsigned char *copied)
{
    const size_t m = g->t.rows, ld = g->t.ld;
    g->copied = copied;
    g->copied_ld = g->t.lines * Q8_K;
    for (size_t i = m; g->cols % Q8_K && i-- > 0 && !q_has(a, bytes + i * ld, g->copied_ld);)
        g->copies++;
    for (size_t i = 0; i < g->copies; i++)
        memcpy(copied + i * g->copied_ld, g->t.a + (m - g->copies + i) * ld, g->cols);
}

/* Rows i0 .. i1 - 1, of those at `a`, `ld` apart, with what else t says. */
static void rows_at(const struct q_product *g, const struct q8_task *all, const unsigned char *a, size_t ld, size_t i0, size_t i1)
{
    struct q8_task t = *all;
    t.a = a;
    t.ld = ld;
    t.rows = i1 - i0;
    t.c = (char *)t.c + i0 * t.ldc * t.out.bytes;
    t.sums = g->sums ? g->sums + i0 : NULL;
    g->d->k.q8.product(&t);
}

static void rows(const struct q_product *g, const struct q8_task *t, size_t i0, size_t i1)
{
    const size_t as_they_are = g->t.rows - g->copies, end = conv_min(i1, as_they_are), from = i0 > as_they_are ? i0 : as_they_are;
    if (i0 < end)
        rows_at(g, t, t->a + i0 * t->ld, t->ld, i0, end);
    if (from < i1)
        rows_at(g, t, g->copied + (from - as_they_are) * g->copied_ld, g->copied_ld, from, i1);
}

/* The sums of the rows of a job. */
static void sum_rows(void *arg, size_t job)
{
    const struct q_product *g = arg;
    static const int32_t nothing[Q8_PANEL];
    struct q8_task t = g->t;
    t.w = g->ones;
    t.start = nothing;
    t.zeros = NULL;
    t.first = 0;
    t.end = t.panels = t.n = 1;
    t.out.bytes = 4;
    t.c = g->sums;
    t.ldc = 1;
    const size_t i0 = g->t.rows * job / g->jobs, i1 = g->t.rows * (job + 1) / g->jobs;
    if (i0 < i1)
        rows(g, &t, i0, i1);
}

/* Rows and panels of a job; the latter begin and end with a group. */
struct share {
    size_t i0, i1, p0, p1;
};

static size_t group_start(size_t p, size_t panels)
{
    size_t first = p;
    if (p < panels)
        q8_group(p, panels, &first);
    return first;
}

static struct share share_of(const struct q_product *g, size_t job)
{
    const size_t m = g->t.rows, panels = g->t.panels, jobs = g->jobs;
    if (g->by_rows)
        return (struct share){m * job / jobs, m * (job + 1) / jobs, 0, panels};
    return (struct share){0, m, group_start(panels * job / jobs, panels), group_start(panels * (job + 1) / jobs, panels)};
}

/* Panels p0 .. p1 - 1 of rows i0 .. i1 - 1, whose W are there, or are made group by group. */
static void some_panels(const struct q_product *g, size_t job, size_t i0, size_t i1, size_t p0, size_t p1)
{
    struct q8_task t = g->t;
    for (size_t p = p0, end; p < p1; p = end) {
        size_t first;
        end = g->codes ? p + q8_group(p, t.panels, &first) : p1;
        t.first = p;
        t.end = end;
        t.n = conv_min(g->t.n, end * Q8_PANEL) - p * Q8_PANEL;
        if (g->codes) {
            int8_t *w = g->unpacked + job * q_product_unpacked(g->codes);
            q_panels_unpack(g->d, g->codes, p, g->cols, w);
            t.w = w;
        } else
            t.w = g->t.w + p * t.lines * Q8_LINE;
        t.start = g->t.start + p * Q8_PANEL;
        t.zeros = g->t.zeros ? g->t.zeros + p * Q8_PANEL : NULL;
        t.f = g->t.f ? g->t.f + p * Q8_PANEL : NULL;
        t.c = (char *)g->t.c + p * Q8_PANEL * t.out.bytes;
        rows(g, &t, i0, i1);
    }
}

static void product(void *arg, size_t job)
{
    const struct q_product *g = arg;
    const struct share s = share_of(g, job);
    const size_t fit = ROWS_BYTES / (g->t.lines * Q8_K + 1) / ROWS_OF_TILES * ROWS_OF_TILES, rows_at_once = fit ? fit : ROWS_OF_TILES;
    for (size_t i = s.i0; i < s.i1; i += rows_at_once)
        some_panels(g, job, i, conv_min(i + rows_at_once, s.i1), s.p0, s.p1);
}

void q_product_run(struct q_product *g, size_t threads)
{
    const struct lb_host *h = g->d->host;
    const double macs = (double)g->t.rows * (double)(g->t.lines * Q8_K) * (double)(g->t.panels * Q8_PANEL);
    g->jobs = conv_min(q_jobs(g->d, macs, Q_MACS_OF_A_THREAD), threads);
    g->by_rows = g->t.panels < 8 * Q8_WIDE && g->t.rows >= 8 * g->jobs;
    if (g->jobs == 1) { /* which may be one of many */
        if (g->t.zeros)
            sum_rows(g, 0);
        product(g, 0);
        return;
    }
    if (g->t.zeros)
        h->parallel(h, g->jobs, sum_rows, g);
    h->parallel(h, g->jobs, product, g);
}
