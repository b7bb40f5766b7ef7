/* SPDX-License-Identifier: MIT */
/* cpu_conv.c - conv2d, in three ways.
 *
 * Lowered: lanes are output positions. For each column of the kernel the image's columns that it meets are laid side by side (kw copies
 * of the image, not kh kw as im2col makes), rows of the same remainder by the stride together; then a tap's elements for all positions of
 * a band of rows are one run of memory, and a tap is an offset.
 *
 * Wide: the same without the copies, for a stride of 1. Positions are counted in the image's own width, so a tap is an offset at once;
 * what is computed behind the last column of each row is thrown away.
 *
 * Direct: lanes are filters, and the image is read where it lies. Only the results are transposed.
 *
 * Wide and direct read a copy with a border of zeros where there is a pad.
 *
 * conv2d_packed is the same for a group of filters after the other: of so many as binary32 weights stay in the second-level cache. */
#include "plugins/cpu/cpu_conv.h"
#include "kernels/cpu/ref.h"
#include "plugins/cpu/cpu_weights.h"

enum way { LOWERED, WIDE, DIRECT };

struct forward {
    struct cpu_device *d;
    const struct lb_conv2d *o;
    const struct packed_matrix *packed; /* the weights, or NULL: those of o */
    size_t first, filters;              /* the group at hand */
    struct conv_split split;
    struct conv_plan plan;
    enum way way;
    int copied;           /* else the image is what a copy would be */
    size_t phases;        /* lowered: remainders of kernel rows by the stride */
    size_t height, pitch; /* of a plane of the copy, or of the image: its rows, and elements from row to row */
    float *copy;
    size_t copy_size; /* of a job, in floats */
};

/* (kernel column, phase, channel, rows, ow) */
static void lower_sample(const struct forward *f, const float *image, size_t y0, float *dst)
{
    const struct lb_conv *s = &f->o->s;
    struct conv_lowered l = {
        .planes = s->c, .rows = f->height, .n = s->ow, .w = s->w, .stride = s->stride, .step = s->h * s->w, .pitch = s->stride * s->w};
    for (size_t kx = 0; kx < s->kw; kx++)
        for (size_t phase = 0; phase < f->phases; phase++, dst += s->c * f->height * s->ow) {
            const size_t top = y0 * s->stride + phase; /* this row of the padded image is the plane's first */
            const size_t lo = top < s->pad ? (s->pad - top + s->stride - 1) / s->stride : 0;
            const size_t hi = s->pad + s->h > top ? (s->pad + s->h - top + s->stride - 1) / s->stride : 0;
            l.lo = conv_min(lo, l.rows);
            l.hi = l.lo < hi ? conv_min(hi, l.rows) : l.lo;
            l.src = l.lo < l.hi ? image + (top + l.lo * s->stride - s->pad) * s->w : image;
            l.first = (ptrdiff_t)kx - (ptrdiff_t)s->pad;
            l.dst = dst;
            f->d->k.conv.lower(&l);
        }
}

/* (channel, rows, w + 2 pad) */
static void copy_sample(const struct forward *f, const float *image, size_t y0, float *dst)
{
    const struct lb_conv *s = &f->o->s;
    const size_t top = y0 * s->stride, lo = top < s->pad ? s->pad - top : 0, hi = s->pad + s->h > top ? s->pad + s->h - top : 0;
    struct conv_lowered l = {
        .dst = dst, .planes = s->c, .rows = f->height, .n = f->pitch, .w = s->w, .stride = 1, .step = s->h * s->w, .pitch = s->w};
    l.first = -(ptrdiff_t)s->pad;
    l.lo = conv_min(lo, l.rows);
    l.hi = l.lo < hi ? conv_min(hi, l.rows) : l.lo;
    l.src = l.lo < l.hi ? image + (top + l.lo - s->pad) * s->w : image;
    f->d->k.conv.lower(&l);
}

