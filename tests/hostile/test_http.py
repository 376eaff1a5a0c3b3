# SPDX-License-Identifier: Apache-2.0
"""S: table_http.py through the proxy, to an origin that believes nothing. One request in is one request seen there, or
an answer of ours; whatever is not understood is refused, and what was refused is never finished upstream."""
import os
import re

import pytest

from lab import Dns, wait_for
from lab.web import WebOrigin, ok, raw_answer
from lab.webaudit import with_web_records
from lab.webclient import get, read_answer
from rows import ids
from sites import LIMITS
from table_http import BOTH, CHUNKS, CODINGS, FOLDED, HEADS, LENGTHS, PIPELINES, TARGETS, WEB_REASONS
from table_http_answers import BAD_ANSWERS

ALL = BOTH + LENGTHS + CODINGS + CHUNKS + FOLDED + HEADS + TARGETS
SECONDS = 8.0


def web(lab):
    """env-a with allowed.test and everything below wild.test, each pinned to a web origin, on the same port."""
    dns = lab.add(Dns())
    for _ in range(20):
        first = lab.add(WebOrigin(lab.address()))
        try:
            second = lab.add(WebOrigin(lab.address(), port=first.port))
            break
        except OSError:
            continue
    policy = lab.policy(dns=dns, hosts=[first.at("allowed.test"), second.at("*.wild.test")], limits=LIMITS,
                        ports={"connect": [443, first.port], "http": [80, first.port]})
    return {"policy": policy, "dns": dns, "port": first.port, "origins": [first, second]}


@pytest.fixture
def site(make_site):
    one = make_site("web", web)
    with_web_records(one.proxy)
    return one


class Marks:
    """What the origins had seen before a case."""

    def __init__(self, site):
        self.origins = site.origins
        self.counts = [(len(o.started), len(o.bad), len(o.conns)) for o in site.origins]

    def started(self):
        return [r for o, (n, _, _) in zip(self.origins, self.counts) for r in o.started[n:]]

    def seen(self):
        return [r for r in self.started() if r.complete]

    def bad(self):
        return [b for o, (_, n, _) in zip(self.origins, self.counts) for b in o.bad[n:]]

    def conns(self):
        return [c for o, (_, _, n) in zip(self.origins, self.counts) for c in o.conns[n:]]


def fill(site, data):
    return site.fill(data.replace(b"<host>", b"allowed.test:<port>"))


def expect_answers(site, marks, client, case, close):
    """Each request is answered in its order, was seen as it was sent, and is on record."""
    for method, path, body in case.seen:
        answer = read_answer(client, method, SECONDS)
        assert answer is not None, f"closed before the answer to {method} {path}"
        assert answer.status == 200 and answer.complete, f"{method} {path}: {answer!r}"
        told = f"{method} {path} {len(body)}".encode()
        assert answer.body == (b"" if method == "HEAD" else told), f"{answer!r}"
        assert re.search(r"(^|, )1\.1 sallyport-[0-9a-f]{16}$", answer.get("via") or ""), f"{answer!r}"
    if close:
        assert read_answer(client, seconds=SECONDS) is None and not client.was_reset, "closed after the last answer"
    assert [r.what for r in marks.seen()] == [(m, p, b) for m, p, b in case.seen]
    assert marks.started() == marks.seen(), "an origin saw the beginning of something else"
    for name in case.absent:
        assert not any(name in r.names() for r in marks.seen()), f"{name} was forwarded"
    for name, value in case.present:
        wanted = fill(site, value.encode()).decode()
        assert marks.seen()[0].get(name) == wanted, f"{name}: {marks.seen()[0].fields}"
    client.close()
    flows = site.proxy.audit.passed(client.who, len(case.seen))
    assert {outcome["http_response"]["code"] for _, outcome in flows} == {200}


def expect_refused(site, oracles, marks, client, case):
    known = {WEB_REASONS[c][0]: c for c in (case.expect, *case.also)}
    answer = read_answer(client, seconds=SECONDS)
    assert answer is not None, "closed without an answer"
    assert answer.reason in known, f"expected {case.expect}, got {answer!r}"
    code = known[answer.reason]
    assert answer.status == WEB_REASONS[code][1] and answer.complete, f"{code}: {answer!r}"
    assert answer.json["retry"] is (answer.status in (429, 502, 503, 504)) and answer.get("connection") == "close"
    assert len(answer.phrase) <= 120
    assert client.read_to_end(SECONDS) == b"" and not client.was_reset, "the answer is followed by a clean end"
    oracles.discreet(answer, asked=bytes(client.sent) + str(answer.json["host"]).encode())
    assert not marks.seen(), f"an origin saw {marks.seen()}"
    if case.late:
        wait_for(lambda: all(c.eof or c.reset or c.closed for c in marks.conns()), 5, "the upstream side is ended")
        assert not marks.seen(), f"an origin saw {marks.seen()}"
    else:
        oracles.no_connection()
        oracles.no_dns()
    record = site.proxy.audit.refusal(client.who, WEB_REASONS[code][0])
    assert record["metadata"]["correlation_uid"].replace("-", "") == answer.json["request_id"]
    outcome = "end" in record["unmapped"]
    assert case.late or not outcome, "refused before anything was asked or dialled"
    assert not outcome or record["http_response"]["code"] == answer.status


