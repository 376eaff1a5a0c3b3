# SPDX-License-Identifier: Apache-2.0
"""No evidence, no egress; and evidence that cannot be changed."""
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess

import pytest

from lab import StartFailed, netns, wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged

# These stories ask again and again until the gate moves.
EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take a permission from the program's user")


def segments(proxy):
    return sorted((proxy.audit_dir / "segments").iterdir())


def worked(lab, attempts=5):
    """A directory with some records in it, of a program that has ended."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    for i in range(attempts):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == attempts, what="all outcomes")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
    return proxy


def test_second_program_on_one_directory(lab):
    """Exit 3, the holder is named, the first is not disturbed."""
    first = lab.proxy(allowed_hosts=["a.test"])
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=first.audit_dir)
    assert failed.value.code == 3 and str(first.pid) in failed.value.text
    first.connect("denied.test", 443).expect(status=403)
    assert first.stop() == 0
    assert first.audit.verifies()


def test_verify_beside_the_running_program(lab):
    """It takes no lock and does not stop anything."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    for i in range(20):
        proxy.connect(f"d{i}.test", 443).expect(status=403)
        if i % 5 == 0:
            assert proxy.audit.verify().returncode == 0
    assert len(proxy.audit.attempts()) == 20


def test_order_and_numbers(lab):
    """Sequence numbers without a gap, environment sequence numbers without a gap, one line a record."""
    proxy = worked(lab)
    records = proxy.audit.records()
    assert [r["metadata"]["sequence"] for r in records] == list(range(len(records)))
    ours = [r["unmapped"]["env_seq"] for r in records if r["metadata"].get("tenant_uid") == "env-a"
            and "env_seq" in r.get("unmapped", {})]
    assert ours == list(range(ours[0], ours[0] + len(ours))) and len(ours) >= 15
    uids = [r["metadata"]["uid"] for r in records]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_changed_byte_is_found(lab, place):
    """Audit test 1: exit 2, and the index is named."""
    proxy = worked(lab)
    name = {"first": b"log_started", "middle": b"d2.test", "last": b"d4.test"}[place]
    path = segments(proxy)[0]
    data = bytearray(path.read_bytes())
    at = data.rindex(name) if place == "last" else data.index(name)
    data[at] ^= 1
    path.write_bytes(bytes(data))
    done = proxy.audit.verify()
    assert done.returncode == 2, done.stdout.decode()
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert failed.value.code == 2


def test_a_cut_tail_is_found(lab):
    """Audit test 5: the newest records are gone and the checkpoint is not."""
    proxy = worked(lab)
    path = segments(proxy)[-1]
    path.write_bytes(path.read_bytes()[:-2000])
    assert proxy.audit.verify().returncode in (2, 4)
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert failed.value.code in (2, 4)


def test_a_restored_backup_is_refused(lab):
    """Audit test 9: the signer knows a larger size than the directory."""
    proxy = worked(lab)
    old = lab.folder / "backup"
    shutil.copytree(proxy.audit_dir, old, copy_function=shutil.copy2)
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    again.connect("denied.test", 443).expect(status=403)
    assert again.stop() == 0
    shutil.rmtree(proxy.audit_dir)
    shutil.copytree(old, proxy.audit_dir, copy_function=shutil.copy2)
    own_all(proxy.audit_dir)
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert failed.value.code == 4


def test_signer_state_that_is_gone(lab):
    """The log stands, the signer has forgotten it: refused."""
    proxy = worked(lab)
    for path in proxy.signer_dir.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert failed.value.code == 4


def signer_of(proxy):
    """The process id of the signer: the one child that the program has."""
    children = pathlib.Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()
    found = [int(pid) for pid in children if pathlib.Path(f"/proc/{pid}/comm").read_text() == "sallyport-sign\n"]
    assert len(found) == 1, children
    return found[0]


def signed_size(proxy):
    return int((proxy.audit_dir / "checkpoint").read_text().splitlines()[1])


