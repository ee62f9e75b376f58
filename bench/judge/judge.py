#!/usr/bin/env python3
"""Measures drawn images with eyes that are not the model's own: the classifier that train.py trained.

    bench/judge/judge.py [--labels LABELS] IMAGES...

IMAGES: what `jointflow generate -o x.npy` or `sample -o x.npy` wrote (uint8 [n][28][28]), an array `images` (and
`labels`) in an .npz, or an IDX file. LABELS: 'rows' (the default: the n images are ten equal runs of 0, 1 ... 9, as
`generate` without --digit writes them), one digit for all, or a file: .npy, IDX, or the JSON that `--json` printed.

Each line has, beside the figure, what real digits get:
  agreement     images that the judge takes for their label; the judge's accuracy on the 10,000 test images
  Frechet       distance to the 60,000 training images in the judge's features; floors: n test, n training images
  by shares     the same with each label weighted to its share of the training set. A thousand of every digit are not
                what MNIST is (5,421 fives, 6,742 ones), and the plain distance counts that as if they were drawn badly;
                floors of both: as many real training images of these labels
  precision     share of images that lie within the k-NN radius (k = 3) of one of 5,000 training images;
  recall        share of those training images that lie within that of a drawn one; ceilings: n test images
  marginals     share of each label (and, by the judge, of each digit) minus that of the training set
Precision and recall: Kynkaanniemi et al., arXiv:1904.06991. Frechet distance: Heusel et al., arXiv:1706.08500, with
the trace of the root taken as sum sqrt(eigenvalues of S^1/2 T S^1/2): that matrix is symmetric and positive, so the
root of S T, which is neither, need not be computed.
"""
import argparse
import json
import pathlib

import numpy as np
import torch

from common import WEIGHTS, Judge, look, read_idx, read_mnist

NEIGHBOURS = 3
REFERENCE = 5000


def moments(features, weights=None):
    """Mean and covariance of float64 features; weights: of each, or all alike."""
    return np.average(features, 0, weights), np.cov(features, rowvar=False, aweights=weights)


