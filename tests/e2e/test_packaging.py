# SPDX-License-Identifier: Apache-2.0
"""What packaging/ promises, as far as it can be seen without a container engine: the image's recipe, the compose file, the
units, and the program as the image starts it."""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
DOCKER = PACKAGING / "docker"
UNITS = PACKAGING / "systemd"


def stages():
    """[[(instruction, rest)]] of the Dockerfile, a list for each FROM."""
    text = (DOCKER / "Dockerfile").read_text()
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    text = re.sub(r"\\\n", " ", text)
    out = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        if word == "FROM":
            out.append([])
        out[-1].append((word, rest.strip()))
    return out


def one(stage, word):
    found = [rest for name, rest in stage if name == word]
    assert len(found) == 1, (word, found)
    return found[0]


def test_the_image():
    build, final = stages()
    assert one(final, "FROM") == "debian:12-slim" and one(build, "FROM").startswith("debian:12-slim ")
    # The tests ask for python3, which the packages of a build do not bring.
    assert " cmake --preset release -DSALLYPORT_TESTS=OFF " in one(build, "RUN")
    uid, gid = one(final, "USER").split(":")
    assert int(uid) > 1000 and int(gid) > 1000, "a number that is not root's: the image may have no account file"
    health = one(final, "HEALTHCHECK")
    assert json.loads(health[health.index("CMD") + 3:]) == ["sallyport", "health"]
    assert json.loads(one(final, "ENTRYPOINT")) == ["sallyport"]
    assert json.loads(one(final, "CMD"))[:3] == ["run", "--policy", "/etc/sallyport/environment.yaml"]
    assert json.loads(one(final, "VOLUME")) == ["/var/lib/sallyport"]
    words = [word for word, _ in final]
    assert "ADD" not in words and "ARG" not in words and words.index("COPY") < words.index("USER")
    assert one(final, "COPY") == "--from=build /build/sallyport /build/sallyport-relay /usr/bin/"
    for word, rest in build + final:
        assert not re.search(r"curl |wget |(?i:secret|password|token)", rest), (word, rest)


def test_the_image_has_every_library(binary):
    """What the program is linked to comes from the packages of the last stage."""
    needed = subprocess.run(["ldd", os.environ["SALLYPORT"]], capture_output=True, text=True, check=True).stdout
    installed = re.search(r"install -y --no-install-recommends(.*?)&&", one(stages()[1], "RUN")).group(1).split()
    direct = set(re.findall(r"NEEDED.*\[(.+?)\]", subprocess.run(["readelf", "-d", os.environ["SALLYPORT"]],
                                                                 capture_output=True, text=True).stdout))
    owners = set()
    for name, path in re.findall(r"(\S+) => (\S+)", needed):
        if name in direct and "asan" not in name and "tsan" not in name:
            # Debian 12 knows files of /usr/lib by the name that they had in /lib.
            places = {path, path.removeprefix("/usr"), os.path.realpath(path)}
            found = subprocess.run(["dpkg", "-S", *places], capture_output=True, text=True).stdout
            owners.add(found.split(":")[0])
    owners -= {"libc6", "libgcc-s1", "libubsan1", "libasan8", "libtsan2", ""}
    assert len(owners) >= 8, owners
    assert owners <= set(installed), f"not installed in the image: {owners - set(installed)}"


