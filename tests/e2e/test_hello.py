# SPDX-License-Identifier: Apache-2.0
"""The hello after the 200: equality of names along the chain, in any split."""
import pytest

from lab import Hello, wait_for
from lab.origin import after_hello, echo


@pytest.fixture
def plain(lab):
    origin = lab.origin(after_hello(echo))
    return origin, lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")])


def test_sni_differs_from_connect_host(lab):
    """TLS alert, no byte upstream, and the record says why."""
    origin = lab.origin(tls=True)
    proxy = lab.proxy(allowed_hosts=["listed.test"], hosts=[origin.at("a.test")])
    client = proxy.connect("a.test", origin.port)
    client.expect(status=200)
    client.hello(sni="b.test").expect(alert="unrecognized_name")
    origin.conn()  # the kernel accepts before the origin does
    assert origin.connections == 1 and origin.received == 0
    assert proxy.audit.attempt(stage="target", verdict="allow")
    outcome = proxy.audit.outcome(stage="hello", verdict="deny", reason="sni_mismatch", up=0)
    assert outcome["activity_id"] == 5 and outcome["severity_id"] == 3 and outcome["tls"]["sni"] == "b.test"
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_both_allowed_is_not_equal(plain):
    origin, proxy = plain
    proxy.connect("a.test", origin.port).expect(status=200).hello(sni="b.test").expect(alert="unrecognized_name")
    assert proxy.audit.outcome(reason="sni_mismatch") and origin.received == 0


@pytest.mark.parametrize("options, reason, alert", [
    (dict(sni=None), "sni_absent", "unrecognized_name"), (dict(sni="a.test", ech=True), "ech_refused", "access_denied"),
    (dict(sni="a.test", trailing=b"\0"), "hello_malformed", "decode_error"),
    (dict(sni="a.test", pad_to=17000), "hello_too_big", "record_overflow")],
    ids=["no sni", "ech", "malformed", "too big"])
def test_refused_hellos(plain, options, reason, alert):
    origin, proxy = plain
    proxy.connect("a.test", origin.port).expect(status=200).send(Hello(**options).raw).expect(alert=alert)
    assert proxy.audit.outcome(stage="hello", verdict="deny", reason=reason, up=0)
    assert origin.received == 0


@pytest.mark.parametrize("name, shown", [
    (b"b\0.test", "b\0.test"), (b"b.test.", "b.test."), (b"x\r\nSet-Cookie: a=b\xff", "x\r\nSet-Cookie: a=b\\u00ff"),
    (b"user:hunter2@b.test", "b.test"), (b"10.0.0.1", "10.0.0.1"), ("ab.cd." * 20 + ".test", ("ab.cd." * 11)[:64]),
    ("b" * 64 + ".test", "h:")],
    ids=["nul", "trailing dot", "line break", "user-info", "address", "long", "long label"])
def test_a_name_that_is_none_is_on_record(plain, name, shown):
    """What stood there, without what may be a secret, cut and escaped: one line of the log, and a valid one."""
    origin, proxy = plain
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.send(Hello(sni=name).raw).expect(alert="decode_error")
    outcome = proxy.audit.outcome(**client.who)
    assert (outcome["status_code"], outcome["tls"]["version"]) == ("hello_malformed", "1.2")
    assert outcome["tls"]["sni"] == shown or (shown == "h:" and len(outcome["tls"]["sni"]) == 18)
    assert outcome["metadata"].get("is_truncated", False) == (len(shown) == 64)
    assert "ech" not in outcome["unmapped"] and origin.received == 0
    # the next one has nothing of it
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.send(Hello(sni="a.test", trailing=b"\0").raw).expect(alert="decode_error")
    assert "tls" not in proxy.audit.outcome(**client.who)
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_plain_text_is_not_tls(plain):
    """No alert to somebody who did not speak TLS: the end, and a record."""
    origin, proxy = plain
    proxy.connect("a.test", origin.port).expect(status=200).send(b"SSH-2.0-x\r\n").expect(closed=True)
    assert proxy.audit.outcome(reason="not_tls", up=0) and origin.received == 0


@pytest.mark.parametrize("size", [1, 2, 5, 64, 1000])
@pytest.mark.parametrize("chunks", [1, 3, 1300, None])
def test_any_split_arrives_unchanged(plain, size, chunks):
    """Records and segments of any size; what the origin gets are the bytes that were sent."""
    origin, proxy = plain
    data = Hello(sni="a.test", alpn=["h2"]).records(size=size)
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.send(data, chunks=chunks)
    conn = origin.conn()
    wait_for(lambda: conn.received >= len(data), what=lambda: f"{len(data)} bytes, have {conn.received}")
    assert bytes(conn.data) == data


def test_server_speaks_first_where_it_is_allowed(lab):
    """non_tls: allow, and a client that waits: the greeting comes when the hello deadline has passed."""
    from lab.origin import greet
    origin = lab.origin(greet(b"220 ready\r\n"))
    proxy = lab.proxy(hosts=[origin.at("mail.test", tls={"non_tls": "allow"})], limits={"hello_timeout": "200ms"})
    client = proxy.connect("mail.test", origin.port).expect(status=200, data=b"220 ready\r\n")
    client.send(b"QUIT\r\n")
    conn = origin.conn()
    wait_for(lambda: bytes(conn.data) == b"QUIT\r\n", what="the client's words")


def test_outer_name_counts_with_ech_outer(lab):
    """ech: outer for one host: allowed with the right outer name, and the record says that it was there."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test", tls={"ech": "outer"})])
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.hello(sni="a.test", ech=True).send(b"ok").expect(data=b"ok").close()
    assert "ech" in str(proxy.audit.outcome(host="a.test", verdict="allow"))
    proxy.connect("a.test", origin.port).expect(status=200).hello(sni="b.test", ech=True).expect(
        alert="unrecognized_name")


def test_unrestricted_takes_what_limited_refuses(lab):
    """No SNI, ECH and plain text pass; a name that is there must still be the target's."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(kind="unrestricted", hosts=[origin.at("a.test")])
    for data in (Hello().raw, Hello(sni="a.test", ech=True).raw):
        proxy.connect("a.test", origin.port).expect(status=200).send(data).send(b"ok").expect(data=b"ok")
    proxy.connect("a.test", origin.port).expect(status=200).hello(sni="b.test").expect(alert="unrecognized_name")
    proxy.connect("a.test", origin.port).expect(status=200).send(b"plain")
    wait_for(lambda: any(bytes(c.data) == b"plain" for c in origin.conns), what="plain text at the origin")
