/* SPDX-License-Identifier: MIT */
/* device_test.comp - what the device makes of the cases of plugins/vulkan/vulkan_test.c, which knows the answers. A case is three words,
 * a, b and c; the answers are bits. With FUNCTIONS those of canon.h, and the device's canon_fma is known; otherwise single operations, and
 * both ways to make a fused multiply-add. */
#version 450
#extension GL_GOOGLE_include_directive : require
#ifndef FUNCTIONS
#if defined(HAS_FLOAT64) && defined(HAS_INT64)
#define FMA_BOTH
#elif !defined(FMA_FUSED)
#define FMA_FUSED
#endif
#endif
#include "kernels/vulkan/fma.glsl"
#include "kernels/canon.h"

layout(local_size_x_id = 0) in;
layout(std430, set = 0, binding = 0) readonly buffer Cases { uint cases[]; };
layout(std430, set = 0, binding = 1) writeonly buffer Answers { uint answers[]; };
layout(push_constant) uniform Push
{
    uint at[4]; /* where the bindings' first elements are */
    uint n;
};

#ifdef FUNCTIONS
const uint ANSWERS = 4u;
uint[ANSWERS] test(float a, float b, float c)
{
    return uint[](canon_bits(canon_div(a, b)), canon_bits(canon_sqrt(a)), canon_bits(canon_exp(b)), canon_bits(canon_log(a)));
}
#else
const uint ANSWERS = 8u;
uint[ANSWERS] test(float a, float b, float c)
{
    uint compared = (a < b ? 1u : 0u) | (a > b ? 2u : 0u) | (a == b ? 4u : 0u) | (a <= b ? 8u : 0u) | (canon_is_nan(a) ? 16u : 0u);
    float positive = canon_float((canon_bits(c) & 0x0EFFFFFFu) + 0x3F800000u); /* from 1 to 2^30 */
#ifdef FMA_BOTH
    uint replaced = canon_bits(fma_float64(a, b, c));
#else
    uint replaced = 0u;
#endif
    return uint[](canon_bits(a + b), canon_bits(a - b), canon_bits(a * b), canon_bits(float(int(canon_bits(a)))), uint(positive), compared,
                  canon_bits(fma(a, b, c)), replaced);
}
#endif

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= n)
        return;
    uint c = at[0] + 3u * i;
    uint[ANSWERS] r = test(canon_float(cases[c]), canon_float(cases[c + 1u]), canon_float(cases[c + 2u]));
    for (uint k = 0u; k < ANSWERS; k++)
        answers[at[1] + ANSWERS * i + k] = r[k];
}
