# SPDX-License-Identifier: Apache-2.0
"""The actors, tried against each other: a lab that lies would make every other test worthless."""
import os
import random
import socket
import ssl
import struct

import pytest

from lab import netns
from lab.client import Client
from lab.dns import A, AAAA, NXDOMAIN, response
from lab.hello import (ECH, GREASE, Hello, alpn_ext, ech_ext, ext, read_alert, read_sni, rec, sni_ext, sslv2)
from lab.origin import abort_now, echo, greet, say_and_half_close
from lab.policy import yaml
from lab.wait import wait_for


def ask(dns, name, rtype=A, tcp=False):
    wire = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    query = struct.pack("!HHHHHH", random.randrange(65536), 0x0100, 1, 0, 0, 0) + wire + struct.pack("!HH", rtype, 1)
    if tcp:
        with socket.create_connection((dns.address, dns.port), 5) as s:
            s.sendall(struct.pack("!H", len(query)) + query)
            length = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0]
            return query, s.recv(length, socket.MSG_WAITALL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(query, (dns.address, dns.port))
        return query, s.recv(65535)


def test_dns_answers_and_records(actors):
    actors.dns.set("a.test", "127.0.0.9", "::1")
    query, reply = ask(actors.dns, "A.tEst")
    assert reply[:2] == query[:2] and reply[12:len(query)] == query[12:], "id and question are echoed with their case"
    assert reply.endswith(bytes([127, 0, 0, 9])) and reply[7] == 1
    _, reply = ask(actors.dns, "a.test", AAAA)
    assert reply.endswith(b"\0" * 15 + b"\1")
    assert [(q.name, q.type, q.transport) for q in actors.dns.asked()] == [("A.tEst", 1, "udp"), ("a.test", 28, "udp")]


def test_dns_unknown_names_wildcards_and_chains(actors):
    actors.dns.set("*.w.test", "127.0.0.8", cnames=["x.cdn.test"])
    assert ask(actors.dns, "no.test")[1][3] & 15 == NXDOMAIN
    reply = ask(actors.dns, "deep.er.w.test")[1]
    assert reply[7] == 2 and b"\1x\3cdn\4test\0" in reply


def test_dns_truncates_and_answers_over_tcp(actors):
    actors.dns.set("t.test", "127.0.0.8", truncate=True)
    assert ask(actors.dns, "t.test")[1][2] & 2, "TC is set"
    assert ask(actors.dns, "t.test", tcp=True)[1].endswith(bytes([127, 0, 0, 8]))
    assert [q.transport for q in actors.dns.asked("t.test")] == ["udp", "tcp"]


def test_dns_delays_one_family_and_can_lie(actors):
    actors.dns.set("d.test", "127.0.0.8", delay={AAAA: 0.05})
    actors.dns.set("raw.test", raw=lambda query, honest: [b"", response(query.raw, rcode=5)])
    assert ask(actors.dns, "d.test", AAAA)[1][7] == 0
    assert ask(actors.dns, "raw.test")[1] == b""


def test_origin_records(actors):
    origin = actors.origin(echo)
    with socket.create_connection((origin.address, origin.port)) as s:
        s.sendall(b"ping")
        assert s.recv(4, socket.MSG_WAITALL) == b"ping"
        s.shutdown(socket.SHUT_WR)
        wait_for(lambda: origin.conn().eof)
    assert origin.connections == 1 and origin.received == 4 and bytes(origin.conn().data) == b"ping"


@pytest.mark.parametrize("behaviour, first, reset", [(greet(b"220 hi"), b"220 hi", False), (abort_now, b"", True),
                                                    (say_and_half_close(b"bye"), b"bye", False)])
def test_origin_behaviours(actors, behaviour, first, reset):
    origin = actors.origin(behaviour)
    client = Client((origin.address, origin.port))
    if behaviour is not abort_now:
        client.half_close()
    assert client.read_to_end(5) == first
    assert client.was_reset == reset


def test_origin_speaks_tls_and_counts_wire_bytes(actors):
    origin = actors.origin(tls=True)
    context = ssl.create_default_context(cafile=actors.certificate()[0])
    with socket.create_connection((origin.address, origin.port)) as s:
        with context.wrap_socket(s, server_hostname="a.test") as tls:
            tls.sendall(b"ping")
            assert tls.recv(10) == b"ping"
    assert origin.conn().received > 300 and read_sni(bytes(origin.conn().data)) == "a.test"


def test_full_origin_answers_nobody(actors):
    origin = actors.full_origin()
    with socket.socket() as s:
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            s.connect((origin.address, origin.port))


def test_cut_counts_pauses_and_resets(actors):
    origin = actors.origin(echo)
    cut = actors.cut((origin.address, origin.port))
    cut.pass_bytes(3, "up")
    client = Client((cut.address, cut.port))
    client.send(b"abcdef").expect(data=b"abc")
    wait_for(lambda: cut.passed["up"] == 3)
    assert origin.received == 3
    cut.resume()
    client.expect(data=b"def")
    cut.reset("client")
    client.read_to_end()
    assert client.was_reset


def server_sees(hello_bytes, context):
    """What OpenSSL makes of the bytes: (server name or None, TLS error or None)."""
    seen = []
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello_bytes)
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        return (seen or [None])[0], None
    except ssl.SSLError as error:
        return (seen or [None])[0], error.reason
    return (seen or [None])[0], None


