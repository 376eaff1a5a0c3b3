# SPDX-License-Identifier: Apache-2.0
"""sallyport exec: one command in namespaces of its own, as root and as an ordinary account."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import textwrap

import pytest

from lab import wait_for
from lab.audit import Audit
from lab.proxy import unprivileged

PYTHON = "/usr/bin/python3"
ROOT = os.geteuid() == 0
# Root's state lies in one place for the whole machine: these runs get one of their own.
OWN_STATE = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /var/lib && mount -t tmpfs none /run && exec "$@"', "sh"]


class Exec:
    def __init__(self, lab, who):
        self.lab = lab
        self.who = who
        self.home = lab.make_folder("home")
        self.work = lab.make_folder("work")
        relay = pathlib.Path(os.environ["SALLYPORT"]).parent / "sallyport-relay"
        shutil.copy2(relay, pathlib.Path(lab.binary).parent / "sallyport-relay")
        if ROOT and who == "ordinary":
            for folder in (self.home, self.work):
                os.chown(folder, 65534, 65534)
        self.policy = lab.folder / "policy.yaml"
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C"}
        self.account = unprivileged() if who == "ordinary" else {}
        self.wrapper = OWN_STATE if who == "root" else []
        self.logs = 0

    def write_policy(self, **options):
        self.policy.write_text(self.lab.policy(**options).text())
        os.chmod(self.policy, 0o644)

    def line(self, *command, options=(), policy=True):
        self.logs += 1
        self.audit_dir = f"{self.lab.folder}/x{self.logs}" if self.who == "root" else f"{self.work}/logs/x{self.logs}"
        out = [*self.wrapper, self.lab.binary, "exec", "--dns", self.lab.dns.endpoint, "--audit-dir", self.audit_dir]
        return out + (["--policy", str(self.policy)] if policy else []) + [*options, "--", *command]

    def popen(self, *command, options=(), policy=True, **keys):
        return subprocess.Popen(self.line(*command, options=options, policy=policy), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env,
                                cwd=self.work, start_new_session=True, **self.account, **keys)

    def run(self, *command, **keys):
        process = self.popen(*command, **keys)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        self.audit = Audit(self.lab.binary, self.audit_dir, self.lab.checker)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def python(self, script, *words, **keys):
        return self.run(PYTHON, "-c", textwrap.dedent(script), *map(str, words), **keys)


@pytest.fixture(params=["ordinary", "root"])
def world(lab, request):
    if request.param == "root" and not ROOT:
        pytest.skip("needs root")
    return Exec(lab, request.param)


@pytest.fixture
def ordinary(lab):
    return Exec(lab, "ordinary")


def lines(done, word):
    return [line for line in done.stderr.splitlines() if line.startswith(f"sallyport: {word} ")]


def test_an_allowed_and_a_denied_host(world):
    lab = world.lab
    site = lab.make_folder("www")
    (site / "page.txt").write_text("the page\n")
    ca, _ = lab.certificate("allowed.test")
    origin = lab.https(site)
    world.write_policy(hosts=[origin.at("allowed.test")])
    port = origin.port
    done = world.run("sh", "-c", f"""
        curl -sS --cacert {ca} https://allowed.test:{port}/page.txt
        curl -sS --cacert {ca} https://allowed.test:{port}/page.txt
        curl -sS https://denied.test/ 2>&1; curl -sS https://denied.test/ >/dev/null 2>&1
        curl -sS https://denied.test:{port}/ >/dev/null 2>&1; exit 7""")
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("the page\nthe page\n") and "403" in done.stdout
    # One line a host and verdict, however often it was asked for.
    assert lines(done, "allowed") == [f"sallyport: allowed allowed.test:{port}"]
    assert lines(done, "denied") == ["sallyport: denied  denied.test:443  host_not_allowed (policy: this host is not "
                                     "allowed)", f"sallyport: denied  denied.test:{port}  host_not_allowed (policy: "
                                     "this host is not allowed)"]
    assert "sallyport: 1 allowed, 2 denied, 0 failed; " in done.stderr
    assert re.search(r"    allowed_hosts:\n      # denied\.test:443 host_not_allowed\n      - \"denied\.test\"\n",
                     done.stderr)
    assert f'    - {{host: "denied.test", ports: [{port}]}}' in done.stderr
    assert not lab.dns.asked("denied.test")
    assert world.audit.verifies()
    assert len(world.audit.attempts(host="allowed.test", verdict="allow")) == 2
    assert len(world.audit.attempts(host="denied.test", verdict="deny")) == 3
    assert str(world.audit_dir) in done.stderr.splitlines()[-1]


