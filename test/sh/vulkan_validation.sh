#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# Under the Khronos validation layer, with the checks of synchronization: every op, and training with recorded lists, without a complaint.
set -euo pipefail
. test/sh/util.bash
. test/sh/vulkan_util.bash
export LOWBIT_VULKAN_VALIDATION=1
reason=$("$lowbit" list backends --csv | grep -o 'LOWBIT_VULKAN_VALIDATION is set[^"]*' || true)
if [ -n "$reason" ]; then
    echo "SKIPPED: $reason"
    exit 77
fi
mapfile -t args < <(small vulkan)

for setting in push=1 mapped=0,push=0,reach=5000,ring=4096; do
    verified "$setting"
    LOWBIT_VULKAN_TEST=$setting expect 0 "$lowbit" run "${args[@]}" --backend vulkan --out "$tmp/$setting"
    [ "$(rows ok "$tmp/$setting")" = 1 ] || fail "$setting: training" "$tmp/err"
done
expect 0 "$lowbit" run "${args[@]}" --backend vulkan --set numerics=fast --out "$tmp/fast"

# The layer is heard: without barriers it must complain.
LOWBIT_VULKAN_TEST=barriers=0 expect 1 "$lowbit" verify "$plugin"
grep -q 'the validation layer complained.*SYNC-HAZARD' "$tmp/err" || fail "missing barriers are not reported" "$tmp/err"
finish
