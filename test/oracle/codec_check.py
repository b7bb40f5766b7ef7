# SPDX-License-Identifier: MIT
"""Holds `lowbit convert` against numpy and ml_dtypes, bit for bit, on 10^5 hard values each of F32 and F64.

codec_check.py LOWBIT [CODEC...]; prints a line for each codec that is wrong, and exits 1.
"""
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

N = 100_000
FLOATS = {"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F4": ml_dtypes.float4_e2m1fn}
NAN = {"F16": 0x7E00, "BF16": 0x7FC0, "F4": 0}
INTS = ["I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"]


def ties_of(dtype, bits):
    """The exact binary64 midpoints of neighbouring finite values, and the values."""
    v = np.arange(1 << bits, dtype=f"u{max(bits // 8, 1)}").view(dtype).astype(np.float64)
    v = np.unique(v[np.isfinite(v)])
    return np.concatenate([v, (v[1:] + v[:-1]) / 2])


def hard_values(rng, dtype):
    """Binary64 or binary32: decisions of the codecs with their neighbours, whole and half numbers, ends of ranges, any bits at all."""
    with np.errstate(all="ignore"):
        pools = [ties_of(np.float16, 16), ties_of(ml_dtypes.bfloat16, 16), np.tile(ties_of(ml_dtypes.float4_e2m1fn, 4), 200),
                 np.arange(-70000, 70000) / 2, np.outer([-1, 1], 2.0 ** np.arange(-150, 130)).ravel(),
                 (rng.integers(-2**31, 2**32, 5000) + rng.choice([0, 0.5], 5000)), np.tile([65520, 6, 448, 3.3961775292304601e38], 50)]
        x = np.concatenate([rng.choice(p, 12_000) for p in pools]).astype(dtype)
        x = np.nextafter(x, rng.choice(np.array([-np.inf, np.inf], dtype), x.size), where=rng.random(x.size) < 0.6, out=x.copy())
    word = np.uint32 if dtype == np.float32 else np.uint64
    anything = rng.integers(0, np.iinfo(word).max, N - x.size - 8, dtype=word, endpoint=True).view(dtype)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal], dtype)
    return np.concatenate([x, anything, ends])


def to_odd_f32(d):
    """Binary64 to binary32 by rounding to odd: rounding the result again, to 22 bits or fewer, is then as if d had been rounded once."""
    with np.errstate(all="ignore"):
        f = d.astype(np.float32)
        toward_zero = np.where(np.abs(f.astype(np.float64)) > np.abs(d), np.nextafter(f, np.float32(0)), f)
    inexact = (toward_zero.astype(np.float64) != d) & ~np.isnan(d)
    return (toward_zero.view(np.uint32) | inexact.astype(np.uint32)).view(np.float32)


def expected(x, codec):
    with np.errstate(all="ignore"):
        if codec in FLOATS:
            once = to_odd_f32(x) if x.dtype == np.float64 and codec != "F16" else x
            codes = once.astype(FLOATS[codec]).view(np.uint8 if codec == "F4" else np.uint16)
            return np.where(np.isnan(x), NAN[codec], codes).astype(codes.dtype)
        dtype = np.dtype(("i" if codec[0] == "I" else "u") + str(int(codec[1:]) // 8))
        info = np.iinfo(dtype)
        whole = np.rint(x.astype(np.float64))
        high, low = whole >= float(info.max), whole <= float(info.min)  # float(2^63 - 1) is 2^63: both mean the end of the range
        codes = np.where(high | low | np.isnan(whole), 0, whole).astype(dtype)
        return np.where(high, info.max, np.where(low, info.min, codes)).astype(dtype)


def tensors(path):
    """name -> (dtype, bytes). Read by hand: the library has no numpy type for F4."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {n: (t["dtype"], data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])
            for n, t in header.items() if n != "__metadata__"}


def codes_of(raw, codec):
    if codec == "F4":
        both = np.frombuffer(raw, np.uint8)
        return np.stack([both & 15, both >> 4], 1).ravel()  # low nibble first
    bits = int(codec.lstrip("BFIU"))
    return np.frombuffer(raw, f"{'i' if codec[0] == 'I' else 'u'}{bits // 8}")


def main():
    lowbit, codecs = sys.argv[1], sys.argv[2:] or [*FLOATS, *INTS]
    warnings.simplefilter("ignore", RuntimeWarning)
    rng = np.random.default_rng(20240229)
    inputs = {"x32": hard_values(rng, np.float32), "x64": hard_values(rng, np.float64)}
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in.safetensors"
        save_file(inputs, source)
        for codec in codecs:
            target = f"{folder}/{codec}.safetensors"
            done = subprocess.run([lowbit, "convert", source, target, "--format", codec], capture_output=True, text=True)
            if done.returncode:
                print(f"{codec}: lowbit convert exited {done.returncode}: {done.stderr.strip()}")
                bad += 1
                continue
            stored = tensors(target)
            for name, x in inputs.items():
                tag, raw = stored[name]
                want, got = expected(x, codec), codes_of(raw, codec)
                wrong = np.flatnonzero(want != got) if tag == codec and want.size == got.size else [0]
                if len(wrong):
                    i = wrong[0]
                    print(f"{codec}: {name} ({tag}): {len(wrong)} of {x.size} codes differ; x[{i}] = {float(x[i]).hex()}: "
                          f"expected {want[i]:#x}, got {got[i]:#x}")
                    bad += 1
    print(f"{len(codecs)} codecs, {2 * N} values each: {'all codes equal' if not bad else f'{bad} differences'}")
    sys.exit(bad != 0)


main()
