# SPDX-License-Identifier: MIT
"""Scales and what is done with them: 8.1, 8.10 and 8.12 of docs/arithmetic.md. Codecs are those of exact_formats.py; a scale is described as a
config does ("per", "rule", "block", "format"), with "codec" a Codec or None for binary32."""
import math
from fractions import Fraction

import numpy as np
from exact_arithmetic import NAN, activate, f32, fma, store


def top_of(codec):
    return f32(codec.members[-1])


def amax_of(x):
    amax = f32(0)
    for v in x:
        b = -v if v < 0 else v
        amax = b if b > amax else amax
    return amax


def over(x, s):
    """x / s, or +0 if s = 0."""
    return f32(0) if s == 0 else f32(x) / s


def floor_log2(v):
    """Of a number above 0."""
    e = math.frexp(float(v))[1] - 1
    assert Fraction(2) ** e <= Fraction(float(v)) < Fraction(2) ** (e + 1)
    return e


def ceil_log2(v):
    e = floor_log2(v)
    return e if Fraction(float(v)) == Fraction(2) ** e else e + 1


def power_of_two(rule, codec, amax):
    top = top_of(codec)
    emax = floor_log2(top)
    ratio = amax / top if rule == "rceil" else amax
    if ratio == 0:
        e = -127
    elif np.isinf(ratio):
        e = 127
    elif rule == "floor":
        e = floor_log2(amax) - emax
    elif rule == "ceil":
        e = ceil_log2(amax) - emax
    elif rule == "rceil":
        e = ceil_log2(ratio)
    else:
        members = sum(2.0 ** (emax - 1) <= m < 2.0**emax for m in codec.members)
        unit = Fraction(2) ** (floor_log2(amax) - (members.bit_length() - 1 if members else 0))
        rounded = (Fraction(float(amax)) / unit + Fraction(1, 2)) // 1 * unit
        e = (1 if rounded >= Fraction(2) ** (floor_log2(amax) + 1) else 0) + floor_log2(amax) - emax
    return f32(math.ldexp(1.0, max(-127, min(127, e))))


def percentile(x, p):
    magnitudes = sorted(abs(v) for v in x if v == v)
    if not magnitudes:
        return f32(0)
    return magnitudes[max(1, math.ceil(p / 100 * len(magnitudes))) - 1]


def raw(spec, codec, x, how):
    """R of what shares a scale."""
    rule, top = spec["rule"], top_of(codec)
    if rule == "fixed":
        return f32(spec["value"])
    if rule == "absmax":
        return amax_of(x) / top
    if rule == "percentile":
        return percentile(x, spec["percentile"]) / top
    if rule == "mse":
        return least_error(spec, codec, x, how)
    if rule == "asymmetric":
        lo, hi = min_and_max(x)
        return (hi - lo) / f32(codec.members[-1] - codec.members[0])
    return power_of_two(rule, codec, amax_of(x)) if np.isfinite(x).all() else NAN


def min_and_max(x):
    lo = hi = f32(0)
    for v in x:
        lo, hi = (v if v < lo else lo), (v if v > hi else hi)
    return lo, hi


def least_error(spec, codec, x, how):
    whole, best, least = amax_of(x) / top_of(codec), None, math.inf
    nearest = {**how, "rounding": "nearest"} if how.get("rounding") == "stochastic" else how
    alone = spec.get("format", {}).get("scale") is None
    for i in range(64, 15, -1):
        r = whole * f32(i / 64)
        s = stored(spec.get("format"), r) if alone else r
        total = 0.0
        for v in x:
            q = codec.decode(codec.encode(float(into(codec, v, s, None)), **nearest))
            d = float(v) - float(store(q * s))
            total += d * d
        if total < least:
            best, least = r, total
    return whole if best is None else best


def stored(form, r):
    return f32(r) if not form or form["codec"] is None else form["codec"].decode(form["codec"].encode(float(r)))


def codes_of(form, numbers):
    """Codes, or the numbers themselves where they are binary32."""
    if not form or form["codec"] is None:
        return np.array(numbers, f32)
    return [form["codec"].encode(float(v)) for v in numbers]


def worth_of(form, codes):
    return [f32(c) for c in codes] if not form or form["codec"] is None else [form["codec"].decode(c) for c in codes]


