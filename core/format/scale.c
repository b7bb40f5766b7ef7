/* SPDX-License-Identifier: MIT */
#include "core/format/scale.h"
#include "core/base/mem.h"
#include "core/format/lanes.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int lb_groups_of(const struct lb_format *f, unsigned ndim, const size_t *shape, struct lb_groups *g, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    *g = (struct lb_groups){.rows = ndim < 2 ? 1 : shape[0], .cols = 1};
    size_t elems;
    for (unsigned i = ndim < 2 ? 0 : 1; i < ndim; i++)
        if (lb_mul(g->cols, shape[i], &g->cols))
            return lb_fail(err, "more elements than this machine can address");
    if (lb_mul(g->rows, g->cols, &elems))
        return lb_fail(err, "more elements than this machine can address");
    g->rows = elems ? g->rows : 0; /* [9999999999, 0]: nobody counts such rows */
    g->block = c->per == LB_PER_BLOCK && (size_t)c->block < g->cols ? (size_t)c->block : g->cols;
    g->per_row = c->per == LB_PER_BLOCK                             ? (g->cols + (size_t)c->block - 1) / (size_t)c->block
                 : c->per == LB_PER_CHANNEL || c->per == LB_PER_ROW ? 1
                                                                    : 0;
    g->n = c->per == LB_PER_NONE || c->per == LB_PER_TENSOR ? 1 : g->rows * g->per_row;
    return 0;
}

void lb_scales_finish(struct lb_scales *s)
{
    lb_free(s->s);
    lb_free(s->zeros);
    lb_free(s->codes);
    lb_free(s->scale2);
    *s = (struct lb_scales){0};
}

/* ---- What shares a scale ---- */

/* The elements of one group: x, so many. Groups of a whole matrix, of rows and of blocks are all in one piece. */
struct group {
    const float *x;
    size_t n;
};

static struct group group_of(const struct lb_groups *g, const float *x, size_t i)
{
    if (!g->per_row)
        return (struct group){x, g->rows * g->cols};
    const size_t row = i / g->per_row, from = i % g->per_row * g->block;
    return (struct group){x + row * g->cols + from, g->cols - from < g->block ? g->cols - from : g->block};
}

