#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# Mode integer from a config to the tables: near binary32, by layer, with every calibrator, the same on threads; comparison.md; the limits; what is refused.
. test/sh/util.bash

cp configs/formats.json "$tmp/"
config() { # FORMATS MODES MORE
    cat >"$tmp/c.json" <<E
{ "data": { "source": "digits", "train": 1500, "test": 200, "seed": 1 },
  "model": { "name": "cnn", "layers": [
      { "type": "conv2d", "filters": 8, "kernel": 3, "stride": 2, "activation": "relu" },
      { "type": "conv2d", "filters": 16, "kernel": 3, "stride": 2, "activation": "relu" }, { "type": "flatten" },
      { "type": "dense", "units": 32, "activation": "tanh" }, { "type": "dense", "units": 10, "activation": "softmax", "init": "xavier_normal" } ] },
  "train": { "backend": "cpu", "epochs": 4, "batch": 32, "lr": 0.05, "momentum": 0.9 },
  "formats": [ $1 ], "modes": [ $2 ], "backends": [ "cpu" ], "infer": { "batch": 64 } $3 }
E
}
codes() { # RULE MORE: INT8_CHANNEL with activations of 8 bits by that rule
    echo "{ \"name\": \"$1\", \"codec\": \"I8\", \"scale\": { \"per\": \"channel\" }, \"activations\": { \"codec\": \"U8\", \"scale\": { \"per\": \"tensor\", \"rule\": \"$1\", \"calibrated\": true$2 } } }"
}
zero=', "zero_point": true'
column() { # FORMAT MODE COLUMN [TABLE]
    awk -F, -v f="$1" -v m="$2" -v c="$3" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $1 == f && $4 == m { print $at[c] }' "${4:-$tmp/all/table.csv}"
}
below() { # VALUE MOST WHAT
    awk -v v="$1" -v m="$2" 'BEGIN { exit !(v != "" && v < m) }' || fail "$3: $1, wanted less than $2"
}

# Eight bits are near binary32, by every calibrator; four bits less so. The table has a row for each, and each layer is looked at.
config "\"F32\", \"INT8_CHANNEL\", \"INT4_CHANNEL\", \"F4_CHANNEL\", $(codes asymmetric), $(codes percentile ", \"percentile\": 99.9$zero"), $(codes mse "$zero"),
    $(codes kl "$zero"), $(codes moving_average "$zero"), { \"name\": \"mixed\", \"codec\": \"I8\", \"scale\": { \"per\": \"channel\" }, \"layers\": [ { \"match\": \"1\", \"format\": \"F16\" } ] }" \
    '"w", "integer"' ', "report": { "layers": true }'
if expect 0 "$lowbit" run "$tmp/c.json" --out "$tmp/all" --threads 1; then
    for f in INT8_CHANNEL asymmetric percentile mse moving_average mixed; do below "$(column $f integer kl)" 0.002 "$f: KL"; done
    # Blank paper gives a convolution the same output everywhere, a peak that KL would keep at any price: it cuts far too much here.
    for f in INT4_CHANNEL F4_CHANNEL kl; do below "$(column $f integer kl)" 0.1 "$f: KL"; done
    [ -z "$(column F32 integer kl)" ] || fail "F32 has a row of mode integer"
    [ "$(column asymmetric integer weights_sha256)" = "$(column INT8_CHANNEL integer weights_sha256)" ] || fail "asymmetric is not what is taken where nothing is said"
    for want in "cnn, kl, mode integer, on cpu" "| 0 | conv2d + relu | integers |" "| 1 | conv2d + relu | F32 |" "| 4 | activation + softmax | F32 |"; do
        grep -qF "$want" "$tmp/all/comparison.md" || fail "comparison.md lacks: $want"
    done
fi
expect 0 "$lowbit" run "$tmp/c.json" --out "$tmp/three" --threads 3 && same "$tmp/all/table.csv" "$tmp/three/table.csv"

# Limits: the batch that fits, the batch that is allowed, the machine that is meant; none fits: an error.
config '"INT8_CHANNEL"' '"integer"' ', "limits": { "memory_bytes": 60000, "compute_factor": 0.25 }'
if expect 0 "$lowbit" run "$tmp/c.json" --out "$tmp/limits"; then
    read -r batch formula latency limited <<<"$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        { print $at["batch"], $at["formula_bytes"], $at["latency_s"], $at["limited_latency_s"] }' "$tmp/limits/measured.csv")"
    weights=$(column INT8_CHANNEL integer weight_bytes "$tmp/limits/table.csv")
    sample=$((28 * 28 + 8 * 13 * 13 + 16 * 6 * 6 + 32 + 10)) # a byte for the input and each layer's outputs
    [ "$batch" = $(((60000 - weights) / sample)) ] || fail "batch $batch, wanted (60000 - $weights) / $sample"
    [ "$formula" = $((weights + batch * sample)) ] || fail "formula_bytes $formula, wanted $weights + $batch x $sample"
    awk -v a="$latency" -v b="$limited" 'BEGIN { d = b / a / 4; exit !(d > 0.999 && d < 1.001) }' || fail "limited_latency_s $limited, wanted 4 x $latency"
fi
config '"INT8_CHANNEL"' '"integer"' ', "limits": { "batch": 5 }'
expect 0 "$lowbit" run "$tmp/c.json" --out "$tmp/limits5"
[ "$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at["batch"] }' "$tmp/limits5/measured.csv")" = 5 ] || fail "limits.batch is not kept"
config '"INT8_CHANNEL"' '"integer"' ', "limits": { "memory_bytes": 20000 }'
expect 1 "$lowbit" run "$tmp/c.json" --out "$tmp/none"
grep -q 'limits.memory_bytes: 20000 hold no batch: the weights are' "$tmp/none/measured.csv" || fail "no word of the limit" "$tmp/none/measured.csv"

# What is refused, before anything runs.
refused() { # FORMATS MODES WORDS
    config "$1" "$2" ""
    expect 2 "$lowbit" run "$tmp/c.json" --out "$tmp/refused"
    grep -qF "$3" "$tmp/err" || fail "no word of: $3" "$tmp/err"
}
refused '{ "codec": "I8", "scale": { "per": "channel" }, "activations": { "codec": "F8_E4M3", "scale": { "per": "tensor" } } }' '"integer"' "mode integer wants an integer codec of up to 8 bits"
refused '{ "codec": "I8", "scale": { "per": "channel" }, "activations": { "codec": "U8", "scale": { "per": "row", "rule": "asymmetric" } } }' '"integer"' "mode integer wants one scale in F32"
refused '{ "codec": "I8", "scale": { "per": "channel" }, "activations": { "codec": "U8", "scale": { "per": "tensor", "rule": "kl" } } }' '"integer"' 'scale kl: expected "calibrated": true beside it'
refused '{ "codec": "I8", "scale": { "per": "tensor", "rule": "mse", "zero_point": true } }' '"w"' 'scale mse with a zero point: expected "calibrated": true beside it'
finish
