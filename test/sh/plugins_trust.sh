#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Plugins that others could have written: refused with file, mode and owner, let through with a warning, and never in the way of a checkout that belongs to
# somebody else. The rule's cases are test/unit/test_plugins_trust.c; these are whole programs.
set -euo pipefail
export TMPDIR=/tmp # which another user reaches, too
. test/sh/util.bash
unset LOWBIT_TRUST_PLUGINS
chmod 755 "$tmp"

# house DIR: a lowbit with two plugins beside it.
house() {
    mkdir -p "$1/build/plugins"
    cp "$lowbit" "$1/build/"
    cp "$BUILD/plugins/cpu_ref.so" "$BUILD/bad/good_one.so" "$1/build/plugins/"
}

# status NAME: its column in what `lowbit list --csv` printed.
status() {
    awk -F, -v name="$1" '$1 == name { print $6 }' "$tmp/out"
}

house "$tmp/a"
mkdir "$tmp/open"
cp "$BUILD/bad/good_one.so" "$tmp/open/one.so"
chmod 777 "$tmp/open"

expect 0 "$tmp/a/build/lowbit" list codecs --csv --plugins "$tmp/open"
[ "$(status one) $(status GOOD_ONE)" = "refused ok" ] || fail "the one in the open folder is refused, the other loads" "$tmp/out"
grep -q "^warning: $tmp/open/one.so: refused: others can write to its folder: $tmp/open has mode 0777, owner $(id -u), group $(id -g); wanted: " "$tmp/err" ||
    fail "the refusal names file, mode and owner" "$tmp/err"
expect 2 "$tmp/a/build/lowbit" verify "$tmp/open/one.so"
grep -q "^error: $tmp/open/one.so: others can write to its folder" "$tmp/err" || fail "lowbit verify of it" "$tmp/err"
expect 0 "$tmp/a/build/lowbit" list codecs --csv --plugins "$tmp/open" --trust-plugins
[ "$(grep -c ': let through by ' "$tmp/err")" = 1 ] || fail "--trust-plugins: one warning" "$tmp/err"
grep -q "$tmp/open/one.so" "$tmp/out" && ! grep -q refused "$tmp/out" || fail "--trust-plugins loads it" "$tmp/out"
expect 0 env LOWBIT_TRUST_PLUGINS=1 LOWBIT_PLUGIN_PATH="$tmp/open" "$tmp/a/build/lowbit" list codecs --csv --quiet
[ "$(grep -c ': let through by ' "$tmp/err")" = 1 ] || fail "LOWBIT_TRUST_PLUGINS=1: one warning, also when quiet" "$tmp/err"

# Beside the executable the same rule holds; folders that hold the executable are nobody's question.
chmod 777 "$tmp/a/build/plugins"
expect 0 "$tmp/a/build/lowbit" list codecs --csv
[ "$(grep -c ',refused,' "$tmp/out")" = 2 ] || fail "an open plugins/ beside the executable" "$tmp/out"
chmod 755 "$tmp/a/build/plugins"
chmod 777 "$tmp/a/build" "$tmp/a"
expect 0 "$tmp/a/build/lowbit" list codecs --csv
[ "$(status GOOD_ONE)" = ok ] || fail "open folders that hold the executable itself" "$tmp/out"

# The processes that a run starts trust what it trusts, and the warning is given once.
expect 0 "$lowbit" run configs/quick.json --set data.train=100 --set data.test=32 --set train.epochs=1 --out "$tmp/run" --plugins "$tmp/open" --trust-plugins \
    --set 'formats=["F32",{"name":"one","codec":"GOOD_ONE"}]'
[ "$(rows ok "$tmp/run") $(grep -c ': let through by ' "$tmp/err")" = "2 1" ] || fail "a run with --trust-plugins" "$tmp/err"
csv=$(cut -d, -f16,17 "$tmp/run/measured.csv" | tail -n 1)
[ "$csv" = "$(sha256sum <"$tmp/open/one.so" | cut -d' ' -f1),$(sha256sum <"$BUILD/plugins/cpu.so" | cut -d' ' -f1)" ] || fail "measured.csv names the plugins: $csv"

# What only root can set up: files of others.
if [ "$(id -u)" = 0 ] && id daemon >/dev/null 2>&1; then
    house "$tmp/b"
    chown -R daemon "$tmp/b"
    chmod 777 "$tmp/b"
    expect 0 "$tmp/b/build/lowbit" list codecs --csv
    [ "$(status GOOD_ONE)" = ok ] || fail "root in another's checkout" "$tmp/out"
    chown root "$tmp/b/build/lowbit" "$tmp/b/build/plugins" "$tmp/b/build/plugins"/*.so
    expect 0 "$tmp/b/build/lowbit" list codecs --csv
    [ "$(status GOOD_ONE)" = ok ] || fail "built by root in another's checkout" "$tmp/out"
    chown daemon "$tmp/b/build/plugins/good_one.so"
    expect 0 "$tmp/b/build/lowbit" list codecs --csv
    [ "$(status good_one)" = refused ] && grep -q "the file is somebody else's: .*good_one.so has mode 0755, owner $(id -u daemon), " "$tmp/err" ||
        fail "root's lowbit, another's plugin" "$tmp/out" "$tmp/err"
    if command -v setpriv >/dev/null; then
        chown daemon "$tmp/b/build/lowbit"
        chmod 755 "$tmp/open"
        expect 0 setpriv --reuid daemon --clear-groups "$tmp/b/build/lowbit" list codecs --csv --plugins "$tmp/open"
        [ "$(status GOOD_ONE | paste -sd' ')" = "ok shadowed" ] || fail "root's plugins are anybody's" "$tmp/out" "$tmp/err"
    fi
fi
finish