static void positions_product(const struct forward *f, const float *b, float *y, size_t rows, int act)
{
    const struct lb_conv2d *o = f->o;
    f->d->k.conv.product(&(struct conv_product){
        .w = f->plan.w,
        .bias = o->bias.buf ? lb_f32(o->bias) + f->first : NULL,
        .b = b,
        .off = f->plan.off,
        .ends = f->plan.ends,
        .segments = f->plan.segments,
        .out = y,
        .ld = o->s.oh * o->s.ow,
        .rows = f->filters,
        .height = rows,
        .width = o->s.ow,
        .pitch = f->way == LOWERED ? o->s.ow : f->pitch,
        .act = act,
        .alpha = o->alpha,
    });
}

static void direct_product(const struct forward *f, const float *x, float *y, size_t rows, int act)
{
    const struct lb_conv2d *o = f->o;
    const size_t plane = o->s.oh * o->s.ow, lanes = f->d->k.conv.lanes;
    for (size_t first = 0; first < f->filters; first += lanes)
        f->d->k.conv.direct(&(struct conv_direct){
            .w = f->plan.w + first * f->plan.n,
            .bias = o->bias.buf ? lb_f32(o->bias) + f->first + first : NULL,
            .x = x,
            .off = f->plan.off,
            .ends = f->plan.ends,
            .segments = f->plan.segments,
            .filters = conv_min(f->filters - first, lanes),
            .rows = rows,
            .width = o->s.ow,
            .pitch = f->pitch * o->s.stride,
            .stride = o->s.stride,
            .out = y + first * plane,
            .ld = plane,
            .act = act,
            .alpha = o->alpha,
        });
}

static void band(const struct forward *f, size_t unit, float *copy)
{
    const struct lb_conv2d *o = f->o;
    const struct lb_conv *s = &o->s;
    const size_t sample = unit / f->split.bands, b = unit % f->split.bands;
    const size_t y0 = conv_band(&f->split, b), rows = conv_band(&f->split, b + 1) - y0, plane = s->oh * s->ow;
    const float *image = lb_f32(o->x) + sample * s->c * s->h * s->w;
    float *y = lb_f32(o->y) + (sample * s->o + f->first) * plane + y0 * s->ow;
    const int table = o->act == LB_SIGMOID || o->act == LB_TANH, act = table ? REF_LINEAR : (int)o->act;
    if (f->copied)
        (f->way == LOWERED ? lower_sample : copy_sample)(f, image, y0, copy);
    (f->way == DIRECT ? direct_product : positions_product)(f, f->copied ? copy : image + y0 * s->stride * s->w, y, rows, act);
    for (size_t r = 0; table && r < f->filters; r++)
        f->d->k.rows.act(y + r * plane, y + r * plane, rows * s->ow, (int)o->act, o->alpha);
}

static void job(void *arg, size_t j)
{
    const struct forward *f = arg;
    const struct conv_split *s = &f->split;
    for (size_t u = s->units * j / s->jobs; u < s->units * (j + 1) / s->jobs; u++)
        band(f, u, f->copy + j * f->copy_size);
}

/* ---- The plan ---- */

/* Direct is for vectors that filters fill, or nearly, and needs sums long enough to pay for the transposition. Wide computes kw - 1 columns
 * of kh kw o multiply-adds too many where lowering copies rows of ow elements kw - 1 times: measured about even where the two are equal. */
static void choose(struct forward *f)
{
    const struct lb_conv *s = &f->o->s;
    const struct conv_kernels *k = &f->d->k.conv;
    const size_t full = (s->o + k->lanes - 1) / k->lanes * k->lanes;
    f->way = s->kw > 1 && s->stride <= 2 && s->ow >= k->direct_width && 8 * s->o >= 7 * full && f->plan.n >= 32 ? DIRECT
             : s->stride == 1 && (s->kw == 1 || s->kh * s->kw * s->o <= s->ow)                                  ? WIDE
                                                                                                                : LOWERED;
    f->copied = s->pad > 0 || (f->way == LOWERED && (s->kw > 1 || s->stride > 1));
    f->phases = conv_min(s->stride, s->kh);
    f->pitch = f->way == LOWERED ? s->ow : s->w + 2 * s->pad;
}

