# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set while the program runs, and while it does not."""
import os
import re
import subprocess

from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged

HOUR = 3600


def ask(proxy, name):
    """An attempt, and the heartbeat of the commit behind it that looks at the clock."""
    proxy.connect(f"{name}.test", 443).expect(status=403).close()
    return proxy.audit.attempt(host=f"{name}.test")


def ask_until(proxy, name, good):
    """A worker looks at the wall clock every few milliseconds: the first attempt that has seen the new one."""
    found = []

    def one():
        found.append(ask(proxy, f"{name}{len(found)}"))
        return good(found[-1])
    wait_for(one, 10, f"an attempt of {name}")
    return found[-1]


def steps(proxy):
    return [e["unmapped"] for e in proxy.audit.events("clock_step")]


def test_back_forward_and_across_a_restart(lab, fault):
    """Audit test 16: an hour back, a day forward, and two hours back while it is stopped. Each step is an entry, the
    order of the log is that of its indices, nothing is lost, and verify proves it and says that the clock was set."""
    proxy = lab.proxy(allowed_hosts=["a.test"], wrapper=fault.wrapper)
    before = ask(proxy, "before")
    fault.set_clock(-HOUR)
    back = ask_until(proxy, "back", lambda r: r["time"] < before["time"])
    wait_for(lambda: len(steps(proxy)) == 1, what="the step back")
    fault.set_clock(23 * HOUR)
    forward = ask_until(proxy, "forward", lambda r: r["time"] > before["time"] + HOUR)
    wait_for(lambda: len(steps(proxy)) == 2, what="the step forward")
    assert proxy.stop() == 0
    fault.set_clock(21 * HOUR)
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir,
                      wrapper=fault.wrapper)
    last = ask(again, "last")
    wait_for(lambda: len(steps(again)) == 3, what="the step across the restart")
    assert again.stop() == 0
    found = [(round(s["step_ms"] / 1000), s["back"]) for s in steps(again)]
    assert [b for _, b in found] == [1, 0, 1]
    assert all(abs(have - want) <= 30 for (have, _), want in zip(found, (HOUR, 24 * HOUR, 2 * HOUR)))
    # The clock says one thing, the indices and the monotonic clock another.
    order = [before, back, forward, last]
    indices = [r["metadata"]["sequence"] for r in order]
    mono = [r["unmapped"]["mono_ns"] for r in order]
    assert indices == sorted(indices) and mono == sorted(mono)
    assert before["time"] - back["time"] > 3500_000 and forward["time"] - before["time"] > 22 * 3600_000
    assert forward["time"] - last["time"] > 7100_000
    records = again.audit.records()
    assert [r["metadata"]["sequence"] for r in records] == list(range(len(records)))
    assert again.audit.verifies()
    text = again.audit.verify().stdout.decode()
    assert "the clock was set 3 times" in text
    assert len({r["dst_endpoint"]["hostname"] for r in again.audit.attempts()}) == len(again.audit.attempts()) >= 4


def test_one_byte_an_hour(lab, fault):
    """By a clock that is put on by an hour after each byte: not idle, counted to the byte, and ended by its lifetime."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"idle": "2h", "lifetime": "24h"}, wrapper=fault.wrapper)
    client = proxy.tunnel("a.test", origin.port)
    for hour in range(1, 24):
        client.send(b"x").expect(data=b"x")
        fault.go_on(hour * HOUR)
    client.send(b"x").expect(data=b"x")
    fault.go_on(24 * HOUR + 60)
    proxy.connect("wakes.test", 443).expect(status=403)
    client.send(b"x").read_to_end(5)
    outcome = proxy.audit.outcome(host="a.test", reason="lifetime_reached")
    assert outcome["traffic"]["bytes_in"] == 24 and outcome["duration"] > 24 * HOUR * 1000
    assert proxy.stop() == 0
    # Nobody beat for hours, and that is said; nothing else is.
    found = proxy.audit.verify().stdout  # a writer that woke in between makes two silences of one
    assert re.search(rb"in all: 0 gaps, 0 outcomes without an attempt, [1-9]\d* silences", found), found


def shipped(proxy, copy):
    done = subprocess.run([proxy.binary, "audit", "ship", str(proxy.audit_dir), "--to", str(copy), "--newest"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **unprivileged())
    assert done.returncode == 0, done.stdout.decode()
    rows = dict(line.split(" ", 1) for line in (proxy.audit_dir / "shipped").read_text().splitlines()[1:])
    return int(rows["entries"])


def test_a_heartbeat_says_what_happened(lab, fault):
    """Each minute: the log's own figures, how far the copy elsewhere is, and the program's counts, which are those of its
    records, of the name server, and of the clients."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("silent.test")
    proxy = lab.proxy(hosts=[origin.at("a.test")], allowed_hosts=["silent.test"], wrapper=fault.wrapper)
    for _ in range(3):
        proxy.tunnel("a.test", origin.port).send(b"x" * 100).expect(data=b"x" * 100).close()
    for i in range(2):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    proxy.connect("silent.test", 443).read_reply(10)
    proxy.client().close()
    page = proxy.client().send(b"GET / HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
    page.read_to_end()
    wait_for(lambda: len(proxy.audit.outcomes()) == 4, what="all outcomes")
    size = len(proxy.audit.records())
    wait_for(lambda: int((proxy.audit_dir / "checkpoint").read_text().split("\n")[1]) >= size, what="they are signed")
    copy = lab.make_folder("copy")
    if os.geteuid() == 0:
        os.chown(copy, unprivileged()["user"], unprivileged()["group"])
    entries = shipped(proxy, copy)
    assert entries >= size
    proxy.connect("later.test", 443).expect(status=403).close()
    proxy.audit.attempt(host="later.test")
    assert not proxy.audit.events("heartbeat")
    fault.go_on(61)
    proxy.connect("more.test", 443).expect(status=403).close()  # whoever sleeps looks at the clock
    beat = proxy.audit.event("heartbeat", seconds=20)
    have = beat["unmapped"]
    before = proxy.audit.records()[:beat["metadata"]["sequence"]]
    outcomes, lookups = proxy.audit.outcomes(), proxy.audit.lookups()
    assert have["entries"] == beat["metadata"]["sequence"] and have["entries"] >= have["signed_size"] >= size
    assert 0 < have["commits"] <= have["entries"] and have["refused"] == 0
    assert have["shipped"] == entries
    assert 60_000 <= have["ship_lag_ms"] < 120_000
    assert have["dials"] == sum(r["unmapped"]["dials"] for r in outcomes) == len(origin.conns) == 3
    assert have["dns_sent"] == sum(r["unmapped"]["dns_sent"] for r in lookups) == len(lab.dns.asked())
    attempts = sum(r["metadata"]["event_code"] == "attempt" for r in before)
    assert have["attempts"] in (attempts, attempts + 1) and attempts >= 7
    assert (have["allowed"], have["rate_exceeded"], have["turned_away"]) == (4, 0, 0)
    assert have["attempts"] - have["denied"] - have["allowed"] in (0, 1)  # the newest may be under way
    assert (have["ended_without_head"], have["pages"]) == (1, 1)
    assert have["accepted"] - have["attempts"] in (2, 3)  # the page, and one that said nothing
    assert have["bytes_up"] == sum(r["traffic"]["bytes_out"] for r in outcomes) == sum(c.received for c in origin.conns)
    assert have["bytes_down"] == sum(r["traffic"]["bytes_in"] for r in outcomes) == 300
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
