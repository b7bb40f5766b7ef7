# SPDX-License-Identifier: MIT
"""Codecs in exact rational arithmetic, written from their definitions: the expected results of make_codec_vectors.py.

A value is a Fraction, or one of the strings "inf", "-inf", "nan"; "-0" is the one value that a Fraction does not have.
"""
from fractions import Fraction


class FloatCodec:
    """sign | exponent (e bits, bias 2^(e-1) - 1) | fraction (m bits); `ieee`: the top exponent holds infinities and NaN."""

    def __init__(self, name, e, m, ieee):
        self.name, self.e, self.m, self.ieee = name, e, m, ieee
        self.bits = 1 + e + m
        self.sign = 1 << (e + m)
        self.bias = (1 << (e - 1)) - 1
        self.inf = ((1 << e) - 1) << m if ieee else None
        self.largest = self.inf - 1 if ieee else self.sign - 1  # code of the largest finite magnitude
        self.nan = self.inf | 1 << (m - 1) if ieee else 0

    def value(self, code):
        magnitude, negative = code & (self.sign - 1), bool(code & self.sign)
        if self.ieee and magnitude > self.inf:
            return "nan"
        if self.ieee and magnitude == self.inf:
            return "-inf" if negative else "inf"
        if magnitude == 0 and negative:
            return "-0"
        v = self.magnitude(magnitude)
        return -v if negative else v

    def magnitude(self, code):
        """The value of a code without its sign, with the exponent going on beyond the largest."""
        exponent, fraction = code >> self.m, code & ((1 << self.m) - 1)
        if exponent:
            fraction, exponent = fraction + (1 << self.m), exponent - 1
        return fraction * Fraction(2) ** (exponent + 1 - self.bias - self.m)

    def encode(self, v):
        """Nearest, ties to the even code. Overflow: infinity where there is one, else the largest."""
        if v == "nan":
            return self.nan
        negative = v in ("-0", "-inf") or (not isinstance(v, str) and v < 0)
        if v in ("inf", "-inf"):
            code = self.inf if self.ieee else self.largest
        elif v == "-0":
            code = 0
        else:
            low, high = 0, self.sign - 1  # the largest code whose magnitude is <= |v|
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self.magnitude(middle) <= abs(v) else (low, middle - 1)
            rest = abs(v) - self.magnitude(low)
            step = self.magnitude(low + 1) - self.magnitude(low)
            code = low + (rest * 2 > step or (rest * 2 == step and low % 2 == 1))
            code = min(code, self.inf if self.ieee else self.largest)
        return code | (self.sign if negative else 0)


class IntCodec:
    def __init__(self, name, bits, signed):
        self.name, self.bits = name, bits
        self.low, self.high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)

    def value(self, code):
        return Fraction(code if code <= self.high else code - (1 << self.bits))

    def encode(self, v):
        """Nearest, ties to even, saturated; NaN becomes 0. The code is two's complement."""
        if v in ("nan", "-0"):
            whole = 0
        elif v in ("inf", "-inf"):
            whole = self.high if v == "inf" else self.low
        else:
            whole = min(max(round(v), self.low), self.high)  # round() of a Fraction goes half to even
        return whole & ((1 << self.bits) - 1)


CODECS = {
    c.name: c
    for c in [
        FloatCodec("F64", 11, 52, True), FloatCodec("F32", 8, 23, True), FloatCodec("F16", 5, 10, True),
        FloatCodec("BF16", 8, 7, True), FloatCodec("F4", 2, 1, False),
        *(IntCodec(f"I{b}", b, True) for b in (64, 32, 16, 8)),
        *(IntCodec(f"U{b}", b, False) for b in (64, 32, 16, 8)),
    ]
}


def as_double(v):
    """A value as a Python float; only for values that binary64 holds."""
    if v == "-0":
        return -0.0
    return float(v)


def text(v):
    """As `lowbit show --csv` prints it: %.17g, nan, inf, -inf."""
    return v if v in ("nan", "inf", "-inf") else "%.17g" % as_double(v)

