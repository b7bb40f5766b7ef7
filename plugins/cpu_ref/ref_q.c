/* SPDX-License-Identifier: MIT */
/* ref_q.c - products of integer tensors. */
#include "plugins/cpu_ref/ref_q.h"

/* Weights as w - zero. */
struct weights {
    size_t rows, cols;
    int16_t *w;                  /* (rows, cols) */
    int32_t *bias;               /* (rows) */
    int32_t *multiplier, *shift; /* (rows); 1 and 0 where outputs are S32 */
};

static int32_t code(const struct lb_q_matrix *m, size_t i, size_t j)
{
    const unsigned char *row = (const unsigned char *)m->codes + i * m->row_bytes;
    if (m->type == LB_Q_U8 || m->type == LB_Q_S8)
        return ref_q(m->type, row[j]);
    const int32_t half = row[j / 2] >> (j % 2 ? 4 : 0) & 15;
    return m->type == LB_Q_S4 && half >= 8 ? half - 16 : half;
}

void *ref_q_weights_create(void *dev, const struct lb_q_matrix *m, size_t *bytes)
{
    const struct device *d = dev;
    const size_t terms = m->rows * m->cols;
    struct weights *w = ref_alloc(d, 1, sizeof *w + terms * sizeof *w->w + 3 * m->rows * sizeof *w->bias);
    if (!w)
        return NULL;
    *w = (struct weights){.rows = m->rows, .cols = m->cols};
    w->bias = (int32_t *)(w + 1);
    w->multiplier = w->bias + m->rows;
    w->shift = w->multiplier + m->rows;
    w->w = (int16_t *)(w->shift + m->rows);
    for (size_t i = 0; i < m->rows; i++) {
        w->bias[i] = m->bias ? m->bias[i] : 0;
        w->multiplier[i] = m->multiplier ? m->multiplier[i] : 1;
        w->shift[i] = m->multiplier ? m->shift[i] : 0;
        for (size_t j = 0; j < m->cols; j++)
            w->w[i * m->cols + j] = (int16_t)(code(m, i, j) - (m->zero ? m->zero[i] : 0));
    }
    *bytes = terms * sizeof *w->w + 3 * m->rows * sizeof *w->bias;
    return w;
}

void ref_q_weights_free(void *dev, void *w)
{
    const struct device *d = dev;
    d->host->free(d->host, w);
}

int ref_q_dense(void *dev, const struct lb_q_dense *o)
{
    const struct weights *w = o->w;
    const unsigned char *a = ref_bytes(o->a);
    (void)dev;
    for (size_t i = 0; i < o->m; i++)
        for (size_t j = 0; j < o->n; j++) {
            uint32_t sum = (uint32_t)w->bias[j];
            for (size_t k = 0; k < o->k; k++)
                sum += (uint32_t)((ref_q(o->a_type, a[i * o->k + k]) - o->a_zero) * w->w[j * o->k + k]);
            ref_q_store(&o->out, o->c, i * o->n + j, (int32_t)sum, w->multiplier[j], w->shift[j]);
        }
    return 0;
}

/* Where tap `tap` of output position `out` lies along one side of the input; SIZE_MAX where it is not inside. */
static size_t place(const struct lb_q_conv *s, size_t out, size_t tap, size_t side)
{
    const size_t reach = s->dilation * tap;
    if (!s->transposed) {
        const size_t at = out * s->stride + reach - s->pad; /* wraps to huge where outside */
        return at < side ? at : SIZE_MAX;
    }
    if (out + s->pad < reach || (out + s->pad - reach) % s->stride)
        return SIZE_MAX;
    const size_t at = (out + s->pad - reach) / s->stride;
    return at < side ? at : SIZE_MAX;
}

/* The sum of output o at position (oy, ox) of image x. */
static int32_t conv_sum(const struct lb_q_conv2d *op, const unsigned char *x, size_t oy, size_t ox, size_t o)
{
    const struct lb_q_conv *s = &op->s;
    const struct weights *w = op->w;
    const size_t channels = s->c / s->groups, first = o / (s->o / s->groups) * channels;
    const int16_t *row = w->w + o * w->cols;
    uint32_t sum = (uint32_t)w->bias[o];
    for (size_t ky = 0; ky < s->kh; ky++)
        for (size_t kx = 0; kx < s->kw; kx++) {
            const size_t iy = place(s, oy, ky, s->h), ix = place(s, ox, kx, s->w);
            if (iy == SIZE_MAX || ix == SIZE_MAX)
                continue; /* the input's zero, less itself */
            for (size_t c = 0; c < channels; c++)
                sum += (uint32_t)((ref_q(op->x_type, x[(iy * s->w + ix) * s->c + first + c]) - op->x_zero) *
                                  row[(ky * s->kw + kx) * channels + c]);
        }
    return (int32_t)sum;
}

int ref_q_conv2d(void *dev, const struct lb_q_conv2d *op)
{
    const struct lb_q_conv *s = &op->s;
    const struct weights *w = op->w;
    (void)dev;
    for (size_t n = 0; n < s->n; n++)
        for (size_t p = 0; p < s->oh * s->ow; p++)
            for (size_t o = 0; o < s->o; o++)
                ref_q_store(&op->out, op->y, (n * s->oh * s->ow + p) * s->o + o,
                            conv_sum(op, ref_bytes(op->x) + n * s->h * s->w * s->c, p / s->ow, p % s->ow, o), w->multiplier[o],
                            w->shift[o]);
    return 0;
}

/* Element (i, j) of product number `at`. */
static int32_t gemm_sum(const struct lb_q_gemm *o, size_t at, size_t i, size_t j)
{
    const unsigned char *a = ref_bytes(o->a) + at * o->a_step + i * o->a_row, *b = ref_bytes(o->b) + at * o->b_step;
    const int32_t b_zero = o->b_zeros.buf ? lb_i32(o->b_zeros)[j] : o->b_zero;
    uint32_t sum = 0;
    for (size_t k = 0; k < o->k; k++) {
        const unsigned char factor = o->trans_b ? b[j * o->b_row + k] : b[k * o->b_row + j];
        sum += (uint32_t)((ref_q(o->a_type, a[k]) - o->a_zero) * (ref_q(o->b_type, factor) - b_zero));
    }
    return (int32_t)sum;
}

int ref_q_gemm(void *dev, const struct lb_q_gemm *o)
{
    (void)dev;
    for (size_t at = 0; at < o->batch; at++)
        for (size_t i = 0; i < o->m; i++)
            for (size_t j = 0; j < o->n; j++) {
                const size_t scale = o->per_column ? j : 0;
                const int32_t multiplier = o->multiplier.buf ? lb_i32(o->multiplier)[scale] : 1;
                const int32_t shift = o->multiplier.buf ? lb_i32(o->shift)[scale] : 0;
                ref_q_store(&o->out, o->c, at * o->c_step + i * o->c_row + j, gemm_sum(o, at, i, j), multiplier, shift);
            }
    return 0;
}
