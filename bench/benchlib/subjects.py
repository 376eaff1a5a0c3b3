# SPDX-License-Identifier: Apache-2.0
"""Who is measured: the floors, this program, and other proxies where they are installed."""
import os
import pathlib
import pwd
import shutil
import socket
import sys
import tempfile
import time

from .process import Failed, Program

NAMES = 8
HOST = "n%.bench.test"
HOSTS = [HOST.replace("%", str(i)) for i in range(NAMES)]
DENIED = "denied.test"


class Place:
    """Where a run takes place: programs, cores, addresses, and a directory that goes away with it."""

    def __init__(self, tools, sallyport, subject_cores, other_cores, descriptors, disk, keep_log, against=None):
        self.tools, self.sallyport, self.against = pathlib.Path(tools), pathlib.Path(sallyport), against
        self.subject_cores, self.other_cores = subject_cores, other_cores
        self.descriptors, self.disk, self.keep_log = descriptors, disk, keep_log
        self.user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self.count = 0

    def open(self, memory):
        """New addresses and a new directory for one run; on tmpfs, or on the disk."""
        self.count += 1
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-bench-", dir="/dev/shm" if memory else self.disk))
        self.dir.chmod(0o755)
        self.log = open(self.dir / "log", "wb")
        self.origin_program = self.tool("origin")
        self.origin = self.origin_program.line(5)["address"]
        self.origin_port = self.origin.rpartition(":")[2]
        # Some subjects cannot be told another port than 53; in a network of one's own it is free.
        try:
            self.dns_program = self.tool("dns", "--listen", "127.0.0.1:53")
            self.dns = self.dns_program.line(5)["address"]
        except Failed:
            self.dns_program.end()
            self.dns_program = self.tool("dns")
            self.dns = self.dns_program.line(5)["address"]

    def tool(self, name, *args):
        return Program([self.tools / f"bench-{name}", *args], self.other_cores, self.descriptors, log=self.log)

    def start(self, argv, **more):
        self.count += 1  # a token each: whoever ends takes those with its own along, and no other subject
        return Program(argv, self.subject_cores, self.descriptors, token=f"{os.getpid()}-{self.count}", log=self.log,
                       **more)

    def folder(self, name):
        """A directory that belongs to the subject's user."""
        path = self.dir / name
        path.mkdir()
        if self.user is not None:
            os.chown(path, self.user, self.user)
        path.chmod(0o700)
        return path

    def close(self):
        for program in (self.origin_program, self.dns_program):
            program.end()
        self.log.close()
        if self.keep_log:
            print(f"kept {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class Subject:
    raw = False      # goes by SNI: load sends the hello at once
    http = False     # answers plain HTTP requests
    denies = True
    relays = True
    memory = True    # its files are on tmpfs
    floor = False

    def __init__(self, name):
        self.name = name

    def missing(self, place):
        """Why it cannot be measured here, or None."""
        return None

    def start(self, place):
        """Gives (program, address)."""
        raise NotImplementedError


class Direct(Subject):
    """Load straight to origin: the limit of the instrument, and what it costs the kernel by itself."""
    raw, denies, floor = True, False, True

    def start(self, place):
        return None, place.origin


class Floor(Subject):
    floor = True

    def __init__(self, mode, raw=False):
        super().__init__(f"floor-{'raw-' if raw else ''}{mode}")
        self.mode, self.raw = mode, raw
        self.denies, self.relays = mode == "deny", mode != "deny"

    def start(self, place):
        args = ["--origin", place.origin, "--mode", self.mode] + (["--raw"] if self.raw else [])
        program = place.start([place.tools / "bench-floor", *args], user=place.user)
        return program, program.line(5)["address"]


POLICY = """\
name: bench
config:
  type: self_hosted
  networking:
    type: limited
egress:
  hosts:
{hosts}  limits:
    attempts_per_second: 1000000
    attempts_burst: 10000000
"""


def policy_text(place):
    hosts = "".join(f"    - {{host: {h}, addresses: [127.0.0.1/32], ports: [{place.origin_port}]}}\n" for h in HOSTS)
    return POLICY.format(hosts=hosts)


class Sallyport(Subject):
    http = True

    def __init__(self, name, memory):
        super().__init__(name)
        self.memory = memory

    def binary(self, place):
        return place.sallyport

    def missing(self, place):
        path = self.binary(place)
        return None if path and os.access(path, os.X_OK) else f"{path} is not there"

    def start(self, place):
        policy = place.dir / "policy.yaml"
        policy.write_text(policy_text(place))
        policy.chmod(0o644)
        ready, ready_child = os.pipe()
        place.folder("audit.privacy")  # the program may make nothing beside the audit directory
        argv = [self.binary(place), "run", "--policy", policy, "--listen", "127.0.0.1:0", "--audit-dir",
                place.folder("audit"), "--signer-dir", place.folder("signer"), "--dns", place.dns, "--workers", "1",
                "--admin", f"unix:{place.folder('admin')}/socket", "--ready-fd", str(ready_child)]
        program = place.start(argv, user=place.user, pass_fds=(ready_child,))
        os.close(ready_child)
        return program, read_ready(program, ready)["listeners"][0]


class Against(Sallyport):
    """Another build of the program, in the same run: a change of a few per cent is seen in no other way."""

    def binary(self, place):
        return place.against

    def missing(self, place):
        return super().missing(place) if place.against else "no --against"


def read_ready(program, ready):
    import json
    import select
    text = b""
    with os.fdopen(ready, "rb", buffering=0) as f:
        end = time.monotonic() + 10
        while b"\n" not in text and select.select([f], [], [], max(0, end - time.monotonic()))[0]:
            part = f.read(4096)
            if not part:
                break
            text += part
    if b"\n" not in text:
        program.end()
        raise Failed("the program did not become ready")
    return json.loads(text.split(b"\n", 1)[0])


class Peer(Subject):
    """Another proxy, from a configuration file, ready when its port answers."""
    program = ""

    def missing(self, place):
        return None if self.path() else f"{self.program} is not installed"

    def path(self):
        return shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def argv(self, place, port):
        raise NotImplementedError

    def start(self, place):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        program = place.start(self.argv(place, port), user=place.user)
        end = time.monotonic() + 20
        while time.monotonic() < end and program.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return program, f"127.0.0.1:{port}"
            except OSError:
                time.sleep(0.05)
        program.end()
        raise Failed(f"{self.name} does not listen")


class Squid(Peer):
    program, http = "squid", True

    def argv(self, place, port):
        conf = place.dir / "squid.conf"
        conf.write_text(f"""\
http_port 127.0.0.1:{port}
acl allowed dstdomain {' '.join(HOSTS)}
http_access allow allowed
http_access deny all
dns_nameservers 127.0.0.1
cache deny all
cache_mem 0 MB
access_log none
cache_log {place.folder('log.d')}/cache.log
pid_filename none
pinger_enable off
netdb_filename none
max_filedescriptors {place.descriptors}
visible_hostname bench
coredump_dir /
shutdown_lifetime 0 seconds
""")
        return [self.path(), "-N", "-f", conf]


class Haproxy(Peer):
    """By SNI alone: it is no CONNECT proxy."""
    program, raw = "haproxy", True

    def __init__(self, name, splice):
        super().__init__(name)
        self.splice = splice

    def argv(self, place, port):
        conf = place.dir / "haproxy.cfg"
        conf.write_text(f"""\
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {'option splice-request' if self.splice else ''}
    {'option splice-response' if self.splice else ''}
frontend front
    bind 127.0.0.1:{port} defer-accept
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_sni -i {' '.join(HOSTS)} }}
    tcp-request content reject if {{ req.ssl_hello_type 1 }}
    default_backend back
backend back
    server origin {place.origin}
""")
        return [self.path(), "-db", "-f", conf]


class TrafficServer(Peer):
    program, denies, http = "traffic_server", False, True

    def argv(self, place, port):
        root = place.folder("ts")
        lines = [f"prefix: {root}", f"exec_prefix: {root}", "bindir: /usr/bin", "sbindir: /usr/sbin",
                 "includedir: /usr/include", "libdir: /usr/lib/trafficserver",
                 "libexecdir: /usr/lib/trafficserver/modules"]
        for name in ("sysconfdir", "datadir", "localstatedir", "runtimedir", "logdir", "cachedir"):
            lines.append(f"{name}: {place.folder(f'ts/{name}')}")
        (root / "runroot.yaml").write_text("\n".join(lines) + "\n")
        records = {
            "http.server_ports STRING": f"{port}:ip-in=127.0.0.1",
            "http.connect_ports STRING": place.origin_port,
            "url_remap.remap_required INT": 0,
            "reverse_proxy.enabled INT": 0,
            "http.cache.http INT": 0,
            "dns.nameservers STRING": place.dns,
            "dns.resolv_conf STRING": "NULL",
            "log.logging_enabled INT": 0,
            "exec_thread.autoconfig INT": 0,
            "exec_thread.limit INT": 1,
            "net.connections_throttle INT": place.descriptors,
            "body_factory.enable_customizations INT": 0,
            "body_factory.template_sets_dir STRING": place.folder("ts/templates"),
        }
        text = "".join(f"CONFIG proxy.config.{k} {v}\n" for k, v in records.items())
        (root / "sysconfdir/records.config").write_text(text)
        (root / "sysconfdir/storage.config").write_text(f"{place.folder('ts/cache')} 16M\n")
        (root / "sysconfdir/ip_allow.yaml").write_text(
            "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n")
        for path in (root, *root.rglob("*")):
            if place.user is not None:
                os.chown(path, place.user, place.user)
        return [self.path(), f"--run-root={root}"]


class Nginx(Peer):
    """Plain HTTP alone, with connections kept on both sides; the origin is named in its configuration."""
    program, denies, relays, http = "nginx", False, False, True

    def argv(self, place, port):
        root = place.folder("nginx")
        conf = place.dir / "nginx.conf"
        paths = "".join(f"    {name}_temp_path {root}/{name};\n"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf.write_text(f"""\
daemon off;
master_process off;
pid {root}/pid;
error_log stderr crit;
worker_rlimit_nofile {place.descriptors};
events {{ worker_connections 4096; }}
http {{
{paths}    access_log off;
    keepalive_requests 1000000000;
    upstream origin {{ server {place.origin}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        server_name {' '.join(HOSTS)};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
    server {{ listen 127.0.0.1:{port} default_server; return 403; }}
}}
""")
        return [self.path(), "-c", conf]


def known():
    """All subjects, in the order of the table."""
    return [Direct("direct"), Floor("copy", raw=True), Floor("splice", raw=True), Floor("copy"), Floor("splice"),
            Floor("hybrid"), Floor("deny"), Sallyport("sallyport-mem", True), Sallyport("sallyport-disk", False),
            Against("against-mem", True), Against("against-disk", False),
            Squid("squid"), TrafficServer("trafficserver"), Nginx("nginx"), Haproxy("haproxy", False),
            Haproxy("haproxy-splice", True)]
