# SPDX-License-Identifier: Apache-2.0
"""What the stories of plain HTTP begin with: an origin, a proxy that lets a.test reach it, and the pairs of records."""
from .wait import wait_for
from .web import WebOrigin
from .webaudit import with_web_records


def web(lab, **options):
    return lab.add(WebOrigin(lab.address(), **options))


def start(lab, origin, host="a.test", **options):
    ports = {"connect": [443, origin.port], "http": [80, origin.port]}
    return with_web_records(lab.proxy(hosts=[origin.at(host)], ports=ports, **options))


def url(origin, path="/", host="a.test"):
    return f"http://{host}:{origin.port}{path}"


def pairs(proxy, count, seconds=5.0, **match):
    """That many attempts, each with its outcome; nothing else."""
    wait_for(lambda: len(proxy.audit.outcomes(**match)) == count, seconds,
             lambda: f"{count} outcomes {match}\n" + proxy.audit.report())
    attempts, outcomes = proxy.audit.attempts(**match), proxy.audit.outcomes(**match)
    assert len(attempts) == count
    flows = [r["metadata"]["correlation_uid"] for r in attempts]
    assert len(set(flows)) == count
    assert sorted(flows) == sorted(r["metadata"]["correlation_uid"] for r in outcomes)
    return attempts, outcomes


def ended(proxy):
    """Stopped as an operator does, and proven."""
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
