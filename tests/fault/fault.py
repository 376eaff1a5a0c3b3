# SPDX-License-Identifier: Apache-2.0
"""The test's side of fault.h: which calls fail, and what a disk holds after a power cut."""
import dataclasses
import mmap
import os
import pathlib
import random
import re
import shutil
import struct

SLOTS, HEAD, JOURNAL = 96, 4096, 48 << 20
SLOT = struct.Struct("<IIiIIIQQ")
EVENT = struct.Struct("<IIIIQQQ")
FOREVER = 0xFFFFFFFF
WRITE, SYNC, TRUNCATE, CREATE, RENAME, UNLINK = range(1, 7)
USED_AT = SLOTS * SLOT.size
CALLS = re.findall(r"^X\((\w+)\)", (pathlib.Path(__file__).parent / "calls_tbl.h").read_text(), re.M)


class Fault:
    """Maps the control file; `wrapper` is what stands before the program."""

    def __init__(self, folder, library):
        self.path = str(folder / "fault")
        with open(self.path, "wb") as out:
            out.truncate(HEAD + JOURNAL)
        os.chmod(self.path, 0o666)
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), HEAD + JOURNAL)
        self.wrapper = ["env", f"LD_PRELOAD={library}", f"SALLYPORT_FAULT={self.path}"]

    def _at(self, call):
        return CALLS.index(call) * SLOT.size

    def set(self, call, error=0, times=1, skip=0, delay_ms=0, of_child=False):
        at = self._at(call)
        self.watch_child(of_child, call)
        struct.pack_into("<I", self.map, at + 4, 0)
        struct.pack_into("<i", self.map, at + 8, error)
        struct.pack_into("<I", self.map, at + 12, delay_ms)
        struct.pack_into("<I", self.map, at, skip)
        struct.pack_into("<I", self.map, at + 4, times)

    def watch_child(self, of_child, *calls):
        """Whose calls are counted and fail: those of the program, or of the processes that it forked."""
        for call in calls or CALLS:
            struct.pack_into("<I", self.map, self._at(call) + 20, int(of_child))

    def short(self, by):
        struct.pack_into("<I", self.map, self._at("write") + 16, by)

    def clear(self, *calls):
        for call in calls or CALLS:
            struct.pack_into("<I", self.map, self._at(call) + 4, 0)

    def calls(self, call):
        return SLOT.unpack_from(self.map, self._at(call))[6]

    def failed(self, call):
        return SLOT.unpack_from(self.map, self._at(call))[7]

    def set_clock(self, seconds):
        """The wall clock stands this much ahead of the machine's, from now on."""
        struct.pack_into("<q", self.map, USED_AT + 16, seconds * 1_000_000_000)

    def go_on(self, seconds):
        """As if this much time had passed. Who sleeps already sleeps on."""
        struct.pack_into("<q", self.map, USED_AT + 16, seconds * 1_000_000_000)
        struct.pack_into("<q", self.map, USED_AT + 24, seconds * 1_000_000_000)

    # ---- the journal ----

    def keep_journal(self):
        struct.pack_into("<I", self.map, USED_AT + 8, 1)

    def position(self):
        return struct.unpack_from("<Q", self.map, USED_AT)[0]

    def events(self):
        at, end = 0, self.position()
        assert end <= JOURNAL, "the journal was too small"
        while at < end:
            ready, kind, length, _, inode, other, where = EVENT.unpack_from(self.map, HEAD + at)
            if not ready:
                return  # its process was killed while it wrote this
            start = HEAD + at + EVENT.size
            yield Event(at, kind, inode, other, where, bytes(self.map[start:start + length]))
            at += (EVENT.size + length + 7) & ~7

    def close(self):
        self.map.close()
        self.file.close()


@dataclasses.dataclass
class Event:
    at: int
    kind: int
    inode: int
    other: int
    where: int
    data: bytes

    def names(self):
        return [n.decode() for n in self.data.split(b"\0")[:2]]


def directories(*roots):
    """{inode: path} of all directories below; they are taken to outlive a power cut."""
    found = {}
    for root in roots:
        for path, _, _ in os.walk(root):
            found[os.stat(path).st_ino] = path
    return found


