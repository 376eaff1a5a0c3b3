# SPDX-License-Identifier: Apache-2.0
"""A soak: two environments, one of them hostile, while policies, origins, name servers and the disk come and go. In the
end descriptors and memory are where they were, no verdict was wrong, and the log is proven.

SALLYPORT_SOAK_SECONDS says how long (25 if it is not set): three minutes in CI, half an hour by `ctest -L long`."""
import itertools
import os
import random
import subprocess
import threading
import time

import pytest

from lab import netns, wait_for
from lab.client import Client
from lab.dns import SERVFAIL, Answer
from lab.gateway import Gateway
from lab.hello import Hello
from lab.origin import Origin, after_hello, echo
from lab.proxy import INSTRUMENTED

from test_storm import post_reload, resident

SECONDS = float(os.environ.get("SALLYPORT_SOAK_SECONDS", "25"))
EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192}
PAUSE = 0.02 if SECONDS <= 300 else 0.08  # at most, between two plays: half an hour's log has to fit its disk
ALLOWED, REFUSED = {200, 502, 503, 504}, {400, 403, 405, 408, 421, 429, 431, 502, 503}


@pytest.fixture
def disk(lab):
    if not netns.private_mounts():
        pytest.skip("needs root, for a mount of its own")
    folder = lab.make_folder("disk")
    size = 200 + int(SECONDS)  # MiB
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


class Player(threading.Thread):
    """Plays its part again and again; keeps wrong answers and counts right ones. It can be asked to pause."""

    def __init__(self, world, seed):
        super().__init__(daemon=True)
        self.world, self.dice = world, random.Random(seed)
        self.wrong, self.counts, self.rests = [], {}, threading.Event()
        self.start()

    def run(self):
        while not self.world.stop.is_set():
            if self.world.pause.is_set():
                self.rests.set()
                self.world.stop.wait(0.02)
                continue
            self.rests.clear()
            try:
                self.play()
            except (OSError, AssertionError):
                self.count("broken off")
            self.world.stop.wait(self.dice.random() * PAUSE)
        self.rests.set()

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def check(self, name, status, expected):
        self.count(status)
        if status not in expected:
            self.wrong.append(f"{name} was told {status}")


class Honest(Player):
    """Opens a tunnel to an allowed name, sends, and gets back what it sent."""

    def play(self):
        name = f"n{self.dice.randrange(50)}.good.test"
        with Client(self.world.gateway.endpoints[0], timeout=8) as client:
            status = client.connect(name, self.world.origin.port).read_reply().status
            self.check(name, status, ALLOWED)
            if status != 200:
                return
            data = self.dice.randbytes(self.dice.choice((1, 100, 20000, 200000)))
            client.hello(sni=name).send(data)
            back = client.read_exactly(len(data), 8)
            if back != data:
                self.wrong.append(f"{name}: {len(data)} bytes came back changed")


class Steady(Player):
    """One tunnel for as long as it lives: it ends with its origin, never by a load."""

    def play(self):
        with Client(self.world.gateway.endpoints[0], timeout=8) as client:
            if client.connect("steady.good.test", self.world.origin.port).read_reply().status != 200:
                return
            client.hello(sni="steady.good.test")
            while not self.world.stop.is_set() and not self.world.pause.is_set():
                client.send(b"beat").expect(data=b"beat")
                client.buffer.clear()
                self.count("beat")
                self.world.stop.wait(0.05)


class Hostile(Player):
    """Whatever is not allowed, cut and bent."""

    def play(self):
        self.dice.choice((self.denied, self.denied, self.literal, self.garbage, self.silent, self.wrong_name,
                          self.slow_head, self.resets, self.maybe))()

    def client(self):
        return Client(self.world.gateway.endpoints[1], timeout=8)

    def ask(self, host, port, expected=REFUSED):
        with self.client() as client:
            self.check(host, client.connect(host, port).read_reply().status, expected)

    def denied(self):
        self.ask(f"x{self.dice.randrange(10 ** 6)}.bad.test", 443)

    def literal(self):
        self.ask(self.dice.choice(("169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]", "0x7f.1")), 443)

    def garbage(self):
        with self.client() as client:
            client.send(self.dice.randbytes(self.dice.randrange(1, 400)) + b"\r\n\r\n")
            self.check("garbage", client.read_reply().status, REFUSED)

    def silent(self):
        with self.client():
            self.count("silent")

    def wrong_name(self):
        with self.client() as client:
            if client.connect("moving.test", self.world.origin.port).read_reply().status == 200:
                client.send(Hello(sni="other.bad.test").raw).read_to_end(8)
                if b"ServerHello" in bytes(client.buffer):
                    self.wrong.append("a hello for another name was passed on")
                self.count("mismatch")

    def slow_head(self):
        with self.client() as client:
            for piece in (b"CONN", b"ECT a.bad.t", b"est:443 HT", b"TP/1.1\r\nHo", b"st: a.bad.test\r\n\r\n"):
                client.send(piece)
                self.world.stop.wait(0.01)
            self.check("slow", client.read_reply().status, REFUSED)

    def resets(self):
        with self.client() as client:
            client.connect("moving.test", self.world.origin.port)
            client.reset()
            self.count("reset")

    def maybe(self):
        """Allowed by one of the two policies that alternate."""
        self.ask("moving.test", self.world.origin.port, ALLOWED | {403})


