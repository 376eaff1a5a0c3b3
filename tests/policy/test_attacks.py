# SPDX-License-Identifier: Apache-2.0
"""What a hostile or careless author of policy files tries, by the ids of the list of attacks (W: matching, C: files and
patterns). Each must be refused with a place and a fix, or mean exactly what is said here."""
import json
import os
import subprocess

import pytest

PROGRAM = os.environ.get("SALLYPORT", "")
HEAD = "name: e\nconfig:\n  networking:\n    type: limited\n"


@pytest.fixture(autouse=True)
def _program():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")


def check(path):
    done = subprocess.run([PROGRAM, "check", "--json", "--quiet", str(path)], capture_output=True, timeout=20,
                          check=False)
    return done.returncode, json.loads(done.stdout)


def verdict(path, host, *options):
    done = subprocess.run([PROGRAM, "explain", "--json", "--policy", str(path), *options, "--", host],
                          capture_output=True, timeout=20, check=False)
    return json.loads(done.stdout)["reason"]


def hosts(*entries):
    return HEAD + "    allowed_hosts: [" + ", ".join(entries) + "]\n"


def egress(text):
    return HEAD + "egress: " + text + "\n"


REFUSED = [
    ("W-07", hosts('"*.0.0.1"')), ("W-07", hosts('"*.254"')),
    ("W-08", hosts('"*.s3.amazonaws.com"')), ("W-08", hosts('"*.github.io"')), ("W-08", hosts('"*.cloudfront.net"')),
    ("W-09", HEAD + "    allowed_hosts:\n"),
    *[("W-10", hosts(entry)) for entry in ('""', '" "', '"allowed.test "', '"allowed.test#c"', '"https://allowed.test"',
                                           '"allowed.test/path"', '"allowed.test\\n"', '"allowed\\u00a0.test"')],
    *[("W-13", hosts(entry)) for entry in ('"[11.22.33.44]"', '"0x0b16212c"', '"::ffff:11.22.33.44"')],
    ("C-01", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + HEAD), ("C-01", HEAD + "    allowed_hosts: &a []\n"),
    ("C-01", HEAD + "    <<: {allowed_hosts: []}\n"),
    ("C-02", "name: " + "[" * 100000), ("C-02", "name: " + "{a: " * 100000),
    ("C-02", "".join(" " * n + "a:\n" for n in range(40))),
    ("C-03", HEAD + "    allowed_hosts: []\n    allowed_hosts: []\n"),
    ("C-03", HEAD + "    allowed_hosts: []\n    \"allowed_hosts\": []\n"),
    ("C-03", HEAD + "    allowed_hosts: []\n    \"allowed\\u005fhosts\": []\n"),
    *[("C-04", hosts(word)) for word in ("no", "on", "~", "1.5", "2026-01-01")],
    *[("C-04", HEAD + f"    allow_mcp_servers: {word}\n") for word in ("on", "yes", "True", '"true"', "1")],
    *[("C-05", egress(f"{{ports: {{connect: [{word}]}}}}"))
      for word in ("1e3", "0x1bb", "0443", "1_000", "443.0", "22:22", '"443"', "-1", "0", "65536")],
    ("C-06", HEAD + "    allow_mcp_servers:\n"), ("C-06", egress("{blocked_ports_replace: ~}")),
    *[("C-08", text) for text in (
        "!!python/object:os.system {}\n", HEAD.replace("name: e", "name: !!binary ZQ=="),
        egress('{ports: {connect: [!!int "443"]}}'), HEAD.replace("name: e", "name: !own e"),
        "%TAG ! tag:x,2000:\n---\n" + HEAD, "%YAML 3.0\n---\n" + HEAD, HEAD + "---\n" + HEAD)],
    ("C-09", b"\xef\xbb\xbf" + HEAD.encode()), ("C-09", HEAD.encode("utf-16")),
    ("C-09", HEAD.encode() + b"# \0\n"), ("C-09", HEAD.encode() + b"# \xff\xfe\n"),
    ("C-09", HEAD.encode() + b"# \xc2\x85\xc2\x9b\n"), ("C-09", HEAD + "\tallowed_hosts: []\n"),
    ("C-09", hosts('"allowed\\x00.test"')),
    ("C-11", HEAD + "    allowed_hosts:\n      - |\n        allowed.test\n"),
    ("C-11", HEAD + "    allowed_hosts:\n      - >\n        allowed.test\n"),
    ("C-11", hosts("allowed.test#c")),
    ("C-14", ""), ("C-14", "# nothing\n"), ("C-14", "\n\n"),
    *[("C-16", egress(f"{{host_patterns: {{allow: ['{text}']}}}}")) for text in (
        "(*LIMIT_MATCH=1)a", "(*NO_JIT)a", "(*UTF)a", "a\\C", "a(?C1)", "(" * 255 + "a" + ")" * 255, "a" * 65536)],
    *[("C-19", egress(text)) for text in (
        "{private_networks: [10.0.0.0/33]}", "{private_networks: [10.0.0.1/8]}", "{limits: {idle: 1e9h}}",
        "{limits: {idle: -1s}}", "{limits: {idle: 0}}", "{limits: {bytes_up: 99999999999999999999GiB}}")],
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row[0])
def test_is_refused(row, tmp_path):
    _, text = row
    path = tmp_path / "e.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, told = check(path)
    error = next(f for f in told["findings"] if f["severity"] == "error")
    assert code == 1 and not told["loads"] and error["file"] == str(path)


