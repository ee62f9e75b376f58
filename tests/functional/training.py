#!/usr/bin/python3
"""jointflow-train on real digits: it learns, stops, resumes with the same bits, and survives what goes wrong.

JF_TRAINING_KILLS: how often the run of "kill -9" is killed (5; the full check is 20).
"""
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

sys.dont_write_bytecode = True
from training_common import lines, load, make_data, read, same_weights  # noqa: E402

BUILD = os.environ.get("top_builddir", "build")
PROGRAM = os.path.join(BUILD, "jointflow-train")
SLOW = bool(os.environ.get("JF_SANITIZED"))  # about ten times slower: shorter runs, and learning is not asked for
KILLS = int(os.environ.get("JF_TRAINING_KILLS", "2" if SLOW else "5"))
SCRATCH = tempfile.mkdtemp(prefix="jf-training-")
number = failures = 0


def path(name):
    return os.path.join(SCRATCH, name)


SMALL = ["--holdout=200", "--batch=32", "--channels=8", "--layers=1", "--heads=2", "--label-tokens=4", "--warmup=20",
         "--eval-drawn=0", "--eval-ode=0", "--threads=2"]


def command(output, *options):
    return [PROGRAM, "--data", path("data"), *SMALL, "-o", path(output), *options]


def train(output, *options, expect=0, before=None):
    """Runs to the end; returns what it said."""
    run = subprocess.run(command(output, *options), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         timeout=600, preexec_fn=before)
    if run.returncode != expect:
        raise AssertionError(f"exit status {run.returncode}, not {expect}: {run.stderr.strip()}")
    return run.stderr


