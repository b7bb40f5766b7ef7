# SPDX-License-Identifier: MIT
# Sourced by the scripts of test/sh that run experiments. Gives $lowbit, $tmp (removed at the end) and what is below; a script ends with `finish`.
BUILD=${BUILD:-build}
lowbit=$BUILD/lowbit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset LOWBIT_PLUGIN_PATH
failed=0

# fail TEXT [FILE...]: counts a failure, says what is wrong, and shows the ends of the files.
fail() {
    local text=$1
    shift
    failed=$((failed + 1))
    echo "FAILED: $text"
    for f in "$@"; do
        echo "  $f:"
        tail -n 15 "$f" 2>&1 | cut -c1-300 | sed 's/^/    /'
    done
}

# expect STATUS COMMAND...: runs it with $tmp/out and $tmp/err, and fails where its exit status is another.
expect() {
    local want=$1 got=0
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || got=$?
    [ "$got" = "$want" ] && return 0
    fail "exit status $got, wanted $want: $*" "$tmp/out" "$tmp/err"
    return 1
}

# same FILE FILE: byte for byte.
same() {
    cmp "$1" "$2" >"$tmp/cmp" 2>&1 || fail "$1 and $2 differ: $(cat "$tmp/cmp")"
}

# lines KIND FOLDER: how many lines of the kind the journal holds.
lines() {
    grep -c "^{\"kind\":\"$1\"" "$2/trials.jsonl" || true
}

# rows STATUS FOLDER: how many rows of table.csv have the status.
rows() {
    grep -c ",$1,[0-9a-f]\{64\}," "$2/table.csv" || true
}

finish() {
    [ $failed = 0 ] && exit 0
    echo "repeat: BUILD=$BUILD bash $0"
    exit 1
}

# sealed: lines of JSON objects as a journal has them, each with its checksum.
sealed() {
    python3 -c 'import sys, zlib
for line in sys.stdin.buffer.read().splitlines():
    sys.stdout.write("%s,\"crc32\":\"%08x\"}\n" % (line[:-1].decode(), zlib.crc32(line[:-1])))'
}
