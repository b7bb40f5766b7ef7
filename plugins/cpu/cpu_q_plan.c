/* SPDX-License-Identifier: MIT */
/* cpu_q_plan.c - any convolution of integers as some ordinary ones without padding, each a product of runs of bytes of the input with panels:
 *
 *   - with one group and no dilation the kw c bytes of a kernel row are one run, otherwise each tap is one;
 *   - few outputs are made as many by taking neighbouring positions together: their weights are the same, moved by stride c bytes, with zeros around, and
 *     their results lie side by side;
 *   - few channels of a group are made as many by taking groups together, with zeros in between;
 *   - a transposed convolution is one of stride 1 for each remainder of the output position by the stride, with the taps that meet inputs there. */
#include "plugins/cpu/cpu_q.h"

enum { MOST_TOGETHER = 8, COST_OF_BYTES = 7 /* of 16 sums that become bytes, in lines */ };

/* How a convolution is cut. */
struct cut {
    struct lb_q_conv s;
    size_t together, merged;  /* positions; groups */
    size_t channels, outputs; /* of merged groups */
    int rows;                 /* a run is a kernel row */
};

static size_t lines_of(size_t bytes)
{
    return (bytes + Q8_K - 1) / Q8_K;
}

static size_t panels_of(size_t outputs)
{
    return (outputs + Q8_PANEL - 1) / Q8_PANEL;
}

/* What a position costs where so many are taken together. */
static double cost_together(const struct lb_q_conv *s, size_t t)
{
    const size_t lines = s->kh * lines_of((s->kw + (t - 1) * s->stride) * s->c);
    return (double)(panels_of(t * s->o) * (lines + COST_OF_BYTES)) / (double)t;
}

/* What a group costs where so many are taken together. */
static double cost_merged(const struct lb_q_conv *s, size_t merged)
{
    const size_t bytes = merged * (s->c / s->groups), panels = panels_of(merged * (s->o / s->groups));
    const size_t lines =
        merged == s->groups && s->dilation == 1 && !s->transposed ? s->kh * lines_of(s->kw * bytes) : s->kh * s->kw * lines_of(bytes);
    return (double)(panels * (lines + COST_OF_BYTES)) / (double)merged;
}

static struct cut cut_of(const struct lb_q_conv *s, int zeros)
{
    struct cut c = {.s = *s, .together = 1, .merged = 1};
    for (size_t i = 2; i <= s->groups && !zeros; i++)
        if (s->groups % i == 0 && cost_merged(s, i) < cost_merged(s, c.merged))
            c.merged = i;
    c.channels = c.merged * (s->c / s->groups);
    c.outputs = c.merged * (s->o / s->groups);
    c.rows = c.merged == s->groups && s->dilation == 1 && !s->transposed;
    for (size_t t = 2; t <= MOST_TOGETHER && t <= s->ow && c.rows && s->groups == 1 && !zeros; t++)
        if (cost_together(s, t) < cost_together(s, c.together))
            c.together = t;
    return c;
}

/* ---- Taps ---- */

/* Where tap k meets the input, beside position 0 of those that begin with `phase`; 0 where it meets none. */
static int meets(const struct lb_q_conv *s, size_t k, size_t phase, ptrdiff_t *d)
{
    const ptrdiff_t reach = (ptrdiff_t)(s->dilation * k), pad = (ptrdiff_t)s->pad, stride = (ptrdiff_t)s->stride;
    *d = s->transposed ? (ptrdiff_t)phase + pad - reach : reach - pad;
    if (!s->transposed)
        return 1;
    const int whole = *d % stride == 0;
    *d /= stride;
    return whole;
}

