#!/usr/bin/python3
"""jointflowd behind HAProxy and nginx, configured as etc/examples/haproxy.cfg and nginx.conf say, under load.

Both: restart all instances in turn. No request fails, although no client sends one twice, and none takes a second longer
than they do when all is quiet. HAProxy, three instances: kill -9 one, swap the model, freeze one. No request may fail
beyond the documented retry rule (502, 503, 504 or a broken connection: the client sends the same request again, at most
three times). Equal seeds give equal bytes from every instance.

Environment: top_srcdir, top_builddir; JOINTFLOW_PROXY_SECONDS lengthens each phase (default 2)."""
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

SOURCE = os.environ["top_srcdir"]
DAEMON = os.path.join(os.environ["top_builddir"], "jointflowd")
MODEL = os.path.join(SOURCE, "models", "mnist.safetensors")
PHASE_S = float(os.environ.get("JOINTFLOW_PROXY_SECONDS", "2"))
RETRIES = 3
HAPROXY, NGINX = (shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") for name in ("haproxy", "nginx"))
NAME = "jointflow.example.org"  # of the examples
CLIENTS = 4


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


class Tap:
    count = failed = 0

    def check(self, name, good, detail=""):
        self.count += 1
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        if not good:
            self.failed += 1
            print("# " + str(detail).replace("\n", "\n# "))
        sys.stdout.flush()


tap = Tap()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Front:
    """Where clients connect: a port of this machine, over TLS where there is a certificate to trust."""

    def __init__(self, certificate=None, host=None):
        self.port, self.headers = free_port(), {"Host": host} if host else {}
        self.context = None
        if certificate:
            self.context = ssl.create_default_context(cafile=certificate)
            self.context.check_hostname = False  # it is another name's, by which nobody can connect here

    def connection(self, timeout):
        if self.context:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)


def ask(front, method, path, body=None, headers=None, timeout=30):
    connection = front.connection(timeout)
    try:
        connection.request(method, path, body, {**front.headers, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def wait_for(what, test, limit_s=30):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if test():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(what)


class Instance(Front):
    """One jointflowd with a port, a model file and a log of its own."""

    def __init__(self, folder, name):
        super().__init__()
        self.model = os.path.join(folder, name + ".safetensors")
        shutil.copy(MODEL, self.model)
        self.log = open(os.path.join(folder, name + ".log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [DAEMON, "--config=/dev/null", "--listen-port=%d" % self.port, "--model=" + self.model, "--workers=1",
             "--log-format=text", "--trusted-proxies=127.0.0.1", f"--allowed-hosts={NAME},127.0.0.1"], stderr=self.log,
            stdin=subprocess.DEVNULL)
        wait_for("an instance to be ready", self.ready)

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"jointflowd ended with {self.process.returncode}, see {self.log.name}")
        return ask(self, "GET", "/readyz", timeout=2)[0] == 200

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=60)

    def checksum(self):
        answer = json.loads(ask(self, "GET", "/v1/model")[1])
        return answer["checksum"]


class Load(threading.Thread):
    """A client that asks alternately for a classification and for a picture, and sends a request again as often as
    the retry rule says."""

    def __init__(self, front, digit, number, retries):
        super().__init__(daemon=True)
        self.front, self.digit, self.number, self.retries = front, digit, number, retries
        self.stopping = threading.Event()
        self.done = self.retried = self.slowest = 0
        self.failures = []
        self.pictures = {}

    def run(self):
        turn = self.number
        while not self.stopping.is_set():
            turn += 1
            seed = turn % 7
            if turn % 3:
                request = ("POST", f"/v1/classify?seed={seed}", self.digit, {"Content-Type": "image/png"})
            else:
                request = ("GET", f"/v1/generate?digit={seed}&seed={seed}&count=2&steps=8", None, {"Accept": "application/json"})
            began = time.monotonic()
            status, body = self.send(request)
            took = time.monotonic() - began
            if status != 200:
                self.failures.append(f"{request[0]} {request[1]}: {status} {body[:200]!r}")
            else:
                self.look_at(json.loads(body), turn, took)
            self.done += 1

    def look_at(self, answer, turn, took):
        # what the daemon took for the answer is not the proxy's doing
        self.slowest = max(self.slowest, took - answer["timings_ms"]["total"] / 1000)
        if turn % 3 == 0:
            self.pictures.setdefault(turn % 7, set()).add(json.dumps(answer["images"]))
        elif answer["label"] != 7:
            self.failures.append(f"a seven was taken for something else: {answer}")

    def send(self, request):
        problem = None
        for attempt in range(self.retries + 1):
            if attempt:
                self.retried += 1
                time.sleep(0.2)
            try:
                status, body, _ = ask(self.front, *request)
            except (OSError, http.client.HTTPException) as error:
                problem = ("connection", str(error).encode())
                continue
            if status not in (502, 503, 504):
                return status, body
            problem = (status, body)
        return problem


