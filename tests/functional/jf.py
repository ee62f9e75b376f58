"""What the functional tests share: a daemon of their own, an HTTP client that checks every answer against
doc/openapi.json, PNG in and out, and TAP lines. Python's standard library only."""

import contextlib
import glob
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib

SRC = os.environ.get("top_srcdir") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("top_builddir") or os.path.join(SRC, "build")
SANITIZED = os.environ.get("JF_SANITIZED", "")
# What takes a second in a plain build may take this many under a sanitizer.
PATIENCE = 8 if SANITIZED else 1
# Seconds after which what a test waits for is taken for lost. A machine that is busy with other things, or has a quarter
# of a core, may be this late; who waits as long pays for it only when the test fails.
PATIENCE_S = 600
SLOW = "--request-timeout-ms=600000"

# --- TAP ------------------------------------------------------------------------------------------------------------

_count = 0
_failed = 0
_lock = threading.Lock()


class Skip(Exception):
    pass


def result(good, name, note=""):
    global _count, _failed
    with _lock:
        _count += 1
        print(("ok" if good else "not ok"), _count, "-", name, flush=True)
        if not good:
            _failed += 1
            for line in str(note).splitlines():
                print("#", line, flush=True)


@contextlib.contextmanager
def case(name):
    """One test case: an exception in it is its failure."""
    global _count
    try:
        yield
    except Skip as why:
        _count += 1
        print("ok", _count, "-", name, "# SKIP", why, flush=True)
    except Exception:  # noqa: BLE001
        result(False, name, traceback.format_exc())
    else:
        result(True, name)


def finish():
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)


def wait_for(truth):
    """Whether it becomes true, looking now and then."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if truth():
            return True
        time.sleep(0.01)
    return bool(truth())


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def check(truth, what):
    if not truth:
        raise AssertionError(what)


# --- the model and its digits ---------------------------------------------------------------------------------------

_scratch = tempfile.mkdtemp(prefix="jointflow-test-")


def scratch(name=""):
    return os.path.join(_scratch, name)


def trained_model():
    path = os.path.join(SRC, "models", "mnist.safetensors")
    return path if os.path.exists(path) else None


def random_model(seed=1):
    path = scratch(f"random-{seed}.safetensors")
    if not os.path.exists(path):
        subprocess.run([os.path.join(BUILD, "tests/make_model"), path, "start", f"seed={seed}"], check=True)
    return path


def small_model():
    """The smallest network: ThreadSanitizer, which is after what threads do to each other, makes each step twenty times as
    long."""
    path = scratch("small.safetensors")
    if not os.path.exists(path):
        subprocess.run([os.path.join(BUILD, "tests/make_model"), path], check=True)
    return path


def any_model():
    return small_model() if "thread" in SANITIZED else trained_model() or random_model()


def test_digits():
    """The first test picture of each class of MNIST: [(class, 28 x 28 bytes)]."""
    with gzip.open(os.path.join(SRC, "data/mnist/t10k-images-idx3-ubyte.gz")) as file:
        images = file.read(16 + 784 * 200)[16:]
    with gzip.open(os.path.join(SRC, "data/mnist/t10k-labels-idx1-ubyte.gz")) as file:
        labels = file.read(8 + 200)[8:]
    first = {}
    for i, label in enumerate(labels):
        first.setdefault(label, images[784 * i:784 * (i + 1)])
    return sorted(first.items())


# --- PNG ------------------------------------------------------------------------------------------------------------

def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, width, height, channels=1, depth=8):
    """A PNG of grey (1), grey + alpha (2), RGB (3) or RGBA (4) pixels, filter 0."""
    row = width * channels * depth // 8
    raw = b"".join(b"\0" + pixels[row * y:row * (y + 1)] for y in range(height))
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(raw)) +
            png_chunk(b"IEND", b""))


def jpeg(pixels, width, height, channels=1, orientation=0):
    """A JPEG by libjpeg-turbo's cjpeg; with an orientation an Exif block says so."""
    head = b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height)
    data = subprocess.run(["cjpeg", "-quality", "95"], input=head + pixels, stdout=subprocess.PIPE, check=True).stdout
    if orientation:
        block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0" % orientation
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    return data


