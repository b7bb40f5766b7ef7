/* SPDX-License-Identifier: MIT */
/* cpu_conv_dw.c - conv2d_dw. Lanes are filters: a segment of dy is transposed to (k, lanes), and the elements of x that it meets are read
 * one by one from the image, or from a copy with its border of zeros where there is a pad. Where the outputs are few, threads take
 * segments, whose sums are kept and added in ascending order at the end; where they are many, threads take outputs. */
#include "plugins/cpu/cpu_conv.h"
#include "kernels/canon.h"

/* More sums of segments than that are not kept. */
enum { KEPT_FLOATS = 1 << 20 };

struct weights {
    struct cpu_device *d;
    const struct lb_conv2d_grad *o;
    size_t k, segments, taps, blocks; /* blocks of filters, a vector each */
    size_t jobs, parts;               /* parts: of the rows of the window, where threads take outputs */
    int keep;                         /* threads take segments */
    size_t *row, *step;   /* (c kh): a row of the window from its position's begin; (oh ow): a position from the image's begin */
    float *sums;          /* (segments or 1, taps, filters rounded up to blocks) */
    size_t slots, padded; /* copies of padded images that a job has, floats of one */
    char *job_work;
    size_t job_size;
};

/* What a job has for itself. */
struct scratch {
    float *dy;  /* (CONV_SEGMENT, CONV_LANES) */
    size_t *at; /* (CONV_SEGMENT) */
    float *images;
    size_t next; /* the first sample that is not in `images` yet */
};

/* Filters from `first` on, rows from row0 to row1 of the window. */
struct part {
    const struct conv_dw_kernel *kernel;
    size_t first, filters, row0, row1;
    float *sums; /* of the block: (taps, lanes) */
};

static const struct conv_dw_kernel *kernel_for(const struct weights *g, size_t left)
{
    const struct conv_kernels *k = &g->d->k.conv;
    return left > k->dw_narrow.lanes ? &k->dw_wide : &k->dw_narrow;
}

/* ---- One segment ---- */

static size_t padded_width(const struct lb_conv *s)
{
    return s->w + 2 * s->pad;
}

static void copy_image(const struct weights *g, struct scratch *t, const struct part *p)
{
    const struct lb_conv *s = &g->o->s;
    const size_t height = s->h + 2 * s->pad, c0 = p->row0 / s->kh, c1 = (p->row1 + s->kh - 1) / s->kh;
    g->d->k.conv.lower(&(struct conv_lowered){
        .dst = t->images + t->next % g->slots * g->padded + c0 * height * padded_width(s),
        .src = lb_f32(g->o->x) + (t->next * s->c + c0) * s->h * s->w,
        .planes = c1 - c0,
        .rows = height,
        .n = padded_width(s),
        .w = s->w,
        .stride = 1,
        .first = -(ptrdiff_t)s->pad,
        .step = s->h * s->w,
        .pitch = s->w,
        .lo = s->pad,
        .hi = s->pad + s->h,
    });
    t->next++;
}

/* Where the elements of x for a segment's k are: x + at[k]. */
struct found {
    const float *x;
    const size_t *at;
};

/* Fills dy. The k may belong to several samples; where they do not, the table for one sample serves. */
static struct found gather(const struct weights *g, struct scratch *t, const struct part *p, size_t k0, size_t n)
{
    const struct lb_conv *s = &g->o->s;
    const size_t plane = s->oh * s->ow;
    struct found f = {s->pad ? t->images : lb_f32(g->o->x), t->at};
    for (size_t k = 0; k < n;) {
        const size_t sample = (k0 + k) / plane, from = (k0 + k) % plane, run = conv_min(n - k, plane - from);
        for (t->next = t->next > sample ? t->next : sample; s->pad && t->next <= sample;)
            copy_image(g, t, p);
        const size_t image = s->pad ? sample % g->slots * g->padded : sample * s->c * s->h * s->w;
        if (run == n)
            f = (struct found){f.x + image, g->step + from};
        else
            for (size_t i = 0; i < run; i++)
                t->at[k + i] = image + g->step[from + i];
        p->kernel->transpose(t->dy + k * p->kernel->lanes, lb_f32(g->o->dy) + (sample * s->o + p->first) * plane + from, plane, p->filters,
                             run);
        k += run;
    }
    return f;
}

static void segments(const struct weights *g, struct scratch *t, const struct part *p, size_t s0, size_t s1)
{
    const size_t kw = g->o->s.kw;
    t->next = 0;
    for (size_t s = s0; s < s1; s++) {
        const size_t k0 = s * CONV_SEGMENT, n = conv_min(g->k - k0, CONV_SEGMENT);
        const struct found f = gather(g, t, p, k0, n);
        const size_t kept = g->keep ? s * g->taps * p->kernel->lanes : 0;
        p->kernel->segment(&(struct conv_dw){
            .dy = t->dy,
            .x = f.x,
            .at = f.at,
            .row = g->row + p->row0,
            .count = n,
            .rows = p->row1 - p->row0,
            .kw = kw,
            .sum = p->sums + kept + p->row0 * kw * p->kernel->lanes,
            .add = !g->keep,
        });
    }
}

/* ---- Jobs ---- */

