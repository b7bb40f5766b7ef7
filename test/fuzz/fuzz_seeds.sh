#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes what the fuzzers start from, out of files of the tree: test/fuzz/fuzz_seeds.sh DIR [LOWBIT] writes DIR/NAME/ for each target, and DIR/config.dict.
set -euo pipefail

out=$(realpath -m "${1:?the folder to write to}")
lowbit=$(realpath "${2:-${BUILD:-build}/lowbit}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for target in config set safetensors idx onnx journal; do mkdir -p "$out/$target"; done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# ---- config, set: what is committed, the refused ones too; every key and word of the schema

n=0
for f in configs/*.json configs/*/*.json test/config/valid/*.json test/config/invalid/*/config.json; do
    [ "$(stat -c %s "$f")" -gt 6000 ] || cp "$f" "$out/config/$((n++))"
done
for f in test/config/invalid/*/sets.txt; do cp "$f" "$out/set/$((n++))"; done
printf '%s\n' train.epochs=2 'formats=["F64","F16","F4_X8","INT8"]' 'formats[1]={"codec":"I4","scale":{"per":"block","block":32}}' \
    'model.layers[0]={"type":"dense","units":3}' 'seeds=[1,2]' title=null >"$out/set/several"
printf '%s\n' 'backends=["cpu_ref"]' model=null 'models=[{"name":"a","layers":[{"type":"dense","units":10}]}]' 'search={"bits":4}' >"$out/set/models"
grep -ohE '"[A-Za-z0-9_]+"' configs/schema.json configs/formats.json | sort -u >"$out/config.dict"

# ---- safetensors: those of the tests, a tensor in formats of every kind, an integer model, inputs of ops

for f in test/data/safetensors/*.safetensors test/data/nn/*.safetensors test/data/onnx/*.safetensors; do
    [ "$(stat -c %s "$f")" -gt 3000 ] || cp "$f" "$out/safetensors/"
done

# file NAME METADATA TENSOR...: TENSOR is NAME:DTYPE:SHAPE:BYTES; the bytes are 1/4, 1/2, -1, ... as F32, small numbers as integers
file() {
    local name=$1 header="{\"__metadata__\":{$2}" at=0 i t dtype shape bytes
    shift 2
    for i; do
        IFS=: read -r t dtype shape bytes <<<"$i"
        header+=",\"$t\":{\"dtype\":\"$dtype\",\"shape\":[$shape],\"data_offsets\":[$at,$((at + bytes))]}"
        at=$((at + bytes))
    done
    header+='}'
    {
        printf "\\x$(printf %02x $((${#header} % 256)))\\x$(printf %02x $((${#header} / 256)))\\0\\0\\0\\0\\0\\0%s" "$header"
        for ((i = 0; i < at; i += 12)); do printf '\0\0\200\076\0\0\0\077\0\0\200\277'; done
    } >"$out/safetensors/$name"
    truncate -s $((8 + ${#header} + at)) "$out/safetensors/$name"
}
file plain '"made":"by hand"' w:F32:3,34:408 b:F32:5:20
for format in F16 F4 INT4 I8_X100 U8_X100 F6_E2M3 NF4 MXFP4 NVFP4 MXFP8_E4M3 Q4_0 Q6_K TQ1_0 TERNARY \
    '{"codec":"U4","scale":{"per":"block","block":16,"rule":"asymmetric"}}' \
    '{"codec":"I4","scale":{"per":"channel","format":{"codec":"F8_E4M3","scale":{"per":"tensor","rule":"absmax"}}}}' \
    '{"codec":"NF4","order":"high_first","scale":{"per":"block","block":16,"format":{"codec":"I8","scale":{"per":"block","block":4,"offset":"mean"}}}}' \
    '{"codec":{"name":"POSIT","n":8,"es":1}}' '{"codec":{"name":"UINT","bits":3},"scale":{"per":"row","rule":"asymmetric"}}'; do
    "$lowbit" convert -q "$out/safetensors/plain" "$out/safetensors/format_$((n++))" --format "$format"
done
file op_gemm '"op":"gemm","act":"relu"' a:F32:2,3:24 b:F32:3,2:24
file op_conv2d '"op":"conv2d","pad":"1"' x:F32:1,1,3,3:36 w:F32:2,1,2,2:32 bias:F32:2:8
file op_softmax '"op":"softmax"' x:F16:2,5:20
file op_nbits '"op":"matmul_nbits","K":"20","N":"2"' A:F32:2,20:160 B:U8:2,2,8:32 scales:F32:4:16 zero_points:U8:2:2
file op_pack '"op":"pack_nbits","bits":"3"' codes:U8:2,9:18
file op_q_gemm '"op":"q_gemm"' a:U8:2,4:8 b:I8:4,3:12 a_scale:F32:1:4 a_zero_point:U8:1:1 b_scale:F32:3:12 c_scale:F32:1:4 c_zero_point:U8:1:1
file op_q_conv2d '"op":"q_conv2d","pad":"1"' x:U8:1,2,4,4:32 w:I8:3,2,2,2:24 x_scale:F32:1:4 w_scale:F32:3:12 y_scale:F32:1:4
file op_q_add '"op":"q_add"' a:I8:2,3:6 b:I8:3:3 a_scale:F32:1:4 b_scale:F32:1:4 y_scale:F32:1:4
file op_q_pool '"op":"q_pool","kind":"average","kernel":"2"' x:U8:1,1,4,4:16 x_scale:F32:1:4 x_zero_point:U8:1:1 y_scale:F32:1:4 y_zero_point:U8:1:1
file op_q_col2im '"op":"q_col2im","kernel":"2","shape":"1,1,3,3"' x:U8:4,4:16 x_scale:F32:1:4 x_zero_point:U8:1:1 y_scale:F32:1:4 y_zero_point:U8:1:1
file op_q_copy '"op":"q_copy","order":"1,0"' x:U8:4,3:12
cat >"$tmp/integer.json" <<'C'
{"data": {"source": "digits", "train": 40, "test": 10, "seed": 1}, "train": {"epochs": 1}, "formats": ["INT8"], "modes": ["integer"], "backends": ["cpu_ref"],
 "model": {"name": "m", "layers": [{"type": "conv2d", "filters": 2, "kernel": 7, "stride": 7, "activation": "relu"}, {"type": "flatten"},
  {"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 10, "activation": "softmax"}]}}
C
"$lowbit" run -q "$tmp/integer.json" --out "$tmp/integer"
for f in "$tmp"/integer/models/*.safetensors; do cp "$f" "$out/safetensors/integer_$((n++))"; done
"$lowbit" run -q "$tmp/integer.json" --out "$tmp/run" --set 'formats=["F16","INT4"]' --set 'modes=["w"]' --set report.layers=true

# ---- journal: 1 in front: checksums are put in order

for mode in 0 1; do { printf %s $mode && cat "$tmp/run/trials.jsonl"; } >"$out/journal/run_$mode"; done

# ---- IDX: \1 in front: packed before it is read

images='\0\0\010\003\0\0\0\002\0\0\0\001\0\0\0\003abcdef' labels='\0\0\010\001\0\0\0\003\001\002\003'
for mode in 0 1; do
    printf "\\$mode$images" >"$out/idx/images_$mode"
    printf "\\$mode$labels" >"$out/idx/labels_$mode"
done
{ printf '\0' && printf "$images" | gzip -9; } >"$out/idx/gz"
{ printf '\0' && printf "$labels" | gzip -1 -N; } >"$out/idx/gz_labels"

# ---- ONNX

cp test/data/onnx/*.onnx "$out/onnx/"
