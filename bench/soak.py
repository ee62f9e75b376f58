#!/usr/bin/python3
"""jointflowd under mixed requests for as long as is asked, and seeds whose bytes must never change.

    soak.py [--requests=N [--drawing=SHARE]] [--seeds=N] [--deadline=MS] [--clients=N] [--model=FILE] [--cgroup=FOLDER]

Run in the build folder, with top_builddir and top_srcdir in the environment as tests have them. Requests: every kind of
question and of refusal is asked once alone; then the clients ask them in random order and compare status, media type and bytes
(without timings and request id). All kinds are equally frequent, or that share of the requests draws pictures, which take
longest. Resident memory and open descriptors are read after each hundredth of the requests. Seeds: each is drawn alone, by all
clients at once, as a part of larger requests, and by a daemon that was started anew, 2,560 after the other. Deadline: for 40
seconds the clients ask for more than can be done in that time; how much was done, refused at once, and admitted and too late.
The daemon is put into the cgroup, if one is named. Each part of the work writes a line, so a run that is broken off still says
how far it came. Exit status 1 when anything was not as it was before."""
import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ["top_srcdir"], "tests/functional"))
import jf  # noqa: E402

JSON = {"Content-Type": "application/json"}


def table(d):
    """[(method, path, body, headers)] twice: every kind of request that draws, and every other kind."""
    digits = [jf.png(pixels, 28, 28) for _, pixels in jf.test_digits()]
    picture = {"Content-Type": "image/png"}
    draws = [("POST", f"/v1/classify?method=sample&samples=2&steps=3&seed={i}", digits[i], picture) for i in range(3)]
    draws += [("GET", f"/v1/generate?digit={i % 10}&seed={i}&steps=2", None, {}) for i in range(40)]
    draws += [("POST", "/v1/generate", json.dumps({"weights": {"3": 0.5, "8": 0.5}, "seed": i, "steps": 2, "count": 3}), JSON) for i in range(5)]
    draws += [("POST", "/v1/sample", json.dumps({"seed": i, "steps": 2}), JSON) for i in range(5)]
    draws += [("GET", f"/v1/blend?from=3&to=8&seed={i}&steps=2&columns=3&spacing=label", None, {}) for i in range(3)]
    draws += [("POST", "/v1/generate", '{"digit": 7, "seed": 1, "steps": 2}', {**JSON, "Accept": "text/event-stream"})]
    form, headers = jf.form({"image": digits[7]})
    asks = [("POST", "/v1/classify", digit, picture) for digit in digits]
    asks += [("POST", "/v1/classify", form, headers)]
    asks += [("GET", path, None, {}) for path in ("/", "/livez", "/readyz", "/v1/model", "/openapi.json", "/nowhere", "/v1/generate?digit=10",
                                                  "/v1/generate?digit=%zz", "/v1/classify", f"/v2/models/{d.model_name()}")]
    asks += [("POST", "/v1/classify", body, picture) for body in (digits[1][:60], b"no picture", jf.png(bytes(784), 28, 28))]
    asks += [("POST", "/v1/generate", body, JSON) for body in ("{", '{"digit": 7, "colour": 1}', "[" * 100)]
    asks += [("POST", "/v1/classify", b"x", {"Content-Type": "text/plain"}), ("PUT", "/v1/generate", b"", {})]
    return draws, asks


