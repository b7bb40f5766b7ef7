# SPDX-License-Identifier: MIT
"""Holds lowbit's safetensors files against the public library (run by test/sh/safetensors_oracle.sh, in .venv).

  safetensors_check.py check TOOL LOWBIT DATA TMP   all checks; TOOL is build/test/safetensors_copy, DATA test/data/safetensors
  safetensors_check.py make DATA                    makes the committed files again
"""
import ctypes
import os
import random
import re
import struct
import subprocess
import sys

import safetensors

# The library's name of each dtype, in the order of core/format/dtype.h, and its bits. It reads the F6 types, but has no name to write them.
DTYPES = [
    ("BOOL", 8, "bool"), ("F4", 4, "float4_e2m1fn_x2"), ("F6_E2M3", 6, None), ("F6_E3M2", 6, None), ("U8", 8, "uint8"), ("I8", 8, "int8"),
    ("F8_E5M2", 8, "float8_e5m2"), ("F8_E4M3", 8, "float8_e4m3fn"), ("F8_E8M0", 8, "float8_e8m0fnu"), ("F8_E4M3FNUZ", 8, "float8_e4m3fnuz"),
    ("F8_E5M2FNUZ", 8, "float8_e5m2fnuz"), ("I16", 16, "int16"), ("U16", 16, "uint16"), ("F16", 16, "float16"), ("BF16", 16, "bfloat16"),
    ("I32", 32, "int32"), ("U32", 32, "uint32"), ("F32", 32, "float32"), ("C64", 64, "complex64"), ("F64", 64, "float64"),
    ("I64", 64, "int64"), ("U64", 64, "uint64"),
]
ID = {tag: i for i, (tag, _, _) in enumerate(DTYPES)}


def content(tag, shape):
    """The bytes that test/tools/safetensors_copy.c gives a tensor."""
    elems = 1
    for d in shape:
        elems *= d
    n = elems * DTYPES[ID[tag]][1] // 8
    return bytes((i * 37 + ID[tag] * 11) & (1 if tag == "BOOL" else 255) for i in range(n))


def tensors(f6):
    """name -> (tag, shape, bytes) of the file that `safetensors_copy make` writes."""
    all_of = {tag: (tag, [3, 8]) for tag, _, name in DTYPES if name or f6}
    all_of.update({"scalar": ("F32", []), "none": ("I64", [0, 5]), "none of F4": ("F4", [0])})
    return {name: (tag, shape, content(tag, shape)) for name, (tag, shape) in all_of.items()}


def library_bytes(items, metadata=None):
    """The file as the library writes it."""
    specs, kept = {}, []
    for name, (tag, shape, data) in items.items():
        buf = ctypes.create_string_buffer(data, len(data) + 1)
        kept.append(buf)
        shape = list(shape)
        if tag == "F4":  # the library takes the shape of the bytes and doubles the last dimension
            shape[-1] //= 2
        specs[name] = safetensors.TensorSpec(dtype=DTYPES[ID[tag]][2], shape=shape, data_ptr=ctypes.addressof(buf), data_len=len(data))
    return bytes(safetensors.serialize(specs, metadata=metadata))


