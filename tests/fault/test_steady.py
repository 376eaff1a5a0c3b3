# SPDX-License-Identifier: Apache-2.0
"""Where everything is warm, a tunnel, a refusal and a plain request allocate nothing."""
from lab import wait_for
from lab.dns import no_aaaa
from lab.origin import after_hello, echo
from lab.web import raw_answer
from lab.webclient import get, read_answer
from lab.webworld import url, web

EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192}
MANY, FEW = 200, 10  # what is done once a second may allocate


def warm_then_count(fault, records, one):
    """Allocations of the whole program while `one` is done MANY times, behind as many that are not counted. `records` gives
    what the log has of it: the last of it belongs to the work."""
    def do_all():
        before = len(records())
        for _ in range(MANY):
            one()
        wait_for(lambda: len(records()) >= before + MANY, what="their records")
    do_all()
    before = fault.calls("malloc")
    do_all()
    return fault.calls("malloc") - before


def test_tunnels(lab, fault):
    origin = lab.origin(after_hello(echo))
    lab.dns.set("one.a.test", origin.address, ttl=300)
    lab.dns.zone["one.a.test"].raw = no_aaaa
    proxy = lab.proxy(hosts=[origin.at("*.a.test")], limits=EAGER, wrapper=fault.wrapper, args=["--workers", "1"])

    def tunnel():
        proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x").close()
    assert warm_then_count(fault, proxy.audit.outcomes, tunnel) < FEW
    assert proxy.stop() == 0


def test_refusals(lab, fault):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits=EAGER, wrapper=fault.wrapper, args=["--workers", "1"])

    def refusal():
        proxy.connect("denied.test", 443).expect(status=403).close()
    assert warm_then_count(fault, proxy.audit.attempts, refusal) < FEW
    assert proxy.stop() == 0


def test_requests(lab, fault):
    """On one connection that stays, to an origin that stays."""
    origin = web(lab)
    origin.on("/p", raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", close=False))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=EAGER, ports={"http": [80, origin.port]},
                      wrapper=fault.wrapper, args=["--workers", "1"])
    lab.dns.zone["a.test"].raw = no_aaaa
    client = proxy.client()

    def request():
        get(client, url(origin, "/p"))
        assert read_answer(client).body == b"body"
    assert warm_then_count(fault, proxy.audit.outcomes, request) < FEW
    client.close()
    assert proxy.stop() == 0
