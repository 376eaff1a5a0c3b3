# SPDX-License-Identifier: Apache-2.0
"""Deadlines and budgets: each ends with its own reason, not before its time, and not long after it."""
import select
import time

import pytest

from lab import wait_for
from lab.dns import A, AAAA
from lab.origin import after_hello, echo, hold
from lab.wait import never

SLACK = 3.0  # of a loaded machine


class Watch:
    def __enter__(self):
        self.start = time.monotonic()
        return self

    def __exit__(self, *exc):
        self.seconds = time.monotonic() - self.start

    def was(self, least):
        assert least * 0.9 <= self.seconds <= least + SLACK, f"{self.seconds:.2f} s, expected about {least} s"


def test_idle(lab):
    """From the last byte in either direction."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"idle": "1s"})
    client = proxy.tunnel("a.test", origin.port)
    with Watch() as watch:
        for _ in range(3):
            client.send(b"x").expect(data=b"x")
            never(lambda: not client.still_open(), 0.5, "ended although bytes moved")
        last = time.monotonic()
        client.read_to_end()
    assert watch.seconds > 1.5 and time.monotonic() - last < 1 + SLACK
    outcome = proxy.audit.outcome(host="a.test", reason="idle_timeout")
    assert outcome["severity_id"] == 1 and outcome["activity_id"] == 2


def test_lifetime(lab):
    """Progress does not extend it."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"lifetime": "1s"})
    client = proxy.tunnel("a.test", origin.port)
    with Watch() as watch:
        while client.still_open() and time.monotonic() - watch.start < 4:
            client.send(b"x")
            select.select([client.sock], [], [], 0.02)
            if client.still_open():
                continue
            try:
                if not client.sock.recv(4096):
                    break
            except ConnectionError:
                break
    watch.was(0.95)
    proxy.audit.outcome(host="a.test", reason="lifetime_reached")


@pytest.mark.parametrize("first", [b"C", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n"])
def test_head_timeout(lab, first):
    """From the first byte of a head; slow bytes do not extend it."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"head_timeout": "400ms"})
    client = proxy.client()
    with Watch() as watch:
        client.send(first)
        while client.still_open() and time.monotonic() - watch.start < 3:
            client.send(b"x")
            select.select([client.sock], [], [], 0.1)
        client.expect(status=408, reason="head_timeout", closed=True)
    watch.was(0.4)
    assert proxy.audit.attempt(**client.who, reason="head_timeout", verdict="deny")


def test_silent_connection_is_no_attempt(lab):
    """Closed after wait_timeout, counted, not recorded."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"wait_timeout": "1s"}, unix=True)
    client = proxy.client(unix=True)
    with Watch() as watch:
        client.expect(closed=True)
    watch.was(1)
    proxy.connect("denied.test", 443).expect(status=403)
    assert len(proxy.audit.flows()) == 1


def test_hello_timeout(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"hello_timeout": "400ms"})
    client = proxy.connect("a.test", origin.port).expect(status=200)
    with Watch() as watch:
        client.expect(closed=True)
    watch.was(0.4)
    assert proxy.audit.outcome(host="a.test", stage="hello", verdict="deny", reason="hello_timeout", up=0)
    assert origin.received == 0


def test_resolve_timeout(lab):
    lab.dns.set("a.test", silent={A, AAAA})
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"resolve_timeout": "400ms"})
    with Watch() as watch:
        client = proxy.connect("a.test", 443).expect(status=504, reason="dns_timeout", closed=True)
    watch.was(0.4)
    assert client.reply.json["retry"] is True
    assert proxy.audit.outcome(host="a.test", reason="dns_timeout", stage="resolve")["unmapped"]["dns_sent"] >= 2


