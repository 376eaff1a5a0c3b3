# SPDX-License-Identifier: Apache-2.0
"""Reading HTTP answers by the letter, over a Client. The client itself stays raw bytes."""
import json
import re
import time

CHUNK_LINE = re.compile(rb"[0-9a-f]{1,16}\Z")


class Answer:
    def __init__(self, head):
        self.head = head
        line, *fields = head.split(b"\r\n")
        match = re.match(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\x20-\x7e]*)\Z", line)
        assert match, f"status line {line!r}"
        self.version = "1." + match.group(1).decode()
        self.status = int(match.group(2))
        self.phrase = match.group(3).decode()
        self.fields = []
        for field in fields:
            name, colon, value = field.partition(b":")
            assert colon and re.match(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", name), f"field line {field!r}"
            self.fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        self.body = b""
        self.framing = None
        self.complete = False
        self.interim = []   # the 1xx that came before

    def get(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        try:
            return self.json.get("reason")
        except (ValueError, AttributeError):
            return None

    def __repr__(self):
        return (f"{self.status} {self.phrase!r} {self.fields} {self.body[:300]!r} "
                f"{'complete' if self.complete else 'cut'}")


class Short(Exception):
    pass


def need(client, count, end):
    while len(client.buffer) < count:
        if not client._more(end):
            raise Short


def line(client, end):
    while b"\r\n" not in client.buffer:
        if not client._more(end):
            raise Short
    out, _, rest = bytes(client.buffer).partition(b"\r\n")
    client.buffer = bytearray(rest)
    return out


def take(client, count):
    out = bytes(client.buffer[:count])
    del client.buffer[:count]
    return out


def read_head(client, seconds=None):
    """The next head alone, interim ones included; None when the stream ended cleanly before it."""
    end = time.monotonic() + (seconds or client.timeout)
    while b"\r\n\r\n" not in client.buffer:
        if not client._more(end):
            assert not client.buffer, f"a head was cut: {bytes(client.buffer)!r}"
            return None
    head, _, rest = bytes(client.buffer).partition(b"\r\n\r\n")
    client.buffer = bytearray(rest)
    return Answer(head)


def read_body(client, answer, method="GET", seconds=None):
    """The body of an answer whose head was read; `complete` says whether it ended as its framing says."""
    end = time.monotonic() + (seconds or client.timeout)
    length, coding = answer.get("content-length"), answer.get("transfer-encoding")
    assert length is None or coding is None, f"two framings: {answer!r}"
    assert coding in (None, "chunked"), f"coding {coding}"
    body = bytearray()
    try:
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            answer.framing = "none"
        elif coding:
            answer.framing = "chunked"
            while True:
                size = line(client, end)
                assert CHUNK_LINE.match(size), f"chunk line {size!r}"
                left = int(size, 16)
                if left == 0:
                    break
                while left:
                    need(client, 1, end)
                    piece = take(client, left)
                    body += piece
                    left -= len(piece)
                assert line(client, end) == b"", "a chunk is longer than it said"
            last = line(client, end)
            assert last == b"", f"a trailer: {last!r}"
        elif length is not None:
            answer.framing = "length"
            assert re.match(r"(0|[1-9][0-9]*)\Z", length), f"Content-Length {length!r}"
            left = int(length)
            while left:
                need(client, 1, end)
                piece = take(client, left)
                body += piece
                left -= len(piece)
        else:
            answer.framing = "close"
            while client._more(end):
                body += take(client, len(client.buffer))
            body += take(client, len(client.buffer))
            if client.was_reset:
                raise Short
        answer.complete = True
    except Short:
        body += take(client, len(client.buffer)) if answer.framing != "chunked" else b""
    answer.body = bytes(body)
    return answer


def read_answer(client, method="GET", seconds=None):
    """The next final answer with its body, or a 101; None when the stream ended cleanly before it."""
    interim = []
    while True:
        answer = read_head(client, seconds)
        if answer is None:
            assert not interim, f"only {interim} came"
            return None
        if answer.status >= 200 or answer.status == 101:
            break
        interim.append(answer)
    answer.interim = interim
    return read_body(client, answer, method, seconds)


def get(client, url, *fields, method="GET", body=None, version="1.1", host=None):
    """Sends one request in absolute form."""
    if host is None:
        host = url.partition("://")[2].partition("/")[0].partition("?")[0]
    head = f"{method} {url} HTTP/{version}\r\n"
    head += f"Host: {host}\r\n" if host else ""
    for field in fields:
        head += field + "\r\n"
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n"
    client.send(head.encode("latin-1") + b"\r\n" + (body or b""))
    return client
