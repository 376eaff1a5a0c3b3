# SPDX-License-Identifier: Apache-2.0
"""What origins answer: framings, halves that must not look whole, events, and the websocket."""
import re
import threading
import time

import pytest

from lab.web import raw_answer
from lab.webclient import get, read_answer, read_body, read_head
from lab.webworld import ended, pairs, start, url, web


@pytest.fixture
def plain(lab):
    origin = web(lab)
    return origin, start(lab, origin)


# ---- answers ----

@pytest.mark.parametrize("raw, body, framing", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", "chunked"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\nX-T: 1\r\n\r\n", b"abc", "chunked"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", "length"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", "length"),
    (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc", "close"),
    (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc", "close"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", "length"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b"", "none"),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n", b"", "none"),
    (b"HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno", b"no", "length"),
    (b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nno", b"no", "length"),
    (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", "length"),
    (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 X\r\n\r\n", b"", "none"),
], ids=lambda v: v[:60].decode().replace("\r\n", "|") if isinstance(v, bytes) and v[:4] == b"HTTP" else "")
def test_answer_framings(plain, raw, body, framing):
    """Each is framed anew; trailers and chunk extensions are gone."""
    origin, proxy = plain
    origin.on("/r", raw_answer(raw))
    client = proxy.client()
    get(client, url(origin, "/r"))
    answer = read_answer(client)
    assert answer.complete and answer.body == body and answer.framing == framing, repr(answer)
    assert answer.status == int(re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)", raw)[-1])
    assert len(answer.interim) == len(re.findall(rb"HTTP/1\.1 10\d", raw))
    assert b"X-T" not in client.received and b"a=b" not in client.received
    if framing == "close":
        assert answer.get("connection") == "close"
    _, (outcome,) = pairs(proxy, 1, **client.who)
    assert outcome["http_response"]["code"] == answer.status and outcome["action_id"] == 1


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n"])
def test_head(plain, raw):
    """No body, the length kept, and the next request is not confused by it."""
    origin, proxy = plain
    origin.on("/h", raw_answer(raw, close=False))
    client = proxy.client()
    get(client, url(origin, "/h"), method="HEAD")
    answer = read_answer(client, "HEAD")
    assert answer.get("content-length") == (re.search(rb"Length: (\d+)", raw) or [None, b""])[1].decode() or \
        b"Length" not in raw
    get(client, url(origin, "/next"))
    assert read_answer(client).body == b"GET /next 0"


TRUNCATED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: y\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfXX0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5 \r\nmoreX\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("raw", TRUNCATED, ids=range(len(TRUNCATED)))
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_truncated_answers_do_not_end_well(plain, raw, version):
    """The client must not take the half for the whole: a short read or a reset, never a clean end."""
    origin, proxy = plain
    origin.on("/t", raw_answer(raw))
    client = proxy.client()
    get(client, url(origin, "/t"), version=version)
    answer = read_answer(client)
    assert not answer.complete, f"the half looks whole: {answer!r}, reset {client.was_reset}"
    assert client.eof
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["status_code"] in ("upstream_invalid", "upstream_reset"), outcome["status_code"]
    assert outcome["http_response"]["code"] == 200


@pytest.mark.parametrize("raw", TRUNCATED[:2] + [b"HTTP/1.1 200 OK\r\n\r\nhalf"])
def test_reset_answers_do_not_end_well(plain, raw):
    """The same when the origin resets, a body until the close included."""
    origin, proxy = plain
    half_is_read = threading.Event()

    def half_and_reset(exchange):
        exchange.read_body()
        exchange.send(raw)
        half_is_read.wait(10)
        exchange.conn.abort()
        exchange.close()
    origin.on("/t", half_and_reset)
    client = proxy.client()
    get(client, url(origin, "/t"))
    answer = read_head(client)
    while b"half" not in client.buffer:
        assert client._more(time.monotonic() + 5), "the half came"
    half_is_read.set()
    answer = read_body(client, answer)
    assert not answer.complete, f"the half looks whole: {answer!r}"
    assert proxy.audit.outcome(**client.who)["status_code"] == "upstream_reset"


def test_events_arrive_at_once(plain):
    """Server-sent events: each is with the client before the origin says the next."""
    origin, proxy = plain
    got = [threading.Event() for _ in range(5)]

    def events(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i, event in enumerate(got):
            text = b"data: %d\n\n" % i
            exchange.send(b"%x\r\n%s\r\n" % (len(text), text))
            assert event.wait(10), "the client did not hear this one before the next"
        exchange.send(b"0\r\n\r\n")
    origin.on("/events", events)
    client = proxy.client()
    get(client, url(origin, "/events"), "Accept: text/event-stream")
    answer = read_head(client)
    assert answer.status == 200 and answer.get("content-type") == "text/event-stream"
    for i, event in enumerate(got):
        size = client_line(client)
        assert int(size, 16) == 9 and client.read_exactly(11) == b"data: %d\n\n\r\n" % i
        event.set()
    assert client.read_exactly(5) == b"0\r\n\r\n"
    get(client, url(origin, "/next"))
    assert read_answer(client).body == b"GET /next 0"


def client_line(client):
    line = b""
    while not line.endswith(b"\r\n"):
        line += client.read_exactly(1)
    return line[:-2]


def test_events_until_the_close_arrive_at_once(plain):
    origin, proxy = plain
    heard = threading.Event()

    def events(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        assert heard.wait(10)
        exchange.send(b"second")
        exchange.close()
    origin.on("/events", events)
    client = proxy.client()
    get(client, url(origin, "/events"))
    answer = read_head(client)
    if answer.get("transfer-encoding"):
        client_line(client)
    assert client.read_exactly(5) == b"first"
    heard.set()
    assert b"second" in client.read_to_end() and not client.was_reset


# ---- websocket ----

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASK = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")


def frame(text, mask=b"\1\2\3\4"):
    return b"\x81" + bytes([0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text))


def websocket(exchange):
    """Accepts and echoes frames unmasked, by hand; ends when the client does."""
    exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n" + b"\x81\x02hi")
    conn, data = exchange.conn, exchange.buffer
    exchange.raw_seen = bytearray()
    while True:
        while len(data) >= 6 and len(data) >= 6 + (data[1] & 0x7f):
            size, mask = data[1] & 0x7f, data[2:6]
            text = bytes(c ^ mask[i % 4] for i, c in enumerate(data[6:6 + size]))
            del data[:6 + size]
            exchange.send(b"\x81" + bytes([size]) + text)
        more = conn.recv()
        if not more:
            break
        data += more
    exchange.close()


@pytest.mark.parametrize("early", [b"", frame(b"early")], ids=["", "early frame"])
def test_websocket(plain, early):
    """Bytes flow raw after a real 101, both ways, from the first; the outcome counts them."""
    origin, proxy = plain
    origin.on("/ws", websocket)
    client = proxy.client()
    get(client, url(origin, "/ws"), *ASK)
    client.send(early)
    answer = read_answer(client)
    assert answer.status == 101 and answer.get("upgrade").lower() == "websocket"
    assert answer.get("connection").lower() == "upgrade" and answer.get("sec-websocket-accept") == ACCEPT
    client.expect(data=b"\x81\x02hi")
    if early:
        client.expect(data=b"\x81\x05early")
    for i in range(20):
        client.send(frame(b"frame %02d" % i)).expect(data=b"\x81\x08frame %02d" % i)
    # What looks like a request is not one any more.
    text = b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"
    client.send(frame(text)).expect(data=b"\x81" + bytes([len(text)]) + text)
    seen = origin.started[0]
    assert seen.get("upgrade") == "websocket" and seen.get("connection") == "upgrade"
    assert seen.get("sec-websocket-key") == KEY and not origin.bad
    client.half_close()
    assert client.read_to_end() == b""
    (attempt,), (outcome,) = pairs(proxy, 1, **client.who)
    assert outcome["http_response"]["code"] == 101 and outcome["action_id"] == 1
    assert outcome["traffic"]["bytes_out"] == origin.conn().received
    assert outcome["traffic"]["bytes_in"] == len(client.received)
    ended(proxy)


@pytest.mark.parametrize("count", [10, 1000])
def test_websocket_with_much_behind_both_heads(plain, count):
    """Whatever was sent behind the request, and behind the 101 in the same segment, is passed on whole and in order."""
    origin, proxy = plain
    up, down = frame(b"upward") * count, b"\x81\x04down" * count
    got = bytearray()
    whole = threading.Event()

    def both(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n" + down)
        got.extend(exchange.buffer)
        while len(got) < len(up) and (data := exchange.conn.recv()):
            got.extend(data)
        whole.set()
        exchange.conn.drain()
        exchange.close()
    origin.on("/ws", both)
    client = proxy.client()
    head = f"GET {url(origin, '/ws')} HTTP/1.1\r\nHost: a.test\r\n" + "".join(f + "\r\n" for f in ASK) + "\r\n"
    client.send(head.encode() + up)
    assert read_answer(client).status == 101
    client.expect(data=down)
    assert whole.wait(5) and bytes(got) == up
    client.close()
    _, (outcome,) = pairs(proxy, 1, **client.who)
    assert outcome["traffic"]["bytes_in"] >= len(down)


def test_websocket_that_is_refused(plain):
    """The origin says no: an ordinary answer, and an ordinary next request."""
    origin, proxy = plain
    client = proxy.client()
    get(client, url(origin, "/ws"), *ASK)
    assert read_answer(client).body == b"GET /ws 0"
    get(client, url(origin, "/next"))
    assert read_answer(client).body == b"GET /next 0"


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.0 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"])
def test_a_101_that_is_none(plain, raw):
    """S-26: 502, and not one raw byte."""
    origin, proxy = plain
    origin.on("/ws", raw_answer(raw + b"raw bytes", close=False))
    client = proxy.client()
    get(client, url(origin, "/ws"), *ASK)
    answer = read_answer(client)
    assert (answer.status, answer.reason) == (502, "upstream_invalid")
    assert b"raw bytes" not in client.read_to_end() + answer.body
    proxy.audit.outcome(**client.who, reason="upstream_invalid")
