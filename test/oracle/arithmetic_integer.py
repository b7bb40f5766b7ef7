# SPDX-License-Identifier: MIT
"""Mode integer, made by `lowbit run` and again from section 13 of docs/arithmetic.md. For arithmetic_run.py."""
import math

import exact_formats as fmt
import exact_scales as scales
import numpy as np
from exact_arithmetic import activate, conv2d, exp64, f32, gemm, softmax, store

SAMPLES = 10  # of calibration

# The weights' codec and scale; the activations' codec and scale, None: as where nothing is said.
MODELS = [("I8", {"per": "row", "rule": "absmax"}, None), ("U8", {"per": "row", "rule": "asymmetric"}, ("I8", {"rule": "absmax"})),
          ("I4", {"per": "tensor", "rule": "absmax"}, ("U8", {"rule": "percentile", "percentile": 97, "zero_point": True})),
          ("F4", {"per": "row", "rule": "absmax"}, ("U8", {"rule": "mse", "zero_point": True})),
          ("I8", {"per": "row", "rule": "absmax"}, ("U8", {"rule": "kl", "zero_point": True})),
          ("I8", {"per": "tensor", "rule": "absmax"}, ("I8", {"rule": "kl"})),
          ("I8", {"per": "row", "rule": "absmax"}, ("U8", {"rule": "moving_average", "zero_point": True})),
          ("U4", {"per": "row", "rule": "asymmetric"}, ("I8", {"rule": "moving_average"})),
          ("I8", {"per": "row", "rule": "absmax"}, ("U4", {"rule": "mse", "zero_point": True}))]


def as_json(activations):
    codec, scale = activations
    return {"codec": codec, "scale": {"per": "tensor", "calibrated": True, **scale}}


# ---- 13.3, 13.6 ----

def rint(v):
    """To a whole number, half to even; v is a binary32 or binary64 number."""
    return round(float(v))


def multiplier(r):
    f, e = math.frexp(r)
    m, n = rint(math.ldexp(f, 22)), 22 - e
    if m == 1 << 22:
        m, n = 1 << 21, n - 1
    assert n >= 0
    if n > 62:
        m, n = rint(math.ldexp(float(m), 62 - n)), 62
    return m, n if m else 0


def scaled(v, m, n):
    """rint(v m / 2^n) of whole numbers."""
    p = v * m
    floor = p >> n
    twice = 2 * (p - (floor << n))
    return floor + (twice > 1 << n or (twice == 1 << n and floor & 1))


def bounds(codec):
    return f32(min(codec.values)), f32(max(codec.values))


def parameters(codec, zero, low, high):
    """Scale and zero point of a range."""
    first, last = bounds(codec)
    if not zero:
        return f32(max(f32(-low), high) / last), 0
    s = f32(f32(high - low) / f32(last - first))
    z = first if s == 0 else f32(rint(f32(first - f32(low / s))))
    return s, int(min(max(z, first), last))


def ends(x):
    return min(f32(0), f32(x.min())), max(f32(0), f32(x.max()))


def held(codec, zero):
    first, last = bounds(codec)
    return (first, last) if zero or not codec.signed else (-last, last)


def squared_error(codec, x, s, z):
    first, last = held(codec, True)
    total = 0.0
    for v in x.ravel():
        q = f32(f32(z) + f32(rint(f32(v / s)) if s != 0 else 0))
        q = min(max(q, first), last)
        d = float(v) - float(f32(f32(q - f32(z)) * s))
        total += d * d
    return total


