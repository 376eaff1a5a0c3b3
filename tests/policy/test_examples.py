# SPDX-License-Identifier: Apache-2.0
"""The policies that a person starts from: each loads, is what the schema says, asks questions of its own, explains
itself, and answers what its comments promise."""
import json
import os
import pathlib
import subprocess

import pytest

import strict_yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("SALLYPORT", "")
DATA = {"builtin.yaml", "package-managers.yaml"}


def is_environment(path):
    return path.name not in DATA and "config" in strict_yaml.read(path.read_text("utf-8"))


EXAMPLES = {path.stem: path for path in sorted((ROOT / "policies").glob("*.yaml")) if is_environment(path)}

# (example, options of explain, target, exit, reason)
ASKED = [
    ("tightest", [], "example.com:443", 1, "host_not_allowed"),
    ("tightest", [], "11.22.33.44:443", 1, "literal_not_allowed"),
    ("invoice-env", ["--address", "10.20.3.7"], "mcp.internal.example.com:443", 0, "allowed"),
    ("invoice-env", ["--address", "10.20.4.7"], "mcp.internal.example.com:443", 1, "address_forbidden"),
    ("invoice-env", [], "x.y.reports.example.com:443", 0, "allowed"),
    ("invoice-env", [], "reports.example.com:443", 1, "host_not_allowed"),
    ("invoice-env", [], "upload.example.com:443", 1, "host_denied"),
    ("invoice-env", [], "crates.io:443", 1, "host_not_allowed"),
    ("invoice-env", ["--sni", "other.example.com"], "api.example.com:443", 1, "sni_mismatch"),
    ("agent-mcp", ["--address", "127.0.0.1", "--via", "http"], "notes.internal.example.com:8765", 0, "allowed"),
    ("agent-mcp", ["--address", "127.0.0.2", "--via", "http"], "notes.internal.example.com:8765", 1,
     "address_forbidden"),
    ("agent-mcp", ["--via", "http", "--method", "PUT"], "notes.internal.example.com:8765", 1, "method_not_allowed"),
    ("agent-mcp", [], "pypi.org:443", 1, "host_not_allowed"),
    ("python-dev", [], "pypi.org:443", 0, "allowed"),
    ("browser", ["--sni", "www.example.com", "--ech"], "www.example.com:443", 0, "allowed"),
    ("browser", ["--sni", "cdn.example.com", "--ech"], "www.example.com:443", 1, "sni_mismatch"),
    ("unrestricted-blocklist", [], "anything.test:8443", 0, "allowed"),
    ("unrestricted-blocklist", ["--address", "169.254.169.254"], "anything.test:443", 1, "address_forbidden"),
    ("unrestricted-blocklist", [], "anything.test:22", 1, "port_not_allowed"),
]


# (environment of the gateway, options of explain, target, exit, reason)
GATEWAY = ROOT / "policies" / "gateway.yaml"
ASKED_THERE = [
    ("research", [], "www.example.org:443", 0, "allowed"),
    ("research", [], "intranet.example.org:443", 1, "host_denied"),
    ("research", [], "metadata.example.org:443", 1, "host_denied"),
    ("research", [], "www.example.com:443", 1, "host_not_allowed"),
    ("python-dev", [], "pypi.org:443", 0, "allowed"),
    ("python-dev", [], "www.example.org:443", 1, "host_not_allowed"),
    ("agent-mcp", ["--address", "127.0.0.1", "--via", "http"], "notes.internal.example.com:8765", 0, "allowed"),
]


def run(*words):
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")
    return subprocess.run([PROGRAM, *words], capture_output=True, timeout=60, check=False)


def test_every_example_is_asked():
    assert set(EXAMPLES) == {row[0] for row in ASKED}


@pytest.mark.parametrize("name", EXAMPLES)
def test_loads_and_asks_itself(name):
    path = EXAMPLES[name]
    done = run("check", "--json", str(path))
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["loads"] and told["errors"] == 0, told["findings"]
    assert told["environment"] == strict_yaml.read(path.read_text("utf-8"))["name"]
    assert all(rule["rule"] for rule in told["rules"])
    if name != "tightest":  # which has no egress block at all
        tests = strict_yaml.read(path.read_text("utf-8"))["egress"]["tests"]
        assert len(tests) >= 2 and {t["expect"] for t in tests} >= {"deny"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_teaches(name):
    """Comments before the first key, and the line by which an editor finds the schema."""
    lines = EXAMPLES[name].read_text("utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../docs/environment.schema.json"
    assert lines[1].startswith("# ") and sum("#" in line for line in lines) >= 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_what_the_schema_says(name):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "environment.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(strict_yaml.read(EXAMPLES[name].read_text("utf-8")))


@pytest.mark.parametrize("row", ASKED, ids=lambda row: f"{row[0]}-{row[2]}-{row[4]}")
def test_answers(row):
    name, options, target, code, reason = row
    done = run("explain", "--json", "--policy", str(EXAMPLES[name]), *options, "--", target)
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (code, reason), done.stdout


def test_the_gateway_teaches_and_loads():
    lines = GATEWAY.read_text("utf-8").splitlines()
    assert lines[0].startswith("# yaml-language-server: $schema=") and sum("#" in line for line in lines) >= 15
    done = run("check", "--json", "--quiet", "--test", str(GATEWAY))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and told[-1]["environments_that_load"] == 3, told
    assert {one["environment"] for one in told[:-1]} == {row[0] for row in ASKED_THERE}
    assert all(one["tests"] and all(t["passes"] for t in one["tests"]) for one in told[:-1])


@pytest.mark.parametrize("row", ASKED_THERE, ids=lambda row: f"{row[0]}-{row[2]}-{row[4]}")
def test_the_gateway_answers(row):
    name, options, target, code, reason = row
    done = run("explain", "--json", "--config", str(GATEWAY), "--environment", name, *options, "--", target)
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (code, reason), done.stdout
    assert run("explain", "--config", str(GATEWAY), "--environment", "no-such", target).returncode == 2


def test_the_ceiling_of_the_gateway_holds(tmp_path):
    """The same file with one host more than the ceiling has: it is not loaded, and both lines are named."""
    text = GATEWAY.read_text("utf-8").replace('allowed_hosts: ["*.example.org"]\n      egress',
                                              'allowed_hosts: ["*.example.org", one.example.net]\n      egress')
    for name in ("python-dev.yaml", "agent-mcp.yaml"):
        (tmp_path / name).write_text((ROOT / "policies" / name).read_text("utf-8"))
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    done = run("check", "--json", "--quiet", str(path))
    found = [f for line in done.stdout.splitlines() for f in json.loads(line)["findings"] if f["code"] == "ceiling"]
    assert done.returncode == 1 and found and "one.example.net" in found[0]["message"]
    assert f"the ceiling in {path}:" in found[0]["message"]
