#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# `lowbit verify` on the backends that are here, with all CPU features, with AVX2 only and with none (quick: with all, and cpu_ref
# only as what the others are compared with); and on one that is wrong on purpose.
set -euo pipefail
BUILD=${BUILD:-build}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

fail() {
    echo "$1; repeat with: $2"
    cat "$out"
    exit 1
}

backends='cpu_ref cpu cpu_blas' masks='15 1 0'
[ -z "${LOWBIT_QUICK:-}" ] || backends='cpu cpu_blas' masks=15
for backend in $backends; do
    for mask in $masks; do
        command="$BUILD/lowbit verify --cpumask $mask $BUILD/plugins/$backend.so"
        status=0
        $command >"$out" 2>&1 || status=$?
        if grep -q 'not on this machine' "$out"; then
            echo "$backend is not on this machine: $(grep 'not on this machine' "$out")"
            continue
        fi
        [ $status = 0 ] || fail "exit status $status" "$command"
        ops=29
        [ $backend != cpu_blas ] || ops=14 # no integer products or tensors, no encoding
        [ "$(grep -c ': ok (' "$out")" = $ops ] || fail "expected $ops ops that are ok" "$command"
    done
done

command="$BUILD/lowbit verify $BUILD/bad/wrong_backend.so"
status=0
$command >"$out" 2>/dev/null || status=$?
[ $status = 1 ] || fail "a wrong backend: exit status $status, expected 1" "$command"
for line in 'bias_grad: FAILED case .* repeat with .lowbit verify ' 'sgd: FAILED case .*expected 0x7fc00000 ' 'act_grad: FAILED .* beside the array' \
    'softmax: FAILED .*got 0x7fa5c3e1' 'conv2d: unsupported' 'act: unsupported'; do
    grep -q "^$line" "$out" || fail "no line \"$line\"" "$command"
done
