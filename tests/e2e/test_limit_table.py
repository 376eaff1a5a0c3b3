# SPDX-License-Identifier: Apache-2.0
"""Every row of the limits table at N and at N + 1: N passes, one more is refused with the row's reason, and counted.

The rows come from the table itself: one without a case here fails. SALLYPORT_FIGURES names a directory where a line for
each row is left for the page of the run (tests/page)."""
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from lab import wait_for
from lab.dns import A, AAAA
from lab.gateway import Gateway
from lab.hello import Hello
from lab.origin import after_hello, echo
from lab.proxy import unprivileged
from test_sessions import Sessions

TABLE = pathlib.Path(__file__).resolve().parents[2] / "include/policy/limits_tbl.h"
ROWS = re.findall(r"^X\((\w+), *(\w+), *(\w+), *(\d+), *(\d+), *(\d+), *(\w+),", TABLE.read_text(), re.M)
CASES = {}


def case(key):
    def keep(function):
        CASES[key] = function
        return function
    return keep


def reached(proxy, key):
    out = subprocess.run([proxy.binary, "status", "--admin", f"unix:{proxy.folder}/admin/a.sock"], capture_output=True,
                         text=True, timeout=20, **unprivileged())
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)["limits_reached"][key]


def counted(proxy, key, least=1):
    wait_for(lambda: reached(proxy, key) >= least, 5, lambda: f"{key} is counted, have {reached(proxy, key)}")


def status_of(client):
    reply = client.read_reply()
    return reply.status, reply.reason if reply.status != 200 else None


def timed(client, at_least, **expected):
    """What comes, and that it came no sooner than the limit."""
    begin = time.monotonic()
    client.expect(closed=True, **expected)
    assert time.monotonic() - begin >= at_least * 0.85


@pytest.mark.parametrize("key", [row[0] for row in ROWS])
def test_row(lab, key):
    assert key in CASES, f"{key} has no case: what happens at N and at N + 1?"
    said = CASES[key](lab)
    folder = os.environ.get("SALLYPORT_FIGURES")
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        with open(pathlib.Path(folder) / "limits.jsonl", "a") as out:
            out.write(json.dumps({"limit": key, "at_n": said[0], "at_n_plus_1": said[1]}) + "\n")


def test_no_case_is_left_over():
    assert set(CASES) == {row[0] for row in ROWS}


# ---- deadlines: a little before it all is well, after it the end ----

@case("wait_timeout")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"wait_timeout": "1s"})
    in_time = proxy.client()
    time.sleep(0.5)  # the limit is a time: half of it passes
    assert status_of(in_time.connect("denied.test", 443)) == (403, "host_not_allowed")
    timed(proxy.client(), 1)
    counted(proxy, "wait_timeout")
    return "0.5 s of silence, then a head: answered", "1 s of silence: closed, counted, no attempt"


@case("head_timeout")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"head_timeout": "600ms"})
    slow = proxy.client().send(b"CONNECT denied.test:443 HTTP/1.1\r\n")
    time.sleep(0.3)
    assert status_of(slow.send(b"Host: denied.test:443\r\n\r\n")) == (403, "host_not_allowed")
    timed(proxy.client().send(b"C"), 0.6, status=408, reason="head_timeout")
    counted(proxy, "head_timeout")
    return "a head within the time: judged", "408 head_timeout"


@case("hello_timeout")
def _(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"hello_timeout": "600ms"})
    raw = Hello(sni="a.test").raw
    good = proxy.connect("a.test", origin.port).expect(status=200).send(raw[:40])
    time.sleep(0.3)
    good.send(raw[40:])
    origin.conn().wait_received(len(raw))
    late = proxy.connect("a.test", origin.port).expect(status=200).send(raw[:40])
    timed(late, 0.6)
    proxy.audit.outcome(**late.who, reason="hello_timeout")
    counted(proxy, "hello_timeout")
    return "a hello within the time: relayed", "closed, hello_timeout"


@case("resolve_timeout")
def _(lab):
    lab.dns.set("slow.test", "11.22.33.44", delay={A: 0.2, AAAA: 0.2})
    lab.dns.set("mute.test", silent={A, AAAA})
    proxy = lab.proxy(allowed_hosts=["slow.test", "mute.test"], limits={"resolve_timeout": "900ms",
                                                                          "dial_timeout": "50ms"})
    assert status_of(proxy.connect("slow.test", 443))[1] != "dns_timeout"
    timed(proxy.connect("mute.test", 443), 0.9, status=504, reason="dns_timeout")
    counted(proxy, "resolve_timeout")
    return "an answer within the time: used", "504 dns_timeout"


