# SPDX-License-Identifier: Apache-2.0
"""What is handed to somebody else, and programs that are not ours which check it."""
import hashlib
import html.parser
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

DRIVER = pathlib.Path(__file__).resolve().parent.parent / "audit" / "verify.go"
GO_PACKAGES = pathlib.Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/note")


class Log:
    """A log that was written by a run of the program, which has ended."""

    def __init__(self, proxy, folder):
        self.proxy = proxy
        self.dir = proxy.audit_dir
        self.folder = folder
        self.records = proxy.audit.records()

    def run(self, verb, *args, expect=0):
        done = subprocess.run([self.proxy.binary, "audit", verb, str(self.dir), *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, cwd=self.folder,
                              **self.proxy.audit.run_as)
        assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def lines(self, verb, *args):
        return [json.loads(line) for line in self.run(verb, *args).splitlines()]

    def leaf(self, index):
        return self.run("tail", "--json", "--from", index).split("\n", 1)[0].encode()


@pytest.fixture
def log(lab):
    origin = lab.origin(after_hello(echo))
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"attempts_per_second": 100000, "attempts_burst": 1000000})
    proxy.tunnel("a.test", origin.port).send(b"x").expect(data=b"x").close()
    proxy.connect("a.test", origin.port).expect(status=200).hello(sni="b.test").close()
    # More than one bundle of 256, and a part of another.
    for i in range(300):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    wait_for(lambda: len(proxy.audit.outcomes()) == 2, what="the outcomes")
    assert proxy.stop() == 0
    folder = lab.make_folder("evidence")
    if os.geteuid() == 0:
        os.chown(folder, unprivileged()["user"], unprivileged()["group"])
    return Log(proxy, folder)


# ---- query and export ----

def test_query(log):
    denied = [r for r in log.records if r.get("status_code") == "host_not_allowed"]
    assert len(denied) == 300
    assert log.lines("query", "--json", "--reason", "host_not_allowed") == denied
    assert [r["dst_endpoint"]["hostname"] for r in log.lines("query", "--json", "--host", "D7.test")] == ["d7.test"]
    asked = [r for r in log.records if r["metadata"]["event_code"] == "lookup"]
    assert {r["query"]["hostname"] for r in asked} == {"a.test"}
    assert log.run("query", "--count", "--host", "*.test").strip() == str(304 + len(asked))
    assert log.run("query", "--count", "--host", "*.a.test").strip() == "0"
    ruled = [r for r in log.records if r.get("firewall_rule", {}).get("uid") == "egress.hosts[0]"]
    assert len(ruled) >= 3  # two attempts, and the hello that was refused
    assert log.lines("query", "--json", "--rule", "egress.hosts[0]") == ruled
    assert log.run("query", "--count", "--env", "env-a").strip() == str(305 + len(asked))  # with the policy
    assert log.run("query", "--count", "--env", "env").strip() == "0"
    assert log.run("query", "--count", "--since", "1h").strip() == str(len(log.records))
    assert log.run("query", "--count", "--until", "1h").strip() == "0"
    assert "host_not_allowed" in log.run("query", "--host", "d7.test")
    log.run("query", "--verdict", "perhaps", expect=64)


def flows_and_lookups(records):
    kinds = [[], []]
    for record in records:
        kinds[record["metadata"]["event_code"] == "lookup"].append(record)
    return kinds


def test_the_verdict_is_the_final_one(log):
    """One flow was allowed by name and refused by its hello: none of its records is "allow"."""
    refused = [r["metadata"]["correlation_uid"] for r in log.records
               if r["metadata"]["event_code"] == "outcome" and r["action_id"] == 2]
    assert len(refused) == 1
    allowed, looked_up = flows_and_lookups(log.lines("query", "--json", "--verdict", "allow"))
    assert looked_up and refused[0] not in {r["metadata"]["correlation_uid"] for r in looked_up}
    assert [r["metadata"]["event_code"] for r in allowed] == ["attempt", "outcome"]
    assert refused[0] not in [r["metadata"]["correlation_uid"] for r in allowed]
    denied, looked_up = flows_and_lookups(log.lines("query", "--json", "--verdict", "deny"))
    assert {r["metadata"]["correlation_uid"] for r in looked_up} == set(refused)
    assert len(denied) == 302
    assert sum(r["metadata"]["correlation_uid"] == refused[0] for r in denied) == 2


def test_export(log):
    lines = log.lines("export", "--format", "jsonl", "--host", "d3.test")
    assert len(lines) == 1
    index = lines[0]["index"]
    assert lines[0]["event"] == log.records[index]
    assert lines[0]["origin"] == log.records[0]["metadata"]["log_name"]
    assert lines[0]["leaf_hash"] == hashlib.sha256(b"\0" + log.leaf(index)).hexdigest()
    assert len(log.lines("export")) == len(log.records)