def closes(request):
    """The client's own words end the connection after the answer."""
    first = request.partition(b"\r\n\r\n")[0]
    return b" HTTP/1.0\r\n" in first or re.search(rb"\r\nConnection: ([^\r]*, ?)?close", first)


def try_case(site, case, chunks=None):
    marks = Marks(site)
    with site.oracles() as oracles:
        client = site.client()
        data = fill(site, case.request)
        client.send(data, chunks=chunks)
        if case.expect == "ALLOW":
            expect_answers(site, marks, client, case, closes(data))
            oracles.only_asked("allowed.test")
        else:
            expect_refused(site, oracles, marks, client, case)
        assert not marks.bad(), marks.bad()
        client.close()
        oracles.returned()
        oracles.alive()


@pytest.mark.parametrize("case", ALL, ids=ids(ALL))
def test_case(site, case):
    try_case(site, case)


SPLIT = [c for c in ALL if len(c.request) < 300][::6]


@pytest.mark.parametrize("case", SPLIT, ids=ids(SPLIT))
def test_case_byte_by_byte(site, case):
    """The split into segments changes nothing. (A refused client may be told before its last byte has left.)"""
    try_case(site, case, chunks=1)


@pytest.mark.parametrize("name, first, second, code", PIPELINES, ids=[p[0] for p in PIPELINES])
def test_refused_behind_an_allowed_one(site, name, first, second, code):
    """S-19: answered in order; the second is refused, ends the connection, and what stands behind it is not parsed."""
    third = b"GET http://<host>/third HTTP/1.1\r\nHost: <host>\r\n\r\n"
    marks, audit = Marks(site), site.proxy.audit
    with site.oracles() as oracles:
        client = site.client()
        client.send(fill(site, first + second + third))
        answer = read_answer(client, seconds=SECONDS)
        assert answer.status == 200 and b" /first " in answer.body
        answer = read_answer(client, seconds=SECONDS)
        assert answer.reason == WEB_REASONS[code][0] and answer.status == WEB_REASONS[code][1], repr(answer)
        assert client.read_to_end(SECONDS) == b"" and not client.was_reset
        oracles.discreet(answer, asked=bytes(client.sent) + str(answer.json["host"]).encode())
        assert [r.path for r in marks.started()] == ["/first"]
        assert len(marks.conns()) <= 1 and not marks.bad()
        oracles.only_asked("allowed.test")
        wait_for(lambda: len(audit.attempts(**client.who)) == 2 and audit.outcomes(**client.who), 5,
                 lambda: "two attempts, one outcome\n" + audit.report())
        assert sorted(r["status_code"] for r in audit.attempts(**client.who)) == sorted(
            ["allowed", WEB_REASONS[code][0]])
        assert len(audit.outcomes(**client.who)) == 1
        oracles.alive()


def test_a_hundred_in_one_write(site):
    """S-19, R-12: each is judged, answered and recorded alone, in order."""
    marks, audit = Marks(site), site.proxy.audit
    client = site.client()
    heads = [b"GET http://<host>/p%d HTTP/1.1\r\nHost: <host>\r\n\r\n" % i if i % 3 else
             b"POST http://<host>/p%d HTTP/1.1\r\nHost: <host>\r\nContent-Length: 3\r\n\r\nabc" % i for i in range(100)]
    client.send(fill(site, b"".join(heads)))
    for i in range(100):
        answer = read_answer(client, seconds=SECONDS)
        assert answer.status == 200 and answer.body.split()[1] == b"/p%d" % i, repr(answer)
    assert [r.path for r in marks.seen()] == [f"/p{i}" for i in range(100)] and not marks.bad()
    wait_for(lambda: len(audit.outcomes(**client.who)) == 100, 8, "100 outcomes")
    attempts = audit.attempts(**client.who)
    assert len(attempts) == 100 == len({r["metadata"]["correlation_uid"] for r in attempts})
    assert [r["http_request"]["url"]["path"] for r in attempts] == [f"/p{i}" for i in range(100)]


