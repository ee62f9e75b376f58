#!/usr/bin/python3
"""jointflow-train under mpirun: two processes with one global batch learn what one process learns; a dead process ends
the run and leaves a state to resume from."""
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
from training_common import lines, load, make_data  # noqa: E402

BUILD = os.environ.get("top_builddir", "build")
PROGRAM = os.path.join(BUILD, "jointflow-train")
SCRATCH = tempfile.mkdtemp(prefix="jf-mpi-")
number = failures = 0


def path(name):
    return os.path.join(SCRATCH, name)


def skip(why):
    shutil.rmtree(SCRATCH)
    print(f"1..0 # SKIP {why}")
    print(f"skipped: {why}")
    sys.exit(77)


def mpirun(processes):
    return ["mpirun", "-n", str(processes), "--allow-run-as-root", "--oversubscribe", "--mca", "btl", "self,vader",
            "--mca", "mpi_yield_when_idle", "1"]


def command(output, *options, processes=2):
    start = mpirun(processes) if processes > 1 else []
    return start + [PROGRAM, "--data", path("data"), "--holdout=100", "--batch=24", "--channels=8", "--layers=1",
                    "--warmup=10", "--eval-drawn=0", "--eval-ode=0", "--threads=1", "--augment=0.5", "-q",
                    "-o", path(output), "--log", path(output + ".jsonl"), *options]


def train(output, *options, processes=2, expect=0):
    run = subprocess.run(command(output, *options, processes=processes), stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=600)
    if run.returncode != expect:
        raise AssertionError(f"exit status {run.returncode}, not {expect}: {run.stdout.strip()}")
    return run.stdout


def losses(name):
    return [(x["step"], x["loss_image"], x["loss_label"]) for x in lines(path(name + ".jsonl")) if x["event"] == "step"]


def step_of(name):
    return int(load(path(name + ".state"))[0]["step"])


def compare(a, b, tolerance):
    first, second = losses(a), losses(b)
    assert len(first) == len(second) >= 2, (first, second)
    worst = 0
    for x, y in zip(first, second):
        assert x[0] == y[0]
        for u, v in zip(x[1:], y[1:]):
            worst = max(worst, abs(u - v) / abs(v))
    print(f"# largest relative difference of a loss: {worst:.2g}")
    assert worst <= tolerance, worst
    one, two = (load(path(x))[1] for x in (a, b))
    far = size = 0
    for name in one:
        for u, v in zip(*(struct.iter_unpack("<f", x[name]) for x in (one, two))):
            far += (u[0] - v[0]) ** 2
            size += v[0] ** 2
    print(f"# distance of the weights: {(far / size) ** 0.5:.2g} of their length")
    assert 0 < far <= 0.01**2 * size  # AdamW magnifies rounding; no difference would mean that nothing was shared


def test_two_processes_learn_what_one_learns():
    train("one", "--epochs=6", processes=1)
    train("two", "--epochs=6")
    compare("two", "one", 1e-4)


def test_resumes_under_mpi():
    options, limit = ["--epochs=6"], 0.02
    train("resumed", *options, f"--time-limit={limit}", expect=3)
    while step_of("resumed") == 0:  # a busy machine
        limit *= 2
        train("resumed", *options, "--resume", f"--time-limit={limit}", expect=3)
    train("resumed", *options, "--resume")
    first, second = load(path("resumed"))[1], load(path("two"))[1]
    assert first == second, "other weights than in one go"


def test_dead_process():
    run = subprocess.Popen(command("dead", "--epochs=1000", "--save-every=0.005"), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 120
    while not os.path.exists(path("dead.state")) or step_of("dead") < 5:
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.05)
    with open(f"/proc/{run.pid}/task/{run.pid}/children", encoding="ascii") as file:
        children = file.read().split()
    assert len(children) == 2, children
    os.kill(int(children[1]), signal.SIGKILL)
    begun = time.monotonic()
    said = run.communicate(timeout=60)[0]
    assert run.returncode != 0, said
    print(f"# all over {time.monotonic() - begun:.1f} s after one was killed")
    at = step_of("dead")
    assert at >= 5
    train("dead", "--epochs=1000", "--resume", "--time-limit=1", processes=1, expect=3)
    assert step_of("dead") > at


def test_errors_end_all():
    said = train("bad", "--lr=x", expect=2)
    assert "--lr: 'x' is not a number" in said, said
    train("twice", "--epochs=0.1")
    said = train("twice", "--epochs=0.1", expect=1)
    assert "holds a training state" in said, said
    said = train("small", "--batch=1", expect=1)
    assert "too small for 2 processes" in said, said


def main():
    global number, failures
    with open(os.path.join(BUILD, "config.h"), encoding="utf-8") as file:
        config = file.read()
    if "#define JF_HAVE_MPI 1" not in config:
        skip("built without MPI")
    if os.environ.get("JF_SANITIZED"):
        skip("MPI's own leaks would be reported in a sanitizer build")
    if not shutil.which("mpirun"):
        skip("mpirun is not installed")
    probe = subprocess.run(mpirun(2) + ["true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if probe.returncode != 0:
        skip("mpirun does not work here: " + " ".join(probe.stdout.split())[:200])
    make_data(path("data"), 500)
    for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
        number += 1
        begun = time.monotonic()
        try:
            test()
            result = "ok"
        except Exception:  # pylint: disable=broad-except
            failures += 1
            result = "not ok"
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        print(f"{result} {number} - MPI: {name[5:].replace('_', ' ')} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"1..{number}")
    shutil.rmtree(SCRATCH)
    sys.exit(1 if failures else 0)


main()
