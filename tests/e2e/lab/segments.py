# SPDX-License-Identifier: Apache-2.0
"""Segments: the entries of an audit log by docs/audit-format.md alone, from where the last look ended. A test looks at its
log hundreds of times, and the program would read all of it each time."""
import hashlib
import os

COMMIT = b"\xff\xff\x00\x01"
COMMIT_BYTES = 96


class Odd(Exception):
    """This is no log as the page describes it: damaged, cut, or gone."""


def whole_batches(data):
    """[(first index, [entries], end)] of the batches that are complete, each checked against its commit record."""
    out, entries, at = [], [], 0
    while at + 2 <= len(data):
        if data[at:at + 2] != b"\xff\xff":
            end = at + 2 + int.from_bytes(data[at:at + 2], "big")
            if end > len(data):
                break
            entries.append(data[at + 2:end])
            at = end
            continue
        record = data[at:at + COMMIT_BYTES]
        if len(record) < COMMIT_BYTES:
            break
        if record[:4] != COMMIT or hashlib.sha256(record[:80]).digest()[:16] != record[80:] or \
                int.from_bytes(record[4:8], "big") != len(entries):
            raise Odd(f"a commit record at {at}")
        at += COMMIT_BYTES
        out.append((int.from_bytes(record[8:16], "big"), entries, at))
        entries = []
    return out


class Segments:
    def __init__(self, directory):
        self.folder = os.path.join(directory, "segments")
        self.first = None  # of the segment in hand
        self.inode = None
        self.at = 0
        self.next = 0  # index that the next batch must begin with

    def _firsts(self):
        return sorted(int(name[:-4]) for name in os.listdir(self.folder) if name.endswith(".seg"))

    def _open(self, first):
        self.first, self.inode, self.at, self.next = first, None, 0, first

    def _read(self):
        with open(os.path.join(self.folder, f"{self.first:020}.seg"), "rb") as file:
            status = os.fstat(file.fileno())
            if self.inode not in (None, status.st_ino) or status.st_size < self.at:
                raise Odd(f"segment {self.first} is another one, or shorter")
            self.inode = status.st_ino
            file.seek(self.at)
            return file.read()

    def new(self, wanted):
        """The entries from index `wanted` on that were not given out yet."""
        out = []
        try:
            if self.first is None:
                below = [first for first in self._firsts() if first <= wanted]
                if not below:
                    raise Odd("no segment")
                self._open(below[-1])
            while True:
                data = self._read()
                # Listed after the reading: what lies behind the index at which a later segment begins does not count.
                limit = min((first for first in self._firsts() if first > self.first), default=None)
                begin = self.at
                for first, entries, end in whole_batches(data):
                    if limit is not None and self.next >= limit:
                        break
                    if first != self.next:
                        raise Odd(f"a batch begins with {first}, not {self.next}")
                    out += [entry for index, entry in enumerate(entries, first) if index >= wanted]
                    self.next, self.at = first + len(entries), begin + end
                if limit is None:
                    return out
                if self.next != limit:
                    raise Odd(f"segment {self.first} ends with {self.next}, not {limit}")
                self._open(limit)
        except OSError as error:
            raise Odd(str(error)) from None
