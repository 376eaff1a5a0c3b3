#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds tests/hostile/coverage.tsv against the tests: every hostile case has a line, every line leads to a test that is
there or says why there is none. And docs/threats.md, which names tests too.

    tests/hostile/coverage.py           # 0: whole; 1: what is missing
    tests/hostile/coverage.py --self    # breaks copies of the list and asserts that each break is found"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests" / "hostile" / "coverage.tsv"
PAGE = ROOT / "docs" / "threats.md"
# The cases of each section; numbers have gaps, since cases were joined.
CASES = {
    "H": "1 3 4 6-14 16-18 20-32 34 35", "W": "1-4 7-10 13 15-18", "P": "1-6 8 9",
    "A": "1-5 7-14 16-18 20-22 24-26", "D": "1 3-5 7 12-20 22-24",
    "T": "1-5 7-13 15-21 23-28 30 32 34 36-38", "F": "2-7 9 10",
    "S": "1 3 5-9 11 14 15 17-19 21 23-26 28-32 34-36", "X": "2-9 11-14",
    "L": "1 4 5 7 9 10 13 15-18", "R": "1-3 5 7 9 11-13 17",
    "C": "1-6 8 9 11-14 16 17 19", "O": "1-10 12 13 15 16", "E": "1-5",
}


def cases():
    for section, numbers in CASES.items():
        for part in numbers.split():
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield f"{section}-{number:02}"


def named(text, name):
    return re.search(rf"(\bdef |\b)(test_)?{name}\(", text) is not None


def problems(text, files):
    """`files`: path to text."""
    lines = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        key, _, where = line.partition("\t")
        if key in lines:
            yield f"{LIST.name}:{number}: {key} stands twice"
        lines[key] = where
        if where.startswith("n/a: ") and len(where) > 20:
            continue
        if not where.strip():
            yield f"{LIST.name}:{number}: {key} leads nowhere"
        for place in where.split():
            path, _, name = place.partition("::")
            if path not in files:
                yield f"{LIST.name}:{number}: {key}: there is no {path}"
            elif name and not named(files[path], name):
                yield f"{LIST.name}:{number}: {key}: {path} has no {name}"
            elif not name and not re.search(rf"\b{key}\b", files[path]):
                yield f"{LIST.name}:{number}: {key} does not stand in {path}"
    for key in cases():
        if key not in lines:
            yield f"{LIST.name}: {key} has no line"
    known = set(cases())
    for key in lines:
        if key not in known:
            yield f"{LIST.name}: {key} is no case"


def tests():
    out = {}
    for path in (ROOT / "tests").rglob("*"):
        if path.suffix in (".py", ".c", ".tsv") and path != LIST:
            out[str(path.relative_to(ROOT))] = path.read_text("utf-8", "replace")
    return out


def page_problems(page, files):
    """Each test that the page names is there: `file` or `file::test`, from the folder of tests on."""
    places = re.findall(r"`((?:unit|lab|e2e|hostile|fault|release|fuzz)/[\w/.]+\.(?:py|c|tsv))(?:::(\w+))?`", page)
    if len(places) < 50:
        yield f"{PAGE.name}: names {len(places)} tests"
    for path, name in places:
        if f"tests/{path}" not in files:
            yield f"{PAGE.name}: there is no tests/{path}"
        elif name and not named(files[f"tests/{path}"], name):
            yield f"{PAGE.name}: tests/{path} has no {name}"


def self_test(text, files):
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    breaks = {"without a line": "\n".join(lines[1:]), "without a place": text.replace(lines[0], lines[0].split("\t")[0] + "\t"),
              "twice": text + lines[0] + "\n", "no such file": text.replace("tests/hostile/table_names.py", "tests/none.py"),
              "no such test": re.sub(r"::\w+", "::test_none_of_these", text), "no case": text + "H-99\ttests/hostile/rows.py\n",
              "no reason": re.sub(r"n/a: .*", "n/a: ", text)}
    for what, broken in breaks.items():
        assert any(problems(broken, files)), f"not found: {what}"
    page = PAGE.read_text()
    for what, broken in {"no such file": page.replace("`hostile/", "`hostile/no_", 1), "few": "",
                         "no such test": re.sub(r"::\w+`", "::test_none_of_these`", page, count=1)}.items():
        assert broken != page and any(page_problems(broken, files)), f"not found in {PAGE.name}: {what}"
    print(f"{len(breaks) + 3} passed, 0 failed")


def main():
    text, files = LIST.read_text(), tests()
    if sys.argv[1:] == ["--self"]:
        self_test(text, files)
        return 0
    found = [*problems(text, files), *page_problems(PAGE.read_text(), files)]
    for line in found:
        print(line)
    covered = sum("\tn/a" not in line for line in text.splitlines() if not line.startswith("#"))
    print(f"{len(list(cases()))} cases: {covered} with a test, {len(list(cases())) - covered} not applicable")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
