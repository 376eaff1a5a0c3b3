# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the environment file: what is checked in is what the program prints, and it says of every file of
the corpus what `sallyport check` says."""
import functools
import json
import os
import pathlib
import subprocess

import pytest
import yaml

import strict_yaml

jsonschema = pytest.importorskip("jsonschema")

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = os.environ.get("SALLYPORT", "")
CHECKED_IN = ROOT / "docs" / "environment.schema.json"
GOOD = sorted((HERE / "corpus" / "good").glob("*.yaml"))
BAD = sorted((HERE / "corpus" / "bad").glob("*.yaml"))
EXAMPLES = sorted(p for p in (HERE / "policies").glob("*.yaml") if not p.name.endswith(".egress.yaml"))

# What a schema cannot say: `check` refuses these, the schema takes them.
BEYOND = {
    "host-star-public": "which suffixes are public is data",
    "host-star-shared": "which suffixes many tenants share is data",
    "host-unicode-upper": "letters that have a lower case are a matter of Unicode",
    "entry-twice": "two spellings of one name",
    "entry-host-bits": "arithmetic on addresses",
    "private-host-bits": "arithmetic on addresses",
    "limit-range": "the range of a number with a unit",
    "package-group": "which groups there are is data",
    "pattern-open": "whether a regular expression is one",
    "test-fails": "what the policy itself answers",
}


@functools.cache
def validator():
    schema = json.loads(CHECKED_IN.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def says_schema(path):
    """None if the schema takes the file, else why not."""
    try:
        tree = strict_yaml.read(path.read_text("utf-8"))
    except (yaml.YAMLError, strict_yaml.NotTaken) as error:
        return f"the text is no YAML that is taken: {error}"
    error = jsonschema.exceptions.best_match(validator().iter_errors(tree))
    return None if error is None else f"{error.json_path}: {error.message}"


def check(*paths):
    done = subprocess.run([PROGRAM, "check", "--json", "--quiet", *map(str, paths)], capture_output=True, timeout=60,
                          check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def program():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")


@pytest.fixture(scope="module")
def checked(program):
    """{path: what check says}, of the whole corpus at once."""
    return {one["file"]: one for one in check(*GOOD, *BAD, *EXAMPLES)[1]}


def names(paths):
    return [path.stem for path in paths]


def test_the_corpus_is_large_enough():
    assert len(GOOD) >= 40 and len(BAD) - len(BEYOND) >= 80
    assert set(BEYOND) <= set(names(BAD))


def test_schema_is_what_the_program_prints(program):
    printed = subprocess.run([PROGRAM, "schema", "environment"], capture_output=True, timeout=60, check=True).stdout
    assert printed == CHECKED_IN.read_bytes(), "docs/environment.schema.json: print it anew with `sallyport schema`"


def test_schema_of_the_configuration_is_one(program):
    printed = subprocess.run([PROGRAM, "schema", "config"], capture_output=True, timeout=60, check=True).stdout
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


def test_wrong_use(program):
    for words in ([], ["policy"], ["environment", "config"]):
        done = subprocess.run([PROGRAM, "schema", *words], capture_output=True, timeout=60, check=False)
        assert done.returncode == 64


@pytest.mark.parametrize("path", GOOD + EXAMPLES, ids=names(GOOD + EXAMPLES))
def test_good(checked, path):
    assert checked[str(path)]["loads"], checked[str(path)]["findings"]
    assert says_schema(path) is None


@pytest.mark.parametrize("path", BAD, ids=names(BAD))
def test_bad(checked, path):
    told = checked[str(path)]
    assert not told["loads"] and told["errors"] >= 1
    finding = next(f for f in told["findings"] if f["severity"] == "error")
    assert finding["file"] == str(path) and finding["fix"], f"an error says where and how to mend it: {finding}"
    refused = says_schema(path) is not None
    assert refused == (path.stem not in BEYOND), "the schema can say it" if refused else "the schema takes it"


def test_strict_takes_no_lint(program, tmp_path):
    """--strict: a lint fails as an error does."""
    path = tmp_path / "e.yaml"
    path.write_text("name: e\nunknown_to_us: 1\nconfig: {networking: {type: limited}}\n")
    assert check(path)[0] == 0
    done = subprocess.run([PROGRAM, "check", "--strict", str(path)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
