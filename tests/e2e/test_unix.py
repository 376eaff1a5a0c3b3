# SPDX-License-Identifier: Apache-2.0
"""A sandbox without a network and one mounted socket, across a restart of the proxy; and what a service manager gives."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from lab import wait_for
from lab.client import Client
from lab.origin import after_hello, echo
from lab.proxy import Proxy, unprivileged

from test_sessions import CLOSED_BY_SESSION, OPEN, Sessions

INSIDE = r"""
import json, os, socket, sys
def say(**what):
    print(json.dumps(what), flush=True)
def proxied(host, port):
    with socket.create_connection(("127.0.0.1", 3128), 5) as s:
        s.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        line = s.makefile("rb").readline()
        return int(line.split()[1]) if line else 0
def direct(host, port, kind=socket.SOCK_STREAM):
    try:
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(2)
            s.connect((host, port))
            s.send(b"x")
        return "reached"
    except OSError as e:
        return "failed"
def unix(path):
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
        return "reached"
    except OSError as e:
        return "failed"
say(ready=True)
for line in sys.stdin:
    verb, *rest = line.split()
    if verb == "proxied":
        say(answer=proxied(rest[0], int(rest[1])))
    elif verb == "direct":
        say(answer=direct(rest[0], int(rest[1])))
    elif verb == "udp":
        say(answer=direct(rest[0], int(rest[1]), socket.SOCK_DGRAM))
    elif verb == "unix":
        say(answer=unix(rest[0]))
    elif verb == "list":
        say(answer=sorted(os.listdir(rest[0])))
