# SPDX-License-Identifier: Apache-2.0
"""`sallyport explain` says what each layer answers by itself, and not only the one that decided."""
import json
import os
import subprocess

import pytest

PROGRAM = os.environ.get("SALLYPORT", "")

GATEWAY = """\
listeners: [{listen: "127.0.0.1:0", environment: e}]
denied_hosts: ["*.never.test"]
ceiling:
  networking: {type: limited, allow_mcp_servers: true, allowed_hosts: [a.test, "*.wild.test", "*.never.test"]}
  egress:
    hosts: [{host: own.wild.test, ports: [8443]}]
    mcp_servers: [{type: url, name: m, url: "https://a.test:9443/"}]
    host_patterns: {allow: ["p[0-9]+\\\\.test"]}
environments: [{file: e.yaml}]
"""
ENVIRONMENT = """\
name: e
config:
  networking:
    type: limited
    allowed_hosts: [a.test, "*.wild.test", x.never.test]
    allow_mcp_servers: true
egress:
  denied_hosts: [no.wild.test, x.never.test]
  blocklist: [block.txt]
  hosts:
    - {host: own.wild.test, ports: [8443]}
  mcp_servers: [{type: url, name: m, url: "https://a.test:9443/"}]
  host_patterns: {allow: ["p[0-9]+\\\\.test"], deny: ["p66\\\\.test"]}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")
    folder = tmp_path_factory.mktemp("layers")
    (folder / "e.yaml").write_text(ENVIRONMENT)
    (folder / "block.txt").write_text("bad.wild.test\n")
    (folder / "gateway.yaml").write_text(GATEWAY)
    return folder / "gateway.yaml"


def explain(config, *words, json_too=True):
    args = [PROGRAM, "explain", "--config", str(config), "--environment", "e", *words]
    done = subprocess.run(args + (["--json"] if json_too else []), capture_output=True, timeout=30, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def layers(config, *words):
    told = json.loads(explain(config, *words))
    return told, {one["layer"]: one for one in told["layers"]}


def said(found):
    return {name: one["answer"] for name, one in found.items() if one["answer"] != "none" and name != "egress.methods"}


@pytest.mark.parametrize("words, expected", [
    (["a.test"], {"ceiling": "allow", "allowed_hosts": "allow", "egress.mcp_servers": "deny"}),
    (["a.test:9443"], {"ceiling": "allow", "allowed_hosts": "deny", "egress.mcp_servers": "allow"}),
    (["a.test:22"], {"ceiling": "deny", "egress.blocked_ports": "deny", "allowed_hosts": "deny",
                     "egress.mcp_servers": "deny"}),
    (["own.wild.test:8443"], {"ceiling": "allow", "egress.hosts": "allow", "allowed_hosts": "allow"}),
    (["own.wild.test"], {"ceiling": "deny", "egress.hosts": "deny", "allowed_hosts": "deny"}),
    (["no.wild.test"], {"ceiling": "allow", "egress.denied_hosts": "deny", "allowed_hosts": "allow"}),
    (["x.never.test"], {"ceiling": "allow", "denied_hosts": "deny", "egress.denied_hosts": "deny",
                        "allowed_hosts": "allow"}),
    (["bad.wild.test"], {"ceiling": "allow", "egress.blocklist": "deny", "allowed_hosts": "allow"}),
    (["p66.test"], {"ceiling": "allow", "egress.host_patterns.deny": "deny", "egress.host_patterns.allow": "allow"}),
    (["nobody.test"], {"ceiling": "deny"}),
    (["a.test", "--address", "9.9.9.9", "--no-sni"],
     {"ceiling": "allow", "allowed_hosts": "allow", "egress.mcp_servers": "deny", "address": "allow", "hello": "deny"}),
    (["a.test", "--address", "10.0.0.1"],
     {"ceiling": "allow", "allowed_hosts": "allow", "egress.mcp_servers": "deny", "address": "deny"}),
])
def test_each_layer(config, words, expected):
    assert said(layers(config, *words)[1]) == expected


def test_lines_and_reasons(config):
    _, found = layers(config, "x.never.test")
    assert (found["denied_hosts"]["file"], found["denied_hosts"]["line"]) == (str(config), 2)
    assert found["denied_hosts"]["rule"] == "denied_hosts[0]" and found["denied_hosts"]["rule_text"] == "*.never.test"
    assert (found["egress.denied_hosts"]["line"], found["egress.denied_hosts"]["reason"]) == (8, "host_denied")
    _, found = layers(config, "own.wild.test")
    assert (found["egress.hosts"]["line"], found["egress.hosts"]["reason"]) == (11, "port_not_allowed")
    told, found = layers(config, "bad.wild.test")
    assert found["egress.blocklist"]["file"].endswith("block.txt") and found["egress.blocklist"]["rule"] == told["rule"]


def test_text(config):
    lines = explain(config, "no.wild.test", json_too=False).decode().splitlines()
    at = lines.index("What each layer says by itself:")
    words = [line.split() for line in lines[at + 1:at + 20]]
    assert ["egress.denied_hosts", "deny", "host_denied", "no.wild.test"] == words[4][:4]
    assert words[0][:2] == ["ceiling", "allow"] and words[-1] == ["hello", "none"]
    assert not any(line.endswith(" ") for line in lines)


def test_a_malformed_target_meets_no_layer(config):
    assert json.loads(explain(config, "a_b..test"))["layers"] == []


def test_what_only_observing_lets_pass(tmp_path):
    """A line of its own, with the line of the file that says until when; nothing for what is allowed, or denied, anyway."""
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")
    path = tmp_path / "e.yaml"
    path.write_text("name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test]}}\n"
                    "egress:\n  mode: observe\n  observe_until: 9999-12-31\n  denied_hosts: [never.test]\n")
    for host, answer, verdict in (("b.test", "allow", "allow"), ("a.test", "none", "allow"),
                                  ("never.test", "none", "deny")):
        done = subprocess.run([PROGRAM, "explain", "--policy", str(path), "--json", host], capture_output=True,
                              timeout=30, check=False)
        told = json.loads(done.stdout)
        mode = next(one for one in told["layers"] if one["layer"] == "egress.mode")
        assert (mode["answer"], told["verdict"]) == (answer, verdict), host
        if answer == "allow":
            assert (mode["rule_text"], mode["file"], mode["line"]) == ("observe", str(path), 5)
            assert told["observed"] == "host_not_allowed"
