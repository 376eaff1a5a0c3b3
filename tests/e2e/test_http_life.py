# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP while the policy moves, the program drains, and much is on its way."""
import hashlib
import os
import re
import select
import shutil
import subprocess
import threading

import pytest

from lab import wait_for
from lab.client import Client
from lab.webclient import get, read_answer, read_head
from lab.webworld import ended, pairs, start, url, web


@pytest.fixture
def plain(lab):
    origin = web(lab)
    return origin, start(lab, origin)


# ---- the policy moves ----

def test_next_request_meets_the_new_policy(lab, plain):
    """On a kept connection, with an upstream at rest: judged anew, refused, nothing sent."""
    origin, proxy = plain
    client = proxy.client()
    get(client, url(origin, "/1"))
    assert read_answer(client).status == 200
    proxy.write_policy(lab.policy(allowed_hosts=["other.test"], ports={"connect": [443], "http": [80, origin.port]}))
    proxy.hup()
    proxy.audit.event("policy_loaded", seconds=10)

    def refused():
        with proxy.client() as fresh:
            get(fresh, url(origin, "/fresh"))
            answer = read_answer(fresh)
            return answer is not None and answer.reason == "host_not_allowed"
    wait_for(refused, 10, "the new policy")
    before = len(origin.started)
    get(client, url(origin, "/2"))
    answer = read_answer(client)
    assert answer is None or (answer.status, answer.reason) == (403, "host_not_allowed"), repr(answer)
    assert len(origin.started) == before and all(r.path != "/2" for r in origin.started)