# ---- proofs ----

def test_pinning(log):
    pinned = log.folder / "pinned"
    text = log.run("checkpoint", "--pin", pinned)
    assert pinned.read_text() == text == (log.dir / "checkpoint").read_text()
    assert log.run("checkpoint", "--pin", pinned) == text
    lines = text.split("\n")
    other = "\n".join([lines[0], "1", lines[2], *lines[3:]])
    pinned.write_text(other)
    log.run("checkpoint", "--pin", pinned, expect=4)
    assert pinned.read_text() == other
    pinned.write_text("what is this")
    log.run("checkpoint", "--pin", pinned, expect=1)
    assert pinned.read_text() == "what is this"


def test_nothing_is_proven_from_a_changed_log(log):
    copy = log.folder / "copy"
    shutil.copytree(log.dir, copy, copy_function=shutil.copy2)
    path = sorted((copy / "segments").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[data.index(b"d9.test")] ^= 1
    path.write_bytes(bytes(data))
    for verb, args in (("prove", ["--index", "3"]), ("tiles", ["--out", "t"]), ("checkpoint", [])):
        done = subprocess.run([log.proxy.binary, "audit", verb, str(copy), *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, cwd=log.folder)
        assert done.returncode == 2 and not done.stdout, verb
    assert not (log.folder / "t").exists()


def test_what_cannot_be_proven(log):
    log.run("prove", "--index", len(log.records), expect=1)
    log.run("prove", "--uid", "00000000-0000-7000-8000-000000000000", expect=1)
    log.run("prove", "--env", "nobody", "--out", "b", expect=1)
    log.run("prove", expect=64)
    log.run("prove", "--env", "env-a", expect=64)
    log.run("tiles", expect=64)


# ---- programs that are not ours ----

@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """The driver over Go's sumdb packages, as Debian has them: nothing is downloaded."""
    if shutil.which("go") is None or not GO_PACKAGES.exists():
        pytest.fail("golang-go and golang-golang-x-mod-dev are not installed (tools/packages test)")
    folder = tmp_path_factory.mktemp("go")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
           "GOCACHE": str(folder / "cache"), "GOFLAGS": "", "GOPROXY": "off"}
    done = subprocess.run(["go", "build", "-o", str(folder / "verify"), str(DRIVER)], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=240)
    assert done.returncode == 0, done.stdout.decode()

    def run(*args):
        return subprocess.run([str(folder / "verify"), *map(str, args)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
    return run


def test_go_reads_the_tiles(log, go):
    """Signature, every entry against the signed root, and that an older checkpoint is extended."""
    key = log.dir / "keys" / "log.vkey"
    older = log.folder / "older"
    older.write_text((log.dir / "checkpoints.log").read_text().split("\n\n—")[0] + "\n\n—" +
                     (log.dir / "checkpoints.log").read_text().split("\n\n—")[1].split("\n")[0] + "\n")
    log.run("tiles", "--out", "tiles")
    tiles = log.folder / "tiles"
    size = len(log.records)
    assert size > 256
    done = go("tiles", tiles, key, older)
    assert done.returncode == 0, done.stdout.decode()
    assert f"{size} entries" in done.stdout.decode() and "extends " in done.stdout.decode()
    log.run("tiles", "--out", "tiles", expect=1)  # never over what is there
    bundle = tiles / "tile" / "entries" / "000"
    data = bytearray(bundle.read_bytes())
    data[data.index(b"d9.test")] ^= 1
    bundle.write_bytes(bytes(data))
    index = next(r["metadata"]["sequence"] for r in log.records
                 if r.get("dst_endpoint", {}).get("hostname") == "d9.test")
    done = go("tiles", tiles, key)
    assert done.returncode == 1 and f"entry {index} is not what was signed" in done.stdout.decode()


def test_go_checks_a_proof(log, go):
    key = log.dir / "keys" / "log.vkey"
    for index in (0, 1, 255, 256, len(log.records) - 1):
        leaf = log.folder / f"{index}.json"
        leaf.write_bytes(log.leaf(index))
        proof = log.folder / f"{index}.tlog-proof"
        log.run("prove", "--index", index, "--out", proof)
        uid = log.records[index]["metadata"]["uid"]
        assert log.run("prove", "--uid", uid) == proof.read_text()
        done = go("proof", key, proof, leaf)
        assert done.returncode == 0 and done.stdout.decode() == f"entry {index}\n"
        leaf.write_bytes(log.leaf(index) + b" ")
        assert go("proof", key, proof, leaf).returncode == 1


def test_a_bundle_of_one_environment(lab, go):
    """All of one, its numbers without a gap, each with its proof, and no byte of the other."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    for i in range(5):
        proxy.connect(f"ours{i}.test", 443).expect(status=403).close()
    assert proxy.stop() == 0
    log = Log(proxy, proxy.folder)
    out = lab.make_folder("out")
    if os.geteuid() == 0:
        os.chown(out, unprivileged()["user"], unprivileged()["group"])
    log.run("prove", "--env", "env-a", "--out", out / "bundle")
    bundle = out / "bundle"
    manifest = json.loads((bundle / "manifest.json").read_text())
    lines = (bundle / "entries.jsonl").read_bytes().splitlines()
    entries = [json.loads(line) for line in lines]
    ours = [r for r in log.records if r["metadata"].get("tenant_uid") == "env-a"]
    assert entries == ours and len(ours) == manifest["entries"] == manifest["env_entries"] == 6
    assert [e["unmapped"]["env_seq"] for e in entries] == list(range(1, 7))
    assert manifest["reaches_beginning"] and manifest["reaches_end"]
    assert sorted(p.name for p in bundle.iterdir()) == ["checkpoint", "entries.jsonl", "log.vkey", "manifest.json",
                                                        "proofs"]
    assert b"log_started" not in b"".join(p.read_bytes() for p in bundle.rglob("*") if p.is_file())
    for line, entry in zip(lines, entries):
        leaf = bundle / "leaf"
        leaf.write_bytes(line)
        index = entry["metadata"]["sequence"]
        done = go("proof", bundle / "log.vkey", bundle / "proofs" / f"{index}.tlog-proof", leaf)
        assert done.returncode == 0, done.stdout.decode()
    log.run("prove", "--env", "env-a", "--to", "1h", "--out", out / "none", expect=1)
    assert not (out / "none").exists()


def test_an_older_key_leads_to_the_newest(lab, go):
    """Evidence of before and behind two hand-overs of the key, for somebody who has the first key alone: the checkpoint
    that both keys signed holds the entry that names the next one."""
    proxy = lab.proxy(allowed_hosts=["a.test"])
    keys = [proxy.ready["audit_key"]]
    for i in range(3):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
        if i == 2:
            break
        done = subprocess.run([proxy.binary, "audit", "rotate-key", "--admin", f"unix:{proxy.folder}/admin/a.sock"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, **unprivileged())
        assert done.returncode == 0, done.stdout.decode()
        keys.append(done.stdout.decode().strip())
    assert proxy.stop() == 0
    log = Log(proxy, proxy.folder)
    out = lab.make_folder("out")
    if os.geteuid() == 0:
        os.chown(out, unprivileged()["user"], unprivileged()["group"])
    for i, key in enumerate(keys):
        log.run("prove", "--key", key, "--rotations", "--out", out / f"r{i}")
        log.run("prove", "--key", key, "--env", "env-a", "--out", out / f"bundle{i}")
        log.run("tiles", "--key", key, "--out", out / f"tiles{i}")
        log.run("absence", "--key", key, "--env", "env-a", "--host", "a.test")
    for folder in ("r2", "bundle2", "tiles2"):
        assert tree_of(out / folder / "rotations") == tree_of(out / "r0" / "rotations")
    assert (out / "bundle0" / "log.vkey").read_text().strip() == keys[2]
    # From the first key on, with Go's packages: each hand-over under the key before it.
    rotations = out / "bundle0" / "rotations"
    entries = sorted(int(p.stem) for p in rotations.glob("*.json"))
    assert len(entries) == 2 and len(tree_of(rotations)) == 4
    have = keys[0]
    for index in entries:
        (log.folder / "have.vkey").write_text(have + "\n")
        done = go("proof", log.folder / "have.vkey", rotations / f"{index}.tlog-proof", rotations / f"{index}.json")
        assert done.returncode == 0 and done.stdout.decode() == f"entry {index}\n", done.stdout.decode()
        entry = json.loads((rotations / f"{index}.json").read_bytes())
        assert entry["metadata"]["event_code"] == "key_rotated" and entry["unmapped"]["old_vkey"] == have
        have = entry["unmapped"]["new_vkey"]
    assert have == keys[2]
    (log.folder / "have.vkey").write_text(have + "\n")
    first = log.folder / "first.json"
    first.write_bytes(log.leaf(0))
    log.run("prove", "--key", keys[0], "--index", "0", "--out", log.folder / "0.tlog-proof")
    assert go("proof", log.folder / "have.vkey", log.folder / "0.tlog-proof", first).returncode == 0
    (log.folder / "have.vkey").write_text(keys[0] + "\n")
    assert go("proof", log.folder / "have.vkey", log.folder / "0.tlog-proof", first).returncode == 1
    # A statement that is not what was signed leads nowhere; nor does a key of another log.
    stranger = lab.proxy(allowed_hosts=["a.test"])
    log.run("prove", "--key", stranger.ready["audit_key"], "--index", "0", expect=2)
    listed = log.dir / "keys" / "rotations"
    text = listed.read_text()
    listed.write_text(text.replace(keys[1], stranger.ready["audit_key"]))
    log.run("prove", "--key", keys[0], "--index", "0", expect=2)
    rows = text.splitlines(keepends=True)
    listed.write_text(str(int(rows[0].split()[0]) - 1) + " " + rows[0].split(" ", 1)[1] + rows[1])
    log.run("prove", "--key", keys[0], "--index", "0", expect=2)
    listed.write_text(text)
    log.run("prove", "--key", keys[0], "--index", "0")


def tree_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_openssl_checks_the_signature(log):
    """As docs/audit-format.md shows it; a changed size fails."""
    script = r"""
sed '/^$/,$d' "$1" > body
grep '^— ' "$1" | cut -d' ' -f3 | base64 -d | tail -c 64 > sig
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'
  sed 's/^[^+]*+[^+]*+//' "$2" | base64 -d | tail -c 32; } > pub.der
openssl pkeyutl -verify -pubin -inkey pub.der -keyform DER -rawin -in body -sigfile sig
"""
    def run(checkpoint):
        return subprocess.run(["sh", "-c", script, "sh", str(checkpoint), str(log.dir / "keys" / "log.vkey")],
                              cwd=log.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    done = run(log.dir / "checkpoint")
    assert done.returncode == 0 and b"Signature Verified Successfully" in done.stdout, done.stdout.decode()
    lines = (log.dir / "checkpoint").read_text().split("\n")
    changed = log.folder / "changed"
    changed.write_text("\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]))
    assert run(changed).returncode != 0


# ---- the report ----

def test_report(log):
    """The same as text and as one HTML file; nothing in it is fetched from elsewhere."""
    text = log.run("verify", "--report", "--key", log.dir / "keys" / "log.vkey")
    assert "Proven: the log is whole and is what was signed." in text
    size = len(log.records)
    assert f"the first {size} entries, until 20" in text and f"{size} entries, from 20" in text
    assert "given by whoever asked" in text and "with the program's uid" in text and "without network" in text
    for word in ("AU-2", "AU-12", "PCI DSS 10.2", "SOC 2 CC7.2", "HIPAA 164.312(b)", "EU AI Act Art. 12", "Art. 19, 26",
                 "What never passes this gate", "absence of a rollback"):
        assert word in text, word
    page = log.folder / "report.html"
    assert log.run("verify", f"--report={page}") == ""
    text = page.read_text()
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert "http:" not in text and "https:" not in text and "src=" not in text and "url(" not in text
    assert "taken from the log&#39;s own directory" in text
    assert "default-src 'none'" in text
    page_of(text)


class Outline(html.parser.HTMLParser):
    """What a reader that does not see the page goes by."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.headings, self.scopes, self.lang = [], [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag == "html":
            self.lang = dict(attrs).get("lang")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(text):
    """One h1, then h2 alone; every header cell says of what; everything that was opened is closed, and nothing runs."""
    outline = Outline()
    outline.feed(text)
    assert outline.open == [] and outline.lang == "en" and outline.seen.count("title") == 1
    assert outline.headings[0] == 1 and set(outline.headings[1:]) == {2}
    assert set(outline.scopes) == {"row", "col"} and outline.seen.count("main") == 1
    assert not {"script", "img", "iframe", "link", "a", "form", "object"} & set(outline.seen)
    return outline


def test_report_of_hostile_text(lab):
    """Names that the sandbox, and whoever asks, chose stand in the page as text."""
    evil = "<script>alert(1)</script>"
    proxy = lab.proxy(allowed_hosts=["a.test"])
    client = proxy.client().send(f"CONNECT {evil}:443 HTTP/1.1\r\nHost: {evil}\r\n\r\n".encode())
    client.read_to_end()
    assert proxy.stop() == 0
    log = Log(proxy, proxy.folder)
    assert any("script" in json.dumps(r) for r in log.records)
    page = log.folder / "admin" / "report.html"
    log.run("verify", "--env", evil, f"--report={page}", expect=5)
    text = page.read_text()
    assert "&#60;script&#62;alert(1)" in text and "NOT PROVEN: the log is incomplete." in text
    page_of(text)


def test_report_of_a_changed_log(log):
    path = sorted((log.dir / "segments").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[data.index(b"d9.test")] ^= 1
    path.write_bytes(bytes(data))
    text = log.run("verify", "--report", expect=2)
    assert "NOT PROVEN: the log was changed or is corrupt." in text
    assert "not supported while the findings stand" in text and "are an entry" not in text
