/* SPDX-License-Identifier: MIT */
/* product.comp - matrix product, convolution and its input gradient, literally: one invocation, one output. It makes terms k0 to k1 - 1, in
 * segments; where they are not all, the total goes on from what the output holds. GEMM, CONV2D or CONV2D_DX is defined; the weights of GEMM
 * (RIGHT_PACKED) and CONV2D (LEFT_PACKED) may be packed.glsl's. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

#ifndef LEFT_PACKED
layout(binding = 0) readonly buffer Left { float left[]; }; /* a, or the weights */
#endif
#ifndef RIGHT_PACKED
layout(binding = 1) readonly buffer Right { float right[]; }; /* b, x, or dy */
#endif
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) buffer Result { float result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count; /* outputs */
    uint k0, k1;
    uint is_first, is_last; /* whether k0 is 0, and k1 the number of terms */
    uint has_bias, act;
    float alpha;
#ifdef GEMM
    uint n;            /* columns of this dispatch */
    uint a_row, a_col; /* how far apart neighbours are */
    uint b_row, b_col;
    uint c_row;
#else
    uint c, h, w, o, kh, kw, stride, pad, oh, ow;
#endif
#if defined(LEFT_PACKED) || defined(RIGHT_PACKED)
    PACKED_ARGUMENTS
#endif
};
#if defined(LEFT_PACKED) || defined(RIGHT_PACKED)
#include "kernels/vulkan/packed.glsl"
#endif

#ifdef GEMM

uint a_at, b_at, j;

void locate(uint index)
{
    uint i = index / n;
    j = index - i * n;
    a_at = at.x + i * a_row;
    b_at = at.y + j * b_col;
}

uint place(uint index)
{
    return index / n * c_row + j;
}

float factor_left(uint k)
{
    return left[a_at + (k - k0) * a_col];
}

float factor_right(uint k)
{
#ifdef RIGHT_PACKED
    return packed_value(j, k);
#else
    return right[b_at + (k - k0) * b_row];
#endif
}

uint bias_index()
{
    return j;
}

#else

/* Both count terms (channel, kernel row, kernel column), the last fastest; forward the channel is an input channel, backward an output channel. */
uint image, channel, row, col; /* of the output */
uint term_channel, ky, kx;

void locate(uint index)
{
#ifdef CONV2D
    uint width = ow, height = oh, channels = o;
#else
    uint width = w, height = h, channels = c;
#endif
    uint rest = index / width;
    col = index - rest * width;
    row = rest % height;
    rest /= height;
    channel = rest % channels;
    image = rest / channels;
    kx = k0 % kw;
    ky = k0 / kw % kh;
    term_channel = k0 / (kw * kh);
}

void next_term()
{
    kx++;
    if (kx == kw) {
        kx = 0u;
        ky++;
        if (ky == kh) {
            ky = 0u;
            term_channel++;
        }
    }
}

uint place(uint index)
{
    return index;
}

float factor_left(uint k)
{
#ifdef LEFT_PACKED
    return packed_value(channel, k);
#elif defined(CONV2D)
    return left[at.x + channel * (c * kh * kw) + k];
#else
    return left[at.x + ((term_channel * c + channel) * kh + ky) * kw + kx];
#endif
}

/* A tap outside is a zero that is multiplied. */
float factor_right(uint k)
{
#ifdef CONV2D
    uint y = row * stride + ky - pad, x = col * stride + kx - pad; /* wraps to huge where outside */
    bool inside = y < h && x < w;
    uint index = ((image * c + term_channel) * h + y) * w + x;
#else
    uint ty = row + pad - ky, tx = col + pad - kx;
    uint y = ty / stride, x = tx / stride;
    bool inside = ty < CANON_SIGN && tx < CANON_SIGN && y * stride == ty && x * stride == tx && y < oh && x < ow;
    uint index = ((image * o + term_channel) * oh + y) * ow + x;
#endif
    float v = right[at.y + (inside ? index : 0u)];
    return inside ? v : 0.0;
}

uint bias_index()
{
    return channel;
}

#endif

void main()
{
    uint index = lb_index();
    if (index >= count)
        return;
    locate(index);
    uint to = at.w + place(index);
    float total = is_first != 0u ? 0.0 : result[to];
    for (uint s = k0; s < k1; s += SEGMENT) {
        uint end = min(s + SEGMENT, k1);
        float acc = 0.0;
        for (uint k = s; k < end; k++) {
            acc = canon_fma(factor_left(k), factor_right(k), acc);
#ifndef GEMM
            next_term();
#endif
        }
        total += acc;
    }
    if (is_last == 0u) {
        result[to] = total;
        return;
    }
    if (has_bias != 0u)
        total += bias[at.z + bias_index()];
    result[to] = lb_activate(act, alpha, total);
}
