#!/usr/bin/python3
"""Attacks and faults: what one client may cost, and that probes and small requests pass meanwhile."""

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
import zlib

import jf
from jf import Daemon, case, check, equal

SEVEN = jf.png(dict(jf.test_digits())[7], 28, 28)
JSON = {"Content-Type": "application/json"}


def picture(width, height, depth, kind, rows, after=b""):
    """A PNG of which the writer decides what it unpacks to."""
    return (b"\x89PNG\r\n\x1a\n" + jf.png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) +
            jf.png_chunk(b"IDAT", zlib.compress(rows + after, 9)) + jf.png_chunk(b"IEND", b""))


class Probes:
    """Asks for small things as long as it lasts; how long the slowest took."""

    def __init__(self, d):
        self.d, self.stopped, self.slowest, self.n, self.wrong = d, threading.Event(), 0, 0, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        asks = (lambda: self.d.get("/livez"), lambda: self.d.get("/readyz"), lambda: self.d.get("/v1/model"),
                lambda: self.d.classify(SEVEN))
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


def flood(d, clients, body, rounds):
    """Clients that send the same body again and again; the statuses they got, and how probes fared."""
    statuses, lock = set(), threading.Lock()

    def run():
        for _ in range(rounds):
            status = d.request("POST", "/v1/classify", body, {"Content-Type": "image/png"}, timeout=600).status
            with lock:
                statuses.add(status)

    probes = Probes(d)
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probes.stop()
    return statuses, probes


def bombs():
    largest = picture(2048, 2048, 16, 6, bytes(2048 * (1 + 2048 * 8)))
    behind = picture(28, 28, 8, 0, bytes(28 * 29), bytes(900_000_000))
    with Daemon("--max-connections-per-client=1000") as d:
        with case("bombs: what follows the last row is not unpacked"):
            begin = time.monotonic()
            answer = d.classify(behind)
            equal((answer.status, answer.json()["type"]), (422, "urn:jointflow:problem:unusable-image"), "answer")
            check("last row" in answer.body.decode(), answer.body)
            check(time.monotonic() - begin < 0.3 * jf.PATIENCE, f"{time.monotonic() - begin:.2f} s for {len(behind)} bytes")
        for name, body, clients in ((f"the largest picture, of {len(largest)} bytes", largest, 32), ("image data without end", behind, 6)):
            with case(f"bombs: {name}, from {clients} clients: probes and small requests pass"):
                statuses, probes = flood(d, clients, body, 2 if jf.SANITIZED else 4)
                equal(probes.wrong, [], "probes")
                check(statuses <= {422, 503}, statuses)
                check(probes.n > 8, f"{probes.n} probes")
                check(probes.slowest < 2 * jf.PATIENCE, f"a probe took {probes.slowest:.2f} s")
        with case("bombs: a large picture is answered as ever, and its memory given back"):
            before = d.memory()
            grey = jf.png(bytes(2048 * 1024) + b"\xff" * (2048 * 1024), 2048, 2048)
            equal(d.classify(grey).status, 200, "status")
            body, headers = jf.form({"image": grey})
            equal(d.request("POST", "/v1/classify", body, headers).status, 200, "as a form")
            check(jf.SANITIZED or wait_for(lambda: d.memory() < before + 8000), f"{before} kB, then {d.memory()} kB")


def wait_for(truth, seconds=10):
    end = time.monotonic() + seconds * jf.PATIENCE
    while not truth() and time.monotonic() < end:
        time.sleep(0.02)
    return truth()


