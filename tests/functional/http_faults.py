#!/usr/bin/python3
"""Attacks and faults: what one client may cost, and that probes and small requests pass meanwhile."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib

import jf
from jf import Daemon, case, check, equal, wait_for

SEVEN = jf.png(dict(jf.test_digits())[7], 28, 28)
JSON = {"Content-Type": "application/json"}
# A JPEG of 16384 x 4096 white pixels, as large as any may be, in few bytes: cjpeg -arithmetic -quality 100. Without its first marker.
WHITE = b"\xff\xdb\0\x43\0" + b"\1" * 64 + bytes.fromhex(
    "ffc9000b081000400001011100ffcc000600101005ffda0008010100003f00d2ea569aba80ffd9")
# White, 6000 x 4000 pixels in ten scans: cjpeg -arithmetic -progressive -quality 100.
SCANS = b"\xff\xd8\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xdb\0\x43\1" + b"\1" * 64 + bytes.fromhex(
    "ffca0011080fa0177003012200021101031101ffcc000600100110ffda000c03010002100310000001d2e3388b94ffcc00041005ffda0008010100010502a5e3"
    "ffcc00041105ffda0008010301013f01a5e4ffcc00041105ffda0008010201013f01a5e4ffcc00041005ffda0008010100063f02a5e3ffcc00041005ffda0008"
    "010100013f21a5e3ffda000c030100020003000000104bc6ffcc00041105ffda0008010301013f10a5e4ffcc00041105ffda0008010201013f10a5e4ffcc0004"
    "1005ffda0008010100013f10a5e3ffd9")


def packed(rows, megabytes_after):
    """zlib.compress(rows + so many mebibytes of zeros), of which one is packed and stands there many times."""
    packer = zlib.compressobj(9)
    out = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    sum_ = zlib.adler32(rows)  # a zero adds the lower half to the upper one
    sum_ = ((sum_ >> 16) + (megabytes_after << 20) * (sum_ & 0xffff)) % 65521 << 16 | sum_ & 0xffff
    return out + zeros * megabytes_after + b"\x03\0" + struct.pack(">I", sum_)


def picture(width, height, depth, kind, rows, megabytes_after=0):
    """A PNG of which the writer decides what it unpacks to."""
    return (b"\x89PNG\r\n\x1a\n" + jf.png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) +
            jf.png_chunk(b"IDAT", packed(rows, megabytes_after)) + jf.png_chunk(b"IEND", b""))


def flood(d, clients, body):
    """Clients that send the same body, each at least once and on until there were some probes; the statuses they got, how probes
    fared, and how many times longer this took than if the machine had nothing else to do."""
    statuses, lock = set(), threading.Lock()

    def run():
        asked = False
        while not asked or probes.n <= 8:
            asked = True
            # so little time that not all of them wait for their turn
            headers = {"Content-Type": "image/png", "Request-Timeout-Ms": "2000"}
            status = d.request("POST", "/v1/classify", body, headers, timeout=600).status
            with lock:
                statuses.add(status)

    begin, used = time.monotonic(), d.cpu_seconds() + time.process_time()
    probes = jf.Probes(d, SEVEN)
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probes.stop()
    used = d.cpu_seconds() + time.process_time() - used
    return statuses, probes, max(1, (time.monotonic() - begin) * os.cpu_count() / used)


def many_pictures(d, large):
    before = d.cpu_seconds()
    equal(d.classify(large).status, 422, "one")
    one = d.cpu_seconds() - before
    body, headers = jf.form([("images", large)] * 120)
    with case("bombs: no more of 120 large pictures is decoded than there is time for"):
        before = d.cpu_seconds()
        answer = d.request("POST", "/v1/classify", body, dict(headers, **{"Request-Timeout-Ms": "300"}))
        equal((answer.status, answer.json()["type"]), (503, "urn:jointflow:problem:deadline-exceeded"), "answer")
        used = d.cpu_settled() - before
        check(used < (0.6 + 5 * one) * jf.PATIENCE, f"{used:.2f} s of processor time, one takes {one:.2f} s")
    with case("bombs: pictures that take longer than their time limit are told so, and not to come again"):
        small = picture(512, 512, 16, 6, bytes(512 * (1 + 512 * 8)))
        few, few_headers = jf.form([("images", small)] * 20)
        check(len(few) < 65536, len(few))
        answer = d.request("POST", "/v1/classify", few, dict(few_headers, **{"Request-Timeout-Ms": "1"}))
        equal((answer.status, answer.json()["type"]), (503, "urn:jointflow:problem:deadline-exceeded"), "answer")
        check("5.2 million pixels" in answer.json()["detail"] and "0.2 s" in answer.json()["detail"], answer.json()["detail"])
        check("retry-after" not in answer.headers, answer.headers)
    with case("bombs: nothing is decoded for a client that has left"):
        before, errand, link = d.cpu_seconds(), d.cpu_by_thread()["jf-errands-0"], d.connection()
        link.request("POST", "/v1/classify", body, headers)
        check(wait_for(lambda: d.cpu_by_thread()["jf-errands-0"] > errand + 0.05), "it does not begin")
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()  # with a reset
        used = d.cpu_settled() - before
        check(used < 60 * one, f"{used:.2f} s of processor time, one takes {one:.2f} s")


def bombs():
    side = 512 if jf.SANITIZED else 2048  # the largest would take a sanitizer minutes for all clients
    largest = picture(side, side, 16, 6, bytes(side * (1 + side * 8)))
    behind = picture(28, 28, 8, 0, bytes(28 * 29), 860)
    with Daemon("--max-connections-per-client=1000") as d:
        with case("bombs: what follows the last row is not unpacked"):
            before = d.cpu_seconds()
            answer = d.classify(behind)
            equal((answer.status, answer.json()["type"]), (422, "urn:jointflow:problem:unusable-image"), "answer")
            check("last row" in answer.body.decode(), answer.body)
            used = d.cpu_seconds() - before
            check(used < 0.3 * jf.PATIENCE, f"{used:.2f} s of processor time for {len(behind)} bytes")
        for name, body, clients in ((f"{side} x {side} pixels of 64 bits in {len(largest)} bytes", largest, 32), ("image data without end", behind, 6)):
            with case(f"bombs: {name}, from {clients} clients: probes and small requests pass"):
                statuses, probes, slower = flood(d, clients, body)
                equal(probes.wrong, [], "probes")
                check(statuses <= {422, 503}, statuses)
                check(probes.n > 8, f"{probes.n} probes")
                check(probes.slowest < 2 * jf.PATIENCE * slower, f"a probe took {probes.slowest:.2f} s, {slower:.1f} times slower than alone")
        with case("bombs: JPEGs whose heads hide their size keep no network thread"):
            for hiding in (b"\xff\x01", b"\xff\xd3", b"\0\0\0", b"\xff\xff"):
                before = d.cpu_by_thread()
                body, headers = jf.form([("images", b"\xff\xd8" + hiding + WHITE)] * 10)
                equal(d.request("POST", "/v1/classify", body, headers).status, 422, hiding)
                used = {name: seconds - before.get(name, 0) for name, seconds in d.cpu_by_thread().items()}
                errand = used.pop("jf-errands-0")
                # decoded by a network thread they would take 0.3 s of it; a tick or two are anybody's
                check(sum(used.values()) < 0.1 + 0.3 * errand, f"{hiding}: {errand:.2f} s of decoding, and {used}")
                print(f"# {hiding}: {errand:.2f} s of decoding, {sum(used.values()):.2f} s elsewhere")
        many_pictures(d, largest)
        with case("bombs: a large picture is answered as ever, and its memory given back"):
            before = d.memory()
            grey = jf.png(bytes(2048 * 1024) + b"\xff" * (2048 * 1024), 2048, 2048)
            equal(d.classify(grey).status, 200, "status")
            body, headers = jf.form({"image": grey})
            equal(d.request("POST", "/v1/classify", body, headers).status, 200, "as a form")
            check(jf.SANITIZED or wait_for(lambda: d.memory() < before + 8000), f"{before} kB, then {d.memory()} kB")
    with Daemon("--request-timeout-ms=2000") as d, case("bombs: pictures that cannot be decoded in time are refused before, with the limit"):
        body, headers = jf.form([("images", b"\xff\xd8" + WHITE)] * 5)
        answer = d.request("POST", "/v1/classify", body, headers)
        equal((answer.status, answer.json()["type"]), (422, "urn:jointflow:problem:invalid-parameters"), "answer")
        check("83 million pixels" in answer.json()["detail"] and "64 million" in answer.json()["detail"], answer.json()["detail"])
        check(d.cpu_by_thread()["jf-errands-0"] < 0.05, "something was decoded")


def post(d, address, body, headers):
    link = from_address(d, address)
    link.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % len(body) +
                 "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + body)
    return link


def turns():
    """Large pictures wait for their turn; a list of them is decoded in pieces, between which others have theirs."""
    white = b"\xff\xd8" + WHITE  # half a second each, at the rate at which pictures are decoded
    short = jf.png(bytes(512 * 256) + b"\xff" * (512 * 256), 512, 512)
    with Daemon("--http-threads=1") as d:
        with case("turns: large pictures wait, while a list is decoded, and nobody is turned away"):
            many = post(d, "127.0.0.2", *jf.form([("images", white)] * 6))
            check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] == 2), "it does not arrive")
            large = [post(d, "127.0.0.3", white, {"Content-Type": "image/jpeg"}) for _ in range(5)]
            brief = [post(d, address, short, {"Content-Type": "image/png"}) for address in ("127.0.0.4", "127.0.0.2")]
            equal([link.recv(65536)[9:12] for link in brief], [b"200"] * 2, "short ones, one of them of the list's client")
            check(not select.select([many], [], [], 0)[0], "the list was answered first")
            equal([link.recv(65536)[9:12] for link in large], [b"422"] * 5, "blank ones")
            equal(many.recv(65536)[9:12], b"422", "the list")
            for link in [many, *large, *brief]:
                link.close()
        with case("turns: what will not be decoded in time is refused at once, and told when to come"):
            lists = [post(d, "127.0.0.3", *jf.form([("images", white)] * 8)) for _ in range(2)]
            check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] == 3), "they do not arrive")
            late = post(d, "127.0.0.3", white, {"Content-Type": "image/jpeg", "Request-Timeout-Ms": "600", "Connection": "close"})
            status, fields, body = jf.parse_raw(jf.drained(late))
            equal((status, json.loads(body)["type"]), (503, "urn:jointflow:problem:queue-full"), body)
            check(1 <= int(fields["retry-after"]) <= 60, fields)
            for link in lists:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.close()  # with a reset: nothing more is decoded for them
        with case("turns: a list in pieces is answered like one at a time"):
            one, seven = d.classify(short).json(), d.classify(SEVEN).json()
            answer = d.request("POST", "/v1/classify", *jf.form([("images", short), ("images", white), ("images", SEVEN), ("images", white)]))
            results = answer.json()["results"]
            equal([result.get("label") for result in results], [one["label"], None, seven["label"], None], results)
            equal(results[0]["probabilities"], one["probabilities"], "the first")


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


def large_pictures():
    """Name, bytes, and what a request with it may take beside 8 times its body."""
    for name, depth, kind, ink, ground in (("grey", 8, 0, b"\xff", b"\0"), ("colours", 8, 2, b"\xff" * 3, bytes(3)),
                                           ("deep colours and alpha", 16, 6, bytes(6) + b"\xff\xff", b"\xff" * 8)):
        plain, inked = b"\0" + ground * 2048, b"\0" + ground * 800 + ink * 400 + ground * 848
        data = picture(2048, 2048, depth, kind, plain * 300 + inked * 1448 + plain * 300)
        yield f"a PNG of 2048 x 2048, {name}", data, 4
        turn = jf.png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
        yield f"the same, turned by its Exif: {name}", data[:33] + turn + data[33:], 4
    # seven passes over blank paper
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b"".join((b"\0" + bytes(4 * len(range(x, 2048, dx)))) * len(range(y, 2048, dy)) for y, dy, x, dx in passes)
    yield "an interlaced picture with alpha", (
        b"\x89PNG\r\n\x1a\n" + jf.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2048, 2048, 8, 6, 0, 0, 1)) +
        jf.png_chunk(b"IDAT", packed(rows, 0)) + jf.png_chunk(b"IEND", b"")), 22
    yield "a JPEG of 16384 x 4096", b"\xff\xd8" + WHITE, 4
    yield "a JPEG of 6000 x 4000 in many scans", SCANS, 96
    yield "a JPEG of 8000 x 8000 in many scans", SCANS.replace(b"\x0f\xa0\x17\x70", b"\x1f\x40\x1f\x40"), 4


def memory():
    """Peak of one request <= 8 x its body + 4 MB, with pictures what is said of them, and afterwards it is as before."""
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
        for name, data, extra in large_pictures():
            with case(f"memory: {name}: at most 8 times the body and {extra} MB"):
                took, answer = peak(d, lambda data=data: d.request("POST", "/v1/classify", data, {
                    "Content-Type": "image/png" if data[0] == 0x89 else "image/jpeg"}))
                equal(answer.status, 200 if "PNG" in name or "turned" in name else 422, answer.body)
                check("many" not in name or extra > 4 or "needs more memory than 72 MiB" in answer.body.decode(), answer.body)
                print(f"# {took} bytes of memory")
                check(jf.SANITIZED or took <= 8 * len(data) + extra * 1_000_000, f"{took} bytes for a body of {len(data)}")
        took, name = max(worst)
        print(f"# the most memory beyond 8 times the body: {took} bytes, for {name}")
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
            check(wait_for(lambda: d.metric("jointflow_queue_cost") > 2000), "not admitted")
            full = d.post("/v1/generate", {"digit": 7, "count": 20, "steps": 200})
            equal((full.status, full.json()["type"]), (503, "urn:jointflow:problem:queue-full"), "a second one")
            equal([d.classify(SEVEN).status for _ in range(5)], [200] * 5, "classifications")
            equal(d.classify(SEVEN, "?method=sample").status, 200, "votes")
            check(d.metric("jointflow_queue_cost") > 0, "the generation was done too soon to tell")
            link.close()


def pixels():
    """What an answer's pictures may hold together: encoding them is no step that anything interrupts."""
    with Daemon("--max-count=4096", "--queue-capacity=100000") as d, case("pixels: what is too large a picture is refused at once"):
        for path in ("/v1/generate?digit=1&count=4096&scale=16&steps=1&seed=1", "/v1/sample?count=4096&scale=16&steps=1",
                     "/v1/blend?from=1&to=2&columns=64&rows=64&scale=16&steps=1"):
            before = d.cpu_seconds()
            answer = d.request("POST" if "sample" in path else "GET", path)
            equal(answer.status, 422, path)
            (error,) = answer.json()["errors"]
            equal(error["pointer"], "/scale", path)
            check("67108864 are allowed" in error["detail"], error)
            check(d.cpu_seconds() - before < 2 * jf.PATIENCE, "refused late")
        equal(d.get("/v1/generate?digit=1&count=8&scale=16&steps=1&seed=1").status, 200, "an ordinary one")


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

            check(wait_for(ready), "not ready")
            link = d.connection()
            for i in range(3000):
                equal(d.get("/livez", link=link).status, 200, f"answer {i}")
            link.close()
            check(d.metric("jointflow_log_dropped_lines_total") > 0, "nothing was dropped")
            process.send_signal(signal.SIGTERM)
            equal(process.wait(jf.PATIENCE_S), 0, "exit status")
        finally:
            process.kill()
            process.wait()
            os.close(reader)


