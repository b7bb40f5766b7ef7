/* SPDX-License-Identifier: MIT */
/* canon_true.h - what the functions of kernels/canon.h should give: the truth, which is MPFR's, and intervals that hold it and cost
 * little.
 *
 * The intervals rest on addition theorems. In a block of consecutive inputs x = x0 + j step, MPFR gives the function at x0 (one call for
 * the block) and at all j step (one table for each binade), each correctly rounded to binary64, so right to u = 2^-53 relatively; what is
 * left are one to six binary64 operations, each right to u:
 *   exp      e^x0 e^(j step): 3u
 *   sigmoid  1 / (1 + e^-x): 3u for e^-x, which count at most whole; sum and quotient one each: 5u
 *   tanh     with a = tanh x0, b = tanh(j step), both >= 0: (a + b) / (1 + a b); above 2u, below less than 3u, the quotient 1u: 6u
 *   sin, cos sin x0 cos(j step) + cos x0 sin(j step) and its like: 3u of each product's magnitude, 1u of the sum: 4u of the magnitudes
 *   log      log x0 + log(1 + t), t = j step / x0 (j step is exact) in [0, 2^-10], by five terms of the series: 1u of log x0; of
 *            log(1 + t) 1u for t, 2u for the terms, less than 2u for what is cut off (t^5/6 of it); 1u of the sum: less than 7u
 *   sqrt     the hardware's, in binary64: 1u
 * Terms of second order are far below u. So 8u of the magnitudes that are added leave at least u for the rounding of an interval's ends.
 * Nothing underflows: the smallest number used is the square of 2^-149. Where a function has come to its limit, monotony gives the
 * interval. */
#ifndef LB_CANON_TRUE_H
#define LB_CANON_TRUE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <mpfr.h>

enum { TRUE_BITS = 160, TRUE_BLOCK = 4096 };

#define TRUE_8U 0x1p-50

/* ---- Truth ---- */

typedef int (*true_function)(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t rounding);

/* 1 / (1 + e^-x). Three roundings, not one: truth_round leaves room for a million. */
static inline int true_sigmoid(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t rounding)
{
    mpfr_neg(y, x, rounding);
    mpfr_exp(y, y, rounding);
    mpfr_add_ui(y, y, 1, rounding);
    return mpfr_ui_div(y, 1, y, rounding);
}

/* A binary floating-point format. */
struct true_format {
    int digits, e_min, e_max;
};

/* A function's value at one input, and room to work in. */
struct truth {
    mpfr_t x, value, work, sum;
};

static inline void truth_init(struct truth *t)
{
    mpfr_inits2(TRUE_BITS, t->x, t->value, t->work, t->sum, (mpfr_ptr)0);
}

static inline void truth_finish(struct truth *t)
{
    mpfr_clears(t->x, t->value, t->work, t->sum, (mpfr_ptr)0);
}

static inline void truth_at(struct truth *t, true_function f, double x)
{
    mpfr_set_d(t->x, x, MPFR_RNDN);
    f(t->value, t->x, MPFR_RNDN);
}

/* The value rounded to binary64, or to binary32. False: TRUE_BITS are too few to tell, which was never seen. */
static inline bool truth_round(struct truth *t, bool binary64, double *rounded)
{
    double ends[2];
    mpfr_mul_2si(t->work, t->value, 20 - TRUE_BITS, MPFR_RNDN);
    for (int i = 0; i < 2; i++) {
        (i == 0 ? mpfr_add : mpfr_sub)(t->sum, t->value, t->work, MPFR_RNDN);
        ends[i] = binary64 ? mpfr_get_d(t->sum, MPFR_RNDN) : (double)mpfr_get_flt(t->sum, MPFR_RNDN);
    }
    *rounded = binary64 ? mpfr_get_d(t->value, MPFR_RNDN) : (double)mpfr_get_flt(t->value, MPFR_RNDN);
    return !mpfr_regular_p(t->value) || ends[0] == ends[1];
}

