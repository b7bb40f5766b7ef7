/* SPDX-License-Identifier: MIT */
/* qat_own.c - numbers with scales that stay, or are learned, on the host: docs/arithmetic.md, 7.9 to 7.11. */
#include "core/base/mem.h"
#include "core/format/lanes.h"
#include "core/nn/qat_impl.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>
#include <string.h>

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

static int list_segments(struct lb_qat_own *o, struct lb_err *err)
{
    const struct lb_groups *g = &o->found.g;
    o->segment = lb_alloc(g->n * (g->block / SEGMENT + 1), sizeof *o->segment, err);
    if (!o->segment)
        return -1;
    for (size_t i = 0; i < g->n; i++) {
        size_t n;
        const size_t at = group_at(g, i, &n);
        for (size_t k = 0; k < n; k += SEGMENT)
            o->segment[o->n_segments++] = (struct lb_qat_segment){at + k, n - k < SEGMENT ? n - k : SEGMENT, i};
    }
    return 0;
}

static int prepare_learning(const struct lb_qat_item *it, struct lb_qat_own *o, struct lb_err *err)
{
    const struct lb_groups *g = &o->found.g;
    o->sum = lb_alloc(o->segment ? o->n_segments : g->rows * g->cols / SEGMENT + 1, sizeof *o->sum, err);
    o->gain = lb_alloc(g->n, sizeof *o->gain, err);
    o->velocity = lb_alloc(g->n, sizeof *o->velocity, err);
    if (!o->sum || !o->gain || !o->velocity)
        return -1;
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
                   (g.per_row && list_segments(o, err)) || (learned && prepare_learning(it, o, err))
               ? -1
               : 0;
}

int lb_qat_own_create_one(float s, float z, struct lb_qat_own **out, struct lb_err *err)
{
    struct lb_qat_own *o = *out = lb_alloc(1, sizeof *o, err);
    if (!o)
        return -1;
    o->found.g = (struct lb_groups){.n = 1};
    o->found.s = lb_alloc(1, sizeof *o->found.s, err);
    o->found.zeros = lb_alloc(1, sizeof *o->found.zeros, err);
    if (!o->found.s || !o->found.zeros)
        return -1;
    *o->found.s = s;
    *o->found.zeros = z;
    return 0;
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
    lb_free(o);
}

/* ---- Some elements ---- */

struct job {
    const struct lb_qat_item *it;
    const struct lb_encode *how;
    const float *x;
    float *v, *g; /* what comes of it */
    size_t elems, n_segments, jobs;
    float low, high;
    int symmetric, has_zero;
};

static struct job job_of(const struct lb_qat_item *it, const struct lb_host *h, const float *x, size_t elems, const struct lb_encode *how)
{
    const int symmetric = lb_scale_is_symmetric(&it->f);
    const float high = (float)it->f.high;
    return (struct job){.it = it,
                        .how = how,
                        .x = x,
                        .elems = elems,
                        .n_segments = it->own->segment ? it->own->n_segments : (elems + SEGMENT - 1) / SEGMENT,
                        .jobs = h->threads,
                        .low = symmetric ? -high : (float)it->f.low,
                        .high = high,
                        .symmetric = symmetric,
                        .has_zero = lb_scale_has_zero(&it->config)};
}

static struct lb_qat_segment segment_of(const struct job *j, size_t i)
{
    const size_t at = i * SEGMENT;
    return j->it->own->segment ? j->it->own->segment[i] : (struct lb_qat_segment){at, j->elems - at < SEGMENT ? j->elems - at : SEGMENT, 0};
}

/* What goes into the codec, t, and what comes out of it, q. */
static void into_and_out(const struct job *j, const struct lb_qat_segment *p, float *t, float *q)
{
    const struct lb_qat_own *o = j->it->own;
    const struct lb_coder *c = j->it->f.coder;
    float held[SEGMENT];
    unsigned char codes[SEGMENT * sizeof(double)];
    struct lb_encode how = *j->how;
    how.first += p->at;
    lb_lanes_divide(j->x + p->at, p->n, p->n, &o->found.s[p->group], -INFINITY, t);
    if (j->has_zero)
        for (size_t i = 0; i < p->n; i++)
            t[i] = o->found.zeros[p->group] + t[i];
    for (size_t i = 0; i < p->n; i++)
        held[i] = j->symmetric && t[i] < j->low ? j->low : t[i];
    if (lb_round_f32(c, &how, held, p->n, q))
        return;
    lb_encode_f32(c, &how, held, p->n, codes);
    lb_decode_f32(c, codes, p->n, q);
}

