# SPDX-License-Identifier: Apache-2.0
"""S: how the bytes of a request can be framed, and which heads are heads at all. One row for each concrete spelling.

One request in is one request seen, or an answer of ours. `<host>` stands for allowed.test and the fixture's port."""
import dataclasses

from rows import REASONS

# The reasons that only plain HTTP has, beside those of the other doors.
WEB_REASONS = {
    **REASONS,
    "R-FRM": ("ambiguous_framing", 400, None), "R-TE": ("unsupported_coding", 501, None),
    "R-EXP": ("expectation_failed", 417, None), "R-LOOP": ("request_loop", 508, None),
    "R-UPS": ("upstream_invalid", 502, None),
}


@dataclasses.dataclass
class Case:
    """Bytes that a client sends, and what must come of them."""
    id: str
    request: bytes
    expect: str              # "ALLOW" or a code
    seen: tuple = ()         # what the origin must see: (method, path, body), in this order
    also: tuple = ()         # other codes that are as good, with the reason in `why`
    why: str = ""
    late: bool = False       # wrong behind the head: the request may have been begun, but is never finished
    absent: tuple = ()       # names of fields that the origin must not see
    present: tuple = ()      # (name, value) that it must see


BODY = b"hello"


def head(line, *fields, host=b"<host>"):
    lines = [line] if host is None else [line, b"Host: " + host]
    return b"\r\n".join([*lines, *fields]) + b"\r\n\r\n"


def post(*fields, body=BODY, version=b"1.1", method=b"POST", path=b"/s", host=b"<host>"):
    return head(method + b" http://<host>" + path + b" HTTP/" + version, *fields, host=host) + body


def chunked(body, *fields, **options):
    return post(b"Transfer-Encoding: chunked", *fields, body=body, **options)


def refused(prefix, expect, *requests, **options):
    return [Case(f"{prefix}-{i}", r, expect, **options) for i, r in enumerate(requests, 1)]


def allowed(prefix, *requests, seen=(("POST", "/s", BODY),), **options):
    return [Case(f"{prefix}-{i}", r, "ALLOW", seen=seen, **options) for i, r in enumerate(requests, 1)]


GOOD = b"5\r\nhello\r\n0\r\n\r\n"
EMPTY = (("POST", "/s", b""),)

