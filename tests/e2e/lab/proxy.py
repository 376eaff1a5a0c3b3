# SPDX-License-Identifier: Apache-2.0
"""Proxy: the program under test, run under an unprivileged uid in a directory of its own."""
import ipaddress
import itertools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

from .audit import Audit
from .client import Client
from .wait import wait_for

NOBODY = 65534
START_SECONDS = 20.0
SOURCES = itertools.count()
# Of a sanitizer or for coverage: slower, larger, and not confined.
INSTRUMENTED = any(word in os.environ.get("SALLYPORT", "") for word in ("san", "coverage"))
# The program must not outlive a test run that was itself killed.
LEASH = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class StartFailed(Exception):
    def __init__(self, code, text):
        super().__init__(f"the program ended with {code} before it was ready:\n{text}")
        self.code = code
        self.text = text


def reachable(path):
    """True if anybody may read and enter every directory on the way to `path` and execute it."""
    path = pathlib.Path(path).resolve()
    return all(os.stat(p).st_mode & stat.S_IXOTH for p in [path, *path.parents])


def unprivileged():
    """subprocess keywords that give up root, or none where there is no root to give up."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def usable_binary(folder):
    """A copy of the program that SALLYPORT names: an unprivileged user reaches it wherever the build tree is, and a
    build that goes on meanwhile does not change it under the tests."""
    path = os.environ.get("SALLYPORT", "")
    if not path or not os.access(path, os.X_OK):
        return None
    copy = os.path.join(folder, "sallyport")
    if not os.path.exists(copy):
        shutil.copy2(path, copy)
        os.chmod(copy, 0o755)
    return copy


class Proxy:
    def __init__(self, binary, folder, policy, dns=None, listen=("127.0.0.1:0",), unix=False, args=(), env=None,
                 checker=None, audit_dir=None, signer_dir=None, wrapper=(), start=True):
        self.binary = binary
        self.folder = pathlib.Path(folder)
        self.policy_file = self.folder / "policy.yaml"
        self.audit_dir = pathlib.Path(audit_dir or self.folder / "audit")
        self.signer_dir = pathlib.Path(signer_dir or self.folder / "signer")
        self.socket_path = str(self.folder / "s" / "p.sock") if unix else None
        self._own(self.audit_dir, 0o700)
        self.privacy_dir = self.audit_dir.with_name(self.audit_dir.name + ".privacy")
        self._own(self.signer_dir, 0o700)
        self._own(self.privacy_dir, 0o700)
        self._own(self.folder / "admin", 0o700)
        self._own(pathlib.Path(f"{self.audit_dir}.sessions"), 0o700)
        if unix:
            self._own(self.folder / "s", 0o755)
        self.write_policy(policy)
        self.listen = list(listen) + ([f"unix:{self.socket_path}"] if unix else [])
        self.dns = dns
        self.args = list(args)
        self.env = dict(env or {})
        self.wrapper = list(wrapper)
        self.checker = checker
        self.clients = []
        self.process = None
        self.log = bytearray()
        self.audit = Audit(binary, str(self.audit_dir), checker)
        if start:
            self.start()

    @staticmethod
    def _own(path, mode):
        path.mkdir(exist_ok=True)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)

    def write_policy(self, policy):
        """In one step, as an editor or a ConfigMap does it."""
        text = policy if isinstance(policy, str) else policy.text()
        fresh = self.policy_file.with_suffix(".new")
        fresh.write_text(text)
        os.chmod(fresh, 0o644)
        os.rename(fresh, self.policy_file)

    # ---- life ----

    def command(self, ready_fd):
        out = [*LEASH, *self.wrapper, self.binary, "run", "--policy", str(self.policy_file), "--audit-dir",
               str(self.audit_dir), "--signer-dir", str(self.signer_dir), "--admin", f"unix:{self.folder}/admin/a.sock",
               "--ready-fd", str(ready_fd)]
        for address in self.listen:
            out += ["--listen", address]
        if self.dns:
            out += ["--dns", self.dns.endpoint]
        return out + self.args

    def start(self):
        ready, theirs = os.pipe()
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **self.env}
        for key in os.environ:
            if key.endswith("SAN_OPTIONS"):
                env[key] = os.environ[key]
        try:
            self.process = subprocess.Popen(self.command(theirs), pass_fds=[theirs], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                                            cwd=self.folder, start_new_session=True, **unprivileged())
        finally:
            os.close(theirs)
        self._pump = threading.Thread(target=self._read_log, args=(self.process,), daemon=True, name="proxy-log")
        self._pump.start()
        try:
            self.ready = self._read_ready(ready)
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(ready)
        self.pid = self.process.pid
        self.endpoint = self.socket = None
        self.endpoints = []
        for text in self.ready["listeners"]:
            if text.startswith("unix:"):
                self.socket = text[5:]
            else:
                host, _, port = text.rpartition(":")
                self.endpoints.append((host.strip("[]"), int(port)))
        self.endpoint = self.endpoints[0] if self.endpoints else self.socket
        return self

    def _read_log(self, process):
        for chunk in iter(lambda: process.stdout.read1(65536), b""):
            self.log += chunk

    def _read_ready(self, fd):
        line, end = b"", time.monotonic() + START_SECONDS
        while not line.endswith(b"\n"):
            poll = select.poll()  # select() knows no descriptor above 1,023
            poll.register(fd, select.POLLIN)
            readable = poll.poll(max(0, end - time.monotonic()) * 1000)
            data = os.read(fd, 65536) if readable else b""
            if not data:
                if readable:
                    code = self.wait(10)
                    self._pump.join(2)
                    raise StartFailed(code, self.log.decode("utf-8", "replace"))
                raise AssertionError("the program was not ready in time:\n" + self.log.decode("utf-8", "replace"))
            line += data
        return json.loads(line)

    def alive(self):
        return self.process.poll() is None

    def wait(self, seconds=10.0):
        """The exit status; fails when the process does not end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process did not end within {seconds} s") from None

    def signal(self, number):
        self.process.send_signal(number)

    def hup(self):
        self.signal(signal.SIGHUP)

    def term(self):
        self.signal(signal.SIGTERM)

    def kill(self, helpers=True):
        """SIGKILL to the program, and to the processes that it has started unless `helpers` is false."""
        if self.process and self.process.poll() is None:
            if not helpers:
                self.process.kill()
                self.process.wait(10)
                return
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(10)

    def stop(self, seconds=15.0):
        """Ends it as an operator does; gives the exit status."""
        for client in self.clients:
            client.close()
        self.term()
        return self.wait(seconds)

    # ---- looking ----

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except PermissionError:
            import pytest  # not above: the demonstration uses these actors without it
            pytest.skip("needs root: the program lets no other process of its account look into it")

    def own_threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def text(self):
        return self.log.decode("utf-8", "replace")

    def status(self):
        """What `sallyport status` prints, without a process each time."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(f"{self.folder}/admin/a.sock")
            s.sendall(b"GET /status HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
            head, _, body = b"".join(iter(lambda: s.recv(65536), b"")).partition(b"\r\n\r\n")
        assert head.split()[1] == b"200", head
        return json.loads(body)

    # ---- talking ----

    def client(self, unix=False, **options):
        """Each client has a source address of its own: ports are used again too soon to tell clients apart."""
        endpoint = self.socket if unix else self.endpoint
        if not unix and endpoint[0].startswith("127."):
            options.setdefault("source", str(ipaddress.IPv4Address("127.64.0.1") + next(SOURCES)))
        client = Client(endpoint, **options)
        self.clients.append(client)
        return client

    def connect(self, host, port, unix=False, **options):
        """A client that has sent its CONNECT."""
        return self.client(unix=unix).connect(host, port, **options)

    def tunnel(self, host, port, sni=None, unix=False):
        """A client whose tunnel is open: 200 seen and an honest hello sent."""
        client = self.connect(host, port, unix=unix)
        client.expect(status=200)
        return client.hello(sni=host if sni is None else sni)

    def refuses_connections(self):
        try:
            socket.create_connection(self.endpoint, 1).close()
            return False
        except OSError:
            return True

    def close(self):
        for client in self.clients:
            client.close()
        if self.alive():
            self.term()
            try:
                self.wait(3)
            except AssertionError:
                self.kill()

    def report(self):
        talk = "\n".join(c.report() for c in self.clients[-6:])
        return f"-- log\n{self.text()[-6000:]}\n-- records\n{self.audit.report()}\n-- clients\n{talk}"


# Words that must never appear in an answer to a client (U7).
INNER = re.compile(rb"errno|Connection refused|Network is unreachable|No route to host|Permission denied|/tmp/|/var/|"
                   rb"/etc/|policy\.yaml|\.yaml|127\.0\.0\.|10\.\d+\.\d+\.\d+|169\.254\.|192\.168\.")


def tells_nothing_inner(reply, asked=b""):
    """U7: asserts that head and body name no internal address, path, errno or policy file."""
    text = reply.head + b"\n" + reply.body
    for word in INNER.findall(text):
        assert word in asked, f"the answer names {word!r}: {text!r}"


def wait_descriptors(proxy, at_most, seconds=8.0):
    return wait_for(lambda: proxy.descriptors() <= at_most, seconds,
                    lambda: f"at most {at_most} descriptors, have {proxy.descriptors()}: "
                            + str(sorted(read_links(proxy.pid))))


def read_links(pid):
    out = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            out.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return out
