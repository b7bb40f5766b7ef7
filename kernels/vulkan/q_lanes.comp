/* SPDX-License-Identifier: MIT */
/* q_lanes.comp - products of integer tensors, q_factors.glsl, on a device that is a CPU (lanes.comp says what is dear there). A work group is one
 * subgroup; a lane has ROWS rows, a subgroup apart, and as many columns as the subgroup has lanes; each lane loads one column's weights and hands them
 * to all others. A lane has its columns in an order of its own, so that the exchange is a fixed one of neighbours. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/q_factors.glsl"

layout(constant_id = 1) const uint ROWS = 4;
layout(constant_id = 2) const uint OWN = 2; /* columns that a lane loads */
const uint LANES = 8u; /* of a subgroup, and gl_WorkGroupSize.x */
const uint WIDE = OWN * LANES;

layout(binding = 0) readonly buffer InputPairs { uint64_t a_pairs[]; };
layout(binding = 1) readonly buffer WeightPairs { uint64_t w_pairs[]; };

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

int acc[WIDE][ROWS];

/* The columns come one after the other, so that their sums stay in registers for a turn. */
#ifdef DOT
void multiply(uint a[ROWS][TURN], uint own[OWN][TURN])
{
    EACH(j, WIDE) EACH(u, TURN) {
        uint w = subgroupShuffleXor(own[j / LANES][u], j % LANES);
        EACH(r, ROWS) acc[j][r] += quad_dot(a[r][u], w);
    }
}
#else
void multiply(uint a[ROWS][TURN], uint own[OWN][TURN])
{
    const uint TERMS = 4u * TURN;
    int a_byte[ROWS][TERMS], own_byte[OWN][TERMS];
    EACH(e, TERMS) {
        EACH(r, ROWS) a_byte[r][e] = q_byte(a[r][e / 4u], e % 4u, Q_S8);
        EACH(o, OWN) own_byte[o][e] = q_byte(own[o][e / 4u], e % 4u, Q_S8);
    }
    EACH(j, WIDE) EACH(e, TERMS) {
        int w = subgroupShuffleXor(own_byte[j / LANES][e], j % LANES);
        EACH(r, ROWS) acc[j][r] += a_byte[r][e] * w;
    }
}
#endif

/* Eight columns' sums of row i, finished: number j is that of column j ^ lane. */
void finish(uint b, uint i, uint column0, uint columns, uint v[LANES])
{
    uvec4 of[2] = uvec4[2](uvec4(0u), uvec4(0u));
    EACH(j, LANES) {
        uint at_ = j ^ gl_SubgroupInvocationID;
        EACH(k_, LANES) of[k_ / 4u][k_ % 4u] = at_ == k_ ? v[j] : of[k_ / 4u][k_ % 4u];
    }
    EACH(half_, 2u) {
        if (i < m && columns > half_ * 4u)
            store(result_at(b, i, column0 + half_ * 4u), of[half_], min(columns - half_ * 4u, 4u));
    }
}

void load_weights(uint b, uint j, uint q, out uint own[TURN])
{
#ifdef PAIRS
    uint i = (at.y + j * w_row + q) / 2u;
#ifndef CONV2D
    i += b * w_step / 2u;
#endif
    EACH(u, TURN / 2u) {
        uvec2 pair = unpackUint2x32(w_pairs[i + u]);
        own[2u * u] = pair.x;
        own[2u * u + 1u] = pair.y;
    }
#else
    uvec4 v = w_turn(b, j, q);
    EACH(u, TURN) own[u] = v[u];
#endif
}

void load_input(Row row_, inout Term t, out uint a[TURN])
{
#ifdef A_PAIRS
    EACH(u, TURN / 2u) {
        uvec2 pair = unpackUint2x32(a_pairs[(at.x + min((row_.from + t.k) / 4u, a_last - 1u)) / 2u]);
        a[2u * u] = pair.x ^ flip;
        a[2u * u + 1u] = pair.y ^ flip;
        skip(t, 8u);
    }
#else
    EACH(u, TURN) {
        a[u] = a_quad(row_, t);
        next(t);
    }
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
    uint columns = sharing - column0, b = 0u, first_column = column0;
#ifdef CONV2D
    first_column += g * outputs;
#else
    b = g;
#endif
    uint lane = gl_SubgroupInvocationID, own_column[OWN];
    Row rows[ROWS];
    EACH(o, OWN) own_column[o] = first_column + min(o * LANES + lane, columns - 1u);
    EACH(r, ROWS) {
        rows[r] = row(g, min(row0 + r * LANES + lane, m - 1u));
        EACH(j, WIDE) acc[j][r] = 0;
    }
    Term t = term(0u);
    for (uint q = 0u; q * 4u < k; q += TURN) {
        uint own[OWN][TURN], a[ROWS][TURN];
        Term after = t;
        EACH(o, OWN) load_weights(b, own_column[o], q, own[o]);
        EACH(r, ROWS) {
            after = t;
            load_input(rows[r], after, a[r]);
        }
        t = after;
        multiply(a, own);
    }
    EACH(o, OWN) {
        Column own = column(b, own_column[o]);
        EACH(r, ROWS) {
            uint i = row0 + r * LANES + lane, v[LANES];
            int of_row = row_sum(g, min(i, m - 1u));
            EACH(j, LANES) {
                Column c_ = Column(subgroupShuffleXor(own.base, j), subgroupShuffleXor(own.zero, j), subgroupShuffleXor(own.multiplier, j),
                                   subgroupShuffleXor(own.shift, j));
                v[j] = finished(acc[o * LANES + j][r], c_, of_row);
            }
            finish(b, i, first_column + o * LANES, columns > o * LANES ? columns - o * LANES : 0u, v);
        }
    }
}
