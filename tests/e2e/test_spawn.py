# SPDX-License-Identifier: Apache-2.0
"""packaging/spawn/spawn.sh: what a poller calls for a piece of work. `ant` and `docker` are stand-ins that write down what
they were given; bubblewrap is the real one."""
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
from lab.proxy import unprivileged
from test_sessions import Sessions
from test_unix import needs_sandbox, relay

SPAWN = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "spawn" / "spawn.sh"
KEY, SECRET, HOST_KEY = "sk-ant-oat01-environment-key", "work-secret-17", "sk-ant-api03-of-the-host"
# Stands in the place of `ant beta:worker poll --on-work SCRIPT`: the work item on standard input, ids in the environment.
ANT = """
    #!/usr/bin/python3
    import os, subprocess, sys
    assert sys.argv[1:4] == ["beta:worker", "poll", "--on-work"], sys.argv
    env = dict(os.environ, ANTHROPIC_SESSION_ID="sesn_01", ANTHROPIC_WORK_ID="work_01")
    sys.exit(subprocess.run([sys.argv[4]], input='{"id": "work_01"}', text=True, env=env).returncode)
"""
# Stands in docker's place.
DOCKER = """
    #!/usr/bin/python3
    import json, os, signal, sys, time
    out = os.environ["STUB_OUT"]
    mount = next(w for w in sys.argv if "target=/run/sallyport," in w)
    folder = mount.split("source=")[1].split(",")[0]
    json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "stdin": sys.stdin.read(), "cmdlines": [
        open(f"/proc/{p}/cmdline").read() for p in (os.getpid(), os.getppid())],
        "socket": os.listdir(folder)}, open(out + ".new", "w"))
    os.rename(out + ".new", out)
    if os.environ.get("STUB_WAIT"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        got = signal.sigwait([signal.SIGTERM, signal.SIGINT])
        open(out + ".signal", "w").write(str(int(got)))
        sys.exit(33)
    print("the worker's words")
    sys.exit(int(os.environ.get("STUB_STATUS", "0")))
"""


class World:
    def __init__(self, lab):
        self.lab = lab
        self.proxy = lab.proxy(hosts=[lab.https(lab.make_folder("www")).at("allowed.test")],
                               egress={"environment_ids": ["env_01"]})
        self.proxy._own(self.proxy.folder / "audit.sessions", 0o700)
        self.sessions = Sessions(self.proxy)
        self.bin = lab.make_folder("bin")
        self.home = lab.make_folder("home")
        for name, text in (("ant", ANT), ("docker", DOCKER)):
            (self.bin / name).write_text(textwrap.dedent(text).lstrip())
            os.chmod(self.bin / name, 0o755)
        shutil.copy2(SPAWN, self.bin / "spawn.sh")
        if relay() is not None:
            shutil.copy2(relay(), self.bin / "sallyport-relay")
        self.proxy._own(self.proxy.folder / "out", 0o700)
        self.out = self.proxy.folder / "out" / "docker.json"
        self.env = {
            "PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C", "STUB_OUT": str(self.out),
            "SALLYPORT": lab.binary, "SALLYPORT_RELAY": str(self.bin / "sallyport-relay"),
            "SALLYPORT_ADMIN": f"unix:{self.proxy.folder}/admin/a.sock", "SALLYPORT_IMAGE": "worker:1",
            "SALLYPORT_PASS": "GREETING", "GREETING": "two\nlines", "directory": "/elsewhere", "relay": "/elsewhere",
            "ANTHROPIC_ENVIRONMENT_ID": "env_01", "ANTHROPIC_ENVIRONMENT_KEY": KEY, "ANTHROPIC_WORK_SECRET": SECRET,
            "ANTHROPIC_API_KEY": HOST_KEY,
        }

    def poll(self, **env):
        return subprocess.Popen(["ant", "beta:worker", "poll", "--on-work", str(self.bin / "spawn.sh")], text=True,
                                env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                                start_new_session=True, executable=str(self.bin / "ant"), **unprivileged())

    def spawn(self, **env):
        """The script itself, as the poller starts it."""
        env = {**self.env, "ANTHROPIC_SESSION_ID": "sesn_01", "ANTHROPIC_WORK_ID": "work_01", **env}
        return subprocess.Popen([str(self.bin / "spawn.sh")], text=True, stdin=subprocess.DEVNULL,
                                env={k: v for k, v in env.items() if v is not None}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd="/", **unprivileged())

    def end(self, process):
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def closed(self):
        """The session is closed, with records of its opening and its end."""
        assert self.sessions.good("list") == {"sessions": []}
        assert not os.listdir(f"{self.proxy.folder}/admin/sessions")
        assert len(self.sessions.changes("session_opened", "sesn_01")) == 1
        assert len(self.sessions.changes("session_closed", "sesn_01")) == 1
        return True

    def silent(self, *texts):
        for text in [*texts, self.proxy.text(), json.dumps(self.proxy.audit.records())]:
            assert KEY not in text and SECRET not in text and HOST_KEY not in text
        return True


