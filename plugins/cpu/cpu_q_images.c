/* SPDX-License-Identifier: MIT */
/* cpu_q_images.c - pools, im2col and col2im of integer images; a job is some rows of what is made. */
#include "plugins/cpu/cpu_q.h"

enum { SAME = 16 /* equal factors: what requantize takes for one */ };

struct images {
    struct cpu_device *d;
    const void *op;
    const struct lb_q_conv *s;
    size_t rows, height, jobs; /* rows of all images; of one */
    void (*row)(const struct images *m, size_t n, size_t y, int32_t *sums);
    double *f;     /* (factors, SAME) */
    int small;     /* none is above 1 */
    int32_t *sums; /* (jobs, c) */
};

static void run_job(void *arg, size_t job)
{
    const struct images *m = arg;
    for (size_t i = m->rows * job / m->jobs; i < m->rows * (job + 1) / m->jobs; i++)
        m->row(m, i / m->height, i % m->height, m->sums + job * m->s->c);
}

/* `bytes`: about what is read and written; factors: multiplier and shift in turn. */
static int run(struct images *m, size_t height, double bytes, const int32_t *factors, size_t n_factors)
{
    const struct lb_host *h = m->d->host;
    m->height = height;
    m->rows = m->s->n * height;
    m->jobs = conv_min(q_jobs(m->d, bytes, Q_BYTES_OF_A_THREAD), m->rows);
    if (m->rows == 0)
        return 0;
    char *work = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t used = 0;
        m->f = conv_take(work, &used, n_factors * SAME, sizeof *m->f);
        m->sums = conv_take(work, &used, m->jobs * m->s->c, sizeof *m->sums);
        if (!work && !(work = cpu_work(m->d, used + 1)))
            return -1;
    }
    m->small = 1;
    for (size_t i = 0; i < n_factors * SAME; i++) {
        m->f[i] = q_factor(factors[i / SAME * 2], factors[i / SAME * 2 + 1]);
        m->small = m->small && m->f[i] <= 1;
    }
    h->parallel(h, m->jobs, run_job, m);
    return 0;
}

/* The taps k0 .. k1 - 1 of position `out` that lie inside of a side; dilation 1. */
static void inside(const struct lb_q_conv *s, size_t out, size_t taps, size_t side, size_t *k0, size_t *k1)
{
    const size_t at = out * s->stride;
    *k0 = at < s->pad ? conv_min(s->pad - at, taps) : 0;
    *k1 = at < side + s->pad ? conv_min(side + s->pad - at, taps) : 0;
    *k1 = *k1 < *k0 ? *k0 : *k1;
}

/* ---- Pools ---- */

static void average_of(const struct images *m, const struct q8_window *w, int32_t *sums, unsigned char *y)
{
    const struct lb_q_pool *o = m->op;
    const size_t c = m->s->c, taps = w->rows * w->cols;
    const unsigned char flip = q_flip(o->x_type);
    const struct q8_out out = q_out(&o->out, m->small);
    m->d->k.q8_rows.sum_window(w, c, flip, -(int32_t)taps * (o->x_zero + flip), sums);
    m->d->k.q8.requantize(sums, c, m->f + (taps - 1) * SAME, 1, &out, y);
}

static void pool_row(const struct images *m, size_t n, size_t oy, int32_t *sums)
{
    const struct lb_q_pool *o = m->op;
    const struct lb_q_conv *s = m->s;
    size_t ky0, ky1;
    inside(s, oy, s->kh, s->h, &ky0, &ky1);
    for (size_t ox = 0; ox < s->ow; ox++) {
        size_t kx0, kx1;
        inside(s, ox, s->kw, s->w, &kx0, &kx1);
        if (ky0 == ky1 || kx0 == kx1)
            continue;
        const size_t y = oy * s->stride + ky0 - s->pad, x = ox * s->stride + kx0 - s->pad;
        const struct q8_window window = {
            .x = q_bytes(o->x) + ((n * s->h + y) * s->w + x) * s->c, .rows = ky1 - ky0, .cols = kx1 - kx0, .row = s->w * s->c, .col = s->c};
        unsigned char *to = q_bytes(o->y) + ((n * s->oh + oy) * s->ow + ox) * s->c;
        if (o->kind == LB_Q_MAX)
            m->d->k.q8_rows.largest(&window, s->c, q_flip(o->x_type), to);
        else
            average_of(m, &window, sums, to);
    }
}

int cpu_q_pool(void *dev, const struct lb_q_pool *o)
{
    const struct lb_q_conv *s = &o->s;
    struct images m = {.d = dev, .op = o, .s = s, .row = pool_row};
    if (s->c == 0)
        return 0;
    return run(&m, s->oh, (double)(s->n * s->oh * s->ow) * (double)(s->c * s->kh * s->kw), lb_i32(o->scales),
               o->kind == LB_Q_AVERAGE ? s->kh * s->kw : 0);
}

