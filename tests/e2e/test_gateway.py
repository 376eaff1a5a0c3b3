# SPDX-License-Identifier: Apache-2.0
"""Many environments in one process: who belongs to which, and what a reload of one does to the others."""
import json
import os
import subprocess
import threading
import time

import pytest

from lab import StartFailed, wait_for
from lab.gateway import Gateway
from lab.origin import after_hello, echo
from lab.proxy import INSTRUMENTED, unprivileged
from lab.wait import never


def control(gateway, verb, *args):
    return subprocess.run([gateway.binary, verb, "--admin", f"unix:{gateway.folder}/admin/a.sock", *args],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, **unprivileged())


def status(gateway):
    return json.loads(control(gateway, "status").stdout)


def unmapped(record):
    return record["unmapped"]


def soon(gateway, index, host, port, status, reason=None, source=None):
    """A load is on record before the workers have it: a connection or two later they do."""
    def answered():
        client = gateway.at(index, source).connect(host, port)
        client.read_reply()
        gateway.clients.remove(client)
        client.close()
        return client.reply.status == status and (reason is None or client.reply.reason == reason)
    wait_for(answered, 5, f"{status} {reason}")


def two(lab, listeners=None, **options):
    """env-a may reach a.test, env-b b.test, each by a listener of its own."""
    a, b = lab.origin(after_hello(echo)), lab.origin(after_hello(echo))
    gateway = Gateway(lab, [(lab.policy(name="env-a", hosts=[a.at("a.test")]), {"sources": ["127.0.41.0/24"]}),
                            (lab.policy(name="env-b", hosts=[b.at("b.test")]), {"sources": ["127.0.42.0/24"]})],
                      listeners or [{"listen": "127.0.0.1:0", "environment": "env-a"},
                                    {"listen": "127.0.0.1:0", "environment": "env-b"},
                                    {"listen": "127.0.0.1:0", "by": "source"}], **options)
    return gateway, a, b


# ---- who belongs to which ----

def test_by_listener(lab):
    gateway, a, b = two(lab)
    assert [e["name"] for e in gateway.ready["environments"]] == ["env-a", "env-b"]
    assert gateway.ready["environment"] == "env-a" and gateway.ready["policy"] == gateway.ids()["env-a"]
    gateway.open_tunnel(0, "a.test", a.port).send(b"1").expect(data=b"1")
    gateway.open_tunnel(1, "b.test", b.port).send(b"2").expect(data=b"2")
    gateway.at(0).connect("b.test", b.port).expect(status=403, reason="host_not_allowed")
    gateway.at(1).connect("a.test", a.port).expect(status=403, reason="host_not_allowed")
    assert gateway.audit.attempt(host="b.test", verdict="deny")["metadata"]["tenant_uid"] == "env-a"
    allowed = gateway.audit.attempt(host="b.test", verdict="allow")
    assert allowed["metadata"]["tenant_uid"] == "env-b" and allowed["policy"]["uid"] == gateway.ids()["env-b"]
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_each_worker_says_what_it_accepted(lab):
    origin = lab.origin(after_hello(echo))
    gateway = Gateway(lab, [lab.policy(name="env-a", hosts=[origin.at("a.test")])])
    for _ in range(64):
        gateway.open_tunnel(0, "a.test", origin.port).close()
    seen = status(gateway)
    assert [sorted(w) for w in seen["by_worker"]] == [["accepted", "attempts"]] * seen["workers"] == \
        [["accepted", "attempts"]] * 2
    assert sum(w["accepted"] for w in seen["by_worker"]) == seen["counters"]["accepted"] == 64
    assert all(w["accepted"] > 0 for w in seen["by_worker"]), "the kernel gives both some of 64"


