# SPDX-License-Identifier: Apache-2.0
"""F and what is left of S: fronting and routing by the doors of CONNECT and plain HTTP."""
import pytest

from lab import wait_for
from lab.web import raw_answer
from lab.webaudit import with_web_records
from lab.webclient import get, read_answer
from rows import expect_refused, Row
from test_http import SECONDS, Marks, web


@pytest.fixture
def site(make_site):
    one = make_site("web", web)
    with_web_records(one.proxy)
    return one


def test_alt_svc_is_never_acted_on(site):
    """F-09: an advertised h3 endpoint changes nothing: the next request goes where the first one went, and no name that
    an origin chose is ever asked for."""
    origin = site.origins[0].on("/alt", raw_answer(
        b'HTTP/1.1 200 OK\r\nAlt-Svc: h3="attacker.test:443", h2="denied.test:8443"; ma=86400\r\n'
        b"Content-Length: 2\r\n\r\nok", close=False))
    marks = Marks(site)
    with site.oracles() as oracles:
        client = site.client()
        for path in ("/alt", "/then", "/alt"):
            get(client, f"http://allowed.test:{site.port}{path}")
            assert read_answer(client, seconds=SECONDS).status == 200
        assert [r.path for r in marks.seen()] == ["/alt", "/then", "/alt"] and len(marks.conns()) == 1
        oracles.only_asked("allowed.test")
    del origin.programme["/alt"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["http://169.254.169.254/", "http://denied.test/", "//denied.test/"])
def test_redirect_is_relayed_and_not_followed(site, status, place):
    """F-06: the client reads it; what the client then asks for is judged as any request."""
    origin = site.origins[0].on("/away", raw_answer(
        f"HTTP/1.1 {status} Away\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode(), close=False))
    with site.oracles() as oracles:
        client = site.client()
        get(client, f"http://allowed.test:{site.port}/away")
        answer = read_answer(client, seconds=SECONDS)
        assert (answer.status, answer.get("location")) == (status, place)
        oracles.only_asked("allowed.test")
        if place.startswith("http"):
            get(client, place)
            answer = read_answer(client, seconds=SECONDS)
            assert answer.reason in ("literal_not_allowed", "host_not_allowed")
            oracles.only_asked("allowed.test")
    del origin.programme["/away"]


@pytest.mark.parametrize("fields", [("Via: 1.1 sallyport-0123456789abcdef",), ("Via: 1.1 approved", "Via: 1.0 other"),
                                    ("Forwarded: for=10.0.0.1;host=allowed.test;proto=http",),
                                    ("Proxy-Status: sallyport; received-status=200",),
                                    ("X-Forwarded-Host: allowed.test", "X-Forwarded-For: 127.0.0.1")])
def test_no_field_says_that_it_was_approved(site, fields):
    """F-10: a denied name is denied, whatever another gateway is said to have thought of it; by both doors."""
    for door in ("http", "connect"):
        with site.oracles() as oracles:
            client = site.client()
            if door == "http":
                get(client, f"http://denied.test:{site.port}/", *fields)
                answer = read_answer(client, seconds=SECONDS)
                assert (answer.status, answer.reason) == (403, "host_not_allowed")
                oracles.no_dns()
                oracles.no_connection()
                site.proxy.audit.refusal(client.who, "host_not_allowed")
            else:
                client.connect("denied.test", 443, headers=[f.split(": ", 1) for f in fields])
                expect_refused(site, oracles, client, Row("F-10", b"", "R-HOST"))


@pytest.mark.parametrize("inner", [b"CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n",
                                   b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n",
                                   b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"])
def test_a_relay_behind_a_tunnel_is_not_spoken_to_in_plain_text(site, inner):
    """F-07, S-34: the 200 has no framing of a body; a CONNECT inside a CONNECT is no TLS and never reaches the host."""
    with site.oracles() as oracles:
        client = site.client().connect("allowed.test", site.port).expect(status=200)
        assert not {"content-length", "transfer-encoding"} & set(client.reply.headers)
        client.send(inner)
        assert client.read_to_end(SECONDS) == b""
        oracles.no_client_byte()
        outcome = wait_for(lambda: site.proxy.audit.outcomes(**client.who), 5, "the outcome")[0]
        assert outcome["status_code"] == "not_tls" and outcome["traffic"]["bytes_out"] == 0
