#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# lowbit run with plugins that crash, hang, leave, fail or are not there: each becomes rows with their status and reason, all other trials are ok, the
# table is written, and running again tries only what is not ok.
set -euo pipefail
. test/sh/util.bash

plugins=$tmp/plugins
mkdir "$plugins"
build() { # SOURCE NAME MACRO=WHAT: a plugin of that name that does WHAT there
    ${CC:-gcc} -std=c11 -D_GNU_SOURCE -I. -shared -fPIC -DNAME="\"$2\"" -D"$3" "test/bad_run/$1.c" -o "$plugins/$2.so" || fail "$2 cannot be built"
}
segv='signal(SIGSEGV, SIG_DFL); raise(SIGSEGV)' forever='for (;;) pause()'

# plugin | status | what measured.csv must say
cat >"$tmp/backends" <<'ROWS'
abort|crashed|signal 6 (Aborted)
kill|oom|killed (signal 9, Killed): out of memory?
hang|timeout|ended after its time limit
refuse|failed|backend refuse: gemm: cannot be bothered
exit|crashed|left with status 3 and no reply
closed|failed|backend closed: cannot be opened: does not want to
absent|skipped|needs what nobody has
skeleton|unsupported|backend skeleton has no op softmax
ROWS
build bad_backend abort 'GEMM=abort()'
build bad_backend kill 'GEMM=raise(SIGKILL)'
build bad_backend hang "GEMM=$forever"
build bad_backend refuse 'GEMM=host->log(host, LB_LOG_ERROR, "cannot be bothered"); return -1'
build bad_backend exit 'OPEN=exit(3)'
build bad_backend closed 'OPEN=return NULL'
build bad_backend absent 'PROBE=return 0'
cat >"$tmp/codecs" <<'ROWS'
CRASH|crashed|signal 11 (Segmentation fault)
STUCK|timeout|ended after its time limit
HANG|timeout|ended after its time limit
EXIT|crashed|left with status 5 and no reply
NEEDS_STUB|skipped|libstub_of_lowbit.so: cannot open shared object file
ROWS
build bad_codec CRASH "VALUE=$segv"
build bad_codec STUCK "VALUE=$forever"
build bad_codec HANG "ENCODE=$forever"
build bad_codec EXIT 'ENCODE=exit(5)'
echo 'double lb_stub(double x); double lb_stub(double x) { return x; }' >"$tmp/stub.c"
${CC:-gcc} -shared -fPIC "$tmp/stub.c" -o "$tmp/libstub_of_lowbit.so"
${CC:-gcc} -D_GNU_SOURCE -I. -shared -fPIC -DNAME='"NEEDS_STUB"' -DVALUE='double lb_stub(double); return lb_stub(code)' test/bad_run/bad_codec.c \
    -L"$tmp" -lstub_of_lowbit -o "$plugins/NEEDS_STUB.so"
rm "$tmp/libstub_of_lowbit.so"

list() { cut -d'|' -f1 "$1" | sed 's/.*/"&"/' | paste -sd,; }
layers='model.layers=[{"type":"dense","units":16,"activation":"relu"},{"type":"dense","units":10,"activation":"softmax"}]'
run() { # STATUS FOLDER OPTION...
    local status=$1 folder=$2
    shift 2
    expect "$status" "$lowbit" run configs/quick.json --plugins "$plugins" --out "$folder" --set data.train=100 --set data.test=16 \
        --set train.epochs=1 --set "$layers" --set limits.timeout_s=5 "$@"
}
row() { # FOLDER FORMAT BACKEND STATUS WHY
    local got why
    got=$(grep "^$2,[^,]*,none,w,[a-z]*,$3," "$1/table.csv" | cut -d, -f31)
    [ "$got" = "$4" ] || fail "$2 on $3: status $got, wanted $4" "$tmp/err"
    why=$(grep ",$2,$3,small_cnn," "$1/measured.csv" || true)
    [[ $why == *"$5"* ]] || fail "$2 on $3: measured.csv lacks the reason: $5" "$1/measured.csv"
}