def test_by_source(lab):
    gateway, a, b = two(lab)
    gateway.open_tunnel(2, "a.test", a.port, source="127.0.41.7").send(b"1").expect(data=b"1")
    gateway.open_tunnel(2, "b.test", b.port, source="127.0.42.255").send(b"2").expect(data=b"2")
    gateway.at(2, "127.0.42.1").connect("a.test", a.port).expect(status=403, reason="host_not_allowed")
    gateway.at(2, "127.0.43.0").connect("a.test", a.port).expect(status=403, reason="identity_unknown")
    unknown = gateway.audit.attempt(peer="127.0.43.0")
    assert unknown["metadata"]["tenant_uid"] == "-" and unknown["status_code"] == "identity_unknown"
    assert unknown["unmapped"]["stage"] == "identity"
    assert gateway.audit.attempt(peer="127.0.42.1")["metadata"]["tenant_uid"] == "env-b"
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_source_and_listener(lab):
    """They may agree; when they name different environments nobody chooses. O-10."""
    gateway, a, b = two(lab)
    gateway.open_tunnel(0, "a.test", a.port, source="127.0.41.7").send(b"1").expect(data=b"1")
    reply = gateway.at(0, "127.0.42.7").connect("b.test", b.port).expect(status=403, reason="identity_conflict").reply
    assert reply.headers["x-sallyport-reason"] == "identity_conflict"
    gateway.at(1, "127.0.41.7").connect("b.test", b.port).expect(status=403, reason="identity_conflict")
    record = gateway.audit.attempt(peer="127.0.42.7")
    assert record["metadata"]["tenant_uid"] == "-" and record["status_code"] == "identity_conflict"
    assert b.connections == 0


def test_denied_for_all(lab):
    """What the organisation denies no environment can allow; the record says where it stands."""
    origin = lab.origin()
    gateway = Gateway(lab, [lab.policy(name="env-a", hosts=[origin.at("a.test")]),
                            lab.policy(name="env-b", kind="unrestricted")],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}],
                      {"denied_hosts": ["a.test", "*.evil.test"]})
    gateway.at(0).connect("a.test", origin.port).expect(status=403, reason="host_denied")
    gateway.at(1).connect("x.evil.test", 443).expect(status=403, reason="host_denied")
    record = gateway.audit.attempt(host="x.evil.test")
    assert record["firewall_rule"]["uid"] == "denied_hosts[1]"
    gateway.at(1).connect("evil.test", 443).expect(status=502)
    assert not lab.dns.asked("a.test") and not lab.dns.asked("x.evil.test")


def test_inline_environments(lab):
    """An environment that stands in the configuration itself; its rules point into that file."""
    origin = lab.origin(after_hello(echo))
    policy = lab.policy(name="env-b", hosts=[origin.at("b.test")])
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"])],
                      [{"listen": "127.0.0.1:0", "environment": "env-b"}], start=False)
    gateway.config["environments"].append({"environment": policy.tree})
    gateway.write_config()
    gateway.start()
    gateway.open_tunnel(0, "b.test", origin.port).send(b"1").expect(data=b"1")
    loaded = gateway.loads("env-b")[0]
    assert unmapped(loaded)["file"] == str(gateway.config_file)
    blob = gateway.audit_dir / "blobs" / unmapped(loaded)["text_sha256"]
    assert "b.test" in blob.read_text() and "a.test" not in blob.read_text()


def test_limits_for_all(lab):
    """Where an environment sets none of its own, the configuration's count."""
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"]),
                            lab.policy(name="env-b", allowed_hosts=["a.test"], limits={"target_bytes": "200B"})],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}],
                      {"limits": {"target_bytes": "100B"}})
    long = "a" * 150 + ".test"
    gateway.at(0).connect(long, 443).expect(status=414)
    gateway.at(1).connect(long, 443).read_reply()
    assert gateway.clients[-1].reply.status != 414


def test_unix_listener(lab):
    origin = lab.origin(after_hello(echo))
    gateway = Gateway(lab, [lab.policy(name="env-a", hosts=[origin.at("a.test")])], start=False, unix=True)
    gateway.config["listeners"] = [{"listen": f"unix:{gateway.socket_path}", "mode": "0600"}]
    gateway.write_config()
    gateway.start()
    assert os.stat(gateway.socket_path).st_mode & 0o777 == 0o600
    client = gateway.connect("a.test", origin.port, unix=True).expect(status=200)
    client.hello(sni="a.test").send(b"1").expect(data=b"1")
    assert gateway.stop() == 0 and not os.path.exists(gateway.socket_path)


# ---- reload ----

