#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sets up, builds and tests lowbit: what a change must pass.
#   scripts/test.sh              set-up, oracles and data where they can be had, build with gcc -Werror, all tests
#   CI=true scripts/test.sh      the same and: clang, the sanitizers, gcc and clang give the same bits, valgrind, fuzzing, no network, install, Slurm,
#                                scripts/reproduce.sh --check
#   scripts/test.sh --only NAME  only that stage, on what the stages before it have left
# Each stage counts as a test, beside the tests in it. What cannot be had here is skipped, and said. Exit 0: nothing failed.
set -euo pipefail

only=
case ${1:-} in
"") ;;
--only) only=${2:?--only needs the name of a stage} ;;
*)
    sed -n '3,8s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] || [ "$1" = -h ] && exit 0
    exit 2
    ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ci=${CI:-false}
jobs=$(nproc 2>/dev/null || echo 2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
failures=()

# stage NAME COMMAND...: runs it with its output kept away, counts it and the tests it reports. Status 77 or 3: skipped, its last line says why.
stage() {
    local name=$1 log=$work/stage.log status=0 started=$SECONDS p=0 f=0 s=0 tests=
    shift
    if [ -n "$only" ] && [ "$only" != "$name" ]; then return 0; fi
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1) && [ -n "$counts" ]; then
        read -r p f s <<<"$(tr -cd '0-9 ' <<<"$counts")"
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        tests="; of its tests $p passed and $s were skipped"
    fi
    case $status in
    0)
        passed=$((passed + 1))
        echo "ok      $name ($((SECONDS - started)) s$tests)"
        ;;
    77 | 3)
        skipped=$((skipped + 1))
        echo "SKIPPED $name: $(tail -n 1 "$log")"
        ;;
    *)
        failed=$((failed + 1))
        failures+=("$name")
        echo "FAILED  $name, status $status. Repeat: CI=$ci scripts/test.sh --only \"$name\""
        tail -n 150 "$log" | sed 's/^/    /'
        ;;
    esac
    grep '^SKIPPED ' "$log" | sed 's/^/    /' || true
    return 0
}

# The tests of one build folder, made with one compiler.
build() { # compiler, folder
    make -s -j "$jobs" CC="$1" BUILD="$2" WERROR=-Werror tests
}

shell_scripts() {
    command -v shellcheck >/dev/null || { echo "shellcheck is not installed" && return 77; }
    shellcheck -x -P SCRIPTDIR -S warning scripts/*.sh scripts/slurm.sbatch test/run.sh test/*/*.sh .ci/run
}

# The committed vectors are what their script makes, and numpy and ml_dtypes agree.
vectors() {
    [ -x .venv/bin/python ] || { echo "no .venv: run test/oracle/setup.sh" && return 77; }
    .venv/bin/python test/oracle/make_codec_vectors.py --check
}

quick() { # folder of the build, folder of the result, options...
    local build=$1 out=$2
    shift 2
    "$build/lowbit" run configs/quick.json --out "$out" "$@"
}

# One config, run twice by one build and once by another compiler's, each from nothing.
same_bits() {
    quick build "$work/once" && quick build "$work/twice" && quick build-clang "$work/clang" || return 1
    cmp "$work/once/table.csv" "$work/twice/table.csv" && cmp "$work/once/table.csv" "$work/clang/table.csv" || return 1
    cmp "$work/once/table.md" "$work/clang/table.md" || return 1
    echo "weights_sha256 of gcc and of clang:"
    weights_sha256 "$work/once" && weights_sha256 "$work/clang"
    [ -n "$(weights_sha256 "$work/once")" ] && [ "$(weights_sha256 "$work/once")" = "$(weights_sha256 "$work/clang")" ]
}
weights_sha256() { # folder of a result: the column of that name; every line must have 64 digits
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "weights_sha256") column = i; if (!column) exit 1; next }
        length($column) != 64 { exit 1 } { print $column }' "$1/table.csv"
}

# Each fuzzer for a short while; an input that breaks something is a failure.
fuzzing() {
    echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer,address -xc - -o "$work/fuzzer" 2>/dev/null ||
        { echo "clang has no libFuzzer here" && return 77; }
    FUZZ_SECONDS=${FUZZ_SECONDS:-30} make -j "$jobs" -s fuzz
}

no_network() {
    unshare -n true 2>/dev/null || { echo "the network cannot be cut here (unshare -n)" && return 77; }
    unshare -n build/lowbit run configs/quick.json --out "$work/cut" && test -s "$work/cut/table.csv"
}

# A shorter quick.json: valgrind is some fifty times slower. Trials are processes of their own, hence --trace-children.
under_valgrind() {
    command -v valgrind >/dev/null || { echo "valgrind is not installed" && return 77; }
    valgrind -q --trace-children=yes --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,possible --track-fds=no \
        build/lowbit run configs/quick.json --out "$work/valgrind" --set data.train=100 --set data.test=50 \
        --set train.epochs=1 --set 'formats=["F64", "F16", "F4_X8", "I8_X100", "U32_X1E6", "INT8"]' 2>"$work/valgrind.log"
    local status=$?
    cat "$work/valgrind.log"
    [ $status = 0 ] && ! grep -q '^==[0-9]*== ' "$work/valgrind.log" && test -s "$work/valgrind/table.csv"
}

installed() { # wherever it was put, it finds its plugins and formats
    make BUILD=build DESTDIR="$work/root" PREFIX=/usr install && "$work/root/usr/bin/lowbit" --version &&
        "$work/root/usr/bin/lowbit" list backends >"$work/backends" && grep -q "$work/root/usr/.*lib/lowbit/cpu_ref.so" "$work/backends" &&
        (cd "$work" && "$work/root/usr/bin/lowbit" list formats >"$work/formats") && grep -q "usr/.*share/lowbit/formats.json" "$work/formats"
}

stage set-up scripts/setup.sh
stage oracles test/oracle/setup.sh
stage data scripts/fetch_data.sh mnist
[ "$ci" != true ] || stage "fashion data" scripts/fetch_data.sh fashion-npm
stage "build with gcc" build gcc build
stage tests make -s BUILD=build WERROR=-Werror CC=gcc test
if [ "$ci" = true ]; then
    stage "shell scripts" shell_scripts
    stage "codec vectors" vectors
    stage "build with clang" build clang build-clang
    stage "tests of the clang build" env BUILD=build-clang test/run.sh again
    stage "address and undefined behaviour sanitizers" make -s -j "$jobs" CC=gcc WERROR=-Werror sanitize
    stage "same bits twice, and from gcc and clang" same_bits
    stage valgrind under_valgrind
    stage fuzzing fuzzing
    stage "quick.json without a network" no_network
    stage install installed
    stage "a cluster" env BUILD=build test/cluster/cluster.sh
    stage "committed tables" scripts/reproduce.sh --check
fi
if [ -n "$only" ] && [ $((passed + failed + skipped)) = 0 ]; then
    echo "there is no stage \"$only\"$([ "$ci" = true ] || echo " (without CI=true)")"
    failed=1
fi
if [ ${#failures[@]} != 0 ]; then
    printf 'failed stage: %s\n' "${failures[@]}"
fi
echo "took $SECONDS s"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
