"""What the tests of jointflow-train share: small real data, a look into safetensors files."""
import gzip
import json
import os
import struct

TOP = os.environ.get("top_srcdir", ".")


def make_data(folder, count):
    """Digits of the MNIST test set, the middle 24 x 24 averaged to 12 x 12, so that a run takes seconds: `count` to
    train on, the 100 after them as the test set."""
    images = gzip.open(os.path.join(TOP, "data/mnist/t10k-images-idx3-ubyte.gz")).read()[16:]
    labels = gzip.open(os.path.join(TOP, "data/mnist/t10k-labels-idx1-ubyte.gz")).read()[8:]
    os.mkdir(folder)
    for part, first, end in (("train", 0, count), ("t10k", count, count + 100)):
        out = bytearray()
        for i in range(first, end):
            image = images[784 * i : 784 * (i + 1)]
            for y in range(2, 26, 2):
                for x in range(2, 26, 2):
                    at = 28 * y + x
                    out.append((image[at] + image[at + 1] + image[at + 28] + image[at + 29]) // 4)
        with open(os.path.join(folder, part + "-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">IIII", 0x803, end - first, 12, 12) + bytes(out))
        with open(os.path.join(folder, part + "-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">II", 0x801, end - first) + labels[first:end])


def read(path):
    with open(path, "rb") as file:
        return file.read()


def load(path):
    """Metadata and tensors' bytes of a safetensors file."""
    data = read(path)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    return metadata, {k: data[8 + size + v["data_offsets"][0] : 8 + size + v["data_offsets"][1]]
                      for k, v in header.items()}


def lines(path):
    """The JSON lines of a log."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def same_weights(a, b):
    """Of two models and of their states, bit for bit."""
    for suffix in ("", ".state"):
        first, second = load(a + suffix)[1], load(b + suffix)[1]
        assert first.keys() == second.keys()
        for name in first:
            assert first[name] == second[name], f"{name} of {a}{suffix} and {b}{suffix} differs"
