# SPDX-License-Identifier: Apache-2.0
"""What a build puts on a machine: cmake --install, the manual pages, completion, and the Debian package, installed into a
copy of this machine's root that is thrown away (an overlay in a mount namespace of its own)."""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab.lab import base_folder

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT", "/nonexistent")).resolve().parent
UNITS = {"usr/lib/systemd/system/sallyport.service", "usr/lib/systemd/system/sallyport.socket"}
FILES = UNITS | {
    "usr/bin/sallyport", "usr/bin/sallyport-relay", "etc/sallyport/environment.yaml",
    "usr/share/man/man1/sallyport.1.gz", "usr/share/man/man1/sallyport-relay.1.gz",
    "usr/share/man/man5/sallyport-policy.5.gz", "usr/share/man/man5/sallyport-config.5.gz",
    "usr/share/bash-completion/completions/sallyport", "usr/lib/sysusers.d/sallyport.conf",
    "usr/lib/tmpfiles.d/sallyport.conf", "usr/share/sallyport/environment.schema.json", "usr/share/sallyport/spawn.sh",
    "usr/share/doc/sallyport/copyright", "usr/share/doc/sallyport/policies/gateway.yaml"}

pytestmark = pytest.mark.skipif(not (BUILD / "CMakeCache.txt").exists(), reason="SALLYPORT is not in a build tree")


def run(*command, **options):
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    done = subprocess.run([str(word) for word in command], **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture
def folder():
    path = base_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def install(folder, prefix):
    return run("cmake", "--install", BUILD, "--prefix", prefix, env={**os.environ, "DESTDIR": str(folder)})


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def mode(path):
    return path.stat().st_mode & 0o7777


def test_install(folder):
    install(folder, "/usr")
    assert FILES <= files(folder), FILES - files(folder)
    assert all(name.startswith(("usr/", "etc/sallyport/environment.yaml")) for name in files(folder))
    assert mode(folder / "usr/bin/sallyport") == 0o755
    service = (folder / "usr/lib/systemd/system/sallyport.service").read_text()
    assert service == (ROOT / "packaging/systemd/sallyport.service").read_text()
    policy = folder / "etc/sallyport/environment.yaml"
    assert mode(policy) == 0o644
    run(folder / "usr/bin/sallyport", "check", policy)
    policy.write_text("mine\n")
    assert "Kept: " in install(folder, "/usr") and policy.read_text() == "mine\n"


def test_install_elsewhere(folder):
    """Units and policy name the place, and nothing is written outside it."""
    install(folder, "/opt/sp")
    assert all(name.startswith("opt/sp/") for name in files(folder))
    service = (folder / "opt/sp/lib/systemd/system/sallyport.service").read_text()
    assert "ExecStart=/opt/sp/bin/sallyport run --policy /opt/sp/etc/sallyport/environment.yaml" in service
    assert "/usr/bin" not in service


def page(name, section):
    return gzip.decompress((BUILD / "man" / f"{name}.{section}.gz").read_bytes()).decode()


def test_manual_names_every_verb_and_option(binary):
    text = page("sallyport", 1)
    verbs = re.findall(r"(?m)^  ([a-z]+) +\S", run(binary, "--help").split("Every verb")[0])
    assert len(verbs) >= 15
    sections = re.findall(r'(?m)^\.SS "sallyport (.*)"$', text)
    assert {words.split()[0] for words in sections} == set(verbs)
    assert {"audit verify", "audit rotate\\-key", "policy rollback", "groups show", "session"} <= set(sections)
    for words in sections:
        body = text.split(f'.SS "sallyport {words}"\n')[1].split("\n.SS ")[0].split("\n.SH ")[0]
        said = run(binary, *words.replace("\\", "").split(), "--help").split("Example")[0]
        for option in re.findall(r"(?m)^\s+(?:-\w, +)?(--[a-z-]+)", said):
            assert option.replace("-", "\\-") in body, (words, option)


@pytest.mark.parametrize("name,kind,keys", [
    ("sallyport-policy", "environment", ["egress.hosts[].tls.sni", "egress.limits.idle", "config.networking.allowed_hosts"]),
    ("sallyport-config", "config", ["listeners[].listen", "audit.signer_dir", "limits.idle"])])
def test_manual_names_every_key(binary, name, kind, keys):
    text = page(name, 5).replace("\\-", "-")
    named = set(re.findall(r"(?m)^\.B (.*)$", text))
    assert set(keys) <= named
    rows = re.findall(r'(?m)^X\("([^"]+)"', (ROOT / "include/policy" / {"environment": "keys_tbl.h",
                                                                       "config": "config_keys_tbl.h"}[kind]).read_text())
    assert len(rows) > 20 and set(rows) <= named, set(rows) - named


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name,section", [("sallyport", 1), ("sallyport-relay", 1), ("sallyport-policy", 5),
                                          ("sallyport-config", 5)])
def test_manual_is_well_formed(name, section):
    done = subprocess.run(["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-rLL=200n"], input=page(name, section),
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout) > 500


COMPLETIONS = [
    (["sallyport", "au"], {"audit"}),
    (["sallyport", "audit", "ver"], {"verify"}),
    (["sallyport", "audit", "verify", "--wit"], {"--witnesses"}),
    (["sallyport", "check", "--js"], {"--json"}),
    (["sallyport", "run", "--policy", "x.yaml", "--lis"], {"--listen"}),
    (["sallyport", "exec", "--", "ls", "--js"], set()),
    (["sallyport", "nothing-such"], set()),
]


