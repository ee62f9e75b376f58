#!/usr/bin/python3
"""The command line and the daemon are asked the same question: the same bytes, the same numbers, the same refusals."""

import base64
import json
import os
import re
import subprocess
import urllib.parse

import jf
from jf import Daemon, case, check, equal

TOOL = os.path.join(jf.BUILD, "jointflow")
SEVEN = os.path.join(jf.SRC, "data/digits/7.png")


def cli(d, *arguments, status=0):
    """What the tool says about the daemon's model: bytes of standard output, or the message when it shall refuse."""
    quiet = [] if arguments[0] == "score" else ["--quiet"]  # which has no progress to show
    done = subprocess.run([TOOL, arguments[0], "--model", jf.any_model(), *quiet, *map(str, arguments[1:])],
                          capture_output=True, timeout=600 * jf.PATIENCE, check=False)
    check((done.returncode != 0) if status else (done.returncode == 0), f"{arguments}: {done.returncode} {done.stderr}")
    return done.stderr.decode() if status else done.stdout


def told(d, *arguments):
    return json.loads(cli(d, *arguments, "--json"))


def picture(d, path, **query):
    answer = d.get(f"/v1/{path}?{urllib.parse.urlencode(query)}")
    equal(answer.status, 200, f"{path} {query}: {answer.body[:300]}")
    return answer.body


def refused(d, path, arguments, **query):
    """Both refuse."""
    equal(d.get(f"/v1/{path}?{urllib.parse.urlencode(query)}").status, 422, f"{path} {query}")
    cli(d, path, *arguments, "-o", "-", status=1)


def seven(d, query="", headers=None):
    with open(SEVEN, "rb") as file:
        return d.classify(file.read(), query, headers).json()


def weights(d):
    with case("weights: both separators in both, one range"):
        wanted = cli(d, "generate", "--weights", "6=0.5,7=0.25", "--seed", 3, "--steps", 2, "-o", "-")
        equal(cli(d, "generate", "--weights", "6:0.5,7:0.25", "--seed", 3, "--steps", 2, "-o", "-"), wanted, "colons")
        for text in ("6=0.5,7=0.25", "6:0.5,7:0.25", "6:0.5,7=0.25"):
            equal(picture(d, "generate", weights=text, seed=3, steps=2), wanted, text)
        for text in ("6=1.5", "6=-0.1", "6=0.5,6=0.5", "6=0.5,", "=1", "6", "6=", "6=x", "6=nan", "11=1", "6=0.5=1"):
            refused(d, "generate", ["--weights", text], weights=text)
    with case("weights: none at all is refused"):
        refused(d, "generate", ["--weights", ""], weights="")
        equal(d.post("/v1/generate", {"weights": {}}).status, 422, "an empty object")
    with case("label: one range of entries"):
        text = ",".join(["10"] + ["-10"] * 9)
        equal(picture(d, "generate", label=text, seed=1, steps=2),
              cli(d, "generate", f"--label={text}", "--seed", 1, "--steps", 2, "-o", "-"), "picture")
        for text in (",".join(["10.5"] + ["-1"] * 9), ",".join(["-100"] + ["-1"] * 9), "1,2", ",".join(["1"] * 11), "",
                     ",".join(["-1"] * 9 + [""]), ",".join(["-1"] * 9 + ["1 "])):
            refused(d, "generate", [f"--label={text}"], label=text)
    with case("class: one spelling"):
        for text in ("10", "seven", "-1", " 7", "7x", ""):
            refused(d, "generate", [f"--digit={text}"], digit=text)


