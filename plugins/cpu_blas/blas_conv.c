/* SPDX-License-Identifier: MIT */
/* blas_conv.c - convolutions as products, one sample after the other, samples spread over the threads.
 *
 * An image is first split into `planes`: padded with zeros, then one plane for each remainder of row and column by the stride,
 *
 *     plane (c, a, b) [i][j] = padded (c, i stride + a, j stride + b)            rows x cols each
 *
 * so that what a kernel tap sees of it is made of runs: tap (ky, kx) at output row oy is `ow` neighbours in row oy + ky / stride. The matrix of
 * all taps, `col` (c kh kw, oh ow), is then copied run by run, whatever the stride. Going back, runs are added to planes. */
#include "plugins/cpu_blas/cpu_blas.h"

#include <limits.h>
#include <string.h>

enum { RUN = 8 }; /* runs are copied in steps of this many floats; every array has this much to spare at its end */

struct layout {
    struct lb_conv s;
    size_t rows, cols; /* of a plane */
    size_t planes;     /* floats in all planes of an image */
    size_t k, p;       /* col is (k, p) */
};

static struct layout layout(const struct lb_conv *s)
{
    struct layout l = {
        .s = *s, .rows = (s->h + 2 * s->pad + s->stride - 1) / s->stride, .cols = (s->w + 2 * s->pad + s->stride - 1) / s->stride};
    l.planes = s->c * s->stride * s->stride * l.rows * l.cols;
    l.k = s->c * s->kh * s->kw;
    l.p = s->oh * s->ow;
    return l;
}

static size_t padded(size_t n)
{
    return (n + RUN + 15) / 16 * 16; /* every array of the scratch begins on a cache line */
}

/* Where padded (c, y, x) lies in the planes. */
static size_t plane_at(const struct layout *l, size_t c, size_t y, size_t x)
{
    const size_t s = l->s.stride;
    return (((c * s + y % s) * s + x % s) * l->rows + y / s) * l->cols + x / s;
}

/* Where each of the `stride` parts of image row (c, y) lies in the planes, taking turns from the row's first pixel. */
static void row_parts(const struct layout *l, size_t c, size_t y, float *planes, float **part)
{
    for (size_t b = 0; b < l->s.stride; b++)
        part[b] = planes + plane_at(l, c, y + l->s.pad, b + l->s.pad);
}

static void to_planes(const struct layout *l, const float *image, float *planes, float **part)
{
    const struct lb_conv *s = &l->s;
    if (s->pad || s->w % s->stride || s->h % s->stride)
        memset(planes, 0, l->planes * sizeof *planes);
    for (size_t c = 0; c < s->c; c++)
        for (size_t y = 0; y < s->h; y++, image += s->w) {
            row_parts(l, c, y, planes, part);
            blas_split(image, s->w, s->stride, part);
        }
}

static void from_planes(const struct layout *l, float *planes, float *image, float **part)
{
    const struct lb_conv *s = &l->s;
    for (size_t c = 0; c < s->c; c++)
        for (size_t y = 0; y < s->h; y++, image += s->w) {
            row_parts(l, c, y, planes, part);
            blas_join(part, s->w, s->stride, image);
        }
}

/* Runs go in ascending order, so what a step writes beyond its run is overwritten by the next one. */
static void to_col(const struct layout *l, const float *planes, float *col)
{
    const struct lb_conv *s = &l->s;
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++) {
                const float *in = planes + plane_at(l, c, ky, kx);
                for (size_t oy = 0; oy < s->oh; oy++, in += l->cols, col += s->ow)
                    for (size_t i = 0; i < s->ow; i += RUN)
                        memcpy(col + i, in + i, RUN * sizeof *col);
            }
}

static void add_col(const struct layout *l, const float *col, float *planes)
{
    const struct lb_conv *s = &l->s;
    memset(planes, 0, l->planes * sizeof *planes);
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++) {
                float *out = planes + plane_at(l, c, ky, kx);
                for (size_t oy = 0; oy < s->oh; oy++, out += l->cols, col += s->ow)
                    blas_add(out, col, s->ow);
            }
}

struct job {
    const struct device *d;
    struct layout l;
    const float *x, *w, *bias, *dy;
    float *out;
    uint32_t act;
    float alpha;
    size_t first, o, ldw; /* forward: output channels first .. first + o - 1, whose weights are w (o, ldw) */
    size_t each, parts;
    float *scratch; /* (parts, each): what follows, one after the other */
};

struct room {
    float *planes, *col, *sum;
    float **part; /* (stride) */
};

static struct room room(const struct job *j, size_t part)
{
    struct room r = {.planes = j->scratch + part * j->each};
    r.col = r.planes + padded(j->l.planes);
    r.part = (float **)(void *)(r.col + padded(j->l.k * j->l.p));
    r.sum = r.col + padded(j->l.k * j->l.p) + padded(2 * j->l.s.stride);
    return r;
}

