# SPDX-License-Identifier: Apache-2.0
"""Every case of the published table, asked of `sallyport explain`."""
import collections
import concurrent.futures
import json
import os
import subprocess

import pytest

from cases import Case, read

CASES = read()
PROGRAM = os.environ.get("SALLYPORT", "")

HELLOS = {"-": [], "no-sni": ["--no-sni"], "ech": ["--no-sni", "--ech"], "not-tls": ["--no-tls"],
          "silence": ["--silent"]}


def hello_options(hello):
    if not hello.startswith("sni="):
        return HELLOS[hello]
    name, _, ech = hello[4:].partition("+")
    return ["--sni", name] + (["--ech"] if ech else [])


def command(case: Case):
    out = [PROGRAM, "explain", "--json", "--policy", str(case.file), "--via", case.door]
    if case.egress_file:
        out += ["--egress", str(case.egress_file)]
    if ":" in case.via:
        out += ["--method", case.method]
    for address in case.answers:
        out += ["--address", address]
    for own in case.own:
        out += ["--own", own]
    return [*out, *hello_options(case.hello), "--", case.request]


def ask(case):
    done = subprocess.run(command(case), capture_output=True, timeout=60, check=False)
    return case.id, done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def answers():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return {name: rest for name, *rest in pool.map(ask, CASES)}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_case(answers, case):
    code, out, err = answers[case.id]
    assert code in (0, 1), f"exit {code}: {err.decode()}"
    got = json.loads(out)
    assert (got["verdict"], got["reason"], got["rule"]) == case.expected, f"{case}\n{got}"
    assert code == (0 if case.verdict == "allow" else 1)


# What the table must hold to be worth its name.
POLICY_REASONS = {"allowed", "malformed_target", "method_not_allowed", "method_unknown", "port_not_allowed",
                  "host_not_allowed", "host_denied", "literal_not_allowed", "address_forbidden", "address_is_self",
                  "not_tls", "sni_absent", "sni_mismatch", "ech_refused", "hello_timeout"}


def test_table_is_whole():
    assert len(CASES) >= 250
    reasons = collections.Counter(case.reason for case in CASES)
    assert set(reasons) == POLICY_REASONS, "a reason of policy has no case, or another stands here"
    assert {case.door for case in CASES} == {"connect", "http", "socks5", "tls", "plain"}
    for case in CASES:
        assert case.verdict == ("allow" if case.reason == "allowed" else "deny"), case.id
        assert case.file.exists(), case.id
    unused = {p.stem for p in CASES[0].file.parent.glob("*.yaml")} - {c.policy for c in CASES}
    assert {name for name in unused if not name.endswith(".egress")} == set(), "a policy without a case"
