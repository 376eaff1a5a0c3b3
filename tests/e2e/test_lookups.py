# SPDX-License-Identifier: Apache-2.0
"""Records of name lookups: one for each question that left, whoever waits for its answer and whatever becomes of it."""
import json
import subprocess

from lab import wait_for
from lab.dns import A, AAAA, REFUSED, SERVFAIL, no_aaaa
from lab.gateway import Gateway
from lab.origin import after_hello, echo
from lab.proxy import unprivileged

RCODE = {SERVFAIL: (2, "ServError"), REFUSED: (5, "Refused")}


def audit(proxy, verb, *args, expect=0):
    done = subprocess.run([proxy.binary, "audit", verb, str(proxy.audit_dir), *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, **unprivileged())
    assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def by_type(records):
    return {r["query"]["type"]: r for r in records}


def test_a_lookup_and_the_cache(lab):
    """Two questions, with answers, server, time and code, belong to the first tunnel; the second, of which nothing left,
    has none."""
    origin = lab.origin(after_hello(echo))
    proxy = Gateway(lab, [lab.policy(hosts=[origin.at("a.test")])], keys={"workers": 1})
    lab.dns.zone["a.test"].raw = no_aaaa
    for _ in range(2):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 2, what="both outcomes")
    first, second = sorted(proxy.audit.outcomes(), key=lambda r: r["metadata"]["sequence"])
    lookups = by_type(proxy.audit.lookups(host="a.test"))
    assert len(proxy.audit.lookups()) == 2 and set(lookups) == {"A", "AAAA"}
    for record in lookups.values():
        assert (record["class_uid"], record["activity_id"], record["type_uid"]) == (4003, 1, 400301)
        assert record["metadata"]["event_code"] == "lookup" and record["metadata"]["tenant_uid"] == "env-a"
        assert record["metadata"]["correlation_uid"] == record["connection_info"]["uid"] == \
            first["metadata"]["correlation_uid"]
        assert record["src_endpoint"]["port"] == first["src_endpoint"]["port"]
        assert record["dst_endpoint"] == {"ip": lab.dns.address, "port": lab.dns.port}
        assert record["connection_info"]["protocol_num"] == 17
        assert (record["rcode_id"], record["rcode"], record["status_id"]) == (0, "NoError", 1)
        assert record["unmapped"]["dns_sent"] == 1 and 0 <= record["duration"] <= 5000
        assert record["time"] - record["query_time"] == record["duration"]
    assert lookups["A"]["answers"] == [{"class": "IN", "type": "A", "rdata": origin.address, "ttl": 60}]
    assert lookups["A"]["unmapped"]["dns_result"] == "ok" and "answers" not in lookups["AAAA"]
    assert lookups["AAAA"]["unmapped"]["dns_result"] == "nodata"
    assert first["unmapped"]["dns_sent"] == 2 and second["unmapped"]["dns_sent"] == 0
    assert "dns_joined" not in first["unmapped"] and "dns_joined" not in second["unmapped"]
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
    # The policy, two attempts with their outcomes, two questions.
    numbers = [r["unmapped"]["env_seq"] for r in proxy.audit.records() if "tenant_uid" in r["metadata"]]
    assert numbers == list(range(1, 1 + 2 * 2 + 2 + 1))
    assert proxy.audit.event("log_stopped")["unmapped"]["dns_sent"] == 2


