#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every command with bad usage and with files that are missing, folders, empty, cut, unreadable or not writable: exit status 2, one error on stderr,
# nothing on stdout, and nothing left in the folder.
set -euo pipefail
. test/sh/util.bash

w=$tmp/w # where the commands may write
mkdir "$w"
chmod 755 "$tmp" "$w" # another user comes here below
mkdir "$w/folder"
: >"$w/empty"
echo '{"name": "x",' >"$w/cut.json"
cp test/data/safetensors/all_dtypes.safetensors "$w/st"
head -c 100 "$w/st" >"$w/cut"
printf '{"kind":"trial"\n{}\n' >"$w/trials.jsonl" # $w is a results folder whose journal is bad
listing() { find "$w" \( -type d -printf '%P/\n' \) -o -printf '%P %s %T@\n' | sort; }
listing >"$tmp/before"

# bad PATTERN COMMAND...: see above; the error matches the extended expression. Bad usage adds the line that names --help.
bad() {
    local pattern=$1 got=0 errors
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || got=$?
    errors=$(grep -c '^error: \|^lowbit [a-z]*: \|^lowbit: ' "$tmp/err" || true)
    if [ $got != 2 ]; then
        fail "exit status $got, wanted 2: $*" "$tmp/err"
    elif [ -s "$tmp/out" ]; then
        fail "output besides the error: $*" "$tmp/out"
    elif [ "$errors" != 1 ] || grep -qv '^error: \|^lowbit\( [a-z]*\)*: \|^Try `lowbit\|^warning: \|^quick: [0-9]* trials' "$tmp/err"; then
        fail "one error on one line is wanted: $*" "$tmp/err"
    elif ! grep -Eq -- "$pattern" "$tmp/err"; then
        fail "an error like \"$pattern\" is wanted: $*" "$tmp/err"
    fi
    listing >"$tmp/after"
    if ! cmp -s "$tmp/before" "$tmp/after"; then
        fail "files were left or changed: $*: $(diff "$tmp/before" "$tmp/after" | grep '^[<>]' | paste -sd' ')"
        listing >"$tmp/before"
    fi
}
l=$lowbit quick=configs/quick.json

# ---- Usage ----
bad 'lowbit: "runn" is no command; did you mean "run"\?' "$l" runn
bad 'lowbit: "zzzzzz" is no command' "$l" zzzzzz
bad '"" is no command' "$l" ""
for command in run plan check report list show convert inspect compare verify; do
    bad "lowbit $command: unrecognized option '--nosuch'" "$l" $command --nosuch
    bad "lowbit $command: .*--log: expected text or json, found \"xml\"" "$l" $command --log xml
    bad "option '--plugins' requires an argument" "$l" $command --plugins
    expect 0 "$l" $command --help
    grep -q "^Usage: lowbit $command" "$tmp/out" || fail "lowbit $command --help" "$tmp/out"
    if [ -s "$tmp/err" ]; then fail "lowbit $command --help talks on stderr" "$tmp/err"; fi
done
for command in run plan measure; do
    bad 'CONFIG is missing' "$l" $command
    bad 'one CONFIG, found "a" and "b"' "$l" $command a b
done
bad 'is needed' "$l" check
bad 'DIR is missing' "$l" report
bad 'one DIR' "$l" report a b
bad 'CODEC is missing' "$l" show
bad 'one CODEC' "$l" show F4 F16
bad 'IN, OUT and --format are needed' "$l" convert
bad 'IN, OUT and --format are needed' "$l" convert "$w/st" "$w/o"
bad 'IN, OUT and --format are needed' "$l" convert "$w/st" --format F16
bad 'found "c" too' "$l" convert a b c --format F16
bad 'expected a file' "$l" inspect
bad 'expected two files' "$l" compare "$w/st"
bad 'a third' "$l" compare a b c
bad 'expected' "$l" verify
bad 'found "nope"' "$l" list nope
bad 'one list at a time' "$l" list codecs formats
for n in 0 -1 257 1x '' 99999999999999999999; do
    bad "--jobs: expected a whole number from 1 to 256, found \"$n\"" "$l" run $quick --jobs "$n"
done
for n in 0 -1 1025 x ''; do bad "--threads: expected a whole number from 1 to 1024" "$l" run $quick --threads "$n"; done
for n in -1 x 4294967296; do bad "--cpumask: expected a whole number" "$l" run $quick --cpumask "$n"; done
for n in x -1 '' 18446744073709551616; do bad "--seed: expected a whole number" "$l" convert a b --format F16 --seed "$n"; done