@pytest.mark.parametrize("words,wanted", COMPLETIONS, ids=lambda value: " ".join(value))
def test_completion(binary, words, wanted):
    script = f'. {ROOT}/packaging/completion/sallyport.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
             'COMPREPLY=(); _sallyport 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    out = run("bash", "-c", script, "bash", binary, *words[1:])
    assert set(out.split()) == wanted


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck():
    scripts = [*(ROOT / "packaging/debian").glob("p*"), ROOT / "packaging/completion/sallyport.bash", ROOT / "tools/package",
               ROOT / "tools/packages", ROOT / "tools/test", ROOT / "tools/demo", ROOT / "tools/own-net"]
    assert len(scripts) == 9
    run("shellcheck", *scripts)


needs_package = pytest.mark.skipif(not shutil.which("dpkg-shlibdeps") or not shutil.which("cpack") or
                                   not shutil.which("file"), reason="dpkg-dev, file or cpack is not installed")


@pytest.fixture(scope="module")
def package():
    folder = base_folder()
    run("cpack", "-G", "DEB", "-B", folder, cwd=BUILD, timeout=200)
    found = list(folder.glob("sallyport_*.deb"))
    assert len(found) == 1
    yield found[0]
    shutil.rmtree(folder, ignore_errors=True)


def field(package, name):
    return run("dpkg-deb", "--field", package, name).strip()


@needs_package
def test_package(package):
    assert field(package, "Package") == "sallyport"
    assert field(package, "Architecture") == run("dpkg", "--print-architecture").strip()
    depends = {word.split()[0] for word in field(package, "Depends").split(",")}
    assert {"libc6", "libssl3", "libevent-core-2.1-7", "libc-ares2", "libyaml-0-2", "libseccomp2"} <= depends
    assert not [name for name in depends if name.endswith("-dev")]
    assert field(package, "Recommends") == "libcurl4"
    lines = [line.split(None, 5) for line in run("dpkg-deb", "--contents", package).splitlines()]
    assert {line[1] for line in lines} == {"root/root"}
    assert FILES <= {line[5].removeprefix("./") for line in lines}
    assert not [line for line in lines if line[0][5] == "w" or line[0][8] == "w" or "s" in line[0]]
    assert run("dpkg-deb", "--info", package, "conffiles") == "/etc/sallyport/environment.yaml\n"
    for name in ("postinst", "prerm", "postrm"):
        assert run("dpkg-deb", "--info", package, name).startswith("#!/bin/sh\n")


# In the copy: what a system manager would make before it starts the unit, then the unit's own command line.
STORY = r"""
set -eu
dpkg --install "$1" >/dev/null
[ "$(stat -c '%U' /etc/sallyport/environment.yaml)" = root ]
id -u sallyport >/dev/null
[ "$(getent passwd sallyport | cut -d: -f7)" = /usr/sbin/nologin ]
sallyport --version
for dir in /var/lib/sallyport /run/sallyport /run/sallyport-sessions /run/sallyport-proxy; do
    install -d -o sallyport -g sallyport -m 0711 "$dir"
done
chmod 0700 /var/lib/sallyport
command=$(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' /usr/lib/systemd/system/sallyport.service | sed -n 's/^ExecStart=//p')
as_it="setpriv --reuid sallyport --regid sallyport --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs"
mkfifo -m 0666 /run/ready
$as_it $command --ready-fd 9 9>/run/ready &
pid=$!
head -n 1 /run/ready
python3 -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect("/run/sallyport-proxy/proxy.sock")
s.sendall(b"CONNECT attacker.example:443 HTTP/1.1\r\nHost: attacker.example:443\r\n\r\n")
print(s.recv(4096).split(b"\r\n")[0].decode())'
kill -TERM "$pid"
wait "$pid"
sallyport audit verify /var/lib/sallyport/audit
echo "# mine" >>/etc/sallyport/environment.yaml
dpkg --force-confold --install "$1" >/dev/null
tail -n 1 /etc/sallyport/environment.yaml
dpkg --remove sallyport >/dev/null
[ ! -e /usr/bin/sallyport ] && tail -n 1 /etc/sallyport/environment.yaml
dpkg --purge sallyport
[ ! -e /etc/sallyport ] && [ -d /var/lib/sallyport/audit ] && echo end
"""
OVERLAY = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" overlay "$1/root" || exit 77
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs none "$1/root/run"
mkdir "$1/root/run/lock"
cp "$2" "$1/root/run/sallyport.deb"
exec chroot "$1/root" sh -c "$3" sh /run/sallyport.deb
"""


@needs_package
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts")
def test_package_is_installed_used_and_removed(package, folder):
    done = subprocess.run(["unshare", "--mount", "sh", "-c", OVERLAY, "sh", str(folder), str(package), STORY],
                          capture_output=True, text=True, timeout=120, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    if done.returncode == 77:
        pytest.skip(f"no overlay here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"sallyport +\d+\.\d", lines[0])
    ready = [json.loads(line) for line in lines if line.startswith("{")]
    assert ready[0]["listeners"] == ["unix:/run/sallyport-proxy/proxy.sock"]
    assert ready[0]["audit_dir"] == "/var/lib/sallyport/audit"
    assert any(line.startswith("HTTP/1.1 403") for line in lines), done.stdout
    assert [line for line in lines if re.match(r"proven: \d+ entries, \d+ signed, 1 attempts", line)], done.stdout
    assert lines.count("# mine") == 2 and lines[-1] == "end"
    assert any("is kept" in line for line in lines)
