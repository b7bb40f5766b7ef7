# SPDX-License-Identifier: MIT
"""Writes test/data/nn/*.safetensors with PyTorch (its README.md says what lies there). The only script here that needs PyTorch, any version
from 1.13 on; Debian's package python3-torch will do: /usr/bin/python3 test/oracle/make_nn_dumps.py [FOLDER]

Inputs and parameters are binary32; everything that follows from them is computed and stored in binary64.
"""
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "data" / "nn"
TAGS = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32"}


def save(name, tensors, **metadata):
    """A safetensors file: eight bytes of length, JSON, data; largest alignment first, as the reference writer has it."""
    order = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = {k: str(v) for k, v in metadata.items()}
    for n in order:
        t = tensors[n].detach().contiguous()
        raw = t.numpy().tobytes()
        header[n] = {"dtype": TAGS[t.dtype], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (FOLDER / name).write_bytes(len(text).to_bytes(8, "little") + text + data)


def f32(*shape, scale=1.0):
    return (torch.randn(*shape, dtype=torch.float64) * scale).float()


def leaf(t):
    return t.double().requires_grad_()


def with_gradients(y, dy, **leaves):
    """y and the gradients d<name> of sum(y dy)."""
    y.backward(dy.double())
    return {"y": y, **{f"d{n}": v.grad for n, v in leaves.items()}}


def dense():
    x, weight, bias, dy = f32(7, 13), f32(5, 13, scale=0.3), f32(5), f32(7, 5)
    lx, lw, lb = leaf(x), leaf(weight), leaf(bias)
    made = with_gradients(F.linear(lx, lw, lb), dy, x=lx, weight=lw, bias=lb)
    save("dense.safetensors", {"x": x, "weight": weight, "bias": bias, "dy": dy, **made})


def conv2d(stride, padding, kernel, size):
    x, weight, bias = f32(3, 2, *size), f32(4, 2, *kernel, scale=0.4), f32(4)
    lx, lw, lb = leaf(x), leaf(weight), leaf(bias)
    y = F.conv2d(lx, lw, lb, stride=stride, padding=padding)
    dy = f32(*y.shape)
    made = with_gradients(y, dy, x=lx, weight=lw, bias=lb)
    save(f"conv2d_s{stride}p{padding}.safetensors", {"x": x, "weight": weight, "bias": bias, "dy": dy, **made}, stride=stride, padding=padding)


def activations():
    x, dy = f32(6, 11, scale=2), f32(6, 11)
    x[0, :9] = torch.tensor([0.0, -0.0, 1e-40, -1e-40, 30.0, -30.0, 90.0, -90.0, 1e-4])
    alpha = float(torch.tensor(1.1))  # as binary32 has it
    out = {"x": x, "dy": dy}
    for name, f in {"relu": F.relu, "scaled_relu": lambda v: alpha * F.relu(v), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
                    "softmax": lambda v: F.softmax(v, 1)}.items():
        lx = leaf(x)
        made = with_gradients(f(lx), dy, x=lx)
        out |= {f"{name}.{k}": v for k, v in made.items()}
    save("activations.safetensors", out)


def losses():
    rows, cols = 6, 10
    x, labels = f32(rows, cols, scale=3), torch.randint(0, cols, (rows,))
    x[1, 3], x[2, 4] = 60.0, -60.0
    target = F.one_hot(labels, cols).double()
    out = {"x": x, "labels": labels.int()}
    for name, per_row in {"cross_entropy": lambda v: F.cross_entropy(v, labels, reduction="none"),
                          "mse_mean": lambda v: F.mse_loss(v, target, reduction="none").mean(1),
                          "mse_half": lambda v: F.mse_loss(v, target, reduction="none").sum(1) / 2}.items():
        lx = leaf(x)
        loss = per_row(lx)
        loss.mean().backward()
        out |= {f"{name}.loss": loss, f"{name}.dx": lx.grad}
    save("losses.safetensors", out)


def cnn():
    batch, steps = 7, 5
    x, y = torch.rand(batch * steps, 1, 10, 10, dtype=torch.float64).float(), torch.arange(batch * steps) * 3 % 5
    before = {"0.weight": f32(4, 1, 3, 3, scale=0.4), "0.bias": f32(4, scale=0.1), "2.weight": f32(16, 100, scale=0.15),
              "2.bias": f32(16, scale=0.1), "3.weight": f32(5, 16, scale=0.3), "3.bias": f32(5, scale=0.1)}

    def forward(p, v):
        v = F.relu(F.conv2d(v, p["0.weight"], p["0.bias"], stride=2, padding=1)).flatten(1)
        v = torch.tanh(F.linear(v, p["2.weight"], p["2.bias"]))
        return F.linear(v, p["3.weight"], p["3.bias"])

    def train(n, momentum, decay):
        p = {k: leaf(v) for k, v in before.items()}
        as_f32 = [float(torch.tensor(v)) for v in (0.1, momentum, decay)]
        sgd = torch.optim.SGD(p.values(), lr=as_f32[0], momentum=as_f32[1], weight_decay=as_f32[2])
        seen = []
        for i in range(n):
            part = slice(i * batch, (i + 1) * batch)
            logits = forward(p, x[part].double())
            loss = F.cross_entropy(logits, y[part])
            sgd.zero_grad()
            loss.backward()
            if i == 0:
                first = {"logits": logits, **{f"{k}.grad": v.grad.clone() for k, v in p.items()}}
            sgd.step()
            seen.append(loss.detach())
        return p, torch.stack(seen), first

    save("cnn_data.safetensors", {"x": x, "y": y.int()})
    save("cnn_before.safetensors", before)
    p, loss, first = train(1, 0, 0)
    save("cnn_after1.safetensors", {**p, "loss": loss, **first})
    p, loss, _ = train(5, 0.9, 1e-4)
    save("cnn_after5.safetensors", {**p, "loss": loss})


torch.manual_seed(20240229)
torch.set_num_threads(1)
FOLDER.mkdir(parents=True, exist_ok=True)
dense()
for case in (1, 0, (3, 2), (9, 8)), (1, 1, (3, 3), (5, 7)), (2, 0, (2, 3), (9, 11)), (2, 1, (3, 2), (8, 7)):
    conv2d(*case)
activations()
losses()
cnn()
