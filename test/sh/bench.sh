#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# `lowbit bench`: every op gives rows with all columns, on small sizes; peers are there where their library is, and only then; bad
# options are refused.
set -euo pipefail
BUILD=${BUILD:-build}
out=$(mktemp) said=$(mktemp)
trap 'rm -f "$out" "$said"' EXIT
header=op,shape,format,backend,isa,threads,seconds,rate,unit,ratio,vs_openblas,vs_onednn,vs_cpu_ref,vs_f32,spread,best,turns,method,of

fail() { # what was wrong, the command
    echo "$1; repeat: $2"
    cat "$out" "$said"
    exit 1
}
# bench ARGS PYTHON: what PYTHON asserts holds of the rows; r is a row, rows are all of them.
bench() {
    local command="$BUILD/lowbit bench $1 --seconds 0.01 --csv"
    $command >"$out" 2>"$said" || fail "exit status $?" "$command"
    [ "$(head -n 1 "$out")" = "$header" ] || fail "other columns than $header" "$command"
    python3 -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert rows, "no rows"
for r in rows:
    assert float(r["seconds"]) >= float(r["best"]) > 0 and float(r["rate"]) > 0 and float(r["ratio"]) >= 0, r
    assert float(r["spread"]) >= 0 and int(r["turns"]) > 0 and r["of"] and r["unit"], r
backends = {r["backend"] for r in rows}
exec(sys.argv[2])' "$out" "$2" || fail "not so: $2" "$command"
}

# Every op, on a backend that is always there.
for args in "gemm --m 8 --n 9 --k 10" "gemv --n 64 --k 32" "conv --batch 1" "train --model mlp --batch 4" "forward --batch 2"; do
    bench "$args --backend cpu_ref --no-peers" 'assert backends == {"cpu_ref"}, backends'
done
bench "codec --format F4" 'assert {r["op"] for r in rows} == {"encode", "decode"}, rows'

# Formats are encoded alone, from memory and in a cache, or with as many numbers as are asked for; what is not the usual way says so.
bench "codec --format MXFP4" 'assert [(r["op"], r["format"], r["unit"], r["threads"]) for r in rows] == 2 * [("encode", "MXFP4", "Gelem/s", "1")], rows
large, small = (int(r["shape"].split()[0]) for r in rows)
assert large >= 1 << 24 and small <= 1 << 15, rows'
for f in MXFP4 NVFP4 INT4_G32 MXFP8_E4M3 INT8_CHANNEL; do
    bench "codec --n 4096 --format $f" "assert [(r['op'], r['shape'], r['format']) for r in rows] == [('encode', '4096 elements', '$f')], rows
assert abs(float(rows[0]['rate']) / (4096 / float(rows[0]['seconds']) * 1e-9) - 1) < 0.01, rows"
done
bench 'codec --n 4096 --format {"codec":"F8_E4M3","rounding":"stochastic"}' \
    'assert [(r["op"], r["format"], r["method"]) for r in rows] == [("encode", "F8_E4M3", "stochastic")], rows'

# Products with weights in a format; oneDNN and OpenBLAS, where they are, run on the unpacked ones.
bench "gemm_packed --m 3 --n 64 --k 96 --backend cpu_ref,cpu --format MXFP4 --no-peers" \
    'packed = [r for r in rows if r["format"] == "MXFP4"]
assert {r["op"] for r in rows} == {"gemm_packed"} and [r["backend"] for r in packed] == ["cpu_ref", "cpu"], rows
assert {r["backend"] for r in rows if r["format"] != "MXFP4"} == {"cpu_ref", "cpu"}, rows'
bench "gemm_packed --m 3 --n 64 --k 96 --backend cpu --no-peers" \
    'assert {"INT4_G32", "MXFP4", "NVFP4", "MXFP8_E4M3"} <= {r["format"] for r in rows}, rows'
bench "gemm_int8 --m 3 --n 64 --k 96 --backend cpu_ref,cpu --format INT8_CHANNEL --no-peers" \
    'assert {r["op"] for r in rows} == {"gemm_int8"} and {"cpu_ref", "cpu"} <= backends, rows
assert {r["format"] for r in rows} >= {"INT8_CHANNEL"}, rows'

# What runs without being named; --backend is a list and may be given again.
bench "forward --model mlp --batch 2 --no-peers" 'assert "cpu" in backends and not backends & {"cpu_ref", "cpu_blas", "skeleton"}, backends'
bench "gemm --m 8 --n 9 --k 10 --backend cpu_ref,cpu --backend cpu --no-peers" 'assert [r["backend"] for r in rows] == ["cpu_ref", "cpu"], rows
assert float(rows[1]["vs_cpu_ref"]) > 0 and not rows[0]["vs_cpu_ref"], rows'
bench "forward --model mlp --no-peers" 'assert [(r["shape"], r["format"], bool(r["vs_f32"])) for r in rows if r["backend"] == "cpu"] == [
    (f"mlp, batch {n}", f, f != "F32") for n in (64, 1) for f in ("F32", "INT8_CHANNEL")], rows
