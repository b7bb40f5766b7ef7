#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# What happens to sweeps at night: a plugin that spoils its reply, prints, floods or takes memory while lowbit finds out what it is; a reader that leaves; a signal
# while another run is waited for; files that were changed or lost; folders put together in the wrong place; a table of a part. Nothing finished is lost
# or made again, and what is wrong is said.
set -euo pipefail
. test/sh/util.bash

plugins=$tmp/plugins
mkdir "$plugins" "$tmp/other"
build() { # FILE NAME MACRO=WHAT
    ${CC:-gcc} -std=c11 -O1 -D_GNU_SOURCE -I. -shared -fPIC -DNAME="\"$2\"" -D"$3" test/bad_run/bad_codec.c -o "$1/$2.so" || fail "$2 cannot be built"
}
layers='model.layers=[{"type":"dense","units":16,"activation":"relu"},{"type":"dense","units":10,"activation":"softmax"}]'
tiny=(configs/quick.json --set data.train=100 --set data.test=16 --set train.epochs=1 --set "$layers")
short=("${tiny[@]}" --set 'formats=["F32","F16","I8_X100"]')
status_of() { grep "^$2," "$1/table.csv" | cut -d, -f31; }
journal_of() { grep "^{\"kind\":\"trial\".*\"format\":\"$2\"" "$1/trials.jsonl"; }

# ---- While lowbit finds out what a codec is ----
build "$plugins" GARBAGE 'VALUE=for (int fd = 3; fd < 64; fd++) if (write(fd, "{]", 2) < 0) continue; _exit(0)'
build "$plugins" PRINTS 'VALUE=printf("a word\n")'
build "$plugins" SEGV 'VALUE=fputs("my last words\n", stderr); signal(SIGSEGV, SIG_DFL); raise(SIGSEGV)'
build "$plugins" FLOOD 'VALUE=for (int i = 0; i < 10000; i++) fprintf(stderr, "line %d of a flood that means nothing to anybody at all\n", i)'
expect 1 "$lowbit" run "${tiny[@]}" --plugins "$plugins" --out "$tmp/a" --set 'formats=["F32","GARBAGE","PRINTS","SEGV","FLOOD"]'
[ "$(cat "$tmp/out")" = "$tmp/a/table.md" ] || fail "what a plugin prints is on lowbit's stdout" "$tmp/out"
for row in F32=ok GARBAGE=crashed PRINTS=ok SEGV=crashed FLOOD=ok; do
    [ "$(status_of "$tmp/a" "${row%=*}")" = "${row#*=}" ] || fail "${row%=*}: $(status_of "$tmp/a" "${row%=*}")" "$tmp/err"
done
[ "$(wc -c <"$tmp/err")" -lt 3000000 ] && grep -q 'KiB to stderr: what follows is not shown' "$tmp/err" || fail "a flood is passed on" "$tmp/err"
journal_of "$tmp/a" SEGV | grep -q '"codec_plugin_sha256":"[0-9a-f]\{64\}".*"stderr":".*my last words' || fail "SEGV: no plugin or no last words" "$tmp/a/trials.jsonl"
expect 2 "$lowbit" show SEGV --plugins "$plugins"
grep -q '^error: codec SEGV: crashed: signal 11' "$tmp/err" || fail "show: no word of the crash" "$tmp/err"
if ! grep -q __asan_ <(nm "$lowbit"); then # which needs more addresses than any limit leaves
    build "$plugins" GREEDY 'VALUE=for (;;) { char *p = malloc(1 << 20); if (!p) abort(); memset(p, 1, 1 << 20); }'
    expect 1 "$lowbit" run "${tiny[@]}" --plugins "$plugins" --out "$tmp/g" --set 'formats=["F32","GREEDY"]' --set limits.process_bytes=400000000 --set limits.timeout_s=30
    [ "$(status_of "$tmp/g" GREEDY)" = crashed ] && [ "$(status_of "$tmp/g" F32)" = ok ] || fail "a codec that takes all memory" "$tmp/err"
fi

# ---- Which program made a row: only what it used ----
expect 0 "$lowbit" run "${short[@]}" --out "$tmp/b"
expect 0 "$lowbit" run "${short[@]}" --out "$tmp/b" --plugins "$plugins"
[ "$(lines trial "$tmp/b")" = 3 ] || fail "a plugin that is not used made trials stale" "$tmp/err"
build "$tmp/other" OWN 'VALUE=return code'
expect 0 "$lowbit" run "${tiny[@]}" --set 'formats=["F32","OWN"]' --out "$tmp/o" --plugins "$tmp/other"
build "$tmp/other" OWN 'VALUE=/* the same, another file */ if (code == 1000) puts("never"); return code'
expect 0 "$lowbit" run "${tiny[@]}" --set 'formats=["F32","OWN"]' --out "$tmp/o" --plugins "$tmp/other"
grep -q '^warning: 1 trial that was finished by another build' "$tmp/err" || fail "one trial is stale, and it is not said" "$tmp/err"
[ "$(lines trial "$tmp/o")" = 3 ] || fail "not the one trial of the changed plugin has run again" "$tmp/o/trials.jsonl"

