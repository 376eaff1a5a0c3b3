# SPDX-License-Identifier: Apache-2.0
"""sallyport-relay: the port inside the sandbox, tried between plain sockets. The program is the one that stands beside
SALLYPORT, or SALLYPORT_RELAY."""
import errno
import hashlib
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from lab import wait_for
from lab.lab import base_folder
from lab.proxy import NOBODY, reachable

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MIB = 1 << 20


def program():
    path = os.environ.get("SALLYPORT_RELAY") or str(pathlib.Path(os.environ.get("SALLYPORT", "/")).parent /
                                                    "sallyport-relay")
    return path if os.access(path, os.X_OK) and os.path.isfile(path) else None


@pytest.fixture(scope="module")
def relay_binary():
    path = program()
    if path is None:
        pytest.skip("neither SALLYPORT_RELAY nor SALLYPORT leads to sallyport-relay")
    if reachable(path):
        yield path
        return
    folder = base_folder()
    yield shutil.copy2(path, folder / "sallyport-relay")
    shutil.rmtree(folder)


def is_static(path):
    return "statically linked" in subprocess.run(["ldd", path], capture_output=True, text=True).stdout


class Upstream:
    """What stands in the proxy's place: a listener on a Unix path or on loopback, one thread a connection."""

    def __init__(self, behaviour, path=None, backlog=1024, accept=True):
        self.behaviour, self.path, self.conns = behaviour, path, []
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            os.chmod(path, 0o666)
            self.to = f"unix:{path}"
        else:
            self.listener = socket.socket()
            self.listener.bind(("127.0.0.1", 0))
            self.to = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.listener.listen(backlog)
        if accept:
            self.start()

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.conns.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self.behaviour(conn)
        except OSError:
            pass

    def close(self, unlink=False):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conn in self.conns:
            conn.close()
        if unlink and self.path:
            os.unlink(self.path)


def echo(conn):
    buffer = bytearray(1 << 18)
    while count := conn.recv_into(buffer):
        conn.sendall(memoryview(buffer)[:count])
    conn.shutdown(socket.SHUT_WR)


def hold(conn):
    while conn.recv(65536):
        pass


class Relay:
    def __init__(self, binary, to, command=(), args=(), wrapper=(), listen="127.0.0.1:0", **popen):
        ready, theirs = os.pipe()
        line = [*wrapper, str(binary), "--listen", listen, "--to", to, "--ready-fd", str(theirs), *args]
        self.log = bytearray()
        try:
            self.process = subprocess.Popen(line + (["--", *command] if command else []), pass_fds=[theirs],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            cwd="/", process_group=0, **popen)
        finally:
            os.close(theirs)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        with open(ready, "rb") as file:
            assert select.select([file], [], [], 10)[0], "neither ready nor ended"
            self.ready = file.readline()
        self.port = int(json.loads(self.ready)["listen"].rsplit(":", 1)[1]) if self.ready else None

    def _read_log(self):
        for line in self.process.stderr:
            self.log += line

    @property
    def pid(self):
        """Of the relay itself, behind a wrapper that does not exec."""
        for pid in [self.process.pid, *children(self.process.pid)]:
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "sallyport-relay":
                return pid
        raise AssertionError("no relay")

    def connect(self, source=None):
        return socket.create_connection(("127.0.0.1", self.port), 10, source)

    def says(self, text, seconds=5):
        return wait_for(lambda: re.search(text, self.log.decode()), seconds, lambda: f"{text!r} in {self.log.decode()!r}")

    def wait(self, seconds=10):
        status = self.process.wait(seconds)
        self.reader.join(seconds)
        return status

    def output(self):
        return self.process.stdout.read().decode()

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # wrappers and commands hold the pipes open, too
        except ProcessLookupError:
            pass
        self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


class World:
    def __init__(self, binary):
        self.binary, self.folder, self.things = binary, base_folder(), []

    def upstream(self, way, behaviour=echo, **options):
        path = self.folder / f"s{len(self.things)}.sock" if way == "unix" else None
        self.things.append(Upstream(behaviour, path, **options))
        return self.things[-1]

    def relay(self, to, *command, **options):
        self.things.append(Relay(self.binary, to if isinstance(to, str) else to.to, command, **options))
        return self.things[-1]

    def run(self, *args, **options):
        return subprocess.run([self.binary, *args], capture_output=True, text=True, timeout=20, **options)

    def close(self):
        for thing in reversed(self.things):
            thing.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def world(relay_binary):
    one = World(relay_binary)
    yield one
    one.close()