def png_decode(data):
    """(width, height, channels, rows as bytes) of an 8-bit grey or RGB PNG without interlacing; checks every CRC."""
    equal(data[:8], b"\x89PNG\r\n\x1a\n", "PNG signature")
    at, packed, width, height, channels = 8, b"", 0, 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        equal(struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0], zlib.crc32(kind + body), "CRC of a chunk")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            equal((depth, colour in (0, 2)), (8, True), "depth, colour")
            channels = 1 if colour == 0 else 3
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    raw, stride, out = zlib.decompress(packed), width * channels, []
    before = bytes(stride)
    for y in range(height):
        how, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            a = line[i - channels] if i >= channels else 0
            b, c = before[i], before[i - channels] if i >= channels else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, paeth)[how]) & 255
        before = bytes(line)
        out.append(before)
    return width, height, channels, out


# --- OpenAPI --------------------------------------------------------------------------------------------------------

with open(os.path.join(SRC, "doc/openapi.json"), encoding="utf-8") as _file:
    API = json.load(_file)


def _resolve(node):
    while "$ref" in node:
        target = API
        for part in node["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


_TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


def conform(value, schema, at="$"):
    """The part of JSON Schema that doc/openapi.json uses; anything else in it is an error of this test."""
    schema = _resolve(schema)
    known = {"type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "minimum",
             "maximum", "enum", "const", "pattern", "oneOf", "description", "default", "contentEncoding",
             "contentMediaType", "format", "minProperties"}
    check(set(schema) <= known, f"schema keyword not known to the test: {set(schema) - known}")
    if "oneOf" in schema:
        fits = 0
        for choice in schema["oneOf"]:
            with contextlib.suppress(AssertionError):
                conform(value, choice, at)
                fits += 1
        equal(fits, 1, f"{at}: alternatives that fit")
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        check(any(_TYPES[kind](value) for kind in kinds), f"{at}: {value!r:.80} is not of type {kinds}")
    check("enum" not in schema or value in schema["enum"], f"{at}: {value!r} is not in {schema.get('enum')}")
    check("const" not in schema or value == schema["const"], f"{at}: {value!r} is not {schema.get('const')}")
    check("pattern" not in schema or re.search(schema["pattern"], value), f"{at}: {value!r} does not match")
    check("minimum" not in schema or value is None or value >= schema["minimum"], f"{at}: {value!r} is below {schema.get('minimum')}")
    check("maximum" not in schema or value <= schema["maximum"], f"{at}: {value!r} is above {schema.get('maximum')}")
    if isinstance(value, dict):
        check(len(value) >= schema.get("minProperties", 0), f"{at}: too few members")
        for name in schema.get("required", []):
            check(name in value, f"{at}: {name} is missing")
        rest = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in schema.get("properties", {}):
                conform(item, schema["properties"][name], f"{at}.{name}")
            else:
                check(rest is not False, f"{at}: {name} is not described")
                if isinstance(rest, dict):
                    conform(item, rest, f"{at}.{name}")
    if isinstance(value, list):
        check(schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30), f"{at}: {len(value)} items")
        for i, item in enumerate(value):
            if "items" in schema:
                conform(item, schema["items"], f"{at}[{i}]")


def operation(method, path):
    """The described operation for a request, or None; /classify is described as /v1/classify."""
    path = path.split("?")[0].replace("/versions/1", "")
    for candidate in (path, "/v1" + path):
        for template, item in API["paths"].items():
            if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)), candidate):
                return item.get({"HEAD": "get"}.get(method, method.lower()))
    return None


