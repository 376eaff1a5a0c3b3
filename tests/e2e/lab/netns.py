# SPDX-License-Identifier: Apache-2.0
"""A network namespace of its own for the whole test process, where every address is local.

With "local default" routes on lo a connection to any address ends in this namespace: a public address can be dialled
without a packet leaving, and one trap origin on the wildcard address sees every connection that should not have been
made. Needs root; without it the tests that dial public addresses are skipped."""
import ctypes
import os
import subprocess

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_entered = None


def enter():
    """Moves this process (its main thread, before others start) into fresh namespaces. True if that worked."""
    global _entered
    if _entered is not None:
        return _entered
    _entered = False
    if os.geteuid() != 0 or os.environ.get("SALLYPORT_NO_NETNS"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return False
    for line in ("link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"):
        subprocess.run(["ip", *line.split()], check=True)
    _entered = True
    return True


def entered():
    return bool(_entered)


def private_mounts():
    """A mount namespace of its own for what is mounted from now on. True if that worked."""
    if os.geteuid() != 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL).returncode == 0
