# SPDX-License-Identifier: Apache-2.0
"""Client: raw bytes towards the proxy, and what comes back."""
import json
import select
import socket
import struct
import time

from .hello import Hello, read_alert


class Reply:
    def __init__(self, head, body):
        self.head = head
        line, *fields = head.split(b"\r\n")
        parts = line.split(b" ", 2)
        self.version, self.status = parts[0].decode(), int(parts[1])
        self.phrase = parts[2].decode("latin-1") if len(parts) > 2 else ""
        self.headers = {}
        for field in fields:
            name, _, value = field.partition(b":")
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1").strip())
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        try:
            return self.json.get("reason")
        except ValueError:
            return None

    def __repr__(self):
        return f"{self.status} {self.phrase!r} {self.body[:300]!r}"


class Client:
    """One connection to the proxy. Everything sent and received is kept for the report of a failure."""

    def __init__(self, endpoint, timeout=10.0, source=None, rcvbuf=None):
        self.timeout = timeout
        if isinstance(endpoint, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(endpoint)
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET)
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            if source:
                self.sock.bind((source, 0))
            self.sock.settimeout(timeout)
            self.sock.connect(endpoint)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(timeout)
        name = self.sock.getsockname()
        self.port = name[1] if isinstance(name, tuple) else None
        self.who = {"peer": name[0], "src_port": name[1]} if isinstance(name, tuple) else {}
        self.sent = bytearray()
        self.received = bytearray()
        self.buffer = bytearray()  # received and not consumed
        self.eof = False
        self.was_reset = False
        self.reply = None

    # ---- sending ----

    def send(self, data, chunks=None):
        """All at once, or in pieces of `chunks` bytes, each a segment of its own (as far as TCP lets one say so)."""
        self.sent += data[:65536]
        try:
            if chunks is None:
                self.sock.sendall(data)
            else:
                for at in range(0, len(data), chunks):
                    self.sock.sendall(data[at:at + chunks])
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True
        return self

    def request(self, target, host=None, version="1.1", headers=(), method="CONNECT", tail=b""):
        if isinstance(target, str):
            target = target.encode("utf-8")
        host = target if host is None else host
        if isinstance(host, str):
            host = host.encode("utf-8")
        head = method.encode() + b" " + target + b" HTTP/" + version.encode() + b"\r\n"
        if host is not False:
            head += b"Host: " + host + b"\r\n"
        for name, value in headers:
            head += f"{name}: {value}\r\n".encode()
        return self.send(head + b"\r\n" + tail)

    def connect(self, host, port, **options):
        return self.request(f"{host}:{port}", **options)

    def hello(self, sni=None, **options):
        return self.send(Hello(sni=sni, **options).raw)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # ---- receiving ----

    def _more(self, end):
        """Reads once; False at the end of the stream."""
        if self.eof:
            return False
        left = end - time.monotonic()
        if left <= 0:
            raise AssertionError(f"nothing more came in time; have {bytes(self.received[-400:])!r}")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except TimeoutError:
            raise AssertionError(f"nothing more came in time; have {bytes(self.received[-400:])!r}") from None
        except ConnectionError:
            self.was_reset = self.eof = True
            return False
        if not data:
            self.eof = True
            return False
        if len(self.received) < 1 << 20:
            self.received += data
        self.buffer += data
        return True

    def read_reply(self, seconds=None):
        end = time.monotonic() + (seconds or self.timeout)
        while b"\r\n\r\n" not in self.buffer:
            if not self._more(end):
                raise AssertionError(f"closed without an answer; have {bytes(self.buffer)!r}, reset {self.was_reset}")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        reply = Reply(head, b"")
        length = reply.headers.get("content-length")
        if length is not None:
            while len(rest) < int(length):
                if not self._more(end):
                    raise AssertionError(f"the body ended early: {rest!r}")
                rest = bytes(self.buffer).partition(b"\r\n\r\n")[2]
            reply.body, rest = rest[:int(length)], rest[int(length):]
        self.buffer = bytearray(rest)
        self.reply = reply
        return reply

    def read_exactly(self, count, seconds=None):
        end = time.monotonic() + (seconds or self.timeout)
        while len(self.buffer) < count:
            if not self._more(end):
                raise AssertionError(f"closed after {len(self.buffer)} of {count} bytes: {bytes(self.buffer[:200])!r}")
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def read_to_end(self, seconds=None):
        end = time.monotonic() + (seconds or self.timeout)
        while self._more(end):
            pass
        out = bytes(self.buffer)
        self.buffer.clear()
        return out

    def expect(self, status=None, reason=None, alert=None, closed=None, data=None, seconds=None):
        """Says what must come next, in the order of the arguments."""
        if status is not None:
            reply = self.read_reply(seconds)
            assert reply.status == status, f"expected {status}, got {reply!r}"
            if reason is not None:
                assert reply.reason == reason, f"expected {reason}, got {reply!r}"
        if data is not None:
            got = self.read_exactly(len(data), seconds)
            assert got == data, f"expected {data!r}, got {got!r}"
        if alert is not None:
            rest = self.read_to_end(seconds)
            assert read_alert(rest) == alert and len(rest) == 7, f"expected alert {alert}, got {rest!r}"
        if closed:
            rest = self.read_to_end(seconds)
            assert rest == b"", f"expected the end, got {rest[:200]!r}"
        return self

    def still_open(self):
        """No byte and no end has come."""
        readable, _, _ = select.select([self.sock], [], [], 0)
        return not readable and not self.eof

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def report(self):
        return f"client {self.port}: sent {bytes(self.sent[:600])!r}\n  received {bytes(self.received[:900])!r}"
