# SPDX-License-Identifier: Apache-2.0
"""The life of one CONNECT: what the client sees, what the origin sees, and what the log says afterwards."""
import json
import socket
import struct

import pytest

from lab import Hello, wait_for
from lab.origin import abort_now, after_hello, echo, greet, say_and_half_close
from lab.proxy import tells_nothing_inner, wait_descriptors

REPLY_BODY_KEYS = {"error", "reason", "host", "port", "environment", "rule", "request_id", "hint", "retry"}


@pytest.fixture
def plain(lab):
    """An echo after the hello, and a proxy that lets a.test reach it."""
    origin = lab.origin(after_hello(echo))
    return origin, lab.proxy(allowed_hosts=["listed.test"], hosts=[origin.at("a.test")])


def test_allowed(lab):
    """Both sides see TLS with each other; two records; the log is proven."""
    import ssl
    origin = lab.origin(tls=True)
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.connect("a.test", origin.port).expect(status=200)
    assert client.reply.phrase and not {"content-length", "transfer-encoding"} & set(client.reply.headers)
    context = ssl.create_default_context(cafile=lab.certificate()[0])
    with context.wrap_socket(client.sock, server_hostname="a.test") as tls:
        tls.sendall(b"ping")
        assert tls.recv(16) == b"ping"
    attempt = proxy.audit.attempt(host="a.test", verdict="allow", stage="target")
    outcome = proxy.audit.outcome(host="a.test", verdict="allow")
    assert attempt["activity_id"] == 1 and attempt["type_uid"] == 400101 and attempt["severity_id"] == 1
    assert attempt["unmapped"]["raw_target"] == f"a.test:{origin.port}"
    assert attempt["src_endpoint"]["ip"] == client.who["peer"] and attempt["src_endpoint"]["port"] == client.port
    assert outcome["activity_id"] == 2 and outcome["tls"]["sni"] == "a.test"
    assert outcome["dst_endpoint"]["ip"] == origin.address
    assert outcome["traffic"]["bytes_out"] == origin.conn().received
    assert outcome["traffic"]["bytes_in"] == origin.conn().sent
    assert outcome["metadata"]["correlation_uid"] == attempt["metadata"]["correlation_uid"]
    assert outcome["metadata"]["sequence"] > attempt["metadata"]["sequence"]
    assert attempt["policy"]["uid"] == proxy.ready["policy"] == outcome["policy"]["uid"]
    assert attempt["metadata"]["tenant_uid"] == "env-a"
    assert sorted(q.type for q in lab.dns.asked("a.test")) == [1, 28]
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_denied(lab):
    """403 in the status line, the headers and the body; nothing was asked; one record."""
    proxy = lab.proxy(allowed_hosts=["listed.test"], egress={"denial_hint": "Ask the platform team."})
    client = proxy.connect("denied.test", 443).expect(status=403, reason="host_not_allowed", closed=True)
    reply = client.reply
    assert "denied.test" in reply.phrase and "policy" in reply.phrase and len(reply.phrase) <= 120
    assert reply.headers["connection"] == "close" and reply.headers["content-type"].startswith("application/json")
    assert "proxy-status" in reply.headers
    body = reply.json
    assert set(body) == REPLY_BODY_KEYS
    assert (body["host"], body["port"], body["environment"]) == ("denied.test", 443, "env-a")
    assert body["retry"] is False and body["hint"] == "Ask the platform team." and body["rule"] == "default"
    assert body["request_id"] in reply.phrase
    tells_nothing_inner(reply)
    record = proxy.audit.attempt(host="denied.test", verdict="deny", reason="host_not_allowed", stage="target")
    assert (record["activity_id"], record["severity_id"], record["disposition_id"]) == (5, 3, 2)
    assert record["firewall_rule"]["uid"] == "default"
    assert record["metadata"]["correlation_uid"].replace("-", "") == body["request_id"]
    assert not proxy.audit.outcomes() and not lab.dns.asked()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_denied_record_is_durable_before_the_answer(lab):
    """Whoever has read a 403 finds its record in the log, at once."""
    proxy = lab.proxy(allowed_hosts=["listed.test"])
    for i in range(10):
        client = proxy.connect(f"d{i}.test", 443).expect(status=403)
        assert [r for r in proxy.audit.attempts(host=f"d{i}.test")], client.report()