"""


def relay():
    path = pathlib.Path(os.environ.get("SALLYPORT_RELAY") or
                        pathlib.Path(os.environ.get("SALLYPORT", "/")).parent / "sallyport-relay")
    return path if path.is_file() else None


def sandboxes_work():
    if not shutil.which("bwrap") or relay() is None:
        return False
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink",
             "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "/bin/true"]
    return subprocess.run(probe, capture_output=True, cwd="/", **unprivileged()).returncode == 0


needs_sandbox = pytest.mark.skipif(not sandboxes_work(), reason="bubblewrap or the relay does not work here")


class Sandbox:
    """No network, no files but the system's and one mount; speaks through pipes."""

    def __init__(self, folder, source, target):
        program = shutil.copy2(relay(), folder / "sallyport-relay")
        os.chmod(program, 0o755)
        command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr",
                   "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                   "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--ro-bind", str(source), target,
                   "--ro-bind", str(program), "/relay", "/relay", "--listen", "127.0.0.1:3128", "--to",
                   "unix:/run/s/proxy.sock", "--", "/usr/bin/python3", "-c", INSIDE]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
                                        env={"PATH": "/usr/bin:/bin"}, **unprivileged())
        assert json.loads(self.process.stdout.readline()) == {"ready": True}

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["answer"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def world(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")])
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return lab, origin, proxy, Sessions(proxy)


@needs_sandbox
def test_a_sandbox_reaches_what_its_session_allows_and_nothing_else(world):
    lab, origin, proxy, sessions = world
    path = sessions.open("s-1", "--allow-hosts", "a.test")
    other = sessions.open("s-2")
    inside = lab.add(Sandbox(lab.make_folder("box"), os.path.dirname(path), "/run/s"))
    assert inside("proxied", "a.test", origin.port) == 200
    assert inside("proxied", "b.test", origin.port) == 403
    assert inside("proxied", "169.254.169.254", 443) == 403
    assert inside("direct", origin.address, origin.port) == "failed"
    assert inside("direct", "169.254.169.254", 80) == "failed"
    assert inside("direct", *proxy.endpoint) == "failed"
    assert inside("udp", "192.0.2.1", 53) == "failed"
    assert inside("unix", other) == "failed" and inside("unix", f"{proxy.folder}/admin/a.sock") == "failed"
    assert inside("list", "/run") == ["s"] and inside("list", "/run/s") == ["proxy.sock"]
    # The admin socket has no way in through the proxy either.
    assert inside("proxied", *proxy.endpoint) == 403
    for end in (proxy.stop, proxy.kill):
        end()
        assert inside("proxied", "a.test", origin.port) in (0, 502, 503)
        assert inside("direct", origin.address, origin.port) == "failed"
        proxy.start()
        assert inside("proxied", "a.test", origin.port) == 200
        assert inside("proxied", "b.test", origin.port) == 403
    assert '"s-1"' in json.dumps(proxy.audit.attempts(host="b.test")[-1])


class Manager:
    """Stands where systemd stands: opens a socket, starts the program with it, and hears what it says."""

    def __init__(self, lab, policy, name="proxy.sock"):
        self.proxy = lab.proxy(policy, start=False)
        folder = self.proxy.folder / "units"
        self.proxy._own(folder, 0o755)
        self.path = str(folder / name)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.listen(64)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        os.chmod(folder / "notify", 0o666)
        self.notify.settimeout(10)
        self.process = None
        self.folder = folder

    def start(self, *listen):
        source, note = self.socket, str(self.folder / "notify")
        words = self.proxy.command(4)
        at = words.index("--listen")
        words[at:at + 2] = [w for where in listen for w in ("--listen", where)]

        ready, theirs = os.pipe()
        held = os.dup(source.fileno())

        def place():
            spare = [os.dup2(held, 100), os.dup2(theirs, 101)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)

        env = {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": note, "WATCHDOG_USEC": "400000", "LISTEN_FDS": "1",
               "LISTEN_FDNAMES": "proxy"}
        self.process = subprocess.Popen(["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *words], env=env,
                                        preexec_fn=place, close_fds=False, cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **unprivileged())
        os.close(theirs)
        os.close(held)
        line = b""
        while not line.endswith(b"\n"):
            data = os.read(ready, 65536)
            if not data:
                break
            line += data
        os.close(ready)
        return line

    def hears(self, word):
        for _ in range(100):
            text = self.notify.recv(4096).decode()
            if word in text:
                return text
        raise AssertionError(f"{word} was not said")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        self.process.stderr.close()
        return code

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.socket.close()
        self.notify.close()


def asks(path, host, port):
    with Client(path) as one:
        return one.connect(host, port).read_reply().status


def test_a_socket_of_the_service_manager_outlives_the_program(lab):
    origin = lab.origin(after_hello(echo))
    manager = lab.add(Manager(lab, lab.policy(hosts=[origin.at("a.test")])))
    assert b"proxy.sock" in manager.start(f"unix:{manager.path}")
    assert manager.hears("READY=1")
    assert manager.hears("WATCHDOG=1")
    assert asks(manager.path, "a.test", origin.port) == 200
    manager.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in manager.hears("RELOADING=1")
    assert manager.hears("READY=1")
    inode = os.stat(manager.path).st_ino
    assert manager.stop() == 0
    assert manager.hears("STOPPING=1")
    assert os.stat(manager.path).st_ino == inode
    # Who comes in between waits and is served by the next one.
    waiting = Client(manager.path)
    waiting.connect("a.test", origin.port)
    assert manager.start(f"unix:{manager.path}")
    assert waiting.read_reply().status == 200
    waiting.close()
    assert manager.stop() == 0


@needs_sandbox
def test_a_sandbox_that_mounted_the_socket_file_goes_on(lab):
    origin = lab.origin(after_hello(echo))
    manager = lab.add(Manager(lab, lab.policy(hosts=[origin.at("a.test")])))
    assert manager.start(f"unix:{manager.path}")
    inside = lab.add(Sandbox(lab.make_folder("box"), manager.path, "/run/s/proxy.sock"))
    assert inside("proxied", "a.test", origin.port) == 200
    assert manager.stop() == 0
    assert manager.start(f"unix:{manager.path}")
    assert inside("proxied", "a.test", origin.port) == 200
    assert inside("proxied", "denied.test", 443) == 403
    assert inside("direct", origin.address, origin.port) == "failed"
    assert manager.stop() == 0


def test_a_socket_that_no_listener_names_is_an_error(lab):
    manager = lab.add(Manager(lab, lab.policy(allowed_hosts=["a.test"])))
    assert manager.start(f"unix:{manager.folder}/other.sock") == b""
    assert manager.process.wait(10) == 78
    assert b"no listener names" in manager.process.stderr.read()
    manager.process.stderr.close()