@case("dial_timeout")
def _(lab):
    full, origin = lab.full_origin(), lab.origin()
    proxy = lab.proxy(hosts=[full.at("full.test"), origin.at("a.test")], limits={"dial_timeout": "500ms"})
    proxy.connect("a.test", origin.port).expect(status=200)
    timed(proxy.connect("full.test", full.port), 0.5, status=504, reason="connect_timeout")
    counted(proxy, "dial_timeout")
    return "a connection within the time: 200", "504 connect_timeout"


@case("idle")
def _(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"idle": "1s"})
    client = proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    time.sleep(0.6)
    client.send(b"y").expect(data=b"y")
    timed(client, 1)
    proxy.audit.outcome(host="a.test", reason="idle_timeout")
    counted(proxy, "idle")
    return "a byte within the time: open", "closed, idle_timeout"


@case("lifetime")
def _(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"lifetime": "1s"})
    client = proxy.tunnel("a.test", origin.port)
    time.sleep(0.4)
    client.send(b"y").expect(data=b"y")
    client.read_to_end()
    proxy.audit.outcome(host="a.test", reason="lifetime_reached")
    counted(proxy, "lifetime")
    return "younger: open", "closed, lifetime_reached"


# ---- sizes ----

def head_of(size, lines=0):
    start = b"CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n"
    start += b"".join(b"A%d: b\r\n" % i for i in range(lines))
    if not size:
        return start + b"\r\n"
    pad = size - len(start) - len(b"X: \r\n\r\n")
    return start + b"X: " + b"y" * pad + b"\r\n\r\n"


@case("head_bytes")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"head_bytes": "2KiB"})
    assert len(head_of(2048)) == 2048
    assert status_of(proxy.client().send(head_of(2048))) == (403, "host_not_allowed")
    assert status_of(proxy.client().send(head_of(2049))) == (431, "head_too_large")
    counted(proxy, "head_bytes")
    return "a head of 2,048 bytes: judged", "2,049 bytes: 431 head_too_large"


@case("header_lines")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"header_lines": 7})
    assert status_of(proxy.client().send(head_of(0, 6))) == (403, "host_not_allowed")  # and Host
    assert status_of(proxy.client().send(head_of(0, 7))) == (431, "head_too_large")
    counted(proxy, "header_lines")
    return "7 lines: judged", "8 lines: 431 head_too_large"


@case("target_bytes")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"target_bytes": "128B"})
    for size, answer in ((128, (403, "host_not_allowed")), (129, (414, "target_too_long"))):
        target = "http://denied.test/" + "p" * (size - 19)
        assert len(target) == size
        assert status_of(proxy.client().request(target, host="denied.test", method="GET")) == answer
    counted(proxy, "target_bytes")
    return "a target of 128 bytes: judged", "129 bytes: 414 target_too_long"


def hello_of(message_bytes):
    return Hello(sni="a.test", pad_to=message_bytes)


