# SPDX-License-Identifier: Apache-2.0
"""Thousands of connections, questions or requests of one environment, and another one that must not notice."""
import contextlib
import resource
import select
import socket
import threading
import time

import pytest

from lab import Lab, wait_for
from lab.dns import A, AAAA
from lab.gateway import Gateway
from lab.hello import Hello
from lab.origin import after_hello, echo
from lab.proxy import INSTRUMENTED
from lab.web import WebOrigin
from sites import LIMITS

DESCRIPTORS = 20000
EAGER = {**LIMITS, "unfinished_per_second": 1000000, "unfinished_burst": 10000000}


@pytest.fixture
def lab(binary):
    """One for each story, with room for its sockets; no schema is held against thousands of records."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors a process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    one = Lab(binary=binary)
    try:
        yield one
    finally:
        one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def two(lab, hostile, calm):
    """env-a and env-b on one worker, each with a listener of its own."""
    return Gateway(lab, [hostile, calm], [{"listen": "127.0.0.1:0", "environment": name} for name in ("env-a", "env-b")],
                   {"workers": 1})


def served(gateway, name, port, within=10.0 if INSTRUMENTED else 2.0):
    """The other environment's own traffic goes on, and soon."""
    begin = time.monotonic()
    with gateway.at(1) as client:
        client.connect(name, port).expect(status=200, seconds=within).hello(sni=name).send(b"2").expect(data=b"2")
    gateway.clients.remove(client)
    assert time.monotonic() - begin < within


def control_takes(gateway):
    """The best of a few fresh refusals: another program may have had the core."""
    took = []
    while not took or (min(took) > 0.1 and len(took) < 10):
        begin = time.monotonic()
        with gateway.at(1) as client:
            client.connect("control.denied.test", 443).expect(status=403, seconds=5)
        gateway.clients.remove(client)
        took.append(time.monotonic() - begin)
    return min(took)


@contextlib.contextmanager
def crowd(endpoint, heads):
    """One socket for each head, which it has said."""
    sockets = []
    try:
        for head in heads:
            sockets.append(socket.create_connection(endpoint, 10))
            sockets[-1].sendall(head)
        yield sockets
    finally:
        for s in sockets:
            s.close()


def readable(sockets):
    """select() knows no descriptor above 1,023."""
    poll, by_number = select.poll(), {s.fileno(): s for s in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(0)]


def reached(gateway, limit):
    return gateway.status()["limits_reached"][limit]


def test_lookups_that_hang(lab):
    """D-19: a worker has room for so many lookups; one environment gets its share of it, whatever its own limits allow, and
    the other one's names are asked for as before."""
    count, share = 4600, 2048
    origin = lab.origin(after_hello(echo))
    lab.dns.set("*.hang.test", silent={A, AAAA})
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["*.hang.test"], limits={**EAGER, "resolve_timeout": "30s"}),
                  lab.policy(name="env-b", hosts=[origin.at("*.b.test")], limits=EAGER))
    heads = (f"CONNECT n{i % 40}.hang.test:443 HTTP/1.1\r\nHost: n{i % 40}.hang.test\r\n\r\n".encode()
             for i in range(count))
    with crowd(gateway.endpoints[0], heads) as sockets:
        wait_for(lambda: len(readable(sockets)) >= count - share, 30, lambda: f"{len(readable(sockets))} answers")
        for i in range(5):  # names that were not asked for before
            served(gateway, f"n{i}.b.test", origin.port)
        told = readable(sockets)
        assert len(told) == count - share and reached(gateway, "share") == count - share
        assert all(s.recv(4096).startswith(b"HTTP/1.1 503 ") for s in told)
        assert gateway.alive()


def test_slow_heads(lab):
    """R-01: a byte now and then on thousands of connections: each ends at its deadline, which no byte moves."""
    count, deadline = 600 if INSTRUMENTED else 3000, 3.0
    origin = lab.origin(after_hello(echo))
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["a.test"], limits={**EAGER, "head_timeout": "3s"}),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")], limits=EAGER))
    begin = time.monotonic()
    with crowd(gateway.endpoints[0], [b"CONNECT a.test:443 HTTP/1.1\r\nX: "] * count) as sockets:
        open_until = time.monotonic()
        while time.monotonic() < begin + deadline - 0.5:
            for s in sockets[::7]:
                with contextlib.suppress(OSError):  # where it took long to connect them, the first ones are over
                    s.send(b"x")
            served(gateway, "b.test", origin.port)
        wait_for(lambda: len(readable(sockets)) == count, 15, lambda: f"{len(readable(sockets))} answers")
        assert time.monotonic() - open_until < deadline + (15 if INSTRUMENTED else 4)
        assert all(s.recv(4096).startswith(b"HTTP/1.1 408 ") for s in sockets)
        assert reached(gateway, "head_timeout") == count
        served(gateway, "b.test", origin.port)
    wait_for(lambda: gateway.status()["memory"] < 1 << 20, 10, lambda: f"memory is given back: {gateway.status()['memory']}")
    wait_for(lambda: sum(r.get("count") or 1 for r in gateway.audit.attempts(reason="head_timeout")) == count, 10,
             "one record each")


