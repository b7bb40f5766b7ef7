/* SPDX-License-Identifier: MIT */
/* scale_literal.h - docs/arithmetic.md 8.1 and 8.10 as plain C that shares nothing with core/format/scale.c, for test_scale.c. */
#ifndef LB_TEST_SCALE_LITERAL_H
#define LB_TEST_SCALE_LITERAL_H

#include "core/format/format.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096, SEED = 41, STREAM = 7 };

static int same(float a, float b)
{
    return canon_bits(a) == canon_bits(b);
}

static float canonical(float x)
{
    return isnan(x) ? canon_float(0x7fc00000) : x;
}

struct literal {
    size_t rows, cols, block, per_row, groups; /* groups: scales in all */
    size_t row;                                /* elements of a stored row */
    double first, last;                        /* least and largest value of the codec */
    int emax, fraction;
    float R[MOST], s[MOST], z[MOST], scale2[MOST], offset;
    size_t n2;
    uint64_t scale_code[MOST];
    uint64_t code[MOST];
    float v[MOST];
};

static uint64_t encode_one(const struct lb_format *f, float t, uint64_t element, uint64_t seed)
{
    unsigned char bytes[8] = {0};
    const struct lb_encode how = {f->config->rounding, f->config->overflow, seed, STREAM, element};
    lb_encode_f32(f->coder, &how, &t, 1, bytes);
    return lb_code_get(bytes, f->codec->bits, 0);
}

static float decode_one(const struct lb_format *f, uint64_t code)
{
    unsigned char bytes[8] = {0};
    float q;
    lb_code_set(bytes, f->codec->bits, 0, code);
    lb_decode_f32(f->coder, bytes, 1, &q);
    return q;
}

static void codec_facts(const struct lb_format *f, struct literal *l)
{
    lb_coder_range(f->coder, &l->first, &l->last);
    if (f->codec->bits > 16 || l->last <= 0)
        return;
    double seen[256];
    size_t n = 0;
    int e;
    frexp(l->last, &e);
    l->emax = e - 1;
    for (uint32_t i = 0; i < 1u << f->codec->bits && f->codec->bits <= 8; i++) { /* members: distinct values */
        const double v = f->codec->value(f->codec, i);
        size_t k = 0;
        while (k < n && seen[k] != v)
            k++;
        if (k == n && v >= ldexp(0.5, l->emax) && v < ldexp(1, l->emax))
            seen[n++] = v;
    }
    l->fraction = n ? (int)floor(log2((double)n)) : 0;
}

static size_t group_at(const struct literal *l, size_t i, size_t j)
{
    return l->per_row ? i * l->per_row + j / l->block : 0;
}

/* The elements of group g in order; returns how many. */
static size_t elements_of(const struct literal *l, const float *x, size_t g, float *out)
{
    size_t n = 0;
    for (size_t i = 0; i < l->rows; i++)
        for (size_t j = 0; j < l->cols; j++)
            if (group_at(l, i, j) == g)
                out[n++] = x[i * l->cols + j];
    return n;
}

static float amax(const float *x, size_t n)
{
    float a = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > a)
            a = fabsf(x[i]);
    return a;
}

static float ratio(float a, float b)
{
    return a / b;
}

static float product(float a, float b)
{
    return a * b;
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static float percentile(const float *x, size_t n, double p)
{
    float m[MOST];
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]))
            m[k++] = fabsf(x[i]);
    if (!k)
        return 0;
    qsort(m, k, sizeof *m, compare);
    const double at = ceil(p / 100 * (double)k);
    return m[(size_t)(at < 1 ? 1 : at) - 1];
}

/* floor(log2(a)) and ceil(log2(a)) of a > 0. */
static int floor_log2(double a)
{
    int e;
    frexp(a, &e);
    return e - 1;
}

static int ceil_log2(double a)
{
    int e;
    return frexp(a, &e) == 0.5 ? e - 1 : e;
}

