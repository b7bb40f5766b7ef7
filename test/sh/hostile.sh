#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Files that are no files, that are very many tensors, or that become shorter while they are read; and a language whose decimal point is a comma.
set -euo pipefail
. test/sh/util.bash

# ---- A pipe that nobody writes to is refused, wherever a file is asked for; waiting for it would be to hang

mkfifo "$tmp/pipe" "$tmp/trials.jsonl"
for command in "check $tmp/pipe" "run $tmp/pipe --out $tmp/r" "plan $tmp/pipe" "inspect $tmp/pipe" "compare $tmp/pipe $tmp/pipe" "report $tmp" \
    "convert $tmp/pipe $tmp/y --format F16" "op softmax --in $tmp/pipe --out $tmp/y" "op onnx --in test/data/onnx/model_x.safetensors --out $tmp/y --set model=$tmp/pipe" \
    "run configs/quick.json --out $tmp/r --set data={\"source\":\"file\",\"path\":\"$tmp/pipe\",\"test\":1}" \
    "run configs/quick.json --out $tmp/r --set model.weights=$tmp/pipe --set train=null"; do
    read -ra words <<<"$command"
    expect 2 timeout 10 "$lowbit" "${words[@]}" && ! grep -q 'not a regular file' "$tmp/err" && fail "no word of what it is: $command" "$tmp/err"
done
rm "$tmp/trials.jsonl"

# ---- 100,000 tensors: no command takes time that grows with the square of their number

# st FILE HEADER BYTES: a safetensors file; HEADER is a file, the data are zeros.
st() {
    local n
    n=$(stat -c %s "$2")
    { for i in 0 8 16 24; do printf '\x'"$(printf %02x $((n >> i & 255)))"; done && printf '\0\0\0\0' && cat "$2"; } >"$1"
    truncate -s $((8 + n + $3)) "$1"
}
# Half of them are the scales of the others.
awk 'BEGIN { n = 50000
    printf "{\"__metadata__\":{\"a\":\"b\""
    for (i = 0; i < n; i++) printf ",\"lowbit:layer.%d\":\"{\\\"codec\\\":\\\"I8\\\",\\\"scale\\\":{\\\"per\\\":\\\"tensor\\\"},\\\"shape\\\":[2]}\"", i
    printf "}"
    for (i = 0; i < n; i++) {
        printf ",\"layer.%d.scale\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i, 4 * i, 4 * i + 4
        printf ",\"layer.%d\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[%d,%d]}", i, 4 * n + 2 * i, 4 * n + 2 * i + 2
    }
    printf "}" }' >"$tmp/header"
st "$tmp/many" "$tmp/header" 300000
expect 0 timeout 60 "$lowbit" inspect "$tmp/many" || true
grep -q '^content    100000 tensors' "$tmp/out" || fail "not 100000 tensors" "$tmp/out"
grep -Eq '^layer.7 +I8 .* I8 +absmax/tensor +24 +-$' "$tmp/out" || fail "not 24 bits a weight, of which 16 are its scale's" "$tmp/out"
sed 's/lowbit:layer/another:layer/g' "$tmp/header" >"$tmp/plain" # without formats
st "$tmp/many" "$tmp/plain" 300000
expect 0 timeout 60 "$lowbit" compare "$tmp/many" "$tmp/many" || true

# ---- A gigabyte that is cut off once it is mapped

printf '{"w":{"dtype":"U8","shape":[1073741824],"data_offsets":[0,1073741824]}}' >"$tmp/header"
st "$tmp/large" "$tmp/header" 1073741824
"$lowbit" inspect "$tmp/large" >"$tmp/out" 2>"$tmp/err" &
for ((i = 0; i < 1000; i++)); do
    grep -qs "$tmp/large" /proc/$!/maps && break
    sleep 0.01
done
truncate -s 4096 "$tmp/large"
status=0
wait $! || status=$?
[ $status = 2 ] || fail "exit status $status, wanted 2, of a file that became shorter" "$tmp/err"
[ "$(cat "$tmp/err")" = "error: $tmp/large: became shorter while it was read" ] || fail "no word of which file became shorter" "$tmp/err"

# ---- A journal whose hashes lead elsewhere: its files are neither read nor put there

hash=../../up
"$lowbit" run -q configs/quick.json --out "$tmp/a/b/share" --set data.train=100 --set data.test=50 --set train.epochs=1 --set 'formats=["F16"]' \
    --set backends='["cpu_ref"]' --set train.backend=cpu_ref >"$tmp/out" 2>"$tmp/err" || fail "no run" "$tmp/err"
cp -r "$tmp/a/b/share" "$tmp/a/b/good"
trial=$(basename "$tmp"/a/b/share/models/*.safetensors .safetensors)
cp "$tmp/a/b/share/models/$trial.safetensors" "$tmp/a/b/up.safetensors"
sed -E "s/,\"crc32\":\"[0-9a-f]{8}\"\}$/}/; s|$trial|$hash|g" "$tmp/a/b/good/trials.jsonl" | sealed >"$tmp/a/b/share/trials.jsonl"
expect 2 "$lowbit" merge "$tmp/a/b/share" -o "$tmp/out2" && ! grep -q "\"$hash\" is no hash" "$tmp/err" && fail "no word of the hash" "$tmp/err"
[ ! -e "$tmp/up.safetensors" ] || fail "a file was put outside of the folder"
expect 1 "$lowbit" verify "$tmp/a/b/share" || true
grep -q "^FAILED .*\"$hash\" is no hash" "$tmp/out" || fail "no word of the hash" "$tmp/out"
expect 0 "$lowbit" merge "$tmp/a/b/good" -o "$tmp/out3" || true

# ---- The same bytes where a decimal point is a comma

if localedef -i de_DE -f UTF-8 "$tmp/de_DE.UTF-8" 2>/dev/null && [ "$(LOCPATH=$tmp LC_ALL=de_DE.UTF-8 bash -c 'printf %.1f 1')" = 1,0 ]; then
    for language in C de_DE.UTF-8; do
        (
            program=$lowbit failed=0
            lowbit() { LOCPATH=$tmp LC_ALL=$language "$program" "$@"; }
            expect 0 lowbit run configs/quick.json --out "$tmp/$language.run" --set data.train=100 --set data.test=50 --set train.epochs=1 \
                --set 'formats=["F32", "I8_X100", {"codec": "F4", "scale": {"per": "tensor", "rule": "percentile", "percentile": 99.5}}]' --set backends='["cpu_ref"]' --set train.backend=cpu_ref
            expect 0 lowbit show F4 --csv && cp "$tmp/out" "$tmp/$language.show"
            expect 0 lowbit op constant --set value=1.5,-0.25 --out "$tmp/$language.op"
            expect 0 lowbit inspect --csv "$tmp/$language.op" && cp "$tmp/out" "$tmp/$language.inspect"
            exit $failed
        ) || fail "a run in the language $language"
    done
    for f in run/table.csv run/table.md run/plot.svg show op inspect; do
        [ ! -e "$tmp/C.$f" ] || same "$tmp/C.$f" "$tmp/de_DE.UTF-8.$f"
    done
else
    echo "a language with a decimal comma cannot be made here: that part was left out"
fi

finish
