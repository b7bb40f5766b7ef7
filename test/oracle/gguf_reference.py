# SPDX-License-Identifier: MIT
"""GGUF's block formats by the reference implementation (PyPI `gguf`), and blocks to try on them: what gguf_check.py and make_gguf_vectors.py share."""
import warnings

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

warnings.filterwarnings("ignore", category=RuntimeWarning)

# Our names; whether the reference encodes, so that its codes must be ours; where its half-precision numbers lie.
TYPES = {"Q4_0": (True, [0]), "Q4_1": (True, [0, 2]), "Q5_0": (True, [0]), "Q5_1": (True, [0, 2]), "Q8_0": (True, [0]),
         "Q2_K": (False, [80, 82]), "Q3_K": (False, [108]), "Q4_K": (False, [0, 2]), "Q5_K": (False, [0, 2]), "Q6_K": (False, [208]),
         "IQ4_NL": (False, [0]), "TQ1_0": (True, [52]), "TQ2_0": (True, [64]), "GGUF_MXFP4": (True, []), "GGUF_NVFP4": (False, [])}
HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xB266, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]


def kind(name):
    return GGMLQuantizationType[name.removeprefix("GGUF_")]


def sizes(name):
    """Elements and bytes of a block."""
    return GGML_QUANT_SIZES[kind(name)]


def drawn_bytes(rng, name, n):
    """n blocks of any bytes; in every other one the half-precision numbers are ends of their range, or ordinary ones."""
    b = rng.integers(0, 256, (n, sizes(name)[1]), dtype=np.uint8)
    for at in TYPES[name][1]:
        some = np.array(rng.choice(HALVES, n), "<u2")
        some[::4] = rng.uniform(0.001, 0.1, some[::4].size).astype("<f2").view("<u2")
        b[::2, at : at + 2] = some.view(np.uint8).reshape(n, 2)[::2]
    return b


def drawn_numbers(rng, name, n):
    """n blocks of binary32 numbers of many shapes and sizes, of which every reference encoder makes something that is defined."""
    elems = sizes(name)[0]
    x = np.stack([rng.standard_normal(elems), rng.uniform(-1, 1, elems), rng.standard_normal(elems) ** 3, rng.uniform(0.5, 1, elems),
                  rng.integers(-8, 8, elems).astype(float), np.where(rng.random(elems) < 0.9, 0, rng.standard_normal(elems)), np.zeros(elems),
                  np.full(elems, -1.5)])
    x = x[rng.integers(0, len(x), n)] * rng.choice([-1, 1], (n, 1)) * 2.0 ** rng.integers(-30, 14, (n, 1))
    x[: n // 2] *= 2.0 ** rng.integers(0, 3, (n // 2, elems))
    return x.astype(np.float32)


def decode(name, b):
    return dequantize(b, kind(name)).astype(np.float32)


def encode(name, x):
    return quantize(x, kind(name))


def bits(x):
    """The bit patterns, a NaN being 0x7FC00000."""
    return np.where(np.isnan(x), np.uint32(0x7FC00000), np.ascontiguousarray(x).view(np.uint32))