def frechet(a, b):
    """Between two pairs (mean, covariance)."""
    values, vectors = np.linalg.eigh(a[1])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ b[1] @ root).clip(0)
    return ((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * np.sqrt(product).sum()


def distances(a, b):
    """Squared, [len(a)][len(b)]."""
    a, b = torch.from_numpy(a).float(), torch.from_numpy(b).float()
    return ((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T).clamp_(min=0)


def radii(a):
    """Squared distance of each to its k-th nearest other."""
    return torch.cat([distances(a[i:i + 1000], a).kthvalue(NEIGHBOURS + 1, 1).values for i in range(0, len(a), 1000)])


def covered(points, centres, radius):
    """Share of points within the radius of at least one centre."""
    hits = [(distances(points[i:i + 1000], centres) <= radius[None]).any(1) for i in range(0, len(points), 1000)]
    return torch.cat(hits).double().mean().item()


def precision_recall(features, reference, reference_radii):
    """Of at most REFERENCE of the features, evenly taken, so that both sides are equally many."""
    some = features[np.linspace(0, len(features) - 1, min(len(features), REFERENCE)).astype(int)]
    return covered(some, reference, reference_radii), covered(reference, some, radii(some))


def load_images(path):
    labels = None
    if path.endswith(".npz"):
        with np.load(path) as archive:
            images = archive["images"]
            labels = archive["labels"] if "labels" in archive else None
    else:
        images = np.load(path) if path.endswith(".npy") else read_idx(path)
    images = images.reshape(len(images), 28, 28) if images.size == len(images) * 784 else images
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise SystemExit(f"{path}: {images.dtype} {images.shape}; wanted uint8 [n][28][28]")
    return images, labels


def load_labels(what, n):
    if what == "rows":
        if n % 10:
            raise SystemExit(f"--labels=rows: {n} images are not ten equal rows")
        return np.repeat(np.arange(10), n // 10)
    if what.isdigit():
        return np.full(n, int(what))
    if what.endswith(".npy"):
        return np.load(what).astype(np.int64)
    if what.endswith(".json"):
        return np.array([i["label"] for i in json.loads(pathlib.Path(what).read_text())["images"]])
    return read_idx(what).astype(np.int64)


class Bench:
    """The judge and what real digits get from it; computed once and kept beside the weights."""

    def __init__(self, weights, data):
        kept = torch.load(weights, map_location="cpu")
        self.judge = Judge()
        self.judge.load_state_dict(kept["weights"])
        cache = pathlib.Path(weights).with_suffix(".real.npz")
        if not cache.exists() or cache.stat().st_mtime < pathlib.Path(weights).stat().st_mtime:
            self.measure_real(data, cache)
        with np.load(cache) as real:
            self.training, self.test = real["training"], real["test"]
            self.shares, self.accuracy = real["shares"], float(real["accuracy"])
        self.labels = read_mnist(data, "train")[1]
        self.moments = moments(self.training)
        self.order = np.random.default_rng(1).permutation(len(self.training))
        self.reference = self.training[self.order[:REFERENCE]]
        self.radii = radii(self.reference)

    def measure_real(self, data, cache):
        images, labels = read_mnist(data, "train")
        test, test_labels = read_mnist(data, "t10k")
        training, _ = look(self.judge, images)
        features, logits = look(self.judge, test)
        np.savez(cache, training=training.astype(np.float32), test=features.astype(np.float32),
                 shares=np.bincount(labels, minlength=10) / len(labels),
                 accuracy=(logits.argmax(1) == test_labels).mean())

    def floors(self, n):
        test = self.test[np.random.default_rng(2).permutation(len(self.test))[:n]]
        some = self.training[self.order[-min(n, len(self.training)):]]
        return {"test": (frechet(moments(test.astype(np.float64)), self.moments), len(test)),
                "training": (frechet(moments(some.astype(np.float64)), self.moments), len(some)),
                "precision_recall": precision_recall(test, self.reference, self.radii)}

    def weights(self, labels):
        """Of each image, so that every label has its share of the training set; None where one is missing."""
        counts = np.bincount(labels, minlength=10)
        return (self.shares / counts)[labels] if counts.all() else None

    def by_label(self, features, labels):
        """Frechet distances: plain, and by shares (None where a label is missing)."""
        weights = self.weights(labels)
        return (frechet(moments(features), self.moments),
                None if weights is None else frechet(moments(features, weights), self.moments))

    def real_of_these(self, labels):
        """by_label of as many training images of each label, or of all there are."""
        random = np.random.default_rng(3)
        of_each = [random.permutation(np.flatnonzero(self.labels == k))[:(labels == k).sum()] for k in range(10)]
        some = np.concatenate(of_each)
        return self.by_label(self.training[some].astype(np.float64), self.labels[some])

    def report(self, images, labels):
        features, logits = look(self.judge, images)
        seen, n = logits.argmax(1), len(images)
        agreement = (seen == labels).mean()
        plain, by_shares = self.by_label(features, labels)
        precision, recall = precision_recall(features.astype(np.float32), self.reference, self.radii)
        return {"n": n, "agreement": agreement, "agreement_se": float(np.sqrt(agreement * (1 - agreement) / n)),
                "agreement_of_each": [float((seen[labels == k] == k).mean()) if (labels == k).any() else None
                                      for k in range(10)],
                "frechet": plain, "frechet_by_shares": by_shares, "real_of_these": self.real_of_these(labels),
                "precision": precision, "recall": recall,
                "labels": (np.bincount(labels, minlength=10) / n).tolist(),
                "seen": (np.bincount(seen, minlength=10) / n).tolist()}


def print_report(name, r, floors, bench):
    test, training = floors["test"], floors["training"]
    limit = floors["precision_recall"]
    print(f"{name}: {r['n']} images")
    print(f"  agreement  {100 * r['agreement']:6.2f} % +- {100 * r['agreement_se']:.2f}"
          f"   (real test digits: {100 * bench.accuracy:.2f} %)")
    print(f"  Frechet    {r['frechet']:6.3f} = {r['frechet'] / test[0]:.2f} x the test set's"
          f"   (floors: {test[1]} test images {test[0]:.3f}, {training[1]} training images {training[0]:.3f},"
          f" those of these labels {r['real_of_these'][0]:.3f})")
    if r["frechet_by_shares"] is not None:
        print(f"  by shares  {r['frechet_by_shares']:6.3f} = {r['frechet_by_shares'] / test[0]:.2f} x the test set's"
              f"   (floor: training images of these labels {r['real_of_these'][1]:.3f})")
    print(f"  precision  {r['precision']:6.3f}, recall {r['recall']:.3f} = {r['recall'] / limit[1]:.3f} of its ceiling"
          f"   (ceilings: {limit[0]:.3f}, {limit[1]:.3f})")
    for what in ("labels", "seen"):
        off = 100 * (np.array(r[what]) - bench.shares)
        print(f"  {what:10s} {' '.join(f'{v:+5.1f}' for v in off)}   points off the training set's shares;"
              f" most {np.abs(off).max():.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("images", nargs="+")
    p.add_argument("--labels", help="'rows', a digit, or a file (default: those of an .npz, or else 'rows')")
    p.add_argument("--data", default="data/mnist", help="folder with MNIST's IDX files (default: %(default)s)")
    p.add_argument("--weights", default=str(WEIGHTS), help="the judge's weights (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    args = p.parse_args()

    torch.set_num_threads(args.threads)
    if not pathlib.Path(args.weights).exists():
        p.error(f"{args.weights}: no judge yet; bench/judge/train.py trains one")
    bench = Bench(args.weights, args.data)
    known = {}
    for path in args.images:
        images, labels = load_images(path)
        if args.labels or labels is None:
            labels = load_labels(args.labels or "rows", len(images))
        if len(labels) != len(images):
            raise SystemExit(f"{path}: {len(images)} images and {len(labels)} labels")
        if len(images) not in known:
            known[len(images)] = bench.floors(len(images))
        report = bench.report(images, labels)
        if args.json:
            print(json.dumps({"file": path, **report, "floors": known[len(images)], "accuracy": bench.accuracy}))
        else:
            print_report(path, report, known[len(images)], bench)


if __name__ == "__main__":
    main()
