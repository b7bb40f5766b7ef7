# SPDX-License-Identifier: MIT
"""Integer models that `lowbit run` made, run by `lowbit op q_model` and layer by layer in NumPy: the same bits, and the accuracy of the table.

  q_model_check.py LOWBIT TMP BACKEND...
"""
import csv
import glob
import json
import subprocess
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import q_reference as q

LAYERS = [
    {"type": "conv2d", "filters": 5, "kernel": [3, 2], "stride": 2, "padding": 1, "activation": "relu"},
    {"type": "flatten"},
    {"type": "dense", "units": 11, "activation": "sigmoid"},
    {"type": "dense", "units": 9, "activation": "scaled_relu", "alpha": 1.25},
    {"type": "dense", "units": 4, "activation": "linear"},
]


def samples(rng, n):
    """Four blurred patterns with noise, and which of them each is."""
    patterns = np.random.default_rng(5).uniform(0, 1, (4, 2, 7, 9))
    y = rng.integers(0, 4, n)
    return (patterns[y] + rng.normal(0, 0.4, (n, 2, 7, 9))).astype(np.float32), y.astype(np.int64)


def weights(model, name, shape):
    """Codes as the file has them: bytes, or 4 bits, the first in a low half."""
    codes = model[name]
    if codes.dtype == np.uint8:
        codes = np.stack([codes & 15, codes >> 4], 1).reshape(-1)[: np.prod(shape)].astype(np.int64)
        codes = np.where(codes >= 8, codes - 16, codes)
    return codes.reshape(shape).astype(np.int64)


def run(model, shapes, x):
    """The model's answers. Units of sums are what a bias's scale says."""
    values = lambda layer, of: (model[f"{layer}.{of}.scale"], int(model[f"{layer}.{of}.zero_point"]))
    unit = lambda layer: model[f"{layer}.bias.scale"].astype(np.float64)
    integers = [0, 2, 3, 4]
    scale, zero = values(0, "input")
    codes = q.quantized(x, scale, zero, np.uint8)
    for layer, follows in zip(integers, integers[1:] + [None]):
        w, bias = weights(model, f"{layer}.weight", shapes[f"{layer}.weight"]), model[f"{layer}.bias"].astype(np.int64)
        v, kind = codes.astype(np.int64) - zero, LAYERS[layer]
        if kind["type"] == "conv2d":
            sums = q.convolution(v, w, kind["stride"], kind["padding"], 1, 1) + bias[:, None, None]
        else:
            sums = v.reshape(len(v), -1) @ w.T + bias
        if follows is None:
            return sums.astype(np.float32) * model[f"{layer}.bias.scale"]
        scale, zero = values(follows, "input")
        if kind["activation"] != "sigmoid":
            factor = unit(layer) * kind.get("alpha", 1) / np.float64(scale)
            codes = q.scaled(sums, factor, zero, np.uint8, relu=True, axis=1)
            continue
        s, z = values(layer, "sum")
        before = q.scaled(sums, unit(layer) / np.float64(s), z, np.uint8, axis=1)
        y = q.activated((before.astype(np.int64) - z) * np.float64(s), "sigmoid") / np.float64(scale)
        codes = q.held(np.rint(y).astype(np.int64), zero, np.uint8)


def main(program, folder, backends):
    rng = np.random.default_rng(11)
    (x, y), (x_test, y_test) = samples(rng, 800), samples(rng, 300)
    save_file({"x": x, "y": y, "x_test": x_test, "y_test": y_test}, f"{folder}/data.safetensors")
    per_channel = {"per": "channel", "rule": "absmax"}
    config = {
        "data": {"source": "file", "path": f"{folder}/data.safetensors"},
        "model": {"layers": LAYERS},
        "train": {"epochs": 3, "batch": 20, "loss": "cross_entropy"},
        "formats": [{"name": "EIGHT", "codec": "I8", "scale": per_channel}, {"name": "FOUR", "codec": "I4", "scale": per_channel}],
        "modes": ["integer"],
        "backends": ["cpu"],
    }
    with open(f"{folder}/config.json", "w") as f:
        json.dump(config, f)
    subprocess.run([program, "run", f"{folder}/config.json", "-q", f"--out={folder}/results"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{folder}/results/table.csv", newline="") as f:
        rows = {row["trial"]: row for row in csv.DictReader(f)}
    files = glob.glob(f"{folder}/results/models/*.safetensors")
    if len(files) != 2:
        sys.exit(f"FAILED: {len(files)} models, wanted 2")
    for file in files:
        trial = file.split("/")[-1].split(".")[0]
        with safe_open(file, "np") as f:
            shapes = {k.removeprefix("lowbit:"): json.loads(v)["shape"] for k, v in f.metadata().items() if k.startswith("lowbit:")}
        got = q.Lowbit(program, folder, backends)("q_model", {"x": x_test.reshape(300, -1)}, {"model": file})
        want = run(load_file(file), shapes, x_test)
        if got.dtype != want.dtype or got.tobytes() != want.tobytes():
            sys.exit(f"FAILED: {rows[trial]['format']}: {np.sum(got != want)} of {got.size} outputs differ from NumPy's")
        top1 = f"{100 * np.mean(got.argmax(1) == y_test):.4f}"
        if top1 != rows[trial]["top1"]:
            sys.exit(f"FAILED: {rows[trial]['format']}: top1 {top1}, the table says {rows[trial]['top1']}")
        print(f"{rows[trial]['format']}: {got.size} outputs equal NumPy's on {', '.join(backends)}; top1 {top1} as in the table")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
