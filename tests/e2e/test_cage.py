# SPDX-License-Identifier: Apache-2.0
"""What the program has taken from itself, as the kernel tells it."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from lab import Client, wait_for
from lab.origin import after_hello, echo
from lab.proxy import INSTRUMENTED, unprivileged

confined = pytest.mark.skipif(INSTRUMENTED, reason="an instrumented build does not confine its calls and directories")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look into a process that cannot be dumped")


def status(pid, thread=None):
    path = pathlib.Path(f"/proc/{pid}" + (f"/task/{thread}" if thread else "")) / "status"
    return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)


def threads(proxy):
    """{name: [status of each thread]}"""
    found = {}
    for thread in os.listdir(f"/proc/{proxy.pid}/task"):
        one = status(proxy.pid, thread)
        found.setdefault(one["Name"], []).append(one)
    return found


def asked(proxy):
    done = subprocess.run([proxy.binary, "status", "--admin", f"unix:{proxy.folder}/admin/a.sock"],
                          capture_output=True, timeout=20, check=True, **unprivileged())
    return json.loads(done.stdout)


def test_each_thread_is_confined(lab):
    """No new rights and no capabilities for all; a filter of its own for each kind."""
    proxy = lab.proxy(allowed_hosts=["a.test"], args=["--workers", "2"])
    proxy.connect("denied.test", 443).expect(status=403)
    found = threads(proxy)
    assert len(found["sallyport"]) >= 1 and len(found["sallyport-work"]) == 2 and len(found["sallyport-log"]) == 1
    for one in (s for group in found.values() for s in group):
        assert one["NoNewPrivs"].strip() == "1", one["Name"]
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(one[kind], 16) == 0, (one["Name"], kind)
        assert one["Uid"].split()[0] != "0"
        if not INSTRUMENTED:
            assert one["Seccomp"].strip() == "2" and one["Seccomp_filters"].strip() == "1", one["Name"]
    assert proxy.stop() == 0


def test_the_table_of_descriptors_has_its_size_from_the_start(lab):
    """Where there are threads the kernel lets whoever needs a larger one wait, and all that worker's connections with it."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    limit = next(int(line.split()[3]) for line in open(f"/proc/{proxy.pid}/limits") if line.startswith("Max open files"))
    assert int(status(proxy.pid)["FDSize"]) >= min(limit, 65536)
    assert proxy.stop() == 0


@needs_root
def test_nobody_of_the_same_account_can_look_inside(lab):
    """Not dumpable: its files in /proc are root's, and its memory cannot be read."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    assert os.stat(f"/proc/{proxy.pid}/mem").st_uid == 0
    done = subprocess.run(["head", "-c1", f"/proc/{proxy.pid}/environ"], capture_output=True, **unprivileged())
    assert done.returncode != 0 and b"Permission denied" in done.stderr
    for line in open(f"/proc/{proxy.pid}/limits"):
        if line.startswith("Max core file size"):
            assert line.split()[4:6] == ["0", "0"]
            break
    else:
        pytest.fail("no core limit")


def test_status_says_what_is_in_force(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"])
    cage = asked(proxy)["cage"]
    for key in ("unprivileged", "no_new_privs", "no_capabilities", "not_dumpable", "no_core_files"):
        assert cage[key] is True, key
    words = ("in force", "not supported by the kernel") if not INSTRUMENTED else ("off: instrumented build",)
    assert cage["system_calls"] in words and cage["directories"] in words
    # What is missing is one line, and nothing is said when nothing is.
    lines = [line for line in proxy.text().splitlines() if "part of the cage is missing" in line]
    assert len(lines) == (not INSTRUMENTED and "not supported by the kernel" in cage.values())


@confined
def test_a_file_from_elsewhere_is_refused_and_said(lab):
    """A policy that is linked into another directory is not read, and the program says why; the old one stays."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    if asked(proxy)["cage"]["directories"] != "in force":
        pytest.skip("this kernel has no Landlock")
    elsewhere = lab.make_folder("elsewhere") / "policy.yaml"
    elsewhere.write_text(lab.policy(allowed_hosts=["other.test"]).text())
    os.chmod(elsewhere, 0o644)
    os.symlink(elsewhere, proxy.folder / "link")
    os.rename(proxy.folder / "link", proxy.policy_file)
    proxy.hup()
    proxy.audit.event("policy_refused", seconds=10)
    wait_for(lambda: "no file was read from at the start" in proxy.text(), 5, "the reason")
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    # The same file, moved to where it may be read, is taken.
    os.rename(elsewhere, proxy.policy_file)
    proxy.hup()
    wait_for(lambda: len(proxy.audit.events("policy_loaded")) == 2, 10, "the new policy")
    proxy.connect("a.test", origin.port).expect(status=403)
    assert proxy.stop() == 0


@confined
def test_a_volume_whose_link_is_swapped(lab):
    """As a ConfigMap is mounted: the file is a link through a link that is swapped, all below one directory."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], start=False)
    first = proxy.folder / "..1"
    second = proxy.folder / "..2"
    for folder, policy in ((first, proxy.policy_file.read_text()), (second, lab.policy(allowed_hosts=["b.test"]).text())):
        folder.mkdir()
        os.chmod(folder, 0o755)
        (folder / "policy.yaml").write_text(policy)
        os.chmod(folder / "policy.yaml", 0o644)
        if folder is first:
            os.symlink("..1", proxy.folder / "..data")
            proxy.policy_file.unlink()
            os.symlink("..data/policy.yaml", proxy.policy_file)
            proxy.start()
            proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    os.symlink("..2", proxy.folder / "..data_tmp")
    os.rename(proxy.folder / "..data_tmp", proxy.folder / "..data")
    wait_for(lambda: len(proxy.audit.events("policy_loaded")) == 2, 10, "the swapped volume")
    proxy.connect("a.test", origin.port).expect(status=403)
    assert proxy.stop() == 0


@needs_root
def test_started_as_root_it_becomes_somebody_else_or_refuses(lab):
    """The account that is named, or an end with the status of a wrong configuration."""
    proxy = lab.proxy(allowed_hosts=["a.test"], start=False)
    words = [w for w in proxy.command(1) if w not in ("setpriv", "--pdeathsig", "KILL")]
    base = words[words.index(proxy.binary):]
    done = subprocess.run([*base, "--user", "nosuchaccount"], capture_output=True, timeout=20, cwd="/")
    assert done.returncode == 78 and b"unprivileged account" in done.stderr
    done = subprocess.run([*base, "--user", "root"], capture_output=True, timeout=20, cwd="/")
    assert done.returncode == 78
    process = subprocess.Popen([*base, "--user", "nobody"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
    try:
        assert b"listeners" in process.stdout.readline()
        assert set(status(process.pid)["Uid"].split()) == {"65534"}
        assert status(process.pid)["Groups"].split() in ([], ["65534"])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        process.stdout.close()


@confined
def test_a_confined_program_does_all_its_work(lab):
    """A program that is confined still serves sessions, reloads, drains: everything that main does afterwards."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    done = subprocess.run([proxy.binary, "session", "open", "--environment", "env-a", "--session", "one", "--admin",
                           f"unix:{proxy.folder}/admin/a.sock"], capture_output=True, timeout=20, cwd="/",
                          **unprivileged())
    assert done.returncode == 0, done.stderr
    with Client(json.loads(done.stdout)["socket"]) as client:
        assert client.connect("a.test", origin.port).read_reply().status == 200
    proxy.hup()
    proxy.hup()
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    assert proxy.stop() == 0 and "the cage:" not in proxy.text()
    assert proxy.audit.verifies()