BOTH = [
    *refused("S-01", "R-FRM",
             post(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
             post(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
             post(b"Content-Length: 15", b"Transfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding: chunked", b"Content-Length: 15", body=GOOD),
             post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=GOOD),
             post(b"transfer-encoding: Chunked", b"X: y", b"content-length: 5"),
             post(b"Content-Length: 5", b"Transfer-Encoding: identity"),
             post(b"Content-Length: 5", b"Transfer-Encoding:"),
             post(b"Content-Length: 5", b"Transfer-Encoding: gzip"),
             post(b"Content-Length:", b"Transfer-Encoding: chunked", body=GOOD)),
    *refused("S-02", "R-FRM",
             post(b"Content-Length: 5", b"Content-Length: 5"),
             post(b"Content-Length: 5", b"Content-Length: 6"),
             post(b"Content-Length: 5", b"content-length: 0"),
             post(b"Content-Length: 5", b"Content-Length:"),
             post(b"Content-Length: 5, 5"), post(b"Content-Length: 5,6"), post(b"Content-Length: 5,"),
             post(b"Content-Length: ,5"), post(b"Content-Length: 5 5"), post(b"Content-Length: 5;6")),
]

LENGTHS = [
    *refused("S-03", "R-FRM", *[post(b"Content-Length: " + v) for v in (
        b"+5", b"-0", b"-5", b"0x5", b"5 ", b" 5", b"5\t", b"\t5", b"", b" ", b"1_0", b"5.0", b"5e0", b"05", b"00",
        b"0000000005", b"5L", b"5h", b"five", b"\"5\"", b"'5'", b"(5)", b"18446744073709551621",
        b"18446744073709551620", b"18446744073709551616", b"9223372036854775808", b"99999999999999999999", b"5" * 400,
        b"\xb2", b"\xd9\xa5", b"5\xa0", b"\xa05", b"\xef\xbc\x95", b"5#", b"5/1", b"%35", b"5:5", b"NaN", b"Infinity",
        b"-1", b"+0", b"0x", b"5 \t ")]),
    *refused("S-03-control", "R-SYN", *[post(b"Content-Length: " + v) for v in (
        b"\x0b5", b"\x0c5", b"5\x0b", b"5\x00", b"\x005", b"5\x0c", b"5\x1f", b"5\x7f", b"5\x08")],
        also=("R-FRM",), why="a control byte is no part of any value"),
    *refused("S-03-tab", "R-FRM", post(b"Content-Length:\t5"), post(b"Content-Length:\t5\t"),
             post(b"Content-Length:  5")),
    *allowed("S-03-good", post(b"Content-Length: 5"), post(b"Content-Length:5"), post(b"content-length: 5"),
             post(b"CONTENT-LENGTH: 5")),
    *allowed("S-03-none", post(b"Content-Length: 0", body=b""), post(body=b""), seen=EMPTY),
]

CODINGS = [
    *refused("S-05", "R-FRM", *[post(b"Transfer-Encoding: " + v, body=GOOD) for v in (
        b"chunked, chunked", b"chunked,chunked", b"chunked,", b",chunked", b"chunked, ", b", chunked", b"chunked,,",
        b"chunked, gzip", b"chunked, identity", b"identity", b"identity, chunked", b"Identity", b"chunked;q=1",
        b"chunked;a", b"chunked; a=b", b'"chunked"', b"", b" ", b",", b";", b"chunked;", b"chunked gzip",
        b"chunk ed", b"chunked\xa0", b"\xa0chunked", b"\xc3\xa7hunked", b"chunked/1", b"(chunked)", b"chunked:",
        b"gzip;q=1", b"gzip, chunked, gzip", b"gzip, chunked, chunked", b"chunked, xchunked")]),
    *refused("S-05-other", "R-TE", *[post(b"Transfer-Encoding: " + v, body=GOOD) for v in (
        b"gzip, chunked", b"gzip,chunked", b"xchunked", b"chunkedx", b"gzip", b"deflate", b"x-gzip", b"compress",
        b"trailers", b"chun-ked", b"br, gzip", b"cow", b"deflate, gzip, chunked", b"chunked1", b"CHUNKEDX",
        b"gzip , chunked", b"'chunked'")]),
    *refused("S-06", "R-SYN",
             post(b"Transfer-Encoding : chunked", body=GOOD), post(b"Transfer-Encoding\t: chunked", body=GOOD),
             post(b" Transfer-Encoding: chunked", body=GOOD), post(b"\tTransfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding:\r\n chunked", body=GOOD), post(b"Transfer-Encoding:\r\n\tchunked", body=GOOD),
             post(b"X: y\r\n Transfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding: chunked\r\n ", body=GOOD),
             post(b"Transfer-Encoding: chunked\0", body=GOOD), post(b"Transfer-Encoding: chun\0ked", body=GOOD),
             post(b"Transfer-Encoding\0: chunked", body=GOOD), post(b"Transfer-\xffEncoding: chunked", body=GOOD),
             post(b"Transfer-Encoding: chunked\rX: y", body=GOOD), post(b"X: y\nTransfer-Encoding: chunked", body=GOOD),
             post(b"X: y\rTransfer-Encoding: chunked", body=GOOD), post(b"Transfer-Encoding", body=GOOD),
             post(b"Transfer-Encoding chunked", body=GOOD), post(b"Transfer Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding(x): chunked", body=GOOD), post(b": chunked", body=GOOD)),
    *refused("S-06-control", "R-SYN", *[post(b"Transfer-Encoding: " + v, body=GOOD) for v in (
        b"\x0bchunked", b"\x0cchunked", b"chunked\x0b", b"chunked\x0c", b"chunked\x01", b"\x1bchunked",
        b"chunked\x7f")], also=("R-FRM",), why="a control byte is no part of any value"),
    *refused("S-06-pad", "R-FRM", *[post(b"Transfer-Encoding:" + v, body=GOOD) for v in (
        b"  chunked", b"\tchunked", b" chunked\t", b" chunked ", b" \tchunked", b"chunked\t")]),
    *refused("S-06-two", "R-FRM",
             post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=GOOD),
             post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=GOOD),
             post(b"Transfer-Encoding:", b"Transfer-Encoding: chunked", body=GOOD)),
    *refused("S-07", "R-FRM", chunked(GOOD, version=b"1.0"), chunked(GOOD, b"Connection: keep-alive", version=b"1.0"),
             post(b"Transfer-Encoding: gzip", version=b"1.0"),
             post(b"Transfer-Encoding: chunked", b"Content-Length: 5", version=b"1.0")),
    *allowed("S-05-good", chunked(GOOD), post(b"transfer-encoding: CHUNKED", body=GOOD),
             post(b"Transfer-Encoding:chunked", body=GOOD)),
]

