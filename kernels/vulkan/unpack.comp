/* SPDX-License-Identifier: MIT */
/* unpack.comp - some rows of weights that stay packed (packed.glsl, RIGHT_PACKED) as numbers: one invocation, four neighbours. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) writeonly buffer Panel { float panel[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint rows, cols; /* of the panel */
    uint row0;       /* its first row among the weights' */
    PACKED_ARGUMENTS
};
#include "kernels/vulkan/packed.glsl"

void main()
{
    uint index = lb_index(), quads = (cols + 3u) / 4u, row = index / quads, k = (index - row * quads) * 4u;
    if (row >= rows)
        return;
    vec4 v = packed_quad(row0 + row, k);
    uint to = at.x + row * cols + k;
    for (uint i = 0u; i < 4u; i++)
        if (k + i < cols)
            panel[to + i] = v[i];
}
