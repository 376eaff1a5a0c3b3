# SPDX-License-Identifier: Apache-2.0
"""Many at once, and much at once."""
import hashlib
import os
import pathlib
import resource
import subprocess
import sys
import threading

import pytest

from lab import wait_for
from lab.origin import after_hello

CROWD = str(pathlib.Path(__file__).with_name("crowd.py"))
TUNNELS = 9000
BLOCK = 1 << 20
BLOCKS = 1024


class Crowd:
    def __init__(self, *args):
        self.process = subprocess.Popen([sys.executable, CROWD, *map(str, args)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def line(self):
        line = self.process.stdout.readline()
        assert line, f"the crowd ended with {self.process.wait(5)}"
        return line.strip()

    def count(self):
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return int(self.line().split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def limits(pid):
    for line in open(f"/proc/{pid}/limits"):
        if line.startswith("Max open files"):
            return int(line.split()[3])
    raise AssertionError("no limit")


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 20000, reason="needs 20,000 descriptors a process")
def test_nine_thousand_tunnels(lab):
    """All open at one time, two descriptors each and no third, and everything given back afterwards."""
    crowd = Crowd("origin", "127.0.0.99")
    lab.dns.set("many.test", "127.0.0.99")
    port = int(crowd.line())
    proxy = lab.proxy(hosts=[{"host": "many.test", "addresses": ["127.0.0.99/32"], "ports": [port]}], limits={
        "attempts_per_second": 1000000, "attempts_burst": 1000000})
    assert limits(proxy.pid) >= 20000
    with proxy.connect("many.test", port) as client:
        client.expect(status=200).hello(sni="many.test")
    wait_for(lambda: proxy.audit.outcomes(), what="the warm-up is over")
    base = proxy.descriptors()
    clients = Crowd("client", *proxy.endpoint, "many.test", port, TUNNELS, 256)
    try:
        opened = clients.line().split(None, 1)
        assert int(opened[0]) == TUNNELS, f"opened {opened}"
        wait_for(lambda: crowd.count() == TUNNELS, 20, lambda: f"{TUNNELS} hellos, have {crowd.count()}")
        held = proxy.descriptors() - base
        assert held == 2 * TUNNELS, f"{held} descriptors for {TUNNELS} tunnels"
        with proxy.connect("denied.test", 443) as control:
            control.expect(status=403, seconds=2)
    finally:
        clients.close()
    wait_for(lambda: proxy.descriptors() <= base, 20, lambda: f"{base} descriptors, have {proxy.descriptors()}")
    crowd.close()
    assert proxy.stop(30) == 0
    assert len(proxy.audit.outcomes(host="many.test", verdict="allow")) == TUNNELS + 1
    assert proxy.audit.verifies()


def block(seed, i):
    """One MiB that is different for each i, so that a lost, doubled or moved piece changes the digest."""
    return hashlib.sha256(b"%d %d" % (seed, i)).digest() * (BLOCK // 32)


def pour(send, seed):
    digest = hashlib.sha256()
    for i in range(BLOCKS):
        data = block(seed, i)
        digest.update(data)
        send(data)
    return digest.hexdigest()


def test_a_gibibyte_each_way(lab):
    """Both directions at once through one tunnel, unchanged, and the record counts every byte."""
    said = {}

    def talk(conn):
        sender = threading.Thread(target=lambda: said.update(down=pour(conn.send, 2)))
        sender.start()
        conn.drain()
        sender.join(120)
    origin = lab.origin(after_hello(talk))
    proxy = lab.proxy(hosts=[origin.at("big.test")])
    client = proxy.tunnel("big.test", origin.port)
    client.sock.settimeout(60)

    def upload():
        said["up"] = pour(client.sock.sendall, 1)
        client.half_close()
    sender = threading.Thread(target=upload)
    sender.start()
    digest, got = hashlib.sha256(), len(client.buffer)
    digest.update(bytes(client.buffer))
    while got < BLOCK * BLOCKS:
        data = client.sock.recv(1 << 20)
        assert data, f"ended after {got} bytes"
        digest.update(data)
        got += len(data)
    sender.join(120)
    conn = origin.conn()
    wait_for(lambda: conn.eof and "down" in said, 60, "the end of both ways")
    assert digest.hexdigest() == said["down"]
    assert conn.digest.hexdigest() == said["up"]
    client.close()
    outcome = proxy.audit.outcome(host="big.test", verdict="allow", seconds=10)
    hello = conn.received - BLOCK * BLOCKS
    assert outcome["traffic"]["bytes_in"] == BLOCK * BLOCKS
    assert outcome["traffic"]["bytes_out"] == BLOCK * BLOCKS + hello and hello > 100
    resident = int(next(line.split()[1] for line in open(f"/proc/{proxy.pid}/status") if line.startswith("VmHWM")))
    if not any(word in os.environ.get("SALLYPORT", "") for word in ("asan", "tsan")):
        assert resident < 300 << 10, f"{resident} KiB at the highest"
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
