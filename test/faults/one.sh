#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# one.sh FOLDER alloc STACK N (once), FOLDER out STACK N (from there on), or FOLDER disk HOW N: one run of FOLDER/command with that fault (fault_alloc.c, fault_disk.c), then one without. Prints a line:
#   KIND STACK|HOW N WHERE OUTCOME      WHERE: main, child, or missed where the fault did not come up; OUTCOME: ok; row:STATUS (trials that were lost);
#                                  error (exit status 2 and a word of the cause); or BAD: and what is wrong, and then FOLDER/KIND.STACK|HOW.N is kept
set -euo pipefail
all=$1 kind=$2 which=$3 at=$4
dir=$all/$kind.$which.$at library=alloc
mkdir "$dir"
readarray -d '' -t command <"$all/command"
cp "$all/zeros" "$dir/state"

case $kind in
alloc | out) fault=(LOWBIT_FAULT_STACK="$which" LOWBIT_FAULT_HOW="$kind") cause='^error: .*\(out of memory\|memory is out\|[Cc]annot allocate memory\)' ;;
disk) library=disk fault=(LOWBIT_FAULT_HOW="$which") cause="^error: $dir/out.*: \(No space left on device\|Input/output error\|Read-only file system\)$" ;;
esac
status=0
timeout -k 5 60 env LD_PRELOAD="$all/fault_$library.so" LOWBIT_FAULT_STATE="$dir/state" LOWBIT_FAULT_AT="$at" "${fault[@]}" \
    "${command[@]}" --out "$dir/out" >"$dir/stdout" 2>"$dir/err" </dev/null &
timeout=$!
wait $timeout || status=$?
where=$(od -An -v -t u8 -w24 "$dir/state" | awk -v main=$timeout '$3 { found = $3 == main ? "main" : "child" } END { print found ? found : "missed" }')

outcome=ok
bad() { [[ $outcome == BAD* ]] || outcome="BAD: $*"; }
lost=$(grep -o '"status":"[a-z]*"' "$dir/out/trials.jsonl" 2>/dev/null | sed 's/.*:"\(.*\)"/\1/' | grep -v '^ok$' | sort -u | paste -sd,) || true
case $status in
0) [ $where = missed ] || cmp -s "$dir/out/table.csv" "$all/whole/table.csv" || bad "exit status 0 with another table" ;;
1)
    outcome=row:$lost
    [ -n "$lost" ] || bad "exit status 1, and all trials are ok"
    ;;
2)
    outcome=error
    grep -q "$cause" "$dir/err" || bad "exit status 2, and the cause is not named: $(tail -n 1 "$dir/err")"
    ;;
*) bad "exit status $status: $(tail -n 1 "$dir/err")" ;;
esac

status=0
"${command[@]}" --out "$dir/out" >"$dir/stdout2" 2>"$dir/err2" </dev/null || status=$?
[ $status = 0 ] || bad "then, without a fault, exit status $status: $(tail -n 1 "$dir/err2")"
if grep -q 'trials.jsonl' "$dir/err2"; then bad "the journal is not whole: $(grep 'trials.jsonl' "$dir/err2" | head -n 1)"; fi
for f in table.csv table.md; do
    cmp -s "$dir/out/$f" "$all/whole/$f" || bad "then, without a fault, another $f"
done
twice=$(grep '^{"kind":"trial".*"status":"ok"' "$dir/out/trials.jsonl" | grep -o '"trial":"[0-9a-f]*"' | sort | uniq -d)
[ -z "$twice" ] || bad "a trial that was ok has run again: $twice"
left=$(find "$dir/out" -name '*.tmp' | head -n 1)
[ -z "$left" ] || bad "left behind: $left"
echo "$kind $which $at $where $outcome"
[[ $outcome == BAD* ]] || rm -rf "$dir"
