/* SPDX-License-Identifier: MIT */
/* ref_c.c - the text of ref_body.h, compiled for any machine. */
#include "kernels/cpu/ref_body.h"

const struct ref_kernels ref_kernels_c = {
    .isa = "c",
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
