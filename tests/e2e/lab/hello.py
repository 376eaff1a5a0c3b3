# SPDX-License-Identifier: Apache-2.0
"""Hello: a ClientHello made byte by byte, so that every length in it can lie."""
import os
import struct

HANDSHAKE, ALERT, CHANGE_CIPHER, DATA, HEARTBEAT = 22, 21, 20, 23, 24
SNI, GROUPS, SIGALGS, ALPN, PADDING, VERSIONS, MODES, KEY_SHARE = 0, 10, 13, 16, 21, 43, 45, 51
ECH, ESNI, EMS, TICKET = 0xfe0d, 0xffce, 23, 35
GREASE = 0x3a3a

ALERTS = {0: "close_notify", 10: "unexpected_message", 22: "record_overflow", 40: "handshake_failure",
          49: "access_denied", 50: "decode_error", 80: "internal_error", 112: "unrecognized_name"}


def u8(body):
    return struct.pack("!B", len(body)) + body


def u16(body):
    return struct.pack("!H", len(body)) + body


def u24(body):
    return len(body).to_bytes(3, "big") + body


def ext(kind, body, claimed=None):
    return struct.pack("!HH", kind, len(body) if claimed is None else claimed) + body


def sni_ext(name, name_type=0, name_len=None, list_len=None, ext_len=None):
    """server_name with one entry; each length may lie."""
    if isinstance(name, str):
        name = name.encode("utf-8")
    entry = struct.pack("!BH", name_type, len(name) if name_len is None else name_len) + name
    body = struct.pack("!H", len(entry) if list_len is None else list_len) + entry
    return ext(SNI, body, ext_len)


def alpn_ext(*protocols):
    return ext(ALPN, u16(b"".join(u8(p.encode()) for p in protocols)))


def key_share_ext(*shares):
    """(group, bytes) pairs."""
    return ext(KEY_SHARE, u16(b"".join(struct.pack("!H", g) + u16(k) for g, k in shares)))


X25519, X25519MLKEM768 = 0x001d, 0x11ec


def usual_extensions(tls13=True, shares=None):
    """What a plain client of today sends besides its server_name."""
    out = [ext(EMS, b""), ext(GROUPS, u16(struct.pack("!HHH", X25519MLKEM768, X25519, 0x0017))), ext(TICKET, b""),
           ext(SIGALGS, u16(struct.pack("!HHH", 0x0403, 0x0804, 0x0401)))]
    if tls13:
        out.append(ext(VERSIONS, u8(struct.pack("!HH", 0x0304, 0x0303))))
        out.append(ext(MODES, u8(b"\1")))
        out.append(key_share_ext(*(shares or [(X25519, bytes(range(32)))])))
    return out


class Hello:
    """sni: str, bytes, or None. extensions: list of encoded ones, instead of the usual; they follow server_name."""

    def __init__(self, sni=None, tls13=True, extensions=None, sni_last=False, more=(), alpn=None, ech=False,
                 shares=None, pad_to=None, session=None, ciphers=None, compression=b"\0", version=0x0303,
                 no_extensions=False, block_len=None, body_len=None, trailing=b"", kind=1):
        exts = list(usual_extensions(tls13, shares) if extensions is None else extensions)
        if alpn is not None:
            exts.append(alpn_ext(*alpn))
        if ech:
            exts.append(ech_ext())
        exts.extend(more)
        if sni is not None:
            exts.insert(len(exts) if sni_last else 0, sni_ext(sni))
        session = bytes(range(32)) if session is None else session
        ciphers = struct.pack("!HHHH", 0x1301, 0x1302, 0xc02b, 0xc02f) if ciphers is None else ciphers
        head = struct.pack("!H", version) + bytes(32) + u8(session) + u16(ciphers) + u8(compression)

        def build(exts):
            if no_extensions:
                return head + trailing
            block = b"".join(exts)
            return head + struct.pack("!H", len(block) if block_len is None else block_len) + block + trailing
        body = build(exts)
        if pad_to is not None:
            missing = pad_to - 4 - len(body) - 4
            assert missing >= 0, "the hello is longer than that already"
            exts.append(ext(PADDING, bytes(missing)))
            body = build(exts)
            assert len(body) + 4 == pad_to
        claimed = len(body) if body_len is None else body_len
        self.message = bytes([kind]) + claimed.to_bytes(3, "big") + body

    def records(self, *cuts, size=16384, version=0x0301, kind=HANDSHAKE):
        """The message as records: cut at the offsets `cuts`, else into pieces of `size`."""
        if cuts:
            edges = [0, *cuts, len(self.message)]
            pieces = [self.message[a:b] for a, b in zip(edges, edges[1:])]
        else:
            pieces = [self.message[i:i + size] for i in range(0, len(self.message), size)]
        return b"".join(rec(p, kind, version) for p in pieces)

    @property
    def raw(self):
        return self.records()


def rec(body, kind=HANDSHAKE, version=0x0301, claimed=None):
    return struct.pack("!BHH", kind, version, len(body) if claimed is None else claimed) + body


def ech_ext(kind=ECH):
    """An outer ECH extension with random content; nobody but its key's owner can tell it from GREASE."""
    body = b"\0" + struct.pack("!HH", 0x0001, 0x0001) + b"\x2a" + u16(os.urandom(32)) + u16(os.urandom(176))
    return ext(kind, body)


def sslv2(name=b"allowed.test"):
    ciphers = b"\x00\x00\x2f\x00\x00\x35" + b"\x01\x00\x80"
    body = b"\x01" + struct.pack("!HHHH", 0x0301, len(ciphers), 0, 16) + ciphers + bytes(16)
    return struct.pack("!H", 0x8000 | len(body)) + body


def read_alert(data):
    """The name of the first alert record in `data`, or None."""
    if len(data) >= 7 and data[0] == ALERT and data[3:5] == b"\0\2":
        return ALERTS.get(data[6], str(data[6]))
    return None


def read_sni(data):
    """server_name of an honest hello in `data` (records), or None. For origins that tell their visitors apart."""
    message, at = b"", 0
    while at + 5 <= len(data) and data[at] == HANDSHAKE:
        length = int.from_bytes(data[at + 3:at + 5], "big")
        message += data[at + 5:at + 5 + length]
        at += 5 + length
    try:
        at = 4 + 2 + 32
        at += 1 + message[at]
        at += 2 + int.from_bytes(message[at:at + 2], "big")
        at += 1 + message[at]
        end = at + 2 + int.from_bytes(message[at:at + 2], "big")
        at += 2
        while at + 4 <= min(end, len(message)):
            kind, length = struct.unpack_from("!HH", message, at)
            if kind == SNI:
                return message[at + 9:at + 4 + length].decode("ascii")
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return None
