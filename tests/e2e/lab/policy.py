# SPDX-License-Identifier: Apache-2.0
"""Policy: the product's own YAML, written from plain Python values."""
import dataclasses
import re

PLAIN = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclasses.dataclass
class At:
    """An egress.hosts entry that lets a name reach one address and port."""
    host: str
    address: str
    port: int
    keys: dict = dataclasses.field(default_factory=dict)

    def entry(self):
        bits = 128 if ":" in self.address else 32
        return {"host": self.host, "addresses": [f"{self.address}/{bits}"], "ports": [self.port], **self.keys}


def scalar(value):
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if PLAIN.match(value) and value.lower() not in RESERVED:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lines(value, indent=0):
    pad = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                yield f"{pad}{scalar(key)}:"
                yield from lines(item, indent + 2)
            else:
                yield f"{pad}{scalar(key)}: {inline(item)}"
    else:
        for item in value:
            if isinstance(item, (dict, list)) and item:
                first, *rest = list(lines(item, indent + 2))
                yield f"{pad}- {first.strip()}"
                yield from rest
            else:
                yield f"{pad}- {inline(item)}"


def inline(item):
    if item == {}:
        return "{}"
    if item == []:
        return "[]"
    return scalar(item)


def yaml(value):
    return "\n".join(lines(value)) + "\n"


class Policy:
    """One environment. Keys of `egress` that the keywords do not know are given in `egress`."""

    def __init__(self, allowed_hosts=(), hosts=(), name="env-a", kind="limited", limits=None, ports=None, tls=None,
                 egress=None, networking=None):
        self.ats = [h for h in hosts if isinstance(h, At)]
        net = {"type": kind}
        if kind == "limited":
            net["allowed_hosts"] = list(allowed_hosts)
        net.update(networking or {})
        block = {}
        entries = [h.entry() if isinstance(h, At) else h for h in hosts]
        for key, item in (("hosts", entries), ("ports", ports), ("tls", tls), ("limits", limits)):
            if item:
                block[key] = item
        block.update(egress or {})
        self.tree = {"name": name, "config": {"type": "self_hosted", "networking": net}}
        if block:
            self.tree["egress"] = block

    def text(self):
        return yaml(self.tree)