# ---- Backends: rows of the bad ones beside rows of a good one ----
run 1 "$tmp/b" --set 'formats=["F32","F16"]' --set "backends=[\"cpu_ref\",$(list "$tmp/backends")]" --jobs 4
[ "$(cat "$tmp/out")" = "$tmp/b/table.md" ] || fail "stdout does not name the table" "$tmp/out"
[ "$(rows ok "$tmp/b")" = 2 ] && [ "$(wc -l <"$tmp/b/table.csv")" = 19 ] || fail "2 rows of 18 are ok" "$tmp/b/table.csv"
while IFS='|' read -r name status why; do
    for format in F32 F16; do row "$tmp/b" "$format" "$name" "$status" "$why"; done
done <"$tmp/backends"
grep -q '^warning: trial [0-9a-f]* (F32, abort, seed 1): crashed: signal 6' "$tmp/err" || fail "no word of the crash on stderr" "$tmp/err"
grep -q '^2 of 18 trials ok' "$tmp/err" || fail "no count on stderr" "$tmp/err"

# ---- Codecs ----
run 1 "$tmp/c" --set "formats=[\"F16\",$(list "$tmp/codecs"),\"I8_X100\"]"
[ "$(rows ok "$tmp/c")" = 2 ] && [ "$(wc -l <"$tmp/c/table.csv")" = 8 ] || fail "2 rows of 7 are ok" "$tmp/c/table.csv"
while IFS='|' read -r name status why; do row "$tmp/c" "$name" cpu "$status" "$why"; done <"$tmp/codecs"

# ---- Again: only what is not ok, and a plugin that was repaired is tried ----
cp "$tmp/c/table.csv" "$tmp/before.csv"
run 1 "$tmp/c" --set "formats=[\"F16\",$(list "$tmp/codecs"),\"I8_X100\"]"
same "$tmp/before.csv" "$tmp/c/table.csv"
for format in F16 I8_X100; do
    [ "$(grep -c "\"kind\":\"trial\".*\"format\":\"$format\"" "$tmp/c/trials.jsonl")" = 1 ] || fail "$format, which was ok, has run again"
done
for format in $(cut -d'|' -f1 "$tmp/codecs"); do
    [ "$(grep -c "\"kind\":\"trial\".*\"format\":\"$format\"" "$tmp/c/trials.jsonl")" = 2 ] || fail "$format was not tried again"
done
[ "$(lines train "$tmp/c")" = 1 ] || fail "trained again"

# ---- Skipped is no failure: not on this machine ----
run 0 "$tmp/s" --set 'formats=["F16","NEEDS_STUB"]' --set 'backends=["cpu_ref","absent"]'
[ "$(rows ok "$tmp/s") $(rows skipped "$tmp/s")" = "1 3" ] || fail "1 row ok and 3 skipped are wanted" "$tmp/s/table.csv"

# ---- A training that fails, and one that nobody needs ----
run 1 "$tmp/t" --set 'formats=["F16"]' --set train.backend=abort
row "$tmp/t" F16 cpu crashed "training: signal 6 (Aborted)"
run 1 "$tmp/t" --set 'formats=["F16"]' --set train.backend=hang --set limits.train_timeout_s=1
row "$tmp/t" F16 cpu timeout "training: ended after its time limit"
run 0 "$tmp/t" --set 'formats=["F16"]' --set train.backend=absent
row "$tmp/t" F16 cpu skipped "needs what nobody has"
run 1 "$tmp/n" --set 'formats=["CRASH"]'
[ "$(lines train "$tmp/n")" = 0 ] || fail "trained for no trial"

# ---- A name that nothing here has is an error of the config, not a row ----
unknown() { # WHAT NAME NEAREST OPTION...
    local what=$1 name=$2 near=$3
    shift 3
    run 2 "$tmp/u" "$@"
    grep -q "^error: configs/quick.json: there is no $what \"$name\"; did you mean \"$near\"?$" "$tmp/err" || fail "no suggestion for $name" "$tmp/err"
    if [ -s "$tmp/out" ] || [ -e "$tmp/u" ]; then fail "a $what that is not there, and more than an error" "$tmp/out"; fi
}
unknown codec F17 F16 --set 'formats=["F16","F17"]'
unknown backend cpu_reff cpu_ref --backend cpu_reff
unknown backend cpu_reff cpu_ref --set train.backend=cpu_reff
finish
