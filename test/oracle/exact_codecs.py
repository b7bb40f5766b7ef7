# SPDX-License-Identifier: MIT
"""Codecs in exact rational arithmetic, written from their definitions: the expected results of make_codec_vectors.py.

A value is a Fraction, or one of the strings "inf", "-inf", "nan"; "-0" is the one value that a Fraction does not have.
"""
import bisect
import statistics
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


class TableCodec:
    """A codec of up to 16 bits as the list of its values. `config`: what a lowbit config says for it; `also`: other overflow rules it can follow."""

    def __init__(self, name, values, nan=0, ties="even", config=None, also=()):
        self.name, self.values, self.nan, self.ties, self.also = name, values, nan, ties, also
        self.config = config or name
        self.bits = (len(values) - 1).bit_length()
        codes = {}
        for code, v in enumerate(values):
            if v not in ("nan", "inf", "-inf"):
                codes.setdefault(v, code)
        self.members = sorted((v for v in codes if v != "-0"))
        self.codes = codes

    def value(self, code):
        return self.values[code]

    def points(self):
        """Magnitudes at which decisions fall, exactly: values, ties, the threshold of overflow."""
        m = self.members
        found = {*m, *((a + b) / 2 for a, b in zip(m, m[1:])), self.threshold()}
        return sorted({abs(v) for v in found})

    def threshold(self):
        """Half a step above the largest value."""
        return self.members[-1] + (self.members[-1] - self.members[-2]) / 2

    def overflows(self, v):
        """Its tie is decided as if the next value had the next code."""
        over = abs(v) - self.threshold()
        return over > 0 or (over == 0 and (self.ties == "away" or (self.ties == "even" and self.codes[self.members[-1]] % 2 == 1)))

    def encode(self, v, overflow="saturate"):
        if v == "nan":
            return self.nan
        if v == "-0":
            return self.codes.get("-0", self.codes.get(Fraction(0), self.codes[self.members[0]]))
        infinite = isinstance(v, str)
        if overflow != "saturate" and (infinite or (abs(v) > self.members[-1] and self.overflows(v) and (v > 0 or self.members[0] < 0))):
            return self.nan if overflow == "nan" else self.values.index("-inf" if v == "-inf" or (not infinite and v < 0) else "inf")
        if infinite:
            return self.codes[self.members[-1 if v == "inf" else 0]]
        i = bisect.bisect_right(self.members, v) - 1
        if i < 0 or i == len(self.members) - 1:
            return self.codes[self.members[max(i, 0)]]
        low, high = self.members[i], self.members[i + 1]
        return self.signed_zero(low if self.is_lower(v, low, high) else high, v)

    def signed_zero(self, member, v):
        return self.codes["-0"] if member == 0 and v < 0 and "-0" in self.codes else self.codes[member]

    def is_lower(self, v, low, high):
        if 2 * v != low + high:
            return 2 * v < low + high
        if self.ties == "even" and (self.codes[low] + self.codes[high]) % 2:
            return self.codes[low] % 2 == 0
        return (abs(low) < abs(high)) == (self.ties != "away")


def minifloat(e, m, bias, special=None, negative=None, flush=False):
    """Values by code. `special`: of codes without the sign; `negative`: of whole codes."""
    values = []
    for code in range(1 << (1 + e + m)):
        sign, exponent, fraction = code >> (e + m), (code >> m) % (1 << e), Fraction(code % (1 << m), 1 << m)
        v = (1 + fraction) * Fraction(2) ** (exponent - bias) if exponent else 0 if flush else fraction * Fraction(2) ** (1 - bias)
        v = (special or {}).get(code % (1 << (e + m)), v)
        if sign:
            v = "-0" if v == 0 else v if v == "nan" else "-inf" if v == "inf" else -v
        values.append((negative or {}).get(code, v))
    return values


def ieee(e, m):
    """The codes without a sign that are infinity and NaN in IEEE 754's manner."""
    top = ((1 << e) - 1) << m
    return {top: "inf", **{code: "nan" for code in range(top + 1, 1 << (e + m))}}


def posit(n, es):
    """By the 2022 standard's formula for the value, which reads negative codes directly, without complementing them:
    ((1 - 3s) + f) 2^((1 - 2s) (2^es r + e + s)), s the sign bit; r, e, f the regime, exponent and fraction behind it."""
    values = []
    for code in range(1 << n):
        text = format(code, f"0{n}b")
        if "1" not in text[1:]:
            values.append("nan" if code else Fraction(0))
            continue
        s, body = int(text[0]), text[1:]
        run = len(body) - len(body.lstrip(body[0]))
        r = run - 1 if body[0] == "1" else -run
        rest = body[run + 1:].ljust(es, "0")
        e = int(rest[:es] or "0", 2)
        f = Fraction(int(rest[es:] or "0", 2), 1 << len(rest[es:]))
        values.append(((1 - 3 * s) + f) * Fraction(2) ** ((1 - 2 * s) * ((1 << es) * r + e + s)))
    return values


