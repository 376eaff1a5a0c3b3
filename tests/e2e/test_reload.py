# SPDX-License-Identifier: Apache-2.0
"""Reload, drain and end."""
import signal
import time

import pytest

from lab import StartFailed, wait_for
from lab.origin import after_hello, echo
from lab.wait import never


def test_hup_with_a_good_policy(lab):
    """The new one judges the next attempt; records carry its generation and id."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(allowed_hosts=["old.test"])
    proxy.connect("a.test", origin.port).expect(status=403)
    first = proxy.audit.attempt(host="a.test", verdict="deny")
    proxy.write_policy(lab.policy(hosts=[origin.at("a.test")]))
    proxy.hup()
    client = wait_for(lambda: (c := proxy.connect("a.test", origin.port)).read_reply().status == 200 and c, 10,
                      "the new policy")
    client.hello(sni="a.test").send(b"x").expect(data=b"x")
    second = proxy.audit.attempt(**client.who, verdict="allow")
    assert second["policy"]["uid"] != first["policy"]["uid"]
    assert int(second["policy"]["version"]) > int(first["policy"]["version"])
    assert len(proxy.audit.events("policy_loaded")) == 2
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


@pytest.mark.parametrize("text", ["", "name: x\nconfig: {type: cloud}\n", "allowed_hosts: [a]\n", "\tx: [\n",
                                  "name: x\nconfig:\n  networking: {type: limited, allowed_hosts: null}\n"])
def test_hup_with_a_bad_policy(lab, text):
    """The previous one stays, and the refusal is on record with its place."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    tunnel = proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x")
    proxy.write_policy(text)
    proxy.hup()
    event = proxy.audit.event("policy_refused", seconds=10)
    assert event["class_uid"] == 3004 and event["activity_id"] == 3
    proxy.tunnel("a.test", origin.port).send(b"y").expect(data=b"y")
    tunnel.send(b"z").expect(data=b"z")
    assert len(proxy.audit.events("policy_loaded")) == 1
    assert "policy.yaml:" in proxy.text() or "policy.yaml" in str(event)


def test_bad_then_good(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(allowed_hosts=["old.test"])
    proxy.write_policy("nonsense")
    proxy.hup()
    proxy.audit.event("policy_refused", seconds=10)
    proxy.write_policy(lab.policy(hosts=[origin.at("a.test")]))
    proxy.hup()
    wait_for(lambda: proxy.connect("a.test", origin.port).read_reply().status == 200, 10, "the good one")


@pytest.mark.parametrize("state", ["idle", "busy", "hello"])
def test_revoked_within_five_seconds(lab, state):
    """A tunnel that the new policy forbids is closed; one that it allows stays."""
    def flood(conn):
        while conn.send(b"x" * 65536):
            pass
    origin = lab.origin(after_hello(flood if state == "busy" else echo))
    stays = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("gone.test"), stays.at("stays.test")])
    kept = proxy.tunnel("stays.test", stays.port).send(b"1").expect(data=b"1")
    if state == "hello":
        client = proxy.connect("gone.test", origin.port).expect(status=200)
    else:
        client = proxy.tunnel("gone.test", origin.port)
        if state == "idle":
            client.send(b"1").expect(data=b"1")
        else:
            client.read_exactly(1 << 20)
    proxy.write_policy(lab.policy(hosts=[stays.at("stays.test")]))
    start = time.monotonic()
    proxy.hup()
    outcome = proxy.audit.outcome(host="gone.test", reason="revoked", seconds=6)
    assert outcome["severity_id"] == 3 and outcome["action_id"] == 2
    client.read_to_end(6)
    assert time.monotonic() - start < 6
    kept.send(b"2").expect(data=b"2")
    proxy.connect("gone.test", origin.port).expect(status=403)
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_records_name_rules_of_the_policy_in_force(lab):
    """A tunnel that stays ends under the rule of the new policy that allows it; one that goes names what refuses it."""
    origin = lab.origin(after_hello(echo))
    at = [origin.at("gone.test"), origin.at("stays.test")]
    proxy = lab.proxy(hosts=at)
    gone = proxy.tunnel("gone.test", origin.port).send(b"1").expect(data=b"1")
    stays = proxy.tunnel("stays.test", origin.port).send(b"1").expect(data=b"1")
    denied = {"denied_hosts": ["first.test", "gone.test"]}
    proxy.write_policy(lab.policy(hosts=[origin.at("new.test"), origin.at("other.test"), *at], egress=denied))
    proxy.hup()
    outcome = proxy.audit.outcome(**gone.who)
    assert (outcome["status_code"], outcome["firewall_rule"]["uid"]) == ("revoked", "egress.denied_hosts[1]")
    assert outcome["policy"]["uid"] == proxy.audit.events("policy_loaded")[-1]["entity"]["uid"]
    stays.send(b"2").expect(data=b"2")
    stays.close()
    outcome = proxy.audit.outcome(**stays.who)
    assert (outcome["status_code"], outcome["firewall_rule"]["uid"]) == ("allowed", "egress.hosts[3].addresses")