BAD_SIZES = (b"0x5", b"+5", b"-0", b"-5", b" 5", b"5 ", b"\t5", b"5\t", b"0_2e", b"", b"g", b"1these-bytes", b"5.",
             b"5h", b"FFFFFFFFFFFFFFFF", b"ffffffff00000001", b"7fffffffffffffff", b"8000000000000000",
             b"4000000000000001",
             b"00000000000000005", b"10000000000000005", b"0" * 64 + b"5", b"5,5", b"5\0", b"\xb2", b"5\x0b", b"\x0b5",
             b"5\xa0", b"#5", b"0X5", b"5\r", b"5=5")

CHUNKS = [
    *refused("S-08", "R-FRM", *[chunked(size + b"\r\nhello\r\n0\r\n\r\n") for size in BAD_SIZES], late=True),
    *refused("S-08-line", "R-FRM",
             chunked(b"5\nhello\r\n0\r\n\r\n"), chunked(b"5\rhello\r\n0\r\n\r\n"), chunked(b"5\n\rhello\r\n0\r\n\r\n"),
             chunked(b"5\r\nhello0\r\n\r\n"), chunked(b"5\r\nhello\n0\r\n\r\n"), chunked(b"5\r\nhello\r0\r\n\r\n"),
             chunked(b"5\r\nhelloX\r\n0\r\n\r\n"), chunked(b"4\r\nhello\r\n0\r\n\r\n"),
             chunked(b"6\r\nhello\r\n0\r\n\r\n"), chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n"),
             chunked(b"\r\n5\r\nhello\r\n0\r\n\r\n"), chunked(b"5\r\nhello\r\n0\n\r\n"),
             chunked(b"5\r\nhello\r\n0\r\n\n"), chunked(b"5\r\nhello\r\n0\r\n\rX"), chunked(b"hello"),
             chunked(b"5\r\nhello\r\n-1\r\n\r\n"), chunked(b"5\r\nhello\r\ng\r\n\r\n"),
             chunked(b"5\r\nhello\r\n0x0\r\n\r\n"), chunked(b"GET / HTTP/1.1\r\n\r\n"), late=True),
    *allowed("S-08-good", chunked(GOOD), chunked(b"005\r\nhello\r\n0\r\n\r\n"),
             chunked(b"0000000000000005\r\nhello\r\n000\r\n\r\n"), chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
             chunked(b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0000000000000000\r\n\r\n")),
    *allowed("S-08-hex", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), chunked(b"a\r\n0123456789\r\n0\r\n\r\n"),
             seen=(("POST", "/s", b"0123456789"),)),
    *allowed("S-08-none", chunked(b"0\r\n\r\n"), seen=EMPTY),
    *allowed("S-09-good", *[chunked(b"5" + e + b"\r\nhello\r\n0\r\n\r\n") for e in (
        b";a=b", b";a", b';a="q"', b";a=b;c=d", b';a="x;y"', b';a="\\""', b";" + b"a" * 200)],
        chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n")),
    *refused("S-09", "R-FRM", *[chunked(b"5" + e + b"\r\nhello\r\n0\r\n\r\n") for e in (
        b"\r\r;a", b";\r\n", b";", b";=b", b";a=", b";a=b;", b" ;a=b", b"; a=b", b";a =b", b";a= b", b";a=b ", b";a\nb",
        b";a=\n", b";a\0b", b";a=b\0", b';a="b\r\nc"', b';a="b', b';a="b"c', b';a="\r\n"', b";a=b\rc", b";\x0ba",
        b";" + b"a" * 16384, b";a=" + b"b" * 16384, b";\xff", b";a=\xff", b",a=b", b";a=b,c")], late=True),
    *allowed("S-11", *[chunked(b"5\r\nhello\r\n0\r\n" + t + b"\r\n\r\n") for t in (
        b"X-Sum: 1", b"Content-Length: 0", b"Content-Length: 50", b"Host: denied.test", b"Authorization: Basic x",
        b"Transfer-Encoding: chunked", b"X: y\r\nZ: w", b"Connection: close", b"\r\n".join([b"A: b"] * 99))],
        absent=("x-sum", "authorization", "x", "z", "a", "trailer", "te")),
    *refused("S-11-bad", "R-FRM", *[chunked(b"5\r\nhello\r\n0\r\n" + t + b"\r\n\r\n") for t in (
        b"no colon", b" X: y", b"X : y", b": y", b"X: y\nZ: w", b"X: a\0b", b"X: y\r\n folded", b"X: y\rz",
        b"GET http://<host>/smuggled HTTP/1.1")], late=True),
    *refused("S-11-many", "R-HDR", chunked(b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
             chunked(b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 101 + b"\r\n"),
             chunked(b"5\r\nhello\r\n0\r\nX: " + b"y" * 17000 + b"\r\n\r\n"), late=True),
]

FOLDED = [
    *refused("S-14", "R-SYN",
             post(b"Transfer_Encoding: chunked", body=GOOD), post(b"Content_Length: 5"), post(b"Content.Length: 5"),
             post(b"Transfer.Encoding: chunked", body=GOOD), post(b"_Content-Length: 5"),
             post(b"Content-Length_: 5"), post(b".Transfer-Encoding: chunked", body=GOOD),
             post(b"transfer_encoding: x", b"Content-Length: 5"), post(b"Content_Length: 6", b"Content-Length: 5"),
             post(b"Host_: denied.test"), post(b"_host: denied.test"), post(b"TRANSFER-ENCODING.: chunked", body=GOOD)),
    *allowed("S-14-dropped", *[post(b"Content-Length: 5", name + b": x") for name in (
        b"Proxy_Authorization", b"Connection_", b"Proxy.Connection", b"_Upgrade", b"Keep_Alive", b"Proxy_Authenticate",
        b"X_Forwarded_For", b"TE_", b"HTTP2_Settings", b"Trailer.")],
        absent=("proxy_authorization", "connection_", "proxy.connection", "_upgrade", "keep_alive",
                "proxy_authenticate", "x_forwarded_for", "te_", "http2_settings", "trailer.")),
    *[case for method in ("GET", "OPTIONS", "DELETE", "PUT", "PATCH", "HEAD") for case in (
        Case(f"S-15-{method}-length", post(b"Content-Length: 5", method=method.encode()), "ALLOW",
             seen=((method, "/s", BODY),), present=(("content-length", "5"),)),
        Case(f"S-15-{method}-chunked", chunked(GOOD, method=method.encode()), "ALLOW", seen=((method, "/s", BODY),)),
        Case(f"S-15-{method}-none", post(body=b"", method=method.encode()), "ALLOW", seen=((method, "/s", b""),)))],
]

INNER = b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"
FOLDED += [
    Case("S-15-inner-length", post(b"Content-Length: %d" % len(INNER), body=INNER), "ALLOW",
         seen=(("POST", "/s", INNER),)),
    Case("S-15-inner-chunked", chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)), "ALLOW",
         seen=(("POST", "/s", INNER),)),
    Case("S-15-get-inner", post(b"Content-Length: %d" % len(INNER), body=INNER, method=b"GET"), "ALLOW",
         seen=(("GET", "/s", INNER),)),
]
OK = (("GET", "/s", b""),)


def get(*fields, path=b"/s", version=b"1.1", host=b"<host>", method=b"GET", tail=b""):
    return head(method + b" http://<host>" + path + b" HTTP/" + version, *fields, host=host) + tail


HEADS = [
    Case("S-17-0.9", b"GET http://<host>/\r\n", "R-VER"),
    Case("S-17-1.0", get(version=b"1.0"), "ALLOW", seen=OK),
    Case("S-17-1.0-no-host", get(version=b"1.0", host=None), "ALLOW", seen=OK, present=(("host", "<host>"),)),
    Case("S-17-1.0-keep", get(b"Connection: keep-alive", version=b"1.0"), "ALLOW", seen=OK),
    *refused("S-17-other", "R-VER", get(version=b"1.2"), get(version=b"2.0"), get(version=b"0.9"), get(version=b"3"),
             get(version=b"1.10"), get(version=b"01.1"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *refused("S-17-none", "R-SYN", b"GET http://<host>/s http/1.1\r\nHost: <host>\r\n\r\n",
             b"GET http://<host>/s HTTPS/1.1\r\nHost: <host>\r\n\r\n",
             b"GET http://<host>/s HTTP/1.1 \r\nHost: <host>\r\n\r\n",
             b"GET http://<host>/s  HTTP/1.1\r\nHost: <host>\r\n\r\n",
             b"GET  http://<host>/s HTTP/1.1\r\nHost: <host>\r\n\r\n",
             b"GET\thttp://<host>/s\tHTTP/1.1\r\nHost: <host>\r\n\r\n",
             b"GET http://<host>/s HTTP/1.1\nHost: <host>\n\n", b"GET http://<host>/s HTTP/1.1\r\nHost: <host>\n\r\n",
             b"GET http://<host>/s HTTP/1.1\r\nHost: <host>\r\n\n", b" GET http://<host>/s HTTP/1.1\r\n\r\n",
             b"GET http://<host>/a b HTTP/1.1\r\nHost: <host>\r\n\r\n", also=("R-VER", "R-TGT"),
             why="what is no head may be read as one without a version or with another target"),
    *allowed("S-18", b"\r\n" + get(), b"\r\n\r\n" + get(), seen=OK),
    *refused("S-18-more", "R-SYN", b"\r\n\r\n\r\n" + get(), b"\r\n" * 10000 + get(), b"\n" + get(), b"\r" + get(),
             b" \r\n" + get(), b"\0" + get()),
    *refused("S-23", "R-EXP", *[post(b"Content-Length: 5", b"Expect: " + v) for v in (
        b"nonsense", b"100-continue, nonsense", b"100-continue, 100-continue", b"200-ok", b"100-continue;q=1", b"",
        b"100", b"x=y", b'"100-continue"')],
        post(b"Content-Length: 5", b"Expect: 100-continue", b"Expect: 100-continue"), get(b"Expect: nonsense")),
    *allowed("S-23-good", post(b"Content-Length: 5", b"Expect: 100-continue"),
             post(b"Content-Length: 5", b"expect: 100-Continue"), chunked(GOOD, b"Expect: 100-continue")),
    Case("S-23-no-body", get(b"Expect: 100-continue"), "ALLOW", seen=OK, absent=("expect",)),
    Case("S-24-foo", get(b"Upgrade: foo", b"Connection: upgrade") + get(path=b"/second"), "ALLOW",
         seen=(*OK, ("GET", "/second", b"")), absent=("upgrade", "connection")),
    Case("S-24-websocket-and-body", post(b"Content-Length: 5", b"Upgrade: websocket", b"Connection: upgrade",
                                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                         b"Sec-WebSocket-Version: 13"), "ALLOW", seen=(("POST", "/s", BODY),),
         absent=("upgrade", "connection")),
    Case("S-24-websocket-not-nominated", get(b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
         "ALLOW", seen=OK, absent=("upgrade", "connection")),
    *allowed("S-25", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
             get(b"Connection: Upgrade", b"Connection: HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
             get(b"Upgrade: h2c"), get(b"Connection: upgrade", b"Upgrade: h2c, foo"),
             get(b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: foo"), get(b"Upgrade: TLS/1.0",
             b"Connection: upgrade"), get(b"Upgrade: HTTP/2.0", b"Connection: upgrade"), seen=OK,
             absent=("upgrade", "connection", "http2-settings")),
    *allowed("S-28", *[get(*fields) for fields in (
        (b"Proxy-Authorization: Basic dTpw",), (b"PROXY-AUTHORIZATION: Basic dTpw", b"proxy-authorization: Basic dTpx"),
        (b"Proxy-Connection: keep-alive",), (b"Proxy-Authenticate: Basic",), (b"Keep-Alive: timeout=5",),
        (b"TE: trailers",), (b"te: gzip, trailers", b"Connection: TE"), (b"Trailer: X-Sum",),
        (b"Connection: X-Mine", b"X-Mine: 1"), (b"Connection: x-mine , Other", b"X-MINE: 1", b"other: 2"),
        (b"X-Mine: 1", b"Connection: close, x-mine"), (b"Connection: Cookie", b"Cookie: a=b"),
        (b"Forwarded: for=1.2.3.4",), (b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Host: denied.test",
                                       b"X-Forwarded-Proto: https"), (b"X-Real-IP: 10.0.0.1",),
        (b"Connection: keep-alive, Keep-Alive",), (b"Proxy-Authentication-Info: x",))],
        seen=OK, absent=("proxy-authorization", "proxy-connection", "proxy-authenticate", "keep-alive", "te", "trailer",
                         "x-mine", "other", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-host",
                         "x-forwarded-proto", "x-real-ip", "proxy-authentication-info")),
    Case("S-28-kept", get(b"X-Mine: 1", b"Cookie: a=b", b"Authorization: Bearer t", b"Accept: */*", b"Empty:",
                          b"X-Forward: 2", b"Via: 1.0 inner"), "ALLOW", seen=OK,
         present=(("x-mine", "1"), ("cookie", "a=b"), ("authorization", "Bearer t"), ("accept", "*/*"), ("empty", ""),
                  ("x-forward", "2"))),
    Case("S-28-nominated-end-to-end", get(b"Connection: Host, Content-Length, Via, close"), "ALLOW", seen=OK,
         present=(("host", "<host>"),)),
    *refused("S-29", "R-LOOP", get(b"Max-Forwards: 0"), get(b"Max-Forwards: 0", method=b"OPTIONS"),
             get(b"Via: " + b", ".join([b"1.1 hop"] * 50)), get(*[b"Via: 1.1 hop"] * 60)),
    Case("S-29-49", get(b"Via: " + b", ".join([b"1.1 hop"] * 49)), "ALLOW", seen=OK),
    Case("S-29-forwards", get(b"Max-Forwards: 1", method=b"OPTIONS"), "ALLOW", seen=(("OPTIONS", "/s", b""),),
         present=(("max-forwards", "0"),)),
    *refused("S-30", "R-MTH", *[get(method=m) for m in (b"TRACE", b"TRACK", b"DEBUG")]),
    *refused("S-30-body", "R-MTH", post(b"Content-Length: 5", method=b"TRACE")),
    *refused("S-30-unknown", "R-MTHU", *[get(method=m) for m in (
        b"FOO", b"get", b"Get", b"PROPFIND", b"PURGE", b"GETX", b"M-SEARCH", b"LINK", b"X" * 64, b"QUERY")]),
    *refused("S-30-long", "R-MTHU", get(method=b"M" * 10000), also=("R-SYN", "R-HDR", "R-URI"),
             why="refused by any bound"),
    *refused("S-30-bad", "R-SYN", *[get(method=m) for m in (
        b'G"ET', b"G\x01ET", b"GET\0", b"", b"G(ET", b"GE\x7fT", b"G\xffET", b"GET,POST", b"GET/", b"[GET]")]),
    *refused("S-31-target", "R-URI", *[get(path=b"/" + b"a" * n) for n in (8192, 9000, 65536, 1 << 20)]),
    Case("S-31-target-8k", get(path=b"/" + b"a" * 8000), "ALLOW", seen=(("GET", "/" + "a" * 8000, b""),)),
    *refused("S-31-head", "R-HDR", get(b"X: " + b"y" * 66000), get(*[b"X: y"] * 100), get(*[b"X: y"] * 10000),
             get(*[b"X: " + b"y" * 2500] * 99), b"GET http://<host>/s HTTP/1.1\r\n" + b"a:\r\n" * 64000,
             get(b"X" * 66000 + b": y")),
    Case("S-31-lines-100", get(*[b"X: y"] * 99), "ALLOW", seen=OK),
    Case("S-31-head-60k", get(b"X: " + b"y" * 60000), "ALLOW", seen=OK, present=(("x", "y" * 60000),)),
    Case("S-31-name-60k", get(b"X" * 60000 + b": y"), "ALLOW", seen=OK),
    Case("S-32-forwarded-for", get(b"X-Forwarded-For: " + b"a," * 30000), "ALLOW", seen=OK,
         absent=("x-forwarded-for",)),
    Case("S-32-nominations", get(b"Connection: " + b"a," * 30000, b"A: 1"), "ALLOW", seen=OK, absent=("a",)),
    Case("S-32-via", get(b"Via: " + b"1.1 a," * 10000), "R-LOOP"),
]

TARGETS = [
    *[Case(f"S-35-{i}", get(path=p), "ALLOW", seen=(("GET", p.decode(), b""),)) for i, p in enumerate((
        b"/ok/../secret", b"/%2e%2e/x", b"//", b"//denied.test/x", b"/;x=1", b"/a%2fb", b"/%5c", b"/%c0%ae", b"/.",
        b"/..", b"/a//b", b"/%00", b"/?a=b&c", b"/x?y?z", b"/x?http://denied.test/", b"/@denied.test", b"/:80",
        b"/%0d%0aX:y",
        b"/*", b"/\\", b"/a|b", b"/\"x\"", b"/<x>", b"/{x}", b"/~x/!$&'()*+,;=:@"), 1)],
    *refused("S-35-bad", "R-TGT", get(path=b"/x#frag"), get(path=b"/#"), get(path=b"/\xff"), get(path="/ü".encode()),
             get(path=b"/\x01"), get(path=b"/\x7f"), get(path=b"/a\tb"), get(path=b"/\0"), get(path=b"\\x")),
    Case("H-13-query", head(b"GET http://<host>?x=http://denied.test/ HTTP/1.1"), "ALLOW",
         seen=(("GET", "/?x=http://denied.test/", b""),)),
    Case("H-13-empty-query", head(b"GET http://<host>? HTTP/1.1"), "ALLOW", seen=(("GET", "/?", b""),)),
    Case("H-13-no-path", head(b"GET http://<host> HTTP/1.1"), "ALLOW", seen=(("GET", "/", b""),)),
    Case("H-13-options", head(b"OPTIONS http://<host> HTTP/1.1"), "ALLOW", seen=(("OPTIONS", "*", b""),)),
    Case("H-13-options-slash", head(b"OPTIONS http://<host>/ HTTP/1.1"), "ALLOW", seen=(("OPTIONS", "/", b""),)),
    Case("H-13-at", head(b"GET http://denied.test#@<host>/ HTTP/1.1"), "R-TGT"),
    Case("H-14-at", head(b"GET http://denied.test\\@<host>/ HTTP/1.1"), "R-TGT"),
    *refused("H-11", "R-TGT", *[head(b"GET http://" + t + b"/ HTTP/1.1") for t in (
        b"<host>@denied.test", b"a@b@<host>", b"u:p@<host>", b"@<host>", b"u@<host>", b"%40<host>", b"<host>@",
        b"allowed.test:p@<host>")]),
    *refused("H-18", "R-TGT", *[head(b"GET " + t + b" HTTP/1.1") for t in (
        b"http:///x", b"http://:80/", b"http://", b"http://?x", b"http://:", b"http://\t/")]),
    *refused("H-27", "R-TGT", *[head(b"GET " + t + b" HTTP/1.1") for t in (
        b"http:<host>/", b"http:/<host>/", b"<host>/", b"admin", b"*", b"http:\\\\<host>\\", b"http:/\\<host>/",
        b"http//<host>/", b"://<host>/", b"xhttp://<host>/", b"http:///<host>/", b"http:////<host>/")]),
    *refused("H-28", "R-TGT", *[head(b"GET " + t + b" HTTP/1.1") for t in (
        b"ftp://<host>/", b"gopher://<host>/", b"urn:x", b"file:///etc/passwd", b"ws://<host>/", b"wss://<host>/",
        b"https://<host>/", b"javascript:alert(1)", b"http+unix://<host>/", b"data:,x", b"unix:/run/x", b"h2://<host>/",
        b"view-source:http://<host>/", b"cache_object://<host>/")]),
    *[Case(f"H-28-case-{i}", head(b"GET " + t + b"/s HTTP/1.1"), "ALLOW", seen=OK, present=(("host", "<host>"),))
      for i, t in enumerate((b"HTTP://<host>", b"hTtP://Allowed.Test:<port>", b"http://ALLOWED.TEST.:<port>"), 1)],
    *refused("H-29", "R-MIS", get(host=b"denied.test"), get(host=b"denied.test:<port>"), get(host=b"allowed.test:81"),
             get(host=b"a.wild.test:<port>"), get(host=b"127.0.0.1"), get(host=b"[::1]"),
             get(host=b"denied.test", version=b"1.0"), get(host=b"allowed.test.denied.test"), get(host=b"allowed.tes")),
    *allowed("H-29-same", get(host=b"allowed.test"), get(host=b"ALLOWED.test."), get(host=b"allowed.test:<port>"),
             seen=OK, present=(("host", "<host>"),)),
    *refused("H-30", "R-SYN", get(b"Host: <host>"), get(b"Host: denied.test"), get(b"host:"), get(host=None),
             get(host=b"u@allowed.test"), get(host=b"allowed.test/x"), get(host=b""), get(host=b"allowed.test:"),
             get(host=b"allowed.test:0"), get(host=b"http://allowed.test"), get(host=b"allowed.test, denied.test"),
             get(host=b"allowed test"), get(b"Host: <host>", version=b"1.0"), get(b"Host : <host>", host=None),
             get(b" Host: <host>", host=None), get(host=b"allowed.test:99999"), get(host=b"%61llowed.test"),
             also=("R-TGT", "R-MIS"), why="a Host that is not a host is a malformed request"),
    *[Case(f"H-32-{name.lower()}", get(name.encode() + b": " + value), "ALLOW", seen=OK)
      for name, value in (("X-Forwarded-Host", b"denied.test"), ("Forwarded", b"host=denied.test"),
                          ("X-Original-URL", b"http://denied.test/"), ("X-Rewrite-URL", b"/x"), ("X-Env", b"env-b"),
                          ("X-Upstream-Https-Proxy", b"http://denied.test:1"), ("X-HTTP-Method-Override", b"TRACE"))],
    *[Case(f"H-32-denied-{i}", head(b"GET http://denied.test:<port>/ HTTP/1.1", f, host=b"denied.test"), "R-HOST")
      for i, f in enumerate((b"X-Forwarded-Host: allowed.test", b"Forwarded: host=allowed.test", b"Via: 1.1 approved",
                             b"X-Env: env-b", b"X-Original-URL: http://<host>/"), 1)],
    Case("P-09-host-port", get(host=b"allowed.test:443"), "R-MIS"),
    Case("P-09-port-443", head(b"GET http://allowed.test:443/ HTTP/1.1", host=b"allowed.test"), "R-PORT"),
    Case("P-01-no-port", head(b"GET http://allowed.test/ HTTP/1.1", host=b"allowed.test"), "R-PORT",
         why="80, which the entry of this host does not name"),
    Case("P-01-denied-80", head(b"GET http://denied.test/ HTTP/1.1", host=b"denied.test"), "R-HOST"),
    Case("P-01-empty", head(b"GET http://allowed.test:/ HTTP/1.1"), "R-TGT"),
]

# A second head on the same connection, behind a good request (S-19): (id, first, second, code of the second)
FIRST = get(path=b"/first")
PIPELINES = [
    ("S-19-denied", FIRST, head(b"GET http://denied.test:<port>/x HTTP/1.1", host=b"denied.test:<port>"), "R-HOST"),
    ("S-19-other-env", FIRST, head(b"GET http://other.test:<port>/x HTTP/1.1", host=b"other.test:<port>"), "R-HOST"),
    ("S-19-port", FIRST, head(b"GET http://allowed.test:22/x HTTP/1.1", host=b"allowed.test:22"), "R-PORT"),
    ("S-19-literal", FIRST, head(b"GET http://127.0.0.1:<port>/x HTTP/1.1", host=b"127.0.0.1:<port>"), "R-LIT"),
    ("S-19-host", FIRST, get(path=b"/x", host=b"denied.test"), "R-MIS"),
    ("S-19-syntax", FIRST, b"GET http://<host>/x HTTP/1.1\r\nHost : <host>\r\n\r\n", "R-SYN"),
    ("S-19-framing", FIRST, post(b"Content-Length: 5", b"Transfer-Encoding: chunked", path=b"/x"), "R-FRM"),
    ("S-19-method", FIRST, get(path=b"/x", method=b"TRACE"), "R-MTH"),
    ("S-19-unknown", FIRST, get(path=b"/x", method=b"FOO"), "R-MTHU"),
    ("S-19-expect", FIRST, get(b"Expect: x", path=b"/x"), "R-EXP"),
    ("S-19-after-length", post(b"Content-Length: 5", path=b"/first"),
     head(b"GET http://denied.test:<port>/x HTTP/1.1", host=b"denied.test:<port>"), "R-HOST"),
    ("S-19-after-chunks", chunked(GOOD, path=b"/first"),
     head(b"GET http://denied.test:<port>/x HTTP/1.1", host=b"denied.test:<port>"), "R-HOST"),
    ("S-19-garbage", FIRST, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "R-SYN"),
    ("S-19-leftover", post(b"Content-Length: 4", path=b"/first"), head(b"POST http://<host>/x HTTP/1.1"), "R-MTHU"),
    ("S-19-target", FIRST, head(b"GET http://u@<host>/x HTTP/1.1"), "R-TGT"),
    ("S-19-loop", FIRST, get(b"Max-Forwards: 0", path=b"/x"), "R-LOOP"),
]
