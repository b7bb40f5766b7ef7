#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lowbit op: its help, its ops on tensors from a file, what it refuses, and that a refusal leaves no output.
set -euo pipefail
. test/sh/util.bash

# st FILE HEADER DATA: a safetensors file; DATA in printf's escapes.
st() {
    local n=${#2}
    { printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))\\0\\0\\0\\0\\0\\0%s" "$2" && printf "$3"; } >"$1"
}
# refused PATTERN ARGUMENT...: exit status 2, a message like the pattern, and no output.
refused() {
    local pattern=$1
    shift
    rm -f "$tmp/none"
    expect 2 "$lowbit" op "$@" --out "$tmp/none" || return 0
    grep -q -- "$pattern" "$tmp/err" || fail "no message like \"$pattern\": lowbit op $*" "$tmp/err"
    if [ -e "$tmp/none" ]; then fail "lowbit op $* failed and left an output"; fi
}
# gives FILE ARGUMENT...: the op writes tensors of the same bytes as FILE holds.
gives() {
    local want=$1
    shift
    expect 0 "$lowbit" op "$@" --out "$tmp/got" && { expect 0 "$lowbit" compare "$tmp/got" "$want" || fail "lowbit op $*" "$tmp/out"; }
}
one='\0\0\200\077' two='\0\0\0\100' three='\0\0\100\100' five='\0\0\240\100' six='\0\0\300\100' minus='\0\0\200\277' zero='\0\0\0\0'

# ---- Help ----
expect 0 "$lowbit" op --help
for name in matmul_nbits matmul_nbits_grad pack_nbits unpack_nbits constant onnx gemm conv2d act softmax; do
    grep -q "^  $name: " "$tmp/out" || fail "lowbit op --help does not list $name" "$tmp/out"
done
grep -q '^      A, B, scales, \[zero_points\], \[g_idx\], \[bias\] -> Y$' "$tmp/out" || fail "the inputs of matmul_nbits" "$tmp/out"
refused 'NAME and --out are needed'
refused '"matmul_nbit" is no op; did you mean "matmul_nbits"?' matmul_nbit
refused '"frobnicate" is no op; see lowbit op --help' frobnicate
refused 'one op, found "act" and "gemm"' act gemm

# ---- constant ----
st "$tmp/want" '{"Y":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}' "$one$one$one$one"
gives "$tmp/want" constant --set value=1 --set shape=2,2
st "$tmp/want" '{"Y":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}' '\3\0\0\0\0\0\0\0\376\377\377\377\377\377\377\377'
gives "$tmp/want" constant --set value=3,-2 --set dtype=I64
st "$tmp/want" '{"Y":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}' '\377'
gives "$tmp/want" constant --set value=255 --set dtype=U8
refused 'value: expected numbers that U8 holds, found "256"' constant --set value=256 --set dtype=U8
refused 'value: expected numbers that U8 holds, found "-1"' constant --set value=-1 --set dtype=U8
refused 'value: expected a number, found "x"' constant --set value=1,x
refused 'value: 3 numbers, wanted 1 or the 4 of the shape' constant --set value=1,2,3 --set shape=2,2
refused 'shape: expected up to 8 sizes such as 2,3, found "2,"' constant --set value=1 --set shape=2,
refused 'dtype: expected one of safetensors, such as F32, found "F33"' constant --set value=1 --set dtype=F33
refused 'dtype: 3 elements of F4 do not fill whole bytes' constant --set value=1 --set dtype=F4 --set shape=3
refused 'more bytes than this machine can address' constant --set value=1 --set shape=99999999999,99999999999
refused 'op constant: --set value=... is needed' constant
refused 'has no setting "valeu"; did you mean "value"?' constant --set valeu=1
refused 'expected NAME=VALUE' constant --set value

# ---- pack_nbits, unpack_nbits ----
st "$tmp/codes" '{"codes":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]}}' '\1\2\3\4\5\7'
st "$tmp/b4" '{"B":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}}' '\041\003\124\007'
st "$tmp/b3" '{"B":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}}' '\321\000\354\001'
st "$tmp/blocks" '{"B":{"dtype":"U8","shape":[2,1,8],"data_offsets":[0,16]}}' '\041\003\0\0\0\0\0\0\124\007\0\0\0\0\0\0'
gives "$tmp/b4" pack_nbits --in "$tmp/codes"
gives "$tmp/b3" pack_nbits --in "$tmp/codes" --set bits=3
gives "$tmp/blocks" pack_nbits --in "$tmp/codes" --set block_size=16
gives "$tmp/codes" unpack_nbits --in "$tmp/b4" --set K=3
gives "$tmp/codes" unpack_nbits --in "$tmp/b3" --set K=3 --set bits=3
gives "$tmp/codes" unpack_nbits --in "$tmp/blocks" --set K=3 --set block_size=16
refused 'tensor codes: element \[1, 0\] is 4, which 2 bits do not hold' pack_nbits --in "$tmp/codes" --set bits=2
refused 'bits: expected a whole number from 2 to 8, found "9"' pack_nbits --in "$tmp/codes" --set bits=9
refused 'block_size: 24, wanted a power of two, 16 or more' pack_nbits --in "$tmp/codes" --set block_size=24
refused 'tensor B: shape \[2, 2\], wanted \[2, 3\]' unpack_nbits --in "$tmp/b4" --set K=5
refused 'tensor B: shape \[2, 2\], wanted \[2, 1, 8\]' unpack_nbits --in "$tmp/b4" --set K=5 --set block_size=16
refused 'K: expected a whole number' unpack_nbits --in "$tmp/b4" --set K=three

