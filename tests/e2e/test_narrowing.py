# SPDX-License-Identifier: Apache-2.0
"""What one session may do less than its environment, beyond hosts: limits, and the MCP endpoints of one agent."""

import hashlib
import json
import os
import time

import pytest

from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import StartFailed

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
    wait_for(lambda: sessions.asks(other, "a.test", origin.port) == OPEN, 5, lambda: "a place of the environment is free")
    # The session's own two are still taken.
    assert sessions.asks(few, "a.test", origin.port) == LIMITED
    mine[0].close()
    wait_for(lambda: sessions.asks(few, "a.test", origin.port) == OPEN, 5, lambda: "a place of the session is free")


def test_a_rate_of_its_own(world):
    origin, proxy, sessions = world
    few = sessions.open("s-1", "--limit", "attempts_per_second=1", "--limit", "attempts_burst=2")
    other = sessions.open("s-2")
    seen = [sessions.asks(few, "denied.test", 443)[0] for _ in range(3)]
    assert seen == [403] * 3  # the burst and one
    begin = time.monotonic()
    status = sessions.asks(few, "denied.test", 443)[0]
    if time.monotonic() - begin < 1.9:  # held for a second, then told
        assert status == 429
    assert [sessions.asks(other, "denied.test", 443)[0] for _ in range(6)] == [403] * 6
    assert sessions.good("set", "--session", "s-1", "--limit", "attempts_per_second=none", "--limit",
                         "attempts_burst=none")["limits"] == ""
    assert [sessions.asks(few, "denied.test", 443)[0] for _ in range(6)] == [403] * 6


