#!/usr/bin/python3
"""jointflow-train on pictures as people have them: the README's own lines on a folder of JPEGs and PNGs of unequal sizes,
NumPy arrays, classes by name, and what is told before the first step or instead of a useless model."""
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.dont_write_bytecode = True
import jf  # noqa: E402
from training_common import lines, load  # noqa: E402

BUILD = os.path.abspath(jf.BUILD)
SCRATCH = tempfile.mkdtemp(prefix="jf-pictures-")
TINY = ["--channels=8", "--layers=1", "--heads=2", "--label-tokens=4", "--eval-drawn=0", "--eval-ode=0", "-j", "1"]


def run(*command, expect=0):
    done = subprocess.run([os.path.join(BUILD, command[0]), *map(str, command[1:])], cwd=SCRATCH, text=True, timeout=900,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != expect:
        raise AssertionError(f"{command}: exit status {done.returncode}, not {expect}: {done.stderr}")
    return done.stdout + done.stderr


def write(name, data):
    os.makedirs(os.path.dirname(os.path.join(SCRATCH, name)), exist_ok=True)
    with open(os.path.join(SCRATCH, name), "wb") as file:
        file.write(data)


def picture(kind, i):
    """A cat is light above and dark below, a dog the other way; sizes and colours differ."""
    rng = np.random.RandomState(i)
    height, width, channels = 20 + i % 7, 24 + i % 5, 3 if i % 3 else 1
    grey = np.where(np.arange(height)[:, None, None] * 2 < height, 220, 40) + rng.randint(-20, 20, (height, width, channels))
    grey = np.clip(grey if kind == "cat" else 255 - grey, 0, 255).astype(np.uint8)
    return (jf.jpeg if i % 2 else jf.png)(grey.tobytes(), width, height, channels), "jpg" if i % 2 else "png"


def make_folders(folder, count, first=0):
    for kind in ("cat", "dog"):
        for i in range(first, first + count):
            data, ending = picture(kind, i)
            write(f"{folder}/{kind}/{i:03}.{ending}", data)


def test_readme():
    """README's lines for one's own pictures, as they stand there, but for a network and a length that take seconds."""
    with open(os.path.join(jf.SRC, "README.md"), encoding="utf-8") as file:
        text = file.read()
    asked = [x.strip() for x in text.splitlines() if x.strip().startswith("build/jointflow") and "pets.safetensors" in x]
    training = next(x for x in asked if x.startswith("build/jointflow-train "))
    drawing = next(x for x in asked if x.startswith("build/jointflow generate "))
    make_folders("pictures", 20)
    write("pictures/cat/notes.txt", b"x")
    said = run("jointflow-train", *training.split()[1:], "--steps=40", "--channels=8", "--layers=1", "--heads=2",
               "--eval-drawn=2", "--eval-steps=3", "--eval-ode=2", "-j", "1")
    assert "pictures/cat: 1 file is neither PNG nor JPEG, passed over: notes.txt" in said, said
    metadata, _ = load(os.path.join(SCRATCH, "pets.safetensors"))
    assert metadata["preprocess"] == "none" and metadata["class_names"] == '["cat","dog"]', metadata
    run("jointflow", *drawing.split()[1:], "--steps", "2")
    # what the model was trained with holds when it is used
    answer = run("jointflow", "classify", "--json", "-m", "pets.safetensors", "pictures/dog/001.jpg")
    assert '"method":"none"' in answer.replace(" ", ""), answer
    # without --size the message says what to add
    said = run("jointflow-train", "--data", "pictures", "-o", "x", expect=1)
    assert "makes them alike" in said, said


def test_arrays_and_names():
    """A .npz learns; eval matches class folders by name, whatever the order, and refuses what it does not know."""
    rng = np.random.RandomState(1)
    labels = np.arange(200) % 2
    images = (rng.randint(0, 60, (200, 8, 8)) + 180 * labels[:, None, None]).astype(np.uint8)
    np.savez_compressed(os.path.join(SCRATCH, "two.npz"), images=images, labels=labels)
    run("jointflow-train", "--data", "two.npz", "-o", "two.model", "--steps=150", "-q", *TINY)
    said = run("jointflow", "eval", "-m", "two.model", "--data", "two.npz")
    assert "accuracy   100.00 %" in said, said
    # the class 1 alone is a subset; a class that the model has not is named
    for i in range(3):
        write(f"some/1/{i}.png", jf.png(images[2 * i + 1].tobytes(), 8, 8))
        write(f"some/0/{i}.png", jf.png(images[2 * i].tobytes(), 8, 8))
    said = run("jointflow", "eval", "-m", "two.model", "--data", "some")
    assert "accuracy   100.00 %" in said and "1  100.00 % of 3" in said, said
    write("some/zebra/0.png", jf.png(images[0].tobytes(), 8, 8))
    said = run("jointflow", "eval", "-m", "two.model", "--data", "some", expect=1)
    assert "class 'zebra' is none of the model's (0, 1)" in said, said
    np.savez(os.path.join(SCRATCH, "float.npz"), images=images / 255, labels=labels)
    said = run("jointflow-train", "--data", "float.npz", "-o", "x", expect=1)
    assert "images of type f8; uint8" in said, said
    np.savez(os.path.join(SCRATCH, "odd.npz"), images=images, labels=np.where(labels == 1, 255, 0))
    said = run("jointflow-train", "--data", "odd.npz", "-o", "x", expect=1)
    assert "100 images have the label 255, and no image has label 1" in said, said


def test_checked_first():
    """Nothing is trained when the end could not be reached."""
    run_bad = lambda *options: run("jointflow-train", "--data", "two.npz", *TINY, *options, expect=1)  # noqa: E731
    os.makedirs(os.path.join(SCRATCH, "folder"), exist_ok=True)
    assert "is a folder; --output" in run_bad("-o", "folder")
    assert "none of the model's" in run_bad("-o", "x", "--test", "some")
    assert "nowhere" in run_bad("-o", "x", "--test", "nowhere")
    assert "nowhere/s.png: its folder cannot be written" in run_bad("-o", "x", "--eval-drawn=1", "--sheet", "nowhere/s.png")
    assert "same file" in run_bad("-o", "x", "--state", "x")
    assert "would write over the data" in run_bad("-o", "two.npz")
    assert "--batch=500 is more than the 180 images" in run_bad("-o", "x", "--batch=500")
    assert not os.path.exists(os.path.join(SCRATCH, "x"))


def test_says_so():
    """A run that diverges ends with an error and its last good state; one that learnt nothing says it."""
    said = run("jointflow-train", "--data", "two.npz", "-o", "wild", "--lr=10", "--clip=0", "--steps=2000", *TINY, expect=1)
    assert "the training has diverged" in said and "--lr=10" in said and "wild.state" in said, said
    assert not os.path.exists(os.path.join(SCRATCH, "wild")) and os.path.exists(os.path.join(SCRATCH, "wild.state"))
    rng = np.random.RandomState(2)
    np.savez(os.path.join(SCRATCH, "noise.npz"), images=rng.randint(0, 256, (200, 8, 8)).astype(np.uint8),
             labels=np.arange(200) % 2)
    said = run("jointflow-train", "--data", "noise.npz", "-o", "noise.model", "--steps=20", "--log", "noise.log", *TINY)
    assert "warning: the classes are not told apart" in said, said
    assert [x for x in lines(os.path.join(SCRATCH, "noise.log")) if x["event"] == "warning"]


def main():
    failures = number = 0
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
            number += 1
            try:
                test()
                print(f"ok {number} - pictures: {name[5:].replace('_', ' ')}", flush=True)
            except Exception as problem:  # pylint: disable=broad-except
                failures += 1
                print(f"# {problem!r}\nnot ok {number} - pictures: {name[5:].replace('_', ' ')}", flush=True)
    print(f"1..{number}")
    shutil.rmtree(SCRATCH)
    sys.exit(1 if failures else 0)


main()