/* ---- Forward ---- */

static void forward_job(void *arg, size_t job)
{
    const struct job *j = arg;
    const struct lb_scales *found = &j->it->own->found;
    for (size_t i = j->n_segments * job / j->jobs; i < j->n_segments * (job + 1) / j->jobs; i++) {
        const struct lb_qat_segment p = segment_of(j, i);
        const float s = found->s[p.group], z = j->has_zero ? found->zeros[p.group] : 0.0f;
        float t[SEGMENT], q[SEGMENT], *v = j->v + p.at;
        into_and_out(j, &p, t, q);
        for (size_t k = 0; k < p.n; k++)
            v[k] = canon_nan((j->has_zero ? q[k] - z : q[k]) * s);
    }
}

void lb_qat_own_forward(const struct lb_qat_item *it, const struct lb_host *h, const float *x, size_t n, const struct lb_encode *how,
                        float *v)
{
    struct job j = job_of(it, h, x, n, how);
    j.v = v;
    h->parallel(h, j.jobs, forward_job, &j);
}

/* ---- Backward ---- */

/* What a change of the scale changes, times the gradient, and +0 behind the last; the gradient itself goes on inside alone. Masks, since no branch could be
 * foreseen. */
static void backward_segment(const struct job *j, const struct lb_qat_segment *p, float *product)
{
    const uint32_t alive = j->it->own->found.s[p->group] > 0 ? ~0u : 0, kept = j->it->clips ? 0 : ~0u;
    const float low = j->low, high = j->high;
    float t[SEGMENT], q[SEGMENT], *g = j->g + p->at;
    into_and_out(j, p, t, q);
    for (size_t k = 0; k < p->n; k++) {
        const uint32_t inside = (0u - (uint32_t)((t[k] >= low) & (t[k] <= high))) & alive;
        product[k] = g[k] * canon_float((canon_bits(q[k] - t[k]) & inside) | (canon_bits(q[k]) & ~inside));
        g[k] = canon_float(canon_bits(g[k]) & (inside | kept));
    }
    memset(product + p->n, 0, (SEGMENT - p->n) * sizeof *product);
}

/* Segments i .. i + n - 1: no addition waits for that of another segment, and +0 more changes no sum that began with +0. */
static void backward_some(const struct job *j, size_t i, size_t n)
{
    float product[TOGETHER][SEGMENT], acc[TOGETHER] = {0};
    for (size_t c = 0; c < n; c++) {
        const struct lb_qat_segment p = segment_of(j, i + c);
        backward_segment(j, &p, product[c]);
    }
    if (!j->it->own->sum)
        return;
    for (size_t c = n; c < TOGETHER; c++)
        memset(product[c], 0, sizeof product[c]);
    for (size_t k = 0; k < SEGMENT; k++)
        for (size_t c = 0; c < TOGETHER; c++)
            acc[c] += product[c][k];
    memcpy(j->it->own->sum + i, acc, n * sizeof *acc);
}

static void backward_job(void *arg, size_t job)
{
    const struct job *j = arg;
    const size_t end = j->n_segments * (job + 1) / j->jobs;
    for (size_t i = j->n_segments * job / j->jobs; i < end; i += TOGETHER)
        backward_some(j, i, end - i < TOGETHER ? end - i : TOGETHER);
}

void lb_qat_own_backward(const struct lb_qat_item *it, const struct lb_host *h, const float *x, size_t n, const struct lb_encode *how,
                         float *g)
{
    struct job j = job_of(it, h, x, n, how);
    j.g = g;
    h->parallel(h, j.jobs, backward_job, &j);
}

void lb_qat_own_learn(const struct lb_qat_item *it, const struct lb_step_args *a)
{
    struct lb_qat_own *o = it->own;
    const size_t all = o->segment ? o->n_segments : (it->rows * it->cols + SEGMENT - 1) / SEGMENT;
    for (size_t i = 0, group = 0; group < o->found.g.n; group++) {
        float total = 0;
        for (; i < all && (!o->segment || o->segment[i].group == group); i++)
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