def test_the_signer_is_sealed(lab):
    """It holds one socket and no other descriptor of the program, and the kernel gives it no new one."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    pid = signer_of(proxy)
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    # The thread sanitizer runs a thread of its own.
    threads = "2" if b"__tsan_init" in pathlib.Path(proxy.binary).read_bytes() else "1"
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1" and status["Threads"] == threads
    if os.geteuid() == 0:
        sockets = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert sum(name.startswith("socket:") for name in sockets) == 1, sockets
    done = subprocess.run([proxy.binary, "audit", "status", str(proxy.audit_dir), "--json"], stdout=subprocess.PIPE,
                          check=True, timeout=20, **proxy.audit.run_as)
    assert json.loads(done.stdout)["signer"] == "a process with the same uid, without network"
    started = proxy.audit.event("log_started")["unmapped"]
    assert (started["signer_account"], started["signer_network"]) == ("shared", "none")
    assert proxy.stop() == 0
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the signer is gone")


def test_the_first_key_is_an_entry(lab):
    """Who made the log's key is asked years later: the entry says when it began to sign, and comes once."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    assert proxy.stop() == 0
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert again.stop() == 0
    (event,) = [e for e in again.audit.events("key_created") if e["unmapped"]["purpose"] == "signing"]
    assert event["metadata"]["sequence"] < proxy.audit.event("policy_loaded")["metadata"]["sequence"]
    assert event["unmapped"]["vkey"] == (proxy.audit_dir / "keys/log.vkey").read_text().strip()
    assert event["entity"]["type"] == "key" and event["unmapped"]["vkey"].startswith(event["entity"]["uid"] + "+")


