# SPDX-License-Identifier: Apache-2.0
"""Audit: the records of one audit directory, read by the page that describes its bytes, and proven with the program, which
must tell the same records."""
import hashlib
import json
import subprocess

from .segments import Odd, Segments
from .wait import wait_for

FLOW_CLASSES = (4001, 4002)
DNS_CLASS = 4003


def dig(record, *path):
    for key in path:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record


# The words that tests use for a record's fields.
FACTS = {
    "verdict": lambda r: {1: "allow", 2: "deny"}.get(r.get("action_id")),
    "reason": lambda r: r.get("status_code"),
    "severity": lambda r: r.get("severity_id"),
    "activity": lambda r: r.get("activity_id"),
    "class_uid": lambda r: r.get("class_uid"),
    "stage": lambda r: dig(r, "unmapped", "stage"),
    "raw_target": lambda r: dig(r, "unmapped", "raw_target"),
    "host": lambda r: dig(r, "dst_endpoint", "hostname") or dig(r, "query", "hostname"),
    "address": lambda r: dig(r, "dst_endpoint", "ip"),
    "port": lambda r: dig(r, "dst_endpoint", "port"),
    "peer": lambda r: dig(r, "src_endpoint", "ip"),
    "src_port": lambda r: dig(r, "src_endpoint", "port"),
    "flow": lambda r: dig(r, "metadata", "correlation_uid"),
    "sequence": lambda r: dig(r, "metadata", "sequence"),
    "environment": lambda r: dig(r, "metadata", "tenant_uid"),
    "rule": lambda r: dig(r, "firewall_rule", "uid"),
    "policy": lambda r: dig(r, "policy", "uid"),
    "generation": lambda r: dig(r, "policy", "version"),
    "sni": lambda r: dig(r, "tls", "sni"),
    "up": lambda r: dig(r, "traffic", "bytes_out"),
    "down": lambda r: dig(r, "traffic", "bytes_in"),
    "answers": lambda r: dig(r, "unmapped", "answers"),
    "dials": lambda r: dig(r, "unmapped", "dials"),
    "dns_sent": lambda r: dig(r, "unmapped", "dns_sent"),
    "count": lambda r: r.get("count"),
}


def facts(record):
    return {name: look(record) for name, look in FACTS.items()}


def row(record):
    f = facts(record)
    return " ".join(f"{k}={f[k]!r}" for k in ("sequence", "activity", "host", "port", "src_port", "stage", "verdict",
                                              "reason", "up", "down", "rule") if f[k] is not None)


