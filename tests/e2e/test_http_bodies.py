# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests, who breaks them off, and the limits of plain HTTP."""
import threading

import pytest

from lab import wait_for
from lab.proxy import wait_descriptors
from lab.webclient import get, read_answer, read_head
from lab.webworld import pairs, start, url, web


@pytest.fixture
def plain(lab):
    origin = web(lab)
    return origin, start(lab, origin)


# ---- bodies of requests ----

def test_continue(plain):
    """The client waits, the origin says 100, the body follows."""
    origin, proxy = plain

    def careful(exchange):
        assert exchange.request.get("expect") == "100-continue"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.read_body()
        exchange.reply(body=bytes(exchange.request.body))
    origin.on("/e", careful)
    client = proxy.client()
    get(client, url(origin, "/e"), "Expect: 100-continue", "Content-Length: 5", method="POST")
    interim = read_head(client)
    assert interim.status == 100 and interim.get("content-length") is None
    client.send(b"hello")
    assert read_answer(client).body == b"hello"
    get(client, url(origin, "/next"))
    assert read_answer(client).body == b"GET /next 0"


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 No", "200 OK"])
def test_final_answer_instead_of_100(plain, status):
    """The origin decides without the body: the answer arrives, and nothing is out of step afterwards."""
    origin, proxy = plain

    def no(exchange):
        exchange.reply(status, body=b"no", headers=[("Connection", "close")])
        exchange.close()
        exchange._body_done = True
    origin.on("/e", no)
    client = proxy.client()
    get(client, url(origin, "/e"), "Expect: 100-continue", "Content-Length: 50", method="POST")
    answer = read_answer(client)
    assert answer.status == int(status[:3]) and answer.body == b"no" and answer.complete
    inner = b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"
    client.send(inner)
    rest = client.read_to_end()
    assert rest == b"", f"the body was taken for a request: {rest!r}"
    pairs(proxy, 1, **client.who)


def test_early_answer_while_the_body_is_under_way(plain):
    """413 before the body is over: it reaches the client, and the connection ends."""
    origin, proxy = plain

    def enough(exchange):
        next(exchange.pieces())
        exchange.reply("413 Too Much", body=b"enough", headers=[("Connection", "close")])
        exchange.close()
    origin.on("/big", enough)
    client = proxy.client()
    get(client, url(origin, "/big"), "Content-Length: 1000000", method="POST")
    client.send(b"x" * 10000)
    answer = read_answer(client)
    assert answer.status == 413 and answer.body == b"enough"
    assert client.read_to_end() == b""
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["http_response"]["code"] == 413
    assert len(origin.seen) == 0


@pytest.mark.parametrize("framing", ["Content-Length: 0", "Transfer-Encoding: chunked"])
def test_empty_bodies(plain, framing):
    """A body of no byte is whole with its head: the answer is awaited, and the connection is kept."""
    origin, proxy = plain
    end = b"0\r\n\r\n" if "chunked" in framing else b""
    client = proxy.client()
    for i in range(3):
        get(client, url(origin, f"/{i}"), framing, method="POST")
        client.send(end)
        answer = read_answer(client)
        assert answer is not None and answer.body == b"POST /%d 0" % i, f"request {i}"
        assert answer.get("connection") is None
    get(client, url(origin, "/last"), framing, method="POST")
    client.send(end).half_close()
    assert read_answer(client).body == b"POST /last 0"
    assert [r.framing for r in origin.seen] == ["chunked" if end else "length"] * 4


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_that_the_client_breaks_off(plain, how, framing):
    """The origin never takes the half for the whole."""
    origin, proxy = plain
    client = proxy.client()
    if framing == "length":
        get(client, url(origin, "/up"), "Content-Length: 100", method="POST")
        client.send(b"half")
    else:
        get(client, url(origin, "/up"), "Transfer-Encoding: chunked", method="POST")
        client.send(b"4\r\nhalf\r\n")
    wait_for(lambda: origin.started and origin.conn().received > len(origin.started[0].head) + 4, 5, "half of the body")
    client.reset() if how == "reset" else client.half_close()
    conn = origin.conn()
    wait_for(lambda: conn.eof or conn.reset, what="the origin learns of it")
    assert not origin.seen and len(origin.started) == 1
    if how == "close":
        answer = client.read_to_end()
        assert not answer.startswith(b"HTTP/1.1 200")
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["status_code"] in ("client_reset", "malformed_request", "ambiguous_framing"), outcome["status_code"]