HONEST = {
    "tls13": dict(), "tls12": dict(tls13=False), "sni last": dict(sni_last=True), "alpn": dict(alpn=["h2", "http/1.1"]),
    "ech": dict(ech=True), "padded": dict(pad_to=8192), "grease": dict(more=[ext(GREASE, b""), ext(0x4a4a, b"\0")]),
}


@pytest.mark.parametrize("name", HONEST)
def test_hello_is_understood_by_openssl(actors, name):
    context = actors.certificate()[1]
    hello = Hello(sni="a.test", **HONEST[name])
    assert server_sees(hello.raw, context) == ("a.test", None)
    assert server_sees(hello.records(1, 4, 60), context) == ("a.test", None), "split over records"
    assert read_sni(hello.raw) == read_sni(hello.records(size=7)) == "a.test"


def test_hello_lies_are_noticed_by_openssl(actors):
    context = actors.certificate()[1]
    for lie in (Hello(extensions=[sni_ext("a.test", name_len=0xffff)]), Hello(extensions=[sni_ext("a.test", list_len=2)]),
                Hello(sni="a.test", block_len=9), Hello(sni="a.test", trailing=b"\0"),
                Hello(sni="a.test", more=[sni_ext("b.test")])):
        assert server_sees(lie.raw, context)[1] is not None
    assert server_sees(Hello().raw, context) == (None, None)


def test_hello_shapes():
    assert len(Hello(sni="a.test", pad_to=16384).message) == 16384
    assert Hello(sni="a.test").records(size=1).count(b"\x16\x03\x01\x00\x01") == len(Hello(sni="a.test").message)
    assert ech_ext()[:2] == struct.pack("!H", ECH)
    assert alpn_ext("h2").endswith(b"\2h2")
    assert sslv2()[0] == 0x80 and sslv2()[2] == 1
    assert read_alert(b"\x15\x03\x01\0\2\2\x70") == "unrecognized_name" and read_alert(b"HTTP/1.1") is None
    assert rec(b"abc", claimed=9)[:5] == b"\x16\x03\x01\0\x09"


def test_client_reads_replies(actors):
    body = b'{"reason":"host_not_allowed"}'
    text = b"HTTP/1.1 403 no\r\nContent-Length: %d\r\nX: y\r\n\r\n%s" % (len(body), body)
    origin = actors.origin(greet(text + b"rest"))
    client = Client((origin.address, origin.port))
    client.expect(status=403, reason="host_not_allowed", data=b"rest")
    assert client.reply.headers["x"] == "y"
    with pytest.raises(AssertionError):
        client.expect(data=b"more", seconds=0.05)


def test_policy_is_plain_yaml(actors):
    origin = actors.origin()
    policy = actors.policy(allowed_hosts=["a.test", "*.w.test"], hosts=[origin.at("b.test", tls={"non_tls": "allow"})],
                           limits={"idle": "1s"})
    text = policy.text()
    assert '- "*.w.test"' in text and f"- {origin.address}/32" in text and "idle: 1s" in text
    assert actors.dns.zone["b.test"].v4 == [origin.address]
    try:
        import yaml as library
    except ImportError:
        return
    assert library.safe_load(text) == policy.tree


def test_yaml_quotes_what_would_change_its_type():
    assert yaml({"a": ["no", "x: y", 'q"', 443, True]}) == 'a:\n  - "no"\n  - "x: y"\n  - "q\\""\n  - 443\n  - true\n'


@pytest.mark.skipif(not netns.entered(), reason="needs root for a network namespace")
def test_every_address_is_local_here(actors):
    origin = actors.origin(address="0.0.0.0")
    six = actors.origin(address="::", port=origin.port)
    for address, seen in (("11.22.33.44", origin), ("172.32.0.0", origin), ("2600::1", six)):
        with socket.create_connection((address, origin.port), 2):
            wait_for(lambda: any(c.local[0] == address for c in seen.conns))


def test_the_suite_names_its_program():
    path = os.environ.get("SALLYPORT")
    assert path is None or os.access(path, os.X_OK), f"SALLYPORT={path} is not a program"