def test_one_changes_the_others_do_not(lab):
    gateway, a, b = two(lab)
    kept = gateway.open_tunnel(1, "b.test", b.port).send(b"1").expect(data=b"1")
    gone = gateway.open_tunnel(0, "a.test", a.port).send(b"1").expect(data=b"1")
    gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["other.test"]))
    answer = control(gateway, "reload", "--reason", "ticket 4711")
    assert answer.returncode == 0, answer.stdout
    outcome = gateway.audit.outcome(host="a.test", reason="revoked", seconds=6)
    assert outcome["metadata"]["tenant_uid"] == "env-a"
    gone.read_to_end(6)
    kept.send(b"2").expect(data=b"2")
    assert len(gateway.loads("env-a")) == 2 and len(gateway.loads("env-b")) == 1
    record = unmapped(gateway.loads("env-a")[-1])
    assert record["reason"] == "ticket 4711" and record["generation"] == 2
    assert record["who"] == f"admin socket, uid {os.stat(gateway.audit_dir).st_uid}"
    whole = unmapped(gateway.loads()[-1])
    assert (whole["environments"], whole["changed"], whole["removed"]) == (2, 1, 0)
    text = (gateway.audit_dir / "blobs" / record["text_sha256"]).read_text()
    assert "other.test" in text and text == gateway.file_of("env-a").read_text()
    kept.half_close().expect(closed=True)
    done = gateway.audit.outcome(host="b.test", verdict="allow")
    assert done["traffic"]["bytes_in"] > 0 and done["metadata"]["tenant_uid"] == "env-b"
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_one_bad_file_keeps_all(lab):
    """No part of a load counts when another part is wrong; which one is said."""
    gateway, a, b = two(lab)
    gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["other.test"]))
    gateway.write_environment("name: env-b\nconfig: {networking: {type: limited, alowed_hosts: []}}\n", name="env-b")
    answer = control(gateway, "reload")
    assert answer.returncode == 1 and b"refused" in answer.stdout
    gateway.open_tunnel(0, "a.test", a.port).send(b"1").expect(data=b"1")
    gateway.open_tunnel(1, "b.test", b.port).send(b"1").expect(data=b"1")
    refused = gateway.audit.event("policy_refused")
    assert unmapped(refused)["file"].endswith("env-b.yaml") and unmapped(refused)["line"] == 2
    assert "alowed_hosts" in refused["message"] and unmapped(refused)["generation_in_force"] == 1
    text = (gateway.audit_dir / "blobs" / unmapped(refused)["text_sha256"]).read_text()
    assert text == gateway.file_of("env-b").read_text()
    assert "env-b.yaml:2:" in gateway.text() and "did you mean 'allowed_hosts'" in gateway.text()
    assert len(gateway.loads("env-a")) == 1
    gateway.write_environment(lab.policy(name="env-b", hosts=[b.at("b.test")]))
    assert control(gateway, "reload").returncode == 0
    soon(gateway, 0, "a.test", a.port, 403)
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_removed_environment(lab):
    """O-04: its tunnels are revoked, and who comes in by its listener or from its addresses belongs to nobody."""
    gateway, a, b = two(lab)
    by_listener = gateway.open_tunnel(1, "b.test", b.port).send(b"1").expect(data=b"1")
    by_source = gateway.open_tunnel(2, "b.test", b.port, source="127.0.42.9").send(b"1").expect(data=b"1")
    kept = gateway.open_tunnel(0, "a.test", a.port).send(b"1").expect(data=b"1")
    del gateway.config["environments"][1], gateway.config["listeners"][1]
    gateway.write_config()
    gateway.hup()
    by_listener.read_to_end(6)
    by_source.read_to_end(6)
    kept.send(b"2").expect(data=b"2")
    wait_for(lambda: len(gateway.audit.outcomes(host="b.test", reason="revoked")) == 2, 6, "two revocations")
    soon(gateway, 1, "b.test", b.port, 403, "identity_unknown")
    soon(gateway, 2, "b.test", b.port, 403, "identity_unknown", "127.0.42.9")
    removed = gateway.audit.event("policy_removed")
    assert removed["metadata"]["tenant_uid"] == "env-b" and removed["entity"]["uid"] == gateway.ids()["env-b"]
    assert removed["class_uid"] == 3004 and removed["activity_id"] == 4
    assert unmapped(removed)["who"].startswith("SIGHUP from uid")
    assert unmapped(gateway.loads()[-1])["removed"] == 1
    assert [e["name"] for e in status(gateway)["environments"]] == ["env-a"]
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_renamed_environment(lab):
    """O-04: another name is another environment, though nothing else changed."""
    gateway, a, b = two(lab)
    tunnel = gateway.open_tunnel(1, "b.test", b.port).send(b"1").expect(data=b"1")
    policy = lab.policy(name="env-c", hosts=[b.at("b.test")])
    gateway.write(gateway.file_of("env-b"), policy.text())
    gateway.hup()
    refused = gateway.audit.event("policy_refused", seconds=6)
    assert "env-b" in refused["message"] and unmapped(refused)["file"] == str(gateway.config_file)
    tunnel.send(b"2").expect(data=b"2")
    gateway.config["listeners"][1]["environment"] = "env-c"
    gateway.write_config()
    gateway.hup()
    tunnel.read_to_end(6)
    gateway.audit.outcome(host="b.test", reason="revoked", seconds=6)
    soon(gateway, 1, "b.test", b.port, 200)
    assert [e["name"] for e in status(gateway)["environments"]] == ["env-a", "env-c"]
    assert gateway.audit.attempts(environment="env-c")