def from_address(d, address, buffer=0):
    """A connection whose client has this address of the loopback network."""
    link = socket.socket()
    link.settimeout(jf.PATIENCE_S)
    if buffer:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        # small segments: else the kernel takes some megabytes off the daemon's hands
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    link.bind((address, 0))
    link.connect(("127.0.0.1", d.port))
    return link


def is_closed(link):
    link.setblocking(False)
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def ask(link, path="/version"):
    """Status and head of an answer over a raw connection; 0 when there was none."""
    link.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = b""
    with contextlib.suppress(OSError):
        while b"\r\n\r\n" not in head:
            part = link.recv(65536)
            if not part:
                break
            head += part
    return (int(head.split()[1]) if head else 0), head


def connections():
    with Daemon("--max-connections=40", "--max-connections-per-client=20", "--upload-timeout-ms=600000",
                "--idle-timeout-ms=600000") as d:
        with case("connections: one address is closed at its limit and shuts out nobody"):
            for _ in range(10):
                idle = [from_address(d, "127.0.0.2") for _ in range(100)]
                # accepted after them: who is closed has been counted at no time
                equal(d.get("/version").status, 200, "another address")
                check(wait_for(lambda: sum(is_closed(link) for link in idle) >= 100 - 28), "not closed at accept")  # noqa: B023
                open_ones = [link for link in idle if not is_closed(link)]
                check(len(open_ones) >= 20, f"{len(open_ones)} of 20 are open")
                for link in idle:
                    link.close()
                check(wait_for(lambda: d.metric("jointflow_http_connections") <= 1), "not freed")
        with case("connections: when all are taken, probes pass and the rest gets 503 at once"):
            # one that goes while these come would leave room that nobody takes
            idle = [d.only_connection()] + [from_address(d, f"127.0.0.{3 + i // 15}") for i in range(45)]
            check(wait_for(lambda: ask_anew(d, "/livez")[0] == 200), "no probe")
            wait_for(lambda: ask_anew(d, "/version")[0] == 503)  # until the daemon has taken them all
            status, head = ask_anew(d, "/version")
            equal(status, 503, "status")
            check(b"\r\nRetry-After: " in head and b"\r\nConnection: close" in head, head)
            equal([ask_anew(d, "/readyz")[0] for _ in range(20)], [200] * 20, "probes")
            for link in idle:
                link.close()
            check(wait_for(lambda: ask_anew(d, "/version")[0] == 200), "afterwards")
    with Daemon("--max-connections=40", "--max-connections-per-client=5", "--upload-timeout-ms=600000") as d:
        with case("connections: those that are refused for their addresses take nobody's room"):
            # 5 of each of six addresses are welcome, 16 in all are heard to be refused, the others are closed
            idle = [from_address(d, f"127.0.0.{2 + i % 6}") for i in range(120)]
            equal(d.get("/version").status, 200, "another address")
            check(wait_for(lambda: sum(is_closed(link) for link in idle) >= 120 - 30 - 16), "not closed at accept")
            check(sum(is_closed(link) for link in idle) <= 120 - 30, "those that are welcome are closed")
            for link in idle:
                link.close()
    with case("connections: the largest number that the configuration takes, starts"):
        with Daemon("--max-connections=1000000") as d:
            equal(d.get("/livez").status, 200, "status")