@pytest.fixture
def world(lab):
    if relay() is None:
        pytest.skip("sallyport-relay is not built")
    return World(lab)


def pairs(argv, name):
    return [argv[i + 1] for i, word in enumerate(argv) if word == name]


def test_what_docker_is_given(world):
    done = world.end(world.poll(STUB_STATUS="17"))
    assert (done.returncode, done.stdout) == (17, "the worker's words\n"), done.stderr
    given = json.loads(world.out.read_text())
    argv = given["argv"]
    folder = f"{world.proxy.folder}/admin/sessions/sesn_01"
    assert argv[0] == "run" and "--rm" in argv and "--privileged" not in argv
    assert pairs(argv, "--network") == ["none"] and pairs(argv, "--cap-drop") == ["ALL"]
    assert pairs(argv, "--security-opt") == ["no-new-privileges"] and "--read-only" in argv
    uid, gid = pairs(argv, "--user")[0].split(":")
    assert uid == "10002" and gid == str(65534 if os.geteuid() == 0 else os.getegid())
    assert pairs(argv, "--mount") == [
        f"type=bind,source={folder},target=/run/sallyport,readonly",
        f"type=bind,source={world.bin}/sallyport-relay,target=/usr/local/bin/sallyport-relay,readonly"]
    assert not {"-v", "--volume", "-p", "--publish", "--device", "--cap-add", "--pid", "--userns"} & set(argv)
    # Names alone: the values are in its environment and in no command line.
    assert sorted(pairs(argv[:argv.index("--entrypoint")], "--env")) == ["ANTHROPIC_ENVIRONMENT_ID", "ANTHROPIC_ENVIRONMENT_KEY",
                                            "ANTHROPIC_SESSION_ID", "ANTHROPIC_WORK_ID", "ANTHROPIC_WORK_SECRET",
                                            "GREETING", "HOME=/tmp"]
    assert given["env"]["ANTHROPIC_ENVIRONMENT_KEY"] == KEY and given["env"]["GREETING"] == "two\nlines"
    tail = argv[argv.index("--entrypoint"):]
    assert tail == ["--entrypoint", "/usr/local/bin/sallyport-relay", "worker:1", "--to",
                    "unix:/run/sallyport/proxy.sock", "--env", "--", "ant", "beta:worker", "run", "--workdir",
                    "/workspace"]
    assert given["stdin"] == '{"id": "work_01"}', "the work item is the worker's"
    assert given["socket"] == ["proxy.sock"]
    opened = json.dumps(world.sessions.changes("session_opened", "sesn_01")[0])
    assert '"work_01"' in opened and "env-a" in opened
    assert world.closed() and world.silent(done.stderr, done.stdout, " ".join(argv), *given["cmdlines"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_container_and_its_status_comes_back(world, number):
    process = world.spawn(STUB_WAIT="1")
    wait_for(world.out.exists, 20, lambda: "docker was started")
    assert [s["session"] for s in world.sessions.good("list")["sessions"]] == ["sesn_01"]
    process.send_signal(number)
    done = world.end(process)
    assert done.returncode == 33, done.stderr
    assert (world.out.parent / "docker.json.signal").read_text() == str(int(number))
    assert world.closed()


def test_a_container_that_cannot_be_started(world):
    done = world.end(world.spawn(DOCKER="/nonexistent/docker"))
    assert done.returncode == 127 and world.closed() and world.silent(done.stderr)


def test_no_session_no_worker(world):
    for env, said in (({"ANTHROPIC_ENVIRONMENT_ID": "env_99"}, "no environment"),
                      ({"ANTHROPIC_SESSION_ID": "../x"}, "session"),
                      ({"SALLYPORT_ADMIN": "unix:/nonexistent.sock"}, "nothing answers")):
        done = world.end(world.spawn(**env))
        assert done.returncode == 1 and said in done.stderr and "the worker is not started" in done.stderr, done
    assert not world.out.exists() and world.sessions.good("list") == {"sessions": []}
    for env, said in (({"ANTHROPIC_WORK_ID": None}, "ANTHROPIC_WORK_ID is not set"),
                      ({"SALLYPORT_IMAGE": None}, "SALLYPORT_IMAGE is not set"),
                      ({"SALLYPORT_SANDBOX": "none"}, "is docker or bwrap"),
                      ({"SALLYPORT_RELAY": "/nonexistent"}, "there is no program"),
                      ({"SALLYPORT_RELAY": "relay"}, "absolute path")):
        done = world.end(world.spawn(**env))
        assert done.returncode == 64 and said in done.stderr, done
    assert not world.sessions.changes("session_opened", "sesn_01") and not world.out.exists()


# Runs inside: what a worker would do, and what it must not be able to.
WORKER = """
    #!/usr/bin/python3
    import json, os, socket, subprocess, sys
    def asks(url):
        done = subprocess.run(["curl", "-s", "-k", "-o", "/dev/null", "-w", "%{http_connect}", url], capture_output=True,
                              text=True)
        return done.stdout
    def direct(where):
        try:
            socket.create_connection(where, 3).close()
            return "open"
        except OSError as error:
            return "failed"
    def writes(path):
        try:
            open(path, "w").close()
            return True
        except OSError:
            return False
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "stdin": sys.stdin.read(),
               "allowed": asks(os.environ["GREETING"].split()[0]), "denied": asks("https://denied.test/"),
               "direct": [direct((h, int(p))) for h, p in (w.split(":") for w in os.environ["GREETING"].split()[1:])],
               "writes": [writes(p) for p in ("/workspace/x", "/x", "/usr/x", "/run/sallyport/x", "/etc/x")],
               "caps": status["CapEff"].strip(), "run": sorted(os.listdir("/run")),
               "pids": len([p for p in os.listdir("/proc") if p.isdigit()])}, sys.stdout)
    sys.exit(5)
"""


@needs_sandbox
def test_bubblewrap_for_real(world):
    origin = world.proxy.policy_file.read_text()
    address, port = re.search(r"addresses:\n\s+- \"?([\d.]+)/32\"?\n\s+ports:\n\s+- (\d+)", origin).groups()
    worker = world.bin / "worker"
    worker.write_text(textwrap.dedent(WORKER).lstrip())
    os.chmod(worker, 0o755)
    done = world.end(world.poll(
        SALLYPORT_SANDBOX="bwrap", SALLYPORT_BIND=str(world.bin), SALLYPORT_WORKER=f"{worker} beta:worker run",
        GREETING=f"https://allowed.test:{port}/ {address}:{port} 169.254.169.254:80 {world.proxy.endpoint[0]}:"
                 f"{world.proxy.endpoint[1]}"))
    assert done.returncode == 5, done.stderr
    said = json.loads(done.stdout)
    assert said["argv"] == ["beta:worker", "run"] and said["stdin"] == '{"id": "work_01"}'
    assert said["allowed"] == "200" and said["denied"] == "403"
    assert said["direct"] == ["failed"] * 3
    assert said["writes"] == [True, False, False, False, False]
    assert said["caps"] == "0" * 16 and said["run"] == ["sallyport", "sallyport-relay"]
    env = said["env"]
    assert env["ANTHROPIC_ENVIRONMENT_KEY"] == KEY and env["ANTHROPIC_WORK_SECRET"] == SECRET
    assert env["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert not {"ANTHROPIC_API_KEY", "SALLYPORT_ADMIN", "STUB_OUT", "directory", "SALLYPORT_PASS"} & set(env)
    assert '"sesn_01"' in json.dumps(world.proxy.audit.attempt(host="allowed.test", verdict="allow"))
    assert world.closed() and world.silent(done.stderr)


@needs_sandbox
def test_bubblewrap_ends_with_its_poller(world):
    process = world.spawn(SALLYPORT_SANDBOX="bwrap", SALLYPORT_WORKER="sh -c echo\tup;sleep\t1000".replace("\t", "${IFS}"))
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    done = world.end(process)
    assert done.returncode == 143, done
    assert world.closed()


def test_a_policy_that_cuts_the_worker_off_is_a_lint(lab):
    """What a worker needs of its control plane is known to `check`."""
    folder = lab.make_folder("policies")
    for hosts, lint in ((["a.test"], True), (["api.anthropic.com"], False)):
        (folder / "p.yaml").write_text(lab.policy(allowed_hosts=hosts).text())
        done = subprocess.run([lab.binary, "check", folder / "p.yaml"], capture_output=True, text=True)
        assert done.returncode == 0
        assert ("[control_plane]" in done.stdout) == lint, done
        strict = subprocess.run([lab.binary, "check", "--strict", "--json", folder / "p.yaml"], capture_output=True,
                                text=True)
        codes = [f["code"] for f in json.loads(strict.stdout)["findings"]]
        assert ("control_plane" in codes) == lint and strict.returncode == int(lint or bool(codes)), strict


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_script_is_clean():
    done = subprocess.run(["shellcheck", str(SPAWN)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
