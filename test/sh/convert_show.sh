#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit show against the committed tables, and lowbit convert: rounded once from every type, back again, whole names, metadata, scales, odd sizes
# (quick: fewer shapes and types of the same formats).
set -euo pipefail
. test/sh/util.bash
data=test/data

# ---- show ----
expect 0 "$lowbit" show F4 --csv
same $data/codecs/F4.csv "$tmp/out"
codec_of() { # a table's name: a codec, or one with parameters (test/oracle/exact_codecs.py)
    local a b
    IFS=_ read -r _ a b <<<"$1"
    case $1 in
    FIXED_*) echo "{\"name\":\"FIXED\",\"bits\":$a,\"frac\":$b}" ;;
    POSIT_*) echo "{\"name\":\"POSIT\",\"n\":$a,\"es\":$b}" ;;
    FLOAT_E3M2_FLUSHED) echo '{"name":"FLOAT","e":3,"m":2,"inf":0,"nan":"none","subnormals":0}' ;;
    FLOAT_E4M4_FNUZ_INF) echo '{"name":"FLOAT","e":4,"m":4,"bias":8,"inf":1,"nan":"fnuz"}' ;;
    FLOAT_E2M2_BOTH) echo '{"name":"FLOAT","e":2,"m":2,"inf":1,"nan":"one"}' ;;
    *) echo "$1" ;;
    esac
}
while read -r sha file; do
    expect 0 "$lowbit" show "$(codec_of "${file%.csv}")" --csv || continue
    [ "$(sha256sum <"$tmp/out" | cut -d' ' -f1)" = "$sha" ] || fail "lowbit show ${file%.csv} --csv is not the table of $data/codecs/tables.sha256" "$tmp/out"
done <$data/codecs/tables.sha256
expect 0 "$lowbit" show f4 --csv # a name without regard to case, and an alias
same $data/codecs/F4.csv "$tmp/out"
expect 0 "$lowbit" show E2M1 --csv
same $data/codecs/F4.csv "$tmp/out"
expect 0 "$lowbit" show F4
[ "$(grep -c '^  [01]\{4\}  ' "$tmp/out")" = 16 ] && grep -q '^  1001      9  -0.5$' "$tmp/out" || fail "lowbit show F4" "$tmp/out"
expect 0 "$lowbit" show '{"name": "LOOM_F4", "encoder": "b"}' --csv
[ "$(sed -n '8p;9p' "$tmp/out" | paste -sd' ')" = "6,inf 7,nan" ] || fail "the table of LOOM_F4" "$tmp/out"

