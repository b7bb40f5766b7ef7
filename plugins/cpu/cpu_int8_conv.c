/* SPDX-License-Identifier: MIT */
/* cpu_int8_conv.c - conv2d_int8: each sample becomes int8 with a border of zeros, its patches lie in rows, some output rows at a time, and the rows meet
 * the weights as in cpu_int8.c. */
#include "plugins/cpu/cpu_conv.h"
#include "plugins/cpu/cpu_int8.h"

enum {
    SLACK = 8, /* bytes that may be read behind an image, or written behind a patch, so that short runs are one load and store */
    FASTER = 8 /* than products in binary32, about */
};

struct conv {
    struct cpu_device *d;
    const struct lb_conv2d_packed *o;
    struct int8_plan plan;
    struct conv_split split;
    size_t height, width; /* of an image with its border */
    size_t image;         /* bytes of all its channels */
    int8_t *images;       /* (samples, image) */
    float *scale;         /* (samples) */
    int8_t *flat;         /* (jobs, c h w), where there is a border; also patches that are not in order */
    size_t flat_each;
    struct int8_space *space; /* (jobs) */
    float *out;               /* (jobs, positions of a band, o) */
    unsigned char *work;
    size_t work_each;
};

static size_t positions(const struct conv *v)
{
    return v->split.band * v->o->s.ow;
}

/* ---- Images ---- */

static void quantize_sample(const struct conv *v, size_t n, int8_t *flat)
{
    const struct lb_conv *s = &v->o->s;
    const size_t size = s->c * s->h * s->w;
    int8_t *image = v->images + n * v->image, *to = s->pad ? flat : image;
    v->scale[n] = 0;
    v->d->k.int8.quantize(lb_f32(v->o->x) + n * size, size, size, &v->scale[n], to);
    if (s->pad)
        memset(image, 0, v->image);
    for (size_t c = 0; c < s->c && s->pad; c++)
        for (size_t y = 0; y < s->h; y++)
            memcpy(image + (c * v->height + s->pad + y) * v->width + s->pad, flat + (c * s->h + y) * s->w, s->w);
}

static void quantize_samples(void *arg, size_t job)
{
    const struct conv *v = arg;
    const size_t n = v->o->s.n, jobs = v->split.jobs;
    for (size_t i = n * job / jobs; i < n * (job + 1) / jobs; i++)
        quantize_sample(v, i, v->flat + job * v->flat_each);
}

/* ---- Patches ---- */

static void patch(const struct conv *v, const int8_t *image, int8_t *out)
{
    const struct lb_conv *s = &v->o->s;
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++, out += s->kw) {
            const int8_t *row = image + (c * v->height + ky) * v->width;
            if (s->kw <= SLACK)
                memcpy(out, row, SLACK);
            else
                memcpy(out, row, s->kw);
        }
}

/* The patches of output rows y0 .. y1 - 1. */
static void lay_patches(const struct conv *v, size_t n, size_t y0, size_t y1, const struct int8_space *space, int8_t *flat)
{
    const struct lb_conv *s = &v->o->s;
    const int8_t *image = v->images + n * v->image;
    size_t i = 0;
    for (size_t y = y0; y < y1; y++)
        for (size_t x = 0; x < s->ow; x++, i++) {
            int8_t *integers = v->plan.in_order ? space->a + i * v->plan.ld : flat;
            patch(v, image + y * s->stride * v->width + x * s->stride, integers);
            int8_lay_row(v->d, &v->plan, integers, space, i);
            space->scale[i] = v->scale[n];
        }
}

/* ---- Bands ---- */

/* y (o, positions of the whole sample) from out (count, o). */
static void turn(const struct conv *v, const float *out, size_t count, float *y)
{
    const size_t o = v->o->s.o, plane = v->o->s.oh * v->o->s.ow;
    for (size_t j = 0; j < o; j++) {
        for (size_t i = 0; i < count; i++)
            y[j * plane + i] = out[i * o + j];
        if (v->o->act != LB_LINEAR)
            v->d->k.rows.act(y + j * plane, y + j * plane, count, (int)v->o->act, v->o->alpha);
    }
}