def store_scales(spec, codec, groups, everything, how):
    """(codes, s of every group, s2 or None, offset or None)"""
    form = spec.get("format")
    own = form.get("scale") if form else None
    if own is None:
        codes = codes_of(form, [raw(spec, codec, x, how) for x in groups])
        return codes, worth_of(form, codes), None, None
    T = top_of(form["codec"])
    if own["per"] == "tensor":
        R = [raw(spec, codec, x, how) for x in groups]
        if own["rule"] == "fixed":
            s2 = f32(own["value"])
            into_codec = [over(r, s2) for r in R]
        elif spec["rule"] == "absmax":
            s2 = amax_of(everything) / (top_of(codec) * T)
            into_codec = [over(amax_of(x), top_of(codec) * s2) for x in groups]
        else:
            s2 = amax_of(R) / T
            into_codec = [over(r, s2) for r in R]
        codes = codes_of(form, into_codec)
        return codes, [t * s2 for t in worth_of(form, codes)], [s2], None
    R = [raw(spec, codec, x, how) for x in groups]
    offset, total, n = own.get("offset") == "mean", 0.0, own["block"]
    for r in R:
        total += float(r)
    m = f32(total / len(R)) if offset else None
    D = [r - m for r in R] if offset else R
    s2 = [amax_of(D[i:i + n]) / T for i in range(0, len(D), n)]
    codes = codes_of(form, [over(d, s2[i // n]) for i, d in enumerate(D)])
    s = [t * s2[i // n] for i, t in enumerate(worth_of(form, codes))]
    return codes, [v + m for v in s] if offset else s, s2, m


def into(codec, x, s, z):  # 8.1
    if z is not None:
        return z + x / s if s != 0 else z
    t, symmetric = over(x, s), getattr(codec, "signed", False) and codec.bits <= 16
    return -top_of(codec) if symmetric and t < -top_of(codec) else t


def zero_point(codec, x, s):
    first, last = f32(codec.members[0]), f32(codec.members[-1])
    if s == 0:
        return first
    z = np.rint(first - min_and_max(x)[0] / s)
    return first if z != z or z < first else last if z > last else z


def encode_matrix(codec, x, spec, how, word):
    """x (rows, cols). word(e): u of 8.6. Returns codes (rows, cols padded to whole blocks), values (rows, cols), and what is stored beside
    them: scale codes, s2, offset, zero points."""
    rows, cols = x.shape
    per = spec["per"]
    width = min(spec["block"], cols) if per == "block" else cols
    cuts = [(0, rows, 0, cols)] if per == "tensor" else [(i, i + 1, j, min(j + width, cols)) for i in range(rows) for j in range(0, cols, width)]
    groups = [x[a:b, c:d].ravel() for a, b, c, d in cuts]
    scale_codes, s, s2, offset = store_scales(spec, codec, groups, x.ravel(), how)
    padded = (cols + width - 1) // width * width
    codes, values, zeros = np.zeros((rows, padded), int), np.zeros((rows, cols), f32), []
    for k, (a, b, c, d) in enumerate(cuts):
        z = zero_point(codec, groups[k], s[k]) if spec["rule"] == "asymmetric" else None
        zeros += [] if z is None else [codec.encode(float(z))]
        for i in range(a, b):
            for j in range(c, d):
                codes[i, j] = codec.encode(float(into(codec, x[i, j], s[k], z)), u=word(i * cols + j), **how)
                q = codec.decode(codes[i, j])
                values[i, j] = store((q if z is None else q - z) * s[k])
    return codes, values, scale_codes, s2, offset, zeros


# ---- 8.12 ----

def scale_at(d, g):
    """Scale number g of a dumped matrix."""
    s = d["scales"][g]
    if "scale2" in d:
        s = s * d["scale2"][g // int(d["p"][8])]
    return s + d["f"][1] if "offset" in d else s


def unpacked(d, rows, cols, block, scale_row):  # 8.1
    w = np.zeros((rows, cols), f32)
    for i in range(rows):
        for j in range(cols):
            q, g = d["values"][d["codes"][i, j]], i * scale_row + j // block
            w[i, j] = store((q - d["zeros"][g] if "zeros" in d else q) * scale_at(d, g))
    return w


def integers_of(x):
    """(s_a, the integers)"""
    s = amax_of(x) / f32(127)
    t = [over(v, s) for v in x]
    return s, [0 if v != v else int(max(-127, min(127, np.rint(v)))) for v in t]


def power_of(values):
    """f"""
    f = 0
    while any(Fraction(float(v)) * 2**f % 1 for v in values if np.isfinite(v)):
        f += 1
    return f


def integer_row(d, row, f, block, scale_row, A, s_a, a_block):
    """acc of one output, before the bias."""
    k, acc = len(A), f32(0)
    cuts = sorted({0, k, *range(0, k, block), *range(0, k, a_block or k), *range(0, k, 32768)})
    for begin, end in zip(cuts, cuts[1:]):
        g, total = row * scale_row + begin // block, 0
        for i in range(begin, end):
            z = Fraction(float(d["zeros"][g])) if "zeros" in d else 0
            total += A[i] * int((Fraction(float(d["values"][d["codes"][row, i]])) - z) * 2**f)
        s_w = scale_at(d, g) * f32(math.ldexp(1, -f))
        acc = fma(f32(total), s_a[begin // a_block] * s_w if a_block else s_w, acc)
    return acc if a_block else acc * s_a[0]


def gemm_int8(d, a, bias, act, alpha, block, scale_row, a_block):
    m, k = a.shape
    f, n = power_of(d["values"]), d["codes"].shape[0]
    out = np.zeros((m, n), f32)
    for i in range(m):
        parts = [integers_of(a[i, j:j + (a_block or k)]) for j in range(0, k, a_block or k)]
        A, s_a = [v for _, p in parts for v in p], [s for s, _ in parts]
        for j in range(n):
            v = integer_row(d, j, f, block, scale_row, A, s_a, a_block)
            out[i, j] = v + bias[j] if bias is not None else v
    return activate(act, alpha, out)


def conv2d_int8(d, x, bias, shape, act, alpha, block, scale_row):
    o, c, kh, kw, stride, pad = shape
    n, _, h, w = x.shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    f, out = power_of(d["values"]), np.zeros((n, o, oh, ow), f32)
    for s in range(n):
        s_a, A = integers_of(x[s].ravel())
        image = np.zeros((c, h + 2 * pad, w + 2 * pad), int)
        image[:, pad:pad + h, pad:pad + w] = np.array(A).reshape(c, h, w)
        for oy in range(oh):
            for ox in range(ow):
                taps = [int(v) for v in image[:, oy * stride:oy * stride + kh, ox * stride:ox * stride + kw].ravel()]
                for i in range(o):
                    out[s, i, oy, ox] = integer_row(d, i, f, block, scale_row, taps, [s_a], 0) + bias[i]
    return activate(act, alpha, out)
