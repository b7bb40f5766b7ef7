#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# A sweep of 40 tiny trials on two processes that is killed at random moments and continued, again and again: its children are gone within two seconds, and
# in the end its table is the undisturbed one. LOWBIT_KILLS=N (40) by SIGKILL, a tenth as many by each of SIGINT, SIGTERM and SIGHUP, which besides
# leave a journal that needs no healing and say how to go on. LOWBIT_TEST_SEED=N repeats it.
set -euo pipefail
. test/sh/util.bash
. test/faults/faults.bash

seed=${LOWBIT_TEST_SEED:-$(date +%s)} kills=${LOWBIT_KILLS:-40}
RANDOM=$((seed % 32768))
prepare --jobs 2 --set 'seeds=[1,2]' --set 'formats=["F64","F32","F16","BF16","F4","F4_X8","INT8","INT16","I32","I64","I16_X1000","I8_X100","U64_X1E6","U32_X1E6","U16_X1000","U8_X100","F4_ABSMAX","I64_X1E6","I32_X1E6","INT4"]'
[ "$(rows ok "$all/whole")" = 40 ] || fail "40 trials are wanted" "$all/whole/table.csv"
start=$(date +%s%N)
expect 0 "${command[@]}" --out "$tmp/again"
took_ms=$((($(date +%s%N) - start) / 1000000 + 1))

# gone SESSION: no process of the session is left, within two seconds.
gone() {
    for _ in $(seq 100); do
        pgrep -r R,S,D -s "$1" >/dev/null || return 0
        sleep 0.02
    done
    return 1
}

# bytes: how many the journal of $dir has.
bytes() {
    [ -e "$dir/trials.jsonl" ] && wc -c <"$dir/trials.jsonl" || echo 0
}

# count_unfinished: adds the unfinished files of $dir, which its next run is to remove.
count_unfinished() {
    if [ -e "$dir" ]; then unfinished=$((unfinished + $(find "$dir" -name '*.tmp' | wc -l))); fi
}

# hit SIGNAL: starts the command on $dir and ends it so after a while. 1 where it came to its end before.
hit() {
    local delay=$((RANDOM % (took_ms / 3 + 1))) status=0 had
    had=$(bytes)
    count_unfinished
    # What bash starts in the background ignores SIGINT.
    setsid env --default-signal=INT "${command[@]}" --out "$dir" >"$tmp/out" 2>"$tmp/err" </dev/null &
    local pid=$!
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    kill -"$1" $pid 2>/dev/null || true
    wait $pid 2>/dev/null || status=$?
    if ! gone $pid; then
        fail "SIG$1 after $delay ms: these outlive it: $(pgrep -a -s $pid | paste -sd';')"
        pkill -9 -s $pid || true
    fi
    [ $status != 0 ] || return 1
    [ $status = $((128 + $(kill -l "$1"))) ] || fail "SIG$1 after $delay ms: exit status $status" "$tmp/err"
    if [ "$1" != KILL ] && [ "$(bytes)" -gt "$had" ] && [ "$(lines trial "$dir")" -lt 40 ]; then # while trials run; else it ends as any program does
        grep -q 'lowbit run' "$tmp/err" || fail "SIG$1 after $delay ms: no word of how to go on" "$tmp/err"
        torn=$(tail -c 1 "$dir/trials.jsonl" | od -An -c | tr -d ' ')
        [ -z "$torn" ] || [ "$torn" = '\n' ] || fail "SIG$1 after $delay ms: a journal with a torn end"
    fi
}

# check_end: $dir, continued once more without being disturbed, holds the undisturbed table, each trial once, and nothing that nobody needs.
check_end() {
    count_unfinished
    expect 0 "${command[@]}" --out "$dir" || return 0
    for f in table.csv table.md; do same "$all/whole/$f" "$dir/$f"; done
    local twice
    twice=$(grep '^{"kind":"trial".*"status":"ok"' "$dir/trials.jsonl" | grep -o '"trial":"[0-9a-f]*"' | sort | uniq -d | wc -l)
    [ "$twice" = 0 ] || fail "$twice trials that were ok have run again"
    [ "$(lines trial "$dir")" = 40 ] || fail "$(lines trial "$dir") lines of trials, wanted 40"
    "$all/lowbit" verify "$dir" >"$tmp/out" 2>&1 || fail "artifacts are not those of the journal" "$tmp/out"
    left=$(find "$dir" -name '*.tmp')
    [ -z "$left" ] || fail "unfinished files are left behind: ${left//$'\n'/ }"
    [ $failed != 0 ] || rm -rf "$dir"
}

sweeps=0 unfinished=0
# survive SIGNAL HITS: that many that found it alive.
survive() {
    local hits=0 most=$((sweeps + $2 + 5))
    while [ $hits -lt "$2" ] && [ $failed -lt 5 ]; do
        if [ $sweeps = $most ]; then
            fail "only $hits of $2 SIG$1 found the run alive"
            break
        fi
        dir=$tmp/sweep$sweeps
        sweeps=$((sweeps + 1))
        for _ in $(seq 16); do
            hit "$1" || break
            hits=$((hits + 1))
        done
        check_end
    done
    echo "SIG$1: survived $hits"
}
survive KILL "$kills"
for signal in INT TERM HUP; do survive $signal $((kills / 10)); done
echo "$sweeps sweeps of 40 trials, $took_ms ms each undisturbed; $unfinished unfinished files were left and removed"
[ $failed = 0 ] || echo "seed: LOWBIT_TEST_SEED=$seed"
finish
