# SPDX-License-Identifier: MIT
"""Holds the codecs of codec_gguf.so against GGUF's reference implementation, bit for bit, on thousands of blocks of each format.

gguf_check.py PLUGIN; prints a line for each format that is wrong, and exits 1.
"""
import ctypes
import sys

import numpy as np

import gguf_reference as ref

BLOCKS = 20_000
WORD, PTR, SIZE = ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t


class Codec(ctypes.Structure):
    """struct lb_codec of core/plugin.h, up to the fast forms."""
    _fields_ = [("abi", WORD), ("kind_", WORD), ("size", WORD), ("name", ctypes.c_char_p), ("help", PTR), ("tag", PTR), ("aliases", PTR),
                ("bits", WORD), ("unit_elems", WORD), ("unit_bytes", WORD), ("kind", WORD), ("ties", WORD), ("overflow", WORD),
                ("nan_code", WORD), ("value", PTR), ("steps", PTR), ("sign_bit", WORD), ("encode", PTR), ("decode", PTR), ("encode_int", PTR),
                ("decode_int", PTR), ("state_size", SIZE), ("state", PTR), ("init", PTR), ("encode_f32", PTR), ("decode_f32", PTR)]


def codecs(path):
    plugin = ctypes.CDLL(path)
    found = {}
    for address in (PTR * 64).in_dll(plugin, "lb_plugins"):
        if not address:
            return found
        found[Codec.from_address(address).name.decode()] = address
    raise SystemExit(f"{path}: more than 63 plugins")


def call(address, hook, source, n, out):
    function = ctypes.CFUNCTYPE(None, PTR, PTR, SIZE, PTR)(getattr(Codec.from_address(address), hook))
    function(address, source.ctypes.data, n, out.ctypes.data)
    return out


def first_wrong(name, what, got, want):
    wrong = np.argwhere(got != want)
    if not wrong.size:
        return False
    block, at = wrong[0]
    print(f"{name}: {what}: {len(wrong)} of {want.size} differ; the first in block {block} at {at}: expected {want[block, at]:#x}, found {got[block, at]:#x}")
    return True


def check(name, address):
    elems, size = ref.sizes(name)
    codec = Codec.from_address(address)
    if (codec.unit_elems, codec.unit_bytes) != (elems, size):
        print(f"{name}: {codec.unit_elems} elements in {codec.unit_bytes} bytes, expected {elems} in {size}")
        return False
    rng = np.random.default_rng(11)
    b = ref.drawn_bytes(rng, name, BLOCKS * 32 // elems)
    got = call(address, "decode_f32", b, len(b) * elems, np.empty((len(b), elems), np.float32))
    wrong = first_wrong(name, "decode", ref.bits(got), ref.bits(ref.decode(name, b)))
    if ref.TYPES[name][0]:
        x = ref.drawn_numbers(rng, name, BLOCKS * 32 // elems)
        codes = call(address, "encode_f32", x, x.size, np.empty((len(x), size), np.uint8))
        wrong |= first_wrong(name, "encode", codes, ref.encode(name, x))
    return not wrong


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    here = codecs(sys.argv[1])
    if set(here) != set(ref.TYPES):
        print(f"expected {sorted(ref.TYPES)}, found {sorted(here)}")
        return 1
    good = [check(name, address) for name, address in here.items()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
