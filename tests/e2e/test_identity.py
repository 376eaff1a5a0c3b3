# SPDX-License-Identifier: Apache-2.0
"""Who a client is, whatever it says: rows W-16, W-18, O-04, O-08, O-09, O-10 of the hostile cases, and every way in
which a session could try to be more than its environment. O-06 and O-07 stand in test_sockets.py."""
import http.client
import json
import os
import socket
import subprocess

import pytest

from lab import wait_for
from lab.client import Client
from lab.gateway import Gateway
from lab.origin import after_hello, echo
from lab.policy import At
from lab.proxy import tells_nothing_inner

from test_sessions import CLOSED_BY_SESSION, OPEN, Sessions

STRANGER = 4242
B_SOURCE = "127.70.0.9"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other accounts can only be used as root")


class World:
    """env-a has a listener and a session; env-b has source addresses and a session."""

    def __init__(self, lab):
        self.lab = lab
        self.origin = lab.origin(after_hello(echo))
        policies = [lab.policy(name="env-a", hosts=[self.origin.at("a.test")]),
                    (lab.policy(name="env-b", hosts=[self.origin.at("b.test")]), {"sources": ["127.70.0.0/16"]})]
        self.gateway = Gateway(lab, policies, start=False, listeners=[
            {"listen": "127.0.0.1:0", "environment": "env-a"}, {"listen": "127.0.0.1:0", "by": "source"}])
        self.gateway._own(self.gateway.folder / "audit.sessions", 0o700)
        self.gateway.start()
        self.sessions = Sessions(self.gateway)
        self.a, self.b = self.sessions.open("s-a"), self.sessions.open("s-b", environment="env-b")

    def reply(self, endpoint, host, source=None, **options):
        with Client(endpoint, source=source) as one:
            return one.connect(host, self.origin.port, **options).read_reply()

    def status(self, *args, **options):
        reply = self.reply(*args, **options)
        return reply.status, reply.reason if reply.status != 200 else None

    def admin(self, path, body):
        """A request to the admin socket as no command of ours would make it."""
        class Admin(http.client.HTTPConnection):
            def connect(inner):
                inner.sock = socket.socket(socket.AF_UNIX)
                inner.sock.connect(f"{self.gateway.folder}/admin/a.sock")
        one = Admin("admin")
        one.request("POST", path, body)
        answer = one.getresponse()
        text = answer.read().decode()
        one.close()
        return answer.status, text


@pytest.fixture
def world(lab):
    return World(lab)


VARIANTS = {
    "plain": {},
    "HTTP/1.0": {"version": "1.0"},
    "a Via of somebody": {"headers": [("Via", "1.1 helper")]},
    "another agent": {"headers": [("User-Agent", "helper/9"), ("Connection", "keep-alive")]},
    "a forwarder's fields": {"headers": [("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1")]},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=[f"W-16 {name}" for name in VARIANTS])
def test_a_helper_inside_gets_the_same_verdict(world, options):
    for endpoint in (world.gateway.endpoints[0], world.a):
        assert world.status(endpoint, "a.test", **options) == OPEN
        assert world.status(endpoint, "b.test", **options) == CLOSED_BY_SESSION


CLAIMS = {
    "a user of the other": [("Proxy-Authorization", "Basic ZW52LWI6ZW52LWI=")],
    "a token": [("Proxy-Authorization", "Bearer env-b"), ("Authorization", "Bearer env-b")],
    "its name": [("X-Environment", "env-b"), ("X-Sallyport-Environment", "env-b"), ("X-Session", "s-b")],
    "its address": [("X-Forwarded-For", B_SOURCE), ("X-Real-IP", B_SOURCE), ("Forwarded", f"for={B_SOURCE}")],
    "a cookie": [("Cookie", "environment=env-b; session=s-b")],
}


@pytest.mark.parametrize("headers", CLAIMS.values(), ids=[f"W-18 {name}" for name in CLAIMS])
def test_what_a_client_says_selects_nothing(world, headers):
    for endpoint in (world.gateway.endpoints[0], world.a):
        assert world.status(endpoint, "b.test", headers=headers) == CLOSED_BY_SESSION
        assert world.status(endpoint, "a.test", headers=headers) == OPEN
    for record in world.gateway.audit.attempts():
        assert record["metadata"]["tenant_uid"] == "env-a" and record["src_endpoint"].get("uid", "s-a") == "s-a"