def test_allowed_record_is_durable_before_the_question(lab):
    """The attempt is in the log when the resolver hears its name."""
    lab.dns.set("slow.test", silent={1, 28})
    proxy = lab.proxy(allowed_hosts=["slow.test"])
    proxy.connect("slow.test", 443)
    lab.dns.wait_asked("slow.test")
    assert proxy.audit.attempts(host="slow.test", verdict="allow")


def test_names_are_folded_and_listed_names_resolved(plain, lab):
    origin, proxy = plain
    client = proxy.connect("A.Test.", origin.port).expect(status=200)
    client.hello(sni="a.TEST").send(b"ping").expect(data=b"ping")
    assert {q.lower for q in lab.dns.asked()} == {"a.test"}


def test_wildcard_reaches_below_and_not_the_apex(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("*.w.test")])
    proxy.tunnel("x.w.test", origin.port).send(b"1").expect(data=b"1")
    proxy.tunnel("a.b.w.test", origin.port).send(b"2").expect(data=b"2")
    proxy.connect("w.test", 443).expect(status=403, reason="host_not_allowed")


def test_denied_hosts_beat_every_allow(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("*.w.test")], egress={"denied_hosts": ["bad.w.test"]})
    proxy.connect("bad.w.test", origin.port).expect(status=403, reason="host_denied")
    proxy.connect("good.w.test", origin.port).expect(status=200)
    assert not lab.dns.asked("bad.w.test")


def test_unrestricted_still_refuses_addresses(lab):
    """Every name, every port; forbidden addresses stay forbidden."""
    lab.dns.set("in.test", "10.0.0.1")
    proxy = lab.proxy(kind="unrestricted")
    proxy.connect("in.test", 8443).expect(status=403, reason="address_forbidden")
    proxy.connect("in.test", 22).expect(status=403, reason="port_not_allowed")


@pytest.mark.parametrize("head", [
    b"CONNECT a.test:%d HTTP/1.0\r\n\r\n", b"CONNECT a.test:%d HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"CONNECT a.test:%d HTTP/1.1\r\nhost: a.test\r\nuser-agent: x\r\nproxy-connection: keep-alive\r\n\r\n",
    b"CONNECT a.test:%d HTTP/1.1\r\nHOST: A.TEST.\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n",
    b"CONNECT a.test:%d HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\nHost: a.test\r\n\r\n",
    b"CONNECT a.test:%d HTTP/1.0\r\nHost: a.test:%d\r\n\r\n",
], ids=["1.0 without Host", "Host without port", "lower case", "upper case", "credentials", "1.0 with Host"])
@pytest.mark.parametrize("chunks", [None, 1, 7])
def test_heads_of_real_clients(plain, head, chunks):
    """All are let through, in any cut."""
    origin, proxy = plain
    client = proxy.client().send(head.replace(b"%d", str(origin.port).encode()), chunks=chunks).expect(status=200)
    client.hello(sni="a.test").send(b"ping").expect(data=b"ping")


def test_credentials_are_never_recorded(plain):
    """Neither from a header nor from user-info that some client puts into its target."""
    origin, proxy = plain
    proxy.connect("a.test", origin.port, headers=[("Proxy-Authorization", "Basic c2VjcmV0LXZhbHVl"),
                                                  ("Cookie", "k=secret-cookie")]).expect(status=200)
    proxy.client().request(f"user:secret-word@a.test:{origin.port}").expect(status=400)
    proxy.client().send(b"GET /why?token=secret-query HTTP/1.1\r\nHost: x\r\n\r\n").read_reply()
    proxy.stop()
    text = json.dumps(proxy.audit.records()) + proxy.text()
    for secret in ("c2VjcmV0", "secret-cookie", "secret-word", "secret-query"):
        assert secret not in text
    for path in proxy.audit_dir.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"secret-" not in data and b"c2VjcmV0" not in data, path


def test_hello_in_the_segment_of_the_head(plain):
    """Kept bytes come first, and once."""
    origin, proxy = plain
    hello = Hello(sni="a.test").raw
    client = proxy.client().request(f"a.test:{origin.port}", tail=hello + b"early").expect(status=200, data=b"early")
    client.send(b"later").expect(data=b"later")
    assert bytes(origin.conn().data) == hello + b"earlylater"


def test_kept_bytes_of_a_refused_hello_go_nowhere(plain):
    origin, proxy = plain
    client = proxy.client().request(f"a.test:{origin.port}", tail=Hello(sni="b.test").raw + b"early")
    client.expect(status=200, alert="unrecognized_name")
    assert origin.received == 0