def encoded(method, path, body, headers):
    """The bytes of a request."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"Host": "localhost", **headers, **({} if body is None else {"Content-Length": len(body)})}
    return (f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode() + (body or b"")


# what differs from one answer to the next
CHANGING = re.compile(rb'"timings_ms":\s*\{[^{}]*\}|"request_id":\s*"[^"]*"')


PICTURE = re.compile(rb'"b64_json":\s*"([^"]+)"')


class Link:
    """A kept connection over which the same bytes can be asked for again and again, at little cost to the machine."""

    def __init__(self, d):
        self.d, self.socket = d, None

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def receive(self, have):
        part = self.socket.recv(1 << 20)
        if not part:
            raise OSError("the connection ended within an answer")
        return have + part

    def line(self, have):
        while b"\r\n" not in have:
            have = self.receive(have)
        return have.split(b"\r\n", 1)

    def exactly(self, have, size):
        while len(have) < size:
            have = self.receive(have)
        return have[:size], have[size:]

    def chunks(self, rest):
        body = b""
        while True:
            size, rest = self.line(rest)
            piece, rest = self.exactly(rest, int(size, 16) + 2)
            if piece == b"\r\n":
                return body, rest
            body += piece[:-2]

    def ask(self, request):
        """(status, media type, body without what changes)"""
        if not self.socket:
            self.socket = self.d.connect()
        self.socket.sendall(request)
        have = b""
        while b"\r\n\r\n" not in have:
            have = self.receive(have)
        head, rest = have.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            body, rest = self.chunks(rest)
        else:
            body, rest = self.exactly(rest, int(fields[b"content-length"]))
        if rest:
            raise OSError(f"{rest[:100]} follows an answer")
        if fields.get(b"connection") == b"close":
            self.close()
        return int(head.split(b" ", 2)[1]), fields.get(b"content-type"), CHANGING.sub(b"", body)


_work = None  # what the processes inherit, because a daemon cannot be sent to them


def _run(number, clients):
    return _work(number, clients)


def spread(clients, work):
    """work(number, count) in as many processes; what they returned."""
    global _work
    _work = work
    with multiprocessing.get_context("fork").Pool(clients) as pool:
        return pool.starmap(_run, [(i, clients) for i in range(clients)], 1)


class Mixed:
    def __init__(self, d, asks, weights, expected, requests):
        self.d, self.asks, self.weights, self.expected, self.requests = d, asks, weights, expected, requests

    def __call__(self, number, clients):
        rng, wrong = random.Random(time.time_ns() + number), []
        link = Link(self.d)
        for i in rng.choices(range(len(self.asks)), self.weights, k=self.requests // clients):
            try:
                got = link.ask(self.asks[i])
            except OSError as error:
                got = repr(error)
                link.close()
            if got != self.expected[i]:
                wrong.append((self.asks[i][:100], got[:2], got[2:][:300]))
        link.close()
        return wrong


def mixed(d, clients, requests, drawing):
    draws, others = table(d)
    asks = [encoded(*ask) for ask in draws + others]
    weights = [1] * len(asks) if drawing is None else [drawing / len(draws)] * len(draws) + [(1 - drawing) / len(others)] * len(others)
    alone = Link(d)
    expected = [alone.ask(ask) for ask in asks]
    alone.close()
    wrong, begun = [], time.monotonic()
    for hundredth in range(100):
        for part in spread(clients, Mixed(d, asks, weights, expected, requests // 100)):
            wrong += part
        print(f"{(hundredth + 1) * (requests // 100 // clients * clients)} requests, {time.monotonic() - begun:.0f} s, {len(wrong)} unexpected "
              f"answers, {d.memory()} kB resident, {len(os.listdir(f'/proc/{d.process.pid}/fd'))} descriptors", flush=True)
    for item in wrong[:10]:
        print("unexpected:", item)
    return not wrong


class Seeds:
    """The digests of the pictures of `seeds`, each a request (each=1), or one request for `each` of them."""

    def __init__(self, d, seeds, each):
        self.d, self.seeds, self.each = d, seeds, each

    def __call__(self, number, clients):
        out, link = {}, Link(self.d)
        for first in range(self.seeds.start + number * self.each, self.seeds.stop, clients * self.each):
            n = min(self.each, self.seeds.stop - first)
            # the noise of a picture is its seed's and its index's; the label takes turns as well
            asked = json.dumps({"digit": first // 64 % 10, "seed": first // 64, "index": first % 64, "count": n, "steps": 1})
            status, _, body = link.ask(encoded("POST", "/v1/generate", asked, JSON))
            images = PICTURE.findall(body)
            assert (status, len(images)) == (200, n), (status, body[:300])
            for i, image in enumerate(images):
                out[first + i] = hashlib.sha256(image).digest()
        link.close()
        return out


def pictures(clients, d, seeds, each):
    out = {}
    for part in spread(clients, Seeds(d, seeds, each)):
        out.update(part)
    assert len(out) == len(seeds), len(out)
    return out


def seeds(start, clients, n):
    differ = {}

    def compare(d, name, clients, each):
        got = pictures(clients, d, part, each)
        differ[name] = differ.get(name, 0) + sum(alone[key] != value for key, value in got.items())

    for first in range(0, n, 2560):  # whole requests of 64
        part = range(first, min(first + 2560, n))
        with start() as d:
            alone = pictures(1, d, part, 1)
            compare(d, "under load", clients, 1)
            compare(d, "four a request", clients, 4)
            compare(d, "64 a request", clients, 64)
        with start() as d:
            compare(d, "after a restart", clients, 1)
        print(f"{part.stop} pictures drawn alone; so many differ:", ", ".join(f"{count} {name}" for name, count in differ.items()), flush=True)
    return not any(differ.values())


class Flood:
    def __init__(self, d, seconds):
        self.d, self.seconds = d, seconds

    def __call__(self, number, clients):
        statuses, link, end = {}, Link(self.d), time.monotonic() + self.seconds
        while time.monotonic() < end:
            asked = json.dumps({"digit": 7, "count": 4, "steps": 20, "seed": random.randrange(1 << 30)})
            status = link.ask(encoded("POST", "/v1/generate", asked, JSON))[0]
            statuses[status] = statuses.get(status, 0) + 1
            if status == 503:
                time.sleep(0.2)
        link.close()
        return statuses


def deadline(start, clients, limit_ms):
    with start(f"--request-timeout-ms={limit_ms}") as d:
        d.post("/v1/generate", {"digit": 7, "count": 4, "steps": 20})  # now it has seen how fast it is
        before = d.metric("jointflow_jobs_total", result="done")
        spread(clients, Flood(d, 40))
        done = d.metric("jointflow_jobs_total", result="done") - before
        late, refused = d.metric("jointflow_jobs_total", result="deadline"), d.metric("jointflow_rejections_total")
        print(f"{done:.0f} done, {late:.0f} admitted and too late, {refused:.0f} refused at once", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--drawing", type=float)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--deadline", type=int, default=0)
    parser.add_argument("--cgroup", default="")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", default=jf.any_model())
    options = parser.parse_args()

    def start(*more):
        d = jf.Daemon("--access-log=no", "--max-connections-per-client=1000", "--request-timeout-ms=600000", "--queue-capacity=1000000",
                      *more, model=options.model)
        if options.cgroup:
            with open(os.path.join(options.cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(d.process.pid))
        return d

    good = True
    if options.requests:
        with start() as d:
            good = mixed(d, options.clients, options.requests, options.drawing)
    if options.seeds:
        good = seeds(start, options.clients, options.seeds) and good
    if options.deadline:
        deadline(start, options.clients, options.deadline)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
