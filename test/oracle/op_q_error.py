# SPDX-License-Identifier: MIT
"""What 8 bits cost each operator on normal data, against binary64: sqrt(sum (y - y')^2 / sum y^2).

  op_q_error.py LOWBIT TMP BACKEND...

Every tensor has the scale and zero point of the least squared error (shares of its range are tried), weights one scale a column, of its largest magnitude. `operator`: y is the operator in binary64 on what its codes are
worth. `result alone`: the same y, merely quantized: no result in these codes can be closer. `with inputs`: y is the operator on the numbers that the codes were made
of. It fails where an operator is further from `result alone` than a hundredth of it, or than 1 % from y where `result alone` allows it.
"""
import sys

import numpy as np

import q_reference as q

U8, S8, F32 = np.uint8, np.int8, np.float32


class Tensor:
    """Numbers, their codes, and what these are worth."""

    def __init__(self, x, dtype=U8, symmetric_along=None):
        self.x, self.dtype, self.shape = x, dtype, ()
        if symmetric_along is not None:
            others = tuple(d for d in range(x.ndim) if d != symmetric_along)
            self.shape = tuple(-1 if d == symmetric_along else 1 for d in range(x.ndim))
            self.take((np.abs(x).max(others) / 127).astype(F32), 0)
            return
        low, high = min(x.min(), 0), max(x.max(), 0)
        tried = []
        for share in np.arange(1, 0.2, -0.02):
            scale = F32(share * (high - low) / 255)
            self.take(scale, np.iinfo(dtype).min + np.clip(round(-share * low / float(scale)), 0, 255))
            tried.append((np.sum((self.worth - x) ** 2), scale, self.zero))
        self.take(*min(tried, key=lambda t: t[0])[1:])

    def take(self, scale, zero):
        self.scale, self.zero = scale, np.asarray(zero, self.dtype)
        self.codes = q.quantized(self.x, scale.reshape(self.shape), self.zero, self.dtype)
        self.worth = self.value(self.codes)

    def value(self, codes):
        return (codes.astype(np.float64) - float(self.zero)) * self.scale.reshape(self.shape).astype(np.float64)

    def named(self, name):
        return {name: self.codes, f"{name}_scale": self.scale, f"{name}_zero_point": self.zero}


class Sums(Tensor):
    """The same of 32 bits, as products leave them."""

    def __init__(self, x):
        self.x, self.dtype, self.shape, self.scale, self.zero = x, np.int32, (), F32(1e-5), np.asarray(0, np.int32)
        self.codes = np.rint(x / float(self.scale)).astype(np.int32)
        self.worth = self.value(self.codes)


def error(got, want):
    return 100 * np.sqrt(np.sum((got - want) ** 2) / np.sum(want**2))


def average(x):
    sums, _, inside = q.pooled(x, (3, 3), 2, 1)
    return sums / inside


def operators(rng):
    """Name, op, inputs with their names, settings, the operator on numbers."""
    normal = lambda *shape: rng.standard_normal(shape)
    x, image = Tensor(normal(100, 100)), Tensor(normal(4, 8, 16, 16))
    a, w = Tensor(normal(64, 256)), Tensor(normal(256, 100) / 16, S8, 1)
    batch_a, batch_b = Tensor(normal(3, 32, 64)), Tensor(normal(3, 64, 50) / 8, S8)
    f, t = Tensor(normal(16, 8, 3, 3) / 8, S8, 0), Tensor(normal(8, 6, 3, 3) / 8, S8, 1)
    wide = Tensor(4 * normal(100, 100))
    windows = {"kernel": 3, "stride": 2, "pad": 1}
    yield "matrix product", "q_gemm", {"a": a, "b": w}, {}, lambda a, b: a @ b
    yield "batched product", "q_gemm", {"a": batch_a, "b": batch_b}, {}, lambda a, b: a @ b
    yield "product, relu", "q_gemm", {"a": a, "b": w}, {"act": "relu"}, lambda a, b: np.maximum(a @ b, 0)
    yield "convolution", "q_conv2d", {"x": image, "w": f}, {"pad": 1}, lambda x, w: q.convolution(x, w, 1, 1, 1, 1)
    conv_t = lambda x, w: q.transposed_convolution(x, w, 2, 1, 1, 1, 1)
    yield "transposed", "q_conv2d", {"x": image, "w": t}, {"transposed": 1, "stride": 2, "pad": 1, "output_padding": 1}, conv_t
    yield "add", "q_add", {"a": x, "b": wide}, {}, lambda a, b: a + b
    yield "multiply", "q_mul", {"a": x, "b": wide}, {}, lambda a, b: a * b
    yield "scale", "q_scale", {"x": Sums(x.x)}, {"factor": -1.7}, lambda v: -1.7 * v
    yield "requantize", "q_requantize", {"x": Sums(wide.x)}, {}, lambda v: v
    yield "relu", "q_act", {"x": x}, {"act": "relu"}, lambda v: np.maximum(v, 0)
    yield "sigmoid", "q_act", {"x": wide}, {"act": "sigmoid"}, lambda v: q.activated(v, "sigmoid")
    yield "tanh", "q_act", {"x": x}, {"act": "tanh"}, np.tanh
    yield "average pool", "q_pool", {"x": image}, {"kind": "average", **windows}, average
    yield "max pool", "q_pool", {"x": image}, {"kind": "max", **windows}, lambda v: q.pooled(v, (3, 3), 2, 1)[1]
    columns = Tensor(normal(4 * 8 * 8, 9 * 8))
    settings = {"shape": "4,8,16,16", **windows, "dilation": 1}
    yield "col2im", "q_col2im", {"x": columns}, settings, lambda v: q.images(v, (4, 8, 16, 16), (3, 3), 2, 1, 1)


def main(program, folder, backends):
    lowbit, failed = q.Lowbit(program, folder, backends), 0
    print(f"{'operator':16} {'operator':>9} {'result alone':>13} {'with inputs':>12}   (%)")
    for name, op, tensors, settings, compute in operators(np.random.default_rng(1)):
        exact, ideal = compute(*(t.worth for t in tensors.values())), compute(*(t.x for t in tensors.values()))
        made = Tensor(exact)
        inputs = {k: v for n, t in tensors.items() for k, v in t.named(n).items()}
        out = "c" if op == "q_gemm" else "y"
        if settings.get("kind") == "max":
            (made,), inputs = tensors.values(), {"x": inputs["x"]}
            alone = 0.0
        else:
            inputs |= {f"{out}_scale": made.scale, f"{out}_zero_point": made.zero}
            alone = error(made.worth, exact)
        got = made.value(lowbit(op, inputs, settings))
        own = error(got, exact)
        bad = own > 1.01 * alone or (own > 1 and alone <= 1)
        failed += bad
        print(f"{name:16} {own:9.3f} {alone:13.3f} {error(got, ideal):12.3f}" + ("   FAILED" if bad else "" if own < 1 else "   8 bits hold no closer ones"))
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1], sys.argv[2], sys.argv[3:]) else 0)
