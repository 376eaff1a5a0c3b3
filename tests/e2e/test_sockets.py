# SPDX-License-Identifier: Apache-2.0
"""Unix sockets to listen on: who may reach them, what in their place is refused, and what the records say of a peer.
The rows are what is tried; `at` makes the place, `said` is the error."""
import json
import os
import socket
import subprocess

import pytest

from lab.client import Client
from lab.origin import after_hello, echo
from lab.proxy import NOBODY, StartFailed, unprivileged

from test_sessions import Sessions
from test_unix import Manager, asks

STRANGER = 4242
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other accounts can only be used as root")


def directory(path, mode, uid=NOBODY):
    path.mkdir()
    os.chmod(path, mode)
    os.chown(path, uid, uid)
    return path


def plain(folder):
    return directory(folder / "d", 0o755) / "p.sock"


def with_a_file(folder):
    path = plain(folder)
    path.write_text("mine")
    os.chown(path, NOBODY, NOBODY)
    return path


def with_a_link(folder):
    path = plain(folder)
    os.symlink(folder / "elsewhere", path)
    return path


def with_a_link_to_a_dead_socket(folder):
    path = plain(folder)
    dead = folder / "d" / "dead.sock"
    socket.socket(socket.AF_UNIX).bind(str(dead))
    os.chown(dead, NOBODY, NOBODY)
    os.symlink(dead, path)
    return path


def with_a_directory(folder):
    path = plain(folder)
    path.mkdir()
    return path


def with_a_listener(folder):
    path = plain(folder)
    one = socket.socket(socket.AF_UNIX)
    one.bind(str(path))
    os.chmod(path, 0o666)
    one.listen(1)
    with_a_listener.kept = one
    return path


def below_a_world_writable(folder):
    open_one = directory(folder / "w", 0o777)
    return directory(open_one / "d", 0o755) / "p.sock"


def below_a_link_to_a_world_writable(folder):
    path = below_a_world_writable(folder)
    os.symlink(path.parent, folder / "link")
    return folder / "link" / "p.sock"


REFUSED = [
    ("O-07 a file in its place", with_a_file, "exists and is not a socket"),
    ("O-07 a link in its place", with_a_link, "exists and is not a socket"),
    ("O-07 a link to a dead socket", with_a_link_to_a_dead_socket, "exists and is not a socket"),
    ("O-07 a directory in its place", with_a_directory, "exists and is not a socket"),
    ("O-06 somebody listens", with_a_listener, "another process listens on it"),
    ("O-07 others may write beside it", lambda f: directory(f / "d", 0o777) / "p.sock", "others may write"),
    ("O-07 a group may write beside it", lambda f: directory(f / "d", 0o775) / "p.sock", "others may write"),
    ("O-07 sticky, but anybody may be first", lambda f: directory(f / "d", 0o1777) / "p.sock", "others may write"),
    ("O-07 others may move what is above it", below_a_world_writable, "others may write"),
    ("O-07 the same behind a link", below_a_link_to_a_world_writable, "others may write"),
    ("O-07 a stranger's directory", lambda f: directory(f / "d", 0o755, STRANGER) / "p.sock", "belongs to another user"),
    ("O-07 no directory", lambda f: f / "none" / "p.sock", "No such file"),
    ("O-07 108 bytes", lambda f: str(plain(f))[:-6] + "x" * (108 - len(str(plain_path(f))) + 6), "at most 107 bytes"),
    ("O-07 an abstract name", lambda f: "@sallyport", None),
]


def plain_path(folder):
    return folder / "d" / "p.sock"


