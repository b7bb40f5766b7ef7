#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# once
# docs/arithmetic.md against the C reference, bit for bit: test/oracle/exact_arithmetic.py and its neighbours follow the page, and are
# compared with each operation (plain C and AVX2), with `lowbit convert` and with whole experiments of `lowbit run` (quick: with the operations).
set -euo pipefail
version=$(sed -n 's/^#define LB_ARITHMETIC "\(.*\)"$/\1/p' core/version.h)
if ! grep -qF "arithmetic version **$version**" docs/arithmetic.md; then
    echo "docs/arithmetic.md does not say that it is arithmetic version $version, which core/version.h has"
    exit 1
fi
if ! [ -x .venv/bin/python ]; then
    echo "no .venv: run test/oracle/setup.sh"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
check() { # mode, file, what makes the file
    if ! .venv/bin/python test/oracle/arithmetic_check.py "$1" "$2"; then
        echo "repeat: ${3:-}.venv/bin/python test/oracle/arithmetic_check.py $1 $2"
        status=1
    fi
}
for isa in c avx2; do
    code=0
    "$BUILD/test/ref_dump" "$isa" "$scratch/$isa.safetensors" || code=$?
    if [ $code = 3 ]; then
        echo "$isa: not on this machine"
    elif [ $code != 0 ]; then
        echo "repeat: $BUILD/test/ref_dump $isa OUT.safetensors"
        status=1
    else
        check ops "$scratch/$isa.safetensors" "mkdir -p $scratch && $BUILD/test/ref_dump $isa $scratch/$isa.safetensors && "
    fi
done
if [ -z "${LOWBIT_QUICK:-}" ]; then
    check encode "$BUILD/lowbit"
    check run "$BUILD/lowbit"
fi
exit $status
