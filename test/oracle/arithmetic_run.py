# SPDX-License-Identifier: MIT
"""Whole experiments, made by `lowbit run` and again from docs/arithmetic.md (sections 6 to 10) and docs/results.md: trained weights, the files
of the formats, every figure of the journal. For arithmetic_check.py."""
import hashlib
import json
import math
import subprocess
import tempfile
from pathlib import Path

import arithmetic_integer
import exact_arithmetic as ex
import exact_formats as fmt
import exact_scales as scales
import numpy as np
from exact_arithmetic import f32
from safetensors.numpy import load_file, save_file

SEED, CLASSES, TEST, BATCH = 3, 4, 9, 4
INPUT = (2, 6, 5)

# Small networks that together use every layer, activation, loss, reduction, shuffle and rule of initial values.
MODELS = [
    {"name": "cnn", "layers": [
        {"type": "conv2d", "filters": 3, "kernel": [3, 2], "stride": 2, "padding": 1, "activation": "scaled_relu", "init": "he_uniform"},
        {"type": "flatten"},
        {"type": "dense", "units": 6, "activation": "tanh", "init": "fan_in", "bias_init": {"rule": "uniform", "low": 0, "high": 0.01}},
        {"type": "dense", "units": CLASSES, "activation": "softmax", "init": "xavier_normal"}],
     "train": {"epochs": 3, "batch": 12, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "lr_decay": 0.9}},
    {"name": "demo", "ablate": [3], "layers": [
        {"type": "dense", "units": 12, "activation": "relu"}, {"type": "reshape", "shape": [1, 4, 3]},
        {"type": "conv2d", "filters": 2, "kernel": 2, "activation": "sigmoid"},
        {"type": "conv2d", "filters": 2, "kernel": 1, "init": "xavier_uniform"}, {"type": "activation", "activation": "scaled_relu", "alpha": 0.5},
        {"type": "dense", "units": CLASSES, "activation": "sigmoid"}],
     "train": {"epochs": 2, "batch": 6, "lr": 0.05, "loss": "mse", "reduction": "half", "shuffle": "once"}},
    {"name": "mean", "layers": [{"type": "dense", "units": CLASSES, "activation": "softmax", "init": {"rule": "uniform", "low": -0.2, "high": 0.3}}],
     "train": {"epochs": 3, "batch": 100, "lr": 0.5, "loss": "mse", "shuffle": "none"}},
    {"name": "linear", "layers": [{"type": "activation", "activation": "tanh"}, {"type": "dense", "units": CLASSES, "init": "he_normal", "bias_init": "fan_in"}],
     "train": {"epochs": 1, "batch": 7, "lr": 0.2}}]
FORMATS = [("F16", ("none",), {}), ("BF16", ("none",), {"rounding": "toward_zero"}), ("F4", ("multiply", 8, 0), {}), ("F4", ("absmax",), {"rounding": "stochastic"}),
           ("I8", ("absmax",), {}), ("I8", ("multiply", 100, 0), {}), ("U8", ("multiply", 100, 1), {"rounding": "toward_zero", "overflow": "wrap"}),
           ("I16", ("fixed", 0.001), {"rounding": "half_away"}), ("LOOM_A", ("multiply", 8, 0), {}), ("I64", ("multiply", 1e6, 0), {})]


# ---- 6. A network ----

