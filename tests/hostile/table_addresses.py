# SPDX-License-Identifier: Apache-2.0
"""A: literals as targets, and answers of the resolver."""
from rows import Row
from table_names import series

# As targets; nothing is listed. Every number that is not a dotted quad or RFC 5952 is no target at all.
LITERALS = [
    *series("A-01", "R-LIT", "11.22.33.44:<port>", "1.1.1.1:<port>", "[2600::1]:<port>", "255.255.255.255:<port>",
            "127.0.0.1:<port>", "0.0.0.0:<port>", "169.254.169.254:<port>", "10.0.0.1:<port>", "[::1]:<port>",
            "[::]:<port>", "[fe80::1]:<port>", "[fd00:ec2::254]:<port>", "168.63.129.16:<port>", "[ff02::1]:<port>"),
    *series("A-02", "R-TGT", "2130706433:<port>", "0x7f000001:<port>", "0x7f.0.0.1:<port>",
            "0xA9.0xFE.0xA9.0xFE:<port>", "0177.0.0.1:<port>", "0251.0376.0251.0376:<port>", "017700000001:<port>",
            "0o177.0.0.1:<port>", "0x7f.1:<port>", "0xa9fea9fe:<port>"),
    *series("A-03", "R-TGT", "0:<port>", "127.1:<port>", "127.0.1:<port>", "10.1:<port>", "127.000.000.001:<port>",
            "010.0.0.1:<port>", "127.0.0.1.:<port>", "127.1.:<port>", "00:<port>", "127.0.0.01:<port>",
            "1.2.3.4.:<port>", "11.22.33.44.:<port>"),
    *series("A-04", "R-TGT", "425.510.425.510:<port>", "7147006462:<port>", "0x41414141A9FEA9FE:<port>",
            "256.256.256.256:<port>", "1.2.3.4294967295:<port>", "1.2.3.256:<port>", "4294967296:<port>",
            "999.1.1.1:<port>"),
    *series("A-05", "R-TGT", "①②⑦.⓪.⓪.①:<port>", "๑๒๗.๐.๐.๑:<port>", "127。0。0。1:<port>", "１２７.0.0.1:<port>",
            host=b"allowed.test:<port>"),
    *series("A-06", "R-TGT", "[0:0:0:0:0:0:0:1]:<port>", "[::0001]:<port>", "[0::1]:<port>", "[::1%1]:<port>",
            "[FE80::1]:<port>", "[2600:0:0:0:0:0:0:1]:<port>", "[2600::0:1]:<port>", "[::ffff:0b16:212c]:<port>",
            "[1::2::3]:<port>", "[12345::1]:<port>", "[:::1]:<port>", "[::1.2.3]:<port>", "[1.2.3.4]:<port>",
            "::1:<port>", "2600::1:<port>", "[::1 ]:<port>".replace(" ", "\t"), "[2600::G]:<port>",
            "[1:2:3:4:5:6:7:8:9]:<port>", "[1:2:3:4:5:6:7]:<port>", "[::ffff:1.2.3.04]:<port>",
            host=b"allowed.test:<port>"),
]

# As targets, though the policy lists 11.22.33.44 and 2600::44: IPv4 inside IPv6 is never a target.
LISTED = [
    *series("A-07", "R-LIT", "[::127.0.0.1]:<port>", "[::a9fe:a9fe]:<port>", "[::ffff:0:127.0.0.1]:<port>",
            "[64:ff9b::b16:212c]:<port>", "[2002:b16:212c::]:<port>",
            "[2001:0:b16:212c::]:<port>",
            "[2600::45]:<port>", "11.22.33.45:<port>", also=("R-TGT",), why="not every text of it is canonical"),
    *series("A-08", "R-TGT", "11.22.33.044:<port>", "185999660:<port>", "0x0b.0x16.0x21.0x2c:<port>",
            "11.22.8492:<port>", "11.22.33.44.:<port>", "[2600:0::44]:<port>", "[2600::0044]:<port>"),
]
MAPPED = series("A-08-mapped", "R-LIT", "[::ffff:11.22.33.44]:<port>")


def answers(prefix, expect, *addresses):
    return [(f"{prefix}-{a}", [a], expect) for a in addresses]