def test_two_targets_on_one_connection(site):
    """S-19, S-21: each request goes to the origin of its own target, never to that of the one before."""
    marks = Marks(site)
    client = site.client()
    hosts = ["allowed.test", "a.wild.test", "allowed.test", "b.wild.test", "a.wild.test", "allowed.test"]
    client.send(b"".join(fill(site, f"GET http://{h}:<port>/{i} HTTP/1.1\r\nHost: {h}\r\n\r\n".encode())
                         for i, h in enumerate(hosts)))
    for i in range(len(hosts)):
        assert read_answer(client, seconds=SECONDS).body == f"GET /{i} 0".encode()
    for request in marks.seen():
        host = hosts[int(request.path[1:])]
        assert request.get("host") == f"{host}:{site.port}" and request.origin is site.origins[host != "allowed.test"]
    assert len(marks.seen()) == len(hosts) and not marks.bad()


def test_connect_on_a_kept_connection(site):
    """S-30: never forwarded to the host of the request before; refused, or judged as a CONNECT of its own."""
    marks = Marks(site)
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/one")
    assert read_answer(client, seconds=SECONDS).status == 200
    client.connect("denied.test", 443)
    answer = read_answer(client, "HEAD", SECONDS)
    assert answer.status in (403, 405, 400), repr(answer)
    assert [r.path for r in marks.started()] == ["/one"]


@pytest.mark.parametrize("path", [b"/secret", b"//allowed.test/x", b"/metrics", b"/why", b"/"])
def test_origin_form_on_a_kept_connection(site, path):
    """It asks this program itself, whatever Host says and wherever the request before went; it is no attempt."""
    marks, audit = Marks(site), site.proxy.audit
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/one")
    assert read_answer(client, seconds=SECONDS).status == 200
    client.send(fill(site, b"GET " + path + b" HTTP/1.1\r\nHost: <host>\r\n\r\n"))
    answer = read_answer(client, seconds=SECONDS)
    assert answer.status in {b"/": (200,), b"/why": (200, 404)}.get(path, (404,)), repr(answer)
    client.close()
    assert [r.path for r in marks.started()] == ["/one"]
    wait_for(lambda: audit.outcomes(**client.who), 5, "the first request's outcome")
    assert len(audit.attempts(**client.who)) == 1


def via_of(site):
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/via")
    assert read_answer(client, seconds=SECONDS).status == 200
    return site.origins[0].seen[-1].get("via")


@pytest.mark.parametrize("shape", ["{}", "1.0 a, {}", "{}, 1.1 b", "{} (comment)", "HTTP/{}"])
@pytest.mark.parametrize("fold", [str, str.upper, str.title])
def test_own_via_is_a_loop(site, shape, fold):
    """S-29: a request that passed this process already."""
    own = via_of(site)
    assert re.fullmatch(r"1\.1 sallyport-[0-9a-f]{16}", own)
    with site.oracles() as oracles:
        client = site.client()
        get(client, f"http://allowed.test:{site.port}/loop", "Via: " + shape.format(fold(own)))
        answer = read_answer(client, seconds=SECONDS)
        assert (answer.status, answer.reason) == (508, "request_loop")
        oracles.no_connection()
        oracles.records(client, "request_loop")


def test_another_ones_via_is_no_loop(site):
    own = via_of(site)
    other = own[:-1] + ("0" if own[-1] != "0" else "1")
    for value in (other, own + "0", own.replace("sallyport", "xsallyport"), "1.1 sallyport-", own[:-1]):
        client = site.client()
        get(client, f"http://allowed.test:{site.port}/noloop", "Via: " + value)
        assert read_answer(client, seconds=SECONDS).status == 200, value
        assert site.origins[0].seen[-1].get("via").startswith(value + ", ") or value in [
            v for n, v in site.origins[0].seen[-1].fields if n.lower() == "via"]


@pytest.mark.parametrize("name, data, close", BAD_ANSWERS, ids=[b[0] for b in BAD_ANSWERS])
def test_bad_answer(site, name, data, close):
    """S-26 and what else is no answer: 502, nothing of it reaches the client, the connection is not used again."""
    origin = site.origins[0].on("/bad", raw_answer(data, close=close))
    marks = Marks(site)
    with site.oracles() as oracles:
        client = site.client()
        get(client, f"http://allowed.test:{site.port}/bad")
        answer = read_answer(client, seconds=SECONDS)
        assert (answer.status, answer.reason) == (502, "upstream_invalid"), repr(answer)
        assert client.read_to_end(SECONDS) == b"" and not client.was_reset
        for word in (b"hello", b"SSH", b"y" * 80, b"Sec-WebSocket"):
            assert word not in client.received.replace(b"/bad", b"")
        outcome = oracles.records(client, "upstream_invalid", later=True)
        assert outcome["http_response"]["code"] == 502
        conn = marks.conns()[0]
        wait_for(lambda: conn.eof or conn.reset or conn.closed, 5, "the upstream side is ended")
        assert len(marks.seen()) == 1 and len(marks.conns()) == 1
        oracles.alive()
    del origin.programme["/bad"]