def test_policy_swapped_between_the_question_and_the_dial(lab):
    """O-02: the name was allowed when it was asked for, and is not any more when the answer comes."""
    origin = lab.origin()
    lab.dns.set("a.test", origin.address, delay={1: 1.0, 28: 1.0})
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"resolve_timeout": "5s"})
    client = proxy.connect("a.test", origin.port)
    lab.dns.wait_asked("a.test")
    proxy.write_policy(lab.policy(allowed_hosts=["other.test"]))
    proxy.hup()
    wait_for(lambda: len(proxy.audit.events("policy_loaded")) == 2, 5, "the new policy")
    client.read_to_end()
    assert b" 200 " not in bytes(client.received)
    assert origin.connections == 0
    assert proxy.audit.outcome(host="a.test")["action_id"] == 2


def under_way(port):
    """Connections to this port that nobody has answered."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


def test_policy_swapped_while_it_dials(lab):
    """O-02: the name stays allowed, the address that is being dialled does not: nothing waits for that connection."""
    full = lab.full_origin()
    before = under_way(full.port)
    proxy = lab.proxy(hosts=[full.at("full.test")], limits={"dial_timeout": "60s"})
    client = proxy.connect("full.test", full.port)
    wait_for(lambda: under_way(full.port) > before, 5, "it dials")
    elsewhere = {"host": "full.test", "addresses": ["127.0.0.77/32"], "ports": [full.port]}
    proxy.write_policy(lab.policy(hosts=[elsewhere]))
    proxy.hup()
    client.expect(status=403, reason="address_forbidden", closed=True)
    wait_for(lambda: under_way(full.port) == before, 5, "nothing is dialled any more")
    outcome = proxy.audit.outcome(**client.who, reason="address_forbidden")
    assert outcome["unmapped"]["stage"] == "address" and outcome["severity_id"] == 4
    assert proxy.stop() == 0 and proxy.audit.verifies()


def test_many_reloads(lab):
    """A hundred signals while attempts run; no attempt sees anything but one of the two policies."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    one, two = lab.policy(hosts=[origin.at("a.test")]), lab.policy(hosts=[origin.at("b.test")])
    seen = set()
    for i in range(50):
        proxy.write_policy(two if i % 2 else one)
        proxy.hup()
        proxy.hup()
        seen.add(proxy.connect("a.test", origin.port).read_reply().status)
        proxy.clients.pop().close()
    assert seen <= {200, 403} and proxy.alive()
    assert proxy.stop() == 0
    assert proxy.audit.verifies()


