# SPDX-License-Identifier: Apache-2.0
"""Real programs over plain HTTP, each allowed once and denied once, and what their users see. Whatever a program would
keep of its own (lists, caches, configuration) lies in a folder of the test."""
import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile

import pytest

from lab import wait_for
from lab.web import WebOrigin, ok
from lab.webaudit import with_web_records

PYTHON = "/usr/bin/python3"
SENTENCE = "policy: this host is not allowed"


class World:
    """A static site and an HTTP origin of our own, a proxy, and an environment that points at it."""

    def __init__(self, lab):
        self.lab = lab
        self.site = lab.make_folder("www")
        (self.site / "page.txt").write_text("the page\n")
        self.files = lab.https(self.site, tls=False)
        self.web = lab.add(WebOrigin(lab.address()))
        self.proxy = lab.proxy(hosts=[self.files.at("allowed.test"), self.web.at("web.test")])
        with_web_records(self.proxy)
        proxy = f"http://127.0.0.1:{self.proxy.endpoint[1]}"
        self.home = lab.make_folder("home")
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.home), "LC_ALL": "C",
                    "http_proxy": proxy, "HTTP_PROXY": proxy, "https_proxy": proxy, "HTTPS_PROXY": proxy,
                    "NO_PROXY": "", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}

    def url(self, path="page.txt"):
        return f"http://allowed.test:{self.files.port}/{path}"

    def run(self, *command, **env):
        return subprocess.run(command, env={**self.env, **env}, capture_output=True, timeout=90, text=True,
                              cwd=self.home)

    def allowed(self, host="allowed.test", count=1):
        """At least that many requests of the host are on record with their outcome; only this host was asked for."""
        done = wait_for(lambda: len(o := self.proxy.audit.outcomes(host=host, verdict="allow")) >= count and o, 10,
                        lambda: f"{count} outcomes\n" + self.proxy.audit.report())
        assert {r["class_uid"] for r in done} == {4002} and done[-1]["http_response"]["code"] == 200
        assert {q.lower for q in self.lab.dns.asked()} == {host}

    def denied(self):
        """The request id of the (first) refusal."""
        records = self.proxy.audit.attempts(host="denied.test", verdict="deny", reason="host_not_allowed")
        assert records, self.proxy.audit.report()
        assert not self.lab.dns.asked("denied.test")
        assert records[0]["class_uid"] == 4002
        return {r["metadata"]["correlation_uid"].replace("-", "") for r in records}

    def shows(self, text):
        """What the user reads says that it is policy, about which host, and the id to ask with."""
        ids = self.denied()
        assert SENTENCE in text and "denied.test" in text, text
        assert any(i in text for i in ids), f"none of {ids} in {text}"


@pytest.fixture
def world(lab):
    return World(lab)


def test_curl(world):
    done = world.run("curl", "-sS", world.url())
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    world.allowed()
    done = world.run("curl", "-sS", "http://denied.test/page.txt")
    assert done.returncode == 0
    body = json.loads(done.stdout)
    assert body["reason"] == "host_not_allowed" and body["host"] == "denied.test"
    assert SENTENCE in body["error"]
    world.shows(done.stdout)
    done = world.run("curl", "-sSf", "http://denied.test/page.txt")
    assert done.returncode == 22 and "403" in done.stderr


def test_curl_keeps_its_connection(world):
    """Several URLs, one connection to the proxy, each decided and recorded as itself."""
    done = world.run("curl", "-sS", "-v", *[world.url(f"page.txt?{i}") for i in range(5)])
    assert done.returncode == 0 and done.stdout == "the page\n" * 5, done.stderr
    assert done.stderr.count("Re-using existing connection") == 4, done.stderr
    attempts = world.proxy.audit.attempts(host="allowed.test")
    assert len(attempts) == 5 and len({r["src_endpoint"]["port"] for r in attempts}) == 1
    assert world.proxy.stop() == 0
    assert world.proxy.audit.verifies()


