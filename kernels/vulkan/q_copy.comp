/* SPDX-License-Identifier: MIT */
/* q_copy.comp - copies of bytes with strides. The result is runs of neighbours, which four numbers count; an invocation makes what lies in one word. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer Input { uint x_words[]; };
layout(binding = 3) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint x_from, y_from;
    uint run, run_words, x_step; /* neighbours; the most words that they lie in; from one to the next in the input */
    uint size[4], x_stride[4], y_stride[4];
};
#include "kernels/vulkan/q_out.glsl"

void main()
{
    uint index = lb_index() / run_words, word_of_run = lb_index() - index * run_words, x = at.x * 4u + x_from, y = at.w * 4u + y_from;
    [[unroll]] for (uint d = 4u; d-- > 0u;) {
        uint outer = index / size[d], i = index - outer * size[d];
        x += i * x_stride[d];
        y += i * y_stride[d];
        index = outer;
    }
    uint word = y / 4u + word_of_run, v = 0u, mask = 0u;
    if (index != 0u || word * 4u >= y + run)
        return;
    [[unroll]] for (uint b = 0u; b < 4u; b++) {
        uint place = word * 4u + b;
        bool inside = place >= y && place < y + run;
        uint from = inside ? x + (place - y) * x_step : x;
        v |= bitfieldExtract(x_words[from / 4u], int(from % 4u * 8u), 8) << (b * 8u);
        mask |= inside ? 0xFFu << (b * 8u) : 0u;
    }
    q_put_masked(word, v, mask);
}