class Audit:
    def __init__(self, binary, directory, checker=None, run_as=None):
        self.binary = binary
        self.directory = directory
        self.checker = checker
        self.run_as = run_as or {}
        self._segments = Segments(directory)
        self._bad = []
        self.skip(0)

    # ---- reading ----

    def records(self):
        """Every durable record so far. Only those not seen yet are read."""
        self._look()
        return list(self._records)

    def _look(self):
        for line in self._new():
            record = json.loads(line)
            if self.checker:
                self._bad += [f"{p}: {row(record)}" for p in self.checker(record)]
            self._records.append(record)
            self._digest.update(line + b"\n")
            if record.get("class_uid") in FLOW_CLASSES:
                self._add_to_flow(record, len(self._records) - 1)

    def _new(self):
        if self._segments:
            try:
                return self._segments.new(len(self._records))
            except Odd:
                # A test has damaged it, and what was written and not yet synced may have been written again elsewhere:
                # from now on what the program says of it is what counts, from the beginning.
                told = self._told(self._skipped)
                self._segments = None
                self.skip(self._skipped)
                return told
        return self._told(len(self._records))

    def _told(self, first):
        """The records from `first` on as the program tells them."""
        done = subprocess.run([self.binary, "audit", "tail", self.directory, "--json", "--from", str(first)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **self.run_as)
        assert done.returncode == 0, f"audit tail: exit {done.returncode}: {done.stderr.decode()}"
        return done.stdout.splitlines()

    def _add_to_flow(self, record, index):
        key = dig(record, "metadata", "correlation_uid") or dig(record, "metadata", "uid")
        if key not in self._flows:
            self._flows[key] = []
            who = FACTS["peer"](record), FACTS["src_port"](record)
            self._by_client.setdefault(who, []).append(key)
        self._flows[key].append(index)

    def skip(self, count):
        """Of a log that another program made: its first records are not looked at."""
        self._skipped = count
        self._records = [{}] * count
        self._digest = hashlib.sha256()
        self._flows = {}  # flow id: [indices]
        self._by_client = {}  # (peer, port): [flow ids]

    def follow(self):
        """Nothing is kept running: a look asks for what is new, which is cheap enough."""
        return self

    def close(self):
        pass

    def flows(self):
        """{flow id: [records in log order]} of the flow records; aggregated ones stand alone under their own uid."""
        self._look()
        return {key: [self._records[i] for i in flow] for key, flow in self._flows.items()}

    def _candidates(self, match):
        """The flows to look at, as lists of indices: with a client's address, only those that began from there."""
        self._look()
        if isinstance(match.get("peer"), str) and isinstance(match.get("src_port"), int):
            return [self._flows[key] for key in self._by_client.get((match["peer"], match["src_port"]), ())]
        return self._flows.values()

    def attempts(self, **match):
        return [self._records[flow[0]] for flow in self._candidates(match) if matches(self._records[flow[0]], match)]

    def outcomes(self, **match):
        return [self._records[i] for flow in self._candidates(match) for i in flow[1:]
                if dig(self._records[i], "metadata", "event_code") != "traffic" and matches(self._records[i], match)]

    def events(self, name=None, **match):
        self._look()
        out = []
        for record in self._records:
            if record.get("class_uid") in (*FLOW_CLASSES, DNS_CLASS):
                continue
            if (name is None or name in json.dumps(record)) and matches(record, match):
                out.append(record)
        return out

    def lookups(self, **match):
        """Questions that left for a name server; `host` is the name that was asked for."""
        self._look()
        return [record for record in self._records
                if record.get("class_uid") == DNS_CLASS and matches(record, match)]

    # ---- asserting ----

    def _one(self, kind, find, match, seconds):
        wait_for(lambda: find(**match), seconds, lambda: f"{kind} {match}; have\n" + self.report())
        found = find(**match)
        assert len(found) == 1, f"{len(found)} {kind}s match {match}:\n" + "\n".join(map(row, found))
        return found[0]

    def attempt(self, seconds=5.0, **match):
        """Exactly one attempt record with these facts; waits until it is there."""
        return self._one("attempt", self.attempts, match, seconds)

    def outcome(self, seconds=5.0, **match):
        return self._one("outcome", self.outcomes, match, seconds)

    def event(self, name, seconds=5.0, **match):
        return wait_for(lambda: self.events(name, **match), seconds,
                        lambda: f"event {name} {match}; have\n" + self.report())[-1]

    def verify(self, *options):
        return subprocess.run([self.binary, "audit", "verify", self.directory, *options], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, **self.run_as)

    def verifies(self):
        """The log is proven, every record is valid OCSF, and the program tells the records that were read here."""
        self.records()
        told = hashlib.sha256()
        for line in self._told(self._skipped)[:len(self._records) - self._skipped]:
            told.update(line + b"\n")
        assert told.digest() == self._digest.digest(), "audit tail tells other records than those in the segments"
        assert not self._bad, "records that are not valid OCSF 1.8.0:\n" + "\n".join(self._bad[:20])
        done = self.verify()
        assert done.returncode == 0, f"audit verify: exit {done.returncode}\n{done.stdout.decode()}"
        return True

    def left_problems(self):
        """Of every record that can still be read, whether the test has looked at it or not: a log that the test has
        damaged or removed is none that can be read."""
        try:
            self.records()
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError):
            return []
        return self._bad

    def report(self):
        try:
            records = self.records()
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            return f"no records: {error}"
        out = []
        for record in records[-40:]:
            out.append("  " + (row(record) if record.get("class_uid") in FLOW_CLASSES
                               else json.dumps(record)[:300]))
        return "\n".join(out)


def matches(record, match):
    unknown = set(match) - set(FACTS)
    assert not unknown, f"no such facts: {unknown}"
    have = {name: FACTS[name](record) for name in match}
    return all(have[k] in v if isinstance(v, (set, frozenset)) else have[k] == v for k, v in match.items())