/* The runs of a part whose channels begin at `channel`; taps == NULL: only counts them. */
static size_t make_taps(const struct cut *c, const struct q_part *p, size_t channel, struct q_taps *taps)
{
    const struct lb_q_conv *s = &c->s;
    const size_t bytes = c->rows ? (s->kw + (c->together - 1) * s->stride) * s->c : c->channels;
    size_t n = 0;
    for (size_t ky = 0; ky < s->kh; ky++)
        for (size_t kx = 0; kx < (c->rows ? 1 : s->kw); kx++) {
            struct q_taps t = {.channel = channel, .bytes = bytes, .ky = ky, .kx = kx};
            if (!meets(s, ky, p->phase_y, &t.dy) || !meets(s, kx, p->phase_x, &t.dx))
                continue;
            if (taps)
                taps[n] = t;
            n++;
        }
    return n;
}

/* ---- Weights ---- */

/* The column of the weights that byte `e` of a run has for lane `lane` of its part; SIZE_MAX: 0. */
static size_t column_of(const struct cut *c, const struct q_taps *t, size_t e, size_t lane)
{
    const struct lb_q_conv *s = &c->s;
    const size_t channel = e % c->channels, of_group = s->c / s->groups, output = lane % c->outputs;
    const size_t kx = t->kx + e / c->channels - lane / c->outputs * s->stride; /* wraps to huge */
    if (kx >= s->kw || channel / of_group != output / (s->o / s->groups))
        return SIZE_MAX;
    return (t->ky * s->kw + kx) * of_group + channel % of_group;
}

static void fill_lane(const struct cut *c, const struct q_part *p, const struct cpu_q_weights *w, size_t lane)
{
    const size_t output = p->first + lane % c->outputs;
    struct q_panels *own = p->p;
    uint32_t sum = 0;
    size_t line = 0;
    for (size_t r = 0; r < p->runs; line += lines_of(p->taps[r++].bytes))
        for (size_t e = 0; e < p->taps[r].bytes; e++) {
            const size_t col = column_of(c, &p->taps[r], e, lane);
            if (col == SIZE_MAX)
                continue;
            const int8_t v = q_weight(w, output, col);
            own->w[q_panels_place(own, lane, line * Q8_K + e)] = v;
            sum += (uint32_t)(v - (own->zeros ? w->all.zeros[output] : 0));
        }
    own->sums[lane] = (int32_t)sum;
    own->bias[lane] = w->all.bias[output];
    own->f[lane] = w->all.f[output];
    if (own->zeros)
        own->zeros[lane] = w->all.zeros[output];
}

static void fill_ones(const struct q_part *p)
{
    int8_t *line = p->p->ones;
    for (size_t r = 0; r < p->runs; line += lines_of(p->taps[r++].bytes) * Q8_LINE)
        for (size_t e = 0; e < p->taps[r].bytes; e++)
            for (size_t i = 0; i < Q8_PANEL; i++)
                line[e / Q8_K * Q8_LINE + i * Q8_K + e % Q8_K] = 1;
}

static int make_part(const struct lb_host *h, const struct cut *c, struct q_part *p, size_t block, struct cpu_q_weights *w)
{
    const size_t runs = make_taps(c, p, block * c->channels, NULL);
    size_t lines = 0;
    int whole = runs == c->s.kh * (c->rows ? 1 : c->s.kw);
    p->taps = h->alloc(h, (runs + 1) * sizeof *p->taps);
    if (!p->taps)
        return -1;
    p->runs = make_taps(c, p, block * c->channels, p->taps);
    p->first = block * c->outputs;
    for (size_t r = 0; r < runs; r++) {
        lines += lines_of(p->taps[r].bytes);
        whole = whole && p->taps[r].bytes % Q8_K == 0;
    }
    if (whole && c->together == 1 && c->s.groups == 1) {
        p->p = &w->all;
        return 0;
    }
    p->p = &p->own;
    if (q_panels_create(h, &p->own, c->together * c->outputs, lines, 0, w->all.zeros != NULL))
        return -1;
    p->own.small = w->all.small;
    for (size_t i = 0; i < p->own.outputs; i++)
        fill_lane(c, p, w, i);
    if (p->own.zeros)
        fill_ones(p);
    return 0;
}

/* ---- The plan ---- */

