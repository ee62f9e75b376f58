#!/usr/bin/python3
"""packaging/container/Containerfile, built from what .containerignore leaves of this tree, and run.

By buildah where it is and works (without privileges of its own: chroot, vfs), on a base image that mmdebstrap made (Debian 12),
because none can be fetched. Where it does not, this carries out the file's own steps, line by line, in folders that chroot
enters. That shows that the packages named suffice, that the build works and what the image holds; it does not show that
a builder reads the file as this program does."""
import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

SOURCE = os.path.realpath(os.environ["top_srcdir"])
CACHE = os.environ.get("JOINTFLOW_TEST_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME", "/var/cache"),
                                                               "jointflow-tests")
FILE = os.path.join(SOURCE, "packaging/container/Containerfile")
count = failed = 0


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def check(name, good, why=""):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        failed += 1
        print("\n".join("# " + line for line in str(why).split("\n")[-40:]))


def base():
    """A root like the image debian:12."""
    archive = os.path.join(CACHE, "debian-12.tar")
    if not os.path.exists(archive):
        os.makedirs(CACHE, exist_ok=True)
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", archive + ".part.tar"])
        if made.returncode:
            skip("mmdebstrap could not make a Debian 12 root")
        os.rename(archive + ".part.tar", archive)
    return archive


def ignored(path, patterns):
    """Whether .containerignore leaves the path out: a pattern matches it or a folder above it."""
    parts = path.split("/")
    for i in range(1, len(parts) + 1):
        head = "/".join(parts[:i])
        for pattern in patterns:
            if fnmatch.fnmatchcase(head, pattern) or (
                    pattern.startswith("**/") and fnmatch.fnmatchcase(parts[i - 1], pattern[3:])):
                return True
    return False


def context(folder):
    """The build context: this tree without what is ignored."""
    with open(os.path.join(SOURCE, ".containerignore")) as file:
        patterns = [line.strip().rstrip("/") for line in file if line.strip() and not line.startswith("#")]
    for at, folders, files in os.walk(SOURCE):
        below = os.path.relpath(at, SOURCE)
        below = "" if below == "." else below + "/"
        folders[:] = [name for name in folders if not ignored(below + name, patterns)]
        os.makedirs(os.path.join(folder, below), exist_ok=True)
        for name in files:
            if not ignored(below + name, patterns):
                shutil.copy2(os.path.join(at, name), os.path.join(folder, below, name), follow_symlinks=False)


def instructions():
    with open(FILE) as file:
        text = "".join(line for line in file if not line.startswith("#"))
    for line in text.replace("\\\n", " ").split("\n"):
        if line.strip():
            yield line.split(None, 1)


