#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Watching: lowbit plan counts what a folder and the shares in it hold, at rest and at work; with --log json every line on stderr is an object.
set -euo pipefail
. test/sh/util.bash

small=(--set data.train=100 --set data.test=32 --set train.epochs=1 --set 'formats=["F32","F4_X8"]')
six=("${small[@]}" --set 'backends=["cpu","skeleton"]' --set 'seeds=[1,2,3]')

# all_json FILE: its lines have level, a time and text or counts, and nothing but ASCII without control characters stands between the braces.
all_json() {
    local line='^\{"level":"(error|warning|info|progress)","time":"20[0-9-]{8}T[0-9:]{8}\.[0-9]{3}Z","(text":".*"|label":.*)\}$'
    [ -s "$1" ] || fail "no line of JSON" "$1"
    if LC_ALL=C grep -vE "$line" "$1" >"$tmp/other"; then fail "not JSON" "$tmp/other"; fi
}

# last TEXT: the last line on stderr begins so.
last() {
    [[ $(tail -n 1 "$tmp/err") = "$1"* ]] || fail "the last line is to begin \"$1\"" "$tmp/err"
}

# ---- At rest ----
expect 0 "$lowbit" plan configs/quick.json "${six[@]}" --out "$tmp/run"
last "12 trials, 0 done, 12 to do; data: "
expect 1 "$lowbit" run configs/quick.json "${six[@]}" --out "$tmp/run" --log json
all_json "$tmp/err"
want='"label":"trials","done":6,"running":0,"failed":6,"skipped":0,"total":12,"per_s":[0-9.]+,"seconds_left":0.0\}$'
grep -E '"level":"progress"' "$tmp/err" | tail -n 1 | grep -qE "$want" || fail "the last progress of a run" "$tmp/err"
want='"label":"train [^"]*","epoch":1,"epochs":1,"batch":([0-9]+),"batches":\1,"loss":[0-9.]+,"seconds":[0-9.]+,"per_s":[0-9.]+,"seconds_left":0.0,"training":"[0-9a-f]{64}"\}$'
[ "$(grep -cE "$want" "$tmp/err")" = 3 ] || fail "the last progress of three trainings" "$tmp/err"
grep -o '"training":"[0-9a-f]*"}$' "$tmp/err" | tr -d '}' | sort -u >"$tmp/followed"
grep '^{"kind":"train"' "$tmp/run/trials.jsonl" | grep -o '"training":"[0-9a-f]*"' | sort -u >"$tmp/trained"
same "$tmp/trained" "$tmp/followed"
expect 0 "$lowbit" plan configs/quick.json "${six[@]}" --out "$tmp/run"
last "12 trials, 6 done, 6 unsupported; data: "
expect 0 "$lowbit" plan configs/quick.json "${six[@]}" --out "$tmp/run" --csv --log json
all_json "$tmp/err"
grep -q '"label":"trials","done":6,"running":0,"failed":6,"skipped":0,"total":12,"per_s":null,"seconds_left":null}$' "$tmp/err" || fail "plan --log json" "$tmp/err"
[ "$(head -n 1 "$tmp/out")" = trial,state,model,seed,format,mode,backend,seconds,at,folder,why ] || fail "the columns" "$tmp/out"
[ "$(grep -cE "^[0-9a-f]{64},done,small_cnn,[123],(F32|F4_X8),w,cpu,[0-9.]+,20[^,]*Z,$tmp/run,\$" "$tmp/out")" = 6 ] || fail "rows that are done" "$tmp/out"
[ "$(grep -cE '^[0-9a-f]{64},unsupported,.*,skeleton,.*,.+$' "$tmp/out")" = 6 ] || fail "rows that say why not" "$tmp/out"

# Another build's trials are stale; the copy of the program is another for a byte at its end.
cp "$lowbit" "$tmp/lowbit" && echo >>"$tmp/lowbit"
expect 0 "$tmp/lowbit" plan configs/quick.json "${six[@]}" --out "$tmp/run" --plugins "$BUILD/plugins"
last "12 trials, 0 done, 6 unsupported, 6 stale; data: "

# ---- At work: somebody else has the lock ----
three=("${small[@]}" --set 'backends=["cpu"]' --set 'seeds=[1,2,3]')
expect 0 "$lowbit" run configs/quick.json "${three[@]}" --out "$tmp/three" --quiet