# ---- Configs, folders and files ----
for command in run plan check measure; do
    bad "$w/none: No such file" "$l" $command "$w/none"
    case $command in # of a results folder its config is taken
    plan) bad "$w/folder/config.json: No such file" "$l" plan "$w/folder" ;;
    *) bad "$w/folder: not a regular file" "$l" $command "$w/folder" ;;
    esac
    bad "$w/empty:1:1: empty" "$l" $command "$w/empty"
    bad "$w/cut.json:2:1: not JSON" "$l" $command "$w/cut.json"
    bad "/dev/zero: not a regular file" "$l" $command /dev/zero
done
for set in foo train.epochs= foo=1 train.epochs=-1 'formats=[]' 'formats=7' =1 '[0]=1'; do
    bad "--set $(printf %s "$set" | sed 's/[][]/\\&/g')" "$l" run $quick --out "$w/o" --set "$set"
    bad "--set" "$l" plan $quick --out "$w/o" --set "$set"
done
bad 'found "wx"' "$l" run $quick --out "$w/o" --set 'modes=["wx"]'
bad 'gives 11 outputs, but the data has 10 classes' "$l" run $quick --out "$w/o" --set model.layers[4].units=11
bad '--plugins: .*none: No such file' "$l" run $quick --out "$w/o" --plugins "$w/none"
bad 'scripts/fetch_data.sh|No such file' "$l" run $quick --out "$w/o" --set data="{\"source\":\"mnist\",\"path\":\"$w/none\"}"
for f in none folder empty cut.json; do bad 'no journal here' "$l" report "$w/$f"; done
bad 'trials.jsonl:1: not a journal' "$l" report "$w"
bad 'trials.jsonl:1: not a journal' "$l" plan $quick --out "$w"
bad 'trials.jsonl:1: not a journal' "$l" verify "$w"
for f in none folder empty cut; do
    case $f in
    none) why='No such file' ;;
    folder) why='not a regular file' ;;
    *) why='bytes' ;;
    esac
    bad "$w/$f: .*$why" "$l" convert "$w/$f" "$w/o" --format F16
    bad "$w/$f: .*$why" "$l" compare "$w/$f" "$w/st"
    bad "$w/$f: .*$why" "$l" compare "$w/st" "$w/$f"
    [ $f = cut ] || bad "$w/$f: .*$why" "$l" inspect "$w/$f"
done
bad 'no journal here' "$l" verify "$w/folder"
bad 'No such file' "$l" verify "$w/none"
bad 'not an ELF file' "$l" verify "$w/cut.json"

# ---- Codecs and formats ----
bad 'there is no codec "F17"; did you mean "F16"' "$l" show F17
bad 'only codecs of up to 16 bits' "$l" show F32
bad 'expected a text of letters' "$l" show '"'
bad 'expected a text of letters' "$l" show ''
bad 'not JSON' "$l" show '{'
bad 'takes no parameters' "$l" show '{"name":"F16","n":3}'
bad 'there is no codec "F17"' "$l" convert "$w/st" "$w/o" --format F17
bad 'not JSON' "$l" convert "$w/st" "$w/o" --format '{'
bad 'unknown key' "$l" convert "$w/st" "$w/o" --format '{"codec":"F16","scal":1}'
bad '--tensor \(: Unmatched' "$l" convert "$w/st" "$w/o" --format F16 --tensor '('
bad 'no tensor matches "zzz"' "$l" convert "$w/st" "$w/o" --format F16 --tensor zzz
bad 'there is no codec "C64"' "$l" convert "$w/st" "$w/o" --format F16

