/* SPDX-License-Identifier: MIT */
#include "core/nn/q_params.h"
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/format/scale.h"
#include "kernels/canon.h"

#include <math.h>

/* ---- Activations ---- */

int lb_q_check_activations(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    const uint32_t kind = f->codec->kind;
    if (c->n_layers || (kind != LB_SIGNED && kind != LB_UNSIGNED) || !f->codec->bits || f->codec->bits > 8)
        return lb_fail(err, "activations in format %s: mode integer wants an integer codec of up to 8 bits", c->name);
    if (c->per != LB_PER_TENSOR || c->rule == LB_SCALE_MULTIPLY || c->scale)
        return lb_fail(err, "activations in format %s: mode integer wants one scale in F32, {\"per\": \"tensor\"}", c->name);
    return 0;
}

int lb_q_params_of(const struct lb_format *f, float scale, float zero, const char *what, struct lb_q_params *out, struct lb_err *err)
{
    const int symmetric = lb_scale_is_symmetric(f);
    *out = (struct lb_q_params){.type = f->codec->kind == LB_SIGNED ? LB_Q_S8 : LB_Q_U8, .scale = scale};
    out->low = symmetric ? -(int32_t)f->high : (int32_t)f->low;
    out->high = (int32_t)f->high;
    if (!isfinite(scale) || !(scale > 0))
        return lb_fail(err, "tensor %s.scale: expected a finite number above 0, found %g", what, (double)scale);
    if (!(zero >= (float)out->low && zero <= (float)out->high) || zero != rintf(zero))
        return lb_fail(err, "tensor %s.zero_point: expected a whole number from %d to %d, found %g", what, out->low, out->high,
                       (double)zero);
    out->zero = (int32_t)zero;
    return 0;
}

int lb_q_multiplier(double r, int32_t *multiplier, int32_t *shift)
{
    enum { BITS = 22, MOST_SHIFT = 62 };
    int exponent;
    *multiplier = 0;
    *shift = 0;
    if (!isfinite(r) || r < 0)
        return -1;
    double m = rint(ldexp(frexp(r, &exponent), BITS));
    int s = BITS - exponent;
    if (m >= 1 << BITS) {
        m /= 2;
        s--;
    }
    if (s > MOST_SHIFT) {
        m = s - MOST_SHIFT > 64 ? 0 : rint(ldexp(m, MOST_SHIFT - s));
        s = MOST_SHIFT;
    }
    if (s < 0)
        return -1;
    *multiplier = (int32_t)m;
    *shift = m > 0 ? s : 0;
    return 0;
}

/* ---- Tables ---- */

static double activate(double x, uint32_t act, float alpha)
{
    switch (act) {
    case LB_RELU:
        return x < 0 ? 0 : x;
    case LB_SCALED_RELU:
        return x < 0 ? 0 : x * (double)alpha;
    case LB_SIGMOID: {
        const double e = canon_exp64(x < 0 ? x : -x);
        return x < 0 ? e / (1 + e) : 1 / (1 + e);
    }
    case LB_TANH: {
        const double e = canon_exp64(-2 * fabs(x)), y = (1 - e) / (1 + e);
        return x < 0 ? -y : y;
    }
    default:
        return x;
    }
}

void lb_q_table_fill(const struct lb_q_params *in, const struct lb_q_params *out, uint32_t act, float alpha, unsigned char table[256])
{
    for (int i = 0; i < 256; i++) {
        const int32_t q = in->type == LB_Q_S8 ? (int8_t)i : i;
        const double y = activate((double)(q - in->zero) * (double)in->scale, act, alpha) / (double)out->scale;
        const double code = (double)out->zero + rint(y);
        table[i] = (unsigned char)(int32_t)(code < out->low ? out->low : code > out->high ? out->high : code);
    }
}

/* ---- Weights ---- */

int lb_q_is_integer(const struct lb_format *f)
{
    return lb_format_is_whole(f) && f->config->per != LB_PER_BLOCK;
}

/* The least f that makes all values of the codec whole numbers; -1: there is none. *low, *high: the least and the largest of them. */
static int factor_of(const struct lb_codes *q, double *low, double *high)
{
    const size_t n = q->codec->bits && q->codec->bits <= 8 ? (size_t)1 << q->codec->bits : 0;
    for (int f = 0; n && f <= 8; f++) {
        size_t whole = 0;
        *low = *high = 0;
        for (size_t i = 0; i < n; i++) {
            const double v = ldexp((double)q->values[i], f);
            whole += isfinite(v) && v == rint(v);
            *low = v < *low ? v : *low;
            *high = v > *high ? v : *high;
        }
        if (whole == n)
            return (*low >= -128 && *high <= 127) || (*low >= 0 && *high <= 255) ? f : -1;
    }
    return -1;
}

static int take_zero(const struct lb_packed *p, size_t row, int f, const char *what, struct lb_q_weights *out, struct lb_err *err)
{
    const double z = ldexp((double)p->zeros[row * p->scale_row], f);
    if (!(z >= -255 && z <= 255) || z != rint(z))
        return lb_fail(err, "tensor %s: zero point %g of output %zu: integer products want whole numbers from -255 to 255", what, z, row);
    out->zero[row] = (int32_t)z;
    return 0;
}

int lb_q_weights_of(const struct lb_packed *p, const char *what, struct lb_q_weights *out, struct lb_err *err)
{
    double low, high;
    const int f = p->q.values ? factor_of(&p->q, &low, &high) : -1;
    if (f < 0 || (p->scaled && p->block < p->cols))
        return lb_fail(err, "tensor %s: integer products want a codec of whole numbers of at most 8 bits, and one scale an output", what);
    *out = (struct lb_q_weights){.rows = p->rows, .cols = p->cols};
    out->type = low >= -8 && high <= 7 ? LB_Q_S4 : low >= 0 && high <= 15 ? LB_Q_U4 : high <= 127 ? LB_Q_S8 : LB_Q_U8;
    size_t elems;
    out->w = lb_mul(p->rows, p->cols, &elems) ? NULL : lb_alloc(elems, sizeof *out->w, err);
    out->scale = lb_alloc(p->rows, sizeof *out->scale, err);
    out->zero = p->zeros ? lb_alloc(p->rows, sizeof *out->zero, err) : NULL;
    float *row = lb_alloc(p->cols, sizeof *row, err);
    int r = !out->w || !out->scale || (p->zeros && !out->zero) || !row ? -1 : 0;
    for (size_t i = 0; !r && i < p->rows; i++) {
        p->q.decode(&p->q, p->codes + i * p->row_bytes, 0, p->cols, row);
        for (size_t j = 0; j < p->cols; j++)
            out->w[i * p->cols + j] = (int16_t)ldexpf(row[j], f);
        out->scale[i] = ldexpf(p->scaled ? lb_packed_scale(p, i * p->scale_row) : 1.0f, -f);
        r = p->zeros ? take_zero(p, i, f, what, out, err) : 0;
    }
    lb_free(row);
    if (r)
        lb_q_weights_finish(out);
    return r;
}

void lb_q_weights_finish(struct lb_q_weights *w)
{
    lb_free(w->w);
    lb_free(w->zero);
    lb_free(w->scale);
    *w = (struct lb_q_weights){0};
}
