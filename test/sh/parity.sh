#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# configs/paper/parity.json, shortened: every exact backend that is here trains to the same weights, bit for bit, and gives the same outputs, whatever the
# instruction set and the number of threads; and the table says so. What is not exact must not look so.
set -euo pipefail
. test/sh/util.bash

small=(--set data.train=100 --set data.test=20 --set train.epochs=1 --set infer.batch=7 --set 'formats=["F32","F4_X8"]')
expect 0 "$lowbit" run configs/paper/parity.json "${small[@]}" --out "$tmp/p" --quiet || finish

# backend, rows that are ok, rows whose weights or outputs are not those of cpu_ref
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { key = $at["model"] "," $at["format"] }
    $at["backend"] == "cpu_ref" { weights[key] = $at["weights_sha256"] }
    { n[$at["backend"]]++; numerics[$at["backend"]] = $at["numerics"]; status[$at["backend"]] = $at["status"] }
    $at["status"] == "ok" { ok[$at["backend"]]++ }
    $at["status"] == "ok" && $at["backend"] != "cpu_ref" && ($at["weights_sha256"] != weights[key] || $at["diff_elements"] != "0" || $at["max_ulp"] != "0") { other[$at["backend"]]++ }
    END { for (b in n) print b, numerics[b], status[b], n[b], ok[b] + 0, other[b] + 0 }' "$tmp/p/table.csv" | sort >"$tmp/sums"
while read -r backend numerics status rows ok other; do
    case $status in
    skipped) echo "SKIPPED parity of $backend: $(grep ",$backend,cnn," "$tmp/p/measured.csv" | head -n 1 | sed 's/.*,//')" ;;
    ok)
        [ "$rows $ok" = "4 4" ] || fail "$backend: $ok of $rows rows are ok" "$tmp/p/table.csv"
        case $numerics in
        exact) [ "$other" = 0 ] || fail "$backend says exact, and $other of its rows differ from cpu_ref" "$tmp/p/table.csv" ;;
        fast) [ "$other" != 0 ] || fail "$backend says fast, and not one row differs from cpu_ref: is anything compared?" "$tmp/p/table.csv" ;;
        *) fail "$backend: numerics \"$numerics\"" "$tmp/p/table.csv" ;;
        esac
        ;;
    *) fail "$backend: status $status" "$tmp/p/measured.csv" ;;
    esac
done <"$tmp/sums"
for backend in cpu_ref cpu-c-1t cpu-c-2t cpu-avx2-1t cpu-avx2-2t cpu-avx512-1t cpu-avx512-2t vulkan vulkan-fast cpu_blas; do
    grep -q "^$backend " "$tmp/sums" || fail "no rows of $backend" "$tmp/sums"
done
for backend in cpu_ref cpu-c-1t cpu-c-2t; do
    grep -q "^$backend exact ok 4 4 0$" "$tmp/sums" || fail "$backend runs anywhere" "$tmp/sums"
done

# The page: one weights hash for each model among the exact backends that ran, and zeros beside it.
for model in cnn mlp; do
    [ "$(grep "^| $model | .* | exact | 2 of 2 |" "$tmp/p/table.md" | cut -d'|' -f6 | sort -u | wc -l)" = 1 ] || fail "several hashes of $model" "$tmp/p/table.md"
    grep -q "^| $model | cpu-c-1t | exact | 2 of 2 | [0-9a-f]*… | 0 | 0 | 0 | 0 |$" "$tmp/p/table.md" || fail "the row of cpu-c-1t" "$tmp/p/table.md"
done
finish
