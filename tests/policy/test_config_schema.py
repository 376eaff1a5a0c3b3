# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a gateway's configuration and `sallyport check` say the same of every file of the corpus; what a
schema cannot say stands in a list, with the reason."""
import json
import os
import pathlib
import subprocess

import pytest
import yaml

import strict_yaml

jsonschema = pytest.importorskip("jsonschema")

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = os.environ.get("SALLYPORT", "")
GOOD = sorted((HERE / "corpus" / "config-good").glob("*.yaml"))
BAD = sorted((HERE / "corpus" / "config-bad").glob("*.yaml"))
EXAMPLE = HERE.parent.parent / "policies" / "gateway.yaml"

# `check` refuses these, the schema takes them.
BEYOND = {
    "listener-twice": "two entries that are the same place",
    "listener-of-nobody": "names that stand in other files",
    "listener-of-two": "a count of other entries",
    "environment-not-there": "what lies in the file system",
    "environment-wrong": "an environment has a schema of its own",
    "environment-name-twice": "names that stand in other files",
    "sources-host-bits": "arithmetic on addresses",
    "sources-overlap": "arithmetic on addresses",
    "ceiling-exceeded": "what policies answer",
    "catalogue-not-there": "what lies in the file system",
    "catalogue-wrong": "what stands in another file",
}


@pytest.fixture(scope="module")
def validator():
    if not PROGRAM:
        pytest.skip("SALLYPORT does not name the program")
    printed = subprocess.run([PROGRAM, "schema", "config"], capture_output=True, timeout=60, check=True).stdout
    schema = json.loads(printed)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def says_schema(validator, path):
    try:
        tree = strict_yaml.read(path.read_text("utf-8"))
    except (yaml.YAMLError, strict_yaml.NotTaken) as error:
        return f"the text is no YAML that is taken: {error}"
    error = jsonschema.exceptions.best_match(validator.iter_errors(tree))
    return None if error is None else f"{error.json_path}: {error.message}"


def check(path, *options):
    done = subprocess.run([PROGRAM, "check", "--json", "--quiet", *options, str(path)], capture_output=True, timeout=60,
                          check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def names(paths):
    return [path.stem for path in paths]


def test_the_corpus_is_large_enough():
    assert len(GOOD) >= 15 and len(BAD) - len(BEYOND) >= 40 and set(BEYOND) <= set(names(BAD))


@pytest.mark.parametrize("path", [*GOOD, EXAMPLE], ids=names([*GOOD, EXAMPLE]))
def test_good(validator, path):
    code, told = check(path)
    whole = told[-1]
    assert code == 0 and whole["loads"] and whole["kind"] == "configuration", told
    assert whole["environments"] == whole["environments_that_load"] == len(told) - 1
    assert all(one["configuration"] == str(path) and one["loads"] for one in told[:-1])
    assert says_schema(validator, path) is None


@pytest.mark.parametrize("path", BAD, ids=names(BAD))
def test_bad(validator, path):
    code, told = check(path)
    assert code == 1 and not told[-1]["loads"]
    errors = [f for one in told for f in one["findings"] if f["severity"] == "error"]
    assert errors and all(f["file"] for f in errors), told
    assert path.stem.endswith("-not-there") or all(f["fix"] for f in errors), told
    refused = says_schema(validator, path) is not None
    assert refused == (path.stem not in BEYOND), "the schema can say it" if refused else "the schema takes it"