def by_hand(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def committed():
    """The files of test/data/safetensors."""
    u8 = content("U8", [4])
    odd = {name: ("U8", [4], u8) for name in ["", "a b", "quote\" back\\slash", "line\nend\ttab\x01\x1f\x7f", "\u00e9\u6f22\U0001f600", "/", "b"]}
    yield "all_dtypes", library_bytes(tensors(False))
    yield "empty", library_bytes({})
    # With no tensor at all and metadata of {}, the library (0.8.0) writes a header that it cannot read itself.
    yield "empty_metadata", library_bytes({"w": ("BOOL", [1], b"\1")}, {})
    yield "metadata", library_bytes({"w": ("F32", [2], content("F32", [2]))}, {"key \"\u00e9\" \x1f": "value\b\f\n\r\t\\/\x7f\u2028\U0001f600"})
    yield "odd_names", library_bytes(odd)
    header = '{"b":{"dtype":"F6_E3M2","shape":[8],"data_offsets":[0,6]},"a":{"dtype":"F6_E2M3","shape":[2,2],"data_offsets":[6,9]}}   '
    yield "f6_by_hand", by_hand(header, bytes(range(9)))


def library_verdict(data):
    try:
        safetensors.deserialize(data)
        return "ok"
    except safetensors.SafetensorError as e:
        return str(e)


T = '"dtype":"U8","shape":[4],"data_offsets":[0,4]'


def one(shape="[4]", offsets="[0,4]", dtype='"U8"', more="", n=4):
    return by_hand('{"t":{"dtype":%s,"shape":%s,"data_offsets":%s%s}}' % (dtype, shape, offsets, more), bytes(n))


# Where the two verdicts must be the same.
SAME = [
    b"", b"\0" * 7, by_hand(""), by_hand("{}"), by_hand("{}", b"x"), by_hand("{}", length=3), by_hand("{}", length=1 << 63),
    by_hand("{}", length=100000001), by_hand(" {}\n\t\r "), by_hand("{}\0"), by_hand("{}{}"), by_hand("{} x"), by_hand(b"\xef\xbb\xbf{}"),
    by_hand("[]"), by_hand("null"), by_hand("1"), by_hand('"x"'), by_hand("{,}"), by_hand("{/**/}"), by_hand(b'{"\xff":{%s}}' % T.encode(), bytes(4)),
    by_hand(b'{"\xc0\x80":{%s}}' % T.encode(), bytes(4)), by_hand('{"a\\ud800b":{%s}}' % T, bytes(4)), by_hand('{"a\x01b":{%s}}' % T, bytes(4)),
    by_hand('{"\\ud83d\\ude00":{%s}}' % T, bytes(4)), by_hand('{"":{%s}}' % T, bytes(4)), by_hand('{"t":null}'), by_hand('{"t":1}'),
    by_hand('{"t":{}}'), by_hand('{"__metadata__":{}}'), by_hand('{"__metadata__":{"a":1}}'), by_hand('{"__metadata__":{"a":null}}'),
    by_hand('{"__metadata__":{"a":{}}}'), by_hand('{"__metadata__":[]}'), by_hand('{"__metadata__":"x"}'), by_hand('{"__metadata__":{%s}}' % T, bytes(4)),
    by_hand('{"__metadata__":{"a":"1"},"__metadata__":{"a":"1"}}'),
    one(), one(more=',"x":1'), one(more=',"x":[1,{"y":null}]'), one(more=',"dtype":"U8"'), one(more=',"x":1e999'), one(more=',"x":' + "[" * 90 + "]" * 90),
    one(dtype='"u8"'), one(dtype='"U9"'), one(dtype="8"), one(dtype="null"), one(dtype='""'),
    one(shape="4"), one(shape="null"), one(shape="{}"), one(shape='["4"]'), one(shape="[4.0]"), one(shape="[-4]"), one(shape="[4e0]"), one(shape="[null]"),
    one(shape="[5]"), one(shape="[3]"), one(shape="[]"), one(shape="[]", offsets="[0,1]", n=1), one(shape="[0]"), one(shape="[0]", offsets="[0,0]", n=0),
    one(shape="[2,2]"), one(shape="[9223372036854775807]"), one(shape="[18446744073709551616]"), one(shape="[4294967296,4294967296]"),
    one(shape="[9223372036854775807,3,0]", offsets="[0,0]", n=0), one(shape="[0,9223372036854775807,2]", offsets="[0,0]", n=0),
    one(shape="[9223372036854775807,0]", offsets="[0,0]", n=0), one(shape="[2305843009213693952]", dtype='"U64"', offsets="[0,0]", n=0),
    one(offsets="[4,0]"), one(offsets="[0]"), one(offsets="[]"), one(offsets="[0,4,4]"), one(offsets='{"0":0}'), one(offsets='[0,"4"]'), one(offsets="[0,4.0]"),
    one(offsets="[-1,4]"), one(offsets="[0,18446744073709551615]"), one(offsets="[0,5]"), one(offsets="[1,5]", n=5), one(offsets="[0,4]", n=5), one(n=3),
    one(shape="[3]", dtype='"F4"', offsets="[0,2]", n=2), one(shape="[3]", dtype='"F4"', offsets="[0,1]", n=1), one(shape="[4]", dtype='"F4"', offsets="[0,2]", n=2),
    one(shape="[]", dtype='"F4"', offsets="[0,1]", n=1), one(shape="[0]", dtype='"F4"', offsets="[0,0]", n=0), one(shape="[4]", dtype='"F6_E2M3"', offsets="[0,3]", n=3),
    one(shape="[2]", dtype='"F6_E2M3"', offsets="[0,2]", n=2),
    by_hand('{"a":{%s},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}' % T, bytes(4)),
    by_hand('{"a":{%s},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' % T, bytes(4)),
    by_hand('{"a":{%s},"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}' % T, bytes(4)),
    by_hand('{"a":{%s},"b":{%s}}' % (T, T), bytes(4)), by_hand('{"a":{%s},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}' % T, bytes(7)),
    by_hand('{"a":{%s},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}' % T, bytes(9)),
    by_hand('{"b":{"dtype":"F64","shape":[1],"data_offsets":[4,12]},"a":{%s}}' % T, bytes(12)),
]

# What lowbit refuses and the library takes: each has its reason in core/format/safetensors.h.
STRICTER = [
    (by_hand('{"t":{%s},"t":{%s}}' % (T, T), bytes(4)), "duplicate"), (by_hand('{"__metadata__":{"a":"1","a":"2"}}'), "duplicate"),
    (by_hand('{"__metadata__":null}'), "expected an object"), (by_hand('{"a\\u0000b":{%s}}' % T, bytes(4)), "u0000"),
    (by_hand('{"t":["U8",[4],[0,4]]}', bytes(4)), "expected an object"), (one(shape="[1,1,1,1,1,1,1,1,4]"), "a limit of its own"),
    (one(shape="[0,18446744073709551615]", offsets="[0,0]", n=0), "integer"), (one(dtype='{"U8":null}'), "expected a string"),
]
# What lowbit takes and the library refuses: jansson reads -0 as the integer 0, and nests deeper.
LOOSER = [one(shape="[-0]", offsets="[0,0]", n=0), one(more=',"x":' + "[" * 200 + "]" * 200)]


class Check:
    def __init__(self, tool, lowbit, data, tmp):
        self.tool, self.lowbit, self.data, self.tmp, self.bad, self.n = tool, lowbit, data, tmp, 0, 0

    def equal(self, what, got, want):
        self.n += 1
        if got != want:
            self.bad += 1
            print("FAIL %s\n  got  %.600r\n  want %.600r" % (what, got, want))

    def run(self, *args):
        p = subprocess.run([self.tool, *args], capture_output=True)
        if p.returncode:
            self.equal("%s %s" % (self.tool, " ".join(args)), p.stderr, b"")
        return p.stdout

    def path(self, name):
        return os.path.join(self.tmp, name)

    def committed_files(self):
        for name, data in committed():
            path = os.path.join(self.data, name + ".safetensors")
            self.equal("%s is what the library writes" % path, open(path, "rb").read(), data)
            self.run("copy", path, self.path(name))
            self.equal("%s read and written by lowbit" % path, open(self.path(name), "rb").read(), data)

    def made_files(self):
        for f6 in (False, True):
            path = self.path("made")
            self.run("make", path, *(["f6"] if f6 else []))
            data = open(path, "rb").read()
            got = {name: (v["dtype"], list(v["shape"]), bytes(v["data"])) for name, v in safetensors.deserialize(data)}
            self.equal("lowbit's file as the library reads it", got, tensors(f6))
            with safetensors.safe_open(path, "np") as f:
                self.equal("its names", sorted(f.keys()), sorted(tensors(f6)))
        self.run("make", path)
        self.equal("lowbit's file against the library's", open(path, "rb").read(), library_bytes(tensors(False)))

    def verdicts(self, files):
        paths = []
        for i, data in enumerate(files):
            paths.append(self.path("v%d" % i))
            with open(paths[-1], "wb") as f:
                f.write(data)
        return self.run("verdict", *paths).decode(errors="replace").splitlines()

    def malformed(self):
        for data, ours in zip(SAME, self.verdicts(SAME)):
            theirs = library_verdict(data)
            self.equal("verdict on %r: lowbit %r, library %r" % (data[:300], ours, theirs), ours == "ok", theirs == "ok")
        for (data, part), ours in zip(STRICTER, self.verdicts([d for d, _ in STRICTER])):
            self.equal("lowbit refuses %r with %r" % (data, ours), (part in ours, library_verdict(data)), (True, "ok"))
        for data, ours in zip(LOOSER, self.verdicts(LOOSER)):
            self.equal("lowbit takes %r" % data, (ours, library_verdict(data) == "ok"), ("ok", False))

    def mutated(self, count=3000):
        """Random changes of a small valid file."""
        rng = random.Random(1)
        start = library_bytes({"ab": ("F32", [2, 1], bytes(8)), "c": ("F4", [4], bytes(2)), "d": ("U8", [0], b"")}, {"k": "v"})
        pieces = [b"0", b"1", b"8", b"9", b"-", b'"', b",", b":", b"{", b"}", b"[", b"]", b" ", b"\\", b"\0", b"\xff", b".", b"e", b"null", b"99999999999"]
        files = []
        for _ in range(count):
            data = bytearray(start)
            for _ in range(rng.choice([1, 1, 1, 2, 3])):
                at = rng.randrange(len(data))
                data[at : at + rng.choice([0, 1, 1, 2])] = rng.choice(pieces)
            if rng.random() < 0.5:  # a length that fits again, so that more than the length is tried
                data[0:8] = struct.pack("<Q", max(0, len(data) - 18))
            files.append(bytes(data))
        took = 0
        for data, ours in zip(files, self.verdicts(files)):
            theirs = library_verdict(data)
            took += ours == "ok"
            differ = re.search(rb"-0[,\]]", data) if ours == "ok" else "duplicate" in ours or "u0000" in ours
            if not (differ and (ours == "ok") != (theirs == "ok")):
                self.equal("verdict on mutated %r: lowbit %r, library %r" % (data, ours, theirs), ours == "ok", theirs == "ok")
        self.equal("some mutated files are valid, some not", 0 < took < count, True)

    def commands(self):
        """Malformed files give exit 2 and one line on stderr, from the commands too."""
        good = self.path("good")
        with open(good, "wb") as f:
            f.write(one())
        for i, data in enumerate(SAME):
            if library_verdict(data) == "ok":
                continue
            bad = self.path("bad")
            with open(bad, "wb") as f:
                f.write(data)
            for args in (["inspect", bad], ["compare", good, bad]) if i % 4 == 0 else (["inspect", bad],):
                p = subprocess.run([self.lowbit, *args], capture_output=True)
                last = p.stderr.splitlines()[-1:] or [b""]
                self.equal("lowbit %s on %r" % (args, data[:200]), (p.returncode, bad.encode() in last[0]), (2, True))


def main(argv):
    if len(argv) == 3 and argv[1] == "make":
        for name, data in committed():
            with open(os.path.join(argv[2], name + ".safetensors"), "wb") as f:
                f.write(data)
        return 0
    if len(argv) != 6 or argv[1] != "check":
        print(__doc__, file=sys.stderr)
        return 2
    c = Check(*argv[2:])
    for part in (c.committed_files, c.made_files, c.malformed, c.mutated, c.commands):
        part()
    print("%d checks against safetensors %s, %d failed" % (c.n, safetensors.__version__, c.bad))
    return 1 if c.bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