both = pytest.mark.parametrize("way", ["unix", "tcp"])


def read_all(sock):
    out = bytearray()
    while data := sock.recv(65536):
        out += data
    return bytes(out)


def bounce(relay, total):
    """Sends `total` bytes, half-closes, and gives (digest sent, digest received, bytes received)."""
    block = hashlib.sha256(b"seed").digest() * 8192
    sent, got, count = hashlib.sha256(), hashlib.sha256(), 0
    sock = relay.connect()

    def send():
        left = total
        while left:
            part = block[:min(left, len(block) - left % 7)]
            sent.update(part)
            sock.sendall(part)
            left -= len(part)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    buffer = bytearray(1 << 18)
    while n := sock.recv_into(buffer):
        got.update(memoryview(buffer)[:n])
        count += n
    sender.join(10)
    sock.close()
    return sent.hexdigest(), got.hexdigest(), count


# ---- bytes ----

@both
def test_a_hundred_mebibytes_each_way_arrive_as_they_were(world, way):
    relay = world.relay(world.upstream(way))
    sent, got, count = bounce(relay, 100 * MIB + 4321)
    assert (got, count) == (sent, 100 * MIB + 4321)


@both
def test_where_splice_does_not_work_bytes_are_copied(world, way):
    """The second splice fails too, so bytes that are in the pipe already must come out of it."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    for when in ("1+", "2+", "40+"):
        log = world.folder / f"trace{when}"
        relay = world.relay(world.upstream(way), wrapper=["strace", "-f", "-q", "-o", str(log), "-e", "trace=splice",
                                                          "-e", f"inject=splice:error=EINVAL:when={when}"])
        sent, got, count = bounce(relay, 6 * MIB + 5)
        assert (got, count) == (sent, 6 * MIB + 5), when
        assert "(INJECTED)" in log.read_text(), "no splice was tried"
        relay.close()


@both
def test_half_close_of_the_client_is_passed_on(world, way):
    def answer_at_end(conn):
        text = read_all(conn)
        conn.sendall(b"%d bytes" % len(text))
        conn.close()

    sock = world.relay(world.upstream(way, answer_at_end)).connect()
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    assert read_all(sock) == b"8 bytes"


@both
def test_half_close_of_the_proxy_is_passed_on(world, way):
    heard = []

    def speak_and_listen(conn):
        conn.sendall(b"greeting")
        conn.shutdown(socket.SHUT_WR)
        heard.append(read_all(conn))

    sock = world.relay(world.upstream(way, speak_and_listen)).connect()
    assert read_all(sock) == b"greeting"
    sock.sendall(b"late words")
    sock.shutdown(socket.SHUT_WR)
    wait_for(lambda: heard == [b"late words"], what=lambda: heard)


@both
def test_a_client_that_reads_slowly_holds_its_proxy_back(world, way):
    """No more waits in between than sockets, a buffer and a pipe hold."""
    sent, full = [0], threading.Event()

    def pour(conn):
        conn.setblocking(False)
        while select.select([], [conn], [], 0.5)[1]:
            sent[0] += conn.send(b"x" * 65536)
        full.set()
        conn.setblocking(True)
        conn.shutdown(socket.SHUT_WR)

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(20)
    relay = world.relay(world.upstream(way, pour))
    sock.connect(("127.0.0.1", relay.port))
    assert full.wait(20), "it goes on taking what nobody reads"
    assert 0 < sent[0] < 40 * MIB
    if is_static(world.binary):
        assert resident_kib(relay.pid) < 2048
    assert len(read_all(sock)) == sent[0]


def test_a_reset_of_the_proxy_is_no_clean_end(world):
    def cut(conn):
        conn.recv(1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.close()

    sock = world.relay(world.upstream("tcp", cut)).connect()
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        assert sock.recv(1) == b"never"


def test_words_before_a_close_with_bytes_unread_arrive_over_unix(world):
    def refuse_unread(conn):
        conn.recv(1, socket.MSG_PEEK)
        conn.sendall(b"no")
        conn.close()

    sock = world.relay(world.upstream("unix", refuse_unread)).connect()
    sock.sendall(b"request")
    assert read_all(sock) == b"no"


def test_a_client_that_vanishes_takes_its_proxy_connection_along(world):
    up = world.upstream("unix", hold)
    relay = world.relay(up)
    sock = relay.connect()
    wait_for(lambda: len(up.conns) == 1)
    files = len(os.listdir(f"/proc/{relay.pid}/fd"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    wait_for(lambda: len(os.listdir(f"/proc/{relay.pid}/fd")) == files - 2)


# ---- bounds ----

def test_512_connections_and_not_one_more(world):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    up = world.upstream("unix")
    relay = world.relay(up)
    held = [relay.connect() for _ in range(512)]
    for i, sock in enumerate(held):
        sock.sendall(b"%03d" % i)
    for i, sock in enumerate(held):
        assert sock.recv(3, socket.MSG_WAITALL) == b"%03d" % i
    print(f"\nresident with 512 connections: {resident_kib(relay.pid)} KiB")
    one_more = relay.connect()
    assert one_more.recv(1) == b""
    relay.says(r"512 connections are open, as many as --max allows: one more was closed\n")
    assert len(up.conns) == 512
    held.pop().close()
    wait_for(lambda: works(relay), what="a place is free again")
    for sock in held:
        sock.close()
    wait_for(lambda: len(os.listdir(f"/proc/{relay.pid}/fd")) < 16)


def works(relay):
    with relay.connect() as sock:
        try:
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
        except ConnectionError:
            return False


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def test_few_descriptors_mean_fewer_connections_and_the_command_keeps_its_limit(world):
    up = world.upstream("unix")
    relay = world.relay(up, "sh", "-c", "ulimit -Sn; ulimit -Hn; read x <&0; exec sleep 100",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 64)))
    relay.says(r"limit of descriptors \(ulimit -n\) leaves room for 24 connections instead of 512\n")
    assert relay.process.stdout.readline() + relay.process.stdout.readline() == b"40\n64\n"
    held = [relay.connect() for _ in range(24)]
    for sock in held:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    with relay.connect() as sock:
        assert sock.recv(1) == b""
    for sock in held:
        sock.close()
    os.kill(relay.pid, signal.SIGTERM)
    assert relay.wait() == 128 + signal.SIGTERM


def test_an_idle_relay_is_small_and_does_nothing(world):
    relay = world.relay(world.upstream("unix"))
    sent, got, _ = bounce(relay, 4 * MIB)
    assert sent == got
    print(f"\nresident after 4 MiB each way: {resident_kib(relay.pid)} KiB")
    if is_static(world.binary):
        assert resident_kib(relay.pid) < 2048
    sock = relay.connect()
    times = pathlib.Path(f"/proc/{relay.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    assert sock.recv is not None and select.select([sock], [], [], 0.3)[0] == []
    assert pathlib.Path(f"/proc/{relay.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] == times


# ---- the proxy is not there ----

@pytest.mark.parametrize("make, said", [
    (lambda f: f / "none.sock", "no such egress proxy socket"),
    (lambda f: stale(f / "stale.sock"), r"egress proxy socket refused \(restarted\? mount the directory, not the file\)"),
    (lambda f: plain_file(f / "file"), "egress proxy socket refused"),
    (lambda f: plain_file(f / "file") / "x.sock", "a file stands where a directory should"),
])
def test_why_the_proxy_cannot_be_reached_is_said_to_both_sides(world, make, said):
    path = make(world.folder)
    relay = world.relay(f"unix:{path}")
    with relay.connect() as sock:
        sock.sendall(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n" + b"x" * 30000)
        answer = read_all(sock)
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 502 egress proxy unreachable\r\n")
    assert f"Content-Length: {len(body)}".encode() in head and b"Connection: close" in head
    told = json.loads(body)
    assert told["reason"] == "egress_proxy_unreachable" and told["retry"] is True
    assert set(told) == {"error", "reason", "host", "port", "environment", "rule", "request_id", "hint", "retry"}
    assert str(path).encode() not in answer, "a client learns no path"
    relay.says(said)


def test_a_refused_client_that_goes_on_talking_can_still_read_why(world):
    """Closing with its bytes unread would be a reset."""
    with world.relay(f"unix:{world.folder}/none").connect() as sock:
        sock.sendall(b"POST http://a.test/ HTTP/1.1\r\n\r\n")
        assert sock.recv(1, socket.MSG_PEEK) == b"H"
        for _ in range(16):
            sock.sendall(b"x" * 65536)
        assert read_all(sock).startswith(b"HTTP/1.1 502 ")


def stale(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.close()
    return path


def plain_file(path):
    path.write_text("")
    return path


@pytest.mark.parametrize("first", [b"\x05\x01\x00", b"\x16\x03\x01\x02\x00", b""])
def test_who_does_not_speak_http_gets_no_http(world, first):
    with world.relay(f"unix:{world.folder}/none").connect() as sock:
        try:
            sock.sendall(first)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE), "closed at once is fine"


def test_a_client_that_says_nothing_is_let_go(world):
    with world.relay(f"unix:{world.folder}/none").connect() as sock:
        sock.settimeout(8)
        assert read_all(sock) == b""


def test_a_refused_tcp_proxy(world):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        relay = world.relay(f"tcp:127.0.0.1:{s.getsockname()[1]}")
        with relay.connect() as sock:
            sock.sendall(b"GET http://a.test/ HTTP/1.1\r\n\r\n")
            assert read_all(sock).startswith(b"HTTP/1.1 502 ")
    relay.says(r"egress proxy refused the connection: 127\.0\.0\.1:\d+\n")


def test_many_failures_are_few_lines(world):
    relay = world.relay(f"unix:{world.folder}/none")
    for _ in range(200):
        with relay.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert read_all(sock).startswith(b"HTTP/1.1 502 ")
    assert 1 <= relay.log.count(b"no such egress proxy socket") <= 8


def test_a_full_queue_is_asked_again(world):
    up = world.upstream("unix", backlog=1, accept=False)
    relay = world.relay(up)
    socks = [relay.connect() for _ in range(12)]
    for sock in socks:
        sock.sendall(b"x")
    assert select.select(socks, [], [], 0.1)[0] == []
    up.start()
    for sock in socks:
        assert sock.recv(1) == b"x"
    assert relay.log == b""


def test_a_restarted_proxy_is_found_in_its_directory(world):
    up = world.upstream("unix")
    relay = world.relay(up)
    assert works(relay)
    path = up.path
    up.close(unlink=True)
    relay_answer = relay.connect()
    relay_answer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert read_all(relay_answer).startswith(b"HTTP/1.1 502")
    world.things.append(Upstream(echo, path))
    assert works(relay)


@ROOT
@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_mounted_directory_survives_a_restart_and_a_mounted_file_does_not(world, what):
    folder, inside = world.folder / "host", world.folder / "inside"
    folder.mkdir()
    up = Upstream(echo, folder / "p.sock")
    if what == "directory":
        inside.mkdir()
        source, to = folder, inside / "p.sock"
    else:
        inside.touch()
        source, to = folder / "p.sock", inside
    mount = f'mount --bind "{source}" "{inside}" && exec "$@"'
    relay = world.relay(f"unix:{to}", wrapper=["unshare", "--mount", "sh", "-c", mount, "sh"])
    assert works(relay)
    up.close(unlink=True)
    world.things.append(Upstream(echo, folder / "p.sock"))
    if what == "directory":
        assert works(relay)
        return
    with relay.connect() as sock:
        sock.sendall(b"GET http://a.test/ HTTP/1.1\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 502 ")
    relay.says(r"egress proxy socket refused \(restarted\? mount the directory, not the file\)")


# ---- the command ----

@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137),
                                            ("kill -TERM $$", 143)])
def test_it_ends_as_its_command_did(world, script, status):
    assert world.relay("unix:/none", "sh", "-c", script).wait() == status


@pytest.mark.parametrize("command, status, said", [("/no/such/program", 127, "not found"), ("no-such-program", 127, "not found"),
                                                   ("/etc/passwd", 126, "Permission denied"), ("/", 126, "denied")])
def test_a_command_that_cannot_start(world, command, status, said):
    relay = world.relay("unix:/none", command)
    assert relay.wait() == status
    relay.says(f"sallyport-relay: {re.escape(command)}: .*{said}")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "ALRM"])
def test_signals_are_passed_on(world, name):
    relay = world.relay("unix:/none", "sh", "-c", f'trap "echo got {name}; exit 9" {name}; echo up; '
                        'while :; do sleep 0.02; done')
    assert relay.process.stdout.readline() == b"up\n"
    relay.process.send_signal(getattr(signal, f"SIG{name}"))
    assert relay.wait() == 9
    assert relay.output() == f"got {name}\n"


def test_the_command_is_killed_by_the_signal_that_it_does_not_catch(world):
    relay = world.relay("unix:/none", "sleep", "100")
    relay.process.send_signal(signal.SIGTERM)
    assert relay.wait() == 128 + signal.SIGTERM


def test_open_connections_end_with_the_command(world):
    relay = world.relay(world.upstream("unix", hold), "sh", "-c", "read line; exit 3", )
    assert relay.wait() == 3, "standard input is the command's: it saw its end"
    relay = world.relay(world.upstream("unix", hold), "sleep", "100")
    sock = relay.connect()
    sock.sendall(b"x")
    relay.process.terminate()
    assert relay.wait() == 143
    try:
        assert sock.recv(1) == b""
    except ConnectionResetError:
        pass


def test_the_port_is_open_before_the_command_starts(world):
    up = world.upstream("unix")
    script = ("import os,socket; h,p=os.environ['HTTP_PROXY'][7:].split(':'); s=socket.create_connection((h,int(p)));"
              "s.sendall(b'first'); print(s.recv(5).decode())")
    for _ in range(5):
        relay = world.relay(up, "/usr/bin/python3", "-c", script, args=["--env"])
        assert relay.wait() == 0 and relay.output() == "first\n"


def test_the_command_gets_what_the_relay_was_started_with(world):
    """Descriptors, blocked and ignored signals, environment."""
    script = ("import os,signal; print(sorted(os.listdir('/proc/self/fd'))[:4], signal.pthread_sigmask(0, []),"
              " signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN, os.environ['SECRET'], 'HTTP_PROXY' in os.environ)")
    ask = ["/usr/bin/python3", "-c", script]
    start = dict(env={"PATH": "/usr/bin:/bin", "SECRET": "kept"},
                 preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    direct = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, text=True, **start)
    relay = world.relay("unix:/none", *ask, **start)
    assert relay.wait() == 0, "although SIGCHLD was ignored"
    assert relay.output() == direct.stdout
    assert "kept False" in direct.stdout and "True kept" in direct.stdout
    assert b"kept" not in relay.log


def test_ready_may_be_standard_output(world):
    run = world.run("--listen", "127.0.0.1:0", "--to", "unix:/none", "--ready-fd", "1", "--", "echo", "and the command's")
    assert re.fullmatch(r'\{"listen":"127\.0\.0\.1:[1-9]\d*"\}\nand the command\'s\n', run.stdout)
    assert run.returncode == 0


def test_env_leads_the_command_to_the_port(world):
    for listen, host, java in [("127.0.0.1:0", "127.0.0.1", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1", "127.0.0.1"),
                               ("[::1]:0", "[::1]", "::1")]:
        relay = world.relay("unix:/none", "env", "-0", args=["--env"], listen=listen,
                            env={"PATH": "/usr/bin:/bin", "JAVA_TOOL_OPTIONS": "-Xmx1g", "NO_PROXY": "10.0.0.0/8"})
        assert relay.wait() == 0
        env = dict(pair.split("=", 1) for pair in relay.output().split("\0") if pair)
        url = f"http://{host}:{relay.port}"
        java = (f"-Xmx1g -Dhttp.proxyHost={java} -Dhttp.proxyPort={relay.port} -Dhttps.proxyHost={java} "
                f"-Dhttps.proxyPort={relay.port} -Dhttp.nonProxyHosts=localhost|127.*|[::1]")
        assert env == {"PATH": "/usr/bin:/bin", "HTTP_PROXY": url, "http_proxy": url, "HTTPS_PROXY": url,
                       "https_proxy": url, "NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1",
                       "NODE_USE_ENV_PROXY": "1", "YARN_HTTP_PROXY": url, "YARN_HTTPS_PROXY": url,
                       "JAVA_TOOL_OPTIONS": java}
        assert b"-Xmx1g" not in relay.log, "it prints nothing of its environment"


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_without_a_command_it_runs_until_it_is_told_to_end(world, name):
    relay = world.relay(world.upstream("unix"))
    assert works(relay)
    relay.process.send_signal(getattr(signal, f"SIG{name}"))
    assert relay.wait() == 0 and relay.log == b""


@ROOT
def test_as_process_1_it_reaps_orphans_and_takes_all_along(world):
    up = world.upstream("unix")
    script = ("[ $$ = 2 ] || echo not 2; for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 3' & sh -c 'sleep 0.05 & exit 0' &) ; "
              "done; n=1; while [ $n -lt 400 ]; do sleep 0.01; "
              "[ $(ls /proc | grep -c '^[0-9]') -le 5 ] && break; n=$((n+1)); done; "
              "grep -l '^State:.Z' /proc/[0-9]*/status; cat /proc/1/comm; (sleep 100 &); exit 4")
    relay = world.relay(up, "sh", "-c", script,
                        wrapper=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    assert relay.wait(20) == 4
    assert relay.output() == "sallyport-relay\n", "no zombie is left"


@ROOT
def test_as_process_1_signals_reach_the_command(world):
    relay = world.relay("unix:/none", "sh", "-c", 'trap "exit 5" TERM; echo up; while :; do sleep 0.02; done',
                        wrapper=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    assert relay.process.stdout.readline() == b"up\n"
    os.kill(relay.pid, signal.SIGTERM)
    assert relay.wait() == 5


def test_what_a_terminal_sends_is_not_sent_twice(world):
    """Control-C reaches the whole group by itself; what kill(2) sends to the relay alone does not."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    script, trace = world.folder / "count.py", world.folder / "trace"
    script.write_text("import signal\nsignals = {signal.SIGINT, signal.SIGUSR1}\n"
                      "signal.pthread_sigmask(signal.SIG_BLOCK, signals)\n"
                      "print('up', flush=True)\n"
                      "while True:\n"
                      "    seen = signal.sigtimedwait(signals, 20)\n"
                      "    print('got', seen.si_signo, flush=True)\n"
                      "    if seen.si_signo == signal.SIGUSR1: break\n")
    pid, tty = os.forkpty()
    if pid == 0:
        os.environ["ASAN_OPTIONS"] = "detect_leaks=0"  # which cannot look under a tracer
        os.execvp("strace", ["strace", "-q", "-o", str(trace), "-e", "trace=kill", world.binary, "--listen",
                             "127.0.0.1:0", "--to", "unix:/none", "--", "/usr/bin/python3", str(script)])
    try:
        read_until(tty, b"up\r\n")
        os.write(tty, b"\x03")
        read_until(tty, b"got 2\r\n")
        os.kill(children(pid)[0], signal.SIGUSR1)
        read_until(tty, b"got 10\r\n")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(tty)
    assert status == 0
    assert re.findall(r"kill\(\d+, (\w+)\)", trace.read_text()) == ["SIGUSR1"]


