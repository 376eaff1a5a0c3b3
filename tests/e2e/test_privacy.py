# SPDX-License-Identifier: Apache-2.0
"""Privacy: what a request says in its query, its path, its user-info and its fields is not found in the log again, but
by whoever has the value and the key."""
import json
import os
import pathlib
import random
import re
import subprocess

from lab import wait_for
from lab.gateway import Gateway
from lab.proxy import StartFailed
from lab.webclient import get, read_answer
from lab.webworld import ended, pairs, start, url, web

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
HEX = "d41d8cd98f00b204e9800998ecf8427e"
HASH = re.compile(r"h:[0-9a-f]{16}")


def ask(proxy, *values, options=()):
    """[(number of the value, made, hash, records, first, last)] and the exit status of `audit hmac`."""
    done = subprocess.run([proxy.binary, "audit", "hmac", str(proxy.audit_dir), "--json", *options],
                          input="".join(v + "\n" for v in values).encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, **proxy.audit.run_as)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode, done.stderr.decode()


def holds(directory, *needles):
    """Files below `directory` that hold one of the byte strings."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            data = pathlib.Path(folder, name).read_bytes()
            found += [(name, needle) for needle in needles if needle in data]
    return found


def test_a_secret_is_recorded_as_its_hash(lab):
    """Path, query, user-info and fields; and the value is found again by `audit hmac`."""
    origin = web(lab)
    proxy = start(lab, origin)
    client = proxy.client()
    get(client, url(origin, f"/repo/{TOKEN}/x.{HEX}.tgz?key=word&{HEX}=1&plain"), "Authorization: Bearer hidden-word",
        "Cookie: session=hidden-word")
    assert read_answer(client).status == 200
    client.close()
    (attempt,), (outcome,) = pairs(proxy, 1, **client.who)
    for record in (attempt, outcome):
        path = record["http_request"]["url"]["path"]
        assert re.fullmatch(rf"/repo/{HASH.pattern}/{HASH.pattern}", path), path
    hashes = HASH.findall(attempt["http_request"]["url"]["path"])
    raw = attempt["unmapped"]["raw_target"]
    assert raw == url(origin, f"/repo/{hashes[0]}/{hashes[1]}?key=***&") + HASH.findall(raw)[2] + "=***&***"
    assert attempt["unmapped"]["q"] == "key&" + HASH.findall(raw)[2] and "q" not in outcome["unmapped"]
    assert "raw_target_hash" not in attempt["unmapped"] and "is_truncated" not in attempt["metadata"]
    rows, status, _ = ask(proxy, "never-used", TOKEN, f"x.{HEX}.tgz", HEX)
    assert status == 0 and [r["value"] for r in rows] == [1, 2, 3, 4]
    assert [r["hash"] for r in rows[1:]] == HASH.findall(raw)
    assert [r["records"] for r in rows] == [0, 2, 2, 1]
    assert (rows[1]["first"], rows[1]["last"]) == (attempt["metadata"]["sequence"], outcome["metadata"]["sequence"])
    (event,) = redaction_keys(proxy)
    assert event["entity"]["uid"] == rows[0]["key_id"]
    assert not holds(proxy.audit_dir, TOKEN.encode(), HEX.encode(), b"hidden-word", b"word&")
    rows, status, _ = ask(proxy, "never-used")
    assert status == 5 and rows[0]["records"] == 0
    ended(proxy)


def redaction_keys(proxy):
    return [e for e in proxy.audit.events("key_created") if e["unmapped"]["purpose"] == "redaction"]


def test_the_key(lab):
    """Made once, closed to all others, in no file of the log and in no message; another one after it was taken away."""
    origin = web(lab)
    proxy = start(lab, origin)
    keys = list(proxy.privacy_dir.iterdir())
    assert len(keys) == 1 and keys[0].stat().st_mode & 0o7777 == 0o600 and len(keys[0].read_bytes()) == 65
    assert proxy.privacy_dir.stat().st_mode & 0o7777 == 0o700

    def fetch():
        client = proxy.client()
        get(client, url(origin, f"/{TOKEN}"))
        assert read_answer(client).status == 200
        client.close()
        proxy.audit.outcome(**client.who)
        return proxy.audit.attempt(**client.who)["http_request"]["url"]["path"]

    first = fetch()
    text = keys[0].read_bytes().strip()
    assert not holds(proxy.audit_dir, text, bytes.fromhex(text.decode()))
    moved = proxy.folder / keys[0].name
    os.rename(keys[0], moved)
    proxy.hup()
    wait_for(lambda: len(redaction_keys(proxy)) == 2, 5, "a second key")
    second = fetch()
    assert first != second and HASH.fullmatch(first[1:]) and HASH.fullmatch(second[1:])
    (row,), status, _ = ask(proxy, TOKEN)
    assert status == 0 and row["records"] == 2 and "/" + row["hash"] == second
    os.rename(moved, proxy.privacy_dir / "20200101T000000Z.key")  # the new one may have the name of the old one
    rows, status, _ = ask(proxy, TOKEN)
    assert status == 0 and ["/" + r["hash"] for r in rows] == [first, second] and [r["records"] for r in rows] == [2, 2]
    assert text not in bytes(proxy.log)
    ended(proxy)


def test_a_key_that_others_may_read_is_refused(lab):
    proxy = lab.proxy(allowed_hosts=["a.test"])
    proxy.stop()
    (key,) = proxy.privacy_dir.iterdir()
    os.chmod(key, 0o644)
    try:
        lab.proxy(allowed_hosts=["a.test"], audit_dir=proxy.audit_dir, signer_dir=proxy.signer_dir)
    except StartFailed as error:
        assert error.code == 78 and "closed to all others" in str(error)
    else:
        raise AssertionError("it started")
    _, status, message = ask(proxy, "x", options=("--keys", "/nonexistent"))
    assert status == 3 and "nonexistent" in message


def test_words_of_the_operator(lab):
    """`audit.redact` hides what begins so, and what stands behind a segment."""
    origin = web(lab)
    policy = lab.policy(name="env-a", hosts=[origin.at("a.test")])
    gateway = Gateway(lab, [policy], listeners=[{"listen": "127.0.0.1:0", "environment": "env-a"}], start=False)
    gateway.config["audit"]["redact"] = ["acme_", "invite/"]
    gateway.write_config()
    gateway.start()
    client = gateway.client()
    get(client, url(origin, "/acme_1/invite/me/last"))
    assert read_answer(client).status == 200
    client.close()
    path = gateway.audit.attempt(**client.who)["http_request"]["url"]["path"]
    assert re.fullmatch(rf"/{HASH.pattern}/invite/{HASH.pattern}/last", path), path


def hostile(number, dice, port):
    """One request of a client that hides secrets in every corner of its target: (bytes, secrets)."""
    token = "ghp_" + "".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=36))
    value = "value" + token[4:16]
    junk = [b'"', b"\\", b"'", b"\0", b"\xff\xfe", b"\xc0\xaf", b"\n", b"\r", b"\t", b'","verdict":"allow","x":"',
            b"\x1b[2J", b"\xe2\x80\xa8", b"{}", b" "][number % 14]
    host = [b"a.test:%d" % port, b"denied.test", b"b.test..", b"[::1", b"a.test:99999"][number % 5]
    t, v = token.encode(), value.encode()
    target = [
        b"http://" + host + b"/" + t + b"/x?k=" + v,
        b"http://" + host + b"/x?k=" + v + b"&" + t + b"=1&" + v,
        b"http://" + v + b":" + t + b"@" + host + b"/x",
        b"http://" + host + b"/x#" + v + t,
        b"http://" + host + b"/a" + junk + t + junk + b"?k=" + v,
        b"http://" + v + b":" + t + b"@" + host + b"/" + junk + b"?k=" + v,
        b"http://" + host + b"/x?" + v + junk + t,
        b"http://" + v + junk + b":x@" + host + b"/" + t,
    ][number % 8]
    if number % 500 == 0:
        target = b"http://" + host + b"/" + t + b"/" + b"long/" * 200000 + b"?k=" + v
    head = b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nAuthorization: " + v + b"\r\n\r\n"
    return head, (t, v)


def test_ten_thousand_hostile_requests(lab):
    """Quotes, newlines, NUL, invalid UTF-8, a megabyte of path, secrets in query, path and user-info: a line each, no line
    that a client wrote, no byte of a secret, and what was cut says so."""
    origin = web(lab)
    proxy = lab.proxy(hosts=[origin.at("a.test")], limits={"attempts_per_second": 100000, "attempts_burst": 1000000})
    dice = random.Random(20261121)
    total = 1000 if "san" in os.environ.get("SALLYPORT", "") else 10000
    secrets, answered, cut = set(), 0, 0
    for number in range(total):
        head, (token, value) = hostile(number, dice, origin.port)
        secrets |= {token, value}
        cut += number % 500 == 0
        client = proxy.client()
        client.send(head)
        answered += client.read_exactly(9) == b"HTTP/1.1 "
        client.close()
    assert answered == total
    wait_for(lambda: len(proxy.audit.flows()) == total, 60, lambda: f"{len(proxy.audit.flows())} flows of {total}")
    records = [r[0] for r in proxy.audit.flows().values()]
    assert {r["metadata"]["tenant_uid"] for r in records} <= {"env-a", "-"}
    long = [r for r in records if r["metadata"].get("is_truncated")]
    assert len(long) >= cut and all("raw_target_hash" in r["unmapped"] for r in long)
    found = holds(proxy.audit_dir, *[b"ghp_", b"value"])
    assert not found, found[:3]
    assert not [s for s in secrets if s in bytes(proxy.log)]
    proxy.stop()
    assert not holds(proxy.audit_dir, b"ghp_", b"value")
    assert proxy.audit.verifies()