static float power_rule(const struct literal *l, int rule, float a)
{
    int e = -127;
    const float over = ratio(a, (float)l->last);
    if (rule == LB_SCALE_FLOOR && a > 0)
        e = floor_log2((double)a) - l->emax;
    if (rule == LB_SCALE_CEIL && a > 0)
        e = ceil_log2((double)a) - l->emax;
    if (rule == LB_SCALE_RCEIL && over > 0)
        e = ceil_log2((double)over);
    if (rule == LB_SCALE_EVEN && a > 0) {
        const int below = floor_log2((double)a) - l->fraction;
        e = floor_log2(ldexp(floor(ldexp((double)a, -below) + 0.5), below)) - l->emax;
    }
    return ldexpf(1, e < -127 ? -127 : e > 127 ? 127 : e);
}

static int is_symmetric(const struct lb_format *f)
{
    return f->codec->kind == LB_SIGNED && f->codec->bits <= 16 && f->config->rule != LB_SCALE_ASYMMETRIC;
}

static float into(const struct lb_format *f, const struct literal *l, float x, float s, float z)
{
    const float t = s == 0 ? 0 : ratio(x, s);
    if (f->config->rule == LB_SCALE_NONE)
        return x;
    if (f->config->rule == LB_SCALE_ASYMMETRIC)
        return s == 0 ? z : z + t;
    return is_symmetric(f) && t < -(float)l->last ? -(float)l->last : t;
}

static float out_of(const struct lb_format *f, float q, float s, float z)
{
    if (f->config->rule == LB_SCALE_NONE)
        return canonical(q);
    return canonical(f->config->rule == LB_SCALE_ASYMMETRIC ? product(q - z, s) : product(q, s));
}

static float mse(const struct lb_format *f, const struct literal *l, const float *x, size_t n)
{
    const float whole = ratio(amax(x, n), (float)l->last);
    float best = whole;
    double least = INFINITY;
    for (int i = 64; i >= 16; i--) {
        const float r = product(whole, (float)i / 64.0f);
        const float s = f->scale->config->rule == LB_SCALE_NONE ? decode_one(f->scale, encode_one(f->scale, r, 0, 0)) : r;
        double sum = 0;
        for (size_t k = 0; k < n; k++) {
            const float v = out_of(f, decode_one(f, encode_one(f, into(f, l, x[k], s, 0), 0, 0)), s, 0);
            const double d = (double)x[k] - (double)v;
            sum += d * d;
        }
        if (sum < least) {
            least = sum;
            best = r;
        }
    }
    return best;
}

static float least_and_0(const float *x, size_t n)
{
    float low = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] < low)
            low = x[i];
    return low;
}

static float R_of(const struct lb_format *f, const struct literal *l, const float *x, size_t n)
{
    const float top = (float)l->last;
    float high = 0;
    switch (f->config->rule) {
    case LB_SCALE_FIXED:
        return (float)f->config->value;
    case LB_SCALE_ABSMAX:
        return ratio(amax(x, n), top);
    case LB_SCALE_PERCENTILE:
        return ratio(percentile(x, n, f->config->percentile), top);
    case LB_SCALE_MSE:
        return mse(f, l, x, n);
    case LB_SCALE_ASYMMETRIC:
        for (size_t i = 0; i < n; i++)
            if (x[i] > high)
                high = x[i];
        return ratio(high - least_and_0(x, n), (float)(l->last - l->first));
    default:
        for (size_t i = 0; i < n; i++)
            if (!isfinite(x[i]))
                return NAN;
        return power_rule(l, f->config->rule, amax(x, n));
    }
}

