#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# scripts/bundle.sh: unpacked elsewhere, in a root that has nothing but libc and its loader and without an environment, it loads all plugins
# and gives quick.json's table, byte for byte that of the build. Where no such root can be made, it runs beside the system's libraries and
# must not load them.
set -euo pipefail
. test/sh/util.bash

expect 0 env BUILD="$BUILD" scripts/bundle.sh || finish
archive=$(echo "$BUILD"/bundle/lowbit-*.tar.gz)
name=$(basename "$archive" .tar.gz)
root=$tmp/root
mkdir -p "$root/opt" && tar -C "$root/opt" -xzf "$archive"
bundle=$root/opt/$name
diff -r "$BUILD/bundle/$name" "$bundle" >"$tmp/diff" 2>&1 || fail "the archive is not the folder" "$tmp/diff"
size=$(du -sk --apparent-size "$bundle" | cut -f1)
[ "$size" -lt $((48 * 1024)) ] || fail "$size KiB: under 48 MiB are promised"
# Whoever gets a library gets its licence: each file of lib/bundled and lib/fallback is some package's.
for lib in "$bundle"/lib/*/*.so.*; do
    package=$({ dpkg-query -S "*/$(basename "$lib")" 2>/dev/null || true; } | head -n 1 | cut -d: -f1)
    [ -n "$package" ] && cmp -s "/usr/share/doc/$package/copyright" "$bundle/licences/$package" || fail "no licence of $lib"
done

# ---- Beside the system's libraries: those of the bundle are taken ----
libc='/(ld-linux[^/]*|lib(c|m|dl|pthread|rt|mvec))\.so[^/]*$'
(cd / && env -i LD_DEBUG=files LD_DEBUG_OUTPUT="$tmp/ld" "$bundle/bin/lowbit" list codecs) >"$tmp/out" 2>&1 || fail "lowbit list codecs" "$tmp/out"
sed -n 's/.*calling init: //p' "$tmp"/ld.* | sed 's,/bin/\.\./,/,' | sort -u >"$tmp/loaded"
[ "$(grep -c "^$bundle/lib/lowbit/" "$tmp/loaded")" = "$(ls "$bundle/lib/lowbit" | wc -l)" ] || fail "not every plugin was loaded" "$tmp/loaded"
grep -vE "^$bundle/|$libc" "$tmp/loaded" >"$tmp/foreign" && fail "loaded from outside" "$tmp/foreign"

# ---- A root with libc alone ----
loader=$(readelf -l "$bundle/bin/lowbit" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
system=$(dirname "$(ldd "$bundle/bin/lowbit" | awk '$1 == "libc.so.6" { print $3 }')")
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/$(dirname "$loader")" "$root/$system"
cp -L "$loader" "$root/$loader"
for lib in c m dl pthread rt; do cp -L "$system/lib$lib.so".[0-9] "$root/$system/"; done
: >"$root/dev/null"
# alone COMMAND...: in that root, with no environment.
alone() {
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare -rmpf sh -c 'mount -t proc proc "$1/proc" && mount --bind /dev/null "$1/dev/null" && shift && exec env -i "$@"' - "$root" \
        "$(command -v chroot)" "$root" "$@"
}
there=/opt/$name in_root=alone
if ! alone "$loader" --version >/dev/null 2>&1; then
    echo "no root of its own can be made here; run in place"
    there=$bundle in_root='env -i'
fi
expect 0 $in_root "$there/bin/lowbit" list backends || finish
if [ "$there" != "$bundle" ] && [ -e "$bundle/lib/fallback/libvulkan.so.1" ]; then
    if grep -q '^vulkan.*no Vulkan loader' "$tmp/out"; then fail "the bundle's own Vulkan loader was not taken" "$tmp/out"; fi
fi
for plugin in "$bundle"/lib/lowbit/*.so; do
    if grep -F "$(basename "$plugin")" "$tmp/err" | grep -v vulkan; then fail "$(basename "$plugin") was complained of" "$tmp/err"; fi
done
for backend in cpu_ref cpu; do
    expect 0 $in_root "$there/bin/lowbit" run "$there/configs/quick.json" --backend $backend --out "$there/out.$backend" || finish
    expect 0 "$lowbit" run configs/quick.json --backend $backend --out "$tmp/build.$backend"
    for f in table.csv table.md; do same "$bundle/out.$backend/$f" "$tmp/build.$backend/$f"; done
done
finish
