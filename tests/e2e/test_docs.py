# SPDX-License-Identifier: Apache-2.0
"""What README.md, docs/ and packaging/ tell a reader to type exists: every verb and option of the programs, every script
below tools/, every preset and test label."""
import functools
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/**/README.md"), *ROOT.glob("packaging/**/*.yaml"),
                *ROOT.glob("packaging/**/*.service"), *ROOT.glob("policies/*.yaml")])
STOPS = {"|", "||", "&&", ";", ">", "<", "&", "--"}


def snippets(text, markdown):
    """Code spans and the lines of code blocks, with continued lines joined; of other files the comments."""
    if not markdown:
        return re.findall(r"(?m)#\s*(.*)$", text) + re.findall(r"(?m)^ExecStart=((?:.*\\\n)*.*)$", text)
    out = []
    parts = re.split(r"(?m)^```.*$", text)
    for block in parts[1::2]:
        out += re.sub(r"\\\n", " ", block).split("\n")
    for prose in parts[0::2]:
        out += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
        out += [line for line in prose.split("\n") if line.startswith("    ")]
    return out


def commands(snippet, program):
    """The words behind each `program` that stands where a command begins."""
    for m in re.finditer(rf"(?:^|[\s$(=/]){program}((?:\s+[^\s|&;<>()#`]+)+)", snippet.replace("\\\n", " ")):
        words = m[1].split()
        if program != "sallyport" or words[0][0] != "-":  # else it is a word among others
            yield words


@functools.lru_cache(maxsize=None)
def help_of(binary, words):
    done = subprocess.run([binary, *words, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def verbs_below(binary, words):
    text = help_of(binary, words).split("\nExample")[0]
    if len(words) == 1 and text.startswith(f"Usage: sallyport {words[0]} [OPTION") and "\nVerbs:\n" not in text:
        return set()
    return set(re.findall(r"(?m)^  ([a-z][a-z-]*)[ ,]", text)) | set(re.findall(r"(?m)^  [a-z]+, ([a-z]+) ", text))


def problems(binary, words):
    """What of a command line does not exist."""
    path, rest = [], list(words)
    while len(path) < 2 and rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]):
        below = verbs_below(binary, tuple(path))
        if rest[0] not in below:
            if not path:
                return [f"no verb {rest[0]}"] if rest[0] not in ("help",) else []
            if below:
                return [f"no verb {' '.join(path)} {rest[0]}"]
            break
        path.append(rest.pop(0))
    said = help_of(binary, tuple(path)) or help_of(binary, tuple(path[:1]))
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z?][a-z0-9-]*", said)) | {"--version", "--help"}
    out = []
    for word in rest:
        if word in STOPS:
            break
        option = re.match(r"\[?(--[a-z][a-z0-9-]*|-[a-z]$)", word)
        if option and option[1] not in known:
            out.append(f"'{' '.join(path)}' has no {option[1]}")
    return out


def test_a_wrong_command_is_found(binary):
    assert problems(binary, ["check", "FILE"]) == []
    assert problems(binary, ["chekc", "FILE"]) == ["no verb chekc"]
    assert problems(binary, ["audit", "verfy", "DIR"]) == ["no verb audit verfy"]
    assert problems(binary, ["audit", "verify", "DIR", "--kye", "K"]) == ["'audit verify' has no --kye"]
    assert problems(binary, ["exec", "--policy", "F", "--", "ls", "--nothing"]) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_exist(binary, page):
    relay = os.path.join(os.path.dirname(os.environ["SALLYPORT"]), "sallyport-relay")
    found = []
    for snippet in snippets(page.read_text(), page.suffix == ".md"):
        for words in commands(snippet, "sallyport"):
            found += [f"{p}: sallyport {' '.join(words)}" for p in problems(binary, words)]
        for words in commands(snippet, "sallyport-relay"):
            known = help_of(relay, ())
            for word in words[:words.index("--")] if "--" in words else words:
                if word.startswith("--") and not re.search(rf"(?<!\S){word}(?![\w-])", known):
                    found.append(f"sallyport-relay has no {word}")
    assert not found, "\n".join(found)


def test_tools_presets_and_labels_exist():
    presets = {p["name"] for p in json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]}
    lists = "\n".join(p.read_text() for p in ROOT.glob("**/CMakeLists.txt") if "build" not in p.parts)
    found = []
    for page in PAGES:
        text = page.read_text()
        name = page.relative_to(ROOT)
        found += [f"{name}: {m}" for m in re.findall(r"(?<![\w/.-])((?:tools|bench|tests|policies|packaging|docs|src|include)"
                                                    r"/[\w./-]*\w)", text) if not exists(m)]
        found += [f"{name}: preset {m}" for m in re.findall(r"--preset (\w+)", text) if m not in presets]
        found += [f"{name}: label {m}" for m in re.findall(r"`(?:ctest )?-L (\w+)`", text)
                  if not re.search(rf"\b{m}\b", lists)]
    assert not found, "\n".join(found)


def exists(path):
    """From here, or from the folder of some page's example; a name in capitals stands for any."""
    return bool(re.search(r"[A-Z]{4}\.", path)) or any((ROOT / base / path).exists() for base in (".", "include", "tests/e2e"))
