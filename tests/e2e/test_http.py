# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP through the proxy: one request, and many on one connection: what the client sees, what the origin sees,
and what the log says afterwards."""
import json
import re

import pytest

from lab import netns, wait_for
from lab.proxy import tells_nothing_inner
from lab.web import WebOrigin, raw_answer
from lab.webclient import get, read_answer, read_body, read_head
from lab.webworld import ended, pairs, start, url, web

VIA = re.compile(r"1\.1 sallyport-[0-9a-f]{16}$")


@pytest.fixture
def plain(lab):
    origin = web(lab)
    return origin, start(lab, origin)


# ---- one request ----

def test_allowed(lab, plain):
    """The head is made anew, the answer too; two records of class 4002; the log is proven."""
    origin, proxy = plain
    origin.on("/p", raw_answer(b"HTTP/1.1 200 Fine\r\nServer: x\r\nKeep-Alive: timeout=5\r\n"
                               b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\n"
                               b"Content-Length: 4\r\nSet-Cookie: a=b\r\n"
                               b"Set-Cookie: c=d\r\nVia: 1.0 inner\r\n\r\nbody", close=False))
    client = proxy.client()
    get(client, url(origin, "/p?key=word"), "User-Agent: lab", "Accept: */*", "Proxy-Connection: keep-alive",
        "Cookie: a=b")
    answer = read_answer(client)
    assert (answer.status, answer.phrase, answer.body, answer.framing) == (200, "Fine", b"body", "length")
    assert [v for n, v in answer.fields if n == "Set-Cookie"] == ["a=b", "c=d"] and answer.get("server") == "x"
    names = {n.lower() for n, _ in answer.fields}
    assert not names & {"keep-alive", "x-hop", "proxy-authenticate", "connection", "transfer-encoding"}
    assert re.fullmatch(r"1\.0 inner, 1\.1 sallyport-[0-9a-f]{16}", answer.get("via"))
    seen = origin.request("/p?key=word")
    via = seen.get("via")
    assert VIA.match(via) and not origin.bad
    assert seen.head.split(b"\r\n") == [b"GET /p?key=word HTTP/1.1", b"Host: a.test:%d" % origin.port,
                                        b"User-Agent: lab", b"Accept: */*", b"Cookie: a=b", b"Via: " + via.encode()]
    client.close()
    (attempt,), (outcome,) = pairs(proxy, 1, **client.who)
    for record in (attempt, outcome):
        assert (record["class_uid"], record["activity_id"], record["type_uid"]) == (4002, 3, 400203)
        request = record["http_request"]
        assert request["http_method"] == "GET" and request["url"]["scheme"] == "http"
        assert (request["url"]["hostname"], request["url"]["port"]) == ("a.test", origin.port)
        assert request["url"]["path"].startswith("/p") and "word" not in json.dumps(record)
        assert record["action_id"] == 1 and record["severity_id"] == 1
        assert record["metadata"]["tenant_uid"] == "env-a" and record["policy"]["uid"] == proxy.ready["policy"]
    assert "http_response" not in attempt and "traffic" not in attempt
    assert attempt["unmapped"]["raw_target"] == url(origin, "/p?key=***")
    assert outcome["http_response"]["code"] == 200 and outcome["dst_endpoint"]["ip"] == origin.address
    assert outcome["traffic"]["bytes_out"] == origin.conn().received
    assert outcome["traffic"]["bytes_in"] == len(client.received)
    assert outcome["unmapped"]["dials"] == 1 and outcome["unmapped"]["dns_sent"] == 2
    assert sorted(q.type for q in lab.dns.asked("a.test")) == [1, 28]
    ended(proxy)


def test_denied(lab):
    """The 403 of a CONNECT, on plain HTTP: one wording, one record."""
    proxy = lab.proxy(allowed_hosts=["listed.test"], egress={"denial_hint": "Ask the platform team."})
    client = proxy.client()
    get(client, "http://denied.test/x?token=secret-query", "Authorization: Bearer secret-header")
    answer = read_answer(client)
    assert answer.status == 403 and "policy" in answer.phrase and "denied.test" in answer.phrase
    assert len(answer.phrase) <= 120 and answer.get("connection") == "close" and answer.get("proxy-status")
    body = answer.json
    assert set(body) == {"error", "reason", "host", "port", "environment", "rule", "request_id", "hint", "retry"}
    assert (body["reason"], body["host"], body["port"], body["environment"], body["retry"], body["hint"]) == (
        "host_not_allowed", "denied.test", 80, "env-a", False, "Ask the platform team.")
    assert body["request_id"] in answer.phrase
    tells_nothing_inner(answer)
    assert client.read_to_end() == b"" and not client.was_reset
    record = proxy.audit.attempt(**client.who, verdict="deny", reason="host_not_allowed", stage="target")
    assert (record["class_uid"], record["activity_id"], record["action_id"], record["severity_id"]) == (4002, 3, 2, 3)
    assert record["metadata"]["correlation_uid"].replace("-", "") == body["request_id"]
    assert record["http_request"]["url"]["hostname"] == "denied.test" and record["http_request"]["url"]["port"] == 80
    assert not proxy.audit.outcomes() and not lab.dns.asked()
    ended(proxy)


def test_port_80_is_the_default(lab):
    """In the policy and in Host: neither has to be written."""
    if not netns.entered():
        pytest.skip("port 80 can only be taken in a network namespace of our own, which needs root")
    origin = web(lab, port=80)
    lab.dns.set("a.test", origin.address)
    proxy = lab.proxy(hosts=[{"host": "a.test", "addresses": [origin.address + "/32"], "ports": [80]}])
    for text, host in (("http://a.test/1", "a.test"), ("http://a.test:80/2", "a.test"),
                       ("http://a.test/3", "a.test:80"), ("http://A.Test./4", "a.test")):
        client = proxy.client()
        get(client, text, host=host)
        assert read_answer(client).status == 200, text
    assert [(r.path, r.get("host")) for r in origin.seen] == [(f"/{i}", "a.test") for i in (1, 2, 3, 4)]
    client = proxy.client()
    get(client, "http://a.test:8080/")
    answer = read_answer(client)
    assert (answer.status, answer.reason) == (403, "port_not_allowed")


def test_ports_of_the_environment(lab):
    """80 is open for plain HTTP and closed for CONNECT, 443 the other way round."""
    proxy = lab.proxy(allowed_hosts=["nowhere.test"])
    for text, reason in (("http://nowhere.test/", "dns_failed"), ("http://nowhere.test:443/", "port_not_allowed"),
                         ("http://nowhere.test:8080/", "port_not_allowed"),
                         ("http://nowhere.test:22/", "port_not_allowed")):
        client = proxy.client()
        get(client, text)
        assert read_answer(client).reason == reason, text
    proxy.connect("nowhere.test", 80).expect(status=403, reason="port_not_allowed")


def test_methods(lab):
    """Of the environment, and of one host; an answer to a refused method names what is allowed (RFC 9110 15.5.6)."""
    strict, wide = web(lab), web(lab)
    proxy = lab.proxy(hosts=[strict.at("strict.test"), wide.at("wide.test", methods=["POST", "DELETE"])],
                      egress={"methods": ["GET", "HEAD"]})
    rows = [(strict, "strict.test", "GET", 200), (strict, "strict.test", "HEAD", 200),
            (strict, "strict.test", "POST", 405), (strict, "strict.test", "OPTIONS", 405),
            (strict, "strict.test", "TRACE", 405), (strict, "strict.test", "PROPFIND", 501),
            (wide, "wide.test", "POST", 200), (wide, "wide.test", "DELETE", 200), (wide, "wide.test", "GET", 405),
            (wide, "wide.test", "PUT", 405)]
    for origin, host, method, status in rows:
        client = proxy.client()
        get(client, url(origin, host=host), method=method)
        answer = read_answer(client, method if status == 200 else "GET")
        assert answer.status == status, f"{method} {host}: {answer!r}"
        if status == 405:
            assert answer.reason == "method_not_allowed"
            allow = {m.strip() for m in (answer.get("allow") or "").split(",")}
            assert method not in allow and allow
        record = proxy.audit.attempt(**client.who)
        known = {"GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8, "DELETE": 2}
        assert record["activity_id"] == known.get(method, 99)
    assert [(r.method, r.origin) for r in strict.seen + wide.seen] == [
        ("GET", strict), ("HEAD", strict), ("POST", wide), ("DELETE", wide)]


def test_failures_of_the_network_say_so(lab):
    """502 with `retry`, records with the reason, the connection closed."""
    gone = web(lab)
    gone.close()
    proxy = lab.proxy(hosts=[gone.at("gone.test")], allowed_hosts=["nowhere.test"])
    for text, reason in ((url(gone, host="gone.test"), "connect_failed"), ("http://nowhere.test/", "dns_failed")):
        client = proxy.client()
        get(client, text)
        answer = read_answer(client)
        assert (answer.status, answer.reason, answer.json["retry"]) == (502, reason, True)
        tells_nothing_inner(answer)
        assert client.read_to_end() == b""
        outcome = proxy.audit.outcome(**client.who, reason=reason)
        assert outcome["class_uid"] == 4002 and outcome["http_response"]["code"] == 502 and outcome["severity_id"] == 1


def test_addresses_are_checked(lab):
    """The door changes nothing about where a name may point."""
    lab.dns.set("in.test", "10.0.0.1")
    lab.dns.set("meta.test", "169.254.169.254")
    proxy = lab.proxy(allowed_hosts=["in.test", "meta.test"])
    for host in ("in.test", "meta.test"):
        client = proxy.client()
        get(client, f"http://{host}/latest/meta-data/")
        answer = read_answer(client)
        assert (answer.status, answer.reason) == (403, "address_forbidden")
        outcome = proxy.audit.outcome(**client.who, reason="address_forbidden")
        assert outcome["severity_id"] == 4 and outcome["unmapped"]["dials"] == 0


def test_secrets_are_never_recorded(plain):
    """Query values, user-info, credentials, cookies: nowhere under the audit directory, nor in the program's log."""
    origin, proxy = plain
    rows = [url(origin, "/a?token=secret-one&other=secret-two#"), url(origin, "/b?secret-three"),
            "http://user:secret-four@a.test/", "http://denied.test/c?key=secret-five",
            "http://denied.test/?a=1&secret-six&b=secret-seven", url(origin, "/ok?k=secret-eight")]
    for text in rows:
        client = proxy.client()
        get(client, text.rstrip("#"), "Authorization: Bearer secret-nine", "Cookie: c=secret-ten",
            "Proxy-Authorization: Basic secret-eleven", "X-Api-Key: secret-twelve", method="POST", body=b"secret-body")
        answer = read_answer(client)
        assert answer.status in (200, 400, 403)
        if answer.status != 200:
            assert b"secret" not in answer.head + answer.body
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, 5, "three outcomes")
    assert len(proxy.audit.attempts()) == len(rows)
    assert proxy.stop() == 0
    assert "secret-" not in json.dumps(proxy.audit.records()) + proxy.text()
    for path in proxy.audit_dir.rglob("*"):
        assert not path.is_file() or b"secret-" not in path.read_bytes(), path
    raw = [r["unmapped"]["raw_target"] for r in proxy.audit.attempts()]
    assert raw[0] == url(origin, "/a?token=***&other=***") and raw[1] == url(origin, "/b?***")
    assert proxy.audit.verifies()


