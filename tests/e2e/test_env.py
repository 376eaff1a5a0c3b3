# SPDX-License-Identifier: Apache-2.0
"""`sallyport env`: each format is read back by what will read it, and each file by its program."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest

ROUTE = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "NODE_USE_ENV_PROXY",
         "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY", "JAVA_TOOL_OPTIONS"}
BUNDLED = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NPM_CONFIG_CAFILE",
           "YARN_HTTPS_CA_FILE_PATH", "CARGO_HTTP_CAINFO", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "AWS_CA_BUNDLE",
           "NIX_SSL_CERT_FILE", "BUNDLE_SSL_CA_CERT"}
ADDED = {"NODE_EXTRA_CA_CERTS", "DENO_CERT"}
SECRET = "not-for-any-output-7731"
PATHS = ["/etc/ca.pem", "/a#b.pem", "/a b/ca.pem", "/it's/ca.pem", "/$HOME/`id`/$(id).pem", "/a#b/ c!*?[x].pem", "/\u00fc/\u65e5.pem",
         "/both ' and $(HOME) $$/ca.pem"]


@pytest.fixture
def run(binary):
    def go(*args, status=0):
        # The program may stand where only this user reaches it, so it is not run under another one.
        done = subprocess.run([binary, "env", *args], capture_output=True, timeout=20, text=True,
                              env={"PATH": "/usr/bin:/bin", "ANTHROPIC_ENVIRONMENT_KEY": SECRET, "HTTP_PROXY": SECRET,
                                   "JAVA_TOOL_OPTIONS": SECRET, "HOME": "/" + SECRET})
        if "there is no verb 'env'" in done.stderr:
            pytest.skip("this program has no verb env")
        assert done.returncode == status, done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done
    return go


def read_shell(text, folder, export=False):
    file = folder / "vars"
    file.write_text(text)
    script = f'{"set -a; " if export else ""}. "$0"; exec env -0'
    out = subprocess.run(["/bin/sh", "-euc", script, str(file)], env={"HOME": "/home/x"}, capture_output=True, check=True)
    assert out.stderr == b""
    env = dict(p.split("=", 1) for p in out.stdout.decode().split("\0") if p)
    return {k: v for k, v in env.items() if k not in ("PWD", "HOME", "OLDPWD", "_", "SHLVL")}


def read_dotenv(text):
    """The grammar that the readers share: bare, 'literal', "with \\ escapes"."""
    out = {}
    for line in text.splitlines():
        name, value = line.split("=", 1)
        if value.startswith("'"):
            assert value.endswith("'") and "'" not in value[1:-1]
            value = value[1:-1]
        elif value.startswith('"'):
            assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', value)
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        else:
            assert not re.search(r"[\s#'\"$`\\]", value)
        out[name] = value
    return out


def read_docker(text):
    """Lines; blank ones and comments are left out, the name must hold no space, the rest of the line is the value."""
    out = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sep, value = line.lstrip().partition("=")
        assert sep and not re.search(r"\s", name), "a name alone would be taken from the host"
        out[name] = value
    return out


def kubernetes_expands(value):
    """$(NAME) is replaced, $$ is a dollar."""
    return re.sub(r"\$(\$|\((\w+)\))", lambda m: "$" if m[1] == "$" else "EXPANDED", value)


def read_k8s(text):
    yaml = pytest.importorskip("yaml")
    items = yaml.safe_load(text)
    assert all(set(i) == {"name", "value"} and isinstance(i["value"], str) for i in items), "every value is a string"
    names = [i["name"] for i in items]
    assert len(names) == len(set(names))
    return {i["name"]: kubernetes_expands(i["value"]) for i in items}


READERS = {
    "shell": [lambda t, f: read_shell(t, f)],
    "dotenv": [lambda t, f: read_shell(t, f, export=True), lambda t, f: read_dotenv(t)],
    "docker": [lambda t, f: read_docker(t)],
    "k8s": [lambda t, f: read_k8s(t)],
    "json": [lambda t, f: json.loads(t)],
}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("ca", [None, *PATHS])
def test_every_format_says_the_same_when_it_is_read(run, tmp_path, form, ca):
    text = run("--proxy", "http://proxy.test:8080/", "--format", form, *(["--ca", ca] if ca else [])).stdout
    url = "http://proxy.test:8080"
    java = ("-Dhttp.proxyHost=proxy.test -Dhttp.proxyPort=8080 -Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=8080 "
            "-Dhttp.nonProxyHosts=localhost|127.*|[::1]")
    expected = {name: url for name in ROUTE}
    expected.update({"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1",
                     "NODE_USE_ENV_PROXY": "1", "JAVA_TOOL_OPTIONS": java})
    if ca:
        expected.update({name: ca for name in BUNDLED | ADDED}, SSL_CERT_DIR="")
    for read in READERS[form]:
        assert read(text, tmp_path) == expected


def test_eval_as_the_help_shows_it(run, binary):
    run()
    out = subprocess.run(["/bin/sh", "-euc", 'eval "$("$0" env)"; echo "$https_proxy $NO_PROXY"', binary],
                         capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert out.stdout == "http://127.0.0.1:3128 localhost,127.0.0.1,::1\n"


@pytest.mark.parametrize("url, host, shown", [("http://127.0.0.1:3128", "127.0.0.1", "http://127.0.0.1:3128"),
                                              ("http://[::1]:99", "::1", "http://[::1]:99"),
                                              ("http://PROXY.Test:3128/", "proxy.test", "http://proxy.test:3128"),
                                              ("http://proxy.test", "proxy.test", "http://proxy.test:80")])
def test_proxy_urls(run, url, host, shown):
    env = json.loads(run("--proxy", url, "--format", "json").stdout)
    assert env["HTTPS_PROXY"] == shown and f"-Dhttps.proxyHost={host} " in env["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize("args, said", [
    (["--proxy", "https://p.test:3128"], "http:// URL"), (["--proxy", "http://user:pw@p.test:3128"], "no user and password"),
    (["--proxy", "p.test:3128"], "http://HOST:PORT"), (["--proxy", "http://p.test:3128/x"], "http://HOST:PORT"),
    (["--proxy", "http://p.test:3128/?'"], "http://HOST:PORT"), (["--proxy", "http://a b:1"], "http://HOST:PORT"),
    (["--proxy", "socks5h://p.test:1"], "http://HOST:PORT"), (["--format", "xml"], "--format is one of"),
    (["--ca", "ca.pem"], "absolute path"), (["--ca", "/a\nEVIL=1"], "absolute path"), (["--ca", '/a"b'], "absolute path"),
    (["--ca", "/a\\b"], "absolute path"), (["--ca", "/" + "x" * 1024], "absolute path"),
    (["--write-files", "here"], "absolute path"), (["what"], "unexpected"),
])
def test_wrong_usage(run, args, said):
    done = run(*args, status=64)
    assert said in done.stderr and done.stdout == ""
    assert "user:pw" not in done.stderr and "pw@" not in done.stderr


def test_explain_names_a_reader_and_a_reason_for_each(run):
    text = run("--explain", "--ca", "/etc/ca.pem").stdout
    names = re.findall(r"^([A-Za-z_]+)=.*\n    for (\S.*): (\S.*)$", text, re.M)
    assert {n for n, *_ in names} == ROUTE | BUNDLED | ADDED | {"SSL_CERT_DIR"}
    assert len(text.splitlines()) == 2 * len(names)


def test_help_shows_an_example_and_the_switch_for_browsers(run):
    text = run("--help").stdout
    assert 'eval "$(sallyport env)"' in text and "--disable-features=EncryptedClientHello" in text.replace("\n", " ")


# ---- files ----

@pytest.fixture
def certificate(tmp_path):
    """Its path needs quoting."""
    folder = tmp_path / "the 'ca' $x"
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "/dev/null", "-out", str(folder / "ca.pem"), "-days", "2", "-subj", "/CN=inspection.test"], check=True,
                   capture_output=True)
    return folder / "ca.pem"


@pytest.fixture
def written(run, tmp_path, certificate):
    folder = tmp_path / "out 'put'"
    done = run("--proxy", "http://proxy.test:8080", "--format", "json", "--ca", str(certificate), "--write-files",
               str(folder))
    return folder, certificate, done


def test_files_are_named_with_their_purpose(written):
    folder, _, done = written
    names = {p.name for p in folder.iterdir()}
    assert names == {"maven-settings.xml", "apt-proxy.conf", "gitconfig", "yarnrc.yml", "docker-daemon.json",
                     "chromium-switches.txt", "chromium-policy.json", "java-truststore.txt", "chromium-ca.txt",
                     "ca-bundle.pem"}
    for name in names:
        assert f"{folder / name}: " in done.stderr
        assert (folder / name).stat().st_mode & 0o777 == 0o644


def test_without_a_ca_no_file_speaks_of_one(run, tmp_path):
    run("--write-files", str(tmp_path / "o"))
    files = {p.name: p.read_text() for p in (tmp_path / "o").iterdir()}
    assert set(files) == {"maven-settings.xml", "apt-proxy.conf", "gitconfig", "yarnrc.yml", "docker-daemon.json",
                          "chromium-switches.txt", "chromium-policy.json"}
    assert not re.search(r"CAInfo|caFile|CaFile|\{\w+\}", "".join(files.values()))


def test_the_bundle_holds_the_systems_authorities_and_ours(written):
    folder, certificate, done = written
    env = json.loads(done.stdout)
    assert {env[name] for name in BUNDLED} == {str(folder / "ca-bundle.pem")}
    assert {env[name] for name in ADDED} == {str(certificate)}
    text = (folder / "ca-bundle.pem").read_text()
    system = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    assert certificate.read_text() in text
    assert text.count("BEGIN CERTIFICATE") == 1 + (system.read_text().count("BEGIN CERTIFICATE") if system.exists() else 0)
    verify = subprocess.run(["openssl", "verify", "-CAfile", str(folder / "ca-bundle.pem"), str(certificate)],
                            capture_output=True, text=True)
    assert verify.returncode == 0, verify.stderr


def test_maven_settings(written):
    space = "{http://maven.apache.org/SETTINGS/1.0.0}"
    root = xml.parse(written[0] / "maven-settings.xml").getroot()
    assert root.tag == space + "settings"
    seen = [{child.tag.removeprefix(space): child.text for child in proxy} for proxy in root.iter(space + "proxy")]
    assert [(p["protocol"], p["host"], p["port"], p["active"]) for p in seen] == [
        ("http", "proxy.test", "8080", "true"), ("https", "proxy.test", "8080", "true")]


def test_apt_reads_its_file(written):
    if not shutil.which("apt-config"):
        pytest.skip("apt is not installed")
    folder = written[0]
    out = subprocess.run(["apt-config", "dump"], env={"PATH": "/usr/bin:/bin", "APT_CONFIG": str(folder / "apt-proxy.conf")},
                         capture_output=True, text=True, check=True).stdout
    assert 'Acquire::http::Proxy "http://proxy.test:8080";' in out
    assert 'Acquire::https::Proxy "http://proxy.test:8080";' in out
    assert f'Acquire::https::CAInfo "{folder}/ca-bundle.pem";' in out


def test_git_reads_its_file(written):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    folder = written[0]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_CONFIG_GLOBAL": str(folder / "home")}
    subprocess.run(["git", "config", "--global", "include.path", str(folder / "gitconfig")], env=env, check=True)
    for key, value in (("http.proxy", "http://proxy.test:8080"), ("http.sslCAInfo", f"{folder}/ca-bundle.pem")):
        out = subprocess.run(["git", "config", "--includes", key], env=env, cwd="/", capture_output=True, text=True)
        assert out.stdout == value + "\n"


def test_yarn_docker_and_chromium_files(written):
    folder = written[0]
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load((folder / "yarnrc.yml").read_text()) == {
        "httpProxy": "http://proxy.test:8080", "httpsProxy": "http://proxy.test:8080",
        "httpsCaFilePath": f"{folder}/ca-bundle.pem"}
    assert json.loads((folder / "docker-daemon.json").read_text()) == {"proxies": {
        "http-proxy": "http://proxy.test:8080", "https-proxy": "http://proxy.test:8080",
        "no-proxy": "localhost,127.0.0.1,::1"}}
    assert json.loads((folder / "chromium-policy.json").read_text()) == {
        "EncryptedClientHelloEnabled": False, "ProxyMode": "fixed_servers", "ProxyServer": "http://proxy.test:8080"}
    switches = (folder / "chromium-switches.txt").read_text().split()
    assert "--proxy-server=http://proxy.test:8080" in switches
    assert "--disable-features=EncryptedClientHello" in switches
    assert all(re.fullmatch(r"--[\w-]+(=\S+)?", s) for s in switches), "each is one word for a shell"


def test_the_java_note_works(run, tmp_path):
    keytool = shutil.which("keytool")
    if not keytool:
        pytest.skip("Java is not installed")
    ca, out = tmp_path / "ca.pem", tmp_path / "o"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-out", str(ca),
                    "-days", "2", "-subj", "/CN=inspection.test"], check=True, capture_output=True)
    run("--ca", str(ca), "--write-files", str(out))
    home = pathlib.Path(os.path.realpath(keytool)).parent.parent
    note = (out / "java-truststore.txt").read_text()
    commands = "\n".join(line.strip() for line in note.splitlines() if line.startswith("  "))
    env = {"PATH": "/usr/bin:/bin", "JAVA_HOME": str(home), "JAVA_TOOL_OPTIONS": ""}
    done = subprocess.run(["/bin/sh", "-euc", commands + "\nkeytool -list -keystore truststore.p12 -storepass changeit "
                           "-alias sallyport; echo \"$JAVA_TOOL_OPTIONS\""], cwd=tmp_path, env=env, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trustedCertEntry" in done.stdout and f"-Djavax.net.ssl.trustStore={tmp_path}/truststore.p12" in done.stdout


def test_files_are_replaced_whole_and_failures_are_named(run, tmp_path):
    folder = tmp_path / "o"
    run("--write-files", str(folder))
    (folder / "gitconfig").write_text("old")
    run("--write-files", str(folder))
    assert "old" not in (folder / "gitconfig").read_text()
    assert len(list(folder.iterdir())) == 7, "nothing temporary is left"
    done = run("--write-files", str(tmp_path / "no" / "such"), status=1)
    assert "cannot make the directory" in done.stderr and done.stdout == ""
    done = run("--ca", str(tmp_path / "none.pem"), "--write-files", str(folder), status=1)
    assert "cannot read" in done.stderr and done.stdout == ""
