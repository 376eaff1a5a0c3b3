# SPDX-License-Identifier: Apache-2.0
"""The other environment of the same program, on the same worker: a tunnel and a kept-alive connection of plain HTTP that
were open before a case must go on behind it as if nothing had been (U6)."""
import time

from lab.origin import echo
from lab.web import WebOrigin
from lab.webclient import get, read_answer

SECONDS = 2.0
REST_SECONDS = 20.0  # a table that ran elsewhere that long may have let its connections end by being idle


class Neighbour:
    NAME = "env-b"

    def __init__(self, lab, dns, limits):
        self.echoes, self.web = lab.origin(behaviour=echo), lab.add(WebOrigin(lab.address()))
        self.policy = lab.policy(name=self.NAME, dns=dns, limits=limits,
                                 hosts=[self.echoes.at("other.test"), self.web.at("web.other.test")],
                                 ports={"connect": [443, self.echoes.port], "http": [80, self.web.port]})
        self.requests = self.tunnels = 0
        self.tunnel = self.kept = None

    def open(self, proxy, endpoint):
        """Its clients come in by a listener of their own."""
        self.close()
        self.proxy, self.endpoint = proxy, endpoint
        self.tunnel, self.kept = (proxy.client(endpoint=endpoint) for _ in range(2))
        for client in (self.tunnel, self.kept):
            proxy.clients.remove(client)
        self.tunnel.connect("other.test", self.echoes.port).expect(status=200)
        self.tunnel.hello(sni="other.test")
        self.tunnel.read_exactly(len(self.tunnel.sent) - self.tunnel.sent.index(b"\r\n\r\n") - 4, SECONDS)
        self.tunnels += 1
        self.checked = time.monotonic()
        self.unaffected()

    def unaffected(self):
        """U6: both answer, at once, on the connections that they have had all the time."""
        if time.monotonic() - self.checked > REST_SECONDS:
            self.open(self.proxy, self.endpoint)
            return
        self.requests += 1
        word = b"word %d" % self.requests
        self.tunnel.send(word)
        assert self.tunnel.read_exactly(len(word), SECONDS) == word, "U6: the other environment's tunnel"
        get(self.kept, f"http://web.other.test:{self.web.port}/{self.requests}")
        answer = read_answer(self.kept, seconds=SECONDS)
        assert answer is not None and answer.status == 200 and answer.body == b"GET /%d 0" % self.requests, \
            f"U6: the other environment's request: {answer!r}"
        self.checked = time.monotonic()

    def close(self):
        for client in (self.tunnel, self.kept):
            if client is not None:
                client.close()
        self.tunnel = self.kept = None

    def recorded(self, records):
        """U6, U3: each of its requests is on record as its own and allowed, and nobody else's is."""
        mine = [r for r in records if r["metadata"].get("tenant_uid") == self.NAME and "action_id" in r]
        attempts = [r for r in mine if r["metadata"]["event_code"] == "attempt"]
        assert all(r["action_id"] == 1 for r in mine), "U6: the other environment was refused something"
        hosts = [r["dst_endpoint"]["hostname"] for r in attempts]
        assert hosts.count("web.other.test") == self.requests and hosts.count("other.test") == self.tunnels
        assert len(hosts) == self.requests + self.tunnels