def test_bytes_behind_an_answer_are_no_answer(site):
    """S-21: what the origin says unasked behind a complete answer never answers the next request."""
    def and_more(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
                      b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
    origin = site.origins[0].on("/more", and_more)
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/more")
    assert read_answer(client, seconds=SECONDS).body == b"one"
    get(client, f"http://allowed.test:{site.port}/next")
    answer = read_answer(client, seconds=SECONDS)
    assert answer is None or answer.body == b"GET /next 0", repr(answer)
    assert b"unasked" not in client.received
    del origin.programme["/more"]


@pytest.mark.parametrize("method, head", [
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"), ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n"), ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("POST", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")])
def test_a_body_where_none_may_be(site, method, head):
    """S-21: an answer has no body, and bytes behind it look like the answer to the next request: that one goes over a
    connection of its own."""
    def and_more(exchange):
        exchange.read_body()
        exchange.send(head + b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
    origin = site.origins[0].on("/more", and_more)
    marks = Marks(site)
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/more", method=method)
    answer = read_answer(client, method, SECONDS)
    assert answer.status in (200, 204, 304) and not answer.body, repr(answer)
    get(client, f"http://allowed.test:{site.port}/next")
    answer = read_answer(client, seconds=SECONDS)
    assert answer is not None and answer.body == b"GET /next 0", repr(answer)
    assert b"unasked" not in client.received and len(marks.conns()) == 2
    del origin.programme["/more"]


def test_nothing_is_answered_unasked(site):
    """An origin that speaks as soon as it is dialled is not heard before it was asked."""
    def eager(conn):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\neager")
        conn.drain()
    second = site.origins[1]
    usual, second.behaviour = second.behaviour, eager
    try:
        client = site.client()
        body = b"x" * 10
        get(client, f"http://e.wild.test:{site.port}/e", method="POST", body=body)
        answer = read_answer(client, seconds=SECONDS)
        assert answer is None or answer.status in (200, 502), repr(answer)
        rest = client.read_to_end(SECONDS) if answer is not None and answer.get("connection") == "close" else b""
        assert b"eager" not in rest
    finally:
        second.behaviour = usual


def test_denied_while_the_body_arrives(site):
    """S-36: the whole 403 is readable, then the end, though 200 kB are under way."""
    with site.oracles() as oracles:
        client = site.client()
        client.send(site.fill(b"POST http://denied.test:<port>/ HTTP/1.1\r\nHost: denied.test\r\n"
                              b"Content-Length: 200000\r\n\r\n") + b"x" * 200000)
        answer = read_answer(client, seconds=SECONDS)
        assert (answer.status, answer.reason, answer.complete) == (403, "host_not_allowed", True)
        assert client.read_to_end(SECONDS) == b"" and not client.was_reset
        oracles.no_dns()
        oracles.no_connection()
        oracles.records(client, "host_not_allowed")


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.skipif(
    not os.environ.get("SALLYPORT_LONG"), reason="long: set SALLYPORT_LONG"))])
def test_chunks_of_one_byte(site, count):
    """S-32: memory and time stay small, and the body is whole."""
    before = resident(site.proxy.pid)
    client = site.client(timeout=60)
    client.send(fill(site, b"POST http://<host>/ones HTTP/1.1\r\nHost: <host>\r\nTransfer-Encoding: chunked\r\n\r\n")
                + b"1\r\nx\r\n" * count + b"0\r\n\r\n")
    answer = read_answer(client, seconds=60)
    assert answer.body == f"POST /ones {count}".encode()
    assert resident(site.proxy.pid) - before < 8 << 20


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_that_is_forwarded_is_wrong(site):
    """After the table: the origins noted no malformed head, and no field that belongs to one hop."""
    client = site.client()
    get(client, f"http://allowed.test:{site.port}/last")
    assert read_answer(client, seconds=SECONDS).status == 200
    for origin in site.origins:
        assert not origin.bad, origin.bad[:10]
        assert origin.answer is ok


def test_descriptors_return(site):
    """U5 after the whole table."""
    site.proxy.clients.clear()
    base = site.proxy.descriptors()
    for _ in range(20):
        with site.client() as one:
            get(one, f"http://denied.test:{site.port}/")
            assert read_answer(one, seconds=SECONDS).status == 403
        with site.client() as two:
            get(two, f"http://allowed.test:{site.port}/")
            assert read_answer(two, seconds=SECONDS).status == 200
    with site.oracles() as oracles:
        oracles.baseline(base + 2)
