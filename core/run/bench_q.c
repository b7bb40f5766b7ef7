/* SPDX-License-Identifier: MIT */
/* bench_q.c - products of integer tensors: requantized to bytes or left as sums, beside binary32, beside going to binary32 and back, and beside oneDNN. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/nn/ops_q.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { A, W, C, FLOATS_A, FLOATS_W, FLOATS_C, SCALE, BUFFERS, WAYS = 4 };

/* The ways of one backend, over the same buffers. */
struct job {
    struct lb_dev *d;
    struct lb_buf buf[BUFFERS];
    void *w;
    size_t m, n, k;
};

/* What is multiplied: a (m, k) as U8, w (n, k) as S8. */
struct problem {
    size_t m, n, k;
    unsigned char *a;
    struct lb_ops_q *w;
    signed char *b; /* (k, n): w turned */
    int32_t *c;     /* room for oneDNN's result */
    const struct lb_dnnl *dnnl;
};

static struct lb_ref ref(struct job *j, int i)
{
    return (struct lb_ref){&j->buf[i], 0};
}

static int end(struct job *j, struct lb_err *err)
{
    return j->d->ops->sync ? lb_backend_result(j->d, "sync", j->d->ops->sync(j->d->dev), err) : 0;
}

static int dense(struct job *j, uint32_t type, struct lb_err *err)
{
    const struct lb_q_dense op = {.a = ref(j, A),
                                  .c = ref(j, C),
                                  .w = j->w,
                                  .m = j->m,
                                  .n = j->n,
                                  .k = j->k,
                                  .a_type = LB_Q_U8,
                                  .a_zero = 128,
                                  .out = {.type = type, .zero = 128, .low = 0, .high = 255}};
    return LB_RUN(j->d, q_dense, &op, err) || end(j, err) ? -1 : 0;
}

static int to_bytes(void *arg, struct lb_err *err)
{
    return dense(arg, LB_Q_U8, err);
}

static int to_sums(void *arg, struct lb_err *err)
{
    return dense(arg, LB_Q_S32, err);
}

static int multiply(struct job *j, struct lb_err *err)
{
    const struct lb_gemm op = {
        .a = ref(j, FLOATS_A), .b = ref(j, FLOATS_W), .c = ref(j, FLOATS_C), .m = j->m, .n = j->n, .k = j->k, .trans_b = 1};
    return LB_RUN(j->d, gemm, &op, err);
}

static int in_f32(void *arg, struct lb_err *err)
{
    struct job *j = arg;
    return multiply(j, err) || end(j, err) ? -1 : 0;
}

/* Codes to numbers, product, and codes again. */
static int there_and_back(void *arg, struct lb_err *err)
{
    struct job *j = arg;
    const struct lb_q_dequantize a = {
        .x = ref(j, A), .y = ref(j, FLOATS_A), .scale = ref(j, SCALE), .rows = j->m, .cols = j->k, .x_type = LB_Q_U8, .zero = 128};
    const struct lb_q_dequantize w = {
        .x = ref(j, W), .y = ref(j, FLOATS_W), .scale = ref(j, SCALE), .rows = j->n, .cols = j->k, .x_type = LB_Q_S8};
    const struct lb_q_quantize c = {
        .x = ref(j, FLOATS_C), .y = ref(j, C), .scale = ref(j, SCALE), .rows = j->m, .cols = j->n, .out = {LB_Q_U8, 128, 0, 255}};
    return LB_RUN(j->d, q_dequantize, &a, err) || LB_RUN(j->d, q_dequantize, &w, err) || multiply(j, err) ||
                   LB_RUN(j->d, q_quantize, &c, err) || end(j, err)
               ? -1
               : 0;
}

static int onednn(void *arg, struct lb_err *err)
{
    struct problem *p = arg;
    return lb_dnnl_u8s8s32(p->dnnl, p->m, p->n, p->k, p->a, p->b, p->c, err);
}

static int make_problem(struct problem *p, const struct bench *b, struct lb_err *err)
{
    const struct lb_ops_q_like like = {.rows = p->n, .cols = p->k, .type = LB_Q_S8, .bias = 1, .scaled = 1};
    p->dnnl = b->dnnl;
    p->a = lb_alloc(p->m * p->k, 1, err);
    p->b = lb_alloc(p->n * p->k, 1, err);
    p->c = lb_alloc(p->m * p->n, sizeof *p->c, err);
    if (!p->a || !p->b || !p->c || lb_ops_q_create(&like, 1, &p->w, err))
        return -1;
    for (size_t i = 0; i < p->m * p->k; i++)
        p->a[i] = (unsigned char)(canon_unit((uint32_t)i * 2654435761u) * 256.0f);
    for (size_t j = 0; j < p->n; j++)
        for (size_t k = 0; k < p->k; k++)
            p->b[k * p->n + j] = (signed char)p->w->codes[j * p->w->m.row_bytes + k];
    return 0;
}

static void free_problem(struct problem *p)
{
    lb_free(p->a);
    lb_free(p->b);
    lb_free(p->c);
    lb_ops_q_destroy(p->w);
}