def read_until(tty, text):
    said = b""
    while text not in said:
        assert select.select([tty], [], [], 20)[0], said
        said += os.read(tty, 4096)
    return said


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# ---- where it runs ----

@ROOT
def test_a_loopback_that_is_down_is_brought_up(world):
    """The upstream is a Unix socket: paths cross network namespaces."""
    up = world.upstream("unix")
    script = ("import os,socket; h,p=os.environ['HTTP_PROXY'][7:].split(':'); s=socket.create_connection((h,int(p)));"
              "s.sendall(b'ping'); print(s.recv(4).decode())")
    relay = world.relay(up, "/usr/bin/python3", "-c", script, args=["--env"], wrapper=["unshare", "--net"])
    assert relay.wait() == 0 and relay.output() == "ping\n"
    assert relay.log == b""


@ROOT
def test_a_loopback_that_may_not_be_brought_up_is_named(world):
    drop = ["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    relay = world.relay("unix:/none", wrapper=["unshare", "--net", *drop])
    status = relay.wait() if relay.port is None else None
    relay.says(r"lo is down and may not be brought up \(Operation not permitted\)")
    assert status in (None, 1)


@ROOT
def test_an_unknown_uid_without_capabilities_and_with_a_read_only_root(world):
    up = world.upstream("unix")
    drop = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all", "--no-new-privs"]
    relay = world.relay(up, wrapper=["unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / && exec "$@"', "sh",
                                     *drop])
    status = pathlib.Path(f"/proc/{relay.pid}/status").read_text()
    assert re.search(r"Uid:\s+54321\s", status) and re.search(r"CapEff:\s+0+\n", status)
    assert works(relay) and relay.log == b""


@ROOT
def test_a_socket_that_this_uid_may_not_use(world):
    up = world.upstream("unix")
    os.chmod(up.path, 0o600)
    relay = world.relay(up, user=NOBODY, group=NOBODY, extra_groups=[])
    with relay.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 502")
    relay.says("may not use the egress proxy socket")


def test_the_program_is_static_and_small(world):
    if any(mark in pathlib.Path(world.binary).read_bytes() for mark in (b"__asan_init", b"__tsan_init")):
        pytest.skip("a sanitizer cannot be linked statically")
    header = subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", world.binary], capture_output=True,
                            text=True).stdout
    assert "INTERP" not in header and "NEEDED" not in header
    assert is_static(world.binary)
    small = world.folder / "stripped"
    subprocess.run(["strip", "-o", str(small), world.binary], check=True)
    print(f"\nstripped: {small.stat().st_size} bytes")
    assert small.stat().st_size < MIB


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_a_real_client_through_the_relay_and_the_proxy(lab, world):
    """One allowed and one denied visit from a network namespace of its own, and what the proxy recorded."""
    site = lab.make_folder("www")
    (site / "page.txt").write_text("the page\n")
    ca, _ = lab.certificate("allowed.test")
    origin = lab.https(site)
    proxy = lab.proxy(hosts=[origin.at("allowed.test")], ports={"connect": [443, origin.port]}, unix=True)
    script = (f"curl -sS --cacert {ca} https://allowed.test:{origin.port}/page.txt; "
              f"curl -sS --cacert {ca} https://denied.test:{origin.port}/page.txt 2>&1; exit 0")
    relay = world.relay(f"unix:{proxy.socket_path}", "sh", "-c", script, args=["--env"],
                        wrapper=["unshare", "--net"] if os.geteuid() == 0 else [])
    assert relay.wait(30) == 0
    said = relay.output()
    assert said.startswith("the page\n") and "403" in said
    assert proxy.audit.outcome(host="allowed.test", verdict="allow", seconds=10)
    assert proxy.audit.attempts(host="denied.test", verdict="deny", reason="host_not_allowed")


