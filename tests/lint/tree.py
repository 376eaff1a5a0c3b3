# SPDX-License-Identifier: Apache-2.0
"""The files of the tree, and C code as lint looks at it."""
import functools
import pathlib
import re
import subprocess

COMMENT_OR_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.M)


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.files = sorted(self._list())

    def _list(self):
        """What git knows or would take; without git, all but what a build leaves."""
        if (self.root / ".git").exists():
            out = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"],
                                 capture_output=True, check=True).stdout.decode()
            found = {name for name in out.split("\0") if name}
        else:
            found = {str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()}
        return [f for f in found if not re.match(r"build/|.*__pycache__/", f) and (self.root / f).is_file()]

    def match(self, pattern):
        return [f for f in self.files if re.search(pattern, f)]

    @functools.lru_cache(maxsize=None)
    def bytes(self, name):
        return (self.root / name).read_bytes()

    @functools.lru_cache(maxsize=None)
    def text(self, name):
        return self.bytes(name).decode("utf-8", "replace")

    def is_text(self, name):
        return b"\0" not in self.bytes(name)[:4096]

    @functools.lru_cache(maxsize=None)
    def code(self, name):
        """C code with comments and the insides of literals blanked out, line for line."""
        return COMMENT_OR_TEXT.sub(_blank, self.text(name))

    def includes(self, name):
        text = COMMENT.sub(_blank, self.text(name))
        return [(line_of(text, m.start(1)), m[1]) for m in INCLUDE.finditer(text)]

    def c_files(self, *folders):
        return self.match(rf"^({'|'.join(folders)})/.*\.[ch]$")


def _blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(code):
    """(first line, last line, name) of each function body: with this format a body begins and ends in column 0."""
    start, name = None, None
    lines = code.split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            head = " ".join(lines[max(0, number - 6):number - 1])
            found = re.findall(r"(\w+)\s*\(", head[max(head.rfind(";"), head.rfind("}")) + 1:])
            start, name = (number, found[0]) if found else (None, None)
        elif line.startswith("}") and start is not None:
            yield start, number, name
            start = None


def listed(tree, name):
    """A list file: "thing: why" a line, '#' comments."""
    out = {}
    if name not in tree.files:
        return out
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            thing, _, why = line.partition(": ")
            out[thing.strip()] = (number, why.strip())
    return out
