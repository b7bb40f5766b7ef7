#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# Networks trained on vulkan have the weights of cpu_ref, bit for bit: recorded lists, batches that end early, momentum, decay, both losses, both kinds of
# descriptors, a ring that is often full, ops that are cut.
set -euo pipefail
. test/sh/util.bash
. test/sh/vulkan_util.bash

sizes=(--quiet --set 'formats=["F32"]' --set data.train=150 --set data.test=40 --set train.epochs=2)
compare() { # NAME, limits, --set of the training...
    local name=$1 limits=$2 backend
    shift 2
    for backend in cpu_ref vulkan; do
        LOWBIT_VULKAN_TEST=$limits expect 0 "$lowbit" run configs/quick.json "${sizes[@]}" "$@" --set "train.backend=$backend" --backend "$backend" \
            --out "$tmp/$name-$backend" || return 0
    done
    [ "$(weights "$tmp/$name-cpu_ref")" = "$(weights "$tmp/$name-vulkan")" ] || fail "$name: the weights differ" "$tmp/$name-vulkan/table.csv"
    [ -n "$(weights "$tmp/$name-vulkan")" ] || fail "$name: no weights" "$tmp/$name-vulkan/table.csv"
}

compare momentum push=1
compare decay push=0,mapped=0 --set train.weight_decay=0.001 --set train.momentum=0
compare mse ring=200000 --set train.loss=mse --set train.lr_decay=0.5
compare cut reach=3000,terms=256,groups=40 --set train.batch=64
# Fast is fast in sums of products only: softmax too is right to some last digits.
expect 0 "$lowbit" run configs/quick.json "${sizes[@]}" --set train.backend=cpu_ref --set numerics=fast --set 'backends=["cpu_ref","vulkan"]' --out "$tmp/fast"
difference=$(grep ',fast,vulkan,' "$tmp/fast/table.csv" | cut -d, -f20)
awk -v d="${difference:-none}" 'BEGIN { exit !(d + 0 == d && d < 1e-5) }' || fail "numerics fast: outputs differ by ${difference:-nothing that is told}" "$tmp/fast/table.csv"
finish
