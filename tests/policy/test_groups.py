# SPDX-License-Identifier: Apache-2.0
"""The catalogue of package managers' hosts: listed, replaced and extended by an operator's own."""
import hashlib
import json
import os
import pathlib
import subprocess

import pytest

import strict_yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("SALLYPORT", "")
BUILTIN = strict_yaml.read((ROOT / "policies" / "package-managers.yaml").read_text("utf-8"))

OWN = """\
version: "acme-7"
groups:
  ours:
    tier: 1
    modes: [read_only]
    managers: [pip]
    why: "our mirror"
    hosts:
      - mirror.acme.test
      - {host: "*.cdn.acme.test", modes: [compat], except: [upload, raw.cdn.acme.test]}
  python:
    tier: 1
    modes: [compat]
    why: "through the mirror alone"
    hosts: [pypi.acme.test]
"""

POLICY = """\
name: e
config:
  networking: {type: limited, allow_package_managers: true}
"""


@pytest.fixture(autouse=True)
def _program():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, timeout=60, check=False)


@pytest.fixture
def own(tmp_path):
    """A catalogue in a file, `extends` where it is wanted."""
    def write(text=OWN, extends=False):
        path = tmp_path / "catalogue.yaml"
        path.write_text(("extends: builtin\n" if extends else "") + text)
        return path
    return write


def explain(catalogue, policy, target):
    done = run("explain", "--json", "--policy", policy, *(["--catalogue", catalogue] if catalogue else []), target)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(POLICY)
    return path


def test_list_and_show_the_built_in_one():
    told = json.loads(run("groups", "list", "--json").stdout)
    assert told["version"] == BUILTIN["version"]
    assert told["id"] == hashlib.sha256((ROOT / "policies" / "package-managers.yaml").read_bytes()).hexdigest()
    assert [g["group"] for g in told["groups"]] == list(BUILTIN["groups"])
    python = json.loads(run("groups", "show", "--json", "python").stdout)
    assert python == next(g for g in told["groups"] if g["group"] == "python")
    assert [h["host"] for h in python["hosts"]] == ["pypi.org", "files.pythonhosted.org"]
    assert python["tier"] == 1 and python["modes"] == ["compat", "read_only"] and python["managers"] == ["pip"]
    text = run("groups", "list").stdout.decode().splitlines()
    assert len(text) == 2 + len(BUILTIN["groups"]) and text[0] == f"version {BUILTIN['version']}"
    shown = run("groups", "show", "apt-debian").stdout.decode()
    assert "tier       1, downloads only" in shown and "except salsa" in shown


def test_wrong_use():
    for words, code in (([], 64), (["show"], 64), (["list", "python"], 64), (["show", "no-such"], 1),
                        (["list", "--catalogue", "/nonexistent/c.yaml"], 78)):
        assert run("groups", *words).returncode == code
    assert b"Example" in run("groups", "--help").stdout


def test_replaces(own, policy):
    path = own()
    told = json.loads(run("groups", "list", "--json", "--catalogue", path).stdout)
    version = "acme-7+" + hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert told["version"] == version and [g["group"] for g in told["groups"]] == ["ours", "python"]
    got = explain(path, policy, "x.cdn.acme.test:443")
    assert (got["verdict"], got["rule"], got["group"]) == ("allow", "package_managers.ours[1]", "ours")
    assert (got["version"], got["file"], got["line"]) == (version, str(path), 10)
    for host in ("upload.cdn.acme.test", "a.upload.cdn.acme.test", "raw.cdn.acme.test", "cdn.acme.test", "pypi.org",
                 "mirror.acme.test"):
        assert explain(path, policy, host)["reason"] == "host_not_allowed", host


def test_extends(own, policy):
    """A group of the same name is the operator's; every other built-in one is as it was, with its own version."""
    path = own(extends=True)
    told = json.loads(run("groups", "list", "--json", "--catalogue", path).stdout)
    assert [g["group"] for g in told["groups"]] == ["ours", "python"] + [g for g in BUILTIN["groups"] if g != "python"]
    assert explain(path, policy, "pypi.acme.test:443")["group"] == "python"
    assert explain(path, policy, "pypi.org:443")["reason"] == "host_not_allowed"
    builtin = explain(path, policy, "index.crates.io:443")
    assert (builtin["group"], builtin["version"]) == ("rust", BUILTIN["version"]) and "file" not in builtin
    assert explain(None, policy, "pypi.org:443")["verdict"] == "allow"


