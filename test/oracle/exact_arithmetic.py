# SPDX-License-Identifier: MIT
"""docs/arithmetic.md in NumPy and Python, rule by rule; it shares nothing with the C code. The numbers in comments are the rules.

Arrays of binary32 are np.float32, whose + - * / and sqrt are rounded once and keep subnormals (1.1, 1.2). Slow; for small sizes.
"""
import math
from fractions import Fraction

import numpy as np

np.seterr(all="ignore")
f32 = np.float32
NAN = np.uint32(0x7FC00000).view(f32)


def bits(x):
    return np.asarray(x, f32).view(np.uint32)


def fma(a, b, c):
    """1.3. The product is exact in binary64; the sum is rounded to odd there, so that rounding it to binary32 is the only rounding."""
    p = np.asarray(a, f32).astype(np.float64) * np.asarray(b, f32).astype(np.float64)
    c = np.asarray(c, f32).astype(np.float64)
    s = np.asarray(p + c)
    part = s - p
    error = (p - (s - part)) + (c - part)
    u = s.view(np.int64)
    to_odd = np.isfinite(s) & (error != 0) & (u & 1 == 0)
    step = np.where((error > 0) == (s > 0), 1, -1)
    return np.where(to_odd, u + step, u).view(np.float64).astype(f32)


def store(x):  # 1.4
    x = np.asarray(x, f32)
    return np.where((bits(x) & 0x7FFFFFFF) > 0x7F800000, NAN, x)


def relu(x):  # 1.5
    return np.where(x < 0, f32(0), x)


def total_of(terms, step):  # 2.1, 2.2
    total = acc = f32(0)
    k = 0
    for term in terms:
        if k == 256:
            total, acc, k = total + acc, f32(0), 0
        acc = step(term, acc)
        k += 1
    return total + acc if k else total


def sum_products(pairs):
    return total_of(pairs, lambda ab, acc: fma(ab[0], ab[1], acc))


def plain_sum(terms):
    return total_of(terms, lambda a, acc: acc + a)


# ---- 3. Functions ----

def scale(x, n):  # 3.1
    h = n >> 1
    return (x * np.ldexp(f32(1), h).astype(f32)) * np.ldexp(f32(1), n - h).astype(f32)


def chain(x, *c):
    """Horner's rule: F(F(c0, x, c1), x, c2) ..."""
    y = f32(c[0])
    for k in c[1:]:
        y = fma(y, x, f32(k))
    return y


def exp2parts(x):
    t = fma(x, f32(1.44269502), f32(12582912))
    n = t - f32(12582912)
    r0 = fma(n, f32(-0.693147182), x)
    r = fma(n, f32(1.90465421e-9), r0)
    rl = fma(n, f32(1.90465421e-9), r0 - r)
    q = chain(r, 0.000197478294, 0.00139354321, 0.00833356194, 0.0416664593, 0.166666657, 0.5)
    s = f32(1) + r
    v = ((f32(1) - s) + r) + fma(r * r, q, fma(rl, r, rl))
    hi = s + v
    return hi, (s - hi) + v, n.astype(np.int64)


def exp(x):  # 3.2
    x = np.asarray(x, f32)
    hi, _, n = exp2parts(np.where(np.isnan(x), f32(0), np.where(x > 89, f32(89), np.where(x < -104, f32(-104), x))))
    return np.where(np.isnan(x), NAN, scale(hi, n))


def log(x):  # 3.3
    u = bits(x)
    small = u < 0x00800000
    v = (np.where(small, bits(u.astype(f32)), u) + np.uint32(0x00555555)).astype(np.uint32)
    k = ((v >> 23).astype(np.int64) - 127 - np.where(small, 149, 0)).astype(f32)
    f = ((v & 0x007FFFFF) + np.uint32(0x3F2AAAAB)).astype(np.uint32).view(f32) - f32(1)
    q = chain(f, 0.119108401, -0.128398001, 0.107814044, -0.121970579, 0.143017724, -0.166794792, 0.199997053, -0.249998227, 0.333333343)
    h = (f32(0.5) * f) * f
    hl = fma(f32(0.5) * f, f, -h)
    a = k * f32(0.693145752)
    s = a + f
    sl = (a - s) + f
    t = s - h
    tl = (s - t) - h
    y = t + fma((f * h) * f32(2), q, fma(k, f32(1.42860677e-6), (sl + tl) - hl))
    y = np.where(u > 0x7F7FFFFF, NAN, y)
    return np.where(u == 0x7F800000, f32(np.inf), np.where((u == 0) | (u == 0x80000000), f32(-np.inf), y))


