# SPDX-License-Identifier: MIT
"""Writes test/data/codecs/ (its README.md says what lies there). Run with .venv/bin/python; --check compares with what is committed.

The expected codes come from exact_codecs.py, in exact rational arithmetic. Wherever numpy or ml_dtypes rounds once they are held against
those too; a difference stops the script.
"""
import hashlib
import random
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np

sys.dont_write_bytecode = True  # no __pycache__ in the tree
from exact_codecs import CODECS, FloatCodec, TableCodec, text

FOLDER = Path(__file__).resolve().parent.parent / "data" / "codecs"
F32, F64 = CODECS["F32"], CODECS["F64"]
DTYPES = {
    "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F4": ml_dtypes.float4_e2m1fn, "F6_E2M3": ml_dtypes.float6_e2m3fn,
    "F6_E3M2": ml_dtypes.float6_e3m2fn, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "F8_E4M3B11FNUZ": ml_dtypes.float8_e4m3b11fnuz,
    "F8_E4M3_IEEE": ml_dtypes.float8_e4m3, "F8_E3M4": ml_dtypes.float8_e3m4, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}
SPECIAL32 = [0, 1, 2, 0x007FFFFF, 0x00800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF]
SPECIAL64 = [0, 1, 2, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x3FF0000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000,
             0x7FF0000000000001, 0x7FF8000000000000, 0x7FFFFFFFFFFFFFFF]


def around(codec, v):
    """Codes of the codec's values at, just below and just above |v|: the exact one first where there is one."""
    code = codec.encode(abs(v))
    return [c for c in (code - 1, code, code + 1) if 0 <= c < codec.inf]


def float_points(codec, rng):
    """Exact points where the encoder's decision is near: values, ties, the threshold of overflow."""
    codes = set(range(min(4, codec.largest))) | set(range(max(codec.largest - 3, 0), codec.largest + 1))
    if codec.bits <= 8:
        codes |= set(range(codec.largest + 1))
    else:
        first_normal = 1 << codec.m
        codes |= {first_normal - 1, first_normal} | {rng.randrange(codec.largest) for _ in range(24)}
    points = []
    for code in sorted(codes):
        points += [codec.magnitude(code), (codec.magnitude(code) + codec.magnitude(code + 1)) / 2]
    return points


def int_points(codec, rng):
    half = Fraction(1, 2)
    points = [n + half * d for n in (0, 1, 2, 3, 4, 100, 255) for d in (0, 1)]
    for edge in (abs(codec.low), codec.high):
        points += [edge + half * d for d in range(-4, 5)]
    points += [Fraction(2) ** k for k in (7, 8, 15, 16, 23, 24, 31, 32, 52, 53, 62, 63, 64, 65, 100)]
    points += [rng.randrange(codec.high) + half for _ in range(10)]
    return [p for p in points if p >= 0]


def sample(points, most, rng):
    """At most `most` of them, the ends included."""
    if len(points) <= most:
        return points
    return sorted({*points[:4], *points[-6:], *rng.sample(points, most - 10)})


def table_rows(codec):
    """Of a codec that is a table: in full from binary32, fewer from the others; `inf` and `nan` are binary32 with that overflow rule."""
    rng = random.Random(f"lowbit {codec.name}")
    found = {}
    for kind, source, special, most in (("f32", F32, SPECIAL32, 400), ("f64", F64, SPECIAL64, 40)):
        inputs = list(special)
        for p in sample(codec.points(), most, rng):
            inputs += around(source, p)
        scale = Fraction(2) ** (1 if codec.members[-1] > 2 else -1)
        inputs += [source.encode(Fraction(rng.randrange(2**60), 2**60) * codec.members[-1] * scale) for _ in range(40)]
        inputs += [rng.randrange(source.inf) for _ in range(20)]
        for bits in inputs:
            for b in (bits, bits | source.sign):
                found[kind, b] = codec.encode(source.value(b))
    ends = [bits for p in codec.points()[-6:] for bits in around(F32, p)] + SPECIAL32
    ends += [F32.encode(codec.members[-1] * Fraction(rng.randrange(2**12, 2**15), 2**13)) for _ in range(60)]
    for rule in codec.also:
        for bits in ends:
            for b in (bits, bits | F32.sign):
                found[rule, b] = codec.encode(F32.value(b), rule)
    for n in rng.sample(integers(rng), 80):
        found["u64", n] = codec.encode(Fraction(n))
        for signed in (n, -n):
            if -(2**63) <= signed < 2**63:
                found["i64", signed & (2**64 - 1)] = codec.encode(Fraction(signed))
    return sorted((kind, bits, code) for (kind, bits), code in found.items())


def integers(rng):
    found = {0, 1, 2, 3, 5, 6, 7, 100}
    for k in (7, 8, 10, 11, 12, 15, 16, 23, 24, 25, 31, 32, 52, 53, 54, 62, 63):
        found |= {2**k + d for d in (-2, -1, 0, 1, 2, 3)}
    for precision in (8, 11, 24, 53):  # ties of that precision, and their neighbours, which go wrong where binary64 comes in between
        for top in (precision + 2, 40, 61, 63):
            if top > precision:
                unit = 1 << (top - precision)
                tie = (rng.randrange(1 << (precision - 1)) + (1 << (precision - 1))) * 2 * unit // 2 + unit // 2
                found |= {tie - 1, tie, tie + 1}
    found |= {rng.randrange(2**64) for _ in range(20)}
    return sorted(n for n in found if n < 2**64)


