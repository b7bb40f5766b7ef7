/* SPDX-License-Identifier: MIT */
/* The figures of a table, against cases worked out by hand from their definitions (FACTS 1a), and KL against long double arithmetic. */
#include "core/nn/metrics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void expect_near(const char *what, double got, double want)
{
    cr_expect(got == want || fabs(got - want) <= 1e-12 * fabs(want), "%s: expected %.17g, got %.17g", what, want, got);
}

/* ---- Deviation ---- */

/* One sample: the F32 network says e at its argmax, the other says a there. */
static struct lb_metrics one(float e, float a)
{
    const float f32[] = {-3e38f, e, -3e38f}, out[] = {7, a, 7};
    const int32_t label = 1;
    struct lb_metrics m;
    lb_metrics_compute(f32, out, NULL, NULL, &label, 1, 3, &m);
    return m;
}

static size_t bin_of(const struct lb_metrics *m)
{
    size_t bin = LB_HIST, n = 0;
    for (size_t i = 0; i < LB_HIST; i++) {
        n += m->hist[i];
        bin = m->hist[i] ? i : bin;
    }
    cr_expect_eq(n, 1);
    return bin;
}

Test(metrics, deviation)
{
    static const struct {
        float e, a;
        double dev, quality;
        size_t bin;
    } rows[] = {
        {0.5f, 0.5f, 0, 100, 0},
        {-0.0f, 0.0f, 0, 100, 0},
        {10, 11, 10, 90, 0}, /* edges belong below */
        {10, 8, 20, 80, 1},
        {10, 13, 30, 70, 2},
        {10, 6, 40, 60, 3},
        {10, 15, 50, 50, 4},
        {10, 20, 100, 0, 5},
        {10, 0, 100, 0, 5},
        {10, 20.000002f, 100.00001907348633, 0, 6},
        {10, 11.000001f, 10.00000953674316, 89.99999046325684, 1},
        {0.25f, 1, 300, 0, 6}, /* not clamped, but for quality */
        {-2, 2, 200, 0, 6},
        {-2, -2.5f, 25, 75, 2},
        {0, 0.125f, 12.5, 87.5, 1}, /* |e| < 1e-10: 100 |a - e| */
        {0, -3, 300, 0, 6},
        {0, 1, 100, 0, 5},
        {1e-10f, 2e-10f, 100, 0, 5}, /* the binary32 next to 1e-10 is 1.00000001e-10: no longer below */
        {0x1.b7cdfcp-34f, 0x1.b7cdfcp-33f, 0x1.b7cdfcp-34 * 100, 100 - 0x1.b7cdfcp-34 * 100, 0}, /* and the one before it is */
        {1, NAN, 100, 0, 5},                                                                     /* exactly 100 */
        {1, INFINITY, 100, 0, 5},
        {1, -INFINITY, 100, 0, 5},
        {0, NAN, 100, 0, 5},
        {0, INFINITY, 100, 0, 5},
        {INFINITY, 1, 100, 0, 5},
        {INFINITY, INFINITY, 100, 0, 5},
        {1e-10f, 3e38f, 3e38f / 1e-10f * 100.0, 0, 6},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char what[80];
        snprintf(what, sizeof what, "row %zu: e %g, a %g", i, (double)rows[i].e, (double)rows[i].a);
        const struct lb_metrics m = one(rows[i].e, rows[i].a);
        const double dev = i + 1 == COUNT(rows) ? (double)3e38f / (double)1e-10f * 100 : rows[i].dev;
        expect_near(what, m.avg_dev, dev);
        expect_near(what, m.max_dev, dev);
        expect_near(what, m.quality, rows[i].quality);
        cr_expect_eq(bin_of(&m), rows[i].bin, "%s: in bin %zu, expected %zu", what, bin_of(&m), rows[i].bin);
        cr_expect(isnan(m.kl));
    }
    cr_expect(one(1, NAN).avg_dev == 100 && one(1, INFINITY).max_dev == 100);
}

/* Averages over four samples, one of them far off, one not a number. */
Test(metrics, averages)
{
    const float f32[] = {1, 2, /**/ 4, 0, /**/ 0.5f, 0.25f, /**/ 1, 8};
    const float out[] = {3, 1, /**/ 4, 9, /**/ 2.5f, 0, /**/ NAN, NAN};
    const int32_t labels[] = {1, 0, 0, 1};
    struct lb_metrics m;
    lb_metrics_compute(f32, out, NULL, NULL, labels, 4, 2, &m);
    expect_near("avg_dev", m.avg_dev, (50 + 0 + 400 + 100) / 4.0);
    expect_near("max_dev", m.max_dev, 400);
    expect_near("quality", m.quality, (50 + 100 + 0 + 0) / 4.0);
    expect_near("top1_f32", m.top1_f32, 100);
    expect_near("top1", m.top1, 25);
    expect_near("agreement", m.agreement, 25);
    static const size_t hist[LB_HIST] = {1, 0, 0, 0, 1, 1, 1};
    cr_expect_arr_eq(m.hist, hist, sizeof hist);
}

