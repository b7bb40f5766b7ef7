/* SPDX-License-Identifier: MIT */
/* integers.comp - products of weights that stay packed with activations of 8 bits: docs/arithmetic.md 8.12. An invocation makes ROWS outputs of a
 * column. GEMM: rows are those of the activations, columns those of the weights (RIGHT_PACKED). CONV2D: rows are output channels (LEFT_PACKED),
 * columns (sample, output row, output column). SHIFT: the weights' values times 2^SHIFT are integers.
 *
 * Terms are gone through four at a time; those of a neighbouring piece are zeros then. DOT: the device multiplies four bytes of a word by four of another
 * at once; the weights are signed bytes (1) or unsigned ones (2). */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#include "kernels/vulkan/common.glsl"

#ifdef DOT
/* OpSDotKHR, or OpSUDotKHR, of packed bytes: capabilities DotProductInput4x8BitPacked and DotProduct. */
#if DOT == 1
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
#else
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4452)
#endif
int lb_dot(uint activations, uint weights, spirv_literal int bytes);
#endif

#ifdef GEMM
layout(binding = 0) readonly buffer Activations { uint bytes[]; }; /* rows of a_row words; their scales, `per_row` a row, at scales_at */
#define BYTES_AT at.x
#else
layout(binding = 1) readonly buffer Activations { uint bytes[]; };
#define BYTES_AT at.y
#endif
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) buffer Result { float result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint m, n;
    uint k0, k1; /* terms of this dispatch: whole pieces */
    uint flags;  /* the activation, and FIRST, LAST, BIASED */
    float alpha;
    uint a_row, scales_at, per_row, a_block; /* a_block: activations that share a scale; 0: all of a row */
    uint c_row;                              /* GEMM: how far apart the rows of the result are */
#ifdef CONV2D
    uint c, h, w, o, kh, kw, stride, pad, oh, ow;
#endif
    PACKED_ARGUMENTS
};
#include "kernels/vulkan/packed.glsl"

#define FIRST  0x100u /* k0 is 0; else the sum goes on from what the result holds */
#define LAST   0x200u
#define BIASED 0x400u

const uint PIECE = 32768u; /* terms whose sum of products fits in 32 bits, whatever they are */

#define EACH_ROW [[unroll]] for (uint r = 0u; r < ROWS; r++)

float activation_scale(uint row, uint k)
{
    return uintBitsToFloat(bytes[BYTES_AT + scales_at + row * per_row + (a_block != 0u ? k / a_block : 0u)]);
}

float weight_scale(uint row, uint k)
{
    float one = uintBitsToFloat((127u - uint(SHIFT)) << 23);
#ifdef SCALED
    return packed_scale(row, k) * one;
#else
    return one;
#endif
}

/* Weights k to k + 3 of a row, those outside from..end - 1 as zeros. */
ivec4 weights(uint row, uint k, uint from, uint end)
{
    ivec4 v = ivec4(packed_quad_steps(row, k) * float(1u << uint(SHIFT)));
    uvec4 place = uvec4(k, k + 1u, k + 2u, k + 3u);
    return mix(ivec4(0), v, bvec4(uvec4(greaterThanEqual(place, uvec4(from))) & uvec4(lessThan(place, uvec4(end)))));
}

#ifdef DOT
#define QUAD uint
uint quad(ivec4 v)
{
    uvec4 b = uvec4(v) & 255u;
    return (b.x | b.y << 8) | (b.z << 16 | b.w << 24);
}
uint quad_of_word(uint word)
{
    return word;
}
int dot4(uint a, uint w)
{
    return lb_dot(a, w, 0);
}
#else
#define QUAD ivec4
ivec4 quad(ivec4 v)
{
    return v;
}
ivec4 quad_of_word(uint word)
{
    return ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24;
}
int dot4(ivec4 a, ivec4 w)
{
    ivec4 p = a * w;
    return (p.x + p.y) + (p.z + p.w);
}
#endif

#ifdef CONV2D
uint image_at, out_y, out_x;

int tap(uint k)
{
    uint channel = k / (kh * kw), rest = k - channel * (kh * kw), ky = rest / kw, kx = rest - ky * kw;
    uint y = out_y * stride + ky - pad, x = out_x * stride + kx - pad; /* wraps to huge where outside */
    bool inside = y < h && x < w && channel < c;
    uint index = inside ? (channel * h + y) * w + x : 0u;
    int v = int(bytes[image_at + index / 4u] << (24u - index % 4u * 8u)) >> 24;
    return inside ? v : 0;
}
#endif

uint next_multiple(uint k, uint of, uint end)
{
    return min(of != 0u ? (k / of + 1u) * of : end, end);
}

void main()
{
    uint index = lb_index(), j = index % n, i0 = index / n * ROWS;
    if (i0 >= m)
        return;
#ifdef CONV2D
    uint sample_of = j / (oh * ow), position = j - sample_of * (oh * ow);
    image_at = BYTES_AT + sample_of * a_row;
    out_y = position / ow;
    out_x = position - out_y * ow;
#endif
    uint rows[ROWS], to[ROWS];
    float acc[ROWS];
    EACH_ROW {
        rows[r] = min(i0 + r, m - 1u);
#ifdef GEMM
        to[r] = at.w + rows[r] * c_row + j;
#else
        to[r] = at.w + (sample_of * m + rows[r]) * (oh * ow) + position;
#endif
        acc[r] = 0.0;
        if ((flags & FIRST) == 0u)
            acc[r] = result[to[r]];
    }
    for (uint from = k0, end; from < k1; from = end) {
        end = next_multiple(from, a_block, next_multiple(from, PIECE, k1));
#ifdef S_BLOCK
        end = next_multiple(from, uint(S_BLOCK), end);
#endif
        int sum[ROWS];
        EACH_ROW sum[r] = 0;
        for (uint q = from & ~3u; q < end; q += 4u) {
#ifdef GEMM
            QUAD w = quad(weights(j, q, from, end));
            EACH_ROW sum[r] += dot4(quad_of_word(bytes[BYTES_AT + rows[r] * a_row + q / 4u]), w);
#else
            QUAD a = quad(ivec4(tap(q), tap(q + 1u), tap(q + 2u), tap(q + 3u)));
            EACH_ROW sum[r] += dot4(a, quad(weights(rows[r], q, from, end)));
#endif
        }
#ifdef GEMM
        float s = weight_scale(j, from);
        EACH_ROW acc[r] = canon_fma(float(sum[r]), a_block != 0u ? activation_scale(rows[r], from) * s : s, acc[r]);
#else
        EACH_ROW acc[r] = canon_fma(float(sum[r]), weight_scale(rows[r], from), acc[r]);
#endif
    }
    EACH_ROW {
#ifdef GEMM
        float v = a_block != 0u ? acc[r] : acc[r] * activation_scale(rows[r], 0u);
        uint b = at.z + j;
#else
        float v = acc[r] * activation_scale(sample_of, 0u);
        uint b = at.z + rows[r];
#endif
        if ((flags & BIASED) != 0u)
            v += bias[b];
        v = lb_activate(flags & 0xFFu, alpha, v);
        if (i0 + r < m)
            result[to[r]] = (flags & LAST) != 0u ? v : acc[r];
    }
}
