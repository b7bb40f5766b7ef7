/* SPDX-License-Identifier: MIT */
/* common.glsl - what every shader begins with: the exact arithmetic and the place of an invocation.
 *
 * Buffers are bindings 0 to 3 of set 0. The push constants begin with a uvec4: of each binding the element where its operand begins, since a
 * binding can only begin on the device's alignment. Defined by the host: FAST (the driver may contract and reorder), FMA_FUSED (fma() is fused),
 * HAS_FLOAT64, HAS_INT64. Constant 0 is the number of invocations of a work group.
 *
 * llvmpipe ends a loop after 65535 iterations, all loops of an invocation together, and goes on behind it without a word. So the host gives
 * no invocation more than 51200 terms (vulkan.h, VULKAN_TERMS). */
#ifndef LB_COMMON_GLSL
#define LB_COMMON_GLSL

#include "kernels/vulkan/fma.glsl"
#include "kernels/canon.h"

#define SEGMENT 256u

/* enum lb_act of core/plugin.h */
#define ACT_LINEAR      0u
#define ACT_RELU        1u
#define ACT_SCALED_RELU 2u
#define ACT_SIGMOID     3u
#define ACT_TANH        4u

layout(local_size_x_id = 0) in;

/* What weights that stay packed add to the arguments of a product: packed.glsl. Words between rows of codes; where scales, second level and zero
 * points begin; scales a row; how far the first scale is in its second level's; the offset. */
#define PACKED_ARGUMENTS uint q_row, s_at, s_row, s2_at, s2_rest, z_at; float s_offset;

/* The work groups are a row that the host folds into a box where it is longer than the device allows. */
uint lb_group()
{
    return (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

uint lb_index()
{
    return lb_group() * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
}

/* The activations that a product makes itself, stored; after the others comes a dispatch of their own. */
float lb_activate(uint act, float alpha, float v)
{
    float r = act == ACT_LINEAR ? v : canon_relu(v);
    return canon_nan(act == ACT_SCALED_RELU ? alpha * r : r);
}

#endif
