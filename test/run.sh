#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the tests that are built in $BUILD (default: build): the Criterion programs of test/unit and the scripts of test/sh.
#   test/run.sh quick            all but the tests that hold "# long" or "# slow" in their first ten lines, and of drawn cases a third (LOWBIT_QUICK)
#   test/run.sh again            the same with "# slow", without "# once": for another compiler or a sanitizer, which add nothing to some
#   test/run.sh all              all
#   test/run.sh all NAME...      only these, by file name without its ending
# Scripts that hold "# alone" there run with nothing beside them; of the others LOWBIT_TEST_JOBS run side by side (one more than there are processors,
# as some wait). LOWBIT_TIMES=1 says what each took. Exit 0: everything passed or was skipped, and something ran.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
export BUILD=${BUILD:-build}
export LOWBIT_CACHE=${LOWBIT_CACHE-$(realpath -m "$BUILD")/cache} # shaders are compiled once, and not into the user's own cache
unset LOWBIT_PLUGIN_PATH # a user's own plugins are not under test
# Leaks count. Where no sanitizer runs, a size that no machine has gives NULL and a crash gives its signal: so here too.
asan=detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1:strict_string_checks=1
asan=$asan:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:${ASAN_OPTIONS:-}
ubsan=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}

# Runs one test. Writes into $work: NAME.count (passed failed skipped), NAME.skip (reasons), NAME.out (shown when it failed).
run_one() {
    local name=$1 kind=$2 status=0
    local out=$work/$name.out tap=$work/$name.tap
    local limit=${LOWBIT_TEST_TIMEOUT:-600} TIMEFORMAT='%1R %1U %1S'
    mkdir "$work/$name.tmp"
    export TMPDIR=$work/$name.tmp
    # Reports go to files, so that one from a process whose output the test throws away counts as well.
    export ASAN_OPTIONS=$asan:log_path=$work/$name.report UBSAN_OPTIONS=$ubsan:log_path=$work/$name.report
    if [ "$kind" = unit ]; then
        local program=$BUILD/test/$name
        if [ ! -x "$program" ]; then
            echo "$program was not built" >"$out"
            echo 0 1 0 >"$work/$name.count"
            return
        fi
        { time timeout -k 5 "$limit" "$program" -j1 --color=never --tap="$tap" >"$out" 2>&1 </dev/null; } 2>"$work/$name.time" || status=$?
        local passed failed skipped
        passed=$(grep '^ok ' "$tap" 2>/dev/null | grep -vc '# SKIP' || true)
        failed=$(grep -c '^not ok ' "$tap" 2>/dev/null || true)
        skipped=$(grep -c '^ok .*# SKIP' "$tap" 2>/dev/null || true)
        sed -n "s/^ok - \(.*\)  # SKIP \(.*\)/$name \1: \2/p" "$tap" >"$work/$name.skip" 2>/dev/null || true
        if [ "$status" != 0 ] && [ "${failed:-0}" = 0 ] || [ $((${passed:-0} + ${failed:-0} + ${skipped:-0})) = 0 ]; then
            failed=1
            echo "$program: exit status $status, and no test of it was reported as failed or none ran" >>"$out"
        fi
        if [ "${failed:-0}" != 0 ]; then
            sed -n "s|^not ok - \([^: ]*\)::\([^ ]*\) .*|repeat: $program --filter '\1/\2'|p" "$tap" >>"$out" 2>/dev/null || true
        fi
        echo "${passed:-0} ${failed:-0} ${skipped:-0}" >"$work/$name.count"
    else
        { time timeout -k 5 "$limit" bash "test/sh/$name.sh" >"$out" 2>&1 </dev/null; } 2>"$work/$name.time" || status=$?
        case $status in
        0) echo 1 0 0 >"$work/$name.count" ;;
        77)
            echo 0 0 1 >"$work/$name.count"
            echo "$name: $(grep . "$out" | tail -n 1 | sed "s,^SKIPPED:* *,,")" >"$work/$name.skip"
            ;;
        *)
            echo 0 1 0 >"$work/$name.count"
            if [ "$status" = 124 ] || [ "$status" = 137 ]; then echo "stopped after $limit s, or killed" >>"$out"; fi
            echo "test/sh/$name.sh: exit status $status" >>"$out"
            ;;
        esac
    fi
    # Criterion takes a test that leaks for passed: the report comes after the test's own result.
    local reports
    reports=$(find "$work" -maxdepth 1 -name "$name.report*" -size +0)
    if [ -n "$reports" ]; then
        echo 0 1 0 >"$work/$name.count"
        xargs -d '\n' cat <<<"$reports" >>"$out"
    fi
    if ! grep -q '^[0-9]* 0 ' "$work/$name.count"; then
        echo "repeat: BUILD=$BUILD test/run.sh all $name" >>"$out"
    fi
    rm -rf "$work/$name.tmp"
}

