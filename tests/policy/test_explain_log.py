# SPDX-License-Identifier: Apache-2.0
"""`explain` with a request id: what was answered then is answered again, from the log and the texts beside it."""
import json
import subprocess

import pytest

from cases import POLICIES
from lab import Lab, wait_for
from lab.lab import base_folder
from lab.proxy import usable_binary


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