def test_the_lines_at_the_end_are_a_policy_that_allows_it(ordinary):
    """Without --policy nothing leaves; what is printed then loads, and opens just that."""
    done = ordinary.run("sh", "-c", "curl -s https://one.test/; curl -s https://two.test:8443/; curl -s "
                        "https://three.test/; true", policy=False)
    assert done.returncode == 0 and "0 allowed, 3 denied" in done.stderr
    text = done.stderr.split("each line is for you to judge:\n")[1].split("sallyport: ")[0]
    ordinary.policy.write_text(text)
    os.chmod(ordinary.policy, 0o644)
    for host, status in (("one.test", 0), ("two.test:8443", 0), ("three.test", 0), ("two.test", 1), ("four.test", 1)):
        asked = subprocess.run([ordinary.lab.binary, "explain", "--policy", ordinary.policy, host],
                               capture_output=True, text=True)
        assert asked.returncode == status, (text, asked.stdout, asked.stderr)


def test_an_address_that_the_policy_does_not_open(ordinary):
    lab = ordinary.lab
    lab.dns.set("inner.test", "10.1.2.3")
    ordinary.write_policy(allowed_hosts=["inner.test", "nowhere.test"])
    lab.dns.set("nowhere.test")
    done = ordinary.run("sh", "-c", "curl -s https://inner.test/; curl -s https://nowhere.test/; true")
    assert any("inner.test:443  address_forbidden" in line for line in lines(done, "denied")), done.stderr
    assert any("nowhere.test:443  dns_failed" in line for line in lines(done, "failed")), done.stderr
    assert '    - {host: "inner.test", addresses: [10.1.2.3/32]}' in done.stderr
    assert "nowhere.test" not in done.stderr.split("each is for you to judge:")[1]


PROBES = """
    import json, os, socket, sys
    origin, port, dns, dns_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    said = {}
    def probe(name, function):
        try:
            function()
            said[name] = "open"
        except OSError as error:
            said[name] = error.strerror or str(error)
    def tcp(host, number):
        return lambda: socket.create_connection((host, number), 5)
    def udp():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(b"x", (dns, dns_port))
    def vsock():
        socket.socket(getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM)
    def packet():
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    def abstract():
        s = socket.socket(socket.AF_UNIX)
        s.connect("\\0sallyport-outside")
    def type_into_terminal():
        import fcntl, termios
        fcntl.ioctl(0, termios.TIOCSTI, b"x")
    probe("tcp", tcp(origin, port))
    probe("tcp6", tcp("2001:db8::1", 443))
    probe("udp", udp)
    probe("metadata", tcp("169.254.169.254", 80))
    probe("dns", lambda: socket.getaddrinfo("allowed.test", 443))
    probe("vsock", vsock)
    probe("packet", packet)
    probe("abstract", abstract)
    probe("terminal", type_into_terminal)
    probe("proxy", tcp("127.0.0.1", 3128))
    json.dump(said, sys.stdout)
"""


def test_nothing_else_leads_out(world):
    import socket
    lab = world.lab
    origin = lab.origin()
    outside = socket.socket(socket.AF_UNIX)
    outside.bind("\0sallyport-outside")
    outside.listen()
    dns, dns_port = lab.dns.endpoint.rsplit(":", 1)
    world.write_policy(allowed_hosts=["allowed.test"])
    done = world.python(PROBES, origin.address, origin.port, dns, dns_port)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("proxy") == "open"
    assert said.pop("terminal") == "Operation not permitted"
    assert said.pop("vsock") == "Address family not supported by protocol"
    assert said.pop("packet") in ("Address family not supported by protocol", "Operation not permitted")
    assert said.pop("abstract") == "Connection refused"
    assert said.pop("tcp") in ("Connection refused", "Network is unreachable")
    said.pop("udp")  # loopback of its own takes it; what counts is that no question arrived
    assert said.pop("dns") not in ("open",)
    assert said.pop("tcp6") == "Network is unreachable" and said.pop("metadata") == "Network is unreachable"
    assert said == {}
    assert not lab.dns.asked("allowed.test")
    outside.close()


STATE = """
    import json, os, sys
    policy, audit, home = sys.argv[1:4]
    said = {"run": sorted(os.listdir("/run")), "socket": sorted(os.listdir("/run/sallyport")),
            "dev": sorted(os.listdir("/dev")), "policy": None, "pids": [], "state": [], "moved": "moved",
            "written": []}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        said["pids"].append(open(f"/proc/{pid}/cmdline").read().split("\\0")[0])
    try:
        said["policy"] = open(policy).read()
    except OSError as error:
        said["policy"] = error.strerror
    for folder in (audit, audit + ".signer", home + "/.local/state/sallyport", "/var/lib/sallyport"):
        try:
            said["state"] += os.listdir(folder)
        except OSError:
            pass
    for path in ("/run/sallyport/x", audit + "/x", "/proc/sys/kernel/hostname", "/sys/x", "/proc/sysrq-trigger", policy):
        try:
            open(path, "w").write("x")
            said["written"].append(path)
        except OSError:
            pass
    try:
        os.rename(os.path.dirname(audit), os.path.dirname(audit) + ".moved")
    except OSError as error:
        said["moved"] = error.strerror
    for line in open("/proc/self/status"):
        key, value = line.split(":", 1)
        if key in ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs", "Seccomp", "Uid"):
            said[key] = value.split()[0]
    json.dump(said, sys.stdout)
"""