def test_two_proven_identities_that_differ(world):
    """O-10, W-18: a source address of env-b at the listener of env-a is neither's."""
    first, by_source = world.gateway.endpoints
    for host in ("a.test", "b.test"):
        assert world.status(first, host, source=B_SOURCE) == (403, "identity_conflict")
    assert world.status(by_source, "b.test", source=B_SOURCE) == OPEN
    assert world.status(by_source, "b.test") == (403, "identity_unknown")
    records = world.gateway.audit.attempts(reason={"identity_conflict", "identity_unknown"})
    assert [r["metadata"]["tenant_uid"] for r in records] == ["-", "-", "-"]


@needs_root
def test_a_sandbox_cannot_reach_anothers_socket(world):
    """O-10: the directory belongs to one group; inside it, the socket is who one is, and no more than that session."""
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])")
    for path in (world.a, world.b, f"{world.gateway.folder}/admin/a.sock"):
        done = subprocess.run(["/usr/bin/python3", "-c", script, path], capture_output=True, text=True, timeout=20,
                              cwd="/", user=STRANGER, group=STRANGER, extra_groups=[])
        assert done.returncode == 1 and "PermissionError" in done.stderr
    assert world.status(world.b, "a.test") == CLOSED_BY_SESSION
    assert world.status(world.a, "b.test") == CLOSED_BY_SESSION


def test_an_environment_that_is_taken_away(world):
    """O-04: its tunnels are closed, and who belonged to it belongs to nobody."""
    gateway, sessions = world.gateway, world.sessions
    by_source = gateway.endpoints[1]
    tunnels = [sessions.tunnel(world.b, "b.test", world.origin.port),
               gateway.open_tunnel(1, "b.test", world.origin.port, source=B_SOURCE)]
    stays = sessions.tunnel(world.a, "a.test", world.origin.port)
    gateway.config["environments"] = [e for e in gateway.config["environments"] if e["file"] != "env-b.yaml"]
    gateway.write_config()
    gateway.hup()
    for tunnel in tunnels:
        tunnel.read_to_end(5)
    wait_for(lambda: len(gateway.audit.outcomes(reason="revoked")) == 2, 5, gateway.audit.report)
    assert stays.still_open()
    for endpoint, source in ((by_source, B_SOURCE), (world.b, None)):
        for host in ("a.test", "b.test"):
            assert world.status(endpoint, host, source=source) == (403, "identity_unknown")
    assert "no environment" in sessions.bad("open", "--environment", "env-b", "--session", "s-new")
    assert world.status(world.a, "a.test") == OPEN


def test_the_proxy_is_no_target(world):
    """O-08: neither its listeners nor its admin socket, by no name and no address."""
    host, port = world.gateway.endpoints[0]
    for endpoint in (world.gateway.endpoints[0], world.a):
        for target in (host, "localhost", "0.0.0.0", "[::1]", "127.1"):
            with Client(endpoint) as one:
                reply = one.request(f"{target}:{port}", host=f"{target}:{port}").read_reply()
            assert reply.status in (400, 403), (target, reply)
            assert reply.reason in ("literal_not_allowed", "host_not_allowed", "malformed_target", "host_denied")
    world.gateway.write_environment(world.lab.policy(name="env-a", hosts=[At("self.test", host, port)]))
    world.gateway.hup()

    def asks():
        with Client(world.a) as one:
            reply = one.connect("self.test", port).read_reply()
            tells_nothing_inner(reply, asked=b"self.test")
            return reply.status, reply.reason
    wait_for(lambda: asks() == (403, "address_is_self"), 5, lambda: "the name means this program")


PATHS = ["/metrics", "/healthz", "/readyz", "/status", "/sessions", "/reload", "/debug", "/squid-internal-mgr/menu",
         "/why/", "/why/s-b", "/why?session=s-b", "/WHY", "//", "/.", "/?", "/%2e", "/index.html"]