@needs_root
@pytest.mark.parametrize("at,said", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_place_that_is_not_trusted_is_refused(lab, at, said):
    proxy = lab.proxy(start=False, allowed_hosts=["a.test"])
    folder = lab.make_folder("place")
    path = str(at(folder))
    before = sorted(p.name for p in folder.rglob("*"))
    proxy.listen = [f"unix:{path}"]
    if said is None:
        # Not a name of the abstract space, where there are no permissions: a file of that name in the directory.
        os.chown(proxy.folder, NOBODY, NOBODY)
        proxy.start()
        assert (proxy.folder / path).is_socket()
        with socket.socket(socket.AF_UNIX) as one, pytest.raises(ConnectionRefusedError):
            one.connect("\0" + path[1:])
        return
    with pytest.raises(StartFailed) as failed:
        proxy.start()
    assert failed.value.code == 78 and said in failed.value.text
    assert sorted(p.name for p in folder.rglob("*")) == before, "what was there stays there"
    if at is with_a_listener:
        with_a_listener.kept.close()


@needs_root
def test_a_dead_socket_is_replaced(lab):
    """O-06: a crash leaves the file; the next start takes its place, with nothing listening in between."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], unix=True)
    proxy.kill()
    with pytest.raises(OSError):
        Client(proxy.socket_path)
    assert os.path.exists(proxy.socket_path)
    proxy.start()
    assert asks(proxy.socket_path, "a.test", origin.port) == 200
    assert proxy.stop() == 0 and not os.path.exists(proxy.socket_path)


@needs_root
def test_mode_owner_and_group_on_the_command_line(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(start=False, hosts=[origin.at("a.test")])
    folder = directory(proxy.folder / "s", 0o755)
    for words, mode in (("", 0o660), (",mode=0600", 0o600), (",mode=666", 0o666),
                        (f",mode=0640,owner={NOBODY},group={NOBODY}", 0o640), (",group=nogroup", 0o660)):
        path = folder / "p,q.sock"
        proxy.listen = [f"unix:{path}{words}"]
        proxy.start()
        st = os.stat(path)
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (mode, NOBODY, NOBODY)
        assert proxy.ready["listeners"] == [f"unix:{path}"]
        assert proxy.stop() == 0
    for words, said in ((",owner=nobody_at_all", "no account nobody_at_all"), (",group=1", "cannot be given to 1")):
        proxy.listen = [f"unix:{folder}/r.sock{words}"]
        with pytest.raises(StartFailed) as failed:
            proxy.start()
        assert failed.value.code == 78 and said in failed.value.text
    for words in (",mode=0670,mode=999", ",mode=", ",mode=0060", ",mode=0777", ",mode=17777", ",mode=0x1"):
        done = subprocess.run([proxy.binary, "run", "--policy", str(proxy.policy_file), "--listen",
                               f"unix:{folder}/r.sock{words}"], capture_output=True, timeout=10)
        assert done.returncode == 64 and b"no mode of a socket" in done.stderr, words


@needs_root
def test_the_kernel_says_who_is_there(lab):
    """uid and pid of the peer stand in its records, whatever it says of itself."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], unix=True)
    os.chmod(proxy.socket_path, 0o666)
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
              "s.sendall(b'CONNECT denied.test:443 HTTP/1.1\\r\\nHost: denied.test:443\\r\\nX-Uid: 0\\r\\n\\r\\n'); "
              "sys.stdout.buffer.write(s.recv(12)); s.recv(65536)")
    child = subprocess.Popen(["/usr/bin/python3", "-c", script, proxy.socket_path], stdout=subprocess.PIPE, cwd="/",
                             user=STRANGER, group=STRANGER, extra_groups=[])
    assert child.communicate(timeout=20)[0] == b"HTTP/1.1 403"
    record = proxy.audit.attempt(host="denied.test")
    assert record["unmapped"]["peer_uid"] == STRANGER and record["unmapped"]["peer_pid"] == child.pid
    assert record["unmapped"]["listener"] == f"unix:{proxy.socket_path}"


@needs_root
def test_the_admin_socket_asks_for_the_peers_uid(lab):
    """O-07: the directory keeps others out; if it does not, the uid does."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    path = f"{proxy.folder}/admin/a.sock"
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
              "s.sendall(b'GET /status HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n'); "
              "print(s.makefile('rb').read().decode())")

    def ask(uid):
        return subprocess.run(["/usr/bin/python3", "-c", script, path], capture_output=True, text=True, timeout=20,
                              cwd="/", user=uid, group=uid, extra_groups=[])
    assert "PermissionError" in ask(STRANGER).stderr
    os.chmod(path, 0o666)
    os.chmod(os.path.dirname(path), 0o755)
    refused = ask(STRANGER).stdout
    assert refused.startswith("HTTP/1.1 403") and "counters" not in refused
    assert ask(NOBODY).stdout.startswith("HTTP/1.1 200") and ask(0).stdout.startswith("HTTP/1.1 200")


def test_an_admin_socket_of_the_service_manager(lab):
    """It is taken by its address like any other, and its file stays when the program ends."""
    manager = lab.add(Manager(lab, lab.policy(allowed_hosts=["a.test"]), name="admin.sock"))
    manager.proxy.listen = ["127.0.0.1:0"]
    command = manager.proxy.command

    def with_admin(fd):
        words = command(fd)
        words[words.index("--admin") + 1] = f"unix:{manager.path}"
        return words
    manager.proxy.command = with_admin
    for _ in range(2):
        assert b'"admin"' in manager.start("127.0.0.1:0")
        done = subprocess.run([manager.proxy.binary, "health", "--admin", f"unix:{manager.path}"], capture_output=True,
                              timeout=20, cwd="/", **unprivileged())
        assert done.returncode == 0 and done.stdout == b"ready\n", done
        assert manager.stop() == 0
        assert os.path.exists(manager.path)


def test_sessions_go_to_the_worker_with_the_fewest(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], args=["--workers", "3"])
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    sessions = Sessions(proxy)
    workers = lambda: [s["worker"] for s in sorted(sessions.good("list")["sessions"], key=lambda s: s["session"])]
    for i in range(6):
        sessions.open(f"s-{i}")
    assert sorted(workers()) == [0, 0, 1, 1, 2, 2]
    gone = [s["session"] for s in sessions.good("list")["sessions"] if s["worker"] == 1]
    for name in gone:
        sessions.good("close", "--session", name)
    for name in ("t-0", "t-1"):
        sessions.open(name)
    assert [json.loads(sessions.run("show", "--session", n).stdout)["worker"] for n in ("t-0", "t-1")] == [1, 1]