Test(metrics, no_samples)
{
    struct lb_metrics m;
    lb_metrics_compute(NULL, NULL, NULL, NULL, NULL, 0, 10, &m);
    cr_expect(m.quality == 0 && m.avg_dev == 0 && m.top1 == 0 && isnan(m.kl));
}

/* ---- Argmax, labels, agreement ---- */

Test(metrics, argmax)
{
    static const struct {
        float x[4];
        long want;
    } rows[] = {{{1, 3, 3, 2}, 1},
                {{3, 1, 3, 3}, 0},
                {{-3, -1, -2, -1}, 1},
                {{NAN, 1, 2, NAN}, 2},
                {{NAN, 2, 2, 1}, 1},
                {{1, NAN, 2, 0}, 2},
                {{NAN, NAN, NAN, NAN}, -1},
                {{-INFINITY, -INFINITY, -INFINITY, -INFINITY}, 0},
                {{NAN, -INFINITY, NAN, NAN}, 1},
                {{0, INFINITY, INFINITY, 1}, 1},
                {{-0.0f, 0.0f, -0.0f, -1}, 0},
                {{0, -0.0f, 0x1p-149f, 0}, 2}};
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_eq(lb_argmax(rows[i].x, 4), rows[i].want, "row %zu: %ld", i, lb_argmax(rows[i].x, 4));
    cr_expect_eq(lb_argmax(rows[0].x, 0), -1);
}

/* All NaN: no label is right, and it agrees with nothing, not even with another NaN. The expected output is then the first. */
Test(metrics, nan_outputs)
{
    const float f32[] = {NAN, NAN, /**/ 1, 2}, out[] = {NAN, NAN, /**/ NAN, 2};
    const int32_t labels[] = {0, 1};
    struct lb_metrics m;
    lb_metrics_compute(f32, out, NULL, NULL, labels, 2, 2, &m);
    expect_near("top1", m.top1, 50);
    expect_near("top1_f32", m.top1_f32, 50);
    expect_near("agreement", m.agreement, 50);
    expect_near("avg_dev", m.avg_dev, 50);
}

/* Ties go to the first, on both sides. */
Test(metrics, ties)
{
    const float f32[] = {2, 2, 1}, out[] = {1, 2, 2};
    const int32_t label = 1;
    struct lb_metrics m;
    lb_metrics_compute(f32, out, NULL, NULL, &label, 1, 3, &m);
    expect_near("top1_f32", m.top1_f32, 0);
    expect_near("top1", m.top1, 100);
    expect_near("agreement", m.agreement, 0);
    expect_near("avg_dev", m.avg_dev, 50);
}

/* ---- KL ---- */