def test_answer_under_way_is_cut_by_the_new_policy(lab, plain):
    """O-01: within its bound, as a short read, and the outcome says why."""
    origin, proxy = plain
    over = threading.Event()

    def endless(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        exchange.conn.drain()
        over.set()
        exchange.close()
    origin.on("/endless", endless)
    client = proxy.client()
    get(client, url(origin, "/endless"))
    head = read_head(client)
    assert client.read_exactly(8) == b"3\r\nabc\r\n" and head.status == 200
    proxy.write_policy(lab.policy(allowed_hosts=["other.test"], ports={"connect": [443], "http": [80, origin.port]}))
    proxy.hup()
    rest = client.read_to_end(10)
    assert b"0\r\n" not in rest and over.wait(5)
    assert proxy.audit.outcome(**client.who)["status_code"] == "revoked"


def test_drain(lab, plain):
    """An answer under way is finished before the program ends; the kept connection is not."""
    origin, proxy = plain
    go = threading.Event()

    def slow(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        go.wait(10)
        exchange.send(b"def")
    origin.on("/slow", slow)
    idle, busy = proxy.client(), proxy.client()
    get(idle, url(origin, "/idle"))
    assert read_answer(idle).status == 200
    get(busy, url(origin, "/slow"))
    head = read_head(busy)
    assert busy.read_exactly(3) == b"abc"
    proxy.term()
    wait_for(proxy.refuses_connections, 5, "no new connection")
    go.set()
    assert busy.read_exactly(3) == b"def" and head.status == 200
    proxy.wait(10)
    pairs(proxy, 2)
    assert proxy.audit.verifies()


# ---- large ----

GIB = 1 << 30
BLOCK = os.urandom(1 << 20)


def start_curl(proxy, *args, **options):
    return subprocess.Popen(["curl", "-sS", "--max-time", "100", "-x", f"http://127.0.0.1:{proxy.endpoint[1]}", *args],
                            stdout=subprocess.PIPE, env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")}, **options)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_upload_of_a_gibibyte_in_chunks(plain):
    """Every byte arrives, in order, in chunks of ours; memory stays flat."""
    origin, proxy = plain
    child = start_curl(proxy, "-T", "-", url(origin, "/up"), stdin=subprocess.PIPE)
    digest = hashlib.sha256()
    for _ in range(GIB // len(BLOCK)):
        child.stdin.write(BLOCK)
        digest.update(BLOCK)
    child.stdin.close()
    said = child.stdout.read()
    child.stdout.close()
    assert child.wait(30) == 0 and said == b"PUT /up %d" % GIB
    seen = origin.seen[0]
    assert seen.framing == "chunked" and seen.body_bytes == GIB and seen.digest.digest() == digest.digest()
    outcome = proxy.audit.outcome(host="a.test", seconds=10)
    assert outcome["traffic"]["bytes_out"] >= GIB and not origin.bad
    assert peak_rss(proxy.pid) < 64 << 20


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_download(plain, framing):
    origin, proxy = plain
    size = GIB // 4

    def pour(exchange):
        exchange.read_body()
        head = {"length": b"Content-Length: %d\r\n" % size, "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
        exchange.send(b"HTTP/1.1 200 OK\r\n" + head[framing] + b"\r\n")
        for _ in range(size // len(BLOCK)):
            exchange.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if framing == "chunked" else BLOCK)
        if framing == "chunked":
            exchange.send(b"0\r\n\r\n")
        if framing == "close":
            exchange.close()
    origin.on("/down", pour)
    child = start_curl(proxy, url(origin, "/down"))
    got, digest = 0, hashlib.sha256()
    while data := child.stdout.read(1 << 20):
        got += len(data)
        digest.update(data)
    child.stdout.close()
    assert child.wait(30) == 0 and got == size
    assert digest.digest() == hashlib.sha256(BLOCK * (size // len(BLOCK))).digest()
    assert proxy.audit.outcome(host="a.test", seconds=10)["traffic"]["bytes_in"] >= size
    assert peak_rss(proxy.pid) < 64 << 20


def peak_rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024


def test_slow_reader_holds_the_origin_back(plain):
    """R-02, R-07: what a client does not read is not taken from the origin either, beyond a bound."""
    origin, proxy = plain
    sent = []

    def flood(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        try:
            for _ in range(GIB // 65536):
                exchange.send(BLOCK[:65536])
                sent.append(65536)
        except Exception:
            exchange.close()
    origin.on("/flood", flood)
    client = proxy.client(rcvbuf=4096)
    get(client, url(origin, "/flood"))
    assert client.read_exactly(15) == b"HTTP/1.1 200 OK"
    stalled = []

    def stands_still():
        stalled.append(len(sent))
        return len(stalled) > 50 and stalled[-1] == stalled[-50]
    wait_for(stands_still, 10, "the origin is held back")
    assert len(sent) * 65536 < 64 << 20 and peak_rss(proxy.pid) < 64 << 20
    with Client(proxy.endpoint) as other:
        get(other, url(origin, "/other"))
        assert read_answer(other, seconds=2).status == 200
    client.reset()
    wait_for(lambda: origin.conn().reset, 5, "the origin learns of the end")


def test_many_clients_at_once(plain):
    """A hundred kept connections with five requests each, none mixed up with another."""
    origin, proxy = plain
    clients = [proxy.client() for _ in range(100)]
    for turn in range(5):
        for i, client in enumerate(clients):
            get(client, url(origin, f"/{i}-{turn}"), method="POST", body=b"%d" % i)
        for i, client in enumerate(clients):
            assert read_answer(client).body == f"POST /{i}-{turn} {len(str(i))}".encode()
    assert origin.connections == 100 and len(origin.seen) == 500 and not origin.bad
    for client in clients:
        client.close()
    pairs(proxy, 500, seconds=15)
    ended(proxy)


def test_slow_origin_holds_the_client_back(plain):
    """R-07 the other way round: an upload that nobody takes is not taken in."""
    origin, proxy = plain
    go = threading.Event()

    def unhurried(exchange):
        go.wait(20)
        exchange.read_body()
        exchange.reply(body=b"%d" % exchange.request.body_bytes)
    origin.on("/slow", unhurried)
    client = proxy.client(timeout=30)
    size, sent, still = 64 << 20, 0, 0
    get(client, url(origin, "/slow"), f"Content-Length: {size}", method="POST")
    client.sock.setblocking(False)
    while sent < size and still < 50:
        try:
            sent += client.sock.send(BLOCK[:min(len(BLOCK), size - sent)])
            still = 0
        except BlockingIOError:
            still += 1
            select.select([], [client.sock], [], 0.01)
    assert sent < size // 2 and peak_rss(proxy.pid) < 64 << 20
    go.set()
    client.sock.setblocking(True)
    while sent < size:
        sent += client.sock.send(BLOCK[:min(len(BLOCK), size - sent)])
    assert read_answer(client).body == b"%d" % size
