# SPDX-License-Identifier: Apache-2.0
"""What a sceptical auditor does to a log to see whether it is noticed: by this program, and by Go's sumdb packages on
the tiles. Whoever forges here can write every file and repair every hash and commit record; he cannot sign."""
import base64
import hashlib
import os
import shutil
import struct
import subprocess

import pytest

from lab import StartFailed
from lab.proxy import unprivileged
from test_evidence import Log, go  # noqa: F401 (a fixture)

COMMIT = 96


def sha(data):
    return hashlib.sha256(data).digest()


class Tree:
    """RFC 6962, section 2.1."""

    def __init__(self):
        self.stack = []
        self.size = 0

    def add(self, leaf):
        node, height = sha(b"\0" + leaf), 0
        while self.stack and self.stack[-1][0] == height:
            node, height = sha(b"\1" + self.stack.pop()[1] + node), height + 1
        self.stack.append((height, node))
        self.size += 1

    def root(self):
        rest = list(self.stack)
        node = rest.pop()[1]
        while rest:
            node = sha(b"\1" + rest.pop()[1] + node)
        return node


def batches(data):
    """[([entries], commit record)] of a segment."""
    out, entries, at = [], [], 0
    while at < len(data):
        length = int.from_bytes(data[at:at + 2], "big")
        if length == 0xffff:
            out.append((entries, data[at:at + COMMIT]))
            entries, at = [], at + COMMIT
        else:
            entries.append(data[at + 2:at + 2 + length])
            at += 2 + length
    return out


def forged(rows):
    """A segment of these batches with every count, root and checksum as it should be."""
    tree, out = Tree(), b""
    for entries, commit in rows:
        first = tree.size
        for entry in entries:
            tree.add(entry)
            out += struct.pack(">H", len(entry)) + entry
        checked = commit[:4] + struct.pack(">IQ", len(entries), first) + tree.root() + commit[48:80]
        out += checked + sha(checked)[:16]
    return out


class Copy:
    """A directory of its own for each forgery."""

    def __init__(self, log, name):
        self.log = log
        self.dir = log.folder / name
        shutil.copytree(log.dir, self.dir)
        for path in [self.dir, *self.dir.rglob("*")]:
            os.chmod(path, 0o777 if path.is_dir() else 0o666)
        self.key = self.dir / "keys" / "log.vkey"

    @property
    def segment(self):
        return next((self.dir / "segments").iterdir())

    def change(self, function):
        """A function of the list of batches; everything derived is made anew, and hashes/ taken away."""
        rows = batches(self.segment.read_bytes())
        function(rows)
        self.segment.write_bytes(forged([row for row in rows if row[0]]))
        for path in (self.dir / "hashes").iterdir():
            path.unlink()

    def run(self, verb, *args, expect):
        done = subprocess.run([self.log.proxy.binary, "audit", verb, str(self.dir), *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **unprivileged())
        assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stdout.decode()}"
        return done.stdout.decode()


