# SPDX-License-Identifier: Apache-2.0
"""One allocation fails: the first, the second, and so on, while the program starts, serves and loads. It answers that it
cannot, or ends and says why; it never crashes, and what it said was recorded stays recorded."""
import os
import signal

import pytest

from fault import FOREVER
from lab import StartFailed, wait_for
from lab.origin import after_hello, echo
from lab.proxy import wait_descriptors

LONG = bool(os.environ.get("SALLYPORT_LONG"))
EAGER = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192}
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGSYS}


def says_why(code, text):
    """An end that somebody chose: a status and a line, or an assertion with its place."""
    assert code not in CRASHES, f"ended with {code}:\n{text}"
    assert text.strip(), f"ended with {code} and said nothing"
    if code == -signal.SIGABRT:
        assert "assertion failed" in text, text
    else:
        assert code > 0, f"ended with {code}:\n{text}"


def spread(total, count):
    return range(total) if LONG or total <= count else sorted({round(i * total / count) for i in range(count)})


def test_start(lab, fault):
    """Every allocation of a start, in a sample of them here and all in the long run."""
    policy = lab.policy(allowed_hosts=["a.test", "*.b.test"])
    first = lab.proxy(policy, wrapper=fault.wrapper, args=["--workers", "1"])
    total = fault.calls("malloc")
    assert first.stop() == 0 and total > 100
    started = 0
    for skip in spread(total, 50):
        fault.set("malloc", error=12, skip=skip)
        one = lab.proxy(policy, wrapper=fault.wrapper, args=["--workers", "1"], start=False,
                        audit_dir=first.audit_dir, signer_dir=first.signer_dir)
        try:
            one.start()
        except StartFailed as end:
            says_why(end.code, end.text)
        else:
            started += 1
            fault.clear()
            one.connect("denied.test", 443).expect(status=403)
            assert one.stop() == 0, one.text()
        finally:
            fault.clear()
    assert started < total
    last = lab.proxy(policy, audit_dir=first.audit_dir, signer_dir=first.signer_dir)
    assert last.stop() == 0
    assert last.audit.verifies()


@pytest.mark.parametrize("times", [1, 3])
def test_serving(lab, fault, times):
    """From accept to the end of a tunnel: an answer or a close, and the next one is served."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("*.k.test", origin.address, ttl=0)
    proxy = lab.proxy(hosts=[origin.at("*.k.test")], limits=EAGER, wrapper=fault.wrapper, args=["--workers", "1"])
    proxy.tunnel("warm.k.test", origin.port).send(b"x").expect(data=b"x").close()
    wait_for(lambda: proxy.audit.outcomes(), what="the warm-up is over")
    base, failed = proxy.descriptors(), 0
    for skip in range(40 if LONG else 16):
        fault.set("malloc", error=12, skip=skip, times=times)
        before = fault.failed("malloc")
        with proxy.connect(f"m{skip}.k.test", origin.port) as client:
            try:
                status = client.read_reply(8).status
                if status == 200:
                    client.hello(sni=f"m{skip}.k.test").send(b"x").expect(data=b"x")
            except (AssertionError, OSError):
                status = 0
        fault.clear()
        failed += fault.failed("malloc") > before
        assert proxy.alive(), proxy.text()
        assert status in (0, 200, 502, 503, 504), status
        proxy.tunnel(f"next{skip}.k.test", origin.port).send(b"y").expect(data=b"y").close()
    assert failed >= 1
    wait_descriptors(proxy, base)
    assert proxy.stop() == 0
    attempts = {r["metadata"]["correlation_uid"] for r in proxy.audit.attempts(verdict="allow")}
    assert attempts == {r["metadata"]["correlation_uid"] for r in proxy.audit.outcomes()}
    assert proxy.audit.verifies()


def test_reload(lab, fault):
    """Refused with the old policy in force, or in force: nothing between. Where main cannot go on, it ends and says so."""
    policies = [lab.policy(allowed_hosts=[f"{c}.test"]) for c in "ab"]
    proxy = lab.proxy(policies[0], wrapper=fault.wrapper, args=["--workers", "1"])
    loads = lambda: len(proxy.audit.events("policy_loaded")) + len(proxy.audit.events("policy_refused"))  # noqa: E731
    ended = 0
    for i in range(120 if LONG else 24):
        seen = loads()
        fault.set("malloc", error=12, skip=i * 7)
        proxy.write_policy(policies[(i + 1) % 2])
        proxy.hup()
        wait_for(lambda: loads() > seen or not proxy.alive(), 10, "the load is over")
        fault.clear()
        if not proxy.alive():
            ended += 1
            says_why(proxy.wait(5), proxy.text())
            proxy.start()
            continue
        proxy.connect("denied.test", 443).expect(status=403)
    assert ended <= 6
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_no_memory_for_a_while(lab, fault):
    """Nothing can be had for some attempts: all are refused or closed, and afterwards all is well."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits=EAGER, wrapper=fault.wrapper, args=["--workers", "1"])
    kept = proxy.tunnel("a.test", origin.port).send(b"1").expect(data=b"1")
    fault.set("malloc", error=12, times=FOREVER)
    for i in range(8):
        with proxy.connect("a.test", origin.port) as client:
            try:
                assert client.read_reply(5).status in (502, 503, 504)
            except (AssertionError, OSError):
                assert proxy.alive(), proxy.text()
    kept.send(b"2").expect(data=b"2")
    fault.clear()
    wait_for(lambda: proxy.connect("a.test", origin.port).read_reply().status == 200, 5, "it works again")
    kept.close()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()