def votes(d):
    with case("sample: the same votes, as many by default"):
        mine = told(d, "classify", "--method", "sample", "--steps", 2, SEVEN)
        theirs = seven(d, "?method=sample&steps=2")
        equal((mine["samples"], sum(mine["results"][0]["votes"])), (8, 8), "samples of the tool")
        equal((theirs["samples"], sum(theirs["votes"])), (8, 8), "samples of the daemon")
        equal(mine["results"][0]["votes"], theirs["votes"], "votes")
        spoken = cli(d, "classify", "--method", "sample", "--steps", 2, SEVEN).decode()
        check(re.search(r"\(\d of 8 votes\)", spoken), spoken)
        if os.path.isdir(os.path.join(jf.SRC, "data/mnist")):
            rated = told(d, "eval", "--data", os.path.join(jf.SRC, "data/mnist"), "--limit", 2, "--method", "sample",
                         "--steps", 1)
            equal(rated["classification"]["samples"], 8, "samples of eval")
    with case("a draw's label: one rule, whatever the solver"):
        for solver in ("midpoint", "euler", "heun", "ancestral"):
            mine = told(d, "classify", "--method", "sample", "--samples", 64, "--solver", solver, "--steps", 1, SEVEN)
            theirs = seven(d, f"?method=sample&samples=64&solver={solver}&steps=1")
            for key in ("votes", "label", "name", "confidence", "probabilities"):
                equal(mine["results"][0][key], theirs[key], f"{solver}: {key}")
        mine = told(d, "sample", "--count", 24, "--solver", "midpoint", "--steps", 1, "--seed", 9, "-o", jf.scratch("labels.npy"))
        theirs = d.post("/v1/sample", {"count": 24, "solver": "midpoint", "steps": 1, "seed": 9}).json()["samples"]
        for key in ("label", "name", "confidence", "probabilities", "label_values", "index"):
            equal([one[key] for one in mine["images"]], [one[key] for one in theirs], key)
    with case("samples: one name and one limit for both methods"):
        mine, theirs = told(d, "classify", "--samples", 5, SEVEN), seven(d, "?samples=5")
        equal((mine["samples"], theirs["samples"]), (5, 5), "samples")
        equal(mine["results"][0]["probabilities"], theirs["probabilities"], "probabilities")
        check("--draws" in cli(d, "classify", "--draws", 5, SEVEN, status=2), "an option of the past")
        for method, most in (("posterior", 1000), ("sample", 4096), ("likelihood", 4096)):
            check(str(most) in cli(d, "classify", "--method", method, "--samples", most + 1, SEVEN, status=2), method)
            with open(SEVEN, "rb") as file:
                answer = d.classify(file.read(), f"?method={method}&samples={most + 1}")
            equal((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/samples"), method)
            check(str(most) in answer.json()["errors"][0]["detail"], f"{method}: {answer.body}")


def pictures(d):
    with case("generate: as many images by default, and as large"):
        mine = cli(d, "generate", "--digit", 7, "--seed", 5, "--steps", 3, "-o", "-")
        equal(picture(d, "generate", digit=7, seed=5, steps=3), mine, "bytes")
        equal(jf.png_decode(mine)[:2], (112, 112), "one picture, four pixels for one")
    with case("generate: the same sheet"):
        equal(picture(d, "generate", digit=7, seed=5, steps=2, count=6, guidance=2, solver="heun"),
              cli(d, "generate", "--digit", 7, "--seed", 5, "--steps", 2, "--count", 6, "--guidance", 2, "--solver", "heun",
                  "-o", "-"), "bytes")
        middle = cli(d, "generate", "--digit", 7, "--seed", 5, "--steps", 4, "--guidance", 3, "--guidance-low", 0.3,
                     "--guidance-high", 0.9, "-o", "-")
        equal(picture(d, "generate", digit=7, seed=5, steps=4, guidance=3, guidance_low=0.3, guidance_high=0.9), middle, "bytes")
        check(middle != picture(d, "generate", digit=7, seed=5, steps=4, guidance=3), "guidance in the middle alone is another")
        equal(picture(d, "generate", digit=7, seed=5, steps=1, count=3, columns=9, scale=1),
              cli(d, "generate", "--digit", 7, "--seed", 5, "--steps", 1, "--count", 3, "--columns", 9, "--scale", 1,
                  "-o", "-"), "more columns than images")
    with case("sample: as many pairs by default, and as large"):
        mine = cli(d, "sample", "--seed", 5, "--steps", 3, "-o", "-")
        answer = d.post("/v1/sample", {"seed": 5, "steps": 3}, {"Accept": "image/png"})
        equal(answer.body, mine, "bytes")
        equal(jf.png_decode(mine)[:2], (112, 112), "size")
    with case("blend: as many rows and columns by default, and as large"):
        mine = cli(d, "blend", "--from", 6, "--to", 7, "--seed", 5, "--steps", 2, "-o", "-")
        equal(picture(d, "blend", **{"from": 6, "to": 7, "seed": 5, "steps": 2}), mine, "bytes")
        equal(jf.png_decode(mine)[:2], (9 * 112 + 10 * 2, 112 + 2 * 2), "one row of nine")
        equal(picture(d, "blend", **{"from": 6, "to": 7, "seed": 5, "steps": 2, "rows": 3, "columns": 4}),
              cli(d, "blend", "--from", 6, "--to", 7, "--seed", 5, "--steps", 2, "--rows", 3, "--columns", 4, "-o", "-"),
              "rows and columns")
        equal(picture(d, "blend", **{"from": 6, "to": 7, "seed": 5, "steps": 2, "spacing": "label"}),
              cli(d, "blend", "--from", 6, "--to", 7, "--seed", 5, "--steps", 2, "--spacing", "label", "-o", "-"),
              "steps of the label")
    with case("matrix: the same sheet; refused beside rows, columns, from and to"):
        equal(picture(d, "blend", matrix="true", seed=5, steps=1),
              cli(d, "blend", "--matrix", "--seed", 5, "--steps", 1, "-o", "-"), "bytes")
        refused(d, "blend", ["--matrix", "--spacing", "label"], matrix="true", spacing="label")
        for name in ("rows", "columns", "from", "to"):
            refused(d, "blend", ["--matrix", f"--{name}", 2], matrix="true", **{name: 2})
            problem = d.post("/v1/blend", {"matrix": True, name: 2}).json()
            equal(problem["errors"], [{"pointer": f"/{name}", "detail": "cannot be given together with matrix"}], name)
    with case("label_values: one name for a label vector"):
        mine = told(d, "generate", "--weights", "6=0.25,7=0.75", "--count", 2, "--steps", 1, "-o", jf.scratch("labels.npy"))
        theirs = d.post("/v1/generate", {"weights": {"6": 0.25, "7": 0.75}, "count": 2, "steps": 1}).json()
        equal([image["label_values"] for image in mine["images"]],
              [image["label_values"] for image in theirs["images"]], "vectors")


def edits(d):
    mask = jf.scratch("mask.png")
    with open(mask, "wb") as file:
        file.write(jf.png(bytes(255 * (i % 28 > 13) for i in range(784)), 28, 28))
    with open(SEVEN, "rb") as file, open(mask, "rb") as other:
        sent = {"image": base64.b64encode(file.read()).decode(), "seed": 4, "steps": 2}
        masked = {"mask": base64.b64encode(other.read()).decode()}
    def sheet(**fields):
        answer = d.post("/v1/edit", {**sent, **fields}, {"Accept": "image/png"})
        equal(answer.status, 200, f"{fields}: {answer.body[:300]}")
        return answer.body
    def drawn(*arguments):
        return cli(d, "edit", "--seed", 4, "--steps", 2, *arguments, SEVEN, "-o", "-")
    with case("edit: the same sheets"):
        equal(sheet(), drawn(), "all defaults")
        equal(sheet(digit=9, count=3, strength=0.6, guidance=2, solver="heun"),
              drawn("--digit", 9, "--count", 3, "--strength", 0.6, "--guidance", 2, "--solver", "heun"), "settings")
        equal(sheet(weights={"3": 0.5, "8": 0.5}, repeats=2, **masked),
              drawn("--weights", "3=0.5,8=0.5", "--repeats", 2, "--mask", mask), "mask")
    with case("edit: the same numbers"):
        for fields, arguments in (({"digit": 9, "count": 2}, ["--digit", 9, "--count", 2]),
                                  ({"digit": 9, "counterfactual": True}, ["--digit", 9, "--counterfactual"])):
            theirs = d.post("/v1/edit", {**sent, **fields}).json()
            mine = told(d, "edit", "--seed", 4, "--steps", 2, *arguments, SEVEN, "-o", jf.scratch("edit.npy"))
            for key in ("original", "repeats", "counterfactual", "masked", "guidance", "solver", "count"):
                equal(mine[key], theirs[key], key)
            for key in ("label", "name", "confidence", "probabilities", "label_values", "reached", "strength", "index"):
                equal([i[key] for i in mine["images"]], [i[key] for i in theirs["images"]], key)
    with case("edit: both refuse"):
        wrong = jf.scratch("wrong.png")
        with open(wrong, "wb") as file:
            file.write(jf.png(bytes(900), 30, 30))
        for fields, arguments in (({"strength": 0}, ["--strength", 0]), ({"strength": 1.01}, ["--strength", 1.01]),
                                  ({"counterfactual": True}, ["--counterfactual"]), ({"repeats": 11}, ["--repeats", 11]),
                                  ({"digit": 3, "weights": {"3": 1}}, ["--digit", 3, "--weights", "3=1"]),
                                  ({"counterfactual": True, "digit": 3, "strength": 0.5},
                                   ["--counterfactual", "--digit", 3, "--strength", 0.5])):
            equal(d.post("/v1/edit", {**sent, **fields}).status, 422, str(fields))
            cli(d, "edit", *arguments, SEVEN, "-o", "-", status=1)
        said = cli(d, "edit", "--mask", wrong, SEVEN, "-o", "-", status=1)
        with open(wrong, "rb") as file:
            answer = d.post("/v1/edit", {**sent, "mask": base64.b64encode(file.read()).decode()}).json()
        check(answer["errors"][0]["detail"] in said, f"{answer['errors']} {said}")
        check("one picture" in cli(d, "edit", SEVEN, SEVEN, status=2), "two pictures")


def scores(d):
    with open(SEVEN, "rb") as file:
        image = base64.b64encode(file.read()).decode()
    with case("score: the same numbers"):
        mine = told(d, "score", "--draws", 6, "--seed", 3, SEVEN)
        theirs = d.post("/v1/score", {"image": image, "draws": 6, "seed": 3}).json()
        equal((mine["draws"], mine["seed"]), (theirs["draws"], theirs["seed"]), "draws and seed")
        for key in set(mine["results"][0]) - {"file"}:
            equal(mine["results"][0][key], theirs[key], key)
        equal(set(theirs) - set(mine["results"][0]), {"draws", "seed", "timings_ms", "model", "request_id"}, "nothing is left out")
        spoken = cli(d, "score", "--draws", 6, "--seed", 3, "--all", SEVEN).decode()
        check(f"{theirs['bits_per_dimension']:.4f} +- {theirs['bits_per_dimension_error']:.4f} bits per dimension" in spoken, spoken)
        equal(spoken.count("ln P(image | "), 10, "a line a class")
        equal(d.get("/v1/model").json()["defaults"]["score"]["draws"], 64, "draws by default")
        check("(default: 64)" in cli(d, "score", "--help").decode(), "and in the tool")
    with case("score: pictures that cannot be used stand beside those that can"):
        bad = jf.scratch("bad.png")
        with open(bad, "wb") as file:
            file.write(b"no picture")
        done = subprocess.run([TOOL, "score", "--model", jf.any_model(), "--draws", "2", "--json", bad, SEVEN],
                              capture_output=True, timeout=600 * jf.PATIENCE, check=False)
        one, other = json.loads(done.stdout)["results"]
        equal((done.returncode, sorted(one), "log_p" in other), (1, ["error", "file"], True), "answers")
        check("even" in cli(d, "score", "--draws", 3, SEVEN, status=2), "an odd number of draws")
        check("missing picture" in cli(d, "score", status=2), "no picture")
    with case("likelihood: the same numbers, one limit"):
        mine, theirs = told(d, "classify", "--method", "likelihood", "--samples", 6, SEVEN), seven(d, "?method=likelihood&samples=6")
        for key in ("probabilities", "label", "familiarity"):
            equal(mine["results"][0].get(key), theirs.get(key), key)
        check("even" in cli(d, "classify", "--method", "likelihood", "--samples", 5, SEVEN, status=2), "odd")
        if os.path.isdir(os.path.join(jf.SRC, "data/mnist")):
            rated = told(d, "eval", "--data", os.path.join(jf.SRC, "data/mnist"), "--limit", 2, "--method", "likelihood", "--samples", 4)
            equal((rated["classification"]["method"], rated["classification"]["samples"]), ("likelihood", 4), "eval")


def framing(d):
    with case("framing: the same report in the same words"):
        dark = jf.png(bytes(255 - p for p in dict(jf.test_digits())[7] for _ in range(2)), 56, 28)
        path = jf.scratch("dark.png")
        with open(path, "wb") as file:
            file.write(dark)
        for options, query in (([], ""), (["--preprocess", "none"], "?preprocess=none"), (["--invert", "yes"], "?invert=yes")):
            equal(told(d, "classify", *options, path)["results"][0]["preprocess"], d.classify(dark, query).json()["preprocess"],
                  query)


def told_by_the_daemon(d):
    model = d.get("/v1/model").json()
    schemas = json.load(open(os.path.join(jf.SRC, "doc/openapi.json"), encoding="utf-8"))["components"]["schemas"]
    with case("/v1/model: choices, as the description of the API and the tool's help have them"):
        fields = schemas["ClassifyRequest"]["properties"] | {"spacing": schemas["BlendRequest"]["properties"]["spacing"]}
        for name, choices in model["choices"].items():
            equal(fields[name]["enum"], choices, name)
        help_text = cli(d, "classify", "--help").decode()
        check(", ".join(model["choices"]["solver"][:-1]) in help_text, "solvers")
        with open(os.path.join(jf.SRC, "packaging/completion/jointflow"), encoding="utf-8") as file:
            completion = file.read()
        for name, choices in model["choices"].items():
            check(f"--{name}) choices='{' '.join(choices)}'" in completion, f"the shell's completion of --{name}")
        # How pictures become inputs is the model's own affair: /v1/model alone can say what it does by default.
        check(model["defaults"]["classify"]["preprocess"] in model["choices"]["preprocess"], "preprocess")
        for name in ("steps", "solver", "method", "invert"):
            equal(fields[name]["default"], model["defaults"]["classify"][name], f"classify: {name}")
    with case("/v1/model: limits and defaults, as the description of the API has them"):
        for question, schema in (("generate", "GenerateRequest"), ("blend", "BlendRequest"), ("sample", "SampleRequest"),
                                 ("edit", "EditRequest"), ("score", "ScoreRequest")):
            fields = schemas[schema]["properties"]
            for name, value in model["defaults"][question].items():
                # the description says it in words: scale depends on the kind of answer, preprocess on the model
                if name not in ("scale", "preprocess"):
                    equal(fields[name]["default"], value, f"{question}: {name}")
            for name in ("guidance", "scale", "gap", "seed", "repeats"):
                if name in fields:
                    equal(fields[name]["maximum"], model["limits"][name], f"{question}: {name}")
        label = schemas["GenerateRequest"]["properties"]["label"]["items"]
        equal((label["minimum"], label["maximum"]), (-model["limits"]["label"], model["limits"]["label"]), "label")
        equal(d.get("/v1/generate?digit=7&steps=1&guidance=20.5").status, 422, "above the limit")


def classes():
    """The names of the classes decide what a number means and which word is used; class and digit are one question."""
    with Daemon() as d, case("class and digit: one question"):
        wanted = cli(d, "generate", "--class", 7, "--seed", 5, "--steps", 2, "-o", "-")
        for field in ("class", "digit"):
            equal(picture(d, "generate", **{field: 7, "seed": 5, "steps": 2}), wanted, field)
            equal(d.post("/v1/generate", {field: 7.0, "seed": 5, "steps": 2}, {"Accept": "image/png"}).body, wanted, field)
        refused(d, "generate", ["--class=7", "--digit=7"], **{"class": 7, "digit": 7})
        equal(d.post("/v1/generate", {}).json()["errors"], [{
            "pointer": "/digit", "detail": "is missing: one of digit, label and weights is needed"}], "words of digits")
    model = jf.scratch("numbers.safetensors")
    subprocess.run([os.path.join(jf.BUILD, "tests/make_model"), model, "classes=3", "names=1,2,3"], check=True)
    with Daemon(model=model) as d, case("class: of 1, 2 and 3 a number is a name"):
        detail = 'must be one of the classes 1, 2, 3, not "0"'
        for field in ("class", "digit"):
            for answer in (d.get(f"/v1/generate?{field}=0"), d.post("/v1/generate", {field: 0})):
                equal((answer.status, answer.json()["errors"]), (422, [{"pointer": "/" + field, "detail": detail}]), field)
        same = {d.post("/v1/generate", {"class": value, "seed": 1, "steps": 2}, {"Accept": "image/png"}).body for value in (3, "3", 3.0)}
        equal(same, {picture(d, "generate", **{"class": 3, "seed": 1, "steps": 2})}, "3")
        equal(d.post("/v1/generate", {}).json()["errors"], [{
            "pointer": "/class", "detail": "is missing: one of class, label and weights is needed"}], "words of classes")


def all_rows():
    with Daemon("--max-samples=4096", "--queue-capacity=1000000") as d:
        weights(d)
        votes(d)
        pictures(d)
        edits(d)
        scores(d)
        framing(d)
        told_by_the_daemon(d)
    classes()


jf.main(all_rows)
