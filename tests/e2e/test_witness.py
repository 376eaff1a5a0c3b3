# SPDX-License-Identifier: Apache-2.0
"""Witnesses: somebody else remembers what was signed, and a log that was rolled back or forked is refused.

Debian's sigsum-witness (package sigsum-go, in the backports of Debian 12) is the witness that is not ours. Where it is
not installed `tools/sigsum DIR` unpacks it, and SIGSUM names DIR: ctest does that in front of this story."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from lab import StartFailed, wait_for
from lab.gateway import Gateway
from lab.proxy import LEASH, unprivileged


def run(*command, **options):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          **options)


@pytest.fixture(scope="module")
def sigsum():
    """The folder of the sigsum programs; without them these tests fail, and say what is missing."""
    found = shutil.which("sigsum-witness")
    if found is None and os.environ.get("SIGSUM"):
        found = pathlib.Path(os.environ["SIGSUM"]) / "usr" / "bin" / "sigsum-witness"
    assert found and os.access(found, os.X_OK), "sigsum-witness is missing: tools/sigsum DIR, and SIGSUM=DIR"
    return pathlib.Path(found).parent


class Witness:
    """sigsum-witness for one log."""

    def __init__(self, lab, sigsum, vkey):
        self.folder = lab.make_folder("witness")
        self.programs = sigsum
        key = self.folder / "key"
        assert run(sigsum / "sigsum-key", "generate", "-o", key).returncode == 0
        (self.folder / "log.vkey").write_text(vkey + "\n")
        public = run(sigsum / "sigsum-key", "from-vkey", "-k", self.folder / "log.vkey", "-o", self.folder / "log.pub")
        assert public.returncode == 0, public.stdout.decode()
        raw = bytes.fromhex(run(sigsum / "sigsum-key", "to-hex", "-k", f"{key}.pub").stdout.decode().strip())
        name = "sigsum.org/v1/witness/" + hashlib.sha256(raw).hexdigest()
        typed = b"\x04" + raw
        mark = hashlib.sha256(name.encode() + b"\n" + typed).hexdigest()[:8]
        self.vkey = f"{name}+{mark}+{base64.b64encode(typed).decode()}"
        self.process = None
        self.start()

    def start(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.output = open(self.folder / "output", "ab")
        # Its patterns are those of an older Go: without this it finds nothing that it serves.
        self.process = subprocess.Popen(
            [*LEASH, str(self.programs / "sigsum-witness"), "-k", str(self.folder / "key"), "--log-key",
             str(self.folder / "log.pub"), "--state-file", str(self.folder / "state"), f"127.0.0.1:{self.port}"],
            stdout=self.output, stderr=self.output, env={**os.environ, "GODEBUG": "httpmuxgo121=0"})

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for(listens, 20, lambda: "the witness listens; it said " + (self.folder / "output").read_text())

    def policy(self, path, extra=""):
        path.write_text(f"# one of them\nwitness w1 {self.vkey} http://127.0.0.1:{self.port}\n{extra}"
                        + ("" if "quorum" in extra else "quorum w1\n"))
        os.chmod(path, 0o644)
        return path

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None
            self.output.close()


class StandIn(Witness):
    """A witness of our own, which signs whatever goes on from the size that it has signed last."""

    def __init__(self, lab, _sigsum, _vkey):
        self.folder = lab.make_folder("stand-in")
        self.key = self.folder / "key.pem"
        seed = os.urandom(32)
        der = bytes.fromhex("302e020100300506032b657004220420") + seed
        subprocess.run(["openssl", "pkey", "-inform", "DER", "-out", self.key], input=der, check=True, timeout=20)
        typed = b"\x04" + public_of(seed)
        self.name = "stand-in.test"
        self.mark = hashlib.sha256(self.name.encode() + b"\n" + typed).digest()[:4]
        self.vkey = f"{self.name}+{self.mark.hex()}+{base64.b64encode(typed).decode()}"
        self.size = self.port = self.asked = 0
        self.server = None
        self.start()

    def sign(self, body):
        message = self.folder / "message"
        seconds = int(time.time())
        message.write_bytes(b"cosignature/v1\ntime %d\n" % seconds + body)
        signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", message],
                                stdout=subprocess.PIPE, check=True, timeout=20).stdout
        blob = base64.b64encode(self.mark + seconds.to_bytes(8, "big") + signed).decode()
        return f"— {self.name} {blob}\n".encode()

    def answer(self, request):
        first, note = request.split(b"\n\n", 1)
        self.asked += 1
        old, body = int(first.split()[1]), note.split(b"\n\n", 1)[0] + b"\n"
        if old != self.size:
            return 409, b"%d\n" % self.size
        self.size = int(body.split(b"\n")[1])
        return 200, self.sign(body)

    def start(self):
        """At the port that it had, if it had one."""
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                status, text = witness.answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass
        self.server = http.server.HTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        if self.server is not None:
            self.server.shutdown()
            self.thread.join(20)
            self.server.server_close()
            self.server = None


def public_of(seed):
    """Ed25519: the public key of a seed, by the openssl command."""
    der = bytes.fromhex("302e020100300506032b657004220420") + seed
    out = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=der,
                         stdout=subprocess.PIPE, check=True, timeout=20).stdout
    return out[-32:]


class Log:
    """A program whose log has a name in the form that this witness takes, so its key is given."""

    def __init__(self, lab):
        self.lab = lab
        self.proxy = Gateway(lab, [lab.policy(allowed_hosts=["a.test"])], start=False)
        seed = os.urandom(32)
        origin = "sigsum.org/v1/tree/" + hashlib.sha256(public_of(seed)).hexdigest()
        self.proxy.config["audit"]["origin"] = self.origin = origin
        self.proxy.write_config()
        key = self.proxy.signer_dir / "log.key"
        key.write_text("sallyport log key 1\n" + base64.b64encode(seed).decode() + "\n")
        os.chmod(key, 0o600)
        if os.geteuid() == 0:
            os.chown(key, unprivileged()["user"], unprivileged()["group"])
        self.proxy.args = ["--adopt"]  # there is a key, and nothing that it signed
        self.proxy.start()
        self.dir = self.proxy.audit_dir
        self.vkey = (self.dir / "keys" / "log.vkey").read_text().strip()
        assert self.vkey.startswith(origin + "+")
        self.proxy.args = []

    def attempts(self):
        """Some more entries; gives how many there are then."""
        for i in range(5):
            self.proxy.connect(f"d{i}.test", 443).expect(status=403).close()
        return len(self.proxy.audit.records())

    def heads(self, name):
        """The sizes of the heads in a file of the log, none if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            return [int(n) for n in re.findall(rf"^{re.escape(self.origin)}\n(\d+)\n", (self.dir / name).read_text(), re.M)]
        return []

    def require(self, policy):
        """From the next start on heads wait for these witnesses."""
        self.proxy.config["audit"]["witness"] = {"require": "publish", "file": str(policy)}
        self.proxy.write_config()

    def grow(self):
        size = self.attempts()
        wait_for(lambda: int((self.dir / "checkpoint").read_text().split("\n")[1]) >= size, 10, "they are signed")

    def audit(self, verb, *args, expect=0, dir=None):
        done = run(self.proxy.binary, "audit", verb, dir or self.dir, *args, **unprivileged())
        assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{done.stdout.decode()}"
        return done.stdout.decode()


