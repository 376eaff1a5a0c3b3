# SPDX-License-Identifier: Apache-2.0
"""A second copy elsewhere: acknowledged, taken up again after a break, and proven by itself."""
import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import threading

import pytest

from lab import wait_for
from lab.gateway import Gateway
from lab.proxy import unprivileged
from lab.servers import Nginx


class Store(http.server.ThreadingHTTPServer):
    """An object store of our own: what came whole lies below `folder`, and nothing else does."""
    daemon_threads = True

    def __init__(self, folder, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.folder = pathlib.Path(folder)
        self.cut = None  # (name, bytes): this one is broken off once
        self.refuse = None  # a status for everything
        self.puts = []
        self.headers = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()

    def report(self):
        return f"puts {self.puts}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_PUT(self):
        store = self.server
        name = self.path.removeprefix("/gate/")
        length = int(self.headers["Content-Length"])
        if store.cut is not None and store.cut[0] in name:
            self.rfile.read(min(length, store.cut[1]))
            store.cut = None
            self.connection.close()
            return
        body = self.rfile.read(length)
        if len(body) == length and store.refuse is None:
            path = store.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            store.puts.append(name)
            store.headers.append(dict(self.headers))
        self.send_response(store.refuse or 201)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Written:
    """A log of a program that has ended, and what the program says of it."""

    def __init__(self, lab):
        self.lab = lab
        self.proxy = lab.proxy(allowed_hosts=["a.test"])
        self.dir = self.proxy.audit_dir
        self.add()

    def add(self):
        for i in range(20):
            self.proxy.connect(f"d{i}.test", 443).expect(status=403).close()

    def run(self, verb, *args, expect=0, dir=None):
        done = subprocess.run([self.proxy.binary, "audit", verb, str(dir or self.dir), *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **unprivileged())
        text = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == expect, f"{verb} {args}: exit {done.returncode}\n{text}"
        return text

    def restart(self):
        self.proxy = self.lab.proxy(allowed_hosts=["a.test"], audit_dir=self.dir, signer_dir=self.proxy.signer_dir)
        self.add()
        assert self.proxy.stop() == 0


@pytest.fixture
def log(lab):
    one = Written(lab)
    assert one.proxy.stop() == 0
    return one


@pytest.fixture
def store(lab):
    ca, context = lab.certificate("localhost")
    one = Store(lab.make_folder("store"), context)
    one.ca = ca
    one.url = f"https://localhost:{one.server_address[1]}/gate"
    yield one
    one.close()


def owned(folder):
    if os.geteuid() == 0:
        os.chown(folder, unprivileged()["user"], unprivileged()["group"])
    return folder


def proven(log, copy):
    for path in [copy, *pathlib.Path(copy).rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    return log.run("verify", "--key", log.dir / "keys" / "log.vkey", dir=copy)


def test_to_a_directory(lab, log):
    copy = owned(lab.make_folder("copy"))
    report = json.loads(log.run("ship", "--to", copy, "--newest", "--json"))
    size = len(log.proxy.audit.records())
    assert report["entries"] == report["head"] == report["signed"] == size and report["lag_entries"] == 0
    text = proven(log, copy)
    assert f"{size} entries, {size} signed" in text and "hash arrays" not in text
    assert (copy / "checkpoint").read_bytes() == (log.dir / "checkpoint").read_bytes()
    assert sorted(p.name for p in copy.iterdir()) == ["blobs", "checkpoint", "checkpoints.log", "heads", "keys",
                                                      "log.json", "segments"]
    assert f"20 attempts" in text
    # More entries: the same directory goes on from what was acknowledged.
    log.restart()
    log.run("ship", "--to", copy, "--newest")
    more = len(log.proxy.audit.records())
    assert more > size and f"{more} entries, {more} signed" in proven(log, copy)
    # A changed copy is found, and a head that was shipped is a pin against a rollback of the log.
    newest = sorted((copy / "heads").iterdir())[-1]
    log.run("verify", "--pinned", newest)
    segment = next((copy / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    data[data.index(b"d7.test")] ^= 1
    segment.write_bytes(bytes(data))
    log.run("verify", dir=copy, expect=2)


def test_a_log_that_was_rolled_back_is_not_shipped(lab, log):
    copy = owned(lab.make_folder("copy"))
    old = lab.folder / "old"
    shutil.copytree(log.dir, old, copy_function=shutil.copy2)
    log.restart()
    log.run("ship", "--to", copy, "--newest")
    state = (log.dir / "shipped").read_bytes()
    shutil.rmtree(log.dir)
    shutil.copytree(old, log.dir, copy_function=shutil.copy2)
    (log.dir / "shipped").write_bytes(state)
    for path in [log.dir, *log.dir.rglob("*")]:
        owned(path)
    assert "rolled back" in log.run("ship", "--to", copy, "--newest", expect=2)


def test_to_an_object_store(lab, log, store):
    """Whole objects over HTTPS, with their digests and the headers of a file."""
    headers = lab.folder / "headers"
    headers.write_text("Authorization: Bearer of-the-store\n")
    os.chmod(headers, 0o644)
    log.run("ship", "--to", store.url, "--ca", store.ca, "--headers", headers, "--newest")
    assert all(h["Authorization"] == "Bearer of-the-store" for h in store.headers)
    assert all(h["Content-Digest"].startswith("sha-256=:") for h in store.headers)
    size = len(log.proxy.audit.records())
    assert f"{size} entries, {size} signed" in proven(log, store.folder)
    order = [name.split("/")[0] for name in store.puts]
    assert order.index("blobs") < order.index("segments") < order.index("heads") < order.index("checkpoint")
    before = len(store.puts)
    log.run("ship", "--to", store.url, "--ca", store.ca, "--newest")
    assert set(store.puts[before:]) <= {"log.json", "keys/log.vkey", "checkpoint", "checkpoints.log"}


class Shelf(Nginx):
    """nginx with its WebDAV module, over TLS."""

    def __init__(self, lab):
        self.tls = lab.folder / "tls"
        super().__init__(lab)

    def command(self):
        command = super().command()
        conf = self.folder / "nginx.conf"
        text = conf.read_text()
        for name in ("crt.pem", "key.pem"):
            shutil.copy(self.tls / name, self.folder / name)
            owned(self.folder / name)
        text = text.replace(f"listen {self.address}:{self.port};", f"listen {self.address}:{self.port} ssl; "
                            f"ssl_certificate {self.folder}/crt.pem; ssl_certificate_key {self.folder}/key.pem;")
        conf.write_text(text.replace("dav_methods PUT;", "dav_methods PUT; create_full_put_path on; "
                                     "dav_access all:r;"))
        return command


def test_to_a_real_server(lab, log):
    assert Nginx.missing() is None, "nginx is missing: tools/packages test installs it"
    ca, _ = lab.certificate("localhost")
    lab.address = lambda: "127.0.0.1"
    shelf = lab.add(Shelf(lab))
    url = f"https://localhost:{shelf.port}/store"
    log.run("ship", "--to", url, "--ca", ca, "--newest")
    size = len(log.proxy.audit.records())
    assert f"{size} entries, {size} signed" in proven(log, shelf.folder / "store")


def test_a_break_in_the_middle(log, store):
    """Half a segment arrives: nothing counts as shipped that was not acknowledged, and the next try sends it whole."""
    store.cut = ("segments/", 5000)
    text = log.run("ship", "--to", store.url, "--ca", store.ca, "--newest", expect=1)
    assert "segments/" in text
    assert not (store.folder / "segments").exists() and not (store.folder / "checkpoint").exists()
    assert "entries 0\n" in (log.dir / "shipped").read_text()
    blobs = [name for name in store.puts if name.startswith("blobs/")]
    log.run("ship", "--to", store.url, "--ca", store.ca, "--newest")
    assert [name for name in store.puts if name.startswith("blobs/")] == blobs  # those were acknowledged
    size = len(log.proxy.audit.records())
    assert f"{size} entries, {size} signed" in proven(log, store.folder)


def test_a_store_that_refuses(log, store):
    store.refuse = 503
    assert "the store answered 503" in log.run("ship", "--to", store.url, "--ca", store.ca, expect=1)
    store.refuse = None
    assert "certificate" in log.run("ship", "--to", store.url, expect=1).lower()  # nobody vouches for it
    assert store.puts == []
    log.run("ship", "--to", store.url.replace("https", "http"), expect=64)
    log.run("ship", "--to", "/nowhere/at/all", expect=1)
    log.run("ship", expect=64)


def test_following(lab, store):
    """Beside a running proxy: the store goes away and comes back, and the copy is caught up."""
    log = Written(lab)
    ship = subprocess.Popen([log.proxy.binary, "audit", "ship", str(log.dir), "--to", store.url, "--ca", str(store.ca),
                             "--newest", "--interval", "100ms", "--follow"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **unprivileged())

    def shipped():
        path = log.dir / "shipped"
        lines = dict(line.split(" ", 1) for line in path.read_text().splitlines()[1:]) if path.exists() else {}
        return int(lines.get("entries", 0))
    try:
        wait_for(lambda: shipped() > 20, 20, "the first entries are shipped")
        store.refuse = 500
        log.add()
        wait_for(lambda: int((log.dir / "checkpoint").read_text().split("\n")[1]) >= 42, 10, "they are signed")
        store.refuse = None
        wait_for(lambda: shipped() >= 42, 20, "the copy caught up")
        assert log.proxy.stop() == 0
        size = len(log.proxy.audit.records())
        wait_for(lambda: shipped() == size, 20, "all of it")
    finally:
        ship.terminate()
        out, err = ship.communicate(timeout=20)
    assert ship.returncode == 0, err.decode()
    assert f"{size} entries and heads to {size} are in {store.url}; 0 signed entries are not" in out.decode()
    assert f"{size} entries, {size} signed" in proven(log, store.folder)


def test_nothing_leaves_without_a_copy(lab):
    """`ship_max_lag`: nobody ships, so the gate closes; it opens when the copy has caught up, and the lag is said."""
    copy = owned(lab.make_folder("copy"))
    proxy = Gateway(lab, [lab.policy(allowed_hosts=["a.test"])], start=False)
    proxy.config["audit"]["ship_max_lag"] = "1500ms"
    proxy.write_config()
    proxy.start()

    def reason(name):
        with proxy.connect(name, 443) as client:
            return client.read_reply(8).reason
    assert reason("denied.test") == "host_not_allowed"
    wait_for(lambda: reason("denied.test") == "audit_unavailable", 20, "the gate is closed")
    audit = [proxy.binary, "audit"]
    ship = subprocess.Popen([*audit, "ship", str(proxy.audit_dir), "--to", str(copy), "--newest", "--interval", "100ms",
                             "--follow"], stdout=subprocess.DEVNULL, **unprivileged())
    try:
        wait_for(lambda: reason("denied.test") == "host_not_allowed", 20, "the gate is open")
        assert proxy.audit.event("gate_closed")["message"] == "the copy elsewhere is too far behind"
        assert proxy.audit.event("gate_opened")["unmapped"]["refused"] >= 1
        status = json.loads(subprocess.run([*audit, "status", str(proxy.audit_dir), "--json"], stdout=subprocess.PIPE,
                                           check=True, timeout=20, **unprivileged()).stdout)
        assert status["shipped"]["to"] == str(copy) and status["shipped"]["entries"] > 0
        assert proxy.stop() == 0
    finally:
        ship.terminate()
        assert ship.wait(20) == 0
    assert proxy.audit.verifies()