/* Distance of a finite non-zero value from what was got, in units of the last place that a number of the value's binade has; rounded up.
 * Beyond the largest number both are 2^(e_max + 1). */
static inline double truth_distance(struct truth *t, const struct true_format *format, double got)
{
    const int sign = mpfr_signbit(t->value) ? -1 : 1;
    if (isnan(got) || (signbit(got) != 0) != (sign < 0))
        return (double)INFINITY;
    mpfr_set_si_2exp(t->work, sign, format->e_max + 1, MPFR_RNDN);
    mpfr_set(t->sum, mpfr_cmpabs(t->value, t->work) > 0 ? t->work : t->value, MPFR_RNDN);
    long e = (long)mpfr_get_exp(t->sum) - 1;
    e = e < format->e_min ? format->e_min : e > format->e_max ? format->e_max : e;
    if (!isinf(got))
        mpfr_set_d(t->work, got, MPFR_RNDN);
    mpfr_sub(t->sum, t->sum, t->work, MPFR_RNDU);
    mpfr_abs(t->sum, t->sum, MPFR_RNDU);
    mpfr_mul_2si(t->sum, t->sum, format->digits - 1 - e, MPFR_RNDU);
    return mpfr_get_d(t->sum, MPFR_RNDU);
}

/* ---- Intervals ---- */

/* The true value lies between low and high. */
struct interval {
    double low, high;
};

/* The functions at 0, step, 2 step, ... where step is the distance of the inputs of one binade, and at a block's first input. */
struct anchors {
    mpfr_t x, y, z; /* 53 bits */
    uint32_t binade, count;
    double step;
    double f[TRUE_BLOCK], g[TRUE_BLOCK];
};

/* Intervals of the function at the count inputs from the bit pattern first on, all in one binade, whose anchors are given. */
typedef void (*true_intervals)(struct anchors *a, uint32_t first, uint32_t count, struct interval *v);

static inline void anchors_init(struct anchors *a)
{
    mpfr_inits2(53, a->x, a->y, a->z, (mpfr_ptr)0);
    a->count = 0;
}

static inline void anchors_finish(struct anchors *a)
{
    mpfr_clears(a->x, a->y, a->z, (mpfr_ptr)0);
}