def kl_threshold(codec, zero, x):
    first, last = bounds(codec)
    levels = int(last - first if zero else last) + 1
    magnitudes = np.abs(x[x != 0]).astype(float)
    width = float(max(np.abs(x).max(), 0)) / 2048
    counts = [0] * 2048
    for a in magnitudes:
        counts[min(int(a / width), 2047)] += 1
    best, least, everything = 2048, math.inf, float(sum(counts))
    full = [i for i in range(2048) if counts[i]]
    for b in range(2048, levels - 1, -1):
        inside = float(sum(counts[i] for i in full if i < b))
        beyond, kl = everything - inside, 0.0
        of = [((i + 1) * levels - 1) // b for i in full if i < b]  # the group of each bin that is not empty
        total, filled = [0.0] * levels, [0.0] * levels
        for g, i in zip(of, full):
            total[g] += counts[i]
            filled[g] += 1
        for g, i in zip(of, full):  # math.log, much faster, is near enough for the least one
            p = (counts[i] + (beyond if i + 1 == b else 0.0)) / everything
            kl += p * math.log(p / (total[g] / filled[g] / inside))
        if beyond and not counts[b - 1]:
            kl += beyond / everything * math.log(beyond / everything * 2.0 ** 40)
        if kl < least:
            best, least = b, kl
    return f32(width * best)


def calibrated(codec, scale, x, batch):
    """Scale and zero point of x (samples, numbers)."""
    rule, zero = scale["rule"], scale.get("zero_point", False) or scale["rule"] == "asymmetric"
    low, high = ends(x)
    if rule == "percentile":
        order = np.sort(x.ravel())
        k = max(1, min(len(order), math.ceil(scale["percentile"] / 100 * len(order))))
        low, high = min(f32(0), order[len(order) - k]), max(f32(0), order[k - 1])
    elif rule == "mse":
        tries = []
        for i in range(64, 15, -1):
            part = f32(i / 64)
            s, z = parameters(codec, zero, f32(low * part), f32(high * part))
            tries.append((squared_error(codec, x, s, z), s, z))
        _, s, z = min(tries, key=lambda t: t[0])
        return s, z
    elif rule == "moving_average":
        low, high = ends(x[:batch])
        for i in range(batch, len(x), batch):
            l, h = ends(x[i:i + batch])
            low, high = (f32(f32(a * f32(0.9)) + f32(b * f32(0.1))) for a, b in ((low, l), (high, h)))
    elif rule == "kl":
        t = kl_threshold(codec, zero, x)
        low, high = max(low, f32(-t)), min(high, t)
    return parameters(codec, zero, low, high)


# ---- 13.5, 13.7 ----

def activation64(act, alpha, x):
    if act == "relu":
        return 0.0 if x < 0 else x
    if act == "scaled_relu":
        return 0.0 if x < 0 else x * float(alpha)
    if act == "sigmoid":
        e = float(exp64(x if x < 0 else -x))
        return e / (1 + e) if x < 0 else 1 / (1 + e)
    if act == "tanh":
        e = float(exp64(-2 * abs(x)))
        y = (1 - e) / (1 + e)
        return -y if x < 0 else y
    return x


def table(act, alpha, source, target, limits):
    (s, z), (sy, zy) = source, target
    code = lambda q: min(max(zy + rint(activation64(act, alpha, (q - z) * float(s)) / float(sy)), int(limits[0])), int(limits[1]))
    return np.vectorize(code, otypes=[np.int64])


def whole_weights(codec, w, spec):
    """Weights as whole numbers less their zero points, the scale of each output, and what they are worth."""
    matrix = w.reshape(len(w), -1)
    codes, values, scale_codes, _, _, zeros = scales.encode_matrix(codec, matrix, spec, {}, lambda e: None)
    f = next(f for f in range(9) if all(math.ldexp(v, f).is_integer() for v in codec.values))
    factor, rows = 1 << f, len(w)
    s = scales.worth_of(spec.get("format"), scale_codes)
    s = [s[i if len(s) > 1 else 0] for i in range(rows)]
    z = [f32(codec.decode(c)) for c in zeros] if zeros else [0] * rows
    z = [z[i if len(z) > 1 else 0] for i in range(rows)]
    whole = np.array([int(codec.values[c] * factor) for c in np.ravel(codes)], np.int64).reshape(matrix.shape)
    whole -= np.array([int(v) * factor for v in z], np.int64)[:, None]
    return whole.reshape(w.shape), [f32(v / f32(factor)) for v in s], values.reshape(w.shape)


def convolved(x, w, stride, pad):
    """Sums of products of whole numbers: x (n, c, h, w) less its zero point."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = ((x.shape[2 + i] - w.shape[2 + i]) // stride + 1 for i in (0, 1))
    y = np.zeros((len(x), len(w), oh, ow), np.int64)
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            part = x[:, :, ky:ky + stride * (oh - 1) + 1:stride, kx:kx + stride * (ow - 1) + 1:stride]
            y += np.einsum("nchw,oc->nohw", part, w[:, :, ky, kx])
    return y


def layer_inputs(layers, params, x, forward):
    return [x] + forward(layers, params, x)[:-1]


def sums_of(layer, params, x):
    """The output before the activation, binary32."""
    w, b = (params[n] for n in layer["names"])
    if layer["kind"] == "dense":
        return gemm(x, w.T, b, "linear", f32(1))
    return conv2d(x.reshape(-1, *layer["shape"]), w, b, layer["stride"], layer["pad"], "linear", f32(1)).reshape(len(x), -1)


def integer_layers(layers):
    """Those with weights, and activations between two of them."""
    weighted = [i for i, layer in enumerate(layers) if "names" in layer]
    return [i in weighted or (weighted[0] < i < weighted[-1]) for i in range(len(layers))]


def outputs(layers, params, weights, codec, scale, x_train, x, batch, forward):
    """What each layer that ends in numbers gives; None for the others."""
    zero = scale.get("zero_point", False) or scale["rule"] == "asymmetric"
    limits = held(codec, zero)
    integer = integer_layers(layers)
    seen = layer_inputs(layers, params, x_train, forward)
    some = lambda p: (p[0] if p[0] > 0 else f32(1), p[1])
    read = [some(calibrated(codec, scale, seen[i], batch)) if integer[i] else None for i in range(len(layers))]
    result, codes, numbers = [], None, x
    for i, layer in enumerate(layers):
        act, alpha = layer["act"], layer.get("alpha", f32(1))
        if not integer[i]:
            numbers = softmax(numbers) if act == "softmax" else activate(act, alpha, numbers)
            result.append(numbers)
            continue
        s_a, z_a = read[i]
        if codes is None:
            codes = np.vectorize(lambda v: min(max(z_a + rint(f32(v / s_a)), int(limits[0])), int(limits[1])), otypes=[np.int64])(numbers)
        to = read[i + 1] if i + 1 < len(layers) and integer[i + 1] else None
        if layer["kind"] == "activation":
            codes = table(act, alpha, read[i], to, limits)(codes)
            result.append(None)
            continue
        w, s_w = weights[layer["names"][0]]
        bias = params[layer["names"][1]]
        unit = [f32(s_a * s) for s in s_w]
        unit = [u if u > 0 else f32(abs(b) * f32(2.0 ** -20)) if b != 0 else f32(1) for u, b in zip(unit, bias)]
        b32 = np.array([rint(float(b) / float(u)) for b, u in zip(bias, unit)], np.int64)
        a = codes - z_a
        if layer["kind"] == "dense":
            v, channel = a @ w.T + b32, np.arange(len(w))
        else:
            v = convolved(a.reshape(-1, *layer["shape"]), w, layer["stride"], layer["pad"]) + b32[:, None, None]
            channel = np.repeat(np.arange(len(w)), v.shape[2] * v.shape[3])
            v = v.reshape(len(v), -1)
        if to is None:
            y = np.array([[store(f32(f32(int(e)) * unit[c])) for e, c in zip(row, channel)] for row in v], f32)
            numbers, codes = activate(act, alpha, y), None
            result.append(numbers)
            continue
        by_table = act in ("sigmoid", "tanh")
        goal = some(calibrated(codec, scale, sums_of(layer, params, seen[i]), batch)) if by_table else to
        factor = float(alpha) if act == "scaled_relu" else 1.0
        scaling = [multiplier(float(u) * factor / float(goal[0])) for u in unit]
        low = goal[1] if act in ("relu", "scaled_relu") else int(limits[0])
        codes = np.array([[min(max(goal[1] + scaled(int(e), *scaling[c]), low), int(limits[1])) for e, c in zip(row, channel)] for row in v], np.int64)
        if by_table:
            codes = table(act, alpha, goal, to, limits)(codes)
        result.append(None)
    return result


def check(lowbit, folder, config, models, tools, wrong, x, y, test, batch):
    """tools: same, codec_of, spec_of, trials_of, trained, forward, logits_of, as_journal."""
    formats = []
    for i, (codec, scale, activations) in enumerate(MODELS):
        formats.append({"name": f"format{i}", "codec": codec, "scale": scale, **({"activations": as_json(activations)} if activations else {})})
    trials = tools["trials_of"](lowbit, folder, "integer", {**config, "models": models, "formats": formats, "modes": ["integer"],
                                                            "calibration": {"samples": SAMPLES}}, wrong)
    for model in models if trials else []:
        layers, params = tools["trained"](model, x[:-test], y[:-test])
        base = tools["forward"](layers, params, x[-test:])
        for i, (name, scale, activations) in enumerate(MODELS):
            weights = {}
            for n, w in params.items():
                if n.endswith(".weight"):
                    weights[n] = whole_weights(tools["codec_of"](name), w, tools["spec_of"](scale))[:2]
            codes, rule = activations or ("U8", {"rule": "asymmetric"})
            out = outputs(layers, params, weights, tools["codec_of"](codes), rule, x[:SAMPLES], x[-test:], batch, tools["forward"])
            row = fmt.metrics(base[-1], out[-1], tools["logits_of"](layers, base), tools["logits_of"](layers, out), y[-test:])
            row.pop("hist")
            found = next(t for t in trials if t["model"] == model["name"] and t["format"] == f"format{i}")["row"]
            for key in sorted(k for k, v in row.items() if v is not None):
                a, b = tools["as_journal"](row[key]), found.get(key)
                tools["same"]("mode integer", [0], [int(a != b)])
                if a != b:
                    wrong[-1] = f"{model['name']}, mode integer, {name} {scale}, {codes} {rule}: {key}: by the page {a!r}, by lowbit {b!r}"
