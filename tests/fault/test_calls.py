# SPDX-License-Identifier: Apache-2.0
"""Calls that fail once, for a while, or late: every one ends in a refusal or goes unnoticed, and nothing is lost."""
import ctypes
import errno
import os
import pathlib
import signal
import time

import pytest

from fault import FOREVER
from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import wait_descriptors

LONG = bool(os.environ.get("SALLYPORT_LONG"))
EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192}


class World:
    def __init__(self, lab, fault, **options):
        self.lab, self.fault = lab, fault
        self.origin = lab.origin(after_hello(echo))
        lab.dns.set("*.k.test", self.origin.address, ttl=0)
        self.policy = lab.policy(hosts=[self.origin.at("*.k.test")], limits=EAGER)
        self.proxy = lab.proxy(self.policy, wrapper=fault.wrapper, args=["--workers", "1"], **options)
        self.answered = []  # (name, status)
        self.talks("warm")
        wait_for(lambda: self.proxy.audit.outcomes(host="warm.k.test"), what="the warm-up is over")
        self.base = self.proxy.descriptors()

    def ask(self, name, seconds=8):
        """The status of one CONNECT; 0: closed without an answer."""
        with self.proxy.connect(f"{name}.k.test", self.origin.port) as client:
            try:
                status = client.read_reply(seconds).status
            except (AssertionError, OSError):
                assert self.proxy.alive(), self.proxy.text()
                status = 0
        if status:
            self.answered.append((name, status))
        return status

    def talks(self, name):
        client = self.proxy.tunnel(f"{name}.k.test", self.origin.port).send(b"ping").expect(data=b"ping")
        client.close()
        self.answered.append((name, 200))

    def works_again(self, seconds=10):
        count = iter(range(10 ** 6))
        wait_for(lambda: self.ask(f"again{next(count)}") == 200, seconds, "it works again")
        self.talks("after")

    def ends_well(self, pipes=0):
        """Everything that was answered from a tunnel is on record with its end, and the log is proven."""
        wait_descriptors(self.proxy, self.base + 2 * pipes)
        assert self.proxy.stop() == 0, self.proxy.text()
        on_record = {r["dst_endpoint"]["hostname"]: r for r in self.proxy.audit.attempts()}
        ended = {r["metadata"]["correlation_uid"] for r in self.proxy.audit.outcomes()}
        for name, status in self.answered:
            if status == 200:
                record = on_record[f"{name}.k.test"]
                assert record["metadata"]["correlation_uid"] in ended, name
        assert self.proxy.audit.verifies()


@pytest.fixture
def world(lab, fault):
    return World(lab, fault)


@pytest.mark.parametrize("call,error", [("fdatasync", errno.EIO), ("write", errno.ENOSPC), ("write", errno.EIO),
                                        ("fdatasync", errno.ENOSPC), ("fdatasync", errno.EDQUOT)])
def test_the_disk_fails_once(world, call, error):
    """Audit test 13: the segment is poisoned, another is begun, the gate says so, nothing acknowledged is missing."""
    before = len(list((world.proxy.audit_dir / "segments").iterdir()))
    world.fault.set(call, error=error)
    statuses = {world.ask(f"bad{i}") for i in range(3)}
    assert statuses <= {200, 503}
    wait_for(lambda: world.fault.failed(call) == 1, 5, "the call failed")
    world.works_again()
    assert world.proxy.audit.event("gate_closed") and world.proxy.audit.event("gate_opened")
    assert len(list((world.proxy.audit_dir / "segments").iterdir())) == before + 1
    # What was answered 503 by the shut gate was never asked for.
    asked = {q.lower.removesuffix(".") for q in world.lab.dns.asked()}
    assert not {f"{n}.k.test" for n, status in world.answered if status == 503} & asked
    world.ends_well()


@pytest.mark.parametrize("by", [1, 100, 700])
def test_a_short_write(world, by):
    """Not tried again on the same file: a new segment."""
    world.fault.short(by)
    assert {world.ask(f"bad{i}") for i in range(3)} <= {200, 503}
    world.works_again()
    assert world.proxy.audit.event("gate_closed")["message"].startswith("writing a segment")
    world.ends_well()


def test_the_disk_fails_for_a_while(world):
    """Shut as long as it lasts, a clear 503 for everybody, and open again by itself."""
    world.fault.set("fdatasync", error=errno.EIO, times=FOREVER)
    wait_for(lambda: world.ask("shut") == 503, 5, "the gate is shut")
    before = len(world.lab.dns.queries)
    for i in range(10):
        assert world.ask(f"shut{i}") == 503
    assert len(world.lab.dns.queries) == before
    world.fault.clear()
    world.works_again()
    assert world.proxy.audit.event("gate_opened")["unmapped"]["refused"] >= 10
    world.ends_well()


