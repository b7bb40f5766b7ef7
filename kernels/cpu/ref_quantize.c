/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/ref_quantize.h"
#include "kernels/canon.h"

#include <math.h>
#include <string.h>

/* ---- Copies ---- */

const char *ref_quantizer_lacks(const struct ref_quantizer *q)
{
    const struct ref_quantizer *s = q->scale;
    if (q->rule > REF_SCALE_RCEIL || (q->rule > REF_SCALE_ABSMAX && q->rule < REF_SCALE_FLOOR))
        return "this scale rule is for the host";
    if (s && s->rule > REF_SCALE_ABSMAX)
        return "the scale of a scale is fixed or absmax";
    if (s && s->rule != REF_SCALE_NONE && s->block != SIZE_MAX)
        return "the scales' own scale is one for all of them";
    if (s && s->scale)
        return "scales have two levels at most";
    if (s && s->stochastic)
        return "scales are not rounded stochastically";
    return NULL;
}

size_t ref_quantizer_bytes(const struct ref_quantizer *q)
{
    const size_t words = q->n_values + 2 * q->n + 2 * q->n_members;
    return sizeof *q + (words + 1) / 2 * 2 * sizeof(uint32_t) + (q->scale ? ref_quantizer_bytes(q->scale) : 0);
}

static const void *place(unsigned char **at, const void *from, size_t n)
{
    void *to = *at;
    if (n)
        memcpy(to, from, n * sizeof(uint32_t));
    *at += n * sizeof(uint32_t);
    return to;
}

struct ref_quantizer *ref_quantizer_copy(const struct ref_quantizer *q, void *memory)
{
    struct ref_quantizer *to = memory;
    unsigned char *at = (unsigned char *)(to + 1);
    *to = *q;
    to->scale = NULL;
    to->values = place(&at, q->values, q->n_values);
    to->first = place(&at, q->first, q->n);
    to->code = place(&at, q->code, q->n);
    to->member = place(&at, q->member, q->n_members);
    to->member_code = place(&at, q->member_code, q->n_members);
    if (q->scale)
        to->scale = ref_quantizer_copy(q->scale, (char *)memory + ref_quantizer_bytes(to));
    return to;
}

/* ---- One number ---- */

static int32_t key(float x)
{
    const int32_t b = (int32_t)canon_bits(x);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

static uint32_t nearest(const struct ref_quantizer *q, float t)
{
    size_t low = 0, high = q->n;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (q->first[mid] <= key(t))
            low = mid;
        else
            high = mid;
    }
    return q->code[low];
}

/* 8.6. Beside the members, and for members, as to nearest. */
static uint32_t stochastic(const struct ref_quantizer *q, float t, float u)
{
    size_t low = 0, high = q->n_members;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (q->member[mid] < t)
            low = mid;
        else
            high = mid;
    }
    if (high >= q->n_members || !(q->member[low] < t && t < q->member[high]))
        return nearest(q, t);
    const float lo = q->member[low], hi = q->member[high];
    return q->member_code[canon_fma(u, hi - lo, -(t - lo)) < 0 ? high : low];
}

static uint32_t encode(const struct ref_quantizer *q, float t, float u)
{
    if (t != t)
        return q->nan_code;
    return q->stochastic ? stochastic(q, t, u) : nearest(q, t);
}

static float divided(float x, float s)
{
    return s == 0 ? 0.0f : x / s;
}

static float unit_of(uint64_t seed, uint32_t stream, uint64_t e)
{
    return canon_unit(canon_random64(seed, stream, e / 4).w[e % 4]);
}

/* ---- Scales: 8.10 ---- */

static float magnitude(float x)
{
    return x < 0 ? -x : x;
}

static float amax_of(const float *x, size_t n)
{
    float amax = 0;
    for (size_t i = 0; i < n; i++)
        amax = magnitude(x[i]) > amax ? magnitude(x[i]) : amax;
    return amax;
}

static int all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

/* A positive number as m 2^e, 1 <= m < 2. */
static int exponent(float x, double *m)
{
    int e;
    *m = 2 * frexp((double)x, &e);
    return e - 1;
}

static int ceil_log2(float x)
{
    double m;
    const int e = exponent(x, &m);
    return m > 1 ? e + 1 : e;
}

