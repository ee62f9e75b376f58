#!/usr/bin/python3
"""Bad input, case by case: each gives the documented problem document, and the daemon stays well."""

import base64
import json
import struct
import time
import zlib

import jf
from jf import Daemon, check, equal, wait_for

SEVEN = jf.png(dict(jf.test_digits())[7], 28, 28)
JSON = {"Content-Type": "application/json"}
PNG = {"Content-Type": "image/png"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
MODEL = "/v2/models/{model}/infer"
HOST = b"Host: 127.0.0.1\r\n"


def text(value):
    return json.dumps(value)


def image_of(width, height, body=b"", kind=0, depth=8, before=b"", after=b""):
    """A PNG with a header of our choice."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + jf.png_chunk(b"IHDR", head) + before + jf.png_chunk(b"IDAT", body) + after +
            jf.png_chunk(b"IEND", b""))


def pictures():
    """(name, PNG bytes): each is refused with 422."""
    grey = bytes(28 * 28)
    broken_crc = bytearray(SEVEN)
    broken_crc[-20] ^= 1
    flipped = bytearray(SEVEN)
    flipped[45] ^= 0xff
    yield "no bytes", b""
    yield "a text", b"this is no picture at all, but long enough to be one"
    yield "a JPEG", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200)
    yield "a GIF", b"GIF89a" + bytes(200)
    yield "the signature alone", SEVEN[:8]
    yield "seven bytes of the signature", SEVEN[:7]
    yield "no IHDR", SEVEN[:8] + jf.png_chunk(b"IEND", b"")
    for part in (9, 12, 20, 33, 40, 60, len(SEVEN) // 2, len(SEVEN) - 12, len(SEVEN) - 1):
        yield f"cut after {part} bytes", SEVEN[:part]
    yield "a wrong CRC", bytes(broken_crc)
    yield "a flipped byte in the data", bytes(flipped)
    yield "a width of zero", image_of(0, 28, zlib.compress(grey))
    yield "a height of zero", image_of(28, 0, zlib.compress(grey))
    yield "2049 pixels wide", image_of(2049, 8, zlib.compress(bytes(2050 * 8)))
    yield "2049 pixels high", image_of(8, 2049, zlib.compress(bytes(9 * 2049)))
    yield "4 thousand million pixels a side", image_of(0xffffffff, 0xffffffff, zlib.compress(grey))
    yield "2^31 pixels wide", image_of(1 << 31, 1, zlib.compress(grey))
    yield "a deflate bomb", image_of(28, 28, zlib.compress(bytes(50_000_000), 9))
    yield "a bomb in a text chunk", image_of(28, 28, zlib.compress(bytes(29 * 28)), before=jf.png_chunk(
        b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9)) + jf.png_chunk(b"iCCP", b"a\0\0" + zlib.compress(
            bytes(100_000_000), 9)))
    yield "too little data", image_of(28, 28, zlib.compress(bytes(100)))
    yield "data that is no zlib stream", image_of(28, 28, b"\xff" * 100)
    yield "no data", image_of(28, 28, b"")
    yield "an unknown filter", image_of(28, 28, zlib.compress(b"\x09" + bytes(29 * 28 - 1)))
    yield "an unknown colour type", image_of(28, 28, zlib.compress(bytes(29 * 28)), kind=5)
    yield "an unknown depth", image_of(28, 28, zlib.compress(bytes(29 * 28)), depth=3)
    yield "a palette picture without a palette", image_of(28, 28, zlib.compress(bytes(29 * 28)), kind=3)
    yield "an unknown critical chunk", image_of(28, 28, zlib.compress(bytes(29 * 28)), before=jf.png_chunk(b"ABCD", b"x"))
    yield "a chunk longer than the file", SEVEN[:33] + struct.pack(">I", 0x7fffffff) + b"IDAT"
    yield "a blank white picture", jf.png(b"\xff" * 784, 28, 28)
    yield "a blank black picture", jf.png(bytes(784), 28, 28)
    yield "a blank grey picture", jf.png(b"\x80" * 784, 28, 28)
    yield "a blank transparent picture", jf.png(bytes(4 * 784), 28, 28, 4)


def bodies():
    """(name, path, body, headers, status): requests whose framing is fine."""
    deep = "[" * 100 + "]" * 100
    # --- JSON that is none: 400
    for name, body in (
            ("an empty object's half", "{"), ("a stray brace", "}"), ("nothing but a blank", " "), ("a bare word", "digit"),
            ("a trailing comma", '{"digit": 7,}'), ("single quotes", "{'digit': 7}"), ("no quotes", "{digit: 7}"),
            ("two values", '{"digit": 7} {"digit": 8}'), ("a comment", '{"digit": 7 /* seven */}'),
            ("NaN", '{"guidance": NaN, "digit": 7}'), ("Infinity", '{"guidance": Infinity, "digit": 7}'),
            ("-Infinity", '{"guidance": -Infinity, "digit": 7}'), ("a leading zero", '{"digit": 07}'),
            ("a plus sign", '{"digit": +7}'), ("hexadecimal", '{"digit": 0x7}'), ("a bare point", '{"guidance": .5, "digit": 7}'),
            ("a number beyond double", '{"guidance": 1e999, "digit": 7}'),
            ("a field given twice", '{"digit": 7, "digit": 8}'), ("an unknown escape", '{"solver": "\\x41", "digit": 7}'),
            ("half a surrogate pair", '{"solver": "\\ud800", "digit": 7}'), ("NUL in a text", '{"solver": "\\u0000", "digit": 7}'),
            ("NUL in a name", '{"a\\u0000b": 1, "digit": 7}'), ("a raw NUL", b'{"digit": 7}\0'), ("a raw control character", b'{"a": "\x01"}'),
            ("a raw line feed in a text", '{"solver": "a\nb"}'), ("invalid UTF-8", b'{"solver": "\xff\xfe"}'),
            ("overlong UTF-8", b'{"solver": "\xc0\xaf"}'), ("a surrogate in UTF-8", b'{"solver": "\xed\xa0\x80"}'),
            ("UTF-16", '{"digit": 7}'.encode("utf-16")), ("two byte order marks", b'\xef\xbb\xbf\xef\xbb\xbf{"digit": 7}'),
            ("100 arrays deep", deep), ("100000 arrays deep", "[" * 100000), ("17 objects deep", '{"a":' * 17 + "1" + "}" * 17),
            ("an unfinished text", '{"digit": "7'), ("an unfinished literal", '{"matrix": tru}'), ("a PNG", SEVEN),
            ("33 fields", text({f"f{i}": i for i in range(33)})), ("a form", "digit=7"), ("XML", "<digit>7</digit>")):
        yield f"JSON: {name}", "/v1/generate", body, JSON, 400
    # --- JSON of the wrong shape or range: 422
    for name, value in (
            ("null", None), ("an array", [7]), ("a text", "7"), ("a number", 7), ("true", True), ("nothing asked", {}),
            ("an unknown field", {"digit": 7, "colour": "red"}), ("a misspelt field", {"digit": 7, "Steps": 3}),
            ("an empty name", {"digit": 7, "": 1}), ("a name that needs escapes", {"digit": 7, "a/b~c": 1}),
            ("digit 10", {"digit": 10}), ("digit -1", {"digit": -1}), ("digit 7.5", {"digit": 7.5}),
            ("digit null", {"digit": None}), ("digit []", {"digit": []}), ("digit true", {"digit": True}),
            ("digit by an unknown name", {"digit": "ten"}), ("digit as an empty text", {"digit": ""}),
            ("digit and weights", {"digit": 7, "weights": {"7": 1}}), ("digit and label", {"digit": 7, "label": [0] * 10}),
            ("label too short", {"label": [0] * 9}), ("label too long", {"label": [0] * 11}), ("label empty", {"label": []}),
            ("label of 100000", {"label": [0] * 100000}), ("label with a text", {"label": [0] * 9 + ["1"]}),
            ("label with null", {"label": [0] * 9 + [None]}), ("label out of range", {"label": [0] * 9 + [11]}),
            ("label no array", {"label": 1}), ("label nested", {"label": [[0] * 10]}),
            ("weights empty", {"weights": {}}), ("weights no object", {"weights": [1]}), ("weights a number", {"weights": 1}),
            ("weights of an unknown class", {"weights": {"10": 1}}), ("weights negative", {"weights": {"7": -0.1}}),
            ("weights above 1", {"weights": {"7": 1.5}}), ("weights with a text", {"weights": {"7": "1"}}),
            ("count 0", {"digit": 7, "count": 0}), ("count negative", {"digit": 7, "count": -5}), ("count 129", {"digit": 7, "count": 129}),
            ("count 2^40", {"digit": 7, "count": 1 << 40}), ("count 1.5", {"digit": 7, "count": 1.5}), ("count '1'", {"digit": 7, "count": "1"}),
            ("count true", {"digit": 7, "count": True}), ("steps 0", {"digit": 7, "steps": 0}), ("steps 201", {"digit": 7, "steps": 201}),
            ("steps 1e3", {"digit": 7, "steps": 1e3}), ("seed 1e300", {"digit": 7, "seed": 1e300}), ("index 2^53 - 1 of two", {"digit": 7, "count": 2, "index": (1 << 53) - 1}), ("seed negative", {"digit": 7, "seed": -1}),
            ("seed 2^53", {"digit": 7, "seed": 1 << 53}), ("seed 1.5", {"digit": 7, "seed": 1.5}), ("seed a text", {"digit": 7, "seed": "1"}),
            ("index negative", {"digit": 7, "index": -1}), ("solver unknown", {"digit": 7, "solver": "rk45"}),
            ("solver a number", {"digit": 7, "solver": 1}), ("guidance negative", {"digit": 7, "guidance": -0.5}),
            ("guidance 21", {"digit": 7, "guidance": 21}), ("guidance a text", {"digit": 7, "guidance": "1"}),
            ("guidance_low 1.1", {"digit": 7, "guidance_low": 1.1}), ("guidance_high -1", {"digit": 7, "guidance_high": -1}),
            ("guidance_low above guidance_high", {"digit": 7, "guidance_low": 0.6, "guidance_high": 0.5}),
            ("scale 0", {"digit": 7, "scale": 0}), ("scale 17", {"digit": 7, "scale": 17}), ("gap -1", {"digit": 7, "gap": -1}),
            ("gap 65", {"digit": 7, "gap": 65}), ("columns 0", {"digit": 7, "columns": 0})):
        yield f"generate: {name}", "/v1/generate", text(value), JSON, 422
    yield "generate: an integer beyond 64 bits", "/v1/generate", '{"seed": 99999999999999999999, "digit": 7}', JSON, 422
    for name, value in (
            ("nothing asked", {}), ("from alone", {"from": 6}), ("to alone", {"to": 7}), ("from unknown", {"from": 12, "to": 7}),
            ("from a list", {"from": [6], "to": 7}), ("one column", {"from": 6, "to": 7, "columns": 1}),
            ("rows x columns too many", {"from": 6, "to": 7, "columns": 20, "rows": 20}), ("rows 0", {"from": 6, "to": 7, "rows": 0}),
            ("matrix with from", {"matrix": True, "from": 1}), ("matrix a text", {"matrix": "yes"}), ("matrix a number", {"matrix": 1}),
            ("labels empty", {"labels": {}}), ("labels an array", {"labels": [1, 2]}), ("labels with to", {"labels": {"1": 1}, "to": 2}),
            ("count", {"from": 6, "to": 7, "count": 3})):
        yield f"blend: {name}", "/v1/blend", text(value), JSON, 422
    for name, value in (("digit", {"digit": 7}), ("guidance", {"guidance": 2}), ("count 0", {"count": 0}), ("label", {"label": [0] * 10})):
        yield f"sample: {name}", "/v1/sample", text(value), JSON, 422
    # --- classify
    good = base64.b64encode(SEVEN).decode()
    for name, value in (
            ("no image", {}), ("image null", {"image": None}), ("image a number", {"image": 7}), ("image an array", {"image": [1]}),
            ("image an object", {"image": {"b64": good}}), ("image empty", {"image": ""}), ("image no base64", {"image": "%%%"}),
            ("image with a pad inside", {"image": good[:20] + "=" + good[20:]}), ("image cut", {"image": good[:100]}),
            ("image of one digit", {"image": "A"}), ("a data URL without base64", {"image": "data:image/png," + good}),
            ("a data URL of a GIF", {"image": "data:image/png;base64," + base64.b64encode(b"GIF89a" + bytes(200)).decode()}), ("a data URL's beginning", {"image": "data:"}),
            ("a URL", {"image": "http://127.0.0.1/7.png"}), ("a path", {"image": "/etc/passwd"}),
            ("method unknown", {"image": good, "method": "guess"}), ("samples 0", {"image": good, "samples": 0}),
            ("samples 65", {"image": good, "samples": 65}), ("preprocess unknown", {"image": good, "preprocess": "yes"}),
            ("invert true", {"image": good, "invert": True}), ("trace a text", {"image": good, "trace": "true"}),
            ("an unknown field", {"image": good, "digit": 7})):
        yield f"classify: {name}", "/v1/classify", text(value), JSON, 422
    for name, picture in pictures():
        if picture:
            yield f"picture, raw: {name}", "/v1/classify", picture, PNG, 422
            body, headers = jf.form({"image": picture})
            yield f"picture, form: {name}", "/v1/classify", body, headers, 422
        yield f"picture, base64: {name}", "/v1/classify", text({"image": base64.b64encode(picture).decode()}), JSON, 422
    # --- forms
    part = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + SEVEN + b"\r\n"
    bad = {
        "no boundary in the type": (part + b"--b--\r\n", {"Content-Type": "multipart/form-data"}),
        "an empty boundary": (part + b"--b--\r\n", {"Content-Type": 'multipart/form-data; boundary=""'}),
        "a boundary of 71 characters": (part + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=" + "b" * 71}),
        "an unfinished quote": (part + b"--b--\r\n", {"Content-Type": 'multipart/form-data; boundary="b'}),
        "another boundary": (part.replace(b"--b", b"--c") + b"--c--\r\n", FORM),
        "no closing boundary": (part, FORM),
        "a closing boundary only": (b"--b--\r\n", FORM),
        "no body": (b"", FORM),
        "half a header": (b"--b\r\nContent-Disposition: form-data; name=", FORM),
        "a header without a colon": (b"--b\r\nContent-Disposition\r\n\r\nx\r\n--b--\r\n", FORM),
        "no name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", FORM),
        "an empty name": (b'--b\r\nContent-Disposition: form-data; name=""\r\n\r\nx\r\n--b--\r\n', FORM),
        "a name of 100 characters": (b'--b\r\nContent-Disposition: form-data; name="' + b"n" * 100 + b'"\r\n\r\nx\r\n--b--\r\n', FORM),
        "no disposition": (b"--b\r\nContent-Type: image/png\r\n\r\n" + SEVEN + b"\r\n--b--\r\n", FORM),
        "an attachment": (part.replace(b"form-data", b"attachment") + b"--b--\r\n", FORM),
        "base64 transfer encoding": (part.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + b"--b--\r\n", FORM),
        "rubbish behind a boundary": (part + b"--bxyz\r\n", FORM),
        "40 parts": (b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % i for i in range(40)) + b"--b--\r\n", FORM),
        "a field that is not UTF-8": (part + b'--b\r\nContent-Disposition: form-data; name="seed"\r\n\r\n\xff\r\n--b--\r\n', FORM),
        "NUL in a field": (part + b'--b\r\nContent-Disposition: form-data; name="seed"\r\n\r\n1\0\r\n--b--\r\n', FORM),
    }
    for name, (body, headers) in bad.items():
        yield f"form: {name}", "/v1/classify", body, headers, 422 if name in ("a closing boundary only",) else 400
    end = b"--b--\r\n"
    for name, field, value in (("an unknown field", "digit", "7"), ("seed 1x", "seed", "1x"), ("seed ' 1'", "seed", " 1"), ("steps ''", "steps", ""),
                               ("samples 1e1", "samples", "1e1"), ("trace maybe", "trace", "maybe"), ("method ''", "method", "")):
        body = part + f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode() + end
        yield f"form: {name}", "/v1/classify", body, FORM, 422
    yield "form: a field twice", "/v1/classify", part + 2 * (b'--b\r\nContent-Disposition: form-data; name="seed"\r\n\r\n1\r\n') + end, FORM, 422
    yield "a field in the query and in the body", "/v1/generate?digit=7", text({"digit": 7}), JSON, 422
    # --- types
    for name, headers in (("none", {}), ("a form", {"Content-Type": "application/x-www-form-urlencoded"}), ("text", {"Content-Type": "text/plain"}),
                          ("a GIF", {"Content-Type": "image/gif"}), ("empty", {"Content-Type": ""}), ("almost JSON", {"Content-Type": "application/jsonx"}),
                          ("JSON, compressed", {**JSON, "Content-Encoding": "gzip"})):
        yield f"media type: {name}", "/v1/classify", b"xx", headers, 415
    yield "media type: a PNG for generate", "/v1/generate", SEVEN, PNG, 415
    for accept in ("text/html", "image/png", "application/xml", "application/json;q=0", "*/*;q=0", "nonsense"):
        yield f"accept: {accept} from classify", "/v1/classify", SEVEN, {**PNG, "Accept": accept}, 406
    for value in ("0", "-5", "abc", "1.5", "", "10ms", " "):
        yield f"Request-Timeout-Ms: {value!r}", "/v1/classify", SEVEN, {**PNG, "Request-Timeout-Ms": value}, 400
    # --- the Open Inference Protocol
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 784], "data": [0] * 784}
    for name, value in (
            ("no inputs", {}), ("inputs empty", {"inputs": []}), ("inputs no array", {"inputs": tensor}), ("two inputs", {"inputs": [tensor, tensor]}),
            ("inputs of numbers", {"inputs": [1]}), ("another name", {"inputs": [{**tensor, "name": "x"}]}), ("another type", {"inputs": [{**tensor, "datatype": "FP16"}]}),
            ("another shape", {"inputs": [{**tensor, "shape": [1, 783]}]}), ("a shape of texts", {"inputs": [{**tensor, "shape": ["1", "784"]}]}),
            ("no shape", {"inputs": [{k: v for k, v in tensor.items() if k != "shape"}]}), ("a batch of 0", {"inputs": [{**tensor, "shape": [0, 784]}]}),
            ("a batch of 129", {"inputs": [{**tensor, "shape": [129, 784]}]}), ("too little data", {"inputs": [{**tensor, "data": [0] * 783}]}),
            ("too much data", {"inputs": [{**tensor, "data": [0] * 785}]}), ("no data", {"inputs": [{k: v for k, v in tensor.items() if k != "data"}]}),
            ("data with a text", {"inputs": [{**tensor, "data": [0] * 783 + ["0"]}]}), ("data out of range", {"inputs": [{**tensor, "data": [0] * 783 + [2]}]}),
            ("an unknown output", {"inputs": [tensor], "outputs": [{"name": "x"}]}), ("outputs empty", {"inputs": [tensor], "outputs": []}),
            ("outputs of numbers", {"inputs": [tensor], "outputs": [1]}), ("an id that is a number", {"inputs": [tensor], "id": 1}),
            ("an unknown field", {"inputs": [tensor], "x": 1})):
        yield f"infer: {name}", MODEL, text(value), JSON, 422
    yield "infer: NaN", MODEL, '{"inputs": [NaN]}', JSON, 400
    yield "infer: 20 arrays deep", MODEL, '{"inputs": ' + "[" * 20 + "]" * 20 + "}", JSON, 400
    yield "infer: an unknown model", "/v2/models/x/infer", text({"inputs": [tensor]}), JSON, 404
    # --- size
    yield "a body of 8 MiB + 1", "/v1/classify", b"x" * ((8 << 20) + 1), PNG, 413


def queries():
    for query in ("digit=10", "digit=-1", "digit=7.0", "digit=", "digit", "digit=7&digit=8", "digit=7&steps=0x10", "digit=7&steps=5%20", "digit=7&steps=%2B+5",
                  "digit=7&guidance=nan", "digit=7&guidance=inf", "digit=7&guidance=1e400", "digit=7&guidance=0x1p3", "digit=7&seed=1e3",
                  "digit=7&seed=18446744073709551616", "digit=7&unknown=1", "digit=7&=1", "weights=7", "weights=7:", "weights=:1", "weights=7:2",
                  "weights=7:0.5,", "weights=77:1", "label=1", "label=1,2,3,4,5,6,7,8,9,x", "label=" + ",".join(["0"] * 11), "digit=7&count=999999999999",
                  "digit=7&scale=", "digit=7&columns=-1"):
        yield "/v1/generate?" + query, 422
    for query in ("digit=%", "digit=%7", "digit=%zz", "digit=%00", "digit=%ff", "digit=%c0%af", "d%00=7", "%ff=1",
                  "&".join(f"f{i}=1" for i in range(40))):
        yield "/v1/generate?" + query, 400
    for path, status in (("/nothing", 404), ("/v1", 404), ("/v1/", 404), ("/v1/generate/", 404), ("/v1/generate%00", 400), ("/%zz", 400), ("/%ff", 400),
                         ("/v2/models//infer", 404), ("/v2/models/" + "m" * 500, 404), ("/v1/classify", 405), ("/v1/sample", 405),
                         (MODEL, 405)):
        yield path, status


def wire():
    """(name, raw request, statuses): what stands below the API. 0: closed without an answer. The parser's own refusals
    (marked None as media type below) carry a plain text body."""
    post = b"POST /v1/generate HTTP/1.1\r\n" + HOST
    body = b'{"digit":7,"steps":1}'
    yield "two Content-Lengths", post + b"Content-Length: 21\r\nContent-Length: 22\r\n\r\n" + body, {400}
    yield "two equal Content-Lengths", post + b"Content-Length: 21\r\nContent-Length: 21\r\n\r\n" + body, {400}
    yield "Content-Length and Transfer-Encoding", post + b"Content-Length: 21\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}
    yield "Transfer-Encoding and Content-Length", post + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", {400}
    yield "Transfer-Encoding twice", post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", {400}
    yield "Transfer-Encoding: gzip, chunked", post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400}
    yield "Transfer-Encoding: identity", post + b"Transfer-Encoding: identity\r\n\r\n" + body, {400}
    yield "Transfer-Encoding: xchunked", post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400}
    yield "Transfer-Encoding on a folded line", post + b"Transfer-Encoding: x\r\n chunked\r\n\r\n0\r\n\r\n", {400}
    yield "a blank before the colon", post + b"Content-Length : 21\r\n\r\n" + body, {400}
    yield "a name with a space", post + b"Content Length: 21\r\n\r\n" + body, {400}
    yield "a name with a control character", post + b"X\x01Y: 1\r\n\r\n", {400}
    yield "two Hosts", b"GET /livez HTTP/1.1\r\n" + HOST + b"Host: other\r\nConnection: close\r\n\r\n", {400}
    yield "no Host", b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", {400}
    yield "two Content-Types", post + b"Content-Type: application/json\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\n{}", {400}
    yield "two keys", b"GET /v1/model HTTP/1.1\r\n" + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", {400}
    yield "a target without a slash", b"GET livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400}
    yield "a target of a star", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400}
    yield "CONNECT", b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400}
    yield "TRACE", b"TRACE /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {405}
    yield "PUT", b"PUT /v1/generate HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nConnection: close\r\n\r\n", {405}
    yield "DELETE", b"DELETE /v1/model HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {405}
    yield "a made-up method", b"BREW /v1/generate HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {405}
    yield "another host", b"GET /v1/model HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {421}
    yield "another host in the target", b"GET http://evil.example/v1/model HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {421}
    yield "our host with rubbish", b"GET /v1/model HTTP/1.1\r\nHost: localhost:80:80\r\nConnection: close\r\n\r\n", {421}
    yield "our host as a user name", b"GET /v1/model HTTP/1.1\r\nHost: localhost@evil.example\r\nConnection: close\r\n\r\n", {421}
    yield "an empty host", b"GET /v1/model HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", {421}
    yield "a body declared beyond the limit", post + b"Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n", {413}
    yield "a chunked body beyond the limit", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + (
        b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 9 + b"0\r\n\r\n", {413}
    yield "a chunk extension of 200 KB", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15;" + (
        b"a" * 200000) + b"\r\n" + body + b"\r\n0\r\n\r\n", {413}
    yield "101 header fields", b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X%d: 1\r\n" % i for i in range(100)) + b"\r\n", {431}


def parser():
    """What libmicrohttpd refuses by itself, before the API sees a request: a status, or just a closed connection."""
    post = b"POST /v1/generate HTTP/1.1\r\n" + HOST
    yield "Content-Length: abc", post + b"Content-Length: abc\r\n\r\n", {400}
    yield "Content-Length: -1", post + b"Content-Length: -1\r\n\r\n", {400}
    yield "Content-Length: +5", post + b"Content-Length: +5\r\n\r\n{}   ", {400}
    yield "Content-Length: 0x5", post + b"Content-Length: 0x5\r\n\r\n{}   ", {400}
    yield "Content-Length: 5, 5", post + b"Content-Length: 5, 5\r\n\r\n{}   ", {400}
    yield "Content-Length beyond 64 bits", post + b"Content-Length: 99999999999999999999999\r\n\r\n", {413}
    yield "a header line without a colon", post + b"nonsense\r\n\r\n", {400}
    yield "a bad chunk size", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}
    yield "a chunk size beyond 64 bits", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", {400, 413}
    yield "a negative chunk size", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", {400}
    yield "a chunk without its end", post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n", {400}
    yield "HTTP/2.0", b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n", {505}
    yield "HTTP/0.9", b"GET /livez HTTP/0.9\r\n" + HOST + b"\r\n", {505}
    yield "HTTP/1.x", b"GET /livez HTTP/1.x\r\n" + HOST + b"\r\n", {0, 400}
    yield "no version", b"GET /livez\r\n" + HOST + b"\r\n", {0, 400}
    yield "one word", b"hello\r\n\r\n", {0, 400}
    yield "a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n", {0, 400}
    yield "an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400, 505}
    yield "a target of 100 KB", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {414, 431}
    yield "a header of 100 KB", b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100000 + b"\r\n\r\n", {431}
    yield "100 header fields, 16 KB together", b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(
        b"X%02d: %s\r\n" % (i, b"a" * 155) for i in range(99)) + b"\r\n", {200}
    yield "a short chunk extension", (post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15;a=1\r\n" +
                                      b'{"digit":7,"steps":1}\r\n0\r\n\r\n'), {200}
    yield "5000 headers", b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X%d: 1\r\n" % i for i in range(5000)) + b"\r\n", {431}


def check_problem(got, status, kind="application/problem+json"):
    code, headers, body = got
    equal(code, status, body[:300])
    equal(headers.get("content-type"), kind, "media type")
    jf.conform(json.loads(body), {"$ref": "#/components/schemas/Problem"})
    equal(json.loads(body)["status"], status, "status in the document")
    return json.loads(body)


def tables(d):
    n, model = 0, d.model_name()
    for name, path, body, headers, status in bodies():
        with jf.case(name):
            n += 1
            path = path.replace("{model}", model)
            body = body.encode() if isinstance(body, str) else body
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
            head += "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
            value = check_problem(jf.parse_raw(d.raw(head.encode() + body)), status)
            if status == 422:
                check(value["errors"], "no field is named")
                for error in value["errors"]:
                    check(error["pointer"] == "" or error["pointer"][0] == "/", error["pointer"])
    for path, status in queries():
        with jf.case(f"GET {path:.100}"):
            n += 1
            equal(d.get(path.replace("{model}", model)).status, status, "status")
    for name, data, statuses in wire():
        with jf.case("wire: " + name):
            n += 1
            got = jf.parse_raw(d.raw(data))
            check(got[0] in statuses, f"{got[0]} {got[2][:200]}")
            check_problem(got, got[0])
    for name, data, statuses in parser():
        with jf.case("parser: " + name):
            n += 1
            got = jf.parse_raw(d.raw(data, half_close=True))
            check(got[0] in statuses, f"{got[0]} {got[2][:200]}")
    with jf.case(f"the tables hold {n} requests, at least 200"):
        check(n >= 200, n)


def smuggled(d):
    with jf.case("wire: what follows an ambiguous request is not taken for another one"):
        inner = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for lengths in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(inner),
                        b"Transfer-Encoding: chunked, identity\r\n"):
            out = d.raw(b"POST /v1/generate HTTP/1.1\r\n" + HOST + lengths + b"\r\n0\r\n\r\n" + inner)
            equal(out.count(b"HTTP/1.1 "), 1, out)
            check(b"Connection: close" in out, out)
        check("/smuggled" not in d.log(), "it was served")
    with jf.case("wire: a response header cannot be split through a request id or a host"):
        out = d.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\rX-Evil: 1\r\nConnection: close\r\n\r\n")
        check(b"\nX-Evil" not in out and b"\rX-Evil" not in out, out)


def slow():
    with Daemon("--upload-timeout-ms=700", "--idle-timeout-ms=1000") as d:
        with jf.case("slow: a body that does not come gives 408"):
            begin = time.monotonic()
            got = jf.parse_raw(d.raw(b"POST /v1/generate HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"))
            check_problem(got, 408)
            check(0.5 < time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
        with jf.case("slow: a body that trickles gives 408"):
            link = d.connect()
            link.sendall(b"POST /v1/generate HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n")
            begin, out = time.monotonic(), b""
            link.settimeout(0.1)
            while time.monotonic() - begin < jf.PATIENCE_S:
                try:
                    link.sendall(b" ")
                    part = link.recv(4096)
                    if not part:
                        break
                    out += part
                except TimeoutError:
                    pass
                except OSError:
                    break
            link.close()
            check_problem(jf.parse_raw(out), 408)
            check(time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
        with jf.case("slow: a head that trickles gives 408"):
            link = d.connect()
            begin, out = time.monotonic(), b""
            link.settimeout(0.1)
            link.sendall(b"GET /livez HTTP/1.1\r\n")
            while time.monotonic() - begin < jf.PATIENCE_S:
                try:
                    link.sendall(b"X: 1\r\n")
                    part = link.recv(4096)
                    if not part:
                        break
                    out += part
                except TimeoutError:
                    pass
                except OSError:
                    break
            link.close()
            check_problem(jf.parse_raw(out), 408)
        with jf.case("slow: a silent connection is closed"):
            begin = time.monotonic()
            equal(d.raw(b""), b"", "answer")
            check(time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
        with jf.case("slow: a kept connection is closed after its idle time"):
            link = d.connection()
            d.request("GET", "/livez", link=link)
            begin = time.monotonic()
            equal(link.sock.recv(100), b"", "end")
            check(time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
            link.close()
        with jf.case("slow: the daemon counts them and serves on"):
            check(wait_for(lambda: d.metric("jointflow_http_requests_total", code="408") >= 2), "408 in the metrics")
            equal(d.get("/livez").status, 200, "livez")


def several_faults(d):
    """What is right is not blamed for what is wrong beside it."""
    last = (1 << 53) - 1
    for path, value, pointers in (
            ("generate", {"digit": 7, "count": 2, "index": last}, ["/index"]),
            ("generate", {"digit": 17, "count": 2, "index": last}, ["/digit", "/index"]),
            ("generate", {"weights": {"3": 1}, "steps": 0}, ["/steps"]), ("generate", {"label": [0] * 10, "scale": 99}, ["/scale"]),
            ("blend", {"from": 1, "to": 2, "index": last}, ["/index"]), ("blend", {"labels": {"3": 1}, "steps": 0}, ["/steps"]),
            ("blend", {"labels": {"3": 1}, "rows": 2, "index": last}, ["/index"]), ("blend", {"matrix": True, "seed": -1}, ["/seed"]),
            ("sample", {"count": 2, "index": last}, ["/index"]),
            ("edit", {"image": base64.b64encode(SEVEN).decode(), "digit": 7, "count": 2, "index": last}, ["/index"]),
            ("classify", {"image": base64.b64encode(SEVEN).decode(), "method": "sample", "index": last}, ["/index"])):
        with jf.case(f"only what is wrong is named: {path} {text(value):.60}"):
            answer = d.post("/v1/" + path, value)
            equal(answer.status, 422, "status")
            equal(sorted(error["pointer"] for error in answer.json()["errors"]), pointers, answer.body)


def malformed():
    with Daemon() as d:
        before = d.memory()
        tables(d)
        several_faults(d)
        smuggled(d)
        with jf.case("afterwards: it serves, and no memory was kept"):
            equal(d.classify(SEVEN).status, 200, "classify")
            check(" error: " not in d.log(), "an error in the log")
            if not jf.SANITIZED:
                check(d.memory() < before + 60000, f"{before} kB before, {d.memory()} kB after")
            equal(d.metric("jointflow_http_requests_total", code="500"), 0, "answers of 500")


jf.main(malformed, slow)
