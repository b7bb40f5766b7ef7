/* SPDX-License-Identifier: MIT */
#include "core/format/range.h"
#include "core/base/mem.h"
#include "core/format/scale.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdlib.h>

/* What numbers are held within: low <= 0 <= high; without zero points low is -high. */
struct range {
    float low, high;
};

static struct range range_of(const float *x, size_t n)
{
    struct range r = {0, 0};
    for (size_t i = 0; i < n; i++) {
        r.low = x[i] < r.low ? x[i] : r.low;
        r.high = x[i] > r.high ? x[i] : r.high;
    }
    return r;
}

static float larger(float a, float b)
{
    return a < b ? b : a;
}

/* The range within [-t, t]. */
static struct range within(struct range r, float t)
{
    return (struct range){r.low < -t ? -t : r.low, t < r.high ? t : r.high};
}

/* ---- Rules ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Both ends cut: the numbers number ceil(p n) from below, and from above. */
static int percentile(const struct lb_format *f, const float *x, size_t n, struct range *out, struct lb_err *err)
{
    float *sorted = lb_alloc(n, sizeof *sorted, err);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < n; i++)
        sorted[i] = x[i];
    qsort(sorted, n, sizeof *sorted, by_value);
    const size_t k = (size_t)ceil(f->config->percentile / 100 * (double)n), at = k > n ? n : k ? k : 1;
    *out = (struct range){sorted[n - at] < 0 ? sorted[n - at] : 0, sorted[at - 1] > 0 ? sorted[at - 1] : 0};
    lb_free(sorted);
    return 0;
}

/* Each batch moves the ends by a tenth of what it differs. */
static struct range moving_average(const float *x, size_t rows, size_t cols, size_t batch)
{
    struct range r = {0, 0};
    for (size_t at = 0; at < rows; at += batch) {
        const struct range b = range_of(x + at * cols, (rows - at < batch ? rows - at : batch) * cols);
        r = at ? (struct range){r.low * 0.9f + b.low * 0.1f, r.high * 0.9f + b.high * 0.1f} : b;
    }
    return r;
}

enum { BINS = 2048 };

/* KL(P || Q) for the first n bins: P is they, what lies beyond added to the last; Q is they in `levels` levels, each spread over its bins that are not empty. */
static double divergence(const double count[BINS], size_t n, size_t levels, double all)
{
    double beyond = 0, in_q = 0, kl = 0;
    for (size_t i = n; i < BINS; i++)
        beyond += count[i];
    for (size_t i = 0; i < n; i++)
        in_q += count[i];
    for (size_t l = 0; l < levels; l++) {
        const size_t from = l * n / levels, to = (l + 1) * n / levels;
        double sum = 0, filled = 0;
        for (size_t i = from; i < to; i++) {
            sum += count[i];
            filled += count[i] > 0;
        }
        for (size_t i = from; i < to; i++) {
            const double p = count[i] + (i + 1 == n ? beyond : 0);
            if (p > 0) {
                const double q = count[i] > 0 ? sum / filled / in_q : 0x1p-40; /* nothing of Q is where the outliers were put */
                kl += p / all * canon_log64(p / all / q);
            }
        }
    }
    return kl;
}

/* The threshold on magnitudes with the least divergence; of equal ones the largest. */
static float kl_threshold(const float *x, size_t n, float amax, size_t levels)
{
    double count[BINS] = {0}, all = 0, least = INFINITY;
    size_t best = BINS;
    const double width = (double)amax / BINS;
    for (size_t i = 0; i < n; i++) {
        const double bin = fabs((double)x[i]) / width;
        if (x[i] != 0) { /* a zero is a zero in any scale */
            count[bin < BINS ? (size_t)bin : BINS - 1]++;
            all++;
        }
    }
    for (size_t bins = BINS; bins >= levels && all > 0; bins--) {
        const double kl = divergence(count, bins, levels, all);
        if (kl < least) {
            least = kl;
            best = bins;
        }
    }
    return (float)(width * (double)best);
}

/* ---- Scale and zero point ---- */

static int has_zero(const struct lb_format *f)
{
    return lb_scale_has_zero(f->config);
}

static void scale_of(const struct lb_format *f, struct range r, float *s, float *z)
{
    const float first = (float)f->low, last = (float)f->high;
    *z = 0;
    if (!has_zero(f)) {
        *s = canon_div(larger(-r.low, r.high), last);
        return;
    }
    *s = canon_div(r.high - r.low, (float)(f->high - f->low));
    const float at = *s == 0 ? first : rintf(first - canon_div(r.low, *s));
    *z = at < first ? first : at > last ? last : at;
}

/* The sum of the squared errors of x in the range, in order. */
static double squared_error(const struct lb_format *f, const float *x, size_t n, struct range r)
{
    float s, z;
    double sum = 0;
    scale_of(f, r, &s, &z);
    const float least = lb_scale_is_symmetric(f) ? -(float)f->high : (float)f->low, most = (float)f->high;
    for (size_t i = 0; i < n; i++) {
        float q = z + rintf(s == 0 ? 0.0f : canon_div(x[i], s));
        q = q < least ? least : q > most ? most : q;
        const double d = (double)x[i] - (double)((q - z) * s);
        sum += d * d;
    }
    return sum;
}

static struct range least_error(const struct lb_format *f, const float *x, size_t n, struct range all)
{
    struct range best = all;
    double least = INFINITY;
    for (int i = 64; i >= 16; i--) {
        const float share = (float)i * 0x1p-6f;
        const struct range r = {all.low * share, all.high * share};
        const double sum = squared_error(f, x, n, r);
        if (sum < least) {
            least = sum;
            best = r;
        }
    }
    return best;
}

int lb_range_scale(const struct lb_format *f, const float *x, size_t rows, size_t cols, size_t batch, float *s, float *z,
                   struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    const size_t n = rows * cols;
    struct range r = range_of(x, n);
    switch (c->rule) {
    case LB_SCALE_PERCENTILE:
        if (has_zero(f) && percentile(f, x, n, &r, err))
            return -1;
        break;
    case LB_SCALE_MSE:
        if (has_zero(f))
            r = least_error(f, x, n, r);
        break;
    case LB_SCALE_MOVING_AVERAGE:
        r = moving_average(x, rows, cols, batch);
        break;
    case LB_SCALE_KL:
        r = within(r, kl_threshold(x, n, larger(-r.low, r.high), (size_t)(f->high - (has_zero(f) ? f->low : 0)) + 1));
        break;
    default:
        break;
    }
    if (has_zero(f) || c->rule == LB_SCALE_KL || c->rule == LB_SCALE_MOVING_AVERAGE) {
        scale_of(f, r, s, z);
        return 0;
    }
    const size_t shape[2] = {rows, cols};
    struct lb_groups g;
    struct lb_scales made = {0};
    const int failed = lb_groups_of(f, 2, shape, &g, err) || lb_scales_make(f, &g, x, &made, err) ? -1 : 0;
    *s = failed ? 0 : made.s[0];
    *z = 0;
    lb_scales_finish(&made);
    return failed;
}