def test_client_that_leaves_before_the_answer(plain):
    """The origin learns of it, and an outcome says so."""
    origin, proxy = plain
    base = proxy.descriptors()
    gone = threading.Event()

    def silent(exchange):
        exchange.read_body()
        exchange.conn.drain()
        gone.set()
        exchange.close()
    origin.on("/silent", silent)
    client = proxy.client()
    get(client, url(origin, "/silent"))
    origin.wait_seen(1)
    client.reset()
    assert gone.wait(5), "the origin learns of it"
    assert proxy.audit.outcome(**client.who)["status_code"] == "client_reset"
    wait_descriptors(proxy, base + 2)


def test_half_close_after_the_request(plain):
    """A client that has said all it will say still gets its answer."""
    origin, proxy = plain
    asked = threading.Event()

    def slow(exchange):
        exchange.read_body()
        asked.wait(10)
        exchange.reply(body=b"late")
    origin.on("/slow", slow)
    client = proxy.client()
    get(client, url(origin, "/slow"))
    client.half_close()
    origin.wait_seen(1)
    asked.set()
    assert read_answer(client).body == b"late" and client.read_to_end() == b""
    pairs(proxy, 1, **client.who)


# ---- limits ----

def limited(lab, **limits):
    origin = web(lab)
    return origin, start(lab, origin, limits=limits)


def test_idle_origin(lab):
    """No byte either way for `idle`: cut, with its reason."""
    origin, proxy = limited(lab, idle="1s")

    def silent(exchange):
        exchange.read_body()
        exchange.conn.drain()
        exchange.close()
    origin.on("/silent", silent)
    client = proxy.client()
    get(client, url(origin, "/silent"))
    assert not client.read_to_end(8).startswith(b"HTTP/1.1 200")
    assert proxy.audit.outcome(**client.who)["status_code"] == "idle_timeout"


def test_wait_between_requests(lab):
    """A kept connection ends by itself, and that is no attempt."""
    origin, proxy = limited(lab, wait_timeout="1s")
    client = proxy.client()
    get(client, url(origin, "/1"))
    assert read_answer(client).status == 200
    assert client.read_to_end(8) == b"" and not client.was_reset
    pairs(proxy, 1)
    conn = origin.conn()
    wait_for(lambda: conn.eof or conn.closed, what="the upstream side is closed too")


def test_slow_second_head(lab):
    """R-01: the deadline of a head counts from its own first byte, on a kept connection too."""
    origin, proxy = limited(lab, head_timeout="1s")
    client = proxy.client()
    get(client, url(origin, "/1"))
    assert read_answer(client).status == 200
    client.send(f"GET {url(origin, '/2')} HTTP/1.1\r\nHost:".encode())
    answer = read_answer(client)
    assert (answer.status, answer.reason) == (408, "head_timeout")
    assert client.read_to_end() == b"" and [r.path for r in origin.started] == ["/1"]
    wait_for(lambda: len(proxy.audit.attempts(**client.who)) == 2, 5, proxy.audit.report)
    assert len(proxy.audit.outcomes(**client.who)) == 1


def test_ceiling_up(lab):
    """413, and the origin never has a byte more than the ceiling."""
    origin, proxy = limited(lab, bytes_up="4KiB")
    client = proxy.client()
    get(client, url(origin, "/up"), method="POST", body=b"x" * 10000)
    answer = read_answer(client)
    assert (answer.status, answer.reason, answer.json["retry"]) == (413, "bytes_ceiling", False)
    assert proxy.audit.outcome(**client.who)["status_code"] == "bytes_ceiling"
    assert origin.conn().received <= 4096 and not origin.seen


def test_ceiling_down(lab):
    """The answer is cut at the byte and does not look whole."""
    origin, proxy = limited(lab, bytes_down="4KiB")
    origin.on("/down", lambda e: e.reply(body=b"x" * 10000))
    client = proxy.client()
    get(client, url(origin, "/down"))
    answer = read_answer(client)
    assert answer.status == 200 and not answer.complete and len(client.received) <= 4096
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["status_code"] == "bytes_ceiling" and outcome["traffic"]["bytes_in"] == len(client.received) == 4096


def test_rate(lab):
    """Each request of a kept connection is an attempt and counts as one."""
    origin, proxy = limited(lab, attempts_per_second=1, attempts_burst=5)
    client = proxy.client()
    answers = []
    for i in range(8):
        get(client, url(origin, f"/{i}"))
        answer = read_answer(client)
        answers.append(answer.status)
        if answer.status != 200:
            assert answer.reason == "rate_exceeded" and answer.json["retry"] is True
            break
    assert answers == [200] * (len(answers) - 1) + [429] and 5 <= len(answers) - 1 <= 7
    assert len(origin.seen) == len(answers) - 1
