#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit run --shard, merge, and verify DIR: shares put together give the tables of one run, byte for byte; what does not belong together is refused and named;
# what is missing is named; trials that run again give the bits of the journal, and where it tells other bits that is noticed.
set -euo pipefail
. test/sh/util.bash
unset SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP

small=(configs/quick.json --set data.train=100 --set data.test=32 --set train.epochs=1 --set 'formats=["F32","F16","F4_X8","INT8","MXFP4"]'
    --set 'seeds=[1,2]' --quiet)
shards() { # FOLDER N OPTION...: all N shares of it
    local folder=$1 n=$2
    shift 2
    for i in $(seq "$n"); do expect 0 "$lowbit" run "${small[@]}" --out "$folder" --shard "$i/$n" "$@"; done
}
equal() { # FOLDER: its tables are those of one run
    for f in table.csv table.md; do same "$tmp/one/$f" "$1/$f"; done
}
trials_in() { # FOLDER: lines of its table
    echo $(($(wc -l <"$1/table.csv") - 1))
}
expect 0 "$lowbit" run "${small[@]}" --out "$tmp/one"
[ "$(trials_in "$tmp/one")" = 10 ] || fail "10 trials are wanted" "$tmp/one/table.csv"

# ---- Shares of all sizes, in any order; more shares than trials ----
for n in 1 3 10 13; do
    shards "$tmp/n$n" "$n"
    [ "$(cat "$tmp"/n"$n"/shard-*/trials.jsonl | grep -c '^{"kind":"trial"')" = 10 ] || fail "$n shares: each trial is to run once"
    expect 0 "$lowbit" merge "$tmp/n$n" -o "$tmp/whole$n"
    [ "$(cat "$tmp/out")" = "$tmp/whole$n/table.md" ] || fail "stdout does not name the table" "$tmp/out"
    equal "$tmp/whole$n"
done
[ "$(trials_in "$tmp/n13/shard-1-of-13")" = 1 ] && [ "$(trials_in "$tmp/n3/shard-2-of-3")" = 3 ] || fail "shares of other sizes"
expect 0 "$lowbit" merge "$tmp"/n3/shard-{3,1,2}-of-3 -o "$tmp/order"
equal "$tmp/order"
expect 0 "$lowbit" merge "$tmp/n3" -o "$tmp/n3" # into the folder that holds them; and again
equal "$tmp/n3"
cp "$tmp/n3/trials.jsonl" "$tmp/merged"
expect 0 "$lowbit" merge "$tmp/n3" -o "$tmp/n3"
equal "$tmp/n3"
[ "$(grep -c '"kind":"trial"' "$tmp/n3/trials.jsonl")" = 10 ] || fail "merged again, lines are there twice" "$tmp/n3/trials.jsonl"
expect 0 "$lowbit" run "${small[@]}" --out "$tmp/n3" # what was merged goes on like any other folder
[ "$(grep -c '"kind":"trial"' "$tmp/n3/trials.jsonl")" = 10 ] || fail "merged trials run again" "$tmp/n3/trials.jsonl"

# ---- What Slurm says ----
slurm() { # STATUS ID COUNT MIN STEP OPTION...
    local status=$1 id=$2 count=$3 min=$4 step=$5
    shift 5
    SLURM_ARRAY_TASK_ID=$id SLURM_ARRAY_TASK_COUNT=$count SLURM_ARRAY_TASK_MIN=$min SLURM_ARRAY_TASK_STEP=$step \
        expect "$status" "$lowbit" run "${small[@]}" --out "$tmp/array" "$@"
}
slurm 0 10 3 10 5
slurm 0 15 3 10 5
slurm 0 20 3 10 5
expect 0 "$lowbit" merge "$tmp/array" -o "$tmp/array"
equal "$tmp/array"
[ "$(find "$tmp/array" -name 'shard-*' | sort | xargs -n1 basename | paste -sd' ')" = 'shard-1-of-3 shard-2-of-3 shard-3-of-3' ] || fail "other folders: $(ls "$tmp/array")"
slurm 2 25 3 10 5
grep -q 'SLURM_ARRAY_TASK_ID: 25 is not among the 3 tasks' "$tmp/err" || fail "no clear refusal" "$tmp/err"
slurm 2 x 3 1 1
grep -q 'SLURM_ARRAY_TASK_ID: expected a whole number, found "x"' "$tmp/err" || fail "no clear refusal" "$tmp/err"
slurm 0 x 3 1 1 --shard 2/3
for bad in 0/3 4/3 1/0 3 1/ /3 1/3x -1/3 1/99999999999 ''; do
    expect 2 "$lowbit" run "${small[@]}" --out "$tmp/no" --shard "$bad"
    grep -q -- '--shard: expected I/N' "$tmp/err" || fail "--shard '$bad': no clear refusal" "$tmp/err"
done
if [ -e "$tmp/no" ]; then fail "a refused share leaves a folder"; fi

