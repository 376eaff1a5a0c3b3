# SPDX-License-Identifier: Apache-2.0
"""Framing against servers that were not written here: whatever the proxy lets through, nginx, Apache httpd, Node and
Python understand as exactly the requests that were decided; what it refuses, they never see as a request."""
import pathlib
import sys

import pytest

from lab import wait_for
from lab.servers import SERVERS, Apache, Nginx
from lab.webaudit import with_web_records
from lab.webclient import get, read_answer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "hostile"))

from table_http import BOTH, CHUNKS, CODINGS, FOLDED, HEADS, LENGTHS, PIPELINES, WEB_REASONS  # noqa: E402

TABLES = BOTH + LENGTHS + CODINGS + CHUNKS + FOLDED + HEADS
SMALL = [c for c in TABLES if len(c.request) < 2000 and "Host: <host>" in c.request.decode("latin-1")]
# Real servers have bounds of their own on lines, and a websocket is none of theirs.
ALLOWED = [c for c in SMALL if c.expect == "ALLOW" and b"Upgrade: websocket" not in c.request
           and c.request.count(b"\r\n") < 110 and c.id != "S-31-lines-100"]
REFUSED = [c for c in SMALL if c.expect in ("R-FRM", "R-TE", "R-SYN", "R-EXP", "R-HDR")]
REFUSED = [c for c in REFUSED if c.late] + [c for c in REFUSED if not c.late][::5]
LIMITS = {"attempts_per_second": 100000, "attempts_burst": 1000000}
SECONDS = 10.0


class World:
    def __init__(self, lab, kind):
        self.server = lab.add(kind(lab))
        self.proxy = lab.proxy(hosts=[self.server.at("allowed.test")], limits=LIMITS,
                               ports={"connect": [443], "http": [80, self.server.port]})
        with_web_records(self.proxy)
        self.wanted = []

    def fill(self, data):
        return data.replace(b"<host>", b"allowed.test:<port>").replace(b"<port>", str(self.server.port).encode())

    def client(self):
        self.proxy.clients[:] = self.proxy.clients[-4:]
        return self.proxy.client()

    def count(self):
        """What the server should have seen by now is what it has seen: nothing less, nothing else."""
        seen = self.server.wait_requests(len(self.wanted), SECONDS)
        assert [s[:2] for s in seen[-40:]] == [w[:2] for w in self.wanted[-40:]]
        assert len(seen) == len(self.wanted)
        for have, wanted in zip(seen[-40:], self.wanted[-40:]):
            assert have[2] in (None, wanted[2]), f"{have} should have had {wanted[2]} bytes"


@pytest.fixture(params=SERVERS, ids=lambda s: s.name)
def world(lab, request):
    if request.param.missing():
        pytest.skip(request.param.missing())
    return World(lab, request.param)


def probe(world, client, name):
    """One more request on the same connection: it must be answered as itself, so nothing is left over before it."""
    get(client, f"http://allowed.test:{world.server.port}/{name}", method="POST", body=name.encode())
    answer = read_answer(client, seconds=SECONDS)
    assert answer is not None and answer.status == 200 and name.encode() in answer.body, f"{name}: {answer!r}"
    world.wanted.append(("POST", f"/{name}", len(name)))


def test_allowed_framings(world):
    """Every allowed row; behind each a probe on the same connection, and at the end the server's own count."""
    for number, case in enumerate(ALLOWED):
        client = world.client().send(world.fill(case.request))
        ended = False
        for method, path, body in case.seen:
            answer = read_answer(client, method, SECONDS)
            assert answer is not None and answer.complete, f"{case.id}: {answer!r}"
            good = (200, 405) if isinstance(world.server, Apache) else (200,)
            assert answer.status in good, f"{case.id}: {answer!r}"
            world.wanted.append((method, path, len(body)))
            ended = answer.get("connection") == "close"
        if not ended:
            probe(world, client, f"probe-{number}")
        client.close()
        world.server.wait_requests(len(world.wanted), SECONDS)
        assert [s[:2] for s in world.server.requests()[-3:]] == [w[:2] for w in world.wanted[-3:]], case.id
    world.count()
    assert world.proxy.stop() == 0
    audit = world.proxy.audit
    wait_for(lambda: len(audit.outcomes()) >= len(world.wanted), 5, "the last outcome is read")
    assert len(audit.attempts()) == len(audit.outcomes()) == len(world.wanted)
    assert audit.verifies()