def two_hellos(lab, key, good, bad):
    """The first is relayed as it is, the second is refused and no byte of it reaches the origin."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={key: "1KiB"})
    proxy.connect("a.test", origin.port).expect(status=200).send(good)
    origin.conn().wait_received(len(good))
    client = proxy.connect("a.test", origin.port).expect(status=200).send(bad).expect(alert="record_overflow")
    proxy.audit.outcome(**client.who, reason="hello_too_big")
    assert origin.received == len(good)
    counted(proxy, key)


@case("hello_message_bytes")
def _(lab):
    good, bad = hello_of(1024), hello_of(1025)
    assert len(good.message) == 1024 and len(bad.message) == 1025
    two_hellos(lab, "hello_message_bytes", good.raw, bad.raw)
    return "a message of 1,024 bytes: relayed", "1,025 bytes: alert record_overflow, hello_too_big"


@case("hello_raw_bytes")
def _(lab):
    message = hello_of(960).message

    def records(extra):
        """The message in two records and as many more of one byte as make the raw size 1,024 plus `extra`."""
        count = (1024 + extra - len(message)) // 5
        pieces = [message[i:i + 1] for i in range(count - 1)] + [message[count - 1:]]
        return b"".join(b"\x16\x03\x01" + len(p).to_bytes(2, "big") + p for p in pieces)

    good, bad = records(0), records(5)
    assert len(good) <= 1024 < len(bad) <= 1029
    two_hellos(lab, "hello_raw_bytes", good, bad)
    return f"{len(good):,} bytes of records: relayed", f"{len(bad):,} bytes: alert record_overflow, hello_too_big"


# ---- counts ----

@case("tunnels")
def _(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"tunnels": 3})
    held = [proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x") for _ in range(3)]
    refused = proxy.connect("a.test", origin.port).expect(status=503, reason="limit_reached", closed=True)
    assert refused.reply.headers["retry-after"] == "1"
    counted(proxy, "tunnels")
    held[0].close()
    wait_for(lambda: proxy.audit.outcomes(**held[0].who), what="the end of the first")
    proxy.connect("a.test", origin.port).expect(status=200)
    return "3 tunnels: open", "the 4th: 503 limit_reached, Retry-After"


@case("distinct_names_per_minute")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["*.wild.test"], limits={"distinct_names_per_minute": 3})
    for name in ("a", "b", "c", "a", "b"):
        assert status_of(proxy.connect(f"{name}.wild.test", 443)) == (502, "dns_failed")
    refused = proxy.connect("d.wild.test", 443).expect(status=503, reason="limit_reached")
    assert refused.reply.headers["retry-after"] == "1"
    assert not lab.dns.asked("d.wild.test")
    counted(proxy, "distinct_names_per_minute")
    return "3 names, asked twice: resolved", "the 4th: 503 limit_reached, no query"


@case("attempts_burst")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"attempts_per_second": 1, "attempts_burst": 4})
    begin = time.monotonic()
    seen = [status_of(proxy.connect("denied.test", 443)) for _ in range(5)]
    assert seen == [(403, "host_not_allowed")] * 5
    client = proxy.connect("denied.test", 443)
    reply = client.read_reply()
    if time.monotonic() - begin < 1.9:  # held for a second before it is told
        assert reply.status == 429 and reply.headers["retry-after"] == "1"
    counted(proxy, "attempts_burst", 0 if reply.status == 403 else 1)
    return "the burst and one: judged", "one more at once: 429 rate_exceeded, Retry-After"


@case("attempts_per_second")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"attempts_per_second": 5, "attempts_burst": 1})
    clients = [proxy.connect("denied.test", 443) for _ in range(30)]
    seen = [c.read_reply().status for c in clients]
    assert 2 <= seen.count(403) <= 29 and seen.count(429) == 30 - seen.count(403)
    counted(proxy, "attempts_per_second", seen.count(429))
    time.sleep(1.0)  # five have become due, and the burst is one
    assert status_of(proxy.connect("denied.test", 443)) == (403, "host_not_allowed")
    return "at the rate: judged", "above it: 429 rate_exceeded, one record a second"


@case("denials_per_minute")
def _(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"denials_per_minute": 3})

    def denied():
        assert status_of(proxy.connect("denied.test", 443)) == (403, "host_not_allowed")

    in_one_minute(lambda: [denied() for _ in range(3)])
    assert not proxy.audit.events("limit_warning") and reached(proxy, "denials_per_minute") == 0
    denied()
    warning = proxy.audit.event("limit_warning")
    assert warning["unmapped"]["limit"] == "denials_per_minute" and warning["unmapped"]["value"] == 4
    counted(proxy, "denials_per_minute")
    proxy.connect("a.test", origin.port).expect(status=200)  # an alert alone stops nobody
    return "3 refusals a minute: nothing", "the 4th: an entry limit_warning"


def in_one_minute(run):
    """The counter's minutes are the monotonic clock's: not across the border of one."""
    left = 60 - time.monotonic() % 60
    if left < 8:
        time.sleep(left + 0.1)
    run()


@case("quarantine")
def _(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"denials_per_minute": 2, "quarantine": "2s"})
    in_one_minute(lambda: [proxy.connect("denied.test", 443).expect(status=403) for _ in range(2)])
    proxy.connect("a.test", origin.port).expect(status=200)
    proxy.connect("denied.test", 443).expect(status=403)
    begin = time.monotonic()
    refused = proxy.connect("a.test", origin.port).expect(status=429, reason="rate_exceeded", closed=True)
    assert refused.reply.headers["retry-after"] in ("1", "2") and refused.reply.json["retry"] is True
    proxy.audit.attempt(**refused.who, verdict="deny", reason="rate_exceeded")
    assert proxy.audit.event("limit_warning")["unmapped"]["quarantine_ms"] == 2000
    counted(proxy, "quarantine")
    wait_for(lambda: status_of(proxy.connect("a.test", origin.port)) == (200, None), 6, what="the end of the quarantine")
    assert time.monotonic() - begin > 1.5
    return "as many refusals as allowed: open", "one more: everything 429 until it ends, Retry-After"


@case("share")
def _(lab):
    """Two environments, a process of few descriptors: one holds its share of them in silence, the other is served."""
    a, b = lab.origin(after_hello(echo)), lab.origin(after_hello(echo))
    gateway = Gateway(lab, [(lab.policy(name="env-a", hosts=[a.at("a.test")], limits={"share": "10%"}), {}),
                            (lab.policy(name="env-b", hosts=[b.at("b.test")]), {})],
                      [{"listen": "127.0.0.1:0", "environment": n} for n in ("env-a", "env-b")],
                      wrapper=["prlimit", "--nofile=2000:2000"])
    status = json.loads(subprocess.run([gateway.binary, "status", "--admin", f"unix:{gateway.folder}/admin/a.sock"],
                                       capture_output=True, timeout=20, **unprivileged()).stdout)
    share = status["descriptors_max"] * 10 // 100
    silent = [gateway.at(0) for _ in range(share)]
    wait_for(lambda: accepted(gateway) >= share, what="the silent ones")
    assert all(c.still_open() for c in silent)
    over = gateway.at(0).expect(status=503, closed=True)
    assert over.reply.headers["retry-after"] == "1"
    counted(gateway, "share")
    gateway.open_tunnel(1, "b.test", b.port).send(b"2").expect(data=b"2")
    silent[0].close()
    wait_for(lambda: asks(gateway, 0) == 403, what="room for one")
    return f"{share} silent connections of {status['descriptors_max']}: open", "one more: 503, the other environment served"


def asks(gateway, index):
    with gateway.at(index).connect("denied.test", 443) as client:
        return client.read_reply().status


def accepted(gateway):
    out = subprocess.run([gateway.binary, "status", "--admin", f"unix:{gateway.folder}/admin/a.sock"],
                         capture_output=True, timeout=20, **unprivileged())
    return json.loads(out.stdout)["counters"]["accepted"]


def half_head(client):
    return client.send(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.t")


@case("memory")
def _(lab):
    """Of an environment, and of the process: another environment is served while one holds all that it may."""
    b = lab.origin(after_hello(echo))
    gateway = Gateway(lab, [(lab.policy(name="env-a", allowed_hosts=["a.test"], limits={"memory": "64KiB"}), {}),
                            (lab.policy(name="env-b", hosts=[b.at("b.test")]), {})],
                      [{"listen": "127.0.0.1:0", "environment": n} for n in ("env-a", "env-b")],
                      keys={"memory": "1MiB"})

    def held():
        status = json.loads(subprocess.run(
            [gateway.binary, "status", "--admin", f"unix:{gateway.folder}/admin/a.sock"], capture_output=True,
            timeout=20, **unprivileged()).stdout)
        assert status["memory_max"] == 1 << 20
        return status["memory"]

    half_head(gateway.at(0))
    each = wait_for(lambda: held() > 4096 and held(), what="the first head is read")
    n = (64 << 10) // each
    for i in range(1, n):
        half_head(gateway.at(0))
        wait_for(lambda i=i: held() == (i + 1) * each, what="the next one")
    over = half_head(gateway.at(0)).expect(status=503, reason="limit_reached", closed=True)
    assert over.reply.headers["retry-after"] == "1"
    counted(gateway, "memory")
    gateway.open_tunnel(1, "b.test", b.port).send(b"2").expect(data=b"2")
    return f"{n} half-read heads in 64 KiB: held", "one more: 503 limit_reached, Retry-After; the other environment served"


def test_memory_that_nobody_set(lab):
    """Half of what the machine or a control group has."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    out = subprocess.run([proxy.binary, "status", "--admin", f"unix:{proxy.folder}/admin/a.sock"], capture_output=True,
                         timeout=20, **unprivileged())
    status = json.loads(out.stdout)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    assert 16 << 20 <= status["memory_max"] <= max(half, 16 << 20) and status["memory"] == 0