/* Positions along one side that begin with `phase`. */
static size_t positions(size_t out, size_t phase, size_t step)
{
    return out > phase ? (out - phase + step - 1) / step : 0;
}

/* How far the runs of a part reach beyond a side of the input: `last`: where the last of them begins, beside its d; `extent`: its length. */
static void reach(ptrdiff_t d, size_t last, size_t extent, size_t side, size_t *before, size_t *after)
{
    const ptrdiff_t end = d + (ptrdiff_t)(last + extent) - (ptrdiff_t)side;
    *before = d < 0 && (size_t)-d > *before ? (size_t)-d : *before;
    *after = end > 0 && (size_t)end > *after ? (size_t)end : *after;
}

/* The frame that all parts need. */
static void frame(struct q_plan *plan, const struct cut *c)
{
    const struct lb_q_conv *s = &plan->s;
    const size_t phases = s->transposed ? s->stride : 1, step = s->transposed ? 1 : s->stride;
    size_t bottom = 0, right = 0;
    for (size_t i = 0; i < plan->parts; i++) {
        const struct q_part *p = &plan->part[i];
        const size_t ys = positions(s->oh, p->phase_y, phases), xs = positions(s->ow, p->phase_x, phases);
        for (size_t r = 0; r < p->runs && ys && xs; r++) {
            const size_t extent = c->rows ? p->taps[r].bytes / s->c : 1;
            reach(p->taps[r].dy, (ys - 1) * step, 1, s->h, &plan->top, &bottom);
            reach(p->taps[r].dx, (xs - plan->together) * step, extent, s->w, &plan->left, &right);
            plan->ragged |= p->taps[r].bytes % Q8_K != 0;
        }
    }
    plan->height = plan->top + s->h + bottom;
    plan->width = plan->left + s->w + right;
}

void q_plan_free(const struct lb_host *h, struct q_plan *plan)
{
    for (size_t i = 0; plan && i < plan->parts; i++) {
        h->free(h, plan->part[i].own.memory);
        h->free(h, plan->part[i].taps);
    }
    h->free(h, plan);
}

static int same(const struct lb_q_conv *a, const struct lb_q_conv *b)
{
    struct lb_q_conv x = *a, y = *b;
    x.n = y.n = 0;
    return x.h == y.h && x.w == y.w && x.c == y.c && x.o == y.o && x.kh == y.kh && x.kw == y.kw && x.stride == y.stride && x.pad == y.pad &&
           x.dilation == y.dilation && x.groups == y.groups && x.oh == y.oh && x.ow == y.ow && x.transposed == y.transposed;
}

struct q_plan *q_plan_of(const struct cpu_device *d, struct cpu_q_weights *w, const struct lb_q_conv *s)
{
    const struct lb_host *h = d->host;
    if (w->plan && same(&w->plan->s, s))
        return w->plan;
    q_plan_free(h, w->plan);
    const struct cut c = cut_of(s, w->all.zeros != NULL);
    const size_t phases = s->transposed ? s->stride : 1, blocks = s->groups / c.merged, parts = blocks * phases * phases;
    w->plan = h->alloc(h, sizeof *w->plan + parts * sizeof *w->plan->part);
    if (!w->plan) {
        h->log(h, LB_LOG_ERROR, "out of memory: the plan of a convolution");
        return NULL;
    }
    *w->plan = (struct q_plan){.s = *s, .together = c.together, .part = (struct q_part *)(void *)(w->plan + 1)};
    for (size_t i = 0; i < parts; i++) {
        struct q_part *p = &w->plan->part[w->plan->parts++];
        *p = (struct q_part){.phase_y = i / phases % phases, .phase_x = i % phases};
        if (make_part(h, &c, p, i / phases / phases, w)) {
            h->log(h, LB_LOG_ERROR, "out of memory: the plan of a convolution");
            q_plan_free(h, w->plan);
            w->plan = NULL;
            return NULL;
        }
    }
    frame(w->plan, &c);
    return w->plan;
}
