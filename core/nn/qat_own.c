/* SPDX-License-Identifier: MIT */
/* qat_own.c - weights with scales that stay, or are learned: docs/arithmetic.md, 7.10 and 7.11. */
#include "core/base/mem.h"
#include "core/format/lanes.h"
#include "core/nn/qat_impl.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

enum { SEGMENT = 256, TOGETHER = 4 /* chains that run side by side */ };

/* Number of the elements of group g, and the first of them. */
static size_t group_at(const struct lb_groups *g, size_t group, size_t *n)
{
    if (!g->per_row) {
        *n = g->rows * g->cols;
        return 0;
    }
    const size_t in_row = group % g->per_row * g->block, left = g->cols - in_row;
    *n = left < g->block ? left : g->block;
    return group / g->per_row * g->cols + in_row;
}

static void fill_segments(const struct lb_groups *g, struct lb_qat_own *o)
{
    for (size_t i = 0; i < g->n; i++) {
        size_t n;
        const size_t at = group_at(g, i, &n);
        for (size_t k = 0; k < n; k += SEGMENT)
            o->segment[o->n_segments++] = (struct lb_qat_segment){at + k, n - k < SEGMENT ? n - k : SEGMENT, i};
    }
}

static int make_room(const struct lb_qat_item *it, const struct lb_groups *g, struct lb_qat_own *o, struct lb_err *err)
{
    const size_t elems = g->rows * g->cols, segments = g->n * (g->block / SEGMENT + 1) + elems / SEGMENT + 1;
    o->segment = lb_alloc(segments, sizeof *o->segment, err);
    o->sum = lb_alloc(segments, sizeof *o->sum, err);
    o->gain = lb_alloc(g->n, sizeof *o->gain, err);
    o->velocity = lb_alloc(g->n, sizeof *o->velocity, err);
    o->rest = lb_alloc(elems, sizeof *o->rest, err);
    if (!o->segment || !o->sum || !o->gain || !o->velocity || !o->rest)
        return -1;
    fill_segments(g, o);
    for (size_t i = 0; i < g->n; i++) {
        size_t n;
        group_at(g, i, &n);
        o->gain[i] = canon_div(1.0f, canon_sqrt((float)n * (float)it->f.high));
    }
    return 0;
}

int lb_qat_own_create(const struct lb_qat_item *it, int learned, const float *x, struct lb_qat_own **out, struct lb_err *err)
{
    const size_t shape[2] = {it->rows, it->cols};
    struct lb_groups g;
    struct lb_qat_own *o = *out = lb_alloc(1, sizeof *o, err);
    return !o || lb_groups_of(&it->f, 2, shape, &g, err) || lb_scales_make(&it->f, &g, x, &o->found, err) ||
                   (learned && make_room(it, &g, o, err))
               ? -1
               : 0;
}

void lb_qat_own_destroy(struct lb_qat_own *o)
{
    if (!o)
        return;
    lb_scales_finish(&o->found);
    lb_free(o->segment);
    lb_free(o->sum);
    lb_free(o->gain);
    lb_free(o->velocity);
    lb_free(o->rest);
    lb_free(o);
}

/* ---- Forward ---- */

struct job {
    const struct lb_qat_item *it;
    const struct lb_encode *how;
    const float *x, *g; /* g: the gradient */
    float *v, *inside;
    size_t jobs;
};

/* n <= SEGMENT numbers t into the codec and back. */
static void round_some(const struct job *j, const float *t, size_t at, size_t n, float *q)
{
    const struct lb_coder *c = j->it->f.coder;
    unsigned char codes[SEGMENT * sizeof(uint16_t)];
    struct lb_encode how = *j->how;
    how.first += at;
    if (lb_round_f32(c, &how, t, n, q))
        return;
    lb_encode_f32(c, &how, t, n, codes);
    lb_decode_f32(c, codes, n, q);
}

