/* SPDX-License-Identifier: MIT */
/* packed.glsl - weights that stay packed: a matrix of codes, worth what docs/arithmetic.md 8 says. Included behind the arguments of a shader, which
 * hold PACKED_ARGUMENTS. RIGHT_PACKED or LEFT_PACKED is defined: the binding.
 *
 * A buffer of words (plugins/vulkan/vulkan_weights.c makes it): the values of all codes | those of all codes of scales | rows of codes, each from
 * a word on | codes of scales, a stream | second level | zero points. The codec and its scales are definitions:
 *
 *   Q_BITS=n         of a code. Its value is in the table (Q_TABLE), a number of binary floating point (Q_FRACTION, Q_REBIAS, Q_TOP), an integer
 *                    (Q_UNIT_OF, Q_SIGNED; plugins/vulkan/vulkan.h says what they are), or else lb_value(code) of the codec's text
 *   Q_UNIT=n         a block codec of Q_UNIT_BYTES: lb_element(byte, element) gives the value
 *   SCALED           there are scales; S_BLOCK=n: columns that share one (absent: a row, or all)
 *   S_BITS=n         of a scale's code (absent: scales are binary32); S_TABLE and so on as above
 *   SCALE2           there is a second level; GROUP2=n: scales that share one (absent: all)
 *   OFFSET, ZEROS    there is an offset, there are zero points
 *
 * SHARED_TABLE: a table of up to 8 bits is copied into shared memory (packed_begin).
 *
 * The codec's text is lb_codec.glsl, which vulkan_compile.c gives. A NaN's bits are of no account here: what is stored is store()d. */
#ifndef LB_PACKED_GLSL
#define LB_PACKED_GLSL

#ifdef LEFT_PACKED
layout(binding = 0) readonly buffer Packed { uint words[]; };
#else
layout(binding = 1) readonly buffer Packed { uint words[]; };
#endif

#ifdef Q_TABLE
const uint Q_VALUES = 1u << Q_BITS;
#else
const uint Q_VALUES = 0u;
#endif
#ifdef S_TABLE
const uint S_VALUES = 1u << S_BITS;
#else
const uint S_VALUES = 0u;
#endif
const uint CODES = Q_VALUES + S_VALUES; /* where the rows begin */

uint lb_byte(uint at)
{
    return words[at / 4u] >> (at % 4u * 8u) & 0xFFu;
}

#ifdef HAS_CODEC_TEXT
#include "lb_codec.glsl"
#endif

/* Code i of a stream of codes that begins at word `at`. (Streams are shorter than 2^32 codes; their bits may be more.) */
uint packed_code(uint at, const uint bits, uint i)
{
    uint bit = i % 32u * bits, word = at + i / 32u * bits + bit / 32u, shift = bit % 32u;
    uint code = words[word] >> shift;
    if (32u % bits != 0u)
        code |= words[word + 1u] << 1 << (31u - shift);
    return code & ((1u << bits) - 1u);
}

float packed_float(uint code, const uint bits, const uint fraction, const uint rebias, const uint top)
{
    uint sign = code >> (bits - 1u), magnitude = code & ((1u << (bits - 1u)) - 1u), low = magnitude << (23u - fraction);
    uint u = low + (rebias << 23);
    if (rebias != 0u && magnitude >> fraction == 0u)
        u = canon_bits(float(magnitude) * canon_float((rebias + 1u - fraction) << 23));
    u = magnitude >= top ? low | CANON_INF : u;
    return canon_float(u | sign << 31);
}

float packed_integer(uint code, const uint bits, const bool is_signed, const uint unit)
{
    int i = is_signed ? int(code << (32u - bits)) >> (32u - bits) : int(code);
    return float(i) * canon_float(unit << 23);
}

#ifdef SCALED
float packed_scale(uint row, uint k)
{
#ifdef S_BLOCK
    uint g = row * s_row + k / uint(S_BLOCK);
#else
    uint g = row * s_row;
#endif
#ifdef S_TABLE
    float s = uintBitsToFloat(words[Q_VALUES + packed_code(s_at, uint(S_BITS), g)]);
#elif defined(S_FRACTION)
    float s = packed_float(packed_code(s_at, uint(S_BITS), g), uint(S_BITS), uint(S_FRACTION), uint(S_REBIAS), uint(S_TOP));
#elif defined(S_UNIT_OF)
    float s = packed_integer(packed_code(s_at, uint(S_BITS), g), uint(S_BITS), S_SIGNED != 0, uint(S_UNIT_OF));
#elif defined(S_BITS)
    float s = lb_value(packed_code(s_at, uint(S_BITS), g));
#else
    float s = uintBitsToFloat(words[s_at + g]);
#endif
#if defined(SCALE2) && defined(GROUP2)
    s = s * uintBitsToFloat(words[s2_at + (g + s2_rest) / uint(GROUP2)]);
#elif defined(SCALE2)
    s = s * uintBitsToFloat(words[s2_at]);
#endif
#ifdef OFFSET
    s = s + s_offset;
#endif
    return s;
}