def test_busy_and_idle_tunnels_are_revoked_in_time(lab):
    """O-01: within five seconds, whatever they do."""
    def flood(conn):
        while conn.send(b"x" * 65536):
            pass
    busy, idle = lab.origin(after_hello(flood)), lab.origin(after_hello(echo))
    gateway = Gateway(lab, [lab.policy(name="env-a", hosts=[busy.at("busy.test"), idle.at("idle.test")])])
    flooded = gateway.tunnel("busy.test", busy.port)
    flooded.read_exactly(1 << 20)
    quiet = gateway.tunnel("idle.test", idle.port).send(b"1").expect(data=b"1")
    gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["other.test"]))
    start = time.monotonic()
    gateway.hup()
    gateway.audit.outcome(host="busy.test", reason="revoked", seconds=6)
    gateway.audit.outcome(host="idle.test", reason="revoked", seconds=6)
    flooded.read_to_end(6)
    quiet.read_to_end(6)
    assert time.monotonic() - start < 6


def test_swapped_between_the_question_and_the_dial(lab):
    """O-02: allowed when its name was asked for, gone with its environment when the answer comes."""
    origin = lab.origin()
    lab.dns.set("b.test", origin.address, delay={1: 1.0, 28: 1.0})
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"]),
                            lab.policy(name="env-b", hosts=[origin.at("b.test")], limits={"resolve_timeout": "5s"})],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}])
    client = gateway.at(1).connect("b.test", origin.port)
    lab.dns.wait_asked("b.test")
    del gateway.config["environments"][1], gateway.config["listeners"][1]
    gateway.write_config()
    gateway.hup()
    gateway.audit.event("policy_removed", seconds=6)
    client.read_to_end()
    assert b" 200 " not in bytes(client.received) and origin.connections == 0
    outcome = gateway.audit.outcome(host="b.test")
    assert outcome["action_id"] == 2


