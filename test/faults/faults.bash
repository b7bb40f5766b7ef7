# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154
# Sourced by test/sh/faults_*.sh after util.bash: the short experiment that faults are injected into, and the count of what became of it.

# prepare: $tmp/faults with a lowbit that has few plugins (it is started thousands of times), the command without --out, its undisturbed results, and what
# test/faults/one.sh needs. "$@": more options of the command.
prepare() {
    if ldd "$lowbit" | grep -q 'lib[a-z]*san\.'; then
        echo "SKIPPED: a sanitizer has allocations and signal handlers of its own"
        exit 77
    fi
    if [ "$(uname -m)" != x86_64 ]; then
        echo "SKIPPED: the libraries of test/faults are for x86-64"
        exit 77
    fi
    all=$tmp/faults
    mkdir -p "$all/plugins"
    cp "$lowbit" "$BUILD"/faults/*.so "$all/"
    cp "$BUILD"/plugins/{cpu,codec_half,codec_float,codec_int,codec_fp4}.so "$all/plugins/"
    head -c 1572864 /dev/zero >"$all/zeros" # STATE_BYTES of fault_state.h
    command=("$all/lowbit" run configs/quick.json --quiet --set data.train=100 --set data.test=16 --set train.epochs=1 --set 'formats=["F32","F16","INT8"]'
        --set 'model.layers=[{"type":"conv2d","filters":2,"kernel":3,"stride":2,"activation":"relu"},{"type":"flatten"},{"type":"dense","units":10,"activation":"softmax"}]' "$@")
    printf '%s\0' "${command[@]}" >"$all/command"
    expect 0 "${command[@]}" --out "$all/whole" || finish
}

# observe LIBRARY: the command once more, with the library that only counts; its state is $all/counted then.
observe() {
    cp "$all/zeros" "$all/counted"
    LD_PRELOAD=$all/fault_$1.so LOWBIT_FAULT_STATE=$all/counted expect 0 "${command[@]}" --out "$tmp/counted" || {
        if grep -q 'allows no filter' "$tmp/err"; then
            echo "SKIPPED: this machine allows no filter of calls to the kernel"
            exit 77
        fi
        finish
    }
    same "$all/whole/table.csv" "$tmp/counted/table.csv"
    rm -rf "$tmp/counted"
}

# inject <FAULTS: one.sh for each line "KIND STACK|HOW N", and the sums of what became of them.
inject() {
    xargs -P "$(nproc)" -L 1 bash test/faults/one.sh "$all" >"$tmp/outcomes" 2>"$tmp/shell"
    cut -d' ' -f1,4- "$tmp/outcomes" | sed 's/BAD: .*/BAD/' | sort | uniq -c
    while read -r line; do
        fail "$line" "$all/$(cut -d' ' -f1-3 <<<"$line" | tr ' ' .)/err"
    done < <(grep ' BAD: ' "$tmp/outcomes" | head -n 20)
    [ "$(grep -vc ' missed ' "$tmp/outcomes")" -gt 0 ] || fail "no fault came up" "$tmp/shell"
}