def conform_response(method, path, response):
    """Status, media type and body of an answer against the description."""
    kind = response.headers.get("content-type", "").split(";")[0]
    described = operation(method, path)
    if method == "OPTIONS" and response.status == 204:
        return
    if described:
        check(str(response.status) in described["responses"], f"{method} {path}: {response.status} is not described")
        answer = _resolve(described["responses"][str(response.status)])
        if response.status == 304:
            equal(response.body, b"", "body of a 304")
            return
        check(kind in answer["content"], f"{method} {path}: {response.status} as {kind!r} is not described")
        schema = answer["content"][kind]["schema"]
        for name, header in answer.get("headers", {}).items():
            # when to ask again is left out of one kind of 503 alone: another time would not help it
            wanted = header.get("required") or (response.status == 503 and kind == "application/problem+json" and method != "HEAD" and
                                                response.json()["type"] != "urn:jointflow:problem:deadline-exceeded")
            if name in ("Retry-After", "Allow", "WWW-Authenticate") and (wanted or name.lower() in response.headers):
                check(name.lower() in response.headers, f"{response.status} without {name}")
                conform(int(response.headers["retry-after"]) if name == "Retry-After" else
                        response.headers[name.lower()], header["schema"], name)
    elif response.status >= 400:
        equal(kind, "application/problem+json", "media type of an error")
        schema = {"$ref": "#/components/schemas/Problem"}
    else:
        return
    if kind in ("application/json", "application/problem+json") and method != "HEAD":
        conform(response.json(), schema)
        if response.status >= 400:
            equal(response.json()["status"], response.status, "status in the document")
            equal(response.json()["request_id"], response.headers["x-request-id"], "request id in the document")
            equal(API["components"]["responses"].keys() >= {f"P{response.status}"}, True, "problem is described")
    if kind == "text/event-stream":
        for name, data in response.events():
            target = {"step": {"$ref": "#/components/schemas/StepEvent"},
                      "error": {"$ref": "#/components/schemas/Problem"},
                      "result": answer["content"]["application/json"]["schema"]}[name]
            conform(data, target, name)


# --- the daemon -----------------------------------------------------------------------------------------------------

class Answer(dict):
    """A JSON object; who misses a member of it is told what came in its place."""

    def __missing__(self, name):
        raise AssertionError(f"{name} is missing in {json.dumps(self):.1000}")


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        value = json.loads(self.body)
        return Answer(value) if isinstance(value, dict) else value

    def events(self):
        out = []
        for block in self.body.decode().split("\n\n"):
            if block:
                name, data = block.split("\n", 1)
                out.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return out


