/* SPDX-License-Identifier: MIT */
#include "core/format/oracle.h"
#include "core/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    double value;
    uint32_t code;
};

static int ascending(const void *a, const void *b)
{
    const struct pair *p = a, *q = b;
    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    const int negative = !!signbit(p->value), other = !!signbit(q->value);
    if (negative != other)
        return negative ? -1 : 1;
    return p->code < q->code ? -1 : p->code > q->code;
}

static int read_steps(struct lb_oracle *o, struct lb_err *err)
{
    if (!o->codec->steps)
        return 0;
    o->steps = lb_alloc(LB_STEPS_MAX, sizeof *o->steps, err);
    if (!o->steps)
        return -1;
    o->n_steps = o->codec->steps(o->codec, o->steps, LB_STEPS_MAX);
    return o->n_steps && o->n_steps <= LB_STEPS_MAX ? 0 : lb_fail(err, "steps() returned %zu, wanted 1 to %d", o->n_steps, LB_STEPS_MAX);
}

int lb_oracle_init(struct lb_oracle *o, const struct lb_codec *codec, struct lb_err *err)
{
    const uint32_t codes = 1u << codec->bits;
    *o = (struct lb_oracle){.codec = codec, .inf = {-1, -1}};
    struct pair *all = lb_alloc(codes, sizeof *all, err);
    o->value = lb_alloc(codes, sizeof *o->value, err);
    o->code = lb_alloc(codes, sizeof *o->code, err);
    if (!all || !o->value || !o->code) {
        lb_free(all);
        return -1;
    }
    size_t n = 0;
    for (uint32_t code = 0; code < codes; code++) {
        const double v = codec->value(codec, code);
        if (isnan(v))
            o->has_nan = 1;
        else if (isfinite(v))
            all[n++] = (struct pair){v, code};
        else if (o->inf[v < 0] < 0)
            o->inf[v < 0] = (int)code;
    }
    qsort(all, n, sizeof *all, ascending);
    for (size_t i = 0; i < n; i++) {
        if (i && all[i].value == all[i - 1].value && !signbit(all[i].value) == !signbit(all[i - 1].value))
            continue;
        o->value[o->n] = all[i].value;
        o->code[o->n++] = all[i].code;
    }
    lb_free(all);
    return o->n ? read_steps(o, err) : lb_fail(err, "no finite value");
}

void lb_oracle_finish(struct lb_oracle *o)
{
    lb_free(o->value);
    lb_free(o->code);
    lb_free(o->steps);
}

/* The sum with its rounding error is exact, and 2x is a number of this type: where 2x differs from the rounded sum, it lies on the same side of the
 * sum itself. */
int lb_oracle_side(long double x, double a, double b)
{
    const long double p = a, q = b, sum = p + q, part = sum - p, error = (p - (sum - part)) + (q - part), twice = 2 * x;
    if (twice != sum)
        return twice > sum ? 1 : -1;
    return error > 0 ? -1 : error < 0;
}

int lb_oracle_is_nearest(const struct lb_oracle *o, long double x, double v)
{
    for (size_t i = 0; i < o->n; i++) {
        const double w = o->value[i];
        if (w != v && (w < v ? lb_oracle_side(x, w, v) < 0 : lb_oracle_side(x, v, w) > 0))
            return 0;
    }
    return 1;
}

static int at_or_below(double v, long double x)
{
    return (long double)v < x || ((long double)v == x && (v != 0 || signbit(v) || !signbit(x)));
}