def test_refused_framings(world):
    """Refused rows: our answer, and no request at the server. Whole heads whose body was wrong may be in its log as
    failed; then their status says so, and no other URI ever appears."""
    for number, case in enumerate(REFUSED):
        client = world.client().send(world.fill(case.request))
        answer = read_answer(client, seconds=SECONDS)
        wanted = {WEB_REASONS[c][0] for c in (case.expect, *case.also)}
        assert answer is not None and answer.reason in wanted, f"{case.id}: {answer!r}"
        client.read_to_end(SECONDS)
        client.close()
        if number % 10 == 0:
            with world.client() as honest:
                probe(world, honest, f"honest-{number}")
    with world.client() as honest:
        probe(world, honest, "honest-last")
    late = {(s[0], s[1]) for c in REFUSED if c.late for s in (("POST", "/s"),)}
    for method, uri, _ in world.server.requests():
        assert (method, uri) in late or uri.startswith("/honest-"), f"{method} {uri} was smuggled"
    if not isinstance(world.server, (Apache, Nginx)):
        world.count()


def test_pipelines_end_at_the_refusal(world):
    for _, first, second, code in PIPELINES:
        client = world.client().send(world.fill(first + second))
        answer = read_answer(client, seconds=SECONDS)
        assert answer.status in (200, 405) and answer.complete
        world.wanted.append((first.split(b" ")[0].decode(), "/first", len(answer.body)))
        answer = read_answer(client, seconds=SECONDS)
        assert answer.reason == WEB_REASONS[code][0], repr(answer)
        assert client.read_to_end(SECONDS) == b""
        client.close()
    seen = world.server.wait_requests(len(world.wanted), SECONDS)
    assert [s[:2] for s in seen] == [w[:2] for w in world.wanted]


def test_fifty_pipelined(world):
    """Mixed framings in one write, each answered in its place."""
    parts = []
    for i in range(50):
        line = b"POST http://<host>/n%d HTTP/1.1\r\nHost: <host>\r\n" % i
        body = b"%d;" % i * 7
        parts.append(line + (b"Content-Length: %d\r\n\r\n%s" % (len(body), body) if i % 2 else
                             b"Transfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%s\r\n0\r\nT: r\r\n\r\n"
                             % (len(body), body)))
        world.wanted.append(("POST", f"/n{i}", len(body)))
    client = world.client().send(world.fill(b"".join(parts)))
    for i in range(50):
        answer = read_answer(client, seconds=SECONDS)
        assert answer.status == 200 and answer.body in (b"%d;" % i * 7, b"POST /n%d" % i), repr(answer)
    world.count()


def test_stored_bodies(lab):
    """nginx writes what it was given: a body in chunks arrives as the same bytes."""
    if Nginx.missing():
        pytest.skip(Nginx.missing())
    world = World(lab, Nginx)
    body = bytes(range(256)) * 2000
    for name, framed in (("length", b"Content-Length: %d\r\n\r\n" % len(body) + body),
                         ("chunks", b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
                             b"%x\r\n%s\r\n" % (len(body[i:i + 777]), body[i:i + 777])
                             for i in range(0, len(body), 777)) + b"0\r\n\r\n"),
                         ("continue", b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body) + body)):
        client = world.client().send(world.fill(
            f"PUT http://<host>/store/{name} HTTP/1.1\r\nHost: <host>\r\n".encode()) + framed)
        assert read_answer(client, seconds=SECONDS).status == 201
        assert (world.server.folder / "store" / name).read_bytes() == body
        client = world.client()
        get(client, f"http://allowed.test:{world.server.port}/store/{name}")
        answer = read_answer(client, seconds=SECONDS)
        assert answer.complete and answer.body == body
    for record in world.proxy.audit.attempts():
        assert record["class_uid"] == 4002
    wait_for(lambda: len(world.proxy.audit.outcomes()) == 6, 5, "six outcomes")