# ---- What does not belong together, or is not there ----
refused() { # WORDS FOLDER
    expect 2 "$lowbit" merge "$tmp/n3/shard-1-of-3" "$2" -o "$tmp/refused"
    grep -q -- "are not of one experiment: $1" "$tmp/err" || fail "an error like \"$1\" is wanted" "$tmp/err"
    if [ -e "$tmp/refused" ]; then fail "$1: refused, and yet something was written: $(ls "$tmp/refused")"; fi
}
shards "$tmp/lr" 3 --set train.lr=0.01
refused 'their config differs, first at train.lr' "$tmp/lr/shard-2-of-3"
edited() { # NAME SED: share 2 with another journal
    cp -r "$tmp/n3/shard-2-of-3" "$tmp/$1"
    sed 's/,"crc32":"[0-9a-f]*"}$/}/' "$tmp/n3/shard-2-of-3/trials.jsonl" | sed "$2" | sealed >"$tmp/$1/trials.jsonl"
}
edited arithmetic 's/"arithmetic":"[0-9]*"/"arithmetic":"1"/'
refused 'their version of the arithmetic differs: .* and 1$' "$tmp/arithmetic"
edited data 's/"data_sha256":"[0-9a-f]\{8\}/"data_sha256":"00000000/'
refused 'their data differ: ' "$tmp/data"
edited formats 's/"F16":"[0-9a-f]\{8\}/"F16":"00000000/'
refused 'their formats differ, first at F16' "$tmp/formats"
expect 1 "$lowbit" merge "$tmp/n3/shard-1-of-3" "$tmp/n3/shard-3-of-3" -o "$tmp/part"
grep -q '^warning: share 2 of 3: 3 of its 3 trials are missing$' "$tmp/err" || fail "the missing share is not named" "$tmp/err"
[ "$(trials_in "$tmp/part")" = 7 ] || fail "the table of those that are there has 7 rows" "$tmp/part/table.csv"
expect 0 "$lowbit" merge "$tmp/n3/shard-2-of-3" "$tmp/part" -o "$tmp/part" # which then joins them
equal "$tmp/part"
cp -r "$tmp/n3/shard-2-of-3" "$tmp/linked"
for f in "$tmp"/linked/models/*; do ln -sf /etc/hostname "$f"; done
expect 2 "$lowbit" merge "$tmp/linked" -o "$tmp/stranger"
grep -q 'models/[0-9a-f]*.safetensors: not a regular file' "$tmp/err" || fail "a link in a share is followed" "$tmp/err"
expect 2 "$lowbit" merge "$tmp/none" -o "$tmp/refused"
expect 2 "$lowbit" merge "$tmp/n3"
expect 2 "$lowbit" merge -o "$tmp/refused"
mkdir "$tmp/empty"
expect 2 "$lowbit" merge "$tmp/empty" -o "$tmp/refused"
grep -q 'no journal here' "$tmp/err" || fail "an empty folder is no share" "$tmp/err"

# ---- verify DIR ----
expect 0 "$lowbit" verify "$tmp/whole3" --quiet
[ "$(grep -c '^ok      trial ' "$tmp/out")" = 3 ] || fail "3 trials are run again" "$tmp/out"
grep -q ": 3 of 10 trials run again, 0 differ$" "$tmp/out" || fail "no count" "$tmp/out"
expect 0 "$lowbit" verify "$tmp/one" --all --jobs 2 --quiet
[ "$(grep -c '^ok      trial ' "$tmp/out")" = 10 ] && [ "$(grep -c '^ok      training ' "$tmp/out")" = 2 ] || fail "all is run again" "$tmp/out"
cp -r "$tmp/one" "$tmp/told"
sed 's/,"crc32":"[0-9a-f]*"}$/}/' "$tmp/one/trials.jsonl" | sed '/"format":"INT8"/s/"top1":\([0-9.]*\)/"top1":1\1/' | sealed >"$tmp/told/trials.jsonl"
expect 1 "$lowbit" verify "$tmp/told" --all --quiet
[ "$(grep -c '^FAILED  trial .*INT8.*: top1 was 1.*, is ' "$tmp/out")" = 2 ] || fail "the two rows that tell other bits are not named" "$tmp/out"
grep -q ": 10 of 10 trials run again, 2 differ$" "$tmp/out" || fail "no count" "$tmp/out"
expect 0 "$lowbit" report "$tmp/told"
rm "$tmp/told/config.json"
expect 2 "$lowbit" verify "$tmp/told" --quiet
grep -q 'config.json: not here, so its trials cannot be run again' "$tmp/err" || fail "no word of the missing config" "$tmp/err"
expect 0 "$lowbit" verify "$tmp/told" --sample 0 --quiet
if ls "${TMPDIR:-/tmp}"/lowbit-verify-* 2>/dev/null; then fail "a folder is left behind"; fi

# ---- Signals (bash has those that it starts so ignore SIGINT): the journal is whole, the command to go on is printed, no process stays, the process ends by the signal ----
for signal in INT TERM HUP; do
    rm -rf "$tmp/cut"
    setsid env --default-signal=INT "$lowbit" run "${small[@]}" --set train.epochs=40 --set data.train=3000 --jobs 2 --out "$tmp/cut" >"$tmp/out" 2>"$tmp/err" &
    pid=$!
    for _ in $(seq 300); do
        [ "$(pgrep -c -s $pid)" -ge 2 ] && [ -e "$tmp/cut/trials.jsonl" ] && break
        sleep 0.02
    done
    sleep 0.3
    kill -$signal $pid
    status=0
    wait $pid || status=$?
    [ $status = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: exit status $status" "$tmp/err"
    grep -q "^warning: interrupted (.*); to go on where this run stopped: $lowbit run .*--out $tmp/cut" "$tmp/err" || fail "SIG$signal: no command to go on" "$tmp/err"
    if pgrep -r R,S,D -s $pid >/dev/null; then fail "SIG$signal: a process is left: $(pgrep -a -s $pid)"; fi
    expect 0 "$lowbit" report "$tmp/cut"
done
finish
