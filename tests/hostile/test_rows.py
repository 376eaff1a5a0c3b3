# SPDX-License-Identifier: Apache-2.0
"""Hostile cases that are a story and not a row: two environments, a second hello, a proxy inside the tunnel, floods, fields
that want to be longer than a record, uploads that drip."""
import concurrent.futures
import json
import threading
import time

import ocsf
import pytest

from lab import Lab, wait_for
from lab.dns import A, AAAA
from lab.gateway import Gateway
from lab.hello import Hello, ext
from lab.origin import after_hello, echo, hold
from lab.webclient import get, read_answer
from sites import LIMITS

RECORD_MAX = 8192
PRE_SHARED_KEY, SESSION_TICKET = 41, 35


@pytest.fixture
def lab(binary):
    """One for each story."""
    one = Lab(binary=binary, checker=ocsf.problems)
    yield one
    one.close()


def two(lab, a, b, **options):
    """env-a and env-b, each with a listener of its own."""
    return Gateway(lab, [(a, {}), (b, {})],
                   [{"listen": "127.0.0.1:0", "environment": name} for name in ("env-a", "env-b")], **options)


def served(gateway, port, within=2.0):
    """The other environment's own traffic goes on, and soon."""
    begin = time.monotonic()
    with gateway.at(1).connect("b.test", port) as client:
        client.expect(status=200).hello(sni="b.test").send(b"2").expect(data=b"2")
    assert time.monotonic() - begin < within


# ---- DNS ----

def test_lookups_that_hang_are_the_own_environments_trouble(lab):
    """D-19, D-03: a resolver that answers nothing, and more names than a minute may have."""
    origin, most, over = lab.origin(after_hello(echo)), 300, 60
    for i in range(most + over):
        lab.dns.set(f"n{i}.hang.test", silent={A, AAAA})
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["*.hang.test"],
                                  limits={"distinct_names_per_minute": most, "resolve_timeout": "3s"}),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")]))
    clients = [gateway.at(0).connect(f"n{i}.hang.test", 443) for i in range(most + over)]
    served(gateway, origin.port)
    seen = [c.read_reply(15).status for c in clients]
    assert (seen.count(504), seen.count(503)) == (most, over), {s: seen.count(s) for s in set(seen)}
    served(gateway, origin.port)
    for c in clients:
        c.close()
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_an_answer_is_shared_and_its_verdict_is_not(lab, public):
    """D-24: env-a may reach the private address of a name, env-b asks for the same name and may not."""
    trap = lab.origin(address="0.0.0.0")
    lab.dns.set("shared.test", "10.20.0.5", ttl=600)
    ports = {"connect": [trap.port]}
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["shared.test"], ports=ports,
                                  egress={"private_networks": ["10.20.0.0/16"]}),
                  lab.policy(name="env-b", allowed_hosts=["shared.test"], ports=ports))
    for _ in range(3):
        gateway.at(0).connect("shared.test", trap.port).expect(status=200)
        gateway.at(1).connect("shared.test", trap.port).expect(status=403, reason="address_forbidden")
    wait_for(lambda: trap.connections == 3, what="three connections, all of env-a")
    assert {c.local[0] for c in trap.conns} == {"10.20.0.5"}
    assert gateway.stop() == 0 and gateway.audit.verifies()


# ---- TLS ----

def test_a_second_hello_is_not_seen(lab):
    """T-30: after a HelloRetryRequest the client names another host: a limit that docs/threats.md states. What holds is
    that the bytes still go to the host that was judged, and nowhere else."""
    first, second = Hello(sni="a.test").raw, Hello(sni="denied.test").raw

    def retry(conn):
        conn.send(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
        conn.drain()

    origin = lab.origin(after_hello(retry))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=LIMITS)
    client = proxy.connect("a.test", origin.port).expect(status=200).send(first)
    client.read_exactly(9)
    client.send(second)
    origin.conn().wait_received(len(first) + len(second))
    assert bytes(origin.conn().data) == first + second and origin.connections == 1
    assert not lab.dns.asked("denied.test")
    client.close()
    assert proxy.audit.outcome(**client.who)["tls"]["sni"] == "a.test"


def test_a_ticket_of_another_host_is_not_seen(lab):
    """T-32: resumption is the origin's to refuse; a limit that docs/threats.md states."""
    ticket = ext(SESSION_TICKET, b"a ticket of denied.test" * 8)
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=LIMITS)
    raw = Hello(sni="a.test", extensions=[ticket]).raw
    client = proxy.connect("a.test", origin.port).expect(status=200).send(raw)
    origin.conn().wait_received(len(raw))
    assert bytes(origin.conn().data) == raw
    client.close()
    proxy.audit.outcome(**client.who, verdict="allow")


# ---- relays and fronts ----

