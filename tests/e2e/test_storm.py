# SPDX-License-Identifier: Apache-2.0
"""Reloads under fire, and a restart under it."""
import itertools
import os
import selectors
import socket
import threading
import time

import pytest

from lab import wait_for
from lab.client import Client
from lab.gateway import Gateway
from lab.hello import Hello
from lab.origin import after_hello, echo
from lab.proxy import INSTRUMENTED

from test_unix import Manager

LONG = bool(os.environ.get("SALLYPORT_LONG"))
RELOADS = 1000 if LONG else 40 if INSTRUMENTED else 100
EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192}


def post_reload(gateway):
    """What `sallyport reload` says, without a process each time: the status of the answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(f"{gateway.folder}/admin/a.sock")
        s.sendall(b"POST /reload HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return int(s.makefile("rb").readline().split()[1])


class Fire:
    """Threads that ask for one of two names after the other, and keep what they were told."""

    def __init__(self, endpoint, names, port, width=3):
        self.endpoint, self.names, self.port = endpoint, names, port
        self.told, self.problems, self.stop = [], [], threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(width)]
        for t in self.threads:
            t.start()

    def _run(self, at):
        for i in itertools.count(at):
            if self.stop.is_set():
                return
            name = self.names[i % len(self.names)]
            try:
                with Client(self.endpoint, timeout=10) as client:
                    status = client.connect(name, self.port).read_reply().status
                    if status == 200:
                        client.send(Hello(sni=name).raw)
                    self.told.append((name, client.who["src_port"], status))
            except (OSError, AssertionError) as problem:
                self.problems.append(f"{name}: {problem}")

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(20)


def resident(pid):
    return int(next(line.split()[1] for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")))


def allowed_tunnel(gateway, port):
    try:
        return gateway.open_tunnel(0, "a.test", port)
    except AssertionError:
        return None


def test_reloads_under_fire(lab):
    """Policies alternate while connections come: each is judged by one of the known generations, what that one forbids
    is refused, tunnels that a load forbids are closed in time, and the environment that did not change is left alone."""
    origin, calm = lab.origin(after_hello(echo)), lab.origin(after_hello(echo))
    hosts = [origin.at("a.test"), origin.at("b.test")]
    allowed = {"a.test": lab.policy(name="moving", hosts=hosts[:1], limits=EAGER),
               "b.test": lab.policy(name="moving", hosts=hosts[1:], limits=EAGER)}
    gateway = Gateway(lab, [allowed["a.test"], lab.policy(name="calm", hosts=[calm.at("calm.test")], limits=EAGER)],
                      [{"listen": "127.0.0.1:0", "environment": "moving"},
                       {"listen": "127.0.0.1:0", "environment": "calm"}])
    idle = gateway.descriptors()
    kept = [gateway.open_tunnel(1, "calm.test", calm.port).send(b"0").expect(data=b"0") for _ in range(5)]
    fires = [Fire(gateway.endpoints[0], ["a.test", "b.test"], origin.port),
             Fire(gateway.endpoints[1], ["calm.test"], calm.port, width=1)]
    wait_for(lambda: len(fires[0].told) > 20 and fires[1].told, 20, "the fire burns")
    sizes, slowest = [], 0.0
    for i in range(RELOADS):
        name = "b.test" if i % 2 == 0 else "a.test"
        doomed = None
        if i % 10 == 0:
            # The answer to a reload comes before the last worker has the new policy.
            doomed = wait_for(lambda: allowed_tunnel(gateway, origin.port), 10, "the policy is in force").send(b"1")
            doomed.expect(data=b"1")
        gateway.write_environment(allowed[name], "moving")
        assert post_reload(gateway) == 200
        if doomed:
            begun = time.monotonic()
            doomed.read_to_end(6)
            slowest = max(slowest, time.monotonic() - begun)
            kept[i % len(kept)].send(b"x").expect(data=b"x")
        if i % (RELOADS // 10) == RELOADS // 10 - 1:
            sizes.append((gateway.descriptors(), resident(gateway.pid)))
    for fire in fires:
        fire.end()
        assert not fire.problems, fire.problems[:3]
    for one in kept:
        one.send(b"end").expect(data=b"end").close()
    assert slowest < 5, f"a tunnel that was forbidden lived for {slowest:.1f} s"
    judged_by_known_generations(gateway, fires, RELOADS)
    if not INSTRUMENTED:
        half = len(sizes) // 2
        grown = max(s[1] for s in sizes[half:]) - max(s[1] for s in sizes[:half])
        assert grown < 8 << 10, f"resident memory has grown by {grown} KiB: {sizes}"
    for client in gateway.clients:
        client.close()
    # Of what was opened in between, the pipes and channels that later connections use again may stay.
    wait_for(lambda: gateway.descriptors() <= idle + 24 and gateway.status()["descriptors"] == 0, 10,
             lambda: f"{idle} descriptors, have {gateway.descriptors()}: {sizes}")
    assert gateway.stop() == 0
    assert gateway.audit.verifies()


def judged_by_known_generations(gateway, fires, reloads):
    loads = [r for r in gateway.audit.events("policy_loaded") if r["metadata"].get("tenant_uid") == "moving"]
    by_generation = {r["unmapped"]["generation"]: r["entity"]["uid"] for r in loads}
    assert len(loads) > reloads, "each load is on record"
    ids = {}
    for record in gateway.audit.attempts(environment="moving"):
        host, verdict = record["dst_endpoint"]["hostname"], record["action_id"] == 1
        uid, generation = record["policy"]["uid"], int(record["policy"]["version"])
        in_force = by_generation[max(g for g in by_generation if g <= generation)]
        assert uid == in_force, f"generation {generation} is {in_force}, not {uid}"
        ids.setdefault(uid, {}).setdefault(host, set()).add(verdict)
    assert len(ids) == 2, "two policies, and no third"
    for verdicts in ids.values():
        assert sorted(tuple(v) for v in verdicts.values()) == [(False,), (True,)], f"one verdict a policy: {ids}"
    told = {status for _, _, status in fires[0].told}
    assert told <= {200, 403} and {status for _, _, status in fires[1].told} == {200}
    calm = gateway.audit.attempts(environment="calm")
    assert len({r["policy"]["uid"] for r in calm}) == 1 and all(r["action_id"] == 1 for r in calm)
    assert not [r for r in gateway.audit.outcomes(environment="calm") if r["status_code"] == "revoked"]
    assert len([r for r in gateway.audit.outcomes(environment="moving") if r["status_code"] == "revoked"]) >= reloads / 10


# ---- a restart ----

RATE = 100 if INSTRUMENTED else 500
SECONDS = 60  # at most


class Stream:
    """RATE new connections a second to a Unix socket, each with its CONNECT, from one thread, until it is enough."""

    def __init__(self, path, name, port):
        self.path, self.head = path, f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
        self.answers, self.failed, self.late = [], [], 0.0
        self.started, self.enough = 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _open(self, selector):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(self.path)
            s.send(self.head)
        except OSError as problem:
            self.failed.append(str(problem))
            s.close()
            return
        selector.register(s, selectors.EVENT_READ, time.monotonic())

    def _run(self):
        selector = selectors.DefaultSelector()
        begun, end = time.monotonic(), time.monotonic() + SECONDS
        while time.monotonic() < end:
            due = int((time.monotonic() - begun) * RATE)
            while self.started < due and not self.enough.is_set():
                self._open(selector)
                self.started += 1
            if self.enough.is_set() and not selector.get_map():
                return
            for key, _ in selector.select(0.002):
                self._answer(selector, key)
        self.failed += ["no answer"] * len(selector.get_map())

    def _answer(self, selector, key):
        try:
            data = key.fileobj.recv(4096)
            self.answers.append(int(data.split()[1]))
        except (OSError, IndexError) as problem:
            self.failed.append(f"answer: {problem}")
        self.late = max(self.late, time.monotonic() - key.data)
        selector.unregister(key.fileobj)
        key.fileobj.close()


def test_a_restart_under_fire_refuses_nobody(lab):
    """New tunnels come all the time; the socket is the service manager's: who comes while nobody accepts waits. A tunnel
    that is open goes on until its end, and the old program waits for it."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("a.test", origin.address, ttl=60)
    manager = lab.add(Manager(lab, lab.policy(hosts=[origin.at("a.test")], limits=EAGER)))
    manager.socket.listen(4096)
    assert manager.start(f"unix:{manager.path}")
    with Client(manager.path) as kept:
        kept.connect("a.test", origin.port).expect(status=200).hello(sni="a.test").send(b"1").expect(data=b"1")
        stream = Stream(manager.path, "a.test", origin.port)
        wait_for(lambda: len(stream.answers) > RATE // 2, 20, "the stream runs")
        old = manager.process
        old.terminate()
        for i in range(5):
            kept.send(b"still here").expect(data=b"still here")
            assert old.poll() is None, "it waits for the tunnel that is open"
        kept.half_close().read_to_end(5)
    assert old.wait(20) == 0
    old.stderr.close()
    waiting = stream.started - len(stream.answers)
    assert manager.start(f"unix:{manager.path}")
    wait_for(lambda: len(stream.answers) >= 3 * RATE, 30, "those who waited are served, and new ones")
    stream.enough.set()
    stream.thread.join(SECONDS)
    assert waiting > 0, "nobody waited while nobody accepted"
    assert not stream.failed, f"{len(stream.failed)} of {stream.started}: {stream.failed[:3]}"
    assert len(stream.answers) == stream.started > RATE and set(stream.answers) == {200}
    assert manager.stop() == 0
    attempts = manager.proxy.audit.attempts(host="a.test", verdict="allow")
    assert len(attempts) == stream.started + 1
    assert manager.proxy.audit.verifies()
