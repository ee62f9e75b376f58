#!/usr/bin/python3
"""Who may ask: keys, hosts, other sites' pages, CORS, rate and connection limits, proxies, TLS, Unix sockets."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import jf
from jf import Daemon, case, check, equal

KEY = "a-key-of-at-least-sixteen-characters"
OTHER = "another-key-0123456789"


def key_file(*keys):
    path = jf.scratch("keys")
    with open(path, "w", encoding="ascii") as file:
        file.write("# keys of the test\n\n" + "\n".join(keys) + "\n")
    os.chmod(path, 0o600)
    return path


def keys():
    path = key_file(KEY, OTHER)
    bearer = {"Authorization": "Bearer " + KEY}
    with Daemon("--key-file=" + path) as d:
        with case("keys: without one, or with a wrong one, 401"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
                            {"Authorization": "Basic " + KEY}, {"Authorization": KEY}, {"X-API-Key": ""}, {"X-API-Key": KEY[:-1]},
                            {"X-API-Key": KEY + "x"}, {"X-API-Key": "# keys of the test"}, {"Authorization": "Bearer " + "x" * 5000}):
                for path_ in ("/v1/model", "/generate?digit=1&steps=1", "/metrics", "/v2/models/x"):
                    answer = d.get(path_, headers=headers)
                    equal(answer.status, 401, f"{path_} {headers!r:.60}")
                    equal(answer.headers["www-authenticate"], 'Bearer realm="jointflow"', "WWW-Authenticate")
            equal(d.request("POST", "/v1/classify", b"x" * 100, {"Content-Type": "image/png"}).status, 401, "POST")
        with case("keys: either header, either key"):
            for headers in (bearer, {"Authorization": "bearer " + OTHER}, {"X-API-Key": KEY}, {"X-API-Key": OTHER}):
                equal(d.get("/v1/model", headers=headers).status, 200, headers)
        with case("keys: probes, page and description need none"):
            for path_ in ("/livez", "/readyz", "/health", "/", "/version", "/openapi.json", "/v2/health/live", "/v2/health/ready"):
                equal(d.get(path_).status, 200, path_)
        with case("keys: a reload takes the new file, a bad one keeps the old keys"):
            key_file("a-new-key-of-sixteen-or-more")
            d.process.send_signal(signal.SIGHUP)
            check(jf.wait_for(lambda: d.get("/v1/model", headers=bearer).status == 401), "the old key")
            equal(d.get("/v1/model", headers={"X-API-Key": "a-new-key-of-sixteen-or-more"}).status, 200, "the new key")
            key_file("short")
            lines = d.log().count("keys")
            d.process.send_signal(signal.SIGHUP)
            check(jf.wait_for(lambda: d.log().count("keys") > lines), d.log())
            equal(d.get("/v1/model", headers={"X-API-Key": "a-new-key-of-sixteen-or-more"}).status, 200, "still the new key")
        with case("keys: none stands in the log"):
            check(KEY not in d.log() and OTHER not in d.log(), "a key in the log")
    with case("keys: a bad key file keeps the daemon from starting"):
        for keys_, word in (((), "no key"), (("short",), "16"), (("with a space in it, yes",), "space")):
            done = subprocess.run([os.path.join(jf.BUILD, "jointflowd"), "--config=/dev/null", "--listen-port=0",
                                   "--model=" + jf.any_model(), "--key-file=" + key_file(*keys_)], capture_output=True, timeout=jf.PATIENCE_S,
                                  check=False)
            check(done.returncode != 0 and word in done.stderr.decode(), done.stderr)
    with Daemon("--key-file=" + key_file(KEY), "--metrics-public=yes") as d, case("keys: metrics_public"):
        equal((d.get("/metrics").status, d.get("/v1/model").status), (200, 401), "metrics, model")


def hosts(d):
    with case("hosts: ours are loopback names and addresses, with or without port"):
        for host in ("localhost", "LOCALHOST:1", f"127.0.0.1:{d.port}", "127.0.0.1", "[::1]", "[::1]:80", "a.localhost", "localhost.", "127.1.2.3"):
            equal(d.get("/v1/model", headers={"Host": host}).status, 200, host)
    with case("hosts: any other is 421, wherever it points"):
        for host in ("evil.example", "192.168.0.1", "10.0.0.1:80", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "[::2]",
                     "[::1", "a b", "0.0.0.0", "localhost:abc", "xlocalhost"):
            for path in ("/v1/model", "/", "/nothing"):
                equal(d.get(path, headers={"Host": host}).status, 421, host)
        check(d.metric("jointflow_rejections_total", reason="host") >= 36, "counted")
    with case("hosts: probes answer whoever asks"):
        equal(d.get("/livez", headers={"Host": "10.1.2.3:8080"}).status, 200, "livez")
    with Daemon("--allowed-hosts=digits.example,other.example") as own, case("hosts: allowed_hosts"):
        equal([own.get("/version", headers={"Host": h}).status for h in ("digits.example", "Other.Example:443", "localhost", "x.digits.example")],
              [200, 200, 421, 421], "status")


def sites(d):
    ask = {"digit": 7, "steps": 1}
    with case("sites: a page of another site is refused"):
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
                        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{d.port + 1}"},
                        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "rubbish"}):
            equal(d.post("/generate", ask, headers).status, 403, headers)
        for headers in ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}):
            equal(d.get("/generate?digit=7&steps=1", headers=headers).status, 403, headers)
        check(d.metric("jointflow_rejections_total", reason="cross_site") >= 10, "counted")
    with case("sites: our own page, a link from elsewhere and programs are served"):
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": f"http://127.0.0.1:{d.port}"}, {},
                        {"Origin": f"http://127.0.0.1:{d.port}", "Sec-Fetch-Site": "same-origin"}):
            equal(d.post("/generate", ask, {"Host": f"127.0.0.1:{d.port}", **headers}).status, 200, headers)
        equal(d.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status, 200, "a link")
    with case("sites: no CORS unless named"):
        answer = d.request("OPTIONS", "/generate", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"})
        equal((answer.status, "access-control-allow-origin" in answer.headers), (403, False), "preflight")
    with Daemon("--cors-origins=https://a.example,https://b.example") as own, case("sites: CORS for named origins only"):
        origin = {"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        answer = own.request("OPTIONS", "/generate", headers=origin)
        equal((answer.status, answer.headers["access-control-allow-origin"]), (204, "https://a.example"), "preflight")
        check("POST" in answer.headers["access-control-allow-methods"] and "Content-Type" in answer.headers["access-control-allow-headers"], "allowed")
        answer = own.post("/generate", ask, origin)
        equal((answer.status, answer.headers["access-control-allow-origin"]), (200, "https://a.example"), "POST")
        check("Origin" in answer.headers["vary"], "Vary")
        equal(own.post("/generate", {"digit": 70}, origin).headers["access-control-allow-origin"], "https://a.example", "an error")
        equal(own.post("/generate", ask, {**origin, "Origin": "https://c.example"}).status, 403, "another")
    with Daemon("--cors-origins=*", "--key-file=" + key_file(KEY)) as own, case("sites: CORS for all"):
        equal(own.post("/generate", ask, {"Origin": "https://c.example", "X-API-Key": KEY}).headers["access-control-allow-origin"], "*", "POST")
    img = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    with Daemon("--cors-origins=*", "--allow-unauthenticated=yes") as own, case("sites: with CORS for all, an <img> of another site's page loads"):
        for path in ("/generate?digit=7&steps=1", "/digits/7.png"):
            answer = own.get(path, headers=img)
            equal((answer.status, answer.headers["cross-origin-resource-policy"]), (200, "cross-origin"), path)
    stars = "https://*.example.org,http://localhost:*,https://*.test:8443,https://plain.example"
    with Daemon("--cors-origins=" + stars) as own, case("sites: a star stands for subdomains or for the port"):
        for origin in ("https://a.example.org", "https://a.b.Example.org", "http://localhost", "http://localhost:3000", "https://x.test:8443",
                       "https://plain.example"):
            answer = own.post("/generate", ask, {"Origin": origin, "Sec-Fetch-Site": "cross-site"})
            equal((answer.status, answer.headers.get("access-control-allow-origin"), "Origin" in answer.headers["vary"]), (200, origin, True), origin)
        for origin in ("https://example.org", "http://a.example.org", "https://a.example.org:444", "https://aexample.org", "https://evil.org",
                       "https://a.example.org.evil.org", "https://localhost:3000", "http://localhost.evil.org:80", "http://localhost:80.evil.org",
                       "https://x.test", "https://x.test:84430", "https://plain.example:8443", "null", "https://", "*", "https://*.example.org:*"):
            answer = own.post("/generate", ask, {"Origin": origin, "Sec-Fetch-Site": "cross-site"})
            equal((answer.status, "access-control-allow-origin" in answer.headers), (403, False), origin)
        answer = own.request("OPTIONS", "/generate", headers={"Origin": "https://a.example.org", "Access-Control-Request-Method": "POST",
                                                              "Access-Control-Request-Headers": "traceparent,baggage"})
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        check({"traceparent", "tracestate", "baggage"} <= set(allowed), allowed)
        check("traceparent" in own.post("/generate", ask, {"Origin": "http://localhost"}).headers["access-control-expose-headers"], "exposed")
    with case("sites: every answer carries the protecting headers"):
        for answer in (d.get("/"), d.get("/version"), d.get("/nothing"), d.get("/generate?digit=1&steps=1")):
            equal((answer.headers["x-content-type-options"], answer.headers["referrer-policy"], answer.headers["cross-origin-resource-policy"]),
                  ("nosniff", "no-referrer", "same-origin"), "headers")
            check("frame-ancestors 'none'" in answer.headers["content-security-policy"], "CSP")


def rates():
    # one a second: the slowest machine asks faster than that
    with Daemon("--max-rate-per-client=1", "--max-burst-per-client=10", "--trusted-proxies=127.0.0.1") as d:
        def ask(client, n):
            return [d.get("/version", headers={"X-Forwarded-For": client}).status for _ in range(n)]
        with case("rate: a burst is served, more is 429 with Retry-After"):
            got = ask("192.0.2.1", 30)
            equal(got[:10], [200] * 10, "burst")
            check(429 in got, got)
        with case("rate: another client behind the same proxy is not held back"):
            equal(ask("192.0.2.2", 5), [200] * 5, "other")
            equal(ask("192.0.2.3, 127.0.0.1", 5), [200] * 5, "through two")
            check(429 in ask("192.0.2.1, 198.51.100.7, 127.0.0.1", 30), "the last untrusted one counts")
            equal(ask("2001:db8::1", 3), [200] * 3, "IPv6")
        with case("rate: an IPv6 client is its /64"):
            ask("2001:db8:1:2::1", 30)
            check(429 in ask("2001:db8:1:2:ffff::9", 5), "same /64")
            equal(ask("2001:db8:1:3::1", 1), [200], "another /64")
        with case("rate: it recovers; probes are never refused"):
            time.sleep(1.2)
            equal(ask("192.0.2.1", 1), [200], "after a while")
            equal({d.get("/livez", headers={"X-Forwarded-For": "192.0.2.1"}).status for _ in range(40)}, {200}, "livez")
        with case("rate: bad requests are counted too"):
            got = [d.get("/nothing", headers={"X-Forwarded-For": "192.0.2.9"}).status for _ in range(30)]
            check(got[0] == 404 and 429 in got, got)
        with case("rate: bad paths and bad framing are counted too"):
            for i, request in enumerate((b"GET /%%zz HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n",
                                         b"GET /version HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n%s\r\n")):
                client = b"X-Forwarded-For: 192.0.2.%d\r\n" % (20 + i)
                got = [jf.parse_raw(d.raw(request % client))[0] for _ in range(30)]
                check(got[0] == 400 and 429 in got, got)
        with case("rate: the log names the client, not the proxy"):
            check(d.logged(" 192.0.2.1 GET /version 429"), "log")
    with Daemon("--max-rate-per-client=1", "--max-burst-per-client=3") as d, case("rate: X-Forwarded-For of a stranger is not believed"):
        got = [d.get("/version", headers={"X-Forwarded-For": f"192.0.2.{i}"}).status for i in range(20)]
        check(429 in got, got)
    with Daemon("--max-connections-per-client=4") as d, case("connections: one client's are limited, and freed again"):
        links = [d.only_connection()] + [d.connection() for _ in range(3)]
        equal([d.get("/version", link=link).status for link in links], [200] * 4, "four")
        answer = d.get("/version")
        equal((answer.status, "retry-after" in answer.headers), (429, True), "the fifth")
        links.pop().close()
        check(jf.wait_for(lambda: d.get("/version").status == 200), "after one has gone")
        for link in links:
            link.close()
    # of a proxy, which has no limit of its own
    with Daemon("--max-connections=20", "--max-connections-per-client=20", "--trusted-proxies=127.0.0.1",
                "--upload-timeout-ms=600000") as d, case("connections: all together are limited, and it recovers"):
        links = [d.only_connection()] + [d.connection() for _ in range(59)]
        answers = [d.get("/version", link=link) for link in links]
        equal([answer.status for answer in answers], [200] * 20 + [503] * 40, "the first twenty")
        equal({answer.headers.get("connection") for answer in answers[20:]}, {"close"}, "those above the limit are closed")
        equal([d.get("/version", link=link).status for link in links[:20]], [200] * 20, "the first twenty again")
        for link in links:
            link.close()

        def served():
            with contextlib.suppress(OSError):
                return d.get("/version").status == 200
            return False
        check(jf.wait_for(served), "afterwards")


    with Daemon("--max-rate-per-client=1", "--max-burst-per-client=3", "--trusted-proxies=127.0.0.1", unix=True) as d:
        with case("rate: a client that a proxy names through a Unix socket is limited"):
            got = [d.get("/version", headers={"X-Forwarded-For": "192.0.2.1"}).status for _ in range(20)]
            check(got[0] == 200 and 429 in got, got)
        with case("rate: a program behind a Unix socket that names nobody is not"):
            equal({d.get("/version").status for _ in range(20)}, {200}, "status")


def tls():
    if not shutil.which("openssl"):
        with case("tls"):
            raise jf.Skip("the openssl program is not installed")
        return
    cert, key = jf.scratch("cert.pem"), jf.scratch("key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    seven = jf.png(dict(jf.test_digits())[7], 28, 28)
    # a day, so that no machine is too slow for the work to be admitted
    with Daemon("--tls-cert=" + cert, "--tls-key=" + key, "--request-timeout-ms=86400000", tls=cert) as d:
        with case("tls: requests, pictures and streams"):
            equal(d.classify(seven).status, 200, "classify")
            equal(d.get("/generate?digit=7&count=9&scale=8&steps=1").status, 200, "a large picture")
            events = d.post("/generate", {"digit": 7, "steps": 3}, {"Accept": "text/event-stream"}).events()
            equal([n for n, _ in events], ["step"] * 3 + ["result"], "stream")
            equal(d.request("POST", "/v1/classify", b"x" * 4_000_000, {"Content-Type": "image/png"}).status, 422, "4 MB of rubbish")
        with case("tls: a client that leaves frees its worker"):
            before, steps = d.metric("jointflow_cancellations_total"), d.metric("jointflow_steps_total", task="generate")
            link = d.connection()
            link.request("POST", "/generate", '{"digit": 7, "count": 100, "steps": 200}', {"Content-Type": "application/json"})
            check(jf.wait_for(lambda: d.metric("jointflow_steps_total", task="generate") > steps), "it does not begin")
            link.close()
            jf.wait_for(lambda: d.metric("jointflow_cancellations_total") > before)
            equal(d.metric("jointflow_cancellations_total"), before + 1, "cancellations")
        with case("tls: plain HTTP on the same port gets nowhere"):
            d.tls = None
            check(b"200" not in d.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=True), "answer")
            d.tls = cert


def unix_socket():
    with Daemon(unix=True) as d, case("unix socket: the same API, any host"):
        equal(d.get("/v1/model", headers={"Host": "whatever"}).status, 200, "model")
        equal(d.get("/generate?digit=7&steps=1").status, 200, "generate")
        path = d.unix
        check(os.path.exists(path), "the socket file")
    with case("unix socket: its file goes with the daemon"):
        check(not os.path.exists(path), "the socket file is still there")


def front_door():
    with Daemon() as d:
        hosts(d)
        sites(d)


jf.main(keys, front_door, rates, tls, unix_socket)
