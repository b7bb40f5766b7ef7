# SPDX-License-Identifier: MIT
"""Holds the C reference against docs/arithmetic.md, bit for bit.

arithmetic_check.py ops DUMP.safetensors   every operation, from what test/tools/ref_dump writes
arithmetic_check.py encode LOWBIT          `lowbit convert` of hard values into codecs with scales
arithmetic_check.py run LOWBIT             whole experiments: training, encoding, metrics, from `lowbit run`
Prints a line for each thing that differs, and exits 1.
"""
import functools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import exact_arithmetic as ex
import exact_formats as fmt
import exact_scales as scales
import numpy as np
from exact_arithmetic import f32
from safetensors.numpy import load_file, save_file

ACTS = ["linear", "relu", "scaled_relu", "sigmoid", "tanh"]
RULES = ["he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "uniform", "fan_in", "zeros"]
compared = 0
wrong = []


def same(what, expected, got):
    """Equal bits; any NaN of binary64 equals any other."""
    global compared
    expected, got = np.atleast_1d(expected), np.atleast_1d(got)
    expected = expected.astype(got.dtype).reshape(got.shape)
    compared += got.size
    if got.dtype == np.float64:
        differ = (expected.view(np.uint64) != got.view(np.uint64)) & ~(np.isnan(expected) & np.isnan(got))
    else:
        differ = expected.view(f"u{got.itemsize}") != got.view(f"u{got.itemsize}")
    if differ.any():
        i = tuple(int(v[0]) for v in np.nonzero(differ))
        wrong.append(f"{what}: {int(differ.sum())} of {got.size} differ; first at {list(i)}: by the page {expected[i]!r}, by the C code {got[i]!r}")


# ---- ops ----

def check_gemm(d, what):
    m, n, k, trans_a, trans_b, act, bias = (int(v) for v in d["p"])
    a, b = (d["a"].T if trans_a else d["a"]), (d["b"].T if trans_b else d["b"])
    same(what, ex.gemm(a, b, d["bias"][0] if bias else None, ACTS[act], d["f"][0]), d["c"])


def check_conv(d, what):
    n, c, h, w, o, kh, kw, stride, pad, act = (int(v) for v in d["p"])
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    x, weights, dy = d["x"].reshape(n, c, h, w), d["w"].reshape(o, c, kh, kw), d["dy"].reshape(n, o, oh, ow)
    same(what + " y", ex.conv2d(x, weights, d["bias"][0], stride, pad, ACTS[act], d["f"][0]), d["y"])
    same(what + " dx", ex.conv2d_dx(dy, weights, x.shape, stride, pad), d["dx"])
    same(what + " dw", ex.conv2d_dw(dy, x, (kh, kw), stride, pad), d["dw"])
    same(what + " db", ex.bias_grad(dy.reshape(n, o, -1)), d["db"])


def check_bias_grad(d, what):
    n, c, p = (int(v) for v in d["p"])
    same(what, ex.bias_grad(d["dy"].reshape(n, c, p)), d["db"])


def check_act(d, what):
    act, alpha = ACTS[int(d["p"][0])], d["f"][0]
    same(f"{what} {act}", ex.activate(act, alpha, d["x"]), d["y"])
    same(f"{what} {act} dx", ex.act_grad(d["y"], d["dy"], act, alpha), d["dx"])


def check_rows(d, what):
    x, labels = d["x"], d["labels"]
    same(what + " softmax", ex.softmax(x), d["softmax"])
    same(what + " softmax_grad", ex.softmax_grad(d["softmax"], d["dy"]), d["softmax_grad"])
    for name, (loss, dx) in {"ce": ex.cross_entropy(x, labels), "mean": ex.mse(x, labels, "mean"), "half": ex.mse(x, labels, "half")}.items():
        same(f"{what} {name} loss", loss, d[name])
        same(f"{what} {name} dx", dx, d[name + "_dx"])


def check_sgd(d, what):
    lr, momentum, decay = d["f"]
    w, v = ex.sgd(d["w0"], d["g"], d["v0"] if "v" in d else None, lr, momentum, decay)
    same(what + " w", w, d["w"])
    if v is not None:
        same(what + " v", v, d["v"])


def check_canon(d, what):
    for name in ["exp", "log", "tanh", "sigmoid", "sin", "cos"]:
        same(f"{what} {name}", getattr(ex, name)(d["x"]), d[name])
    x = [float(v) for v in d["x64"]]
    same(what + " exp64", [ex.exp64(v) for v in x], d["exp64"])
    same(what + " log64", [ex.log64(abs(v) if i % 3 else v) for i, v in enumerate(x)], d["log64"])


def check_random(d, what):
    same(what, ex.random(*(int(v) for v in d["key"])), d["words"])


def check_shuffle(d, what):
    same(what, ex.shuffle(*(int(v) for v in d["key"])), d["order"])


def check_init(d, what):
    rule, f, seed = RULES[int(what.split(":")[1])], d["f"], 12345678901
    conv, dense = (2 * 3 * 2, 4 * 3 * 2), (4 * 5 * 5, 6)  # fan_in, fan_out; the padded 9 x 8 image gives 5 x 5 positions
    same(f"{what} {rule} 0.weight", ex.initial(rule, (4, 2, 3, 2), *conv, seed, 0, f[0], f[1]), d["0.weight"])
    same(f"{what} {rule} 0.bias", ex.initial("uniform", (4,), *conv, seed, 1, f[2], f[3]), d["0.bias"])
    same(f"{what} {rule} 2.weight", ex.initial(rule, (6, 100), *dense, seed, 2, f[4], f[5]), d["2.weight"])
    same(f"{what} {rule} 2.bias", ex.initial(rule, (6,), *dense, seed, 3, f32(-0.1), f32(0.1)), d["2.bias"])


def flat(d):
    """Scales and the like as rows of one."""
    return {**d, **{k: d[k].ravel() for k in ("values", "scales", "scale2", "zeros") if k in d}}


def check_packed(d, what):
    d = flat(d)
    m, n, k, block, scale_row, act, bias = (int(v) for v in d["p"][:7])
    w = scales.unpacked(d, n, k, block, scale_row)
    same(what, ex.gemm(d["a"], w.T, d["bias"][0] if bias else None, ACTS[act], d["f"][0]), d["c"])


def check_int8(d, what):
    d = flat(d)
    m, n, k, block, scale_row, act, bias, a_block = (int(v) for v in d["p"][:8])
    same(what, scales.gemm_int8(d, d["a"], d["bias"][0] if bias else None, ACTS[act], d["f"][0], block, scale_row, a_block), d["c"])


def check_conv_int8(d, what):
    d = flat(d)
    block, scale_row, act = (int(d["p"][i]) for i in (3, 4, 5))
    n, c, h, w, o, kh, kw, stride, pad = (int(v) for v in d["s"])
    x = d["x"].reshape(n, c, h, w)
    same(what, scales.conv2d_int8(d, x, d["bias"][0], (o, c, kh, kw, stride, pad), ACTS[act], d["f"][0], block, scale_row), d["y"])


def check_metrics(d, what):
    m = fmt.metrics(d["f32"], d["out"], d["f32"], d["out"], d["labels"])
    same(what, [m[k] for k in ("quality", "avg_dev", "max_dev", "top1", "top1_f32", "agreement", "kl")], d["result"])


def check_ops(path):
    cases = {}
    for name, tensor in load_file(path).items():
        case, _, part = name.partition("/")
        cases.setdefault(case, {})[part] = tensor
    seen = set()
    for case, d in sorted(cases.items()):
        op = case.split(":")[0]
        globals()["check_" + op](d, case)
        seen.add(op)
    missing = {"gemm", "conv", "bias_grad", "act", "rows", "sgd", "canon", "random", "shuffle", "init", "metrics", "packed", "int8", "conv_int8"} - seen
    if missing:
        wrong.append(f"{path}: holds no {', '.join(sorted(missing))}")


# ---- formats ----

def half_values(kind):
    u = np.arange(65536, dtype=np.uint32)
    v = u.astype(np.uint16).view(np.float16).astype(np.float64) if kind == "F16" else (u << 16).astype(np.uint32).view(f32).astype(np.float64)
    return [float(x) for x in v]


@functools.cache
def codec_of(name):
    magnitudes = {"F4": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], "LOOM_F4": [0.0, 0.75, 1.0, 1.5, 2.0, 3.0, math.inf, math.nan]}
    if name in ("F16", "BF16"):
        return fmt.Codec(half_values(name), 16, nan=0x7E00 if name == "F16" else 0x7FC0, overflow="inf")
    if name == "F8_E4M3":
        return e4m3()
    if name == "F8_E8M0":
        return fmt.Codec([2.0 ** (c - 127) for c in range(255)] + [math.nan], 8, nan=255)
    if name == "F4":
        return fmt.Codec([*magnitudes[name], *(-m for m in magnitudes[name])], 4)
    if name.startswith("LOOM"):
        a = [(0, 0), (0.125, 1), (1, 2), (1.5, 3), (2, 4), (3, 5), (4, 7)]
        b = [(0, 0), *((s * 2.0**e, c) for e in range(-126, 128) for s, c in ((1, loom_b(e)), (1.5, loom_b(e) + 1)) if (s, e) != (1, -126)), (math.inf, 6)]
        values = [*magnitudes["LOOM_F4"], *(-m for m in magnitudes["LOOM_F4"])]
        return fmt.Codec(values, 4, nan=7, steps=a if name == "LOOM_A" else b, sign=8)
    width, signed = int(name[1:]), name[0] == "I"
    if width > 16:
        return fmt.WideInteger(width, signed)
    half = 1 << (width - 1)
    return fmt.Codec([float(c - 2 * half if signed and c >= half else c) for c in range(2 * half)], width, unsigned=not signed, signed=signed)


