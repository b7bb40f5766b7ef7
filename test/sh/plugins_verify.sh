#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every codec that is shipped, and the skeletons, obey every law: `lowbit verify` of each file, with the parameters that matter.
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
[ $bad -eq 0 ] && [ $n -ge 6 ] || { echo "$bad of $n failed"; exit 1; }
exit 0