def tanh(x):  # 3.4
    x = np.asarray(x, f32)
    a = np.abs(x)
    c = np.where(a > 10, f32(10), np.where(np.isnan(a), f32(0), a))
    z = c * c
    p = chain(z, 0.00217599305, -0.00821552519, 0.0217164736, -0.0539496355, 0.133332282, -0.333333313)
    small = fma(c, z * p, c)
    hi, lo, n = exp2parts(c + c)
    two_n = np.ldexp(f32(1), n).astype(f32)
    e = hi * two_n
    d = e + f32(1)
    dl = ((e - d) + f32(1)) + lo * two_n
    q = f32(2) / d
    w = fma(-q, d, f32(2)) - q * dl
    s = f32(1) - q
    y = s + (((f32(1) - s) - q) - w * (f32(0.5) * q))
    y = np.where(a < f32(0.5625), small, y)
    return np.where(np.isnan(x), NAN, (bits(y) | (bits(x) & 0x80000000)).view(f32))


def sigmoid(x):  # 3.5
    x = np.asarray(x, f32)
    a = np.abs(x)
    hi, lo, n = exp2parts(np.where(a > 104, f32(-104), np.where(np.isnan(a), f32(0), -a)))
    e = scale(hi, n)
    d = f32(1) + e
    dl = ((f32(1) - d) + e) + scale(lo, n)
    i = f32(1) / d
    il = i * (fma(-i, d, f32(1)) - i * dl)
    p = hi * i
    pl = fma(hi, i, -p) + fma(lo, i, hi * il)
    return np.where(np.isnan(x), NAN, np.where(x < 0, scale(p + pl, n), i + il))


TWO_OVER_PI = 0x00000000A2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163AB


def reduce_angle(u):
    """3.6, for one bit pattern of a finite magnitude: (r, rl, quadrant)."""
    if u < 0x3F490FDB:
        return np.uint32(u).view(f32), f32(0), 0
    w = (TWO_OVER_PI >> (160 - ((u >> 23) - 120))) % 2**96
    v = (((u & 0x007FFFFF) + 0x00800000) * w >> 32) % 2**64
    quadrant = ((v + 2**61) % 2**64) >> 62
    v = (v - (quadrant << 62)) % 2**64
    negative = v >= 2**63
    v = 2**64 - 1 - v if negative else v
    f0, f1, f2 = f32(v >> 40) * f32(2.0**-22), f32((v >> 20) & 0xFFFFF) * f32(2.0**-42), f32(v & 0xFFFFF) * f32(2.0**-62)
    s = f0 + f1
    tail = ((f0 - s) + f1) + f2
    hi = s + tail
    lo = (s - hi) + tail
    r = hi * f32(1.57079637)
    rl = fma(hi, f32(1.57079637), -r) + fma(hi, f32(-4.37113883e-8), lo * f32(1.57079637))
    return (-r, -rl, quadrant) if negative else (r, rl, quadrant)


def trig(x, turn):
    x = np.asarray(x, f32)
    u = (bits(x) & 0x7FFFFFFF).ravel()
    parts = [reduce_angle(int(v) if v < 0x7F800000 else 0) for v in u]
    r, rl = (np.array([p[i] for p in parts], f32).reshape(x.shape) for i in (0, 1))
    j = np.array([p[2] for p in parts], np.int64).reshape(x.shape) + turn
    z = r * r
    zl = fma(r, r, -z)
    sine = r + fma(r * z, chain(z, 2.83250915e-6, -0.000198530644, 0.0083333794, -0.166666672), fma(f32(-0.5) * z, rl, rl))
    q = chain(z, 2.44323273e-5, -0.00138873095, 0.0416666456)
    h = f32(0.5) * z
    s = f32(1) - h
    cosine = s + fma(z * z, q, fma(-r, rl, ((f32(1) - s) - h) - f32(0.5) * zl))
    y = np.where(j & 1, cosine, sine)
    y = np.where(j & 2, -y, y)
    if not turn:
        y = np.where(bits(x) >> 31, -y, y)
    return np.where((bits(x) & 0x7FFFFFFF) >= 0x7F800000, NAN, y)


def sin(x):
    return trig(x, 0)


