#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# A codec that lowbit has never seen runs packed in the kernels of every backend: two plugins of test/dropin are built out of the tree with plugin.h alone,
# as docs/plugins.md says, and lowbit, which is not built again, makes a table with them on cpu_ref, on each instruction set of cpu, and on vulkan.
set -euo pipefail
. test/sh/util.bash
cc=${CC:-gcc}
command -v "${cc%% *}" >/dev/null || { echo "SKIPPED: no C compiler ($cc)"; exit 77; }
export LOWBIT_CACHE=$tmp/cache
before=$(sha256sum "$lowbit")

# ---- Built elsewhere, and put into a folder of their own ----
mkdir -p "$tmp/author/include" "$tmp/plugins"
cp core/plugin.h "$tmp/author/include/"
cp test/dropin/codec_*.c "$tmp/author/"
(cd "$tmp/author" && for f in codec_*.c; do $cc -O2 -shared -fPIC -Iinclude "$f" -o "../plugins/${f%.c}.so" -lm; done) 2>"$tmp/err" ||
    { fail "a plugin does not compile" "$tmp/err"; finish; }

for so in "$tmp"/plugins/*.so; do
    expect 0 "$lowbit" verify "$so" || continue
    grep -q 'laws, 0 failed' "$tmp/out" || fail "$so: no law was tried" "$tmp/out"
done
expect 0 env LOWBIT_PLUGIN_PATH="$tmp/plugins" "$lowbit" list codecs --csv
for line in "LOG5,5," "BFP16,4.5," "BFP16_PLAIN,4.5,"; do
    grep -q "^$line.*,ok,$tmp/plugins/" "$tmp/out" || fail "lowbit list codecs: no line $line...,ok,$tmp/plugins/" "$tmp/out"
done

# ---- A table with them. Rows of 9, 845 and 24 weights: blocks are cut and padded ----
cat >"$tmp/dropin.json" <<'JSON'
{
  "data": { "source": "digits", "train": 64, "test": 24 },
  "model": {
    "layers": [
      { "type": "conv2d", "filters": 5, "kernel": 3, "stride": 2, "activation": "relu" },
      { "type": "flatten" },
      { "type": "dense", "units": 24, "activation": "relu" },
      { "type": "dense", "units": 10, "activation": "softmax" }
    ]
  },
  "train": { "backend": "cpu", "epochs": 1, "batch": 8 },
  "infer": { "batch": 16 },
  "modes": ["w", "wa"],
  "formats": [
    "LOG5",
    { "name": "LOG5_TENSOR", "codec": "LOG5", "scale": { "per": "tensor" } },
    { "name": "LOG5_CHANNEL", "codec": "LOG5", "scale": { "per": "channel" } },
    { "name": "LOG5_G32", "codec": "LOG5", "scale": { "per": "block", "block": 32, "format": "F16" } },
    { "name": "BFP16", "codec": "BFP16", "activations": { "codec": "LOG5", "scale": { "per": "row" } } },
    "BFP16_PLAIN"
  ],
  "backends": [
    "cpu_ref",
    { "backend": "cpu", "isa": "c", "threads": 1 },
    { "backend": "cpu", "isa": "avx2", "threads": 1 },
    { "backend": "cpu", "isa": "avx512", "threads": 2 },
    "vulkan"
  ]
}
JSON
"$lowbit" run "$tmp/dropin.json" --plugins "$tmp/plugins" --out "$tmp/r" --quiet >"$tmp/out" 2>"$tmp/err" || fail "lowbit run: exit status $?" "$tmp/err"
[ -e "$tmp/r/table.csv" ] || finish

# What a row must be: ok, packed, the weights and the outputs of cpu_ref. Without a text BFP16 is unpacked on a GPU; what layers
# read the host makes of it.
awk -F, -v failures="$tmp/failures" '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    {
        key = $at["format"] " " $at["mode"]
        name = $at["backend"] ": " key
        n++
        if ($at["status"] == "skipped") { skipped[$at["backend"]]++; next }
        if ($at["backend"] == "cpu_ref") weights[key] = $at["weights_sha256"]
        else compared++
        plain = $at["format"] == "BFP16_PLAIN" && ($at["backend"] == "vulkan" || $at["mode"] == "wa")
        if ($at["status"] != "ok") { print name ": status " $at["status"] > failures; next }
        if ($at["packed"] != (plain ? "no" : "yes")) print name ": packed " $at["packed"] > failures
        if ($at["weights_sha256"] == "" || $at["weights_sha256"] != weights[key]) print name ": other weights" > failures
        if ($at["backend"] != "cpu_ref" && ($at["diff_elements"] != "0" || $at["max_ulp"] != "0")) print name ": " $at["diff_elements"] " outputs differ, max_ulp " $at["max_ulp"] > failures
        if ($at["backend"] == "cpu_ref" && $at["sqnr_db"] + 0 < 1) print name ": sqnr_db " $at["sqnr_db"] > failures
    }
    END {
        print n + 0, compared + 0
        for (b in skipped) print b, skipped[b]
    }' "$tmp/r/table.csv" >"$tmp/sums"
touch "$tmp/failures"
[ -s "$tmp/failures" ] && fail "rows that are not as they must be" "$tmp/failures" "$tmp/err"
read -r rows compared <"$tmp/sums"
[ "$rows" = 60 ] || fail "12 rows for each of 5 backends are wanted, found $rows" "$tmp/r/table.csv"
[ "$compared" -ge 12 ] || fail "only $compared rows were compared with cpu_ref" "$tmp/r/table.csv"
tail -n +2 "$tmp/sums" | while read -r backend n; do
    [ "$n" = 12 ] || { echo "$backend: $n of 12 rows are skipped"; exit 1; }
    echo "SKIPPED on $backend: $(grep ",$backend," "$tmp/r/measured.csv" | head -n 1 | sed 's/.*,//')"
done || fail "some rows of a backend are skipped, and not all" "$tmp/sums"
if grep -q '^cpu_ref \|^cpu-c-1t ' "$tmp/sums"; then fail "cpu_ref or plain C is skipped" "$tmp/r/measured.csv"; fi
[ "$(sha256sum "$lowbit")" = "$before" ] || fail "lowbit was built again meanwhile"
finish
