# SPDX-License-Identifier: Apache-2.0
"""Real programs, each allowed once and denied once, and what their users see. Over TCP, and over the Unix socket with a
forwarder in between."""
import os
import re
import shutil
import subprocess

import pytest

from lab import wait_for

PYTHON = "/usr/bin/python3"


class World:
    """An HTTPS origin with a page and a repository, a proxy, and an environment that points at both."""

    def __init__(self, lab, way):
        self.lab = lab
        self.site = lab.make_folder("www")
        (self.site / "page.txt").write_text("the page\n")
        ca, _ = lab.certificate("allowed.test")
        self.origin = lab.https(self.site)
        self.proxy = lab.proxy(hosts=[self.origin.at("allowed.test")], ports={"connect": [443, self.origin.port]},
                               unix=True)
        self.forwarder = None
        port = self.proxy.endpoint[1] if way == "tcp" else self.forward()
        url = f"http://127.0.0.1:{port}"
        self.home = lab.make_folder("home")
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.home), "LC_ALL": "C",
                    "HTTPS_PROXY": url, "https_proxy": url, "HTTP_PROXY": url, "http_proxy": url, "NO_PROXY": "",
                    "SSL_CERT_FILE": ca, "CURL_CA_BUNDLE": ca, "REQUESTS_CA_BUNDLE": ca, "GIT_SSL_CAINFO": ca,
                    "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
        self.ca = ca

    def forward(self):
        """socat in between, as the usual recipe does it; its own words say which port it took."""
        self.forwarder = subprocess.Popen(["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork",
                                           f"UNIX-CONNECT:{self.proxy.socket_path}"], stderr=subprocess.PIPE)
        for line in self.forwarder.stderr:
            found = re.search(rb"listening on .*127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found.group(1))
        raise AssertionError("socat did not say where it listens")

    def url(self, host, path="page.txt"):
        return f"https://{host}:{self.origin.port}/{path}"

    def run(self, *command, **env):
        return subprocess.run(command, env={**self.env, **env}, capture_output=True, timeout=60, text=True,
                              cwd=self.home)

    def close(self):
        if self.forwarder:
            self.forwarder.kill()
            self.forwarder.wait()
            self.forwarder.stderr.close()


@pytest.fixture(params=["tcp", "unix"])
def world(lab, request):
    if request.param == "unix" and not shutil.which("socat"):
        pytest.skip("socat is not installed")
    one = World(lab, request.param)
    yield one
    one.close()


def allowed_once(world):
    """The records of one allowed visit."""
    outcome = world.proxy.audit.outcome(host="allowed.test", verdict="allow", seconds=10)
    assert outcome["tls"]["sni"] == "allowed.test" and outcome["traffic"]["bytes_in"] > 100
    assert any(code == "200" for *_, code in world.origin.seen), world.origin.seen


def denied_once(world):
    record = world.proxy.audit.attempts(host="denied.test", verdict="deny", reason="host_not_allowed")
    assert record, world.proxy.audit.report()
    assert not world.lab.dns.asked("denied.test")
    return record[0]["metadata"]["correlation_uid"].replace("-", "")


def test_curl(world):
    done = world.run("curl", "-sS", world.url("allowed.test"))
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    allowed_once(world)
    done = world.run("curl", "-sS", world.url("denied.test"))
    assert done.returncode == 56 and "403" in done.stderr
    denied_once(world)
    done = world.run("curl", "-sSv", world.url("denied.test"))
    assert "policy" in done.stderr and "denied.test" in done.stderr, "the status line says what it is"


def test_curl_by_socket_path(world):
    """curl's own way to a Unix socket needs SOCKS; as a proxy by path it is not known, so this is HTTP over it."""
    done = world.run("curl", "-sS", "--unix-socket", world.proxy.socket_path, "http://proxy.test/", http_proxy="",
                     HTTP_PROXY="")
    assert done.returncode == 0 and done.stdout, done.stderr


def test_wget(world):
    done = world.run("wget", "-O", "-", "--tries=1", "--ca-certificate", world.ca, world.url("allowed.test"))
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    allowed_once(world)
    done = world.run("wget", "-O", "-", "--tries=1", world.url("denied.test"))
    request = denied_once(world)
    assert done.returncode != 0
    assert "policy" in done.stderr and "denied.test" in done.stderr and request in done.stderr, done.stderr


def test_git_clone(world):
    work = world.lab.make_folder("work")
    git = lambda *a, cwd=work: world.run("git", "-c", "user.name=x", "-c", "user.email=x@a.test", "-C", str(cwd), *a)  # noqa
    (work / "file").write_text("content\n")
    for args in (("init", "-q", "-b", "main"), ("add", "file"), ("commit", "-q", "-m", "one"),
                 ("clone", "-q", "--bare", ".", str(world.site / "repo.git"))):
        assert git(*args).returncode == 0
    assert git("update-server-info", cwd=world.site / "repo.git").returncode == 0
    done = world.run("git", "clone", "-q", world.url("allowed.test", "repo.git"), "copy")
    assert done.returncode == 0, done.stderr
    assert (world.home / "copy" / "file").read_text() == "content\n"
    wait_for(lambda: world.proxy.audit.outcomes(host="allowed.test", verdict="allow"), 10, "an outcome")
    done = world.run("git", "clone", world.url("denied.test", "repo.git"), "other")
    assert done.returncode == 128 and "403" in done.stderr
    denied_once(world)


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
    sys.stdout.write(requests.get(sys.argv[1], timeout=20).text)
except requests.exceptions.RequestException as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("script", [URLLIB, REQUESTS], ids=["urllib", "requests"])
def test_python(world, script):
    if script is REQUESTS and world.run(PYTHON, "-c", "import requests").returncode:
        pytest.skip("python3-requests is not installed")
    done = world.run(PYTHON, "-c", script, world.url("allowed.test"))
    assert (done.returncode, done.stdout) == (0, "the page\n"), done.stderr
    allowed_once(world)
    done = world.run(PYTHON, "-c", script, world.url("denied.test"))
    request = denied_once(world)
    assert done.returncode == 1
    assert "403" in done.stderr and "policy" in done.stderr and "denied.test" in done.stderr and request in done.stderr


def test_keep_alive_inside_a_tunnel(world):
    """One tunnel, many requests: what is inside is TLS and none of the proxy's business."""
    urls = [world.url("allowed.test", f"page.txt?{i}") for i in range(5)]
    done = world.run("curl", "-sS", *urls)
    assert done.returncode == 0 and done.stdout == "the page\n" * 5, done.stderr
    assert len(world.origin.seen) == 5
    world.proxy.audit.outcome(host="allowed.test", verdict="allow", seconds=10)
    assert len(world.proxy.audit.attempts(host="allowed.test")) == 1


def test_the_log_of_real_clients_is_proven(world):
    world.run("curl", "-sS", world.url("allowed.test"))
    world.run("curl", "-sS", world.url("denied.test"))
    assert world.proxy.stop() == 0
    assert world.proxy.audit.verifies()