def test_redirects_are_relayed(plain):
    """F-06: the proxy never follows; the next request is judged as itself."""
    origin, proxy = plain
    for place in ("http://169.254.169.254/latest/", "http://denied.test/x"):
        origin.on("/away", lambda e, place=place: e.reply("302 Found", headers=[("Location", place)]))
        client = proxy.client()
        get(client, url(origin, "/away"))
        answer = read_answer(client)
        assert answer.status == 302 and answer.get("location") == place
        get(client, place)
        assert read_answer(client).status == 403
    assert len(origin.seen) == 2


def test_ipv6_origin(lab):
    origin = lab.add(WebOrigin("::1"))
    proxy = start(lab, origin, "six.test")
    client = proxy.client()
    get(client, url(origin, "/6", host="six.test"))
    assert read_answer(client).body == b"GET /6 0" and origin.conn().local[0] == "::1"


def test_over_the_unix_socket(lab):
    origin = web(lab)
    proxy = start(lab, origin, unix=True)
    client = proxy.client(unix=True)
    for i in range(3):
        get(client, url(origin, f"/{i}"))
        assert read_answer(client).body == b"GET /%d 0" % i
    get(client, "http://denied.test/")
    assert read_answer(client).status == 403
    pairs(proxy, 3, host="a.test")
    ended(proxy)


