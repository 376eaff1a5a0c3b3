# SPDX-License-Identifier: Apache-2.0
"""A compliance officer with a copy of the directory, the verifier key and the manual: the commands of docs/audit.md are
run as they stand there, and what they say is held against what happened."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab import wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "audit.md"


def sections():
    """{heading: command} of the manual."""
    out = {}
    for part in MANUAL.read_text().split("\n## ")[1:]:
        for command in re.findall(r"```sh\n(.*?)```", part, re.S):
            out[part.split("\n", 1)[0]] = command
    return out


class Desk:
    """Where the officer sits: nothing but the copy, the key, and the program."""

    def __init__(self, lab, proxy, key):
        self.folder = lab.make_folder("desk")
        self.log = self.folder / "copy"
        shutil.copytree(proxy.audit_dir, self.log)
        for path in [self.log, *self.log.rglob("*")]:
            os.chmod(path, 0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(self.folder, unprivileged()["user"], unprivileged()["group"])
        self.env = {"LOG": str(self.log), "KEY": key, "PATH": f"{pathlib.Path(proxy.binary).parent}:/usr/bin:/bin"}
        for name in os.environ:
            if name.endswith("SAN_OPTIONS"):
                self.env[name] = os.environ[name]

    def run(self, command, expect=0):
        done = subprocess.run(["sh", "-c", command], env=self.env, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, **unprivileged())
        assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout.decode()}"
        return done.stdout.decode()


@pytest.fixture
def story(lab):
    """What happened: three tunnels, four names refused, one hello of another name, an address that is forbidden."""
    origin = lab.origin(after_hello(echo))
    lab.dns.set("inside.test", "10.1.2.3")
    proxy = lab.proxy(hosts=[origin.at("a.test")], allowed_hosts=["inside.test"])
    key = (proxy.audit_dir / "keys" / "log.vkey").read_text().strip()  # given by another way, on the first day
    for _ in range(3):
        proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    for i in range(4):
        proxy.connect(f"d{i}.never.test", 443).expect(status=403).close()
    proxy.connect("a.test", origin.port).expect(status=200).hello(sni="b.test").close()
    proxy.connect("inside.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 5, what="all outcomes")
    assert proxy.stop() == 0
    return Desk(lab, proxy, key), proxy.audit.records()


def test_the_five_questions(story):
    desk, records = story
    manual = sections()
    assert len(manual) == 6
    size = len(records)
    # 1. Whole, unchanged, by whom.
    text = desk.run(manual["Is it whole, is it unchanged, who signed it?"])
    assert f"the first {size} entries are those that were signed" in text
    assert f"proven: {size} entries, {size} signed, 9 attempts, 5 outcomes, 0 open" in text
    assert "key came from the directory" not in text
    # 2. What was refused.
    text = desk.run(manual["What did an environment try, and what was refused?"])
    assert sum("host_not_allowed" in line for line in text.splitlines()) == 4
    assert all(word in text for word in ("sni_mismatch", "address_forbidden", "d3.never.test"))
    # 3. Everything of one environment, checked without this program.
    desk.run(manual["All traffic of one environment or session, for its owner"])
    ours = [r for r in records if r["metadata"].get("tenant_uid") == "env-a"]
    bundle = desk.folder / "bundle"
    lines = (bundle / "entries.jsonl").read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == ours
    for line in lines:
        check_proof(bundle, line)
    # 4. Never there, and once there.
    absence = manual["Did it ever contact this host?"]
    text = desk.run(absence)
    assert "env-a never contacted *.never.test" in text and "4 refused" in text
    assert f"all {len(ours)} entries of env-a were read" in text and "not proven: that the host was not reached" in text
    assert (desk.log / "checkpoint").read_text() in text
    first = next(r for r in records if r["metadata"]["event_code"] == "outcome")["metadata"]["sequence"]
    text = desk.run(absence.replace("*.never.test", "a.test"), expect=5)
    assert "4 contacts" in text and f"the first is entry {first}" in text  # the refused hello was dialled
    assert "0 contacts" in desk.run(absence.replace("*.never.test", "inside.test"))
    # 5. As the policy says.
    text = desk.run(manual["Was each decision what the policy says?"])
    assert "14 decisions came out the same, 0 differ; 0 without their policy, 0 not decided by one" in text
    # What is not proven.
    report = desk.run(manual["What none of this proves"])
    assert report.index("What never passes this gate") < report.index("What is proven")
    unproven = report[report.index("What is not proven"):report.index("Controls that this log")]
    for word in ("absence of a rollback", "a root user can stop the program", "agreement with a counter"):
        assert word in unproven, word


def check_proof(bundle, line):
    """RFC 9162 2.1.3.2, for one line of a bundle."""
    index = json.loads(line)["metadata"]["sequence"]
    head, note = (bundle / "proofs" / f"{index}.tlog-proof").read_text().split("\n\n", 1)
    hashes = [base64.b64decode(text) for text in head.split("\n")[2:]]
    assert note == (bundle / "checkpoint").read_text()
    size, root = note.split("\n")[1:3]
    fn, sn, node = index, int(size) - 1, hashlib.sha256(b"\0" + line).digest()
    for sibling in hashes:
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and base64.b64encode(node).decode() == root


def test_a_decision_that_was_not_the_policys(story):
    """A record says another reason than its policy gives: replay lists it, and verify finds that it was changed."""
    desk, records = story
    segment = next((desk.log / "segments").iterdir())
    data = segment.read_bytes()
    os.chmod(segment, 0o644)
    assert data.count(b"host_not_allowed") == 4
    segment.write_bytes(data.replace(b"host_not_allowed", b"port_not_allowed", 1))
    text = desk.run('sallyport audit replay "$LOG"', expect=5)
    index = next(r for r in records if r.get("status_code") == "host_not_allowed")["metadata"]["sequence"]
    assert f"entry {index}: d0.never.test:443: recorded deny (port_not_allowed), replayed deny (host_not_allowed)" in text
    assert "13 decisions came out the same, 1 differ" in text
    desk.run('sallyport audit verify "$LOG"', expect=2)
    desk.run('sallyport audit absence "$LOG" --env env-a --host never.test', expect=2)


def test_the_times_of_an_absence(story):
    desk, records = story
    hour = desk.run('sallyport audit absence "$LOG" --env env-a --host a.test --to 1h --json')
    assert json.loads(hour)["statement"] == "never contacted" and json.loads(hour)["env_entries_then"] == 0
    now = json.loads(desk.run('sallyport audit absence "$LOG" --env env-a --host a.test --from 1h --json', expect=5))
    assert (now["contacts"], now["unknown"], now["refused"]) == (4, 0, 0)
    assert now["checkpoint"] == (desk.log / "checkpoint").read_text()
    desk.run('sallyport audit absence "$LOG" --env nobody --host a.test', expect=1)
    desk.run('sallyport audit absence "$LOG" --env env-a', expect=64)