class Disk:
    """What was written, and what of it was forced to the disk. Nothing is assumed that POSIX does not promise: data
    counts when its file was synced, a name when its directory was."""

    def __init__(self):
        self.data = {}      # inode: bytes on the disk
        self.pending = {}   # inode: [(kind, where, data)]
        self.names = {}     # (directory, name): inode, on the disk
        self.waiting = {}   # directory: [(kind, names, inode or other directory)]
        self.now = {}       # names as the program sees them

    def apply(self, event):
        if event.kind in (WRITE, TRUNCATE):
            self.pending.setdefault(event.inode, []).append((event.kind, event.where, event.data))
        elif event.kind == SYNC:
            self.sync(event.inode)
        else:
            self.name(event)

    def sync(self, inode):
        if inode in self.waiting:
            for change in self.waiting.pop(inode):
                rename(self.names, inode, change)
        self.data[inode] = play(self.data.get(inode, b""), self.pending.pop(inode, []))

    def name(self, event):
        first, second = event.names()
        if event.inode == 0 or first.startswith("/"):
            return
        if event.kind == CREATE and self.now.get((event.inode, first)) == event.where:
            return  # it was there
        if event.kind == RENAME:
            assert event.inode == event.other, "a rename between directories is not told here"
        if event.kind == CREATE:
            # The inode of a file that was removed may be used again.
            self.data.pop(event.where, None)
            self.pending.pop(event.where, None)
        change = (event.kind, first, second, event.where)
        rename(self.now, event.inode, change)
        self.waiting.setdefault(event.inode, []).append(change)

    def after_the_cut(self, dice=None):
        """({(directory, name): inode}, {inode: bytes}): without dice everything that was not forced is lost; with dice,
        of each file and directory some of it had reached the disk, and a last piece in part."""
        names, data = dict(self.names), dict(self.data)
        if dice is None:
            return names, data
        for directory, changes in self.waiting.items():
            for change in changes[:dice.randrange(len(changes) + 1)]:
                rename(names, directory, change)
        for inode, changes in self.pending.items():
            count = dice.randrange(len(changes) + 1)
            kept = list(changes[:count])
            if count < len(changes) and changes[count][0] == WRITE:
                kind, where, what = changes[count]
                torn = what[:dice.randrange(len(what) + 1)]
                kept.append((kind, where, torn if dice.random() < 0.7 else bytes(len(torn))))
            data[inode] = play(data.get(inode, b""), kept)
        return names, data


def play(data, changes):
    out = bytearray(data)
    for kind, where, what in changes:
        if kind == TRUNCATE:
            del out[where:]
            out.extend(bytes(where - len(out)))
        else:
            out.extend(bytes(max(0, where - len(out))))
            out[where:where + len(what)] = what
    return bytes(out)


def rename(names, directory, change):
    kind, first, second, inode = change
    if kind == CREATE:
        names[directory, first] = inode
    elif kind == UNLINK:
        names.pop((directory, first), None)
    elif (directory, first) in names:
        names[directory, second] = names.pop((directory, first))


def lay_out(state, folders, moved, own):
    """Writes a state below new folders; `moved` gives for each old root the new one."""
    names, data = state
    for old in sorted(folders.values()):
        new = place(old, moved)
        if new is not None:
            os.makedirs(new, exist_ok=True)
            own(new, 0o700)
    for (directory, name), inode in names.items():
        new = place(folders.get(directory, ""), moved)
        if new is None:
            continue
        path = os.path.join(new, name)
        with open(path, "wb") as out:
            out.write(data.get(inode, b""))
        own(path, 0o600)


def place(path, moved):
    for old, new in moved.items():
        if path == str(old) or path.startswith(f"{old}/"):
            return str(new) + path[len(str(old)):]
    return None


def cuts(events, count, seed):
    """Positions in the journal: spread at random, and the end."""
    dice = random.Random(seed)
    return sorted(dice.sample(range(len(events)), min(count, len(events) - 1))) + [len(events)]


def remove(*folders):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