def test_the_data_port_answers_two_paths(world):
    """O-09: help and the own refusals, in whatever name they are asked; everything else is 404 with the same hint."""
    assert world.status(world.b, "denied.test") == CLOSED_BY_SESSION
    before = len(world.gateway.audit.attempts())
    hints = set()
    for endpoint in (world.gateway.endpoints[0], world.a):
        for host in ("proxy", "stats", "localhost", "admin"):
            for method, path in [("GET", p) for p in PATHS] + [("POST", "/"), ("POST", "/why"), ("DELETE", "/")]:
                with Client(endpoint) as one:
                    reply = one.request(path, host=host, method=method).read_reply()
                    assert reply.status == 404, (method, path, host, reply)
                    hints.add(bytes(reply.body))
            with Client(endpoint) as one:
                page = one.request("/", host=host, method="GET").read_reply()
            assert page.status == 200 and b"GET /why" in page.body and b"ask whoever runs this sandbox" in page.body
            tells_nothing_inner(page)
            with Client(endpoint) as one:
                why = one.request("/why", host=host, method="GET").read_reply()
            assert why.status == 200 and why.body == b"No refusal is remembered here.\n"
    assert len(hints) == 1 and b"GET /why" in hints.pop()
    with Client(world.b) as one:
        assert b"denied.test:" in one.request("/why", host="x", method="GET").read_reply().body
    assert len(world.gateway.audit.attempts()) == before


# ---- sessions that try to be more ----

# What is said at the opening or later, and to what it may not lead.
WIDENING = {
    "allow_hosts": ("allow_hosts=b.test,*.test,a.test\n", 200),
    "allow_hosts of everything": ("allow_hosts=*\n", 400),
    "package groups again": ("no_package_managers=false\n", 200),
    "endpoints again": ("no_mcp_servers=false\n", 200),
    "the phase again": ("run_phase=false\n", 400),
    "the ban lifted": ("deny_all=false\n", 400),
    "endpoints of its own": ("mcp_endpoints=b.test:443\n", 400),
    "a hash of its own": ("agent_sha256=00\n", 400),
    "the log's place": ("opened_index=999999\n", 400),
    "an end of its own": ("ends_s=99999999999\n", 400),
    "another environment": ("environment=env-b\n", None),
    "two environments": ("environment=env-b\nenvironment=env-a\n", 200),
    "the work of another": ("work=w-b\nagent=b\nlabel=environment=env-b\n", None),
    "a longer idle": ("limit=idle=2h\n", 400),
    "a longer lifetime": ("limit=lifetime=48h\n", 400),
    "more attempts": ("limit=attempts_per_second=1000000\n", 400),
    "no limit": ("limit=idle=none\n", 200),
    "a key that is none": ("private_networks=10.0.0.0/8\n", 400),
    "a second line in a value": ("work=x\rallow_hosts=b.test\n", 400),
    "a listener": ("listen=127.0.0.1:1\n", 400),
}


@needs_root
@pytest.mark.parametrize("said,status", WIDENING.values(), ids=list(WIDENING))
def test_no_word_makes_a_session_more(world, said, status):
    origin, sessions = world.origin, world.sessions
    path = sessions.open("s-1")
    sessions.good("phase", "run", "--session", "s-1")
    got, text = world.admin("/sessions/set", "session=s-1\n" + said)
    assert got == (status or 400), text
    opened, text = world.admin("/sessions", "session=s-2\nenvironment=env-a\n" + said)
    ends = [path]
    if opened == 200 and json.loads(text)["environment"] == "env-a":
        ends.append(json.loads(text)["socket"])
    for end in ends:
        assert sessions.asks(end, "a.test", origin.port) == OPEN
        assert sessions.asks(end, "b.test", origin.port) == CLOSED_BY_SESSION
        assert sessions.asks(end, "never.test", 443) == CLOSED_BY_SESSION
    shown = sessions.good("show", "--session", "s-1")
    assert shown["phase"] == "run" and shown["environment"] == "env-a" and shown["no_package_managers"] is True
    assert shown["work"] == "" and shown["agent"] == "" and shown["mcp_endpoints"] == "" and shown["ends_s"] == 0
    assert shown["opened_index"] < 1000
