# SPDX-License-Identifier: Apache-2.0
"""WebOrigin: an HTTP/1.1 server of our own that believes nothing. It keeps the raw bytes of each request, parses them
by the letter, and notes whatever a careful proxy would not have sent. What it answers is a programme of the test."""
import hashlib
import re
import threading
import time

from .origin import Origin
from .wait import wait_for

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
REQUEST_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x22\x24-\x7e]*|\*) HTTP/1\.1\Z")
CHUNK_LINE = re.compile(rb"[0-9a-fA-F]{1,16}\Z")
KEPT_BODY = 1 << 20
KEPT_RAW = 1 << 20

# What belongs to one hop, to the proxy, or tells of the inside (names folded as a sloppy server may fold them).
NEVER_FORWARDED = {"keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
                   "proxy-authentication-info", "te", "trailer", "http2-settings", "forwarded", "x-real-ip"}


class Seen:
    """One request as it arrived."""

    def __init__(self, origin, conn, number):
        self.origin, self.conn, self.number = origin, conn, number
        self.connection = origin.conns.index(conn)
        self.raw = bytearray()      # head and body as received, the first MiB
        self.head = b""
        self.method = self.path = None
        self.fields = []            # (name, value) in their order, as text
        self.framing = None         # "none", "length", "chunked"
        self.length = None          # what Content-Length said
        self.chunks = 0
        self.trailers = []
        self.body = bytearray()     # the first MiB
        self.body_bytes = 0
        self.digest = hashlib.sha256()
        self.complete = False
        self.at = time.monotonic()

    def get(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return values[0] if len(values) == 1 else ", ".join(values) if values else None

    def names(self):
        return [n.lower() for n, _ in self.fields]

    @property
    def what(self):
        return self.method, self.path, bytes(self.body)

    def take(self, data):
        self.body_bytes += len(data)
        self.digest.update(data)
        if len(self.body) < KEPT_BODY:
            self.body += data[:KEPT_BODY - len(self.body)]

    def __repr__(self):
        return (f"{self.method} {self.path} {self.framing} {self.body_bytes} bytes "
                f"{'complete' if self.complete else 'cut'} on connection {self.connection}")


class Ended(Exception):
    """The connection ended where more was needed."""


class Exchange:
    """One request and the way to answer it. The body is read when the answer asks for it, or afterwards."""

    def __init__(self, origin, conn, buffer, seen):
        self.origin, self.conn, self.buffer, self.request = origin, conn, buffer, seen
        self._body_done = False
        self.keep = True

    # ---- bytes ----

    def _more(self):
        try:
            data = self.conn.sock.recv(262144)
        except OSError:
            self.conn.reset = True
            raise Ended from None
        if not data:
            self.conn.eof = True
            raise Ended
        self.conn.received += len(data)
        if len(self.conn.data) < KEPT_RAW:
            self.conn.data += data
        self.buffer += data

    def _keep_raw(self, data):
        raw = self.request.raw
        if len(raw) < KEPT_RAW:
            raw += data[:KEPT_RAW - len(raw)]

    def _line(self, limit=1 << 17):
        while True:
            end = self.buffer.find(b"\n")
            if end >= 0:
                line = bytes(self.buffer[:end + 1])
                del self.buffer[:end + 1]
                self._keep_raw(line)
                if not line.endswith(b"\r\n"):
                    self.bad(f"a line ends without CR: {line[-60:]!r}")
                return line[:-2] if line.endswith(b"\r\n") else line[:-1]
            if len(self.buffer) > limit:
                self.bad("a line without an end")
                raise Ended
            self._more()

    def bad(self, text):
        self.origin.bad.append(f"request {self.request.number}: {text}")

    # ---- reading ----

    def read_head(self):
        """False when the connection ended before the first byte."""
        if not self.buffer:
            try:
                self._more()
            except Ended:
                return False
        seen = self.request
        self.origin.started.append(seen)
        line = self._line()
        match = REQUEST_LINE.match(line)
        if not match:
            self.bad(f"request line {line[:200]!r}")
        parts = line.split(b" ")
        seen.method = parts[0].decode("latin-1")
        seen.path = parts[1].decode("latin-1") if len(parts) > 1 else None
        lines = [line]
        while True:
            line = self._line()
            if not line:
                break
            lines.append(line)
            seen.fields.append(self._field(line))
        seen.head = b"\r\n".join(lines)
        self._judge()
        return True

    def _field(self, line):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            self.bad(f"field line {line[:120]!r}")
        elif re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            self.bad(f"control byte in {line[:120]!r}")
        return name.decode("latin-1"), value.strip(b" \t").decode("latin-1")

    def _judge(self):
        seen = self.request
        names = seen.names()
        for name in ("host", "content-length", "transfer-encoding", "expect", "connection", "upgrade"):
            if names.count(name) > 1:
                self.bad(f"{name} stands {names.count(name)} times")
        if names.count("host") != 1 or names[0] != "host":
            self.bad(f"Host is not the first field: {names[:3]}")
        for name in names:
            folded = name.strip("_.").replace("_", "-").replace(".", "-")
            if folded in NEVER_FORWARDED or folded.startswith("x-forwarded"):
                self.bad(f"{name} was forwarded")
            if folded in ("connection", "upgrade", "transfer-encoding", "content-length", "host") and folded != name:
                self.bad(f"the look-alike {name} was forwarded")
        if seen.get("connection") not in (None, "upgrade", "close", "keep-alive"):
            self.bad(f"Connection: {seen.get('connection')}")
        if seen.get("upgrade") not in (None, "websocket"):
            self.bad(f"Upgrade: {seen.get('upgrade')}")
        if not re.search(r"(^|, )1\.[01] sallyport-[0-9a-f]{16}$", seen.get("via") or ""):
            self.bad(f"Via: {seen.get('via')}")
        length, coding = seen.get("content-length"), seen.get("transfer-encoding")
        if length is not None and coding is not None:
            self.bad("Content-Length and Transfer-Encoding together")
        if coding is not None:
            seen.framing = "chunked"
            if coding != "chunked":
                self.bad(f"Transfer-Encoding: {coding}")
        elif length is not None:
            seen.framing = "length"
            if not re.match(r"(0|[1-9][0-9]*)\Z", length):
                self.bad(f"Content-Length: {length}")
            seen.length = int(length)
        else:
            seen.framing = "none"

    def pieces(self):
        """The payload, as it comes."""
        seen = self.request
        if self._body_done:
            return
        if seen.framing == "length":
            yield from self._exactly(seen.length)
        elif seen.framing == "chunked":
            while True:
                line = self._line()
                if not CHUNK_LINE.match(line):
                    self.bad(f"chunk line {line[:80]!r}")
                    raise Ended
                size = int(line, 16)
                if size == 0:
                    break
                seen.chunks += 1
                yield from self._exactly(size)
                if self._line():
                    self.bad("a chunk is longer than it said")
                    raise Ended
            while line := self._line():
                seen.trailers.append(line)
                self.bad(f"a trailer was forwarded: {line[:80]!r}")
        self._body_done = True
        seen.complete = True

    def _exactly(self, left):
        while left:
            if not self.buffer:
                self._more()
            piece = bytes(self.buffer[:left])
            del self.buffer[:len(piece)]
            self._keep_raw(piece)
            self.request.take(piece)
            left -= len(piece)
            yield piece

    def read_body(self):
        """All of it; the bytes that are kept."""
        for _ in self.pieces():
            pass
        return bytes(self.request.body)

    # ---- answering ----

    def send(self, data):
        if not self.conn.send(data):
            raise Ended

    def reply(self, status="200 OK", body=b"", headers=(), length=True):
        head = f"HTTP/1.1 {status}\r\n".encode()
        for name, value in headers:
            head += f"{name}: {value}\r\n".encode("latin-1")
        if length:
            head += b"Content-Length: %d\r\n" % len(body)
        self.send(head + b"\r\n" + (b"" if self.request.method == "HEAD" else body))

    def close(self):
        self.keep = False


def ok(exchange):
    """Reads the whole request, then says what it was."""
    exchange.read_body()
    seen = exchange.request
    exchange.reply(body=f"{seen.method} {seen.path} {seen.body_bytes}".encode())


def raw_answer(data, close=True, read=True):
    """An answer byte for byte."""
    def run(exchange):
        if read:
            exchange.read_body()
        exchange.send(data)
        if close:
            exchange.close()
    return run


class WebOrigin(Origin):
    """`on(path, answer)` says what a path is answered with; everything else gets `ok`."""

    def __init__(self, address="127.0.0.1", port=0, answer=ok, family=None):
        self.answer = answer
        self.programme = {}
        self.started = []   # every request whose first byte came
        self.bad = []       # what should not have been sent
        self._count = 0
        self._count_lock = threading.Lock()
        super().__init__(address, port=port, behaviour=self._http, family=family)

    def on(self, path, answer):
        self.programme[path] = answer
        return self

    @property
    def seen(self):
        """The requests that arrived whole, in the order in which they began."""
        return [r for r in list(self.started) if r.complete]

    def cut(self):
        return [r for r in list(self.started) if not r.complete]

    def wait_seen(self, count=1, seconds=5.0):
        return wait_for(lambda: len(self.seen) >= count and self.seen, seconds,
                        lambda: f"{count} requests at the origin; {self.report()}")

    def request(self, path, seconds=5.0):
        """The one whole request for that path."""
        wait_for(lambda: any(r.path == path for r in self.seen), seconds, lambda: f"{path}; {self.report()}")
        found = [r for r in self.seen if r.path == path]
        assert len(found) == 1, f"{len(found)} requests for {path}"
        return found[0]

    def _number(self):
        with self._count_lock:
            self._count += 1
            return self._count

    def _http(self, conn):
        buffer = bytearray()
        try:
            while True:
                exchange = Exchange(self, conn, buffer, Seen(self, conn, self._number()))
                if not exchange.read_head():
                    return
                if exchange.request.framing == "none":
                    exchange.read_body()
                path = (exchange.request.path or "").partition("?")[0]
                self.programme.get(path, self.answer)(exchange)
                if not exchange.keep:
                    return
                exchange.read_body()
        except Ended:
            pass

    def report(self):
        rows = [super().report(), *[f"  {r!r}" for r in self.started[-8:]]]
        return "\n".join(rows + [f"  BAD {b}" for b in self.bad[-8:]])
