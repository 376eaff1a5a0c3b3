# SPDX-License-Identifier: Apache-2.0
"""`explain` with a request id: what was answered then is answered again, from the log and the texts beside it."""
import json
import subprocess

import pytest

from cases import POLICIES
from lab import Lab, wait_for
from lab.lab import base_folder
from lab.proxy import usable_binary
from test_sessions import Sessions


@pytest.fixture
def lab():
    binary = usable_binary(base_folder())
    if binary is None:
        pytest.skip("SALLYPORT does not name the program")
    one = Lab(binary=binary)
    yield one
    one.close()


def explain(proxy, request, *options):
    return subprocess.run([proxy.binary, "explain", "--audit-dir", str(proxy.audit_dir), *options, "--", request],
                          capture_output=True, timeout=60, check=False)


def asked(proxy, request, *options):
    done = explain(proxy, request, "--json", *options)
    assert done.returncode in (0, 1), done.stderr.decode()
    return json.loads(done.stdout)


def test_refusals_are_explained_from_the_log(lab):
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], allowed_hosts=["b.test", "11.22.33.44"])
    lab.dns.set("b.test", "10.0.0.1")
    for target, reason in (("other.test:443", "host_not_allowed"), ("b.test:443", "address_forbidden"),
                           ("b.test:22", "port_not_allowed"), ("[2600::44]:443", "literal_not_allowed"),
                           ("b.test:0443", "malformed_target")):
        client = proxy.client().request(target, host="b.test" if reason == "malformed_target" else None)
        reply = client.read_reply()
        assert reply.reason == reason
        if reason == "address_forbidden":
            proxy.audit.outcome(**client.who)  # an outcome is written after its answer
        told = asked(proxy, reply.json["request_id"])
        assert (told["verdict"], told["reason"], told["rule"]) == ("deny", reason, reply.json["rule"])
        assert told["request_id"] == reply.json["request_id"]
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.hello(sni="x.test").expect(alert="unrecognized_name")
    flow = proxy.audit.outcome(**client.who)["metadata"]["correlation_uid"]
    told = asked(proxy, flow)
    assert (told["reason"], told["rule"], told["hello_judged"]) == ("sni_mismatch", "egress.hosts[0]", True)
    text = explain(proxy, flow).stdout.decode()
    assert text.startswith("RECORDED  sni_mismatch by egress.hosts[0] at stage hello")


def test_the_policy_then_in_force_is_asked(lab):
    """A later policy allows it; the explanation is of the one that refused, unless the new one is named."""
    proxy = lab.proxy(allowed_hosts=["b.test"])
    refused = proxy.connect("later.test", 443).read_reply()
    proxy.write_policy(lab.policy(allowed_hosts=["later.test"]))
    proxy.hup()
    wait_for(lambda: len(proxy.audit.events("policy_loaded")) == 2, 10, "the second policy")
    told = asked(proxy, refused.json["request_id"])
    assert (told["verdict"], told["reason"]) == ("deny", "host_not_allowed")
    told = asked(proxy, refused.json["request_id"], "--policy", str(proxy.policy_file))
    assert (told["verdict"], told["reason"]) == ("allow", "allowed")


def test_what_is_not_there(lab):
    proxy = lab.proxy(allowed_hosts=["b.test"])
    for request in ("0" * 32, "no-such-id", "11.22.33.44"):
        done = explain(proxy, request)
        assert done.returncode == 2 and b"no request" in done.stderr
    reply = proxy.connect("other.test", 443).read_reply()
    for blob in (proxy.audit_dir / "blobs").iterdir():
        blob.unlink()
    assert explain(proxy, reply.json["request_id"]).returncode == 2
    told = asked(proxy, reply.json["request_id"], "--policy", str(POLICIES / "empty.yaml"))
    assert told["reason"] == "host_not_allowed"


# ---- sessions ----

LONG = ",".join(f"host-{i:03}.of-a-long-list.test" for i in range(40))


