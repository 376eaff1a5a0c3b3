# SPDX-License-Identifier: Apache-2.0
"""A crowd in a process of its own, since both ends of nine thousand tunnels do not fit into one process's descriptors.

crowd.py origin ADDRESS          prints its port; accepts and keeps everything
crowd.py client HOST PORT NAME ORIGIN_PORT COUNT WIDTH   opens COUNT tunnels, prints how many are open, and keeps them

Both answer one line on stdin with one line on stdout: "count" with the number of connections that are open and have
seen what they should see; end of stdin ends the process."""
import errno
import os
import resource
import selectors
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab.hello import Hello  # noqa: E402

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(*words):
    print(*words, flush=True)


def origin(address):
    selector = selectors.DefaultSelector()
    listener = socket.create_server((address, 0), backlog=4096)
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ, "listener")
    selector.register(sys.stdin, selectors.EVENT_READ, "stdin")
    heard = 0
    say(listener.getsockname()[1])
    while True:
        for key, _ in selector.select():
            if key.data == "stdin":
                if not sys.stdin.readline():
                    return
                say(heard)
            elif key.data == "listener":
                for _ in range(64):
                    try:
                        conn, _ = listener.accept()
                    except BlockingIOError:
                        break
                    conn.setblocking(False)
                    selector.register(conn, selectors.EVENT_READ, [0])
            else:
                data = key.fileobj.recv(4096)
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    heard -= 1 if key.data[0] else 0
                    continue
                if not key.data[0]:
                    key.data[0] = 1
                    heard += 1


def client(host, port, name, origin_port, count, width):
    selector = selectors.DefaultSelector()
    head = f"CONNECT {name}:{origin_port} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    hello = Hello(sni=name).raw
    started = done = 0
    failed = []
    waiting = set()
    while done + len(failed) < count:
        while started < count and len(waiting) < width:
            s = socket.socket()
            s.setblocking(False)
            code = s.connect_ex((host, port))
            if code not in (0, errno.EINPROGRESS):
                failed.append(os.strerror(code))
            else:
                waiting.add(s)
                selector.register(s, selectors.EVENT_WRITE)
            started += 1
        for key, events in selector.select(20) or sys.exit("nothing happens; " + str(failed[:3])):
            s = key.fileobj
            try:
                if events & selectors.EVENT_WRITE:
                    s.send(head)
                    selector.modify(s, selectors.EVENT_READ)
                    continue
                data = s.recv(4096)
                if not data.startswith(b"HTTP/1.1 200"):
                    raise OSError(data[:120].decode("latin-1") or "closed")
                s.send(hello)
                done += 1
                selector.unregister(s)
                waiting.discard(s)
                kept.append(s)
            except OSError as error:
                failed.append(str(error))
                selector.unregister(s)
                waiting.discard(s)
                s.close()
    say(done, *[f.split("\r")[0] for f in failed[:3]])
    while sys.stdin.readline():
        say(done)


kept = []
if __name__ == "__main__":
    if sys.argv[1] == "origin":
        origin(sys.argv[2])
    else:
        client(sys.argv[2], int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:8]))
