#!/usr/bin/python3
"""The engine beside onnxruntime on the same exported network, in turns, in one run.

    bench/peers/peers.py [--build FOLDER] [--model FILE] [--rounds N] [--seconds S] [--engine NAME=PROGRAM ...]

FOLDER: where jointflow and bench-peers were built (build). --engine adds further engines, for instance the bench-peers of
another version; what every peer is compared with is onnxruntime. onnxruntime comes from npm (tests/onnx names the version,
node and npm are needed: packaging/deps.sh onnx).

In each round every peer works for about S seconds on each question, one peer right after the other; which begins changes
from round to round. Shown are medians over the rounds of images a second of wall time and a second of processor time, and
the median and range of the ratio within a round. On a machine that others use, processor time is the figure to read for one
thread; for two threads it counts what threads spend waiting for each other.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
QUESTIONS = [("posterior", 1, 1), ("posterior", 1, 16), ("posterior", 1, 32), ("field", 1, 1), ("field", 1, 16),
             ("posterior", 2, 16), ("field", 2, 16)]


def install(project):
    """onnxruntime, without its install script, which downloads what a CPU does not need."""
    lock = os.path.join(TOP, "tests/onnx/package-lock.json")
    done = os.path.join(project, "node_modules/.jointflow-lock")
    if os.path.exists(done) and open(done).read() == open(lock).read():
        return
    os.makedirs(project, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(TOP, "tests/onnx", name), project)
    subprocess.run(["npm", "ci", "--prefix", project, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                   check=True)
    shutil.copy(lock, done)


def shape(model):
    """height, width, channels, classes, as the checkpoint's metadata has them"""
    with open(model, "rb") as file:
        facts = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))["__metadata__"]
    return [facts[key] for key in ("height", "width", "image_channels", "classes")]


class Peer:
    def __init__(self, name, command, env=None):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.counts = {}

    def ask(self, question, count):
        what, threads, batch = question
        self.process.stdin.write(f"{what} {threads} {batch} {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise SystemExit(f"peers.py: {self.name} ended at {question}")
        return int(answer[0]), float(answer[1]), float(answer[2])

    def run(self, question, seconds):
        """Images a second of wall and of processor time; the first call finds out how many batches take `seconds`."""
        if question not in self.counts:
            count = 4
            while (cpu := self.ask(question, count)[2]) < 0.1:
                count *= 4
            self.counts[question] = max(1, round(count * seconds * question[1] / cpu))
        images, wall, cpu = self.ask(question, self.counts[question])
        return images / wall, images / cpu


def measure(peers, rounds, seconds):
    table = {}
    for r in range(rounds):
        for question in QUESTIONS:
            for i in range(len(peers)):
                peer = peers[(i + r) % len(peers)]
                table.setdefault((question, peer.name), []).append(peer.run(question, seconds))
    return table


def report(table, peers, reference):
    print("| question | threads | batch | peer | img/s, wall | img/s of processor time | ratio, wall | ratio, processor time |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for question in QUESTIONS:
        for peer in peers:
            mine, other = table[question, peer.name], table[question, reference]
            cells = [f"{statistics.median(m[k] for m in mine):.0f}" for k in (0, 1)]
            for k in (0, 1):
                ratios = [m[k] / o[k] for m, o in zip(mine, other)]
                cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                             if peer.name != reference else "1")
            print(f"| {question[0]} | {question[1]} | {question[2]} | {peer.name} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    parser.add_argument("--model", default=os.path.join(TOP, "models/mnist.safetensors"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=PROGRAM")
    args = parser.parse_args()
    project = os.path.join(args.build, "tests/onnx/npm")
    install(project)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(args.build, "jointflow"), "export", "--onnx", "--quiet", "--model", args.model, "-o",
                        folder], check=True)
        peers = [Peer("onnxruntime", ["node", os.path.join(HERE, "runtime.mjs"), folder, *shape(args.model)],
                      {"JF_NODE_PROJECT": project})]
        engines = [engine.split("=", 1) for engine in args.engine]
        for name, program in [*engines, ("jointflow", os.path.join(args.build, "bench-peers"))]:
            peers.append(Peer(name, [program, args.model]))
        report(measure(peers, args.rounds, args.seconds), peers, "onnxruntime")
        for peer in peers:
            peer.process.stdin.close()
            peer.process.wait()


main()