class Daemon:
    """jointflowd on a free port. `with Daemon("--workers=1") as d: d.get("/livez")`."""

    def __init__(self, *options, model=None, wait=True, tls=False, unix=False, env=None):
        self.log_path = scratch(f"log-{time.monotonic_ns()}")
        self.tls, self.unix = tls, scratch(f"sock-{time.monotonic_ns()}") if unix else None
        command = [os.path.join(BUILD, "jointflowd"), "--config=/dev/null", "--model=" + (model or any_model()),
                   "--log-format=text", "--listen-port=0", SLOW, *options]
        if unix:
            command.append("--listen-path=" + self.unix)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, **(env or {})})
        self.port = None
        if wait:
            self.wait_ready()

    def log(self):
        with open(self.log_path, errors="replace", encoding="utf-8") as file:
            return file.read()

    def logged(self, text, count=1):
        """How often the log holds the text, once it does `count` times: a request's line comes after its answer."""
        wait_for(lambda: self.log().count(text) >= count)
        return self.log().count(text)

    def wait_port(self):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = re.search(r"listening on (?:127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):(\d+)", self.log())
            if found:
                self.port = int(found.group(1))
                return
            check(self.process.poll() is None, "the daemon ended:\n" + self.log())
            time.sleep(0.02)
        raise AssertionError("the daemon does not listen:\n" + self.log())

    def wait_ready(self):
        self.wait_port()
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.request("GET", "/readyz").status == 200:
                return
            time.sleep(0.02)
        raise AssertionError("the daemon does not become ready:\n" + self.log())

    def model_name(self):
        return self.get("/v1/model").json()["name"]

    def connect(self, timeout=PATIENCE_S):
        if self.unix:
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(timeout)
            raw.connect(self.unix)
            return raw
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls)
            raw = context.wrap_socket(raw, server_hostname="localhost")
        return raw

    def connection(self, timeout=PATIENCE_S):
        """An http.client connection over connect(); may be kept for several requests."""
        link = http.client.HTTPConnection("127.0.0.1", self.port or 80, timeout=timeout)
        link.sock = self.connect(timeout)
        return link

    def request(self, method, path, body=None, headers=None, link=None, conforming=True, timeout=PATIENCE_S):
        own = link is None
        link = link or self.connection(timeout)
        try:
            link.request(method, path, body=body, headers=headers or {})
            answer = link.getresponse()
            response = Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            if own:
                link.close()
        if conforming:
            conform_response(method, path, response)
        return response

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, value, headers=None, **more):
        return self.request("POST", path, json.dumps(value), {"Content-Type": "application/json", **(headers or {})},
                            **more)

    def classify(self, image, query="", headers=None, **more):
        return self.request("POST", "/v1/classify" + query, image, {"Content-Type": "image/png", **(headers or {})},
                            **more)

    def raw(self, data, timeout=PATIENCE_S, half_close=False):
        """Sends bytes as they are; everything that comes back until the end of the stream, as bytes."""
        link = self.connect(timeout)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.sendall(data)
            if half_close:
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_WR)
            return drained(link)
        finally:
            link.close()

    def metric(self, name, **labels):
        """The value of a series (0 when it is not there), summed over series that have these labels."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found.group(1) == name:
                have = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total += float(found.group(3))
        return total

    def only_connection(self):
        """A connection that asked, itself, until all others were gone: those of a moment ago still count."""
        link = self.connection()
        check(wait_for(lambda: b"\njointflow_http_connections 1\n" in self.get("/metrics", link=link).body), "others stay")
        return link

    def cpu_seconds(self):
        """Processor time it has used: unlike the time that passes, this does not depend on what else runs."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        """Name and fields of /proc/PID/task/TID/stat from the state on: proc(5)."""
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/stat"):
            with open(path, encoding="ascii") as file:
                head, rest = file.read().rsplit(")", 1)
            yield head.split("(", 1)[1], rest.split()

    def cpu_by_thread(self):
        """The same by the names of threads."""
        seconds = {}
        for name, fields in self.threads():
            seconds[name] = seconds.get(name, 0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds

    def cpu_settled(self):
        """Processor time, once it uses none any more and no thread would if it were its turn."""
        used, before = self.cpu_seconds(), -1
        while used != before or any(fields[0] == "R" for _, fields in self.threads()):
            time.sleep(0.2)
            used, before = self.cpu_seconds(), used
        return used

    def memory(self):
        """Resident kilobytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def stop(self, number=signal.SIGTERM):
        """Ends it; fails when it did not end well or a sanitizer reported something."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the daemon did not stop:\n" + self.log()[-4000:]) from None
        log = self.log()
        check(not re.search(r"Sanitizer|runtime error:", log), "a sanitizer reported:\n" + log[-8000:])
        equal(code, 0, "exit status:\n" + log[-3000:])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.process.kill()
            self.process.wait()
            print("# log of the daemon:", *self.log()[-3000:].splitlines(), sep="\n# ", flush=True)
        else:
            self.stop()


class Probes:
    """Asks for small things as long as it lasts; how long the slowest took."""

    def __init__(self, d, digit):
        self.d, self.digit, self.stopped, self.slowest, self.n, self.wrong = d, digit, threading.Event(), 0, 0, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        asks = (lambda: self.d.get("/livez"), lambda: self.d.get("/readyz"), lambda: self.d.get("/v1/model"),
                lambda: self.d.classify(self.digit))
        while not self.stopped.is_set():
            begin = time.monotonic()
            try:
                answer = asks[self.n % len(asks)]()
                if answer.status != 200:
                    self.wrong.append(answer.status)
            except OSError as error:
                self.wrong.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.n += 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


def drained(link):
    """What comes until the end of the stream."""
    out = b""
    with contextlib.suppress(ConnectionResetError):
        while part := link.recv(65536):
            out += part
    return out


def parse_raw(data):
    """Status and body of a raw answer; (0, b"") when there was none."""
    if not data:
        return 0, {}, b""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split()[1]), headers, body


def form(parts, boundary="jointflow-boundary"):
    """multipart/form-data of {name: bytes or text}, or a list of such pairs: (body, headers)."""
    out = b""
    for name, value in parts.items() if isinstance(parts, dict) else parts:
        data = value if isinstance(value, bytes) else str(value).encode()
        extra = '; filename="x.png"\r\nContent-Type: image/png' if isinstance(value, bytes) else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def main(*tests):
    """Runs functions, or those that the command line names; each makes its own cases."""
    try:
        for test in [test for test in tests if test.__name__ in sys.argv[1:] or not sys.argv[1:]]:
            try:
                test()
            except Exception:  # noqa: BLE001
                result(False, test.__name__, traceback.format_exc())
    finally:
        shutil.rmtree(_scratch, ignore_errors=True)
    finish()
