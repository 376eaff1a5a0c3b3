# SPDX-License-Identifier: Apache-2.0
"""H, W and the syntax of heads: table_names.py, by every door that can express a row."""
import pytest

from rows import DOORS, ids, try_row
from sites import pinned
from table_names import ROWS


@pytest.fixture
def site(make_site):
    return make_site("pinned", pinned)


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.name)
@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_name(site, door, row):
    if door.name not in row.doors:
        pytest.skip("this door cannot express the row")
    try_row(site, door, row)


def test_all_spellings_of_one_name_are_one(site):
    """H-35: verdict, DNS name and record agree on one canonical value, or the spelling is refused."""
    spelled = ["allowed.test", "ALLOWED.TEST", "allowed.test.", "Allowed.Test.", "aLLOWED.tEST", "allowed.TEST."]
    for text in spelled:
        client = site.client().connect(text, site.port).expect(status=200)
        client.close()
        record = site.proxy.audit.attempt(**client.who)
        assert record["dst_endpoint"]["hostname"] == "allowed.test"
        assert site.proxy.audit.outcome(**client.who)["dst_endpoint"]["hostname"] == "allowed.test"
    assert {q.lower for q in site.dns.asked() if "allowed" in q.lower} == {"allowed.test"}


def test_descriptors_return(site):
    """U5 after the whole table."""
    site.proxy.clients.clear()
    base = site.proxy.descriptors()
    for _ in range(20):
        with site.client() as one:
            one.connect("denied.test", 443).expect(status=403)
        with site.client() as two:
            two.connect("allowed.test", site.port).expect(status=200)
    with site.oracles() as oracles:
        oracles.baseline(base + 2)