def test_refused_client_may_have_sent_more(plain):
    """The 403 is readable although bytes are still arriving (no reset), and what follows is not parsed."""
    origin, proxy = plain
    client = proxy.client()
    more = b"CONNECT a.test:%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % origin.port
    client.request("denied.test:443", tail=more + b"x" * 200000)
    client.expect(status=403, reason="host_not_allowed", closed=True)
    assert not client.was_reset and origin.connections == 0
    assert len(proxy.audit.flows()) == 1


def test_client_half_close(plain):
    """The origin sees the end, its answer still arrives, then both are closed."""
    def answer_after_end(conn):
        conn.drain()
        conn.send(b"all of it")
    origin, proxy = plain
    origin.behaviour = after_hello(answer_after_end)
    client = proxy.tunnel("a.test", origin.port).send(b"question").half_close()
    client.expect(data=b"all of it", closed=True)
    assert origin.conn().eof and not origin.conn().reset
    outcome = proxy.audit.outcome(host="a.test", verdict="allow")
    assert outcome["activity_id"] == 2 and outcome["traffic"]["bytes_in"] == 9


def test_origin_half_close(plain):
    """The client sees the end and may go on sending."""
    origin, proxy = plain
    origin.behaviour = after_hello(say_and_half_close(b"bye"))
    client = proxy.tunnel("a.test", origin.port).expect(data=b"bye", closed=True)
    client.send(b"still here")
    conn = origin.conn()
    wait_for(lambda: bytes(conn.data).endswith(b"still here"), what="bytes after the origin's half-close")
    client.half_close()
    assert proxy.audit.outcome(host="a.test")["activity_id"] == 2
    assert not conn.reset


def test_origin_resets(plain):
    origin, proxy = plain
    origin.behaviour = after_hello(abort_now)
    client = proxy.tunnel("a.test", origin.port)
    client.read_to_end()
    outcome = proxy.audit.outcome(host="a.test", reason="upstream_reset")
    assert outcome["activity_id"] == 3 and outcome["severity_id"] == 1


def test_client_resets(plain):
    origin, proxy = plain
    client = proxy.tunnel("a.test", origin.port).send(b"ping").expect(data=b"ping")
    client.reset()
    outcome = proxy.audit.outcome(host="a.test", reason="client_reset")
    assert outcome["activity_id"] == 3
    conn = origin.conn()
    wait_for(lambda: conn.reset or conn.eof, what="the origin learns of it")


def test_reset_while_bytes_are_held(lab):
    """A slow client, an origin that floods, and the client's reset in the middle."""
    def flood(conn):
        while conn.send(b"x" * 65536):
            pass
    origin = lab.origin(after_hello(flood))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    base = proxy.descriptors()
    client = proxy.tunnel("a.test", origin.port)
    client.read_exactly(100000)
    client.reset()
    assert proxy.audit.outcome(host="a.test")["status_code"] in ("client_reset", "upstream_reset")
    wait_descriptors(proxy, base + 4)


def test_upstream_byte_before_the_verdict_is_held(lab):
    """An origin that greets first is not heard before the hello was judged."""
    origin = lab.origin(greet(b"220 hello"))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.connect("a.test", origin.port).expect(status=200)
    wait_for(lambda: origin.connections and origin.conns[0].sent, what="the origin has spoken")
    assert client.still_open() and not client.buffer
    client.hello(sni="b.test").expect(alert="unrecognized_name")
    allowed = proxy.tunnel("a.test", origin.port)
    allowed.expect(data=b"220 hello")


def test_origin_that_is_not_there(lab):
    origin = lab.origin()
    origin.close()
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.connect("a.test", origin.port).expect(status=502, reason="connect_failed", closed=True)
    assert client.reply.json["retry"] is True
    tells_nothing_inner(client.reply)
    outcome = proxy.audit.outcome(host="a.test", reason="connect_failed")
    assert outcome["activity_id"] == 4 and outcome["severity_id"] == 1


def test_ipv6_origin(lab):
    origin = lab.origin(after_hello(echo), address="::1")
    proxy = lab.proxy(hosts=[origin.at("six.test")])
    proxy.tunnel("six.test", origin.port).send(b"6").expect(data=b"6")
    assert origin.conn().local[0] == "::1"


