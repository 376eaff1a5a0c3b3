# SPDX-License-Identifier: Apache-2.0
"""Cases of the published table as real connections: a proxy for each policy, a resolver that answers what the row says,
and origins on every address of a network namespace in which every address is local."""
import dataclasses
import ipaddress
import os
import shutil
import socket

from cases import POLICIES
from lab import Dns
from lab.client import Client
from lab.dns import A, address_record, response
from lab.hello import Hello, read_alert
from lab.origin import Origin
from lab.webclient import read_answer

USUAL = "11.22.33.44"  # where a name leads when the row says nothing of addresses
NOT_TLS = b"SSH-2.0-OpenSSH_9.7\r\n"
GREETING = b"220 origin.test\r\n"
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ")
ALERTS = {"sni_absent": "unrecognized_name", "sni_mismatch": "unrecognized_name", "ech_refused": "access_denied"}
# What a refusal costs the client on the wire, by its reason.
STATUS = {"malformed_target": 400, "method_not_allowed": 405, "method_unknown": 501, "port_not_allowed": 403,
          "host_not_allowed": 403, "host_denied": 403, "literal_not_allowed": 403, "address_forbidden": 403,
          "address_is_self": 403}


ARRIVED = b"+"  # what the origin says at the end of bytes that are no HTTP
# Ways in that this program does not have: the rows that name them are asked of `explain` alone.
NO_SUCH_DOOR = {"socks5": "no SOCKS5 listener exists", "tls": "no transparent TLS listener exists",
                "plain": "no transparent plain HTTP listener exists"}


@dataclasses.dataclass
class Seen:
    """What one row looked like from outside: on the wire at first, later in the log."""
    who: dict
    verdict: str
    reason: str = None      # None: the wire does not tell (behind the 200, and to HEAD)
    rule: str = None
    problem: str = None
    dialled: tuple = None
    records: list = dataclasses.field(default_factory=list)


def expressible(case):
    return case.door not in NO_SUCH_DOOR


class Ground:
    """One proxy with its resolver and origins, for the rows of one policy that name the same sockets of its own."""

    def __init__(self, lab, cases):
        self.lab, self.cases = lab, cases
        self.dns = lab.add(Dns())
        self.greets = False
        self.origins = []
        for port in sorted({c.port for c in cases if c.verdict == "allow" or c.hello != "-"}):
            self.origins.append(Origin("0.0.0.0", port, self.serve))
            self.origins.append(Origin("::", port, self.serve, family=socket.AF_INET6))
        first = cases[0]
        self.proxy = lab.proxy(first.file.read_text("utf-8"), start=False, dns=self.dns,
                               listen=["127.0.0.1:0", *first.own])
        for name in ("lists", "agents"):
            shutil.copytree(POLICIES / name, self.proxy.folder / name)
        if first.egress_file:
            shutil.copy(first.egress_file, self.proxy.folder / "egress.yaml")
            self.proxy.args += ["--egress", str(self.proxy.folder / "egress.yaml")]
        for folder, _, files in os.walk(self.proxy.folder):
            for name in files:
                os.chmod(os.path.join(folder, name), 0o644)
        self.proxy.start()

    def serve(self, conn):
        """Answers a request of HTTP, and takes whatever else comes."""
        if self.greets:
            conn.send(GREETING)
        while conn.recv():
            if bytes(conn.data).startswith(METHODS) and b"\r\n\r\n" in conn.data:
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
        if conn.data and not self.greets:
            conn.send(ARRIVED)

    def answer(self, case):
        """The resolver says what the row says, in that order; nothing is kept from row to row."""
        answers = case.answers or [USUAL]

        def raw(query, honest):
            wanted = 4 if query.type == A else 6
            return [response(query.raw, [address_record(query.name, a, ttl=0) for a in answers
                                         if ipaddress.ip_address(a).version == wanted])]
        self.dns.set(case.host.lower().rstrip("."), raw=raw)

    def run(self, case):
        if case.host.isascii() and not case.is_literal:
            self.answer(case)
        self.greets = case.hello == "silence" and case.verdict == "allow"
        with self.proxy.client(timeout=5) as client:
            self.proxy.clients.clear()
            try:
                seen = by_http(client, case) if case.door == "http" else by_connect(client, case)
            except AssertionError as error:
                seen = Seen(client.who, "none", problem=str(error))
        return seen

    def finish(self):
        """The log of the proxy, proven; records by the client that they speak of."""
        assert self.proxy.stop() == 0, self.proxy.text()[-2000:]
        assert self.proxy.audit.verifies()
        for origin in self.origins:
            origin.close()
        out = {}
        for flow in self.proxy.audit.flows().values():
            out[flow[0]["src_endpoint"]["ip"], flow[0]["src_endpoint"]["port"]] = flow
        return out


def refused(client, reply):
    told = reply.json
    assert reply.status == STATUS.get(told["reason"]), f"{reply!r}"
    client.read_to_end()
    return Seen(client.who, "deny", told["reason"], told["rule"])


def by_http(client: Client, case):
    body = b"Content-Length: 0\r\n" if case.method in ("POST", "PUT", "PATCH") else b""
    target = case.request.encode()
    client.send(case.method.encode() + b" http://" + target + b"/ HTTP/1.1\r\nHost: " + target + b"\r\n" + body
                + b"\r\n")
    if case.method == "HEAD":
        return by_head(client)
    reply = client.read_reply()
    return Seen(client.who, "allow", "allowed") if reply.status == 200 else refused(client, reply)


def by_head(client):
    """An answer to HEAD has no body: the reason is told in the log alone."""
    return Seen(client.who, "allow" if read_answer(client, "HEAD").status == 200 else "deny")


def hello_bytes(case):
    hello, _, ech = case.hello.partition("+")
    if hello == "-":
        return Hello(sni=None if case.is_literal else case.host.lower().rstrip(".")).raw
    if hello == "not-tls":
        return NOT_TLS
    name = hello[4:] if hello.startswith("sni=") else None
    return Hello(sni=name, ech=bool(ech) or hello == "ech").raw


def by_connect(client: Client, case):
    target = case.request.encode()
    client.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n")
    reply = client.read_reply()
    if reply.status != 200:
        return refused(client, reply)
    if case.hello == "silence":
        return by_silence(client)
    client.send(hello_bytes(case)).half_close()
    rest = client.read_to_end()
    alert = read_alert(rest)
    problem = None if alert == ALERTS.get(case.reason) and (alert or rest in (b"", ARRIVED)) else \
        f"alert {alert}, rest {rest!r}"
    return Seen(client.who, "allow" if rest == ARRIVED else "deny", problem=problem)


def by_silence(client):
    """What the origin says first comes through once the deadline has passed, or the tunnel ends."""
    try:
        client.read_exactly(len(GREETING))
        return Seen(client.who, "allow")
    except AssertionError as error:
        ended = client.eof and not client.buffer
        return Seen(client.who, "deny") if ended else Seen(client.who, "none", problem=str(error))
