/* SPDX-License-Identifier: MIT */
/* blas_rows.c - loops over rows, written so that a compiler puts neighbours side by side without branches. */
#include "plugins/cpu_blas/cpu_blas.h"

static void add_bias(const float *restrict sum, const float *restrict bias, size_t step, size_t n, float *restrict out)
{
    if (step)
        for (size_t i = 0; i < n; i++)
            out[i] = sum[i] + bias[i];
    else
        for (size_t i = 0; i < n; i++)
            out[i] = sum[i] + bias[0];
}

static void scaled_relu(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        const float v = x[i] < 0 ? 0.0f : x[i];
        x[i] = factor * v;
    }
}

void blas_finish_row(const struct device *d, float *sum, const float *bias, size_t step, size_t n, uint32_t act, float alpha, float *out)
{
    const int in_place = act == LB_LINEAR || act == LB_RELU || act == LB_SCALED_RELU;
    static const float none = 0;
    if (sum != out && in_place)
        add_bias(sum, bias ? bias : &none, bias ? step : 0, n, out);
    else if (bias)
        for (size_t i = 0; i < n; i++)
            sum[i] += bias[step * i];
    if (act == LB_RELU || act == LB_SCALED_RELU)
        scaled_relu(out, n, act == LB_RELU ? 1.0f : alpha);
    else if (!in_place)
        d->k->act(sum, out, n, (int)act, alpha);
}

void blas_relu_grad(const float *y, const float *dy, size_t n, float factor, float *dx)
{
    if (dx == dy)
        for (size_t i = 0; i < n; i++) {
            const float v = factor * dx[i];
            dx[i] = y[i] > 0 ? v : 0.0f;
        }
    else
        for (size_t i = 0; i < n; i++) {
            const float v = factor * dy[i];
            dx[i] = y[i] > 0 ? v : 0.0f;
        }
}
