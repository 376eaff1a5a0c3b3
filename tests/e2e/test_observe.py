# SPDX-License-Identifier: Apache-2.0
"""mode: observe: what would be refused passes and its records say so; what is hard stays hard, and the day ends."""
import datetime

from lab import wait_for
from lab.origin import after_hello, echo


def day(offset):
    return (datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=offset)).isoformat()


def observing(lab, until, **options):
    """A policy that knows one name and would refuse every other."""
    options.setdefault("allowed_hosts", ["known.test"])
    return lab.policy(egress={"mode": "observe", "observe_until": until, "denied_hosts": ["never.test"],
                              **options.pop("egress", {})}, **options)


def test_a_refusal_passes_and_is_recorded(lab):
    origin = lab.origin()
    policy = observing(lab, day(2), hosts=[origin.at("a.test")])
    proxy = lab.proxy(policy)
    # a name that nothing allows: asked of the resolver, whose answer is private and stays forbidden
    lab.dns.set("b.test", "10.0.0.1")
    client = proxy.connect("b.test", 443)
    assert client.read_reply().reason == "address_forbidden"
    attempt = proxy.audit.attempt(**client.who)
    assert (attempt["status_code"], attempt["action_id"]) == ("allowed", 1)
    assert attempt["unmapped"]["observed"] == "host_not_allowed"
    outcome = proxy.audit.outcome(**client.who)
    assert (outcome["status_code"], outcome["unmapped"]["observed"]) == ("address_forbidden", "host_not_allowed")
    # a hello that names nothing, through a host that is allowed
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.hello(sni=None)
    wait_for(lambda: origin.connections, 10, "the origin")
    client.close()
    outcome = proxy.audit.outcome(**client.who)
    assert outcome["unmapped"]["observed"] == "sni_absent" and outcome["action_id"] == 1
    # what is allowed anyway carries no such word
    client = proxy.connect("a.test", origin.port).expect(status=200)
    client.hello(sni="a.test")
    client.close()
    assert "observed" not in proxy.audit.outcome(**client.who)["unmapped"]
    loaded = proxy.audit.event("policy_loaded")["unmapped"]
    assert (loaded["mode"], loaded["observe_until"]) == ("observe", day(2))
    assert "the environment observes" in proxy.text()


def test_the_other_name_of_a_hello_is_on_record(lab):
    """It is let pass and said; after a reload that still observes the tunnel stays, after one that enforces it goes."""
    origin = lab.origin(after_hello(echo))
    policy = observing(lab, day(2), hosts=[origin.at("a.test")])
    proxy = lab.proxy(policy)
    clients = []
    for name in ("b.test", "a.test"):
        client = proxy.connect("a.test", origin.port).expect(status=200).hello(sni=name)
        clients.append(client.send(b"x").expect(data=b"x"))
    proxy.write_policy(observing(lab, day(3), hosts=[origin.at("a.test")]))
    proxy.hup()
    wait_for(lambda: len(proxy.audit.events("policy_loaded")) == 2, 10, "the second policy")
    for client in clients:
        client.send(b"y").expect(data=b"y")
    proxy.write_policy(lab.policy(hosts=[origin.at("a.test")]))
    proxy.hup()
    outcome = proxy.audit.outcome(**clients[0].who)
    assert (outcome["status_code"], outcome["tls"]["sni"]) == ("revoked", "b.test")
    assert outcome["unmapped"]["observed"] == "sni_mismatch"
    assert outcome["firewall_rule"]["uid"] == "egress.hosts[0]"
    clients[1].send(b"z").expect(data=b"z")
    clients[1].close()
    outcome = proxy.audit.outcome(**clients[1].who)
    assert (outcome["status_code"], outcome["tls"]["sni"]) == ("allowed", "a.test")


def test_hard_rules_stay(lab):
    proxy = lab.proxy(observing(lab, day(2)))
    for target, reason in (("never.test:443", "host_denied"), ("b.test:22", "port_not_allowed"),
                           ("169.254.169.254:443", "address_forbidden"), ("b.test:0443", "malformed_target")):
        client = proxy.client().request(target, host="b.test" if reason == "malformed_target" else None)
        assert client.read_reply().reason == reason, target
    assert lab.dns.asked("never.test") == []


def test_a_day_in_the_past_enforces(lab):
    proxy = lab.proxy(observing(lab, day(-1)))
    client = proxy.connect("b.test", 443)
    assert client.read_reply().reason == "host_not_allowed"
    record = proxy.audit.attempt(**client.who)
    assert record["action_id"] == 2 and "observed" not in record["unmapped"]
    assert "the last day of its mode observe is over" in proxy.text()