def test_two_at_once(lab):
    """Who comes while a question is under way waits for it: its record belongs to the first, and the other's outcome
    says so. The two are of different environments, and neither sees the other."""
    origin = lab.origin(after_hello(echo))
    hosts = [origin.at("slow.test")]
    proxy = Gateway(lab, [lab.policy(name="env-a", hosts=hosts), lab.policy(name="env-b", hosts=hosts)],
                    listeners=[{"listen": "127.0.0.1:0", "environment": name} for name in ("env-a", "env-b")],
                    keys={"workers": 1})
    lab.dns.zone["slow.test"].delay = {A: 0.7, AAAA: 0.7}
    clients = [proxy.at(0).connect("slow.test", origin.port)]
    lab.dns.wait_asked("slow.test", 2)
    clients.append(proxy.at(1).connect("slow.test", origin.port))
    for client in clients:
        client.expect(status=200)
        client.close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 2, what="both outcomes")
    assert len(lab.dns.asked("slow.test")) == 2
    assert {r["metadata"]["tenant_uid"] for r in proxy.audit.lookups()} == {"env-a"}
    asked, joined = (proxy.audit.outcome(environment=name) for name in ("env-a", "env-b"))
    assert asked["unmapped"]["dns_sent"] == 2 and "dns_joined" not in asked["unmapped"]
    assert joined["unmapped"]["dns_sent"] == 0 and joined["unmapped"]["dns_joined"] is True
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_answers_that_are_none(lab):
    """Failures have their code; silence has none and the number of repetitions."""
    proxy = lab.proxy(allowed_hosts=["*.k.test"], limits={"resolve_timeout": "300ms"})
    lab.dns.set("servfail.k.test", rcode=SERVFAIL)
    lab.dns.set("refused.k.test", rcode=REFUSED)
    lab.dns.set("silent.k.test", silent={A, AAAA})
    lab.dns.set("cut.k.test", "192.0.2.7", truncate=True)
    for name in ("servfail", "refused", "nothing", "silent"):
        proxy.connect(f"{name}.k.test", 443).read_reply(10)
    proxy.connect("cut.k.test", 443).read_reply(10)
    # The tunnel is refused at its deadline; the question lives as long as the library repeats it.
    assert proxy.audit.outcome(host="silent.k.test")["status_code"] == "dns_timeout"
    wait_for(lambda: len(proxy.audit.lookups(host="cut.k.test")) == 2, what="the newest lookup")
    assert not proxy.audit.lookups(host="silent.k.test")
    for name, rcode in (("servfail", SERVFAIL), ("refused", REFUSED)):
        for record in proxy.audit.lookups(host=f"{name}.k.test"):
            assert (record["rcode_id"], record["rcode"]) == RCODE[rcode]
            assert (record["status_id"], record["status_code"]) == (2, "dns_failed")
            assert record["unmapped"]["dns_result"] == name and "answers" not in record
    for record in proxy.audit.lookups(host="nothing.k.test"):
        assert (record["rcode_id"], record["rcode"], record["status_id"]) == (3, "NXDomain", 1)
    cut = by_type(proxy.audit.lookups(host="cut.k.test"))["A"]
    assert cut["connection_info"]["protocol_num"] == 6 and cut["unmapped"]["dns_sent"] == 2
    assert proxy.stop() == 0
    for record in proxy.audit.lookups(host="silent.k.test"):
        assert "rcode_id" not in record and record["status_id"] == 2
    assert len(proxy.audit.lookups()) == 10
    assert sum(r["unmapped"]["dns_sent"] for r in proxy.audit.lookups()) == len(lab.dns.asked())
    assert proxy.audit.verifies()


def test_repeated_after_the_tunnel_ended(lab):
    """What the library sends again when nobody waits any more is in the record of the question, and in the counter."""
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"resolve_timeout": "300ms"})
    lab.dns.set("a.test", silent={A, AAAA})
    proxy.connect("a.test", 443).read_reply(10)
    lab.dns.wait_asked("a.test", 4)
    assert proxy.stop() == 0
    assert proxy.audit.outcome(host="a.test")["unmapped"]["dns_sent"] == 2
    sent = [r["unmapped"]["dns_sent"] for r in proxy.audit.lookups(host="a.test")]
    assert len(sent) == 2 and sum(sent) == len(lab.dns.asked("a.test")) >= 4
    assert proxy.audit.event("log_stopped")["unmapped"]["dns_sent"] == sum(sent)
    assert proxy.audit.verifies()


def test_the_verbs_know_them(lab):
    """query by host, export, tail, a bundle, absence and replay."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")])
    for name in ("a.test", "b.test"):
        proxy.tunnel(name, origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 2, what="both outcomes")
    proxy.connect("c.test", 443).expect(status=403)
    assert proxy.stop() == 0
    found = [json.loads(line) for line in audit(proxy, "query", "--host", "a.test", "--json").splitlines()]
    assert sorted(r["metadata"]["event_code"] for r in found) == ["attempt", "lookup", "lookup", "outcome"]
    below = [json.loads(line) for line in audit(proxy, "query", "--host", "*.test", "--json").splitlines()]
    assert sum(r["metadata"]["event_code"] == "lookup" for r in below) == 4
    assert len(audit(proxy, "query", "--host", lab.dns.address, "--verdict", "allow").splitlines()) >= 4
    text = audit(proxy, "query", "--host", "b.test")
    assert " allow lookup - b.test A ok - env-a" in text and " allow lookup - b.test AAAA nodata - env-a" in text
    exported = [json.loads(line) for line in audit(proxy, "export").splitlines()]
    assert sum("query" in json.dumps(r) for r in exported) == 4
    bundle = proxy.audit_dir.parent / "admin" / "bundle"
    audit(proxy, "prove", "--env", "env-a", "--out", bundle)
    lines = [json.loads(line) for line in (bundle / "entries.jsonl").read_text().splitlines()]
    assert sum(r["metadata"]["event_code"] == "lookup" for r in lines) == 4
    statement = json.loads(audit(proxy, "absence", "--env", "env-a", "--host", "a.test", "--json", expect=5))
    assert (statement["contacts"], statement["lookups"]) == (1, 2)
    assert json.loads(audit(proxy, "absence", "--env", "env-a", "--host", "c.test", "--json"))["lookups"] == 0
    assert "5 decisions came out the same, 0 differ" in audit(proxy, "replay")
