# SPDX-License-Identifier: Apache-2.0
"""Was everything recorded: one environment's numbers, and the kernel's own count of what the program sent."""
import itertools
import json
import os
import shutil
import subprocess

import pytest

from lab import netns, wait_for
from lab.origin import after_hello, echo
from lab.proxy import NOBODY, unprivileged
from lab.wire import Wire, journal
from test_audit import fill, small_disk  # noqa: F401
from test_crash import Load

needs_namespace = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a packet filter in a namespace")


def audit(proxy, verb, *args, expect=0):
    done = subprocess.run([proxy.binary, "audit", verb, str(proxy.audit_dir), *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, **unprivileged())
    assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def test_one_environment(lab):
    """Its numbers, attempts and outcomes; of another one nothing is said."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    for i in range(3):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    for i in range(4):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, what="all outcomes")
    assert proxy.stop() == 0
    ours = [r for r in proxy.audit.records() if r["metadata"].get("tenant_uid") == "env-a"]
    text = audit(proxy, "verify", "--env", "env-a")
    assert f"its numbers 1 to {len(ours)} are all here, without a gap" in text
    assert "environment env-a: 7 attempts, 4 of them denied in the end, 3 outcomes, 0 without one" in text
    assert "completeness of other environments" in text
    assert "no entry of it was read" in audit(proxy, "verify", "--env", "env", expect=5)
    report = json.loads(audit(proxy, "verify", "--env", "env-a", "--json"))
    assert report["environment"] == {"entries": len(ours), "first_seq": 1, "last_seq": len(ours), "attempts": 7,
                                     "denied": 4, "outcomes": 3, "open": 0}


def test_a_part_of_the_log(lab):
    """From a segment on: what lies before is not read, and that is said; a pinned head before it is not judged."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.connect("one.test", 443).expect(status=403).close()
    assert proxy.stop() == 0
    size = len(proxy.audit.records())
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    again.connect("two.test", 443).expect(status=403).close()
    assert again.stop() == 0
    # There is one segment: the part is the whole.
    assert "not proven: anything about the entries before" not in audit(again, "verify", "--since", size)
    assert json.loads(audit(again, "verify", "--since", size, "--json"))["begun"] == 0
    audit(again, "verify", "--since", "soon", expect=64)
    assert json.loads(audit(again, "verify", "--since", size, "--full", "--json"))["begun"] == 0


# ---- the kernel's count ----

@pytest.fixture
def counted():
    """Loads the rules that the program prints for its account; counts, and takes them away again."""
    assert shutil.which("nft") is not None, "nft is missing: tools/packages test installs it"
    assert netns.entered(), "these rules are for a namespace of our own"

    class Counted:
        def load(self, proxy_binary, dns_port):
            rules = subprocess.run([proxy_binary, "nft", "audit-counter", "--uid", str(NOBODY), "--dns-port",
                                    str(dns_port)], stdout=subprocess.PIPE, check=True, timeout=20).stdout
            subprocess.run(["nft", "-f", "-"], input=rules, check=True, timeout=20)

        def save(self, path):
            path.write_bytes(subprocess.run(["nft", "-j", "list", "counters", "table", "inet", "sallyport_audit"],
                                            stdout=subprocess.PIPE, check=True, timeout=20).stdout)
            os.chmod(path, 0o644)
            return path
    yield Counted()
    subprocess.run(["nft", "delete", "table", "inet", "sallyport_audit"], stderr=subprocess.DEVNULL, timeout=20)


@needs_namespace
def test_every_packet_has_its_record(lab, counted):
    """Audit test 20: each SYN and each DNS query comes after the attempt that it belongs to was committed; their
    number is that of the outcomes, that of the capture, and that of the kernel's counter."""
    origin = lab.origin(after_hello(echo))
    dns_port = lab.dns.port
    counted.load(lab.binary, dns_port)
    wire = Wire(dns_port)
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")])
    lab.dns.set("nobody.test")
    for name in ("a.test", "b.test", "a.test"):
        proxy.tunnel(name, origin.port).send(b"x").expect(data=b"x").close()
    for i in range(5):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, what="all outcomes")
    assert proxy.stop() == 0
    wire.close()
    outcomes = proxy.audit.outcomes()
    dials = sum(r["unmapped"]["dials"] for r in outcomes)
    queries = sum(r["unmapped"]["dns_sent"] for r in proxy.audit.lookups())
    assert dials == 3 and queries >= 2 and queries == sum(r["unmapped"]["dns_sent"] for r in outcomes)
    syns = [at for at, port in wire.syns if port == origin.port]
    assert len(syns) == dials and len(wire.queries) == queries
    allowed = sorted(r["time"] for r in proxy.audit.attempts(verdict="allow"))
    assert len(allowed) == 3
    check_order(proxy, wire, origin.port)
    file = counted.save(lab.folder / "counted.json")
    text = audit(proxy, "verify", "--counter", file)
    assert f"connections: the outcomes hold {dials}, and the kernel counted as many" in text
    assert f"DNS queries: the lookup records hold {queries}, and the kernel counted as many" in text


def check_order(proxy, wire, port):
    """Whatever left did so behind the commit of an attempt of its own: of that name for a question, and of any for a SYN,
    which has none, the n-th behind the n-th. Gives the names that were asked."""
    committed = journal(proxy.audit_dir)
    allowed = {}
    for record in proxy.audit.attempts(verdict="allow"):
        at = committed[record["metadata"]["sequence"]]
        allowed.setdefault(record["dst_endpoint"]["hostname"], []).append(at)
    for at, name in wire.queries:
        assert name in allowed, f"{name} was asked for, and no attempt is on record"
        assert min(allowed[name]) < at, f"{name} was asked for before its attempt was committed"
    syns = sorted(at for at, to in wire.syns if to == port)
    commits = sorted(at for times in allowed.values() for at in times)
    assert len(syns) <= len(commits), f"{len(syns)} connections were begun, {len(commits)} attempts are on record"
    assert all(commit < syn for commit, syn in zip(commits, syns))
    return {name for _, name in wire.queries}


