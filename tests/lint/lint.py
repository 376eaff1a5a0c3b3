#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a compiler does not check of the rules in docs/style.md.

    tests/lint/lint.py                    # all checks
    tests/lint/lint.py --only doors,spdx  # some of them
    tests/lint/lint.py --list

Prints "file:line: message" for each finding, "warning:" before those that do not fail, and how many checks passed."""
import argparse
import ast
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tree import Tree, functions, line_of, listed  # noqa: E402

HERE = "tests/lint/"
CHECKS = []


class Warn(str):
    """A finding that is printed and does not fail."""


def check(function):
    CHECKS.append(function)
    return function


@check
def spdx(tree):
    """Every source says its license in its first three lines."""
    sources = tree.match(r"\.([chS]|py|cmake)$|(^|/)CMakeLists\.txt$")
    sources += [f for f in tree.files if tree.bytes(f)[:2] == b"#!" and f not in sources]
    for name in sources:
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(tree.text(name).split("\n")[:3]):
            yield name, 1, "no SPDX line"


@check
def form(tree):
    """clang-format 14 has nothing to change."""
    program = next((p for p in ("clang-format-14", "clang-format") if shutil.which(p)), None)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
    if not re.search(r"version 14\.", version):
        yield ".clang-format", 1, Warn("clang-format 14 is not installed: not checked")
        return
    files = tree.c_files("src", "include", "tests", "bench")
    if not files:
        return
    run = subprocess.run([program, "--dry-run", "-Werror", *files], capture_output=True, text=True, cwd=tree.root)
    seen = set()
    for name, line in re.findall(r"^([^:\n]+):(\d+):\d+: error: code should be clang-formatted", run.stderr, re.M):
        if name not in seen:
            seen.add(name)
            yield name, int(line), "clang-format would change this file from here on"


BANNED = (r"v?sprintf|strcpy|strcat|strncpy|strncat|strtok|strtok_r|gets|atoi|atol|atoll|atof|s?rand|rand_r|system|popen|"
          r"gethostby\w+|alloca|u?sleep|tmpnam|mktemp")


@check
def banned(tree):
    """Functions that invite mistakes are not called in the program."""
    yield from calls(tree, tree.c_files("src", "include"), BANNED, "is banned")


@check
def wire_is_pure(tree):
    """wire neither allocates nor frees."""
    yield from calls(tree, tree.c_files("src/wire", "include/wire"), "malloc|calloc|realloc|reallocarray|free|strn?dup",
                     "does not belong in wire")


@check
def silence(tree):
    """Library rooms do not print: only base/log.c and the commands do."""
    files = [f for f in tree.c_files("src", "include") if f != "src/base/log.c" and not f.startswith("src/cli/")]
    yield from calls(tree, files, "v?f?printf|v?dprintf|f?puts|f?putc|putchar|perror", "prints")


def calls(tree, files, pattern, what):
    for name in files:
        for m in re.finditer(rf"(?<![\w.])(?<!->)({pattern})\s*\(", tree.code(name)):
            yield name, line_of(tree.code(name), m.start()), f"{m[1]}() {what}"


# Header, who may include it, in how many files at most.
DOORS = [
    (r"yaml\.h", r"src/policy/yaml\.c", 1),
    (r"pcre2\.h", r"src/policy/\w+\.c", 1),
    (r"idn2\.h", r"src/policy/\w+\.c", 1),
    (r"libpsl\.h", r"src/policy/\w+\.c", 1),
    (r"ares(_\w+)?\.h", r"src/net/\w+\.c", 1),
    (r"openssl/.*", r"src/base/digest\.c|src/net/port_tls\.c", 2),
    (r"event2/.*|event\.h|evutil\.h", r"src/(net|daemon)/\w+\.[ch]", None),
    (r"seccomp\.h", r"src/daemon/cage_calls\.c", 1),
    (r"jansson\.h", r"src/cli/\w+\.[ch]", None),
    (r"curl/.*", r"src/cli/ship_http\.c", 1),
]


@check
def doors(tree):
    """Each library is included where its door is and nowhere else."""
    for header, allowed, most in DOORS:
        users = {}
        for name in tree.c_files("src", "include", "bench"):
            for line, included in tree.includes(name):
                if re.fullmatch(header, included):
                    users.setdefault(name, line)
        for name, line in users.items():
            if not re.fullmatch(allowed, name):
                yield name, line, f"{header} is not for this file (allowed: {allowed})"
        inside = sorted(n for n in users if re.fullmatch(allowed, n))
        if most is not None and len(inside) > most:
            yield inside[-1], users[inside[-1]], f"{header} has {len(inside)} doors: {', '.join(inside)}"


def header_view(name):
    room = name.split("/")[1]
    views = ["-Iinclude", f"-Isrc/{room}"]
    return ["-Ibench"] if name.startswith("bench/") else views


@check
def headers(tree):
    """Each header compiles alone."""
    compiler = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        yield "CMakeLists.txt", 1, Warn("no C compiler: headers are not checked")
        return

    def alone(name):
        short = name.removeprefix("include/")
        run = subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                              *header_view(name), "-I.", "-x", "c", "-"], input=f'#include "{short}"\n', text=True,
                             capture_output=True, cwd=tree.root)
        return name, run.returncode, run.stderr

    files = [f for f in tree.match(r"^(include|src|bench)/.*\.h$") if not f.endswith("_tbl.h")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, status, said in pool.map(alone, files):
            if status != 0:
                first = next((line for line in said.splitlines() if "error" in line), said[:200])
                yield name, 1, f"does not compile alone: {first}"


@check
def guards(tree):
    """The guard of a public header is its path."""
    for name in tree.match(r"^include/.*\.h$"):
        if name.endswith("_tbl.h"):
            continue
        guard = re.sub(r"\W", "_", name.removeprefix("include/")).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in tree.text(name):
            yield name, 1, f"its guard is not {guard}"


@check
def sources(tree):
    """Every source is in the list of its folder; lists are written out."""
    for name in tree.match(r"^src/\w+/.*\.[cS]$"):
        lists = tree.text(f"{os.path.dirname(name)}/CMakeLists.txt") if \
            f"{os.path.dirname(name)}/CMakeLists.txt" in tree.files else ""
        if not re.search(rf"(?<![\w.-]){re.escape(os.path.basename(name))}(?![\w.-])", lists):
            yield name, 1, "stands in no CMakeLists.txt of its folder"
    for name in tree.match(r"(^|/)CMakeLists\.txt$|\.cmake$"):
        for m in re.finditer(r"file\s*\(\s*GLOB", tree.text(name), re.I):
            yield name, line_of(tree.text(name), m.start()), "sources are written out, not globbed"


@check
def reasons(tree):
    """Every reason is produced or expected by some test; the exceptions say why."""
    table = "include/wire/reason_tbl.h"
    if table not in tree.files:
        return
    tests = [f for f in tree.match(r"^tests/.*\.(c|h|py|yaml)$") if not f.startswith(HERE)]
    words = set()
    for name in tests:
        words.update(re.findall(r"[A-Za-z_]\w*", tree.text(name)))
    excused = listed(tree, HERE + "reasons_untested.txt")
    known = set()
    for m in re.finditer(r'^X\((\w+),\s*"[^"]*",\s*"(\w+)"', tree.text(table), re.M):
        known.add(m[2])
        tested = m[2] in words or f"REASON_{m[1]}" in words
        if not tested and m[2] not in excused:
            yield table, line_of(tree.text(table), m.start()), f"no test names {m[2]} (REASON_{m[1]})"
        if tested and m[2] in excused:
            yield HERE + "reasons_untested.txt", excused[m[2]][0], f"{m[2]} is tested now: take it out"
    for name, (line, why) in excused.items():
        if name not in known:
            yield HERE + "reasons_untested.txt", line, f"there is no reason {name}"
        if not why:
            yield HERE + "reasons_untested.txt", line, f"{name} stands here without a why"


@check
def manual(tree):
    """Every key of a policy and every limit is in the manual."""
    page = "docs/policy.md"
    for table, row in (("include/policy/limits_tbl.h", r"^X\((\w+),"),
                       ("include/policy/keys_tbl.h", r'^X\("(?:[\w.\[\]]+\.)?(\w+)"')):
        if table not in tree.files:
            continue
        if page not in tree.files:
            yield page, 1, f"is not there, and {table} is"
            continue
        words = set(re.findall(r"\w+", tree.text(page)))
        for m in re.finditer(row, tree.text(table), re.M):
            if m[1] not in words:
                yield table, line_of(tree.text(table), m.start()), f"{m[1]} is not in {page}"


@check
def meaning(tree):
    """docs/semantics.md has each key, reason and limit as the tables have them."""
    page, end = "docs/semantics.md", "<!-- end -->"
    if page not in tree.files:
        return
    text = tree.text(page)

    def rows(block):
        part = text.partition(f"<!-- {block} -->")[2].partition(end)[0]
        return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in part.split("\n")
                if line.startswith("|") and not line.startswith("|--") and "| sev. |" not in line
                and "what it bounds" not in line]
    table, names = "include/wire/reason_tbl.h", {"NONE": "–"}
    if table in tree.files:
        wanted = {}
        for m in re.finditer(r'^X\((\w+), *"([\w-]+)", *"(\w+)", *(\d+), *\d+, *\w+, *(\d), *(\w+), *"(.*)"\)$',
                             tree.text(table), re.M):
            names[m[1]] = m[3]
            wanted[m[3]] = [m[2], m[4] if m[4] != "0" else "–", m[5], "yes" if m[6] == "true" else "no", m[7]]
        said = {row[1]: [row[0], row[2], *row[5:]] for row in rows("reasons") if len(row) == 8}
        for name in sorted(set(wanted) | set(said)):
            if wanted.get(name) != said.get(name):
                yield page, 1, f"the reason {name} is {said.get(name)} there and {wanted.get(name)} in {table}"
    table = "include/policy/limits_tbl.h"
    if table in tree.files:
        wanted = [(m[1], names.get(m[2])) for m in
                  re.finditer(r"^X\((\w+),(?: *\w+,){5} *(\w+),", tree.text(table), re.M)]
        said = [(row[0], row[2]) for row in rows("limits") if len(row) == 4]
        for row in wanted + said:
            if (row in wanted) != (row in said):
                yield page, 1, f"the limit {row[0]} with its reason {row[1]} is not the same there and in {table}"
    table = "include/policy/keys_tbl.h"
    if table in tree.files:
        for m in re.finditer(r'^X\("egress\.(\w+(?:\[\]\.\w+)?)"', tree.text(table), re.M):
            entry = m[1].startswith("hosts[]") or "[]" not in m[1]
            if f"| `{m[1]}` |" not in text and entry:
                yield page, 1, f"egress.{m[1]} has no row there"


def anchors(text):
    """Names of the headings, as they are made where Markdown is shown."""
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in re.findall(r"(?m)^#+ (.*)$", text)}


@check
def links(tree):
    """Every link of a page that does not lead elsewhere leads to a file of the tree, and to a heading in it."""
    for name in tree.match(r"\.md$"):
        for m in re.finditer(r"\]\(([^)\s]+)\)", tree.text(name)):
            target, _, anchor = m[1].partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(name), target)) if target else name
            if re.match(r"[a-z]+:", target):
                continue
            if path not in tree.files and not tree.match(rf"^{re.escape(path)}/"):
                yield name, line_of(tree.text(name), m.start()), f"{m[1]}: there is no {path}"
            elif anchor and path in tree.files and anchor not in anchors(tree.text(path)):
                yield name, line_of(tree.text(name), m.start()), f"{m[1]}: {path} has no such heading"


FILE_ALARM, FILE_MAX, FUNCTION_ALARM, FUNCTION_MAX = 400, 600, 100, 120


@check
def lengths(tree):
    """Files and functions fit in one sitting; the exceptions say why."""
    excused = listed(tree, HERE + "long.txt")
    for name in tree.c_files("src", "include", "bench", "tests"):
        lines = tree.text(name).count("\n")
        if lines > FILE_ALARM and name not in excused:
            message = f"{lines} lines (alarm {FILE_ALARM}, most {FILE_MAX})"
            yield name, 1, message if lines > FILE_MAX else Warn(message)
        for first, last, function in functions(tree.code(name)):
            length = last - first - 1
            if length > FUNCTION_ALARM and f"{name} {function}" not in excused:
                message = f"{function}() has {length} lines (alarm {FUNCTION_ALARM}, most {FUNCTION_MAX})"
                yield name, first, message if length > FUNCTION_MAX else Warn(message)
    for thing, (line, why) in excused.items():
        if not why or thing.split()[0] not in tree.files:
            yield HERE + "long.txt", line, f"{thing}: no why, or no such file"


@check
def whitespace(tree):
    """No white space at the end of a line, no CR, a newline at the end of the file."""
    for name in tree.files:
        # Seeds are bytes of strangers.
        if name.startswith("tests/fuzz/corpus/") or name.endswith(".patch") or not tree.is_text(name):
            continue
        text = tree.text(name)
        for m in re.finditer(r"[ \t\r]+$", text, re.M):
            yield name, line_of(text, m.start()), "white space at the end of the line"
        if text and not text.endswith("\n"):
            yield name, text.count("\n") + 1, "no newline at the end"


# In pieces, so that this file passes its own check.
DOMAINS = "|".join((r"npm" r"js\.(?:org|com)", r"debian" r"\.(?:org|net)"))
PLACES = "|".join((r"/wor" r"k/", r"\.\./shar" r"ed", r"/tmp/bri" r"ef"))


@check
def hosts(tree):
    """Hosts of these two operators are named by pattern alone ("*." and the domain)."""
    for name in tree.files:
        if not tree.is_text(name):
            continue
        text = tree.text(name)
        for m in re.finditer(rf"(?i)\b(?:{DOMAINS})\b", text):
            start = m.start()
            while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "._-*"):
                start -= 1
            if not text.startswith("*.", start):
                yield name, line_of(text, start), f"{text[start:m.end()]} is a single host: write the pattern"


@check
def places(tree):
    """Nothing names a folder of the machine that somebody worked on."""
    for name in tree.files:
        if tree.is_text(name):
            for m in re.finditer(PLACES, tree.text(name)):
                yield name, line_of(tree.text(name), m.start()), f"{m[0]} is a path of one machine"


@check
def suppressions(tree):
    """Sanitizers are not silenced, but for what another's shared library does by itself."""
    for name in tree.match(r"(?i)(tsan|asan|ubsan|lsan|msan)[^/]*supp|supp[^/]*(tsan|asan|ubsan|lsan)"):
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            foreign = re.fullmatch(r"race:lib[\w.+-]+\.so", line)
            if line.strip() and not line.startswith("#") and not foreign:
                yield name, number, "a suppression: repair the race instead"
    for name in tree.c_files("src", "include"):
        for m in re.finditer(r"no_sanitize\w*", tree.code(name)):
            yield name, line_of(tree.code(name), m.start()), f"{m[0]} silences a sanitizer"


