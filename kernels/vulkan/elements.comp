/* SPDX-License-Identifier: MIT */
/* elements.comp - ops on single elements. ACT or ACT_GRAD is defined as the name of the activation, or SGD, and MOMENTUM with it. The variants are not
 * branches, as llvmpipe executes both sides of a branch. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer First { float first[]; }; /* act: x;  act_grad: y;  sgd: g */
#ifdef SGD
layout(binding = 1) buffer Weights { float weight[]; };
layout(binding = 2) buffer Momenta { float momenta[]; };
#elif defined(ACT_GRAD)
layout(binding = 1) readonly buffer Second { float second[]; }; /* dy, which may be dx */
layout(binding = 2) writeonly buffer Result { float result[]; };
#else
layout(binding = 1) writeonly buffer Result { float result[]; };
#endif

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;
#ifdef SGD
    float lr, momentum, decay;
#else
    float alpha;
#endif
};

#ifdef SGD

void element(uint i)
{
    float w = weight[at.y + i];
    float dw = canon_fma(decay, w, first[at.x + i]);
#ifdef MOMENTUM
    dw = canon_nan(canon_fma(momentum, momenta[at.z + i], dw));
    momenta[at.z + i] = dw;
#endif
    weight[at.y + i] = canon_nan(canon_fma(-lr, dw, w));
}

#elif defined(ACT_GRAD)

/* The names of the activations; each is a function of the output y and its gradient. */
float linear(float y, float dy)
{
    return dy;
}

float relu(float y, float dy)
{
    return y > 0.0 ? dy : 0.0;
}

float scaled_relu(float y, float dy)
{
    return y > 0.0 ? alpha * dy : 0.0;
}

float sigmoid(float y, float dy)
{
    return dy * (y * (1.0 - y));
}

float tanh_(float y, float dy)
{
    return dy * canon_fma(-y, y, 1.0);
}

void element(uint i)
{
    result[at.z + i] = canon_nan(ACT_GRAD(first[at.x + i], second[at.y + i]));
}

#else

float linear(float x)
{
    return x;
}

float relu(float x)
{
    return canon_relu(x);
}

float scaled_relu(float x)
{
    return alpha * canon_relu(x);
}

float sigmoid(float x)
{
    return canon_sigmoid(x);
}

float tanh_(float x)
{
    return canon_tanh(x);
}

void element(uint i)
{
    result[at.y + i] = canon_nan(ACT(first[at.x + i]));
}

#endif

void main()
{
    uint index = lb_index();
    if (index < count)
        element(index);
}
