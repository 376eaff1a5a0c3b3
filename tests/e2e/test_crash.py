# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: every flow that anybody outside has seen is in the log."""
import ctypes
import itertools
import os
import pathlib
import random
import signal
import threading

import pytest

from lab import Hello, wait_for
from lab.client import Client
from lab.hello import read_sni
from lab.proxy import INSTRUMENTED

from test_audit import signer_of

LONG = bool(os.environ.get("SALLYPORT_LONG"))
ROUNDS = 100 if LONG else 10
WIDTH = 12


class Load:
    """Clients that open tunnels to ever new names until they are told to stop."""

    def __init__(self, endpoint, port, names):
        self.endpoint, self.port, self.names = endpoint, port, names
        self.answered = []  # names whose client has read an answer
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i % 3 == 0,), daemon=True) for i in range(WIDTH)]
        for t in self.threads:
            t.start()

    def _run(self, denied):
        while not self.stop.is_set():
            name = f"n{next(self.names)}.{'denied' if denied else 'k'}.test"
            try:
                with Client(self.endpoint, timeout=5) as client:
                    reply = client.connect(name, self.port).read_reply()
                    self.answered.append((name, reply.status))
                    if reply.status == 200:
                        client.send(Hello(sni=name).raw)
                        client.half_close().read_to_end()
            except (OSError, AssertionError):
                if self.stop.wait(0.002):
                    return

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(20)


def test_kill_under_load(lab):
    """Audit test 10: every answered, asked or dialled flow has its attempt record; none twice; verify proves it."""
    origin = lab.origin()
    lab.dns.set("*.k.test", origin.address, ttl=0)
    policy = lab.policy(hosts=[origin.at("*.k.test")], ports={"connect": [origin.port]}, limits={
        "attempts_per_second": 1000000, "attempts_burst": 10000000, "distinct_names_per_minute": 8192})
    names = itertools.count()
    answered, dice = [], random.Random(20)
    audit_dir = signer_dir = None
    for i in range(ROUNDS):
        proxy = lab.proxy(policy, audit_dir=audit_dir, signer_dir=signer_dir)
        audit_dir, signer_dir = proxy.audit_dir, proxy.signer_dir
        load = Load(proxy.endpoint, origin.port, names)
        goal = dice.randrange(20, 120)
        wait_for(lambda: len(load.answered) >= goal, 20, lambda: f"{goal} answers, have {len(load.answered)}")
        proxy.kill(helpers=i % 2 == 0)
        load.end()
        answered += load.answered
        done = proxy.audit.verify()
        assert done.returncode == 0, f"after a kill: exit {done.returncode}\n{done.stdout.decode()}"
    last = lab.proxy(policy, audit_dir=audit_dir, signer_dir=signer_dir)
    last.connect("control.denied.test", 443).read_reply()
    assert last.stop() == 0
    assert last.audit.verifies()
    check_every_trace(lab, last, origin, answered)