@check
def python(tree):
    """Every Python file parses."""
    for name in tree.files:
        if name.endswith(".py") or re.match(rb"#!.*python", tree.bytes(name)[:80]):
            try:
                ast.parse(tree.text(name))
            except SyntaxError as e:
                yield name, e.lineno or 1, f"does not parse: {e.msg}"


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2], help="the tree (this one)")
    a.add_argument("--only", help="comma-separated checks")
    a.add_argument("--list", action="store_true", help="the checks, and what they say")
    a = a.parse_args()
    if a.list:
        print("\n".join(f"{c.__name__:14} {c.__doc__}" for c in CHECKS))
        return 0
    wanted = set(a.only.split(",")) if a.only else None
    unknown = (wanted or set()) - {c.__name__ for c in CHECKS}
    if unknown:
        sys.exit(f"no such check: {', '.join(sorted(unknown))}")
    tree = Tree(a.root)
    passed = failed = 0
    for one in CHECKS:
        if wanted is not None and one.__name__ not in wanted:
            continue
        bad = 0
        for name, line, message in one(tree):
            warn = isinstance(message, Warn)
            print(f"{name}:{line}: {'warning: ' if warn else ''}{message} [{one.__name__}]")
            bad += not warn
        passed, failed = passed + (bad == 0), failed + (bad > 0)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
