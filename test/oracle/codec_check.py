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
FLOATS = {"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F4": ml_dtypes.float4_e2m1fn, "F6_E2M3": ml_dtypes.float6_e2m3fn,
          "F6_E3M2": ml_dtypes.float6_e3m2fn, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
          "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
          "F8_E4M3B11FNUZ": ml_dtypes.float8_e4m3b11fnuz, "F8_E4M3_IEEE": ml_dtypes.float8_e4m3, "F8_E3M4": ml_dtypes.float8_e3m4,
          "F8_E8M0": ml_dtypes.float8_e8m0fnu}
NAN = {"F16": 0x7E00, "BF16": 0x7FC0, "F8_E4M3": 0x7F, "F8_E5M2": 0x7E, "F8_E4M3FNUZ": 0x80, "F8_E5M2FNUZ": 0x80, "F8_E4M3B11FNUZ": 0x80,
       "F8_E4M3_IEEE": 0x7C, "F8_E3M4": 0x78, "F8_E8M0": 0xFF}
OVERFLOW = {"F8_E4M3": "nan", "F8_E5M2": "inf", "F8_E4M3FNUZ": "nan", "F8_E5M2FNUZ": "nan", "F8_E4M3B11FNUZ": "nan", "F8_E4M3_IEEE": "inf",
            "F8_E3M4": "inf"}  # the rule that ml_dtypes follows, where it does not saturate; "CODEC:RULE" below
INTS = ["I2", "I4", "I8", "I16", "I32", "I64", "U2", "U4", "U8", "U16", "U32", "U64"]
TAGS = {"F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F16", "BF16", "I8", "I16", "I32", "I64",
        "U8", "U16", "U32", "U64"}
WIDTHS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I2": 2, "I4": 4, "U2": 2, "U4": 4, "F16": 16, "BF16": 16}


def ties_of(dtype, bits):
    """The exact binary64 midpoints of neighbouring finite values, and the values."""
    v = np.arange(1 << bits, dtype=f"u{max(bits // 8, 1)}").view(dtype).astype(np.float64)
    v = np.unique(v[np.isfinite(v)])
    return np.concatenate([v, (v[1:] + v[:-1]) / 2])


def hard_values(rng, dtype):
    """Binary64 or binary32: decisions of the codecs with their neighbours, whole and half numbers, ends of ranges, any bits at all."""
    with np.errstate(all="ignore"):
        pools = [ties_of(np.float16, 16), ties_of(ml_dtypes.bfloat16, 16), np.tile(ties_of(ml_dtypes.float4_e2m1fn, 4), 200),
                 np.concatenate([ties_of(dtype_, 8) for name, dtype_ in FLOATS.items() if name.startswith("F8")]),
                 np.arange(-70000, 70000) / 2, np.outer([-1, 1], 2.0 ** np.arange(-150, 130)).ravel(),
                 (rng.integers(-2**31, 2**32, 5000) + rng.choice([0, 0.5], 5000)), np.tile([65520, 6, 448, 464, 61440, 248, 31, 15.75, 3.3961775292304601e38], 50)]
        x = np.concatenate([rng.choice(p, 10_500) for p in pools]).astype(dtype)
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


def float_codes(x, codec, rule):
    """x: binary32, but for F16. The small ones are held within their range first, where they are to saturate."""
    dtype, nan = FLOATS[codec], np.isnan(x)
    if codec not in ("F16", "BF16") and not rule:
        top = np.float32(ml_dtypes.finfo(dtype).max)
        x = np.clip(x, np.float32(2.0**-126) if codec == "F8_E8M0" else -top, top)
    codes = x.astype(dtype).view(np.uint8 if codec[0] == "F" and codec != "F16" else np.uint16)
    if codec == "F8_E8M0":  # ml_dtypes knows neither zero nor sign, and rounds subnormals wrongly: 2^-127 by hand
        return np.where(nan, NAN[codec], codes)
    if rule:
        nan |= np.isnan(codes.view(dtype).astype(np.float32))  # the sign of a NaN is kept there
    return np.where(nan, NAN.get(codec, 0), codes).astype(codes.dtype)


def expected(x, codec):
    codec, _, rule = codec.partition(":")
    with np.errstate(all="ignore"):
        if codec in FLOATS:
            codes = float_codes(to_odd_f32(x) if x.dtype == np.float64 and codec != "F16" else x, codec, rule)
            return np.where(~(x >= 2.0**-127 * 1.5) & ~np.isnan(x), 0, codes) if codec == "F8_E8M0" else codes
        bits = int(codec[1:])
        dtype = np.dtype(("i" if codec[0] == "I" else "u") + str(max(bits // 8, 1)))
        info = np.iinfo(dtype) if bits >= 8 else ml_dtypes.iinfo(getattr(ml_dtypes, ("int" if codec[0] == "I" else "uint") + str(bits)))
        whole = np.rint(x.astype(np.float64))
        high, low = whole >= float(info.max), whole <= float(info.min)  # float(2^63 - 1) is 2^63: both mean the end of the range
        codes = np.where(high | low | np.isnan(whole), 0, whole).astype(dtype)
        codes = np.where(high, info.max, np.where(low, info.min, codes)).astype(dtype)
        return codes if bits >= 8 else codes.astype(np.uint8) & ((1 << bits) - 1)


def tensors(path):
    """name -> (dtype, bytes). Read by hand: the library has no numpy type for F4."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {n: (t["dtype"], data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])
            for n, t in header.items() if n != "__metadata__"}


def codes_of(raw, codec):
    """The codes of a little-endian bit stream."""
    width = WIDTHS.get(codec, 8 if codec.startswith("F8") else None)
    if width is None or width == 16:
        return np.frombuffer(raw, f"{'i' if codec[0] == 'I' else 'u'}{(width or int(codec[1:])) // 8}")
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
    bits = bits[:bits.size // width * width].reshape(-1, width)
    return np.packbits(bits, axis=1, bitorder="little").ravel()


def main():
    lowbit, codecs = sys.argv[1], sys.argv[2:] or [*FLOATS, *INTS, *(f"{c}:{rule}" for c, rule in OVERFLOW.items())]
    warnings.simplefilter("ignore", RuntimeWarning)
    rng = np.random.default_rng(20240229)
    inputs = {"x32": hard_values(rng, np.float32), "x64": hard_values(rng, np.float64)}
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in.safetensors"
        save_file(inputs, source)
        for codec in codecs:
            target = f"{folder}/{codec}.safetensors"
            name, _, rule = codec.partition(":")
            config = json.dumps({"codec": name, **({"overflow": rule} if rule else {})})
            done = subprocess.run([lowbit, "convert", source, target, "--format", config], capture_output=True, text=True)
            if done.returncode:
                print(f"{codec}: lowbit convert exited {done.returncode}: {done.stderr.strip()}")
                bad += 1
                continue
            stored = tensors(target)
            for tensor, x in inputs.items():
                tag, raw = stored[tensor]
                want, got = expected(x, codec), codes_of(raw, name)
                wrong = np.flatnonzero(want != got) if tag == (name if name in TAGS else "U8") and want.size == got.size else [0]
                if len(wrong):
                    i = wrong[0]
                    print(f"{codec}: {tensor} ({tag}): {len(wrong)} of {x.size} codes differ; x[{i}] = {float(x[i]).hex()}: "
                          f"expected {want[i]:#x}, got {got[i]:#x}")
                    bad += 1
    print(f"{len(codecs)} codecs, {2 * N} values each: {'all codes equal' if not bad else f'{bad} differences'}")
    sys.exit(bad != 0)


main()
