# SPDX-License-Identifier: Apache-2.0
"""Dns: a resolver on loopback, UDP and TCP on one free port, that records every query and answers as it was told."""
import dataclasses
import heapq
import ipaddress
import itertools
import selectors
import socket
import struct
import threading
import time

from .wait import wait_for

A, NS, CNAME, SOA, AAAA, HTTPS = 1, 2, 5, 6, 28, 65
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


@dataclasses.dataclass
class Query:
    raw: bytes
    name: str  # as sent, with its case
    type: int
    transport: str
    at: float
    source: tuple

    @property
    def lower(self):
        return self.name.lower()


@dataclasses.dataclass
class Answer:
    """What one name gives. `v4` and `v6` are lists of addresses; an empty list is NODATA for that type."""
    v4: list = dataclasses.field(default_factory=list)
    v6: list = dataclasses.field(default_factory=list)
    ttl: int = 60
    rcode: int = NOERROR
    cnames: list = dataclasses.field(default_factory=list)  # a chain from the name; the last one has the addresses
    delay: dict = dataclasses.field(default_factory=dict)   # {A: seconds, AAAA: seconds}
    silent: set = dataclasses.field(default_factory=set)    # types that get no answer
    truncate: bool = False      # UDP says TC; TCP answers
    tcp: str = "answer"         # or "stall" (accept and say nothing), "slow" (claims 65535, gives a few), "reset"
    raw: object = None          # callable(query, honest) -> list of UDP payloads, instead of the honest one
    wrong_source: bool = False  # sent from another port
    extra: bytes = b""          # records appended to the additional section
    extra_count: int = 0


def encode_name(name):
    if isinstance(name, bytes):
        return name
    out = b""
    for label in name.rstrip(".").split("."):
        part = label.encode("ascii")
        out += bytes([len(part)]) + part
    return out + b"\0"


def record(owner, rtype, data, ttl=60, rclass=1):
    return encode_name(owner) + struct.pack("!HHIH", rtype, rclass, ttl, len(data)) + data


def address_record(owner, address, ttl=60):
    packed = ipaddress.ip_address(address)
    return record(owner, A if packed.version == 4 else AAAA, packed.packed, ttl)


QUESTION = b"\xc0\x0c"  # a pointer to the name of the question


def read_question(message):
    """(name as sent, type, end of the question)."""
    labels, at = [], 12
    while True:
        length = message[at]
        at += 1
        if length == 0:
            break
        labels.append(message[at:at + length].decode("latin-1"))
        at += length
    rtype, _ = struct.unpack_from("!HH", message, at)
    return ".".join(labels), rtype, at + 4


def response(query, answers=(), rcode=NOERROR, flags=0, authority=(), additional=(), count=None):
    """A reply that echoes the question of the raw query."""
    _, _, end = read_question(query)
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | flags | rcode, 1, len(answers) if count is None else count,
                                   len(authority), len(additional))
    return head + query[12:end] + b"".join(answers) + b"".join(authority) + b"".join(additional)


def no_aaaa(query, honest):
    """The name has no such address, and that may be remembered (RFC 2308)."""
    soa = record(QUESTION, SOA, b"\0\0" + struct.pack("!IIIII", 1, 60, 60, 60, 60))
    return [honest if query.type == A else response(query.raw, authority=[soa])]


