# SPDX-License-Identifier: Apache-2.0
"""The release build, made twice from two copies of the sources in two places: the same bytes, and hardened."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("sallyport", "sallyport-relay")
PARTS = ("CMakeLists.txt", "CMakePresets.json", "cmake", "include", "src", "policies", "bench", "docs", "tools")


def build(folder):
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, symlinks=True)
        else:
            shutil.copy2(source, folder / part)
    # A cache would compare one build with itself.
    env = {**os.environ, "CCACHE_DISABLE": "1"}
    for words in (["cmake", "--preset", "release", "-DSALLYPORT_TESTS=OFF"],
                  ["cmake", "--build", "--preset", "release", "--target", *PROGRAMS]):
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "build" / "release"


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    top = tmp_path_factory.mktemp("release")
    yield [build(top / "a"), build(top / "another" / "place" / "b")]
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request, builds):
    return builds[0] / request.param


def tool(*words):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_builds_are_the_same_bytes(builds, name):
    one, two = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in builds)
    assert one == two
    assert str(builds[0].parent).encode() not in (builds[0] / name).read_bytes()


def test_position_independent(program):
    assert re.search(r"Type:\s+DYN", tool("readelf", "-h", program))
    assert re.search(r"FLAGS_1\).*\bPIE\b", tool("readelf", "-dW", program))


def test_relocations_are_read_only_before_main(program):
    assert re.search(r"^\s*GNU_RELRO", tool("readelf", "-lW", program), re.M)
    dynamic = tool("readelf", "-dW", program)
    assert "BIND_NOW" in dynamic or re.search(r"FLAGS_1\).*\bNOW\b", dynamic)
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic and "TEXTREL" not in dynamic


def test_nothing_is_writable_and_executable(program):
    segments = re.findall(r"^\s*(LOAD|GNU_STACK)\s+(?:0x\w+\s+){5}([R ][W ][E ])\s", tool("readelf", "-lW", program), re.M)
    assert ("GNU_STACK", "RW ") in segments
    assert segments.count(("LOAD", "RWE")) == 0 and any(flags == "R E" for _, flags in segments)


def test_stack_protector_and_fortified_functions(builds):
    names = tool("readelf", "-W", "--dyn-syms", builds[0] / "sallyport")
    assert "__stack_chk_fail@" in names
    fortified = set(re.findall(r"UND (__\w+_chk)@", names))
    assert {"__snprintf_chk", "__memcpy_chk"} & fortified and len(fortified) >= 3, fortified


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="endbr64 is of another processor")
def test_indirect_branches_land_where_they_may(builds):
    """Each of our functions whose address is taken begins with endbr64: here main and all entries of tables."""
    code = tool("objdump", "-d", "--no-show-raw-insn", builds[0] / "sallyport")
    assert re.search(r"<main>:\n\s+[0-9a-f]+:\s+endbr64", code)
    assert code.count("endbr64") > 500


def test_bill_of_materials(builds):
    """SPDX 2.3: every library that the program is linked with, under the Debian version that was there."""
    program = builds[0] / "sallyport"
    out = tool(ROOT / "tools" / "sbom", program)
    assert out == tool(ROOT / "tools" / "sbom", builds[1] / "sallyport"), "the same program has the same bill"
    bill = json.loads(out)
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    packages = {p["name"]: p for p in bill["packages"]}
    assert packages["sallyport"]["checksums"][0]["checksumValue"] == hashlib.sha256(program.read_bytes()).hexdigest()
    for name in ("libssl3", "libevent-core-2.1-7", "libc-ares2", "libseccomp2", "libc6"):
        assert packages[name]["versionInfo"] == tool("dpkg-query", "-W", "-f", "${Version}", name), name
    needed = set(re.findall(r"NEEDED\).*\[(\S+)\]", tool("readelf", "-dW", program)))
    named = {word for p in bill["packages"] for word in p.get("comment", "").split() if ".so" in word}
    assert needed <= named, needed - named
    linked = {r["relatedSpdxElement"] for r in bill["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"}
    assert len(linked) >= 10 and all(p["licenseDeclared"] for p in bill["packages"])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
