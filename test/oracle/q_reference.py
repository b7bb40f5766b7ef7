# SPDX-License-Identifier: MIT
"""Integer tensors in NumPy, by the definitions of docs/arithmetic.md 13, and `lowbit op` on arrays."""
import math
import subprocess

import numpy as np
from safetensors.numpy import load_file, save_file


class Lowbit:
    """Runs ops; every backend must give the same bytes."""

    def __init__(self, program, folder, backends):
        self.program, self.folder, self.backends = program, folder, backends

    def __call__(self, op, inputs, settings=None):
        given, made = f"{self.folder}/given.safetensors", f"{self.folder}/made.safetensors"
        save_file({k: np.ascontiguousarray(v) for k, v in inputs.items() if v is not None}, given)
        sets = [f"--set={k}={v}" for k, v in (settings or {}).items()]
        first = None
        for backend in self.backends:
            command = [self.program, "op", op, f"--in={given}", f"--out={made}", "-q", f"--backend={backend}", *sets]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"FAILED: {' '.join(command)}: {done.stderr}")
            (result,) = load_file(made).values()
            if first is None:
                first = result
            elif result.dtype != first.dtype or result.shape != first.shape or result.tobytes() != first.tobytes():
                raise SystemExit(f"FAILED: {op} {settings}: {backend} and {self.backends[0]} differ")
        return first


def multiplier(r):
    """r as m / 2^s, m having 22 bits."""
    fraction, exponent = math.frexp(r)
    m, s = round(math.ldexp(fraction, 22)), 22 - exponent
    if m >= 1 << 22:
        m, s = m // 2, s - 1
    if s > 62:
        m, s = round(math.ldexp(m, 62 - s)), 62
    return (m, s) if m else (0, 0)


def rounded(v, m, s):
    """R(v): v m / 2^s to a whole number, half to even."""
    product = v.astype(np.int64) * np.asarray(m, np.int64)
    s = np.asarray(s, np.int64)
    floor = product >> s
    twice, one = 2 * (product - (floor << s)), np.int64(1) << s
    return floor + ((twice > one) | ((twice == one) & (floor % 2 != 0)))


def held(v, zero, dtype, relu=False):
    limits = np.iinfo(dtype)
    return np.clip(v + int(zero), int(zero) if relu else limits.min, limits.max).astype(dtype)


def scaled(v, r, zero, dtype, relu=False, axis=-1):
    """Sums times r, a number or one for each index along `axis`, as codes."""
    pairs = [multiplier(float(x)) for x in np.ravel(r)]
    shape = [1] * v.ndim
    shape[axis] = len(pairs)
    m, s = (np.array([p[i] for p in pairs], np.int64).reshape(shape) for i in (0, 1))
    return held(rounded(v, m, s), zero, dtype, relu)


def wide(*factors):
    """Products of scales as the host makes them: in binary64, from the left."""
    product = np.float64(1)
    for f in factors:
        product = product * np.asarray(f, np.float64)
    return product


def quantized(x, scale, zero, dtype):
    """y = zero + x / scale, the quotient being binary32's."""
    with np.errstate(over="ignore"):
        quotient = np.asarray(x, np.float32) / np.asarray(scale, np.float32)
    return held(np.rint(np.clip(np.where(np.isnan(quotient), 0, quotient), -1024, 1024)).astype(np.int64), zero, dtype)


def windows(side, kernel, stride, pad, dilation):
    return (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1


def convolution(x, w, stride, pad, dilation, groups):
    """x (n, c, h, w) and w (o, c / groups, kh, kw), both less their zero points."""
    o, channels, kh, kw = w.shape
    oh, ow = (windows(x.shape[2 + d], w.shape[2 + d], stride, pad, dilation) for d in (0, 1))
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = np.zeros((len(x), o, oh, ow), x.dtype)
    for g in range(groups):
        outputs, inputs = slice(g * o // groups, (g + 1) * o // groups), slice(g * channels, (g + 1) * channels)
        for ky in range(kh):
            for kx in range(kw):
                seen = x[:, inputs, ky * dilation :, kx * dilation :][:, :, : (oh - 1) * stride + 1 : stride, : (ow - 1) * stride + 1 : stride]
                y[:, outputs] += np.einsum("nchw,oc->nohw", seen, w[outputs, :, ky, kx])
    return y


def transposed_convolution(x, w, stride, pad, dilation, groups, more):
    """w (c, o / groups, kh, kw): each input adds its multiple of the kernel to the output."""
    n, c, h, width = x.shape
    outputs, kh, kw = w.shape[1:]
    full = [(side - 1) * stride + dilation * (k - 1) + 1 + more for side, k in ((h, kh), (width, kw))]
    y = np.zeros((n, outputs * groups, *full), x.dtype)
    for g in range(groups):
        inputs = slice(g * c // groups, (g + 1) * c // groups)
        for ky in range(kh):
            for kx in range(kw):
                added = np.einsum("nchw,co->nohw", x[:, inputs], w[inputs, :, ky, kx])
                y[
                    :,
                    g * outputs : (g + 1) * outputs,
                    ky * dilation : ky * dilation + (h - 1) * stride + 1 : stride,
                    kx * dilation : kx * dilation + (width - 1) * stride + 1 : stride,
                ] += added
    return y[:, :, pad : full[0] - pad, pad : full[1] - pad]


def columns(x, kernel, stride, pad, dilation, outside=0):
    """x (n, c, h, w) -> (n oh ow, kh kw c)."""
    oh, ow = (windows(x.shape[2 + d], kernel[d], stride, pad, dilation) for d in (0, 1))
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=outside)
    taps = [
        x[:, :, ky * dilation :, kx * dilation :][:, :, : (oh - 1) * stride + 1 : stride, : (ow - 1) * stride + 1 : stride]
        for ky in range(kernel[0])
        for kx in range(kernel[1])
    ]
    return np.stack(taps, 1).transpose(0, 3, 4, 1, 2).reshape(len(x) * oh * ow, -1)


def images(v, shape, kernel, stride, pad, dilation):
    """The other way round: sums, at (n, c, h, w), of what columns (n oh ow, kh kw c) hold."""
    n, c, h, w = shape
    oh, ow = (windows(shape[2 + d], kernel[d], stride, pad, dilation) for d in (0, 1))
    y = np.zeros((n, c, h + 2 * pad, w + 2 * pad), v.dtype)
    v = v.reshape(n, oh, ow, kernel[0], kernel[1], c)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            at = y[:, :, ky * dilation :, kx * dilation :][:, :, : (oh - 1) * stride + 1 : stride, : (ow - 1) * stride + 1 : stride]
            at += v[:, :, :, ky, kx].transpose(0, 3, 1, 2)
    return y[:, :, pad : pad + h, pad : pad + w]


def pooled(x, kernel, stride, pad):
    """Sums and largest numbers of windows on x (n, c, h, w), and how many taps lie inside."""
    n, c = x.shape[:2]
    oh, ow = (windows(x.shape[2 + d], kernel[d], stride, pad, 1) for d in (0, 1))

    def seen(image, outside):
        each = columns(image, kernel, stride, pad, 1, outside).reshape(len(image), oh, ow, -1, image.shape[1])
        return each.transpose(0, 4, 1, 2, 3)

    inside = seen(np.ones((1, 1, *x.shape[2:]), np.int64), 0).sum(-1)
    return seen(x, 0).sum(-1), seen(x, -(1 << 20)).max(-1), inside


def activated(x, act):
    return {
        "linear": lambda v: v,
        "relu": lambda v: np.maximum(v, 0),
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "tanh": np.tanh,
    }[act](x)
