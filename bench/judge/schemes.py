#!/usr/bin/python3
"""Which way of training is better, on equal budgets, judged by bench/judge.

Trains a small network once for each way and seed with jointflow-train, asks each the same questions and prints mean and
standard error over the seeds, as a Markdown table. `--what schemes`: ways of drawing the two clocks, and specialists, which
are the same trunk with all of its steps spent on one question. `--what levers`: the shipped model's recipe with one option
changed at a time. A run that is there already is not trained again, so an interrupted comparison goes on.

    bench/judge/schemes.py --build build --data data/mnist --work bench/judge/cache/schemes
"""
import argparse
import json
import pathlib
import re
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
RECIPE = ["--times", "mixture", "--shares", "0.6,0.05,0.2", "--image-shift", "2", "--augment", "0.8",
          "--augment-probability", "0.6", "--augment-what", "labels"]
LEVERS = {  # of an option that is given twice the last counts
    "the recipe": [],
    "shares 0.4,0.1,0.4 (the default)": ["--shares", "0.4,0.1,0.4"],
    "shares 0.8,0.05,0.1": ["--shares", "0.8,0.05,0.1"],
    "image shift 1": ["--image-shift", "1"],
    "image shift 3": ["--image-shift", "3"],
    "no distortions": ["--augment", "0"],
    "distortions of drawn images too": ["--augment-what", "all"],
    "6 layers": ["--layers", "6"],
    "2 blocks": ["--blocks", "2"],
    "width 16": ["--channels", "16"],
    "guidance 0.1": ["--guidance", "0.1"],
    "EMA 0.998": ["--ema", "0.998"],
    "twice the rate": ["--lr", "4e-3"],
}
WAYS = {"schemes": SCHEMES, "levers": {name: RECIPE + options for name, options in LEVERS.items()}}
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
    p.add_argument("--what", choices=WAYS, default="schemes")
    p.add_argument("--work", type=pathlib.Path, help="where the runs are kept (default: cache/WHAT beside this)")
    p.add_argument("--weights", type=pathlib.Path, default=JUDGE.parent / "cache" / "judge.pt")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--channels", type=int, default=8)
    p.add_argument("--epochs", type=float, default=4)
    p.add_argument("--count", type=int, default=2000, help="images a question (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()

    args.work = args.work or JUDGE.parent / "cache" / args.what
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"| {args.what} | " + " | ".join(QUESTIONS) + " |\n|" + " --- |" * (len(QUESTIONS) + 1), flush=True)
    for name, options in WAYS[args.what].items():
        found = []
        for seed in range(1, args.seeds + 1):
            model = args.work / f"{re.sub('[^a-z0-9.]+', '-', name.lower())}-{seed}.safetensors"
            train(args, model, options, seed)
            found.append(ask(args, model))
        print(f"| {name} | " + " | ".join(cell([f[q] for f in found]) for q in QUESTIONS) + " |", flush=True)


if __name__ == "__main__":
    main()
