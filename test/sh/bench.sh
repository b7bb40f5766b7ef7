#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `lowbit bench`: every op gives rows with all columns, on small sizes; bad options are refused.
set -euo pipefail
BUILD=${BUILD:-build}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
header=op,shape,format,backend,isa,threads,seconds,rate,unit,ratio,of,speedup,over

for args in "gemm --m 8 --n 9 --k 10" "gemv --n 64 --k 32" "conv --batch 1" "train --model mlp --batch 4" "forward --batch 2" "codec --format F4"; do
    command="$BUILD/lowbit bench $args --backend cpu_ref --seconds 0.01 --csv"
    if ! $command >"$out" || [ "$(head -n 1 "$out")" != "$header" ] || [ "$(wc -l <"$out")" -lt 2 ] ||
        ! python3 -c 'import csv, sys
for r in csv.DictReader(open(sys.argv[1])):
    assert float(r["seconds"]) > 0 and float(r["rate"]) > 0 and float(r["ratio"]) >= 0 and r["of"] and r["unit"], r' "$out"; then
        echo "repeat: $command"
        cat "$out"
        exit 1
    fi
done

for args in gem "gemm --m 0" "train --model big" "codec --format F99" "gemm --backend no_such"; do
    status=0
    $BUILD/lowbit bench $args >"$out" 2>&1 || status=$?
    if [ $status != 2 ]; then
        echo "expected exit status 2, found $status; repeat: $BUILD/lowbit bench $args"
        cat "$out"
        exit 1
    fi
done
