#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Every bad plugin of test/bad, in a fresh folder beside a good one: the refusal says what was found and what was wanted, the good one still
# loads, and the command ends with 0. Rows: plugin | text that the list must hold.
set -u
BUILD=${BUILD:-build}
LOWBIT=$BUILD/lowbit
[ -x "$LOWBIT" ] || { echo "FAILED: $LOWBIT was not built"; exit 1; }
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
unset LOWBIT_PLUGIN_PATH
bad=0 n=0

# list DIR TEXT...: `lowbit list codecs` of DIR holds every text, and the good plugin.
list() {
    dir=$1
    shift
    n=$((n + 1))
    "$LOWBIT" list codecs --csv --plugins "$dir" >"$T/out" 2>"$T/err"
    status=$?
    if [ $status -ne 0 ]; then
        echo "FAILED: exit status $status, wanted 0"
        fail
        return
    fi
    for text in "GOOD_ONE,8,unsigned,,good1 1good,ok" "$@"; do
        grep -qF -- "$text" "$T/out" && continue
        echo "FAILED: the list of $(basename "$dir") lacks: $text"
        fail
        return
    done
}

fail() {
    bad=$((bad + 1))
    sed 's/^/    /' "$T/out" "$T/err" | grep -v '/plugins/' | head -20
    echo "    repeat: BUILD=$BUILD bash test/sh/plugins_refused.sh"
}

# fresh NAME: an empty folder with the good plugin.
fresh() {
    mkdir -p "$T/$1" && cp "$BUILD/bad/good_one.so" "$T/$1/" && echo "$T/$1"
}

while IFS='|' read -r name text; do
    [ -n "$name" ] || continue
    dir=$(fresh "$name")
    cp "$BUILD/bad/$name.so" "$dir/" || { bad=$((bad + 1)); continue; }
    list "$dir" "$text" "$name,,,,,refused,"
done <<'ROWS'
bad_abi|ABI 2, this lowbit wants 1
bad_kind|kind 3, wanted 1 (codec) or 2 (backend)
bad_short|: .size = sizeof(struct lb_codec)
bad_huge|size 4294967295, wanted
bad_short_backend|: .size = sizeof(struct lb_backend)
bad_no_value|BAD: no `value`: a codec of up to 16 bits needs it, and this one has 8
bad_no_decode|BAD: no `decode`: a codec wider than 16 bits needs it, and this one has 32
bad_no_decode_int|BAD: no `decode_int`: a codec wider than 16 bits needs it, and this one has 32
bad_no_init|BAD: state_size is 8, but there is no `init` to fill it
bad_no_info|bad: no `info`: a backend needs it
bad_buffers|bad: 1 of the 4 hooks of buffers, all or none are wanted
bad_record|bad: 1 of the 4 hooks of recorded lists, all or none are wanted
bad_weights|bad: 2 of the 4 hooks of packed weights, all or none are wanted
bad_int8|bad: 1 of the 2 hooks of integer products, all or none are wanted
bad_int8_alone|bad: integer products, but no `weights_create`: they are products with its weights
bad_quantize|bad: 1 of the 3 hooks of encoding, all or none are wanted
bad_no_symbol|no symbol `lb_plugins`
bad_function|`lb_plugins` is not a list of pointers
bad_no_end|`lb_plugins` has no NULL at its end
bad_empty|`lb_plugins` is empty
bad_name|name ""BAD /NAME"", wanted 1 to 63 letters
bad_long_name|wanted 1 to 63 letters
bad_null_name|name is NULL
bad_null_help|BAD: help is NULL, one line of text is wanted
bad_help_lines|BAD: help is more than one line
bad_alias|BAD: alias ""not,fine"", wanted 1 to 63 letters
bad_tag|BAD: tag ""F5"", wanted a dtype of safetensors, or NULL
bad_tag_bits|BAD: tag ""F16"" has 16 bits, the codec has 8
bad_unit|BAD: a unit is 2 elements in 1 bytes, but 3 bits each
bad_unit_zero|BAD: a unit is 0 elements in 0 bytes
bad_bits|BAD: bits is 65, wanted 1 to 64, or 0 for a block codec
bad_block|BAD: no `decode`: a block codec (bits 0) needs it
bad_block_unit|BAD: a unit is 513 elements in 18 bytes, wanted 1 to 512 in 1 to 4096 of a block codec
bad_block_kind|BAD: codec kind 2 of a block codec, wanted LB_FLOAT or LB_CODEBOOK
bad_bits_odd|a codec wider than 16 bits is whole bytes
bad_nan_code|BAD: nan_code is 256, wanted less than 2^8
bad_codec_kind|BAD: codec kind 0, wanted 1 to 4
bad_wrap|BAD: overflow is LB_WRAP, which is for LB_SIGNED and LB_UNSIGNED
bad_undefined|undefined symbol: nobody_has_this
ROWS