@pytest.fixture
def log(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"], limits={"attempts_per_second": 100000, "attempts_burst": 1000000})
    for i in range(30):
        proxy.connect(f"d{i}.test", 443).expect(status=403).close()
    assert proxy.stop() == 0
    folder = lab.make_folder("forgery")
    if os.geteuid() == 0:
        os.chown(folder, unprivileged()["user"], unprivileged()["group"])
    return Log(proxy, folder)


def place(rows, word):
    for i, (entries, _) in enumerate(rows):
        for k, entry in enumerate(entries):
            if word in entry:
                return i, k
    raise AssertionError(word)


def test_the_forger_is_good(log):
    """Without a change his segment is the log's own, byte for byte: what is found below is not his mistake."""
    copy = Copy(log, "same")
    before = copy.segment.read_bytes()
    assert forged(batches(before)) == before
    copy.change(lambda rows: None)
    assert copy.segment.read_bytes() == before
    copy.run("verify", "--key", copy.key, expect=0)


def test_one_byte(log):
    """1. The index of the entry is named."""
    copy = Copy(log, "byte")
    data = copy.segment.read_bytes()
    copy.segment.write_bytes(data.replace(b"d7.test", b"d6.test", 1))
    index = next(r["metadata"]["sequence"] for r in log.records
                 if r.get("dst_endpoint", {}).get("hostname") == "d7.test")
    assert f"first bad entry {index}" in copy.run("verify", "--key", copy.key, expect=2)


def test_a_hash_tile(log, go):  # noqa: F811
    """2. A byte of the hash arrays, and one of a tile; the segments give the signed root again."""
    copy = Copy(log, "tile")
    path = copy.dir / "hashes" / "0"
    data = bytearray(path.read_bytes())
    data[32 * 9] ^= 1
    path.write_bytes(bytes(data))
    text = copy.run("verify", "--key", copy.key, expect=2)
    assert "first bad entry 9" in text and "hashes/ differ" in text and "are those that were signed" in text
    out = log.folder / "tiles"
    copy.run("tiles", "--out", out, expect=0)
    assert go("tiles", out, copy.key).returncode == 0
    tile = next(p for p in (out / "tile" / "0").rglob("*") if p.is_file())
    data = bytearray(tile.read_bytes())
    data[32 * 9] ^= 1
    tile.write_bytes(bytes(data))
    assert go("tiles", out, copy.key).returncode == 1


def remove(rows):
    i, k = place(rows, b'"d9.test"')
    del rows[i][0][k]


def swap(rows):
    i, k = place(rows, b'"d9.test"')
    m, n = place(rows, b'"d12.test"')
    rows[i][0][k], rows[m][0][n] = rows[m][0][n], rows[i][0][k]


def cut(rows):
    del rows[-4:]


def rewrite(rows):
    i, k = place(rows, b'"d9.test"')
    rows[i][0][k] = rows[i][0][k].replace(b"d9.test", b"x9.test")


@pytest.mark.parametrize("forge", [remove, swap, cut, rewrite])
def test_a_forged_history(log, forge):
    """3, 4, 5. A record is taken away, two change places, the newest are cut off, one says something else; every
    hash is repaired. The signed heads do not fit any more."""
    copy = Copy(log, forge.__name__)
    copy.change(forge)
    text = copy.run("verify", "--key", copy.key, expect=2)
    assert "signed" in text or "form" in text
    for verb, args in (("prove", ["--index", "3"]), ("absence", ["--env", "env-a", "--host", "d9.test"])):
        copy.run(verb, *args, expect=2)


def heads(copy):
    return copy.dir / "checkpoint", copy.dir / "checkpoints.log"


@pytest.mark.parametrize("line", [1, 2])
def test_an_edited_checkpoint(log, line):
    """7. Size or root: the signature does not fit, here and for whoever checks it."""
    copy = Copy(log, f"edited{line}")
    for path in heads(copy):
        lines = path.read_text().split("\n")
        at = len(lines) - 1 - lines[::-1].index(lines[0]) if path.name == "checkpoints.log" else 0
        old = lines[at + line]
        lines[at + line] = str(int(old) + 1) if line == 1 else base64.b64encode(sha(b"another")).decode()
        path.write_text("\n".join(lines))
    assert "signature" in copy.run("verify", "--key", copy.key, expect=2)


def test_an_older_state(log, lab):
    """6. It looks whole, and that this cannot be excluded is said; a pinned checkpoint excludes it."""
    old = Copy(log, "yesterday")
    again = lab.proxy(allowed_hosts=["a.test"], audit_dir=log.dir, signer_dir=log.proxy.signer_dir)
    again.connect("more.test", 443).expect(status=403).close()
    assert again.stop() == 0
    text = old.run("verify", "--key", old.key, expect=0)
    assert "not proven: absence of a rollback" in text
    pinned = log.folder / "pinned"
    shutil.copy(log.dir / "checkpoint", pinned)
    os.chmod(pinned, 0o644)
    assert "rollback or fork" in old.run("verify", "--key", old.key, "--pinned", pinned, expect=4)


def sign(seed, body, folder):
    """With a stolen key, by the openssl command."""
    der = bytes.fromhex("302e020100300506032b657004220420") + seed
    (folder / "stolen.der").write_bytes(der)
    (folder / "body").write_bytes(body)
    done = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", "stolen.der", "-in",
                           "body", "-out", "signature"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=20)
    assert done.returncode == 0, done.stdout.decode()
    return (folder / "signature").read_bytes()