static size_t layout(struct forward *f, char *at)
{
    struct conv_plan *p = &f->plan;
    size_t used = 0;
    p->off = conv_take(at, &used, p->n, sizeof *p->off);
    p->from = conv_take(at, &used, p->n, sizeof *p->from);
    p->ends = conv_take(at, &used, p->segments, sizeof *p->ends);
    p->w = conv_take(at, &used, (f->filters + CONV_LANES - 1) * p->n, sizeof *p->w);
    f->copy = conv_take(at, &used, f->split.jobs * f->copy_size, sizeof *f->copy);
    return used;
}

static void fill_plan(struct forward *f)
{
    const struct lb_conv *s = &f->o->s;
    const size_t height = f->copied ? f->height : s->h;
    size_t k = 0;
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++, k++) {
                const size_t plane = (kx * f->phases + ky % s->stride) * s->c + c;
                f->plan.from[k] = k;
                f->plan.off[k] = f->way != LOWERED ? (c * height + ky) * f->pitch + kx
                                 : f->copied       ? (plane * height + ky / s->stride) * f->pitch
                                                   : (c * height + ky) * f->pitch;
            }
    for (size_t i = 0; i < f->plan.segments; i++)
        f->plan.ends[i] = conv_min((i + 1) * CONV_SEGMENT, k);
}

static void fill_weights(struct forward *f)
{
    if (f->packed)
        conv_unpack(f->d, &f->plan, f->packed, f->first, f->filters, f->way == DIRECT);
    else
        (f->way == DIRECT ? conv_pack_lanes : conv_pack)(f->d, &f->plan, lb_f32(f->o->w), f->filters, f->plan.n);
}

/* So many filters at a time, all where their weights need not be made. */
static size_t group_of(const struct forward *f)
{
    const size_t fit = CONV_UNPACKED / (f->plan.n ? f->plan.n : 1) / CONV_LANES * CONV_LANES;
    return f->packed ? conv_min(f->o->s.o, fit ? fit : CONV_LANES) : f->o->s.o;
}

static int run(struct cpu_device *d, const struct lb_conv2d *o, const struct packed_matrix *packed)
{
    const struct lb_conv *s = &o->s;
    const size_t k = s->c * s->kh * s->kw;
    struct forward f = {.d = d, .o = o, .packed = packed, .plan = {.n = k, .segments = k ? (k + CONV_SEGMENT - 1) / CONV_SEGMENT : 1}};
    choose(&f);
    /* A band of r rows needs r + more lowered rows, or stride r + more rows of the image. */
    const int lowered = f.way == LOWERED;
    const size_t planes = lowered ? s->c * s->kw * f.phases : s->c, step = lowered ? 1 : s->stride;
    const size_t more = lowered ? (s->kh - 1) / s->stride : s->kh - 1;
    f.split = conv_split(d, s->n, s->oh, f.copied ? planes * f.pitch * step : 1, more, (double)k * (double)(s->n * s->o * s->oh * s->ow));
    f.height = lowered ? f.split.band + more : (f.split.band - 1) * step + s->kh;
    f.copy_size = f.copied ? (planes * f.height * f.pitch / CONV_LANES + 2) * CONV_LANES : 0;
    f.filters = group_of(&f);
    char *work = cpu_work(d, layout(&f, NULL));
    if (!work)
        return -1;
    layout(&f, work);
    fill_plan(&f);
    for (const size_t group = f.filters; f.first < s->o; f.first += group) {
        f.filters = conv_min(s->o - f.first, group);
        fill_weights(&f);
        d->host->parallel(d->host, f.split.jobs, job, &f);
    }
    return 0;
}

int cpu_conv2d(void *dev, const struct lb_conv2d *o)
{
    return run(dev, o, NULL);
}

int cpu_conv2d_packed(void *dev, const struct lb_conv2d_packed *o)
{
    const struct lb_conv2d plain = {.x = o->x, .bias = o->bias, .y = o->y, .s = o->s, .act = o->act, .alpha = o->alpha};
    return run(dev, &plain, ((const struct cpu_weights *)o->w)->f32);
}
