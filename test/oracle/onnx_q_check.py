# SPDX-License-Identifier: MIT
"""Ops on integer tensors against onnxruntime, and against their definitions in NumPy.

  onnx_q_check.py LOWBIT TMP BACKEND...     compares `lowbit op` on cases that are drawn anew each time

Every result must have the bits of its definition (q_reference.py) on every backend. onnxruntime multiplies sums with a scale in binary32 and rounds; lowbit's
multiplier has 22 bits and rounds once: bytes next to a tie may differ, by one step. What has no rounding in it must be equal.
"""
import os
import sys

import numpy as np
import onnxruntime
from onnx import helper

import q_reference as q

U8, S8, F32, I32 = np.uint8, np.int8, np.float32, np.int32
MICROSOFT = "com.microsoft"


def ort(operator, inputs, out, domain="", **attributes):
    """One node's answer; None: an input that is not there."""
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
    while not names[-1]:
        names.pop()
    feeds = {n: np.asarray(x) for n, x in zip(names, inputs) if n}
    kind = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], domain=domain, **attributes)],
        "g",
        [helper.make_tensor_value_info(n, kind(x.dtype), x.shape) for n, x in feeds.items()],
        [helper.make_tensor_value_info("y", kind(np.dtype(out)), None)],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    m = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


# ---- Drawing ----


def some(rng, dtype, shape, low=None, high=None):
    limits = np.iinfo(dtype)
    return rng.integers(limits.min if low is None else low, (limits.max if high is None else high) + 1, shape, dtype=dtype)


def scales(rng, shape=()):
    return rng.uniform(0.003, 0.05, shape).astype(F32)


def zero(rng, dtype, shape=()):
    """Mostly about the middle; now and then an end."""
    limits = np.iinfo(dtype)
    middle = (int(limits.min) + int(limits.max) + 1) // 2
    if rng.integers(4) == 0:
        return np.full(shape, rng.choice([limits.min, limits.max]), dtype)
    return some(rng, dtype, shape, middle - 9, middle + 9)


def fitting(rng, values):
    """A scale that makes about a byte of values."""
    return F32(max(np.abs(values).max(), 1e-3) / 127 * rng.uniform(0.6, 1.4))


def less(codes, zero_point, axis=None):
    """Codes less their zero points, which are one a channel along `axis`."""
    z = np.asarray(zero_point, np.int64)
    if axis is not None and z.ndim:
        shape = [1] * codes.ndim
        shape[axis] = z.size
        z = z.reshape(shape)
    return codes.astype(np.int64) - z


# ---- Cases: what is compared (an operator of onnxruntime, or none), the op, its tensors and settings, the answers ----


class Case:
    def __init__(self, name, op, inputs, settings, mine, theirs=None, equal=False):
        self.name, self.op, self.inputs, self.settings = name, op, inputs, settings
        self.mine, self.theirs, self.equal = mine, theirs, equal


def product(rng, i, whole):
    """MatMulInteger where `whole`, else QLinearMatMul; with a bias or a type that onnxruntime has not, none."""
    ta, tb = [(U8, S8), (U8, U8), (S8, S8), (S8, U8)][i % 4]
    m, n, k = (int(rng.choice(sizes)) for sizes in ((1, 3, 8, 17, 33, 200), (1, 5, 16, 31, 70, 300), (1, 4, 31, 64, 257)))
    batch, stacks = int(rng.integers(2, 4)), rng.integers(4)
    bits = 4 if i % 6 == 5 else 8
    use_bias = bool(rng.integers(3) == 0)
    b_stack = stacks == 1 and bits == 8 and not use_bias
    a = some(rng, ta, (batch, m, k) if stacks <= 1 else (m, k))
    limits = {8: (None, None), 4: (0, 15) if tb == U8 else (-8, 7)}[bits]
    b = some(rng, tb, (batch, k, n) if b_stack else (k, n), *limits)
    per_column = rng.integers(2)
    az = zero(rng, ta)
    bz = some(rng, tb, (n,) if per_column else (), *limits) if rng.integers(2) else np.zeros((n,) if per_column else (), tb)
    bias = some(rng, I32, (n,), -5000, 5000) if use_bias else None
    sums = less(a, az) @ less(b, bz) + (0 if bias is None else bias.astype(np.int64))
    lifted = (lambda v: np.tile(v, (batch, 1, 1))) if b_stack and per_column else (lambda v: v)  # as onnxruntime has columns of a stack
    trans = int(rng.integers(2))
    inputs = {"a": a, "b": np.swapaxes(b, -1, -2) if trans else b, "a_zero_point": az, "b_zero_point": bz, "bias": bias}
    settings = {"trans_b": trans, "bits": bits}
    if whole:
        theirs = None if use_bias else ort("MatMulInteger", [a, b, az, lifted(bz)], I32)
        return Case("MatMulInteger", "q_gemm", inputs, settings, sums.astype(I32), theirs, equal=True)
    s_a, s_b = scales(rng), scales(rng, (n,) if per_column else ())
    s_c, zc = fitting(rng, sums * q.wide(s_a, s_b)), zero(rng, ta)
    relu = int(rng.integers(4) == 0)
    inputs |= {"a_scale": s_a, "b_scale": s_b, "c_scale": s_c, "c_zero_point": zc}
    settings |= {"act": "relu" if relu else "linear"}
    mine = q.scaled(sums, q.wide(s_a, s_b) / q.wide(s_c), zc, ta, relu)
    known = not use_bias and (ta, tb) != (S8, U8)
    theirs = ort("QLinearMatMul", [a, s_a, az, b, lifted(s_b), lifted(bz), s_c, zc], ta) if known else None
    return Case("QLinearMatMul", "q_gemm", inputs, settings, mine, np.maximum(theirs, zc) if known and relu else theirs)