def test_compose(binary):
    tree = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    proxy, agent = tree["services"]["proxy"], tree["services"]["agent"]
    assert tree["networks"]["inside"] == {"internal": True}
    assert agent["networks"] == ["inside"] and set(proxy["networks"]) == {"inside", "outside"}
    for service in (proxy, agent):
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "ports", "network_mode", "pid", "ipc", "devices", "extra_hosts"} & set(service)
        assert not [v for v in service.get("volumes", []) if "docker.sock" in v]
    assert int(agent["user"].split(":")[0]) > 1000 and "user" not in proxy, "the proxy's stands in its image"
    assert agent["user"].split(":")[0] != one(stages()[1], "USER").split(":")[0]
    assert agent["depends_on"] == {"proxy": {"condition": "service_healthy"}}
    assert "./environment.yaml:/etc/sallyport/environment.yaml:ro" in proxy["volumes"]
    assert "audit:/var/lib/sallyport" in proxy["volumes"] and "audit" in tree["volumes"]
    printed = subprocess.run([binary, "env", "--format", "json", "--proxy", "http://proxy:3128"], capture_output=True,
                             text=True, check=True).stdout
    assert agent["environment"] == json.loads(printed), "the variables are those of `sallyport env`"
    policy = subprocess.run([binary, "check", str(DOCKER / "environment.yaml")], capture_output=True, text=True)
    assert policy.returncode == 0, policy.stdout + policy.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nsenter"), reason="needs root and nsenter")
def test_the_program_as_the_image_starts_it(lab):
    """Its user, its variables, a root that cannot be written, and the health check without an argument."""
    final = stages()[1]
    uid = one(final, "USER").split(":")[0]
    env = dict(word.split("=", 1) for word in shlex.split(one(final, "ENV")))
    policy = lab.folder / "environment.yaml"
    shutil.copy2(DOCKER / "environment.yaml", policy)
    os.chmod(policy, 0o644)
    written = " && ".join(f"mount -t tmpfs -o mode=0755 none {path} && mkdir -m 0700 {path}/sallyport && "
                          f"chown {uid}:{uid} {path}/sallyport" for path in env.values())
    command = [*json.loads(one(final, "ENTRYPOINT")), *json.loads(one(final, "CMD"))]
    assert command[0] == "sallyport"
    command = [lab.binary, *command[1:], "--ready-fd", "1"]
    command[command.index("/etc/sallyport/environment.yaml")] = str(policy)
    command[command.index("0.0.0.0:3128")] = "127.0.0.1:0"
    drop = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
            "--no-new-privs"]
    env = {"PATH": "/usr/bin:/bin", **env}
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", f'mount -o remount,ro,bind / && {written} && exec "$@"',
                                "sh", *drop, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd="/")
    try:
        ready = json.loads(process.stdout.readline() or process.stderr.read())
        assert ready["audit_dir"] == "/var/lib/sallyport/audit" and ready["admin"] == "/run/sallyport/admin.sock"
        inside = ["nsenter", "--target", str(process.pid), "--mount", *drop, lab.binary]
        health = subprocess.run([*inside, "health"], capture_output=True, text=True, env=env, timeout=20)
        assert health.returncode == 0, health
        nowhere = subprocess.run([*inside, "health"], capture_output=True, text=True, timeout=20,
                                 env={**env, "XDG_RUNTIME_DIR": "/nonexistent"})
        assert nowhere.returncode == 1
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@needs_systemd
def test_units_are_valid(lab):
    folder = lab.make_folder("units")
    for name in ("sallyport.service", "sallyport.socket"):
        text = (UNITS / name).read_text().replace("/usr/bin/sallyport", lab.binary)
        (folder / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, sorted(folder.iterdir()))],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and str(folder) not in done.stderr and "sallyport" not in done.stderr, done.stderr


@needs_systemd
def test_the_service_is_closed_in():
    """systemd's own measure, from 0 (closed) to 10: at most 2."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
                           str(UNITS / "sallyport.service")], capture_output=True, text=True, timeout=60)
    print(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    text = (UNITS / "sallyport.service").read_text()
    assert " --strict-files " in text  # what the group can write is an error here
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet=",
                 "UMask=0077", "RestartPreventExitStatus=2 3 4 64 78", "RestrictNamespaces=yes"):
        assert f"\n{line}\n" in text, line
    assert "\nRemoveOnStop=no\n" in (UNITS / "sallyport.socket").read_text()
