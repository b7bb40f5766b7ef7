#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Plugins that go beyond their arrays are refused by `lowbit verify`, which says where. One that crashes, leaves or hangs while it is loaded is refused, and the
# others load. In a run one that leaks meets the limit of its process, one whose numbers are NaN gives rows that say so, and the rest of the sweep goes on.
set -euo pipefail
. test/sh/util.bash

plugins=$tmp/plugins
mkdir "$plugins"
build() { # SOURCE FILE OPTION...
    local source=$1 file=$2
    shift 2
    ${CC:-gcc} -std=c11 -O1 -D_GNU_SOURCE -I. -shared -fPIC "$@" "test/bad_run/$source.c" -o "$file" || fail "$source cannot be built"
}

# ---- While it is loaded: what it does | what is said. The one that hangs has its time while the rest of this script runs ----
hang=$tmp/hang
mkdir "$hang"
build bad_codec "$hang/HANG.so" -DNAME='"HANG"' -DLOADED='for (;;) pause()'
build bad_codec "$hang/GOOD.so" -DNAME='"GOOD"'
timeout 120 "$lowbit" list codecs --csv --plugins "$hang" >"$tmp/hang_list" 2>"$tmp/hang_warnings" </dev/null &
hanging_list=$!
timeout 120 "$lowbit" verify "$hang/HANG.so" >"$tmp/hang_out" 2>"$tmp/hang_err" </dev/null &
hanging_verify=$!

loaded=$tmp/loaded
mkdir "$loaded"
build bad_codec "$loaded/GOOD.so" -DNAME='"GOOD"' -DLOADED='puts("it is loaded")'
while IFS='|' read -r what said; do
    build bad_codec "$loaded/BOOM.so" -DNAME='"BOOM"' -DLOADED="$what"
    expect 0 "$lowbit" list codecs --csv --plugins "$loaded" || continue
    grep -q '^GOOD,8,' "$tmp/out" || fail "$what: the other one is not there" "$tmp/out"
    [ "$(grep -c '^it is loaded$' "$tmp/out")" = 1 ] || fail "what a plugin prints is there more than once" "$tmp/out"
    said="loading it was tried in a process of its own: $said"
    grep -qF "BOOM,,,,,refused,$loaded/BOOM.so,$said," "$tmp/out" || fail "$what: not listed as refused" "$tmp/out"
    grep -qxF "warning: $loaded/BOOM.so: refused: $said" "$tmp/err" || fail "$what: no warning" "$tmp/err"
    LOWBIT_PLUGIN_PATH=$loaded expect 0 "$lowbit" show F4
    expect 2 "$lowbit" verify "$loaded/BOOM.so" && grep -qxF "error: $loaded/BOOM.so: $said" "$tmp/err" || fail "$what: verify" "$tmp/err"
done <<'ROWS'
*(volatile int *)8 = 0|signal 11 (Segmentation fault)
abort()|signal 6 (Aborted)
exit(0)|left with status 0 and no reply
_exit(3)|left with status 3 and no reply
ROWS

# ---- Bounds of codecs: function | what it does | what is said ----
functions=(none encode decode encode_int encode_f32 decode_f32)
while IFS='|' read -r number touch said; do
    build bounds_codec "$tmp/bounds.so" -DNAME='"BOUNDS"' -DIN="$number" -DTOUCH="$touch"
    expect 1 "$lowbit" verify "$tmp/bounds.so" || continue
    grep -q "^FAILED  BOUNDS: no array is touched beyond its ends: ${functions[number]} of 1 elements: $said was touched$" "$tmp/out" ||
        fail "${functions[number]}: $touch: not said where" "$tmp/out"
    grep -q '^FAILED  BOUNDS: crashed: signal 11' "$tmp/out" || fail "${functions[number]}: $touch: it did not end it" "$tmp/out"
done <<'ROWS'
1|*end = 0|byte 4 of codes (4 bytes)
1|first[-1] = 0|byte -1 of codes (4 bytes)
1|seen = *from_end|byte 8 of binary64 numbers (8 bytes)
2|*(double *)end = 0|byte 8 of binary64 numbers (8 bytes)
2|seen = from[-1]|byte -1 of codes (4 bytes)
3|seen = from_end[100]|byte 108 of whole numbers (8 bytes)
4|*end = 0|byte 4 of codes (4 bytes)
4|seen = *from_end|byte 4 of binary32 numbers (4 bytes)
5|*(float *)end = 0|byte 4 of binary32 numbers (4 bytes)
5|seen = *from_end|byte 4 of codes (4 bytes)
ROWS
build bounds_codec "$tmp/bounds.so" -DNAME='"BOUNDS"'
"$lowbit" verify "$tmp/bounds.so" >"$tmp/out" 2>&1 || true
grep -q '^ok      BOUNDS: no array is touched beyond its ends ([1-9][0-9]* tried)$' "$tmp/out" || fail "a codec that stays within its arrays" "$tmp/out"