class Dns:
    def __init__(self, address="127.0.0.1"):
        self.address = address
        self.zone = {}
        self.queries = []
        self._lock = threading.Lock()
        self._later = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._bind()
        self._waker, self._wake = socket.socketpair()
        self._stray = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stray.bind((address, 0))
        for s, call in ((self._udp, self._on_udp), (self._tcp, self._on_accept), (self._waker, None)):
            s.setblocking(False)
            self._selector.register(s, selectors.EVENT_READ, call)
        self._stop = False
        self._held = []
        self._thread = threading.Thread(target=self._run, daemon=True, name="dns")
        self._thread.start()

    def _bind(self):
        for _ in range(50):
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self._udp.bind((self.address, 0))
            self.port = self._udp.getsockname()[1]
            self._tcp = socket.socket()
            try:
                self._tcp.bind((self.address, self.port))
                self._tcp.listen(64)
                return
            except OSError:
                self._udp.close()
                self._tcp.close()
        raise RuntimeError("no port is free for both UDP and TCP")

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    # ---- programme ----

    def set(self, name, *addresses, **options):
        """Addresses of a name ("*.x" for all below it), or any option of Answer."""
        answer = Answer(**options)
        for address in addresses:
            (answer.v4 if ipaddress.ip_address(address).version == 4 else answer.v6).append(address)
        self.zone[name.lower()] = answer
        return answer

    def _find(self, name):
        name = name.lower()
        if name in self.zone:
            return self.zone[name]
        labels = name.split(".")
        for i in range(1, len(labels)):
            hit = self.zone.get("*." + ".".join(labels[i:]))
            if hit:
                return hit
        return Answer(rcode=NXDOMAIN)

    # ---- what was seen ----

    def asked(self, name=None):
        with self._lock:
            return [q for q in self.queries if name is None or q.lower == name.lower()]

    def wait_asked(self, name, count=1, seconds=5.0):
        return wait_for(lambda: len(self.asked(name)) >= count and self.asked(name), seconds,
                        lambda: f"{count} queries for {name}; seen {[q.name for q in self.asked()]}")

    # ---- the loop ----

    def _run(self):
        while not self._stop:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            timeout = max(0, self._later[0][0] - now) if self._later else None
            for key, _ in self._selector.select(timeout):
                if key.data is None:
                    self._waker.recv(64)
                    continue
                try:
                    key.data(key.fileobj)
                except BlockingIOError:
                    pass
                except OSError:
                    self._drop(key.fileobj)

    def _drop(self, conn):
        """Ends one TCP connection of a client; the sockets of the resolver itself stay."""
        if conn not in (self._udp, self._tcp, self._waker) and conn.fileno() >= 0:
            self._selector.unregister(conn)
            conn.close()

    def _after(self, delay, call):
        if delay <= 0:
            call()
        else:
            heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), call))

    def _note(self, message, transport, source):
        name, rtype, _ = read_question(message)
        query = Query(message, name, rtype, transport, time.monotonic(), source)
        with self._lock:
            self.queries.append(query)
        return query

    def honest(self, query, answer):
        if answer.rcode != NOERROR:
            return response(query.raw, rcode=answer.rcode)
        owner, records = QUESTION, []
        for cname in answer.cnames:
            records.append(record(owner, CNAME, encode_name(cname), answer.ttl))
            owner = cname
        for address in {A: answer.v4, AAAA: answer.v6}.get(query.type, []):
            records.append(address_record(owner, address, answer.ttl))
        reply = response(query.raw, records)
        if answer.extra_count:
            reply = reply[:10] + struct.pack("!H", answer.extra_count) + reply[12:] + answer.extra
        return reply

    def _on_udp(self, sock):
        for _ in range(256):
            message, source = sock.recvfrom(4096)
            try:
                query = self._note(message, "udp", source)
            except (IndexError, struct.error):
                continue
            answer = self._find(query.name)
            if query.type in answer.silent:
                continue
            reply = self.honest(query, answer)
            if answer.truncate:
                payloads = [response(query.raw, flags=0x0200)]
            elif answer.raw:
                payloads = answer.raw(query, reply)
            else:
                payloads = [reply]
            out = self._stray if answer.wrong_source else sock

            def send(payloads=payloads, source=source, out=out):
                for payload in payloads:
                    try:
                        out.sendto(payload, source)
                    except OSError:
                        pass
            self._after(answer.delay.get(query.type, 0), send)

    def _on_accept(self, sock):
        conn, source = sock.accept()
        conn.setblocking(False)
        buffer = bytearray()

        def on_read(conn):
            data = conn.recv(4096)
            if not data:
                self._drop(conn)
                return
            buffer.extend(data)
            while len(buffer) >= 2 + int.from_bytes(buffer[:2], "big") > 2 and conn.fileno() >= 0:
                length = int.from_bytes(buffer[:2], "big")
                message = bytes(buffer[2:2 + length])
                del buffer[:2 + length]
                query = self._note(message, "tcp", source)
                self._answer_tcp(conn, query)
        self._selector.register(conn, selectors.EVENT_READ, on_read)
        self._held.append(conn)

    def _answer_tcp(self, conn, query):
        answer = self._find(query.name)
        if answer.tcp == "stall" or query.type in answer.silent:
            return
        if answer.tcp == "reset":
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._drop(conn)
            return
        reply = self.honest(query, answer)
        if answer.tcp == "slow":
            conn.sendall(b"\xff\xff" + reply[:20])
            return

        def send():
            try:
                conn.settimeout(2)
                conn.sendall(struct.pack("!H", len(reply)) + reply)
                conn.setblocking(False)
            except OSError:
                self._drop(conn)
        self._after(answer.delay.get(query.type, 0), send)

    def close(self):
        self._stop = True
        self._wake.send(b"x")
        self._thread.join(5)
        for s in (self._udp, self._tcp, self._waker, self._wake, self._stray, *self._held):
            s.close()

    def report(self):
        return "\n".join(f"{q.transport} {q.type} {q.name}" for q in self.asked()[-60:])