/* ---- im2col ---- */

/* What position (oy, ox) sees in row ky of its kernel. */
static void kernel_row(const struct images *m, size_t n, size_t oy, size_t ox, size_t ky, unsigned char *y)
{
    const struct lb_q_columns *o = m->op;
    const struct lb_q_conv *s = m->s;
    const int zero = (unsigned char)o->zero;
    const size_t iy = oy * s->stride + ky * s->dilation - s->pad; /* wraps to huge where outside */
    const unsigned char *x = q_bytes(o->x) + (n * s->h + (iy < s->h ? iy : 0)) * s->w * s->c;
    size_t kx0 = 0, kx1 = 0;
    if (iy < s->h && s->dilation == 1)
        inside(s, ox, s->kw, s->w, &kx0, &kx1);
    memset(y, zero, kx0 * s->c);
    if (kx1 > kx0)
        memcpy(y + kx0 * s->c, x + (ox * s->stride + kx0 - s->pad) * s->c, (kx1 - kx0) * s->c);
    memset(y + kx1 * s->c, zero, (s->kw - kx1) * s->c);
    for (size_t kx = 0; kx < s->kw && iy < s->h && s->dilation > 1; kx++) {
        const size_t ix = ox * s->stride + kx * s->dilation - s->pad;
        if (ix < s->w)
            memcpy(y + kx * s->c, x + ix * s->c, s->c);
    }
}

static void im2col_row(const struct images *m, size_t n, size_t oy, int32_t *sums)
{
    const struct lb_q_columns *o = m->op;
    const struct lb_q_conv *s = m->s;
    unsigned char *y = q_bytes(o->y) + (n * s->oh + oy) * s->ow * s->kh * s->kw * s->c;
    (void)sums;
    for (size_t ox = 0; ox < s->ow; ox++)
        for (size_t ky = 0; ky < s->kh; ky++, y += s->kw * s->c)
            kernel_row(m, n, oy, ox, ky, y);
}

int cpu_q_im2col(void *dev, const struct lb_q_columns *o)
{
    const struct lb_q_conv *s = &o->s;
    struct images m = {.d = dev, .op = o, .s = s, .row = im2col_row};
    return run(&m, s->oh, (double)(s->n * s->oh * s->ow) * (double)(s->kh * s->kw * s->c), NULL, 0);
}

/* ---- col2im ---- */

/* The output position that sees place i with tap k; SIZE_MAX where none does. */
static size_t seen_by(const struct lb_q_conv *s, size_t i, size_t k, size_t outs)
{
    const size_t at = i + s->pad - k * s->dilation; /* wraps to huge */
    return i + s->pad >= k * s->dilation && at % s->stride == 0 && at / s->stride < outs ? at / s->stride : SIZE_MAX;
}

static void col2im_row(const struct images *m, size_t n, size_t iy, int32_t *sums)
{
    const struct lb_q_col2im *o = m->op;
    const struct lb_q_conv *s = m->s;
    const unsigned char flip = q_flip(o->x_type);
    const struct q8_out out = q_out(&o->out, m->small);
    for (size_t ix = 0; ix < s->w; ix++) {
        const size_t at = ((n * s->h + iy) * s->w + ix) * s->c;
        int32_t *v = out.bytes == 4 ? lb_i32(o->y) + at : sums;
        uint32_t taps = 0;
        memset(v, 0, s->c * sizeof *v);
        for (size_t k = 0; k < s->kh * s->kw; k++) {
            const size_t oy = seen_by(s, iy, k / s->kw, s->oh), ox = seen_by(s, ix, k % s->kw, s->ow);
            if (oy == SIZE_MAX || ox == SIZE_MAX)
                continue;
            m->d->k.q8_rows.sum(q_bytes(o->x) + (((n * s->oh + oy) * s->ow + ox) * s->kh * s->kw + k) * s->c, s->c, flip, v);
            taps++;
        }
        for (size_t i = 0; i < s->c; i++)
            v[i] = (int32_t)((uint32_t)v[i] - taps * (uint32_t)(o->x_zero + flip));
        if (out.bytes == 1)
            m->d->k.q8.requantize(v, s->c, m->f, 1, &out, q_bytes(o->y) + at);
    }
}

int cpu_q_col2im(void *dev, const struct lb_q_col2im *o)
{
    const struct lb_q_conv *s = &o->s;
    struct images m = {.d = dev, .op = o, .s = s, .row = col2im_row};
    const int32_t factor[2] = {o->multiplier, o->shift};
    return run(&m, s->h, (double)(s->n * s->oh * s->ow) * (double)(s->kh * s->kw * s->c), factor, o->out.type == LB_Q_S32 ? 0 : 1);
}