static float power_of_two(const struct ref_quantizer *q, float amax)
{
    double m;
    int e = -127;
    const float ratio = amax / q->top;
    if (amax > 0 && q->rule == REF_SCALE_FLOOR)
        e = exponent(amax, &m) - q->emax;
    if (amax > 0 && q->rule == REF_SCALE_CEIL)
        e = ceil_log2(amax) - q->emax;
    if (amax > 0 && q->rule == REF_SCALE_EVEN) {
        e = exponent(amax, &m) - q->emax;
        if (m + ldexp(0.5, -q->fraction) >= 2)
            e++;
    }
    if (ratio > 0 && q->rule == REF_SCALE_RCEIL)
        e = isinf(ratio) ? 127 : ceil_log2(ratio);
    e = e > 127 ? 127 : e < -127 ? -127 : e;
    return (float)ldexp(1, e);
}

/* The scale before it is stored, of n elements; `divisor`: what amax is divided by, top or top times the scales' scale. */
static float raw_scale(const struct ref_quantizer *q, const float *x, size_t n, float divisor)
{
    switch (q->rule) {
    case REF_SCALE_FIXED:
        return q->value;
    case REF_SCALE_ABSMAX:
        return divided(amax_of(x, n), divisor);
    default:
        return all_finite(x, n) ? power_of_two(q, amax_of(x, n)) : canon_float(CANON_NAN);
    }
}

struct groups {
    size_t rows, width, per_row, n; /* `width` elements of a row share a scale; the matrix as one is one long row */
};

static struct groups groups_of(const struct ref_quantizer *q, size_t rows, size_t cols)
{
    struct groups g = {.rows = rows, .width = q->block && q->block != SIZE_MAX ? q->block : cols, .per_row = 1};
    if (q->block == SIZE_MAX)
        g = (struct groups){.rows = 1, .width = rows * cols, .per_row = 1};
    else if (q->block && cols)
        g.per_row = (cols + q->block - 1) / q->block;
    g.n = g.rows * g.per_row;
    return g;
}

size_t ref_quantizer_scales(const struct ref_quantizer *q, size_t rows, size_t cols)
{
    return q->rule == REF_SCALE_NONE ? 0 : groups_of(q, rows, cols).n;
}

/* R of every group, as `divisor` has it. */
static void raw_scales(const struct ref_quantizer *q, const float *x, const struct groups *g, size_t row, float divisor, float *out)
{
    for (size_t i = 0; i < g->n; i++) {
        const size_t at = i % g->per_row * g->width, left = row - at;
        out[i] = raw_scale(q, x + i / g->per_row * row + at, left < g->width ? left : g->width, divisor);
    }
}

/* The scales as they are worth when stored. */
static void make_scales(const struct ref_quantizer *q, const float *x, const struct groups *g, size_t row, float *s)
{
    const struct ref_quantizer *by = q->scale;
    const int from_all = by && by->rule == REF_SCALE_ABSMAX && q->rule == REF_SCALE_ABSMAX;
    const float s2_from_all = from_all ? amax_of(x, g->rows * row) / (q->top * by->top) : 0.0f;
    raw_scales(q, x, g, row, from_all ? q->top * s2_from_all : q->top, s);
    if (!by)
        return;
    const float s2 = from_all ? s2_from_all : by->rule == REF_SCALE_ABSMAX ? amax_of(s, g->n) / by->top : by->value;
    for (size_t i = 0; i < g->n; i++) {
        if (by->rule == REF_SCALE_NONE)
            s[i] = by->values[encode(by, s[i], 0)];
        else
            s[i] = by->values[encode(by, from_all ? s[i] : divided(s[i], s2), 0)] * s2;
    }
}

/* ---- Matrices ---- */

/* x in the scale s, encoded and decoded. */
static float worth(const struct ref_quantizer *q, float x, float s, float u)
{
    float t = divided(x, s);
    if (q->clamp && t < -q->top)
        t = -q->top;
    return canon_nan(q->values[encode(q, t, u)] * s);
}

void ref_quantize(const struct ref_quantizer *q, const float *x, float *y, size_t rows, size_t cols, uint64_t seed, uint32_t stream,
                  uint64_t first, float *scales)
{
    const struct groups g = groups_of(q, rows, cols);
    const size_t row = q->block == SIZE_MAX ? rows * cols : cols;
    if (q->rule != REF_SCALE_NONE)
        make_scales(q, x, &g, row, scales);
    for (size_t i = 0; i < rows * cols; i++) {
        const float u = q->stochastic ? unit_of(seed, stream, first + i) : 0.0f;
        if (q->rule == REF_SCALE_NONE)
            y[i] = q->values[encode(q, x[i], u)];
        else
            y[i] = worth(q, x[i], scales[i / row * g.per_row + i % row / g.width], u);
    }
}
