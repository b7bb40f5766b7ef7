#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# A disk that fails: at each call in turn that changes a file, no room, an I/O error, half a write, no room from there on, or a disk that is read-only from
# there on; a limit on the size of files, and a small disk, of each size. The error names the file, no finished trial is lost, and afterwards
# the same command ends with the undisturbed table. LOWBIT_FAULT_HOW=WORD: only that. A drawn share of LOWBIT_FAULTS (150; 0: all) of the calls, and then every third
# limit and disk; LOWBIT_TEST_SEED=N repeats it.
set -euo pipefail
. test/sh/util.bash
. test/faults/faults.bash

seed=${LOWBIT_TEST_SEED:-$(date +%s)} share=${LOWBIT_FAULTS:-150} first=1 step=1
prepare
observe disk
calls=$(od -An -t u8 -j 8 -N 8 "$all/counted")
[ "$calls" -ge 40 ] || fail "only $calls calls that change files were seen"
for how in ${LOWBIT_FAULT_HOW:-enospc eio short full ro}; do
    seq -f "disk $how %.0f" "$calls"
done >"$tmp/list"
faults=$(wc -l <"$tmp/list")
if [ "$share" != 0 ]; then
    shuf -n "$share" --random-source=<(yes "$seed") "$tmp/list" >"$tmp/drawn"
    mv "$tmp/drawn" "$tmp/list"
    first=$((1 + seed % 3)) step=3
fi
echo "$calls calls, $faults faults, of which $(wc -l <"$tmp/list") are tried, seed $seed:"
inject <"$tmp/list"

# survive WHAT COMMAND...: a run that a limit ends or harms, in $dir, and then, once `lift` has taken the limit away, one that ends with the undisturbed table.
lift() { true; }
survive() {
    local what=$1 status=0
    shift
    "$@" --out "$dir" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
    case $status in
    0) whole=$((whole + 1)) ;;
    1) grep -q ': cannot be written: ' "$tmp/err" || fail "$what: no file is named" "$tmp/err" ;;
    2) grep -q "^error: $dir.*: \(No space left on device\|File too large\)$" "$tmp/err" || fail "$what: no file is named" "$tmp/err" ;;
    *) fail "$what: exit status $status" "$tmp/err" ;;
    esac
    lift
    [ $status = 0 ] || expect 0 "${command[@]}" --out "$dir" || return 0
    for f in table.csv table.md; do same "$all/whole/$f" "$dir/$f"; done
    rm -rf "$dir"
}

# ---- A limit on the size of files: of each number of KiB ----
whole=0 tried=0
for kib in $(seq $first $step 40); do
    dir=$tmp/limited
    survive "ulimit -f $kib" bash -c 'ulimit -f "$0"; exec "$@"' "$kib" "${command[@]}"
    tried=$((tried + 1))
done
echo "$tried limits on the size of files, of which $whole were too wide to matter"
[ $whole -lt $tried ] || fail "no limit was met"

# ---- A small disk: of each number of pages ----
mkdir "$tmp/disk"
if mount -t tmpfs -o size=4k lowbit_faults "$tmp/disk" 2>"$tmp/why"; then
    trap 'umount "$tmp/disk"; rm -rf "$tmp"' EXIT
    whole=0 tried=0
    lift() { mount -o remount,size=64m "$tmp/disk"; }
    for pages in $(seq $first $step 60); do
        mount -o "remount,size=$((4 * pages))k" "$tmp/disk"
        dir=$tmp/disk/out
        survive "a disk of $pages pages" "${command[@]}"
        tried=$((tried + 1))
    done
    echo "$tried small disks, of which $whole were large enough"
    [ $whole -lt $tried ] || fail "no disk was full"
else
    echo "no small disk: $(tail -n 1 "$tmp/why")"
fi
[ $failed = 0 ] || echo "seed: LOWBIT_TEST_SEED=$seed"
finish
