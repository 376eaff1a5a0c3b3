# SPDX-License-Identifier: Apache-2.0
"""Real HTTP servers as origins: nginx, Apache httpd, Node, Python. Each runs unprivileged on a free port of a loopback
address, from a configuration made for the test, and tells afterwards which requests it has understood."""
import json
import os
import shutil
import socket
import subprocess
import threading

from .policy import At
from .proxy import LEASH, NOBODY, unprivileged
from .wait import wait_for

MODULES = "/usr/lib/apache2/modules"


def program(*names):
    for name in names:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found:
            return found
    return None


class Server:
    """One child process. `lines` are its log, one JSON object a request: method, uri, status, bytes of the body."""
    name = None
    wanted = ()
    tries = 5

    @classmethod
    def missing(cls):
        return None if program(*cls.wanted) else f"{cls.wanted[0]} is not installed"

    def __init__(self, lab):
        self.folder = lab.make_folder(f"{self.name}-{len(lab.actors)}")
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self.address = lab.address()
        self.text = bytearray()
        for left in range(self.tries, 0, -1):
            with socket.socket() as s:
                s.bind((self.address, 0))
                self.port = s.getsockname()[1]
            self.process = subprocess.Popen([*LEASH, *self.command()], stdin=subprocess.DEVNULL, cwd=self.folder,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={
                                                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder),
                                                "LC_ALL": "C"}, start_new_session=True, **unprivileged())
            threading.Thread(target=self._pump, args=(self.process.stdout,), daemon=True, name=self.name).start()
            if self._listens():
                return
            assert left > 1, f"{self.name} does not start:\n{bytes(self.text).decode()}"

    def _pump(self, stream):
        for data in iter(lambda: stream.read1(65536), b""):
            self.text += data

    def _listens(self):
        def accepted():
            if self.process.poll() is not None:
                return True
            try:
                socket.create_connection((self.address, self.port), 1).close()
                return True
            except OSError:
                return False
        wait_for(accepted, 15, lambda: f"{self.name} listens:\n{bytes(self.text).decode()}")
        return self.process.poll() is None

    def command(self):
        raise NotImplementedError

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        os.chmod(path, 0o644)
        return str(path)

    def log_bytes(self):
        """Where the log is: a file, or what the process says."""
        path = self.folder / "access.log"
        return path.read_bytes() if path.exists() else bytes(self.text)

    def requests(self):
        """[(method, uri, bytes of the body or None)] in the order in which they ended."""
        out = []
        for line in self.log_bytes().split(b"\n")[:-1]:
            if line.startswith(b"{"):
                entry = json.loads(line)
                out.append((entry["method"], entry["uri"], entry.get("body")))
        return out

    def wait_requests(self, count, seconds=5.0):
        return wait_for(lambda: len(self.requests()) >= count and self.requests(), seconds,
                        lambda: f"{count} requests at {self.name}, have {self.requests()[-6:]}")

    def at(self, host, **keys):
        return At(host, self.address, self.port, keys)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.process.stdout.close()

    def report(self):
        return f"{self.name} {self.address}:{self.port}\n{self.log_bytes()[-2000:].decode('utf-8', 'replace')}"


class Nginx(Server):
    """PUT stores files; every other request is answered with its own URI after its body was taken."""
    name = "nginx"
    wanted = ("nginx",)

    def command(self):
        for name in ("store", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
            if os.geteuid() == 0:
                os.chown(self.folder / name, NOBODY, NOBODY)
        temp = "\n".join(f"  {kind}_temp_path {self.folder}/tmp/{kind};"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = self.write("nginx.conf", f"""
daemon off;
worker_processes 1;
pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{ worker_connections 256; }}
http {{
{temp}
  log_format lines escape=json '{{"method":"$request_method","uri":"$request_uri","status":"$status"}}';
  access_log {self.folder}/access.log lines;
  client_max_body_size 0;
  keepalive_requests 100000;
  default_type text/plain;
  server {{
    listen {self.address}:{self.port};
    location /store/ {{ root {self.folder}; dav_methods PUT; }}
    location / {{ return 200 "$request_method $request_uri"; }}
  }}
}}
""")
        return [program("nginx"), "-c", conf, "-p", str(self.folder), "-e", str(self.folder / "error.log")]

    def report(self):
        path = self.folder / "error.log"
        return super().report() + (path.read_text()[-1500:] if path.exists() else "")


class Apache(Server):
    """The reflector gives back each body; mod_logio counts what came in."""
    name = "apache"
    wanted = ("apache2", "httpd")

    def command(self):
        modules = "\n".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so"
                            for m in ("mpm_event", "authz_core", "reflector")
                            if os.path.exists(f"{MODULES}/mod_{m}.so"))
        log = r'{\"method\":\"%m\",\"uri\":\"%U%q\",\"status\":\"%>s\"}'
        conf = self.write("httpd.conf", f"""
{modules}
ServerRoot {self.folder}
ServerName origin.test
Listen {self.address}:{self.port}
PidFile {self.folder}/pid
DefaultRuntimeDir {self.folder}
ErrorLog {self.folder}/error.log
LogFormat "{log}" lines
CustomLog {self.folder}/access.log lines
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MaxKeepAliveRequests 0
KeepAliveTimeout 60
AllowEncodedSlashes NoDecode
LimitRequestLine 20000
LimitRequestFieldSize 100000
DocumentRoot {self.folder}
<Location />
  SetHandler reflector
</Location>
""")
        return [program("apache2", "httpd"), "-f", conf, "-D", "FOREGROUND", "-k", "start"]

    def report(self):
        path = self.folder / "error.log"
        return super().report() + (path.read_text()[-1500:] if path.exists() else "")


NODE = """
const http = require('http');
const [address, port] = [process.argv[2], Number(process.argv[3])];
http.createServer({maxHeaderSize: 131072, keepAliveTimeout: 60000}, (request, response) => {
  const parts = [];
  request.on('data', part => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts);
    console.log(JSON.stringify({method: request.method, uri: request.url, body: body.length}));
    response.end(body);
  });
}).listen(port, address);
"""


class Node(Server):
    name = "node"
    wanted = ("node", "nodejs")

    def command(self):
        return [program("node", "nodejs"), self.write("server.js", NODE), self.address, str(self.port)]


PYTHON = '''
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            out = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\\r\\n", b""):
                pass
            return out
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self):
        body = self.body()
        print(json.dumps({"method": self.command, "uri": self.path, "body": len(body)}), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
'''


class Python(Server):
    name = "python"
    wanted = ("/usr/bin/python3", "python3")

    def command(self):
        return [program(*self.wanted), self.write("server.py", PYTHON), self.address, str(self.port)]


SERVERS = [Nginx, Apache, Node, Python]