/* What goes into the scales' codec, from l->R. */
static void second_level(const struct lb_format *f, struct literal *l, const float *x, float *in)
{
    const struct lb_format_config *c = f->scale->config;
    double low, T;
    lb_coder_range(f->scale->coder, &low, &T);
    memcpy(in, l->R, l->groups * sizeof *in);
    if (c->rule == LB_SCALE_NONE)
        return;
    if (c->per == LB_PER_TENSOR) {
        l->n2 = 1;
        l->scale2[0] = c->rule == LB_SCALE_FIXED            ? (float)c->value
                       : f->config->rule == LB_SCALE_ABSMAX ? ratio(amax(x, l->rows * l->cols), product((float)l->last, (float)T))
                                                            : ratio(amax(l->R, l->groups), (float)T);
        for (size_t g = 0; g < l->groups; g++) {
            static float group[MOST];
            const float s2 = l->scale2[0];
            if (c->rule == LB_SCALE_ABSMAX && f->config->rule == LB_SCALE_ABSMAX) {
                const size_t n = elements_of(l, x, g, group);
                in[g] = s2 == 0 || product((float)l->last, s2) == 0 ? 0 : ratio(amax(group, n), product((float)l->last, s2));
            } else {
                in[g] = s2 == 0 ? 0 : ratio(l->R[g], s2);
            }
        }
        return;
    }
    const size_t block = (size_t)c->block;
    double sum = 0;
    for (size_t g = 0; g < l->groups; g++)
        sum += (double)l->R[g];
    l->offset = c->offset && l->groups ? (float)(sum / (double)l->groups) : 0;
    l->n2 = (l->groups + block - 1) / block;
    for (size_t g = 0; c->offset && g < l->groups; g++)
        in[g] = l->R[g] - l->offset;
    for (size_t b = 0; b < l->n2; b++) {
        const size_t n = l->groups - b * block < block ? l->groups - b * block : block;
        l->scale2[b] = ratio(amax(in + b * block, n), (float)T);
        for (size_t g = b * block; g < b * block + n; g++)
            in[g] = l->scale2[b] == 0 ? 0 : ratio(in[g], l->scale2[b]);
    }
}

static void make_scales(const struct lb_format *f, struct literal *l, const float *x)
{
    static float group[MOST], in[MOST];
    const struct lb_format_config *c = f->scale->config;
    for (size_t g = 0; g < l->groups; g++) {
        const size_t n = elements_of(l, x, g, group);
        l->R[g] = R_of(f, l, group, n);
    }
    second_level(f, l, x, in);
    for (size_t g = 0; g < l->groups; g++) {
        l->scale_code[g] = encode_one(f->scale, in[g], 0, 0);
        l->s[g] = decode_one(f->scale, l->scale_code[g]);
        if (c->rule != LB_SCALE_NONE)
            l->s[g] = product(l->s[g], l->scale2[c->per == LB_PER_TENSOR ? 0 : g / (size_t)c->block]);
        if (c->offset)
            l->s[g] = l->s[g] + l->offset;
        if (f->config->rule != LB_SCALE_ASYMMETRIC)
            continue;
        const size_t n = elements_of(l, x, g, group);
        const float first = (float)l->first, last = (float)l->last;
        const float z = l->s[g] == 0 ? first : nearbyintf(first - ratio(least_and_0(group, n), l->s[g]));
        l->z[g] = z > last ? last : z >= first ? z : first;
    }
}

/* Everything that lb_format_encode must make of x (rows, cols). */
static void work_out(const struct lb_format *f, size_t rows, size_t cols, const float *x, struct literal *l)
{
    const struct lb_format_config *c = f->config;
    memset(l, 0, sizeof *l);
    l->rows = cols ? rows : 0;
    l->cols = cols;
    l->block = c->per == LB_PER_BLOCK && (size_t)c->block < cols ? (size_t)c->block : cols;
    if (c->per == LB_PER_BLOCK)
        l->per_row = cols / (size_t)c->block + (cols % (size_t)c->block != 0);
    else
        l->per_row = c->per == LB_PER_CHANNEL || c->per == LB_PER_ROW;
    l->groups = c->per == LB_PER_NONE || c->per == LB_PER_TENSOR ? 1 : l->rows * l->per_row;
    l->row = c->per == LB_PER_BLOCK && l->block ? (cols + l->block - 1) / l->block * l->block : cols;
    codec_facts(f, l);
    if (f->scale)
        make_scales(f, l, x);
    for (size_t i = 0; i < l->rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const size_t e = i * cols + j, g = group_at(l, i, j);
            l->code[e] = encode_one(f, into(f, l, x[e], l->s[g], l->z[g]), e, SEED);
            l->v[e] = out_of(f, decode_one(f, l->code[e]), l->s[g], l->z[g]);
        }
}

#endif
