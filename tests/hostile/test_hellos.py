# SPDX-License-Identifier: Apache-2.0
"""T: what comes after the 200. Every row is sent in one piece, and those whose verdict is on the whole message also in
pieces: the verdict must not depend on how the bytes arrive."""
import pytest

from lab import wait_for
from lab.hello import Hello, read_alert
from rows import REASONS
from sites import optional_sni, outer_ech, pinned, plain_allowed
from table_hellos import ALLOWED, ECH, NON_TLS, OPTIONAL, PLAIN, REFUSED

SITES = {"pinned": pinned, "optional": optional_sni, "outer": outer_ech, "plain": plain_allowed}


def expect_through(site, name, data, chunks):
    """The origin gets exactly these bytes."""
    with site.oracles() as oracles:
        client = site.client().connect(name, site.port).expect(status=200)
        client.send(data, chunks=chunks)
        wait_for(lambda: any(bytes(c.data) == data for o in site.origins for c in o.conns[-2:]), 5,
                 lambda: "all bytes at the origin; client " + client.report()[:2000])
        client.close()
        oracles.nothing_trapped()
        outcome = site.proxy.audit.outcome(**client.who)
        assert outcome["traffic"]["bytes_out"] == len(data)
        oracles.returned()
        oracles.alive()
        return outcome


def expect_alert(site, name, data, code, chunks=None, fin=False):
    """No byte upstream, the alert of the reason, the end, and the record says why."""
    reason, _, alert = REASONS[code]
    with site.oracles() as oracles:
        client = site.client().connect(name, site.port).expect(status=200)
        client.send(data, chunks=chunks)
        if fin:
            client.half_close()
        rest = client.read_to_end()
        if not client.was_reset or rest:
            assert read_alert(rest) == alert and len(rest) in (0, 7), f"expected alert {alert}, got {rest!r}"
        assert not client.was_reset, "the alert is followed by a clean end"
        record = oracles.records(client, reason, stage="hello", later=True)
        assert record["traffic"]["bytes_out"] == 0
        oracles.no_client_byte()
        client.close()
        oracles.returned()
        oracles.alive()
        return record


def pieces(data):
    """Ways to cut it: whole, two halves, and small segments for what is short."""
    return [None, max(1, len(data) // 2)] + ([1] if len(data) < 700 else [1300])


@pytest.mark.parametrize("row", ALLOWED, ids=lambda r: r[0])
def test_allowed(make_site, row):
    site = make_site("pinned", pinned)
    _, name, data = row
    for chunks in pieces(data):
        expect_through(site, name, data, chunks)


@pytest.mark.parametrize("row", REFUSED, ids=lambda r: r[0])
def test_refused(make_site, row):
    site = make_site("pinned", pinned)
    _, name, data, code = row
    for chunks in pieces(data)[:2]:
        expect_alert(site, name, data, code, chunks)


@pytest.mark.parametrize("row", NON_TLS, ids=lambda r: r[0])
def test_not_tls(make_site, row):
    site = make_site("pinned", pinned)
    _, data, code, fin = row
    expect_alert(site, "allowed.test", data, code, fin=fin)


@pytest.mark.parametrize("row", OPTIONAL, ids=lambda r: r[0])
def test_optional_sni(make_site, row):
    site = make_site("optional", optional_sni)
    _, data, code = row
    if code == "ALLOW":
        expect_through(site, "allowed.test", data, None)
    else:
        expect_alert(site, "allowed.test", data, code)


@pytest.mark.parametrize("row", ECH, ids=lambda r: r[0])
def test_ech(make_site, row):
    """T-34: refused where names decide; with `ech: outer` the outer name must still be the target's."""
    _, where, data, code = row
    site = make_site(where, SITES[where])
    if code == "ALLOW":
        outcome = expect_through(site, "allowed.test", data, None)
        assert outcome["unmapped"]["ech"] is (where == "outer"), "the record flags it, and nothing else"
    else:
        expect_alert(site, "allowed.test", data, code)


@pytest.mark.parametrize("row", PLAIN, ids=lambda r: r[0])
def test_non_tls_allowed(make_site, row):
    site = make_site("plain", plain_allowed)
    _, data, code = row
    if code == "ALLOW":
        expect_through(site, "allowed.test", data, None)
    else:
        expect_alert(site, "allowed.test", data, code)


def test_silence_is_a_timeout(make_site):
    """T-28: nothing is sent; the deadline is absolute, and no alert goes to a client that may not speak TLS."""
    site = make_site("pinned", pinned)
    expect_alert(site, "allowed.test", b"", "R-HTMO")


def test_slow_hello_does_not_extend_the_deadline(make_site):
    """T-15: a byte now and then changes nothing."""
    import select
    import time
    site = make_site("pinned", pinned)
    client = site.client().connect("allowed.test", site.port).expect(status=200)
    data, start, at = Hello(sni="allowed.test").raw, time.monotonic(), 0
    while at < 30 and not select.select([client.sock], [], [], 0.1)[0]:
        client.send(data[at:at + 1])
        at += 1
    client.read_to_end()
    assert 0.8 <= time.monotonic() - start < 2.5
    site.proxy.audit.outcome(**client.who, reason="hello_timeout")


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("part", [1, 4, 60, None])
def test_hello_then_the_end(make_site, how, part):
    """T-38: no leak, whatever the instant."""
    site = make_site("pinned", pinned)
    base = site.proxy.descriptors()
    client = site.client().connect("allowed.test", site.port).expect(status=200)
    client.send(Hello(sni="allowed.test").raw[:part])
    if how == "fin":
        client.half_close().read_to_end()
        client.close()
    else:
        client.reset()
    site.proxy.audit.outcome(**client.who)
    with site.oracles() as oracles:
        oracles.baseline(base)
        oracles.alive()


def test_ten_megabytes_before_the_verdict(make_site):
    """T-38: what follows a hello in the same write is held back, not lost, and not kept without bound."""
    site = make_site("pinned", pinned)
    hello = Hello(sni="allowed.test").raw
    before = site.origins[0].connections
    client = site.client().connect("allowed.test", site.port).expect(status=200)
    conn = site.origins[0].conn(before)  # a 200 says that the kernel has it, not that the origin has accepted it
    client.send(hello + b"x" * (10 << 20))
    conn.wait_received(len(hello) + (10 << 20), 10)
    client.close()
    assert site.proxy.audit.outcome(**client.who)["traffic"]["bytes_out"] == len(hello) + (10 << 20)


def test_both_names_allowed_is_still_a_mismatch(make_site):
    """T-03."""
    site = make_site("pinned", pinned)
    expect_alert(site, "a.wild.test", Hello(sni="b.wild.test").raw, "R-SNIX")