def cos(x):
    return trig(x, 1)


def fma64(a, b, c):
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return float(exact) if exact else a * b + c


def chain64(x, *c):
    y = c[0]
    for k in c[1:]:
        y = fma64(y, x, k)
    return y


def exp64(x):  # 3.7
    if x != x:
        return math.nan
    c = max(min(x, 710.0), -746.0)
    t = fma64(c, 1.4426950408889634, 6755399441055744.0)
    n = t - 6755399441055744.0
    r0 = fma64(n, -0.69314718055994529, c)
    r = fma64(n, -2.3190468138462996e-17, r0)
    rl = fma64(n, -2.3190468138462996e-17, r0 - r)
    q = chain64(r, 2.0855601310355457e-09, 2.5111767721645051e-08, 2.7557468435138111e-07, 2.7557235789292836e-06, 2.4801587095842599e-05,
                0.0001984126989524516, 0.0013888888888996993, 0.0083333333333176166, 0.041666666666666477, 0.16666666666666682, 0.5)
    s = 1.0 + r
    y = s + (((1.0 - s) + r) + fma64(r * r, q, fma64(rl, r, rl)))
    h = int(n) >> 1
    return (y * 2.0**h) * 2.0 ** (int(n) - h)


def log64(x):  # 3.8
    if x != x or x < 0:
        return math.nan
    if x == 0 or x == math.inf:
        return -math.inf if x == 0 else x
    u, d = int(np.float64(x).view(np.uint64)), 1023
    if u < 0x0010000000000000:
        u, d = int(np.float64(x * 18014398509481984.0).view(np.uint64)), 1077
    v = u + 0x000AAAAAAAAAAAAB
    k = float((v >> 52) - d)
    f = float(np.uint64((v & 0x000FFFFFFFFFFFFF) + 0x3FE5555555555555).view(np.float64)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = chain64(z, 0.1191742223928071, 0.11709768959021764, 0.13332376472509716, 0.15384758808495297, 0.18181813319525145,
                0.22222222302679809, 0.28571428570741025, 0.4000000000000275, 0.66666666666666663)
    h = (0.5 * f) * f
    hl = fma64(0.5 * f, f, -h)
    kh = k * 0.69314718055989033
    a = kh + f
    al = (kh - a) + f
    b = a - h
    bl = (a - b) - h
    return b + fma64(s, fma64(z, p, h), fma64(k, 5.4979230187083712e-14, (al + bl) - hl))


# ---- 4. Random numbers ----

def random(seed, stream, index):  # 4.1
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    w0, w1, w2, w3 = index & 0xFFFFFFFF, index >> 32, stream, 0
    for _ in range(10):
        p0, p1 = 0xD2511F53 * w0, 0xCD9E8D57 * w2
        w0, w1, w2, w3 = (p1 >> 32) ^ w1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ w3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return w0, w1, w2, w3


def unit(word):  # 4.2
    return f32(word >> 8) * f32(2.0**-24)


# ---- 5. Operations ----

def activate(act, alpha, v):
    return store({"linear": lambda: v, "relu": lambda: relu(v), "scaled_relu": lambda: alpha * relu(v), "sigmoid": lambda: sigmoid(v),
                  "tanh": lambda: tanh(v)}[act]())


def gemm(a, b, bias=None, act="linear", alpha=f32(1)):  # 5.1, factors already transposed
    v = sum_products((a[:, k, None], b[None, k, :]) for k in range(a.shape[1]))
    v = np.broadcast_to(v, (a.shape[0], b.shape[1]))
    return activate(act, alpha, v if bias is None else v + bias)


def padded(x, pad):
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))


def conv2d(x, w, bias, stride, pad, act="linear", alpha=f32(1)):  # 5.2
    (o, c, kh, kw), (_, _, h, width) = w.shape, x.shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1
    xp = padded(x, pad)
    taps = ((w[None, :, i, y, z, None, None], xp[:, None, i, y:y + stride * (oh - 1) + 1:stride, z:z + stride * (ow - 1) + 1:stride])
            for i in range(c) for y in range(kh) for z in range(kw))
    return activate(act, alpha, sum_products(taps) + bias[None, :, None, None])


