# SPDX-License-Identifier: Apache-2.0
"""The published table, read. Nothing here knows this program: another implementation can start from this file."""
import dataclasses
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "cases.tsv"
POLICIES = HERE / "policies"
COLUMNS = ["id", "policy", "via", "request", "addresses", "hello", "verdict", "reason", "rule"]


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    policy: str
    via: str
    request: str
    addresses: str
    hello: str
    verdict: str
    reason: str
    rule: str

    @property
    def door(self):
        return self.via.partition(":")[0]

    @property
    def method(self):
        return self.via.partition(":")[2] or ("GET" if self.door in ("http", "plain") else "CONNECT")

    @property
    def file(self):
        return POLICIES / f"{self.policy}.yaml"

    @property
    def egress_file(self):
        """The egress block that stands beside the policy's file, or None."""
        path = POLICIES / f"{self.policy}.egress.yaml"
        return path if path.exists() else None

    @property
    def host(self):
        """As written, without brackets."""
        return self.request.rpartition(":")[0].strip("[]")

    @property
    def port(self):
        return int(self.request.rpartition(":")[2])

    @property
    def is_literal(self):
        return self.request.startswith("[") or self.host.replace(".", "").isdigit()

    @property
    def answers(self):
        """What the resolver gives."""
        words = [] if self.addresses == "-" else self.addresses.split(",")
        return [w for w in words if not w.startswith("own=")]

    @property
    def own(self):
        """Where the proxy itself listens."""
        return [w[4:] for w in self.addresses.split(",") if w.startswith("own=")]

    @property
    def expected(self):
        return self.verdict, self.reason, self.rule


def read(path=TABLE):
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        assert len(fields) == len(COLUMNS), f"line {number} has {len(fields)} columns"
        if fields != COLUMNS:
            rows.append(Case(*fields))
    names = [row.id for row in rows]
    assert len(set(names)) == len(names), "ids stand twice"
    return rows