# ---- Files that were changed or lost; --repair ----
expect 0 "$lowbit" verify "$tmp/b"
echo '| a row | of somebody |' >>"$tmp/b/table.md"
expect 1 "$lowbit" verify "$tmp/b" --sample 0
grep -q "^FAILED  $tmp/b/table.md: it is not what the journal gives" "$tmp/out" || fail "a changed table" "$tmp/out"
model=$(find "$tmp/b/models" -name '*.safetensors' | sort | head -n 1)
printf 'zz' | dd of="$model" bs=1 seek=$(($(wc -c <"$model") - 9)) conv=notrunc 2>/dev/null
rm "$tmp"/b/trained/*.safetensors
expect 1 "$lowbit" verify "$tmp/b" --sample 0
[ "$(grep -c '^FAILED ' "$tmp/out")" = 3 ] || fail "three files are wrong" "$tmp/out"
expect 0 "$lowbit" run "${short[@]}" --out "$tmp/b" --repair
expect 0 "$lowbit" verify "$tmp/b"
[ "$(lines trial "$tmp/b")" = 4 ] || fail "one trial is to be run again" "$tmp/b/trials.jsonl"
sed -i 's/"epochs": 1/"epochs": 2/' "$tmp/b/config.json"
expect 1 "$lowbit" verify "$tmp/b" --all
grep -q "^FAILED  $tmp/b/config.json: it is not the config" "$tmp/out" || fail "another config" "$tmp/out"

# ---- A folder at rest; a part of a table ----
expect 0 "$lowbit" run "${short[@]}" --out "$tmp/b"
expect 0 "$lowbit" plan "$tmp/b"
[ "$(grep -c '  done ' "$tmp/out")" = 3 ] || fail "plan DIR" "$tmp/out" "$tmp/err"
cp -r "$tmp/b" "$tmp/part"
grep -v '"kind":"trial".*"format":"F16"' "$tmp/b/trials.jsonl" >"$tmp/part/trials.jsonl"
expect 0 "$lowbit" report "$tmp/part"
grep -q '^\*\*Not complete: 2 of 3 trials\.\*\*' "$tmp/part/table.md" || fail "a table of a part does not say so" "$tmp/part/table.md"

# ---- Put together in the wrong place ----
for i in 1 2; do expect 0 "$lowbit" run "${short[@]}" --out "$tmp/s" --shard $i/2; done
expect 2 "$lowbit" merge "$tmp/s" -o "$tmp/s/shard-1-of-2"
grep -q 'is one of the shares' "$tmp/err" || fail "merge into a share" "$tmp/err"
expect 2 "$lowbit" merge "$tmp/s" -o "$tmp/o"
grep -q 'holds the results of another experiment' "$tmp/err" || fail "merge into another experiment" "$tmp/err"
for _ in 1 2; do expect 0 "$lowbit" merge "$tmp/s" -o "$tmp/s"; done
same "$tmp/s/table.csv" "$tmp/b/table.csv"

# ---- A reader that leaves ----
{ "$lowbit" run "${short[@]}" --out "$tmp/h" --jobs 2 || echo $? >"$tmp/left"; } 2>&1 >/dev/null | head -n 1 >/dev/null
same "$tmp/h/table.csv" "$tmp/b/table.csv"

# ---- A signal while another run is waited for, and while a codec is looked at ----
ends() { # SIGNAL WHAT COMMAND...: it ends by it within five seconds, and says how to go on
    local signal=$1 what=$2 status=0
    shift 2
    setsid env --default-signal=INT "$@" >"$tmp/out" 2>"$tmp/err" </dev/null &
    local pid=$!
    sleep 3
    kill -"$signal" $pid
    for _ in $(seq 50); do
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    ! kill -9 $pid 2>/dev/null || fail "$what: SIG$signal does not end it" "$tmp/err"
    wait $pid || status=$?
    [ $status = $((128 + $(kill -l "$signal"))) ] || fail "$what: exit status $status" "$tmp/err"
    grep -q "to go on where this run stopped: $lowbit run" "$tmp/err" || fail "$what: no word of how to go on" "$tmp/err"
    ! pgrep -r R,S,D -s $pid >/dev/null || fail "$what: this outlives it: $(pgrep -a -s $pid)"
}
exec 9<>"$tmp/b/trials.jsonl"
flock 9
ends TERM '--wait' "$lowbit" run "${short[@]}" --out "$tmp/b" --wait
exec 9>&-
build "$plugins" FORKS 'VALUE=if (!fork()) for (;;) pause(); for (;;) pause()'
ends INT 'a codec that hangs' "$lowbit" run "${tiny[@]}" --plugins "$plugins" --out "$tmp/f" --set 'formats=["FORKS"]'
finish