def ask_anew(d, path):
    link = from_address(d, "127.0.0.1")
    try:
        return ask(link, path)
    finally:
        link.close()


def bodies():
    size = 262144
    with Daemon("--max-body-bytes=256K", "--upload-timeout-ms=600000") as d:
        with case("bodies: stalled uploads of one address leave room for the others"):
            head = (b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % size)
            stalled = []
            for _ in range(60):
                link = from_address(d, "127.0.0.2")
                link.sendall(head + bytes(size - 10))
                stalled.append(link)
            check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] > 60), "not all are under way")
            noise = os.urandom(40000)
            large = jf.png(noise * 5, 400, 500)  # which nothing compresses
            check(65536 < len(large) < size, len(large))
            check(d.classify(large).status in (200, 422), "a large body of another address")  # whatever it sees in noise
            equal(d.classify(SEVEN).status, 200, "a small one")
            small = from_address(d, "127.0.0.2")
            small.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" %
                          len(SEVEN) + SEVEN)
            check(small.recv(65536).startswith(b"HTTP/1.1 200 "), "a small one of the same address")
            one_more = from_address(d, "127.0.0.2")
            one_more.sendall(head + bytes(size))
            check(one_more.recv(65536).startswith(b"HTTP/1.1 503 "), "one more large one of it")
            check(d.metric("jointflow_rejections_total", reason="bodies") > 0, "counted")
            stalled.append(one_more)
            for link in [*stalled, small]:
                link.close()


