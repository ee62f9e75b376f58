#!/usr/bin/python3
"""Every endpoint and every input form of the HTTP API; each answer is checked against doc/openapi.json."""

import base64
import gzip
import json
import math
import os
import re
import shutil
import subprocess

import jf
from jf import Daemon, case, check, equal, wait_for

DIGITS = jf.test_digits()
SEVEN = jf.png(dict(DIGITS)[7], 28, 28)


def forms(d, image, fields):
    """The three upload forms of one classification; the answers without what differs by nature."""
    text = base64.b64encode(image).decode()
    query = "?" + "&".join(f"{k}={v}" for k, v in fields.items()) if fields else ""
    body, headers = jf.form({"image": image, **fields})
    typed = {k: int(v) if str(v).isdigit() else v for k, v in fields.items()}
    answers = [
        d.classify(image, query),
        d.request("POST", "/v1/classify", body, headers),
        d.post("/v1/classify", {"image": text, **typed}),
        d.post("/v1/classify", {"image": "data:image/png;base64," + text, **typed}),
        d.request("POST", "/classify" + query, image, {"Content-Type": "image/png"}),
    ]
    out = []
    for answer in answers:
        equal(answer.status, 200, answer.body)
        value = answer.json()
        for name in ("timings_ms", "request_id"):
            del value[name]
        out.append(value)
    return out


