"""What the judge's two programs share: its network, its data, its features."""
import gzip
import pathlib
import struct

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = HERE / "cache" / "judge.pt"


def read_idx(path):
    """An IDX file of bytes, plain or gzipped, as an array."""
    data = pathlib.Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    zero, kind, dimensions = struct.unpack(">HBB", data[:4])
    if zero or kind != 8 or not dimensions:
        raise SystemExit(f"{path}: not an IDX file of bytes")
    shape = struct.unpack(f">{dimensions}I", data[4:4 + 4 * dimensions])
    if len(data) != 4 + 4 * dimensions + int(np.prod(shape)):
        raise SystemExit(f"{path}: its length does not fit its header")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_mnist(folder, part):
    """Images [n][28][28] and labels [n] of 'train' or 't10k'."""
    found = []
    for what in ("images-idx3", "labels-idx1"):
        name = f"{part}-{what}-ubyte"
        paths = [p for p in (pathlib.Path(folder) / name, pathlib.Path(folder) / f"{name}.gz") if p.exists()]
        if not paths:
            raise SystemExit(f"{folder}: no {name}; data/fetch-mnist fetches the training images")
        found.append(read_idx(paths[0]))
    return found[0], found[1].astype(np.int64)


def tensor(images):
    """uint8 [n][28][28] -> float [n][1][28][28] in [-1, 1]."""
    return torch.from_numpy(images.astype(np.float32)[:, None] / 127.5 - 1)


class Judge(nn.Module):
    """Six convolutions; the 128 numbers before the last layer are the features that distances are taken in."""

    def __init__(self):
        super().__init__()

        def conv(a, b, stride=1):
            return [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]

        self.trunk = nn.Sequential(*conv(1, 24), *conv(24, 32, 2), *conv(32, 32), *conv(32, 64, 2), *conv(64, 64),
                                   nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 128, bias=False),
                                   nn.BatchNorm1d(128), nn.ReLU(inplace=True))
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        features = self.trunk(x)
        return features, self.head(features)


def look(judge, images, batch=500):
    """Features [n][128] and logits [n][10] of uint8 images, as float64 and float32."""
    features, logits = [], []
    judge.eval()
    with torch.no_grad():
        for i in range(0, len(images), batch):
            f, z = judge(tensor(images[i:i + batch]))
            features.append(f.numpy())
            logits.append(z.numpy())
    return np.concatenate(features).astype(np.float64), np.concatenate(logits)
