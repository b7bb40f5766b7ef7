#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit report: the tables come from the journal alone, byte for byte; of several experiments in one folder the last one counts.
set -euo pipefail
. test/sh/util.bash

small=(--set data.train=100 --set data.test=32 --set train.epochs=1 --set 'formats=["F32","F4_X8"]' --quiet)
expect 1 "$lowbit" run configs/quick.json "${small[@]}" --out "$tmp/run" --set 'backends=["cpu","skeleton"]' --set 'seeds=[1,2,3]' # half unsupported
expect 0 "$lowbit" verify "$tmp/run"

copy() { # NAME: a folder that holds nothing but the journal
    mkdir "$tmp/$1"
    cp "$tmp/run/trials.jsonl" "$tmp/$1/"
}

copy bare
expect 0 "$lowbit" report "$tmp/bare" || finish
[ "$(cat "$tmp/out")" = "$tmp/bare/table.md" ] || fail "stdout does not name the table" "$tmp/out"
grep -q '^12 of 12 trials are in the journal, 6 ok$' "$tmp/err" || fail "the counts on stderr" "$tmp/err"
for f in table.csv table.md measured.csv; do same "$tmp/run/$f" "$tmp/bare/$f"; done
same "$tmp/run/trials.jsonl" "$tmp/bare/trials.jsonl"
[ "$(find "$tmp/bare" -type f ! -name '*.svg' | wc -l)" = 4 ] || fail "other files in the folder: $(ls "$tmp/bare")"

# Tables that are there are replaced; what is wrong with them does not matter.
echo nonsense >"$tmp/bare/table.csv"
: >"$tmp/bare/table.md"
expect 0 "$lowbit" report "$tmp/bare/"
for f in table.csv table.md measured.csv; do same "$tmp/run/$f" "$tmp/bare/$f"; done

# A run that was cut off after some trials: a table of those. A torn line: a notice, and the file stays as it is.
copy half
head -n 8 "$tmp/run/trials.jsonl" >"$tmp/half/trials.jsonl"
done_then=$(lines trial "$tmp/half")
expect 0 "$lowbit" report "$tmp/half"
[ "$(wc -l <"$tmp/half/table.csv")" = $((done_then + 1)) ] || fail "half a journal: $done_then rows are wanted" "$tmp/half/table.csv"
copy torn
head -c -20 "$tmp/run/trials.jsonl" >"$tmp/torn/trials.jsonl"
cp "$tmp/torn/trials.jsonl" "$tmp/torn.before"
expect 0 "$lowbit" report "$tmp/torn"
grep -q 'trials.jsonl:[0-9]*: the last line is torn' "$tmp/err" || fail "no notice of the torn line" "$tmp/err"
same "$tmp/torn.before" "$tmp/torn/trials.jsonl"

# Another experiment in the same folder: its trials only, in its order, with its names; one trial is shared and was not run again.
expect 0 "$lowbit" run configs/quick.json "${small[@]}" --out "$tmp/run" --set 'formats=[{"name":"eight","codec":"I8"},{"name":"same","codec":"F32"}]' --set name=another
[ "$(cut -d, -f1,7 "$tmp/run/table.csv" | paste -sd' ')" = "format,seed eight,1 same,1" ] || fail "the second experiment's table" "$tmp/run/table.csv"
[ "$(lines trial "$tmp/run")" = 13 ] || fail "a trial that was there has run again"
copy second
expect 0 "$lowbit" report "$tmp/second"
for f in table.csv table.md measured.csv; do same "$tmp/run/$f" "$tmp/second/$f"; done

# While a run is at work its journal can be read.
exec 9>>"$tmp/second/trials.jsonl"
flock -n 9 && expect 0 "$lowbit" report "$tmp/second"
exec 9>&-
finish