# ---- Bounds of backends: which array (bounds_backend.c) | what it does | what is said | of a device with memory of its own ----
while IFS='|' read -r number touch said device; do
    build bounds_backend "$tmp/beyond.so" -DNAME='"BEYOND"' -DIN="$number" -DTOUCH="$touch" ${device:+-DDEVICE}
    expect 1 "$lowbit" verify "$tmp/beyond.so" || continue
    grep -q "^FAILED  BEYOND: $said$" "$tmp/out" || fail "$number: $touch: not said where" "$tmp/out"
    grep -q '^FAILED  BEYOND: crashed: signal 11' "$tmp/out" || fail "$number: $touch: it did not end it" "$tmp/out"
done <<'ROWS'
1|*(float *)end = 0|sgd, case 0 (n=1 .*): byte 4 of w (4 bytes) was touched
1|*(volatile char *)8 = 0|sgd, case 0 (n=1 .*): an address beside all arrays was touched
2|seen = first[-4]|bias_grad, case 0 (n=1 c=1 p=1): byte -4 of dy (4 bytes) was touched
2|seen = *end|bias_grad, case 0 (n=1 c=1 p=1): byte 4 of dy (4 bytes) was touched
3|*(float *)end = 0|bias_grad, case 0 (n=1 c=1 p=1): byte 4 of db (4 bytes) was touched
3|end[3000] = 0|bias_grad, case 0 (n=1 c=1 p=1): byte 3004 of db (4 bytes) was touched
4|seen = *end|gemm_packed, case 0 (F4, m=1 .*): byte 1 of codes (1 bytes) was touched
5|seen = *end|gemm_packed, case [0-9]* (F4 .*, m=1 .*): byte 1 of scales (1 bytes) was touched
6|seen = *first|gemm_packed, case 0 (F4, m=1 .*): byte 0 of codes (1 bytes) was touched after it was given back
7|seen = *end|quantize, case 0 (F8_E4M3, .*): byte 1016 of first (1016 bytes) was touched
8|seen = *end|bias_grad, case 0 (.*): byte 100 of dy (100 bytes) was touched|device
9|*end = 0|bias_grad, case 0 (.*): byte 100 of dy (100 bytes) was touched|device
ROWS
build bounds_backend "$tmp/beyond.so" -DNAME='"BEYOND"' -DIN=1 -DTOUCH='((float *)first)[-1] = 0'
expect 1 "$lowbit" verify "$tmp/beyond.so" && grep -q '^sgd: FAILED case 0 .*: w\[-1\]: .* got 0x00000000 (0), an element beside the array;' "$tmp/out" ||
    fail "an element before the array" "$tmp/out"
for device in '' -DDEVICE; do
    build bounds_backend "$tmp/beyond.so" -DNAME='"BEYOND"' $device
    expect 0 "$lowbit" verify "$tmp/beyond.so" && grep -q '^BEYOND: [1-9][0-9]* times .* nothing can be touched, [1-9][0-9]* arrays in all$' "$tmp/out" ||
        fail "a backend that stays within its arrays $device" "$tmp/out"
done

# ---- In a run ----
build bad_codec "$plugins/BOOM.so" -DNAME='"BOOM"' -DLOADED='abort()'
build bad_codec "$plugins/LEAK.so" -DNAME='"LEAK"' -DENCODE='for (size_t i = 0; i < 1000; i++) { char *p = malloc(1 << 20); if (!p) abort(); memset(p, 1, 1 << 20); __asm__ volatile("" : : "r"(p) : "memory"); }'
build bad_codec "$plugins/NANS.so" -DNAME='"NANS"' -DVALUE='return code ? 0.0 / 0.0 : 0'
build bad_codec "$plugins/WIDE_NANS.so" -DNAME='"WIDE_NANS"' -DENCODE='' -DDECODED='0.0 / 0.0'
layers='model.layers=[{"type":"dense","units":16,"activation":"relu"},{"type":"dense","units":10,"activation":"softmax"}]'
leaks=(--set 'formats=["F16","LEAK","NANS","WIDE_NANS","F32"]' --set limits.process_bytes=500000000) status=1
if grep -q __asan_ <(nm "$lowbit"); then # the address sanitizer needs more addresses than any limit leaves
    leaks=(--set 'formats=["F16","NANS","WIDE_NANS","F32"]') status=0
