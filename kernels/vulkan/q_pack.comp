/* SPDX-License-Identifier: MIT */
/* q_pack.comp - the right factor of a product of integer tensors, (k, n) or transposed (n, k), as q_factors.glsl has weights. One of these is defined:
 *
 *   QUADS     its quads: an invocation makes one
 *   COLUMNS   then what each column has behind them */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "kernels/vulkan/common.glsl"

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint batch, n, k;
    uint w_row, w_step;        /* words from column to column, from matrix to matrix */
    uint from, step_n, step_k; /* bytes of the factor: where it begins, from element to element, */
    uint b_step;               /* from matrix to matrix */
    uint flip;                 /* 0x80 where it is unsigned */
    int zero, moved;           /* of columns that have none of their own; what is added to those that have */
    uint has_zeros, has_scales, per_column;
};

layout(binding = 3) buffer Result { uint q_result[]; };
#include "kernels/vulkan/q_out.glsl"

#ifdef QUADS

layout(binding = 0) readonly buffer Factor { uint b[]; };

void main()
{
    uint index = lb_index(), row = index / n, j = index - row * n, matrix = row / w_row, q = row - matrix * w_row, quad = 0u;
    if (matrix >= batch)
        return;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint t = 4u * q + i, place = from + matrix * b_step + min(t, k - 1u) * step_k + j * step_n;
        uint v = bitfieldExtract(b[at.x + place / 4u], int(place % 4u * 8u), 8) ^ flip;
        quad |= (t < k ? v : 0u) << (i * 8u);
    }
    q_result[at.w + matrix * w_step + j * w_row + q] = quad;
}

#else

layout(binding = 0) readonly buffer Zeros { int zeros[]; };
layout(binding = 1) readonly buffer Multipliers { uint multiplier[]; };
layout(binding = 2) readonly buffer Shifts { uint shift[]; };

void main()
{
    uint index = lb_index(), matrix = index / n, j = index - matrix * n;
    if (matrix >= batch)
        return;
    uint words = at.w + matrix * w_step + j * w_row, to = at.w + matrix * w_step + n * w_row + j, scale = per_column != 0u ? j : 0u;
    ivec4 sums = ivec4(0);
    for (uint q = 0u; q < w_row; q += 4u) {
        [[unroll]] for (uint i = 0u; i < 4u; i++) sums += q_bytes(q_result[words + q + i], Q_S8);
    }
    int z = has_zeros != 0u ? zeros[at.x + j] + moved : zero;
    q_result[to] = uint((sums.x + sums.y) + (sums.z + sums.w) - int(k) * z);
    q_result[to + n] = uint(z);
    q_result[to + 2u * n] = 0u;
    q_result[to + 3u * n] = has_scales != 0u ? multiplier[at.y + scale] : 0u;
    q_result[to + 4u * n] = has_scales != 0u ? shift[at.z + scale] : 0u;
}

#endif
