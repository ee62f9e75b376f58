#!/usr/bin/python3
"""What clients of all kinds send and expect: half-closed connections, long heads, slow readers of a refusal, tracing."""

import json
import time

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
        data = d.raw(raw_post("/v1/generate", long, "Content-Type: application/json"), 120 * jf.PATIENCE, half_close=True)
        equal(final(data)[0], 200, data[:300])
        check(time.monotonic() - begin < 1.5 or data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"), data[:100])
    with case("half-close: HTTP/1.0 knows no interim answers and gets none"):
        data = d.raw(raw_post("/v1/generate", long, "Content-Type: application/json", version="1.0"), 120 * jf.PATIENCE,
                     half_close=True)
        equal(data.count(b"HTTP/1."), 1, data[:300])
        equal(jf.parse_raw(data)[0], 200, data[:300])
    with case("half-close: the log knows no client that left"):
        check(" 499 " not in d.log(), "499 in the log")


def heads(d):
    def ask(*fields, target="/v1/version"):
        return d.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode() +
                     b"".join(field + b"\r\n" for field in fields) + b"\r\n")

    with case("heads: 32 KB are taken, whatever they are made of"):
        for field in (b"Cookie: a=", b"X-Long: "):
            for size in (1000, 20000, 32000, 32600):
                equal(jf.parse_raw(ask(field + b"x" * size))[0], 200, f"{field} {size}")
        equal(jf.parse_raw(ask(target="/v1/version?" + "x" * 32600))[0], 200, "a long query")
    with case("heads: more is refused once, as a problem document"):
        for name, fields in (("cookie", (b"Cookie: a=%s",)), ("field", (b"X-Long: %s",)), ("both", (b"Cookie: b=1", b"X-Long: %s"))):
            for size in (32768, 33000, 40000, 60000):
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
                for _ in range(8):  # 0.8 of the two seconds
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
            while not cut and time.monotonic() - begin < 20 * jf.PATIENCE:
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
        equal(d.log().count("] trace " + parent), 2, "lines of the log")
    with case("tracing: what is none is neither"):
        for bad in ("", "00", parent.upper(), parent[:-1], parent + "-x", parent.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
                    parent.replace("b7ad6b7169203331", "0" * 16), "ff" + parent[2:], parent.replace("-", "_"), "x" * 55):
            equal(d.get("/v1/model", headers={"traceparent": bad}).headers.get("traceparent"), None, bad)
        equal(d.log().count("] trace "), 2, "lines of the log")


def clients():
    with Daemon() as d:
        half_close(d)
        heads(d)
        tracing(d)


jf.main(clients, late)