# at_work SHARD TEXT JSON: four of six trials are done, in 10, 20, 30 and 40 s; then the run began anew, with two jobs. What plan says.
at_work() {
    rm -rf "$tmp/half"
    mkdir "$tmp/half"
    sed -E "s/,\"crc32\":\"[0-9a-f]*\"\}/}/; /\"kind\":\"trial\".*\"seed\":3/d; s/(\"kind\":\"experiment\".*)\"jobs\":1(.*\"at\":\")20/\1$1\"jobs\":2\299/" "$tmp/three/trials.jsonl" |
        awk '/"kind":"trial"/ { n++; sub(/"seconds":[0-9.e-]*,"at"/, "\"seconds\":" 10 * (5 - n) ",\"at\"") } { print }' | sealed >"$tmp/half/trials.jsonl"
    exec 9>>"$tmp/half/trials.jsonl"
    flock -n 9
    expect 0 "$lowbit" plan configs/quick.json "${three[@]}" --out "$tmp/half" 9>&-
    grep -qE "^6 trials, 4 done, 2 to do; at work: 1 process with 2 jobs, last line 20[^ ]*Z, $2 left; data: " "$tmp/err" || fail "a folder at work, \"$1\"" "$tmp/err"
    expect 0 "$lowbit" plan configs/quick.json "${three[@]}" --out "$tmp/half" --log json 9>&-
    grep -qE "\"done\":4,$3\}$" "$tmp/err" || fail "a folder at work, JSON, \"$1\"" "$tmp/err"
    exec 9>&-
}
at_work '' 'about 30 s' '"running":2,"failed":0,"skipped":0,"total":6,"per_s":null,"seconds_left":30.0'
at_work '"shard":{"index":2,"count":2},' 'about 30 s' '"running":2,"failed":0,"skipped":0,"total":6,"per_s":null,"seconds_left":30.0'
at_work '"shard":{"index":1,"count":2},' 'about 0 s' '"running":0,"failed":0,"skipped":0,"total":6,"per_s":null,"seconds_left":0.0'
expect 0 "$lowbit" plan configs/quick.json "${three[@]}" --out "$tmp/half"
last "6 trials, 4 done, 2 to do; data: "

# What cannot run here is not to do.
expect 0 "$lowbit" plan configs/quick.json "${small[@]}" --cpumask 0 --set 'backends=["cpu",{"name":"fast","backend":"cpu","isa":"avx2"}]' --out "$tmp/none"
last "4 trials, 0 done, 2 skipped, 2 to do; data: "

# ---- Shares ----
for share in 1 2; do
    expect 0 "$lowbit" run configs/quick.json "${small[@]}" --out "$tmp/shared" --shard $share/2 --quiet
    expect 0 "$lowbit" plan configs/quick.json "${small[@]}" --out "$tmp/shared" --csv
    [ "$(grep -c ',done,' "$tmp/out")" = $share ] || fail "$share of 2 shares" "$tmp/out"
    grep -q ",done,.*,$tmp/shared/shard-$share-of-2,\$" "$tmp/out" || fail "the share's folder" "$tmp/out"
done
last "2 trials, 2 done; data: "

# ---- What is said about the command line ----
for args in "run --log json --nonsense" "run --log=json" "nonsense --log json" "bench --log json --seconds x" "check --log json /not/there" "plan configs --log json"; do
    # shellcheck disable=SC2086
    expect 2 "$lowbit" $args
    all_json "$tmp/err"
    grep -q '"level":"error"' "$tmp/err" || fail "no error: lowbit $args" "$tmp/err"
done
expect 2 "$lowbit" run --log text --nonsense
grep -q '^lowbit run: unrecognized option' "$tmp/err" || fail "argp's words as they are" "$tmp/err"

# ---- A terminal of 40 columns ----
if command -v script >/dev/null; then
    rm -rf "$tmp/run"
    COLUMNS=40 script -qec "$lowbit run configs/quick.json ${small[*]@Q} --out $tmp/run" "$tmp/terminal" >"$tmp/out" 2>&1 </dev/null || fail "script" "$tmp/out"
    tr '\r' '\n' <"$tmp/terminal" | sed 's/\x1b\[K//' | grep '^trials: ' >"$tmp/shown" || true
    grep -q '^trials: 2/2 done, 0 running, 0 failed' "$tmp/shown" || fail "the progress line" "$tmp/terminal"
    if grep -E '.{40}' "$tmp/shown" >"$tmp/long"; then fail "longer than the terminal" "$tmp/long"; fi
fi
finish
