#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# Each allocation failed in turn: of every call stack that allocates in a short run, the first allocation, the last, and the first with all that come behind
# it. The program does not crash, it says that memory is out or reports the trial, the journal stays whole, and afterwards the same command ends with the
# undisturbed table. A drawn share of
# LOWBIT_FAULTS (100; 0: all) of them, LOWBIT_TEST_SEED=N repeats it.
set -euo pipefail
. test/sh/util.bash
. test/faults/faults.bash

seed=${LOWBIT_TEST_SEED:-$(date +%s)} share=${LOWBIT_FAULTS:-100}
prepare
observe alloc
od -An -v -t x8 -w24 "$all/counted" | awk '$1 !~ /^0*$/ { print $1, $2 }' | sort >"$tmp/stacks"
stacks=$(wc -l <"$tmp/stacks")
[ "$stacks" -ge 1000 ] || fail "only $stacks call stacks that allocate were seen"
while read -r stack count; do
    echo "alloc $stack 1"
    if [ $((16#$count)) -gt 1 ]; then echo "alloc $stack $((16#$count))"; fi
    echo "out $stack 1"
done <"$tmp/stacks" >"$tmp/list"
faults=$(wc -l <"$tmp/list")
if [ "$share" != 0 ]; then
    shuf -n "$share" --random-source=<(yes "$seed") "$tmp/list" >"$tmp/drawn"
    mv "$tmp/drawn" "$tmp/list"
fi
echo "$stacks call stacks, $faults faults, of which $(wc -l <"$tmp/list") are tried, seed $seed:"
inject <"$tmp/list"
[ $failed = 0 ] || echo "seed: LOWBIT_TEST_SEED=$seed"
finish