static float amax_of(struct group e)
{
    float amax = 0;
    if (e.n)
        lb_lanes_amax(e.x, e.n, e.n, &amax);
    if (amax == amax)
        return amax;
    amax = 0;
    for (size_t i = 0; i < e.n; i++) {
        const float b = e.x[i] < 0 ? -e.x[i] : e.x[i];
        amax = b > amax ? b : amax;
    }
    return amax;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The magnitude below which `percentile` percent of them lie; `work` holds e.n. */
static float quantile(struct group e, double percentile, float *work)
{
    size_t n = 0;
    for (size_t i = 0; i < e.n; i++)
        if (e.x[i] == e.x[i])
            work[n++] = fabsf(e.x[i]);
    if (!n)
        return 0;
    qsort(work, n, sizeof *work, by_value);
    const size_t k = (size_t)ceil(percentile / 100 * (double)n);
    return work[(k > n ? n : k ? k : 1) - 1];
}

/* ---- Powers of two ---- */

/* floor(log2(a)) of a > 0, finite, after `up` was added to its bits as a normal number; and whether a is no power of two. */
static int exponent(float a, uint32_t up, int *more)
{
    const int lower = canon_bits(a) < 0x800000u ? 24 : 0;
    const uint32_t bits = canon_bits(lower ? a * 0x1p24f : a);
    *more = (bits & 0x7fffffu) != 0;
    return (int)((bits + up) >> 23) - 127 - lower;
}

float lb_scale_power(uint32_t rule, float amax, float top, int emax, int fraction)
{
    int more = 0, e;
    const float a = rule == LB_SCALE_RCEIL ? canon_div(amax, top) : amax;
    if (a == 0)
        e = -127;
    else {
        e = exponent(a, rule == LB_SCALE_EVEN && fraction < 23 ? 1u << (22 - fraction) : 0, &more);
        e += (rule == LB_SCALE_CEIL || rule == LB_SCALE_RCEIL) && more;
        e -= rule == LB_SCALE_RCEIL ? 0 : emax;
    }
    e = e < -127 ? -127 : e > 127 ? 127 : e;
    return e == -127 ? 0x1p-127f : canon_float((uint32_t)(e + 127) << 23);
}

int lb_scale_emax(const struct lb_format *f)
{
    int more;
    return exponent((float)f->high, 0, &more);
}

int lb_scale_fraction(const struct lb_format *f)
{
    size_t n, count = 0;
    const double *values;
    const uint32_t *codes;
    lb_coder_members(f->coder, &n, &values, &codes);
    const double above = ldexp(1, lb_scale_emax(f));
    for (size_t i = 0; i < n; i++)
        count += values[i] >= above / 2 && values[i] < above;
    int fraction = 0;
    while (count >> (fraction + 1))
        fraction++;
    return fraction;
}

/* ---- Numbers to codes and back ---- */

int lb_scale_is_symmetric(const struct lb_format *f)
{
    const struct lb_format_config *c = f->config;
    return f->codec->kind == LB_SIGNED && f->codec->bits && f->codec->bits <= 16 && c->per != LB_PER_NONE && !lb_scale_has_zero(c);
}

float lb_scale_into(const struct lb_format *f, float x, float s, float z)
{
    const struct lb_format_config *c = f->config;
    if (c->rule == LB_SCALE_NONE)
        return x;
    if (c->rule == LB_SCALE_MULTIPLY)
        return (x + (float)c->add) * (float)c->multiply;
    const float t = s == 0 ? 0.0f : canon_div(x, s);
    if (lb_scale_has_zero(c))
        return s == 0 ? z : z + t;
    return lb_scale_is_symmetric(f) && t < -(float)f->high ? -(float)f->high : t;
}

float lb_scale_out(const struct lb_format *f, float q, float s, float z)
{
    const struct lb_format_config *c = f->config;
    if (c->rule == LB_SCALE_NONE)
        return canon_nan(q);
    if (c->rule == LB_SCALE_MULTIPLY)
        return canon_nan(canon_div(q, (float)c->multiply) - (float)c->add);
    return canon_nan(lb_scale_has_zero(c) ? (q - z) * s : q * s);
}

/* ---- One scale ---- */

struct making {
    const struct lb_format *f;
    float top;
    float *work; /* as many as a group has, for percentiles */
    struct lb_err *err;
};

/* What a scale is worth when it is stored by itself. */
static float stored_alone(const struct lb_format *scale, float s)
{
    unsigned char code[8] = {0};
    const struct lb_encode how = {.rounding = scale->config->rounding, .overflow = scale->config->overflow};
    lb_encode_f32(scale->coder, &how, &s, 1, code);
    lb_decode_f32(scale->coder, code, 1, &s);
    return s;
}

/* Candidates side by side: each sum is a chain of additions, and one waits while others go on. */
enum { SIDE = 4, PART = 256 /* elements at a time, whole bytes of codes */ };

/* What n elements are worth in scale s. */
static void worth(const struct making *m, const float *x, size_t n, float s, float *v)
{
    const struct lb_encode how = {.rounding = m->f->config->rounding == LB_STOCHASTIC ? LB_NEAREST : m->f->config->rounding,
                                  .overflow = m->f->config->overflow};
    float t[PART];
    unsigned char codes[PART * sizeof(uint64_t)];
    lb_lanes_divide(x, n, n, &s, lb_scale_is_symmetric(m->f) ? -(float)m->f->high : -INFINITY, t);
    if (!lb_round_f32(m->f->coder, &how, t, n, v)) {
        lb_encode_f32(m->f->coder, &how, t, n, codes);
        lb_decode_f32(m->f->coder, codes, n, v);
    }
    for (size_t i = 0; i < n; i++)
        v[i] = canon_nan(v[i] * s);
}

/* The sums of the squared errors in order, for each scale; or any that are not below `least` where these are not: squares make none smaller. */
static void squared_errors(const struct making *m, struct group e, const float s[SIDE], double least, double sum[SIDE])
{
    float v[SIDE][PART];
    int open = 1;
    for (int j = 0; j < SIDE; j++)
        sum[j] = 0;
    for (size_t at = 0; at < e.n && open; at += PART) {
        const size_t n = e.n - at < PART ? e.n - at : PART;
        const float *x = e.x + at;
        for (int j = 0; j < SIDE; j++)
            worth(m, x, n, s[j], v[j]);
        for (size_t i = 0; i < n; i++)
            for (int j = 0; j < SIDE; j++) {
                const double d = (double)x[i] - (double)v[j][i];
                sum[j] += d * d;
            }
        open = 0;
        for (int j = 0; j < SIDE; j++)
            open |= !(sum[j] >= least);
    }
}

static float least_error(const struct making *m, struct group e)
{
    enum { FIRST = 64, LAST = 16 };
    const struct lb_format *scale = m->f->scale;
    const int alone = scale->config->rule == LB_SCALE_NONE;
    const float whole = canon_div(amax_of(e), m->top);
    float best = whole, raw[SIDE], s[SIDE];
    double least = INFINITY, sum[SIDE];
    for (int i = FIRST; i >= LAST; i -= SIDE) {
        for (int j = 0; j < SIDE; j++) {
            raw[j] = whole * ((float)(i - j < LAST ? LAST : i - j) * 0x1p-6f);
            s[j] = alone ? stored_alone(scale, raw[j]) : raw[j];
        }
        squared_errors(m, e, s, least, sum);
        for (int j = 0; j < SIDE; j++)
            if (sum[j] < least) {
                least = sum[j];
                best = raw[j];
            }
    }
    return best;
}

static float range_of(const struct making *m, struct group e)
{
    float low = 0, high = 0;
    for (size_t i = 0; i < e.n; i++) {
        low = e.x[i] < low ? e.x[i] : low;
        high = e.x[i] > high ? e.x[i] : high;
    }
    return canon_div(high - low, (float)(m->f->high - m->f->low));
}

static float zero_of(const struct making *m, struct group e, float s)
{
    const float first = (float)m->f->low, last = (float)m->f->high;
    float low = 0;
    for (size_t i = 0; i < e.n; i++)
        low = e.x[i] < low ? e.x[i] : low;
    if (s == 0)
        return first;
    const float z = rintf(first - canon_div(low, s));
    return z < first ? first : z > last ? last : z == z ? z : first;
}

/* R of docs/arithmetic.md, 8.10, of the rules that look at more than the largest magnitude. */
static float raw(const struct making *m, struct group e)
{
    const struct lb_format_config *c = m->f->config;
    if (c->rule == LB_SCALE_PERCENTILE)
        return canon_div(quantile(e, c->percentile, m->work), m->top);
    return c->rule == LB_SCALE_MSE ? least_error(m, e) : range_of(m, e);
}

/* ---- By the largest magnitude ---- */

static int is_simple(const struct lb_format *f)
{
    const int rule = f->config->rule;
    return rule != LB_SCALE_PERCENTILE && rule != LB_SCALE_MSE && rule != LB_SCALE_ASYMMETRIC;
}

/* Whether the largest magnitude stands for R, which then is not rounded twice. */
static int is_largest(const struct lb_format *f)
{
    const struct lb_format_config *c = f->scale->config;
    return f->config->rule == LB_SCALE_ABSMAX && c->per == LB_PER_TENSOR && c->rule == LB_SCALE_ABSMAX;
}

void lb_scaler_init(const struct lb_format *f, const struct lb_groups *g, struct lb_scaler *r)
{
    const size_t all = g->rows * g->cols;
    *r = (struct lb_scaler){.f = f, .rows = *g, .top = (float)f->high};
    if (!g->per_row)
        r->rows = (struct lb_groups){.rows = 1, .cols = all, .block = all, .per_row = 1, .n = g->n};
    else if (g->block && g->cols % g->block == 0)
        r->rows = (struct lb_groups){.rows = g->n, .cols = g->block, .block = g->block, .per_row = 1, .n = g->n};
    r->alone = f->scale && is_simple(f) && f->scale->config->rule == LB_SCALE_NONE;
    r->emax = f->codec->bits && f->codec->bits <= 16 && f->high > 0 ? lb_scale_emax(f) : 0;
    r->fraction = f->config->rule == LB_SCALE_EVEN ? lb_scale_fraction(f) : 0;
}

static void largest_of(const struct lb_scaler *r, const float *x, size_t first, size_t n, float *amax)
{
    const struct lb_groups *g = &r->rows;
    if (g->per_row == 1 && g->block)
        lb_lanes_amax(x + first * g->cols, n * g->cols, g->block, amax);
    else
        for (size_t i = 0; g->block && i < n; i++)
            lb_lanes_amax(x + (first + i) * g->cols, g->cols, g->block, amax + i * g->per_row);
}

/* R of groups whose largest magnitude stands in s. */
static void power_of(const struct lb_scaler *r, uint32_t rule, float *s, size_t n)
{
    const uint32_t up = rule == LB_SCALE_EVEN && r->fraction < 23 ? 1u << (22 - r->fraction) : 0;
    if (rule != LB_SCALE_RCEIL)
        lb_lanes_power(s, n, up, rule == LB_SCALE_CEIL, r->emax);
    else
        for (size_t i = 0; i < n; i++)
            s[i] = isfinite(s[i]) ? lb_scale_power(rule, s[i], r->top, r->emax, r->fraction) : NAN;
}

/* R of rows of groups; where the largest magnitude stands for it, that. */
static void raw_rows(const struct lb_scaler *r, const float *x, size_t first, size_t n, float *s)
{
    const struct lb_groups *g = &r->rows;
    const uint32_t rule = (uint32_t)r->f->config->rule;
    const size_t many = n * g->per_row;
    if (rule == LB_SCALE_FIXED) {
        for (size_t i = 0; i < many; i++)
            s[i] = (float)r->f->config->value;
        return;
    }
    memset(s, 0, many * sizeof *s);
    largest_of(r, x, first, n, s);
    if (rule != LB_SCALE_ABSMAX) {
        power_of(r, rule, s, many);
        return;
    }
    for (size_t i = 0; i < many; i++)
        if (s[i] != s[i])
            s[i] = amax_of(group_of(g, x, first * g->per_row + i));
    if (!is_largest(r->f))
        lb_lanes_divide(s, many, many ? many : 1, &r->top, -INFINITY, s);
}

/* ---- Scales of scales ---- */

static float amax_of_all(const float *x, size_t n)
{
    return amax_of((struct group){x, n});
}

/* What goes into the scale's codec, in place of out->s, by one scale over all. */
static int divide_by_one(const struct making *m, struct lb_scales *out)
{
    const struct lb_format *scale = m->f->scale;
    const float top = (float)scale->high;
    const size_t n = out->g.n;
    const int largest = is_largest(m->f);
    out->scale2 = lb_alloc(1, sizeof *out->scale2, m->err);
    if (!out->scale2)
        return -1;
    out->n2 = 1;
    out->group2 = n;
    float s2 = (float)scale->config->value;
    if (scale->config->rule == LB_SCALE_ABSMAX)
        s2 = canon_div(amax_of_all(out->s, n), largest ? m->top * top : top);
    out->scale2[0] = s2;
    const float under = largest ? m->top * s2 : s2;
    lb_lanes_divide(out->s, n, n ? n : 1, &under, -INFINITY, out->s);
    return 0;
}

/* The same by one scale for every `block` scales, with or without the mean taken off. */
static int divide_by_blocks(const struct making *m, struct lb_scales *out)
{
    const struct lb_format *scale = m->f->scale;
    const size_t n = out->g.n;
    double sum = 0;
    out->group2 = (size_t)scale->config->block;
    out->n2 = (n + out->group2 - 1) / out->group2;
    out->scale2 = lb_alloc(out->n2, sizeof *out->scale2, m->err);
    if (!out->scale2)
        return -1;
    for (size_t i = 0; i < n; i++)
        sum += (double)out->s[i];
    out->offset = scale->config->offset && n ? (float)(sum / (double)n) : 0.0f;
    for (size_t i = 0; scale->config->offset && i < n; i++)
        out->s[i] -= out->offset;
    for (size_t b = 0; b < out->n2; b++) {
        const size_t from = b * out->group2, many = n - from < out->group2 ? n - from : out->group2;
        const float s2 = canon_div(amax_of_all(out->s + from, many), (float)scale->high);
        out->scale2[b] = s2;
        for (size_t i = from; i < from + many; i++)
            out->s[i] = s2 == 0 ? 0.0f : canon_div(out->s[i], s2);
    }
    return 0;
}

/* 1 above 0 and finite, else 0. */
static uint32_t is_usable(float s)
{
    return canon_bits(s) - 1 < 0x7f7fffffu;
}

/* Codes of scales [first, first + n), which become what the codes are worth; `first` is a multiple of 8. */
static void store_some(const struct lb_format *scale, size_t first, size_t n, struct lb_scales *out)
{
    enum { SOME = 256 };
    const struct lb_encode how = {.rounding = scale->config->rounding, .overflow = scale->config->overflow};
    float worth[SOME];
    for (size_t end = first + n; first < end; first += SOME) {
        const size_t many = end - first < SOME ? end - first : SOME;
        unsigned char *codes = out->codes + first / 8 * scale->codec->bits;
        float *s = out->s + first;
        lb_encode_f32(scale->coder, &how, s, many, codes);
        lb_decode_f32(scale->coder, codes, many, worth);
        uint32_t lost = 0;
        for (size_t i = 0; i < many; i++)
            lost += is_usable(s[i]) & ~is_usable(worth[i]);
        out->lost += scale->config->offset ? 0 : lost; /* a code 0 is the mean then */
        memcpy(s, worth, many * sizeof *s);
    }
}

/* Codes of out->s, which becomes what they are worth. */
static int store(const struct making *m, struct lb_scales *out)
{
    const struct lb_format *scale = m->f->scale;
    const size_t n = out->g.n;
    if (scale->config->per == LB_PER_TENSOR && divide_by_one(m, out))
        return -1;
    if (scale->config->per == LB_PER_BLOCK && divide_by_blocks(m, out))
        return -1;
    store_some(scale, 0, n, out);
    for (size_t from = 0; out->scale2 && from < n; from += out->group2) {
        const size_t end = n - from < out->group2 ? n : from + out->group2;
        const float s2 = out->scale2[from / out->group2];
        for (size_t i = from; i < end; i++)
            out->s[i] *= s2;
    }
    for (size_t i = 0; scale->config->offset && i < n; i++)
        out->s[i] += out->offset;
    return 0;
}

int lb_scales_start(const struct lb_scaler *r, const struct lb_groups *g, struct lb_scales *out, struct lb_err *err)
{
    *out = (struct lb_scales){.g = *g};
    if (lb_coder_bytes(r->f->scale->coder, g->n, &out->code_bytes))
        return lb_fail(err, "%zu scales: too many", g->n);
    out->s = lb_alloc(g->n, sizeof *out->s, err);
    out->codes = lb_alloc(out->code_bytes, 1, err);
    if (r->f->config->rule == LB_SCALE_ASYMMETRIC)
        out->zeros = lb_alloc(g->n, sizeof *out->zeros, err);
    return !out->s || !out->codes || (r->f->config->rule == LB_SCALE_ASYMMETRIC && !out->zeros) ? -1 : 0;
}

void lb_scales_rows(const struct lb_scaler *r, const float *x, size_t first, size_t n, struct lb_scales *out)
{
    const size_t per_row = r->rows.per_row;
    raw_rows(r, x, first, n, out->s + first * per_row);
    store_some(r->f->scale, first * per_row, n * per_row, out);
}

int lb_scales_make(const struct lb_format *f, const struct lb_groups *g, const float *x, struct lb_scales *out, struct lb_err *err)
{
    const size_t most = g->per_row ? g->block : g->rows * g->cols;
    struct lb_scaler scaler;
    struct making m = {.f = f, .top = (float)f->high, .err = err};
    lb_scaler_init(f, g, &scaler);
    int r = lb_scales_start(&scaler, g, out, err);
    m.work = lb_alloc(f->config->rule == LB_SCALE_PERCENTILE ? most : 0, sizeof *m.work, err);
    r = r || !m.work ? -1 : 0;
    if (!r && is_simple(f))
        raw_rows(&scaler, x, 0, scaler.rows.rows, out->s);
    for (size_t i = 0; !r && !is_simple(f) && i < g->n; i++)
        out->s[i] = raw(&m, group_of(g, x, i));
    r = r || store(&m, out) ? -1 : 0;
    for (size_t i = 0; !r && out->zeros && i < g->n; i++)
        out->zeros[i] = zero_of(&m, group_of(g, x, i), out->s[i]);
    lb_free(m.work);
    if (r)
        lb_scales_finish(out);
    return r;
}
