#!/usr/bin/python3
"""Which way of drawing the two clocks is better, on equal budgets, judged by bench/judge.

Trains a small network once for each scheme and seed with jointflow-train, asks each the same questions and prints mean and
standard error over the seeds, as a Markdown table. The specialists are the same trunk with all of its steps spent on one
question. A run that is there already is not trained again, so an interrupted comparison goes on.

    bench/judge/schemes.py --build build --data data/mnist --work bench/judge/cache/schemes
"""
import argparse
import json
import pathlib
import statistics
import subprocess

JUDGE = pathlib.Path(__file__).parent / "judge.py"
SCHEMES = {
    "independent": ["--times", "independent"],
    "flexible": ["--times", "flexible"],
    "shared": ["--times", "shared"],
    "mixture": ["--times", "mixture"],
    "classifies only": ["--times", "mixture", "--shares", "0,0,1"],
    "draws only": ["--times", "mixture", "--shares", "1,0,0"],
}
QUESTIONS = ("posterior", "label ODE", "drawn", "drawn, Frechet", "joint", "joint, Frechet")


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def train(args, model, options, seed):
    if not model.exists():
        run(args.build / "jointflow-train", "--data", args.data, "--channels", args.channels, "--epochs", args.epochs,
            "--seed", seed, "--eval-ode", 0, "--eval-drawn", 0, "--threads", args.threads, "-q", "-o", model, *options)


def judged(args, images, *options):
    report = json.loads(run("/usr/bin/python3", JUDGE, "--weights", args.weights, "--data", args.data, "--json",
                            *options, images))
    return 100 * report["agreement"], report["frechet"] / report["floors"]["test"][0]


def accuracy(report):
    return 100 * json.loads(report)["classification"]["accuracy"]


def ask(args, model):
    answers = model.with_suffix(".json")
    if answers.exists():
        return json.loads(answers.read_text())
    tool, images, labels = args.build / "jointflow", model.with_suffix(".npy"), model.with_suffix(".labels.json")
    common = ("-m", model, "--threads", args.threads)
    r = {}
    evaluate = (tool, "eval", *common, "--data", args.data, "--json")
    r["posterior"] = accuracy(run(*evaluate))
    r["label ODE"] = accuracy(run(*evaluate, "--method", "sample", "--samples", 1, "--steps", 20))
    run(tool, "generate", *common, "--count", args.count // 10, "--seed", 1, "-o", images)
    r["drawn"], r["drawn, Frechet"] = judged(args, images)
    labels.write_text(run(tool, "sample", *common, "--count", args.count, "--seed", 1, "--json", "-o", images))
    r["joint"], r["joint, Frechet"] = judged(args, images, "--labels", labels)
    answers.write_text(json.dumps(r))
    return r


def cell(values):
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} +- {error:.2f}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    p.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data/mnist"))
    p.add_argument("--work", type=pathlib.Path, default=JUDGE.parent / "cache" / "schemes")
    p.add_argument("--weights", type=pathlib.Path, default=JUDGE.parent / "cache" / "judge.pt")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--channels", type=int, default=8)
    p.add_argument("--epochs", type=float, default=4)
    p.add_argument("--count", type=int, default=2000, help="images a question (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()

    args.work.mkdir(parents=True, exist_ok=True)
    print("| clocks | " + " | ".join(QUESTIONS) + " |\n|" + " --- |" * (len(QUESTIONS) + 1), flush=True)
    for name, options in SCHEMES.items():
        found = []
        for seed in range(1, args.seeds + 1):
            model = args.work / f"{name.replace(' ', '-')}-{seed}.safetensors"
            train(args, model, options, seed)
            found.append(ask(args, model))
        print(f"| {name} | " + " | ".join(cell([f[q] for f in found]) for q in QUESTIONS) + " |", flush=True)


if __name__ == "__main__":
    main()