static struct scratch scratch_of(const struct weights *g, size_t j)
{
    char *at = g->job_work + j * g->job_size;
    size_t used = 0;
    struct scratch t = {0};
    t.dy = conv_take(at, &used, (size_t)CONV_SEGMENT * CONV_LANES, sizeof *t.dy);
    t.at = conv_take(at, &used, CONV_SEGMENT, sizeof *t.at);
    t.images = conv_take(at, &used, g->slots * g->padded, sizeof *t.images);
    return t;
}

/* Block `i` of the filters; its sums lie behind those of the blocks before it. */
static struct part block(const struct weights *g, size_t i)
{
    const size_t o = g->o->s.o, wide = g->d->k.conv.dw_wide.lanes, first = i * wide;
    struct part p = {.first = first, .row1 = g->o->s.c * g->o->s.kh};
    p.kernel = kernel_for(g, o - first);
    p.filters = conv_min(o - first, p.kernel->lanes);
    p.sums = g->sums + first * g->taps * (g->keep ? g->segments : 1);
    return p;
}

static void job(void *arg, size_t j)
{
    const struct weights *g = arg;
    struct scratch t = scratch_of(g, j);
    if (g->keep) {
        for (size_t i = 0; i < g->blocks; i++) {
            const struct part p = block(g, i);
            segments(g, &t, &p, g->segments * j / g->jobs, g->segments * (j + 1) / g->jobs);
        }
        return;
    }
    const size_t units = g->blocks * g->parts, rows = g->o->s.c * g->o->s.kh;
    for (size_t u = units * j / g->jobs; u < units * (j + 1) / g->jobs; u++) {
        struct part p = block(g, u / g->parts);
        p.row0 = rows * (u % g->parts) / g->parts;
        p.row1 = rows * (u % g->parts + 1) / g->parts;
        for (size_t i = p.row0 * g->o->s.kw * p.kernel->lanes; i < p.row1 * g->o->s.kw * p.kernel->lanes; i++)
            p.sums[i] = 0;
        segments(g, &t, &p, 0, g->segments);
    }
}

/* dw from the sums. */
static void finish(const struct weights *g)
{
    for (size_t i = 0; i < g->blocks; i++) {
        const struct part p = block(g, i);
        const size_t n = g->taps * p.kernel->lanes, kept = g->keep ? g->segments : 0;
        for (size_t s = 1; s < kept; s++)
            for (size_t j = 0; j < n; j++)
                p.sums[j] += p.sums[s * n + j];
        float *dw = lb_f32(g->o->out) + p.first * g->taps;
        for (size_t f = 0; f < p.filters; f++)
            for (size_t t = 0; t < g->taps; t++)
                dw[f * g->taps + t] = canon_nan(p.sums[t * p.kernel->lanes + f] + 0.0f); /* a total begins at +0 */
    }
}

/* ---- The op ---- */

static void plan(struct weights *g)
{
    const struct lb_conv *s = &g->o->s;
    const size_t wide = g->d->k.conv.dw_wide.lanes, plane = s->oh * s->ow;
    g->taps = s->c * s->kh * s->kw;
    g->k = s->n * plane;
    g->segments = (g->k + CONV_SEGMENT - 1) / CONV_SEGMENT;
    g->blocks = (s->o + wide - 1) / wide;
    g->jobs = conv_threads(g->d, (double)g->k * (double)(g->taps * s->o));
    g->keep = g->jobs > 1 && g->segments >= g->jobs && g->segments * g->taps <= KEPT_FLOATS / (g->blocks * wide);
    g->parts = g->blocks % g->jobs ? conv_min(g->jobs, s->c * s->kh) : 1;
    g->slots = s->pad ? (CONV_SEGMENT + plane - 1) / plane + 1 : 0;
    g->padded = s->c * (s->h + 2 * s->pad) * padded_width(s) + CONV_LANES;
}

static size_t layout(struct weights *g, char *at)
{
    const struct lb_conv *s = &g->o->s;
    const size_t lanes = g->blocks * g->d->k.conv.dw_wide.lanes;
    size_t used = 0, of_job = 0;
    g->row = conv_take(at, &used, s->c * s->kh, sizeof *g->row);
    g->step = conv_take(at, &used, s->oh * s->ow, sizeof *g->step);
    g->sums = conv_take(at, &used, (g->keep ? g->segments : 1) * g->taps * lanes, sizeof *g->sums);
    conv_take(NULL, &of_job, (size_t)CONV_SEGMENT * CONV_LANES, sizeof(float));
    conv_take(NULL, &of_job, CONV_SEGMENT, sizeof(size_t));
    conv_take(NULL, &of_job, g->slots * g->padded, sizeof(float));
    g->job_size = of_job;
    g->job_work = conv_take(at, &used, g->jobs, of_job);
    return used;
}

static void fill(struct weights *g)
{
    const struct lb_conv *s = &g->o->s;
    const size_t w = padded_width(s), h = s->h + 2 * s->pad;
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            g->row[c * s->kh + ky] = (c * h + ky) * w;
    for (size_t y = 0; y < s->oh; y++)
        for (size_t x = 0; x < s->ow; x++)
            g->step[y * s->ow + x] = (y * w + x) * s->stride;
}

int cpu_conv2d_dw(void *dev, const struct lb_conv2d_grad *o)
{
    struct weights g = {.d = dev, .o = o};
    plan(&g);
    char *work = cpu_work(g.d, layout(&g, NULL));
    if (!work)
        return -1;
    layout(&g, work);
    fill(&g);
    g.d->host->parallel(g.d->host, g.jobs, job, &g);
    finish(&g);
    return 0;
}
