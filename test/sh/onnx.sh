#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lowbit op onnx: models from files, the same bits on exact backends, and data outside a model's folder refused.
set -euo pipefail
. test/sh/util.bash

data=test/data/onnx
# refused PATTERN MODEL: exit status 2, a message like the pattern, no output.
refused() {
    rm -f "$tmp/none"
    expect 2 "$lowbit" op onnx --in "$data/external_x.safetensors" --set "model=$2" --out "$tmp/none" || return 0
    grep -q -- "$1" "$tmp/err" || fail "no message like \"$1\": $2" "$tmp/err"
    if [ -e "$tmp/none" ]; then fail "$2 failed and left an output"; fi
}

for model in model external shapes; do
    for backend in cpu_ref cpu; do
        expect 0 "$lowbit" op onnx --in "$data/${model}_x.safetensors" --set "model=$data/$model.onnx" --backend $backend --out "$tmp/$backend"
    done
    same "$tmp/cpu_ref" "$tmp/cpu"
done

# A model in the current folder, whose path holds no slash.
here=$(realpath "$BUILD")
(cd "$data" && "$here/lowbit" op onnx --in external_x.safetensors --set model=external.onnx --out "$tmp/bare") || fail "a path without a slash"
expect 0 "$lowbit" op onnx --in "$data/external_x.safetensors" --set "model=$data/external.onnx" --out "$tmp/y"
same "$tmp/bare" "$tmp/y"

# Data elsewhere: absent, too short, or reached by a link that leaves the folder.
mkdir "$tmp/m" "$tmp/m2" "$tmp/n"
cp "$data/external.onnx" "$tmp/m/"
refused 'initializer "B": external data: external.bin: No such file or directory' "$tmp/m/external.onnx"
head -c 100 "$data/external.bin" >"$tmp/m/external.bin"
refused 'external data: external.bin has 100 bytes, wanted 192 from 0 on' "$tmp/m/external.onnx"
rm "$tmp/m/external.bin"
for elsewhere in m2 n; do
    cp "$data/external.bin" "$tmp/$elsewhere/"
    ln -s "../$elsewhere/external.bin" "$tmp/m/external.bin"
    refused 'external data: "external.bin" is outside the model.s folder' "$tmp/m/external.onnx"
    rm "$tmp/m/external.bin"
done
mkdir "$tmp/m/external.bin"
refused 'external.bin' "$tmp/m/external.onnx"
rmdir "$tmp/m/external.bin"
cp "$data/external.bin" "$tmp/m/other"
ln -s other "$tmp/m/external.bin" # within the folder it may be a link
expect 0 "$lowbit" op onnx --in "$data/external_x.safetensors" --set "model=$tmp/m/external.onnx" --out "$tmp/linked"
same "$tmp/linked" "$tmp/y"

refused 'No such file' "$tmp/absent.onnx"
: >"$tmp/empty.onnx"
refused 'no graph: no ONNX model, or one that is cut off (0 bytes)' "$tmp/empty.onnx"
refused 'no ONNX model, or one that is cut off' "$data/external_x.safetensors"
head -c 500 "$data/model.onnx" >"$tmp/cut.onnx"
refused 'no ONNX model, or one that is cut off (500 bytes)' "$tmp/cut.onnx"
sed 's/Relu/Tanh/' "$data/model.onnx" >"$tmp/tanh.onnx"
refused 'node 2, Tanh "relu": the operator is not supported' "$tmp/tanh.onnx"
expect 2 "$lowbit" op onnx --set "model=$data/model.onnx" --out "$tmp/none"
grep -q 'input "x" is missing' "$tmp/err" || fail "no inputs at all" "$tmp/err"
finish