def test_what_the_command_sees(world):
    world.write_policy(allowed_hosts=["allowed.test"])
    done = world.python(STATE, world.policy, f"{world.work}/logs/x1", world.home)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["run"] == ["sallyport"] and said["socket"] == ["proxy.sock"]
    assert said["pids"][0] == "sallyport-relay" and len(said["pids"]) == 2
    assert said["policy"] == "" and said["state"] == [] and said["written"] == []
    assert {"null", "urandom", "pts", "shm"} <= set(said["dev"]) and not [d for d in said["dev"] if d[:2] in ("sd", "vd")]
    if world.who == "ordinary":
        assert said["moved"] == "Device or resource busy"
    assert said["CapEff"] == said["CapBnd"] == said["CapPrm"] == "0" * 16
    assert said["NoNewPrivs"] == "1" and said["Seccomp"] == "2"
    assert said["Uid"] == ("0" if world.who == "root" else str(os.geteuid() if not ROOT else 65534))


def test_root_in_a_namespace_of_its_own_gets_nothing_back(ordinary):
    """Who makes a further user namespace is root there, and still cannot take the covers away."""
    script = "umount /run || umount -l /proc/sys || mount -t proc proc /mnt; cat /proc/self/uid_map"
    done = ordinary.run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, policy=False)
    assert done.returncode == 0 and done.stdout.split()[0] == "0", done.stderr
    assert len(re.findall(r"(?m)^(umount|mount): ", done.stderr)) == 3, done.stderr


def test_a_policy_that_the_command_writes_does_not_count(ordinary):
    """Its directory can be moved away and another put there: the policy was read once."""
    lab = ordinary.lab
    folder = ordinary.work / "p"
    folder.mkdir()
    ordinary.policy = folder / "policy.yaml"
    ordinary.write_policy(allowed_hosts=["other.test"])
    if ROOT:
        os.chown(folder, 65534, 65534)
        os.chown(ordinary.policy, 65534, 65534)
    wide = lab.policy(allowed_hosts=["other.test", "wanted.test"]).text()
    done = ordinary.python("""
        import os, pathlib, subprocess, sys, time
        os.rename("p", "q")
        os.mkdir("p")
        pathlib.Path("p/policy.yaml").write_text(sys.argv[1])
        end = time.monotonic() + 1.5
        while time.monotonic() < end:  # longer than a change needs to be seen and to settle
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_connect}", "https://wanted.test/"],
                                  capture_output=True, text=True)
            assert done.stdout == "403", done.stdout
    """, wide)
    assert done.returncode == 0, done.stderr
    assert not lab.dns.asked("wanted.test")
    assert not ordinary.audit.attempts(host="wanted.test", verdict="allow")


def test_a_working_directory_that_is_hidden(ordinary):
    secret = ordinary.home / ".local" / "state" / "sallyport"
    secret.mkdir(parents=True)
    (secret / "key").write_text("secret")
    if ROOT:
        for path in (ordinary.home / ".local", ordinary.home / ".local" / "state", secret):
            os.chown(path, 65534, 65534)
    process = subprocess.run(ordinary.line("ls", "-A", policy=False), capture_output=True, text=True, cwd=secret,
                             env=ordinary.env, timeout=60, **ordinary.account)
    assert (process.returncode, process.stdout) == (0, ""), process.stderr


