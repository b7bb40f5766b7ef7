/* SPDX-License-Identifier: MIT */
/* rows.comp - ops on rows, one invocation a row: SOFTMAX, SOFTMAX_GRAD, CROSS_ENTROPY or MSE is defined; HALF: its reduction. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer First { float first[]; }; /* x; softmax_grad: y */
#if defined(CROSS_ENTROPY) || defined(MSE)
layout(binding = 1) readonly buffer Labels { int labels[]; };
layout(binding = 2) writeonly buffer Loss { float loss[]; };
layout(binding = 3) buffer Gradient { float dx[]; };
#elif defined(SOFTMAX_GRAD)
layout(binding = 1) readonly buffer Second { float dy[]; };
layout(binding = 2) writeonly buffer Gradient { float dx[]; };
#else
layout(binding = 1) buffer Result { float y[]; };
#endif

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint rows, cols;
    float row_divisor;      /* rows of the whole batch: what a mean over rows divides by */
    float cell_divisor;     /* rows * cols of the whole batch */
    float col_divisor;      /* cols */
};

float row_max(uint x_at)
{
    float m = first[x_at];
    for (uint j = 1u; j < cols; j++) {
        float v = first[x_at + j];
        m = v > m ? v : m;
    }
    return m;
}

#ifdef SOFTMAX

void row(uint r)
{
    uint x_at = at.x + r * cols, y_at = at.y + r * cols;
    float m = row_max(x_at), total = 0.0;
    for (uint s = 0u; s < cols; s += SEGMENT) {
        float acc = 0.0;
        for (uint j = s; j < min(s + SEGMENT, cols); j++) {
            float e = canon_exp(first[x_at + j] - m);
            y[y_at + j] = e;
            acc += e;
        }
        total += acc;
    }
    for (uint j = 0u; j < cols; j++)
        y[y_at + j] = canon_nan(canon_div(y[y_at + j], total));
}

#elif defined(SOFTMAX_GRAD)

void row(uint r)
{
    uint y_at = at.x + r * cols, dy_at = at.y + r * cols, dx_at = at.z + r * cols;
    float total = 0.0;
    for (uint s = 0u; s < cols; s += SEGMENT) {
        float acc = 0.0;
        for (uint j = s; j < min(s + SEGMENT, cols); j++)
            acc = canon_fma(dy[dy_at + j], first[y_at + j], acc);
        total += acc;
    }
    for (uint j = 0u; j < cols; j++)
        dx[dx_at + j] = canon_nan(first[y_at + j] * (dy[dy_at + j] - total));
}

#elif defined(CROSS_ENTROPY)

void row(uint r)
{
    uint x_at = at.x + r * cols, dx_at = at.w + r * cols, label = uint(labels[at.y + r]);
    float m = row_max(x_at), total = 0.0;
    for (uint s = 0u; s < cols; s += SEGMENT) {
        float acc = 0.0;
        for (uint j = s; j < min(s + SEGMENT, cols); j++) {
            float e = canon_exp(first[x_at + j] - m);
            dx[dx_at + j] = e;
            acc += e;
        }
        total += acc;
    }
    loss[at.z + r] = canon_nan(canon_log(total) - (first[x_at + label] - m));
    for (uint j = 0u; j < cols; j++) {
        float p = canon_div(dx[dx_at + j], total) - (j == label ? 1.0 : 0.0);
        dx[dx_at + j] = canon_nan(canon_div(p, row_divisor));
    }
}

#else

float difference(uint x_at, uint j, uint label)
{
    return first[x_at + j] - (j == label ? 1.0 : 0.0);
}

void row(uint r)
{
    uint x_at = at.x + r * cols, dx_at = at.w + r * cols, label = uint(labels[at.y + r]);
    float total = 0.0;
    for (uint s = 0u; s < cols; s += SEGMENT) {
        float acc = 0.0;
        for (uint j = s; j < min(s + SEGMENT, cols); j++) {
            float d = difference(x_at, j, label);
            acc = canon_fma(d, d, acc);
        }
        total += acc;
    }
#ifdef HALF
    loss[at.z + r] = canon_nan(0.5 * total);
    for (uint j = 0u; j < cols; j++)
        dx[dx_at + j] = canon_nan(canon_div(difference(x_at, j, label), row_divisor));
#else
    loss[at.z + r] = canon_nan(canon_div(total, col_divisor));
    for (uint j = 0u; j < cols; j++)
        dx[dx_at + j] = canon_nan(canon_div(2.0 * difference(x_at, j, label), cell_divisor));
#endif
}

#endif

void main()
{
    uint index = lb_index();
    if (index < rows)
        row(index);
}