def test_a_proxy_inside_the_tunnel(lab):
    """F-07: an allowed host that is itself an open proxy: its CONNECT in plain text does not begin with TLS."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=LIMITS)
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.send(b"CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n").expect(closed=True)
    proxy.audit.outcome(**client.who, verdict="deny", reason="not_tls", up=0)
    assert origin.received == 0


def test_words_of_another_proxy_open_nothing(lab):
    """F-10: approved already, says the client."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits=LIMITS)
    for fields in ([("Via", "1.1 sallyport"), ("Forwarded", "for=1.2.3.4;host=a.test")],
                   [("X-Sallyport-Verdict", "allow"), ("Proxy-Status", "sallyport; received-status=200")]):
        proxy.connect("denied.test", 443, headers=fields).expect(status=403, reason="host_not_allowed")
        client = proxy.client().request("http://denied.test/", host="denied.test", method="GET", headers=fields)
        client.expect(status=403)
    assert not lab.dns.asked()


def test_another_transport_is_only_advertised(lab):
    """F-09: Alt-Svc names a port for QUIC: the field reaches the client, and nobody else acts upon it."""
    def answer(conn):
        while b"\r\n\r\n" not in conn.data:
            if not conn.recv():
                return
        conn.send(b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nContent-Length: 2\r\n\r\nok')
        conn.drain()

    origin = lab.origin(answer)
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=LIMITS, ports={"http": [origin.port]})
    client = get(proxy.client(), f"http://a.test:{origin.port}/")
    assert read_answer(client).body == b"ok"
    with open(f"/proc/{proxy.pid}/net/udp") as table:
        peers = {line.split()[2] for line in table.readlines()[1:]}
    ports = {int(p.rpartition(":")[2], 16) for p in peers}
    assert 443 not in ports
    assert origin.connections == 1


# ---- records ----

