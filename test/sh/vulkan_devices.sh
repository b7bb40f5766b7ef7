#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# The backend vulkan: which device is chosen, and what happens where there is none, where it lacks something, is lost, or does not answer.
set -euo pipefail
. test/sh/util.bash
export LOWBIT_CACHE=$tmp/cache # empty: every shader is compiled here
. test/sh/vulkan_util.bash
mapfile -t trained_here < <(small vulkan)
mapfile -t trained_on_cpu < <(small cpu_ref)

# ---- Every shader of the table compiles, and every op is exact ----
verified compile=1

# ---- A device by name or index ----
expect 2 "$lowbit" run "${trained_here[@]}" --backend vulkan --device nonsense --out "$tmp/none"
grep -q 'no device "nonsense"; there are 0: [^ ]' "$tmp/err" || fail "the error does not list the devices" "$tmp/err"
expect 2 "$lowbit" run "${trained_here[@]}" --backend vulkan --device 99 --out "$tmp/none"
grep -q 'no device "99"; there are' "$tmp/err" || fail "an index that is none" "$tmp/err"
name=$(sed -n 's/.*there are 0: \([^ ,]*\).*/\1/p' "$tmp/err")
for device in 0 "$name" "${name^^}"; do
    expect 0 "$lowbit" run "${trained_here[@]}" --backend vulkan --device "$device" --out "$tmp/by-$device"
    [ "$(rows ok "$tmp/by-$device")" = 1 ] || fail "--device $device" "$tmp/err"
done

# ---- No loader, no driver ----
two=("${trained_on_cpu[@]}" --set 'backends=["cpu_ref","vulkan"]')
export VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent
expect 0 "$lowbit" run "${two[@]}" --out "$tmp/driver"
[ "$(rows ok "$tmp/driver") $(rows skipped "$tmp/driver")" = "1 1" ] || fail "without a driver: one row ok, one skipped" "$tmp/driver/table.csv"
grep -q 'no Vulkan driver' "$tmp/driver/measured.csv" || fail "the reason is not in the row" "$tmp/driver/measured.csv"
expect 2 "$lowbit" run "${trained_on_cpu[@]}" --backend vulkan --out "$tmp/none"
grep -q 'no Vulkan driver' "$tmp/err" || fail "--backend vulkan alone: no reason" "$tmp/err"
unset VK_ICD_FILENAMES VK_DRIVER_FILES

# ---- A device that lacks what exact needs says which property; fast runs on it ----
export LOWBIT_VULKAN_TEST=float64=0,unfused=1
expect 0 "$lowbit" run "${two[@]}" --out "$tmp/lacks"
[ "$(rows skipped "$tmp/lacks")" = 1 ] || fail "without float64 and fused fma: not skipped" "$tmp/lacks/table.csv"
grep -q 'lacks binary64 (shaderFloat64)' "$tmp/lacks/measured.csv" || fail "the property is not named" "$tmp/lacks/measured.csv"
expect 0 "$lowbit" run "${two[@]}" --set numerics=fast --out "$tmp/fast"
grep -q ',fast,vulkan,.*,ok,' "$tmp/fast/table.csv" || fail "numerics fast needs none of it" "$tmp/fast/table.csv"

# ---- A device that is lost or does not answer: the row says so, the other trials go on ----
lost() { # SETTINGS, what the row says
    export LOWBIT_VULKAN_TEST=$1
    expect 1 "$lowbit" run "${two[@]}" --out "$tmp/lost-$1"
    [ "$(rows ok "$tmp/lost-$1") $(rows failed "$tmp/lost-$1")" = "1 1" ] || fail "$1: one row ok, one failed" "$tmp/lost-$1/table.csv"
    grep -q "$2" "$tmp/lost-$1/measured.csv" || fail "$1: no \"$2\" in the row" "$tmp/lost-$1/measured.csv"
}
lost lose=3 'device lost'
lost timeout=0 'time-out: .* did not answer within 0 s'
finish
