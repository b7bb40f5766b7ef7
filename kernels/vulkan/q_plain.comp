/* SPDX-License-Identifier: MIT */
/* q_plain.comp - products of integer tensors, q_factors.glsl: an invocation makes four neighbours of a row. APART: these may be in different groups of
 * a convolution, which read different channels. SUMS: instead, the sums of the input's rows that weights with a zero point need, one an invocation. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#if defined(INPUT_PAIRS) || defined(WEIGHT_PAIRS)
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
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
        uvec4 a = a_turn(r, t);
        EACH(u, TURN) {
            uint more = k - min((q + u) * 4u, k), mask = more < 4u ? (1u << more * 8u) - 1u : 0xFFFFFFFFu;
            sum += quad_dot(a[u] & mask, 0x01010101u);
        }
    }
    result[at.w + index] = uint(sum);
}

#else

#ifdef APART
#define ROWS 4u /* that the outputs read */
#else
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
    uint of[4], group[4], from[4];
    Row rows[ROWS];
    int acc[4] = int[4](0, 0, 0, 0);
    EACH(j, 4u) {
        of[j] = min(j0 + j, n - 1u);
        from[j] = w_from(b, of[j]);
#ifdef CONV2D
        group[j] = (first + of[j]) / outputs;
#else
        group[j] = b;
#endif
    }
    EACH(r, ROWS) rows[r] = row(group[r], i);
    Term t = term(0u);
    for (uint q = 0u; q * 4u < k; q += TURN) {
        uvec4 a[ROWS];
        Term first = t;
        EACH(r, ROWS) {
            t = first;
            a[r] = a_turn(rows[r], t);
        }
        EACH(j, 4u) {
            uvec4 w = w_turn(from[j], q);
            EACH(u, TURN) acc[j] += quad_dot(a[j % ROWS][u], w[u]);
        }
    }
    uvec4 v;
    EACH(j, 4u) v[j] = finished(acc[j], column(b, of[j]), row_sum(group[j], i));
    store(result_at(b, i, j0), v, min(n - j0, 4u));
}

#endif