/* `sum`: floats wanted there. */
static int start(struct job *j, struct device *d, const struct lb_conv *s, size_t sum)
{
    if (s->oh > INT_MAX / 2 / (s->ow + 1) || s->c > INT_MAX / 2 / (s->kh * s->kw + 1) || s->o > INT_MAX)
        return blas_fail(d, "convolution: OpenBLAS takes sizes below 2^31");
    j->d = d;
    j->l = layout(s);
    j->parts = blas_parts(d, s->n * s->o * j->l.k * j->l.p, s->n);
    j->each = padded(j->l.planes) + padded(j->l.k * j->l.p) + padded(2 * s->stride) + padded(sum);
    j->scratch = blas_scratch(d, &d->scratch, j->parts * j->each);
    return j->scratch ? 0 : -1;
}

static void forward(void *arg, size_t part)
{
    const struct job *j = arg;
    const struct layout *l = &j->l;
    const struct range r = blas_range(l->s.n, 1, j->parts, part);
    const struct room m = room(j, part);
    for (size_t n = r.begin; n < r.end; n++) {
        float *y = j->out + (n * l->s.o + j->first) * l->p;
        to_planes(l, j->x + n * l->s.c * l->s.h * l->s.w, m.planes, m.part);
        to_col(l, m.planes, m.col);
        blas_sgemm(j->d, 0, 0, j->o, l->p, l->k, j->w, j->ldw, m.col, l->p, 0.0f, y, l->p);
        for (size_t i = 0; i < j->o; i++)
            blas_activate(j->d, y + i * l->p, l->p, j->bias ? j->bias[j->first + i] : 0.0f, j->act, j->alpha);
    }
}

int blas_conv2d_channels(struct device *d, const struct lb_conv2d *o, size_t first, size_t n, const float *w, size_t ld)
{
    struct job j = {.x = lb_f32(o->x), .w = w, .bias = lb_f32(o->bias), .out = lb_f32(o->y), .act = o->act, .alpha = o->alpha};
    j.first = first;
    j.o = n;
    j.ldw = ld;
    if (start(&j, d, &o->s, 0))
        return -1;
    blas_parallel(j.d, j.parts, forward, &j);
    return 0;
}

int blas_conv2d(void *dev, const struct lb_conv2d *o)
{
    return blas_conv2d_channels(dev, o, 0, o->s.o, lb_f32(o->w), o->s.c * o->s.kh * o->s.kw);
}

static void input_gradient(void *arg, size_t part)
{
    const struct job *j = arg;
    const struct layout *l = &j->l;
    const struct range r = blas_range(l->s.n, 1, j->parts, part);
    const struct room m = room(j, part);
    for (size_t n = r.begin; n < r.end; n++) {
        blas_sgemm(j->d, 1, 0, l->k, l->p, l->s.o, j->w, l->k, j->dy + n * l->s.o * l->p, l->p, 0.0f, m.col, l->p);
        add_col(l, m.col, m.planes);
        from_planes(l, m.planes, j->out + n * l->s.c * l->s.h * l->s.w, m.part);
    }
}

int blas_conv2d_dx(void *dev, const struct lb_conv2d_grad *o)
{
    struct job j = {.w = lb_f32(o->w), .dy = lb_f32(o->dy), .out = lb_f32(o->out)};
    if (start(&j, dev, &o->s, 0))
        return -1;
    blas_parallel(j.d, j.parts, input_gradient, &j);
    return 0;
}

/* Each part adds up the gradient of its samples. */
static void weight_gradient(void *arg, size_t part)
{
    const struct job *j = arg;
    const struct layout *l = &j->l;
    const struct range r = blas_range(l->s.n, 1, j->parts, part);
    const struct room m = room(j, part);
    for (size_t n = r.begin; n < r.end; n++) {
        to_planes(l, j->x + n * l->s.c * l->s.h * l->s.w, m.planes, m.part);
        to_col(l, m.planes, m.col);
        blas_sgemm(j->d, 0, 1, l->s.o, l->k, l->p, j->dy + n * l->s.o * l->p, l->p, m.col, l->p, n > r.begin ? 1.0f : 0.0f, m.sum, l->k);
    }
}

int blas_conv2d_dw(void *dev, const struct lb_conv2d_grad *o)
{
    struct job j = {.x = lb_f32(o->x), .dy = lb_f32(o->dy), .out = lb_f32(o->out)};
    if (start(&j, dev, &o->s, o->s.o * o->s.c * o->s.kh * o->s.kw))
        return -1;
    const struct layout *l = &j.l;
    const size_t n = l->s.o * l->k;
    memset(j.out, 0, n * sizeof *j.out);
    if (l->s.n == 0)
        return 0;
    blas_parallel(j.d, j.parts, weight_gradient, &j);
    for (size_t part = 0; part < j.parts; part++)
        blas_add(j.out, room(&j, part).sum, n);
    return 0;
}