MEANS = [
    ("W-01", '"*.wild.test"', {"evilwild.test": "host_not_allowed", "wild.test.attacker.test": "host_not_allowed",
                               "xwild.test": "host_not_allowed"}),
    ("W-02", '"*.wild.test"', {"wild.test": "host_not_allowed"}),
    ("W-03", "allowed.test", {"allowed.test.attacker.test": "host_not_allowed", "notallowed.test": "host_not_allowed"}),
    ("W-04", '"*.wild.test"', {"a.b.c.wild.test": "allowed"}),
    ("W-07", '"*.wild.test"', {"127.0.0.1": "literal_not_allowed", "169.254.169.254": "literal_not_allowed"}),
    ("W-09", "", {"allowed.test": "host_not_allowed"}),
    ("W-13", "Secret.Wild.Test.", {"secret.wild.test": "allowed", "SECRET.wild.test.": "allowed"}),
]


@pytest.mark.parametrize("row", MEANS, ids=lambda row: row[0])
def test_means(row, tmp_path):
    _, entry, answers = row
    path = tmp_path / "e.yaml"
    path.write_text(hosts(entry) if entry else hosts())
    assert {host: verdict(path, host) for host in answers} == answers


@pytest.mark.parametrize("door", ["connect", "http", "socks5", "tls", "plain"])
def test_one_verdict_by_every_door(door, tmp_path):
    """W-15."""
    path = tmp_path / "e.yaml"
    path.write_text(hosts("allowed.test"))
    assert verdict(path, "denied.test", "--via", door) == "host_not_allowed"


@pytest.mark.parametrize("side", ["allow", "deny"])
def test_a_pattern_that_fails_denies(side, tmp_path):
    """C-17: the limit of match steps is reached."""
    path = tmp_path / "e.yaml"
    path.write_text(hosts('"*.test"'.replace("*.test", "*.wild.test")) +
                    f"egress: {{host_patterns: {{{side}: ['(a*)*(a*)*(a*)*(a*)*b[.]wild[.]test']}}}}\n")
    host = "a" * 60 + "c.wild.test"
    assert verdict(path, host) == ("host_denied" if side == "deny" else "allowed")
    assert verdict(path, "a" * 60 + "c.other.test") in ("host_not_allowed", "host_denied")


def test_files_that_are_none(tmp_path):
    """C-12: links are followed, what is opened must be a regular file that nobody else can write."""
    good = tmp_path / "good.yaml"
    good.write_text(hosts("allowed.test"))
    link = tmp_path / "link.yaml"
    link.symlink_to(good)
    assert check(link)[0] == 0
    os.mkfifo(tmp_path / "fifo.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text(hosts("allowed.test"))
    bad.chmod(0o646)
    (tmp_path / "open").mkdir()
    below = tmp_path / "open" / "e.yaml"
    below.write_text(hosts("allowed.test"))
    (tmp_path / "open").chmod(0o777)
    to_bad = tmp_path / "to-bad.yaml"
    to_bad.symlink_to(bad)
    for path in (tmp_path / "fifo.yaml", tmp_path, "/dev/null", bad, below, to_bad, tmp_path / "none.yaml"):
        code, told = check(path)
        assert code == 1 and not told["loads"], path
