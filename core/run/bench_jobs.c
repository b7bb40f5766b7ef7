/* SPDX-License-Identifier: MIT */
/* bench_jobs.c - a single op on a backend, or on oneDNN. */
#include "core/base/mem.h"
#include "core/run/bench_impl.h"

#include <string.h>

/* ---- The problem ---- */

/* Scattered as by a random generator, so that an element in a wrong place shows. */
static float number(size_t i, uint32_t seed)
{
    uint32_t x = ((uint32_t)i + seed) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    x = (x ^ x >> 13) * 3266489917u;
    return (float)(x >> 8) * 0x1p-23f - 1.0f;
}

int lb_bench_problem_fill(struct bench_problem *p, struct lb_err *err)
{
    const struct lb_conv *s = &p->s;
    const size_t x = s->n * s->c * s->h * s->w, w = s->o * s->c * s->kh * s->kw, y = s->n * s->o * s->oh * s->ow;
    const size_t sizes[][3] = {[BENCH_GEMM] = {p->m * p->k, p->k * p->n, p->m * p->n},
                               [BENCH_CONV2D] = {x, w, y},
                               [BENCH_CONV2D_DX] = {y, w, x},
                               [BENCH_CONV2D_DW] = {y, x, w}};
    p->n_out = sizes[p->kind][2];
    for (int j = 0; j < 2; j++) {
        p->n_in[j] = sizes[p->kind][j];
        p->in[j] = lb_alloc(p->n_in[j], sizeof *p->in[j], err);
        if (!p->in[j])
            return -1;
        for (size_t i = 0; i < p->n_in[j]; i++)
            p->in[j][i] = number(i, j ? 0x9e3779b9u : 0);
    }
    return 0;
}

void lb_bench_problem_free(struct bench_problem *p)
{
    for (int j = 0; j < 2; j++) {
        lb_free(p->in[j]);
        p->in[j] = NULL;
    }
}

/* ---- On a backend ---- */

static int run_backend(void *arg, struct lb_err *err)
{
    const struct bench_job *j = arg;
    struct lb_dev *d = j->d;
    const enum bench_kind kind = j->p->kind;
    const int r = kind == BENCH_GEMM        ? LB_RUN(d, gemm, &j->args.gemm, err)
                  : kind == BENCH_CONV2D    ? LB_RUN(d, conv2d, &j->args.conv2d, err)
                  : kind == BENCH_CONV2D_DX ? LB_RUN(d, conv2d_dx, &j->args.grad, err)
                                            : LB_RUN(d, conv2d_dw, &j->args.grad, err);
    return r || (d->ops->sync && lb_backend_result(d, "sync", d->ops->sync(d->dev), err)) ? -1 : 0;
}

static int read_backend(void *arg, float *out, struct lb_err *err)
{
    const struct bench_job *j = arg;
    return lb_buf_read(j->d, &j->buf[2], 0, out, j->p->n_out, err);
}

static void name_args(struct bench_job *j)
{
    const struct bench_problem *p = j->p;
    const struct lb_ref a = {&j->buf[0], 0}, b = {&j->buf[1], 0}, out = {&j->buf[2], 0};
    switch (p->kind) {
    case BENCH_GEMM:
        j->args.gemm =
            (struct lb_gemm){.a = a, .b = b, .c = out, .m = p->m, .n = p->n, .k = p->k, .trans_a = p->trans_a, .trans_b = p->trans_b};
        return;
    case BENCH_CONV2D:
        j->args.conv2d = (struct lb_conv2d){.x = a, .w = b, .y = out, .s = p->s};
        return;
    case BENCH_CONV2D_DX:
        j->args.grad = (struct lb_conv2d_grad){.dy = a, .w = b, .out = out, .s = p->s};
        return;
    default:
        j->args.grad = (struct lb_conv2d_grad){.dy = a, .x = b, .out = out, .s = p->s};
    }
}

int lb_bench_job_backend(struct bench_job *j, const struct bench_problem *p, struct lb_dev *d, struct bench_entry *e, struct lb_err *err)
{
    *j = (struct bench_job){.p = p, .d = d};
    for (int i = 0; i < 2; i++)
        if (lb_buf_create(d, p->n_in[i], &j->buf[i], err) || lb_buf_write(d, &j->buf[i], 0, p->in[i], p->n_in[i], err))
            return -1;
    if (lb_buf_create(d, p->n_out, &j->buf[2], err))
        return -1;
    name_args(j);
    *e = (struct bench_entry){
        .backend = d->ops->base.name, .isa = d->info.isa, .threads = d->info.threads, .run = run_backend, .result = read_backend, .arg = j};
    return 0;
}

/* ---- On oneDNN ---- */

static int run_sgemm(void *arg, struct lb_err *err)
{
    const struct bench_job *j = arg;
    return lb_dnnl_sgemm(j->dnnl, j->p, j->out, err);
}

static int read_sgemm(void *arg, float *out, struct lb_err *err)
{
    const struct bench_job *j = arg;
    (void)err;
    memcpy(out, j->out, j->p->n_out * sizeof *out);
    return 0;
}

static int run_primitive(void *arg, struct lb_err *err)
{
    const struct bench_job *j = arg;
    return lb_dnnl_op_run(j->op, err);
}

static int read_primitive(void *arg, float *out, struct lb_err *err)
{
    const struct bench_job *j = arg;
    return lb_dnnl_op_result(j->op, out, err);
}

int lb_bench_job_sgemm(struct bench_job *j, const struct bench_problem *p, struct lb_dnnl *d, struct bench_entry *e, struct lb_err *err)
{
    *j = (struct bench_job){.p = p, .dnnl = d, .out = lb_alloc(p->n_out, sizeof(float), err)};
    *e = (struct bench_entry){.backend = lb_bench_peer[BENCH_ONEDNN].backend,
                              .isa = lb_dnnl_isa(d),
                              .threads = lb_dnnl_threads(d),
                              .run = run_sgemm,
                              .result = read_sgemm,
                              .arg = j};
    return j->out ? 0 : -1;
}

int lb_bench_job_primitive(struct bench_job *j, const struct bench_problem *p, struct lb_dnnl *d, enum lb_dnnl_way way,
                           struct bench_entry *e, struct lb_err *err)
{
    *j = (struct bench_job){.p = p, .dnnl = d};
    if (lb_dnnl_op_create(d, way, p, &j->op, err))
        return -1;
    *e = (struct bench_entry){.backend = lb_bench_peer[BENCH_ONEDNN].backend,
                              .isa = lb_dnnl_op_isa(j->op),
                              .threads = lb_dnnl_threads(d),
                              .run = run_primitive,
                              .result = read_primitive,
                              .arg = j};
    return 0;
}

void lb_bench_job_free(struct bench_job *j)
{
    for (int i = 0; i < 3 && j->d; i++)
        lb_buf_destroy(j->d, &j->buf[i]);
    lb_dnnl_op_destroy(j->op);
    lb_free(j->out);
    *j = (struct bench_job){0};
}