# ---- Files by hand ----
hex() { printf "$(sed 's/../\\x&/g' <<<"$1")"; }
st() { # FILE HEADER HEX: a safetensors file of that data
    local n=${#2}
    { hex "$(printf '%02x%02x000000000000' $((n % 256)) $((n / 256)))" && printf %s "$2" && hex "$3"; } >"$1"
}
swap4='s/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/' swap8='s/\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)/\8\7\6\5\4\3\2\1/'
part() { # FILE TENSOR: its bytes
    local header at bytes
    header=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    read -r bytes at < <("$lowbit" inspect --csv "$1" | grep "^$2," | sed -E 's/^[^,]*,[^,]*,("[^"]*"|[^,]*),([0-9]+),([0-9]+),.*/\2 \3/')
    tail -c +$((9 + header + at)) "$1" | head -c "$bytes"
}
codes() { # FILE TENSOR BYTES: each code in decimal
    part "$1" "$2" | od -An -v -w"$3" -tu"$3" | tr -d ' '
}
is() { # FILE PATTERN: inspect has such a line
    "$lowbit" inspect "$1" >"$tmp/inspect" 2>&1
    grep -Eq -- "$2" "$tmp/inspect" || fail "$1: a line like $2 is wanted" "$tmp/inspect"
}

# ---- From every type, rounded once: the committed vectors, made in rational arithmetic ----
for codec in F32:4 F16:2 BF16:2 F64:8 I64:8 I8:1 I16:2 U8:1 U32:4 U64:8; do
    bytes=${codec#*:} codec=${codec%:*}
    for type in f32 f64 i64 u64; do
        size=8 swap=$swap8
        if [ $type = f32 ]; then size=4 swap=$swap4; fi
        awk -F, -v t=$type '$1 == t { print $2 > in_; print $3 > out_ }' in_="$tmp/in" out_="$tmp/want" $data/codecs/encode_$codec.csv
        n=$(wc -l <"$tmp/want")
        st "$tmp/vectors" "{\"v\":{\"dtype\":\"${type^^}\",\"shape\":[$n],\"data_offsets\":[0,$((n * size))]}}" "$(sed "$swap" "$tmp/in" | tr -d '\n')"
        expect 0 "$lowbit" convert "$tmp/vectors" "$tmp/encoded" --format $codec || continue
        codes "$tmp/encoded" v "$bytes" >"$tmp/got"
        same "$tmp/want" "$tmp/got"
    done
done
awk -F, '$1 == "f64" { print $2 > in_; print $3 > out_ }' in_="$tmp/in" out_="$tmp/want" $data/codecs/encode_F4.csv # two codes a byte
n=$(wc -l <"$tmp/want")
st "$tmp/vectors" "{\"v\":{\"dtype\":\"F64\",\"shape\":[$n],\"data_offsets\":[0,$((n * 8))]}}" "$(sed "$swap8" "$tmp/in" | tr -d '\n')"
expect 0 "$lowbit" convert "$tmp/vectors" "$tmp/encoded" --format F4
codes "$tmp/encoded" v 1 | awk '{ print $1 % 16; print int($1 / 16) }' | head -n "$n" >"$tmp/got"
same "$tmp/want" "$tmp/got"

# ---- F16 to F32 and back: every code but the NaNs, which become one ----
all=$(for i in {0..65535}; do printf '%02x%02x' $((i & 255)) $((i >> 8)); done)
st "$tmp/all" '{"v":{"dtype":"F16","shape":[256,256],"data_offsets":[0,131072]}}' "$all"
expect 0 "$lowbit" convert "$tmp/all" "$tmp/wide" --format F32
is "$tmp/wide" '^v +F32 +\[256, 256\] +262144 +0 '
expect 0 "$lowbit" convert "$tmp/wide" "$tmp/back" --format F16
got=0
"$lowbit" compare --csv "$tmp/all" "$tmp/back" >"$tmp/out" 2>"$tmp/err" || got=$?
[ $got = 1 ] && grep -q '^v,F16,F16,"*\[256, 256\]"*,"*\[256, 256\]"*,65536,2045,' "$tmp/out" || fail "F16 - F32 - F16: 2045 of 2046 NaNs change" "$tmp/out"
expect 0 "$lowbit" convert "$tmp/back" "$tmp/again" --format F16
same "$tmp/back" "$tmp/again"

# ---- Whole names; the others are copied byte for byte; metadata stays ----
one=0000803f half=0000003f two=00000040 minus=000000c0
st "$tmp/names" '{"__metadata__":{"by":"hand","lowbit":"no format"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"ww":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"w.b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"xyxy":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}' \
    "$one$half$two$minus"
chosen() { # ERE NAME...: those and no others become F16
    local ere=$1 got
    shift
    expect 0 "$lowbit" convert "$tmp/names" "$tmp/some" --format F16 --tensor "$ere" || return 0
    got=$("$lowbit" inspect --csv "$tmp/some" | sed -n 's/^\([^,]*\),F16,.*/\1/p' | sort | paste -sd' ')
    [ "$got" = "$*" ] || fail "--tensor $ere: $got, wanted $*"
    is "$tmp/some" '^metadata +by = hand$'
    for name in w ww w.b xyxy; do
        [[ " $* " == *" $name "* ]] || [ "$(part "$tmp/some" "$name" | od -An -tx1)" = "$(part "$tmp/names" "$name" | od -An -tx1)" ] ||
            fail "--tensor $ere: $name was not copied"
    done
}
chosen w w
chosen 'w*' w ww
chosen 'w|ww' w ww
chosen '.*' w w.b ww xyxy
chosen 'w\.b' w.b
chosen 'x|xyx|xyxy' xyxy
chosen '(xy)\1' xyxy # a group of one's own counts from 1
chosen '^w$' w
for ere in 'W' 'yx' 'w.' 'a)|(b'; do
    got=0
    [ "$ere" = 'w.' ] || "$lowbit" convert "$tmp/names" "$tmp/none" --format F16 --tensor "$ere" >"$tmp/out" 2>"$tmp/err" || got=$?
    [ "$ere" = 'w.' ] || { [ $got = 2 ] && [ ! -e "$tmp/none" ]; } || fail "--tensor $ere: exit status $got" "$tmp/err"
done
chosen 'w.' ww
for file in metadata odd_names; do
    expect 0 "$lowbit" convert $data/safetensors/$file.safetensors "$tmp/kept" --format F64 --tensor '.*'
    "$lowbit" inspect $data/safetensors/$file.safetensors | grep '^metadata' >"$tmp/want" || true
    "$lowbit" inspect "$tmp/kept" | grep '^metadata' >"$tmp/got" || true
    same "$tmp/want" "$tmp/got"
done

# ---- Scales: the codes, the scale beside them, and back ----
st "$tmp/w" '{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"v":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}' "$one$minus$half$two$half"
expect 0 "$lowbit" convert "$tmp/w" "$tmp/int8" --format INT8 --tensor w
is "$tmp/int8" '^w +I8 +\[2, 2\] +4 '
is "$tmp/int8" '^w.scale +F32 +\[\] +4 '
is "$tmp/int8" '^metadata +lowbit:w = \{.*absmax'
[ "$(codes "$tmp/int8" w 1 | paste -sd' ')" = "64 129 32 127" ] || fail "INT8 of 1 -2 0.5 2: 64 -127 32 127 are wanted, found $(codes "$tmp/int8" w 1 | paste -sd' ')"
[ "$(codes "$tmp/int8" w.scale 4)" = $((0x3c810204)) ] || fail "the scale: 2/127 = 0x3c810204 is wanted" # to the nearest binary32
expect 0 "$lowbit" convert "$tmp/int8" "$tmp/plain" --format F32
is "$tmp/plain" '^w +F32 +\[2, 2\] +16 '
if grep -q '\.scale\|^metadata' <("$lowbit" inspect "$tmp/plain"); then fail "undone, and still a scale or a format" "$tmp/plain"; fi
[ "$(codes "$tmp/plain" w 4 | paste -sd' ')" = "$((0x3f810204)) $((0xc0000000)) $((0x3f010204)) $((0x40000000))" ] || fail "the values of INT8: q * s"
expect 0 "$lowbit" convert "$tmp/plain" "$tmp/again" --format INT8 --tensor w
same "$tmp/int8" "$tmp/again"
expect 0 "$lowbit" convert "$tmp/int8" "$tmp/carried" --format F16 --tensor v # w goes along with its scale and its format
is "$tmp/carried" '^metadata +lowbit:w = '
[ "$(part "$tmp/carried" w.scale | od -An -tx1)" = "$(part "$tmp/int8" w.scale | od -An -tx1)" ] || fail "the scale of a tensor that is copied"
expect 0 "$lowbit" convert "$tmp/int8" "$tmp/other" --format F4_X8 --tensor w # from one format to another
is "$tmp/other" '^w +F4 +\[2, 2\] +2 '
[ "$(codes "$tmp/other" w 1 | paste -sd' ')" = "247 118" ] || fail "F4 times 8 of 1 -2 0.5 2: 6 -6 4 6 are wanted"
expect 2 "$lowbit" convert "$tmp/int8" "$tmp/none" --format F16 --tensor 'w\.scale' # which belongs to w

expect 0 "$lowbit" convert "$tmp/w" "$tmp/json" --format '{"codec":"I8","scale":{"multiply":100},"rounding":"toward_zero"}'
[ "$(codes "$tmp/json" w 1 | paste -sd' ')" = "100 128 50 127" ] || fail "times 100: 100 -128 50 127 are wanted"
expect 0 "$lowbit" convert "$tmp/w" "$tmp/json" --format '{"codec":"U8","scale":{"multiply":100,"add":1}}'
[ "$(codes "$tmp/json" w 1 | paste -sd' ')" = "200 0 150 255" ] || fail "(w + 1) times 100: 200 0 150 255 are wanted"
expect 0 "$lowbit" convert "$tmp/w" "$tmp/json" --format '{"codec":{"name":"LOOM_F4","encoder":"b"}}'
is "$tmp/json" '^w +U8 +\[2\] +2 '
expect 0 "$lowbit" convert "$tmp/json" "$tmp/plain" --format F32
is "$tmp/plain" '^w +F32 +\[2, 2\] +16 '

# A scale may not take the place of a tensor that is there.
st "$tmp/taken" '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w.scale":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' "$one$half"
expect 2 "$lowbit" convert "$tmp/taken" "$tmp/none" --format INT8 --tensor w
grep -q 'w.scale' "$tmp/err" && [ ! -e "$tmp/none" ] || fail "the name w.scale is taken" "$tmp/err"

# ---- Odd sizes: what does not fill whole bytes is stored as U8, and comes back ----
shapes='[]:1 [2,0,5]:0 [1,3,1]:3 [17]:17' types='F64 I16'
[ -n "${LOWBIT_QUICK:-}" ] || shapes='[]:1 [0]:0 [1]:1 [2]:2 [3]:3 [3,1]:3 [1,3,1]:3 [2,0,5]:0 [17]:17' types='F64 F16 BF16 I16 I32 I64'
set -f # a shape is no pattern of file names
for shape in $shapes; do
    n=${shape#*:} shape=${shape%:*}
    st "$tmp/odd" "{\"x\":{\"dtype\":\"F32\",\"shape\":$shape,\"data_offsets\":[0,$((4 * n))]}}" "$(for ((i = 0; i < n; i++)); do printf %s $half; done)"
    for format in F4 INT8 F4_X8 '{"codec":"LOOM_F4"}' SKELETON MXFP4 NVFP4 NF4_DOUBLE UINT4_ASYM_G32 MXFP6_E2M3 Q4_0; do
        expect 0 "$lowbit" convert "$tmp/odd" "$tmp/small" --format "$format" || continue
        expect 0 "$lowbit" convert "$tmp/small" "$tmp/back" --format F32 || continue
        is "$tmp/back" "^x +F32 +$(sed 's/,/, /g; s/[][]/\\&/g' <<<"$shape") +$((4 * n)) "
        case $format in
        F4 | F4_X8) "$lowbit" compare "$tmp/odd" "$tmp/back" >"$tmp/out" 2>&1 || fail "0.5 of shape $shape is another number after $format" "$tmp/out" ;;
        esac
    done
done

set +f
# ---- Scaled and block formats: the same codes from every dtype that holds the numbers, and what they are worth ----
ints=$(for ((i = 0; i < 210; i++)); do printf %02x $(((i * 7 + i / 11) % 17 - 8 & 255)); done) # -8 to 8, (3, 70)
st "$tmp/ints" '{"w":{"dtype":"I8","shape":[3,70],"data_offsets":[0,210]}}' "$ints"
for type in F32 F64 F16 BF16 I16 I32 I64; do expect 0 "$lowbit" convert "$tmp/ints" "$tmp/as_$type" --format $type; done
for format in INT8_CHANNEL INT4_G32 UINT8_ASYM UINT4_ASYM_G32 MXFP4 MXFP6_E3M2 MXFP8_E4M3 MXINT8 NVFP4 NF4_DOUBLE INT2_G32 Q4_0 Q8_0 Q6_K; do
    expect 0 "$lowbit" convert "$tmp/as_F32" "$tmp/want" --format $format || continue
    for type in $types; do
        expect 0 "$lowbit" convert "$tmp/as_$type" "$tmp/got" --format $format && same "$tmp/want" "$tmp/got"
    done
    expect 0 "$lowbit" convert "$tmp/want" "$tmp/plain" --format F32
    [ "$("$lowbit" inspect --csv "$tmp/plain" | tail -n +2)" = 'w,F32,"[3, 70]",840,0,,,32,' ] || fail "$format, undone: one tensor without a format" "$tmp/plain"
    got=0
    "$lowbit" compare "$tmp/want" "$tmp/plain" >"$tmp/out" 2>&1 || got=$?
    [ $got = 1 ] && grep -Eq '^w +[A-Z0-9_]+\+ / F32 +\[3, 70\] +210 +0 +0 +0 ' "$tmp/out" || fail "$format: worth something else than its F32" "$tmp/out"
    expect 0 "$lowbit" compare "$tmp/want" "$tmp/want"
done
is "$tmp/want" '^w +U8 +\[630\] +630 +[0-9]+ +Q6_K +none +24 +-$' # 3 rows of 70 in units of 256
expect 0 "$lowbit" convert "$tmp/as_F32" "$tmp/mx" --format MXFP4
is "$tmp/mx" '^w +U8 +\[144\] +144 +[0-9]+ +F4 +floor/block 32 in F8_E8M0 +5.82857 +-$' # rows of 96, and 9 scales: 153 bytes for 210
is "$tmp/mx" '^w.scale +F8_E8M0 +\[3, 3\] +9 +[0-9]+ +- +- +- +w$'
expect 0 "$lowbit" convert "$tmp/as_F32" "$tmp/int8" --format INT8_CHANNEL
got=0
"$lowbit" compare "$tmp/mx" "$tmp/int8" >"$tmp/out" 2>&1 || got=$?
[ $got = 1 ] && grep -Eq '^w +U8\+ / I8\+ +\[3, 70\] +210 +[1-9]' "$tmp/out" || fail "two formats of one tensor" "$tmp/out"

# What belongs to a tensor goes with it, and a tensor that is only called so does not.
st "$tmp/two" '{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}' "$one$two$half$minus"
expect 0 "$lowbit" convert "$tmp/two" "$tmp/double" --format NF4_DOUBLE --tensor w
expect 0 "$lowbit" convert "$tmp/double" "$tmp/both" --format UINT8_ASYM --tensor v
for part in w w.scale w.scale2 w.scale_offset; do
    [ "$(part "$tmp/double" $part | od -An -tx1)" = "$(part "$tmp/both" $part | od -An -tx1)" ] || fail "$part was not carried along"
done
is "$tmp/both" '^v.zero_point +U8 +\[1\] +1 .* v$'
is "$tmp/both" '^w.scale_offset +F32 +\[\] +4 .* w$'
expect 0 "$lowbit" convert "$tmp/both" "$tmp/plain" --format F32
[ "$("$lowbit" inspect --csv "$tmp/plain" | tail -n +2 | cut -d, -f1 | paste -sd' ')" = "v w" ] || fail "undone, and parts are left" "$tmp/plain"
st "$tmp/named" '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w.scale2":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}' "$one$two$half$minus"
expect 0 "$lowbit" convert "$tmp/named" "$tmp/int8" --format INT8 --tensor w
expect 0 "$lowbit" convert "$tmp/int8" "$tmp/plain" --format F32
is "$tmp/plain" '^w.scale2 +F32 +\[2\] +8 '
expect 2 "$lowbit" show Q4_0 --csv
grep -q 'Q4_0 is a block codec' "$tmp/err" || fail "show of a block codec" "$tmp/err"

# ---- In place; random bits by the seed ----
cp "$tmp/w" "$tmp/place"
expect 0 "$lowbit" convert "$tmp/place" "$tmp/place" --format F16
expect 0 "$lowbit" convert "$tmp/w" "$tmp/kept" --format F16
same "$tmp/kept" "$tmp/place"
stochastic='{"codec":"F4","rounding":"stochastic"}'
st "$tmp/many" '{"x":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}}' "$(for _ in {1..64}; do printf 3333933e; done)"
for seed in 1 2; do expect 0 "$lowbit" convert "$tmp/many" "$tmp/seed$seed" --format "$stochastic" --seed $seed; done
expect 0 "$lowbit" convert "$tmp/many" "$tmp/seed1again" --format "$stochastic" --seed 1
same "$tmp/seed1" "$tmp/seed1again"
if cmp -s "$tmp/seed1" "$tmp/seed2"; then fail "the seed is without effect"; fi
left=$(find "$tmp" -name '*.tmp')
[ -z "$left" ] || fail "temporary files are left: $left"
finish
