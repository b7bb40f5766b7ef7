#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sets the figures of configs/paper/roadmap.json, of `lowbit bench` and of test/sh/op_q_error.sh beside the roadmap's targets.
#   scripts/roadmap.sh FOLDER >roadmap.targets.md      FOLDER: the results of roadmap.json
# Accuracies, sizes and errors are the same anywhere; speeds are this machine's, medians of runs in turns. BUILD names the build folder.
set -euo pipefail
if [ $# != 1 ] || [ ! -e "$1/table.csv" ]; then
    sed -n '3,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export BUILD=${BUILD:-build}
lowbit=$BUILD/lowbit
table=$1/table.csv

# field MODEL FORMAT MODE COLUMN: its mean over the seeds.
field() {
    awk -F, -v model="$1" -v format="$2" -v mode="$3" -v c="$4" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["model"] == model && $at["format"] == format && $at["mode"] == mode { sum += $at[c]; n++ } END { if (n) printf "%.9g", sum / n }' "$table"
}
quotient() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
# What awk prints of the rows of a benchmark; a comma within a cell is gone.
bench() { # THREADS OP AWK
    "$lowbit" bench "$2" --backend cpu --threads "$1" --no-peers --csv --quiet 2>/dev/null | sed 's/"\([^",]*\), \([^"]*\)"/\1 \2/g' | tr -d '"' |
        awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } '"$3"
}

echo "# The roadmap's targets, and what came out"
echo
echo "Made by scripts/roadmap.sh from [roadmap.json](../../configs/paper/roadmap.json), \`lowbit bench\` and \`test/sh/op_q_error.sh\`. Accuracy, size and error are the same anywhere; speeds are one machine's."
echo
echo "| target | asked | network or operator | here |"
echo "|---|---|---|---|"
for model in cnn mlp; do
    printf '| accuracy | within 1 %% of float | %s | %.2f %% in float, %.2f %% on integers (%+.2f points, seeds: %s) |\n' $model "$(field $model F32 w top1)" "$(field $model INT8_CHANNEL integer top1)" \
        "$(field $model INT8_CHANNEL integer top1_delta)" "$(awk -F, -v m=$model 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["model"] == m && $at["format"] == "F32" && $at["mode"] == "w"' "$table" | wc -l)"
done
for model in cnn mlp; do
    for format in INT8 INT8_CHANNEL; do
        echo "| size | 4 x smaller | $model, $format | $(quotient "$(field $model F32 w weight_bytes)" "$(field $model $format integer weight_bytes)") x, scales and 32-bit biases included |"
    done
done
# shellcheck disable=SC2016 # the $ are awk's
for threads in 1 2; do
    bench $threads forward '$at["method"] == "integer" { printf "| speed | 2 to 4 x faster | %s, forward, %s thread%s | %.2f x |\n", $at["shape"], $at["threads"], $at["threads"] == 1 ? "" : "s", $at["vs_f32"] }'
done
# shellcheck disable=SC2016
for threads in 1 2; do
    many="$threads thread$([ $threads = 1 ] || echo s)"
    bench $threads gemm_u8s8 '$at["method"] == "" && $at["format"] ~ /U8$/ { whole[$at["shape"]] = $at["seconds"] } $at["method"] ~ /dequantize/ { parts[$at["shape"]] = $at["seconds"] }
        $at["method"] != "" && $at["format"] ~ /U8$/ { n = $at["threads"]; parts[$at["shape"]] = $at["seconds"] }
        END { for (s in whole) printf "| product against dequantize, multiply, quantize | faster | %s, '"$many"' | %.2f x |\n", s, parts[s] / whole[s] }' | sort
done
if [ -x .venv/bin/python ]; then
    bash test/sh/op_q_error.sh | awk 'NR > 1 && NF > 3 { note = ""; name = ""; n = 0
        for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) v[++n] = $i; else if (!n) name = name (name ? " " : "") $i; else if (n >= 3) note = note " " $i
        if (n >= 3) { $0 = ""; printf "| error of an operator | under 1 %% | %s | %s %%%s |\n", name, v[1], (v[1] >= 1 ? ", as much as writing its exact result in 8 bits costs (" v[2] " %)" : ""); } n = 0 }'
else
    echo "| error of an operator | under 1 % | | not measured: no .venv (test/oracle/setup.sh) |"
fi