def phase(name, front, digit, action, retries=RETRIES):
    """Runs the action in the middle of the load and judges what the clients saw; the longest time that a request spent
    outside the daemon."""
    clients = [Load(front, digit, number, retries) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(PHASE_S / 2)
    action()
    time.sleep(PHASE_S)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(timeout=90)
    failures = [failure for client in clients for failure in client.failures]
    done = sum(client.done for client in clients)
    retried = sum(client.retried for client in clients)
    hung = [client for client in clients if client.is_alive()]
    tap.check(f"{name}: no request failed", not failures and not hung, "\n".join(failures[:5]) or f"{len(hung)} clients hang")
    tap.check(f"{name}: the load was real", done >= 10, f"{done} requests")
    slowest = max(client.slowest for client in clients)
    print(f"# {name}: {done} requests, {retried} sent again by clients, at most {slowest:.2f} s outside the daemon")
    pictures = {}
    for client in clients:
        for seed, bodies in client.pictures.items():
            pictures.setdefault(seed, set()).update(bodies)
    tap.check(f"{name}: equal seeds gave equal bytes", all(len(bodies) == 1 for bodies in pictures.values()))
    return slowest


def example(folder, name, changes):
    """An example configuration with the places in it that a test cannot use changed; its path."""
    with open(os.path.join(SOURCE, "etc", "examples", name)) as file:
        text = file.read()
    for old, new in changes:
        assert old in text, (name, old)
        text = text.replace(old, new)
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def haproxy(folder, instances):
    """(process, front)"""
    front = Front()
    path = example(folder, "haproxy.cfg", [("127.0.0.1:6760", f"127.0.0.1:{front.port}")] +
                   [(f"127.0.0.1:{port}", f"127.0.0.1:{instance.port}") for port, instance in zip((6768, 6769, 6770), instances)])
    return subprocess.Popen([HAPROXY, "-db", "-f", path], stderr=open(os.path.join(folder, "haproxy.log"), "wb"),
                            stdin=subprocess.DEVNULL), front


def nginx(folder, instances):
    """(process, front): the site of the example, for two instances, in a server without privileges or system folders."""
    certificate, key = os.path.join(folder, "fullchain.pem"), os.path.join(folder, "privkey.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=" + NAME, "-addext", "subjectAltName=DNS:" + NAME, "-keyout", key, "-out", certificate],
                   check=True, stderr=subprocess.DEVNULL)
    front = Front(certificate, NAME)
    site = example(folder, "nginx.conf", [
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"), ("listen [::]:80;", ""),
        ("listen 443 ssl", f"listen 127.0.0.1:{front.port} ssl"), ("listen [::]:443 ssl http2;", ""),
        ("/etc/ssl/jointflow", folder), ("127.0.0.1:6767", f"127.0.0.1:{instances[0].port}"),
        ("# server 127.0.0.1:6768", f"server 127.0.0.1:{instances[1].port}")])
    path = os.path.join(folder, "main.conf")
    with open(path, "w") as file:
        file.write(f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log notice;\n"
                   f"events {{ }}\nhttp {{\n access_log off;\n" +
                   "".join(f" {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")) +
                   f" include {site};\n}}\n")
    return subprocess.Popen([NGINX, "-c", path, "-e", os.path.join(folder, "nginx.log")], stdin=subprocess.DEVNULL), front