@pytest.fixture
def narrowed(lab):
    """A proxy with sessions, whose environment allows three hosts and an MCP endpoint."""
    egress = {"mcp_servers": [{"type": "url", "name": "m", "url": "https://mcp.test/"}]}
    proxy = lab.proxy(lab.policy(allowed_hosts=["a.test", "b.test", "c.test"], networking={"allow_mcp_servers": True},
                                  egress=egress))
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return proxy, Sessions(proxy)


def refused(sessions, path, host, reason="host_not_allowed"):
    with sessions.client(path) as client:
        reply = client.connect(host, 443).read_reply()
    assert (reply.reason, reply.json["rule"]) == (reason, "session")
    return reply.json["request_id"]


def session_layer(told):
    return next(one["answer"] for one in told["layers"] if one["layer"] == "session")


@pytest.mark.parametrize("hosts, more", [("a.test", "a.test"), (LONG, LONG)], ids=["short", "long"])
def test_what_the_session_left_is_a_layer(narrowed, hosts, more):
    """Also when the list is longer than a record, and after the session was given back what it asked for."""
    proxy, sessions = narrowed
    path = sessions.open("s-1", "--allow-hosts", hosts)
    request = refused(sessions, path, "b.test")
    sessions.good("set", "--session", "s-1", "--allow-hosts", "a.test,b.test")
    told = asked(proxy, request)
    assert (told["verdict"], told["reason"], told["rule"]) == ("deny", "host_not_allowed", "session")
    assert told["session"] == {"id": "s-1", "leaves": f"only these hosts: {hosts}"}
    assert session_layer(told) == "deny"
    assert next(one["answer"] for one in told["layers"] if one["layer"] == "allowed_hosts") == "allow"
    assert f"sallyport session set --session s-1 --allow-hosts '{more},b.test'" in told["opening"]
    assert not told["opens"] and "allowed_hosts:" not in told["opening"]
    text = explain(proxy, request).stdout.decode()
    assert f"SESSION   s-1: only these hosts: {hosts}\n" in text
    assert any(line.split()[:3] == ["session", "deny", "host_not_allowed"] for line in text.splitlines())
    with sessions.client(path) as client:
        again = client.connect("nowhere.test", 443).read_reply().json["request_id"]
    told = asked(proxy, again)
    assert (told["rule"], told["session"]["leaves"]) == ("default", "only these hosts: a.test,b.test")
    assert "allowed_hosts:" in told["opening"] and "--allow-hosts 'a.test,b.test,nowhere.test'" in told["opening"]


def test_what_else_a_session_or_an_order_closes(narrowed):
    proxy, sessions = narrowed
    path = sessions.open("s-1", "--no-mcp-servers")
    told = asked(proxy, refused(sessions, path, "mcp.test"))
    assert session_layer(told) == "deny" and "closed in this session for good" in told["opening"]
    sessions.good("deny-all", "--session", "s-1")
    told = asked(proxy, refused(sessions, path, "a.test"))
    assert told["opening"].endswith("sallyport session lift --session s-1   # the session was denied everything\n")
    sessions.good("lift", "--session", "s-1")
    sessions.good("deny-all", "--environment", "env-a")
    reply = proxy.connect("a.test", 443).read_reply()
    assert reply.json["rule"] == "session"
    told = asked(proxy, reply.json["request_id"])
    assert told["session"] == {"id": "", "leaves": "deny-all of the environment"}
    assert "sallyport session lift --environment 'env-a'" in told["opening"]
    sessions.good("lift", "--environment", "env-a")
    lab_reply = proxy.connect("x.test", 443).read_reply()
    told = asked(proxy, lab_reply.json["request_id"])
    assert "session" not in told and session_layer(told) == "none"


def test_a_lost_list_of_a_session_is_said(narrowed):
    proxy, sessions = narrowed
    path = sessions.open("s-1", "--allow-hosts", LONG)
    request = refused(sessions, path, "b.test")
    blob = proxy.audit.event("session_opened")["unmapped"]["session_blob"]
    (proxy.audit_dir / "blobs" / blob).unlink()
    done = explain(proxy, request)
    assert done.returncode == 2 and b"what the session 's-1' had narrowed cannot be told" in done.stderr