def images(rng, i, whole):
    """ConvInteger where `whole`, else QLinearConv; transposed ones, of which onnxruntime has none."""
    transposed = i % 4 == 3
    tx, tw = [(U8, S8), (U8, U8), (S8, S8), (U8, S8), (S8, U8), (U8, U8)][i // 2 % 6]
    stride, pad, dilation = int(rng.integers(1, 4)), int(rng.integers(0, 3)), int(rng.integers(1, 3))
    groups = int(rng.choice([1, 1, 2, 3]))
    c, o, kh, kw = groups * int(rng.integers(1, 6)), groups * int(rng.integers(1, 9)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    h, w = (int(x) for x in rng.integers(7, 14, 2))
    bits = 4 if i % 5 == 4 else 8
    limits = {8: (None, None), 4: (0, 15) if tw == U8 else (-8, 7)}[bits]
    x = some(rng, tx, (int(rng.integers(1, 4)), c, h, w))
    f = some(rng, tw, (c, o // groups, kh, kw) if transposed else (o, c // groups, kh, kw), *limits)
    per = bool(rng.integers(2)) and not (whole and i % 4 < 2)
    same = int(some(rng, tw, (), *limits)) if rng.integers(2) else 0
    differ = per and rng.integers(3) == 0
    xz, wz = zero(rng, tx), some(rng, tw, (o,), *limits) if differ else np.full((o,) if per else (), same, tw)
    more = int(rng.integers(0, stride)) if transposed else 0
    bias = some(rng, I32, (o,), -3000, 3000) if rng.integers(2) and not (whole and i % 4 < 2) else None
    settings = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups, "bits": bits}
    if transposed:
        per_group = np.repeat(np.asarray(np.broadcast_to(wz, (o,))).reshape(groups, -1), c // groups, axis=0)
        v = f.astype(np.int64) - per_group[:, :, None, None]
        sums = q.transposed_convolution(less(x, xz), v, stride, pad, dilation, groups, more)
        settings |= {"transposed": 1, "output_padding": more}
    else:
        sums = q.convolution(less(x, xz), less(f, wz, 0), stride, pad, dilation, groups)
    if bias is not None:
        sums = sums + bias.astype(np.int64)[:, None, None]
    inputs = {"x": x, "w": f, "x_zero_point": xz, "w_zero_point": wz, "bias": bias}
    shape = {"strides": [stride] * 2, "pads": [pad] * 4, "dilations": [dilation] * 2, "group": groups, "kernel_shape": [kh, kw]}
    if whole:
        known = tx == U8 and not per and bias is None and not transposed
        theirs = ort("ConvInteger", [x, f, xz, wz], I32, **shape) if known else None
        return Case("ConvInteger", "q_conv2d", inputs, settings, sums.astype(I32), theirs, equal=True)
    s_x, s_w = scales(rng), scales(rng, (o,) if per else ())
    s_y, yz = fitting(rng, sums * (q.wide(s_x, s_w)[:, None, None] if per else q.wide(s_x, s_w))), zero(rng, tx)
    relu = int(rng.integers(4) == 0)
    inputs |= {"x_scale": s_x, "w_scale": s_w, "y_scale": s_y, "y_zero_point": yz}
    settings |= {"act": "relu" if relu else "linear"}
    mine = q.scaled(sums, q.wide(s_x, s_w) / q.wide(s_y), yz, tx, relu, axis=1)
    known = not transposed and not differ and (tx, tw) != (S8, U8)
    theirs = ort("QLinearConv", [x, s_x, xz, f, s_w, wz, s_y, yz, bias], tx, **shape) if known else None
    return Case("QLinearConv", "q_conv2d", inputs, settings, mine, np.maximum(theirs, yz) if known and relu else theirs)


def to_codes(rng, i):
    dtype, n = (U8, S8)[i % 2], int(rng.choice([1, 5, 64, 300]))
    per = rng.integers(2)
    s, z = scales(rng, (n,) if per else ()), zero(rng, dtype)
    x = (rng.standard_normal((7, n)) * 3).astype(F32)
    ties = rng.integers(2, size=x.shape) == 0
    x[ties] = (((rng.integers(-200, 200, x.shape) + 0.5) * s).astype(F32))[ties]
    x.ravel()[:: 1 + i] = rng.choice(np.array([np.inf, -np.inf, 0, -0.0, 1e-45, 3e38, -3e38], F32), x.ravel()[:: 1 + i].shape)
    theirs = ort("QuantizeLinear", [x, s, np.full(s.shape, z, dtype)], dtype, **({"axis": 1} if per else {}))
    return Case("QuantizeLinear", "q_quantize", {"x": x, "scale": s, "zero_point": z}, {}, q.quantized(x, s, z, dtype), theirs, equal=True)


def from_codes(rng, i):
    dtype, n = (U8, S8, I32)[i % 3], int(rng.choice([1, 5, 64, 300]))
    per = rng.integers(2)
    s = scales(rng, (n,) if per else ())
    z = None if dtype == I32 else some(rng, dtype, (n,)) if per else some(rng, dtype, ())
    x = some(rng, dtype, (7, n))
    mine = less(x, 0 if z is None else z).astype(F32) * s
    theirs = ort("DequantizeLinear", [x, s, z], F32, **({"axis": 1} if per else {}))
    return Case("DequantizeLinear", "q_dequantize", {"x": x, "scale": s, "zero_point": z}, {}, mine, theirs, equal=True)


def between_codes(rng, i, factor=None):
    """DequantizeLinear, then QuantizeLinear; with a factor no operator of onnxruntime's."""
    tx, ty, n = (U8, S8, I32)[i % 3], (U8, S8)[i // 3 % 2], int(rng.choice([1, 5, 64, 300]))
    per_x, per_y = rng.integers(2, size=2)
    x = some(rng, tx, (7, n)) if tx != I32 else some(rng, tx, (7, n), -30000, 30000)
    s_x = scales(rng, (n,) if per_x else ())
    z = None if tx == I32 else some(rng, tx, (n,)) if per_x else some(rng, tx, ())
    v = less(x, 0 if z is None else z)
    s_y, yz = (fitting(rng, v * q.wide(s_x)) * rng.uniform(0.7, 1.3, (n,) if per_y else ())).astype(F32), zero(rng, ty)
    inputs = {"x": x, "x_scale": s_x, "x_zero_point": z, "y_scale": s_y, "y_zero_point": yz}
    r = q.wide(s_x, 1 if factor is None else abs(factor)) / q.wide(s_y)
    mine = q.scaled(-v if factor is not None and factor < 0 else v, r, yz, ty)
    if factor is not None:
        return Case("q_scale", "q_scale", inputs, {"factor": factor}, mine)
    values = ort("DequantizeLinear", [x, s_x, z], F32, **({"axis": 1} if per_x else {}))
    theirs = ort("QuantizeLinear", [values, s_y, np.full(s_y.shape, yz, ty)], ty, **({"axis": 1} if per_y else {}))
    return Case("Dequantize, Quantize", "q_requantize", inputs, {}, mine, theirs)


def binary(rng, i, operator, op):
    dtype, shape = (U8, S8)[i % 2], (3, int(rng.choice([1, 7, 65, 1000])))
    other = dtype if i % 3 else (U8, S8)[rng.integers(2)]  # onnxruntime has one type for both
    a, b = some(rng, dtype, shape), some(rng, other, shape)
    (s_a, s_b), az, bz, yz = scales(rng, (2,)), zero(rng, dtype), zero(rng, other), zero(rng, dtype)
    va, vb = less(a, az), less(b, bz)
    values = va * q.wide(s_a) + vb * q.wide(s_b) if op == "q_add" else va * q.wide(s_a) * vb * q.wide(s_b)
    s_y = fitting(rng, values)
    if op == "q_add":
        ra, rb = q.wide(s_a) / q.wide(s_y), q.wide(s_b) / q.wide(s_y)
        shift = q.multiplier(max(ra, rb))[1]
        both = va * round(ra * 2.0**shift) + vb * round(rb * 2.0**shift)
        mine = q.held(q.rounded(both, 1, shift), yz, dtype)
    else:
        mine = q.scaled(va * vb, q.wide(s_a, s_b) / q.wide(s_y), yz, dtype)
    inputs = {"a": a, "a_scale": s_a, "a_zero_point": az, "b": b, "b_scale": s_b, "b_zero_point": bz, "y_scale": s_y, "y_zero_point": yz}
    theirs = ort(operator, [a, s_a, az, b, s_b, bz, s_y, yz], dtype, MICROSOFT) if other == dtype else None
    return Case(operator, op, inputs, {}, mine, theirs)


def table(rng, i):
    act = ("sigmoid", "tanh", "sigmoid", "relu", "sigmoid", "linear")[i % 6]
    tx, ty = ((U8, U8), (S8, S8), (U8, S8))[i % 3 if act != "sigmoid" else i // 2 % 2]
    x, s_x, xz = np.tile(np.arange(256, dtype=U8).view(tx), 3), scales(rng), zero(rng, tx)
    values = q.activated(less(x, xz) * q.wide(s_x), act)
    s_y, yz = fitting(rng, values), zero(rng, ty)
    mine = q.held(np.rint(values / q.wide(s_y)).astype(np.int64), yz, ty)
    inputs = {"x": x, "x_scale": s_x, "x_zero_point": xz, "y_scale": s_y, "y_zero_point": yz}
    theirs = ort("QLinearSigmoid", [x, s_x, xz, s_y, yz], tx, MICROSOFT) if act == "sigmoid" else None
    return Case("QLinearSigmoid" if act == "sigmoid" else "q_act", "q_act", inputs, {"act": act}, mine, theirs)


def pool(rng, i):
    kind, dtype = ("max", "average")[i % 2], (U8, S8)[i // 2 % 2]
    kernel, stride = [int(k) for k in rng.integers(1, 5, 2)], int(rng.integers(1, 4))
    pad = int(rng.integers(0, min(kernel)))
    x = some(rng, dtype, (2, int(rng.integers(1, 18)), 9, 11))
    settings = {"kind": kind, "kernel": f"{kernel[0]},{kernel[1]}", "stride": stride, "pad": pad}
    shape = {"kernel_shape": kernel, "strides": [stride] * 2, "pads": [pad] * 4}
    if kind == "max":
        _, largest, _ = q.pooled(x.astype(np.int64), kernel, stride, pad)
        return Case("MaxPool", "q_pool", {"x": x}, settings, largest.astype(dtype), ort("MaxPool", [x], dtype, **shape), equal=True)
    s_x, xz, yz = scales(rng), zero(rng, dtype), zero(rng, dtype)
    sums, _, inside = q.pooled(less(x, xz), kernel, stride, pad)
    s_y = fitting(rng, sums / inside * q.wide(s_x))
    mine = np.zeros(sums.shape, dtype)
    for t in np.unique(inside):
        r = q.wide(s_x) * (1 / np.float64(t)) / q.wide(s_y)
        mine = np.where(inside == t, q.scaled(sums, r, yz, dtype), mine)
    inputs = {"x": x, "x_scale": s_x, "x_zero_point": xz, "y_scale": s_y, "y_zero_point": yz}
    theirs = ort("QLinearAveragePool", [x, s_x, xz, s_y, yz], dtype, MICROSOFT, **shape)
    return Case("QLinearAveragePool", "q_pool", inputs, settings, mine, theirs)


def moved(rng, i):
    x = some(rng, (U8, S8)[i % 2], tuple(rng.integers(1, 9, 1 + i % 4)))
    order, step = rng.permutation(x.ndim), rng.integers(1, 4, x.ndim)
    mine = x[tuple(slice(None, None, int(s)) for s in step)].transpose(order)
    settings = {"order": ",".join(map(str, order)), "step": ",".join(map(str, step))}
    return Case("q_copy", "q_copy", {"x": x}, settings, mine)


def unfolded(rng, i):
    dtype, kernel, stride, pad, dilation = (U8, S8)[i % 2], [int(k) for k in rng.integers(1, 4, 2)], *(int(v) for v in rng.integers(1, 3, 3))
    shape = (2, int(rng.integers(1, 9)), 7, 8)
    settings = {"kernel": f"{kernel[0]},{kernel[1]}", "stride": stride, "pad": pad, "dilation": dilation}
    z = zero(rng, dtype)
    if i // 2 % 2:
        x = some(rng, dtype, shape)
        mine = q.columns(x, kernel, stride, pad, dilation, int(z))
        return Case("q_im2col", "q_im2col", {"x": x, "x_zero_point": z}, settings, mine)
    oh, ow = (q.windows(shape[2 + d], kernel[d], stride, pad, dilation) for d in (0, 1))
    x = some(rng, dtype, (2 * oh * ow, kernel[0] * kernel[1] * shape[1]))
    sums = q.images(less(x, z), shape, kernel, stride, pad, dilation)
    settings |= {"shape": ",".join(map(str, shape))}
    inputs = {"x": x, "x_zero_point": z}
    if i // 4 % 2:
        return Case("q_col2im", "q_col2im", inputs, settings, sums.astype(I32))
    s_x, yz = scales(rng), zero(rng, dtype)
    s_y = fitting(rng, sums * q.wide(s_x))
    inputs |= {"x_scale": s_x, "y_scale": s_y, "y_zero_point": yz}
    return Case("q_col2im", "q_col2im", inputs, settings, q.scaled(sums, q.wide(s_x) / q.wide(s_y), yz, dtype))


KINDS = (
    lambda rng, i: product(rng, i, True),
    lambda rng, i: product(rng, i, False),
    lambda rng, i: images(rng, i, True),
    lambda rng, i: images(rng, i, False),
    to_codes,
    from_codes,
    between_codes,
    lambda rng, i: between_codes(rng, i, float(rng.uniform(-3, 3))),
    lambda rng, i: binary(rng, i, "QLinearAdd", "q_add"),
    lambda rng, i: binary(rng, i, "QLinearMul", "q_mul"),
    table,
    pool,
    moved,
    unfolded,
)


def check(lowbit, cases):
    seed = np.random.SeedSequence().entropy
    rng = np.random.default_rng(seed)
    tally = {}
    for kind in KINDS:
        for i in range(cases):
            case = kind(rng, i)
            got = lowbit(case.op, case.inputs, case.settings)
            what = f"{case.name}: {case.op} {case.settings}, seed {seed}"
            if got.dtype != case.mine.dtype or got.shape != case.mine.shape or got.tobytes() != np.ascontiguousarray(case.mine).tobytes():
                sys.exit(f"FAILED: {what}: {np.sum(got != case.mine) if got.shape == case.mine.shape else got.shape} differ from the definition")
            row = tally.setdefault(case.name, [0, 0, 0, case.equal])
            if case.theirs is None:
                row[2] += got.size
                continue
            far = np.abs(got.astype(np.float64) - case.theirs.astype(np.float64))
            if got.shape != case.theirs.shape or far.max(initial=0) > (0 if case.equal else 1):
                sys.exit(f"FAILED: {what}: {far.max()} from onnxruntime")
            row[0] += int(np.sum(far == 0))
            row[1] += got.size
    for name, (same, all_, alone, equal) in sorted(tally.items()):
        if all_:
            print(f"{name}: {same} of {all_} elements equal onnxruntime's" + ("" if equal else ", none is further than one step"))
        if alone:
            print(f"{name}: {alone} elements equal the definition, which onnxruntime has no operator for")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    check(q.Lowbit(sys.argv[1], sys.argv[2], sys.argv[3:]), 8 if os.environ.get("LOWBIT_QUICK") else 24)
    print(f"onnxruntime {onnxruntime.__version__}; backends that give the same bytes: {', '.join(sys.argv[3:])}")
