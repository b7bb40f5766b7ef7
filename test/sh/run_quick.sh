#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lowbit run: the main job gives its table; run again it does nothing again; the table does not depend on folder, jobs, threads, CPU features or names.
set -euo pipefail
. test/sh/util.bash

header=format,codec,scale,mode,numerics,backend,seed,quality,avg_dev,max_dev,top1,top1_delta,agreement,kl,sqnr_db,bits_per_weight,file_bytes,weight_bytes
header=$header,packed,max_abs_diff,diff_elements,max_ulp,hist_le10,hist_le20,hist_le30,hist_le40,hist_le50,hist_le100,hist_gt100,weights_sha256,status,trial

# ---- The main job, whole ----
expect 0 "$lowbit" run configs/quick.json --out "$tmp/main" || finish
[ "$(cat "$tmp/out")" = "$tmp/main/table.md" ] || fail "stdout does not name the table" "$tmp/out"
[[ $(head -n 1 "$tmp/main/table.csv") == "$header"* ]] || fail "the columns are not those of DESIGN" "$tmp/main/table.csv"
[[ $(head -n 1 "$tmp/main/measured.csv") == trial,encode_s,latency_s,samples_per_s,tensor_bytes,rss_delta_bytes,isa,threads,device,version,build* ]] ||
    fail "the columns of measured.csv" "$tmp/main/measured.csv"
[ "$(rows ok "$tmp/main")" = 17 ] && [ "$(wc -l <"$tmp/main/table.csv")" = 18 ] || fail "17 rows, all ok, are wanted" "$tmp/main/table.csv"
[ "$(wc -l <"$tmp/main/measured.csv")" = 18 ] || fail "17 rows of measured.csv are wanted" "$tmp/main/measured.csv"
[ "$(lines train "$tmp/main") $(lines trial "$tmp/main")" = "1 17" ] || fail "the journal: one training and 17 trials are wanted"
grep -q '^F32,F32,none,w,exact,cpu,1,100.0000,0.0000,0.0000,[0-9.]*,0.0000,100.0000,0,inf,32.0000,' "$tmp/main/table.csv" ||
    fail "F32 is not the network itself" "$tmp/main/table.csv"
grep -q 'train.*epoch' "$tmp/err" || fail "no word of the training on stderr" "$tmp/err"
"$BUILD/lowbit" verify "$tmp/main" >"$tmp/out" 2>&1 || fail "lowbit verify finds artifacts that are not those of the journal" "$tmp/out"
if grep -v '^{"kind":"\(experiment\|train\|trial\)"' "$tmp/main/trials.jsonl" >"$tmp/other"; then fail "other lines in the journal" "$tmp/other"; fi
left=$(find "$tmp/main" -name '*.tmp')
[ -z "$left" ] || fail "temporary files are left: $left"

# ---- Again ----
cp "$tmp/main/trials.jsonl" "$tmp/before.jsonl"
for f in table.csv table.md measured.csv; do mv "$tmp/main/$f" "$tmp/before.$f"; done
find "$tmp/main/trained" "$tmp/main/models" -type f -printf '%p %T@ %i\n' | sort >"$tmp/artifacts"
expect 0 "$lowbit" run configs/quick.json --out "$tmp/main"
if grep -q trained "$tmp/err"; then fail "trained again" "$tmp/err"; fi
[ "$(lines train "$tmp/main") $(lines trial "$tmp/main")" = "1 17" ] || fail "trials ran again" "$tmp/err"
find "$tmp/main/trained" "$tmp/main/models" -type f -printf '%p %T@ %i\n' | sort >"$tmp/artifacts2"
same "$tmp/artifacts" "$tmp/artifacts2"
for f in table.csv table.md measured.csv; do same "$tmp/main/$f" "$tmp/before.$f"; done
head -c "$(wc -c <"$tmp/before.jsonl")" "$tmp/main/trials.jsonl" | cmp -s - "$tmp/before.jsonl" || fail "the journal was not appended to, but changed"

