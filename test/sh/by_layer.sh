#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Formats by layer, "sensitivity" and "search": what is chosen, what the page says, what a hash holds, and what is refused. Also the order of codes in a byte.
set -euo pipefail
. test/sh/util.bash

cat >"$tmp/tiny.json" <<'END'
{
  "data": { "source": "digits", "train": 200, "test": 40 },
  "model": { "layers": [
    { "type": "conv2d", "filters": 3, "kernel": 5, "stride": 2, "activation": "relu" }, { "type": "flatten" },
    { "type": "dense", "units": 16, "activation": "relu" }, { "type": "dense", "units": 10, "activation": "softmax" } ] },
  "train": { "epochs": 2 },
  "formats": ["INT8_CHANNEL", "INT4_G32", "INT2_G32"],
  "backends": ["cpu_ref"]
}
END
cp configs/formats.json "$tmp/"
run() { expect 0 "$lowbit" run "$tmp/tiny.json" --quiet --out "$@"; }
cell() { # FOLDER FORMAT COLUMN
    awk -F, -v f="$2" -v c="$3" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["format"] == f { print $at[c] }' "$1/table.csv"
}
at_most() { awk "BEGIN { exit !($1 <= $2) }"; }

# ---- Each layer alone ----
run "$tmp/a" --set sensitivity=true
[ "$(grep -c ',ok,' "$tmp/a/table.csv")" = 12 ] || fail "3 formats, and each of 3 layers in each" "$tmp/a/table.csv"
grep -q '^## One layer alone$' "$tmp/a/table.md" || fail "no table of single layers" "$tmp/a/table.md"
[ "$(grep -c '^| model | INT[0-9A-Z_]* | [023] | w |' "$tmp/a/table.md")" = 9 ] || fail "9 rows of single layers" "$tmp/a/table.md"
at_most "$(cell "$tmp/a" INT8_CHANNEL@2 kl)" "$(cell "$tmp/a" INT2_G32@2 kl)" || fail "8 bits are nearer than 2" "$tmp/a/table.csv"
bad_rows=$(grep -c '^| [A-Z0-9_]*@' "$tmp/a/table.md" || true)
[ "$bad_rows" = 0 ] || fail "single layers stand in the main table" "$tmp/a/table.md"

# ---- By layer: the row's bytes are those of the parts ----
run "$tmp/b" --set 'formats=[{"name":"MIX","codec":"F32","layers":[{"match":"2.weight","format":"INT4_G32"},{"match":"3","format":"INT8_CHANNEL"}]},"F32","INT4_G32","INT8_CHANNEL"]'
part() { # FORMAT PARAMETER
    python3 - "$tmp/b/trials.jsonl" "$1" "$2" <<'END'
import json, sys
for line in open(sys.argv[1]):
    t = json.loads(line)
    if t.get("kind") == "trial" and t["format"] == sys.argv[2]:
        print(next(l["bytes"] for l in t["row"]["layers"] if l["name"] == sys.argv[3]))
END
}
sum=$(($(part F32 0.weight) + $(part F32 0.bias) + $(part INT4_G32 2.weight) + $(part F32 2.bias) + $(part INT8_CHANNEL 3.weight) + $(part INT8_CHANNEL 3.bias)))
[ "$(cell "$tmp/b" MIX weight_bytes)" = "$sum" ] || fail "MIX has $(cell "$tmp/b" MIX weight_bytes) bytes, its parts $sum" "$tmp/b/table.csv"
expect 2 "$lowbit" run "$tmp/tiny.json" --quiet --out "$tmp/x" --set 'formats=[{"codec":"F32","layers":[{"match":"7","format":"I8"}]}]'
grep -q 'no parameter of a model matches "7"' "$tmp/err" || fail "an expression that matches nothing" "$tmp/err"
expect 2 "$lowbit" run "$tmp/tiny.json" --quiet --out "$tmp/x" --set 'formats=[{"codec":"F32","layers":[{"match":"(","format":"I8"}]}]'
grep -q 'layers: match "(": ' "$tmp/err" || fail "an expression that is none" "$tmp/err"

# ---- Search ----
run "$tmp/c" --set search.bits=4.7
at_most "$(cell "$tmp/c" SEARCH_4.7 bits_per_weight)" 4.7 || fail "above the budget" "$tmp/c/table.csv"
at_most "$(cell "$tmp/c" SEARCH_4.7 kl)" "$(cell "$tmp/c" INT2_G32 kl)" || fail "worse than the worst format" "$tmp/c/table.csv"
grep -q '^1\. layer [023]: INT' "$tmp/c/table.md" || fail "the page does not say what was changed" "$tmp/c/table.md"
run "$tmp/d" --set search.bits=64
grep -q '^(it was met at once)$' "$tmp/d/table.md" || fail "64 bits are met at once" "$tmp/d/table.md"
[ "$(cell "$tmp/d" SEARCH_64 sqnr_db)" = "$(cell "$tmp/d" INT8_CHANNEL sqnr_db)" ] || fail "without a budget the best format is taken everywhere" "$tmp/d/table.csv"
expect 2 "$lowbit" run "$tmp/tiny.json" --quiet --out "$tmp/e" --set search.bits=1
grep -q 'tiny.json: search.bits: 1 are too few: the smallest choice of these formats takes 2.6' "$tmp/err" && [ ! -e "$tmp/e" ] || fail "a budget that cannot be met" "$tmp/err"
run "$tmp/f" --set search.bits=4.7 --set calibration.samples=16
[ "$(cell "$tmp/c" SEARCH_4.7 trial)" != "$(cell "$tmp/f" SEARCH_4.7 trial)" ] || fail "the samples of a search are not in its hash"
[ "$(cell "$tmp/c" INT4_G32 trial)" = "$(cell "$tmp/f" INT4_G32 trial)" ] || fail "the samples of a search are in other hashes"
expect 2 "$lowbit" run "$tmp/tiny.json" --quiet --out "$tmp/x" --set search.bits=4 --set 'formats=[{"name":"M","codec":"F32","layers":[{"match":"0","format":"INT8"}]}]'
grep -q 'no format to choose from' "$tmp/err" || fail "a search among nothing" "$tmp/err"
expect 2 "$lowbit" run "$tmp/tiny.json" --quiet --out "$tmp/x" --set 'formats=["F8_E4M3"]' --set 'modes=["w8a8"]'
grep -q 'nothing to run' "$tmp/err" || fail "no trial at all" "$tmp/err"

# ---- High nibble first: other bytes, the same network ----
run "$tmp/g" --set 'formats=["NF4","NF4_HIGH_FIRST",{"name":"I2H","codec":"I2","order":"high_first","scale":{"per":"channel"}},{"name":"I2L","codec":"I2","scale":{"per":"channel"}}]'
for pair in "NF4 NF4_HIGH_FIRST" "I2L I2H"; do
    read -r low high <<<"$pair"
    [ "$(cell "$tmp/g" "$low" kl)" = "$(cell "$tmp/g" "$high" kl)" ] || fail "$high is not worth $low" "$tmp/g/table.csv"
    [ "$(cell "$tmp/g" "$low" weights_sha256)" != "$(cell "$tmp/g" "$high" weights_sha256)" ] || fail "$high is stored as $low" "$tmp/g/table.csv"
done
finish
