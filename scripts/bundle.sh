#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes of the build in $BUILD (default: build) a folder that runs wherever it is copied to, without root: for nodes of a cluster.
#   scripts/bundle.sh           $BUILD/bundle/lowbit-VERSION-ARCH/ and the same as .tar.gz
#   scripts/bundle.sh --blas    with OpenBLAS for the backend cpu_blas, which else needs the node's own
# bin/lowbit finds lib/lowbit/ (the plugins), configs/ and lib/bundled/ (libraries) beside itself. The node gives libc with its loader
# and the Vulkan driver. The driver's loader is the node's, too; lib/fallback/ has one for nodes without.
# Exit: 0; 1 something is missing or cannot be traced to a licence; 2 bad usage.
set -euo pipefail
export LC_ALL=C
umask 022

with_blas=no
for arg in "$@"; do
    case $arg in
    --blas) with_blas=yes ;;
    *)
        sed -n '3,9s/^# \{0,1\}//p' "$0"
        [ "$arg" = --help ] || [ "$arg" = -h ] && exit 0
        exit 2
        ;;
    esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
die() {
    echo "bundle.sh: $*" >&2
    exit 1
}
[ -x "$build/lowbit" ] || die "$build/lowbit is not there: run make"

# libc's own libraries, by the beginning of their names: they belong to the node's loader, so they stay behind.
libc='^(ld-linux.*|linux-vdso|lib(c|m|dl|pthread|rt|mvec|resolv|util|anl))\.so'

version=$(sed -n 's/^#define LB_VERSION "\(.*\)"$/\1/p' core/version.h)
name=lowbit-$version-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
mkdir -p "$root"/{bin,lib/lowbit,lib/bundled,lib/fallback,scripts,licences}

# ---- Ours: as `make install` has it, the configs where a command of README finds them ----
install "$build/lowbit" "$root/bin/"
for plugin in "$build"/plugins/*.so; do
    case $plugin in
    */skeleton_*) ;;
    *) install -m 644 "$plugin" "$root/lib/lowbit/" ;;
    esac
done
cp -r configs "$root/"
install scripts/fetch_data.sh scripts/fashion_npm_to_idx.py scripts/slurm.sbatch "$root/scripts/"
install -m 644 scripts/Snakefile "$root/scripts/"
install -m 644 LICENSE "$root/"

# ---- Libraries ----
# library_path SONAME: where the loader finds it.
library_path() {
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk -v want="$1" '$1 == want && /64/ { print $NF; exit }'
}
# closure FILE...: "soname path" of all that these need, and what that needs; ldd follows the chain.
closure() {
    ldd "$@" | awk '$2 == "=>" { if ($3 == "not") { print "missing", $1 } else print $1, $3 }' | sort -u | { grep -vE "$libc" || true; }
}
needs=("$root/bin/lowbit" "$root"/lib/lowbit/*.so)
if [ $with_blas = yes ]; then
    blas=$(library_path libopenblas.so.0)
    [ -n "$blas" ] || die "libopenblas.so.0 is not installed"
    echo "libopenblas.so.0 $blas" >"$work/libraries"
    needs+=("$blas")
fi
closure "${needs[@]}" >>"$work/libraries"
while read -r soname path; do
    [ "$soname" != missing ] || die "$path is needed, and the loader does not find it"
    install -m 644 "$(readlink -f "$path")" "$root/lib/bundled/$soname"
done <"$work/libraries"
loader=$(library_path libvulkan.so.1)
if [ -n "$loader" ]; then
    install -m 644 "$(readlink -f "$loader")" "$root/lib/fallback/libvulkan.so.1"
    echo "libvulkan.so.1 $loader" >>"$work/libraries"
fi

# ---- Licences: of the libraries, and of what is linked into lowbit and into the plugin vulkan ----
# licence FILE: copies that of the package that the file is from.
licence() {
    local package
    package=$({ dpkg-query -S "$(readlink -f "$1")" || dpkg-query -S "*/$(basename "$(readlink -f "$1")")"; } 2>/dev/null | head -n 1 | cut -d: -f1)
    [ -n "$package" ] && [ -e "/usr/share/doc/$package/copyright" ] || die "$1: no package, so no licence, is known (this needs dpkg)"
    install -m 644 "/usr/share/doc/$package/copyright" "$root/licences/$package"
}
while read -r _ path; do licence "$path"; done <"$work/libraries"
protobuf=$(gcc -print-file-name=libprotobuf-c.a)
if [ -e "$protobuf" ]; then licence "$protobuf"; fi
if [ -e "$root/lib/lowbit/vulkan.so" ]; then
    for archive in libshaderc_combined.a libglslang.a libSPIRV-Tools.a libstdc++.a; do licence "$(gcc -print-file-name="$archive")"; done
fi

# Debian's texts name the long licences by a path that other systems do not have.
{ grep -rhoE '/usr/share/common-licenses/[A-Za-z]+(-[0-9.]*[0-9])?' "$root/licences" || true; } | sort -u | while read -r text; do
    if [ -e "$text" ]; then install -m 644 "$(readlink -f "$text")" "$root/licences/$(basename "$text")"; fi
done

# ---- What the node must have, said ----
glibc=$(find "$root" -type f \( -name '*.so*' -o -name lowbit \) -exec objdump -T {} + 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
[ -n "$glibc" ] || die "no version of glibc is asked for: is objdump (binutils) installed?"
cat >"$root/README" <<TEXT
lowbit $version: bin/lowbit run configs/quick.json (results/ comes in the current folder; scripts/fetch_data.sh fetches MNIST).
Needs ${glibc/GLIBC_/glibc } or later on $(uname -m); for the backend vulkan the Vulkan driver of the GPU. Licences of the libraries: licences/.
TEXT

# ---- In place, whole ----
tar -C "$work" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -n -9 >"$work/$name.tar.gz"
mkdir -p "$build/bundle"
rm -rf "${build:?}/bundle/$name" "$build/bundle/$name.tar.gz"
mv "$root" "$work/$name.tar.gz" "$build/bundle/"
mib() { du -sm --apparent-size "$1" | cut -f1; }
echo "$build/bundle/$name: $(mib "$build/bundle/$name") MiB; as .tar.gz $(mib "$build/bundle/$name.tar.gz") MiB"