def test_the_signer_is_killed(lab):
    """Audit test 18: the gate closes, the program ends and says so, and the next start proves everything."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    proxy.audit.outcome(host="a.test")
    os.kill(signer_of(proxy), signal.SIGKILL)
    assert proxy.wait(20) == 1
    assert proxy.audit.event("gate_closed")["message"] == "the signer has ended"
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert again.stop() == 0
    assert again.audit.verifies()


def test_the_signer_hangs(lab):
    """Audit test 18: durability goes on, nothing is signed; when it wakes, the late signature is published."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.connect("one.test", 443).expect(status=403).close()
    pid = signer_of(proxy)
    os.kill(pid, signal.SIGSTOP)
    try:
        for i in range(5):
            proxy.connect(f"hung{i}.test", 443).expect(status=403).close()
        hung = proxy.audit.attempt(host="hung4.test")["metadata"]["sequence"]
        assert signed_size(proxy) <= hung
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: signed_size(proxy) > hung, 10, "the newest are signed")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_the_program_ends_beside_a_hung_signer(lab):
    """It says that the end is not signed, and does not wait for ever."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.connect("one.test", 443).expect(status=403).close()
    pid = signer_of(proxy)
    os.kill(pid, signal.SIGSTOP)
    proxy.term()
    assert proxy.wait(20) == 1
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the signer is gone")
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert again.stop() == 0
    assert again.audit.verifies()


def test_adopting_a_signer_without_memory(lab):
    """Refused, unless somebody says so; then it stands in the log."""
    proxy = worked(lab)
    before = len(proxy.audit.records())
    (proxy.signer_dir / "state").unlink()
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert failed.value.code == 4 and "--adopt" in failed.value.text
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir,
                      args=["--adopt"])
    assert again.audit.event("signer_adopted")["unmapped"]["size_before"] == before + 1
    assert again.stop() == 0
    once_more = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    assert once_more.stop() == 0
    assert len(once_more.audit.events("signer_adopted")) == 1
    assert once_more.audit.verifies()


def test_restart_goes_on_where_it_ended(lab):
    proxy = worked(lab)
    before = len(proxy.audit.records())
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    again.connect("denied.test", 443).expect(status=403)
    assert again.stop() == 0
    records = again.audit.records()
    assert len(records) > before and [r["metadata"]["sequence"] for r in records] == list(range(len(records)))
    assert again.audit.verifies()


def own_all(folder):
    if os.geteuid() == 0:
        who = unprivileged()["user"]
        for root, dirs, files in os.walk(folder):
            for name in [root, *(os.path.join(root, n) for n in dirs + files)]:
                os.chown(name, who, who, follow_symlinks=False)


def refused_without_a_question(lab, proxy, name, port):
    """503 audit_unavailable, within a bounded time, and not one packet for it."""
    before = len(lab.dns.queries)
    client = proxy.connect(name, port)
    reply = client.read_reply(8)
    assert (reply.status, reply.reason) == (503, "audit_unavailable"), repr(reply)
    assert len(lab.dns.queries) == before
    client.close()
    return reply


@needs_root
def test_directory_becomes_unwritable_and_recovers(lab):
    """Audit test 15: the gate closes, nothing leaves, and it opens again without a restart."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("*.a.test")], limits=EAGER)
    proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x").close()
    folders = [proxy.audit_dir, *(p for p in proxy.audit_dir.rglob("*") if p.is_dir())]
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in folders}
    for path in folders:
        os.chmod(path, 0o555)
        os.chown(path, 0, 0)
    wait_for(lambda: closed_once(lab, proxy, origin), 20, "the gate is closed")
    connections = origin.connections
    for i in range(5):
        refused_without_a_question(lab, proxy, f"shut{i}.a.test", origin.port)
    assert origin.connections == connections and proxy.alive()
    for path, mode in modes.items():
        own_all(path)
        os.chmod(path, mode)
    client = wait_for(lambda: (c := proxy.connect("three.a.test", origin.port)).read_reply(8).status == 200 and c, 30,
                      "the gate opens again")
    client.hello(sni="three.a.test").send(b"x").expect(data=b"x").close()
    proxy.audit.event("gate_closed")
    opened = proxy.audit.event("gate_opened")
    assert opened["unmapped"]["refused"] >= 5, "the refused are counted"
    assert not proxy.audit.attempts(host="shut0.a.test")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def closed_once(lab, proxy, origin):
    """True when an attempt was answered 503 and nothing was asked for it."""
    before = len(lab.dns.queries)
    with proxy.connect("two.a.test", origin.port) as client:
        reply = client.read_reply(8)
        if reply.status != 503:
            return False
        assert reply.reason == "audit_unavailable" and len(lab.dns.queries) == before
        return True


