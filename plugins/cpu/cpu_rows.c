/* SPDX-License-Identifier: MIT */
/* cpu_rows.c - the element-wise operations and those along rows, spread over the threads: by elements, rows, channels or segments. */
#include "plugins/cpu/cpu.h"

/* Elements (of memory that is read or written) that are worth waking another thread for. */
enum { WORTH = 32768, LINE = 16 /* elements of a cache line: no two threads write to one */ };

/* A part of an operation's `units`: of `each` units, from part i's on. */
struct split {
    const struct rows_kernels *k;
    const void *op;
    float *sums;
    size_t units, each;
};

static size_t begin(const struct split *s, size_t i)
{
    return i * s->each;
}

static size_t count(const struct split *s, size_t i)
{
    const size_t left = s->units - i * s->each;
    return left < s->each ? left : s->each;
}

/* Calls part(s, i) for each of the parts: as many as there are threads and work for, each a multiple of `grain` units; a unit costs as much
 * as `cost` elements. */
static void split(struct cpu_device *d, struct split *s, size_t units, size_t grain, size_t cost, void (*part)(void *s, size_t i))
{
    const size_t worth = units / WORTH * cost + units % WORTH * cost / WORTH + 1;
    const size_t parts = worth < d->host->threads ? worth : d->host->threads;
    s->k = &d->k.rows;
    s->units = units;
    s->each = ((units + parts - 1) / parts + grain - 1) / grain * grain;
    if (s->each >= units)
        part(s, 0);
    else
        d->host->parallel(d->host, (units + s->each - 1) / s->each, part, s);
}

/* ---- Sums ---- */

static void channels(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_bias_grad *o = s->op;
    s->k->bias_grad(lb_f32(o->dy) + begin(s, i), lb_f32(o->db) + begin(s, i), o->n, count(s, i), o->c);
}

static void segments(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_bias_grad *o = s->op;
    s->k->segment_sums(lb_f32(o->dy), s->sums, o->n, o->c, o->p, begin(s, i), count(s, i));
}

int cpu_bias_grad(void *dev, const struct lb_bias_grad *o)
{
    struct cpu_device *d = dev;
    struct split s = {.op = o};
    if (o->c == 0)
        return 0;
    if (o->p == 1) {
        split(d, &s, o->c, LINE, o->n, channels);
        return 0;
    }
    const size_t each = (o->n * o->p + ROWS_SEGMENT - 1) / ROWS_SEGMENT;
    s.sums = cpu_work(d, (each * o->c + 1) * sizeof *s.sums);
    if (!s.sums)
        return -1;
    split(d, &s, each * o->c, LINE, ROWS_SEGMENT, segments);
    d->k.rows.add_segments(s.sums, lb_f32(o->db), each, o->c);
    return 0;
}

/* ---- Elements ---- */

static void act(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_act_op *o = s->op;
    s->k->act(lb_f32(o->x) + begin(s, i), lb_f32(o->y) + begin(s, i), count(s, i), (int)o->act, o->alpha);
}

static void act_grad(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_act_op *o = s->op;
    const size_t at = begin(s, i);
    s->k->act_grad(lb_f32(o->y) + at, lb_f32(o->dy) + at, lb_f32(o->dx) + at, count(s, i), (int)o->act, o->alpha);
}

static void sgd(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_sgd *o = s->op;
    const size_t at = begin(s, i);
    s->k->sgd(lb_f32(o->w) + at, lb_f32(o->g) + at, o->v.buf ? lb_f32(o->v) + at : NULL, count(s, i), o->lr, o->momentum, o->decay);
}

int cpu_act(void *dev, const struct lb_act_op *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->n, LINE, o->act == LB_SIGMOID || o->act == LB_TANH ? 16 : 2, act);
    return 0;
}

int cpu_act_grad(void *dev, const struct lb_act_op *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->n, LINE, 3, act_grad);
    return 0;
}

int cpu_sgd(void *dev, const struct lb_sgd *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->n, LINE, o->v.buf ? 5 : 3, sgd);
    return 0;
}

/* ---- Rows ---- */

enum { EXP_COST = 16 }; /* of an element of a row, in elements of memory */

static void softmax(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_softmax *o = s->op;
    s->k->softmax(lb_f32(o->x) + begin(s, i) * o->cols, lb_f32(o->y) + begin(s, i) * o->cols, count(s, i), o->cols);
}

static void softmax_grad(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_softmax *o = s->op;
    const size_t at = begin(s, i) * o->cols;
    s->k->softmax_grad(lb_f32(o->y) + at, lb_f32(o->dy) + at, lb_f32(o->dx) + at, count(s, i), o->cols);
}

static void cross_entropy(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_loss *o = s->op;
    const size_t r = begin(s, i), at = r * o->cols;
    s->k->cross_entropy(lb_f32(o->x) + at, lb_i32(o->labels) + r, lb_f32(o->loss) + r, lb_f32(o->dx) + at, count(s, i), o->cols, o->rows);
}

static void mse(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct lb_loss *o = s->op;
    const size_t r = begin(s, i), at = r * o->cols;
    s->k->mse(lb_f32(o->x) + at, lb_i32(o->labels) + r, lb_f32(o->loss) + r, lb_f32(o->dx) + at, count(s, i), o->cols, o->rows,
              (int)o->reduction);
}

int cpu_softmax(void *dev, const struct lb_softmax *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->rows, LINE, o->cols * EXP_COST, softmax);
    return 0;
}

int cpu_softmax_grad(void *dev, const struct lb_softmax *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->rows, LINE, o->cols * EXP_COST / 2, softmax_grad);
    return 0;
}

int cpu_cross_entropy(void *dev, const struct lb_loss *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->rows, LINE, o->cols * EXP_COST, cross_entropy);
    return 0;
}

int cpu_mse(void *dev, const struct lb_loss *o)
{
    struct split s = {.op = o};
    split(dev, &s, o->rows, LINE, o->cols * EXP_COST, mse);
    return 0;
}
