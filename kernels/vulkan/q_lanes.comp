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
#if defined(INPUT_PAIRS) || defined(WEIGHT_PAIRS)
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/q_factors.glsl"

layout(constant_id = 1) const uint ROWS = 4;
layout(constant_id = 2) const uint OWN = 2; /* columns that a lane loads */
const uint LANES = 8u; /* of a subgroup, and gl_WorkGroupSize.x */
const uint WIDE = OWN * LANES;

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

const uint BLOCKS = OWN * ROWS; /* of one row and LANES columns: number o * ROWS + r */
int acc[BLOCKS][LANES];

/* The columns come one after the other, so that their sums stay in registers for a turn. */
#ifdef DOT
void multiply(uvec4 a[ROWS], uvec4 own[OWN])
{
    EACH(j, WIDE) EACH(u, TURN) {
        uint w = subgroupShuffleXor(own[j / LANES][u], j % LANES);
        EACH(r, ROWS) acc[j / LANES * ROWS + r][j % LANES] += quad_dot(a[r][u], w);
    }
}
#else
void multiply(uvec4 a[ROWS], uvec4 own[OWN])
{
    const uint TERMS = 4u * TURN;
    int a_byte[ROWS][TERMS], own_byte[OWN][TERMS];
    EACH(e, TERMS) {
        EACH(r, ROWS) a_byte[r][e] = q_byte(a[r][e / 4u], e % 4u, Q_S8);
        EACH(o, OWN) own_byte[o][e] = q_byte(own[o][e / 4u], e % 4u, Q_S8);
    }
    EACH(j, WIDE) EACH(e, TERMS) {
        int w = subgroupShuffleXor(own_byte[j / LANES][e], j % LANES);
        EACH(r, ROWS) acc[j / LANES * ROWS + r][j % LANES] += a_byte[r][e] * w;
    }
}
#endif

/* The first block, whose row is i; `own`: this lane's column; sum j is that of column j ^ lane. The columns begin with column0, `columns` are left. */
void finish(uint g, uint matrix, uint i, uint column0, uint columns, Column own)
{
    int of_row = row_sum(g, min(i, m - 1u));
    uint to = result_at(matrix, i, column0), lower = 0u, upper = 0u;
    EACH(j, LANES) {
        uint of = j ^ gl_SubgroupInvocationID;
        Column c_ = Column(subgroupShuffleXor(own.base, j), subgroupShuffleXor(own.zero, j), subgroupShuffleXor(own.multiplier, j),
                           subgroupShuffleXor(own.shift, j));
        uint v = finished(acc[0][j], c_, of_row);
#ifdef TO_S32
        if (i < m && of < columns)
            result[at.w + to + of] = v;
#else
        v <<= of % 4u * 8u;
        lower |= of < 4u ? v : 0u;
        upper |= of < 4u ? 0u : v;
#endif
    }
#ifndef TO_S32
    if (i < m)
        q_put(at.w * 4u + to, lower, min(columns, 4u));
    if (i < m && columns > 4u)
        q_put(at.w * 4u + to + 4u, upper, min(columns - 4u, 4u));
#endif
}

void main()
{
#ifdef CONV2D
    uint sharing = GROUPS > 1u ? outputs : n, all = GROUPS;
#else
    uint sharing = n, all = batch;
#endif
    uint down = (m + LANES * ROWS - 1u) / (LANES * ROWS), across = (sharing + WIDE - 1u) / WIDE, group = lb_group();
    uint tile = group / down, row0 = (group - tile * down) * (LANES * ROWS), g = tile / across, column0 = (tile - g * across) * WIDE;
    if (g >= all)
        return;
#ifdef CONV2D
    uint columns = sharing - column0, matrix = 0u, first_column = g * outputs + column0;
#else
    uint columns = sharing - column0, matrix = g, first_column = column0;
#endif
    uint lane = gl_SubgroupInvocationID, from[OWN];
    Row rows[ROWS];
    EACH(o, OWN) from[o] = w_from(matrix, first_column + min(o * LANES + lane, columns - 1u));
    EACH(r, ROWS) rows[r] = row(g, min(row0 + r * LANES + lane, m - 1u));
    EACH(i, BLOCKS) EACH(j, LANES) acc[i][j] = 0;
    Term t = term(0u);
    for (uint q = 0u; q * 4u < k; q += TURN) {
        uvec4 own[OWN], a[ROWS];
        Term first = t;
        EACH(o, OWN) own[o] = w_turn(from[o], q);
        EACH(r, ROWS) {
            t = first;
            a[r] = a_turn(rows[r], t);
        }
        multiply(a, own);
    }
    for (uint o = 0u; o < OWN * LANES && o < columns; o += LANES) { /* not unrolled: drivers would compile for long */
        Column own = column(matrix, first_column + min(o + lane, columns - 1u));
        for (uint r = 0u; r < ROWS; r++) {
            finish(g, matrix, row0 + r * LANES + lane, first_column + o, columns - o, own);
            EACH(i, BLOCKS - 1u) acc[i] = acc[i + 1u];
        }
    }
}