@pytest.mark.parametrize("how", ["unlinked", "replaced by a copy", "replaced by an empty file", "moved away"])
def test_live_segment_is_taken_away(lab, how):
    """Audit test 15: seen at the next commit, which is refused. Nothing that was acknowledged may be lost by it: either
    the log is mended and proven, or it stays shut and verification says what is missing."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("*.a.test")], limits=EAGER)
    proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x").close()
    proxy.audit.outcome(host="one.a.test")
    flow = proxy.audit.attempt(host="one.a.test")["metadata"]["correlation_uid"]
    live = segments(proxy)[-1]
    take_away(live, how)
    own_all(proxy.audit_dir)
    wait_for(lambda: closed_once(lab, proxy, origin) or gate_was_closed(proxy), 10, "the gate is closed")
    assert proxy.alive()
    if opens_again(proxy, origin):
        assert proxy.audit.event("gate_closed") and proxy.audit.event("gate_opened")
        assert flow in str(proxy.audit.attempts(host="one.a.test"))
        assert proxy.stop() == 0
        fresh = type(proxy.audit)(proxy.binary, str(proxy.audit_dir))
        assert fresh.attempts(host="one.a.test") and fresh.verifies()
    else:
        proxy.kill()
        assert proxy.audit.verify().returncode in (2, 4)


def gate_was_closed(proxy):
    """The log says so: a commit of an earlier flow may have noticed it, and mended it, before anybody asked again."""
    try:
        return proxy.audit.events("gate_closed")
    except AssertionError:
        return False


def opens_again(proxy, origin):
    """True when an attempt is let through again within some seconds."""
    def allowed():
        with proxy.connect("three.a.test", origin.port) as client:
            return client.read_reply(8).status == 200
    try:
        return wait_for(allowed, 4)
    except AssertionError:
        return False


def take_away(live, how):
    if how == "unlinked":
        live.unlink()
    elif how == "moved away":
        live.rename(live.parent.parent / "moved")
    else:
        copy = live.with_suffix(".copy")
        shutil.copy2(live, copy)
        if how.endswith("empty file"):
            copy.write_bytes(b"")
        os.rename(copy, live)


@pytest.fixture
def small_disk(lab):
    """A tmpfs of a few MiB for the log, mounted where nobody else sees it."""
    if not netns.private_mounts():
        pytest.skip("needs root, for a mount of its own")
    folder = lab.make_folder("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(path):
    """Takes all the room that there is."""
    with open(path, "wb") as out:
        try:
            while True:
                out.write(b"\0" * 65536)
                out.flush()
        except OSError:
            pass


def test_disk_full_and_space_again(lab, small_disk):
    """L-09: refused while it is full, the ballast pays for saying so, and it recovers without a restart."""
    origin = lab.origin(after_hello(echo))
    folder = small_disk / "audit"
    proxy = lab.proxy(hosts=[origin.at("*.a.test")], audit_dir=folder, limits=EAGER)
    proxy.tunnel("one.a.test", origin.port).send(b"x").expect(data=b"x").close()
    filler = small_disk / "filler"
    fill(filler)
    wait_for(lambda: closed_once(lab, proxy, origin), 20, "the gate is closed")
    refused_without_a_question(lab, proxy, "three.a.test", origin.port)
    filler.unlink()
    def open_again():
        with proxy.connect("four.a.test", origin.port) as client:
            return client.read_reply(8).status == 200
    wait_for(open_again, 20, "the gate opens again")
    assert proxy.audit.event("gate_closed") and proxy.audit.event("gate_opened")
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_wrong_directory(lab):
    """L-10: a file, a symbolic link to nowhere, a directory of somebody else."""
    proxy = lab.proxy(allowed_hosts=["a.test"], start=False)
    proxy.audit_dir.rmdir()
    proxy.audit_dir.write_text("x")
    with pytest.raises(StartFailed) as failed:
        proxy.start()
    assert failed.value.code != 0
    proxy.audit_dir.unlink()
    os.mkfifo(proxy.audit_dir)
    with pytest.raises(StartFailed):
        proxy.start()


HOSTILE_WORDS = [b'","verdict":"allow","x":"', b"\\", b'\\"', b"a\\u0000", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1b[31m",
                 b"<script>", b"%n%s", b"\xff\xfe", b"{}", b"'" * 60, b"\\" * 120, b"\xf0\x9f\x92\xa9" * 40]


def test_fields_are_data(lab):
    """L-01, L-05, L-18: whatever stands in a target is one escaped string of one record."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    callers = []
    for word in HOSTILE_WORDS:
        client = proxy.client().send(b"CONNECT " + word + b".test:443 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: " + word
                                     + b"\r\n\r\n")
        client.expect(status=400)
        assert b"<script>" not in client.reply.body
        callers.append(client.who)
    for word, who in zip(HOSTILE_WORDS, callers):
        raw = proxy.audit.attempt(**who, verdict="deny")["unmapped"]["raw_target"]
        if word.isascii() and len(word) < 50 and word.isalnum():
            assert word.decode() in raw
        assert len(raw) <= 64 * 4 + 8
    assert len(proxy.audit.flows()) == len(HOSTILE_WORDS)
    proxy.stop()
    assert proxy.audit.verifies()