def build(config):
    """Layers with shapes and numbered parameters (7.1)."""
    c, h, w = INPUT
    layers, p = [], 0
    for index, spec in enumerate(config["layers"]):
        kind = spec["type"]
        if kind == "flatten":
            c, h, w = c * h * w, 1, 1
            continue
        if kind == "reshape":
            c, h, w = spec["shape"]
            continue
        layer = {"kind": kind, "act": spec.get("activation", "linear"), "alpha": f32(spec.get("alpha", 1.1)), "shape": (c, h, w), "spec": spec}
        if kind == "dense":
            layer.update(weight=(spec["units"], c * h * w), fans=(c * h * w, spec["units"]))
            c, h, w = spec["units"], 1, 1
        elif kind == "conv2d":
            kh, kw = spec["kernel"] if isinstance(spec["kernel"], list) else [spec["kernel"]] * 2
            layer.update(stride=spec.get("stride", 1), pad=spec.get("padding", 0), weight=(spec["filters"], c, kh, kw),
                         fans=(c * kh * kw, spec["filters"] * kh * kw))
            c, h, w = spec["filters"], *((v + 2 * layer["pad"] - k) // layer["stride"] + 1 for v, k in ((h, kh), (w, kw)))
        if kind != "activation":
            layer.update(names=(f"{index}.weight", f"{index}.bias"), p=p)
            p += 2
        layers.append(layer)
        if kind != "activation" and layer["act"] == "softmax":
            layer["act"] = "linear"
            layers.append({"kind": "activation", "act": "softmax"})
    return layers


def initial(layers):
    params = {}
    for layer in layers:
        if "names" not in layer:
            continue
        for i, (key, default) in enumerate((("init", "he_normal"), ("bias_init", "zeros"))):
            rule = layer["spec"].get(key, default)
            rule = rule if isinstance(rule, dict) else {"rule": rule}
            shape = layer["weight"] if i == 0 else layer["weight"][:1]
            params[layer["names"][i]] = ex.initial(rule["rule"], shape, *layer["fans"], SEED, layer["p"] + i, f32(rule.get("low", -0.05)), f32(rule.get("high", 0.05)))
    return params


def encoded_input(activations, layer, x, sample):  # 8.11
    """What a layer with weights reads in mode wa; `sample`: the first of the batch."""
    codec, spec, how = activations
    stream = 0x30000 + int(layer["names"][0].split(".")[0])
    u = (lambda e: fmt.word_of(SEED, stream, sample * x.shape[1] + e)) if how.get("rounding") == "stochastic" else lambda e: None
    if spec["per"] == "none":
        values = [codec.decode(codec.encode(float(v), u=u(e), **how)) for e, v in enumerate(x.ravel())]
        return np.array(values, f32).reshape(x.shape)
    return scales.encode_matrix(codec, x, spec, how, u)[1]


def forward(layers, params, x, activations=None, sample=0):
    """The output of every layer, (batch, elements) each."""
    outputs = []
    for layer in layers:
        if activations and "names" in layer:
            x = encoded_input(activations, layer, x, sample)
        if layer["kind"] == "activation":
            y = ex.softmax(x) if layer["act"] == "softmax" else ex.activate(layer["act"], layer["alpha"], x)
        else:
            w, b = (params[n] for n in layer["names"])
            if layer["kind"] == "dense":
                y = ex.gemm(x, w.T, b, layer["act"], layer["alpha"])
            else:
                y = ex.conv2d(x.reshape(-1, *layer["shape"]), w, b, layer["stride"], layer["pad"], layer["act"], layer["alpha"])
        x = y.reshape(len(y), -1)
        outputs.append(x)
    return outputs


def logits_of(layers, outputs):
    if layers[-1]["act"] == "softmax":
        return outputs[-2]
    return outputs[-1] if layers[-1]["act"] == "linear" else None


def gradients(layers, params, x, labels, train):  # 6.3, 6.4
    outputs = forward(layers, params, x)
    last = len(layers)
    if train.get("loss", "cross_entropy") == "cross_entropy":
        last -= layers[-1]["act"] == "softmax"
        _, dy = ex.cross_entropy(outputs[last - 1], labels)
    else:
        _, dy = ex.mse(outputs[-1], labels, train.get("reduction", "mean"))
    first = next(i for i, layer in enumerate(layers) if "names" in layer)
    grads = {}
    for i in range(last - 1, first - 1, -1):
        layer, y, given = layers[i], outputs[i], outputs[i - 1] if i else x
        if layer["act"] == "softmax":
            dy = ex.softmax_grad(y, dy)
        elif layer["act"] != "linear":
            dy = ex.act_grad(y, dy, layer["act"], layer["alpha"])
        if layer["kind"] == "activation":
            continue
        weight, bias = layer["names"]
        if layer["kind"] == "dense":
            grads[bias] = ex.bias_grad(dy[:, :, None])
            grads[weight] = ex.gemm(dy.T, given)
            dy = ex.gemm(dy, params[weight]) if i > first else None
        else:
            image, dy4 = given.reshape(-1, *layer["shape"]), None
            o, _, kh, kw = layer["weight"]
            oh = (layer["shape"][1] + 2 * layer["pad"] - kh) // layer["stride"] + 1
            dy4 = dy.reshape(len(dy), o, oh, -1)
            grads[bias] = ex.bias_grad(dy.reshape(len(dy), o, -1))
            grads[weight] = ex.conv2d_dw(dy4, image, (kh, kw), layer["stride"], layer["pad"])
            dy = ex.conv2d_dx(dy4, params[weight], image.shape, layer["stride"], layer["pad"]).reshape(len(dy), -1) if i > first else None
    return grads


def trained(config, x, y):  # 7
    layers, train = build(config), config["train"]
    params = initial(layers)
    lr, momentum, decay = f32(train["lr"]), f32(train.get("momentum", 0)), f32(train.get("weight_decay", 0))
    velocity = {n: np.zeros_like(w) if momentum else None for n, w in params.items()}
    order, how = list(range(len(x))), train.get("shuffle", "epoch")
    for epoch in range(train["epochs"]):
        if how == "epoch" or (how == "once" and epoch == 0):
            order = ex.shuffle(SEED, epoch, len(x))
        for at in range(0, len(x), train["batch"]):
            rows = order[at:at + train["batch"]]
            for n, g in gradients(layers, params, x[rows], y[rows], train).items():
                params[n], velocity[n] = ex.sgd(params[n], g, velocity[n], lr, momentum, decay)
        lr = lr * f32(train.get("lr_decay", 1))
    for n in params:
        if int(n.split(".")[0]) in config.get("ablate", []):
            params[n] = np.zeros_like(params[n])
    return layers, params


# ---- A trial ----

def content_hash(path):
    """docs/results.md, weights_sha256."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    h = hashlib.sha256()
    for name, t in sorted(json.loads(data[8:8 + size]).items()):
        if name != "__metadata__":
            a, b = t["data_offsets"]
            h.update(f"{name}\0{t['dtype']}\0{','.join(map(str, t['shape']))}\0".encode() + data[8 + size + a:8 + size + b])
    return h.hexdigest()


def expected_row(layers, params, codec, encoded, x_test, y_test, name, activations=None):
    decoded = {n: e[1].reshape(params[n].shape) for n, e in encoded.items()}
    base = forward(layers, params, x_test)
    batches = [forward(layers, decoded, x_test[i:i + BATCH], activations, i) for i in range(0, len(x_test), BATCH)]
    out = [np.concatenate(parts) for parts in zip(*batches)]
    row = fmt.metrics(base[-1], out[-1], logits_of(layers, base), logits_of(layers, out), y_test)
    hist = dict(zip(["hist_le10", "hist_le20", "hist_le30", "hist_le40", "hist_le50", "hist_le100", "hist_gt100"], row.pop("hist")))
    all_signal = all_noise = 0.0
    counts = dict.fromkeys(["weights", "nan_codes", "inf_codes", "zeroed", "clipped", "weight_bytes"], 0)
    tensors = []
    for n, (codes, v, s, t, q) in encoded.items():
        signal = noise = 0.0
        for a, b, given, stored in zip(params[n].ravel(), v, t, q):
            a, b = float(a), float(b)
            signal += a * a
            noise += (a - b) * (a - b)
            counts["nan_codes"] += bool(np.isnan(stored))
            counts["inf_codes"] += bool(np.isinf(stored))
            counts["zeroed"] += a != 0 and b == 0
            counts["clipped"] += codec.beyond(float(given))
        counts["weights"] += len(codes)
        size = (len(codes) * codec.bits + 7) // 8 + (4 if s is not None else 0)
        counts["weight_bytes"] += size
        all_signal, all_noise = all_signal + signal, all_noise + noise
        tensors.append({"name": n, "format": name, "weights": len(codes), "bytes": size, "sqnr_db": as_journal(fmt.sqnr_db(signal, noise))})
        if codec.bits <= 8 and n.endswith(".weight"):
            tensors[-1]["codes"] = [codes.count(c) for c in range(1 << codec.bits)]
    row.update(hist, **counts, sqnr_db=fmt.sqnr_db(all_signal, all_noise), layers=tensors,
               bits_per_weight=8 * counts["weight_bytes"] / counts["weights"])
    return {k: v for k, v in row.items() if v is not None}


# Activations of mode wa; the weights are F16.
ACTIVATIONS = [("F8_E4M3", {"per": "none"}, {}), ("I8", {"per": "tensor", "rule": "absmax"}, {}), ("I8", {"per": "row", "rule": "absmax"}, {"rounding": "stochastic"}),
               ("F4", {"per": "block", "block": 32, "rule": "floor", "format": {"codec": "F8_E8M0"}}, {}),
               ("F4", {"per": "block", "block": 8, "rule": "absmax", "format": {"codec": "F8_E4M3", "scale": {"per": "tensor", "rule": "absmax"}}}, {"rounding": "stochastic"}),
               ("I4", {"per": "tensor", "rule": "fixed", "value": 0.3}, {"rounding": "stochastic"}), ("U8", {"per": "tensor", "rule": "asymmetric"}, {}),
               ("U4", {"per": "block", "block": 8, "rule": "asymmetric", "format": {"codec": "F16"}}, {}), ("I4", {"per": "row", "rule": "mse"}, {}),
               ("I8", {"per": "row", "rule": "percentile", "percentile": 90}, {})]


def trials_of(lowbit, folder, name, config, wrong):
    """The trials that lowbit makes of a config."""
    Path(f"{folder}/{name}.json").write_text(json.dumps(config))
    if subprocess.run([lowbit, "run", f"{folder}/{name}.json", "--out", f"{folder}/{name}", "--quiet"], stdout=subprocess.DEVNULL).returncode:
        wrong.append(f"lowbit run of {name} failed")
        return []
    lines = map(json.loads, Path(f"{folder}/{name}/trials.jsonl").read_text().splitlines())
    return [t for t in lines if t["kind"] == "trial"]


def check_activations(lowbit, folder, config, same, codec_of, spec_of, wrong, x, y):
    formats = [{"name": f"format{i}", "codec": "F16", "activations": {"codec": c, "scale": s, **how}} for i, (c, s, how) in enumerate(ACTIVATIONS)]
    trials = trials_of(lowbit, folder, "wa", {**config, "models": MODELS[:2], "formats": formats, "modes": ["wa"]}, wrong)
    for model in MODELS[:2] if trials else []:
        layers, params = trained(model, x[:-TEST], y[:-TEST])
        encoded = {n: fmt.encode_tensor(codec_of("F16"), w, ("none",), {}, SEED, 0x20000 + p) for p, (n, w) in enumerate(params.items())}
        for i, (name, scale, how) in enumerate(ACTIVATIONS):
            found = next(t for t in trials if t["model"] == model["name"] and t["format"] == f"format{i}")["row"]
            row = expected_row(layers, params, codec_of("F16"), encoded, x[-TEST:], y[-TEST:], f"format{i}", (codec_of(name), spec_of(scale), how))
            for key in sorted(row):
                a, b = as_journal(row[key]), found.get(key)
                same("wa", [0], [int(a != b)])
                if a != b:
                    wrong[-1] = f"{model['name']}, activations {name} {scale} {how}: {key}: by the page {a!r}, by lowbit {b!r}"


# Modes w8a8 and w4a8: the format, and how a dumped matrix would say it.
INTEGERS = [("I8", {"per": "row", "rule": "absmax"}, "w8a8"), ("U8", {"per": "row", "rule": "asymmetric"}, "w8a8"),
            ("I4", {"per": "block", "block": 8, "rule": "absmax", "format": {"codec": "F16"}}, "w4a8"),
            ("F4", {"per": "block", "block": 5, "rule": "floor", "format": {"codec": "F8_E8M0"}}, "w4a8")]


def integer_forward(layers, params, weights, x, a_block):  # 8.12
    """As forward, with products of integers; weights: by name what gemm_int8 takes, and its scales' block and scales a row; a_block: infer.integer_block."""
    outputs = []
    for layer in layers:
        if "names" not in layer:
            y = ex.softmax(x) if layer["act"] == "softmax" else ex.activate(layer["act"], layer["alpha"], x)
        else:
            d, block, scale_row = weights[layer["names"][0]]
            b, act = params[layer["names"][1]], (layer["act"], layer["alpha"])
            if layer["kind"] == "dense":
                y = scales.gemm_int8(d, x, b, *act, block, scale_row, a_block)
            else:
                o, c, kh, kw = layer["weight"]
                y = scales.conv2d_int8(d, x.reshape(-1, *layer["shape"]), b, (o, c, kh, kw, layer["stride"], layer["pad"]), *act, block, scale_row)
        x = y.reshape(len(y), -1)
        outputs.append(x)
    return outputs


def integer_weight(codec, w, spec):
    """What integer products take of a weight, and its values."""
    matrix = w.reshape(len(w), -1)
    codes, values, scale_codes, _, _, zeros = scales.encode_matrix(codec, matrix, spec, {}, lambda e: None)
    block = min(spec.get("block", matrix.shape[1]), matrix.shape[1])
    d = {"values": [f32(codec.decode(c)) for c in range(1 << codec.bits)], "codes": codes, "scales": scales.worth_of(spec.get("format"), scale_codes)}
    if zeros:
        d["zeros"] = [f32(codec.decode(z)) for z in zeros]
    return (d, block, -(-matrix.shape[1] // block)), values.reshape(w.shape)


def check_integers(lowbit, folder, config, same, codec_of, spec_of, wrong, x, y, a_block):
    formats = [{"name": f"format{i}", "codec": c, "scale": s} for i, (c, s, _) in enumerate(INTEGERS)]
    trials = trials_of(lowbit, folder, f"int8-{a_block}", {**config, "models": MODELS[:2], "formats": formats, "modes": ["w8a8", "w4a8"],
                                                           "infer": {"batch": BATCH, "integer_block": a_block}}, wrong)
    for model in MODELS[:2] if trials else []:
        layers, params = trained(model, x[:-TEST], y[:-TEST])
        base = forward(layers, params, x[-TEST:])
        for i, (name, scale, mode) in enumerate(INTEGERS):
            trial = next(t for t in trials if t["model"] == model["name"] and t["format"] == f"format{i}")
            weights, decoded = {}, {}
            for n, w in params.items():  # a bias is a tensor of one row
                weights[n], decoded[n] = integer_weight(codec_of(name), w if w.ndim > 1 else w[None], spec_of(scale))
                decoded[n] = decoded[n].reshape(w.shape)
            out = integer_forward(layers, decoded, weights, x[-TEST:], a_block)
            row = fmt.metrics(base[-1], out[-1], logits_of(layers, base), logits_of(layers, out), y[-TEST:])
            row.pop("hist")
            same("integers", [0], [int(trial["mode"] != mode)])
            for key in sorted(k for k, v in row.items() if v is not None):
                a, b = as_journal(row[key]), trial["row"].get(key)
                same("integers", [0], [int(a != b)])
                if a != b:
                    wrong[-1] = f"{model['name']}, {mode} {name} {scale}: {key}: by the page {a!r}, by lowbit {b!r}"


def as_journal(v):
    """NaN and infinities are text there."""
    if isinstance(v, float) and not math.isfinite(v):
        return "nan" if v != v else "inf" if v > 0 else "-inf"
    return v


def check(lowbit, same, same_encoding, codec_of, spec_of, format_json, wrong):
    rng = np.random.default_rng(11)
    n = 31 + TEST
    x, y = rng.normal(0, 1, (n, *INPUT)).astype(f32), rng.integers(0, CLASSES, n).astype(np.int32)
    y[:CLASSES] = range(CLASSES)
    flat = x.reshape(n, -1)
    with tempfile.TemporaryDirectory() as folder:
        save_file({"x": x, "y": y}, f"{folder}/data.safetensors")
        formats = [{"name": f"format{i}", **format_json(*f)} for i, f in enumerate(FORMATS)]
        config = {"data": {"source": "file", "path": f"{folder}/data.safetensors", "test": TEST}, "models": MODELS, "seeds": [SEED],
                  "formats": formats, "infer": {"batch": BATCH}}
        Path(f"{folder}/run.json").write_text(json.dumps(config))
        done = subprocess.run([lowbit, "run", f"{folder}/run.json", "--out", f"{folder}/out", "--quiet"], stdout=subprocess.DEVNULL)
        if done.returncode:
            wrong.append(f"lowbit run: exit status {done.returncode}")
            return
        check_activations(lowbit, folder, config, same, codec_of, spec_of, wrong, flat, y)
        for a_block in (0, 5):
            check_integers(lowbit, folder, config, same, codec_of, spec_of, wrong, flat, y, a_block)
        tools = {"same": same, "codec_of": codec_of, "spec_of": spec_of, "trials_of": trials_of, "trained": trained, "forward": forward,
                 "logits_of": logits_of, "as_journal": as_journal}
        arithmetic_integer.check(lowbit, folder, config, MODELS[:2], tools, wrong, flat, y, TEST, BATCH)
        lines = [json.loads(line) for line in Path(f"{folder}/out/trials.jsonl").read_text().splitlines()]
        for model in MODELS:
            layers, params = trained(model, flat[:-TEST], y[:-TEST])
            trials = [t for t in lines if t["kind"] == "trial" and t["model"] == model["name"]]
            path = f"{folder}/out/trained/{trials[0]['training']}.safetensors"
            stored = load_file(path)
            for name, w in params.items():
                same(f"{model['name']}: trained {name}", w, stored[name])
            line = next(t for t in lines if t["kind"] == "train" and t["training"] == trials[0]["training"])
            if content_hash(path) != line["weights_sha256"]:
                wrong.append(f"{model['name']}: weights_sha256 of the training")
            for i, (name, scale, how) in enumerate(FORMATS):
                trial = next(t for t in trials if t["format"] == f"format{i}")
                what, codec = f"{model['name']}, {name} {scale} {how}", codec_of(name)
                path = f"{folder}/out/models/{trial['trial']}.safetensors"
                encoded = {}
                for p, (tensor, w) in enumerate(params.items()):
                    encoded[tensor] = fmt.encode_tensor(codec, w, scale, how, SEED, 0x20000 + p)
                    same_encoding(f"{what}: {tensor}", codec, encoded[tensor], path, tensor)
                row = {**expected_row(layers, params, codec, encoded, flat[-TEST:], y[-TEST:], f"format{i}"), "weights_sha256": content_hash(path),
                       "file_bytes": Path(path).stat().st_size, "packed": "yes", "top1_f32": trial["row"]["top1_f32"]}
                for key in sorted(row.keys() | trial["row"].keys()):
                    a, b = as_journal(row.get(key)), trial["row"].get(key)
                    same(f"{what}: {key}", [0], [int(a != b)])
                    if a != b:
                        wrong[-1] = f"{what}: {key}: by the page {a!r}, by lowbit {b!r}"