def test_a_limit_that_would_widen_is_refused_by_name(world):
    origin, proxy, sessions = world
    sessions.open("s-1", "--limit", "idle=1m")
    for words, said in ((["idle=11m"], "idle=11m is more than the environment's 10m"),
                        (["tunnels=6"], "tunnels=6 is more than the environment's 5"),
                        (["head_bytes=128KiB"], "head_bytes=128KiB is more than the environment's 64KiB"),
                        (["idle=1m", "--limit", "lifetime=25h"], "lifetime=25h is more than the environment's 24h"),
                        (["distinct_names_per_minute=1"],
                         "distinct_names_per_minute counts a whole environment together"),
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


# ---- the endpoints of one agent ----

CODER = """---
name: coder
mcp_servers:
  - {type: url, name: own, url: "https://own.test:%(port)d/mcp"}
multiagent:
  type: coordinator
  agents:
    - {type: self}
    - checker
    - {type: agent, id: agent_77, version: 3}
    - beside.yaml
    - {type: agent, id: agent_none}
---
You code. https://prose.test/ opens nothing.
"""
SERVER = 'mcp_servers: [{type: url, name: m, url: "https://%s.test:%d/mcp"}]\n'


class Agents:
    """Definitions in a folder beside the policy: `coder` with a roster of two that the policy lists and one beside it."""

    def __init__(self, lab):
        self.origin = lab.origin(after_hello(echo))
        self.folder = lab.make_folder("agents")
        port = self.origin.port
        self.write("coder.md", CODER % {"port": port})
        self.write("checker.yaml", "name: checker\n" + SERVER % ("ledger", port))
        self.write("other.yaml", "id: agent_77\nname: other\n" + SERVER % ("other", port)
                   + "multiagent: {type: coordinator, agents: [stranger]}\n")
        self.write("stranger.yaml", "name: stranger\n" + SERVER % ("stranger", port))
        self.write("beside.yaml", "name: beside\n" + SERVER % ("beside", port))
        self.names = ("own", "ledger", "other", "stranger", "declared", "beside")
        files = [str(self.folder / name) for name in ("coder.md", "checker.yaml", "other.yaml", "stranger.yaml")]
        servers = [{"type": "url", "name": "d", "url": f"https://declared.test:{port}/"}]
        self.proxy = lab.proxy(allowed_hosts=["listed.test"], networking={"allow_mcp_servers": True},
                               egress={"agents": files, "mcp_servers": servers,
                                       "private_networks": []})
        self.proxy._own(self.proxy.folder / "audit.sessions", 0o700)
        self.sessions = Sessions(self.proxy)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        os.chmod(path, 0o644)
        return path

    def opened(self, path):
        """Which of the endpoints pass the target stage; nothing resolves here, so 502 is what an open one answers."""
        answers = {name: self.sessions.asks(path, f"{name}.test", self.origin.port) for name in self.names}
        assert all(a in ((502, "dns_failed"), CLOSED_BY_SESSION) for a in answers.values()), answers
        return {name for name, answer in answers.items() if answer != CLOSED_BY_SESSION}


@pytest.fixture
def agents(lab):
    return Agents(lab)


def test_an_agent_leaves_its_own_endpoints_and_its_rosters(agents):
    sessions, proxy = agents.sessions, agents.proxy
    every = {"own", "ledger", "other", "stranger", "declared"}
    assert agents.opened(sessions.open("s-0")) == every
    shown = sessions.good("open", "--environment", "env-a", "--session", "s-1", "--agent", f"{agents.folder}/coder.md")
    # `beside` is declared by the roster and not open in the environment: a session never widens.
    assert agents.opened(shown["socket"]) == {"own", "ledger", "other"}
    assert shown["agent"] == "coder" and shown["agent_file"] == f"{agents.folder}/coder.md"
    port = agents.origin.port
    assert shown["mcp_endpoints"].split(",") == [f"{n}.test:{port}" for n in ("own", "ledger", "other", "beside")]
    # The port is part of it, and hosts of other rules stay what they are.
    assert sessions.asks(shown["socket"], "own.test", 443)[0] == 403
    assert sessions.asks(shown["socket"], "listed.test", 443) == (502, "dns_failed")
    opened = proxy.audit.event("session_opened")["unmapped"]
    assert opened["agent"] == "coder" and opened["mcp_endpoints"] == shown["mcp_endpoints"]
    text = (agents.folder / "coder.md").read_bytes()
    assert opened["agent_sha256"] == hashlib.sha256(text).hexdigest()
    assert (proxy.audit_dir / "blobs" / opened["agent_sha256"]).read_bytes() == text
    refused = proxy.audit.attempts(host="declared.test", verdict="deny")[-1]
    assert refused["firewall_rule"]["uid"] == "session" and '"coder"' in json.dumps(refused)


def test_a_definition_is_read_when_it_is_named_and_never_by_itself(agents):
    """This one is the session's alone: the environment does not list it."""
    sessions, proxy = agents.sessions, agents.proxy
    mine = str(agents.write("mine.yaml", "name: x\n" + SERVER % ("ledger", agents.origin.port)))
    path = sessions.good("open", "--environment", "env-a", "--session", "s-1", "--agent", mine, "--agent-name",
                         "mine")["socket"]
    assert agents.opened(path) == {"ledger"}
    agents.write("mine.yaml", "name: x\n" + SERVER % ("declared", agents.origin.port))
    proxy.hup()
    assert agents.opened(path) == {"ledger"}
    proxy.stop()
    proxy.start()
    assert agents.opened(path) == {"ledger"}
    shown = sessions.good("set", "--session", "s-1", "--agent", mine)
    assert agents.opened(path) == {"declared"} and shown["agent"] == "mine"
    os.unlink(mine)
    proxy.stop()
    proxy.start()
    assert agents.opened(path) == {"declared"}
    assert sessions.good("phase", "run", "--session", "s-1")["mcp_endpoints"] == shown["mcp_endpoints"]
    assert agents.opened(path) == {"declared"}


def test_a_definition_that_is_not_trusted_is_refused(agents):
    sessions, folder = agents.sessions, agents.folder
    socket = sessions.open("s-1")
    good = "name: x\n" + SERVER % ("own", agents.origin.port)
    agents.write("open.yaml", good).chmod(0o666)
    agents.write("broken.yaml", "name: [\n")
    agents.write("bare.md", "no front matter\n")
    agents.write("url.yaml", 'mcp_servers: [{type: url, name: m, url: "ftp://own.test/"}]\n')
    (folder / "pipe.yaml").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.yaml")
    os.symlink(folder / "open.yaml", folder / "link.yaml")
    inside = agents.proxy.folder / "admin" / "sessions" / "s-1" / "mine.yaml"
    inside.write_text(good)
    os.chmod(inside, 0o644)
    os.symlink(inside, folder / "inside.yaml")
    agents.write("roster.yaml", "name: r\nmultiagent: {agents: [open.yaml]}\n")
    for name, said in (("open.yaml", "open.yaml"), ("broken.yaml", "broken.yaml:"), ("bare.md", "no front matter"),
                       ("url.yaml", "not usable"), ("pipe.yaml", "pipe.yaml"), ("link.yaml", "link.yaml"),
                       ("none.yaml", "none.yaml"), (inside, "below the directory of sessions"),
                       ("inside.yaml", "below the directory of sessions"), ("roster.yaml", "open.yaml")):
        why = sessions.bad("open", "--environment", "env-a", "--session", "s-2", "--agent", str(folder / name))
        assert why.startswith("agent: ") and said in why, (name, why)
        assert "agent: " in sessions.bad("set", "--session", "s-1", "--agent", str(folder / name))
    # Nor may the environment name what a sandbox can reach.
    policy = agents.proxy.policy_file.read_text()
    agents.proxy.write_policy(policy.replace(str(folder / "checker.yaml"), str(folder / "inside.yaml")))
    agents.proxy.hup()
    refused = agents.proxy.audit.event("policy_refused")
    assert "below the directory of sessions" in json.dumps(refused)
    agents.proxy.stop()
    with pytest.raises(StartFailed) as failed:
        agents.proxy.start()
    assert failed.value.code == 78 and "below the directory of sessions" in failed.value.text
    agents.proxy.write_policy(policy)
    agents.proxy.start()
    assert agents.opened(socket) == {"own", "ledger", "other", "stranger", "declared"}
    assert [s["session"] for s in sessions.good("list")["sessions"]] == ["s-1"]
