# SPDX-License-Identifier: Apache-2.0
"""deny-all: from one moment on nothing of an environment leaves, until somebody lifts it, a restart or not."""
import json
import os
import subprocess
import time

import pytest

from lab import wait_for
from lab.client import Client
from lab.gateway import Gateway
from lab.origin import after_hello, echo
from lab.proxy import StartFailed

from test_sessions import CLOSED_BY_SESSION, OPEN, Sessions


class World:
    """Two environments with a listener each, and a session in each."""

    def __init__(self, lab):
        self.lab = lab
        self.origin = lab.origin(after_hello(echo))
        at = [self.origin.at("a.test")]
        self.gateway = Gateway(lab, [lab.policy(name="env-a", hosts=at, egress={"environment_ids": ["env_01A"]}),
                                     lab.policy(name="env-b", hosts=at)],
                               listeners=[{"listen": "127.0.0.1:0", "environment": "env-a"},
                                          {"listen": "127.0.0.1:0", "environment": "env-b"}], start=False)
        self.gateway._own(self.gateway.folder / "audit.sessions", 0o700)
        self.gateway.start()
        self.sessions = Sessions(self.gateway)
        self.a, self.b = self.sessions.open("s-a"), self.sessions.open("s-b", environment="env-b")

    def answers(self):
        """Of both listeners and of both sessions."""
        ends = [*self.gateway.endpoints, self.a, self.b]
        return [self.sessions.asks(end, "a.test", self.origin.port) for end in ends]

    def tunnels(self):
        ends = [*self.gateway.endpoints, self.a, self.b]
        return [self.sessions.tunnel(end, "a.test", self.origin.port) for end in ends]


@pytest.fixture
def world(lab):
    return World(lab)


A_DENIED = [CLOSED_BY_SESSION, OPEN, CLOSED_BY_SESSION, OPEN]
ALL_OPEN, ALL_DENIED = [OPEN] * 4, [CLOSED_BY_SESSION] * 4


def test_one_environment_is_denied_and_lifted(world):
    gateway, sessions = world.gateway, world.sessions
    tunnels = world.tunnels()
    began = time.monotonic()
    assert sessions.good("deny-all", "--environment", "env_01A") == {"denied": {"environments": 1, "sessions": 1}}
    for tunnel in (tunnels[0], tunnels[2]):
        tunnel.read_to_end(2)
    assert time.monotonic() - began < 1
    assert tunnels[1].still_open() and tunnels[3].still_open()
    assert world.answers() == A_DENIED
    wait_for(lambda: len(gateway.audit.outcomes(reason="revoked")) == 2, 5, gateway.audit.report)
    record = gateway.audit.event("environment_denied")
    assert record["entity"]["uid"] == "env-a" and f"uid {os.geteuid() or 65534}" in record["unmapped"]["who"]
    assert sessions.good("show", "--session", "s-a")["deny_all"] is True
    assert sessions.good("show", "--session", "s-b")["deny_all"] is False
    # A session that is opened meanwhile is no way around it, nor is a change of another.
    late = sessions.open("s-late")
    assert sessions.asks(late, "a.test", world.origin.port) == CLOSED_BY_SESSION
    sessions.good("set", "--session", "s-a", "--allow-hosts", "a.test")
    assert world.answers() == A_DENIED
    assert sessions.good("lift", "--environment", "env-a") == {"lifted": {"environments": 1, "sessions": 2}}
    assert world.answers() == ALL_OPEN
    assert gateway.audit.event("environment_lifted")["entity"]["uid"] == "env-a"
    assert gateway.stop() == 0
    assert gateway.audit.verifies()


def test_it_survives_a_restart_and_a_reload(world):
    gateway, sessions = world.gateway, world.sessions
    sessions.good("deny-all", "--environment", "env-a")
    sessions.good("deny-all", "--environment", "env-c")
    for again in (lambda: (gateway.stop(), gateway.start()), lambda: (gateway.kill(), gateway.start()), gateway.hup):
        again()
        assert world.answers() == A_DENIED
    status = json.loads(subprocess.run([gateway.binary, "status", "--admin", f"unix:{gateway.folder}/admin/a.sock"],
                                       capture_output=True, timeout=20).stdout)
    assert [e.get("denied", False) for e in status["environments"]] == [True, False]
    # One that comes later and was denied before.
    gateway.add(world.lab.policy(name="env-c", hosts=[world.origin.at("a.test")]))
    gateway.write_config()
    gateway.hup()
    wait_for(lambda: sessions.run("open", "--environment", "env-c", "--session", "s-c").returncode == 0, 5,
             lambda: "env-c is there")
    path = sessions.good("show", "--session", "s-c")["socket"]
    assert sessions.asks(path, "a.test", world.origin.port) == CLOSED_BY_SESSION
    sessions.good("lift", "--environment", "env-c")
    assert sessions.asks(path, "a.test", world.origin.port) == OPEN
    gateway.stop()
    gateway.start()
    assert world.answers() == A_DENIED and sessions.asks(path, "a.test", world.origin.port) == OPEN


def test_all_environments_and_one_session(world):
    gateway, sessions = world.gateway, world.sessions
    assert sessions.good("deny-all") == {"denied": {"environments": 2, "sessions": 2}}
    assert world.answers() == ALL_DENIED
    # What was denied as a whole is not lifted in part.
    sessions.good("lift", "--environment", "env-a")
    assert world.answers() == ALL_DENIED
    assert sessions.good("lift")["lifted"]["environments"] == 2
    assert world.answers() == ALL_OPEN
    assert sessions.good("deny-all", "--session", "s-a")["deny_all"] is True
    assert world.answers() == [OPEN, OPEN, CLOSED_BY_SESSION, OPEN]
    sessions.good("lift")
    assert world.answers() == [OPEN, OPEN, CLOSED_BY_SESSION, OPEN]
    assert sessions.good("lift", "--session", "s-a")["deny_all"] is False
    assert world.answers() == ALL_OPEN
    assert "no open session" in sessions.bad("deny-all", "--session", "s-none")


def test_a_ban_that_cannot_be_read_is_not_forgotten(world):
    gateway, sessions = world.gateway, world.sessions
    sessions.good("deny-all", "--environment", "env-a")
    gateway.stop()
    path = gateway.folder / "audit.sessions" / ".deny-all"
    assert path.read_text() == "env-a\n"
    for text in ("env-a", "\n", "x" * 200 + "\n"):
        path.write_text(text)
        with pytest.raises(StartFailed) as failed:
            gateway.start()
        assert failed.value.code == 78 and "what is denied cannot be read" in failed.value.text
    path.write_text("env-b\n")
    gateway.start()
    assert world.answers() == [OPEN, CLOSED_BY_SESSION, OPEN, CLOSED_BY_SESSION]
