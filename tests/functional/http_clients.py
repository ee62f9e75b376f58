#!/usr/bin/python3
"""What clients of all kinds send and expect: half-closed connections, long heads, slow readers of a refusal, tracing,
pictures and fields as other programs write them."""

import base64
import json
import os
import re
import struct
import subprocess
import time
import zlib

import jf
from jf import Daemon, case, check, equal

DIGITS = dict(jf.test_digits())
SEVEN = jf.png(DIGITS[7], 28, 28)
JSON = {"Content-Type": "application/json"}


def raw_post(path, body, *fields, version="1.1"):
    head = [f"POST {path} HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body


def final(data):
    """The last of the answers: those before it were interim ones."""
    while data.startswith(b"HTTP/1.1 1"):
        data = data.partition(b"\r\n\r\n")[2]
    return jf.parse_raw(data)


def half_close(d):
    ask = json.dumps({"digit": 7, "steps": 5, "seed": 1}).encode()
    with case("half-close: a client that has said all gets its answer"):
        for _ in range(20):
            got = jf.parse_raw(d.raw(raw_post("/v1/classify", SEVEN, "Content-Type: image/png"), half_close=True))
            equal((got[0], json.loads(got[2])["label"]), (200, 7), "classify")
            got = jf.parse_raw(d.raw(raw_post("/v1/generate", ask, "Content-Type: application/json"), half_close=True))
            equal(got[0], 200, got[2])
    with case("half-close: a stream comes whole"):
        fields = ("Content-Type: application/json", "Accept: text/event-stream")
        got = d.raw(raw_post("/v1/generate", ask, *fields), half_close=True)
        equal([got.count(b"event: " + name) for name in (b"step", b"result", b"error")], [5, 1, 0], got[-300:])
        check(got.endswith(b"0\r\n\r\n"), "the end of the stream")
    with case("half-close: an answer that takes long comes too, after interim ones"):
        long = json.dumps({"digit": 7, "count": 64, "steps": 100}).encode()
        begin = time.monotonic()
        data = d.raw(raw_post("/v1/generate", long, "Content-Type: application/json"), half_close=True)
        equal(final(data)[0], 200, data[:300])
        check(time.monotonic() - begin < 1.5 or data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"), data[:100])
    with case("half-close: HTTP/1.0 knows no interim answers and gets none"):
        data = d.raw(raw_post("/v1/generate", long, "Content-Type: application/json", version="1.0"), half_close=True)
        equal(data.count(b"HTTP/1."), 1, data[:300])
        equal(jf.parse_raw(data)[0], 200, data[:300])
    with case("half-close: the log knows no client that left"):
        check(" 499 " not in d.log(), "499 in the log")


def heads(d):
    def ask(*fields, target="/v1/version"):
        return d.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode() +
                     b"".join(field + b"\r\n" for field in fields) + b"\r\n")

    with case("heads: 16 KB are taken, whatever they are made of"):
        for field in (b"Cookie: a=", b"X-Long: "):
            for size in (1000, 10000, 16000, 16200):
                equal(jf.parse_raw(ask(field + b"x" * size))[0], 200, f"{field} {size}")
        equal(jf.parse_raw(ask(target="/v1/version?" + "x" * 16200))[0], 200, "a long query")
        few = [b"X-%02d: 1" % i for i in range(97)]  # with Host and Connection as many fields as there may be, 1 KB
        equal(jf.parse_raw(ask(b"Cookie: a=" + b"x" * 15200, *few))[0], 200, "a long cookie among many fields")
    with case("heads: more is refused once, as a problem document"):
        for name, fields in (("cookie", (b"Cookie: a=%s",)), ("field", (b"X-Long: %s",)), ("both", (b"Cookie: b=1", b"X-Long: %s"))):
            for size in (16384, 16600, 20000, 30000):
                data = ask(*(field.replace(b"%s", b"x" * size) for field in fields))
                equal(data.count(b"HTTP/1.1 "), 1, f"{name} of {size}: answers in {data!r:.400}")
                status, headers, body = jf.parse_raw(data)
                equal((status, headers["content-type"], len(body)),
                      (431, "application/problem+json", int(headers["content-length"])), f"{name} of {size}")
                jf.conform(json.loads(body), {"$ref": "#/components/schemas/Problem"})
    with case("heads: thousands of cookies, and far too much of anything, are refused once"):
        for fields in ((b"Cookie: " + b"a=1;" * 7000,), (b"Cookie: a=" + b"x" * 79000,), (b"Cookie: a=" + b"x" * 500000,),
                       [b"X-%d: 1" % i for i in range(2000)]):
            data = ask(*fields)
            equal(data.count(b"HTTP/1.1 "), 1, f"{fields[0]!r:.40}: {data!r:.400}")
            equal(jf.parse_raw(data)[0], 431, f"{fields[0]!r:.40}")
    with case("heads: a Content-Length that is none is refused once"):
        for value, status in ((b"abc", 400), (b"99999999999999999999999", 413)):
            data = ask(b"Content-Length: " + value)
            equal(data.count(b"HTTP/1.1 "), 1, data)
            status_, headers, body = jf.parse_raw(data)
            equal((status_, headers["content-type"]), (status, "application/problem+json"), value)
            jf.conform(json.loads(body), {"$ref": "#/components/schemas/Problem"})


def late():
    with Daemon("--upload-timeout-ms=300") as d:
        for name, begin, more in (("body", raw_post("/v1/generate", b"{", "Content-Type: application/json").replace(b": 1\r", b": 500\r"), b" "),
                                  ("head", b"GET /livez HTTP/1.1\r\n", b"X: 1\r\n")):
            with case(f"late: what still arrives of a {name} after its 408 does not reset the connection"):
                link = d.connect()
                link.sendall(begin)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += link.recv(4096)
                equal(jf.parse_raw(data)[0], 408, data)
                end = time.monotonic() + 0.8  # of the two seconds
                while time.monotonic() < end:
                    link.sendall(more)
                    time.sleep(0.1)
                while part := link.recv(4096):
                    data += part
                jf.conform(json.loads(jf.parse_raw(data)[2]), {"$ref": "#/components/schemas/Problem"})
                link.close()
        with case("late: a client that goes on for ever is cut off"):
            link = d.connect()
            link.sendall(raw_post("/v1/generate", b"{", "Content-Type: application/json").replace(b": 1\r", b": 500\r"))
            begin, cut = time.monotonic(), False
            while not cut and time.monotonic() - begin < jf.PATIENCE_S:
                try:
                    link.sendall(b" ")
                    time.sleep(0.1)
                except OSError:
                    cut = True
            check(cut, "it may still send")
            link.close()


def tracing(d):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with case("tracing: a traceparent is returned and logged"):
        equal(d.get("/v1/model", headers={"traceparent": parent}).headers.get("traceparent"), parent, "200")
        equal(d.get("/v1/none", headers={"traceparent": parent}).headers.get("traceparent"), parent, "404")
        equal(d.logged("] trace " + parent, 2), 2, "lines of the log")
    with case("tracing: what is none is neither"):
        for bad in ("", "00", parent.upper(), parent[:-1], parent + "-x", parent.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
                    parent.replace("b7ad6b7169203331", "0" * 16), "ff" + parent[2:], parent.replace("-", "_"), "x" * 55):
            equal(d.get("/v1/model", headers={"traceparent": bad}).headers.get("traceparent"), None, bad)
        equal(d.log().count("] trace "), 2, "lines of the log")


# --- pictures -------------------------------------------------------------------------------------------------------

def rgba(grey, colour, paper=None):
    """28 x 28 RGBA: ink of that colour whose amount is the alpha, on nothing (or on that paper, opaque)."""
    return b"".join(bytes(colour) + bytes([g]) if paper is None else bytes(paper) + b"\xff" for g in grey)


def with_chunk(picture, kind, data):
    return picture[:33] + jf.png_chunk(kind, data) + picture[33:]


def turned_left(grey):
    """28 x 28 bytes, turned by 90 degrees against the clock: what orientation 6 turns back."""
    return bytes(grey[28 * x + (27 - y)] for y in range(28) for x in range(28))


def exif(orientation, order=">"):
    return struct.pack(order + "2sHIHHHIHHI", b"MM" if order == ">" else b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def pictures(d):
    grey = DIGITS[7]

    def label(picture, query=""):
        answer = d.classify(picture, query)
        equal(answer.status, 200, answer.body[:300])
        return answer.json()["label"]

    with case("pictures: what follows the end of a PNG is ignored"):
        for tail in (b"\n", b"\r\n", bytes(512), SEVEN, b"<!-- saved by something -->"):
            equal(label(SEVEN + tail), 7, tail[:20])
    with case("pictures: light ink on nothing is seen, and so is dark ink"):
        for colour in ((255, 255, 255), (255, 230, 0), (0, 0, 0), (200, 0, 0)):
            equal(label(jf.png(rgba(grey, colour), 28, 28, 4)), 7, colour)
        equal(label(jf.png(bytes(v for g in grey for v in (255, g)), 28, 28, 2)), 7, "grey and alpha")
        equal(label(with_chunk(jf.png(grey, 28, 28), b"tRNS", b"\0\0")), 7, "grey with a transparent level")
        equal(label(jf.png(b"".join(b"\xff\xff\xff" + bytes([255 - g]) for g in grey), 28, 28, 4)), 7, "a hole in white")
    with case("pictures: dark ink on paper with clear corners stays dark ink"):
        card = bytearray()
        for y in range(28):
            for x in range(28):
                corner = (x < 3 or x > 24) and (y < 3 or y > 24)
                card += bytes([255 - grey[28 * y + x]] * 3) + (b"\0" if corner else b"\xff")
        equal(label(jf.png(bytes(card), 28, 28, 4)), 7, "label")
    with case("pictures: Apple's CgBI variant is refused by its name"):
        cgbi = SEVEN[:8] + jf.png_chunk(b"CgBI", b"\x50\0\x20\x06") + SEVEN[8:]
        answer = d.classify(cgbi)
        equal((answer.status, "CgBI" in answer.json()["detail"]), (422, True), answer.body)
    with case("pictures: the orientation in eXIf is obeyed"):
        for order in "<>":
            equal(label(with_chunk(jf.png(turned_left(grey), 28, 28), b"eXIf", exif(6, order))), 7, order)
    with case("pictures: preprocess=none with invert=auto turns dark on light round, and light on dark not"):
        for picture, inverted in ((bytes(255 - g for g in grey), True), (grey, False)):
            answer = d.classify(jf.png(picture, 28, 28), "?preprocess=none&invert=auto").json()
            equal((answer["label"], answer["preprocess"]["inverted"]), (7, inverted), "answer")
            equal(d.classify(jf.png(picture, 28, 28), "?preprocess=none&invert=no").json()["preprocess"]["inverted"], False, "no")
    with case("pictures: a data URL's bytes say what it is"):
        text = base64.b64encode(SEVEN).decode()
        for head in ("data:image/png;base64,", "data:;base64,", "DATA:image/PNG;BASE64,", "data:image/x-png;base64,", "data:image/jpeg;base64,",
                     "data:application/octet-stream;base64,", "data:image/png;charset=utf-8;base64,", "Data:text/plain;Base64,"):
            equal(d.post("/v1/classify", {"image": head + text}).json().get("label"), 7, head)


def refused(d):
    """What arrives instead of a picture is named, and what to do is said."""
    wrong = {
        "GIF": b"GIF89a" + bytes(100), "WebP": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "SVG": b'<?xml version="1.0"?>\n<svg xmlns="a"/>',
        "HTML": b"\n<!DOCTYPE html><html></html>", "BMP": b"BM" + bytes(60), "TIFF": b"II*\0" + bytes(60), "PDF": b"%PDF-1.7\n" + bytes(9),
        "HEIC": b"\0\0\0\x18ftypheic" + bytes(9), "AVIF": b"\0\0\0\x18ftypavif" + bytes(9), "ZIP": b"PK\3\4" + bytes(20), "gzip": b"\x1f\x8b\x08" + bytes(9),
        "address": b"https://example.org/7.png", "base64": base64.b64encode(SEVEN), "data URL": b"data:image/png;base64,AAAA", "JSON": b'{"image": 1}',
    }
    for name, data in wrong.items():
        with case(f"refused: {name} is named, however it comes"):
            body, headers = jf.form({"image": data})
            for answer in (d.classify(data), d.request("POST", "/v1/classify", body, headers)):
                equal(answer.status, 422, answer.body)
                check(name in answer.json()["detail"], answer.json()["detail"])
                check("/image" == answer.json()["errors"][0]["pointer"], answer.body)
    with case("refused: a forgotten @ in curl -F image=7.png"):
        body, headers = jf.form({"image": "7.png"})
        answer = d.request("POST", "/v1/classify", body, headers)
        equal(answer.status, 422, answer.body)
        check('"7.png"' in answer.json()["detail"] and "image=@" in answer.json()["detail"], answer.body)
    with case("refused: an address in JSON"):
        answer = d.post("/v1/classify", {"image": "HTTPS://example.org/7.png"})
        check(answer.status == 422 and "fetches nothing" in answer.json()["errors"][0]["detail"], answer.body)
    with case("refused: a file in another field says which is expected"):
        for name in ("file", "upload", "images[]"):
            body, headers = jf.form({name: SEVEN})
            answer = d.request("POST", "/v1/classify", body, headers)
            equal((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/" + name), answer.body)
            check("field is image" in answer.json()["errors"][0]["detail"], answer.body)
    with case("refused: the offending value stands in the message"):
        for question, value, word in (("generate", {"digit": 7, "seed": 1.5}, "1.5"), ("generate", {"digit": 7, "seed": "abc"}, '"abc"'),
                                      ("generate", {"digit": 7, "solver": "rk45"}, '"rk45"'), ("generate", {"digit": "ten"}, '"ten"'),
                                      ("generate", {"digit": 7, "count": 1000}, "1000"), ("generate", {"digit": 7, "count": True}, "true"),
                                      ("generate", {"digit": 7, "guidance": "high"}, '"high"'), ("blend", {"matrix": "yes"}, '"yes"')):
            answer = d.post("/v1/" + question, value)
            check(answer.status == 422 and word in answer.json()["errors"][0]["detail"], answer.body)
        for query, word in (("trace=maybe", '"maybe"'), ("method=guess", '"guess"'), ("samples=x", '"x"')):
            answer = d.classify(SEVEN, "?" + query)
            check(answer.status == 422 and word in answer.json()["errors"][0]["detail"], answer.body)
    with case("refused: fields that contradict each other are called that"):
        for value, name in (({"matrix": True, "from": 1}, "/from"), ({"matrix": True, "rows": 2}, "/rows"), ({"labels": {"1": 1}, "to": 2}, "/to"),
                            ({"labels": {"1": 1}, "columns": 3}, "/columns"), ({"matrix": True, "labels": {"1": 1}}, "/labels")):
            errors = {e["pointer"]: e["detail"] for e in d.post("/v1/blend", value).json()["errors"]}
            check("together with" in errors.get(name, ""), errors)
    with case("refused: an index that the images would carry past 2^53"):
        last = (1 << 53) - 1
        equal(d.post("/v1/generate", {"digit": 7, "steps": 1, "index": last}).status, 200, "one image")
        equal(d.post("/v1/generate", {"digit": 7, "steps": 1, "count": 3, "index": last - 2}).json()["images"][2]["index"], last, "three")
        for question, more in (("generate", {"digit": 7}), ("sample", {})):
            answer = d.post("/v1/" + question, {**more, "steps": 1, "count": 3, "index": last - 1})
            equal((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/index"), answer.body)


def forms(d):
    """Values as other languages and people write them."""
    with case("forms: true and false in text"):
        for text, truth in (("True", True), ("TRUE", True), ("on", True), ("1", True), ("Yes", True), ("", True), ("t", True), ("False", False),
                            ("off", False), ("0", False), ("NO", False), ("f", False)):
            answer = d.classify(SEVEN, f"?method=sample&samples=1&steps=2&trace={text}")
            equal((answer.status, "trace" in answer.json()), (200, truth), text)
    with case("forms: 42.0 is 42"):
        answer = d.post("/v1/generate", {"digit": 7.0, "seed": 42.0, "steps": 2.0, "count": 1e0}).json()
        equal((answer["seed"], answer["steps"], answer["count"]), (42, 2, 1), "seed, steps, count")
    with case("forms: null is as good as absent"):
        answer = d.post("/v1/generate", {"digit": 7, "seed": 3, "steps": None, "label": None, "weights": None, "solver": None, "guidance": None})
        equal(answer.status, 200, answer.body[:300])
        equal(d.post("/v1/generate", {"digit": None}).json()["errors"][0]["pointer"], "/digit", "nothing asked")
    with case("forms: a byte order mark before JSON"):
        equal(d.request("POST", "/v1/generate", b"\xef\xbb\xbf" + b'{"digit": 7, "steps": 1}', JSON).status, 200, "status")
    with case("forms: a byte order mark before the configuration"):
        path = jf.scratch("bom.conf")
        with open(path, "wb") as file:
            file.write(b"\xef\xbb\xbfworkers = 3\n")
        done = subprocess.run([os.path.join(jf.BUILD, "jointflowd"), "--config=" + path, "--print-config"], capture_output=True, check=False)
        check(re.search(rb"^workers = 3$", done.stdout, re.M), done.stdout + done.stderr)
    with case("forms: Content-Encoding: Identity"):
        for name in ("Identity", "identity", "IDENTITY"):
            equal(d.classify(SEVEN, headers={"Content-Encoding": name}).status, 200, name)
        answer = d.classify(zlib.compress(SEVEN), headers={"Content-Encoding": "deflate"})
        check(answer.status == 415 and "deflate" in answer.json()["detail"], answer.body)
    with case("forms: JSON of a picture that a URL names has a weak entity tag, the picture a strong one"):
        path = "/v1/generate?digit=7&steps=1&seed=1"
        for accept, weak in (("application/json", True), ("image/png", False)):
            etag = d.get(path, headers={"Accept": accept}).headers["etag"]
            equal(etag.startswith("W/"), weak, etag)
            for tag in (etag, etag.removeprefix("W/"), "W/" + etag.removeprefix("W/"), f'"x", {etag}'):
                equal(d.get(path, headers={"Accept": accept, "If-None-Match": tag}).status, 304, tag)
            equal(d.get(path, headers={"Accept": accept, "If-None-Match": '"x"'}).status, 200, "another")


def list_form(pictures, name="image", **fields):
    """multipart/form-data as curl writes -F image=@a -F image=@b."""
    out = b"".join(f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{i}.png"\r\nContent-Type: image/png\r\n\r\n'.encode() +
                   picture + b"\r\n" for i, picture in enumerate(pictures))
    out += b"".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items())
    return out + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def several(d):
    good = [jf.png(DIGITS[i], 28, 28) for i in range(10)]
    ask_form = lambda *a, **more: d.request("POST", "/v1/classify", *list_form(*a, **more))
    ask_json = lambda pictures, **more: d.post("/v1/classify", {"images": [base64.b64encode(p).decode() for p in pictures], **more})
    alone = [d.classify(picture).json() for picture in good]
    with case("several: one answer a picture, in order, and the same as alone"):
        for answer in (ask_form(good), ask_form(good, "images"), ask_json(good)):
            equal(answer.status, 200, answer.body[:300])
            got = answer.json()
            equal((got["count"], got["failed"], [r["index"] for r in got["results"]]), (10, 0, list(range(10))), "count, failed, index")
            equal([[r[k] for k in ("label", "probabilities", "preprocess")] for r in got["results"]],
                  [[r[k] for k in ("label", "probabilities", "preprocess")] for r in alone], "results")
    with case("several: draws have the same noise wherever a picture stands"):
        options = {"method": "sample", "samples": 16, "steps": 3, "seed": 5}
        alone_drawn = [d.classify(p, "?" + "&".join(f"{k}={v}" for k, v in options.items())).json() for p in good[:3]]
        for pictures, wanted in ((good[:3], alone_drawn), (good[2::-1], alone_drawn[::-1])):
            got = ask_json(pictures, **options).json()
            equal([r["votes"] for r in got["results"]], [r["votes"] for r in wanted], "votes")
            equal([r["probabilities"] for r in got["results"]], [r["probabilities"] for r in wanted], "probabilities")
            equal((got["samples"], got["steps"], got["seed"]), (16, 3, 5), "what was asked")
    with case("several: a bad picture fails alone, with its index"):
        mixed = [good[1], b"GIF89a" + bytes(50), good[2], b"", jf.png(bytes(784), 28, 28), good[3]]
        for answer in (ask_form(mixed), ask_json(mixed)):
            got = answer.json()
            equal((answer.status, got["count"], got["failed"]), (200, 6, 3), answer.body[:300])
            equal([r.get("label") for r in got["results"]], [1, None, 2, None, None, 3], "labels")
            check("GIF" in got["results"][1]["error"] and "empty" in got["results"][3]["error"], got["results"])
        answer = d.post("/v1/classify", {"images": [base64.b64encode(good[7]).decode(), 7, None, "%%%", "https://example.org/7.png"]})
        got = answer.json()["results"]
        equal(["label" in r for r in got], [True, False, False, False, False], got)
        check("not 7" in got[1]["error"] and "base64" in got[3]["error"] and "address" in got[4]["error"], got)
    with case("several: none that can be used is an error that names each"):
        answer = ask_json([b"GIF89a" + bytes(50), b""])
        equal((answer.status, [e["pointer"] for e in answer.json()["errors"]]), (422, ["/images/0", "/images/1"]), answer.body)
    with case("several: a list of one is a list"):
        for answer in (ask_json([good[4]]), ask_form([good[4]], "images")):
            equal([r["label"] for r in answer.json()["results"]], [4], answer.body)
        equal(ask_form([good[4]]).json()["label"], 4, "one part named image is one picture")
    with case("several: what does not go together is refused"):
        text = base64.b64encode(good[0]).decode()
        for value, pointer in (({"images": [text], "image": text}, "/image"), ({"images": [text], "trace": True}, "/trace"), ({"images": []}, "/images"),
                               ({"images": text}, "/images"), ({"images": [text] * 129}, "/images")):
            answer = d.post("/v1/classify", value)
            equal((answer.status, answer.json()["errors"][0]["pointer"]), (422, pointer), answer.body)
        answer = d.post("/v1/classify", {"images": [text]}, {"Accept": "text/event-stream"})
        equal((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/images"), answer.body)
    with case("several: as many as max_count"):
        equal(ask_json(good * 12 + good[:8]).json()["count"], 128, "JSON")
        equal(ask_form(good * 12 + good[:8], seed=3).json()["count"], 128, "form")


# --- Triton's client ------------------------------------------------------------------------------------------------
# What tritonclient 2.x sends, by its public source (http/_utils.py, _infer_input.py, _requested_output.py), and how it reads
# the answer (_infer_result.py).

def triton_input(raw, shape, datatype, binary=True):
    tensor = {"name": "image", "shape": shape, "datatype": datatype}
    if binary:
        return {**tensor, "parameters": {"binary_data_size": len(raw)}}, raw
    return {**tensor, "data": list(struct.unpack(f"<{len(raw) // 4}f", raw) if datatype == "FP32" else raw)}, b""


def triton_infer(d, tensor, raw, outputs=None, more=None, kind="none"):
    """kind: the Content-Type of the synchronous client (none at all) or of the asyncio one."""
    ask = {"id": "1", "inputs": [tensor]}
    if outputs:
        ask["outputs"] = outputs
    else:
        ask["parameters"] = {"binary_data_output": True}
    text = json.dumps({**ask, **(more or {})}).encode()
    fields = [f"Inference-Header-Content-Length: {len(text)}"] if raw else []
    if kind != "none":
        fields.append("Content-Type: " + kind)
    return jf.parse_raw(d.raw(raw_post(f"/v2/models/{d.model_name()}/infer", text + raw, "Connection: close", *fields)))


def triton_result(got):
    """{name: values} as numpy would have them."""
    status, headers, body = got
    equal(status, 200, body[:300])
    length = headers.get("inference-header-content-length")
    equal(headers["content-type"], "application/octet-stream" if length else "application/json", "type")
    document = json.loads(body[:int(length)] if length else body)
    jf.conform(document, {"$ref": "#/components/schemas/V2InferResponse"})
    at, out = int(length or 0), {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            out[output["name"]] = output["data"]
            continue
        raw, at = body[at:at + size], at + size
        if output["datatype"] == "BYTES":
            values = []
            while raw:
                n, = struct.unpack("<I", raw[:4])
                values.append(raw[4:4 + n].decode())
                raw = raw[4 + n:]
            out[output["name"]] = values
        else:
            code, width = {"FP32": ("f", 4), "INT64": ("q", 8)}[output["datatype"]]
            out[output["name"]] = list(struct.unpack(f"<{size // width}{code}", raw))
        count = 1
        for side in output["shape"]:
            count *= side
        equal(len(out[output["name"]]), count, "values against the shape")
    if length:
        equal(at, len(body), "bytes behind the last output")
    return out


def triton(d):
    pixels = DIGITS[7] + DIGITS[3]
    floats = struct.pack(f"<{len(pixels)}f", *(p / 127.5 - 1 for p in pixels))
    shape = [2, 28, 28, 1]
    path = f"/v2/models/{d.model_name()}/infer"
    wanted = d.post(path, {"inputs": [triton_input(floats, shape, "FP32", False)[0]]}).json()["outputs"]
    wanted = {output["name"]: output["data"] for output in wanted}
    equal(wanted["label"], [7, 3], "labels")
    # bytes and floats become the same pixels but for the last bit
    near = lambda a, b: len(a) == len(b) and all(abs(x - y) < 1e-5 for x, y in zip(a, b))
    with case("triton: the extensions are named"):
        equal(set(d.get("/v2").json()["extensions"]), {"binary_tensor_data", "classification"}, "extensions")
    for kind in ("none", "application/octet-stream", "application/json"):
        with case(f"triton: binary both ways, Content-Type {kind}"):
            for raw, datatype in ((floats, "FP32"), (pixels, "UINT8")):
                got = triton_result(triton_infer(d, *triton_input(raw, shape, datatype), kind=kind))
                check(near(got["probabilities"], wanted["probabilities"]), "probabilities")
                equal(got["label"], [7, 3], "label")
    with case("triton: JSON both ways, without a type, and a mixture"):
        raw_labels = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities", "parameters": {"binary_data": False}}]
        for binary in (False, True):
            tensor = triton_input(pixels, shape, "UINT8", binary)
            equal(triton_result(triton_infer(d, *tensor, outputs=[{"name": "label", "parameters": {"binary_data": False}}])), {"label": [7, 3]}, "label")
            got = triton_result(triton_infer(d, *tensor, outputs=raw_labels))
            check(list(got) == ["label", "probabilities"] and got["label"] == [7, 3] and near(got["probabilities"], wanted["probabilities"]), got)
        got = triton_infer(d, *triton_input(pixels, shape, "UINT8"), outputs=[{"name": "label"}], more={"parameters": {"binary_data_output": True}})
        check("inference-header-content-length" in got[1], "binary_data_output holds for outputs that say nothing")
        equal(triton_result(got), {"label": [7, 3]}, "label")
    with case("triton: classification gives the best classes"):
        for binary in (True, False):
            outputs = [{"name": "probabilities", "parameters": {"classification": 3, "binary_data": binary}}]
            values = triton_result(triton_infer(d, *triton_input(floats, shape, "FP32"), outputs=outputs))["probabilities"]
            equal(len(values), 6, values)
            for i in (0, 1):
                best = sorted(range(10), key=lambda k: -wanted["probabilities"][10 * i + k])[:3]
                equal([int(v.split(":")[1]) for v in values[3 * i:3 * i + 3]], best, values)
                check(abs(float(values[3 * i].split(":")[0]) - wanted["probabilities"][10 * i + best[0]]) < 1e-5, values)
        outputs[0]["parameters"]["classification"] = 1000
        equal(len(triton_result(triton_infer(d, *triton_input(floats, shape, "FP32"), outputs=outputs))["probabilities"]), 20, "all there are")
    with case("triton: errors carry the protocol's member"):
        good, raw = triton_input(floats, shape, "FP32")
        nan = struct.pack("<f", float("nan"))
        wrong = (
            ({**good, "name": "x"}, raw, None, "/inputs/0/name"), ({**good, "datatype": "FP16"}, raw, None, "FP32 or UINT8"),
            ({**good, "shape": [1, 28, 28, 1]}, raw, None, "binary_data_size"), (good, raw + b"x", None, "binary_data_size"),
            (good, raw[:-4], None, "binary_data_size"), ({**good, "parameters": {}}, raw, None, "binary_data_size"),
            ({**good, "data": [1]}, raw, None, "together"), (good, nan + raw[4:], None, "value 0"), (good, raw[:-4] + struct.pack("<f", 1.5), None, "1.5"),
            (good, raw, [{"name": "x"}], "/outputs/0/name"), (good, raw, [{"name": "label", "parameters": {"classification": 2}}], "probabilities only"),
            ({**good, "parameters": {"binary_data_size": -1}}, raw, None, "binary_data_size"), (good, raw, [{"name": "label"}] * 9, "more than 8"))
        for tensor, data, outputs, word in wrong:
            status, headers, body = triton_infer(d, tensor, data, outputs)
            equal((status, headers["content-type"]), (422, "application/problem+json"), body)
            check(word in json.loads(body)["error"], body)
            jf.conform(json.loads(body), {"$ref": "#/components/schemas/Problem"})
        tensor = triton_input(pixels, shape, "UINT8", False)[0]
        check("256" in json.loads(triton_infer(d, {**tensor, "data": [256] * 1568}, b"")[2])["error"], "a pixel of 256")
        check("1.5" in json.loads(triton_infer(d, {**tensor, "data": [1.5] * 1568}, b"")[2])["error"], "a pixel of 1.5")
        for value in ("", "x", "-1", "99999999", "1e2"):
            answer = d.request("POST", path, b"{}", {"Inference-Header-Content-Length": value})
            equal((answer.status, "error" in answer.json()), (400, True), value)
        equal("error" in d.get("/v2/models/none").json(), True, "404")
        equal("error" in d.get("/v1/none").json(), False, "elsewhere")


def many_draws():
    with Daemon("--max-samples=4096", "--workers=1", "--watchdog-stall-ms=60000") as d:
        with case("draws: beyond what the engine takes, 422 names the limit"):
            answer = d.classify(SEVEN, "?samples=2000")
            equal(answer.status, 422, answer.body)
            check("1 to 1000, not 2000" in answer.json()["errors"][0]["detail"], answer.body)
            equal(d.classify(SEVEN, "?samples=1000").status, 200, "the limit itself")
        with case("draws: a client that leaves a posterior of many draws frees the worker"):
            before, finished = d.metric("jointflow_cancellations_total"), d.metric("jointflow_steps_total", task="posterior")
            ask = raw_post("/v1/classify?samples=1000", SEVEN, "Content-Type: image/png")
            links = [d.connect() for _ in range(6)]
            for link in links:
                link.sendall(ask)
            check(jf.wait_for(lambda: d.get("/health").json()["workers"]["busy"]), "not under way")
            time.sleep(0.05)
            for link in links:
                link.setsockopt(jf.socket.SOL_SOCKET, jf.socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.close()
            check(jf.wait_for(lambda: d.get("/health").json()["workers"]["busy"] == 0), "the worker is still busy")
            check(d.metric("jointflow_cancellations_total") > before, "cancelled")
            # this client may be kept from leaving until the first is done
            check(d.metric("jointflow_steps_total", task="posterior") <= finished + 1, "posteriors that were computed to the end")


def clients():
    with Daemon() as d:
        half_close(d)
        heads(d)
        tracing(d)
        pictures(d)
        refused(d)
        forms(d)
        several(d)
        triton(d)


jf.main(clients, late, many_draws)