if [ "${1:-}" = --one ]; then # from xargs below
    work=$2
    run_one "$3" "$4"
    exit 0
fi

which=${1:-}
case $which in
all) unset LOWBIT_QUICK ;;
quick | again) export LOWBIT_QUICK=1 ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
shift
wanted() { # name: is it among the names of the command line, or are there none?
    local name=$1 w
    shift
    [ $# = 0 ] && return 0
    for w in "$@"; do [ "$w" = "$name" ] && return 0; done
    return 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
long=() together=() alone=() left_out=0 again=0
marked() { grep -qx "\(/\* \)\?# $1\( \*/\)\?" <<<"$marks"; }
for file in test/sh/*.sh test/unit/test_*.c; do # programs are the shorter ones, so that all end together
    [ -e "$file" ] || continue
    name=$(basename "${file%.*}")
    wanted "$name" "$@" || continue
    marks=$(head -n 10 "$file")
    kind=script
    [ "${file##*.}" = sh ] || kind=unit
    if { [ "$which" != all ] && marked long; } || { [ "$which" = quick ] && marked slow; }; then
        left_out=$((left_out + 1))
    elif [ "$which" = again ] && marked once; then
        again=$((again + 1))
    elif marked alone; then
        alone+=("$name")
    elif marked long; then
        long+=("$name" "$kind")
    else
        together+=("$name" "$kind")
    fi
done
together=("${long[@]}" "${together[@]}")
if [ ${#together[@]} = 0 ] && [ ${#alone[@]} = 0 ]; then
    echo "test/run.sh: there is no such test" >&2
    echo "0 passed, 0 failed, 0 skipped"
    exit 1
fi

if [ ${#together[@]} != 0 ]; then
    printf '%s\n' "${together[@]}" | xargs -P "${LOWBIT_TEST_JOBS:-$(($(nproc 2>/dev/null || echo 2) + 1))}" -n 2 "$here/run.sh" --one "$work" || true # a missing count is a failure below
fi
for name in "${alone[@]}"; do run_one "$name" script; done

passed=0 failed=0 skipped=0 names=()
for ((i = 0; i < ${#together[@]}; i += 2)); do names+=("${together[i]}"); done
for name in "${names[@]}" "${alone[@]}"; do
    read -r p f s <"$work/$name.count" || { p=0 f=1 s=0 && echo "$name: no result" >>"$work/$name.out"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" != 0 ]; then
        echo "FAILED $name"
        if [ "$(wc -l <"$work/$name.out")" -gt 300 ]; then
            { head -n 250 "$work/$name.out" && echo "[...]" && tail -n 50 "$work/$name.out"; } | sed 's/^/    /'
        else
            sed 's/^/    /' "$work/$name.out"
        fi
    fi
done
if [ -n "${LOWBIT_TIMES:-}" ]; then
    for name in "${names[@]}" "${alone[@]}"; do
        awk -v name="$name" '{ printf "%6.1f s, %6.1f s of CPU: %s\n", $1, $2 + $3, name }' "$work/$name.time" 2>/dev/null || true
    done | sort -rn
fi
cat "$work"/*.skip 2>/dev/null | sed 's/^/SKIPPED /' || true
if [ $left_out != 0 ]; then echo "$left_out long or slow tests left out (make test runs them)"; fi
if [ $again != 0 ]; then echo "$again tests left out that another compiler or a sanitizer adds nothing to (make check runs them)"; fi
if [ $((passed + failed)) = 0 ]; then
    echo "no test ran"
    failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
