#!/usr/bin/python3
"""jointflow-train on pictures as people have them: the README's own lines on a folder of JPEGs and PNGs of unequal sizes,
NumPy arrays, classes by name, and what is told before the first step or instead of a useless model."""
import json
import os
import re
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
    assert "pictures/cat: 1 file is neither PNG nor JPEG, skipped: notes.txt" in said, said
    metadata, _ = load(os.path.join(SCRATCH, "pets.safetensors"))
    assert metadata["preprocess"] == "none" and metadata["class_names"] == '["cat","dog"]', metadata
    run("jointflow", *drawing.split()[1:], "--steps", "2")
    assert re.search(r"^preprocess +none$", run("jointflow", "info", "-m", "pets.safetensors"), re.M)
    assert json.loads(run("jointflow", "info", "--json", "-m", "pets.safetensors"))["preprocess"] == "none"
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
    assert "class 'zebra' is not one of the model's (0, 1)" in said, said
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
    assert "not one of the model's" in run_bad("-o", "x", "--test", "some")
    assert "nowhere" in run_bad("-o", "x", "--test", "nowhere")
    assert "nowhere/s.png: its folder cannot be written" in run_bad("-o", "x", "--eval-drawn=1", "--sheet", "nowhere/s.png")
    assert "same file" in run_bad("-o", "x", "--state", "x")
    assert "would write over the data" in run_bad("-o", "two.npz")
    assert "--batch=500 is more than the 180 images" in run_bad("-o", "x", "--batch=500")
    assert not os.path.exists(os.path.join(SCRATCH, "x"))


def test_room_on_disk():
    """A disk that is too small for the model and its state is told before the first step."""
    os.makedirs(os.path.join(SCRATCH, "small"), exist_ok=True)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64k none small || exit 99; exec "$@"', "sh",
                           os.path.join(BUILD, "jointflow-train"), "--data", "two.npz", "-o", "small/x", *TINY],
                          cwd=SCRATCH, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        raise Skipped("no file system may be mounted here")
    assert done.returncode == 1, done
    assert re.search(r"small/x: the disk has room for 0\.1 MB, and \d\.\d are needed", done.stderr), done.stderr
    assert "epoch" not in done.stderr, done.stderr


def set_aside(name, flip, count=40):
    """Two classes, light and dark, as in two.npz; flip: each with the other's label."""
    rng = np.random.RandomState(3)
    labels = np.arange(count) % 2
    images = (rng.randint(0, 60, (count, 8, 8)) + 180 * labels[:, None, None]).astype(np.uint8)
    np.savez(os.path.join(SCRATCH, name), images=images, labels=1 - labels if flip else labels)


