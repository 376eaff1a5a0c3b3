# SPDX-License-Identifier: Apache-2.0
"""What would open a refused connection: the lines of `explain`, put into the policy by another program, open it, and
they open and close exactly what it said besides."""
import json
import os
import subprocess

import pytest
import yaml

import strict_yaml

PROGRAM = os.environ.get("SALLYPORT", "")

POLICY = """\
name: e
config:
  networking:
    type: limited
    allowed_hosts: [a.test, "*.w.test"]
egress:
  methods: [GET, POST]
  mcp_servers:
    - {type: url, name: first, url: "https://m.test"}
    - {type: url, name: second, url: "https://other.test:8443"}
  hosts:
    - {host: p.test, ports: [443, 9000]}
    - {host: pinned.test, addresses: [10.0.0.0/24]}
  tests:
    - {target: "tested.test:443", expect: deny}
"""

# Everything that is asked before and after: hosts, ports and doors of the policy and some beside it.
HOSTS = ["a.test", "x.w.test", "m.test", "other.test", "p.test", "pinned.test", "new.test",
         "10.2.3.4"]
PORTS = [80, 443, 3306, 8443, 9000, 5000]
DOORS = ["connect", "http"]

# options, target, what else it opens (host, port, door), what it closes, what it says beyond ports
ROWS = [
    ([], "new.test:443", {("new.test", 80, "http")}, set(), None),
    (["--via", "http"], "new.test:80", {("new.test", 443, "connect")}, set(), None),
    ([], "new.test:5000", {("new.test", 5000, "http")}, set(), None),
    ([], "m.test:443", {("m.test", 443, "http"), ("other.test", 8443, "connect"), ("other.test", 8443, "http")}, set(),
     None),
    ([], "p.test:8443", {("p.test", 8443, "http")}, set(), None),
    ([], "a.test:5000", {("a.test", 5000, "http"), ("a.test", 443, "http")}, {("a.test", 80, "http")}, None),
    ([], "p.test:3306", {("p.test", 3306, "http")}, set(), None),
    (["--no-sni"], "a.test:443", set(), set(), "names none"),
    (["--ech"], "a.test:443", set(), set(), "encrypted client hello"),
    (["--no-tls"], "a.test:443", set(), set(), "every protocol"),
    (["--address", "10.1.2.3"], "a.test:443", set(), set(), "this address"),
    (["--address", "10.9.9.9"], "pinned.test:443", set(), set(), "this address"),
    (["--address", "127.0.0.1"], "new.test:5000", {("new.test", 5000, "http")}, set(), "this address"),
    (["--address", "10.9.9.9"], "new.test:443", {("new.test", 80, "http")}, set(), "this address"),
    (["--via", "http", "--method", "PUT"], "a.test:80", set(), set(), "this method"),
    ([], "10.2.3.4:443", {("10.2.3.4", 80, "http")}, set(), "this address"),
]


@pytest.fixture(autouse=True)
def _program():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, timeout=60, check=False)


def ask(path, target, *options):
    done = run("explain", "--json", "--policy", path, *options, "--", target)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def documents(text):
    """The lines of an opening are one or more blocks that each begin at the left."""
    blocks = []
    for line in text.splitlines():
        if line.startswith(("config:", "egress:")):
            blocks.append("")
        if blocks:
            blocks[-1] += line + "\n"
    return [yaml.safe_load(block) for block in blocks]


def merge(tree, change):
    for key, value in change.items():
        if isinstance(value, dict):
            merge(tree.setdefault(key, {}), value)
        elif key == "hosts":
            for entry in value:
                known = next((e for e in tree.setdefault(key, []) if e["host"] == entry["host"]), None)
                if known is None:
                    tree[key].append(entry)
                else:
                    merge(known, entry)
        elif key == "allowed_hosts":
            tree.setdefault(key, []).extend(value)
        else:
            tree[key] = value


