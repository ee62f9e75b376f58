#!/usr/bin/python3
"""The command-line tool, run as a user runs it: results, files, messages, exit statuses. TAP on standard output.

An untrained model made by tests/make_model answers everything except whether the answers are right; the trained model,
when it is there, is asked that."""

import collections
import csv
import gzip
import io
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import png

TOP = os.environ.get("top_srcdir", os.path.abspath(os.path.join(os.path.dirname(__file__), "../..")))
BUILD = os.environ.get("top_builddir", os.path.join(TOP, "build"))
TOOL = os.path.join(BUILD, "jointflow")
MAKE_MODEL = os.path.join(BUILD, "tests/make_model")
DIGITS = os.path.join(TOP, "data/digits")
MNIST = os.path.join(TOP, "data/mnist")
TRAINED = os.path.join(TOP, "models/mnist.safetensors")
COMMANDS = ["classify", "generate", "blend", "sample", "edit", "score", "eval", "info", "calibrate", "export"]

scratch = tempfile.TemporaryDirectory(prefix="jointflow-cli-")
os.chdir(scratch.name)


def make_model(name, *settings):
    subprocess.run([MAKE_MODEL, name, *settings], check=True)
    return os.path.abspath(name)


MODEL = make_model("grey.safetensors")
COLOUR = make_model("colour.safetensors", "height=12", "width=16", "image_channels=3", "classes=3",
                    "names=left shoe,7,bag", "seed=3")


def run(*arguments, model=MODEL, stdin=b"", binary=False, **environment):
    env = {k: v for k, v in os.environ.items() if k != "JOINTFLOW_MODEL"}
    env.update(environment)
    if model:
        env["JOINTFLOW_MODEL"] = model
    done = subprocess.run([TOOL, *map(str, arguments)], input=stdin, capture_output=True, env=env, timeout=900)
    done.stderr = done.stderr.decode()
    if not binary:
        done.stdout = done.stdout.decode()
    return done


def good(*arguments, **named):
    done = run(*arguments, **named)
    assert done.returncode == 0, (arguments, done.returncode, done.stderr)
    assert done.stderr == "", done.stderr
    return done.stdout


def bad(status, *arguments, say=None, **named):
    """Fails with that status, one message in GNU's form and nothing on standard output."""
    done = run(*arguments, **named)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert lines and lines[0].startswith("jointflow: "), done.stderr
    if status == 2:
        assert lines[-1].startswith("Try 'jointflow") and lines[-1].endswith("--help' for more information."), lines
    else:
        assert len(lines) == 1, lines
    if say:
        assert say in done.stderr, (say, done.stderr)
    return done


def read_png(source):
    reader = png.Reader(bytes=source) if isinstance(source, bytes) else png.Reader(filename=source)
    width, height, rows, info = reader.read()
    pixels = np.vstack([np.array(r, dtype=np.uint8) for r in rows]).reshape(height, width, info["planes"])
    return pixels[..., 0] if info["planes"] == 1 else pixels


def write_png(name, pixels):
    grey = pixels.ndim == 2
    with open(name, "wb") as f:
        png.Writer(pixels.shape[1], pixels.shape[0], greyscale=grey).write(f, pixels.reshape(pixels.shape[0], -1))
    return name


def npy(*arguments, **named):
    good(*arguments, "-o", "out.npy", **named)
    return np.load("out.npy")


def test_help_and_version():
    assert re.fullmatch(r"jointflow \d+\.\d+\.\d+\S*\n", good("--version"))
    text = good("--help")
    for command in COMMANDS:
        assert command in text
        own = good(command, "--help")
        assert own.startswith(f"Usage: jointflow {command} [OPTION]...") and "--model=FILE" in own
        assert ("--json" in own) == (command not in ("calibrate", "export"))
        assert max(map(len, own.splitlines())) <= 120
        assert good(command, "--version") == good("--version")
        assert good("help", command) == own
    assert good("help") == text


