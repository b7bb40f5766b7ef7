#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# Training that knows a format: the same weights on every exact backend, instruction set and number of threads; epochs before from_epoch are the plain ones;
# trainings are shared where they know the same; hashes of plain ones do not change; what cannot be trained is an error of the config.
set -euo pipefail
. test/sh/util.bash

experiment() { # FORMATS, then what replaces other parts: writes $tmp/qat.json
    cat >"$tmp/qat.json" <<EOF
{
  "data": { "source": "digits", "train": 100, "test": 30, "seed": 1 },
  "model": { "name": "small", "layers": [
    { "type": "conv2d", "filters": 4, "kernel": 3, "stride": 3, "activation": "relu" },
    { "type": "flatten" },
    { "type": "dense", "units": 19, "activation": "tanh" },
    { "type": "dense", "units": 10, "activation": "softmax" } ] },
  "train": { "epochs": 3, "batch": 32, "lr": 0.05, "momentum": 0.9, "weight_decay": 0.001, "lr_decay": 0.5 },
  "formats": [ $1 ],
  "modes": ["w", "wa"],
  "activations": { "codec": "F8_E4M3", "scale": { "per": "tensor", "rule": "mse", "calibrated": true } },
  "calibration": { "samples": 40 },
  "backends": ${2:-$reference}
}
EOF
}
reference='["cpu_ref"]'
channel='"scale": { "per": "channel" }'
mse='"scale": { "per": "channel", "rule": "mse" }'
formats="
    { \"name\": \"dynamic\", \"codec\": \"I4\", $channel, \"qat\": { \"from_epoch\": 1 } },
    { \"name\": \"clipped\", \"codec\": \"F4\", \"scale\": { \"multiply\": 8 }, \"activations\": \"I8\", \"qat\": {} },
    { \"name\": \"blocks\", \"codec\": \"F4\", \"scale\": { \"per\": \"block\", \"block\": 16, \"rule\": \"floor\", \"format\": \"F8_E8M0\" }, \"qat\": { \"from_epoch\": 1 } },
    { \"name\": \"host\", \"codec\": \"Q4_0\", \"qat\": { \"from_epoch\": 2 } },
    { \"name\": \"calibrated\", \"codec\": \"I2\", $mse, \"qat\": { \"from_epoch\": 1, \"scales\": \"calibrated\" } },
    { \"name\": \"learned\", \"codec\": \"I2\", $mse, \"qat\": { \"from_epoch\": 1, \"scales\": \"learned\" } },
    { \"name\": \"one scale\", \"codec\": \"I4\", \"scale\": { \"per\": \"tensor\" }, \"qat\": { \"scales\": \"learned\", \"rounding\": \"stochastic\" } },
    { \"name\": \"drawn\", \"codec\": \"I4\", $channel, \"qat\": { \"rounding\": \"stochastic\", \"clip\": false } },
    { \"name\": \"drawn in all\", \"codec\": \"I8\", $channel, \"rounding\": \"stochastic\", \"activations\": { \"codec\": \"I8\", \"scale\": { \"per\": \"row\" }, \"rounding\": \"stochastic\" }, \"qat\": {} },
    { \"name\": \"round trip\", \"codec\": \"I8\", \"scale\": { \"multiply\": 100 }, \"qat\": { \"method\": \"round_trip\", \"from_epoch\": 1, \"every\": 3 } }"
backends='["cpu_ref", { "backend": "cpu", "isa": "c", "threads": 1 }, { "backend": "cpu", "isa": "avx2", "threads": 3 }, { "backend": "cpu", "threads": 2 }, "vulkan"]'

# What stands in a column of the ok rows of one format (or all) of table.csv, each once.
column() { # NAME, FORMAT, FOLDER
    awk -F, -v name="$1" -v format="$2" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["status"] == "ok" && (format == "" || $at["format"] == format) { print $at["mode"], $at[name] }' "$3/table.csv" | sort -u
}

experiment "$formats" "$backends"
if expect 0 "$lowbit" run "$tmp/qat.json" --quiet --out "$tmp/all"; then
    for format in dynamic clipped blocks host calibrated learned "one scale" drawn "drawn in all" "round trip"; do
        n=$(column weights_sha256 "$format" "$tmp/all" | wc -l)
        [ "$n" = 2 ] || fail "$format: $n weights in the two modes, all backends together; 2 are wanted" "$tmp/all/table.csv"
        n=$(column diff_elements "$format" "$tmp/all" | awk '$2 != "" && $2 != 0' | wc -l)
        [ "$n" = 0 ] || fail "$format: outputs differ from cpu_ref's" "$tmp/all/table.csv"
    done
    # plain, w, wa for each of the five, but one for both modes where only weights are trained
    ran=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["status"] == "ok" { print $at["backend"] }' "$tmp/all/table.csv" | sort -u | wc -l)
    [ "$(lines train "$tmp/all")" = $((ran * (1 + 9 * 2 + 1))) ] || fail "$(lines train "$tmp/all") trainings of $ran backends" "$tmp/all/trials.jsonl"
    grep -q '"kind":"train","training":"[0-9a-f]*","build":"[0-9a-f]*","format":"learned","mode":"wa"' "$tmp/all/trials.jsonl" ||
        fail "no training names its format and mode" "$tmp/all/trials.jsonl"
    expect 0 "$lowbit" verify "$tmp/all" || true
fi

# from_epoch: what came before is the plain training, so that a round trip that never comes changes nothing.
experiment "{ \"name\": \"plain\", \"codec\": \"I8\", $channel }, { \"name\": \"never\", \"codec\": \"I8\", $channel, \"qat\": { \"method\": \"round_trip\", \"from_epoch\": 1, \"every\": 1000 } }"
if expect 0 "$lowbit" run "$tmp/qat.json" --quiet --set 'modes=["w"]' --out "$tmp/never"; then
    [ "$(column weights_sha256 "" "$tmp/never" | wc -l)" = 1 ] || fail "a round trip that never comes is not the plain training" "$tmp/never/table.csv"
fi
# What it is for: two bits on the embedded digits.
if expect 0 "$lowbit" run configs/qat_digits.json --quiet --set 'modes=["w"]' --out "$tmp/digits"; then
    top1() { column top1 "$1" "$tmp/digits" | cut -d' ' -f2; }
    awk -v ptq="$(top1 "INT2 PTQ")" -v qat="$(top1 "INT2 QAT")" 'BEGIN { exit !(qat > ptq + 3) }' ||
        fail "two bits, trained for them: top-1 $(top1 "INT2 QAT"), $(top1 "INT2 PTQ") without" "$tmp/digits/table.csv"
    grep -q '^- Trained for its format, INT2 QAT: fake quantization from epoch 3, learned scales$' "$tmp/digits/table.md" ||
        fail "table.md does not say what was trained" "$tmp/digits/table.md"
fi

# A format with a "qat" beside it leaves the trial of the plain one as it was, and has a hash of its own.
expect 0 "$lowbit" plan "$tmp/qat.json" --set 'modes=["w"]'
cp "$tmp/out" "$tmp/both"
experiment "{ \"name\": \"plain\", \"codec\": \"I8\", $channel }"
expect 0 "$lowbit" plan "$tmp/qat.json" --set 'modes=["w"]'
[ "$(head -n 1 "$tmp/both" | cut -d' ' -f1)" = "$(cut -d' ' -f1 "$tmp/out")" ] || fail "the plain trial's hash changed" "$tmp/both" "$tmp/out"
[ "$(cut -d' ' -f1 "$tmp/both" | sort -u | wc -l)" = 2 ] || fail "both trials have one hash" "$tmp/both"

# bad PATTERN QAT [SET]...: an error of the config, which names the file.
bad() {
    local pattern=$1
    experiment "{ \"name\": \"F\", \"codec\": \"I4\", $channel, \"qat\": $2 }"
    shift 2
    expect 2 "$lowbit" plan "$tmp/qat.json" "$@" || return 0
    grep -q "qat.json: format .*$pattern" "$tmp/err" || fail "an error like \"$pattern\" is wanted" "$tmp/err"
}
bad 'qat.from_epoch: expected less than the 3 epochs of model "small", found 3' '{ "from_epoch": 3 }'
bad 'qat.from_epoch: expected less than the 0 epochs of model "small", found 0' '{}' --set train.epochs=0
bad 'qat.scales learned: the scale is floor/channel learned; expected absmax, percentile or mse, stored as F32' '{ "scales": "learned" }' \
    --set "formats[0].scale.rule=floor"
bad 'qat: ' '{ "rounding": "stochastic" }' --set "formats[0].codec=LOOM_F4" --set "formats[0].scale={\"per\":\"none\"}"
"$lowbit" run configs/quick.json --quiet --set 'formats=["F32"]' --set train.epochs=1 --set data.train=64 --set data.test=10 --out "$tmp/file" >"$tmp/out" 2>&1
bad 'qat: the weights of model "small" come from a file: nothing is trained' '{}' --set "model.weights=$(ls "$tmp"/file/trained/*.safetensors)"
expect 2 "$lowbit" convert test/data/safetensors/all_dtypes.safetensors "$tmp/o" --format '{"codec": "I8", "qat": {}}'
grep -q '"qat" needs a training' "$tmp/err" || fail "convert refuses a qat" "$tmp/err"
finish