class PositCodec(TableCodec):
    """Rounds as the 2022 standard says: the string of bits of the exact number, of which n are kept, to the nearest, ties to even."""

    def __init__(self, n, es):
        super().__init__(f"POSIT_{n}_{es}", posit(n, es), 1 << (n - 1), config={"name": "POSIT", "n": n, "es": es})
        self.n, self.es = n, es

    def points(self):
        """Values, and the posits of one bit more, which lie where decisions fall."""
        finite = [v for v in posit(self.n + 1, self.es) + [v / 2 for v in self.members[:1] + self.members[-1:]] if v != "nan"]
        return sorted({abs(v) for v in finite})

    def string(self, v):
        """The bits behind the sign of v > 0: some of them, and whether there are others."""
        scale = v.numerator.bit_length() - v.denominator.bit_length()
        while Fraction(2) ** scale > v:
            scale -= 1
        while Fraction(2) ** (scale + 1) <= v:
            scale += 1
        r, e = divmod(scale, 1 << self.es)
        text = ("1" * (r + 1) + "0" if r >= 0 else "0" * -r + "1") + (format(e, f"0{self.es}b") if self.es else "")
        shifted = (v / Fraction(2) ** scale - 1) * (1 << 80)
        return text + format(shifted.numerator // shifted.denominator, "080b"), shifted.denominator != 1

    def encode(self, v, overflow="saturate"):
        if isinstance(v, str):
            return 0 if v == "-0" else self.nan
        if v == 0:
            return 0
        text, more = self.string(abs(v))
        kept, rest = int(text[:self.n - 1], 2), text[self.n - 1:]
        up = rest[0] == "1" and ("1" in rest[1:] or more or kept % 2 == 1)
        code = min(max(kept + up, 1), (1 << (self.n - 1)) - 1)
        return code if v > 0 else (1 << self.n) - code


def normal_quantiles():
    """NF4: the published constants, held against the definition, which another program may compute with another last digit of binary32."""
    published = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                 -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
    q, d = statistics.NormalDist().inv_cdf, 0.9677083
    defined = sorted([q(d + (0.5 - d) * i / 8) for i in range(8)] + [-q(d + (0.5 - d) * i / 7) for i in range(7)] + [0.0])
    assert all(abs(p - v / defined[-1]) < 2e-7 for p, v in zip(published, defined))
    return [Fraction(v) for v in published]


def two_complement(bits, frac=0):
    return [Fraction(code - (code >> (bits - 1) << bits), 1 << frac) for code in range(1 << bits)]


def tables():
    wide, nan, fnuz = ("inf", "nan"), ("nan",), {0x80: "nan"}
    yield TableCodec("F8_E4M3", minifloat(4, 3, 7, {0x7F: "nan"}), 0x7F, also=nan)
    yield TableCodec("F8_E5M2", minifloat(5, 2, 15, ieee(5, 2)), 0x7E, also=wide)
    yield TableCodec("F8_E4M3FNUZ", minifloat(4, 3, 8, None, fnuz), 0x80, also=nan)
    yield TableCodec("F8_E5M2FNUZ", minifloat(5, 2, 16, None, fnuz), 0x80, also=nan)
    yield TableCodec("F8_E4M3B11FNUZ", minifloat(4, 3, 11, None, fnuz), 0x80, also=nan)
    yield TableCodec("F8_E4M3_IEEE", minifloat(4, 3, 7, ieee(4, 3)), 0x7C, also=wide)
    yield TableCodec("F8_E3M4", minifloat(3, 4, 3, ieee(3, 4)), 0x78, also=wide)
    yield TableCodec("F8_E8M0", [Fraction(2) ** (code - 127) for code in range(255)] + ["nan"], 0xFF, "away")
    yield TableCodec("F6_E2M3", minifloat(2, 3, 1))
    yield TableCodec("F6_E3M2", minifloat(3, 2, 3))
    yield TableCodec("NF4", normal_quantiles(), 7)
    yield TableCodec("TERNARY", [Fraction(v) for v in (0, 1, -1, 0)], ties="zero")
    yield TableCodec("BOOL", [Fraction(code != 0) for code in range(256)], ties="zero")
    for bits, frac in ((8, 6), (5, 3)):
        yield TableCodec(f"FIXED_{bits}_{frac}", two_complement(bits, frac), config={"name": "FIXED", "bits": bits, "frac": frac})
    flushed = {"name": "FLOAT", "e": 3, "m": 2, "inf": 0, "nan": "none", "subnormals": 0}
    yield TableCodec("FLOAT_E3M2_FLUSHED", minifloat(3, 2, 3, flush=True), config=flushed)
    one_nan = {"name": "FLOAT", "e": 4, "m": 4, "bias": 8, "inf": 1, "nan": "fnuz"}  # as IEEE's P3109 has it, with a bit more
    yield TableCodec("FLOAT_E4M4_FNUZ_INF", minifloat(4, 4, 8, {0xFF: "inf"}, {0x100: "nan"}), 0x100, config=one_nan, also=wide)
    both = {"name": "FLOAT", "e": 2, "m": 2, "inf": 1, "nan": "one"}
    yield TableCodec("FLOAT_E2M2_BOTH", minifloat(2, 2, 1, {14: "inf", 15: "nan"}), 15, config=both, also=wide)
    for n, es in ((8, 2), (8, 0), (5, 1), (12, 2)):
        yield PositCodec(n, es)


CODECS = {
    c.name: c
    for c in [
        FloatCodec("F64", 11, 52, True), FloatCodec("F32", 8, 23, True), FloatCodec("F16", 5, 10, True),
        FloatCodec("BF16", 8, 7, True), FloatCodec("F4", 2, 1, False),
        *(IntCodec(f"I{b}", b, True) for b in (64, 32, 16, 8, 4, 2)),
        *(IntCodec(f"U{b}", b, False) for b in (64, 32, 16, 8, 4, 2)),
        *tables(),
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

