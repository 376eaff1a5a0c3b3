# SPDX-License-Identifier: Apache-2.0
"""What a row of a hostile table is, the doors by which it can be tried, and the one runner for all of them."""
import dataclasses

from lab import wait_for
from lab.client import Client
from lab.gateway import Gateway
from lab.hello import Hello
from lab.oracles import Oracles
from neighbour import Neighbour

# code: (name, HTTP status, TLS alert), the table of reasons in docs/semantics.md.
REASONS = {
    "R-SYN": ("malformed_request", 400, None), "R-TGT": ("malformed_target", 400, None),
    "R-VER": ("unsupported_version", 505, None), "R-URI": ("target_too_long", 414, None),
    "R-HDR": ("head_too_large", 431, None), "R-TMO": ("head_timeout", 408, None),
    "R-RATE": ("rate_exceeded", 429, None), "R-LIM": ("limit_reached", 503, None),
    "R-MTH": ("method_not_allowed", 405, None), "R-MTHU": ("method_unknown", 501, None),
    "R-PORT": ("port_not_allowed", 403, None), "R-HOST": ("host_not_allowed", 403, None),
    "R-DENY": ("host_denied", 403, None), "R-LIT": ("literal_not_allowed", 403, None),
    "R-MIS": ("host_mismatch", 421, None), "R-AUD": ("audit_unavailable", 503, None),
    "R-DNS": ("dns_failed", 502, None), "R-DNST": ("dns_timeout", 504, None),
    "R-ADDR": ("address_forbidden", 403, None), "R-SELF": ("address_is_self", 403, None),
    "R-CONN": ("connect_failed", 502, None), "R-CONNT": ("connect_timeout", 504, None),
    "R-NTLS": ("not_tls", None, None), "R-SNI0": ("sni_absent", None, "unrecognized_name"),
    "R-SNIX": ("sni_mismatch", None, "unrecognized_name"), "R-SNIB": ("hello_malformed", None, "decode_error"),
    "R-HBIG": ("hello_too_big", None, "record_overflow"), "R-HTMO": ("hello_timeout", None, None),
    "R-ECH": ("ech_refused", None, "access_denied"),
}

# Refusals that come after the target stage: the attempt is allowed, the outcome says no.
LATER = {"R-DNS", "R-DNST", "R-ADDR", "R-SELF", "R-CONN", "R-CONNT", "R-NTLS", "R-SNI0", "R-SNIX", "R-SNIB", "R-HBIG",
         "R-HTMO", "R-ECH"}


@dataclasses.dataclass
class Row:
    """A spelling of a target, and what must come of it. `<port>` in it stands for the fixture's port."""
    id: str
    target: bytes
    expect: str
    canonical: str = ""     # of an allowed one
    host: bytes = None      # Host field where it is not the target's own bytes
    request: bytes = None   # a whole head in place of target and Host; for one door alone
    doors: tuple = ("connect", "absolute", "socks5")
    also: tuple = ()        # other codes that are as good for this spelling, with the reason in `why`
    why: str = ""


class Connect:
    """CONNECT host:port."""
    name = "connect"

    @staticmethod
    def render(row, fill):
        if row.request is not None:
            return fill(row.request)
        target = fill(row.target)
        host = target if row.host is None else fill(row.host)
        return b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


DOORS = [Connect()]