@pytest.fixture
def log(lab):
    return Log(lab)


@pytest.fixture
def witness(lab, log, sigsum):
    one = Witness(lab, sigsum, log.vkey)
    yield one
    one.close()


def test_cosigned_and_refused(lab, log, witness):
    """Audit tests 6 and 8: the witness signs what extends what it knows; a rolled-back log is refused with exit 4."""
    policy = witness.policy(lab.folder / "witnesses")
    log.grow()
    published = log.dir.parent / "admin" / "published"
    assert "1 of 1 witnesses signed; that is the quorum" in log.audit("cosign", "--witnesses", policy, "--publish",
                                                                     published)
    assert published.read_text().startswith((log.dir / "cosigned.log").read_text().split("\n\n")[0])
    assert published.read_text().count("— ") == 2  # the log's and the witness's
    old = lab.folder / "old"
    shutil.copytree(log.dir, old, copy_function=shutil.copy2)
    log.grow()
    assert "that is the quorum" in log.audit("cosign", "--witnesses", policy)
    assert log.proxy.stop() == 0
    log.audit("cosign", "--witnesses", policy)
    log.audit("cosign", "--witnesses", policy)  # again, with nothing new
    size = int((log.dir / "checkpoint").read_text().split("\n")[1])
    text = log.audit("verify", "--witnesses", policy, "--key", log.vkey)
    assert f"w1 signed that the first {size} entries were these" in text
    assert f"absence of a rollback behind entry {size}" in text and "no witness has signed" not in text
    assert f"w1, for the first {size} entries, at 20" in log.audit("verify", "--report", "--witnesses", policy)
    # Yesterday's directory looks whole; with what the witness signed, and to the witness itself, it is not.
    for path in [old, *old.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    log.audit("verify", "--key", log.vkey, dir=old)
    assert "signed a larger log" in run_as_root(log, "cosign", old, policy, 4)
    shutil.copy(log.dir / "cosigned.log", old / "cosigned.log")
    os.chmod(old / "cosigned.log", 0o644)
    assert "is no part of this log" in log.audit("verify", "--witnesses", policy, dir=old, expect=4)


def run_as_root(log, verb, folder, policy, expect):
    done = run(log.proxy.binary, "audit", verb, folder, "--witnesses", policy)
    assert done.returncode == expect, done.stdout.decode()
    return done.stdout.decode()


def test_quorums(lab, log, witness):
    """One of two is enough, two of two are not there; a witness that is away is said."""
    log.grow()
    assert log.proxy.stop() == 0
    typed = b"\x04" + b"\x07" * 32
    mark = hashlib.sha256(b"nobody.test\n" + typed).hexdigest()[:8]
    other = f"witness w2 nobody.test+{mark}+{base64.b64encode(typed).decode()} http://127.0.0.1:1\n"
    both = witness.policy(lab.folder / "both", other + "group g all w1 w2\nquorum g\n")
    published = log.dir.parent / "admin" / "published"
    text = log.audit("cosign", "--witnesses", both, "--publish", published, expect=1)
    assert "1 of 2 witnesses signed; no quorum" in text and "w2: " in text
    assert not published.exists()
    assert "signatures of the quorum" in log.audit("verify", "--witnesses", both, expect=5)
    one = witness.policy(lab.folder / "one", other + "group g any w1 w2\nquorum g\n")
    log.audit("verify", "--witnesses", one)
    log.audit("cosign", "--witnesses", one, "--publish", published)
    assert published.exists()
    witness.close()
    assert "no quorum" in log.audit("cosign", "--witnesses", one, expect=1)


def signed(log, size):
    wait_for(lambda: max(log.heads("withheld"), default=0) >= size, 10, "a head is signed and withheld")


@pytest.mark.parametrize("kind", [Witness, StandIn])
def test_withheld_until_the_quorum_signs(lab, log, sigsum, kind):
    """The end of audit test 18, `require: publish`: while the witness is away nobody waits but the checkpoint; it is given
    out when the witness is back, and a kill in between loses nothing."""
    log.grow()
    assert log.proxy.stop() == 0
    one = kind(lab, sigsum, log.vkey)
    try:
        policy = one.policy(lab.folder / "witnesses")
        log.require(policy)
        [before] = log.heads("checkpoint")
        log.proxy.start()
        size = log.attempts()
        signed(log, size)
        assert log.heads("checkpoint") == [before] and log.heads("checkpoints.log")[-1] == before
        text = log.audit("verify", "--key", log.vkey)
        assert f"until witnesses sign: the one that is given out covers {before} entries" in text
        assert re.search(r"found: +\d+ heads withheld since 20", text)
        assert f"what lies behind entry {before}: it is signed" in text
        status = json.loads(log.audit("status", "--json"))
        assert status["published"] == before and status["signed"] >= size and status["withheld"] > 0
        assert f"published    {before} entries; " in log.audit("status")
        log.audit("cosign", "--witnesses", policy)
        wait_for(lambda: log.heads("checkpoint")[0] >= size, 10, "the head is given out")
        # The witness is away: attempts go on, the checkpoint does not, and that survives a kill.
        one.close()
        [at] = log.heads("checkpoint")
        size = log.attempts()
        signed(log, size)
        assert "no quorum" in log.audit("cosign", "--witnesses", policy, expect=1)
        log.proxy.kill()
        waiting = log.heads("withheld")
        assert log.heads("checkpoint") == [at] and max(waiting) >= size
        log.audit("verify", "--key", log.vkey)
        log.proxy.start()
        size = log.attempts()
        signed(log, size)
        assert log.heads("checkpoint") == [at] and log.heads("withheld")[0] == waiting[0]
        # It is back.
        one.start()
        policy = one.policy(lab.folder / "witnesses")
        log.audit("cosign", "--witnesses", policy)
        wait_for(lambda: log.heads("checkpoint")[0] >= size, 10, "the head is given out")
        assert log.proxy.stop() == 0
        log.audit("verify", "--key", log.vkey, "--witnesses", policy)
        heads = log.heads("checkpoints.log")
        assert heads == sorted(heads) and set(waiting) <= set(heads)
    finally:
        one.close()


def test_withheld_and_followed(lab, log):
    """`audit cosign --follow` beside the program: what comes is given out by itself; a hand-over of the key as well."""
    log.grow()
    assert log.proxy.stop() == 0
    one = StandIn(lab, None, log.vkey)
    policy = one.policy(lab.folder / "witnesses")
    log.require(policy)
    log.proxy.start()
    cosign = subprocess.Popen([log.proxy.binary, "audit", "cosign", log.dir, "--witnesses", policy, "--follow", "--interval",
                               "100ms"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **unprivileged())
    try:
        size = log.attempts()
        wait_for(lambda: log.heads("checkpoint")[0] >= size, 20, "the head is given out")
        one.close()
        size = log.attempts()
        signed(log, size)
        [at] = log.heads("checkpoint")
        assert at < size
        admin = f"unix:{log.proxy.folder}/admin/a.sock"
        status = json.loads(run(log.proxy.binary, "status", "--admin", admin).stdout)["audit"]
        assert status["published"] == at and status["signed"] >= size and status["publish_lag_ms"] > 0
        turned = run(log.proxy.binary, "audit", "rotate-key", "--admin", admin, **unprivileged())
        assert turned.returncode == 0, turned.stdout.decode()
        size = log.attempts()
        signed(log, size)
        log.audit("verify", "--key", log.vkey)
        assert log.heads("checkpoint") == [at]
        one.start()
        wait_for(lambda: log.heads("checkpoint")[0] >= size, 20, "the head is given out")
        assert cosign.poll() is None
        assert log.proxy.stop() == 0
    finally:
        cosign.terminate()
        assert cosign.wait(20) == 0
        one.close()
    new = (log.dir / "keys" / "log.vkey").read_text().strip()
    assert new != log.vkey
    log.audit("verify", "--key", log.vkey)
    log.audit("verify", "--key", new)


@pytest.mark.parametrize("text,says", [
    (None, "the witnesses of the audit log are not known"),
    ("quorum w1\n", "line 1: nothing above has this name"),
    ("quorum none\n", "asks for no witness"),
])
def test_nobody_to_wait_for(lab, log, text, says):
    """Without witnesses that can be read nothing starts that would wait for them for ever."""
    assert log.proxy.stop() == 0
    policy = lab.folder / "witnesses"
    if text is not None:
        policy.write_text(text)
        os.chmod(policy, 0o644)
    log.require(policy)
    with pytest.raises(StartFailed) as failed:
        log.proxy.start()
    assert failed.value.code == 78 and says in failed.value.text


@pytest.mark.parametrize("text,says", [
    ("witness w1 nonsense\nquorum w1\n", "line 1: this is no verifier key of a witness"),
    ("group g 2 w1 w2\nquorum g\n", "line 1: a member is unknown"),
    ("quorum w1\n", "line 1: nothing above has this name"),
    ("# nothing\n", "the quorum is missing"),
    ("sign everything\n", "line 1: this is not witness, group or quorum"),
])
def test_wrong_policies(lab, text, says):
    proxy = lab.proxy(allowed_hosts=["a.test"])
    assert proxy.stop() == 0
    path = lab.folder / "witnesses"
    path.write_text(text)
    os.chmod(path, 0o644)
    for verb in ("cosign", "verify"):
        done = run(proxy.binary, "audit", verb, proxy.audit_dir, "--witnesses", path, **unprivileged())
        assert done.returncode == 1 and says in done.stdout.decode(), done.stdout.decode()


def test_a_log_keeps_its_name(lab, log):
    """The configured origin names a new log; another one for the same directory is refused."""
    assert log.proxy.stop() == 0
    log.proxy.config["audit"]["origin"] = "log.test/other/1"
    log.proxy.write_config()
    with pytest.raises(StartFailed) as failed:
        log.proxy.start()
    assert failed.value.code == 1 and "the audit log has another name" in failed.value.text