@pytest.mark.parametrize("what", ["signer", "worker"])
def test_a_part_is_killed_under_load(lab, what):
    """kill -9 of the signer ends the program with a word, a crash of a worker at once; and no record is lost."""
    if what == "worker" and (INSTRUMENTED or os.uname().machine != "x86_64"):
        pytest.skip("a sanitizer has an end of its own for this signal, another processor another number for tgkill(2)")
    origin = lab.origin()
    lab.dns.set("*.k.test", origin.address, ttl=0)
    policy = lab.policy(hosts=[origin.at("*.k.test")], ports={"connect": [origin.port]}, limits={
        "attempts_per_second": 1000000, "attempts_burst": 10000000, "distinct_names_per_minute": 8192})
    names, answered, dice, dirs = itertools.count(), [], random.Random(21), {}
    for _ in range(20 if LONG else 3):
        proxy = lab.proxy(policy, **dirs)
        dirs = {"audit_dir": proxy.audit_dir, "signer_dir": proxy.signer_dir}
        load = Load(proxy.endpoint, origin.port, names)
        goal = dice.randrange(20, 120)
        wait_for(lambda: len(load.answered) >= goal, 20, lambda: f"{goal} answers, have {len(load.answered)}")
        if what == "signer":
            os.kill(signer_of(proxy), signal.SIGKILL)
            assert proxy.wait(20) == 1
            wait_for(lambda: "the signer has ended" in proxy.text(), what="it is said")
        else:
            workers = [int(t) for t in os.listdir(f"/proc/{proxy.pid}/task")
                       if pathlib.Path(f"/proc/{proxy.pid}/task/{t}/comm").read_text() == "sallyport-work\n"]
            assert ctypes.CDLL(None).syscall(234, proxy.pid, dice.choice(workers), signal.SIGSEGV) == 0
            assert proxy.wait(10) == -signal.SIGSEGV
        load.end()
        # Behind a shut gate all are refused with 503, and counted: nothing was asked or dialled for them.
        answered += [(name, status) for name, status in load.answered if status != 503]
        # Whoever was under way when the signer went is named by the next start.
        assert proxy.audit.verify().returncode in (0, 5 if what == "signer" else 0)
    last = lab.proxy(policy, **dirs)
    last.connect("control.denied.test", 443).read_reply()
    assert last.stop() == 0
    assert last.audit.verifies()
    check_every_trace(lab, last, origin, answered, least=20 if LONG else 3)


def check_every_trace(lab, proxy, origin, answered, least=ROUNDS):
    attempts = {}
    for records in proxy.audit.flows().values():
        host = records[0]["dst_endpoint"]["hostname"]
        attempts.setdefault(host, []).append(records)
    asked = {q.lower for q in lab.dns.asked()}
    dialled = {read_sni(bytes(c.data)) for c in origin.conns} - {None}
    for kind, names in (("answered", {n for n, _ in answered}), ("asked", asked), ("dialled", dialled)):
        missing = names - set(attempts)
        assert not missing, f"{len(missing)} flows were {kind} and are not in the log: {sorted(missing)[:5]}"
    twice = [host for host, flows in attempts.items() if len(flows) > 1]
    assert not twice, f"in the log twice: {twice[:5]}"
    assert len(dialled) > least and len(answered) >= least * 20


def test_open_flows_are_named_after_a_crash(lab):
    """Attempts without an outcome are listed by the next start, so that nobody has to guess."""
    from lab.origin import after_hello, echo
    origin = lab.origin(after_hello(echo))
    first = lab.proxy(hosts=[origin.at("a.test")])
    first.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    flow = first.audit.attempt(host="a.test", verdict="allow")["metadata"]["correlation_uid"]
    first.kill()
    done = first.audit.verify()
    assert done.returncode == 0 and b"open" in done.stdout.lower()
    again = lab.proxy(hosts=[origin.at("a.test")], audit_dir=first.audit_dir, signer_dir=first.signer_dir)
    assert flow.replace("-", "") in str(again.audit.events()).replace("-", "")
    assert again.stop() == 0
    assert again.audit.verifies()


def test_torn_tail_is_kept_aside(lab):
    """Bytes after the last commit were never acknowledged: cut, kept in quarantine, and on record."""
    from lab.proxy import unprivileged
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.connect("denied.test", 443).expect(status=403)
    proxy.kill()
    segment = sorted((proxy.audit_dir / "segments").iterdir())[-1]
    with open(segment, "ab") as out:
        out.write(b"\x01\x00torn" + bytes(range(200)))
    assert proxy.audit.verify().returncode == 0
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    kept = [p for p in (proxy.audit_dir / "quarantine").rglob("*") if p.is_file()]
    assert kept and any(b"torn" in p.read_bytes() for p in kept)
    again.audit.event("log_recovered")
    assert unprivileged() == {} or kept[0].stat().st_uid == unprivileged()["user"]
    assert again.stop() == 0
    assert again.audit.verifies()
