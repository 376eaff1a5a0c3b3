# SPDX-License-Identifier: Apache-2.0
"""P: how a port can be written, and which ports are open."""
import pytest

from rows import DOORS, Row, ids, try_row
from sites import pinned
from table_names import CLEAN, ONLY_CONNECT, series


def rows(port):
    """Spellings around the fixture's own port, so that every one of them would work if it were repaired."""
    wrapped16, wrapped32, wrapped64 = (str(port + (1 << bits)) for bits in (16, 32, 64))
    return [
        *series("P-01", "R-TGT", "allowed.test", "allowed.test:", doors=ONLY_CONNECT, host=CLEAN),
        *series("P-02", "R-TGT", "allowed.test:65536", "allowed.test:65979", "allowed.test:4294967739",
                f"allowed.test:{wrapped16}", f"allowed.test:{wrapped32}", f"allowed.test:{wrapped64}",
                "allowed.test:" + "4" * 400, "allowed.test:99999", "allowed.test:18446744073709552059", host=CLEAN),
        *series("P-03", "R-TGT", f"allowed.test:0{port}", f"allowed.test:0000{port}", f"allowed.test:+{port}",
                f"allowed.test:-{port}", f"allowed.test:{port}\t", f"allowed.test:{port:#x}", "allowed.test:4_43",
                "allowed.test:https", "allowed.test:４４３", f"allowed.test:{port}.0", f"allowed.test:{port}a",
                f"allowed.test:{port},", f"allowed.test:{port};", f"allowed.test:%34%34%33", f"allowed.test:{port}e0",
                host=CLEAN),
        Row("P-03-space", f"allowed.test: {port}".encode(), "R-SYN", host=CLEAN, why="breaks the request line"),
        *series("P-04", "R-TGT", "allowed.test:0", "allowed.test:00000", "allowed.test:-0", host=CLEAN),
        *series("P-05", "R-TGT", f"allowed.test:{port}:80", "[2001:db8:1::5]:443:80", "allowed.test::443", host=CLEAN),
        *[Row(f"P-06-{p}", f"allowed.test:{p}".encode(), "R-PORT")
          for p in (1, 21, 22, 25, 53, 80, 110, 143, 443, 465, 853, 3128, 3306, 5432, 6379, 8080, 8443, 9090, 65535)
          if p != port],
        *[Row(f"P-06-denied-{p}", f"denied.test:{p}".encode(), "R-PORT") for p in (22, 3306, 5432)],
        Row("P-06-denied-8443", b"denied.test:8443", "R-PORT", also=("R-HOST",), why="no rule sets ports for this name"),
        Row("P-06-any-literal", b"11.22.33.44:22", "R-PORT", also=("R-LIT",), why="the port comes first"),
    ]


NAMES = ids(rows(40000))


@pytest.fixture
def site(make_site):
    return make_site("pinned", pinned)


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.name)
@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_port(site, door, index):
    row = rows(site.port)[index]
    if door.name not in row.doors:
        pytest.skip("this door cannot express the row")
    try_row(site, door, row)


def test_blocked_ports_beat_the_entry_that_names_them(lab):
    """22, 3306 and 5432 are closed even where a host entry lists them."""
    origin = lab.origin()
    proxy = lab.proxy(hosts=[{"host": "db.test", "addresses": [origin.address + "/32"], "ports": [5432, origin.port]}])
    for port in (22, 3306, 5432):
        proxy.connect("db.test", port).expect(status=403, reason="port_not_allowed")
    assert not lab.dns.asked("db.test") and origin.connections == 0
    proxy.stop()