def test_a_storm_of_reloads(lab):
    """O-03: signals, requests and files at once, good and bad; each attempt sees one of two policies, nothing hangs."""
    origin = lab.origin()
    one = lab.policy(name="env-a", hosts=[origin.at("a.test")])
    other = lab.policy(name="env-a", hosts=[origin.at("b.test")])
    gateway = Gateway(lab, [one, lab.policy(name="env-b", allowed_hosts=["c.test"])],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}])
    texts = [one.text(), other.text(), "name: [\n"]
    stop = threading.Event()

    def write():
        for i in range(10**6):
            if stop.is_set():
                return
            gateway.write(gateway.file_of("env-a"), texts[i % 3])
            gateway.hup()

    def ask():
        while not stop.is_set():
            control(gateway, "reload")
    threads = [threading.Thread(target=write), threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    try:
        seen = set()
        for _ in range(40):
            client = gateway.at(0).connect("a.test", origin.port)
            seen.add(client.read_reply().status)
            gateway.clients.pop().close()
            gateway.at(1).connect("d.test", 443).expect(status=403, reason="host_not_allowed")
            gateway.clients.pop().close()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= {200, 403} and gateway.alive()
    gateway.write_environment(one)
    assert control(gateway, "reload").returncode == 0
    soon(gateway, 0, "a.test", origin.port, 200)
    gateway.hup()
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_a_thousand_environments(lab):
    """One of a thousand changes: the tunnels of the others do not notice, and the load takes less than two seconds."""
    origin = lab.origin(after_hello(echo))
    gateway = Gateway(lab, [], [{"listen": "127.0.0.1:0", "by": "source"}], start=False)
    for i in range(1000):
        policy = lab.policy(name=f"env-{i}", hosts=[origin.at("a.test")])
        gateway.add(policy, {"sources": [f"127.{100 + i // 250}.{i % 250}.0/24"]})
    gateway.write_config()
    gateway.start()

    def source(i):
        return f"127.{100 + i // 250}.{i % 250}.9"
    tunnels = {i: gateway.open_tunnel(0, "a.test", origin.port, source(i)) for i in range(0, 1000, 40)}
    for tunnel in tunnels.values():
        tunnel.send(b"1").expect(data=b"1")
    gateway.write_environment(lab.policy(name="env-400", allowed_hosts=["other.test"]))
    start = time.monotonic()
    assert control(gateway, "reload").returncode == 0
    took = time.monotonic() - start
    tunnels.pop(400).read_to_end(6)
    for tunnel in tunnels.values():
        tunnel.send(b"2").expect(data=b"2")
    print(f"a reload of one in a thousand: {took:.3f} s")
    assert took < (20 if INSTRUMENTED else 2), f"the reload took {took:.2f} s"
    outcomes = wait_for(gateway.audit.outcomes, 6, "the revocation")
    assert [(r["metadata"]["tenant_uid"], r["status_code"]) for r in outcomes] == [("env-400", "revoked")]
    loads = [r for r in gateway.audit.events("policy_loaded") if unmapped(r)["generation"] == 2]
    assert [r["metadata"].get("tenant_uid") for r in loads] == ["env-400", None]
    assert unmapped(loads[1])["environments"] == 1000
    assert len(status(gateway)["environments"]) == 1000


# ---- files that change ----

def swap_link(gateway, target):
    fresh = gateway.folder / "..data_tmp"
    os.symlink(target, fresh)
    os.rename(fresh, gateway.folder / "..data")


def make_version(gateway, number, policy):
    folder = gateway.folder / f"..v{number}"
    folder.mkdir()
    os.chmod(folder, 0o755)
    (folder / "env-a.yaml").write_text(policy.text())
    os.chmod(folder / "env-a.yaml", 0o644)
    return folder.name


def opens(gateway, host, port):
    client = gateway.connect(host, port)
    status_code = client.read_reply().status
    gateway.clients.pop().close()
    return status_code == 200


@pytest.mark.parametrize("way", ["rename", "close", "config", "list"])
def test_taken_by_itself(lab, way):
    origin = lab.origin()
    policy = lab.policy(name="env-a", hosts=[origin.at("a.test")])
    gateway = Gateway(lab, [policy], start=False)
    if way == "list":
        gateway.write(gateway.folder / "deny.txt", "a.test\n")
        policy = lab.policy(name="env-a", hosts=[origin.at("a.test")], egress={"blocklist": ["deny.txt"]})
        gateway.write_environment(policy)
    else:
        gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["other.test"]))
    gateway.start()
    gateway.connect("a.test", origin.port).expect(status=403)
    if way == "rename":
        gateway.write_environment(policy)
    elif way == "close":
        gateway.file_of("env-a").write_text(policy.text())
    elif way == "list":
        gateway.write(gateway.folder / "deny.txt", "# nothing\n")
    else:
        gateway.write(gateway.folder / "other.yaml", policy.text())
        gateway.config["environments"] = [{"file": "other.yaml"}]
        gateway.write_config()
    wait_for(lambda: opens(gateway, "a.test", origin.port), 6, "the new policy")
    loaded = wait_for(lambda: len(gateway.loads("env-a")) == 2 and gateway.loads("env-a")[-1], 6, "its record")
    owner = os.stat(gateway.file_of("env-a")).st_uid
    assert unmapped(loaded)["who"] == f"a changed file of uid {owner}"
    assert unmapped(loaded)["reason"].startswith("changed: /") and unmapped(loaded)["generation"] == 2
    assert gateway.stop() == 0 and gateway.audit.verifies()


def test_taken_from_a_swapped_link(lab):
    """As a ConfigMap is mounted: the file is a link through ..data, and ..data is what changes."""
    origin = lab.origin()
    gateway = Gateway(lab, [], start=False)
    swap_link(gateway, make_version(gateway, 1, lab.policy(name="env-a", allowed_hosts=["other.test"])))
    os.symlink("..data/env-a.yaml", gateway.file_of("env-a"))
    gateway.config["environments"] = [{"file": "env-a.yaml"}]
    gateway.write_config()
    gateway.start()
    gateway.connect("a.test", origin.port).expect(status=403)
    for number in (2, 3):
        policy = lab.policy(name="env-a", hosts=[origin.at("a.test")] if number == 2 else [], allowed_hosts=["x.test"])
        swap_link(gateway, make_version(gateway, number, policy))
        wait_for(lambda: opens(gateway, "a.test", origin.port) == (number == 2), 6, f"version {number}")
    wait_for(lambda: len(gateway.loads("env-a")) == 3, 6, "its records")


