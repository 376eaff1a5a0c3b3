#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A lint that finds nothing proves nothing: small trees with one thing wrong each, and one with nothing wrong."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
TOP = "/* SPDX-License-Identifier: Apache-2.0 */\n"
C = "src/net/a.c"
LONG_FUNCTION = TOP + "int f(void)\n{\n" + "    f();\n" * 130 + "    return 0;\n}\n"
GUARDED = TOP + "#ifndef WIRE_A_H\n#define WIRE_A_H\n\n{}\n\n#endif\n"
REASONS = TOP + 'X(DNS,     "R-DNS",  "dns_failed", 502, 0, 0x04, 1, true,  "no")\n'
WHY = "tests/lint/reasons_untested.txt"
HOST = "registry.npm" + "js.org"

# (check, files, part of the finding; None: nothing may be found)
CASES = [
    ("spdx", {C: "int a;\n"}, "src/net/a.c:1: no SPDX"),
    ("spdx", {C: TOP, "bin/x": "#!/bin/sh\n"}, "bin/x:1: no SPDX"),
    ("spdx", {C: TOP + "int a;\n"}, None),
    ("form", {C: TOP + "int  a;\n", ".clang-format": "BasedOnStyle: LLVM\n"}, "src/net/a.c:2: clang-format"),
    ("form", {C: TOP + "int a;\n", ".clang-format": "BasedOnStyle: LLVM\n"}, None),
    ("banned", {C: "void f(void)\n{\n    strcpy(a, b);\n}\n"}, "src/net/a.c:3: strcpy() is banned"),
    ("banned", {C: "x = gethostbyname(n);\n"}, "gethostbyname() is banned"),
    ("banned", {C: "sleep (1);\n"}, "sleep() is banned"),
    ("banned", {C: "/* strcpy(a, b) */ snprintf(a); hooks->system(1); f(\"rand()\");\n"}, None),
    ("wire_is_pure", {"src/wire/a.c": "\nx = malloc(1);\n"}, "src/wire/a.c:2: malloc()"),
    ("wire_is_pure", {C: "x = malloc(1);\n"}, None),
    ("silence", {C: "fprintf(stderr, x);\n"}, "src/net/a.c:1: fprintf() prints"),
    ("silence", {"src/base/log.c": "fprintf(x);\n", "src/cli/a.c": "puts(x);\n", C: "snprintf(x);\n"}, None),
    ("doors", {C: "#include <yaml.h>\n"}, "src/net/a.c:1: yaml\\.h is not for this file"),
    ("doors", {"src/policy/a.c": "#include <pcre2.h>\n", "src/policy/b.c": "#include <pcre2.h>\n"}, "has 2 doors"),
    ("doors", {"src/audit/a.c": '\n#include "openssl/evp.h"\n'}, "src/audit/a.c:2: openssl"),
    ("doors", {"src/policy/yaml.c": "#include <yaml.h>\n", C: "#include <ares.h>\n#include <event2/event.h>\n",
               "src/cli/a.c": "#include <jansson.h>\n", "src/audit/a.c": "/* #include <jansson.h> */\n"}, None),
    ("headers", {"include/wire/a.h": GUARDED.format("size_t a(void);")}, "include/wire/a.h:1: does not compile alone"),
    ("headers", {"include/wire/a.h": GUARDED.format("#include <stddef.h>\nsize_t a(void);")}, None),
    ("guards", {"include/wire/b.h": GUARDED.format("")}, "its guard is not WIRE_B_H"),
    ("guards", {"include/wire/a.h": GUARDED.format("")}, None),
    ("sources", {C: TOP, "src/net/CMakeLists.txt": "SOURCES ba.c a.cc\n"}, "stands in no CMakeLists.txt"),
    ("sources", {C: TOP, "src/net/CMakeLists.txt": "SOURCES a.c\n"}, None),
    ("sources", {"src/net/CMakeLists.txt": "\nfile( GLOB x *.c)\n"}, "src/net/CMakeLists.txt:2: sources are written"),
    ("reasons", {"include/wire/reason_tbl.h": REASONS}, "reason_tbl.h:2: no test names dns_failed (REASON_DNS)"),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, "tests/unit/a.c": "f(REASON_DNS);\n"}, None),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, "tests/e2e/a.py": 'reason="dns_failed"\n'}, None),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, WHY: "dns_failed: later\n"}, None),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, WHY: "dns_failed:\n"}, "without a why"),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, WHY: "dns_failed: later\nno_such: later\n"}, "txt:2: there is no"),
    ("reasons", {"include/wire/reason_tbl.h": REASONS, WHY: "dns_failed: x\n", "tests/a.c": "REASON_DNS\n"}, "take it out"),
    ("manual", {"include/policy/limits_tbl.h": "X(idle, MS,\n"}, "docs/policy.md:1: is not there"),
    ("manual", {"include/policy/limits_tbl.h": "X(idle, MS,\n", "docs/policy.md": "idler\n"}, "idle is not in"),
    ("manual", {"include/policy/keys_tbl.h": 'X("egress.hosts[].ports", P\n', "docs/policy.md": "hosts\n"}, "ports is not"),
    ("manual", {"include/policy/limits_tbl.h": "X(idle, MS,\n", "docs/policy.md": "`idle`\n"}, None),
    ("meaning", {"include/policy/limits_tbl.h": "X(idle, MS, S, 1, 1, 1, IDLE, \"x\")\n", "docs/semantics.md": "x\n"},
     "the limit idle with its reason None"),
    ("meaning", {"include/wire/reason_tbl.h": 'X(HOST, "R-HOST", "no_host", 403, 0, 0x02, 3, false, "no")\n',
                 "docs/semantics.md": "<!-- reasons -->\n| R-HOST | `no_host` | 404 | – | 02 | 3 | no | no |\n<!-- end -->\n"},
     "the reason no_host is"),
    ("meaning", {"include/wire/reason_tbl.h": 'X(HOST, "R-HOST", "no_host", 403, 0, 0x02, 3, false, "no")\n',
                 "docs/semantics.md": "<!-- reasons -->\n| R-HOST | `no_host` | 403 | – | 02 | 3 | no | no |\n<!-- end -->\n"},
     None),
    ("meaning", {"include/policy/keys_tbl.h": 'X("egress.hosts[].ports", PORTS\n', "docs/semantics.md": "`ports`\n"},
     "egress.hosts[].ports has no row"),
    ("links", {"docs/a.md": "[b](b.md)\n"}, "docs/a.md:1: b.md: there is no docs/b.md"),
    ("links", {"docs/a.md": "\n[b](../README.md#use)\n", "README.md": "# Used\n"}, "docs/a.md:2: ../README.md#use: README.md has"),
    ("links", {"docs/a.md": "# B, c: d\n[b](#b-c-d) [c](https://c.test/d) [d](..)\n[e](b.md)\n", "docs/b.md": ""},
     "docs/a.md:2: ..: there is no"),
    ("links", {"docs/a.md": "# B, c: d\n[b](#b-c-d) [c](https://c.test/d) [e](b.md) [f](../src)\n", "docs/b.md": "", C: ""}, None),
    ("lengths", {C: LONG_FUNCTION}, "src/net/a.c:3: f() has 131 lines"),
    ("lengths", {C: LONG_FUNCTION, "tests/lint/long.txt": "src/net/a.c f: a table\n"}, None),
    ("lengths", {C: "int a;\n" * 601}, "src/net/a.c:1: 601 lines"),
    ("lengths", {C: "int a;\n" * 500}, None),
    ("whitespace", {"docs/a.md": "a\nb \n"}, "docs/a.md:2: white space"),
    ("whitespace", {"docs/a.md": "a\r\nb"}, "docs/a.md:2: no newline"),
    ("whitespace", {"docs/a.md": "a\n", "tests/fuzz/corpus/x/1": "a \r\n"}, None),
    ("hosts", {"policies/a.yaml": f"- {HOST}\n"}, f"policies/a.yaml:1: {HOST} is a single host"),
    ("hosts", {"policies/a.yaml": "\n- npm" + "js.org\n"}, "policies/a.yaml:2: npm"),
    ("hosts", {"policies/a.yaml": '- "*.npm' + 'js.org"\n- debian.organic.test\n- xnpm' + "js.orga\n"}, None),
    ("places", {"docs/a.md": "see /wor" + "k/x\n"}, "docs/a.md:1:"),
    ("places", {"docs/a.md": "see /workers/x\n"}, None),
    ("suppressions", {"tests/tsan.supp": "# none\nrace:x\n"}, "tests/tsan.supp:2: a suppression"),
    ("suppressions", {"tests/tsan.supp": "# none\n\n"}, None),
    ("suppressions", {"tests/tsan.supp": "# why\nrace:libother-2.1.so\n"}, None),
    ("suppressions", {"tests/tsan.supp": "race:libother.so.c\n"}, "tests/tsan.supp:1: a suppression"),
    ("suppressions", {C: "__attribute__((no_sanitize(\"thread\"))) int a;\n"}, "silences a sanitizer"),
    ("python", {"tests/a.py": "def f(:\n"}, "tests/a.py:1: does not parse"),
    ("python", {"tests/a.py": "def f():\n    pass\n"}, None),
]


def run(one, files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        done = subprocess.run([sys.executable, HERE / "lint.py", "--root", root, "--only", one], capture_output=True,
                              text=True)
        return done.returncode, done.stdout + done.stderr


def main():
    passed = failed = 0
    formats = any(shutil.which(p) for p in ("clang-format-14", "clang-format"))
    for one, files, wanted in CASES:
        if one == "form" and not formats:
            continue
        status, said = run(one, files)
        good = (status == 0 and said.endswith("1 passed, 0 failed\n")) if wanted is None else \
            (status == 1 and wanted in said and said.endswith("0 passed, 1 failed\n"))
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAILED: {one} {files!r}\n  wanted {wanted!r}, got status {status}:\n{said}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
