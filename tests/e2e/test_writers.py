# SPDX-License-Identifier: Apache-2.0
"""C-13: two processes write one policy file, each in its own way and without knowing of the other. What is in force is at
every moment a whole text of one of them; the last known good one stays while there is none."""
import itertools
import os
import random
import subprocess
import sys

import pytest

from lab import wait_for
from lab.gateway import Gateway
from lab.wait import never

HOSTS = 40
ROUNDS = 10

# A process that does one thing to a file for each line that it is told, and says when it is done. Nothing is buffered.
WRITER = """
import os, sys
fd = text = None
for line in sys.stdin:
    verb, *words = line.split()
    if verb == "text":
        text = open(words[0], "rb").read()
    elif verb == "open":
        fd = os.open(words[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    elif verb == "write":
        os.write(fd, text[int(words[0]):int(words[1])])
    elif verb == "close":
        os.close(fd)
    elif verb == "rename":
        os.rename(*words)
    print("done", flush=True)
"""


def text_of(writer, number, width=3):
    """All texts have the same length. Lists in brackets cannot be cut without being seen, and each text asks itself for
    its first and its last host: a mix of two is none."""
    hosts = [f"{writer}-{number:0{width}}-{i:02}.test" for i in range(HOSTS)]
    lines = ["name: env-a", "config: {networking: {type: limited, allowed_hosts: [", *(f"  {host}," for host in hosts),
             "]}}", "egress: {tests: [",
             *(f'  {{target: "{host}:443", expect: allow}},' for host in (hosts[0], hosts[-1])), "]}"]
    return "\n".join(lines) + "\n"


class Writer:
    def __init__(self, world, name):
        self.world, self.name, self.numbers = world, name, itertools.count(1)
        self.process = subprocess.Popen([sys.executable, "-B", "-c", WRITER], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def do(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        assert self.process.stdout.readline() == "done\n"

    def take_text(self):
        text = text_of(self.name, next(self.numbers))
        path = self.world.folder / f"{self.name}.text"
        path.write_text(text)
        self.world.whole.add(text)
        self.do("text", path)
        return len(text)

    def kill(self):
        self.process.kill()
        self.process.wait()


class World:
    def __init__(self, lab):
        self.first = text_of("o", 0)
        self.whole = {self.first}
        self.gateway = Gateway(lab, [lab.policy(name="env-a")], start=False)
        self.file = self.gateway.file_of("env-a")
        self.file.write_text(self.first)
        self.gateway.start()
        self.folder = lab.make_folder("writers")
        self.writers = [Writer(self, name) for name in "ab"]

    def loaded(self):
        """The texts that were ever in force, in order."""
        blobs = [e["unmapped"]["text_sha256"] for e in self.gateway.loads("env-a")]
        return [(self.gateway.audit_dir / "blobs" / blob).read_text() for blob in blobs]

    def in_force(self, text):
        wait_for(lambda: self.loaded()[-1] == text, 10, "the text in force")

    def settle(self):
        """One good file at the end, as it should be written: it is taken, and nothing else ever was but whole texts."""
        last = text_of("z", 1)
        self.whole.add(last)
        self.gateway.write(self.file, last)
        self.in_force(last)
        assert set(self.loaded()) <= self.whole
        assert self.gateway.stop() == 0 and self.gateway.audit.verifies()


@pytest.fixture
def world(lab):
    one = World(lab)
    yield one
    for writer in one.writers:
        writer.kill()


def steps(writer, way, path):
    """One text, written this way, a step at a time."""
    end = writer.take_text()
    fresh = f"{path}.new" if way == "one temporary name" else f"{path}.{writer.name}"
    target = path if way == "in place" else fresh
    yield writer.do("open", target)
    cuts = [0, end // 3, 2 * end // 3, end]
    for begin, stop in zip(cuts, cuts[1:]):
        yield writer.do("write", begin, stop)
    yield writer.do("close")
    if target != path and os.path.exists(target):  # of one name for both the other may have taken it away
        yield writer.do("rename", target, path)


@pytest.mark.parametrize("ways", [("renamed", "renamed"), ("renamed", "in place"), ("in place", "in place"),
                                  ("one temporary name", "one temporary name")], ids=" and ".join)
def test_two_writers(world, ways):
    """Their steps in an order that a seed gives; now and then both rest for as long as a file has to."""
    order = random.Random(str(ways))
    running = [steps(w, way, world.file) for w, way in zip(world.writers, ways)]
    rounds = [0, 0]
    while min(rounds) < ROUNDS:
        which = order.randrange(2)
        if next(running[which], "end") == "end":
            rounds[which] += 1
            running[which] = steps(world.writers[which], ways[which], world.file)
        if order.random() < 0.06:
            wait_for_rest(world)
    for one in running:
        for _ in one:
            pass
    world.settle()
    if "in place" not in ways[:1] and ways[0] != "one temporary name":
        assert len(world.loaded()) >= 3, "the writers never rested long enough for this test to say anything"


def wait_for_rest(world):
    """Until what lies there now, if it is whole and closed, is in force, or for half a second: longer than it takes."""
    before = len(world.loaded())
    try:
        wait_for(lambda: len(world.loaded()) > before, 0.5)
    except AssertionError:
        pass


def test_one_renames_while_the_other_is_in_the_middle(world):
    """The new file counts although the old one, which nobody can reach any more, is still being written."""
    a, b = world.writers
    end = a.take_text()
    a.do("open", world.file)
    a.do("write", 0, end // 2)
    never(lambda: len(world.loaded()) > 1, 0.6, "half a text was loaded")
    good = text_of("b", 1)
    for _ in steps(b, "renamed", world.file):
        pass
    world.in_force(good)
    a.do("write", end // 2, end)
    a.do("close")
    never(lambda: world.loaded()[-1] != good, 0.6, "the file that was replaced counts")
    world.settle()


def test_one_temporary_name_for_both(world):
    """The one that is second writes on in what the first has put into place: what lies there is half of each, its own
    tests say so, and the last good text stays."""
    a, b = world.writers
    end = a.take_text()
    fresh = f"{world.file}.new"
    a.do("open", fresh)
    a.do("write", 0, end // 2)
    for _ in steps(b, "one temporary name", world.file):
        pass
    world.in_force(text_of("b", 1))
    a.do("write", end // 2, end)
    a.do("close")
    refused = world.gateway.audit.event("policy_refused", seconds=10)
    assert "b-001-00.test" in world.file.read_text() and "a-001-39.test" in world.file.read_text()
    assert refused["unmapped"]["file"] == str(world.file) and "a-001-00.test" in refused["message"]
    assert world.loaded()[-1] == text_of("b", 1)
    world.settle()


@pytest.mark.parametrize("way", ["in place", "renamed"])
def test_one_dies_in_the_middle(world, way):
    """In place it leaves a torn file, which is refused with its place; beside it leaves nothing that anybody reads."""
    a, b = world.writers
    going = steps(a, way, world.file)
    for _ in range(2):
        next(going)
    a.kill()
    if way == "in place":
        refused = world.gateway.audit.event("policy_refused", seconds=10)
        assert refused["unmapped"]["file"] == str(world.file)
    never(lambda: world.loaded() != [world.first], 0.6, "something was loaded")
    for _ in steps(b, "renamed", world.file):
        pass
    world.in_force(text_of("b", 1))
    world.settle()
