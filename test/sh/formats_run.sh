#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit run with scaled and block formats in every mode: all rows ok, bits a weight as the shapes say, plausible errors, the same bytes again.
set -euo pipefail
. test/sh/util.bash

# Tensors (rows, columns): 4 filters of 5 x 5, their biases, 10 x 256 weights and their biases.
shapes='4 25;1 4;10 256;1 10'
cat >"$tmp/formats.json.in" <<'END'
INT8_CHANNEL INT8_G32 INT4_G32 MXFP4 MXFP6_E2M3 MXFP8_E4M3 MXINT8 NVFP4 NF4 NF4_DOUBLE UINT8_ASYM FP8_E4M3 Q4_0
END
cat >"$tmp/tiny.json" <<END
{
  "data": { "source": "digits", "train": 200, "test": 30 },
  "model": { "layers": [
    { "type": "conv2d", "filters": 4, "kernel": 5, "stride": 3, "activation": "relu" },
    { "type": "flatten" },
    { "type": "dense", "units": 10, "activation": "softmax" } ] },
  "train": { "epochs": 1, "batch": 10 },
  "formats": [ $(sed 's/[A-Z0-9_]\+/"&"/g; s/ /, /g' "$tmp/formats.json.in") ],
  "modes": ["w", "wa", "w8a8", "w4a8"],
  "backends": ["cpu_ref"]
}
END
cp configs/formats.json "$tmp/formats.json"
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/a" --quiet || finish
if grep -q 'scales are beyond' "$tmp/err"; then fail "no scale of these formats is lost" "$tmp/err"; fi
if [ -z "${LOWBIT_QUICK:-}" ]; then
    expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/b" --quiet --jobs 2
    for f in table.csv table.md; do same "$tmp/a/$f" "$tmp/b/$f"; done
fi

# ---- Which modes a format has ----
of_mode() { awk -F, -v m="$1" '$4 == m { print $1 }' "$tmp/a/table.csv" | sort | paste -sd' '; }
wanted() { tr ' ' '\n' | sort | paste -sd' '; }
[ "$(of_mode w)" = "$(wanted <"$tmp/formats.json.in")" ] || fail "mode w: $(of_mode w)" "$tmp/err"
[ "$(of_mode wa)" = "$(wanted <"$tmp/formats.json.in")" ] || fail "mode wa: $(of_mode wa)"
[ "$(of_mode w8a8)" = "INT8_CHANNEL INT8_G32 MXFP6_E2M3 MXINT8 UINT8_ASYM" ] || fail "mode w8a8: $(of_mode w8a8)"
[ "$(of_mode w4a8)" = "INT4_G32 MXFP4 NVFP4" ] || fail "mode w4a8: $(of_mode w4a8)"
n=$(($(wc -l <"$tmp/a/table.csv") - 1))
[ "$(rows ok "$tmp/a")" = $n ] && [ $n = 34 ] || fail "$n rows, $(rows ok "$tmp/a") of them ok; 34 are wanted" "$tmp/a/table.csv"

# ---- Bytes, from the shapes ----
bytes() { # BITS BLOCK SCALE_BITS BYTES_A_TENSOR BYTES_A_SCALE_BLOCK_OF_256 PADDED ; BLOCK 0: a row, -1: the tensor
    awk -v RS=';' -v b="$1" -v n="$2" -v sb="$3" -v more="$4" -v by256="$5" -v whole="${6:-0}" '
        function up(x, y) { return int((x + y - 1) / y) }
        {
            block = n <= 0 || (n > $2 && !whole) ? $2 : n
            blocks = up($2, block)
            scales = n < 0 ? 1 : $1 * blocks
            sum += up($1 * blocks * block * b, 8) + up(scales * sb, 8) + more + by256 * up(scales, 256)
        }
        END { print sum }' <<<"$shapes"
}
check() { # FORMAT, and what bytes takes
    local format=$1 want
    shift
    want=$(bytes "$@")
    awk -F, -v f="$format" -v bytes="$want" '
        $1 == f { rows++; if ($18 != bytes || $16 != sprintf("%.4f", 8 * bytes / 2674)) print f, $4 ": " $18 " bytes, " $16 " bits; wanted " bytes }
        END { if (!rows) print f ": no row" }' "$tmp/a/table.csv" >"$tmp/wrong"
    [ ! -s "$tmp/wrong" ] || fail "$(cat "$tmp/wrong")"
}
check INT8_CHANNEL 8 0 32 0 0
check INT8_G32 8 32 16 0 0
check INT4_G32 4 32 16 0 0
check MXFP4 4 32 8 0 0
check MXFP6_E2M3 6 32 8 0 0
check MXFP8_E4M3 8 32 8 0 0
check MXINT8 8 32 8 0 0
check NVFP4 4 16 8 4 0
check NF4 4 64 32 0 0
check NF4_DOUBLE 4 64 8 4 4
check UINT8_ASYM 8 0 40 0 0
check FP8_E4M3 8 -1 32 0 0
check Q4_0 4 32 16 0 0 1

