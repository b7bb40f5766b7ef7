#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# lowbit run, killed at any moment, leaves no process behind and continues where it stopped; the journal heals a torn end, refuses garbage in the
# middle, and has one writer. Twenty kills at random moments; LOWBIT_TEST_SEED=N repeats them.
set -euo pipefail
. test/sh/util.bash

seed=${LOWBIT_TEST_SEED:-$(date +%s)}
RANDOM=$((seed % 32768))
args=(run configs/quick.json --set data.train=400 --set data.test=32 --set train.epochs=2 --quiet
    --set 'formats=["F64","F16","F4_X8","I16_X1000","U8_X100","INT8"]')
repeat_seed() { echo "seed: LOWBIT_TEST_SEED=$seed"; }

# gone SESSION: no process of the session is left, within two seconds.
gone() {
    for _ in $(seq 100); do
        pgrep -s "$1" >/dev/null || return 0
        sleep 0.02
    done
    return 1
}

start=$(date +%s%N)
expect 0 "$lowbit" "${args[@]}" --out "$tmp/whole" || finish
took_ms=$((($(date +%s%N) - start) / 1000000))

# ---- Twenty kills ----
kills=0 hits=0
while [ $kills -lt 20 ]; do
    dir=$tmp/killed$kills
    jobs=$((RANDOM % 3 + 1))
    for _ in 1 2; do
        delay=$((RANDOM % (took_ms * 3 / 4 / jobs + 1)))
        setsid "$lowbit" "${args[@]}" --out "$dir" --jobs $jobs >"$tmp/out" 2>"$tmp/err" </dev/null &
        pid=$!
        sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
        if kill -9 $pid 2>/dev/null; then hits=$((hits + 1)); fi
        wait $pid 2>/dev/null || true
        if ! gone $pid; then
            fail "killed after $delay ms with --jobs $jobs: these outlive it: $(pgrep -a -s $pid | paste -sd';')"
            pkill -9 -s $pid || true
        fi
        kills=$((kills + 1))
    done
    had=$([ -e "$dir/trials.jsonl" ] && lines trial "$dir" || echo 0)
    if ! expect 0 "$lowbit" "${args[@]}" --out "$dir"; then
        repeat_seed
        continue
    fi
    for f in table.csv table.md; do same "$tmp/whole/$f" "$dir/$f"; done
    [ "$(lines trial "$dir")" = 6 ] || fail "$had trials were there, then $(lines trial "$dir"), wanted 6"
    [ "$(lines train "$dir")" = 1 ] || fail "trained $(lines train "$dir") times to the end"
    [ "$(find "$dir/models" "$dir/trained" -name '*.safetensors' | wc -l)" = 7 ] || fail "7 files of weights are wanted: $(ls "$dir/models" "$dir/trained")"
    "$lowbit" verify "$dir" >"$tmp/out" 2>&1 || fail "artifacts are not those of the journal" "$tmp/out"
    [ $failed = 0 ] && rm -rf "$dir"
done
[ $hits -ge 10 ] || fail "only $hits of 20 kills found the run alive"
[ $failed = 0 ] || repeat_seed

# ---- A kill that does find children: a trial that takes long ----
cat >"$tmp/slow.c" <<'C'
#define NAME "slow"
#define GEMM FILE *f = fopen(getenv("LOWBIT_TEST_MARK"), "a"); fprintf(f, "%d\n", (int)getpid()); fclose(f); for (;;) pause()
#include "test/bad_run/bad_backend.c"
C
mkdir "$tmp/plugins"
${CC:-gcc} -D_GNU_SOURCE -I. -shared -fPIC "$tmp/slow.c" -o "$tmp/plugins/slow.so"
for how in "--jobs 1" "--jobs 3"; do
    : >"$tmp/mark"
    # shellcheck disable=SC2086
    LOWBIT_TEST_MARK=$tmp/mark setsid "$lowbit" "${args[@]}" --out "$tmp/slow" --plugins "$tmp/plugins" --backend slow $how \
        --set 'model.layers=[{"type":"dense","units":10,"activation":"softmax"}]' >"$tmp/out" 2>"$tmp/err" </dev/null &
    pid=$!
    for _ in $(seq 500); do
        [ "$(wc -l <"$tmp/mark")" = "${how#--jobs }" ] && break
        sleep 0.02
    done
    [ "$(pgrep -s $pid | wc -l)" -gt 1 ] || fail "$how: no child to be killed with its parent" "$tmp/err"
    kill -9 $pid
    wait $pid 2>/dev/null || true
    gone $pid || fail "$how: children outlive their parent: $(pgrep -a -s $pid)"
done