static inline double true_input(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* Sets step for the binade of a bit pattern, and count for blocks of that size. True where tables have to be made. */
static inline bool anchors_move(struct anchors *a, uint32_t bits, uint32_t count)
{
    const uint32_t binade = bits >> 23;
    if (a->count == count && a->binade == binade)
        return false;
    a->binade = binade;
    a->count = count;
    a->step = true_input(bits + 1) - true_input(bits);
    return true;
}

static inline double anchor(struct anchors *a, true_function f, double x)
{
    mpfr_set_d(a->x, x, MPFR_RNDN);
    f(a->y, a->x, MPFR_RNDN);
    return mpfr_get_d(a->y, MPFR_RNDN);
}

/* y, right to 8u of the magnitude. */
static inline struct interval around(double y, double magnitude)
{
    const double err = TRUE_8U * magnitude;
    return (struct interval){y - err, y + err};
}

static inline void same_interval(struct interval *v, uint32_t count, double low, double high)
{
    for (uint32_t j = 0; j < count; j++)
        v[j] = (struct interval){low, high};
}

/* Into g: e^x, or e^-x; |x| is below 128. */
static inline const double *exponentials(struct anchors *a, uint32_t first, uint32_t count, double sign)
{
    if (anchors_move(a, first, count))
        for (uint32_t j = 0; j < count; j++)
            a->f[j] = anchor(a, mpfr_exp, sign * a->step * (double)j);
    const double e = anchor(a, mpfr_exp, sign * true_input(first));
    for (uint32_t j = 0; j < count; j++)
        a->g[j] = e * a->f[j];
    return a->g;
}

static inline void intervals_exp(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    const double x = true_input(first);
    if (x <= -128.0) { /* e^-128 < 2^-184 */
        same_interval(v, count, 0.0, 0x1p-184);
    } else if (x >= 128.0) {
        same_interval(v, count, 0x1p+184, (double)INFINITY);
    } else {
        const double *e = exponentials(a, first, count, 1.0);
        for (uint32_t j = 0; j < count; j++)
            v[j] = around(e[j], e[j]);
    }
}

static inline void intervals_sigmoid(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    const double x = true_input(first);
    if (x <= -128.0) {
        same_interval(v, count, 0.0, 0x1p-184);
    } else if (x >= 128.0) {
        same_interval(v, count, 1.0 - 0x1p-53, 1.0);
    } else {
        const double *e = exponentials(a, first, count, -1.0);
        for (uint32_t j = 0; j < count; j++) {
            const double y = 1.0 / (1.0 + e[j]);
            v[j] = around(y, y);
        }
    }
}

/* x >= 0. */
static inline void intervals_tanh(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    if (true_input(first) >= 32.0) { /* 1 - tanh x < 2 e^-2x < 2^-91 */
        same_interval(v, count, 1.0 - 0x1p-53, 1.0);
        return;
    }
    if (anchors_move(a, first, count))
        for (uint32_t j = 0; j < count; j++)
            a->f[j] = anchor(a, mpfr_tanh, a->step * (double)j);
    const double t = anchor(a, mpfr_tanh, true_input(first));
    for (uint32_t j = 0; j < count; j++) {
        const double y = (t + a->f[j]) / (1.0 + t * a->f[j]);
        v[j] = around(y, y);
    }
}

/* x >= 0. Among the subnormal numbers t is large, or not a number; then the interval is the whole line. */
static inline void intervals_log(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    const double x = true_input(first), at_x = anchor(a, mpfr_log, x);
    anchors_move(a, first, count);
    for (uint32_t j = 0; j < count; j++) {
        const double t = a->step * (double)j / x;
        const double p = t * (1.0 + t * (-1.0 / 2.0 + t * (1.0 / 3.0 + t * (-1.0 / 4.0 + t * (1.0 / 5.0)))));
        const bool good = t <= 0x1p-10;
        v[j] = good ? around(at_x + p, fabs(at_x) + p) : (struct interval){-(double)INFINITY, (double)INFINITY};
    }
}

static inline void sin_cos(struct anchors *a, double x, double *sine, double *cosine)
{
    mpfr_set_d(a->x, x, MPFR_RNDN);
    mpfr_sin_cos(a->y, a->z, a->x, MPFR_RNDN);
    *sine = mpfr_get_d(a->y, MPFR_RNDN);
    *cosine = mpfr_get_d(a->z, MPFR_RNDN);
}

static inline void circle(struct anchors *a, uint32_t first, uint32_t count)
{
    if (anchors_move(a, first, count))
        for (uint32_t j = 0; j < count; j++)
            sin_cos(a, a->step * (double)j, &a->f[j], &a->g[j]);
}

static inline void intervals_sin(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    double s, c;
    circle(a, first, count);
    sin_cos(a, true_input(first), &s, &c);
    for (uint32_t j = 0; j < count; j++) {
        const double p = s * a->g[j], q = c * a->f[j];
        v[j] = around(p + q, fabs(p) + fabs(q));
    }
}

static inline void intervals_cos(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    double s, c;
    circle(a, first, count);
    sin_cos(a, true_input(first), &s, &c);
    for (uint32_t j = 0; j < count; j++) {
        const double p = c * a->g[j], q = -s * a->f[j];
        v[j] = around(p + q, fabs(p) + fabs(q));
    }
}

/* x >= 0. */
static inline void intervals_sqrt(struct anchors *a, uint32_t first, uint32_t count, struct interval *v)
{
    anchors_move(a, first, count);
    for (uint32_t j = 0; j < count; j++) {
        const double y = sqrt(true_input(first + j));
        v[j] = around(y, y);
    }
}

#endif
