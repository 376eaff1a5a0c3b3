# SPDX-License-Identifier: Apache-2.0
"""What one session may do less than its environment, beyond hosts: limits, and the MCP endpoints of one agent."""

import pytest

from lab import wait_for
from lab.origin import after_hello, echo

from test_sessions import CLOSED_BY_SESSION, OPEN, Sessions

LIMITED = (503, "limit_reached")


@pytest.fixture
def world(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], egress={"limits": {"idle": "10m", "tunnels": 5}})
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return origin, proxy, Sessions(proxy)


# ---- limits ----

def test_a_limit_of_a_session_is_shown_recorded_and_kept(world):
    origin, proxy, sessions = world
    shown = sessions.good("open", "--environment", "env-a", "--session", "s-1", "--limit", "bytes_up=20MiB", "--limit",
                          "idle=90s", "--limit", "header_lines=7")
    said = "header_lines=7 idle=90s bytes_up=20MiB"
    assert shown["limits"] == said
    assert proxy.audit.event("session_opened")["unmapped"]["limits"] == said
    proxy.stop()
    proxy.start()
    assert sessions.good("show", "--session", "s-1")["limits"] == said
    shown = sessions.good("set", "--session", "s-1", "--limit", "idle=1m", "--limit", "bytes_up=none")
    assert shown["limits"] == "header_lines=7 idle=1m"
    assert proxy.audit.event("session_changed")["unmapped"]["limits"] == "header_lines=7 idle=1m"
    # Its own head is held to it, and nobody else's.
    lines = [(f"X-{i}", "y") for i in range(10)]
    for path, status in ((shown["socket"], 431), (sessions.open("s-2"), 200)):
        with sessions.client(path) as one:
            assert one.connect("a.test", origin.port, headers=lines).read_reply().status == status
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_tunnels_are_counted_for_the_session_and_for_the_environment(world):
    origin, proxy, sessions = world
    few, other = sessions.open("s-1", "--limit", "tunnels=2"), sessions.open("s-2")
    mine = [sessions.tunnel(few, "a.test", origin.port) for _ in range(2)]
    assert sessions.asks(few, "a.test", origin.port) == LIMITED
    theirs = [sessions.tunnel(other, "a.test", origin.port) for _ in range(3)]
    assert sessions.asks(other, "a.test", origin.port) == LIMITED
    theirs[0].close()
    wait_for(lambda: len(proxy.audit.outcomes(host="a.test")) >= 1, 5, proxy.audit.report)
    # A place of the environment is free again, and the session's own two are still taken.
    assert sessions.asks(few, "a.test", origin.port) == LIMITED
    assert sessions.asks(other, "a.test", origin.port) == OPEN
    mine[0].close()
    wait_for(lambda: sessions.asks(few, "a.test", origin.port) == OPEN, 5, lambda: "a place of the session is free")


def test_a_limit_that_would_widen_is_refused_by_name(world):
    origin, proxy, sessions = world
    sessions.open("s-1", "--limit", "idle=1m")
    for words, said in ((["idle=11m"], "idle=11m is more than the environment's 10m"),
                        (["tunnels=6"], "tunnels=6 is more than the environment's 5"),
                        (["head_bytes=128KiB"], "head_bytes=128KiB is more than the environment's 64KiB"),
                        (["idle=1m", "--limit", "lifetime=25h"], "lifetime=25h is more than the environment's 24h"),
                        (["attempts_per_second=1"], "attempts_per_second counts a whole environment together"),
                        (["idle=1"], "idle=1 is not a value from 1s to 168h, or none"),
                        (["idle=1ms"], "idle=1ms is not a value from 1s to 168h, or none"),
                        (["idle"], "'idle' is not key=value"), (["idler=1m"], "'idler=1m' is not key=value"),
                        (["drain=1m"], "'drain=1m' is not key=value"), (["=1m"], "'=1m' is not key=value")):
        assert said in sessions.bad("open", "--environment", "env-a", "--session", "s-2", "--limit", *words)
        assert said in sessions.bad("set", "--session", "s-1", "--limit", *words)
    assert sessions.good("show", "--session", "s-1")["limits"] == "idle=1m"
    assert [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"]


def test_a_reload_that_makes_the_environment_smaller_makes_its_sessions_smaller(lab):
    origin = lab.origin(after_hello(echo))

    def policy(lines):
        return lab.policy(hosts=[origin.at("a.test")], egress={"limits": {"header_lines": lines}})

    proxy = lab.proxy(policy(50))
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    sessions = Sessions(proxy)
    path = sessions.open("s-1", "--limit", "header_lines=20")

    def status(lines):
        with sessions.client(path) as one:
            return one.connect("a.test", origin.port, headers=[(f"X-{i}", "y") for i in range(lines)]).read_reply().status

    assert status(15) == 200 and status(21) == 431
    proxy.write_policy(policy(10))
    proxy.hup()
    wait_for(lambda: status(15) == 431, 5, lambda: "the smaller one holds")
    # What the session said before is not held against it when something else is changed.
    assert sessions.good("phase", "run", "--session", "s-1")["limits"] == "header_lines=20"
    proxy.write_policy(policy(50))
    proxy.hup()
    wait_for(lambda: status(15) == 200, 5, lambda: "the session's own holds again")
    assert status(21) == 431