def test_a_fork_with_the_stolen_key(log):
    """8. Two trees of one size, both signed: each is whole by itself; the head of one excludes the other, and the signer
    refuses to go on from the forged one."""
    text = (log.proxy.signer_dir / "log.key").read_text().split("\n")[1]
    copy = Copy(log, "fork")
    copy.change(rewrite)
    rows = batches(copy.segment.read_bytes())
    tree = Tree()
    for entries, _ in rows:
        for entry in entries:
            tree.add(entry)
    checkpoint, history = heads(copy)
    origin = checkpoint.read_text().split("\n")[0]
    mark = base64.b64decode(checkpoint.read_text().split("\n")[4].split(" ")[2])[:4]
    body = f"{origin}\n{tree.size}\n{base64.b64encode(tree.root()).decode()}\n".encode()
    line = base64.b64encode(mark + sign(base64.b64decode(text), body, log.folder)).decode()
    note = body.decode() + f"\n— {origin} {line}\n"
    checkpoint.write_text(note)
    history.write_text(note + "\n")
    copy.run("verify", "--key", copy.key, expect=0)
    pinned = log.folder / "true-head"
    shutil.copy(log.dir / "checkpoint", pinned)
    os.chmod(pinned, 0o644)
    assert pinned.read_text().split("\n")[1] == str(tree.size)  # of one size
    text = copy.run("verify", "--key", copy.key, "--pinned", pinned, expect=4)
    assert "rollback or fork" in text
    true, false = pinned.read_text().split("\n")[2], body.decode().split("\n")[2]
    assert f"both are signed with the key, for {tree.size} entries: {false} here, {true} pinned" in text


def test_the_signer_knows_better(lab, log):
    """8. The forged history in place of the true one: the program does not start on it."""
    segment = next((log.dir / "segments").iterdir())
    rows = batches(segment.read_bytes())
    rewrite(rows)
    segment.write_bytes(forged(rows))
    for path in (log.dir / "hashes").iterdir():
        path.unlink()
    (log.dir / "checkpoints.log").write_text("")
    (log.dir / "checkpoint").unlink()
    with pytest.raises(StartFailed) as failed:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=log.dir, signer_dir=log.proxy.signer_dir)
    assert failed.value.code in (2, 4), failed.value.text


def test_each_exit_status(log):
    """verify: 0 proven, 2 changed, 3 not there, 4 rolled back, 5 incomplete, 64 wrong usage; the worst one counts."""
    good, changed, lost = Copy(log, "good"), Copy(log, "changed"), Copy(log, "lost")
    good.run("verify", "--key", good.key, expect=0)
    flip(changed.segment, changed.segment.read_bytes().index(b"d9.test"))
    changed.run("verify", expect=2)
    shutil.rmtree(lost.dir)
    lost.run("verify", expect=3)
    heads = (good.dir / "checkpoints.log").read_text()
    lines = heads.split("\n")
    pinned = log.folder / "pinned"
    pinned.write_text("\n".join(lines[:5]) + "\n")
    os.chmod(pinned, 0o644)
    good.run("verify", "--pinned", pinned, expect=0)
    other = Copy(log, "other")
    (other.dir / "checkpoints.log").write_text(heads + heads)
    other.run("verify", expect=4)  # a smaller size was signed behind a larger one
    good.run("verify", "--env", "nobody", expect=5)
    changed.run("verify", "--env", "nobody", expect=2)
    good.run("verify", "--since", "soon", expect=64)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