def test_no_field_is_longer_than_its_record(lab):
    """L-04: a user agent of a megabyte, a host of 64 kB, ten thousand fields, a path that fills the head."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits=LIMITS)
    proxy.connect("a.test", 443, headers=[("User-Agent", "u" * 1000000)]).expect(status=431)
    proxy.connect("a" * 65000, 443).expect(status=414)
    proxy.connect("a.test", 443, headers=[(f"X-{i}", "v") for i in range(10000)]).expect(status=431)
    proxy.client().request("http://denied.test/" + "\"\\p" * 2000, host="denied.test", method="GET").expect(status=403)
    proxy.connect("w" * 63 + ".wild.test", 443).expect(status=403)
    wait_for(lambda: len(proxy.audit.attempts()) == 5, 5, proxy.audit.report)
    assert all(len(json.dumps(r)) <= RECORD_MAX for r in proxy.audit.records())
    assert proxy.stop() == 0 and proxy.audit.verifies()


def ways_to_fail(lab, proxy, origin, gone, full):
    """(what a client does, the reason of the attempt that it leaves, that of the outcome if there is one)"""
    def says(data, end=None):
        def run():
            client = proxy.client().send(data)
            client.half_close() if end == "fin" else client.reset() if end == "reset" else None
            return client
        return run

    def asks(host, port):
        return lambda: proxy.connect(host, port)

    def greets(data, end=None):
        def run():
            client = proxy.connect("a.test", origin.port).expect(status=200).send(data)
            client.half_close() if end == "fin" else client.reset() if end == "reset" else None
            return client
        return run
    good, head = Hello(sni="a.test").raw, b"CONNECT a.test:443 HTTP/1.1\r\nHost: a"
    return [
        (says(b"\x16\x03\x01"), "malformed_request", None), (says(head, "fin"), "malformed_request", None),
        (says(head, "reset"), "client_reset", None), (says(head), "head_timeout", None),
        (says(b"CONNECT a..test:443 HTTP/1.1\r\nHost: a..test\r\n\r\n"), "malformed_target", None),
        (says(b"TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"), "method_not_allowed", None),
        (asks("denied.test", 443), "host_not_allowed", None), (asks("a.test", 22), "port_not_allowed", None),
        (asks("11.22.33.44", 443), "literal_not_allowed", None),
        (asks("none.test", 443), "allowed", "dns_failed"), (asks("mute.test", 443), "allowed", "dns_timeout"),
        (asks("inner.test", 443), "allowed", "address_forbidden"), (asks("gone.test", gone), "allowed", "connect_failed"),
        (asks("full.test", full), "allowed", "connect_timeout"),
        (greets(Hello(sni="b.test").raw), "allowed", "sni_mismatch"), (greets(Hello().raw), "allowed", "sni_absent"),
        (greets(Hello(sni="a.test", ech=True).raw), "allowed", "ech_refused"),
        (greets(Hello(sni="a.test", trailing=b"\0").raw), "allowed", "hello_malformed"),
        (greets(Hello(sni="a.test", pad_to=20000).raw), "allowed", "hello_too_big"),
        (greets(b"SSH-2.0-x\r\n"), "allowed", "not_tls"), (greets(good[:60]), "allowed", "hello_timeout"),
        (greets(good[:60], "reset"), "allowed", "client_reset"), (greets(good[:60], "fin"), "allowed", "hello_malformed"),
        (greets(b"", "fin"), "allowed", "allowed"), (greets(good + b"reset"), "allowed", "upstream_reset"),
    ]


def test_every_way_to_fail_leaves_its_records(lab):
    """L-07: one attempt each, and an outcome where the target was allowed, with the reason of that way; a connection that
    said nothing leaves none."""
    def reset_when_told(conn):
        while b"reset" not in conn.data:
            if not conn.recv():
                return
        conn.abort()

    origin, gone, full = lab.origin(after_hello(reset_when_told)), lab.origin(), lab.full_origin()
    gone.close()
    lab.dns.set("mute.test", silent={A, AAAA})
    lab.dns.set("inner.test", "10.0.0.1")
    proxy = lab.proxy(allowed_hosts=["none.test", "mute.test", "inner.test"],
                      hosts=[origin.at("a.test"), gone.at("gone.test"), full.at("full.test")],
                      limits={**LIMITS, "head_timeout": "600ms", "hello_timeout": "600ms", "resolve_timeout": "600ms",
                              "dial_timeout": "600ms"})
    for end in ("close", "reset"):
        getattr(proxy.client(), end)()
    ways = ways_to_fail(lab, proxy, origin, gone.port, full.port)
    for act, attempt, outcome in ways:
        client = act()
        record = proxy.audit.attempt(**client.who)
        assert (record["status_code"], record["action_id"]) == (attempt, 1 if attempt == "allowed" else 2)
        if outcome is not None:
            assert proxy.audit.outcome(**client.who)["status_code"] == outcome
        client.close()
    wait_for(lambda: proxy.status()["descriptors"] == 0, 5, "all of them are gone")
    assert len(proxy.audit.attempts()) == len(ways)
    assert len(proxy.audit.outcomes()) == sum(outcome is not None for _, _, outcome in ways)
    assert proxy.status()["counters"]["ended_without_head"] <= 2  # the kernel need not show one that only came and went
    assert proxy.stop() == 0 and proxy.audit.verifies()


def test_a_flood_is_one_record_a_second_and_its_own(lab):
    """L-15: thousands of refusals from one environment; the other is served as before."""
    origin, stop, told = lab.origin(after_hello(echo)), threading.Event(), []
    gateway = two(lab, lab.policy(name="env-a", allowed_hosts=["a.test"],
                                  limits={"attempts_per_second": 10, "attempts_burst": 20}),
                  lab.policy(name="env-b", hosts=[origin.at("b.test")]))

    def flood(_):
        while not stop.is_set():
            try:
                with gateway.at(0).connect("denied.test", 443) as client:
                    told.append(client.read_reply().status)
            except (AssertionError, OSError):
                told.append(None)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(flood, i) for i in range(8)]
        for _ in range(5):
            served(gateway, origin.port)
        wait_for(lambda: told.count(429) >= 8, 10, lambda: f"429s, have {told[-20:]}")
        stop.set()
        for one in running:
            one.result(30)
    assert set(told) <= {403, 429}, told
    wait_for(lambda: sum(r.get("count") or 1 for r in gateway.audit.attempts(reason="rate_exceeded")) >= told.count(429),
             5, gateway.audit.report)
    assert len(gateway.audit.attempts(reason="rate_exceeded")) <= 12
    assert gateway.stop() == 0 and gateway.audit.verifies()


# ---- ends that never come ----

def test_half_closed_and_then_silence(lab):
    """R-05: one side has ended, the other says nothing for ever: both are closed when the tunnel was idle too long."""
    def ends_at_once(conn):
        conn.sock.shutdown(1)
        conn.drain()

    mute, ended = lab.origin(after_hello(hold(threading.Event()))), lab.origin(after_hello(ends_at_once))
    proxy = lab.proxy(hosts=[mute.at("a.test"), ended.at("b.test")], limits={"idle": "1s"})
    base = proxy.descriptors()
    first = proxy.tunnel("a.test", mute.port).half_close()
    second = proxy.tunnel("b.test", ended.port)
    for client in (first, second):
        client.read_to_end()
        proxy.audit.outcome(**client.who, reason="idle_timeout")
        client.close()
    wait_for(lambda: proxy.descriptors() <= base + 2, 8, lambda: f"{base} descriptors, have {proxy.descriptors()}")


# ---- what leaves through an allowed host ----

def test_a_drip_is_counted_to_the_byte(lab):
    """E-01, E-04: a byte now and then, over a tunnel that lives as long as it may: the record has host and bytes."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"lifetime": "2s"})
    client, sent = proxy.tunnel("a.test", origin.port), 0
    while client.still_open() and sent < 8:
        client.send(b"d").expect(data=b"d")
        sent += 1
        time.sleep(0.05)
    client.read_to_end()
    outcome = proxy.audit.outcome(**client.who, reason="lifetime_reached")
    hello = len(Hello(sni="a.test").raw)
    assert outcome["traffic"]["bytes_out"] == hello + sent and outcome["traffic"]["bytes_in"] == sent
    assert outcome["dst_endpoint"]["hostname"] == "a.test"