def test_a_slow_disk_delays_and_loses_nothing(world):
    """Nothing is dialled before the record is durable, however late that is."""
    world.fault.set("fdatasync", delay_ms=700, times=2)
    connections = world.origin.connections
    started = time.monotonic()
    client = world.proxy.connect("slow.k.test", world.origin.port)
    client.expect(status=200, seconds=8)
    assert time.monotonic() - started > 0.5
    wait_for(lambda: world.origin.connections == connections + 1, 10, "the origin sees it")
    client.close()
    world.fault.clear()
    world.works_again()
    world.ends_well()


@pytest.mark.parametrize("call", ["fsync", "renameat"])
def test_a_head_cannot_be_published_for_a_while(world, call):
    """Records go on; what was not signed is signed later."""
    world.fault.set(call, error=errno.EIO, times=4)
    size = lambda: int((world.proxy.audit_dir / "checkpoint").read_text().splitlines()[1])  # noqa: E731
    world.talks("between")
    want = world.proxy.audit.attempt(host="between.k.test")["metadata"]["sequence"]
    wait_for(lambda: world.fault.failed(call) >= 1, 10, "it was tried")
    world.works_again()
    world.fault.clear()
    wait_for(lambda: size() > want, 15, "the newest are signed")
    world.ends_well()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED,
                                   errno.EPERM, errno.EINTR], ids=errno.errorcode.get)
def test_accepting_fails(world, error):
    """Who waits is turned away or taken a little later; life goes on."""
    world.fault.set("accept4", error=error, times=5)
    statuses = {world.ask(f"a{i}") for i in range(6)}
    assert statuses <= {0, 200} and world.fault.failed("accept4") >= 1
    world.fault.clear()
    world.works_again()
    world.ends_well()


@pytest.mark.parametrize("call,error,answers", [
    ("epoll_ctl", errno.ENOMEM, {0, 200, 502, 503, 504}), ("epoll_ctl", errno.ENOSPC, {0, 200, 502, 503, 504}),
    ("socket", errno.EMFILE, {200, 502, 503, 504}), ("socket", errno.ENOBUFS, {200, 502, 503, 504}),
    ("connect", errno.ENETUNREACH, {200, 502, 503, 504}), ("connect", errno.EADDRNOTAVAIL, {200, 502, 503, 504}),
    ("connect", errno.EACCES, {200, 502, 503, 504}), ("connect", errno.ENOBUFS, {200, 502, 503, 504}),
], ids=str)
def test_the_network_fails(world, call, error, answers):
    """At the first call, the second, …: a named answer or none, never a tunnel that is not on record."""
    for skip in range(6):
        world.fault.set(call, error=error, skip=skip)
        assert world.ask(f"n{skip}") in answers
        world.fault.clear()
    assert world.fault.failed(call) >= 2
    world.works_again()
    world.ends_well()


@pytest.mark.parametrize("call,error", [("splice", errno.EINVAL), ("splice", errno.ENOMEM), ("splice", errno.EIO),
                                        ("pipe2", errno.EMFILE), ("pipe2", errno.ENFILE)])
def test_relaying_fails(world, call, error):
    """A pipe that cannot be had is done without; a lane that fails ends the tunnel with a word for it."""
    data = os.urandom(1 << 20)
    for skip in range(4):
        world.fault.set(call, error=error, skip=skip)
        client = world.proxy.tunnel(f"r{skip}.k.test", world.origin.port)
        world.answered.append((f"r{skip}", 200))
        try:
            client.send(data)
            back = client.read_exactly(len(data), 10)
            assert back == data, "what arrives is what was sent"
        except (AssertionError, OSError) as problem:
            assert "what arrives" not in str(problem)
            assert data.startswith(bytes(client.buffer)), "a beginning of what was sent"
        client.close()
        world.fault.clear()
    assert world.proxy.alive()
    world.works_again()
    world.ends_well(pipes=2)  # that are kept for the next tunnel


def test_a_reload_without_descriptors(world):
    """The policy in force stays, and the refusal is on record."""
    world.proxy.write_policy(world.lab.policy(allowed_hosts=["other.test"]))
    wait_for(lambda: len(world.proxy.audit.events("policy_loaded")) >= 2, 10, "the new policy")
    assert world.ask("closed") == 403
    world.fault.set("openat", error=errno.EMFILE, times=1)
    world.proxy.write_policy(world.policy)
    world.proxy.hup()
    world.proxy.audit.event("policy_refused", seconds=10)
    world.proxy.hup()
    world.works_again()
    world.ends_well()