def test_a_hundred_thousand_requests_in_one_buffer(lab):
    """R-12: as many as their rate allows are judged one by one, then comes 429 and the end; nobody else waits for them."""
    origin, web, burst = lab.origin(after_hello(echo)), lab.add(WebOrigin(lab.address())), 200
    gateway = two(lab, lab.policy(name="env-a", hosts=[web.at("a.test")], ports={"http": [web.port]},
                                  limits={"attempts_per_second": 1, "attempts_burst": burst}),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")], limits=EAGER))
    head = f"GET http://a.test:{web.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()

    def pour(s):
        with contextlib.suppress(OSError):
            s.sendall(head * 100000)
    slowest, got = 0.0, bytearray()
    with crowd(gateway.endpoints[0], [b""]) as (s,), contextlib.suppress(ConnectionResetError):
        s.settimeout(20)
        threading.Thread(target=pour, args=(s,), daemon=True).start()
        while data := s.recv(1 << 20):
            got += data
            slowest = max(slowest, control_takes(gateway))
            served(gateway, "b.test", origin.port)
    answered, refused = got.count(b"HTTP/1.1 200 "), got.count(b"HTTP/1.1 429 ")
    assert burst < answered < burst + 60 and refused == 1, (answered, refused)
    assert 0 < slowest < 0.1, f"a control request took {slowest:.3f} s"
    wait_for(lambda: len(gateway.audit.attempts(environment="env-a", verdict="allow")) == answered, 10, "one record each")
    assert len(web.seen) == answered and not web.bad
    assert sum(r["count"] for r in gateway.audit.attempts(reason="rate_exceeded")) == 1


def test_one_byte_at_a_time(lab):
    """R-12: segments of one byte, both ways, as fast as they go, on several tunnels: others are served between them."""
    origin = lab.origin(after_hello(echo))
    gateway = two(lab, lab.policy(name="env-a", hosts=[origin.at("a.test")], limits=EAGER),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")], limits=EAGER))
    stop, moved = threading.Event(), [0] * 3

    def drip(i):
        with socket.create_connection(gateway.endpoints[0], 10) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(f"CONNECT a.test:{origin.port} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
            s.sendall(Hello(sni="a.test").raw)
            while not stop.is_set():
                s.sendall(b"x")
                moved[i] += len(s.recv(4096))
    threads = [threading.Thread(target=drip, args=(i,), daemon=True) for i in range(len(moved))]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: min(moved) > 100, 10, "all of them run")
        for _ in range(10):
            assert control_takes(gateway) < 0.1
            served(gateway, "b.test", origin.port)
        wait_for(lambda: min(moved) > 500, 10, lambda: f"bytes {moved}")
    finally:
        stop.set()
        for t in threads:
            t.join(10)


def test_pages_without_end(lab):
    """O-09, R-12: what this program answers itself has no rate of attempts and leaves no record; too much of it makes its own
    listener rest, and no other."""
    origin = lab.origin(after_hello(echo))
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["a.test"],
                                  limits={"unfinished_per_second": 20, "unfinished_burst": 10}),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")], limits=EAGER))
    stop, seen = threading.Event(), []

    def ask(path):
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(gateway.endpoints[0], 10) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                seen.append(int(s.recv(4096).split()[1]))
    threads = [threading.Thread(target=ask, args=(path,), daemon=True) for path in ("/", "/why", "/none")]
    begin = time.monotonic()
    for t in threads:
        t.start()
    try:
        wait_for(lambda: reached(gateway, "unfinished_per_second") > 5, 10, "the listener rests")
        for _ in range(10):
            served(gateway, "b.test", origin.port)
        assert set(seen) == {200, 404}
    finally:
        stop.set()
        for t in threads:
            t.join(10)
    most = 10 + 1 + 3 + 25 * (time.monotonic() - begin)
    assert len(seen) <= most, f"{len(seen)} pages, at most {most:.0f}"
    assert not gateway.audit.attempts(environment="env-a")


def test_nobody_floods(lab):
    """L-15: a client that belongs nowhere is refused at the rate of the environment `-`, not once more for each try."""
    gateway = Gateway(lab, [(lab.policy(name="env-a", allowed_hosts=["a.test"]), {"sources": ["127.99.0.0/16"]})],
                      [{"listen": "127.0.0.1:0", "by": "source"}], {"workers": 1})
    head = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"
    count, seen, begin = 3000, [], time.monotonic()
    for _ in range(count // 500):
        with crowd(gateway.endpoints[0], [head] * 500) as sockets:
            wait_for(lambda: len(readable(sockets)) == 500, 15, lambda: f"{len(readable(sockets))} answers")
            seen += [int(s.recv(4096).split()[1]) for s in sockets]
    most = 2001 + 50 * (time.monotonic() - begin)
    assert set(seen) == {403, 429} and 2000 <= seen.count(403) <= most, {s: seen.count(s) for s in set(seen)}
    wait_for(lambda: sum(r.get("count") or 1 for r in gateway.audit.attempts(environment="-")) == count, 10,
             "each is counted")
    assert len(gateway.audit.attempts(environment="-")) <= most + 60  # and one a second for the rest
    assert gateway.stop() == 0 and gateway.audit.verifies()
