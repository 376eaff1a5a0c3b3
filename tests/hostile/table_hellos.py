# SPDX-License-Identifier: Apache-2.0
"""T: ClientHellos. (id, CONNECT name, bytes[, code])."""
import os
import struct

from lab.hello import (ALERT, CHANGE_CIPHER, DATA, ESNI, GREASE, HEARTBEAT, SNI, X25519, X25519MLKEM768, Hello, ech_ext,
                       ext, rec, sni_ext, sslv2, usual_extensions)

NAME = "allowed.test"


def hello(**options):
    options.setdefault("sni", NAME)
    return Hello(**options)


def raw_sni(body, claimed=None):
    """A hello whose server_name extension has this body."""
    return Hello(extensions=[ext(SNI, body, claimed), *usual_extensions()]).raw


def named(name, **lies):
    return Hello(extensions=[sni_ext(name, **lies), *usual_extensions()]).raw


def sni_offset(one):
    return one.message.index(NAME.encode())


ONE = hello()
POST_QUANTUM = hello(shares=[(X25519MLKEM768, os.urandom(1216)), (X25519, os.urandom(32))])
TWO_SHARES = hello(shares=[(X25519MLKEM768, os.urandom(1216)), (0x11eb, os.urandom(1249)), (X25519, os.urandom(32))])

ALLOWED = [
    ("T-01-tls13", NAME, ONE.raw),
    ("T-01-tls12", NAME, hello(tls13=False).raw),
    ("T-01-upper", NAME, hello(sni="ALLOWED.TEST").raw),
    ("T-01-mixed", NAME, hello(sni="AlLoWeD.tEsT").raw),
    ("T-01-wild", "a.b.wild.test", hello(sni="a.b.wild.test").raw),
    ("T-01-underscore", "foo_bar.wild.test", hello(sni="foo_bar.wild.test").raw),
    ("T-01-no-session", NAME, hello(session=b"").raw),
    ("T-01-record-0301", NAME, ONE.records(version=0x0301)),
    ("T-01-record-0303", NAME, ONE.records(version=0x0303)),
    ("T-16-two", NAME, ONE.records(100)),
    ("T-16-four", NAME, ONE.records(50, 100, 150)),
    ("T-16-byte-each", NAME, ONE.records(size=1)),
    ("T-16-in-header", NAME, ONE.records(1)),
    ("T-16-in-length", NAME, ONE.records(2, 3)),
    ("T-16-in-name", NAME, ONE.records(sni_offset(ONE) + 4)),
    ("T-16-in-name-length", NAME, ONE.records(sni_offset(ONE) - 1)),
    ("T-16-in-list-length", NAME, ONE.records(sni_offset(ONE) - 4)),
    ("T-16-in-extension-header", NAME, ONE.records(sni_offset(ONE) - 8, sni_offset(ONE) - 6)),
    ("T-20-8k", NAME, hello(pad_to=8192).raw),
    ("T-20-16383", NAME, hello(pad_to=16383).raw),
    ("T-20-16384", NAME, hello(pad_to=16384).raw),
    ("T-21-post-quantum", NAME, POST_QUANTUM.raw),
    ("T-21-two-shares", NAME, TWO_SHARES.raw),
    ("T-21-over-records", NAME, TWO_SHARES.records(size=1000)),
    ("T-24-grease", NAME, hello(more=[ext(GREASE, b""), ext(0xfafa, b"\0")],
                                ciphers=struct.pack("!HHH", 0x1a1a, 0x1301, 0xc02b)).raw),
    ("T-24-sni-last", NAME, hello(sni_last=True).raw),
    ("T-24-hundred", NAME, hello(more=[ext(0x6000 + i, b"x" * 7) for i in range(100)]).raw),
    ("T-24-two-thousand", NAME, hello(more=[ext(0x6000 + i, b"") for i in range(2000)]).raw),
    ("T-37-no-alpn", NAME, hello(alpn=None).raw),
    ("T-37-h2", NAME, hello(alpn=["h2", "http/1.1"]).raw),
    ("T-37-ssh", NAME, hello(alpn=["ssh"]).raw),
    ("T-37-dot", NAME, hello(alpn=["dot"]).raw),
    ("T-37-eight-k", NAME, hello(alpn=["x" * 255] * 32).raw),
    ("F-05-with-data", NAME, ONE.raw + rec(b"y" * 300, kind=DATA)),
]

# Bytes that must give decode_error, built from honest ones by one change each.
MSG = ONE.message