def test_files_that_cannot_be_watched_are_watched_later(world):
    """A change that nobody saw is found when they can be watched again, without a signal."""
    loads = lambda: len(world.proxy.audit.events("policy_loaded"))  # noqa: E731
    before = loads()
    world.fault.set("inotify_add_watch", error=errno.ENOSPC, times=FOREVER)
    world.proxy.hup()
    wait_for(lambda: loads() > before, 10, "the load")
    wait_for(lambda: "is not seen for now" in world.proxy.text(), 5, "it is said")
    before = loads()
    world.proxy.write_policy(world.lab.policy(allowed_hosts=["other.test"]))
    world.fault.clear()
    wait_for(lambda: loads() > before, 15, "the new policy")
    assert world.ask("closed") == 403
    world.proxy.write_policy(world.policy)
    wait_for(lambda: loads() > before + 1, 10, "the old one again, seen at once")
    world.works_again()
    world.ends_well()


def worker_of(proxy):
    for thread in os.listdir(f"/proc/{proxy.pid}/task"):
        if pathlib.Path(f"/proc/{proxy.pid}/task/{thread}/comm").read_text() == "sallyport-work\n":
            return int(thread)
    raise AssertionError("no worker")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of tgkill(2) is of another processor")
def test_a_worker_that_crashes_ends_the_process(world):
    """Loudly, at once, and the next start has every record and names what was open."""
    for i in range(20):
        world.ask(f"c{i}")
    open_one = world.proxy.tunnel("open.k.test", world.origin.port).send(b"x").expect(data=b"x")
    flow = world.proxy.audit.attempt(host="open.k.test")["metadata"]["correlation_uid"]
    assert ctypes.CDLL(None).syscall(234, world.proxy.pid, worker_of(world.proxy), signal.SIGSEGV) == 0
    assert world.proxy.wait(5) == -signal.SIGSEGV
    open_one.close()
    again = world.lab.proxy(world.policy, audit_dir=world.proxy.audit_dir, signer_dir=world.proxy.signer_dir)
    hosts = {r["dst_endpoint"]["hostname"] for r in again.audit.attempts()}
    assert {f"{n}.k.test" for n, _ in world.answered} <= hosts
    assert flow.replace("-", "") in str(again.audit.events()).replace("-", "")
    assert again.stop() == 0
    assert again.audit.verifies()


def test_stopped_for_a_minute(world):
    """SIGSTOP and SIGCONT: nothing is lost and what waited is served. In the short run the clocks go on by a minute while
    it stands, which is all that the program sees of one."""
    kept = world.proxy.tunnel("kept.k.test", world.origin.port).send(b"1").expect(data=b"1")
    world.proxy.signal(signal.SIGSTOP)
    try:
        kept.send(b"2")
        waiting = world.proxy.connect("waits.k.test", world.origin.port)
        with pytest.raises(AssertionError):
            waiting.read_reply(60 if LONG else 1)
        world.fault.go_on(0 if LONG else 60)
    finally:
        world.proxy.signal(signal.SIGCONT)
    kept.expect(data=b"2").close()
    waiting.expect(status=200).close()
    world.answered += [("kept", 200), ("waits", 200)]
    world.works_again()
    world.ends_well()


def test_no_descriptor_is_left(world):
    """The real thing: a limit a little above what a program at rest has. Who comes is closed at once by the one that was
    kept back, who is there stays, a policy is refused; and all is well when there are some again."""
    most = world.base + 8
    proxy = world.lab.proxy(world.policy, wrapper=["prlimit", f"--nofile={most}:{most}"], args=["--workers", "1"])
    kept = proxy.tunnel("kept.k.test", world.origin.port).send(b"1").expect(data=b"1")
    crowd = [proxy.client().send(b"CONNECT half") for _ in range(24)]
    turned = lambda: [client for client in crowd if not client.still_open()]  # noqa: E731
    wait_for(lambda: len(turned()) >= 12, 5, lambda: f"12 that are turned away, have {len(turned())}")
    assert len(turned()) < len(crowd) and {client.read_to_end(1) for client in turned()} == {b""}
    kept.send(b"2").expect(data=b"2")
    proxy.hup()
    proxy.audit.event("policy_refused", seconds=10)
    for client in crowd:
        client.close()
    wait_for(lambda: proxy.descriptors() <= most - 4, 10, "they are gone")
    proxy.tunnel("after.k.test", world.origin.port).send(b"3").expect(data=b"3").close()
    kept.send(b"4").expect(data=b"4").close()
    assert proxy.stop() == 0
    assert proxy.audit.outcome(host="kept.k.test")["traffic"]["bytes_in"] == 3
    assert proxy.audit.verifies()