def nothing(proxy, count):
    """Connections that end in the middle of their head, each of which is over before the next one."""
    for _ in range(count):
        with proxy.client() as client:
            half_head(client)
            client.half_close()
            client.read_to_end()


@case("unfinished_burst")
def _(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], args=["--workers", "1"],
                      limits={"unfinished_per_second": 1, "unfinished_burst": 4})
    nothing(proxy, 4)
    assert status_of(proxy.connect("denied.test", 443)) == (403, "host_not_allowed")
    assert reached(proxy, "unfinished_burst") == 0
    nothing(proxy, 2)
    begin = time.monotonic()
    seen = [status_of(proxy.connect("denied.test", 443)) for _ in range(4)]
    assert seen == [(403, "host_not_allowed")] * 4  # later, but answered
    assert time.monotonic() - begin > 0.1
    counted(proxy, "unfinished_burst")
    return "the burst: accepted at once", "more: the listener rests for 100 ms at a time, who waits is served"


@case("unfinished_per_second")
def _(lab):
    """Above it no more come in than it says, and a client behind them waits for a moment."""
    proxy = lab.proxy(allowed_hosts=["a.test"], args=["--workers", "1"],
                      limits={"unfinished_per_second": 10, "unfinished_burst": 1})
    nothing(proxy, 1)
    begin, before = time.monotonic(), accepted(proxy)
    for _ in range(30):
        with proxy.client() as client:
            half_head(client)
    assert status_of(proxy.connect("denied.test", 443)) == (403, "host_not_allowed")  # behind all of them
    counted(proxy, "unfinished_per_second")
    took = time.monotonic() - begin
    assert accepted(proxy) - before == 31 and took > 0.1, took
    return "at the rate: accepted as they come", "30 at once: no faster than the rate, then the next client is served"


