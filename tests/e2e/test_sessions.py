# SPDX-License-Identifier: Apache-2.0
"""Sessions: a socket each, less than their environment and never more, across a restart, closed within a second."""
import json
import os
import socket
import stat
import subprocess
import time

import pytest

from lab import wait_for
from lab.client import Client
from lab.origin import after_hello, echo
from lab.proxy import unprivileged


class Sessions:
    """`sallyport session` towards one proxy."""

    def __init__(self, proxy):
        self.proxy = proxy

    def run(self, *words):
        return subprocess.run([self.proxy.binary, "session", *words, "--admin",
                               f"unix:{self.proxy.folder}/admin/a.sock"], capture_output=True, text=True, timeout=20,
                              cwd="/", **unprivileged())

    def good(self, *words):
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def bad(self, *words):
        done = self.run(*words)
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr

    def open(self, name, *words, environment="env-a"):
        return self.good("open", "--environment", environment, "--session", name, *words)["socket"]

    def client(self, path):
        one = Client(path)
        self.proxy.clients.append(one)
        return one

    def asks(self, path, host, port):
        """Status and reason of one CONNECT over this socket."""
        with Client(path) as one:
            reply = one.connect(host, port).read_reply()
            return reply.status, reply.reason if reply.status != 200 else None

    def tunnel(self, path, host, port):
        one = self.client(path).connect(host, port).expect(status=200)
        return one.hello(sni=host)

    def changes(self, name, subject):
        return [r for r in self.proxy.audit.events(name) if subject in json.dumps(r)]


OPEN, CLOSED_BY_SESSION = (200, None), (403, "host_not_allowed")


@pytest.fixture
def world(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")],
                      allowed_hosts=["listed.test", "files.pythonhosted.org"],
                      networking={"allow_package_managers": True})
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return origin, proxy, Sessions(proxy)