# ---- usage ----

@pytest.mark.parametrize("args, said", [
    ([], "--to is required"),
    (["--to", "a.test:80"], "--to wants unix:PATH"),
    (["--to", "tcp:a.test:80"], "--to wants unix:PATH"),
    (["--to", "tcp:127.0.0.1:0"], "--to wants unix:PATH"),
    (["--to", "tcp:127.1:80"], "--to wants unix:PATH"),
    (["--to", "tcp:::1:80"], "--to wants unix:PATH"),
    (["--to", "unix:"], "--to wants unix:PATH"),
    (["--to", "unix:/" + "x" * 107], "at most 107 bytes"),
    (["--to", "unix:/x", "--listen", "3128"], "--listen wants"),
    (["--to", "unix:/x", "--listen", "localhost:3128"], "--listen wants"),
    (["--to", "unix:/x", "--listen", "127.0.0.1:65536"], "--listen wants"),
    (["--to", "unix:/x", "--max", "0"], "--max wants"),
    (["--to", "unix:/x", "--max", "16385"], "--max wants"),
    (["--to", "unix:/x", "--max", "1e3"], "--max wants"),
    (["--to", "unix:/x", "--ready-fd", "99"], "--ready-fd wants"),
    (["--to", "unix:/x", "--env"], "--env is for CMD"),
    (["--to"], "--to lacks its value"),
    (["--bogus"], "no option '--bogus'"),
])
def test_wrong_usage(world, args, said):
    run = world.run(*args)
    assert run.returncode == 64 and said in run.stderr and run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("sallyport-relay: ")


def test_a_port_that_is_taken_and_a_relay_to_itself(world):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        where = f"127.0.0.1:{s.getsockname()[1]}"
        run = world.run("--to", "unix:/x", "--listen", where, "--", "echo", "started")
    assert (run.returncode, run.stdout) == (1, "") and "something else does already" in run.stderr
    run = world.run("--to", f"tcp:{where}", "--listen", where)
    assert run.returncode == 64 and "own port" in run.stderr


def test_help_and_version(world):
    run = world.run("--help")
    assert run.returncode == 0 and "Example:\n  sallyport-relay --to unix:" in run.stdout and run.stderr == ""
    assert re.fullmatch(r"sallyport-relay \d+\.\d+\.\d+\n", world.run("--version").stdout)
