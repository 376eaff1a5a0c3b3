# SPDX-License-Identifier: Apache-2.0
"""What the audit log writes of itself and of long attempts, and what a sceptical auditor does to its writer."""
import os
import select
import signal
import subprocess
import time

from lab import wait_for
from lab.gateway import Gateway
from lab.origin import after_hello, echo
from lab.proxy import unprivileged
from test_audit import signer_of, small_disk  # noqa: F401

KIB = 1024


def gateway(lab, environments, audit=None, **options):
    """A gateway whose `audit` has these keys beside its places."""
    one = Gateway(lab, environments, start=False, **options)
    one.config["audit"].update(audit or {})
    one.write_config()
    return one.start()


def traffic_of(proxy, flow):
    return [r for r in proxy.audit.flows()[flow] if r["metadata"]["event_code"] == "traffic"]


def test_traffic_by_bytes(lab):
    """A record each 64 KiB while the tunnel is open, with the bytes so far; none when nothing moved since."""
    origin = lab.origin(after_hello(echo))
    proxy = gateway(lab, [lab.policy(hosts=[origin.at("a.test")])], {"traffic_bytes": "64KiB"})
    client = proxy.tunnel("a.test", origin.port)
    flow = proxy.audit.attempt(host="a.test")["metadata"]["correlation_uid"]
    for _ in range(8):
        client.send(b"x" * 32 * KIB).expect(data=b"x" * 32 * KIB)
    wait_for(lambda: len(traffic_of(proxy, flow)) >= 6, what="traffic is on record before the end")
    records = traffic_of(proxy, flow)
    totals = [r["traffic"]["bytes_out"] + r["traffic"]["bytes_in"] for r in records]
    assert totals == sorted(set(totals)) and totals[-1] <= 2 * 8 * 32 * KIB + 4 * KIB
    assert all(b - a >= 64 * KIB for a, b in zip(totals, totals[1:]))
    first = records[0]
    assert (first["class_uid"], first["activity_id"], first["type_uid"]) == (4001, 6, 400106)
    assert (first["action_id"], first["unmapped"]["stage"]) == (1, "relay")
    client.close()
    outcome = proxy.audit.outcome(host="a.test")
    assert outcome["traffic"]["bytes_out"] + outcome["traffic"]["bytes_in"] >= totals[-1]
    assert traffic_of(proxy, flow)[:len(records)] == records
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_traffic_by_time(lab):
    """A quiet tunnel leaves none; one byte does, once."""
    origin = lab.origin(after_hello(echo))
    proxy = gateway(lab, [lab.policy(hosts=[origin.at("a.test"), origin.at("b.test")])], {"traffic_interval": "300ms"})
    quiet, busy = (proxy.tunnel(name, origin.port) for name in ("a.test", "b.test"))
    flow = {name: proxy.audit.attempt(host=name)["metadata"]["correlation_uid"] for name in ("a.test", "b.test")}
    wait_for(lambda: all(traffic_of(proxy, f) for f in flow.values()), what="the hellos are on record")
    for i in range(2, 5):
        busy.send(b"x").expect(data=b"x")
        wait_for(lambda count=i: len(traffic_of(proxy, flow["b.test"])) == count, what="one more record")
    assert len(traffic_of(proxy, flow["a.test"])) == 1
    quiet.close()
    busy.close()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_the_unsigned_limit(lab):
    """Act 18: beside a signer that hangs records stay durable up to the configured limit; then nothing leaves until it
    answers, and then everything goes on."""
    origin = lab.origin(after_hello(echo))
    proxy = gateway(lab, [lab.policy(hosts=[origin.at("*.a.test")])], {"unsigned_limit": "1s"})
    proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x").close()
    pid = signer_of(proxy)
    os.kill(pid, signal.SIGSTOP)
    try:
        proxy.tunnel("two.a.test", origin.port).send(b"x").expect(data=b"x").close()

        def refused():
            with proxy.connect("three.a.test", origin.port) as client:
                return client.read_reply(8).reason == "audit_unavailable"
        wait_for(refused, 10, "the gate is closed")
        assert proxy.alive()
    finally:
        os.kill(pid, signal.SIGCONT)

    def allowed():
        with proxy.connect("four.a.test", origin.port) as client:
            return client.read_reply(8).status == 200
    wait_for(allowed, 10, "the gate opens again")
    assert proxy.audit.event("gate_closed")["message"] == "nothing could be signed for too long"
    assert proxy.audit.event("gate_opened")["unmapped"]["refused"] >= 1
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_an_open_tunnel_stops_while_records_cannot_be_written(lab):
    """The gate shuts while nobody but one open tunnel is there: five seconds later nothing of it is read any more, and
    when the gate opens it goes on, without anybody who comes or goes."""
    origin = lab.origin(after_hello(echo))
    proxy = gateway(lab, [lab.policy(hosts=[origin.at("a.test")])], {"unsigned_limit": "1s"})
    client = proxy.tunnel("a.test", origin.port)
    client.send(b"x").expect(data=b"x")
    pid = signer_of(proxy)
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        proxy.connect("denied.test", 443).expect(status=403)  # an entry that is to be signed

        def is_held():
            client.send(b"y")
            if not select.select([client.sock], [], [], 1.0)[0]:
                return True
            client.sock.recv(100)
            return False
        wait_for(is_held, 20, "nothing is read from the tunnel any more")
        assert time.monotonic() - begin > 5, "five seconds are open tunnels' own"
        assert not client.eof
    finally:
        os.kill(pid, signal.SIGCONT)
    client.expect(data=b"y", seconds=8)
    assert proxy.audit.event("gate_closed") and proxy.audit.event("gate_opened")
    client.close()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def filled(folder, percent):
    """A file that makes the disk of `folder` this full."""
    disk = os.statvfs(folder)
    used = disk.f_blocks - disk.f_bfree
    wanted = (disk.f_blocks * percent // 100 - used) * disk.f_frsize
    filler = folder / "filler"
    filler.write_bytes(b"\0" * wanted)
    return filler


def refused_as_gated(proxy, index, name):
    client = proxy.at(index).connect(name, 443)
    client.read_reply(8)
    proxy.clients.remove(client)
    client.close()
    return client.reply.reason == "audit_unavailable"


def test_a_disk_that_fills_up_gates_the_loudest_alone(lab, small_disk):
    """Act 12: from 80 % on the environment above its share is gated, alone, and its refusals are counted; below it again
    everybody may write. Nothing is lost and every record is whole."""
    quick = {"attempts_per_second": 100000, "attempts_burst": 1000000}
    proxy = gateway(lab, [lab.policy(name=name, allowed_hosts=[f"{name}.test"], limits=quick)
                          for name in ("loud", "quiet")],
                    listeners=[{"listen": "127.0.0.1:0", "environment": name} for name in ("loud", "quiet")],
                    audit_dir=small_disk / "audit")
    for i in range(150):
        proxy.at(0).connect(f"d{i}.test", 443).expect(status=403).close()
    for i in range(20):
        proxy.at(1).connect(f"d{i}.test", 443).expect(status=403).close()
    proxy.clients.clear()
    assert not proxy.audit.events("disk_watermark")
    filler = filled(small_disk, 83)
    wait_for(lambda: refused_as_gated(proxy, 0, "more.test"), 15, "the loud one is gated")
    for _ in range(4):
        assert refused_as_gated(proxy, 0, "more.test")
    for i in range(5):
        proxy.at(1).connect(f"e{i}.test", 443).expect(status=403).close()
    assert proxy.audit.event("disk_watermark")["unmapped"]["mark"] == 80
    closed = proxy.audit.event("gate_closed")
    assert closed["metadata"]["tenant_uid"] == "loud"
    assert closed["unmapped"]["hour_bytes"] > closed["unmapped"]["share_bytes"]
    filler.unlink()
    wait_for(lambda: not refused_as_gated(proxy, 0, "again.test"), 15, "the loud one may write again")
    opened = proxy.audit.event("gate_opened")
    assert opened["metadata"]["tenant_uid"] == "loud" and opened["unmapped"]["refused"] >= 5
    assert not proxy.audit.attempts(host="more.test", environment="quiet")
    assert len(proxy.audit.attempts(environment="quiet")) == 25
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_the_last_entries_sum_up(lab):
    """At a clean stop the counts of the program are those of its records, and the manifest has every environment's last
    number and index."""
    origin = lab.origin(after_hello(echo))
    proxy = gateway(lab, [lab.policy(name="env-a", hosts=[origin.at("a.test")]),
                          lab.policy(name="env-b", allowed_hosts=["b.test"])],
                    listeners=[{"listen": "127.0.0.1:0", "environment": name} for name in ("env-a", "env-b")])
    for i in range(4):
        proxy.open_tunnel(0, "a.test", origin.port).send(b"x").expect(data=b"x").close()
        proxy.at(1).connect(f"d{i}.test", 443).expect(status=403).close()
    proxy.at(1).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 4, what="all outcomes")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
    records = proxy.audit.records()
    stopped = proxy.audit.event("log_stopped")["unmapped"]
    outcomes = proxy.audit.outcomes()
    assert stopped["dials"] == sum(r["unmapped"]["dials"] for r in outcomes) == 4
    assert stopped["dns_sent"] == sum(r["unmapped"]["dns_sent"] for r in outcomes) > 0
    assert (stopped["attempts"], stopped["allowed"], stopped["denied"]) == (8, 4, 4)
    assert stopped["ended_without_head"] >= 1 and stopped["bytes_up"] == sum(r["traffic"]["bytes_out"] for r in outcomes)
    manifest = proxy.audit.event("env_manifest")
    assert (manifest["unmapped"]["part"], manifest["unmapped"]["parts"]) == (1, 1)
    last = {}
    for record in records[:manifest["metadata"]["sequence"]]:
        if "tenant_uid" in record["metadata"]:
            last[record["metadata"]["tenant_uid"]] = (record["unmapped"]["env_seq"], record["metadata"]["sequence"])
    assert set(last) == {"env-a", "env-b"}
    assert sorted(manifest["unmapped"]["environments"].split("\n")) == sorted(
        f"{seq}/{index}/{name}" for name, (seq, index) in last.items())


