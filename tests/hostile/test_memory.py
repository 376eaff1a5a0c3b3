# SPDX-License-Identifier: Apache-2.0
"""R-11: what a connection costs that does nothing: idle tunnels, half-read heads, half-read hellos. The ceilings here are
those of docs/threats.md; SALLYPORT_FIGURES names a directory for the page of the run."""
import json
import os
import pathlib

import pytest

import ocsf
from lab import Lab, wait_for
from lab.hello import Hello
from lab.origin import after_hello, echo

COUNT = 400
LIMITS = {"attempts_per_second": 1000000, "attempts_burst": 10000000, "head_timeout": "5m", "hello_timeout": "5m"}
CEILINGS = {"an idle tunnel": 4096, "a silent connection": 3072, "a half-read head": 16384, "a half-read hello": 16384}


def resident(pid):
    """Private memory of the process in bytes: what it would give back if it ended."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def kinds(proxy, origin):
    head = f"CONNECT a.test:{origin.port} HTTP/1.1\r\nHost: a.t".encode()
    hello = Hello(sni="a.test").raw[:60]
    return {
        "a silent connection": lambda: proxy.client(),
        "a half-read head": lambda: proxy.client().send(head),
        "a half-read hello": lambda: proxy.connect("a.test", origin.port).expect(status=200).send(hello),
        "an idle tunnel": lambda: proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x"),
    }


@pytest.mark.parametrize("kind", CEILINGS)
def test_what_a_connection_costs(binary, kind):
    lab = Lab(binary=binary, checker=ocsf.problems)
    try:
        origin = lab.origin(after_hello(echo))
        proxy = lab.proxy(hosts=[origin.at("a.test")], limits=LIMITS)
        make = kinds(proxy, origin)[kind]
        warm = [make() for _ in range(100)]  # what the process allocates once
        base = proxy.descriptors()
        before = resident(proxy.pid)
        held = [make() for _ in range(COUNT)]
        wait_for(lambda: proxy.descriptors() >= base + COUNT, 10, lambda: f"{proxy.descriptors()} descriptors")
        each = max(0, resident(proxy.pid) - before) // COUNT
        assert len(held) + len(warm) == COUNT + 100
        folder = os.environ.get("SALLYPORT_FIGURES")
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            with open(pathlib.Path(folder) / "memory.jsonl", "a") as out:
                out.write(json.dumps({"kind": kind, "bytes": each, "ceiling": CEILINGS[kind]}) + "\n")
        assert each <= CEILINGS[kind], f"{kind} takes {each} bytes"
    finally:
        lab.close()