def test_term_drains(lab):
    """Nothing new is accepted, what is open goes on, and the last one out ends the process."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.tunnel("a.test", origin.port).send(b"1").expect(data=b"1")
    proxy.term()
    wait_for(proxy.refuses_connections, 5, "no new connections")
    client.send(b"2").expect(data=b"2")
    assert proxy.alive()
    client.half_close().expect(closed=True)
    client.close()
    assert proxy.wait(10) == 0
    assert proxy.audit.outcome(host="a.test", verdict="allow")["traffic"]["bytes_in"] == 2
    assert proxy.audit.event("log_stopped") and proxy.audit.verifies()


def test_second_term_ends_at_once(lab):
    """What is open is cut, with a record."""
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")])
    client = proxy.tunnel("a.test", origin.port).send(b"1").expect(data=b"1")
    proxy.term()
    wait_for(proxy.refuses_connections, 5, "no new connections")
    never(lambda: not proxy.alive(), 0.2, "the first signal ended it")
    start = time.monotonic()
    proxy.term()
    assert proxy.wait(5) >= 0 and time.monotonic() - start < 4
    client.read_to_end()
    outcome = proxy.audit.outcome(host="a.test", reason="drained")
    assert outcome["severity_id"] == 1
    assert proxy.audit.verifies()


def test_term_without_anything_open(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"])
    start = time.monotonic()
    assert proxy.stop() == 0 and time.monotonic() - start < 5


@pytest.mark.parametrize("order", [("HUP", "TERM"), ("USR1", "HUP", "TERM"), ("TERM", "HUP", "TERM"), ("INT",)],
                         ids="-".join)
def test_signals_in_any_order(lab, order):
    proxy = lab.proxy(allowed_hosts=["a.test"])
    for name in order:
        if proxy.alive():
            proxy.signal(getattr(signal, "SIG" + name))
    code = proxy.wait(10)
    if "USR1" in order and code < 0:
        assert code == -signal.SIGUSR1
        pytest.fail("SIGUSR1 ended the program")
    assert code == 0, proxy.text()
    assert proxy.audit.verifies()


@pytest.mark.parametrize("text", ["", "# nothing\n", "name: [\n", "name: x\nconfig: {networking: {}}\n"])
def test_bad_policy_at_the_start(lab, text):
    """It does not start, says file and line, and ends with the status of a wrong configuration."""
    with pytest.raises(StartFailed) as failed:
        lab.proxy(policy=text)
    assert failed.value.code in (1, 78) and "policy.yaml" in failed.value.text


def test_policy_that_others_may_write(lab):
    import os
    proxy = lab.proxy(allowed_hosts=["a.test"], start=False)
    os.chmod(proxy.policy_file, 0o666)
    with pytest.raises(StartFailed) as failed:
        proxy.start()
    assert "policy.yaml" in failed.value.text


def test_port_in_use(lab):
    """Reuse-port must not let two processes share a port by accident."""
    first = lab.proxy(allowed_hosts=["a.test"])
    with pytest.raises(StartFailed):
        lab.proxy(allowed_hosts=["a.test"], listen=[f"127.0.0.1:{first.endpoint[1]}"])
    first.connect("denied.test", 443).expect(status=403)


def test_check_and_explain_agree_with_the_daemon(lab):
    """One decision, whoever asks."""
    import subprocess
    origin = lab.origin()
    proxy = lab.proxy(hosts=[origin.at("a.test")], allowed_hosts=["*.w.test"])
    run = lambda *args: subprocess.run([lab.binary, *args], capture_output=True, timeout=20)  # noqa: E731
    assert run("check", str(proxy.policy_file)).returncode == 0
    for target, status, code in ((f"a.test:{origin.port}", 200, 0), ("denied.test:443", 403, 1), ("w.test:443", 403, 1),
                                 ("a.test:443", 403, 1)):
        host, port = target.split(":")
        reply = proxy.connect(host, int(port)).read_reply()
        assert reply.status == status
        done = run("explain", "--policy", str(proxy.policy_file), target)
        assert done.returncode == code, done.stdout + done.stderr
        if reply.reason:
            assert reply.reason in done.stdout.decode()
    bad = proxy.folder / "bad.yaml"
    bad.write_text("name: x\n")
    assert run("check", str(bad)).returncode == 1