QUICK = {"attempts_per_second": 1000000, "attempts_burst": 10000000, "distinct_names_per_minute": 8192}


@needs_namespace
def test_kill_with_the_wire_watched(lab, counted):
    """Audit test 20 under test 10: five times kill -9 under load; no SYN and no question is without its attempt, and
    what the outcomes and lookups hold is no more than what the kernel counted."""
    origin = lab.origin()
    lab.dns.set("*.k.test", origin.address, ttl=0)
    policy = lab.policy(hosts=[origin.at("*.k.test")], ports={"connect": [origin.port]}, limits=QUICK)
    counted.load(lab.binary, lab.dns.port)
    wire = Wire(lab.dns.port)
    names, places = itertools.count(), {}
    for _ in range(5):
        proxy = lab.proxy(policy, **places)
        places = {"audit_dir": proxy.audit_dir, "signer_dir": proxy.signer_dir}
        load = Load(proxy.endpoint, origin.port, names)
        wait_for(lambda: len(load.answered) >= 60, 20, "answers")
        proxy.kill()
        load.end()
    last = lab.proxy(policy, **places)
    assert last.stop() == 0
    wire.close()
    asked = check_order(last, wire, origin.port)
    assert len(asked) > 30
    assert {name for name, status in load.answered if status == 200} <= asked
    syns = sum(port == origin.port for _, port in wire.syns)
    outcomes, lookups = last.audit.outcomes(), last.audit.lookups()
    lost = len(last.audit.attempts(verdict="allow")) - len(outcomes)
    dials = sum(r["unmapped"]["dials"] for r in outcomes)
    questions = sum(r["unmapped"]["dns_sent"] for r in lookups)
    assert lost > 0 and dials <= syns <= dials + lost
    assert questions <= len(wire.queries) <= questions + 2 * lost
    file = counted.save(lab.folder / "counted.json")
    text = audit(last, "verify", "--counter", file)
    assert f"connections: {dials} on record, {syns} counted" in text or f"the outcomes hold {dials}, and" in text, text
    assert last.audit.verifies()


@needs_namespace
def test_a_full_disk_with_the_wire_watched(lab, counted, small_disk):  # noqa: F811
    """Audit test 20 under test 12: the disk fills up under load and is emptied again; nothing left while nothing could
    be written, and the numbers are equal to the last one."""
    origin = lab.origin()
    lab.dns.set("*.k.test", origin.address, ttl=0)
    policy = lab.policy(hosts=[origin.at("*.k.test")], ports={"connect": [origin.port]}, limits=QUICK)
    counted.load(lab.binary, lab.dns.port)
    wire = Wire(lab.dns.port)
    proxy = lab.proxy(policy, audit_dir=small_disk / "audit")
    load = Load(proxy.endpoint, origin.port, itertools.count())
    wait_for(lambda: len(load.answered) >= 30, 20, "answers")
    filler = small_disk / "filler"
    fill(filler)
    wait_for(lambda: [s for _, s in load.answered].count(503) >= 10, 20, "refusals for want of evidence")
    filler.unlink()
    proxy.audit.event("gate_opened", seconds=20)
    again = len(load.answered)
    wait_for(lambda: 200 in [s for _, s in load.answered[again:]], 20, "tunnels again")
    load.end()
    assert proxy.stop() == 0
    wire.close()
    check_order(proxy, wire, origin.port)
    assert proxy.audit.event("gate_closed") and proxy.audit.event("gate_opened")["unmapped"]["refused"] > 0
    dials = sum(r["unmapped"]["dials"] for r in proxy.audit.outcomes())
    questions = sum(r["unmapped"]["dns_sent"] for r in proxy.audit.lookups())
    assert dials == sum(port == origin.port for _, port in wire.syns) and questions == len(wire.queries)
    stopped = proxy.audit.event("log_stopped")["unmapped"]
    assert (stopped["dials"], stopped["dns_sent"]) == (dials, questions)
    file = counted.save(lab.folder / "counted.json")
    text = audit(proxy, "verify", "--counter", file)
    assert f"connections: the outcomes hold {dials}, and the kernel counted as many" in text
    assert f"DNS queries: the lookup records hold {questions}, and the kernel counted as many" in text
    assert proxy.audit.verifies()




@needs_namespace
def test_what_left_unrecorded_is_found(lab, counted):
    """The same account opens a connection past the program: the kernel counted one more than the log holds."""
    origin = lab.origin(after_hello(echo))
    counted.load(lab.binary, lab.dns.port)
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 1, what="the outcome")
    assert proxy.stop() == 0
    script = f"import socket; socket.create_connection(('{origin.address}', {origin.port}))"
    subprocess.run(["/usr/bin/python3", "-c", script], check=True, timeout=20, **unprivileged())
    file = counted.save(lab.folder / "counted.json")
    text = audit(proxy, "verify", "--counter", file, expect=5)
    assert "connections: the kernel counted 2, the outcomes hold 1: 1 left unrecorded" in text
    (lab.folder / "empty.json").write_text("{}")
    audit(proxy, "verify", "--counter", lab.folder / "empty.json", expect=1)
