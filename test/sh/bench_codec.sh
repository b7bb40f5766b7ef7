#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# alone
# F16, BF16, I8 and F4 encode and decode 64 MiB of binary32 at half the speed of moving the bytes on one thread, or faster. Best of five, since
# another program's memory traffic slows one side of a comparison.
set -euo pipefail
BUILD=${BUILD:-build}
grep -q avx2 /proc/cpuinfo || { echo "skipped: no AVX2 on this machine"; exit 77; }
if grep -qE '__(asan|ubsan)_' <(nm "$BUILD/lowbit"); then echo "skipped: a sanitizer build is not for timing"; exit 77; fi
for codec in F16 BF16 I8 F4; do
    command="$BUILD/lowbit bench codec --format $codec --csv"
    for _ in 1 2 3 4 5; do
        rows=$($command)
        slow=$(python3 -c 'import csv, sys
print(sum(float(r["ratio"]) < 0.5 for r in csv.DictReader(sys.stdin)))' <<<"$rows")
        [ "$slow" != 0 ] || break
    done
    if [ "$slow" != 0 ]; then
        echo "below half of the limit in five runs; repeat: $command"
        echo "$rows"
        exit 1
    fi
done