def test_bad_command_lines():
    bad(2, say="missing command")
    bad(2, "paint", say="unknown command 'paint'")
    bad(2, "help", "paint", say="unknown command 'paint'")
    bad(2, "--frob", say="unknown option '--frob'")
    bad(2, "generate", "--colour", say="--colour")
    bad(2, "generate", "--digit", say="digit")
    bad(2, "generate", "7", say="extra operand '7'")
    bad(2, "classify", say="missing picture")
    bad(2, "eval", say="--data")
    bad(2, "blend", "--from", 6, say="--to")
    bad(2, "blend", "--matrix", "--from", 6)
    bad(2, "generate", "--digit", 7, "--weights", "6=1")
    bad(2, "generate", "-o", "picture.jpg", say="unsupported output format 'picture.jpg'")
    bad(2, "generate", "-o", "-", "--json")
    for option, values in {
        "--steps": ["0", "1001", "", "12abc", "1e3", "-5", "99999999999999999999"],
        "--count": ["0", "100001", "ten"],
        "--seed": ["-1", "18446744073709551616", "x", ""],
        "--guidance": ["nan", "inf", "-1", "20.5", "1x"],
        "--guidance-low": ["-0.1", "1.1", "x"],
        "--guidance-high": ["nan", "1.1"],
        "--solver": ["rk4", "Euler", ""],
        "--threads": ["0", "257"],
        "--batch": ["0", "257"],
    }.items():
        for value in values:
            bad(2, "generate", f"{option}={value}", say=option)
    bad(2, "generate", "--guidance-low", 0.6, "--guidance-high", 0.5, say="--guidance-low=0.6 is above")
    bad(2, "blend", "--from", 6, "--to", 7, "--columns", 1)
    bad(2, "classify", "--method", "guess", "x.png", say="posterior, sample")
    bad(2, "info", "--plan", "dream")


