# SPDX-License-Identifier: Apache-2.0
"""Oracles: what must hold after every hostile case, whatever the case was (U1 to U8 of the rules for hostile tests)."""
import time

from .proxy import tells_nothing_inner, wait_descriptors
from .wait import wait_for

ASKED_TYPES = (1, 28)
CONTROL_SECONDS, CONTROL_TRIES = 0.1, 10
LINGER_SECONDS = 5.0  # a refused client is let go after two


class Oracles:
    """A context: notes the state before a case and asserts U1 to U7 after it; U6 where there is another environment in
    the program, the `neighbour`. U8 (the same verdict by every door) is asserted where there is a second door."""

    def __init__(self, proxy, dns, origins, traps=(), neighbour=None):
        self.proxy, self.dns, self.origins, self.traps = proxy, dns, list(origins), list(traps)
        self.neighbour = neighbour

    def held(self):
        """What the program holds for connections, as it says itself: sockets, and bytes of memory."""
        status = self.proxy.status()
        return status["descriptors"], status["memory"]

    def __enter__(self):
        self.before = self.held()
        self.queries = len(self.dns.queries)
        self.connections = [o.connections for o in self.origins]
        self.trapped = [t.connections for t in self.traps]
        self.received = [o.received for o in self.origins]
        return self

    def __exit__(self, kind, error, trace):
        if kind is None and self.neighbour is not None and self.proxy.alive():
            self.neighbour.unaffected()
        return False

    def new_queries(self):
        return self.dns.asked()[self.queries:]

    def no_dns(self):
        """U1 for a denied or malformed name."""
        assert not self.new_queries(), f"U1: the resolver was asked {[q.name for q in self.new_queries()]}"

    def only_asked(self, *names):
        """U1 otherwise: only these names, absolute, and only for addresses. What was asked for earlier cases may still
        be asked again while its channel drains."""
        earlier = {q.lower for q in self.dns.asked()[:self.queries]}
        for q in self.new_queries():
            assert q.lower in names or q.lower in earlier, f"U1: {q.name!r} was asked, allowed are {names}"
            assert q.type in ASKED_TYPES, f"U1: type {q.type} was asked"

    def no_connection(self):
        """U2 for a case that must not reach anything."""
        assert [o.connections for o in self.origins] == self.connections, "U2: an origin saw a connection"
        self.nothing_trapped()

    def no_client_byte(self):
        """U2 for a case refused after the dial: connected perhaps, but not one byte."""
        assert [o.received for o in self.origins] == self.received, "U2: an origin saw client bytes"
        self.nothing_trapped()

    def nothing_trapped(self):
        assert [t.connections for t in self.traps] == self.trapped, \
            f"U2: a connection to {[c.local for t in self.traps for c in t.conns[-1:]]}"

    def records(self, client, reason, stage=None, later=False, seconds=5.0):
        """U3: exactly one attempt for this client's connection, and an outcome when the target stage was passed."""
        audit = self.proxy.audit
        if not later:
            attempt = audit.attempt(**client.who, reason=reason, seconds=seconds)
            assert not audit.outcomes(**client.who), "U3: a refusal at the target stage has an outcome"
            final = attempt
        else:
            attempt = audit.attempt(**client.who, verdict="allow", seconds=seconds)
            final = audit.outcome(**client.who, seconds=seconds, reason=reason)
        assert attempt["metadata"]["tenant_uid"], "U3: the record names no environment"
        if stage:
            assert final["unmapped"]["stage"] == stage, f"U3: stage {final['unmapped']['stage']}, expected {stage}"
        assert len(audit.attempts(**client.who)) == 1, "U3: more than one attempt"
        return final

    def alive(self):
        """U4: the process lives and answers a fresh request that it must refuse within 100 ms. Slower, it is asked again:
        another program may have had the core."""
        assert self.proxy.alive(), f"U4: the process ended: {self.proxy.text()[-3000:]}"
        took = []
        while not took or (min(took) > CONTROL_SECONDS and len(took) < CONTROL_TRIES):
            begin = time.monotonic()
            with self.proxy.client(timeout=5) as control:
                control.connect("control.denied.test", 443).expect(status=403, reason="host_not_allowed", seconds=5)
            took.append(time.monotonic() - begin)
            self.proxy.clients.remove(control)
        assert min(took) <= CONTROL_SECONDS, f"U4: {len(took)} control requests took at least {min(took):.3f} s"

    def returned(self):
        """U5: what the case took is given back, once its client is gone."""
        def back():
            return all(now <= then for now, then in zip(self.held(), self.before))
        wait_for(back, LINGER_SECONDS, lambda: f"U5: sockets and bytes of {self.before}, have {self.held()}")

    def baseline(self, at_most):
        """U5: descriptors are back to what they were."""
        wait_descriptors(self.proxy, at_most)

    @staticmethod
    def discreet(reply, asked=b""):
        """U7."""
        tells_nothing_inner(reply, asked)
