#!/usr/bin/python3
"""The mean of the weights of models of one network: what lies between two fine-tunings of the same model.

    bench/average.py MODEL... -o FILE

Metadata are the first model's. What was calibrated belongs to the weights of each and is left out: `jointflow-train --init
FILE --lr 0 --steps 1 --ship last` measures the mean, fits its temperature and calibrates it. Wortsman et al., arXiv:2203.05482.
"""
import argparse
import json
import struct

import numpy as np


def load(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(size)), file.read()
    metadata = header.pop("__metadata__")
    tensors = {name: np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"])
               for name, t in header.items() if not name.startswith("familiarity.")}
    return metadata, tensors


def save(path, metadata, tensors):
    header, at = {"__metadata__": metadata}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.tobytes())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", metavar="MODEL")
    p.add_argument("-o", "--output", required=True, metavar="FILE")
    args = p.parse_args()
    loaded = [load(path) for path in args.models]
    metadata, first = loaded[0]
    for path, (_, tensors) in zip(args.models, loaded):
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in first.items()}:
            raise SystemExit(f"{path}: another network than {args.models[0]}")
    metadata.pop("label_bias", None)
    save(args.output, metadata, {n: np.mean([t[n] for _, t in loaded], 0, dtype=np.float64).astype("<f4") for n in first})


main()