def rows(codec):
    """(type, input bits, code), each input once."""
    if isinstance(codec, TableCodec):
        return table_rows(codec)
    rng = random.Random(f"lowbit {codec.name}")
    found = {}

    def add(kind, bits, value):
        found[kind, bits] = codec.encode(value)

    points = float_points(codec, rng) if isinstance(codec, FloatCodec) else int_points(codec, rng)
    for source, kind, special in ((F32, "f32", SPECIAL32), (F64, "f64", SPECIAL64)):
        inputs = list(special)
        for p in points:
            inputs += around(source, p)
        inputs += [rng.randrange(source.inf) for _ in range(40)]
        inputs += [source.encode(Fraction(rng.randrange(2**60), 2**rng.randrange(40, 64))) for _ in range(40)]
        for bits in inputs:
            for b in (bits, bits | source.sign):
                add(kind, b, source.value(b))
    for n in integers(rng):
        add("u64", n, Fraction(n))
        for signed in (n, -n):
            if -(2**63) <= signed < 2**63:
                add("i64", signed & (2**64 - 1), Fraction(signed))
    return sorted((kind, bits, code) for (kind, bits), code in found.items())


def hold_table(codec, kind, x, want):
    """What ml_dtypes has: from binary32, where it does not overflow; where it does it follows the rule `inf` or `nan`."""
    if codec.name not in DTYPES or kind == "f64" or not x.size:
        return
    real = ~np.isnan(x)
    if codec.name == "F8_E8M0":
        real &= (x >= 2.0**-126) & (x < 2.0**127 * 1.5)  # README.md: subnormals are wrong there
    elif kind == "f32":
        real &= np.abs(x.astype(np.float64)) <= float(codec.members[-1])
    elif kind != codec.also[0]:
        return
    got = x.astype(DTYPES[codec.name]).view(np.uint8)
    got = np.array([codec.nan if codec.value(code) == "nan" else code for code in got])  # the sign of a NaN is kept there
    wrong = np.flatnonzero((got != want) & real)
    if wrong.size:
        sys.exit(f"{codec.name}: {kind} {x[wrong[0]]!r}: {want[wrong[0]]} here, {got[wrong[0]]} there")


def hold_against_libraries(codec, table):
    """The same codes from numpy and ml_dtypes, where they round once. NaN is left out: each library has a rule of its own."""
    for kind, source in (("f32", np.uint32), ("f64", np.uint64), ("inf", np.uint32), ("nan", np.uint32)):
        part = [(b, c) for k, b, c in table if k == kind]
        x = np.array([b for b, _ in part], source).view(np.float64 if kind == "f64" else np.float32)
        want = np.array([c for _, c in part], np.uint64)
        real = ~np.isnan(x)
        if isinstance(codec, TableCodec):
            hold_table(codec, kind, x, want)
            continue
        if codec.name in DTYPES and (kind == "f32" or codec.name in ("F32", "F16")):
            got = x.astype(DTYPES[codec.name]).view(f"u{max(codec.bits // 8, 1)}").astype(np.uint64)
        elif codec.name[0] in "IU":
            whole = np.rint(x.astype(np.float64))
            real &= (whole > float(codec.low) - 1) & (whole < float(codec.high)) & (whole >= float(codec.low))
            got = np.where(real, whole, 0).astype("i8" if codec.name[0] == "I" else "u8").view(np.uint64) & np.uint64(2**codec.bits - 1)
        else:
            continue
        wrong = np.flatnonzero((got != want) & real)
        if wrong.size:
            sys.exit(f"{codec.name}: {kind} {part[wrong[0]][0]:x}: {want[wrong[0]]} here, {got[wrong[0]]} there")
    if codec.name in ("F64", "F32"):
        for kind, bits, code in table:
            if kind in ("i64", "u64"):
                n = bits - 2**64 if kind == "i64" and bits >> 63 else bits
                there = int(np.array([float(n)]).view(np.uint64)[0])  # Python rounds an int to binary64 once
                assert codec.name == "F32" or there == code, (kind, bits)


def show(codec):
    """What `lowbit show CODEC --csv` prints."""
    return "code,value\n" + "".join(f"{code},{text(codec.value(code))}\n" for code in range(1 << codec.bits))


def main():
    check = sys.argv[1:] == ["--check"]
    warnings.simplefilter("ignore", RuntimeWarning)
    files, sums = {}, []
    for codec in CODECS.values():
        table = rows(codec)
        hold_against_libraries(codec, table)
        digits = {"f32": 8, "inf": 8, "nan": 8}
        files[f"encode_{codec.name}.csv"] = "type,input,code\n" + "".join(
            f"{kind},{bits:0{digits.get(kind, 16)}x},{code}\n" for kind, bits, code in table)
        if codec.bits <= 16:
            listing = show(codec)
            sums.append(f"{hashlib.sha256(listing.encode()).hexdigest()}  {codec.name}.csv\n")
            if codec.name in DTYPES:
                stored = np.arange(1 << codec.bits, dtype=f"u{max(codec.bits // 8, 1)}").view(DTYPES[codec.name]).astype(np.float64)
                theirs = ["nan" if np.isnan(v) else "%.17g" % v for v in stored]
                assert listing.split("\n")[1:-1] == [f"{i},{v}" for i, v in enumerate(theirs)], codec.name
            if codec.name == "F4":
                files["F4.csv"] = listing
    files["tables.sha256"] = "".join(sums)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if check and (FOLDER / name).read_text() != content:
            sys.exit(f"{FOLDER / name} is not what this script makes")
        if not check:
            (FOLDER / name).write_text(content)
    print(f"{len(files)} files {'are as committed' if check else 'written'}, {sum(c.count(chr(10)) for c in files.values())} lines")


main()