def test_half_written_is_not_taken(lab):
    """A file whose writer is not done is not read, not even when another file brings a reload about."""
    origin = lab.origin()
    policy = lab.policy(name="env-a", hosts=[origin.at("a.test")])
    gateway = Gateway(lab, [policy, lab.policy(name="env-b", allowed_hosts=["b.test"])],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}])
    text = lab.policy(name="env-a", allowed_hosts=["aa.test", "other.test"]).text()
    half = text.index("    - other.test")
    with open(gateway.file_of("env-a"), "w", encoding="utf-8") as file:
        file.write(text[:half])  # a whole policy by itself, but not the one that is meant
        file.flush()
        gateway.write_environment(lab.policy(name="env-b", allowed_hosts=["c.test"]))
        never(lambda: len(gateway.audit.events("policy_loaded")) > 3 or gateway.audit.events("policy_refused"), 1.0,
              "something was loaded")
        gateway.at(0).connect("a.test", origin.port).expect(status=200)
        file.write(text[half:])
    wait_for(lambda: len(gateway.loads("env-a")) == 2 and len(gateway.loads("env-b")) == 2, 6, "both")
    blob = gateway.audit_dir / "blobs" / unmapped(gateway.loads("env-a")[-1])["text_sha256"]
    assert blob.read_text() == text
    assert not gateway.audit.events("policy_refused")
    assert unmapped(gateway.loads()[-1])["changed"] == 2


def test_bad_file_by_itself(lab):
    """It is refused once, with its place; the next good one is taken."""
    origin = lab.origin()
    gateway = Gateway(lab, [lab.policy(name="env-a", hosts=[origin.at("a.test")])])
    gateway.write_environment("name: env-a\nconfig: [\n", name="env-a")
    refused = gateway.audit.event("policy_refused", seconds=6)
    assert unmapped(refused)["file"] == str(gateway.file_of("env-a")) and unmapped(refused)["line"] >= 2
    never(lambda: len(gateway.audit.events("policy_refused")) > 1, 0.8, "refused again")
    gateway.connect("a.test", origin.port).expect(status=200)
    gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["x.test"]))
    wait_for(lambda: len(gateway.loads("env-a")) == 2, 6, "the good one")
    soon(gateway, 0, "a.test", origin.port, 403)


def test_written_again_the_same(lab):
    """A touch is no load: nothing is recorded, and later changes are still seen."""
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"])])
    before = len(gateway.audit.events("policy_loaded"))
    gateway.file_of("env-a").write_text(gateway.file_of("env-a").read_text())
    never(lambda: len(gateway.audit.events("policy_loaded")) > before, 0.8, "a load")
    gateway.write_environment(lab.policy(name="env-a", allowed_hosts=["b.test"]))
    wait_for(lambda: len(gateway.loads("env-a")) == 2, 6, "the change")


def test_agent_files_wait_for_somebody(lab):
    """A definition of an agent opens endpoints: it counts when somebody asks for a reload, and not before."""
    origin = lab.origin()
    agent = "name: x\nmcp_servers:\n  - {type: url, name: m, url: \"https://%s:" + str(origin.port) + "/\"}\n"
    lab.dns.set("m.test", origin.address)
    policy = lab.policy(name="env-a", networking={"allow_mcp_servers": True}, egress={"agents": ["agent.yaml"]})
    gateway = Gateway(lab, [policy], start=False)
    gateway.write(gateway.folder / "agent.yaml", agent % "other.test")
    gateway.start()
    gateway.write(gateway.folder / "agent.yaml", agent % "m.test")
    never(lambda: len(gateway.loads("env-a")) > 1, 0.6, "the agent was taken")
    gateway.write_environment(lab.policy(name="env-a", networking={"allow_mcp_servers": True},
                                         egress={"agents": ["agent.yaml"], "denied_hosts": ["d.test"]}))
    never(lambda: len(gateway.loads("env-a")) > 1, 0.6, "the agent was taken with another change")
    assert "agent definition changed" in gateway.text()
    gateway.connect("m.test", origin.port).expect(status=403, reason="host_not_allowed")
    assert control(gateway, "reload").returncode == 0
    assert len(gateway.loads("env-a")) == 2
    soon(gateway, 0, "m.test", origin.port, 403, "address_forbidden")  # the name is open now, its address is loopback


