/* SPDX-License-Identifier: MIT */
/* q_lanes.comp - products of integer tensors, q_factors.glsl, on a device that is a CPU (lanes.comp says what is dear there). A work group is one
 * subgroup; a lane has ROWS rows, a subgroup apart, and as many columns as the subgroup has lanes; each lane loads one column's weights and hands them
 * to all others. A lane has its columns in an order of its own, so that the exchange is a fixed one of neighbours. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/q_factors.glsl"

layout(constant_id = 1) const uint ROWS = 4;
const uint LANES = 8u; /* of a subgroup, and gl_WorkGroupSize.x */

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

int acc[LANES][ROWS];

#ifdef DOT
void multiply(uint a[ROWS], uint own)
{
    EACH(j, LANES) {
        uint w = subgroupShuffleXor(own, j);
        EACH(r, ROWS) acc[j][r] += quad_dot(a[r], w);
    }
}
#else
void multiply(uint a[ROWS], uint own)
{
    EACH(e, 4u) {
        int own_byte = q_byte(own, e, Q_S8), a_byte[ROWS];
        EACH(r, ROWS) a_byte[r] = q_byte(a[r], e, Q_S8);
        EACH(j, LANES) {
            int w = subgroupShuffleXor(own_byte, j);
            EACH(r, ROWS) acc[j][r] += a_byte[r] * w;
        }
    }
}
#endif

/* The columns' sums of row i, finished: number j is that of column j ^ lane. */
void finish(uint b, uint g, uint i, uint column0, uint columns, uint v[LANES])
{
    uvec4 of[2] = uvec4[2](uvec4(0u), uvec4(0u));
    if (i >= m)
        return;
    EACH(j, LANES) {
        uint at_ = j ^ gl_SubgroupInvocationID;
        EACH(k_, LANES) of[k_ / 4u][k_ % 4u] = at_ == k_ ? v[j] : of[k_ / 4u][k_ % 4u];
    }
    EACH(half_, 2u) {
        uint to = result_at(b, i, column0 + half_ * 4u);
        if (columns > half_ * 4u)
            store(to, of[half_], min(columns - half_ * 4u, 4u));
    }
}

void main()
{
#ifdef CONV2D
    uint sharing = GROUPS > 1u ? outputs : n, all = GROUPS;
#else
    uint sharing = n, all = batch;
#endif
    uint down = (m + LANES * ROWS - 1u) / (LANES * ROWS), across = (sharing + LANES - 1u) / LANES, group = lb_group();
    uint tile = group / down, row0 = (group - tile * down) * (LANES * ROWS), g = tile / across, column0 = (tile - g * across) * LANES;
    if (g >= all)
        return;
    uint columns = sharing - column0, b = 0u, first_column = column0;
#ifdef CONV2D
    first_column += g * outputs;
#else
    b = g;
#endif
    uint lane = gl_SubgroupInvocationID, own_column = first_column + min(lane, columns - 1u);
    Row rows[ROWS];
    EACH(r, ROWS) {
        rows[r] = row(g, min(row0 + r * LANES + lane, m - 1u));
        EACH(j, LANES) acc[j][r] = 0;
    }
    Term t = term(0u);
    for (uint q = 0u; q * 4u < k; q += TURN) {
        uvec4 own = w_turn(b, own_column, q);
        EACH(u, TURN) {
            uint a[ROWS];
            EACH(r, ROWS) a[r] = a_quad(rows[r], t);
            multiply(a, own[u]);
            next(t);
        }
    }
    Column own = column(b, own_column);
    EACH(r, ROWS) {
        uint i = row0 + r * LANES + lane, v[LANES];
        int of_row = row_sum(g, min(i, m - 1u));
        EACH(j, LANES) {
            Column c_ = Column(subgroupShuffleXor(own.base, j), subgroupShuffleXor(own.zero, j), subgroupShuffleXor(own.multiplier, j),
                               subgroupShuffleXor(own.shift, j));
            v[j] = finished(acc[j][r], c_, of_row);
        }
        finish(b, g, i, first_column, columns, v);
    }
}
