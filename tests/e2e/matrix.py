# SPDX-License-Identifier: Apache-2.0
"""The clients of the matrix: how each is asked for an address, what it needs to be there, and what it prints."""
import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import textwrap
import zipfile

PYTHON = "/usr/bin/python3"

REQUESTS = """
import sys, requests
try:
    sys.stdout.write(requests.get(sys.argv[1], timeout=20).text)
except requests.exceptions.RequestException as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
HTTPX = """
import sys, httpx
try:
    sys.stdout.write(httpx.get(sys.argv[1], timeout=20).text)
except httpx.HTTPError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
NODE_HTTPS = """
require("https").get(process.argv[1], r => r.pipe(process.stdout))
    .on("error", e => { console.error(String(e)); process.exit(1) })
"""
NODE_FETCH = """
fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))
    .catch(e => { console.error(String(e) + ": " + e.cause); process.exit(1) })
"""
GO = """
package main

import (
    "fmt"
    "io"
    "net/http"
    "os"
)

func main() {
    answer, err := http.Get(os.Args[1])
    if err != nil {
        fmt.Fprintln(os.Stderr, err)
        os.Exit(1)
    }
    io.Copy(os.Stdout, answer.Body)
}
"""


def version(*command):
    """The first two numbers of what the program says of itself; None where there is none."""
    if not shutil.which(command[0]):
        return None
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(r"(\d+\.\d+)", said.stdout + said.stderr)
    return found.group(1) if said.returncode == 0 and found else None


def module(name):
    return version(PYTHON, "-c", f"import {name}; print({name}.__version__)")


class Client:
    """`shows`: which words of the refusal its user reads: "phrase" is the reason phrase, "status" the number alone."""
    shows = "phrase"
    page = "the page\n"
    wants = "page.txt"

    def __init__(self, world):
        self.world = world

    def prepare(self):
        pass

    def url(self, host):
        return f"https://{host}:{self.world.origin.port}/{self.wants}"

    def good(self, done):
        return done.returncode == 0 and done.stdout == self.page

    def said(self, done):
        return done.stderr


class Curl(Client):
    name, shows, needs = "curl", "status", "curl"
    version = staticmethod(lambda: version("curl", "--version"))

    def command(self, host):
        return ["curl", "-sS", self.url(host)]


class Wget(Client):
    name, needs = "wget", "wget"
    version = staticmethod(lambda: version("wget", "--version"))

    def command(self, host):
        return ["wget", "-nv", "-O", "-", "--tries=1", "--ca-certificate", self.world.ca, self.url(host)]

    def good(self, done):
        return done.returncode == 0 and done.stdout == self.page


class Git(Client):
    name, shows, needs, wants = "git", "status", "git", "repo.git"
    version = staticmethod(lambda: version("git", "--version"))

    def prepare(self):
        work = self.world.folder("work")
        for line in ("init -q -b main .", "-c user.name=x -c user.email=x@a.test commit -q --allow-empty -m one",
                     f"clone -q --bare . {self.world.site}/repo.git"):
            subprocess.run(["git", *line.split()], cwd=work, check=True, capture_output=True, env=self.world.env)
        subprocess.run(["git", "update-server-info"], cwd=self.world.site / "repo.git", check=True, env=self.world.env)

    def command(self, host):
        return ["git", "ls-remote", self.url(host), "HEAD"]

    def good(self, done):
        return done.returncode == 0 and done.stdout.endswith("\tHEAD\n")


class Requests(Client):
    name, needs = "requests", "python3-requests"
    version = staticmethod(lambda: module("requests"))

    def command(self, host):
        return [PYTHON, "-c", REQUESTS, self.url(host)]


class Httpx(Client):
    name, needs = "httpx", "python3-httpx"
    version = staticmethod(lambda: module("httpx"))

    def command(self, host):
        return [PYTHON, "-c", HTTPX, self.url(host)]


