/* SPDX-License-Identifier: MIT */
/* cpu_q_conv.c - convolutions of integers: runs of bytes of each sample, with a frame of zeros where one is needed, meet the panels of its plan. */
#include "plugins/cpu/cpu_q.h"

struct conv {
    struct cpu_device *d;
    const struct lb_q_conv2d *o;
    const struct cpu_q_weights *w;
    const struct q_plan *plan;
    uint32_t *lines_at;    /* of all parts, one after the other */
    int8_t *unpacked;      /* W of the weights, where they are not there and are used as they are */
    unsigned char *frames; /* (jobs, frame) */
    size_t frame;
    int32_t *sums; /* (jobs, most_sums) */
    size_t most_sums, jobs;
};

/* Some rows of outputs of one sample. */
struct band {
    const unsigned char *x; /* the sample, in its frame */
    size_t n, first, end;
    int32_t *sums;
};

/* ---- One part ---- */

/* The sums of the inputs of each position. */
static void sum_inputs(const struct conv *v, const struct q_part *p, struct q8_task t, int32_t *sums)
{
    static const int32_t nothing[Q8_PANEL];
    t.w = p->p->ones;
    t.start = nothing;
    t.zeros = NULL;
    t.end = t.panels = t.n = 1;
    t.out.bytes = 4;
    t.c = sums;
    t.ldc = 1;
    t.outer_ldc = t.rows;
    v->d->k.q8.product(&t);
}

static void run_task(const struct conv *v, const struct q_part *p, struct q8_task *t, const struct band *b)
{
    if (t->rows == 0 || t->outers == 0)
        return;
    if (t->zeros)
        sum_inputs(v, p, *t, b->sums);
    t->sums = b->sums;
    v->d->k.q8.product(t);
}

/* The rows of a band that a part makes. */
static void run_part(const struct conv *v, const struct q_part *p, const uint32_t *lines_at, const struct band *b)
{
    const struct lb_q_conv *s = &v->o->s;
    const struct q_plan *plan = v->plan;
    const size_t phases = s->transposed ? s->stride : 1, step = s->transposed ? 1 : s->stride, t = plan->together;
    const size_t before = (b->first + phases - 1 - p->phase_y) / phases, after = (b->end + phases - 1 - p->phase_y) / phases;
    const size_t columns = s->ow > p->phase_x ? (s->ow - p->phase_x + phases - 1) / phases : 0;
    const size_t at = ((b->n * s->oh + before * phases + p->phase_y) * s->ow + p->phase_x) * s->o + p->first;
    const size_t row = plan->width * s->c, bytes = v->o->out.type == LB_Q_S32 ? 4 : 1;
    struct q8_task k = {.a = b->x + before * step * row,
                        .ld = t * step * s->c,
                        .outer_ld = step * row,
                        .rows = columns / t,
                        .outers = after - before,
                        .flip = q_flip(v->o->x_type),
                        .at = lines_at,
                        .lines = p->p->lines,
                        .w = p->p->w ? p->p->w : v->unpacked,
                        .start = p->p->start,
                        .zeros = p->p->zeros,
                        .f = p->p->f,
                        .end = p->p->panels,
                        .panels = p->p->panels,
                        .n = p->p->outputs,
                        .out = q_out(&v->o->out, p->p->small),
                        .c = q_bytes(v->o->y) + at * bytes,
                        .ldc = t * phases * s->o,
                        .outer_ldc = phases * s->ow * s->o};
    run_task(v, p, &k, b);
    if (columns % t) { /* the last positions once more, with those that are left */
        k.a += (columns - t) * step * s->c;
        k.c = (unsigned char *)k.c + (columns - t) * s->o * bytes;
        k.rows = 1;
        run_task(v, p, &k, b);
    }
}

/* ---- Samples ---- */

/* The rows of the frame that outputs first .. end - 1 take, filled. */
static void fill_frame(const struct conv *v, const unsigned char *x, unsigned char *frame)
{
    const struct q_plan *plan = v->plan;
    const struct lb_q_conv *s = &plan->s;
    const size_t row = plan->width * s->c, left = plan->left * s->c, middle = s->w * s->c;
    const int zero = (unsigned char)v->o->x_zero;
    memset(frame, zero, plan->top * row);
    for (size_t y = 0; y < s->h; y++) {
        unsigned char *at = frame + (plan->top + y) * row;
        memset(at, zero, left);
        memcpy(at + left, x + y * middle, middle);
        memset(at + left + middle, zero, row - left - middle);
    }
    memset(frame + (plan->top + s->h) * row, zero, (plan->height - plan->top - s->h) * row + Q8_K);
}

