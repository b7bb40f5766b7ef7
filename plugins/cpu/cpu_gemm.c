/* SPDX-License-Identifier: MIT */
/* cpu_gemm.c - which factor of a product is the kernel's x and which its y, and how threads share the outputs. */
#include "plugins/cpu/cpu_weights.h"

/* Below so many multiplications a second thread's wake-up costs more than it saves. */
enum { WORTH_A_THREAD = 60000 };

/* About how many cycles a task takes: multiplications, y brought into order, x copied, the outputs stored. */
static double cost(const struct gemm_kernels *g, const struct gemm_task *t)
{
    const double rows = (double)t->rows, k = (double)t->k, vectors = (double)((t->cols + g->vec - 1) / g->vec);
    const double y = t->y.source ? 6 : t->y.by_k ? 1.5 : t->rows <= g->lane_rows ? 4 : 5, out = t->trans ? 6 : 2;
    return vectors * k * (rows + y) + 2 * rows * k / (double)g->vec + out * rows * vectors;
}

/* c = a b, or its transpose: c^T = b^T a^T, whichever is cheaper. */
static struct gemm_task task(const struct gemm_kernels *g, const struct lb_gemm *o)
{
    const struct gemm_factor a = {.p = lb_f32(o->a), .ld = o->trans_a ? o->m : o->k, .by_k = o->trans_a};
    const struct gemm_factor b = {.p = lb_f32(o->b), .ld = o->trans_b ? o->k : o->n, .by_k = !o->trans_b};
    const struct gemm_task plain = {.x = a,
                                    .y = b,
                                    .rows = o->m,
                                    .cols = o->n,
                                    .k = o->k,
                                    .out = lb_f32(o->c),
                                    .ld = o->n,
                                    .bias = lb_f32(o->bias),
                                    .act = (int)o->act,
                                    .alpha = o->alpha};
    struct gemm_task turned = plain;
    turned.x = b;
    turned.y = a;
    turned.rows = o->n;
    turned.cols = o->m;
    turned.trans = 1;
    return cost(g, &turned) < cost(g, &plain) ? turned : plain;
}

/* A task in down x across parts. */
struct split {
    const struct gemm_kernels *g;
    struct gemm_task t;
    size_t unit; /* columns that are not parted */
    size_t down, across;
    float *work;
    size_t work_each;
};

/* The end of part i of n parts of `size`, a multiple of `unit` but for the last. */
static size_t part_end(size_t size, size_t i, size_t n, size_t unit)
{
    const size_t units = (size + unit - 1) / unit, end = (units * (i + 1) / n) * unit;
    return end < size ? end : size;
}

static void begin_at(struct gemm_factor *f, size_t i)
{
    f->first += i;
    if (f->p)
        f->p += f->by_k ? i : i * f->ld;
}

static struct gemm_task part(const struct split *s, size_t i)
{
    struct gemm_task t = s->t;
    const size_t di = i / s->across, ai = i % s->across;
    const size_t i0 = di ? part_end(t.rows, di - 1, s->down, 1) : 0, j0 = ai ? part_end(t.cols, ai - 1, s->across, s->unit) : 0;
    t.rows = part_end(t.rows, di, s->down, 1) - i0;
    t.cols = part_end(t.cols, ai, s->across, s->unit) - j0;
    begin_at(&t.x, i0);
    begin_at(&t.y, j0);
    t.out += t.trans ? j0 * t.ld + i0 : i0 * t.ld + j0;
    t.bias = t.bias ? t.bias + (t.trans ? i0 : j0) : NULL;
    return t;
}

static void run_part(void *arg, size_t i)
{
    const struct split *s = arg;
    const struct gemm_task t = part(s, i);
    if (t.rows && t.cols)
        s->g->product(&t, s->work + i * s->work_each);
}

/* The cut into `parts` whose largest part costs least. */
static void choose(struct split *s, size_t parts)
{
    double best = 0;
    for (size_t down = 1; down <= parts; down++) {
        if (parts % down)
            continue;
        struct split c = *s;
        c.down = down;
        c.across = parts / down;
        const struct gemm_task last = part(&c, parts - 1); /* rounding makes the last one the largest, or nearly so */
        const int empty = down > s->t.rows || (c.across - 1) * s->unit >= s->t.cols; /* only where there is nothing better */
        const double n = cost(s->g, &last) + (empty ? 1e30 : 0);
        if (down == 1 || n < best) {
            best = n;
            *s = c;
        }
    }
}

static int run(struct cpu_device *d, struct split *s)
{
    const struct gemm_task *t = &s->t;
    const double worth = (double)t->rows * (double)t->cols * (double)t->k / WORTH_A_THREAD;
    const size_t parts = worth < 1 ? 1 : worth < d->host->threads ? (size_t)worth : d->host->threads;
    choose(s, parts);
    for (size_t i = 0; i < parts; i++) {
        const struct gemm_task p = part(s, i);
        const size_t n = (s->g->work(&p) + 15) / 16 * 16;
        s->work_each = n > s->work_each ? n : s->work_each;
    }
    s->work = cpu_work(d, parts * s->work_each * sizeof(float));
    if (!s->work)
        return -1;
    d->host->parallel(d->host, parts, run_part, s);
    return 0;
}

int cpu_gemm(void *dev, const struct lb_gemm *o)
{
    struct cpu_device *d = dev;
    if (o->m == 0 || o->n == 0)
        return 0;
    return run(d, &(struct split){.g = &d->k.gemm, .t = task(&d->k.gemm, o), .unit = 2 * d->k.gemm.vec});
}

int cpu_gemm_packed(void *dev, const struct lb_gemm_packed *o)
{
    struct cpu_device *d = dev;
    const struct packed_matrix *w = ((const struct cpu_weights *)o->w)->f32;
    if (o->m == 0 || o->n == 0)
        return 0;
    const struct gemm_source *source = w->row ? &d->k.packed.rows : &d->k.packed.codes;
    struct split s = {.g = &d->k.gemm, .unit = source->dot ? source->dot_cols : 2 * d->k.gemm.vec};
    s.t = (struct gemm_task){.x = {.p = lb_f32(o->a), .ld = o->k},
                             .y = {.source = source, .packed = w},
                             .rows = o->m,
                             .cols = o->n,
                             .k = o->k,
                             .out = lb_f32(o->c),
                             .ld = o->n,
                             .bias = lb_f32(o->bias),
                             .act = (int)o->act,
                             .alpha = o->alpha};
    return run(d, &s);
}
