/* SPDX-License-Identifier: MIT */
/* ref_avx2.c - the text of ref_body.h, compiled for x86-64 with AVX2 and FMA. */
#ifdef __AVX2__
#include "kernels/cpu/ref_body.h"

const struct ref_kernels ref_kernels_avx2 = {
    .isa = "avx2",
    .gemm = gemm,
    .gemm_rows = gemm_rows,
    .conv2d_rows = conv2d_rows,
    .conv2d = conv2d,
    .conv2d_dx = conv2d_dx,
    .conv2d_dw = conv2d_dw,
    .bias_grad = bias_grad,
    .act = act_forward,
    .act_grad = act_grad,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .cross_entropy = cross_entropy,
    .mse = mse,
    .sgd = sgd,
};
#else
#include "kernels/cpu/ref.h"

const struct ref_kernels ref_kernels_avx2 = {.isa = NULL};
#endif
