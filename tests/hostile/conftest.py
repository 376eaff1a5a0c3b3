# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the hostile tables: one program for each fixture policy, shared by all rows of a table, since a few
hundred programs would take minutes to start."""
import functools
import json
import os
import pathlib
import re
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import ocsf  # noqa: E402
from lab import Lab, netns  # noqa: E402
from lab.lab import base_folder  # noqa: E402
from lab.proxy import usable_binary  # noqa: E402
import rows  # noqa: E402
from rows import Site  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: too long for every commit; runs when SALLYPORT_LONG is set")
    netns.enter()


SEEN = []  # what was expected of the case under way
EXPECTATIONS = {"expect_allowed": "passed", "expect_through": "passed", "expect_answers": "passed",
                "expect_refused": "refused", "expect_alert": "refused"}


def noting(function, word):
    @functools.wraps(function)
    def run(*args, **options):
        SEEN.append(word)
        return function(*args, **options)
    return run


def pytest_collection_modifyitems(items):
    """For the page of the run: which cases passed, and which were refused on purpose."""
    for module in {item.module for item in items} | {rows} if os.environ.get("SALLYPORT_FIGURES") else ():
        for name, word in EXPECTATIONS.items():
            if hasattr(module, name):
                setattr(module, name, noting(getattr(module, name), word))


def note_figure(item, report):
    """A line for the page of the run: section, door, and what became of the case."""
    folder = os.environ.get("SALLYPORT_FIGURES")
    section = re.search(r"(?<![A-Za-z0-9])([HWPADTFSXLRCOE])-\d\d", item.nodeid + " " + (item.function.__doc__ or ""))
    if not folder or section is None:
        return
    doors = [name for name in ("connect", "absolute", "socks5") if f"[{name}" in item.nodeid or f"-{name}" in item.nodeid]
    door = doors[0] if doors else "absolute" if "test_http" in item.nodeid else "connect"
    end = "n/a" if report.skipped else "failed" if report.failed else SEEN[-1] if SEEN else "story"
    SEEN.clear()
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with open(pathlib.Path(folder) / "cases.jsonl", "a") as out:
        out.write(json.dumps({"case": item.nodeid, "section": section[1], "door": door, "end": end}) + "\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        note_figure(item, report)
    if report.when == "call" and report.failed:
        for name in ("site", "lab"):
            one = item.funcargs.get(name)
            if one is not None:
                report.sections.append((name, one.report()[-9000:]))


@pytest.fixture(scope="session")
def binary():
    folder = base_folder()
    path = usable_binary(folder)
    if path is None:
        shutil.rmtree(folder)
        pytest.skip("SALLYPORT does not name the program")
    yield path
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def lab(binary):
    one = Lab(binary=binary, checker=ocsf.problems)
    yield one
    one.close()


@pytest.fixture(scope="module")
def make_site(lab):
    """Sites of one module, by name; each is one running program with its policy."""
    sites = {}

    def get(name, build):
        if name not in sites:
            sites[name] = Site(lab, **build(lab))
        return sites[name].ready()
    yield get
    for site in sites.values():
        site.finish()


@pytest.fixture(scope="session")
def public():
    """Tests that dial public addresses need a network namespace in which every address is local."""
    if not netns.entered():
        pytest.skip("public addresses can only be dialled in a network namespace of our own, which needs root")