# (id, answers in the order given, outcome): the name is allowed by a wildcard, nothing is pinned.
ANSWERS = [
    *answers("A-09", "R-ADDR", "127.0.0.1", "127.255.255.254", "127.0.0.0", "127.255.255.255", "::1"),
    *answers("A-09-next", "ALLOW", "126.255.255.255", "128.0.0.0"),
    *answers("A-10", "R-ADDR", "0.0.0.0", "0.0.0.1", "0.255.255.255", "::"),
    *answers("A-10-next", "ALLOW", "1.0.0.0"),
    *answers("A-11", "R-ADDR", "10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.0", "172.31.255.255",
             "192.168.0.0", "192.168.255.255"),
    *answers("A-11-next", "ALLOW", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
             "192.169.0.0"),
    *answers("A-12", "R-ADDR", "100.64.0.0", "100.127.255.255"),
    *answers("A-12-next", "ALLOW", "100.63.255.255", "100.128.0.0"),
    *answers("A-13", "R-ADDR", "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.0",
             "169.254.255.255"),
    *answers("A-13-next", "ALLOW", "169.253.255.255", "169.255.0.0"),
    *answers("A-14", "R-ADDR", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"),
    *answers("A-14-next", "ALLOW", "168.63.129.15", "168.63.129.17"),
    *answers("A-15", "R-ADDR", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.0", "198.19.255.255",
             "192.0.0.1"),
    *answers("A-15-next", "ALLOW", "192.0.3.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0"),
    *answers("A-16", "R-ADDR", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
             "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    *answers("A-16-next", "ALLOW", "223.255.255.255"),
    *answers("A-17", "R-ADDR", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::b16:212c"),
    *answers("A-18", "R-ADDR", "64:ff9b:1::b16:212c", "64:ff9b:1:a00:0:100::", "64:ff9b:1:ffff::1"),
    *answers("A-19", "R-ADDR", "::ffff:127.0.0.1", "::ffff:11.22.33.44", "::127.0.0.1", "::11.22.33.44",
             "::ffff:0:11.22.33.44", "2002:7f00:1::", "2002:b16:212c::1", "2001::1", "2001:0:b16:212c::"),
    *answers("A-20", "R-ADDR", "fc00::1", "fd00::1", "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "feff::1",
             "ff02::1", "100::1", "2001:db8::1", "2001:db8:ffff::", "3fff::1", "3fff:fff::1", "5f00::1",
             "2001:10::1", "2001:20::1"),
    *answers("A-20-next", "ALLOW", "2600::1", "2001:db9::1", "2a00:1450::1", "2001:4860:4860::8888"),
    ("A-21-good-bad", ["11.22.33.44", "127.0.0.1"], "R-ADDR"),
    ("A-21-bad-good", ["127.0.0.1", "11.22.33.44"], "R-ADDR"),
    ("A-21-six-bad", ["11.22.33.44", "::1"], "R-ADDR"),
    ("A-21-four-bad", ["2600::1", "10.0.0.1"], "R-ADDR"),
    ("A-21-last-of-16", ["11.22.33.%d" % i for i in range(15)] + ["10.0.0.1"], "R-ADDR"),
    ("A-21-two-good", ["11.22.33.44", "11.22.33.45"], "ALLOW"),
    ("A-21-both-good", ["11.22.33.44", "2600::1"], "ALLOW"),
]

# (id, prefix, answer, outcome)
NAT64 = [
    ("A-17-loopback", "64:ff9b::/96", "64:ff9b::7f00:1", "R-ADDR"),
    ("A-17-metadata", "64:ff9b::/96", "64:ff9b::a9fe:a9fe", "R-ADDR"),
    ("A-17-private", "64:ff9b::/96", "64:ff9b::a00:1", "R-ADDR"),
    ("A-17-good", "64:ff9b::/96", "64:ff9b::b16:212c", "ALLOW"),
    ("A-17-outside", "64:ff9b::/96", "64:ff9b:1::b16:212c", "R-ADDR"),
    # 10.0.0.1 stands at the positions of a /48, and a public decoy in the low 32 bits.
    ("A-18-48-decoy", "64:ff9b:1::/48", "64:ff9b:1:a00:0:100:b16:212c", "R-ADDR"),
    ("A-18-48-good", "64:ff9b:1::/48", "64:ff9b:1:b16:21:2c00::", "ALLOW"),
    ("A-18-48-loopback", "64:ff9b:1::/48", "64:ff9b:1:7f00:0:100::", "R-ADDR"),
    ("A-18-32-good", "2600:1::/32", "2600:1:b16:212c::", "ALLOW"),
    ("A-18-32-private", "2600:1::/32", "2600:1:a00:1::", "R-ADDR"),
    ("A-18-40-good", "2600:1::/40", "2600:1:b:1621:2c::", "ALLOW"),
    ("A-18-40-private", "2600:1::/40", "2600:1:a:0:1::", "R-ADDR"),
    ("A-18-56-good", "2600:1::/56", "2600:1:0:b:16:212c::", "ALLOW"),
    ("A-18-56-private", "2600:1::/56", "2600:1:0:a:0:1::", "R-ADDR"),
    ("A-18-64-good", "2600:1::/64", "2600:1::b:1621:2c00:0", "ALLOW"),
    ("A-18-64-private", "2600:1::/64", "2600:1::a:0:100:0", "R-ADDR"),
]

# (id, name, answer, outcome) with private_networks 10.1.2.3/32, 10.20.0.0/16, fd12::/64.
PRIVATE = [
    ("A-25-exact-in", "exact.test", "10.1.2.3", "ALLOW"),
    ("A-25-exact-16", "exact.test", "10.20.255.255", "ALLOW"),
    ("A-25-exact-six", "exact.test", "fd12::9", "ALLOW"),
    ("A-25-exact-next", "exact.test", "10.1.2.4", "R-ADDR"),
    ("A-25-exact-below", "exact.test", "10.19.255.255", "R-ADDR"),
    ("A-25-exact-above", "exact.test", "10.21.0.0", "R-ADDR"),
    ("A-25-exact-six-next", "exact.test", "fd12:0:0:1::", "R-ADDR"),
    ("A-25-loopback", "exact.test", "127.0.0.1", "R-ADDR"),
    ("A-25-metadata", "exact.test", "169.254.169.254", "R-ADDR"),
    ("A-25-wildcard", "w.wild.test", "10.1.2.3", "R-ADDR"),
    ("A-26-embedded", "169.254.169.254.wild.test", "169.254.169.254", "R-ADDR"),
    ("A-26-embedded-private", "10.1.2.3.wild.test", "10.1.2.3", "R-ADDR"),
]

BAD_EXCEPTIONS = ["0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16",
                  "169.254.169.254/32", "8.8.8.0/24", "::/0", "fe80::/10", "10.0.0.0/7", "::ffff:10.0.0.0/104",
                  "10.0.0.0/-1", "10.0.0.0/", "10.0.0/24", "100.100.100.200/32"]
__all__ = ["ANSWERS", "BAD_EXCEPTIONS", "LISTED", "LITERALS", "MAPPED", "NAT64", "PRIVATE", "Row"]
