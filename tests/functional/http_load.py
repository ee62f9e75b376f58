#!/usr/bin/python3
"""Many clients: equal bytes whoever else asks, overload refused at once, clients that leave, drain."""

import json
import random
import signal
import socket
import statistics
import struct
import threading
import time

import jf
from jf import Daemon, case, check, equal, wait_for

DIGITS = jf.test_digits()
JSON = {"Content-Type": "application/json"}


def in_parallel(tasks):
    """Runs callables at the same time; their results in order, or what they raised."""
    results = [None] * len(tasks)
    start = threading.Barrier(len(tasks))

    def run(i, task):
        start.wait()
        try:
            results[i] = task()
        except Exception as error:  # noqa: BLE001
            results[i] = error

    threads = [threading.Thread(target=run, args=(i, t)) for i, t in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for value in results:
        if isinstance(value, Exception):
            raise value
    return results


class Noise:
    """Other clients, who ask for all kinds of things until they are told to stop."""

    def __init__(self, d, n):
        self.stopped, self.served, self.statuses = threading.Event(), 0, set()
        self.threads = [threading.Thread(target=self.run, args=(d, random.Random(i))) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, d, rng):
        while not self.stopped.is_set():
            kind = rng.randrange(4)
            if kind == 0:
                answer = d.classify(jf.png(rng.choice(DIGITS)[1], 28, 28), rng.choice(("", "?method=sample&samples=3&steps=7")))
            elif kind == 1:
                answer = d.post("/generate", {"digit": rng.randrange(10), "count": rng.randrange(1, 9), "steps": rng.randrange(1, 9),
                                              "solver": rng.choice(("euler", "heun", "midpoint", "ancestral")), "guidance": rng.choice((1, 2.5))})
            elif kind == 2:
                answer = d.post("/sample", {"count": rng.randrange(1, 5), "steps": rng.randrange(1, 9)})
            else:
                answer = d.get(f"/blend?from=1&to=2&columns={rng.randrange(2, 9)}&steps=3")
            self.served += 1
            self.statuses.add(answer.status)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def same_bytes(d):
    seven = jf.png(dict(DIGITS)[7], 28, 28)

    def strip(answer):
        value = answer.json()
        for name in ("timings_ms", "request_id"):
            del value[name]
        return json.dumps(value)

    asks = {
        "picture": lambda: d.get("/generate?digit=7&seed=11&steps=6&count=3").body,
        "ancestral picture": lambda: d.get("/generate?digit=4&seed=13&steps=6&solver=ancestral").body,
        "guided picture": lambda: d.get("/generate?weights=3:0.4,8:0.6&seed=12&steps=4&guidance=2&solver=heun").body,
        "blend": lambda: d.get("/blend?from=6&to=7&columns=5&rows=2&seed=13&steps=4").body,
        "pairs": lambda: strip(d.post("/sample", {"count": 3, "seed": 14, "steps": 5})),
        "posterior": lambda: strip(d.classify(seven)),
        "votes": lambda: strip(d.classify(seven, "?method=sample&samples=4&steps=5&seed=15")),
    }
    alone = {name: ask() for name, ask in asks.items()}
    clients = 64 if not jf.SANITIZED else 24
    noise = Noise(d, 8)
    try:
        for name, ask in asks.items():
            with case(f"same bytes: {name}, alone and for {clients} clients while others load the daemon"):
                for body in in_parallel([ask] * clients):
                    check(body == alone[name], f"different bytes: {body!r:.300}")
    finally:
        noise.stop()
    with case("same bytes: the others were served meanwhile, without an error, in shared batches"):
        check(noise.served > 20, noise.served)
        equal(noise.statuses, {200}, "statuses of the others")
        batches = d.metric("jointflow_batch_size_count")
        check(d.metric("jointflow_batch_size_sum") > 1.2 * batches, "batches were not shared")


def overload():
    """A queue of 400 evaluations, asks of 40 each: 10 fit, or 9 beside a probe's classification; 40 clients come at once."""
    with Daemon("--queue-capacity=400", "--workers=1", "--max-connections-per-client=1000") as d:
        def ask(seed):
            begin = time.monotonic()
            answer = d.post("/generate", {"digit": 7, "count": 2, "steps": 20, "seed": seed}, {"Request-Timeout-Ms": "600000"})
            return answer.status, time.monotonic() - begin, answer

        ask(0)
        memory, probes = [], jf.Probes(d, jf.png(dict(DIGITS)[7], 28, 28))
        with case("overload: 4 times more clients than fit: the surplus gets 503 with Retry-After at once, the rest is served"):
            for round_ in range(3):
                answers = in_parallel([lambda i=i: ask(i) for i in range(40)])
                memory.append(d.memory())
                served = [a for a in answers if a[0] == 200]
                refused = [a for a in answers if a[0] == 503]
                equal(len(served) + len(refused), 40, "answers")
                check(len(served) >= 9 and refused, f"{len(served)} served, {len(refused)} refused")
                for _, _, answer in refused:
                    check(1 <= int(answer.headers["retry-after"]) <= 60, "Retry-After")
                    equal(answer.json()["type"], "urn:jointflow:problem:queue-full", "type")
                quick, slow = statistics.median(a[1] for a in refused), max(a[1] for a in served)
                print(f"# {len(refused)} of 40 refused, after {1000 * quick:.1f} ms in the middle; the rest served within {slow:.2f} s; "
                      f"{memory[-1]} kB resident")
                check(quick < slow / 2, f"refused after {quick:.3f} s, served within {slow:.3f} s")
        with case("overload: probes and classifications pass meanwhile"):
            probes.stop()
            equal(probes.wrong, [], "probes")
            print(f"# {probes.n} probes and classifications, the slowest took {1000 * probes.slowest:.0f} ms")
        with case("overload: memory stays flat"):
            if not jf.SANITIZED:
                check(memory[-1] < memory[0] + 8000, f"{memory} kB")
        with case("overload: afterwards everything is served again"):
            equal([ask(i)[0] for i in range(5)], [200] * 5, "status")
            equal(d.metric("jointflow_queue_cost"), 0, "queue")
            check(d.metric("jointflow_rejections_total", reason="full") > 0, "counted")


def overtaking(d):
    """Both ways to classify, while the only worker is inside a generation of 102,144 evaluations."""
    seven = jf.png(dict(DIGITS)[7], 28, 28)
    done = lambda: d.metric("jointflow_steps_total", task="generate")
    link, before = d.connection(), done()
    link.request("POST", "/generate", json.dumps({"digit": 7, "count": 128, "steps": 200, "solver": "heun", "guidance": 2}), JSON)
    check(wait_for(lambda: done() > before), "it did not start")
    for name, query in (("a classification", ""), ("method=sample, of more draws than fit a batch,", "?method=sample&samples=40")):
        with case(f"overload: {name} is not kept waiting behind generations"):
            equal(d.classify(seven, query).status, 200, "status")
            # whoever had to wait for it would find it done, or its first batch of 16 pictures
            check(0 < done() - before < 16 * 200, f"{done() - before} steps of the generation were done")
    link.close()
    check(wait_for(lambda: d.metric("jointflow_queue_cost") == 0), "it is not cancelled")


def leaving():
    # A day, so that no machine is too slow for the work to be admitted.
    with Daemon("--workers=1", "--queue-capacity=1000000", "--request-timeout-ms=86400000") as d:
        overtaking(d)
        busy = lambda: d.get("/health").json()["workers"]["busy"]
        long = {"digit": 7, "count": 128, "steps": 200}
        for name, headers in (("waits for JSON", JSON), ("follows a stream", {**JSON, "Accept": "text/event-stream"})):
            with case(f"leaving: a client that {name} and goes away frees the worker within a step"):
                before, steps = d.metric("jointflow_cancellations_total"), d.metric("jointflow_steps_total", task="generate")
                link = d.connection()
                link.request("POST", "/generate", json.dumps(long), headers)
                check(wait_for(lambda: busy() == 1), "it did not start")
                check(wait_for(lambda: d.metric("jointflow_steps_total", task="generate") > steps), "no step")
                link.sock.close()
                link.close()
                begin = time.monotonic()
                check(wait_for(lambda: d.metric("jointflow_cancellations_total") > before), "not cancelled")
                check(wait_for(lambda: busy() == 0), "the worker is still busy")
                passed = time.monotonic() - begin
                at_end = d.metric("jointflow_steps_total", task="generate")
                equal(d.metric("jointflow_cancellations_total"), before + 1, "cancellations")
                time.sleep(0.3)
                equal(d.metric("jointflow_steps_total", task="generate"), at_end, "steps after the end")
                check(at_end - steps < 128 * 200 / 2, f"{at_end - steps} of {128 * 200} item steps were done, {passed:.2f} s")
        with case("leaving: one of many, the others get their answers"):
            waiting = [d.connection() for _ in range(6)]
            for i, link in enumerate(waiting):
                link.request("POST", "/generate", json.dumps({"digit": 7, "steps": 20, "seed": i}), JSON)
            for link in waiting[::2]:
                link.close()
            equal([link.getresponse().status for link in waiting[1::2]], [200] * 3, "the others")
            for link in waiting:
                link.close()
        with case("leaving: some of those that one batch answers, the others get their answers"):
            seven = jf.png(dict(DIGITS)[7], 28, 28)
            ask = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(seven) + seven
            for turn in range(20):
                links = [d.connect() for _ in range(12)]
                for link in links:
                    link.sendall(ask)
                for link in links[turn % 2::2]:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    link.close()
                for link in links[1 - turn % 2::2]:
                    equal(link.recv(65536)[:15], b"HTTP/1.1 200 OK", f"turn {turn}")
                    link.close()
            check(d.metric("jointflow_batch_size_sum", task="posterior") > d.metric("jointflow_batch_size_count", task="posterior"),
                  "no batch had two of them")
        with case("leaving: a client that sent its request, half-closed and went away later is noticed by a reset"):
            body = json.dumps(long).encode()
            before = d.metric("jointflow_cancellations_total")
            link = d.connect()
            link.sendall(b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            link.shutdown(socket.SHUT_WR)
            equal(link.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n", "the question whether it is there")
            equal(d.metric("jointflow_cancellations_total"), before, "it is still there")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()
            check(wait_for(lambda: d.metric("jointflow_cancellations_total") > before), "not cancelled")
        with case("deadline: Request-Timeout-Ms ends the work with 503"):
            begin = time.monotonic()
            answer = d.post("/generate", long, {"Request-Timeout-Ms": "300"})
            equal((answer.status, answer.json()["type"]), (503, "urn:jointflow:problem:deadline-exceeded"), "answer")
            check(time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
            check(wait_for(lambda: busy() == 0), "the worker is still busy")
        with case("afterwards: nothing is in flight, everything is served"):
            check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] == 1), d.get("/health").json())
            equal(d.post("/generate", {"digit": 7, "steps": 1}).status, 200, "status")


def drain_under_work(d):
    kept = d.connection()
    equal(d.get("/livez", link=kept).status, 200, "before")
    answers = []
    worker = threading.Thread(target=lambda: answers.append(d.post("/generate", {"digit": 7, "count": 16, "steps": 60, "seed": 1})))
    worker.start()
    check(wait_for(lambda: d.get("/health").json()["workers"]["busy"] == 1), "no work under way")
    d.process.send_signal(signal.SIGTERM)
    check(wait_for(lambda: "finishing" in d.log()), "no drain")
    try:
        late = d.post("/generate", {"digit": 7, "steps": 1}, link=kept)
        equal((late.status, late.headers["connection"].lower()), (503, "close"), "new work on a kept connection")
    except OSError:
        pass  # it was closed: as good
    worker.join()
    equal([a.status for a in answers], [200], "the admitted one")
    d.process.wait(jf.PATIENCE_S)  # another signal would mean: quit at once


def stop_under_work(d):
    links = [d.connection() for _ in range(8)]
    for i, link in enumerate(links):
        link.request("POST", "/generate", '{"digit": 7, "count": 128, "steps": 200}',
                     {**JSON, "Accept": "text/event-stream" if i % 2 else "application/json"})
    check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] == 9), "not all are under way")
    begin = time.monotonic()
    d.stop()
    check(time.monotonic() - begin < jf.PATIENCE_S / 2, "time")
    equal([link.getresponse().status for link in links], [503, 200] * 4, "answers")
    for link in links:
        link.close()


def draining():
    with case("drain: SIGTERM lets admitted work finish and refuses new work"):
        with Daemon("--workers=1", "--request-timeout-ms=300000", "--drain-timeout-ms=300000") as d:
            drain_under_work(d)
    with case("stop: clients that wait and stream while the drain limit passes"):
        with Daemon("--workers=1", "--request-timeout-ms=300000", "--drain-timeout-ms=300", "--queue-capacity=1000000") as d:
            stop_under_work(d)


def crowd():
    with Daemon("--queue-capacity=1000000", "--request-timeout-ms=600000") as d:
        same_bytes(d)


jf.main(crowd, overload, leaving, draining)
