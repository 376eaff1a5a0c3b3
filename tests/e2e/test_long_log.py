# SPDX-License-Identifier: Apache-2.0
"""A log of many entries: a start reads what lies behind the newest snapshot, inside the cage as outside."""
import os
import shutil
import subprocess

from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged

ENTRIES = 66000  # above the 65,536 between two snapshots


def long_log(lab):
    """Written by the program that measures the log, in seconds (more on a slow machine); its snapshots are taken away."""
    # A copy: another account may not come where the build is.
    bench = shutil.copy2(os.environ["BENCH_AUDIT"], lab.folder / "bench-audit")
    for seconds in (3, 9, 27):
        folder = lab.make_folder(f"long-{seconds}")
        os.chmod(folder, 0o777)
        done = subprocess.run([str(bench), str(folder), str(seconds), "1", "40000"], stdout=subprocess.PIPE, text=True,
                              timeout=120, check=True, **unprivileged())
        assert "from the newest snapshot" in done.stdout, done.stdout
        if signed(folder) > ENTRIES:
            break
        shutil.rmtree(folder)
    else:
        raise AssertionError("the machine is too slow for this test")
    for path in (folder / "audit/index").iterdir():
        path.unlink()
    return folder, signed(folder)


def start(lab, folder, skip, **policy):
    proxy = lab.proxy(audit_dir=folder / "audit", signer_dir=folder / "signer", **policy)
    proxy.audit.skip(skip)
    return proxy


def signed(folder):
    return int((folder / "audit/checkpoint").read_text().splitlines()[1])


def test_the_next_start_reads_little(lab):
    folder, size = long_log(lab)
    origin = lab.origin(after_hello(echo))
    hosts = [origin.at("a.test")]
    first = start(lab, folder, size, hosts=hosts)
    started = first.audit.event("log_started")["unmapped"]
    assert (started["read_from"], started["size_before"]) == (0, size)
    # What was read without a snapshot is kept at once: by the writer, from within its cage.
    taken = first.audit.event("log_snapshot")
    at = taken["metadata"]["sequence"]
    assert taken["unmapped"]["size"] == at and taken["unmapped"]["environments"] == 1 and at > size
    assert len(taken["unmapped"]["sha256"]) == 64
    open_one = first.tunnel("a.test", origin.port)
    open_one.send(b"x").expect(data=b"x")
    wait_for(lambda: signed(folder) > at + 1, 10, "the snapshot's entry and an attempt are signed")
    first.kill()
    open_one.close()
    second = start(lab, folder, at, hosts=hosts)
    started = second.audit.event("log_started")["unmapped"]
    assert started["read_from"] == at and started["open_flows"] == 1
    second.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    second.audit.outcome(host="a.test")
    assert second.stop() == 0
    assert second.audit.verifies()
    # Both files spoiled: everything is read, which is said, and nothing else is different.
    for name in (folder / "audit/index").iterdir():
        name.write_bytes(name.read_bytes().replace(b"invoice-env", b"another-env"))
    third = start(lab, folder, at, hosts=hosts)
    started = third.audit.events("log_started")[-1]["unmapped"]
    assert (started["read_from"], started["open_flows"]) == (0, 0)
    assert "the whole audit log was read again" in third.report()
    assert third.stop() == 0
    assert third.audit.verifies()