size_t lb_oracle_floor(const struct lb_oracle *o, long double x)
{
    if (!at_or_below(o->value[0], x))
        return o->n;
    size_t low = 0, high = o->n;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (at_or_below(o->value[mid], x))
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Which of neighbours a < b a tie becomes: -1, 1, or 0 where the rule does not say. */
static int tie(uint32_t ties, double a, uint32_t code_a, double b, uint32_t code_b)
{
    if (ties == LB_TIES_EVEN)
        return (code_a & 1) == (code_b & 1) ? 0 : code_a & 1 ? 1 : -1;
    if (fabs(a) == fabs(b))
        return 0;
    return (fabs(b) > fabs(a)) == (ties == LB_TIES_AWAY) ? 1 : -1;
}

static double beyond(const struct lb_oracle *o, int negative)
{
    const size_t last = o->n - 1;
    if (o->n < 2 || (negative && o->value[0] >= 0))
        return NAN;
    const double next = negative ? o->value[0] - (o->value[1] - o->value[0]) : o->value[last] + (o->value[last] - o->value[last - 1]);
    return isfinite(next) ? next : NAN;
}

double lb_oracle_limit(const struct lb_oracle *o, int negative)
{
    return beyond(o, negative) / 2 + o->value[negative ? 0 : o->n - 1] / 2;
}

static int too_large(const struct lb_oracle *o, uint32_t rounding, long double x)
{
    const int negative = x < 0;
    const double next = beyond(o, negative);
    if (isinf(x))
        return 1;
    if (rounding == LB_TOWARD_ZERO || isnan(next))
        return 0;
    const size_t end = negative ? 0 : o->n - 1;
    const double last = o->value[end];
    const int side = negative ? -lb_oracle_side(x, next, last) : lb_oracle_side(x, last, next);
    if (side)
        return side > 0;
    return rounding == LB_HALF_AWAY || tie(o->codec->ties, fabs(last), o->code[end], fabs(next), o->code[end] + 1) > 0;
}

static size_t between(const struct lb_oracle *o, uint32_t rounding, long double x, size_t i, uint32_t codes[2])
{
    const double a = o->value[i], b = o->value[i + 1];
    int up = 0;
    if ((long double)b == x)
        up = 1;
    else if (rounding == LB_TOWARD_ZERO)
        up = a >= 0 ? -1 : b <= 0 ? 1 : 0;
    else if (!(up = lb_oracle_side(x, a, b)))
        up = tie(rounding == LB_HALF_AWAY ? LB_TIES_AWAY : o->codec->ties, a, o->code[i], b, o->code[i + 1]);
    codes[0] = o->code[up > 0 ? i + 1 : i];
    codes[1] = o->code[i + 1];
    return up ? 1 : 2;
}

/* Whether step number i begins at x or before it; -0 lies before +0. */
static int has_begun(const struct lb_oracle *o, size_t i, long double x)
{
    const double from = o->steps[i].from;
    return from < x || (from == x && (signbit(from) || !signbit(x)));
}

/* Steps are made of binary64 numbers: what lies between two of them is taken for the one whose last bit is 1. */
static long double as_binary64(long double x)
{
    const double near = (double)x;
    if ((long double)near == x)
        return x;
    const double other = nextafter(near, (long double)near < x ? (double)INFINITY : -(double)INFINITY);
    uint64_t bits;
    memcpy(&bits, &near, sizeof bits);
    return bits & 1 ? near : other;
}

static uint32_t by_steps(const struct lb_oracle *o, long double x)
{
    const int line = o->steps[0].from < 0;
    const long double at = as_binary64(line ? x : fabsl(x));
    size_t low = 0, high = o->n_steps;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        *(has_begun(o, mid, at) ? &low : &high) = mid;
    }
    return o->steps[low].code | (signbit(x) && !line ? o->codec->sign_bit : 0);
}

size_t lb_oracle_codes(const struct lb_oracle *o, uint32_t rounding, uint32_t overflow, long double x, uint32_t codes[2])
{
    codes[0] = o->codec->nan_code;
    if (isnan(x))
        return 1;
    if (o->steps) {
        codes[0] = by_steps(o, x);
        return 1;
    }
    const int negative = x < 0;
    if (too_large(o, rounding, x)) {
        if (overflow == LB_TO_INF && o->inf[negative] >= 0)
            codes[0] = (uint32_t)o->inf[negative];
        else if (overflow != LB_TO_NAN || !o->has_nan)
            codes[0] = o->code[negative ? 0 : o->n - 1];
        return 1;
    }
    const size_t i = lb_oracle_floor(o, x);
    if (i < o->n - 1 && (long double)o->value[i] != x)
        return between(o, rounding, x, i, codes);
    codes[0] = o->code[i == o->n ? 0 : i];
    return 1;
}
