# SPDX-License-Identifier: Apache-2.0
"""What `sallyport check` says beyond one file's errors: a policy's own tests, a configuration with its environments and
its ceiling, and how long a large policy takes."""
import json
import os
import pathlib
import statistics
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("SALLYPORT", "")

TESTED = """\
name: e
config: {networking: {type: limited, allowed_hosts: [a.test]}}
egress:
  tests:
    - {target: "a.test:443", expect: allow}
    - {target: "a.test:80", via: http, expect: allow}
    - {target: "a.test:22", expect: deny, reason: port_not_allowed}
"""


@pytest.fixture(autouse=True)
def _program():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")


def run(*words):
    return subprocess.run([PROGRAM, "check", *map(str, words)], capture_output=True, timeout=60, check=False)


def told(*words):
    done = run("--json", *words)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_each_test_is_shown(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(TESTED)
    code, [one] = told("--test", path)
    assert code == 0 and [(t["passes"], t["via"], t["verdict"], t["reason"], t["line"]) for t in one["tests"]] == [
        (True, "connect", "allow", "allowed", 5), (True, "http", "allow", "allowed", 6),
        (True, "connect", "deny", "port_not_allowed", 7)]
    assert "rules" not in one
    assert b"3 of 3 tests pass" in run("--test", path).stdout


def test_a_failing_test_is_shown_with_the_others(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(TESTED.replace("a.test:80", "b.test:80"))
    code, [one] = told("--test", path)
    assert code == 1 and [t["passes"] for t in one["tests"]] == [True, False, True]
    assert [f["code"] for f in one["findings"]] == ["test"] and one["findings"][0]["line"] == 6
    text = run("--test", path).stdout.decode()
    assert f"FAIL  {path}:6  b.test:80 by http: denied (host_not_allowed)" in text and "2 of 3 tests pass" in text


GATEWAY = """\
listeners: [{listen: "127.0.0.1:0", by: source}]
environments:
  - {file: a.yaml, sources: [10.1.0.0/16]}
  - environment:
      name: b
      config: {networking: {type: limited, allowed_hosts: [b.test]}}
    sources: [10.2.0.0/16]
ceiling:
  networking: {type: limited, allowed_hosts: [a.test, b.test]}
denied_hosts: [never.test]
"""


@pytest.fixture
def gateway(tmp_path):
    (tmp_path / "a.yaml").write_text(TESTED.replace("name: e", "name: a"))
    path = tmp_path / "gateway.yaml"
    path.write_text(GATEWAY)
    return path


def test_a_configuration_with_all_its_environments(gateway):
    code, lines = told(gateway)
    assert code == 0 and [one["kind"] for one in lines] == ["environment", "environment", "configuration"]
    a, b, whole = lines
    assert (a["environment"], a["file"]) == ("a", str(gateway.parent / "a.yaml"))
    assert (b["environment"], b["file"], b["configuration"]) == ("b", str(gateway), str(gateway))
    # the origin of each rule: the line of the environment, and the line of the organisation's denial
    origins = {(r["section"], r["text"].split()[0]): (r.get("file"), r.get("line")) for r in b["rules"]}
    assert origins["allowed_hosts", "b.test"] == (str(gateway), 6)
    denied = [r for r in a["rules"] + b["rules"] if r["rule"] == "denied_hosts[0]"]
    assert [(r["file"], r["line"]) for r in denied] == [(str(gateway), 10)] * 2
    assert (whole["environments"], whole["environments_that_load"], whole["errors"]) == (2, 2, 0)
    assert b"would load, 2 of 2 environments" in run(gateway).stdout


@pytest.mark.parametrize("change, file, line, code", [
    (("[b.test]}}", "[c.test]}}"), "gateway.yaml", 6, "ceiling"),
    (("10.2.0.0/16", "10.1.2.0/24"), "gateway.yaml", 4, "sources_overlap"),
    (("by: source", "environment: c"), "gateway.yaml", 1, "unknown_environment"),
    (("name: b", "name: a"), "gateway.yaml", 4, "duplicate"),
    (("allowed_hosts: [a.test, b.test]", "allowed_hosts: [b.test]"), "a.yaml", 2, "ceiling"),
    (("denied_hosts: [never.test]", "denied_hosts: [1.2.3.4]"), "gateway.yaml", 10, "host"),
])
def test_what_is_wrong_has_its_line(gateway, change, file, line, code):
    gateway.write_text(GATEWAY.replace(*change))
    status, lines = told("--quiet", gateway)
    found = [(f["file"], f["line"], f["code"]) for one in lines for f in one["findings"] if f["severity"] == "error"]
    assert status == 1 and not lines[-1]["loads"]
    assert (str(gateway.parent / file), line, code) in found, found


def test_strict_counts_the_lints_of_environments(gateway):
    assert run("--strict", gateway).returncode == 0
    (gateway.parent / "a.yaml").write_text(TESTED.replace("name: e", "name: a\nmetadata: 1"))
    assert run(gateway).returncode == 0
    assert run("--strict", gateway).returncode == 1


def test_a_large_policy_is_checked_quickly(tmp_path, record_property):
    """A policy of 1 MiB, the largest that is taken. The goal is 50 ms on a quiet machine; the bound is generous."""
    path = tmp_path / "large.yaml"
    head = "name: large\nconfig:\n  networking:\n    type: limited\n    allowed_hosts:\n"
    rows, size = [], len(head)
    while size < (1 << 20) - 64:
        rows.append(f"      - host-{len(rows):06d}.department-{len(rows) % 97:02d}.example.com\n")
        size += len(rows[-1])
    path.write_text(head + "".join(rows))
    assert (1 << 20) - 128 < path.stat().st_size <= 1 << 20
    times = []
    for _ in range(7):
        begin = time.monotonic()
        assert run("--quiet", path).returncode == 0
        times.append((time.monotonic() - begin) * 1000)
    best, middle = min(times), statistics.median(times)
    print(f"check of {path.stat().st_size} bytes, {len(rows)} hosts: best {best:.1f} ms, median {middle:.1f} ms")
    record_property("check_1mib_ms", round(middle, 1))
    assert best < 1000