def test_one_silent_family_does_not_stop_the_other(lab):
    """The second family is awaited for 50 ms after the first, not for its whole deadline."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("a.test", origin.address, silent={AAAA})
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"resolve_timeout": "5s"})
    with Watch() as watch:
        proxy.connect("a.test", origin.port).expect(status=200)
    assert watch.seconds < 2


def test_dial_timeout(lab):
    full = lab.full_origin()
    proxy = lab.proxy(hosts=[full.at("a.test")], limits={"dial_timeout": "400ms"})
    with Watch() as watch:
        client = proxy.connect("a.test", full.port).expect(status=504, reason="connect_timeout", closed=True)
    watch.was(0.4)
    outcome = proxy.audit.outcome(**client.who, reason="connect_timeout", stage="dial")
    assert outcome["activity_id"] == 4 and outcome["unmapped"]["dials"] == 1


def test_client_that_leaves_during_the_dial(lab):
    """The attempt ends with its outcome, at the latest when the dial does, and nothing stays behind."""
    full = lab.full_origin()
    proxy = lab.proxy(hosts=[full.at("a.test")], limits={"dial_timeout": "1s"})
    base = proxy.descriptors()
    client = proxy.connect("a.test", full.port)
    wait_for(lambda: proxy.audit.attempts(host="a.test"), what="the attempt")
    client.reset()
    assert proxy.audit.outcome(host="a.test")["activity_id"] in (3, 4)
    wait_for(lambda: proxy.descriptors() <= base + 2, what="descriptors")


def test_bytes_up_is_cut_at_the_byte(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"bytes_up": "64KiB"})
    client = proxy.tunnel("a.test", origin.port)
    client.send(b"x" * 200000)
    client.read_to_end()
    outcome = proxy.audit.outcome(host="a.test", reason="bytes_ceiling")
    assert outcome["traffic"]["bytes_out"] == 65536
    assert wait_for(lambda: origin.conn().received >= 65536) and origin.conn().received == 65536


def test_bytes_down_is_cut_at_the_byte(lab):
    def flood(conn):
        while conn.send(b"y" * 65536):
            pass
    origin = lab.origin(after_hello(flood))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"bytes_down": "64KiB"})
    client = proxy.tunnel("a.test", origin.port)
    assert len(client.read_to_end()) == 65536
    assert proxy.audit.outcome(host="a.test", reason="bytes_ceiling")["traffic"]["bytes_in"] == 65536


def test_tunnels_limit_is_exact(lab):
    """N pass, N+1 does not, and one that ended makes room."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"tunnels": 3})
    held = [proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x") for _ in range(3)]
    refused = proxy.connect("a.test", origin.port).expect(status=503, reason="limit_reached", closed=True)
    assert refused.reply.json["retry"] is True
    proxy.audit.outcome(**refused.who, reason="limit_reached")
    held[0].close()
    wait_for(lambda: proxy.audit.outcomes(**held[0].who), what="the end of the first")
    proxy.connect("a.test", origin.port).expect(status=200)


def test_rate_is_one_record_a_second(lab):
    """Above the burst: 429, aggregated; nothing was asked for those."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"attempts_per_second": 1, "attempts_burst": 20})
    clients = [proxy.connect(f"d{i}.test", 443) for i in range(60)]
    seen = [c.read_reply() for c in clients]
    refused = [r for r in seen if r.status == 429]
    assert 35 <= len(refused) <= 40 and {r.status for r in seen} == {403, 429}
    assert all(r.reason == "rate_exceeded" and r.json["retry"] is True for r in refused if r.body)
    wait_for(lambda: sum(r.get("count") or 1 for r in proxy.audit.attempts(reason="rate_exceeded")) == len(refused), 5,
             lambda: "the counts add up to the refusals\n" + proxy.audit.report())
    records = proxy.audit.attempts(reason="rate_exceeded")
    assert len(records) <= 4 and all("start_time" in r and "end_time" in r for r in records)
    assert not lab.dns.asked()


def test_head_limits_are_those_of_the_policy(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"head_bytes": "4KiB", "target_bytes": "1KiB", "header_lines": 5})
    long = [("X", "y" * 4100)]
    proxy.connect("a.test", 443, headers=long).expect(status=431, reason="head_too_large")
    proxy.connect("a.test", 443, headers=[("X", "y")] * 6).expect(status=431, reason="head_too_large")
    proxy.connect("a" * 1100, 443).expect(status=414, reason="target_too_long")


def test_stalled_client_does_not_stop_the_others(lab):
    """A client that reads nothing while its origin floods; neighbours are served."""
    def flood(conn):
        while conn.send(b"x" * 65536):
            pass
    origin = lab.origin(after_hello(flood))
    other = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), other.at("b.test")])
    for _ in range(5):
        proxy.client(rcvbuf=4096).connect("a.test", origin.port).expect(status=200).hello(sni="a.test")
    with Watch() as watch:
        for _ in range(10):
            proxy.tunnel("b.test", other.port).send(b"x").expect(data=b"x")
    assert watch.seconds < 5


def test_origin_that_never_reads_is_backpressure(lab):
    """What the client sends stops when the buffers are full; the process does not grow without bound."""
    import threading
    gate = threading.Event()
    origin = lab.origin(after_hello(hold(gate)))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.tunnel("a.test", origin.port)
    client.sock.setblocking(False)
    sent = 0
    while select.select([], [client.sock], [], 0.5)[1] and sent < 64 << 20:
        sent += client.sock.send(b"z" * 65536)
    resident = int(next(line.split()[1] for line in open(f"/proc/{proxy.pid}/status") if line.startswith("VmRSS")))
    assert sent < 64 << 20, "64 MiB were taken although nobody reads them"
    assert resident < 200 << 10, f"{resident} KiB resident"
    gate.set()
    conn = origin.conn()
    wait_for(lambda: conn.received >= sent, 10, lambda: f"{sent} bytes, have {conn.received}")
