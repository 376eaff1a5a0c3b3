# SPDX-License-Identifier: Apache-2.0
"""Origin: a server on a loopback address of its own. It records every connection and every byte, and behaves as it was
told: each behaviour is a function of the connection, run in a thread of its own."""
import functools
import hashlib
import http.server
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import threading

from .policy import At
from .wait import wait_for

KEPT_BYTES = 1 << 20


class Connection:
    """One accepted connection as the origin saw it."""

    def __init__(self, sock, peer):
        self.sock = sock
        self.peer = peer
        self.local = sock.getsockname()[:2]
        self.data = bytearray()  # the first MiB
        self.received = 0
        self.sent = 0
        self.eof = False
        self.reset = False
        self.closed = False
        self.digest = hashlib.sha256()

    def recv(self, size=65536):
        try:
            data = self.sock.recv(size)
        except (ConnectionError, TimeoutError):
            self.reset = True
            return b""
        except OSError:
            return b""
        if not data:
            self.eof = True
        self.received += len(data)
        self.data += data[:max(0, KEPT_BYTES - len(self.data))]
        self.digest.update(data)
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
            self.sent += len(data)
            return True
        except OSError:
            self.reset = True
            return False

    def drain(self):
        while self.recv():
            pass

    def abort(self):
        """Ends it with a reset."""
        self.closed = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def wait_received(self, count, seconds=5.0):
        return wait_for(lambda: self.received >= count, seconds, lambda: f"{count} bytes, have {self.received}")


# ---- behaviours ----

def record_all(conn):
    """Reads to the end, then closes."""
    conn.drain()


def echo(conn):
    while True:
        data = conn.recv()
        if not data or not conn.send(data):
            return


def greet(text):
    """Speaks first, then reads to the end."""
    def run(conn):
        conn.send(text)
        conn.drain()
    return run


def hold(event):
    """Does nothing until the event is set, then reads to the end."""
    def run(conn):
        event.wait(60)
        conn.drain()
    return run


def after_hello(then):
    """Reads one TLS record and then hands over; `then` gets the connection."""
    def run(conn):
        need = 5
        while len(conn.data) < need:
            if not conn.recv(need - len(conn.data)):
                return
            if len(conn.data) >= 5:
                need = 5 + int.from_bytes(conn.data[3:5], "big")
        conn.digest = hashlib.sha256()
        then(conn)
    return run


def say_and_half_close(text):
    def run(conn):
        conn.send(text)
        conn.sock.shutdown(socket.SHUT_WR)
        conn.drain()
    return run


def abort_now(conn):
    conn.abort()


class Origin:
    def __init__(self, address="127.0.0.1", port=0, behaviour=record_all, tls=None, family=None):
        self.behaviour = behaviour
        self.context = tls
        self.conns = []
        self._lock = threading.Lock()
        family = family or (socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self._listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._listener.bind((address, port))
        self._listener.listen(1024)
        self.address, self.port = address, self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name=f"origin-{address}").start()

    def at(self, host, **keys):
        """The egress.hosts entry that lets `host` reach this origin."""
        return At(host, self.address, self.port, keys)

    @property
    def connections(self):
        return len(self.conns)

    @property
    def received(self):
        return sum(c.received for c in self.conns)

    def conn(self, index=0, seconds=5.0):
        """The connection of that number; waits for it."""
        wait_for(lambda: len(self.conns) > index, seconds, lambda: f"connection {index}, have {len(self.conns)}")
        return self.conns[index]

    def _accept(self):
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            conn = Connection(sock, peer[:2])
            with self._lock:
                self.conns.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True, name="origin-conn").start()

    def _serve(self, conn):
        try:
            if self.context:
                serve_tls(conn, self.context)
            else:
                self.behaviour(conn)
        finally:
            if not conn.closed:
                conn.close()

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for conn in self.conns:
            conn.close()

    def report(self):
        rows = [f"{self.address}:{self.port} connections {self.connections}"]
        for c in self.conns[-8:]:
            rows.append(f"  to {c.local} received {c.received} sent {c.sent} eof {c.eof} reset {c.reset} "
                        f"first {bytes(c.data[:160])!r}")
        return "\n".join(rows)


def serve_tls(conn, context):
    """A TLS echo over the recorded socket: what is counted are the bytes on the wire, not the plain text."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    shaken = False
    while True:
        try:
            if not shaken:
                tls.do_handshake()
                shaken = True
            else:
                text = tls.read(65536)
                if not text:
                    return
                tls.write(text)
        except ssl.SSLWantReadError:
            if outgoing.pending and not conn.send(outgoing.read()):
                return
            data = conn.recv()
            if not data:
                return
            incoming.write(data)
        except ssl.SSLError:
            conn.send(outgoing.read())
            return


class FullOrigin:
    """Listens, and its queue is full: a connection to it gets no answer at all."""

    def __init__(self, address="127.0.0.1"):
        self._listener = socket.socket()
        self._listener.bind((address, 0))
        self._listener.listen(0)
        self.address, self.port = self._listener.getsockname()
        self._fill = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((self.address, self.port))
            self._fill.append(s)

    def at(self, host, **keys):
        return At(host, self.address, self.port, keys)

    def close(self):
        for s in (*self._fill, self._listener):
            s.close()

    def report(self):
        return f"full origin {self.address}:{self.port}"


# ---- certificates and HTTPS ----

def make_certificate(folder, names):
    """A throw-away authority and a certificate for `names`: (ca file, server context)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key, key, csr, crt = (str(folder / n) for n in ("ca.pem", "ca.key", "key.pem", "csr.pem", "crt.pem"))
    (folder / "ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName="
                                + ",".join("DNS:" + n for n in names) + "\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj",
                    "/CN=lab authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"], **quiet)
    subprocess.run(["openssl", "req", *curve, "-keyout", key, "-out", csr, "-subj", "/CN=" + names[0]], **quiet)
    subprocess.run(["openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
                    "-extfile", str(folder / "ext"), "-out", crt], **quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return ca, context


class HttpsOrigin:
    """Files of a folder over HTTPS (or HTTP without a context); requests are kept in `seen`."""

    def __init__(self, folder, context, address="127.0.0.1"):
        self.seen = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def log_request(self, code="-", size="-"):
                outer.seen.append((self.command, self.path, self.headers.get("Host"), str(getattr(code, "value", code))))

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address):
                if context:
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

            def handle_error(self, request, client_address):
                pass

        self._server = Server((address, 0), functools.partial(Handler, directory=os.fspath(folder)))
        self.address, self.port = self._server.server_address[:2]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="https").start()

    def at(self, host, **keys):
        return At(host, self.address, self.port, keys)

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def report(self):
        return f"https {self.address}:{self.port} seen {self.seen}"