static void band(const struct conv *v, size_t unit, size_t job)
{
    const struct lb_conv *s = &v->o->s;
    const struct int8_matrix *w = v->plan.w;
    const size_t n = unit / v->split.bands, b = unit % v->split.bands;
    const size_t y0 = conv_band(&v->split, b), y1 = conv_band(&v->split, b + 1), count = (y1 - y0) * s->ow;
    const struct int8_space *space = &v->space[job];
    float *out = v->out + job * positions(v) * s->o;
    lay_patches(v, n, y0, y1, space, v->flat + job * v->flat_each);
    v->d->k.int8.product(&(struct int8_task){.w = w,
                                             .piece = v->plan.piece,
                                             .pieces = v->plan.pieces,
                                             .x = {.a = space->a, .ld = v->plan.ld, .sums = space->sums, .scale = space->scale},
                                             .rows = count,
                                             .end = w->panels,
                                             .out = out,
                                             .ld = s->o,
                                             .bias = lb_f32(v->o->bias)},
                         v->work + job * v->work_each);
    turn(v, out, count, lb_f32(v->o->y) + n * s->o * s->oh * s->ow + y0 * s->ow);
}

static void run_bands(void *arg, size_t job)
{
    const struct conv *v = arg;
    const struct conv_split *s = &v->split;
    for (size_t u = s->units * job / s->jobs; u < s->units * (job + 1) / s->jobs; u++)
        band(v, u, job);
}

/* ---- The op ---- */

static size_t layout(struct conv *v, char *at)
{
    const size_t jobs = v->split.jobs, rows = positions(v);
    size_t used = 0;
    int8_plan_take(&v->plan, at, &used);
    v->images = conv_take(at, &used, v->o->s.n * v->image + SLACK, 1);
    v->scale = conv_take(at, &used, v->o->s.n, sizeof *v->scale);
    v->flat = conv_take(at, &used, jobs, v->flat_each);
    v->out = conv_take(at, &used, jobs * rows * v->o->s.o, sizeof *v->out);
    v->work = conv_take(at, &used, jobs, v->work_each);
    v->space = conv_take(at, &used, jobs, sizeof *v->space);
    for (size_t j = 0; j < jobs; j++) {
        struct int8_space space;
        int8_space_take(&v->plan, &space, rows, at, &used);
        if (at)
            v->space[j] = space;
    }
    return used;
}

static int run(struct conv *v)
{
    const struct lb_conv *s = &v->o->s;
    const size_t k = s->c * s->kh * s->kw, size = s->c * s->h * s->w;
    const double macs = (double)k * (double)(s->n * s->o * s->oh * s->ow);
    v->height = s->h + 2 * s->pad;
    v->width = s->w + 2 * s->pad;
    v->image = s->c * v->height * v->width;
    v->flat_each = ((k > size ? k : size) + SLACK + 63) / 64 * 64;
    v->split = conv_split(v->d, s->n, s->oh, s->ow * (v->plan.ld / sizeof(float) + s->o), 0, macs / FASTER);
    const struct int8_task largest = {.w = v->plan.w, .rows = positions(v), .end = v->plan.w->panels};
    v->work_each = (v->d->k.int8.work(&largest) + 63) / 64 * 64;
    char *work = cpu_work(v->d, layout(v, NULL));
    if (!work)
        return -1;
    layout(v, work);
    v->d->host->parallel(v->d->host, v->split.jobs, quantize_samples, v);
    v->d->host->parallel(v->d->host, v->split.jobs, run_bands, v);
    return 0;
}

int cpu_conv2d_int8(void *dev, const struct lb_conv2d_packed *o)
{
    struct conv v = {.d = dev, .o = o};
    const struct cpu_weights *w = o->w;
    const struct lb_conv *s = &o->s;
    if (!w->int8 || w->rows != s->o || w->cols != s->c * s->kh * s->kw) {
        v.d->host->log(v.d->host, LB_LOG_ERROR,
                       w->int8 ? "conv2d_int8: weights of another shape" : "conv2d_int8: weights that were not made for it");
        return -1;
    }
    if (s->n == 0 || s->oh == 0 || s->ow == 0)
        return 0;
    v.plan = int8_plan_of(&w->int8->m, 0);
    return run(&v);
}