def e4m3():
    """OCP E4M3: bias 7, no infinity, NaN where all bits but the sign are set."""
    magnitudes = [(c % 8) * 2.0**-9 if c < 8 else (8 + c % 8) * 2.0 ** (c // 8 - 10) for c in range(127)] + [math.nan]
    return fmt.Codec([*magnitudes, *(-m for m in magnitudes)], 8, nan=127)


def loom_b(e):
    return 0 if e < 0 else 2 * min(e, 2) + 2


def format_json(codec, scale, how):
    name = {"name": "LOOM_F4", "encoder": codec[-1].lower()} if codec.startswith("LOOM") else codec
    scales = {"none": {"per": "none"}, "absmax": {"per": "tensor", "rule": "absmax"}}
    o = {"codec": name, "scale": scales.get(scale[0]) or ({"per": "tensor", "rule": "fixed", "value": scale[1]} if scale[0] == "fixed" else
                                                         {"multiply": scale[1], "add": scale[2]})}
    return {**o, **how}


FORMATS = [("F16", ("none",), {}), ("F16", ("none",), {"rounding": "toward_zero"}), ("F16", ("absmax",), {"overflow": "saturate"}),
           ("F16", ("none",), {"rounding": "stochastic"}), ("F16", ("fixed", 1e-30), {"overflow": "nan"}), ("BF16", ("none",), {}),
           ("BF16", ("multiply", 3, -0.5), {"rounding": "half_away"}), ("I8", ("absmax",), {}), ("I8", ("multiply", 100, 0), {}),
           ("I8", ("fixed", 0.01), {"rounding": "half_away"}), ("I8", ("multiply", 100, 0), {"rounding": "toward_zero", "overflow": "wrap"}),
           ("I8", ("absmax",), {"rounding": "stochastic"}), ("U8", ("multiply", 100, 1), {}), ("I16", ("none",), {"rounding": "stochastic"}),
           ("U16", ("multiply", 1000, 1), {"overflow": "wrap"}), ("F4", ("none",), {}), ("F4", ("absmax",), {}), ("F4", ("multiply", 8, 0), {}),
           ("F4", ("none",), {"rounding": "stochastic"}), ("F4", ("none",), {"rounding": "half_away"}), ("F4", ("none",), {"rounding": "toward_zero"}),
           ("LOOM_A", ("none",), {}), ("LOOM_B", ("none",), {}), ("LOOM_A", ("multiply", 8, 0), {}), ("I32", ("absmax",), {}), ("I64", ("multiply", 1e6, 0), {}),
           ("U32", ("multiply", 1e6, 1), {"rounding": "toward_zero", "overflow": "wrap"})]


NESTED = {"codec": "F8_E4M3", "scale": {"per": "tensor", "rule": "absmax"}}
SCALED = [("I8", {"per": "channel", "rule": "absmax"}, {}), ("I4", {"per": "block", "block": 32, "rule": "absmax", "format": {"codec": "F16"}}, {}),
          ("I4", {"per": "tensor", "rule": "fixed", "value": 0.03}, {"rounding": "stochastic"}),
          ("U4", {"per": "block", "block": 16, "rule": "asymmetric"}, {}), ("U8", {"per": "channel", "rule": "asymmetric", "format": {"codec": "BF16"}}, {}),
          ("I8", {"per": "tensor", "rule": "asymmetric"}, {"rounding": "half_away"}),
          ("F8_E4M3", {"per": "channel", "rule": "percentile", "percentile": 97.5}, {}),
          ("I4", {"per": "block", "block": 24, "rule": "percentile", "percentile": 50}, {"rounding": "stochastic"}),
          ("F4", {"per": "block", "block": 20, "rule": "mse"}, {}), ("I4", {"per": "channel", "rule": "mse", "format": {"codec": "F8_E4M3"}}, {"rounding": "stochastic"}),
          *(("F4", {"per": "block", "block": 32, "rule": rule, "format": {"codec": "F8_E8M0"}}, {}) for rule in ("floor", "ceil", "even", "rceil")),
          ("F8_E4M3", {"per": "block", "block": 7, "rule": "even"}, {"overflow": "nan"}), ("I8", {"per": "tensor", "rule": "rceil"}, {}),
          ("F4", {"per": "block", "block": 16, "rule": "absmax", "format": NESTED}, {}),
          ("F4", {"per": "block", "block": 16, "rule": "absmax", "format": NESTED}, {"rounding": "stochastic"}),
          ("F4", {"per": "block", "block": 16, "rule": "ceil", "format": NESTED}, {}),
          ("F4", {"per": "block", "block": 16, "rule": "absmax", "format": {"codec": "F8_E4M3", "scale": {"per": "tensor", "rule": "fixed", "value": 0.004}}}, {}),
          ("F4", {"per": "block", "block": 5, "rule": "absmax", "format": {"codec": "I8", "scale": {"per": "block", "block": 6, "rule": "absmax"}}}, {}),
          ("F4", {"per": "block", "block": 5, "rule": "absmax",
                  "format": {"codec": "I8", "scale": {"per": "block", "block": 6, "rule": "absmax", "offset": "mean"}}}, {})]


def hard_values(rng, special):
    """Values and ties of small codecs with their neighbours, ordinary weights; with `special` infinities, NaN and any bits too."""
    ties = np.concatenate([np.arange(-300, 300) / 2, np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6, 7, 0.125, 4, 3]), rng.normal(0, 0.2, 400)])
    x = np.concatenate([ties, -ties, ties / 100]).astype(f32)
    x = np.concatenate([x, np.nextafter(x, f32(np.inf)), np.nextafter(x, f32(-np.inf))])
    if special:
        anything = rng.integers(0, 2**32, 500, dtype=np.uint32).view(f32)
        half = rng.integers(0, 65536, 500).astype(np.uint16).view(np.float16).astype(f32)  # F16 values, and the middles to their neighbours
        middles = half + np.nextafter(half.astype(np.float16), np.float16(np.inf)).astype(f32)
        ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65520, 65519.996, -65520, 70000, 127.5, -128.5, 2.0**31, -(2.0**63), 1e-45, -1e-45], f32)
        x = np.concatenate([rng.permutation(x)[:1500], anything, half, middles / f32(2), ends])
    return rng.permutation(x)[:3001]


