# SPDX-License-Identifier: Apache-2.0
"""Wire: what really left, as the kernel saw it; journal: when each entry of a log was committed."""
import pathlib
import socket
import struct
import threading

from .dns import read_question

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
COMMIT_BYTES = 96


class Wire:
    """Every SYN and DNS query that crosses the loopback of this namespace, with the kernel's time for it."""

    def __init__(self, dns_port):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind(("lo", 0))
        self.dns_port = dns_port
        self.syns = []     # (wall clock in ns, port it went to)
        self.queries = []  # (wall clock in ns, name in lower case)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.sock.settimeout(0.2)
        while True:
            try:
                packet, ancillary, _, address = self.sock.recvmsg(65536, 256)
            except TimeoutError:
                if self.stop.is_set():
                    return
                continue
            if address[2] == socket.PACKET_HOST:
                stamp = next(data for level, kind, data in ancillary if kind == SO_TIMESTAMPNS)
                seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                self._take(seconds * 1_000_000_000 + nanoseconds, packet)

    def _take(self, now, packet):
        ip = packet[(packet[0] & 15) * 4:]
        if len(ip) < 14:
            return
        _, port = struct.unpack(">HH", ip[:4])
        if packet[9] == socket.IPPROTO_TCP and ip[13] & 0x17 == 2:
            self.syns.append((now, port))
        elif packet[9] == socket.IPPROTO_UDP and port == self.dns_port:
            self.queries.append((now, read_question(ip[8:])[0].lower()))

    def close(self):
        """Everything that has left by now has been read, and nothing was lost on the way."""
        self.stop.set()
        self.thread.join()
        _, lost = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert lost == 0, f"the capture has lost {lost} packets"
        self.sock.close()


def journal(directory):
    """{index: wall clock in ns at which the batch of the entry was closed, just before it was written}"""
    out = {}
    paths = sorted((pathlib.Path(directory) / "segments").glob("*.seg"))
    ends = [int(p.stem) for p in paths[1:]] + [None]
    for path, end in zip(paths, ends):
        data, at, index = path.read_bytes(), 0, int(path.stem)
        batch = []
        while at + 2 <= len(data) and (end is None or index < end or not batch):
            length = int.from_bytes(data[at:at + 2], "big")
            if length == 0xffff:
                wall = int.from_bytes(data[at + 48:at + 56], "big")
                out.update(dict.fromkeys(batch, wall))
                batch = []
                at += COMMIT_BYTES
                continue
            if index == end:
                break
            batch.append(index)
            index += 1
            at += 2 + length
    return out