# ---- many requests ----

def test_keep_alive(lab, plain):
    """One client connection, one upstream connection, a pair of records for each request; nothing for the idle end."""
    origin, proxy = plain
    client = proxy.client()
    for i in range(10):
        body = b"x" * i
        get(client, url(origin, f"/{i}"), method="POST", body=body)
        assert read_answer(client).body == b"POST /%d %d" % (i, i)
    assert origin.connections == 1 and not origin.bad
    client.close()
    attempts, outcomes = pairs(proxy, 10, **client.who)
    assert [r["http_request"]["url"]["path"] for r in attempts] == [f"/{i}" for i in range(10)]
    assert sum(r["unmapped"]["dials"] for r in outcomes) == 1
    assert sum(r["traffic"]["bytes_out"] for r in outcomes) == origin.conn().received
    assert sum(r["traffic"]["bytes_in"] for r in outcomes) == len(client.received)
    ended(proxy)
    assert len(proxy.audit.flows()) == 10


def test_upstreams_are_never_shared(plain):
    """S-21: each client connection has its own, though target and environment are the same."""
    origin, proxy = plain
    clients = [proxy.client() for _ in range(5)]
    for turn in range(3):
        for i, client in enumerate(clients):
            get(client, url(origin, f"/{i}"))
            assert read_answer(client).status == 200
    assert origin.connections == 5
    of = {}
    for request in origin.seen:
        of.setdefault(request.path, set()).add(request.connection)
    assert sorted(map(len, of.values())) == [1] * 5 and len(set.union(*of.values())) == 5