def trickling(d, name, accept):
    """A client that asks for an answer larger than what the kernel takes off the daemon's hands, of which it will then
    read a few bytes at a time."""
    link = from_address(d, "127.0.0.1", 2048)
    body = json.dumps({"digit": 7, "count": 24, "steps": 1, "seed": 1, "scale": 16}).encode()
    link.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: %s\r\n"
                 b"X-Request-Id: %s\r\nContent-Length: %d\r\n\r\n" % (accept, name.encode(), len(body)) + body)
    return link


def trickle(d):
    """The limit on sending: idle_timeout_ms and a second for each 16 KiB, whatever trickles."""
    links = {name: trickling(d, name, accept) for name, accept in (("trickle", b"application/json"), ("drip", b"text/event-stream"))}
    got = dict.fromkeys(links, 0)

    def cut(name):
        return re.search(rf"/v1/generate 499 .*\[{name}\] \(the client read too slowly\)", d.log())

    began = time.monotonic()
    while not all(map(cut, links)) and time.monotonic() - began < jf.PATIENCE_S:
        for name, link in links.items():
            with contextlib.suppress(OSError):
                got[name] += len(link.recv(20, socket.MSG_DONTWAIT))
        time.sleep(0.1)
    took = time.monotonic() - began
    for link in links.values():
        link.close()
    check(all(got.values()), got)  # they read something, so it was no silence that ended them
    check(all(map(cut, links)), d.log()[-1000:])
    check(took > 2, f"cut after {took:.1f} s")