static void forward_segment(const struct job *j, const struct lb_qat_segment *p)
{
    const struct lb_qat_own *o = j->it->own;
    const struct lb_format *f = &j->it->f;
    const int symmetric = lb_scale_is_symmetric(f);
    const float s = o->found.s[p->group], high = (float)f->high, low = symmetric ? -high : (float)f->low;
    float t[SEGMENT], held[SEGMENT], q[SEGMENT];
    lb_lanes_divide(j->x + p->at, p->n, p->n, &s, -INFINITY, t);
    for (size_t i = 0; i < p->n; i++)
        held[i] = symmetric && t[i] < low ? low : t[i];
    round_some(j, held, p->at, p->n, q);
    for (size_t i = 0; i < p->n; i++) {
        const int inside = t[i] >= low && t[i] <= high;
        j->v[p->at + i] = canon_nan(q[i] * s);
        o->rest[p->at + i] = inside ? q[i] - t[i] : q[i];
        if (j->inside)
            j->inside[p->at + i] = inside && s > 0 ? 1.0f : 0.0f;
    }
}

static void forward_job(void *arg, size_t job)
{
    const struct job *j = arg;
    const struct lb_qat_own *o = j->it->own;
    for (size_t i = o->n_segments * job / j->jobs; i < o->n_segments * (job + 1) / j->jobs; i++)
        forward_segment(j, &o->segment[i]);
}

void lb_qat_own_forward(const struct lb_qat_item *it, const struct lb_host *h, const float *x, const struct lb_encode *how, float *v,
                        float *inside)
{
    struct job j = {.it = it, .how = how, .x = x, .v = v, .inside = inside, .jobs = h->threads};
    h->parallel(h, j.jobs, forward_job, &j);
}

/* ---- The step of the scales ---- */

static void sum_one(const struct job *j, size_t i)
{
    const struct lb_qat_own *o = j->it->own;
    const struct lb_qat_segment *p = &o->segment[i];
    const float *g = j->g + p->at, *rest = o->rest + p->at;
    float acc = 0;
    for (size_t k = 0; k < p->n; k++)
        acc += g[k] * rest[k];
    o->sum[i] = acc;
}

/* Segments i .. i + TOGETHER - 1, all of the same length: an addition need not wait for that of its neighbour. */
static void sum_some(const struct job *j, size_t i)
{
    const struct lb_qat_own *o = j->it->own;
    const struct lb_qat_segment *p = &o->segment[i];
    float acc[TOGETHER] = {0};
    for (size_t k = 0; k < p->n; k++)
        for (size_t c = 0; c < TOGETHER; c++)
            acc[c] += j->g[p[c].at + k] * o->rest[p[c].at + k];
    for (size_t c = 0; c < TOGETHER; c++)
        o->sum[i + c] = acc[c];
}

static void sum_job(void *arg, size_t job)
{
    const struct job *j = arg;
    const struct lb_qat_segment *p = j->it->own->segment;
    const size_t all = j->it->own->n_segments, end = all * (job + 1) / j->jobs;
    for (size_t i = all * job / j->jobs, many; i < end; i += many) {
        many = end - i < TOGETHER ? 1 : TOGETHER;
        for (size_t c = 1; c < many; c++)
            many = p[i + c].n == p[i].n ? many : 1;
        if (many == 1)
            sum_one(j, i);
        else
            sum_some(j, i);
    }
}

void lb_qat_own_step(const struct lb_qat_item *it, const struct lb_host *h, const struct lb_step_args *a, const float *g)
{
    struct lb_qat_own *o = it->own;
    struct job j = {.it = it, .g = g, .jobs = h->threads};
    h->parallel(h, j.jobs, sum_job, &j);
    for (size_t i = 0, group = 0; group < o->found.g.n; group++) {
        float total = 0;
        for (; i < o->n_segments && o->segment[i].group == group; i++)
            total += o->sum[i];
        float *s = &o->found.s[group], *v = &o->velocity[group];
        *v = canon_nan(canon_fma(a->momentum, *v, canon_fma(a->decay, *s, total * o->gain[group])));
        const float next = canon_fma(-a->lr, *v, *s);
        if (next > 0 && next <= FLT_MAX)
            *s = next;
        else
            *v = 0;
    }
}
