#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is the instrument to be trusted? Every mode of load through every floor without an error, and through a relay that
lies, where load must see it."""
import json
import pathlib
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from benchlib import machine  # noqa: E402
from benchlib.process import Program  # noqa: E402

CORES = machine.cores()[0] + machine.cores()[1]
passed = failed = 0


def say(good, what):
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    if not good:
        print(f"FAILED: {what}")


class Tools:
    def __init__(self, folder):
        self.folder, self.started = pathlib.Path(folder), []

    def start(self, name, *args):
        program = Program([self.folder / f"bench-{name}", *args], CORES, 4096)
        self.started.append(program)
        return program

    def load(self, proxy, mode, *args):
        """The result of one load, and its exit status."""
        program = self.start("load", "--proxy", proxy, "--mode", mode, *args)
        line = program.line(20)
        if line.get("phase") == "ready":
            program.go_on()
            line = program.line(20)
        program.go_on()
        return line, program.popen.wait(10)


class Liar:
    """A relay that answers 200 to a CONNECT and passes bytes on, changed by a function (way, offset, bytes)."""

    def __init__(self, origin, lie, status=b"200 OK"):
        self.origin, self.lie, self.status = origin, lie, status
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client = self.socket.accept()[0]
            threading.Thread(target=self.tunnel, args=(client,), daemon=True).start()

    def tunnel(self, client):
        try:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(4096) or b"\r\n\r\n"
            client.sendall(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
            host, port = self.origin.rsplit(":", 1)
            with client, socket.create_connection((host, int(port))) as origin:
                up = threading.Thread(target=self.pass_on, args=("up", client, origin), daemon=True)
                up.start()
                self.pass_on("down", origin, client)
                up.join()
        except OSError:
            pass

    def pass_on(self, way, source, sink):
        offset = 0
        try:
            while part := source.recv(65536):
                changed = self.lie(way, offset, part)
                offset += len(part)
                if changed is None:
                    break
                sink.sendall(changed)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def flip(way, at):
    def lie(w, offset, part):
        if w != way or not offset <= at < offset + len(part):
            return part
        i = at - offset
        return part[:i] + bytes([part[i] ^ 1]) + part[i + 1:]
    return lie


def drop(way, at):
    def lie(w, offset, part):
        i = at - offset
        return part[:i] + part[i + 4096:] if w == way and 0 <= i < len(part) - 4096 else part
    return lie


def cut(way, at):
    return lambda w, offset, part: None if w == way and offset + len(part) > at else part


def honest(way, offset, part):
    return part


HELLO, ANSWER, ORDER = 517, 64, 16
# (what, mode, status, lie, kind of the error that load must count)
LIES = [
    ("a changed hello", "tunnels", b"200 OK", flip("up", 200), "bytes"),
    ("a changed answer", "tunnels", b"200 OK", flip("down", 60), "bytes"),
    ("a cut answer", "tunnels", b"200 OK", cut("down", 30), "ended"),
    ("another status", "tunnels", b"403 Forbidden", honest, "status"),
    ("a 200 instead of the 403", "deny", b"200 OK", honest, "status"),
    ("a changed byte down", "down", b"200 OK", flip("down", ANSWER + 1000000), "bytes"),
    ("a block lost down", "down", b"200 OK", drop("down", ANSWER + 100000), "timeout bytes"),
    ("a cut stream down", "down", b"200 OK", cut("down", 500000), "ended"),
    ("a changed byte up", "up", b"200 OK", flip("up", HELLO + ORDER + 1000000), "bytes"),
    ("a cut stream up", "up", b"200 OK", cut("up", 500000), "ended"),
    ("a changed ping", "ping", b"200 OK", flip("down", ANSWER + 500), "bytes"),
]


def errors_of(result):
    return {k: v for k, v in result["errors"].items() if v}


def test_floors(tools, origin):
    short = ["--count", "300", "--warm-up", "10"]
    work = [("tunnels", "1", short), ("tunnels", "32", short), ("down", "3", ["--bytes", "50000000", "--every"]),
            ("up", "3", ["--bytes", "50000000", "--every"]), ("ping", "8", ["--count", "500"]), ("idle", "50", [])]
    for mode in ("copy", "splice", "hybrid"):
        for raw in ([], ["--raw"]):
            floor = tools.start("floor", "--origin", origin, "--mode", mode, *raw).line(5)["address"]
            for what, concurrency, more in work:
                result, status = tools.load(floor, what, "--concurrency", concurrency, *more, *raw)
                good = status == 0 and not errors_of(result) and result["ops"] > 0
                say(good, f"{what} x {concurrency} through {mode} {raw}: status {status}, {result}")
    floor = tools.start("floor", "--origin", origin, "--mode", "deny").line(5)["address"]
    result, status = tools.load(floor, "deny", "--concurrency", "16", *short)
    say(status == 0 and result["ops"] == 300, f"deny: status {status}, {result}")
    result, status = tools.load(floor, "tunnels", "--count", "5")
    say(status == 1 and result["errors"]["status"] == 5, f"tunnels through the floor that denies: {status}, {result}")


def test_lies(tools, origin):
    more = ["--count", "1", "--bytes", "2000000", "--every", "--seconds", "0.1", "--stall", "0.5"]
    for what, mode, status, lie, kind in LIES:
        result, code = tools.load(Liar(origin, lie, status).address, mode, *more)
        good = code == 1 and set(errors_of(result)) <= set(kind.split()) and errors_of(result)
        say(bool(good), f"{what} must be an error of kind {kind}: status {code}, {result}")
    result, code = tools.load(Liar(origin, honest).address, "down", *more)
    say(code == 0, f"a relay that does not lie: status {code}, {result}")


def test_http(tools, origin):
    result, code = tools.load(origin, "http", "--concurrency", "4", "--count", "200")
    say(code == 0 and result["ops"] >= 200, f"http: status {code}, {result}")


def dns_query(address, name, kind):
    host, port = address.rsplit(":", 1)
    labels = b"".join(bytes([len(p)]) + p for p in name.split(b"."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0" + bytes([0, kind, 0, 1]), (host, int(port)))
        return s.recv(512)


def test_dns(tools):
    address = tools.start("dns", "--address", "127.0.0.9:0").line(5)["address"]
    reply = dns_query(address, b"n1.BENCH.test", 1)
    say(reply[:4] == b"\x12\x34\x85\x80" and reply.endswith(b"\0\4\x7f\0\0\x09"), f"A: {reply!r}")
    reply = dns_query(address, b"n1.bench.test", 28)
    say(reply[3] == 0x80 and reply[7] == 0 and reply[9] == 1, f"AAAA: {reply!r}")
    reply = dns_query(address, b"bench.example", 1)
    say(reply[3] == 0x83 and reply[7] == 0, f"another domain: {reply!r}")


def main():
    tools = Tools(sys.argv[1])
    try:
        origin = tools.start("origin", "--every").line(5)["address"]
        test_floors(tools, origin)
        test_lies(tools, origin)
        test_http(tools, origin)
        test_dns(tools)
    finally:
        for program in tools.started:
            program.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