def patched(offset, data):
    out = bytearray(MSG)
    out[offset:offset + len(data)] = data
    return rec(bytes(out))


CIPHERS_AT = 4 + 2 + 32 + 33
REFUSED = [
    ("T-02", NAME, hello(sni="denied.test").raw, "R-SNIX"),
    ("T-02-prefix", NAME, hello(sni="allowed.test.attacker.test").raw, "R-SNIX"),
    ("T-02-below", NAME, hello(sni="x.allowed.test").raw, "R-SNIX"),
    ("T-02-other-records", NAME, hello(sni="denied.test").records(size=9), "R-SNIX"),
    ("T-03", "a.wild.test", hello(sni="b.wild.test").raw, "R-SNIX"),
    ("T-03-apex", "a.wild.test", hello(sni="wild.test").raw, "R-SNIX"),
    ("T-04", NAME, hello(sni=None).raw, "R-SNI0"),
    ("T-04-no-block", NAME, hello(sni=None, no_extensions=True).raw, "R-SNI0"),
    ("T-04-empty-block", NAME, hello(sni=None, extensions=[]).raw, "R-SNI0"),
    ("T-05-extension-0", NAME, raw_sni(b""), "R-SNIB"),
    ("T-05-list-0", NAME, raw_sni(b"\0\0"), "R-SNIB"),
    ("T-05-name-0", NAME, raw_sni(b"\0\3\0\0\0"), "R-SNIB"),
    ("T-07-two-sni", NAME, hello(more=[sni_ext("denied.test")]).raw, "R-SNIB"),
    ("T-07-two-same", NAME, hello(more=[sni_ext(NAME)]).raw, "R-SNIB"),
    ("T-07-two-other", NAME, hello(more=[ext(0x6000, b"a"), ext(0x6000, b"b")]).raw, "R-SNIB"),
    ("T-07-two-grease", NAME, hello(more=[ext(GREASE, b""), ext(GREASE, b"")]).raw, "R-SNIB"),
    ("T-08-type-1-first", NAME, raw_sni(struct.pack("!H", 20) + b"\1\0\2ab" + b"\0\0\x0c" + NAME.encode()), "R-SNIB"),
    ("T-08-type-1-only", NAME, named(NAME, name_type=1), "R-SNIB"),
    ("T-08-type-255", NAME, named(NAME, name_type=255), "R-SNIB"),
    ("T-08-two-names", NAME, raw_sni(struct.pack("!H", 30) + (b"\0\0\x0c" + NAME.encode()) * 2), "R-SNIB"),
    ("T-09-name-len", NAME, named(b"abcd", name_len=0xffff), "R-SNIB"),
    ("T-09-name-len-plus-1", NAME, named(NAME, name_len=13), "R-SNIB"),
    ("T-09-name-len-minus-1", NAME, named(NAME, name_len=11), "R-SNIB"),
    ("T-09-list-len", NAME, named(NAME, list_len=0xffff), "R-SNIB"),
    ("T-09-list-len-minus-1", NAME, named(NAME, list_len=14), "R-SNIB"),
    ("T-09-list-len-plus-1", NAME, named(NAME, list_len=16), "R-SNIB"),
    ("T-09-ext-len", NAME, Hello(extensions=[*usual_extensions(), sni_ext(NAME, ext_len=200)]).raw, "R-SNIB"),
    ("T-09-ext-len-minus-1", NAME, Hello(extensions=[*usual_extensions(), sni_ext(NAME, ext_len=16)]).raw, "R-SNIB"),
    ("T-09-block-past", NAME, hello(block_len=0xffff).raw, "R-SNIB"),
    ("T-09-block-short", NAME, hello(block_len=10).raw, "R-SNIB"),
    ("T-09-block-1-short", NAME, hello(trailing=b"").raw[:-1] + b"", "R-HTMO"),
    ("T-09-trailing", NAME, hello(trailing=b"\0").raw, "R-SNIB"),
    ("T-09-trailing-many", NAME, hello(trailing=bytes(100)).raw, "R-SNIB"),
    ("T-09-length-short", NAME, hello(body_len=len(MSG) - 5).raw, "R-SNIB"),
    ("T-09-length-past", NAME, hello(body_len=len(MSG) + 1).raw, "R-HTMO"),
    ("T-09-session-33", NAME, hello(session=bytes(33)).raw, "R-SNIB"),
    ("T-09-session-255", NAME, patched(4 + 34, b"\xff"), "R-SNIB"),
    ("T-09-odd-ciphers", NAME, hello(ciphers=b"\x13\x01\x13").raw, "R-SNIB"),
    ("T-09-no-ciphers", NAME, hello(ciphers=b"").raw, "R-SNIB"),
    ("T-09-ciphers-past", NAME, patched(CIPHERS_AT, b"\xff\xfe"), "R-SNIB"),
    ("T-09-no-compression", NAME, hello(compression=b"").raw, "R-SNIB"),
    ("T-09-one-byte-ext", NAME, Hello(extensions=[sni_ext(NAME), b"\0"]).raw, "R-SNIB"),
    ("T-09-three-byte-ext", NAME, Hello(extensions=[sni_ext(NAME), b"\0\1\0"]).raw, "R-SNIB"),
    ("T-09-empty-message", NAME, rec(b"\1\0\0\0"), "R-SNIB"),
    ("T-09-short-message", NAME, rec(b"\1\0\0\2\3\3"), "R-SNIB"),
    *[(f"T-10-{i}", NAME, named(n), "R-SNIB")
      for i, n in enumerate(("203.0.113.9", "[::1]", "127.1", "2130706433", "::1", "0x7f.1", "1.2.3.4."))],
    *[(f"T-11-{i}", NAME, named(n), "R-SNIB")
      for i, n in enumerate(("allowed.test.", ".allowed.test", "allowed..test", "*.wild.test", "-allowed.test",
                             "allowed-.test", "."))],
    *[(f"T-12-{i}", NAME, named(n), "R-SNIB")
      for i, n in enumerate((b"allowed.test\0.x", b"allowed.test\0", b"allowed .test", b" allowed.test",
                             b"allowed.test\nHost: denied.test", b"\x1b[31mallowed.test", "bücher.test".encode(),
                             b"allowed%2etest", b"allowed.test:443", b"u@allowed.test", b"\xff\xfe", b"allowed\ttest"))],
    ("T-13-label-64", NAME, named(b"a" * 64 + b".test"), "R-SNIB"),
    ("T-13-name-254", NAME, named((b"a" * 49 + b".") * 5 + b"test"), "R-SNIB"),
    ("T-13-name-16k", NAME, named(b"a" * 16384), "R-HBIG"),
    ("T-13-name-12k", NAME, named(b"a" * 12000), "R-SNIB"),
    ("T-17-second-sni", NAME, hello(more=[ext(0x6000, bytes(300)), sni_ext("denied.test")]).records(200), "R-SNIB"),
    ("T-18-empty-between", NAME, rec(MSG[:50]) + rec(b"") + rec(MSG[50:]), "R-SNIB"),
    ("T-18-empty-first", NAME, rec(b"") + rec(MSG), "R-SNIB"),
    ("T-18-alert-between", NAME, rec(MSG[:50]) + rec(b"\1\0", kind=ALERT) + rec(MSG[50:]), "R-SNIB"),
    ("T-18-ccs-between", NAME, rec(MSG[:50]) + rec(b"\1", kind=CHANGE_CIPHER) + rec(MSG[50:]), "R-SNIB"),
    ("T-18-data-between", NAME, rec(MSG[:50]) + rec(b"abc", kind=DATA) + rec(MSG[50:]), "R-SNIB"),
    ("T-19-record-16385", NAME, rec(MSG[:100], claimed=16385), "R-HBIG"),
    ("T-19-record-ffff", NAME, rec(MSG[:100], claimed=0xffff), "R-HBIG"),
    ("T-19-length-ffffff", NAME, rec(b"\1\xff\xff\xff" + MSG[4:]), "R-HBIG"),
    ("T-19-length-16385", NAME, rec(b"\1\0\x40\x01" + MSG[4:]), "R-HBIG"),
    ("T-20-16385", NAME, hello(pad_to=16385).raw, "R-HBIG"),
    ("T-20-20000", NAME, hello(pad_to=20000).raw, "R-HBIG"),
    ("T-20-65000", NAME, hello(pad_to=65000).raw, "R-HBIG"),
    ("T-26-two-in-record", NAME, rec(MSG + hello(sni="denied.test").message), "R-SNIB"),
    ("T-26-two-same-in-record", NAME, rec(MSG + MSG), "R-SNIB"),
    ("T-26-two-over-records", NAME, rec(MSG[:90]) + rec(MSG[90:] + hello(sni="denied.test").message), "R-SNIB"),
    ("T-26-server-hello", NAME, rec(b"\2" + MSG[1:]), "R-SNIB"),
    ("T-26-hello-request", NAME, rec(b"\0\0\0\0"), "R-SNIB"),
    ("T-26-finished", NAME, rec(b"\x14\0\0\x0c" + bytes(12)), "R-SNIB"),
    ("T-37-alpn-long", NAME, hello(alpn=["x" * 255] * 250).raw, "R-HBIG"),
]