def test_validation_and_the_best_state():
    """--validation is what the states are judged by. Where it contradicts the training data an early state is the best,
    and that one ships, not the last."""
    set_aside("right.npz", False)
    set_aside("wrong.npz", True)
    said = run("jointflow-train", "--data", "two.npz", "--validation", "right.npz", "-o", "right.model", "--steps=160", *TINY)
    assert "200 images of 8 x 8 x 1 in 2 classes, 40 more kept back" in said, said
    facts, _ = load(os.path.join(SCRATCH, "right.model"))
    assert facts["holdout_images"] == "40" and float(facts["holdout_accuracy"]) == 1, facts
    said = run("jointflow-train", "--data", "two.npz", "--validation", "wrong.npz", "-o", "early.model", "--steps=160",
               "--log", "early.log", *TINY)
    facts, _ = load(os.path.join(SCRATCH, "early.model"))
    seen = [x for x in lines(os.path.join(SCRATCH, "early.log")) if x["event"] in ("check", "evaluation")]
    best = min(seen, key=lambda x: x["loss"])
    assert int(facts["best_step"]) == best["step"] < seen[-1]["step"] == 160, (facts, seen)
    assert abs(float(facts["holdout_nll"]) - best["nll"]) < 1e-5 < seen[-1]["nll"] - best["nll"], (facts, seen)
    # what is in the file is that state
    told = json.loads(run("jointflow", "eval", "--json", "-m", "early.model", "--data", "wrong.npz"))["classification"]
    assert told["accuracy"] == best["accuracy"] > seen[-1]["accuracy"], (told, best, seen[-1])
    # unless the last is wished for
    said = run("jointflow-train", "--data", "two.npz", "--validation", "wrong.npz", "-o", "last.model", "--steps=160",
               "--ship=last", "--log", "last.log", *TINY)
    facts, _ = load(os.path.join(SCRATCH, "last.model"))
    seen = [x for x in lines(os.path.join(SCRATCH, "last.log")) if x["event"] in ("check", "evaluation")]
    assert int(facts["best_step"]) == 160 and "of step 160" in said, (facts, said)
    assert abs(float(facts["holdout_nll"]) - seen[-1]["nll"]) < 1e-5, (facts, seen)
    said = run("jointflow-train", "--data", "two.npz", "--validation", "some", "-o", "x", *TINY, expect=1)
    assert "some: class 'zebra' is not one of the model's (0, 1)" in said, said
    said = run("jointflow-train", "--data", "two.npz", "--validation", "right.npz", "--holdout=9", "-o", "x", *TINY, expect=2)
    assert "give one" in said, said


def test_saved_then_tested():
    """The model is a file before the test set is looked at; classes of the test set are matched by name."""
    for i in range(6):
        for k in (1, 0):  # one class alone would be a subset, both in another order than the model's
            write(f"named/{k}/{i}.png", jf.png(bytes([200 * k + i] * 64), 8, 8))
    said = run("jointflow-train", "--data", "two.npz", "--test", "named", "-o", "tested.model", "--steps=150",
               "--log", "tested.log", *TINY)
    assert "test by class: 0 100.0 % of 6, 1 100.0 % of 6" in said, said
    by_class = next(x for x in lines(os.path.join(SCRATCH, "tested.log")) if x["event"] == "test_classes")
    assert by_class["accuracy"] == {"0": 1, "1": 1}, by_class
    assert 0 < said.index("tested.model: saved") < said.index("  test "), said
    facts, _ = load(os.path.join(SCRATCH, "tested.model"))
    assert facts["test_images"] == "12" and float(facts["test_accuracy"]) == 1, facts
    shutil.rmtree(os.path.join(SCRATCH, "named/0"))  # the model's second class alone, which is the folder's first
    said = run("jointflow-train", "--data", "two.npz", "--test", "named", "-o", "tested.model", "--state", "again", "--steps=150",
               *TINY)
    assert "test by class: 1 100.0 % of 6\n" in said, said
    facts, _ = load(os.path.join(SCRATCH, "tested.model"))
    assert facts["test_images"] == "6" and float(facts["test_accuracy"]) == 1, facts


def test_the_daemon_frames_as_the_model_says():
    """What a model from a folder was trained with holds over HTTP too: no centring of ink, no turning round."""
    data, _ = picture("dog", 41)
    with jf.Daemon(model=os.path.join(SCRATCH, "pets.safetensors")) as d:
        answer = d.classify(data).json()
        assert answer["preprocess"]["method"] == "none" and not answer["preprocess"]["inverted"], answer
        # what is light at the border was learnt from so, and only --invert=yes turns it round
        write("light.png", jf.png(bytes([220]) * 576, 24, 24))
        light = ["jointflow", "classify", "--json", "-m", "pets.safetensors", "light.png"]
        for asked, inverted in (([], False), (["--invert=yes"], True)):
            shown = json.loads(run(*light, *asked))["results"][0]["preprocess"]
            assert shown["inverted"] == inverted, (asked, shown)
        assert not d.classify(jf.png(bytes([220]) * 576, 24, 24)).json()["preprocess"]["inverted"]
        assert d.get("/v1/model").json()["defaults"]["classify"]["preprocess"] == "none"
        write("dog.jpg", data)
        told = json.loads(run("jointflow", "classify", "--json", "-m", "pets.safetensors", "dog.jpg"))["results"][0]
        assert told["probabilities"] == answer["probabilities"] and told["preprocess"] == answer["preprocess"], (told, answer)
        other = d.classify(data, "?preprocess=mnist").json()
        assert other["preprocess"]["method"] == "mnist" and other["probabilities"] != answer["probabilities"], other