# ---- bytes of a session ----

@case("bytes_up")
def _(lab):
    """Over two tunnels and over plain HTTP of the same session, while another session has its own."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"bytes_up": "64KiB"})
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    sessions = Sessions(proxy)
    mine, other = sessions.open("s-1"), sessions.open("s-2")
    hello = len(Hello(sni="a.test").raw)
    one, two = (sessions.tunnel(mine, "a.test", origin.port) for _ in range(2))
    n = (65536 - 2 * hello) // 2
    one.send(b"x" * n).expect(data=b"x" * n)
    assert [w["unmapped"]["limit"] for w in proxy.audit.events("limit_warning")] == []
    last = 65536 - 2 * hello - n
    two.send(b"y" * last).expect(data=b"y" * last)
    warning = proxy.audit.event("limit_warning")["unmapped"]
    assert warning["limit"] == "bytes_up" and warning["session"] == "s-1" and warning["max"] == 65536
    assert one.still_open() and two.still_open()
    two.send(b"z")
    two.read_to_end()
    total = sum(c.received for c in origin.conns)
    assert total == 65536
    sessions.client(mine).connect("a.test", origin.port).expect(status=413, reason="bytes_ceiling", closed=True)
    sessions.tunnel(other, "a.test", origin.port).send(b"q").expect(data=b"q")
    counted(proxy, "bytes_up")
    one.close()
    assert proxy.stop() == 0 and proxy.audit.verifies()
    return "65,536 bytes over two tunnels of a session: passed, warned at 80 %", "one more: cut at the byte; new ones 413"


@case("bytes_down")
def _(lab):
    def give(conn):
        conn.send(b"y" * int(conn.recv(16)))
        conn.recv(1)
        conn.send(b"one more")
        conn.drain()

    origin = lab.origin(after_hello(give))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"bytes_down": "64KiB"})
    one = proxy.tunnel("a.test", origin.port).send(b"30000")
    one.read_exactly(30000)
    two = proxy.tunnel("a.test", origin.port).send(b"35536")
    two.read_exactly(35536)
    assert one.still_open() and two.still_open()
    one.send(b"+")
    assert one.read_to_end() == b""
    proxy.audit.outcome(**one.who, reason="bytes_ceiling")
    proxy.connect("a.test", origin.port).expect(status=413, reason="bytes_ceiling", closed=True)
    counted(proxy, "bytes_down")
    return "65,536 bytes over two tunnels: passed", "one more: cut at the byte; new ones 413"


def test_bytes_of_plain_http_are_cut_with_413(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], ports={"connect": [origin.port], "http": [origin.port]},
                      limits={"bytes_up": "64KiB"})
    client = proxy.client().request(f"http://a.test:{origin.port}/", host=f"a.test:{origin.port}", method="POST",
                                    headers=[("Content-Length", "200000")])
    client.send(b"b" * 200000).expect(status=413, reason="bytes_ceiling")
    assert client.reply.json["retry"] is False
    wait_for(lambda: origin.received == 65536, 5, lambda: f"65536 bytes, have {origin.received}")
    proxy.audit.outcome(**client.who, reason="bytes_ceiling", up=65536)
    counted(proxy, "bytes_up")
