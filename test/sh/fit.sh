#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit run with fitted formats: all modes run, the same bits on every backend, fitting wins what it should, and what decides its result is in the hash.
set -euo pipefail
. test/sh/util.bash

cp configs/formats.json "$tmp/formats.json"
cat >"$tmp/tiny.json" <<'END'
{
  "data": { "source": "digits", "train": 600, "test": 200 },
  "model": { "layers": [
    { "type": "conv2d", "filters": 4, "kernel": 5, "stride": 3, "activation": "relu" },
    { "type": "flatten" },
    { "type": "dense", "units": 32, "activation": "relu" },
    { "type": "dense", "units": 10, "activation": "softmax" } ] },
  "train": { "backend": "cpu", "epochs": 3, "batch": 10 },
  "formats": [ "F32", "INT2_G32", "INT2_G32_GPTQ", "INT4_CHANNEL",
    { "name": "INT4_AWQ", "codec": "I4", "scale": { "per": "channel" }, "fit": { "method": "awq", "grid": 5 } },
    { "name": "INT8_SMOOTH", "codec": "I8", "scale": { "per": "channel" }, "fit": { "method": "smooth", "bias_correction": true } },
    { "name": "MIXED", "codec": "F32", "layers": [ { "match": "2", "format": "INT2_G32_GPTQ" }, { "match": "3[.]weight", "format": "INT3_G32_AWQ" } ] } ],
  "modes": ["w"],
  "calibration": { "samples": 300 },
  "backends": ["cpu_ref", "cpu"]
}
END
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/a" --quiet --jobs 2 || finish
[ "$(rows ok "$tmp/a")" = 14 ] || fail "14 rows ok are wanted" "$tmp/a/table.csv"

# ---- The same bits on both backends, and on their outputs ----
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { sha[$1] = sha[$1] " " $at["weights_sha256"]; kl[$1] = $at["kl"] }
    $at["backend"] == "cpu" && $at["diff_elements"] != 0 { print $1 ": other outputs on cpu" }
    END {
        for (f in sha) { split(sha[f], s, " "); if (s[1] != s[2]) print f ": other weights on cpu" }
        if (!(kl["INT2_G32_GPTQ"] < 0.5 * kl["INT2_G32"])) print "gptq: KL " kl["INT2_G32_GPTQ"] ", of the nearest values " kl["INT2_G32"]
        if (kl["INT4_AWQ"] == kl["INT4_CHANNEL"]) print "awq changes nothing"
        if (!(kl["INT8_SMOOTH"] < 0.001)) print "smooth: KL " kl["INT8_SMOOTH"]
    }' "$tmp/a/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "fitted rows" "$tmp/wrong" "$tmp/a/table.csv"
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/t" --quiet --threads 3 --backend cpu || finish
for out in a t; do awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["backend"] == "cpu" { print $1, $at["weights_sha256"] }' "$tmp/$out/table.csv" >"$tmp/$out.sha"; done
same "$tmp/a.sha" "$tmp/t.sha"
for text in gptq 'awq 0' smooth corrected 'awq, no factors'; do
    grep -q "\"fit\":\"$text" "$tmp/a/trials.jsonl" || fail "\"layers\" of no row says \"$text\""
done

# ---- What decides is in the hash: samples of fitted formats alone ----
"$lowbit" plan "$tmp/tiny.json" >"$tmp/plan.a" 2>"$tmp/err"
"$lowbit" plan "$tmp/tiny.json" --set calibration.samples=100 >"$tmp/plan.b" 2>"$tmp/err"
changed=$(diff "$tmp/plan.a" "$tmp/plan.b" | grep -c '^>' || true)
[ "$changed" = 8 ] || fail "$changed trials change with calibration.samples, expected 8: four fitted formats on two backends" "$tmp/plan.a" "$tmp/plan.b"

# ---- Other modes ----
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/b" --quiet --set 'modes=["wa","w8a8","integer"]' --set 'formats=["INT8_CHANNEL",{"name":"INT8_SMOOTH","codec":"I8","scale":{"per":"channel"},"fit":{"method":"smooth","bias_correction":true}}]' \
    --set 'activations={"codec":"I8","scale":{"per":"tensor","calibrated":true}}' --set 'backends=["cpu"]' || finish
[ "$(rows ok "$tmp/b")" = 6 ] || fail "6 rows ok are wanted" "$tmp/b/table.csv"
awk -F, 'NR > 1 && $13 < 97 { print $1, $4 ": agreement " $13 }' "$tmp/b/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "modes of 8 bits" "$tmp/wrong" "$tmp/b/table.csv"

# Integer layers take corrected biases too.
expect 0 "$lowbit" run "$tmp/tiny.json" --out "$tmp/d" --quiet --set 'modes=["integer"]' --set 'formats=[{"name":"PLAIN","codec":"I2","scale":{"per":"channel","rule":"mse"}},{"name":"CORRECTED","codec":"I2","scale":{"per":"channel","rule":"mse"},"fit":{"method":"none","bias_correction":true}}]' \
    --set 'backends=["cpu"]' || finish
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { kl[$1] = $at["kl"] }
    END { if (!(kl["CORRECTED"] < 0.9 * kl["PLAIN"])) print "KL " kl["CORRECTED"] ", of uncorrected biases " kl["PLAIN"] }' "$tmp/d/table.csv" >"$tmp/wrong"
[ ! -s "$tmp/wrong" ] || fail "mode integer" "$tmp/wrong" "$tmp/d/table.csv"

# ---- Refused ----
expect 2 "$lowbit" run "$tmp/tiny.json" --out "$tmp/c" --set 'formats=[{"codec":"Q4_0","fit":"gptq"}]'
grep -q 'fit gptq: codec Q4_0 makes whole blocks at once' "$tmp/err" || fail "a block codec is refused otherwise" "$tmp/err"
finish
