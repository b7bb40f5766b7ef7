#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# The cache of compiled shaders: filled by two processes at once, used, cut, changed, not writable; and a run is the same with it, without it, and twice.
set -euo pipefail
. test/sh/util.bash
export LOWBIT_CACHE=$tmp/cache
. test/sh/vulkan_util.bash
mapfile -t args < <(small vulkan)
run() { expect 0 "$lowbit" run "${args[@]}" --backend vulkan --out "$tmp/$1" --log json; }

# ---- Two processes on an empty cache ----
"$lowbit" run "${args[@]}" --backend vulkan --out "$tmp/one" >"$tmp/run1" 2>&1 &
first=$!
"$lowbit" run "${args[@]}" --backend vulkan --out "$tmp/two" >"$tmp/run2" 2>&1 || fail "the second of two at once" "$tmp/run2"
wait $first || fail "the first of two at once" "$tmp/run1"
files=$(find "$LOWBIT_CACHE" -name '*.spv' | wc -l)
[ "$files" -ge 12 ] || fail "$files files in the cache, at least 12 are wanted"
left=$(find "$LOWBIT_CACHE" -name '*.tmp')
[ -z "$left" ] || fail "temporary files are left: $left"

# ---- It is used: nothing is written again ----
run first
find "$LOWBIT_CACHE" -name '*.spv' -printf '%p %i %T@\n' | sort >"$tmp/before"
run again
find "$LOWBIT_CACHE" -name '*.spv' -printf '%p %i %T@\n' | sort >"$tmp/after"
same "$tmp/before" "$tmp/after"

# ---- Damage of every kind is found, and mended ----
cp -r "$LOWBIT_CACHE" "$tmp/good"
damage() {
    n=$((n + 1))
    case $((n % 5)) in
    0) : >"$1" ;;
    1) truncate -s 20 "$1" ;;
    2) truncate -s -4 "$1" ;;
    3) printf '\377\377\377\377' | dd of="$1" bs=1 seek=300 conv=notrunc status=none ;;
    4) printf 'something else entirely, of some length, that is no shader at all' >"$1" ;;
    esac
}
n=0
while read -r f; do damage "$f"; done < <(find "$LOWBIT_CACHE" -name '*.spv')
run damaged
grep -q 'not a whole cache file; it is made again' "$tmp/err" || fail "nothing is said of damaged files" "$tmp/err"
while read -r f; do same "$f" "$tmp/good/$(basename "$f")"; done < <(find "$LOWBIT_CACHE" -name '*.spv')

# ---- No cache, and one that cannot be written ----
LOWBIT_CACHE='' run without
LOWBIT_CACHE=/proc/nothing run unwritable
for other in one two again damaged without unwritable; do
    [ "$(weights "$tmp/$other")" = "$(weights "$tmp/first")" ] || fail "other weights: $other" "$tmp/$other/table.csv"
done
finish