def other_model(path):
    """The same weights under another name: another file, another checksum, the same answers."""
    with open(MODEL, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        rest = file.read()
    header["__metadata__"]["name"] = "swapped"
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".new", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + rest)
    os.rename(path + ".new", path)


def rolling_restart(instances):
    for instance in instances:
        instance.signal(signal.SIGTERM)
        tap.check("rolling restart: an instance drained and ended with status 0", instance.wait() == 0)
        instance.start()


def swap(instances):
    before = instances[0].checksum()
    for instance in instances:
        other_model(instance.model)
        instance.signal(signal.SIGHUP)
        wait_for("the new model", lambda: instance.checksum() != before)


def behind_both(name, front, instances, digit):
    """What both proxies promise: restarts that nobody notices."""
    quiet = phase(f"{name}, quiet", front, digit, lambda: None)
    slowest = phase(f"{name}, rolling restart", front, digit, lambda: rolling_restart(instances), retries=0)
    tap.check(f"{name}, rolling restart: nobody waited a second for it", slowest < quiet + 1, f"{quiet:.2f} s, then {slowest:.2f} s")


def behind_haproxy(folder, front, instances, digit):
    def kill_one():
        instances[0].signal(signal.SIGKILL)
        instances[0].wait()
    phase("kill -9", front, digit, kill_one)
    instances[0].start()

    phase("model swap", front, digit, lambda: swap(instances))
    tap.check("model swap: one checksum everywhere", len({instance.checksum() for instance in instances}) == 1)

    def freeze():
        instances[1].signal(signal.SIGSTOP)
        time.sleep(3)
    try:
        phase("frozen instance", front, digit, freeze)
    finally:
        instances[1].signal(signal.SIGCONT)
    wait_for("the frozen instance", instances[1].ready)


def main():
    if not os.path.exists(DAEMON) or not os.path.exists(MODEL):
        skip("there is no jointflowd or no models/mnist.safetensors")
    if not HAPROXY or not NGINX:
        skip("haproxy or nginx is not installed (packaging/deps.sh system)")
    folder = tempfile.mkdtemp()
    instances = [Instance(folder, name) for name in ("one", "two", "three")]
    proxies = []
    try:
        for instance in instances:
            instance.start()
        with open(os.path.join(SOURCE, "data", "digits", "7.png"), "rb") as file:
            digit = file.read()
        path = "/v1/generate?digit=3&count=4&seed=11&steps=10"
        answers = {ask(instance, "GET", path)[1] for instance in instances}
        tap.check("every instance draws the same bytes for the same seed", len(answers) == 1)

        for name, start, served in (("nginx", nginx, instances[:2]), ("HAProxy", haproxy, instances)):
            process, front = start(folder, served)
            proxies.append(process)
            wait_for(name, lambda: ask(front, "GET", "/readyz")[0] == 200)
            behind_both(name, front, served, digit)
        behind_haproxy(folder, front, instances, digit)
        tap.check("after it all the same seed still gives the same bytes",
                  {ask(instance, "GET", path)[1] for instance in instances} == answers)
        phase("afterwards", front, digit, lambda: None)
    except Exception as error:  # a test that cannot go on has failed
        tap.check("the test ran to its end", False, repr(error))
    finally:
        for process in proxies:
            process.terminate()  # nginx ends its worker
            process.wait()
        for process in [instance.process for instance in instances]:
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        if tap.failed:
            for name in os.listdir(folder):
                if name.endswith(".log"):
                    with open(os.path.join(folder, name), errors="replace") as file:
                        lines = [line for line in file if not re.search(r"\b(info|200)\b", line)]
                    print("".join(f"# {name}: {line}" for line in lines[-15:]))
        shutil.rmtree(folder)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
