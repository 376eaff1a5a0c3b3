# SPDX-License-Identifier: Apache-2.0
"""What a session did, said at its close: from the audit log, and so in the numbers of the records."""
import json

import pytest

from lab import wait_for
from lab.client import Client
from lab.origin import after_hello, echo

from test_sessions import CLOSED_BY_SESSION, Sessions


@pytest.fixture
def world(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test"), origin.at("b.test")], allowed_hosts=["gone.test"])
    proxy._own(proxy.folder / "audit.sessions", 0o700)
    return origin, proxy, Sessions(proxy)


def work(origin, proxy, sessions, path):
    """One tunnel that carries bytes, one refused hello, two refused hosts, one name that does not resolve."""
    tunnel = sessions.tunnel(path, "a.test", origin.port)
    tunnel.send(b"x" * 1000)
    tunnel.read_exactly(1000)
    tunnel.close()
    with Client(path) as one:
        one.connect("a.test", origin.port).expect(status=200).hello(sni="b.test").expect(alert="unrecognized_name")
    for _ in range(2):
        assert sessions.asks(path, "denied.test", 443) == CLOSED_BY_SESSION
    assert sessions.asks(path, "gone.test", 443) == (502, "dns_failed")
    wait_for(lambda: len(proxy.audit.outcomes()) % 3 == 0, 5, proxy.audit.report)


def test_a_close_says_what_the_session_did(world):
    origin, proxy, sessions = world
    work(origin, proxy, sessions, sessions.open("s-0"))
    before = len(proxy.audit.records())
    path = sessions.open("s-1", "--label", "pr=[17](x)|`y`")
    work(origin, proxy, sessions, path)
    assert sessions.asks(path, "new.test", 443) == CLOSED_BY_SESSION
    mine = [r for r in proxy.audit.outcomes(host="a.test", reason="allowed") if r["src_endpoint"]["uid"] == "s-1"]
    up, down = (mine[0]["traffic"][k] for k in ("bytes_out", "bytes_in"))
    assert up >= 1000 and down >= 1000
    shown = sessions.good("show", "--session", "s-1", "--summary")
    closed = sessions.good("close", "--session", "s-1")
    summary = closed["summary"]
    assert {k: summary[k] for k in ("attempts", "allowed", "refused", "failed", "open", "bytes_up", "bytes_down",
                                    "whole", "hosts_left_out", "refusals_left_out")} == {
        "attempts": 6, "allowed": 3, "refused": 4, "failed": 1, "open": 0, "bytes_up": up, "bytes_down": down,
        "whole": True, "hosts_left_out": 0, "refusals_left_out": 0}
    hosts = {h["host"]: h for h in summary["hosts"]}
    assert hosts["a.test"] == {"host": "a.test", "attempts": 2, "refused": 1, "failed": 0, "bytes_up": up,
                               "bytes_down": down, "new": False}
    assert {h: (v["attempts"], v["refused"], v["failed"], v["new"]) for h, v in hosts.items()} == {
        "a.test": (2, 1, 0, False), "denied.test": (2, 2, 0, False), "gone.test": (1, 0, 1, False),
        "new.test": (1, 1, 0, True)}
    assert [(r["host"], r["reason"], r["count"]) for r in summary["refusals"]] == [
        ("denied.test", "host_not_allowed", 2), ("a.test", "sni_mismatch", 1), ("new.test", "host_not_allowed", 1)]
    flow = proxy.audit.attempt(host="new.test")["metadata"]["correlation_uid"]
    assert summary["refusals"][2]["last_request"] == flow
    assert summary["compared"] == {"from_index": 0, "to_index": summary["from_index"], "whole": True}
    assert summary["from_index"] <= before
    assert {k: v for k, v in shown["summary"].items() if k != "to_index"} == {
        k: v for k, v in summary.items() if k != "to_index"}


def test_text_and_markdown(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1", "--label", "pr=[17](x)|`y`")
    work(origin, proxy, sessions, path)
    page = sessions.run("show", "--session", "s-1", "--markdown")
    assert page.returncode == 0, page.stderr
    assert page.stdout.startswith("### Egress of session s-1 (env-a)\n\n5 attempts, 3 refused, 1 failed, ")
    assert "| denied.test | 2 | host\\_not\\_allowed | `" in page.stdout
    assert "| a.test | 2 | 1 | " in page.stdout and " | new |\n" in page.stdout
    assert "Labels: pr=\\[17\\]\\(x\\)\\|\\`y\\`." in page.stdout
    text = sessions.run("close", "--session", "s-1")
    assert text.returncode == 0, text.stderr
    assert text.stdout.startswith("session s-1 of env-a\n  attempts 5, refused 3, failed 1, open 0; ")
    assert "refused     2 × denied.test: host_not_allowed (request " in text.stdout


def test_close_now_waits_for_what_it_cut(world):
    origin, proxy, sessions = world
    path = sessions.open("s-1")
    tunnels = [sessions.tunnel(path, "a.test", origin.port) for _ in range(5)]
    for tunnel in tunnels:
        tunnel.send(b"y" * 500)
    open_now = sessions.good("show", "--session", "s-1", "--summary")["summary"]
    assert open_now["open"] == 5 and open_now["attempts"] == 5
    summary = sessions.good("close", "--session", "s-1", "--now")["summary"]
    assert summary["open"] == 0 and summary["whole"] is True
    ended = proxy.audit.outcomes(reason="session_closed")
    assert len(ended) == 5
    assert summary["bytes_up"] == sum(r["traffic"]["bytes_out"] for r in ended) >= 2500


def test_a_session_of_the_same_name_has_its_own_numbers(world):
    origin, proxy, sessions = world
    work(origin, proxy, sessions, sessions.open("s-1"))
    assert sessions.good("close", "--session", "s-1")["summary"]["attempts"] == 5
    proxy.stop()
    proxy.start()
    path = sessions.open("s-1")
    proxy.stop()
    proxy.start()
    assert sessions.asks(path, "denied.test", 443) == CLOSED_BY_SESSION
    summary = sessions.good("close", "--session", "s-1")["summary"]
    assert summary["attempts"] == 1 and [h["new"] for h in summary["hosts"]] == [False]


def test_a_log_that_cannot_be_read(world):
    """The close counts; that nothing can be said of it is said."""
    origin, proxy, sessions = world
    sessions.open("s-1")
    segments = proxy.audit_dir / "segments"
    segments.rename(proxy.audit_dir / "elsewhere")
    try:
        shown = sessions.run("show", "--session", "s-1", "--summary")
        assert shown.returncode == 1 and "no summary" in shown.stderr and shown.stdout == ""
        closed = sessions.run("close", "--session", "s-1", "--json")
        assert closed.returncode == 0 and "no summary" in closed.stderr
        assert json.loads(closed.stdout)["session"] == "s-1"
    finally:
        (proxy.audit_dir / "elsewhere").rename(segments)
    assert sessions.good("list") == {"sessions": []}
