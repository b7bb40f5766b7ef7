/* SPDX-License-Identifier: MIT */
#include "core/nn/metrics.h"
#include "kernels/canon.h"

#include <math.h>
#include <string.h>

long lb_argmax(const float *x, size_t n)
{
    long best = -1;
    for (size_t i = 0; i < n; i++)
        if (x[i] == x[i] && (best < 0 || x[i] > x[best]))
            best = (long)i;
    return best;
}

/* Percent by which output a misses the expected e. */
static double deviation(double e, double a)
{
    const double d = fabs(a - e), dev = fabs(e) < 1e-10 ? d * 100 : d / fabs(e) * 100;
    return isfinite(dev) ? dev : 100;
}

/* log of the sum of exp(x - max): x_i - max - this is the log of softmax. */
static double log_sum(const float *x, size_t n, double *max)
{
    double m = (double)x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        m = (double)x[i] > m ? (double)x[i] : m;
    for (size_t i = 0; i < n; i++)
        sum += canon_exp64((double)x[i] - m);
    *max = m;
    return canon_log64(sum);
}

static double kl(const float *p, const float *q, size_t n)
{
    double max_p, max_q, sum = 0;
    const double log_p = log_sum(p, n, &max_p), log_q = log_sum(q, n, &max_q);
    for (size_t i = 0; i < n; i++) {
        const double a = ((double)p[i] - max_p) - log_p, b = ((double)q[i] - max_q) - log_q;
        const double share = canon_exp64(a);
        if (share != 0) /* 0 log 0 is 0 */
            sum += share * (a - b);
    }
    return sum;
}

static void add_to_histogram(struct lb_metrics *m, double dev)
{
    static const double edge[LB_HIST - 1] = {10, 20, 30, 40, 50, 100};
    int i = 0;
    while (i < LB_HIST - 1 && dev > edge[i])
        i++;
    m->hist[i]++;
}

void lb_metrics_compute(const float *f32, const float *out, const float *f32_logits, const float *out_logits, const int32_t *labels,
                        size_t n, size_t classes, struct lb_metrics *m)
{
    *m = (struct lb_metrics){0};
    size_t right = 0, right_f32 = 0, same = 0;
    double sum_kl = 0;
    for (size_t s = 0; s < n; s++) {
        const float *e = f32 + s * classes, *a = out + s * classes;
        const long want = lb_argmax(e, classes), got = lb_argmax(a, classes);
        const size_t at = want < 0 ? 0 : (size_t)want;
        const double dev = deviation((double)e[at], (double)a[at]);
        m->quality += dev < 100 ? 100 - dev : 0;
        m->avg_dev += dev;
        m->max_dev = dev > m->max_dev ? dev : m->max_dev;
        add_to_histogram(m, dev);
        right += got == labels[s];
        right_f32 += want == labels[s];
        same += got >= 0 && got == want;
        if (f32_logits && out_logits)
            sum_kl += kl(f32_logits + s * classes, out_logits + s * classes, classes);
    }
    const double count = n ? (double)n : 1;
    m->quality /= count;
    m->avg_dev /= count;
    m->top1 = 100 * (double)right / count;
    m->top1_f32 = 100 * (double)right_f32 / count;
    m->agreement = 100 * (double)same / count;
    m->kl = f32_logits && out_logits ? sum_kl / count : (double)NAN;
}

static int64_t order(float x)
{
    int32_t b;
    memcpy(&b, &x, sizeof b);
    return b < 0 ? (int64_t)INT32_MIN - b : b; /* -0 and +0 are both 0 */
}

void lb_difference(const float *a, const float *b, size_t n, struct lb_difference *d)
{
    *d = (struct lb_difference){0};
    for (size_t i = 0; i < n; i++) {
        if (memcmp(a + i, b + i, sizeof *a) == 0)
            continue;
        d->elements++;
        const double abs = fabs((double)a[i] - (double)b[i]);
        const int64_t ulps = order(a[i]) - order(b[i]);
        const uint64_t ulp = a[i] != a[i] || b[i] != b[i] ? UINT64_MAX : (uint64_t)(ulps < 0 ? -ulps : ulps);
        d->max_abs = abs > d->max_abs || abs != abs ? abs : d->max_abs;
        d->max_ulp = ulp > d->max_ulp ? ulp : d->max_ulp;
    }
}

double lb_sqnr_db(double signal, double noise)
{
    if (noise == 0)
        return (double)INFINITY;
    return 10 * canon_log64(signal / noise) / 2.302585092994045684;
}
