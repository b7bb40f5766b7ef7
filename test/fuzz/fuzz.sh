#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the fuzzers that are built in $BUILD (default: build-fuzz) and says what each tried and found: `make fuzz` builds and runs them.
#   test/fuzz/fuzz.sh [NAME...]   of config, set, safetensors, idx, onnx, journal (default: all)
# FUZZ_SECONDS: of each (600); FUZZ_JOBS: side by side (one a processor). What they learn stays in $BUILD/corpus, and the next run goes on from there; an input
# that breaks something in $BUILD/found. An input that takes over 10 seconds or 2560 MiB counts as one. Exit 0: nothing was found.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(realpath "${BUILD:-build-fuzz}")
seconds=${FUZZ_SECONDS:-600} jobs=${FUZZ_JOBS:-$(nproc)}
[ $# != 0 ] || set -- safetensors config onnx journal set idx
tmp=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$tmp"' EXIT
unset LOWBIT_PLUGIN_PATH
ln -sfn ../plugins "$build/fuzz/plugins" # beside the executables: lowbit's own, which need no process of their own to be loaded
# No size that a file asks for is worth more than a GiB here; beyond it memory is out, as it may be anywhere.
export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=1024:detect_stack_use_after_return=1:strict_string_checks=1:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}

# fuzz NAME: its whole output in $tmp/NAME.log, one line about it on stdout.
fuzz() {
    local name=$1 status=0 words=() log=$tmp/$1.log
    export TMPDIR=$tmp/$name
    mkdir -p "$TMPDIR" "$build/corpus/$name" "$build/found"
    for dictionary in "test/fuzz/$name.dict" "$tmp/seeds/$name.dict"; do
        [ ! -e "$dictionary" ] || words=(-dict="$dictionary")
    done
    "$build/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2560 -max_len=8192 -close_fd_mask=3 -print_final_stats=1 \
        -artifact_prefix="$build/found/$name-" "${words[@]}" "$build/corpus/$name" "$tmp/seeds/$name" >"$log" 2>&1 </dev/null || status=$?
    awk -v name="$name" -v status="$status" '/^stat::number_of_executed_units/ { n = $2 } / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
        / in [0-9]+ second/ { s = $(NF - 1) }
        END { printf "%-8s %s: %d inputs in %s s, %d edges\n", status ? "FAILED" : "ok", name, n, s ? s : "?", cov }' "$log"
    [ $status = 0 ] && return
    grep -E '^(==|SUMMARY|fuzz:|.*runtime error|artifact_prefix|    #)' "$log" | tail -n 25 | sed 's/^/    /'
    echo "    repeat: $build/fuzz/fuzz_$name FILE"
    return 1
}

ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 test/fuzz/fuzz_seeds.sh "$tmp/seeds" "$build/lowbit" >"$tmp/seeds.log" 2>&1 || { cat "$tmp/seeds.log" && exit 1; }
for name in set journal safetensors; do cp "$tmp/seeds/config.dict" "$tmp/seeds/$name.dict"; done
passed=0 failed=0 running=0
for name; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n && passed=$((passed + 1)) || failed=$((failed + 1))
        running=$((running - 1))
    fi
    fuzz "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n && passed=$((passed + 1)) || failed=$((failed + 1))
    running=$((running - 1))
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
