# SPDX-License-Identifier: Apache-2.0
"""Cut: a chaos lane between two parties. It passes bytes, can be paused, passes N bytes and then stops, or resets."""
import selectors
import socket
import struct
import threading

LINGER_RESET = struct.pack("ii", 1, 0)


class Cut:
    """Listens on loopback and carries one or more connections to `target` (host, port)."""

    def __init__(self, target, address="127.0.0.1"):
        self.target = target
        self._listener = socket.create_server((address, 0))
        self.address, self.port = self._listener.getsockname()[:2]
        self.passed = {"up": 0, "down": 0}
        self._budget = {"up": None, "down": None}
        self._change = threading.Condition()
        self._pairs = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True, name="cut").start()

    def pause(self, way=None):
        with self._change:
            for w in ([way] if way else ["up", "down"]):
                self._budget[w] = 0

    def pass_bytes(self, count, way):
        """From now on `count` bytes pass that way, then the lane is paused."""
        with self._change:
            self._budget[way] = count
            self._change.notify_all()

    def resume(self):
        with self._change:
            self._budget = {"up": None, "down": None}
            self._change.notify_all()

    def reset(self, side):
        """Resets "client" or "target" of every connection; the other side stays as it is."""
        for pair in list(self._pairs):
            one = pair[0] if side == "client" else pair[1]
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            one.close()

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            target = socket.create_connection(self.target)
            self._pairs.append((client, target))
            for a, b, way in ((client, target, "up"), (target, client, "down")):
                threading.Thread(target=self._carry, args=(a, b, way), daemon=True, name="cut-" + way).start()

    def _allowed(self, way, wanted):
        with self._change:
            while self._budget[way] == 0 and not self._closed:
                self._change.wait()
            budget = self._budget[way]
            return wanted if budget is None else min(wanted, budget)

    def _carry(self, source, sink, way):
        selector = selectors.DefaultSelector()
        try:
            selector.register(source, selectors.EVENT_READ)
            while not self._closed:
                room = self._allowed(way, 65536)
                selector.select()
                data = source.recv(room)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
                with self._change:
                    self.passed[way] += len(data)
                    if self._budget[way] is not None:
                        self._budget[way] = max(0, self._budget[way] - len(data))
        except (OSError, ValueError):
            pass

    def close(self):
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._listener.close()
        for pair in self._pairs:
            for s in pair:
                s.close()
