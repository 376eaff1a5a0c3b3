# SPDX-License-Identifier: Apache-2.0
"""What somebody meets who has just cloned the repository: the demonstration, as root and as an ordinary account, and what
the commands say where something is missing that they cannot get."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab.lab import base_folder
from lab.proxy import NOBODY, reachable

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ORDINARY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--bounding-set=-all"]

needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to give it up")


def run(*command, path=PATH):
    return subprocess.run([str(word) for word in command], cwd=ROOT, env={"PATH": path, "LC_ALL": "C"}, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def shows_all(done):
    assert done.returncode == 0, done.stdout
    assert '{"invoices": 3}' in done.stdout and "HTTP/1.1 403 policy: this host is not allowed" in done.stdout
    assert re.search(r"\nproven: (\d+) entries, \1 signed, 2 attempts, 1 outcomes, 0 open\n", done.stdout), done.stdout
    assert done.stdout.endswith("and both are proven.\n")


@needs_root
def test_demonstration(binary):
    """With Python alone: pytest and the rest of dist-packages (-S) come with the packages of the tests."""
    shows_all(run("tools/own-net", "/usr/bin/python3", "-B", "-S", "tools/demo.py", binary))


@needs_root
@pytest.mark.skipif(not reachable(ROOT / "tools" / "demo"), reason="another account cannot read this folder")
def test_demonstration_of_an_ordinary_account(binary):
    """It has no root, and sees the folders of root as nobody's."""
    if run(*ORDINARY, "unshare", "--user", "--net", "true").returncode != 0:
        pytest.skip("ordinary accounts may not make namespaces here")
    before = set(os.listdir("/tmp"))
    # The program is not below the folder that the new root shows: it is handed in from where the build left it.
    copy = ROOT / "build" / f"demonstrated-{os.getpid()}"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy2(binary, copy)
    try:
        shows_all(run(*ORDINARY, "tools/own-net", "/usr/bin/python3", "-B", "tools/demo.py", copy))
    finally:
        copy.unlink()
    assert not {name for name in set(os.listdir("/tmp")) - before if name.startswith("sallyport-demo")}


@pytest.fixture
def tools():
    """A PATH with what is given and nothing else."""
    folder = base_folder()
    for name in ("sh", "id", "grep", "cat", "true", "dirname", "env"):
        (folder / name).symlink_to(shutil.which(name))

    def add(name, text):
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
        return str(folder)
    yield add
    shutil.rmtree(folder)


@needs_root
@pytest.mark.skipif(not reachable(ROOT / "tools" / "demo"), reason="another account cannot read this folder")
@pytest.mark.parametrize("kind,names", [("build", ["cmake", "libyaml-dev"]), ("package", ["dpkg-dev"]),
                                        ("test", ["python3-pytest", "clang", "nodejs"])])
def test_missing_packages_are_named_where_there_is_no_sudo(tools, kind, names):
    path = tools("dpkg-query", "exit 1\n")
    done = run("/usr/bin/setpriv", *ORDINARY[1:], "tools/packages", kind, path=path)
    assert done.returncode == 1
    assert done.stdout.startswith("Packages are missing, and there is no sudo. As root: apt-get update && apt-get install")
    assert done.stdout.count("\n") == 1 and set(names) <= set(done.stdout.split())


@needs_root
@pytest.mark.skipif(not reachable(ROOT / "tools" / "demo"), reason="another account cannot read this folder")
def test_a_network_that_cannot_be_made_is_said(tools):
    path = tools("unshare", 'echo "unshare failed: Operation not permitted" >&2; exit 1\n')
    done = run("/usr/bin/setpriv", *ORDINARY[1:], "tools/own-net", "true", path=path)
    assert done.returncode == 1
    assert "(unshare failed: Operation not permitted): try it as root" in done.stdout
