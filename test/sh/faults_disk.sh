#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# A disk that fails: at each call in turn that changes a file, no room, an I/O error, half a write, no room from there on, or a disk that is read-only from
# there on; and a small file system that is full after each number of pages. The error names the file, no finished trial is lost, and afterwards
# the same command ends with the undisturbed table. LOWBIT_FAULT_HOW=WORD: only that.
set -euo pipefail
. test/sh/util.bash
. test/faults/faults.bash

prepare
observe disk
calls=$(od -An -t u8 -j 8 -N 8 "$all/counted")
[ "$calls" -ge 40 ] || fail "only $calls calls that change files were seen"
for how in ${LOWBIT_FAULT_HOW:-enospc eio short full ro}; do
    seq -f "$how %.0f" "$calls"
done >"$tmp/list"
echo "$calls calls, $(wc -l <"$tmp/list") faults:"
inject disk <"$tmp/list"
finish