class Stage:
    """A folder that is an image's root, and how the image says it is run."""

    def __init__(self, root):
        self.root = root
        self.folder, self.user, self.entry, self.arguments = "/", "0:0", [], []

    def fill(self):
        os.mkdir(self.root)
        subprocess.run(["tar", "-C", self.root, "-xf", base()], check=True)
        for name in ("etc/resolv.conf", "etc/hosts"):
            shutil.copy("/" + name, os.path.join(self.root, name))
        # minbase brings the lists; an image has none and updates first
        os.makedirs(os.path.join(self.root, "dev"), exist_ok=True)

    def command(self, arguments, **more):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        environment.update({k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")})
        user, group = self.user.split(":")
        # proc and dev in a mount namespace of its own, gone with the last process
        script = ('mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
                  'exec chroot --userspec="$1" "$0" /bin/sh -c \'cd "$1" && shift && exec "$@"\' sh "${@:2}"')
        return subprocess.Popen(["unshare", "--mount", "bash", "-c", script, self.root, f"{user}:{group}", self.folder,
                                 *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, **more)

    def run(self, text):
        process = self.command(["/bin/sh", "-c", text])
        output = process.communicate()[0]
        check(f"RUN {text[:60]}...", process.returncode == 0, output)
        return process.returncode == 0

    def copy(self, words, stages, tree):
        source_root = tree
        if words[0].startswith("--from="):
            source_root = stages[words.pop(0)[7:]].root
        *sources, target = words
        to = self.root + target
        for source in sources:
            path = os.path.join(source_root, source.lstrip("/"))
            if os.path.isdir(path):
                shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(path, to)


def build(scratch):
    stages, stage = {}, None
    tree = os.path.join(scratch, "context")
    context(tree)
    check("the context holds neither history nor builds nor training images", not any(
        os.path.exists(os.path.join(tree, name)) for name in (".git", "build", "data/mnist/train-images-idx3-ubyte.gz")))
    for word, rest in instructions():
        if word == "FROM":
            words = rest.split()
            if words[0] not in ("debian:12", "debian:12-slim"):
                raise SystemExit(f"FROM {rest}: not known here")
            stage = Stage(os.path.join(scratch, f"stage{len(stages)}"))
            stage.fill()
            stages[words[2] if len(words) > 2 else str(len(stages))] = stage
        elif word == "RUN":
            if not stage.run(rest):
                return None
        elif word == "COPY":
            stage.copy(shlex.split(rest), stages, tree)
        elif word == "WORKDIR":
            stage.folder = rest
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entry = json.loads(rest)
        elif word == "CMD":
            stage.arguments = json.loads(rest)
        elif word not in ("EXPOSE", "STOPSIGNAL"):
            raise SystemExit(f"{word}: not known here")
    return stage


class Buildah:
    def __init__(self, scratch):
        self.options = ["buildah", "--root", scratch + "/storage", "--runroot", scratch + "/run", "--storage-driver", "vfs"]

    def __call__(self, *arguments):
        """What it printed; None when it failed."""
        done = subprocess.run([*self.options, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True)
        self.output = done.stdout
        return None if done.returncode else done.stdout.strip().split("\n")[-1]

    def make_base(self):
        """The images that the file begins with; False when buildah does not work here."""
        begun = self("from", "scratch")
        steps = [("add", "--quiet", begun, base()), ("run", "--isolation", "chroot", begun, "--", "true")] + [
            ("commit", "--quiet", begun, "docker.io/library/debian:" + tag) for tag in ("12", "12-slim")]
        return begun is not None and all(self(*step) is not None for step in steps)

    def build(self):
        name = "localhost/jointflow-test"
        built = self("build", "--isolation", "chroot", "--pull-never", "-f", FILE, "-t", name, SOURCE)
        check("buildah build", built is not None, self.output)
        if built is None:
            return None
        image = Stage(self("mount", self("from", "--pull-never", name)))
        self("inspect", "--type", "image", name)
        config = json.loads(self.output)["OCIv1"]["config"]
        check("it stops by SIGTERM and says its port", (config.get("StopSignal"), list(config["ExposedPorts"])) == ("SIGTERM", ["6767/tcp"]),
              config)
        image.user, image.entry, image.arguments = config["User"], config["Entrypoint"], config["Cmd"]
        return image

    def end(self):
        self("umount", "--all")
        self("rm", "--all")


def ask(image):
    """Starts the image as it would be and asks it."""
    image.folder = "/"
    process = image.command([*image.entry, *image.arguments, "--listen-address=127.0.0.1", "--listen-port=0"])
    port, said, end = None, "", time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        line = process.stdout.readline()
        said += line
        if "listening on 127.0.0.1:" in line:
            port = int(line.split("listening on 127.0.0.1:")[1].split('"')[0].split()[0])
        if "self-test passed" in line:
            break
    try:
        with open(os.path.join(SOURCE, "data/digits/7.png"), "rb") as file:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/classify", file.read(),
                                             {"Content-Type": "image/png"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            label = json.load(answer)["label"]
        check("its daemon, as 65532 with the image's own arguments, recognises a seven", label == 7, label)
    except OSError as error:
        check("its daemon answers", False, f"{error}\n{said}")
    process.terminate()
    process.communicate()


def main():
    if os.geteuid() != 0:
        skip("chroot needs root")
    for tool in ("mmdebstrap", "unshare", "chroot"):
        if not shutil.which(tool):
            skip(f"{tool} is not installed (packaging/deps.sh system)")
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode:
        skip("a mount namespace cannot be made here")
    scratch = tempfile.mkdtemp(dir=CACHE if os.path.isdir(CACHE) else None)
    buildah = Buildah(scratch)
    try:
        if shutil.which("buildah") and buildah.make_base():
            image = buildah.build()
        else:
            print("# carried out in a chroot: buildah is not installed or does not work here")
            image = build(scratch)
        if image:
            held = [os.path.join(at, name) for at, _, files in os.walk(image.root + "/usr/share/jointflow")
                    for name in files]
            check("the image holds the model and no test data",
                  [os.path.relpath(path, image.root) for path in held] ==
                  ["usr/share/jointflow/models/mnist.safetensors"], held)
            ask(image)
    finally:
        if shutil.which("buildah"):
            buildah.end()
        subprocess.run(["rm", "-rf", "--one-file-system", scratch])
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
