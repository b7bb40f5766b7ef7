# SPDX-License-Identifier: MIT
"""Sections 8 (formats) and 10 (metrics) of docs/arithmetic.md; the others are in exact_arithmetic.py."""
import bisect
import math
from fractions import Fraction

import numpy as np
from exact_arithmetic import exp64, f32, fma, log64, random, store

# ---- 8. Formats ----

class Codec:
    """A codec of up to 16 bits: its values by code (8.2), or with `steps` (8.5)."""

    def __init__(self, values, bits_, nan=0, ties="even", overflow="saturate", steps=None, sign=0, unsigned=False, signed=False):
        self.values, self.bits, self.nan, self.ties, self.overflow, self.steps, self.sign = values, bits_, nan, ties, overflow, steps, sign
        self.unsigned, self.signed = unsigned, signed
        first = {}
        for code, v in enumerate(values):
            if math.isfinite(v):
                first.setdefault((v, math.copysign(1, v)), code)
        self.members = sorted(first)
        self.codes = [first[m] for m in self.members]
        self.members = [m[0] for m in self.members]
        self.keys = [(m, math.copysign(1, m)) for m in self.members]

    def tie_goes_up(self, rule, a, code_a, b, code_b):
        if rule == "even" and (code_a ^ code_b) & 1:
            return not code_b & 1
        larger = abs(b) > abs(a) or (abs(b) == abs(a) and b > 0)
        return larger if rule == "away" else not larger

    def goes_up(self, rule, t, a, code_a, b, code_b):
        twice, middle = 2 * Fraction(t), Fraction(a) + Fraction(b)
        return self.tie_goes_up(rule, a, code_a, b, code_b) if twice == middle else twice > middle

    def too_large(self, t, rounding):  # 8.3
        if math.isinf(t):
            return True
        if rounding == "toward_zero" or len(self.members) < 2:
            return False
        rule = "away" if rounding == "half_away" else self.ties
        top, below = self.members[-1], self.members[0]
        if t > top and self.goes_up(rule, t, top, self.codes[-1], top + (top - self.members[-2]), self.codes[-1] + 1):
            return True
        return t < below and (below < 0 or self.unsigned) and not self.goes_up(rule, t, below - (self.members[1] - below), self.codes[0] + 1, below, self.codes[0])

    def wrap(self, t, rounding, u):  # 8.4
        if not math.isfinite(t):
            return 0
        return whole(t, rounding, u) & ((1 << self.bits) - 1)

    def encode(self, t, rounding="nearest", overflow=None, u=None):
        overflow = overflow or self.overflow
        if overflow == "wrap":
            return self.wrap(t, rounding, u)
        if t != t:
            return self.nan
        if self.steps:
            code = [c for start, c in self.steps if start <= abs(t)][-1]
            return code | (self.sign if math.copysign(1, t) < 0 else 0)
        if self.too_large(t, rounding):
            if overflow == "inf":
                return self.values.index(math.copysign(math.inf, t))
            return self.nan if overflow == "nan" else self.codes[0 if t < 0 else -1]
        i = bisect.bisect_right(self.keys, (t, math.copysign(1, t))) - 1
        if i < 0 or i == len(self.members) - 1 or self.members[i] == t:
            return self.codes[max(i, 0)]
        a, b = self.members[i], self.members[i + 1]
        if rounding == "stochastic":  # 8.6
            return self.codes[i + goes_up(t, f32(a), f32(b), u)]
        if rounding == "toward_zero":
            return self.codes[i if a >= 0 else i + 1]
        rule = "away" if rounding == "half_away" else self.ties
        return self.codes[i + self.goes_up(rule, t, a, self.codes[i], b, self.codes[i + 1])]

    def beyond(self, t):
        """Whether t counts as clipped (docs/results.md)."""
        if self.steps:
            return t == t and not self.members[0] <= t <= self.members[-1]
        return t == t and self.too_large(t, "nearest")

    def decode(self, code):  # 8.8
        return store(f32(self.values[code]))


def goes_up(t, lo, hi, u):  # 8.6, of a binary32 t
    return bool(fma(u, hi - lo, -(f32(t) - lo)) < 0)


