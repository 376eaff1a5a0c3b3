# SPDX-License-Identifier: Apache-2.0
"""What a session has used up stays used up: over a restart to the byte, over a crash but for the last second."""
import pytest

from lab import wait_for
from lab.hello import Hello
from lab.origin import after_hello, echo
from test_sessions import Sessions

CEILING = 64 << 10
HELLO = len(Hello(sni="a.test").raw)


@pytest.fixture
def world(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"bytes_up": "64KiB", "denials_per_minute": 2,
                                                           "quarantine": "1h"})
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return origin, proxy, Sessions(proxy)


def saved(proxy, key):
    """What the session's file says."""
    text = (proxy.folder / "audit.sessions" / "s-1").read_text()
    return int(dict(line.split("=", 1) for line in text.splitlines())[key])


def spend(world, path, count):
    origin, _, sessions = world
    sessions.tunnel(path, "a.test", origin.port).send(b"x" * count).expect(data=b"x" * count)


def spend_the_rest(world, path, left):
    """Exactly what is left passes, and not a byte more."""
    origin, proxy, sessions = world
    rest = left - HELLO
    tunnel = sessions.tunnel(path, "a.test", origin.port).send(b"y" * rest).expect(data=b"y" * rest)
    assert tunnel.still_open()
    tunnel.send(b"z").read_to_end()
    sessions.client(path).connect("a.test", origin.port).expect(status=413, reason="bytes_ceiling", closed=True)
    assert sessions.good("show", "--session", "s-1")["used_up"] == CEILING


def test_a_restart_gives_nothing_back(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1")
    spend(world, path, 40000)
    assert proxy.stop() == 0
    assert saved(proxy, "used_up") == 40000 + HELLO and saved(proxy, "used_down") >= 40000
    proxy.start()
    spend_the_rest(world, path, CEILING - 40000 - HELLO)
    assert proxy.stop() == 0
    proxy.start()
    sessions.client(path).connect("a.test", origin.port).expect(status=413, reason="bytes_ceiling", closed=True)
    # Another session has its own.
    spend(world, sessions.open("s-2"), 40000)


def test_a_crash_gives_nothing_back_but_the_last_second(world):
    _, proxy, sessions = world
    path = sessions.open("s-1")
    spend(world, path, 40000)
    wait_for(lambda: saved(proxy, "used_up") == 40000 + HELLO, 10, "it is written while the tunnel is open")
    proxy.kill()
    proxy.start()
    spend_the_rest(world, path, CEILING - 40000 - HELLO)


def test_a_quarantine_outlives_the_program(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1")
    for _ in range(3):
        sessions.client(path).connect("denied.test", 443).expect(status=403)
    sessions.client(path).connect("a.test", origin.port).expect(status=429, reason="rate_exceeded")
    for end in (proxy.stop, proxy.kill):
        wait_for(lambda: saved(proxy, "quarantined_s") > 0, 10, "it is written")
        end()
        proxy.start()
        sessions.client(path).connect("a.test", origin.port).expect(status=429, reason="rate_exceeded")
        assert 3000 < int(sessions.client(path).connect("a.test", origin.port).read_reply().headers["retry-after"]) <= 3602