def write(path, tree):
    path.write_text(yaml.safe_dump(tree, default_flow_style=None))
    return path


def every_answer(path, tree):
    """{(host, port, door): is it allowed}. Asked as tests of the policy's own, all in one run: a literal is judged as an
    address too when it is dialled, which is another question."""
    asked = [(host, port, door) for host in HOSTS for port in PORTS for door in DOORS]
    tests = [{"target": f"{host}:{port}", "via": door, "expect": "deny"} for host, port, door in asked]
    write(path, {**tree, "egress": {**tree["egress"], "tests": tests}})
    told = json.loads(run("check", "--json", "--test", path).stdout)["tests"]
    assert [(t["target"], t["via"]) for t in told] == [(t["target"], t["via"]) for t in tests]
    return {key: test["verdict"] == "allow" for key, test in zip(asked, told, strict=True)}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    path = tmp_path_factory.mktemp("opening") / "e.yaml"
    path.write_text(POLICY)
    return path, every_answer(path.with_name("asked.yaml"), strict_yaml.read(POLICY))


def as_set(rows):
    return {(row["host"], row["port"], row["via"]) for row in rows}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join([*row[0], row[1]]))
def test_opens_what_it_says_and_no_more(before, tmp_path, row):
    options, target, opens, closes, beyond = row
    path, was = before
    told = ask(path, target, *options)
    assert told["verdict"] == "deny" and told["opens"], told
    if target != "p.test:3306":
        assert (as_set(told["also_opens"]), as_set(told["also_closes"])) == (opens, closes)
    assert [beyond in line for line in told["also"]] == ([] if beyond is None else [True])
    assert "would_not_load" not in told and told["undecided"] == []
    tree = strict_yaml.read(POLICY)
    for change in documents(told["opening"]):
        merge(tree, change)
    changed = write(tmp_path / "e.yaml", tree)
    assert ask(changed, target, *options)["verdict"] == "allow", changed.read_text()
    now = every_answer(tmp_path / "asked.yaml", tree)
    host, _, port = target.rpartition(":")
    asked = (host, int(port), "http" if "http" in options else "connect")
    assert {k for k in now if now[k] and not was[k]} - {asked} == as_set(told["also_opens"])
    assert {k for k in now if was[k] and not now[k]} == as_set(told["also_closes"])
    for host, port, door in opens | closes:  # and `explain` says so of the file itself
        done = run("explain", "--policy", changed, "--via", door, "--", f"{host}:{port}")
        assert done.returncode == (1 if (host, port, door) in closes else 0), (host, port, door)


@pytest.mark.parametrize("target, words", [
    ("169.254.169.254:443", "refused whatever a policy says"),
    ("[::ffff:10.0.0.1]:443", "never a target"),
])
def test_nothing_opens_it(before, target, words):
    told = ask(before[0], target)
    assert not told["opens"] and words in told["opening"] and "also_opens" not in told


def test_a_test_of_its_own_forbids_it(before):
    told = ask(before[0], "tested.test:443")
    assert told["opens"] and "the test fails" in told["would_not_load"]
    text = run("explain", "--policy", before[0], "tested.test:443").stdout.decode()
    assert "What else that opens:\n  tested.test:80 by http\n" in text
    assert f"would not load: {before[0]}:15:" in text


def test_patterns_are_undecided(tmp_path):
    """A port that is opened for everybody is open for what only a regular expression matches, too."""
    path = tmp_path / "e.yaml"
    path.write_text("name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test]}}\n"
                    "egress: {ports: {connect: [22, 443]}, host_patterns: {allow: ['x[0-9]+[.]test']}}\n")
    told = ask(path, "a.test:22")
    assert told["opens"] and told["undecided"] == ["egress.host_patterns"]
    assert b"undecided: hosts that regular expressions match" in run("explain", "--policy", path, "a.test:22").stdout
    assert ask(path, "b.test:443")["undecided"] == []