def test_curl_posts_with_expect(world):
    """More than a mebibyte makes curl ask first (Expect: 100-continue)."""
    def careful(exchange):
        assert exchange.request.get("expect") == "100-continue"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        ok(exchange)
    world.web.on("/post", careful)
    big = world.home / "big"
    big.write_bytes(os.urandom(3 << 20))
    done = world.run("curl", "-sS", "--data-binary", f"@{big}", f"http://web.test:{world.web.port}/post")
    assert (done.returncode, done.stdout) == (0, f"POST /post {3 << 20}"), done.stderr
    assert world.web.seen[0].digest.hexdigest() == hashlib.sha256(big.read_bytes()).hexdigest()


def test_wget(world):
    done = world.run("wget", "-O", "-", "--tries=1", world.url())
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    world.allowed()
    done = world.run("wget", "-O", "-", "--tries=1", "http://denied.test/page.txt")
    assert done.returncode == 8
    world.shows(done.stderr)


URLLIB = """
import sys, urllib.request, urllib.error
try:
    sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
except urllib.error.URLError as error:
    sys.exit(str(error))
"""
REQUESTS = """
import sys, requests
try:
    answer = requests.get(sys.argv[1], timeout=20)
    answer.raise_for_status()
    sys.stdout.write(answer.text)
except requests.exceptions.RequestException as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("script", [URLLIB, REQUESTS], ids=["urllib", "requests"])
def test_python(world, script):
    if script is REQUESTS and world.run(PYTHON, "-c", "import requests").returncode:
        pytest.skip("python3-requests is not installed")
    done = world.run(PYTHON, "-c", script, world.url())
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    world.allowed()
    done = world.run(PYTHON, "-c", script, "http://denied.test/page.txt")
    assert done.returncode == 1 and "403" in done.stderr
    world.shows(done.stderr)


def test_git_clone(world):
    work = world.lab.make_folder("work")

    def git(*args, cwd=work):
        done = world.run("git", "-c", "user.name=x", "-c", "user.email=x@a.test", "-C", str(cwd), *args)
        assert done.returncode == 0, done.stderr
    (work / "file").write_text("content\n")
    git("init", "-q", "-b", "main")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    git("clone", "-q", "--bare", ".", str(world.site / "repo.git"))
    git("update-server-info", cwd=world.site / "repo.git")
    done = world.run("git", "clone", "-q", world.url("repo.git"), "copy")
    assert done.returncode == 0, done.stderr
    assert (world.home / "copy" / "file").read_text() == "content\n"
    world.allowed(count=3)
    done = world.run("git", "clone", "http://denied.test/repo.git", "other")
    assert done.returncode == 128 and "403" in done.stderr
    world.denied()


# ---- apt ----

CONTROL = """Package: lab-tiny
Version: 1.0
Architecture: all
Maintainer: Lab <lab@a.test>
Description: a package of the lab
"""


def build_archive(world):
    """A flat repository with one package and a Release file that names its hashes."""
    root = world.lab.make_folder("deb")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(CONTROL)
    (root / "usr" / "share" / "lab-tiny").mkdir(parents=True)
    (root / "usr" / "share" / "lab-tiny" / "word").write_text("from the archive\n")
    archive = world.site / "debian"
    archive.mkdir()
    deb = archive / "lab-tiny_1.0_all.deb"
    done = subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(deb)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data = deb.read_bytes()
    packages = (CONTROL + f"Filename: ./{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
                ).encode()
    files = {"Packages": packages, "Packages.gz": gzip.compress(packages, mtime=0)}
    release = "Origin: lab\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
    for name, text in files.items():
        (archive / name).write_bytes(text)
        release += f" {hashlib.sha256(text).hexdigest()} {len(text)} {name}\n"
    (archive / "Release").write_text(release)


def apt_environment(world, source):
    """Nothing of the machine's apt is read or written: every directory is a folder of the test."""
    root = world.lab.make_folder("apt-" + source.split("/")[2].split(":")[0])
    for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d",
                 "state/lists/partial", "cache/archives/partial", "log"):
        (root / name).mkdir(parents=True)
    (root / "state" / "status").write_text("")
    (root / "etc" / "sources.list").write_text(f"deb [trusted=yes] {source} ./\n")
    conf = root / "apt.conf"
    conf.write_text(f"""
Dir "{root}";
Dir::Etc "{root}/etc";
Dir::Etc::main "none";
Dir::Etc::parts "{root}/etc/apt.conf.d";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "0";
""")
    return root, {"APT_CONFIG": str(conf)}


@pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="apt is not installed")
def test_apt(world):
    build_archive(world)
    before = os.stat("/var/lib/dpkg/status").st_mtime_ns
    root, env = apt_environment(world, world.url("debian/"))
    done = world.run("apt-get", "update", **env)
    assert done.returncode == 0, done.stdout + done.stderr
    done = world.run("apt-get", "install", "-y", "--download-only", "lab-tiny", **env)
    assert done.returncode == 0, done.stdout + done.stderr
    got = list((root / "cache" / "archives").glob("lab-tiny*.deb"))
    assert len(got) == 1 and got[0].read_bytes() == (world.site / "debian" / "lab-tiny_1.0_all.deb").read_bytes()
    done = world.run("dpkg-deb", "-x", str(got[0]), str(root / "unpacked"))
    assert (root / "unpacked/usr/share/lab-tiny/word").read_text() == "from the archive\n", done.stderr
    world.allowed(count=3)
    assert "200" in {code for *_, code in world.files.seen}
    assert os.stat("/var/lib/dpkg/status").st_mtime_ns == before, "the machine's own packages are as they were"


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")
def test_apt_denied(world):
    _, env = apt_environment(world, "http://denied.test/debian/")
    done = world.run("apt-get", "-o", "APT::Update::Error-Mode=any", "update", **env)
    assert done.returncode == 100, done.stdout + done.stderr
    text = done.stdout + done.stderr
    assert "403" in text
    world.shows(text)


# ---- pip ----

def build_index(world):
    """A simple index (PEP 503) with one wheel."""
    folder = world.site / "simple" / "lab-tiny"
    folder.mkdir(parents=True)
    name = "lab_tiny-1.0-py3-none-any.whl"
    meta = "lab_tiny-1.0.dist-info"
    content = {"lab_tiny.py": "word = 'from the index'\n",
               f"{meta}/METADATA": "Metadata-Version: 2.1\nName: lab-tiny\nVersion: 1.0\n",
               f"{meta}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(f"{n},sha256={urlsafe(hashlib.sha256(t.encode()).digest())},{len(t)}\n"
                     for n, t in content.items())
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path, text in {**content, f"{meta}/RECORD": record + f"{meta}/RECORD,,\n"}.items():
            wheel.writestr(path, text)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{name}#sha256={digest}">{name}</a>\n')


