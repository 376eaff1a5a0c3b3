# SPDX-License-Identifier: Apache-2.0
"""H, P, A and the heads of the other tables, by the door of plain HTTP: one verdict by every door (U8)."""
import re

import pytest

import test_ports
from lab import Dns, wait_for
from lab.web import WebOrigin
from lab.webaudit import with_web_records
from lab.webclient import get, read_answer
from rows import LATER, REASONS, Row, ids
from sites import LIMITS, in_order
from table_addresses import ANSWERS, LISTED, LITERALS, MAPPED, NAT64, PRIVATE
from table_names import ROWS
from test_http import web

SECONDS = 8.0
PATH = b"/door"

# In absolute form these are other words: a path, a query, or a port that may be left out.
OTHER_WORDS = re.compile(rb"[/?]")
CONNECT_HEAD = re.compile(rb"((?:\r\n)*)CONNECT ([^ \r\n]*)( HTTP/[0-9.]+\r\n)")
# What is wrong with a CONNECT alone.
ONLY_THERE = {"H-30-content", "H-30-chunked", "S-17-0.9-connect", "S-30-empty-method", "T-36-pipelined"}


class Absolute:
    """GET http://host:port/door."""
    name = "absolute"

    @staticmethod
    def expresses(row):
        if row.request is not None:
            return row.id not in ONLY_THERE and CONNECT_HEAD.match(row.request) is not None
        return not OTHER_WORDS.search(row.target) and not row.id.startswith("P-01")

    @staticmethod
    def render(row, fill):
        if row.request is not None:
            return fill(CONNECT_HEAD.sub(rb"\1GET http://\2" + PATH + rb"\3", row.request, count=1))
        target = fill(row.target)
        host = target if row.host is None else fill(row.host)
        return b"GET http://" + target + PATH + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


DOOR = Absolute()
# Nothing but plain HTTP's own ports is open: what was meant for 443 is refused by its port.
BY_PORT = {"R-HOST", "R-DENY"}


def open_web(lab, egress=None, allowed=("allowed.test", "*.wild.test")):
    """Names without pins; the origins on the wildcard addresses answer whatever was dialled."""
    origin, dns = lab.add(WebOrigin("0.0.0.0")), lab.add(Dns())
    six = lab.add(WebOrigin("::", port=origin.port))
    policy = lab.policy(dns=dns, allowed_hosts=list(allowed), limits=LIMITS, egress=egress,
                        ports={"connect": [443, origin.port], "http": [80, origin.port]})
    return {"policy": policy, "dns": dns, "port": origin.port, "origins": [origin, six]}


def literals(lab):
    return open_web(lab, allowed=("allowed.test", "11.22.33.44", "2600::44"))


def private(lab):
    return open_web(lab, egress={"private_networks": ["10.1.2.3/32", "10.20.0.0/16", "fd12::/64"]},
                    allowed=("exact.test", "*.wild.test"))


@pytest.fixture
def make(make_site):
    def get_site(name, build):
        site = make_site(name, build)
        with_web_records(site.proxy)
        return site
    return get_site


@pytest.fixture
def site(make):
    return make("web", web)


def try_row(site, row):
    data = DOOR.render(row, site.fill)
    seen = [len(o.started) for o in site.origins]
    with site.oracles() as oracles:
        client = site.client().send(data)
        answer = read_answer(client, seconds=SECONDS)
        assert answer is not None, "closed without an answer"
        if row.expect == "ALLOW":
            expect_allowed(site, oracles, client, answer, row.canonical)
        else:
            expect_refused(site, oracles, client, answer, row, data)
            assert [len(o.started) for o in site.origins] == seen, "an origin saw a request"
        client.close()
        oracles.returned()
        oracles.alive()