def peak(d, ask):
    """Resident bytes that a request took at most, and its answer."""
    with open(f"/proc/{d.process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak starts anew: proc(5)
    before = d.memory()
    answer = ask()
    with open(f"/proc/{d.process.pid}/status", encoding="ascii") as file:
        high = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
    return (high - before) * 1024, answer


def tensor(n, data):
    head = '{"inputs": [{"name": "image", "datatype": "FP32", "shape": [%d, 784], "data": [' % n
    return head.encode() + data + b"]}]}"


def memory():
    """Peak of one request <= 8 x its body + 4 MB, and afterwards it is as before."""
    shapes = [("objects", b"{},"), ("arrays", b"[],"), ("texts", b'"",'), ("numbers", b"0,"), ("reals", b"0.5,"), ("nulls", b"null,")]
    bodies = []
    for size in (1000, 40_000, 300_000, 8_000_000):
        for name, piece in shapes:
            filling = piece * (size // len(piece))
            bodies.append((f"{size} bytes of {name}, to generate", "/v1/generate", b"[" + filling + b"0]"))
            bodies.append((f"{size} bytes of {name}, to infer", None, tensor(1, filling + b"0")))
        bodies.append((f"{size} bytes of members", "/v1/generate",
                       b"{" + b",".join(b'"%x":0' % i for i in range(size // 8)) + b"}"))
        bodies.append((f"{size} bytes of one text", "/v1/classify", b'{"image": "' + b"A" * size + b'"}'))
    with Daemon("--workers=1") as d:
        infer = f"/v2/models/{d.model_name()}/infer"
        for warm in (1, 2):
            d.request("POST", infer, tensor(128, b"0.5," * (128 * 784 - 1) + b"0"), JSON)
            d.classify(SEVEN)
        before = d.memory()
        worst = []
        for name, path, body in bodies:
            with case(f"memory: {name}: at most 8 times the body and 4 MB"):
                took, answer = peak(d, lambda body=body, path=path: d.request("POST", path or infer, body[:8 << 20], JSON))
                check(answer.status in (400, 413, 422), answer.status)
                worst.append((took - 8 * len(body), name))
                check(jf.SANITIZED or took <= 8 * len(body) + (4 << 20), f"{took} bytes for a body of {len(body)}")
        with case("memory: 128 pictures as one tensor are still taken"):
            answer = d.request("POST", infer, tensor(128, b"0," * (128 * 784 - 1) + b"0"), JSON)
            equal(answer.status, 200, "status")
        with case("memory: all of it is given back"):
            check(jf.SANITIZED or wait_for(lambda: d.memory() < before + 3000), f"{before} kB, then {d.memory()} kB")
        with case("memory: a body without a picture is small"):
            answer = d.request("POST", "/v1/generate", b" " * 2_000_000, JSON)
            equal((answer.status, answer.json()["type"]), (413, "urn:jointflow:problem:content-too-large"), "answer")
            chunks = b"".join(b"10000\r\n" + b" " * 65536 + b"\r\n" for _ in range(24)) + b"0\r\n\r\n"
            status, _, _ = jf.parse_raw(d.raw(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                              b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))
            equal(status, 413, "in chunks")


def one_for_all():
    with Daemon("--workers=1", "--request-timeout-ms=600000") as d:
        with case("one for all: what never fits is 422 and says the limit"):
            answer = d.get("/v1/generate?digit=7&count=128&steps=200&solver=heun&guidance=2")
            equal((answer.status, answer.json()["type"]), (422, "urn:jointflow:problem:invalid-parameters"), "answer")
            check("102144" in answer.json()["detail"] and "20000" in answer.json()["detail"], answer.json()["detail"])
            equal(d.metric("jointflow_queue_cost"), 0, "queue")
    with Daemon("--workers=1", "--request-timeout-ms=600000", "--queue-capacity=4000") as d:
        with case("one for all: generations that fill the queue leave classifications their share"):
            link = d.connection()
            link.request("POST", "/v1/generate", json.dumps({"digit": 7, "count": 20, "steps": 200}), JSON)
            check(wait_for(lambda: d.metric("jointflow_queue_cost") > 2000, 60), "not admitted")
            full = d.post("/v1/generate", {"digit": 7, "count": 20, "steps": 200})
            equal((full.status, full.json()["type"]), (503, "urn:jointflow:problem:queue-full"), "a second one")
            equal([d.classify(SEVEN).status for _ in range(5)], [200] * 5, "classifications")
            equal(d.classify(SEVEN, "?method=sample").status, 200, "votes")
            check(d.metric("jointflow_queue_cost") > 0, "the generation was done too soon to tell")
            link.close()


def blocked_log():
    with case("log: a pipe that nobody reads stops nothing, and SIGTERM ends the daemon"):
        reader, writer = os.pipe()
        d = Daemon.__new__(Daemon)
        d.port, d.tls, d.unix = None, None, jf.scratch("blocked")
        d.process = process = subprocess.Popen(
            [os.path.join(jf.BUILD, "jointflowd"), "--config=/dev/null", "--model=" + jf.any_model(), "--listen-address=",
             "--listen-path=" + d.unix], stderr=writer)
        os.close(writer)
        try:
            def ready():
                with contextlib.suppress(OSError):
                    return d.get("/readyz").status == 200
                return False

            check(wait_for(ready, 60), "not ready")
            link = d.connection()
            for i in range(3000):
                equal(d.get("/livez", link=link).status, 200, f"answer {i}")
            link.close()
            check(d.metric("jointflow_log_dropped_lines_total") > 0, "nothing was dropped")
            process.send_signal(signal.SIGTERM)
            equal(process.wait(60 * jf.PATIENCE), 0, "exit status")
        finally:
            process.kill()
            process.wait()
            os.close(reader)


if __name__ == "__main__":
    jf.main(bombs, memory, one_for_all, blocked_log)
