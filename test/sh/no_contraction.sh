#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# once
# The machine code keeps to the text: no fused multiply-add where the compiler was not told of the instruction, and nowhere the alternating ones,
# which no source asks for: gcc 12's vectorizer makes them of products whose sums and differences alternate, in spite of -ffp-contract=off.
# LOWBIT_TEST_OBJ names another folder of objects.
set -euo pipefail
BUILD=${BUILD:-build}
objects=${LOWBIT_TEST_OBJ:-$BUILD/obj}
case $(uname -m) in x86_64) ;; *)
    echo "the instructions of $(uname -m) are not known here"
    exit 77
    ;;
esac
if ! command -v objdump >/dev/null; then
    echo "no objdump (binutils)"
    exit 77
fi
failed=0 seen=0 fused=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT

# code FILE: its instructions, one a line, with the function that they stand in: "<name>: vfmadd213ps ...".
code() {
    objdump -d --no-show-raw-insn "$1" | awk '/^[0-9a-f]+ <.*>:$/ { f = $2 } /^ +[0-9a-f]+:\t/ { sub(/^ +[0-9a-f]+:\t/, ""); print f, $0 }'
}

# look FILE: writes the lines of what multiplies and adds at once to $found. Whole listings are long: each file is read once.
look() {
    seen=$((seen + 1))
    code "$1" | grep -E "$any" >"$found" || true
}

# check FILE PATTERN WHY: none of the instructions that were found in it matches.
check() {
    local hits
    hits=$({ [ "$2" = "$any" ] && plain || cat; } <"$found" | grep -E "$2" | head -n 5 || true)
    [ -z "$hits" ] && return 0
    echo "FAILED: $1: $3"
    sed 's/^/    /' <<<"$hits"
    echo "    repeat: objdump -d $1"
    failed=1
}

# A function's name may say, as a file's does, that it is compiled for more than what stands beside it (a target attribute): those may fuse.
alternating='>: vfm(addsub|subadd)' any='>: vfn?m(add|sub)'
plain() { grep -vE '^<[a-z0-9_]*_avx(2|512)(\.[a-z0-9.]+)?>'; }
while read -r object; do
    look "$object"
    case $object in
    */kernels/cpu/*_avx2.o | */kernels/cpu/*_avx512.o | */kernels/cpu/*_vnni.o | */kernels/cpu/*_vbmi.o)
        check "$object" "$alternating" "adds and subtracts by turns, fused with the product"
        fused=$((fused + $(wc -l <"$found")))
        ;;
    *) check "$object" "$any" "a fused multiply-add in an object built without -mfma (or was CFLAGS set?)" ;;
    esac
done < <(find "$objects" -name '*.o' | sort)
for file in "$BUILD/lowbit" "$BUILD"/plugins/*.so; do
    look "$file"
    check "$file" "$alternating" "adds and subtracts by turns, fused with the product"
done
look "$BUILD/lowbit"
check "$BUILD/lowbit" "$any" "the harness itself does no fused arithmetic"

# A check that sees nothing proves nothing.
if [ $seen -lt 50 ] || [ $fused = 0 ]; then
    echo "FAILED: $seen files and $fused fused multiply-adds were seen in $objects; at least 50 files, and some in kernels/cpu, are expected"
    failed=1
fi
exit $failed