# ---- The process that measures memory, which is a child's child ----
cat >"$tmp/lazy.c" <<'C'
#define NAME "lazy"
#define OPEN measure_hangs()
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void measure_hangs(void)
{
    char line[64] = "";
    FILE *f = fopen("/proc/self/cmdline", "r");
    fread(line, 1, sizeof line - 1, f);
    fclose(f);
    if (strcmp(line + strlen(line) + 1, "measure"))
        return;
    f = fopen(getenv("LOWBIT_TEST_MARK"), "a");
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
    for (;;)
        pause();
}
#include "test/bad_run/bad_backend.c"
C
${CC:-gcc} -D_GNU_SOURCE -I. -shared -fPIC "$tmp/lazy.c" -o "$tmp/plugins/lazy.so"
lazy=("${args[@]}" --plugins "$tmp/plugins" --backend lazy --set 'formats=["F16"]' --set 'model.layers=[{"type":"dense","units":10}]')
: >"$tmp/mark"
LOWBIT_TEST_MARK=$tmp/mark setsid "$lowbit" "${lazy[@]}" --out "$tmp/lazy" >"$tmp/out" 2>"$tmp/err" </dev/null &
pid=$!
for _ in $(seq 500); do
    [ -s "$tmp/mark" ] && break
    sleep 0.02
done
[ -s "$tmp/mark" ] || fail "no process that measures memory" "$tmp/err"
kill -9 $pid
wait $pid 2>/dev/null || true
gone $pid || fail "the process that measures memory outlives the run: $(pgrep -a -s $pid)"
: >"$tmp/mark"
LOWBIT_TEST_MARK=$tmp/mark expect 1 "$lowbit" "${lazy[@]}" --out "$tmp/lazy" --set limits.timeout_s=2
[ "$(rows timeout "$tmp/lazy")" = 1 ] || fail "a row with a time-out is wanted" "$tmp/lazy/table.csv"
for _ in $(seq 100); do
    kill -0 "$(cat "$tmp/mark")" 2>/dev/null || break
    sleep 0.02
done
if kill -0 "$(cat "$tmp/mark")" 2>/dev/null; then fail "the process that measures memory outlives its trial"; fi

# ---- A torn last line ----
cp -r "$tmp/whole" "$tmp/torn"
size=$(wc -c <"$tmp/torn/trials.jsonl")
for cut in 1 2 100 700; do
    head -c $((size - cut)) "$tmp/whole/trials.jsonl" >"$tmp/torn/trials.jsonl"
    expect 0 "$lowbit" "${args[@]}" --out "$tmp/torn" --jobs 2
    grep -q "^warning: $tmp/torn/trials.jsonl:8: the last line is torn" "$tmp/err" || fail "no notice of a line that lacks $cut bytes" "$tmp/err"
    same "$tmp/whole/table.csv" "$tmp/torn/table.csv"
    expect 0 "$lowbit" "${args[@]}" --out "$tmp/torn"
    if [ -s "$tmp/err" ]; then fail "the torn line is still there" "$tmp/err"; fi
done

# ---- A damaged line in the middle ----
sed '4s/.*/{"kind":"trial",/' "$tmp/whole/trials.jsonl" >"$tmp/torn/trials.jsonl"
cp "$tmp/torn/trials.jsonl" "$tmp/garbage"
for command in report "plan configs/quick.json --out"; do
    # shellcheck disable=SC2086
    expect 0 "$lowbit" $command "$tmp/torn"
    grep -q "^warning: $tmp/torn/trials.jsonl:4: damaged (1 line of [0-9]*) and left out" "$tmp/err" || fail "$command: file and line are wanted" "$tmp/err"
    same "$tmp/garbage" "$tmp/torn/trials.jsonl"
done
expect 0 "$lowbit" "${args[@]}" --out "$tmp/torn"
same "$tmp/whole/table.csv" "$tmp/torn/table.csv"
[ "$(lines trial "$tmp/torn")" = $(($(lines trial "$tmp/whole") + 1)) ] || fail "one trial, that of the damaged line, is to run again" "$tmp/torn/trials.jsonl"

# ---- A second process on the same folder ----
: >"$tmp/mark"
LOWBIT_TEST_MARK=$tmp/mark setsid "$lowbit" "${args[@]}" --out "$tmp/shared" --plugins "$tmp/plugins" --backend slow \
    --set 'model.layers=[{"type":"dense","units":10,"activation":"softmax"}]' >"$tmp/out1" 2>"$tmp/err1" </dev/null &
pid=$!
for _ in $(seq 500); do
    [ -s "$tmp/mark" ] && break
    sleep 0.02
done
cp "$tmp/shared/trials.jsonl" "$tmp/held"
expect 2 "$lowbit" "${args[@]}" --out "$tmp/shared"
grep -q "^error: $tmp/shared/trials.jsonl: another lowbit is at work on this folder; with --wait this one waits for it$" "$tmp/err" || fail "no clear refusal of a second run" "$tmp/err"
if [ -s "$tmp/out" ]; then fail "output besides the error" "$tmp/out"; fi
same "$tmp/held" "$tmp/shared/trials.jsonl"
kill -0 $pid || fail "the first run is gone" "$tmp/err1"
cp -r "$tmp/shared" "$tmp/waited" # and one that waits for it
flock "$tmp/waited/trials.jsonl" sleep 3 &
sleep 0.3
expect 0 "$lowbit" "${args[@]}" --out "$tmp/waited" --wait
same "$tmp/whole/table.csv" "$tmp/waited/table.csv"
kill -9 $pid
wait $pid 2>/dev/null || true
expect 0 "$lowbit" "${args[@]}" --out "$tmp/shared" # at once, while the children of the first are still dying
same "$tmp/whole/table.csv" "$tmp/shared/table.csv"
finish