def conv2d_dx(dy, w, shape, stride, pad):  # 5.3
    o, _, kh, kw = w.shape

    def plane(i, ky, kx):
        d = np.zeros((shape[0], 1, *shape[2:]), f32)
        for oy in range(dy.shape[2]):
            for ox in range(dy.shape[3]):
                y, x = oy * stride - pad + ky, ox * stride - pad + kx
                if 0 <= y < shape[2] and 0 <= x < shape[3]:
                    d[:, 0, y, x] = dy[:, i, oy, ox]
        return d

    return store(sum_products((w[None, i, :, y, x, None, None], plane(i, y, x)) for i in range(o) for y in range(kh) for x in range(kw)))


def conv2d_dw(dy, x, kernel, stride, pad):  # 5.4
    xp = padded(x, pad)
    return store(sum_products((dy[s, :, y, z, None, None, None], xp[None, s, :, y * stride:y * stride + kernel[0], z * stride:z * stride + kernel[1]])
                              for s in range(dy.shape[0]) for y in range(dy.shape[2]) for z in range(dy.shape[3])))


def bias_grad(dy):  # 5.5: dy (n, c, p)
    return store(plain_sum(dy[s, :, q] for s in range(dy.shape[0]) for q in range(dy.shape[2])))


def act_grad(y, dy, act, alpha=f32(1)):  # 5.7
    return store({"linear": lambda: dy, "relu": lambda: np.where(y > 0, dy, f32(0)), "scaled_relu": lambda: np.where(y > 0, alpha * dy, f32(0)),
                  "sigmoid": lambda: dy * (y * (f32(1) - y)), "tanh": lambda: dy * fma(-y, y, f32(1))}[act]())


def rowmax(x):  # 5.8
    m = x[:, 0]
    for j in range(1, x.shape[1]):
        m = np.where(x[:, j] > m, x[:, j], m)
    return m


def exp_and_sum(x):
    m = rowmax(x)
    e = exp(x - m[:, None])
    return m, e, plain_sum(e[:, j] for j in range(x.shape[1]))


def softmax(x):  # 5.9
    _, e, s = exp_and_sum(x)
    return store(e / s[:, None])


def row_products(a, b):
    return sum_products((a[:, j], b[:, j]) for j in range(a.shape[1]))


def softmax_grad(y, dy):  # 5.10
    return store(y * (dy - row_products(dy, y)[:, None]))


def one_hot(x, labels):
    return (np.arange(x.shape[1])[None] == np.asarray(labels)[:, None]).astype(f32)


def cross_entropy(x, labels):  # 5.11
    m, e, s = exp_and_sum(x)
    loss = store(log(s) - (x[np.arange(len(x)), labels] - m))
    return loss, store((e / s[:, None] - one_hot(x, labels)) / f32(len(x)))


def mse(y, labels, reduction):  # 5.12
    d = y - one_hot(y, labels)
    q = row_products(d, d)
    if reduction == "mean":
        return store(q / f32(y.shape[1])), store((f32(2) * d) / f32(y.shape[0] * y.shape[1]))
    return store(f32(0.5) * q), store(d / f32(y.shape[0]))


def sgd(w, g, v, lr, momentum, decay):  # 5.13
    step = fma(decay, w, g)
    if v is not None:
        v = step = store(fma(momentum, v, step))
    return store(fma(-lr, step, w)), v


# ---- 7. Training: initial weights, shuffles ----

def initial(rule, shape, fan_in, fan_out, seed, p, low=f32(0), high=f32(0)):  # 7.1
    words = [random(seed, 0x10000 + p, j) for j in range(math.prod(shape))]
    u = np.array([unit(w[0]) for w in words], f32)
    fans = f32(fan_in + fan_out if rule.startswith("xavier") else fan_in)
    if rule.endswith("_uniform"):
        x = np.sqrt(f32(6) / fans) * (f32(2) * u - f32(1))
    elif rule.endswith("_normal"):
        g = np.array([(w[0] >> 8) + 1 for w in words]).astype(f32) * f32(2.0**-24)
        z = np.sqrt(f32(-2) * log(g)) * cos(f32(6.2831853) * np.array([unit(w[1]) for w in words], f32))
        x = np.sqrt(f32(2) / fans) * z
    else:
        x = {"uniform": low + (high - low) * u, "fan_in": (f32(2) * u - f32(1)) / fans, "zeros": np.zeros_like(u)}[rule]
    return x.reshape(shape)


def shuffle(seed, epoch, n):  # 7.2
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = random(seed, 1, (epoch << 32) + i)[0] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order