def slow_readers():
    with Daemon("--idle-timeout-ms=1000", "--workers=1", "--request-timeout-ms=600000") as d:
        with case("readers: who reads a few bytes a second is cut off, and the log says why"):
            trickle(d)
        with case("readers: a stream's reader that pauses longer than a connection may idle gets its result"):
            check(wait_for(lambda: d.metric("jointflow_queue_cost") == 0), "the jobs before do not end")
            before = d.metric("jointflow_jobs_total", task="generate")
            link = from_address(d, "127.0.0.1", 4096)
            body = json.dumps({"digit": 7, "count": 8, "steps": 90, "seed": 1, "scale": 16}).encode()
            link.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Accept: text/event-stream\r\nX-Request-Id: pause\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            got = link.recv(100)
            # not those of the readers before
            check(wait_for(lambda: d.metric("jointflow_jobs_total", task="generate") > before), "the job does not end")
            time.sleep(3)
            with contextlib.suppress(OSError):
                while part := link.recv(65536):
                    got += part
            check(b"event: result\ndata: " in got and got.endswith(b"\r\n0\r\n\r\n"), got[-300:])
            check(0 < got.count(b"event: step\n") < 720, f"{got.count(b'event: step')} of 720 steps: nothing was left out")
            check(wait_for(lambda: re.search(r"/v1/generate 200 .*\[pause\]", d.log())), "log")
            link.close()
    with case("readers: a stream that a deadline ends is logged as what it was"), Daemon("--workers=1") as d:
        answer = d.post("/v1/generate", {"digit": 7, "count": 90, "steps": 200},
                        {"Accept": "text/event-stream", "Request-Timeout-Ms": "1000", "X-Request-Id": "short"})
        equal(answer.events()[-1][0], "error", "end")
        check(wait_for(lambda: re.search(r"/v1/generate 503 .*\[short\]", d.log())), d.log()[-500:])