# The same name twice: the second file, in the bytewise order of names, is refused; the first stays.
dir=$(fresh twice)
cp "$BUILD/bad/bad_twice_a.so" "$BUILD/bad/bad_twice_b.so" "$BUILD/bad/bad_twice_alias.so" "$dir/"
list "$dir" "TWICE,8,unsigned,,,ok," 'twice: ""twice"" is already taken by TWICE of bad_twice_a.so in the same folder' \
    'OTHER: ""TWICE"" is already taken by TWICE of bad_twice_a.so in the same folder'
dir=$(fresh twice_order)
cp "$BUILD/bad/bad_twice_a.so" "$dir/z.so" && cp "$BUILD/bad/bad_twice_b.so" "$dir/a.so"
list "$dir" "twice,8,unsigned,,,ok," 'TWICE: ""TWICE"" is already taken by twice of a.so in the same folder'

# Not a shared object at all.
dir=$(fresh text) && echo "this is no shared object" >"$dir/text.so"
list "$dir" "text,,,,,refused," "not an ELF file: a shared object is wanted"
dir=$(fresh nothing) && : >"$dir/nothing.so"
list "$dir" "nothing,,,,,refused," "not an ELF file"
dir=$(fresh folder) && mkdir "$dir/folder.so"
list "$dir" "folder,,,,,refused," "not a regular file"
dir=$(fresh dangling) && ln -s /nowhere/at/all.so "$dir/dangling.so"
list "$dir" "dangling,,,,,refused," "No such file or directory"
dir=$(fresh program) && cp "$LOWBIT" "$dir/program.so"
list "$dir" "program,,,,,refused,"
size=$(wc -c <"$BUILD/bad/good_one.so")
for part in 3 20 63 64 200 1000 $((size / 2)) $((size - 1)); do
    dir=$(fresh "cut$part") && head -c "$part" "$BUILD/bad/good_one.so" >"$dir/cut.so"
    list "$dir" "cut,,,,,refused,"
done

# A library that this machine does not have: "missing", because a trial that wants it is skipped, not failed.
dir=$(fresh missing)
echo 'double lb_stub(double x); double lb_stub(double x) { return x; }' >"$T/stub.c"
sed 's/return (double)code/return lb_stub((double)code)/; s/"GOOD_ONE"/"NEEDS_STUB"/; s/"good1 1good"/NULL/; s/^static double value/double lb_stub(double x); static double value/' \
    test/bad/good_one.c >"$T/needs.c"
if ${CC:-gcc} -shared -fPIC "$T/stub.c" -o "$T/libstub_of_lowbit.so" &&
    ${CC:-gcc} -I. -shared -fPIC "$T/needs.c" -L"$T" -lstub_of_lowbit -o "$dir/needs_stub.so"; then
    rm "$T/libstub_of_lowbit.so"
    list "$dir" "needs_stub,,,,,missing," "libstub_of_lowbit.so: cannot open shared object file"
else
    echo "FAILED: the plugin with a missing library could not be built"
    bad=$((bad + 1))
fi

# A backend is listed among the backends, and refusals stand there too.
"$LOWBIT" list backends --csv --plugins "$T/bad_no_info" >"$T/out" 2>"$T/err" || bad=$((bad + 1))
grep -qF 'bad_no_info,,,refused,' "$T/out" || { echo "FAILED: lowbit list backends does not name the refused file"; bad=$((bad + 1)); }

# --plugins must be a folder.
"$LOWBIT" list codecs --plugins "$T/not/there" >"$T/out" 2>"$T/err"
[ $? -eq 2 ] && grep -qF 'No such file or directory' "$T/err" || { echo "FAILED: --plugins of no folder is not refused"; bad=$((bad + 1)); }

[ $bad -eq 0 ] || { echo "$bad of $n cases failed"; exit 1; }
exit 0
