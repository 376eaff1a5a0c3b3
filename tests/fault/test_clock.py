# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set while the program runs, and while it does not."""
from lab import wait_for

HOUR = 3600


def ask(proxy, name):
    """An attempt, and the heartbeat of the commit behind it that looks at the clock."""
    proxy.connect(f"{name}.test", 443).expect(status=403).close()
    return proxy.audit.attempt(host=f"{name}.test")


def steps(proxy):
    return [e["unmapped"] for e in proxy.audit.events("clock_step")]


def test_back_forward_and_across_a_restart(lab, fault):
    """Audit test 16: an hour back, a day forward, and two hours back while it is stopped. Each step is an entry, the
    order of the log is that of its indices, nothing is lost, and verify proves it and says that the clock was set."""
    proxy = lab.proxy(allowed_hosts=["a.test"], wrapper=fault.wrapper)
    before = ask(proxy, "before")
    fault.set_clock(-HOUR)
    back = ask(proxy, "back")
    wait_for(lambda: len(steps(proxy)) == 1, what="the step back")
    fault.set_clock(23 * HOUR)
    forward = ask(proxy, "forward")
    wait_for(lambda: len(steps(proxy)) == 2, what="the step forward")
    ask(proxy, "later")
    assert proxy.stop() == 0
    fault.set_clock(21 * HOUR)
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir,
                      wrapper=fault.wrapper)
    last = ask(again, "last")
    wait_for(lambda: len(steps(again)) == 3, what="the step across the restart")
    assert again.stop() == 0
    found = [(round(s["step_ms"] / 1000), s["back"]) for s in steps(again)]
    assert [b for _, b in found] == [1, 0, 1]
    assert all(abs(have - want) <= 30 for (have, _), want in zip(found, (HOUR, 24 * HOUR, 2 * HOUR)))
    # The clock says one thing, the indices and the monotonic clock another.
    order = [before, back, forward, last]
    indices = [r["metadata"]["sequence"] for r in order]
    mono = [r["unmapped"]["mono_ns"] for r in order]
    assert indices == sorted(indices) and mono == sorted(mono)
    assert before["time"] - back["time"] > 3500_000 and forward["time"] - before["time"] > 22 * 3600_000
    assert forward["time"] - last["time"] > 7100_000
    records = again.audit.records()
    assert [r["metadata"]["sequence"] for r in records] == list(range(len(records)))
    assert again.audit.verifies()
    text = again.audit.verify().stdout.decode()
    assert "the clock was set 3 times" in text
    assert len(again.audit.attempts()) == 5
