# SPDX-License-Identifier: Apache-2.0
"""Every case of the published table that CONNECT or plain HTTP can express, through a running proxy: what the client
sees, what the log says (verdict, reason and rule), and where the bytes went must be what the table says."""
import itertools

import pytest

import ocsf
from cases import read
from ground import NO_SUCH_DOOR, STATUS, Ground, expressible
from lab import Lab, netns
from lab.lab import base_folder
from lab.proxy import usable_binary

CASES = [case for case in read() if expressible(case)]


NOT_CONNECTED = 20  # rows of NO_SUCH_DOOR


def opened_an_address(case):
    """The attempt is written before its name is resolved and names the rule that opened the name; the one that opened the
    address stands in the outcome."""
    return case.rule.startswith("egress.private_networks") or case.rule.endswith(".addresses")


def test_what_cannot_be_connected():
    """The doors that do not exist are the only reason, and no row hides behind them unseen."""
    rows = [case for case in read() if not expressible(case)]
    assert {case.door for case in rows} == set(NO_SUCH_DOOR)
    assert len(rows) == NOT_CONNECTED and len(CASES) == len(read()) - NOT_CONNECTED


def ground_key(case):
    return case.policy, tuple(case.own)


@pytest.fixture(scope="module")
def seen():
    """All rows are run at once, a proxy after the other; each test then looks at its own."""
    binary = usable_binary(base_folder())
    if binary is None:
        pytest.skip("SALLYPORT does not name the program")
    if not netns.enter():
        pytest.skip("public addresses can only be dialled in a network namespace of our own, which needs root")
    out = {}
    for _, group in itertools.groupby(sorted(CASES, key=ground_key), ground_key):
        out.update(run_group(binary, list(group)))
    return out


def run_group(binary, cases):
    lab = Lab(binary=binary, checker=ocsf.problems)
    try:
        ground = Ground(lab, cases)
        seen = {case.id: ground.run(case) for case in cases}
        log = ground.finish()
        for one in seen.values():
            one.records = log.get((one.who["peer"], one.who["src_port"]), [])
        return seen
    finally:
        lab.close()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_case(seen, case):
    one = seen[case.id]
    assert one.problem is None, f"{case}: {one.problem}"
    assert one.records, f"{case}: the log holds nothing of it"
    first, last = one.records[0], one.records[-1]
    decided = "allow" if last["action_id"] == 1 else "deny"
    reason = last["status_code"] if decided == "deny" else "allowed"
    rules = [record.get("firewall_rule", {}).get("uid") for record in one.records]
    assert (decided, reason, rules[-1]) == (case.verdict, case.reason, case.rule), f"{case}: the log says {last}"
    if decided == "allow" and not opened_an_address(case):
        assert rules[0] == case.rule, f"{case}: the log names {rules}"
    assert one.verdict == decided, f"{case}: the client was told {one.verdict}"
    if one.reason is not None:
        assert (one.reason, one.rule or case.rule) == (case.reason, case.rule), f"{case}: the client was told {one}"
    assert first["metadata"]["tenant_uid"] == case.policy
    if decided == "allow" and (case.answers or case.is_literal):
        went = last["dst_endpoint"]["ip"]
        assert went in (case.answers or [case.host]), f"{case}: it went to {went}"
    if case.reason in STATUS:
        assert not last.get("unmapped", {}).get("dials"), f"{case}: something was dialled"