# (id, bytes, code, half-close after them)
NON_TLS = [
    ("T-23-sslv2", sslv2(), "R-NTLS", False),
    ("T-25-alert", rec(b"\2\x28", kind=ALERT) + ONE.raw, "R-NTLS", False),
    ("T-25-ccs", rec(b"\1", kind=CHANGE_CIPHER) + ONE.raw, "R-NTLS", False),
    ("T-25-data", rec(b"abc", kind=DATA) + ONE.raw, "R-NTLS", False),
    ("T-25-heartbeat", rec(b"\1\0\3abc", kind=HEARTBEAT) + ONE.raw, "R-NTLS", False),
    ("T-27-ssh", b"SSH-2.0-OpenSSH_9.2\r\n", "R-NTLS", False),
    ("T-27-http", b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "R-NTLS", False),
    ("T-27-h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "R-NTLS", False),
    ("T-27-smtp", b"EHLO x\r\n", "R-NTLS", False),
    ("T-27-socks", b"\5\1\0", "R-NTLS", False),
    ("T-27-nested-connect", b"CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test\r\n\r\n", "R-NTLS", False),
    ("T-27-dtls", b"\x16\xfe\xfd" + bytes(8) + b"\0\x40" + bytes(64), "R-NTLS", False),
    ("T-27-random", b"\x93" + os.urandom(63), "R-NTLS", False),
    ("T-27-nul", bytes(64), "R-NTLS", False),
    ("T-27-one-letter", b"x", "R-NTLS", False),
    ("T-27-16-fin", b"\x16", "R-NTLS", True),
    ("T-27-16-then-other", b"\x16xxxxxxx", "R-NTLS", False),
]

OPTIONAL = [
    ("T-04-optional", hello(sni=None).raw, "ALLOW"),
    ("T-04-optional-no-block", hello(sni=None, no_extensions=True).raw, "ALLOW"),
    ("T-04-optional-right", ONE.raw, "ALLOW"),
    ("T-04-optional-other", hello(sni="denied.test").raw, "R-SNIX"),
    ("T-04-optional-malformed", named("127.0.0.1"), "R-SNIB"),
]

ECH = [
    ("T-34-refused", "pinned", hello(ech=True).raw, "R-ECH"),
    ("T-34-esni", "pinned", hello(more=[ech_ext(ESNI)]).raw, "R-ECH"),
    # Numbers that drafts of it had, which a server may still know.
    *[(f"T-34-draft-{kind:04x}", "pinned", hello(more=[ech_ext(kind)]).raw, "R-ECH")
      for kind in (0xff02, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c)],
    ("T-34-draft-outer", "outer", hello(more=[ech_ext(0xfe09)]).raw, "ALLOW"),
    ("T-34-no-name", "pinned", hello(sni=None, ech=True).raw, "R-ECH"),
    ("T-34-other-name", "pinned", hello(sni="denied.test", ech=True).raw, "R-ECH"),
    ("T-34-renegotiation-info", "pinned", hello(more=[ext(0xff01, b"\0")]).raw, "ALLOW"),
    ("T-34-refused-records", "pinned", hello(ech=True).records(size=40), "R-ECH"),
    ("T-34-outer", "outer", hello(ech=True).raw, "ALLOW"),
    ("T-34-outer-other", "outer", hello(sni="denied.test", ech=True).raw, "R-SNIX"),
    ("T-34-outer-none", "outer", hello(sni=None, ech=True).raw, "R-SNI0"),
]

PLAIN = [
    ("T-27-ssh-allowed", b"SSH-2.0-OpenSSH_9.2\r\n", "ALLOW"),
    ("T-27-one-byte-allowed", b"x", "ALLOW"),
    ("T-27-tls-allowed", ONE.raw, "ALLOW"),
    ("T-27-tls-other", hello(sni="denied.test").raw, "R-SNIX"),
    ("T-27-tls-malformed", hello(trailing=b"\0").raw, "R-SNIB"),
]
