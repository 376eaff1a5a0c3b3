# SPDX-License-Identifier: Apache-2.0
"""Every client of the matrix, over TCP and in a network namespace with nothing but the relay, allowed and denied. What
each prints is held against docs/clients.md; SALLYPORT_WRITE_DOCS=1 writes it there."""
import json
import os
import pathlib
import shutil
import subprocess

import matrix
import pytest

from lab import wait_for

RELAY = pathlib.Path(os.environ.get("SALLYPORT_RELAY") or
                     pathlib.Path(os.environ.get("SALLYPORT", "/")).parent / "sallyport-relay")


class World:
    def __init__(self, lab, way):
        self.lab, self.way = lab, way
        self.site = self.folder("www")
        (self.site / "page.txt").write_text("the page\n")
        self.ca, _ = lab.certificate("allowed.test")
        self.origin = lab.https(self.site)
        self.proxy = lab.proxy(hosts=[self.origin.at("allowed.test")], ports={"connect": [443, self.origin.port]},
                               unix=True)
        self.home = self.folder("home")
        port = self.proxy.endpoint[1] if way == "tcp" else 3128
        env = subprocess.run([lab.binary, "env", "--format", "json", "--proxy", f"http://127.0.0.1:{port}", "--ca",
                              str(self.ca)], capture_output=True, text=True, check=True)
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.home), "LC_ALL": "C",
                    "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "NO_COLOR": "1", **json.loads(env.stdout)}

    def folder(self, name):
        return self.lab.make_folder(name)

    def run(self, command):
        if self.way == "relay":
            command = ["unshare", "--net", str(RELAY), "--to", f"unix:{self.proxy.socket_path}", "--env", "--", *command]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, cwd=self.home,
                              stdin=subprocess.DEVNULL)


def requests_denied(world):
    """Ids of the requests that were refused, as their records have them."""
    record = world.proxy.audit.attempts(host="denied.test", verdict="deny", reason="host_not_allowed")
    assert record, world.proxy.audit.report()
    return [r["metadata"]["correlation_uid"].replace("-", "") for r in record]


def nothing_came(world):
    """A client that does not look at the variables: it fails, and nothing leaves by another way."""
    assert not world.proxy.audit.attempts() and not world.origin.seen and not world.lab.dns.asked("allowed.test")


def holds_the_page(client, done):
    text = matrix.DOCS.read_text()
    fresh = matrix.block(client, done)
    place = matrix.block_of(text, client.name)
    if matrix.writes():
        if place is None:
            begin = text.index("<!-- clients end -->")
            text = text[:begin] + fresh + "<!-- end -->\n\n" + text[begin:]
        else:
            text = text[:place[0]] + fresh + text[place[1]:]
        matrix.DOCS.write_text(text)
        return
    assert place is not None, f"docs/clients.md says nothing of {client.name}: run with SALLYPORT_WRITE_DOCS=1"
    written = text[place[0]:place[1]]
    if f"**{client.name}** {client.version()}\n" not in written:
        pytest.skip(f"the page was written with another version of {client.name} than {client.version()}")
    assert written == fresh, "docs/clients.md does not say what was seen: run with SALLYPORT_WRITE_DOCS=1"


@pytest.mark.parametrize("way", ["tcp", "relay"])
@pytest.mark.parametrize("kind", matrix.ALL, ids=lambda kind: kind.name.replace(", ", "-"))
def test_client(lab, kind, way):
    if kind.version() is None:
        pytest.skip(f"{kind.needs} is not installed")
    if way == "relay" and (os.geteuid() != 0 or not RELAY.is_file()):
        pytest.skip("needs root and sallyport-relay")
    world = World(lab, way)
    client = kind(world)
    client.prepare()
    allowed = world.run(client.command("allowed.test"))
    if isinstance(client, matrix.NodeHttps) and client.ignores_the_variables():
        assert allowed.returncode == 1 and "allowed.test" in allowed.stderr
        nothing_came(world)
        denied = world.run(client.command("denied.test"))
        assert denied.returncode == 1
        nothing_came(world)
    else:
        assert client.good(allowed), (allowed.returncode, allowed.stdout, allowed.stderr)
        outcomes = wait_for(lambda: world.proxy.audit.outcomes(host="allowed.test", verdict="allow"), 10,
                            world.proxy.audit.report)
        assert outcomes[0]["tls"]["sni"] == "allowed.test" and outcomes[0]["traffic"]["bytes_in"] > 100
        denied = world.run(client.command("denied.test"))
        assert denied.returncode != 0, (denied.stdout, denied.stderr)
        requests = requests_denied(world)
        said = client.said(denied)
        if client.shows == "phrase":
            assert "policy: this host is not allowed: denied.test (request " in said, said
            assert any(request in said for request in requests), (requests, said)
        elif client.shows == "status":
            assert "403" in said, said
        assert not lab.dns.asked("denied.test")
    if way == "tcp":
        holds_the_page(client, denied)


def test_a_name_that_differs_inside(lab):
    """The name in the TLS hello is another: the client sees an alert alone, and /why says why."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    world = World(lab, "tcp")
    client = matrix.Curl(world)
    client.name = "curl, another name in the TLS hello"
    port = world.origin.port
    done = world.run(["curl", "-sS", "--connect-to", f"other.test:{port}:allowed.test:{port}", f"https://other.test:{port}/"])
    assert done.returncode == 35 and "unrecognized name" in done.stderr, done
    world.proxy.audit.outcome(host="allowed.test", verdict="deny", reason="sni_mismatch", seconds=10)
    why = world.run(["curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{world.proxy.endpoint[1]}/why"])
    assert f"allowed.test:{port} sni_mismatch" in why.stdout
    holds_the_page(client, done)
