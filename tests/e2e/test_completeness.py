# SPDX-License-Identifier: Apache-2.0
"""Was everything recorded: one environment's numbers, and the kernel's own count of what the program sent."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from lab import netns, wait_for
from lab.origin import after_hello, echo
from lab.proxy import NOBODY, unprivileged

needs_namespace = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a packet filter in a namespace")


def audit(proxy, verb, *args, expect=0):
    done = subprocess.run([proxy.binary, "audit", verb, str(proxy.audit_dir), *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, **unprivileged())
    assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def test_one_environment(lab):
    """Its numbers, attempts and outcomes; of another one nothing is said."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    for i in range(3):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    for i in range(4):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, what="all outcomes")
    assert proxy.stop() == 0
    ours = [r for r in proxy.audit.records() if r["metadata"].get("tenant_uid") == "env-a"]
    text = audit(proxy, "verify", "--env", "env-a")
    assert f"its numbers 1 to {len(ours)} are all here, without a gap" in text
    assert "environment env-a: 7 attempts, 4 of them denied in the end, 3 outcomes, 0 without one" in text
    assert "completeness of other environments" in text
    assert "no entry of it was read" in audit(proxy, "verify", "--env", "env", expect=5)
    report = json.loads(audit(proxy, "verify", "--env", "env-a", "--json"))
    assert report["environment"] == {"entries": len(ours), "first_seq": 1, "last_seq": len(ours), "attempts": 7,
                                     "denied": 4, "outcomes": 3, "open": 0}


def test_a_part_of_the_log(lab):
    """From a segment on: what lies before is not read, and that is said; a pinned head before it is not judged."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.connect("one.test", 443).expect(status=403).close()
    assert proxy.stop() == 0
    size = len(proxy.audit.records())
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    again.connect("two.test", 443).expect(status=403).close()
    assert again.stop() == 0
    # There is one segment: the part is the whole.
    assert "not proven: anything about the entries before" not in audit(again, "verify", "--since", size)
    assert json.loads(audit(again, "verify", "--since", size, "--json"))["begun"] == 0
    audit(again, "verify", "--since", "soon", expect=64)
    assert json.loads(audit(again, "verify", "--since", size, "--full", "--json"))["begun"] == 0


# ---- the kernel's count ----

class Wire:
    """Every SYN and DNS query that crosses the loopback of this namespace, with the time at which it did."""

    def __init__(self, dns_port):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.bind(("lo", 0))
        self.dns_port = dns_port
        self.syns = []
        self.queries = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.sock.settimeout(0.2)
        while not self.stop.is_set():
            try:
                packet, address = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_HOST:
                self._take(time.time_ns(), packet)

    def _take(self, now, packet):
        ip = packet[(packet[0] & 15) * 4:]
        if len(ip) < 14:
            return
        source, port = struct.unpack(">HH", ip[:4])
        if packet[9] == socket.IPPROTO_TCP and ip[13] & 0x17 == 2:
            self.syns.append((now, source, port))
        elif packet[9] == socket.IPPROTO_UDP and port == self.dns_port:
            self.queries.append((now, source))

    def close(self):
        self.stop.set()
        self.thread.join()
        self.sock.close()


@pytest.fixture
def counted():
    """Loads the rules that the program prints for its account; counts, and takes them away again."""
    assert shutil.which("nft") is not None, "nft is missing: tools/packages test installs it"
    assert netns.entered(), "these rules are for a namespace of our own"

    class Counted:
        def load(self, proxy_binary, dns_port):
            rules = subprocess.run([proxy_binary, "nft", "audit-counter", "--uid", str(NOBODY), "--dns-port",
                                    str(dns_port)], stdout=subprocess.PIPE, check=True, timeout=20).stdout
            subprocess.run(["nft", "-f", "-"], input=rules, check=True, timeout=20)

        def save(self, path):
            path.write_bytes(subprocess.run(["nft", "-j", "list", "counters", "table", "inet", "sallyport_audit"],
                                            stdout=subprocess.PIPE, check=True, timeout=20).stdout)
            os.chmod(path, 0o644)
            return path
    yield Counted()
    subprocess.run(["nft", "delete", "table", "inet", "sallyport_audit"], stderr=subprocess.DEVNULL, timeout=20)


@needs_namespace
def test_every_packet_has_its_record(lab, counted):
    """Audit test 20: each SYN and each DNS query comes after the attempt that it belongs to was committed; their
    number is that of the outcomes, that of the capture, and that of the kernel's counter."""
    origin = lab.origin(after_hello(echo))
    dns_port = lab.dns.port
    counted.load(lab.binary, dns_port)
    wire = Wire(dns_port)
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")])
    lab.dns.set("nobody.test")
    for name in ("a.test", "b.test", "a.test"):
        proxy.tunnel(name, origin.port).send(b"x").expect(data=b"x").close()
    for i in range(5):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 3, what="all outcomes")
    assert proxy.stop() == 0
    wire.close()
    outcomes = proxy.audit.outcomes()
    dials = sum(r["unmapped"]["dials"] for r in outcomes)
    queries = sum(r["unmapped"]["dns_sent"] for r in proxy.audit.lookups())
    assert dials == 3 and queries >= 2 and queries == sum(r["unmapped"]["dns_sent"] for r in outcomes)
    syns = [(at, port) for at, source, port in wire.syns if port == origin.port]
    assert len(syns) == dials and len(wire.queries) == queries
    allowed = sorted(r["time"] for r in proxy.audit.attempts(verdict="allow"))
    assert all(sealed * 1_000_000 <= at for sealed, (at, _) in zip(allowed, sorted(syns)))
    assert min(at for at, _ in wire.queries) >= allowed[0] * 1_000_000
    file = counted.save(lab.folder / "counted.json")
    text = audit(proxy, "verify", "--counter", file)
    assert f"connections: the outcomes hold {dials}, and the kernel counted as many" in text
    assert f"DNS queries: the lookup records hold {queries}, and the kernel counted as many" in text


@needs_namespace
def test_what_left_unrecorded_is_found(lab, counted):
    """The same account opens a connection past the program: the kernel counted one more than the log holds."""
    origin = lab.origin(after_hello(echo))
    counted.load(lab.binary, lab.dns.port)
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 1, what="the outcome")
    assert proxy.stop() == 0
    script = f"import socket; socket.create_connection(('{origin.address}', {origin.port}))"
    subprocess.run(["/usr/bin/python3", "-c", script], check=True, timeout=20, **unprivileged())
    file = counted.save(lab.folder / "counted.json")
    text = audit(proxy, "verify", "--counter", file, expect=5)
    assert "connections: the kernel counted 2, the outcomes hold 1: 1 left unrecorded" in text
    (lab.folder / "empty.json").write_text("{}")
    audit(proxy, "verify", "--counter", lab.folder / "empty.json", expect=1)