def test_odd_names():
    """Classes whose names hold what separates weights; a class of few pictures is warned of."""
    for name, count in (("a,b", 30), ("x=1", 30), ("rare: one", 3)):
        for i in range(count):
            write(f"odd/{name}/{i}.png", jf.png(bytes([8 * i] * 64), 8, 8))
    said = run("jointflow-train", "--data", "odd/.", "-o", "odd.model", "--steps=3", *TINY)
    assert re.search(r"images to train on by class: a,b 27, rare: one [1-3], x=1 27$", said, re.M), said
    assert load(os.path.join(SCRATCH, "odd.model"))[0]["name"] == "odd"
    assert re.search(r"warning: class 'rare: one' has [1-3] images? to train on .*add pictures of it, or leave it out", said), said
    assert said.count("to train on (the mean") == 1, said
    told = json.loads(run("jointflow", "generate", "--json", "-m", "odd.model", "--steps", 1, "-o", "odd.png", "-w",
                          "x=1=0.5,a,b:0.25,rare: one=1"))
    assert told["images"][0]["label_values"] == [-0.5, 1, 0], told


def test_says_so():
    """A run that diverges ends with an error and its last good state; one that learnt nothing says it."""
    for name, options in (("wild", []), ("wilder", ["--clip=0"])):
        said = run("jointflow-train", "--data", "two.npz", "-o", name, "--lr=10", "--steps=2000", *options, *TINY, expect=1)
        assert "the training has diverged" in said and "--lr=10" in said and name + ".state" in said, said
        assert not os.path.exists(os.path.join(SCRATCH, name)) and os.path.exists(os.path.join(SCRATCH, name + ".state"))
    rng = np.random.RandomState(2)
    np.savez(os.path.join(SCRATCH, "noise.npz"), images=rng.randint(0, 256, (200, 8, 8)).astype(np.uint8),
             labels=np.arange(200) % 2)
    said = run("jointflow-train", "--data", "noise.npz", "-o", "noise.model", "--steps=20", "--log", "noise.log", *TINY)
    assert "warning: the classes are not told apart" in said, said
    assert [x for x in lines(os.path.join(SCRATCH, "noise.log")) if x["event"] == "warning"]
    # no step ever asks for an image: the classes are told apart, and none is drawn
    said = run("jointflow-train", "--data", "two.npz", "-o", "blind.model", "--steps=150", "--shares=0,0,1", *TINY,
               "--eval-drawn=10", "--eval-steps=3")
    assert "warning: drawing does not follow the label: " in said and "chance would give 50.0 %" in said, said
    assert "not told apart" not in said, said


class Skipped(Exception):
    """What this machine does not allow."""


def main():
    failures = number = 0
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
            number += 1
            try:
                test()
                print(f"ok {number} - pictures: {name[5:].replace('_', ' ')}", flush=True)
            except Skipped as why:
                print(f"ok {number} - pictures: {name[5:].replace('_', ' ')} # SKIP {why}", flush=True)
            except Exception as problem:  # pylint: disable=broad-except
                failures += 1
                print(f"# {problem!r}\nnot ok {number} - pictures: {name[5:].replace('_', ' ')}", flush=True)
    print(f"1..{number}")
    shutil.rmtree(SCRATCH)
    sys.exit(1 if failures else 0)


main()