def classify(d):
    for label, pixels in DIGITS:
        with case(f"classify: test digit {label} through every upload form"):
            answers = forms(d, jf.png(pixels, 28, 28), {})
            for other in answers[1:]:
                equal(other, answers[0], "the same picture through another form")
            check(abs(sum(answers[0]["probabilities"]) - 1) < 1e-4, "probabilities sum to 1")
            equal(answers[0]["confidence"], answers[0]["probabilities"][answers[0]["label"]], "confidence")
            if jf.trained_model():
                equal(answers[0]["label"], label, "label")
    with case("classify: a JPEG through every upload form, upright as its Exif says"):
        pixels = dict(DIGITS)[7]
        as_jpeg = jf.jpeg(pixels, 28, 28)
        body, headers = jf.form({"image": as_jpeg})
        text = base64.b64encode(as_jpeg).decode()
        answers = [
            d.request("POST", "/v1/classify", body, headers),
            d.request("POST", "/v1/classify", as_jpeg, {"Content-Type": "image/jpeg"}),
            d.post("/v1/classify", {"image": text}),
            d.post("/v1/classify", {"image": "data:image/jpeg;base64," + text}),
        ]
        for answer in answers:
            equal(answer.status, 200, answer.body)
            equal(answer.json()["probabilities"], answers[0].json()["probabilities"], "another form")
        # 6: the stored picture's rows are the upright one's columns, from the right
        lying = bytes(pixels[28 * x + 27 - y] for y in range(28) for x in range(28))
        turned = d.request("POST", "/v1/classify", jf.jpeg(lying, 28, 28, 1, 6), {"Content-Type": "image/jpeg"}).json()
        check(max(abs(a - b) for a, b in zip(turned["probabilities"], answers[0].json()["probabilities"])) < 0.05,
            "the same digit, turned")
        equal(d.request("POST", "/v1/classify", as_jpeg[:200], {"Content-Type": "image/jpeg"}).status, 422, "cut")
    with case("classify: method=sample with votes, the same in every form"):
        answers = forms(d, SEVEN, {"method": "sample", "samples": 5, "steps": 4, "seed": 3, "solver": "heun"})
        for other in answers[1:]:
            equal(other, answers[0], "another form")
        equal(sum(answers[0]["votes"]), 5, "votes")
        equal(answers[0]["seed"], 3, "seed")
    with case("classify: trace shows what the network saw and every step"):
        value = d.classify(SEVEN, "?method=sample&samples=2&steps=3&trace=yes").json()
        equal([s["step"] for s in value["trace"]], [1, 2, 3], "steps")
        equal(value["trace"][-1]["time"], 0, "time at the end")
        width, height, _, rows = jf.png_decode(base64.b64decode(value["preprocess"]["image"]))
        equal((width, height), (28, 28), "size")
        equal(b"".join(rows), dict(DIGITS)[7], "MNIST's own pictures pass unchanged")
    with case("classify: colour, alpha, 16 bit and large pictures"):
        grey = dict(DIGITS)[7]
        for name, data in {
                "rgb": jf.png(bytes(v for p in grey for v in (p, p, p)), 28, 28, 3),
                "rgba on white": jf.png(bytes(v for p in grey for v in (0, 0, 0, p)), 28, 28, 4),
                "16 bit": jf.png(bytes(v for p in grey for v in (p, p)), 28, 28, 1, 16),
                "8 times as large": jf.png(bytes(grey[28 * (y // 8) + x // 8] for y in range(224) for x in range(224)),
                                           224, 224),
        }.items():
            answer = d.classify(data)
            equal(answer.status, 200, name)
            if jf.trained_model():
                equal(answer.json()["label"], 7, name)
    with case("classify: dark on light is turned round by itself, not when told otherwise"):
        dark = jf.png(bytes(255 - p for p in dict(DIGITS)[7]), 28, 28)
        equal(d.classify(dark).json()["preprocess"]["inverted"], True, "auto")
        equal(d.classify(SEVEN, "?invert=no").json()["preprocess"]["inverted"], False, "no")
        equal(d.classify(SEVEN, "?preprocess=none").json()["preprocess"]["method"], "none", "preprocess")
    with case("classify: chunked upload"):
        link = d.connection()
        link.request("POST", "/v1/classify", iter([SEVEN[:50], SEVEN[50:]]), {"Content-Type": "image/png"},
                     encode_chunked=True)
        equal(link.getresponse().status, 200, "status")
        link.close()


def familiarity(d):
    blot = bytes(255 * (abs(x - 14) < 9 and abs(y - 14) < 9 and (x + y) % 2) for y in range(28) for x in range(28))
    with case("classify: how familiar a picture is, by either method, alone and in a list"):
        if jf.trained_model():
            for picture, known in ((SEVEN, True), (jf.png(blot, 28, 28), False)):
                text = base64.b64encode(picture).decode()
                first = d.classify(picture).json()
                equal(first["unfamiliar"], not known, first)
                equal(first["familiarity"] < 0.01, not known, first)
                others = [d.classify(picture, "?method=sample&samples=2&steps=2&seed=5").json(),
                          d.classify(picture, "?samples=3").json(),
                          *d.post("/v1/classify", {"images": [text] * 6}).json()["results"]]
                for other in others:
                    equal(other["familiarity"], first["familiarity"], "the same picture asked about otherwise")
    with case("classify: below min_familiarity there is no label"):
        if jf.trained_model():
            for query in ("?min_familiarity=0.01", "?min_familiarity=0.01&method=sample&samples=2&steps=2"):
                equal(d.classify(SEVEN, query).json()["label"], 7, "a digit keeps its label")
                answer = d.classify(jf.png(blot, 28, 28), query)
                equal(answer.status, 200, answer.body)
                equal((answer.json()["label"], answer.json()["name"]), (None, None), "label and name")
            for bad in ("-0.1", "1.1", "x"):
                equal(d.classify(SEVEN, "?min_familiarity=" + bad).status, 422, bad)
            check("jointflow_picture_familiarity_ratio_count" in d.get("/metrics").body.decode(), "the histogram")


def score(d):
    def plain(answer):
        equal(answer.status, 200, answer.body)
        value = answer.json()
        for name in ("timings_ms", "request_id"):
            del value[name]
        return value
    text, digits = base64.b64encode(SEVEN).decode(), [jf.png(pixels, 28, 28) for _, pixels in DIGITS]
    with case("score: likelihoods, Bayes' rule and the posterior hang together"):
        value = plain(d.post("/v1/score", {"image": text, "draws": 16}))
        equal((value["draws"], value["seed"]), (16, 0), "draws, and a seed that is not drawn")
        bits = -value["log_p"] / math.log(2) / 784
        check(abs(value["bits_per_dimension"] - bits) < 1e-5 * bits, "bits per dimension")
        check(0 < value["bits_per_dimension_error"] < bits and value["log_p_error"] > 0, "errors")
        weights = [math.exp(v - max(value["log_p_given_label"])) for v in value["log_p_given_label"]]
        check(max(abs(w / sum(weights) - p) for w, p in zip(weights, value["probabilities"])) < 1e-3, "Bayes' rule")
        equal(value["posterior"], d.classify(SEVEN).json()["probabilities"], "the posterior is that of classify")
        apart = max(abs(a - b) for a, b in zip(value["probabilities"], value["posterior"]))
        check(abs(apart - value["difference"]) < 1e-6, "difference")
        equal(value.get("familiarity"), d.classify(SEVEN).json().get("familiarity"), "familiarity")
        if jf.trained_model():
            check(value["label"] == 7 and bits < 2, value)
            few, many = value["log_p_error"], plain(d.post("/v1/score", {"image": text, "draws": 128}))["log_p_error"]
            check(many < few, f"error of 16 draws {few}, of 128 {many}")
    with case("score and method=likelihood: every way to send it, alone and in a list, the same bytes"):
        for path, fields in (("/v1/score", {"draws": 4, "seed": 5}), ("/v1/classify", {"method": "likelihood", "samples": 4, "seed": 5})):
            query = path + "?" + "&".join(f"{k}={v}" for k, v in fields.items())
            wanted = plain(d.post(path, {"image": text, **fields}))
            body, headers = jf.form({"image": SEVEN, **fields})
            equal(plain(d.request("POST", query, SEVEN, {"Content-Type": "image/png"})), wanted, "a picture as the body")
            equal(plain(d.request("POST", path, body, headers)), wanted, "a form")
            check(plain(d.post(path, {"image": text, **fields, "seed": 6}))["probabilities"] != wanted["probabilities"], "another seed")
            several = plain(d.post(path, {"images": [base64.b64encode(one).decode() for one in digits] + [text, "AAAA"], **fields}))
            equal((several["count"], several["failed"]), (len(digits) + 2, 1), "count")
            equal({"seed": 5, **several["results"][-2]}, {"index": len(digits), **{k: v for k, v in wanted.items()
                  if k not in ("method", "samples", "draws", "model")}}, "in a list")
    with case("classify: method=likelihood, a label with its familiarity"):
        value = plain(d.classify(SEVEN, "?method=likelihood&samples=8"))
        equal((value["method"], value["samples"], "votes" in value, "steps" in value), ("likelihood", 8, False, False), "answer")
        check(abs(sum(value["probabilities"]) - 1) < 1e-4, "probabilities")
        equal(value.get("familiarity"), d.classify(SEVEN).json().get("familiarity"), "familiarity")
        equal(plain(d.classify(SEVEN, "?method=likelihood"))["samples"], 64, "by default")
        if jf.trained_model():
            equal([plain(d.classify(one, "?method=likelihood&samples=16"))["label"] for one in digits], [k for k, _ in DIGITS], "labels")
        if "familiarity" in value:
            equal(plain(d.classify(SEVEN, "?method=likelihood&samples=2&min_familiarity=1"))["label"], None, "below min_familiarity")
    with case("score and method=likelihood: what is refused, and where"):
        for path, fields, pointer, said in (
                ("score", {"draws": 3}, "/draws", "even"), ("score", {"draws": 0}, "/draws", "2"), ("score", {"draws": 4098}, "/draws", "4096"),
                ("score", {"samples": 4}, "/samples", ""), ("score", {"steps": 4}, "/steps", ""), ("score", {"image": "aGFsbG8="}, "/image", ""),
                ("classify", {"method": "likelihood", "samples": 5}, "/samples", "even"),
                ("classify", {"method": "likelihood", "samples": 1}, "/samples", "2"), ("classify", {"method": "likely"}, "/method", "likelihood")):
            answer = d.post("/v1/" + path, {"image": text, **fields})
            equal((answer.status, [e["pointer"] for e in answer.json()["errors"]][:1]), (422, [pointer]), f"{path} {fields}: {answer.body}")
            check(said in answer.json()["errors"][0]["detail"], answer.body)
        answer = d.post("/v1/score", {"image": text, "draws": 4096})
        equal(answer.status, 422, answer.body)  # 4096 x 11 + 1
        check("45057" in answer.json()["detail"] and "20000" in answer.json()["detail"], answer.body)
        equal(d.get("/v1/score").status, 405, "GET")
        equal(d.post("/v1/score", {"image": text}, {"Accept": "image/png"}).status, 406, "there is no picture of it")
    with case("metrics: scores and likelihoods are jobs of their own"):
        page = d.get("/metrics").body.decode()
        for kind, steps in (("score", 16), ("likelihood", 8)):
            check(wait_for(lambda: d.metric("jointflow_steps_total", task=kind) >= steps), f"draws of {kind}")
            check(wait_for(lambda: d.metric("jointflow_jobs_total", task=kind, result="done") >= 1), f"jobs of {kind}")
        check('route="/v1/score"' in page, "its route")


def generate(d):
    with case("generate: GET gives a PNG of the asked size, with seed and ETag"):
        answer = d.get("/v1/generate?digit=7&seed=1&steps=3&scale=5")
        equal((answer.status, answer.headers["content-type"], answer.headers["x-seed"]), (200, "image/png", "1"), "head")
        equal(jf.png_decode(answer.body)[:3], (140, 140, 1), "size")
        tag = answer.headers["etag"]
        again = d.get("/v1/generate?digit=7&seed=1&steps=3&scale=5", headers={"If-None-Match": f'"x", W/{tag}'})
        equal((again.status, again.headers["etag"]), (304, tag), "If-None-Match")
        other = d.get("/v1/generate?digit=7&seed=2&steps=3&scale=5", headers={"If-None-Match": tag})
        equal(other.status, 200, "another seed")
        check(other.body != answer.body and other.headers["etag"] != tag, "another picture")
        equal(d.request("HEAD", "/generate?digit=7&seed=1&steps=3&scale=5").headers["content-length"],
              str(len(answer.body)), "HEAD")
    with case("generate: a sheet for count > 1, and its columns and gap"):
        equal(jf.png_decode(d.get("/generate?digit=7&count=6&columns=3&gap=4&scale=1&steps=2").body)[:2],
              (3 * 28 + 4 * 4, 2 * 28 + 3 * 4), "size")
        equal(jf.png_decode(d.get("/generate?digit=7&count=1&gap=4&scale=2&steps=2").body)[:2], (56, 56), "one image")
    with case("generate: without a seed each answer differs and carries no ETag"):
        one, two = d.get("/generate?digit=3&steps=2"), d.get("/generate?digit=3&steps=2")
        check(one.headers["x-seed"] != two.headers["x-seed"] and one.body != two.body, "different")
        check("etag" not in one.headers, "no ETag")
        same = d.get(f"/generate?digit=3&steps=2&seed={one.headers['x-seed']}")
        equal(same.body, one.body, "the told seed gives the picture again")
    with case("generate: JSON, each image again by its own seed and index"):
        value = d.post("/v1/generate", {"digit": 7, "count": 3, "seed": 9, "steps": 3, "guidance": 1.5,
                                        "solver": "midpoint"}).json()
        equal((len(value["images"]), value["count"], value["width"]), (3, 3, 28), "three images")
        equal((value["guidance"], value["guidance_low"], value["guidance_high"]), (1.5, 0, 1), "guidance")
        for image in value["images"]:
            alone = d.post("/generate", {"digit": 7, "seed": image["seed"], "index": image["index"], "steps": 3,
                                         "guidance": 1.5, "solver": "midpoint"}).json()
            equal(alone["images"][0]["b64_json"], image["b64_json"], "alone")
    with case("generate: digit, weights and label name the same picture"):
        pictures = {d.post("/generate", {**label, "seed": 4, "steps": 2}).json()["images"][0]["b64_json"] for label in (
            {"digit": 7}, {"digit": "7"}, {"weights": {"7": 1}}, {"label": [-1] * 7 + [1, -1, -1]})}
        equal(len(pictures), 1, "different pictures")
        texts = {d.get(f"/generate?{label}&seed=4&steps=2").body for label in (
            "digit=7", "weights=7:1", "label=-1,-1,-1,-1,-1,-1,-1,1,-1,-1", "weights=7%3A1")}
        equal(len(texts), 1, "different pictures by query")
    with case("generate: Accept decides"):
        equal(d.post("/generate", {"digit": 1, "steps": 1}, {"Accept": "image/png"}).headers["content-type"], "image/png",
              "POST for PNG")
        equal(d.get("/generate?digit=1&steps=1", headers={"Accept": "application/json"}).headers["content-type"],
              "application/json", "GET for JSON")
        equal(d.get("/generate?digit=1&steps=1", headers={
            "Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}).headers["content-type"],
            "image/png", "an <img>")
        equal(d.post("/generate", {"digit": 1, "steps": 1}, {"Accept": "image/png;q=0.2, application/*;q=0.3"})
              .headers["content-type"], "application/json", "q")
    with case("generate: POST with an empty body takes the query"):
        equal(d.request("POST", "/v1/generate?digit=2&steps=1").status, 200, "status")


def share_of_largest_steps(images):
    pictures = [b"".join(jf.png_decode(base64.b64decode(image["b64_json"]))[3]) for image in images]
    steps = sorted(sum((a - b) ** 2 for a, b in zip(*pair)) ** 0.5 for pair in zip(pictures, pictures[1:]))
    return sum(steps[-3:]) / sum(steps)


def blend_and_sample(d):
    with case("blend: a morph keeps its ends and its noise"):
        value = d.post("/v1/blend", {"from": 6, "to": 7, "columns": 3, "rows": 2, "seed": 5, "steps": 3,
                                      "spacing": "label"}).json()
        equal((value["rows"], value["columns"], len(value["images"])), (2, 3, 6), "shape")
        equal([(i["row"], i["column"]) for i in value["images"]], [(r, c) for r in range(2) for c in range(3)], "order")
        six = d.post("/generate", {"digit": 6, "seed": 5, "index": 1, "steps": 3}).json()["images"][0]
        equal(value["images"][3]["b64_json"], six["b64_json"], "first of the second row is a plain six")
        equal([round(v, 4) for v in value["images"][1]["label_values"]], [-1] * 6 + [0, 0, -1, -1], "the middle")
    with case("blend: steps of the picture, not of the label; what was measured is remembered and changes nothing"):
        asked = {"from": 6, "to": 7, "columns": 21, "seed": 12}
        even, again, by_label = [d.post("/v1/blend", asked | {"spacing": how}).json() for how in ("even", "even", "label")]
        equal([image["b64_json"] for image in again["images"]], [image["b64_json"] for image in even["images"]], "again")
        equal([even["spacing"], by_label["spacing"]], ["even", "label"], "spacing")
        for end in (0, -1):
            equal(even["images"][end]["b64_json"], by_label["images"][end]["b64_json"], "the ends")
        shares = [share_of_largest_steps(value["images"]) for value in (even, by_label)]
        check(shares[0] < 0.35 and shares[1] > 0.45, f"the three largest of 20 steps take {shares} of the way")
        two = d.post("/v1/blend", asked | {"rows": 2}).json()["images"]
        equal([image["b64_json"] for image in two[:21]], [image["b64_json"] for image in even["images"]], "the first of two rows")
    with case("blend: PNG sheets"):
        equal(jf.png_decode(d.get("/blend?from=6&to=7&columns=4&rows=2&scale=1&steps=1&seed=1").body)[:2],
              (4 * 28 + 5 * 2, 2 * 28 + 3 * 2), "morph")
        equal(jf.png_decode(d.get("/blend?matrix=true&scale=1&steps=1&seed=1").body)[:2],
              (10 * 28 + 11 * 2, 10 * 28 + 11 * 2), "matrix")
        value = d.post("/blend", {"labels": {"6": 0.5, "7": 0.25, "9": 0.25}, "rows": 2, "steps": 1}).json()
        equal((value["rows"], value["columns"]), (2, 1), "labels")
    with case("sample: pairs of picture and label"):
        value = d.post("/v1/sample", {"count": 3, "seed": 2, "steps": 3}).json()
        equal(len(value["samples"]), 3, "count")
        for pair in value["samples"]:
            equal(pair["label_values"], [1 if k == pair["label"] else -1 for k in range(10)], "label")
            equal(pair["confidence"], pair["probabilities"][pair["label"]], "confidence")
            equal(jf.png_decode(base64.b64decode(pair["b64_json"]))[:2], (28, 28), "size")
        equal(d.post("/sample", {"count": 3, "seed": 2, "steps": 3}).json()["samples"], value["samples"], "again")
        equal(jf.png_decode(d.post("/sample", {"count": 4, "steps": 1, "scale": 1}, {"Accept": "image/png"}).body)[:2],
              (2 * 28 + 6, 2 * 28 + 6), "sheet")


def edit(d):
    plain = {"image": base64.b64encode(SEVEN).decode(), "seed": 3, "steps": 3}
    def mask(light):
        return base64.b64encode(jf.png(bytes(255 if light(i % 28, i // 28) else 0 for i in range(784)), 28, 28)).decode()
    def pixels(text):
        return b"".join(jf.png_decode(base64.b64decode(text))[3])
    with case("edit: another label, under which it was drawn, and what is seen in it"):
        value = d.post("/v1/edit", {**plain, "digit": 9, "count": 3, "strength": 0.8}).json()
        equal((len(value["images"]), value["original"]["label"], value["masked"]), (3, 7, False), "answer")
        for i, image in enumerate(value["images"]):
            equal(image["label_values"], [1 if k == 9 else -1 for k in range(10)], "label")
            equal((image["index"], image["reached"], round(image["strength"], 6)), (i, image["label"] == 9, 0.8), "image")
        again = d.post("/v1/edit", {**plain, "digit": 9, "index": 2, "strength": 0.8}).json()
        equal(again["images"][0], value["images"][2], "the same alone")
    with case("edit: at full strength it is generate"):
        drawn = d.post("/v1/generate", {"digit": 4, "seed": 3, "steps": 3, "count": 2}).json()["images"]
        value = d.post("/v1/edit", {**plain, "digit": 4, "count": 2, "strength": 1}).json()["images"]
        equal([i["b64_json"] for i in value], [i["b64_json"] for i in drawn], "bytes")
    with case("edit: without a label, variations of what is seen"):
        value = d.post("/v1/edit", {**plain, "strength": 0.3}).json()
        equal(value["images"][0]["label_values"], [1 if k == 7 else -1 for k in range(10)], "label")
        equal(value["images"][0]["reached"], True, "still a seven")
    with case("edit: what a mask keeps stays to the bit"):
        value = d.post("/v1/edit", {**plain, "digit": 3, "mask": mask(lambda x, y: y >= 14), "repeats": 2}).json()
        before, after = pixels(value["preprocess"]["image"]), pixels(value["images"][0]["b64_json"])
        equal((value["masked"], after[:14 * 28]), (True, before[:14 * 28]), "the upper half")
        check(after[14 * 28:] != before[14 * 28:], "the lower half is drawn anew")
        value = d.post("/v1/edit", {**plain, "digit": 3, "mask": mask(lambda x, y: False)}).json()
        equal(pixels(value["images"][0]["b64_json"]), pixels(value["preprocess"]["image"]), "all is kept")
    with case("edit: a counterfactual is the edit of that strength"):
        value = d.post("/v1/edit", {**plain, "digit": 9, "counterfactual": True}).json()["images"][0]
        equal((value["reached"], value["label"]), (True, 9), "found")
        equal(d.post("/v1/edit", {**plain, "digit": 9, "strength": value["strength"]}).json()["images"][0], value, "edit")
        less = d.post("/v1/edit", {**plain, "digit": 9, "strength": round(value["strength"] - 0.05, 2)}).json()["images"][0]
        equal(less["reached"], False, "with less it is not")
        value = d.post("/v1/edit", {**plain, "digit": 7, "counterfactual": True}).json()
        equal((value["images"][0]["strength"], value["images"][0]["b64_json"]), (0, value["preprocess"]["image"]), "it is one already")
    with case("edit: every way to send it, a sheet, a stream"):
        wanted = d.post("/v1/edit", {**plain, "digit": 9}, {"Accept": "image/png"}).body
        equal(d.request("POST", "/edit?digit=9&seed=3&steps=3", SEVEN, {"Content-Type": "image/png", "Accept": "image/png"}).body,
              wanted, "a picture as the body")
        body, headers = jf.form({"image": SEVEN, "mask": base64.b64decode(mask(lambda x, y: True)), "digit": 9, "seed": 3, "steps": 3})
        equal(d.request("POST", "/edit", body, {**headers, "Accept": "image/png"}).body, wanted, "a form")
        equal(jf.png_decode(wanted)[:2], (112, 112), "size")
        events = d.post("/v1/edit", {**plain, "digit": 9, "repeats": 2}, {"Accept": "text/event-stream"}).events()
        equal([(n, v.get("step")) for n, v in events], [("step", 1), ("step", 2), ("step", 3), ("result", None)], "events")
        equal(events[2][1]["image"], events[3][1]["images"][0]["b64_json"], "the last step is the picture")
    with case("edit: what is refused, and where"):
        for more, pointer in (({"strength": 0}, "/strength"), ({"strength": 1.5}, "/strength"), ({"digit": 11}, "/digit"),
                              ({"counterfactual": True}, "/digit"), ({"repeats": 11}, "/repeats"),
                              ({"counterfactual": True, "digit": 9, "strength": 0.5}, "/strength"),
                              ({"digit": 1, "weights": {"1": 1}}, "/label"), ({"mask": "aGFsbG8="}, "/mask"),
                              ({"mask": base64.b64encode(jf.png(bytes(28 * 30), 28, 30)).decode()}, "/mask"),
                              ({"image": "aGFsbG8="}, "/image"), ({"images": [plain["image"]]}, "/image"), ({"method": "sample"}, "/method")):
            answer = d.post("/v1/edit", {**plain, **more})
            equal((answer.status, [e["pointer"] for e in answer.json()["errors"]][:1]), (422, [pointer]), str(more)[:80])
        detail = d.post("/v1/edit", {**plain, "mask": base64.b64encode(jf.png(bytes(28 * 30), 28, 30)).decode()}).json()["errors"][0]["detail"]
        check("28 x 30" in detail and "28 x 28" in detail, detail)
        equal(d.post("/v1/edit", {"digit": 1}).json()["errors"][0]["pointer"], "/image", "no picture")
        equal(d.classify(SEVEN, "?mask=x").status, 422, "a mask is for edits")


def streams(d):
    accept = {"Accept": "text/event-stream"}
    for path, ask, items in (("/v1/generate", {"digit": 7, "count": 2}, 2), ("/v1/sample", {"count": 2}, 2),
                             ("/v1/blend", {"from": 1, "to": 2, "columns": 2}, 2),
                             ("/v1/blend", {"from": 1, "to": 2, "columns": 4}, 4)):
        with case(f"stream: {path} sends every step, then the result that JSON gives"):
            ask = {**ask, "seed": 1, "steps": 4}
            events = d.post(path, ask, accept).events()
            equal([n for n, _ in events], ["step"] * 4 * items + ["result"], "events")
            for item in range(items):
                steps = [v for n, v in events if n == "step" and v["item"] == item]
                equal([s["step"] for s in steps], [1, 2, 3, 4], "steps")
                check(all(a["time"] > b["time"] for a, b in zip(steps, steps[1:])) and steps[-1]["time"] == 0, "clock")
            plain = d.post(path, ask).json()
            key = "samples" if "sample" in path else "images"
            equal(events[-1][1][key], plain[key], "result")
            last = [v for n, v in events if n == "step" and v["item"] == 1][-1]
            equal(last["image"], plain[key][1]["b64_json"], "the last step is the picture")
    with case("stream: classify sends the label's way"):
        events = d.classify(SEVEN, "?method=sample&samples=1&steps=5&seed=1", accept).events()
        equal([n for n, _ in events], ["step"] * 5 + ["result"], "events")
        check(all(len(v["label"]) == 10 and "image" not in v for _, v in events[:-1]), "labels")
        equal([n for n, _ in d.classify(SEVEN, "", accept).events()], ["result"], "posterior has no steps")
    with case("stream: a bad request is a problem document, no stream"):
        equal(d.post("/generate", {"digit": 70}, accept).status, 422, "status")
    hopeless = {"digit": 7, "count": 100, "steps": 200}
    with case("stream: what cannot be done in time, at the speed seen before, is refused at once"):
        answer = d.post("/generate", hopeless, {**accept, "Request-Timeout-Ms": "100"})
        equal((answer.status, answer.json()["type"]), (503, "urn:jointflow:problem:deadline-exceeded"), "answer")
        detail = answer.json()["detail"]
        check(re.match(r"By itself this takes about [0-9.]+ s .* 100 ms are allowed\..*fewer.*Request-Timeout-Ms, at most [0-9]+", detail),
              detail)
        check("retry-after" not in answer.headers, "it is told to come again, though no later moment is better")
    with case("stream: a deadline ends it with an error event"), Daemon() as fresh:  # which has not seen how fast it is
        answer = fresh.post("/generate", hopeless, {**accept, "Request-Timeout-Ms": "100"})
        name, value = answer.events()[-1]
        equal((answer.status, name, value["status"]), (200, "error", 503), "end")
        # it may have by now
        check(re.match("By itself this takes about|Not finished within 100 ms", value["detail"]), value["detail"])


def about(d):
    with case("about: model, version, health, probes, the API's description"):
        equal(d.get("/v1/model").json()["classes"], [str(i) for i in range(10)], "classes")
        for path in ("/model", "/version", "/v1/version", "/health", "/livez", "/readyz", "/", "/docs"):
            equal(d.get(path).status, 200, path)
            head = d.request("HEAD", path)
            equal((head.status, head.body), (200, b""), "HEAD " + path)
        equal(d.get("/openapi.json").json(), jf.API, "openapi.json is the file")
    with case("about: every described operation was there"):
        for template, item in jf.API["paths"].items():
            for method in item:
                answer = d.request("OPTIONS", template.replace("{model}", "x"))
                equal(answer.status, 204, template)
                check(method.upper() in answer.headers["allow"], template + " " + method)
    with case("about: a request id of ours or the client's own"):
        mine = d.get("/livez", headers={"X-Request-Id": "abc-123"})
        equal(mine.headers["x-request-id"], "abc-123", "the client's")
        for bad in ("a b", "x" * 40, "a\"b", ""):
            got = d.get("/livez", headers={"X-Request-Id": bad}).headers["x-request-id"]
            check(got != bad and len(got) == 16, bad)
        check(d.logged("[abc-123]"), "it stands in the log")
    with case("about: keep-alive serves many requests on one connection"):
        link = d.connection()
        for i in range(20):
            equal(d.request("GET", "/livez", link=link).status, 200, "GET")
            equal(d.request("POST", "/v1/generate", "{", {"Content-Type": "application/json"}, link=link).status, 400,
                  "a refused request keeps the connection")
            equal(d.request("POST", "/nothing", "x" * 1000, link=link).status, 404, "its body is skipped")
        link.close()
    with case("about: requests that come in one piece are answered in order"):
        one = b"POST /v1/generate?digit=7&steps=3&seed=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        out = d.raw(one + b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n" + one.replace(b"POST", b"GET") +
                    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        equal(out.count(b"HTTP/1.1 200"), 4, "answers")
        check(out.index(b'"images"') < out.index(b'"api"') < out.index(b"\x89PNG") < out.index(b'"alive"'), "order")
    with case("errors: a seed beyond all limits and a body without a Content-Type say what is wrong"):
        answer = d.request("POST", "/v1/generate", b'{"digit": 7, "seed": 99999999999999999999}', {"Content-Type": "application/json"})
        equal(answer.status, 422, answer.body)
        error = answer.json()["errors"][0]
        check(error["pointer"] == "/seed" and "too large" in error["detail"], error)
        answer = d.request("POST", "/v1/generate", b'{"digit": 7}', {})
        check(answer.status == 415 and "it is missing" in answer.json()["detail"], answer.body)
    with case("metrics: promtool finds nothing to complain about"):
        if not shutil.which("promtool"):
            raise jf.Skip("promtool (Debian package prometheus) is not installed")
        text = d.get("/metrics").body
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        equal((done.returncode, done.stdout + done.stderr), (0, b""), "promtool")
    with case("metrics: requests are counted by route, method and code"):
        before = d.metric("jointflow_http_requests_total", route="/v1/generate", method="GET", code="422")
        d.get("/generate?digit=77")
        # counted when the request is over, which may be after the client has its answer
        check(wait_for(lambda: d.metric("jointflow_http_requests_total", route="/v1/generate", method="GET", code="422") > before),
              "not counted")
        equal(d.metric("jointflow_http_requests_total", route="/v1/generate", method="GET", code="422"), before + 1, "422")
        before = d.metric("jointflow_predictions_total")
        d.classify(SEVEN)
        equal(d.metric("jointflow_predictions_total"), before + 1, "predictions")


def page(d):
    with case("page: every file with its type, gzip and ETag"):
        answer = d.get("/")
        equal(answer.headers["content-type"], "text/html; charset=utf-8", "type")
        policy = answer.headers["content-security-policy"]
        check("default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy, policy)
        packed = d.get("/", headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
        if "content-encoding" in packed.headers:
            equal(gzip.decompress(packed.body), answer.body, "gzip")
            check(packed.headers["etag"] != answer.headers["etag"], "each encoding has its tag")
        check("content-encoding" not in d.get("/", headers={"Accept-Encoding": "gzip;q=0"}).headers, "q=0")
        again = d.get("/", headers={"If-None-Match": answer.headers["etag"]})
        equal((again.status, again.body), (304, b""), "ETag")
    with case("page: nothing outside it"):
        for path in ("/../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/web/index.html", "//index.html", "/index.html/",
                     "/.git/config", "/web/index.html"):
            equal(d.get(path).status, 404, path)


    root = jf.scratch("root")
    os.makedirs(os.path.join(root, "sub", ".hidden"))
    for name, text in (("index.html", "<p>mine"), ("sub/a.js", "1" * 5000), (".secret", "no"), ("sub/.hidden/b.txt", "no")):
        with open(os.path.join(root, name), "w", encoding="ascii") as file:
            file.write(text)
    os.symlink("/etc/passwd", os.path.join(root, "passwd"))
    with Daemon("--web-root=" + root, "--unfamiliar-below=1") as own:
      with case("classify: unfamiliar_below of the configuration says what counts as unfamiliar"):
        if jf.trained_model():
            value = own.classify(SEVEN).json()
            equal((value["unfamiliar"], value["label"], value["familiarity"]), (True, 7, d.classify(SEVEN).json()["familiarity"]), "a good seven")
      with case("page: web_root replaces it; hidden files and links are left out"):
        equal(own.get("/").body, b"<p>mine", "index.html")
        answer = own.get("/sub/a.js", headers={"Accept-Encoding": "gzip"})
        equal((answer.headers["content-type"], answer.headers["content-encoding"]), ("text/javascript; charset=utf-8", "gzip"), "a.js")
        equal(gzip.decompress(answer.body), b"1" * 5000, "its bytes")
        equal([own.get(p).status for p in ("/.secret", "/sub/.hidden/b.txt", "/passwd", "/sub", "/sub/", "/app.js")], [404] * 6, "others")


def inference_protocol(d):
    base = "/v2/models/" + d.model_name()
    pixels = [p / 127.5 - 1 for p in dict(DIGITS)[7]]
    ask = {"id": "one", "inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": pixels}]}
    with case("v2: metadata"):
        equal(d.get("/v2").json()["name"], "jointflow", "server")
        equal(d.get("/v2/health/live").json(), {"live": True}, "live")
        equal(d.get("/v2/health/ready").json(), {"ready": True}, "ready")
        equal(d.get(base).json()["inputs"][0]["shape"], [-1, 28, 28, 1], "input")
        equal(d.get(base + "/versions/1").status, 200, "version")
        equal(d.get(base + "/ready").json(), {"name": d.model_name(), "ready": True}, "model")
        equal(d.get("/v2/models/other").status, 404, "another model")
    with case("v2: infer gives what classify gives"):
        value = d.post(base + "/infer", ask).json()
        equal(value["id"], "one", "id")
        probabilities, label = value["outputs"]
        equal((probabilities["shape"], label["shape"]), ([1, 10], [1]), "shapes")
        plain = d.classify(SEVEN).json()
        equal(label["data"], [plain["label"]], "label")
        check(max(abs(a - b) for a, b in zip(probabilities["data"], plain["probabilities"])) < 1e-5, "probabilities")
    with case("v2: nested and flat data, batches, chosen outputs"):
        rows = [[[v] for v in pixels[28 * y:28 * (y + 1)]] for y in range(28)]
        inputs = {"name": "image", "datatype": "FP32"}
        nested = d.post(base + "/infer", {"inputs": [{**inputs, "shape": [2, 28, 28, 1], "data": [rows, rows]}],
                                                   "outputs": [{"name": "label"}]}).json()
        flat = d.post(base + "/infer", {"inputs": [{**inputs, "shape": [2, 784], "data": pixels * 2}]}).json()
        equal(len(nested["outputs"]), 1, "outputs")
        equal(nested["outputs"][0], flat["outputs"][1], "the same")
    with case("v2: familiarity, when it is asked for"):
        told = [output["name"] for output in d.get(base).json()["outputs"]]
        asked = {"inputs": [{**inputs, "shape": [2, 784], "data": pixels + [1.0, -1.0] * 392}], "outputs": [{"name": "familiarity"}]}
        answer = d.post(base + "/infer", asked)
        if jf.trained_model():
            equal(told, ["probabilities", "label", "familiarity"], "metadata")
            [output] = answer.json()["outputs"]
            equal((output["datatype"], output["shape"]), ("FP32", [2]), "form")
            check(abs(output["data"][0] - d.classify(SEVEN).json()["familiarity"]) < 1e-4, "of a digit")
            check(output["data"][1] < 0.01, "of stripes")
            equal(d.post(base + "/infer", {**asked, "inputs": [{**asked["inputs"][0], "shape": [1, 784], "data": pixels}]}).json()["outputs"][0]["data"],
                  output["data"][:1], "alone")
        else:
            equal((told, answer.status), (["probabilities", "label"], 422), "a model that is not calibrated")


def all_of_it():
    with Daemon() as d:
        for part in (classify, familiarity, score, generate, blend_and_sample, edit, streams, about, page, inference_protocol):
            part(d)
        with case("every answer so far was logged with its id and the log has no error"):
            check(" error: " not in d.log(), d.log()[-2000:])
            check(d.logged(json.dumps(d.get("/livez").headers["x-request-id"])[1:-1]), "id")


jf.main(all_of_it)
