/* SPDX-License-Identifier: MIT */
/* cpu_q_rows.c - ops on integer tensors element by element. */
#include "plugins/cpu/cpu_q.h"

/* ---- Elements in runs, dealt to threads ---- */

enum { RUN = 2048, SAME = 16 };

struct elements {
    struct cpu_device *d;
    const void *op;
    size_t n, cols, jobs; /* cols: what a row has where rows matter; otherwise n */
    /* Elements i .. i + n - 1, which are of one row, from its column j on. */
    void (*some)(const struct elements *e, size_t i, size_t j, size_t n);
    const double *f; /* factors, of columns or SAME times one */
    int small;
};

static void run_job(void *arg, size_t job)
{
    const struct elements *e = arg;
    const size_t end = e->n / e->jobs * (job + 1) + (job + 1 == e->jobs ? e->n % e->jobs : 0);
    for (size_t i = e->n / e->jobs * job, n; i < end; i += n) {
        const size_t j = i % e->cols;
        n = conv_min(conv_min(RUN, e->cols - j), end - i);
        e->some(e, i, j, n);
    }
}

static int run(struct elements *e)
{
    if (e->n == 0)
        return 0;
    e->jobs = q_jobs(e->d, (double)e->n, Q_BYTES_OF_A_THREAD);
    e->d->host->parallel(e->d->host, e->jobs, run_job, e);
    return 0;
}

/* Factors m 2^-s as numbers: `n` of them, or SAME of the first. 0 or -1. */
static int make_factors(struct elements *e, const int32_t *multiplier, const int32_t *shift, size_t n, int one)
{
    const size_t padded = one ? SAME : n + SAME; /* a run may end anywhere */
    double *f = cpu_work(e->d, padded * sizeof *f);
    if (!f)
        return -1;
    e->small = 1;
    for (size_t i = 0; i < padded; i++) {
        const size_t from = one ? 0 : i;
        f[i] = from < n ? q_factor(multiplier[from], shift[from]) : 0;
        e->small = e->small && f[i] <= 1;
    }
    e->f = f;
    return 0;
}

/* ---- Table ---- */

static void some_table(const struct elements *e, size_t i, size_t j, size_t n)
{
    const struct lb_q_table *o = e->op;
    (void)j;
    e->d->k.q8_rows.table(q_bytes(o->x) + i, n, q_bytes(o->table), q_bytes(o->y) + i);
}

int cpu_q_table(void *dev, const struct lb_q_table *o)
{
    struct elements e = {.d = dev, .op = o, .n = o->n, .cols = o->n, .some = some_table};
    return run(&e);
}

/* ---- Two tensors ---- */

static void some_binary(const struct elements *e, size_t i, size_t j, size_t n)
{
    const struct lb_q_binary *o = e->op;
    const unsigned char fa = q_flip(o->a_type), fb = q_flip(o->b_type);
    const struct q8_side a = {q_bytes(o->a) + i, fa, o->a_zero + fa, o->a_multiplier};
    const struct q8_side b = {q_bytes(o->b) + i, fb, o->b_zero + fb, o->b_multiplier};
    const struct q8_out out = q_out(&o->out, e->small);
    int32_t v[RUN];
    (void)j;
    (o->kind == LB_Q_ADD ? e->d->k.q8_rows.add : e->d->k.q8_rows.multiply)(&a, &b, n, v);
    e->d->k.q8.requantize(v, n, e->f, 1, &out, q_bytes(o->y) + i);
}

int cpu_q_binary(void *dev, const struct lb_q_binary *o)
{
    struct elements e = {.d = dev, .op = o, .n = o->n, .cols = o->n, .some = some_binary};
    const int32_t multiplier = o->kind == LB_Q_ADD ? 1 : o->a_multiplier;
    return make_factors(&e, &multiplier, &o->shift, 1, 1) ? -1 : run(&e);
}

/* ---- Other types ---- */

static void some_requantize(const struct elements *e, size_t i, size_t j, size_t n)
{
    const struct lb_q_requantize *o = e->op;
    const struct q8_out out = q_out(&o->out, e->small);
    if (out.bytes == 4)
        memmove(lb_i32(o->y) + i, lb_i32(o->x) + i, n * sizeof(int32_t));
    else
        e->d->k.q8.requantize(lb_i32(o->x) + i, n, e->f + (o->per_column ? j : 0), !o->per_column, &out, q_bytes(o->y) + i);
}

int cpu_q_requantize(void *dev, const struct lb_q_requantize *o)
{
    struct elements e = {.d = dev, .op = o, .n = o->rows * o->cols, .some = some_requantize};
    e.cols = o->per_column ? o->cols : e.n;
    if (o->out.type != LB_Q_S32 && make_factors(&e, lb_i32(o->multiplier), lb_i32(o->shift), o->per_column ? o->cols : 1, !o->per_column))
        return -1;
    return run(&e);
}

static void some_quantize(const struct elements *e, size_t i, size_t j, size_t n)
{
    const struct lb_q_quantize *o = e->op;
    const struct q8_out out = q_out(&o->out, 1);
    e->d->k.q8_rows.quantize(lb_f32(o->x) + i, n, lb_f32(o->scale) + (o->per_column ? j : 0), !o->per_column, &out, q_bytes(o->y) + i);
}

int cpu_q_quantize(void *dev, const struct lb_q_quantize *o)
{
    struct elements e = {.d = dev, .op = o, .n = o->rows * o->cols, .some = some_quantize};
    e.cols = o->per_column ? o->cols : e.n;
    return run(&e);
}

static void some_dequantize(const struct elements *e, size_t i, size_t j, size_t n)
{
    const struct lb_q_dequantize *o = e->op;
    const struct q8_rows_kernels *k = &e->d->k.q8_rows;
    const float *scale = lb_f32(o->scale) + (o->per_column ? j : 0);
    const unsigned char flip = q_flip(o->x_type);
    if (o->x_type == LB_Q_S32)
        k->dequantize_s32(lb_i32(o->x) + i, n, o->zero, scale, !o->per_column, lb_f32(o->y) + i);
    else
        k->dequantize(q_bytes(o->x) + i, n, flip, o->zero + flip, scale, !o->per_column, lb_f32(o->y) + i);
}

int cpu_q_dequantize(void *dev, const struct lb_q_dequantize *o)
{
    struct elements e = {.d = dev, .op = o, .n = o->rows * o->cols, .some = some_dequantize};
    e.cols = o->per_column ? o->cols : e.n;
    return run(&e);
}
