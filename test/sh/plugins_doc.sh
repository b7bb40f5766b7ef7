#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Does what docs/plugins.md says, in a temporary folder: writes its ```c and ```json blocks to the files they name (file=NAME), runs its ```sh blocks,
# and compares the ```text block that follows with what was printed. A line "..." there stands for any lines.
set -uo pipefail
build=$(cd "${BUILD:-build}" && pwd) || exit 1
[ -x "$build/lowbit" ] || { echo "FAILED: $build/lowbit was not built"; exit 1; }
doc=$PWD/docs/plugins.md
command -v gcc >/dev/null || { echo "SKIPPED: no gcc, which docs/plugins.md uses"; exit 77; }
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT

# As installed: lowbit on the PATH, plugin.h in a folder of its own.
mkdir -p "$T/bin" "$T/include/lowbit" "$T/steps" "$T/work"
ln -s "$build/lowbit" "$T/bin/lowbit"
cp core/plugin.h "$T/include/lowbit/"
export PATH=$T/bin:$PATH INCLUDE=$T/include/lowbit
unset LOWBIT_PLUGIN_PATH

# steps/NNN.KIND for each fenced block, and steps/NNN.file with the file's name.
awk -v dir="$T/steps" '
    /^```/ && inside { close(out); inside = 0; next }
    /^```/ {
        inside = 1
        kind = substr($1, 4)
        out = sprintf("%s/%03d.%s", dir, ++n, kind == "" ? "none" : kind)
        printf "" > out
        if ($2 ~ /^file=/) { print substr($2, 6) > sprintf("%s/%03d.file", dir, n) }
        next
    }
    inside { print > out }
' "$doc"

# matches WANTED FOUND
matches() {
    awk -v wanted="$1" '
        BEGIN { while ((getline line < wanted) > 0) want[++n] = line; at = 1 }
        {
            if (want[at] == "...") { if (at < n && $0 == want[at + 1]) at += 2 }
            else if (at <= n && $0 == want[at]) at++
            else { bad = 1; exit }
        }
        END {
            if (at == n && want[at] == "...") at++
            if (bad || at <= n) { print "    wanted here: " (at <= n ? want[at] : "nothing more"); exit 1 }
        }' "$2"
}

cd "$T/work" || exit 1
ran=0 compared=0
for step in "$T"/steps/*; do
    name=$(basename "$step")
    case $name in
    *.c | *.json)
        cp "$step" "$(cat "${step%.*}.file")" || exit 1
        ;;
    *.sh)
        ran=$((ran + 1))
        if ! bash -eu "$step" >"$T/out" 2>"$T/err"; then
            echo "FAILED: docs/plugins.md, block ${name%%.*}:"
            sed 's/^/    /' "$step" "$T/out" "$T/err"
            exit 1
        fi
        ;;
    *.text)
        compared=$((compared + 1))
        if ! matches "$step" "$T/out"; then
            echo "FAILED: docs/plugins.md, block ${name%%.*}: printed was"
            sed 's/^/    /' "$T/out"
            exit 1
        fi
        ;;
    *.file) ;;
    *)
        echo "FAILED: docs/plugins.md has a block of kind \"${name#*.}\": c, json, sh and text are known"
        exit 1
        ;;
    esac
done
lines=$(wc -l <"$T/work/pow4.c")
[ "$lines" -le 50 ] || { echo "FAILED: the codec of docs/plugins.md has $lines lines, promised are 50"; exit 1; }
if [ $ran -lt 6 ] || [ $compared -lt 5 ]; then
    echo "FAILED: only $ran commands and $compared outputs found in docs/plugins.md"
    exit 1
fi
exit 0