# ---- Nothing can be written ----
some=(--format F16 --tensor 'F32|F64')
bad 'No such file or directory' "$l" convert "$w/st" "$w/none/o" "${some[@]}"
bad 'Is a directory' "$l" convert "$w/st" "$w/folder" "${some[@]}"
bad 'Not a directory' "$l" convert "$w/st" "$w/empty/o" "${some[@]}"
bad 'empty/o: cannot be made: Not a directory' "$l" run $quick --out "$w/empty/o"
bad 'empty: (cannot be made|not a folder)' "$l" run $quick --out "$w/empty"
bad 'the path is too long' "$l" run $quick --out "$w/$(printf 'a%.0s' {1..5000})"
cat >"$tmp/limited" <<'S'
trap '' XFSZ # then writing fails as on a full disk
ulimit -f 1
exec "$@"
S
bad 'cannot be written: File too large' bash "$tmp/limited" "$l" convert "$w/st" "$w/o" "${some[@]}"
bad 'cannot be written: File too large' bash "$tmp/limited" "$l" convert "$w/st" "$w/st" "${some[@]}" # the input is its own output: kept
{ printf '\110\0\0\0\0\0\0\0{"x":{"dtype":"F32","shape":[16384],"data_offsets":[0,65536]}}          ' && head -c 65536 /dev/zero; } >"$w/big"
listing >"$tmp/before"
expect 0 "$l" inspect "$w/big" # which is more than a buffer holds, so that writing fails on the way
bad 'cannot be written: File too large' bash "$tmp/limited" "$l" convert "$w/big" "$w/o" --format F16
mkdir "$tmp/disk"
if [ "$(id -u)" = 0 ] && unshare -m mount -t tmpfs -o size=4k none "$tmp/disk" 2>/dev/null; then
    bad 'cannot be written: No space left on device' unshare -m bash -c \
        "mount -t tmpfs -o size=4k none '$tmp/disk' && head -c 3000 /dev/zero >'$tmp/disk/full' && '$l' convert '$w/st' '$tmp/disk/o' --format F16 --tensor F32; s=\$?
         [ \"\$(ls '$tmp/disk')\" = full ] || echo \"left: \$(ls '$tmp/disk')\"; exit \$s"
fi
for f in F4 F16; do # little output and much
    got=0
    "$l" show $f --csv >/dev/full 2>"$tmp/err" || got=$?
    [ $got = 2 ] && grep -q '^error: standard output: No space left' "$tmp/err" || fail "lowbit show $f --csv >/dev/full: exit status $got" "$tmp/err"
    got=0
    "$l" show $f --csv >&- 2>"$tmp/err" || got=$?
    [ $got = 2 ] && grep -q '^error: standard output: ' "$tmp/err" || fail "lowbit show $f --csv >&-: exit status $got" "$tmp/err"
done

# ---- Another user's files ----
as=("$l")
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups "$l"); fi
if "${as[@]}" --version >/dev/null 2>&1; then
    w=$(mktemp -d /tmp/lowbit-test-XXXXXX) # $tmp may lie where others may not go
    trap 'rm -rf "$tmp" "$w"' EXIT
    chmod 755 "$w"
    cp "$tmp/w/st" "$w/"
    cp "$w/st" "$w/secret"
    mkdir "$w/locked"
    echo '{"kind":"none"}' | sealed >"$w/locked/trials.jsonl"
    chmod 000 "$w/secret"
    chmod 444 "$w/locked/trials.jsonl"
    chmod 555 "$w/locked"
    listing >"$tmp/before"
    for command in run plan check; do bad 'secret: Permission denied' "${as[@]}" $command "$w/secret"; done
    bad 'secret: Permission denied' "${as[@]}" convert "$w/secret" "$w/o" --format F16
    bad 'secret: Permission denied' "${as[@]}" inspect "$w/secret"
    bad 'secret: Permission denied' "${as[@]}" compare "$w/st" "$w/secret"
    bad 'locked/o: cannot be written: Permission denied' "${as[@]}" convert "$w/st" "$w/locked/o" "${some[@]}"
    bad 'locked/trained: cannot be made: Permission denied' "${as[@]}" run $quick --out "$w/locked"
    bad 'holds no experiment' "${as[@]}" report "$w/locked"
    chmod 755 "$w/locked"
    chmod 644 "$w/locked/trials.jsonl"
    echo '{"kind":"experiment","trials":[]}' | sealed >"$w/locked/trials.jsonl"
    chmod 555 "$w/locked"
    listing >"$tmp/before"
    bad 'table.csv: cannot be written: Permission denied' "${as[@]}" report "$w/locked"
    chmod 755 "$w/locked"
else
    echo "files of another user are left out: no other user can run $l"
fi

# ---- Closed streams: nothing that is written to them lands in a file ----
# shellcheck disable=SC2034 # used by the eval below
small=(--set data.train=20 --set data.test=8 --set train.epochs=1 --set 'formats=["F16"]')
for close in '<&-' '2>&-' '<&- 2>&-' '<&- >&- 2>&-'; do
    rm -rf "$tmp/closed"
    got=0
    eval '"$l" run $quick "${small[@]}" --out "$tmp/closed"' "$close" >"$tmp/ignored" 2>"$tmp/err" || got=$?
    want=0
    [[ $close != *'>&- 2'* ]] || want=2 # stdout cannot take the table's name
    [ $got = $want ] || fail "closed streams ($close): exit status $got, wanted $want"
    if grep -v '^{"kind":"[a-z]*".*}$' "$tmp/closed/trials.jsonl" >"$tmp/other"; then fail "closed streams ($close): messages in the journal" "$tmp/other"; fi
    expect 0 "$l" verify "$tmp/closed"
done

cores=$(find . "$tmp" -maxdepth 2 -type f \( -name core -o -name 'core.[0-9]*' \))
[ -z "$cores" ] || fail "core files: $cores"
finish