class World:
    def __init__(self, lab, disk):
        self.lab, self.disk = lab, disk
        self.stop, self.pause = threading.Event(), threading.Event()
        self.address = lab.address()
        self.origin = Origin(self.address, behaviour=after_hello(echo))
        at = self.origin.at
        lab.dns.set("*.good.test", self.address, ttl=1)
        lab.dns.set("moving.test", self.address, ttl=1)
        self.good = lab.policy(name="good", hosts=[at("*.good.test")], limits=EAGER)
        self.bad = [lab.policy(name="bad", hosts=hosts, allowed_hosts=["never.test"], limits={
            **EAGER, "head_timeout": "2s", "hello_timeout": "2s"}) for hosts in ([at("moving.test")], [])]
        self.gateway = Gateway(lab, [self.good, self.bad[0]], [{"listen": "127.0.0.1:0", "environment": "good"},
                                                              {"listen": "127.0.0.1:0", "environment": "bad"}],
                               audit_dir=disk / "audit")
        self.players = [Honest(self, i) for i in range(3)] + [Steady(self, 9)] + [Hostile(self, 20 + i) for i in range(3)]
        self.samples, self.loads = [], itertools.count(1)

    def reload(self):
        self.gateway.write_environment(self.bad[next(self.loads) % 2], "bad")
        assert post_reload(self.gateway) == 200

    def restart_origin(self):
        old = self.origin
        old.close()
        self.stop.wait(0.3)
        self.origin = wait_for(lambda: reopened(old), 10, "the origin is back")

    def lose_dns(self):
        zone = dict(self.lab.dns.zone)
        self.lab.dns.zone = {"*.test": Answer(rcode=SERVFAIL) if next(self.loads) % 2 else Answer(silent=(1, 28))}
        self.stop.wait(1.5)
        self.lab.dns.zone = zone

    def fill_disk(self):
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(1 << 20))
            except OSError:
                pass
        self.stop.wait(2.0)
        filler.unlink()

    def rest(self):
        """Everybody pauses, and what is open ends: a look at what is left."""
        self.pause.set()
        for player in self.players:
            assert player.rests.wait(30), "a player hangs"
        for conn in self.origin.conns:
            conn.close()
        self.origin.conns.clear()
        wait_for(lambda: self.gateway.descriptors() <= self.base_descriptors() + 2, 20,
                 lambda: f"descriptors go back: {self.gateway.descriptors()} after {self.samples}")
        self.samples.append((self.gateway.descriptors(), resident(self.gateway.pid)))
        used = os.statvfs(self.disk)
        assert used.f_bavail > 0.3 * used.f_blocks, "the log fills the disk of this test, and its watermark is near"
        self.pause.clear()

    def base_descriptors(self):
        """Pipes are kept for later, name server sockets come and go: what the first rests had at most."""
        return max((s[0] for s in self.samples[:3]), default=10 ** 6)

    def end(self):
        self.stop.set()
        for player in self.players:
            player.join(30)


def reopened(old):
    try:
        return Origin(old.address, old.port, behaviour=after_hello(echo))
    except OSError:
        return None


def test_soak(lab, disk):
    world = World(lab, disk)
    gateway = world.gateway
    try:
        end, step = time.monotonic() + SECONDS, itertools.count()
        acts = [world.reload, world.restart_origin, world.reload, world.lose_dns, world.reload, world.fill_disk]
        while time.monotonic() < end or len(world.samples) < 4:
            world.stop.wait(min(2.0, SECONDS / 20))
            turn = next(step)
            acts[turn % len(acts)]()
            if turn % len(acts) == len(acts) - 1:
                wait_for(lambda: works(world), 20, "it works again")
                world.rest()
            assert gateway.alive(), gateway.text()[-4000:]
    finally:
        world.end()
        world.origin.close()
    wrong = [w for player in world.players for w in player.wrong]
    assert not wrong, f"{len(wrong)} wrong: {wrong[:5]}"
    counts = {type(p).__name__: sum(v for v in p.counts.values()) for p in world.players}
    assert min(counts.values()) > SECONDS, counts
    assert any(p.counts.get(200, 0) > SECONDS for p in world.players)
    flat(world)
    assert gateway.stop(30) == 0
    on_record(gateway)


def works(world):
    with Client(world.gateway.endpoints[0], timeout=8) as client:
        return client.connect("probe.good.test", world.origin.port).read_reply().status == 200


def flat(world):
    """The second half is not above the first one, but for what an allocator keeps."""
    samples = world.samples[1:]
    half = len(samples) // 2
    grown = max(s[1] for s in samples[half:]) - max(s[1] for s in samples[:half + 1])
    print(f"descriptors and KiB at each rest: {world.samples}")
    if not INSTRUMENTED:
        assert grown < 4 << 10, f"resident memory has grown by {grown} KiB: {world.samples}"


def on_record(gateway):
    audit = gateway.audit
    assert audit.events("gate_closed") and audit.events("gate_opened"), "the disk was full"
    assert len(audit.events("policy_loaded")) > 4
    for record in audit.attempts():
        host, environment = record.get("dst_endpoint", {}).get("hostname", ""), record["metadata"].get("tenant_uid")
        if record["action_id"] == 1:
            assert (environment == "good" and host.endswith(".good.test")) or \
                (environment == "bad" and host == "moving.test"), (environment, host)
    allowed = {r["metadata"]["correlation_uid"] for r in audit.attempts(verdict="allow")}
    ended = {r["metadata"]["correlation_uid"] for r in audit.outcomes()}
    assert not allowed - ended, f"{len(allowed - ended)} of {len(allowed)} allowed attempts have no end"
    assert audit.verifies()