def test_a_log_of_its_own(ordinary):
    """Without --audit-dir each run has its directory, which the command does not see; nothing runs when it fails."""
    base = ordinary.home / ".local" / "state" / "sallyport" / "exec"
    run = lambda *words: subprocess.run([ordinary.lab.binary, "exec", *words], capture_output=True, text=True,  # noqa: E731
                                        cwd=ordinary.work, env=ordinary.env, timeout=60, **ordinary.account)
    for count in (1, 2):
        done = run("--", "sh", "-c", f"ls -A {base.parent}; curl -s https://denied.test/; exit 3")
        assert (done.returncode, done.stdout) == (3, ""), done
        logs = sorted(base.iterdir())
        assert len(logs) == count and str(logs[-1] / "audit") in done.stderr
        audit = Audit(ordinary.lab.binary, str(logs[-1] / "audit"), ordinary.lab.checker)
        assert audit.verifies() and len(audit.attempts(host="denied.test", verdict="deny")) == 1
        assert not (logs[-1] / "s").exists(), "the socket has gone with its run"
    ordinary.policy.write_text("name: x\nconfig:\n  type: self_hosted\n")
    os.chmod(ordinary.policy, 0o644)
    done = run("--policy", str(ordinary.policy), "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (78, "") and "networking" in done.stderr, done


def test_exit_status(ordinary):
    for script, status in (("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137), ("kill -TERM $$", 143)):
        assert ordinary.run("sh", "-c", script, policy=False).returncode == status
    assert ordinary.run("/nonexistent", policy=False).returncode == 127
    assert ordinary.run("/etc/passwd", policy=False).returncode == 126
    # Options of the command are the command's, with and without the two hyphens.
    bare = [word for word in ordinary.line("echo", "--help", policy=False) if word != "--"]
    done = subprocess.run(bare, capture_output=True, text=True, env=ordinary.env, cwd=ordinary.work, timeout=60,
                          **ordinary.account)
    assert (done.returncode, done.stdout) == (0, "--help\n") or "Usage: echo" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_reach_the_command(ordinary, number):
    script = """
        import signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [int(sys.argv[1])])
        print("up", flush=True)
        print("got", int(signal.sigwait([int(sys.argv[1])])))
        sys.exit(9)
    """
    process = ordinary.popen(PYTHON, "-c", textwrap.dedent(script), str(int(number)), policy=False)
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (9, f"got {int(number)}\n"), err


def processes():
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            out[int(pid)] = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            pass
    return out


def test_nothing_stays_when_it_is_killed(world):
    process = world.popen("sh", "-c", "echo up; sleep 1000 & sleep 1000", policy=False)
    assert process.stdout.readline() == "up\n"
    mark = world.audit_dir
    assert [p for p, words in processes().items() if mark in words]
    os.killpg(process.pid, signal.SIGKILL) if world.who == "root" else process.kill()
    process.wait(10)
    wait_for(lambda: not [p for p, words in processes().items() if mark in words], 15, lambda: "nothing is left")
    process.stdout.close()
    process.stderr.close()


def test_children_that_are_left_behind_end_with_the_command(ordinary):
    done = ordinary.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo done", policy=False)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_quiet(ordinary):
    done = ordinary.run("curl", "-s", "https://denied.test/", policy=False, options=["--quiet"])
    assert done.returncode == 56 and done.stderr == ""
    assert ordinary.audit.attempt(host="denied.test", verdict="deny")


def test_names_from_the_command_cannot_steer_a_terminal(ordinary):
    done = ordinary.python("""
        import socket
        s = socket.create_connection(("127.0.0.1", 3128))
        s.sendall(b"CONNECT a\\x1b[31m.test:443 HTTP/1.1\\r\\nHost: a\\x1b[31m.test:443\\r\\n\\r\\n")
        print(s.recv(4096)[:12].decode())
    """, policy=False)
    assert done.returncode == 0 and "400" in done.stdout, done
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: in a namespace of an ordinary account / is nobody's, and not trusted")
def test_no_user_namespaces(ordinary):
    """A kernel that makes none is named, and the command does not run."""
    ordinary.wrapper = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
                        'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    done = ordinary.run("echo", "ran", policy=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "user namespaces are off or used up (sysctl user.max_user_namespaces)" in done.stderr


def test_wrong_use(ordinary):
    ordinary.policy.write_text("name: x\nconfig:\n  type: self_hosted\n")
    os.chmod(ordinary.policy, 0o644)
    done = ordinary.run("echo", "ran")
    assert (done.returncode, done.stdout) == (78, "") and "policy.yaml" in done.stderr
    for words in ([], ["--egress", "x", "--", "true"], ["--dns", "a.test:53", "--", "true"], ["--nonsense"]):
        done = subprocess.run([ordinary.lab.binary, "exec", *words], capture_output=True, text=True,
                              env=ordinary.env, cwd="/")
        assert done.returncode == 64 and done.stdout == "", (words, done)
    done = subprocess.run([ordinary.lab.binary, "exec", "--help"], capture_output=True, text=True, env=ordinary.env)
    assert done.returncode == 0 and "What this does not contain:" in done.stdout and "Examples:" in done.stdout


def test_the_proxy_cannot_be_dumped(ordinary):
    process = ordinary.popen("sh", "-c", "echo up; sleep 1000", policy=False)
    try:
        assert process.stdout.readline() == "up\n"
        mark = ordinary.audit_dir
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        # What cannot be dumped belongs to root, whoever runs it.
        owners = {os.stat(f"/proc/{pid}/mem").st_uid for pid in children
                  if mark in pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")}
        assert owners == {0}
    finally:
        process.terminate()
        process.communicate(timeout=20)




