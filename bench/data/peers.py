#!/usr/bin/python3
"""What plain methods make of a data set: logistic regression, 3 nearest neighbours, a support vector machine with RBF
kernel, by scikit-learn (Debian's python3-sklearn), on the same split as jointflow-train with --test.

    bench/data/peers.py FOLDER...
    bench/data/peers.py FOLDER --drawn MODEL

Pixels in 0..1, no other preparation; the SVM with C = 10 and gamma "scale". At most 10,000 training images of each set
go into each (the SVM is quadratic); the number is printed. +- is one standard error.

With --drawn the SVM alone, which then judges images that build/jointflow draws from the model, 50 of each class: how
many are what was asked for. It never saw the model, and is itself wrong as often as it says.
"""
import gzip
import os
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

MOST = 10000
DRAWN = 50
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read_idx(path):
    data = gzip.open(path + ".gz").read() if os.path.exists(path + ".gz") else open(path, "rb").read()
    rank = data[3]
    shape = struct.unpack(">" + "I" * rank, data[4:4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_folders(path):
    from PIL import Image
    images, labels = [], []
    for k, name in enumerate(sorted(os.listdir(path))):
        for file in sorted(os.listdir(os.path.join(path, name))):
            images.append(np.asarray(Image.open(os.path.join(path, name, file))))
            labels.append(k)
    return np.array(images), np.array(labels)


def load(folder, part):
    if os.path.isdir(os.path.join(folder, "train")):
        images, labels = read_folders(os.path.join(folder, "train" if part == "train" else "test"))
    else:
        images = read_idx(os.path.join(folder, part + "-images-idx3-ubyte"))
        labels = read_idx(os.path.join(folder, part + "-labels-idx1-ubyte"))
    return images.reshape(len(images), -1).astype(np.float32) / 255, labels


def told(share, n):
    return f"{100 * share:.1f} % +- {100 * (share * (1 - share) / n) ** 0.5:.1f}"


def judge(method, model, classes):
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "drawn.npy")
        subprocess.run([os.path.join(TOP, "build/jointflow"), "generate", "--quiet", "--model", model, "--count", str(DRAWN),
                        "--seed", "7", "--output", path], check=True)
        drawn = np.load(path)
    asked = np.repeat(np.arange(classes), DRAWN)
    agree = method.predict(drawn.reshape(len(drawn), -1).astype(np.float32) / 255) == asked
    print(f"  {len(asked)} drawn images, what was asked for in the SVM's eyes: {told(agree.mean(), len(asked))} "
          f"(chance {100 / classes:.1f})")


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    model = sys.argv[3] if len(sys.argv) == 4 and sys.argv[2] == "--drawn" else None
    for folder in sys.argv[1:2] if model else sys.argv[1:]:
        x, y = load(folder, "train")
        test, right = load(folder, "t10k")
        if len(x) > MOST:
            chosen = np.random.RandomState(20).permutation(len(x))[:MOST]
            x, y = x[chosen], y[chosen]
        print(f"{folder}: {len(x)} to learn from, {len(test)} to test")
        methods = {"logistic regression": LogisticRegression(max_iter=300), "3 nearest neighbours": KNeighborsClassifier(3),
                   "SVM": SVC(C=10)}
        for name, method in list(methods.items())[2 if model else 0:]:
            begun = time.process_time()
            score = method.fit(x, y).score(test, right)
            print(f"  {name}: {told(score, len(test))} ({time.process_time() - begun:.0f} s)", flush=True)
        if model:
            judge(methods["SVM"], model, len(set(y)))


main()
