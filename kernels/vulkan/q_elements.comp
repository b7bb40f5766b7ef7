/* SPDX-License-Identifier: MIT */
/* q_elements.comp - ops on the elements of integer tensors, four an invocation: bytes are a word, other numbers lie behind each other. One of these is
 * defined:
 *
 *   TABLE        bytes through a table of 256
 *   BINARY       sums, or products, of bytes
 *   REQUANTIZE   int32 to bytes, or as it is
 *   QUANTIZE     binary32 to bytes
 *   DEQUANTIZE   bytes or int32 to binary32
 *
 * With columns, element i is of column (first + i) mod cols. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "kernels/vulkan/common.glsl"

#define EACH [[unroll]] for (uint i = 0u; i < 4u; i++)

#if defined(TABLE)

layout(binding = 0) readonly buffer Input { uint x[]; };
layout(binding = 1) readonly buffer Table { uint table[]; };
layout(binding = 2) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;
};
#include "kernels/vulkan/q_out.glsl"

void main()
{
    uint index = lb_index(), left = count - 4u * index;
    if (4u * index >= count)
        return;
    uvec4 b = uvec4(q_bytes(x[at.x + index], Q_U8)), v;
    EACH v[i] = bitfieldExtract(table[at.y + b[i] / 4u], int(b[i] % 4u * 8u), 8);
    Q_PUT_OWN(at.z + index, q_word(v), left);
}

#elif defined(BINARY)

layout(binding = 0) readonly buffer A { uint a[]; };
layout(binding = 1) readonly buffer B { uint b[]; };
layout(binding = 2) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;
    uint is_product, a_type, b_type;
    int a_zero, b_zero, a_multiplier, b_multiplier;
    uint shift;
    int zero, low, high;
};
#include "kernels/vulkan/q_out.glsl"

int sum(int v, int w)
{
    int v_high, v_low, w_high, w_low;
    uint carry;
    imulExtended(v, a_multiplier, v_high, v_low);
    imulExtended(w, b_multiplier, w_high, w_low);
    uint lower = uaddCarry(uint(v_low), uint(w_low), carry);
    return q_shifted(v_high + w_high + int(carry), lower, shift);
}

void main()
{
    uint index = lb_index(), left = count - 4u * index;
    if (4u * index >= count)
        return;
    ivec4 v = q_bytes(a[at.x + index], a_type) - a_zero, w = q_bytes(b[at.y + index], b_type) - b_zero;
    uvec4 r;
    EACH {
        int s = is_product != 0u ? q_scaled(v[i] * w[i], a_multiplier, shift) : sum(v[i], w[i]);
        r[i] = q_held(s, zero, low, high);
    }
    Q_PUT_OWN(at.z + index, q_word(r), left);
}

#elif defined(REQUANTIZE)

layout(binding = 0) readonly buffer Input { int x[]; };
layout(binding = 1) readonly buffer Multipliers { int multiplier[]; };
layout(binding = 2) readonly buffer Shifts { uint shift[]; };
layout(binding = 3) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count, first, cols;
    uint to_s32;
    int zero, low, high;
};
#include "kernels/vulkan/q_out.glsl"

void main()
{
    uint from = 4u * lb_index(), left = count - from;
    if (from >= count)
        return;
    uvec4 r;
    EACH {
        uint j = min(from + i, count - 1u), column = (first + j) % cols;
        int v = x[at.x + j];
        if (to_s32 != 0u)
            q_result[at.w + j] = uint(v);
        else
            r[i] = q_held(q_scaled(v, multiplier[at.y + column], shift[at.z + column]), zero, low, high);
    }
    if (to_s32 == 0u)
        Q_PUT_OWN(at.w + from / 4u, q_word(r), left);
}

#elif defined(QUANTIZE)

layout(binding = 0) readonly buffer Input { float x[]; };
layout(binding = 1) readonly buffer Scales { float scale[]; };
layout(binding = 2) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count, first, cols;
    int zero, low, high;
};
#include "kernels/vulkan/q_out.glsl"

const float MOST = 1024.0; /* beyond what any zero point brings back */

void main()
{
    uint from = 4u * lb_index(), left = count - from;
    if (from >= count)
        return;
    uvec4 r;
    EACH {
        uint j = min(from + i, count - 1u);
        float t = canon_div(x[at.x + j], scale[at.y + (first + j) % cols]);
        float held = t > MOST ? MOST : t < -MOST ? -MOST : t;
        uint whole = canon_bits(held + CANON_SHIFTER) - CANON_SHIFTER_BITS; /* half to even */
        r[i] = q_held(canon_is_nan(t) ? 0 : int(whole), zero, low, high);
    }
    Q_PUT_OWN(at.z + from / 4u, q_word(r), left);
}

#else

layout(binding = 0) readonly buffer Input { uint x[]; };
layout(binding = 1) readonly buffer Scales { float scale[]; };
layout(binding = 2) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count, first, cols;
    uint x_type;
    int zero;
};
#include "kernels/vulkan/q_out.glsl"

void main()
{
    uint from = 4u * lb_index();
    if (from >= count)
        return;
    EACH {
        uint j = min(from + i, count - 1u), word = x[at.x + (x_type == Q_S32 ? j : j / 4u)];
        int v = x_type == Q_S32 ? int(word) : q_byte(word, j % 4u, x_type);
        q_result[at.z + j] = canon_bits(canon_nan(float(v - zero) * scale[at.y + (first + j) % cols]));
    }
}

#endif