def chunk_heads(d):
    """Heads of chunks that fill what libmicrohttpd has for them, beside uploads that are as they should be."""
    head = b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with case("chunks: a head of 200 KB is 413, however many others one thread reads, and those are answered"):
        good = [from_address(d, "127.0.0.1") for _ in range(4)]
        for link in good:
            link.sendall(head + b'9\r\n{"digit":\r\n3;a=')  # the next chunk's head is not complete
        check(wait_for(lambda: d.get("/health").json()["requests_in_flight"] >= 5), "not all are under way")
        for before in (b"", b"a" * 60000, b"a" * 5000):  # part of it may come with the request's own head
            bad = [from_address(d, "127.0.0.1") for _ in range(3)]
            for link in bad:
                link.sendall(head + b"15;" + before)
            for link in bad:
                with contextlib.suppress(OSError):
                    link.sendall(b"a" * (200000 - len(before)) + b"\r\n")
            for link in bad:
                status, _, body = jf.parse_raw(jf.drained(link))
                equal(status, 413, body[:300])
                equal(json.loads(body)["type"], "urn:jointflow:problem:content-too-large", "a long one")
        for link in good:
            link.sendall(b'1\r\n7, \r\n13\r\n"steps":1,"seed":1}\r\n0\r\n\r\n')
            equal(int(link.recv(65536).split()[1]), 200, "a good one")
            link.close()


