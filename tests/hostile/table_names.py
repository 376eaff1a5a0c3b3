# SPDX-License-Identifier: Apache-2.0
"""H: how a host can be written. One row for each concrete spelling."""
from lab.hello import Hello
from rows import Row

ONLY_CONNECT = ("connect",)
CLEAN = b"allowed.test:<port>"
LONG = (b"a" * 63 + b".") * 3


def series(prefix, expect, *targets, **options):
    """Rows `prefix-1` … for spellings that share their outcome."""
    return [Row(f"{prefix}-{i}", t if isinstance(t, bytes) else t.encode(), expect, **options)
            for i, t in enumerate(targets, 1)]


def head(*lines):
    return b"\r\n".join(lines) + b"\r\n\r\n"


def connect(target, *lines, version=b"1.1"):
    return head(b"CONNECT " + target + b" HTTP/" + version, *lines)


def control_bytes():
    """H-08: each byte 0x01 to 0x20 and 0x7f in the name, at its start, in its middle, at its end.

    Space, CR and LF also break the request line itself; there the head is what is malformed. Host is clean, so that
    nothing but the target is wrong."""
    out = []
    for byte in [*range(0x01, 0x21), 0x7f]:
        for place, target in (("start", bytes([byte]) + b"allowed.test"), ("middle", b"allo%cwed.test" % byte),
                              ("end", b"allowed.test%c" % byte)):
            syntax = byte in (0x0a, 0x0d, 0x20)
            out.append(Row(f"H-08-{byte:02x}-{place}", target + b":<port>", "R-SYN" if syntax else "R-TGT", host=CLEAN,
                           why="breaks the request line" if syntax else ""))
    return out


def high_bytes():
    return [Row(f"H-21-byte-{byte:02x}", b"allowed%c.test:<port>" % byte, "R-TGT", host=CLEAN)
            for byte in (0x80, 0x85, 0x9f, 0xa0, 0xad, 0xc0, 0xe0, 0xf8, 0xfe, 0xff)]


def punctuation():
    """Every printable ASCII byte that no host name has, inside a name that is otherwise allowed."""
    return [Row(f"H-16-byte-{byte:02x}", b"al%clowed.test:<port>" % byte, "R-TGT", host=CLEAN)
            for byte in range(0x21, 0x7f)
            if not (chr(byte).isalnum() or chr(byte) in "-_.")]


