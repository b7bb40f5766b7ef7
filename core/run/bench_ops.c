/* SPDX-License-Identifier: MIT */
/* bench_ops.c - single ops: products, products with a vector, convolutions. */
#include "core/base/mem.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>

enum kind { GEMM, CONV2D, CONV2D_DX, CONV2D_DW };

/* What is measured. */
struct problem {
    const char *op;
    enum kind kind;
    size_t m, n, k;
    struct lb_conv s;
    int by_bytes; /* its limit is the reading of the weights */
};

/* A problem on one backend. */
struct job {
    struct lb_dev *d;
    enum kind kind;
    union {
        struct lb_gemm gemm;
        struct lb_conv2d conv2d;
        struct lb_conv2d_grad grad;
    } args;
    struct lb_buf buf[3];
    size_t n_buf;
};

static int run_job(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    struct lb_dev *d = j->d;
    const int r = j->kind == GEMM        ? LB_RUN(d, gemm, &j->args.gemm, err)
                  : j->kind == CONV2D    ? LB_RUN(d, conv2d, &j->args.conv2d, err)
                  : j->kind == CONV2D_DX ? LB_RUN(d, conv2d_dx, &j->args.grad, err)
                                         : LB_RUN(d, conv2d_dw, &j->args.grad, err);
    return r || (d->ops->sync && lb_backend_result(d, "sync", d->ops->sync(d->dev), err)) ? -1 : 0;
}

/* A buffer of n seeded numbers in (-1, 1). */
static int add_buffer(struct job *j, size_t n, struct lb_ref *slot, struct lb_err *err)
{
    float *x = lb_alloc(n, sizeof *x, err);
    if (!x)
        return -1;
    for (size_t i = 0; i < n; i++)
        x[i] = 2.0f * canon_unit((uint32_t)i * 2654435761u) - 1.0f;
    struct lb_buf *b = &j->buf[j->n_buf++];
    const int r = lb_buf_create(j->d, n, b, err) || lb_buf_write(j->d, b, 0, x, n, err) ? -1 : 0;
    lb_free(x);
    *slot = (struct lb_ref){b, 0};
    return r;
}

static int prepare(struct job *j, const struct problem *p, struct lb_err *err)
{
    const struct lb_conv *s = &p->s;
    const size_t nx = s->n * s->c * s->h * s->w, nw = s->o * s->c * s->kh * s->kw, ny = s->n * s->o * s->oh * s->ow;
    struct lb_gemm *g = &j->args.gemm;
    struct lb_conv2d *f = &j->args.conv2d;
    struct lb_conv2d_grad *b = &j->args.grad;
    j->kind = p->kind;
    switch (p->kind) {
    case GEMM:
        *g = (struct lb_gemm){.m = p->m, .n = p->n, .k = p->k, .trans_b = 1};
        return add_buffer(j, p->m * p->k, &g->a, err) || add_buffer(j, p->n * p->k, &g->b, err) || add_buffer(j, p->m * p->n, &g->c, err);
    case CONV2D:
        *f = (struct lb_conv2d){.s = *s};
        return add_buffer(j, nx, &f->x, err) || add_buffer(j, nw, &f->w, err) || add_buffer(j, ny, &f->y, err);
    case CONV2D_DX:
        *b = (struct lb_conv2d_grad){.s = *s};
        return add_buffer(j, ny, &b->dy, err) || add_buffer(j, nw, &b->w, err) || add_buffer(j, nx, &b->out, err);
    default:
        *b = (struct lb_conv2d_grad){.s = *s};
        return add_buffer(j, ny, &b->dy, err) || add_buffer(j, nx, &b->x, err) || add_buffer(j, nw, &b->out, err);
    }
}

static struct bench_work work_of(const struct problem *p, char *shape, size_t size)
{
    const struct lb_conv *s = &p->s;
    struct bench_work w = {.op = p->op, .shape = shape};
    if (p->kind == GEMM) {
        snprintf(shape, size, "%zux%zux%zu", p->m, p->n, p->k);
        w.flops = 2.0 * (double)p->m * (double)p->n * (double)p->k;
        w.bytes = p->by_bytes ? p->n * p->k * sizeof(float) : 0;
    } else {
        snprintf(shape, size, "%zux%zux%zux%zu o%zu k%zux%zu s%zu p%zu", s->n, s->c, s->h, s->w, s->o, s->kh, s->kw, s->stride, s->pad);
        w.flops = 2.0 * (double)(s->n * s->o * s->oh * s->ow) * (double)(s->c * s->kh * s->kw);
    }
    return w;
}

static int measure(const struct lb_bench_options *o, const struct problem *p, struct lb_table *t, struct lb_err *err)
{
    struct lb_bench_devices all;
    struct job job[sizeof all.d / sizeof *all.d] = {0};
    void *arg[sizeof all.d / sizeof *all.d];
    char shape[96];
    const struct bench_work w = work_of(p, shape, sizeof shape);
    int r = lb_bench_open(o, &all, err);
    for (size_t i = 0; i < all.n && !r; i++) {
        arg[i] = &job[i];
        job[i].d = all.d[i];
        r = prepare(&job[i], p, err) ? -1 : 0;
    }
    if (!r)
        r = lb_bench_compare(o, &w, &all, run_job, arg, t, err);
    for (size_t i = 0; i < all.n; i++)
        for (size_t b = 0; b < job[i].n_buf; b++)
            lb_buf_destroy(all.d[i], &job[i].buf[b]);
    lb_bench_close(&all);
    return r;
}

/* The sizes of the command line; what is left open is as in the first default shape. */
static struct problem chosen(const struct lb_bench_options *o, const struct problem *standard)
{
    struct problem p = *standard;
    p.m = o->m ? o->m : p.m;
    p.n = o->n ? o->n : p.n;
    p.k = o->k ? o->k : p.k;
    return p;
}

int lb_bench_gemm(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    static const struct problem standard[] = {{.op = "gemm", .m = 64, .n = 784, .k = 784}, {.op = "gemm", .m = 512, .n = 512, .k = 512}};
    const int own = o->m || o->n || o->k;
    for (size_t i = 0; i < (own ? 1 : sizeof standard / sizeof *standard); i++) {
        const struct problem p = chosen(o, &standard[i]);
        if (measure(o, &p, t, err))
            return -1;
    }
    return 0;
}

int lb_bench_gemv(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    static const struct problem standard = {.op = "gemv", .m = 1, .n = 4096, .k = 4096, .by_bytes = 1};
    struct problem p = chosen(o, &standard);
    p.m = 1;
    return measure(o, &p, t, err);
}

/* The two convolutions of the CNN, forward and backward. */
int lb_bench_conv(const struct lb_bench_options *o, struct lb_table *t, struct lb_err *err)
{
    static const struct lb_conv shapes[] = {{.c = 1, .h = 28, .w = 28, .o = 8, .kh = 3, .kw = 3, .stride = 1, .oh = 26, .ow = 26},
                                            {.c = 8, .h = 26, .w = 26, .o = 16, .kh = 3, .kw = 3, .stride = 2, .oh = 12, .ow = 12}};
    static const char *const names[] = {[CONV2D] = "conv2d", [CONV2D_DX] = "conv2d_dx", [CONV2D_DW] = "conv2d_dw"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum kind kind = CONV2D; kind <= CONV2D_DW; kind++) {
            struct problem p = {.op = names[kind], .kind = kind, .s = shapes[i]};
            p.s.n = o->batch;
            if (measure(o, &p, t, err))
                return -1;
        }
    return 0;
}
