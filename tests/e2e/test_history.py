# SPDX-License-Identifier: Apache-2.0
"""sallyport policy: what was in force, from the log and the texts beside it."""
import json
import os
import subprocess

import pytest

from lab import wait_for
from lab.gateway import Gateway
from lab.proxy import unprivileged


def policy(gateway, verb, *args):
    done = subprocess.run([gateway.binary, "policy", verb, str(gateway.audit_dir), *map(str, args)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, cwd=gateway.folder,
                          **unprivileged())
    return done.returncode, done.stdout, done.stderr


def reload(gateway, *args):
    subprocess.run([gateway.binary, "reload", "--admin", f"unix:{gateway.folder}/admin/a.sock", *args], timeout=30,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **unprivileged())


@pytest.fixture
def story(lab):
    """Two environments; env-a is changed, broken and gone again."""
    first = lab.policy(name="env-a", allowed_hosts=["a.test", "*.wild.test"])
    second = lab.policy(name="env-a", allowed_hosts=["b.test", "*.wild.test", "x.wild.test"],
                        ports={"connect": [443, 8443]}, limits={"idle": "5m"})
    gateway = Gateway(lab, [first, lab.policy(name="env-b", allowed_hosts=["c.test"])],
                      [{"listen": "127.0.0.1:0", "environment": "env-a"},
                       {"listen": "127.0.0.1:0", "environment": "env-b"}])
    gateway.write_environment(second)
    reload(gateway, "--reason", "wider for a day")
    gateway.write_environment("name: env-a\nconfig: {networking: {type: narrow}}\n", name="env-a")
    reload(gateway)
    wait_for(lambda: gateway.audit.events("policy_refused"), 5, "the refusal")
    gateway.first, gateway.second = first, second
    return gateway


def entries(gateway, *args):
    code, out, _ = policy(gateway, "history", "--json", *args)
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def test_history(story):
    found = entries(story)
    assert [(e["event"], e.get("environment"), e["generation"]) for e in found] == [
        ("policy_loaded", "env-a", 1), ("policy_loaded", "env-b", 1), ("policy_loaded", None, 1),
        ("policy_loaded", "env-a", 2), ("policy_loaded", None, 2), ("policy_refused", None, 2)]
    assert found[0]["who"] == "start" and found[3]["reason"] == "wider for a day"
    assert found[3]["who"].startswith("admin socket, uid ") and len(found[3]["id"]) == 64
    assert found[5]["file"].endswith("env-a.yaml") and "narrow" in found[5]["message"]
    assert [e["generation"] for e in entries(story, "--environment", "env-a")] == [1, 2]
    code, out, _ = policy(story, "history")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 7 and "wider for a day" in lines[3] and "env-a.yaml:2:" in lines[6]


def test_show(story):
    ids = [e["id"] for e in entries(story, "--environment", "env-a")]
    assert policy(story, "show", ids[0])[:2] == (0, story.first.text())
    assert policy(story, "show", ids[1][:8])[:2] == (0, story.second.text())
    refused = entries(story)[-1]
    assert policy(story, "show", refused["text_sha256"])[1].endswith("{type: narrow}}\n")
    assert policy(story, "show", "0" * 64)[0] == 1
    assert policy(story, "show", "ABC")[0] == 64
    assert policy(story, "show", ids[0], "--egress")[0] == 1


def test_a_changed_text_is_not_shown(story):
    entry = entries(story, "--environment", "env-a")[0]
    blob = story.audit_dir / "blobs" / entry["text_sha256"]
    os.chmod(blob, 0o600)
    blob.write_text(story.second.text())
    code, out, err = policy(story, "show", entry["id"])
    assert code == 1 and out == "" and "not what the log says" in err


def test_diff(story):
    """Exact: what another entry covers already opens nothing, and every port and door is asked for."""
    ids = [e["id"] for e in entries(story, "--environment", "env-a")]
    code, out, _ = policy(story, "diff", *ids)
    lines = out.splitlines()
    assert code == 1
    assert "closes a.test  443 by CONNECT" in out and "closes a.test  80 by plain HTTP" in out
    assert "opens  b.test  443 by CONNECT" in out and "opens  b.test  8443 by CONNECT" in out
    assert "opens  *.wild.test  8443 by CONNECT" in out and "opens  *.wild.test  443" not in out
    assert not any(line.startswith(("opens", "closes")) and "x.wild.test  443" in line for line in lines)
    assert any(line.startswith("+ allowed_hosts: x.wild.test") for line in lines)
    assert "- egress.limits: idle: 1h" in lines and "+ egress.limits: idle: 5m" in lines
    changes = [line for line in lines if line.startswith(("opens", "closes"))]
    assert len(changes) == 7  # a.test closes twice, b.test opens three times, the wildcard and x below it on 8443
    assert policy(story, "diff", ids[0], ids[0])[0] == 0
    assert policy(story, "diff", ids[0], "f" * 20)[0] == 2


def test_diff_with_a_file(story, lab):
    path = story.folder / "wish.yaml"
    wish = lab.policy(name="env-a", allowed_hosts=["a.test", "*.wild.test"],
                      egress={"host_patterns": {"allow": ["^re[0-9]\\.test$"]}})
    story.write(path, wish.text())
    code, out, _ = policy(story, "diff", entries(story)[0]["id"], path)
    assert code == 1 and not any(line.startswith("opens") for line in out.splitlines())
    assert "undecided" in out and "re[0-9]" in out


def test_rollback(story):
    """The file gets its old text in one step, and the proxy takes it as any other change."""
    ids = [e["id"] for e in entries(story, "--environment", "env-a")]
    target = story.file_of("env-a")
    if os.geteuid() == 0:
        os.chown(story.folder, 65534, 65534)
    before = os.stat(target).st_ino
    code, _, err = policy(story, "rollback", ids[0], "--out", target)
    assert code == 0, err
    assert target.read_text() == story.first.text() and os.stat(target).st_ino != before
    assert os.stat(target).st_mode & 0o777 == 0o644
    wait_for(lambda: len(story.loads("env-a")) == 3, 6, "the old policy")
    assert story.loads("env-a")[-1]["entity"]["uid"] == ids[0]
    assert policy(story, "rollback", ids[0])[0] == 64
    assert story.stop() == 0 and story.audit.verifies()


CATALOGUE = """\
version: "acme-7"
groups:
  ours: {tier: 1, modes: [compat], why: "a mirror", hosts: [mirror.test]}
"""


@pytest.fixture
def wide(lab):
    """An environment that is read from a list, an agent definition and a catalogue."""
    one = lab.policy(name="env-a", networking={"allow_mcp_servers": True, "allow_package_managers": True},
                     egress={"blocklist": ["bad.txt"], "agents": ["agent.yaml"]})
    gateway = Gateway(lab, [one], keys={"catalogue": "catalogue.yaml", "denied_hosts": ["never.test"]}, start=False)
    gateway.write(gateway.folder / "bad.txt", "bad.test\n")
    gateway.write(gateway.folder / "agent.yaml",
                  "name: a\nmcp_servers: [{type: url, name: one, url: 'https://mcp.test/'}]\n")
    gateway.write(gateway.folder / "catalogue.yaml", CATALOGUE)
    gateway.start()
    return gateway


def test_every_text_is_kept(wide):
    """Not the environment's alone: whatever it was read from lies beside the log, and an entry names it."""
    def files():
        return {e["unmapped"]["kind"]: e for e in wide.audit.events("policy_file")}
    wait_for(lambda: len(files()) == 3, 10, "an entry for each file")
    loaded = wide.audit.event("policy_loaded", environment="env-a")
    for kind, name in (("list", "bad.txt"), ("agent", "agent.yaml"), ("catalogue", "catalogue.yaml")):
        facts = files()[kind]["unmapped"]
        assert facts["file"] == str(wide.folder / name) and facts["policy"] == loaded["entity"]["uid"]
        assert (wide.audit_dir / "blobs" / facts["blob"]).read_text() == (wide.folder / name).read_text()
    wide.write(wide.folder / "bad.txt", "bad.test\nworse.test\n")
    reload(wide, "--reason", "one more", "--commit", "3f8a0c1d22b4")
    wait_for(lambda: len(wide.audit.events("policy_file")) == 6, 10, "the entries of the second load")
    facts = files()["list"]["unmapped"]
    assert (wide.audit_dir / "blobs" / facts["blob"]).read_text() == "bad.test\nworse.test\n"
    last = [e for e in entries(wide) if e["event"] == "policy_loaded" and e.get("environment") == "env-a"][-1]
    assert (last["generation"], last["reason"], last["commit"]) == (2, "one more", "3f8a0c1d22b4")
    assert "policy_file" not in {e["event"] for e in entries(wide)}


def test_every_text_of_a_refused_load_is_kept(wide):
    """What is wrong stands in one file; what made it so may stand in another. What is in force was kept before."""
    wait_for(lambda: len(wide.audit.events("policy_file")) == 3, 10, "an entry for each file")
    text = wide.file_of("env-a").read_text()
    assert "allow_mcp_servers" in text
    wide.write(wide.file_of("env-a"), text.replace("allow_mcp_servers", "alow_mcp_servers"))  # first: all that follows is refused
    wide.write(wide.folder / "bad.txt", "bad.test\nfourth.test\n")
    wide.write(wide.folder / "catalogue.yaml", CATALOGUE.replace("acme-7", "acme-8"))
    reload(wide, "--reason", "by hand")

    def by_hand():
        return [e["unmapped"] for e in wide.audit.events("policy_refused") if e["unmapped"].get("reason") == "by hand"]
    wait_for(by_hand, 10, "the refusal")
    refused = by_hand()[0]
    kept = {e["unmapped"]["kind"]: e["unmapped"] for e in wide.audit.events("policy_file")[3:]}
    assert sorted(kept) == ["catalogue", "environment", "list"]  # the agent's definition is in force
    for kind, path in (("list", wide.folder / "bad.txt"), ("catalogue", wide.folder / "catalogue.yaml"),
                       ("environment", wide.file_of("env-a"))):
        assert kept[kind]["file"] == str(path) and kept[kind]["generation_in_force"] == 1
        assert (wide.audit_dir / "blobs" / kept[kind]["blob"]).read_text() == path.read_text()
    assert refused["text_sha256"] == kept["environment"]["blob"]
    assert (wide.audit_dir / "blobs" / refused["config_text_sha256"]).read_text() == wide.config_file.read_text()


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_lost_text_is_found_by_verify(story, damage):
    story.stop()
    assert story.audit.verify().returncode == 0
    blob = story.audit_dir / "blobs" / entries(story)[0]["text_sha256"]
    blob.unlink()
    if damage == "changed":
        blob.write_text("name: other\n")
    answer = story.audit.verify()
    assert answer.returncode == 2 and blob.name in str(answer.stdout)


def test_a_group_of_the_catalogue_is_recorded_with_its_version(wide):
    wide.lab.dns.set("mirror.test", "10.0.0.1")
    client = wide.connect("mirror.test", 443)
    client.read_reply()
    record = wide.audit.attempt(**client.who)
    assert record["firewall_rule"]["uid"] == "package_managers.ours[0]"
    assert record["unmapped"]["group_version"].startswith("acme-7+")


def explain(gateway, request, *options):
    done = subprocess.run([gateway.binary, "explain", "--json", "--audit-dir", str(gateway.audit_dir), *options, "--",
                           request], capture_output=True, timeout=60, cwd=gateway.folder, **unprivileged())
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()


def test_explain_and_diff_read_the_texts_of_then(wide):
    """The list, the definition, the catalogue and what the organisation denies: none of today's counts."""
    wait_for(lambda: len(wide.audit.events("policy_file")) == 3, 10, "an entry for each file")
    by_list = wide.connect("bad.test", 443).read_reply().json["request_id"]
    by_name = wide.connect("never.test", 443).read_reply().json["request_id"]
    wide.lab.dns.set("mirror.test", "10.0.0.1")
    client = wide.connect("mirror.test", 443)
    client.read_reply()
    by_group = wide.audit.outcome(**client.who)["metadata"]["correlation_uid"]
    old = wide.audit.event("policy_loaded", environment="env-a")["entity"]["uid"]
    wide.write(wide.folder / "bad.txt", "other.test\n")
    wide.write(wide.folder / "agent.yaml", "name: a\nmcp_servers: [{type: url, name: one, url: 'https://new.test/'}]\n")
    wide.write(wide.folder / "catalogue.yaml", CATALOGUE.replace("mirror.test", "moved.test").replace("acme-7", "acme-8"))
    wide.write(wide.config_file, wide.config_file.read_text().replace("never.test", "ever.test"))
    reload(wide, "--reason", "all new")
    wait_for(lambda: [e for e in wide.audit.events("policy_loaded") if e["unmapped"].get("reason") == "all new"], 10,
             "the second load")
    new = [e for e in wide.audit.events("policy_loaded") if e["metadata"].get("tenant_uid")][-1]["entity"]["uid"]
    assert new != old
    for name in ("bad.txt", "agent.yaml", "catalogue.yaml"):
        (wide.folder / name).unlink()
    for request, rule in ((by_list, "egress.blocklist[0]"), (by_name, "denied_hosts[0]")):
        code, told, said = explain(wide, request)
        assert (code, told["rule"], told["policy_id"], said) == (1, rule, old, "")
    code, told, said = explain(wide, by_group)
    assert (told["reason"], told["policy_id"], said) == ("address_forbidden", old, "")
    groups = [one for one in told["layers"] if one["layer"] == "package_managers"]
    assert groups[0]["answer"] == "allow" and groups[0]["file"].endswith("catalogue.yaml")
    code, out, said = policy(wide, "diff", old, new)
    lines = out.splitlines()
    assert code == 1 and said == ""
    assert any(line.startswith("closes mirror.test  443") for line in lines)
    assert any(line.startswith("opens  moved.test  443") for line in lines)
    assert any(line.startswith("opens  new.test  443") for line in lines)
    assert any(line.startswith("closes mcp.test  443") for line in lines)


def test_the_ceiling_reads_the_lists_of_then(lab):
    """What stood above an environment had lists of its own: they are kept with the configuration, and count as they were."""
    ceiling = {"networking": {"type": "limited", "allowed_hosts": ["*.of.test"]}, "egress": {"blocklist": ["top.txt"]}}
    gateway = Gateway(lab, [lab.policy(name="env-a", allowed_hosts=["a.of.test"])], keys={"ceiling": ceiling}, start=False)
    gateway.write(gateway.folder / "top.txt", "never.of.test\n")
    gateway.start()
    file = gateway.audit.event("policy_file")
    assert "tenant_uid" not in file["metadata"] and file["unmapped"]["kind"] == "list"
    assert file["unmapped"]["policy"] == gateway.loads()[-1]["entity"]["uid"]
    request = gateway.connect("never.of.test", 443).read_reply().json["request_id"]

    def ceiling_says():
        code, told, said = explain(gateway, request)
        assert (code, said) == (1, "")
        return next(one for one in told["layers"] if one["layer"] == "ceiling")

    before = ceiling_says()
    assert (before["answer"], before["reason"], before["rule"]) == ("deny", "host_denied", "egress.blocklist[0]")
    gateway.write(gateway.folder / "top.txt", "other.of.test\n")
    reload(gateway, "--reason", "another list")
    wait_for(lambda: len(gateway.audit.events("policy_file")) == 2, 10, "the list of the second load")
    (gateway.folder / "top.txt").unlink()
    assert ceiling_says() == before
    (gateway.audit_dir / "blobs" / file["unmapped"]["blob"]).unlink()
    code, told, said = explain(gateway, request)
    assert code == 2 and told is None and "top.txt" in said and "not kept" in said


def test_a_text_of_then_that_is_lost_is_named(wide):
    wait_for(lambda: len(wide.audit.events("policy_file")) == 3, 10, "an entry for each file")
    request = wide.connect("bad.test", 443).read_reply().json["request_id"]
    facts = [e["unmapped"] for e in wide.audit.events("policy_file") if e["unmapped"]["kind"] == "list"][0]
    (wide.audit_dir / "blobs" / facts["blob"]).unlink()
    code, told, said = explain(wide, request)
    assert code == 2 and told is None and "bad.txt" in said and "not kept" in said


def test_a_lost_list_is_found_by_verify(wide):
    wait_for(lambda: len(wide.audit.events("policy_file")) == 3, 10, "an entry for each file")
    facts = wide.audit.events("policy_file")[0]["unmapped"]
    wide.stop()
    (wide.audit_dir / "blobs" / facts["blob"]).unlink()
    assert wide.audit.verify().returncode == 2