def test_rotate_key(lab):
    """The key is handed over while tunnels are open; both keys lead to the whole log, and the next start goes on."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("*.a.test")])
    before = proxy.ready["audit_key"]
    client = proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x")
    done = subprocess.run([proxy.binary, "audit", "rotate-key", "--admin", f"unix:{proxy.folder}/admin/a.sock"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, **unprivileged())
    assert done.returncode == 0, done.stdout.decode()
    after = done.stdout.decode().strip()
    client.send(b"y").expect(data=b"y").close()
    proxy.tunnel("two.a.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 2, what="both outcomes")
    event = proxy.audit.event("key_rotated")
    assert (event["class_uid"], event["activity_id"], event["entity"]["type"]) == (3004, 3, "key")
    assert (event["unmapped"]["old_vkey"], event["unmapped"]["new_vkey"]) == (before, after)
    assert event["unmapped"]["who"] == f"admin socket, uid {unprivileged().get('user', os.getuid())}"
    assert proxy.stop() == 0
    for key in (before, after):
        done = proxy.audit.verify("--key", key)
        assert done.returncode == 0, done.stdout.decode()
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert again.ready["audit_key"] == after
    assert again.stop() == 0
    assert again.audit.verifies()
    rotations = again.audit_dir / "keys" / "rotations"
    rotations.write_text(rotations.read_text().replace(after, before))
    assert again.audit.verify("--key", before).returncode == 2