def word_of(seed, stream, e):
    """u of element e."""
    return f32(random(seed, stream, e // 4)[e % 4] >> 8) * f32(2.0**-24)


def whole(t, rounding, u):
    down, part = math.floor(t), Fraction(t) - math.floor(t)
    if rounding == "toward_zero":
        return math.trunc(t)
    if rounding == "stochastic":
        return down + (part > 0 and goes_up(t, f32(down), f32(down + 1), u))
    if rounding == "half_away":
        return down + (part > Fraction(1, 2) or (part == Fraction(1, 2) and t > 0))
    return round(Fraction(t))


def whole_to_f32(v):
    """Rounded once, to nearest even."""
    extra = max(abs(v).bit_length() - 24, 0)
    high, low = divmod(abs(v), 1 << extra)
    half = (1 << extra) >> 1
    high += bool(extra) and (low > half or (low == half and high & 1))
    return f32(math.copysign(float(high) * 2.0**extra, v))


class WideInteger:
    """I32, I64, U32, U64: 8.7."""

    def __init__(self, bits_, signed):
        self.bits, self.signed = bits_, signed
        self.low, self.high = (-(1 << (bits_ - 1)), (1 << (bits_ - 1)) - 1) if signed else (0, (1 << bits_) - 1)
        self.members = [float(self.low), float(self.high)]

    def encode(self, t, rounding="nearest", overflow=None, u=None):
        if t != t or (math.isinf(t) and overflow == "wrap"):
            return 0
        w = (self.high if t > 0 else self.low) if math.isinf(t) else whole(t, rounding, u)
        if overflow != "wrap":
            w = min(max(w, self.low), self.high)
        return w & ((1 << self.bits) - 1)

    def beyond(self, t):
        return t == t and not self.members[0] - 0.5 <= t < self.members[1] + 0.5

    def decode(self, code):
        return whole_to_f32(code if code <= self.high else code - (1 << self.bits))


def stream_of(name):
    """4.3: of lowbit convert."""
    h = 2166136261
    for b in name.encode():
        h = (h ^ b) * 16777619 & 0xFFFFFFFF
    return h | 0x80000000


def encode_tensor(codec, x, scale_, how, seed, p):
    """p: a stream, or a tensor's name. 8.1 with at most one scale: (codes, values, scale or None, t, q). scale_: ("none",), ("fixed", s),
    ("absmax",), ("multiply", m, a). Scales of other kinds: exact_scales.py."""
    x = x.ravel()
    s = None
    if scale_[0] == "fixed":
        s = f32(scale_[1])
    elif scale_[0] == "absmax":
        amax = f32(0)
        for b in np.where(x < 0, -x, x):
            amax = b if b > amax else amax
        s = amax / f32(codec.members[-1])
    if scale_[0] == "multiply":
        m, a = f32(scale_[1]), f32(scale_[2])
        t = (x + a) * m
    else:
        t = x if s is None else np.zeros_like(x) if s == 0 else x / s
        if s is not None and codec.signed and codec.bits <= 16:
            t = np.where(t < -f32(codec.members[-1]), -f32(codec.members[-1]), t)
    stochastic, stream = how.get("rounding") == "stochastic", p if isinstance(p, int) else stream_of(p)
    codes = [codec.encode(float(v), u=word_of(seed, stream, i) if stochastic else None, **how) for i, v in enumerate(t)]
    q = np.array([codec.decode(c) for c in codes], f32)
    v = q if scale_[0] == "none" else store((q / m) - a) if scale_[0] == "multiply" else store(q * s)
    return codes, v, s, t, q


def pack(codes, width):  # 8.9
    stream = sum(c << (i * width) for i, c in enumerate(codes))
    return stream.to_bytes((len(codes) * width + 7) // 8, "little")


# ---- 10. Metrics ----

def argmax(x):  # 10.1
    best = -1
    for i, v in enumerate(x):
        if v == v and (best < 0 or v > x[best]):
            best = i
    return best


def log_sum(x):
    m = x[0]
    for v in x[1:]:
        m = v if v > m else m
    total = 0.0
    for v in x:
        total += exp64(v - m)
    return m, log64(total)


def divergence(p, q):  # 10.5
    p, q = [float(v) for v in p], [float(v) for v in q]
    (mp, lp), (mq, lq) = log_sum(p), log_sum(q)
    total = 0.0
    for x, y in zip(p, q):
        a, b = (x - mp) - lp, (y - mq) - lq
        total += exp64(a) * (a - b)
    return total


def metrics(base, out, base_logits, out_logits, labels):  # 10.2 to 10.5
    n = len(labels)
    quality = dev_sum = largest = kl = 0.0
    right = right_f32 = same = 0
    hist = [0] * 7
    for s in range(n):
        want, got = argmax(base[s]), argmax(out[s])
        e, a = float(base[s][max(want, 0)]), float(out[s][max(want, 0)])
        d = abs(a - e)
        dev = d * 100 if abs(e) < 1e-10 else d / abs(e) * 100
        dev = dev if math.isfinite(dev) else 100.0
        quality += 100 - dev if dev < 100 else 0
        dev_sum += dev
        largest = max(largest, dev)
        hist[sum(dev > edge for edge in (10, 20, 30, 40, 50, 100))] += 1
        right += got == labels[s]
        right_f32 += want == labels[s]
        same += got >= 0 and got == want
        if base_logits is not None:
            kl += divergence(base_logits[s], out_logits[s])
    return {"quality": quality / n, "avg_dev": dev_sum / n, "max_dev": largest, "top1": 100 * right / n, "top1_f32": 100 * right_f32 / n,
            "top1_delta": 100 * right / n - 100 * right_f32 / n, "agreement": 100 * same / n,
            "kl": kl / n if base_logits is not None else None, "hist": hist}


def sqnr_db(signal, noise):  # 10.6
    return math.inf if noise == 0 else 10 * log64(signal / noise) / 2.302585092994045684
