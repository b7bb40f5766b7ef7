/* SPDX-License-Identifier: MIT */
/* blas_rows.c - what is done to rows between products, written so that a compiler puts neighbours side by side without branches. */
#include "kernels/canon.h"
#include "plugins/cpu_blas/cpu_blas.h"

#include <string.h>

static void add(float *x, size_t n, float bias)
{
    for (size_t i = 0; i < n; i++)
        x[i] += bias;
}

static void relu(float *x, size_t n, float bias, float factor)
{
    for (size_t i = 0; i < n; i++) {
        const float v = x[i] + bias;
        x[i] = factor * (v < 0 ? 0.0f : v);
    }
}

/* The reference form makes vectors only where it reads and writes different arrays. */
static void other(const struct device *d, float *x, size_t n, float bias, int act, float alpha)
{
    enum { BLOCK = 512 };
    float in[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t some = n - i < BLOCK ? n - i : BLOCK;
        memcpy(in, x + i, some * sizeof *x);
        add(in, some, bias);
        d->k->act(in, x + i, some, act, alpha);
    }
}

void blas_activate(const struct device *d, float *x, size_t n, float bias, uint32_t act, float alpha)
{
    switch (act) {
    case LB_LINEAR:
        add(x, n, bias);
        break;
    case LB_RELU:
        relu(x, n, bias, 1.0f);
        break;
    case LB_SCALED_RELU:
        relu(x, n, bias, alpha);
        break;
    default:
        other(d, x, n, bias, (int)act, alpha);
        break;
    }
}

void blas_relu_grad(const float *y, const float *dy, size_t n, float factor, float *dx)
{
    if (dx == dy)
        for (size_t i = 0; i < n; i++)
            dx[i] = canon_select(y[i] > 0, factor * dx[i], 0.0f);
    else
        for (size_t i = 0; i < n; i++)
            dx[i] = canon_select(y[i] > 0, factor * dy[i], 0.0f);
}

void blas_add(float *restrict to, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += x[i];
}

float blas_sum(const float *x, size_t n)
{
    enum { LANES = 32 };
    float acc[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            acc[l] += x[i + l];
    for (; i < n; i++)
        total += x[i];
    for (size_t l = 0; l < LANES; l++)
        total += acc[l];
    return total;
}

static void split_in_two(const float *restrict x, size_t n, float *restrict even, float *restrict odd)
{
    for (size_t j = 0; j < n / 2; j++) {
        even[j] = x[2 * j];
        odd[j] = x[2 * j + 1];
    }
    if (n % 2)
        even[n / 2] = x[n - 1];
}

void blas_split(const float *x, size_t n, size_t stride, float *const *out)
{
    if (stride == 1)
        memcpy(out[0], x, n * sizeof *x);
    else if (stride == 2)
        split_in_two(x, n, out[0], out[1]);
    else
        for (size_t i = 0, j = 0; i < n; j++)
            for (size_t b = 0; b < stride && i < n; b++)
                out[b][j] = x[i++];
}

static void join_two(const float *restrict even, const float *restrict odd, size_t n, float *restrict x)
{
    for (size_t j = 0; j < n / 2; j++) {
        x[2 * j] = even[j];
        x[2 * j + 1] = odd[j];
    }
    if (n % 2)
        x[n - 1] = even[n / 2];
}

void blas_join(float *const *in, size_t n, size_t stride, float *x)
{
    if (stride == 1)
        memcpy(x, in[0], n * sizeof *x);
    else if (stride == 2)
        join_two(in[0], in[1], n, x);
    else
        for (size_t i = 0, j = 0; i < n; j++)
            for (size_t b = 0; b < stride && i < n; b++)
                x[i++] = in[b][j];
}
