# SPDX-License-Identifier: MIT
"""MatMulNBits and small models, with onnxruntime's answers.

  onnx_check.py make DIR              writes the committed vectors (test/data/onnx/README.md says what they are)
  onnx_check.py check LOWBIT TMP      compares `lowbit op` with onnxruntime on freshly drawn cases
"""
import itertools
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

EPS = 2.0**-23


def pack(codes, bits, row_bytes):
    """Rows of codes as little-endian bit streams: each row is one large integer."""
    rows = [sum(int(c) << (bits * j) for j, c in enumerate(row)).to_bytes(row_bytes, "little") for row in codes]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(codes), row_bytes)


class Case:
    """A drawn MatMulNBits: the operator's inputs by name, and its weights in binary64."""

    def __init__(self, rng, bits, block, zeros, level, bias, flat, m, n, k):
        self.k, self.n, self.bits, self.block, self.level = k, n, bits, block, level
        blocks = -(-k // block)
        codes = rng.integers(0, 1 << bits, (n, blocks * block))
        scales = (rng.uniform(0.01, 0.1, (n, blocks)) * rng.choice([-1, 1], (n, blocks))).astype(np.float32)
        flatten = (lambda x: x.reshape(-1)) if flat else (lambda x: x)
        self.inputs = {
            "A": rng.standard_normal((m, k)).astype(np.float32),
            "B": pack(codes, bits, blocks * block * bits // 8).reshape(n, blocks, -1),
            "scales": flatten(scales),
        }
        z = np.full((n, blocks), float(1 << (bits - 1)))
        if zeros == "codes":
            z = rng.integers(0, 1 << bits, (n, blocks)).astype(float)
            self.inputs["zero_points"] = flatten(pack(z.astype(int), bits, -(-blocks * bits // 8)))
        elif zeros == "floats":
            z = rng.uniform(0, (1 << bits) - 1, (n, blocks)).astype(np.float32)
            self.inputs["zero_points"] = flatten(z)
        if bias:
            self.inputs["bias"] = rng.standard_normal(n).astype(np.float32)
        values = (codes.reshape(n, blocks, block) - z[:, :, None].astype(float)) * scales[:, :, None].astype(float)
        self.weights = values.reshape(n, -1)[:, :k]

    def int8(self):
        return self.level == 4 and self.inputs.get("zero_points", np.zeros(1, np.uint8)).dtype == np.uint8

    def settings(self):
        return {"K": self.k, "N": self.n, "bits": self.bits, "block_size": self.block, "accuracy_level": self.level}

    def node(self, names):
        order = [names.get(i, i) if i in self.inputs else "" for i in ("A", "B", "scales", "zero_points", "g_idx", "bias")]
        while not order[-1]:
            order.pop()
        return helper.make_node("MatMulNBits", order, [names.get("Y", "Y")], name="product", domain="com.microsoft", **self.settings())

    def initializers(self):
        return [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in self.inputs.items() if k != "A"]

    def answer(self):
        graph = helper.make_graph([self.node({})], "g", [floats("A", self.inputs["A"].shape)], [floats("Y", None)], self.initializers())
        return run(model(graph), {"A": self.inputs["A"]})["Y"]

    def tolerance(self):
        """What two ways of adding up may differ by: K and a few roundings of each of them, relative to the sum of the magnitudes. In int8 A is
        quantized first, on both sides alike but where a quotient lies next to a half: there by one step."""
        a = self.inputs["A"].astype(float)
        more = 0
        if self.int8():
            blocks = -(-self.k // self.block)
            padded = np.zeros((len(a), blocks * self.block))
            padded[:, : self.k] = a
            scale = np.repeat(np.abs(padded.reshape(len(a), blocks, -1)).max(-1) / 127, self.block, axis=1)[:, : self.k]
            quotient = np.abs(a / np.where(scale == 0, 1, scale))
            near = np.abs(quotient - np.floor(quotient) - 0.5) < 127 * EPS
            more = (near * scale) @ np.abs(self.weights).T
            a = np.abs(a) + scale
        return (self.k + 8) * EPS * (np.abs(a) @ np.abs(self.weights).T + np.abs(self.inputs.get("bias", 0))) + more


def floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None if shape is None else list(shape))


def model(graph):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=10)


def run(m, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = m if isinstance(m, str) else m.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def all_cases(rng):
    """2, 4 and 8 bits; the rest in turns. onnxruntime has no 8 bits with zero points in floats; it multiplies 2 bits in blocks of 16 in F32 whatever
    the level."""
    turn = itertools.count()
    for bits, block, zeros, level in itertools.product((2, 4, 8), (16, 32, 128), ("none", "codes", "floats"), (1, 4)):
        if (bits == 8 and zeros == "floats") or (bits == 2 and block == 16 and level == 4 and zeros != "floats"):
            continue
        i = next(turn)
        k = (2 * block + block // 2 + 3, 3 * block, block - 5)[i % 3]
        yield Case(rng, bits, block, zeros, level, bias=i % 2 == 0, flat=i % 4 < 2, m=1 + i % 3, n=5, k=k)


def small_model(rng, external):
    """x -> MatMulNBits -> + -> Relu -> MatMul -> + constant -> y, and a count on the side."""
    case = Case(rng, 4, 32, "codes", 1, bias=False, flat=True, m=3, n=6, k=40)
    arrays = {"offset": rng.standard_normal(6).astype(np.float32), "last": rng.standard_normal((6, 4)).astype(np.float32)}
    constant = numpy_helper.from_array(rng.standard_normal((1, 4)).astype(np.float32))
    if not external:  # numbers in fields of their types
        constant = helper.make_tensor("", TensorProto.FLOAT, (1, 4), numpy_helper.to_array(constant).reshape(-1))
    nodes = [
        case.node({"A": "x", "Y": "a"}),
        helper.make_node("Add", ["a", "offset"], ["b"], name="add"),
        helper.make_node("Relu", ["b"], ["c"], name="relu"),
        helper.make_node("MatMul", ["c", "last"], ["d"], name="matmul"),
        helper.make_node("Constant", [], ["e"], name="constant", value=constant),
        helper.make_node("Add", ["d", "e"], ["y"], name="add2"),
        helper.make_node("Constant", [], ["count"], name="ints", value_ints=[3, 40]),
    ]
    initializers = case.initializers() + [numpy_helper.from_array(v, k) for k, v in arrays.items()]
    if not external:
        initializers[-2] = helper.make_tensor("offset", TensorProto.FLOAT, (6,), arrays["offset"])
        initializers[0] = helper.make_tensor("B", TensorProto.UINT8, case.inputs["B"].shape, case.inputs["B"].reshape(-1))
    outputs = [floats("y", ("rows", 4)), helper.make_tensor_value_info("count", TensorProto.INT64, [2])]
    return model(helper.make_graph(nodes, "g", [floats("x", ("rows", 40))], outputs, initializers)), case.inputs["A"]


def shapes_model(rng):
    """MatMul and Add on shapes that are broadcast, and Relu on a scalar. Whole numbers: any order of adding up gives the same bits."""
    pairs = [
        ("MatMul", (2, 3), (3, 4)),
        ("MatMul", (3,), (3, 4)),
        ("MatMul", (2, 3), (3,)),
        ("MatMul", (3,), (3,)),
        ("MatMul", (2, 1, 2, 3), (4, 3, 2)),
        ("MatMul", (2, 2, 3), (3, 4)),
        ("MatMul", (3,), (2, 3, 2)),
        ("MatMul", (2, 0), (0, 3)),
        ("Add", (2, 3), (2, 3)),
        ("Add", (2, 3), (3,)),
        ("Add", (3, 1), (1, 4)),
        ("Add", (), (2, 2)),
        ("Add", (2, 1, 3), (4, 1)),
        ("Add", (2, 0, 3), (1, 3)),
    ]
    feeds, nodes, outputs = {}, [], []
    for i, (op, *shapes) in enumerate(pairs):
        names = [f"{op}{i}_{side}" for side in "ab"]
        feeds.update({n: rng.integers(-9, 10, s).astype(np.float32) for n, s in zip(names, shapes)})
        nodes.append(helper.make_node(op, names, [f"{op}{i}"]))
        outputs.append(floats(f"{op}{i}", None))
    feeds["minus"] = np.array(-3, np.float32)
    nodes.append(helper.make_node("Relu", ["minus"], ["Relu"]))
    inputs = [floats(k, v.shape) for k, v in feeds.items()]
    return model(helper.make_graph(nodes, "shapes", inputs, outputs + [floats("Relu", [])])), feeds


def make(folder):
    rng = np.random.default_rng(20261121)
    out = {}
    for i, case in enumerate(all_cases(rng)):
        for name, value in case.inputs.items():
            out[f"{i:02}.{name}"] = np.ascontiguousarray(value)
        out[f"{i:02}.settings"] = np.array(list(case.settings().values()), np.int64)
        out[f"{i:02}.Y"] = case.answer()
    save_file(out, f"{folder}/matmul_nbits.safetensors", {"made by": f"onnxruntime {onnxruntime.__version__}"})
    case = Case(rng, 4, 32, "codes", 1, bias=True, flat=False, m=2, n=7, k=45)
    save_file({k: np.ascontiguousarray(v) for k, v in case.inputs.items()}, f"{folder}/nbits_x.safetensors")
    for name, external in (("model", False), ("external", True)):
        m, x = small_model(rng, external)
        save_file({"x": x}, f"{folder}/{name}_x.safetensors")
        save_file(run(m, {"x": x}), f"{folder}/{name}_y.safetensors")
        if external:
            pathlib.Path(f"{folder}/{name}.bin").unlink(missing_ok=True)  # onnx would add to it
            onnx.save(m, f"{folder}/{name}.onnx", save_as_external_data=True, location=f"{name}.bin", size_threshold=0)
        else:
            onnx.save(m, f"{folder}/{name}.onnx")
    m, feeds = shapes_model(rng)
    save_file(feeds, f"{folder}/shapes_x.safetensors")
    save_file(run(m, feeds), f"{folder}/shapes_y.safetensors")
    onnx.save(m, f"{folder}/shapes.onnx")


def close(what, got, want, tolerance):
    worst = np.max(np.abs(got.astype(float) - want) / np.maximum(tolerance, 1e-300))
    if got.shape != want.shape or not worst <= 1:
        sys.exit(f"FAILED: {what}: {worst} times the tolerance; got {got.reshape(-1)[:4]}, wanted {want.reshape(-1)[:4]}")


def check(lowbit, tmp):
    rng = np.random.default_rng()
    n = 0
    for case in all_cases(rng):
        save_file({k: np.ascontiguousarray(v) for k, v in case.inputs.items()}, f"{tmp}/in.safetensors")
        sets = [f"--set={k}={v}" for k, v in case.settings().items()]
        subprocess.run([lowbit, "op", "matmul_nbits", f"--in={tmp}/in.safetensors", f"--out={tmp}/out.safetensors", "-q", *sets], check=True)
        close(f"{json.dumps(case.settings())}", load_file(f"{tmp}/out.safetensors")["Y"], case.answer(), case.tolerance())
        n += 1
    for external in (False, True):
        m, x = small_model(rng, external)
        want = run(m, {"x": x})  # saving moves the model's numbers out of it
        save_file({"x": x}, f"{tmp}/x.safetensors")
        pathlib.Path(f"{tmp}/m.bin").unlink(missing_ok=True)
        onnx.save(m, f"{tmp}/m.onnx", save_as_external_data=external, location="m.bin", size_threshold=0)
        command = [lowbit, "op", "onnx", f"--in={tmp}/x.safetensors", f"--out={tmp}/y.safetensors", "-q", f"--set=model={tmp}/m.onnx"]
        subprocess.run(command, check=True)
        got = load_file(f"{tmp}/y.safetensors")
        close("model: y", got["y"], want["y"], 1e-5 * (1 + np.abs(want["y"])))
        close("model: count", got["count"], want["count"], np.zeros(2))
        n += 1
    print(f"{n} cases agree with onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