float packed_zero(uint row, uint k)
{
#ifdef S_BLOCK
    return uintBitsToFloat(words[z_at + row * s_row + k / uint(S_BLOCK)]);
#else
    return uintBitsToFloat(words[z_at + row * s_row]);
#endif
}
#endif

#ifdef Q_TABLE
#if defined(SHARED_TABLE) && Q_BITS > 8
#undef SHARED_TABLE
#endif
#ifdef SHARED_TABLE
shared float packed_table[Q_VALUES];
#endif

/* Before the first code is looked up, by all invocations of a work group; a barrier follows. */
void packed_begin()
{
#ifdef SHARED_TABLE
    for (uint i = gl_LocalInvocationIndex; i < Q_VALUES; i += gl_WorkGroupSize.x)
        packed_table[i] = uintBitsToFloat(words[i]);
#endif
}

float packed_look_up(uint code)
{
#ifdef SHARED_TABLE
    return packed_table[code];
#else
    return uintBitsToFloat(words[code]);
#endif
}
#else
void packed_begin()
{
}
#endif

/* The codec's value q of element k of a row. */
float packed_q(uint row, uint k)
{
#ifdef Q_UNIT
    return lb_element((CODES + row * q_row) * 4u + k / uint(Q_UNIT) * uint(Q_UNIT_BYTES), k % uint(Q_UNIT));
#elif defined(Q_TABLE)
    return packed_look_up(packed_code(CODES + row * q_row, uint(Q_BITS), k));
#elif defined(Q_FRACTION)
    return packed_float(packed_code(CODES + row * q_row, uint(Q_BITS), k), uint(Q_BITS), uint(Q_FRACTION), uint(Q_REBIAS), uint(Q_TOP));
#elif defined(Q_UNIT_OF)
    return packed_integer(packed_code(CODES + row * q_row, uint(Q_BITS), k), uint(Q_BITS), Q_SIGNED != 0, uint(Q_UNIT_OF));
#else
    return lb_value(packed_code(CODES + row * q_row, uint(Q_BITS), k));
#endif
}

float packed_value(uint row, uint k)
{
    float v = packed_q(row, k);
#ifdef ZEROS
    v = v - packed_zero(row, k);
#endif
#ifdef SCALED
    v = v * packed_scale(row, k);
#endif
    return v;
}

/* Of elements k to k + 3 of a row, k a multiple of four: q, or q - z. Those behind the last are anything. */
vec4 packed_quad_steps(uint row, uint k)
{
    vec4 v;
#if defined(Q_UNIT) || Q_BITS > 8
    for (uint i = 0u; i < 4u; i++)
        v[i] = packed_q(row, k + i);
#else
    uint bits = uint(Q_BITS), bit = k % 32u * bits, shift = bit % 32u;
    uint word = CODES + row * q_row + k / 32u * bits + bit / 32u, codes = words[word] >> shift;
    if (32u % bits != 0u)
        codes |= words[word + 1u] << 1 << (31u - shift);
    uvec4 code = uvec4(codes, codes >> bits, codes >> 2u * bits, codes >> 3u * bits) & ((1u << bits) - 1u);
    v = vec4(packed_look_up(code.x), packed_look_up(code.y), packed_look_up(code.z), packed_look_up(code.w));
#endif
#if defined(ZEROS) && defined(S_BLOCK) && S_BLOCK % 4 != 0
    v = v - vec4(packed_zero(row, k), packed_zero(row, k + 1u), packed_zero(row, k + 2u), packed_zero(row, k + 3u));
#elif defined(ZEROS)
    v = v - packed_zero(row, k);
#endif
    return v;
}

/* What they are worth. */
vec4 packed_quad(uint row, uint k)
{
    vec4 v = packed_quad_steps(row, k);
#if defined(SCALED) && defined(S_BLOCK) && S_BLOCK % 4 != 0
    v = v * vec4(packed_scale(row, k), packed_scale(row, k + 1u), packed_scale(row, k + 2u), packed_scale(row, k + 3u));
#elif defined(SCALED)
    v = v * packed_scale(row, k);
#endif
    return v;
}

#endif
