#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# The backend vulkan on devices with less: ops are cut where a binding reaches less far and sums have fewer terms, with the same bits; and on one with products of
# packed bytes.
set -euo pipefail
. test/sh/util.bash
. test/sh/vulkan_util.bash

verified reach=50
verified reach=1000,terms=256,push=0
verified groups=30,dot=1
verified ring=4096,terms=512,reach=9000

# What cannot be cut is refused, and the limit is named.
LOWBIT_VULKAN_TEST=range=12000 expect 1 "$lowbit" verify "$plugin"
for op in gemm conv2d conv2d_dx conv2d_dw bias_grad conv2d_packed conv2d_int8 quantize q_dense q_conv2d q_gemm q_im2col q_col2im; do
    grep -q "^$op: FAILED .*cannot be cut, and .* binds at most 12000 bytes (maxStorageBufferRange)" "$tmp/out" || fail "$op: no limit is named" "$tmp/out"
done
for op in act act_grad softmax softmax_grad cross_entropy mse sgd gemm_packed gemm_int8 q_table q_binary q_pool q_copy q_requantize q_quantize q_dequantize; do
    grep -q "^$op: ok" "$tmp/out" || fail "$op: it can always be cut" "$tmp/out"
done
finish