ROWS = [
    Row("H-01-dot", b"allowed.test.:<port>", "ALLOW", canonical="allowed.test"),
    Row("H-01-case", b"ALLOWED.Test:<port>", "ALLOW", canonical="allowed.test"),
    Row("H-01-case-dot", b"AlLoWeD.tEsT.:<port>", "ALLOW", canonical="allowed.test"),
    Row("H-01-host-dot", b"allowed.test:<port>", "ALLOW", canonical="allowed.test", host=b"ALLOWED.test.:<port>"),
    *series("H-03", "R-TGT", "allowed.test..:<port>", ".allowed.test:<port>", "allowed..test:<port>", ".:<port>",
            "..:<port>", "...:<port>", "a..wild.test:<port>"),
    *series("H-04", "R-TGT", "[denied.test]:443", "[[denied.test]]:443", "[allowed.test]:<port>", "[[::1]]:<port>",
            "[]:<port>", "[:<port>", "]:<port>", "allowed.test]:<port>", "[allowed.test:<port>", "[::1:<port>",
            "[::1]x:<port>", "x[::1]:<port>", "[::1%lo]:<port>", "[::1%25lo]:<port>", "[v1.x]:<port>"),
    Row("H-06-wild", b"attacker.test\0.wild.test:443", "R-TGT", host=CLEAN),
    Row("H-06-end", b"allowed.test\0:<port>", "R-TGT", host=CLEAN),
    Row("H-06-start", b"\0allowed.test:<port>", "R-TGT", host=CLEAN),
    Row("H-06-port", b"allowed.test:<port>\0", "R-TGT", host=CLEAN),
    *series("H-07", "R-TGT", "attacker.test%00.wild.test:<port>", "allowed%2etest:<port>", "evil%2Ewild.test:<port>",
            "%61llowed.test:<port>", "allowed.test%:<port>", "allowed.test%2:<port>", "allowed.test%zz:<port>",
            "allowed.test%0d%0a:<port>", "allowed.test%20:<port>", "allowed.test%3a<port>:<port>"),
    *control_bytes(),
    *high_bytes(),
    *punctuation(),
    Row("H-09-inject", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"CONNECT allowed.test:<port>\r\nX-Y: z HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        also=("R-VER",), why="the first line ends without a version, which is HTTP/0.9"),
    Row("H-09-cr", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"CONNECT allowed.test:<port>\rX HTTP/1.1\r\nHost: allowed.test\r\n\r\n"),
    Row("H-09-lf", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-VER",),
        request=b"CONNECT allowed.test:<port>\nX HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        why="what a bare LF ends may be read as a line without a version"),
    Row("H-09-lf-lines", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"CONNECT allowed.test:<port> HTTP/1.1\nHost: allowed.test:<port>\n\n"),
    Row("H-10-two-names", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test denied.test:443", b"Host: allowed.test")),
    Row("H-10-two-targets", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port> denied.test:443", b"Host: allowed.test")),
    Row("H-10-two-spaces", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"CONNECT  allowed.test:<port> HTTP/1.1\r\nHost: allowed.test\r\n\r\n"),
    Row("H-10-space-after", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"CONNECT allowed.test:<port>  HTTP/1.1\r\nHost: allowed.test\r\n\r\n"),
    Row("H-10-tab", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-VER", "R-TGT"),
        request=b"CONNECT\tallowed.test:<port>\tHTTP/1.1\r\nHost: allowed.test\r\n\r\n", why="a line of one word"),
    *series("H-11", "R-TGT", "allowed.test@denied.test:443", "denied.test:443@allowed.test:<port>",
            "u:p@allowed.test:<port>", "@allowed.test:<port>", "a@b@allowed.test:<port>", "allowed.test@:<port>"),
    *series("H-12", "R-TGT", "allowed.test/../denied.test:443", "allowed.test:<port>/", "allowed.test:<port>/x",
            "allowed.test/:<port>", "/allowed.test:<port>"),
    *series("H-13", "R-TGT", "denied.test#.wild.test:443", "denied.test?.wild.test:443", "allowed.test:<port>?x=y",
            "allowed.test:<port>#x", "allowed.test#:<port>"),
    *series("H-14", "R-TGT", "denied.test\\.wild.test:443", "denied.test\\@allowed.test:<port>",
            "allowed.test\\:<port>", "\\allowed.test:<port>"),
    *series("H-16", "R-TGT", "*.wild.test:443", "*:443", "a*b.wild.test:<port>", '"allowed.test":<port>',
            "allowed.test;x:<port>", "`id`.wild.test:<port>", "$x.wild.test:<port>", "{a}.wild.test:<port>",
            "$(id).wild.test:<port>", "a|b.wild.test:<port>", "a&b.wild.test:<port>", "'allowed.test':<port>"),
    *series("H-17", "R-TGT", "https://allowed.test:<port>", "http://allowed.test:<port>", "/", "*", "allowed.test/",
            "//allowed.test:<port>", doors=ONLY_CONNECT, host=CLEAN),
    *series("H-18", "R-TGT", ":<port>", ":", "::", ":443:", host=CLEAN),
    *[Row(f"H-20-{n}", t + b":<port>", "ALLOW", canonical=t.decode())
      for n, t in (("under", b"foo_bar.wild.test"), ("dmarc", b"_dmarc.wild.test"), ("r3", b"r3---sn.wild.test"),
                   ("digits", b"123.wild.test"), ("deep", b"a.b.c.d.e.f.wild.test"), ("digit-end", b"a1.wild.test"),
                   ("63", b"a" * 63 + b".wild.test"), ("under-end", b"x_.wild.test"))],
    *series("H-20-edge", "R-TGT", "-a.wild.test:<port>", "a-.wild.test:<port>", "-.wild.test:<port>",
            "--.wild.test:<port>", "a.-b.wild.test:<port>", "a.b-.wild.test:<port>", "allowed.test-:<port>"),
    *series("H-20-long", "R-TGT", "a" * 64 + ".wild.test:<port>", ("a" * 63 + ".") * 4 + "wild.test:<port>",
            "a." * 123 + "wild.test:<port>", "a" * 300 + ":<port>"),
    Row("H-20-253", LONG + b"a" * 51 + b".wild.test:<port>", "ALLOW",
        canonical=(LONG + b"a" * 51).decode() + ".wild.test"),
    Row("H-20-253-dot", LONG + b"a" * 51 + b".wild.test.:<port>", "ALLOW",
        canonical=(LONG + b"a" * 51).decode() + ".wild.test"),
    Row("H-20-253-two-dots", LONG + b"a" * 51 + b".wild.test..:<port>", "R-TGT"),
    Row("H-20-hyphens", b"ab--cd.wild.test:<port>", "ALLOW", canonical="ab--cd.wild.test"),
    Row("H-20-254", LONG + b"a" * 52 + b".wild.test:<port>", "R-TGT"),
    *series("H-21", "R-TGT", "bücher.wild.test:<port>".encode(), "bücher.wild.test:<port>".encode("latin-1"),
            b"\xc0\xae.wild.test:<port>", b"\xff.wild.test:<port>", b"allowed\xc0\xaetest:<port>", host=CLEAN),
    *series("H-22", "R-TGT", "denied。test:443", "allowed．test:<port>", "allowed｡test:<port>", "ⓐllowed.test:<port>",
            "ａllowed.test:<port>", "allow\u00aded.test:<port>", "allow\u200ded.test:<port>",
            "allow\u200bed.test:<port>", "straße.wild.test:<port>", "⒈wild.test:<port>", "℀.wild.test:<port>",
            "\ufeffallowed.test:<port>", "\u202eallowed.test:<port>", host=CLEAN),
    Row("H-23-wild", b"xn--bcher-kva.wild.test:<port>", "ALLOW", canonical="xn--bcher-kva.wild.test"),
    Row("H-23-bad-wild", b"xn--99999999999999.wild.test:<port>", "ALLOW", canonical="xn--99999999999999.wild.test",
        why="an A-label is opaque ASCII, never decoded"),
    Row("H-23-upper", b"XN--BCHER-KVA.wild.test:<port>", "ALLOW", canonical="xn--bcher-kva.wild.test"),
    Row("H-23-cyrillic", b"xn--llowed-6bg.test:<port>", "R-HOST"),
    Row("H-23-empty", b"xn--.wild.test:<port>", "R-TGT", why="ends with a hyphen"),
    Row("H-23-raw", b"xn--a\x80.wild.test:<port>", "R-TGT", host=CLEAN),
    Row("H-23-other", b"xn--bcher-kva.test:<port>", "R-HOST"),
    *series("H-24", "R-TGT", "allowed.test.1:<port>", "foo.0x7f:<port>", "1.2.3:<port>", "1.2.3.4.5:<port>",
            "wild.test.08:<port>", "0x:<port>", "allowed.0x:<port>", "allowed.test.1.:<port>", "allowed.0X7F:<port>",
            "1:<port>", "a.99999999999:<port>"),
    *series("H-25", "R-HOST", "localhost:<port>", "x.localhost:<port>", "localhost.localdomain:<port>",
            "ip6-loopback:<port>", "metadata:<port>", "instance-data:<port>", "metadata.google.internal:<port>",
            "host.docker.internal:<port>", "x.local:<port>", "x.internal:<port>", "x.onion:<port>",
            "home.arpa:<port>", "LOCALHOST:<port>", "localhost.:<port>"),
    *series("H-26", "R-HOST", "intranet:<port>", "com:<port>", "test:<port>", "wild:<port>", "allowed:<port>"),
    Row("H-29-other", b"allowed.test:<port>", "R-MIS", host=b"denied.test:<port>", doors=ONLY_CONNECT),
    Row("P-08-host-22", b"allowed.test:<port>", "R-MIS", host=b"allowed.test:22", doors=ONLY_CONNECT),
    Row("H-29-port", b"allowed.test:<port>", "R-MIS", host=b"allowed.test:81", doors=ONLY_CONNECT),
    Row("H-30-two-same", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test:<port>", b"Host: allowed.test:<port>")),
    Row("H-30-two-other", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test:<port>", b"Host: denied.test")),
    Row("H-30-two-empty", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host:", b"Host: allowed.test:<port>")),
    Row("H-30-two-in-1.0", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"HOST: allowed.test", version=b"1.0")),
    Row("H-30-none", b"", "R-SYN", doors=ONLY_CONNECT, request=connect(b"allowed.test:<port>", b"X: y")),
    Row("H-30-none-1.0", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"X: y", version=b"1.0")),
    Row("H-30-bare-1.0", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", version=b"1.0")),
    Row("H-30-empty", b"", "R-SYN", doors=ONLY_CONNECT, request=connect(b"allowed.test:<port>", b"Host:"),
        also=("R-TGT", "R-MIS"), why="RFC 9112 3.2: a Host that is not a host is a malformed request"),
    Row("H-30-user", b"", "R-SYN", doors=ONLY_CONNECT, request=connect(b"allowed.test:<port>", b"Host: u@allowed.test"),
        also=("R-TGT",)),
    Row("H-30-path", b"", "R-SYN", doors=ONLY_CONNECT, request=connect(b"allowed.test:<port>", b"Host: allowed.test/x"),
        also=("R-TGT",)),
    Row("H-30-space", b"", "R-SYN", doors=ONLY_CONNECT, request=connect(b"allowed.test:<port>", b"Host : allowed.test")),
    Row("H-30-fold", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b" x")),
    Row("H-30-fold-first", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b" Host: allowed.test")),
    *[Row(f"H-30-value-{i}", b"allowed.test:<port>", "R-SYN", host=value, doors=ONLY_CONNECT, also=("R-TGT", "R-MIS"),
          why="a Host that is not a host is a malformed request")
      for i, value in enumerate((b"allowed.test:", b"allowed.test:0<port>", b"allowed.test:+<port>", b"allowed.test..",
                                 b"[allowed.test]:<port>", b"allowed%2etest", b"allowed.test#x", b"allowed.test?x",
                                 b"allowed.test\\", b"*.test", b"allowed.test:<port>:<port>", b"\xffallowed.test",
                                 b"allowed.test:4294967739", b"[::1", b"2130706433"), 1)],
    Row("H-30-list", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-TGT",),
        request=connect(b"allowed.test:<port>", b"Host: allowed.test, denied.test")),
    Row("H-30-under", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"Transfer_Encoding: chunked")),
    Row("H-30-no-colon", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"nonsense")),
    Row("H-30-empty-name", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b": value")),
    Row("H-30-nul-value", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"X: a\0b")),
    Row("H-30-content", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"Content-Length: 5")),
    Row("H-30-chunked", b"", "R-SYN", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"Transfer-Encoding: chunked")),
    Row("H-31-other", b"allowed.test:<port>", "R-MIS", host=b"denied.test:443", doors=ONLY_CONNECT),
    Row("H-31-no-port", b"allowed.test:<port>", "ALLOW", canonical="allowed.test", host=b"allowed.test",
        doors=ONLY_CONNECT),
    Row("H-31-allowed-other", b"allowed.test:<port>", "R-MIS", host=b"a.wild.test:<port>", doors=ONLY_CONNECT),
    Row("H-31-literal", b"allowed.test:<port>", "R-MIS", host=b"127.0.0.1:<port>", doors=ONLY_CONNECT),
    *[Row(f"H-32-{name}", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
          request=connect(b"allowed.test:<port>", b"Host: allowed.test:<port>", name.encode() + b": " + value))
      for name, value in (("X-Forwarded-Host", b"denied.test"), ("Forwarded", b"host=denied.test"),
                          ("X-Original-URL", b"http://denied.test/"), ("X-Rewrite-URL", b"/x"),
                          ("X-Forwarded-For", b"10.0.0.1"), ("X-Env", b"env-b"),
                          ("X-Upstream-Https-Proxy", b"http://denied.test:1"),
                          ("Proxy-Authorization", b"Basic dTpw"), ("Via", b"1.1 approved"))],
    *[Row(f"H-32-denied-{name}", b"", "R-HOST", doors=ONLY_CONNECT,
          request=connect(b"denied.test:443", b"Host: denied.test:443", name.encode() + b": " + value))
      for name, value in (("X-Forwarded-Host", b"allowed.test"), ("Forwarded", b"host=allowed.test"),
                          ("Via", b"1.1 approved"), ("X-Env", b"env-b"))],
    *series("H-34", "R-TGT", "denied.test:443.wild.test:443", "allowed.test:443:denied.test:443",
            "allowed.test:<port>:<port>"),
    *series("W-01", "R-HOST", "evilwild.test:<port>", "wild.test.attacker.test:<port>", "xwild.test:<port>",
            "wild.test:<port>", "allowed.test.attacker.test:<port>", "notallowed.test:<port>", "x.allowed.test:<port>",
            "wildxtest:<port>", "a.wildxtest:<port>", "allowed-test:<port>"),
    Row("H-27-double-slash", b"", "404", doors=ONLY_CONNECT, request=head(b"GET //allowed.test/ HTTP/1.1", b"Host: x")),
    Row("H-27-why-x", b"", "404", doors=ONLY_CONNECT, request=head(b"GET /whynot HTTP/1.1", b"Host: x")),
    *[Row(f"O-09-{i}", b"", "404", doors=ONLY_CONNECT, request=head(b"GET " + p + b" HTTP/1.1", b"Host: allowed.test"))
      for i, p in enumerate((b"/metrics", b"/healthz", b"/debug", b"/squid-internal-mgr/menu", b"/../etc/passwd"))],
    *[Row(f"H-27-{i}", b"", "R-TGT", doors=ONLY_CONNECT,
          request=head(b"GET " + t + b" HTTP/1.1", b"Host: allowed.test"))
      for i, t in enumerate((b"http:allowed.test/", b"http:/allowed.test/", b"allowed.test/", b"admin", b"*", b"http://",
                             b"http:///x", b"http://:80/", b"http:\\\\allowed.test\\"))],
    *[Row(f"H-28-{i}", b"", "R-TGT", doors=ONLY_CONNECT,
          request=head(b"GET " + t + b" HTTP/1.1", b"Host: allowed.test"))
      for i, t in enumerate((b"ftp://allowed.test/", b"gopher://allowed.test/", b"urn:x", b"file:///etc/passwd",
                             b"ws://allowed.test/", b"https://allowed.test/", b"javascript:alert(1)"))],
    Row("S-17-0.9", b"", "R-VER", doors=ONLY_CONNECT, request=b"GET http://allowed.test/\r\n\r\n"),
    Row("S-17-0.9-connect", b"", "R-VER", also=("R-SYN",), why="HTTP/0.9 had no CONNECT", doors=ONLY_CONNECT,
        request=b"CONNECT allowed.test:<port>\r\n\r\n"),
    Row("S-25-h2", b"", "R-VER", doors=ONLY_CONNECT, request=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Row("S-17-1.2", b"", "R-VER", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", version=b"1.2")),
    Row("S-17-2.0", b"", "R-VER", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", version=b"2.0")),
    Row("S-17-lower", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-VER",),
        request=b"CONNECT allowed.test:<port> http/1.1\r\nHost: allowed.test\r\n\r\n"),
    Row("S-18-one", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=b"\r\n" + connect(b"allowed.test:<port>", b"Host: allowed.test")),
    Row("S-18-two", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=b"\r\n\r\n" + connect(b"allowed.test:<port>", b"Host: allowed.test")),
    Row("S-18-three", b"", "R-SYN", doors=ONLY_CONNECT,
        request=b"\r\n\r\n\r\n" + connect(b"allowed.test:<port>", b"Host: allowed.test")),
    Row("S-30-method", b"", "R-SYN", doors=ONLY_CONNECT, request=head(b'G"ET / HTTP/1.1', b"Host: x")),
    Row("S-30-empty-method", b"", "R-SYN", doors=ONLY_CONNECT, request=head(b" allowed.test:443 HTTP/1.1", b"Host: x")),
    Row("S-31-target-9k", b"", "R-URI", doors=ONLY_CONNECT,
        request=connect(b"a" * 9000 + b":443", b"Host: allowed.test")),
    Row("S-31-lines-101", b"", "R-HDR", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", *[b"X: y"] * 100)),
    Row("S-31-lines-100", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", *[b"X: y"] * 99)),
    Row("S-31-head-66k", b"", "R-HDR", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"X: " + b"y" * 66000)),
    Row("S-31-head-60k", b"", "ALLOW", canonical="allowed.test", doors=ONLY_CONNECT,
        request=connect(b"allowed.test:<port>", b"Host: allowed.test", b"X: " + b"y" * 60000)),
    Row("T-36-pipelined", b"", "R-HOST", doors=ONLY_CONNECT,
        request=connect(b"denied.test:443", b"Host: denied.test") + head(b"GET http://allowed.test/ HTTP/1.1",
                                                                          b"Host: allowed.test")),
    # What the other kinds of proxy are asked, at this one: none of it is a request, and none of it is waited for.
    *[Row(f"X-05-{name}", b"", "R-SYN", doors=ONLY_CONNECT, request=request)
      for name, request in (("socks5", b"\5\1\0"), ("socks5-none", b"\5\0"), ("socks5-many", b"\5\xff" + bytes(255)),
                            ("socks5-early", b"\5\1\0\5\1\0\3\x0callowed.test\1\xbb"), ("socks4", b"\4\1\1\xbb\x0b\x16\x21\x2cme\0"),
                            ("socks4a", b"\4\1\1\xbb\0\0\0\1me\0allowed.test\0"), ("socks0", b"\0\1\0"), ("socks6", b"\6\1\0"))],
    Row("X-09-tls", b"", "R-SYN", doors=ONLY_CONNECT, request=Hello(sni="allowed.test").raw),
    Row("X-09-ssh", b"", "R-SYN", doors=ONLY_CONNECT, request=b"SSH-2.0-OpenSSH_9.2\r\n"),
    Row("X-12-proxy-v1", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-VER",),
        request=b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + connect(b"allowed.test:<port>", b"Host: allowed.test")),
    Row("X-12-proxy-v2", b"", "R-SYN", doors=ONLY_CONNECT, also=("R-VER",),
        request=b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + connect(b"allowed.test:<port>", b"Host: allowed.test")),
]