static int make_job(struct job *j, struct lb_dev *d, const struct problem *p, struct lb_err *err)
{
    const size_t words[BUFFERS] = {[A] = p->m * p->k / 4 + 1, [W] = p->n * p->k / 4 + 1, [C] = p->m * p->n, [FLOATS_A] = p->m * p->k,
                                   [FLOATS_W] = p->n * p->k,  [FLOATS_C] = p->m * p->n,  [SCALE] = 1};
    const float one = 0x1p-10f;
    size_t bytes;
    *j = (struct job){.d = d, .m = p->m, .n = p->n, .k = p->k};
    if (!d->ops->q_dense || !d->ops->q_quantize || !d->ops->q_dequantize)
        return lb_fail(err, "%s: gemm_u8s8: unsupported", d->ops->base.name);
    for (int i = 0; i < BUFFERS; i++)
        if (lb_buf_create(d, words[i], &j->buf[i], err))
            return -1;
    j->w = d->ops->q_weights_create(d->dev, &p->w->m, &bytes);
    if (!j->w)
        return lb_backend_result(d, "q_weights_create", -1, err);
    return lb_buf_write(d, &j->buf[A], 0, p->a, p->m * p->k / 4, err) ||
                   lb_buf_write(d, &j->buf[W], 0, p->w->codes, p->n * p->k / 4, err) || lb_buf_write(d, &j->buf[SCALE], 0, &one, 1, err) ||
                   to_sums(j, err) || there_and_back(j, err)
               ? -1
               : 0;
}

static void free_job(struct job *j)
{
    for (int i = 0; i < BUFFERS; i++)
        lb_buf_destroy(j->d, &j->buf[i]);
    if (j->w)
        j->d->ops->q_weights_free(j->d->dev, j->w);
}

static void add_entries(struct job *j, struct bench_entry *e, size_t *n)
{
    static const struct {
        const char *format, *method;
        unsigned flags;
        int (*run)(void *arg, struct lb_err *err);
    } ways[WAYS] = {{"U8 x S8 -> U8", NULL, BENCH_INTEGER, to_bytes},
                    {"U8 x S8 -> S32", NULL, BENCH_INTEGER, to_sums},
                    {NULL, NULL, 0, in_f32},
                    {"U8 x S8 -> U8", "dequantize, multiply, quantize", BENCH_OTHER, there_and_back}};
    for (size_t i = 0; i < WAYS; i++)
        e[(*n)++] = (struct bench_entry){.backend = j->d->ops->base.name,
                                         .isa = j->d->info.isa,
                                         .threads = j->d->info.threads,
                                         .format = ways[i].format,
                                         .method = ways[i].method,
                                         .flags = ways[i].flags,
                                         .run = ways[i].run,
                                         .arg = j};
}

static int race(const struct bench *b, struct problem *p, struct lb_err *err)
{
    struct job job[LB_BENCH_BACKENDS + 1];
    struct bench_entry e[WAYS * (LB_BENCH_BACKENDS + 1) + 1];
    size_t jobs = 0, n = 0;
    char shape[64];
    snprintf(shape, sizeof shape, "%zux%zux%zu", p->m, p->n, p->k);
    const struct bench_work w = {.op = "gemm_u8s8", .shape = shape, .flops = 2.0 * (double)p->m * (double)p->n * (double)p->k};
    for (size_t i = 0; i < b->n; i++) {
        struct lb_err why = {0};
        if (!b->d[i]->ops->q_dense && b->n > 1)
            continue;
        if (!make_job(&job[jobs], b->d[i], p, &why)) {
            add_entries(&job[jobs++], e, &n);
            continue;
        }
        free_job(&job[jobs]);
        if (b->n == 1)
            return lb_fail(err, "%s", why.text);
        lb_log(LB_LOG_WARN, "bench: left out: %s", why.text);
    }
    if (p->dnnl && n)
        e[n++] = (struct bench_entry){.backend = "onednn",
                                      .isa = lb_dnnl_isa(p->dnnl),
                                      .threads = lb_dnnl_threads(p->dnnl),
                                      .format = "U8 x S8 -> S32",
                                      .flags = BENCH_INTEGER,
                                      .run = onednn,
                                      .arg = p};
    const int r = lb_bench_compare(b, &w, e, n, err);
    for (size_t i = 0; i < jobs; i++)
        free_job(&job[i]);
    return r;
}

int lb_bench_gemm_u8s8(const struct bench *b, struct lb_err *err)
{
    static const size_t usual[] = {1024, 2048};
    const struct lb_bench_options *o = b->o;
    const int own = o->m || o->n || o->k;
    for (size_t i = 0; i < (own ? 1 : sizeof usual / sizeof *usual); i++) {
        struct problem p = {.m = o->m ? o->m : usual[i], .n = o->n ? o->n : usual[i], .k = o->k ? o->k : usual[i]};
        const int r = make_problem(&p, b, err) || race(b, &p, err) ? -1 : 0;
        free_problem(&p);
        if (r)
            return -1;
    }
    return 0;
}
