#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# once
# The errors that kernels/canon.h and docs/arithmetic.md state are those that test/tools/canon_ulp.c measures against MPFR: at the stated
# worst inputs and on a sample of the others. (Without --quick it takes all 2^32 inputs, in minutes.)
set -euo pipefail
. test/sh/util.bash

expect 0 "$BUILD/test/canon_ulp" --quick || { cat "$tmp/err" && finish; }
functions=0
while IFS=, read -r name _ normal at subnormal at_subnormal _; do
    functions=$((functions + 1))
    case $name in
    *64) header=kernels/canon64.h figure=$normal ;;
    *_soft) continue ;; # correctly rounded, which the pages say in words
    *) header=kernels/canon.h figure="Error $normal" ;;
    esac
    grep -qF "$figure" "$header" || fail "$header does not say that the error of canon_$name is $normal"
    row=$(grep "^| \`canon_$name\` |" docs/arithmetic.md || true)
    for want in "$normal" ${at_subnormal:+"$subnormal"} $([[ $name == *64 ]] || echo "$at" "$at_subnormal"); do
        [[ $row == *$want* ]] || fail "docs/arithmetic.md: the row of canon_$name has no $want"
    done
    [ -z "$at_subnormal" ] || grep -qF "$subnormal" "$header" || fail "$header does not say that subnormal results of canon_$name have $subnormal"
done < <(tail -n +2 "$tmp/out")
[ $functions = 10 ] || fail "$functions functions were measured, not 10" "$tmp/out"
finish
