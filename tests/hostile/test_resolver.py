# SPDX-License-Identifier: Apache-2.0
"""D: what the resolver is asked, and what it may answer."""
import random
import struct
import threading
import time

import pytest

from lab import wait_for
from lab.wait import never
from lab.dns import A, AAAA, CNAME, NXDOMAIN, REFUSED, SERVFAIL, address_record, encode_name, record, response
from rows import Row, expect_allowed, expect_refused
from sites import LIMITS, open_names, pinned


@pytest.fixture
def site(make_site):
    return make_site("pinned", pinned)


@pytest.fixture
def world(public, make_site):
    return make_site("open", open_names)


def attempt(site, name, expect, **answer):
    """One CONNECT to `name` with this answer; gives the outcome record."""
    if answer:
        site.dns.set(name, **answer)
    with site.oracles() as oracles:
        client = site.client().connect(name, site.port)
        if expect == "ALLOW":
            expect_allowed(site, oracles, client, name)
        else:
            expect_refused(site, oracles, client, Row(name, b"", expect))
        oracles.only_asked(name)
        client.close()
        oracles.returned()
        oracles.alive()
        return site.proxy.audit.outcome(**client.who)


def test_a_thousand_denied_names_and_no_question(site):
    """D-01: names that carry data are refused before any packet leaves."""
    before, failures = len(site.dns.queries), []

    def some(count):
        for _ in range(count):
            label = "".join(random.choices("abcdefghijklmnopqrstuvwxyz234567", k=60))
            try:
                with site.proxy.client() as client:
                    client.connect(f"{label}.attacker.test", 443).expect(status=403, reason="host_not_allowed")
            except AssertionError as error:
                failures.append(error)
    threads = [threading.Thread(target=some, args=(63,)) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    site.proxy.clients.clear()
    assert not failures, failures[0]
    assert len(site.dns.queries) == before
    wait_for(lambda: sum(r["dst_endpoint"]["hostname"].endswith(".attacker.test")
                         for r in site.proxy.audit.attempts(reason="host_not_allowed")) == 16 * 63, 10,
             "one attempt record for each")


def test_only_addresses_and_only_the_absolute_name(lab):
    """D-05, D-07, D-22: no search list, no hosts file, no other type, whatever the environment says."""
    hosts = lab.folder / "aliases"
    hosts.write_text("allowed.test attacker.test\nallowed attacker.test\n")
    proxy = lab.proxy(allowed_hosts=["nowhere.test", "single"], limits=LIMITS,
                      env={"LOCALDOMAIN": "corp.test", "RES_OPTIONS": "ndots:5", "HOSTALIASES": str(hosts),
                           "CARES_HOSTS": str(hosts), "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "socks5://x:1"})
    for name in ("nowhere.test", "single"):
        before = len(lab.dns.queries)
        client = proxy.connect(name, 443).expect(status=502, reason="dns_failed")
        record = proxy.audit.outcome(**client.who, reason="dns_failed")
        assert "nxdomain" in str(record["unmapped"])
        asked = lab.dns.asked()[before:]
        assert {q.lower for q in asked} == {name} and sorted(q.type for q in asked) == [A, AAAA]
        assert record["unmapped"]["dns_sent"] == 2
    proxy.stop()


def test_localhost_that_an_operator_lists_is_asked_and_checked(lab):
    """H-25: a listed special name is resolved like any other, and its loopback address is refused."""
    lab.dns.set("localhost", "127.0.0.1", "::1")
    proxy = lab.proxy(allowed_hosts=["localhost"], limits=LIMITS)
    proxy.connect("localhost", 443).expect(status=403, reason="address_forbidden")
    assert lab.dns.asked("localhost")
    proxy.stop()


@pytest.mark.parametrize("rcode, word", [(SERVFAIL, "servfail"), (REFUSED, "refused"), (NXDOMAIN, "nxdomain"),
                                         (4, "refused"), (1, "refused")])
def test_failures_have_their_word(site, rcode, word):
    """D-18."""
    outcome = attempt(site, f"rcode{rcode}.wild.test", "R-DNS", rcode=rcode)
    assert word in str(outcome["unmapped"])


def test_no_data(site):
    """D-18: an answer without addresses is no answer."""
    assert "nodata" in str(attempt(site, "nodata.wild.test", "R-DNS", ttl=1)["unmapped"])


def test_no_server(lab):
    """D-18: nothing listens where the resolver should be."""
    from lab import Dns
    gone = Dns()
    gone.close()
    proxy = lab.proxy(allowed_hosts=["allowed.test"], limits={**LIMITS, "resolve_timeout": "500ms"}, dns=gone)
    client = proxy.connect("allowed.test", 443)
    reply = client.read_reply()
    assert (reply.status, reply.reason) in ((502, "dns_failed"), (504, "dns_timeout"))
    assert proxy.audit.outcome(**client.who)["activity_id"] == 4
    proxy.stop()


def only(payload):
    return lambda query, honest: [payload(query, honest) if callable(payload) else payload]


MALFORMED = {
    "loop": lambda q, h: response(q.raw, [b"\xc0\x1e" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x7f\0\0\1"], count=1)
    .replace(b"\xc0\x1e", struct.pack("!H", 0xc000 | (len(response(q.raw)))), 1),
    "forward": lambda q, h: response(q.raw, [b"\xc0\xff" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0b\x16\x21\x2c"]),
    "past the end": lambda q, h: response(q.raw, [b"\xff\xff" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0b\x16\x21\x2c"]),
    "label 0x80": lambda q, h: response(q.raw, [b"\x80a\0" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0b\x16\x21\x2c"]),
    "label 0xbf": lambda q, h: response(q.raw, [b"\xbfa\0" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0b\x16\x21\x2c"]),
    "rdlength": lambda q, h: response(q.raw, [b"\xc0\x0c" + struct.pack("!HHIH", q.type, 1, 60, 400) + b"\x0b\x16"]),
    "ancount": lambda q, h: response(q.raw, [], count=65535),
    "a query": lambda q, h: q.raw,
    "cut": lambda q, h: h[:-3],
    "rdlength 5": lambda q, h: response(q.raw, [record(q.name, q.type, b"\x0b\x16\x21\x2c\1" * (1 if q.type == 1 else 4))]),
    "rdlength 3": lambda q, h: response(q.raw, [record(q.name, q.type, b"\x0b\x16\x21")]),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_answers_open_nothing(site, kind):
    """D-14: refused with a reason of the resolver; nothing is dialled."""
    name = f"bad-{list(MALFORMED).index(kind)}.wild.test"
    site.dns.set(name, "127.0.0.3", raw=only(MALFORMED[kind]))
    with site.oracles() as oracles:
        client = site.client().connect(name, site.port)
        reply = client.read_reply()
        assert reply.reason in ("dns_failed", "dns_timeout"), repr(reply)
        oracles.no_connection()
        oracles.records(client, reply.reason, later=True)
        oracles.alive()


IGNORED = {
    "empty": lambda q, h: [b"", h],
    "short": lambda q, h: [h[:7], h],
    "other id": lambda q, h: [bytes([h[0] ^ 255, h[1]]) + h[2:], h],
    "other case": lambda q, h: [h.replace(q.raw[12:-4], q.raw[12:-4].swapcase()), h],
    "other name": lambda q, h: [response(q.raw.replace(q.raw[12:-4], encode_name("x.test")),
                                         [address_record("x.test", "127.0.0.9")]), h],
    "random": lambda q, h: [random.randbytes(200), h],
}


@pytest.mark.parametrize("kind", IGNORED)
def test_replies_to_ignore(site, kind):
    """D-15: a reply that does not echo the question, byte for byte, is ignored, and the honest one behind it counts."""
    name = f"ign-{list(IGNORED).index(kind)}.wild.test"
    site.dns.set(name, "127.0.0.3", raw=IGNORED[kind])
    attempt(site, name, "ALLOW")


def test_reply_from_another_port(site):
    """D-15: nothing that comes from elsewhere is taken."""
    attempt(site, "stray.wild.test", "R-DNST", v4=["127.0.0.3"], wrong_source=True)


def test_case_and_ids_are_random(site):
    """D-15: 0x20 in the name, and ids that do not repeat in a pattern."""
    for i in range(12):
        attempt(site, f"case{i}.wild.test", "R-DNS", rcode=NXDOMAIN)
    asked = [q for q in site.dns.asked() if q.lower.startswith("case")]
    assert any(q.name != q.lower for q in asked), "no letter was ever in upper case"
    assert len({q.name for q in asked}) > 12, "both families have their own spelling"
    assert len({q.raw[:2] for q in asked}) > len(asked) - 3


def test_ports_change(lab):
    """D-15: over some hundred queries more than one source port is used."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("*.ports.test")], limits=LIMITS)
    for i in range(140):
        with proxy.client() as client:
            client.connect(f"p{i}.ports.test", origin.port).expect(status=200)
    proxy.clients.clear()
    sources = {q.source[1] for q in lab.dns.asked() if q.lower.endswith(".ports.test")}
    assert len(sources) >= 3, f"all from {sources}"
    proxy.stop()


@pytest.mark.parametrize("behaviour, expect", [("answer", "ALLOW"), ("stall", "R-DNST"), ("slow", "R-DNST")])
def test_truncated_then_tcp(site, behaviour, expect):
    """D-16: TCP is asked, within the same absolute deadline."""
    name = f"tc-{behaviour}.wild.test"
    attempt(site, name, expect, v4=["127.0.0.3"], truncate=True, tcp=behaviour)
    assert "tcp" in {q.transport for q in site.dns.asked(name)}


def test_truncated_then_tcp_is_reset(site):
    site.dns.set("tc-reset.wild.test", "127.0.0.3", truncate=True, tcp="reset")
    client = site.client().connect("tc-reset.wild.test", site.port)
    assert client.read_reply().reason in ("dns_failed", "dns_timeout")


@pytest.mark.parametrize("place, expect", [(3, "R-ADDR"), (15, "R-ADDR"), (16, "ALLOW"), (3999, "ALLOW")])
def test_four_thousand_addresses(world, place, expect):
    """D-17: the first 16 are kept, and all of those are checked."""
    addresses = [f"11.{i // 250 % 250}.{i % 250}.1" for i in range(4000)]
    addresses[place] = "10.0.0.1"
    attempt(world, f"many{place}.wild.test", expect, v4=addresses, truncate=True)


LATE = 2 * float(LIMITS["resolve_timeout"].removesuffix("s"))
HUGE = {
    "addresses": lambda q, h: response(q.raw, [address_record(q.name, f"11.{i // 250}.{i % 250}.1") for i in range(1000)]
                                       if q.type == A else []),
    "an answer and 60,000 bytes": lambda q, h: h + bytes(60000),
    "60,000 bytes": lambda q, h: q.raw[:2] + b"\x81\x80" + bytes(60000),
}


@pytest.mark.parametrize("kind", HUGE)
def test_huge_datagrams(site, kind):
    """D-14: more than there is room for is no answer: TCP is asked, and what that says counts."""
    name = f"huge-{list(HUGE).index(kind)}.wild.test"
    site.dns.set(name, "127.0.0.3", raw=only(HUGE[kind]))
    client = site.client().connect(name, site.port)
    reply = client.read_reply()
    if reply.status == 200:
        client.hello(sni=name).half_close()
        assert "tcp" in {q.transport for q in site.dns.asked(name)}
        assert site.proxy.audit.outcome(**client.who)["dst_endpoint"]["ip"] == "127.0.0.3"
    else:
        assert reply.reason in ("dns_failed", "dns_timeout"), repr(reply)


def test_an_answer_that_comes_too_late(site):
    """Behind the deadline it opens nothing; the next one who asks may profit, judged anew."""
    attempt(site, "late.wild.test", "R-DNST", v4=["127.0.0.3"], delay={A: LATE, AAAA: LATE})
    seen = lambda: sum(origin.connections for origin in site.origins)  # noqa: E731
    before = seen()
    never(lambda: seen() > before, 1.5, "a late answer was dialled")
    attempt(site, "late.wild.test", "ALLOW", v4=["127.0.0.3"])


def test_chains(site):
    """D-12: a chain of aliases counts when every link is there."""
    attempt(site, "alias.wild.test", "ALLOW", v4=["127.0.0.3"], cnames=["x.cdn.test", "y.cdn.test"])


ALIENS = {
    "other owner": lambda q: [address_record("other.test", "127.0.0.3")],
    "chain that ends elsewhere": lambda q: [record(q.name, CNAME, encode_name("x.test")),
                                            address_record("y.test", "127.0.0.3")],
    "chain to itself": lambda q: [record(q.name, CNAME, encode_name(q.name))],
    "two names in a circle": lambda q: [record(q.name, CNAME, encode_name("x.test")),
                                        record("x.test", CNAME, encode_name(q.name))],
    "class CH": lambda q: [record(q.name, q.type, bytes([127, 0, 0, 3]) * (1 if q.type == A else 4), rclass=3)],
    "only TXT": lambda q: [record(q.name, 16, b"\x03abc")],
    "chain of 40": lambda q: [record(q.name, CNAME, encode_name("c0.test"))]
    + [record(f"c{i}.test", CNAME, encode_name(f"c{i + 1}.test")) for i in range(40)]
    + [address_record("c40.test", "127.0.0.3")],
}


@pytest.mark.parametrize("kind", ALIENS)
def test_records_that_do_not_belong(site, kind):
    """D-12: records of other owners, classes and types give no address."""
    name = f"alien-{list(ALIENS).index(kind)}.wild.test"
    attempt(site, name, "R-DNS", raw=only(lambda q, h: response(q.raw, ALIENS[kind](q))))


def test_records_beside_the_answer_do_not_count(site):
    """D-12: an address in the additional or authority section is not an answer."""
    def raw(query, honest):
        stray = address_record(query.name, "127.0.0.3")
        return [response(query.raw, [], authority=[stray], additional=[stray])]
    attempt(site, "beside.wild.test", "R-DNS", raw=raw)


@pytest.mark.parametrize("target", [b"\x05a\0b.c\0", b"\x04a\\.b\0", b"\x05a b\x01c\0",
                                    (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"y" * 61 + b"\0"])
def test_odd_names_on_the_way(site, target):
    """D-13: names of a chain decide nothing; what they contain does not reach the record unescaped."""
    name = f"odd{target[0]}{len(target)}.wild.test"

    def raw(query, honest):
        return [response(query.raw, [record(query.name, CNAME, target)]
                         + ([record(target, A, bytes([127, 0, 0, 3]))] if query.type == A else []))]
    site.dns.set(name, raw=raw)
    client = site.client().connect(name, site.port)
    assert client.read_reply().reason in (None, "dns_failed")


def test_clients_that_leave_while_the_resolver_is_silent(site):
    """D-20: at each instant; the answers come afterwards and find nobody."""
    base = site.proxy.descriptors()
    for i in range(40):
        site.dns.set(f"leave{i}.wild.test", "127.0.0.3", silent={A, AAAA} if i % 2 else set(),
                         delay={A: 0.002 * i, AAAA: 0.001 * i})
        client = site.proxy.client().connect(f"leave{i}.wild.test", site.port)
        if i % 3:
            site.dns.wait_asked(f"leave{i}.wild.test")
        client.reset() if i % 4 else client.close()
    site.proxy.clients.clear()
    with site.oracles() as oracles:
        oracles.alive()
        oracles.baseline(base + 4)
    for i in range(40):
        wait_for(lambda i=i: not site.proxy.audit.attempts(host=f"leave{i}.wild.test")
                 or site.proxy.audit.outcomes(host=f"leave{i}.wild.test"), 8, f"the outcome of leave{i}")


@pytest.mark.parametrize("host, port, reason", [("doh.test", 443, "host_not_allowed"),
                                                ("allowed.test", 853, "port_not_allowed")])
def test_resolvers_as_targets(site, host, port, reason):
    """D-23."""
    site.client().connect(host, port).expect(status=403, reason=reason)


def test_budget_of_distinct_names(lab):
    """D-03, E-02: names under a wildcard are a data channel; the budget ends it, and each name is in the record."""
    origin = lab.origin()
    lab.dns.set("*.many.test", origin.address)
    proxy = lab.proxy(hosts=[origin.at("*.many.test")], limits={**LIMITS, "distinct_names_per_minute": 20})
    left = 60 - time.monotonic() % 60
    if left < 8:
        time.sleep(left + 0.1)  # the counter's minutes are the monotonic clock's: not across the border of one
    seen = []
    for i in range(25):
        label = f"{i:02d}" + "x" * 61
        with proxy.client() as client:
            reply = client.connect(f"{label}.{label}.{label}.many.test", origin.port).read_reply()
            seen.append((reply.status, reply.reason))
    assert seen == [(200, None)] * 20 + [(503, "limit_reached")] * 5
    warning = proxy.audit.event("limit_warning")["unmapped"]  # E-02: one alert a minute, however many there are
    assert (warning["limit"], warning["value"], warning["max"]) == ("distinct_names_per_minute", 21, 20)
    assert len(proxy.audit.events("limit_warning")) == 1
    assert len([q for q in lab.dns.asked() if q.lower.startswith("24x")]) == 0
    proxy.audit.attempt(host=f"{'24' + 'x' * 61}." * 3 + "many.test")
    # A name that was asked for before is not a new one.
    label = "03" + "x" * 61
    proxy.connect(f"{label}.{label}.{label}.many.test", origin.port).expect(status=200)
    proxy.stop()
    assert proxy.audit.verifies()


def test_answers_are_cached_but_verdicts_are_not(lab):
    """W-17: the second attempt does not ask for the address again, and is judged again. (An empty answer without an SOA
    record may not be kept, RFC 2308 5, so the other family is asked for each time.)"""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("cached.test")], limits=LIMITS, args=["--workers", "1"])
    for _ in range(3):
        proxy.connect("CACHED.test", origin.port).expect(status=200)
    assert [q.type for q in lab.dns.asked("cached.test")].count(A) == 1
    proxy.write_policy(lab.policy(allowed_hosts=["*.fence.test"], limits=LIMITS,
                                  ports={"connect": [443, origin.port]}))
    proxy.hup()
    wait_for(lambda: proxy.connect("cached.test", origin.port).read_reply().reason == "host_not_allowed", 5,
             "the new policy judges the cached name")
    # One name server, one socket: what was asked before has been heard once a later question has.
    asked = set()
    for name in ("one.fence.test", "two.fence.test"):
        lab.dns.set(name, rcode=NXDOMAIN)
        proxy.connect(name, 443).expect(status=502)
        now = {q.raw for q in lab.dns.asked("cached.test")}  # a question that is repeated has the same id
        assert name.startswith("one") or now == asked, "asked again"
        asked = now
        proxy.connect("cached.test", origin.port).expect(status=403)
    proxy.stop()
