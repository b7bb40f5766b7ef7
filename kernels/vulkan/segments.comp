/* SPDX-License-Identifier: MIT */
/* segments.comp - the sums of segments where terms are many and outputs few: one invocation, one segment of one output; add_segments.comp adds them.
 * sums (segments, outputs). CONV2D_DW: terms (sample, output row, output column), outputs (output channel, input channel, kernel row, kernel
 * column). BIAS_GRAD: terms (sample, position), outputs (channel). */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer Gradient { float dy[]; };
layout(binding = 1) readonly buffer Input { float x[]; };
layout(binding = 2) writeonly buffer Sums { float sums[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;         /* segments of this dispatch times outputs */
    uint outputs, k, k0; /* all terms; the first one of this dispatch */
    uint sample0;       /* that the bound operands begin with */
#ifdef BIAS_GRAD
    uint channels, positions;
#else
    uint c, h, w, o, kh, kw, stride, pad, oh, ow;
#endif
};

#ifdef BIAS_GRAD

float segment(uint from, uint end, uint channel)
{
    uint image = from / positions, position = from - image * positions;
    uint where = at.x + ((image - sample0) * channels + channel) * positions;
    float acc = 0.0;
    for (uint i = from; i < end; i++) {
        acc += dy[where + position];
        position++;
        if (position == positions) {
            position = 0u;
            where += channels * positions;
        }
    }
    return acc;
}

#else

float segment(uint from, uint end, uint output_index)
{
    uint kx = output_index % kw, ky = output_index / kw % kh, channel = output_index / (kw * kh) % c, out_channel = output_index / (kw * kh * c);
    uint position = from % (oh * ow), image = from / (oh * ow) - sample0;
    uint oy = position / ow, ox = position % ow;
    uint dy_at = at.x + (image * o + out_channel) * (oh * ow) + position, x_at = at.y + (image * c + channel) * (h * w);
    float acc = 0.0;
    for (uint i = from; i < end; i++) {
        uint iy = oy * stride + ky - pad, ix = ox * stride + kx - pad; /* wraps to huge where outside */
        bool inside = iy < h && ix < w;
        float v = x[x_at + (inside ? iy * w + ix : 0u)];
        acc = canon_fma(dy[dy_at], inside ? v : 0.0, acc);
        dy_at++;
        ox++;
        if (ox == ow) {
            ox = 0u;
            oy++;
            if (oy == oh) {
                oy = 0u;
                dy_at += (o - 1u) * (oh * ow);
                x_at += c * h * w;
            }
        }
    }
    return acc;
}

#endif

void main()
{
    uint index = lb_index();
    if (index >= count)
        return;
    uint s = index / outputs, from = k0 + s * SEGMENT;
    sums[at.z + index] = segment(from, min(from + SEGMENT, k), index - s * outputs);
}