def test_the_catalogue_is_part_of_the_id(own, policy):
    path = own()
    ids = [explain(path, policy, "a.test:443")["policy_id"]]
    path.write_text(OWN + "# another edition\n")
    ids += [explain(path, policy, "a.test:443")["policy_id"], explain(None, policy, "a.test:443")["policy_id"]]
    assert len(set(ids)) == 3
    policy.write_text("name: e\nconfig:\n  networking: {type: limited}\n")
    assert explain(path, policy, "a.test:443")["policy_id"] == explain(None, policy, "a.test:443")["policy_id"]


def test_configuration_names_it(own, policy, tmp_path):
    own()
    (tmp_path / "gateway.yaml").write_text(
        "catalogue: catalogue.yaml\nlisteners: [{listen: 127.0.0.1:0}]\nenvironments: [{file: e.yaml}]\n")
    done = run("check", "--json", tmp_path / "gateway.yaml")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, told
    assert "package_managers.ours[1]" in {rule["rule"] for one in told for rule in one.get("rules", [])}


BAD = [
    ("groups: {}\n", 1, 1, "missing_key"),
    ("version: v\n", 1, 1, "missing_key"),
    ("version: \"a b\"\ngroups: {}\n", 1, 10, "version"),
    ("version: v\nextends: compat\ngroups: {}\n", 2, 10, "wrong_type"),
    ("version: v\ngroup: {}\ngroups: {}\n", 2, 1, "unknown_key"),
    ("version: v\ngroups: []\n", 2, 9, "wrong_type"),
    ("version: v\ngroups: {Ours: {tier: 1, why: w, hosts: [a.test]}}\n", 2, 10, "group_name"),
    ("version: v\ngroups: {g: [a.test]}\n", 2, 13, "wrong_type"),
    ("version: v\ngroups: {g: {tier: 3, why: w, hosts: [a.test]}}\n", 2, 20, "wrong_type"),
    ("version: v\ngroups: {g: {tier: 1, hosts: [a.test]}}\n", 2, 13, "missing_key"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: []}}\n", 2, 38, "wrong_type"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: a.test}}\n", 2, 38, "wrong_type"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [11.22.33.44]}}\n", 2, 39, "host"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [\"*.co.uk\"]}}\n", 2, 39, "host"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [\"*.amazonaws.com\"]}}\n", 2, 39, "host"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [\"https://a.test\"]}}\n", 2, 39, "host"),
    ("version: v\ngroups: {g: {tier: 1, why: w, modes: [open], hosts: [a.test]}}\n", 2, 39, "package_mode"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [{modes: [compat]}]}}\n", 2, 39, "missing_key"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [{host: a.test, except: [b]}]}}\n", 2, 63, "except"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [{host: \"*.a.test\", except: [b.test]}]}}\n", 2, 67, "except"),
    ("version: v\ngroups: {g: {tier: 1, why: w, hosts: [a.test]}, g: {tier: 1, why: w, hosts: [b.test]}}\n", 2, 49,
     "duplicate_key"),
]


@pytest.mark.parametrize("row", BAD, ids=lambda row: f"{row[3]}-{row[1]}-{row[2]}")
def test_says_where_it_is_wrong(own, policy, row):
    text, line, column, code = row
    path = own(text)
    done = run("check", "--json", "--catalogue", path, policy)
    told = json.loads(done.stdout)
    finding = told["findings"][0]
    assert done.returncode == 1 and not told["loads"]
    assert (finding["file"], finding["line"], finding["column"], finding["code"]) == (str(path), line, column, code)
    assert finding["fix"]
    assert run("groups", "list", "--catalogue", path).returncode == 78


def test_is_trusted_as_a_policy_is(own, policy):
    path = own()
    path.chmod(0o666)
    done = run("check", "--json", "--catalogue", path, policy)
    assert done.returncode == 1 and json.loads(done.stdout)["findings"][0]["code"] == "not_trusted"