def urlsafe(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pip(world, index, host, *args):
    return world.run(PYTHON, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "--retries", "0", *args,
                     "--index-url", index, "--trusted-host", host, "--no-deps", "lab-tiny",
                     PIP_CONFIG_FILE="/dev/null", PIP_NO_INPUT="1")


def test_pip(world):
    if world.run(PYTHON, "-m", "pip", "--version").returncode:
        pytest.skip("python3-pip is not installed")
    build_index(world)
    out = world.lab.make_folder("wheels")
    done = pip(world, world.url("simple/"), "allowed.test", "download", "-d", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [p.name for p in out.iterdir()] == ["lab_tiny-1.0-py3-none-any.whl"]
    done = pip(world, world.url("simple/"), "allowed.test", "install", "--target", str(out / "target"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "target" / "lab_tiny.py").read_text() == "word = 'from the index'\n"
    world.allowed(count=2)
    done = pip(world, "http://denied.test/simple/", "denied.test", "download", "-d", str(out))
    assert done.returncode == 1 and "No matching distribution" in done.stderr
    assert world.denied()
    # pip keeps the reason phrase of an index for those who ask for more words.
    done = pip(world, "http://denied.test/simple/", "denied.test", "-vvv", "download", "-d", str(out))
    world.shows(done.stdout + done.stderr)


# ---- npm ----

def build_registry(world):
    """The two documents that npm needs of a registry."""
    pack = io.BytesIO()
    with tarfile.open(fileobj=pack, mode="w:gz") as tar:
        for name, text in (("package.json", '{"name": "lab-tiny", "version": "1.0.0", "main": "index.js"}'),
                           ("index.js", "module.exports = 'from the registry'\n")):
            info = tarfile.TarInfo("package/" + name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    data = pack.getvalue()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    tarball = f"http://web.test:{world.web.port}/files/lab-tiny-1.0.0.tgz"
    document = {"name": "lab-tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "lab-tiny", "version": "1.0.0", "dist": {"tarball": tarball, "integrity": integrity}}}}

    def give(kind, body):
        def answer(exchange):
            exchange.read_body()
            exchange.reply(body=body, headers=[("Content-Type", kind)])
        return answer
    world.web.on("/lab-tiny", give("application/json", json.dumps(document).encode()))
    world.web.on("/files/lab-tiny-1.0.0.tgz", give("application/octet-stream", data))


def npm(world, registry, folder):
    return world.run("npm", "install", "lab-tiny", "--registry", registry, "--prefix", str(folder), "--cache",
                     str(world.home / "npm-cache"), "--userconfig", str(world.home / "npmrc"), "--globalconfig",
                     str(world.home / "npmrc-global"), "--no-audit", "--no-fund", "--no-update-notifier",
                     "--fetch-retries", "0", "--ignore-scripts")


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm(world):
    build_registry(world)
    folder = world.lab.make_folder("npm")
    done = npm(world, f"http://web.test:{world.web.port}/", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from the registry" in (folder / "node_modules/lab-tiny/index.js").read_text()
    world.allowed("web.test", count=2)
    assert not world.web.bad
    done = npm(world, "http://denied.test/", world.lab.make_folder("npm-denied"))
    assert done.returncode != 0 and "403" in done.stderr
    world.shows(done.stderr)


NODE = """
const http = require('http');
const proxy = new URL(process.env.http_proxy);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
function ask(url, then) {
  http.get({agent, host: proxy.hostname, port: proxy.port, path: url, headers: {host: new URL(url).host}}, answer => {
    const parts = [];
    answer.on('data', part => parts.push(part));
    answer.on('end', () => then(answer, Buffer.concat(parts).toString()));
  });
}
ask(process.argv[2], (answer, body) => {
  process.stdout.write(body);
  ask(process.argv[2], (answer, body) => {
    process.stdout.write(body);
    ask(process.argv[3], answer => {
      console.log(answer.statusCode, answer.statusMessage);
      process.exit(0);
    });
  });
});
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node(world):
    """Node's own agent with a kept connection, in absolute form."""
    done = world.run("node", "-e", NODE, "x", world.url(), "http://denied.test/")
    assert done.returncode == 0 and done.stdout.startswith("the page\nthe page\n403 "), done.stdout + done.stderr
    world.shows(done.stdout)
    ports = {r["src_endpoint"]["port"] for r in world.proxy.audit.attempts()}
    assert len(ports) == 1 and len(world.proxy.audit.attempts()) == 3


def test_the_log_of_real_clients_is_proven(world):
    world.run("curl", "-sS", world.url())
    world.run("curl", "-sS", "http://denied.test/")
    assert world.proxy.stop() == 0
    assert world.proxy.audit.verifies()
