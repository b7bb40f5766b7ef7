# SPDX-License-Identifier: MIT
"""Makes test/data/gguf/: a few blocks of each of GGUF's formats, from the reference implementation. test/data/gguf/README.md says what they are.

make_gguf_vectors.py [FOLDER]
"""
import sys
from pathlib import Path

import numpy as np

import gguf_reference as ref

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "test/data/gguf")
folder.mkdir(parents=True, exist_ok=True)
for name, (encodes, _) in ref.TYPES.items():
    rng = np.random.default_rng(7)
    n = max(4, 384 // ref.sizes(name)[0])
    lines = ["kind,bytes,values\n"]
    rows = [("decode", b, ref.decode(name, b)) for b in ref.drawn_bytes(rng, name, n)]
    if encodes:
        rows += [("encode", ref.encode(name, x), x) for x in ref.drawn_numbers(rng, name, n)]
    for what, b, x in rows:
        lines.append(f"{what},{b.tobytes().hex()},{ref.bits(x).astype('<u4').tobytes().hex()}\n")
    (folder / f"{name}.csv").write_text("".join(lines))