def tensors_of(path):
    """Bytes by name, read by hand: the library has no type for F4."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {k: data[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]] for k, v in header.items() if k != "__metadata__"}


def parts_of(path, name):
    """(bytes of the codes, scale or None)"""
    raw = tensors_of(path)
    return raw[name], np.frombuffer(raw[name + ".scale"], f32)[0] if name + ".scale" in raw else None


def same_encoding(what, codec, expected, path, name):
    codes, _, s, _, _ = expected
    raw, found = parts_of(path, name)
    same(what + " codes", np.frombuffer(fmt.pack(codes, codec.bits), np.uint8), np.frombuffer(raw, np.uint8))
    if s is not None or found is not None:
        same(what + " scale", s, np.asarray(found, f32))


def spec_of(scale):
    """With codecs for their names."""
    form = scale.get("format")
    return {**scale, "format": {**form, "codec": codec_of(form["codec"])}} if form else scale


def same_scaled(what, codec, scale, how, x, name, raw, decoded):
    rows = x if x.ndim > 1 else x.reshape(1, -1)
    stochastic = how.get("rounding") == "stochastic"
    codes, values, s, s2, offset, zeros = scales.encode_matrix(
        codec, rows, spec_of(scale), how, lambda e: fmt.word_of(77, fmt.stream_of(name), e) if stochastic else None)
    width = codec_of(scale["format"]["codec"]).bits if "format" in scale else 32
    expected = {"": fmt.pack(codes.ravel().tolist(), codec.bits), ".scale": fmt.pack(s, width) if width < 32 else s.tobytes()}
    if s2 is not None:
        expected[".scale2"] = np.array(s2, f32).tobytes()
    if offset is not None:
        expected[".scale_offset"] = np.array(offset, f32).tobytes()
    if zeros:
        expected[".zero_point"] = fmt.pack(zeros, codec.bits)
    found = {k[len(name):]: v for k, v in raw.items() if k == name or k.startswith(name + ".")}
    if sorted(found) != sorted(expected):
        wrong.append(f"{what}: the file has {sorted(found)}, by the page {sorted(expected)}")
    for part in sorted(set(expected) & set(found)):
        same(f"{what} {part or 'codes'}", np.frombuffer(expected[part], np.uint8), np.frombuffer(found[part], np.uint8))
    same(what + " decoded", values.ravel(), decoded.ravel())


def matrices(rng):
    """Ordinary weights of several sizes, and what is hard for scales: zeros, numbers that are not finite, the ends of the range."""
    plain = (rng.normal(0, 0.2, (5, 75)) * 10.0 ** rng.integers(-3, 3, (5, 1))).astype(f32)
    few = (rng.integers(-12, 13, (4, 64)) / 4 * 2.0 ** rng.integers(-4, 4, (4, 1))).astype(f32)
    hard = (rng.normal(0, 1, (8, 70)) * 2.0 ** rng.integers(-140, 100, (8, 1))).astype(f32)
    hard[1, :] = 0
    hard[2, 3:40:9] = [np.nan, np.inf, -np.inf, -0.0, 1e-45]
    hard[3, :33] = [3.4e38, -3.4e38, 1.75, *[0.0] * 30]
    return {"plain": plain, "few": few, "hard": hard, "row": rng.normal(0, 1, 37).astype(f32), "cube": rng.normal(0, 1, (3, 5, 4)).astype(f32)}


def check_scaled(lowbit, folder):
    rng = np.random.default_rng(6)
    source, target, back = (f"{folder}/{n}.safetensors" for n in ("scaled", "target", "back"))
    inputs = matrices(rng)
    save_file(inputs, source)
    for codec_name, scale, how in SCALED:
        what = f"{codec_name} {scale} {how}"
        text = json.dumps({"codec": codec_name, "scale": scale, **how})
        there = [lowbit, "convert", source, target, "--quiet", "--seed", "77", "--format", text]
        if subprocess.run(there).returncode or subprocess.run([lowbit, "convert", target, back, "--quiet", "--format", "F32"]).returncode:
            wrong.append(f"{what}: lowbit convert failed")
            continue
        raw, decoded = tensors_of(target), load_file(back)
        for name, x in inputs.items():
            same_scaled(f"{what} {name}", codec_of(codec_name), scale, how, x.reshape(x.shape[0], -1) if x.ndim > 1 else x, name, raw, decoded[name])


def check_encode(lowbit):
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        check_scaled(lowbit, folder)
    with tempfile.TemporaryDirectory() as folder:
        source, target, back = (f"{folder}/{n}.safetensors" for n in ("in", "out", "back"))
        inputs = {"all": hard_values(rng, True), "plain": hard_values(rng, False), "odd": rng.normal(0, 1, 37).astype(f32)}
        save_file(inputs, source)
        for codec_name, scale, how in FORMATS:
            codec, what = codec_of(codec_name), f"{codec_name} {scale} {how}"
            text = json.dumps(format_json(codec_name, scale, how))
            there = [lowbit, "convert", source, target, "--quiet", "--seed", "77", "--format", text]
            if subprocess.run(there).returncode or subprocess.run([lowbit, "convert", target, back, "--quiet", "--format", "F32"]).returncode:
                wrong.append(f"{what}: lowbit convert failed")
                continue
            decoded = load_file(back)
            for name, x in inputs.items():
                expected = fmt.encode_tensor(codec, x, scale, how, 77, name)
                same_encoding(f"{what} {name}", codec, expected, target, name)
                same(f"{what} {name} decoded", expected[1], decoded[name])


def main():
    mode, what = sys.argv[1:]
    if mode == "run":
        import arithmetic_run
        arithmetic_run.check(what, same, same_encoding, codec_of, spec_of, format_json, wrong)
    else:
        {"ops": check_ops, "encode": check_encode}[mode](what)
    for line in wrong:
        print(line)
    print(f"{mode}: {compared} values compared, {len(wrong)} things differ")
    sys.exit(bool(wrong) or not compared)


main()
