#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit op on integer tensors: each op on tensors small enough to check by hand, on every backend that has them; what is refused.
# once
set -euo pipefail
. test/sh/util.bash

# tensors FILE [NAME DTYPE SHAPE DATA]...: a safetensors file; DATA in printf's escapes.
tensors() {
    local file=$1 header='' data='' at=0 n
    shift
    while [ $# -gt 0 ]; do
        n=$(printf "$4" | wc -c)
        header+="${header:+,}\"$1\":{\"dtype\":\"$2\",\"shape\":$3,\"data_offsets\":[$at,$((at + n))]}"
        data+=$4
        at=$((at + n))
        shift 4
    done
    n=$((${#header} + 2))
    { printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))\\0\\0\\0\\0\\0\\0{%s}" "$header" && printf "$data"; } >"$file"
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
backends='cpu_ref cpu'
if grep -q '^vulkan,[^,]*,yes,' <("$lowbit" list backends --csv); then backends+=' vulkan'; else echo "SKIPPED in part: no vulkan device" >&2; fi
# gives DTYPE SHAPE DATA OP ARGUMENT...: the op's output on the tensors of $tmp/in, on every backend (quick: vulkan, once an op).
declare -A seen
gives() {
    local dtype=$1 shape=$2 data=$3 op=$4 name=y b
    shift 4
    [ "$op" = q_gemm ] && name=c
    tensors "$tmp/want" $name "$dtype" "$shape" "$data"
    for b in $backends; do
        if [ "$b" = vulkan ] && [ -n "${LOWBIT_QUICK:+${seen[$op]:-}}" ]; then continue; fi
        expect 0 "$lowbit" op "$op" --in "$tmp/in" --backend "$b" "$@" --out "$tmp/got" &&
            { expect 0 "$lowbit" compare "$tmp/got" "$tmp/want" || fail "lowbit op $op $* on $b" "$tmp/out"; } || true
    done
    seen[$op]=yes
}
half='\0\0\0\077' one='\0\0\200\077' two='\0\0\0\100' minus='\0\0\200\277'
nan='\0\0\300\177' inf='\0\0\200\177' tiny='\0\0\200\0' f0='\0\0\0\0'

expect 0 "$lowbit" op --help
for name in gemm conv2d quantize dequantize requantize scale add mul act pool copy im2col col2im model; do
    grep -q "^  q_$name: " "$tmp/out" || fail "lowbit op --help does not list q_$name" "$tmp/out"
done

# ---- q_gemm: a - 1 = 0 1; 2 3 and b = 1 -1; 2 0 ----
a=(a U8 '[2,2]' '\1\2\3\4' a_zero_point U8 '[]' '\1')
b=(b I8 '[2,2]' '\1\377\2\0')
ones=(a_scale F32 '[]' "$one" b_scale F32 '[1]' "$one" c_zero_point U8 '[]' '\12')
tensors "$tmp/in" "${a[@]}" "${b[@]}"
gives I32 '[2,2]' '\2\0\0\0\0\0\0\0\10\0\0\0\376\377\377\377' q_gemm
gives I32 '[2,2]' '\377\377\377\377\0\0\0\0\377\377\377\377\4\0\0\0' q_gemm --set trans_b=1
gives I32 '[2,2]' '\2\0\0\0\0\0\0\0\10\0\0\0\376\377\377\377' q_gemm --set bits=4
refused 'act: relu wants c_scale' q_gemm --in "$tmp/in" --set act=relu
refused 'act: expected linear or relu, found "tanh"' q_gemm --in "$tmp/in" --set act=tanh
refused 'bits: expected 4 or 8, found 5' q_gemm --in "$tmp/in" --set bits=5
tensors "$tmp/in" "${a[@]}" "${b[@]}" "${ones[@]}" c_scale F32 '[]' "$one"
gives U8 '[2,2]' '\14\12\22\10' q_gemm
gives U8 '[2,2]' '\14\12\22\12' q_gemm --set act=relu
tensors "$tmp/in" "${a[@]}" "${b[@]}" a_scale F32 '[]' "$half" b_scale F32 '[2]' "$half$one" c_scale F32 '[]' "$one" c_zero_point I8 '[]' '\373'
gives I8 '[2,2]' '\373\373\375\372' q_gemm # 0.5 0; 2 -1 and half to even
tensors "$tmp/in" "${a[@]}" "${b[@]}" "${ones[@]}" c_scale F32 '[]' "$one" bias I32 '[2]' '\144\0\0\0\370\377\377\377'
gives U8 '[2,2]' '\160\2\166\0' q_gemm
gives U8 '[2,2]' '\160\12\166\12' q_gemm --set act=relu --set bits=4
tensors "$tmp/in" "${a[@]}" "${b[@]}" b_zero_point I8 '[2]' '\1\376'
gives I32 '[2,2]' '\1\0\0\0\2\0\0\0\3\0\0\0\10\0\0\0' q_gemm
tensors "$tmp/in" a U8 '[2,1,2]' '\1\2\3\4' "${b[@]}"
gives I32 '[2,1,2]' '\5\0\0\0\377\377\377\377\13\0\0\0\375\377\377\377' q_gemm
tensors "$tmp/in" a U8 '[1,2]' '\1\2' b U8 '[2,2,1]' '\1\2\377\1'
gives I32 '[2,1,1]' '\5\0\0\0\1\1\0\0' q_gemm

# ---- q_conv2d: x - 1 = 0 1; 2 3, w = 1 -1 ----
conv=(x U8 '[1,1,2,2]' '\1\2\3\4' x_zero_point U8 '[]' '\1' w I8 '[1,1,1,2]' '\1\377')
tensors "$tmp/in" "${conv[@]}"
gives I32 '[1,1,2,1]' '\377\377\377\377\377\377\377\377' q_conv2d
gives I32 '[1,1,2,3]' '\0\0\0\0\1\0\0\0\377\377\377\377\2\0\0\0\1\0\0\0\375\377\377\377' q_conv2d --set transposed=1
gives I32 '[1,1,2,2]' '\0\0\0\0\0\0\0\0\376\377\377\377\3\0\0\0' q_conv2d --set pad=1 --set stride=2
tensors "$tmp/in" "${conv[@]}" x_scale F32 '[]' "$one" w_scale F32 '[]' "$half" y_scale F32 '[]' "$one" y_zero_point U8 '[]' '\3' bias I32 '[1]' '\1\0\0\0'
gives U8 '[1,1,2,1]' '\3\3' q_conv2d
tensors "$tmp/in" x I8 '[1,2,1,2]' '\1\2\3\4' w I8 '[2,1,1,1]' '\2\375'
gives I32 '[1,2,1,2]' '\2\0\0\0\4\0\0\0\367\377\377\377\364\377\377\377' q_conv2d --set groups=2
gives I32 '[1,2,1,2]' '\2\0\0\0\4\0\0\0\367\377\377\377\364\377\377\377' q_conv2d --set groups=2 --set transposed=1 --set bits=4

# ---- To codes, from codes, between codes ----
tensors "$tmp/in" x F32 '[2,4]' "$half$one$nan$inf$minus$f0\0\0\200\377\0\0\140\100" scale F32 '[]' "$one" zero_point U8 '[]' '\2'
gives U8 '[2,4]' '\2\3\2\377\1\2\0\6' q_quantize # 0.5 to even, NaN to the zero point, 3.5 to even
tensors "$tmp/in" x F32 '[2,2]' "$half$half$one$one" scale F32 '[2]' "$one$half"
gives U8 '[2,2]' '\0\1\1\2' q_quantize
gives I8 '[2,2]' '\0\1\1\2' q_quantize --set type=s8
refused 'type: expected u8 or s8, found "s4"' q_quantize --in "$tmp/in" --set type=s4
tensors "$tmp/in" x U8 '[2,2]' '\1\2\3\4' scale F32 '[2]' "$one$half" zero_point U8 '[2]' '\1\2'
gives F32 '[2,2]' "$f0$f0$two$one" q_dequantize
tensors "$tmp/in" x I32 '[1]' '\2\0\0\0' scale F32 '[]' "$half"
gives F32 '[1]' "$one" q_dequantize
params=(x_scale F32 '[]' "$half" x_zero_point I8 '[]' '\1' y_scale F32 '[]' "$one" y_zero_point U8 '[]' '\3')
tensors "$tmp/in" x I8 '[4]' '\2\3\4\200' "${params[@]}"
gives U8 '[4]' '\3\4\5\0' q_requantize # 0.5 1 1.5, and below 0
gives U8 '[4]' '\5\7\11\0' q_scale --set factor=4
gives U8 '[4]' '\1\0\0\377' q_scale --set factor=-4
refused 'factor: expected a number, found "x"' q_scale --in "$tmp/in" --set factor=x
gives U8 '[4]' '\3\4\5\3' q_act --set act=relu
gives U8 '[4]' '\4\4\4\3' q_act --set act=sigmoid # 0.62 0.73 0.82 0
gives U8 '[4]' '\3\4\4\2' q_act --set act=tanh    # 0.46 0.76 0.91 -1
tensors "$tmp/in" x I32 '[2,2]' '\12\0\0\0\12\0\0\0\377\377\377\377\0\0\0\200' x_scale F32 '[2]' "$one$half" y_scale F32 '[]' "$one" y_zero_point U8 '[]' '\3'
gives U8 '[2,2]' '\15\10\2\0' q_requantize
refused 'tensor x: element 3 is -2147483648; 32 bits do not hold it less its zero point' q_scale --in "$tmp/in" --set factor=-1

# ---- Two inputs ----
both=(a U8 '[3]' '\1\2\3' a_scale F32 '[]' "$one" b I8 '[3]' '\377\1\177' b_scale F32 '[]' "$half" y_scale F32 '[]' "$half" y_zero_point U8 '[]' '\3')
tensors "$tmp/in" "${both[@]}"
gives U8 '[3]' '\4\10\210' q_add
gives U8 '[3]' '\2\5\377' q_mul

# ---- Windows and copies: 1 2 3; 4 5 6 ----
tensors "$tmp/in" x U8 '[1,1,2,3]' '\1\2\3\4\5\6'
gives U8 '[1,1,1,2]' '\5\6' q_pool --set kind=max --set kernel=2
gives U8 '[1,1,2,2]' '\2\3\5\6' q_pool --set kind=max --set kernel=1,2
gives U8 '[1,1,3,2]' '\1\4\2\5\3\6' q_copy --set order=0,1,3,2
gives U8 '[1,1,2,2]' '\1\3\4\6' q_copy --set step=1,1,1,2
gives U8 '[2,4]' '\1\2\4\5\2\3\5\6' q_im2col --set kernel=2
tensors "$tmp/in" x U8 '[1,1,2,3]' '\1\2\3\4\5\6' x_zero_point U8 '[]' '\11'
gives U8 '[4,1]' '\11\11\11\11' q_im2col --set kernel=1 --set pad=1 --set stride=3
tensors "$tmp/in" x U8 '[1,1,2,3]' '\1\2\3\4\5\6' x_scale F32 '[]' "$one" y_scale F32 '[]' "$one"
gives U8 '[1,1,1,2]' '\3\4' q_pool --set kind=average --set kernel=2
gives U8 '[1,1,2,2]' '\1\2\4\6' q_pool --set kind=average --set kernel=2 --set pad=1 --set stride=2 # of what is inside; half to even
tensors "$tmp/in" x U8 '[2,4]' '\1\2\3\4\5\6\7\10'
gives I32 '[1,1,2,3]' '\1\0\0\0\7\0\0\0\6\0\0\0\3\0\0\0\13\0\0\0\10\0\0\0' q_col2im --set shape=1,1,2,3 --set kernel=2
tensors "$tmp/in" x U8 '[2,4]' '\1\2\3\4\5\6\7\10' x_zero_point U8 '[]' '\1' x_scale F32 '[]' "$one" y_scale F32 '[]' "$two"
gives U8 '[1,1,2,3]' '\0\2\2\1\4\4' q_col2im --set shape=1,1,2,3 --set kernel=2

# ---- Parameters that no op takes ----
for bad in "$nan:nan" "$inf:inf" "$minus:-1" "$f0:0"; do
    value=${bad%:*} text=${bad#*:}
    tensors "$tmp/in" "${a[@]}" "${b[@]}" "${ones[@]}" c_scale F32 '[]' "$value"
    refused "tensor c_scale: element 0 is $text, expected a finite number above 0" q_gemm --in "$tmp/in"
    case $text in inf | -1) continue ;; esac
    tensors "$tmp/in" "${conv[@]}" x_scale F32 '[]' "$one" w_scale F32 '[]' "$value" y_scale F32 '[]' "$one"
    refused "tensor w_scale: element 0 is $text, expected" q_conv2d --in "$tmp/in"
    tensors "$tmp/in" x F32 '[2]' "$one$one" scale F32 '[2]' "$one$value"
    refused "tensor scale: element 1 is $text, expected" q_quantize --in "$tmp/in"
    tensors "$tmp/in" x U8 '[2]' '\1\2' scale F32 '[]' "$value"
    refused "tensor scale: element 0 is $text, expected" q_dequantize --in "$tmp/in"
    tensors "$tmp/in" x U8 '[2]' '\1\2' x_scale F32 '[]' "$one" y_scale F32 '[]' "$value"
    for op in q_requantize 'q_scale --set factor=2' 'q_act --set act=relu'; do
        refused "tensor y_scale: element 0 is $text, expected" $op --in "$tmp/in"
    done
    tensors "$tmp/in" "${both[@]:0:8}" b I8 '[3]' '\1\2\3' b_scale F32 '[1]' "$value" y_scale F32 '[]' "$one"
    refused "tensor b_scale: element 0 is $text, expected" q_add --in "$tmp/in"
    refused "tensor b_scale: element 0 is $text, expected" q_mul --in "$tmp/in"
    tensors "$tmp/in" x U8 '[1,1,2,2]' '\1\2\3\4' x_scale F32 '[]' "$value" y_scale F32 '[]' "$one"
    refused "tensor x_scale: element 0 is $text, expected" q_pool --in "$tmp/in" --set kind=average --set kernel=2
    tensors "$tmp/in" x U8 '[1,4]' '\1\2\3\4' x_scale F32 '[]' "$value" y_scale F32 '[]' "$one"
    refused "tensor x_scale: element 0 is $text, expected" q_col2im --in "$tmp/in" --set kernel=2 --set shape=1,1,2,2
done
tensors "$tmp/in" "${a[@]}" "${b[@]}" "${ones[@]}" c_scale F32 '[]' "$tiny"
refused 'tensor c_scale: a_scale \* b_scale / c_scale is .*; it must be below 2^22' q_gemm --in "$tmp/in"
tensors "$tmp/in" x U8 '[2]' '\1\2' x_scale F32 '[]' "$one" y_scale F32 '[]' "$tiny"
refused 'tensor y_scale: x_scale / y_scale is .*; it must be below 2^22' q_requantize --in "$tmp/in"
tensors "$tmp/in" "${both[@]:0:12}" b_scale F32 '[]' "$half" y_scale F32 '[]' "$tiny"
refused 'tensor y_scale: a_scale / y_scale is .*; it must be below 2^22' q_add --in "$tmp/in"

# ---- Zero points ----
tensors "$tmp/in" a U8 '[2,2]' '\1\2\3\4' "${b[@]}" b_zero_point I8 '[]' '\11'
refused 'tensor b_zero_point: element 0 is 9, expected -8 to 7' q_gemm --in "$tmp/in" --set bits=4
tensors "$tmp/in" a U8 '[2,2]' '\1\2\3\4' b I8 '[2,2]' '\1\10\1\1'
refused 'tensor b: a code of output 1 is 8; 4 bits hold -8 to 7' q_gemm --in "$tmp/in" --set bits=4
tensors "$tmp/in" "${b[@]}" a U8 '[2,2]' '\1\2\3\4' a_zero_point I8 '[]' '\1'
refused 'tensor a_zero_point: dtype I8, wanted U8' q_gemm --in "$tmp/in"
tensors "$tmp/in" x F32 '[2]' "$one$one" scale F32 '[2]' "$one$one" zero_point U8 '[2]' '\1\2'
refused 'tensor zero_point: expected one zero point for all channels; they differ' q_quantize --in "$tmp/in"
refused 'type: of no use with the tensor zero_point' q_quantize --in "$tmp/in" --set type=u8
tensors "$tmp/in" x F32 '[2]' "$one$one" scale F32 '[]' "$one" zero_point F32 '[]' "$one"
refused 'tensor zero_point: dtype F32, wanted U8 or I8' q_quantize --in "$tmp/in"

# ---- Scales that belong together ----
tensors "$tmp/in" "${a[@]}" "${b[@]}" a_scale F32 '[]' "$one"
refused 'tensor a_scale: of no use without c_scale' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" c_zero_point U8 '[]' '\1'
refused 'tensor c_zero_point: of no use without c_scale' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" a_scale F32 '[]' "$one" c_scale F32 '[]' "$one"
refused 'tensor b_scale is missing' q_gemm --in "$tmp/in"
tensors "$tmp/in" x U8 '[2]' '\1\2' x_scale F32 '[]' "$one"
refused 'tensor y_scale is missing, an input of op q_requantize' q_requantize --in "$tmp/in"
tensors "$tmp/in" x U8 '[1,1,2,2]' '\1\2\3\4' x_scale F32 '[]' "$one"
refused 'tensor y_scale is missing' q_pool --in "$tmp/in" --set kind=average --set kernel=2
refused 'tensor x_scale: of no use where kind is max' q_pool --in "$tmp/in" --set kind=max --set kernel=2
tensors "$tmp/in" x U8 '[1,4]' '\1\2\3\4' y_zero_point U8 '[]' '\1'
refused 'tensor y_zero_point: of no use without y_scale' q_col2im --in "$tmp/in" --set kernel=2 --set shape=1,1,2,2

# ---- Dtypes and shapes ----
tensors "$tmp/in" a F32 '[1,1]' "$one" b I8 '[1,1]' '\1'
refused 'tensor a: dtype F32, wanted U8 or I8' q_gemm --in "$tmp/in"
tensors "$tmp/in" a U8 '[2,2]' '\1\2\3\4' b I8 '[1,2]' '\1\2'
refused 'tensor b: k is 1, wanted 2, that of a' q_gemm --in "$tmp/in"
tensors "$tmp/in" a U8 '[2]' '\1\2' b I8 '[1,2]' '\1\2'
refused 'tensor a: shape \[2\], wanted (m, k) or (batch, m, k)' q_gemm --in "$tmp/in"
tensors "$tmp/in" a U8 '[2,1,1]' '\1\2' b I8 '[3,1,1]' '\1\2\3'
refused 'tensor b: a batch of 3, wanted 2, that of a' q_gemm --in "$tmp/in"
tensors "$tmp/in" a U8 '[1,1,1]' '\1' b I8 '[1,1,1]' '\1' bias I32 '[1]' '\0\0\0\0'
refused 'tensor b: with a bias, or 4 bits, wanted in two dimensions' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" bias I32 '[1]' '\0\0\0\0'
refused 'tensor bias: shape \[1\], wanted \[2\] one an output' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" bias F32 '[2]' "$one$one"
refused 'tensor bias: dtype F32, wanted I32' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" "${ones[@]}" c_scale F32 '[2]' "$one$one"
refused 'tensor c_scale: shape \[2\], wanted \[\] or \[1\]' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" b_zero_point I8 '[3]' '\1\1\1'
refused 'tensor b_zero_point: shape \[3\], wanted \[\] or \[1\], or \[2\], one a channel' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${both[@]:0:4}" a_scale F32 '[]' "$one" b I8 '[1]' '\1' b_scale F32 '[]' "$one" y_scale F32 '[]' "$one"
refused 'tensor b: shape \[1\], wanted \[3\] as a' q_add --in "$tmp/in"
tensors "$tmp/in" "${conv[@]}"
refused 'tensor w: wanted one element at least, and groups that divide the 1 channels of x' q_conv2d --in "$tmp/in" --set groups=2
refused 'tensor w: a kernel of width 3 does not fit with pad 0' q_conv2d --in "$tmp/in" --set dilation=2
refused 'tensor w: a height of 2, of which pad 1 leaves nothing' q_conv2d --in "$tmp/in" --set transposed=1 --set pad=1
refused 'output_padding: expected a whole number from 0 to 1, found "2"' q_conv2d --in "$tmp/in" --set transposed=1 --set stride=2 --set output_padding=2
refused 'output_padding: expected a whole number from 0 to 0, found "1"' q_conv2d --in "$tmp/in" --set stride=2 --set output_padding=1
refused 'stride: expected a whole number from 1' q_conv2d --in "$tmp/in" --set stride=0
tensors "$tmp/in" x U8 '[1,2,1,1]' '\1\2' w U8 '[1,1,1,1]' '\1'
refused 'tensor w: shape \[1, 1, 1, 1\], wanted \[1, 2, 1, 1\] (o, c / groups, kh, kw), c being that of x' q_conv2d --in "$tmp/in"
refused 'groups: 2, wanted one that divides the 1 outputs of w' q_conv2d --in "$tmp/in" --set groups=2
tensors "$tmp/in" x U8 '[1,1,4611686018427387904,0]' '' w U8 '[1,1,1,1]' '\1'
refused 'tensor x: a height of 4611686018427387904' q_conv2d --in "$tmp/in" --set transposed=1
tensors "$tmp/in" x U8 '[1,1,4611686018427387904,0]' ''
refused 'kernel: a height of 1, with dilation, does not fit 4611686018427387904 with pad 0' q_pool --in "$tmp/in" --set kind=max --set kernel=1,2
tensors "$tmp/in" x U8 '[0,4611686018427387904,1,1]' ''
refused 'more columns than this machine can address' q_im2col --in "$tmp/in" --set kernel=2 --set pad=1
tensors "$tmp/in" x U8 '[1,1,2,2]' '\1\2\3\4'
refused 'kind: expected max or average, found "min"' q_pool --in "$tmp/in" --set kind=min --set kernel=2
refused 'pad: 2, wanted less than the kernel' q_pool --in "$tmp/in" --set kind=max --set kernel=2 --set pad=2
refused 'kernel: a height of 3, with dilation, does not fit 2 with pad 0' q_pool --in "$tmp/in" --set kind=max --set kernel=3
refused 'kernel: expected 2 whole numbers from 1 to 1048576 such as 3,2, or one for all, found "1,2,3"' q_pool --in "$tmp/in" --set kind=max --set kernel=1,2,3
refused 'kernel: expected 2 whole numbers from 1 to 1048576 .*, found "0"' q_im2col --in "$tmp/in" --set kernel=0
refused 'order: expected each dimension once, found "0,1,1,3"' q_copy --in "$tmp/in" --set order=0,1,1,3
refused 'order: expected 4 whole numbers from 0 to 3 .*, found "0,1,4,3"' q_copy --in "$tmp/in" --set order=0,1,4,3
refused 'step: expected 4 whole numbers from 1' q_copy --in "$tmp/in" --set step=0
refused 'tensor x: shape \[1, 1, 2, 2\], wanted 2 dimensions, (n oh ow, kh kw c)' q_col2im --in "$tmp/in" --set kernel=2 --set shape=1,1,2,2
tensors "$tmp/in" x U8 '[2,2]' '\1\2\3\4'
refused 'tensor x: shape \[2, 2\], wanted \[1, 4\] (n oh ow, kh kw c)' q_col2im --in "$tmp/in" --set kernel=2 --set shape=1,1,2,2
tensors "$tmp/in" x U8 '[]' '\1'
refused 'tensor x: 0 dimensions, wanted 1 to 4' q_copy --in "$tmp/in"
tensors "$tmp/in" x F32 '[1]' "$one"
refused 'tensor x: dtype F32, wanted U8 or I8' q_copy --in "$tmp/in"
tensors "$tmp/in" x F32 '[1]' "$one" scale F32 '[]' "$one"
refused 'tensor x: dtype F32, wanted U8, I8 or I32' q_dequantize --in "$tmp/in"
tensors "$tmp/in" x U8 '[1]' '\1' scale F32 '[]' "$one"
refused 'tensor x: dtype U8, wanted F32, F16 or BF16' q_quantize --in "$tmp/in"

# ---- Sums that 32 bits may not hold ----
# long_sum K: (1, K) and (K, 1) of U8.
long_sum() {
    tensors "$tmp/in" a U8 "[1,$1]" '' b U8 "[$1,1]" ''
    sed -i "s/\[0,0\]/[0,$1]/; s/\[0,0\]/[$1,$(($1 * 2))]/" "$tmp/in"
    local n
    n=$(($(wc -c <"$tmp/in") - 8))
    { printf "\\x$(printf %02x $((n % 256)))\\0\\0\\0\\0\\0\\0\\0" && tail -c +9 "$tmp/in" && head -c $(($1 * 2)) /dev/zero; } >"$tmp/in2"
    mv "$tmp/in2" "$tmp/in"
}
long_sum 33025
gives I32 '[1,1]' '\0\0\0\0' q_gemm
long_sum 33026
refused 'tensor b: 33026 products in a sum; 32 bits hold 33025 of U8 up to 255 and U8 up to 255 from their zero points' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" bias I32 '[2]' '\0\0\0\0\0\0\0\200'
refused 'tensor bias: -2^31; sums with it may not fit 32 bits' q_gemm --in "$tmp/in"
tensors "$tmp/in" "${a[@]}" "${b[@]}" bias I32 '[2]' '\0\0\0\0\377\377\377\177'
refused 'tensor b: 2 products in a sum; 32 bits hold 0 of .* from their zero points, and the bias' q_gemm --in "$tmp/in"

# ---- q_model: a model that `lowbit run` makes; what is wrong in one ----
cat >"$tmp/config.json" <<'END'
{"data": {"source": "digits", "train": 60, "test": 20},
 "model": {"layers": [{"type": "conv2d", "filters": 3, "kernel": 5, "stride": 3, "activation": "relu"}, {"type": "flatten"},
                      {"type": "dense", "units": 10, "activation": "softmax"}]},
 "train": {"epochs": 1, "batch": 20}, "formats": [{"name": "EIGHT", "codec": "I8", "scale": {"per": "channel"}}], "modes": ["integer"], "backends": ["cpu"]}
END
expect 0 "$lowbit" run "$tmp/config.json" --out "$tmp/results" -q
model=$(echo "$tmp"/results/models/*.safetensors)
expect 0 "$lowbit" op constant --out "$tmp/in" --set value=0.25 --set shape=3,784
sed -i 's/"Y"/"x"/' "$tmp/in"
for b in $backends; do
    expect 0 "$lowbit" op q_model --in "$tmp/in" --set "model=$model" --backend "$b" --out "$tmp/$b"
    same "$tmp/$b" "$tmp/cpu_ref"
done
expect 0 "$lowbit" inspect "$tmp/cpu_ref"
grep -q '^y  *F32  *\[3, 10\]' "$tmp/out" || fail "the shape of y" "$tmp/out"
# wrong PATTERN SED: the model with its text changed, not its length.
wrong() {
    sed "$2" "$model" >"$tmp/model"
    if cmp -s "$model" "$tmp/model"; then fail "sed $2 changed nothing"; fi
    refused "$1" q_model --in "$tmp/in" --set "model=$tmp/model"
}
wrong 'no integer model: the metadata lowbit.model and lowbit.activations are wanted' 's/lowbit\.model/lowbit.modex/'
wrong 'no integer model' 's/lowbit\.activations/lowbit.activationx/'
wrong 'metadata lowbit.model:1:[0-9]*: ' 's/{\\"classes/[\\"classes/'
wrong 'metadata lowbit.model:1:[0-9]*: layers\[0\].*kernex' 's/\\"kernel/\\"kernex/'
wrong 'classes: expected a whole number from 1 to 1000000' 's/\\"classes\\":10/\\"classes\\":-1/'
wrong 'metadata lowbit.model: .*gives 10 outputs, but the data has 20 classes' 's/\\"classes\\":10/\\"classes\\":20/'
wrong 'expected channels, height and width' 's/\\"input\\":\[1,28,28\],/                    /'
wrong 'tensor x: shape \[3, 784\], wanted (n, 756)' 's/\[1,28,28\]/[1,28,27]/'
wrong '0.weight.*shape' 's/\\"filters\\":3/\\"filters\\":4/'
wrong 'tensor 0.bias.scale: of no use without 0.input.scale' 's/"0.input.scale"/"0.input.skale"/'
wrong '2.bias.scale' 's/"2.bias.scale"/"2.bias.skale"/'
tensors "$tmp/in" x F32 '[1,2]' "$one$one"
refused 'tensor x: shape \[1, 2\], wanted (n, 784), the model' q_model --in "$tmp/in" --set "model=$model"
refused 'No such file' q_model --in "$tmp/in" --set "model=$tmp/absent"
refused 'no integer model' q_model --in "$tmp/in" --set "model=$tmp/in"
finish