'

# Integer tensors: what a product gives, bytes or sums, beside binary32 and what would have to be done instead of bytes; training that knows a format.
bench "gemm_u8s8 --m 8 --n 64 --k 96 --backend cpu_ref,cpu --no-peers" '
for b in ("cpu_ref", "cpu"):
    mine = [(r["format"], r["method"], bool(r["vs_f32"])) for r in rows if r["backend"] == b]
    assert mine == [("U8 x S8 -> U8", "", True), ("U8 x S8 -> S32", "", True), ("F32", "", False),
                    ("U8 x S8 -> U8", "dequantize, multiply, quantize", True)], mine'
bench "forward --model mlp --batch 2 --backend cpu --no-peers --format INT4_CHANNEL" 'assert [r["format"] for r in rows] == ["F32", "INT4_CHANNEL"], rows'
bench "train --model mlp --batch 4 --backend cpu --no-peers" 'assert [(r["format"], r["method"]) for r in rows] == [
    ("F32", ""), ("INT4_CHANNEL", "qat, weights"), ("INT4_CHANNEL", "qat, weights and activations")], rows
f32 = float(rows[0]["seconds"])
for r in rows[1:]:
    assert abs(float(r["vs_f32"]) / (f32 / float(r["seconds"])) - 1) < 0.01, rows'

# The peers: rows of their own, and how far they are from ours. What is packed beforehand does not count.
has() { # library: can it be loaded?
    python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>"$said"
}
peers=
for library in libopenblas.so.0:cpu_blas:vs_openblas libdnnl.so.2:onednn:vs_onednn; do
    IFS=: read -r file backend column <<<"$library"
    here=0
    if has $file; then here=1; fi
    peers+="('$backend', '$column', $here), "
done
for args in "gemm --m 8 --n 9 --k 10" "gemv --n 64 --k 32" "conv --batch 1"; do
    bench "$args --backend cpu" "
for backend, column, here in [$peers]:
    for shape in {(r['op'], r['shape']) for r in rows}:
        same = [r for r in rows if (r['op'], r['shape']) == shape]
        ours, theirs = ([r for r in same if r['backend'] == b] for b in ('cpu', backend))
        assert len(ours) == 1 and (len(theirs) > 0) == here, same
        assert not any(r[column] for r in theirs) and bool(ours[0][column]) == here, same
        if here:
            best = min(float(r['seconds']) for r in theirs if 'packed' not in r['method'])
            assert abs(float(ours[0][column]) / (best / float(ours[0]['seconds'])) - 1) < 0.01, same"
done
if has libopenblas.so.0; then
    bench "train --model mlp --batch 4 --backend cpu" 'assert backends == {"cpu", "cpu_blas"} and float(rows[0]["vs_openblas"]) > 0, rows'
fi

# A library that is not there is said, and missing; so is one that is something else.
for file in /nonexistent libm.so.6; do
    LOWBIT_DNNL=$file bench "gemm --m 8 --n 9 --k 10 --backend cpu" 'assert "onednn" not in backends, rows
assert not any(r["vs_onednn"] for r in rows), rows'
    grep -q "left out: oneDNN: " "$said" || fail "nothing said of oneDNN" "LOWBIT_DNNL=$file $BUILD/lowbit bench gemm"
done

# The table to read has the same columns.
$BUILD/lowbit bench gemm --m 8 --n 9 --k 10 --backend cpu_ref --no-peers --seconds 0.01 >"$out" 2>"$said"
[ "$(head -n 1 "$out" | tr -s ' ' ,)" = "$header" ] || fail "other columns than $header" "$BUILD/lowbit bench gemm"

for args in gem "gemm gemv" "gemm --m 0" "gemm --m 8x" "train --model big" "codec --format F99" \
    "gemm_packed --format F99" "gemm_int8 --format F99" "gemm --backend no_such" \
    "gemm --backend cpu,no_such" "gemm --backend cpu," "gemm --numerics loose" "conv --backend skeleton --batch 1" "gemm --seconds -1"; do
    status=0
    $BUILD/lowbit bench $args >"$out" 2>"$said" || status=$?
    [ $status = 2 ] || fail "expected exit status 2, found $status" "$BUILD/lowbit bench $args"
done
