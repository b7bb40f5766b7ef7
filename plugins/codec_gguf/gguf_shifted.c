/* SPDX-License-Identifier: MIT */
/* gguf_shifted.c - scales and minimums: Q2_K, Q4_K, Q5_K. */
#include "plugins/codec_gguf/gguf_search.h"

/* x = scale q + low with low <= 0. */
struct line {
    float scale, low;
};

/* The least squares of x against the codes that `l` gives. */
static struct line fit(const float *x, const struct gguf_shifted *f, struct line l)
{
    const float inverse = gguf_inverse(l.scale);
    double x_lanes[GGUF_LANES] = {0}, xq_lanes[GGUF_LANES] = {0};
    int sum = 0, squares = 0;
    for (int i = 0; i < f->piece; i += GGUF_LANES)
        for (int j = 0; j < GGUF_LANES; j++) {
            const int q = gguf_held((x[i + j] - l.low) * inverse, 0, f->high);
            sum += q;
            squares += q * q;
            x_lanes[j] += (double)x[i + j];
            xq_lanes[j] += (double)x[i + j] * q;
        }
    const double n = f->piece, q1 = sum, q2 = squares, x1 = gguf_lanes(x_lanes), xq = gguf_lanes(xq_lanes);
    const double det = n * q2 - q1 * q1;
    struct line r = {det > 0 ? (float)((n * xq - x1 * q1) / det) : 0, det > 0 ? (float)((q2 * x1 - q1 * xq) / det) : (float)(x1 / n)};
    if (r.low > 0)
        r = (struct line){q2 > 0 ? (float)(xq / q2) : 0, 0};
    return r.scale >= 0 ? r : (struct line){0, 0};
}

static double line_error(const float *x, const struct gguf_shifted *f, struct line l, int *codes)
{
    const float inverse = gguf_inverse(l.scale);
    double lanes[GGUF_LANES] = {0};
    for (int i = 0; i < f->piece; i += GGUF_LANES)
        for (int j = 0; j < GGUF_LANES; j++) {
            codes[i + j] = gguf_held((x[i + j] - l.low) * inverse, 0, f->high);
            const double e = (double)x[i + j] - (double)(l.scale * (float)codes[i + j] + l.low);
            lanes[j] += e * e;
        }
    return gguf_lanes(lanes);
}

/* From the least to the largest of x and 0. */
static struct line range_line(const float *x, const struct gguf_shifted *f)
{
    float low = 0, high = x[0];
    for (int i = 0; i < f->piece; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return (struct line){(high - low) / (float)f->high, low};
}

/* The line with the least squared error of some that are fitted to a share of the range of x, and then fitted again. */
static struct line best_line(const float *x, const struct gguf_shifted *f, struct line range)
{
    enum { TRIES = 16, AGAIN = 2 };
    int codes[GGUF_K];
    struct line best = range;
    double least = line_error(x, f, best, codes);
    for (int try = 0; try < TRIES + AGAIN; try++) {
        const float share = (float)f->high / ((float)f->high + 0.125f * (float)(try - TRIES / 2));
        const struct line l = fit(x, f, try < TRIES ? (struct line){range.scale * share, range.low} : best);
        const double error = line_error(x, f, l, codes);
        if (error < least) {
            least = error;
            best = l;
        }
    }
    return best;
}

/* Scales, minimums and codes for the block's d and dmin: each piece tries the integers about its own. Returns the squared error. */
static double code_block(const float *x, const struct line *wanted, struct gguf_shifted *f)
{
    const float d = gguf_half_value(f->d), dmin = gguf_half_value(f->dmin);
    double sum = 0;
    for (int p = 0; p * f->piece < GGUF_K; p++) {
        const int s = gguf_held(wanted[p].scale * gguf_inverse(d), 0, f->scale_top);
        const int m = gguf_held(-wanted[p].low * gguf_inverse(dmin), 0, f->scale_top);
        int codes[GGUF_K];
        double least = -1;
        for (int k = 0; k < 9; k++) {
            const int scale = s + k / 3 - 1, min = m + k % 3 - 1;
            if (scale < 0 || scale > f->scale_top || min < 0 || min > f->scale_top)
                continue;
            const double error = line_error(x + p * f->piece, f, (struct line){d * (float)scale, -(dmin * (float)min)}, codes);
            if (least < 0 || error < least) {
                least = error;
                f->scale[p] = scale;
                f->min[p] = min;
                memcpy(f->q + p * f->piece, codes, (size_t)f->piece * sizeof *codes);
            }
        }
        sum += least;
    }
    return sum;
}

/* The d and dmin that fit what was chosen best; a singular system leaves them. */
static void refit(const float *x, const struct gguf_shifted *f, float *d, float *dmin)
{
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int i = 0; i < GGUF_K; i++) {
        const double a = (double)(f->scale[i / f->piece] * f->q[i]), b = -(double)f->min[i / f->piece];
        aa += a * a;
        ab += a * b;
        bb += b * b;
        xa += (double)x[i] * a;
        xb += (double)x[i] * b;
    }
    const double det = aa * bb - ab * ab;
    if (det > 0 && aa * xb >= ab * xa && bb * xa >= ab * xb) {
        *d = (float)((bb * xa - ab * xb) / det);
        *dmin = (float)((aa * xb - ab * xa) / det);
    } else if (aa > 0 && bb == 0) {
        *d = xa > 0 ? (float)(xa / aa) : 0;
    }
}

/* Codes the block with the d and dmin that hold all lines, and then with what fits better, as long as the error falls; keeps the best. */
static void descend(const float *x, const struct line *wanted, struct gguf_shifted *best, double *least)
{
    enum { ROUNDS = 4 };
    struct gguf_shifted f = *best;
    float scale = 0, min = 0;
    for (int p = 0; p * f.piece < GGUF_K; p++) {
        scale = wanted[p].scale > scale ? wanted[p].scale : scale;
        min = -wanted[p].low > min ? -wanted[p].low : min;
    }
    float d = scale / (float)f.scale_top, dmin = min / (float)f.scale_top;
    double before = -1;
    for (int round = 0; round < ROUNDS; round++) {
        f.d = gguf_half_bits(d);
        f.dmin = gguf_half_bits(dmin);
        const double error = code_block(x, wanted, &f);
        if (before >= 0 && !(error < before))
            return;
        before = error;
        if (*least < 0 || error < *least) {
            *least = error;
            *best = f;
        }
        refit(x, &f, &d, &dmin);
    }
}

/* From the pieces' ranges, so that the plain choice of scales is never better, and from the lines that fit them best. */
void gguf_fit_shifted(const float *x, struct gguf_shifted *f)
{
    struct line range[GGUF_PIECES], best[GGUF_PIECES];
    double least = -1;
    for (int p = 0; p * f->piece < GGUF_K; p++) {
        range[p] = range_line(x + p * f->piece, f);
        best[p] = best_line(x + p * f->piece, f, range[p]);
    }
    descend(x, range, f, &least);
    descend(x, best, f, &least);
}
