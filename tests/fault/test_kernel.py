# SPDX-License-Identifier: Apache-2.0
"""A kernel that does not know a part of the cage: one line says what is missing, status says it too, the program serves."""
import errno
import os

import pytest

from fault import FOREVER
from lab.origin import after_hello, echo

PARTS = {"landlock": ("directories", errno.ENOSYS), "seccomp": ("system_calls", errno.EINVAL)}


def missing(proxy):
    return [line for line in proxy.text().splitlines() if "part of the cage is missing" in line]


def filtered(proxy):
    """How many system call filters each thread has."""
    found = []
    for thread in os.listdir(f"/proc/{proxy.pid}/task"):
        with open(f"/proc/{proxy.pid}/task/{thread}/status") as lines:
            found.append(next(int(line.split()[1]) for line in lines if line.startswith("Seccomp_filters:")))
    return found


@pytest.mark.parametrize("lacking", [("landlock",), ("seccomp",), ("landlock", "seccomp"), ()], ids="-".join)
def test_what_is_missing_is_one_line(lab, fault, lacking):
    origin = lab.origin(after_hello(echo))
    for part in lacking:
        fault.set(part, PARTS[part][1], times=FOREVER)
    proxy = lab.proxy(hosts=[origin.at("a.test")], wrapper=fault.wrapper)
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    proxy.connect("denied.test", 443).expect(status=403)
    cage, lines = proxy.status()["cage"], missing(proxy)
    for part, (key, _) in PARTS.items():
        assert cage[key] == ("not supported by the kernel" if part in lacking else "in force"), (part, cage)
        assert fault.failed(part) >= (part in lacking)
    for key in ("unprivileged", "no_new_privs", "no_capabilities", "not_dumpable", "no_core_files"):
        assert cage[key] is True, key
    assert len(lines) == (len(lacking) > 0), lines
    for part in PARTS:
        assert all((part in line.partition("missing=")[2].split()) == (part in lacking) for line in lines), lines
    assert set(filtered(proxy)) == {0 if "seccomp" in lacking else 1}
    assert proxy.stop() == 0 and proxy.audit.verifies()
