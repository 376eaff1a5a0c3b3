# SPDX-License-Identifier: Apache-2.0
"""A: which addresses may be dialled. The traps listen on every address, so a connection that should not have been made
is seen together with the address that it went to."""
import functools
import ipaddress

import pytest

from lab import StartFailed, wait_for
from lab.dns import AAAA
from lab.hello import Hello
from rows import DOORS, REASONS, expect_allowed, expect_refused, ids, try_row, Row
from sites import in_order, literals, nat64, open_names, pinned, private
from table_addresses import ANSWERS, BAD_EXCEPTIONS, LISTED, LITERALS, MAPPED, NAT64, PRIVATE


def try_answers(site, name, addresses, expect):
    site.dns.set(name, raw=in_order(addresses))
    with site.oracles() as oracles:
        client = site.client().connect(name, site.port)
        if expect == "ALLOW":
            seen = expect_allowed(site, oracles, client, name)
            assert seen.local[0] in addresses, "the address that was checked is the one that was dialled"
            outcome = site.proxy.audit.outcome(**client.who)
            assert outcome["dst_endpoint"]["ip"] == seen.local[0]
        else:
            expect_refused(site, oracles, client, Row(name, b"", expect))
            outcome = site.proxy.audit.outcome(**client.who, reason=REASONS[expect][0])
            assert outcome["severity_id"] == 4 and outcome["unmapped"]["dials"] == 0
            told = {ipaddress.ip_address(a) for a in outcome["unmapped"]["answers"]}
            assert told >= {ipaddress.ip_address(a) for a in addresses[:1]}, "the answers are in the record"
        client.close()


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.name)
@pytest.mark.parametrize("row", LITERALS, ids=ids(LITERALS))
def test_literal(make_site, door, row):
    try_row(make_site("pinned", pinned), door, row)


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.name)
@pytest.mark.parametrize("row", LISTED + MAPPED, ids=ids(LISTED + MAPPED))
def test_literal_beside_a_listed_one(public, make_site, door, row):
    try_row(make_site("literals", literals), door, row)


@pytest.mark.parametrize("target, address", [("11.22.33.44", "11.22.33.44"), ("[2600::44]", "2600::44")])
def test_listed_literal(public, make_site, target, address):
    """Allowed in its canonical spelling, without a DNS query; a hello for it has no server name."""
    site = make_site("literals", literals)
    with site.oracles() as oracles:
        client = site.client().request(f"{target}:{site.port}").expect(status=200)
        hello = Hello().raw
        client.send(hello)
        oracles.no_dns()
        wait_for(lambda: any(bytes(c.data) == hello and c.local[0] == address for o in site.origins for c in o.conns),
                 what="the hello at that address")
        client.close()
        assert site.proxy.audit.outcome(**client.who)["dst_endpoint"]["ip"] == address
        refused = site.client().request(f"{target}:{site.port}").expect(status=200)
        refused.hello(sni="allowed.test").expect(alert="unrecognized_name")
        assert site.proxy.audit.outcome(**refused.who)["status_code"] == "sni_mismatch"


@pytest.mark.parametrize("index", range(len(ANSWERS)), ids=[row[0] for row in ANSWERS])
def test_answer(public, make_site, index):
    _, addresses, expect = ANSWERS[index]
    try_answers(make_site("open", open_names), f"r{index}.wild.test", addresses, expect)


@pytest.mark.parametrize("prefix", sorted({row[1] for row in NAT64}))
def test_nat64(public, make_site, prefix):
    site = make_site("nat64 " + prefix, functools.partial(nat64, prefix=prefix))
    for i, (name, wanted, address, expect) in enumerate(NAT64):
        if wanted == prefix:
            try_answers(site, f"{name.lower()}-{i}.wild.test", [address], expect)
    try_answers(site, "mapped.wild.test", ["::ffff:11.22.33.44"], "R-ADDR")


@pytest.mark.parametrize("index", range(len(PRIVATE)), ids=[row[0] for row in PRIVATE])
def test_private_exception(public, make_site, lab, index):
    """Each row has a program of its own when it reuses the exact name, since raw answers are cached."""
    _, name, address, expect = PRIVATE[index]
    site = make_site(f"private {index}" if name == "exact.test" else "private", private)
    try_answers(site, name, [address], expect)


@pytest.mark.parametrize("prefix", BAD_EXCEPTIONS)
def test_bad_exception_is_an_error(lab, prefix):
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["exact.test"], egress={"private_networks": [prefix]})
    assert failed.value.code == 78 and "policy.yaml:" in failed.value.text


def test_second_family_within_the_wait(public, make_site):
    """A-21: a forbidden address of the family that comes 20 ms later refuses the whole answer."""
    site = make_site("open", open_names)
    site.dns.set("late20.wild.test", "11.22.33.44", "::1", delay={AAAA: 0.02})
    with site.oracles() as oracles:
        client = site.client().connect("late20.wild.test", site.port)
        expect_refused(site, oracles, client, Row("late", b"", "R-ADDR"))


def test_second_family_after_the_wait(public, make_site):
    """A-21: one that comes after the wait is never dialled in this attempt."""
    site = make_site("open", open_names)
    site.dns.set("late400.wild.test", "11.22.33.44", "::1", delay={AAAA: 0.4})
    with site.oracles() as oracles:
        client = site.client().connect("late400.wild.test", site.port)
        seen = expect_allowed(site, oracles, client, "late400.wild.test")
        assert seen.local[0] == "11.22.33.44"


def test_no_fallback_to_a_private_address(lab):
    """A-22: the only admitted address refuses the connection; nothing else is tried."""
    closed = lab.origin()
    closed.close()
    proxy = lab.proxy(hosts=[closed.at("gone.test")])
    client = proxy.connect("gone.test", closed.port).expect(status=502, reason="connect_failed")
    outcome = proxy.audit.outcome(**client.who, reason="connect_failed")
    assert outcome["unmapped"]["dials"] == 1 and outcome["activity_id"] == 4
    proxy.stop()


def test_own_address_is_self(public, lab):
    """O-08: the program's own socket is never a destination, by whatever address it is reached."""
    trap = lab.origin(address="0.0.0.0")
    proxy = lab.proxy(allowed_hosts=["me.test"], listen=["11.22.33.44:0"], ports={"connect": [443]}, start=False)
    proxy.start()
    port = proxy.endpoint[1]
    proxy.write_policy(lab.policy(allowed_hosts=["me.test", "11.22.33.44"], ports={"connect": [port]}))
    proxy.hup()
    proxy.audit.event("policy_loaded", seconds=10)
    lab.dns.set("me.test", "11.22.33.44")

    def answer():
        return proxy.connect("me.test", port).read_reply()
    reply = wait_for(lambda: (r := answer()).reason != "port_not_allowed" and r, 5, "the new policy")
    assert (reply.status, reply.reason) == (403, "address_is_self")
    proxy.connect("11.22.33.44", port).expect(status=403, reason="address_is_self")
    assert trap.connections == 0
    proxy.stop()
    assert proxy.audit.verifies()
