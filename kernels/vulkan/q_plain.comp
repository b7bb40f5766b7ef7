/* SPDX-License-Identifier: MIT */
/* q_plain.comp - products of integer tensors, q_factors.glsl: an invocation makes four neighbours of a row. APART: these may be in different groups of
 * a convolution, which read different channels. SUMS: instead, the sums of the input's rows that weights with a zero point need, one an invocation. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/q_factors.glsl"

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

#ifdef SUMS

void main()
{
    uint index = lb_index(), i, g;
#ifdef CONV2D
    i = index / GROUPS;
    g = index - i * GROUPS;
    if (i >= m)
        return;
#else
    g = index / m;
    i = index - g * m;
    if (g >= batch)
        return;
#endif
    Row r = row(g, i);
    Term t = term(0u);
    int sum = 0;
    for (uint q = 0u; q * 4u < k; q += TURN) {
        EACH(u, TURN) {
            uint more = k - min(t.k, k), mask = more < 4u ? (1u << more * 8u) - 1u : 0xFFFFFFFFu;
            sum += quad_dot(a_quad(r, t) & mask, 0x01010101u);
            next(t);
        }
    }
    result[at.w + index] = uint(sum);
}

#else

#ifdef APART
#define OF(j) j
#define ROWS 4u
#else
#define OF(j) 0u
#define ROWS 1u
#endif

void main()
{
    uint quads = (n + 3u) / 4u, index = lb_index(), i = index / quads, j0 = (index - i * quads) * 4u, b = 0u;
#ifdef CONV2D
    if (i >= m)
        return;
#else
    b = i / m;
    i -= b * m;
    if (b >= batch)
        return;
#endif
    uint of[4], group[4];
    Row rows[ROWS];
    int acc[4] = int[4](0, 0, 0, 0);
    EACH(j, 4u) {
        of[j] = min(j0 + j, n - 1u);
#ifdef CONV2D
        group[j] = (first + of[j]) / outputs;
#else
        group[j] = b;
#endif
    }
    EACH(r, ROWS) rows[r] = row(group[r], i);
    Term t = term(0u);
    for (uint q = 0u; q * 4u < k; q += TURN) {
        uvec4 weights[4];
        EACH(j, 4u) weights[j] = w_turn(b, of[j], q);
        EACH(u, TURN) {
            uint a[ROWS];
            EACH(r, ROWS) a[r] = a_quad(rows[r], t);
            EACH(j, 4u) acc[j] += quad_dot(a[OF(j)], weights[j][u]);
            next(t);
        }
    }
    uvec4 v;
    EACH(j, 4u) v[j] = finished(acc[j], column(b, of[j]), row_sum(group[j], i));
    store(result_at(b, i, j0), v, min(n - j0, 4u));
}

#endif