def test_upstream_that_closed_while_idle(plain):
    """The next request of the kept client takes a new connection; the client notices nothing."""
    origin, proxy = plain

    def once(exchange):
        exchange.read_body()
        exchange.reply(body=b"once")
        exchange.close()
    origin.on("/once", once)
    client = proxy.client()
    for i in range(4):
        get(client, url(origin, "/once"))
        assert read_answer(client).body == b"once"
        conn = origin.conn(i)
        wait_for(lambda c=conn: c.closed, what="the origin has closed it")
        # The proxy's side must have seen the end before the next request is sent: its own end then comes back.
        wait_for(lambda c=conn: c.sock.fileno() == -1, what="closed")
    assert len(origin.seen) == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_replayed(plain, method):
    """An origin that takes the second request and closes without an answer: 502, and no third time."""
    origin, proxy = plain

    def take_and_close(exchange):
        exchange.read_body()
        exchange.close()
    origin.on("/bad", take_and_close)
    client = proxy.client()
    get(client, url(origin, "/good"))
    assert read_answer(client).status == 200
    get(client, url(origin, "/bad"), method=method, body=b"pay" if method == "POST" else None)
    answer = read_answer(client)
    assert (answer.status, answer.reason) == (502, "upstream_invalid")
    assert [r.path for r in origin.seen] == ["/good", "/bad"]


def test_close_by_the_client(plain):
    """The word of the client ends both sides after the answer."""
    origin, proxy = plain
    client = proxy.client()
    get(client, url(origin, "/last"), "Connection: close")
    answer = read_answer(client)
    assert answer.body == b"GET /last 0" and answer.get("connection") == "close"
    assert client.read_to_end() == b"" and not client.was_reset
    conn = origin.conn()
    wait_for(lambda: conn.eof or conn.closed, what="the upstream side is closed")
    pairs(proxy, 1, **client.who)


def test_close_by_the_origin(plain):
    """The word of the origin is about its own connection; the client's may stay."""
    origin, proxy = plain
    origin.on("/c", raw_answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
    client = proxy.client()
    get(client, url(origin, "/c"))
    answer = read_answer(client)
    assert answer.body == b"ok" and answer.complete
    if answer.get("connection") != "close":
        get(client, url(origin, "/next"))
        assert read_answer(client).body == b"GET /next 0"
        assert origin.seen[-1].connection == 1
    else:
        assert client.read_to_end() == b""


@pytest.mark.parametrize("fields", [[], ["Connection: keep-alive"], ["Proxy-Connection: keep-alive"]])
@pytest.mark.parametrize("host", ["", None])
def test_http_1_0_client(plain, fields, host):
    """Answered and closed; it never sees a chunk, an interim answer or a kept connection."""
    origin, proxy = plain

    def in_chunks(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"3;x=y\r\nabc\r\n3\r\ndef\r\n0\r\nT: r\r\n\r\n")
    origin.on("/chunks", in_chunks)
    client = proxy.client()
    get(client, url(origin, "/chunks"), *fields, version="1.0", host=host)
    answer = read_head(client)
    assert answer.status == 200 and answer.get("transfer-encoding") is None and answer.get("content-length") is None
    assert answer.get("connection") in (None, "close")
    assert read_body(client, answer).body == b"abcdef" and answer.complete
    assert origin.seen[0].get("via").startswith("1.0 sallyport-")
    assert origin.seen[0].head.startswith(b"GET /chunks HTTP/1.1\r\nHost: a.test:")
    client = proxy.client()
    get(client, url(origin, "/plain"), *fields, version="1.0", host=host)
    assert read_answer(client).body == b"GET /plain 0" and client.read_to_end() == b""


def test_idle_end_is_no_attempt(plain):
    origin, proxy = plain
    clients = [proxy.client() for _ in range(3)]
    clients[0].close()
    get(clients[1], url(origin, "/1"))
    assert read_answer(clients[1]).status == 200
    clients[1].close()
    clients[2].half_close()
    assert clients[2].read_to_end() == b""
    ended(proxy)
    assert len(proxy.audit.attempts()) == 1


def test_half_a_head_is_an_attempt(lab, plain):
    """L-07: a connection that ends within a head leaves one record."""
    origin, proxy = plain
    client = proxy.client()
    get(client, url(origin, "/1"))
    assert read_answer(client).status == 200
    client.send(b"GET http://a.te")
    client.half_close()
    client.read_to_end()
    wait_for(lambda: len(proxy.audit.attempts(**client.who)) == 2, 5, proxy.audit.report)
    assert proxy.audit.attempts(**client.who)[1]["action_id"] == 2
    assert len(origin.seen) == 1