# ---- gemm, conv2d, act, softmax ----
st "$tmp/ab" '{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]},"bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}}' \
    "$one$two$one$minus$two$three$one$zero"
st "$tmp/want" '{"c":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}' "$six$five"
gives "$tmp/want" gemm --in "$tmp/ab"
gives "$tmp/want" gemm --in "$tmp/ab" --backend cpu
st "$tmp/want" '{"c":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}' "$zero\0\0\0\101"
gives "$tmp/want" gemm --in "$tmp/ab" --set trans_b=1 --set act=relu
refused 'tensor b: shape \[2, 2\], wanted \[1, 2\] (k, n), k being that of a' gemm --in "$tmp/ab" --set trans_a=1
refused 'act: expected linear, relu' gemm --in "$tmp/ab" --set act=gelu
refused "$tmp/b4: tensor a is missing, an input of op gemm" gemm --in "$tmp/b4"
refused 'tensor x is missing, an input of op act' act --in "$tmp/ab" --set act=relu
sed 's/"bias":{/"bais":{/' "$tmp/ab" >"$tmp/misspelled"
refused 'tensor bais: op gemm has no such input; did you mean "bias"?' gemm --in "$tmp/misspelled"
refused 'op gemm: --in is needed' gemm
st "$tmp/x" '{"x":{"dtype":"F32","shape":[1,1,2,2],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[1,1,2,2],"data_offsets":[16,32]}}' \
    "$one$two$three$minus$one$one$one$one"
st "$tmp/want" '{"y":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]}}' "$five"
gives "$tmp/want" conv2d --in "$tmp/x"
st "$tmp/want" '{"y":{"dtype":"F32","shape":[1,1,2,2],"data_offsets":[0,16]}}' "$one$two$three$minus"
gives "$tmp/want" conv2d --in "$tmp/x" --set pad=1 --set stride=2
refused 'stride: expected a whole number from 1' conv2d --in "$tmp/x" --set stride=0
st "$tmp/wide" '{"x":{"dtype":"F32","shape":[1,1,1,2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1,1,2,2],"data_offsets":[8,24]}}' \
    "$one$two$one$one$one$one"
refused 'tensor w: a kernel of height 2 does not fit 1 with pad 0' conv2d --in "$tmp/wide"
st "$tmp/x" '{"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}' '\0\074\0\274'
st "$tmp/want" '{"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' "$one$zero"
gives "$tmp/want" act --in "$tmp/x" --set act=relu
st "$tmp/x" '{"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}' "$two$two"
st "$tmp/want" '{"y":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}' '\0\0\0\077\0\0\0\077'
gives "$tmp/want" softmax --in "$tmp/x"
st "$tmp/scalar" '{"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}' "$two"
refused 'tensor x: shape \[\], wanted one dimension at least' softmax --in "$tmp/scalar"
st "$tmp/whole" '{"x":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}' "$two"
refused 'tensor x: dtype I32, wanted F32, F16 or BF16' softmax --in "$tmp/whole"
st "$tmp/formatted" '{"__metadata__":{"lowbit:x":"{}"},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' "$two"
refused 'tensor x is stored in a format' softmax --in "$tmp/formatted"
refused 'no backend' softmax --in "$tmp/x" --backend frobnicate

# ---- matmul_nbits ----
nbits=(--in test/data/onnx/nbits_x.safetensors --set N=7 --set block_size=32)
expect 0 "$lowbit" op matmul_nbits "${nbits[@]}" --set K=45 --out "$tmp/y"
gives "$tmp/y" matmul_nbits "${nbits[@]}" --set K=45 --set bits=4 --set accuracy_level=1 --backend cpu
expect 0 "$lowbit" inspect "$tmp/y"
grep -q '^Y  *F32  *\[2, 7\]' "$tmp/out" || fail "the shape of Y" "$tmp/out"
refused 'op matmul_nbits: --set K=... is needed' matmul_nbits "${nbits[@]}"
refused 'tensor A: shape \[2, 45\], wanted (..., K), K being 46' matmul_nbits "${nbits[@]}" --set K=46
refused 'tensor B: shape \[7, 2, 16\], wanted \[7, 3, 16\]' matmul_nbits "${nbits[@]}" --set K=65
refused 'tensor B: shape \[7, 2, 16\], wanted \[7, 2, 20\]' matmul_nbits "${nbits[@]}" --set K=45 --set bits=5
refused 'accuracy_level: expected a whole number from 0 to 4' matmul_nbits "${nbits[@]}" --set K=45 --set accuracy_level=5
refused 'No such file' matmul_nbits --in "$tmp/absent" --set K=45 --set N=7 --set block_size=32

# An output that is there stays as it was.
echo precious >"$tmp/old"
expect 2 "$lowbit" op matmul_nbits "${nbits[@]}" --set K=46 --out "$tmp/old"
grep -q precious "$tmp/old" || fail "a failed op touched its output"
finish