def test_learns():
    epochs = 3 if SLOW else 10
    said = train("model", f"--epochs={epochs}", "--batch=16", "--eval-every=4", "--eval-drawn=2", "--eval-ode=50",
                 "--eval-steps=4", "--log", path("model.jsonl"), "--sheet", path("model.png"), "--lr=0.004",
                 "--ema=0.97,0.99", "--test", path("data"))
    events = lines(path("model.jsonl"))
    steps = [x for x in events if x["event"] == "step"]
    evaluations = [x for x in events if x["event"] == "evaluation"]
    if not SLOW:
        assert steps[-1]["loss_image"] < 0.6 * steps[0]["loss_image"], steps
        assert steps[-1]["loss_label"] < 0.7 * steps[0]["loss_label"], steps
        assert [round(x["epoch"]) for x in evaluations] == [4, 8, 8, 10, 10], evaluations  # at 4 both EMAs are one
        assert evaluations[-1]["accuracy"] > 0.2, evaluations[-1]
    assert steps[-1]["step"] == -(-epochs * 1000 // 16)
    assert 0 <= evaluations[-1]["ode_accuracy"] <= 1 and 0 <= evaluations[-1]["drawn_agreement"] <= 1
    assert 0 < evaluations[-1]["draw_accuracy"] < evaluations[-1]["accuracy"] + 0.2 and "(a draw: " in said
    assert read(path("model.png"))[:8] == b"\x89PNG\r\n\x1a\n"
    assert "\r" not in said and "\033" not in said, "a bar outside a terminal"
    assert "posterior" in said and "ETA" in said
    metadata, tensors = load(path("model"))
    assert metadata["format"] == "jointflow" and metadata["name"] == "data" and metadata["option.seed"] == "1"
    assert int(metadata["steps"]) == steps[-1]["step"] and f"--epochs={epochs}" in metadata["command_line"]
    assert re.fullmatch("[0-9a-f]{64}", metadata["data_digest"])
    last = [x for x in evaluations if x["epoch"] == evaluations[-1]["epoch"]]
    best = min(last, key=lambda x: x["nll"])
    assert float(metadata["holdout_accuracy"]) == best["accuracy"] and metadata["ema"].startswith("%g" % best["ema"])
    assert "conv_in.weight" in tensors
    tests = [x for x in events if x["event"] == "test"]
    assert len(tests) == 1 and tests[0]["accuracy"] == float(metadata["test_accuracy"]), tests
    assert metadata["test_images"] == "100"
    # the temperature that was fitted on the images kept back, not one of the test set's own
    assert "ema" not in tests[0] and abs(tests[0]["temperature"] - float(metadata["temperature"])) < 1e-5, (tests, metadata)


def run_once(threads):
    if not os.path.exists(path("once" + threads)):
        train("once" + threads, "--epochs=1", "--threads", threads, "--augment=0.5", "-q")


def test_same_command_same_bits():
    for threads in ("1", "2"):
        run_once(threads)
        train("twice" + threads, "--epochs=1", "--threads", threads, "--augment=0.5", "-q")
        same_weights(path("once" + threads), path("twice" + threads))


def test_resumes_with_the_same_bits():
    """Stopped by SIGTERM and SIGINT, resumed: the same as in one go."""
    for threads in ("1", "2"):
        name = "stopped" + threads
        options = ["--epochs=1", "--threads", threads, "--augment=0.5", "--log", path(name + ".jsonl")]
        for sent in (signal.SIGTERM, signal.SIGINT):
            run = subprocess.Popen(command(name, *options, "--resume"), stderr=subprocess.PIPE, text=True)
            begun = int(load(path(name + ".state"))[0]["step"]) if os.path.exists(path(name + ".state")) else 0
            time.sleep(random.uniform(0.1, 0.6))
            run.send_signal(sent)
            said = run.communicate(timeout=120)[1]
            if run.returncode == 0:
                continue  # it was faster
            if run.returncode == -sent:
                continue  # it was not yet listening
            assert run.returncode == 3, (run.returncode, said)
            assert "--resume goes on" in said, said
            assert int(load(path(name + ".state"))[0]["step"]) >= begun
        train(name, *options, "--resume", "-q")
        run_once(threads)
        same_weights(path("once" + threads), path(name))


def test_ignored_signals_stay_ignored():
    """As under nohup."""
    run = subprocess.Popen(command("nohup", "--epochs=1", "--log", path("nohup.jsonl"), "--eval-every=1"),
                           stderr=subprocess.PIPE, text=True,
                           preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    while run.poll() is None:
        run.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    said = run.communicate()[1]
    assert run.returncode == 0, (run.returncode, said)


def test_kill_9():
    """Killed at random moments, saving all the time: every resume works, and the end is the same."""
    options = ["--epochs=2", "-q", "--save-every=0"]
    train("whole", *options)
    killed = finished = 0
    random.seed(os.getpid())
    while killed < KILLS:
        run = subprocess.Popen(command("victim", *options, "--resume"), stderr=subprocess.PIPE, text=True)
        time.sleep(random.uniform(0.02, 1.0))
        run.kill()
        said = run.communicate()[1]
        assert run.returncode in (0, -signal.SIGKILL), (run.returncode, said)
        if run.returncode == 0:  # all done: from the beginning once more
            same_weights(path("whole"), path("victim"))
            finished += 1
            os.unlink(path("victim.state"))
        else:
            killed += 1
    train("victim", *options, "--resume")
    same_weights(path("whole"), path("victim"))
    left = [x for x in os.listdir(SCRATCH) if "victim" in x and x not in ("victim", "victim.state")]
    assert len(left) <= 2, left  # at most one unfinished file beside each
    print(f"# killed {killed} times, {finished} runs to the end in between")


def test_killed_before_an_evaluation():
    """Killed just after a state was saved, before the images kept back are looked at (die_at_rename.c)."""
    if SLOW:
        return "a sanitizer wants to be the first that is preloaded"
    options = ["--epochs=2", "-q", "--save-every=0"]
    if not os.path.exists(path("whole")):
        train("whole", *options)
    env = {**os.environ, "LD_PRELOAD": os.path.abspath(os.path.join(BUILD, "tests/functional/die_at_rename.so"))}

    def cut(at):
        """Dies when that many states were saved; the step of the last one."""
        if os.path.exists(path("cut.state")):
            os.unlink(path("cut.state"))
        run = subprocess.run(command("cut", *options), env={**env, "JF_DIE_AT_RENAME": str(at)}, timeout=600)
        assert run.returncode == -signal.SIGKILL, run.returncode
        return int(load(path("cut.state"))[0]["step"])

    steps = int(load(path("whole.state"))[0]["step"])
    every = steps // 16
    unsaved = cut(every) - every  # the first steps, while the loss is that of a network that knows nothing
    for last in (every, (steps - 1) // every * every):
        assert cut(last - unsaved) == last
        train("cut", *options, "--resume")
        same_weights(path("whole"), path("cut"))
    return None


def test_extends():
    train("longer", "--epochs=0.5", "-q")
    said = train("longer", "--epochs=1", "--resume", expect=1)
    assert "was made with --epochs=0.5, not 1 (--extend allows the change)" in said, said
    train("longer", "--epochs=1", "--resume", "--extend", "--time-limit=0.001", "-q", expect=3)
    train("longer", "--epochs=1", "--resume", "--extend", "-q")
    train("longer2", "--epochs=0.5", "-q")
    train("longer2", "--epochs=1", "--resume", "--extend", "-q")
    same_weights(path("longer"), path("longer2"))
    assert load(path("longer.state"))[0]["step"] == "32" and load(path("longer.state"))[0]["schedule.start"] == "16"


def test_starts_from_a_model():
    """--init: with a rate of 0 the weights stay those of the model; another network and what is no model are told."""
    train("begun", "--epochs=0.3", "--lr=0", "--init", path("longer"), "-q")
    begun, longer = load(path("begun"))[1], load(path("longer"))[1]
    longer = {name: data for name, data in longer.items() if not name.startswith("familiarity.")}  # no weights
    for name in longer:  # the running mean of equal weights may round
        pairs = zip(struct.iter_unpack("<f", begun[name]), struct.iter_unpack("<f", longer[name]))
        assert all(abs(a - b) <= 1e-5 * abs(b) for (a,), (b,) in pairs), name
    train("grown", "--epochs=0.3", "--lr=0", "--layers=4", "--blocks=2", "--init", path("longer"), "-q")
    assert len(load(path("grown"))[1]) > len(longer)
    for name in longer:
        assert load(path("grown"))[1][name] == begun[name], name
    drawn = [path("begun.npy"), path("grown.npy")]
    for model, images in zip(("begun", "grown"), drawn):  # what is new adds nothing yet
        subprocess.run([os.path.join(os.path.dirname(PROGRAM), "jointflow"), "generate", "-m", path(model), "-n1", "-s3",
                        "-q", "-o", images], check=True)
    assert read(drawn[0]) == read(drawn[1])
    said = train("wrong", "--epochs=0.3", "--layers=1", "--init", path("grown"), expect=1)
    assert "grown: another network: blocks is 2 there, 1 here" in said, said
    said = train("wrong", "--epochs=0.3", "--blocks=2", "--layers=3", "--init", path("grown"), expect=1)
    assert "grown: another network: layers is 4 there, 3 here" in said, said
    said = train("wrong", "--epochs=0.3", "--init", path("longer.state"), expect=1)
    assert "longer.state" in said and said.count("\n") == 1, said
    said = train("wrong", "--epochs=0.3", "--init", path("nowhere"), expect=1)
    assert "nowhere: cannot open: No such file" in said, said


def test_refuses_to_overwrite():
    before = read(path("longer.state"))
    said = train("longer", "--epochs=1", expect=1)
    assert "longer.state: holds a training state; --resume goes on from it, or remove it" in said, said
    assert read(path("longer.state")) == before


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 2]) + data[at + 1:]


def test_bad_states():
    good = read(path("longer.state"))
    size = struct.unpack("<Q", good[:8])[0]
    cases = {
        "empty": b"",
        "cut in the header": good[:100],
        "cut in the tensors": good[:-1000],
        "length": struct.pack("<Q", 1 << 40) + good[8:],
        "not JSON": good[:8] + b"x" * size + good[8 + size:],
        "NaN": good[: 8 + size] + struct.pack("<f", float("nan")) * ((len(good) - 8 - size) // 4),
        "step": good.replace(b'"step":"32"', b'"step":"-2"'),
        "beyond the end": good.replace(b'"step":"32"', b'"step":"99"'),
        "another format": good.replace(b"jointflow-training-state", b"jointflow-training-sTATE"),
        "a model": read(path("longer")),
        "a flipped bit in the weights": flipped(good, 8 + size + 4000),
        "a flipped bit in the means": flipped(good, len(good) - 1000),
        "a changed end of the schedule": good.replace(b'"schedule.end":"32"', b'"schedule.end":"36"'),
        "a digest that is not its own": flipped(good, good.index(b'"sha256":"') + 12),
        "a digest that got lost": good.replace(b'"sha256"', b'"sha255"'),
        "a version that knew no digest": good.replace(b'"format_version":"3"', b'"format_version":"2"'),
    }
    for name, content in cases.items():
        with open(path("bad.state"), "wb") as file:
            file.write(content)
        said = train("bad", "--epochs=1", "--resume", expect=1)
        assert said.startswith("jointflow-train: ") and "bad.state" in said and said.count("\n") == 1, (name, said)
        assert ("is damaged" in said) == (" flipped " in name or "digest" in name or "changed" in name), (name, said)
        assert read(path("bad.state")) == content, name
        assert not os.path.exists(path("bad"))
    # an option that came after the version which saved it: the padding keeps the header's length
    with open(path("bad.state"), "wb") as file:
        file.write(good.replace(b'"option.label-tokens":', b'"option.label-tokeNS":'))
    said = train("bad", "--epochs=1", "--resume", expect=1)
    assert "was saved by a version of jointflow-train that had no --label-tokens" in said, said
    with open(path("bad.state"), "wb") as file:
        file.write(good)
    with open(path("data/class-names.txt"), "w", encoding="utf-8") as file:
        file.write("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n")
    try:
        said = train("bad", "--epochs=1", "--resume", expect=1)
    finally:
        os.unlink(path("data/class-names.txt"))
    assert "was made from other data" in said, said
    # a state from before there was a digest
    header = json.loads(good[8:8 + size])
    del header["__metadata__"]["sha256"]
    header["__metadata__"]["format_version"] = "2"
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path("bad.state"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + good[8 + size:])
    train("bad", "--epochs=1", "--resume", "-q")
    os.unlink(path("bad.state"))
    os.unlink(path("bad"))


def stop_part_way(name, *options):
    """A run that its time limit ends after the first step, however slow the machine."""
    limit = 0.05
    train(name, *options, "-q", f"--time-limit={limit}", expect=3)
    while int(load(path(name + ".state"))[0]["step"]) == 0:
        limit *= 2
        train(name, *options, "-q", "--resume", f"--time-limit={limit}", expect=3)


def test_full_disk():
    """No file may grow beyond 64 KiB: a state that cannot be saved is told, the one from before stays."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    said = train("full", "--epochs=8", expect=1, before=limit)
    assert "full.state" in said and "File too large" in said, said
    assert not os.path.exists(path("full.state"))
    stop_part_way("full", "--epochs=80")
    before = read(path("full.state"))
    run = subprocess.Popen(command("full", "--epochs=80", "--resume", "--save-every=0"), stderr=subprocess.PIPE,
                           text=True, preexec_fn=limit)
    said = ""
    while "the training state is not saved" not in said:
        line = run.stderr.readline()
        assert line, said
        said += line
    run.terminate()
    said += run.communicate()[1]
    assert run.returncode == 1, (run.returncode, said)
    assert said.strip().splitlines()[-1].startswith("jointflow-train: "), said
    assert read(path("full.state")) == before
    assert not os.path.exists(path("full"))
    train("full", "--epochs=8", "--resume", "--extend", "-q")  # there is room again


def test_names_that_cannot_be_loaded():
    """What load would refuse is refused before the first step, not after the last."""
    said = train("names", "--epochs=1", "--name", "x" * 257, expect=1)
    assert "the model's name has 257 bytes; must have 1 to 256" in said, said
    with open(path("data/class-names.txt"), "w", encoding="utf-8") as file:
        file.write("a\nb\nc\nd\ne\nf\ng\nh\ni\na\n")
    try:
        said = train("names", "--epochs=1", expect=1)
    finally:
        os.unlink(path("data/class-names.txt"))
    assert 'the names of the classes: [0] and [9] are both "a"' in said, said
    assert not os.path.exists(path("names")) and not os.path.exists(path("names.state"))


def test_full_log():
    said = train("log", "--epochs=0.3", "--log=/dev/full")
    assert said.count("/dev/full: No space left on device; the log ends here") == 1, said
    said = train("nolog", "--epochs=0.3", "--log", path("nowhere/log"), expect=1)
    assert "nowhere/log: No such file" in said, said
    said = train("nowhere/model", "--epochs=0.3", expect=1)
    assert "nowhere/model: its folder cannot be written" in said, said


def test_terminal():
    """On a terminal a bar, drawn over itself."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (25, 120))  # room for a bar whatever the speed and its number of digits
    run = subprocess.Popen(command("bar", "--epochs=1"), stderr=child, stdin=subprocess.DEVNULL)
    os.close(child)
    shown = b""
    while True:
        ready = select.select([parent], [], [], 120)[0]
        assert ready, "nothing for two minutes"
        try:
            piece = os.read(parent, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert run.wait() == 0
    assert re.search(rb"\r\033\[K\[=+>? *\] epoch [0-9.]+/1", shown), shown[-500:]
    assert b"img/s  ETA" in shown


def test_no_epoch_of_nothing():
    said = train("none", "--holdout=1200", expect=1)
    assert "--holdout=1200 leaves nothing of 1200 images to train on" in said, said
    said = train("none", "--channels=9", expect=1)
    assert "channels" in said, said


def main():
    global number, failures
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    wanted = sys.argv[1:]
    make_data(path("data"), 1200)
    for test in tests:
        if wanted and not any(x in test.__name__ for x in wanted):
            continue
        number += 1
        begun, skipped = time.monotonic(), None
        try:
            skipped = test()
            result = "ok"
        except Exception:  # pylint: disable=broad-except
            failures += 1
            result = "not ok"
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        print(f"{result} {number} - training: {test.__name__[5:].replace('_', ' ')} ({time.monotonic() - begun:.1f} s)"
              + (f" # SKIP {skipped}" if skipped else ""), flush=True)
    print(f"1..{number}")
    shutil.rmtree(SCRATCH)
    sys.exit(1 if failures else 0)


main()
