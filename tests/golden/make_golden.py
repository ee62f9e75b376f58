#!/usr/bin/python3
"""Writes tests/golden/*.safetensors. Needs Debian's python3-torch and python3-numpy; the tests need only the files.

    /usr/bin/python3 tests/golden/make_golden.py

Parameters are not stored but follow a formula (values() below, and the same in tests/unit/golden.c), so that the
files stay small: all of them are random, the zero-initialised ones too, or half of the network would be silent.
"""

import json
import os
import struct

import numpy as np
import torch

import network

CASES = {
    "small": (network.Config(12, 8, 1, 5, 8, 1, 2, 4, 3, 0), 3),
    "colour": (network.Config(8, 12, 3, 3, 8, 2, 1, 2, 2, 4), 2),
    "start": (network.Config(28, 28, 1, 10, 16, 1, 2, 4, 8, 0), 2),
}
SAMPLED = 64  # elements kept of each gradient of the largest case


def values(name, shape):
    """Element i of a parameter: u = h / 2^31 - 1 in [-1, 1) from a hash h of name and i, then scaled by its kind."""
    h0 = 2166136261
    for byte in name.encode():
        h0 = ((h0 ^ byte) * 16777619) & 0xFFFFFFFF
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    m = np.uint64(0xFFFFFFFF)
    h = (np.uint64(h0) + i * np.uint64(2654435761)) & m
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(2246822507)) & m
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(3266489909)) & m
    h = h ^ (h >> np.uint64(16))
    u = h.astype(np.float64) / 2147483648.0 - 1.0
    if name.endswith(".weight"):
        v = u * (1.7 / np.sqrt(np.float64(np.prod(shape[:-1]))))
    elif name.endswith(".scale"):
        v = 1.0 + 0.3 * u
    elif name.endswith(".positions"):
        v = 0.5 * u
    else:
        v = 0.1 * u
    return v.astype(np.float32).reshape(shape)


def save(path, tensors, metadata):
    """safetensors: 8 bytes of header length, a JSON header, the tensors' bytes."""
    header, at, blobs = {"__metadata__": metadata}, 0, []
    for name, array in tensors.items():
        blob = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def make(path, cfg, batch, seed, sampled):
    rng = np.random.Generator(np.random.PCG64(seed))
    f32 = np.float32
    tensors = {
        "x": rng.standard_normal((batch, cfg.height, cfg.width, cfg.image_channels)).astype(f32),
        "y": rng.standard_normal((batch, cfg.classes)).astype(f32),
        # multiples of 1/1024 that include both ends: the clocks themselves carry no rounding
        "t_img": (rng.integers(0, 1025, batch) / 1024).astype(f32),
        "t_lab": (rng.integers(0, 1025, batch) / 1024).astype(f32),
        "target": rng.standard_normal((batch, cfg.height, cfg.width, cfg.image_channels)).astype(f32),
        "class": rng.integers(0, cfg.classes, batch).astype(f32),
    }
    tensors["t_img"][0], tensors["t_lab"][0] = 0.0, 1.0
    if cfg.augment:
        tensors["augment"] = rng.standard_normal((batch, cfg.augment)).astype(f32)

    p = {n: torch.tensor(values(n, s), dtype=torch.float64, requires_grad=True) for n, s in network.shapes(cfg).items()}
    d = {n: torch.tensor(a, dtype=torch.float64) for n, a in tensors.items()}
    velocity, logits = network.Network(cfg, p).forward(d["x"], d["y"], d["t_img"], d["t_lab"], d.get("augment"))
    loss = network.loss(velocity, d["target"], logits, d["class"].long())
    loss.backward()

    tensors["velocity"] = velocity.detach().numpy()
    tensors["logits"] = logits.detach().numpy()
    tensors["loss"] = np.array([loss.item()])
    largest = 0.0
    for name in sorted(p):
        g = p[name].grad.numpy()
        largest = max(largest, np.abs(g).max())
        if sampled and g.size > SAMPLED:
            g = g.reshape(-1)[np.arange(SAMPLED) * g.size // SAMPLED]
        tensors["grad." + name] = g
    metadata = {k: str(v) for k, v in vars(cfg).items()}
    metadata["batch"] = str(batch)
    metadata["parameters"] = str(sum(v.numel() for v in p.values()))
    metadata["largest_gradient"] = repr(float(largest))
    save(path, tensors, metadata)
    print(path, metadata["parameters"], "parameters, loss", loss.item(), os.path.getsize(path), "bytes")


def main():
    torch.set_num_threads(1)
    folder = os.path.dirname(os.path.abspath(__file__))
    for seed, (name, (cfg, batch)) in enumerate(CASES.items()):
        make(os.path.join(folder, name + ".safetensors"), cfg, batch, seed, name == "start")


if __name__ == "__main__":
    main()