static int framed(const struct conv *v, size_t n)
{
    const struct q_plan *p = v->plan;
    const struct lb_q_conv *s = &v->o->s;
    const int behind = p->ragged && !q_has(v->o->x, (n + 1) * s->h * s->w * s->c, Q8_K - 1);
    return behind || p->height != s->h || p->width != s->w;
}

static void run_band(const struct conv *v, const struct band *b)
{
    const uint32_t *lines_at = v->lines_at;
    for (size_t i = 0; i < v->plan->parts; lines_at += v->plan->part[i++].p->lines)
        run_part(v, &v->plan->part[i], lines_at, b);
}

static void run_job(void *arg, size_t job)
{
    const struct conv *v = arg;
    const struct lb_q_conv *s = &v->o->s;
    const size_t units = s->n * s->oh, end = units * (job + 1) / v->jobs;
    for (size_t u = units * job / v->jobs, next; u < end; u = next) {
        struct band b = {.n = u / s->oh, .first = u % s->oh, .sums = v->sums + (v->sums ? job * v->most_sums : 0)};
        next = conv_min((b.n + 1) * s->oh, end);
        b.end = b.first + next - u;
        b.x = q_bytes(v->o->x) + b.n * s->h * s->w * s->c;
        if (framed(v, b.n)) {
            fill_frame(v, b.x, v->frames + job * v->frame);
            b.x = v->frames + job * v->frame;
        }
        run_band(v, &b);
    }
}

/* ---- The op ---- */

static size_t lay_out(struct conv *v, char *at)
{
    const struct lb_q_conv *s = &v->o->s;
    size_t used = 0, lines = 0;
    int as_they_are = 0;
    for (size_t i = 0; i < v->plan->parts; i++) {
        lines += v->plan->part[i].p->lines;
        as_they_are |= v->plan->part[i].p == &v->w->all;
    }
    v->frame = v->plan->height * v->plan->width * s->c + Q8_LINE;
    v->most_sums = v->w->all.zeros ? s->oh * s->ow : 0;
    v->lines_at = conv_take(at, &used, lines, sizeof *v->lines_at);
    v->frames = conv_take(at, &used, v->jobs, v->frame);
    v->sums = conv_take(at, &used, v->jobs * v->most_sums, sizeof *v->sums);
    v->unpacked = conv_take(at, &used, as_they_are && !v->w->all.w ? v->w->all.panels * v->w->all.lines : 0, Q8_LINE);
    return used;
}

static void prepare(struct conv *v)
{
    const struct q_plan *plan = v->plan;
    const size_t c = plan->s.c;
    const struct q_panels *all = &v->w->all;
    uint32_t *at = v->lines_at;
    for (size_t i = 0; i < plan->parts; i++) {
        struct q_part *p = &plan->part[i];
        q_panels_start(p->p, v->o->x_zero + q_flip(v->o->x_type));
        for (size_t r = 0; r < p->runs; r++) {
            const struct q_taps *t = &p->taps[r];
            const size_t y = (size_t)(t->dy + (ptrdiff_t)plan->top), x = (size_t)(t->dx + (ptrdiff_t)plan->left);
            for (size_t e = 0; e < t->bytes; e += Q8_K)
                *at++ = (uint32_t)((y * plan->width + x) * c + t->channel + e);
        }
        for (size_t g = 0, first; p->p == all && !all->w && g < all->panels; g += q8_group(g, all->panels, &first))
            q_panels_unpack(v->d, all, g, v->w->cols, v->unpacked + g * all->lines * Q8_LINE);
    }
}

int cpu_q_conv2d(void *dev, const struct lb_q_conv2d *o)
{
    struct conv v = {.d = dev, .o = o, .w = o->w};
    const struct lb_q_conv *s = &o->s;
    const struct lb_host *h = v.d->host;
    if (s->groups == 0 || v.w->rows != s->o || v.w->cols != s->kh * s->kw * (s->c / s->groups)) {
        h->log(h, LB_LOG_ERROR, "q_conv2d: weights of another shape");
        return -1;
    }
    if (s->n * s->oh * s->ow * s->o == 0)
        return 0;
    v.plan = q_plan_of(v.d, o->w, s);
    if (!v.plan)
        return -1;
    if (s->c && v.plan->height * v.plan->width > UINT32_MAX / s->c) {
        h->log(h, LB_LOG_ERROR, "q_conv2d: an image of 4 GB or more");
        return -1;
    }
    const double macs = (double)(s->n * s->oh * s->ow) * (double)(s->o * v.w->cols);
    v.jobs = conv_min(q_jobs(v.d, macs, Q_MACS_OF_A_THREAD), s->n * s->oh);
    char *work = cpu_work(v.d, lay_out(&v, NULL));
    if (!work)
        return -1;
    lay_out(&v, work);
    prepare(&v);
    h->parallel(h, v.jobs, run_job, &v);
    return 0;
}