def test_a_session_stands_in_its_records(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1", "--work", "work_9", "--agent-name", "coder", "--label", "ticket=17")
    assert path == f"{proxy.folder}/admin/sessions/s-1/proxy.sock"
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o750
    assert sessions.asks(path, "denied.test", 443) == CLOSED_BY_SESSION
    sessions.tunnel(path, "a.test", origin.port).close()
    denied = proxy.audit.attempt(host="denied.test", verdict="deny", rule="default")
    allowed = proxy.audit.attempt(host="a.test", verdict="allow", environment="env-a")
    outcome = proxy.audit.outcome(host="a.test")
    for record in (denied, allowed, outcome):
        text = json.dumps(record)
        assert '"s-1"' in text and '"work_9"' in text and '"coder"' in text, text
    opened = sessions.changes("session_opened", "s-1")
    assert len(opened) == 1 and "ticket=17" in json.dumps(opened[0]) and opened[0]["class_uid"] == 3004
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_a_session_is_less_than_its_environment_and_never_more(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1", "--allow-hosts", "a.test,never.test,*.deep.test,169.254.169.254")
    assert sessions.asks(path, "a.test", origin.port) == OPEN
    assert sessions.asks(path, "b.test", origin.port) == CLOSED_BY_SESSION
    for host in ("never.test", "x.deep.test"):
        assert sessions.asks(path, host, 443) == CLOSED_BY_SESSION
    assert sessions.asks(path, "169.254.169.254", 443)[0] == 403
    assert proxy.audit.attempt(host="b.test", verdict="deny")["firewall_rule"]["uid"] == "session"
    assert proxy.audit.attempt(host="never.test")["firewall_rule"]["uid"] == "default"
    # Another session is not touched by it.
    assert sessions.asks(sessions.open("s-2"), "b.test", origin.port) == OPEN
    # Identity is the socket, whatever the client says.
    with Client(path) as one:
        reply = one.connect("b.test", origin.port, headers=[("Proxy-Authorization", "Basic cy0yOng="),
                                                            ("X-Session", "s-2")]).read_reply()
        assert reply.status == 403


def test_set_and_phase_run(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1")
    tunnel = sessions.tunnel(path, "b.test", origin.port)
    shown = sessions.good("set", "--session", "s-1", "--allow-hosts", "a.test")
    assert shown["only_hosts"] is True and shown["allow_hosts"] == "a.test"
    tunnel.read_to_end(3)
    assert proxy.audit.outcome(host="b.test", reason="revoked")
    assert sessions.asks(path, "b.test", origin.port) == CLOSED_BY_SESSION
    assert sessions.asks(path, "a.test", origin.port) == OPEN
    assert sessions.good("phase", "run", "--session", "s-1")["phase"] == "run"
    sessions.good("set", "--session", "s-1", "--allow-hosts", "a.test,pypi.org")
    assert sessions.good("show", "--session", "s-1")["no_package_managers"] is True
    assert sessions.asks(path, "pypi.org", 443) == CLOSED_BY_SESSION
    assert len(sessions.changes("session_changed", "s-1")) == 3


def test_what_is_refused(world):
    origin, proxy, sessions = world
    sessions.open("s-1")
    for name in ("..", ".x", "a/b", "a b", "", "x" * 65, "s\u00e9"):
        assert "session" in sessions.bad("open", "--environment", "env-a", "--session", name)
    assert "open already" in sessions.bad("open", "--environment", "env-a", "--session", "s-1")
    assert "no environment" in sessions.bad("open", "--environment", "env-b", "--session", "s-2")
    assert "neither a name" in sessions.bad("open", "--environment", "env-a", "--session", "s-2", "--allow-hosts", "*")
    assert "group" in sessions.bad("open", "--environment", "env-a", "--session", "s-2", "--group", "1")
    done = sessions.run("open", "--environment", "env-a", "--session", "s-2", "--group", "nobody_at_all")
    assert done.returncode == 64 and "there is no group nobody_at_all" in done.stderr
    assert "no open session" in sessions.bad("close", "--session", "s-2")
    assert "do not change" in sessions.bad("set", "--session", "s-1", "--environment", "env-b")
    assert sessions.run("open", "--environment", "env-a").returncode == 64
    assert sessions.run("dance").returncode == 64
    assert [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"]
    assert sorted(os.listdir(f"{proxy.folder}/admin/sessions")) == ["s-1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="the account of the proxy, and so its group, is known as root alone")
def test_a_group_by_its_name(world):
    """The verb knows names; the proxy, which can load nothing in its cage, is told the number, and takes no name."""
    origin, proxy, sessions = world
    shown = sessions.good("open", "--environment", "env-a", "--session", "s-1", "--group", "nogroup")
    where = os.stat(shown["socket"])
    assert where.st_gid == unprivileged()["group"] and stat.S_IMODE(where.st_mode) == 0o660
    body = b"environment=env-a\nsession=s-2\ngroup=nogroup\n"
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(f"{proxy.folder}/admin/a.sock")
        s.sendall(b"POST /sessions HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                  % (len(body), body))
        answer = s.makefile("rb").read()
    assert b"nogroup is not the number of a group" in answer, answer
    assert proxy.alive() and [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"]


def test_close(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1")
    tunnel = sessions.tunnel(path, "a.test", origin.port)
    sessions.good("close", "--session", "s-1")
    wait_for(lambda: not os.path.exists(os.path.dirname(path)), 3, lambda: "the directory is gone")
    with pytest.raises(OSError):
        Client(path)
    assert tunnel.still_open()
    # Its id is free again, and the old tunnel is not the new session's.
    again = sessions.open("s-1", "--allow-hosts", "b.test")
    assert sessions.asks(again, "a.test", origin.port) == CLOSED_BY_SESSION
    assert tunnel.still_open()
    sessions.good("close", "--session", "s-1")
    assert len(sessions.changes("session_closed", "s-1")) == 2


def test_close_now_cuts_within_a_second(world):
    origin, proxy, sessions = world
    path, other = sessions.open("s-1"), sessions.open("s-2")
    tunnels = [sessions.tunnel(path, "a.test", origin.port) for _ in range(20)]
    stays = sessions.tunnel(other, "a.test", origin.port)
    began = time.monotonic()
    sessions.good("close", "--session", "s-1", "--now")
    for tunnel in tunnels:
        tunnel.read_to_end(2)
    assert time.monotonic() - began < 1
    assert stays.still_open()
    wait_for(lambda: len(proxy.audit.outcomes(reason="session_closed")) == 20, 5, proxy.audit.report)


def test_deny_all(world):
    origin, proxy, sessions = world
    paths = [sessions.open(f"s-{i}") for i in range(3)]
    tunnels = [sessions.tunnel(path, "a.test", origin.port) for path in paths]
    began = time.monotonic()
    assert sessions.good("deny-all", "--environment", "env-a") == {"denied": {"environments": 1, "sessions": 3}}
    for tunnel in tunnels:
        tunnel.read_to_end(2)
    assert time.monotonic() - began < 1
    for path in paths:
        assert sessions.asks(path, "a.test", origin.port) == CLOSED_BY_SESSION


def test_ttl(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1", "--ttl", "1s")
    tunnel = sessions.tunnel(path, "a.test", origin.port)
    tunnel.read_to_end(6)
    wait_for(lambda: not os.path.exists(path), 3, lambda: "the socket is gone")
    assert "ttl" in json.dumps(proxy.audit.event("session_closed"))
    assert sessions.good("list") == {"sessions": []}


def known(sessions, name):
    """What is known of a session but its worker, which is another one after a restart."""
    shown = sessions.good("show", "--session", name)
    del shown["worker"]
    return shown


def test_a_restart_keeps_sessions(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1", "--allow-hosts", "a.test", "--work", "w-1", "--label", "k=v")
    sessions.open("s-2", "--ttl", "1s")
    before = known(sessions, "s-1")
    directory = os.stat(os.path.dirname(path)).st_ino
    for end in (proxy.stop, proxy.kill):
        end()
        with pytest.raises(OSError):
            Client(path)
        proxy.start()
        assert os.stat(os.path.dirname(path)).st_ino == directory
        assert known(sessions, "s-1") == before
        assert sessions.asks(path, "a.test", origin.port) == OPEN
        assert sessions.asks(path, "b.test", origin.port) == CLOSED_BY_SESSION
    assert '"w-1"' in json.dumps(proxy.audit.attempts(host="b.test")[-1])
    wait_for(lambda: [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"], 5, lambda: "s-2 has ended")
    # What is no file of ours opens nothing.
    proxy.stop()
    state = proxy.folder / "audit.sessions"
    for name, text in (("s-9", b"session=s-8\nenvironment=env-a\n"), ("s-8", b"nonsense"), ("s-7", b"\0" * 20000)):
        (state / name).write_bytes(text)
        os.chown(state / name, os.stat(state).st_uid, os.stat(state).st_gid)
    proxy.start()
    assert [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"]


def test_a_directory_of_its_own(lab):
    """Handed to sandboxes, it must not lead to the admin socket."""
    from lab.proxy import StartFailed
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(start=False, hosts=[origin.at("a.test")])
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    proxy._own(proxy.folder / "handed", 0o755)
    proxy.args += ["--sessions-dir", f"{proxy.folder}/handed/"]
    proxy.start()
    sessions = Sessions(proxy)
    assert sessions.open("s-1") == f"{proxy.folder}/handed/s-1/proxy.sock"
    assert sessions.asks(f"{proxy.folder}/handed/s-1/proxy.sock", "a.test", origin.port) == OPEN
    proxy.stop()
    proxy.args[-1] = f"{proxy.folder}/admin"
    with pytest.raises(StartFailed) as failed:
        proxy.start()
    assert failed.value.code == 78 and "admin socket lies below" in failed.value.text


def test_why_is_of_the_own_session(world):
    origin, proxy, sessions = world
    mine, other = sessions.open("s-1"), sessions.open("s-2")

    def why(endpoint):
        with Client(endpoint) as one:
            one.request("/why", host="proxy", method="GET")
            reply = one.read_reply()
            assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain")
            return reply.body.decode()

    assert why(mine) == "No refusal is remembered here.\n"
    assert sessions.asks(mine, "one.test", 443) == CLOSED_BY_SESSION
    with Client(mine) as one:
        one.connect("a.test", origin.port).expect(status=200).hello(sni="two.test").expect(alert="unrecognized_name")
    for i in range(9):
        sessions.asks(other, f"x{i}.test", 443)
    lines = why(mine).splitlines()
    assert len(lines) == 2
    assert f"a.test:{origin.port} sni_mismatch" in lines[0] and "one.test:443 host_not_allowed" in lines[1]
    flow = proxy.audit.attempt(host="one.test")["metadata"]["correlation_uid"].replace("-", "")
    assert lines[1].endswith(f"request {flow}")
    assert [line.split()[1] for line in why(other).splitlines()] == [f"x{i}.test:443" for i in range(8, 0, -1)]
    # Who came in by the port sees what came in by it, and no session's.
    assert why(proxy.endpoint) == "No refusal is remembered here.\n"
    before = len(proxy.audit.attempts())
    with Client(proxy.endpoint) as one:
        assert one.request("/whyever", host="proxy", method="GET").read_reply().status == 404
    assert len(proxy.audit.attempts()) == before


def test_many(world):
    """2,000 sessions at once, each opened in a few milliseconds."""
    import http.client
    import socket
    origin, proxy, sessions = world
    count = 2000

    class Admin(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(f"{proxy.folder}/admin/a.sock")

    if os.geteuid() != 0:
        pytest.skip("the admin socket is asked directly, as root")
    admin, took = Admin("admin"), []
    for i in range(count):
        began = time.monotonic()
        admin.request("POST", "/sessions", f"session=m-{i}\nenvironment=env-a\n")
        reply = admin.getresponse()
        body = json.loads(reply.read())
        took.append(time.monotonic() - began)
        assert reply.status == 200, body
    took.sort()
    print(f"open: median {took[count // 2] * 1000:.2f} ms, 99th {took[count * 99 // 100] * 1000:.2f} ms")
    with open(proxy.binary, "rb") as program:
        text = program.read()
    assert took[count // 2] < (0.1 if b"__asan_init" in text or b"__tsan_init" in text else 0.005)
    for i in (0, 999, 1999):
        path = f"{proxy.folder}/admin/sessions/m-{i}/proxy.sock"
        assert sessions.asks(path, "a.test", origin.port) == OPEN
    for i in range(count):
        admin.request("POST", "/sessions/close", f"session=m-{i}\nnow=true\n")
        assert json.loads(admin.getresponse().read())["session"] == f"m-{i}"
    assert sessions.good("list") == {"sessions": []}
    assert os.listdir(f"{proxy.folder}/admin/sessions") == []
    wait_for(lambda: proxy.descriptors() < 200, 8, lambda: f"{proxy.descriptors()} descriptors")
    assert proxy.stop() == 0
