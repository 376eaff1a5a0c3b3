# SPDX-License-Identifier: Apache-2.0
"""Verbs that read a log or judge a policy, and have no memory for it at one place, or cannot read: they say so by their
status. An answer that is given is the right one."""
import errno as E
import os
import re
import shutil
import subprocess

import pytest

from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged
from test_memory import CRASHES, spread

# Each with the statuses that say what was found; every other one is a refusal.
VERBS = {
    "verify": (["audit", "verify", "DIR"], {0, 2}),
    "tail": (["audit", "tail", "DIR", "--json"], {0}),
    "query": (["audit", "query", "DIR", "--host", "*.k.test"], {0}),
    "export": (["audit", "export", "DIR"], {0}),
    "prove": (["audit", "prove", "DIR", "--index", "1"], {0}),
    "contacted": (["audit", "absence", "DIR", "--env", "env-a", "--host", "a.k.test"], {0, 5}),
    "never contacted": (["audit", "absence", "DIR", "--env", "env-a", "--host", "b.test"], {0, 5}),
    "checkpoint": (["audit", "checkpoint", "DIR"], {0}),
    "replay": (["audit", "replay", "DIR"], {0, 5}),
    "status": (["audit", "status", "DIR", "--json"], {0}),
    "check": (["check", "POLICY"], {0}),
    "explain": (["explain", "--policy", "POLICY", "a.k.test:443"], {0, 1}),
    "explain denied": (["explain", "--policy", "POLICY", "denied.test:443"], {0, 1}),
}
READS = {"openat": E.EMFILE, "open": E.EIO, "read": E.EIO, "pread": E.EIO, "fstat": E.EIO, "fstatat": E.EIO,
         "readdir": E.EIO, "fdopendir": E.ENOMEM, "mmap": E.ENOMEM, "pthread_create": E.EAGAIN}
DURATION = re.compile(rb"in [0-9.]+ m?s|[0-9.]+ m?s\b|[0-9]+(\.[0-9]+)? (MiB|entries)/s")


@pytest.fixture
def log(lab, fault):
    origin = lab.origin(after_hello(echo))
    lab.dns.set("*.k.test", origin.address)
    proxy = lab.proxy(hosts=[origin.at("*.k.test")])
    for name in "acd":
        proxy.tunnel(f"{name}.k.test", origin.port).send(b"x").expect(data=b"x").close()
    for i in range(10):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, what="all ends")
    assert proxy.stop() == 0
    return proxy


def run(proxy, fault, words, directory):
    words = [{"DIR": str(directory), "POLICY": str(proxy.policy_file)}.get(w, w) for w in words]
    return subprocess.run([*fault.wrapper, proxy.binary, *words], capture_output=True, timeout=60, cwd="/",
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, **unprivileged())


# These say as much as can be had, and leave out what cannot: their answer is held, its details are not.
LOOSE = {"status", "explain", "explain denied"}


def is_right(verb, done, good, found, where):
    assert done.returncode not in CRASHES, f"{where}: {done}"
    if done.returncode == good.returncode:
        if verb == "check" and re.search(rb"^[1-9]\d* more are not shown$", done.stdout, re.M):
            return
        if verb in LOOSE or verb == "replay" and re.search(rb" [1-9]\d* without their policy", done.stdout):
            return
        assert DURATION.sub(b"", done.stdout) == DURATION.sub(b"", good.stdout), where
        return
    assert done.returncode > 0 or b"assertion failed" in done.stderr, f"{where}: {done}"
    assert done.returncode not in found - {good.returncode}, f"{where}: another answer: {done}"


@pytest.mark.parametrize("verb", VERBS)
def test_no_memory_at_one_place(log, fault, verb):
    words, found = VERBS[verb]
    before = fault.calls("malloc")
    good = run(log, fault, words, log.audit_dir)
    total = fault.calls("malloc") - before
    assert good.returncode in found and total > 0, good
    for skip in spread(total, 24):
        fault.set("malloc", error=E.ENOMEM, skip=skip)
        done = run(log, fault, words, log.audit_dir)
        fault.clear()
        is_right(verb, done, good, found, f"allocation {skip} of {total}")


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_read(log, fault, verb):
    words, found = VERBS[verb]
    before = {call: fault.calls(call) for call in READS}
    good = run(log, fault, words, log.audit_dir)
    made = {call: fault.calls(call) - before[call] for call in READS}
    for call, count in made.items():
        for skip in spread(count, 12 if call == "read" else 4) if count else []:
            if skip >= count:
                continue
            fault.set(call, error=READS[call], skip=skip)
            done = run(log, fault, words, log.audit_dir)
            fault.clear()
            is_right(verb, done, good, found, f"{call} {skip} of {count}")


def test_a_changed_log_is_never_found_whole(log, lab, fault):
    """Not for want of memory either."""
    copy = lab.make_folder("copies") / "copy"
    shutil.copytree(log.audit_dir, copy)
    segment = sorted((copy / "segments").iterdir())[0]
    data = bytearray(segment.read_bytes())
    data[data.index(b"d7.test")] ^= 1
    segment.write_bytes(bytes(data))
    for path in [copy, *copy.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    before = fault.calls("malloc")
    assert run(log, fault, VERBS["verify"][0], copy).returncode == 2
    for skip in spread(fault.calls("malloc") - before, 40):
        fault.set("malloc", error=E.ENOMEM, skip=skip)
        done = run(log, fault, VERBS["verify"][0], copy)
        fault.clear()
        assert done.returncode not in CRASHES | {0}, f"allocation {skip}: {done}"