fi
expect $status "$lowbit" run configs/quick.json --plugins "$plugins" --out "$tmp/run" --set data.train=100 --set data.test=16 --set train.epochs=1 \
    --set "$layers" "${leaks[@]}"
row() { # FORMAT QUALITY,...,STATUS: columns 8, 11, 14, 15, 31 of its row are like that
    local got
    got=$(grep "^$1," "$tmp/run/table.csv" | cut -d, -f8,11,14,15,31)
    # shellcheck disable=SC2053
    [[ $got == $2 ]] || fail "$1: $got, wanted $2" "$tmp/err"
}
row F16 '9?.????,*,*,*,ok'
row NANS '*,*,*,0.00,ok'
row WIDE_NANS '0.0000,0.0000,nan,nan,ok'
row F32 '100.0000,*,0,inf,ok'
if [ $status = 1 ]; then
    row LEAK ',,,,crashed'
    grep -q '^warning: trial [0-9a-f]* (LEAK, cpu, seed 1): crashed: signal 6' "$tmp/err" || fail "no word of the one that leaks" "$tmp/err"
fi
grep -q "^warning: $plugins/BOOM.so: refused: loading it was tried" "$tmp/err" || fail "no word of the one that cannot be loaded" "$tmp/err"

# ---- In a run with --guard: what gemm does | status and signal | what is said. Without --guard it goes on to softmax, which none has ----
guarded=$tmp/guarded
mkdir "$guarded"
cat >"$tmp/backends" <<'ROWS'
past|lb_f32(o->c)[o->m * o->n] = 1|signal 11|byte 1024 of c (1024 bytes)
far|static volatile float seen; seen = lb_f32(o->a)[o->m * o->k + 100]|signal 11|byte 50576 of a (50176 bytes)
before|lb_f32(o->b)[-1] = 1|signal 6|byte -4 of b (50176 bytes)
bias|if (o->n == 10) lb_f32(o->bias)[10] = 1|signal 6|byte 40 of bias (40 bytes)
ROWS
while IFS='|' read -r name what signal said; do
    build bad_backend "$guarded/$name.so" -DNAME="\"$name\"" -DGEMM="$what"
done <"$tmp/backends"
small=(--set data.train=100 --set data.test=16 --set train.epochs=1 --set infer.batch=16 --set "$layers" --set 'formats=["F32","INT8"]')
expect 1 "$lowbit" run configs/quick.json --guard --plugins "$guarded" --out "$tmp/guard" "${small[@]}" \
    --set "backends=[\"cpu\",$(cut -d'|' -f1 "$tmp/backends" | sed 's/.*/"&"/' | paste -sd,)]"
[ "$(rows ok "$tmp/guard") $(rows crashed "$tmp/guard")" = "2 8" ] || fail "2 rows ok and 8 crashed are wanted" "$tmp/guard/table.csv"
while IFS='|' read -r name what signal said; do
    grep "\"backend\":\"$name\"" "$tmp/guard/trials.jsonl" | grep "\"why\":\"$signal " | grep -qF "\"stderr\":\"FAILED  $name: gemm: $said was touched\"" ||
        fail "$name: not said where" "$tmp/guard/trials.jsonl"
done <"$tmp/backends"
expect 0 "$lowbit" run configs/quick.json --guard --out "$tmp/guard_good" "${small[@]}"
expect 0 "$lowbit" run configs/quick.json --out "$tmp/good" "${small[@]}"
same "$tmp/guard_good/table.csv" "$tmp/good/table.csv"

# ---- The one that hangs, again ----
said='loading it was tried in a process of its own: ended after its time limit'
wait $hanging_list || fail "one that hangs while it is loaded: list codecs" "$tmp/hang_warnings"
grep -q '^GOOD,8,' "$tmp/hang_list" && grep -qF "HANG,,,,,refused,$hang/HANG.so,$said" "$tmp/hang_list" || fail "HANG is not refused, or GOOD not there" "$tmp/hang_list"
status=0
wait $hanging_verify || status=$?
[ $status = 2 ] && grep -qF "error: $hang/HANG.so: $said" "$tmp/hang_err" || fail "one that hangs while it is loaded: verify" "$tmp/hang_err"
finish
