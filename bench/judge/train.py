#!/usr/bin/env python3
"""Trains the judge: a classifier of its own, on the 60,000 training images only, that looks at what jointflow draws.

It shares nothing with jointflow but the training images: other code, another network, another seed. What it says is
measured, never trained on.

    bench/judge/train.py --data data/mnist
"""
import argparse
import copy
import math
import time

import torch
from torch import nn

from common import WEIGHTS, Judge, look, read_mnist, tensor


def distort(x, generator):
    """Rotation up to 12 degrees, 10 % of scale and aspect, shear, shifts up to 2 pixels; each image its own."""
    n = len(x)
    u = 2 * torch.rand(6, n, generator=generator) - 1
    angle, shear = u[0] * math.radians(12), u[1] * 0.15
    sx, sy = torch.exp(0.1 * (u[2] + 0.5 * u[3])), torch.exp(0.1 * (u[2] - 0.5 * u[3]))
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() * sx, (shear - angle.sin()) * sx
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() * sy, angle.cos() * sy
    theta[:, 0, 2], theta[:, 1, 2] = u[4] / 7, u[5] / 7
    grid = nn.functional.affine_grid(theta, x.shape, align_corners=False)
    return nn.functional.grid_sample(x + 1, grid, align_corners=False) - 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", default="data/mnist", help="folder with MNIST's IDX files (default: %(default)s)")
    p.add_argument("--output", default=str(WEIGHTS), help="the judge's weights (default: %(default)s)")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--seed", type=int, default=20201)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(args.seed + 1)
    images, labels = read_mnist(args.data, "train")
    x, y = tensor(images), torch.from_numpy(labels)
    judge = Judge()
    mean = copy.deepcopy(judge)
    steps_per_epoch = len(x) // 128
    steps = args.epochs * steps_per_epoch
    optimiser = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.15)
    begun = time.monotonic()
    for epoch in range(args.epochs):
        order = torch.randperm(len(x), generator=generator)
        judge.train()
        total = 0.0
        for s in range(steps_per_epoch):
            index = order[s * 128:(s + 1) * 128]
            loss = nn.functional.cross_entropy(judge(distort(x[index], generator))[1], y[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            with torch.no_grad():
                for a, b in zip(mean.state_dict().values(), judge.state_dict().values()):
                    a.copy_(b) if not a.is_floating_point() else a.lerp_(b, 0.005)
        print(f"epoch {epoch + 1}: loss {total / steps_per_epoch:.4f}, {time.monotonic() - begun:.0f} s", flush=True)
    path = type(WEIGHTS)(args.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weights": mean.state_dict(), "seed": args.seed, "epochs": args.epochs}, path)
    test_images, test_labels = read_mnist(args.data, "t10k")
    right = (look(mean, test_images)[1].argmax(1) == test_labels).mean()
    print(f"{path}: {100 * right:.2f} % of the 10,000 test images right")


if __name__ == "__main__":
    main()
