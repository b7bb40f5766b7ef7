/* SPDX-License-Identifier: MIT */
/* gguf_scaled.c - scales without minimums: Q3_K, Q6_K. */
#include "plugins/codec_gguf/gguf_search.h"

/* Of all s with the codes that s gives, the one with the least squared error: the sum of x^2 less (sum of x q)^2 / (sum of q^2). */
static float piece_scale(const float *x, const struct gguf_scaled *f)
{
    enum { TRIES = 14 };
    float amax = 0, best = 0;
    double most = 0;
    for (int i = 0; i < f->piece; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    for (int try = 0; try < 2 * TRIES && amax > 0; try++) {
        const float top = -(float)f->low + 0.125f * (float)(try / 2 - 9);
        const float inverse = gguf_inverse(try % 2 ? -amax / top : amax / top);
        double lanes[GGUF_LANES] = {0};
        int whole = 0;
        for (int i = 0; i < f->piece; i += GGUF_LANES)
            for (int j = 0; j < GGUF_LANES; j++) {
                const int q = gguf_held(x[i + j] * inverse, f->low, f->high);
                lanes[j] += (double)x[i + j] * q;
                whole += q * q;
            }
        const double xq = gguf_lanes(lanes), qq = whole;
        if (xq * xq > most * qq) {
            most = xq * xq / qq;
            best = (float)(xq / qq);
        }
    }
    return best;
}

/* The squared error of a piece at scale s, and its codes. */
static double code_piece(const float *x, const struct gguf_scaled *f, float s, int *codes)
{
    const float inverse = gguf_inverse(s);
    double lanes[GGUF_LANES] = {0};
    for (int i = 0; i < f->piece; i += GGUF_LANES)
        for (int j = 0; j < GGUF_LANES; j++) {
            codes[i + j] = gguf_held(x[i + j] * inverse, f->low, f->high);
            const double e = (double)x[i + j] - (double)(s * (float)codes[i + j]);
            lanes[j] += e * e;
        }
    return gguf_lanes(lanes);
}

/* Scales and codes for the block's d: each piece tries the integers about its own scale. Returns the squared error. */
static double code_block(const float *x, const float *wanted, struct gguf_scaled *f)
{
    enum { AROUND = 2 };
    const float d = gguf_half_value(f->d), inverse = gguf_inverse(d);
    double sum = 0;
    for (int p = 0; p * f->piece < GGUF_K; p++) {
        const int middle = gguf_held(wanted[p] * inverse, f->scale_low, -f->scale_low - 1);
        int codes[GGUF_K];
        double least = -1;
        for (int scale = middle - AROUND; scale <= middle + AROUND; scale++) {
            if (scale < f->scale_low || scale > -f->scale_low - 1)
                continue;
            const double error = code_piece(x + p * f->piece, f, d * (float)scale, codes);
            if (least < 0 || error < least) {
                least = error;
                f->scale[p] = scale;
                memcpy(f->q + p * f->piece, codes, (size_t)f->piece * sizeof *codes);
            }
        }
        sum += least;
    }
    return sum;
}

/* The d that fits the scales and codes chosen best. */
static float refit(const float *x, const struct gguf_scaled *f)
{
    double xa = 0, aa = 0;
    for (int i = 0; i < GGUF_K; i++) {
        const double a = (double)(f->scale[i / f->piece] * f->q[i]);
        xa += (double)x[i] * a;
        aa += a * a;
    }
    return aa > 0 ? (float)(xa / aa) : 0;
}

/* Codes the block with d and then with what fits better, as long as the error falls; keeps the best. */
static void descend(const float *x, const float *wanted, float d, struct gguf_scaled *best, double *least)
{
    enum { ROUNDS = 4 };
    struct gguf_scaled f = *best;
    double before = -1;
    for (int round = 0; round < ROUNDS; round++) {
        f.d = gguf_half_bits(d);
        const double error = code_block(x, wanted, &f);
        if (before >= 0 && !(error < before))
            return;
        before = error;
        if (*least < 0 || error < *least) {
            *least = error;
            *best = f;
        }
        d = refit(x, &f);
    }
}

void gguf_fit_scaled(const float *x, struct gguf_scaled *f)
{
    float wanted[GGUF_PIECES], largest = 0;
    double least = -1;
    for (int p = 0; p * f->piece < GGUF_K; p++) {
        wanted[p] = piece_scale(x + p * f->piece, f);
        largest = fabsf(wanted[p]) > fabsf(largest) ? wanted[p] : largest;
    }
    descend(x, wanted, largest / (float)f->scale_low, f, &least);
    descend(x, wanted, largest / (float)(-f->scale_low - 1), f, &least);
}
