#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Every codec that is shipped, and the skeletons, obey every law: `lowbit verify` of each file, with the parameters that matter
# (quick: those of few bits).
set -u
BUILD=${BUILD:-build}
[ -x "$BUILD/lowbit" ] || { echo "FAILED: $BUILD/lowbit was not built"; exit 1; }
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
bad=0 n=0

verify() {
    n=$((n + 1))
    "$BUILD/lowbit" verify "$@" >"$out" 2>&1 && grep -q ' 0 failed$\|: ok (' "$out" && return
    bad=$((bad + 1))
    grep -v '^ok' "$out"
    echo "repeat: $BUILD/lowbit verify $*"
}

for so in "$BUILD"/plugins/codec_*.so "$BUILD"/plugins/skeleton_*.so; do
    verify "$so"
done
verify --set low=-7 "$BUILD/plugins/skeleton_codec.so"
verify --set encoder=b "$BUILD/plugins/codec_loom.so"
set_all() { # file parameters...: the file with all of them
    local so=$1 args=() p
    shift
    for p in "$@"; do args+=(--set "$p"); done
    verify "${args[@]}" "$BUILD/plugins/$so.so"
}
set_all codec_minifloat e=1 m=0 nan=none
set_all codec_minifloat e=5 m=5 inf=1 nan=fnuz subnormals=0
set_all codec_minifloat e=3 m=0 nan=one
set_all codec_posit n=2 es=0
set_all codec_posit n=5 es=3
set_all codec_small bits=2 frac=15
set_all codec_small bits=7 frac=0
least=24
if [ -z "${LOWBIT_QUICK:-}" ]; then
    set_all codec_minifloat e=1 m=14 nan=fnuz bias=-3
    set_all codec_minifloat e=8 m=7 inf=1 nan=one bias=130
    set_all codec_posit n=16 es=1
    set_all codec_posit n=16 es=4
    set_all codec_small bits=16 frac=8
    least=29
fi
[ $bad -eq 0 ] && [ $n -ge $least ] || { echo "$bad of $n failed"; exit 1; }
exit 0