static long double kl(const float *p, const float *q, size_t n)
{
    long double sum_p = 0, sum_q = 0, result = 0;
    for (size_t i = 0; i < n; i++) {
        sum_p += expl((long double)p[i]);
        sum_q += expl((long double)q[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const long double log_p = (long double)p[i] - logl(sum_p), log_q = (long double)q[i] - logl(sum_q);
        result += expl(log_p) * (log_p - log_q);
    }
    return result;
}

Test(metrics, kl)
{
    static const float p[][5] = {
        {0, 0, 0, 0, 0}, {1, 2, 3, 4, 5}, {-50, 50, 0, 3, -3}, {1e4f, 1e4f, 0, 1e4f, 9990}, {0.1f, -0.1f, 0.2f, 0, 0.3f}};
    static const float q[][5] = {
        {0, 0, 0, 0, 1}, {5, 4, 3, 2, 1}, {60, -20, 1, 0, 2}, {1e4f, 9999, 5, 1e4f, 1e4f}, {0.1f, -0.1f, 0.2f, 0, 0.30001f}};
    const int32_t labels[COUNT(p)] = {0};
    struct lb_metrics m;
    long double sum = 0;
    for (size_t i = 0; i < COUNT(p); i++) {
        const long double want = kl(p[i], q[i], 5);
        lb_metrics_compute(p[i], q[i], p[i], q[i], labels, 1, 5, &m);
        cr_expect(fabs(m.kl - (double)want) <= 1e-14 + 1e-13 * fabs((double)want), "row %zu: expected %.17Lg, got %.17g", i, want, m.kl);
        sum += want;
        lb_metrics_compute(p[i], p[i], p[i], p[i], labels, 1, 5, &m);
        cr_expect_eq(m.kl, 0, "of itself: %g", m.kl);
    }
    lb_metrics_compute(p[0], q[0], p[0], q[0], labels, COUNT(p), 5, &m);
    cr_expect(fabs(m.kl / (double)(sum / COUNT(p)) - 1) < 1e-13, "the mean: expected %.17Lg, got %.17g", sum / COUNT(p), m.kl);
    lb_metrics_compute(p[0], q[0], p[0], NULL, labels, 1, 5, &m);
    cr_expect(isnan(m.kl), "without logits there is none");
    const float bad[] = {0, NAN, 0, 0, 0};
    lb_metrics_compute(p[0], bad, p[0], bad, labels, 1, 5, &m);
    cr_expect(isnan(m.kl), "a NaN shows");
}

/* ---- Difference of two backends ---- */

Test(metrics, difference)
{
    static const struct {
        float a, b;
        size_t elements;
        double max_abs;
        uint64_t max_ulp;
    } rows[] = {{1, 1, 0, 0, 0},
                {1, 0x1.000002p0f, 1, 0x1p-23, 1},
                {0x1.fffffep0f, 2, 1, 0x1p-23, 1}, /* across a binade */
                {-1, -0x1.000004p0f, 1, 0x1p-22, 2},
                {0.0f, -0.0f, 1, 0, 0}, /* other bits, same number */
                {0.0f, 0x1p-149f, 1, 0x1p-149, 1},
                {-0x1p-149f, 0x1p-149f, 1, 0x1p-148, 2},
                {-0.0f, -0x1p-148f, 1, 0x1p-148, 2},
                {0x1.fffffep127f, INFINITY, 1, INFINITY, 1},
                {-INFINITY, INFINITY, 1, INFINITY, UINT64_C(2) * 0x7f800000},
                {NAN, NAN, 0, 0, 0},
                {NAN, 1, 1, NAN, UINT64_MAX},
                {1, NAN, 1, NAN, UINT64_MAX},
                {-1, 1, 1, 2, UINT64_C(2) * 0x3f800000}};
    struct lb_difference d;
    for (size_t i = 0; i < COUNT(rows); i++) {
        lb_difference(&rows[i].a, &rows[i].b, 1, &d);
        cr_expect(d.elements == rows[i].elements && d.max_ulp == rows[i].max_ulp &&
                      (d.max_abs == rows[i].max_abs || (isnan(d.max_abs) && isnan(rows[i].max_abs))),
                  "row %zu: %zu elements, %g, %llu ulp", i, d.elements, d.max_abs, (unsigned long long)d.max_ulp);
    }
    const float a[] = {1, 2, NAN, 4, 5}, b[] = {1, 2.5f, 3, 4.25f, 5};
    lb_difference(a, b, 5, &d);
    cr_expect(d.elements == 3 && isnan(d.max_abs) && d.max_ulp == UINT64_MAX, "a NaN stays the largest: %g", d.max_abs);
    lb_difference(a + 3, b + 3, 2, &d);
    cr_expect(d.elements == 1 && d.max_abs == 0.25 && d.max_ulp == 0x80000);
    lb_difference(a, b, 0, &d);
    cr_expect(d.elements == 0 && d.max_abs == 0 && d.max_ulp == 0);
}

/* Two NaN of different bits differ. */
Test(metrics, difference_of_nans)
{
    const uint32_t bits[] = {0x7fc00000, 0xffc00001};
    float x[2];
    struct lb_difference d;
    memcpy(x, bits, sizeof x);
    lb_difference(x, x + 1, 1, &d);
    cr_expect(d.elements == 1 && isnan(d.max_abs) && d.max_ulp == UINT64_MAX);
}

Test(metrics, sqnr)
{
    expect_near("10 to 1", lb_sqnr_db(10, 1), 10);
    expect_near("1 to 1", lb_sqnr_db(1, 1), 0);
    expect_near("2 to 1", lb_sqnr_db(2, 1), 3.0102999566398119521);
    expect_near("1e-300 to 1e300", lb_sqnr_db(1e-200, 1e100), -3000);
    cr_expect(lb_sqnr_db(5, 0) == INFINITY && lb_sqnr_db(0, 0) == INFINITY && lb_sqnr_db(0, 1) == -INFINITY);
    cr_expect(isnan(lb_sqnr_db(1, NAN)));
    cr_expect(lb_sqnr_db(1, INFINITY) == -INFINITY);
}
