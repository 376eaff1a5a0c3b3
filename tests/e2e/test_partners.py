# SPDX-License-Identifier: Apache-2.0
"""What those at either end can do wrong over real sockets: reset at each step, vanish without a word, read nothing."""
import select
import socket
import threading

import pytest

from lab import wait_for
from lab.origin import abort_now, after_hello, echo, hold
from lab.proxy import wait_descriptors
from lab.webclient import get, read_answer

TCP_REPAIR = 19  # a socket that is closed under repair tells nobody


def vanish(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # what is not acknowledged comes again, and is reset
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.close()


def say_and_reset(text):
    def run(conn):
        conn.send(text)
        conn.abort()
    return run


def read_and_reset(count):
    def run(conn):
        while conn.received < count:
            conn.recv(count - conn.received)
        conn.abort()
    return run


def half_close_and_reset(conn):
    conn.sock.shutdown(socket.SHUT_WR)
    conn.recv()
    conn.abort()


def reset_at_the_end(conn):
    conn.drain()
    conn.send(b"late")
    conn.abort()


def served(lab, proxy, origin):
    """Somebody else, afterwards."""
    origin.behaviour = after_hello(echo)
    proxy.tunnel("a.test", origin.port).send(b"next").expect(data=b"next").close()


# ---- resets ----

STEPS = {
    "as it accepts": abort_now,
    "within the hello": read_and_reset(20),
    "behind the hello": after_hello(abort_now),
    "within an answer": after_hello(say_and_reset(b"half an ans")),
    "behind its own end": after_hello(half_close_and_reset),
    "behind the client's end": after_hello(reset_at_the_end),
}


@pytest.mark.parametrize("step", STEPS)
def test_the_origin_resets_at_each_step(lab, step):
    origin = lab.origin(STEPS[step])
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    base = proxy.descriptors()
    client = proxy.tunnel("a.test", origin.port)
    if "end" in step:
        client.send(b"question")
    if step == "behind the client's end":
        client.half_close()
    got = client.read_to_end(5)
    assert b"half an ans".startswith(got) or b"late".startswith(got), got
    outcome = proxy.audit.outcome(host="a.test", reason="upstream_reset")
    assert outcome["unmapped"]["dials"] == 1 and outcome["traffic"]["bytes_in"] >= len(got)
    client.close()
    served(lab, proxy, origin)
    wait_descriptors(proxy, base + 4)  # pipes that are kept
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def behind_head(then):
    def run(conn):
        while b"\r\n\r\n" not in conn.data:
            if not conn.recv():
                return
        then(conn)
    return run


ANSWERS = {
    "as it accepts": (abort_now, 502),
    "behind the request": (behind_head(abort_now), 502),
    "within its head": (behind_head(say_and_reset(b"HTTP/1.1 200 OK\r\nContent-Le")), 502),
    "within a body of a length": (behind_head(say_and_reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")), 200),
    "within a chunk": (behind_head(say_and_reset(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")), 200),
    "behind a chunk": (behind_head(say_and_reset(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")), 200),
    "in place of an end": (behind_head(say_and_reset(b"HTTP/1.1 200 OK\r\n\r\nhalf")), 200),
}


@pytest.mark.parametrize("step", ANSWERS)
def test_the_origin_of_a_request_resets_at_each_step(lab, step):
    """Never an answer that looks whole: 502 while nothing of it was passed on, a cut one afterwards."""
    behaviour, status = ANSWERS[step]
    origin = lab.origin(behaviour)
    proxy = lab.proxy(hosts=[origin.at("a.test")], ports={"connect": [origin.port], "http": [origin.port]})
    client = proxy.client()
    get(client, f"http://a.test:{origin.port}/")
    answer = read_answer(client, seconds=5)
    # The reset may overtake what was said before it.
    assert answer.status in (502, status), repr(answer)
    assert answer.complete == (answer.status == 502) and b"half".startswith(answer.body) == (answer.status == 200)
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["status_code"] in ("upstream_reset", "upstream_invalid"), outcome["status_code"]
    served(lab, proxy, origin)
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


# ---- half open ----

@pytest.mark.parametrize("then", ["silence", "a byte"])
@pytest.mark.parametrize("who", ["origin", "client"])
def test_half_open(lab, who, then):
    """One end is gone and nobody was told. Silence ends it when it was idle for too long, a byte at once."""
    go = threading.Event()

    def one_word(conn):
        conn.send(conn.recv())
        if who == "origin":
            vanish(conn.sock)
        elif then == "a byte" and go.wait(10):
            conn.send(b"are you there?")
            conn.drain()
        else:
            conn.drain()
    origin = lab.origin(after_hello(one_word))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"idle": "1s" if then == "silence" else "60s"})
    base = proxy.descriptors()
    client = proxy.tunnel("a.test", origin.port).send(b"word").expect(data=b"word")
    if who == "client":
        vanish(client.sock)
        go.set()
    elif then == "a byte":
        wait_for(lambda: origin.conns[0].sock.fileno() < 0, what="the origin is gone")
        client.send(b"are you there?")
    reason = "idle_timeout" if then == "silence" else "upstream_reset" if who == "origin" else "client_reset"
    outcome = proxy.audit.outcome(host="a.test", reason=reason)
    assert outcome["traffic"]["bytes_in"] >= 4
    if who == "origin":
        client.read_to_end(5)
    else:
        conn = origin.conn()
        wait_for(lambda: conn.eof or conn.reset, what="the origin learns of it")
    client.close()
    wait_descriptors(proxy, base + 4)
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


# ---- zero windows ----

@pytest.mark.parametrize("who", ["origin", "client"])
def test_who_reads_nothing_is_let_go(lab, who):
    """What is sent is held up to the buffers, no more is taken, others are served, and the standstill ends it."""
    gate = threading.Event()

    def flood(conn):
        while conn.send(b"x" * 65536):
            pass
    origin = lab.origin(after_hello(hold(gate) if who == "origin" else flood))
    other = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), other.at("b.test")], limits={"idle": "1s"})
    client, sent = proxy.client(rcvbuf=4096).connect("a.test", origin.port).expect(status=200), 0
    client.hello(sni="a.test").sock.setblocking(False)
    while who == "origin" and select.select([], [client.sock], [], 0.3)[1]:
        sent += client.sock.send(b"z" * 65536)
        assert sent < 64 << 20, "64 MiB were taken although nobody reads them"
    proxy.tunnel("b.test", other.port).send(b"y").expect(data=b"y").close()
    outcome = proxy.audit.outcome(host="a.test", reason="idle_timeout", seconds=8)
    if who == "origin":
        assert 0 < outcome["traffic"]["bytes_out"] <= sent + 4096
    else:
        assert 0 < outcome["traffic"]["bytes_in"] <= origin.conn().sent + 65536
        conn = origin.conn()
        wait_for(lambda: conn.reset, what="the origin is told")
    gate.set()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