class Pip(Client):
    name, needs, wants = "pip", "python3-pip", "simple/"
    version = staticmethod(lambda: version("/usr/bin/pip3", "--version"))

    def prepare(self):
        folder = self.world.site / "simple" / "demo"
        folder.mkdir(parents=True)
        info = "demo-1.0.dist-info/"
        with zipfile.ZipFile(folder / "demo-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
            wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(info + "RECORD", "")

    def command(self, host):
        return ["/usr/bin/pip3", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--retries",
                "1", "--progress-bar", "off", "-d", str(self.world.home / "pip"), "--index-url", self.url(host), "demo"]

    def good(self, done):
        return done.returncode == 0 and (self.world.home / "pip" / "demo-1.0-py3-none-any.whl").exists()


class Npm(Client):
    name, needs, wants = "npm", "npm", ""
    version = staticmethod(lambda: version("npm", "--version"))

    def prepare(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            text = json.dumps({"name": "demo", "version": "1.0.0"}).encode()
            entry = tarfile.TarInfo("package/package.json")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        packed = gzip.compress(out.getvalue())
        (self.world.site / "demo-1.0.0.tgz").write_bytes(packed)
        sha = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        (self.world.site / "demo").write_text(json.dumps({"name": "demo", "dist-tags": {"latest": "1.0.0"}, "versions": {
            "1.0.0": {"name": "demo", "version": "1.0.0",
                      "dist": {"tarball": self.url("allowed.test") + "demo-1.0.0.tgz", "integrity": sha}}}}))

    def command(self, host):
        return ["npm", "pack", "demo", "--registry", self.url(host), "--fetch-retries=0", "--no-update-notifier",
                "--cache", str(self.world.home / "npm")]

    def good(self, done):
        return done.returncode == 0 and (self.world.home / "demo-1.0.0.tgz").exists()


class NodeHttps(Client):
    name, needs, script, shows = "Node.js, https", "nodejs", NODE_HTTPS, "phrase"

    @staticmethod
    def version():
        return version("node", "--version")

    def ignores_the_variables(self):
        major, minor = map(int, self.version().split("."))
        return major < 22 or (major, minor) in ((22, m) for m in range(21)) or major == 23

    def command(self, host):
        return ["node", "-e", self.script, self.url(host)]


class NodeFetch(NodeHttps):
    name, script, shows = "Node.js, fetch", NODE_FETCH, "nothing"


class Go(Client):
    name, needs = "Go, net/http", "golang-go"
    version = staticmethod(lambda: version("go", "version"))

    def prepare(self):
        folder = self.world.folder("go")
        (folder / "get.go").write_text(textwrap.dedent(GO))
        self.program = self.world.lab.folder / "go-get"
        env = {**self.world.env, "GOCACHE": str(pathlib.Path.home() / ".cache" / "go-build"), "GO111MODULE": "off",
               "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-o", str(self.program), "get.go"], cwd=folder, env=env, check=True, timeout=250)

    def command(self, host):
        return [str(self.program), self.url(host)]


class Apt(Client):
    name, needs, wants = "apt", "apt", "debian"
    version = staticmethod(lambda: version("apt-get", "--version"))

    def prepare(self):
        folder = self.world.site / "debian"
        folder.mkdir()
        (folder / "Packages").write_text("")
        for name in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self.world.home / "apt" / name).mkdir(parents=True)
        (self.world.home / "apt" / "state" / "status").write_text("")

    def command(self, host):
        root = self.world.home / "apt"
        (root / "etc" / "sources.list").write_text(f"deb [trusted=yes] {self.url(host)} ./\n")
        options = {"Dir::State": root / "state", "Dir::State::status": root / "state" / "status",
                   "Dir::Cache": root / "cache", "Dir::Etc": root / "etc", "Acquire::https::CAInfo": self.world.ca,
                   "Acquire::Retries": 0, "APT::Sandbox::User": "", "Acquire::Languages": "none"}
        return ["apt-get", *(f"-o{key}={value}" for key, value in options.items()), "update",
                "-oAPT::Update::Error-Mode=any"]

    def good(self, done):
        return done.returncode == 0 and any(path == "/debian/./Packages" and code == "200"
                                            for _, path, _, code in self.world.origin.seen)


ALL = [Curl, Wget, Git, Requests, Httpx, Pip, Npm, NodeHttps, NodeFetch, Go, Apt]

VOLATILE = [
    (re.compile(r"(allowed|denied)\.test:\d+"), r"\1.test:PORT"),
    (re.compile(r"'(allowed|denied)\.test', port=\d+"), r"'\1.test', port=PORT"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"0x[0-9a-f]+"), "0xADDRESS"),
    (re.compile(r"/tmp/[\w./-]+"), "/PATH"),
    (re.compile(r"\d{4}-\d\d-\d\d[T_ ]\d\d[:_]\d\d[:_]\d\d([._]\d+Z?)?:?"), "TIME"),
    (re.compile(r"\b\d+ ms\b"), "N ms"),
    (re.compile(r"\[?127\.0\.0\.1:\d+\]?|127\.0\.0\.1 \d+"), "PROXY"),
    (re.compile(r"Content-Length: \d+"), "Content-Length: N"),
    (re.compile(r"OpenSSL/[\d.]+"), "OpenSSL/VERSION"),
]


def steady(text):
    """What a client prints, without what is another at each run."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip())


DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "clients.md"


def block_of(text, name):
    """(begin, end) of the part of the page that speaks of this client."""
    begin = text.find(f"<!-- client: {name} -->\n")
    end = text.find("<!-- end -->", begin)
    return (begin, end) if begin >= 0 and end >= 0 else None


def block(client, done):
    lines = [f"<!-- client: {client.name} -->", f"**{client.name}** {client.version()}", ""]
    lines += ["```", steady(client.said(done)), "```", ""]
    return "\n".join(lines)


def writes():
    return bool(os.environ.get("SALLYPORT_WRITE_DOCS"))
