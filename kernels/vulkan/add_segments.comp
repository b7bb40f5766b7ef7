/* SPDX-License-Identifier: MIT */
/* add_segments.comp - adds the sums of segments.comp, segments ascending; where they are not all, the total goes on from what the output holds. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer Sums { float sums[]; };
layout(binding = 1) buffer Result { float result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint outputs, segments, is_first;
};

void main()
{
    uint index = lb_index();
    if (index >= outputs)
        return;
    float total = is_first != 0u ? 0.0 : result[at.y + index];
    for (uint s = 0u; s < segments; s++)
        total += sums[at.x + s * outputs + index];
    result[at.y + index] = canon_nan(total);
}