def test_bad_models():
    bad(1, "info", "--model", "nowhere.safetensors", say="nowhere.safetensors")
    bad(1, "info", model=os.path.abspath("nowhere.safetensors"), say="nowhere.safetensors")
    with open(MODEL, "rb") as f:
        data = f.read()
    with open("cut.safetensors", "wb") as f:
        f.write(data[: len(data) // 2])
    for command in (["info"], ["generate"], ["blend", "--matrix"], ["sample"], ["eval", "--generate"],
                    ["classify", f"{DIGITS}/7.png"]):
        bad(1, *command, "--model", "cut.safetensors", say="cut.safetensors")
    # --model wins over the environment
    good("info", "--model", MODEL, model=os.path.abspath("cut.safetensors"))


def test_classify_text():
    names = [f"{DIGITS}/{d}.png" for d in range(10)]
    lines = good("classify", *names).splitlines()
    assert len(lines) == 10
    for name, line in zip(names, lines):
        assert re.fullmatch(re.escape(name) + r": \d \(\d+\.\d\d %\)", line), line
    line = good("classify", "--top", 3, names[0])
    shares = [float(s) for s in re.findall(r"\((\d+\.\d\d) %\)", line)]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True)
    votes = good("classify", "--method", "sample", "--samples", 5, "--steps", 3, names[0])
    assert re.fullmatch(re.escape(names[0]) + r": \d \([1-5] of 5 votes\)\n", votes), votes
    with open(names[4], "rb") as f:
        assert good("classify", "-", stdin=f.read()).startswith("-: ")


def test_classify_csv():
    names = [f"{DIGITS}/{d}.png" for d in range(10)]
    odd = os.path.join(tempfile.mkdtemp(), 'a "7", of mine.png')
    shutil.copyfile(names[7], odd)
    done = run("classify", "--csv", *names, odd, "/no/such.png")
    assert done.returncode == 1 and not done.stderr, done
    head, *rows = csv.reader(io.StringIO(done.stdout))
    assert head == ["file", "label", "name", "confidence", *(f"p_{k}" for k in range(10)), "error"], head
    assert [row[0] for row in rows] == [*names, odd, "/no/such.png"], rows
    assert all(len(row) == len(head) for row in rows), rows
    for row in rows[:10]:
        p = list(map(float, row[4:14]))
        assert row[1] == row[2] == str(p.index(max(p))) and float(row[3]) == max(p) and row[-1] == "", row
        assert abs(sum(p) - 1) < 1e-4, row
    assert rows[10][1:] == rows[7][1:] and rows[11][1:-1] == [""] * 13 and "/no/such.png" in rows[11][-1], rows
    bad(2, "classify", "--csv", "--json", names[0], say="are mutually exclusive")


def test_classify_json():
    one = json.loads(good("classify", "--json", f"{DIGITS}/3.png"))
    result = one["results"][0]
    assert one["method"] == "posterior" and one["model"]["name"] == "untrained" and len(one["model"]["checksum"]) == 64
    p = result["probabilities"]
    assert len(p) == 10 and abs(sum(p) - 1) < 1e-5
    assert p[result["label"]] == max(p) == result["confidence"] and result["name"] == str(result["label"])
    assert result["preprocess"]["method"] == "mnist"
    # alone or among others, on one thread or two: the same answer
    many = json.loads(good("classify", "--json", "--threads", 2, "--batch", 3,
                           *[f"{DIGITS}/{d}.png" for d in range(10)]))
    assert many["results"][3] == result
    sampled = json.loads(good("classify", "--json", "--method", "sample", "--samples", 9, "--steps", 4,
                              f"{DIGITS}/3.png"))["results"][0]
    assert sum(sampled["votes"]) == 9 and sampled["votes"][sampled["label"]] == max(sampled["votes"])


def test_classify_what_is_no_digit():
    write_png("blank.png", np.full((28, 28), 255, np.uint8))
    with open("text.png", "w") as f:
        f.write("this is no picture\n")
    done = run("classify", "blank.png", f"{DIGITS}/1.png", "text.png", "missing.png")
    assert done.returncode == 1
    assert done.stdout.startswith(f"{DIGITS}/1.png: ") and done.stdout.count("\n") == 1
    messages = done.stderr.splitlines()
    assert len(messages) == 3 and all(m.startswith("jointflow: ") for m in messages), messages
    for name, message in zip(["blank.png", "text.png", "missing.png"], messages):
        assert name in message, message
    done = run("classify", "--json", "blank.png", f"{DIGITS}/1.png")
    results = json.loads(done.stdout)["results"]
    assert done.returncode == 1 and "error" in results[0] and "label" in results[1]
    # black is no error where nothing is looked for
    good("classify", "--preprocess", "none", "blank.png")


def test_generate_is_reproducible():
    good("generate", "--digit", 7, "--count", 6, "--steps", 3, "-o", "a.png")
    good("generate", "--digit", 7, "--count", 6, "--steps", 3, "-o", "b.png", "--threads", 2, "--batch", 2)
    with open("a.png", "rb") as a, open("b.png", "rb") as b:
        assert a.read() == b.read()
    first = npy("generate", "--digit", 7, "--count", 6, "--steps", 3)
    assert first.shape == (6, 28, 28) and first.dtype == np.uint8
    assert len({image.tobytes() for image in first}) == 6
    # a sample depends on its number, not on how many there are
    assert np.array_equal(first[:2], npy("generate", "--digit", 7, "--count", 2, "--steps", 3, "--batch", 1))
    for other in (["--seed", 1], ["--solver", "heun"], ["--steps", 4], ["--guidance", 3], ["--digit", 8]):
        assert not np.array_equal(first, npy("generate", "--digit", 7, "--count", 6, "--steps", 3, *other)), other


def test_generate_outputs():
    pixels = npy("generate", "--digit", 2, "--count", 12, "--steps", 2)
    assert good("generate", "--digit", 2, "--count", 12, "--steps", 2, "-o", "many/") == "many/: 12 images, seed 0\n"
    assert sorted(os.listdir("many")) == [f"{i:03}.png" for i in range(12)]
    for i in range(12):
        assert np.array_equal(read_png(f"many/{i:03}.png"), pixels[i])
    good("generate", "--digit", 2, "--count", 12, "--steps", 2, "-o", "many", "--scale", 3)  # a folder that is there
    assert np.array_equal(read_png("many/011.png"), pixels[11].repeat(3, 0).repeat(3, 1))
    good("generate", "--digit", 2, "--count", 12, "--steps", 2, "-o", "sheet.png", "--columns", 6, "--scale", 1)
    sheet = read_png("sheet.png")
    assert sheet.shape == (2 * 28 + 3 * 2, 6 * 28 + 7 * 2)
    assert np.array_equal(sheet[2 + 30 : 30 + 30, 2 + 60 : 30 + 60], pixels[8])
    out = good("generate", "--digit", 2, "--count", 12, "--steps", 2, "-o", "-", "--columns", 6, "--scale", 1,
               binary=True)
    assert np.array_equal(read_png(out), sheet)
    assert good("generate", "--digit", 2, "--count", 1, "--steps", 1) == "generate.png: 1 image, seed 0\n"
    assert good("generate", "--digit", 2, "--count", 1, "--steps", 1, "--quiet") == ""
    every = npy("generate", "--count", 3, "--steps", 2)
    assert every.shape == (30, 28, 28)
    assert np.array_equal(every[6:9], pixels[:3])


def test_generate_labels():
    seven = npy("generate", "--digit", 7, "--count", 2, "--steps", 2)
    vector = ",".join("1" if k == 7 else "-1" for k in range(10))
    assert np.array_equal(seven, npy("generate", f"--label={vector}", "--count", 2, "--steps", 2))
    assert np.array_equal(seven, npy("generate", "--weights", "7=1", "--count", 2, "--steps", 2))
    mixed = json.loads(good("generate", "--weights", "6=0.25,7=0.75", "--count", 2, "--steps", 2, "--json"))
    assert mixed["images"][1] == {"index": 1, "label_values": [-1, -1, -1, -1, -1, -1, -0.5, 0.5, -1, -1]}
    for wrong in (["--digit", "10"], ["--digit", "seven"], ["--weights", "7"], ["--weights", "7=x"],
                  ["--weights", "11=1"], ["--label", "1,2"], ["--label", ",".join(["1"] * 11)],
                  ["--label", ",".join(["nan"] * 10)], ["--count", "20000"]):
        bad(2, "generate", *wrong)
    bad(2, "blend", "--from", 6, "--to", "ten", say="--to: must be a class")


def test_blend():
    morph = npy("blend", "--from", 6, "--to", 7, "--columns", 5, "--rows", 3, "--steps", 3, "--spacing", "label")
    assert morph.shape == (15, 28, 28)
    rows = morph.reshape(3, 5, 28, 28)
    # the ends of row r are the plain classes from noise r
    assert np.array_equal(rows[:, 0], npy("generate", "--digit", 6, "--count", 3, "--steps", 3))
    assert np.array_equal(rows[:, 4], npy("generate", "--digit", 7, "--count", 3, "--steps", 3))
    half = npy("generate", "--weights", "6=0.5,7=0.5", "--count", 3, "--steps", 3)
    assert np.array_equal(rows[:, 2], half)
    matrix = npy("blend", "--matrix", "--steps", 2).reshape(10, 10, 28, 28)
    assert np.array_equal(matrix, matrix.transpose(1, 0, 2, 3))
    assert np.array_equal(matrix[7, 7], npy("generate", "--digit", 7, "--count", 1, "--steps", 2)[0])
    good("blend", "--from", 6, "--to", 7, "--rows", 4, "--scale", 1, "--steps", 1)
    assert read_png("blend.png").shape == (4 * 28 + 5 * 2, 9 * 28 + 10 * 2)


def test_sample():
    out = good("sample", "--count", 8, "--columns", 4, "--steps", 3, "-o", "s.png")
    lines = out.splitlines()
    assert lines[0] == "s.png: 8 images, seed 0"
    labels = [line.split() for line in lines[1:]]
    assert [len(row) for row in labels] == [4, 4]
    told = json.loads(good("sample", "--count", 8, "--steps", 3, "-o", "s.npy", "--json"))
    assert told["count"] == 8 and np.load("s.npy").shape == (8, 28, 28)
    assert [image["name"] for image in told["images"]] == labels[0] + labels[1]
    for image in told["images"]:
        assert abs(sum(image["probabilities"]) - 1) < 1e-5 and len(image["label_values"]) == 10
        assert image["label_values"] == [1 if k == image["label"] else -1 for k in range(10)]
        assert image["confidence"] == image["probabilities"][image["label"]]
    again = npy("sample", "--count", 8, "--steps", 3, "--threads", 1, "--batch", 3)
    assert np.array_equal(again, np.load("s.npy"))


def test_colour_and_names():
    pictures = npy("generate", "--digit", "left shoe", "--count", 2, "--steps", 2, model=COLOUR)
    assert pictures.shape == (2, 12, 16, 3)
    assert np.array_equal(pictures, npy("generate", "--digit", "0", "--count", 2, "--steps", 2, model=COLOUR))
    # a name goes before a number
    assert np.array_equal(npy("generate", "--digit", "7", "--count", 1, "--steps", 2, model=COLOUR),
                          npy("generate", "--digit", "1", "--count", 1, "--steps", 2, model=COLOUR))
    for option in (["--class", "7"], ["-k", "7"], ["--class", "1"]):
        assert np.array_equal(npy("generate", *option, "--count", 1, "--steps", 2, model=COLOUR),
                              npy("generate", "--digit", "1", "--count", 1, "--steps", 2, model=COLOUR)), option
    bad(2, "generate", "--class", 7, "--digit", 7, say="are mutually exclusive")
    bad(2, "generate", "--class", "zebra", model=COLOUR, say="--class: must be a class from 0 to 2 or its name (left shoe, 7, bag)")
    # of the classes 1, 2 and 3 no number is a place
    numbers = make_model("numbers.safetensors", "classes=3", "names=1,2,3")
    for option in ("--digit", "--class"):
        bad(2, "generate", option, 0, model=numbers, say=f'{option}: must be one of the classes 1, 2, 3, not "0"')
    good("generate", "--class", 3, "--steps", 1, "-o", "three.png", model=numbers)
    good("generate", "--digit", "bag", "--count", 4, "--steps", 2, "-o", "colour.png", "--scale", 1, model=COLOUR)
    assert read_png("colour.png").shape == (2 * 12 + 3 * 2, 2 * 16 + 3 * 2, 3)
    write_png("one.png", pictures[0])
    out = good("classify", "--preprocess", "none", "one.png", model=COLOUR)
    assert re.fullmatch(r"one\.png: (left shoe|7|bag) \(\d+\.\d\d %\)\n", out), out
    bad(1, "eval", "--data", MNIST, model=COLOUR, say="not one of the model's (left shoe, 7, bag)")


def test_eval():
    text = good("eval", "--data", MNIST, "--limit", 64)
    for word in ("accuracy", "NLL", "ECE", "images/s", "confusion matrix"):
        assert word in text, text
    told = json.loads(good("eval", "--data", MNIST, "--limit", 64, "--json"))["classification"]
    confusion = np.array(told["confusion"])
    assert confusion.shape == (10, 10) and confusion.sum() == 64 == told["images"]
    assert abs(np.trace(confusion) / 64 - told["accuracy"]) < 1e-9 and told["nll"] > 0 and 0 <= told["ece"] <= 1
    with gzip.open(os.path.join(MNIST, "t10k-labels-idx1-ubyte.gz")) as f:
        labels = np.frombuffer(f.read()[8:72], np.uint8)
    assert np.array_equal(confusion.sum(1), np.bincount(labels, minlength=10))
    sampled = json.loads(good("eval", "--data", MNIST, "--limit", 16, "--method", "sample", "--steps", 2, "--samples",
                              3, "--json"))["classification"]
    assert sampled["method"] == "sample" and sampled["steps"] == 2 and np.sum(sampled["confusion"]) == 16
    bad(1, "eval", "--data", "nowhere", say="nowhere")


def idx_set(folder, part, images, labels):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{part}-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    with open(f"{folder}/{part}-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())
    return folder


def mnist(first, end):
    with gzip.open(os.path.join(MNIST, "t10k-images-idx3-ubyte.gz")) as images, gzip.open(os.path.join(MNIST, "t10k-labels-idx1-ubyte.gz")) as labels:
        return (np.frombuffer(images.read(16 + 784 * end)[16:], np.uint8).reshape(-1, 28, 28)[first:end],
                np.frombuffer(labels.read(8 + end)[8:], np.uint8)[first:end])


def test_score():
    text = good("score", "--draws", 4, "--all", f"{DIGITS}/7.png")
    assert text.count("ln P(image | ") == 10 and "bits per dimension, ln P(image) " in text, text
    told = json.loads(good("score", "--draws", 4, "--json", f"{DIGITS}/7.png", f"{DIGITS}/3.png"))
    assert told["draws"] == 4 and told["seed"] == 0, told
    alone = json.loads(good("score", "--draws", 4, "--json", f"{DIGITS}/3.png"))
    assert told["results"][1] == alone["results"][0], "the same alone"
    one = told["results"][0]
    assert abs(one["bits_per_dimension"] + one["log_p"] / np.log(2) / 784) < 1e-3, one
    weights = np.exp(np.array(one["log_p_given_label"]) - max(one["log_p_given_label"]))
    assert np.allclose(weights / weights.sum(), one["probabilities"], atol=1e-3), one
    assert abs(np.abs(np.subtract(one["probabilities"], one["posterior"])).max() - one["difference"]) < 1e-6, one
    assert "familiarity" not in one, "of a model that is not calibrated"
    bad(2, "score", "--draws", 5, f"{DIGITS}/7.png", say="even")
    bad(2, "score", "--draws", 4098, f"{DIGITS}/7.png", say="4096")
    bad(2, "score", say="missing picture")
    bad(1, "score", "--draws", 2, "nowhere.png", say="nowhere.png")


def test_calibrate():
    """What is familiar is learned from a data set, and the weights stay as they are."""
    data = idx_set("learned", "train", *mnist(0, 600))
    bad(2, "calibrate", say="--data")
    bad(2, "calibrate", "--data", data, say="--output")
    bad(1, "calibrate", "--data", data, "--output", "no.safetensors", "--holdout", 600, say="--holdout=600 of 600")
    bad(1, "calibrate", "--data", data, "--output", "no.safetensors", "--holdout", 550, say="at least 100")
    assert not os.path.exists("no.safetensors")
    told = good("calibrate", "--data", data, "--holdout", 200, "--output", "calibrated.safetensors")
    assert told == "calibrated.safetensors\n", told
    assert "familiarity" not in json.loads(good("classify", "--json", f"{DIGITS}/7.png"))["results"][0]
    before = json.loads(good("classify", "--json", f"{DIGITS}/7.png"))["results"][0]
    after = json.loads(good("classify", "--json", f"{DIGITS}/7.png", model="calibrated.safetensors"))["results"][0]
    assert 0 <= after.pop("familiarity") <= 1 and after.pop("unfamiliar") in (True, False)
    assert after == before, "the same answer but for its familiarity"
    assert json.loads(good("info", "--json", model="calibrated.safetensors"))["calibrated"] == {"labels": True, "familiarity": True}
    assert json.loads(good("info", "--json"))["calibrated"] == {"labels": False, "familiarity": False}
    # joint samples show each class as often as the data: 400 of them, whose shares have a standard error of 1.5 points
    drawn = [i["label"] for i in json.loads(good("sample", "--count", 400, "--steps", 1, "--json", "-o", "joint.npy",
                                                 model="calibrated.safetensors"))["images"]]
    wanted = collections.Counter(mnist(0, 600)[1])
    assert all(abs(drawn.count(k) / 400 - wanted[k] / 600) < 0.07 for k in range(10)), (drawn, wanted)
    assert 0 <= json.loads(good("score", "--draws", 2, "--json", f"{DIGITS}/7.png", model="calibrated.safetensors"))["results"][0]["familiarity"] <= 1
    answers = {good("classify", "--json", "--batch", batch, *[f"{DIGITS}/{k}.png" for k in range(10)],
                    model="calibrated.safetensors", JOINTFLOW_ISA=isa) for isa in ("base", "avx2", "avx512") for batch in (1, 3, 16)}
    assert len(answers) == 1, "the same bytes whatever kernels run, and in every batch"


def test_eval_against():
    model = TRAINED if os.path.exists(TRAINED) else "calibrated.safetensors"
    noise = np.random.default_rng(5).integers(0, 256, (60, 28, 28), np.uint8)
    other = idx_set("noise", "t10k", noise, np.zeros(60, np.uint8))
    told = json.loads(good("eval", "--data", MNIST, "--limit", 60, "--against", other, "--json", model=model))["familiarity"]
    shares = []
    for name, images in (("d", mnist(0, 60)[0]), ("n", noise)):
        for i, image in enumerate(images):
            write_png(f"{name}{i}.png", image)
        results = json.loads(good("classify", "--preprocess", "none", "--invert", "no", "--json", *[f"{name}{i}.png" for i in range(60)], model=model))["results"]
        shares.append(np.array([one["familiarity"] for one in results]))
    ours, others = shares
    auroc = ((ours[:, None] > others).sum() + (ours[:, None] == others).sum() / 2) / 3600
    assert abs(told["auroc"] - auroc) < 1e-6 and told["unfamiliar_below"] == 0.01, (told, auroc)
    assert abs(told["false_alarms"] - (ours < 0.01).mean()) < 1e-9 and abs(told["found"] - (others < 0.01).mean()) < 1e-9, told
    if model == TRAINED:
        assert told["auroc"] > 0.99 and told["found"] > 0.9 and told["false_alarms"] < 0.1, told
    text = good("eval", "--data", MNIST, "--limit", 60, "--against", other, model=model)
    assert f"AUROC {told['auroc']:.4f}" in text and "which are false alarms" in text, text
    bad(2, "eval", "--against", other, say="--data")
    # before anything is evaluated, which takes minutes
    assert bad(1, "eval", "--data", MNIST, "--against", other, say="not calibrated").stdout == ""
    assert bad(1, "eval", "--data", MNIST, "--against", "nowhere", say="nowhere", model=model).stdout == ""


def test_eval_generate():
    told = json.loads(good("eval", "--generate", "--count", 3, "--steps", 2, "--json"))
    assert "classification" not in told
    drawn, joint = told["generate"], told["sample"]
    assert drawn["images"] == 30 and [c["images"] for c in drawn["classes"]] == [3] * 10
    assert joint["images"] == 30 and sum(c["images"] for c in joint["classes"]) == 30
    for part in (drawn, joint):
        assert part["agree"] == sum(c["agree"] for c in part["classes"]) <= 30
        assert abs(part["agreement"] - part["agree"] / 30) < 1e-9
    assert drawn["judged_by"] == joint["judged_by"] == "own posterior"
    said = good("eval", "--generate", "--count", 1, "--steps", 1)
    assert "joint samples: " in said and "'s own posterior, which shares the model's mistakes:" in said, said
    # one step draws blurs, which are not what their labels say: a pair's label is not read off its own image
    blurred = json.loads(good("eval", "--generate", "--count", 10, "--steps", 1, "--json"))["sample"]
    assert blurred["agree"] < blurred["images"], blurred


def test_info():
    text = good("info")
    assert "28 x 28 x 1" in text and "made_by" in text and MODEL in text
    told = json.loads(good("info", "--json", model=COLOUR))
    assert told["class_names"] == ["left shoe", "7", "bag"] and told["image_channels"] == 3
    assert told["facts"]["made_by"] == "make_model"
    assert told["parameters"] * 4 < os.path.getsize(COLOUR)


def test_info_plans():
    plans = {name: json.loads(good("info", "--json", "--plan", name))["plan"]
             for name in ("classify", "generate", "sample", "train")}
    when = {name: {node["name"]: node["when"] for node in plan["nodes"]} for name, plan in plans.items()}
    totals = {name: sum(plan["multiply_adds"].values()) for name, plan in plans.items()}
    assert len(set(totals.values())) == 1, totals
    assert all(set(w) == set(when["train"]) for w in when.values())
    # classifying: the image encoder once, its decoder never, the label side at every step
    assert when["classify"]["enc1.0.conv1"] == "once" and when["classify"]["conv_out"] == "never"
    assert when["classify"]["lab_in.fc1"] == "step" and when["classify"]["head.fc2"] == "step"
    # drawing: the label tokens once, the label head never, the image at every step
    assert when["generate"]["lab_in.fc1"] == "once" and when["generate"]["head.fc2"] == "never"
    assert when["generate"]["enc1.0.conv1"] == when["generate"]["conv_out"] == "step"
    assert when["sample"]["conv_out"] == when["sample"]["head.fc2"] == "step"
    assert {when["train"][n] for n in when["train"] if not n.startswith("features.")} == {"step"}
    # what concatenations read in another order lies nowhere else; what backward hands on is not copied
    told = {name: {node["name"]: node for node in plan["nodes"]} for name, plan in plans.items()}
    assert told["generate"]["up1.space"]["view_of"] == "up1" and told["generate"]["up1.space"]["bytes"] == 0
    assert told["train"]["conv_in"]["gradient_with"] == "enc1.0.conv2"
    assert not any("gradient_with" in node for node in told["sample"].values())
    text = good("info", "--plan", "train")
    assert "  read where up1 lies\n" in text and "  gradient with enc1.0.conv2's\n" in text
    # a residual block's norms: computed while one convolution reads, from sums that the other gathered while it wrote
    norm = next(node for node in plans["sample"]["nodes"] if node["name"] == "enc1.0.norm2")
    assert (norm["statistics_with"], norm["computed_with"]) == ("enc1.0.conv1", "enc1.0.conv2"), norm
    text = good("info", "--plan", "sample")
    assert re.search("enc1.0.norm2 .* with enc1.0.conv2  statistics with enc1.0.conv1\n", text), text
    text = good("info", "--plan", "classify")
    for word in ("once a request: ", "every step: ", "never: ", "multiply-adds", "bytes"):
        assert word in text


def test_full_disk():
    if not os.path.exists("/dev/full"):
        return "no /dev/full"
    with open("/dev/full", "w") as full:
        env = dict(os.environ, JOINTFLOW_MODEL=MODEL)
        for command in (["--help"], ["info"], ["generate", "--count", "1", "--digit", "1", "-o", "-"]):
            done = subprocess.run([TOOL, *command], stdout=full, stderr=subprocess.PIPE, env=env)
            assert done.returncode == 1, command
            assert done.stderr == b"jointflow: write error: No space left on device\n", (command, done.stderr)


def test_unwritable():
    bad(1, "generate", "--count", 1, "--digit", 1, "--steps", 1, "-o", "no/such/folder/a.png", say="no/such/folder")
    bad(1, "generate", "--count", 1, "--digit", 1, "--steps", 1, "-o", "no/such/folder/", say="no/such/folder")


def catches(pid, number):
    with open(f"/proc/{pid}/status") as f:
        mask = int(re.search(r"^SigCgt:\s*(\w+)", f.read(), re.M).group(1), 16)
    return bool(mask >> (number - 1) & 1)


def test_interrupt():
    env = dict(os.environ, JOINTFLOW_MODEL=MODEL)
    for number in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen([TOOL, "generate", "--count", "2000", "--steps", "1000", "-o", "never.png"], env=env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        deadline = time.monotonic() + 60
        while not catches(child.pid, number) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        assert child.returncode == -number, (child.returncode, err)
        assert err == b"jointflow: interrupted\n" and out == b"", err
        assert not os.path.exists("never.png")


def test_progress_on_a_terminal():
    env = dict(os.environ, JOINTFLOW_MODEL=MODEL)
    for quiet in (False, True):
        ours, theirs = pty.openpty()
        command = [TOOL, "generate", "--count", "8", "--digit", "1", "--steps", "20"] + ["--quiet"] * quiet
        child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs)
        child.communicate(timeout=60)
        os.close(theirs)
        shown = b""
        try:
            while True:
                more = os.read(ours, 4096)
                if not more:
                    break
                shown += more
        except OSError:
            pass
        os.close(ours)
        assert child.returncode == 0
        if quiet:
            assert shown == b"", shown
        else:
            assert b"generate: 8 of 8" in shown and shown.endswith(b"\r\x1b[K"), shown


def test_no_picture_on_a_terminal():
    ours, theirs = pty.openpty()
    child = subprocess.run([TOOL, "generate", "--digit", "1", "--steps", "1", "-o", "-"], stdout=theirs, stderr=subprocess.PIPE,
                           env=dict(os.environ, JOINTFLOW_MODEL=MODEL), timeout=60)
    os.close(theirs)
    os.close(ours)
    assert child.returncode == 2 and b"to the terminal" in child.stderr, child


def libraries(program):
    listed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(\S+)\]", listed)


def test_only_the_trainer_links_openblas():
    for program, wanted in ("jointflow", False), ("jointflowd", False), ("jointflow-train", True):
        linked = libraries(os.path.join(BUILD, program))
        assert any("blas" in name for name in linked) == wanted, (program, linked)


def test_little_address_space():
    if os.environ.get("JF_SANITIZED"):
        return "a sanitizer reserves more than that for itself"
    command = ["generate", "--digit", "3", "--count", "2", "--steps", "2"]
    limited = subprocess.run(["bash", "-c", 'ulimit -v 150000 && exec "$@"', "bash", TOOL, *command],
                             env=dict(os.environ, JOINTFLOW_MODEL=MODEL), capture_output=True, timeout=120)
    assert limited.returncode == 0 and limited.stderr == b"", limited.stderr
    assert limited.stdout == good(*command, binary=True)
    return None


def test_instruction_sets_agree():
    """The same bytes whatever kernels run."""
    answers = {isa: npy("generate", "--count", 2, "--digit", 3, "--steps", 3, JOINTFLOW_ISA=isa).tobytes()
               for isa in ("base", "avx2", "avx512")}
    assert len(set(answers.values())) == 1
    unknown = subprocess.run([TOOL, "info"], env=dict(os.environ, JOINTFLOW_MODEL=MODEL, JOINTFLOW_ISA="avx1024"),
                             capture_output=True, text=True, timeout=120)
    assert unknown.returncode == 0 and "warning: JOINTFLOW_ISA: this processor runs no kernels" in unknown.stderr, unknown


def test_trained_model():
    if not os.path.exists(TRAINED):
        return "models/mnist.safetensors is not there"
    results = json.loads(good("classify", "--json", *[f"{DIGITS}/{d}.png" for d in range(10)],
                              model=TRAINED))["results"]
    assert [r["label"] for r in results] == list(range(10))
    assert all(r["confidence"] > 0.5 for r in results)
    told = json.loads(good("eval", "--data", MNIST, "--limit", 1000, "--json", model=TRAINED))["classification"]
    assert told["accuracy"] >= 0.98 and told["ece"] < 0.05, told
    drawn = json.loads(good("eval", "--generate", "--count", 10, "--json", model=TRAINED))
    assert drawn["generate"]["agreement"] >= 0.85 and drawn["sample"]["agreement"] >= 0.75, drawn
    if BUILD == os.path.join(TOP, "build"):  # found without being named, since this is a source tree
        assert TRAINED in good("info", model=None)
    return None


def main():
    tests = [(name, value) for name, value in globals().items() if name.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, test) in enumerate(tests, 1):
        name = name[5:].replace("_", " ")
        try:
            skipped = test()
            print(f"ok {number} - {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        except Exception as problem:  # every kind of failure is one failed test
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            print("  # " + f"{type(problem).__name__}: {problem}".replace("\n", "\n  # "), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