def test_second_address_is_tried(lab):
    """Happy eyeballs over pinned addresses: the dead one does not hide the living one."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("two.test", "127.0.0.250", origin.address)
    entry = origin.at("two.test").entry()
    entry["addresses"] = ["127.0.0.250/32", origin.address + "/32"]
    proxy = lab.proxy(hosts=[entry])
    proxy.tunnel("two.test", origin.port).send(b"2").expect(data=b"2")
    assert proxy.audit.attempts(host="two.test")


def test_over_the_unix_socket(lab):
    """The same decisions; the peer is known by its uid."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], unix=True)
    client = proxy.tunnel("a.test", origin.port, unix=True).send(b"ping").expect(data=b"ping")
    client.close()
    proxy.connect("denied.test", 443, unix=True).expect(status=403, reason="host_not_allowed", closed=True)
    assert proxy.audit.attempt(host="a.test", verdict="allow")
    assert proxy.audit.attempt(host="denied.test", verdict="deny")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_absolute_form_is_judged_and_recorded_like_a_connect(lab):
    """The same verdict, answer and record: this port is not open on that host, so nothing is asked or dialled."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.client().send(b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
    client.expect(status=403, reason="port_not_allowed")
    record = proxy.audit.attempt(**client.who)
    assert record["status_code"] == client.reply.reason
    assert not lab.dns.asked() and origin.connections == 0


def test_origin_form(lab):
    """`/` says what this is; other paths are 404 with the same hint; neither is an attempt."""
    proxy = lab.proxy(allowed_hosts=["listed.test"])
    page = proxy.client().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect(status=200)
    assert page.reply.body
    missing = proxy.client().send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect(status=404)
    tells_nothing_inner(missing.reply)
    tells_nothing_inner(page.reply)
    proxy.client().send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").read_to_end()
    proxy.connect("denied.test", 443).expect(status=403)
    assert len(proxy.audit.flows()) == 1


def test_long_host_is_cut_in_the_phrase(lab):
    """120 bytes, with reason and request id whole."""
    proxy = lab.proxy(allowed_hosts=["listed.test"])
    name = ".".join(["x" * 60] * 4) + ".denied.test"
    reply = proxy.connect(name[-253:].lstrip("."), 443).read_reply()
    assert reply.status == 403 and len(reply.phrase) <= 120 and reply.json["request_id"] in reply.phrase
    assert reply.json["host"] == name[-253:].lstrip(".")


def test_many_at_once(lab):
    """Two hundred tunnels side by side, none mixed up with another."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("*.m.test")])
    clients = [proxy.connect(f"n{i}.m.test", origin.port) for i in range(200)]
    for i, client in enumerate(clients):
        client.expect(status=200).hello(sni=f"n{i}.m.test").send(b"I am %d;" % i)
    for i, client in enumerate(clients):
        client.expect(data=b"I am %d;" % i)
        client.close()
    wait_for(lambda: len(proxy.audit.outcomes(verdict="allow")) == 200, 10, "200 outcomes")
    assert {c.port for c in clients} == {r["src_endpoint"]["port"] for r in proxy.audit.outcomes()}
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_descriptors_return_to_their_number(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: proxy.audit.outcomes(), what="the first one is over")
    base = proxy.descriptors()
    for _ in range(30):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
        proxy.connect("denied.test", 443).expect(status=403, closed=True).close()
    wait_descriptors(proxy, base)


def test_urgent_data_is_harmless(plain):
    origin, proxy = plain
    client = proxy.tunnel("a.test", origin.port)
    client.sock.send(b"!", socket.MSG_OOB)
    client.send(b"ping")
    assert client.read_exactly(4)[-4:] in (b"ping", b"!pin")


def test_small_windows(plain):
    """A client that reads with a tiny buffer gets everything."""
    def pour(conn):
        conn.send(b"".join(struct.pack("!I", i) for i in range(100000)))
    origin, proxy = plain
    origin.behaviour = after_hello(pour)
    client = proxy.client(rcvbuf=2048).connect("a.test", origin.port).expect(status=200).hello(sni="a.test")
    assert client.read_exactly(400000) == b"".join(struct.pack("!I", i) for i in range(100000))


def test_shutdown_is_on_record(lab):
    proxy = lab.proxy(allowed_hosts=["listed.test"])
    assert proxy.audit.event("log_started")["class_uid"] == 1008
    assert proxy.audit.event("policy_loaded")["class_uid"] == 3004
    assert proxy.stop() == 0
    assert proxy.audit.event("log_stopped")["activity_id"] == 7
    assert proxy.audit.verifies()