def hidden_values():
    heads = {
        "Host": b"Host: 127.0.0.1\0.evil.com\r\n",
        "Host, in the last place": b"Accept: */*\r\nHost: 127.0.0.1\0.evil.com\r\n",
        "Transfer-Encoding": b"Host: localhost\r\nTransfer-Encoding: chunked\0, gzip\r\nAccept: */*\r\n",
        "Content-Length": b"Host: localhost\r\nContent-Length: 0\x00123\r\nAccept: */*\r\n",
        "Content-Length, in the last place": b"Host: localhost\r\nContent-Length: 0\x00123\r\n",
        "a field of no meaning": b"Host: localhost\r\nX-Any: a\0b\r\nAccept: */*\r\n",
    }
    with Daemon("--http-threads=1") as d:
        chunk_heads(d)
        for name, head in heads.items():
            with case(f"NUL: in {name}: refused"):
                status, _, body = jf.parse_raw(d.raw(b"GET /version HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n"
                                                     if "last" not in name else b"GET /version HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n"))
                equal((status, json.loads(body)["type"] if body else ""), (400, "urn:jointflow:problem:malformed-request"), "answer")
        for name, head in (("bare line feeds", b"Host: localhost\nAccept: */*\nConnection: close\n\n"),
                           ("blanks behind values", b"Host: localhost\r\nAccept: */* \t\r\nX-Any: a b  \r\nConnection: close\r\n\r\n")):
            with case(f"NUL: {name} are no such thing"):
                equal(jf.parse_raw(d.raw(b"GET /version HTTP/1.1\r\n" + head))[0], 200, "status")


if __name__ == "__main__":
    jf.main(bombs, turns, memory, one_for_all, pixels, blocked_log, connections, bodies, slow_readers, hidden_values)