# ---- Errors of the weights, and packed all the way, but for activations that the host encodes ----
awk -F, 'NR > 1 {
    low = $1 ~ /INT8|MXFP8|FP8|MXFP6/ ? ($1 ~ /INT8/ ? 35 : 26) : 14
    high = $1 ~ /INT8|MXFP8|FP8|MXFP6/ ? 55 : 30
    packed = $4 == "wa" && $1 ~ /NF4_DOUBLE|UINT8_ASYM|Q4_0/ ? "no" : "yes"
    if ($15 < low || $15 > high || $19 != packed || $8 == "") print $1, $4 ": sqnr_db " $15 ", packed " $19 ", quality " $8
}' "$tmp/a/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "sqnr_db, packed or quality is not plausible: $(cat "$tmp/wrong")"
awk -F, 'NR > 1 { seen[$1]++; if ($1 in sqnr && sqnr[$1] != $15) print $1; sqnr[$1] = $15 }' "$tmp/a/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "the weights of a format depend on the mode: $(cat "$tmp/wrong")"

# ---- Activations of their own, calibrated; what cannot be is refused by name ----
calibrated='{"codec":"I8","scale":{"per":"tensor","rule":"percentile","percentile":99.9,"calibrated":true}}'
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/c" --quiet --set 'formats=["NF4_DOUBLE","Q4_0"]' --set 'modes=["wa"]' --set "activations=$calibrated" \
    --set calibration.samples=20
[ "$(rows ok "$tmp/c")" = 2 ] || fail "calibrated activations" "$tmp/c/table.csv" "$tmp/err"
expect 2 "$lowbit" run "$tmp/tiny.json" --out "$tmp/d" --quiet --set 'formats=["INT8"]' --set 'modes=["wa"]' \
    --set 'activations={"codec":"F4","layers":[{"match":"1","format":"INT8"}]}'
grep -q 'tiny.json: .*"layers" is not for activations' "$tmp/err" || fail "the reason" "$tmp/err"

# ---- What no device encodes the host does: any format on both operands, and the same bits on every backend ----
zero='{"name":"ZERO","codec":"U8","scale":{"per":"tensor","rule":"asymmetric","calibrated":true}}'
any="\"MXFP4\",\"Q4_K\",\"UINT8_ASYM\",$zero" on='"cpu_ref","cpu"' want=8
if [ -z "${LOWBIT_QUICK:-}" ]; then
    any="$any,\"F32\",\"Q8_0\",\"TQ2_0\",\"INT4_G32_MSE\",\"NF4_DOUBLE\",\"I16_X1000\",\"I32_X1E6\"" on="$on,\"vulkan\"" want=33
fi
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/e" --quiet --set 'modes=["wa"]' --set calibration.samples=20 --set "backends=[$on]" --set "formats=[$any]"
[ "$(rows ok "$tmp/e")" = $want ] || fail "any format for activations" "$tmp/e/table.csv" "$tmp/err"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { want = $at["format"] ~ /^(F32|MXFP4)$/ ? "yes" : "no" }
    $at["packed"] != want || ($at["backend"] != "cpu_ref" && $at["diff_elements"] != "0")' "$tmp/e/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "packed or bits: $(cat "$tmp/wrong")"
lost='{"codec":"F4","scale":{"per":"block","block":16,"format":{"codec":"F8_E4M3","scale":{"per":"tensor","rule":"fixed","value":1000}}}}'
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/f" --quiet --set "formats=[$lost]" --set 'modes=["w"]'
grep -q 'scales are beyond codec F8_E4M3: they became 0' "$tmp/err" || fail "scales that are lost" "$tmp/err"
refused() { # FORMAT TEXT
    expect 2 "$lowbit" run "$tmp/tiny.json" --out "$tmp/d" --quiet --set "formats=[$1]" || return 0
    grep -q "tiny.json: .*$2" "$tmp/err" && [ ! -e "$tmp/d/table.csv" ] || fail "$1: $2 is wanted" "$tmp/err"
}
refused '{"codec":"F4","scale":{"per":"row","rule":"asymmetric"}}' 'codec F4 is no integer'
refused '{"codec":"F32","scale":{"per":"row","rule":"mse"}}' 'mse has no meaning for codec F32'
refused '{"codec":"Q4_0","scale":{"per":"row"}}' 'stores its scales in its blocks'
refused '{"codec":"I8","scale":{"per":"row","format":"Q8_0"}}' 'scale.format: codec Q8_0'
refused '{"codec":"I8","scale":{"per":"block","block":8,"offset":"mean"}}' "offset is for a scale's own format"
refused '{"codec":"F4","scale":{"per":"row","format":{"codec":"F8_E8M0","scale":{"per":"tensor"}}}}' 'beyond F32'
finish
