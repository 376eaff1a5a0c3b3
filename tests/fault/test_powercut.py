# SPDX-License-Identifier: Apache-2.0
"""A power cut at any moment: of what was not forced to the disk nothing, or anything, is there. The program starts
again on what is left, and every flow that anybody outside has seen is in the log."""
import itertools
import os
import random
import threading

import pytest

from fault import Disk, cuts, directories, lay_out, remove
from lab import wait_for
from lab.client import Client
from lab.proxy import NOBODY

CUTS = 60 if os.environ.get("SALLYPORT_LONG") else 8
GOAL = 60


def own(path, mode):
    os.chmod(path, mode)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


class Askers:
    """Clients that ask for ever new names, and note where the journal was when they had read their answer."""

    def __init__(self, endpoint, port, fault, width=6):
        self.seen, self.stop, self.names = [], threading.Event(), itertools.count()
        self.threads = [threading.Thread(target=self._run, args=(endpoint, port, fault, i % 2), daemon=True)
                        for i in range(width)]
        for t in self.threads:
            t.start()

    def _run(self, endpoint, port, fault, denied):
        while not self.stop.is_set():
            name = f"n{next(self.names)}.{'denied' if denied else 'k'}.test"
            try:
                with Client(endpoint, timeout=5) as client:
                    client.connect(name, port).read_reply()
                    self.seen.append((fault.position(), name))
            except (OSError, AssertionError):
                return

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(20)


@pytest.mark.parametrize("seed", [1, 2])
def test_power_cut(lab, fault, seed):
    origin = lab.origin()
    lab.dns.set("*.k.test", origin.address, ttl=0)
    policy = lab.policy(hosts=[origin.at("*.k.test")], ports={"connect": [origin.port]}, limits={
        "attempts_per_second": 1000000, "attempts_burst": 10000000, "distinct_names_per_minute": 8192})
    fault.keep_journal()
    proxy = lab.proxy(policy, wrapper=fault.wrapper)
    askers = Askers(proxy.endpoint, origin.port, fault)
    wait_for(lambda: len(askers.seen) >= GOAL, 20, lambda: f"{GOAL} answers, have {len(askers.seen)}")
    proxy.hup()  # a load is in the log as well, and its text beside it
    wait_for(lambda: len(askers.seen) >= 2 * GOAL, 20, lambda: f"more answers, have {len(askers.seen)}")
    # Some checkpoints: one is written a second.
    wait_for(lambda: int((proxy.audit_dir / "checkpoint").read_text().splitlines()[1]) > GOAL, 10, "a signed head")
    proxy.kill()
    askers.end()
    events = list(fault.events())
    folders = directories(proxy.audit_dir, proxy.signer_dir)
    begun = begins(events)
    assert len(events) > 200 and len(askers.seen) >= 2 * GOAL
    for cut in cuts(events, CUTS, seed):
        if cut < begun:
            continue
        disk = Disk()
        for event in events[:cut]:
            disk.apply(event)
        position = events[cut].at if cut < len(events) else fault.position()
        must = {name for at, name in askers.seen if at <= position}
        for dice in (None, random.Random(seed * 1000 + cut)):
            starts_again(lab, disk.after_the_cut(dice), folders, proxy, policy, must, (cut, dice is not None))


def begins(events):
    """The first moment at which there is something that could be lost: the first record that was forced to the disk.
    Before it, half a directory was never a log."""
    from fault import SYNC, WRITE
    written = None
    for i, event in enumerate(events):
        if written is None and event.kind == WRITE and b"log_started" in event.data:
            written = event.inode
        if written is not None and event.kind == SYNC and event.inode == written:
            return i + 1
    raise AssertionError("no record was ever forced to the disk")


def starts_again(lab, state, folders, proxy, policy, must, where):
    audit, signer = lab.folder / "cut-audit", lab.folder / "cut-signer"
    remove(audit, signer)
    lay_out(state, folders, {proxy.audit_dir: audit, proxy.signer_dir: signer}, own)
    again = lab.proxy(policy, audit_dir=audit, signer_dir=signer)
    again.connect("control.denied.test", 443).expect(status=403)
    assert again.stop() == 0, where
    hosts = {r["dst_endpoint"]["hostname"] for r in again.audit.attempts()}
    assert not must - hosts, f"cut at {where}: {len(must - hosts)} flows were answered and are lost: " \
                             f"{sorted(must - hosts)[:5]}"
    assert again.audit.verifies(), where