# ---- What the table does not depend on: the same in small ----
small=(--set data.train=200 --set data.test=64 --set train.epochs=1 --quiet)
mkdir -p "$tmp/deep/er"
few='formats=["F64","F16","F4_X8","U64_X1E6","INT8","F4_ABSMAX"]'
expect 0 "$lowbit" run configs/quick.json "${small[@]}" --set "$few" --out "$tmp/small"
variant() { # NAME OPTION...
    local name=$1
    shift
    expect 0 "$lowbit" run configs/quick.json "${small[@]}" --set "$few" --out "$tmp/deep/er/$name" "$@" || return 0
    for f in table.csv table.md; do same "$tmp/small/$f" "$tmp/deep/er/$name/$f"; done
    diff -r "$tmp/small/trained" "$tmp/deep/er/$name/trained" >"$tmp/diff" 2>&1 || fail "$name: other trained weights" "$tmp/diff"
    diff -r "$tmp/small/models" "$tmp/deep/er/$name/models" >"$tmp/diff" 2>&1 || fail "$name: other stored weights" "$tmp/diff"
}
variant jobs --jobs 2
variant one_thread --threads 1 --jobs 40
variant two_threads --threads 2
variant no_features --cpumask 0
rows_of() { cut -d, -f1-7,30 "$1/table.csv"; } # names and weights_sha256
[ "$(rows_of "$tmp/small" | sort -u | wc -l)" = 7 ] || fail "two rows are equal" "$tmp/small/table.csv"

# ---- Names are names: two of one format, and one that was changed after the run ----
one=("${small[@]}" --out "$tmp/names")
expect 0 "$lowbit" run configs/quick.json "${one[@]}" --set 'formats=[{"name":"A","codec":"F16"},{"name":"B","codec":"F16"}]'
[ "$(cut -d, -f1 "$tmp/names/table.csv" | paste -sd' ')" = "format A B" ] || fail "one format under two names" "$tmp/names/table.csv"
expect 0 "$lowbit" run configs/quick.json "${one[@]}" --set 'formats=[{"name":"C","codec":"F16"}]' --set model.name=other
[ "$(cut -d, -f1 "$tmp/names/table.csv" | paste -sd' ')" = "format C" ] && grep -q ',other,' "$tmp/names/table.csv" ||
    fail "the row has an old name" "$tmp/names/table.csv"
[ "$(lines train "$tmp/names")" = 1 ] || fail "trained again for a name"

# ---- --set and --backend reach the process that measures memory; there may be many ----
many=()
for i in $(seq 40); do many+=(--set "seeds=[$i]"); done
expect 0 "$lowbit" run configs/quick.json "${small[@]}" --out "$tmp/sets" "${many[@]}" --set 'model.layers[0].filters=4' --set 'formats=["F16"]' \
    --set 'backends=["skeleton","cpu_ref"]' --backend cpu_ref
cut -d, -f6,7,31 "$tmp/sets/table.csv" | tail -n 1 | grep -qx cpu_ref,40,ok || fail "the row of seed 40" "$tmp/sets/table.csv"
tail -n 1 "$tmp/sets/measured.csv" | cut -d, -f5,6 | grep -qx '[1-9][0-9]*,[0-9]*' || fail "memory was not measured" "$tmp/sets/measured.csv"

# ---- lowbit plan sees what is done ----
expect 0 "$lowbit" plan configs/quick.json --out "$tmp/main"
[ "$(grep -c '  done  ' "$tmp/out")" = 17 ] || fail "lowbit plan: 17 trials are done" "$tmp/out"
expect 0 "$lowbit" plan configs/quick.json --out "$tmp/none"
[ "$(grep -c '  to do  ' "$tmp/out")" = 17 ] && [ ! -e "$tmp/none" ] || fail "lowbit plan: 17 trials are to do" "$tmp/out"
finish