def expect_allowed(site, oracles, client, answer, canonical):
    assert answer.status == 200 and answer.body == b"GET %s 0" % PATH, repr(answer)
    request = max((o.seen[-1] for o in site.origins if o.seen), key=lambda r: r.at)
    assert request.get("host") == f"{canonical}:{site.port}" and not request.origin.bad
    oracles.only_asked(canonical)
    client.close()
    ((attempt, outcome),) = site.proxy.audit.passed(client.who, 1)
    assert attempt["dst_endpoint"]["hostname"] == outcome["dst_endpoint"]["hostname"] == canonical
    assert outcome["http_response"]["code"] == 200
    return outcome


def expect_refused(site, oracles, client, answer, row, data=b""):
    codes = {row.expect, *row.also}
    if codes & BY_PORT and b":443/" in data:
        codes.add("R-PORT")
    known = {REASONS[c][0]: c for c in codes}
    assert answer.reason in known, f"expected {codes}, got {answer!r}"
    code = known[answer.reason]
    assert answer.status == REASONS[code][1] and answer.complete, repr(answer)
    assert client.read_to_end(SECONDS) == b"" and not client.was_reset, "the answer is followed by a clean end"
    assert len(answer.phrase) <= 120
    oracles.discreet(answer, asked=bytes(client.sent) + str(answer.json["host"]).encode())
    if code not in LATER:
        oracles.no_dns()
    oracles.no_connection()
    record = site.proxy.audit.refusal(client.who, REASONS[code][0])
    assert ("end" in record["unmapped"]) == (code in LATER), "an outcome if and only if the target stage was passed"
    assert record["metadata"]["correlation_uid"].replace("-", "") == answer.json["request_id"]
    return record


EXPRESSED = [row for row in ROWS if DOOR.expresses(row)]


def test_most_rows_have_this_door():
    """The table is not emptied by what this door cannot say."""
    assert len(EXPRESSED) > 300 and len(EXPRESSED) > 0.8 * len(ROWS), (len(EXPRESSED), len(ROWS))


@pytest.mark.parametrize("row", EXPRESSED, ids=ids(EXPRESSED))
def test_name(site, row):
    try_row(site, row)


@pytest.mark.parametrize("index", range(len(test_ports.NAMES)), ids=test_ports.NAMES)
def test_port(site, index):
    row = test_ports.rows(site.port)[index]
    if not DOOR.expresses(row):
        pytest.skip("this door cannot express the row")
    try_row(site, row)


LITERAL_ROWS = [row for row in LITERALS if DOOR.expresses(row)]


@pytest.mark.parametrize("row", LITERAL_ROWS, ids=ids(LITERAL_ROWS))
def test_literal(site, row):
    try_row(site, row)


@pytest.mark.parametrize("row", LISTED + MAPPED, ids=ids(LISTED + MAPPED))
def test_literal_beside_a_listed_one(public, make, row):
    try_row(make("literals", literals), row)


@pytest.mark.parametrize("target, address", [("11.22.33.44", "11.22.33.44"), ("[2600::44]", "2600::44")])
def test_listed_literal(public, make, target, address):
    """Allowed in its canonical spelling, without a DNS query."""
    site = make("literals", literals)
    with site.oracles() as oracles:
        client = site.client()
        get(client, f"http://{target}:{site.port}/literal")
        assert read_answer(client, seconds=SECONDS).body == b"GET /literal 0"
        oracles.no_dns()
        client.close()
        assert site.proxy.audit.outcome(**client.who)["dst_endpoint"]["ip"] == address
    request = [r for o in site.origins for r in o.seen if r.get("host") == f"{target}:{site.port}"]
    assert len(request) == 1 and request[0].conn.local[0] == address


def try_answers(site, name, addresses, expect):
    site.dns.set(name, raw=in_order(addresses))
    with site.oracles() as oracles:
        client = site.client()
        get(client, f"http://{name}:{site.port}{PATH.decode()}")
        answer = read_answer(client, seconds=SECONDS)
        if expect == "ALLOW":
            outcome = expect_allowed(site, oracles, client, answer, name)
            assert outcome["dst_endpoint"]["ip"] in addresses
            request = [r for o in site.origins for r in o.seen if r.get("host").startswith(name + ":")][-1]
            assert request.conn.local[0] == outcome["dst_endpoint"]["ip"], "the address that was checked was dialled"
        else:
            outcome = expect_refused(site, oracles, client, answer, Row(name, b"", expect))
            assert outcome["severity_id"] == 4 and outcome["unmapped"]["dials"] == 0
        client.close()