class Site:
    """One running program with the environment of the fixture and another one, their origins, and the counters that the
    oracles compare. One worker carries both: what holds one of them up holds up the other."""

    def __init__(self, lab, policy, dns, port, origins=(), traps=(), proxy_options=None):
        self.lab, self.policy, self.dns, self.port = lab, policy, dns, port
        self.origins, self.traps = list(origins), list(traps)
        self.options = proxy_options or {}
        self.proxy = None
        self.base = None
        self.neighbour = None

    def ready(self):
        """The running program; a new one when a row before has ended it, so that one crash is one failure."""
        if self.proxy is None or not self.proxy.alive():
            self.neighbour = Neighbour(self.lab, self.dns, self.policy.tree["egress"]["limits"])
            first, second = self.policy.tree["name"], Neighbour.NAME
            self.proxy = Gateway(self.lab, [self.policy, self.neighbour.policy],
                                 [{"listen": "127.0.0.1:0", "environment": name} for name in (first, second)],
                                 {"dns": [self.dns.endpoint], "workers": 1}, **self.options)
            self.neighbour.open(self.proxy, self.proxy.endpoints[1])
            with self.proxy.client() as warm:
                warm.connect("control.denied.test", 443).expect(status=403)
            self.proxy.clients.clear()
            self.base = None
        return self

    def fill(self, data):
        return data.replace(b"<port>", str(self.port).encode())

    def oracles(self):
        return Oracles(self.proxy, self.dns, self.origins, self.traps, self.neighbour)

    def client(self, **options):
        self.proxy.clients[:] = self.proxy.clients[-4:]
        return self.proxy.client(**options)

    def finish(self):
        """What must hold at the end of a table: no question for a name that was never allowed, a proven log."""
        for q in self.dns.asked():
            assert q.type in (1, 28), f"U1: type {q.type} asked for {q.name}"
        if self.proxy is not None and self.proxy.alive():
            self.neighbour.close()
            assert self.proxy.stop() == 0, "the program did not end well: " + self.proxy.text()[-2000:]
            assert self.proxy.audit.verifies()
            self.neighbour.recorded(self.proxy.audit.records())

    def report(self):
        return f"{self.proxy.report()}\n-- dns\n{self.dns.report()}" if self.proxy else "not started"


def try_row(site, door, row):
    """Sends the row by this door and asserts everything that must hold after it."""
    with site.oracles() as oracles:
        client = site.client()
        client.send(door.render(row, site.fill))
        if row.expect == "404":
            client.expect(status=404)
            client.read_to_end()
            oracles.no_dns()
            oracles.no_connection()
            assert not site.proxy.audit.attempts(**client.who), "an origin-form path is no attempt"
        elif row.expect == "ALLOW":
            expect_allowed(site, oracles, client, row.canonical)
        else:
            expect_refused(site, oracles, client, row)
        client.close()
        oracles.returned()
        oracles.alive()


def expect_refused(site, oracles, client, row):
    codes = {row.expect, *row.also}
    reply = client.read_reply()
    known = {REASONS[c][0]: c for c in codes}
    assert reply.reason in known, f"expected {row.expect}, got {reply!r}"
    code = known[reply.reason]
    assert reply.status == REASONS[code][1], f"{code}: {reply!r}"
    if reply.status < 500:
        assert reply.json["retry"] is False
    assert client.read_to_end() == b"" and not client.was_reset, "the answer is followed by a clean end"
    assert len(reply.phrase) <= 120 and reply.phrase.isascii() and reply.phrase.isprintable()
    oracles.discreet(reply, asked=bytes(client.sent) + str(reply.json["host"]).encode())
    if code not in LATER:
        oracles.no_dns()
    if code not in ("R-CONN", "R-CONNT"):
        oracles.no_connection()
    record = oracles.records(client, REASONS[code][0], later=code in LATER)
    assert record["metadata"]["correlation_uid"].replace("-", "") == reply.json["request_id"]
    if code == "R-TGT":
        assert "raw_target" in record["unmapped"], "the attempt says what was asked for"


def expect_allowed(site, oracles, client, canonical, hello=None, origins=None):
    """200, the hello arrives unchanged, both records are there."""
    client.expect(status=200)
    assert "content-length" not in client.reply.headers and "transfer-encoding" not in client.reply.headers
    origins = site.origins if origins is None else origins
    before = sum(o.connections for o in origins)
    hello = Hello(sni=canonical).raw if hello is None else hello
    client.send(hello)

    def arrived():
        return [c for o in origins for c in o.conns[-3:] if bytes(c.data) == hello]
    wait_for(arrived, 5, lambda: f"the hello at an origin; connections before {before}, client {client.report()}")
    oracles.only_asked(canonical)
    oracles.nothing_trapped()
    client.close()
    attempt = site.proxy.audit.attempt(**client.who, verdict="allow")
    assert attempt["dst_endpoint"]["hostname"] == canonical
    outcome = site.proxy.audit.outcome(**client.who)
    assert outcome["traffic"]["bytes_out"] == len(hello)
    return arrived()[0]


def ids(rows):
    names = [row.id for row in rows]
    doubles = {n for n in names if names.count(n) > 1}
    assert not doubles, f"ids stand twice: {doubles}"
    return names


__all__ = ["Client", "Connect", "DOORS", "LATER", "REASONS", "Row", "Site", "expect_allowed", "expect_refused", "ids",
           "try_row"]
