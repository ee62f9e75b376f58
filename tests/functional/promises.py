#!/usr/bin/python3
"""The figures that models/mnist.md must reach, on all of the test set; the same bytes on every machine, so that this fails
for one reason only: another model, or an engine that computes something else. It takes a minute of two processors, so it
is apart from cli.py, which the tarball's build runs too. TAP on standard output."""

import json
import os
import subprocess
import sys

TOP = os.environ.get("top_srcdir", os.path.abspath(os.path.join(os.path.dirname(__file__), "../..")))
BUILD = os.environ.get("top_builddir", os.path.join(TOP, "build"))
MNIST = os.path.join(TOP, "data/mnist")
TRAINED = os.path.join(TOP, "models/mnist.safetensors")


def evaluate(*options):
    done = subprocess.run([os.path.join(BUILD, "jointflow"), "eval", *options, "--json", "--model", TRAINED], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done
    return json.loads(done.stdout)


def classifies(least, *options):
    told = evaluate("--data", MNIST, *options)["classification"]
    assert told["images"] == 10000 and told["accuracy"] >= least and told["ece"] <= 0.005, told


def test_posterior():
    classifies(0.996, "--method", "posterior")


def test_sample():
    classifies(0.995, "--method", "sample", "--samples", "1", "--steps", "20")


def test_draws():
    drawn = evaluate("--generate")
    assert drawn["generate"]["guidance"] == 1 and drawn["generate"]["images"] == 1000, drawn
    assert drawn["generate"]["agreement"] >= 0.98 and drawn["sample"]["agreement"] >= 0.97, drawn


def main():
    if os.environ.get("JF_SANITIZED") or not os.path.exists(TRAINED):
        print("skipped: " + ("takes minutes in a sanitized build" if os.path.exists(TRAINED) else f"{TRAINED} is not there"))
        return 77
    tests, failed = (test_posterior, test_sample, test_draws), 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        name = test.__name__[5:]
        try:
            test()
            print(f"ok {number} - promises: {name}", flush=True)
        except Exception as problem:  # every kind of failure is one failed test
            failed += 1
            print(f"not ok {number} - promises: {name}\n  # {type(problem).__name__}: {problem}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