@pytest.mark.parametrize("index", range(len(ANSWERS)), ids=[row[0] for row in ANSWERS])
def test_answer(public, make, index):
    _, addresses, expect = ANSWERS[index]
    try_answers(make("open", open_web), f"r{index}.wild.test", addresses, expect)


@pytest.mark.parametrize("prefix", sorted({row[1] for row in NAT64}))
def test_nat64(public, make, prefix):
    site = make("nat64 " + prefix, lambda lab: open_web(lab, egress={"nat64": prefix}))
    for i, (name, wanted, address, expect) in enumerate(NAT64):
        if wanted == prefix:
            try_answers(site, f"{name.lower()}-{i}.wild.test", [address], expect)


@pytest.mark.parametrize("index", range(len(PRIVATE)), ids=[row[0] for row in PRIVATE])
def test_private_exception(public, make, index):
    """Each row that reuses the exact name has a program of its own, since raw answers are cached."""
    _, name, address, expect = PRIVATE[index]
    site = make(f"private {index}" if name == "exact.test" else "private", private)
    try_answers(site, name, [address], expect)


def test_own_port_is_self(public, lab):
    """O-08: the program's own socket is no destination of plain HTTP either, by whatever address."""
    lab.dns.set("me.test", "11.22.33.44")
    proxy = lab.proxy(allowed_hosts=["me.test", "11.22.33.44"], listen=["11.22.33.44:0"], start=False)
    proxy.start()
    port = proxy.endpoint[1]
    proxy.write_policy(lab.policy(allowed_hosts=["me.test", "11.22.33.44"], ports={"http": [80, port]}))
    proxy.hup()

    def ask(host):
        with proxy.client() as client:
            get(client, f"http://{host}:{port}/")
            return read_answer(client, seconds=SECONDS)
    answer = wait_for(lambda: (a := ask("me.test")) is not None and a.reason != "port_not_allowed" and a, 10,
                      "the new policy")
    assert (answer.status, answer.reason) == (403, "address_is_self")
    assert ask("11.22.33.44").reason == "address_is_self"
    proxy.stop()


def test_one_verdict_by_both_doors(site):
    """U8, W-15: what CONNECT refuses, plain HTTP refuses with the same reason and rule."""
    for host in ("denied.test", "evilwild.test", "wild.test", "11.22.33.44", "localhost", "x.allowed.test",
                 "metadata.google.internal", "allowed.test.attacker.test"):
        by_connect = site.client().connect(host, site.port).read_reply()
        client = site.client()
        get(client, f"http://{host}:{site.port}/")
        by_http = read_answer(client, seconds=SECONDS)
        for key in ("reason", "rule", "environment", "host", "port", "retry", "hint"):
            assert by_connect.json[key] == by_http.json[key], (host, key)
        assert by_connect.status == by_http.status


def test_a_relaying_helper_changes_nothing(site):
    """W-16: Via, another agent, HTTP/1.0, a kept connection: the same verdict as direct."""
    for version, fields in (("1.0", ["Via: 1.1 helper"]), ("1.1", ["Via: 1.1 helper", "User-Agent: trusted"]),
                            ("1.1", ["X-Sallyport-Environment: env-b", "Forwarded: for=10.0.0.1;host=allowed.test"])):
        client = site.client()
        get(client, f"http://allowed.test:{site.port}/x", *fields)
        assert read_answer(client, seconds=SECONDS).status == 200
        get(client, f"http://denied.test:{site.port}/x", *fields, version=version)
        answer = read_answer(client, seconds=SECONDS)
        assert (answer.status, answer.reason) == (403, "host_not_allowed")