# ---- starting ----

BAD = [
    ({"listners": []}, "has no key 'listners'", "did you mean 'listeners'"),
    ({"listeners": []}, "0 listeners", "add for instance"),
    ({"listeners": [{"listen": "localhost:1"}]}, "no place to listen on", "127.0.0.1:3128"),
    ({"listeners": [{"listen": "127.0.0.1:0", "environment": "nobody"}]}, "there is no environment 'nobody'", "name:"),
    ({"listeners": [{"listen": "127.0.0.1:0", "mode": "0660"}]}, "belongs to a Unix socket", "remove"),
    ({"environments": []}, "0 environments", "add for instance"),
    ({"environments": [{"sources": ["10.0.0.1/8"], "file": "env-a.yaml"}]}, "no prefix of addresses", "10.20.0.0/16"),
    ({"environments": [{"file": "gone.yaml"}]}, "No such file", ""),
    ({"environments": [{"file": "env-a.yaml"}, {"file": "env-a.yaml"}]}, "share a name", "of its own"),
    ({"environments": [{"egress_file": "env-a.yaml"}]}, "neither file nor environment", "file: PATH"),
    ({"workers": 0}, "workers is a number", ""),
    ({"workers": 1000}, "workers is a number", ""),
    ({"drain": 10}, "drain is a duration", "30s"),
    ({"dns": ["dns.test:53"]}, "no address and port", "127.0.0.53:53"),
    ({"admin": "/run/x"}, "the admin socket is a Unix socket", "unix:"),
    ({"denied_hosts": ["10.0.0.1"]}, "10.0.0.1", ""),
    ({"limits": {"idle": 5}}, "limits.idle", "10s"),
    ({"ceiling": {"networking": {"type": "limited"}}}, "exceeds the ceiling in", "allow it in the ceiling"),
    ({"ceiling": {"egress": {}}}, "the ceiling has no networking block", "write for instance"),
    ({"ceiling": {"networking": {"type": "open"}}}, "is not: one of", "limited"),
]


@pytest.mark.parametrize("keys, wrong, fix", BAD, ids=[f"{i}-{next(iter(b[0]))}" for i, b in enumerate(BAD)])
def test_bad_configuration_at_the_start(lab, keys, wrong, fix):
    with pytest.raises(StartFailed) as failed:
        Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"])], keys=keys)
    assert failed.value.code == 78
    assert wrong in failed.value.text and fix in failed.value.text, failed.value.text
    if "No such file" not in wrong:
        assert f"{lab.proxies[-1].folder}/gateway.yaml:" in failed.value.text


def test_overlapping_sources(lab):
    a, b = lab.policy(name="env-a"), lab.policy(name="env-b")
    with pytest.raises(StartFailed) as failed:
        Gateway(lab, [(a, {"sources": ["10.0.0.0/8", "10.1.0.0/16"]}), (b, {"sources": ["10.1.2.0/24"]})],
                [{"listen": "127.0.0.1:0", "by": "source"}])
    assert "10.1.2.0/24 belong to env-a and to env-b" in failed.value.text


def test_config_stands_alone(lab):
    gateway = Gateway(lab, [lab.policy(name="env-a")], start=False, args=["--listen", "127.0.0.1:0"])
    with pytest.raises(StartFailed) as failed:
        gateway.start()
    assert failed.value.code == 64 and "--config" in failed.value.text


def test_reload_says_what_is_fixed(lab):
    """A new listener waits for the next start; who edits the file hears of it."""
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"])])
    gateway.config["listeners"].append({"listen": "127.0.0.1:0"})
    gateway.write_config()
    assert control(gateway, "reload").returncode == 0
    wait_for(lambda: "listeners are opened at the start alone" in gateway.text(), 5, "the warning")


def test_reason_of_a_reload(lab):
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.test"])])
    assert control(gateway, "reload", "--reason", "x" * 256).returncode == 64
    assert control(gateway, "reload", "--reason", "two\nlines").returncode == 64
    assert control(gateway, "reload", "--reason", "größer").returncode == 0
    assert unmapped(gateway.loads()[-1])["reason"] == "größer"
